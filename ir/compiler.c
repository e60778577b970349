/* compiler.c: sources, locations and diagnostics of one compilation. Diagnostics are collected here and printed elsewhere
 * (frontend/), since a location in an op's type rule and one in the parser must look the same to the user. */
#include "ir/compiler.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const DiagRow diag_rows[DIAG_COUNT] = {
#define DIAG(code, exit, title, explain) [DIAG_##code] = { #code, exit, title, explain },
#include "ir/diag.def"
#undef DIAG
};

enum { LOC_BUCKETS = 4096 };
typedef struct LocEntry LocEntry;
struct LocEntry {
    LocId id;
    LocEntry *next;
};

Compiler *compiler_new(void)
{
    Arena *a = arena_new();
    Compiler *cx = arena_make(a, Compiler);
    cx->arena = a;
    cx->loc_index = arena_new_array(a, LocEntry *, LOC_BUCKETS);
    cx->verify = true;
    vec_push(a, &cx->sources, (Source){ .path = "" });
    vec_push(a, &cx->locs, (Loc){ 0 });
    return cx;
}

void compiler_free(Compiler *cx)
{
    if (cx)
        arena_free(cx->arena);
}

uint32_t compiler_add_source(Compiler *cx, const char *path, const char *text, size_t size)
{
    Source s = { arena_strndup(cx->arena, path, strlen(path)), text ? arena_strndup(cx->arena, text, size) : NULL, size };
    vec_push(cx->arena, &cx->sources, s);
    return cx->sources.n - 1;
}

static bool same_owner(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

LocId loc_make(Compiler *cx, Loc loc)
{
    uint32_t hash = loc.file * 31 + loc.begin * 2654435761u + loc.end * 40503u + loc.parent * 97u;
    LocEntry **bucket = &((LocEntry **)cx->loc_index)[hash % LOC_BUCKETS];
    for (LocEntry *e = *bucket; e; e = e->next) {
        const Loc *o = &cx->locs.at[e->id];
        if (o->file == loc.file && o->begin == loc.begin && o->end == loc.end && o->parent == loc.parent &&
            same_owner(o->owner, loc.owner))
            return e->id;
    }
    LocEntry *e = arena_make(cx->arena, LocEntry);
    e->id = cx->locs.n;
    e->next = *bucket;
    *bucket = e;
    vec_push(cx->arena, &cx->locs, loc);
    return e->id;
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

void loc_line_column(const Compiler *cx, LocId loc, uint32_t *out_line, uint32_t *out_column)
{
    const Loc *l = &cx->locs.at[loc];
    const char *text = cx->sources.at[l->file].text;
    uint32_t line = 1, column = 1;
    for (uint32_t i = 0; text && i < l->begin && text[i]; i++) {
        if (text[i] == '\n')
            line++, column = 1;
        else if (((unsigned char)text[i] & 0xC0) != 0x80)
            column++;
    }
    *out_line = line;
    *out_column = column;
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

/* Damerau-Levenshtein distance of short names, one row at a time; names beyond 63 bytes are never near. */
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
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
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
