/* The passes of memory.c, which includes this file once for each kind of processor. FN(name)
 * appends the SUFFIX of that kind to a name, TARGET makes the compiler use its instructions, and
 * SIMD declares the iterations of a loop independent, so that it vectorizes. */

#include "vector_math.h"

#include "content.h"
#include "controller.h"

#include "dnc.h"
#include "mann.h"
#include "ntm.h"

/* -- one step of the heads ----------------------------------------------------------------- */

/* Activate the interface vector in place, and compute the next state. */
TARGET static void FN(heads_step)(const Job *job, int64_t sequence, int64_t index,
                                  float *interface_vector, const State *prev, const State *next,
                                  float *scratch)
{
    switch (job->kind) {
    case NTM: FN(ntm_step)(job, index, interface_vector, prev, next, scratch); break;
    case MANN: FN(mann_step)(job, sequence, index, interface_vector, prev, next, scratch); break;
    default: FN(dnc_step)(job, index, interface_vector, prev, next, scratch);
    }
}

/* Compute the cotangents of the interface vector before its activation. In `d`, replace the
 * cotangents of the next state with those of the previous state, except for reads, hidden and
 * cell. */
TARGET static void FN(heads_adjoint)(const Job *job, int64_t sequence, int64_t t, const State *d,
                                     float *dinterface, float *scratch)
{
    int64_t index = step_index(job, sequence, t), size = job->interface_size;
    float *interface_vector = job->interfaces + index * size;
    State prev = state_at(job, job->states, state_index(job, sequence, t));
    State next = state_at(job, job->states, state_index(job, sequence, t + 1));
    memset(dinterface, 0, size * sizeof(float));
    switch (job->kind) {
    case NTM:
        FN(ntm_adjoint)(job, index, interface_vector, &prev, &next, d, dinterface, scratch);
        break;
    case MANN:
        FN(mann_adjoint)(job, sequence, index, interface_vector, &prev, &next, d, dinterface,
                         scratch);
        break;
    default: FN(dnc_adjoint)(job, index, interface_vector, &prev, &next, d, dinterface, scratch);
    }
}

/* -- forward ------------------------------------------------------------------------------- */

/* The controller's part of step t: `products` are the feedback times `weight_back`. */
TARGET static void FN(forward_controller)(const Job *job, int64_t sequence, int64_t t,
                                          float *products)
{
    float *outputs = outputs_at(job, sequence, t);
    if (t >= job->lengths[sequence]) {
        memset(outputs, 0, outputs_size(job) * sizeof(float));
        return;
    }
    const float *projected = job->projected + (sequence * job->S + t) * job->projected_size;
    for (int64_t j = 0; j < job->gates; j++) products[j] += projected[j];
    float *prev_cell = part_at(job, job->states, CELL, state_index(job, sequence, t));
    float *cell = part_at(job, job->states, CELL, state_index(job, sequence, t + 1));
    int64_t size = 5 * part_size(job, CELL);
    float *activations = job->activations + step_index(job, sequence, t) * size;
    FN(controller_step)(job, products, prev_cell, activations, outputs, cell);
}

/* The heads' part of step t: `products` are the hidden units times `weight_heads`. */
TARGET static void FN(forward_heads)(const Job *job, int64_t task, int64_t sequence, int64_t t,
                                     const float *products, float *scratch)
{
    if (t >= job->lengths[sequence]) return;
    int64_t index = step_index(job, sequence, t), size = job->interface_size;
    const float *bias = job->bias_heads + task * size;
    const float *projected = job->projected + (sequence * job->S + t) * job->projected_size;
    float *interface_vector = job->interfaces + index * size;
    float *outputs = outputs_at(job, sequence, t);
    for (int64_t j = 0; j < size; j++) interface_vector[j] = products[j] + bias[j];
    for (int64_t j = 0; j < job->projected_size - job->gates; j++)
        interface_vector[j] += projected[job->gates + j];
    State prev = state_at(job, job->states, state_index(job, sequence, t));
    State next = state_at(job, job->states, state_index(job, sequence, t + 1));
    next.part[READS] = outputs + job->H;
    FN(heads_step)(job, sequence, index, interface_vector, &prev, &next, scratch);
    if (t + 1 < job->S) feed_back(job, sequence, t + 1, outputs + job->H, outputs);
}

/* Run all steps of the sequences first to last - 1. */
TARGET static void FN(forward)(const Job *job, int64_t task, int64_t first, int64_t last,
                               const Workspace *work)
{
    int64_t S = job->S, H = job->H, gates = job->gates, kept = job->keep ? S : 1;
    int64_t feedback_size = job->feedback_size, interface_size = job->interface_size;
    const float *weight_back = job->weight_back + task * gates * feedback_size;
    const float *weight_heads = job->weight_heads + task * interface_size * H;
    FN(pack)(weight_back, 1, feedback_size, feedback_size, gates, work->back);
    FN(pack)(weight_heads, 1, H, H, interface_size, work->heads);
    for (int64_t s = first; s < last; s++) load_initial_state(job, s);
    for (int64_t t = 0; t < S; t++) {
        const float *feedback = job->feedback + step_index(job, first, t) * feedback_size;
        FN(multiply)(last - first, feedback, kept * feedback_size, work->back, feedback_size,
                     work->wide_rows, work->wide);
        for (int64_t s = first; s < last; s++)
            FN(forward_controller)(job, s, t, work->wide_rows + (s - first) * work->wide);
        FN(multiply)(last - first, outputs_at(job, first, t), S * outputs_size(job), work->heads, H,
                     work->narrow_rows, work->narrow);
        for (int64_t s = first; s < last; s++)
            FN(forward_heads)(job, task, s, t, work->narrow_rows + (s - first) * work->narrow,
                              work->scratch);
    }
    for (int64_t s = first; s < last; s++) store_final_state(job, s);
}

