/* elab_expr.c: the value of an expression. Values known now stay values; the rest becomes nodes at
 * the expression's location. */
#include "frontend/elab.h"

bool spend(Elab *e, LocId loc, uint64_t fuel)
{
    e->fuel += fuel;
    if (e->fuel <= ELAB_FUEL && (!e->g || e->g->nodes.n <= ELAB_MAX_NODES))
        return true;
    if (e->fuel < UINT64_MAX / 2) { /* once */
        e->fuel = UINT64_MAX / 2;
        diag_report(e->cx, DIAG_E0408, loc_here(e, loc),
                    "the program unrolls into more than %d steps", ELAB_FUEL);
    }
    return false;
}

void report_kind(Elab *e, LocId loc, const char *wanted, Val got)
{
    if (got.kind != VAL_ERROR)
        diag_report(e->cx, DIAG_E0331, loc_here(e, loc), "%s is needed here, not %s", wanted,
                    val_text(e, got));
}

Val unsupported(Elab *e, LocId loc, const char *what)
{
    diag_report(e->cx, DIAG_E0490, loc_here(e, loc), "%s is not supported yet", what);
    return val_error();
}

Val val_deref(Elab *e, Val v)
{
    if (v.kind == VAL_TUPLE && v.first)
        return v.list.at[0];
    if (v.kind != VAL_STORED)
        return v;
    NodeId x = tensor_read(e, (int32_t)v.i);
    if (e->frozen)
        x = graph_emit(e->g, OP_stop_gradient, &x, 1, NULL, 0);
    return val_node(x);
}

Val eval_static(Elab *e, const AstExpr *x, Scope *s)
{
    Graph *g = e->g;
    e->g = e->scratch;
    Val v = eval(e, x, s);
    if (v.kind == VAL_TENSOR) {
        diag_report(e->cx, DIAG_E0332, loc_here(e, x->loc), "this must be known at compile time");
        v = val_error();
    }
    e->g = g;
    return v;
}

static Val eval_number(const AstExpr *x)
{
    if (x->number.is_integer)
        return val_int(x->number.integer);
    return val_float(x->number.value);
}

static Val eval_list(Elab *e, const AstExpr *x, Scope *s)
{
    Val v = { .kind = x->kind == AST_EXPR_LIST ? VAL_LIST : VAL_TUPLE };
    v.list.n = x->list.n;
    v.list.at = arena_new_array(e->a, Val, x->list.n);
    bool ok = true;
    for (uint32_t i = 0; i < x->list.n; i++) {
        v.list.at[i] = eval(e, x->list.at[i], s);
        ok &= v.list.at[i].kind != VAL_ERROR;
    }
    return ok ? v : val_error();
}

static Val eval_unary(Elab *e, const AstExpr *x, Scope *s)
{
    Val v = val_deref(e, eval(e, x->unary.x, s));
    if (v.kind == VAL_ERROR)
        return v;
    if (x->unary.op == AST_NOT && v.kind == VAL_BOOL)
        return val_bool(!v.b);
    if (x->unary.op == AST_NEG && val_is_number(v))
        return number_unary(e, OP_neg, v, x->loc);
    if (!val_is_runtime(v) || (x->unary.op == AST_NOT && v.kind != VAL_TENSOR)) {
        report_kind(e, x->unary.x->loc, x->unary.op == AST_NOT ? "a bool" : "a number or tensor",
                    v);
        return val_error();
    }
    return tensor_elementwise(e, x->unary.op == AST_NOT ? OP_not : OP_neg, &v, 1, x->loc);
}

static Val eval_binary(Elab *e, const AstExpr *x, Scope *s)
{
    AstBinaryOp op = x->binary.op;
    Val a = eval(e, x->binary.left, s);
    if ((op == AST_AND || op == AST_OR) && a.kind == VAL_BOOL && a.b == (op == AST_OR))
        return a; /* the right side may make sense only otherwise */
    Val b = eval(e, x->binary.right, s);
    if ((op == AST_AND || op == AST_OR) && a.kind == VAL_BOOL && b.kind == VAL_TENSOR)
        return b; /* true and b, false or b */
    if ((op == AST_AND || op == AST_OR) && b.kind == VAL_BOOL && a.kind == VAL_TENSOR)
        return b.b == (op == AST_AND)
                   ? a
                   : tensor_binary(e, op, a, b, x->loc, x->binary.left->loc, x->binary.right->loc);
    return tensor_binary(e, op, a, b, op == AST_MATMUL ? x->binary.op_loc : x->loc,
                         x->binary.left->loc, x->binary.right->loc);
}

