/* elab_tensor.c: dtypes and shapes meeting.
 *
 * A number, a dim and the clock have no dtype of their own and take the other operand's; dims and
 * the clock are computed in f64 until then. Tensors never mix, but for integers compared with each
 * other. Shapes align at the right; only a constant 1 is repeated. What the language leaves
 * implicit becomes a node here. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

enum { MAX_LIST = 65536 };

/* Code of the library speaks of the place that calls it: nobody can mend a line of the library. */
LocId loc_here(Elab *e, LocId loc)
{
    const char *owner = e->owner && *e->owner->path ? e->owner->path : NULL;
    uint32_t file = loc_get(e->cx, loc)->file;
    if (!loc || (!e->call && !e->owner))
        return loc;
    if (e->call && file >= e->std_first && file < e->std_last)
        return loc_through(e->cx, e->call, loc_get(e->cx, e->call)->parent, owner);
    return loc_through(e->cx, loc, e->call, owner);
}

void set_loc(Elab *e, LocId loc)
{
    e->g->loc = loc_here(e, loc);
}

bool val_is_runtime(Val v)
{
    return v.kind == VAL_TENSOR || v.kind == VAL_DIM || v.kind == VAL_BOOL || val_is_number(v);
}

const Shape *val_shape(Elab *e, Val v)
{
    static const Shape scalar = { 0 };
    return v.kind == VAL_TENSOR ? graph_shape(e->g, v.node) : &scalar;
}

bool number_fits(Val v, Dtype t)
{
    if (dtype_is_float(t))
        return true;
    double d = val_double(v);
    if (t == DT_BOOL || d != floor(d))
        return false;
    int bits = (int)dtype_size(t) * 8;
    return dtype_is_signed(t) ? d >= -ldexp(1, bits - 1) && d < ldexp(1, bits - 1)
                              : d >= 0 && d < ldexp(1, bits);
}

static NodeId number_node(Elab *e, Val v, Dtype t, LocId loc)
{
    if (number_fits(v, t))
        return v.kind == VAL_INT && t == DT_I64 ? b_const_i64(e->g, v.i)
                                                : b_const(e->g, t, val_double(v));
    if (t == DT_BOOL)
        diag_report(e->cx, DIAG_E0330, loc_here(e, loc),
                    "%s meets a bool; write a comparison, or cast the bool: i32(..)",
                    val_text(e, v));
    else
        diag_report(e->cx, DIAG_E0330, loc_here(e, loc),
                    "%s is not a value of %s; cast the tensor first, as in f32(..)", val_text(e, v),
                    dtype_name(t));
    return NODE_NONE;
}

NodeId val_to_node(Elab *e, Val v, Dtype t, LocId loc)
{
    double splat;
    v = val_deref(e, v);
    if (v.kind == VAL_ERROR)
        return NODE_NONE;
    if (val_is_number(v))
        return number_node(e, v, t, loc);
    if (v.kind == VAL_BOOL && t == DT_BOOL)
        return b_const(e->g, DT_BOOL, v.b);
    if (v.kind == VAL_DIM && t != DT_BOOL) {
        AttrValue attrs[] = { attr_i(v.i), attr_dtype(t) };
        return graph_emit(e->g, OP_batch, NULL, 0, attrs, 2);
    }
    if (v.kind == VAL_TENSOR && v.untyped && b_is_splat(e->g, v.node, &splat)) {
        Shape s = *graph_shape(e->g, v.node);
        Val number = val_float(splat);
        return number_fits(number, t) ? b_splat(e->g, t, &s, splat)
                                      : number_node(e, number, t, loc);
    }
    if (v.kind == VAL_TENSOR && v.untyped)
        return b_cast(e->g, v.node, t);
    if (v.kind == VAL_TENSOR && graph_dtype(e->g, v.node) == t)
        return v.node;
    if (v.kind == VAL_TENSOR || v.kind == VAL_BOOL)
        diag_report(e->cx, DIAG_E0330, loc_here(e, loc),
                    "%s is needed here, this is %s; cast it: %s(..)", dtype_name(t), val_text(e, v),
                    dtype_name(t));
    else
        report_kind(e, loc, "a tensor", v);
    return NODE_NONE;
}

