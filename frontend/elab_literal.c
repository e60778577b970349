/* elab_literal.c: lists of numbers as tensors: f32([[1, 2], [3, 4]]), i64([0, -1]), bool([true]).
 *
 * Integers travel as i64 and the others as f64, so that a cast to the wanted dtype rounds once.
 * Elements that are multiples of the batch, as in i64([B, 3]), are 0 in the constant, and added. */
#include "frontend/elab.h"

typedef struct {
    Elab *e;
    LocId loc;
    Shape shape;
    bool integers;   /* all so far */
    uint64_t at;     /* the next element */
    void *elements;  /* NULL while counting */
    int64_t *multiples; /* of the batch, by element */
    bool batch;      /* some are not 0 */
} Literal;

static bool literal_fail(Literal *q, Val v)
{
    if (v.kind != VAL_ERROR)
        report_kind(q->e, q->loc, "a list of numbers, with equal lists inside where it has some",
                    v);
    return false;
}

/* First walk: the shape, from the first list of each depth. */
static bool measure(Literal *q, Val v)
{
    while (v.kind == VAL_LIST) {
        if (q->shape.rank == MAX_RANK)
            return literal_fail(q, v);
        q->shape.dim[q->shape.rank++] = dim_of(v.list.n);
        if (!v.list.n)
            return true;
        v = v.list.at[0];
    }
    return true;
}

static bool put(Literal *q, Val v)
{
    bool whole = v.kind == VAL_INT || v.kind == VAL_BOOL || v.kind == VAL_DIM;
    if (!whole && !val_is_number(v))
        return literal_fail(q, v);
    int64_t i = v.kind == VAL_BOOL ? v.b : v.kind == VAL_INT ? v.i : 0;
    if (!q->elements)
        q->integers &= whole;
    else if (q->integers)
        ((int64_t *)q->elements)[q->at] = i;
    else
        ((double *)q->elements)[q->at] = whole ? (double)i : val_double(v);
    if (q->elements && v.kind == VAL_DIM)
        q->multiples[q->at] = v.i;
    q->batch |= v.kind == VAL_DIM;
    q->at++;
    return true;
}

static bool walk(Literal *q, Val v, uint32_t axis)
{
    if (axis == q->shape.rank)
        return put(q, v);
    if (v.kind != VAL_LIST || v.list.n != q->shape.dim[axis].n)
        return literal_fail(q, v);
    for (uint32_t i = 0; i < v.list.n; i++)
        if (!walk(q, v.list.at[i], axis + 1))
            return false;
    return true;
}

static NodeId times_batch(Literal *q, Dtype t)
{
    Graph *g = q->e->g;
    AttrValue attrs[] = { attr_i(1), attr_dtype(t) };
    NodeId batch = graph_emit(g, OP_batch, NULL, 0, attrs, 2);
    NodeId k = b_data(g, DT_I64, &q->shape, q->multiples);
    return b_mul(g, t == DT_I64 ? k : b_cast(g, k, t), b_spread_scalar(g, batch, &q->shape));
}

Val list_tensor(Elab *e, Val list, Dtype t, LocId loc)
{
    Literal q = { .e = e, .loc = loc, .integers = true };
    if (!measure(&q, list) || !walk(&q, list, 0))
        return val_error();
    if (q.batch && t == DT_BOOL)
        return (report_kind(e, loc, "a list of true and false", list), val_error());
    q.elements = arena_new_array(e->a, int64_t, q.at + 1);
    q.multiples = arena_new_array(e->a, int64_t, q.at + 1);
    q.at = 0;
    walk(&q, list, 0);
    set_loc(e, loc);
    Dtype from = q.integers ? DT_I64 : DT_F64;
    NodeId x = b_data(e->g, from, &q.shape, q.elements);
    if (from != t)
        x = b_cast(e->g, x, t);
    return val_node(q.batch ? b_add(e->g, x, times_batch(&q, t)) : x);
}
