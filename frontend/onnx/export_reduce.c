/* export_reduce.c: along axes, and the pooling that such reductions of windows are. */
#include "frontend/onnx/export_node.h"
#include "ir/builder.h"

#include <math.h>
#include <string.h>

/* ---- Pooling ---- */

enum { MAX_SPACE = 3 };

/* A reduction over windows of the axes behind batch and channels. */
typedef struct {
    NodeId x;
    uint32_t n; /* spatial axes */
    int64_t size[MAX_SPACE], stride[MAX_SPACE], dilation[MAX_SPACE], pads[2 * MAX_SPACE];
} Pool;

/* windows nodes, one for each spatial axis, the last one outermost. */
static bool take_windows(const Graph *g, NodeId id, Pool *p)
{
    for (uint32_t i = p->n; i-- > 0; id = graph_operand(g, id, 0)) {
        if (graph_node(g, id)->op != OP_windows || graph_attr(g, id, "axis")->i != 2 + 2 * i)
            return false;
        p->size[i] = graph_attr(g, id, "size")->i;
        p->stride[i] = graph_attr(g, id, "stride")->i;
        p->dilation[i] = graph_attr(g, id, "dilation")->i;
    }
    p->x = id;
    return true;
}

/* A reshape [B, C, n] -> [B, C, n/k, k] is as good as windows that meet. */
static bool take_reshape(const Graph *g, NodeId id, Pool *p)
{
    if (graph_node(g, id)->op != OP_reshape)
        return false;
    p->x = graph_operand(g, id, 0);
    const Shape *from = graph_shape(g, p->x), *to = graph_shape(g, id);
    if (from->rank != 2 + p->n || !dim_equal(from->dim[0], to->dim[0]) ||
        !dim_equal(from->dim[1], to->dim[1]))
        return false;
    for (uint32_t i = 0; i < p->n; i++) {
        Dim n = from->dim[2 + i], k = to->dim[3 + 2 * i];
        if (n.k || to->dim[2 + 2 * i].k || k.k || n.n != to->dim[2 + 2 * i].n * k.n)
            return false;
        p->size[i] = p->stride[i] = k.n;
        p->dilation[i] = 1;
    }
    return true;
}

/* Padding around the spatial axes with `fill`. */
static void take_pad(const Graph *g, Pool *p, double fill)
{
    if (graph_node(g, p->x)->op != OP_pad || graph_attr(g, p->x, "value")->f != fill)
        return;
    const int64_t *low = graph_attr(g, p->x, "low")->ints,
                  *high = graph_attr(g, p->x, "high")->ints;
    if (low[0] || low[1] || high[0] || high[1])
        return;
    for (uint32_t i = 0; i < p->n; i++)
        if (low[2 + i] >= p->size[i] || high[2 + i] >= p->size[i])
            return;
    for (uint32_t i = 0; i < p->n; i++) {
        p->pads[i] = low[2 + i];
        p->pads[p->n + i] = high[2 + i];
    }
    p->x = graph_operand(g, p->x, 0);
}

/* A reduction along axes 3, 5, .. of such windows that nothing else reads. */
static bool match_pool(const Export *x, NodeId reduce, double fill, Pool *p)
{
    const Graph *g = x->g;
    NodeId in = graph_operand(g, reduce, 0);
    const AttrValue *axes = graph_attr(g, reduce, "axes");
    uint32_t rank = graph_shape(g, in)->rank;
    *p = (Pool){ .n = axes->count };
    if (!p->n || p->n > MAX_SPACE || rank != 2 + 2 * p->n || graph_attr(g, reduce, "keep")->i)
        return false;
    for (uint32_t i = 0; i < p->n; i++)
        if (axes->ints[i] != 3 + 2 * i)
            return false;
    if (x->uses[in] != 1 || graph_shape(g, in)->dim[1].k)
        return false;
    if (!take_windows(g, in, p) && !take_reshape(g, in, p))
        return false;
    take_pad(g, p, fill);
    return true;
}

static const char *pooled(Export *x, const char *op, const Pool *p)
{
    bool padded = false, dilated = false;
    for (uint32_t i = 0; i < 2 * p->n; i++)
        padded |= p->pads[i] != 0;
    for (uint32_t i = 0; i < p->n; i++)
        dilated |= p->dilation[i] != 1;
    const char *v = EX(x, op, ex_full(x, p->x));
    ex_list(x, "kernel_shape", p->size, p->n);
    ex_list(x, "strides", p->stride, p->n);
    if (padded)
        ex_list(x, "pads", p->pads, 2 * p->n);
    if (dilated)
        ex_list(x, "dilations", p->dilation, p->n);
    return v;
}

/* ---- Means ---- */

/* The number of elements that the reduction takes together, where it is known. */
static bool count_of(const Graph *g, NodeId reduce, double *out_n)
{
    const Shape *s = graph_shape(g, graph_operand(g, reduce, 0));
    const AttrValue *axes = graph_attr(g, reduce, "axes");
    *out_n = 1;
    for (uint32_t i = 0; i < axes->count; i++) {
        if (s->dim[axes->ints[i]].k)
            return false;
        *out_n *= (double)s->dim[axes->ints[i]].n;
    }
    return true;
}

/* ReduceMean or AveragePool, where a sum that nothing else reads is divided by its count: f / n, or
 * times 1 / n. */
