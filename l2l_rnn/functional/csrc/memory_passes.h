/* The passes of memory.c, which includes this file once for each kind of processor, with
 * SUFFIX at the end of every name and TARGET before every function. */

#include "vector_math.h"

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
                                      const float *before, float *restrict units,
                                      float *restrict hidden, float *cell)
{
    int64_t H = job->H;
    if (job->G == 1) {
        for (int64_t j = 0; j < H; j++) hidden[j] = FN(hyperbolic)(a[j]);
        return;
    }
    SIMD /* where one step is kept, the cell is at the place of the one before */
    for (int64_t j = 0; j < H; j++) {
        float i = FN(sigmoid)(a[j]), f = FN(sigmoid)(a[H + j]);
        float g = FN(hyperbolic)(a[2 * H + j]), o = FN(sigmoid)(a[3 * H + j]);
        float now = f * before[j] + i * g, tau = FN(hyperbolic)(now);
        units[j] = i;
        units[H + j] = f;
        units[2 * H + j] = g;
        units[3 * H + j] = o;
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
        float i = units[j], f = units[H + j], g = units[2 * H + j], o = units[3 * H + j];
        float tau = units[4 * H + j], m = dcell[j] + dhidden[j] * o * (1 - tau * tau);
        da[j] = m * g * i * (1 - i);
        da[H + j] = m * before[j] * f * (1 - f);
        da[2 * H + j] = m * i * (1 - g * g);
        da[3 * H + j] = dhidden[j] * tau * o * (1 - o);
        dcell[j] = m * f;
    }
}

#include "ntm.h"
#include "mann.h"
#include "dnc.h"

/* -- all steps ----------------------------------------------------------------------------- */

TARGET static void FN(step)(const Job *job, int64_t step, float *numbers, const State *was,
                            const State *now, float *room)
{
    switch (job->kind) {
    case NTM: FN(ntm_step)(job, step, numbers, was, now, room); break;
    case MANN: FN(mann_step)(job, step, numbers, was, now, room); break;
    default: FN(dnc_step)(job, step, numbers, was, now, room);
    }
}

TARGET static void FN(step_adjoint)(const Job *job, int64_t step, const float *numbers,
                                    const State *was, const State *now, const State *d,
                                    float *dnumbers, float *room)
{
    switch (job->kind) {
    case NTM: FN(ntm_adjoint)(job, step, numbers, was, now, d, dnumbers, room); break;
    case MANN: FN(mann_adjoint)(job, step, numbers, was, now, d, dnumbers, room); break;
    default: FN(dnc_adjoint)(job, step, numbers, was, now, d, dnumbers, room);
    }
}

