/* fuse_build.c: one kernel: the axes of its result, the anchor's body over further axes, the
 * epilogue, the store.
 *
 * A kernel is built from scratch again when a reshape inside it asks for an axis in two parts: the
 * splits found so far are applied to the axes first. `value[i]` is what axis i of the result (then:
 * reduced axis i) is in terms of the split axes. */
#include "passes/fuse.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SPLITS = 8 };

typedef struct {
    uint32_t axis;
    int64_t inner;
} Split;

typedef struct {
    Build b;
    Affine value[2 * MAX_RANK];
    uint32_t rank, n_reduced;
    Split splits[MAX_SPLITS];
    uint32_t n_splits;
} Frame;

static const char *dot_letters(const Graph *g, NodeId dot, uint32_t side)
{
    const char *spec = graph_attr(g, dot, "spec")->s;
    return side == 0 ? spec : side == 1 ? strchr(spec, ',') + 1 : strstr(spec, "->") + 2;
}

static uint32_t dot_extents(const Graph *g, NodeId dot, Dim *out)
{
    uint32_t n = 0;
    const Shape *s = graph_shape(g, graph_operand(g, dot, 0)),
                *t = graph_shape(g, graph_operand(g, dot, 1));
    const char *a = dot_letters(g, dot, 0), *b = dot_letters(g, dot, 1),
               *c = dot_letters(g, dot, 2);
    for (uint32_t i = 0; i < s->rank; i++)
        if (!strchr(c, a[i]))
            out[n++] = s->dim[i];
    for (uint32_t i = 0; i < t->rank; i++) /* letters of the second operand alone */
        if (!strchr(c, b[i]) && !memchr(a, b[i], s->rank))
            out[n++] = t->dim[i];
    return n;
}

/* The extents an anchor reduces over, in order. */
static uint32_t anchor_extents(const Graph *g, NodeId anchor, Dim *out)
{
    LowerKind lower = op_defs[graph_node(g, anchor)->op]->lower;
    if (lower == LOWER_CONTRACT)
        return dot_extents(g, anchor, out);
    const Shape *s = graph_shape(g, graph_operand(g, anchor, 0));
    if (lower != LOWER_REDUCE) {
        out[0] = s->dim[graph_attr(g, anchor, "axis")->i];
        return 1;
    }
    const AttrValue *axes = graph_attr(g, anchor, "axes");
    for (uint32_t i = 0; i < axes->count; i++)
        out[i] = s->dim[axes->ints[i]];
    return axes->count;
}

/* Inserts `added` after `axis` in the list that has it. */
static void insert_after(uint32_t *list, uint32_t *n, uint32_t axis, uint32_t added)
{
    for (uint32_t i = 0; i < *n; i++)
        if (list[i] == axis) {
            memmove(list + i + 2, list + i + 1, (*n - i - 1) * sizeof *list);
            list[i + 1] = added;
            ++*n;
            return;
        }
}

static void split_axis(Frame *f, Split split)
{
    KernelStage *s = f->b.s;
    Kernel *k = f->b.k;
    uint32_t added = k->axes.n;
    Dim d = k->axes.at[split.axis].extent;
    k->axes.at[split.axis].extent = (Dim){ d.n / split.inner, d.k / split.inner };
    vec_push(f->b.f->arena, &k->axes, (KernelAxis){ dim_of(split.inner) });
    for (uint32_t i = 0; i < f->rank + f->n_reduced; i++) {
        f->value[i].coef[added] = f->value[i].coef[split.axis];
        f->value[i].coef[split.axis] *= split.inner;
    }
    insert_after(s->free_axes, &s->n_free, split.axis, added);
    insert_after(s->reduced_axes, &s->n_reduced, split.axis, added);
}

/* Axes of the result, then of the reduction, then the splits; lists in the order of the result's
 * storage. */
