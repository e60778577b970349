/* elab_loop.c: loops and branches, said without either.
 *
 * `repeat`, `scan` and `while .. limit` are unrolled: a graph has no loop, and what a loop carries
 * is only a name that is rebound. `if` on a run-time value, and each turn of `while`, elaborate
 * what they guard and then choose with `select` between the values before and after, for every name
 * and state that changed. So gradients need nothing of their own; the price is that both sides are
 * computed, and a graph that grows with the number of turns. */
#include "frontend/elab.h"

enum { SCAN_MAX = 1024, WHILE_MAX = 256 };

/* The values `repeat` and `layers` go through: a list, a range, or 0..n. */
static bool repeat_bounds(Elab *e, Val in, LocId loc, int64_t *from, int64_t *to)
{
    *from = 0;
    if (in.kind == VAL_RANGE && in.range.to)
        return (!in.range.from ||
                val_integer(e, *in.range.from, loc, "the start of a range", from)) &&
               val_integer(e, *in.range.to, loc, "the end of a range", to);
    if (in.kind == VAL_LIST) {
        *to = in.list.n;
        return true;
    }
    if (val_is_number(in))
        return val_integer(e, in, loc, "a count", to);
    report_kind(e, loc, "a list, a range a..b or a count", in);
    return false;
}

bool eval_repeat(Elab *e, const AstStmt *st, Scope *s)
{
    Val in = eval(e, st->repeat.in, s);
    int64_t from, to;
    if (in.kind == VAL_ERROR || !repeat_bounds(e, in, st->repeat.in->loc, &from, &to))
        return false;
    const char *loops = e->loops;
    uint64_t site = e->site;
    bool ok = true;
    for (int64_t i = from; i < to && ok; i++) {
        Scope *body = scope_new(e, s);
        e->loops = arena_printf(e->a, "%s.%lld", loops, (long long)i);
        e->site = mix(site, (uint64_t)i + 1);
        if (st->repeat.name.text)
            scope_bind(e, body, st->repeat.name.text,
                       in.kind == VAL_LIST ? in.list.at[i] : val_int(i), st->repeat.name.loc);
        uint32_t errors = e->cx->errors;
        ok = spend(e, st->loc, 4);
        Val v = ok ? eval_block(e, st->repeat.body, body) : val_error();
        ok = ok && v.kind != VAL_ERROR && e->cx->errors == errors;
        if (ok && v.kind != VAL_NONE) {
            diag_report(e->cx, DIAG_E0405, loc_here(e, st->repeat.body->loc),
                        "the value of the body of `repeat` is not used");
            ok = false;
        }
    }
    e->loops = loops;
    e->site = site;
    return ok;
}

/* ---- what a guarded part changed ---- */

typedef struct {
    Scope *scope;
    uint32_t n;
    Val *vals;
} Names;

typedef struct {
    VEC(Names) scopes;
    uint32_t tensors;
    NodeId *current;
} Snapshot;

static Snapshot snapshot(Elab *e, Scope *s)
{
    Snapshot shot = { .tensors = e->current.n };
    shot.current = arena_new_array(e->a, NodeId, e->current.n);
    for (uint32_t i = 0; i < e->current.n; i++)
        shot.current[i] = e->current.at[i];
    for (; s; s = s->boundary ? NULL : s->parent) {
        Names n = { s, s->names.n, arena_new_array(e->a, Val, s->names.n) };
        for (uint32_t i = 0; i < n.n; i++)
            n.vals[i] = s->names.at[i].val;
        vec_push(e->a, &shot.scopes, n);
    }
    return shot;
}

/* The same value, so that nothing is to be chosen. */
static bool same_value(Val a, Val b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case VAL_TENSOR: return a.node == b.node;
    case VAL_INT:
    case VAL_DIM:
    case VAL_STORED: return a.i == b.i;
    case VAL_FLOAT: return a.f == b.f;
    case VAL_RATIO: return a.ratio.num == b.ratio.num && a.ratio.den == b.ratio.den;
    case VAL_BOOL: return a.b == b.b;
    case VAL_LIST:
    case VAL_TUPLE: return a.list.at == b.list.at;
    case VAL_DTYPE: return a.dtype == b.dtype;
    case VAL_FN: return a.fn == b.fn;
    case VAL_LAYER: return a.layer == b.layer;
    case VAL_INSTANCE: return a.instance == b.instance;
    case VAL_STRING: return a.string.text == b.string.text;
    case VAL_MODULE: return a.module == b.module;
    case VAL_DATA: return a.data.item == b.data.item && a.data.part == b.data.part;
    case VAL_RANGE: return a.range.from == b.range.from && a.range.to == b.range.to;
    case VAL_ERROR:
    case VAL_NONE: return true;
    }
    return false;
}

