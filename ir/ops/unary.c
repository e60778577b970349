/* unary.c: element by element, one operand. Shape in is shape out; all but is_nan, is_inf and cast
 * keep the type.
 *
 * C1 the operand is of a type the op takes: floats, or also integers where the table below says
 * `number`. */
#include "ir/ops/rules.h"

#include <string.h>

static bool number_map(Infer *q)
{
    return rule_number(q, 0) && rule_like(q, 0); /* C1 */
}

static bool bit_map(Infer *q)
{
    if (dtype_is_float(infer_dtype(q, 0)))
        return infer_fail(q, DIAG_E0304, "`not` needs a bool or integers; this is %s",
                          rule_type(q, 0)); /* C1 */
    return rule_like(q, 0);
}

static bool float_test(Infer *q)
{
    if (!rule_float(q, 0)) /* C1 */
        return false;
    rule_like(q, 0);
    q->dtype = DT_BOOL;
    return true;
}

static void unary_ref(Ref *q)
{
    const Value *x = q->in;
    ScalarOp op = op_defs[graph_node(q->g, q->node)->op]->scalar;
    for (int64_t i = 0; i < x->count; i++) {
        if (q->out->dtype == DT_BOOL && dtype_is_float(x->dtype))
            q->out->i[i] = scalar_compare_float(op, x->f[i], 0);
        else if (dtype_is_float(x->dtype))
            q->out->f[i] = scalar_float(op, &x->f[i]);
        else
            q->out->i[i] = scalar_int(op, x->dtype, &x->i[i]);
    }
}

/* ---- derivatives: dx from dy, x and y; each formula is that of its op ---- */

static NodeId times(Grad *q, NodeId factor)
{
    return b_mul(q->g, q->dy, factor);
}

/* c + s * x*x */
static NodeId square_plus(Grad *q, NodeId x, double s, double c)
{
    NodeId square = b_mul(q->g, x, x);
    return s < 0 ? b_sub(q->g, b_like(q->g, x, c), square)
                 : b_add(q->g, square, b_like(q->g, x, c));
}

static void neg_grad(Grad *q)
{
    q->add(q, 0, b_neg(q->g, q->dy));
}

/* 0 at 0, by sign */
static void abs_grad(Grad *q)
{
    q->add(q, 0, times(q, b_unary(q->g, OP_sign, q->in[0])));
}

/* dy / (2 y) */
static void sqrt_grad(Grad *q)
{
    q->add(q, 0, b_div(q->g, b_scale(q->g, q->dy, 0.5), q->node));
}

/* -dy y^3 / 2 */
static void rsqrt_grad(Grad *q)
{
    NodeId y = q->node, cube = b_mul(q->g, b_mul(q->g, y, y), y);
    q->add(q, 0, times(q, b_scale(q->g, cube, -0.5)));
}

static void exp_grad(Grad *q)
{
    q->add(q, 0, times(q, q->node));
}

/* dy exp(x): y + 1 would lose what expm1 keeps where x is very negative */
static void expm1_grad(Grad *q)
{
    q->add(q, 0, times(q, b_unary(q->g, OP_exp, q->in[0])));
}

static void log_grad(Grad *q)
{
    q->add(q, 0, b_div(q->g, q->dy, q->in[0]));
}

static void log1p_grad(Grad *q)
{
    q->add(q, 0, b_div(q->g, q->dy, b_add(q->g, q->in[0], b_like(q->g, q->in[0], 1))));
}

static void sin_grad(Grad *q)
{
    q->add(q, 0, times(q, b_unary(q->g, OP_cos, q->in[0])));
}

static void cos_grad(Grad *q)
{
    q->add(q, 0, times(q, b_neg(q->g, b_unary(q->g, OP_sin, q->in[0]))));
}

/* dy (1 + y^2) */
static void tan_grad(Grad *q)
{
    q->add(q, 0, times(q, square_plus(q, q->node, 1, 1)));
}

/* dy / sqrt(1 - x^2) */
static void asin_grad(Grad *q)
{
    q->add(q, 0, b_div(q->g, q->dy, b_unary(q->g, OP_sqrt, square_plus(q, q->in[0], -1, 1))));
}

static void acos_grad(Grad *q)
{
    q->add(
        q, 0,
        b_neg(q->g, b_div(q->g, q->dy, b_unary(q->g, OP_sqrt, square_plus(q, q->in[0], -1, 1)))));
}

