/* Forward and adjoint passes of a memory with its controller and heads: all steps of a sequence in
 * one call, in single precision on the CPU.
 *
 * `memory/ntm.py`, `memory/mann.py` and `memory/dnc.py` document the equations, and
 * `functional/memory/autograd.py` documents the inputs and outputs. An item of work is a block of
 * sequences of one task. Threads take items in turn, and the slots of a sequence stay in the cache
 * from step to step.
 *
 *   memory_passes.h   the loop over steps, for every kind of memory
 *   controller.h      the LSTM and the feed-forward controller
 *   content.h         content addressing and reading, shared by all heads
 *   ntm.h, mann.h     the heads of an NTM and of a MANN
 *   dnc.h             the heads of a DNC; dnc_addressing.h: its allocation and temporal links
 *
 * Letters: N tasks, B sequences in a task, S steps, H hidden units, M memory slots, W slot size,
 * R read heads. Named sizes:
 *
 *   heads           R + write heads
 *   gates           pre-activations of the controller: 4 H (LSTM, i f g o) or H (feed-forward)
 *   interface_size  the interface vector, which controls the heads; a linear function of the
 *                   hidden units
 *   feedback_size   values fed back from the previous step: R W reads, and H in an LSTM
 *   projected_size  the input's contribution to the gates and, in some MANNs, to the interface
 *
 * `dx` is the cotangent of x, the derivative of the loss with respect to x. The adjoint of a
 * function takes the cotangents of its outputs and computes those of its inputs.
 *
 * Arrays are contiguous. A memory is stored as (W, M): a loop over slots then runs over adjacent
 * numbers, and the compiler vectorizes it. If nothing is kept for a backward pass, arrays over
 * steps have room for only one step, and the states before and after a step share storage. */

#include "common.h"

/* As in `memory/addressing.py`: what is added to the argument of a logarithm, and the largest
 * strength or exponent that has an effect. */
#define LOG_EPS 1e-16f
#define SHARPEST 0x1p46f

/* For the functions of a step. If they were all inlined into one, it would run out of registers. */
#define NOINLINE __attribute__((noinline))

enum { FORWARD, ADJOINT };
enum { NTM, MANN, DNC };
/* The parts of a state. The last four are a DNC's and empty otherwise. A MANN's usage has no
 * derivative and is stored elsewhere. */
enum { MEMORY, WEIGHTS, READS, HIDDEN, CELL, USAGE, LINKS, PRECEDENCE, ALLOCATION, PARTS };

/* The shapes of the parts, for each sequence: memory (W, M), weights (heads, M) with the read heads
 * first, reads (R, W), hidden (H), cell (H) or empty, usage (M), links (M, M), precedence (M),
 * allocation (M). */
typedef struct {
    int64_t pass, kind, N, B, S, H, M, W, R, write_heads;
    int64_t gates, interface_size, feedback_size, projected_size;
    int64_t reach;             /* NTM: the largest shift of a head in one step */
    int64_t keep;              /* 1: keep all steps for a backward pass, 0: keep one */
    int64_t block;             /* sequences in an item of work */
    double eps;                /* norms are sqrt(|v|^2 + eps^2) */
    double decay;              /* MANN: the decay of the usage */
    const int64_t *lengths;    /* (N, B) */
    const float *weight_back;  /* (N, gates, feedback_size) */
    const float *weight_heads; /* (N, interface_size, H) */
    const float *bias_heads;   /* (N, interface_size) */
    const float *projected;    /* (N, B, S, projected_size) */
    float *initial[PARTS];     /* (N, B, part): the state before the first step */
    float *final[PARTS];       /* (N, B, part): the state after the last step */
    float *states[PARTS];      /* (N, B, S + 1, part): the state before each step, and the last one;
                                * NULL for reads and hidden, which are in `outputs` */
    float *dstate[PARTS];      /* (N, B, part): the cotangents of the final state, which the adjoint
                                * pass replaces by those of the initial state */
    float *outputs;            /* (N, B, S, H + R W): hidden, then reads; 0 past the end */
    const float *doutputs;     /* (N, B, S, H + R W) */
    float *feedback;           /* (N, B, S, feedback_size): the previous reads, then hidden */
    float *activations;        /* LSTM: (N, B, S, 5 H): i, f, g, o and tanh(c) */
    float *interfaces;         /* (N, B, S, interface_size), activated */
    float *content;            /* NTM, DNC: (N, B, S, heads, M): content weights */
    float *shifted;            /* NTM: (N, B, S, heads, M): weights before sharpening */
    float *usage_products;     /* DNC: (N, B, S, M): products of the usage of prior slots */
    float *sharpness;          /* MANN: (N) */
    float *dsharpness;         /* MANN: (N, B) */
    float *least_used;         /* MANN: (N, B, S, R): indices of slots */
    float *usage;              /* MANN: (N, B, M) */
    float *used;               /* MANN: (N, B, M): 1 for slots that have been written */
    float *overwritten;        /* MANN: (N, B): number of writes to used slots */
    float *dprojected;         /* (N, B, S, projected_size) */
    float *dinterfaces;        /* (N, B, S, interface_size), before activation */
    int64_t next;              /* the next item of work */
} Job;

/* The state of one sequence at one step, or its cotangents. */
typedef struct {
    float *part[PARTS];
} State;

/* -- sizes and offsets --------------------------------------------------------------------- */

static int64_t part_size(const Job *job, int part)
{
    switch (part) {
    case MEMORY: return job->W * job->M;
    case WEIGHTS: return (job->R + job->write_heads) * job->M;
    case READS: return job->R * job->W;
    case HIDDEN: return job->H;
    case CELL: return job->gates > job->H ? job->H : 0;
    case LINKS: return job->kind == DNC ? job->M * job->M : 0;
    default: return job->kind == DNC ? job->M : 0;
    }
}

