/* map_linear.c: sequences by a state: causal convolution, attention linear in the length. */
#include "frontend/onnx/map.h"

#include <string.h>

/* Channels by themselves, over the last k positions; those before the first are the past's. */
bool map_causal_conv(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *w = node_arg(q, 1), *z;
    const char *bias = node_has(q, 2) ? node_arg(q, 2) : "", *past = NULL;
    if (!x || !w || !bias || (node_has(q, 3) && !(past = node_arg(q, 3))))
        return false;
    const Shape *s = node_shape(q, 0), *k = node_shape(q, 1);
    const char *activation = attribute_string(q, "activation", "none");
    if (s->rank != 3 || k->rank != 3 || k->dim[2].n < 1)
        return node_wrong(q, "an input of rank %u, weights of rank %u", s->rank, k->rank);
    if (strcmp(activation, "none") && strcmp(activation, "silu") && strcmp(activation, "swish"))
        return node_unsupported(q, "activation \"%s\"", activation);
    long long channels = s->dim[1].n, before = k->dim[2].n - 1;
    z = past ? node_tmp(q, "padded", "concat(%s, %s, axis=2)", past, x)
             : node_tmp(q, "padded", "pad_with(%s, [0, 0, %lld], [0, 0, 0])", x, before);
    if (!z)
        return false;
    const char *y =
        text_printf(q, "conv(%s, %s, stride=[1], low=[0], high=[0], dilation=[1], groups=%lld)", z,
                    w, channels);
    if (*bias)
        y = text_printf(q, "%s + reshape(%s, %lld, 1)", y, bias, channels);
    return node_let(q, 0, strcmp(activation, "none") ? "silu(%s)" : "%s", y) &&
           node_let(q, 1, "%s[:, :, %lld..]", z, (long long)s->dim[2].n);
}

/* Heads out of the last axis of an input, as an argument of its own: ", beta=rearrange(..)". */
static const char *heads_of(OnnxNode *q, uint32_t input, const char *name, int64_t heads)
{
    if (!node_has(q, input))
        return "";
    const char *x = node_arg(q, input);
    return x ? text_printf(q, "%srearrange(\"b t (h d) -> b h t d\", %s, h=%lld)", name, x,
                           (long long)heads)
             : NULL;
}

bool map_linear_attention(OnnxNode *q)
{
    int64_t heads = attribute_int(q, "q_num_heads", 0),
            groups = attribute_int(q, "kv_num_heads", 0);
    for (uint32_t i = 0; i < 3; i++)
        if (!node_arg(q, i))
            return false;
        else if (node_shape(q, i)->rank != 3)
            return node_wrong(q, "input %u of rank %u", i, node_shape(q, i)->rank);
    const Shape *x = node_shape(q, 0), *v = node_shape(q, 2);
    if (heads < 1 || groups < 1 || heads % groups || x->dim[2].n % heads || v->dim[2].n % groups)
        return node_wrong(q, "%lld heads in %lld groups", (long long)heads, (long long)groups);
    Shape state = { .rank = 4, .dim = { x->dim[0], dim_of(groups), dim_of(x->dim[2].n / heads),
                                        dim_of(v->dim[2].n / groups) } };
    const char *rule = attribute_string(q, "update_rule", "gated_delta");
    bool delta = !strcmp(rule, "delta") || !strcmp(rule, "gated_delta");
    bool gated = !strcmp(rule, "gated") || !strcmp(rule, "gated_delta");
    if (!delta && !gated && strcmp(rule, "linear"))
        return node_wrong(q, "update_rule is `%s`", onnx_escape(q->im->a, rule));
    if ((gated && !node_has(q, 4)) || (delta && !node_has(q, 5)))
        return node_wrong(q, "decay or beta is missing, which `%s` needs", rule);
    int64_t betas = node_has(q, 5) && node_shape(q, 5)->rank == 3 ? node_shape(q, 5)->dim[2].n : 1;
    const char *past = node_has(q, 3) ? node_arg(q, 3)
                                      : text_printf(q, "zeros(%s, dtype=dtype(%s))",
                                                    text_dims(q, &state), node_arg(q, 0));
    const char *parts[] = { heads_of(q, 0, "", heads),          heads_of(q, 1, ", ", groups),
                            heads_of(q, 2, ", ", groups),       past,
                            gated ? heads_of(q, 4, ", decay=", groups) : "",
                            delta ? heads_of(q, 5, ", beta=", betas) : "" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!parts[i])
            return false;
    const char *scale = attribute_float(q, "scale", 0) == 0
                            ? ""
                            : text_printf(q, ", scale=%s",
                                          text_float(q, attribute_float(q, "scale", 0)));
    const char *results[2];
    if (!node_tmps(q, 2, (const char *const[]){ "y", "state" }, results,
                   "linear_attention(%s%s%s, %s%s%s%s%s)", parts[0], parts[1], parts[2], past,
                   parts[4], parts[5], delta ? ", delta=true" : "", scale))
        return false;
    Dtype kept = node_dtype(q, node_has(q, 3) ? 3 : 0); /* the state has a type of its own */
    return node_let(q, 0, "rearrange(\"b h t d -> b t (h d)\", %s)", results[0]) &&
           (kept == node_dtype(q, 0) ? node_let(q, 1, "%s", results[1])
                                     : node_let_as(q, 1, kept, results[1]));
}
