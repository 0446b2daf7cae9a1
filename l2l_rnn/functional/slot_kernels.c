/* The passes of a memory of slots over a sequence, with its controller and heads, in single
 * precision on a processor.
 *
 * `slot_recurrence.py` says what goes in and out, `memory/ntm.py` and `mann.py` what is computed; the same
 * equations stand here, forward and backward, with all steps of a block of sequences in one go. A
 * sequence's slots stay in the processor's cache from step to step. A block of sequences of one
 * task is one item of work; threads take items in turn.
 *
 * Arrays are contiguous. A tasks (one, where parameters have no task axis), B sequences of each,
 * S steps, H units of the controller, G gates of each, M slots of W values, R read heads, V write
 * heads, heads = R + V, I numbers that steer the heads, Z = R W (+ H) values that come back into the
 * controller. Slots lie side by side here, (W, M), so that what is done to all slots is done to
 * neighbours. Where nothing is kept for a backward pass, arrays over steps have room for one.
 */

#include "kernels.h"

#define LEAST_WEIGHT 1e-16f /* added to what a logarithm is taken of, as in `addressing.py` */

enum { FORWARD, ADJOINT };
enum { NTM, MANN };
enum { MEMORY, WEIGHTS, READS, HIDDEN, CELL, PARTS };

typedef struct {
    int64_t pass, kind, A, B, S, H, G, M, W, R, V, I, Z;
    int64_t reach;           /* the farthest that a head moves */
    int64_t keep;            /* 1: all steps are kept, 0: one */
    int64_t block;           /* sequences of an item */
    double least;            /* length below which a slot has hardly a direction */
    double decay;            /* of usage */
    const int64_t *lengths;  /* (A, B) */
    const float *weight_back;   /* (A, GH, Z) */
    const float *weight_heads;  /* (A, I, H) */
    const float *bias_heads;    /* (A, I) */
    const float *projected;     /* (A, B, S, GH) */
    float *first[PARTS]; /* memory (A, B, W, M), weights (A, B, heads, M), reads (A, B, RW), hidden,
                          * cell: what the first step finds. In the adjoint the cotangents of the
                          * last, which become those of the first */
    float *last[PARTS];  /* the same after the last step */
    float *seen;     /* (A, B, S, H + RW): hidden, then reads */
    const float *dseen;
    float *z;        /* (A, B, S, Z): reads and hidden of the step before */
    float *units;    /* (A, B, S, 5H): i, f, o, g and tanh c', or nothing */
    float *cells;    /* (A, B, S + 1, H), or nothing */
    float *numbers;  /* (A, B, S, I), activated */
    float *memories; /* (A, B, S + 1, W, M) */
    float *weights;  /* (A, B, S + 1, heads, M) */
    float *content;  /* NTM: (A, B, S, heads, M), by content */
    float *shifted;  /* NTM: (A, B, S, heads, M), before they are sharpened */
    float *sharpness, *dsharpness; /* MANN: (A), (A, B) */
    float *places;      /* MANN: (A, B, S, R), the slots least used */
    float *usage;       /* MANN: (A, B, M) */
    float *used;        /* MANN: (A, B, M), 1 where a slot was ever the least used */
    float *overwritten; /* MANN: (A, B), how many were written again */
    float *da;          /* (A, B, S, GH) */
    float *dnumbers;    /* (A, B, S, I) */
    int64_t next;       /* item to be taken */
} Job;

/* Floats of a sequence in each part of the state. */
static int64_t part_size(const Job *job, int part)
{
    switch (part) {
    case MEMORY: return job->W * job->M;
    case WEIGHTS: return (job->R + job->V) * job->M;
    case READS: return job->R * job->W;
    case HIDDEN: return job->H;
    default: return job->G == 4 ? job->H : 0;
    }
}

static int64_t heads_room(const Job *job)
{
    return 7 * job->M + 2 * job->reach; /* of `ntm_adjoint`, which needs the most */
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
#include "slot_passes.h"
#undef SUFFIX
#undef TARGET

#if defined(__x86_64__)
#define SUFFIX _avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "slot_passes.h"
#endif

/* Of what `slot_kernels.py` knows of this file: the arrays' names and shapes, and the struct. */
EXPORT int slot_kernels_version(void) { return 1; }
EXPORT int slot_job_size(void) { return sizeof(Job); }

/* Do a job on `threads` threads of the OpenMP runtime that `parallel` belongs to, or on this one
 * where it is NULL. Returns 0 once all is done. */
EXPORT int run_slot_pass(Job *job, Parallel parallel, unsigned threads)
{
    Worker worker = work_anywhere;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) worker = work_avx2;
#endif
    job->next = 0;
    if (parallel && threads > 1) parallel(worker, job, threads, 0);
    else worker(job);
    return job->next < job->A * ((job->B + job->block - 1) / job->block);
}

/* -- a module, so that Python finds the file ------------------------------------------------- */

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_slot_kernels", .m_size = -1};

PyMODINIT_FUNC PyInit__slot_kernels(void) { return PyModule_Create(&module); }
