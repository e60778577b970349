/* fuse_expr.c: a value at an index, as scalar instructions of a kernel.
 *
 * An index is an affine function of the kernel's axes for each axis of the value, with guards.
 * Movement ops rewrite it; element-wise ops pass it on; what is stored becomes a load. Equal
 * (value, index) pairs are computed once. */
#include "passes/fuse.h"

#include <string.h>

static bool maps_equal(const IndexMap *a, const IndexMap *b)
{
    return a->rank == b->rank && !memcmp(a->at, b->at, a->rank * sizeof *a->at) &&
           a->guards.n == b->guards.n &&
           (!a->guards.n ||
            !memcmp(a->guards.at, b->guards.at, a->guards.n * sizeof *a->guards.at));
}

InstId expr_push(Build *b, KernelInst inst)
{
    vec_push(b->f->arena, &b->s->insts, inst);
    return b->s->insts.n - 1;
}

uint32_t expr_operand(Build *b, uint32_t buffer, bool written)
{
    Arena *a = b->f->arena;
    for (uint32_t i = 0; i < b->operands.n; i++)
        if (b->operands.at[i] == buffer) {
            b->k->buffers.at[i].written |= written;
            return i;
        }
    vec_push(a, &b->operands, buffer);
    vec_push(a, &b->k->buffers,
             (KernelBuffer){ .dtype = b->f->plan->buffers.at[buffer].dtype, .written = written });
    b->k->operands = b->k->buffers.n;
    return b->k->buffers.n - 1;
}

uint32_t expr_access(Build *b, uint32_t buffer, const Strides *strides, const IndexMap *map,
                     bool written)
{
    KernelAccess access = { .buffer = expr_operand(b, buffer, written), .index = INST_NONE };
    for (uint32_t i = 0; i < map->rank; i++)
        access.offset = affine_add(access.offset, affine_scale(map->at[i], strides->at[i]));
    for (uint32_t i = 0; i < map->guards.n; i++)
        vec_push(b->f->arena, &access.guards, map->guards.at[i]);
    vec_push(b->f->arena, &b->s->accesses, access);
    return b->s->accesses.n - 1;
}

static InstId push_load(Build *b, NodeId node, const IndexMap *map)
{
    uint32_t access = expr_access(b, b->f->buffer[node], &b->f->strides[node], map, false);
    return expr_push(b, (KernelInst){ .kind = INST_LOAD,
                                      .dtype = graph_dtype(b->f->g, node),
                                      .access = access,
                                      .loc = graph_node(b->f->g, node)->loc });
}

static InstId push_number(Build *b, Dtype dtype, double f, int64_t i)
{
    return expr_push(b, (KernelInst){ .kind = INST_CONST, .dtype = dtype, .f = f, .i = i });
}

InstId expr_scalar(Build *b, ScalarOp op, Dtype dtype, InstId x, InstId y, InstId z)
{
    return expr_push(
        b, (KernelInst){ .kind = INST_SCALAR, .op = op, .dtype = dtype, .a = x, .b = y, .c = z });
}

static InstId push_cast(Build *b, InstId x, Dtype dtype)
{
    if (x == INST_NONE || b->s->insts.at[x].dtype == dtype)
        return x;
    return expr_scalar(b, SC_CAST, dtype, x, INST_NONE, INST_NONE);
}

/* Arithmetic happens in f64 f32 i64 i32 u64 u32 and bool; narrower types compute wider and round
 * once. */
static Dtype wide(Dtype t)
{
    switch (t) {
    case DT_F16:
    case DT_BF16: return DT_F32;
    case DT_I16:
    case DT_I8:
    case DT_U16:
    case DT_U8: return DT_I32;
    case DT_F64:
    case DT_F32:
    case DT_I64:
    case DT_I32:
    case DT_U64:
    case DT_U32:
    case DT_BOOL:
    case DT_COUNT: return t;
    }
    return t;
}

/* The number of a constant of one element. f16 and bf16 are loaded from memory. */
static bool constant_number(const Graph *g, NodeId node, double *out_f, int64_t *out_i)
{
    const AttrValue *data = graph_attr(g, node, "data");
    Dtype t = graph_dtype(g, node);
    if (data->count != dtype_size(t) || t == DT_F16 || t == DT_BF16)
        return false;
    uint64_t raw = 0;
    memcpy(&raw, data->data, data->count);
    int unused = 64 - 8 * (int)data->count;
    *out_i = dtype_is_signed(t) ? (int64_t)(raw << unused) >> unused : (int64_t)raw;
    float single;
    memcpy(&single, &raw, sizeof single);
    *out_f = single;
    if (t == DT_F64)
        memcpy(out_f, &raw, sizeof *out_f);
    return true;
}

static InstId leaf_value(Build *b, NodeId node, const IndexMap *map)
{
    const Graph *g = b->f->g;
    double f = 0;
    int64_t i = 0;
    if (graph_node(g, node)->op == OP_constant && constant_number(g, node, &f, &i))
        return push_number(b, graph_dtype(g, node), f, i);
    if (graph_node(g, node)->op == OP_batch) {
        Affine k = affine_const(graph_attr(g, node, "k")->i);
        InstId n = expr_push(b, (KernelInst){ .kind = INST_BATCH, .dtype = DT_I64, .affine = k });
        return push_cast(b, n, graph_dtype(g, node));
    }
    return push_load(b, node, map);
}

