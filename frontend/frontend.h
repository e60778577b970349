/* frontend.h: from the text of a model to a Unit. */
#ifndef DLCC_FRONTEND_FRONTEND_H
#define DLCC_FRONTEND_FRONTEND_H
#include "ir/unit.h"

/* name=value as on a command line: -D B=64, --set optimizer.lr=1e-4. The value is an expression of
 * the language. */
typedef struct {
    const char *name, *value;
} FrontendSetting;

/* An array at hand: what an input will be given. */
typedef struct {
    Dtype dtype;
    uint32_t rank;
    int64_t dim[MAX_RANK];
    const void *data; /* row-major */
} FrontendValue;

/* What a field of a data source is, one item of it. */
typedef struct {
    const char *name;
    Dtype dtype;
    uint32_t rank;
    int64_t dim[MAX_RANK];
} FrontendField;

typedef struct {
    const char *model; /* --model: a model, or the `as` name of a train block; NULL: the only one */
    const FrontendSetting *defines; /* -D: dims of entries and model arguments */
    uint32_t n_defines;
    const FrontendSetting *sets; /* --set: recipe keys */
    uint32_t n_sets;
    const char *const *entries; /* names of the exports and losses wanted; n_entries 0: all */
    uint32_t n_entries;
    bool no_training; /* leave out step, eval and metrics */
    bool no_exports;  /* for whoever compiles: exports are checked and not wanted further */
    bool f64;         /* every f32 becomes f64: for gradient checks */
    /* Fields of a source as it is before its stages, as far as the reader of data knows them
     * without reading it whole: the number of fields (at most max), or -1. NULL: nobody knows, and
     * entries of `map` stages over files are left out. */
    int (*probe)(void *user, const DataSource *source, FrontendField *fields, int max);
    /* The array that an input of an ONNX model will be given, as far as it is known already: its
     * dims, and its elements where a shape follows from them. out_value may be NULL. NULL: nobody
     * knows. */
    bool (*known)(void *user, const char *input, FrontendValue *out_value);
    /* Told, before that, which inputs an ONNX model has. False: what was given does not fit them,
     * which is reported. NULL: nobody wants to know. */
    bool (*inputs)(void *user, const char *const *names, uint32_t n);
    void *user;
} FrontendOptions;

/* Reads and elaborates the file at `path`, with what it imports. NULL when errors were reported to
 * cx. */
Unit *frontend_load(Compiler *cx, const char *path, const FrontendOptions *options);
/* The same for text in memory; `path` names it in messages and is the base of its imports. */
Unit *frontend_load_text(Compiler *cx, const char *path, const char *text, size_t size,
                         const FrontendOptions *options);

/* The same for a source that is registered already. */
Unit *frontend_load_source(Compiler *cx, uint32_t source, const FrontendOptions *options);

#endif
