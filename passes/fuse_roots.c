/* fuse_roots.c: chooses which values are stored (roots).
 *
 * Needs: primitive graphs. Gives: f->root, f->anchor.
 * Stored are: results of the entry, anchors (reductions, contractions, calls, scatters,
 * concatenations), what an access cannot reach through an index map, and values whose bytes cost
 * less than computing them again in every kernel that needs them. An anchor absorbs the chain of
 * element-wise users that only it feeds, with detours that come together again, as in x
 * sigmoid(x): no cycle can arise, since nothing else in the chain's kernel can depend on the
 * anchor. Everything else is inlined into its users. Fusing greedily along edges instead would make
 * cycles: a -> k1 -> b and a -> b in one kernel. */
#include "passes/fuse.h"

#include <string.h>

enum {
    RECOMPUTE_LIMIT =
        6, /* cost (simple operations) from which on a value needed by several kernels is stored */
    SPREAD_LIMIT =
        3, /* the same for a value that a broadcast or overlapping windows would repeat */
    EPILOGUE_LIMIT = 24,
    DETOUR_LIMIT = 16, /* values between one and where all that is made of it comes together */
    DETOUR_SPAN = 256, /* nodes that are looked at for that */
    EXPRESSION_LIMIT = 96 /* operations inlined into one expression */
};

static LowerKind lower_of(const Graph *g, NodeId n)
{
    return op_defs[graph_node(g, n)->op]->lower;
}

static bool is_leaf(const Graph *g, NodeId n)
{
    return lower_of(g, n) == LOWER_NONE;
}

/* Leaves that are memory; the others (batch) are computed where they are needed. */
static bool is_memory(const Graph *g, NodeId n)
{
    return is_leaf(g, n) && graph_node(g, n)->op != OP_batch;
}

/* One number, spread or not: it becomes a constant of the kernel, and nothing is loaded. */
static bool is_number(const Graph *g, NodeId n)
{
    while (lower_of(g, n) == LOWER_MOVE)
        n = graph_operand(g, n, 0);
    return graph_node(g, n)->op == OP_constant &&
           graph_attr(g, n, "data")->count == dtype_size(graph_dtype(g, n));
}

bool fuse_is_gemm(const Graph *g, NodeId dot)
{
    const char *spec = graph_attr(g, dot, "spec")->s;
    const char *comma = strchr(spec, ','), *arrow = strstr(spec, "->");
    if (!dtype_is_float(graph_dtype(g, dot)) || dtype_size(graph_dtype(g, dot)) < 4)
        return false;
    if (is_number(g, graph_operand(g, dot, 0)) || is_number(g, graph_operand(g, dot, 1)))
        return false; /* micro-kernels load both operands */
    double m = 1, n = 1, k = 1;
    for (uint32_t side = 0; side < 2; side++) {
        const char *from = side ? comma + 1 : spec, *to = side ? arrow : comma;
        const char *other = side ? spec : comma + 1;
        size_t other_n = (size_t)(side ? comma - spec : arrow - comma - 1);
        const Shape *s = graph_shape(g, graph_operand(g, dot, side));
        for (const char *p = from; p < to; p++) {
            bool in_other = memchr(other, *p, other_n) != NULL,
                 in_result = strchr(arrow + 2, *p) != NULL;
            double extent = (double)s->dim[p - from].n;
            if (in_result && !in_other)
                *(side ? &n : &m) *= extent;
            else if (!in_result && !side)
                k *= extent;
        }
    }
    return m > 1 && n > 1 && k > 1 && m * n * k > 512;
}

static bool is_anchor(const Graph *g, NodeId n)
{
    LowerKind l = lower_of(g, n);
    return l == LOWER_REDUCE || l == LOWER_CONTRACT || l == LOWER_ARG_REDUCE;
}

static bool always_stored(const Graph *g, NodeId n)
{
    LowerKind l = lower_of(g, n);
    return l == LOWER_SCAN || l == LOWER_SCATTER || l == LOWER_CONCAT || l == LOWER_CALL;
}

/* A move that neither repeats nor drops elements nor needs guards: an epilogue can look through it.
 */
