/* nest_reduce.c: accumulators of a loop nest.
 *
 * Over the vector axis, element i goes to virtual lane i mod 64 whatever the machine's width: 64 /
 * width vectors run side by side, which also hides the latency of the additions, and a tree of
 * fixed shape joins them. llvm.vector.reduce.fadd would be a chain of scalar additions. Lanes that
 * no element reached hold the neutral value, and combining with it changes no bit (a sum starts at
 * +0, so it is never -0). Over other axes each lane folds in order. */
#include "backend/nest.h"

#include <math.h>

static bool is_arg(const KernelAccum *a)
{
    return a->combine == COMBINE_ARGMAX || a->combine == COMBINE_ARGMIN;
}

/* Accumulators of f16 and bf16 run in f32. */
static Dtype running_type(const KernelAccum *a)
{
    return a->dtype == DT_F16 || a->dtype == DT_BF16 ? DT_F32 : a->dtype;
}

static LLVMValueRef neutral(Emit *e, const KernelAccum *a, int lanes)
{
    Dtype t = running_type(a);
    bool least = a->combine == COMBINE_MAX || a->combine == COMBINE_ARGMAX;
    if (a->combine == COMBINE_SUM)
        return emit_null(e, t, lanes);
    if (a->combine == COMBINE_PROD)
        return dtype_is_float(t) ? emit_float(e, t, 1, lanes) : emit_int(e, t, 1, lanes);
    if (dtype_is_float(t))
        return emit_float(e, t, least ? -INFINITY : INFINITY, lanes);
    if (t == DT_BOOL || !dtype_is_signed(t))
        return emit_int(e, t, least ? 0 : -1, lanes);
    int64_t top = INT64_MIN >> (64 - 8 * dtype_size(t));
    return emit_int(e, t, least ? top : ~top, lanes);
}

/* ---- Indices of ARG* ---- */

/* Least and greatest value of an affine index; false when that cannot be told. */
static bool index_range(const Nest *n, const Affine *f, int64_t *out_low, int64_t *out_high)
{
    *out_low = *out_high = f->c;
    for (uint32_t a = 0; a < n->k->axes.n; a++) {
        int64_t reach, *end = f->coef[a] < 0 ? out_low : out_high;
        if (__builtin_mul_overflow(f->coef[a], n->k->axes.at[a].extent.n - 1, &reach) ||
            __builtin_add_overflow(*end, reach, end))
            return false;
    }
    return true;
}

/* Most indices fit in half the registers. */
static Dtype index_type(const Nest *n, const NestStage *s, const KernelAccum *a)
{
    const KernelInst *x = &s->s->insts.at[a->index];
    int64_t low, high;
    bool small = x->kind == INST_INDEX && index_range(n, &x->affine, &low, &high) &&
                 low >= INT32_MIN && high < INT32_MAX;
    return small ? DT_I32 : DT_I64;
}

/* The index grows from each folded element to the next: then the first of equals is the lowest,
 * without a comparison. */
static bool folds_in_order(const Nest *n, const NestStage *s, const KernelAccum *a)
{
    const KernelInst *x = &s->s->insts.at[a->index];
    int64_t inner = 0; /* how far the loops inside can move it */
    if (x->kind != INST_INDEX || s->vector >= (int)s->n_free)
        return false;
    for (uint32_t i = s->n_loops; i-- > s->n_free;) {
        int64_t extent = n->k->axes.at[s->loops[i]].extent.n, coef = x->affine.coef[s->loops[i]],
                reach;
        if (extent == 1)
            continue;
        if (coef <= inner || __builtin_mul_overflow(coef, extent - 1, &reach) ||
            __builtin_add_overflow(inner, reach, &inner))
            return false;
    }
    return true;
}

/* Before anything is folded: of the first element when that stays in case of a tie, else larger
 * than any. */
