/* raise_normal.c: the normal distribution function, said by erf or tanh as GELU is in files of
 * other frameworks.
 *
 *     1 + erf(x / sqrt(2))                                2 normal_cdf(x)
 *     1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))             2 normal_cdf_tanh(x)
 *     sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))            normal_cdf_tanh(x)
 *     1 + erf(z), 1 - erf(z)                              erfc(-z), erfc(z)
 *
 * The sums cancel where the result is small: they have no right digit left for x < -5. k + k erf(z)
 * counts too, and a factor 1/2 of a product cancels the 2, so that GELU is x normal_cdf(x), however
 * it was grouped. Which x it is, and in which order its constants stand, is found by reading the
 * argument as a polynomial of each value it is computed from. */
#include "passes/raise.h"

#include "ir/op.h"

#include <math.h>

enum { MAX_DEPTH = 6 }; /* of what is read as a polynomial */

typedef struct {
    double c[4]; /* of 1, x, x^2, x^3 */
} Cubic;

static bool is(const Graph *g, NodeId x, Op op)
{
    return x != NODE_NONE && graph_node(g, x)->op == op;
}

static bool is_splat_of(const Graph *g, NodeId x, double v)
{
    double found;
    return b_is_splat(g, x, &found) && found == v;
}

/* ---- Polynomials ---- */

static bool cubic_product(const Cubic *a, const Cubic *b, Cubic *out)
{
    *out = (Cubic){ 0 };
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            double term = a->c[i] * b->c[j];
            if (i + j < 4)
                out->c[i + j] += term;
            else if (term != 0)
                return false;
        }
    return true;
}

/* n as a polynomial of x with constant coefficients. */
static bool cubic_of(const Graph *g, NodeId n, NodeId x, int depth, Cubic *out)
{
    Cubic a, b;
    double v;
    *out = (Cubic){ 0 };
    if (n == x) {
        out->c[1] = 1;
        return true;
    }
    if (b_is_splat(g, n, &out->c[0]))
        return true;
    Op op = (Op)graph_node(g, n)->op;
    bool sum = op == OP_add || op == OP_sub, power = op == OP_pow, quotient = op == OP_div;
    if (!depth || !(sum || power || quotient || op == OP_mul || op == OP_neg) ||
        !cubic_of(g, graph_operand(g, n, 0), x, depth - 1, &a))
        return false;
    if (op == OP_neg) {
        for (int i = 0; i < 4; i++)
            out->c[i] = -a.c[i];
        return true;
    }
    NodeId second = graph_operand(g, n, 1);
    if (power)
        return b_is_splat(g, second, &v) && (v == 2 || v == 3) && cubic_product(&a, &a, out) &&
               (v == 2 || (b = *out, cubic_product(&a, &b, out)));
    if (!cubic_of(g, second, x, depth - 1, &b))
        return false;
    if (op == OP_mul)
        return cubic_product(&a, &b, out);
    if (quotient && (b.c[0] == 0 || b.c[1] != 0 || b.c[2] != 0 || b.c[3] != 0))
        return false;
    for (int i = 0; i < 4; i++)
        out->c[i] = quotient ? a.c[i] / b.c[0] : op == OP_add ? a.c[i] + b.c[i] : a.c[i] - b.c[i];
    return true;
}

/* Equal but for the rounding of constants to the dtype. */
static bool about(double v, double want, Dtype t)
{
    int digits = t == DT_F64 ? 53 : t == DT_F32 ? 24 : t == DT_F16 ? 11 : 8;
    return fabs(v - want) <= ldexp(fabs(want), 2 - digits);
}

/* Of n and what it is computed from: the x of which `whole` is s (linear x + cubic x^3), s = 1 or
 * -1; else NODE_NONE. */
static NodeId find_variable(const Graph *g, NodeId whole, NodeId n, int depth, double linear,
                            double cubic, double *out_sign)
{
    Cubic p;
    double v;
    Dtype t = graph_dtype(g, whole);
    if (b_is_splat(g, n, &v))
        return NODE_NONE;
    if (cubic_of(g, whole, n, MAX_DEPTH, &p) && p.c[0] == 0 && p.c[2] == 0) {
        *out_sign = p.c[1] < 0 ? -1 : 1;
        if (about(*out_sign * p.c[1], linear, t) && about(*out_sign * p.c[3], cubic, t))
            return n;
    }
    Op op = (Op)graph_node(g, n)->op;
    if (!depth || !(op == OP_add || op == OP_sub || op == OP_mul || op == OP_div || op == OP_neg ||
                    op == OP_pow))
        return NODE_NONE;
    for (uint32_t i = 0; i < graph_node(g, n)->count; i++) {
        NodeId x =
            find_variable(g, whole, graph_operand(g, n, i), depth - 1, linear, cubic, out_sign);
        if (x != NODE_NONE)
            return x;
    }
    return NODE_NONE;
}

/* ---- Sums ---- */

static NodeId signed_by(Graph *g, NodeId x, double sign)
{
    return sign < 0 ? b_neg(g, x) : x;
}

