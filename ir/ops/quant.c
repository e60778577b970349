/* quant.c: real numbers as integers, and back.
 *
 *     quantize: q = saturate(round(x / scale) + zero)        dequantize: y = (q - zero) * scale
 *
 * Scales and zero points have x's shape (they are broadcast by who emits them), so that one rule
 * serves tensors, channels and blocks. An integer carries no derivative; but dequantize of a
 * quantize with the same scale and zero point is rewritten without integers, and there the rounding
 * lets the derivative pass as if it were not (Bengio et al. 2013): 1 within the range and 0 outside
 * by x, and by the scale what the rounding lost (Esser et al. 2019). */
#include "ir/ops/rules.h"

#include <math.h>

static bool scaled_shapes(Infer *q)
{
    return rule_float(q, 1) && rule_integer(q, 2)                     /* C1, C2 */
           && rule_same_shape(q, 0, 1) && rule_same_shape(q, 0, 2); /* C3 */
}

static bool quantize_infer(Infer *q)
{
    if (!rule_float(q, 0) || !rule_same_dtype(q, 0, 1) || !scaled_shapes(q)) /* C4 */
        return false;
    q->shape = *infer_shape(q, 0);
    q->dtype = infer_dtype(q, 2);
    return rule_result(q);
}

static NodeId quantize_expand(Graph *g, NodeId node, const NodeId *in)
{
    NodeId r = b_unary(g, OP_round, b_div(g, in[0], in[1]));
    NodeId zero = b_cast(g, in[2], graph_dtype(g, in[0]));
    return b_cast(g, b_add(g, r, zero), graph_dtype(g, node));
}

/* The quotient is rounded as x's type rounds it: a tie is one there. */
static void quantize_ref(Ref *q)
{
    const Value *x = &q->in[0];
    Arena *a = q->arena;
    Value wide = *x;
    wide.f = arena_new_array(a, double, (size_t)x->count);
    for (int64_t i = 0; i < x->count; i++) {
        double v = value_round(x->dtype, x->f[i] / q->in[1].f[i]);
        wide.f[i] = scalar_float(SC_ROUND, &v) + element_float(&q->in[2], i);
        value_cast(&wide, i, q->out);
    }
}

static const struct {
    uint32_t rank;
    int64_t dims[3];
} shapes[] = { { 0, { 0 } }, { 1, { 7 } }, { 2, { 3, 5 } }, { 2, { -1, 4 } }, { 2, { 0, 3 } } };
static const Dtype stored[] = { DT_U8, DT_I8, DT_U16, DT_I16, DT_I32 };
enum { SHAPES = sizeof shapes / sizeof *shapes, CASES = 2 * SHAPES };

static NodeId scale_input(Graph *g, CaseRng *r, uint32_t i)
{
    return case_input(g, r, i < SHAPES ? DT_F64 : DT_F32, shapes[i % SHAPES].rank,
                      shapes[i % SHAPES].dims, 1, 3, false);
}

static NodeId integer_input(Graph *g, CaseRng *r, uint32_t i, double lo, double hi)
{
    Dtype t = stored[(i + i / SHAPES) % (sizeof stored / sizeof *stored)];
    return case_input(g, r, t, shapes[i % SHAPES].rank, shapes[i % SHAPES].dims,
                      dtype_is_signed(t) ? lo : 0, hi, false);
}

static NodeId quantize_cases(Graph *g, CaseRng *r, uint32_t i)
{
    if (i >= CASES)
        return NODE_NONE;
    NodeId x = case_input(g, r, i < SHAPES ? DT_F64 : DT_F32, shapes[i % SHAPES].rank,
                          shapes[i % SHAPES].dims, -9, 9, false);
    NodeId scale = scale_input(g, r, i);
    NodeId in[] = { x, scale, integer_input(g, r, i, -128, 127) }; /* next to the limits */
    return graph_emit(g, OP_quantize, in, 3, NULL, 0);
}

