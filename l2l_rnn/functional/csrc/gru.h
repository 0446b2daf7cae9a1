/* One row of a gated recurrent unit. See rnn_passes.h, which includes this file.
 *
 * Pre-activations a stack a_r, a_z, a_n (from the input) and q (from the state). With s = sigmoid:
 *
 *     r = s(a_r)    z = s(a_z)    y = a_n + r q    n = tanh(y)    h = n + z (h_before - n)
 */

INLINE void FN(gru_forward)(int64_t H, const float *restrict a, const float *restrict h_before,
                            float *restrict gates, float *restrict h)
{
    for (int64_t j = 0; j < H; j++) {
        float r = FN(sigmoid)(a[j]), z = FN(sigmoid)(a[H + j]), q = a[3 * H + j];
        float n = FN(hyperbolic)(a[2 * H + j] + r * q);
        gates[j] = r;
        gates[H + j] = z;
        gates[2 * H + j] = n;
        gates[3 * H + j] = q;
        h[j] = n + z * (h_before[j] - n);
    }
}

/* With slopes ds/da = s (1 - s) and dn/dy = 1 - n^2, the gradients of lambda h are
 *
 *     dy = lambda (1 - z) (1 - n^2)    da_r = dy q r (1 - r)    da_n = dy    dq = dy r
 *     da_z = lambda (h_before - n) z (1 - z)                    w.r.t. h_before: lambda z
 */
INLINE void FN(gru_adjoint)(int64_t H, const float *restrict gates, const float *restrict h_before,
                            const float *restrict lam, float *restrict da,
                            float *restrict lam_before)
{
    for (int64_t j = 0; j < H; j++) {
        float r = gates[j], z = gates[H + j], n = gates[2 * H + j], q = gates[3 * H + j];
        float dy = lam[j] * (1 - z) * (1 - n * n);
        da[j] = r * (1 - r) * dy * q;
        da[H + j] = z * (1 - z) * (h_before[j] - n) * lam[j];
        da[2 * H + j] = dy;
        da[3 * H + j] = dy * r;
        lam_before[j] += lam[j] * z;
    }
}

/* The tangents are
 *
 *     r' = r (1 - r) a_r'    z' = z (1 - z) a_z'    y' = a_n' + r' q + r q'    n' = (1 - n^2) y'
 *     h' = n' + z (h_before' - n') + z' (h_before - n)
 *
 * and the gradients of L = lambda h', with lambda, a' and h_before' fixed, are
 *
 *     Y = dL/dy = -2 n y' dy - lambda z' (1 - n^2)    since d(1 - n^2)/dy = -2 n (1 - n^2)
 *     dL/da_r = a_r' da_r (1 - 2 r) + r (1 - r) (dy q' + Y q)
 *     dL/da_z = a_z' da_z (1 - 2 z) + z (1 - z) lambda (h_before' - n')
 *     dL/da_n = Y    dL/dq = dy r' + Y r    dL/dh_before = lambda z'
 *
 * where dy and da are the adjoint's. On entry a_tangent is a', on exit dL/da. */
INLINE void FN(gru_tangent)(int64_t H, const float *restrict gates, const float *restrict h_before,
                            const float *restrict lam, const float *restrict da,
                            const float *restrict h_tangent_before, float *restrict a_tangent,
                            float *restrict h_tangent, float *restrict dh_before)
{
    for (int64_t j = 0; j < H; j++) {
        float r = gates[j], z = gates[H + j], n = gates[2 * H + j], q = gates[3 * H + j];
        float slope_r = r * (1 - r), slope_z = z * (1 - z), slope_n = 1 - n * n;
        float r_tangent = a_tangent[j] * slope_r, z_tangent = a_tangent[H + j] * slope_z;
        float q_tangent = a_tangent[3 * H + j];
        float y_tangent = a_tangent[2 * H + j] + r_tangent * q + r * q_tangent;
        float n_tangent = y_tangent * slope_n, dy = da[2 * H + j], w = lam[j] * z_tangent;
        h_tangent[j] =
            n_tangent + z * (h_tangent_before[j] - n_tangent) + z_tangent * (h_before[j] - n);
        dh_before[j] += w;
        float in_y = -2 * y_tangent * n * dy - w * slope_n;
        a_tangent[j] = a_tangent[j] * da[j] * (1 - 2 * r) + (q_tangent * dy + q * in_y) * slope_r;
        a_tangent[H + j] = a_tangent[H + j] * da[H + j] * (1 - 2 * z)
                           + (h_tangent_before[j] - n_tangent) * lam[j] * slope_z;
        a_tangent[2 * H + j] = in_y;
        a_tangent[3 * H + j] = dy * r_tangent + r * in_y;
    }
}
