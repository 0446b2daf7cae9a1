/* One row of a long short-term memory. See rnn_passes.h, which includes this file.
 *
 * Pre-activations a stack a_i, a_f, a_g, a_o. With s = sigmoid:
 *
 *     i = s(a_i)    f = s(a_f)    g = tanh(a_g)    o = s(a_o)
 *     c = f c_before + i g        tau = tanh(c)    h = o tau
 */

INLINE void FN(lstm_forward)(int64_t H, const float *restrict a, const float *restrict c_before,
                             float *restrict gates, float *restrict h, float *restrict c)
{
    for (int64_t j = 0; j < H; j++) {
        float i = FN(sigmoid)(a[j]), f = FN(sigmoid)(a[H + j]);
        float g = FN(hyperbolic)(a[2 * H + j]), o = FN(sigmoid)(a[3 * H + j]);
        float now = f * c_before[j] + i * g, tau = FN(hyperbolic)(now);
        gates[j] = i;
        gates[H + j] = f;
        gates[2 * H + j] = g;
        gates[3 * H + j] = o;
        gates[4 * H + j] = tau;
        c[j] = now;
        h[j] = o * tau;
    }
}

/* With slopes ds/da = s (1 - s) and d tanh/da = 1 - tanh^2, the gradients of lambda h + mu c are
 *
 *     m = mu + lambda o (1 - tau^2), the whole gradient w.r.t. c, which overwrites mu
 *     da_i = m g i (1 - i)    da_f = m c_before f (1 - f)    da_g = m i (1 - g^2)
 *     da_o = lambda tau o (1 - o)                            w.r.t. c_before: m f
 */
INLINE void FN(lstm_adjoint)(int64_t H, const float *restrict gates, const float *restrict c_before,
                             const float *restrict lam, float *restrict mu, float *restrict da,
                             float *restrict mu_before)
{
    for (int64_t j = 0; j < H; j++) {
        float i = gates[j], f = gates[H + j], g = gates[2 * H + j], o = gates[3 * H + j];
        float tau = gates[4 * H + j];
        float m = mu[j] + lam[j] * o * (1 - tau * tau);
        mu[j] = m;
        da[j] = m * g * i * (1 - i);
        da[H + j] = f * (1 - f) * m * c_before[j];
        da[2 * H + j] = m * i * (1 - g * g);
        da[3 * H + j] = lam[j] * tau * o * (1 - o);
        mu_before[j] += m * f;
    }
}

/* The tangents are
 *
 *     i' = i (1 - i) a_i'    f' = f (1 - f) a_f'    g' = (1 - g^2) a_g'    o' = o (1 - o) a_o'
 *     c' = f c_before' + f' c_before + i' g + i g'
 *     h' = o' tau + o (1 - tau^2) c'
 *
 * and the gradients of L = lambda h' + mu c', with lambda, mu, a' and c_before' fixed, are
 *
 *     dL/da_i = a_i' da_i (1 - 2 i) + m i (1 - i) g'
 *     dL/da_f = a_f' da_f (1 - 2 f) + m f (1 - f) c_before'
 *     dL/da_g = a_g' da_g (-2 g)    + m (1 - g^2) i'
 *     dL/da_o = a_o' da_o (1 - 2 o) + lambda o (1 - o) (1 - tau^2) c'
 *     dL/dc = lambda (1 - tau^2) (o' - 2 o tau c')    dL/dc_before = m f'
 *
 * where m and da are the adjoint's; mu holds m here. On entry a_tangent is a', on exit dL/da. */
INLINE void FN(lstm_tangent)(int64_t H, const float *restrict gates, const float *restrict c_before,
                             const float *restrict lam, const float *restrict mu,
                             const float *restrict da, const float *restrict c_tangent_before,
                             float *restrict a_tangent, float *restrict h_tangent,
                             float *restrict c_tangent, float *restrict dc_before,
                             float *restrict dc)
{
    for (int64_t j = 0; j < H; j++) {
        float i = gates[j], f = gates[H + j], g = gates[2 * H + j], o = gates[3 * H + j];
        float tau = gates[4 * H + j];
        float a_i = a_tangent[j], a_f = a_tangent[H + j];
        float a_g = a_tangent[2 * H + j], a_o = a_tangent[3 * H + j];
        float slope_i = i * (1 - i), slope_f = f * (1 - f), slope_g = 1 - g * g;
        float slope_o = o * (1 - o), slope_tau = 1 - tau * tau;
        float i_tangent = a_i * slope_i, f_tangent = a_f * slope_f;
        float g_tangent = a_g * slope_g, o_tangent = a_o * slope_o;
        float now =
            f * c_tangent_before[j] + i_tangent * g + f_tangent * c_before[j] + g_tangent * i;
        float l = lam[j] * slope_tau, m = mu[j];
        c_tangent[j] = now;
        h_tangent[j] = o_tangent * tau + now * o * slope_tau;
        a_tangent[j] = a_i * da[j] * (1 - 2 * i) + slope_i * m * g_tangent;
        a_tangent[H + j] = a_f * da[H + j] * (1 - 2 * f) + slope_f * m * c_tangent_before[j];
        a_tangent[2 * H + j] = -2 * a_g * g * da[2 * H + j] + slope_g * m * i_tangent;
        a_tangent[3 * H + j] = a_o * da[3 * H + j] * (1 - 2 * o) + slope_o * now * l;
        dc[j] += (o_tangent - 2 * now * o * tau) * l;
        dc_before[j] += f_tangent * m;
    }
}
