/* The passes of rnn.c, which includes this file once for each kind of processor, with
 * SUFFIX at the end of every name and TARGET before every function. */

#include "vector_math.h"

/* -- forward ------------------------------------------------------------------------------- */

/* One row: from pre-activations a to the units, h and c. `units` may be a scrap row. */
TARGET static inline __attribute__((always_inline)) void FN(forward_row)(int64_t cell, int64_t H, const float *restrict a, const float *restrict h_before,
                        const float *restrict c_before, float *restrict units,
                        float *restrict h, float *restrict c)
{
    switch (cell) {
    case TANH:
        for (int64_t j = 0; j < H; j++) h[j] = FN(hyperbolic)(a[j]);
        break;
    case RELU:
        for (int64_t j = 0; j < H; j++) h[j] = a[j] < 0 ? 0 : a[j];
        break;
    case GRU:
        for (int64_t j = 0; j < H; j++) {
            float r = FN(sigmoid)(a[j]), z = FN(sigmoid)(a[H + j]), q = a[3 * H + j];
            float n = FN(hyperbolic)(a[2 * H + j] + r * q);
            units[j] = r;
            units[H + j] = z;
            units[2 * H + j] = n;
            units[3 * H + j] = q;
            h[j] = n + z * (h_before[j] - n);
        }
        break;
    case LSTM:
        for (int64_t j = 0; j < H; j++) {
            float i = FN(sigmoid)(a[j]), f = FN(sigmoid)(a[H + j]);
            float g = FN(hyperbolic)(a[2 * H + j]), o = FN(sigmoid)(a[3 * H + j]);
            float now = f * c_before[j] + i * g, tau = FN(hyperbolic)(now);
            units[j] = i;
            units[H + j] = f;
            units[2 * H + j] = g;
            units[3 * H + j] = o;
            units[4 * H + j] = tau;
            c[j] = now;
            h[j] = o * tau;
        }
        break;
    }
}

/* -- adjoint ------------------------------------------------------------------------------- */

/* One row: from lambda and mu to da; what h and c before receive directly is added there. */
TARGET static inline __attribute__((always_inline)) void FN(adjoint_row)(int64_t cell, int64_t H, const float *restrict units, const float *restrict h_before,
                        const float *restrict c_before, const float *restrict h,
                        const float *restrict lam, float *restrict mu, float *restrict da,
                        float *restrict lam_before, float *restrict mu_before)
{
    switch (cell) {
    case TANH:
        for (int64_t j = 0; j < H; j++) da[j] = lam[j] * (1 - h[j] * h[j]);
        break;
    case RELU:
        for (int64_t j = 0; j < H; j++) da[j] = h[j] > 0 ? lam[j] : 0;
        break;
    case GRU:
        for (int64_t j = 0; j < H; j++) {
            float r = units[j], z = units[H + j], n = units[2 * H + j], q = units[3 * H + j];
            float dn = lam[j] * (1 - z) * (1 - n * n);
            da[j] = r * (1 - r) * dn * q;
            da[H + j] = z * (1 - z) * (h_before[j] - n) * lam[j];
            da[2 * H + j] = dn;
            da[3 * H + j] = dn * r;
            lam_before[j] += lam[j] * z;
        }
        break;
    case LSTM:
        for (int64_t j = 0; j < H; j++) {
            float i = units[j], f = units[H + j], g = units[2 * H + j], o = units[3 * H + j];
            float tau = units[4 * H + j];
            float m = mu[j] + lam[j] * o * (1 - tau * tau);
            mu[j] = m;
            da[j] = m * g * i * (1 - i);
            da[H + j] = m * c_before[j] * f * (1 - f);
            da[2 * H + j] = m * i * (1 - g * g);
            da[3 * H + j] = lam[j] * tau * o * (1 - o);
            mu_before[j] += m * f;
        }
        break;
    }
}

/* -- tangent ------------------------------------------------------------------------------- */

