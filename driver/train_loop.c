/* train_loop.c: the steps of a run, between them evaluation, saving, and talk.
 *
 * What happens when depends on the step alone, but for two things that leave no trace in the
 * results: how often the progress line is drawn, and that epochs of less than a second are not each
 * saved. So a run interrupted anywhere and resumed has the bits of one that was not. */
#include "driver/train.h"

#include "driver/report.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Between saves at the ends of epochs, unless the recipe says `checkpoint`. */
#define SAVE_SECONDS 1.0

/* The one thing a signal handler can reach. */
static volatile sig_atomic_t caught_signal;

static void on_signal(int number)
{
    if (caught_signal)
        _exit(128 + number);
    caught_signal = number;
}

void train_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of events who leaves does not end the run */
}

int train_caught_signal(void)
{
    return caught_signal;
}

typedef struct {
    double sum[TRAIN_MAX_UPDATES];
    int64_t count[TRAIN_MAX_UPDATES];
    double latest;
} Losses;

static double losses_mean(const Losses *l)
{
    double sum = 0;
    int64_t n = 0;
    for (int i = 0; i < TRAIN_MAX_UPDATES; i++) {
        sum += l->sum[i];
        n += l->count[i];
    }
    return n ? sum / (double)n : NAN;
}

static int64_t done(const Train *t)
{
    return (int64_t)t->engine->cx->clock.step;
}

static int64_t epoch_number(const Train *t)
{
    return t->per_epoch ? (int64_t)t->engine->cx->data_epoch : 0;
}

/* ---- Saving ---- */

static bool save(Train *t, bool last)
{
    const char *why;
    t->saved_at = host_clock();
    if (!last)
        report_write(t->report, t, false);
    if (checkpoint_save(t->engine, t->path, &t->state, &why)) {
        t->unsaved = false;
        if (t->json)
            host_event_save(stdout, done(t), epoch_number(t), t->path);
        return true;
    }
    if (last) {
        uint32_t d = diag_report(t->engine->run->cx, DIAG_E0902, 0, "%s", why);
        diag_add(t->engine->run->cx, d, DIAG_NOTE, 0, "what was at %s before is unchanged",
                 t->path);
    } else if (!t->unsaved) {
        host_progress_clear(&t->progress);
        fprintf(stderr, "warning: not saved at step %lld: %s; the run goes on\n",
                (long long)done(t), why);
    }
    t->unsaved = true;
    return false;
}

static bool save_is_due(const Train *t, bool round_ended, bool epoch_ended)
{
    const Recipe *r = &t->engine->unit->recipe;
    if (r->checkpoint_steps > 0)
        return done(t) % r->checkpoint_steps == 0;
    if (r->checkpoint_epochs > 0)
        return epoch_ended && epoch_number(t) % r->checkpoint_epochs == 0;
    return round_ended && host_clock() - t->saved_at >= SAVE_SECONDS;
}

/* ---- Talk ---- */

static double latest_rate(const Train *t)
{
    return engine_rate(t->engine, t->entry, &t->clock);
}

static void show_progress(Train *t, const Losses *l)
{
    if (!host_progress_due(&t->progress, host_clock()))
        return;
    const EvalMetric *m = t->eval.metrics.n ? &t->eval.metrics.at[0] : NULL;
    int64_t in_epoch = t->per_epoch && t->round == t->per_epoch ? done(t) % t->per_epoch : 0;
    bool epochs = t->per_epoch && t->round == t->per_epoch;
    HostStatus s = { .epoch = epochs ? epoch_number(t) + 1 : 0,
                     .step = epochs ? in_epoch : done(t),
                     .steps = epochs ? t->per_epoch : t->steps,
                     .steps_left = t->steps - done(t),
                     .loss = l->latest,
                     .loss_average = losses_mean(l),
                     .lr = latest_rate(t),
                     .items_per_step = (double)t->batch,
                     .flop_per_step = t->flops,
                     .metric = m && !isnan(m->value) ? m->name : NULL,
                     .metric_value = m ? m->value : 0,
                     .metric_percent = m && m->percent };
    host_progress_update(&t->progress, &s, host_clock());
}

