/* csv.c: delimited text into a table.
 *
 * Four passes, each a straight walk over the rows: shape (how many rows and columns, is there a
 * header), kinds (which columns are numbers, integers, text), labels (the distinct texts),
 * values. A single pass would have to guess a column's type from its beginning and convert what
 * it has stored when the guess turns out wrong. */
#include "runtime/dlrt.h"
#include "runtime/host/csv_text.h"
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
    char *name; /* by the header, or NULL */
    bool seen, text, fraction, missing;
    void *labels; /* tsearch tree of Label, for text */
    int label_count;
} Column;

typedef struct {
    int64_t index;
    char text[];
} Label;

typedef struct {
    const char *name;
    bool range;
    int first, count; /* columns */
} Pick;

typedef struct {
    const HostCsvOptions *options;
    CsvReader reader;
    locale_t locale;
    int64_t row_count;   /* with first lines that are no data */
    int skip;            /* first lines that are no data */
    Column *columns;
    int column_count;
    Pick *picks;
    int pick_count;
    char **classes;      /* of the count line, for the last column */
    int class_count;
    HostTable table;
} Csv;

/* ---- Shape ---- */

static char *cell_copy(const CsvCell *cell)
{
    return strndup(cell->at, cell->size);
}

static CsvKind cell_kind(const Csv *c, const CsvCell *cell, double *out_value, int64_t *out_integer)
{
    return csv_kind(cell, c->locale, out_value, out_integer);
}

/* The first row, if it says how many rows and features follow:
 * `150,4,setosa,versicolor,virginica` or `506,13,,,,`. Leaves the counts in out_*; whether they
 * are right shows later. */
static bool maybe_count_line(Csv *c, int64_t *out_rows, int64_t *out_features)
{
    const CsvReader *r = &c->reader;
    double v;
    int64_t n;
    if (r->count < 3 || cell_kind(c, &r->cells[0], &v, out_rows) != CSV_INTEGER
        || cell_kind(c, &r->cells[1], &v, out_features) != CSV_INTEGER)
        return false;
    int texts = 0, empties = 0;
    for (int i = 2; i < r->count; i++) {
        empties += r->cells[i].size == 0;
        texts += cell_kind(c, &r->cells[i], &v, &n) == CSV_TEXT;
    }
    /* One class would be no choice: a single text is a row's label. */
    return (texts > 1 && texts == r->count - 2) || empties == r->count - 2;
}

static bool keep_classes(Csv *c, HostError *out_error)
{
    const CsvReader *r = &c->reader;
    if (!r->cells[2].size)
        return true;
    c->classes = calloc((size_t)r->count, sizeof *c->classes);
    if (!c->classes)
        return host_fail_memory(out_error, r->origin, r->count);
    for (int i = 2; i < r->count; i++)
        if (!(c->classes[c->class_count++] = cell_copy(&r->cells[i])))
            return host_fail_memory(out_error, r->origin, (int64_t)r->cells[i].size);
    return true;
}

/* A row without any number or empty cell. */
static bool all_text(const Csv *c)
{
    double v;
    int64_t n;
    for (int i = 0; i < c->reader.count; i++)
        if (cell_kind(c, &c->reader.cells[i], &v, &n) != CSV_TEXT)
            return false;
    return c->reader.count > 0;
}

static bool any_number(const Csv *c)
{
    double v;
    int64_t n;
    for (int i = 0; i < c->reader.count; i++) {
        CsvKind kind = cell_kind(c, &c->reader.cells[i], &v, &n);
        if (kind == CSV_INTEGER || kind == CSV_NUMBER)
            return true;
    }
    return false;
}

static bool keep_names(Csv *c, HostError *out_error)
{
    const CsvReader *r = &c->reader;
    for (int i = 0; i < r->count; i++)
        if (!(c->columns[i].name = cell_copy(&r->cells[i])))
            return host_fail_memory(out_error, r->origin, (int64_t)r->cells[i].size);
    return true;
}

/* Counts rows; every row after a count line has as many cells as the second (there may be a count
 * line, which no one compares). */
