/* The passes over the minimal gated recurrence. See rnn_passes.h, which includes this file.
 *
 * Pre-activations a stack a_z, a_n; there is no product with the state. With s = sigmoid:
 *
 *     z = s(a_z)    n = g(a_n)    h = y h_before + z n    y = 1 - z
 *
 * Both z and y are computed from exp(-|a_z|), so neither loses its digits where it is nearly 0. A
 * huge h_before is then forgotten completely. Each pass is a loop over the steps, and recomputes
 * the gates. */

TARGET static inline void FN(both_gates)(float a, float *z, float *y)
{
    float e = FN(exponential)(a < 0 ? a : -a), near_1 = 1.0f / (1.0f + e), near_0 = e * near_1;
    *z = a < 0 ? near_0 : near_1;
    *y = a < 0 ? near_1 : near_0;
}

/* g(x) is x + 1/2 for x >= 0, with g' = 1 and g'' = 0, and s(x) below, with g' = g (1 - g) and
 * g'' = g' (1 - 2 g). */
TARGET static inline float FN(positive)(float x)
{
    float below = FN(sigmoid)(x);
    return x >= 0 ? x + 0.5f : below;
}

TARGET static void FN(min_forward_row)(int64_t H, const float *restrict a,
                                       const float *restrict before, float *restrict h)
{
    for (int64_t j = 0; j < H; j++) {
        float z, y;
        FN(both_gates)(a[j], &z, &y);
        h[j] = y * before[j] + z * FN(positive)(a[H + j]);
    }
}

/* The gradients of lambda h are
 *
 *     da_z = lambda (n - h_before) z y    da_n = lambda z g'(a_n)    w.r.t. h_before: lambda y
 */
TARGET static void FN(min_adjoint_row)(int64_t H, const float *restrict a,
                                       const float *restrict before, const float *restrict lam,
                                       float *restrict da, float *restrict lam_before)
{
    for (int64_t j = 0; j < H; j++) {
        float z, y, n = FN(positive)(a[H + j]);
        float slope_n = a[H + j] >= 0 ? 1 : n * (1 - n);
        FN(both_gates)(a[j], &z, &y);
        da[j] = z * y * lam[j] * (n - before[j]);
        da[H + j] = lam[j] * z * slope_n;
        lam_before[j] += lam[j] * y;
    }
}

/* The tangents are z' = z y a_z', n' = g'(a_n) a_n' and
 *
 *     h' = y h_before' + z n' + z' (n - h_before)
 *
 * and the gradients of L = lambda h', with lambda, a' and h_before' fixed, are
 *
 *     dL/da_z = lambda (z' (y - z) (n - h_before) + z y (n' - h_before'))
 *     dL/da_n = lambda (z' g'(a_n) + z g''(a_n) a_n')    dL/dh_before = -lambda z'
 */
TARGET static void FN(min_tangent_row)(int64_t H, const float *restrict a,
                                       const float *restrict a_tangent,
                                       const float *restrict before,
                                       const float *restrict h_tangent_before,
                                       const float *restrict lam, float *restrict h_tangent,
                                       float *restrict a_gradient, float *restrict dh_before)
{
    for (int64_t j = 0; j < H; j++) {
        float z, y, n = FN(positive)(a[H + j]);
        FN(both_gates)(a[j], &z, &y);
        float slope_z = z * y, slope_n = n * (1 - n), bend_n = slope_n * (1 - 2 * n);
        slope_n = a[H + j] >= 0 ? 1 : slope_n;
        bend_n = a[H + j] >= 0 ? 0 : bend_n;
        float z_tangent = a_tangent[j] * slope_z, n_tangent = a_tangent[H + j] * slope_n;
        h_tangent[j] = y * h_tangent_before[j] + z * n_tangent + z_tangent * (n - before[j]);
        a_gradient[j] =
            lam[j]
            * (z_tangent * (y - z) * (n - before[j]) + slope_z * (n_tangent - h_tangent_before[j]));
        a_gradient[H + j] = lam[j] * (z_tangent * slope_n + z * a_tangent[H + j] * bend_n);
        dh_before[j] -= lam[j] * z_tangent;
    }
}

TARGET static void FN(min_forward)(const Job *job, int64_t n, int64_t first, int64_t last)
{
    int64_t H = job->H, row = n * job->P, before = n * job->B;
    const float *h_before = job->h0;
    for (int64_t t = 0; t < job->S; t++, before = row, row += job->B, h_before = job->h)
        for (int64_t r = first; r < last; r++)
            FN(min_forward_row)(H, job->a + (row + r) * 2 * H, h_before + (before + r) * H,
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
            FN(min_adjoint_row)(H, job->a + (row + r) * 2 * H, h_before + (before + r) * H,
                                job->lam + (row + r) * H, job->da + (row + r) * 2 * H,
                                lam_before + (before + r) * H);
    }
}

TARGET static void FN(min_tangent)(const Job *job, int64_t n, int64_t first, int64_t last)
{
    int64_t H = job->H, row = n * job->P, before = n * job->B;
    const float *h_before = job->h0, *h_tangent_before = job->h0_tangent;
    float *dh_before = job->dh0;
    for (int64_t t = 0; t < job->S; t++, before = row, row += job->B) {
        for (int64_t r = first; r < last; r++)
            FN(min_tangent_row)(H, job->a + (row + r) * 2 * H, job->a_tangent + (row + r) * 2 * H,
                                h_before + (before + r) * H, h_tangent_before + (before + r) * H,
                                job->lam + (row + r) * H, job->h_tangent + (row + r) * H,
                                job->a_gradient + (row + r) * 2 * H, dh_before + (before + r) * H);
        h_before = job->h;
        h_tangent_before = job->h_tangent;
        dh_before = job->h_gradient;
    }
}
