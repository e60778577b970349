/* inst.c: kernel instructions to LLVM values. One switch over the closed set of scalar operations.
 *
 * Integer division has no trapping case left before it reaches the machine: divisors 0 and -1 are
 * replaced and their results chosen afterwards. f16 and bf16 compute in f32 and round once, which
 * is exact for +, -, *, / and sqrt (24 >= 2 * 11 + 2). */
#include "backend/inst.h"
#include "backend/math.h"

#include <math.h>

static bool is_half(Dtype t)
{
    return t == DT_F16 || t == DT_BF16;
}

static LLVMValueRef constant(Emit *e, Dtype t, int64_t v, LLVMValueRef like)
{
    return dtype_is_float(t) ? emit_float(e, t, (double)v, emit_lanes(like))
                             : emit_int(e, t, v, emit_lanes(like));
}

static LLVMValueRef select_of(Emit *e, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(e->b, c, a, b, "");
}

static LLVMValueRef is_equal(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(e->b, LLVMIntEQ, a, b, "");
}

/* ---- Integers ---- */

typedef struct {
    LLVMValueRef quotient, remainder, b_is_zero,
        adjust; /* adjust: the remainder is not 0 and its sign is not b's */
} Division;

static Division divide_safely(Emit *e, Dtype t, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef zero = constant(e, t, 0, a), one = constant(e, t, 1, a);
    Division d = { .b_is_zero = is_equal(e, b, zero) };
    if (!dtype_is_signed(t)) {
        LLVMValueRef safe = select_of(e, d.b_is_zero, one, b);
        d.quotient = LLVMBuildUDiv(e->b, a, safe, "");
        d.remainder = LLVMBuildSub(e->b, a, LLVMBuildMul(e->b, d.quotient, safe, ""), "");
        d.adjust = LLVMConstNull(LLVMTypeOf(d.b_is_zero));
        return d;
    }
    LLVMValueRef minus = is_equal(e, b, constant(e, t, -1, a));
    LLVMValueRef safe = select_of(e, LLVMBuildOr(e->b, d.b_is_zero, minus, ""), one, b);
    LLVMValueRef q = LLVMBuildSDiv(e->b, a, safe, "");
    d.quotient = select_of(e, minus, LLVMBuildNeg(e->b, a, ""), q);
    d.remainder = LLVMBuildSub(e->b, a, LLVMBuildMul(e->b, q, safe, ""), ""); /* 0 for -1 */
    LLVMValueRef differ =
        LLVMBuildICmp(e->b, LLVMIntSLT, LLVMBuildXor(e->b, d.remainder, b, ""), zero, "");
    d.adjust =
        LLVMBuildAnd(e->b, differ, LLVMBuildICmp(e->b, LLVMIntNE, d.remainder, zero, ""), "");
    return d;
}

static LLVMValueRef integer_division(Emit *e, ScalarOp op, Dtype t, LLVMValueRef a, LLVMValueRef b)
{
    Division d = divide_safely(e, t, a, b);
    LLVMValueRef zero = constant(e, t, 0, a), r = d.quotient;
    if (op == SC_FLOORDIV)
        r = LLVMBuildSub(e->b, r, LLVMBuildZExt(e->b, d.adjust, LLVMTypeOf(a), ""), "");
    if (op == SC_MOD)
        r = LLVMBuildAdd(e->b, d.remainder, select_of(e, d.adjust, b, zero), "");
    return select_of(e, d.b_is_zero, zero, r);
}

static LLVMValueRef integer_shift(Emit *e, ScalarOp op, Dtype t, LLVMValueRef a, LLVMValueRef b)
{
    int64_t bits = (int64_t)dtype_size(t) * 8;
    LLVMValueRef zero = constant(e, t, 0, a), last = constant(e, t, bits - 1, a);
    LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntULE, b, last, "");
    if (op == SC_SHR && dtype_is_signed(t))
        return LLVMBuildAShr(e->b, a, select_of(e, inside, b, last), "");
    LLVMValueRef by = select_of(e, inside, b, zero);
    LLVMValueRef r = op == SC_SHL ? LLVMBuildShl(e->b, a, by, "") : LLVMBuildLShr(e->b, a, by, "");
    return select_of(e, inside, r, zero);
}

/* a^b by squaring, wrapping; a negative b gives the truncated reciprocal power: 0 but for a = 1 and
 * -1. */
