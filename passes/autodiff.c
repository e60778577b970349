/* autodiff.c: resolves `grad` nodes by reverse mode.
 *
 * Needs: any graphs. Gives: no `grad` node.
 * The graph is rebuilt from the front. At the first `grad(y, x)` of a y, all x of that y are served
 * by one sweep down the new graph, from y to the deepest x; its rules emit ordinary nodes behind
 * everything built so far. Operands come before users, so an inner `grad` is resolved before the
 * outer one that reads it, and the outer sweep walks over the inner one's nodes: any order of
 * derivative comes from first-order rules. (Sweeping the old graph instead would meet `grad` nodes
 * on the way.)
 *
 * Only nodes on a path from a wanted x to y take part. An adjoint is a list of contributions,
 * summed when the sweep reaches its node, in the order in which users gave them: last user first.
 * None means zero, and becomes a node only for an x that y does not depend on. Adjoints of 16-bit
 * floats are summed in f32; those of slices that tile an axis are laid side by side. */
#include "passes/autodiff.h"

#include "passes/pass.h"

#include <stdlib.h>

typedef VEC(NodeId) NodeList;

typedef struct {
    GradApply *apply;
    void *state;
} Rules;

typedef struct {
    Graph *g;
    const Rules *rules;
    Arena *scratch;
    uint8_t *needs;     /* by node: float, and a wanted x is among what it depends on */
    NodeList *adjoints; /* by node: contributions */
    NodeId *giver;      /* by node: the user that contributed first */
    NodeId node;        /* where the sweep is */
} Sweep;

static bool operand_needs(const Grad *q, uint32_t operand)
{
    const Sweep *s = q->state;
    return s->needs[q->in[operand]];
}

static void add_contribution(Grad *q, uint32_t operand, NodeId dx)
{
    Sweep *s = q->state;
    if (dx == NODE_NONE || !operand_needs(q, operand))
        return;
    NodeId x = q->in[operand];
    if (graph_dtype(q->g, dx) != graph_dtype(q->g, x) ||
        !shape_equal(graph_shape(q->g, dx), graph_shape(q->g, x))) {
        Arena *a = q->g->unit->arena;
        pass_internal(q->g->unit, q->g->loc,
                      "the derivative of `%s` by operand %u is %s%s, the operand %s%s",
                      op_defs[graph_node(q->g, q->node)->op]->name, operand,
                      dtype_name(graph_dtype(q->g, dx)), shape_text(a, graph_shape(q->g, dx)),
                      dtype_name(graph_dtype(q->g, x)), shape_text(a, graph_shape(q->g, x)));
        q->g->failed = true;
        return;
    }
    if (!s->adjoints[x].n)
        s->giver[x] = s->node;
    vec_push(s->scratch, &s->adjoints[x], dx);
}

/* The axis along which a node pads with zeros, if it does nothing else; -1: another node. */
static int padded_axis(const Graph *g, NodeId id)
{
    if (graph_node(g, id)->op != OP_pad || graph_attr(g, id, "value")->f != 0)
        return -1;
    const int64_t *low = graph_attr(g, id, "low")->ints, *high = graph_attr(g, id, "high")->ints;
    const int64_t *interior = graph_attr(g, id, "interior")->ints;
    int axis = -1;
    for (uint32_t i = 0; i < graph_shape(g, id)->rank; i++) {
        if (interior[i] || (axis >= 0 && (low[i] || high[i])))
            return -1;
        if (low[i] || high[i])
            axis = (int)i;
    }
    return axis;
}

typedef struct {
    int64_t begin, end;
    NodeId inside, pad;
} Tile;

static int tile_order(const void *a, const void *b)
{
    const Tile *s = a, *t = b;
    if (s->begin != t->begin)
        return s->begin < t->begin ? -1 : 1;
    return s->pad < t->pad ? -1 : s->pad > t->pad;
}

/* Derivatives of slices are pads. Where the pads of one axis cover it, each place once, they are
 * laid side by side instead of added: the list gets one concat in their place. */