static bool is_bijection(const Graph *g, NodeId n)
{
    Op op = (Op)graph_node(g, n)->op;
    return op == OP_reshape || op == OP_transpose || op == OP_flip;
}

/* The micro-kernel loads its operands: through moves without guards, from memory. */
static void store_contract_operand(Fuse *f, NodeId n)
{
    const Graph *g = f->g;
    while (lower_of(g, n) == LOWER_MOVE && graph_node(g, n)->op != OP_pad && !f->forced[n])
        n = graph_operand(g, n, 0);
    if (!is_memory(g, n))
        f->root[n] = 1;
}

static void store_operands_of(Fuse *f, NodeId n)
{
    const Graph *g = f->g;
    const Node *node = graph_node(g, n);
    LowerKind l = lower_of(g, n);
    for (uint32_t i = 0; i < node->count; i++) {
        NodeId o = graph_operand(g, n, i);
        if (l == LOWER_CONTRACT && fuse_is_gemm(g, n))
            store_contract_operand(f, o);
        else if ((l == LOWER_CALL || (l == LOWER_GATHER && !i)) && !is_memory(g, o))
            f->root[o] = 1;
    }
}

typedef struct {
    NodeId at[DETOUR_LIMIT]; /* a value, and what is made of it so far */
    uint32_t open[DETOUR_LIMIT]; /* their users that are not seen yet */
    uint32_t n, users;           /* and the sum of those */
} Detour;

/* True when u reads of the detour; those reads are not open any more. */
static bool detour_read(const Graph *g, Detour *d, NodeId u)
{
    uint32_t before = d->users;
    for (uint32_t i = 0; i < d->n; i++)
        for (uint32_t j = 0; j < graph_node(g, u)->count; j++)
            if (graph_operand(g, u, j) == d->at[i]) {
                d->open[i]--;
                d->users--;
                break;
            }
    return d->users < before;
}

/* The one value that everything made of x element by element leads to; else NODE_NONE. What lies
 * between is entered in `below`. */
static NodeId find_join(Fuse *f, NodeId x)
{
    const Graph *g = f->g;
    Detour d = { .at = { x }, .open = { f->users[x] }, .n = 1, .users = f->users[x] };
    NodeId end = g->nodes.n - x > DETOUR_SPAN ? x + DETOUR_SPAN : g->nodes.n;
    for (NodeId u = x + 1; u < end; u++) {
        if (!f->live[u] || !detour_read(g, &d, u))
            continue;
        if (lower_of(g, u) != LOWER_ELEMENTWISE || f->below[u] != NODE_NONE)
            return NODE_NONE;
        if (!d.users) {
            for (uint32_t i = 1; i < d.n; i++)
                f->below[d.at[i]] = x;
            return u;
        }
        if (f->root[u] || d.n == DETOUR_LIMIT)
            return NODE_NONE;
        d.at[d.n] = u;
        d.open[d.n++] = f->users[u];
        d.users += f->users[u];
    }
    return NODE_NONE;
}

/* From an anchor along its only users, as far as they are computed element by element in place. */
static void absorb_epilogues(Fuse *f, const NodeId *last_user)
{
    const Graph *g = f->g;
    for (NodeId a = 0; a < g->nodes.n; a++) {
        if (!f->live[a] || !is_anchor(g, a))
            continue;
        NodeId end = a;
        for (int length = 0; !f->root[end] && f->users[end] && length < EPILOGUE_LIMIT; length++) {
            NodeId u = f->users[end] == 1 ? last_user[end] : find_join(f, end);
            if (u == NODE_NONE || (lower_of(g, u) != LOWER_ELEMENTWISE && !is_bijection(g, u)) ||
                f->below[u] != NODE_NONE)
                break;
            f->below[u] = end;
            end = u;
        }
        f->root[end] = 1;
        f->anchor[end] = a;
    }
}

static uint32_t own_cost(const Graph *g, NodeId n)
{
    const OpDef *d = op_defs[graph_node(g, n)->op];
    return d->lower == LOWER_MOVE || d->lower == LOWER_NONE ? 0 : d->cost ? d->cost : 1;
}

/* Cost of computing one element of n where its operands are inlined as far as they are not stored.
 */
