/* math.c: exp, log, tanh, sigmoid, erf and rsqrt in f32, and the small operations all functions are
 * made of.
 *
 * Polynomials are minimax for the relative error of the result, found with the Remez exchange and
 * with Lawson's weights in 140 bits. The last additions are arranged so that a small correction
 * meets a large exact term: that is what keeps the error under one unit, with fma as without. Range
 * reductions subtract multiples of a constant with so few bits that the products are exact.
 * Everything is select instead of branch; NaN passes because a clamp compares and selects, which
 * keeps it. */
#include "backend/math.h"
#include "backend/math_build.h"

#include <math.h>

/* ---- Small operations ---- */

static bool is_wide(Emit *e, LLVMValueRef x)
{
    return LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind
               ? LLVMGetElementType(LLVMTypeOf(x)) == e->f64
               : LLVMTypeOf(x) == e->f64;
}

LLVMValueRef math_const(Emit *e, LLVMValueRef like, double v)
{
    return emit_float(e, is_wide(e, like) ? DT_F64 : DT_F32, v, emit_lanes(like));
}

LLVMValueRef math_int(Emit *e, LLVMValueRef like, int64_t v)
{
    return emit_int(e, is_wide(e, like) ? DT_I64 : DT_I32, v, emit_lanes(like));
}

LLVMValueRef math_bits(Emit *e, LLVMValueRef x)
{
    return LLVMBuildBitCast(e->b, x, emit_type(e, is_wide(e, x) ? DT_I64 : DT_I32, emit_lanes(x)),
                            "");
}

LLVMValueRef math_float(Emit *e, LLVMValueRef like, LLVMValueRef x)
{
    return LLVMBuildBitCast(e->b, x, LLVMTypeOf(like), "");
}

LLVMValueRef math_abs(Emit *e, LLVMValueRef x)
{
    LLVMTypeRef t = LLVMTypeOf(x);
    return emit_intrinsic(e, "llvm.fabs", &t, 1, &x, 1);
}

LLVMValueRef math_copysign(Emit *e, LLVMValueRef magnitude, LLVMValueRef sign)
{
    LLVMTypeRef t = LLVMTypeOf(sign);
    LLVMValueRef args[] = { magnitude, sign };
    return emit_intrinsic(e, "llvm.copysign", &t, 1, args, 2);
}

LLVMValueRef math_less(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFCmp(e->b, LLVMRealOLT, a, b, "");
}

LLVMValueRef math_select(Emit *e, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(e->b, c, a, b, "");
}

LLVMValueRef math_clamp(Emit *e, LLVMValueRef x, double lo, double hi)
{
    LLVMValueRef l = math_const(e, x, lo), h = math_const(e, x, hi);
    x = math_select(e, math_less(e, x, l), l, x);
    return math_select(e, math_less(e, h, x), h, x);
}

