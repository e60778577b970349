/* engine.h: a model compiled in this process, with its context and its data: what every verb of
 * dlrun stands on. */
#ifndef DLCC_DRIVER_ENGINE_H
#define DLCC_DRIVER_ENGINE_H
#include "backend/session.h"
#include "driver/library.h"
#include "driver/load.h"
#include "runtime/dlrt.h"
#include "runtime/host/host.h"

/* A source of data that was read: as the stages left it, or raw while only its fields were asked
 * for. */
typedef struct {
    const char *name;
    HostData data;
    bool ready; /* all stages are done */
} EngineData;

/* The model once more, for a batch of another size: where a program needs its batch as a number. */
typedef struct Engine Engine;
typedef struct {
    int64_t items;
    Engine *engine;
} EngineRest;

/* An array given with -i, as it was read before the model was built. */
typedef struct {
    const char *name;
    FrontendValue value;
} EngineKnown;

struct Engine {
    Run *run;
    const char *path;        /* the .dl file, or the library */
    const char *text;        /* the program, where it is in no file and `path` is but its name */
    const char *folder;      /* of it: where its data is looked for */
    FrontendOptions options; /* as completed by engine_open */
    Unit *unit;              /* NULL: a library, which has no more than its tables */
    Session *session;        /* likewise */
    Library library;         /* or without a table */
    const DlrtModel *model;
    DlrtContext *cx;
    Target target;
    double load_seconds; /* reading, elaborating, passes */
    char program[20];    /* hash of what the model computes, in eval mode, before any pass */
    char steps[20];      /* the same of the training steps */
    Graph **rates; /* by entry: what computes its learning rate, or NULL */
    VEC(EngineData) data;
    VEC(EngineKnown) known;
    uint32_t n_inputs;          /* of an ONNX model, while it is read */
    const char *entries;        /* what --entries names; vjp:y:x as the name of its entry */
    VEC(EngineRest) rests;
};

/* Compiles the file, or takes the library at a path that ends in .so, and initialises parameters
 * from the seed. Options as in `fo`, which is completed here. An exit code: 0, or what the
 * diagnostics, printed already, lead to. */
int engine_open(Run *r, const char *path, FrontendOptions *fo, Engine *out);
/* The same of a program in memory, which messages call `name`: options that are for the program of
 * the command line (--entries) are not for it. */
int engine_open_text(Run *r, const char *name, const char *text, Engine *out);
/* The same of the file named after the verb, with the options of the command line. After a failure
 * too `out` may be closed. */
int engine_open_named(Run *r, Engine *out);
void engine_close(Engine *e);

/* ./NAME.safetensors, or where the recipe says. */
const char *engine_checkpoint_path(Engine *e);
/* The file as a later command must name it: with --model and -D as given now. */
const char *engine_words(const Engine *e);
/* Number of the entry, or DLRT_NONE. */
uint32_t engine_entry(const Engine *e, const char *name);
/* Exports that a person may call, in the order of the file. */
bool engine_is_export(const Engine *e, uint32_t entry);
/* Every weight has its value already: from the model's own file, or because there are none. */
bool engine_has_start_values(const Engine *e);
/* Floating-point operations of one call at the largest batch, by its kernels. */
double engine_flops(const Engine *e, uint32_t entry);
/* Records a failure of the host library, or of the runtime (its message), as a diagnostic. */
void engine_report_host(Engine *e, LocId loc, const HostError *error);
void engine_report_runtime(Engine *e, DiagCode code, int rc);
/* Names of the classes that the label `field` of a source has, or NULL. */
const char *const *engine_classes(Engine *e, int *out_n);

/* Where the source has tensor i of the model. */
LocId engine_tensor_loc(const Engine *e, uint32_t i);

/* ---- engine_rest.c ---- */

/* The model compiled for batches of `items`, with the tensors and the call count of e. It lives as
 * long as e. NULL: diagnostics are recorded. */
Engine *engine_rest(Engine *e, int64_t items, LocId loc);

/* ---- rate.c ---- */

/* Copies what computes the learning rates, before the passes change it. */
void engine_find_rates(Engine *e);
/* The learning rate of an entry's step at this clock; NaN where it has none. */
double engine_rate(const Engine *e, uint32_t entry, const DlrtClock *clock);

/* ---- data.c ---- */

/* The rows that a recipe's view names. Reads the source and runs its stages when first asked;
 * statistics of the recipe's source are fitted and written into the context. False: diagnostics are
 * recorded. */
bool data_open(Engine *e, const DataView *view, HostView *out_view);
/* The frontend's question what the fields of a source are; `user` is the Engine. */
int data_probe(void *user, const DataSource *source, FrontendField *fields, int max);
/* "fashion: 60,000 train, 10,000 test (/usr/share/datasets/fashion-mnist)" */
const char *data_text(Engine *e, const char *source);

/* ---- calls.c ---- */

/* The runtime's calls by name, NULL when there is none. */
DlrtCall *engine_call(const char *symbol);

#endif