const OpDef op_quantize = {
    .name = "quantize", .doc = "round(x/scale) + zero as zero's integers, saturated; ties to even",
    .min_in = 3, .max_in = 3, .infer = quantize_infer, .zero_grad = true, .ref = quantize_ref,
    .expand = quantize_expand, .lower = LOWER_EXPAND, .cost = 4, .cases = quantize_cases,
};

static bool dequantize_infer(Infer *q)
{
    Dtype stored_as = infer_dtype(q, 0);
    if (!scaled_shapes(q) || !rule_same_dtype(q, 0, 2)) /* C4 */
        return false;
    if (stored_as == DT_I64 || stored_as == DT_U64) /* C5 */
        return infer_fail(q, DIAG_E0304, "%s needs integers of at most 32 bits; this is %s",
                          rule_name(q), rule_type(q, 0));
    return rule_like(q, 1);
}

static NodeId less_zero(Graph *g, NodeId q, NodeId zero, Dtype t)
{
    return b_sub(g, b_cast(g, q, t), b_cast(g, zero, t));
}

static NodeId dequantize_expand(Graph *g, NodeId node, const NodeId *in)
{
    return b_mul(g, less_zero(g, in[0], in[2], graph_dtype(g, node)), in[1]);
}

static void dequantize_grad(Grad *q)
{
    Graph *g = q->g;
    q->add(q, 1, b_mul(g, q->dy, less_zero(g, q->in[0], q->in[2], graph_dtype(g, q->node))));
}

static void dequantize_ref(Ref *q)
{
    for (int64_t i = 0; i < q->out->count; i++)
        q->out->f[i] = (double)(q->in[0].i[i] - q->in[2].i[i]) * q->in[1].f[i];
}

/* dequantize(quantize(x)): the same numbers without integers, and with a derivative. v + (round(v)
 * - v) is round(v) without any error, since the difference is a multiple of v's last place. */
FOLD(dequantize_fold)
{
    FOLD_UNUSED;
    NodeId source = in[0], scale = in[1], zero = in[2];
    if (graph_node(g, source)->op != OP_quantize || graph_operand(g, source, 1) != scale ||
        graph_operand(g, source, 2) != zero)
        return NODE_NONE;
    Dtype stored_as = graph_dtype(g, source);
    int bits = (int)dtype_size(stored_as) * 8;
    if (bits > 16)
        return NODE_NONE; /* f32 does not hold its limits */
    double low = dtype_is_signed(stored_as) ? -ldexp(1, bits - 1) : 0;
    NodeId v = b_div(g, graph_operand(g, source, 0), scale), z = b_cast(g, zero, dtype);
    NodeId lost = b_unary(g, OP_stop_gradient, b_sub(g, b_unary(g, OP_round, v), v));
    NodeId r = b_add(g, b_add(g, v, lost), z);
    r = b_binary(g, OP_minimum, b_binary(g, OP_maximum, r, b_like(g, r, low)),
                 b_like(g, r, low + ldexp(1, bits) - 1));
    return b_mul(g, b_sub(g, r, z), scale);
}

static NodeId dequantize_cases(Graph *g, CaseRng *r, uint32_t i)
{
    if (i >= CASES)
        return NODE_NONE;
    NodeId x = integer_input(g, r, i, -100, 100), scale = scale_input(g, r, i);
    NodeId in[] = { x, scale, integer_input(g, r, i, -30, 30) };
    return graph_emit(g, OP_dequantize, in, 3, NULL, 0);
}

const OpDef op_dequantize = {
    .name = "dequantize", .doc = "(q - zero)*scale; of a quantize, its derivative passes through",
    .min_in = 3, .max_in = 3, .infer = dequantize_infer, .grad = dequantize_grad,
    .ref = dequantize_ref, .fold = dequantize_fold, .expand = dequantize_expand,
    .lower = LOWER_EXPAND, .cost = 3, .cases = dequantize_cases,
};
