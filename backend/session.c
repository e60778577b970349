/* session.c: objects and tables of a Unit, linked in memory. The same objects that ahead-of-time
 * compilation links into a library, hence the same bits. */
#include "backend/session.h"

#include "backend/jit.h"
#include "backend/tiny.h"

#include <stdlib.h>

struct Session {
    Compiled compiled;
    ModelTables *tables;
    TinyEntries tiny;
    Jit *jit;
};

static bool link_kernels(Session *s, Unit *u)
{
    Compiled *c = &s->compiled;
    uint32_t n = c->n + s->tiny.n;
    JitObject *objects = arena_new_array(u->arena, JitObject, n);
    const char **symbols = arena_new_array(u->arena, const char *, n);
    void **addresses = arena_new_array(u->arena, void *, n);
    char error[200];
    for (uint32_t i = 0; i < n; i++) {
        const KernelObject *o = i < c->n ? &c->objects[i] : &s->tiny.at[i - c->n].object;
        objects[i] = (JitObject){ o->bytes, o->size };
        symbols[i] = i < c->n ? c->symbols[i] : s->tiny.at[i - c->n].symbol;
    }
    s->jit = jit_link(objects, n, symbols, n, addresses, error);
    if (!s->jit) {
        diag_report(u->cx, DIAG_E0803, 0, "the compiled model could not be linked in memory: %s",
                    error);
        return false;
    }
    for (uint32_t i = 0; i < c->n; i++)
        s->tables->kernels[i] = (DlrtKernel *)(uintptr_t)addresses[i];
    for (uint32_t i = 0; i < s->tiny.n; i++)
        s->tables->entries[s->tiny.at[i].entry].tiny = (DlrtTiny *)(uintptr_t)addresses[c->n + i];
    return true;
}

Session *session_new(Unit *u, const Target *t, DlrtCall *(*call_address)(const char *symbol))
{
    Session *s = arena_make(u->arena, Session);
    if (!program_compile(u->program, t, &s->compiled))
        return NULL;
    s->tables = model_tables(u->program, &s->compiled, t);
    s->tiny = tiny_compile(u->program, &s->compiled, s->tables, t);
    if (!link_kernels(s, u)) {
        tiny_free(&s->tiny);
        compiled_free(&s->compiled);
        return NULL;
    }
    for (uint32_t i = 0; i < s->tables->model.call_count; i++)
        s->tables->calls[i] = call_address(s->tables->call_symbols[i]);
    return s;
}

void session_free(Session *s)
{
    if (!s)
        return;
    jit_free(s->jit);
    tiny_free(&s->tiny);
    compiled_free(&s->compiled);
}

const DlrtModel *session_model(const Session *s)
{
    return &s->tables->model;
}

void session_report(const Session *s, double *out_seconds, uint32_t *out_kernels,
                    uint32_t *out_cached)
{
    *out_seconds = s->compiled.seconds;
    *out_kernels = s->compiled.n;
    *out_cached = s->compiled.cached;
}