Dtype val_dtype_of(Elab *e, Val v)
{
    if (v.kind == VAL_TENSOR && !v.untyped)
        return graph_dtype(e->g, v.node);
    return v.kind == VAL_BOOL ? DT_BOOL : DT_COUNT;
}

NodeId val_to_tensor(Elab *e, Val v, Dtype otherwise, LocId loc)
{
    v = val_deref(e, v);
    Dtype t = val_dtype_of(e, v);
    return val_to_node(e, v, t == DT_COUNT ? otherwise : t, loc);
}

bool shape_join(const Shape *a, const Shape *b, Shape *out)
{
    *out = (Shape){ .rank = a->rank > b->rank ? a->rank : b->rank };
    for (uint32_t i = 0; i < out->rank; i++) {
        uint32_t from_right = out->rank - i;
        Dim x = from_right <= a->rank ? a->dim[a->rank - from_right] : dim_of(1);
        Dim y = from_right <= b->rank ? b->dim[b->rank - from_right] : dim_of(1);
        if (!dim_equal(x, y) && !dim_equal(x, dim_of(1)) && !dim_equal(y, dim_of(1)))
            return false;
        out->dim[i] = dim_equal(x, dim_of(1)) ? y : x;
    }
    return true;
}

NodeId node_broadcast(Elab *e, NodeId x, const Shape *shape)
{
    double v;
    if (x == NODE_NONE)
        return x;
    Shape own = *graph_shape(e->g, x), wide = { .rank = shape->rank };
    if (shape_equal(&own, shape))
        return x;
    if (b_is_splat(e->g, x, &v) && !dtype_is_integer(graph_dtype(e->g, x)))
        return b_splat(e->g, graph_dtype(e->g, x), shape, v);
    for (uint32_t i = 0; i < shape->rank; i++)
        wide.dim[i] = i + own.rank >= shape->rank ? own.dim[i + own.rank - shape->rank] : dim_of(1);
    if (own.rank < shape->rank)
        x = b_reshape(e->g, x, &wide);
    return shape_equal(&wide, shape) ? x : b_broadcast(e->g, x, shape);
}

/* What integers of two dtypes are compared in. */
static Dtype common_integer(Dtype a, Dtype b)
{
    if (a == b)
        return a;
    bool small = true;
    Dtype both[] = { a, b };
    for (int i = 0; i < 2; i++)
        small &= dtype_size(both[i]) < 4 || both[i] == DT_I32;
    return small ? DT_I32 : DT_I64;
}

typedef struct {
    NodeId node[8];
    Shape shape;
    Dtype dtype;
    bool untyped;
} Meeting;

static bool is_data(Val v)
{
    return v.kind == VAL_TENSOR && !v.untyped;
}

/* The dtype of operands from..n; DT_COUNT when none has one. */
static bool meet_dtypes(Elab *e, const char *what, const Val *in, uint32_t from, uint32_t n,
                        bool compare, LocId loc, Dtype *out)
{
    *out = DT_COUNT;
    for (uint32_t i = from; i < n; i++) {
        Dtype t = val_dtype_of(e, in[i]);
        if (t == DT_COUNT || t == *out)
            continue;
        if (*out == DT_COUNT) {
            *out = t;
        } else if (compare && dtype_is_integer(t) && dtype_is_integer(*out)) {
            *out = common_integer(t, *out);
        } else {
            diag_report(e->cx, DIAG_E0305, loc_here(e, loc),
                        "`%s` of %s and %s: tensor types do not mix; cast one, as in %s(..)", what,
                        dtype_name(*out), dtype_name(t), dtype_name(dtype_is_float(t) ? t : *out));
            return false;
        }
    }
    return true;
}

static bool meet_shapes(Elab *e, const char *what, const Val *in, uint32_t n, LocId loc, Shape *out)
{
    *out = (Shape){ 0 };
    for (uint32_t i = 0; i < n; i++) {
        Shape before = *out;
        if (shape_join(&before, val_shape(e, in[i]), out))
            continue;
        uint32_t d = diag_report(e->cx, DIAG_E0306, loc_here(e, loc),
                                 "`%s` cannot combine the shapes %s and %s", what,
                                 shape_text(e->a, &before), shape_text(e->a, val_shape(e, in[i])));
        diag_add(e->cx, d, DIAG_HELP, 0,
                 "shapes align at the right; only an extent of 1 is repeated");
        return false;
    }
    return true;
}