static void frame_begin(Frame *fr, Fuse *f, const Shape *shape, NodeId anchor)
{
    Arena *a = f->arena;
    Dim reduced[MAX_RANK * 2];
    fr->b = (Build){
        .f = f, .anchor = anchor, .anchor_value = INST_NONE, .root = NODE_NONE, .split_axis = -1
    };
    fr->b.k = arena_make(a, Kernel);
    fr->b.k->status = -1;
    vec_push(a, &fr->b.k->stages, (KernelStage){ .a = INST_NONE, .b = INST_NONE });
    KernelStage *s = fr->b.s = &fr->b.k->stages.at[0];
    fr->rank = shape->rank;
    fr->n_reduced = anchor == NODE_NONE ? 0 : anchor_extents(f->g, anchor, reduced);
    for (uint32_t i = 0; i < fr->rank + fr->n_reduced; i++) {
        Dim d = i < fr->rank ? shape->dim[i] : reduced[i - fr->rank];
        vec_push(a, &fr->b.k->axes, (KernelAxis){ d });
        fr->value[i] = affine_axis(i);
        if (i < fr->rank)
            s->free_axes[s->n_free++] = i;
        else
            s->reduced_axes[s->n_reduced++] = i;
    }
    for (uint32_t i = 0; i < fr->n_splits; i++)
        split_axis(fr, fr->splits[i]);
}

static IndexMap root_map(const Frame *fr)
{
    IndexMap m = { .rank = fr->rank, .split_axis = -1 };
    memcpy(m.at, fr->value, fr->rank * sizeof *m.at);
    return m;
}

/* From the root's index down the epilogue to the anchor's. */
static bool anchor_index(Frame *fr, NodeId root, IndexMap *out_map)
{
    *out_map = root_map(fr);
    for (NodeId n = root; n != fr->b.anchor; n = fr->b.f->below[n]) {
        IndexMap m = *out_map;
        if (op_defs[graph_node(fr->b.f->g, n)->op]->lower == LOWER_MOVE &&
            !expr_move(&fr->b, n, &m, out_map))
            return false;
    }
    return true;
}

static IndexMap operand_map(const Frame *fr, const IndexMap *at, uint32_t side)
{
    const Graph *g = fr->b.f->g;
    NodeId anchor = fr->b.anchor, x = graph_operand(g, anchor, side);
    const char *mine = dot_letters(g, anchor, side), *result = dot_letters(g, anchor, 2);
    const char *a = dot_letters(g, anchor, 0), *b = dot_letters(g, anchor, 1);
    uint32_t rank_a = graph_shape(g, graph_operand(g, anchor, 0))->rank;
    uint32_t rank_b = graph_shape(g, graph_operand(g, anchor, 1))->rank;
    IndexMap m = { .rank = graph_shape(g, x)->rank,
                   .guards.n = at->guards.n,
                   .guards.at = at->guards.at };
    for (uint32_t i = 0; i < m.rank; i++) {
        const char *r = strchr(result, mine[i]);
        if (r) {
            m.at[i] = at->at[r - result];
            continue;
        }
        uint32_t number = 0; /* among the summed letters, in the order of anchor_extents */
        bool found = false;
        for (uint32_t j = 0; j < rank_a && !found; j++) {
            found = a[j] == mine[i];
            number += !found && !strchr(result, a[j]);
        }
        for (uint32_t j = 0; j < rank_b && !found; j++) {
            found = b[j] == mine[i];
            number += !found && !strchr(result, b[j]) && !memchr(a, b[j], rank_a);
        }
        m.at[i] = fr->value[fr->rank + number];
    }
    return m;
}

/* Sums and extremes of narrow types are taken in a wider one. */
static Dtype accumulator(Dtype t)
{
    if (t == DT_F16 || t == DT_BF16)
        return DT_F32;
    return dtype_size(t) < 4 ? DT_I32 : t;
}

static InstId widened(Build *b, InstId v, Dtype t)
{
    return b->s->insts.at[v].dtype == t ? v : expr_scalar(b, SC_CAST, t, v, INST_NONE, INST_NONE);
}

