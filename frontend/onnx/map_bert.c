/* map_bert.c: what a widely used runtime makes of the layers of a transformer: attention with its
 * projections, and the sum of embeddings that comes before.
 *
 * A key that is masked gets a large negative number added to its score, as there, and not -inf: a
 * row that sees no key at all has weights, too. */
#include "frontend/onnx/map.h"

/* An optional input, "" where it is absent. */
static const char *optional(OnnxNode *q, uint32_t input)
{
    return node_has(q, input) ? node_arg(q, input) : "";
}

typedef struct {
    uint32_t mask_input, past_input;
    int64_t heads, past, keys;
    int64_t size[3]; /* of queries, keys and values, all heads together */
    const char *part[3]; /* they, in heads */
} Parts;

/* The projections of the input, cut into their parts and into heads; `product` without the bias. */
static bool project(OnnxNode *q, Parts *p, const char *product)
{
    const char *bias = optional(q, 2);
    const Shape *s = node_shape(q, 0), *weights = node_shape(q, 1);
    Ints sizes;
    if (!product || !bias)
        return false;
    if (s->rank != 3 || weights->rank != 2)
        return node_wrong(q, "an input of rank %u, weights of rank %u", s->rank, weights->rank);
    bool given = attribute_ints(q, "qkv_hidden_sizes", &sizes) && sizes.n == 3;
    int64_t at = 0, all = weights->dim[1].n;
    const char *z = node_tmp(q, "projected", *bias ? "%s + %s" : "%s", product, bias);
    for (uint32_t i = 0; i < 3; at += p->size[i++]) {
        p->size[i] = given ? sizes.at[i] : all / 3;
        if (p->heads < 1 || p->size[i] < 1 || p->size[i] > all - at || p->size[i] % p->heads)
            return node_wrong(q, "%lld heads of %lld", (long long)p->heads, (long long)p->size[i]);
        const char *own = text_printf(q, "%s[:, :, %lld..%lld]", z ? z : "", (long long)at,
                                      (long long)(at + p->size[i]));
        p->part[i] = z ? node_tmp(q, "heads", "rearrange(\"b t (h d) -> b h t d\", %s, h=%lld)",
                                  own, (long long)p->heads)
                       : NULL;
        if (!p->part[i])
            return false;
    }
    return true;
}

/* The keys and values of before, in one tensor, stand in front of the new ones. */
static bool join_past(OnnxNode *q, Parts *p)
{
    p->past = 0;
    p->keys = node_shape(q, 0)->dim[1].n;
    if (!node_has(q, p->past_input))
        return true;
    const char *past = node_arg(q, p->past_input);
    const Shape *s = node_shape(q, p->past_input);
    if (!past)
        return false;
    if (s->rank != 5)
        return node_wrong(q, "a past of rank %u", s->rank);
    p->past = s->dim[3].n;
    p->keys += p->past;
    for (uint32_t i = 1; i < 3; i++)
        if (!(p->part[i] = node_tmp(q, i == 1 ? "keys" : "values", "concat(%s[%u], %s, axis=2)",
                                    past, i - 1, p->part[i])))
            return false;
    return true;
}

/* What the mask adds to the scores, "" for none. NULL: reported. */
static const char *mask_text(OnnxNode *q, const Parts *p, const char *filter)
{
    static const char *const patterns[] = { "b s -> b 1 1 s", "b t s -> b 1 t s" };
    if (!node_has(q, p->mask_input))
        return "";
    const char *m = node_arg(q, p->mask_input);
    const Shape *s = node_shape(q, p->mask_input);
    if (!m)
        return NULL;
    if (s->rank == 2 || s->rank == 3)
        return text_printf(q, " + (1 - f32(rearrange(\"%s\", %s)))*(%s)", patterns[s->rank - 2], m,
                           filter);
    if (s->rank == 1 && dim_equal(s->dim[0], node_shape(q, 0)->dim[0]))
        return text_printf(q, " + select(iota(%lld) < i32(rearrange(\"b -> b 1 1 1\", %s)), 0, %s)",
                           (long long)p->keys, m, filter);
    node_unsupported(q, "a mask of rank %u", s->rank);
    return NULL;
}