bool expr_move(Build *b, NodeId node, const IndexMap *map, IndexMap *out_map)
{
    const OpDef *def = op_defs[graph_node(b->f->g, node)->op];
    *out_map = *map;
    out_map->arena = b->f->arena;
    memset(
        &out_map->guards, 0,
        sizeof out_map->guards); /* the list is shared with the caller's map: copy before adding */
    for (uint32_t i = 0; i < map->guards.n; i++)
        vec_push(b->f->arena, &out_map->guards, map->guards.at[i]);
    out_map->axes = b->k->axes.at;
    out_map->n_axes = b->k->axes.n;
    out_map->split_axis = -1;
    if (def->move && def->move(b->f->g, node, out_map))
        return true;
    b->failed = true;
    b->split_axis = def->move ? out_map->split_axis : -1;
    b->split_inner = out_map->split_inner;
    if (b->split_axis < 0 || b->k->axes.n + 1 >= KERNEL_MAX_AXES) {
        NodeId x = graph_operand(b->f->g, node, 0);
        b->split_axis = -1;
        b->f->called[x] |= b->f->forced[x]; /* stored and still out of reach: in dense rows, then */
        b->f->forced[x] = 1;
        b->f->restart = true;
    }
    return false;
}

/* A reshape of dense rows keeps every element's place: its row-major position is the operand's,
 * whatever the axes. */
static bool reads_dense_rows(const Build *b, NodeId node)
{
    const Graph *g = b->f->g;
    if (graph_node(g, node)->op != OP_reshape)
        return false;
    NodeId x = graph_operand(g, node, 0);
    const Shape *s = graph_shape(g, x);
    Strides dense;
    layout_row_major(s, &dense);
    for (uint32_t i = 0; i < s->rank; i++)
        if (s->dim[i].n > 1 && b->f->strides[x].at[i] != dense.at[i])
            return false;
    return b->f->buffer[x] != BUFFER_NONE && x != b->root;
}

static InstId dense_value(Build *b, NodeId node, const IndexMap *map)
{
    Strides dense;
    NodeId x = graph_operand(b->f->g, node, 0);
    layout_row_major(graph_shape(b->f->g, node), &dense);
    uint32_t access = expr_access(b, b->f->buffer[x], &dense, map, false);
    return expr_push(b, (KernelInst){ .kind = INST_LOAD,
                                      .dtype = graph_dtype(b->f->g, node),
                                      .access = access,
                                      .loc = graph_node(b->f->g, node)->loc });
}

static InstId move_value(Build *b, NodeId node, const IndexMap *map)
{
    IndexMap inner;
    if (reads_dense_rows(b, node))
        return dense_value(b, node, map);
    if (!expr_move(b, node, map, &inner))
        return INST_NONE;
    InstId value = expr_value(b, graph_operand(b->f->g, node, 0), &inner);
    if (value == INST_NONE || inner.guards.n == map->guards.n)
        return value;
    if (inner.fill == 0 && b->s->insts.at[value].kind == INST_LOAD)
        return value; /* a guarded load gives 0 by itself */
    KernelAccess guard = { .index = INST_NONE };
    for (uint32_t i = 0; i < inner.guards.n; i++)
        vec_push(b->f->arena, &guard.guards, inner.guards.at[i]);
    vec_push(b->f->arena, &b->s->accesses, guard);
    InstId inside = expr_push(
        b, (KernelInst){ .kind = INST_GUARD, .dtype = DT_BOOL, .access = b->s->accesses.n - 1 });
    Dtype t = graph_dtype(b->f->g, node);
    InstId fill = push_number(b, t, inner.fill, (int64_t)inner.fill);
    return expr_scalar(b, SC_SELECT, t, inside, value, fill);
}

static InstId elementwise_value(Build *b, NodeId node, const IndexMap *map)
{
    const Graph *g = b->f->g;
    ScalarOp op = op_defs[graph_node(g, node)->op]->scalar;
    InstId in[3] = { INST_NONE, INST_NONE, INST_NONE };
    Dtype t = graph_dtype(g, node);
    for (uint32_t i = 0; i < graph_node(g, node)->count; i++) {
        in[i] = expr_value(b, graph_operand(g, node, i), map);
        if (in[i] == INST_NONE)
            return INST_NONE;
        if (op != SC_CAST && op != SC_SELECT && op != SC_COPY)
            in[i] = push_cast(b, in[i], wide(b->s->insts.at[in[i]].dtype));
    }
    if (op == SC_COPY)
        return in[0];
    if (op == SC_CAST)
        return push_cast(b, in[0], t);
    Dtype at = op == SC_SELECT ? t : wide(t);
    return push_cast(b, expr_scalar(b, op, at, in[0], in[1], in[2]), t);
}

