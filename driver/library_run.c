/* library_run.c: metrics and training of a built library, by the functions that its own interface
 * has: dlrt_eval, dlrt_train, dlrt_save. So a run here has the bits of the same calls from C. */
#include "driver/library_run.h"

#include "driver/examples.h"
#include "driver/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAVE_SECONDS 1.0 /* between checkpoints, at the least */

/* All fields of the model's data, from -i. */
static bool read_fields(Engine *e, Examples *x)
{
    const DlrtModel *m = e->model;
    *x = (Examples){ .e = e, .who = m->name, .n = m->field_count };
    for (uint32_t i = 0; i < m->field_count; i++)
        x->values[i] = &m->fields[i].value;
    return examples_read(x) && examples_take(x);
}

static void place_fields(const Examples *x, int64_t at, const void **out)
{
    for (uint32_t i = 0; i < x->n; i++) {
        size_t bytes = dlrt_dtype_size(x->values[i]->dtype);
        for (int d = 1; d < x->values[i]->rank; d++)
            bytes *= (size_t)x->values[i]->dims[d];
        out[i] = (const char *)x->at[i] + (size_t)at * bytes;
    }
}

static bool lacks(Engine *e, const char *what)
{
    uint32_t d = diag_report(e->run->cx, DIAG_E0490, 0, "%s was built without %s", e->path, what);
    diag_add(e->run->cx, d, DIAG_HELP, 0, "leave out --entries, or name `%s` too", what);
    return false;
}

/* ---- eval ---- */

bool library_metrics(Engine *e, Eval *out)
{
    *out = (Eval){ .engine = e };
    for (uint32_t i = 0; i < e->model->metric_count; i++) {
        EvalMetric m = { .name = e->model->metrics[i].name, .value = NAN };
        vec_push(e->run->arena, &out->metrics, m);
    }
    return e->model->metric_count || lacks(e, "eval");
}

static bool fail_runtime(Engine *e, int rc)
{
    engine_report_runtime(e,
                          rc == DLRT_E_LABEL  ? DIAG_E0908
                          : rc == DLRT_E_SIZE ? DIAG_E0490
                          : rc == DLRT_E_NAN  ? DIAG_E0907
                                              : DIAG_E0604,
                          rc);
    return false;
}

/* The batch that all metrics take; the count of examples of a call without data. */
static int64_t eval_batch(const DlrtModel *m, bool *out_pinned)
{
    int64_t batch = INT64_MAX;
    *out_pinned = false;
    for (uint32_t i = 0; i < m->metric_count; i++) {
        const DlrtEntry *x = &m->entries[m->metrics[i].entry];
        batch = x->max_batch < batch ? x->max_batch : batch;
        *out_pinned |= x->flags & DLRT_ENTRY_PINNED;
    }
    return batch;
}

bool library_eval(Eval *v)
{
    Engine *e = v->engine;
    Examples x;
    bool pinned, ok = read_fields(e, &x);
    int64_t batch = eval_batch(e->model, &pinned), count = x.n ? x.count : pinned ? batch : 1;
    double *sums = calloc(e->model->sum_count + 1, sizeof *sums);
    for (int64_t at = 0; ok && sums && at < count; at += batch) {
        const void *fields[DLRT_MAX_VALUES] = { NULL };
        place_fields(&x, at, fields);
        int64_t B = count - at < batch ? count - at : batch;
        int rc = dlrt_eval(e->cx, B, fields, sums);
        ok = !rc || fail_runtime(e, rc);
    }
    for (uint32_t i = 0; ok && sums && i < v->metrics.n; i++)
        v->metrics.at[i].value = dlrt_metric(e->model, sums, (int)i);
    free(sums);
    examples_close(&x);
    return ok && sums;
}

/* ---- train ---- */

/* --set of what the library's interface can set: lr, steps, epochs, ... */
static bool apply_settings(Engine *e)
{
    const Options *o = &e->run->options;
    for (uint32_t i = 0; i < o->given[OPT_SET].n; i++) {
        const OptionValue *s = &o->given[OPT_SET].at[i];
        char *rest = NULL;
        double value = s->value ? strtod(s->value, &rest) : NAN;
        int rc = s->name && rest && rest != s->value && !*rest ? dlrt_set(e->cx, s->name, value)
                                                               : DLRT_E_NAME;
        if (rc) {
            diag_report(e->run->cx, DIAG_E0909, 0,
                        "--set %s: of a library that is built, lr, lr_scale, steps and epochs can "
                        "be set, to numbers",
                        s->text);
            return false;
        }
    }
    return true;
}

