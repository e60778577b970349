/* eval_verb.c: the verb `eval`: a recipe's metrics with saved weights, of a file or of a library.
 */
#include "driver/checkpoint.h"
#include "driver/eval.h"
#include "driver/library_run.h"
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

int verb_eval(Run *r)
{
    Engine e;
    Eval v = { 0 };
    int code = engine_open_named(r, &e);
    if (!code) {
        bool ok = e.library.table || e.unit->recipe.present;
        if (!ok)
            diag_report(r->cx, DIAG_E0419, 0, "%s has no `train` block for %s, and so no metrics",
                        e.path, e.unit->name);
        ok = ok && (e.library.table ? library_metrics(&e, &v) : eval_open(&e, true, &v)) &&
             require_parse(r, &v) && checkpoint_load_weights(&e, NULL) &&
             (e.library.table ? library_eval(&v) : eval_run(&v)) && print_values(r, &v);
        if (ok)
            require_check(r, &v, NAN);
        code = run_finish(r);
    }
    eval_close(&v);
    engine_close(&e);
    return code;
}
