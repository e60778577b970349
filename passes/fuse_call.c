/* fuse_call.c: ops that are functions of the runtime: their operands, scratch and integer arguments
 * in a plan.
 *
 * The runtime's calls are listed in runtime/call.h; which op uses which is said here by the symbol
 * in the op's definition. A call runs row by row (matrix by matrix) over dense row-major buffers.
 */
#include "passes/fuse.h"

#include <string.h>

typedef struct {
    Fuse *f;
    NodeId node;
    uint32_t to;
    Draft *d;
} Call;

static uint32_t operand_buffer(const Call *c, uint32_t i)
{
    return c->f->buffer[graph_operand(c->f->g, c->node, i)];
}

static void push_buffer(Call *c, uint32_t buffer)
{
    vec_push(c->f->arena, &c->d->buffers, buffer);
}

static void push_arg(Call *c, int64_t arg)
{
    vec_push(c->f->arena, &c->d->args, arg);
}

static int64_t elements(const Call *c, NodeId n)
{
    int64_t count = 0;
    shape_elements(graph_shape(c->f->g, n), &count);
    return count;
}

/* One run for each index of all but the last `inner` axes. With the batch outermost its rows stand
 * together at the front; elsewhere they are spread, and the buffers, which are then whole, are run
 * through whole. */
static Dim rows(const Call *c, uint32_t inner)
{
    const Shape *s = graph_shape(c->f->g, graph_operand(c->f->g, c->node, 0));
    Dim d = dim_of(1);
    for (uint32_t i = 0; i + inner < s->rank; i++)
        d.n *= s->dim[i].n;
    if (s->rank > inner && s->dim[0].k && s->dim[0].n)
        d.k = d.n / s->dim[0].n * s->dim[0].k;
    return d;
}

/* What both ways to order the last axis take: x, as many values as `like` has, the indices. */
static void push_order(Call *c, NodeId like)
{
    const Graph *g = c->f->g;
    NodeId x = graph_operand(g, c->node, 0);
    const Shape *s = graph_shape(g, x);
    c->d->rows = rows(c, 1);
    push_buffer(c, operand_buffer(c, 0));
    push_buffer(c, fuse_scratch(c->f, graph_dtype(g, x), elements(c, like), 0));
    push_buffer(c, c->to);
    push_arg(c, graph_dtype(g, x));
    push_arg(c, s->dim[s->rank - 1].n);
}

/* bufs: x, values, indices i64. args: dtype, n, descending. */
static void call_sort(Call *c)
{
    push_order(c, graph_operand(c->f->g, c->node, 0));
    push_arg(c, graph_attr(c->f->g, c->node, "descending")->i);
}

/* bufs: x, values, indices i64. args: dtype, n, k, smallest. */
static void call_top_k(Call *c)
{
    push_order(c, c->node);
    push_arg(c, graph_attr(c->f->g, c->node, "k")->i);
    push_arg(c, !graph_attr(c->f->g, c->node, "descending")->i);
}

/* bufs: a, b, x, scratch like a. args: dtype, n, m, transposed. */
static void call_solve(Call *c)
{
    const Graph *g = c->f->g;
    NodeId a = graph_operand(g, c->node, 0), b = graph_operand(g, c->node, 1);
    const Shape *s = graph_shape(g, b);
    c->d->rows = rows(c, 2);
    push_buffer(c, operand_buffer(c, 0));
    push_buffer(c, operand_buffer(c, 1));
    push_buffer(c, c->to);
    push_buffer(c, fuse_scratch(c->f, graph_dtype(g, a), elements(c, a), 0));
    push_arg(c, graph_dtype(g, a));
    push_arg(c, s->dim[s->rank - 2].n);
    push_arg(c, s->dim[s->rank - 1].n);
    push_arg(c, 0);
}

/* bufs: a, q, r, scratch. args: dtype, m, n. The op wants one of q and r; the other goes to
 * scratch. */
