/* math_normal.c: erfc, the normal distribution function and its approximation by tanh, in f32.
 *
 * All three end in e^-u with a large u = x^2, x^2/2 or a cubic of x, of which a rounding error
 * counts u-fold in the result: 1 + erf(z) and sigmoid(u) by their operations lose all digits for
 * negative x. So u comes in two parts, and both enter the exponential.
 *
 * erfc(a) e^(a^2) for a >= 0 is N / D, N = 1 + a Q(a), D = c + a (s N + P(a)), with s a / N the
 * limit for large a. Q, P: linear least squares with Lawson's weights, relative error
 * below 2^-29 with coefficients that are floats.
 * What errors Q has largely cancels between N and D; what rounding N, D and the quotient loses is
 * found again exactly and added to the result, as the top digits of a product of positive sums
 * lose up to 3 units otherwise. Negative x by symmetry: 2 - erfc(-x) is exact enough. */
#include "backend/math.h"
#include "backend/math_build.h"

/* a b + c of which the product is exact, on every target: without fma, by way of f64. */
static LLVMValueRef exact_fma(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (e->target->fma)
        return emit_fma(e, a, b, c);
    LLVMTypeRef wide = emit_type(e, DT_F64, emit_lanes(a));
    LLVMValueRef product = mul(e, LLVMBuildFPExt(e->b, a, wide, ""),
                               LLVMBuildFPExt(e->b, b, wide, ""));
    return LLVMBuildFPTrunc(e->b, add(e, product, LLVMBuildFPExt(e->b, c, wide, "")),
                            LLVMTypeOf(a), "");
}

/* ---- erfc and normal_cdf ---- */

typedef struct {
    double limit;          /* beyond it the result is 0 */
    double exponent;       /* e^(exponent a^2) is taken out */
    double one;            /* the value for x far above (normal_cdf), or below (erfc) */
    double c, s, q[5], p[4];
} Tail;

static const Tail erfc_tail = {
    10.3, -1, 2, 1, 1.7724539041519165,
    { 1.545510393175467, 1.1455269861219013, 0.49162759985714127, 0.12223568509764775,
      0.014560300192304195 },
    { 0.90143559212108348, 0.42334374278836434, 0.10829834785605123, 0.012904176891234537 }
};

static const Tail normal_tail = {
    14.5, -0.5, 1, 2, 2.5066282749176025,
    { 1.0849423408508301, 0.56527751684188843, 0.17048117518424988, 0.02976127527654171,
      0.0024835336953401566 },
    { 1.2590254545211792, 0.41556611657142639, 0.074569135904312134, 0.0062259198166429996 }
};

/* N / D and what its roundings lost, by f64, which without fma is not slower. */
static LLVMValueRef wide_ratio(Emit *e, const Tail *f, LLVMValueRef a, LLVMValueRef *out_lost)
{
    LLVMTypeRef narrow = LLVMTypeOf(a), wide = emit_type(e, DT_F64, emit_lanes(a));
    a = LLVMBuildFPExt(e->b, a, wide, "");
    LLVMValueRef n = emit_fma(e, a, math_poly(e, a, f->q, 5), math_const(e, a, 1));
    LLVMValueRef k = emit_fma(e, math_const(e, a, f->s), n, math_poly(e, a, f->p, 4));
    LLVMValueRef d = emit_fma(e, a, k, math_const(e, a, f->c));
    LLVMValueRef exact = LLVMBuildFDiv(e->b, n, d, "");
    LLVMValueRef r = LLVMBuildFPTrunc(e->b, exact, narrow, "");
    *out_lost =
        LLVMBuildFPTrunc(e->b, sub(e, exact, LLVMBuildFPExt(e->b, r, wide, "")), narrow, "");
    return r;
}

