/* export_math.c: element by element. Operands are left unbroadcast: ONNX broadcasts by itself.
 *
 * A formula stands where ONNX has no op, or one that loses what ours keeps: expm1 and log1p are
 * exact near 0, integers divide by 0 without a trap, shifts may be as wide as the type. */
#include "frontend/onnx/export_node.h"
#include "ir/builder.h"

#include <math.h>
#include <string.h>

/* The operands of an elementwise node, computed in `as`, with broadcasts left out. */
static void operands(Export *x, NodeId id, Dtype as, const char **out)
{
    for (uint32_t i = 0; i < graph_node(x->g, id)->count; i++) {
        NodeId from = ex_operand(x, id, i);
        out[i] = ex_cast(x, ex_spread(x, from), graph_dtype(x->g, from), as);
    }
}

/* The result is y, computed in `as` from those operands. */
static void finish(Export *x, NodeId id, const char *y, Dtype as)
{
    const Node *node = graph_node(x->g, id);
    y = ex_cast(x, y, as, (Dtype)node->dtype);
    if (!ex_spread_covers(x, &x->g->operands.at[node->first], node->count, graph_shape(x->g, id)))
        y = ex_expand(x, y, graph_shape(x->g, id));
    ex_result(x, id, y);
}

/* The type that the node computes in; DT_COUNT: reported. */
static Dtype computed(Export *x, NodeId id, uint32_t operand)
{
    return ex_compute(x, id, export_rows[ex_op(x, id)].types,
                      graph_dtype(x->g, ex_operand(x, id, operand)));
}

static Dtype result_type(const Export *x, NodeId id, Dtype as)
{
    return graph_dtype(x->g, id) == DT_BOOL ? DT_BOOL : as;
}

void say_map(Export *x, NodeId id)
{
    const char *in[3];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *y = ex_node(x, export_rows[ex_op(x, id)].onnx, in, graph_node(x->g, id)->count);
    finish(x, id, y, result_type(x, id, as));
}

void say_ne(Export *x, NodeId id)
{
    const char *in[2];
    operands(x, id, computed(x, id, 0), in);
    finish(x, id, EX(x, "Not", ex_node(x, "Equal", in, 2)), DT_BOOL);
}

/* A float as an integer: 0 for NaN, and what is outside as the nearest one, which ONNX leaves open.
 * The greatest i32 and i64 lie between floats: those are chosen after the cast. */
const char *ex_saturated(Export *x, const char *v, Dtype from, Dtype to)
{
    int bits = (int)dtype_size(to) * 8 - dtype_is_signed(to);
    bool exact = bits <= (from == DT_F64 ? 53 : 24);
    double least = dtype_is_signed(to) ? -ldexp(1, bits) : 0, past = ldexp(1, bits);
    v = EX(x, "Where", EX(x, "IsNaN", v), ex_scalar(x, from, 0), v);
    const char *low = EX(x, "Max", v, ex_scalar(x, from, least));
    if (exact)
        return ex_cast(x, EX(x, "Min", low, ex_scalar(x, from, past - 1)), from, to);
    const char *beyond = EX(x, "GreaterOrEqual", v, ex_scalar(x, from, past));
    low = EX(x, "Where", beyond, ex_scalar(x, from, 0), low);
    const uint64_t ones = UINT64_MAX >> (64 - bits);
    const char *most = ex_tensor(x, to, NULL, 0, &ones);
    return EX(x, "Where", beyond, most, ex_cast(x, low, from, to));
}

void say_cast(Export *x, NodeId id)
{
    const char *in[1];
    Dtype from = graph_dtype(x->g, ex_operand(x, id, 0)), to = graph_dtype(x->g, id);
    Dtype as = dtype_is_float(from) && from != DT_F64 ? DT_F32 : from;
    bool cuts = dtype_is_float(from) && dtype_is_integer(to);
    operands(x, id, cuts ? as : from, in);
    finish(x, id, cuts ? ex_saturated(x, in[0], as, to) : in[0], cuts ? to : from);
}

/* Between integers of one size a cast keeps the bits. */
void say_bitcast(Export *x, NodeId id)
{
    Dtype from = graph_dtype(x->g, ex_operand(x, id, 0)), to = graph_dtype(x->g, id);
    if (dtype_is_float(from) || dtype_is_float(to))
        ex_unsupported(x, id, "the bits of %s as %s", dtype_name(from), dtype_name(to));
    say_cast(x, id);
}

/* -1 - x for integers: all bits are the other ones */
void say_not(Export *x, NodeId id)
{
    const char *in[1];
    Dtype t = graph_dtype(x->g, id);
    Dtype as = t == DT_BOOL ? t : ex_compute(x, id, X_WORD | X_WRAPS, t);
    operands(x, id, as, in);
    const char *y = t == DT_BOOL ? EX(x, "Not", in[0]) : EX(x, "Sub", ex_scalar(x, as, -1), in[0]);
    finish(x, id, y, as);
}