static LLVMValueRef integer_power(Emit *e, Dtype t, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef zero = constant(e, t, 0, a), one = constant(e, t, 1, a);
    LLVMValueRef v[3] = { one, a, b }; /* result, base, exponent left */
    EmitLoop l;
    emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, (int64_t)dtype_size(t) * 8), 1, v, 3);
    LLVMValueRef odd = LLVMBuildTrunc(e->b, v[2], emit_type(e, DT_BOOL, emit_lanes(a)), "");
    v[0] = select_of(e, odd, LLVMBuildMul(e->b, v[0], v[1], ""), v[0]);
    v[1] = LLVMBuildMul(e->b, v[1], v[1], "");
    v[2] = LLVMBuildLShr(e->b, v[2], one, "");
    emit_loop_end(e, &l);
    if (!dtype_is_signed(t))
        return v[0];
    LLVMValueRef minus = constant(e, t, -1, a), odd_b = LLVMBuildAnd(e->b, b, one, "");
    LLVMValueRef unit = select_of(e, is_equal(e, odd_b, one), minus, one);
    LLVMValueRef r = select_of(e, is_equal(e, a, minus), unit, zero);
    r = select_of(e, is_equal(e, a, one), one, r);
    return select_of(e, LLVMBuildICmp(e->b, LLVMIntSLT, b, zero, ""), r, v[0]);
}

static LLVMIntPredicate integer_predicate(ScalarOp op, bool is_signed)
{
    if (op == SC_EQ || op == SC_NE)
        return op == SC_EQ ? LLVMIntEQ : LLVMIntNE;
    if (op == SC_LT || op == SC_MINIMUM)
        return is_signed ? LLVMIntSLT : LLVMIntULT;
    if (op == SC_LE)
        return is_signed ? LLVMIntSLE : LLVMIntULE;
    if (op == SC_GE)
        return is_signed ? LLVMIntSGE : LLVMIntUGE;
    return is_signed ? LLVMIntSGT : LLVMIntUGT; /* GT, MAXIMUM */
}

static LLVMValueRef integer_sign(Emit *e, Dtype t, LLVMValueRef a)
{
    LLVMValueRef zero = constant(e, t, 0, a), one = constant(e, t, 1, a);
    LLVMValueRef r = select_of(e, is_equal(e, a, zero), zero, one);
    if (!dtype_is_signed(t))
        return r;
    return select_of(e, LLVMBuildICmp(e->b, LLVMIntSLT, a, zero, ""), constant(e, t, -1, a), r);
}

static LLVMValueRef integer_abs(Emit *e, Dtype t, LLVMValueRef a)
{
    if (!dtype_is_signed(t))
        return a;
    return select_of(e, LLVMBuildICmp(e->b, LLVMIntSLT, a, constant(e, t, 0, a), ""),
                     LLVMBuildNeg(e->b, a, ""), a);
}

static LLVMValueRef integer_op(Emit *e, ScalarOp op, Dtype t, const LLVMValueRef *in)
{
    LLVMValueRef a = in[0], b = scalar_operands(op) > 1 ? in[1] : NULL;
    switch (op) {
    case SC_NEG: return LLVMBuildNeg(e->b, a, "");
    case SC_ABS: return integer_abs(e, t, a);
    case SC_SIGN: return integer_sign(e, t, a);
    case SC_NOT: return LLVMBuildNot(e->b, a, "");
    case SC_COPY: case SC_FLOOR: case SC_CEIL: case SC_ROUND: case SC_TRUNC: return a;
    case SC_IS_NAN: case SC_IS_INF: return emit_null(e, DT_BOOL, emit_lanes(a));
    case SC_ADD: return LLVMBuildAdd(e->b, a, b, "");
    case SC_SUB: return LLVMBuildSub(e->b, a, b, "");
    case SC_MUL: return LLVMBuildMul(e->b, a, b, "");
    case SC_DIV: case SC_FLOORDIV: case SC_MOD: return integer_division(e, op, t, a, b);
    case SC_POW: return integer_power(e, t, a, b);
    case SC_AND: return LLVMBuildAnd(e->b, a, b, "");
    case SC_OR: return LLVMBuildOr(e->b, a, b, "");
    case SC_XOR: return LLVMBuildXor(e->b, a, b, "");
    case SC_SHL: case SC_SHR: return integer_shift(e, op, t, a, b);
    case SC_EQ: case SC_NE: case SC_LT: case SC_LE: case SC_GT: case SC_GE:
        return LLVMBuildICmp(e->b, integer_predicate(op, dtype_is_signed(t)), a, b, "");
    case SC_MAXIMUM: case SC_MINIMUM:
        return select_of(
            e, LLVMBuildICmp(e->b, integer_predicate(op, dtype_is_signed(t)), a, b, ""), a, b);
    case SC_SQRT:
    case SC_RSQRT:
    case SC_EXP:
    case SC_EXPM1:
    case SC_LOG:
    case SC_LOG1P:
    case SC_SIN:
    case SC_COS:
    case SC_TAN:
    case SC_ASIN:
    case SC_ACOS:
    case SC_ATAN:
    case SC_SINH:
    case SC_COSH:
    case SC_TANH:
    case SC_ASINH:
    case SC_ACOSH:
    case SC_ATANH:
    case SC_SIGMOID:
    case SC_ERF:
    case SC_ERFC:
    case SC_NORMAL_CDF:
    case SC_NORMAL_CDF_TANH:
    case SC_ATAN2:
    case SC_CAST:
    case SC_SELECT:
    case SC_NONE:
    case SC_COUNT: break;
    }
    emit_fail(e, "no %s of integers", scalar_name(op));
    return a;
}

