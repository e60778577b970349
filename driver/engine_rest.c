/* engine_rest.c: the model once more, for a batch of another size.
 *
 * An entry that needs its batch as a number (it stood in a computed dim, or the batch was sliced)
 * takes batches of one size only. Leaving a partial last batch out would change a metric, and so
 * the file is compiled once more with -D B of the rest, and given the tensors of the first before
 * each call. */
#include "driver/engine.h"

#include <stdlib.h>
#include <string.h>

static bool copy_tensors(const Engine *from, Engine *to)
{
    bool ok = from->model->tensor_count == to->model->tensor_count;
    for (uint32_t i = 0; ok && i < from->model->tensor_count; i++) {
        const DlrtTensor *t = &from->model->tensors[i];
        size_t n = dlrt_dtype_size(t->dtype);
        for (int d = 0; d < t->rank; d++)
            n *= (size_t)t->dims[d];
        void *room = malloc(n + 1);
        ok = room && !dlrt_read_raw(from->cx, t->name, room, n) &&
             !dlrt_write_raw(to->cx, t->name, room, n);
        free(room);
    }
    to->cx->clock = from->cx->clock;
    to->cx->calls = from->cx->calls;
    return ok;
}

static Engine *open_rest(Engine *e, int64_t items, LocId loc)
{
    Arena *a = e->run->arena;
    FrontendOptions fo = e->options;
    if (!e->unit) {
        diag_report(e->run->cx, DIAG_E0490, loc,
                    "%s takes batches of one size only, not of %lld: build it with -D B=%lld",
                    e->path, (long long)items, (long long)items);
        return NULL;
    }
    FrontendSetting *defines = arena_new_array(a, FrontendSetting, fo.n_defines + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < fo.n_defines; i++)
        if (strcmp(fo.defines[i].name, "B"))
            defines[n++] = fo.defines[i];
    fo.n_defines = n;
    defines[fo.n_defines++] = (FrontendSetting){ "B", arena_printf(a, "%lld", (long long)items) };
    fo.defines = defines;
    Engine *rest = arena_make(a, Engine);
    vec_push(a, &e->rests, (EngineRest){ items, rest });
    return engine_open(e->run, e->path, &fo, rest) ? NULL : rest;
}

Engine *engine_rest(Engine *e, int64_t items, LocId loc)
{
    Engine *rest = NULL;
    for (uint32_t i = 0; i < e->rests.n; i++)
        if (e->rests.at[i].items == items)
            rest = e->rests.at[i].engine;
    if (!rest && !(rest = open_rest(e, items, loc)))
        return NULL;
    if (copy_tensors(e, rest))
        return rest;
    diag_report(e->run->cx, DIAG_E0490, loc,
                "a batch of %lld: the model has other tensors at that size", (long long)items);
    return NULL;
}
