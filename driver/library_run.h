/* library_run.h: `eval` and `train` of a built library, on arrays from files: it has its recipe,
 * but not where its data is. */
#ifndef DLCC_DRIVER_LIBRARY_RUN_H
#define DLCC_DRIVER_LIBRARY_RUN_H
#include "driver/eval.h"

/* The library's metrics, without values. False: it has none, which is recorded. */
bool library_metrics(Engine *e, Eval *out);
/* Their values over the examples of -i. False: diagnostics are recorded. */
bool library_eval(Eval *v);
/* The verb `train`: the recipe's steps over the examples of -i. */
int library_train(Engine *e);

#endif