static InstId index_value(Build *b, NodeId node, const IndexMap *map)
{
    const Graph *g = b->f->g;
    if (graph_node(g, node)->op == OP_iota) {
        Affine e = map->at[graph_attr(g, node, "axis")->i];
        InstId i = expr_push(b, (KernelInst){ .kind = INST_INDEX, .dtype = DT_I64, .affine = e });
        return push_cast(b, i, graph_dtype(g, node));
    }
    IndexMap none = { 0 };
    InstId seed = expr_value(b, graph_operand(g, node, 0), &none),
           key = expr_value(b, graph_operand(g, node, 1), &none);
    if (seed == INST_NONE || key == INST_NONE)
        return INST_NONE;
    const Shape *s = graph_shape(g, node);
    Affine e = affine_const(0); /* row-major position at the maximal batch */
    int64_t stride = 1;
    for (uint32_t i = s->rank; i-- > 0; stride *= s->dim[i].n)
        e = affine_add(e, affine_scale(map->at[i], stride));
    InstId element = expr_push(b, (KernelInst){ .kind = INST_INDEX, .dtype = DT_I64, .affine = e });
    return expr_push(b, (KernelInst){ .kind = INST_RANDOM,
                                      .dtype = DT_U32,
                                      .a = element,
                                      .b = key,
                                      .c = seed,
                                      .access = (uint32_t)graph_attr(g, node, "word")->i,
                                      .site = (uint64_t)graph_attr(g, node, "site")->i });
}

/* gather: the axis of the data is replaced by the index's axes; take_along: the index has the
 * data's rank. */
static InstId gather_value(Build *b, NodeId node, const IndexMap *map)
{
    const Graph *g = b->f->g;
    NodeId data = graph_operand(g, node, 0), index = graph_operand(g, node, 1);
    const Shape *s = graph_shape(g, data);
    uint32_t axis = (uint32_t)graph_attr(g, node, "axis")->i, rank = graph_shape(g, index)->rank;
    IndexMap index_map = *map, data_map = *map;
    if (graph_node(g, node)->op == OP_gather) {
        index_map.rank = rank;
        memmove(index_map.at, map->at + axis, rank * sizeof *map->at);
        data_map.rank = s->rank;
        for (uint32_t i = axis + 1; i < s->rank; i++)
            data_map.at[i] = map->at[i + rank - 1];
    }
    data_map.at[axis] = affine_const(0);
    InstId i = push_cast(b, expr_value(b, index, &index_map), DT_I64);
    if (i == INST_NONE)
        return INST_NONE;
    uint32_t access = expr_access(b, b->f->buffer[data], &b->f->strides[data], &data_map, false);
    KernelAccess *at = &b->s->accesses.at[access];
    at->index = i;
    at->index_stride = b->f->strides[data].at[axis];
    at->index_extent = s->dim[axis].n;
    b->k->status = (int32_t)expr_operand(b, b->f->status_buffer, true);
    return expr_push(b, (KernelInst){ .kind = INST_LOAD,
                                      .dtype = graph_dtype(g, node),
                                      .access = access,
                                      .loc = graph_node(g, node)->loc });
}

static InstId computed_value(Build *b, NodeId node, const IndexMap *map)
{
    switch (op_defs[graph_node(b->f->g, node)->op]->lower) {
    case LOWER_NONE: return leaf_value(b, node, map);
    case LOWER_ELEMENTWISE: return elementwise_value(b, node, map);
    case LOWER_MOVE: return move_value(b, node, map);
    case LOWER_INDEX: return index_value(b, node, map);
    case LOWER_GATHER: return gather_value(b, node, map);
    case LOWER_CONTRACT:
    case LOWER_REDUCE:
    case LOWER_ARG_REDUCE:
    case LOWER_SCAN:
    case LOWER_SCATTER:
    case LOWER_CONCAT:
    case LOWER_CALL:
    case LOWER_EXPAND:
        break; /* always stored, or gone */
    }
    assert(!"a value that should have been stored");
    return INST_NONE;
}

void expr_locate(Build *b, uint32_t first, NodeId node)
{
    for (uint32_t i = first; i < b->s->insts.n; i++)
        if (!b->s->insts.at[i].loc)
            b->s->insts.at[i].loc = graph_node(b->f->g, node)->loc;
}

InstId expr_value(Build *b, NodeId node, const IndexMap *map)
{
    if (b->failed)
        return INST_NONE;
    if (node == b->anchor && b->anchor_value != INST_NONE)
        return b->anchor_value;
    for (uint32_t i = 0; i < b->memo.n; i++)
        if (b->memo.at[i].node == node && maps_equal(&b->memo.at[i].map, map))
            return b->memo.at[i].inst;
    bool stored = b->f->root[node] && node != b->root;
    uint32_t before = b->s->insts.n;
    InstId value = stored ? push_load(b, node, map) : computed_value(b, node, map);
    expr_locate(b, before, node);
    if (value != INST_NONE)
        vec_push(b->f->arena, &b->memo, (Memo){ node, *map, value });
    return value;
}
