/* map_counted.c: results whose size only the data tell: buffers with a count. */
#include "frontend/onnx/map.h"

/* The input as a vector, where no axis is named: text, or NULL. */
static const char *flat(OnnxNode *q, const char *x, bool has_axis, const Shape *s,
                        int64_t *out_axis)
{
    Dim all;
    int64_t axis = attribute_int(q, "axis", 0);
    *out_axis = 0;
    if (has_axis)
        return node_axis(q, axis, s->rank, out_axis) ? x : NULL;
    if (!shape_product(s, 0, s->rank, &all))
        return NULL;
    Shape vector = { 1, { all } };
    return s->rank == 1 ? x : text_printf(q, "reshape(%s, %s)", x, text_dims(q, &vector));
}

bool map_compress(OnnxNode *q)
{
    int64_t axis;
    const char *x = node_arg(q, 0), *keep = node_arg(q, 1), *parts[2];
    if (!x || !keep || !(x = flat(q, x, attribute_has(q, "axis"), node_shape(q, 0), &axis)))
        return false;
    return node_tmps(q, 2, (const char *const[]){ "kept", "count" }, parts,
                     "compress(%s, %s, %lld)", x, keep, (long long)axis) &&
           node_let_counted(q, 0, parts[0], (uint32_t)axis, parts[1]);
}

bool map_non_zero(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *parts[2];
    if (!x)
        return false;
    if (!node_shape(q, 0)->rank)
        return node_unsupported(q, "a number, which has no places");
    return node_tmps(q, 2, (const char *const[]){ "places", "count" }, parts, "nonzero(%s)", x) &&
           node_let_counted(q, 0, parts[0], 1, parts[1]);
}

bool map_unique(OnnxNode *q)
{
    static const char *const hints[] = { "values", "first", "inverse", "counts", "count" };
    int64_t axis;
    const char *x = node_arg(q, 0), *parts[5];
    if (!x || !(x = flat(q, x, attribute_has(q, "axis"), node_shape(q, 0), &axis)))
        return false;
    return node_tmps(q, 5, hints, parts, "unique(%s, axis=%lld, sorted=%s)", x, (long long)axis,
                     attribute_int(q, "sorted", 1) ? "true" : "false") &&
           node_let_counted(q, 0, parts[0], (uint32_t)axis, parts[4]) &&
           node_let_counted(q, 1, parts[1], 0, parts[4]) && node_let(q, 2, "%s", parts[2]) &&
           node_let_counted(q, 3, parts[3], 0, parts[4]);
}

/* A threshold: of one element, or not given. */
static const char *threshold(OnnxNode *q, uint32_t input)
{
    if (node_is_known(q, input))
        return node_number_text(q, input);
    const char *t = node_arg(q, input);
    return t && node_shape(q, input)->rank ? text_printf(q, "%s[0]", t) : t;
}

bool map_non_max_suppression(OnnxNode *q)
{
    Ints most = { 0 };
    const char *boxes = node_arg(q, 0), *scores = node_arg(q, 1), *parts[2];
    if (!boxes || !scores || (node_has(q, 2) && !node_ints(q, 2, &most)))
        return false;
    const char *overlap = node_has(q, 3) ? threshold(q, 3) : "0";
    const char *least = node_has(q, 4) ? threshold(q, 4) : "";
    if (!overlap || !least)
        return false;
    if (*least)
        least = text_printf(q, ", least=%s", least);
    int64_t n = most.n && most.at[0] > 0 ? most.at[0] : 0;
    return node_tmps(q, 2, (const char *const[]){ "boxes", "count" }, parts,
                     "non_max_suppression(%s, %s, %lld, %s%s, centre=%s)", boxes, scores,
                     (long long)n, overlap, least,
                     attribute_int(q, "center_point_box", 0) ? "true" : "false") &&
           node_let_counted(q, 0, parts[0], 0, parts[1]);
}
