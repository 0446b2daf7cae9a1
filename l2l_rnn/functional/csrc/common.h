/* Code that all compiled passes share and that does not depend on the kind of processor.
 *
 * On x86, the passes are compiled twice: for any processor and for processors with AVX2. A file
 * with passes therefore includes its headers twice, and defines two macros differently each time:
 *
 *     SUFFIX  ends the name of every function: _anywhere or _avx2; FN(name) appends it
 *     TARGET  precedes every function: empty, or the attribute that enables AVX2
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PANEL 16 /* columns of a product that are computed together */
#define TILE 6   /* rows that are computed together: 6 x 16 floats fill the registers of AVX2 */

/* Half a panel. */
typedef float vec __attribute__((vector_size(32), aligned(4)));

/* Placed before a loop, these declare its iterations independent, except for a sum or maximum,
 * which may be taken in any order. */
#define PRAGMA(text) _Pragma(#text)
#define SIMD PRAGMA(omp simd)
#define SIMD_SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define SIMD_MAX(name) PRAGMA(omp simd reduction(max : name))

/* Round up to whole panels. */
static int64_t padded(int64_t columns) { return (columns + PANEL - 1) / PANEL * PANEL; }

/* Round numbers below 1e-38 to 0. Gradients that vanish over many steps become such numbers, which
 * slow many processors down a hundredfold. Returns the argument of `restore_denormals`. */
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

/* name -> name_avx2; the two levels expand SUFFIX before joining it. */
#define JOIN_(name, suffix) name##suffix
#define JOIN(name, suffix) JOIN_(name, suffix)
#define FN(name) JOIN(name, SUFFIX)

/* A worker processes items of a job until none are left. Parallel is the type of GOMP_parallel. */
typedef void (*Worker)(void *);
typedef void (*Parallel)(Worker, void *, unsigned, unsigned);

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Process all items of a job, on `threads` threads of the OpenMP runtime that `parallel` belongs
 * to, or on this thread if it is NULL. `next` is the job's item counter; `avx2` is the worker for
 * AVX2. Returns 0 if all items were processed. */
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