/* -- adjoint ------------------------------------------------------------------------------- */

/* The heads' part of step t backward, which updates `dstate`. */
TARGET static void FN(adjoint_heads)(const Job *job, int64_t sequence, int64_t t, float *scratch)
{
    float *dinterface = job->dinterfaces + (sequence * job->S + t) * job->interface_size;
    if (t >= job->lengths[sequence]) {
        memset(dinterface, 0, job->interface_size * sizeof(float));
        return;
    }
    const float *doutputs = job->doutputs + (sequence * job->S + t) * outputs_size(job);
    State d = state_at(job, job->dstate, sequence);
    for (int64_t j = 0; j < job->H; j++) d.part[HIDDEN][j] += doutputs[j];
    for (int64_t j = 0; j < job->R * job->W; j++) d.part[READS][j] += doutputs[job->H + j];
    FN(heads_adjoint)(job, sequence, t, &d, dinterface, scratch);
}

/* The controller's part. On entry, `dhidden` is the contribution of the interface vector. */
TARGET static void FN(adjoint_controller)(const Job *job, int64_t sequence, int64_t t,
                                          float *dhidden)
{
    int64_t index = sequence * job->S + t;
    float *dprojected = job->dprojected + index * job->projected_size;
    if (t >= job->lengths[sequence]) {
        memset(dprojected, 0, job->projected_size * sizeof(float));
        return;
    }
    const float *dstate_hidden = part_at(job, job->dstate, HIDDEN, sequence);
    float *dcell = part_at(job, job->dstate, CELL, sequence);
    const float *prev_cell = part_at(job, job->states, CELL, state_index(job, sequence, t));
    const float *activations = job->activations + index * 5 * part_size(job, CELL);
    for (int64_t j = 0; j < job->H; j++) dhidden[j] += dstate_hidden[j];
    FN(controller_adjoint)(job, activations, prev_cell, outputs_at(job, sequence, t), dhidden,
                           dcell, dprojected);
    memcpy(dprojected + job->gates, job->dinterfaces + index * job->interface_size,
           (job->projected_size - job->gates) * sizeof(float));
}

/* The cotangent of the feedback holds those of the previous reads and hidden units. */
static void FN(adjoint_feedback)(const Job *job, int64_t sequence, const float *dfeedback)
{
    int64_t reads_size = job->R * job->W, recurrent = job->feedback_size > reads_size;
    float *dhidden = part_at(job, job->dstate, HIDDEN, sequence);
    memcpy(part_at(job, job->dstate, READS, sequence), dfeedback, reads_size * sizeof(float));
    for (int64_t j = 0; j < job->H; j++) dhidden[j] = recurrent ? dfeedback[reads_size + j] : 0;
}

/* Run all steps backward. The caller then computes the gradients of the weights as products of the
 * cotangents of all steps with `feedback` and `outputs`. */
TARGET static void FN(adjoint)(const Job *job, int64_t task, int64_t first, int64_t last,
                               const Workspace *work)
{
    int64_t S = job->S, H = job->H, gates = job->gates, rows = last - first;
    int64_t feedback_size = job->feedback_size, interface_size = job->interface_size;
    const float *weight_back = job->weight_back + task * gates * feedback_size;
    const float *weight_heads = job->weight_heads + task * interface_size * H;
    FN(pack)(weight_back, feedback_size, 1, gates, feedback_size, work->back);
    FN(pack)(weight_heads, H, 1, interface_size, H, work->heads);
    for (int64_t t = S - 1; t >= 0; t--) {
        for (int64_t s = first; s < last; s++) FN(adjoint_heads)(job, s, t, work->scratch);
        const float *dinterface = job->dinterfaces + (first * S + t) * interface_size;
        FN(multiply)(rows, dinterface, S * interface_size, work->heads, interface_size,
                     work->narrow_rows, work->narrow);
        for (int64_t s = first; s < last; s++)
            FN(adjoint_controller)(job, s, t, work->narrow_rows + (s - first) * work->narrow);
        const float *dprojected = job->dprojected + (first * S + t) * job->projected_size;
        FN(multiply)(rows, dprojected, S * job->projected_size, work->back, gates, work->wide_rows,
                     work->wide);
        for (int64_t s = first; s < last; s++)
            if (t < job->lengths[s])
                FN(adjoint_feedback)(job, s, work->wide_rows + (s - first) * work->wide);
    }
}

/* -- work of a thread ---------------------------------------------------------------------- */

/* Process items of work until none are left. If the workspace cannot be allocated, some are left,
 * and `run_items` reports that. */
TARGET static void FN(work)(void *argument)
{
    Job *job = argument;
    int64_t blocks = (job->B + job->block - 1) / job->block, item;
    Workspace work;
    float *room = malloc(lay_out(job, 0, 0) * sizeof(float));
    if (!room) return;
    lay_out(job, room, &work);
    unsigned mode = flush_denormals();
    while ((item = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->N * blocks) {
        int64_t task = item / blocks, first = item % blocks * job->block;
        int64_t last = first + job->block < job->B ? first + job->block : job->B;
        first += task * job->B;
        last += task * job->B;
        if (job->pass == FORWARD) FN(forward)(job, task, first, last, &work);
        else FN(adjoint)(job, task, first, last, &work);
    }
    restore_denormals(mode);
    free(room);
}
