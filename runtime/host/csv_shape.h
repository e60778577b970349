/* csv_shape.h: one delimited text on its way into a table, and its first step. */
#ifndef DLCC_RUNTIME_HOST_CSV_SHAPE_H
#define DLCC_RUNTIME_HOST_CSV_SHAPE_H
#include "runtime/host/csv_text.h"

typedef struct {
    char *name; /* by the header, or NULL */
    bool seen, text, fraction, missing;
    void *labels; /* for text: a tsearch tree of Label (csv.c) */
    int label_count;
} CsvColumn;

typedef struct {
    const char *name;
    bool range;
    int first, count; /* columns */
} CsvPick;

typedef struct {
    const HostCsvOptions *options;
    CsvReader reader;
    locale_t locale;
    int64_t row_count;   /* with first lines that are no data */
    int skip;            /* first lines that are no data */
    CsvColumn *columns;
    int column_count;
    CsvPick *picks;
    int pick_count;
    char **classes;      /* of the count line, for the last column */
    int class_count;
    HostTable table;
} Csv;

/* What the cell is: see csv_kind. */
CsvKind csv_cell_kind(const Csv *c, const CsvCell *cell, double *out_value, int64_t *out_integer);
/* Counts rows and columns, finds out what the first lines are, and which columns make which field:
 * row_count, skip, columns (names), picks, classes. */
bool csv_find_shape(Csv *c, HostError *out_error);

#endif
