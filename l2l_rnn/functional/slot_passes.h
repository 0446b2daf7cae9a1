/* The passes of slot_kernels.c, which includes this file once for each kind of processor, with
 * SUFFIX at the end of every name and TARGET before every function. */

#include "kernel_parts.h"

/* -- sums over slots ----------------------------------------------------------------------- */

TARGET static inline float FN(dot)(int64_t n, const float *a, const float *b)
{
    float sum = 0;
    SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* to = exp(scale x - the most of it), made to sum to 1. */
TARGET static void FN(softmax)(int64_t n, const float *x, float scale, float *to)
{
    float most = -3e38f, sum = 0;
    SIMD_MAX(most)
    for (int64_t i = 0; i < n; i++) most = most < scale * x[i] ? scale * x[i] : most;
    SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) {
        to[i] = FN(exponential)(scale * x[i] - most);
        sum += to[i];
    }
    float share = 1.0f / sum;
    SIMD
    for (int64_t i = 0; i < n; i++) to[i] *= share;
}

/* From the cotangent of a softmax y to that of what it is taken of, which may lie at the same place. */
TARGET static void FN(softmax_adjoint)(int64_t n, const float *y, const float *dy, float *dx)
{
    float mean = FN(dot)(n, y, dy);
    SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - mean);
}

/* 1 / length of every slot. */
TARGET static void FN(inverse_lengths)(int64_t M, int64_t W, const float *memory, float least,
                                       float *inverse)
{
    for (int64_t i = 0; i < M; i++) inverse[i] = least * least;
    for (int64_t j = 0; j < W; j++, memory += M) {
        SIMD
        for (int64_t i = 0; i < M; i++) inverse[i] += memory[i] * memory[i];
    }
    SIMD
    for (int64_t i = 0; i < M; i++) inverse[i] = 1.0f / __builtin_sqrtf(inverse[i]);
}

/* to = the cosine of a key with every slot; returns 1 / the key's length. */
TARGET static float FN(cosines)(int64_t M, int64_t W, const float *memory, const float *inverse,
                                const float *key, float least, float *to)
{
    float length = least * least;
    for (int64_t j = 0; j < W; j++) length += key[j] * key[j];
    length = 1.0f / __builtin_sqrtf(length);
    for (int64_t i = 0; i < M; i++) to[i] = 0;
    for (int64_t j = 0; j < W; j++, memory += M) {
        float k = key[j] * length;
        SIMD
        for (int64_t i = 0; i < M; i++) to[i] += k * memory[i];
    }
    SIMD
    for (int64_t i = 0; i < M; i++) to[i] *= inverse[i];
    return length;
}

/* From the cotangent of the cosines to those of key and slots, which are added to. */
TARGET static void FN(cosines_adjoint)(int64_t M, int64_t W, const float *memory,
                                       const float *inverse, const float *key, float key_inverse,
                                       const float *cosine, const float *dcosine, float *dkey,
                                       float *dmemory, float *room)
{
    float *along = room, *across = room + M, shrink = FN(dot)(M, cosine, dcosine);
    SIMD
    for (int64_t i = 0; i < M; i++) {
        along[i] = dcosine[i] * inverse[i] * key_inverse;
        across[i] = dcosine[i] * cosine[i] * inverse[i] * inverse[i];
    }
    for (int64_t j = 0; j < W; j++, memory += M, dmemory += M) {
        float k = key[j];
        dkey[j] += FN(dot)(M, along, memory) - k * key_inverse * key_inverse * shrink;
        SIMD
        for (int64_t i = 0; i < M; i++) dmemory[i] += along[i] * k - across[i] * memory[i];
    }
}

/* -- controllers --------------------------------------------------------------------------- */

