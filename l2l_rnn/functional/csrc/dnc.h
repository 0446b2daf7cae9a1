/* The heads of a differentiable neural computer, whose equations are in memory/dnc.py. memory_passes.h
 * includes this file once for each kind of processor.
 *
 * Weights are those of the reads, then of the write; content likewise. */

/* Where each of the numbers begins that steer the heads, in the order of `DNC._interface`: the read
 * keys are the first. */
typedef struct {
    int64_t write_key, vector, erase, free, allocating, writing, strengths, modes;
} FN(DNCSteering);

TARGET static inline FN(DNCSteering) FN(dnc_steering)(const Job *job)
{
    int64_t R = job->R, W = job->W;
    FN(DNCSteering) s = {.write_key = R * W, .vector = (R + 1) * W, .erase = (R + 2) * W};
    s.free = s.erase + W;
    s.allocating = s.free + R;
    s.writing = s.allocating + 1;
    s.strengths = s.writing + 1;
    s.modes = s.strengths + R + 1; /* of all heads before, by content, after */
    return s;
}

TARGET static void FN(dnc_activate)(const Job *job, float *numbers)
{
    FN(DNCSteering) s = FN(dnc_steering)(job);
    int64_t R = job->R;
    for (int64_t i = s.erase; i < s.strengths; i++) numbers[i] = FN(sigmoid)(numbers[i]);
    for (int64_t i = s.strengths; i < s.modes; i++) numbers[i] = FN(softplus)(numbers[i]);
    for (float *mode = numbers + s.modes; mode < numbers + s.modes + R; mode++) {
        float three[3] = {mode[0], mode[R], mode[2 * R]};
        FN(softmax)(3, three, 1.0f, three);
        for (int k = 0; k < 3; k++) mode[k * R] = three[k];
    }
}

/* to = (1 - usage) below, where below is the product of the usage of all slots less used, or used
 * alike and earlier. Slots are not sorted: each is compared with every other, many at once. */
TARGET static void FN(allocate)(int64_t M, const float *usage, float *below, float *to)
{
    SIMD
    for (int64_t i = 0; i < M; i++) {
        to[i] = FN(logarithm)((usage[i] < 0 ? 0 : usage[i]) + LEAST_WEIGHT);
        below[i] = 0;
    }
    for (int32_t j = 0; j < M; j++) {
        float u = usage[j], share = to[j];
        SIMD
        for (int32_t i = 0; i < M; i++)
            below[i] += (u < usage[i]) | ((u == usage[i]) & (j < i)) ? share : 0;
    }
    SIMD
    for (int64_t i = 0; i < M; i++) {
        below[i] = FN(exponential)(below[i]);
        to[i] = (1 - usage[i]) * below[i];
    }
}

/* From the cotangent of an allocation to that of the usage, which is added to. */
TARGET static void FN(allocate_adjoint)(int64_t M, const float *usage, const float *below,
                                        const float *dto, float *dusage, float *room)
{
    for (int64_t i = 0; i < M; i++) room[i] = 0;
    for (int32_t i = 0; i < M; i++) {
        float u = usage[i], share = dto[i] * (1 - u) * below[i];
        SIMD
        for (int32_t j = 0; j < M; j++)
            room[j] += (usage[j] < u) | ((usage[j] == u) & (j < i)) ? share : 0;
    }
    SIMD
    for (int64_t i = 0; i < M; i++) {
        float through = usage[i] < 0 ? 0 : room[i] / (usage[i] + LEAST_WEIGHT);
        dusage[i] += through - dto[i] * below[i];
    }
}

/* From the links before a write to those after it, and of each read head what was written before
 * the slots it read last, L'^T w, and after them, L' w. */
TARGET static void FN(link)(int64_t M, int64_t R, const float *links, const float *precedence,
                            const float *writes, const float *read, float *links_after,
                            float *before, float *after)
{
    for (int64_t i = 0; i < R * M; i++) before[i] = 0;
    for (int64_t i = 0; i < M; i++, links += M, links_after += M) {
        float w = writes[i], self = (1 - w - w) * links[i];
        SIMD
        for (int64_t j = 0; j < M; j++)
            links_after[j] = (1 - w - writes[j]) * links[j] + w * precedence[j];
        links_after[i] = self; /* a slot does not follow itself */
        for (int64_t h = 0; h < R; h++) {
            const float *was = read + h * M;
            float sum = 0, x = was[i], *to = before + h * M;
            SIMD_SUM(sum)
            for (int64_t j = 0; j < M; j++) {
                sum += links_after[j] * was[j];
                to[j] += links_after[j] * x;
            }
            after[h * M + i] = sum;
        }
    }
}

