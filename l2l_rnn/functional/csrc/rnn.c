/* The three passes over packed recurrences, and over the minimal one, in float32 on a CPU.
 *
 * `recurrence/autograd.py` explains what a pass computes. gru.h, lstm.h and minimal.h hold the
 * cells with their derivations, and rnn_passes.h holds the passes. A pass does the product and all
 * pointwise work of a step on a block of rows that stays in the processor's cache from the first
 * step to the last. An item of work is a block of rows of one task or direction; threads take items
 * in turn.
 *
 * Arrays are contiguous: A tasks and directions, P packed steps, B sequences, H hidden units, U
 * pre-activations per hidden unit, K columns of W (features, biases and state).
 */

#include "common.h"

enum { FORWARD, ADJOINT, TANGENT };
enum { TANH, RELU, GRU, LSTM, MIN_GRU };

/* `recurrence/compiled_passes.py` mirrors this struct; `recurrence/arrays.py` explains the arrays.
 */
typedef struct {
    int64_t pass, cell, A, P, S, B, K, H, U;
    int64_t block;                /* rows of an item */
    int64_t first_column;         /* of z that a product reads; the ones before it are 0 */
    const int64_t *sizes;         /* (S): rows of each step, non-increasing */
    const float *weight;          /* (A, UH, K) */
    const float *h0, *c0;         /* (A, B, H): the initial state */
    float *z;                     /* (A, P, K); z' in the tangent pass */
    const float *a;               /* (A, P, UH): pre-activations; the minimal recurrence only */
    float *gates;                 /* (A, P, kept H), or NULL if they are not kept */
    float *h, *c;                 /* (A, P, H) */
    const uint8_t *outside;       /* (A, P): 1 where h is held at 0; or NULL */
    float *lam, *mu;              /* (A, P, H) */
    float *dh0, *dc0;             /* (A, B, H): the gradients w.r.t. h0 and c0 */
    float *da;                    /* (A, P, UH) */
    const float *da_given;        /* (A, P, UH), or NULL */
    float *h_tangent, *c_tangent; /* (A, P, H) */
    const float *h0_tangent, *c0_tangent; /* (A, B, H) */
    float *a_tangent;                     /* (A, P, UH): a', then the gradient w.r.t. a */
    float *a_gradient;                    /* (A, P, UH): the minimal recurrence only */
    float *h_gradient, *c_gradient;       /* (A, P, H) */
    const float *dz;                      /* (A, P, K): the gradient w.r.t. z */
    int64_t next;                         /* the next item to take */
} Job;

/* Number of values that a cell keeps of each step, per hidden unit. */
static const int64_t KEPT[] = {[TANH] = 0, [RELU] = 0, [GRU] = 4, [LSTM] = 5};

/* Floats of workspace that a thread needs: panels of W, products of a block, one row of gates. */
static int64_t workspace(const Job *job)
{
    int64_t UH = job->U * job->H, deep = job->K > UH ? job->K : UH;
    return padded(UH) * deep + job->block * padded(UH) + (KEPT[LSTM] + 1) * job->H;
}

/* Row functions are inlined, so that a constant `cell` leaves only that cell's loop. */
#define INLINE TARGET static inline __attribute__((always_inline))

/* Run a pass with a constant `cell`. */
#define EVERY_CELL(pass)                                         \
    switch (job->cell) {                                         \
    case TANH: FN(pass)(job, TANH, n, first, last, room); break; \
    case RELU: FN(pass)(job, RELU, n, first, last, room); break; \
    case GRU: FN(pass)(job, GRU, n, first, last, room); break;   \
    case LSTM: FN(pass)(job, LSTM, n, first, last, room); break; \
    case MIN_GRU: FN(min_##pass)(job, n, first, last); break;    \
    }

#define SUFFIX _anywhere
#define TARGET
#include "rnn_passes.h"
#undef SUFFIX
#undef TARGET

#if defined(__x86_64__)
#define SUFFIX _avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "rnn_passes.h"
#define BEST work_avx2
#else
#define BEST 0
#endif

/* `recurrence/compiled_passes.py` loads only a build with its own version and struct size. */
EXPORT int rnn_version(void) { return 7; }
EXPORT int rnn_job_size(void) { return sizeof(Job); }

/* Process all items of a job; see `run_items`. */
EXPORT int run_rnn_pass(Job *job, Parallel parallel, unsigned threads)
{
    int64_t items = job->A * ((job->B + job->block - 1) / job->block);
    return run_items(job, &job->next, items, work_anywhere, BEST, parallel, threads);
}

/* -- an empty module, so that Python finds this library ------------------------------------ */

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_rnn", .m_size = -1};

PyMODINIT_FUNC PyInit__rnn(void) { return PyModule_Create(&module); }
