/* One step of a recurrence and its derivatives, without the products. rnn.c includes this file once
 * for each kind of processor, after rnn_passes.h.
 *
 * `recurrence/single_step.py` explains what a pass computes. Arrays have `rows` rows. The
 * pre-activations come in two parts: a_x from the input and a_h from the state. They are added, but
 * for the part of n in a GRU, which has a_n in a_x and q in a_h. The gradients w.r.t. the two parts
 * are therefore equal, except for a GRU's; the arrays of the second part are NULL if they are.
 *
 * `kept` has KEPT_OF_STEP values per hidden unit. For the simple recurrence these are h, because
 * the caller may overwrite the output. */

/* One row of a GRU: r, z, n of a_x and r, z, q of a_h -> r, z, n, q. */
INLINE void FN(join)(int64_t H, const float *restrict a_x, const float *restrict a_h,
                     float *restrict a)
{
    for (int64_t j = 0; j < 2 * H; j++) a[j] = a_x[j] + a_h[j];
    for (int64_t j = 2 * H; j < 3 * H; j++) {
        a[j] = a_x[j];
        a[j + H] = a_h[j];
    }
}

/* One row of a GRU: r, z, n, q -> r, z, n and r, z, q. */
INLINE void FN(part)(int64_t H, const float *restrict a, float *restrict a_x, float *restrict a_h)
{
    for (int64_t j = 0; j < 2 * H; j++) a_x[j] = a_h[j] = a[j];
    for (int64_t j = 2 * H; j < 3 * H; j++) {
        a_x[j] = a[j];
        a_h[j] = a[j + H];
    }
}

/* a_x, a_h, h_before, c_before -> kept, h, c. */
INLINE void FN(step_forward)(const Step *s, int64_t cell, float *a)
{
    int64_t H = s->H, G = GATES[cell] * H, kept = KEPT_OF_STEP[cell] * H;
    for (int64_t r = 0; r < s->rows; r++) {
        const float *a_x = s->a_x + r * G, *a_h = s->a_h + r * G;
        float *h = s->h + r * H, *gates = s->kept + r * kept;
        if (cell == GRU) FN(join)(H, a_x, a_h, a);
        else
            for (int64_t j = 0; j < G; j++) a[j] = a_x[j] + a_h[j];
        FN(forward_row)(cell, H, a, s->h_before + r * H, s->c_before + (cell == LSTM ? r * H : 0),
                        gates, h, s->c + (cell == LSTM ? r * H : 0));
        if (kept == H) memcpy(gates, h, H * sizeof(float));
    }
}

/* kept, h_before, c_before, lam, mu -> da_x, da_h, dh_before, dc_before, and mu, which becomes the
 * whole gradient w.r.t. c. */
INLINE void FN(step_adjoint)(const Step *s, int64_t cell, float *da)
{
    int64_t H = s->H, G = GATES[cell] * H, kept = KEPT_OF_STEP[cell] * H;
    if (cell == GRU) memset(s->dh_before, 0, s->rows * H * sizeof(float));
    if (cell == LSTM) memset(s->dc_before, 0, s->rows * H * sizeof(float));
    for (int64_t r = 0; r < s->rows; r++) {
        int64_t row = r * H, of_c = cell == LSTM ? row : 0;
        const float *gates = s->kept + r * kept;
        FN(adjoint_row)(cell, H, gates, s->h_before + row, s->c_before + of_c, gates, s->lam + row,
                        s->mu + of_c, cell == GRU ? da : s->da_x + r * G,
                        s->dh_before + (cell == GRU ? row : 0), s->dc_before + of_c);
        if (cell == GRU) FN(part)(H, da, s->da_x + r * G, s->da_h + r * G);
    }
}

/* a_x' and a_h' become the gradients w.r.t. a_x and a_h. An LSTM's gradient w.r.t. c reaches its
 * gates too, as the gradient mu does in the adjoint. */
INLINE void FN(step_tangent)(const Step *s, int64_t cell, float *room)
{
    int64_t H = s->H, G = GATES[cell] * H, kept = KEPT_OF_STEP[cell] * H;
    float *a = room, *da = a + 4 * H, *zeros = da + 4 * H, *dc = zeros + H, *scrap = dc + H;
    if (cell == GRU) memset(s->dh_before, 0, s->rows * H * sizeof(float));
    if (cell == LSTM) memset(s->dc_before, 0, s->rows * H * sizeof(float));
    memset(zeros, 0, H * sizeof(float));
    for (int64_t r = 0; r < s->rows; r++) {
        int64_t row = r * H, of_c = cell == LSTM ? row : 0, of_h = cell == GRU ? row : 0;
        const float *gates = s->kept + r * kept, *c_before = s->c_before + of_c;
        float *a_x = s->a_x_tangent + r * G, *a_h = s->a_h_tangent + r * G;
        float *dc_before = s->dc_before + of_c;
        if (cell == GRU) {
            FN(join)(H, a_x, a_h, a);
            memcpy(da, s->da_x + r * G, 3 * H * sizeof(float));
            memcpy(da + 3 * H, s->da_h + r * G + 2 * H, H * sizeof(float));
        }
        memset(dc, 0, H * sizeof(float));
        FN(tangent_row)(cell, H, gates, s->h_before + row, c_before, gates, s->lam + row,
                        s->mu + of_c, cell == GRU ? da : s->da_x + r * G,
                        s->h_before_tangent + of_h, s->c_before_tangent + of_c,
                        cell == GRU ? a : a_x, s->h_tangent + row, s->c_tangent + of_c,
                        s->dh_before + of_h, dc_before, dc);
        if (cell == GRU) FN(part)(H, a, a_x, a_h);
        if (cell == LSTM) {
            FN(lstm_adjoint)(H, gates, c_before, zeros, dc, scrap, dc_before);
            for (int64_t j = 0; j < G; j++) a_x[j] += scrap[j];
        }
    }
}

TARGET static void FN(work_on_step)(const Step *s, int64_t cell, float *room)
{
    switch (s->pass) {
    case FORWARD: EVERY_STEP(step_forward) break;
    case ADJOINT: EVERY_STEP(step_adjoint) break;
    case TANGENT: EVERY_STEP(step_tangent) break;
    }
}