/* Rounded towards 0 */
void say_trunc(Export *x, NodeId id)
{
    const char *in[1];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *below = EX(x, "Less", in[0], ex_scalar(x, as, 0)), *up = EX(x, "Ceil", in[0]);
    finish(x, id, EX(x, "Where", below, up, EX(x, "Floor", in[0])), as);
}

void say_rsqrt(Export *x, NodeId id)
{
    const char *in[1];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    finish(x, id, EX(x, "Reciprocal", EX(x, "Sqrt", in[0])), as);
}

/* e^x - 1 = tanh(x/2) (e^x + 1) */
void say_expm1(Export *x, NodeId id)
{
    const char *in[1];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *slope = EX(x, "Tanh", EX(x, "Mul", in[0], ex_scalar(x, as, 0.5)));
    const char *sum = EX(x, "Add", EX(x, "Exp", in[0]), ex_scalar(x, as, 1));
    finish(x, id, EX(x, "Mul", slope, sum), as);
}

/* 1 - erf(x): far above 0 that is 0, where erfc is not yet. ONNX has no op that keeps it. */
void say_erfc(Export *x, NodeId id)
{
    const char *in[1];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    finish(x, id, EX(x, "Sub", ex_scalar(x, as, 1), EX(x, "Erf", in[0])), as);
}

/* (1 + erf(x / sqrt(2))) / 2: the same loss, far below 0 */
void say_normal_cdf(Export *x, NodeId id)
{
    const char *in[1];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *z = EX(x, "Mul", in[0], ex_scalar(x, as, 0.70710678118654752));
    const char *sum = EX(x, "Add", EX(x, "Erf", z), ex_scalar(x, as, 1));
    finish(x, id, EX(x, "Mul", sum, ex_scalar(x, as, 0.5)), as);
}

/* sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), which does not cancel */
void say_normal_cdf_tanh(Export *x, NodeId id)
{
    const char *in[1];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *cubic = ex_scalar(x, as, 0.07135481627260025);
    const char *slope = EX(x, "Mul", EX(x, "Mul", in[0], in[0]), cubic);
    slope = EX(x, "Add", slope, ex_scalar(x, as, 1.5957691216057308));
    finish(x, id, EX(x, "Sigmoid", EX(x, "Mul", in[0], slope)), as);
}

/* With u = 1 + x as rounded: log(u) x / (u - 1), whose error of rounding cancels (Kahan); the
 * factor is 1 where u is x, and x itself where u is 1 */
void say_log1p(Export *x, NodeId id)
{
    const char *in[1];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *one = ex_scalar(x, as, 1), *u = EX(x, "Add", in[0], one);
    const char *factor = EX(x, "Div", in[0], EX(x, "Sub", u, one));
    const char *large = EX(x, "Equal", u, in[0]), *small = EX(x, "Equal", u, one);
    factor = EX(x, "Where", large, one, factor);
    const char *y = EX(x, "Mul", EX(x, "Log", u), factor);
    finish(x, id, EX(x, "Where", small, in[0], y), as);
}

/* ---- Division ---- */

/* The divisor with 1 for 0, and where it is 0; NULL where it is known not to be. */
static const char *no_zero(Export *x, NodeId id, Dtype as, const char **divisor)
{
    double v;
    if (dtype_is_float(as) || (b_is_splat(x->g, ex_operand(x, id, 1), &v) && v != 0))
        return NULL;
    const char *zero = EX(x, "Equal", *divisor, ex_scalar(x, as, 0));
    *divisor = EX(x, "Where", zero, ex_scalar(x, as, 1), *divisor);
    return zero;
}

static void finish_division(Export *x, NodeId id, const char *y, Dtype as, const char *zero)
{
    if (zero)
        y = EX(x, "Where", zero, ex_scalar(x, as, 0), y);
    finish(x, id, y, as);
}

void say_division(Export *x, NodeId id)
{
    const char *in[2];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *zero = no_zero(x, id, as, &in[1]);
    finish_division(x, id, EX(x, "Div", in[0], in[1]), as, zero);
}

/* Towards minus infinity: of integers, what is left over goes first */
void say_floordiv(Export *x, NodeId id)
{
    const char *in[2];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    if (dtype_is_float(as)) {
        finish(x, id, EX(x, "Floor", EX(x, "Div", in[0], in[1])), as);
        return;
    }
    const char *zero = no_zero(x, id, as, &in[1]);
    const char *whole = EX(x, "Sub", in[0], EX(x, "Mod", in[0], in[1]));
    finish_division(x, id, EX(x, "Div", whole, in[1]), as, zero);
}

/* The sign is the divisor's. ONNX has that for integers; for floats, C's fmod, to which the divisor
 * is added where signs differ. */
