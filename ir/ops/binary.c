/* binary.c: element by element, two operands of one shape and type; and select.
 *
 * C1 the operands are of a type the op takes   C2 of one type   C3 of one shape
 * Nothing broadcasts: whoever emits puts a BROADCAST node where the language repeats. */
#include "ir/ops/rules.h"

#include <math.h>
#include <string.h>

static bool pair(Infer *q)
{
    return rule_same_dtype(q, 0, 1) && rule_same_shape(q, 0, 1) && rule_like(q, 0); /* C2 C3 */
}

static bool number_pair(Infer *q)
{
    return rule_number(q, 0) && pair(q); /* C1 */
}

static bool float_pair(Infer *q)
{
    return rule_float(q, 0) && pair(q); /* C1 */
}

static bool integer_pair(Infer *q)
{
    return rule_integer(q, 0) && pair(q); /* C1 */
}

static bool bit_pair(Infer *q)
{
    if (dtype_is_float(infer_dtype(q, 0)))
        return infer_fail(q, DIAG_E0304, "%s needs bools or integers; this is %s", rule_name(q),
                          rule_type(q, 0)); /* C1 */
    return pair(q);
}

static bool compare_pair(Infer *q)
{
    if (!pair(q))
        return false;
    q->dtype = DT_BOOL;
    return true;
}

static void binary_ref(Ref *q)
{
    const Value *a = &q->in[0], *b = &q->in[1];
    ScalarOp op = op_defs[graph_node(q->g, q->node)->op]->scalar;
    for (int64_t i = 0; i < a->count; i++) {
        if (!dtype_is_float(a->dtype))
            q->out->i[i] = scalar_int(op, a->dtype, (int64_t[]){ a->i[i], b->i[i] });
        else if (q->out->dtype == DT_BOOL)
            q->out->i[i] = scalar_compare_float(op, a->f[i], b->f[i]);
        else
            q->out->f[i] = scalar_float(op, (double[]){ a->f[i], b->f[i] });
    }
}

/* ---- derivatives ---- */

static void add_grad(Grad *q)
{
    q->add(q, 0, q->dy);
    q->add(q, 1, q->dy);
}

static void sub_grad(Grad *q)
{
    q->add(q, 0, q->dy);
    if (q->needs(q, 1))
        q->add(q, 1, b_neg(q->g, q->dy));
}

static void mul_grad(Grad *q)
{
    if (q->needs(q, 0))
        q->add(q, 0, b_mul(q->g, q->dy, q->in[1]));
    if (q->needs(q, 1))
        q->add(q, 1, b_mul(q->g, q->dy, q->in[0]));
}

/* da = dy / b, db = -dy y / b */
static void div_grad(Grad *q)
{
    NodeId part = b_div(q->g, q->dy, q->in[1]);
    q->add(q, 0, part);
    if (q->needs(q, 1))
        q->add(q, 1, b_neg(q->g, b_mul(q->g, part, q->node)));
}

/* y = a - floor(a / b) b: da = dy, db = -dy floor(a / b) */
static void mod_grad(Grad *q)
{
    q->add(q, 0, q->dy);
    if (q->needs(q, 1))
        q->add(q, 1,
               b_neg(q->g, b_mul(q->g, q->dy, b_binary(q->g, OP_floordiv, q->in[0], q->in[1]))));
}

static NodeId where_zero(Graph *g, NodeId x, NodeId value)
{
    NodeId zero = b_like(g, x, 0);
    return b_select(g, b_binary(g, OP_eq, x, zero), zero, value);
}

/* da = dy b a^(b-1), which is 0 for b = 0 whatever a is; db = dy y log a, 0 where a = 0 */
static void pow_grad(Grad *q)
{
    Graph *g = q->g;
    NodeId a = q->in[0], b = q->in[1];
    if (q->needs(q, 0)) {
        double known;
        NodeId slope = b_mul(g, b, b_binary(g, OP_pow, a, b_sub(g, b, b_like(g, b, 1))));
        if (!b_is_splat(g, b, &known) || known == 0)
            slope = where_zero(g, b, slope);
        q->add(q, 0, b_mul(g, q->dy, slope));
    }
    if (q->needs(q, 1))
        q->add(q, 1, b_mul(g, q->dy, where_zero(g, a, b_mul(g, q->node, b_unary(g, OP_log, a)))));
}

/* da = dy b / (a^2 + b^2), db = -dy a / (a^2 + b^2) */
static void atan2_grad(Grad *q)
{
    Graph *g = q->g;
    NodeId a = q->in[0], b = q->in[1];
    NodeId part = b_div(g, q->dy, b_add(g, b_mul(g, a, a), b_mul(g, b, b)));
    q->add(q, 0, b_mul(g, part, b));
    if (q->needs(q, 1))
        q->add(q, 1, b_neg(g, b_mul(g, part, a)));
}

