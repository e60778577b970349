/* map_decoder.c: operators of com.microsoft in decoders: attention with a cache of keys that may be
 * longer than what is in it, rotary positions, weights of few bits. */
#include "frontend/onnx/map.h"

#include <string.h>

/* Cosines and sines of each position of each example. */
static bool tables(OnnxNode *q, uint32_t cosine, const char *at, const char *out[2])
{
    for (uint32_t i = 0; i < 2; i++) {
        const char *table = node_arg(q, cosine + i);
        if (!table || !(out[i] = node_tmp(q, i ? "sin" : "cos", "gather(%s, %s)", table, at)))
            return false;
    }
    return true;
}

static const char *turned(OnnxNode *q, const char *x, const char *const tables[2], bool interleaved)
{
    return node_tmp(q, "turned", "rotary_tables(%s, %s, %s%s)", x, tables[0], tables[1],
                    interleaved ? ", interleaved=true" : "");
}

bool map_rotary_cached(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *at = node_arg(q, 1), *parts[2];
    const Shape s = *node_shape(q, 0), *table = node_shape(q, 2), *where = node_shape(q, 1);
    if (!x || !at)
        return false;
    int64_t width = attribute_int(q, "rotary_embedding_dim", 0);
    int64_t heads = attribute_int(q, "num_heads", 0);
    if ((s.rank != 3 && s.rank != 4) || table->rank != 2)
        return node_wrong(q, "an input of rank %u", s.rank);
    int64_t turns = 2 * table->dim[1].n;
    if (width && width != turns)
        return node_wrong(q, "rotary_embedding_dim is %lld, the tables are %s", (long long)width,
                          shape_text(q->im->a, table));
    if (attribute_float(q, "scale", 1) != 1 || attribute_int(q, "is_packed_batching", 0))
        return node_unsupported(q, "a scale, or packed batches");
    Shape all = { 2, { s.dim[0], s.dim[s.rank - 2] } };
    if (where->rank < 2) /* the first position of all */
        at = text_printf(q, "broadcast(i64(reshape(%s, [])) + i64(iota(%lld)), %s)", at,
                         (long long)all.dim[1].n, text_dims(q, &all));
    if (!tables(q, 2, at, parts))
        return false;
    bool interleaved = attribute_int(q, "interleaved", 0);
    if (s.rank == 4)
        return node_let(q, 0, "%s", turned(q, x, parts, interleaved));
    if (!width) /* the tables turn whole heads */
        heads = turns ? s.dim[2].n / turns : 0;
    if (heads < 1)
        return node_wrong(q, "%lld heads", (long long)heads);
    x = text_printf(q, "rearrange(\"b t (h d) -> b h t d\", %s, h=%lld)", x, (long long)heads);
    const char *y = turned(q, x, parts, interleaved);
    return y && node_let(q, 0, "rearrange(\"b h t d -> b t (h d)\", %s)", y);
}

/* ---- Attention with a cache ---- */

typedef struct {
    int64_t heads, groups, T, S, P; /* S: of keys, with those of the cache, P */
    Dim B;
    const char *q, *k, *v;
    const char *past; /* how many keys of the cache there are for each example; "" for none */
} Cached;

static bool is_plain(OnnxNode *q)
{
    static const char *const kinds[] = { "k_quant_type", "v_quant_type" };
    for (size_t i = 0; i < 2; i++)
        if (strcmp(attribute_string(q, kinds[i], "NONE"), "NONE"))
            return node_unsupported(q, "a cache of integers");
    if (attribute_int(q, "kv_cache_bit_width", 0) || attribute_int(q, "sliding_window_cache", 0))
        return node_unsupported(q, "a cache of few bits, or of the last keys");
    if (attribute_int(q, "smooth_softmax", 0) > 0 || attribute_int(q, "qk_output", 0))
        return node_unsupported(q, "a smooth softmax, or scores as a result");
    return true;
}

