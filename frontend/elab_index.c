/* elab_index.c: x[..] as slices and gathers, and x[..] = e on a local name or state, which makes a
 * new value of slices and e.
 *
 * Items meet axes from the left; `...` stands for all axes between. An integer drops its axis, a..b
 * slices, an integer tensor gathers along the axis it stands at. Negative numbers count from the
 * end. */
#include "frontend/elab.h"

typedef enum { ITEM_ALL, ITEM_SLICE, ITEM_AT, ITEM_GATHER, ITEM_WINDOW } ItemKind;
typedef struct {
    ItemKind kind;
    int64_t from, to; /* SLICE; AT: from; WINDOW: to is the extent */
    Val index;        /* GATHER; WINDOW: where it begins */
    LocId loc;
} Item;

static bool position(Elab *e, Val v, Dim d, LocId loc, const char *what, int64_t *out)
{
    if (v.kind == VAL_DIM && d.k == v.i) { /* the end of an axis of the batch */
        *out = d.n;
        return true;
    }
    if (!val_integer(e, v, loc, what, out))
        return false;
    if (d.k && *out < 0) {
        e->wants_pin = true;
        return false;
    }
    if (*out < 0)
        *out += d.n;
    return true;
}

static bool is_runtime_index(Val v)
{
    return v.kind == VAL_TENSOR && !v.untyped;
}

/* p..p+n with a run-time p: the end is the sum of the beginning and a constant. */
static bool window_item(Elab *e, Val v, Dim d, LocId loc, Item *out)
{
    double extent = -1;
    NodeId to = v.range.to && v.range.to->kind == VAL_TENSOR ? v.range.to->node : NODE_NONE;
    NodeId from = v.range.from && is_runtime_index(*v.range.from) ? v.range.from->node : NODE_NONE;
    if (to != NODE_NONE && from != NODE_NONE && graph_node(e->g, to)->op == OP_add)
        for (uint32_t i = 0; i < 2; i++)
            if (graph_operand(e->g, to, i) == from &&
                !b_is_splat(e->g, graph_operand(e->g, to, 1 - i), &extent))
                extent = -1;
    *out =
        (Item){ ITEM_WINDOW, 0, (int64_t)extent, v.range.from ? *v.range.from : val_none(), loc };
    if (extent < 0 || graph_shape(e->g, from)->rank) {
        diag_report(e->cx, DIAG_E0338, loc_here(e, loc),
                    "the extent of this slice is not known: between run-time positions it must "
                    "have the form p..p+n");
        return false;
    }
    if (d.k) {
        e->wants_pin = true;
        return false;
    }
    if (extent <= (double)d.n)
        return true;
    diag_report(e->cx, DIAG_E0314, loc_here(e, loc),
                "a slice of %lld from an axis with %lld elements", (long long)extent,
                (long long)d.n);
    return false;
}

static bool slice_item(Elab *e, Val v, Dim d, LocId loc, Item *out)
{
    *out = (Item){ ITEM_SLICE, 0, d.n, val_none(), loc };
    if ((v.range.from && is_runtime_index(*v.range.from)) ||
        (v.range.to && is_runtime_index(*v.range.to)))
        return window_item(e, v, d, loc, out);
    if ((v.range.from && !position(e, *v.range.from, d, loc, "the start of a slice", &out->from)) ||
        (v.range.to && !position(e, *v.range.to, d, loc, "the end of a slice", &out->to)))
        return false;
    if (out->from == 0 && out->to == d.n)
        out->kind = ITEM_ALL;
    if (out->from >= 0 && out->from <= out->to && out->to <= d.n)
        return true;
    diag_report(e->cx, DIAG_E0314, loc_here(e, loc),
                "the slice %lld..%lld of an axis with %lld elements", (long long)out->from,
                (long long)out->to, (long long)d.n);
    return false;
}