/* 1 + sign f for f = erf(z) or tanh(u), or NODE_NONE. */
static NodeId one_plus(Graph *g, NodeId f, double sign)
{
    const double slope = 0.79788456080286536, erf_slope = 0.70710678118654752;
    bool by_erf = is(g, f, OP_erf);
    double own;
    if (!by_erf && !is(g, f, OP_tanh))
        return NODE_NONE;
    NodeId z = graph_operand(g, f, 0);
    NodeId x = find_variable(g, z, z, MAX_DEPTH, by_erf ? erf_slope : slope,
                             by_erf ? 0 : 0.044715 * slope, &own);
    if (x != NODE_NONE) {
        x = signed_by(g, x, own * sign);
        return b_scale(g, b_unary(g, by_erf ? OP_normal_cdf : OP_normal_cdf_tanh, x), 2);
    }
    return by_erf ? b_unary(g, OP_erfc, signed_by(g, z, -sign)) : NODE_NONE;
}

/* k + f or k + k f, `sign` that of f. */
static NodeId raise_sum(Graph *g, NodeId k, NodeId f, double sign)
{
    double v;
    if (!b_is_splat(g, k, &v) || v == 0)
        return NODE_NONE;
    for (uint32_t i = 0; i < 2 && v != 1 && is(g, f, OP_mul); i++)
        if (is_splat_of(g, graph_operand(g, f, i), v)) {
            NodeId sum = one_plus(g, graph_operand(g, f, 1 - i), sign);
            return sum == NODE_NONE ? sum : b_scale(g, sum, v);
        }
    return v == 1 ? one_plus(g, f, sign) : NODE_NONE;
}

/* ---- Products ---- */

static bool is_half(const Graph *g, NodeId n, uint32_t other)
{
    return is(g, n, OP_mul) ? is_splat_of(g, graph_operand(g, n, 1 - other), 0.5)
                            : is(g, n, OP_div) && !other &&
                                  is_splat_of(g, graph_operand(g, n, 1), 2);
}

static bool is_double(const Graph *g, NodeId n, uint32_t other)
{
    if (!is(g, n, OP_mul) || !is_splat_of(g, graph_operand(g, n, 1 - other), 2))
        return false;
    NodeId f = graph_operand(g, n, other);
    return is(g, f, OP_normal_cdf) || is(g, f, OP_normal_cdf_tanh);
}

typedef bool IsFactor(const Graph *g, NodeId n, uint32_t other);

/* True when the product n has the factor somewhere. */
static bool has_factor(const Graph *g, NodeId n, IsFactor *factor, int depth)
{
    if (!is(g, n, OP_mul) && !is(g, n, OP_div))
        return false;
    for (uint32_t i = 0; i < 2; i++)
        if (factor(g, n, i) || (depth && is(g, n, OP_mul) &&
                                has_factor(g, graph_operand(g, n, i), factor, depth - 1)))
            return true;
    return false;
}

/* n without one factor that it has. */
static NodeId drop_factor(Graph *g, NodeId n, IsFactor *factor, int depth)
{
    for (uint32_t i = 0; i < 2; i++)
        if (factor(g, n, i))
            return graph_operand(g, n, i);
    uint32_t i = !has_factor(g, graph_operand(g, n, 0), factor, depth - 1);
    NodeId rest = drop_factor(g, graph_operand(g, n, i), factor, depth - 1);
    NodeId other = graph_operand(g, n, 1 - i);
    return i ? b_mul(g, other, rest) : b_mul(g, rest, other);
}

/* 1/2 and 2 cancel: exact but for subnormals, which lose less. */
static NodeId raise_product(Graph *g, NodeId id)
{
    enum { NESTED = 2 };
    if (!has_factor(g, id, is_double, NESTED) || !has_factor(g, id, is_half, NESTED))
        return NODE_NONE;
    NodeId n = drop_factor(g, id, is_half, NESTED);
    return has_factor(g, n, is_double, NESTED) ? drop_factor(g, n, is_double, NESTED) : NODE_NONE;
}

NodeId raise_normal(Graph *g, NodeId id)
{
    Op op = (Op)graph_node(g, id)->op;
    double sign;
    if (op == OP_mul || op == OP_div)
        return raise_product(g, id);
    if (op == OP_sigmoid) {
        NodeId u = graph_operand(g, id, 0);
        NodeId x = find_variable(g, u, u, MAX_DEPTH, 1.5957691216057308, 0.07135481627260025,
                                 &sign);
        return x == NODE_NONE ? x : b_unary(g, OP_normal_cdf_tanh, signed_by(g, x, sign));
    }
    if (op != OP_add && op != OP_sub)
        return NODE_NONE;
    NodeId a = graph_operand(g, id, 0), b = graph_operand(g, id, 1);
    NodeId sum = raise_sum(g, a, b, op == OP_sub ? -1 : 1);
    return sum != NODE_NONE || op == OP_sub ? sum : raise_sum(g, b, a, 1);
}
