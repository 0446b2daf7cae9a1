/* The heads of a differentiable neural computer; `memory/dnc.py` documents the equations.
 * memory_passes.h includes this file once for each kind of processor.
 *
 * A step computes in this order, with the previous read weights r and write weights w:
 *   usage         u' = (u + w - u w) prod_h (1 - f_h r_h)
 *   write         w' = g_w (g_a a + (1 - g_a) c), with allocation a and content weights c;
 *                 M'(i) = M(i) (1 - w'(i) e) + w'(i) v
 *   links         L' and p' = w' + (1 - sum w') p
 *   read weights  r' = pi_1 L'^T r + pi_2 c' + pi_3 L' r, and the read is r' M'
 * Weights and content weights are stored with the read heads first, then the write head. */

#include "dnc_addressing.h"

/* The parts of an interface vector or of its cotangents, in the order of `DNC._interface`. */
typedef struct {
    float *keys, *write_key, *write_vector; /* (R, W), (W), (W): not activated */
    float *erase, *free_gates;              /* (W), (R): sigmoid */
    float *allocation_gate, *write_gate;    /* (1) each: sigmoid */
    float *strengths;                       /* (R + 1): softplus; beta is 1 + strength */
    float *backward, *content, *forward;    /* (R) each, the modes pi: softmax of the three */
} FN(DNCInterface);

TARGET static inline FN(DNCInterface) FN(dnc_interface)(const Job *job, float *vector)
{
    int64_t R = job->R, W = job->W;
    FN(DNCInterface) xi = {.keys = vector, .write_key = vector + R * W};
    xi.write_vector = xi.write_key + W;
    xi.erase = xi.write_vector + W;
    xi.free_gates = xi.erase + W;
    xi.allocation_gate = xi.free_gates + R;
    xi.write_gate = xi.allocation_gate + 1;
    xi.strengths = xi.write_gate + 1;
    xi.backward = xi.strengths + R + 1;
    xi.content = xi.backward + R;
    xi.forward = xi.content + R;
    return xi;
}

TARGET static void FN(dnc_activate)(const Job *job, FN(DNCInterface) xi)
{
    FN(activate_sigmoid)(xi.strengths - xi.erase, xi.erase);
    FN(activate_softplus)(xi.backward - xi.strengths, xi.strengths);
    for (int64_t h = 0; h < job->R; h++) {
        float modes[3] = {xi.backward[h], xi.content[h], xi.forward[h]};
        FN(softmax)(3, modes, 1.0f, modes);
        xi.backward[h] = modes[0];
        xi.content[h] = modes[1];
        xi.forward[h] = modes[2];
    }
}

TARGET static void FN(dnc_activate_adjoint)(const Job *job, FN(DNCInterface) xi,
                                            FN(DNCInterface) dxi)
{
    FN(sigmoid_adjoint)(xi.strengths - xi.erase, xi.erase, dxi.erase);
    FN(softplus_adjoint)(xi.backward - xi.strengths, xi.strengths, dxi.strengths);
    for (int64_t h = 0; h < job->R; h++) {
        float modes[3] = {xi.backward[h], xi.content[h], xi.forward[h]};
        float dmodes[3] = {dxi.backward[h], dxi.content[h], dxi.forward[h]};
        FN(softmax_adjoint)(3, modes, dmodes, dmodes);
        dxi.backward[h] = dmodes[0];
        dxi.content[h] = dmodes[1];
        dxi.forward[h] = dmodes[2];
    }
}

/* -- write --------------------------------------------------------------------------------- */

/* Compute the write weights, and write; returns the sum of the weights. */
TARGET static float FN(dnc_write)(const Job *job, int64_t index, FN(DNCInterface) xi,
                                  const State *prev, const State *next, float *scratch)
{
    int64_t M = job->M, W = job->W, R = job->R;
    const float *memory = prev->part[MEMORY], *allocation = next->part[ALLOCATION];
    float *writes = next->part[WEIGHTS] + R * M;
    float *content = job->content + (index * (R + 1) + R) * M;
    float *inverse = scratch, *line = scratch + M, sum = 0;
    float allocation_gate = *xi.allocation_gate, write_gate = *xi.write_gate;
    FN(inverse_lengths)(job, memory, inverse);
    FN(content_weights)(job, memory, inverse, xi.write_key, 1 + xi.strengths[R], content, line);
    SIMD_SUM(sum)
    for (int64_t i = 0; i < M; i++) {
        writes[i] = write_gate * (content[i] + allocation_gate * (allocation[i] - content[i]));
        sum += writes[i];
    }
    for (int64_t j = 0; j < W; j++) {
        float v = xi.write_vector[j], e = xi.erase[j];
        const float *m = memory + j * M;
        float *to = next->part[MEMORY] + j * M;
        SIMD
        for (int64_t i = 0; i < M; i++) to[i] = m[i] + writes[i] * (v - e * m[i]);
    }
    return sum;
}

