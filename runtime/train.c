/* train.c: calls, steps, training over the caller's arrays, evaluation.
 *
 * What a run has done so far is the clock and the place in the data, both in the context: a call
 * that fails puts the clock back, a saved and loaded context goes on with the same bits. */
#include "runtime/core.h"
#include "runtime/fpu.h"
#include "runtime/shuffle.h"

#include <math.h>
#include <string.h>

/* For each input of an entry, the array of the field it is bound to. */
typedef const void *Inputs[DLRT_MAX_VALUES];

static void bind_fields(const DlrtEntry *e, const uint32_t *map, const void *const *fields,
                        Inputs inputs)
{
    for (uint32_t i = 0; i < e->input_count; i++)
        inputs[i] = fields[map[i]];
}

/* Runs an entry that is no update: the number of the call is its place in the random stream. */
static int run_counted(DlrtContext *cx, const DlrtEntry *e, int64_t B, const void *const *inputs,
                       void *const *outputs)
{
    uint64_t before = cx->clock.key_step;
    cx->clock.key_step = cx->calls;
    int rc = dlrt_run(cx, e, B, inputs, outputs);
    cx->clock.key_step = before;
    if (!rc)
        cx->calls++;
    return rc;
}

int dlrt_call_entry(DlrtContext *cx, uint32_t entry, int64_t B, const void *const *inputs,
                    void *const *outputs)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    if (entry >= cx->model->entry_count)
        return dlrt_fail(cx, DLRT_E_NAME, "%s has no entry %u", cx->model->name, entry);
    return run_counted(cx, &cx->model->entries[entry], B, inputs, outputs);
}

/* ---- Steps ---- */

/* Executions of an update among the first n steps, its turn being [first, first + times) of each
 * `cycle`. */
static uint64_t own_count(uint64_t n, uint64_t first, uint64_t times, uint64_t cycle)
{
    uint64_t rest = n % cycle;
    return n / cycle * times + (rest <= first ? 0 : rest - first < times ? rest - first : times);
}

static uint64_t updates_cycle(const DlrtModel *m)
{
    uint64_t cycle = 0;
    for (uint32_t i = 0; i < m->update_count; i++)
        cycle += m->updates[i].times;
    return cycle;
}

/* The due update, and where its turn begins in the cycle. */
static uint32_t due(const DlrtModel *m, uint64_t step, uint64_t *out_first)
{
    uint64_t place = step % updates_cycle(m), first = 0;
    uint32_t i = 0;
    while (place >= first + m->updates[i].times)
        first += m->updates[i++].times;
    *out_first = first;
    return i;
}

uint32_t dlrt_due_update(const DlrtModel *m, uint64_t step, uint64_t *out_own_step)
{
    uint64_t first;
    uint32_t i = due(m, step, &first);
    if (out_own_step)
        *out_own_step = own_count(step, first, m->updates[i].times, updates_cycle(m));
    return i;
}

/* Sets the clock for the update that is due. One update alone needs no divisions, which would be a
 * good part of the smallest models' steps. */
static const DlrtUpdate *clock_begin(DlrtContext *cx)
{
    const DlrtModel *m = cx->model;
    const DlrtUpdate *u = m->updates;
    DlrtClock *clock = &cx->clock;
    uint64_t step = (uint64_t)clock->step, first;
    clock->key_step = step;
    clock->own_step = clock->step;
    clock->own_steps = clock->steps;
    if (m->update_count > 1) {
        u += due(m, step, &first);
        clock->own_step = (double)own_count(step, first, u->times, updates_cycle(m));
        clock->own_steps =
            (double)own_count((uint64_t)clock->steps, first, u->times, updates_cycle(m));
    }
    return u;
}

int dlrt_step(DlrtContext *cx, int64_t B, const void *const *fields, float *out_loss)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    const DlrtModel *m = cx->model;
    if (!m->update_count)
        return dlrt_fail(cx, DLRT_E_NAME, "%s was compiled without a training step", m->name);
    if (!fields && m->field_count)
        return dlrt_fail(cx, DLRT_E_ARG, "no data");
    const DlrtClock before = cx->clock;
    const DlrtUpdate *u = clock_begin(cx);
    const DlrtEntry *e = &m->entries[u->entry];

    Inputs inputs;
    union { float f32; double f64; } loss = { .f64 = 0 };
    void *outputs[1] = { &loss };
    bind_fields(e, u->fields, fields, inputs);
    int rc = dlrt_run(cx, e, B, inputs, outputs);
    if (rc) {
        cx->clock = before;
        return rc;
    }
    cx->clock.step = before.step + 1;
    if (out_loss)
        *out_loss = e->outputs[0].dtype == DLRT_F64 ? (float)loss.f64 : loss.f32;
    return DLRT_OK;
}

/* ---- Training over arrays ---- */