static InstId contract_body(Frame *fr, const IndexMap *at, Dtype *out_dtype)
{
    Build *b = &fr->b;
    const Graph *g = b->f->g;
    IndexMap ma = operand_map(fr, at, 0), mb = operand_map(fr, at, 1);
    InstId x = expr_value(b, graph_operand(g, b->anchor, 0), &ma),
           y = expr_value(b, graph_operand(g, b->anchor, 1), &mb);
    if (b->failed)
        return INST_NONE;
    if (b->s->kind == STAGE_CONTRACT) {
        b->s->a = x;
        b->s->b = y;
        return INST_NONE;
    }
    *out_dtype =
        accumulator(graph_dtype(g, b->anchor)); /* of the products too: rounded once, at the end */
    return expr_scalar(b, SC_MUL, *out_dtype, widened(b, x, *out_dtype), widened(b, y, *out_dtype),
                       INST_NONE);
}

static Combine combine_of(ScalarOp op)
{
    return op == SC_MUL       ? COMBINE_PROD
           : op == SC_MAXIMUM ? COMBINE_MAX
           : op == SC_MINIMUM ? COMBINE_MIN
                              : COMBINE_SUM;
}

static InstId reduce_body(Frame *fr, const IndexMap *at, Dtype *out_dtype)
{
    Build *b = &fr->b;
    const Graph *g = b->f->g;
    NodeId x = graph_operand(g, b->anchor, 0);
    const OpDef *def = op_defs[graph_node(g, b->anchor)->op];
    uint32_t rank = graph_shape(g, x)->rank, next = 0, kept = 0;
    bool is_reduced[MAX_RANK] = { 0 }, one = def->lower != LOWER_REDUCE;
    const AttrValue *axes = graph_attr(g, b->anchor, one ? "axis" : "axes");
    uint32_t order[MAX_RANK] = { 0 };
    for (uint32_t i = 0; i < (one ? 1 : axes->count); i++) {
        int64_t axis = one ? axes->i : axes->ints[i];
        is_reduced[axis] = true;
        order[axis] = next++;
    }
    bool keep = def->lower != LOWER_SCAN && graph_attr(g, b->anchor, "keep")->i;
    IndexMap m = { .rank = rank, .guards.n = at->guards.n, .guards.at = at->guards.at };
    for (uint32_t i = 0; i < rank; i++) {
        m.at[i] = is_reduced[i] ? fr->value[fr->rank + order[i]] : at->at[kept];
        kept += keep || !is_reduced[i] || def->lower == LOWER_SCAN;
    }
    InstId v = expr_value(b, x, &m);
    if (b->failed)
        return INST_NONE;
    *out_dtype = accumulator(b->s->insts.at[v].dtype);
    return widened(b, v, *out_dtype);
}

/* cumsum as a sum over j <= i: quadratic in the axis. */
static InstId scan_guard(Frame *fr, const IndexMap *at, InstId v, Dtype dtype)
{
    Build *b = &fr->b;
    const Graph *g = b->f->g;
    int64_t axis = graph_attr(g, b->anchor, "axis")->i;
    bool exclusive = graph_attr(g, b->anchor, "exclusive")->i,
         reverse = graph_attr(g, b->anchor, "reverse")->i;
    Affine i = at->at[axis], j = fr->value[fr->rank];
    Affine distance =
        reverse ? affine_add(j, affine_scale(i, -1)) : affine_add(i, affine_scale(j, -1));
    KernelAccess guard = { .index = INST_NONE };
    vec_push(b->f->arena, &guard.guards, (KernelGuard){ distance, exclusive, dim_of(INT64_MAX) });
    vec_push(b->f->arena, &b->s->accesses, guard);
    InstId inside = expr_push(
        b, (KernelInst){ .kind = INST_GUARD, .dtype = DT_BOOL, .access = b->s->accesses.n - 1 });
    InstId zero = expr_push(b, (KernelInst){ .kind = INST_CONST, .dtype = dtype });
    return expr_scalar(b, SC_SELECT, dtype, inside, v, zero);
}