/* The adjoint of the write itself is
 *   dv = sum_i dM'(i) w'(i),                   de = -sum_i dM'(i) w'(i) M(i),
 *   dw'(i) += dM'(i) . (v - e M(i)),           dM(i) = dM'(i) (1 - w'(i) e),
 * and the adjoint of its weights, with x = dw' . c and y = dw' . a - x, is
 *   dg_w = x + g_a y,    dg_a = g_w y,    da = g_w g_a dw',    dc = g_w (1 - g_a) dw'. */
TARGET static void FN(dnc_write_adjoint)(const Job *job, int64_t index, FN(DNCInterface) xi,
                                         const State *prev, const State *next, FN(DNCInterface) dxi,
                                         const State *d, float *scratch)
{
    int64_t M = job->M, W = job->W, R = job->R;
    const float *memory = prev->part[MEMORY], *allocation = next->part[ALLOCATION];
    const float *writes = next->part[WEIGHTS] + R * M;
    const float *content = job->content + (index * (R + 1) + R) * M;
    float *dmemory = d->part[MEMORY], *dwrites = d->part[WEIGHTS] + R * M;
    float *dallocation = d->part[ALLOCATION], *inverse = scratch;
    float allocation_gate = *xi.allocation_gate, write_gate = *xi.write_gate;
    for (int64_t j = 0; j < W; j++) {
        const float *m = memory + j * M;
        float v = xi.write_vector[j], e = xi.erase[j], dv = 0, de = 0, *dm = dmemory + j * M;
        SIMD_SUM(dv, de)
        for (int64_t i = 0; i < M; i++) {
            dv += dm[i] * writes[i];
            de -= dm[i] * writes[i] * m[i];
            dwrites[i] += dm[i] * (v - e * m[i]);
            dm[i] *= 1 - e * writes[i];
        }
        dxi.write_vector[j] = dv;
        dxi.erase[j] = de;
    }
    float x = FN(dot)(M, dwrites, content), y = FN(dot)(M, dwrites, allocation) - x;
    *dxi.write_gate = x + allocation_gate * y;
    *dxi.allocation_gate = write_gate * y;
    SIMD
    for (int64_t i = 0; i < M; i++) dallocation[i] += write_gate * allocation_gate * dwrites[i];
    FN(inverse_lengths)(job, memory, inverse);
    dxi.strengths[R] = FN(content_weights_adjoint)(
        job, memory, inverse, xi.write_key, 1 + xi.strengths[R], content, dwrites,
        write_gate * (1 - allocation_gate), dxi.write_key, dmemory, scratch + M);
}

/* -- read ---------------------------------------------------------------------------------- */

TARGET static void FN(dnc_read)(const Job *job, int64_t index, FN(DNCInterface) xi,
                                const float *backward, const float *forward, const State *next,
                                float *scratch)
{
    int64_t M = job->M, W = job->W, R = job->R;
    const float *memory = next->part[MEMORY];
    float *inverse = scratch, *line = scratch + M;
    FN(inverse_lengths)(job, memory, inverse);
    for (int64_t h = 0; h < R; h++) {
        const float *b = backward + h * M, *f = forward + h * M;
        float *c = job->content + (index * (R + 1) + h) * M, *r = next->part[WEIGHTS] + h * M;
        float pi_1 = xi.backward[h], pi_2 = xi.content[h], pi_3 = xi.forward[h];
        FN(content_weights)(job, memory, inverse, xi.keys + h * W, 1 + xi.strengths[h], c, line);
        SIMD
        for (int64_t i = 0; i < M; i++) r[i] = pi_1 * b[i] + pi_2 * c[i] + pi_3 * f[i];
        FN(read_memory)(job, memory, r, next->part[READS] + h * W);
    }
}

/* Adjoint of the reads and of the content part of their weights: dpi_2 = dr' . c' and
 * dc' = pi_2 dr'. */
TARGET static void FN(dnc_read_adjoint)(const Job *job, int64_t index, FN(DNCInterface) xi,
                                        const State *next, FN(DNCInterface) dxi, const State *d,
                                        float *scratch)
{
    int64_t M = job->M, W = job->W, R = job->R;
    const float *memory = next->part[MEMORY];
    float *dmemory = d->part[MEMORY], *inverse = scratch;
    FN(inverse_lengths)(job, memory, inverse);
    for (int64_t h = 0; h < R; h++) {
        const float *r = next->part[WEIGHTS] + h * M, *c = job->content + (index * (R + 1) + h) * M;
        float *dr = d->part[WEIGHTS] + h * M;
        FN(read_memory_adjoint)(job, memory, r, d->part[READS] + h * W, dr, dmemory);
        dxi.content[h] = FN(dot)(M, dr, c);
        dxi.strengths[h] = FN(content_weights_adjoint)(job, memory, inverse, xi.keys + h * W,
                                                       1 + xi.strengths[h], c, dr, xi.content[h],
                                                       dxi.keys + h * W, dmemory, scratch + M);
    }
}

