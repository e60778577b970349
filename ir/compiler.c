/* compiler.c: sources, locations and diagnostics of one compilation. Diagnostics are collected here
 * and printed elsewhere (frontend/), since a location in an op's type rule and one in the parser
 * must look the same to the user. */
#include "ir/compiler.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const DiagRow diag_rows[DIAG_COUNT] = {
#define DIAG(code, exit, title, explain) [DIAG_##code] = { #code, exit, title, explain },
#include "ir/diag.def"
#undef DIAG
};

/* Open addressing: ids, 0 is free; cap is a power of two, at least twice the number of locations.
 */
typedef VEC(uint32_t) Lines; /* where each begins; empty: not asked for yet */
typedef struct {
    LocId *at;
    uint32_t cap;
    VEC(Lines) lines; /* by source */
} LocIndex;
enum { LOC_INDEX_FIRST = 1024 };

Compiler *compiler_new(void)
{
    Arena *a = arena_new();
    Compiler *cx = arena_make(a, Compiler);
    cx->arena = a;
    LocIndex *index = cx->loc_index = arena_make(a, LocIndex);
    index->cap = LOC_INDEX_FIRST;
    index->at = arena_new_array(a, LocId, index->cap);
    cx->verify = true;
    vec_push(a, &cx->sources, (Source){ .path = "" });
    vec_push(a, &cx->locs, (Loc){ 0 });
    return cx;
}

void compiler_free(Compiler *cx)
{
    if (!cx)
        return;
    for (uint32_t i = cx->kept.n; i--;)
        cx->kept.at[i].release(cx->kept.at[i].what);
    arena_free(cx->arena);
}

void compiler_keep(Compiler *cx, void (*release)(void *), void *what)
{
    vec_push(cx->arena, &cx->kept, (CompilerKeep){ release, what });
}

uint32_t compiler_add_source(Compiler *cx, const char *path, const char *text, size_t size)
{
    Source s = { arena_strndup(cx->arena, path, strlen(path)),
                 text ? arena_strndup(cx->arena, text, size) : NULL, size };
    vec_push(cx->arena, &cx->sources, s);
    return cx->sources.n - 1;
}

static bool same_owner(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

/* The place of `loc` in the index, or the free one where it belongs. */
static LocId *loc_slot(const Compiler *cx, const LocIndex *index, const Loc *loc)
{
    uint64_t hash = ((uint64_t)loc->begin << 32 | loc->end) * 0x9E3779B97F4A7C15u;
    for (const char *c = loc->owner; c && *c; c++) /* of a layer that is made a thousand times */
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    hash = (hash ^ hash >> 29 ^ ((uint64_t)loc->parent << 20 | loc->file)) * 0xBF58476D1CE4E5B9u;
    uint32_t i = (uint32_t)(hash >> 32) & (index->cap - 1);
    for (;; i = (i + 1) & (index->cap - 1)) {
        const Loc *o = &cx->locs.at[index->at[i]];
        if (!index->at[i] ||
            (o->file == loc->file && o->begin == loc->begin && o->end == loc->end &&
             o->parent == loc->parent && same_owner(o->owner, loc->owner)))
            return &index->at[i];
    }
}

LocId loc_make(Compiler *cx, Loc loc)
{
    LocIndex *index = cx->loc_index;
    LocId *slot = loc_slot(cx, index, &loc);
    if (*slot)
        return *slot;
    LocId id = *slot = cx->locs.n;
    vec_push(cx->arena, &cx->locs, loc);
    if (cx->locs.n > index->cap / 2) {
        index->cap *= 2;
        index->at = arena_new_array(cx->arena, LocId, index->cap);
        for (LocId k = 1; k < cx->locs.n; k++)
            *loc_slot(cx, index, &cx->locs.at[k]) = k;
    }
    return id;
}

LocId loc_through(Compiler *cx, LocId loc, LocId parent, const char *owner)
{
    Loc l = cx->locs.at[loc];
    l.parent = parent;
    if (owner)
        l.owner = owner;
    return loc_make(cx, l);
}

const Loc *loc_get(const Compiler *cx, LocId loc)
{
    return &cx->locs.at[loc];
}

/* Kernels and diagnostics ask for thousands of places: a text is gone through once. */
static const Lines *lines_of(const Compiler *cx, uint32_t file)
{
    LocIndex *index = cx->loc_index;
    const Source *s = &cx->sources.at[file];
    while (index->lines.n <= file)
        vec_push(cx->arena, &index->lines, (Lines){ 0 });
    Lines *lines = &index->lines.at[file];
    if (!lines->n) {
        vec_push(cx->arena, lines, 0);
        const char *end = s->text + s->size;
        for (const char *p = s->text; (p = memchr(p, '\n', (size_t)(end - p)));)
            vec_push(cx->arena, lines, (uint32_t)(++p - s->text));
    }
    return lines;
}

void loc_line_column(const Compiler *cx, LocId loc, uint32_t *out_line, uint32_t *out_column)
{
    const Loc *l = &cx->locs.at[loc];
    const Source *s = &cx->sources.at[l->file];
    *out_line = *out_column = 1;
    if (!s->text)
        return;
    uint32_t at = l->begin < s->size ? l->begin : (uint32_t)s->size;
    const Lines *lines = lines_of(cx, l->file);
    uint32_t low = 0, high = lines->n; /* low begins at or before `at`, high after it */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        *(lines->at[middle] <= at ? &low : &high) = middle;
    }
    *out_line = low + 1;
    for (uint32_t i = lines->at[low]; i < at; i++)
        *out_column += ((unsigned char)s->text[i] & 0xC0) != 0x80;
}

