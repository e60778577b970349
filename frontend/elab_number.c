/* elab_number.c: values known now. Integers are exact, quotients are exact while they fit (so that
 * 224/16 is a dim and 1/255 is not 0), everything else is a double. Overflow leaves the exact
 * forms; what then wants an integer says so. */
#include "frontend/elab.h"
#include "ir/value.h"

#include <math.h>
#include <string.h>

Val val_string(const char *text)
{
    return (Val){ .kind = VAL_STRING, .string = { text, NULL } };
}

Val val_node(NodeId node)
{
    return node == NODE_NONE ? val_error() : (Val){ .kind = VAL_TENSOR, .node = node };
}

Val val_untyped(NodeId node)
{
    Val v = val_node(node);
    v.untyped = true;
    return v;
}

Val val_tuple(Elab *e, const Val *at, uint32_t n)
{
    Val v = { .kind = VAL_TUPLE, .list = { arena_new_array(e->a, Val, n), n } };
    for (uint32_t i = 0; i < n; i++) {
        if (at[i].kind == VAL_ERROR)
            return val_error();
        v.list.at[i] = at[i];
    }
    return v;
}

Val val_of_dim(Dim d)
{
    return d.k ? (Val){ .kind = VAL_DIM, .i = d.k } : val_int(d.n);
}

double val_double(Val v)
{
    if (v.kind == VAL_INT)
        return (double)v.i;
    return v.kind == VAL_RATIO ? (double)v.ratio.num / (double)v.ratio.den : v.f;
}

bool val_integer(Elab *e, Val v, LocId loc, const char *what, int64_t *out_i)
{
    if (v.kind == VAL_ERROR)
        return false;
    if (v.kind == VAL_INT) {
        *out_i = v.i;
        return true;
    }
    if (v.kind == VAL_DIM || (v.kind == VAL_TENSOR && v.untyped && !e->pinned && e->batch_max)) {
        e->wants_pin = true; /* with B a number it may be one */
        return false;
    }
    if (v.kind == VAL_FLOAT && v.f == floor(v.f) && fabs(v.f) < 9e15) {
        *out_i = (int64_t)v.f;
        return true;
    }
    diag_report(e->cx, DIAG_E0332, loc_here(e, loc),
                "%s must be a whole number known at compile time, not %s", what, val_text(e, v));
    return false;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b, b = r;
    }
    return a < 0 ? -a : a;
}

/* num / den, exact; VAL_NONE when that overflows. */
static Val ratio(int64_t num, int64_t den)
{
    if (num == INT64_MIN || den == INT64_MIN || !den)
        return val_none();
    int64_t d = gcd(num, den);
    if (d > 1)
        num /= d, den /= d;
    if (den < 0)
        num = -num, den = -den;
    if (den == 1)
        return val_int(num);
    return (Val){ .kind = VAL_RATIO, .ratio = { num, den } };
}

static void parts(Val v, int64_t *num, int64_t *den)
{
    *num = v.kind == VAL_INT ? v.i : v.ratio.num;
    *den = v.kind == VAL_INT ? 1 : v.ratio.den;
}

static Val exact_power(int64_t num, int64_t den, int64_t n)
{
    int64_t a = 1, b = 1;
    bool invert = n < 0;
    if (n < -64 || n > 64)
        return val_none();
    for (int64_t i = 0; i < (invert ? -n : n); i++)
        if (__builtin_mul_overflow(a, num, &a) || __builtin_mul_overflow(b, den, &b))
            return val_none();
    return invert ? ratio(b, a) : ratio(a, b);
}