/* -- one step ------------------------------------------------------------------------------ */

/* `next` may share storage with `prev`. `index` is the step's index in arrays over steps. */
TARGET NOINLINE static void FN(dnc_step)(const Job *job, int64_t index, float *interface_vector,
                                         const State *prev, const State *next, float *scratch)
{
    int64_t M = job->M, R = job->R;
    const float *prev_weights = prev->part[WEIGHTS], *precedence = prev->part[PRECEDENCE];
    const float *writes = next->part[WEIGHTS] + R * M;
    float *next_precedence = next->part[PRECEDENCE], *usage = next->part[USAGE];
    float *backward = scratch, *forward = backward + R * M, *rest = forward + R * M;
    FN(DNCInterface) xi = FN(dnc_interface)(job, interface_vector);
    FN(dnc_activate)(job, xi);
    FN(usage)(M, R, prev->part[USAGE], prev_weights, xi.free_gates, usage);
    FN(allocate)(M, usage, job->usage_products + index * M, next->part[ALLOCATION], rest);
    float sum = FN(dnc_write)(job, index, xi, prev, next, rest);
    FN(link)(M, R, prev->part[LINKS], precedence, writes, prev_weights, next->part[LINKS], backward,
             forward);
    SIMD
    for (int64_t i = 0; i < M; i++) next_precedence[i] = writes[i] + (1 - sum) * precedence[i];
    FN(dnc_read)(job, index, xi, backward, forward, next, rest);
}

/* Adjoint of the links and the precedence. With p' = w' + (1 - sum w') p,
 * dw'(i) += dp'(i) - dp' . p and dp = (1 - sum w') dp'. */
TARGET static void FN(dnc_links_adjoint)(const Job *job, FN(DNCInterface) xi, const State *prev,
                                         const State *next, FN(DNCInterface) dxi, const State *d,
                                         float *scratch)
{
    int64_t M = job->M, R = job->R;
    const float *precedence = prev->part[PRECEDENCE], *writes = next->part[WEIGHTS] + R * M;
    float *dprecedence = d->part[PRECEDENCE], *dwrites = d->part[WEIGHTS] + R * M;
    float *along = scratch, *across = scratch + R * M, left = 1;
    float shrink = FN(dot)(M, dprecedence, precedence);
    for (int64_t i = 0; i < M; i++) left -= writes[i];
    SIMD
    for (int64_t i = 0; i < M; i++) {
        dwrites[i] += dprecedence[i] - shrink;
        dprecedence[i] *= left;
    }
    FN(link_adjoint)(M, R, prev, next, xi.backward, xi.forward, d, along, across);
    for (int64_t h = 0; h < R; h++) {
        const float *r = prev->part[WEIGHTS] + h * M, *x = along + h * M, *y = across + h * M;
        float *dr = d->part[WEIGHTS] + h * M, pi_1 = xi.backward[h], pi_3 = xi.forward[h];
        dxi.backward[h] = FN(dot)(M, r, x);
        dxi.forward[h] = FN(dot)(M, r, y);
        SIMD
        for (int64_t i = 0; i < M; i++) dr[i] = pi_1 * x[i] + pi_3 * y[i];
    }
}

/* See `heads_adjoint`. Runs the parts of a step in reverse order. */
TARGET NOINLINE static void FN(dnc_adjoint)(const Job *job, int64_t index, float *interface_vector,
                                            const State *prev, const State *next, const State *d,
                                            float *dinterface, float *scratch)
{
    int64_t M = job->M, R = job->R;
    float *dallocation = d->part[ALLOCATION], *dusage = d->part[USAGE];
    FN(DNCInterface) xi = FN(dnc_interface)(job, interface_vector);
    FN(DNCInterface) dxi = FN(dnc_interface)(job, dinterface);
    FN(dnc_read_adjoint)(job, index, xi, next, dxi, d, scratch);
    FN(dnc_links_adjoint)(job, xi, prev, next, dxi, d, scratch);
    FN(dnc_write_adjoint)(job, index, xi, prev, next, dxi, d, scratch);
    FN(allocate_adjoint)(M, next->part[USAGE], job->usage_products + index * M, dallocation, dusage,
                         scratch);
    memset(dallocation, 0, M * sizeof(float)); /* no step reads the previous allocation */
    FN(usage_adjoint)(M, R, prev->part[USAGE], prev->part[WEIGHTS], xi.free_gates, dusage,
                      d->part[WEIGHTS], dxi.free_gates, scratch);
    FN(dnc_activate_adjoint)(job, xi, dxi);
}
