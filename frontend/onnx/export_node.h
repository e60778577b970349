/* export_node.h: what the ops are said with: nodes, constants, operands, shapes.
 *
 * An op's saying runs twice: once walking down from the outputs, when nothing is written and every
 * value is the empty string, so that what it asks for is known to be needed; and once walking up,
 * when what it asked for is there. It must ask for the same both times. */
#ifndef DLCC_FRONTEND_ONNX_EXPORT_NODE_H
#define DLCC_FRONTEND_ONNX_EXPORT_NODE_H
#include "frontend/onnx/export.h"
#include "frontend/onnx/onnx.pb-c.h"
#include "ir/op.h"

typedef struct Export Export;

/* How an op of ours is said. */
typedef struct {
    void (*say)(Export *x, NodeId id); /* NULL: by its `expand`, or not at all */
    const char *onnx;                  /* the ONNX op, where it is one */
    uint32_t types; /* a bit for each dtype that the ONNX op computes in; others are cast */
} ExportRow;

extern const ExportRow export_rows[OP_COUNT];

typedef struct NameCount NameCount;
typedef struct {
    int64_t k; /* of a dim k*B */
    const char *name;
} BatchValue;
typedef struct {
    const Onnx__TensorProto *tensor;
    const char *name;
} KnownConstant;

struct Export {
    Unit *unit;
    Arena *arena;
    const Graph *g;
    const OnnxExport *options;
    bool writing;
    uint8_t *need;         /* by node: NEED_ bits */
    uint32_t *uses;        /* by node */
    const char **outputs;  /* by node: the name it has as a result, or NULL */
    const char **full, **spread; /* by node: names of its value */
    NodeId at;             /* the node being said */
    uint32_t said_from;    /* number of ONNX nodes when that began */
    VEC(Onnx__NodeProto *) nodes;
    VEC(Onnx__TensorProto *) tensors;
    VEC(NodeId) values; /* what the last ONNX node of their saying computes */
    VEC(KnownConstant) constants;
    VEC(BatchValue) batches;
    NameCount **names;
};

enum {
    NEED_FULL = 1,   /* the value in its shape */
    NEED_SPREAD = 2, /* of iota: a value that ONNX broadcasts to the shape */
};

/* ---- Operands ---- */

/* The node's value. */
const char *ex_full(Export *x, NodeId id);
/* A value that ONNX broadcasts to the node's: broadcasts are left to the op that reads. */
const char *ex_spread(Export *x, NodeId id);
/* Whether the spread values of `ids` broadcast among themselves to the shape of `like`. */
bool ex_spread_covers(const Export *x, const NodeId *ids, uint32_t n, const Shape *like);
/* The node behind broadcasts and leading axes of extent 1. */
NodeId ex_stripped(const Graph *g, NodeId id);

static inline NodeId ex_operand(const Export *x, NodeId id, uint32_t i)
{
    return graph_operand(x->g, id, i);
}
static inline Op ex_op(const Export *x, NodeId id)
{
    return (Op)graph_node(x->g, id)->op;
}
static inline int64_t ex_attr(const Export *x, NodeId id, const char *name)
{
    return graph_attr(x->g, id, name)->i;
}

/* ---- Results ---- */

void ex_result(Export *x, NodeId id, const char *name);
/* Records that ONNX cannot say this. */
void ex_unsupported(Export *x, NodeId id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Nodes ---- */

/* A node with one result, whose name it returns. Attributes are given to the last node. */
const char *ex_node(Export *x, const char *op, const char *const *in, uint32_t n);
#define EX(x, op, ...)                              \
    ex_node((x), (op), (const char *[]){ __VA_ARGS__ }, \
            sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *))
/* Another result of the last node. */
const char *ex_second(Export *x);
void ex_int(Export *x, const char *attr, int64_t v);
void ex_list(Export *x, const char *attr, const int64_t *v, uint32_t n);
void ex_text(Export *x, const char *attr, const char *v);

/* A name that no value or node has yet: `base`, or `base` with a number. */
const char *ex_name(Export *x, const char *base);

/* ---- Constants ---- */

const char *ex_tensor(Export *x, Dtype t, const int64_t *dims, uint32_t rank, const void *elements);
const char *ex_scalar(Export *x, Dtype t, double v);
const char *ex_ints(Export *x, const int64_t *v, uint32_t n); /* i64, one axis */

/* ---- Types and shapes ---- */

enum {
#define BIT(t) X_##t = 1u << DT_##t
    BIT(F64), BIT(F32), BIT(F16), BIT(BF16), BIT(I64), BIT(I32), BIT(I16), BIT(I8),
    BIT(U64), BIT(U32), BIT(U16), BIT(U8), BIT(BOOL),
#undef BIT
    X_FLOAT = X_F64 | X_F32 | X_F16,
    X_WORD = X_I64 | X_I32, /* integers that every runtime computes with */
    X_ANY = (1u << DT_COUNT) - 1,
    X_WRAPS = 1u << DT_COUNT, /* u64 may be computed as i64: the same bits */
};

int32_t ex_type(Dtype t); /* TensorProto.DataType */
/* The type of `types` that t is computed in: t itself, or a wider one; DT_COUNT: none. */
Dtype ex_wider(uint32_t types, Dtype t);
/* The same, reported at `id` when there is none. */
Dtype ex_compute(Export *x, NodeId id, uint32_t types, Dtype t);
const char *ex_cast(Export *x, const char *v, Dtype from, Dtype to);

/* The shape as a value: i64, one axis; computed where it depends on B. */
const char *ex_shape(Export *x, const Shape *s);
/* k*B, i64 with one element on one axis. */
const char *ex_batch(Export *x, int64_t k);
const char *ex_reshape(Export *x, const char *v, const Shape *from, const Shape *to);
/* v, of a shape that broadcasts to s, repeated. */
const char *ex_expand(Export *x, const char *v, const Shape *s);
const char *ex_transpose(Export *x, const char *v, const int64_t *perm, uint32_t rank);

/* ---- Shared sayings ---- */

void say_map(Export *x, NodeId id); /* element by element, one node */
void say_division(Export *x, NodeId id);
/* v, a float of type `from`, as the nearest integer of type `to`, 0 for NaN. */
const char *ex_saturated(Export *x, const char *v, Dtype from, Dtype to);
/* A product, or a quotient, that is the mean of elements is said as such; false: it is not one. */
bool say_mean(Export *x, NodeId id, bool divided);

#define EXPORT(op, onnx, types, say) void say(Export *x, NodeId id);
#include "frontend/onnx/export.def"
#undef EXPORT

#endif
