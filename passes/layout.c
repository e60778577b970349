/* layout.c: the order in which the axes of stored values lie in memory.
 *
 * Needs: roots with buffers. Gives: f->strides.
 * Inputs, outputs and tensors are row-major: others know them. What lives in the arena is ours. Two
 * rules for networks of convolutions, by where most of their work is:
 * - few channels (LeNet): the batch innermost. Every kernel then has the batch as its vector axis,
 * whole vectors of it, however odd the images are. With channels or width innermost, layers of 6
 * channels and rows of 10 pixels leave half of each vector empty. Not in exports: those are mostly
 * called for one example, and lanes of a batch that is not there cost as much as those that are.
 * - at least a vector of channels: the channels innermost. A position's channels are then read as
 * they lie; with the batch innermost the windows of a large image are thousands of short runs, and
 * caches and TLB miss on each. Elsewhere row-major order lets matrix products and rows be read as
 * they come. No node moves data for any of this: kernels are loops over accesses with strides, in
 * whatever order. */
#include "passes/fuse.h"

#include <string.h>

enum { BATCH_WORTH = 16, CHANNELS_WORTH = 16 };

/* The operand of a product that is windows over an image, 0 or 1, or -1. */
static int windowed_operand(const Graph *g, NodeId n)
{
    for (uint32_t i = 0; i < 2; i++)
        for (NodeId x = graph_operand(g, n, i); op_defs[graph_node(g, x)->op]->lower == LOWER_MOVE;
             x = graph_operand(g, x, 0))
            if (graph_node(g, x)->op == OP_windows)
                return (int)i;
    return -1;
}

/* Multiplications of a product, and the least extent among its plain channel axes: those of the
 * smaller operand that stand next to the windows, as far as a product of an image with weights or
 * another image tells. */
static double work_of(const Graph *g, NodeId n, int windowed, int64_t *out_channels)
{
    const char *spec = graph_attr(g, n, "spec")->s, *comma = strchr(spec, ',');
    const Shape *a = graph_shape(g, graph_operand(g, n, 0)),
                *b = graph_shape(g, graph_operand(g, n, 1));
    double work = 1;
    for (uint32_t i = 0; i < a->rank; i++)
        work *= (double)a->dim[i].n;
    for (uint32_t i = 0; i < b->rank; i++)
        if (!memchr(spec, comma[1 + i], (size_t)(comma - spec)))
            work *= (double)b->dim[i].n;
    const Shape *image = windowed ? b : a, *other = windowed ? a : b;
    int64_t channels = image->rank > 1 ? image->dim[1].n : 1;                      /* [B, C, ...] */
    int64_t others =
        other->dim[other->dim[0].k && other->rank > 1 ? 1 : 0].n; /* [O, ...], or [B, O, ...] */
    *out_channels = channels < others ? channels : others;
    return work;
}

Layout layout_choose(const Fuse *f)
{
    const Graph *g = f->g;
    double narrow = 0, wide = 0;
    for (NodeId n = 0; n < g->nodes.n; n++) {
        int64_t channels;
        int windowed;
        if (!f->live[n] || op_defs[graph_node(g, n)->op]->lower != LOWER_CONTRACT ||
            !fuse_is_gemm(g, n) || (windowed = windowed_operand(g, n)) < 0)
            continue;
        double work = work_of(g, n, windowed, &channels);
        *(channels >= CHANNELS_WORTH ? &wide : &narrow) += work;
    }
    bool export = f->plan->entry->kind == ENTRY_EXPORT;
    if (wide > narrow || (export && narrow > 0 && g->batch_max >= BATCH_WORTH))
        return LAYOUT_CHANNELS_INNERMOST;
    return narrow > 0 && g->batch_max >= BATCH_WORTH ? LAYOUT_BATCH_INNERMOST : LAYOUT_ROW_MAJOR;
}

void layout_row_major(const Shape *s, Strides *out)
{
    int64_t stride = 1;
    for (uint32_t i = s->rank; i-- > 0; stride *= s->dim[i].n > 0 ? s->dim[i].n : 1)
        out->at[i] = stride;
}

/* Row-major but for one axis, which is innermost. */
static void innermost(const Shape *s, uint32_t axis, Strides *out)
{
    int64_t stride = s->dim[axis].n > 0 ? s->dim[axis].n : 1;
    out->at[axis] = 1;
    for (uint32_t i = s->rank; i-- > 0;)
        if (i != axis) {
            out->at[i] = stride;
            stride *= s->dim[i].n > 0 ? s->dim[i].n : 1;
        }
}

/* A batch that is a plain number: the outermost extent of all images that come in. Not where
 * weights are updated: gradients have the order of what they update. */
static int64_t fixed_batch(const Fuse *f)
{
    const Graph *g = f->g;
    int64_t batch = 0;
    if (f->plan->entry->kind == ENTRY_STEP || g->batch_max > 0)
        return 0;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Shape *s = &g->inputs.at[i].shape;
        if (s->rank < 3)
            continue;
        if (batch && s->dim[0].n != batch)
            return 0;
        batch = s->dim[0].n;
    }
    return batch;
}

void layout_stored(const Fuse *f, const Shape *s, Layout layout, Strides *out)
{
    uint32_t batch = 0, n = 0;
    for (uint32_t i = 0; i < s->rank; i++)
        if (s->dim[i].k) {
            batch = i;
            n++;
        }
    layout_row_major(s, out);
    if (!n && s->rank >= 3 && s->dim[0].n == fixed_batch(f)) {
        batch = 0;
        n = 1;
    }
    if (layout == LAYOUT_BATCH_INNERMOST && n == 1 && s->rank >= 2)
        innermost(s, batch, out);
    else if (layout == LAYOUT_CHANNELS_INNERMOST && n == 1 && batch == 0 && s->rank >= 3)
        innermost(s, 1, out);
}