static LLVMValueRef first_index(Nest *n, const NestStage *s, const KernelAccum *a, int copy,
                                int lanes)
{
    Dtype t = index_type(n, s, a);
    if (!folds_in_order(n, s, a))
        return emit_int(n->e, t, t == DT_I32 ? INT32_MAX : INT64_MAX, lanes);
    AccessPoint p = { .lanes = n->width, .lane_axis = n->lane_axis };
    for (int i = 0; i < KERNEL_MAX_AXES; i++)
        p.at[i] = n->at[i];
    if (n->width > 1)
        p.at[n->lane_axis] = n->lane_at[copy];
    for (uint32_t i = s->n_free; i < s->n_loops; i++)
        p.at[s->loops[i]] = emit_i64(n->e, 0);
    LLVMValueRef v =
        inst_cast(n->e, DT_I64, t, access_affine(n->e, &s->s->insts.at[a->index].affine, &p));
    return emit_lanes(v) < lanes ? emit_splat(n->e, v, lanes) : v;
}

/* ---- Folding ---- */

void nest_reduce_init(Nest *n, const NestStage *s, int copies, int lanes)
{
    for (int c = 0; c < copies; c++)
        for (uint32_t i = 0, number = 0; i < s->s->accums.n; i++) {
            const KernelAccum *a = &s->s->accums.at[i];
            LLVMValueRef *acc = n->acc + (uint32_t)c * s->n_accs;
            acc[number++] = neutral(n->e, a, lanes);
            if (is_arg(a))
                acc[number++] = first_index(n, s, a, c, lanes);
        }
}

/* i1: (v, i) is to replace (a, ai): greater (smaller), or the first NaN, or equal and of lower
 * index. `ordered`: i is not lower. */
static LLVMValueRef arg_better(Emit *e, const KernelAccum *x, LLVMValueRef v, LLVMValueRef i,
                               LLVMValueRef a, LLVMValueRef ai, bool ordered)
{
    bool max = x->combine == COMBINE_ARGMAX;
    Dtype t = running_type(x);
    LLVMValueRef lower = LLVMBuildICmp(e->b, LLVMIntSLT, i, ai, "");
    if (!dtype_is_float(t)) {
        bool sign = dtype_is_signed(t) && t != DT_BOOL;
        LLVMIntPredicate p = max    ? (sign ? LLVMIntSGT : LLVMIntUGT)
                             : sign ? LLVMIntSLT
                                    : LLVMIntULT;
        LLVMValueRef more = LLVMBuildICmp(e->b, p, v, a, ""),
                     equal = LLVMBuildICmp(e->b, LLVMIntEQ, v, a, "");
        return ordered ? more : LLVMBuildOr(e->b, more, LLVMBuildAnd(e->b, equal, lower, ""), "");
    }
    LLVMValueRef v_nan = LLVMBuildFCmp(e->b, LLVMRealUNO, v, v, ""),
                 a_nan = LLVMBuildFCmp(e->b, LLVMRealUNO, a, a, "");
    LLVMValueRef beyond = LLVMBuildFCmp(e->b, max ? LLVMRealUGT : LLVMRealULT, v, a, "");
    beyond = LLVMBuildAnd(e->b, beyond, LLVMBuildNot(e->b, a_nan, ""), "");
    if (ordered)
        return beyond;
    LLVMValueRef tie = LLVMBuildFCmp(e->b, LLVMRealOEQ, v, a, "");
    tie = LLVMBuildOr(e->b, tie, LLVMBuildAnd(e->b, v_nan, a_nan, ""), "");
    return LLVMBuildOr(e->b, beyond, LLVMBuildAnd(e->b, tie, lower, ""), "");
}

static ScalarOp combine_op(Combine c)
{
    switch (c) {
    case COMBINE_SUM: return SC_ADD;
    case COMBINE_PROD: return SC_MUL;
    case COMBINE_MAX: return SC_MAXIMUM;
    case COMBINE_MIN: return SC_MINIMUM;
    case COMBINE_ARGMAX: case COMBINE_ARGMIN: break;
    }
    return SC_NONE;
}