TARGET static void FN(controller_row)(const Job *job, const float *restrict a,
                                      const float *restrict before, float *restrict units,
                                      float *restrict hidden, float *restrict cell)
{
    int64_t H = job->H;
    if (job->G == 1) {
        for (int64_t j = 0; j < H; j++) hidden[j] = FN(hyperbolic)(a[j]);
        return;
    }
    for (int64_t j = 0; j < H; j++) {
        float i = FN(sigmoid)(a[j]), f = FN(sigmoid)(a[H + j]), o = FN(sigmoid)(a[2 * H + j]);
        float g = FN(hyperbolic)(a[3 * H + j]), now = f * before[j] + i * g;
        float tau = FN(hyperbolic)(now);
        units[j] = i;
        units[H + j] = f;
        units[2 * H + j] = o;
        units[3 * H + j] = g;
        units[4 * H + j] = tau;
        cell[j] = now;
        hidden[j] = o * tau;
    }
}

/* From the cotangent of hidden to da; that of the cell becomes the one of the cell before. */
TARGET static void FN(controller_adjoint)(const Job *job, const float *restrict units,
                                          const float *restrict before,
                                          const float *restrict hidden,
                                          const float *restrict dhidden, float *restrict dcell,
                                          float *restrict da)
{
    int64_t H = job->H;
    if (job->G == 1) {
        for (int64_t j = 0; j < H; j++) da[j] = dhidden[j] * (1 - hidden[j] * hidden[j]);
        return;
    }
    for (int64_t j = 0; j < H; j++) {
        float i = units[j], f = units[H + j], o = units[2 * H + j], g = units[3 * H + j];
        float tau = units[4 * H + j], m = dcell[j] + dhidden[j] * o * (1 - tau * tau);
        da[j] = m * g * i * (1 - i);
        da[H + j] = m * before[j] * f * (1 - f);
        da[2 * H + j] = dhidden[j] * tau * o * (1 - o);
        da[3 * H + j] = m * i * (1 - g * g);
        dcell[j] = m * f;
    }
}

/* -- the heads of a Neural Turing Machine -------------------------------------------------- */

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

TARGET static void FN(activate)(const Job *job, float *numbers)
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