const char *loc_text(Compiler *cx, LocId loc)
{
    if (!loc)
        return "";
    const Source *s = &cx->sources.at[cx->locs.at[loc].file];
    if (!s->text)
        return s->path;
    uint32_t line, column;
    loc_line_column(cx, loc, &line, &column);
    return arena_printf(cx->arena, "%s:%u:%u", s->path, line, column);
}

uint32_t diag_report(Compiler *cx, DiagCode code, LocId loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(cx->arena, format, args);
    va_end(args);
    const Loc *at = &cx->locs.at[loc];
    for (uint32_t i = 0; i < cx->diags.n; i++) {
        const Diag *d = &cx->diags.at[i];
        const Loc *o = &cx->locs.at[d->loc];
        if (d->code == code && o->file == at->file && o->begin == at->begin && o->end == at->end &&
            !strcmp(d->message, message))
            return UINT32_MAX;
    }
    if (diag_rows[code].exit)
        cx->errors++;
    else
        cx->warnings++;
    vec_push(cx->arena, &cx->diags, (Diag){ .code = code, .loc = loc, .message = message });
    return cx->diags.n - 1;
}

void diag_add(Compiler *cx, uint32_t diag, DiagPartKind kind, LocId loc, const char *format, ...)
{
    if (diag == UINT32_MAX)
        return;
    va_list args;
    va_start(args, format);
    DiagPart part = { kind, loc, arena_vprintf(cx->arena, format, args) };
    va_end(args);
    vec_push(cx->arena, &cx->diags.at[diag].parts, part);
}

int diag_exit_code(const Compiler *cx)
{
    int code = 0;
    for (uint32_t i = 0; i < cx->diags.n; i++) {
        int e = diag_rows[cx->diags.at[i].code].exit;
        if (e && (!code || code == 4 || e < code))
            code = e;
    }
    return code;
}

const DiagRow *diag_find(const char *code)
{
    for (int i = 0; i < DIAG_COUNT; i++)
        if (!strcasecmp(diag_rows[i].code, code))
            return &diag_rows[i];
    return NULL;
}

/* Damerau-Levenshtein distance of short names, one row at a time; names beyond 63 bytes are never
 * near. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), before[64], row[64], next[64];
    if (n > 63 || m > 63)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    memcpy(before, row, sizeof row);
    for (size_t i = 1; i <= n; i++) {
        next[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = row[j - 1] + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (next[j - 1] + 1 < best)
                best = next[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            next[j] = best;
        }
        memcpy(before, row, sizeof row);
        memcpy(row, next, sizeof row);
    }
    return row[m];
}

const char *diag_nearest(const char *name, const char *const *candidates, size_t n)
{
    size_t best = strlen(name) / 3 + 2;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(name, candidates[i]);
        if (d < best)
            best = d, found = candidates[i];
    }
    return found;
}