/* Queries, keys and values in heads; without keys they all lie in the first input. */
static bool read_cached(OnnxNode *q, Cached *c)
{
    static const char split[] = "rearrange(\"b t (h d) -> b h t d\", %s, h=%lld)";
    const Shape *s = node_shape(q, 0);
    const char *x = node_arg(q, 0);
    *c = (Cached){ .heads = attribute_int(q, "num_heads", 0),
                   .groups = attribute_int(q, "kv_num_heads", 0) };
    if (!x)
        return false;
    if (s->rank != 3 || c->heads < 1 || c->groups < 1 || c->heads % c->groups)
        return node_wrong(q, "queries of rank %u for %lld heads in %lld groups", s->rank,
                          (long long)c->heads, (long long)c->groups);
    if (s->dim[0].k || s->dim[1].k)
        return node_pins_batch(q);
    c->B = s->dim[0], c->T = s->dim[1].n;
    if (!node_has(q, 1)) {
        int64_t all = c->heads + 2 * c->groups;
        const char *packed = node_tmp(q, "heads", split, x, (long long)all);
        if (!packed)
            return false;
        c->q = text_printf(q, "%s[:, ..%lld]", packed, (long long)c->heads);
        c->k = text_printf(q, "%s[:, %lld..%lld]", packed, (long long)c->heads,
                           (long long)(c->heads + c->groups));
        c->v = text_printf(q, "%s[:, %lld..]", packed, (long long)(c->heads + c->groups));
        return true;
    }
    const char *k = node_arg(q, 1), *v = node_arg(q, 2);
    c->q = node_tmp(q, "q", split, x, (long long)c->heads);
    c->k = k ? node_tmp(q, "k", split, k, (long long)c->groups) : NULL;
    c->v = v ? node_tmp(q, "v", split, v, (long long)c->groups) : NULL;
    return c->q && c->k && c->v;
}

/* New keys follow those that the cache holds of each example, of which its room may be longer. When
 * all are new the cache is empty. */
static bool join_cache(OnnxNode *q, Cached *c)
{
    Ints total;
    const char *lengths = node_arg(q, 5);
    if (!lengths || !node_ints(q, 6, &total) || total.n != 1)
        return lengths && !q->failed && node_wrong(q, "one total_sequence_length is needed");
    bool cached = node_has(q, 3) && node_has(q, 4);
    if (cached && node_shape(q, 3)->rank != 4)
        return node_wrong(q, "a cache of rank %u", node_shape(q, 3)->rank);
    c->P = cached ? node_shape(q, 3)->dim[2].n : 0;
    c->S = c->P > total.at[0] ? c->P : total.at[0];
    if (total.at[0] < c->T || (!cached && c->S != c->T))
        return node_wrong(q, "%lld keys in all of which %lld are new", (long long)total.at[0],
                          (long long)c->T);
    c->past = total.at[0] == c->T ? text_printf(q, "zeros(%lld, dtype=i32)", (long long)c->B.n)
                                  : text_printf(q, "i32(reshape(bounded(%s, %lld), [%lld])) - %lld",
                                                lengths, (long long)total.at[0],
                                                (long long)c->B.n, (long long)(c->T - 1));
    c->past = node_tmp(q, "past", "%s", c->past);
    return c->past != NULL;
}

static const char *cached(OnnxNode *q, const Cached *c, uint32_t input, const char *fresh)
{
    if (!c->P)
        return node_tmp(q, "all", "%s", fresh);
    const char *old = node_arg(q, input);
    if (old && c->S > c->P)
        old = text_printf(q, "pad_with(%s, [0, 0, 0, 0], [0, 0, %lld, 0])", old,
                          (long long)(c->S - c->P));
    return old ? node_tmp(q, "all", "tensor_scatter(%s, %s, i64(%s))", old, fresh, c->past) : NULL;
}

static bool turn_cached(OnnxNode *q, Cached *c)
{
    const char *parts[2];
    if (!attribute_int(q, "do_rotary", 0))
        return true;
    const char *at = node_has(q, 9) ? node_arg(q, 9)
                                    : text_printf(q, "unsqueeze(%s) + iota(%lld)", c->past,
                                                  (long long)c->T);
    bool interleaved = attribute_int(q, "rotary_interleaved", 0);
    if (!at || !tables(q, 7, at, parts))
        return false;
    c->q = turned(q, c->q, parts, interleaved);
    c->k = turned(q, c->k, parts, interleaved);
    return c->q && c->k;
}

