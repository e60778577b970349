/* export_quant.c: real numbers as integers, and back.
 *
 * QuantizeLinear and DequantizeLinear, in this opset, take f32, 8 bits, and one scale and zero
 * point for all or for each place of an axis: those are looked for behind the broadcasts.
 * Everything else is written out. */
#include "frontend/onnx/export_node.h"

/* One number for all, or one for each place of an axis. */
typedef struct {
    NodeId node;
    int64_t axis; /* -1: for all */
} Scale;

static bool find_scale(const Graph *g, NodeId id, Scale *out)
{
    if (graph_node(g, id)->op != OP_broadcast)
        return false;
    NodeId column = graph_operand(g, id, 0);
    const Shape *s = graph_shape(g, column);
    *out = (Scale){ column, -1 };
    for (uint32_t i = 0; i < s->rank; i++) {
        if (dim_equal(s->dim[i], dim_of(1)))
            continue;
        if (out->axis >= 0 || s->dim[i].k)
            return false;
        out->axis = i;
    }
    return true;
}

/* Scale and zero point of a node, where the ONNX op knows their form. */
static bool find_scales(const Export *x, NodeId id, Dtype real, Dtype stored, Scale *scale,
                        Scale *zero)
{
    return real == DT_F32 && (stored == DT_U8 || stored == DT_I8) &&
           find_scale(x->g, ex_operand(x, id, 1), scale) &&
           find_scale(x->g, ex_operand(x, id, 2), zero) && scale->axis == zero->axis;
}

static const char *scale_value(Export *x, const Scale *s)
{
    const Shape *from = graph_shape(x->g, s->node);
    Shape to = { .rank = s->axis >= 0, .dim = { s->axis >= 0 ? from->dim[s->axis] : dim_of(1) } };
    return ex_reshape(x, ex_full(x, s->node), from, &to);
}

static void linear(Export *x, NodeId id, const Scale *scale, const Scale *zero)
{
    const char *in[] = { ex_full(x, ex_operand(x, id, 0)), scale_value(x, scale),
                         scale_value(x, zero) };
    const char *v = ex_node(x, export_rows[ex_op(x, id)].onnx, in, 3);
    if (scale->axis >= 0)
        ex_int(x, "axis", scale->axis);
    ex_result(x, id, v);
}

static const char *as_real(Export *x, NodeId id, Dtype t)
{
    return ex_cast(x, ex_full(x, id), graph_dtype(x->g, id), t);
}

void say_quantize(Export *x, NodeId id)
{
    NodeId from = ex_operand(x, id, 0);
    Dtype t = graph_dtype(x->g, from), to = graph_dtype(x->g, id);
    Scale scale, zero;
    if (find_scales(x, id, t, to, &scale, &zero)) {
        linear(x, id, &scale, &zero);
        return;
    }
    Dtype as = t == DT_F64 ? t : DT_F32;
    const char *v = as_real(x, from, as);
    v = EX(x, "Round", EX(x, "Div", v, as_real(x, ex_operand(x, id, 1), as)));
    v = EX(x, "Add", v, as_real(x, ex_operand(x, id, 2), as));
    ex_result(x, id, ex_saturated(x, v, as, to));
}

void say_dequantize(Export *x, NodeId id)
{
    NodeId from = ex_operand(x, id, 0);
    Dtype t = graph_dtype(x->g, id);
    Scale scale, zero;
    if (find_scales(x, id, t, graph_dtype(x->g, from), &scale, &zero)) {
        linear(x, id, &scale, &zero);
        return;
    }
    Dtype as = t == DT_F64 ? t : DT_F32;
    const char *v = EX(x, "Sub", as_real(x, from, as), as_real(x, ex_operand(x, id, 2), as));
    v = EX(x, "Mul", v, as_real(x, ex_operand(x, id, 1), as));
    ex_result(x, id, ex_cast(x, v, as, t));
}