/* The stage's body up to its accumulators; sets b->anchor_value to what the epilogue reads. */
static void anchor_body(Frame *fr, NodeId root)
{
    Build *b = &fr->b;
    Arena *a = b->f->arena;
    const Graph *g = b->f->g;
    const OpDef *def = op_defs[graph_node(g, b->anchor)->op];
    IndexMap at;
    Dtype dtype = graph_dtype(g, b->anchor);
    if (!anchor_index(fr, root, &at))
        return;
    if (def->lower == LOWER_CONTRACT && fuse_is_gemm(g, b->anchor))
        b->s->kind = STAGE_CONTRACT;
    InstId v = def->lower == LOWER_CONTRACT ? contract_body(fr, &at, &dtype)
                                            : reduce_body(fr, &at, &dtype);
    if (b->failed)
        return;
    if (def->lower == LOWER_CONTRACT && !fr->n_reduced) { /* an outer product: no sum */
        b->anchor_value = widened(b, v, graph_dtype(g, b->anchor));
        return;
    }
    int64_t number = 0;
    if (def->lower == LOWER_ARG_REDUCE) {
        InstId index = expr_push(
            b, (KernelInst){ .kind = INST_INDEX, .dtype = DT_I64, .affine = fr->value[fr->rank] });
        Combine c = def->scalar == SC_MINIMUM ? COMBINE_ARGMIN : COMBINE_ARGMAX;
        vec_push(a, &b->s->accums, (KernelAccum){ c, v, index, dtype });
        number = 1;
        dtype = DT_I64;
    } else if (b->s->kind == STAGE_CONTRACT) {
        vec_push(a, &b->s->accums,
                 (KernelAccum){ COMBINE_SUM, b->s->a, INST_NONE, dtype }); /* of a times b */
    } else {
        if (def->lower == LOWER_SCAN)
            v = scan_guard(fr, &at, v, dtype);
        Combine c = def->lower == LOWER_REDUCE ? combine_of(def->scalar) : COMBINE_SUM;
        vec_push(a, &b->s->accums, (KernelAccum){ c, v, INST_NONE, dtype });
    }
    b->s->body_insts = b->s->insts.n;
    b->memo.n = 0; /* values of the body are not those of the epilogue */
    InstId acc = expr_push(b, (KernelInst){ .kind = INST_ACC, .dtype = dtype, .i = number });
    if (dtype != graph_dtype(g, b->anchor))
        acc = expr_scalar(b, SC_CAST, graph_dtype(g, b->anchor), acc, INST_NONE, INST_NONE);
    b->anchor_value = acc;
    expr_locate(b, 0, b->anchor);
}

/* Operations and bytes of the kernel at the maximal batch, for reports and for deciding what is
 * worth a second thread. */
static void measure(Fuse *f, Build *b)
{
    for (uint32_t i = 0; i < b->k->stages.n; i++) {
        const KernelStage *s = &b->k->stages.at[i];
        double points = 1, sums = 1;
        for (uint32_t j = 0; j < b->k->grid; j++)
            points *= (double)b->k->axes.at[j].extent.n;
        for (uint32_t j = 0; j < s->n_free; j++)
            points *= (double)b->k->axes.at[s->free_axes[j]].extent.n;
        for (uint32_t j = 0; j < s->n_reduced; j++)
            sums *= (double)b->k->axes.at[s->reduced_axes[j]].extent.n;
        double body = s->kind == STAGE_CONTRACT ? 2 : s->body_insts;
        b->k->flops += points * (sums * body + (s->insts.n - s->body_insts));
    }
    for (uint32_t i = 0; i < b->operands.n; i++)
        b->k->bytes += (double)f->plan->buffers.at[b->operands.at[i]].bytes;
}

