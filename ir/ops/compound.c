/* compound.c: said in other ops, but with a derivative better than that of their parts, or a name
 * worth keeping in a graph.
 *
 * relu, softplus, softmax, log_softmax. Their expansions are element-wise ops and reductions of a
 * row, which become one kernel. */
#include "ir/ops/rules.h"

#include <math.h>
#include <string.h>

static NodeId relu_expand(Graph *g, NodeId node, const NodeId *in)
{
    (void)node;
    return b_binary(g, OP_maximum, in[0], b_like(g, in[0], 0));
}

/* dy where x > 0: 0 at 0 */
static void relu_grad(Grad *q)
{
    Graph *g = q->g;
    NodeId y = q->node, zero = b_like(g, y, 0); /* y > 0 just where x > 0, and y is stored anyway */
    q->add(q, 0, b_select(g, b_binary(g, OP_gt, y, zero), q->dy, zero));
}

static void relu_ref(Ref *q)
{
    for (int64_t i = 0; i < q->in->count; i++)
        if (dtype_is_float(q->in->dtype))
            q->out->f[i] = q->in->f[i] < 0 ? 0 : q->in->f[i];
        else
            q->out->i[i] = dtype_is_signed(q->in->dtype) && q->in->i[i] < 0 ? 0 : q->in->i[i];
}

static bool relu_infer(Infer *q)
{
    return rule_number(q, 0) && rule_like(q, 0); /* C1 */
}

FOLD(relu_fold)
{
    FOLD_UNUSED;
    return graph_node(g, in[0])->op == OP_relu ? in[0] : NODE_NONE;
}

static const struct {
    uint32_t rank, axis;
    int64_t dims[3];
} shapes[] = {
    { 1, 0, { 7 } },      { 2, 1, { 3, 37 } }, { 2, 0, { 5, 3 } }, { 3, 1, { 2, 3, 5 } },
    { 2, 1, { -1, 10 } }, { 2, 1, { 3, 1 } },  { 2, 1, { 0, 4 } }, { 2, 0, { -1, 3 } },
};
enum { SHAPES = sizeof shapes / sizeof *shapes, FLOATS = 2 * SHAPES + 2 };

static NodeId float_input(Graph *g, CaseRng *r, uint32_t i, double lo, double hi)
{
    static const Dtype narrow[] = { DT_F16, DT_BF16 };
    if (i >= FLOATS)
        return NODE_NONE;
    if (i >= 2 * SHAPES)
        return case_input(g, r, narrow[i - 2 * SHAPES], 1, &(int64_t){ 11 }, lo, hi, true);
    return case_input(g, r, i < SHAPES ? DT_F64 : DT_F32, shapes[i % SHAPES].rank,
                      shapes[i % SHAPES].dims, lo, hi, true);
}

static NodeId relu_cases(Graph *g, CaseRng *r, uint32_t i)
{
    if (i == FLOATS)
        return b_unary(g, OP_relu, case_input(g, r, DT_I32, 1, &(int64_t){ 13 }, -9, 9, false));
    return b_unary(g, OP_relu, float_input(g, r, i, -3, 3.1));
}

const OpDef op_relu = {
    .name = "relu", .doc = "max(x, 0); derivative 0 at 0", .min_in = 1, .max_in = 1,
    .infer = relu_infer, .grad = relu_grad, .ref = relu_ref, .fold = relu_fold,
    .expand = relu_expand, .lower = LOWER_EXPAND, .cost = 1, .cases = relu_cases,
};

/* max(x, 0) + log1p(e^-|x|): no overflow, and exact for very negative x */
static NodeId softplus_expand(Graph *g, NodeId node, const NodeId *in)
{
    (void)node;
    NodeId x = in[0],
           tail = b_unary(g, OP_log1p, b_unary(g, OP_exp, b_neg(g, b_unary(g, OP_abs, x))));
    return b_add(g, b_binary(g, OP_maximum, x, b_like(g, x, 0)), tail);
}

static void softplus_grad(Grad *q)
{
    q->add(q, 0, b_mul(q->g, q->dy, b_unary(q->g, OP_sigmoid, q->in[0])));
}

static void softplus_ref(Ref *q)
{
    for (int64_t i = 0; i < q->in->count; i++) {
        double x = q->in->f[i];
        q->out->f[i] = x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    }
}

static NodeId softplus_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return b_unary(g, OP_softplus, float_input(g, r, i, -30, 30));
}

const OpDef op_softplus = {
    .name = "softplus", .doc = "log(1 + e^x)", .min_in = 1, .max_in = 1, .infer = rule_float_map,
    .grad = softplus_grad, .ref = softplus_ref, .expand = softplus_expand, .lower = LOWER_EXPAND,
    .cost = 30, .cases = softplus_cases,
};