void say_mod(Export *x, NodeId id)
{
    const char *in[2];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *zero = no_zero(x, id, as, &in[1]), *y = EX(x, "Mod", in[0], in[1]);
    if (!dtype_is_float(as)) {
        finish_division(x, id, y, as, zero);
        return;
    }
    ex_int(x, "fmod", 1);
    const char *none = ex_scalar(x, as, 0);
    const char *differ = EX(x, "Xor", EX(x, "Less", y, none), EX(x, "Less", in[1], none));
    const char *moved = EX(x, "And", differ, EX(x, "Not", EX(x, "Equal", y, none)));
    finish(x, id, EX(x, "Where", moved, EX(x, "Add", y, in[1]), y), as);
}

/* atan(y/x), and half a turn more where x < 0; 0/0 is 0 */
void say_atan2(Export *x, NodeId id)
{
    enum { Y, X };
    const double pi = 3.14159265358979323846;
    const char *in[2];
    Dtype as = computed(x, id, 0);
    operands(x, id, as, in);
    const char *zero = ex_scalar(x, as, 0);
    const char *angle = EX(x, "Atan", EX(x, "Div", in[Y], in[X]));
    const char *turn =
        EX(x, "Where", EX(x, "Less", in[Y], zero), ex_scalar(x, as, -pi), ex_scalar(x, as, pi));
    const char *left = EX(x, "Where", EX(x, "Less", in[X], zero), turn, zero);
    const char *both = EX(x, "And", EX(x, "Equal", in[X], zero), EX(x, "Equal", in[Y], zero));
    finish(x, id, EX(x, "Where", both, zero, EX(x, "Add", angle, left)), as);
}

/* ---- Bits ---- */

/* As u64, whose upper bits the cast back drops; by at most 63, then by all. The bits as i64. */
static const char *shifted(Export *x, const char *v, const char *by, const char *direction)
{
    const char *most = ex_scalar(x, DT_U64, 63), *over = EX(x, "Less", most, by);
    v = EX(x, "BitShift", v, EX(x, "Min", by, most));
    ex_text(x, "direction", direction);
    return EX(x, "Where", over, ex_scalar(x, DT_I64, 0), ex_cast(x, v, DT_U64, DT_I64));
}

/* To the right, a negative x is -1 - ((-1 - x) >> by). */
void say_shift(Export *x, NodeId id)
{
    const char *in[2], *below = NULL, *ones = NULL;
    Dtype t = graph_dtype(x->g, id);
    bool right = ex_op(x, id) == OP_shr, flips = right && dtype_is_signed(t);
    operands(x, id, DT_U64, in);
    if (flips) {
        const char *v = ex_cast(x, ex_spread(x, ex_operand(x, id, 0)), t, DT_I64);
        below = EX(x, "Less", v, ex_scalar(x, DT_I64, 0));
        ones = ex_scalar(x, DT_I64, -1);
        v = EX(x, "Where", below, EX(x, "Sub", ones, v), v);
        in[0] = ex_cast(x, v, DT_I64, DT_U64);
    }
    const char *y = shifted(x, in[0], in[1], right ? "RIGHT" : "LEFT");
    if (flips)
        y = EX(x, "Where", below, EX(x, "Sub", ones, y), y);
    finish(x, id, y, DT_I64);
}

/* An i64 whose sign bit alone is set. */
static bool is_sign_bit(const Graph *g, NodeId id)
{
    const int64_t sign = INT64_MIN;
    id = ex_stripped(g, id);
    return graph_node(g, id)->op == OP_constant && graph_dtype(g, id) == DT_I64 &&
           graph_attr(g, id, "data")->count == sizeof sign &&
           !memcmp(graph_attr(g, id, "data")->data, &sign, sizeof sign);
}

/* The sign bit alone is turned by adding it: so u64 is sorted as i64. */
void say_xor(Export *x, NodeId id)
{
    const char *in[2];
    if (!is_sign_bit(x->g, ex_operand(x, id, 0)) && !is_sign_bit(x->g, ex_operand(x, id, 1))) {
        say_map(x, id);
        return;
    }
    operands(x, id, DT_I64, in);
    finish(x, id, EX(x, "Add", in[0], in[1]), DT_I64);
}

/* ---- Choice ---- */

void say_select(Export *x, NodeId id)
{
    const char *in[3];
    Dtype t = graph_dtype(x->g, id);
    Dtype as = t == DT_BOOL ? t : computed(x, id, 1);
    for (uint32_t i = 0; i < 3; i++) {
        in[i] = ex_spread(x, ex_operand(x, id, i));
        if (i)
            in[i] = ex_cast(x, in[i], t, as);
    }
    if (t != DT_BOOL) {
        finish(x, id, ex_node(x, "Where", in, 3), as);
        return;
    }
    const char *yes = EX(x, "And", in[0], in[1]), *no = EX(x, "And", EX(x, "Not", in[0]), in[2]);
    finish(x, id, EX(x, "Or", yes, no), t);
}

void say_relu(Export *x, NodeId id)
{
    Dtype t = graph_dtype(x->g, id);
    if (dtype_is_integer(t) && !dtype_is_signed(t)) {
        ex_result(x, id, ex_full(x, ex_operand(x, id, 0)));
        return;
    }
    say_map(x, id);
}
