/* host.h: data for the tools: tables of examples, where they come from, and how they are split.
 *
 * A HostTable is `count` examples in named fields; a field is one contiguous row-major array
 * whose leading dimension is the example. A HostView picks rows of a table without copying. A
 * HostData is what a `data` declaration yields: one part `all`, or `train` `test`, or `train`
 * `val` `test`, each a view. Batches out of a view: loader.h. Arrays and images in files:
 * files.h. Progress, events, the lock: progress.h.
 *
 * Every function that can fail returns false and fills a HostError; nothing here prints or ends
 * the process. Input is never trusted: sizes go through checked arithmetic, and memory is asked
 * for only after a size was found plausible. */
#ifndef DLCC_RUNTIME_HOST_HOST_H
#define DLCC_RUNTIME_HOST_HOST_H
#include "runtime/plan.h"

#include <stdbool.h>

enum { HOST_MAX_RANK = DLRT_MAX_RANK, HOST_MAX_PARTS = 3 };

/* The dtype of such a name ("f32"). */
bool host_dtype_parse(const char *name, DlrtDtype *out_dtype);
bool host_dtype_is_float(DlrtDtype dtype);

/* One failure: the process's exit code (3 data, 4 unsupported), a code, one line without newline.
 *
 *   E0601 not found           E0602 cannot be read       E0603 damaged, or not of its format
 *   E0604 does not fit        E0605 text for a number    E0606 missing value
 *   E0607 columns             E0608 no rows              E0609 too large
 *   E0610 value out of range  E0611 split                E0612 fields and arguments
 *   E0613 not supported       E0901 folder in use        E0902 cannot be written */
typedef struct {
    int exit;
    char code[8];
    char text[600];
} HostError;

/* Fills `out_error` and returns false, so that `return host_fail(...)` is how a function fails.
 * Control characters that came with the data are shown as `?`. Exit is 4 for E0613, else 3. */