/* One row: from a' to h', c' and, over a', the gradient in a. */
TARGET static inline __attribute__((always_inline)) void FN(tangent_row)(int64_t cell, int64_t H, const float *restrict units, const float *restrict h_before,
                        const float *restrict c_before, const float *restrict h,
                        const float *restrict lam, const float *restrict mu,
                        const float *restrict da, const float *restrict h_tangent_before,
                        const float *restrict c_tangent_before, float *restrict a,
                        float *restrict h_tangent, float *restrict c_tangent,
                        float *restrict in_h_before, float *restrict in_c_before,
                        float *restrict in_c)
{
    switch (cell) {
    case TANH:
        for (int64_t j = 0; j < H; j++) {
            h_tangent[j] = a[j] * (1 - h[j] * h[j]);
            a[j] = -2 * a[j] * h[j] * da[j];
        }
        break;
    case RELU:
        for (int64_t j = 0; j < H; j++) {
            h_tangent[j] = h[j] > 0 ? a[j] : 0;
            a[j] = 0;
        }
        break;
    case GRU:
        for (int64_t j = 0; j < H; j++) {
            float r = units[j], z = units[H + j], n = units[2 * H + j], q = units[3 * H + j];
            float slope_r = r * (1 - r), slope_z = z * (1 - z), slope_n = 1 - n * n;
            float r_moves = a[j] * slope_r, z_moves = a[H + j] * slope_z;
            float y = a[2 * H + j] + r_moves * q + r * a[3 * H + j]; /* of a_n + r q */
            float n_moves = y * slope_n, dn = da[2 * H + j], w = lam[j] * z_moves;
            h_tangent[j] = n_moves + z * (h_tangent_before[j] - n_moves)
                           + z_moves * (h_before[j] - n);
            in_h_before[j] += w;
            y = -2 * y * n * dn - w * slope_n; /* the gradient in a_n + r q */
            a[j] = a[j] * da[j] * (1 - 2 * r) + (a[3 * H + j] * dn + q * y) * slope_r;
            a[H + j] = a[H + j] * da[H + j] * (1 - 2 * z)
                       + (h_tangent_before[j] - n_moves) * lam[j] * slope_z;
            a[2 * H + j] = y;
            a[3 * H + j] = dn * r_moves + r * y;
        }
        break;
    case LSTM:
        for (int64_t j = 0; j < H; j++) {
            float i = units[j], f = units[H + j], g = units[2 * H + j], o = units[3 * H + j];
            float tau = units[4 * H + j];
            float slope_i = i * (1 - i), slope_f = f * (1 - f), slope_g = 1 - g * g;
            float slope_o = o * (1 - o), slope_tau = 1 - tau * tau;
            float i_moves = a[j] * slope_i, f_moves = a[H + j] * slope_f;
            float g_moves = a[2 * H + j] * slope_g, o_moves = a[3 * H + j] * slope_o;
            float c_moves = f * c_tangent_before[j] + i_moves * g + f_moves * c_before[j]
                            + g_moves * i;
            float l = lam[j] * slope_tau, m = mu[j];
            c_tangent[j] = c_moves;
            h_tangent[j] = o_moves * tau + c_moves * o * slope_tau;
            a[j] = a[j] * da[j] * (1 - 2 * i) + slope_i * m * g_moves;
            a[H + j] = a[H + j] * da[H + j] * (1 - 2 * f) + slope_f * m * c_tangent_before[j];
            a[2 * H + j] = -2 * a[2 * H + j] * g * da[2 * H + j] + slope_g * m * i_moves;
            a[3 * H + j] = a[3 * H + j] * da[3 * H + j] * (1 - 2 * o) + slope_o * c_moves * l;
            in_c[j] += (o_moves - 2 * c_moves * o * tau) * l;
            in_c_before[j] += f_moves * m;
        }
        break;
    }
}

/* -- passes -------------------------------------------------------------------------------- */

/* Rows first .. last of task or direction n, all steps forward. */
TARGET static inline __attribute__((always_inline)) void FN(forward)(const Job *job, int64_t cell, int64_t n, int64_t first, int64_t last, float *room)
{
    int64_t H = job->H, K = job->K, UH = job->U * H, width = padded(UH), kept = KEPT[cell];
    float *panels = room, *a = panels + width * K, *scrap = a + job->block * width;
    FN(pack)(job->weight + n * UH * K, 1, K, K, UH, panels);
    int64_t here = n * job->P, before = n * job->B; /* row 0 of this step and of the one before */
    const float *h_before = job->h0, *c_before = job->c0;
    for (int64_t t = 0; t < job->S; t++) {
        int64_t stop = last < job->sizes[t] ? last : job->sizes[t];
        if (stop <= first) break;
        for (int64_t r = first; r < stop; r++)
            memcpy(job->z + (here + r) * K + K - H, h_before + (before + r) * H, H * sizeof(float));
        FN(multiply)(stop - first, job->z + (here + first) * K, K, panels, K, a, width);
        for (int64_t r = first; r < stop; r++) {
            int64_t row = here + r, old = before + r;
            float *units = job->units ? job->units + row * kept * H : scrap;
            FN(forward_row)(cell, H, a + (r - first) * width, h_before + old * H,
                        cell == LSTM ? c_before + old * H : 0, units, job->h + row * H,
                        cell == LSTM ? job->c + row * H : 0);
            if (job->outside && job->outside[row]) memset(job->h + row * H, 0, H * sizeof(float));
        }
        before = here;
        here += job->sizes[t];
        h_before = job->h;
        c_before = job->c;
    }
}

