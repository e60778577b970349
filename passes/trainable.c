/* trainable.c: see trainable.h. A walk down from the float results: an operand is reached through
 * an op that has a derivative; where that is zero by definition nothing passes, and where there is
 * none the op is in the way of what stands below it. */
#include "passes/trainable.h"

#include "ir/op.h"

static bool has_derivative(const OpDef *d)
{
    return d->grad || d->expand || d->lower == LOWER_MOVE;
}

static void note_blocker(Unit *u, Trainable *t, const Node *n)
{
    for (uint32_t i = 0; i < t->blockers.n; i++)
        if (t->blockers.at[i].op == (Op)n->op) {
            t->blockers.at[i].count++;
            return;
        }
    vec_push(u->arena, &t->blockers, (Blocker){ (Op)n->op, n->loc, 1 });
}

static void walk(Unit *u, Trainable *t, const Graph *g)
{
    uint8_t *live = arena_new_array(u->arena, uint8_t, g->nodes.n + 1);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        live[g->outputs.at[i].node] = 1;
    for (NodeId id = g->nodes.n; id-- > 0;) {
        const Node *n = graph_node(g, id);
        const OpDef *d = op_defs[n->op];
        if (!live[id] || !dtype_is_float((Dtype)n->dtype) || d->zero_grad)
            continue;
        if (n->op == OP_tensor)
            t->reached[graph_attr(g, id, "index")->i] = 1;
        if (n->count && !has_derivative(d) && n->op != OP_var)
            note_blocker(u, t, n);
        else
            for (uint32_t k = 0; k < n->count; k++)
                live[graph_operand(g, id, k)] = 1;
    }
}

Trainable trainable_find(Unit *u)
{
    Trainable t = { .reached = arena_new_array(u->arena, uint8_t, u->tensors.n + 1) };
    for (uint32_t i = 0; i < u->entries.n; i++)
        if (u->entries.at[i].kind == ENTRY_EXPORT)
            walk(u, &t, u->entries.at[i].graph);
    return t;
}
