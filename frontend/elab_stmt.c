/* elab_stmt.c: statements. Assignment renames: a name stands for its last value, so nothing in the
 * graph is ever changed. A name known in the function is rebound where it stands, also from inside
 * an `if` or `repeat`. */
#include "frontend/elab.h"

/* The parts of a value for n names: a tuple's values, or a tensor along its leading axis. */
static bool destructure(Elab *e, Val v, uint32_t n, LocId loc, Val *out)
{
    if (v.kind == VAL_ERROR)
        return false;
    if ((v.kind == VAL_TUPLE || v.kind == VAL_LIST) && v.list.n == n) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = v.list.at[i];
        return true;
    }
    v = v.kind == VAL_TUPLE ? v : val_deref(e, v);
    const Shape *shape = v.kind == VAL_TENSOR ? graph_shape(e->g, v.node) : NULL;
    if (!shape || !shape->rank || shape->dim[0].k || shape->dim[0].n != n) {
        diag_report(e->cx, DIAG_E0336, loc_here(e, loc), "%u names for %s", n, val_text(e, v));
        return false;
    }
    set_loc(e, loc);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = val_node(b_squeeze(e->g, b_slice_axis(e->g, v.node, 0, i, i + 1), 0));
        out[i].untyped = v.untyped;
    }
    return true;
}

static bool write_stored(Elab *e, const Binding *b, const AstTarget *t, Val v)
{
    const Tensor *tensor = &e->u->tensors.at[b->val.i];
    if (tensor->kind == TENSOR_PARAM) {
        uint32_t d = diag_report(e->cx, DIAG_E0407, loc_here(e, t->loc),
                                 "`%s` is a parameter: only training changes it", t->name.text);
        diag_add(e->cx, d, DIAG_HELP, 0, "`state %s` is for values that the program itself changes",
                 t->name.text);
        return false;
    }
    set_loc(e, t->loc);
    Dtype dtype = tensor->dtype;
    Shape shape = tensor->shape, own;
    NodeId x = val_to_node(e, v, dtype, t->loc);
    if (x == NODE_NONE)
        return false;
    own = *graph_shape(e->g, x);
    Shape joined;
    if (!shape_join(&own, &shape, &joined) || !shape_equal(&joined, &shape)) {
        uint32_t d = diag_report(e->cx, DIAG_E0337, loc_here(e, t->loc),
                                 "the state `%s` is %s%s and cannot take %s", t->name.text,
                                 dtype_name(dtype), shape_text(e->a, &shape), val_text(e, v));
        diag_add(e->cx, d, DIAG_LABEL, b->loc, "declared here");
        return false;
    }
    tensor_write(e, (int32_t)b->val.i, node_broadcast(e, x, &shape));
    return true;
}

static Val assign_type(Elab *e, const AstTarget *t, Val v, Scope *s)
{
    return type_accept(e, t->type, v, s, DIAG_E0331, arena_printf(e->a, "`%s`", t->name.text),
                       t->loc);
}

static void assign(Elab *e, const AstTarget *t, Val v, Scope *s)
{
    if (!t->name.text)
        return;
    if (v.kind == VAL_TUPLE && v.first)
        v = v.list.at[0];
    if (v.kind == VAL_NONE) {
        diag_report(e->cx, DIAG_E0409, loc_here(e, t->loc),
                    "nothing to assign to `%s`: the right side has no value", t->name.text);
        v = val_error();
    }
    if (t->type && v.kind != VAL_ERROR)
        v = assign_type(e, t, v, s);
    Binding *local = scope_find_local(s, t->name.text);
    Binding *stored = local;
    if (!local) {
        for (Scope *at = s; at && !stored; at = at->parent)
            stored = scope_find_here(at, t->name.text);
        if (stored && stored->val.kind != VAL_STORED)
            stored = NULL;
    }
    if (t->n_items) {
        Val old = stored ? val_deref(e, stored->val) : val_none();
        if (old.kind == VAL_NONE) {
            report_unknown(e, s, "name", &t->name);
            return;
        }
        v = assign_index(e, old, t->items, t->n_items, v, s, t->loc);
    }
    if (stored && stored->val.kind == VAL_STORED) {
        if (v.kind != VAL_ERROR)
            write_stored(e, stored, t, v);
        return;
    }
    if (v.kind == VAL_STORED) /* the value now, not what it will be */
        v = val_deref(e, v);
    if (local)
        local->val = v;
    else
        scope_bind(e, s, t->name.text, v, t->loc);
}

static bool eval_assign(Elab *e, const AstStmt *st, Scope *s)
{
    uint32_t n = st->assign.n_targets, given = st->assign.n_values;
    Val *vals = arena_new_array(e->a, Val, n);
    bool ok = true;
    if (given == n) {
        for (uint32_t i = 0; i < n; i++) {
            vals[i] = val_deref(e, eval(e, st->assign.values[i], s));
            ok &= vals[i].kind != VAL_ERROR;
        }
    } else if (given == 1) {
        ok = destructure(e, eval_multi(e, st->assign.values[0], s), n, st->loc, vals);
    } else {
        diag_report(e->cx, DIAG_E0336, loc_here(e, st->loc), "%u names for %u values", n, given);
        ok = false;
    }
    for (uint32_t i = 0; i < n; i++)
        assign(e, &st->assign.targets[i], ok || given == n ? vals[i] : val_error(), s);
    return ok;
}

static bool eval_discarded(Elab *e, const AstStmt *st, Scope *s)
{
    bool ok = true;
    for (uint32_t i = 0; i < st->exprs.n; i++) {
        Val v = eval_multi(e, st->exprs.at[i], s);
        ok &= v.kind != VAL_ERROR;
        if (v.kind != VAL_NONE && v.kind != VAL_ERROR) {
            diag_report(e->cx, DIAG_E0405, loc_here(e, st->exprs.at[i]->loc),
                        "nobody uses this value");
            ok = false;
        }
    }
    return ok;
}

Val eval_block(Elab *e, const AstBlock *b, Scope *s)
{
    bool ok = true;
    for (uint32_t i = 0; i < b->n_stmts; i++) {
        const AstStmt *st = b->stmts[i];
        if (!spend(e, st->loc, 1))
            return val_error();
        switch (st->kind) {
        case AST_STMT_ASSIGN: ok &= eval_assign(e, st, s); break;
        case AST_STMT_FN:
            if (st->fn->name.text)
                scope_bind(e, s, st->fn->name.text, fn_value(e, st->fn, s, e->owner), st->loc);
            break;
        case AST_STMT_YIELD: ok &= eval_yield(e, st, s); break;
        case AST_STMT_EXPR:
            if (i + 1 == b->n_stmts) {
                Val v = eval_exprs(e, st->exprs.at, st->exprs.n, s);
                return ok ? (v.kind == VAL_STORED ? val_deref(e, v) : v) : val_error();
            }
            ok &= eval_discarded(e, st, s);
            break;
        case AST_STMT_REPEAT: ok &= eval_repeat(e, st, s); break;
        case AST_STMT_WHILE: ok &= eval_while(e, st, s); break;
        }
    }
    return ok ? val_none() : val_error();
}