TARGET static void FN(forward)(const Job *job, int64_t n, int64_t first, int64_t last, float *room)
{
    int64_t S = job->S, H = job->H, gates = job->G * H, Z = job->Z, I = job->I;
    int64_t rows = last - first, reads = job->R * job->W, seen_size = H + reads;
    int64_t kept = job->keep ? S : 1, ends = job->keep ? S + 1 : 1;
    int64_t wide = padded(gates), narrow = padded(I), units_size = 5 * part_size(job, CELL);
    float *back = room, *heads = back + Z * wide, *a = heads + H * narrow;
    float *numbers = a + rows * wide, *work = numbers + rows * narrow;
    FN(pack)(job->weight_back + n * gates * Z, 1, Z, Z, gates, back);
    FN(pack)(job->weight_heads + n * I * H, 1, H, H, I, heads);
    const float *bias = job->bias_heads + n * I;
    float *z = job->z + first * kept * Z, *seen = job->seen + first * S * seen_size;
    for (int64_t r = first; r < last; r++) {
        State start = state_at(job, job->first, r), to = state_at(job, job->all, r * ends);
        float *z_start = job->z + r * kept * Z;
        memcpy(z_start, start.part[READS], reads * sizeof(float));
        memcpy(z_start + reads, start.part[HIDDEN], (Z - reads) * sizeof(float));
        for (int part = 0; part < PARTS; part++)
            if (to.part[part]) copy_part(job, part, to.part[part], start.part[part]);
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
            const float *given = job->projected + (r * S + t) * job->P;
            for (int64_t j = 0; j < gates; j++) mine[j] += given[j];
            State was = state_at(job, job->all, r * ends + at);
            State now = state_at(job, job->all, r * ends + then);
            FN(controller_row)(job, mine, was.part[CELL],
                               job->units + (r * kept + at) * units_size, out, now.part[CELL]);
        }
        FN(multiply)(rows, seen + t * seen_size, S * seen_size, heads, H, numbers, narrow);
        for (int64_t r = first; r < last; r++) {
            if (t >= job->lengths[r]) continue;
            float *steer = job->numbers + (r * kept + at) * I;
            float *out = job->seen + (r * S + t) * seen_size;
            for (int64_t j = 0; j < I; j++) steer[j] = numbers[(r - first) * narrow + j] + bias[j];
            const float *given = job->projected + (r * S + t) * job->P + gates;
            for (int64_t j = 0; j < job->P - gates; j++) steer[j] += given[j];
            State was = state_at(job, job->all, r * ends + at);
            State now = state_at(job, job->all, r * ends + then);
            now.part[READS] = out + H;
            FN(step)(job, r * kept + at, steer, &was, &now, work);
            if (t + 1 < S) {
                float *next = job->z + (r * kept + then) * Z;
                memcpy(next, out + H, reads * sizeof(float));
                memcpy(next + reads, out, (Z - reads) * sizeof(float));
            }
        }
    }
    for (int64_t r = first; r < last; r++) {
        int64_t steps = job->lengths[r];
        State from = state_at(job, job->all, r * ends + (job->keep ? steps : 0));
        State start = state_at(job, job->first, r), to = state_at(job, job->last, r);
        float *out = steps ? job->seen + (r * S + steps - 1) * seen_size : 0;
        from.part[HIDDEN] = steps ? out : start.part[HIDDEN];
        from.part[READS] = steps ? out + H : start.part[READS];
        for (int part = 0; part < PARTS; part++)
            copy_part(job, part, to.part[part], from.part[part]);
    }
}

/* In `first` are the cotangents of the last state, which become those of the first. */
TARGET static void FN(adjoint)(const Job *job, int64_t n, int64_t first, int64_t last, float *room)
{
    int64_t S = job->S, H = job->H, gates = job->G * H, Z = job->Z, I = job->I;
    int64_t rows = last - first, reads = job->R * job->W, seen_size = H + reads;
    int64_t wide = padded(Z), narrow = padded(H), units_size = 5 * part_size(job, CELL);
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
            State d = state_at(job, job->first, r);
            State was = state_at(job, job->all, r * (S + 1) + t);
            State now = state_at(job, job->all, r * (S + 1) + t + 1);
            for (int64_t j = 0; j < H; j++) d.part[HIDDEN][j] += given[j];
            for (int64_t j = 0; j < reads; j++) d.part[READS][j] += given[H + j];
            FN(step_adjoint)(job, r * S + t, job->numbers + (r * S + t) * I, &was, &now, &d,
                             dnumbers, work);
        }
        FN(multiply)(rows, job->dnumbers + (first * S + t) * I, S * I, heads, I, dhidden, narrow);
        for (int64_t r = first; r < last; r++) {
            float *da = job->da + (r * S + t) * job->P, *mine = dhidden + (r - first) * narrow;
            if (t >= job->lengths[r]) {
                memset(da, 0, job->P * sizeof(float));
                continue;
            }
            State d = state_at(job, job->first, r);
            State was = state_at(job, job->all, r * (S + 1) + t);
            for (int64_t j = 0; j < H; j++) mine[j] += d.part[HIDDEN][j];
            FN(controller_adjoint)(job, job->units + (r * S + t) * units_size, was.part[CELL],
                                   job->seen + (r * S + t) * seen_size, mine, d.part[CELL], da);
            memcpy(da + gates, job->dnumbers + (r * S + t) * I,
                   (job->P - gates) * sizeof(float));
        }
        FN(multiply)(rows, job->da + (first * S + t) * job->P, S * job->P, back, gates, dz, wide);
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