bool host_fail(HostError *out_error, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef struct {
    const char *name;                /* "x" */
    DlrtDtype dtype;
    int rank;                        /* of one item: 0 for a number, 2 for a gray image */
    int64_t dims[HOST_MAX_RANK];     /* of one item */
    void *data;                      /* count items, row-major; NULL only when that is 0 bytes */
    int class_count;                 /* 0: not a class label, or classes without names */
    const char *const *class_names;  /* class_count names */
} HostField;

typedef struct HostBlock HostBlock;
typedef struct {
    int64_t count;     /* examples */
    HostField *fields;
    int field_count;
    char *origin;      /* what messages call it: "house.csv" */
    HostBlock *blocks; /* everything that goes with the table */
} HostTable;

/* A table without fields. */
bool host_table_new(const char *origin, int64_t count, HostTable *out_table, HostError *out_error);
void host_table_free(HostTable *table);
/* `size` zeroed bytes that live as long as the table, aligned to 64; NULL when memory is out. */
void *host_table_alloc(HostTable *table, size_t size);
/* Gives `data` (from malloc) to the table, which frees it. On failure `data` is freed at once. */
bool host_table_adopt(HostTable *table, void *data, HostError *out_error);
/* Adds a field of zeros (data == NULL) or over `data`, which must outlive the table. Names are
 * copied. Pointers to fields taken before are stale afterwards. */
bool host_table_add_field(HostTable *table, const char *name, DlrtDtype dtype, int rank,
                          const int64_t *dims, void *data,
                          HostError *out_error);
/* Copies the names. Fails when a label is not below `count` or the field is of floats. */
bool host_table_set_classes(HostTable *table, int field, const char *const *names, int count,
                            HostError *out_error);
/* Index of the field, or -1. */
int host_table_find(const HostTable *table, const char *name);
/* Elements and bytes of one item. Fits by construction. */
int64_t host_field_elements(const HostField *field);
size_t host_field_item_bytes(const HostField *field);
/* Element `i` of the field's data as a double (integers beyond 2^53 round). */
double host_field_value(const HostField *field, int64_t i);

/* Rows of a table: rows[0..count) or, when rows is NULL, begin .. begin + count. */
typedef struct {
    const HostTable *table;
    int64_t begin, count;
    const int64_t *rows;  /* belongs to the table */
} HostView;
HostView host_view_all(const HostTable *table);
/* The table's row of the view's i-th example, 0 <= i < count. */
int64_t host_view_row(const HostView *view, int64_t i);

typedef struct {
    const char *name; /* "all", "train", "val", "test" */
    HostView view;
} HostPart;
typedef struct {
    HostTable *tables; /* one; two when the source itself comes in train and test */
    int table_count;
    HostPart parts[HOST_MAX_PARTS];
    int part_count;
} HostData;
/* Takes the table (zeroed afterwards) and makes it the part `all`. */
bool host_data_from_table(HostTable *table, HostData *out_data, HostError *out_error);
void host_data_free(HostData *data);
/* The part, or NULL. */
const HostView *host_data_part(const HostData *data, const char *name);

/* ---- Sources ---- */

/* idx(path): a folder with {train,t10k|test}-{images,labels}-idxN-ubyte[.gz] gives parts train
 * and test; one file gives `all` with field x only, unless `labels` names a second file. x: any
 * IDX dtype and shape; y: the labels. Class names, when `classes` is NULL: those of a known data
 * set of that folder name (dataset.c), else none. */
typedef struct {
    const char *labels;
    const char *const *classes;
    int class_count;
} HostIdxOptions;
bool host_idx_read(const char *path, const HostIdxOptions *options, HostData *out_data,
                   HostError *out_error);

/* The fields that host_idx_read would give, from the files' first bytes: shapes are what the
 * headers say, whether or not the files are whole. Names are constants; there is no data. */
bool host_idx_fields(const char *path, HostField out_fields[2], int *out_count,
                     HostError *out_error);

/* Which columns make a field. COLUMN: a number per example; RANGE: [end - begin] numbers. By
 * index (a negative one counts from the last) or, if `column` is set, by name. `end` is excluded;
 * HOST_TO_LAST is "all the rest". */
enum { HOST_TO_LAST = INT32_MAX };
typedef struct {
    const char *field;
    bool range;
    int begin, end;
    const char *column;       /* COLUMN by name, or the first of a RANGE by names */
    const char *column_last;  /* RANGE: the last one, included */
} HostColumns;

typedef enum { HOST_HEADER_DETECT, HOST_HEADER_YES, HOST_HEADER_NO } HostHeader;
typedef enum { HOST_MISSING_ERROR, HOST_MISSING_NAN, HOST_MISSING_DROP } HostMissing;

/* csv(path, x=cols(0..13), y=col(13)), tsv(...): RFC 4180 quoting, LF or CRLF, UTF-8 with or
 * without BOM, .gz too. Without columns, every column is a field of its own (named by the header,
 * else c0, c1, ...).
 * - Header: a first line without any number, above one with a number. A first line
 *   `rows,features,name,...` (or with only empty cells after the two counts) is a count line when
 *   both counts are right; its names become the classes of the last column.
 * - A column is text if its first cell is neither a number nor empty. Text becomes i32 class
 *   indices; names in byte order, so that the numbering does not depend on the order of rows.
 *   Only a COLUMN can be text; text further down a column of numbers is an error.
 * - Numbers: i64 when every cell of the field is a decimal integer, else f64; parsed without
 *   regard to the locale.
 * - Empty cells, `NA`, `NaN`, `null`, `?` are missing: an error that names line and column, NaN
 *   (the field is f64), or a dropped row. An infinite number is an error always. */
typedef struct {
    char delimiter; /* 0: ',' or '\t' by the suffix */
    HostHeader header;
    HostMissing missing;
    const HostColumns *columns;
    int column_count;
    const char *const *classes; /* for every text or integer COLUMN named y; NULL: from the file */
    int class_count;
} HostCsvOptions;
bool host_csv_read(const char *path, const HostCsvOptions *options, HostData *out_data,
                   HostError *out_error);
/* The same over text in memory; `origin` is for messages. */
bool host_csv_parse(const char *origin, const char *text, size_t size,
                    const HostCsvOptions *options, HostData *out_data,
                    HostError *out_error);

/* table(x=[[..]], y=[..]): dims[0] is the example. i64 when all values are integers up to 2^53,
 * else f64. Text (rank 1) becomes i32 class indices, names in byte order. Everything is copied. */
typedef struct {
    const char *name;
    int rank; /* with the leading one: at least 1 */
    int64_t dims[HOST_MAX_RANK + 1];
    const double *values;
    const char *const *strings; /* not NULL: text instead of values */
} HostArray;
bool host_table_from_arrays(const HostArray *arrays, int count, HostData *out_data,
                            HostError *out_error);

/* rows(n): one field i: i64 = 0 .. n-1. */
bool host_rows(int64_t n, HostData *out_data, HostError *out_error);

/* npy or npz file: one field per array (an npy's field is x); leading dimensions must agree. */
bool host_arrays_read(const char *path, HostData *out_data, HostError *out_error);

/* find("name"): the first of: the folder of the .dl file (`base`, may be NULL), each folder of
 * $DLCC_DATA, ~/.local/share/dlcc, /usr/share/datasets, the known Debian packages; in each `name`
 * itself, then with .csv .csv.gz .tsv .txt .npz .npy. The message of a failure says where it
 * looked and, for a known data set, which Debian package carries it. */
bool host_find(const char *name, const char *base, char *out_path, size_t path_size,
               HostError *out_error);

/* ---- Stages ---- */

/* split(f, ...): one to three fractions in (0, 1], their sum at most 1; a missing last one is the
 * rest. Two parts: train, test; three: train, val, test. Contiguous without a seed, else by the
 * keyed shuffle of runtime/shuffle.h. No part may be empty. */
typedef struct {
    int count;
    double fractions[HOST_MAX_PARTS];
    bool seeded;
    uint64_t seed;
} HostSplit;
bool host_split(HostData *data, const HostSplit *split, HostError *out_error);

/* standardize("x"): mean and 1/deviation per element of an item over the rows of `view` (fit on
 * train). Deviation is of the population (divisor n), two passes in double; where it is 0 or not
 * above rounding (1e-12 of the mean), scale is 1. (x - mean) * scale. */
typedef struct {
    int64_t elements;
    double *mean, *scale; /* [elements], from malloc */
} HostStats;
bool host_stats_fit(const HostView *view, const char *field, HostStats *out_stats,
                    HostError *out_error);
void host_stats_free(HostStats *stats);

/* classes=[...] given by the user: host_table_set_classes on a field of every table. */
bool host_data_set_classes(HostData *data, const char *field, const char *const *names, int count,
                           HostError *out_error);

/* map(x = f(x), ...): for all rows of all tables, in order, at most `chunk` at a time: converts
 * the fields that `inputs` name (see loader.h), calls `fn`, and stores what it computes as
 * fields; one of an existing name takes its place. In `outputs` only name, dtype, rank, dims
 * count. Parts stay. */
struct HostBinding;
typedef bool (*HostRowsFn)(void *user, int64_t count, const int64_t *rows, void *const *inputs,
                           void *const *outputs, HostError *out_error);
bool host_data_map(HostData *data, const struct HostBinding *inputs, int input_count,
                   const HostField *outputs, int output_count, int64_t chunk, HostRowsFn fn,
                   void *user, HostError *out_error);

/* Copies rows of `view`: a table of its own with the fields named (all if `names` is NULL), in
 * that order. */
bool host_view_copy(const HostView *view, const char *const *names, int name_count,
                    HostTable *out_table, HostError *out_error);
/* Adds to every table of `data` the field `name`: the named fields side by side along the items'
 * first axis (scalars count as one element); dtypes must be equal. */
bool host_data_concat(HostData *data, const char *name, const char *const *fields,
                      int field_count, HostError *out_error);

#endif
