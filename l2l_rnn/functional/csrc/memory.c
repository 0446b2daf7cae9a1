/* The passes of a memory of slots over a sequence, with its controller and heads, in single
 * precision on a processor.
 *
 * `memory/autograd.py` says what goes in and out, `memory/ntm.py`, `mann.py` and `dnc.py` what is
 * computed; the same equations stand here, forward and backward, with all steps of a block of
 * sequences in one go. A sequence's slots stay in the processor's cache from step to step. A block
 * of sequences of one task is one item of work; threads take items in turn.
 *
 * Arrays are contiguous. A tasks (one, where parameters have no task axis), B sequences of each,
 * S steps, H units of the controller, G gates of each, M slots of W values, R read heads, V write
 * heads, heads = R + V, I numbers that steer the heads, Z = R W (+ H) values that come back into the
 * controller, P = G H (+ I) values that come of a step alone. Slots lie side by side here, (W, M), so that what is done to all slots is done to
 * neighbours. Where nothing is kept for a backward pass, arrays over steps have room for one.
 */

#include "common.h"

#define LEAST_WEIGHT 1e-16f /* added to what a logarithm is taken of, as in `addressing.py` */

enum { FORWARD, ADJOINT };
enum { NTM, MANN, DNC };
/* The parts of a state. Of an NTM and a MANN those from USAGE on are empty: a MANN's usage has no
 * derivative and is not among them. */
enum { MEMORY, WEIGHTS, READS, HIDDEN, CELL, USAGE, LINKS, PRECEDENCE, ALLOCATION, PARTS };

typedef struct {
    int64_t pass, kind, A, B, S, H, G, M, W, R, V, I, Z, P;
    int64_t reach;           /* the farthest that a head moves */
    int64_t keep;            /* 1: all steps are kept, 0: one */
    int64_t block;           /* sequences of an item */
    double least;            /* length below which a slot has hardly a direction */
    double decay;            /* of usage */
    const int64_t *lengths;  /* (A, B) */
    const float *weight_back;   /* (A, GH, Z) */
    const float *weight_heads;  /* (A, I, H) */
    const float *bias_heads;    /* (A, I) */
    const float *projected;     /* (A, B, S, P), what a step gives the gates, then the numbers */
    float *first[PARTS]; /* memory (A, B, W, M), weights (A, B, heads, M), reads (A, B, RW), hidden,
                          * cell, usage (A, B, M), links (A, B, M, M), precedence, allocation: what
                          * the first step finds. In the adjoint the cotangents of the last, which
                          * become those of the first */
    float *last[PARTS];  /* the same after the last step */
    float *all[PARTS];   /* the same before the first step and after every one, (A, B, S + 1, part);
                          * none of reads and hidden, which `seen` has */
    float *seen;     /* (A, B, S, H + RW): hidden, then reads */
    const float *dseen;
    float *z;        /* (A, B, S, Z): reads and hidden of the step before */
    float *units;    /* (A, B, S, 5H): i, f, g, o and tanh c', or nothing */
    float *numbers;  /* (A, B, S, I), activated */
    float *content;  /* NTM, DNC: (A, B, S, heads, M), by content */
    float *shifted;  /* NTM: (A, B, S, heads, M), before they are sharpened */
    float *below;    /* DNC: (A, B, S, M), the product of the usage of all slots less used */
    float *sharpness, *dsharpness; /* MANN: (A), (A, B) */
    float *places;      /* MANN: (A, B, S, R), the slots least used */
    float *usage;       /* MANN: (A, B, M) */
    float *used;        /* MANN: (A, B, M), 1 where a slot was ever the least used */
    float *overwritten; /* MANN: (A, B), how many were written again */
    float *da;          /* (A, B, S, P) */
    float *dnumbers;    /* (A, B, S, I) */
    int64_t next;       /* item to be taken */
} Job;

/* A state, or its cotangents: where each part of it stands. */
typedef struct {
    float *part[PARTS];
} State;

/* Floats of a sequence in each part of the state. */
static int64_t part_size(const Job *job, int part)
{
    switch (part) {
    case MEMORY: return job->W * job->M;
    case WEIGHTS: return (job->R + job->V) * job->M;
    case READS: return job->R * job->W;
    case HIDDEN: return job->H;
    case CELL: return job->G == 4 ? job->H : 0;
    case LINKS: return job->kind == DNC ? job->M * job->M : 0;
    default: return job->kind == DNC ? job->M : 0;
    }
}

/* The state at one place of arrays of states. */
static State state_at(const Job *job, float *const *arrays, int64_t place)
{
    State state;
    for (int part = 0; part < PARTS; part++)
        state.part[part] = arrays[part] ? arrays[part] + place * part_size(job, part) : 0;
    return state;
}

static void copy_part(const Job *job, int part, float *to, const float *from)
{
    int64_t size = part_size(job, part);
    if (size) memcpy(to, from, size * sizeof(float));
}

static int64_t heads_room(const Job *job)
{
    int64_t ntm = 7 * job->M + 2 * job->reach, dnc = (5 + 2 * job->R) * job->M;
    return job->kind == DNC ? dnc : ntm; /* of the adjoints; that of a MANN needs less */
}

/* Floats of workspace that a thread needs: weights in panels, a step's products, a head's work. */
static int64_t workspace(const Job *job)
{
    int64_t gates = job->G * job->H, Z = job->Z, I = job->I, H = job->H;
    int64_t wide = padded(gates > Z ? gates : Z), narrow = padded(I > H ? I : H);
    int64_t panels = (gates > Z ? gates : Z) * wide + (I > H ? I : H) * narrow;
    return panels + job->block * (wide + narrow) + heads_room(job);
}

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

/* Of what `memory/compiled_passes.py` knows of this file: the arrays' names and shapes, and the struct. */
EXPORT int memory_version(void) { return 5; }
EXPORT int memory_job_size(void) { return sizeof(Job); }

/* Do a job, as `run_items` says. */
EXPORT int run_memory_pass(Job *job, Parallel parallel, unsigned threads)
{
    int64_t items = job->A * ((job->B + job->block - 1) / job->block);
    return run_items(job, &job->next, items, work_anywhere, BEST, parallel, threads);
}

/* -- a module, so that Python finds the file ------------------------------------------------- */

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_memory", .m_size = -1};

PyMODINIT_FUNC PyInit__memory(void) { return PyModule_Create(&module); }
