/* math_wide.c: f32 functions that compute in f64 and round once, sin, cos and tan, and the way to
 * libm.
 *
 * In f64 with polynomials good to 2^-37 and better, no cancellation that these functions have can
 * reach the 24 bits of the result; twice the registers is a fair price for functions that are
 * seldom a kernel's bulk. sin and cos are used in positional encodings: only their reduction is
 * wide. It takes x modulo pi/2 with the constant in three parts, where n times each of the first
 * two is exact for |x| <= 2^27; beyond, libm. */
#include "backend/math.h"
#include "backend/math_build.h"

#include <math.h>
#include <string.h>

static LLVMValueRef equal(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFCmp(e->b, LLVMRealOEQ, a, b, "");
}

static LLVMValueRef widen(Emit *e, LLVMValueRef x)
{
    return LLVMBuildFPExt(e->b, x, emit_type(e, DT_F64, emit_lanes(x)), "");
}

static LLVMValueRef narrow(Emit *e, LLVMValueRef x)
{
    return LLVMBuildFPTrunc(e->b, x, emit_type(e, DT_F32, emit_lanes(x)), "");
}

/* ---- libm ---- */

static LLVMValueRef declare(Emit *e, const char *name, LLVMTypeRef t, int n)
{
    LLVMValueRef fn = LLVMGetNamedFunction(e->module, name);
    LLVMTypeRef params[] = { t, t };
    return fn ? fn : LLVMAddFunction(e->module, name, LLVMFunctionType(t, params, (unsigned)n, 0));
}

/* Vectors go through the stack in a loop: unrolled calls would be most of a kernel's code. */
LLVMValueRef math_call(Emit *e, const char *name, const LLVMValueRef *in, int n)
{
    LLVMTypeRef type = LLVMTypeOf(in[0]);
    int lanes = emit_lanes(in[0]);
    LLVMTypeRef t = lanes > 1 ? LLVMGetElementType(type) : type;
    LLVMValueRef fn = declare(e, name, t, n), args[2] = { in[0], n > 1 ? in[1] : NULL }, at[2];
    LLVMTypeRef fn_type = LLVMGlobalGetValueType(fn);
    if (lanes == 1)
        return LLVMBuildCall2(e->b, fn_type, fn, args, (unsigned)n, "");
    for (int i = 0; i < n; i++) {
        at[i] = emit_alloca(e, lanes * (t == e->f64 ? 8 : 4));
        LLVMBuildStore(e->b, in[i], at[i]);
    }
    EmitLoop l;
    emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, lanes), 1, NULL, 0);
    for (int i = 0; i < n; i++)
        args[i] = LLVMBuildLoad2(e->b, t, LLVMBuildGEP2(e->b, t, at[i], &l.i, 1, ""), "");
    LLVMValueRef r = LLVMBuildCall2(e->b, fn_type, fn, args, (unsigned)n, "");
    LLVMBuildStore(e->b, r, LLVMBuildGEP2(e->b, t, at[0], &l.i, 1, ""));
    emit_loop_end(e, &l);
    return LLVMBuildLoad2(e->b, type, at[0], "");
}

/* ---- exp, log and atan in f64 ---- */

/* e^x = 2^n (1 + p), p = r + r^2 Q(r), for x held to [-300, 300]; NaN stays. */
typedef struct {
    LLVMValueRef p, power;
} ExpParts;

static ExpParts exp_parts(Emit *e, LLVMValueRef x)
{
    static const double q[] = { 0.49999999999999629568,     0.16666666666629922423,
                                0.041666666667110436571,    0.0083333333630234923154,
                                0.0013888888763418803908,   0.00019841195337116968522,
                                0.000024801696705836474672, 2.7630946613159679636e-6,
                                2.7554178585497556886e-7 };
    LLVMValueRef big = math_const(e, x, 0x1.8p52);
    x = math_clamp(e, x, -300, 300);
    LLVMValueRef t = emit_fma(e, x, math_const(e, x, 1.4426950408889634), big), n = sub(e, t, big);
    LLVMValueRef r = emit_fma(e, n, math_const(e, x, -0x1.62e42fefap-1), x);
    r = emit_fma(e, n, math_const(e, x, -0x1.cf79abc9e3b3ap-40), r);
    LLVMValueRef p = emit_fma(e, math_poly(e, r, q, 9), mul(e, r, r), r);
    LLVMValueRef power =
        LLVMBuildShl(e->b, math_bits(e, t), math_int(e, x, 52), ""); /* the low bits of t are n */
    power = LLVMBuildAdd(e->b, power, math_bits(e, math_const(e, x, 1)), "");
    return (ExpParts){ p, math_float(e, x, power) };
}

