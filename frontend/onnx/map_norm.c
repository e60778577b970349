/* map_norm.c: normalisations, softmax and its relatives, dropout. */
#include "frontend/onnx/map.h"

#include <string.h>

/* ---- Softmax ---- */

/* Before opset 13 the axes from `axis` on are one. */
static bool softmax_flat(OnnxNode *q, const char *name)
{
    const char *x = node_arg(q, 0);
    const Shape *s = node_shape(q, 0);
    int64_t axis = attribute_int(q, "axis", 1);
    axis = axis < 0 ? axis + s->rank : axis;
    if (!x || axis < 0 || axis > s->rank)
        return x && node_wrong(q, "axis %lld of a tensor of rank %u", (long long)axis, s->rank);
    if (s->rank && axis == s->rank - 1)
        return node_let(q, 0, "%s(%s, axis=%lld)", name, x, (long long)axis);
    Shape flat = { .rank = 2 };
    if (!shape_product(s, 0, (uint32_t)axis, &flat.dim[0]) ||
        !shape_product(s, (uint32_t)axis, s->rank, &flat.dim[1]))
        return node_wrong(q, "too many elements");
    return node_let(q, 0, "reshape(%s(reshape(%s, %s), axis=1), %s)", name, x, text_dims(q, &flat),
                    text_dims(q, s));
}

static bool softmax_axis(OnnxNode *q, const char *name)
{
    int64_t axis;
    const char *x = node_arg(q, 0);
    return x && node_axis(q, attribute_int(q, "axis", -1), node_shape(q, 0)->rank, &axis) &&
           node_let(q, 0, "%s(%s, axis=%lld)", name, x, (long long)axis);
}

static bool softmax(OnnxNode *q, const char *name)
{
    return node_version(q) < 13 ? softmax_flat(q, name) : softmax_axis(q, name);
}

bool map_softmax(OnnxNode *q)
{
    return softmax(q, "softmax");
}

bool map_log_softmax(OnnxNode *q)
{
    return softmax(q, "log_softmax");
}

bool map_hardmax(OnnxNode *q)
{
    return softmax(q, "hardmax");
}

/* ---- Normalisations ---- */

/* With the statistics of the batch itself? Before opset 14 that is said by outputs that only
 * training has; before opset 7 is_test must not deny it. */
static bool is_training(OnnxNode *q)
{
    bool more = false, denied = node_version(q) < 7 && attribute_int(q, "is_test", 0);
    for (uint32_t i = 1; i < node_outputs(q); i++)
        more |= node_wants(q, i);
    return node_version(q) >= 14 ? attribute_int(q, "training_mode", 0) : more && !denied;
}

/* Each element of an example by itself, as before opset 9 with spatial=0. */
static bool norm_of_elements(OnnxNode *q, const char *const *in, const char *eps)
{
    const char *mean = in[3], *variance = in[4];
    if (is_training(q))
        return node_unsupported(q, "training with spatial=0");
    return node_let(q, 0, "(%s - %s)*rsqrt(%s + %s)*%s + %s", in[0], mean, variance, eps, in[1],
                    in[2]);
}

/* Running statistics have the type of those that come in. */
static bool let_moved(OnnxNode *q, uint32_t output, const char *text)
{
    Dtype t = node_dtype(q, 3);
    return t == node_dtype(q, 0) ? node_let(q, output, "%s", text)
                                 : node_let_as(q, output, t, text);
}

bool map_batch_norm(OnnxNode *q)
{
    const char *in[5];
    for (uint32_t i = 0; i < 5; i++)
        if (!(in[i] = i < 3 ? node_arg(q, i) : node_state(q, i)))
            return false;
    const char *x = in[0], *mean = in[3], *variance = in[4];
    const char *eps = text_float(q, attribute_float(q, "epsilon", 1e-5f));
    if (node_version(q) < 9 && !attribute_int(q, "spatial", 1) && node_shape(q, 1)->rank > 1)
        return norm_of_elements(q, in, eps);
    if (!is_training(q))
        return node_let(q, 0, "batch_norm(%s, %s, %s, %s, %s, eps=%s)", x, in[1], in[2], mean,
                        variance, eps);
    const char *parts[2];
    double keep = attribute_float(q, "momentum", 0.9f);
    if (!node_tmps(q, 2, (const char *const[]){ "mean", "var" }, parts, "batch_stats(%s)", x))
        return false;
    const char *k = text_float(q, keep), *r = text_float(q, (double)(float)(1 - keep));
    return node_let(q, 0, "batch_norm(%s, %s, %s, %s, %s, eps=%s)", x, in[1], in[2], parts[0],
                    parts[1], eps) &&
           let_moved(q, 1, text_printf(q, "%s*%s + %s*%s", mean, k, parts[0], r)) &&
           let_moved(q, 2, text_printf(q, "%s*%s + %s*%s", variance, k, parts[1], r)) &&
           node_let(q, 3, "%s", parts[0]) && node_let(q, 4, "%s", parts[1]);
}

bool map_group_norm(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *scale = node_arg(q, 1), *bias = node_arg(q, 2);
    return x && scale && bias &&
           node_let(q, 0, "group_norm(%s, %s, %s, groups=%lld, eps=%s)", x, scale, bias,
                    (long long)attribute_int(q, "num_groups", 1),
                    text_float(q, attribute_float(q, "epsilon", 1e-5f)));
}

