/* eval_rest.c: the partial last batch of a program that needs its batch as a number.
 *
 * Such an entry takes batches of one size only (the batch stood in a computed dim, or was sliced).
 * Leaving the rest out would change the metric, so the file is compiled once more with -D B of the
 * rest, and given the tensors of the first before each call. */
#include "driver/eval.h"

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

static Engine *open_rest(Eval *v, int64_t items)
{
    Engine *e = v->engine;
    Arena *a = e->run->arena;
    FrontendOptions fo = e->options;
    FrontendSetting *defines = arena_new_array(a, FrontendSetting, fo.n_defines + 1);
    if (fo.n_defines)
        memcpy(defines, fo.defines, fo.n_defines * sizeof *defines);
    defines[fo.n_defines++] = (FrontendSetting){ "B", arena_printf(a, "%lld", (long long)items) };
    fo.defines = defines;
    Engine *rest = arena_make(a, Engine);
    vec_push(a, &v->rests, (EvalRest){ items, rest });
    return engine_open(e->run, e->path, &fo, rest) ? NULL : rest;
}

Engine *eval_rest(Eval *v, int64_t items)
{
    Engine *rest = NULL;
    for (uint32_t i = 0; i < v->rests.n; i++)
        if (v->rests.at[i].items == items)
            rest = v->rests.at[i].engine;
    if (!rest && !(rest = open_rest(v, items)))
        return NULL;
    if (copy_tensors(v->engine, rest))
        return rest;
    diag_report(v->engine->run->cx, DIAG_E0490, v->engine->unit->recipe.loc,
                "a last batch of %lld: the model has other tensors at that size", (long long)items);
    return NULL;
}

void eval_close_rests(Eval *v)
{
    for (uint32_t i = 0; i < v->rests.n; i++)
        engine_close(v->rests.at[i].engine);
}
