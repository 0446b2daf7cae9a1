/* The heads of a Neural Turing Machine; `memory/ntm.py` documents the equations. memory_passes.h
 * includes this file once for each kind of processor.
 *
 * Four equations give the weights of a head:
 *   content        c = softmax(beta cos(k, m))
 *   interpolation  v = (1 - g) w + g c
 *   shift          u(i) = sum_j s(j) v(i - j), on the ring of slots, j from -reach to reach
 *   sharpening     w'(i) = u(i)^gamma / sum u^gamma = softmax(gamma log(u + LOG_EPS))
 * The read heads are stored first, then the write heads. */

/* The parts of an interface vector or of its cotangents, in the order of `NTM._interface`. */
typedef struct {
    float *keys, *adds;           /* (heads, W), (write heads, W): tanh */
    float *gates, *erases;        /* (heads), (write heads, W): sigmoid */
    float *strengths, *exponents; /* (heads) each: softplus; gamma is 1 + exponent */
    float *shifts;                /* (heads, 2 reach + 1): softmax */
} FN(NTMInterface);

TARGET static inline FN(NTMInterface) FN(ntm_interface)(const Job *job, float *vector)
{
    int64_t W = job->W, writes = job->write_heads, heads = job->R + writes;
    FN(NTMInterface) xi = {.keys = vector, .adds = vector + heads * W};
    xi.gates = xi.adds + writes * W;
    xi.erases = xi.gates + heads;
    xi.strengths = xi.erases + writes * W;
    xi.exponents = xi.strengths + heads;
    xi.shifts = xi.exponents + heads;
    return xi;
}

TARGET static void FN(ntm_activate)(const Job *job, FN(NTMInterface) xi)
{
    int64_t heads = job->R + job->write_heads, taps = 2 * job->reach + 1;
    FN(activate_tanh)(xi.gates - xi.keys, xi.keys);
    FN(activate_sigmoid)(xi.strengths - xi.gates, xi.gates);
    FN(activate_softplus)(xi.shifts - xi.strengths, xi.strengths);
    for (int64_t h = 0; h < heads; h++)
        FN(softmax)(taps, xi.shifts + h * taps, 1.0f, xi.shifts + h * taps);
}

TARGET static void FN(ntm_activate_adjoint)(const Job *job, FN(NTMInterface) xi,
                                            FN(NTMInterface) dxi)
{
    int64_t heads = job->R + job->write_heads, taps = 2 * job->reach + 1;
    FN(tanh_adjoint)(xi.gates - xi.keys, xi.keys, dxi.keys);
    FN(sigmoid_adjoint)(xi.strengths - xi.gates, xi.gates, dxi.gates);
    FN(softplus_adjoint)(xi.shifts - xi.strengths, xi.strengths, dxi.strengths);
    for (int64_t h = 0; h < heads; h++) {
        float *dshifts = dxi.shifts + h * taps;
        FN(softmax_adjoint)(taps, xi.shifts + h * taps, dshifts, dshifts);
    }
}

/* -- shift --------------------------------------------------------------------------------- */

/* Lay M values on a ring: each end repeats `reach` values from the other end, so that
 * ring[reach + i - j] is value i - j for every slot i and shift j. */
TARGET static void FN(lay_ring)(int64_t M, int64_t reach, const float *values, float *ring)
{
    for (int64_t p = 0; p < reach; p++) {
        ring[p] = values[((p - reach) % M + M) % M];
        ring[reach + M + p] = values[p % M];
    }
    memcpy(ring + reach, values, M * sizeof(float));
}

/* Lay v = (1 - g) w + g c on a ring. */
TARGET static void FN(lay_interpolated)(int64_t M, int64_t reach, const float *prev,
                                        const float *content, float gate, float *scratch,
                                        float *ring)
{
    SIMD
    for (int64_t i = 0; i < M; i++) scratch[i] = (1 - gate) * prev[i] + gate * content[i];
    FN(lay_ring)(M, reach, scratch, ring);
}

/* to(i) = sum_j s(j) ring(i - direction j). A direction of 1 gives the shift; -1 gives its adjoint,
 * dv(i) = sum_j s(j) du(i + j). */
TARGET static void FN(shift)(int64_t M, int64_t reach, const float *shifts, int64_t direction,
                             const float *ring, float *to)
{
    for (int64_t i = 0; i < M; i++) to[i] = 0;
    for (int64_t j = -reach; j <= reach; j++) {
        float share = shifts[j + reach];
        const float *from = ring + reach - direction * j;
        SIMD
        for (int64_t i = 0; i < M; i++) to[i] += share * from[i];
    }
}

/* -- write --------------------------------------------------------------------------------- */