static Val eval_range(Elab *e, const AstExpr *x, Scope *s)
{
    Val v = { .kind = VAL_RANGE };
    const AstExpr *ends[2] = { x->range.from, x->range.to };
    Val *at = arena_new_array(e->a, Val, 2);
    for (int i = 0; i < 2; i++)
        if (ends[i]) {
            at[i] = val_deref(e, eval(e, ends[i], s));
            if (at[i].kind == VAL_ERROR)
                return val_error();
        }
    v.range.from = ends[0] ? &at[0] : NULL;
    v.range.to = ends[1] ? &at[1] : NULL;
    return v;
}

/* `if` on a value known now: only the branch taken is elaborated. */
Val eval_if(Elab *e, const AstExpr *x, Scope *s)
{
    Val c = val_deref(e, eval(e, x->branch.cond, s));
    if (c.kind == VAL_TENSOR)
        return eval_dynamic_if(e, x, c, s);
    if (c.kind != VAL_BOOL) {
        report_kind(e, x->branch.cond->loc, "a bool", c);
        return val_error();
    }
    if (c.b)
        return eval_block(e, x->branch.then, scope_new(e, s));
    if (x->branch.otherwise)
        return eval_block(e, x->branch.otherwise, scope_new(e, s));
    return x->branch.otherwise_expr ? eval_multi(e, x->branch.otherwise_expr, s) : val_none();
}

static Val eval_kind(Elab *e, const AstExpr *x, Scope *s)
{
    switch (x->kind) {
    case AST_EXPR_ERROR: return val_error();
    case AST_EXPR_NUMBER: return eval_number(x);
    case AST_EXPR_STRING:
        return (Val){ .kind = VAL_STRING, .string = { x->string.text, &x->string } };
    case AST_EXPR_NAME: return scope_lookup(e, s, &x->name);
    case AST_EXPR_LIST:
    case AST_EXPR_TUPLE: return eval_list(e, x, s);
    case AST_EXPR_UNARY: return eval_unary(e, x, s);
    case AST_EXPR_BINARY: return eval_binary(e, x, s);
    case AST_EXPR_RANGE: return eval_range(e, x, s);
    case AST_EXPR_PIPE: return eval_pipe(e, x, s);
    case AST_EXPR_CALL: return eval_call(e, x, s);
    case AST_EXPR_INDEX: return eval_index(e, x, s);
    case AST_EXPR_FIELD: return eval_field(e, x, s);
    case AST_EXPR_IF: return eval_if(e, x, s);
    case AST_EXPR_SCAN: return eval_scan(e, x, s);
    }
    return val_error();
}

Val eval_multi(Elab *e, const AstExpr *x, Scope *s)
{
    for (uint32_t i = 0; i < e->overrides.n; i++)
        if (e->overrides.at[i].expr == x)
            return e->overrides.at[i].val;
    if (!spend(e, x->loc, 1))
        return val_error();
    if (e->depth >= ELAB_MAX_DEPTH) {
        diag_report(e->cx, DIAG_E0408, loc_here(e, x->loc), "the program nests too deeply");
        return val_error();
    }
    e->depth++;
    Val v = eval_kind(e, x, s);
    e->depth--;
    return v;
}

Val eval(Elab *e, const AstExpr *x, Scope *s)
{
    Val v = eval_multi(e, x, s);
    return v.kind == VAL_TUPLE && v.first ? v.list.at[0] : v;
}

Val eval_exprs(Elab *e, AstExpr **at, uint32_t n, Scope *s)
{
    if (n == 1)
        return eval_multi(e, at[0], s);
    Val *vals = arena_new_array(e->a, Val, n);
    for (uint32_t i = 0; i < n; i++)
        vals[i] = eval(e, at[i], s);
    return val_tuple(e, vals, n);
}