bool say_mean(Export *x, NodeId id, bool divided)
{
    NodeId sum = ex_operand(x, id, 0), by = ex_operand(x, id, 1);
    if (!divided && ex_op(x, sum) != OP_reduce_sum)
        sum = ex_operand(x, id, 1), by = ex_operand(x, id, 0);
    Dtype t = graph_dtype(x->g, id);
    double n, v;
    Pool p;
    if (ex_op(x, sum) != OP_reduce_sum || x->uses[sum] != 1 || !(X_FLOAT >> t & 1) ||
        !count_of(x->g, sum, &n) || !b_is_splat(x->g, by, &v) || n < 1 ||
        v != (divided       ? n
              : t == DT_F64 ? 1 / n
                            : (float)(1 / n)) ||
        t == DT_F16)
        return false;
    bool plain = true;
    bool pool = match_pool(x, sum, 0, &p);
    for (uint32_t i = 0; pool && i < p.n; i++)
        plain &= p.dilation[i] == 1;
    if (pool && plain) {
        const char *y = pooled(x, "AveragePool", &p);
        ex_int(x, "count_include_pad", 1);
        ex_result(x, id, y);
        return true;
    }
    const AttrValue *axes = graph_attr(x->g, sum, "axes");
    const char *y = EX(x, "ReduceMean", ex_full(x, ex_operand(x, sum, 0)));
    ex_list(x, "axes", axes->ints, axes->count);
    ex_int(x, "keepdims", ex_attr(x, sum, "keep"));
    ex_result(x, id, y);
    return true;
}

/* ---- Reductions ---- */

/* What a reduction of nothing is. */
static double of_nothing(Op op, Dtype t)
{
    int bits = (int)dtype_size(t) * 8;
    if (op == OP_reduce_sum || op == OP_reduce_prod)
        return op == OP_reduce_prod;
    if (dtype_is_float(t))
        return op == OP_reduce_max ? (double)-INFINITY : (double)INFINITY;
    if (t == DT_BOOL)
        return op == OP_reduce_min;
    bool least = op == OP_reduce_max, is_signed = dtype_is_signed(t);
    return least ? (is_signed ? -ldexp(1, bits - 1) : 0) : ldexp(1, bits - is_signed) - 1;
}

static bool is_empty(const Shape *s)
{
    for (uint32_t i = 0; i < s->rank; i++)
        if (!s->dim[i].k && !s->dim[i].n)
            return true;
    return false;
}

/* ReduceSum has the axes as an operand; the others, in this opset, as an attribute. */
static const char *reduced(Export *x, NodeId id, const char *v)
{
    const AttrValue *axes = graph_attr(x->g, id, "axes");
    const char *name = export_rows[ex_op(x, id)].onnx;
    if (ex_op(x, id) == OP_reduce_sum) {
        v = EX(x, name, v, ex_ints(x, axes->ints, axes->count));
    } else {
        v = EX(x, name, v);
        ex_list(x, "axes", axes->ints, axes->count);
    }
    ex_int(x, "keepdims", ex_attr(x, id, "keep"));
    return v;
}

void say_reduce(Export *x, NodeId id)
{
    NodeId from = ex_operand(x, id, 0);
    Op op = ex_op(x, id);
    Dtype t = graph_dtype(x->g, id), as = ex_compute(x, id, export_rows[op].types, t);
    Pool p;
    if (is_empty(graph_shape(x->g, from))) {
        const char *v = ex_scalar(x, t, of_nothing(op, t));
        ex_result(x, id, ex_expand(x, v, graph_shape(x->g, id)));
    } else if (op == OP_reduce_max && (t == DT_F32 || t == DT_F64) &&
               match_pool(x, id, -INFINITY, &p)) {
        ex_result(x, id, pooled(x, "MaxPool", &p));
    } else {
        const char *v = reduced(x, id, ex_cast(x, ex_full(x, from), t, as));
        ex_result(x, id, ex_cast(x, v, as, t));
    }
}

void say_arg(Export *x, NodeId id)
{
    NodeId from = ex_operand(x, id, 0);
    Op op = ex_op(x, id);
    Dtype t = graph_dtype(x->g, from), as = ex_compute(x, id, export_rows[op].types, t);
    const char *v = EX(x, export_rows[op].onnx, ex_cast(x, ex_full(x, from), t, as));
    ex_int(x, "axis", ex_attr(x, id, "axis"));
    ex_int(x, "keepdims", ex_attr(x, id, "keep"));
    ex_result(x, id, ex_cast(x, v, DT_I64, graph_dtype(x->g, id)));
}

void say_cumsum(Export *x, NodeId id)
{
    Dtype t = graph_dtype(x->g, id), as = ex_compute(x, id, export_rows[OP_cumsum].types, t);
    const char *v = ex_cast(x, ex_full(x, ex_operand(x, id, 0)), t, as);
    v = EX(x, "CumSum", v, ex_scalar(x, DT_I64, (double)ex_attr(x, id, "axis")));
    ex_int(x, "exclusive", ex_attr(x, id, "exclusive"));
    ex_int(x, "reverse", ex_attr(x, id, "reverse"));
    ex_result(x, id, ex_cast(x, v, as, t));
}

void say_softmax(Export *x, NodeId id)
{
    Op op = ex_op(x, id);
    Dtype t = graph_dtype(x->g, id), as = ex_compute(x, id, export_rows[op].types, t);
    const char *v = ex_cast(x, ex_full(x, ex_operand(x, id, 0)), t, as);
    v = EX(x, export_rows[op].onnx, v);
    ex_int(x, "axis", ex_attr(x, id, "axis"));
    ex_result(x, id, ex_cast(x, v, as, t));
}
