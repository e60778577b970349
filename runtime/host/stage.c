/* stage.c: what stands between a source and training: split, statistics, selection,
 * concatenation. */
#include "runtime/host/internal.h"
#include "runtime/shuffle.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- split ---- */

/* Row counts of the parts: ends are rounded from the sums, so that no row is lost between two. */
static bool split_sizes(const HostData *data, const HostSplit *split, int *out_parts,
                        int64_t sizes[HOST_MAX_PARTS], HostError *out_error)
{
    int64_t n = data->parts[0].view.count, begin = 0;
    double sum = 0;
    if (split->count < 1 || split->count > HOST_MAX_PARTS)
        return host_fail(out_error, "E0611", "split takes one to three fractions, not %d",
                         split->count);
    for (int i = 0; i < split->count; i++) {
        double f = split->fractions[i];
        if (!(f > 0 && f <= 1) || sum + f > 1 + 1e-9)
            return host_fail(out_error, "E0611",
                             "split: fractions are above 0 and sum to at most 1; number %d is %g",
                             i + 1, f);
        sum += f;
        int64_t end = sum > 1 - 1e-9 ? n : llround(sum * (double)n);
        sizes[i] = end - begin;
        begin = end;
    }
    *out_parts = split->count;
    if (sum <= 1 - 1e-9 && split->count < HOST_MAX_PARTS)
        sizes[(*out_parts)++] = n - begin;
    if (*out_parts < 2)
        return host_fail(out_error, "E0611", "split(1) leaves nothing to test on");
    return true;
}

bool host_split(HostData *data, const HostSplit *split, HostError *out_error)
{
    static const char *const names[2][HOST_MAX_PARTS] = { { "train", "test", "" },
                                                          { "train", "val", "test" } };
    if (data->part_count != 1)
        return host_fail(out_error, "E0611", "%s is in parts already: %s, %s",
                         data->tables[0].origin, data->parts[0].name, data->parts[1].name);
    const HostView whole = data->parts[0].view;
    int64_t sizes[HOST_MAX_PARTS] = { 0 }, *rows = NULL;
    int parts;
    if (!split_sizes(data, split, &parts, sizes, out_error))
        return false;
    for (int i = 0; i < parts; i++)
        if (sizes[i] < 1)
            return host_fail(out_error, "E0611",
                             "split: %s has %" PRId64 " rows, which leaves none for %s",
                             whole.table->origin, whole.count, names[parts - 2][i]);
    if (split->seeded) {
        rows = host_table_alloc(&data->tables[0], (size_t)whole.count * sizeof *rows);
        if (!rows)
            return host_fail_memory(out_error, whole.table->origin, whole.count * 8);
        DlrtShuffle shuffle = dlrt_shuffle_new((uint64_t)whole.count, split->seed, 0);
        for (int64_t i = 0; i < whole.count; i++)
            rows[i] = host_view_row(&whole, (int64_t)dlrt_shuffle_at(&shuffle, (uint64_t)i));
    }
    int64_t begin = 0;
    for (int i = 0; i < parts; i++) {
        HostView v = { .table = whole.table, .count = sizes[i] };
        if (rows)
            v.rows = rows + begin;
        else if (whole.rows)
            v.rows = whole.rows + begin;
        else
            v.begin = whole.begin + begin;
        data->parts[i] = (HostPart){ names[parts - 2][i], v };
        begin += sizes[i];
    }
    data->part_count = parts;
    return true;
}

/* ---- standardize ---- */

static bool fit_start(const HostView *view, const char *field, int *out_index, HostStats *out,
                      HostError *out_error)
{
    const char *origin = view->table->origin;
    *out_index = host_table_find(view->table, field);
    if (*out_index < 0)
        return host_fail(out_error, "E0612", "standardize: %s has no field `%.60s`", origin, field);
    const HostField *f = &view->table->fields[*out_index];
    if (f->class_count || f->dtype == DLRT_BOOL)
        return host_fail(out_error, "E0612", "standardize: `%.60s` of %s is a class, not a number",
                         field, origin);
    if (view->count < 1)
        return host_fail(out_error, "E0608", "standardize: %s has no rows", origin);
    out->elements = host_field_elements(f);
    out->mean = calloc((size_t)out->elements + 1, sizeof *out->mean);
    out->scale = calloc((size_t)out->elements + 1, sizeof *out->scale);
    return (out->mean && out->scale) || host_fail_memory(out_error, origin, out->elements * 16);
}

