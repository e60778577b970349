/* op.h: what an op is. One row in ops.def, one definition `op_NAME` in ir/ops/; everything else
 * reads the definition.
 *
 * A definition says how the op's type follows from its operands, its derivative, its naive
 * reference, how kernels compute it, and which cases test it. A row without a definition does not
 * link. */
#ifndef DLCC_IR_OP_H
#define DLCC_IR_OP_H
#include "ir/scalar.h"
#include "ir/unit.h"

typedef struct CaseRng CaseRng;

typedef struct {
    const char *name; /* NULL ends the list */
    AttrKind kind;
    bool required;
    union { /* the default */
        int64_t i;
        double f;
        const char *s;
    };
} AttrDecl;

/* The question "what type has this node?" and its answer. */
typedef struct {
    Graph *g;
    Op op;
    const NodeId *in;
    uint32_t n;
    const AttrValue *attrs; /* complete, in declared order */
    Dtype dtype;            /* the answer */
    Shape shape;
} Infer;

const Shape *infer_shape(const Infer *q, uint32_t i);
Dtype infer_dtype(const Infer *q, uint32_t i);
const AttrValue *infer_attr(const Infer *q, const char *name);
/* Reports a violated constraint at the graph's location; always returns false. */
bool infer_fail(Infer *q, DiagCode code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reverse mode at one node: given dy (the adjoint of `node`), add contributions to the operands'
 * adjoints. The graph being built is g; operand and result ids are those of g. */
typedef struct Grad Grad;
struct Grad {
    Graph *g;
    NodeId node, dy;
    const NodeId *in;
    uint32_t n;
    void (*add)(Grad *q, uint32_t operand,
                NodeId contribution); /* ignores NODE_NONE and operands that need none */
    bool (*needs)(const Grad *q, uint32_t operand);
    void *state;
};

/* A value of the reference interpreter: floats as double, everything else as int64 (u64 by its
 * bits), row-major, with the run-time extents. */
typedef struct {
    Dtype dtype;
    uint32_t rank;
    int64_t dim[MAX_RANK];
    int64_t count;
    union {
        double *f;
        int64_t *i;
    };
} Value;

typedef struct {
    const Graph *g;
    NodeId node;
    Arena *arena;
    const Value *in;
    uint32_t n;
    int64_t batch;            /* B */
    uint64_t seed, step;      /* keys of random ops */
    Value *out;               /* dtype, dims and zeroed storage are there already */
} Ref;

/* How kernels compute an op. A closed set: passes/fuse.c has one function for each kind. */
typedef enum {
    LOWER_NONE, /* leaves and marks with rules of their own: input, param, state, const, clock, var
                 */
    LOWER_ELEMENTWISE, /* scalar: same shape in and out */
    LOWER_MOVE,  /* `move`: the value at an output index is the operand's value at another index, or
                    a fill */
    LOWER_INDEX, /* `scalar` of the output index alone: iota, random */
    LOWER_REDUCE,     /* `combine` over attribute axes */
    LOWER_ARG_REDUCE, /* argmax, argmin */
    LOWER_SCAN,       /* cumulative along an axis */
    LOWER_GATHER,     /* operand 1 holds indices along attribute axis of operand 0 */
    LOWER_SCATTER,    /* indexed add, serial over the index */
    LOWER_CONCAT,     /* operands side by side along attribute axis: each is stored into its part */
    LOWER_CONTRACT,   /* dot: the micro-kernel */
    LOWER_CALL,       /* `call`: a function of the runtime */
    LOWER_EXPAND,     /* `expand` says it in other ops */
} LowerKind;

/* An output index and where it reads. One Affine per axis over the output's axes; see kernel.h. */
struct IndexMap;

typedef struct OpDef {
    const char *name;
    const char *written; /* in messages, where .dl has a sign for it ("+"); NULL: the name */
    const char *doc;   /* formula, one line */
    uint8_t min_in, max_in; /* max_in 255: any number */
    const AttrDecl *attrs;  /* NULL: none */
    bool (*infer)(Infer *q);
    void (*grad)(Grad *q); /* NULL with zero_grad false: not differentiable, an error if needed */
    bool zero_grad;        /* derivative zero by definition: comparisons, floor, integer results */
    NodeId (*expand)(Graph *g, NodeId node,
                     const NodeId *in); /* emits into g; node is g's own unexpanded node; an op
                                           with a kernel may answer with that node */
    void (*ref)(Ref *q);            /* NULL: the reference runs `expand` */
    LowerKind lower;
    ScalarOp scalar;                /* ELEMENTWISE, INDEX, and the combine of REDUCE */
    bool (*move)(
        const Graph *g, NodeId node,
        struct IndexMap *map);      /* MOVE: rewrites an index of the result to one of operand 0 */
    const char *call;               /* CALL: the runtime's symbol */
    uint8_t cost; /* of computing one element again, in simple vector operations */
    bool internal;                  /* not callable by name from .dl */
    bool random;                    /* keyed by its site: never merged by value */
    NodeId (*fold)(Graph *g, Op op, const NodeId *in, uint32_t n, const AttrValue *attrs,
                   const Shape *shape, Dtype dtype);
    /* exact rewrites beyond constant folding; NODE_NONE: none applies */
    /* Generated valid test graph number i, built on fresh inputs of g; returns its result, or
     * NODE_NONE when i is past the end. `r` is a seeded generator. Odd shapes: rank 0, sizes 0 and
     * 1, primes, broadcast. */
    NodeId (*cases)(Graph *g, CaseRng *r, uint32_t i);
} OpDef;

#define OP(name) extern const OpDef op_##name;
#include "ir/ops.def"
#undef OP
extern const OpDef *const op_defs[OP_COUNT];
/* The op callable by this name, or OP_COUNT. */
Op op_find(const char *name);

/* The runtime clock's fields, by number; kernels find them in this order. From CLOCK_SEED on they
 * are u64, before it f64. OWN_ counts the executions of the update that is running: an optimizer's
 * step. */
enum {
    CLOCK_STEP,
    CLOCK_STEPS,
    CLOCK_OWN_STEP,
    CLOCK_OWN_STEPS,
    CLOCK_EPOCH,
    CLOCK_EPOCHS,
    CLOCK_EVALS,
    CLOCK_LR,
    CLOCK_LR_SCALE,
    CLOCK_SEED,
    CLOCK_KEY
};
int clock_field(const char *name); /* or -1 */

/* Helpers for cases(): inputs are named x0, x1, ... and are drawn from the range by the test runner
 * (see cases.h); a dim of -k is k*B. */
uint64_t case_random(CaseRng *r);
/* Declares an input with values in [lo, hi]; integers are drawn uniformly; distinct: no two equal
 * elements (kinks, ties). */
NodeId case_input(Graph *g, CaseRng *r, Dtype dtype, uint32_t rank, const int64_t *dims, double lo,
                  double hi, bool distinct);

#endif