TARGET static inline __attribute__((always_inline)) void FN(adjoint)(const Job *job, int64_t cell, int64_t n, int64_t first, int64_t last, float *room)
{
    int64_t H = job->H, K = job->K, UH = job->U * H, width = padded(H), kept = KEPT[cell];
    float *panels = room, *product = panels + width * UH;
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
            FN(adjoint_row)(cell, H, job->units + row * kept * H, h_before + old * H,
                        cell == LSTM ? c_before + old * H : 0, job->h + row * H,
                        job->lam + row * H, cell == LSTM ? job->mu + row * H : 0, da,
                        lam_before + old * H, cell == LSTM ? mu_before + old * H : 0);
            if (job->da_given)
                for (int64_t j = 0; j < UH; j++) da[j] += job->da_given[row * UH + j];
        }
        FN(multiply)(stop - first, job->da + (here + first) * UH, UH, panels, UH, product, width);
        for (int64_t r = first; r < stop; r++) {
            float *restrict to = lam_before + (before + r) * H;
            const float *restrict from = product + (r - first) * width;
            for (int64_t j = 0; j < H; j++) to[j] += from[j];
        }
    }
}

TARGET static inline __attribute__((always_inline)) void FN(tangent)(const Job *job, int64_t cell, int64_t n, int64_t first, int64_t last, float *room)
{
    int64_t H = job->H, K = job->K, UH = job->U * H, width = padded(UH), kept = KEPT[cell];
    int64_t from = job->first_column, depth = K - from;
    float *panels = room, *moved = panels + width * depth;
    FN(pack)(job->weight + n * UH * K + from, 1, K, depth, UH, panels);
    int64_t here = n * job->P, before = n * job->B;
    const float *h_before = job->h0, *c_before = job->c0;
    const float *h_moves = job->h0_tangent, *c_moves = job->c0_tangent;
    float *in_h = job->dh0, *in_c = job->dc0;
    for (int64_t t = 0; t < job->S; t++) {
        int64_t stop = last < job->sizes[t] ? last : job->sizes[t];
        if (stop <= first) break;
        for (int64_t r = first; r < stop; r++)
            memcpy(job->z + (here + r) * K + K - H, h_moves + (before + r) * H, H * sizeof(float));
        FN(multiply)(stop - first, job->z + (here + first) * K + from, K, panels, depth, moved, width);
        for (int64_t r = first; r < stop; r++) {
            int64_t row = here + r, old = before + r;
            float *restrict a = job->a + row * UH, *restrict to = in_h + old * H;
            const float *restrict step = moved + (r - first) * width;
            const float *restrict through = job->through + row * K + K - H;
            for (int64_t j = 0; j < UH; j++) a[j] += step[j];
            for (int64_t j = 0; j < H; j++) to[j] += through[j];
            FN(tangent_row)(cell, H, job->units + row * kept * H, h_before + old * H,
                        cell == LSTM ? c_before + old * H : 0, job->h + row * H,
                        job->lam + row * H, cell == LSTM ? job->mu + row * H : 0,
                        job->da + row * UH, h_moves + old * H,
                        cell == LSTM ? c_moves + old * H : 0, a, job->h_tangent + row * H,
                        cell == LSTM ? job->c_tangent + row * H : 0, to,
                        cell == LSTM ? in_c + old * H : 0,
                        cell == LSTM ? job->c_gradient + row * H : 0);
        }
        before = here;
        here += job->sizes[t];
        h_before = job->h;
        c_before = job->c;
        h_moves = job->h_tangent;
        c_moves = job->c_tangent;
        in_h = job->h_gradient;
        in_c = job->c_gradient;
    }
}

/* -- the minimal recurrence, h = h_before + z (n - h_before) with z = sigmoid(a_z), n = g(a_n) - */

/* g(x) = x + 1/2 where x >= 0, sigmoid(x) below. */
TARGET static inline float FN(positive)(float x)
{
    float below = FN(sigmoid)(x);
    return x >= 0 ? x + 0.5f : below;
}