static int64_t outputs_size(const Job *job) { return job->H + job->R * job->W; }

/* The index of step t of a sequence in arrays over steps. */
static int64_t step_index(const Job *job, int64_t sequence, int64_t t)
{
    return job->keep ? sequence * job->S + t : sequence;
}

/* The index in `states` of the state before step t. */
static int64_t state_index(const Job *job, int64_t sequence, int64_t t)
{
    return job->keep ? sequence * (job->S + 1) + t : sequence;
}

static float *outputs_at(const Job *job, int64_t sequence, int64_t t)
{
    return job->outputs + (sequence * job->S + t) * outputs_size(job);
}

static inline float *part_at(const Job *job, float *const *arrays, int part, int64_t index)
{
    return arrays[part] ? arrays[part] + index * part_size(job, part) : 0;
}

static State state_at(const Job *job, float *const *arrays, int64_t index)
{
    State state = {{0}};
    int parts = job->kind == DNC ? PARTS : USAGE;
    for (int part = 0; part < parts; part++) state.part[part] = part_at(job, arrays, part, index);
    return state;
}

/* -- copies -------------------------------------------------------------------------------- */

static void copy_state(const Job *job, const State *to, const State *from)
{
    for (int part = 0; part < PARTS; part++) {
        int64_t size = part_size(job, part);
        if (size && to->part[part]) memcpy(to->part[part], from->part[part], size * sizeof(float));
    }
}

/* Pass reads and hidden units on to step t. A feed-forward controller gets only the reads. */
static void feed_back(const Job *job, int64_t sequence, int64_t t, const float *reads,
                      const float *hidden)
{
    int64_t size = job->feedback_size, reads_size = job->R * job->W;
    float *to = job->feedback + step_index(job, sequence, t) * size;
    memcpy(to, reads, reads_size * sizeof(float));
    memcpy(to + reads_size, hidden, (size - reads_size) * sizeof(float));
}

static void load_initial_state(const Job *job, int64_t sequence)
{
    State initial = state_at(job, job->initial, sequence);
    State first = state_at(job, job->states, state_index(job, sequence, 0));
    copy_state(job, &first, &initial);
    if (job->S) feed_back(job, sequence, 0, initial.part[READS], initial.part[HIDDEN]);
}

static void store_final_state(const Job *job, int64_t sequence)
{
    int64_t steps = job->lengths[sequence];
    State initial = state_at(job, job->initial, sequence);
    State final = state_at(job, job->final, sequence);
    State last = state_at(job, job->states, state_index(job, sequence, steps));
    float *outputs = steps ? outputs_at(job, sequence, steps - 1) : 0;
    last.part[HIDDEN] = steps ? outputs : initial.part[HIDDEN];
    last.part[READS] = steps ? outputs + job->H : initial.part[READS];
    copy_state(job, &final, &last);
}

/* -- workspace ----------------------------------------------------------------------------- */

/* The buffers of a thread. Weights are stored in the panels that `multiply` reads, and a row of a
 * product is as wide as all its panels. */
typedef struct {
    int64_t wide, narrow; /* widths of the rows of the two products */
    float *back;          /* weight_back, transposed in the adjoint pass */
    float *heads;         /* weight_heads, transposed in the adjoint pass */
    float *wide_rows;     /* (block, wide): gates; in the adjoint pass dfeedback */
    float *narrow_rows;   /* (block, narrow): interfaces; in the adjoint pass dhidden */
    float *scratch;       /* for one step of the heads */
} Workspace;

static int64_t scratch_size(const Job *job)
{
    return (8 + 2 * job->R) * job->M + 2 * job->reach; /* enough for every kind of heads */
}

/* Lay out a workspace in `room`, and return the number of floats that it takes. */
static int64_t lay_out(const Job *job, float *room, Workspace *work)
{
    int64_t forward = job->pass == FORWARD;
    int64_t wide = padded(forward ? job->gates : job->feedback_size);
    int64_t narrow = padded(forward ? job->interface_size : job->H);
    int64_t back = wide * (forward ? job->feedback_size : job->gates);
    int64_t heads = narrow * (forward ? job->H : job->interface_size);
    int64_t weights = back + heads, rows = job->block * (wide + narrow);
    if (room) {
        work->wide = wide;
        work->narrow = narrow;
        work->back = room;
        work->heads = room + back;
        work->wide_rows = room + weights;
        work->narrow_rows = work->wide_rows + job->block * wide;
        work->scratch = room + weights + rows;
    }
    return weights + rows + scratch_size(job);
}

/* -- the passes, compiled for each kind of processor ---------------------------------------- */

#define SUFFIX _anywhere
#define TARGET
#include "memory_passes.h"
#undef SUFFIX
#undef TARGET

#if defined(__x86_64__)
#define SUFFIX _avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "memory_passes.h"
#define BEST work_avx2
#else
#define BEST 0
#endif

/* `memory/compiled_passes.py` loads only a build with its own version and struct size. */
EXPORT int memory_version(void) { return 7; }
EXPORT int memory_job_size(void) { return sizeof(Job); }

/* Process all items of a job; see `run_items`. */
EXPORT int run_memory_pass(Job *job, Parallel parallel, unsigned threads)
{
    int64_t items = job->N * ((job->B + job->block - 1) / job->block);
    return run_items(job, &job->next, items, work_anywhere, BEST, parallel, threads);
}

/* An empty module, so that Python finds this library. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_memory", .m_size = -1};

PyMODINIT_FUNC PyInit__memory(void) { return PyModule_Create(&module); }