bool host_stats_fit(const HostView *view, const char *field, HostStats *out_stats,
                    HostError *out_error)
{
    int index;
    *out_stats = (HostStats){ 0 };
    if (!fit_start(view, field, &index, out_stats, out_error)) {
        host_stats_free(out_stats);
        return false;
    }
    const HostField *f = &view->table->fields[index];
    int64_t m = out_stats->elements, n = view->count;
    double *mean = out_stats->mean, *scale = out_stats->scale;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0, row = host_view_row(view, i) * m; k < m; k++)
            mean[k] += host_field_value(f, row + k);
    for (int64_t k = 0; k < m; k++)
        mean[k] /= (double)n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0, row = host_view_row(view, i) * m; k < m; k++) {
            double d = host_field_value(f, row + k) - mean[k];
            scale[k] += d * d;
        }
    for (int64_t k = 0; k < m; k++) {
        double deviation = sqrt(scale[k] / (double)n);
        if (!isfinite(mean[k]) || !isfinite(deviation)) {
            host_stats_free(out_stats);
            return host_fail(out_error, "E0606",
                             "standardize: element %" PRId64 " of `%.60s` in %s holds NaN or an "
                             "infinity",
                             k, field, view->table->origin);
        }
        /* A constant column must not become its own rounding noise, magnified. */
        scale[k] = deviation > 1e-12 * fabs(mean[k]) ? 1 / deviation : 1;
    }
    return true;
}

void host_stats_free(HostStats *stats)
{
    free(stats->mean);
    free(stats->scale);
    *stats = (HostStats){ 0 };
}

/* ---- Selection and concatenation ---- */

static bool copy_field(const HostView *view, int index, HostTable *t, HostError *out_error)
{
    const HostField *f = &view->table->fields[index];
    if (!host_table_add_field(t, f->name, f->dtype, f->rank, f->dims, NULL, out_error))
        return false;
    int at = t->field_count - 1;
    host_gather(view, f, 0, view->count, t->fields[at].data);
    return !f->class_count
        || host_table_set_classes(t, at, f->class_names, f->class_count, out_error);
}

bool host_view_copy(const HostView *view, const char *const *names, int name_count,
                    HostTable *out_table, HostError *out_error)
{
    int n = names ? name_count : view->table->field_count;
    bool ok = host_table_new(view->table->origin, view->count, out_table, out_error);
    for (int i = 0; ok && i < n; i++) {
        int index = names ? host_table_find(view->table, names[i]) : i;
        ok = index >= 0 ? copy_field(view, index, out_table, out_error)
                        : host_fail(out_error, "E0612", "%s has no field `%.60s`",
                                    view->table->origin, names[i]);
    }
    if (!ok)
        host_table_free(out_table);
    return ok;
}

/* The joined field's shape, from the named fields of one table; their indices in `out_index`. */
static bool concat_shape(const HostTable *t, const char *const *names, int count, int *out_index,
                         HostField *out_shape, HostError *out_error)
{
    for (int i = 0; i < count; i++) {
        int index = out_index[i] = host_table_find(t, names[i]);
        if (index < 0)
            return host_fail(out_error, "E0612", "%s has no field `%.60s`", t->origin, names[i]);
        HostField f = t->fields[index];
        if (f.rank == 0) {
            f.rank = 1;
            f.dims[0] = 1;
        }
        bool fits = !i || (f.rank == out_shape->rank && f.dtype == out_shape->dtype);
        for (int k = 1; fits && i && k < f.rank; k++)
            fits = f.dims[k] == out_shape->dims[k];
        char a[160], b[160];
        if (!fits)
            return host_fail(out_error, "E0612", "%s: `%.60s` is %s and cannot stand beside %s",
                             t->origin, names[i], host_type_text(a, f.dtype, "N", f.rank, f.dims),
                             host_type_text(b, out_shape->dtype, "N", out_shape->rank,
                                            out_shape->dims));
        if (i == 0)
            *out_shape = f;
        else if (__builtin_add_overflow(out_shape->dims[0], f.dims[0], &out_shape->dims[0]))
            return host_fail(out_error, "E0609", "%s: the joined field is too large", t->origin);
    }
    return true;
}

static bool concat_table(HostTable *t, const char *name, const char *const *names, int count,
                         HostError *out_error)
{
    int *index = calloc((size_t)count, sizeof *index);
    HostField shape;
    bool ok = index ? concat_shape(t, names, count, index, &shape, out_error)
                    : host_fail_memory(out_error, t->origin, count);
    ok = ok && host_table_add_field(t, name, shape.dtype, shape.rank, shape.dims, NULL, out_error);
    if (ok) {
        const HostField *to = &t->fields[t->field_count - 1];
        size_t item = host_field_item_bytes(to), at = 0;
        for (int i = 0; i < count; i++) {
            const HostField *from = &t->fields[index[i]];
            size_t part = host_field_item_bytes(from);
            for (int64_t row = 0; part && row < t->count; row++)
                memcpy((char *)to->data + (size_t)row * item + at,
                       (const char *)from->data + (size_t)row * part, part);
            at += part;
        }
    }
    free(index);
    return ok;
}

bool host_data_concat(HostData *data, const char *name, const char *const *fields, int field_count,
                      HostError *out_error)
{
    if (field_count < 1)
        return host_fail(out_error, "E0612", "concat: no fields");
    for (int i = 0; i < data->table_count; i++)
        if (!concat_table(&data->tables[i], name, fields, field_count, out_error))
            return false;
    return true;
}