static Val choose(Elab *e, Val cond, Val yes, Val no, LocId loc)
{
    if (same_value(yes, no))
        return yes;
    if (yes.kind == VAL_TUPLE && no.kind == VAL_TUPLE && yes.list.n == no.list.n) {
        Val *parts = arena_new_array(e->a, Val, yes.list.n);
        for (uint32_t i = 0; i < yes.list.n; i++)
            parts[i] = choose(e, cond, yes.list.at[i], no.list.at[i], loc);
        return val_tuple(e, parts, yes.list.n);
    }
    return tensor_elementwise(e, OP_select, (Val[]){ cond, yes, no }, 3, loc);
}

/* Takes the names and states back to the snapshot; gives what they were. */
static Snapshot rewind_to(Elab *e, const Snapshot *before)
{
    Snapshot after = snapshot(e, before->scopes.n ? before->scopes.at[0].scope : NULL);
    for (uint32_t k = 0; k < before->scopes.n; k++)
        for (uint32_t i = 0; i < before->scopes.at[k].n; i++)
            before->scopes.at[k].scope->names.at[i].val = before->scopes.at[k].vals[i];
    for (uint32_t i = 0; i < e->current.n; i++)
        e->current.at[i] = i < before->tensors ? before->current[i] : NODE_NONE;
    return after;
}

/* Every name and state: `yes` where cond holds, else what it is now. */
static bool merge(Elab *e, Val cond, const Snapshot *yes, LocId loc)
{
    bool ok = true;
    for (uint32_t k = 0; k < yes->scopes.n; k++)
        for (uint32_t i = 0; i < yes->scopes.at[k].n; i++) {
            Binding *b = &yes->scopes.at[k].scope->names.at[i];
            b->val = choose(e, cond, yes->scopes.at[k].vals[i], b->val, loc);
            ok &= b->val.kind != VAL_ERROR;
        }
    for (uint32_t i = 0; i < yes->tensors; i++) {
        NodeId taken = yes->current[i];
        if (taken == NODE_NONE || !e->written.at[i] || taken == e->current.at[i])
            continue;
        NodeId other = tensor_read(e, (int32_t)i);
        Val v = choose(e, cond, val_node(taken), val_node(other), loc);
        ok &= v.kind != VAL_ERROR;
        if (v.kind == VAL_TENSOR)
            e->current.at[i] = v.node;
    }
    return ok;
}

static bool is_condition(Elab *e, Val c, LocId loc)
{
    if (c.kind == VAL_TENSOR && graph_dtype(e->g, c.node) == DT_BOOL &&
        !graph_shape(e->g, c.node)->rank)
        return true;
    if (c.kind == VAL_TENSOR && graph_dtype(e->g, c.node) == DT_BOOL) {
        uint32_t d = diag_report(e->cx, DIAG_E0331, loc_here(e, loc),
                                 "a condition is one bool, not %s", val_text(e, c));
        diag_add(
            e->cx, d, DIAG_HELP, 0,
            "select(cond, a, b) chooses per element; any(..) and all(..) make one bool of many");
    } else {
        report_kind(e, loc, "a bool", c);
    }
    return false;
}

/* Both branches are computed; cond chooses. */
Val eval_dynamic_if(Elab *e, const AstExpr *x, Val cond, Scope *s)
{
    if (!is_condition(e, cond, x->branch.cond->loc))
        return val_error();
    Snapshot before = snapshot(e, s);
    Val yes = eval_block(e, x->branch.then, scope_new(e, s)), no = val_none();
    Snapshot after = rewind_to(e, &before);
    if (yes.kind != VAL_ERROR && x->branch.otherwise)
        no = eval_block(e, x->branch.otherwise, scope_new(e, s));
    else if (yes.kind != VAL_ERROR && x->branch.otherwise_expr)
        no = eval_multi(e, x->branch.otherwise_expr, s);
    if (yes.kind == VAL_ERROR || no.kind == VAL_ERROR || !merge(e, cond, &after, x->loc))
        return val_error();
    if (yes.kind != VAL_NONE && no.kind != VAL_NONE)
        return choose(e, cond, yes, no, x->loc);
    if (yes.kind == no.kind)
        return val_none();
    diag_report(e->cx, DIAG_E0409, loc_here(e, x->loc), "only one branch of this `if` has a value");
    return val_error();
}

static bool bind_inits(Elab *e, const AstInit *inits, uint32_t n, Scope *s)
{
    bool ok = true;
    for (uint32_t i = 0; i < n; i++) {
        Val v = val_deref(e, eval(e, inits[i].value, s));
        Binding *local = inits[i].name.text ? scope_find_local(s, inits[i].name.text) : NULL;
        ok &= v.kind != VAL_ERROR;
        if (local)
            local->val = v;
        else if (inits[i].name.text)
            scope_bind(e, s, inits[i].name.text, v, inits[i].loc);
    }
    return ok;
}