/* Operands from..n agree in dtype; all agree in shape. */
static bool meet(Elab *e, const char *what, const Val *in, uint32_t from, uint32_t n, bool compare,
                 LocId loc, Meeting *m)
{
    for (uint32_t i = 0; i < n; i++)
        if (!val_is_runtime(in[i])) {
            if (in[i].kind != VAL_ERROR)
                report_kind(e, loc, "a number or tensor", in[i]);
            return false;
        }
    if (!meet_dtypes(e, what, in, from, n, compare, loc, &m->dtype) ||
        !meet_shapes(e, what, in, n, loc, &m->shape))
        return false;
    m->untyped = m->dtype == DT_COUNT;
    if (m->untyped)
        m->dtype = DT_F64;
    for (uint32_t i = 0; i < n; i++) {
        Dtype own = val_dtype_of(e, in[i]), want = i < from ? DT_BOOL : m->dtype;
        NodeId x = compare && own != DT_COUNT && own != want && i >= from
                       ? b_cast(e->g, in[i].node, want)
                       : val_to_node(e, in[i], want, loc);
        m->node[i] = node_broadcast(e, x, &m->shape);
        if (m->node[i] == NODE_NONE)
            return false;
    }
    return true;
}

static bool is_compare(Op op)
{
    return op == OP_eq || op == OP_ne || op == OP_lt || op == OP_le || op == OP_gt || op == OP_ge;
}

static const char *op_text(Op op)
{
    static const struct {
        Op op;
        const char *text;
    } signs[] = {
        { OP_add, "+" }, { OP_sub, "-" }, { OP_mul, "*" }, { OP_div, "/" }, { OP_floordiv, "//" },
        { OP_mod, "%" }, { OP_pow, "^" }, { OP_eq, "==" }, { OP_ne, "!=" }, { OP_lt, "<" },
        { OP_le, "<=" }, { OP_gt, ">" },  { OP_ge, ">=" },
    };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (signs[i].op == op)
            return signs[i].text;
    return op_defs[op]->name;
}

Val tensor_elementwise(Elab *e, Op op, const Val *in, uint32_t n, LocId loc)
{
    Meeting m;
    if (op == OP_select && in[0].kind == VAL_BOOL) { /* known which, unless it must be repeated */
        Val chosen = in[0].b ? in[1] : in[2], other = in[0].b ? in[2] : in[1];
        Shape joined;
        bool mixed =
            val_dtype_of(e, other) != DT_COUNT && val_dtype_of(e, other) != val_dtype_of(e, chosen);
        if (chosen.kind == VAL_TENSOR && !chosen.untyped && val_is_runtime(other) && !mixed &&
            shape_join(val_shape(e, chosen), val_shape(e, other), &joined) &&
            shape_equal(&joined, val_shape(e, chosen)))
            return chosen;
    }
    if (n > 8 || !meet(e, op_text(op), in, op == OP_select, n, is_compare(op), loc, &m))
        return val_error();
    set_loc(e, loc);
    Val v = val_node(graph_emit(e->g, op, m.node, n, NULL, 0));
    v.untyped = m.untyped && v.kind == VAL_TENSOR && graph_dtype(e->g, v.node) == DT_F64;
    return v;
}

/* x^n for small whole n by multiplications, and the roots: exact where pow need not be. */
static Val tensor_power(Elab *e, Val x, Val n, LocId loc)
{
    if (x.kind != VAL_TENSOR || !val_is_number(n))
        return val_none();
    double p = val_double(n);
    if (p == 0.5 || p == -0.5)
        return tensor_elementwise(e, p > 0 ? OP_sqrt : OP_rsqrt, &x, 1, loc);
    if (p != floor(p) || fabs(p) > 8 || p == 0)
        return val_none();
    Val y = x;
    for (int i = 1; i < fabs(p); i++)
        y = tensor_elementwise(e, OP_mul, (Val[]){ y, x }, 2, loc);
    return p > 0 ? y : tensor_elementwise(e, OP_div, (Val[]){ val_int(1), y }, 2, loc);
}

