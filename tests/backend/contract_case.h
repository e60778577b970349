/* contract_case.h: contractions described by strides, as kernels, and the same sums by plain loops.
 * For tests and benchmarks. */
#ifndef DLCC_TESTS_CONTRACT_CASE_H
#define DLCC_TESTS_CONTRACT_CASE_H
#include "backend/jit.h"
#include "backend/object.h"

typedef struct {
    Dim extent;
    bool reduced;
    int64_t a, b, c; /* strides in elements */
} CaseAxis;

typedef enum { POST_NONE, POST_BIAS_RELU, POST_RESIDUAL, POST_LONG, POST_COUNT } CasePost;

/* Operands: A, B, C, and bias (as C's last axis) or residual (as C). */
typedef struct {
    CaseAxis axes[KERNEL_MAX_AXES];
    uint32_t n_axes;
    Dtype a, b, c; /* of the operands in memory; C is f32 or f64 and the sum's dtype */
    CasePost post;
    int64_t a_offset;
    bool few;     /* for a batch that is mostly small */
    bool guarded; /* A is read only where lo <= guard axis sum < hi */
    uint32_t guard_axes[2];
    int64_t guard_lo, guard_hi;
} ContractCase;

static inline void case_axis(ContractCase *t, Dim extent, bool reduced, int64_t a, int64_t b,
                             int64_t c)
{
    t->axes[t->n_axes++] = (CaseAxis){ extent, reduced, a, b, c };
}

static inline InstId case_inst(Arena *a, KernelStage *s, KernelInst i)
{
    vec_push(a, &s->insts, i);
    return s->insts.n - 1;
}

static inline uint32_t case_access(Arena *a, KernelStage *s, uint32_t buffer, Affine offset)
{
    vec_push(a, &s->accesses,
             (KernelAccess){ .buffer = buffer, .offset = offset, .index = INST_NONE });
    return s->accesses.n - 1;
}

static inline InstId case_scalar(Arena *a, KernelStage *s, ScalarOp op, Dtype t, InstId x, InstId y)
{
    return case_inst(a, s,
                     (KernelInst){ .kind = INST_SCALAR, .op = op, .dtype = t, .a = x, .b = y });
}

static inline InstId case_load(Arena *a, KernelStage *s, uint32_t access, Dtype t)
{
    return case_inst(a, s, (KernelInst){ .kind = INST_LOAD, .dtype = t, .access = access });
}

static inline InstId case_post(Arena *a, const ContractCase *t, KernelStage *s, Affine c,
                               int last_free)
{
    InstId sum = case_inst(a, s, (KernelInst){ .kind = INST_ACC, .dtype = t->c });
    Affine one = { .c = 0 };
    if (last_free >= 0)
        one.coef[last_free] = 1;
    switch (t->post) {
    case POST_NONE:
    case POST_COUNT: return sum;
    case POST_RESIDUAL:
        return case_scalar(a, s, SC_ADD, t->c, sum, case_load(a, s, case_access(a, s, 3, c), t->c));
    case POST_BIAS_RELU:
    case POST_LONG: break;
    }
    InstId bias = case_load(a, s, case_access(a, s, 3, one), t->c);
    sum = case_scalar(a, s, SC_ADD, t->c, sum, bias);
    if (t->post == POST_LONG) /* enough to be emitted as a loop */
        for (int i = 0; i < 60; i++)
            sum = case_scalar(a, s, i % 2 ? SC_SUB : SC_ADD, t->c, sum, bias);
    InstId zero = case_inst(a, s, (KernelInst){ .kind = INST_CONST, .dtype = t->c });
    return case_scalar(a, s, SC_MAXIMUM, t->c, sum, zero);
}

static inline Kernel *case_kernel(Arena *a, const ContractCase *t)
{
    Kernel *k = arena_make(a, Kernel);
    KernelStage stage = { .kind = STAGE_CONTRACT };
    Affine at[3] = { { .c = t->a_offset } };
    int last_free = -1;
    *k = (Kernel){ .name = "case",
                   .block = 1,
                   .vector = VECTOR_INNER,
                   .status = -1,
                   .few = t->few,
                   .operands = 4 };
    for (uint32_t i = 0; i < t->n_axes; i++) {
        vec_push(a, &k->axes, (KernelAxis){ t->axes[i].extent });
        at[0].coef[i] = t->axes[i].a;
        at[1].coef[i] = t->axes[i].b;
        at[2].coef[i] = t->axes[i].c;
        if (t->axes[i].reduced)
            stage.reduced_axes[stage.n_reduced++] = i;
        else {
            stage.free_axes[stage.n_free++] = i;
            if (t->axes[i].c == 1)
                last_free = (int)i;
        }
    }
    Dtype dtypes[] = { t->a, t->b, t->c, t->c };
    for (int i = 0; i < 4; i++)
        vec_push(a, &k->buffers, (KernelBuffer){ .dtype = dtypes[i], .written = i == 2 });
    stage.a = case_load(a, &stage, case_access(a, &stage, 0, at[0]), t->a);
    if (t->guarded) {
        KernelGuard g = { .lo = t->guard_lo, .hi = dim_of(t->guard_hi) };
        g.e.coef[t->guard_axes[0]] = g.e.coef[t->guard_axes[1]] = 1;
        vec_push(a, &stage.accesses.at[0].guards, g);
    }
    stage.b = case_load(a, &stage, case_access(a, &stage, 1, at[1]), t->b);
    stage.body_insts = stage.insts.n;
    vec_push(a, &stage.accums,
             (KernelAccum){ .combine = COMBINE_SUM, .value = INST_NONE, .dtype = t->c });
    InstId value = case_post(a, t, &stage, at[2], last_free);
    vec_push(a, &stage.stores,
             (KernelStore){ .access = case_access(a, &stage, 2, at[2]), .value = value });
    vec_push(a, &k->stages, stage);
    return k;
}

static inline int64_t case_units(const KernelGrid *g, int64_t batch)
{
    int64_t n = g->batch_scale ? (g->batch_scale * batch + g->batch_tile - 1) / g->batch_tile : 1;
    return g->tiles * n;
}

typedef void CaseFn(void *const *bufs, int64_t batch, int64_t begin, int64_t end);

#endif