static void push_draft(Fuse *f, Build *b, NodeId node, uint32_t to)
{
    Draft d = { .kernel = b->k, .writes = -1, .loc = graph_node(f->g, node)->loc };
    const PlanBuffer *p = &f->plan->buffers.at[to];
    if (p->kind == BUFFER_TENSOR)
        d.writes = (int32_t)p->index;
    d.buffers.at = b->operands.at;
    d.buffers.n = b->operands.n;
    d.buffers.cap = b->operands.cap;
    measure(f, b);
    b->k->loc = d.loc;
    b->k->name = op_defs[graph_node(f->g, node)->op]->name;
    vec_push(f->arena, &f->drafts, d);
}

/* A frame's failure: true when it can be tried again with one more split. */
static bool take_split(Frame *fr)
{
    if (fr->b.split_axis < 0 || fr->n_splits == MAX_SPLITS)
        return false;
    fr->splits[fr->n_splits++] = (Split){ (uint32_t)fr->b.split_axis, fr->b.split_inner };
    return true;
}

/* Loops in the order of the result's storage, the smallest step last. */
static void sort_by_stride(uint32_t *axes, uint32_t n, const Affine *store)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && llabs(store->coef[axes[j]]) > llabs(store->coef[axes[j - 1]]);
             j--) {
            uint32_t t = axes[j];
            axes[j] = axes[j - 1];
            axes[j - 1] = t;
        }
}

/* `value` at every index of its shape, into `to`. `offset` elements are added to the store's place:
 * a part of a whole. */
static bool build_store(Fuse *f, NodeId value, bool compute, uint32_t to, const Strides *strides,
                        int64_t offset)
{
    const Shape shape = *graph_shape(f->g, value);
    Frame fr = { 0 };
    do {
        frame_begin(&fr, f, &shape, compute ? f->anchor[value] : NODE_NONE);
        Build *b = &fr.b;
        b->root = compute ? value : NODE_NONE;
        if (b->anchor != NODE_NONE)
            anchor_body(&fr, value);
        IndexMap at = root_map(&fr);
        InstId v = expr_value(b, value, &at);
        if (b->failed)
            continue;
        uint32_t access = expr_access(b, to, strides, &at, true);
        b->s->accesses.at[access].offset.c += offset;
        vec_push(f->arena, &b->s->stores, (KernelStore){ STORE_SET, false, access, v });
        sort_by_stride(b->s->free_axes, b->s->n_free, &b->s->accesses.at[access].offset);
        if (b->s->kind == STAGE_CONTRACT)
            fuse_shape_contract(b);
        else
            fuse_shape_nest(b);
        push_draft(f, b, value, to);
        return true;
    } while (take_split(&fr));
    if (!f->restart) { /* too many splits: give the reshape something stored to read */
        f->forced[value] = 1;
        f->restart = true;
    }
    return false;
}

void fuse_build_copy(Fuse *f, NodeId node, uint32_t to, const Strides *strides)
{
    build_store(f, node, false, to, strides, 0);
}

static bool build_concat(Fuse *f, NodeId node, uint32_t to, const Strides *strides)
{
    int64_t axis = graph_attr(f->g, node, "axis")->i, at = 0;
    for (uint32_t i = 0; i < graph_node(f->g, node)->count; i++) {
        NodeId x = graph_operand(f->g, node, i);
        /* A part that is no root is computed here; its anchor, if it has one, made it a root. */
        if (!build_store(f, x, !f->root[x], to, strides, at * strides->at[axis]))
            return false;
        at += graph_shape(f->g, x)->dim[axis].n;
    }
    return true;
}

/* Zeros, then indexed additions, serial over the axis of the index: deterministic, no atomics. The
 * grid is what both have. */