static bool count_rows(Csv *c, bool *out_counted, HostError *out_error)
{
    CsvReader *r = &c->reader;
    int64_t rows = -1, features = -1, first_line = 0;
    bool more, maybe = false;
    int first_count = 0;
    *out_counted = false;
    csv_rewind(r);
    for (c->row_count = 0;; c->row_count++) {
        if (!csv_row(r, &more, out_error))
            return false;
        if (!more)
            break;
        if (c->row_count == 0) {
            maybe = c->options->header == HOST_HEADER_DETECT && maybe_count_line(c, &rows,
                                                                                 &features);
            first_count = r->count;
        }
        if (c->row_count == 0 || (c->row_count == 1 && maybe && features == r->count - 1)) {
            *out_counted = c->row_count == 1;
            c->column_count = r->count;
            first_line = r->line;
        } else if (r->count != c->column_count) {
            return host_fail(out_error, "E0607",
                             "%s:%" PRId64 ": %d cells, but line %" PRId64 " has %d", r->origin,
                             r->line, r->count, first_line, c->column_count);
        }
    }
    bool right = rows == c->row_count - 1 || rows == c->row_count - 2;
    if (*out_counted && !right) {
        *out_counted = false;
        if (first_count != c->column_count)
            return host_fail(out_error, "E0607",
                             "%s: line 1 counts %" PRId64 " rows, but %" PRId64 " follow",
                             r->origin, rows, c->row_count - 1);
    }
    return true;
}

static bool wants_names(const Csv *c)
{
    for (int i = 0; i < c->options->column_count; i++)
        if (c->options->columns[i].column)
            return true;
    return c->options->header == HOST_HEADER_YES;
}

static bool find_shape(Csv *c, HostError *out_error)
{
    CsvReader *r = &c->reader;
    bool counted, more;
    if (!count_rows(c, &counted, out_error))
        return false;
    c->columns = calloc((size_t)c->column_count + 1, sizeof *c->columns);
    if (!c->columns)
        return host_fail_memory(out_error, r->origin, c->column_count);
    int64_t said = 0, features;
    csv_rewind(r);
    if (!csv_row(r, &more, out_error) || !more)
        return more ? false : host_fail(out_error, "E0608", "%s has no rows", r->origin);
    if (counted) {
        maybe_count_line(c, &said, &features);
        if (!keep_classes(c, out_error) || !csv_row(r, &more, out_error))
            return false;
    }
    bool header = counted ? said == c->row_count - 2 : wants_names(c);
    if (!counted && !header && c->options->header == HOST_HEADER_DETECT && all_text(c)) {
        if (!csv_row(r, &more, out_error))
            return false;
        header = more && any_number(c);
        csv_rewind(r);
        if (!csv_row(r, &more, out_error))
            return false;
    }
    c->skip = counted + header;
    if (c->row_count <= c->skip)
        return host_fail(out_error, "E0608", "%s has no rows below its header", r->origin);
    return !header || keep_names(c, out_error);
}

/* ---- Which columns make which field ---- */

static bool column_index(const Csv *c, const char *field, const char *name, int *out_index,
                         HostError *out_error)
{
    for (int i = 0; i < c->column_count; i++)
        if (c->columns[i].name && !strcmp(c->columns[i].name, name)) {
            *out_index = i;
            return true;
        }
    char list[300] = "";
    for (int i = 0, n = 0; i < c->column_count && c->columns[i].name && n < 240; i++)
        n += snprintf(list + n, sizeof list - (size_t)n, "%s%.40s", i ? ", " : "; it has ",
                      c->columns[i].name);
    return host_fail(out_error, "E0607", "%s has no column `%.60s` for field `%.60s`%s",
                     c->reader.origin, name, field, list);
}

static bool resolve_pick(const Csv *c, const HostColumns *from, Pick *pick, HostError *out_error)
{
    int begin = from->begin, end = from->end, n = c->column_count;
    *pick = (Pick){ .name = from->field, .range = from->range };
    if (from->column) {
        if (!column_index(c, from->field, from->column, &begin, out_error))
            return false;
        end = begin;
        if (from->range && from->column_last
            && !column_index(c, from->field, from->column_last, &end, out_error))
            return false;
        end++;
    } else {
        begin += begin < 0 ? n : 0;
        end = !from->range ? begin + 1 : end == HOST_TO_LAST ? n : end < 0 ? end + n : end;
    }
    if (begin < 0 || end > n || begin >= end)
        return host_fail(out_error, "E0607", "%s has columns 0..%d, but field `%.60s` wants %d..%d",
                         c->reader.origin, n, from->field, begin, end);
    pick->first = begin;
    pick->count = end - begin;
    return true;
}