/* M'(i, j) = M(i, j) prod_h (1 - w_h(i) e_h(j)) + sum_h w_h(i) a_h(j); needs 2 M of scratch. */
TARGET NOINLINE static void FN(ntm_write)(const Job *job, FN(NTMInterface) xi, const float *memory,
                                          const float *weights, float *next_memory, float *scratch)
{
    int64_t M = job->M, W = job->W;
    float *kept = scratch, *added = scratch + M;
    for (int64_t j = 0; j < W; j++, memory += M, next_memory += M) {
        for (int64_t i = 0; i < M; i++) kept[i] = memory[i], added[i] = 0;
        for (int64_t h = 0; h < job->write_heads; h++) {
            const float *w = weights + h * M;
            float e = xi.erases[h * W + j], a = xi.adds[h * W + j];
            SIMD
            for (int64_t i = 0; i < M; i++) {
                kept[i] *= 1 - e * w[i];
                added[i] += a * w[i];
            }
        }
        SIMD
        for (int64_t i = 0; i < M; i++) next_memory[i] = kept[i] + added[i];
    }
}

/* With the product of all other heads' factors, q_h(i, j) = prod_{g != h} (1 - w_g(i) e_g(j)),
 *   da_h(j)  = sum_i dM'(i, j) w_h(i)
 *   de_h(j)  = -sum_i dM'(i, j) M(i, j) q_h(i, j) w_h(i)
 *   dw_h(i) += sum_j dM'(i, j) (a_h(j) - M(i, j) q_h(i, j) e_h(j))
 *   dM(i, j) = dM'(i, j) prod_h (1 - w_h(i) e_h(j)).
 * q_h is computed per head, because a factor of 0 cannot be divided out of the full product. */
TARGET NOINLINE static void FN(ntm_write_adjoint)(const Job *job, FN(NTMInterface) xi,
                                                  const float *memory, const float *weights,
                                                  FN(NTMInterface) dxi, float *dmemory,
                                                  float *dweights, float *scratch)
{
    int64_t M = job->M, W = job->W, writes = job->write_heads;
    float *all = scratch, *others = scratch + M;
    for (int64_t j = 0; j < W; j++, memory += M, dmemory += M) {
        for (int64_t i = 0; i < M; i++) all[i] = 1;
        for (int64_t h = 0; h < writes; h++) {
            const float *w = weights + h * M;
            float e = xi.erases[h * W + j], a = xi.adds[h * W + j];
            float *dw = dweights + h * M, de = 0, da = 0;
            for (int64_t i = 0; i < M; i++) others[i] = 1;
            for (int64_t g = 0; g < writes; g++) {
                if (g == h) continue;
                const float *other = weights + g * M;
                float erase = xi.erases[g * W + j];
                SIMD
                for (int64_t i = 0; i < M; i++) others[i] *= 1 - erase * other[i];
            }
            SIMD_SUM(de, da)
            for (int64_t i = 0; i < M; i++) {
                float through = dmemory[i] * others[i] * memory[i];
                de -= through * w[i];
                da += dmemory[i] * w[i];
                dw[i] += dmemory[i] * a - through * e;
            }
            SIMD
            for (int64_t i = 0; i < M; i++) all[i] *= 1 - e * w[i];
            dxi.erases[h * W + j] = de;
            dxi.adds[h * W + j] = da;
        }
        SIMD
        for (int64_t i = 0; i < M; i++) dmemory[i] *= all[i];
    }
}

/* -- one step ------------------------------------------------------------------------------ */

TARGET static inline float FN(ntm_gamma)(float exponent)
{
    float gamma = 1 + exponent;
    return gamma > SHARPEST ? SHARPEST : gamma; /* NaN stays NaN */
}

/* `next` may share storage with `prev`. `index` is the step's index in arrays over steps. */
TARGET NOINLINE static void FN(ntm_step)(const Job *job, int64_t index, float *interface_vector,
                                         const State *prev, const State *next, float *scratch)
{
    int64_t M = job->M, W = job->W, R = job->R, heads = R + job->write_heads;
    int64_t reach = job->reach, taps = 2 * reach + 1;
    const float *memory = prev->part[MEMORY], *prev_weights = prev->part[WEIGHTS];
    float *weights = next->part[WEIGHTS];
    float *inverse = scratch, *line = inverse + M, *ring = line + M;
    FN(NTMInterface) xi = FN(ntm_interface)(job, interface_vector);
    FN(ntm_activate)(job, xi);
    FN(inverse_lengths)(job, memory, inverse);
    for (int64_t h = 0; h < heads; h++) {
        float *content = job->content + (index * heads + h) * M;
        float *shifted = job->shifted + (index * heads + h) * M;
        FN(content_weights)(job, memory, inverse, xi.keys + h * W, xi.strengths[h], content, line);
        FN(lay_interpolated)(M, reach, prev_weights + h * M, content, xi.gates[h], line, ring);
        FN(shift)(M, reach, xi.shifts + h * taps, 1, ring, shifted);
        SIMD
        for (int64_t i = 0; i < M; i++) line[i] = FN(logarithm)(shifted[i] + LOG_EPS);
        FN(softmax)(M, line, FN(ntm_gamma)(xi.exponents[h]), weights + h * M);
    }
    for (int64_t h = 0; h < R; h++)
        FN(read_memory)(job, memory, weights + h * M, next->part[READS] + h * W);
    FN(ntm_write)(job, xi, memory, weights + R * M, next->part[MEMORY], line);
}