/* while c limit N: N turns, each of which counts as long as c has held. */
bool eval_while(Elab *e, const AstStmt *st, Scope *s)
{
    int64_t limit;
    if (!st->loop.limit)
        return unsupported(e, st->loc, "`while` without `limit`").kind != VAL_ERROR;
    if (!bind_inits(e, st->loop.inits, st->loop.n_inits, s) ||
        !val_integer(e, val_deref(e, eval(e, st->loop.limit, s)), st->loop.limit->loc, "the limit",
                     &limit))
        return false;
    Val active = val_bool(true);
    uint64_t site = e->site;
    bool ok = true;
    for (int64_t i = 0; ok && i < limit; i++) {
        Val c = val_deref(e, eval(e, st->loop.cond, s));
        if (c.kind == VAL_BOOL && !c.b)
            break;
        if (c.kind != VAL_BOOL && !is_condition(e, c, st->loop.cond->loc)) {
            ok = false;
            break;
        }
        if (i >= WHILE_MAX) {
            unsupported(e, st->loc, arena_printf(e->a, "`while` of more than %d turns", WHILE_MAX));
            ok = false;
            break;
        }
        active = active.kind == VAL_BOOL ? c
                 : c.kind == VAL_BOOL
                     ? active
                     : tensor_elementwise(e, OP_and, (Val[]){ active, c }, 2, st->loc);
        Snapshot before = snapshot(e, s);
        e->site = mix(site, (uint64_t)i + 1);
        Val v = spend(e, st->loc, 4) ? eval_block(e, st->loop.body, scope_new(e, s)) : val_error();
        ok = v.kind != VAL_ERROR;
        if (ok && active.kind == VAL_TENSOR) {
            Snapshot after = rewind_to(e, &before);
            ok = merge(e, active, &after, st->loc);
        }
    }
    e->site = site;
    return ok;
}

/* ---- scan ---- */

typedef struct {
    const AstStmt *at; /* the one `yield` */
    Val *vals;         /* n_values for each turn */
    uint32_t n_values, turns, capacity;
} Yields;

bool eval_yield(Elab *e, const AstStmt *st, Scope *s)
{
    Yields *y = e->yields;
    if (!y) {
        diag_report(e->cx, DIAG_E0412, loc_here(e, st->loc),
                    "`yield` belongs into the body of a scan");
        return false;
    }
    Val v = eval_exprs(e, st->exprs.at, st->exprs.n, s);
    if (v.kind == VAL_TUPLE && v.first)
        v = v.list.at[0];
    uint32_t n = v.kind == VAL_TUPLE ? v.list.n : 1;
    if (v.kind == VAL_ERROR)
        return false;
    if (y->turns && (y->n_values != n || y->at != st)) {
        diag_report(e->cx, DIAG_E0412, loc_here(e, st->loc), "the body of a scan has one `yield`");
        return false;
    }
    if (!y->turns)
        y->vals = arena_new_array(e->a, Val, (size_t)n * y->capacity);
    if (y->turns == y->capacity) {
        diag_report(e->cx, DIAG_E0412, loc_here(e, st->loc),
                    "the body of a scan has one `yield`, executed once");
        return false;
    }
    y->at = st;
    y->n_values = n;
    for (uint32_t i = 0; i < n; i++)
        y->vals[y->turns * n + i] = val_deref(e, v.kind == VAL_TUPLE ? v.list.at[i] : v);
    y->turns++;
    return true;
}

/* The axis called so: by number, or the first that has the dim's extent (B aside, when it is a
 * number for this entry). */
static bool scan_axis(Elab *e, const AstExpr *along, const Shape *shape, Scope *s, uint32_t *out)
{
    Val v = val_deref(e, eval(e, along, s));
    int64_t axis;
    if (v.kind == VAL_ERROR)
        return false;
    if (along->kind != AST_EXPR_NAME) {
        if (!val_integer(e, v, along->loc, "an axis", &axis))
            return false;
        axis += axis < 0 ? shape->rank : 0;
        *out = (uint32_t)axis;
        if (axis >= 0 && axis < shape->rank)
            return true;
        diag_report(e->cx, DIAG_E0307, loc_here(e, along->loc), "axis %lld of a tensor of rank %u",
                    (long long)axis, shape->rank);
        return false;
    }
    for (uint32_t pass = e->pinned; pass < 3; pass++)
        for (uint32_t i = pass == 1; i < shape->rank; i++) {
            Val d = val_of_dim(shape->dim[i]);
            if (d.kind == v.kind && d.i == v.i) {
                *out = i;
                return true;
            }
        }
    diag_report(e->cx, DIAG_E0307, loc_here(e, along->loc), "no axis of %s is `%s`, which is %s",
                shape_text(e->a, shape), along->name.text, val_text(e, v));
    return false;
}

