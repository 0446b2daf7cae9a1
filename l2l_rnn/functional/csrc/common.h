/* What the compiled passes share before they are compiled for a kind of processor. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PANEL 16 /* columns of a product that are made at once */
#define TILE 6   /* rows of it: 6 rows of 16 columns fill the registers of AVX2 */

typedef float vec __attribute__((vector_size(32), aligned(4)));

/* Before a loop whose turns may be done side by side; sums and maxima in any order. */
#define PRAGMA(text) _Pragma(#text)
#define SIMD PRAGMA(omp simd)
#define SIMD_SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define SIMD_MAX(name) PRAGMA(omp simd reduction(max : name))

static int64_t padded(int64_t columns) { return (columns + PANEL - 1) / PANEL * PANEL; }

/* A gradient that fades over many steps ends in numbers below 1e-38, which many processors compute
 * with a hundred times more slowly; here they are 0. Returns what `restore_denormals` takes. */
static unsigned flush_denormals(void)
{
#if defined(__x86_64__)
    unsigned mode = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(mode | 0x8040);
    return mode;
#else
    return 0;
#endif
}

static void restore_denormals(unsigned mode)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(mode);
#else
    (void)mode;
#endif
}

#define JOIN_(name, suffix) name##suffix
#define JOIN(name, suffix) JOIN_(name, suffix)
#define FN(name) JOIN(name, SUFFIX)

typedef void (*Worker)(void *);
typedef void (*Parallel)(Worker, void *, unsigned, unsigned);

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Do all items of a job on `threads` threads of the OpenMP runtime that `parallel` belongs to, or on
 * this one where it is NULL. `next`, of the job, is the item to be taken; `avx2` is NULL where there
 * is no such processor. Returns 0 once all is done. */
static int run_items(void *job, int64_t *next, int64_t items, Worker anywhere, Worker avx2,
                     Parallel parallel, unsigned threads)
{
    Worker worker = anywhere;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) worker = avx2;
#else
    (void)avx2;
#endif
    *next = 0;
    if (parallel && threads > 1) parallel(worker, job, threads, 0);
    else worker(job);
    return *next < items;
}