/* acc[0] (and its index acc[1]) with v (and i) folded in; lanes off in `mask` unchanged. */
static void combine(Emit *e, const KernelAccum *a, LLVMValueRef *acc, LLVMValueRef v,
                    LLVMValueRef i, LLVMValueRef mask, bool ordered)
{
    if (!is_arg(a)) {
        Dtype t = running_type(a);
        LLVMValueRef in[] = { acc[0], v }, r = inst_scalar(e, combine_op(a->combine), t, t, in);
        acc[0] = mask ? LLVMBuildSelect(e->b, mask, r, acc[0], "") : r;
        return;
    }
    LLVMValueRef better = emit_and(e, arg_better(e, a, v, i, acc[0], acc[1], ordered), mask);
    acc[0] = LLVMBuildSelect(e->b, better, v, acc[0], "");
    acc[1] = LLVMBuildSelect(e->b, better, i, acc[1], "");
}

static LLVMValueRef spread(Emit *e, LLVMValueRef v, LLVMValueRef like)
{
    return emit_lanes(v) == 1 ? emit_splat(e, v, emit_lanes(like)) : v;
}

void nest_reduce_fold(Nest *n, const NestStage *s, int copy, LLVMValueRef mask)
{
    LLVMValueRef *acc = n->acc + (uint32_t)copy * s->n_accs;
    for (uint32_t i = 0; i < s->s->accums.n; i++) {
        const KernelAccum *a = &s->s->accums.at[i];
        Dtype from = s->s->insts.at[a->value].dtype;
        LLVMValueRef v =
            spread(n->e, inst_cast(n->e, from, running_type(a), s->values[copy][a->value]), acc[0]);
        LLVMValueRef index = NULL;
        if (is_arg(a))
            index = spread(n->e,
                           inst_cast(n->e, DT_I64, index_type(n, s, a), s->values[copy][a->index]),
                           acc[0]);
        combine(n->e, a, acc, v, index, mask, is_arg(a) && folds_in_order(n, s, a));
        acc += is_arg(a) ? 2 : 1;
    }
}

/* Lanes [first, first + n) of v. */
static LLVMValueRef take_lanes(Emit *e, LLVMValueRef v, int first, int n)
{
    LLVMValueRef each[NEST_REDUCE_LANES];
    if (n == 1)
        return LLVMBuildExtractElement(e->b, v, emit_int(e, DT_I32, first, 1), "");
    for (int i = 0; i < n; i++)
        each[i] = emit_int(e, DT_I32, first + i, 1);
    return LLVMBuildShuffleVector(e->b, v, LLVMGetPoison(LLVMTypeOf(v)),
                                  LLVMConstVector(each, (unsigned)n), "");
}

void nest_reduce_lanes(Nest *n, const NestStage *s, int copies, int lanes)
{
    Emit *e = n->e;
    for (uint32_t i = 0, number = 0; i < s->s->accums.n; i++) {
        const KernelAccum *a = &s->s->accums.at[i];
        for (int apart = NEST_REDUCE_LANES / lanes / 2; apart; apart /= 2)
            for (int c = 0; c < apart && c + apart < copies; c++) {
                LLVMValueRef *to = n->acc + (uint32_t)c * s->n_accs + number;
                LLVMValueRef *from = n->acc + (uint32_t)(c + apart) * s->n_accs + number;
                combine(e, a, to, from[0], is_arg(a) ? from[1] : NULL, NULL, false);
            }
        for (int half = lanes / 2; half; half /= 2) {
            LLVMValueRef *acc = n->acc + number, high[2] = { NULL };
            for (int j = 0; j < (is_arg(a) ? 2 : 1); j++) {
                high[j] = take_lanes(e, acc[j], half, half);
                acc[j] = take_lanes(e, acc[j], 0, half);
            }
            combine(e, a, acc, high[0], high[1], NULL, false);
        }
        number += is_arg(a) ? 2 : 1;
    }
}

void nest_reduce_finish(Nest *n, const NestStage *s, int copies)
{
    for (int c = 0; c < copies; c++)
        for (uint32_t i = 0, number = 0; i < s->s->accums.n; i++) {
            const KernelAccum *a = &s->s->accums.at[i];
            const LLVMValueRef *acc = n->acc + (uint32_t)c * s->n_accs + number;
            n->total[c][number++] = inst_cast(n->e, running_type(a), a->dtype, acc[0]);
            if (is_arg(a))
                n->total[c][number++] = inst_cast(n->e, index_type(n, s, a), DT_I64, acc[1]);
        }
}