typedef struct {
    DlrtContext *cx;
    int64_t N, batch;
    const void *const *fields;
    DlrtShuffle shuffle;
    uint64_t shuffle_epoch; /* of `shuffle` */
    size_t bytes[DLRT_MAX_VALUES]; /* of an example of each field */
} Feed;

static int64_t example_bytes(const DlrtField *f)
{
    return dlrt_value_bytes(&f->value, 1);
}

/* The next batch: where the examples lie if they are used in order, else copied together. */
static void feed_batch(Feed *f, const void **out)
{
    DlrtContext *cx = f->cx;
    const DlrtModel *m = cx->model;
    uint64_t cursor = cx->data_cursor;
    if (m->shuffle && f->shuffle_epoch != cx->data_epoch) {
        f->shuffle = dlrt_shuffle_new((uint64_t)f->N, cx->clock.seed, cx->data_epoch);
        f->shuffle_epoch = cx->data_epoch;
    }
    for (uint32_t i = 0; i < m->field_count; i++) {
        size_t bytes = f->bytes[i];
        const char *from = f->fields[i];
        char *to = (char *)cx + m->fields[i].gather;
        out[i] = m->shuffle ? to : from + cursor * bytes;
        for (int64_t b = 0; m->shuffle && b < f->batch; b++)
            memcpy(to + (size_t)b * bytes,
                   from + dlrt_shuffle_at(&f->shuffle, cursor + (uint64_t)b) * bytes, bytes);
    }
}

/* Past a batch that was used; the epoch ends where no whole batch is left. */
static void feed_advance(Feed *f)
{
    DlrtContext *cx = f->cx;
    cx->data_cursor += (uint64_t)f->batch;
    if (cx->data_cursor + (uint64_t)f->batch > (uint64_t)f->N) {
        cx->data_cursor = 0;
        cx->data_epoch++;
        cx->clock.epoch = (double)cx->data_epoch;
    }
}

static int feed_open(Feed *f)
{
    DlrtContext *cx = f->cx;
    const DlrtModel *m = cx->model;
    if (!m->update_count)
        return dlrt_fail(cx, DLRT_E_NAME, "%s was compiled without a training step", m->name);
    if (f->N < 1)
        return dlrt_fail(cx, DLRT_E_SIZE, "training needs at least one example");
    if (!f->fields && m->field_count)
        return dlrt_fail(cx, DLRT_E_ARG, "no data");
    for (uint32_t i = 0; i < m->field_count; i++) {
        const DlrtField *field = &m->fields[i];
        int64_t bytes;
        if (!f->fields[i] && example_bytes(field))
            return dlrt_fail(cx, DLRT_E_ARG, "%s is NULL", field->value.name);
        if ((uintptr_t)f->fields[i] % dlrt_dtype_size(field->value.dtype))
            return dlrt_fail(cx, DLRT_E_ARG, "%s is not aligned to its elements (%s)",
                             field->value.name, dlrt_dtype_name(field->value.dtype));
        f->bytes[i] = (size_t)example_bytes(field);
        if (__builtin_mul_overflow(f->N, example_bytes(field), &bytes))
            return dlrt_fail(cx, DLRT_E_SIZE, "%lld examples", (long long)f->N);
        if (m->shuffle && !field->gather)
            return dlrt_fail(cx, DLRT_E_ARG, "%s: compiled without room for a shuffled batch",
                             field->value.name);
    }
    f->batch = m->batch < f->N ? m->batch : f->N;
    f->shuffle_epoch = ~cx->data_epoch;
    return DLRT_OK;
}

int dlrt_train(DlrtContext *cx, int64_t N, const void *const *fields, int64_t steps,
               float *out_loss)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    if (steps < 0)
        return dlrt_fail(cx, DLRT_E_SIZE, "%lld steps", (long long)steps);
    Feed feed;
    feed.cx = cx;
    feed.N = N;
    feed.fields = fields;
    int rc = feed_open(&feed);
    if (rc)
        return rc;
    const double steps_before = cx->clock.steps;
    const uint64_t cursor_before = cx->data_cursor;
    /* Schedules need the length of the run. */
    int64_t per_epoch = N / feed.batch;
    if (cx->clock.steps == 0)
        cx->clock.steps = cx->clock.epochs * (double)per_epoch;
    if (cx->data_cursor + (uint64_t)feed.batch > (uint64_t)N)
        cx->data_cursor = 0; /* the data became fewer */
    double sum = 0;
    for (int64_t i = 0; i < steps; i++) {
        const void *batch[DLRT_MAX_VALUES];
        float loss;
        feed_batch(&feed, batch);
        if ((rc = dlrt_step(cx, feed.batch, batch, &loss))) {
            if (i == 0) {
                cx->clock.steps = steps_before;
                cx->data_cursor = cursor_before;
            }
            return rc;
        }
        sum += (double)loss;
        feed_advance(&feed);
    }
    if (out_loss && steps)
        *out_loss = (float)(sum / (double)steps);
    return DLRT_OK;
}