static const Op binary_ops[AST_BINARY_COUNT] = {
    [AST_OR] = OP_or,
    [AST_AND] = OP_and,
    [AST_EQ] = OP_eq,
    [AST_NE] = OP_ne,
    [AST_LT] = OP_lt,
    [AST_LE] = OP_le,
    [AST_GT] = OP_gt,
    [AST_GE] = OP_ge,
    [AST_ADD] = OP_add,
    [AST_SUB] = OP_sub,
    [AST_MUL] = OP_mul,
    [AST_DIV] = OP_div,
    [AST_FLOORDIV] = OP_floordiv,
    [AST_MOD] = OP_mod,
    [AST_MATMUL] = OP_dot,
    [AST_POW] = OP_pow,
};

/* [1, 2] + [3] joins, [0]*3 repeats. */
static Val list_binary(Elab *e, AstBinaryOp op, Val a, Val b, LocId loc)
{
    int64_t times = 1, n;
    if (op == AST_MUL && a.kind != VAL_LIST)
        return list_binary(e, op, b, a, loc);
    if (op == AST_MUL ? b.kind == VAL_LIST : op != AST_ADD || a.kind != b.kind)
        return val_none();
    if (op == AST_MUL && !val_integer(e, b, loc, "how often a list is repeated", &times))
        return val_error();
    times = times < 0 ? 0 : times;
    uint32_t more = op == AST_ADD ? b.list.n : 0;
    if (__builtin_mul_overflow(times, a.list.n, &n) || n > MAX_LIST - more ||
        !spend(e, loc, (uint64_t)n + more)) {
        diag_report(e->cx, DIAG_E0408, loc_here(e, loc), "a list of more than %d elements",
                    MAX_LIST);
        return val_error();
    }
    Val out = { .kind = VAL_LIST,
                .list = { arena_new_array(e->a, Val, (size_t)n + more), (uint32_t)n + more } };
    for (int64_t i = 0; i < n; i++)
        out.list.at[i] = a.list.at[i % a.list.n];
    for (uint32_t i = 0; i < more; i++)
        out.list.at[n + i] = b.list.at[i];
    return out;
}

static Val static_binary(Elab *e, AstBinaryOp op, Val a, Val b, LocId loc)
{
    if (a.kind == VAL_LIST || b.kind == VAL_LIST)
        return list_binary(e, op, a, b, loc);
    if (a.kind == VAL_BOOL && b.kind == VAL_BOOL) {
        if (op == AST_AND || op == AST_OR)
            return val_bool(op == AST_AND ? a.b && b.b : a.b || b.b);
        if (op == AST_EQ || op == AST_NE)
            return val_bool((a.b == b.b) == (op == AST_EQ));
    }
    if (a.kind == VAL_DTYPE && b.kind == VAL_DTYPE && (op == AST_EQ || op == AST_NE))
        return val_bool((a.dtype == b.dtype) == (op == AST_EQ));
    if (a.kind == VAL_STRING && b.kind == VAL_STRING && (op == AST_EQ || op == AST_NE))
        return val_bool(!strcmp(a.string.text, b.string.text) == (op == AST_EQ));
    if (val_is_number(a) && val_is_number(b) && op >= AST_EQ && op != AST_MATMUL)
        return number_binary(e, op, a, b, loc);
    if ((a.kind == VAL_DIM || b.kind == VAL_DIM) && (a.kind == VAL_DIM || a.kind == VAL_INT) &&
        (b.kind == VAL_DIM || b.kind == VAL_INT)) {
        Val d = dim_binary(op, a, b);
        if (d.kind == VAL_NONE && op >= AST_EQ && op <= AST_GE)
            e->wants_pin = true; /* a comparison of B decides what is built */
        return d.kind == VAL_NONE && e->wants_pin ? val_error() : d;
    }
    return val_none();
}

Val tensor_binary(Elab *e, AstBinaryOp op, Val a, Val b, LocId loc, LocId a_loc, LocId b_loc)
{
    a = val_deref(e, a), b = val_deref(e, b);
    if (a.kind == VAL_ERROR || b.kind == VAL_ERROR)
        return val_error();
    Val known = static_binary(e, op, a, b, loc);
    if (known.kind != VAL_NONE)
        return known;
    if (op == AST_MATMUL)
        return tensor_matmul(e, a, b, loc, a_loc, b_loc);
    if (!val_is_runtime(a) || !val_is_runtime(b)) {
        report_kind(e, val_is_runtime(a) ? b_loc : a_loc, "a number or tensor",
                    val_is_runtime(a) ? b : a);
        return val_error();
    }
    if (op == AST_POW) {
        Val p = tensor_power(e, a, b, loc);
        if (p.kind != VAL_NONE)
            return p;
    }
    if (op == AST_DIV && (is_data(a) || is_data(b)) &&
        !(is_data(a) && dtype_is_float(graph_dtype(e->g, a.node))) &&
        !(is_data(b) && dtype_is_float(graph_dtype(e->g, b.node)))) {
        uint32_t d = diag_report(e->cx, DIAG_E0334, loc_here(e, loc), "`/` of integers: %s and %s",
                                 val_text(e, a), val_text(e, b));
        diag_add(e->cx, d, DIAG_HELP, 0, "`//` floors; f32(x) / y divides as real numbers");
        return val_error();
    }
    return tensor_elementwise(e, binary_ops[op], (Val[]){ a, b }, 2, loc);
}

