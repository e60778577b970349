/* known.c: see known.h. Files that say no more than the model does (pictures, IDX) are left for
 * later; one that cannot be read is reported, since what it would have told may be missing. */
#include "driver/known.h"

#include "driver/examples.h"

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

static bool read_given(Engine *e, const char *path, const char *name)
{
    HostNpy x = { 0 };
    bool ok = ends_with(path, ".npz") ? read_npz_array(e, path, name, &x)
                                      : read_array_file(e, path, &x);
    if (ok && !keep(e, name, &x))
        diag_report(e->run->cx, DIAG_E0609, 0, "%s: too many dims, or elements", path);
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
    if (find(e, input, out_value))
        return true;
    const char *path = given_file(e->run, input, e->n_inputs);
    if (!path || !(ends_with(path, ".npy") || ends_with(path, ".npz") || ends_with(path, ".pb")))
        return false;
    return read_given(e, path, arena_strndup(e->run->arena, input, strlen(input))) &&
           find(e, input, out_value);
}

bool known_inputs(void *engine, const char *const *names, uint32_t n)
{
    Engine *e = engine;
    const char *entries = option_value(&e->run->options, OPT_ENTRIES, "");
    e->n_inputs = n;
    if (strstr(entries, "vjp:")) /* which has an input more: d_RESULT */
        return true;
    return given_names(e->run, e->path, names, n);
}
