/* kernel.h: the loop-nest IR, between the tensor graph and machine code. No LLVM types, no tensor
 * ops.
 *
 *   Kernel
 *     axes[0 .. grid)            the grid: parallel. A *unit* is one index of axes 0..grid-2 and a
 * block of `block` consecutive values of the last grid axis; units are numbered row-major and run
 * in any order. stages[]                   run in order for each unit: NEST:     for free axes: {
 * acc = init; for reduced axes: body; post } CONTRACT: acc[m, n] = sum over k of a * b for all free
 * axes; post for each (m, n)
 *
 * A stage's body is SSA over scalars: instruction i reads instructions before it. Its reductions
 * fold instruction values over the reduced axes; `post` continues the same SSA list and may read
 * the accumulators (ACC). A stage without free axes leaves its post values as scalars of the unit,
 * which later stages read with UNIT_VALUE. Memory is reached through accesses: element offset
 * affine in the axes, optional guards, optional index. What each kernel does to the bits is fixed
 * by this text and the target, never by the number of threads.
 *
 * One axis of the kernel (`vector`) is vectorised: either the last grid axis (lanes are
 * neighbouring units' elements, scalars of the unit are vectors) or the last axis of each stage
 * that has axes; -2 asks for scalar code (an indexed store whose index varies along every axis). A
 * kernel with indexed loads has a u32 operand `status`, where it stores 1 when an index was out of
 * range. */
#ifndef DLCC_IR_KERNEL_H
#define DLCC_IR_KERNEL_H
#include "ir/graph.h"
#include "ir/scalar.h"

enum { KERNEL_MAX_AXES = 16 };

/* c + sum of coef[a] * index of axis a */
typedef struct {
    int64_t c;
    int64_t coef[KERNEL_MAX_AXES];
} Affine;

typedef struct {
    Dim extent; /* run-time extent k*B when k > 0 */
} KernelAxis;

/* lo <= e < hi, where hi is a Dim (k*B at run time) */
typedef struct {
    Affine e;
    int64_t lo;
    Dim hi;
} KernelGuard;

typedef uint32_t InstId;
#define INST_NONE UINT32_MAX

typedef struct {
    uint32_t buffer;   /* index into Kernel.buffers */
    Affine offset;     /* in elements */
    VEC(KernelGuard)
    guards;       /* loads: outside gives 0 and touches nothing; stores: outside stores nothing */
    InstId index; /* INST_NONE, or an i64 instruction added as index * index_stride; it is in [0,
                     index_extent) or, on a load, gives 0 and sets the sticky status; on a store or
                     add, is skipped */
    int64_t index_stride, index_extent;
} KernelAccess;

typedef enum {
    INST_LOAD,       /* access */
    INST_CONST,      /* f or i by dtype */
    INST_INDEX,      /* value of `affine` as i64 */
    INST_GUARD,      /* bool: all of access `access`'s guards hold (its buffer is not touched) */
    INST_BATCH,      /* affine.c * B as i64 */
    INST_SCALAR,     /* op on a, b, c; for CAST the operand's dtype is the source */
    INST_ACC,        /* post only: accumulator number i.acc of this stage */
    INST_UNIT_VALUE, /* instruction `a` of stage `stage`, which has no free axes and ran before */
    INST_RANDOM, /* u32 word number `word` of the Philox block (counter = a as i64 element, b = u64
                    step, `site`; key = c u64 seed) */
} InstKind;

typedef struct {
    InstKind kind;
    ScalarOp op;
    Dtype dtype;
    InstId a, b, c;
    uint32_t
        access; /* LOAD, GUARD: index into the stage's accesses; UNIT_VALUE: stage; RANDOM: word */
    uint64_t site;
    double f;
    int64_t i;       /* CONST of integers; ACC: accumulator */
    Affine affine;   /* INDEX, BATCH */
    LocId loc;       /* of the value it is part of; 0: of no one value */
} KernelInst;

/* How values are folded over reduced axes. ARGMAX keeps (value, index), ties to the lowest index,
 * NaN wins; accumulators `i` is the value's, its index is the accumulator after it. */