/* To a where the comparison holds (ties included), else to b. */
static void choose_grad(Grad *q, NodeId first)
{
    NodeId zero = b_like(q->g, q->dy, 0);
    if (q->needs(q, 0))
        q->add(q, 0, b_select(q->g, first, q->dy, zero));
    if (q->needs(q, 1))
        q->add(q, 1, b_select(q->g, first, zero, q->dy));
}

static void maximum_grad(Grad *q)
{
    choose_grad(q, b_binary(q->g, OP_ge, q->in[0], q->in[1]));
}

static void minimum_grad(Grad *q)
{
    choose_grad(q, b_binary(q->g, OP_le, q->in[0], q->in[1]));
}

/* ---- folding: exact for every value, so x+0 (-0), x*0 (NaN) and x-x are not here ---- */

static bool is_number(const Graph *g, NodeId x, double v)
{
    double known;
    return b_is_splat(g, x, &known) && known == v && !signbit(known) == !signbit(v);
}

/* x - 0 = x; of integers also x + 0. With floats x + -0 = x, and -0 is what nobody writes. */
FOLD(add_fold)
{
    FOLD_UNUSED;
    double zero = dtype_is_float(dtype) ? -0.0 : 0;
    if (is_number(g, in[1], op == OP_sub ? 0 : zero))
        return in[0];
    return op == OP_add && is_number(g, in[0], zero) ? in[1] : NODE_NONE;
}

FOLD(mul_fold)
{
    FOLD_UNUSED;
    if (is_number(g, in[1], 1))
        return in[0];
    return is_number(g, in[0], 1) ? in[1] : NODE_NONE;
}

/* x / 1 = x; x / 2^k = x * 2^-k, where both are normal */
FOLD(div_fold)
{
    FOLD_UNUSED;
    double known;
    int e;
    if (!b_is_splat(g, in[1], &known))
        return NODE_NONE;
    if (known == 1)
        return in[0];
    if (dtype_is_float(dtype) && fabs(frexp(known, &e)) == 0.5 && e > -13 && e < 13)
        return b_scale(g, in[0], 1 / known);
    return NODE_NONE;
}

/* The powers 0 1 2 -1 have correctly rounded forms. */
FOLD(pow_fold)
{
    FOLD_UNUSED;
    double known;
    if (!b_is_splat(g, in[1], &known))
        return NODE_NONE;
    if (known == 0)
        return b_like(g, in[0], 1);
    if (known == 1)
        return in[0];
    if (known == 2)
        return b_mul(g, in[0], in[0]);
    return known == -1 && dtype_is_float(dtype) ? b_div(g, b_like(g, in[0], 1), in[0]) : NODE_NONE;
}

/* x op x = x for maximum, minimum, and, or */
FOLD(same_fold)
{
    FOLD_UNUSED;
    return in[0] == in[1] ? in[0] : NODE_NONE;
}

/* ---- cases ---- */

static const struct {
    uint32_t rank;
    int64_t dims[3];
} shapes[] = {
    { 0, { 0 } }, { 1, { 11 } }, { 2, { 5, 33 } }, { 2, { -1, 3 } }, { 3, { 3, 0, 2 } }
};
enum { SHAPES = sizeof shapes / sizeof *shapes, FLOATS = 2 * SHAPES + 3 };

typedef struct {
    double a_lo, a_hi, b_lo, b_hi;
} Ranges;

static NodeId float_cases(Graph *g, CaseRng *r, uint32_t i, Op op, Ranges v)
{
    if (i == 2 * SHAPES) { /* one operand repeated */
        Shape wide = { .rank = 2, .dim = { dim_of(4), dim_of(3) } };
        NodeId a = case_input(g, r, DT_F64, 2, (int64_t[]){ 1, 3 }, v.a_lo, v.a_hi, true);
        return b_binary(g, op, b_broadcast(g, a, &wide),
                        case_input(g, r, DT_F64, 2, (int64_t[]){ 4, 3 }, v.b_lo, v.b_hi, true));
    }
    if (i >= FLOATS)
        return NODE_NONE;
    bool narrow = i > 2 * SHAPES;
    Dtype t = i < SHAPES ? DT_F64 : !narrow ? DT_F32 : i == FLOATS - 1 ? DT_BF16 : DT_F16;
    uint32_t rank = narrow ? 2 : shapes[i % SHAPES].rank;
    const int64_t *dims = narrow ? (int64_t[]){ 3, 7 } : shapes[i % SHAPES].dims;
    NodeId a = case_input(g, r, t, rank, dims, v.a_lo, v.a_hi, true);
    return b_binary(g, op, a, case_input(g, r, t, rank, dims, v.b_lo, v.b_hi, true));
}