static bool read_item(Elab *e, const AstIndex *index, Dim d, Scope *s, Item *out)
{
    *out = (Item){ .kind = ITEM_ALL, .loc = index->loc };
    if (index->kind == AST_INDEX_ALL)
        return true;
    Val v = val_deref(e, eval(e, index->expr, s));
    if (v.kind == VAL_RANGE)
        return slice_item(e, v, d, index->loc, out);
    if (is_runtime_index(v)) {
        *out = (Item){ ITEM_GATHER, 0, 0, v, index->loc };
        if (dtype_is_integer(graph_dtype(e->g, v.node)))
            return true;
        report_kind(e, index->loc, "an integer index", v);
        return false;
    }
    out->kind = ITEM_AT;
    if (v.kind == VAL_TENSOR) { /* dims and the clock */
        out->kind = ITEM_GATHER;
        out->index = tensor_cast(e, v, DT_I64, index->loc);
        return out->index.kind != VAL_ERROR;
    }
    if (!position(e, v, d, index->loc, "an index", &out->from))
        return false;
    if (out->from >= 0 && out->from < d.n)
        return true;
    diag_report(e->cx, DIAG_E0338, loc_here(e, index->loc),
                "index %lld of an axis with %lld elements",
                (long long)(out->from < 0 ? out->from - d.n : out->from), (long long)d.n);
    return false;
}

/* One item for every axis. */
static bool read_items(Elab *e, const Shape *shape, const AstIndex *items, uint32_t n, Scope *s,
                       LocId loc, Item *out)
{
    uint32_t ellipsis = 0;
    for (uint32_t i = 0; i < n; i++)
        ellipsis += items[i].kind == AST_INDEX_ELLIPSIS;
    if (n - ellipsis > shape->rank || ellipsis > 1) {
        diag_report(e->cx, DIAG_E0338, loc_here(e, loc), "%u indices for a tensor of rank %u",
                    n - ellipsis, shape->rank);
        return false;
    }
    uint32_t axis = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (items[i].kind == AST_INDEX_ELLIPSIS) {
            for (uint32_t k = shape->rank - (n - 1); k > 0; k--)
                out[axis++] = (Item){ .kind = ITEM_ALL };
            continue;
        }
        if (!read_item(e, &items[i], shape->dim[axis], s, &out[axis]))
            return false;
        axis++;
    }
    for (; axis < shape->rank; axis++)
        out[axis] = (Item){ .kind = ITEM_ALL };
    return true;
}

/* list[a..b], by the rules of a tensor's axis */
static Val slice_list(Elab *e, Val list, Val range, LocId loc)
{
    Item part;
    if (!slice_item(e, range, dim_of(list.list.n), loc, &part))
        return val_error();
    if (part.kind == ITEM_WINDOW) {
        diag_report(e->cx, DIAG_E0332, loc_here(e, loc), "a part of a list must be known here");
        return val_error();
    }
    list.list.at += part.from;
    list.list.n = (uint32_t)(part.to - part.from);
    return list;
}

static Val index_list(Elab *e, Val list, const AstExpr *x, Scope *s)
{
    int64_t i;
    if (x->index.n_items != 1 || x->index.items[0].kind != AST_INDEX_EXPR) {
        diag_report(e->cx, DIAG_E0338, loc_here(e, x->loc), "a list takes one index");
        return val_error();
    }
    const AstExpr *at = x->index.items[0].expr;
    Val v = val_deref(e, eval(e, at, s));
    if (v.kind == VAL_RANGE)
        return slice_list(e, list, v, at->loc);
    if (!val_integer(e, v, at->loc, "an index", &i))
        return val_error();
    if (i < 0)
        i += list.list.n;
    if (i >= 0 && i < list.list.n)
        return list.list.at[i];
    diag_report(e->cx, DIAG_E0338, loc_here(e, at->loc), "index %lld of a list with %u elements",
                (long long)i, list.list.n);
    return val_error();
}

/* LSTMCell[E, H]: the dims of a layer, given. */
static Val index_layer(Elab *e, Val v, const AstExpr *x, Scope *s)
{
    const AstLayer *ast = v.layer->ast;
    if (x->index.n_items != ast->n_dims || v.layer->dims) {
        diag_report(e->cx, DIAG_E0404, loc_here(e, x->loc), "`%s` has %u dims in brackets, not %u",
                    ast->name.text, ast->n_dims, x->index.n_items);
        return val_error();
    }
    Val *dims = arena_new_array(e->a, Val, ast->n_dims);
    for (uint32_t i = 0; i < ast->n_dims; i++) {
        if (x->index.items[i].kind != AST_INDEX_EXPR)
            return val_error();
        dims[i] = eval_dim(e, x->index.items[i].expr, s);
        if (dims[i].kind == VAL_ERROR)
            return val_error();
    }
    LayerVal *l = arena_make(e->a, LayerVal);
    *l = *v.layer;
    l->dims = dims;
    return (Val){ .kind = VAL_LAYER, .layer = l };
}