static LLVMValueRef exp_wide(Emit *e, LLVMValueRef x)
{
    ExpParts a = exp_parts(e, x);
    return emit_fma(e, a.p, a.power, a.power);
}

/* 2^n p + (2^n - 1): exact in relative terms near 0, where n is 0. */
static LLVMValueRef expm1_wide(Emit *e, LLVMValueRef x)
{
    ExpParts a = exp_parts(e, x);
    return emit_fma(e, a.p, a.power, sub(e, a.power, math_const(e, x, 1)));
}

/* log(1 + t) or, with t NULL, log u; u is 1 + t rounded. u = 2^k m, m in [sqrt 1/2, sqrt 2): k ln 2
 * + 2 atanh(s), s = (m - 1) / (m + 1). When k is 0, s = t / (2 + t), which has not lost t's low
 * bits. */
static LLVMValueRef log_wide(Emit *e, LLVMValueRef u, LLVMValueRef t)
{
    static const double p[] = { 0.66666666666586523158, 0.40000000052671178207,
                                0.28571417057262565557, 0.22223377336998568334,
                                0.18123445687515774618, 0.16822340615807761724 };
    LLVMValueRef bits = math_bits(e, u), shift = math_int(e, u, 52), one = math_const(e, u, 1),
                 zero = math_const(e, u, 0);
    LLVMValueRef ki = LLVMBuildAShr(
        e->b, LLVMBuildSub(e->b, bits, math_int(e, u, 0x3fe6a09e667f3bcd), ""), shift, "");
    LLVMValueRef m =
        math_float(e, u, LLVMBuildSub(e->b, bits, LLVMBuildShl(e->b, ki, shift, ""), ""));
    LLVMTypeRef narrow_int =
        emit_type(e, DT_I32, emit_lanes(u)); /* AVX2 has no conversion from i64 */
    LLVMValueRef k =
        LLVMBuildSIToFP(e->b, LLVMBuildTrunc(e->b, ki, narrow_int, ""), LLVMTypeOf(u), "");
    LLVMValueRef above = sub(e, m, one), sum = add(e, m, one);
    if (t) {
        LLVMValueRef near = equal(e, k, zero);
        above = math_select(e, near, t, above);
        sum = math_select(e, near, add(e, t, math_const(e, u, 2)), sum);
    }
    LLVMValueRef s = divide(e, above, sum), z = mul(e, s, s);
    LLVMValueRef r = emit_fma(e, mul(e, math_poly(e, z, p, 6), z), s, add(e, s, s));
    r = add(e, r, mul(e, k, math_const(e, u, 0.69314718055994530942)));
    LLVMValueRef special = math_select(e, math_less(e, u, zero), math_const(e, u, NAN), u);
    special = math_select(e, equal(e, u, zero), math_const(e, u, -INFINITY), special);
    LLVMValueRef finite =
        LLVMBuildAnd(e->b, math_less(e, zero, u), math_less(e, u, math_const(e, u, INFINITY)), "");
    return math_select(e, finite, r, special);
}

static LLVMValueRef log1p_wide(Emit *e, LLVMValueRef t)
{
    LLVMValueRef r = log_wide(e, add(e, t, math_const(e, t, 1)), t);
    return math_select(e, equal(e, t, math_const(e, t, 0)), t, r); /* -0 */
}

/* atan2 of f64 values that come from f32 ones. atan z for z = min / max in [0, 1], then the octants
 * undone. */