/* bool: sums and products are "or" and "and", as 0 and anything else are all there is. */
static LLVMValueRef bool_op(Emit *e, ScalarOp op, const LLVMValueRef *in)
{
    if (op == SC_ADD || op == SC_MAXIMUM)
        return LLVMBuildOr(e->b, in[0], in[1], "");
    if (op == SC_MUL || op == SC_MINIMUM || op == SC_DIV)
        return LLVMBuildAnd(e->b, in[0], in[1], "");
    if (op == SC_SUB)
        return LLVMBuildXor(e->b, in[0], in[1], "");
    if (op == SC_NEG || op == SC_ABS || op == SC_SIGN)
        return in[0];
    if (op == SC_FLOORDIV || op == SC_MOD || op == SC_SHL || op == SC_SHR || op == SC_POW)
        emit_fail(e, "no %s of bool", scalar_name(op));
    return integer_op(e, op, DT_BOOL, in);
}

/* ---- Floats ---- */

static LLVMRealPredicate float_predicate(ScalarOp op)
{
    if (op == SC_EQ)
        return LLVMRealOEQ;
    if (op == SC_NE)
        return LLVMRealUNE;
    if (op == SC_LT)
        return LLVMRealOLT;
    if (op == SC_LE)
        return LLVMRealOLE;
    return op == SC_GT ? LLVMRealOGT : LLVMRealOGE;
}

/* b when it is greater (or smaller) or NaN, else a: so the first is kept when equal, and NaN wins.
 */
static LLVMValueRef float_extreme(Emit *e, ScalarOp op, LLVMValueRef a, LLVMValueRef b)
{
    LLVMRealPredicate better = op == SC_MAXIMUM ? LLVMRealOGT : LLVMRealOLT;
    LLVMValueRef r = select_of(e, LLVMBuildFCmp(e->b, better, b, a, ""), b, a);
    return select_of(e, LLVMBuildFCmp(e->b, LLVMRealUNO, b, b, ""), b, r);
}

static LLVMValueRef round_by(Emit *e, const char *intrinsic, LLVMValueRef a)
{
    LLVMTypeRef t = LLVMTypeOf(a);
    return emit_intrinsic(e, intrinsic, &t, 1, &a, 1);
}

/* C's fmod moved to the sign of b, which a remainder of 0 takes too. */
static LLVMValueRef float_modulus(Emit *e, Dtype t, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef in[] = { a, b }, zero = constant(e, t, 0, a);
    LLVMValueRef r = math_call(e, t == DT_F64 ? "fmod" : "fmodf", in, 2);
    LLVMValueRef differ = LLVMBuildXor(e->b, math_less(e, r, zero), math_less(e, b, zero), "");
    LLVMValueRef moved = select_of(e, differ, LLVMBuildFAdd(e->b, r, b, ""), r);
    return select_of(e, LLVMBuildFCmp(e->b, LLVMRealOEQ, r, zero, ""), math_copysign(e, zero, b),
                     moved);
}

/* The floor of the exact quotient: f32 divides in f64, where no quotient of f32 values rounds up to
 * an integer. */
static LLVMValueRef floor_divide(Emit *e, Dtype t, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef q =
        LLVMBuildFDiv(e->b, inst_cast(e, t, DT_F64, a), inst_cast(e, t, DT_F64, b), "");
    return inst_cast(e, DT_F64, t, round_by(e, "llvm.floor", q));
}

static LLVMValueRef float_sign(Emit *e, Dtype t, LLVMValueRef a)
{
    LLVMValueRef zero = constant(e, t, 0, a); /* 0, -0 and NaN stay */
    LLVMValueRef r = select_of(e, math_less(e, a, zero), constant(e, t, -1, a), a);
    return select_of(e, math_less(e, zero, a), constant(e, t, 1, a), r);
}

