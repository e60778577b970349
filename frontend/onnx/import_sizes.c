/* import_sizes.c: integers that follow from the batch, as c + k*B.
 *
 * Exported files compute shapes: Shape, Gather, Mul, Concat, Reshape. Where the batch is chosen at
 * run time such an element is no number, but nearly always a multiple of B, or no function of it.
 * Small integer nodes of the scratch graph are followed as two tensors, c and k. What moves or adds
 * elements does the same to both, by the op's own reference; a product needs one factor without B;
 * a quotient must divide both; a comparison must come out the same for every B >= 1. All else is
 * not known. */
#include "frontend/onnx/import.h"
#include "ir/value.h"

#include <string.h>

/* Sums and products of so many such numbers stay within int64. */
enum { MOST_ELEMENTS = 64, MOST_OPERANDS = 16 };
static const int64_t LARGEST = INT64_C(1) << 30;

typedef struct {
    Import *im;
    NodeId id;
    const Node *node;
    const Sized *in[MOST_OPERANDS];
    Sized *out;
} Step;

static bool is_plain(const Sized *x)
{
    for (int64_t i = 0; i < x->c.count; i++)
        if (x->k.i[i])
            return false;
    return true;
}

static bool is_small(const Sized *x)
{
    for (int64_t i = 0; i < x->c.count; i++)
        if (x->c.i[i] > LARGEST || x->c.i[i] < -LARGEST || x->k.i[i] > LARGEST ||
            x->k.i[i] < -LARGEST)
            return false;
    return true;
}

/* The node's reference on one part of its operands. */
static bool operate_part(Step *s, bool multiples, Value *out)
{
    Value in[MOST_OPERANDS];
    for (uint32_t i = 0; i < s->node->count; i++)
        in[i] = multiples ? s->in[i]->k : s->in[i]->c;
    Ref q = { .g = s->im->g, .node = s->id, .arena = s->im->a, .in = in, .n = s->node->count,
              .batch = 1, .out = out };
    return value_of_node(&q);
}

/* Elements go elsewhere, or are added: (c + kB) does so part by part. Indices and conditions are
 * the same for both parts. */
static bool linear(Step *s, int32_t chooser)
{
    if (!operate_part(s, false, &s->out->c))
        return false;
    Sized both;
    if (chooser >= 0) {
        if (!is_plain(s->in[chooser]))
            return false;
        both = *s->in[chooser];
        both.k = both.c;
        s->in[chooser] = &both;
    }
    return operate_part(s, true, &s->out->k);
}

/* The signs that c + kB can have, from the least to the largest, over every B >= 1. */
typedef struct {
    int low, high;
} Signs;

static Signs signs_of(int64_t c, int64_t k)
{
    int first = (c + k > 0) - (c + k < 0);
    return (Signs){ k < 0 ? -1 : first, k > 0 ? 1 : first };
}

/* What comparing says; false: of some batches this, of others that. */
static bool compare(Op op, Signs s, bool *out)
{
    bool less = s.high < 0, not_less = s.low >= 0, more = s.low > 0, not_more = s.high <= 0;
    bool equal = !s.low && !s.high, unequal = less || more;
    switch ((int)op) {
    case OP_eq: return (*out = equal) || unequal;
    case OP_ne: return (*out = unequal) || equal;
    case OP_lt: return (*out = less) || not_less;
    case OP_le: return (*out = not_more) || more;
    case OP_gt: return (*out = more) || not_more;
    default: return (*out = not_less) || less;
    }
}

static bool pair(Op op, const int64_t c[2], const int64_t k[2], int64_t *out_c, int64_t *out_k)
{
    bool yes;
    *out_k = 0;
    switch ((int)op) {
    case OP_mul:
        *out_c = c[0] * c[1];
        *out_k = c[0] * k[1] + k[0] * c[1];
        return !k[0] || !k[1];
    case OP_div:
    case OP_floordiv:
        if (k[1] || !c[1] || c[0] % c[1] || k[0] % c[1])
            return false;
        *out_c = c[0] / c[1];
        *out_k = k[0] / c[1];
        return true;
    default: break;
    }
    bool chooses = op == OP_maximum || op == OP_minimum;
    if (!compare(op == OP_maximum ? OP_ge : op == OP_minimum ? OP_le : op,
                 signs_of(c[0] - c[1], k[0] - k[1]), &yes))
        return false;
    *out_c = chooses ? c[!yes] : yes;
    *out_k = chooses ? k[!yes] : 0;
    return true;
}

static bool pairs(Step *s)
{
    for (int64_t i = 0; i < s->out->c.count; i++) {
        int64_t c[2] = { s->in[0]->c.i[i], s->in[1]->c.i[i] };
        int64_t k[2] = { s->in[0]->k.i[i], s->in[1]->k.i[i] };
        if (!pair((Op)s->node->op, c, k, &s->out->c.i[i], &s->out->k.i[i]))
            return false;
    }
    return true;
}

