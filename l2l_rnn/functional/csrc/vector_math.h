/* Pointwise functions and products in single precision. A file with passes includes this one once
 * for each kind of processor, with the SUFFIX and TARGET of common.h. */

/* -- pointwise functions ------------------------------------------------------------------- */

/* exp x = 2^n exp r with |r| <= ln 2 / 2. The polynomial has the smallest error for its degree on
 * this range. */
TARGET static inline float FN(exponential)(float x)
{
    x = x > 88.0f ? 88.0f : x; /* comparisons pass NaN on */
    x = x < -87.0f ? -87.0f : x;
    union {
        float f;
        int32_t i;
    } n, scale;
    n.f = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: rounds to an integer in the low bits */
    float whole = n.f - 12582912.0f;
    float r = (x - whole * 0.693145752f) - whole * 1.42860677e-6f;
    scale.i = (int32_t)(((uint32_t)n.i + 127) << 23);
    float p = 0.00138144672f;
    p = p * r + 0.00836878084f;
    p = p * r + 0.0416683927f;
    p = p * r + 0.166665196f;
    p = p * r + 0.49999994f;
    return (p * r * r + r + 1.0f) * scale.f;
}

TARGET static inline float FN(sigmoid)(float x) { return 1.0f / (1.0f + FN(exponential)(-x)); }

TARGET static inline float FN(hyperbolic)(float x)
{
    float z = x * x;
    float p = -0.00566697633f; /* smallest error for |x| < 0.63, as in `exponential` */
    p = p * z + 0.0206061751f;
    p = p * z - 0.0537300073f;
    p = p * z + 0.133313313f;
    p = p * z - 0.333332777f;
    float near = x + x * z * p;
    float far = 1.0f - 2.0f / (FN(exponential)(2.0f * x) + 1.0f);
    return z < 0.390625f ? near : far; /* for NaN: far, which is NaN */
}

/* log x for a positive normal number or NaN: x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)],
 * and log(1 + f) = f - f^2/2 + f^3 P(f). The polynomial has the smallest error for its degree on
 * this range. */
TARGET static inline float FN(logarithm)(float x)
{
    union {
        float f;
        int32_t i;
    } whole, part;
    part.f = x;
    int32_t e = (int32_t)((uint32_t)part.i - 0x3f3504f3u) >> 23; /* the bits of sqrt(1/2) */
    part.i -= (int32_t)((uint32_t)e << 23);
    whole.i = e + 0x4b400000; /* as a float: 1.5 * 2^23 + e */
    float power = whole.f - 12582912.0f, f = part.f - 1.0f;
    float p = 0.0870035514f;
    p = p * f - 0.142674282f;
    p = p * f + 0.149147719f;
    p = p * f - 0.165775925f;
    p = p * f + 0.199630648f;
    p = p * f - 0.250013381f;
    p = p * f + 0.333339095f;
    float near = (p * f - 0.5f) * f * f + f;
    near += x - x; /* adds 0, or NaN if x is NaN, which the code above takes for a number */
    return power * 0.693145752f + (near + power * 1.42860677e-6f);
}

/* log(1 + exp x), with torch's threshold of 20. */
TARGET static inline float FN(softplus)(float x)
{
    float e = FN(exponential)(x > 20.0f ? 20.0f : x);
    float between = FN(logarithm)(1.0f + e);
    float low = x < -9.0f ? e : between;
    return x > 20.0f ? x : low;
}

/* The derivative of softplus, from y = softplus x: 1 - exp(-y), or a series where that cancels. */
TARGET static inline float FN(softplus_slope)(float y)
{
    float near = y * (1.0f - y * (0.5f - y * 0.166666667f));
    return y < 0.01f ? near : 1.0f - FN(exponential)(-y);
}

/* -- products ------------------------------------------------------------------------------ */

/* out[rows][PANEL] = x[rows][depth] panel[depth][PANEL]; `rows` is a constant, at most TILE. */
TARGET static inline __attribute__((always_inline)) void FN(tile)(int rows, const float *x,
                                                                  int64_t x_stride,
                                                                  const float *panel, int64_t depth,
                                                                  float *out, int64_t out_stride)
{
    vec left[TILE], right[TILE];
    for (int r = 0; r < rows; r++) left[r] = right[r] = (vec){0};
    for (int64_t k = 0; k < depth; k++) {
        vec one = *(const vec *)(panel + k * PANEL);
        vec two = *(const vec *)(panel + k * PANEL + 8);
        for (int r = 0; r < rows; r++) {
            float s = x[r * x_stride + k];
            left[r] += one * s;
            right[r] += two * s;
        }
    }
    for (int r = 0; r < rows; r++) {
        *(vec *)(out + r * out_stride) = left[r];
        *(vec *)(out + r * out_stride + 8) = right[r];
    }
}

/* out[rows][width] = x[rows][depth] W, with W in panels; width is a multiple of PANEL. */
TARGET static __attribute__((noinline)) void FN(multiply)(int64_t rows, const float *x,
                                                          int64_t x_stride, const float *panels,
                                                          int64_t depth, float *out, int64_t width)
{
    for (int64_t j = 0; j < width; j += PANEL, panels += depth * PANEL) {
        int64_t r = 0;
        for (; r + TILE <= rows; r += TILE)
            FN(tile)(6, x + r * x_stride, x_stride, panels, depth, out + r * width + j, width);
        const float *rest = x + r * x_stride;
        float *to = out + r * width + j;
        switch (rows - r) {
        case 5: FN(tile)(5, rest, x_stride, panels, depth, to, width); break;
        case 4: FN(tile)(4, rest, x_stride, panels, depth, to, width); break;
        case 3: FN(tile)(3, rest, x_stride, panels, depth, to, width); break;
        case 2: FN(tile)(2, rest, x_stride, panels, depth, to, width); break;
        case 1: FN(tile)(1, rest, x_stride, panels, depth, to, width); break;
        }
    }
}

/* Arrange a matrix, source[k * down + j * across] in row k, column j, in panels padded with 0. */
TARGET static __attribute__((noinline)) void FN(pack)(const float *source, int64_t down,
                                                      int64_t across, int64_t depth,
                                                      int64_t columns, float *panels)
{
    for (int64_t first = 0; first < columns; first += PANEL, panels += depth * PANEL) {
        int64_t there = columns - first < PANEL ? columns - first : PANEL;
        for (int64_t k = 0; k < depth; k++)
            for (int64_t j = 0; j < PANEL; j++)
                panels[k * PANEL + j] = j < there ? source[k * down + (first + j) * across] : 0;
    }
}
