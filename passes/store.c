/* store.c: parameters that only matrix products and convolutions read are stored as those read
 * them.
 *
 * Needs: primitive, simple graphs. Gives: the same; `storage` of some tensors, whose `shape` is
 * then that of the storage.
 * A product wants the results that stand side by side in a vector side by side in memory; weights
 * [out, in, window..] have them furthest apart, and every call would copy them first: for an image
 * at a time, as much work as the product. Where no entry trains, weights are stored as
 * [out/64, window.., in, 64]: one walk from the first element to the last. Graphs see the stored
 * shape, and movements bring it into the order as written; kernels fold them into their accesses.
 * Whoever reads or writes a tensor by name sees it as written. With a training step there are
 * optimizers and gradients too, of other orders: those units keep rows as they are. */
#include "passes/pass.h"

#include "passes/fuse.h"

#include <string.h>

enum { BLOCK = 64, BLOCK_LEAST = 32, WHOLE_MOST = 96, RANK_MOST = 6 };

typedef enum { AXIS_BATCH, AXIS_FREE, AXIS_SUMMED } AxisRole;

typedef struct {
    bool used, refused;
    AxisRole roles[MAX_RANK];
} Use;

static int32_t tensor_of(const Graph *g, NodeId n)
{
    return graph_node(g, n)->op == OP_tensor ? (int32_t)graph_attr(g, n, "index")->i : -1;
}

/* What the axes of operand `side` of a product are to it. */
static void roles_of(const Graph *g, NodeId dot, uint32_t side, AxisRole roles[MAX_RANK])
{
    const char *spec = graph_attr(g, dot, "spec")->s, *comma = strchr(spec, ','),
               *arrow = strstr(spec, "->");
    const char *mine = side ? comma + 1 : spec, *end = side ? arrow : comma;
    const char *other = side ? spec : comma + 1;
    size_t other_n = (size_t)(side ? comma - spec : arrow - comma - 1);
    for (const char *p = mine; p < end; p++) {
        bool in_result = strchr(arrow + 2, *p) != NULL;
        roles[p - mine] = !in_result                    ? AXIS_SUMMED
                          : memchr(other, *p, other_n) ? AXIS_BATCH
                                                        : AXIS_FREE;
    }
}

static void note_use(Use *use, const Tensor *t, const Graph *g, NodeId user, uint32_t side)
{
    AxisRole roles[MAX_RANK] = { 0 };
    bool product = graph_node(g, user)->op == OP_dot && fuse_is_gemm(g, user);
    if (product)
        roles_of(g, user, side, roles);
    if (!product || t->kind != TENSOR_PARAM || t->dtype != DT_F32 || t->shape.rank > RANK_MOST ||
        (use->used && memcmp(roles, use->roles, t->shape.rank * sizeof *roles)))
        use->refused = true;
    memcpy(use->roles, roles, sizeof roles);
    use->used = true;
}

static void find_uses(const Unit *u, const Graph *g, Use *uses)
{
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, g);
    for (NodeId n = 0; n < g->nodes.n; n++)
        for (uint32_t i = 0; live[n] && i < graph_node(g, n)->count; i++) {
            int32_t t = tensor_of(g, graph_operand(g, n, i));
            if (t >= 0)
                note_use(&uses[t], &u->tensors.at[t], g, n, i);
        }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        int32_t t = tensor_of(g, g->outputs.at[i].node);
        if (t >= 0)
            uses[t].refused = true;
    }
    arena_free(a);
}

/* Results side by side: a block of the last free axis, or all of a short or odd one. */
static int64_t block_of(int64_t n)
{
    for (int64_t b = BLOCK; b >= BLOCK_LEAST; b -= 16)
        if (n % b == 0)
            return b;
    return n;
}

/* ---- Movements ---- */

/* From the storage to the axes as written, with axis `split` in two, and back. */
typedef struct {
    Shape parts;               /* as written, axis `split` as [n / block, block] */
    uint32_t order[MAX_RANK];  /* of the storage: axes of `parts` */
} Moves;

static Moves moves_of(const TensorStorage *s)
{
    Moves m = { .parts = { .rank = 0 } };
    for (uint32_t d = 0; d < s->shape.rank; d++) {
        Dim n = s->shape.dim[d];
        if (s->block[d]) {
            m.parts.dim[m.parts.rank++] = dim_of(n.n / s->block[d]);
            n = dim_of(s->block[d]);
        }
        m.parts.dim[m.parts.rank++] = n;
    }
    memcpy(m.order, s->order, sizeof m.order);
    return m;
}

static NodeId as_written(Graph *g, NodeId stored, const TensorStorage *s)
{
    Moves m = moves_of(s);
    int64_t perm[MAX_RANK];
    for (uint32_t i = 0; i < m.parts.rank; i++)
        perm[m.order[i]] = i;
    return b_reshape(g, b_transpose(g, stored, perm), &s->shape);
}