TARGET static void FN(min_forward_row)(int64_t H, const float *restrict a,
                                       const float *restrict before, float *restrict h)
{
    for (int64_t j = 0; j < H; j++)
        h[j] = before[j] + FN(sigmoid)(a[j]) * (FN(positive)(a[H + j]) - before[j]);
}

TARGET static void FN(min_adjoint_row)(int64_t H, const float *restrict a,
                                       const float *restrict before, const float *restrict lam,
                                       float *restrict da, float *restrict lam_before)
{
    for (int64_t j = 0; j < H; j++) {
        float z = FN(sigmoid)(a[j]), n = FN(positive)(a[H + j]);
        float slope_n = a[H + j] >= 0 ? 1 : n * (1 - n);
        da[j] = lam[j] * (n - before[j]) * z * (1 - z);
        da[H + j] = lam[j] * z * slope_n;
        lam_before[j] += lam[j] * (1 - z);
    }
}

TARGET static void FN(min_tangent_row)(int64_t H, const float *restrict a,
                                       const float *restrict v, const float *restrict before,
                                       const float *restrict before_moves,
                                       const float *restrict lam, float *restrict moves,
                                       float *restrict in_a, float *restrict in_before)
{
    for (int64_t j = 0; j < H; j++) {
        float z = FN(sigmoid)(a[j]), n = FN(positive)(a[H + j]);
        float slope_z = z * (1 - z), slope_n = n * (1 - n), bend_n = slope_n * (1 - 2 * n);
        slope_n = a[H + j] >= 0 ? 1 : slope_n;
        bend_n = a[H + j] >= 0 ? 0 : bend_n;
        float z_moves = v[j] * slope_z, n_moves = v[H + j] * slope_n;
        moves[j] = before_moves[j] + z_moves * (n - before[j]) + z * (n_moves - before_moves[j]);
        in_a[j] = lam[j] * (z_moves * (1 - 2 * z) * (n - before[j])
                            + slope_z * (n_moves - before_moves[j]));
        in_a[H + j] = lam[j] * (z_moves * slope_n + z * v[H + j] * bend_n);
        in_before[j] -= lam[j] * z_moves;
    }
}

TARGET static void FN(min_forward)(const Job *job, int64_t n, int64_t first, int64_t last)
{
    int64_t H = job->H, row = n * job->P, before = n * job->B;
    const float *h_before = job->h0;
    for (int64_t t = 0; t < job->S; t++, before = row, row += job->B, h_before = job->h)
        for (int64_t r = first; r < last; r++)
            FN(min_forward_row)(H, job->z + (row + r) * 2 * H, h_before + (before + r) * H,
                                job->h + (row + r) * H);
}

TARGET static void FN(min_adjoint)(const Job *job, int64_t n, int64_t first, int64_t last)
{
    int64_t H = job->H;
    for (int64_t t = job->S - 1; t >= 0; t--) {
        int64_t row = n * job->P + t * job->B, before = t ? row - job->B : n * job->B;
        const float *h_before = t ? job->h : job->h0;
        float *lam_before = t ? job->lam : job->dh0;
        for (int64_t r = first; r < last; r++)
            FN(min_adjoint_row)(H, job->z + (row + r) * 2 * H, h_before + (before + r) * H,
                                job->lam + (row + r) * H, job->da + (row + r) * 2 * H,
                                lam_before + (before + r) * H);
    }
}

TARGET static void FN(min_tangent)(const Job *job, int64_t n, int64_t first, int64_t last)
{
    int64_t H = job->H, row = n * job->P, before = n * job->B;
    const float *h_before = job->h0, *h_moves = job->h0_tangent;
    float *in_h = job->dh0;
    for (int64_t t = 0; t < job->S; t++, before = row, row += job->B) {
        for (int64_t r = first; r < last; r++)
            FN(min_tangent_row)(H, job->z + (row + r) * 2 * H, job->through + (row + r) * 2 * H,
                                h_before + (before + r) * H, h_moves + (before + r) * H,
                                job->lam + (row + r) * H, job->h_tangent + (row + r) * H,
                                job->a + (row + r) * 2 * H, in_h + (before + r) * H);
        h_before = job->h;
        h_moves = job->h_tangent;
        in_h = job->h_gradient;
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
        switch (job->pass) {
        case FORWARD: EVERY_CELL(forward) break;
        case ADJOINT: EVERY_CELL(adjoint) break;
        case TANGENT: EVERY_CELL(tangent) break;
        }
    }
    restore_denormals(mode);
    free(room);
}