static bool attend(OnnxNode *q, Parts p, const char *product, const char *added)
{
    static const char *const hints[] = { "y", "raw", "capped", "biased", "weights" };
    const char *parts[5], *filter = text_float(q, attribute_float(q, "mask_filter_value", -10000));
    double scale = attribute_float(q, "scale", 0);
    if (attribute_int(q, "do_rotary", 0) || attribute_int(q, "past_present_share_buffer", 0))
        return node_unsupported(q, "rotary positions, or a cache that is written in place");
    p.heads = attribute_int(q, "num_heads", 0);
    if (!project(q, &p, product) || !join_past(q, &p))
        return false;
    const char *mask = mask_text(q, &p, filter), *causal = "";
    if (!mask || !added)
        return false;
    if (attribute_int(q, "unidirectional", 0))
        causal = text_printf(q, " + select(causal_from(%lld, %lld, %lld), 0, %s)",
                             (long long)(p.keys - p.past), (long long)p.keys, (long long)p.past,
                             filter);
    return node_tmps(q, 5, hints, parts, "grouped_attention(%s, %s, %s, bias=%s%s%s%s)", p.part[0],
                     p.part[1], p.part[2], *added ? added : "f32(0)", mask, causal,
                     scale == 0 ? "" : text_printf(q, ", scale=%s", text_float(q, scale))) &&
           node_let(q, 0, "rearrange(\"b h t d -> b t (h d)\", %s)", parts[0]) &&
           (!node_wants(q, 1) || node_let(q, 1, "stack(%s, %s, axis=0)", p.part[1], p.part[2]));
}

bool map_attention_layer(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *w = node_arg(q, 1), *added = optional(q, 5);
    return x && w && added &&
           attend(q, (Parts){ .mask_input = 3, .past_input = 4 }, text_printf(q, "%s @ %s", x, w),
                  added);
}

/* The input and the weights are integers; what they stand for is a factor of the product. */
bool map_attention_quantized(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *w = node_arg(q, 1), *x_scale = node_arg(q, 3),
               *w_scale = node_arg(q, 4), *x_zero = node_has(q, 6) ? node_arg(q, 6) : "0",
               *w_zero = node_has(q, 7) ? node_arg(q, 7) : "0";
    return x && w && x_scale && w_scale && x_zero && w_zero &&
           attend(q, (Parts){ .mask_input = 5, .past_input = 8 },
                  text_printf(q,
                              "f32(matmul_integer(%s, %s, %s, %s))*"
                              "(reshape(%s, [])*of_columns(%s))",
                              x, w, x_zero, w_zero, x_scale, w_scale),
                  "");
}

/* Input 2 + k of an embedding, or its rows `at`; quantized, its scale is input 8 + k. */
static const char *rows(OnnxNode *q, uint32_t k, const char *at, bool quantized)
{
    const char *x = node_arg(q, 2 + k);
    if (x && at)
        x = text_printf(q, "gather(%s, %s, axis=0)", x, at);
    if (!x || !quantized)
        return x;
    const char *scale = node_arg(q, 8 + k), *zero = node_arg(q, 13 + k);
    return scale && zero ? text_printf(q, "dequantize_linear(%s, %s, %s)", x, scale, zero) : NULL;
}

/* Words, positions and on demand segments. How many tokens a mask counts is the second output. */
static bool embed(OnnxNode *q, bool quantized)
{
    static const char *const hints[] = { "normed", "mean", "rstd" };
    enum { WORD, PLACE, SEGMENT, SCALE, BIAS };
    const char *ids = node_arg(q, 0), *place = NULL, *segment = "", *parts[3], *mask;
    const Shape *s = node_shape(q, 0);
    if (!ids)
        return false;
    if (s->rank != 2 || s->dim[1].k)
        return node_wrong(q, "ids of rank %u", s->rank);
    if (!quantized && node_has(q, 8) && !(place = node_arg(q, 8)))
        return false;
    if (!place)
        place = text_printf(q, "iota(%lld)", (long long)s->dim[1].n);
    if (node_has(q, 1) && node_has(q, 4)) {
        const char *at = node_arg(q, 1), *row = at ? rows(q, SEGMENT, at, quantized) : NULL;
        segment = row ? text_printf(q, " + %s", row) : NULL;
    }
    const char *word = rows(q, WORD, ids, quantized), *where = rows(q, PLACE, place, quantized),
               *scale = rows(q, SCALE, NULL, quantized), *bias = rows(q, BIAS, NULL, quantized);
    if (!word || !where || !segment || !scale || !bias)
        return false;
    const char *z = node_tmp(q, "embedded", "%s + %s%s", word, where, segment);
    if (!z || !node_tmps(q, 3, hints, parts, "standardized(%s, eps=%s)", z,
                         text_float(q, attribute_float(q, "epsilon", 1e-12f))))
        return false;
    if (!node_let(q, 0, "%s*%s + %s", parts[0], scale, bias) ||
        (node_wants(q, 2) && !node_let(q, 2, "%s", z)) || !(mask = optional(q, 7)))
        return false;
    q->narrow = DT_COUNT;
    if (!node_wants(q, 1))
        return true;
    const Shape examples = { .rank = 1, .dim = { s->dim[0] } };
    return *mask ? node_let(q, 1, "i32(sum(i32(%s), axis=1))", mask)
                 : node_let(q, 1, "zeros(%s, dtype=i32)", text_dims(q, &examples));
}

bool map_embed_norm(OnnxNode *q)
{
    return embed(q, false);
}

bool map_embed_quantized(OnnxNode *q)
{
    return embed(q, true);
}