static LLVMValueRef atan2_wide(Emit *e, LLVMValueRef y, LLVMValueRef x)
{
    static const double p[] = {
        0.99999999999975991939,   -0.33333333322166919703,   0.19999999135238483639,
        -0.1428568772667487064,   0.11110681132761696454,    -0.090866792430259502232,
        0.076648094579116833215,  -0.06541910196883907056,   0.054720333045741461164,
        -0.042560696388454408927, 0.02869429367418644133,    -0.015466704434375800152,
        0.0060628895559493995239, -0.0015069263191406223945, 0.00017618189236832062851
    };
    LLVMValueRef ax = math_abs(e, x), ay = math_abs(e, y), zero = math_const(e, x, 0);
    LLVMValueRef steep = math_less(e, ax, ay);
    LLVMValueRef low = math_select(e, steep, ax, ay), high = math_select(e, steep, ay, ax);
    LLVMValueRef z = divide(e, low, high);
    z = math_select(e, equal(e, high, zero), zero, z); /* 0 / 0 */
    z = math_select(e, equal(e, low, math_const(e, x, INFINITY)), math_const(e, x, 1),
                    z); /* inf / inf */
    LLVMValueRef r = mul(e, math_poly(e, mul(e, z, z), p, 15), z);
    r = math_select(e, steep, sub(e, math_const(e, x, 1.5707963267948966), r), r);
    LLVMValueRef left =
        LLVMBuildICmp(e->b, LLVMIntSLT, math_bits(e, x), math_int(e, x, 0), ""); /* -0 counts */
    r = math_select(e, left, sub(e, math_const(e, x, 3.1415926535897932), r), r);
    LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, y, "");
    return math_copysign(e, math_select(e, nan, math_const(e, x, NAN), r), y);
}

/* ---- pow ---- */

/* y is an integer; odd: and odd. For y with 24 bits. */
static void find_parity(Emit *e, LLVMValueRef y, LLVMValueRef *out_integer, LLVMValueRef *out_odd)
{
    /* Beyond 2^24 every f32 is even; below, adding 2^52 * 1.5 rounds to an integer whose low bit is
     * the parity. */
    LLVMValueRef big = math_const(e, y, 0x1.8p52), a = math_abs(e, y), t = add(e, a, big);
    LLVMValueRef large = LLVMBuildFCmp(e->b, LLVMRealOGE, a, math_const(e, y, 0x1p24), "");
    LLVMValueRef whole = equal(e, sub(e, t, big), a);
    LLVMValueRef low =
        LLVMBuildTrunc(e->b, math_bits(e, t), emit_type(e, DT_BOOL, emit_lanes(y)), "");
    *out_integer = LLVMBuildOr(e->b, large, whole, "");
    *out_odd =
        LLVMBuildAnd(e->b, LLVMBuildAnd(e->b, whole, low, ""), LLVMBuildNot(e->b, large, ""), "");
}

/* e^(y log |x|) with C's special cases. */
static LLVMValueRef pow_wide(Emit *e, LLVMValueRef x, LLVMValueRef y)
{
    LLVMValueRef a = math_abs(e, x), one = math_const(e, x, 1), zero = math_const(e, x, 0), integer,
                 odd;
    find_parity(e, y, &integer, &odd);
    LLVMValueRef r = exp_wide(e, mul(e, y, log_wide(e, a, NULL)));
    r = math_select(e, equal(e, a, one), one, r); /* 1^inf; NaN^1 is not caught: a is NaN */
    LLVMValueRef negative = LLVMBuildICmp(e->b, LLVMIntSLT, math_bits(e, x), math_int(e, x, 0), "");
    LLVMValueRef flip = LLVMBuildAnd(e->b, negative, odd, "");
    r = math_select(e, flip, LLVMBuildFNeg(e->b, r, ""), r);
    LLVMValueRef finite = math_less(e, a, math_const(e, x, INFINITY));
    LLVMValueRef below = LLVMBuildAnd(e->b, math_less(e, x, zero), finite, "");
    r = math_select(e, LLVMBuildAnd(e->b, below, LLVMBuildNot(e->b, integer, ""), ""),
                    math_const(e, x, NAN), r);
    LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, y, "");
    r = math_select(e, nan, math_const(e, x, NAN), r);
    LLVMValueRef sure = LLVMBuildOr(e->b, equal(e, y, zero), equal(e, x, one), "");
    return math_select(e, sure, one, r);
}

/* ---- sin, cos, tan ---- */

