/* csv_shape.c: the rows and columns of delimited text before any value is looked at: how many,
 * what the first lines are (a count line, a header, or data), and which columns make which field.
 */
#include "runtime/host/csv_shape.h"
#include "runtime/host/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *cell_copy(const CsvCell *cell)
{
    return strndup(cell->at, cell->size);
}

CsvKind csv_cell_kind(const Csv *c, const CsvCell *cell, double *out_value, int64_t *out_integer)
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
    if (r->count < 3 || csv_cell_kind(c, &r->cells[0], &v, out_rows) != CSV_INTEGER
        || csv_cell_kind(c, &r->cells[1], &v, out_features) != CSV_INTEGER)
        return false;
    int texts = 0, empties = 0;
    for (int i = 2; i < r->count; i++) {
        empties += r->cells[i].size == 0;
        texts += csv_cell_kind(c, &r->cells[i], &v, &n) == CSV_TEXT;
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
        if (csv_cell_kind(c, &c->reader.cells[i], &v, &n) != CSV_TEXT)
            return false;
    return c->reader.count > 0;
}

static bool any_number(const Csv *c)
{
    double v;
    int64_t n;
    for (int i = 0; i < c->reader.count; i++) {
        CsvKind kind = csv_cell_kind(c, &c->reader.cells[i], &v, &n);
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

static bool find_rows(Csv *c, HostError *out_error)
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

static bool resolve_pick(const Csv *c, const HostColumns *from, CsvPick *pick, HostError *out_error)
{
    int begin = from->begin, end = from->end, n = c->column_count;
    *pick = (CsvPick){ .name = from->field, .range = from->range };
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
            c->picks[i] = (CsvPick){ .name = c->columns[i].name, .first = i, .count = 1 };
        }
        c->pick_count++;
    }
    return true;
}

bool csv_find_shape(Csv *c, HostError *out_error)
{
    return find_rows(c, out_error) && resolve_picks(c, out_error);
}