typedef enum {
    COMBINE_SUM,
    COMBINE_PROD,
    COMBINE_MAX,
    COMBINE_MIN,
    COMBINE_ARGMAX,
    COMBINE_ARGMIN
} Combine;

typedef struct {
    Combine combine;
    InstId value;  /* body instruction folded in */
    InstId index;  /* ARG*: body instruction of i64 that names the element */
    Dtype dtype;   /* of the accumulator */
} KernelAccum;

typedef enum { STORE_SET, STORE_ADD } StoreKind;
typedef struct {
    StoreKind kind;
    bool in_body; /* each point of free and reduced axes; else after the reduction, each point of
                     the free axes */
    uint32_t access;
    InstId value;
} KernelStore;

typedef enum { STAGE_NEST, STAGE_CONTRACT } StageKind;

/* CONTRACT: C[m.., n..] = sum_k A[m.., k..] * B[n.., k..]. Free and reduced axes as listed in the
 * stage, further axes in the grid (batch axes of a batched product, in A and B and C). Axis a
 * belongs to m when only A depends on it, to n when only B does. ACC 0 in `post` is the sum, of
 * dtype f32 or f64. `a` and `b` are LOAD instructions of the body (possibly of a narrower dtype
 * followed by CAST); nothing else is in the body. All free axes of a CONTRACT stage stand in the
 * grid list as far as tiling goes: the code generator chooses blocks of m and n, and so the units.
 */
typedef struct {
    StageKind kind;
    uint32_t free_axes[KERNEL_MAX_AXES], n_free;
    uint32_t reduced_axes[KERNEL_MAX_AXES], n_reduced;
    VEC(KernelAccess) accesses;
    VEC(KernelInst) insts;
    uint32_t body_insts; /* insts[0 .. body_insts) are the body, the rest are post */
    VEC(KernelAccum) accums;
    VEC(KernelStore) stores;
    InstId a, b; /* CONTRACT */
} KernelStage;

typedef struct {
    Dtype dtype;
    int64_t scratch; /* > 0: elements of scratch of this unit, not an operand */
    bool written;
} KernelBuffer;

enum { VECTOR_INNER = -1, VECTOR_NONE = -2 };

typedef struct {
    const char *name; /* for people: "fused_exp_sum_12" */
    VEC(KernelAxis) axes;
    uint32_t grid;    /* the first `grid` axes */
    int64_t block;    /* >= 1 */
    int32_t vector;   /* axis number, or VECTOR_INNER, VECTOR_NONE */
    int32_t status;   /* buffer number, or -1 */
    bool few;         /* a run-time batch is mostly small: people call it for one example */
    VEC(KernelStage) stages;
    VEC(KernelBuffer) buffers; /* operands first, in order; then scratch */
    uint32_t operands;
    LocId loc;
    double flops, bytes; /* at the maximal batch, for reports */
} Kernel;

/* What a movement op does to an index: at[i] is the index along axis i as an affine function of the
 * kernel's axes. A move rewrites the result's index into operand 0's, adding guards where the
 * operand has no element there. When a reshape would need an axis of the kernel in two parts, it
 * sets split_axis to the kernel axis and split_inner to the inner extent, and returns false: the
 * caller splits and tries again. With split_axis -1 and false, the operand must be stored first. */
typedef struct IndexMap {
    Arena *arena;
    uint32_t rank;
    Affine at[MAX_RANK];
    VEC(KernelGuard) guards;
    double fill;       /* value where a guard fails */
    const KernelAxis *axes; /* the kernel's, to see extents */
    uint32_t n_axes;
    int32_t split_axis;
    int64_t split_inner;
} IndexMap;

/* Text of a kernel, for --emit=kernels and tests. */
const char *kernel_text(Arena *a, const Kernel *k);
/* Checks every rule above; reports an internal error in words, NULL when sound. */
const char *kernel_verify(Arena *a, const Kernel *k);

static inline Affine affine_const(int64_t c) { return (Affine){ .c = c }; }
static inline Affine affine_axis(uint32_t axis) { Affine e = { 0 }; e.coef[axis] = 1; return e; }
Affine affine_add(Affine a, Affine b);
Affine affine_scale(Affine a, int64_t s);

#endif
