/* import_rows.c: rows that stand in another order.
 *
 * A batch is the outermost of the axes that it is merged with: only then are rows where their
 * strides say, at every batch. Attention as PyTorch writes it merges [T, B, E] to [T*B, E] for one
 * product, and splits the rows again. Row by row it makes no difference in which order they stand:
 * such a value is kept as [B*T, E], with T noted. Products with a matrix and what goes element by
 * element pass that on, a Reshape back to [T, B, ..] ends it, and all else makes the batch a
 * number. */
#include "frontend/onnx/map.h"

#include <string.h>

/* Ops whose result has, row by row, what their first input has: Gemm and MatMul by a matrix,
 * LayerNormalization and Softmax along the last axis, and element by element. */
static bool keeps_rows(OnnxNode *q)
{
    static const char *const ops[] = {
        "Add", "Sub", "Mul", "Div", "Pow", "Relu", "Gelu", "Erf", "Sigmoid", "Tanh", "Sqrt", "Cast",
        "Identity", "Dropout", "LeakyRelu", "Elu", "HardSwish", "Clip", "Neg", "Exp", "Where",
    };
    const char *op = q->proto->op_type;
    if (q->proto->domain && *q->proto->domain)
        return false;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strcmp(op, ops[i]))
            return true;
    const Shape *x = node_shape(q, 0);
    int64_t axis = attribute_int(q, "axis", -1), last = (int64_t)x->rank - 1;
    if (!strcmp(op, "LayerNormalization") || !strcmp(op, "Softmax"))
        return axis == -1 || axis == last;
    bool gemm = !strcmp(op, "Gemm") && !attribute_int(q, "transA", 0);
    return (gemm || !strcmp(op, "MatMul")) && x->rank == 2 && node_shape(q, 1)->rank == 2 &&
           !node_value(q, 1)->turned;
}

/* Whether an input beside those rows is the same for each of them. */
static bool is_shared(const Shape *s, uint32_t rank)
{
    return s->rank < rank || (s->rank == rank && s->dim[0].n == 1 && !s->dim[0].k);
}

/* T of the inputs that are turned; 0 where none is; -1: they do not fit one another. */
static int64_t turned_inputs(OnnxNode *q)
{
    int64_t turn = 0;
    uint32_t rank = 0;
    for (uint32_t i = 0; i < node_inputs(q); i++) {
        OnnxValue *v = node_has(q, i) ? node_value(q, i) : NULL;
        if (!v || !v->turned)
            continue;
        if (turn && (v->turned != turn || node_shape(q, i)->rank != rank))
            return -1;
        turn = v->turned;
        rank = node_shape(q, i)->rank;
    }
    bool product = !strcmp(q->proto->op_type, "MatMul") || !strcmp(q->proto->op_type, "Gemm");
    for (uint32_t i = 0; turn && i < node_inputs(q); i++) {
        bool weight = product && i == 1;
        if (!weight && node_has(q, i) && !node_value(q, i)->turned &&
            !is_shared(node_shape(q, i), rank))
            return -1;
    }
    return turn;
}

bool import_turned(OnnxNode *q)
{
    q->turn = turned_inputs(q);
    if (!q->turn || (q->turn > 0 && keeps_rows(q)))
        return true;
    const char *op = q->proto->op_type;
    if (!strcmp(op, "Reshape") || !strcmp(op, "Shape")) {
        q->turn = 0;
        return true;
    }
    return node_pins_batch(q);
}

/* [T, B, ..] becomes [T*B, ..]: the first two axes are one. Of [T, B*H, ..], heads beside the
 * batch, H goes to the rest of its row: *out_parts is [T, B, H, ..]. */
static bool is_merge(const Shape *x, const Shape *to, Shape *out_parts)
{
    *out_parts = *x;
    if (x->rank < 2 || !to->rank || x->dim[0].k || x->dim[0].n < 2 || !x->dim[1].k)
        return false;
    int64_t turn = x->dim[0].n, batches = to->dim[0].k / turn, all = x->dim[1].k;
    if (!batches || to->dim[0].k % turn || all % batches || x->rank == MAX_RANK)
        return false;
    if (all == batches)
        return true;
    for (uint32_t i = out_parts->rank++; i > 2; i--)
        out_parts->dim[i] = x->dim[i - 1];
    out_parts->dim[1] = (Dim){ x->dim[1].n / all * batches, batches };
    out_parts->dim[2] = dim_of(all / batches);
    return true;
}

static const char *turn_axes(OnnxNode *q, const char *x, uint32_t rank)
{
    int64_t perm[MAX_RANK] = { 1, 0 };
    for (uint32_t i = 2; i < rank; i++)
        perm[i] = i;
    return text_printf(q, "transpose(%s, %s)", x, text_ints(q, perm, rank));
}

/* [B*T, ..] as [B, T, ..], then [T, B, ..]. */
static bool split_rows(OnnxNode *q, const char *x, int64_t turn, const Shape *to)
{
    Shape inner = *to;
    Dim rows = node_shape(q, 0)->dim[0], each = { rows.n / turn, rows.k / turn };
    if (to->rank < 2 || !dim_equal(to->dim[0], dim_of(turn)) || !dim_equal(to->dim[1], each))
        return node_pins_batch(q);
    inner.dim[0] = to->dim[1];
    inner.dim[1] = to->dim[0];
    const char *y = node_tmp(q, "rows", "reshape(%s, %s)", x, text_dims(q, &inner));
    return y && node_let(q, 0, "%s", turn_axes(q, y, to->rank));
}

bool onnx_reshape_rows(OnnxNode *q, const Shape *to)
{
    const Shape *s = node_shape(q, 0);
    OnnxValue *v = node_value(q, 0);
    const char *x = node_arg(q, 0);
    if (!x)
        return false;
    if (v->turned && to->rank && dim_equal(to->dim[0], s->dim[0]))
        q->turn = v->turned; /* each row in itself */
    else if (v->turned)
        return split_rows(q, x, v->turned, to);
    Shape parts;
    if (!is_merge(s, to, &parts))
        return onnx_reshape_to(q, 0, x, to);
    q->turn = s->dim[0].n;
    if (parts.rank > s->rank)
        x = text_printf(q, "reshape(%s, %s)", x, text_dims(q, &parts));
    return onnx_reshape_to(q, 0, turn_axes(q, x, parts.rank), to);
}
