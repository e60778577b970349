/* map_conv.c: convolutions and what slides a window. */
#include "frontend/onnx/map_window.h"

#include <string.h>

/* The numbers of a window over the spatial axes of input 0, from the attributes. auto_pad is
 * resolved here. `window` may be given by the weights. */
bool window_read(OnnxNode *q, const Shape *x, const int64_t *window, Window *w)
{
    Ints kernel, strides, dilations, pads;
    *w = (Window){ .n = x->rank < 2 ? 0 : x->rank - 2 };
    if (x->rank < 3 || x->rank > 5)
        return node_unsupported(q, "%u spatial axes", w->n);
    attribute_ints(q, "kernel_shape", &kernel);
    attribute_ints(q, "strides", &strides);
    attribute_ints(q, "dilations", &dilations);
    attribute_ints(q, "pads", &pads);
    if ((kernel.n && kernel.n != w->n) || (strides.n && strides.n != w->n) ||
        (dilations.n && dilations.n != w->n) || (pads.n && pads.n != 2 * w->n))
        return node_wrong(q, "kernel_shape, strides, dilations or pads do not fit %u spatial axes",
                          w->n);
    const char *mode = attribute_string(q, "auto_pad", "NOTSET");
    for (uint32_t i = 0; i < w->n; i++) {
        w->window[i] = window ? window[i] : kernel.n ? kernel.at[i] : 0;
        w->stride[i] = strides.n ? strides.at[i] : 1;
        w->dilation[i] = dilations.n ? dilations.at[i] : 1;
        w->low[i] = pads.n ? pads.at[i] : 0;
        w->high[i] = pads.n ? pads.at[w->n + i] : 0;
        w->space[i] = x->dim[2 + i].n;
        if (w->window[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 ||
            w->window[i] > INT32_MAX || w->stride[i] > INT32_MAX || w->dilation[i] > INT32_MAX)
            return node_wrong(q, "a window, stride or dilation is not above 0");
        if (w->low[i] > INT32_MAX || w->low[i] < -INT32_MAX || w->high[i] > INT32_MAX ||
            w->high[i] < -INT32_MAX || w->space[i] > INT32_MAX)
            return node_unsupported(q, "padding or an axis of more than 2^31");
        if (!strcmp(mode, "VALID"))
            w->low[i] = w->high[i] = 0;
        if (strncmp(mode, "SAME_", 5))
            continue;
        int64_t n = w->space[i], out = (n + w->stride[i] - 1) / w->stride[i];
        int64_t total = (out - 1) * w->stride[i] + (w->window[i] - 1) * w->dilation[i] + 1 - n;
        total = total < 0 ? 0 : total;
        bool lower = !strcmp(mode, "SAME_LOWER");
        w->low[i] = lower ? total - total / 2 : total / 2;
        w->high[i] = total - w->low[i];
    }
    return true;
}

/* Input 2, a number per channel, to be added to (B, C, ...): reshape(b, [C, 1, 1]). */
static const char *bias_text(OnnxNode *q, const char *bias, uint32_t space)
{
    Shape to = { .rank = 1 + space, .dim = { node_shape(q, 2)->dim[0] } };
    for (uint32_t i = 1; i <= space; i++)
        to.dim[i] = dim_of(1);
    return text_printf(q, "reshape(%s, %s)", bias, text_dims(q, &to));
}

const char *onnx_conv_text(OnnxNode *q)
{
    const Shape *x = node_shape(q, 0), *f = node_shape(q, 1);
    const char *a = node_arg(q, 0), *b = node_arg(q, 1);
    int64_t window[MAX_RANK] = { 0 };
    Window w;
    if (!a || !b)
        return NULL;
    if (f->rank != x->rank) {
        node_wrong(q, "weights of rank %u for an input of rank %u", f->rank, x->rank);
        return NULL;
    }
    for (uint32_t i = 2; i < f->rank; i++)
        window[i - 2] = f->dim[i].n;
    if (!window_read(q, x, window, &w))
        return NULL;
    const char *text = text_printf(
        q, "conv(%s, %s, stride=%s, low=%s, high=%s, dilation=%s, groups=%lld)", a, b,
        text_ints(q, w.stride, w.n), text_ints(q, w.low, w.n), text_ints(q, w.high, w.n),
        text_ints(q, w.dilation, w.n), (long long)attribute_int(q, "group", 1));
    if (node_has(q, 2)) {
        const char *bias = node_arg(q, 2);
        if (!bias)
            return NULL;
        text = text_printf(q, "%s + %s", text, bias_text(q, bias, w.n));
    }
    return text;
}

bool map_conv(OnnxNode *q)
{
    const char *text = onnx_conv_text(q);
    return text && node_let(q, 0, "%s", text);
}

/* ---- Transposed convolution ---- */

/* The result's extents, and what is cut from both ends, by the rules of the operator. */
static bool transpose_sizes(OnnxNode *q, const Window *w, int64_t *out, int64_t *low, int64_t *high)
{
    Ints more, sizes;
    const char *mode = attribute_string(q, "auto_pad", "NOTSET");
    attribute_ints(q, "output_padding", &more);
    attribute_ints(q, "output_shape", &sizes);
    bool same = !strncmp(mode, "SAME", 4), from_size = sizes.n >= w->n || same;
    if (more.n && more.n != w->n)
        return node_wrong(q, "output_padding does not fit %u spatial axes", w->n);
    for (uint32_t i = 0; i < w->n; i++) {
        int64_t full = w->stride[i] * (w->space[i] - 1) + (more.n ? more.at[i] : 0) +
                       (w->window[i] - 1) * w->dilation[i] + 1;
        if (!from_size) {
            low[i] = w->low[i], high[i] = w->high[i];
            out[i] = full - low[i] - high[i];
            continue;
        }
        out[i] = sizes.n >= w->n ? sizes.at[sizes.n - w->n + i] : w->space[i] * w->stride[i];
        int64_t total = full - out[i] < 0 ? 0 : full - out[i], half = total / 2;
        low[i] = !strcmp(mode, "SAME_UPPER") ? half : total - half;
        high[i] = total - low[i];
    }
    return true;
}

bool map_conv_transpose(OnnxNode *q)
{
    const Shape *x = node_shape(q, 0), *f = node_shape(q, 1);
    const char *a = node_arg(q, 0), *b = node_arg(q, 1);
    int64_t window[MAX_RANK] = { 0 }, out[MAX_RANK], low[MAX_RANK], high[MAX_RANK];
    Window w;
    if (!a || !b)
        return false;
    if (f->rank != x->rank)
        return node_wrong(q, "weights of rank %u for an input of rank %u", f->rank, x->rank);
    for (uint32_t i = 2; i < f->rank; i++)
        window[i - 2] = f->dim[i].n;
    if (!window_read(q, x, window, &w) || !transpose_sizes(q, &w, out, low, high))
        return false;
    const char *text = text_printf(q,
                                   "conv_transpose(%s, %s, space=%s, stride=%s, low=%s, high=%s, "
                                   "dilation=%s, groups=%lld)",
                                   a, b, text_ints(q, out, w.n), text_ints(q, w.stride, w.n),
                                   text_ints(q, low, w.n), text_ints(q, high, w.n),
                                   text_ints(q, w.dilation, w.n),
                                   (long long)attribute_int(q, "group", 1));
    const char *bias = node_has(q, 2) ? node_arg(q, 2) : "";
    if (!bias)
        return false;
    return *bias ? node_let(q, 0, "%s + %s", text, bias_text(q, bias, w.n))
                 : node_let(q, 0, "%s", text);
}

/* ---- Pooling ---- */

/* With ceil_mode a last window may reach past the padding: by `extra`. */
static bool pool_read(OnnxNode *q, Window *w, int64_t *extra)
{
    if (!window_read(q, node_shape(q, 0), NULL, w))
        return false;
    for (uint32_t i = 0; i < w->n; i++) {
        extra[i] = 0;
        if (!attribute_int(q, "ceil_mode", 0))
            continue;
        int64_t reach = (w->window[i] - 1) * w->dilation[i] + 1;
        int64_t rest = w->space[i] + w->low[i] + w->high[i] - reach;
        int64_t out = rest < 0 ? 1 : (rest + w->stride[i] - 1) / w->stride[i] + 1;
        if ((out - 1) * w->stride[i] >= w->space[i] + w->low[i])
            out--; /* a window that would begin in the padding */
        int64_t over = (out - 1) * w->stride[i] - rest;
        extra[i] = over > 0 ? over : 0;
    }
    return true;
}

/* A pool that ignores its padding takes the last window's as padding, too. */
static void reach_further(Window *w, const int64_t *extra)
{
    for (uint32_t i = 0; i < w->n; i++)
        w->high[i] += extra[i];
}

static const char *pool_numbers(OnnxNode *q, const Window *w)
{
    return text_printf(q, "%s, stride=%s, low=%s, high=%s, dilation=%s",
                       text_ints(q, w->window, w->n), text_ints(q, w->stride, w->n),
                       text_ints(q, w->low, w->n), text_ints(q, w->high, w->n),
                       text_ints(q, w->dilation, w->n));
}

bool map_max_pool(OnnxNode *q)
{
    Window w;
    int64_t extra[MAX_RANK];
    const char *x = node_arg(q, 0);
    if (!x || !pool_read(q, &w, extra))
        return false;
    reach_further(&w, extra);
    const char *numbers = pool_numbers(q, &w);
    Dtype t = node_dtype(q, 0);
    bool small = !dtype_is_float(t);
    const char *from = small ? text_printf(q, "f32(%s)", x) : x;
    if (small ? !node_let(q, 0, "%s(max_pool(%s, %s))", dtype_name(t), from, numbers)
              : !node_let(q, 0, "max_pool(%s, %s)", from, numbers))
        return false;
    q->narrow = DT_COUNT;
    return !node_wants(q, 1) ||
           node_let(q, 1, "max_pool_index(%s, %s%s)", from, numbers,
                    attribute_int(q, "storage_order", 0) ? ", column_major=true" : "");
}

const char *onnx_average_pool_text(OnnxNode *q, const char *x)
{
    Window w;
    int64_t extra[MAX_RANK];
    if (!x || !pool_read(q, &w, extra))
        return NULL;
    return text_printf(q, "avg_pool(%s, %s, extra=%s, padded=%s)", x, pool_numbers(q, &w),
                       text_ints(q, extra, w.n),
                       attribute_int(q, "count_include_pad", 0) ? "true" : "false");
}

bool map_average_pool(OnnxNode *q)
{
    const char *text = onnx_average_pool_text(q, node_arg(q, 0));
    return text && node_let(q, 0, "%s", text);
}

/* The p of a norm: before opset 2 any number, a whole one since. NULL: reported. */
static const char *norm_text(OnnxNode *q)
{
    double p = node_version(q) < 2 ? attribute_float(q, "p", 2) : (double)attribute_int(q, "p", 2);
    if (!(p > 0))
        node_wrong(q, "p is %g", p);
    return p > 0 ? text_float(q, p) : NULL;
}

bool map_lp_pool(OnnxNode *q)
{
    Window w;
    int64_t extra[MAX_RANK];
    const char *x = node_arg(q, 0);
    if (!x || !pool_read(q, &w, extra))
        return false;
    reach_further(&w, extra);
    const char *p = norm_text(q);
    return p && node_let(q, 0, "lp_pool(%s, %s, p=%s)", x, pool_numbers(q, &w), p);
}

/* Over all axes from the third on. */
static bool global_pool(OnnxNode *q, const char *name)
{
    const char *x = node_arg(q, 0);
    int64_t axes[MAX_RANK];
    uint32_t rank = node_shape(q, 0)->rank;
    for (uint32_t i = 2; i < rank; i++)
        axes[i - 2] = i;
    return x && node_let(q, 0, "%s(%s, axis=%s, keep=true)", name, x,
                         text_ints(q, axes, rank < 2 ? 0 : rank - 2));
}

bool map_global_average_pool(OnnxNode *q)
{
    return global_pool(q, "mean");
}

bool map_global_max_pool(OnnxNode *q)
{
    return global_pool(q, "max");
}

bool map_global_lp_pool(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *p = norm_text(q);
    int64_t axes[MAX_RANK];
    uint32_t rank = node_shape(q, 0)->rank;
    for (uint32_t i = 2; i < rank; i++)
        axes[i - 2] = i;
    return x && p && node_let(q, 0, "sum(abs(%s)^%s, axis=%s, keep=true)^(1/%s)", x, p,
                              text_ints(q, axes, rank < 2 ? 0 : rank - 2), p);
}

/* MaxUnpool: each element to its place, counted through the whole of a result of the usual size; an
 * output_shape makes it larger at the ends. */
bool map_max_unpool(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *index = node_arg(q, 1);
    Shape to = *node_shape(q, 0);
    Ints size = { 0 };
    Window w;
    int64_t all, given, none[MAX_RANK] = { 0 }, more[MAX_RANK] = { 0 };
    if (!x || !index || !window_read(q, &to, NULL, &w))
        return false;
    if (node_has(q, 2) && !node_ints(q, 2, &size))
        return false;
    if (size.n && size.n != to.rank)
        return node_wrong(q, "an output_shape of %u numbers", size.n);
    if (!shape_elements(&to, &given) || to.dim[0].k)
        return node_pins_batch(q);
    for (uint32_t i = 0; i < to.rank; i++) {
        if (i >= 2)
            to.dim[i] = dim_of((to.dim[i].n - 1) * w.stride[i - 2] + w.window[i - 2] -
                               w.low[i - 2] - w.high[i - 2]);
        if (to.dim[i].n < 0 || (size.n && size.at[i] < 0))
            return node_wrong(q, "a result of a negative extent");
        more[i] = size.n ? size.at[i] - to.dim[i].n : 0;
    }
    if (!shape_elements(&to, &all))
        return node_wrong(q, "too many elements");
    const char *text = text_printf(
        q,
        "reshape(scatter_elements(full(%s(0), [%lld]), reshape(%s, [%lld]), reshape(%s, [%lld]), "
        "axis=0), %s)",
        dtype_name(q->narrow != DT_COUNT ? DT_F32 : node_dtype(q, 0)), (long long)all, index,
        (long long)given, x, (long long)given, text_dims(q, &to));
    return node_let(q, 0, size.n ? "pad_with(%s, %s, %s)" : "%s", text,
                    text_ints(q, none, to.rank), text_ints(q, more, to.rank));
}