/* ---- Evaluation ---- */

static bool is_maximum(const DlrtMetric *m, uint32_t sum)
{
    return sum < 32 && m->maxima >> sum & 1;
}

/* The sums of one batch by an entry of metrics, into `out`. */
static int batch_sums(DlrtContext *cx, const DlrtMetric *metric, int64_t B,
                      const void *const *fields, double *out)
{
    const DlrtEntry *e = &cx->model->entries[metric->entry];
    Inputs inputs;
    union { float f32; double f64; } value[DLRT_MAX_VALUES];
    void *outputs[DLRT_MAX_VALUES];
    for (uint32_t i = 0; i < e->output_count; i++)
        outputs[i] = &value[i];
    bind_fields(e, metric->fields, fields, inputs);
    int rc = run_counted(cx, e, B, inputs, outputs);
    for (uint32_t i = 0; !rc && i < e->output_count; i++) {
        /* What looks at no item counts once for each, as the mean over them expects. */
        double times = e->input_count || is_maximum(metric, i) ? 1 : (double)B;
        out[i] = times * (e->outputs[i].dtype == DLRT_F64 ? value[i].f64 : (double)value[i].f32);
    }
    return rc;
}

int dlrt_eval(DlrtContext *cx, int64_t B, const void *const *fields, double *sums)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    const DlrtModel *m = cx->model;
    if (!m->metric_count)
        return dlrt_fail(cx, DLRT_E_NAME, "%s was compiled without metrics", m->name);
    if (!sums || (!fields && m->field_count))
        return dlrt_fail(cx, DLRT_E_ARG, "no %s", sums ? "data" : "sums");
    double batch[DLRT_MAX_SUMS];
    bool largest[DLRT_MAX_SUMS];
    const uint64_t calls = cx->calls;
    uint32_t done = 0;
    for (uint32_t i = 0; i < m->metric_count; i++) {
        const DlrtMetric *metric = &m->metrics[i];
        if (metric->first < done) /* another metric of the same entry */
            continue;
        int rc = batch_sums(cx, metric, B, fields, batch + done);
        if (rc) {
            cx->calls = calls;
            return rc;
        }
        for (uint32_t k = 0; k < m->entries[metric->entry].output_count; k++)
            largest[done++] = is_maximum(metric, k);
    }
    for (uint32_t i = 0; i < done; i++)
        sums[i] = !largest[i]                     ? sums[i] + batch[i]
                  : sums[done] && batch[i] <= sums[i] ? sums[i]
                  : sums[done] && isnan(sums[i])  ? sums[i]
                                                  : batch[i];
    sums[done] += (double)B;
    return DLRT_OK;
}

/* A scalar as an entry's input takes it. */
typedef union {
    float f32;
    double f64;
} Scalar;

static void put_scalar(Scalar *to, const DlrtValue *v, double x)
{
    if (v->dtype == DLRT_F64)
        to->f64 = x;
    else
        to->f32 = (float)x;
}

static double mean_of(const DlrtMetric *metric, uint32_t i, const double *sums, double items)
{
    return is_maximum(metric, i) ? sums[i] : sums[i] / items;
}

/* Runs `finish` on a context of its own that ends with the call: sums belong to no context. */
static double finish(const DlrtModel *m, const DlrtMetric *metric, const double *sums,
                     double items)
{
    const DlrtEntry *e = &m->entries[metric->finish];
    uint32_t n = m->entries[metric->entry].output_count;
    union {
        _Alignas(DLRT_ALIGN) char bytes[DLRT_FINISH_BYTES];
        DlrtContext cx;
    } scratch;
    Scalar in[DLRT_MAX_VALUES], out = { .f64 = 0 };
    const void *inputs[DLRT_MAX_VALUES];
    memset(&scratch, 0, sizeof scratch);
    scratch.cx.magic = DLRT_CONTEXT_MAGIC;
    scratch.cx.model = m;
    scratch.cx.shared = &scratch.cx;
    scratch.cx.threads = 1;
    for (uint32_t i = 0; i < e->input_count; i++) {
        put_scalar(&in[i], &e->inputs[i], i < n ? mean_of(metric, i, sums, items) : items);
        inputs[i] = &in[i];
    }
    if (dlrt_walk(&scratch.cx, e, 1, inputs, (void *[]){ &out }))
        return NAN;
    return e->outputs[0].dtype == DLRT_F64 ? out.f64 : (double)out.f32;
}

double dlrt_metric(const DlrtModel *m, const double *sums, int which)
{
    if (!sums || which < 0 || (uint32_t)which >= m->metric_count)
        return NAN;
    const DlrtMetric *metric = &m->metrics[which];
    const double *own = sums + metric->first, items = sums[m->sum_count];
    if (metric->finish == DLRT_NONE)
        return mean_of(metric, 0, own, items);
    return finish(m, metric, own, items);
}