static NodeId as_stored(Graph *g, NodeId written, const TensorStorage *s)
{
    Moves m = moves_of(s);
    int64_t perm[MAX_RANK];
    for (uint32_t i = 0; i < m.parts.rank; i++)
        perm[i] = m.order[i];
    return b_transpose(g, b_reshape(g, written, &m.parts), perm);
}

/* ---- Choice ---- */

/* Batch axes, free ones, summed ones but the first, the first, the block. */
static uint32_t *push_axes(const Tensor *t, const uint32_t *part, const Use *use, AxisRole role,
                           bool skip_first, uint32_t *to)
{
    for (uint32_t d = 0; d < t->shape.rank; d++) {
        if (use->roles[d] == role && !skip_first)
            *to++ = part[d];
        skip_first &= use->roles[d] != role;
    }
    return to;
}

static void choose_storage(Unit *u, Tensor *t, const Use *use)
{
    int32_t last = -1, summed = -1;
    for (uint32_t d = 0; d < t->shape.rank; d++) {
        if (use->roles[d] == AXIS_FREE)
            last = (int32_t)d;
        if (use->roles[d] == AXIS_SUMMED && summed < 0)
            summed = (int32_t)d;
    }
    if (last < 0 || summed < 0)
        return;
    TensorStorage *s = arena_make(u->arena, TensorStorage);
    int64_t n = t->shape.dim[last].n, block = block_of(n);
    uint32_t part[MAX_RANK], rank = t->shape.rank, order[MAX_RANK + 1], *to = order;
    s->shape = t->shape;
    s->block[last] = block;
    for (uint32_t d = 0; d < rank; d++)
        part[d] = d + ((int32_t)d > last);
    to = push_axes(t, part, use, AXIS_BATCH, false, to);
    to = push_axes(t, part, use, AXIS_FREE, false, to);
    to = push_axes(t, part, use, AXIS_SUMMED, true, to);
    *to++ = part[summed];
    *to++ = part[last] + 1;
    memcpy(s->order, order, (rank + 1) * sizeof *order);
    Moves m = moves_of(s);
    int64_t stride[MAX_RANK], step = 1;
    for (uint32_t i = rank + 1; i-- > 0; step *= m.parts.dim[order[i]].n)
        stride[order[i]] = step;
    for (uint32_t d = 0; d < rank; d++)
        s->stride[d] = stride[part[d]];
    s->inner[last] = stride[part[last] + 1];
    t->shape = (Shape){ .rank = rank + 1 };
    for (uint32_t i = 0; i <= rank; i++)
        t->shape.dim[i] = m.parts.dim[order[i]];
    t->storage = s;
}

static bool rewrite(Unit *u, Entry *entry)
{
    const Graph *old = entry->graph;
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, old);
    NodeId *map = pass_new_map(a, old->nodes.n);
    Graph *g = pass_begin(old);
    bool ok = true;
    for (NodeId n = 0; n < old->nodes.n && ok; n++) {
        if (!live[n])
            continue;
        int32_t t = tensor_of(old, n);
        ok = pass_copy(g, old, n, map) != NODE_NONE;
        g->loc = graph_node(old, n)->loc;
        if (ok && t >= 0 && u->tensors.at[t].storage)
            map[n] = as_written(g, map[n], u->tensors.at[t].storage);
    }
    for (uint32_t i = 0; i < old->outputs.n && ok; i++) {
        const Output *o = &old->outputs.at[i];
        NodeId node = map[o->node];
        g->loc = graph_node(old, o->node)->loc;
        if (o->updates >= 0 && u->tensors.at[o->updates].storage)
            node = as_stored(g, node, u->tensors.at[o->updates].storage);
        graph_output(g, o->name, node, o->updates);
    }
    g->loc = 0;
    entry->graph = g;
    arena_free(a);
    return ok || pass_internal(u, entry->loc, "`%s` cannot be emitted again", entry->name);
}

bool pass_store(Unit *u)
{
    Use *uses = arena_new_array(u->arena, Use, u->tensors.n);
    for (uint32_t i = 0; i < u->entries.n; i++) {
        if (u->entries.at[i].kind == ENTRY_STEP)
            return true;
        if (u->entries.at[i].kind != ENTRY_INIT)
            find_uses(u, u->entries.at[i].graph, uses);
    }
    bool any = false;
    for (uint32_t i = 0; i < u->tensors.n; i++)
        if (uses[i].used && !uses[i].refused && !u->tensors.at[i].storage) {
            choose_storage(u, &u->tensors.at[i], &uses[i]);
            any |= u->tensors.at[i].storage != NULL;
        }
    for (uint32_t i = 0; i < u->entries.n && any; i++)
        if (!rewrite(u, &u->entries.at[i]))
            return false;
    return true;
}