/* dy / (1 + x^2) */
static void atan_grad(Grad *q)
{
    q->add(q, 0, b_div(q->g, q->dy, square_plus(q, q->in[0], 1, 1)));
}

static void sinh_grad(Grad *q)
{
    q->add(q, 0, times(q, b_unary(q->g, OP_cosh, q->in[0])));
}

static void cosh_grad(Grad *q)
{
    q->add(q, 0, times(q, b_unary(q->g, OP_sinh, q->in[0])));
}

/* dy (1 - y^2) */
static void tanh_grad(Grad *q)
{
    q->add(q, 0, times(q, square_plus(q, q->node, -1, 1)));
}

/* dy / sqrt(x^2 + 1) */
static void asinh_grad(Grad *q)
{
    q->add(q, 0, b_div(q->g, q->dy, b_unary(q->g, OP_sqrt, square_plus(q, q->in[0], 1, 1))));
}

/* dy / sqrt(x^2 - 1) */
static void acosh_grad(Grad *q)
{
    q->add(q, 0, b_div(q->g, q->dy, b_unary(q->g, OP_sqrt, square_plus(q, q->in[0], 1, -1))));
}

/* dy / (1 - x^2) */
static void atanh_grad(Grad *q)
{
    q->add(q, 0, b_div(q->g, q->dy, square_plus(q, q->in[0], -1, 1)));
}

/* dy y (1 - y) */
static void sigmoid_grad(Grad *q)
{
    NodeId y = q->node;
    q->add(q, 0, times(q, b_mul(q->g, y, b_sub(q->g, b_like(q->g, y, 1), y))));
}

/* dy 2/sqrt(pi) exp(-x^2) */
static void erf_grad(Grad *q)
{
    NodeId x = q->in[0], bell = b_unary(q->g, OP_exp, b_neg(q->g, b_mul(q->g, x, x)));
    q->add(q, 0, times(q, b_scale(q->g, bell, 1.1283791670955126)));
}

/* -dy 2/sqrt(pi) exp(-x^2) */
static void erfc_grad(Grad *q)
{
    NodeId x = q->in[0], bell = b_unary(q->g, OP_exp, b_neg(q->g, b_mul(q->g, x, x)));
    q->add(q, 0, times(q, b_scale(q->g, bell, -1.1283791670955126)));
}

/* dy exp(-x^2 / 2) / sqrt(2 pi) */
static void normal_cdf_grad(Grad *q)
{
    NodeId x = q->in[0], square = b_mul(q->g, x, x);
    NodeId bell = b_unary(q->g, OP_exp, b_scale(q->g, square, -0.5));
    q->add(q, 0, times(q, b_scale(q->g, bell, 0.3989422804014327)));
}

/* dy y (1 - y) 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2): where x^2 is beyond 1000, y (1 - y) is 0, and
 * must not meet an infinity. */
static void normal_cdf_tanh_grad(Grad *q)
{
    NodeId x = q->in[0], y = q->node;
    NodeId square = b_binary(q->g, OP_minimum, b_mul(q->g, x, x), b_like(q->g, x, 1000));
    NodeId slope = b_add(q->g, b_scale(q->g, square, 0.21406444881780074),
                         b_like(q->g, x, 1.5957691216057308));
    NodeId bell = b_mul(q->g, y, b_sub(q->g, b_like(q->g, y, 1), y));
    q->add(q, 0, times(q, b_mul(q->g, bell, slope)));
}

/* ---- folding ---- */

/* op(op(x)) = x for neg and not */
FOLD(involution_fold)
{
    FOLD_UNUSED;
    return graph_node(g, in[0])->op == op ? graph_operand(g, in[0], 0) : NODE_NONE;
}

/* op(op(x)) = op(x); rounding an integer is the integer */
FOLD(idempotent_fold)
{
    FOLD_UNUSED;
    return graph_node(g, in[0])->op == op ? in[0] : NODE_NONE;
}

/* ---- cases ---- */

/* Shapes of ranks 0 to 3, with extents 0, 1 and primes. */
static const struct {
    uint32_t rank;
    int64_t dims[3];
} shapes[] = { { 0, { 0 } },       { 1, { 7 } },    { 2, { 3, 37 } },
               { 3, { 2, 1, 5 } }, { 2, { 0, 4 } }, { 2, { -1, 3 } } };
enum { SHAPES = sizeof shapes / sizeof *shapes, FLOATS = 2 * SHAPES + 2 };