static NodeId integer_cases(Graph *g, CaseRng *r, uint32_t i, Op op, Ranges v)
{
    static const Dtype types[] = { DT_I32, DT_I64, DT_U32, DT_U64, DT_I16, DT_U8, DT_I8, DT_U16 };
    if (i >= 8)
        return NODE_NONE;
    double least = dtype_is_signed(types[i]) ? -120 : 0;
    NodeId a = case_input(g, r, types[i], 1, &(int64_t){ 61 }, fmax(v.a_lo, least), v.a_hi, false);
    return b_binary(
        g, op, a,
        case_input(g, r, types[i], 1, &(int64_t){ 61 }, fmax(v.b_lo, least), v.b_hi, false));
}

static NodeId number_cases(Graph *g, CaseRng *r, uint32_t i, Op op, Ranges v)
{
    if (i < FLOATS)
        return float_cases(g, r, i, op, v);
    return integer_cases(g, r, i - FLOATS, op,
                         (Ranges){ -120, 120, op == OP_pow ? 0 : -5, op == OP_pow ? 7 : 5 });
}

static NodeId bit_cases(Graph *g, CaseRng *r, uint32_t i, Op op, Ranges v)
{
    if (i < 8)
        return integer_cases(g, r, i, op, v);
    if (i > 8)
        return NODE_NONE;
    NodeId a = case_input(g, r, DT_BOOL, 2, (int64_t[]){ 3, 7 }, 0, 1, false);
    return b_binary(g, op, a, case_input(g, r, DT_BOOL, 2, (int64_t[]){ 3, 7 }, 0, 1, false));
}

/* Comparisons: floats and integers of a few values, so that equal ones occur. */
static NodeId compare_cases(Graph *g, CaseRng *r, uint32_t i, Op op, Ranges v)
{
    if (i < 9)
        return bit_cases(g, r, i, op, (Ranges){ 0, 3, 0, 3 });
    if (i > 10)
        return NODE_NONE;
    Dtype t = i == 9 ? DT_F64 : DT_F32;
    NodeId a =
        b_unary(g, OP_floor, case_input(g, r, t, 1, &(int64_t){ 37 }, v.a_lo, v.a_hi, false));
    return b_binary(
        g, op, a,
        b_unary(g, OP_floor, case_input(g, r, t, 1, &(int64_t){ 37 }, v.b_lo, v.b_hi, false)));
}

/* BINARY(name, sign in .dl, scalar, takes, derivative, fold, cost, ranges of a and b in cases,
 * doc) */
#define GRAD(rule) .grad = rule
#define ZERO .zero_grad = true
#define BINARY(id, sign, sc, takes, derivative, fold_rule, cost_, alo, ahi, blo, bhi, text) \
    static NodeId id##_cases(Graph *g, CaseRng *r, uint32_t i)                              \
    {                                                                                       \
        return takes##_cases(g, r, i, OP_##id, (Ranges){ alo, ahi, blo, bhi });             \
    }                                                                                       \
    const OpDef op_##id = {                                                                 \
        .name = #id,                                                                        \
        .written = sign,                                                                    \
        .doc = text,                                                                        \
        .min_in = 2,                                                                        \
        .max_in = 2,                                                                        \
        .infer = takes##_pair,                                                              \
        .ref = binary_ref,                                                                  \
        derivative,                                                                         \
        .lower = LOWER_ELEMENTWISE,                                                         \
        .scalar = sc,                                                                       \
        .cost = cost_,                                                                      \
        .fold = fold_rule,                                                                  \
        .cases = id##_cases,                                                                \
    };

BINARY(add, "+", SC_ADD, number, GRAD(add_grad), add_fold, 1, -3, 3, -3, 3, "a + b")
BINARY(sub, "-", SC_SUB, number, GRAD(sub_grad), add_fold, 1, -3, 3, -3, 3, "a - b")
BINARY(mul, "*", SC_MUL, number, GRAD(mul_grad), mul_fold, 1, -3, 3, -3, 3, "a * b")
BINARY(div, "/", SC_DIV, number, GRAD(div_grad), div_fold, 4, -3, 3, 0.5, 3,
       "a / b; of integers truncated, 0 for b = 0")
