/* The passes of rnn.c, which includes this file once for each kind of processor, with the SUFFIX
 * and TARGET of common.h. */

#include "vector_math.h"

#include "gru.h"
#include "lstm.h"
#include "minimal.h"

/* -- one row of a cell ---------------------------------------------------------------------
 *
 * Each function below works on one row of H hidden units, at one step. Its constant `cell` selects
 * a loop at compile time. The cells' headers have the derivations. A prime marks a tangent. */

/* Pre-activations a -> the gates, h and c. `gates` may be a scrap row. */
INLINE void FN(forward_row)(int64_t cell, int64_t H, const float *restrict a,
                            const float *restrict h_before, const float *restrict c_before,
                            float *restrict gates, float *restrict h, float *restrict c)
{
    switch (cell) {
    case TANH: /* h = tanh(a) */
        for (int64_t j = 0; j < H; j++) h[j] = FN(hyperbolic)(a[j]);
        break;
    case RELU: /* h = max(a, 0); NaN stays NaN */
        for (int64_t j = 0; j < H; j++) h[j] = a[j] < 0 ? 0 : a[j];
        break;
    case GRU: FN(gru_forward)(H, a, h_before, gates, h); break;
    case LSTM: FN(lstm_forward)(H, a, c_before, gates, h, c); break;
    }
}

/* lambda and mu -> da. The direct gradients w.r.t. h_before and c_before are added to lam_before
 * and mu_before; the pass adds the part that goes through the product with W. */
INLINE void FN(adjoint_row)(int64_t cell, int64_t H, const float *restrict gates,
                            const float *restrict h_before, const float *restrict c_before,
                            const float *restrict h, const float *restrict lam, float *restrict mu,
                            float *restrict da, float *restrict lam_before,
                            float *restrict mu_before)
{
    switch (cell) {
    case TANH: /* dh/da = 1 - h^2 */
        for (int64_t j = 0; j < H; j++) da[j] = lam[j] * (1 - h[j] * h[j]);
        break;
    case RELU: /* dh/da is 1 where h > 0, else 0 */
        for (int64_t j = 0; j < H; j++) da[j] = h[j] > 0 ? lam[j] : 0;
        break;
    case GRU: FN(gru_adjoint)(H, gates, h_before, lam, da, lam_before); break;
    case LSTM: FN(lstm_adjoint)(H, gates, c_before, lam, mu, da, mu_before); break;
    }
}

/* a' -> h', c' and, in place of a', the gradient w.r.t. a of L = lambda h' + mu c'. The gradients
 * w.r.t. h_before, c_before and c are added to dh_before, dc_before and dc. */
INLINE void FN(tangent_row)(int64_t cell, int64_t H, const float *restrict gates,
                            const float *restrict h_before, const float *restrict c_before,
                            const float *restrict h, const float *restrict lam,
                            const float *restrict mu, const float *restrict da,
                            const float *restrict h_tangent_before,
                            const float *restrict c_tangent_before, float *restrict a_tangent,
                            float *restrict h_tangent, float *restrict c_tangent,
                            float *restrict dh_before, float *restrict dc_before,
                            float *restrict dc)
{
    switch (cell) {
    case TANH: /* h' = (1 - h^2) a', and dL/da = lambda a' (-2 h) (1 - h^2) = -2 a' h da */
        for (int64_t j = 0; j < H; j++) {
            h_tangent[j] = a_tangent[j] * (1 - h[j] * h[j]);
            a_tangent[j] = -2 * a_tangent[j] * h[j] * da[j];
        }
        break;
    case RELU: /* piecewise linear, so its second derivative is 0 */
        for (int64_t j = 0; j < H; j++) {
            h_tangent[j] = h[j] > 0 ? a_tangent[j] : 0;
            a_tangent[j] = 0;
        }
        break;
    case GRU:
        FN(gru_tangent)(H, gates, h_before, lam, da, h_tangent_before, a_tangent, h_tangent,
                        dh_before);
        break;
    case LSTM:
        FN(lstm_tangent)(H, gates, c_before, lam, mu, da, c_tangent_before, a_tangent, h_tangent,
                         c_tangent, dc_before, dc);
        break;
    }
}

