/* graph.h: the typed tensor IR.
 *
 *   node  24 bytes: | op u16 | dtype u8 | flags u8 | shape u32 | attrs u32 | first u32 | count u32
 * | loc u32 |
 *                                                                          |
 *   operands: one flat array of node ids, `first`..`first+count`  <---------+
 *
 * A Graph is an append-only array of nodes in topological order: an operand's id is smaller than
 * its user's, so forward is a loop up and reverse mode a loop down. Every node goes through
 * graph_emit, which infers the type, folds by exact rules and returns an equal node where one
 * exists: common subexpressions and constants need no pass. A rewrite reads one graph and emits
 * another with a NodeId map[]; there are no use lists, and dead code is what was not emitted again.
 *
 * Pure: a state or parameter update is an output tagged with what it updates. Broadcast is a node,
 * never implicit. */
#ifndef DLCC_IR_GRAPH_H
#define DLCC_IR_GRAPH_H
#include "ir/compiler.h"

#include <assert.h>

/* Sorted by kind, then width. */
typedef enum {
    DT_F64, DT_F32, DT_F16, DT_BF16,
    DT_I64, DT_I32, DT_I16, DT_I8,
    DT_U64, DT_U32, DT_U16, DT_U8,
    DT_BOOL,
    DT_COUNT
} Dtype;

const char *dtype_name(Dtype t);             /* "f32" */
bool dtype_parse(const char *name, Dtype *out_dtype);
size_t dtype_size(Dtype t);                  /* bytes */
static inline bool dtype_is_float(Dtype t) { return t <= DT_BF16; }
static inline bool dtype_is_integer(Dtype t) { return t >= DT_I64 && t <= DT_U8; }
static inline bool dtype_is_signed(Dtype t) { return t <= DT_I8; }

/* One extent. `n` is the extent at the maximal batch; `k` > 0 says that the run-time extent is k*B,
 * with n == k*B_max, where B is the entry's run-time batch. Strides and buffers are those of n;
 * trip counts and divisors read B. */
typedef struct {
    int64_t n, k;
} Dim;

enum { MAX_RANK = 8 };
typedef struct {
    uint32_t rank;
    Dim dim[MAX_RANK];
} Shape;

static inline Dim dim_of(int64_t n) { return (Dim){ n, 0 }; }
static inline bool dim_equal(Dim a, Dim b) { return a.n == b.n && a.k == b.k; }
bool shape_equal(const Shape *a, const Shape *b);
/* Product of the extents at the maximal batch; false on overflow of int64, also where an extent of
 * 0 would hide it: a part of the shape must not be larger than the whole. */
bool shape_elements(const Shape *s, int64_t *out_n);
/* The product as a Dim: at most one factor may depend on B. False on overflow or two such factors.
 */
bool shape_product(const Shape *s, uint32_t first, uint32_t last, Dim *out_dim);
const char *shape_text(Arena *a, const Shape *s); /* "[B, 13]", "[2B, 3]" */

typedef uint32_t NodeId;
#define NODE_NONE UINT32_MAX