/* VAL_NONE: not exact. */
static Val exact_binary(AstBinaryOp op, Val a, Val b)
{
    int64_t an, ad, bn, bd, x, y, z;
    parts(a, &an, &ad);
    parts(b, &bn, &bd);
    if (op == AST_ADD || op == AST_SUB) {
        if (__builtin_mul_overflow(an, bd, &x) || __builtin_mul_overflow(bn, ad, &y) ||
            __builtin_mul_overflow(ad, bd, &z) ||
            (op == AST_ADD ? __builtin_add_overflow(x, y, &x) : __builtin_sub_overflow(x, y, &x)))
            return val_none();
        return ratio(x, z);
    }
    if (op == AST_MUL || op == AST_DIV || op == AST_FLOORDIV || op == AST_MOD) {
        bool times = op == AST_MUL;
        if (__builtin_mul_overflow(an, times ? bn : bd, &x) ||
            __builtin_mul_overflow(ad, times ? bd : bn, &y))
            return val_none();
        Val q = ratio(x, y);
        if (op == AST_MUL || op == AST_DIV || q.kind == VAL_NONE)
            return q;
        int64_t num, den;
        parts(q, &num, &den);
        Val whole = val_int(num / den - (num % den < 0));
        if (op == AST_FLOORDIV)
            return whole;
        Val back = exact_binary(AST_MUL, whole, b);
        return back.kind == VAL_NONE ? back : exact_binary(AST_SUB, a, back);
    }
    if (op == AST_POW && b.kind == VAL_INT)
        return exact_power(an, ad, b.i);
    return val_none();
}

static double float_binary(AstBinaryOp op, double a, double b)
{
    if (op == AST_ADD)
        return a + b;
    if (op == AST_SUB)
        return a - b;
    if (op == AST_MUL)
        return a * b;
    if (op == AST_DIV)
        return a / b;
    if (op == AST_FLOORDIV)
        return floor(a / b);
    if (op == AST_MOD)
        return a - b * floor(a / b);
    return pow(a, b);
}

static Val compare(AstBinaryOp op, double a, double b)
{
    return val_bool(op == AST_EQ   ? a == b
                    : op == AST_NE ? a != b
                    : op == AST_LT ? a < b
                    : op == AST_LE ? a <= b
                    : op == AST_GT ? a > b
                                   : a >= b);
}

Val number_binary(Elab *e, AstBinaryOp op, Val a, Val b, LocId loc)
{
    if (op >= AST_EQ && op <= AST_GE) {
        if (a.kind == VAL_INT && b.kind == VAL_INT)
            return val_bool(op == AST_EQ   ? a.i == b.i
                            : op == AST_NE ? a.i != b.i
                            : op == AST_LT ? a.i < b.i
                            : op == AST_LE ? a.i <= b.i
                            : op == AST_GT ? a.i > b.i
                                           : a.i >= b.i);
        return compare(op, val_double(a), val_double(b));
    }
    if ((op == AST_DIV || op == AST_FLOORDIV || op == AST_MOD) && val_double(b) == 0 &&
        a.kind != VAL_FLOAT && b.kind != VAL_FLOAT) {
        diag_report(e->cx, DIAG_E0333, loc_here(e, loc), "division of a constant by 0");
        return val_error();
    }
    Val exact = a.kind == VAL_FLOAT || b.kind == VAL_FLOAT ? val_none() : exact_binary(op, a, b);
    return exact.kind != VAL_NONE ? exact
                                  : val_float(float_binary(op, val_double(a), val_double(b)));
}

Val number_unary(Elab *e, Op op, Val x, LocId loc)
{
    (void)e, (void)loc;
    if (op == OP_neg && x.kind != VAL_FLOAT)
        return exact_binary(AST_SUB, val_int(0), x);
    if (x.kind == VAL_INT && (op == OP_floor || op == OP_ceil || op == OP_round || op == OP_trunc))
        return x;
    if (x.kind == VAL_INT && op == OP_abs && x.i != INT64_MIN)
        return val_int(x.i < 0 ? -x.i : x.i);
    double in[1] = { val_double(x) };
    double y = scalar_float(op_defs[op]->scalar, in);
    bool whole = op == OP_floor || op == OP_ceil || op == OP_round || op == OP_trunc;
    return whole && fabs(y) < 9e15 ? val_int((int64_t)y) : val_float(y);
}

