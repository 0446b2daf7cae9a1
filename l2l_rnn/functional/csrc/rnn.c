/* The three passes of a packed recurrence, and of the minimal one, in single precision on a
 * processor.
 *
 * `recurrence/autograd.py` says what a pass computes, `recurrence/cells.py` what a cell does in it; the
 * same equations stand here with a step's product and all its pointwise work done at once, on a
 * block of rows that stays in the processor's cache from the first step to the last. A block of
 * rows of one task or direction is one item of work; threads take items in turn.
 *
 * The minimal recurrence (`recurrence/minimal.py`) has no product, so a pass over it is a loop alone; its
 * z holds the pre-activations, `through` their cotangents.
 *
 * Arrays are contiguous: A tasks and directions, P packed steps, K features with bias columns and
 * the state, H hidden units, U pre-activations for each of them.
 */

#include "common.h"

enum { FORWARD, ADJOINT, TANGENT };
enum { TANH, RELU, GRU, LSTM, MIN_GRU };

typedef struct {
    int64_t pass, cell, A, P, S, B, K, H, U;
    int64_t block;         /* rows of an item */
    int64_t first_column;  /* of z that a product reads: those before it are 0 */
    const int64_t *sizes;  /* (S): rows of each step, non-increasing */
    const float *weight;   /* (A, UH, K) */
    const float *h0, *c0;  /* (A, B, H): what the first step finds */
    float *z;              /* (A, P, K); in the tangent pass z' */
    float *units;          /* (A, P, kept H), or NULL where they are not kept */
    float *h, *c;          /* (A, P, H) */
    const uint8_t *outside;/* (A, P): where h is held at 0, or NULL */
    float *lam, *mu;       /* (A, P, H) */
    float *dh0, *dc0;      /* (A, B, H): adjoint: gradients in h0, c0; tangent: in h', c' before */
    float *da;             /* (A, P, UH) */
    const float *da_given; /* (A, P, UH) or NULL */
    float *a;              /* (A, P, UH): a', then the gradient in a */
    float *h_tangent, *c_tangent; /* (A, P, H) */
    const float *h0_tangent, *c0_tangent; /* (A, B, H) */
    float *h_gradient, *c_gradient;       /* (A, P, H) */
    const float *through;  /* (A, P, K): the gradient in z */
    int64_t next;          /* item to be taken */
} Job;

static const int64_t KEPT[] = {[TANH] = 0, [RELU] = 0, [GRU] = 4, [LSTM] = 5};

/* Floats of workspace that a thread needs. */
static int64_t workspace(const Job *job)
{
    int64_t UH = job->U * job->H, deep = job->K > UH ? job->K : UH;
    return padded(UH) * deep + job->block * padded(UH) + (KEPT[LSTM] + 1) * job->H;
}

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

/* Of what `recurrence/compiled_passes.py` knows of this file: the arrays' names and shapes, and the struct. */
EXPORT int rnn_version(void) { return 6; }
EXPORT int rnn_job_size(void) { return sizeof(Job); }

/* Do a job, as `run_items` says. */
EXPORT int run_rnn_pass(Job *job, Parallel parallel, unsigned threads)
{
    int64_t items = job->A * ((job->B + job->block - 1) / job->block);
    return run_items(job, &job->next, items, work_anywhere, BEST, parallel, threads);
}

/* -- a module, so that Python finds the file ------------------------------------------------- */

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_rnn", .m_size = -1};

PyMODINIT_FUNC PyInit__rnn(void) { return PyModule_Create(&module); }