/* As `ntm_step`. */
TARGET static void FN(dnc_step)(const Job *job, int64_t step, float *numbers, const State *was,
                                const State *now, float *room)
{
    int64_t M = job->M, W = job->W, R = job->R;
    const float *memory = was->part[MEMORY], *read = was->part[WEIGHTS], *wrote = read + R * M;
    float *memory_after = now->part[MEMORY], *weights = now->part[WEIGHTS];
    float *writes = weights + R * M, *usage = now->part[USAGE], *offer = now->part[ALLOCATION];
    float *content = job->content + step * (R + 1) * M, *by_write = content + R * M;
    float *inverse = room, *line = room + M, *before = line + M, *after = before + R * M;
    FN(dnc_activate)(job, numbers);
    FN(DNCSteering) s = FN(dnc_steering)(job);
    float least = job->least, total = 0;

    const float *usage_before = was->part[USAGE];
    SIMD
    for (int64_t i = 0; i < M; i++)
        usage[i] = usage_before[i] + wrote[i] * (1 - usage_before[i]);
    for (int64_t h = 0; h < R; h++) {
        float f = numbers[s.free + h];
        SIMD
        for (int64_t i = 0; i < M; i++) usage[i] *= 1 - f * read[h * M + i];
    }
    FN(allocate)(M, usage, job->below + step * M, offer);

    FN(inverse_lengths)(M, W, memory, least, inverse);
    FN(cosines)(M, W, memory, inverse, numbers + s.write_key, least, line);
    FN(softmax)(M, line, 1 + numbers[s.strengths + R], by_write);
    float allocating = numbers[s.allocating], writing = numbers[s.writing];
    SIMD_SUM(total)
    for (int64_t i = 0; i < M; i++) {
        writes[i] = writing * (by_write[i] + allocating * (offer[i] - by_write[i]));
        total += writes[i];
    }
    for (int64_t j = 0; j < W; j++) {
        float v = numbers[s.vector + j], e = numbers[s.erase + j];
        const float *m = memory + j * M;
        float *to = memory_after + j * M;
        SIMD
        for (int64_t i = 0; i < M; i++) to[i] = m[i] + writes[i] * (v - e * m[i]);
    }

    const float *precedence = was->part[PRECEDENCE];
    FN(link)(M, R, was->part[LINKS], precedence, writes, read, now->part[LINKS], before, after);
    float *precedence_after = now->part[PRECEDENCE];
    SIMD
    for (int64_t i = 0; i < M; i++) precedence_after[i] = writes[i] + (1 - total) * precedence[i];

    FN(inverse_lengths)(M, W, memory_after, least, inverse);
    for (int64_t h = 0; h < R; h++) {
        const float *mode = numbers + s.modes + h, *b = before + h * M, *a = after + h * M;
        float *c = content + h * M, *w = weights + h * M, *reads = now->part[READS] + h * W;
        FN(cosines)(M, W, memory_after, inverse, numbers + h * W, least, line);
        FN(softmax)(M, line, 1 + numbers[s.strengths + h], c);
        SIMD
        for (int64_t i = 0; i < M; i++)
            w[i] = mode[0] * b[i] + mode[R] * c[i] + mode[2 * R] * a[i];
        for (int64_t j = 0; j < W; j++) reads[j] = FN(dot)(M, w, memory_after + j * M);
    }
}

/* From the cotangents of links after a write, and of the weights of every read head, to those of the
 * links before it, in place, and to those of the precedence and the write, which are added to.
 * `rows` and `columns` become the products of L' and L'^T with the cotangent of the weights. */
