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

/* The arrays of one step, as in `Job` with P = B = rows and without the products. */
typedef struct {
    int64_t pass, rows, H;
    float *kept;                      /* (rows, kept H) */
    const float *a_x, *a_h;           /* (rows, GH): the parts from the input and the state */
    const float *h_before, *c_before; /* (rows, H) */
    float *h, *c;                     /* (rows, H) */
    const float *lam;                 /* (rows, H) */
    float *mu;                        /* (rows, H) */
    float *da_x, *da_h;               /* (rows, GH) */
    float *dh_before, *dc_before;     /* (rows, H): without the part through the product */
    float *a_x_tangent, *a_h_tangent; /* (rows, GH): tangents, then gradients */
    const float *h_before_tangent, *c_before_tangent; /* (rows, H) */
    float *h_tangent, *c_tangent;                     /* (rows, H) */
} Step;

static const int64_t GATES[] = {[TANH] = 1, [RELU] = 1, [GRU] = 3, [LSTM] = 4};
static const int64_t KEPT_OF_STEP[] = {[TANH] = 1, [RELU] = 1, [GRU] = 4, [LSTM] = 5};

/* Run a pass of one step with a constant `cell`. */
#define EVERY_STEP(pass)                       \
    switch (cell) {                            \
    case TANH: FN(pass)(s, TANH, room); break; \
    case RELU: FN(pass)(s, RELU, room); break; \
    case GRU: FN(pass)(s, GRU, room); break;   \
    case LSTM: FN(pass)(s, LSTM, room); break; \
    }

#define SUFFIX _anywhere
#define TARGET
#include "rnn_passes.h"
#include "single_step.h"
#undef SUFFIX
#undef TARGET

#if defined(__x86_64__)
#define SUFFIX _avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "rnn_passes.h"
#include "single_step.h"
#define BEST work_avx2
#else
#define BEST 0
#endif

/* `recurrence/compiled_passes.py` loads only a build with its own version and struct size. */
EXPORT int rnn_version(void) { return 8; }
EXPORT int rnn_job_size(void) { return sizeof(Job); }

/* Process all items of a job; see `run_items`. */
EXPORT int run_rnn_pass(Job *job, Parallel parallel, unsigned threads)
{
    int64_t items = job->A * ((job->B + job->block - 1) / job->block);
    return run_items(job, &job->next, items, work_anywhere, BEST, parallel, threads);
}

/* Run a pass of one step on this thread. Returns 0 if there was memory for its workspace. */
static int run_step(const Step *step, int64_t cell)
{
    float *room = malloc(14 * step->H * sizeof(float));
    if (!room) return 1;
    unsigned mode = flush_denormals();
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        work_on_step_avx2(step, cell, room);
    else
#endif
        work_on_step_anywhere(step, cell, room);
    restore_denormals(mode);
    free(room);
    return 0;
}

/* `recurrence/compiled_step.py` calls these. */
EXPORT int rnn_step_forward(int64_t cell, int64_t rows, int64_t H, const float *a_x,
                            const float *a_h, const float *h_before, const float *c_before,
                            float *kept, float *h, float *c)
{
    Step step = {.pass = FORWARD,
                 .rows = rows,
                 .H = H,
                 .a_x = a_x,
                 .a_h = a_h,
                 .h_before = h_before,
                 .c_before = c_before,
                 .kept = kept,
                 .h = h,
                 .c = c};
    return run_step(&step, cell);
}

EXPORT int rnn_step_adjoint(int64_t cell, int64_t rows, int64_t H, float *kept,
                            const float *h_before, const float *c_before, const float *lam,
                            float *mu, float *da_x, float *da_h, float *dh_before, float *dc_before)
{
    Step step = {.pass = ADJOINT,
                 .rows = rows,
                 .H = H,
                 .kept = kept,
                 .h_before = h_before,
                 .c_before = c_before,
                 .lam = lam,
                 .mu = mu,
                 .da_x = da_x,
                 .da_h = da_h,
                 .dh_before = dh_before,
                 .dc_before = dc_before};
    return run_step(&step, cell);
}

EXPORT int rnn_step_tangent(int64_t cell, int64_t rows, int64_t H, float *kept,
                            const float *h_before, const float *c_before, const float *lam,
                            float *mu, float *da_x, float *da_h, const float *h_before_tangent,
                            const float *c_before_tangent, float *a_x_tangent, float *a_h_tangent,
                            float *h_tangent, float *c_tangent, float *dh_before, float *dc_before)
{
    Step step = {.pass = TANGENT,
                 .rows = rows,
                 .H = H,
                 .kept = kept,
                 .h_before = h_before,
                 .c_before = c_before,
                 .lam = lam,
                 .mu = mu,
                 .da_x = da_x,
                 .da_h = da_h,
                 .h_before_tangent = h_before_tangent,
                 .c_before_tangent = c_before_tangent,
                 .a_x_tangent = a_x_tangent,
                 .a_h_tangent = a_h_tangent,
                 .h_tangent = h_tangent,
                 .c_tangent = c_tangent,
                 .dh_before = dh_before,
                 .dc_before = dc_before};
    return run_step(&step, cell);
}

/* -- an empty module, so that Python finds this library ------------------------------------ */

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_rnn", .m_size = -1};

PyMODINIT_FUNC PyInit__rnn(void) { return PyModule_Create(&module); }