static void join_tiles(Graph *g, Arena *scratch, NodeList *list)
{
    NodeList inside = { 0 }, rest = { 0 };
    Tile *tiles = arena_new_array(scratch, Tile, list->n);
    int axis = -1;
    for (uint32_t i = 0; i < list->n && axis < 0; i++)
        axis = padded_axis(g, list->at[i]);
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        NodeId t = list->at[i];
        if (axis < 0 || padded_axis(g, t) != axis) {
            vec_push(scratch, &rest, t);
            continue;
        }
        NodeId x = graph_operand(g, t, 0);
        int64_t begin = graph_attr(g, t, "low")->ints[axis];
        tiles[n++] = (Tile){ begin, begin + graph_shape(g, x)->dim[axis].n, x, t };
    }
    if (n < 2)
        return;
    qsort(tiles, n, sizeof *tiles, tile_order);
    bool covers = tiles[0].begin == 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t next = i + 1 < n ? tiles[i + 1].begin : graph_shape(g, tiles[i].pad)->dim[axis].n;
        covers &= tiles[i].end == next;
        vec_push(scratch, &inside, tiles[i].inside);
    }
    if (!covers)
        return;
    vec_push(scratch, &rest, b_concat(g, inside.at, n, (uint32_t)axis));
    *list = rest;
}

static NodeId sum_adjoint(Graph *g, const NodeList *list)
{
    NodeId sum = list->at[0];
    if (list->n == 1)
        return sum;
    Dtype t = graph_dtype(g, sum), wide = t == DT_F16 || t == DT_BF16 ? DT_F32 : t;
    sum = wide == t ? sum : b_cast(g, sum, wide);
    for (uint32_t i = 1; i < list->n; i++)
        sum = b_add(g, sum, wide == t ? list->at[i] : b_cast(g, list->at[i], wide));
    return wide == t ? sum : b_cast(g, sum, t);
}

/* Says which op has no derivative, and by which ops the sweep came to it from y. */
static void report_path(const Sweep *s, NodeId y)
{
    enum { MAX_STEPS = 12 };
    const Graph *g = s->g;
    Compiler *cx = g->unit->cx;
    const Node *n = graph_node(g, s->node);
    uint32_t d =
        diag_report(cx, DIAG_E0503, n->loc, "`%s` has no derivative", op_defs[n->op]->name);
    const char *path = op_defs[n->op]->name;
    NodeId at = s->node;
    for (int i = 0; at != y; i++) {
        at = s->giver[at];
        if (i < MAX_STEPS || at == y)
            path = arena_printf(cx->arena, "%s, %s", path, op_defs[graph_node(g, at)->op]->name);
        else if (i == MAX_STEPS)
            path = arena_printf(cx->arena, "%s, ...", path);
    }
    diag_add(cx, d, DIAG_NOTE, graph_node(g, y)->loc,
             "the value to differentiate depends on it through %s", path);
    diag_add(cx, d, DIAG_HELP, 0, "if no gradient should pass here, say so with `stop_gradient`");
}

static bool step_back(Sweep *s, NodeId y, NodeId dy)
{
    Graph *g = s->g;
    NodeId id = s->node;
    Node n = *graph_node(g, id); /* copies: emitting moves the arrays */
    NodeId *in = arena_new_array(s->scratch, NodeId, n.count);
    bool wanted = false;
    for (uint32_t i = 0; i < n.count; i++) {
        in[i] = graph_operand(g, id, i);
        wanted |= s->needs[in[i]];
    }
    if (!wanted || op_defs[n.op]->zero_grad)
        return true;
    if (!op_defs[n.op]->grad) {
        report_path(s, y);
        return false;
    }
    Grad q = { .g = g,
               .node = id,
               .dy = dy,
               .in = in,
               .n = n.count,
               .add = add_contribution,
               .needs = operand_needs,
               .state = s };
    uint32_t errors = g->unit->cx->errors;
    g->loc = n.loc;
    s->rules->apply(&q, s->rules->state);
    if (g->failed && g->unit->cx->errors > errors)
        return false; /* the rule said what it cannot do */
    return !g->failed || pass_internal(g->unit, n.loc, "the derivative of `%s` is ill-typed",
                                       op_defs[n.op]->name);
}

static void mark_needs(Sweep *s, NodeId y, const NodeId *x, uint32_t n)
{
    const Graph *g = s->g;
    for (uint32_t i = 0; i < n; i++)
        if (x[i] <= y)
            s->needs[x[i]] = 1;
    for (NodeId id = 0; id <= y; id++) {
        const Node *node = graph_node(g, id);
        if (!dtype_is_float((Dtype)node->dtype) || op_defs[node->op]->zero_grad)
            continue;
        for (uint32_t i = 0; i < node->count; i++)
            s->needs[id] |= s->needs[graph_operand(g, id, i)];
    }
}