Val tensor_cast(Elab *e, Val x, Dtype t, LocId loc)
{
    x = val_deref(e, x);
    set_loc(e, loc);
    if (x.kind == VAL_ERROR)
        return x;
    if (val_is_number(x) && !dtype_is_float(t) && t != DT_BOOL) /* i32(2.7) is 2, as for tensors */
        return val_node(b_const(e->g, t, trunc(val_double(x))));
    if (x.kind == VAL_LIST)
        return list_tensor(e, x, t, loc);
    if (x.kind == VAL_BOOL)
        return val_node(b_const(e->g, t, x.b));
    if (val_is_number(x) || x.kind == VAL_DIM)
        return val_node(val_to_node(e, x, t, loc));
    if (x.kind != VAL_TENSOR) {
        report_kind(e, loc, "a number or tensor", x);
        return val_error();
    }
    return val_node(graph_dtype(e->g, x.node) == t ? x.node : b_cast(e->g, x.node, t));
}

/* ---- `@` ---- */

/* Letters of an operand's axes; a transpose of it is read through, since the contraction takes any
 * order. */
static NodeId through_transpose(Elab *e, NodeId x, char *letters)
{
    if (graph_node(e->g, x)->op != OP_transpose)
        return x;
    const AttrValue *perm = graph_attr(e->g, x, "perm");
    char own[MAX_RANK + 1] = { 0 };
    for (uint32_t i = 0; i < perm->count; i++)
        own[perm->ints[i]] = letters[i];
    memcpy(letters, own, perm->count);
    return graph_operand(e->g, x, 0);
}

/* Axes of extent 1 that the other operand repeats have no letter: they are reshaped away. */
static NodeId drop_axes(Elab *e, NodeId x, const bool *drop, char *letters)
{
    Shape s = *graph_shape(e->g, x), kept = { 0 };
    uint32_t n = 0;
    for (uint32_t i = 0; i < s.rank; i++)
        if (!drop[i]) {
            letters[n++] = letters[i];
            kept.dim[kept.rank++] = s.dim[i];
        }
    letters[n] = 0;
    return kept.rank == s.rank ? x : b_reshape(e->g, x, &kept);
}

/* How a merged axis came about: "256 = 16*4*4", and where the tensor was made that was merged. */
static void note_merged(Elab *e, uint32_t diag, Val v, uint32_t axis)
{
    NodeId x = v.kind == VAL_TENSOR ? v.node : NODE_NONE;
    if (x == NODE_NONE || graph_node(e->g, x)->op != OP_reshape)
        return;
    const Shape *to = graph_shape(e->g, x), *from = graph_shape(e->g, graph_operand(e->g, x, 0));
    uint32_t first = from->rank;
    int64_t n = 1;
    if (to->dim[axis].k || axis + 1 != to->rank)
        return;
    while (first > 0 && n != to->dim[axis].n && !from->dim[first - 1].k)
        n *= from->dim[--first].n;
    if (n != to->dim[axis].n || from->rank - first < 2)
        return;
    const char *product = "";
    for (uint32_t i = first; i < from->rank; i++)
        product = arena_printf(e->a, "%s%s%lld", product, i > first ? "*" : "",
                               (long long)from->dim[i].n);
    LocId made = graph_node(e->g, graph_operand(e->g, x, 0))->loc;
    diag_add(e->cx, diag, DIAG_NOTE, made, "%lld = %s, the last axes of the %s made here",
             (long long)n, product, val_text(e, val_node(graph_operand(e->g, x, 0))));
}