Val dim_binary(AstBinaryOp op, Val a, Val b)
{
    int64_t k;
    if (op == AST_MUL && a.kind == VAL_INT)
        return dim_binary(op, b, a);
    if (op == AST_MUL && b.kind == VAL_INT && b.i > 0 && !__builtin_mul_overflow(a.i, b.i, &k))
        return (Val){ .kind = VAL_DIM, .i = k };
    if ((op == AST_DIV || op == AST_FLOORDIV) && b.kind == VAL_INT && b.i > 0 &&
        a.kind == VAL_DIM && a.i % b.i == 0)
        return (Val){ .kind = VAL_DIM, .i = a.i / b.i };
    if (a.kind != VAL_DIM || b.kind != VAL_DIM)
        return val_none();
    if (op == AST_ADD && !__builtin_add_overflow(a.i, b.i, &k))
        return (Val){ .kind = VAL_DIM, .i = k };
    if (op == AST_SUB && a.i >= b.i)
        return a.i == b.i ? val_int(0) : (Val){ .kind = VAL_DIM, .i = a.i - b.i };
    if (op == AST_DIV || op == AST_FLOORDIV)
        return exact_binary(op, val_int(a.i), val_int(b.i));
    if (op >= AST_EQ && op <= AST_GE) /* B is at least 1 */
        return compare(op, (double)a.i, (double)b.i);
    return val_none();
}

static const char *list_text(Elab *e, Val v)
{
    const char *text = v.kind == VAL_LIST ? "[" : "(";
    for (uint32_t i = 0; i < v.list.n && i < 6; i++)
        text = arena_printf(e->a, "%s%s%s", text, i ? ", " : "", val_text(e, v.list.at[i]));
    return arena_printf(e->a, "%s%s%s", text, v.list.n > 6 ? ", ..." : "",
                        v.kind == VAL_LIST ? "]" : ")");
}

const char *val_text(Elab *e, Val v)
{
    switch (v.kind) {
    case VAL_ERROR: return "an error";
    case VAL_NONE: return "nothing";
    case VAL_INT: return arena_printf(e->a, "%lld", (long long)v.i);
    case VAL_RATIO:
        return arena_printf(e->a, "%lld/%lld", (long long)v.ratio.num, (long long)v.ratio.den);
    case VAL_FLOAT: return arena_printf(e->a, "%.9g", v.f);
    case VAL_BOOL: return v.b ? "true" : "false";
    case VAL_STRING: return arena_printf(e->a, "\"%s\"", v.string.text);
    case VAL_DIM: return v.i == 1 ? "B" : arena_printf(e->a, "%lldB", (long long)v.i);
    case VAL_LIST:
    case VAL_TUPLE: return list_text(e, v);
    case VAL_RANGE: return "a range";
    case VAL_DTYPE: return dtype_name(v.dtype);
    case VAL_TENSOR:
        if (v.untyped && !graph_shape(e->g, v.node)->rank)
            return "a run-time number";
        if (v.untyped) /* zeros(3): of no dtype yet */
            return shape_text(e->a, graph_shape(e->g, v.node));
        return arena_printf(e->a, "%s%s", dtype_name(graph_dtype(e->g, v.node)),
                            shape_text(e->a, graph_shape(e->g, v.node)));
    case VAL_STORED: {
        const Tensor *t = &e->u->tensors.at[v.i];
        return arena_printf(e->a, "%s%s", dtype_name(t->dtype), shape_text(e->a, &t->shape));
    }
    case VAL_FN: return "a function";
    case VAL_LAYER: return arena_printf(e->a, "the layer %s", v.layer->ast->name.text);
    case VAL_INSTANCE: return arena_printf(e->a, "a %s", v.instance->ast->name.text);
    case VAL_MODULE: return "an imported file";
    case VAL_DATA: return "data";
    }
    return "";
}

/* '*' matches any text. */
static bool glob_one(const char *g, const char *g_end, const char *s)
{
    const char *star = NULL, *back = NULL;
    while (*s) {
        if (g < g_end && *g == '*')
            star = g++, back = s;
        else if (g < g_end && *g == *s)
            g++, s++;
        else if (star)
            g = star + 1, s = ++back;
        else
            return false;
    }
    while (g < g_end && *g == '*')
        g++;
    return g == g_end;
}

bool glob_match(const char *globs, const char *path)
{
    bool any = false, positive = false;
    for (const char *g = globs; *g;) {
        const char *end = g + strcspn(g, "|");
        bool negative = *g == '!';
        if (!negative)
            positive = true;
        if (glob_one(g + negative, end, path)) {
            if (negative)
                return false;
            any = true;
        }
        g = *end ? end + 1 : end;
    }
    return any || (!positive && *globs);
}