static NodeId float_cases(Graph *g, CaseRng *r, uint32_t i, Op op, double lo, double hi)
{
    if (i >= FLOATS)
        return NODE_NONE;
    if (i >= 2 * SHAPES) {
        Dtype narrow = i == 2 * SHAPES ? DT_F16 : DT_BF16;
        return b_unary(g, op, case_input(g, r, narrow, 1, &(int64_t){ 13 }, lo, hi, true));
    }
    NodeId x = case_input(g, r, i < SHAPES ? DT_F64 : DT_F32, shapes[i % SHAPES].rank,
                          shapes[i % SHAPES].dims, lo, hi, true);
    return b_unary(g, op, x);
}

static NodeId number_cases(Graph *g, CaseRng *r, uint32_t i, Op op, double lo, double hi)
{
    static const Dtype integers[] = { DT_I32, DT_I64, DT_I8, DT_U8 };
    if (i < FLOATS)
        return float_cases(g, r, i, op, lo, hi);
    i -= FLOATS;
    if (i >= 4)
        return NODE_NONE;
    return b_unary(g, op,
                   case_input(g, r, integers[i], 1, &(int64_t){ 13 },
                              integers[i] == DT_U8 ? 0 : -100, 100, false));
}

static NodeId not_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_BOOL, DT_I32, DT_U8, DT_I64 };
    if (i >= 4)
        return NODE_NONE;
    return b_unary(
        g, OP_not,
        case_input(g, r, types[i], 1, &(int64_t){ 11 }, 0, types[i] == DT_BOOL ? 1 : 100, false));
}

/* UNARY(name, scalar, takes, derivative, cost, case range, doc): `takes` is float or number;
 * derivative GRAD(rule) or ZERO. */
#define GRAD(rule) .grad = rule
#define ZERO .zero_grad = true
#define UNARY_FOLD(id, sc, takes, fold_rule, derivative, cost_, lo, hi, text) \
    static NodeId id##_cases(Graph *g, CaseRng *r, uint32_t i)                \
    {                                                                         \
        return takes##_cases(g, r, i, OP_##id, lo, hi);                       \
    }                                                                         \
    const OpDef op_##id = {                                                   \
        .name = #id,                                                          \
        .doc = text,                                                          \
        .min_in = 1,                                                          \
        .max_in = 1,                                                          \
        .infer = takes##_map,                                                 \
        .ref = unary_ref,                                                     \
        derivative,                                                           \
        .lower = LOWER_ELEMENTWISE,                                           \
        .scalar = sc,                                                         \
        .cost = cost_,                                                        \
        .fold = fold_rule,                                                    \
        .cases = id##_cases,                                                  \
    };
#define UNARY(id, sc, takes, derivative, cost_, lo, hi, text) \
    UNARY_FOLD(id, sc, takes, NULL, derivative, cost_, lo, hi, text)

#define float_map rule_float_map