/* The product of all elements: how many a tensor has. */
static bool product(Step *s)
{
    const Sized *x = s->in[0];
    int64_t c[2] = { 1, 0 }, k[2] = { 0, 0 };
    for (int64_t i = 0; i < x->c.count; i++) {
        int64_t to_c, to_k;
        c[1] = x->c.i[i], k[1] = x->k.i[i];
        if (!pair(OP_mul, c, k, &to_c, &to_k) || to_c > LARGEST || to_c < -LARGEST ||
            to_k > LARGEST || to_k < -LARGEST)
            return false;
        c[0] = to_c, k[0] = to_k;
    }
    s->out->c.i[0] = c[0];
    s->out->k.i[0] = k[0];
    return s->out->c.count == 1;
}

static bool operate(Step *s)
{
    bool plain = true;
    for (uint32_t i = 0; i < s->node->count; i++)
        plain &= is_plain(s->in[i]);
    switch ((int)s->node->op) {
    case OP_batch: s->out->k.i[0] = graph_attr(s->im->g, s->id, "k")->i; return true;
    case OP_constant:
        s->out->c = value_from_bytes(s->im->a, graph_dtype(s->im->g, s->id),
                                     graph_shape(s->im->g, s->id),
                                     graph_attr(s->im->g, s->id, "data")->data);
        return true;
    case OP_reshape:
    case OP_transpose:
    case OP_broadcast:
    case OP_slice:
    case OP_flip:
    case OP_concat:
    case OP_neg:
    case OP_add:
    case OP_sub:
    case OP_reduce_sum: return linear(s, -1);
    case OP_cast: return (plain || s->out->c.dtype != DT_BOOL) && linear(s, -1);
    case OP_gather: return linear(s, 1);
    case OP_select: return linear(s, 0);
    case OP_mul:
    case OP_div:
    case OP_floordiv:
    case OP_maximum:
    case OP_minimum:
    case OP_eq:
    case OP_ne:
    case OP_lt:
    case OP_le:
    case OP_gt:
    case OP_ge: return plain ? operate_part(s, false, &s->out->c) : pairs(s);
    case OP_reduce_prod: return plain ? operate_part(s, false, &s->out->c) : product(s);
    case OP_not:
    case OP_and:
    case OP_or:
    case OP_iota: return plain && operate_part(s, false, &s->out->c);
    default: return false;
    }
}

/* Integers wide enough for an extent, or what a comparison gives; few, and as many for every B. */
static bool may_be_known(const Graph *g, NodeId id)
{
    Dtype t = graph_dtype(g, id);
    const Shape *s = graph_shape(g, id);
    int64_t n;
    for (uint32_t i = 0; i < s->rank; i++)
        if (s->dim[i].k)
            return false;
    return (t == DT_I64 || t == DT_I32 || t == DT_BOOL) && shape_elements(s, &n) &&
           n <= MOST_ELEMENTS && graph_node(g, id)->count <= MOST_OPERANDS;
}

static const Sized *follow(Import *im, NodeId id)
{
    Graph *g = im->g;
    Step s = { .im = im, .id = id, .node = graph_node(g, id) };
    if (!may_be_known(g, id))
        return NULL;
    for (uint32_t i = 0; i < s.node->count; i++)
        if (!(s.in[i] = im->sized.at[graph_operand(g, id, i)]))
            return NULL;
    s.out = arena_make(im->a, Sized);
    s.out->c = value_new(im->a, graph_dtype(g, id), graph_shape(g, id), 1);
    s.out->k = value_new(im->a, graph_dtype(g, id), graph_shape(g, id), 1);
    return operate(&s) && is_small(s.out) ? s.out : NULL;
}

const Sized *import_sized(Import *im, NodeId id)
{
    while (im->sized.n <= id) {
        const Sized *next = follow(im, im->sized.n);
        vec_push(im->a, &im->sized, next);
    }
    return im->sized.at[id];
}

bool node_dims(OnnxNode *q, uint32_t input, Shape *out)
{
    Ints plain;
    OnnxValue *v = node_value(q, input);
    const Sized *x = v && !v->data ? import_sized(q->im, v->val.node) : NULL;
    int64_t n = x ? x->c.count : 0;
    bool multiples = n > 0;
    *out = (Shape){ 0 };
    for (int64_t i = 0; i < n; i++)
        multiples &= x->k.i[i] ? !x->c.i[i] && x->k.i[i] > 0 : true;
    if (!multiples) { /* numbers, or what makes the batch one */
        if (!node_ints(q, input, &plain))
            return false;
        n = plain.n;
    }
    if (n > MAX_RANK)
        return node_unsupported(q, "more than %d dims", MAX_RANK);
    for (; out->rank < n; out->rank++) {
        int64_t i = out->rank, k = multiples ? x->k.i[i] : 0;
        Dim d = k ? (Dim){ 0, k } : dim_of(multiples ? x->c.i[i] : plain.at[i]);
        if (k && __builtin_mul_overflow(k, q->im->batch_max, &d.n))
            return node_wrong(q, "too many elements");
        out->dim[i] = d;
    }
    return true;
}