/* ---- softmax and its logarithm ---- */

static const AttrDecl axis_attrs[] = { { .name = "axis", .kind = ATTR_INT, .required = true },
                                       { 0 } };

static bool row_infer(Infer *q)
{
    return rule_float(q, 0)           /* C1 */
           && rule_axis(q, "axis", 0) /* C2 */
           && rule_like(q, 0);
}

static uint32_t axis_of(const Graph *g, NodeId node)
{
    return (uint32_t)node_int(g, node, "axis");
}

/* A reduction along the axis, over x's shape again. */
static NodeId over_row(Graph *g, Op op, NodeId x, uint32_t axis)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    Shape s = *graph_shape(g, x);
    return b_broadcast(g, b_reduce(g, op, x, &(int64_t){ axis }, 1, true), &s);
}

/* x less its row's maximum, which keeps exp from overflowing and changes no result */
static NodeId lowered(Graph *g, NodeId x, uint32_t axis)
{
    return b_sub(g, x, over_row(g, OP_reduce_max, x, axis));
}

static NodeId softmax_expand(Graph *g, NodeId node, const NodeId *in)
{
    NodeId e = b_unary(g, OP_exp, lowered(g, in[0], axis_of(g, node)));
    return b_div(g, e, over_row(g, OP_reduce_sum, e, axis_of(g, node)));
}

/* dx = (dy - sum(dy y)) y */
static void softmax_grad(Grad *q)
{
    NodeId sum = over_row(q->g, OP_reduce_sum, b_mul(q->g, q->dy, q->node), axis_of(q->g, q->node));
    q->add(q, 0, b_mul(q->g, b_sub(q->g, q->dy, sum), q->node));
}

static NodeId log_softmax_expand(Graph *g, NodeId node, const NodeId *in)
{
    NodeId x = lowered(g, in[0], axis_of(g, node));
    NodeId sum = over_row(g, OP_reduce_sum, b_unary(g, OP_exp, x), axis_of(g, node));
    return b_sub(g, x, b_unary(g, OP_log, sum));
}

/* dx = dy - e^y sum(dy) */
static void log_softmax_grad(Grad *q)
{
    NodeId sum = over_row(q->g, OP_reduce_sum, q->dy, axis_of(q->g, q->node));
    q->add(q, 0, b_sub(q->g, q->dy, b_mul(q->g, b_unary(q->g, OP_exp, q->node), sum)));
}

static void row_ref(Ref *q)
{
    int64_t axis = node_int(q->g, q->node, "axis"), at[MAX_RANK] = { 0 }, i = 0;
    bool logarithm = graph_node(q->g, q->node)->op == OP_log_softmax;
    const Value *x = q->in;
    int64_t stride = index_stride(x, axis);
    if (!x->count)
        return;
    do {
        const double *row = x->f + i - at[axis] * stride;
        double top = -INFINITY, sum = 0;
        for (int64_t j = 0; j < x->dim[axis]; j++)
            top = scalar_float(SC_MAXIMUM, (double[]){ top, row[j * stride] });
        for (int64_t j = 0; j < x->dim[axis]; j++)
            sum += exp(row[j * stride] - top);
        q->out->f[i] = logarithm ? x->f[i] - top - log(sum) : exp(x->f[i] - top) / sum;
        i++;
    } while (index_next(x, at));
}

static NodeId row_cases(Graph *g, CaseRng *r, uint32_t i, Op op)
{
    NodeId x = float_input(g, r, i, -9, 9);
    AttrValue axis = attr_i(i < 2 * SHAPES ? shapes[i % SHAPES].axis : 0);
    return graph_emit(g, op, &x, 1, &axis, 1);
}

static NodeId softmax_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return row_cases(g, r, i, OP_softmax);
}

static NodeId log_softmax_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return row_cases(g, r, i, OP_log_softmax);
}

const OpDef op_softmax = {
    .name = "softmax", .doc = "y = exp(x - max) / sum(exp(x - max)) along axis", .min_in = 1,
    .max_in = 1, .attrs = axis_attrs, .infer = row_infer, .grad = softmax_grad, .ref = row_ref,
    .expand = softmax_expand, .lower = LOWER_EXPAND, .cost = 40, .cases = softmax_cases,
};
const OpDef op_log_softmax = {
    .name = "log_softmax", .doc = "y = x - max - log(sum(exp(x - max))) along axis", .min_in = 1,
    .max_in = 1, .attrs = axis_attrs, .infer = row_infer, .grad = log_softmax_grad, .ref = row_ref,
    .expand = log_softmax_expand, .lower = LOWER_EXPAND, .cost = 40, .cases = log_softmax_cases,
};
