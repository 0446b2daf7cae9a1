/* The controllers of a memory, an LSTM or a feed-forward layer, after the product with the weights.
 * memory_passes.h includes this file once for each kind of processor.
 *
 * The equations of an LSTM, with pre-activations a stacked i, f, g, o as in torch, are
 *   i, f, o = sigmoid(a_i, a_f, a_o),  g = tanh(a_g),  c' = f c + i g,  h = o tanh(c').
 * With m = dc' + dh o (1 - tanh(c')^2), the whole cotangent of c', the adjoint is
 *   da_i = m g i (1 - i),         da_f = m c f (1 - f),
 *   da_g = m i (1 - g^2),         da_o = dh tanh(c') o (1 - o),        dc = m f.
 * A feed-forward layer is h = tanh(a), with da = dh (1 - h^2). */

/* `cell` may be stored in place of `prev_cell`. */
TARGET static void FN(controller_step)(const Job *job, const float *restrict a,
                                       const float *prev_cell, float *restrict activations,
                                       float *restrict hidden, float *cell)
{
    int64_t H = job->H;
    if (job->gates == H) {
        for (int64_t j = 0; j < H; j++) hidden[j] = FN(hyperbolic)(a[j]);
        return;
    }
    SIMD
    for (int64_t j = 0; j < H; j++) {
        float i = FN(sigmoid)(a[j]), f = FN(sigmoid)(a[H + j]);
        float g = FN(hyperbolic)(a[2 * H + j]), o = FN(sigmoid)(a[3 * H + j]);
        float c = f * prev_cell[j] + i * g, tanh_c = FN(hyperbolic)(c);
        activations[j] = i;
        activations[H + j] = f;
        activations[2 * H + j] = g;
        activations[3 * H + j] = o;
        activations[4 * H + j] = tanh_c;
        cell[j] = c;
        hidden[j] = o * tanh_c;
    }
}

/* Compute da; dcell is replaced by the cotangent of the previous cell. */
TARGET static void FN(controller_adjoint)(const Job *job, const float *restrict activations,
                                          const float *restrict prev_cell,
                                          const float *restrict hidden,
                                          const float *restrict dhidden, float *restrict dcell,
                                          float *restrict da)
{
    int64_t H = job->H;
    if (job->gates == H) {
        for (int64_t j = 0; j < H; j++) da[j] = dhidden[j] * (1 - hidden[j] * hidden[j]);
        return;
    }
    for (int64_t j = 0; j < H; j++) {
        float i = activations[j], f = activations[H + j];
        float g = activations[2 * H + j], o = activations[3 * H + j];
        float tanh_c = activations[4 * H + j];
        float m = dcell[j] + dhidden[j] * o * (1 - tanh_c * tanh_c);
        da[j] = m * g * i * (1 - i);
        da[H + j] = f * (1 - f) * m * prev_cell[j];
        da[2 * H + j] = m * i * (1 - g * g);
        da[3 * H + j] = dhidden[j] * tanh_c * o * (1 - o);
        dcell[j] = m * f;
    }
}
