/* csv_text.c: rows and cells by RFC 4180, numbers without regard to the process's locale.
 *
 * The text is walked anew for every pass over the file instead of keeping cells: a cell as a slice
 * costs more memory than its number. Cells point into the text, except quoted ones with doubled
 * quotes, which are decoded into the row's scratch. */
#include "runtime/host/csv_text.h"

#include "runtime/host/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool csv_open(CsvReader *r, const char *origin, const char *text, size_t size, char delimiter,
              HostError *out_error)
{
    *r = (CsvReader){ .origin = origin, .end = text + size, .delimiter = delimiter };
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        text += 3;
    r->text = text;
    csv_rewind(r);
    const char *nul = memchr(text, 0, (size_t)(r->end - text));
    if (nul)
        return host_fail(out_error, "E0603", "%s is no text: byte %zu is NUL", origin,
                         (size_t)(nul - text));
    return true;
}

void csv_close(CsvReader *r)
{
    free(r->cells);
    free(r->scratch);
    r->cells = NULL;
    r->scratch = NULL;
}

void csv_rewind(CsvReader *r)
{
    r->next = r->text;
    r->next_line = 1;
}

static bool is_eol(const CsvReader *r, const char *p)
{
    return p == r->end || *p == '\n' || *p == '\r';
}

static const char *skip_eol(CsvReader *r, const char *p)
{
    if (p < r->end) {
        r->next_line++;
        p += *p == '\r' && p + 1 < r->end && p[1] == '\n' ? 2 : 1;
    }
    return p;
}

static bool push_cell(CsvReader *r, const char *at, size_t size, HostError *out_error)
{
    if (r->count == r->capacity) {
        int capacity = r->capacity ? r->capacity * 2 : 32;
        CsvCell *cells = capacity > 1 << 24 ? NULL
                                            : realloc(r->cells, (size_t)capacity * sizeof *cells);
        if (!cells)
            return host_fail(out_error, "E0609", "%s:%" PRId64 ": too many cells in one row",
                             r->origin, r->line);
        r->cells = cells;
        r->capacity = capacity;
    }
    r->cells[r->count++] = (CsvCell){ at, size };
    return true;
}

/* Cells of this row that were decoded before move along. */
static bool reserve_scratch(CsvReader *r, size_t need, HostError *out_error)
{
    if (need <= r->scratch_size)
        return true;
    char *wider = host_malloc(need * 2);
    if (!wider)
        return host_fail_memory(out_error, r->origin, (int64_t)need);
    for (int i = 0; i < r->count; i++) {
        uintptr_t offset = (uintptr_t)r->cells[i].at - (uintptr_t)r->scratch;
        if (r->scratch && offset < r->scratch_size)
            r->cells[i].at = wider + offset;
    }
    if (r->scratch)
        memcpy(wider, r->scratch, r->scratch_size);
    free(r->scratch);
    r->scratch = wider;
    r->scratch_size = need * 2;
    return true;
}

/* A quoted cell from the byte after its quote. The decoded bytes go to the same offset of the
 * scratch that they have in the row, so that a row never needs more scratch than it has bytes. */
static const char *quoted_cell(CsvReader *r, const char *row, const char *p, HostError *out_error)
{
    const char *start = p;
    bool doubled = false;
    int64_t opened = r->next_line;
    for (;; p++) {
        if (p == r->end) {
            host_fail(out_error, "E0603", "%s:%" PRId64 ": a quote is never closed", r->origin,
                      opened);
            return NULL;
        }
        if (*p == '"' && (p + 1 == r->end || p[1] != '"'))
            break;
        doubled |= *p == '"';
        p += *p == '"';
        r->next_line += *p == '\n' || (*p == '\r' && p[1] != '\n');
    }
    const char *at = start;
    size_t size = (size_t)(p - start);
    if (doubled) {
        size_t offset = (size_t)(start - row);
        if (!reserve_scratch(r, offset + size + 1, out_error))
            return NULL;
        char *out = r->scratch + offset;
        at = out;
        for (const char *q = start; q < p; q++) {
            *out++ = *q;
            q += *q == '"';
        }
        size = (size_t)(out - at);
        *out = 0;
    }
    p++;
    while (p < r->end && *p == ' ' && r->delimiter != ' ')
        p++;
    if (!is_eol(r, p) && *p != r->delimiter) {
        host_fail(out_error, "E0603", "%s:%" PRId64 ": text after a closing quote", r->origin,
                  r->next_line);
        return NULL;
    }
    return push_cell(r, at, size, out_error) ? p : NULL;
}

