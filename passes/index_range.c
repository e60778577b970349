/* index_range.c: see index_range.h. For drawing inputs at random: 0 and 1 would leave most rows of
 * a table alone, and the whole range of the type would be refused.
 *
 * One walk from the results back. What indexes an axis must be below its extent; what the index is
 * made of, so that it comes out below when the other parts of a sum are as large as they can be;
 * those of which nothing is known are taken for 0. An index that counts from the end when negative,
 * select(i < 0, i + n, i), is below n. */
#include "passes/index_range.h"

#include "ir/builder.h"

#include <math.h>

typedef struct {
    const Graph *g;
    int64_t *below; /* by node: must be; INT64_MAX: any */
    double *most;   /* by node: is at most; INFINITY: not known */
    int64_t batch;
} Ranges;

static void limit(Ranges *r, NodeId id, int64_t below)
{
    if (below < r->below[id])
        r->below[id] = below > 1 ? below : 1;
}

static int64_t extent(const Ranges *r, Dim d)
{
    int64_t n;
    return !d.k ? d.n : __builtin_mul_overflow(d.k, r->batch, &n) ? INT64_MAX : n;
}

static int64_t number(const Graph *g, NodeId id, const char *attr)
{
    return graph_attr(g, id, attr)->i;
}

static bool whole_number(const Graph *g, NodeId x, int64_t *out_n)
{
    double v;
    if (!b_is_splat(g, x, &v) || !(v > -9e15 && v < 9e15))
        return false;
    *out_n = (int64_t)v;
    return true;
}

/* What is added in select(.., i + n, i): n. */
static bool counts_from_end(const Graph *g, NodeId id, int64_t *out_n)
{
    NodeId sum = graph_operand(g, id, 1), i = graph_operand(g, id, 2);
    if (graph_node(g, sum)->op != OP_add)
        return false;
    NodeId left = graph_operand(g, sum, 0), right = graph_operand(g, sum, 1);
    return (left == i && whole_number(g, right, out_n)) ||
           (right == i && whole_number(g, left, out_n));
}

/* ---- What values are at most ---- */

static bool moves_values(const Node *n)
{
    return n->op == OP_cast || n->op == OP_reshape || n->op == OP_transpose ||
           n->op == OP_broadcast || n->op == OP_slice || n->op == OP_concat || n->op == OP_flip ||
           n->op == OP_floor || n->op == OP_select;
}

static double most_of(const Ranges *r, NodeId id)
{
    const Graph *g = r->g;
    const Node *n = graph_node(g, id);
    double a = n->count ? r->most[graph_operand(g, id, 0)] : INFINITY,
           b = n->count > 1 ? r->most[graph_operand(g, id, 1)] : INFINITY, v;
    int64_t whole;
    if (b_is_splat(g, id, &v))
        return v;
    switch (n->op) {
    case OP_input:
        whole = g->inputs.at[number(g, id, "index")].bound;
        return whole ? (double)whole - 1 : INFINITY;
    case OP_iota:
        return (double)extent(r, graph_shape(g, id)->dim[number(g, id, "axis")]) - 1;
    case OP_add:
        return a + b;
    case OP_mul:
        return a >= 0 && b >= 0 && a < INFINITY && b < INFINITY ? a * b : INFINITY;
    case OP_minimum:
        return a < b ? a : b;
    case OP_maximum:
        return a > b ? a : b;
    default:
        break;
    }
    if (n->op == OP_select && counts_from_end(g, id, &whole))
        return (double)whole - 1;
    double most = moves_values(n) ? -INFINITY : INFINITY;
    for (uint32_t i = n->op == OP_select; i < n->count; i++)
        most = r->most[graph_operand(g, id, i)] > most ? r->most[graph_operand(g, id, i)] : most;
    return most;
}

/* ---- What they must be below ---- */

static void limit_select(Ranges *r, NodeId id)
{
    int64_t n, below = r->below[id];
    bool end = counts_from_end(r->g, id, &n);
    if (!end)
        limit(r, graph_operand(r->g, id, 1), below);
    limit(r, graph_operand(r->g, id, 2), end && n < below ? n : below);
}

/* A sum, or the product with a number. */
static void limit_arithmetic(Ranges *r, NodeId id)
{
    int64_t below = r->below[id], n;
    bool product = graph_node(r->g, id)->op == OP_mul;
    for (uint32_t i = 0; i < 2 && below < INT64_MAX; i++) {
        NodeId x = graph_operand(r->g, id, i), other = graph_operand(r->g, id, 1 - i);
        double most = r->most[other];
        if (product && whole_number(r->g, other, &n) && n > 0)
            limit(r, x, (below - 1) / n + 1);
        else if (!product && !(most > 0 && most < (double)below))
            limit(r, x, below);
        else if (!product)
            limit(r, x, below - (int64_t)most);
    }
}

static void visit(Ranges *r, NodeId id)
{
    const Graph *g = r->g;
    const Node *n = graph_node(g, id);
    int64_t below = r->below[id];
    switch (n->op) {
    case OP_gather:
    case OP_take_along:
        limit(r, graph_operand(g, id, 1),
              extent(r, graph_shape(g, graph_operand(g, id, 0))->dim[number(g, id, "axis")]));
        break;
    case OP_scatter_add:
    case OP_scatter_add_along:
        limit(r, graph_operand(g, id, 0),
              extent(r, (Dim){ number(g, id, "extent"), number(g, id, "k") }));
        break;
    case OP_scatter:
        limit(r, graph_operand(g, id, 1), extent(r, graph_shape(g, id)->dim[0]));
        break;
    case OP_select:
        limit_select(r, id);
        break;
    case OP_add:
    case OP_mul:
        limit_arithmetic(r, id);
        break;
    case OP_cast:
    case OP_reshape:
    case OP_transpose:
    case OP_broadcast:
    case OP_slice:
    case OP_pad:
    case OP_concat:
    case OP_flip:
        for (uint32_t i = 0; i < n->count; i++)
            limit(r, graph_operand(g, id, i), below);
        break;
    default:
        break;
    }
}

int64_t index_range(Arena *a, const Graph *g, uint32_t input, int64_t batch)
{
    Ranges r = { .g = g, .batch = batch };
    int64_t found = INT64_MAX;
    r.below = arena_new_array(a, int64_t, g->nodes.n + 1);
    r.most = arena_new_array(a, double, g->nodes.n + 1);
    for (NodeId id = 0; id < g->nodes.n; id++)
        r.below[id] = INT64_MAX, r.most[id] = most_of(&r, id);
    for (NodeId id = g->nodes.n; id-- > 0;) {
        visit(&r, id);
        if (graph_node(g, id)->op == OP_input && number(g, id, "index") == input &&
            r.below[id] < found)
            found = r.below[id];
    }
    return found < INT64_MAX ? found : 0;
}