/* The same in f32 with fma. */
static LLVMValueRef tail_ratio(Emit *e, const Tail *f, LLVMValueRef a, LLVMValueRef *out_lost)
{
    if (!e->target->fma)
        return wide_ratio(e, f, a, out_lost);
    LLVMValueRef one = math_const(e, a, 1), c = math_const(e, a, f->c), s = math_const(e, a, f->s);
    LLVMValueRef q = math_poly(e, a, f->q, 5), p = math_poly(e, a, f->p, 4);
    LLVMValueRef n = emit_fma(e, a, q, one), n_lost = emit_fma(e, a, q, sub(e, one, n));
    LLVMValueRef k = emit_fma(e, s, n, p), k_lost = add(e, emit_fma(e, s, n, negate(e, k)), p);
    LLVMValueRef d = emit_fma(e, a, k, c), d_lost = emit_fma(e, a, k, sub(e, c, d));
    d_lost = emit_fma(e, a, k_lost, d_lost);
    LLVMValueRef inverse = LLVMBuildFDiv(e->b, one, d, ""), r = mul(e, n, inverse);
    LLVMValueRef minus = negate(e, r);
    LLVMValueRef lost = add(e, emit_fma(e, minus, d, n), n_lost);
    *out_lost = mul(e, emit_fma(e, minus, d_lost, lost), inverse);
    return r;
}

/* The tail at a = |x|: e^(exponent a^2) N / D. */
static LLVMValueRef tail_of(Emit *e, const Tail *f, LLVMValueRef a)
{
    LLVMValueRef limit = math_const(e, a, f->limit), scale = math_const(e, a, f->exponent), lost;
    a = math_select(e, math_less(e, limit, a), limit, a);
    LLVMValueRef square = mul(e, a, a), low = exact_fma(e, a, a, negate(e, square));
    MathExp y = math_exp_parts(e, mul(e, square, scale), mul(e, low, scale));
    LLVMValueRef m = add(e, y.head, y.tail), r = tail_ratio(e, f, a, &lost);
    lost = emit_fma(e, lost, m, lost);
    return math_exp_scale(e, add(e, r, exact_fma(e, r, m, lost)), &y);
}

/* ---- normal_cdf_tanh ---- */

/* e^-u for u = 2 sqrt(2/pi) (a + 0.044715 a^3), a in [0, 10.7], as a times a slope in two parts.
 * The first constant has so few bits that what is subtracted to find the error is exact. */
static LLVMValueRef cubic_power(Emit *e, LLVMValueRef a)
{
    const double top = 0x1.9884p0, cubic = 0x1.2444f2p-4; /* and what they leave */
    const double top_low = 1.5957691216057308 - top, cubic_low = 0.07135481627260025 - cubic;
    LLVMValueRef linear = math_const(e, a, top), third = math_const(e, a, cubic);
    LLVMValueRef square = mul(e, a, a), square_low = exact_fma(e, a, a, negate(e, square));
    LLVMValueRef slope = emit_fma(e, square, third, linear);
    LLVMValueRef low = exact_fma(e, square, third, sub(e, linear, slope));
    LLVMValueRef rest =
        emit_fma(e, square, math_const(e, a, cubic_low), math_const(e, a, top_low));
    low = add(e, low, emit_fma(e, square_low, third, rest));
    LLVMValueRef minus = negate(e, a), u = mul(e, minus, slope);
    low = emit_fma(e, minus, low, exact_fma(e, minus, slope, negate(e, u)));
    return math_exp_fine(e, u, low);
}

LLVMValueRef math_normal(Emit *e, ScalarOp op, LLVMValueRef x)
{
    LLVMValueRef a = math_abs(e, x);
    if (op == SC_NORMAL_CDF_TANH) {
        LLVMValueRef limit = math_const(e, x, 10.7);
        a = math_select(e, math_less(e, limit, a), limit, a);
        return math_sigmoid_of(e, cubic_power(e, a), x);
    }
    const Tail *f = op == SC_ERFC ? &erfc_tail : &normal_tail;
    LLVMValueRef zero = math_const(e, x, 0), tail = tail_of(e, f, a);
    LLVMValueRef above = op == SC_ERFC ? math_less(e, x, zero) : math_less(e, zero, x);
    return math_select(e, above, sub(e, math_const(e, x, f->one), tail), tail);
}
