/* inputs.c: what entries take: sizes, types in words, random values; and which export is meant. */
#include "driver/inputs.h"

#include <math.h>
#include <string.h>

bool value_bytes(const DlrtValue *v, int64_t B, int64_t *out_elements, int64_t *out_bytes)
{
    int64_t n = 1;
    for (int d = 0; d < v->rank; d++) {
        int64_t extent = v->dims[d];
        if (v->batch[d] > 0 && __builtin_mul_overflow(v->batch[d], B, &extent))
            return false;
        if (__builtin_mul_overflow(n, extent, &n))
            return false;
    }
    *out_elements = n;
    return !__builtin_mul_overflow(n, (int64_t)dlrt_dtype_size(v->dtype), out_bytes) &&
           *out_bytes < INT64_C(1) << 62;
}

/* splitmix64: one step of a counter, good enough for test data. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

void value_random(const DlrtValue *v, int64_t elements, uint64_t seed, void *out)
{
    size_t size = dlrt_dtype_size(v->dtype);
    bool is_float = host_dtype_is_float((DlrtDtype)v->dtype);
    uint64_t range = v->bound > 0 ? (uint64_t)v->bound : v->dtype == DLRT_U8 ? 256 : 2;
    for (int64_t i = 0; i < elements; i++) {
        uint64_t bits = mix(seed + (uint64_t)i);
        double number =
            is_float ? ldexp((double)(bits >> 11), -52) - 1 : (double)((bits >> 32) * range >> 32);
        dlrt_convert((char *)out + (size_t)i * size, v->dtype, &number, DLRT_F64, 1);
    }
}

const char *value_text(Engine *e, const DlrtValue *v)
{
    Arena *a = e->run->arena;
    char *text = arena_printf(a, "%s%s", dlrt_dtype_name(v->dtype), v->rank ? "[" : "");
    for (int d = 0; d < v->rank; d++) {
        const char *comma = d ? ", " : "";
        if (v->batch[d] > 0)
            text = v->batch[d] == 1
                       ? arena_printf(a, "%s%sB", text, comma)
                       : arena_printf(a, "%s%s%lldB", text, comma, (long long)v->batch[d]);
        else
            text = arena_printf(a, "%s%s%lld", text, comma, (long long)v->dims[d]);
    }
    return v->rank ? arena_printf(a, "%s]", text) : text;
}

uint32_t export_chosen(Engine *e)
{
    const char *wanted = e->entries, *names[64];
    Compiler *cx = e->run->cx;
    uint32_t found = DLRT_NONE, n = 0;
    char *list = arena_printf(e->run->arena, "%s", "");
    for (uint32_t i = 0; i < e->model->entry_count; i++) {
        if (!engine_is_export(e, i))
            continue;
        const char *name = e->model->entries[i].name;
        if (wanted && !strcmp(wanted, name))
            return i;
        list = arena_printf(e->run->arena, "%s%s`%s`", list, n ? ", " : "", name);
        if (n < 64)
            names[n++] = name;
        found = i;
    }
    if (n == 1 && !wanted)
        return found;
    if (!n) {
        diag_report(cx, DIAG_E0909, 0, "the model %s exports no function: write `export fn`",
                    e->model->name);
    } else if (wanted) {
        const char *near = diag_nearest(wanted, names, n);
        if (near)
            diag_report(cx, DIAG_E0909, 0, "no export `%s`; did you mean `%s`?", wanted, near);
        else
            diag_report(cx, DIAG_E0909, 0, "no export `%s`; there is %s", wanted, list);
    } else {
        uint32_t d = diag_report(cx, DIAG_E0909, 0, "the model %s exports several functions: %s",
                                 e->model->name, list);
        diag_add(cx, d, DIAG_HELP, 0, "choose one: --entries %s", names[0]);
    }
    return DLRT_NONE;
}