bool map_group_query(OnnxNode *q)
{
    static const char *const hints[] = { "y", "raw", "capped", "biased", "weights" };
    Cached c;
    const char *parts[5], *more = "";
    int64_t window = attribute_int(q, "local_window_size", -1);
    if (!is_plain(q) || !read_cached(q, &c) || !join_cache(q, &c) || !turn_cached(q, &c))
        return false;
    const char *k = cached(q, &c, 3, c.k), *v = cached(q, &c, 4, c.v);
    const char *bias = node_has(q, 10) ? node_arg(q, 10) : "";
    /* the position of each query, and of each key */
    const char *at = node_tmp(q, "at", "reshape(unsqueeze(%s) + iota(%lld), [%lld, 1, %lld, 1])",
                              c.past, (long long)c.T, (long long)c.B.n, (long long)c.T);
    if (!k || !v || !bias || !at)
        return false;
    const char *keep = text_printf(q, "iota(%lld) <= %s", (long long)c.S, at);
    if (!attribute_int(q, "causal", 1))
        return node_unsupported(q, "queries that see what follows");
    if (window > 0)
        keep = text_printf(q, "%s and iota(%lld) > %s - %lld", keep, (long long)c.S, at,
                           (long long)window);
    if (attribute_float(q, "scale", 0) != 0)
        more = text_printf(q, ", scale=%s", text_float(q, attribute_float(q, "scale", 0)));
    if (attribute_float(q, "softcap", 0) != 0)
        more = text_printf(q, "%s, cap=%s", more, text_float(q, attribute_float(q, "softcap", 0)));
    if (!node_tmps(q, 5, hints, parts, "grouped_attention(%s, %s, %s, keep=%s%s%s%s)", c.q, k, v,
                   keep, *bias ? ", bias=" : "", bias, more))
        return false;
    return node_let(q, 0, "rearrange(\"b h t d -> b t (h d)\", %s)", parts[0]) &&
           node_let(q, 1, "%s", k) && node_let(q, 2, "%s", v);
}

/* ---- Weights of few bits ---- */

bool map_matmul_bits(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *b = node_arg(q, 1), *scale = node_arg(q, 2);
    const char *zero = node_has(q, 3) ? node_arg(q, 3) : "";
    const char *bias = node_has(q, 5) ? node_arg(q, 5) : "";
    long long bits = attribute_int(q, "bits", 4), block = attribute_int(q, "block_size", 0);
    long long rows = attribute_int(q, "N", 0), columns = attribute_int(q, "K", 0);
    if (!a || !b || !scale || !zero || !bias)
        return false;
    if (attribute_int(q, "weight_prepacked", 0) || (bits != 2 && bits != 4 && bits != 8))
        return node_unsupported(q, "weights of %lld bits in an order of their own", bits);
    if (block < 1 || rows < 1 || columns < 1)
        return node_wrong(q, "N, K or block_size is missing");
    long long blocks = (columns - 1) / block + 1;
    if (!*zero)
        zero = text_printf(q, "%d", 1 << (bits - 1));
    else if (node_dtype(q, 3) == DT_U8)
        zero = text_printf(q, "unpacked(reshape(%s, [%lld, %lld]), %lld)[:, ..%lld]", zero, rows,
                           (blocks * bits + 7) / 8, bits, blocks);
    else
        zero = text_printf(q, "reshape(%s, [%lld, %lld])", zero, rows, blocks);
    return node_let(q, 0,
                    "%s @ transpose(of_blocks(unpacked(reshape(%s, [%lld, %lld, %lld]), %lld), "
                    "reshape(%s, [%lld, %lld]), %s)[:, ..%lld])%s%s",
                    a, b, rows, blocks, block * bits / 8, bits, scale, rows, blocks, zero, columns,
                    *bias ? " + " : "", bias);
}