static NodeId take_slices(Elab *e, NodeId x, const Item *items, uint32_t rank)
{
    int64_t begin[MAX_RANK], end[MAX_RANK], step[MAX_RANK];
    const Shape shape = *graph_shape(e->g, x);
    bool any = false;
    for (uint32_t i = 0; i < rank; i++) {
        begin[i] = 0, end[i] = shape.dim[i].n, step[i] = 1;
        if (items[i].kind == ITEM_SLICE)
            begin[i] = items[i].from, end[i] = items[i].to, any = true;
        else if (items[i].kind == ITEM_AT)
            begin[i] = items[i].from, end[i] = items[i].from + 1, any = true;
    }
    return any ? b_slice(e->g, x, begin, end, step) : x;
}

static NodeId int_scalar(Elab *e, NodeId x, const Shape *shape)
{
    return b_spread_scalar(e->g, graph_dtype(e->g, x) == DT_I32 ? x : b_cast(e->g, x, DT_I32),
                           shape);
}

static NodeId take_window(Elab *e, NodeId x, uint32_t axis, const Item *item)
{
    Shape extent = { .rank = 1, .dim = { dim_of(item->to) } };
    NodeId index =
        b_add(e->g, b_iota(e->g, &extent, 0, DT_I32), int_scalar(e, item->index.node, &extent));
    AttrValue at = attr_i(axis);
    return graph_emit(e->g, OP_gather, (NodeId[]){ x, index }, 2, &at, 1);
}

/* old with value at position..position+extent of the axis: each element looks whether it is meant.
 */
static NodeId put_window(Elab *e, NodeId old, uint32_t axis, const Item *item, NodeId value)
{
    Graph *g = e->g;
    if (old == NODE_NONE || value == NODE_NONE)
        return NODE_NONE;
    Shape shape = *graph_shape(g, old), line = { .rank = 1, .dim = { shape.dim[axis] } },
          column = { .rank = shape.rank };
    for (uint32_t i = 0; i < shape.rank; i++)
        column.dim[i] = i == axis ? shape.dim[axis] : dim_of(1);
    NodeId offset = b_sub(g, b_iota(g, &line, 0, DT_I32), int_scalar(e, item->index.node, &line));
    NodeId zero = b_splat(g, DT_I32, &line, 0),
           last = b_splat(g, DT_I32, &line, (double)(item->to - 1));
    NodeId inside =
        b_binary(g, OP_and, b_binary(g, OP_ge, offset, zero), b_binary(g, OP_le, offset, last));
    NodeId clamped = b_binary(g, OP_minimum, b_binary(g, OP_maximum, offset, zero), last);
    AttrValue at = attr_i(axis);
    if (item->to > 1)
        value = graph_emit(g, OP_gather, (NodeId[]){ value, clamped }, 2, &at, 1);
    inside = node_broadcast(e, b_reshape(g, inside, &column), &shape);
    return b_select(g, inside, node_broadcast(e, value, &shape), old);
}

Val eval_index(Elab *e, const AstExpr *x, Scope *s)
{
    Val base = eval(e, x->index.base, s);
    if (base.kind == VAL_LIST || base.kind == VAL_TUPLE)
        return index_list(e, base, x, s);
    if (base.kind == VAL_LAYER)
        return index_layer(e, base, x, s);
    base = val_deref(e, base);
    if (base.kind != VAL_TENSOR) {
        report_kind(e, x->index.base->loc, "a tensor or list", base);
        return val_error();
    }
    Item items[MAX_RANK];
    uint32_t rank = val_shape(e, base)->rank;
    Shape shape = *val_shape(e, base);
    if (!read_items(e, &shape, x->index.items, x->index.n_items, s, x->loc, items))
        return val_error();
    set_loc(e, x->loc);
    NodeId y = take_slices(e, base.node, items, rank);
    for (uint32_t i = rank;
         i-- > 0 &&
         y != NODE_NONE;) { /* from the right, so that axes to the left keep their number */
        if (items[i].kind == ITEM_AT) {
            y = b_squeeze(e->g, y, i);
        } else if (items[i].kind == ITEM_WINDOW) {
            y = take_window(e, y, i, &items[i]);
        } else if (items[i].kind == ITEM_GATHER) {
            AttrValue axis = attr_i(i);
            y = graph_emit(e->g, OP_gather, (NodeId[]){ y, items[i].index.node }, 2, &axis, 1);
        }
    }
    Val v = val_node(y);
    v.untyped = base.untyped;
    return v;
}