static bool build_scatter(Fuse *f, NodeId node, uint32_t to, const Strides *strides)
{
    const Graph *g = f->g;
    NodeId index = graph_operand(g, node, 0), updates = graph_operand(g, node, 1);
    const Shape result = *graph_shape(g, node), from = *graph_shape(g, updates);
    uint32_t axis = (uint32_t)graph_attr(g, node, "axis")->i,
             index_rank = graph_shape(g, index)->rank;
    bool along = graph_node(g, node)->op == OP_scatter_add_along;
    uint32_t walked = along ? 1 : index_rank; /* axes of updates that the index walks */
    Frame fr = { 0 };
    frame_begin(&fr, f, &from, NODE_NONE);
    Build *b = &fr.b;
    KernelStage fill = { .a = INST_NONE, .b = INST_NONE };
    KernelStage *add = b->s;
    add->n_free = add->n_reduced = 0;
    uint32_t grid[MAX_RANK], n_grid = 0;
    for (uint32_t i = 0; i < from.rank; i++)
        if (i >= axis && i < axis + walked)
            add->reduced_axes[add->n_reduced++] = i;
        else
            grid[n_grid++] = i;
    IndexMap at = root_map(&fr), index_at = at, to_at = at;
    if (!along) {
        index_at.rank = index_rank;
        memmove(index_at.at, at.at + axis, index_rank * sizeof *at.at);
        to_at.rank = result.rank;
        for (uint32_t i = axis + 1; i < result.rank; i++)
            to_at.at[i] = at.at[i + walked - 1];
    }
    to_at.at[axis] = affine_const(0);
    InstId v = expr_value(b, updates, &at), i = expr_value(b, index, &index_at);
    if (b->failed) {
        f->forced[updates] = f->forced[index] = 1;
        f->restart = true;
        return false;
    }
    if (b->s->insts.at[i].dtype != DT_I64)
        i = expr_scalar(b, SC_CAST, DT_I64, i, INST_NONE, INST_NONE);
    uint32_t access = expr_access(b, to, strides, &to_at, true);
    add->accesses.at[access].index = i;
    add->accesses.at[access].index_stride = strides->at[axis];
    add->accesses.at[access].index_extent = result.dim[axis].n;
    vec_push(f->arena, &add->stores, (KernelStore){ STORE_ADD, true, access, v });
    add->body_insts = add->insts.n;
    vec_push(f->arena, &b->k->axes, (KernelAxis){ result.dim[axis] });
    KernelStage done = *add;
    b->s = &fill;
    fill.free_axes[fill.n_free++] = b->k->axes.n - 1;
    to_at.at[axis] = affine_axis(b->k->axes.n - 1);
    InstId zero = expr_push(b, (KernelInst){ .kind = INST_CONST, .dtype = graph_dtype(g, node) });
    access = expr_access(b, to, strides, &to_at, true);
    vec_push(f->arena, &fill.stores, (KernelStore){ STORE_SET, false, access, zero });
    b->k->stages.at[0] = fill;
    vec_push(f->arena, &b->k->stages, done);
    fuse_shape_scatter(b, grid, n_grid);
    push_draft(f, b, node, to);
    return true;
}

bool fuse_build(Fuse *f, NodeId root, uint32_t to, const Strides *strides)
{
    switch (op_defs[graph_node(f->g, root)->op]->lower) {
    case LOWER_CONCAT: return build_concat(f, root, to, strides);
    case LOWER_SCATTER: return build_scatter(f, root, to, strides);
    case LOWER_CALL: fuse_build_call(f, root, to); return true;
    case LOWER_SCAN:
        f->anchor[root] = root;
        return build_store(f, root, true, to, strides, 0);
    case LOWER_NONE:
    case LOWER_ELEMENTWISE:
    case LOWER_MOVE:
    case LOWER_INDEX:
    case LOWER_REDUCE:
    case LOWER_ARG_REDUCE:
    case LOWER_GATHER:
    case LOWER_CONTRACT:
    case LOWER_EXPAND: return build_store(f, root, true, to, strides, 0);
    }
    return false;
}
