/* map_image.c: images: resizing, sampling at places that are data, boxes. */
#include "frontend/onnx/map.h"

#include <math.h>
#include <string.h>

static const char *numbers_text(OnnxNode *q, const double *at, uint32_t n)
{
    Text t = { 0 };
    for (uint32_t i = 0; i < n; i++)
        text_add(q->im->a, &t, "%s%.17g", i ? ", " : "[", at[i]);
    text_add(q->im->a, &t, n ? "]" : "[]");
    return t.at;
}

/* ---- Resize ---- */

typedef struct {
    uint32_t n;
    int64_t axis[MAX_RANK], size[MAX_RANK];
    double scale[MAX_RANK], roi[2 * MAX_RANK];
    bool scaled; /* scales are not sizes over dims */
} Sizes;

/* Sizes that keep the proportions: one scale for all axes, the least or the largest asked for. */
static bool keep_aspect(OnnxNode *q, const Shape *s, Sizes *z)
{
    const char *policy = attribute_string(q, "keep_aspect_ratio_policy", "stretch");
    double scale = 0;
    bool least = !strcmp(policy, "not_larger");
    if (!strcmp(policy, "stretch"))
        return true;
    if (!least && strcmp(policy, "not_smaller"))
        return node_wrong(q, "a policy `%s`", onnx_escape(q->im->a, policy));
    for (uint32_t i = 0; i < z->n; i++) {
        double own = (double)z->size[i] / (double)s->dim[z->axis[i]].n;
        scale = !i || (least ? own < scale : own > scale) ? own : scale;
    }
    for (uint32_t i = 0; i < z->n; i++) {
        z->scale[i] = scale;
        z->size[i] = (int64_t)(scale * (double)s->dim[z->axis[i]].n + 0.5);
    }
    z->scaled = true;
    return true;
}

/* An input; before opset 9 an attribute, and before opset 7 one of height and one of width. */
static bool read_scales(OnnxNode *q, const Shape *s, uint32_t input, Sizes *z)
{
    uint32_t n = 4;
    double first[] = { 1, 1, attribute_float(q, "height_scale", 0),
                       attribute_float(q, "width_scale", 0) };
    const double *scales = first;
    bool oldest = node_version(q) < 7;
    if (!oldest && !attribute_floats(q, "scales", &n, &scales) &&
        !node_numbers(q, input, &n, &scales))
        return false;
    if (n != z->n)
        return node_wrong(q, "%u scales for %u axes", n, z->n);
    for (uint32_t i = 0; i < n; i++) {
        double size = floor(scales[i] * (double)s->dim[z->axis[i]].n);
        if (!(scales[i] > 0 && size < 0x1p40))
            return node_wrong(q, "a scale of %g", scales[i]);
        z->scale[i] = scales[i];
        z->size[i] = (int64_t)size;
    }
    z->scaled = true;
    return true;
}

static bool read_sizes(OnnxNode *q, const Shape *s, Sizes *z)
{
    Ints axes;
    Shape sizes;
    int64_t version = node_version(q);
    if (!node_axes(q, "axes", UINT32_MAX, s->rank, &axes))
        return false;
    z->n = axes.n ? axes.n : s->rank;
    for (uint32_t i = 0; i < z->n; i++)
        z->axis[i] = axes.n ? axes.at[i] : i;
    if (version < 11 || !node_has(q, 3))
        return read_scales(q, s, version < 11 ? 1 : 2, z);
    if (!node_dims(q, 3, &sizes))
        return false;
    if (sizes.rank != z->n)
        return node_wrong(q, "%u sizes for %u axes", sizes.rank, z->n);
    for (uint32_t i = 0; i < z->n; i++) {
        z->size[i] = sizes.dim[i].n;
        if (sizes.dim[i].k != s->dim[z->axis[i]].k)
            return node_pins_batch(q);
        if (z->size[i] < 0 || z->size[i] >= INT64_C(1) << 40 || !s->dim[z->axis[i]].n)
            return node_wrong(q, "a size of %lld", (long long)z->size[i]);
    }
    return keep_aspect(q, s, z);
}

/* Leaves out the axes that stay as they are. */
static void drop_axes(const Shape *s, bool crop, Sizes *z)
{
    uint32_t kept = 0, all = z->n;
    double ends[MAX_RANK];
    for (uint32_t i = 0; i < all; i++) {
        bool same = z->size[i] == s->dim[z->axis[i]].n && (!z->scaled || z->scale[i] == 1);
        if (same && !crop)
            continue;
        z->axis[kept] = z->axis[i];
        z->size[kept] = z->size[i];
        z->scale[kept] = z->scale[i];
        z->roi[kept] = z->roi[i];
        ends[kept++] = z->roi[all + i];
    }
    memcpy(z->roi + kept, ends, kept * sizeof *ends);
    z->n = kept;
}

