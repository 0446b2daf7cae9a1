/* Content addressing, reading and activations, which all kinds of heads share. memory_passes.h
 * includes this file once for each kind of processor.
 *
 * Content weights are w = softmax(beta c), with a strength beta and the cosine similarities
 * c(i) = k . m(i) / (|k| |m(i)|) of a key k and each slot m(i). Norms are
 * |v| = sqrt(v . v + eps^2). */

/* -- vectors ------------------------------------------------------------------------------- */

TARGET static inline float FN(dot)(int64_t n, const float *a, const float *b)
{
    float sum = 0;
    SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* y = softmax(scale x), for scale >= 0. The maximum is subtracted before scaling. Nothing overflows
 * then, the largest term is exactly 1, and a huge scale does not amplify the rounding of a product.
 * Terms that are too small for `exponential` are 0, because gradients are multiplied by `scale`. */
TARGET static void FN(softmax)(int64_t n, const float *x, float scale, float *y)
{
    float largest = x[0], sum = 0;
    SIMD_MAX(largest)
    for (int64_t i = 0; i < n; i++) largest = largest < x[i] ? x[i] : largest;
    SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) {
        float z = scale * (x[i] - largest), e = FN(exponential)(z);
        y[i] = z < -87.0f ? 0 : e;
        sum += y[i];
    }
    float inverse = 1.0f / sum;
    SIMD
    for (int64_t i = 0; i < n; i++) y[i] *= inverse;
}

/* For y = softmax(x): dx(i) = y(i) (dy(i) - y . dy). `dx` may be stored in place of `dy`. */
TARGET static void FN(softmax_adjoint)(int64_t n, const float *y, const float *dy, float *dx)
{
    float mean = FN(dot)(n, y, dy);
    SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - mean);
}

/* -- activations, in place; adjoints read the activated y and turn dy into dx ----------------- */

TARGET static void FN(activate_tanh)(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = FN(hyperbolic)(x[i]);
}

TARGET static void FN(activate_sigmoid)(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = FN(sigmoid)(x[i]);
}

TARGET static void FN(activate_softplus)(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = FN(softplus)(x[i]);
}

TARGET static void FN(tanh_adjoint)(int64_t n, const float *y, float *dy)
{
    for (int64_t i = 0; i < n; i++) dy[i] *= 1 - y[i] * y[i];
}

TARGET static void FN(sigmoid_adjoint)(int64_t n, const float *y, float *dy)
{
    for (int64_t i = 0; i < n; i++) dy[i] *= y[i] * (1 - y[i]);
}

TARGET static void FN(softplus_adjoint)(int64_t n, const float *y, float *dy)
{
    for (int64_t i = 0; i < n; i++) dy[i] *= FN(softplus_slope)(y[i]);
}

/* -- cosine similarity --------------------------------------------------------------------- */

/* Sums of squares above LARGE may have overflown; eps^2 is at least SMALL, so that it is not 0. */
#define LARGE 1e37f
#define SMALL 1.17549435e-38f

TARGET static inline float FN(eps_square)(const Job *job)
{
    return job->eps * job->eps > SMALL ? (float)(job->eps * job->eps) : SMALL;
}

/* 1 / |v| of a vector whose sum of squares may overflow; its elements are v[0], v[stride], ... */
TARGET static NOINLINE float FN(inverse_of_long)(int64_t n, const float *v, int64_t stride)
{
    float largest = 0, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        float size = __builtin_fabsf(v[j * stride]);
        largest = largest < size ? size : largest;
    }
    for (int64_t j = 0; j < n; j++) {
        float part = v[j * stride] / largest;
        sum += part * part;
    }
    return 1.0f / __builtin_sqrtf(sum) / largest;
}

/* inverse(i) = 1 / |m(i)| */
TARGET static void FN(inverse_lengths)(const Job *job, const float *memory, float *inverse)
{
    int64_t M = job->M, W = job->W;
    float square = FN(eps_square)(job), largest = 0;
    for (int64_t i = 0; i < M; i++) inverse[i] = square;
    for (int64_t j = 0; j < W; j++) {
        const float *m = memory + j * M;
        SIMD
        for (int64_t i = 0; i < M; i++) inverse[i] += m[i] * m[i];
    }
    SIMD_MAX(largest)
    for (int64_t i = 0; i < M; i++) {
        largest = largest < inverse[i] ? inverse[i] : largest;
        inverse[i] = 1.0f / __builtin_sqrtf(inverse[i]);
    }
    if (largest > LARGE)
        for (int64_t i = 0; i < M; i++)
            if (inverse[i] < 1e-18f) inverse[i] = FN(inverse_of_long)(W, memory + i, M);
}

