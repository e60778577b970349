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

const char *bias_text(OnnxNode *q, const char *bias, uint32_t space)
{
    char *text = (char *)text_printf(q, "reshape(%s, [-1", bias);
    for (uint32_t i = 0; i < space; i++)
        text = (char *)text_printf(q, "%s, 1", text);
    return text_printf(q, "%s])", text);
}

bool map_conv(OnnxNode *q)
{
    const Shape *x = node_shape(q, 0), *f = node_shape(q, 1);
    const char *a = node_arg(q, 0), *b = node_arg(q, 1);
    int64_t window[MAX_RANK] = { 0 };
    Window w;
    if (!a || !b)
        return false;
    if (f->rank != x->rank)
        return node_wrong(q, "weights of rank %u for an input of rank %u", f->rank, x->rank);
    for (uint32_t i = 2; i < f->rank; i++)
        window[i - 2] = f->dim[i].n;
    if (!window_read(q, x, window, &w))
        return false;
    const char *text = text_printf(
        q, "conv(%s, %s, stride=%s, low=%s, high=%s, dilation=%s, groups=%lld)", a, b,
        text_ints(q, w.stride, w.n), text_ints(q, w.low, w.n), text_ints(q, w.high, w.n),
        text_ints(q, w.dilation, w.n), (long long)attribute_int(q, "group", 1));
    if (node_has(q, 2)) {
        const char *bias = node_arg(q, 2);
        if (!bias)
            return false;
        text = text_printf(q, "%s + %s", text, bias_text(q, bias, w.n));
    }
    return node_let(q, 0, "%s", text);
}