UNARY_FOLD(neg, SC_NEG, number, involution_fold, GRAD(neg_grad), 1, -3, 3, "-x")
UNARY_FOLD(abs, SC_ABS, number, idempotent_fold, GRAD(abs_grad), 1, -3, 3, "|x|")
UNARY(sign, SC_SIGN, number, ZERO, 2, -3, 3, "1 where x > 0, -1 where x < 0, else x")
UNARY_FOLD(floor, SC_FLOOR, float, idempotent_fold, ZERO, 1, -3, 3, "greatest integer not above x")
UNARY_FOLD(ceil, SC_CEIL, float, idempotent_fold, ZERO, 1, -3, 3, "least integer not below x")
UNARY_FOLD(round, SC_ROUND, float, idempotent_fold, ZERO, 1, -3, 3, "nearest integer, ties to even")
UNARY_FOLD(trunc, SC_TRUNC, float, idempotent_fold, ZERO, 1, -3, 3, "x without its fraction")
UNARY(sqrt, SC_SQRT, float, GRAD(sqrt_grad), 4, 0.1, 4, "square root of x")
UNARY(rsqrt, SC_RSQRT, float, GRAD(rsqrt_grad), 5, 0.1, 4, "1 / sqrt(x)")
UNARY(exp, SC_EXP, float, GRAD(exp_grad), 12, -3, 3, "e^x")
UNARY(expm1, SC_EXPM1, float, GRAD(expm1_grad), 16, -3, 3, "e^x - 1, exact near 0")
UNARY(log, SC_LOG, float, GRAD(log_grad), 14, 0.1, 4, "natural logarithm of x")
UNARY(log1p, SC_LOG1P, float, GRAD(log1p_grad), 16, -0.8, 4, "log(1 + x), exact near 0")
UNARY(sin, SC_SIN, float, GRAD(sin_grad), 16, -6, 6, "sine of x in radians")
UNARY(cos, SC_COS, float, GRAD(cos_grad), 16, -6, 6, "cosine of x in radians")
UNARY(tan, SC_TAN, float, GRAD(tan_grad), 24, -1.2, 1.2, "sin(x) / cos(x)")
UNARY(asin, SC_ASIN, float, GRAD(asin_grad), 20, -0.9, 0.9, "angle in -pi/2..pi/2 whose sine is x")
UNARY(acos, SC_ACOS, float, GRAD(acos_grad), 20, -0.9, 0.9, "angle in 0..pi whose cosine is x")
UNARY(atan, SC_ATAN, float, GRAD(atan_grad), 20, -4, 4, "angle in -pi/2..pi/2 whose tangent is x")
UNARY(sinh, SC_SINH, float, GRAD(sinh_grad), 20, -3, 3, "(e^x - e^-x) / 2")
UNARY(cosh, SC_COSH, float, GRAD(cosh_grad), 20, -3, 3, "(e^x + e^-x) / 2")
UNARY(tanh, SC_TANH, float, GRAD(tanh_grad), 14, -3, 3, "sinh(x) / cosh(x)")
UNARY(asinh, SC_ASINH, float, GRAD(asinh_grad), 24, -4, 4, "the x of sinh")
UNARY(acosh, SC_ACOSH, float, GRAD(acosh_grad), 24, 1.2, 5, "the x >= 0 of cosh")
UNARY(atanh, SC_ATANH, float, GRAD(atanh_grad), 24, -0.9, 0.9, "the x of tanh")
UNARY(sigmoid, SC_SIGMOID, float, GRAD(sigmoid_grad), 14, -4, 4, "1 / (1 + e^-x)")
UNARY(erf, SC_ERF, float, GRAD(erf_grad), 20, -3, 3,
      "2/sqrt(pi) times the integral of e^-t^2 from 0 to x")
UNARY(erfc, SC_ERFC, float, GRAD(erfc_grad), 24, -3, 3, "1 - erf(x), exact where that is near 0")
UNARY(normal_cdf, SC_NORMAL_CDF, float, GRAD(normal_cdf_grad), 24, -4, 4,
      "how likely a standard normal number is below x: erfc(-x/sqrt(2)) / 2; x times it is GELU")
UNARY(normal_cdf_tanh, SC_NORMAL_CDF_TANH, float, GRAD(normal_cdf_tanh_grad), 20, -4, 4,
      "normal_cdf by hyperbolic tangent: (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2")

const OpDef op_not = {
    .name = "not", .doc = "the other truth value; of integers, each bit", .min_in = 1, .max_in = 1,
    .infer = bit_map, .ref = unary_ref, .zero_grad = true, .lower = LOWER_ELEMENTWISE,
    .scalar = SC_NOT, .cost = 1, .fold = involution_fold, .cases = not_cases,
};

static NodeId is_nan_cases(Graph *g, CaseRng *r, uint32_t i)
{
    if (i >= 2)
        return NODE_NONE;
    NodeId x = case_input(g, r, i ? DT_F32 : DT_F64, 1, &(int64_t){ 9 }, -1, 1, true);
    return b_unary(g, OP_is_nan, b_unary(g, OP_log, x));
}

static NodeId is_inf_cases(Graph *g, CaseRng *r, uint32_t i)
{
    if (i >= 2)
        return NODE_NONE;
    NodeId x = case_input(g, r, i ? DT_F32 : DT_F64, 1, &(int64_t){ 9 }, -1, 1, true);
    return b_unary(g, OP_is_inf, b_div(g, b_like(g, x, 1), b_unary(g, OP_floor, x)));
}

