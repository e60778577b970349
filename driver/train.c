/* train.c: the verb `train`: from a recipe to a run, and what is said before and after it. */
#include "driver/train.h"

#include "driver/examples.h"
#include "driver/feed.h"
#include "driver/library_run.h"
#include "driver/report.h"
#include "driver/verbs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void talk(const Train *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void talk(const Train *t, const char *format, ...)
{
    va_list args;
    if (t->quiet)
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- What the recipe comes to ---- */

static void count_flops(Train *t)
{
    const DlrtModel *m = t->engine->model;
    double turns = 0;
    for (uint32_t i = 0; i < m->update_count; i++) {
        t->flops += engine_flops(t->engine, m->updates[i].entry) * m->updates[i].times;
        turns += m->updates[i].times;
    }
    t->flops /= turns > 0 ? turns : 1;
}

static bool open_data(Train *t)
{
    Engine *e = t->engine;
    const DlrtModel *m = e->model;
    const Recipe *r = &e->unit->recipe;
    const DlrtValue *values[DLRT_MAX_VALUES];
    HostView view;
    if (!m->field_count)
        return true;
    if (!r->on.source) {
        diag_report(e->run->cx, DIAG_E0419, r->loc,
                    "the loss wants `%s`, but the recipe names no data: train .. on data.train",
                    m->fields[0].value.name);
        return false;
    }
    for (uint32_t i = 0; i < m->field_count; i++)
        values[i] = &m->fields[i].value;
    if (!data_open(e, &r->on, &view))
        return false;
    int64_t batch = m->batch;
    if (!feed_open(e, &view, values, m->field_count, batch, true, r->loc, &t->loader))
        return false;
    t->items = view.count;
    t->batch = batch < view.count ? batch : view.count;
    t->per_epoch = host_loader_batches(t->loader);
    return true;
}

/* The length of the run, of an epoch and of a round; to be called again when resumed data stands
 * elsewhere. */
static bool plan_length(Train *t)
{
    Engine *e = t->engine;
    const Recipe *r = &e->unit->recipe;
    DlrtContext *cx = e->cx;
    int64_t done = (int64_t)cx->clock.step, here = 0;
    if (t->per_epoch) {
        int64_t epochs = r->epochs > 0  ? r->epochs
                         : r->steps > 0 ? 0
                                        : 1,
                of_epoch = (int64_t)cx->data_cursor / t->batch;
        /* By epochs, not by steps: the batch may have changed since the checkpoint. */
        if (__builtin_mul_overflow(epochs - (int64_t)cx->data_epoch, t->per_epoch, &here))
            here = INT64_MAX / 2;
        here = done - of_epoch + here;
        t->steps = epochs ? here : r->steps;
        if (r->steps > 0 && r->steps < t->steps)
            t->steps = r->steps;
    } else {
        t->steps = r->steps;
        if (r->steps < 1) {
            diag_report(e->run->cx, DIAG_E0419, r->loc,
                        "without data the recipe needs `steps = ..`");
            return false;
        }
    }
    bool by_steps = !t->per_epoch || (r->epochs < 1 && r->steps > 0);
    int64_t unit = t->per_epoch ? t->per_epoch : 1, rounds = (t->steps + unit - 1) / unit;
    t->round = by_steps && rounds > 20 ? (rounds + 19) / 20 * unit : unit;
    int rc = dlrt_set(cx, "steps", (double)(t->steps > 0 ? t->steps : 0));
    double epochs = t->per_epoch ? ceil((double)t->steps / (double)t->per_epoch) : 0;
    if (!rc)
        rc = dlrt_set(cx, "epochs", r->epochs > 0 ? (double)r->epochs : epochs > 0 ? epochs : 0);
    if (rc)
        engine_report_runtime(e, DIAG_E0417, rc);
    return !rc;
}

/* ---- Words before ---- */

static const char *flops_text(const Train *t, char out[HOST_NUMBER_SIZE])
{
    double f = t->flops;
    snprintf(out, HOST_NUMBER_SIZE,
             f < 1e3   ? "%.0f FLOP"
             : f < 1e6 ? "%.1f kFLOP"
             : f < 1e9 ? "%.0f MFLOP"
                       : "%.1f GFLOP",
             f < 1e3   ? f
             : f < 1e6 ? f / 1e3
             : f < 1e9 ? f / 1e6
                       : f / 1e9);
    return out;
}

static void say_model(const Train *t)
{
    const Engine *e = t->engine;
    char count[HOST_NUMBER_SIZE], flops[HOST_NUMBER_SIZE], bytes[HOST_NUMBER_SIZE],
        time[HOST_NUMBER_SIZE];
    int64_t parameters = 0;
    double seconds, threads = 1;
    uint32_t kernels, cached;
    for (uint32_t i = 0; i < e->unit->tensors.n; i++) {
        int64_t n = 0;
        if (e->unit->tensors.at[i].kind == TENSOR_PARAM &&
            shape_elements(&e->unit->tensors.at[i].shape, &n))
            parameters += n;
    }
    session_report(e->session, &seconds, &kernels, &cached);
    dlrt_get(e->cx, "threads", &threads);
    if (threads < 1)
        threads = dlrt_default_threads();
    talk(t, "model    %s: %s parameters, %s a step%s, %s", e->unit->name,
         host_format_count(count, parameters), flops_text(t, flops),
         t->loader ? arena_printf(e->run->arena, " (batch %lld)", (long long)t->batch) : "",
         host_format_bytes(bytes, e->model->context_bytes));
    talk(t, "compile  %s, %s, %.0f thread%s%s",
         host_format_duration(time, e->load_seconds + seconds), e->target.llvm_cpu, threads,
         threads == 1 ? "" : "s",
         t->verbose
             ? arena_printf(e->run->arena, ", %u kernels, %u from the cache", kernels, cached)
             : "");
}

static void say_data(const Train *t)
{
    Engine *e = t->engine;
    const Recipe *r = &e->unit->recipe;
    if (t->loader)
        talk(t, "data     %s", data_text(e, r->on.source));
    talk(t, "save     %s %s and on Ctrl-C", t->path,
         r->checkpoint_steps > 0
             ? arena_printf(e->run->arena, "every %lld steps", (long long)r->checkpoint_steps)
         : r->checkpoint_epochs > 1
             ? arena_printf(e->run->arena, "every %lld epochs", (long long)r->checkpoint_epochs)
         : t->per_epoch ? "every epoch"
                        : "each second");
}

static bool say_start(const Train *t)
{
    const Engine *e = t->engine;
    HostEvent event;
    host_event_begin(&event, stdout, "start");
    host_event_string(&event, "model", e->unit->name);
    host_event_int(&event, "step", (int64_t)e->cx->clock.step);
    host_event_int(&event, "steps", t->steps);
    host_event_int(&event, "batch", t->batch);
    host_event_int(&event, "examples", t->items);
    host_event_int(&event, "seed", (int64_t)e->cx->clock.seed);
    host_event_string(&event, "march", e->model->march);
    host_event_string(&event, "checkpoint", t->path);
    return host_event_end(&event);
}

/* ---- Where to begin ---- */

static bool refuse_unfinished(const Train *t)
{
    const Engine *e = t->engine;
    Compiler *cx = e->run->cx;
    uint32_t d =
        diag_report(cx, DIAG_E0903, 0, "%s is the checkpoint of an unfinished run", t->path);
    diag_add(cx, d, DIAG_HELP, 0, "go on with it: dlrun train %s --resume", engine_words(e));
    diag_add(cx, d, DIAG_HELP, 0, "or begin anew: dlrun train %s --fresh", engine_words(e));
    return false;
}

/* Someone's weights, or what is left of a checkpoint: not to be written over unasked. */
static bool refuse_foreign(const Train *t)
{
    const Engine *e = t->engine;
    Compiler *cx = e->run->cx;
    uint32_t d = diag_report(cx, DIAG_E0903, 0,
                             "%s is there already, and is no whole checkpoint of a run", t->path);
    diag_add(cx, d, DIAG_HELP, 0, "begin with its weights: dlrun train %s -w %s", engine_words(e),
             t->path);
    diag_add(cx, d, DIAG_HELP, 0, "or move it away, or write over it: dlrun train %s --fresh",
             engine_words(e));
    return false;
}

/* A file that the recipe names lies beside the .dl file. */
static const char *beside_file(const Engine *e, const char *path)
{
    bool plain = path[0] == '/' || !strcmp(e->folder, ".");
    return plain ? path : arena_printf(e->run->arena, "%s/%s", e->folder, path);
}

static bool begin_anew(Train *t)
{
    Engine *e = t->engine;
    const Recipe *r = &e->unit->recipe;
    t->state = (CheckpointState){ .best = NAN };
    if (r->load && !checkpoint_load_pretrained(e, beside_file(e, r->load), r->fresh))
        return false;
    for (uint32_t i = 0; i < r->part_loads.n; i++) {
        const PartLoad *p = &r->part_loads.at[i];
        if (!checkpoint_load_part(e, beside_file(e, p->path), p->part, r->fresh, p->loc))
            return false;
    }
    const char *weights = option_value(&e->run->options, OPT_WEIGHTS, NULL);
    return !weights || checkpoint_load_pretrained(e, weights, r->fresh);
}

static bool resume(Train *t)
{
    Engine *e = t->engine;
    DlrtContext *cx = e->cx;
    HostError error;
    if (!checkpoint_resume(e, t->path, &t->state))
        return false;
    t->state.finished = false;
    if (t->per_epoch) {
        if (cx->data_cursor > (uint64_t)(t->per_epoch * t->batch))
            cx->data_cursor = 0;
        cx->data_cursor -= cx->data_cursor % (uint64_t)t->batch;
        if (!host_loader_seek(t->loader, (int64_t)cx->data_epoch, (int64_t)cx->data_cursor,
                              &error)) {
            engine_report_host(e, e->unit->recipe.loc, &error);
            return false;
        }
    }
    talk(t, "resume   %s at step %lld%s%s", t->state.from, (long long)cx->clock.step,
         t->state.note ? "; changed: " : "", t->state.note ? t->state.note : "");
    return true;
}

/* Weights that the run is told to begin with may be those that it will write over: dlcc import puts
 * them there. */
static bool is_same_file(const char *weights, const char *path)
{
    struct stat a, b;
    return weights && !stat(weights, &a) && !stat(path, &b) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static bool begin(Train *t)
{
    Engine *e = t->engine;
    const Options *o = &e->run->options;
    bool wants_resume = option_given(o, OPT_RESUME), fresh = option_given(o, OPT_FRESH);
    const char *weights = option_value(o, OPT_WEIGHTS, NULL);
    CheckpointKind kind = checkpoint_look(e, t->path);
    if (wants_resume && fresh) {
        diag_report(e->run->cx, DIAG_E0909, 0, "--resume and --fresh exclude one another");
        return false;
    }
    if (wants_resume && kind != CHECKPOINT_NONE)
        return resume(t);
    if (wants_resume)
        talk(t, "resume   nothing is at %s yet; beginning", t->path);
    if (kind == CHECKPOINT_UNFINISHED && !fresh)
        return refuse_unfinished(t);
    if (kind == CHECKPOINT_FOREIGN && !fresh && !is_same_file(weights, t->path))
        return refuse_foreign(t);
    return begin_anew(t);
}

/* ---- Words after ---- */

static void say_end(const Train *t, TrainEnd end, int code)
{
    const Engine *e = t->engine;
    int64_t step = (int64_t)e->cx->clock.step;
    static const char *const reasons[] = { "finished", "early stop", "interrupted", "failed" };
    if (t->json)
        host_event_stop(stdout, step, (int64_t)e->cx->data_epoch, reasons[end], code);
    if (end == TRAIN_INTERRUPTED)
        talk(t, "^C saved %s at step %lld. Continue: dlrun train %s --resume", t->path,
             (long long)step, engine_words(e));
    if (end == TRAIN_EARLY)
        talk(t, "stop     %s has not improved for %lld evaluations",
             e->unit->recipe.early_stop_metric, (long long)t->state.bad);
    if (end != TRAIN_DONE && end != TRAIN_EARLY)
        return;
    const char *stem = t->path + (strncmp(t->path, "./", 2) ? 0 : 2);
    int n = (int)(strlen(stem) - (strlen(stem) > 12 ? 12 : 0)); /* without .safetensors */
    talk(t, "saved    %s", t->path);
    talk(t, "next     dlrun eval %s\n         dlcc %s -w %s -o %.*s.so", engine_words(e),
         engine_words(e), stem, n, stem);
}

/* What was found out before the run is said before it, and not after hours. */
static void say_warnings(Run *r)
{
    if (r->cx->errors || !r->cx->diags.n)
        return;
    run_finish(r);
    r->cx->diags.n = r->cx->warnings = 0;
}

/* False when the run did not begin. */
static bool run(Train *t, TrainEnd *out_end, int *out_signal)
{
    Engine *e = t->engine;
    if (!open_data(t) || !eval_open(e, false, &t->eval) || !require_parse(e->run, &t->eval, true))
        return false;
    say_warnings(e->run);
    count_flops(t);
    say_model(t);
    say_data(t);
    t->first_loss = NAN;
    if (!begin(t) || !plan_length(t))
        return false;
    if (t->json)
        say_start(t);
    if ((int64_t)e->cx->clock.step >= t->steps) {
        talk(t, "done     the run has all its %lld steps already; more: --set epochs=..",
             (long long)t->steps);
        if (!eval_run(&t->eval))
            return false;
        /* Nothing is saved: a look does not change the file. */
        require_check(e->run, &t->eval, t->loss);
        *out_end = TRAIN_DONE;
        return true;
    }
    train_catch_signals();
    t->report = report_new(t);
    *out_end = train_loop(t, out_signal);
    report_write(t->report, t, true);
    if (*out_end == TRAIN_DONE || *out_end == TRAIN_EARLY)
        require_check(e->run, &t->eval, t->loss);
    return true;
}

static const char *folder_of(Arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(a, path, slash == path ? 1 : (size_t)(slash - path)) : ".";
}

static int train(Run *r, Engine *e)
{
    HostLock lock;
    HostError error;
    Train t = { .engine = e,
                .json = option_given(&r->options, OPT_JSON),
                .quiet = option_given(&r->options, OPT_QUIET),
                .verbose = option_given(&r->options, OPT_VERBOSE),
                .loss = NAN,
                .path = engine_checkpoint_path(e) };
    TrainEnd end = TRAIN_FAILED;
    int number = 0;
    bool began = false;
    if (!e->unit->recipe.present || !e->model->update_count) {
        uint32_t d = diag_report(r->cx, DIAG_E0419, 0, "%s has no `train` block for %s", e->path,
                                 e->unit->name);
        if (ends_with(e->path, ".onnx"))
            diag_add(r->cx, d, DIAG_HELP, 0,
                     "a .dl program that says how has it as a layer: import \"%s\" as Net",
                     e->path);
    } else if (e->model->update_count > TRAIN_MAX_UPDATES) {
        diag_report(r->cx, DIAG_E0490, e->unit->recipe.loc, "more than %d updates",
                    TRAIN_MAX_UPDATES);
    } else if (!host_lock_take(folder_of(r->arena, t.path), &lock, &error)) {
        engine_report_host(e, 0, &error);
    } else {
        began = run(&t, &end, &number);
        host_lock_release(&lock);
    }
    host_loader_free(t.loader);
    eval_close(&t.eval);
    int code = run_finish(r);
    if (!code && end == TRAIN_INTERRUPTED)
        code = 128 + number;
    if (began)
        say_end(&t, end, code);
    return code;
}

/* Examples of the training data where a step takes a batch of one size only and they are fewer;
 * else 0. What goes wrong here goes wrong again, and is said, when the run opens its data. */
static int64_t short_batch(Engine *e)
{
    const Recipe *r = &e->unit->recipe;
    const DlrtModel *m = e->model;
    HostView view;
    int64_t most = 0;
    for (uint32_t i = 0; i < m->update_count; i++) {
        const DlrtEntry *x = &m->entries[m->updates[i].entry];
        if (x->flags & DLRT_ENTRY_PINNED && x->input_count && x->max_batch > most)
            most = x->max_batch;
    }
    if (!most || !r->on.source || !data_open(e, &r->on, &view))
        return 0;
    return view.count < most ? view.count : 0;
}

static int train_all(Run *r, Engine *e)
{
    int64_t rows = short_batch(e);
    Engine *on = rows ? engine_rest(e, rows, e->unit->recipe.loc) : e;
    return r->cx->errors || !on ? run_finish(r) : train(r, on);
}

int verb_train(Run *r)
{
    const char *path = run_file(r, 1);
    if (!path)
        return EXIT_USAGE;
    FrontendOptions fo = run_frontend_options(r);
    fo.no_exports = true;
    Engine e;
    int code = engine_open(r, path, &fo, &e);
    if (!code)
        code = e.library.table ? library_train(&e) : train_all(r, &e);
    engine_close(&e);
    return code;
}