static const char *losses_text(Train *t, const Losses *l)
{
    const DlrtModel *m = t->engine->model;
    Arena *a = t->engine->run->arena;
    char number[HOST_NUMBER_SIZE];
    char *text = arena_printf(a, "%s", "");
    if (m->update_count == 1)
        return arena_printf(a, "  loss %s", host_format_value(number, losses_mean(l)));
    for (uint32_t i = 0; i < m->update_count && i < TRAIN_MAX_UPDATES; i++)
        text = arena_printf(
            a, "%s  %s %s", text, m->updates[i].name,
            host_format_value(number, l->count[i] ? l->sum[i] / (double)l->count[i] : NAN));
    return text;
}

static const char *rate_text(const Train *t)
{
    char number[HOST_NUMBER_SIZE];
    double rate = latest_rate(t);
    return isnan(rate) ? ""
                       : arena_printf(t->engine->run->arena, "  lr %s",
                                      host_format_value(number, rate));
}

/* A line for each round, but not more than some twenty for a run that is over in no time. */
static bool line_is_due(const Train *t, double last_line)
{
    int64_t rounds = (t->steps + t->round - 1) / t->round, number = done(t) / t->round;
    int64_t every = rounds <= 30 ? 1 : (rounds + 19) / 20;
    return number % every == 0 || number == 1 || done(t) >= t->steps ||
           host_clock() - last_line >= 1;
}

static void say_round(Train *t, const Losses *l, double *last_line)
{
    bool epochs = t->per_epoch && t->round % t->per_epoch == 0 && done(t) % t->per_epoch == 0;
    if (t->json) {
        for (uint32_t i = 0; i < t->eval.metrics.n; i++)
            host_event_metric(stdout, done(t), epoch_number(t), t->eval.metrics.at[i].name,
                              t->eval.metrics.at[i].value);
    }
    if (!line_is_due(t, *last_line))
        return;
    *last_line = host_clock();
    host_progress_say(&t->progress, "%s %-4lld%s%s%s", epochs ? "epoch" : "step",
                      (long long)(epochs ? epoch_number(t) : done(t)), losses_text(t, l),
                      eval_text(&t->eval), rate_text(t));
}

static void say_first(Train *t)
{
    const DlrtModel *m = t->engine->model;
    char number[HOST_NUMBER_SIZE];
    int64_t classes = 0;
    for (uint32_t i = 0; i < m->field_count; i++)
        if (m->fields[i].value.bound > 1)
            classes = classes ? -1 : m->fields[i].value.bound;
    host_format_value(number, t->first_loss);
    if (classes > 1)
        host_progress_say(&t->progress, "check    first loss %s; guessing is ln %lld = %.3f",
                          number, (long long)classes, log((double)classes));
    else
        host_progress_say(&t->progress, "check    first loss %s", number);
}

/* ---- Early stopping ---- */

/* Whether patience is at its end. More is better for a share (accuracy), less for everything else.
 */
static bool out_of_patience(Train *t)
{
    const Recipe *r = &t->engine->unit->recipe;
    const EvalMetric *m = r->early_stop_metric ? eval_find(&t->eval, r->early_stop_metric) : NULL;
    if (!m)
        return false;
    bool better =
        isnan(t->state.best) || (m->percent ? m->value > t->state.best : m->value < t->state.best);
    if (better)
        t->state.best = m->value;
    t->state.bad = better ? 0 : t->state.bad + 1;
    return t->state.bad >= r->early_stop_patience;
}

/* ---- The loop ---- */

static bool fail_step(Train *t, int rc, int64_t B, const void *const *fields)
{
    Engine *e = t->engine;
    host_progress_clear(&t->progress);
    if (rc == DLRT_E_NAN) {
        train_explain_nan(t, B, fields);
        return false;
    }
    const char *message = arena_printf(e->run->arena, "%s", dlrt_message(e->cx));
    diag_report(e->run->cx,
                rc == DLRT_E_LABEL  ? DIAG_E0908
                : rc == DLRT_E_SIZE ? DIAG_E0490
                                    : DIAG_E0604,
                e->unit->recipe.loc, "step %lld: %s", (long long)done(t) + 1,
                *message ? message : dlrt_error(rc));
    return false;
}

/* The next batch of the training data, across the ends of epochs. */
static bool next_batch(Train *t, HostBatch *out)
{
    HostError error;
    HostLoaderStatus s = host_loader_next(t->loader, out, &error);
    if (s == HOST_LOADER_END)
        s = host_loader_next(t->loader, out, &error);
    if (s == HOST_LOADER_BATCH)
        return true;
    engine_report_host(t->engine, t->engine->unit->recipe.loc, &error);
    return false;
}