/* x = n pi/2 + r: r in [-pi/4, pi/4] and n's low bits, for |x| <= 2^27. */
static LLVMValueRef reduce_angle(Emit *e, LLVMValueRef x, LLVMValueRef *out_quadrant)
{
    LLVMValueRef big = math_const(e, x, 0x1.8p52);
    LLVMValueRef t = emit_fma(e, x, math_const(e, x, 0.63661977236758134308), big),
                 n = sub(e, t, big);
    *out_quadrant = LLVMBuildTrunc(e->b, math_bits(e, t), emit_type(e, DT_I32, emit_lanes(x)), "");
    n = LLVMBuildFNeg(e->b, n, "");
    x = emit_fma(e, n, math_const(e, x, 0x1.921fb5p0), x);              /* 25 bits */
    x = emit_fma(e, n, math_const(e, x, 0x1.110b46p-26), x);            /* the next 24 */
    return emit_fma(e, n, math_const(e, x, 0x1.1a62633145c07p-54), x);
}

static LLVMValueRef bit_set(Emit *e, LLVMValueRef q, int bit)
{
    LLVMValueRef mask = emit_int(e, DT_I32, bit, emit_lanes(q));
    return LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildAnd(e->b, q, mask, ""),
                         LLVMConstNull(LLVMTypeOf(q)), "");
}

/* sin r = r + r^3 P(r^2), cos r = 1 - r^2/2 + r^4 Q(r^2), of any float type. */
static void sin_cos(Emit *e, LLVMValueRef r, const double *p, int np, const double *q, int nq,
                    LLVMValueRef *out_sin, LLVMValueRef *out_cos)
{
    LLVMValueRef z = mul(e, r, r), one = math_const(e, r, 1);
    LLVMValueRef s = emit_fma(e, mul(e, math_poly(e, z, p, np), z), r, r);
    *out_sin = math_select(e, equal(e, r, math_const(e, r, 0)), r, s); /* -0 */
    *out_cos =
        add(e, one,
            emit_fma(e, mul(e, z, z), math_poly(e, z, q, nq), mul(e, z, math_const(e, r, -0.5))));
}

static LLVMValueRef sine_or_cosine(Emit *e, ScalarOp op, LLVMValueRef x)
{
    static const double p[] = { -0.16666654602230719947, 0.0083321602885689158854,
                                -0.0001951521763127589758 };
    static const double c[] = { 0.0416666456701533163, -0.0013887315616456626579,
                                0.000024433082685946579772 };
    LLVMValueRef q, s, k;
    LLVMValueRef r = narrow(e, reduce_angle(e, widen(e, x), &q));
    sin_cos(e, r, p, 3, c, 3, &s, &k);
    if (op == SC_COS) /* cos x = sin (x + pi/2) */
        q = LLVMBuildAdd(e->b, q, emit_int(e, DT_I32, 1, emit_lanes(q)), "");
    r = math_select(e, bit_set(e, q, 1), k, s);
    return math_select(e, bit_set(e, q, 2), LLVMBuildFNeg(e->b, r, ""), r);
}

static LLVMValueRef tangent(Emit *e, LLVMValueRef x)
{
    static const double p[] = { -0.16666666666666630685,    0.008333333333322106899,
                                -0.00019841269829579852621, 2.7557313617922004123e-6,
                                -2.5050747205148784254e-8,  1.5896196970852268744e-10 };
    static const double c[] = { 0.041666666666666592832,    -0.0013888888888873040395,
                                0.000024801587288841408775, -2.7557314176241809005e-7,
                                2.0875700416232236213e-9,   -1.1358513955463272726e-11 };
    LLVMValueRef q, s, k;
    LLVMValueRef r = reduce_angle(e, widen(e, x), &q);
    sin_cos(e, r, p, 6, c, 6, &s, &k);
    LLVMValueRef odd = bit_set(e, q, 1);
    return narrow(e, divide(e, math_select(e, odd, LLVMBuildFNeg(e->b, k, ""), s),
                            math_select(e, odd, s, k)));
}

/* i1: some lane */
static LLVMValueRef any_lane(Emit *e, LLVMValueRef mask)
{
    int lanes = emit_lanes(mask);
    if (lanes == 1)
        return mask;
    LLVMTypeRef bits = LLVMIntTypeInContext(e->cx, (unsigned)lanes);
    return LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildBitCast(e->b, mask, bits, ""),
                         LLVMConstNull(bits), "");
}

