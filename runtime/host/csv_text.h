/* csv_text.h: delimited text as rows of cells, and cells as numbers. */
#ifndef DLCC_RUNTIME_HOST_CSV_TEXT_H
#define DLCC_RUNTIME_HOST_CSV_TEXT_H
#include "runtime/host/host.h"

#include <locale.h>

typedef struct {
    const char *at; /* not ended by NUL */
    size_t size;
} CsvCell;

typedef struct {
    const char *origin, *text, *end;
    char delimiter;
    const char *next; /* of what is not read yet */
    int64_t next_line;
    int64_t line;     /* of the row: the first is 1 */
    CsvCell *cells;   /* of the row */
    int count, capacity;
    char *scratch; /* decoded quoted cells of the row */
    size_t scratch_size;
} CsvReader;

/* `text` has a NUL at text[size]; it must outlive the reader. Skips a BOM. */
bool csv_open(CsvReader *r, const char *origin, const char *text, size_t size, char delimiter,
              HostError *out_error);
void csv_close(CsvReader *r);
/* Back to the first row. */
void csv_rewind(CsvReader *r);
/* The next row into r->cells, skipping empty lines; *out_more is false after the last. Blanks
 * around an unquoted cell are dropped. Cells are valid until the next call. */
bool csv_row(CsvReader *r, bool *out_more, HostError *out_error);

typedef enum { CSV_MISSING, CSV_INTEGER, CSV_NUMBER, CSV_TEXT } CsvKind;
/* What a cell is. INTEGER: fits i64, in *out_integer and *out_value; NUMBER: *out_value (may be
 * infinite). MISSING: empty, ?, and in any case NA, N/A, NaN, null. */
CsvKind csv_kind(const CsvCell *cell, locale_t c_locale, double *out_value, int64_t *out_integer);

#endif