TARGET static void FN(link_adjoint)(int64_t M, int64_t R, const State *was, const State *now,
                                    const float *modes, const State *d, float *rows, float *columns)
{
    const float *links = was->part[LINKS], *links_after = now->part[LINKS];
    const float *read = was->part[WEIGHTS], *precedence = was->part[PRECEDENCE];
    const float *writes = now->part[WEIGHTS] + R * M, *dweights = d->part[WEIGHTS];
    float *dlinks = d->part[LINKS], *dprecedence = d->part[PRECEDENCE];
    float *dwrites = d->part[WEIGHTS] + R * M;
    for (int64_t i = 0; i < R * M; i++) columns[i] = 0;
    for (int64_t i = 0; i < M; i++, links += M, links_after += M, dlinks += M) {
        for (int64_t h = 0; h < R; h++) {
            const float *r = read + h * M, *dw = dweights + h * M;
            float through = dw[i], x = modes[h] * r[i], y = modes[2 * R + h] * through, sum = 0;
            float *column = columns + h * M;
            SIMD_SUM(sum)
            for (int64_t j = 0; j < M; j++) {
                dlinks[j] += x * dw[j] + y * r[j];
                sum += links_after[j] * dw[j];
                column[j] += links_after[j] * through;
            }
            rows[h * M + i] = sum;
        }
        float w = writes[i], self = dlinks[i], sum = 0;
        SIMD_SUM(sum)
        for (int64_t j = 0; j < M; j++) {
            float g = dlinks[j], faded = g * links[j];
            sum += g * precedence[j] - faded;
            dwrites[j] -= faded;
            dprecedence[j] += g * w;
            dlinks[j] = (1 - w - writes[j]) * g;
        }
        dwrites[i] += sum - self * precedence[i];
        dprecedence[i] -= self * w;
    }
}

