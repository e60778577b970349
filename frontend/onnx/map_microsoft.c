/* map_microsoft.c: operators that one widely used runtime writes into the transformers it has
 * rearranged. */
#include "frontend/onnx/map.h"

/* An optional input, "" where it is absent. */
static const char *optional(OnnxNode *q, uint32_t input)
{
    return node_has(q, input) ? node_arg(q, input) : "";
}

/* x + bias */
bool map_fast_gelu(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *bias = optional(q, 1);
    return x && bias &&
           node_let(q, 0, *bias ? "gelu_tanh(%s + %s)" : "gelu_tanh(%s)", x, bias);
}

/* The root mean square without a mean, and on demand its reciprocal. */
static bool let_simplified(OnnxNode *q, const char *x, const char *scale, int64_t axis, double eps,
                           uint32_t inverse)
{
    const char *e = text_float(q, eps);
    long long a = axis;
    return node_let(q, 0, "rms_norm(%s, %s, axis=%lld, eps=%s)", x, scale, a, e) &&
           (!node_wants(q, inverse) ||
            node_let(q, inverse, "rsqrt(mean(%s^2, axis=%lld.., keep=true) + %s)", x, a, e));
}

bool map_simplified_norm(OnnxNode *q)
{
    int64_t axis;
    const char *x = node_arg(q, 0), *scale = node_arg(q, 1);
    return x && scale &&
           node_axis(q, attribute_int(q, "axis", -1), node_shape(q, 0)->rank, &axis) &&
           let_simplified(q, x, scale, axis, attribute_float(q, "epsilon", 1e-5f), 1);
}

/* x + skip + bias, which is the last output too. */
static const char *skipped(OnnxNode *q, uint32_t bias_input)
{
    const char *x = node_arg(q, 0), *skip = node_arg(q, 1), *bias = optional(q, bias_input);
    if (!x || !skip || !bias)
        return NULL;
    return *bias ? node_tmp(q, "skipped", "%s + %s + %s", x, skip, bias)
                 : node_tmp(q, "skipped", "%s + %s", x, skip);
}

bool map_skip_norm(OnnxNode *q)
{
    static const char *const hints[] = { "normed", "mean", "rstd" };
    const char *z = skipped(q, 4), *scale = node_arg(q, 2), *bias = optional(q, 3), *parts[3];
    if (!z || !scale || !bias ||
        !node_tmps(q, 3, hints, parts, "standardized(%s, eps=%s)", z,
                   text_float(q, attribute_float(q, "epsilon", 1e-12f))))
        return false;
    return node_let(q, 0, *bias ? "%s*%s + %s" : "%s*%s", parts[0], scale, bias) &&
           node_let(q, 3, "%s", z) && (q->narrow = DT_COUNT, node_let(q, 1, "%s", parts[1])) &&
           node_let(q, 2, "%s", parts[2]);
}

bool map_skip_simplified(OnnxNode *q)
{
    const char *z = skipped(q, 3), *scale = node_arg(q, 2);
    return z && scale &&
           let_simplified(q, z, scale, -1, attribute_float(q, "epsilon", 1e-12f), 2) &&
           node_let(q, 3, "%s", z);
}

/* One of the three parts of the bias, added to its input, in heads. */
static const char *biased_heads(OnnxNode *q, uint32_t input, const char *bias, int64_t begin,
                                int64_t heads)
{
    const char *x = node_arg(q, input);
    int64_t n = node_shape(q, input)->dim[2].n;
    if (!x)
        return NULL;
    if (*bias)
        x = text_printf(q, "%s + %s[%lld..%lld]", x, bias, (long long)begin,
                        (long long)(begin + n));
    return node_tmp(q, "heads", "rearrange(\"b t (h d) -> b h t d\", %s, h=%lld)", x,
                    (long long)heads);
}

/* Which keys may be seen: a mask (B, S), or how many come first (B). */
static const char *key_mask(OnnxNode *q, int64_t keys)
{
    if (!node_has(q, 4))
        return "";
    const char *m = node_arg(q, 4);
    const Shape *s = node_shape(q, 4);
    if (!m)
        return NULL;
    if (s->rank == 2)
        return text_printf(q, ", keep=rearrange(\"b s -> b 1 1 s\", %s) != 0", m);
    if (s->rank == 1 && !s->dim[0].k && node_shape(q, 0)->dim[0].n == s->dim[0].n)
        return text_printf(q, ", keep=iota(%lld) < rearrange(\"b -> b 1 1 1\", %s)",
                           (long long)keys, m);
    node_unsupported(q, "a key_padding_mask of rank %u", s->rank);
    return NULL;
}

/* Queries, keys and values of rank 3; the cache comes before the new keys. */
bool map_multi_head(OnnxNode *q)
{
    static const char *const hints[] = { "y", "raw", "capped", "biased", "weights" };
    int64_t heads = attribute_int(q, "num_heads", 0);
    const char *bias = optional(q, 3), *more = "", *parts[5];
    for (uint32_t i = 0; i < 3; i++)
        if (!node_has(q, i) || node_shape(q, i)->rank != 3)
            return node_unsupported(q, "queries, keys and values in one tensor");
    if (heads < 1 || !bias)
        return bias && node_wrong(q, "%lld heads", (long long)heads);
    if (node_inputs(q) > 8)
        return node_unsupported(q, "a cache that is written in place");
    int64_t size = node_shape(q, 0)->dim[2].n, keys = node_shape(q, 1)->dim[1].n;
    const char *a = biased_heads(q, 0, bias, 0, heads);
    const char *k = biased_heads(q, 1, bias, size, heads);
    const char *v = biased_heads(q, 2, bias, 2 * size, heads);
    if (a && k && v && node_has(q, 6) && node_has(q, 7)) {
        const char *k0 = node_arg(q, 6), *v0 = node_arg(q, 7);
        keys += k0 && node_shape(q, 6)->rank == 4 ? node_shape(q, 6)->dim[2].n : 0;
        k = k0 ? node_tmp(q, "keys", "concat(%s, %s, axis=2)", k0, k) : NULL;
        v = v0 ? node_tmp(q, "values", "concat(%s, %s, axis=2)", v0, v) : NULL;
    }
    const char *keep = key_mask(q, keys), *added = optional(q, 5);
    if (!a || !k || !v || !keep || !added)
        return false;
    if (attribute_int(q, "unidirectional", 0))
        return node_unsupported(q, "unidirectional=1");
    if (attribute_float(q, "scale", 0) != 0)
        more = text_printf(q, ", scale=%s", text_float(q, attribute_float(q, "scale", 0)));
    return node_tmps(q, 5, hints, parts, "grouped_attention(%s, %s, %s%s%s%s%s)", a, k, v, keep,
                     *added ? ", bias=" : "", added, more) &&
           node_let(q, 0, "rearrange(\"b h t d -> b t (h d)\", %s)", parts[0]) &&
           node_let(q, 1, "%s", k) && node_let(q, 2, "%s", v) && node_let(q, 3, "%s", parts[1]);
}