static bool resolve_picks(Csv *c, HostError *out_error)
{
    int n = c->options->column_count ? c->options->column_count : c->column_count;
    c->picks = calloc((size_t)n, sizeof *c->picks);
    if (!c->picks)
        return host_fail_memory(out_error, c->reader.origin, n);
    for (int i = 0; i < n; i++) {
        if (c->options->column_count) {
            if (!resolve_pick(c, &c->options->columns[i], &c->picks[i], out_error))
                return false;
        } else {
            if (!c->columns[i].name && asprintf(&c->columns[i].name, "c%d", i) < 0) {
                c->columns[i].name = NULL;
                return host_fail_memory(out_error, c->reader.origin, n);
            }
            c->picks[i] = (Pick){ .name = c->columns[i].name, .first = i, .count = 1 };
        }
        c->pick_count++;
    }
    return true;
}

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

static bool learn_kind(Csv *c, const Pick *pick, int i, HostError *out_error)
{
    Column *column = &c->columns[i];
    const CsvCell *cell = &c->reader.cells[i];
    char where[300];
    double v;
    int64_t n;
    CsvKind kind = cell_kind(c, cell, &v, &n);
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
        Column *column = &c->columns[c->picks[p].first];
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
static bool is_target(const Csv *c, const Pick *pick)
{
    for (int p = 0; c->options->class_count && p < c->pick_count; p++)
        if (!pick->range && c->picks[p].first == pick->first && !strcmp(c->picks[p].name, "y"))
            return true;
    return false;
}

/* Numbers the labels of a text column and gives their names to the field. */
static bool name_text(Csv *c, const Pick *pick, int field, HostError *out_error)
{
    Column *column = &c->columns[pick->first];
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

static DlrtDtype pick_dtype(const Csv *c, const Pick *pick)
{
    if (c->columns[pick->first].text)
        return DLRT_I32;
    for (int i = 0; i < pick->count; i++) {
        const Column *column = &c->columns[pick->first + i];
        bool nan = column->missing && c->options->missing == HOST_MISSING_NAN;
        if (column->fraction || nan || !column->seen)
            return DLRT_F64;
    }
    return DLRT_I64;
}

static bool add_fields(Csv *c, HostError *out_error)
{
    for (int p = 0; p < c->pick_count; p++) {
        const Pick *pick = &c->picks[p];
        int64_t dim = pick->count;
        if (!host_table_add_field(&c->table, pick->name, pick_dtype(c, pick), pick->range, &dim,
                                  NULL, out_error))
            return false;
        if (c->columns[pick->first].text && !name_text(c, pick, p, out_error))
            return false;
    }
    return true;
}

/* Cells that are missing in the row: -1 if none, else the column. */
static int missing_column(const Csv *c)
{
    double v;
    int64_t n;
    for (int p = 0; p < c->pick_count; p++)
        for (int i = c->picks[p].first; i < c->picks[p].first + c->picks[p].count; i++) {
            const CsvCell *cell = &c->reader.cells[i];
            if (c->columns[i].text ? !cell->size : cell_kind(c, cell, &v, &n) == CSV_MISSING)
                return i;
        }
    return -1;
}

static int64_t label_index(const Column *column, const CsvCell *cell, Label *scratch)
{
    memcpy(scratch->text, cell->at, cell->size);
    scratch->text[cell->size] = 0;
    Label *const *node = tfind(scratch, &column->labels, compare_labels);
    return (*node)->index;
}

static bool store_cell(Csv *c, const HostField *field, int i, int64_t at, HostError *out_error)
{
    const Column *column = &c->columns[i];
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
    cell_kind(c, cell, &v, &n);
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
    int missing = missing_column(c);
    if (missing >= 0) {
        char where[300];
        bool text = c->columns[missing].text;
        if (c->options->missing == HOST_MISSING_DROP)
            return true;
        if (text || c->options->missing == HOST_MISSING_ERROR)
            return host_fail(out_error, "E0606", "%s: the %s is missing", place(c, missing, where),
                             text ? "label" : "value");
    }
    for (int p = 0; p < c->pick_count; p++) {
        const Pick *pick = &c->picks[p];
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
        const Pick *pick = &c->picks[p];
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
    if (!find_shape(c, out_error) || !resolve_picks(c, out_error)
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