/* old with the part at items[axis..] replaced; value has the shape of that part. */
static NodeId replace(Elab *e, NodeId old, const Item *items, uint32_t axis, uint32_t rank,
                      NodeId value)
{
    while (axis < rank && items[axis].kind == ITEM_ALL)
        axis++;
    if (axis == rank || old == NODE_NONE)
        return value;
    if (items[axis].kind == ITEM_WINDOW)
        return put_window(
            e, old, axis, &items[axis],
            replace(e, take_window(e, old, axis, &items[axis]), items, axis + 1, rank, value));
    int64_t from = items[axis].from, to = items[axis].kind == ITEM_AT ? from + 1 : items[axis].to;
    int64_t n = graph_shape(e->g, old)->dim[axis].n;
    NodeId part[3];
    uint32_t k = 0;
    if (from > 0)
        part[k++] = b_slice_axis(e->g, old, axis, 0, from);
    part[k++] = replace(e, b_slice_axis(e->g, old, axis, from, to), items, axis + 1, rank, value);
    if (to < n)
        part[k++] = b_slice_axis(e->g, old, axis, to, n);
    return k == 1 ? part[0] : b_concat(e->g, part, k, axis);
}

Val assign_index(Elab *e, Val old, const AstIndex *index, uint32_t n, Val value, Scope *s,
                 LocId loc)
{
    Item items[MAX_RANK];
    if (old.kind != VAL_TENSOR || value.kind == VAL_ERROR) {
        report_kind(e, loc, "a tensor", old);
        return val_error();
    }
    Shape shape = *val_shape(e, old), part = shape, dropped = { 0 };
    if (!read_items(e, &shape, index, n, s, loc, items))
        return val_error();
    for (uint32_t i = 0; i < shape.rank; i++) {
        bool one = items[i].kind == ITEM_AT;
        if (items[i].kind == ITEM_GATHER && graph_shape(e->g, items[i].index.node)->rank)
            return unsupported(e, items[i].loc, "assignment at several run-time positions");
        if (items[i].kind == ITEM_GATHER) { /* one position: a window of one */
            one = true;
            items[i].kind = ITEM_WINDOW;
            items[i].to = 1;
        }
        if (items[i].kind == ITEM_WINDOW)
            part.dim[i] = dim_of(items[i].to);
        if (items[i].kind == ITEM_SLICE)
            part.dim[i] = dim_of(items[i].to - items[i].from);
        if (one)
            part.dim[i] = dim_of(1);
        else
            dropped.dim[dropped.rank++] = part.dim[i];
    }
    Dtype t = old.untyped ? DT_COUNT : graph_dtype(e->g, old.node);
    if (t == DT_COUNT && (t = val_dtype_of(e, value)) == DT_COUNT)
        t = DT_F64;
    NodeId x = val_to_node(e, value, t, loc), into = val_to_node(e, old, t, loc);
    if (x == NODE_NONE || into == NODE_NONE)
        return val_error();
    Shape joined, own = *graph_shape(e->g, x);
    if (!shape_join(&own, &dropped, &joined) || !shape_equal(&joined, &dropped)) {
        diag_report(e->cx, DIAG_E0337, loc_here(e, loc), "this part is %s and cannot take %s",
                    shape_text(e->a, &dropped), val_text(e, value));
        return val_error();
    }
    set_loc(e, loc);
    x = node_broadcast(e, x, &dropped);
    if (dropped.rank != part.rank)
        x = b_reshape(e->g, x, &part);
    Val v = val_node(replace(e, into, items, 0, shape.rank, x));
    v.untyped = old.untyped && val_dtype_of(e, value) == DT_COUNT;
    return v;
}
