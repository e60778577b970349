/* eval.h: the metrics of a recipe over whole splits. */
#ifndef DLCC_DRIVER_EVAL_H
#define DLCC_DRIVER_EVAL_H
#include "driver/engine.h"
#include "runtime/host/loader.h"

typedef struct {
    const char *name;
    LocId loc;
    uint32_t entry, finish; /* finish: DLRT_NONE when the metric is the mean of its sum */
    uint32_t maxima;        /* bit i: sum i is the largest value, not a sum */
    HostLoader *loader;     /* NULL: needs no data */
    bool percent;           /* a share of something true: shown times 100, and more is better */
    double value;           /* of the last evaluation; NaN before */
} EvalMetric;

typedef struct {
    Engine *engine;
    VEC(EvalMetric) metrics;
} Eval;

/* Binds all metrics to their data; with_loss adds the loss on the recipe's own data, first, under
 * the name `loss`. False: diagnostics are recorded. */
bool eval_open(Engine *e, bool with_loss, Eval *out);
void eval_close(Eval *v);
/* Computes all values. Advances the clock's `evals`. False: diagnostics are recorded. */
bool eval_run(Eval *v);
const EvalMetric *eval_find(const Eval *v, const char *name);
/* "accuracy 86.9 %" for each, two blanks before each; in the arena. */
const char *eval_text(const Eval *v);

/* Whether all --require conditions hold; metrics by name, or `loss`. False: diagnostics are
 * recorded, with exit 6 or 2. */
bool require_check(Run *r, const Eval *v, double loss);
/* Whether they can be read and name metrics, or, with_loss, `loss`: to be asked before hours of
 * training. */
bool require_parse(Run *r, const Eval *v, bool with_loss);

#endif