static bool is_one_of(const char *s, const char *const *names)
{
    while (*names && strcmp(s, *names))
        names++;
    return *names != NULL;
}

static const char *resize_options(OnnxNode *q, const Sizes *z, const char *mode,
                                  const char *coordinates)
{
    static const char *const rules[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil",
                                         NULL };
    bool old = node_version(q) < 11;
    const char *rule =
        attribute_string(q, "nearest_mode", old ? "floor" : "round_prefer_floor");
    const char *out = text_printf(q, ", mode=\"%s\"", mode);
    if (z->scaled)
        out = text_printf(q, ", scales=%s%s", numbers_text(q, z->scale, z->n), out);
    if (strcmp(coordinates, "half_pixel"))
        out = text_printf(q, "%s, coordinates=\"%s\"", out, coordinates);
    if (!strcmp(mode, "nearest") && !is_one_of(rule, rules)) {
        node_wrong(q, "nearest_mode `%s`", onnx_escape(q->im->a, rule));
        return NULL;
    }
    if (!strcmp(mode, "nearest") && strcmp(rule, rules[0]))
        out = text_printf(q, "%s, nearest=\"%s\"", out, rule);
    if (attribute_has(q, "cubic_coeff_a"))
        out = text_printf(q, "%s, cubic_a=%s", out,
                          text_float(q, attribute_float(q, "cubic_coeff_a", -0.75)));
    if (attribute_int(q, "exclude_outside", 0))
        out = text_printf(q, "%s, exclude_outside=true", out);
    if (attribute_int(q, "antialias", 0))
        out = text_printf(q, "%s, antialias=true", out);
    if (!strcmp(coordinates, "tf_crop_and_resize"))
        out = text_printf(q, "%s, roi=%s, extrapolation=%s", out,
                          numbers_text(q, z->roi, 2 * z->n),
                          text_float(q, attribute_float(q, "extrapolation_value", 0)));
    return out;
}

/* Nearest elements of opset 10, of which no rule is written down: its tests have the floor where an
 * axis grows, and the next element where it shrinks. */
static const char *shrunk(OnnxNode *q, const char *x, const Sizes *z)
{
    for (uint32_t i = 0; i < z->n; i++)
        x = text_printf(q,
                        "resize(%s, [%lld], [%lld], scales=%s, coordinates=\"asymmetric\", "
                        "nearest=\"%s\")",
                        x, (long long)z->axis[i], (long long)z->size[i],
                        numbers_text(q, &z->scale[i], 1), z->scale[i] < 1 ? "ceil" : "floor");
    return x;
}

/* Upsample and Resize: of opset 10 the first element counts from the corner; later there are many
 * ways. */