static LLVMValueRef float_op(Emit *e, ScalarOp op, Dtype t, const LLVMValueRef *in)
{
    LLVMValueRef a = in[0], b = scalar_operands(op) > 1 ? in[1] : NULL;
    switch (op) {
    case SC_COPY: return a;
    case SC_NEG: return LLVMBuildFNeg(e->b, a, "");
    case SC_ABS: return math_abs(e, a);
    case SC_SIGN: return float_sign(e, t, a);
    case SC_FLOOR: return round_by(e, "llvm.floor", a);
    case SC_CEIL: return round_by(e, "llvm.ceil", a);
    case SC_ROUND: return round_by(e, "llvm.roundeven", a);
    case SC_TRUNC: return round_by(e, "llvm.trunc", a);
    case SC_SQRT: return math_sqrt(e, a);
    case SC_IS_NAN: return LLVMBuildFCmp(e->b, LLVMRealUNO, a, a, "");
    case SC_IS_INF:
        return LLVMBuildFCmp(e->b, LLVMRealOEQ, math_abs(e, a),
                             emit_float(e, t, INFINITY, emit_lanes(a)), "");
    case SC_ADD: return LLVMBuildFAdd(e->b, a, b, "");
    case SC_SUB: return LLVMBuildFSub(e->b, a, b, "");
    case SC_MUL: return LLVMBuildFMul(e->b, a, b, "");
    case SC_DIV: return LLVMBuildFDiv(e->b, a, b, "");
    case SC_FLOORDIV: return floor_divide(e, t, a, b);
    case SC_MOD: return float_modulus(e, t, a, b);
    case SC_MAXIMUM: case SC_MINIMUM: return float_extreme(e, op, a, b);
    case SC_EQ: case SC_NE: case SC_LT: case SC_LE: case SC_GT: case SC_GE:
        return LLVMBuildFCmp(e->b, float_predicate(op), a, b, "");
    case SC_RSQRT:
    case SC_EXP:
    case SC_EXPM1:
    case SC_LOG:
    case SC_LOG1P:
    case SC_SIN:
    case SC_COS:
    case SC_TAN:
    case SC_ASIN:
    case SC_ACOS:
    case SC_ATAN:
    case SC_SINH:
    case SC_COSH:
    case SC_TANH:
    case SC_ASINH:
    case SC_ACOSH:
    case SC_ATANH:
    case SC_SIGMOID:
    case SC_ERF:
    case SC_ERFC:
    case SC_NORMAL_CDF:
    case SC_NORMAL_CDF_TANH:
    case SC_POW:
    case SC_ATAN2: return math_function(e, op, in);
    case SC_NOT:
    case SC_AND:
    case SC_OR:
    case SC_XOR:
    case SC_SHL:
    case SC_SHR:
    case SC_CAST:
    case SC_SELECT:
    case SC_NONE:
    case SC_COUNT: break;
    }
    emit_fail(e, "no %s of floats", scalar_name(op));
    return a;
}

/* ---- All ---- */

/* Spreads scalars among vectors. */
static void level_lanes(Emit *e, LLVMValueRef *v, int n)
{
    int lanes = 1;
    for (int i = 0; i < n; i++)
        if (emit_lanes(v[i]) > lanes)
            lanes = emit_lanes(v[i]);
    for (int i = 0; i < n; i++)
        if (emit_lanes(v[i]) < lanes)
            v[i] = emit_splat(e, v[i], lanes);
}

LLVMValueRef inst_scalar(Emit *e, ScalarOp op, Dtype from, Dtype to, const LLVMValueRef *in)
{
    LLVMValueRef v[3];
    int n = scalar_operands(op);
    if (op == SC_CAST)
        return inst_cast(e, from, to, in[0]);
    if (op == SC_COPY)
        return in[0];
    for (int i = 0; i < n; i++)
        v[i] = in[i];
    if (op == SC_SELECT) { /* a scalar condition chooses between vectors without being spread */
        level_lanes(e, emit_lanes(v[0]) > 1 ? v : v + 1, emit_lanes(v[0]) > 1 ? 3 : 2);
        return select_of(e, v[0], v[1], v[2]);
    }
    level_lanes(e, v, n);
    if (from == DT_BOOL)
        return bool_op(e, op, v);
    if (!dtype_is_float(from))
        return integer_op(e, op, from, v);
    if (!is_half(from))
        return float_op(e, op, from, v);
    for (int i = 0; i < n; i++)
        v[i] = inst_widen(e, from, v[i]);
    LLVMValueRef r = float_op(e, op, DT_F32, v);
    return is_half(to) ? inst_narrow(e, to, r) : r;
}

