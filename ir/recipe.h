/* recipe.h: the data pipeline and the training recipe of a Unit, resolved to constants and entry
 * names.
 *
 * The frontend fills it; the driver and the generated interface act on it. Anything computed per
 * item or per step is a graph (an entry), named here. */
#ifndef DLCC_IR_RECIPE_H
#define DLCC_IR_RECIPE_H
#include "ir/graph.h"

/* One column list of a CSV: cols(0..13), col(13), col("name"). */
typedef struct {
    const char *field;
    int64_t first, last; /* half open; first < 0 when by name */
    const char *column;
    bool many; /* cols(..): an item has an axis of columns, also when there is one */
} DataColumns;

/* An in-memory field: table(x=[[1, 2], [3, 4]]). */
typedef struct {
    const char *field;
    uint32_t rank;
    int64_t dims[MAX_RANK]; /* with the leading count */
    const double *values;
    const char *const *strings; /* or text cells */
} DataLiteral;

typedef enum {
    DATA_IDX,   /* path */
    DATA_CSV,   /* path, separator, columns */
    DATA_TABLE, /* literals */
    DATA_ROWS,  /* count: the only field is the index i */
    DATA_SPLIT, /* fractions, seed */
    DATA_STANDARDIZE, /* fields, as glob "x|z" */
    DATA_MAP,   /* entry: a graph per item */
    DATA_CLASSES, /* names */
} DataStageKind;

typedef struct {
    DataStageKind kind;
    LocId loc;
    const char *path;
    bool find; /* path was given as find("...") */
    char separator;
    int64_t count;
    VEC(DataColumns) columns;
    VEC(DataLiteral) literals;
    VEC(double) fractions;
    bool has_seed;
    uint64_t seed;
    const char *fields;
    const char *entry; /* ENTRY_MAP's name */
    VEC(const char *) names;
} DataStage;

typedef struct {
    const char *name; /* "fashion" */
    LocId loc;
    VEC(DataStage) stages;
} DataSource;

/* A view of a source: fashion.train */
typedef struct {
    const char *source; /* NULL: needs no data */
    const char *part;   /* "train", "test", "val", "all" */
} DataView;

/* A metric of the recipe. Its entry gives sums; the metric is a program over their means: see
 * `finish`. */
typedef struct {
    const char *name;
    DataView on;
    const char *entry;      /* ENTRY_EVAL graph with its sums as outputs */
    const char *finish; /* ENTRY_EXPORT graph of scalars: from the combined sums to the value; NULL:
                           sum 0 / weight */
    uint32_t maxima;        /* bit i: sum i is the largest of its batches', and is not divided */
    LocId loc;
} Metric;

typedef struct {
    const char *name;  /* "step" or the update's name */
    const char *entry; /* ENTRY_STEP's name */
    int64_t times;
    const char *schedule; /* ENTRY_SCHEDULE's name, or NULL when lr is inside the step's graph or
                             constant */
} Update;

/* load["policy"] = "sft.safetensors": the tensors of a part, from a file of that part's model. */
typedef struct {
    const char *part, *path;
    LocId loc;
} PartLoad;

typedef struct {
    bool present; /* the file has a train block for this model */
    const char *name;
    DataView on;
    int64_t batch, epochs, steps; /* epochs or steps is -1 when not given */
    uint64_t seed;
    bool shuffle;
    int64_t accumulate;
    const char *params; /* glob, or NULL for all */
    const char *load, *fresh;
    VEC(PartLoad) part_loads;
    const char *report; /* the page that a run writes, or NULL */
    const char *checkpoint_path; /* NULL: ./NAME.safetensors */
    int64_t checkpoint_steps, checkpoint_epochs;
    const char *early_stop_metric;
    int64_t early_stop_patience;
    VEC(Update) updates;
    VEC(Metric) metrics;
    VEC(DataSource) sources;
    LocId loc;
} Recipe;

#endif