/* As `ntm_adjoint`. */
TARGET static void FN(dnc_adjoint)(const Job *job, int64_t step, const float *numbers,
                                   const State *was, const State *now, const State *d,
                                   float *dnumbers, float *room)
{
    int64_t M = job->M, W = job->W, R = job->R;
    const float *memory = was->part[MEMORY], *memory_after = now->part[MEMORY];
    const float *read = was->part[WEIGHTS], *wrote = read + R * M;
    const float *weights = now->part[WEIGHTS], *writes = weights + R * M;
    const float *content = job->content + step * (R + 1) * M, *by_write = content + R * M;
    float *dmemory = d->part[MEMORY], *dweights = d->part[WEIGHTS], *dwrites = dweights + R * M;
    float *inverse = room, *line = inverse + M, *one = line + M, *two = one + M;
    float *rows = two + 2 * M, *columns = rows + R * M, least = job->least;
    FN(DNCSteering) s = FN(dnc_steering)(job);
    const float *modes = numbers + s.modes;
    memset(dnumbers, 0, job->I * sizeof(float));

    /* the reads, and by content where they are */
    FN(inverse_lengths)(M, W, memory_after, least, inverse);
    for (int64_t h = 0; h < R; h++) {
        const float *w = weights + h * M, *c = content + h * M, *key = numbers + h * W;
        float *dw = dweights + h * M, strength = 1 + numbers[s.strengths + h];
        for (int64_t j = 0; j < W; j++) {
            const float *m = memory_after + j * M;
            float g = d->part[READS][h * W + j], *dm = dmemory + j * M;
            SIMD
            for (int64_t i = 0; i < M; i++) {
                dw[i] += g * m[i];
                dm[i] += g * w[i];
            }
        }
        dnumbers[s.modes + R + h] = FN(dot)(M, dw, c);
        float key_inverse = FN(cosines)(M, W, memory_after, inverse, key, least, line);
        FN(softmax_adjoint)(M, c, dw, one);
        dnumbers[s.strengths + h] = modes[R + h] * FN(dot)(M, one, line);
        SIMD
        for (int64_t i = 0; i < M; i++) one[i] *= modes[R + h] * strength;
        FN(cosines_adjoint)(M, W, memory_after, inverse, key, key_inverse, line, one,
                            dnumbers + h * W, dmemory, two);
    }

    /* precedence and links, and by links where the reads are */
    const float *precedence = was->part[PRECEDENCE];
    float *dprecedence = d->part[PRECEDENCE], left = 1;
    float shrink = FN(dot)(M, dprecedence, precedence);
    for (int64_t i = 0; i < M; i++) left -= writes[i];
    SIMD
    for (int64_t i = 0; i < M; i++) {
        dwrites[i] += dprecedence[i] - shrink;
        dprecedence[i] *= left;
    }
    FN(link_adjoint)(M, R, was, now, modes, d, rows, columns);
    for (int64_t h = 0; h < R; h++) {
        const float *row = rows + h * M, *column = columns + h * M;
        float *dw = dweights + h * M;
        dnumbers[s.modes + h] = FN(dot)(M, read + h * M, row);
        dnumbers[s.modes + 2 * R + h] = FN(dot)(M, read + h * M, column);
        SIMD
        for (int64_t i = 0; i < M; i++)
            dw[i] = modes[h] * row[i] + modes[2 * R + h] * column[i];
    }

    /* the write */
    for (int64_t j = 0; j < W; j++) {
        const float *m = memory + j * M;
        float v = numbers[s.vector + j], e = numbers[s.erase + j], dv = 0, de = 0;
        float *dm = dmemory + j * M;
        SIMD_SUM(dv, de)
        for (int64_t i = 0; i < M; i++) {
            dv += dm[i] * writes[i];
            de -= dm[i] * writes[i] * m[i];
            dwrites[i] += dm[i] * (v - e * m[i]);
            dm[i] *= 1 - e * writes[i];
        }
        dnumbers[s.vector + j] = dv;
        dnumbers[s.erase + j] = de;
    }

    /* where: by content and at free slots */
    const float *offer = now->part[ALLOCATION], *key = numbers + s.write_key;
    float *doffer = d->part[ALLOCATION], *dusage = d->part[USAGE];
    float allocating = numbers[s.allocating], writing = numbers[s.writing];
    float by_content = FN(dot)(M, dwrites, by_write);
    float ahead = FN(dot)(M, dwrites, offer) - by_content;
    dnumbers[s.writing] = by_content + allocating * ahead;
    dnumbers[s.allocating] = writing * ahead;
    SIMD
    for (int64_t i = 0; i < M; i++) doffer[i] += writing * allocating * dwrites[i];
    FN(allocate_adjoint)(M, now->part[USAGE], job->below + step * M, doffer, dusage, line);
    FN(inverse_lengths)(M, W, memory, least, inverse);
    float key_inverse = FN(cosines)(M, W, memory, inverse, key, least, line);
    FN(softmax_adjoint)(M, by_write, dwrites, one);
    float share = writing * (1 - allocating), strength = 1 + numbers[s.strengths + R];
    dnumbers[s.strengths + R] = share * FN(dot)(M, one, line);
    SIMD
    for (int64_t i = 0; i < M; i++) one[i] *= share * strength;
    FN(cosines_adjoint)(M, W, memory, inverse, key, key_inverse, line, one,
                        dnumbers + s.write_key, dmemory, two);

    /* usage: u' = (u + w - u w) prod (1 - f r) */
    const float *usage = was->part[USAGE];
    for (int64_t h = 0; h < R; h++) {
        float f = numbers[s.free + h], df = 0, *dw = dweights + h * M;
        const float *r = read + h * M;
        for (int64_t i = 0; i < M; i++)
            line[i] = dusage[i] * (usage[i] + wrote[i] * (1 - usage[i]));
        for (int64_t g = 0; g < R; g++) {
            float other = g == h ? 0 : numbers[s.free + g];
            SIMD
            for (int64_t i = 0; i < M; i++) line[i] *= 1 - other * read[g * M + i];
        }
        SIMD_SUM(df)
        for (int64_t i = 0; i < M; i++) {
            df -= line[i] * r[i];
            dw[i] -= line[i] * f;
        }
        dnumbers[s.free + h] = df;
    }
    for (int64_t h = 0; h < R; h++) {
        float f = numbers[s.free + h];
        SIMD
        for (int64_t i = 0; i < M; i++) dusage[i] *= 1 - f * read[h * M + i];
    }
    SIMD
    for (int64_t i = 0; i < M; i++) {
        dwrites[i] = dusage[i] * (1 - usage[i]);
        dusage[i] *= 1 - wrote[i];
        doffer[i] = 0; /* no step reads what was offered before it */
    }

    /* through the activations */
    for (int64_t i = s.erase; i < s.strengths; i++) dnumbers[i] *= numbers[i] * (1 - numbers[i]);
    for (int64_t i = s.strengths; i < s.modes; i++) dnumbers[i] *= FN(softplus_slope)(numbers[i]);
    for (int64_t h = 0; h < R; h++) {
        const float *mode = modes + h;
        float *dmode = dnumbers + s.modes + h;
        float mean = 0;
        for (int k = 0; k < 3; k++) mean += mode[k * R] * dmode[k * R];
        for (int k = 0; k < 3; k++) dmode[k * R] = mode[k * R] * (dmode[k * R] - mean);
    }
}
