/* split.c: long sums of products with few results become partial sums, side by side, and a sum of
 * those.
 *
 * Needs: primitive graphs. Gives: the same. The gradient of a convolution's weights sums over batch
 * and image for a handful of results: one unit of work, whatever the number of threads. Here one of
 * the summed axes is kept in a partial result, and summed by a reduction. Likewise a plain sum over
 * several axes, as for the statistics of batch norm. How a sum is split follows from shapes alone:
 * the bits are the same on any number of threads. */
#include "passes/pass.h"

#include <string.h>

enum {
    SPLIT_RESULTS = 1 << 14, /* up to so many results a product is short of units */
    SPLIT_PARTS_MIN = 4,
    SPLIT_PARTS_MAX = 64,
    SPLIT_BYTES = 1 << 21, /* of the partial sums, at most */
    SUM_WORTH = 1 << 16,   /* elements */
    SUM_RESULTS = 1 << 10
};
static const double SPLIT_WORTH = 1e6; /* multiplications */

typedef struct {
    const char *spec, *comma, *arrow;
    const Shape *a, *b;
} Dot;

static Dot dot_of(const Graph *g, NodeId n)
{
    const char *spec = graph_attr(g, n, "spec")->s;
    return (Dot){ spec, strchr(spec, ','), strstr(spec, "->"),
                  graph_shape(g, graph_operand(g, n, 0)), graph_shape(g, graph_operand(g, n, 1)) };
}

/* The summed axis to keep: of both operands, not the batch's, of a useful extent; the largest such.
 */
static char kept_letter(const Dot *d)
{
    char best = 0;
    int64_t best_extent = 0;
    for (const char *p = d->spec; p < d->comma; p++) {
        Dim extent = d->a->dim[p - d->spec];
        bool summed = !strchr(d->arrow + 2, *p) &&
                      memchr(d->comma + 1, *p, (size_t)(d->arrow - d->comma - 1));
        if (summed && !extent.k && extent.n >= SPLIT_PARTS_MIN && extent.n <= SPLIT_PARTS_MAX &&
            extent.n > best_extent) {
            best = *p;
            best_extent = extent.n;
        }
    }
    return best;
}

static bool is_worth_it(const Graph *g, NodeId n, const Dot *d, char kept)
{
    double products = 1;
    int64_t results = 1;
    if (!shape_elements(graph_shape(g, n), &results) || results > SPLIT_RESULTS)
        return false;
    products = (double)results;
    int64_t parts = 1;
    for (const char *p = d->spec; p < d->comma; p++) {
        if (!strchr(d->arrow + 2, *p))
            products *= (double)d->a->dim[p - d->spec].n;
        if (*p == kept)
            parts = d->a->dim[p - d->spec].n;
    }
    return products >= SPLIT_WORTH &&
           results * parts * (int64_t)dtype_size(graph_dtype(g, n)) <= SPLIT_BYTES &&
           products / (double)results >= 16 * (double)parts;
}

static NodeId split_dot(Graph *g, const Graph *old, NodeId n, NodeId *map)
{
    Dot d = dot_of(old, n);
    char kept = kept_letter(&d);
    if (!kept || graph_shape(old, n)->rank + 1 > MAX_RANK || !is_worth_it(old, n, &d, kept))
        return pass_copy(g, old, n, map);
    const char *spec = arena_printf(g->unit->arena, "%.*s%c%s", (int)(d.arrow + 2 - d.spec), d.spec,
                                    kept, d.arrow + 2);
    g->loc = graph_node(old, n)->loc;
    NodeId parts = b_dot(g, map[graph_operand(old, n, 0)], map[graph_operand(old, n, 1)], spec);
    return map[n] = b_reduce(g, OP_reduce_sum, parts, &(int64_t){ 0 }, 1, false);
}

/* A sum over several axes with few results: the outermost of them is summed on its own, last. */
static NodeId split_sum(Graph *g, const Graph *old, NodeId n, NodeId *map)
{
    const AttrValue *axes = graph_attr(old, n, "axes");
    const Shape *s = graph_shape(old, graph_operand(old, n, 0));
    int64_t elements = 0, results = 0, first = MAX_RANK, inner[MAX_RANK];
    uint32_t n_inner = 0;
    for (uint32_t i = 0; i < axes->count; i++)
        if (axes->ints[i] < first)
            first = axes->ints[i];
    for (uint32_t i = 0; i < axes->count; i++)
        if (axes->ints[i] != first)
            inner[n_inner++] = axes->ints[i];
    if (!n_inner || !shape_elements(s, &elements) || elements < SUM_WORTH ||
        !shape_elements(graph_shape(old, n), &results) || results > SUM_RESULTS ||
        s->dim[first].n < SPLIT_PARTS_MIN)
        return pass_copy(g, old, n, map);
    g->loc = graph_node(old, n)->loc;
    NodeId parts = b_reduce(g, OP_reduce_sum, map[graph_operand(old, n, 0)], inner, n_inner, true);
    NodeId sum =
        b_reduce(g, OP_reduce_sum, parts, axes->ints, axes->count, graph_attr(old, n, "keep")->i);
    return map[n] = sum;
}

static bool split_node(Graph *g, const Graph *old, NodeId n, NodeId *map)
{
    switch (graph_node(old, n)->op) {
    case OP_dot: return split_dot(g, old, n, map) != NODE_NONE;
    case OP_reduce_sum: return split_sum(g, old, n, map) != NODE_NONE;
    default: return pass_copy(g, old, n, map) != NODE_NONE;
    }
}

bool pass_split(Unit *u)
{
    return pass_rebuild_entries(u, split_node);
}
