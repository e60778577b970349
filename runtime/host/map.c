/* map.c: fields as inputs of compiled code: what fits, conversion by rows, and new fields
 * computed from old ones. Mapping is done once, for all rows: data that is drawn at random is
 * then the same in every epoch, and statistics can be fitted on what was computed. */
#include "runtime/dlrt.h"
#include "runtime/host/internal.h"
#include "runtime/host/loader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int host_bind(const HostTable *table, const HostBinding *b, HostError *out_error)
{
    int index = host_table_find(table, b->field);
    if (index < 0) {
        host_fail(out_error, "E0612", "%s has no field `%.60s`, which the model wants",
                  table->origin, b->field);
        return -1;
    }
    const HostField *f = &table->fields[index];
    bool same = b->rank == f->rank;
    for (int i = 0; same && i < f->rank; i++)
        same = b->dims[i] == f->dims[i];
    char have[160], want[160];
    if (same && (!host_dtype_is_float(f->dtype) || host_dtype_is_float(b->dtype)))
        return index;
    host_fail(out_error, "E0604", "%s gives %s: %s, but the model wants %s", table->origin, f->name,
              host_type_text(have, f->dtype, "N", f->rank, f->dims),
              host_type_text(want, b->dtype, "B", b->rank, b->dims));
    return -1;
}

bool host_convert_rows(const char *origin, const HostField *field, const int64_t *rows,
                       int64_t count, DlrtDtype dtype, int64_t limit, void *target,
                       HostError *out_error)
{
    int64_t elements = host_field_elements(field);
    size_t from = host_field_item_bytes(field);
    size_t to = (size_t)elements * dlrt_dtype_size((int)dtype);
    for (int64_t i = 0; i < count; i++) {
        HostError e;
        if (host_convert(field->name, field->dtype,
                         (const char *)field->data + (size_t)rows[i] * from, dtype,
                         (char *)target + (size_t)i * to, elements, limit, &e))
            continue;
        return host_fail(out_error, e.code, "%s, row %" PRId64 ": %.300s", origin, rows[i], e.text);
    }
    return true;
}

/* ---- map ---- */

typedef struct {
    HostTable *table;
    const HostBinding *inputs;
    int input_count;
    const HostField *outputs;
    int output_count;
    int64_t chunk;
    HostRowsFn fn;
    void *user;
    /* work */
    int first;         /* index of the first new field */
    int64_t *rows;     /* [chunk] */
    void **in, **out;  /* buffers of inputs; where outputs go */
    int *fields;       /* of the inputs */
} Map;

static bool map_start(Map *m, HostError *out_error)
{
    HostTable *t = m->table;
    int64_t bytes;
    for (int i = 0; i < m->input_count; i++)
        if ((m->fields[i] = host_bind(t, &m->inputs[i], out_error)) < 0)
            return false;
    for (int i = 0; i < m->input_count; i++) {
        const HostField *f = &t->fields[m->fields[i]];
        if (!host_bytes_of(f->rank, f->dims, dlrt_dtype_size((int)m->inputs[i].dtype), &bytes)
            || !host_mul(bytes, m->chunk, &bytes)
            || posix_memalign(&m->in[i], 64, (size_t)bytes + 64))
            return host_fail_memory(out_error, t->origin, m->chunk);
    }
    /* Under a name that no field can have: `x = f(x)` still reads the old x. */
    m->first = t->field_count;
    for (int k = 0; k < m->output_count; k++) {
        const HostField *o = &m->outputs[k];
        char name[32] = { 1, (char)('0' + k), 0 };
        if (!host_table_add_field(t, name, o->dtype, o->rank, o->dims, NULL, out_error))
            return false;
    }
    return true;
}

static bool map_rows(Map *m, HostError *out_error)
{
    HostTable *t = m->table;
    for (int64_t at = 0; at < t->count; at += m->chunk) {
        int64_t n = t->count - at < m->chunk ? t->count - at : m->chunk;
        for (int64_t i = 0; i < n; i++)
            m->rows[i] = at + i;
        for (int i = 0; i < m->input_count; i++)
            if (!host_convert_rows(t->origin, &t->fields[m->fields[i]], m->rows, n,
                                   m->inputs[i].dtype, m->inputs[i].limit, m->in[i], out_error))
                return false;
        for (int k = 0; k < m->output_count; k++) {
            const HostField *f = &t->fields[m->first + k];
            m->out[k] = (char *)f->data + (size_t)at * host_field_item_bytes(f);
        }
        if (!m->fn(m->user, n, m->rows, m->in, m->out, out_error))
            return false;
    }
    return true;
}

/* Gives the new fields their names; each that replaces one takes its place. */
static bool map_finish(Map *m, HostError *out_error)
{
    HostTable *t = m->table;
    for (int k = 0, at = m->first; k < m->output_count; k++) {
        HostField *f = &t->fields[at];
        int old = host_table_find(t, m->outputs[k].name);
        if (old >= 0) {
            f->name = t->fields[old].name;
            t->fields[old] = *f;
            memmove(f, f + 1, (size_t)(t->field_count - at - 1) * sizeof *f);
            t->field_count--;
            continue;
        }
        size_t size = strlen(m->outputs[k].name) + 1;
        char *name = host_table_alloc(t, size);
        if (!name)
            return host_fail_memory(out_error, t->origin, (int64_t)size);
        f->name = memcpy(name, m->outputs[k].name, size);
        at++;
    }
    return true;
}

bool host_data_map(HostData *data, const HostBinding *inputs, int input_count,
                   const HostField *outputs, int output_count, int64_t chunk, HostRowsFn fn,
                   void *user, HostError *out_error)
{
    Map m = { .inputs = inputs, .input_count = input_count, .outputs = outputs,
              .output_count = output_count, .chunk = chunk, .fn = fn, .user = user };
    if (chunk < 1 || input_count < 0 || output_count < 1 || output_count > 64)
        return host_fail(out_error, "E0612", "map: %d fields in chunks of %" PRId64, output_count,
                         chunk);
    for (int k = 0; k < output_count; k++)
        for (int i = 0; i < k; i++)
            if (!strcmp(outputs[i].name, outputs[k].name))
                return host_fail(out_error, "E0612", "map: two definitions of field `%.60s`",
                                 outputs[k].name);
    m.rows = host_malloc(chunk > INT64_MAX / 8 ? SIZE_MAX : (size_t)chunk * sizeof *m.rows);
    m.in = calloc((size_t)input_count + 1, sizeof *m.in);
    m.out = calloc((size_t)output_count, sizeof *m.out);
    m.fields = calloc((size_t)input_count + 1, sizeof *m.fields);
    bool ok = (m.rows && m.in && m.out && m.fields) || host_fail_memory(out_error, "map", chunk);
    for (int i = 0; ok && i < data->table_count; i++) {
        m.table = &data->tables[i];
        ok = map_start(&m, out_error) && map_rows(&m, out_error) && map_finish(&m, out_error);
        for (int k = 0; k < input_count; k++) {
            free(m.in[k]);
            m.in[k] = NULL;
        }
    }
    free(m.rows);
    free(m.in);
    free(m.out);
    free(m.fields);
    return ok;
}
