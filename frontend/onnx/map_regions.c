/* map_regions.c: what looks at places of an image that are data: boxes, moved taps. */
#include "frontend/onnx/map_window.h"

#include <string.h>

bool map_roi_align(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *rois = node_arg(q, 1), *image = node_arg(q, 2);
    int64_t samples = attribute_int(q, "sampling_ratio", 0);
    const char *way = attribute_string(q, "coordinate_transformation_mode",
                                       node_version(q) < 16 ? "output_half_pixel" : "half_pixel");
    if (!x || !rois || !image)
        return false;
    if (samples <= 0) {
        if (strcmp(attribute_string(q, "mode", "avg"), "avg"))
            return node_unsupported(q, "maxima of as many samples as the region has elements");
        return node_let(q, 0, "roi_align_all(%s, %s, %s, %lld, %lld, scale=%s, half_pixel=%s)", x,
                        rois, image, (long long)attribute_int(q, "output_height", 1),
                        (long long)attribute_int(q, "output_width", 1),
                        text_float(q, attribute_float(q, "spatial_scale", 1)),
                        strcmp(way, "half_pixel") ? "false" : "true");
    }
    return node_let(q, 0,
                    "roi_align(%s, %s, %s, %lld, %lld, %lld, scale=%s, mode=\"%s\", "
                    "half_pixel=%s)",
                    x, rois, image, (long long)attribute_int(q, "output_height", 1),
                    (long long)attribute_int(q, "output_width", 1), (long long)samples,
                    text_float(q, attribute_float(q, "spatial_scale", 1)),
                    import_string(q->im->a, attribute_string(q, "mode", "avg")),
                    strcmp(way, "half_pixel") ? "false" : "true");
}

bool map_max_roi_pool(OnnxNode *q)
{
    Ints size;
    const char *x = node_arg(q, 0), *rois = node_arg(q, 1);
    if (!x || !rois)
        return false;
    if (!attribute_ints(q, "pooled_shape", &size) || size.n != 2)
        return node_wrong(q, "pooled_shape of two numbers is needed");
    return node_let(q, 0, "max_roi_pool(%s, %s, %lld, %lld, scale=%s)", x, rois,
                    (long long)size.at[0], (long long)size.at[1],
                    text_float(q, attribute_float(q, "spatial_scale", 1)));
}

/* DeformConv: of images. The offsets say how large the result is; the padding at the end must fit
 * them. */
bool map_deform_conv(OnnxNode *q)
{
    const Shape *x = node_shape(q, 0), *f = node_shape(q, 1), *moved = node_shape(q, 2);
    const char *a = node_arg(q, 0), *b = node_arg(q, 1), *offset = node_arg(q, 2);
    const char *bias = node_has(q, 3) ? node_arg(q, 3) : "";
    const char *mask = node_has(q, 4) ? node_arg(q, 4) : "";
    int64_t window[MAX_RANK] = { 0 };
    Window w;
    if (!a || !b || !offset || !bias || !mask)
        return false;
    if (x->rank != 4 || f->rank != 4 || moved->rank != 4)
        return node_unsupported(q, "%u spatial axes", x->rank < 2 ? 0 : x->rank - 2);
    window[0] = f->dim[2].n, window[1] = f->dim[3].n;
    if (!window_read(q, x, window, &w))
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        int64_t rest = w.space[i] + w.low[i] + w.high[i] - (w.window[i] - 1) * w.dilation[i] - 1;
        if (rest < 0 || rest / w.stride[i] + 1 != moved->dim[2 + i].n)
            return node_wrong(q, "offsets of %s for an input of %s", shape_text(q->im->a, moved),
                              shape_text(q->im->a, x));
    }
    if (*mask)
        mask = text_printf(q, ", mask=%s", mask);
    const char *text =
        text_printf(q,
                    "deform_conv(%s, %s, %s%s, stride=%s, low=%s, dilation=%s, groups=%lld, "
                    "offset_groups=%lld)",
                    a, b, offset, mask, text_ints(q, w.stride, 2), text_ints(q, w.low, 2),
                    text_ints(q, w.dilation, 2), (long long)attribute_int(q, "group", 1),
                    (long long)attribute_int(q, "offset_group", 1));
    if (*bias)
        text = text_printf(q, "%s + reshape(%s, [%lld, 1, 1])", text, bias,
                           (long long)f->dim[0].n);
    return node_let(q, 0, "%s", text);
}
