/* verify.c: see verify.h. Types are inferred again in a copy of the graph's header that reports
 * into a compilation of its own, so that a broken rule becomes a sentence here and not a message to
 * the user. */
#include "ir/verify.h"

#include "ir/op.h"

#include <string.h>

static const char *check_shape(Arena *a, const Graph *g, const Shape *s)
{
    int64_t n;
    if (s->rank > MAX_RANK)
        return arena_printf(a, "rank %u", s->rank);
    if (!shape_elements(s, &n))
        return "more elements than 2^63";
    for (uint32_t i = 0; i < s->rank; i++) {
        Dim d = s->dim[i];
        if (d.n < 0 || d.k < 0)
            return arena_printf(a, "axis %u has a negative extent", i);
        if (d.k && d.n != d.k * g->batch_max)
            return arena_printf(a, "axis %u is %lldB but %lld at the maximal batch %lld", i,
                                (long long)d.k, (long long)d.n, (long long)g->batch_max);
    }
    return NULL;
}

static const char *check_attrs(Arena *a, const Graph *g, const Node *n)
{
    const AttrDecl *d = op_defs[n->op]->attrs;
    if (n->attrs >= g->unit->attrs.n)
        return "its attributes are not interned";
    const AttrList *l = &g->unit->attrs.at[n->attrs];
    uint32_t declared = 0;
    for (; d && d[declared].name; declared++)
        if (declared < l->n && l->at[declared].kind != d[declared].kind)
            return arena_printf(a, "attribute `%s` has another kind than declared",
                                d[declared].name);
    if (declared != l->n)
        return arena_printf(a, "%u attributes, %u declared", l->n, declared);
    return NULL;
}

/* g and unit are scratch copies whose diagnostics nobody sees. */
static const char *check_type(Arena *a, Graph *g, const Node *n)
{
    Infer q = { .g = g,
                .op = (Op)n->op,
                .in = n->count ? g->operands.at + n->first : NULL,
                .n = n->count,
                .attrs = g->unit->attrs.at[n->attrs].at };
    uint32_t before = g->unit->cx->diags.n;
    if (!op_defs[n->op]->infer(&q)) {
        const Compiler *cx = g->unit->cx;
        return arena_printf(a, "it breaks its type rule: %s",
                            cx->diags.n > before
                                ? arena_strndup(a, cx->diags.at[before].message,
                                                strlen(cx->diags.at[before].message))
                                : "?");
    }
    const Shape *s = &g->unit->shapes.at[n->shape];
    if (q.dtype == (Dtype)n->dtype && shape_equal(&q.shape, s))
        return NULL;
    return arena_printf(a, "its type is %s%s, its rule says %s%s", dtype_name((Dtype)n->dtype),
                        shape_text(a, s), dtype_name(q.dtype), shape_text(a, &q.shape));
}

static const char *check_node(Arena *a, Graph *g, NodeId id)
{
    const Node *n = &g->nodes.at[id];
    if (n->op >= OP_COUNT)
        return "no such op";
    const OpDef *def = op_defs[n->op];
    if (n->dtype >= DT_COUNT || n->shape >= g->unit->shapes.n)
        return "its type is out of range";
    if ((uint64_t)n->first + n->count > g->operands.n)
        return "its operands are out of range";
    if (n->count < def->min_in || (def->max_in != 255 && n->count > def->max_in))
        return arena_printf(a, "%u operands", n->count);
    for (uint32_t i = 0; i < n->count; i++)
        if (g->operands.at[n->first + i] >= id)
            return arena_printf(a, "operand %u does not come before it", i);
    const char *bad = check_shape(a, g, &g->unit->shapes.at[n->shape]);
    if (!bad)
        bad = check_attrs(a, g, n);
    return bad ? bad : check_type(a, g, n);
}

static const char *check_output(Arena *a, const Graph *g, uint32_t i)
{
    const Output *o = &g->outputs.at[i];
    if (o->node >= g->nodes.n)
        return "it names no node";
    if (o->updates < 0)
        return NULL;
    if ((uint32_t)o->updates >= g->unit->tensors.n)
        return "it updates no tensor";
    const Tensor *t = &g->unit->tensors.at[o->updates];
    if (graph_dtype(g, o->node) != t->dtype || !shape_equal(graph_shape(g, o->node), &t->shape))
        return arena_printf(a, "it is %s%s, the tensor `%s` it updates %s%s",
                            dtype_name(graph_dtype(g, o->node)),
                            shape_text(a, graph_shape(g, o->node)), t->name, dtype_name(t->dtype),
                            shape_text(a, &t->shape));
    for (uint32_t j = 0; j < i; j++)
        if (g->outputs.at[j].updates == o->updates)
            return arena_printf(a, "`%s` is updated twice", t->name);
    return NULL;
}

const char *graph_verify(Arena *a, const Graph *g)
{
    Compiler *cx = compiler_new();
    Unit unit = *g->unit;
    Graph copy = *g;
    unit.cx = cx;
    unit.arena = cx->arena;
    copy.unit = &unit;
    copy.loc = 0;
    const char *bad = NULL;
    for (NodeId id = 0; id < g->nodes.n && !bad; id++) {
        bad = check_node(a, &copy, id);
        if (bad)
            bad = arena_printf(
                a, "in `%s`, node %%%u (`%s`): %s", g->name, id,
                g->nodes.at[id].op < OP_COUNT ? op_defs[g->nodes.at[id].op]->name : "?", bad);
    }
    for (uint32_t i = 0; i < g->outputs.n && !bad; i++) {
        bad = check_output(a, g, i);
        if (bad)
            bad = arena_printf(a, "in `%s`, output `%s`: %s", g->name, g->outputs.at[i].name, bad);
    }
    compiler_free(cx);
    return bad;
}

static const char *check_tensor(Arena *a, const Unit *u, uint32_t i)
{
    const Tensor *t = &u->tensors.at[i];
    for (uint32_t k = 0; k < t->shape.rank; k++)
        if (t->shape.dim[k].k)
            return arena_printf(a, "tensor `%s` depends on the batch", t->name);
    if (t->owner >= 0 && (uint32_t)t->owner >= u->tensors.n)
        return arena_printf(a, "tensor `%s` belongs to no tensor", t->name);
    return NULL;
}

const char *unit_verify(Arena *a, const Unit *u)
{
    const char *bad = NULL;
    for (uint32_t i = 0; i < u->tensors.n && !bad; i++)
        bad = check_tensor(a, u, i);
    for (uint32_t i = 0; i < u->entries.n && !bad; i++) {
        for (uint32_t j = 0; j < i && !bad; j++)
            if (!strcmp(u->entries.at[i].name, u->entries.at[j].name))
                bad = arena_printf(a, "two entries `%s`", u->entries.at[i].name);
        if (!bad)
            bad = graph_verify(a, u->entries.at[i].graph);
    }
    return bad;
}
