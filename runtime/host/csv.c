/* csv.c: delimited text into a table.
 *
 * Four passes, each a straight walk over the rows: shape (csv_shape.c), kinds (which columns are
 * numbers, integers, text), labels (the distinct texts), values. A single pass would have to
 * guess a column's type from its beginning and convert what it has stored when the guess turns
 * out wrong. */
#include "runtime/dlrt.h"
#include "runtime/host/csv_shape.h"
#include "runtime/host/files.h"
#include "runtime/host/internal.h"

#include <inttypes.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CSV_MAX_CLASSES = 1 << 20 };

typedef struct {
    int64_t index;
    char text[];
} Label;

/* ---- Walking the data rows ---- */

/* "house.csv:17: col(3) `rooms`", for messages; returns `out`. */
static const char *place(const Csv *c, int column, char out[300])
{
    const char *name = c->columns[column].name;
    int n = snprintf(out, 300, "%.150s:%" PRId64 ": col(%d)", c->reader.origin, c->reader.line,
                     column);
    if (name)
        snprintf(out + n, 300 - (size_t)n, " `%.60s`", name);
    return out;
}

typedef bool RowFn(Csv *c, void *user, HostError *out_error);
static bool each_row(Csv *c, RowFn *fn, void *user, HostError *out_error)
{
    bool more = true;
    csv_rewind(&c->reader);
    for (int64_t i = 0;; i++) {
        if (!csv_row(&c->reader, &more, out_error))
            return false;
        if (!more)
            return true;
        if (i >= c->skip && !fn(c, user, out_error))
            return false;
    }
}

static bool learn_kind(Csv *c, const CsvPick *pick, int i, HostError *out_error)
{
    CsvColumn *column = &c->columns[i];
    const CsvCell *cell = &c->reader.cells[i];
    char where[300];
    double v;
    int64_t n;
    CsvKind kind = csv_cell_kind(c, cell, &v, &n);
    if (kind == CSV_MISSING) {
        column->missing = true;
        return true;
    }
    if (!column->seen) {
        column->seen = true;
        column->text = kind == CSV_TEXT;
        if (column->text && pick->range)
            return host_fail(out_error, "E0605",
                             "%s: text `%.*s`, but `%.60s` takes several columns of numbers; "
                             "a label is one column",
                             place(c, i, where), (int)(cell->size < 60 ? cell->size : 60), cell->at,
                             pick->name);
    }
    if (column->text)
        return true;
    if (kind == CSV_TEXT)
        return host_fail(out_error, "E0605", "%s: text `%.*s` where a number is needed",
                         place(c, i, where), (int)(cell->size < 60 ? cell->size : 60), cell->at);
    if (kind == CSV_NUMBER && isinf(v))
        return host_fail(out_error, "E0610", "%s: `%.*s` is larger than any f64", place(c, i,
                                                                                        where),
                         (int)(cell->size < 60 ? cell->size : 60), cell->at);
    column->fraction |= kind == CSV_NUMBER;
    return true;
}

static bool learn_row(Csv *c, void *user, HostError *out_error)
{
    (void)user;
    for (int p = 0; p < c->pick_count; p++)
        for (int i = 0; i < c->picks[p].count; i++)
            if (!learn_kind(c, &c->picks[p], c->picks[p].first + i, out_error))
                return false;
    return true;
}

/* ---- Labels ---- */

static int compare_labels(const void *a, const void *b)
{
    return strcmp(((const Label *)a)->text, ((const Label *)b)->text);
}

/* A balanced tree, not a hash table: a hostile file cannot make it slow, and it walks in order. */
static bool collect_labels(Csv *c, void *user, HostError *out_error)
{
    (void)user;
    for (int p = 0; p < c->pick_count; p++) {
        CsvColumn *column = &c->columns[c->picks[p].first];
        const CsvCell *cell = &c->reader.cells[c->picks[p].first];
        if (!column->text || !cell->size)
            continue;
        Label *label = malloc(sizeof *label + cell->size + 1);
        if (!label)
            return host_fail_memory(out_error, c->reader.origin, (int64_t)cell->size);
        memcpy(label->text, cell->at, cell->size);
        label->text[cell->size] = 0;
        label->index = 0;
        Label **node = tsearch(label, &column->labels, compare_labels);
        if (node && *node == label) {
            if (++column->label_count <= CSV_MAX_CLASSES)
                continue;
            return host_fail(out_error, "E0609", "%s: col(%d) has more than %d different texts",
                             c->reader.origin, c->picks[p].first, CSV_MAX_CLASSES);
        }
        free(label);
        if (!node)
            return host_fail_memory(out_error, c->reader.origin, (int64_t)cell->size);
    }
    return true;
}