/* -- passes --------------------------------------------------------------------------------
 *
 * Each pass runs rows first .. last of parameter set n (a task or direction) through all steps.
 * Step t starts at row `here` of the packed arrays. The previous step starts at row `before` of the
 * packed arrays or, for t = 0, of the initial state. `room` is the workspace of the thread. */

#define IF_C(pointer) (cell == LSTM ? (pointer) : 0) /* only an LSTM has a cell state */

/* a_t = W z_t with z_t = [x_t 1 h_{t-1}], then the cell. */
INLINE void FN(forward)(const Job *job, int64_t cell, int64_t n, int64_t first, int64_t last,
                        float *room)
{
    int64_t H = job->H, K = job->K, UH = job->U * H, width = padded(UH), kept = KEPT[cell];
    float *panels = room, *a = panels + width * K, *scrap = a + job->block * width;
    FN(pack)(job->weight + n * UH * K, 1, K, K, UH, panels);
    int64_t here = n * job->P, before = n * job->B;
    const float *h_before = job->h0, *c_before = job->c0;
    for (int64_t t = 0; t < job->S; t++) {
        int64_t stop = last < job->sizes[t] ? last : job->sizes[t];
        if (stop <= first) break;
        for (int64_t r = first; r < stop; r++)
            memcpy(job->z + (here + r) * K + K - H, h_before + (before + r) * H, H * sizeof(float));
        FN(multiply)(stop - first, job->z + (here + first) * K, K, panels, K, a, width);
        for (int64_t r = first; r < stop; r++) {
            int64_t row = here + r, old = before + r;
            float *gates = job->gates ? job->gates + row * kept * H : scrap, *h = job->h + row * H;
            FN(forward_row)(cell, H, a + (r - first) * width, h_before + old * H,
                            IF_C(c_before + old * H), gates, h, IF_C(job->c + row * H));
            if (job->outside && job->outside[row]) memset(h, 0, H * sizeof(float));
        }
        before = here;
        here += job->sizes[t];
        h_before = job->h;
        c_before = job->c;
    }
}

/* The cell computes da_t from lambda_t and mu_t; then lambda_{t-1} += da_t W_hh. */
INLINE void FN(adjoint)(const Job *job, int64_t cell, int64_t n, int64_t first, int64_t last,
                        float *room)
{
    int64_t H = job->H, K = job->K, UH = job->U * H, width = padded(H), kept = KEPT[cell];
    float *panels = room, *products = panels + width * UH;
    FN(pack)(job->weight + n * UH * K + K - H, K, 1, UH, H, panels);
    int64_t here = (n + 1) * job->P;
    for (int64_t t = job->S - 1; t >= 0; t--) {
        here -= job->sizes[t];
        int64_t stop = last < job->sizes[t] ? last : job->sizes[t];
        int64_t before = t ? here - job->sizes[t - 1] : n * job->B;
        const float *h_before = t ? job->h : job->h0, *c_before = t ? job->c : job->c0;
        float *lam_before = t ? job->lam : job->dh0, *mu_before = t ? job->mu : job->dc0;
        if (stop <= first) continue;
        for (int64_t r = first; r < stop; r++) {
            int64_t row = here + r, old = before + r;
            float *da = job->da + row * UH;
            FN(adjoint_row)(cell, H, job->gates + row * kept * H, h_before + old * H,
                            IF_C(c_before + old * H), job->h + row * H, job->lam + row * H,
                            IF_C(job->mu + row * H), da, lam_before + old * H,
                            IF_C(mu_before + old * H));
            if (job->da_given)
                for (int64_t j = 0; j < UH; j++) da[j] += job->da_given[row * UH + j];
        }
        FN(multiply)(stop - first, job->da + (here + first) * UH, UH, panels, UH, products, width);
        for (int64_t r = first; r < stop; r++) {
            float *restrict to = lam_before + (before + r) * H;
            const float *restrict from = products + (r - first) * width;
            for (int64_t j = 0; j < H; j++) to[j] += from[j];
        }
    }
}