/* Adjoint of the weights of one head; dw replaces dw'. With dx = dw' through the softmax,
 *   sharpening     dgamma = sum_i dx(i) log u(i),  du(i) = dx(i) gamma / u(i), with LOG_EPS in u
 *   shift          ds(j) = sum_i du(i) v(i - j),  dv(i) = sum_j s(j) du(i + j)
 *   interpolation  dg = dv . (c - w),  dw = (1 - g) dv,  dc = g dv. */
TARGET NOINLINE static void FN(ntm_weights_adjoint)(const Job *job, int64_t index, int64_t h,
                                                    FN(NTMInterface) xi, const State *prev,
                                                    const State *next, FN(NTMInterface) dxi,
                                                    const State *d, const float *inverse,
                                                    float *scratch)
{
    int64_t M = job->M, W = job->W, heads = job->R + job->write_heads;
    int64_t reach = job->reach, taps = 2 * reach + 1;
    const float *content = job->content + (index * heads + h) * M;
    const float *shifted = job->shifted + (index * heads + h) * M;
    const float *prev_weights = prev->part[WEIGHTS] + h * M;
    float *dweights = d->part[WEIGHTS] + h * M, *dshifts = dxi.shifts + h * taps;
    float *line = scratch, *through = line + M, *ring = through + M, *rest = ring + M + 2 * reach;
    float gamma = FN(ntm_gamma)(xi.exponents[h]), gate = xi.gates[h], dgate = 0;

    FN(softmax_adjoint)(M, next->part[WEIGHTS] + h * M, dweights, through);
    SIMD
    for (int64_t i = 0; i < M; i++) line[i] = FN(logarithm)(shifted[i] + LOG_EPS);
    dxi.exponents[h] = gamma < SHARPEST ? FN(dot)(M, through, line) : 0;
    SIMD
    for (int64_t i = 0; i < M; i++) through[i] = through[i] * gamma / (shifted[i] + LOG_EPS);

    FN(lay_interpolated)(M, reach, prev_weights, content, gate, line, ring);
    for (int64_t j = -reach; j <= reach; j++)
        dshifts[j + reach] = FN(dot)(M, through, ring + reach - j);
    FN(lay_ring)(M, reach, through, ring);
    FN(shift)(M, reach, xi.shifts + h * taps, -1, ring, through);

    SIMD_SUM(dgate)
    for (int64_t i = 0; i < M; i++) {
        dgate += through[i] * (content[i] - prev_weights[i]);
        dweights[i] = (1 - gate) * through[i];
    }
    dxi.gates[h] = dgate;
    dxi.strengths[h] = FN(content_weights_adjoint)(
        job, prev->part[MEMORY], inverse, xi.keys + h * W, xi.strengths[h], content, through, gate,
        dxi.keys + h * W, d->part[MEMORY], rest);
}

/* See `heads_adjoint`. Reads and writes come first, because they use the weights of this step. */
TARGET NOINLINE static void FN(ntm_adjoint)(const Job *job, int64_t index, float *interface_vector,
                                            const State *prev, const State *next, const State *d,
                                            float *dinterface, float *scratch)
{
    int64_t M = job->M, W = job->W, R = job->R, heads = R + job->write_heads;
    const float *memory = prev->part[MEMORY], *weights = next->part[WEIGHTS];
    float *dmemory = d->part[MEMORY], *dweights = d->part[WEIGHTS], *inverse = scratch;
    FN(NTMInterface) xi = FN(ntm_interface)(job, interface_vector);
    FN(NTMInterface) dxi = FN(ntm_interface)(job, dinterface);
    FN(ntm_write_adjoint)(job, xi, memory, weights + R * M, dxi, dmemory, dweights + R * M,
                          scratch);
    for (int64_t h = 0; h < R; h++)
        FN(read_memory_adjoint)(job, memory, weights + h * M, d->part[READS] + h * W,
                                dweights + h * M, dmemory);
    FN(inverse_lengths)(job, memory, inverse);
    for (int64_t h = 0; h < heads; h++)
        FN(ntm_weights_adjoint)(job, index, h, xi, prev, next, dxi, d, inverse, scratch + M);
    FN(ntm_activate_adjoint)(job, xi, dxi);
}