/* out_dx[i] = dy/dx[i], emitted into g, which has all of these nodes. */
static bool sweep(Graph *g, const Rules *rules, NodeId y, const NodeId *x, uint32_t n,
                  NodeId *out_dx)
{
    Arena *scratch = arena_new();
    Sweep s = { .g = g, .rules = rules, .scratch = scratch };
    s.needs = arena_alloc(scratch, (size_t)y + 1);
    s.adjoints = arena_new_array(scratch, NodeList, (size_t)y + 1);
    s.giver = pass_new_map(scratch, y + 1);
    NodeId *total = pass_new_map(scratch, y + 1);
    mark_needs(&s, y, x, n);
    bool ok = true;
    g->loc = graph_node(g, y)->loc;
    if (s.needs[y])
        vec_push(scratch, &s.adjoints[y], b_const(g, graph_dtype(g, y), 1));
    for (s.node = y + 1; ok && s.node-- > 0;) {
        if (!s.adjoints[s.node].n)
            continue;
        g->loc = graph_node(g, s.node)->loc;
        join_tiles(g, scratch, &s.adjoints[s.node]);
        total[s.node] = sum_adjoint(g, &s.adjoints[s.node]);
        ok = step_back(&s, y, total[s.node]);
    }
    for (uint32_t i = 0; ok && i < n; i++) {
        g->loc = graph_node(g, x[i])->loc;
        out_dx[i] = x[i] <= y && total[x[i]] != NODE_NONE ? total[x[i]] : b_like(g, x[i], 0);
    }
    arena_free(scratch);
    return ok;
}

/* Resolves old's grad node `id` and every other grad of the same y whose x has been built. */
static bool resolve(Graph *g, const Rules *rules, const Graph *old, const uint8_t *live, NodeId id,
                    NodeId *map)
{
    NodeId y = graph_operand(old, id, 0);
    NodeList grads = { 0 }, x = { 0 };
    Arena *a = arena_new();
    for (NodeId k = id; k < old->nodes.n; k++)
        if (live[k] && graph_node(old, k)->op == OP_grad && graph_operand(old, k, 0) == y &&
            map[graph_operand(old, k, 1)] != NODE_NONE) {
            vec_push(a, &grads, k);
            vec_push(a, &x, map[graph_operand(old, k, 1)]);
        }
    NodeId *dx = pass_new_map(a, grads.n);
    bool ok = sweep(g, rules, map[y], x.at, x.n, dx);
    for (uint32_t i = 0; ok && i < grads.n; i++)
        map[grads.at[i]] = dx[i];
    arena_free(a);
    return ok;
}

static Graph *differentiate(const Graph *old, const Rules *rules)
{
    Arena *a = arena_new();
    uint8_t *live = graph_live(a, old);
    NodeId *map = pass_new_map(a, old->nodes.n);
    Graph *g = pass_begin(old);
    bool ok = true;
    for (NodeId id = 0; ok && id < old->nodes.n; id++) {
        if (!live[id] || map[id] != NODE_NONE)
            continue;
        if (graph_node(old, id)->op == OP_grad)
            ok = resolve(g, rules, old, live, id, map);
        else
            ok = pass_copy(g, old, id, map) != NODE_NONE ||
                 pass_internal(g->unit, graph_node(old, id)->loc, "a node cannot be emitted again");
    }
    ok = ok && pass_end(g, old, map);
    arena_free(a);
    return ok ? g : NULL;
}

static bool has_grad(const Graph *g)
{
    for (NodeId id = 0; id < g->nodes.n; id++)
        if (graph_node(g, id)->op == OP_grad)
            return true;
    return false;
}

static void apply_own(Grad *q, void *state)
{
    (void)state;
    op_defs[graph_node(q->g, q->node)->op]->grad(q);
}

Graph *autodiff_graph(const Graph *old)
{
    Rules rules = { apply_own, NULL };
    return differentiate(old, &rules);
}

bool autodiff_with(Unit *u, GradApply *apply, void *state)
{
    Rules rules = { apply, state };
    bool ok = true;
    for (uint32_t i = 0; i < u->entries.n; i++) {
        Graph *g = u->entries.at[i].graph;
        if (!has_grad(g))
            continue;
        g = differentiate(g, &rules);
        if (g)
            u->entries.at[i].graph = g;
        ok &= g != NULL;
    }
    return ok;
}

bool pass_autodiff(Unit *u)
{
    return autodiff_with(u, apply_own, NULL);
}
