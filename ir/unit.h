/* unit.h: what one compilation is about: the graphs of a model's entries, the tensors they share,
 * and the recipe.
 *
 * A Unit comes from a .dl model with at most one `train` block, or from an ONNX file. Everything
 * after the frontends knows only Units. */
#ifndef DLCC_IR_UNIT_H
#define DLCC_IR_UNIT_H
#include "ir/graph.h"
#include "ir/recipe.h"

typedef enum {
    TENSOR_PARAM,  /* trained or frozen; saved with weights */
    TENSOR_STATE,  /* running statistics, masks; saved with weights */
    TENSOR_MOMENT, /* an optimizer's state; saved only with the training state */
    TENSOR_STAT,   /* fitted on the data (standardize); saved with weights, written by the driver
                      before training */
} TensorKind;

/* Where the elements of a tensor lie that is not stored row-major: one axis in blocks, the parts in
 * another order. Element (i0, i1, ...) as written is at the sum over d of
 * block[d] ? i / block[d] * stride[d] + i % block[d] * inner[d] : i * stride[d]. */
typedef struct {
    Shape shape;              /* as written, and as whoever reads it by name sees it */
    int64_t stride[MAX_RANK]; /* by axes as written */
    int64_t block[MAX_RANK], inner[MAX_RANK];
    uint32_t order[MAX_RANK]; /* the storage's axes: axes as written, where a blocked one is two */
} TensorStorage;

/* A tensor that lives in the caller's context between calls. */
typedef struct {
    const char *name; /* the parameter path: "conv2d_1.weight"; moments: "conv2d_1.weight/m" */
    TensorKind kind;
    Dtype dtype;
    Shape shape; /* never depends on B */
    const TensorStorage *storage; /* NULL: row-major. Else `shape` is the storage's */
    int32_t owner; /* moments: the parameter they belong to, else -1 */
    bool trained;
    const void *data; /* its start value, from a file that is mapped, at any address; NULL: `init`
                         has it */
    Dtype data_dtype; /* of data */
    LocId loc;
} Tensor;

typedef enum {
    ENTRY_INIT,   /* no inputs; updates every param, state and moment */
    ENTRY_STEP,   /* one update of the recipe: inputs by name, output 0 is the loss; updates */
    ENTRY_EVAL,   /* the sums of all metrics and the loss on a batch, in eval mode */
    ENTRY_EXPORT, /* an export fn, in eval mode */
    ENTRY_MAP,    /* a `map` stage of the data pipeline: one item in, one item out */
    ENTRY_SCHEDULE, /* lr of an update from the clock, where it has memory or metrics */
} EntryKind;

typedef struct {
    EntryKind kind;
    const char *name; /* "init", "step" or "step_critic", "eval", the export's name */
    Graph *graph;
    bool pinned; /* B must be batch_max */
    LocId loc;
} Entry;

struct Unit {
    Compiler *cx;
    Arena *arena;
    const char *name; /* the model's name as written */
    VEC(Tensor) tensors;
    VEC(Entry) entries;
    VEC(Shape) shapes;
    VEC(AttrList) attrs;
    Recipe recipe;
    VEC(const char *) by_value; /* inputs of an ONNX file that were taken by their values: they
                                   decide shapes, and are no inputs of the entry */
    struct Program *program; /* kernels and plans, from the pass `fuse` on; else NULL */
    void *shape_index, *attr_index, *tensor_index; /* hashes, private to graph.c */
};

Unit *unit_new(Compiler *cx, const char *name);
uint32_t unit_intern_shape(Unit *u, const Shape *s);
Entry *unit_entry(Unit *u, const char *name); /* or NULL */
int32_t unit_tensor(const Unit *u, const char *name); /* index or -1; by a hash */
/* The shape as written. */
static inline const Shape *tensor_shape(const Tensor *t)
{
    return t->storage ? &t->storage->shape : &t->shape;
}

#endif
