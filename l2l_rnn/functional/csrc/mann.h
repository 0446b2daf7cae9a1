/* The heads of a memory-augmented network that writes to the least used slots (LRUA);
 * `memory/mann.py` documents the equations. memory_passes.h includes this file once for each kind
 * of processor.
 *
 * Head h has a key k, a vector a to write (the key, or a separate vector), a gate g, and its own
 * least used slot l, determined by the usage u before the step:
 *   write weights  w(i) = g r(i) + (1 - g) [i = l], from the previous read weights r
 *   write          slots l of all heads are cleared, then M'(i) = M(i) + sum_h w(i) a
 *   read weights   r' = softmax(s cos(k, M')), with a sharpness s, and the read is r' M'
 *   usage          u' = decay u + sum_h (r' + w), which only orders slots and has no derivative
 * All read weights are stored first, then all write weights. Every head does both. */

/* The parts of an interface vector or of its cotangents, in the order of `MANN._interface`. */
typedef struct {
    float *keys;     /* (R, W): tanh */
    float *contents; /* (R, W): tanh; the keys, unless heads write separate vectors */
    float *gates;    /* (R): sigmoid */
} FN(MANNInterface);

TARGET static inline FN(MANNInterface) FN(mann_interface)(const Job *job, float *vector)
{
    int64_t size = job->R * job->W, own = job->interface_size > size + job->R ? size : 0;
    return (FN(MANNInterface)){vector, vector + own, vector + own + size};
}

/* Find the R least used slots; of slots that tie, the first ones. */
TARGET static void FN(find_least_used)(int64_t M, int64_t R, const float *usage, float *least_used)
{
    for (int64_t h = 0; h < R; h++) {
        int64_t best = -1;
        for (int64_t i = 0; i < M; i++) {
            int taken = 0;
            if (best >= 0 && !(usage[i] < usage[best])) continue;
            for (int64_t g = 0; g < h; g++) taken |= least_used[g] == i;
            if (!taken) best = i;
        }
        least_used[h] = best < 0 ? h : best;
    }
}

/* Clear the least used slots, and count those that were in use. */
TARGET static void FN(mann_clear)(const Job *job, int64_t sequence, const float *least_used,
                                  float *memory)
{
    float *used = job->used + sequence * job->M;
    for (int64_t h = 0; h < job->R; h++) {
        int64_t slot = least_used[h];
        for (int64_t j = 0; j < job->W; j++) memory[j * job->M + slot] = 0;
        job->overwritten[sequence] += used[slot];
        used[slot] = 1;
    }
}

/* `next` may share storage with `prev`. `index` is the step's index in arrays over steps. */
TARGET NOINLINE static void FN(mann_step)(const Job *job, int64_t sequence, int64_t index,
                                          float *interface_vector, const State *prev,
                                          const State *next, float *scratch)
{
    int64_t M = job->M, W = job->W, R = job->R;
    const float *prev_memory = prev->part[MEMORY], *prev_weights = prev->part[WEIGHTS];
    float *memory = next->part[MEMORY], *weights = next->part[WEIGHTS], *writes = weights + R * M;
    float *least_used = job->least_used + index * R, *usage = job->usage + sequence * M;
    float *inverse = scratch, *line = scratch + M, sharpness = job->sharpness[sequence / job->B];
    FN(MANNInterface) xi = FN(mann_interface)(job, interface_vector);
    FN(activate_tanh)(xi.gates - xi.keys, xi.keys);
    FN(activate_sigmoid)(R, xi.gates);

    FN(find_least_used)(M, R, usage, least_used);
    for (int64_t h = 0; h < R; h++) {
        float gate = xi.gates[h];
        SIMD
        for (int64_t i = 0; i < M; i++) writes[h * M + i] = gate * prev_weights[h * M + i];
        writes[h * M + (int64_t)least_used[h]] += 1 - gate;
    }
    if (memory != prev_memory) memcpy(memory, prev_memory, W * M * sizeof(float));
    FN(mann_clear)(job, sequence, least_used, memory);
    for (int64_t j = 0; j < W; j++)
        for (int64_t h = 0; h < R; h++) {
            float a = xi.contents[h * W + j], *m = memory + j * M;
            const float *w = writes + h * M;
            SIMD
            for (int64_t i = 0; i < M; i++) m[i] += a * w[i];
        }

    FN(inverse_lengths)(job, memory, inverse);
    for (int64_t i = 0; i < M; i++) usage[i] *= (float)job->decay;
    for (int64_t h = 0; h < R; h++) {
        float *r = weights + h * M, *w = writes + h * M;
        FN(content_weights)(job, memory, inverse, xi.keys + h * W, sharpness, r, line);
        FN(read_memory)(job, memory, r, next->part[READS] + h * W);
        SIMD
        for (int64_t i = 0; i < M; i++) usage[i] += r[i] + w[i];
    }
}

