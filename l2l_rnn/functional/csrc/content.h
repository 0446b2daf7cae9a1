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

/* y = softmax(scale x). The maximum is subtracted first, so that nothing overflows. */
TARGET static void FN(softmax)(int64_t n, const float *x, float scale, float *y)
{
    float largest = -3e38f, sum = 0;
    SIMD_MAX(largest)
    for (int64_t i = 0; i < n; i++) largest = largest < scale * x[i] ? scale * x[i] : largest;
    SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) {
        y[i] = FN(exponential)(scale * x[i] - largest);
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

/* inverse(i) = 1 / |m(i)| */
TARGET static void FN(inverse_lengths)(const Job *job, const float *memory, float *inverse)
{
    int64_t M = job->M, W = job->W;
    float eps = job->eps;
    for (int64_t i = 0; i < M; i++) inverse[i] = eps * eps;
    for (int64_t j = 0; j < W; j++, memory += M) {
        SIMD
        for (int64_t i = 0; i < M; i++) inverse[i] += memory[i] * memory[i];
    }
    SIMD
    for (int64_t i = 0; i < M; i++) inverse[i] = 1.0f / __builtin_sqrtf(inverse[i]);
}

/* Compute the similarity of a key to each slot; returns 1 / |k|. */
TARGET static float FN(cosine_similarity)(const Job *job, const float *memory, const float *inverse,
                                          const float *key, float *similarity)
{
    int64_t M = job->M, W = job->W;
    float eps = job->eps, square = eps * eps;
    for (int64_t j = 0; j < W; j++) square += key[j] * key[j];
    float key_inverse = 1.0f / __builtin_sqrtf(square);
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
 *   dk    += sum_i dc(i) m(i) / (|k| |m(i)|) - k / |k|^2 sum_i dc(i) c(i),
 *   dm(i) += dc(i) k / (|k| |m(i)|) - dc(i) c(i) m(i) / |m(i)|^2. */
TARGET static void FN(cosine_similarity_adjoint)(const Job *job, const float *memory,
                                                 const float *inverse, const float *key,
                                                 float key_inverse, const float *similarity,
                                                 const float *dsimilarity, float *dkey,
                                                 float *dmemory, float *scratch)
{
    int64_t M = job->M, W = job->W;
    float *product = scratch, *length = scratch + M; /* the factors of the terms of each dm(i) */
    float key_length = FN(dot)(M, similarity, dsimilarity) * key_inverse * key_inverse;
    SIMD
    for (int64_t i = 0; i < M; i++) {
        product[i] = dsimilarity[i] * inverse[i] * key_inverse;
        length[i] = dsimilarity[i] * similarity[i] * inverse[i] * inverse[i];
    }
    for (int64_t j = 0; j < W; j++, memory += M, dmemory += M) {
        float k = key[j];
        dkey[j] += FN(dot)(M, product, memory) - k * key_length;
        SIMD
        for (int64_t i = 0; i < M; i++) dmemory[i] += product[i] * k - length[i] * memory[i];
    }
}

/* -- content weights ----------------------------------------------------------------------- */

TARGET static void FN(content_weights)(const Job *job, const float *memory, const float *inverse,
                                       const float *key, float strength, float *weights,
                                       float *scratch)
{
    FN(cosine_similarity)(job, memory, inverse, key, scratch);
    FN(softmax)(job->M, scratch, strength, weights);
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
    float dstrength = scale * FN(dot)(M, dsimilarity, similarity), factor = scale * strength;
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