static const char *plain_cell(CsvReader *r, const char *p, HostError *out_error)
{
    const char *start = p;
    while (!is_eol(r, p) && *p != r->delimiter)
        p++;
    const char *stop = p;
    while (start < stop && (*start == ' ' || *start == '\t'))
        start++;
    while (start < stop && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    return push_cell(r, start, (size_t)(stop - start), out_error) ? p : NULL;
}

bool csv_row(CsvReader *r, bool *out_more, HostError *out_error)
{
    const char *p = r->next;
    while (p < r->end && is_eol(r, p))
        p = skip_eol(r, p);
    r->line = r->next_line;
    r->count = 0;
    *out_more = p < r->end;
    if (!*out_more)
        return true;
    const char *row = p;
    for (;;) {
        p = *p == '"' ? quoted_cell(r, row, p + 1, out_error) : plain_cell(r, p, out_error);
        if (!p)
            return false;
        if (is_eol(r, p))
            break;
        p++; /* Past the delimiter; the text's NUL makes *p valid when this was its last byte. */
    }
    r->next = skip_eol(r, p);
    return true;
}

static bool is_missing(const CsvCell *c)
{
    static const char *const words[] = { "?", "na", "n/a", "nan", "null" };
    if (!c->size)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == c->size && !strncasecmp(words[i], c->at, c->size))
            return true;
    return false;
}

typedef struct {
    uint64_t digits; /* the first 18 significant ones */
    int significant, exponent;
    bool negative, fraction, dropped;
} Decimal;

static bool scan_digits(const char **p, const char *end, bool after_point, Decimal *d)
{
    const char *start = *p;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        if (d->significant || **p != '0') {
            if (d->significant < 18)
                d->digits = d->digits * 10 + (uint64_t)(**p - '0');
            else
                d->dropped = true;
            d->significant++;
        }
        if (after_point && d->exponent > -100000)
            d->exponent--;
    }
    return *p > start;
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit before or after the point. */
static bool scan_decimal(const CsvCell *c, Decimal *d)
{
    const char *p = c->at, *end = c->at + c->size;
    *d = (Decimal){ 0 };
    if (p < end && (*p == '+' || *p == '-'))
        d->negative = *p++ == '-';
    bool any = scan_digits(&p, end, false, d);
    if (p < end && *p == '.') {
        p++;
        d->fraction = true;
        any |= scan_digits(&p, end, true, d);
    }
    if (!any)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        d->fraction = true;
        bool negative = ++p < end && *p == '-';
        p += p < end && (*p == '+' || *p == '-');
        int e = 0;
        if (p == end)
            return false;
        for (; p < end && *p >= '0' && *p <= '9'; p++)
            e = e < 100000 ? e * 10 + (*p - '0') : e;
        d->exponent += negative ? -e : e;
    }
    return p == end;
}

CsvKind csv_kind(const CsvCell *cell, locale_t c_locale, double *out_value, int64_t *out_integer)
{
    static const double tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    Decimal d;
    if (is_missing(cell))
        return CSV_MISSING;
    if (!scan_decimal(cell, &d))
        return CSV_TEXT;
    if (!d.fraction && !d.dropped) {
        *out_integer = d.negative ? -(int64_t)d.digits : (int64_t)d.digits;
        *out_value = (double)*out_integer;
        return CSV_INTEGER;
    }
    /* Both factors are exact, so the one rounding is right (Clinger 1990); else the C library. */
    if (!d.dropped && d.digits <= (uint64_t)1 << 53 && d.exponent >= -22 && d.exponent <= 22) {
        double v = (double)d.digits;
        v = d.exponent < 0 ? v / tens[-d.exponent] : v * tens[d.exponent];
        *out_value = d.negative ? -v : v;
    } else {
        *out_value = strtod_l(cell->at, NULL, c_locale);
    }
    return CSV_NUMBER;
}