/* Adjoint of the writes, with the previous read weights r:
 *   da = sum_i w(i) dM'(i),  dw(i) += a . dM'(i),  dg = dw . r - dw(l),  dr = g dw,
 * and dM is dM', but 0 in the slots that were cleared. */
TARGET static void FN(mann_write_adjoint)(const Job *job, FN(MANNInterface) xi,
                                          const float *least_used, const float *prev_weights,
                                          const float *writes, FN(MANNInterface) dxi,
                                          const State *d)
{
    int64_t M = job->M, W = job->W, R = job->R;
    float *dmemory = d->part[MEMORY], *dweights = d->part[WEIGHTS];
    for (int64_t h = 0; h < R; h++) {
        const float *w = writes + h * M, *r = prev_weights + h * M;
        float *dw = dweights + (R + h) * M, *dr = dweights + h * M, gate = xi.gates[h];
        for (int64_t j = 0; j < W; j++) {
            float a = xi.contents[h * W + j], da = 0, *dm = dmemory + j * M;
            SIMD_SUM(da)
            for (int64_t i = 0; i < M; i++) {
                da += w[i] * dm[i];
                dw[i] += a * dm[i];
            }
            dxi.contents[h * W + j] += da;
        }
        dxi.gates[h] = FN(dot)(M, dw, r) - dw[(int64_t)least_used[h]];
        SIMD
        for (int64_t i = 0; i < M; i++) {
            dr[i] = gate * dw[i];
            dw[i] = 0; /* no step reads the previous write weights */
        }
    }
    for (int64_t h = 0; h < R; h++)
        for (int64_t j = 0; j < W; j++) dmemory[j * M + (int64_t)least_used[h]] = 0;
}

/* See `heads_adjoint`. */
TARGET NOINLINE static void FN(mann_adjoint)(const Job *job, int64_t sequence, int64_t index,
                                             float *interface_vector, const State *prev,
                                             const State *next, const State *d, float *dinterface,
                                             float *scratch)
{
    int64_t M = job->M, W = job->W, R = job->R;
    const float *memory = next->part[MEMORY], *weights = next->part[WEIGHTS];
    float *dmemory = d->part[MEMORY], *dweights = d->part[WEIGHTS];
    float *inverse = scratch, sharpness = job->sharpness[sequence / job->B];
    FN(MANNInterface) xi = FN(mann_interface)(job, interface_vector);
    FN(MANNInterface) dxi = FN(mann_interface)(job, dinterface);
    FN(inverse_lengths)(job, memory, inverse);
    for (int64_t h = 0; h < R; h++) {
        const float *r = weights + h * M;
        float *dr = dweights + h * M;
        FN(read_memory_adjoint)(job, memory, r, d->part[READS] + h * W, dr, dmemory);
        job->dsharpness[sequence] +=
            FN(content_weights_adjoint)(job, memory, inverse, xi.keys + h * W, sharpness, r, dr, 1,
                                        dxi.keys + h * W, dmemory, scratch + M);
    }
    FN(mann_write_adjoint)(job, xi, job->least_used + index * R, prev->part[WEIGHTS],
                           weights + R * M, dxi, d);
    FN(tanh_adjoint)(xi.gates - xi.keys, xi.keys, dxi.keys);
    FN(sigmoid_adjoint)(R, xi.gates, dxi.gates);
}