bool map_resize(OnnxNode *q)
{
    static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
    static const char *const ways[] = {
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
        "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL };
    Sizes z = { 0 };
    bool old = node_version(q) < 11;
    const char *x = node_arg(q, 0), *mode = attribute_string(q, "mode", "nearest");
    const char *way = attribute_string(q, "coordinate_transformation_mode",
                                       old ? "asymmetric" : "half_pixel");
    const Shape s = *node_shape(q, 0);
    if (!x || !read_sizes(q, &s, &z))
        return false;
    mode = !strcmp(mode, "bilinear") ? "linear" : mode;
    if (!is_one_of(mode, modes) || !is_one_of(way, ways))
        return node_wrong(q, "mode `%s`, `%s`", onnx_escape(q->im->a, mode),
                          onnx_escape(q->im->a, way));
    bool crop = !strcmp(way, "tf_crop_and_resize");
    if (crop) {
        uint32_t n;
        const double *roi;
        if (!node_numbers(q, 1, &n, &roi))
            return false;
        if (n != 2 * z.n)
            return node_wrong(q, "%u numbers in roi, not two an axis", n);
        memcpy(z.roi, roi, n * sizeof *roi);
    }
    drop_axes(&s, crop, &z);
    const char *options = resize_options(q, &z, mode, way);
    if (!options)
        return false;
    if (!z.n)
        return node_alias(q, 0, 0);
    bool shrinks = false;
    for (uint32_t i = 0; i < z.n; i++)
        shrinks |= z.scaled && z.scale[i] < 1;
    if (old && shrinks && !strcmp(mode, "nearest"))
        return node_let(q, 0, "%s", shrunk(q, x, &z));
    return node_let(q, 0, "resize(%s, %s, %s%s)", x, text_ints(q, z.axis, z.n),
                    text_ints(q, z.size, z.n), options);
}

/* ---- Sampling ---- */

bool map_grid_sample(OnnxNode *q)
{
    static const char *const paddings[] = { "zeros", "border", "reflection", NULL };
    const char *x = node_arg(q, 0), *grid = node_arg(q, 1);
    const char *mode = attribute_string(q, "mode", "linear"),
               *padding = attribute_string(q, "padding_mode", "zeros");
    mode = !strcmp(mode, "bilinear") ? "linear" : !strcmp(mode, "bicubic") ? "cubic" : mode;
    static const char *const modes[] = { "linear", "nearest", "cubic", NULL };
    if (!x || !grid)
        return false;
    if (node_dtype(q, 0) == DT_BOOL)
        return node_unsupported(q, "truth values between which there is nothing");
    if (!is_one_of(mode, modes) || !is_one_of(padding, paddings))
        return node_wrong(q, "mode `%s`, padding `%s`", onnx_escape(q->im->a, mode),
                          onnx_escape(q->im->a, padding));
    return node_let(q, 0, "grid_sample(%s, %s, mode=\"%s\", padding=\"%s\", align=%s)", x, grid,
                    mode, padding, attribute_int(q, "align_corners", 0) ? "true" : "false");
}

bool map_affine_grid(OnnxNode *q)
{
    Ints size;
    const char *theta = node_arg(q, 0);
    if (!theta || !node_ints(q, 1, &size))
        return false;
    if (size.n < 3)
        return node_wrong(q, "a size of %u numbers", size.n);
    return node_let(q, 0, "affine_grid(%s, %s, align=%s)", theta,
                    text_ints(q, size.at + 2, size.n - 2),
                    attribute_int(q, "align_corners", 0) ? "true" : "false");
}

/* ---- Parts of images ---- */

bool map_center_crop_pad(OnnxNode *q)
{
    Ints sizes, axes;
    const char *x = node_arg(q, 0);
    const Shape *s = node_shape(q, 0);
    int64_t all[MAX_RANK];
    if (!x || !node_ints(q, 1, &sizes) || !node_axes(q, "axes", UINT32_MAX, s->rank, &axes))
        return false;
    for (uint32_t i = 0; i < s->rank; i++)
        all[i] = i;
    if (!axes.n)
        axes = (Ints){ s->rank, all };
    if (sizes.n != axes.n)
        return node_wrong(q, "%u sizes for %u axes", sizes.n, axes.n);
    return node_let(q, 0, "center_crop_pad(%s, %s, %s)", x, text_ints(q, axes.at, axes.n),
                    text_ints(q, sizes.at, sizes.n));
}

/* An attribute of one number an axis, or the same for all. */
static bool per_axis(OnnxNode *q, const char *name, uint32_t n, int64_t otherwise, const char **out)
{
    Ints have;
    int64_t all[2 * MAX_RANK];
    for (uint32_t i = 0; i < n; i++)
        all[i] = otherwise;
    bool given = attribute_ints(q, name, &have);
    if (given && have.n != n)
        return node_wrong(q, "`%s` has %u numbers, not %u", name, have.n, n);
    *out = text_ints(q, given ? have.at : all, n);
    return true;
}

bool map_col2im(OnnxNode *q)
{
    Ints image, block, pads;
    const char *x = node_arg(q, 0), *dilations, *strides;
    int64_t none[2 * MAX_RANK] = { 0 };
    if (!x || !node_ints(q, 1, &image) || !node_ints(q, 2, &block))
        return false;
    uint32_t n = image.n;
    if (!attribute_ints(q, "pads", &pads))
        pads = (Ints){ 2 * n, none };
    if (!n || n > MAX_RANK || block.n != n || pads.n != 2 * n)
        return node_wrong(q, "lists of different lengths");
    Dtype t = node_dtype(q, 0);
    bool whole = !dtype_is_float(t); /* sums of few: exact as f64 */
    if (t == DT_BOOL)
        return node_unsupported(q, "sums of truth values");
    return per_axis(q, "dilations", n, 1, &dilations) && per_axis(q, "strides", n, 1, &strides) &&
           node_let(q, 0, "%s(col2im(%s(%s), %s, %s, %s, %s, %s, %s))",
                    whole ? dtype_name(t) : "", whole ? "f64" : "", x,
                    text_ints(q, image.at, n), text_ints(q, block.at, n), dilations,
                    text_ints(q, pads.at, n), text_ints(q, pads.at + n, n), strides);
}

bool map_tensor_scatter(OnnxNode *q)
{
    int64_t axis;
    const char *x = node_arg(q, 0), *update = node_arg(q, 1);
    const Shape *s = node_shape(q, 0);
    if (!x || !update || !s->rank || !node_axis(q, attribute_int(q, "axis", -2), s->rank, &axis))
        return false;
    const char *from = node_has(q, 2) ? node_arg(q, 2)
                                      : text_printf(q, "zeros(%lld, dtype=i64)",
                                                    (long long)s->dim[0].n);
    const char *mode = attribute_string(q, "mode", "linear");
    return from && node_let(q, 0, "tensor_scatter(%s, %s, %s, axis=%lld, circular=%s)", x, update,
                            from, (long long)axis, strcmp(mode, "circular") ? "false" : "true");
}