LLVMValueRef math_poly(Emit *e, LLVMValueRef x, const double *c, int n)
{
    LLVMValueRef sum = math_const(e, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        sum = emit_fma(e, sum, x, math_const(e, x, c[i]));
    return sum;
}

LLVMValueRef math_sqrt(Emit *e, LLVMValueRef x)
{
    LLVMTypeRef t = LLVMTypeOf(x);
    return emit_intrinsic(e, "llvm.sqrt", &t, 1, &x, 1);
}

/* ---- exp ---- */

/* e^r = 1 + (r + r^2 Q(r)) on [-ln2/2, ln2/2], relative error 2^-28.3. */
static const double exp_q[] = { 0.49999993372637398447, 0.16666519519657517905,
                                0.04166840117352795507, 0.0083688514773089069241,
                                0.0013814316295640917801 };
#define EXP_LN2_LOW (-1.4286068203094172e-06)
static const double exp_magic = 0x1.8p23; /* adding it rounds to an integer */

/* x = n ln 2 + r; *out_t = n + magic, *out_head = r before its low part. */
static LLVMValueRef reduce_exponent(Emit *e, LLVMValueRef x, LLVMValueRef *out_t,
                                    LLVMValueRef *out_n, LLVMValueRef *out_head)
{
    LLVMValueRef big = math_const(e, x, exp_magic);
    *out_t = emit_fma(e, x, math_const(e, x, 1.4426950408889634), big);
    *out_n = sub(e, *out_t, big);
    *out_head = emit_fma(e, *out_n, math_const(e, x, -0x1.62e4p-1), x);
    return emit_fma(e, *out_n, math_const(e, x, EXP_LN2_LOW), *out_head);
}

/* p * 2^n rounded once, p in [2^-7, 2), n = t - magic an integer in [-153, 128]. Two factors, as
 * 2^-150 is not a float; the first product is exact. AVX-512 has an instruction of the same result.
 */
static LLVMValueRef scale_by_power(Emit *e, LLVMValueRef p, LLVMValueRef t, LLVMValueRef n)
{
    if (e->target->masks && emit_lanes(p) == 16) {
        LLVMValueRef all = LLVMConstAllOnes(e->i16);
        LLVMValueRef args[] = { p, n, p, all, LLVMConstInt(e->i32, 4, 0) };
        return emit_intrinsic(e, "llvm.x86.avx512.mask.scalef.ps.512", NULL, 0, args, 5);
    }
    LLVMValueRef big = math_bits(e, math_const(e, p, exp_magic));
    LLVMValueRef i = LLVMBuildSub(e->b, math_bits(e, t), big, "");
    LLVMValueRef half = LLVMBuildAShr(e->b, i, math_int(e, p, 1), ""),
                 rest = LLVMBuildSub(e->b, i, half, "");
    LLVMValueRef bias = math_int(e, p, 127), shift = math_int(e, p, 23);
    half = LLVMBuildShl(e->b, LLVMBuildAdd(e->b, half, bias, ""), shift, "");
    rest = LLVMBuildShl(e->b, LLVMBuildAdd(e->b, rest, bias, ""), shift, "");
    return mul(e, mul(e, p, math_float(e, p, half)), math_float(e, p, rest));
}

MathExp math_exp_parts(Emit *e, LLVMValueRef x, LLVMValueRef low)
{
    MathExp y;
    LLVMValueRef r = reduce_exponent(e, x, &y.t, &y.n, &y.head);
    LLVMValueRef rest = mul(e, y.n, math_const(e, x, EXP_LN2_LOW));
    if (low) {
        r = add(e, r, low);
        rest = add(e, rest, low);
    }
    y.tail = emit_fma(e, math_poly(e, r, exp_q, 5), mul(e, r, r), rest);
    return y;
}

LLVMValueRef math_exp_scale(Emit *e, LLVMValueRef p, const MathExp *y)
{
    return scale_by_power(e, p, y->t, y->n);
}

LLVMValueRef math_exp_fine(Emit *e, LLVMValueRef x, LLVMValueRef low)
{
    MathExp y = math_exp_parts(e, x, low);
    LLVMValueRef one = math_const(e, x, 1), sum = add(e, one, y.head);
    LLVMValueRef p = add(e, sum, add(e, sub(e, y.head, sub(e, sum, one)), y.tail));
    return scale_by_power(e, p, y.t, y.n);
}

/* e^x = 2^n e^r */
static LLVMValueRef exp_f32(Emit *e, LLVMValueRef x)
{
    LLVMValueRef t, n, head;
    x = math_clamp(e, x, -104, 89); /* e^-104 rounds to 0, e^89 to infinity */
    LLVMValueRef r = reduce_exponent(e, x, &t, &n, &head), q = math_poly(e, r, exp_q, 5);
    LLVMValueRef p = add(e, emit_fma(e, q, mul(e, r, r), r), math_const(e, x, 1));
    return scale_by_power(e, p, t, n);
}

/* ---- log ---- */

/* x = 2^k m, m in [2/3, 4/3), f = m - 1: log x = k ln2_hi + f + (k ln2_lo - f^2/2 + f^3 P(f)),
 * where k ln2_hi is exact and the error of adding f is kept. */
static LLVMValueRef log_f32(Emit *e, LLVMValueRef x)
{
    static const double p[] = { 0.33333215981200567064, -0.24999797674780038605,
                                0.20010405991547284928, -0.16680487196831583697,
                                0.14005867887732438093, -0.12184263639295656248,
                                0.139844418499370574,   -0.1289167222860684391 };
    LLVMValueRef zero = math_const(e, x, 0), infinite = math_const(e, x, INFINITY);
    LLVMValueRef tiny = math_less(e, x, math_const(e, x, 0x1p-126));
    LLVMValueRef normal = math_select(e, tiny, mul(e, x, math_const(e, x, 0x1p23)), x);
    LLVMValueRef bits = math_bits(e, normal), shift = math_int(e, x, 23);
    LLVMValueRef ki =
        LLVMBuildAShr(e->b, LLVMBuildSub(e->b, bits, math_int(e, x, 0x3f2aaaab), ""), shift, "");
    LLVMValueRef m =
        math_float(e, x, LLVMBuildSub(e->b, bits, LLVMBuildShl(e->b, ki, shift, ""), ""));
    LLVMValueRef k = LLVMBuildSIToFP(e->b, ki, LLVMTypeOf(x), "");
    k = math_select(e, tiny, sub(e, k, math_const(e, x, 23)), k);

    LLVMValueRef f = sub(e, m, math_const(e, x, 1));
    LLVMValueRef u = emit_fma(e, math_poly(e, f, p, 8), f, math_const(e, x, -0.5));
    LLVMValueRef rest =
        emit_fma(e, mul(e, f, f), u, mul(e, k, math_const(e, x, 1.4286068203094172e-06)));
    LLVMValueRef head = mul(e, k, math_const(e, x, 0x1.62e4p-1)), sum = add(e, head, f);
    LLVMValueRef lost = sub(e, f, sub(e, sum, head));
    LLVMValueRef r = add(e, sum, add(e, lost, rest));

    /* 0: -inf; below: NaN; infinity and NaN: themselves */
    LLVMValueRef special = math_select(e, math_less(e, x, zero), math_const(e, x, NAN), x);
    special = math_select(e, LLVMBuildFCmp(e->b, LLVMRealOEQ, x, zero, ""),
                          math_const(e, x, -INFINITY), special);
    LLVMValueRef finite = LLVMBuildAnd(e->b, math_less(e, zero, x), math_less(e, x, infinite), "");
    return math_select(e, finite, r, special);
}

/* ---- tanh, sigmoid, erf, rsqrt ---- */

/* With M = e^2|x| - 1 = 2^n (e^r - 1) + (2^n - 1), which is as good in relative terms as e^r - 1 is
 * near 0: M / (M + 2) is c - c q, q = 2c / (M + 2), for c = M / 2 as for c = 1. The first for M <
 * 2, the other from there on: what is subtracted is less than half of c, and so are its errors. The
 * result cannot exceed c = 1; beyond |x| = 9.1 it is 1. */
static LLVMValueRef tanh_f32(Emit *e, LLVMValueRef x)
{
    LLVMValueRef a = math_abs(e, x), limit = math_const(e, x, 20), one = math_const(e, x, 1), t, n,
                 head;
    a = add(e, a, a);
    a = math_select(e, math_less(e, limit, a), limit, a);
    LLVMValueRef r = reduce_exponent(e, a, &t, &n, &head);
    LLVMValueRef p = emit_fma(e, math_poly(e, r, exp_q, 5), mul(e, r, r), r);
    LLVMValueRef power =
        LLVMBuildShl(e->b, math_bits(e, t), math_int(e, x, 23), ""); /* the low bits of t are n */
    power = math_float(e, x, LLVMBuildAdd(e->b, power, math_bits(e, one), ""));
    LLVMValueRef m = emit_fma(e, p, power, sub(e, power, one)), two = math_const(e, x, 2);
    LLVMValueRef c = math_select(e, math_less(e, m, two), mul(e, m, math_const(e, x, 0.5)), one);
    LLVMValueRef q = divide(e, add(e, c, c), add(e, m, two));
    return math_copysign(e, emit_fma(e, LLVMBuildFNeg(e->b, c, ""), q, c), x);
}

/* With E = e^-|x|, which does not overflow, and q = E / (1 + E): 1 - q for x >= 0 and E - E q
 * below. Dividing E or 1 itself would add the errors of the quotient and of 1 + E in full. */
LLVMValueRef math_sigmoid_of(Emit *e, LLVMValueRef power, LLVMValueRef x)
{
    LLVMValueRef one = math_const(e, x, 1);
    LLVMValueRef minus = LLVMBuildFNeg(e->b, divide(e, power, add(e, power, one)), "");
    LLVMValueRef below = math_less(e, x, math_const(e, x, 0));
    LLVMValueRef top = math_select(e, below, power, one);
    return emit_fma(e, top, minus, top);
}

static LLVMValueRef sigmoid_f32(Emit *e, LLVMValueRef x)
{
    LLVMValueRef a = LLVMBuildFNeg(e->b, math_abs(e, x), "");
    return math_sigmoid_of(e, math_exp_fine(e, math_clamp(e, a, -104, 0), NULL), x);
}

/* |x| < 0.92: x + x P(x^2). Else 1 - e^L(|x|), L minimax for log erfc weighted by erfc / erf. */
static LLVMValueRef erf_f32(Emit *e, LLVMValueRef x)
{
    static const double p[] = { 0.1283791666465898388,     -0.37612633854324454208,
                                0.11283697325952993934,    -0.026859500141414985482,
                                0.0052012861474718729934,  -0.00081455980931644862576,
                                0.000083823922971011434163 };
    static const double l[] = { 0.0001746831952056166068,  -1.1295149242664937715,
                                -0.63334691976307569435,   -0.10828007379499215073,
                                0.025119416699081217931,   -0.0041710587348226086976,
                                0.00043446167966076158519, -0.000021094964716155713259 };
    LLVMValueRef a = math_abs(e, x), z = mul(e, a, a);
    LLVMValueRef small = emit_fma(e, math_poly(e, z, p, 7), a, a);
    LLVMValueRef power = exp_f32(e, math_poly(e, math_clamp(e, a, 0, 4), l, 8));
    LLVMValueRef large = sub(e, math_const(e, x, 1), power);
    return math_copysign(e, math_select(e, math_less(e, a, math_const(e, x, 0.92)), small, large),
                         x);
}

static LLVMValueRef rsqrt_any(Emit *e, LLVMValueRef x)
{
    return divide(e, math_const(e, x, 1), math_sqrt(e, x));
}

/* ---- All ---- */

static const char *const libm_names[SC_COUNT] = {
    [SC_EXP] = "exp",   [SC_EXPM1] = "expm1", [SC_LOG] = "log",     [SC_LOG1P] = "log1p",
    [SC_SIN] = "sin",   [SC_COS] = "cos",     [SC_TAN] = "tan",     [SC_ASIN] = "asin",
    [SC_ACOS] = "acos", [SC_ATAN] = "atan",   [SC_SINH] = "sinh",   [SC_COSH] = "cosh",
    [SC_TANH] = "tanh", [SC_ASINH] = "asinh", [SC_ACOSH] = "acosh", [SC_ATANH] = "atanh",
    [SC_ERF] = "erf",   [SC_ERFC] = "erfc",   [SC_POW] = "pow",     [SC_ATAN2] = "atan2",
};

/* e^-|x| / (1 + e^-|x|), or 1 over the same: as in f32 */
static LLVMValueRef sigmoid_f64(Emit *e, LLVMValueRef x)
{
    LLVMValueRef one = math_const(e, x, 1), minus = LLVMBuildFNeg(e->b, math_abs(e, x), "");
    LLVMValueRef power = math_call(e, "exp", &minus, 1);
    LLVMValueRef below = math_less(e, x, math_const(e, x, 0));
    return divide(e, math_select(e, below, power, one), add(e, power, one));
}

static LLVMValueRef function_f64(Emit *e, ScalarOp op, const LLVMValueRef *in)
{
    if (op == SC_RSQRT)
        return rsqrt_any(e, in[0]);
    LLVMValueRef x = in[0];
    if (op == SC_SIGMOID)
        return sigmoid_f64(e, x);
    if (op == SC_NORMAL_CDF) {
        LLVMValueRef z = mul(e, x, math_const(e, x, -0.70710678118654752));
        return mul(e, math_call(e, "erfc", &z, 1), math_const(e, x, 0.5));
    }
    if (op == SC_NORMAL_CDF_TANH) {
        LLVMValueRef cubic = mul(e, mul(e, x, math_const(e, x, 0.044715)), x);
        LLVMValueRef slope = mul(e, add(e, cubic, math_const(e, x, 1)),
                                 math_const(e, x, 1.5957691216057308));
        return sigmoid_f64(e, mul(e, x, slope));
    }
    return math_call(e, libm_names[op], in, scalar_operands(op));
}

LLVMValueRef math_function(Emit *e, ScalarOp op, const LLVMValueRef *in)
{
    if (is_wide(e, in[0]))
        return function_f64(e, op, in);
    if (op == SC_EXP)
        return exp_f32(e, in[0]);
    if (op == SC_LOG)
        return log_f32(e, in[0]);
    if (op == SC_TANH)
        return tanh_f32(e, in[0]);
    if (op == SC_SIGMOID)
        return sigmoid_f32(e, in[0]);
    if (op == SC_ERF)
        return erf_f32(e, in[0]);
    if (op == SC_ERFC || op == SC_NORMAL_CDF || op == SC_NORMAL_CDF_TANH)
        return math_normal(e, op, in[0]);
    if (op == SC_RSQRT)
        return rsqrt_any(e, in[0]);
    if (op == SC_SIN || op == SC_COS || op == SC_TAN)
        return math_trig(e, op, in[0]);
    return math_wide(e, op, in);
}