typedef struct {
    const char **names;
    int count;
} LabelList;

static void number_label(const void *node, VISIT visit, void *closure)
{
    LabelList *list = closure;
    if (visit != postorder && visit != leaf)
        return;
    Label *label = *(Label *const *)node;
    label->index = list->count;
    list->names[list->count++] = label->text;
}

/* The classes of the options are for the column that is field y, under whatever other name too. */
static bool is_target(const Csv *c, const CsvPick *pick)
{
    for (int p = 0; c->options->class_count && p < c->pick_count; p++)
        if (!pick->range && c->picks[p].first == pick->first && !strcmp(c->picks[p].name, "y"))
            return true;
    return false;
}

/* Numbers the labels of a text column and gives their names to the field. */
static bool name_text(Csv *c, const CsvPick *pick, int field, HostError *out_error)
{
    CsvColumn *column = &c->columns[pick->first];
    LabelList list = { .names = calloc((size_t)column->label_count + 1, sizeof *list.names) };
    if (!list.names)
        return host_fail_memory(out_error, c->reader.origin, column->label_count);
    twalk_r(column->labels, number_label, &list);
    bool ok = true;
    if (is_target(c, pick)) {
        for (int i = 0; ok && i < list.count; i++) {
            int k = 0;
            while (k < c->options->class_count && strcmp(c->options->classes[k], list.names[i]))
                k++;
            Label **node = tfind((const char *)list.names[i] - offsetof(Label, text),
                                 &column->labels, compare_labels);
            (*node)->index = k;
            if (k == c->options->class_count)
                ok = host_fail(out_error, "E0610", "%s: `%.60s` in col(%d) is none of the classes",
                               c->reader.origin, list.names[i], pick->first);
        }
        ok = ok && host_table_set_classes(&c->table, field, c->options->classes,
                                          c->options->class_count, out_error);
    } else {
        ok = host_table_set_classes(&c->table, field, list.names, list.count, out_error);
    }
    free(list.names);
    return ok;
}

/* ---- Values ---- */

static DlrtDtype pick_dtype(const Csv *c, const CsvPick *pick)
{
    if (c->columns[pick->first].text)
        return DLRT_I32;
    for (int i = 0; i < pick->count; i++) {
        const CsvColumn *column = &c->columns[pick->first + i];
        bool nan = column->missing && c->options->missing == HOST_MISSING_NAN;
        if (column->fraction || nan || !column->seen)
            return DLRT_F64;
    }
    return DLRT_I64;
}

static bool add_fields(Csv *c, HostError *out_error)
{
    for (int p = 0; p < c->pick_count; p++) {
        const CsvPick *pick = &c->picks[p];
        int64_t dim = pick->count;
        if (!host_table_add_field(&c->table, pick->name, pick_dtype(c, pick), pick->range, &dim,
                                  NULL, out_error))
            return false;
        if (c->columns[pick->first].text && !name_text(c, pick, p, out_error))
            return false;
    }
    return true;
}

/* A cell is missing by its column: a label only when it is empty, since NA is a country. */
static bool is_missing(const Csv *c, int i)
{
    double v;
    int64_t n;
    const CsvCell *cell = &c->reader.cells[i];
    return c->columns[i].text ? !cell->size : csv_cell_kind(c, cell, &v, &n) == CSV_MISSING;
}

/* Looks at the missing cells of the row: drop it, refuse it, or let numbers be NaN. */
static bool judge_row(const Csv *c, bool *out_drop, HostError *out_error)
{
    HostMissing rule = c->options->missing;
    char where[300];
    *out_drop = false;
    for (int p = 0; p < c->pick_count; p++)
        for (int i = c->picks[p].first; i < c->picks[p].first + c->picks[p].count; i++) {
            bool text = c->columns[i].text;
            if (!is_missing(c, i) || (rule == HOST_MISSING_NAN && !text))
                continue;
            if (rule == HOST_MISSING_DROP)
                return *out_drop = true;
            return host_fail(out_error, "E0606", "%s: the %s is missing", place(c, i, where),
                             text ? "label" : "value");
        }
    return true;
}

static int64_t label_index(const CsvColumn *column, const CsvCell *cell, Label *scratch)
{
    memcpy(scratch->text, cell->at, cell->size);
    scratch->text[cell->size] = 0;
    Label *const *node = tfind(scratch, &column->labels, compare_labels);
    return (*node)->index;
}

