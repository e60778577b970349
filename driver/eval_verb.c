/* eval_verb.c: the verb `eval`: a recipe's metrics with saved weights, of a file or of a library;
 * or, with -t, how near the results of an export come to given targets. */
#include "driver/checkpoint.h"
#include "driver/library_run.h"
#include "driver/score.h"
#include "driver/verbs.h"
#include "runtime/host/progress.h"

#include <math.h>

static bool print_values(Run *r, const Eval *v)
{
    for (uint32_t i = 0; i < v->metrics.n; i++) {
        const EvalMetric *m = &v->metrics.at[i];
        if (!option_given(&r->options, OPT_JSON))
            printf("%s %.9g\n", m->name, m->value);
        else if (!host_event_metric(stdout, (int64_t)v->engine->cx->clock.step,
                                    (int64_t)v->engine->cx->clock.epoch, m->name, m->value))
            return false;
    }
    return true;
}

static bool eval_recipe(Engine *e, Eval *v)
{
    Run *r = e->run;
    if (!e->library.table && !e->unit->recipe.present) {
        uint32_t d = diag_report(r->cx, DIAG_E0419, 0,
                                 "%s has no `train` block for %s, and so no metrics", e->path,
                                 e->unit->name);
        diag_add(r->cx, d, DIAG_HELP, 0,
                 "give what goes in and what should come out: -i FILE -t FILE");
        return false;
    }
    return (e->library.table ? library_metrics(e, v) : eval_open(e, true, v)) &&
           require_parse(r, v, false) && checkpoint_load_weights(e, NULL) &&
           (e->library.table ? library_eval(v) : eval_run(v));
}

static void say_rows(const Score *s)
{
    const Run *r = s->q->e->run;
    char count[HOST_NUMBER_SIZE];
    if (option_given(&r->options, OPT_QUIET) || option_given(&r->options, OPT_JSON))
        return;
    fprintf(stderr, "%s row%s\n", host_format_count(count, s->q->count),
            s->q->count == 1 ? "" : "s");
}

static bool eval_arrays(Engine *e, Eval *v)
{
    Infer q = { .e = e };
    Score s = { .q = &q };
    *v = (Eval){ .engine = e };
    bool ok = infer_open(&q) && score_targets(&s) && infer_run(&q) && score_kinds(&s) &&
              score_metrics(&s, v) && require_parse(e->run, v, false);
    if (ok)
        say_rows(&s);
    score_close(&s);
    infer_close(&q);
    return ok;
}

int verb_eval(Run *r)
{
    Engine e;
    Eval v = { 0 };
    bool arrays = option_given(&r->options, OPT_TARGET) || option_given(&r->options, OPT_METRIC);
    int code = engine_open_named(r, &e);
    if (!code) {
        if ((arrays ? eval_arrays(&e, &v) : eval_recipe(&e, &v)) && print_values(r, &v))
            require_check(r, &v, NAN);
        code = run_finish(r);
    }
    eval_close(&v);
    engine_close(&e);
    return code;
}