/* Compute the similarity of a key to each slot; returns 1 / |k|. */
TARGET static float FN(cosine_similarity)(const Job *job, const float *memory, const float *inverse,
                                          const float *key, float *similarity)
{
    int64_t M = job->M, W = job->W;
    float square = FN(eps_square)(job);
    for (int64_t j = 0; j < W; j++) square += key[j] * key[j];
    float key_inverse =
        square > LARGE ? FN(inverse_of_long)(W, key, 1) : 1.0f / __builtin_sqrtf(square);
    for (int64_t i = 0; i < M; i++) similarity[i] = 0;
    for (int64_t j = 0; j < W; j++, memory += M) {
        float k = key[j] * key_inverse;
        SIMD
        for (int64_t i = 0; i < M; i++) similarity[i] += k * memory[i];
    }
    SIMD
    for (int64_t i = 0; i < M; i++) similarity[i] *= inverse[i];
    return key_inverse;
}

/* Add to the cotangents of key and memory. Because d(1 / |v|) = -v . dv / |v|^3,
 *   dk    += (sum_i dc(i) / |m(i)| m(i) - k / |k| sum_i dc(i) c(i)) / |k|,
 *   dm(i) += dc(i) / |m(i)| (k / |k| - c(i) / |m(i)| m(i)).
 * A length is divided by only once before a product with a vector. Twice, with a short key and a
 * short slot and a strength in dc, could overflow where the product is small. */
TARGET static void FN(cosine_similarity_adjoint)(const Job *job, const float *memory,
                                                 const float *inverse, const float *key,
                                                 float key_inverse, const float *similarity,
                                                 const float *dsimilarity, float *dkey,
                                                 float *dmemory, float *scratch)
{
    int64_t M = job->M, W = job->W;
    float *product = scratch, *along = scratch + M; /* dc(i) / |m(i)| and c(i) / |m(i)| */
    float along_key = FN(dot)(M, similarity, dsimilarity);
    SIMD
    for (int64_t i = 0; i < M; i++) {
        product[i] = dsimilarity[i] * inverse[i];
        along[i] = similarity[i] * inverse[i];
    }
    for (int64_t j = 0; j < W; j++, memory += M, dmemory += M) {
        float k = key[j] * key_inverse;
        dkey[j] += (FN(dot)(M, product, memory) - k * along_key) * key_inverse;
        SIMD
        for (int64_t i = 0; i < M; i++) dmemory[i] += product[i] * (k - along[i] * memory[i]);
    }
}

/* -- content weights ----------------------------------------------------------------------- */

TARGET static void FN(content_weights)(const Job *job, const float *memory, const float *inverse,
                                       const float *key, float strength, float *weights,
                                       float *scratch)
{
    FN(cosine_similarity)(job, memory, inverse, key, scratch);
    FN(softmax)(job->M, scratch, strength > SHARPEST ? SHARPEST : strength, weights);
}

/* Adjoint of `content_weights`, given their cotangent `scale dweights`. Adds to dkey and dmemory,
 * and returns the cotangent of the strength. With x = beta c and dx from `softmax_adjoint`,
 * dbeta = dx . c and dc = beta dx. Needs 4 M floats of scratch. */
TARGET static float FN(content_weights_adjoint)(const Job *job, const float *memory,
                                                const float *inverse, const float *key,
                                                float strength, const float *weights,
                                                const float *dweights, float scale, float *dkey,
                                                float *dmemory, float *scratch)
{
    int64_t M = job->M;
    float *similarity = scratch, *dsimilarity = scratch + M;
    float key_inverse = FN(cosine_similarity)(job, memory, inverse, key, similarity);
    FN(softmax_adjoint)(M, weights, dweights, dsimilarity);
    int limited = strength > SHARPEST;
    float dstrength = limited ? 0 : scale * FN(dot)(M, dsimilarity, similarity);
    float factor = scale * (limited ? SHARPEST : strength);
    SIMD
    for (int64_t i = 0; i < M; i++) dsimilarity[i] *= factor;
    FN(cosine_similarity_adjoint)(job, memory, inverse, key, key_inverse, similarity, dsimilarity,
                                  dkey, dmemory, scratch + 2 * M);
    return dstrength;
}

/* -- reading ------------------------------------------------------------------------------- */

/* r = sum_i w(i) m(i) */
TARGET static void FN(read_memory)(const Job *job, const float *memory, const float *weights,
                                   float *read)
{
    int64_t M = job->M, W = job->W;
    for (int64_t j = 0; j < W; j++) read[j] = FN(dot)(M, weights, memory + j * M);
}

/* dw(i) += dr . m(i) and dm(i) += w(i) dr */
TARGET static void FN(read_memory_adjoint)(const Job *job, const float *memory,
                                           const float *weights, const float *dread,
                                           float *dweights, float *dmemory)
{
    int64_t M = job->M, W = job->W;
    for (int64_t j = 0; j < W; j++, memory += M, dmemory += M) {
        float d = dread[j];
        SIMD
        for (int64_t i = 0; i < M; i++) {
            dweights[i] += d * memory[i];
            dmemory[i] += d * weights[i];
        }
    }
}
