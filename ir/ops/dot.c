/* dot.c: sums of products in einsum notation.
 *
 * A spec "bik,bjk->bij" names the axes of both operands and the result. A letter stands once in an
 * operand. What is only in one operand and not in the result is summed there first, and where
 * nothing is summed over both the product is written out, so that a `dot` that remains is a matrix
 * product: batch letters, rows, columns, sums. */
#include "ir/ops/rules.h"

#include <string.h>

static const AttrDecl dot_attrs[] = { { .name = "spec", .kind = ATTR_STRING, .required = true },
                                      { 0 } };

/* The letters of a, b and the result, each by axis. */
typedef struct {
    char a[MAX_RANK + 1], b[MAX_RANK + 1], out[MAX_RANK + 1];
} Spec;

static const char *take_letters(const char *s, char *out_letters)
{
    int n = 0;
    for (; (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z'); s++) {
        if (n == MAX_RANK || memchr(out_letters, *s, (size_t)n))
            return NULL;
        out_letters[n++] = *s;
    }
    out_letters[n] = 0;
    return s;
}

static bool spec_read(const char *s, Spec *out_spec)
{
    s = take_letters(s, out_spec->a);
    if (!s || *s != ',')
        return false;
    s = take_letters(s + 1, out_spec->b);
    if (!s || s[0] != '-' || s[1] != '>')
        return false;
    s = take_letters(s + 2, out_spec->out);
    return s && !*s;
}

static Spec node_spec(const Graph *g, NodeId id)
{
    Spec s = { 0 };
    spec_read(graph_attr(g, id, "spec")->s, &s);
    return s;
}

static NodeId emit_dot(Graph *g, NodeId a, NodeId b, const char *la, const char *lb,
                       const char *out)
{
    char spec[3 * MAX_RANK + 4];
    char *p = stpcpy(spec, la);
    p = stpcpy(stpcpy(p, ","), lb);
    stpcpy(stpcpy(p, "->"), out);
    return b_dot(g, a, b, spec);
}

static bool dot_infer(Infer *q)
{
    Spec s = { 0 };
    const Shape *a = infer_shape(q, 0), *b = infer_shape(q, 1);
    const char *text = q->attrs[0].s;
    Dtype t = infer_dtype(q, 0);
    if (!rule_same_dtype(q, 0, 1)) /* C1 */
        return false;
    if (!dtype_is_float(t) && t != DT_I32 && t != DT_I64) /* C2 */
        return infer_fail(q, DIAG_E0304, "`@` needs floats, i32 or i64; this is %s",
                          rule_type(q, 0));
    if (!spec_read(text, &s)) /* C3: two operands, a result, no letter twice in one of them */
        return infer_fail(q, DIAG_E0317, "einsum \"%s\" is not of the form \"ik,kj->ij\"", text);
    if (strlen(s.a) != a->rank || strlen(s.b) != b->rank) /* C4: a letter for each axis */
        return infer_fail(q, DIAG_E0317, "einsum \"%s\" names %d and %d axes of %s and %s", text,
                          (int)strlen(s.a), (int)strlen(s.b), rule_type(q, 0), rule_type(q, 1));
    for (uint32_t i = 0; i < a->rank; i++) {
        const char *other = strchr(s.b, s.a[i]);
        if (other && !dim_equal(a->dim[i], b->dim[other - s.b])) { /* C5: one extent a letter */
            Shape left = { 1, { a->dim[i] } }, right = { 1, { b->dim[other - s.b] } };
            const char *x = shape_text(q->g->unit->arena, &left),
                       *y = shape_text(q->g->unit->arena, &right);
            return infer_fail(q, DIAG_E0312, "`@` needs equal %s dimensions: %.*s and %.*s",
                              strchr(s.out, s.a[i]) ? "batch" : "inner", (int)strlen(x) - 2, x + 1,
                              (int)strlen(y) - 2, y + 1);
        }
    }
    for (const char *l = s.out; *l; l++) {
        const char *in_a = strchr(s.a, *l), *in_b = strchr(s.b, *l);
        if (!in_a && !in_b) /* C6: the result's letters stand in an operand */
            return infer_fail(q, DIAG_E0317, "einsum \"%s\": no operand has the axis %c", text, *l);
        q->shape.dim[q->shape.rank++] = in_a ? a->dim[in_a - s.a] : b->dim[in_b - s.b];
    }
    q->dtype = t;
    return rule_result(q);
}

/* da sums dy with b over what a lacks; every letter of a stands in b or the result (see the
 * fold). */
static void dot_grad(Grad *q)
{
    Spec s = node_spec(q->g, q->node);
    if (q->needs(q, 0))
        q->add(q, 0, emit_dot(q->g, q->dy, q->in[1], s.out, s.b, s.a));
    if (q->needs(q, 1))
        q->add(q, 1, emit_dot(q->g, q->in[0], q->dy, s.a, s.out, s.b));
}

/* The offset in an operand whose axes are `letters`, for the value of each letter. */
static int64_t letter_offset(const Value *x, const char *letters, const int64_t *value)
{
    int64_t o = 0;
    for (uint32_t i = 0; i < x->rank; i++)
        o = o * x->dim[i] + value[(unsigned char)letters[i]];
    return o;
}

/* All letters as one nest, the result's outermost. */
static void dot_ref(Ref *q)
{
    Spec s = node_spec(q->g, q->node);
    const Value *a = &q->in[0], *b = &q->in[1];
    char letters[2 * MAX_RANK + 1];
    int64_t extent[128] = { 0 }, value[128] = { 0 };
    uint32_t n = 0;
    strcpy(letters, s.out);
    n = (uint32_t)strlen(letters);
    for (uint32_t i = 0; i < a->rank + b->rank; i++) {
        char l = i < a->rank ? s.a[i] : s.b[i - a->rank];
        extent[(unsigned char)l] = i < a->rank ? a->dim[i] : b->dim[i - a->rank];
        if (!memchr(letters, l, n))
            letters[n++] = l;
    }
    if (!a->count || !b->count)
        return;
    for (uint32_t i = n; i > 0;) {
        int64_t o = letter_offset(q->out, s.out, value), x = letter_offset(a, s.a, value),
                y = letter_offset(b, s.b, value);
        if (dtype_is_float(a->dtype))
            q->out->f[o] += a->f[x] * b->f[y];
        else
            q->out->i[o] = value_wrap(a->dtype, (int64_t)((uint64_t)q->out->i[o] +
                                                          (uint64_t)a->i[x] * (uint64_t)b->i[y]));
        for (i = n; i > 0; i--) {
            unsigned char l = (unsigned char)letters[i - 1];
            if (++value[l] < extent[l])
                break;
            value[l] = 0;
        }
    }
}

/* x without its axes whose letters are in neither of the others; `letters` becomes what is left. */
static NodeId sum_alone(Graph *g, NodeId x, char *letters, const char *other, const char *out)
{
    int64_t axes[MAX_RANK];
    uint32_t n = 0, left = 0;
    for (uint32_t i = 0; letters[i]; i++)
        if (strchr(other, letters[i]) || strchr(out, letters[i]))
            letters[left++] = letters[i];
        else
            axes[n++] = i;
    letters[left] = 0;
    return n ? b_reduce(g, OP_reduce_sum, x, axes, n, false) : x;
}

/* x with its axes in the order of the result, extents 1 where it lacks one, repeated to the
 * result. */
static NodeId spread_letters(Graph *g, NodeId x, const char *letters, const char *out,
                             const Shape *shape)
{
    int64_t perm[MAX_RANK];
    uint32_t n = 0;
    Shape ones = { .rank = shape->rank };
    for (uint32_t i = 0; i < shape->rank; i++) {
        const char *at = strchr(letters, out[i]);
        ones.dim[i] = at ? shape->dim[i] : dim_of(1);
        if (at)
            perm[n++] = at - letters;
    }
    return b_broadcast(g, b_reshape(g, b_transpose(g, x, perm), &ones), shape);
}

FOLD(dot_fold)
{
    FOLD_UNUSED;
    Spec s = { 0 };
    spec_read(attrs[0].s, &s);
    NodeId a = sum_alone(g, in[0], s.a, s.b, s.out), b = sum_alone(g, in[1], s.b, s.a, s.out);
    if (a != in[0] || b != in[1])
        return emit_dot(g, a, b, s.a, s.b, s.out);
    for (uint32_t i = 0; s.a[i]; i++)
        if (!strchr(s.out, s.a[i]))
            return NODE_NONE;
    Shape wide = *shape;
    return b_mul(g, spread_letters(g, a, s.a, s.out, &wide),
                 spread_letters(g, b, s.b, s.out, &wide));
}

static NodeId dot_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_I64, DT_F16, DT_BF16 };
    static const struct {
        const char *spec;
        uint32_t ra, rb;
        int64_t a[4], b[4];
    } t[] = {
        { "ik,kj->ij", 2, 2, { 3, 5 }, { 5, 7 } },
        { "ik,jk->ij", 2, 2, { 7, 11 }, { 3, 11 } },
        { "ki,kj->ij", 2, 2, { 13, 5 }, { 13, 3 } },
        { "bik,bkj->bij", 3, 3, { 2, 3, 5 }, { 2, 5, 7 } },
        { "bhik,bhjk->bhij", 4, 4, { 2, 3, 5, 7 }, { 2, 3, 2, 7 } },
        { "i,i->", 1, 1, { 17 }, { 17 } },
        { "ik,k->i", 2, 1, { 5, 7 }, { 7 } },
        { "i,j->ij", 1, 1, { 3 }, { 5 } },
        { "ik,kj->ij", 2, 2, { -1, 5 }, { 5, 3 } },
        { "ki,kj->ij", 2, 2, { -1, 5 }, { -1, 3 } },
        { "ik,kj->ji", 2, 2, { 3, 0 }, { 0, 2 } },
        { "ikl,kj->ij", 3, 2, { 3, 5, 2 }, { 5, 7 } },
        { ",i->i", 0, 1, { 0 }, { 4 } },
        { "ik,kj->ij", 2, 2, { 67, 129 }, { 129, 65 } },
        { "bikl,jkl->bij", 4, 3, { -1, 3, 2, 5 }, { 4, 2, 5 } },
        { "ik,kj->ij", 2, 2, { 1, 1 }, { 1, 1 } },
    };
    enum { COUNT = sizeof t / sizeof *t, SOME = 6 };
    if (i >= 3 * COUNT + 3 * SOME)
        return NODE_NONE;
    Dtype type = i < 3 * COUNT ? types[i / COUNT] : types[3 + (i - 3 * COUNT) / SOME];
    i = i < 3 * COUNT ? i % COUNT : (i - 3 * COUNT) % SOME * 2;
    NodeId a = case_input(g, r, type, t[i].ra, t[i].a, -2, 2, false);
    return b_dot(g, a, case_input(g, r, type, t[i].rb, t[i].b, -2, 2, false), t[i].spec);
}

const OpDef op_dot = {
    .name = "dot", .written = "@", .doc = "sum of products over the letters that the result lacks",
    .min_in = 2, .max_in = 2, .attrs = dot_attrs, .infer = dot_infer, .grad = dot_grad,
    .ref = dot_ref, .fold = dot_fold, .lower = LOWER_CONTRACT, .cases = dot_cases,
};