static uint32_t inline_cost(const Fuse *f, const uint32_t *cost, NodeId n)
{
    uint64_t sum = own_cost(f->g, n);
    for (uint32_t i = 0; i < f->g->nodes.at[n].count; i++) {
        NodeId o = graph_operand(f->g, n, i);
        if (!f->root[o])
            sum += cost[o];
    }
    return sum > 1000000 ? 1000000 : (uint32_t)sum;
}

static bool repeats(const Graph *g, NodeId u)
{
    Op op = (Op)graph_node(g, u)->op;
    return op == OP_broadcast || op == OP_windows;
}

/* From the results down: a value wanted by several kernels, or repeated by a broadcast, is stored
 * if it is dear. */
static void store_the_dear(Fuse *f, const uint32_t *cost)
{
    const Graph *g = f->g;
    uint32_t n = g->nodes.n;
    NodeId *owner = arena_new_array(f->arena, NodeId,
                                    n); /* the one kernel that computes it; NODE_NONE: none yet */
    uint8_t *several = arena_alloc(f->arena, n), *repeated = arena_alloc(f->arena, n);
    for (NodeId i = 0; i < n; i++)
        owner[i] = NODE_NONE;
    for (NodeId u = n; u-- > 0;) {
        if (!f->live[u])
            continue;
        uint32_t limit = repeated[u] ? SPREAD_LIMIT : RECOMPUTE_LIMIT;
        if ((several[u] || repeated[u]) && cost[u] >= limit && !is_leaf(g, u) &&
            lower_of(g, u) != LOWER_MOVE)
            f->root[u] = 1;
        NodeId mine = f->root[u] ? u : owner[u];
        for (uint32_t i = 0; i < g->nodes.at[u].count; i++) {
            NodeId o = graph_operand(g, u, i);
            several[o] |=
                (owner[o] != NODE_NONE && owner[o] != mine) || (!f->root[u] && several[u]);
            repeated[o] |= repeats(g, u) || (!f->root[u] && repeated[u]);
            owner[o] = mine;
        }
    }
}

static void cut_long_expressions(Fuse *f)
{
    const Graph *g = f->g;
    uint32_t *size = arena_new_array(f->arena, uint32_t, g->nodes.n);
    for (NodeId n = 0; n < g->nodes.n; n++) {
        if (!f->live[n] || is_leaf(g, n))
            continue;
        uint32_t sum = 1;
        for (uint32_t i = 0; i < g->nodes.at[n].count; i++) {
            NodeId o = graph_operand(g, n, i);
            sum += f->root[o] ? 1 : size[o];
        }
        if (sum > EXPRESSION_LIMIT && f->below[n] == NODE_NONE &&
            lower_of(g, n) != LOWER_CONTRACT && lower_of(g, n) != LOWER_REDUCE &&
            lower_of(g, n) != LOWER_ARG_REDUCE)
            f->root[n] = 1;
        size[n] = sum;
    }
}

void fuse_choose_roots(Fuse *f)
{
    const Graph *g = f->g;
    uint32_t n = g->nodes.n;
    NodeId *last_user = arena_new_array(f->arena, NodeId, n);
    memset(f->users, 0, n * sizeof *f->users);
    for (NodeId i = 0; i < n; i++) {
        f->anchor[i] = f->below[i] = NODE_NONE;
        f->root[i] = f->live[i] && f->forced[i];
        for (uint32_t j = 0; f->live[i] && j < g->nodes.at[i].count; j++) {
            NodeId o = graph_operand(g, i, j);
            f->users[o] += last_user[o] != i;
            last_user[o] = i;
        }
    }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        NodeId o = g->outputs.at[i].node;
        f->users[o]++;
        if (!is_memory(g, o))
            f->root[o] = 1;
    }
    for (NodeId i = 0; i < n; i++) {
        if (!f->live[i])
            continue;
        store_operands_of(f, i);
        if (always_stored(g, i))
            f->root[i] = 1;
    }
    absorb_epilogues(f, last_user);
    uint32_t *cost = arena_new_array(f->arena, uint32_t, n);
    for (NodeId i = 0; i < n; i++)
        if (f->live[i])
            cost[i] = inline_cost(f, cost, i);
    store_the_dear(f, cost);
    cut_long_expressions(f);
}
