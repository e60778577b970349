/* map_attention.c: attention over heads, and rotary positions. */
#include "frontend/onnx/map.h"

#include <string.h>

typedef struct {
    const char *q, *k, *v;
    Dim B;                 /* examples */
    int64_t T, S, past;    /* positions of queries and keys; of these from the cache */
    bool flat;             /* rank 3: heads are part of the last axis */
} Heads;

/* Queries, keys and values as (B, heads, positions, elements), the cache before the new ones. */
static bool read_heads(OnnxNode *q, Heads *h)
{
    const Shape *s = node_shape(q, 0), *k = node_shape(q, 1);
    *h = (Heads){ node_arg(q, 0), node_arg(q, 1), node_arg(q, 2), s->dim[0], 0, 0, 0,
                  s->rank == 3 };
    int64_t heads = attribute_int(q, "q_num_heads", 0);
    int64_t groups = attribute_int(q, "kv_num_heads", 0);
    if (!h->q || !h->k || !h->v)
        return false;
    if ((s->rank != 3 && s->rank != 4) || k->rank != s->rank)
        return node_wrong(q, "queries of rank %u, keys of rank %u", s->rank, k->rank);
    if (h->flat && (heads < 1 || groups < 1))
        return node_wrong(q, "the numbers of heads are missing");
    for (uint32_t i = 1; i < s->rank; i++)
        if (s->dim[i].k)
            return node_pins_batch(q);
    h->T = s->dim[s->rank - 2].n, h->S = k->dim[k->rank - 2].n;
    static const char split[] = "rearrange(\"b t (h d) -> b h t d\", %s, h=%lld)";
    if (h->flat) {
        h->q = node_tmp(q, "q", split, h->q, (long long)heads);
        h->k = node_tmp(q, "k", split, h->k, (long long)groups);
        h->v = node_tmp(q, "v", split, h->v, (long long)groups);
    }
    if (h->q && h->k && h->v && node_has(q, 4) && node_has(q, 5)) {
        const char *k0 = node_arg(q, 4), *v0 = node_arg(q, 5);
        h->past = node_shape(q, 4)->rank == 4 ? node_shape(q, 4)->dim[2].n : 0;
        h->S += h->past;
        h->k = k0 ? node_tmp(q, "keys", "concat(%s, %s, axis=2)", k0, h->k) : NULL;
        h->v = v0 ? node_tmp(q, "values", "concat(%s, %s, axis=2)", v0, h->v) : NULL;
    }
    return h->q && h->k && h->v;
}

/* What may be seen, and what is added to the scores. A mask may be shorter than the keys. */
static bool read_masks(OnnxNode *q, const Heads *h, const char **out_keep, const char **out_bias)
{
    const char *keep = "", *valid = node_has(q, 6) ? node_arg(q, 6) : "";
    *out_bias = "";
    if (!valid)
        return false;
    if (node_has(q, 3)) {
        const Shape *s = node_shape(q, 3);
        const char *m = node_arg(q, 3);
        bool chooses = node_dtype(q, 3) == DT_BOOL;
        int64_t none[MAX_RANK] = { 0 }, more[MAX_RANK] = { 0 };
        if (!m || !s->rank)
            return false;
        more[s->rank - 1] = h->S - s->dim[s->rank - 1].n;
        if (more[s->rank - 1] > 0)
            m = text_printf(q, "pad_with(%s, %s, %s%s)", m, text_ints(q, none, s->rank),
                            text_ints(q, more, s->rank), chooses ? "" : ", value=-inf");
        if (chooses)
            keep = m;
        else
            *out_bias = text_printf(q, ", bias=%s", m);
    }
    const Shape each = { .rank = 4, .dim = { h->B, dim_of(1), dim_of(1), dim_of(1) } };
    const char *lengths = text_printf(q, "reshape(%s, %s)", valid, text_dims(q, &each));
    if (*valid)
        keep = text_printf(q, "%s%siota(%lld) < %s", keep, *keep ? " and " : "", (long long)h->S,
                           lengths);
    if (attribute_int(q, "is_causal", 0)) {
        const char *past = *valid && !h->past
                               ? text_printf(q, "%s - %lld", lengths, (long long)h->T)
                               : text_printf(q, "%lld", (long long)h->past);
        keep = text_printf(q, "%s%scausal_from(%lld, %lld, past=%s)", keep, *keep ? " and " : "",
                           (long long)h->T, (long long)h->S, past);
    }
    *out_keep = *keep ? text_printf(q, ", keep=%s", keep) : "";
    return true;
}

bool map_attention(OnnxNode *q)
{
    static const char *const hints[] = { "y", "raw", "capped", "biased", "weights" };
    const char *keep, *bias, *parts[5], *more = "";
    int64_t mode = attribute_int(q, "qk_matmul_output_mode", 0);
    Heads h;
    if (!read_heads(q, &h) || !read_masks(q, &h, &keep, &bias))
        return false;
    if (mode < 0 || mode > 3)
        return node_wrong(q, "qk_matmul_output_mode is %lld", (long long)mode);
    if (attribute_has(q, "scale"))
        more = text_printf(q, ", scale=%s", text_float(q, attribute_float(q, "scale", 0)));
    if (attribute_float(q, "softcap", 0) != 0)
        more = text_printf(q, "%s, cap=%s", more, text_float(q, attribute_float(q, "softcap", 0)));
    if (!node_tmps(q, 5, hints, parts, "grouped_attention(%s, %s, %s%s%s%s)", h.q, h.k, h.v, keep,
                   bias, more))
        return false;
    return node_let(q, 0, h.flat ? "rearrange(\"b h t d -> b t (h d)\", %s)" : "%s", parts[0]) &&
           node_let(q, 1, "%s", h.k) &&
           (node_dtype(q, 2) == node_dtype(q, 0) ? node_let(q, 2, "%s", h.v)
                                                 : node_let_as(q, 2, node_dtype(q, 2), h.v)) &&
           node_let(q, 3, "%s", parts[1 + mode]);
}

/* RotaryEmbedding: tables of cosines and sines, by position where positions are given. */
bool map_rotary(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *cosine = node_arg(q, 1), *sine = node_arg(q, 2);
    const Shape *s = node_shape(q, 0), *table = node_shape(q, 1);
    int64_t turned = attribute_int(q, "rotary_embedding_dim", 0); /* as the tables' width says */
    if (!x || !cosine || !sine)
        return false;
    if (turned && (!table->rank || turned != 2 * table->dim[table->rank - 1].n))
        return node_wrong(q, "rotary_embedding_dim is %lld, the tables are %s", (long long)turned,
                          shape_text(q->im->a, table));
    if (node_has(q, 3)) {
        const char *at = node_arg(q, 3);
        if (!at)
            return false;
        cosine = text_printf(q, "gather(%s, %s)", cosine, at);
        sine = text_printf(q, "gather(%s, %s)", sine, at);
    }
    const char *more = attribute_int(q, "interleaved", 0) ? ", interleaved=true" : "";
    if (s->rank == 4)
        return node_let(q, 0, "rotary_tables(%s, %s, %s%s)", x, cosine, sine, more);
    return node_let(q, 0,
                    "rearrange(\"b h t d -> b t (h d)\", rotary_tables(rearrange(\"b t (h d) -> b "
                    "h t d\", %s, h=%lld), %s, %s%s))",
                    x, (long long)attribute_int(q, "num_heads", 1), cosine, sine, more);
}