/* From numbers, memory and weights before to weights, reads and memory after a step. */
TARGET static void FN(heads_step)(const Job *job, const float *numbers, const float *memory,
                                  const float *before, float *content, float *shifted, float *after,
                                  float *reads, float *memory_after, float *room)
{
    int64_t M = job->M, W = job->W, R = job->R, V = job->V, heads = R + V;
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

/* From the cotangents of memory, weights and reads after a step to those before it, and to those of
 * the numbers before they were activated. dweights is (heads, M); dmemory becomes that before. */
TARGET static void FN(heads_adjoint)(const Job *job, const float *numbers, const float *memory,
                                     const float *before, const float *content,
                                     const float *shifted, const float *after, const float *dreads,
                                     float *dmemory, float *dweights, float *dnumbers, float *room)
{
    int64_t M = job->M, W = job->W, R = job->R, V = job->V, heads = R + V, reach = job->reach;
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
    for (int64_t i = s.strengths; i < s.shifts; i++)
        dnumbers[i] *= 1 - FN(exponential)(-numbers[i]);
    for (int64_t i = s.shifts; i < job->I; i += s.taps)
        FN(softmax_adjoint)(s.taps, numbers + i, dnumbers + i, dnumbers + i);
}

/* -- all steps ----------------------------------------------------------------------------- */

TARGET static void FN(forward)(const Job *job, int64_t n, int64_t first, int64_t last, float *room)
{
    int64_t S = job->S, H = job->H, gates = job->G * H, Z = job->Z, I = job->I;
    int64_t rows = last - first, seen_size = H + job->R * job->W, kept = job->keep ? S : 1;
    int64_t room_after = job->keep ? S + 1 : 1, reads = job->R * job->W;
    int64_t wide = padded(gates), narrow = padded(I);
    int64_t memory_size = part_size(job, MEMORY), weights_size = part_size(job, WEIGHTS);
    int64_t cell_size = part_size(job, CELL), units_size = 5 * cell_size;
    float *back = room, *heads = back + Z * wide, *a = heads + H * narrow;
    float *numbers = a + rows * wide, *work = numbers + rows * narrow;
    FN(pack)(job->weight_back + n * gates * Z, 1, Z, Z, gates, back);
    FN(pack)(job->weight_heads + n * I * H, 1, H, H, I, heads);
    const float *bias = job->bias_heads + n * I;
    float *z = job->z + first * kept * Z, *seen = job->seen + first * S * seen_size;
    for (int64_t r = first; r < last; r++) {
        float *start = job->z + r * kept * Z;
        memcpy(start, job->first[READS] + r * reads, reads * sizeof(float));
        memcpy(start + reads, job->first[HIDDEN] + r * H, (Z - reads) * sizeof(float));
        memcpy(job->memories + r * room_after * memory_size, job->first[MEMORY] + r * memory_size,
               memory_size * sizeof(float));
        memcpy(job->weights + r * room_after * weights_size, job->first[WEIGHTS] + r * weights_size,
               weights_size * sizeof(float));
        if (cell_size)
            memcpy(job->cells + r * room_after * H, job->first[CELL] + r * H, H * sizeof(float));
    }
    for (int64_t t = 0; t < S; t++) {
        int64_t at = job->keep ? t : 0, then = job->keep ? t + 1 : 0;
        FN(multiply)(rows, z + at * Z, kept * Z, back, Z, a, wide);
        for (int64_t r = first; r < last; r++) {
            float *mine = a + (r - first) * wide, *out = job->seen + (r * S + t) * seen_size;
            if (t >= job->lengths[r]) {
                memset(out, 0, seen_size * sizeof(float));
                continue;
            }
            const float *given = job->projected + (r * S + t) * gates;
            for (int64_t j = 0; j < gates; j++) mine[j] += given[j];
            float *cells = cell_size ? job->cells + r * room_after * H : 0;
            FN(controller_row)(job, mine, cell_size ? cells + at * H : 0,
                               cell_size ? job->units + (r * kept + at) * units_size : 0, out,
                               cell_size ? cells + then * H : 0);
        }
        FN(multiply)(rows, seen + t * seen_size, S * seen_size, heads, H, numbers, narrow);
        for (int64_t r = first; r < last; r++) {
            if (t >= job->lengths[r]) continue;
            float *steer = job->numbers + (r * kept + at) * I;
            float *memories = job->memories + r * room_after * memory_size;
            float *weights = job->weights + r * room_after * weights_size;
            float *out = job->seen + (r * S + t) * seen_size;
            for (int64_t j = 0; j < I; j++) steer[j] = numbers[(r - first) * narrow + j] + bias[j];
            FN(activate)(job, steer);
            FN(heads_step)(job, steer, memories + at * memory_size, weights + at * weights_size,
                           job->content + (r * kept + at) * weights_size,
                           job->shifted + (r * kept + at) * weights_size,
                           weights + then * weights_size, out + H, memories + then * memory_size,
                           work);
            if (t + 1 < S) {
                float *next = job->z + (r * kept + then % kept) * Z;
                memcpy(next, out + H, reads * sizeof(float));
                memcpy(next + reads, out, (Z - reads) * sizeof(float));
            }
        }
    }
    for (int64_t r = first; r < last; r++) {
        int64_t steps = job->lengths[r], end = job->keep ? steps : 0;
        const float *out = job->seen + (r * S + steps - 1) * seen_size;
        const float *hidden = steps ? out : job->first[HIDDEN] + r * H;
        const float *read = steps ? out + H : job->first[READS] + r * reads;
        memcpy(job->last[MEMORY] + r * memory_size,
               job->memories + (r * room_after + end) * memory_size, memory_size * sizeof(float));
        memcpy(job->last[WEIGHTS] + r * weights_size,
               job->weights + (r * room_after + end) * weights_size, weights_size * sizeof(float));
        memcpy(job->last[READS] + r * reads, read, reads * sizeof(float));
        memcpy(job->last[HIDDEN] + r * H, hidden, H * sizeof(float));
        if (cell_size)
            memcpy(job->last[CELL] + r * H, job->cells + (r * room_after + end) * H,
                   H * sizeof(float));
    }
}

/* In `first` are the cotangents of the last state, which become those of the first. */
TARGET static void FN(adjoint)(const Job *job, int64_t n, int64_t first, int64_t last, float *room)
{
    int64_t S = job->S, H = job->H, gates = job->G * H, Z = job->Z, I = job->I;
    int64_t rows = last - first, reads = job->R * job->W, seen_size = H + reads;
    int64_t wide = padded(Z), narrow = padded(H);
    int64_t memory_size = part_size(job, MEMORY), weights_size = part_size(job, WEIGHTS);
    int64_t cell_size = part_size(job, CELL);
    float *back = room, *heads = back + gates * wide, *dz = heads + I * narrow;
    float *dhidden = dz + rows * wide, *work = dhidden + rows * narrow;
    FN(pack)(job->weight_back + n * gates * Z, Z, 1, gates, Z, back);
    FN(pack)(job->weight_heads + n * I * H, H, 1, I, H, heads);
    for (int64_t t = S - 1; t >= 0; t--) {
        for (int64_t r = first; r < last; r++) {
            float *dnumbers = job->dnumbers + (r * S + t) * I;
            if (t >= job->lengths[r]) {
                memset(dnumbers, 0, I * sizeof(float));
                continue;
            }
            const float *given = job->dseen + (r * S + t) * seen_size;
            float *dreads = job->first[READS] + r * reads, *dstate = job->first[HIDDEN] + r * H;
            for (int64_t j = 0; j < H; j++) dstate[j] += given[j];
            for (int64_t j = 0; j < reads; j++) dreads[j] += given[H + j];
            const float *memories = job->memories + r * (S + 1) * memory_size;
            const float *weights = job->weights + r * (S + 1) * weights_size;
            FN(heads_adjoint)(job, job->numbers + (r * S + t) * I, memories + t * memory_size,
                              weights + t * weights_size,
                              job->content + (r * S + t) * weights_size,
                              job->shifted + (r * S + t) * weights_size,
                              weights + (t + 1) * weights_size, dreads,
                              job->first[MEMORY] + r * memory_size,
                              job->first[WEIGHTS] + r * weights_size, dnumbers, work);
        }
        FN(multiply)(rows, job->dnumbers + (first * S + t) * I, S * I, heads, I, dhidden, narrow);
        for (int64_t r = first; r < last; r++) {
            float *da = job->da + (r * S + t) * gates, *mine = dhidden + (r - first) * narrow;
            if (t >= job->lengths[r]) {
                memset(da, 0, gates * sizeof(float));
                continue;
            }
            const float *dstate = job->first[HIDDEN] + r * H;
            for (int64_t j = 0; j < H; j++) mine[j] += dstate[j];
            FN(controller_adjoint)(job, cell_size ? job->units + (r * S + t) * 5 * H : 0,
                                   cell_size ? job->cells + (r * (S + 1) + t) * H : 0,
                                   job->seen + (r * S + t) * seen_size, mine,
                                   cell_size ? job->first[CELL] + r * H : 0, da);
        }
        FN(multiply)(rows, job->da + (first * S + t) * gates, S * gates, back, gates, dz, wide);
        for (int64_t r = first; r < last; r++) {
            if (t >= job->lengths[r]) continue;
            const float *mine = dz + (r - first) * wide;
            float *dstate = job->first[HIDDEN] + r * H;
            memcpy(job->first[READS] + r * reads, mine, reads * sizeof(float));
            for (int64_t j = 0; j < H; j++) dstate[j] = Z > reads ? mine[reads + j] : 0;
        }
    }
}

/* Take items of work until none is left. */
TARGET static void FN(work)(void *given)
{
    Job *job = given;
    int64_t blocks = (job->B + job->block - 1) / job->block, item;
    float *room = malloc(workspace(job) * sizeof(float));
    if (!room) return; /* `next` then tells that items are left */
    unsigned mode = flush_denormals();
    while ((item = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->A * blocks) {
        int64_t n = item / blocks, first = item % blocks * job->block, last = first + job->block;
        if (last > job->B) last = job->B;
        first += n * job->B;
        last += n * job->B;
        if (job->pass == FORWARD) FN(forward)(job, n, first, last, room);
        else FN(adjoint)(job, n, first, last, room);
    }
    restore_denormals(mode);
    free(room);
}
