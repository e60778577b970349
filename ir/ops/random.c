/* random.c: keyed random numbers: a function of (seed, key, site, element), the same on any thread
 * and in any order.
 *
 * The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
 * 1, 2, 3", 2011), mapped as the runtime's random.h says: key = seed lo, seed hi; counter = element
 * lo, element hi, key lo, site ^ (key hi * 0x9e3779b9), where `key` is the step. Element is the
 * row-major index at the maximal batch. Only random_bits has a kernel; the rest is arithmetic on
 * its words. */
#include "ir/ops/rules.h"

#include <string.h>

typedef struct {
    uint32_t word[4];
} Words;

static Words philox(const uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    Words w = { { counter[0], counter[1], counter[2], counter[3] } };
    for (int round = 0; round < 10; round++, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
        uint64_t a = (uint64_t)w.word[0] * 0xd2511f53u, b = (uint64_t)w.word[2] * 0xcd9e8d57u;
        w = (Words){ { (uint32_t)(b >> 32) ^ w.word[1] ^ key0, (uint32_t)b,
                       (uint32_t)(a >> 32) ^ w.word[3] ^ key1, (uint32_t)a } };
    }
    return w;
}

uint32_t value_random_word(uint64_t seed, uint64_t key, uint32_t site, uint64_t element,
                           uint32_t word)
{
    uint32_t counter[] = { (uint32_t)element, (uint32_t)(element >> 32), (uint32_t)key,
                           site ^ (uint32_t)(key >> 32) * 0x9e3779b9u };
    return philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32)).word[word];
}

static const AttrDecl bits_attrs[] = {
    { .name = "shape", .kind = ATTR_SHAPE, .required = true },
    { .name = "site", .kind = ATTR_INT, .required = true },
    { .name = "word", .kind = ATTR_INT },
    { 0 },
};

/* C1 seed and key are u64 scalars */
static bool keyed(Infer *q, Dtype dtype)
{
    for (uint32_t i = 0; i < 2; i++)
        if (infer_dtype(q, i) != DT_U64 || infer_shape(q, i)->rank)
            return infer_fail(q, DIAG_E0304, "%s is keyed by u64 scalars; this is %s", rule_name(q),
                              rule_type(q, i));
    q->dtype = dtype;
    q->shape = *q->attrs[0].shape;
    return rule_result(q);
}

static bool bits_infer(Infer *q)
{
    return rule_range(q, "word", 0, 3) && keyed(q, DT_U32);
}

static void bits_ref(Ref *q)
{
    const Shape *s = graph_shape(q->g, q->node);
    uint64_t seed = (uint64_t)q->in[0].i[0], key = (uint64_t)q->in[1].i[0];
    uint32_t site = (uint32_t)node_int(q->g, q->node, "site");
    uint32_t word = (uint32_t)node_int(q->g, q->node, "word");
    int64_t at[MAX_RANK] = { 0 }, o = 0;
    if (!q->out->count)
        return;
    do {
        uint64_t element = 0;
        for (uint32_t i = 0; i < s->rank; i++)
            element = element * (uint64_t)s->dim[i].n + (uint64_t)at[i];
        q->out->i[o++] = value_random_word(seed, key, site, element, word);
    } while (index_next(q->out, at));
}

static NodeId word_of(Graph *g, NodeId node, const NodeId *in, int64_t word, Dtype as)
{
    AttrValue attrs[] = { *graph_attr(g, node, "shape"), *graph_attr(g, node, "site"),
                          attr_i(word) };
    return b_cast(g, graph_emit(g, OP_random_bits, in, 2, attrs, 3), as);
}

static NodeId shifted(Graph *g, Op op, NodeId x, int by)
{
    return b_binary(g, op, x, b_like(g, x, by));
}

/* Words w and w + 1 as one u64. */
static NodeId long_word(Graph *g, NodeId node, const NodeId *in, int64_t word)
{
    NodeId high = shifted(g, OP_shl, word_of(g, node, in, word + 1, DT_U64), 32);
    return b_binary(g, OP_or, high, word_of(g, node, in, word, DT_U64));
}

/* [0, 1) from the leading bits that the type holds exactly, so that no rounding gives 1. f64 takes
 * two words. */
static NodeId unit_interval(Graph *g, NodeId node, const NodeId *in, int64_t word, Dtype t)
{
    int digits = t == DT_F64 ? 53 : t == DT_F32 ? 24 : t == DT_F16 ? 11 : 8;
    NodeId bits = t == DT_F64 ? shifted(g, OP_shr, long_word(g, node, in, word), 64 - digits)
                              : shifted(g, OP_shr, word_of(g, node, in, word, DT_U32), 32 - digits);
    return b_scale(g, b_cast(g, bits, t), 1.0 / (double)(INT64_C(1) << digits));
}

