/* verbs.h: what dlcc and dlrun can be told to do. Each verb is a function from a Run to an exit
 * code; its first word is the verb. */
#ifndef DLCC_DRIVER_VERBS_H
#define DLCC_DRIVER_VERBS_H
#include "driver/load.h"

typedef struct Verb {
    const char *name, *help;
    int (*run)(Run *r);
} Verb;

int verb_build(Run *r);
int verb_check(Run *r);
int verb_completions(Run *r);
int verb_doctor(Run *r);
int verb_explain(Run *r);
int verb_export(Run *r);
int verb_fmt(Run *r);
int verb_import(Run *r);
int verb_inspect(Run *r);
int verb_new(Run *r);

int verb_train(Run *r);
int verb_eval(Run *r);
int verb_infer(Run *r);
int verb_bench(Run *r);
int verb_gradcheck(Run *r);

/* Leaves the entries of `list` (NULL: all but those of the data) in u, before its passes run. An
 * exit code, 0 when done. */
int entries_select(Run *r, Unit *u, const char *list);
/* Adds the entries that vjp:OUTPUT:INPUT in the list asks for; the list with their names, or NULL:
 * reported. */
const char *entries_add(Run *r, Unit *u, const char *list);

/* Writes one export of the model in `path` as the ONNX file `out`. An exit code. */
int export_model(Run *r, const char *path, const char *out);

/* The shared main: options, --help, --version, the verb. `otherwise` is run when the first word is
 * no verb (dlcc FILE), or NULL. */
int tool_main(unsigned tool, const char *usage, const Verb *verbs, uint32_t n_verbs,
              int (*otherwise)(Run *r), int argc, char **argv);

#endif