typedef struct {
    Engine *e;
    Examples x;
    const char *path;
    int64_t steps, chunk; /* of the whole run; between lines and saves */
    bool quiet;
} Training;

static bool plan_steps(Training *t)
{
    const DlrtModel *m = t->e->model;
    const DlrtClock *clock = &t->e->cx->clock;
    int64_t batch = m->batch < t->x.count ? m->batch : t->x.count;
    int64_t per_epoch = m->field_count && batch > 0 ? t->x.count / batch : 1;
    double steps = clock->steps > 0 ? clock->steps : clock->epochs * (double)per_epoch;
    if (steps < 1 || steps > 1e15) {
        diag_report(t->e->run->cx, DIAG_E0909, 0,
                    "how long? The library does not say: --set steps=.. or --set epochs=..");
        return false;
    }
    t->steps = (int64_t)steps;
    int64_t rounds = (t->steps + per_epoch - 1) / per_epoch;
    t->chunk = rounds > 30 ? (rounds + 19) / 20 * per_epoch : per_epoch;
    return true;
}

static bool save(Training *t, bool finished)
{
    DlrtPair pair = { "dlrun.finished", finished ? "yes" : "no" };
    int rc = dlrt_save_with(t->e->cx, DLRT_FILE_STATE, t->path, &pair, 1);
    if (rc)
        engine_report_runtime(t->e, DIAG_E0902, rc);
    return !rc;
}

static bool begin(Training *t)
{
    Engine *e = t->e;
    const Options *o = &e->run->options;
    CheckpointKind kind = checkpoint_look(e, t->path);
    bool resume = option_given(o, OPT_RESUME) && kind != CHECKPOINT_NONE;
    const char *weights = option_value(o, OPT_WEIGHTS, NULL);
    if (!resume && !option_given(o, OPT_FRESH) &&
        (kind == CHECKPOINT_UNFINISHED || kind == CHECKPOINT_FOREIGN)) {
        uint32_t d = diag_report(e->run->cx, DIAG_E0903, 0, "%s is there already", t->path);
        diag_add(e->run->cx, d, DIAG_HELP, 0, "go on with it: --resume; or write over it: --fresh");
        return false;
    }
    int rc = resume    ? dlrt_load(e->cx, DLRT_FILE_STATE, t->path)
             : weights ? dlrt_load(e->cx, DLRT_FILE_WEIGHTS, weights)
                       : DLRT_OK;
    if (rc)
        engine_report_runtime(e, DIAG_E0905, rc);
    return !rc && apply_settings(e);
}

static bool train_steps(Training *t, int *out_signal)
{
    DlrtContext *cx = t->e->cx;
    const void *fields[DLRT_MAX_VALUES] = { NULL };
    double saved = host_clock();
    place_fields(&t->x, 0, fields);
    while ((int64_t)cx->clock.step < t->steps && !(*out_signal = train_caught_signal())) {
        int64_t left = t->steps - (int64_t)cx->clock.step, place = (int64_t)cx->clock.step;
        int64_t n = t->chunk - place % t->chunk < left ? t->chunk - place % t->chunk : left;
        float loss = 0;
        char number[HOST_NUMBER_SIZE];
        int rc = dlrt_train(cx, t->x.n ? t->x.count : 1, fields, n, &loss);
        if (rc)
            return fail_runtime(t->e, rc);
        if (!t->quiet)
            fprintf(stderr, "step %-6.0f loss %s\n", cx->clock.step,
                    host_format_value(number, (double)loss));
        bool due = host_clock() - saved >= SAVE_SECONDS && (int64_t)cx->clock.step < t->steps;
        if (due && !save(t, false))
            return false;
        if (due)
            saved = host_clock();
    }
    return save(t, !*out_signal);
}

int library_train(Engine *e)
{
    Training t = { .e = e,
                   .path = engine_checkpoint_path(e),
                   .quiet = option_given(&e->run->options, OPT_QUIET) };
    int number = 0;
    bool ok = e->model->update_count || lacks(e, "step");
    if (option_given(&e->run->options, OPT_REPORT)) {
        diag_report(e->run->cx, DIAG_E0490, 0, "--report of a run by a library");
        ok = false;
    }
    ok = ok && read_fields(e, &t.x) && begin(&t) && plan_steps(&t);
    if (ok) {
        train_catch_signals();
        ok = train_steps(&t, &number);
        if (ok && !t.quiet)
            fprintf(stderr, "%s %s\n", number ? "^C saved" : "saved   ", t.path);
    }
    examples_close(&t.x);
    int code = run_finish(e->run);
    return code ? code : number ? 128 + number : 0;
}