/* Y, and on demand the mean and 1/sqrt(variance) over the axes from `axis` on. */
bool map_layer_norm(OnnxNode *q)
{
    int64_t axis;
    const char *x = node_arg(q, 0), *scale = node_arg(q, 1);
    const char *bias = node_has(q, 2) ? node_arg(q, 2) : "", *parts[3];
    if (!x || !scale || !bias ||
        !node_axis(q, attribute_int(q, "axis", -1), node_shape(q, 0)->rank, &axis))
        return false;
    const char *const hints[] = { "normed", "mean", "rstd" };
    if (!node_tmps(q, 3, hints, parts, "standardized(%s, axis=%lld, eps=%s)", x, (long long)axis,
                   text_float(q, attribute_float(q, "epsilon", 1e-5f))))
        return false;
    if (!(*bias ? node_let(q, 0, "%s*%s + %s", parts[0], scale, bias)
                : node_let(q, 0, "%s*%s", parts[0], scale)))
        return false;
    bool half = attribute_int(q, "stash_type", 1) == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
    Dtype t = half ? DT_BF16 : import_dtype(q->im, DT_F32); /* of the statistics */
    q->narrow = DT_COUNT;
    for (uint32_t i = 1; i < 3; i++)
        if (tmp_dtype(q, parts[i]) == t ? !node_let(q, i, "%s", parts[i])
                                        : !node_let_as(q, i, t, parts[i]))
            return false;
    return true;
}

/* The result has the type of the scale. */
bool map_rms_norm(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *scale = node_arg(q, 1);
    if (!x || !scale)
        return false;
    const char *text = text_printf(q, "rms_norm(%s, %s, axis=%lld, eps=%s)", x, scale,
                                   (long long)attribute_int(q, "axis", -1),
                                   text_float(q, attribute_float(q, "epsilon", 1e-5f)));
    Dtype t = node_dtype(q, 1);
    return t == node_dtype(q, 0) ? node_let(q, 0, "%s", text) : node_let_as(q, 0, t, text);
}

bool map_moment_norm(OnnxNode *q)
{
    Ints axes;
    static const int64_t usual[] = { 0, 2, 3 };
    const char *x = node_arg(q, 0);
    if (!x || !node_axes(q, "axes", UINT32_MAX, node_shape(q, 0)->rank, &axes))
        return false;
    if (!attribute_has(q, "axes"))
        axes = (Ints){ 3, usual };
    return node_let(q, 0, "moment_norm(%s, axis=%s)", x, text_ints(q, axes.at, axes.n));
}

bool map_lp_norm(OnnxNode *q)
{
    int64_t axis;
    const char *x = node_arg(q, 0);
    if (!x || !node_axis(q, attribute_int(q, "axis", -1), node_shape(q, 0)->rank, &axis))
        return false;
    return attribute_int(q, "p", 2) == 2
               ? node_let(q, 0, "normalize(%s, axis=%lld)", x, (long long)axis)
               : node_let(q, 0, "%s/maximum(sum(abs(%s), axis=%lld, keep=true), 1e-12)", x, x,
                          (long long)axis);
}

/* ---- Dropout ---- */

/* Zeros in places that are drawn, what is left made larger. The draw is made once: the mask is the
 * same as in the result. */
static bool drop(OnnxNode *q, const char *ratio)
{
    const char *x = node_arg(q, 0);
    const char *dims = text_dims(q, node_shape(q, 0));
    const char *keep = x ? node_tmp(q, "keep", "rand(%s) >= %s", dims, ratio) : NULL;
    bool old = node_version(q) < 10; /* the mask has the type of the input */
    if (!keep || !node_let(q, 0, "select(%s, %s/(1 - %s), 0)", keep, x, ratio))
        return false;
    q->narrow = DT_COUNT;
    return old ? node_let(q, 1, "%s(%s)", dtype_name(node_dtype(q, 0)), keep)
               : node_let(q, 1, "%s", keep);
}

/* At inference the input itself. Training mode, an input since opset 12, must be known. */
bool map_dropout(OnnxNode *q)
{
    Ints train = { 0 };
    int64_t version = node_version(q);
    double known = attribute_float(q, "ratio", 0.5);
    const char *ratio = text_float(q, known);
    if (node_has(q, 2) && !node_ints(q, 2, &train))
        return false;
    bool on = (train.n && train.at[0]) || (version < 7 && !attribute_int(q, "is_test", 0));
    bool open = node_has(q, 1) && !node_is_known(q, 1);
    if (on && node_has(q, 1)) {
        if (!open && !node_number(q, 1, &known))
            return false;
        ratio = open ? node_arg(q, 1) : text_float(q, known);
    }
    if (!ratio)
        return false;
    if (on && (open || known != 0))
        return drop(q, ratio);
    Dtype mask = version < 10 ? node_dtype(q, 0) : DT_BOOL;
    return node_alias(q, 0, 0) &&
           node_let(q, 1, mask == DT_BOOL ? "full(%s(true), %s)" : "full(%s(1), %s)",
                    dtype_name(mask), text_dims(q, node_shape(q, 0)));
}