static void call_qr(Call *c)
{
    const Graph *g = c->f->g;
    NodeId a = graph_operand(g, c->node, 0);
    const Shape *s = graph_shape(g, a);
    int64_t m = s->dim[s->rank - 2].n, n = s->dim[s->rank - 1].n, k = m < n ? m : n;
    int64_t matrices = m > 0 && n > 0 ? elements(c, a) / (m * n) : 0;
    bool q = graph_node(g, c->node)->op == OP_qr_q; /* the op's one result */
    Dtype t = graph_dtype(g, a);
    c->d->rows = rows(c, 2);
    push_buffer(c, operand_buffer(c, 0));
    push_buffer(c, q ? c->to : fuse_scratch(c->f, t, matrices * m * k, 0));
    push_buffer(c, q ? fuse_scratch(c->f, t, matrices * k * n, 0) : c->to);
    push_buffer(c, fuse_scratch(c->f, t, matrices * m * (n + 1), 0));
    push_arg(c, t);
    push_arg(c, m);
    push_arg(c, n);
}

/* bufs: x, y. args: dtype, bytes a row; a row is an element. */
static void call_copy(Call *c)
{
    Dtype t = graph_dtype(c->f->g, c->node);
    c->d->rows = rows(c, 0);
    push_buffer(c, operand_buffer(c, 0));
    push_buffer(c, c->to);
    push_arg(c, t);
    push_arg(c, (int64_t)dtype_size(t));
}

/* bufs: x, index i64, updates, y. args: dtype, mode, width, n, kn, m, km. One row: all of it. */
static void call_scatter(Call *c)
{
    static const char *const modes[] = { "none", "mul", "max", "min" };
    const Graph *g = c->f->g;
    NodeId x = graph_operand(g, c->node, 0), index = graph_operand(g, c->node, 1);
    const Shape *s = graph_shape(g, x), *i = graph_shape(g, index);
    int64_t mode = 0;
    while (strcmp(graph_attr(g, c->node, "mode")->s, modes[mode]))
        mode++;
    c->d->rows = dim_of(1);
    for (uint32_t k = 0; k < 3; k++)
        push_buffer(c, operand_buffer(c, k));
    push_buffer(c, c->to);
    push_arg(c, graph_dtype(g, x));
    push_arg(c, mode);
    push_arg(c, s->dim[0].n ? elements(c, x) / s->dim[0].n : 0);
    push_arg(c, s->dim[0].n);
    push_arg(c, s->dim[0].k);
    push_arg(c, i->dim[0].n);
    push_arg(c, i->dim[0].k);
}

/* bufs: boxes, valid, most, keep. args: dtype, n. */
static void call_suppress(Call *c)
{
    const Graph *g = c->f->g;
    const Shape *s = graph_shape(g, graph_operand(g, c->node, 0));
    c->d->rows = rows(c, 2);
    for (uint32_t i = 0; i < 3; i++)
        push_buffer(c, operand_buffer(c, i));
    push_buffer(c, c->to);
    push_arg(c, graph_dtype(g, graph_operand(g, c->node, 0)));
    push_arg(c, s->dim[s->rank - 2].n);
}

static const struct {
    const char *symbol;
    void (*plan)(Call *c);
} calls[] = {
    { "dlrt_call_copy", call_copy },
    { "dlrt_call_qr", call_qr },
    { "dlrt_call_scatter", call_scatter },
    { "dlrt_call_solve", call_solve },
    { "dlrt_call_sort", call_sort },
    { "dlrt_call_suppress", call_suppress },
    { "dlrt_call_top_k", call_top_k },
};

void fuse_build_call(Fuse *f, NodeId node, uint32_t to)
{
    const char *symbol = op_defs[graph_node(f->g, node)->op]->call;
    Draft d = { .call = symbol, .writes = -1, .loc = graph_node(f->g, node)->loc };
    if (f->plan->buffers.at[to].kind == BUFFER_TENSOR)
        d.writes = (int32_t)f->plan->buffers.at[to].index;
    Call c = { f, node, to, &d };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].symbol, symbol))
            calls[i].plan(&c);
    assert(d.buffers.n);
    vec_push(f->arena, &f->drafts, d);
}