static bool one_step(Train *t, Losses *l)
{
    DlrtContext *cx = t->engine->cx;
    const DlrtModel *m = t->engine->model;
    HostBatch batch = { .count = 1 };
    float loss;
    uint32_t update = dlrt_due_update(m, (uint64_t)cx->clock.step, NULL);
    if (t->loader && !next_batch(t, &batch))
        return false;
    const DlrtEntry *entry = &m->entries[m->updates[update].entry];
    if (entry->flags & DLRT_ENTRY_PINNED && batch.count != entry->max_batch) {
        diag_report(
            t->engine->run->cx, DIAG_E0490, t->engine->unit->recipe.loc,
            "%lld examples, fewer than the batch: this program needs batches of exactly %lld",
            (long long)batch.count, (long long)entry->max_batch);
        return false;
    }
    int rc = dlrt_step(cx, batch.count, (const void *const *)batch.inputs, &loss);
    if (rc)
        return fail_step(t, rc, batch.count, (const void *const *)batch.inputs);
    t->clock = cx->clock;
    t->clock.step -= 1;
    t->entry = m->updates[update].entry;
    if (t->loader) {
        cx->data_cursor += (uint64_t)batch.count;
        if (cx->data_cursor >= (uint64_t)(t->per_epoch * t->batch)) {
            cx->data_cursor = 0;
            cx->data_epoch++;
            cx->clock.epoch = (double)cx->data_epoch;
        }
    }
    report_step(t->report, update, done(t), (double)loss);
    l->latest = (double)loss;
    l->sum[update % TRAIN_MAX_UPDATES] += (double)loss;
    l->count[update % TRAIN_MAX_UPDATES]++;
    return true;
}

static void say_step(Train *t, const Losses *l, double start)
{
    int64_t every = t->verbose || t->steps <= 200 ? 1 : t->steps / 200;
    if (t->json && done(t) % every == 0)
        host_event_step(stdout, done(t), epoch_number(t), (float)l->latest,
                        (float)latest_rate(t), host_clock() - start);
}

static TrainEnd finish(Train *t, TrainEnd end)
{
    t->state.finished = end == TRAIN_DONE || end == TRAIN_EARLY;
    return save(t, true) ? end : TRAIN_FAILED;
}

/* What follows a step. True: the run is over. */
static bool after_step(Train *t, Losses *l, double *last_line, TrainEnd *out_end)
{
    bool epoch_ended = t->loader && t->engine->cx->data_cursor == 0;
    bool round_ended = done(t) % t->round == 0 || done(t) >= t->steps, early = false;
    if (round_ended) {
        if (!eval_run(&t->eval)) {
            *out_end = TRAIN_FAILED;
            return true;
        }
        t->loss = losses_mean(l);
        report_round(t->report, done(t), &t->eval);
        early = out_of_patience(t);
        say_round(t, l, last_line);
        *l = (Losses){ .latest = l->latest };
    }
    if (done(t) >= t->steps || early) {
        *out_end = finish(t, early && done(t) < t->steps ? TRAIN_EARLY : TRAIN_DONE);
        return true;
    }
    if (save_is_due(t, round_ended, epoch_ended))
        save(t, false);
    return false;
}

TrainEnd train_loop(Train *t, int *out_signal)
{
    Losses losses = { .latest = NAN };
    double start = host_clock(), last_line = start;
    TrainEnd end = TRAIN_DONE;
    bool first = isnan(t->first_loss);
    t->saved_at = start;
    host_progress_start(&t->progress, stderr, t->quiet, start);
    if (done(t) >= t->steps)
        return finish(t, TRAIN_DONE);
    while (done(t) < t->steps) {
        if (caught_signal) {
            *out_signal = caught_signal;
            host_progress_clear(&t->progress);
            return finish(t, TRAIN_INTERRUPTED);
        }
        if (!one_step(t, &losses))
            return TRAIN_FAILED;
        if (first) {
            t->first_loss = losses.latest;
            say_first(t);
            first = false;
        }
        say_step(t, &losses, start);
        show_progress(t, &losses);
        if (after_step(t, &losses, &last_line, &end))
            break;
    }
    host_progress_clear(&t->progress);
    return end;
}
