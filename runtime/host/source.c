/* source.c: tables from values in the program: table(x=[[..]], ...), rows(n); and from npy and
 * npz files. */
#include "runtime/dlrt.h"
#include "runtime/host/files.h"
#include "runtime/host/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool check_array(const HostArray *a, int64_t count, int64_t *out_values,
                        HostError *out_error)
{
    int64_t bytes;
    if (a->rank < 1 || a->rank > HOST_MAX_RANK + 1)
        return host_fail(out_error, "E0612", "table: `%.60s` needs rows: [[..], ..] or [..]",
                         a->name);
    if (!host_bytes_of(a->rank, a->dims, sizeof(double), &bytes))
        return host_fail(out_error, "E0609", "table: `%.60s` is too large", a->name);
    if (a->dims[0] != count)
        return host_fail(out_error, "E0612",
                         "table: `%.60s` has %" PRId64 " rows, the first field has %" PRId64,
                         a->name, a->dims[0], count);
    *out_values = bytes / (int64_t)sizeof(double);
    return true;
}

static bool whole(const double *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(values[i]) <= 0x1p53) || values[i] != floor(values[i]))
            return false;
    return true;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool add_strings(HostTable *t, const HostArray *a, HostError *out_error)
{
    if (a->rank != 1)
        return host_fail(out_error, "E0612", "table: text in `%.60s` must be [\"..\", ..]",
                         a->name);
    if (!host_table_add_field(t, a->name, DLRT_I32, 0, NULL, NULL, out_error))
        return false;
    const char **names = host_malloc((size_t)t->count * sizeof *names);
    if (!names)
        return host_fail_memory(out_error, "table", t->count);
    memcpy(names, a->strings, (size_t)t->count * sizeof *names);
    qsort(names, (size_t)t->count, sizeof *names, compare_strings);
    int64_t classes = 0;
    for (int64_t i = 0; i < t->count; i++)
        if (!i || strcmp(names[i], names[classes - 1]))
            names[classes++] = names[i];
    int32_t *data = t->fields[t->field_count - 1].data;
    for (int64_t i = 0; i < t->count && classes <= INT32_MAX; i++) {
        const char **found = bsearch(&a->strings[i], names, (size_t)classes, sizeof *names,
                                     compare_strings);
        data[i] = (int32_t)(found - names);
    }
    bool ok = classes <= INT32_MAX
           && host_table_set_classes(t, t->field_count - 1, names, (int)classes, out_error);
    free(names);
    return ok;
}

static bool add_array(HostTable *t, const HostArray *a, HostError *out_error)
{
    int64_t n = 0;
    if (!check_array(a, t->count, &n, out_error))
        return false;
    if (a->strings)
        return add_strings(t, a, out_error);
    bool integers = whole(a->values, n);
    if (!host_table_add_field(t, a->name, integers ? DLRT_I64 : DLRT_F64, a->rank - 1, a->dims + 1,
                              NULL, out_error))
        return false;
    void *data = t->fields[t->field_count - 1].data;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(a->values[i]) || isinf(a->values[i]))
            return host_fail(out_error, "E0606", "table: `%.60s` holds %f", a->name, a->values[i]);
        if (integers)
            ((int64_t *)data)[i] = (int64_t)a->values[i];
        else
            ((double *)data)[i] = a->values[i];
    }
    return true;
}

bool host_table_from_arrays(const HostArray *arrays, int count, HostData *out_data,
                            HostError *out_error)
{
    HostTable t = { 0 };
    *out_data = (HostData){ 0 };
    if (count < 1 || arrays[0].rank < 1 || arrays[0].dims[0] < 1)
        return host_fail(out_error, "E0608", "table: no rows");
    bool ok = host_table_new("table", arrays[0].dims[0], &t, out_error);
    for (int i = 0; ok && i < count; i++)
        ok = add_array(&t, &arrays[i], out_error);
    if (ok)
        return host_data_from_table(&t, out_data, out_error);
    host_table_free(&t);
    return false;
}

bool host_rows(int64_t n, HostData *out_data, HostError *out_error)
{
    HostTable t = { 0 };
    *out_data = (HostData){ 0 };
    if (n < 1)
        return host_fail(out_error, "E0608", "rows(%" PRId64 "): no rows", n);
    if (!host_table_new("rows", n, &t, out_error)
        || !host_table_add_field(&t, "i", DLRT_I64, 0, NULL, NULL, out_error)) {
        host_table_free(&t);
        return false;
    }
    int64_t *data = t.fields[0].data;
    for (int64_t i = 0; i < n; i++)
        data[i] = i;
    return host_data_from_table(&t, out_data, out_error);
}

/* The array's data goes to the table. */
static bool add_npy(HostTable *t, const char *name, HostNpy *a, HostError *out_error)
{
    if (a->rank < 1)
        return host_fail(out_error, "E0603", "%s: `%.60s` is a single number, not rows", t->origin,
                         name);
    if (a->dims[0] != t->count)
        return host_fail(out_error, "E0603",
                         "%s: `%.60s` has %" PRId64 " rows, the first array has %" PRId64,
                         t->origin, name, a->dims[0], t->count);
    void *data = a->data;
    a->data = NULL;
    return host_table_adopt(t, data, out_error)
        && host_table_add_field(t, name, a->dtype, a->rank - 1, a->dims + 1, data, out_error);
}

bool host_arrays_read(const char *path, HostData *out_data, HostError *out_error)
{
    HostTable t = { 0 };
    HostNpy *arrays = NULL, lone = { 0 };
    int count = 0;
    size_t n = strlen(path);
    bool npz = n > 4 && !strcmp(path + n - 4, ".npz");
    *out_data = (HostData){ 0 };
    bool ok = npz ? host_npz_read(path, &arrays, &count, out_error)
                  : host_npy_read(path, &lone, out_error);
    const HostNpy *first = npz ? arrays : &lone;
    if (ok && ((npz && !count) || first->rank < 1 || first->dims[0] < 1))
        ok = host_fail(out_error, "E0608", "%s has no rows", path);
    ok = ok && host_table_new(path, first->dims[0], &t, out_error);
    for (int i = 0; ok && npz && i < count; i++)
        ok = add_npy(&t, arrays[i].name, &arrays[i], out_error);
    if (ok && !npz)
        ok = add_npy(&t, "x", &lone, out_error);
    host_npz_free(arrays, count);
    host_npy_free(&lone);
    if (ok)
        return host_data_from_table(&t, out_data, out_error);
    host_table_free(&t);
    return false;
}
