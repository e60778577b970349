/* table.c: tables of examples, who owns their memory, views of their rows, and errors.
 *
 * A table keeps a list of what was allocated for it, so that readers can give it arrays as they
 * come and nothing has to be freed piece by piece. */
#include "runtime/dlrt.h"
#include "runtime/host/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct HostBlock {
    HostBlock *next;
    void *data;
};

bool host_fail(HostError *out_error, const char *code, const char *format, ...)
{
    out_error->exit = strcmp(code, "E0613") ? 3 : 4;
    snprintf(out_error->code, sizeof out_error->code, "%s", code);
    va_list args;
    va_start(args, format);
    vsnprintf(out_error->text, sizeof out_error->text, format, args);
    va_end(args);
    for (unsigned char *p = (unsigned char *)out_error->text; *p; p++)
        if (*p < 32 || *p == 127)
            *p = '?';
    return false;
}

bool host_fail_memory(HostError *out_error, const char *origin, int64_t bytes)
{
    return host_fail(out_error, "E0609", "%s: no memory for %" PRId64 " bytes", origin, bytes);
}

void *host_malloc(size_t size)
{
    return size > PTRDIFF_MAX ? NULL : malloc(size ? size : 1);
}

const char *host_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

size_t host_utf8_length(const char *s, size_t n)
{
    const uint8_t *u = (const uint8_t *)s;
    static const struct {
        uint8_t first, last, low, high; /* of the first byte; of the second */
        size_t length;
    } rows[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    if (u[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (u[0] < rows[i].first || u[0] > rows[i].last)
            continue;
        if (rows[i].length > n || u[1] < rows[i].low || u[1] > rows[i].high)
            return 0;
        for (size_t k = 2; k < rows[i].length; k++)
            if ((u[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].length;
    }
    return 0;
}

bool host_bytes_of(int rank, const int64_t *dims, size_t size, int64_t *out_bytes)
{
    int64_t bytes = (int64_t)size;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        empty |= dims[i] == 0;
        if (dims[i] < 0)
            return false;
    }
    /* A zero dimension must not hide an overflow of the others: strides are made of those. */
    for (int i = 0; i < rank; i++)
        if (dims[i] && (!host_mul(bytes, dims[i], &bytes) || bytes > INT64_MAX / 2))
            return false;
    *out_bytes = empty ? 0 : bytes;
    return true;
}

char *host_type_text(char out[160], DlrtDtype dtype, const char *lead, int rank,
                     const int64_t *dims)
{
    size_t n = (size_t)snprintf(out, 160, "%s", dlrt_dtype_name(dtype));
    if (!lead && !rank)
        return out;
    n += (size_t)snprintf(out + n, 160 - n, "[%s", lead ? lead : "");
    for (int i = 0; i < rank && n < 130; i++)
        n += (size_t)snprintf(out + n, 160 - n, "%s%" PRId64, i || lead ? ", " : "", dims[i]);
    snprintf(out + n, 160 - n, "]");
    return out;
}

bool host_table_new(const char *origin, int64_t count, HostTable *out_table, HostError *out_error)
{
    *out_table = (HostTable){ .count = count };
    if (count < 0)
        return host_fail(out_error, "E0609", "%s: a table of %" PRId64 " rows", origin, count);
    size_t size = strlen(origin) + 1;
    out_table->origin = host_table_alloc(out_table, size);
    if (!out_table->origin)
        return host_fail_memory(out_error, origin, (int64_t)size);
    memcpy(out_table->origin, origin, size);
    return true;
}

void host_table_free(HostTable *table)
{
    for (HostBlock *b = table->blocks, *next; b; b = next) {
        next = b->next;
        free(b->data);
        free(b);
    }
    free(table->fields);
    *table = (HostTable){ 0 };
}

static bool table_keep(HostTable *table, void *data)
{
    HostBlock *b = malloc(sizeof *b);
    if (!b)
        return false;
    *b = (HostBlock){ table->blocks, data };
    table->blocks = b;
    return true;
}

void *host_table_alloc(HostTable *table, size_t size)
{
    void *p = NULL;
    if (size > PTRDIFF_MAX || posix_memalign(&p, 64, size ? size : 1))
        return NULL;
    if (!table_keep(table, p)) {
        free(p);
        return NULL;
    }
    return memset(p, 0, size);
}

bool host_table_adopt(HostTable *table, void *data, HostError *out_error)
{
    if (table_keep(table, data))
        return true;
    free(data);
    return host_fail_memory(out_error, table->origin, (int64_t)sizeof(HostBlock));
}

static char *table_copy_string(HostTable *table, const char *s)
{
    size_t size = strlen(s) + 1;
    char *p = host_table_alloc(table, size);
    return p ? memcpy(p, s, size) : NULL;
}

bool host_table_add_field(HostTable *table, const char *name, DlrtDtype dtype, int rank,
                          const int64_t *dims, void *data, HostError *out_error)
{
    if (!*name || host_table_find(table, name) >= 0)
        return host_fail(out_error, "E0612", "%s: %s field `%.100s`", table->origin,
                         *name ? "two definitions of" : "no name for", name);
    if (rank < 0 || rank > HOST_MAX_RANK)
        return host_fail(out_error, "E0612",
                         "%s: field `%.100s` has %d axes per example; at most %d",
                         table->origin, name, rank, HOST_MAX_RANK);
    int64_t item, bytes;
    if (!host_bytes_of(rank, dims, dlrt_dtype_size(dtype), &item)
        || !host_mul(item, table->count, &bytes))
        return host_fail(out_error, "E0609", "%s: field `%.100s` is too large", table->origin,
                         name);
    HostField field = { .dtype = dtype, .rank = rank, .data = data };
    if (rank)
        memcpy(field.dims, dims, (size_t)rank * sizeof *dims);
    HostField *fields = realloc(table->fields, ((size_t)table->field_count + 1) * sizeof *fields);
    if (!fields)
        return host_fail_memory(out_error, table->origin, (int64_t)sizeof *fields);
    table->fields = fields;
    field.name = table_copy_string(table, name);
    if (field.name && !data && bytes)
        field.data = host_table_alloc(table, (size_t)bytes);
    if (!field.name || (!field.data && bytes))
        return host_fail_memory(out_error, table->origin, bytes);
    fields[table->field_count++] = field;
    return true;
}

bool host_table_set_classes(HostTable *table, int index, const char *const *names, int count,
                            HostError *out_error)
{
    HostField *field = &table->fields[index];
    if (host_dtype_is_float(field->dtype))
        return host_fail(out_error, "E0612",
                         "%s: field `%s` is no integer, so it cannot be a class",
                         table->origin, field->name);
    int64_t elements = host_field_elements(field);
    for (int64_t i = 0; i < table->count * elements; i++) {
        double v = host_field_value(field, i);
        if (v < 0 || v >= count)
            return host_fail(out_error, "E0610",
                             "%s: label %.0f of row %" PRId64 " in `%s`, but there are %d classes",
                             table->origin, v, i / elements, field->name, count);
    }
    const char **copies = host_table_alloc(table, (size_t)count * sizeof *copies);
    for (int i = 0; copies && i < count; i++)
        if (!(copies[i] = table_copy_string(table, names[i])))
            copies = NULL;
    if (!copies)
        return host_fail_memory(out_error, table->origin, count);
    field->class_names = copies;
    field->class_count = count;
    return true;
}

int host_table_find(const HostTable *table, const char *name)
{
    for (int i = 0; i < table->field_count; i++)
        if (!strcmp(table->fields[i].name, name))
            return i;
    return -1;
}

int64_t host_field_elements(const HostField *field)
{
    int64_t n = 1;
    for (int i = 0; i < field->rank; i++)
        n *= field->dims[i];
    return n;
}

size_t host_field_item_bytes(const HostField *field)
{
    return (size_t)host_field_elements(field) * dlrt_dtype_size(field->dtype);
}

double host_field_value(const HostField *field, int64_t i)
{
    return host_value_at(field->dtype, field->data, i);
}

HostView host_view_all(const HostTable *table)
{
    return (HostView){ .table = table, .count = table->count };
}

int64_t host_view_row(const HostView *view, int64_t i)
{
    return view->rows ? view->rows[i] : view->begin + i;
}

void host_gather(const HostView *view, const HostField *field, int64_t from, int64_t count,
                 void *target)
{
    size_t item = host_field_item_bytes(field);
    if (!item || !count)
        return;
    const char *data = field->data;
    if (!view->rows) {
        memcpy(target, data + (size_t)(view->begin + from) * item, (size_t)count * item);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        memcpy((char *)target + (size_t)i * item, data + (size_t)view->rows[from + i] * item, item);
}

bool host_data_from_table(HostTable *table, HostData *out_data, HostError *out_error)
{
    *out_data = (HostData){ .table_count = 1, .part_count = 1 };
    out_data->tables = malloc(sizeof *out_data->tables);
    if (!out_data->tables) {
        host_fail_memory(out_error, table->origin, (int64_t)sizeof *out_data->tables);
        host_table_free(table);
        *out_data = (HostData){ 0 };
        return false;
    }
    out_data->tables[0] = *table;
    *table = (HostTable){ 0 };
    out_data->parts[0] = (HostPart){ "all", host_view_all(out_data->tables) };
    return true;
}

void host_data_free(HostData *data)
{
    for (int i = 0; i < data->table_count; i++)
        host_table_free(&data->tables[i]);
    free(data->tables);
    *data = (HostData){ 0 };
}

const HostView *host_data_part(const HostData *data, const char *name)
{
    for (int i = 0; i < data->part_count; i++)
        if (!strcmp(data->parts[i].name, name))
            return &data->parts[i].view;
    return NULL;
}

bool host_data_set_classes(HostData *data, const char *field, const char *const *names, int count,
                           HostError *out_error)
{
    for (int i = 0; i < data->table_count; i++) {
        HostTable *t = &data->tables[i];
        int index = host_table_find(t, field);
        if (index < 0)
            return host_fail(out_error, "E0612", "%s has no field `%.60s`", t->origin, field);
        if (!host_table_set_classes(t, index, names, count, out_error))
            return false;
    }
    return true;
}
