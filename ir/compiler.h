/* compiler.h: what every stage of one compilation shares: the arena, the sources, locations, and
 * the diagnostics found so far.
 *
 * Nothing here is global: two compilations in one process do not meet. */
#ifndef DLCC_IR_COMPILER_H
#define DLCC_IR_COMPILER_H
#include "ir/arena.h"

#include <stdbool.h>

/* A location is a range of bytes in a source, and a chain: a node made inside a layer knows where
 * the layer stands, where it was instantiated, and from where it was called. LocId 0 is nowhere.
 * Interned, so that equal chains are one id. */
typedef uint32_t LocId;
typedef struct {
    uint32_t file;        /* index into Compiler.sources */
    uint32_t begin, end;  /* bytes, end excluded */
    LocId parent;         /* called or instantiated from, or 0 */
    const char *owner;    /* path of the layer instance, "block.0.linear_1", or NULL */
} Loc;

typedef struct {
    const char *path;   /* as shown to the user */
    const char *text;   /* NUL-terminated; NULL for a source without text (an ONNX file) */
    size_t size;
} Source;

/* Codes of diag.def, by family: E01 lexical, E02 syntax, E03 shape and dtype, E04 names and
 * parameters, E05 differentiation, E06 data, E07 ONNX, E08 code generation and link, E09 run time;
 * W likewise. */
typedef enum {
#define DIAG(code, exit, title, explain) DIAG_##code,
#include "ir/diag.def"
#undef DIAG
    DIAG_COUNT
} DiagCode;

typedef struct {
    const char *code;    /* "E0312" */
    int exit;            /* the exit code this error leads to; 0 for warnings */
    const char *title;   /* one line, for the index of `dlcc explain` */
    const char *explain; /* paragraphs for `dlcc explain CODE` */
} DiagRow;
extern const DiagRow diag_rows[DIAG_COUNT];

typedef enum { DIAG_LABEL, DIAG_NOTE, DIAG_HELP } DiagPartKind;
typedef struct {
    DiagPartKind kind;
    LocId loc; /* labels: what is underlined; notes: where, or 0 */
    const char *text;
} DiagPart;

typedef struct {
    DiagCode code;
    LocId loc;
    const char *message;
    VEC(DiagPart) parts;
} Diag;

enum { DIAG_MAX_ERRORS = 20 };

/* Something that is released with the Compiler: a mapped file. */
typedef struct {
    void (*release)(void *);
    void *what;
} CompilerKeep;

typedef struct Compiler {
    Arena *arena;                /* lives as long as the Compiler */
    VEC(Source) sources;         /* sources.at[0] is unused */
    VEC(Loc) locs;               /* locs.at[0] is nowhere */
    VEC(Diag) diags;
    uint32_t errors, warnings;   /* counted also beyond DIAG_MAX_ERRORS */
    bool verify;                 /* run the verifier after each pass */
    void *loc_index;             /* hash of locs, private to compiler.c */
    struct NameTable *names;     /* interned names, private to frontend/name.c */
    VEC(CompilerKeep) kept;      /* what goes with the Compiler, beside the arena */
} Compiler;

Compiler *compiler_new(void);
/* Releases what was kept, the latest first, then all memory. NULL is allowed. */
void compiler_free(Compiler *cx);
/* Calls release(what) when cx is freed. */
void compiler_keep(Compiler *cx, void (*release)(void *), void *what);

/* Registers a source; text is copied. Returns its index. */
uint32_t compiler_add_source(Compiler *cx, const char *path, const char *text, size_t size);

LocId loc_make(Compiler *cx, Loc loc);
/* The same place reached through `parent`, as when a layer's body is instantiated. */
LocId loc_through(Compiler *cx, LocId loc, LocId parent, const char *owner);
const Loc *loc_get(const Compiler *cx, LocId loc);
/* Line and column, from 1; columns count code points. */
void loc_line_column(const Compiler *cx, LocId loc, uint32_t *out_line, uint32_t *out_column);
/* "lenet.dl:7:20", or "" for nowhere. */
const char *loc_text(Compiler *cx, LocId loc);

/* Records a diagnostic and returns its index, to which parts may be added. A diagnostic equal in
 * code, place and message to an earlier one is recorded once (instantiation repeats bodies); parts
 * added to it again are dropped. */
uint32_t diag_report(Compiler *cx, DiagCode code, LocId loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void diag_add(Compiler *cx, uint32_t diag, DiagPartKind kind, LocId loc, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The exit code the recorded errors lead to: 0 when there are none; unsupported (4) only when all
 * errors are of that kind. */
int diag_exit_code(const Compiler *cx);
/* The row of a code as written ("E0312", any case), or NULL. */
const DiagRow *diag_find(const char *code);

/* The candidate nearest to `name` by edit distance, or NULL when none is near enough to help. */
const char *diag_nearest(const char *name, const char *const *candidates, size_t n);

#endif
