/* session.c: objects and tables of a Unit, linked in memory. The same objects that ahead-of-time compilation links into a
 * library, hence the same bits. */
#include "backend/session.h"

#include "backend/jit.h"

#include <stdlib.h>

struct Session {
    Compiled compiled;
    ModelTables *tables;
    Jit *jit;
};

static bool link_kernels(Session *s, Unit *u)
{
    Compiled *c = &s->compiled;
    JitObject *objects = arena_new_array(u->arena, JitObject, c->n);
    void **addresses = arena_new_array(u->arena, void *, c->n);
    char error[200];
    for (uint32_t i = 0; i < c->n; i++)
        objects[i] = (JitObject){ c->objects[i].bytes, c->objects[i].size };
    s->jit = jit_link(objects, c->n, c->symbols, c->n, addresses, error);
    if (!s->jit) {
        diag_report(u->cx, DIAG_E0803, 0, "the compiled model could not be linked in memory: %s", error);
        return false;
    }
    for (uint32_t i = 0; i < c->n; i++)
        s->tables->kernels[i] = (DlrtKernel *)(uintptr_t)addresses[i];
    return true;
}

Session *session_new(Unit *u, const Target *t, DlrtCall *(*call_address)(const char *symbol))
{
    Session *s = arena_make(u->arena, Session);
    if (!program_compile(u->program, t, &s->compiled))
        return NULL;
    s->tables = model_tables(u->program, &s->compiled, t);
    if (!link_kernels(s, u)) {
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
    compiled_free(&s->compiled);
}

const DlrtModel *session_model(const Session *s)
{
    return &s->tables->model;
}

void session_report(const Session *s, double *out_seconds, uint32_t *out_kernels, uint32_t *out_cached)
{
    *out_seconds = s->compiled.seconds;
    *out_kernels = s->compiled.n;
    *out_cached = s->compiled.cached;
}