static const AttrDecl float_attrs[] = {
    { .name = "shape", .kind = ATTR_SHAPE, .required = true },
    { .name = "site", .kind = ATTR_INT, .required = true },
    { .name = "dtype", .kind = ATTR_DTYPE, .i = DT_F32 },
    { 0 },
};

static bool float_infer(Infer *q)
{
    Dtype t = (Dtype)q->attrs[2].i;
    if (!dtype_is_float(t)) /* C2 */
        return infer_fail(q, DIAG_E0304, "%s gives floats, not %s", rule_name(q), dtype_name(t));
    return keyed(q, t);
}

static NodeId uniform_expand(Graph *g, NodeId node, const NodeId *in)
{
    return unit_interval(g, node, in, 0, graph_dtype(g, node));
}

/* Box and Muller: sqrt(-2 log(1 - u)) cos(2 pi v), u and v in [0, 1), so that the logarithm's
 * argument is never 0. The narrow types compute in f32. */
static NodeId normal_expand(Graph *g, NodeId node, const NodeId *in)
{
    Dtype t = graph_dtype(g, node) == DT_F64 ? DT_F64 : DT_F32;
    NodeId u = unit_interval(g, node, in, 0, t),
           v = unit_interval(g, node, in, t == DT_F64 ? 2 : 1, t);
    NodeId radius = b_scale(g, b_unary(g, OP_log, b_sub(g, b_like(g, u, 1), u)), -2);
    NodeId angle = b_unary(g, OP_cos, b_scale(g, v, 6.283185307179586));
    return b_cast(g, b_mul(g, b_unary(g, OP_sqrt, radius), angle), graph_dtype(g, node));
}

static const AttrDecl integer_attrs[] = {
    { .name = "shape", .kind = ATTR_SHAPE, .required = true },
    { .name = "site", .kind = ATTR_INT, .required = true },
    { .name = "low", .kind = ATTR_INT, .required = true },
    { .name = "high", .kind = ATTR_INT, .required = true },
    { .name = "dtype", .kind = ATTR_DTYPE, .i = DT_I32 },
    { 0 },
};

static bool integer_infer(Infer *q)
{
    Dtype t = (Dtype)q->attrs[4].i;
    int64_t low = q->attrs[2].i, high = q->attrs[3].i;
    if (!dtype_is_integer(t)) /* C2 */
        return infer_fail(q, DIAG_E0304, "%s gives integers, not %s", rule_name(q), dtype_name(t));
    if (low >= high || value_wrap(t, low) != low || value_wrap(t, high - 1) != high - 1 ||
        (!dtype_is_signed(t) && low < 0)) /* C3 */
        return infer_fail(q, DIAG_E0315, "%s needs low < high, both in %s, not %lld and %lld",
                          rule_name(q), dtype_name(t), (long long)low, (long long)high);
    return keyed(q, t);
}

static NodeId constant_like(Graph *g, NodeId x, uint64_t v)
{
    return b_spread_scalar(g, b_data(g, DT_U64, &(Shape){ 0 }, &v), graph_shape(g, x));
}

/* low + floor(w n / 2^64) with n = high - low: the high word of a 64 by 64 bit product, from 32-bit
 * halves of both. */
static NodeId integer_expand(Graph *g, NodeId node, const NodeId *in)
{
    int64_t low = node_int(g, node, "low"), high = node_int(g, node, "high");
    uint64_t n = (uint64_t)high - (uint64_t)low;
    NodeId w0 = word_of(g, node, in, 0, DT_U64), w1 = word_of(g, node, in, 1, DT_U64);
    NodeId n0 = constant_like(g, w0, n & UINT32_MAX), n1 = constant_like(g, w0, n >> 32);
    NodeId carry = b_add(g, b_mul(g, w1, n0), shifted(g, OP_shr, b_mul(g, w0, n0), 32));
    NodeId v = shifted(g, OP_shr, carry, 32);
    if (n >> 32) {
        NodeId low_half = b_binary(g, OP_and, carry, constant_like(g, w0, UINT32_MAX));
        NodeId middle = shifted(g, OP_shr, b_add(g, b_mul(g, w0, n1), low_half), 32);
        v = b_add(g, b_add(g, b_mul(g, w1, n1), v), middle);
    }
    return b_cast(g, b_add(g, v, constant_like(g, v, (uint64_t)low)), graph_dtype(g, node));
}

