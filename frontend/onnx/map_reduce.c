/* map_reduce.c: reductions along axes, which are an attribute in old opsets and an input in new. */
#include "frontend/onnx/map.h"

#include <string.h>

/* $ is the input, @ the arguments `axis=.., keep=..`. */
static bool reduce(OnnxNode *q, const char *pattern)
{
    Ints axes;
    const char *x = node_arg(q, 0);
    uint32_t rank = node_shape(q, 0)->rank;
    if (!x || !node_axes(q, "axes", 1, rank, &axes))
        return false;
    int64_t all[MAX_RANK];
    bool none = !axes.n;
    for (uint32_t i = 0; i < rank; i++)
        all[i] = i;
    if (none && !attribute_int(q, "noop_with_empty_axes", 0))
        axes = (Ints){ rank, all };
    const char *how =
        text_printf(q, "axis=%s, keep=%s", text_ints(q, axes.at, axes.n),
                    attribute_int(q, "keepdims", 1) ? "true" : "false");
    char *out = (char *)text_printf(q, "%s", "");
    for (const char *c = pattern; *c; c++)
        out = (char *)(*c == '$'   ? text_printf(q, "%s%s", out, x)
                       : *c == '@' ? text_printf(q, "%s%s", out, how)
                                   : text_printf(q, "%s%c", out, *c));
    Dtype t = q->narrow != DT_COUNT ? DT_F32 : node_dtype(q, 0);
    if (dtype_is_float(t) || t == DT_BOOL)
        return node_let(q, 0, "%s", out);
    return node_let(q, 0, "%s(%s)", dtype_name(t), out); /* sums of small integers are wider */
}

bool map_reduce_sum(OnnxNode *q)
{
    return reduce(q, "sum($, @)");
}

bool map_reduce_mean(OnnxNode *q)
{
    return reduce(q, "mean($, @)");
}

bool map_reduce_max(OnnxNode *q)
{
    return reduce(q, node_dtype(q, 0) == DT_BOOL ? "any($, @)" : "max($, @)");
}

bool map_reduce_min(OnnxNode *q)
{
    return reduce(q, node_dtype(q, 0) == DT_BOOL ? "all($, @)" : "min($, @)");
}

bool map_reduce_prod(OnnxNode *q)
{
    return reduce(q, "prod($, @)");
}

bool map_reduce_l1(OnnxNode *q)
{
    return reduce(q, "sum(abs($), @)");
}

bool map_reduce_l2(OnnxNode *q)
{
    return reduce(q, dtype_is_float(node_dtype(q, 0)) ? "sqrt(sum($*$, @))"
                                                      : "sqrt(f64(sum($*$, @)))");
}

bool map_reduce_sum_square(OnnxNode *q)
{
    return reduce(q, "sum($*$, @)");
}

bool map_reduce_log_sum(OnnxNode *q)
{
    return reduce(q, dtype_is_float(node_dtype(q, 0)) ? "log(sum($, @))" : "log(f64(sum($, @)))");
}

bool map_reduce_log_sum_exp(OnnxNode *q)
{
    return reduce(q, dtype_is_float(node_dtype(q, 0)) ? "log_sum_exp($, @)"
                                                      : "log_sum_exp(f64($), @)");
}

static bool arg_reduce(OnnxNode *q, const char *name)
{
    int64_t axis;
    const char *x = node_arg(q, 0);
    if (!x || !node_axis(q, attribute_int(q, "axis", 0), node_shape(q, 0)->rank, &axis))
        return false;
    return node_let(q, 0, "i64(%s(%s, axis=%lld, keep=%s%s))", name, x, (long long)axis,
                    attribute_int(q, "keepdims", 1) ? "true" : "false",
                    attribute_int(q, "select_last_index", 0) ? ", last=true" : "");
}

bool map_arg_max(OnnxNode *q)
{
    return arg_reduce(q, "argmax");
}

bool map_arg_min(OnnxNode *q)
{
    return arg_reduce(q, "argmin");
}

/* CumSum: the axis is an input. */
bool map_cumsum(OnnxNode *q)
{
    Ints at;
    int64_t axis;
    const char *x = node_arg(q, 0);
    if (!x || !node_ints(q, 1, &at))
        return false;
    if (at.n != 1)
        return node_wrong(q, "one axis is needed");
    return node_axis(q, at.at[0], node_shape(q, 0)->rank, &axis) &&
           node_let(q, 0, "cumsum(%s, axis=%lld, exclusive=%d, reverse=%d)", x, (long long)axis,
                    attribute_int(q, "exclusive", 0) != 0, attribute_int(q, "reverse", 0) != 0);
}
