/* infer.c: the verb `infer`: an exported function on arrays and images from files.
 *
 * Any number of examples: they go through in batches, the last one partial; a program that needs
 * its batch as a number is compiled for all of them. Results go to .npy or .npz, or to people:
 * class names and percent where the result is a classifier's, numbers else. */
#include "driver/infer.h"

#include "driver/checkpoint.h"
#include "driver/inputs.h"
#include "driver/verbs.h"

#include <stdlib.h>
#include <string.h>

static bool fail(Infer *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(Infer *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diag_report(q->e->run->cx, DIAG_E0909, 0, "%s", arena_vprintf(q->e->run->arena, format, args));
    va_end(args);
    return false;
}

static void bind_inputs(Infer *q)
{
    q->entry = &q->e->model->entries[q->number];
    q->inputs.n = q->entry->input_count;
    q->inputs.who = q->entry->name;
    q->inputs.pinned = q->entry->flags & DLRT_ENTRY_PINNED ? q->entry->max_batch : 0;
    for (uint32_t i = 0; i < q->entry->input_count; i++)
        q->inputs.values[i] = &q->entry->inputs[i];
}

/* One row for each example: the batch is the first axis, and no other. */
static bool has_rows(const DlrtValue *v)
{
    for (int d = 1; d < v->rank; d++)
        if (v->batch[d] > 0)
            return false;
    return value_has_batch(v);
}

/* Of rows: how many a call takes, where that is a number of the model: the results that are wanted
 * say it. */
static bool find_group(Infer *q)
{
    for (uint32_t i = 0; i < q->entry->output_count; i++) {
        const DlrtValue *v = &q->entry->outputs[i];
        bool pinned = q->entry->flags & DLRT_ENTRY_PINNED, any = has_rows(v) && !pinned;
        int64_t rows = any ? 0 : v->rank ? v->dims[0] : -1;
        if (!q->wanted[i])
            continue;
        if (rows < !any || (pinned && rows != q->entry->max_batch) ||
            (q->inputs.group && rows != q->inputs.group))
            return fail(q, "`%s` is %s: not a result for each row", v->name, value_text(q->e, v));
        q->inputs.group = rows;
    }
    if (q->inputs.group)
        q->inputs.pinned = 0;
    return true;
}

static bool open_inputs(Infer *q)
{
    q->inputs.e = q->e;
    bind_inputs(q);
    if ((q->rows && !find_group(q)) || !examples_read(&q->inputs))
        return false;
    int64_t wanted = examples_wanted(&q->inputs);
    if (wanted != q->inputs.pinned) {
        const char *name = q->entry->name;
        if (!(q->e = engine_rest(q->e, wanted, 0)))
            return false;
        q->number = engine_entry(q->e, name);
        bind_inputs(q);
    }
    if (!examples_take(&q->inputs))
        return false;
    q->count = q->inputs.count;
    return true;
}

/* Bytes of one example in a result; 0 where each call writes all of it anew. */
static size_t row_bytes(const Infer *q, uint32_t i)
{
    const DlrtValue *v = &q->entry->outputs[i];
    int64_t elements, bytes, group = q->inputs.group;
    value_bytes(v, group ? group : 1, &elements, &bytes);
    if (q->rows && !q->wanted[i])
        return 0;
    return group ? (size_t)(bytes / group) : has_rows(v) ? (size_t)bytes : 0;
}

static bool open_outputs(Infer *q)
{
    int64_t group = q->inputs.group, step = group ? group : q->entry->max_batch,
            whole = group ? (q->count + group - 1) / group * group : q->count;
    for (uint32_t i = 0; i < q->entry->output_count; i++) {
        const DlrtValue *v = &q->entry->outputs[i];
        int64_t elements, bytes;
        bool each = row_bytes(q, i), fits = value_bytes(v, step, &elements, &bytes);
        if (each)
            fits = !__builtin_mul_overflow((int64_t)row_bytes(q, i), whole, &bytes);
        else if (!q->rows)
            fits = value_bytes(v, q->count, &elements, &bytes);
        if (!fits || posix_memalign(&q->out[i], 64, (size_t)bytes + 64))
            return fail(q, "no memory for the results of %lld examples", (long long)q->count);
        memset(q->out[i], 0, (size_t)bytes);
        if (!q->rows && !each && q->count > q->entry->max_batch)
            return fail(q, "`%s` is not a result per example: at most %lld at a time (-D B=%lld)",
                        v->name, (long long)q->entry->max_batch, (long long)q->count);
    }
    return true;
}

static bool run_batches(Infer *q)
{
    bool grouped = q->inputs.group > 0;
    int64_t step = grouped ? q->inputs.group : q->entry->max_batch;
    for (int64_t at = 0; at < q->count; at += step) {
        int64_t left = q->count - at, B = left < step ? left : step;
        const void *in[DLRT_MAX_VALUES];
        void *out[DLRT_MAX_VALUES];
        if (grouped)
            B = q->entry->flags & DLRT_ENTRY_PINNED ? q->entry->max_batch : 1;
        for (uint32_t i = 0; i < q->entry->input_count; i++)
            in[i] = (char *)q->inputs.at[i] + (size_t)at * examples_row_bytes(&q->inputs, i);
        for (uint32_t i = 0; i < q->entry->output_count; i++)
            out[i] = (char *)q->out[i] + (size_t)at * row_bytes(q, i);
        int rc = dlrt_call_entry(q->e->cx, q->number, B, in, out);
        if (rc) {
            engine_report_runtime(q->e, rc == DLRT_E_LABEL ? DIAG_E0908 : DIAG_E0604, rc);
            return false;
        }
    }
    return true;
}

bool infer_open(Infer *q)
{
    bool weights = option_given(&q->e->run->options, OPT_WEIGHTS);
    bool random = option_given(&q->e->run->options, OPT_RANDOM);
    q->number = export_chosen(q->e);
    if (q->number == DLRT_NONE)
        return false;
    q->entry = &q->e->model->entries[q->number];
    bool trained = (q->e->library.table && q->e->library.table->weights) ||
                   engine_has_start_values(q->e) ||
                   checkpoint_look(q->e, engine_checkpoint_path(q->e)) != CHECKPOINT_NONE;
    if (!random || weights || trained)
        return checkpoint_load_weights(q->e, NULL);
    if (!option_given(&q->e->run->options, OPT_QUIET))
        fprintf(stderr, "note: no trained weights here; these are the initial ones\n");
    return true;
}

bool infer_run(Infer *q)
{
    return open_inputs(q) && open_outputs(q) && run_batches(q);
}

void infer_close(Infer *q)
{
    examples_close(&q->inputs);
    for (int i = 0; i < DLRT_MAX_VALUES; i++)
        free(q->out[i]);
}

int verb_infer(Run *r)
{
    Engine e;
    Infer q = { .e = &e };
    int code = engine_open_named(r, &e);
    if (!code) {
        if (infer_open(&q) && infer_run(&q))
            infer_output(&q);
        code = run_finish(r);
    }
    infer_close(&q);
    engine_close(&e);
    return code;
}