static void report_inner(Elab *e, Val a, Val b, Dim da, Dim db, LocId loc, LocId a_loc, LocId b_loc)
{
    uint32_t d = diag_report(e->cx, DIAG_E0312, loc_here(e, loc),
                             "`@` needs equal inner dimensions: %s and %s",
                             val_text(e, val_of_dim(da)), val_text(e, val_of_dim(db)));
    diag_add(e->cx, d, DIAG_LABEL, loc_here(e, a_loc), "%s", val_text(e, a));
    diag_add(e->cx, d, DIAG_LABEL, loc_here(e, b_loc), "%s", val_text(e, b));
    note_merged(e, d, a, val_shape(e, a)->rank - 1);
    note_merged(e, d, b, val_shape(e, b)->rank > 1 ? val_shape(e, b)->rank - 2 : 0);
}

Val tensor_matmul(Elab *e, Val a, Val b, LocId loc, LocId a_loc, LocId b_loc)
{
    Dtype t;
    if (!meet_dtypes(e, "@", (Val[]){ a, b }, 0, 2, false, loc, &t))
        return val_error();
    set_loc(e, loc);
    NodeId x = val_to_node(e, a, t == DT_COUNT ? DT_F32 : t, a_loc),
           y = val_to_node(e, b, t == DT_COUNT ? DT_F32 : t, b_loc);
    if (x == NODE_NONE || y == NODE_NONE)
        return val_error();
    Shape sx = *graph_shape(e->g, x), sy = *graph_shape(e->g, y);
    if (!sx.rank || !sy.rank) {
        diag_report(e->cx, DIAG_E0312, loc_here(e, loc), "`@` needs vectors or matrices: %s and %s",
                    val_text(e, a), val_text(e, b));
        return val_error();
    }
    Dim inner_x = sx.dim[sx.rank - 1], inner_y = sy.dim[sy.rank > 1 ? sy.rank - 2 : 0];
    if (!dim_equal(inner_x, inner_y)) {
        report_inner(e, a, b, inner_x, inner_y, loc, a_loc, b_loc);
        return val_error();
    }
    /* x is batch.. m k, y is batch.. k n; vectors lack m or n */
    char lx[MAX_RANK + 1] = { 0 }, ly[MAX_RANK + 1] = { 0 }, out[2 * MAX_RANK + 1] = { 0 };
    bool drop_x[MAX_RANK] = { 0 }, drop_y[MAX_RANK] = { 0 };
    uint32_t bx = sx.rank > 2 ? sx.rank - 2 : 0, by = sy.rank > 2 ? sy.rank - 2 : 0, n = 0;
    uint32_t batch = bx > by ? bx : by;
    for (uint32_t i = 0; i < batch; i++) {
        uint32_t right = batch - i;
        char letter = (char)('a' + i);
        bool in_x = right <= bx, in_y = right <= by;
        Dim dx = in_x ? sx.dim[bx - right] : dim_of(1), dy = in_y ? sy.dim[by - right] : dim_of(1);
        if (in_x && in_y && !dim_equal(dx, dy)) {
            if (!dim_equal(dx, dim_of(1)) && !dim_equal(dy, dim_of(1))) {
                diag_report(e->cx, DIAG_E0306, loc_here(e, loc),
                            "`@` cannot combine the leading dimensions of %s and %s",
                            val_text(e, a), val_text(e, b));
                return val_error();
            }
            *(dim_equal(dx, dim_of(1)) ? &drop_x[bx - right] : &drop_y[by - right]) = true;
        }
        if (in_x)
            lx[bx - right] = letter;
        if (in_y)
            ly[by - right] = letter;
        out[n++] = letter;
    }
    if (sx.rank > 1)
        lx[bx] = out[n++] = 'm';
    lx[sx.rank - 1] = 'k';
    ly[sy.rank > 1 ? sy.rank - 2 : 0] = 'k';
    if (sy.rank > 1)
        ly[sy.rank - 1] = out[n++] = 'n';
    x = drop_axes(e, x, drop_x, lx);
    y = drop_axes(e, y, drop_y, ly);
    if (x == NODE_NONE || y == NODE_NONE)
        return val_error();
    x = through_transpose(e, x, lx);
    y = through_transpose(e, y, ly);
    return val_node(b_dot(e->g, x, y, arena_printf(e->a, "%s,%s->%s", lx, ly, out)));
}