static LLVMValueRef emit_constant(Emit *e, const KernelInst *x)
{
    if (is_half(x->dtype))
        return inst_cast(e, DT_F64, x->dtype, emit_float(e, DT_F64, x->f, 1));
    return dtype_is_float(x->dtype) ? emit_float(e, x->dtype, x->f, 1)
                                    : emit_int(e, x->dtype, x->i, 1);
}

static LLVMValueRef emit_random(Emit *e, const InstEnv *env, const KernelInst *x)
{
    LLVMValueRef element = env->values[x->a], step = env->values[x->b], key = env->values[x->c];
    InstRandom *r = env->random;
    if (r->element != element || r->step != step || r->key != key || r->site != x->site) {
        *r = (InstRandom){ .element = element, .step = step, .key = key, .site = x->site };
        inst_philox(e, element, step, x->site, key, r->words);
    }
    return r->words[x->access & 3];
}

static LLVMValueRef emit_scalar_op(Emit *e, const InstEnv *env, const KernelInst *x)
{
    const InstId ids[] = { x->a, x->b, x->c };
    LLVMValueRef in[3] = { NULL };
    for (int i = 0; i < scalar_operands(x->op); i++)
        in[i] = env->values[ids[i]];
    Dtype from = env->stage->insts.at[x->op == SC_SELECT ? x->b : x->a].dtype;
    return inst_scalar(e, x->op, from, x->dtype, in);
}

LLVMValueRef inst_emit(Emit *e, const InstEnv *env, InstId id)
{
    const KernelInst *x = &env->stage->insts.at[id];
    switch (x->kind) {
    case INST_LOAD: {
        const KernelAccess *a = &env->stage->accesses.at[x->access];
        return access_load(e, a, &env->point, a->index == INST_NONE ? NULL : env->values[a->index]);
    }
    case INST_CONST: return emit_constant(e, x);
    case INST_INDEX: return access_affine(e, &x->affine, &env->point);
    case INST_GUARD: {
        LLVMValueRef all = access_guards(e, &env->stage->accesses.at[x->access], &env->point);
        return all ? all : emit_int(e, DT_BOOL, 1, 1);
    }
    case INST_BATCH: return LLVMBuildMul(e->b, e->batch, emit_i64(e, x->affine.c), "");
    case INST_SCALAR: return emit_scalar_op(e, env, x);
    case INST_ACC: return env->accs[x->i];
    case INST_UNIT_VALUE: return env->stage_values[x->access][x->a];
    case INST_RANDOM: return emit_random(e, env, x);
    }
    return NULL;
}

static LLVMValueRef lane_of(Emit *e, LLVMValueRef v, int lane)
{
    return !v || emit_lanes(v) == 1
               ? v
               : LLVMBuildExtractElement(e->b, v, emit_int(e, DT_I32, lane, 1), "");
}

/* Additions that may meet at one element: lane after lane. */
static void store_lane_by_lane(Emit *e, const InstEnv *env, const KernelStore *s,
                               LLVMValueRef index)
{
    const KernelAccess *x = &env->stage->accesses.at[s->access];
    AccessPoint p = env->point;
    LLVMValueRef value = env->values[s->value], first = p.at[p.lane_axis];
    p.lanes = 1;
    p.mask = NULL;
    for (int lane = 0; lane < env->point.lanes; lane++) {
        EmitIf f;
        LLVMValueRef exists = lane_of(e, env->point.mask, lane);
        if (exists)
            emit_if_begin(e, &f, exists);
        p.at[p.lane_axis] = first ? LLVMBuildAdd(e->b, first, emit_i64(e, lane), "") : NULL;
        access_store(e, x, &p, lane_of(e, index, lane), lane_of(e, value, lane), s->kind);
        if (exists)
            emit_if_end(e, &f);
    }
}

void inst_store(Emit *e, const InstEnv *env, const KernelStore *s)
{
    const KernelAccess *x = &env->stage->accesses.at[s->access];
    LLVMValueRef index = x->index == INST_NONE ? NULL : env->values[x->index],
                 v = env->values[s->value];
    const AccessPoint *p = &env->point;
    bool by_index = index && emit_lanes(index) > 1;
    bool apart = p->lanes == 1 || (x->offset.coef[p->lane_axis] && !by_index);
    if (!apart && (s->kind == STORE_ADD || (by_index && !x->offset.coef[p->lane_axis])))
        store_lane_by_lane(e, env, s, index);
    else
        access_store(e, x, p, index, v, s->kind);
}