typedef enum {
#define OP(name) OP_##name,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} Op;

/* Attributes of a node: values in the order of its op's declaration. Interned: equal lists are one
 * id. */
typedef enum {
    ATTR_END, /* ends a declaration list */
    ATTR_INT,
    ATTR_FLOAT,
    ATTR_STRING,
    ATTR_INTS,  /* a list of integers */
    ATTR_DTYPE, /* in .i */
    ATTR_SHAPE, /* in .shape */
    ATTR_DATA,  /* raw bytes of a constant, in .data/.count */
} AttrKind;

typedef struct {
    AttrKind kind;
    uint32_t count; /* ATTR_INTS: numbers; ATTR_DATA: bytes; ATTR_STRING: length */
    union {
        int64_t i;
        double f;
        const char *s;
        const int64_t *ints;
        const Shape *shape;
        const void *data;
    };
} AttrValue;

static inline AttrValue attr_i(int64_t i) { return (AttrValue){ .kind = ATTR_INT, .i = i }; }
static inline AttrValue attr_f(double f) { return (AttrValue){ .kind = ATTR_FLOAT, .f = f }; }
AttrValue attr_s(const char *s);
static inline AttrValue attr_ints(const int64_t *v, uint32_t n)
{
    return (AttrValue){ .kind = ATTR_INTS, .count = n, .ints = v };
}
static inline AttrValue attr_dtype(Dtype t) { return (AttrValue){ .kind = ATTR_DTYPE, .i = t }; }
static inline AttrValue attr_shape(const Shape *s)
{
    return (AttrValue){ .kind = ATTR_SHAPE, .shape = s };
}
static inline AttrValue attr_data(const void *data, uint32_t bytes)
{
    return (AttrValue){ .kind = ATTR_DATA, .count = bytes, .data = data };
}

typedef struct {
    uint16_t op;
    uint8_t dtype, flags;
    uint32_t shape; /* unit->shapes */
    uint32_t attrs; /* unit->attrs; 0: none */
    uint32_t first, count;
    LocId loc;
} Node;
static_assert(sizeof(Node) == 24, "a node is 24 bytes");

typedef struct {
    uint32_t n;
    AttrValue *at;
} AttrList;

typedef struct Unit Unit;

typedef struct {
    const char *name;
    NodeId node;
    int32_t updates; /* index into unit->tensors this value is written to, or -1 for a result of the
                        entry */
} Output;

typedef struct {
    const char *name;
    Dtype dtype;
    Shape shape;
    int64_t
        bound; /* integers: values must lie in 0 <= v < bound, checked at the entry; 0: unchecked */
    LocId loc;
} Input;

typedef struct Graph {
    Unit *unit;
    const char *name;
    int64_t batch_max; /* B_max, or 0 when no dim depends on B */
    VEC(Node) nodes;
    VEC(NodeId) operands;
    VEC(Input) inputs;
    VEC(Output) outputs;
    uint32_t *buckets, bucket_count, *chain; /* hash of nodes, private to graph.c */
    uint32_t chain_cap;
    LocId loc; /* location given to nodes emitted now */
    bool failed; /* an emit failed its type rule; the result is NODE_NONE */
} Graph;

Graph *graph_new(Unit *u, const char *name, int64_t batch_max);

/* Emits a node. `attrs` are in the op's declared order; n_attrs may be smaller than declared when
 * the rest have defaults. Returns an equal or folded node where there is one. On a violated type
 * rule it reports a diagnostic at g->loc and returns NODE_NONE; NODE_NONE among the operands
 * returns NODE_NONE silently, so that one mistake is one message. */
NodeId graph_emit(Graph *g, Op op, const NodeId *in, uint32_t n, const AttrValue *attrs,
                  uint32_t n_attrs);
/* The node `id` of `from`, emitted into g with the given operands (same attributes). Location is
 * taken from the node. */
NodeId graph_copy_node(Graph *g, const Graph *from, NodeId id, const NodeId *in);

/* Declares an input and returns its node; inputs are numbered in order. */
NodeId graph_input(Graph *g, Input input);
void graph_output(Graph *g, const char *name, NodeId node, int32_t updates);

static inline const Node *graph_node(const Graph *g, NodeId id) { return &g->nodes.at[id]; }
static inline NodeId graph_operand(const Graph *g, NodeId id, uint32_t i)
{
    return g->operands.at[g->nodes.at[id].first + i];
}
const Shape *graph_shape(const Graph *g, NodeId id);
static inline Dtype graph_dtype(const Graph *g, NodeId id) { return (Dtype)g->nodes.at[id].dtype; }
/* The value of a named attribute (given or default). The name must be declared by the node's op. */
const AttrValue *graph_attr(const Graph *g, NodeId id, const char *name);

/* Marks what the outputs reach: an array of bytes by node id, in `a`. */
uint8_t *graph_live(Arena *a, const Graph *g);

#endif