LLVMValueRef math_trig(Emit *e, ScalarOp op, LLVMValueRef x)
{
    LLVMValueRef a = math_abs(e, x), huge = math_less(e, math_const(e, x, 0x1p27), a);
    LLVMValueRef near = math_select(e, huge, math_const(e, x, 0), x);
    LLVMValueRef r = op == SC_TAN ? tangent(e, near) : sine_or_cosine(e, op, near);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), after;
    EmitIf f;
    emit_if_begin(e, &f, any_lane(e, huge));
    LLVMValueRef far = math_call(e, op == SC_TAN ? "tanf" : op == SC_SIN ? "sinf" : "cosf", &x, 1);
    LLVMValueRef mixed = math_select(e, huge, far, r);
    after = LLVMGetInsertBlock(e->b);
    emit_if_end(e, &f);
    LLVMValueRef phi = LLVMBuildPhi(e->b, LLVMTypeOf(x), "");
    LLVMAddIncoming(phi, &r, &before, 1);
    LLVMAddIncoming(phi, &mixed, &after, 1);
    return phi;
}

/* ---- All ---- */

/* Odd functions are computed for |x|: the sign of zero and the symmetry are exact. */
static LLVMValueRef odd_function(Emit *e, ScalarOp op, LLVMValueRef a)
{
    LLVMValueRef one = math_const(e, a, 1), half = math_const(e, a, 0.5);
    if (op == SC_SINH) { /* (E + E / (E + 1)) / 2, E = e^a - 1 */
        LLVMValueRef m = expm1_wide(e, a);
        return mul(e, add(e, m, divide(e, m, add(e, m, one))), half);
    }
    if (op == SC_ASINH) { /* log(a + sqrt(a^2 + 1)) = log1p(a + a^2 / (1 + sqrt(a^2 + 1))) */
        LLVMValueRef square = mul(e, a, a), root = math_sqrt(e, add(e, square, one));
        LLVMValueRef r = log1p_wide(e, add(e, a, divide(e, square, add(e, one, root))));
        return math_select(e, equal(e, a, math_const(e, a, INFINITY)), a, r);
    }
    if (op == SC_ATANH) /* log1p(2a / (1 - a)) / 2 */
        return mul(e, log1p_wide(e, divide(e, add(e, a, a), sub(e, one, a))), half);
    if (op == SC_ASIN)
        return atan2_wide(e, a, math_sqrt(e, mul(e, sub(e, one, a), add(e, one, a))));
    return atan2_wide(e, a, one); /* ATAN */
}

static LLVMValueRef even_or_general(Emit *e, ScalarOp op, LLVMValueRef x)
{
    LLVMValueRef one = math_const(e, x, 1);
    if (op == SC_EXPM1)
        return math_select(e, equal(e, x, math_const(e, x, 0)), x, expm1_wide(e, x));
    if (op == SC_LOG1P)
        return log1p_wide(e, x);
    if (op == SC_COSH) {
        LLVMValueRef p = exp_wide(e, math_abs(e, x));
        return mul(e, add(e, p, divide(e, one, p)), math_const(e, x, 0.5));
    }
    if (op == SC_ACOSH) { /* log1p(t + sqrt(t (t + 2))), t = x - 1 */
        LLVMValueRef t = sub(e, x, one),
                     root = math_sqrt(e, mul(e, t, add(e, t, math_const(e, x, 2))));
        return math_select(e, math_less(e, x, one), math_const(e, x, NAN),
                           log1p_wide(e, add(e, t, root)));
    }
    /* ACOS */
    return atan2_wide(e, math_sqrt(e, mul(e, sub(e, one, x), add(e, one, x))), x);
}

LLVMValueRef math_wide(Emit *e, ScalarOp op, const LLVMValueRef *in)
{
    LLVMValueRef x = widen(e, in[0]);
    if (op == SC_POW)
        return narrow(e, pow_wide(e, x, widen(e, in[1])));
    if (op == SC_ATAN2)
        return narrow(e, atan2_wide(e, x, widen(e, in[1])));
    if (op == SC_SINH || op == SC_ASINH || op == SC_ATANH || op == SC_ASIN || op == SC_ATAN)
        return narrow(e, math_copysign(e, odd_function(e, op, math_abs(e, x)), x));
    return narrow(e, even_or_general(e, op, x));
}
