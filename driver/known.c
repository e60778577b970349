/* known.c: see known.h. What cannot be read here is reported later, where it is read again to be
 * used. */
#include "driver/known.h"

#include "driver/examples.h"
#include "runtime/host/files.h"

#include <stdlib.h>
#include <string.h>

static bool keep(Engine *e, const char *name, const HostNpy *x)
{
    FrontendValue v = { .dtype = (Dtype)x->dtype, .rank = (uint32_t)x->rank };
    size_t n = 1, bytes;
    if (x->rank > MAX_RANK)
        return false;
    for (int i = 0; i < x->rank; i++) {
        v.dim[i] = x->dims[i];
        if (__builtin_mul_overflow(n, (size_t)x->dims[i], &n))
            return false;
    }
    if (__builtin_mul_overflow(n, dlrt_dtype_size((DlrtDtype)x->dtype), &bytes))
        return false;
    void *own = arena_alloc(e->run->arena, bytes + 1);
    memcpy(own, x->data, bytes);
    v.data = own;
    vec_push(e->run->arena, &e->known, (EngineKnown){ name, v });
    return true;
}

static bool read_npz(Engine *e, const char *path, const char *name)
{
    HostNpy *arrays;
    HostError error;
    int n;
    bool found = false;
    if (!host_npz_read(path, &arrays, &n, &error))
        return false;
    for (int i = 0; i < n && !found; i++)
        if (!strcmp(arrays[i].name, name))
            found = keep(e, name, &arrays[i]);
    host_npz_free(arrays, n);
    return found;
}

static bool read_given(Engine *e, const char *path, const char *name)
{
    HostNpy x = { 0 };
    HostError error;
    if (ends_with(path, ".npz"))
        return read_npz(e, path, name);
    bool ok = ends_with(path, ".pb")    ? read_tensor_file(e, path, &x)
              : ends_with(path, ".npy") ? host_npy_read(path, &x, &error)
                                        : false;
    ok = ok && keep(e, name, &x);
    host_npy_free(&x);
    return ok;
}

static bool find(Engine *e, const char *name, FrontendValue *out)
{
    for (uint32_t i = 0; i < e->known.n; i++)
        if (!strcmp(e->known.at[i].name, name)) {
            if (out)
                *out = e->known.at[i].value;
            return true;
        }
    return false;
}

bool known_value(void *engine, const char *input, FrontendValue *out_value)
{
    Engine *e = engine;
    const Options *o = &e->run->options;
    if (find(e, input, out_value))
        return true;
    for (uint32_t k = 0; k < o->given[OPT_INPUT].n; k++) {
        const OptionValue *g = &o->given[OPT_INPUT].at[k];
        const char *path = g->name ? g->value : g->text;
        if (g->name ? strcmp(g->name, input) != 0
                    : o->given[OPT_INPUT].n > 1 && !ends_with(path, ".npz"))
            continue;
        if (read_given(e, path, arena_strndup(e->run->arena, input, strlen(input))))
            return find(e, input, out_value);
    }
    return false;
}