static bool store_cell(Csv *c, const HostField *field, int i, int64_t at, HostError *out_error)
{
    const CsvColumn *column = &c->columns[i];
    const CsvCell *cell = &c->reader.cells[i];
    if (column->text) {
        Label *scratch = malloc(sizeof *scratch + cell->size + 1);
        if (!scratch)
            return host_fail_memory(out_error, c->reader.origin, (int64_t)cell->size);
        ((int32_t *)field->data)[at] = (int32_t)label_index(column, cell, scratch);
        free(scratch);
        return true;
    }
    double v = NAN;
    int64_t n = 0;
    csv_cell_kind(c, cell, &v, &n);
    if (field->dtype == DLRT_I64)
        ((int64_t *)field->data)[at] = n;
    else
        ((double *)field->data)[at] = v;
    return true;
}

/* user: the number of rows stored so far. */
static bool store_row(Csv *c, void *user, HostError *out_error)
{
    int64_t *row = user;
    bool drop;
    if (!judge_row(c, &drop, out_error) || drop)
        return drop;
    for (int p = 0; p < c->pick_count; p++) {
        const CsvPick *pick = &c->picks[p];
        for (int i = 0; i < pick->count; i++)
            if (!store_cell(c, &c->table.fields[p], pick->first + i, *row * pick->count + i,
                            out_error))
                return false;
    }
    ++*row;
    return true;
}

/* Classes of integer labels: of the options, or of the count line for the last column. */
static bool name_integers(Csv *c, HostError *out_error)
{
    for (int p = 0; p < c->pick_count; p++) {
        const CsvPick *pick = &c->picks[p];
        const HostField *field = &c->table.fields[p];
        if (field->rank || field->dtype != DLRT_I64)
            continue;
        bool last = pick->first == c->column_count - 1;
        if (is_target(c, pick)) {
            if (!host_table_set_classes(&c->table, p, c->options->classes, c->options->class_count,
                                        out_error))
                return false;
        } else if (last && c->class_count
                   && !host_table_set_classes(&c->table, p, (const char *const *)c->classes,
                                              c->class_count, out_error)) {
            return false;
        }
    }
    return true;
}

static bool parse(Csv *c, HostData *out_data, HostError *out_error)
{
    int64_t stored = 0;
    if (!csv_find_shape(c, out_error)
        || !each_row(c, learn_row, NULL, out_error)
        || !each_row(c, collect_labels, NULL, out_error)
        || !host_table_new(c->reader.origin, c->row_count - c->skip, &c->table, out_error)
        || !add_fields(c, out_error) || !each_row(c, store_row, &stored, out_error))
        return false;
    c->table.count = stored;
    if (!stored)
        return host_fail(out_error, "E0608", "%s: every row has a missing value", c->reader.origin);
    return name_integers(c, out_error) && host_data_from_table(&c->table, out_data, out_error);
}

static void csv_free(Csv *c)
{
    for (int i = 0; c->columns && i < c->column_count; i++) {
        free(c->columns[i].name);
        tdestroy(c->columns[i].labels, free);
    }
    for (int i = 0; i < c->class_count; i++)
        free(c->classes[i]);
    free(c->columns);
    free(c->picks);
    free(c->classes);
    csv_close(&c->reader);
    host_table_free(&c->table);
    if (c->locale)
        freelocale(c->locale);
}

bool host_csv_parse(const char *origin, const char *text, size_t size,
                    const HostCsvOptions *options, HostData *out_data, HostError *out_error)
{
    static const HostCsvOptions defaults;
    Csv c = { .options = options ? options : &defaults };
    char delimiter = c.options->delimiter ? c.options->delimiter : ',';
    *out_data = (HostData){ 0 };
    if (!strchr(",\t;| :", delimiter))
        return host_fail(out_error, "E0612", "%s: `%c` cannot separate cells", origin, delimiter);
    c.locale = newlocale(LC_ALL_MASK, "C", NULL);
    bool ok = c.locale ? csv_open(&c.reader, origin, text, size, delimiter, out_error)
                       : host_fail_memory(out_error, origin, 0);
    ok = ok && parse(&c, out_data, out_error);
    csv_free(&c);
    return ok;
}

bool host_csv_read(const char *path, const HostCsvOptions *options, HostData *out_data,
                   HostError *out_error)
{
    HostCsvOptions own = options ? *options : (HostCsvOptions){ 0 };
    char *text;
    size_t size;
    *out_data = (HostData){ 0 };
    if (!host_file_read(path, 0, &text, &size, out_error))
        return false;
    size_t n = strlen(path);
    if (n > 3 && !strcmp(path + n - 3, ".gz"))
        n -= 3;
    if (!own.delimiter)
        own.delimiter = n > 4 && !strncmp(path + n - 4, ".tsv", 4) ? '\t' : ',';
    bool ok = host_csv_parse(path, text, size, &own, out_data, out_error);
    free(text);
    return ok;
}