/* a_t' = V z_t + W z_t' with z_t' = [x_t' 0 h_{t-1}'], then the cell. The gradient w.r.t. h_{t-1}
 * is the sum of the cell's part and the part from z, dz_t = V^T da_t. */
INLINE void FN(tangent)(const Job *job, int64_t cell, int64_t n, int64_t first, int64_t last,
                        float *room)
{
    int64_t H = job->H, K = job->K, UH = job->U * H, width = padded(UH), kept = KEPT[cell];
    int64_t from = job->first_column, depth = K - from;
    float *panels = room, *products = panels + width * depth;
    FN(pack)(job->weight + n * UH * K + from, 1, K, depth, UH, panels);
    int64_t here = n * job->P, before = n * job->B;
    const float *h_before = job->h0, *c_before = job->c0;
    const float *h_tangent_before = job->h0_tangent, *c_tangent_before = job->c0_tangent;
    float *dh_before = job->dh0, *dc_before = job->dc0;
    for (int64_t t = 0; t < job->S; t++) {
        int64_t stop = last < job->sizes[t] ? last : job->sizes[t];
        if (stop <= first) break;
        float *z = job->z + (here + first) * K;
        for (int64_t r = first; r < stop; r++)
            memcpy(z + (r - first) * K + K - H, h_tangent_before + (before + r) * H,
                   H * sizeof(float));
        FN(multiply)(stop - first, z + from, K, panels, depth, products, width);
        for (int64_t r = first; r < stop; r++) {
            int64_t row = here + r, old = before + r;
            float *restrict a_tangent = job->a_tangent + row * UH;
            float *restrict dh = dh_before + old * H;
            const float *restrict product = products + (r - first) * width;
            const float *restrict dz = job->dz + row * K + K - H;
            for (int64_t j = 0; j < UH; j++) a_tangent[j] += product[j];
            for (int64_t j = 0; j < H; j++) dh[j] += dz[j];
            FN(tangent_row)(cell, H, job->gates + row * kept * H, h_before + old * H,
                            IF_C(c_before + old * H), job->h + row * H, job->lam + row * H,
                            IF_C(job->mu + row * H), job->da + row * UH, h_tangent_before + old * H,
                            IF_C(c_tangent_before + old * H), a_tangent, job->h_tangent + row * H,
                            IF_C(job->c_tangent + row * H), dh, IF_C(dc_before + old * H),
                            IF_C(job->c_gradient + row * H));
        }
        before = here;
        here += job->sizes[t];
        h_before = job->h;
        c_before = job->c;
        h_tangent_before = job->h_tangent;
        c_tangent_before = job->c_tangent;
        dh_before = job->h_gradient;
        dc_before = job->c_gradient;
    }
}

#undef IF_C

/* Process items of work until none are left. An item is a block of rows of one parameter set. */
TARGET static void FN(work)(void *given)
{
    Job *job = given;
    int64_t blocks = (job->B + job->block - 1) / job->block, item;
    float *room = malloc(workspace(job) * sizeof(float));
    if (!room) return; /* `next` then shows that items are left */
    unsigned mode = flush_denormals();
    while ((item = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->A * blocks) {
        int64_t n = item / blocks, first = item % blocks * job->block, last = first + job->block;
        if (last > job->B) last = job->B;
        switch (job->pass) {
        case FORWARD: EVERY_CELL(forward) break;
        case ADJOINT: EVERY_CELL(adjoint) break;
        case TANGENT: EVERY_CELL(tangent) break;
        }
    }
    restore_denormals(mode);
    free(room);
}