BINARY(floordiv, "//", SC_FLOORDIV, number, ZERO, NULL, 5, -3, 3, 0.5, 3, "floor(a / b)")
BINARY(mod, "%", SC_MOD, number, GRAD(mod_grad), NULL, 7, 1, 1.3, 0.7, 0.9,
       "a - floor(a / b) b, of the sign of b")
BINARY(pow, "^", SC_POW, number, GRAD(pow_grad), pow_fold, 30, 0.3, 3, -2, 3, "a to the power b")
BINARY(atan2, NULL, SC_ATAN2, float, GRAD(atan2_grad), NULL, 26, 0.3, 3, -3, 3,
       "angle of the point (b, a)")
BINARY(maximum, NULL, SC_MAXIMUM, number, GRAD(maximum_grad), same_fold, 1, -3, 3, -3, 3,
       "the larger of a and b")
BINARY(minimum, NULL, SC_MINIMUM, number, GRAD(minimum_grad), same_fold, 1, -3, 3, -3, 3,
       "the smaller of a and b")
BINARY(and, NULL, SC_AND, bit, ZERO, same_fold, 1, -120, 120, -120, 120,
       "both; of integers, bit by bit")
BINARY(or, NULL, SC_OR, bit, ZERO, same_fold, 1, -120, 120, -120, 120,
       "either; of integers, bit by bit")
BINARY(xor, NULL, SC_XOR, bit, ZERO, NULL, 1, -120, 120, -120, 120,
       "exactly one; of integers, bit by bit")
BINARY(shl, NULL, SC_SHL, integer, ZERO, NULL, 1, -120, 120, 0, 70,
       "a * 2^b, wrapped; 0 where b is the width or more")
BINARY(shr, NULL, SC_SHR, integer, ZERO, NULL, 1, -120, 120, 0, 70, "floor(a / 2^b)")
BINARY(eq, "==", SC_EQ, compare, ZERO, NULL, 1, -2, 2, -2, 2, "a = b")
BINARY(ne, "!=", SC_NE, compare, ZERO, NULL, 1, -2, 2, -2, 2, "a and b differ")
BINARY(lt, "<", SC_LT, compare, ZERO, NULL, 1, -2, 2, -2, 2, "a < b")
BINARY(le, "<=", SC_LE, compare, ZERO, NULL, 1, -2, 2, -2, 2, "a <= b")
BINARY(gt, ">", SC_GT, compare, ZERO, NULL, 1, -2, 2, -2, 2, "a > b")
BINARY(ge, ">=", SC_GE, compare, ZERO, NULL, 1, -2, 2, -2, 2, "a >= b")

/* ---- select ---- */

static bool select_infer(Infer *q)
{
    return rule_bool(q, 0)             /* C1: the condition is bool */
           && rule_same_dtype(q, 1, 2) /* C2: both values of one type */
           && rule_same_shape(q, 1, 2) /* C3: and shape */
           && rule_same_shape(q, 0, 1) /* C4: the condition's too */
           && rule_like(q, 1);
}

static void select_grad(Grad *q)
{
    NodeId zero = b_like(q->g, q->dy, 0);
    if (q->needs(q, 1))
        q->add(q, 1, b_select(q->g, q->in[0], q->dy, zero));
    if (q->needs(q, 2))
        q->add(q, 2, b_select(q->g, q->in[0], zero, q->dy));
}

static void select_ref(Ref *q)
{
    for (int64_t i = 0; i < q->out->count; i++)
        element_copy(q->out, i, &q->in[q->in[0].i[i] ? 1 : 2], i);
}

FOLD(select_fold)
{
    FOLD_UNUSED;
    double known;
    if (in[1] == in[2])
        return in[1];
    return b_is_splat(g, in[0], &known) ? in[known != 0 ? 1 : 2] : NODE_NONE;
}

static NodeId select_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_U8, DT_BOOL };
    if (i >= 5 * SHAPES)
        return NODE_NONE;
    Dtype t = types[i / SHAPES];
    uint32_t rank = shapes[i % SHAPES].rank;
    const int64_t *dims = shapes[i % SHAPES].dims;
    double hi = t == DT_BOOL ? 1 : 9;
    NodeId c = case_input(g, r, DT_BOOL, rank, dims, 0, 1, false);
    NodeId a = case_input(g, r, t, rank, dims, 0, hi, false);
    return b_select(g, c, a, case_input(g, r, t, rank, dims, 0, hi, false));
}

const OpDef op_select = {
    .name = "select", .doc = "a where cond, else b", .min_in = 3, .max_in = 3,
    .infer = select_infer, .grad = select_grad, .ref = select_ref, .lower = LOWER_ELEMENTWISE,
    .scalar = SC_SELECT, .cost = 1, .fold = select_fold, .cases = select_cases,
};
