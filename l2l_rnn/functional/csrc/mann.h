/* The heads of a memory that is written where it is least used, whose equations are in
 * memory/mann.py. memory_passes.h includes this file once for each kind of processor.
 *
 * The numbers are all heads' keys, then, if they are not the keys themselves, what the heads write,
 * then their gates; weights are those of the reads, then of the writes. */

/* Where what the heads write begins: 0 where that is the keys. */
TARGET static inline int64_t FN(mann_contents)(const Job *job)
{
    return job->I > job->R * (job->W + 1) ? job->R * job->W : 0;
}

/* The slots least used, one for each head: the first of those used alike. */
TARGET static void FN(least_used)(int64_t M, int64_t R, const float *usage, float *places)
{
    for (int64_t h = 0; h < R; h++) {
        int64_t best = -1;
        for (int64_t i = 0; i < M; i++) {
            int taken = 0;
            if (best >= 0 && !(usage[i] < usage[best])) continue;
            for (int64_t g = 0; g < h; g++) taken |= places[g] == i;
            if (!taken) best = i;
        }
        places[h] = best < 0 ? h : best;
    }
}

/* As `ntm_step`. */
TARGET static void FN(mann_step)(const Job *job, int64_t step, float *numbers, const State *was,
                                 const State *now, float *room)
{
    const float *memory = was->part[MEMORY], *before = was->part[WEIGHTS];
    float *memory_after = now->part[MEMORY], *after = now->part[WEIGHTS];
    float *reads = now->part[READS];
    int64_t M = job->M, W = job->W, R = job->R, row = step / (job->keep ? job->S : 1);
    int64_t contents = FN(mann_contents)(job), rows = contents + R * W;
    float *gates = numbers + rows, *inverse = room, *line = room + M;
    float *places = job->places + step * R, *usage = job->usage + row * M;
    float *used = job->used + row * M, *writing = after + R * M;
    for (int64_t i = 0; i < rows; i++) numbers[i] = FN(hyperbolic)(numbers[i]);
    for (int64_t i = 0; i < R; i++) gates[i] = FN(sigmoid)(gates[i]);

    FN(least_used)(M, R, usage, places);
    for (int64_t h = 0; h < R; h++) {
        SIMD
        for (int64_t i = 0; i < M; i++) writing[h * M + i] = gates[h] * before[h * M + i];
        writing[h * M + (int64_t)places[h]] += 1 - gates[h];
    }
    if (memory_after != memory) memcpy(memory_after, memory, W * M * sizeof(float));
    for (int64_t h = 0; h < R; h++) {
        int64_t place = places[h];
        for (int64_t j = 0; j < W; j++) memory_after[j * M + place] = 0;
        job->overwritten[row] += used[place];
        used[place] = 1;
    }
    for (int64_t j = 0; j < W; j++)
        for (int64_t h = 0; h < R; h++) {
            float a = numbers[contents + h * W + j], *m = memory_after + j * M;
            const float *w = writing + h * M;
            SIMD
            for (int64_t i = 0; i < M; i++) m[i] += a * w[i];
        }

    FN(inverse_lengths)(M, W, memory_after, job->least, inverse);
    for (int64_t i = 0; i < M; i++) usage[i] *= (float)job->decay;
    for (int64_t h = 0; h < R; h++) {
        float *w = after + h * M;
        FN(cosines)(M, W, memory_after, inverse, numbers + h * W, job->least, line);
        FN(softmax)(M, line, job->sharpness[row / job->B], w);
        for (int64_t j = 0; j < W; j++) reads[h * W + j] = FN(dot)(M, w, memory_after + j * M);
        SIMD
        for (int64_t i = 0; i < M; i++) usage[i] += w[i] + writing[h * M + i];
    }
}

/* As `ntm_adjoint`. */
TARGET static void FN(mann_adjoint)(const Job *job, int64_t step, const float *numbers,
                                    const State *was, const State *now, const State *d,
                                    float *dnumbers, float *room)
{
    const float *memory_after = now->part[MEMORY], *before = was->part[WEIGHTS];
    const float *after = now->part[WEIGHTS], *dreads = d->part[READS];
    float *dmemory = d->part[MEMORY], *dweights = d->part[WEIGHTS];
    int64_t M = job->M, W = job->W, R = job->R, row = step / job->S;
    int64_t contents = FN(mann_contents)(job), rows = contents + R * W;
    const float *gates = numbers + rows, *writing = after + R * M;
    const float *places = job->places + step * R;
    float *inverse = room, *line = inverse + M, *one = line + M, *two = one + M;
    float sharpness = job->sharpness[row / job->B], *dgates = dnumbers + rows;
    memset(dnumbers, 0, job->I * sizeof(float));

    /* the reads, by content of the memory after the write */
    FN(inverse_lengths)(M, W, memory_after, job->least, inverse);
    for (int64_t h = 0; h < R; h++) {
        const float *w = after + h * M, *key = numbers + h * W;
        float *dw = dweights + h * M;
        for (int64_t j = 0; j < W; j++) {
            const float *m = memory_after + j * M;
            float d = dreads[h * W + j], *dm = dmemory + j * M;
            SIMD
            for (int64_t i = 0; i < M; i++) {
                dw[i] += d * m[i];
                dm[i] += d * w[i];
            }
        }
        float key_inverse = FN(cosines)(M, W, memory_after, inverse, key, job->least, line);
        FN(softmax_adjoint)(M, w, dw, one);
        job->dsharpness[row] += FN(dot)(M, one, line);
        SIMD
        for (int64_t i = 0; i < M; i++) one[i] *= sharpness;
        FN(cosines_adjoint)(M, W, memory_after, inverse, key, key_inverse, line, one,
                            dnumbers + h * W, dmemory, two);
    }

    /* the writes */
    for (int64_t h = 0; h < R; h++) {
        const float *w = writing + h * M, *was = before + h * M;
        float *dw = dweights + (R + h) * M, *dwas = dweights + h * M, gate = gates[h];
        for (int64_t j = 0; j < W; j++) {
            float a = numbers[contents + h * W + j], sum = 0, *dm = dmemory + j * M;
            SIMD_SUM(sum)
            for (int64_t i = 0; i < M; i++) {
                sum += w[i] * dm[i];
                dw[i] += a * dm[i];
            }
            dnumbers[contents + h * W + j] += sum;
        }
        dgates[h] = FN(dot)(M, dw, was) - dw[(int64_t)places[h]];
        SIMD
        for (int64_t i = 0; i < M; i++) {
            dwas[i] = gate * dw[i];
            dw[i] = 0; /* the next step reads only where was read */
        }
    }
    for (int64_t h = 0; h < R; h++)
        for (int64_t j = 0; j < W; j++) dmemory[j * M + (int64_t)places[h]] = 0;

    for (int64_t i = 0; i < rows; i++) dnumbers[i] *= 1 - numbers[i] * numbers[i];
    for (int64_t h = 0; h < R; h++) dgates[h] *= gates[h] * (1 - gates[h]);
}