/* ---- cases ---- */

static const Shape case_shapes[] = {
    { 1, { { 37, 0 } } },          { 2, { { 3, 0 }, { 5, 0 } } }, { 0, { { 0, 0 } } },
    { 2, { { 4, 0 }, { 0, 0 } } }, { 2, { { 0, 1 }, { 7, 0 } } },
};
enum { SHAPES = sizeof case_shapes / sizeof *case_shapes };

static Shape case_shape(const Graph *g, uint32_t i)
{
    Shape s = case_shapes[i];
    for (uint32_t a = 0; a < s.rank; a++)
        s.dim[a].n = s.dim[a].k ? s.dim[a].k * g->batch_max : s.dim[a].n;
    return s;
}

/* seed and key as inputs: 40 bits each, so that both halves count */
static void case_keys(Graph *g, CaseRng *r, NodeId *out_keys)
{
    for (int i = 0; i < 2; i++)
        out_keys[i] = case_input(g, r, DT_U64, 0, NULL, 0, 0x1p40, false);
}

static NodeId bits_cases(Graph *g, CaseRng *r, uint32_t i)
{
    NodeId keys[2];
    if (i >= 2 * SHAPES)
        return NODE_NONE;
    Shape s = case_shape(g, i % SHAPES);
    case_keys(g, r, keys);
    return graph_emit(g, OP_random_bits, keys, 2,
                      (AttrValue[]){ attr_shape(&s), attr_i(i * 77777777), attr_i(i % 4) }, 3);
}

static NodeId float_cases(Graph *g, CaseRng *r, uint32_t i, Op op)
{
    static const Dtype types[] = { DT_F32, DT_F64, DT_F16, DT_BF16 };
    NodeId keys[2];
    if (i >= 4 * SHAPES)
        return NODE_NONE;
    Shape s = case_shape(g, i % SHAPES);
    case_keys(g, r, keys);
    return graph_emit(g, op, keys, 2,
                      (AttrValue[]){ attr_shape(&s), attr_i(i), attr_dtype(types[i / SHAPES]) }, 3);
}

static NodeId uniform_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return float_cases(g, r, i, OP_random_uniform);
}

static NodeId normal_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return float_cases(g, r, i, OP_random_normal);
}

static NodeId integer_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        Dtype dtype;
        int64_t low, high;
    } t[] = {
        { DT_I32, 0, 10 },  { DT_I64, -5, INT64_C(1) << 40 }, { DT_U8, 0, 256 },
        { DT_I32, -3, -2 }, { DT_I64, INT64_MIN, INT64_MAX },
    };
    NodeId keys[2];
    if (i >= SHAPES)
        return NODE_NONE;
    Shape s = case_shape(g, i);
    case_keys(g, r, keys);
    AttrValue attrs[] = { attr_shape(&s), attr_i(i), attr_i(t[i].low), attr_i(t[i].high),
                          attr_dtype(t[i].dtype) };
    return graph_emit(g, OP_random_integer, keys, 2, attrs, 5);
}

const OpDef op_random_bits = {
    .name = "random_bits",
    .doc = "32 random bits an element: word of Philox4x32-10 at (seed, key, site, element)",
    .min_in = 2, .max_in = 2, .attrs = bits_attrs, .infer = bits_infer, .zero_grad = true,
    .ref = bits_ref, .lower = LOWER_INDEX, .cost = 30, .random = true, .cases = bits_cases,
};
const OpDef op_random_uniform = {
    .name = "random_uniform", .doc = "uniform in [0, 1)", .min_in = 2, .max_in = 2,
    .attrs = float_attrs, .infer = float_infer, .zero_grad = true, .expand = uniform_expand,
    .lower = LOWER_EXPAND, .random = true, .cases = uniform_cases,
};
const OpDef op_random_normal = {
    .name = "random_normal", .doc = "normal with mean 0 and deviation 1", .min_in = 2, .max_in = 2,
    .attrs = float_attrs, .infer = float_infer, .zero_grad = true, .expand = normal_expand,
    .lower = LOWER_EXPAND, .random = true, .cases = normal_cases,
};
const OpDef op_random_integer = {
    .name = "random_integer", .doc = "uniform integer, low <= v < high", .min_in = 2, .max_in = 2,
    .attrs = integer_attrs, .infer = integer_infer, .zero_grad = true, .expand = integer_expand,
    .lower = LOWER_EXPAND, .random = true, .cases = integer_cases,
};