static Val stacked(Elab *e, const Yields *y, uint32_t which, uint32_t axis, LocId loc)
{
    NodeId *parts = arena_new_array(e->a, NodeId, y->turns);
    Dtype t = DT_COUNT;
    for (uint32_t i = 0; i < y->turns && t == DT_COUNT; i++)
        t = val_dtype_of(e, y->vals[i * y->n_values + which]);
    for (uint32_t i = 0; i < y->turns; i++) {
        NodeId x =
            val_to_node(e, y->vals[i * y->n_values + which], t == DT_COUNT ? DT_F64 : t, loc);
        if (x == NODE_NONE)
            return val_error();
        uint32_t rank = graph_shape(e->g, x)->rank;
        parts[i] = b_unsqueeze(e->g, x, axis < rank ? axis : rank);
    }
    uint32_t rank = parts[0] == NODE_NONE ? 1 : graph_shape(e->g, parts[0])->rank;
    Val v = val_node(
        y->turns == 1 ? parts[0] : b_concat(e->g, parts, y->turns, axis < rank ? axis : rank - 1));
    v.untyped = t == DT_COUNT;
    return v;
}

static Val scan_result(Elab *e, const Yields *y, int64_t n, uint32_t axis, LocId loc)
{
    if (!y->turns)
        return val_none();
    if (y->turns != n) {
        diag_report(e->cx, DIAG_E0412, loc_here(e, y->at->loc),
                    "a scan yields in every turn or in none");
        return val_error();
    }
    set_loc(e, loc);
    Val *out = arena_new_array(e->a, Val, y->n_values);
    for (uint32_t i = 0; i < y->n_values; i++)
        out[i] = stacked(e, y, i, axis, loc);
    return y->n_values == 1 ? out[0] : val_tuple(e, out, y->n_values);
}

Val eval_scan(Elab *e, const AstExpr *x, Scope *s)
{
    uint32_t count = x->scan.n_over < x->scan.n_names ? x->scan.n_over : x->scan.n_names, axes[16];
    Val over[16];
    int64_t n = -1;
    if (!count || count > 16)
        return val_error();
    for (uint32_t i = 0; i < count; i++) {
        over[i] = val_deref(e, eval(e, x->scan.over[i], s));
        if (over[i].kind != VAL_TENSOR) {
            report_kind(e, x->scan.over[i]->loc, "a tensor to go along", over[i]);
            return val_error();
        }
        Shape shape = *graph_shape(e->g, over[i].node);
        if (!scan_axis(e, x->scan.along, &shape, s, &axes[i]))
            return val_error();
        Dim d = shape.dim[axes[i]];
        if (d.k) {
            e->wants_pin = true;
            return val_error();
        }
        if (n >= 0 && d.n != n) {
            diag_report(e->cx, DIAG_E0338, loc_here(e, x->scan.over[i]->loc),
                        "a scan over axes of %lld and %lld elements", (long long)n, (long long)d.n);
            return val_error();
        }
        n = d.n;
    }
    if (n > SCAN_MAX)
        return unsupported(e, x->loc, arena_printf(e->a, "a scan of more than %d turns", SCAN_MAX));
    if (!n) {
        diag_report(e->cx, DIAG_E0338, loc_here(e, x->loc), "a scan over an axis without elements");
        return val_error();
    }
    if (!bind_inits(e, x->scan.inits, x->scan.n_inits, s))
        return val_error();
    Yields yields = { .capacity = (uint32_t)n }, *outer = e->yields;
    uint64_t site = e->site;
    bool ok = true;
    e->yields = &yields;
    for (int64_t i = 0; ok && i < n; i++) {
        Scope *body = scope_new(e, s);
        set_loc(e, x->loc);
        for (uint32_t k = 0; k < count; k++) {
            Val v = val_node(
                b_squeeze(e->g, b_slice_axis(e->g, over[k].node, axes[k], i, i + 1), axes[k]));
            v.untyped = over[k].untyped;
            if (x->scan.names[k].text)
                scope_bind(e, body, x->scan.names[k].text, v, x->scan.names[k].loc);
        }
        e->site = mix(site, (uint64_t)i + 1);
        Val v = spend(e, x->loc, 4) ? eval_block(e, x->scan.body, body) : val_error();
        ok = v.kind != VAL_ERROR;
        if (ok && v.kind != VAL_NONE) {
            diag_report(e->cx, DIAG_E0405, loc_here(e, x->scan.body->loc),
                        "the value of a scan's body is not used: `yield` it");
            ok = false;
        }
    }
    e->yields = outer;
    e->site = site;
    return ok ? scan_result(e, &yields, n, axes[0], x->loc) : val_error();
}
