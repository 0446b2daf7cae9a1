/* The heads of a Neural Turing Machine, whose equations are in memory/ntm.py. memory_passes.h includes
 * this file once for each kind of processor. */

/* Where each of the numbers begins that steer the heads, in the order of `NTM._interface`. */
typedef struct {
    int64_t keys, adds, gates, erases, strengths, exponents, shifts, taps;
} FN(Steering);

TARGET static inline FN(Steering) FN(steering)(const Job *job)
{
    int64_t heads = job->R + job->V, W = job->W, V = job->V;
    FN(Steering) s = {.adds = heads * W, .gates = (heads + V) * W, .taps = 2 * job->reach + 1};
    s.erases = s.gates + heads;
    s.strengths = s.erases + V * W;
    s.exponents = s.strengths + heads;
    s.shifts = s.exponents + heads;
    return s;
}

TARGET static void FN(ntm_activate)(const Job *job, float *numbers)
{
    FN(Steering) s = FN(steering)(job);
    for (int64_t i = 0; i < s.gates; i++) numbers[i] = FN(hyperbolic)(numbers[i]);
    for (int64_t i = s.gates; i < s.strengths; i++) numbers[i] = FN(sigmoid)(numbers[i]);
    for (int64_t i = s.strengths; i < s.shifts; i++) numbers[i] = FN(softplus)(numbers[i]);
    for (int64_t i = s.shifts; i < job->I; i += s.taps)
        FN(softmax)(s.taps, numbers + i, 1.0f, numbers + i);
}

/* A ring of M weights with `reach` more at either end. */
TARGET static void FN(lay_ring)(int64_t M, int64_t reach, const float *weights, float *ring)
{
    for (int64_t p = 0; p < reach; p++) {
        ring[p] = weights[((p - reach) % M + M) % M];
        ring[reach + M + p] = weights[p % M];
    }
    memcpy(ring + reach, weights, M * sizeof(float));
}

/* ring = (1 - gate) before + gate content, at the place where `lay_ring` would lay it. */
TARGET static void FN(lay_interpolated)(int64_t M, int64_t reach, const float *before,
                                        const float *content, float gate, float *room, float *ring)
{
    SIMD
    for (int64_t i = 0; i < M; i++) room[i] = before[i] + gate * (content[i] - before[i]);
    FN(lay_ring)(M, reach, room, ring);
}

/* to(i) = sum of share(j) ring(i - j) over the shifts j; `way` is -1 for i + j. */
TARGET static void FN(shift)(int64_t M, int64_t reach, const float *shares, int64_t way,
                             const float *ring, float *to)
{
    for (int64_t i = 0; i < M; i++) to[i] = 0;
    for (int64_t j = -reach; j <= reach; j++) {
        float share = shares[j + reach];
        const float *from = ring + reach - way * j;
        SIMD
        for (int64_t i = 0; i < M; i++) to[i] += share * from[i];
    }
}

/* From numbers and the state before to the state after a step, which may lie at the same place; the
 * numbers are activated. `step` counts the steps that are kept of all sequences. */
TARGET static void FN(ntm_step)(const Job *job, int64_t step, float *numbers, const State *was,
                                const State *now, float *room)
{
    const float *memory = was->part[MEMORY], *before = was->part[WEIGHTS];
    float *memory_after = now->part[MEMORY], *after = now->part[WEIGHTS];
    float *reads = now->part[READS];
    int64_t M = job->M, W = job->W, R = job->R, V = job->V, heads = R + V;
    float *content = job->content + step * heads * M, *shifted = job->shifted + step * heads * M;
    FN(ntm_activate)(job, numbers);
    FN(Steering) s = FN(steering)(job);
    float least = job->least, *inverse = room, *line = room + M, *ring = line + M;
    FN(inverse_lengths)(M, W, memory, least, inverse);
    for (int64_t h = 0; h < heads; h++) {
        float *by_content = content + h * M, *moved = shifted + h * M;
        FN(cosines)(M, W, memory, inverse, numbers + s.keys + h * W, least, line);
        FN(softmax)(M, line, numbers[s.strengths + h], by_content);
        FN(lay_interpolated)(M, job->reach, before + h * M, by_content, numbers[s.gates + h], line,
                             ring);
        FN(shift)(M, job->reach, numbers + s.shifts + h * s.taps, 1, ring, moved);
        SIMD
        for (int64_t i = 0; i < M; i++) line[i] = FN(logarithm)(moved[i] + LEAST_WEIGHT);
        FN(softmax)(M, line, 1.0f + numbers[s.exponents + h], after + h * M);
    }
    for (int64_t h = 0; h < R; h++)
        for (int64_t j = 0; j < W; j++)
            reads[h * W + j] = FN(dot)(M, after + h * M, memory + j * M);
    for (int64_t j = 0; j < W; j++, memory += M, memory_after += M) {
        float *kept = line, *added = ring;
        for (int64_t i = 0; i < M; i++) kept[i] = memory[i], added[i] = 0;
        for (int64_t v = 0; v < V; v++) {
            const float *writes = after + (R + v) * M;
            float e = numbers[s.erases + v * W + j], a = numbers[s.adds + v * W + j];
            SIMD
            for (int64_t i = 0; i < M; i++) {
                kept[i] *= 1 - e * writes[i];
                added[i] += a * writes[i];
            }
        }
        SIMD
        for (int64_t i = 0; i < M; i++) memory_after[i] = kept[i] + added[i];
    }
}

/* From the cotangents of the state after a step to those of the state before it, in place, and to
 * those of the numbers before they were activated; those of reads, hidden and cell stay. */
