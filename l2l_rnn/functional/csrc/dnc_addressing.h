/* Dynamic addressing of a differentiable neural computer: usage and allocation of slots, and
 * temporal links. `memory/addressing.py` has the same functions in torch. memory_passes.h includes
 * this file once for each kind of processor.
 *
 * Weights are stored with those of the read heads, r, first, then those of the write head, w. */

/* -- usage --------------------------------------------------------------------------------- */

/* u' = (u + w - u w) prod_h (1 - f_h r_h), with the previous weights w and r, and free gates f. */
TARGET static void FN(usage)(int64_t M, int64_t R, const float *prev, const float *weights,
                             const float *free_gates, float *usage)
{
    const float *w = weights + R * M;
    SIMD
    for (int64_t i = 0; i < M; i++) usage[i] = prev[i] + w[i] * (1 - prev[i]);
    for (int64_t h = 0; h < R; h++) {
        float f = free_gates[h];
        SIMD
        for (int64_t i = 0; i < M; i++) usage[i] *= 1 - f * weights[h * M + i];
    }
}

/* With q_h(i), the product of all factors of u'(i) except head h's,
 *   df_h = -sum_i du'(i) q_h(i) r_h(i),          dr_h(i) -= du'(i) q_h(i) f_h,
 *   du   = du' (1 - w) prod_h (1 - f_h r_h),     dw = du' (1 - u) prod_h (1 - f_h r_h).
 * dw is assigned, not added to, because nothing else depends on the previous write weights. */
TARGET static void FN(usage_adjoint)(int64_t M, int64_t R, const float *prev, const float *weights,
                                     const float *free_gates, float *dusage, float *dweights,
                                     float *dfree_gates, float *scratch)
{
    const float *w = weights + R * M;
    float *through = scratch, *dw = dweights + R * M;
    for (int64_t h = 0; h < R; h++) {
        float f = free_gates[h], df = 0, *dr = dweights + h * M;
        const float *r = weights + h * M;
        for (int64_t i = 0; i < M; i++) through[i] = dusage[i] * (prev[i] + w[i] * (1 - prev[i]));
        for (int64_t g = 0; g < R; g++) {
            if (g == h) continue;
            float other = free_gates[g];
            SIMD
            for (int64_t i = 0; i < M; i++) through[i] *= 1 - other * weights[g * M + i];
        }
        SIMD_SUM(df)
        for (int64_t i = 0; i < M; i++) {
            df -= through[i] * r[i];
            dr[i] -= through[i] * f;
        }
        dfree_gates[h] = df;
    }
    for (int64_t h = 0; h < R; h++) {
        float f = free_gates[h];
        SIMD
        for (int64_t i = 0; i < M; i++) dusage[i] *= 1 - f * weights[h * M + i];
    }
    SIMD
    for (int64_t i = 0; i < M; i++) {
        dw[i] = dusage[i] * (1 - prev[i]);
        dusage[i] *= 1 - w[i];
    }
}

/* -- allocation ---------------------------------------------------------------------------- */

/* Slots are ordered by usage, rounded to multiples of 2^-16, then by index. Usages that differ only
 * by floating-point errors therefore tie, here and in torch. Adding 192 does the rounding, because
 * float32 numbers from 128 to 256 are multiples of 2^-16. */
TARGET static void FN(round_usage)(int64_t M, const float *usage, float *rounded)
{
    SIMD
    for (int64_t i = 0; i < M; i++) rounded[i] = usage[i] + 192.0f;
}

/* a(i) = (1 - u(i)) p(i). The usage product p(i) = prod_j u(j) is over the slots j that precede i
 * in this order, and is computed as exp(sum_j log(u(j) + LOG_EPS)). Slots are not sorted: comparing
 * all pairs vectorizes, and is faster for the few slots of a DNC. */
TARGET static void FN(allocate)(int64_t M, const float *usage, float *product, float *allocation,
                                float *scratch)
{
    float *logarithms = allocation, *rounded = scratch;
    FN(round_usage)(M, usage, rounded);
    SIMD
    for (int64_t i = 0; i < M; i++) {
        logarithms[i] = FN(logarithm)((usage[i] < 0 ? 0 : usage[i]) + LOG_EPS);
        product[i] = 0;
    }
    for (int32_t j = 0; j < M; j++) {
        float u = rounded[j], logarithm = logarithms[j];
        SIMD
        for (int32_t i = 0; i < M; i++)
            product[i] += (u < rounded[i]) | ((u == rounded[i]) & (j < i)) ? logarithm : 0;
    }
    SIMD
    for (int64_t i = 0; i < M; i++) {
        product[i] = FN(exponential)(product[i]);
        allocation[i] = (1 - usage[i]) * product[i];
    }
}

/* The order has no derivative. The usage of slot j is a factor of p(i) for each slot i after it, so
 *   du(j) += sum_{i after j} da(i) a(i) / (u(j) + LOG_EPS) - da(j) p(j),
 * without the sum if rounding left u(j) < 0, which counts as 0. */