const OpDef op_is_nan = {
    .name = "is_nan", .doc = "true where x is not a number", .min_in = 1, .max_in = 1,
    .infer = float_test, .ref = unary_ref, .zero_grad = true, .lower = LOWER_ELEMENTWISE,
    .scalar = SC_IS_NAN, .cost = 1, .cases = is_nan_cases,
};
const OpDef op_is_inf = {
    .name = "is_inf", .doc = "true where x is infinite", .min_in = 1, .max_in = 1,
    .infer = float_test, .ref = unary_ref, .zero_grad = true, .lower = LOWER_ELEMENTWISE,
    .scalar = SC_IS_INF, .cost = 1, .cases = is_inf_cases,
};

/* ---- cast ---- */

static const AttrDecl cast_attrs[] = { { .name = "dtype", .kind = ATTR_DTYPE, .required = true },
                                       { 0 } };

static bool cast_infer(Infer *q)
{
    rule_like(q, 0);
    q->dtype = (Dtype)q->attrs[0].i;
    return true;
}

/* Between floats the adjoint is cast back; an integer has none. */
static void cast_grad(Grad *q)
{
    Dtype from = graph_dtype(q->g, q->in[0]);
    if (dtype_is_float(from) && dtype_is_float(graph_dtype(q->g, q->node)))
        q->add(q, 0, b_cast(q->g, q->dy, from));
}

static void cast_ref(Ref *q)
{
    for (int64_t i = 0; i < q->out->count; i++)
        value_cast(q->in, i, q->out);
}

/* True when every value of `from` is a value of `to`. */
static bool cast_is_exact(Dtype from, Dtype to)
{
    if (from == to || from == DT_BOOL)
        return true;
    if (dtype_is_float(from))
        return to == DT_F64 || (to == DT_F32 && from != DT_F64);
    int digits = (int)dtype_size(from) * 8 - dtype_is_signed(from);
    if (dtype_is_float(to))
        return digits <= (to == DT_F64 ? 53 : to == DT_F32 ? 24 : to == DT_F16 ? 11 : 8);
    if (dtype_is_signed(from) && !dtype_is_signed(to))
        return false;
    return to != DT_BOOL && digits <= (int)dtype_size(to) * 8 - dtype_is_signed(to);
}

/* To the same type; after a cast that lost nothing, from the source itself. */
FOLD(cast_fold)
{
    FOLD_UNUSED;
    if (graph_dtype(g, in[0]) == dtype)
        return in[0];
    if (graph_node(g, in[0])->op != OP_cast)
        return NODE_NONE;
    NodeId source = graph_operand(g, in[0], 0);
    Dtype from = graph_dtype(g, source), via = graph_dtype(g, in[0]);
    if (!dtype_is_float(from) && dtype_is_float(via) && !dtype_is_float(dtype))
        return NODE_NONE; /* floats saturate where integers wrap */
    return cast_is_exact(from, via) ? b_cast(g, source, dtype) : NODE_NONE;
}

static NodeId cast_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype pairs[][2] = {
        { DT_F64, DT_F32 },  { DT_F32, DT_F64 },  { DT_F32, DT_F16 }, { DT_F32, DT_BF16 },
        { DT_F16, DT_F32 },  { DT_BF16, DT_F32 }, { DT_F32, DT_I32 }, { DT_F64, DT_I64 },
        { DT_F32, DT_U8 },   { DT_F32, DT_BOOL }, { DT_I32, DT_F32 }, { DT_I64, DT_F64 },
        { DT_U8, DT_F32 },   { DT_I64, DT_I32 },  { DT_I32, DT_I8 },  { DT_I32, DT_BOOL },
        { DT_BOOL, DT_F32 }, { DT_BOOL, DT_I64 }, { DT_U32, DT_F32 }, { DT_U64, DT_F64 },
        { DT_I16, DT_U16 },  { DT_I8, DT_I64 },
    };
    if (i >= sizeof pairs / sizeof *pairs)
        return NODE_NONE;
    Dtype from = pairs[i][0];
    double hi = from == DT_BOOL ? 1 : 100, lo = dtype_is_signed(from) ? -100 : 0;
    return b_cast(g, case_input(g, r, from, 2, (int64_t[]){ 3, 7 }, lo, hi, false), pairs[i][1]);
}

const OpDef op_cast = {
    .name = "cast",
    .doc = "x as another type: rounded to nearest, or truncated and saturated to integers",
    .min_in = 1, .max_in = 1, .attrs = cast_attrs, .infer = cast_infer, .grad = cast_grad,
    .ref = cast_ref, .lower = LOWER_ELEMENTWISE, .scalar = SC_CAST, .cost = 1, .fold = cast_fold,
    .cases = cast_cases,
};
