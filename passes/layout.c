/* layout.c: the order in which the axes of stored values lie in memory.
 *
 * Needs: roots with buffers. Gives: f->strides.
 * Inputs, outputs and tensors are row-major: others know them. What lives in the arena is ours. In a network of convolutions with
 * a batch of some size the batch is stored innermost: every kernel then has the batch as its vector axis, whole vectors of it,
 * however odd the images and few the channels are. With channels or width innermost, LeNet's layers of 6 and 16 channels
 * and rows of 10 and 28 pixels leave half of each vector empty. Elsewhere row-major order lets matrix products and rows be
 * read as they come. No node moves data for this: kernels are loops over accesses with strides, in whatever order. */
#include "passes/fuse.h"

enum { BATCH_WORTH = 16 };

/* A product whose operand is windows over an image: a convolution, forward or backward. */
static bool is_convolution(const Graph *g, NodeId n)
{
    if (op_defs[graph_node(g, n)->op]->lower != LOWER_CONTRACT || !fuse_is_gemm(g, n))
        return false;
    for (uint32_t i = 0; i < 2; i++)
        for (NodeId x = graph_operand(g, n, i); op_defs[graph_node(g, x)->op]->lower == LOWER_MOVE; x = graph_operand(g, x, 0))
            if (graph_node(g, x)->op == OP_windows)
                return true;
    return false;
}

bool layout_batch_innermost(const Fuse *f)
{
    const Graph *g = f->g;
    if (g->batch_max < BATCH_WORTH)
        return false;
    for (NodeId n = 0; n < g->nodes.n; n++)
        if (f->live[n] && is_convolution(g, n))
            return true;
    return false;
}

void layout_row_major(const Shape *s, Strides *out)
{
    int64_t stride = 1;
    for (uint32_t i = s->rank; i-- > 0; stride *= s->dim[i].n > 0 ? s->dim[i].n : 1)
        out->at[i] = stride;
}

void layout_stored(const Shape *s, bool batch_innermost, Strides *out)
{
    int32_t batch = -1;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->rank; i++)
        if (s->dim[i].k) {
            batch = (int32_t)i;
            n++;
        }
    layout_row_major(s, out);
    if (!batch_innermost || n != 1 || s->rank < 2)
        return;
    int64_t stride = s->dim[batch].n;
    out->at[batch] = 1;
    for (uint32_t i = s->rank; i-- > 0;)
        if ((int32_t)i != batch) {
            out->at[i] = stride;
            stride *= s->dim[i].n > 0 ? s->dim[i].n : 1;
        }
}