TARGET static void FN(allocate_adjoint)(int64_t M, const float *usage, const float *product,
                                        const float *dallocation, float *dusage, float *scratch)
{
    float *later = scratch, *rounded = scratch + M;
    FN(round_usage)(M, usage, rounded);
    for (int64_t j = 0; j < M; j++) later[j] = 0;
    for (int32_t i = 0; i < M; i++) {
        float u = rounded[i], term = dallocation[i] * (1 - usage[i]) * product[i];
        SIMD
        for (int32_t j = 0; j < M; j++)
            later[j] += (rounded[j] < u) | ((rounded[j] == u) & (j < i)) ? term : 0;
    }
    SIMD
    for (int64_t j = 0; j < M; j++) {
        float through = usage[j] < 0 ? 0 : later[j] / (usage[j] + LOG_EPS);
        dusage[j] += through - dallocation[j] * product[j];
    }
}

/* -- temporal links ------------------------------------------------------------------------ */

/* L'(i, j) = (1 - w(i) - w(j)) L(i, j) + w(i) p(j), and 0 if i = j, with the precedence p before
 * the write. The same pass over L' computes, for each read head with previous weights r:
 *   backward = L'^T r, the slots written before those read last, and
 *   forward  = L' r,   the slots written after those read last.
 * A diagonal of L that is not 0 decays like any other link. */
TARGET NOINLINE static void FN(link)(int64_t M, int64_t R, const float *links,
                                     const float *precedence, const float *writes,
                                     const float *prev_weights, float *next_links, float *backward,
                                     float *forward)
{
    for (int64_t i = 0; i < R * M; i++) backward[i] = 0;
    for (int64_t i = 0; i < M; i++, links += M, next_links += M) {
        float w = writes[i], diagonal = (1 - w - w) * links[i];
        SIMD
        for (int64_t j = 0; j < M; j++)
            next_links[j] = (1 - w - writes[j]) * links[j] + w * precedence[j];
        next_links[i] = diagonal;
        for (int64_t h = 0; h < R; h++) {
            const float *r = prev_weights + h * M;
            float sum = 0, r_i = r[i], *to = backward + h * M;
            SIMD_SUM(sum)
            for (int64_t j = 0; j < M; j++) {
                sum += next_links[j] * r[j];
                to[j] += next_links[j] * r_i;
            }
            forward[h * M + i] = sum;
        }
    }
}

/* Adjoint of `link` and of its terms in the read weights v_h, b_h L'^T r_h + f_h L' r_h, with the
 * modes b_h (backward) and f_h (forward). First, from the cotangents dv of the read weights,
 *   dL'(i, j) += sum_h b_h r_h(i) dv_h(j) + f_h dv_h(i) r_h(j),
 *   along  = L' dv,   across = L'^T dv,
 * from which the caller computes dr_h = b_h along + f_h across, db_h = r_h . along and
 * df_h = r_h . across. Then, without the terms with p if i = j,
 *   dw(i) += sum_j dL'(i, j) (p(j) - L(i, j)),   dw(j) -= sum_i dL'(i, j) L(i, j),
 *   dp(j) += sum_i dL'(i, j) w(i),               dL(i, j) = (1 - w(i) - w(j)) dL'(i, j). */
TARGET NOINLINE static void FN(link_adjoint)(int64_t M, int64_t R, const State *prev,
                                             const State *next, const float *backward,
                                             const float *forward, const State *d, float *along,
                                             float *across)
{
    const float *links = prev->part[LINKS], *next_links = next->part[LINKS];
    const float *precedence = prev->part[PRECEDENCE], *prev_weights = prev->part[WEIGHTS];
    const float *writes = next->part[WEIGHTS] + R * M, *dweights = d->part[WEIGHTS];
    float *dlinks = d->part[LINKS], *dprecedence = d->part[PRECEDENCE];
    float *dwrites = d->part[WEIGHTS] + R * M;
    for (int64_t i = 0; i < R * M; i++) across[i] = 0;
    for (int64_t i = 0; i < M; i++, links += M, next_links += M, dlinks += M) {
        for (int64_t h = 0; h < R; h++) {
            const float *r = prev_weights + h * M, *dv = dweights + h * M;
            float dv_i = dv[i], x = backward[h] * r[i], y = forward[h] * dv_i, sum = 0;
            float *to = across + h * M;
            SIMD_SUM(sum)
            for (int64_t j = 0; j < M; j++) {
                dlinks[j] += x * dv[j] + y * r[j];
                sum += next_links[j] * dv[j];
                to[j] += next_links[j] * dv_i;
            }
            along[h * M + i] = sum;
        }
        float w = writes[i], diagonal = dlinks[i], sum = 0;
        SIMD_SUM(sum)
        for (int64_t j = 0; j < M; j++) {
            float g = dlinks[j], faded = g * links[j];
            sum += g * precedence[j] - faded;
            dwrites[j] -= faded;
            dprecedence[j] += g * w;
            dlinks[j] = (1 - w - writes[j]) * g;
        }
        dwrites[i] += sum - diagonal * precedence[i];
        dprecedence[i] -= diagonal * w;
    }
}
