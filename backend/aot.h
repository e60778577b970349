/* aot.h: a Unit as a library for other programs: .so, .a or .o, and its C header.
 *
 * The library holds the kernels' objects (the same that the JIT links), the tables of model.h as C
 * data, the runtime, and thin functions with the model's prefix. Nothing but libc, libm and the
 * OpenMP runtime is needed to use it. */
#ifndef DLCC_BACKEND_AOT_H
#define DLCC_BACKEND_AOT_H
#include "backend/tiny.h"

#include <stdio.h>

typedef enum { AOT_SHARED, AOT_ARCHIVE, AOT_OBJECT, AOT_HEADER } AotKind;

typedef struct {
    AotKind kind;
    const char
        *path; /* of the library; HEADER: of the one that the header is for, which is not written */
    const char *header;     /* of the header, or NULL */
    const char *source;     /* the model's file, for the header's first line */
    const char *prefix;     /* of every function: aot_is_prefix */
    const char *cc;         /* the system's compiler, for the tables and the link: "cc" */
    const uint8_t *weights; /* a safetensors file loaded by `init`, or NULL */
    size_t weights_size;
    /* Asked before anything is written whether the tables are as the caller wants them, or NULL.
     * False ends the build; the caller has said why. */
    bool (*check)(void *user, const DlrtModel *model);
    void *user;
} AotOptions;

/* Writes library and header: each appears whole or not at all. False: a diagnostic is recorded
 * (E0810 the compiler of the system is missing or failed, E0811 a file cannot be written). */
bool aot_build(Unit *u, const Target *t, const AotOptions *o);

/* The header alone. In u's arena. */
const char *aot_header(Unit *u, const ModelTables *tables, const AotOptions *o);
/* The C source of tables and functions. In u's arena. */
const char *aot_source(Unit *u, const ModelTables *tables, const TinyEntries *tiny,
                       const AotOptions *o);

/* Start values of the model's tensors, as the source expects them in a file `starts`. False: it
 * cannot be written. */
bool aot_put_starts(FILE *out, const DlrtModel *m, const AotOptions *o);

/* A C identifier made of a name: lower case, other characters as `_`. */
const char *aot_prefix(Arena *a, const char *name);
/* Whether functions can be called so: a letter or `_`, then letters, digits, `_`. */
bool aot_is_prefix(const char *name);
/* How a program is compiled with the library at `path`, as a line for the shell: quoted where it
 * must be. */
const char *aot_use(Arena *a, AotKind kind, const char *path);

/* The same in upper case. */
const char *aot_upper(Arena *a, const char *name);

/* Whether entry i is a function of the interface: an export fn, not what finishes a metric. */
bool aot_is_export(const Unit *u, uint32_t i);
/* The name of its function behind the prefix: its own, with `_` added where the interface has that
 * name already. */
const char *aot_function(Arena *a, const char *name);

/* Whether an entry has a batch argument. */
bool aot_has_batch(const DlrtEntry *e);

#endif