TARGET static void FN(ntm_adjoint)(const Job *job, int64_t step, const float *numbers,
                                   const State *was, const State *now, const State *d,
                                   float *dnumbers, float *room)
{
    const float *memory = was->part[MEMORY], *before = was->part[WEIGHTS];
    const float *after = now->part[WEIGHTS], *dreads = d->part[READS];
    float *dmemory = d->part[MEMORY], *dweights = d->part[WEIGHTS];
    int64_t M = job->M, W = job->W, R = job->R, V = job->V, heads = R + V, reach = job->reach;
    const float *content = job->content + step * heads * M;
    const float *shifted = job->shifted + step * heads * M;
    FN(Steering) s = FN(steering)(job);
    float least = job->least, *inverse = room, *line = inverse + M, *one = line + M;
    float *two = one + M, *ring = two + 2 * M, *others = ring + M + 2 * reach;
    memset(dnumbers, 0, job->I * sizeof(float));

    /* the writes: M' = M prod (1 - w e) + sum w a */
    for (int64_t j = 0; j < W; j++) {
        const float *m = memory + j * M;
        float *dm = dmemory + j * M;
        for (int64_t i = 0; i < M; i++) line[i] = 1; /* the product of the factors of all heads */
        for (int64_t v = 0; v < V; v++) {
            const float *w = after + (R + v) * M;
            float e = numbers[s.erases + v * W + j], a = numbers[s.adds + v * W + j];
            float *dw = dweights + (R + v) * M, de = 0, da = 0;
            for (int64_t i = 0; i < M; i++) others[i] = 1; /* the same of the other heads */
            for (int64_t u = 0; u < V; u++) {
                const float *wu = after + (R + u) * M;
                float eu = u == v ? 0 : numbers[s.erases + u * W + j];
                SIMD
                for (int64_t i = 0; i < M; i++) others[i] *= 1 - eu * wu[i];
            }
            SIMD_SUM(de, da)
            for (int64_t i = 0; i < M; i++) {
                float through = dm[i] * m[i] * others[i];
                de -= through * w[i];
                da += dm[i] * w[i];
                dw[i] += dm[i] * a - through * e;
            }
            SIMD
            for (int64_t i = 0; i < M; i++) line[i] *= 1 - e * w[i];
            dnumbers[s.erases + v * W + j] = de;
            dnumbers[s.adds + v * W + j] = da;
        }
        SIMD
        for (int64_t i = 0; i < M; i++) dm[i] *= line[i];
    }

    /* the reads: r = w M */
    for (int64_t h = 0; h < R; h++)
        for (int64_t j = 0; j < W; j++) {
            const float *m = memory + j * M, *w = after + h * M;
            float d = dreads[h * W + j], *dm = dmemory + j * M, *dw = dweights + h * M;
            SIMD
            for (int64_t i = 0; i < M; i++) {
                dw[i] += d * m[i];
                dm[i] += d * w[i];
            }
        }

    /* where: sharpened, shifted, interpolated, by content */
    FN(inverse_lengths)(M, W, memory, least, inverse);
    for (int64_t h = 0; h < heads; h++) {
        const float *moved = shifted + h * M, *by_content = content + h * M;
        const float *was = before + h * M, *shares = numbers + s.shifts + h * s.taps;
        float *dw = dweights + h * M, gamma = 1 + numbers[s.exponents + h];
        float gate = numbers[s.gates + h], strength = numbers[s.strengths + h], dgate = 0;
        float dgamma = 0;
        FN(softmax_adjoint)(M, after + h * M, dw, one);
        SIMD
        for (int64_t i = 0; i < M; i++) line[i] = FN(logarithm)(moved[i] + LEAST_WEIGHT);
        dgamma = FN(dot)(M, one, line);
        SIMD
        for (int64_t i = 0; i < M; i++) one[i] *= gamma / (moved[i] + LEAST_WEIGHT);
        dnumbers[s.exponents + h] = dgamma;

        FN(lay_interpolated)(M, reach, was, by_content, gate, line, ring);
        for (int64_t j = -reach; j <= reach; j++)
            dnumbers[s.shifts + h * s.taps + j + reach] = FN(dot)(M, one, ring + reach - j);
        FN(lay_ring)(M, reach, one, ring);
        FN(shift)(M, reach, shares, -1, ring, one);

        SIMD_SUM(dgate)
        for (int64_t i = 0; i < M; i++) {
            dgate += one[i] * (by_content[i] - was[i]);
            dw[i] = (1 - gate) * one[i];
            one[i] *= gate;
        }
        dnumbers[s.gates + h] = dgate;

        const float *key = numbers + s.keys + h * W;
        float key_inverse = FN(cosines)(M, W, memory, inverse, key, least, line);
        FN(softmax_adjoint)(M, by_content, one, one);
        dnumbers[s.strengths + h] = FN(dot)(M, one, line);
        SIMD
        for (int64_t i = 0; i < M; i++) one[i] *= strength;
        FN(cosines_adjoint)(M, W, memory, inverse, key, key_inverse, line, one,
                            dnumbers + s.keys + h * W, dmemory, two);
    }

    /* through the activations */
    for (int64_t i = 0; i < s.gates; i++) dnumbers[i] *= 1 - numbers[i] * numbers[i];
    for (int64_t i = s.gates; i < s.strengths; i++) dnumbers[i] *= numbers[i] * (1 - numbers[i]);
    for (int64_t i = s.strengths; i < s.shifts; i++) dnumbers[i] *= FN(softplus_slope)(numbers[i]);
    for (int64_t i = s.shifts; i < job->I; i += s.taps)
        FN(softmax_adjoint)(s.taps, numbers + i, dnumbers + i, dnumbers + i);
}
