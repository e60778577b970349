/* elab_call.c: calls. A function is inlined: its parameters are names in a new scope, its dims are
 * bound by the arguments' types, its body is elaborated in place. `grad(f, wrt=x)` is such a call
 * with x wrapped in a `var` node, which the gradient is taken by; nesting needs nothing more. */
#include "frontend/elab.h"

#include <string.h>

uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

uint64_t mix_text(uint64_t h, const char *s)
{
    for (; *s; s++)
        h = mix(h, (unsigned char)*s);
    return mix(h, 256);
}

uint64_t site_file(const Elab *e, uint32_t file)
{
    const char *path = e->cx->sources.at[file].path, *slash = strrchr(path, '/');
    return mix_text(0, slash ? slash + 1 : path);
}

Args args_of(Elab *e, const Val *vals, uint32_t n, LocId loc)
{
    Args a = { arena_new_array(e->a, Arg, n), n };
    for (uint32_t i = 0; i < n; i++)
        a.at[i] = (Arg){ NULL, vals[i], loc };
    return a;
}

Val fn_value(Elab *e, const AstFn *ast, Scope *scope, Instance *owner)
{
    Fn *f = arena_make(e->a, Fn);
    *f = (Fn){ .kind = FN_USER,
               .name = ast->name.text,
               .ast = ast,
               .scope = scope,
               .owner = owner,
               .wrt_tensor = -1 };
    return (Val){ .kind = VAL_FN, .fn = f };
}

bool eval_args(Elab *e, const AstArg *args, uint32_t n, Scope *s, Args *out)
{
    VEC(Arg) all = { 0 };
    bool ok = true;
    for (uint32_t i = 0; i < n; i++) {
        if (!args[i].value) {
            const Shape *lead = scope_ellipsis(s);
            if (!lead) {
                diag_report(e->cx, DIAG_E0403, loc_here(e, args[i].loc),
                            "`...` stands for nothing here: no argument binds it");
                return false;
            }
            for (uint32_t k = 0; k < lead->rank; k++)
                vec_push(e->a, &all, (Arg){ NULL, val_of_dim(lead->dim[k]), args[i].loc });
            continue;
        }
        Arg a = { args[i].name.text, val_none(), args[i].value->loc };
        if (a.name && !strcmp(a.name, "wrt") && args[i].value->kind == AST_EXPR_NAME)
            a.val = val_string(args[i].value->name.text); /* a parameter's name, not a value */
        else
            a.val = eval(e, args[i].value, s);
        if (a.val.kind == VAL_NONE) {
            diag_report(e->cx, DIAG_E0409, loc_here(e, a.loc), "this argument has no value");
            a.val = val_error();
        }
        if (a.val.kind == VAL_STORED)
            a.val = val_deref(e, a.val);
        ok &= a.val.kind != VAL_ERROR;
        vec_push(e->a, &all, a);
    }
    *out = (Args){ all.at, all.n };
    return ok;
}

static void report_unexpected(Elab *e, const char *callee, const AstParam *params, uint32_t n,
                              const Arg *a)
{
    const char *names[64], *near;
    uint32_t k = 0;
    for (uint32_t i = 0; i < n && k < 64; i++)
        if (params[i].name.text)
            names[k++] = params[i].name.text;
    near = diag_nearest(a->name, names, k);
    if (near)
        diag_report(e->cx, DIAG_E0404, loc_here(e, a->loc),
                    "`%s` has no argument `%s`; did you mean `%s`?", callee, a->name, near);
    else
        diag_report(e->cx, DIAG_E0404, loc_here(e, a->loc), "`%s` has no argument `%s`", callee,
                    a->name);
}

bool match_args(Elab *e, const char *callee, const AstParam *params, uint32_t n, const Args *args,
                LocId loc, const Arg **out)
{
    uint32_t next = 0;
    memset(out, 0, n * sizeof *out);
    for (uint32_t i = 0; i < args->n; i++) {
        const Arg *a = &args->at[i];
        uint32_t k = next;
        if (a->name)
            for (k = 0; k < n && params[k].name.text != a->name; k++)
                ;
        if (k == n && a->name) {
            report_unexpected(e, callee, params, n, a);
            return false;
        }
        if (k == n) {
            diag_report(e->cx, DIAG_E0404, loc_here(e, a->loc), "`%s` takes %u argument%s", callee,
                        n, n == 1 ? "" : "s");
            return false;
        }
        if (out[k]) {
            diag_report(e->cx, DIAG_E0404, loc_here(e, a->loc), "`%s` has its argument `%s` twice",
                        callee, params[k].name.text);
            return false;
        }
        out[k] = a;
        if (!a->name)
            next = k + 1;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!out[i] && !params[i].value && params[i].name.text) {
            uint32_t d = diag_report(e->cx, DIAG_E0404, loc_here(e, loc),
                                     "`%s` lacks its argument `%s`", callee, params[i].name.text);
            diag_add(e->cx, d, DIAG_LABEL, params[i].loc, "declared here");
            return false;
        }
    return true;
}

static const char *callee_name(const Fn *f)
{
    if (f->name)
        return f->name;
    return f->owner ? f->owner->ast->name.text : "this function";
}

static bool bind_params(Elab *e, Fn *f, const Args *args, Scope *s, LocId loc)
{
    const AstSig *sig = &f->ast->sig;
    const Arg **given = arena_new_array(e->a, const Arg *, sig->n_params);
    if (!match_args(e, callee_name(f), sig->params, sig->n_params, args, loc, given))
        return false;
    bool ok = true;
    for (uint32_t i = 0; i < sig->n_params; i++) {
        const AstParam *p = &sig->params[i];
        if (!p->name.text)
            return false;
        Val v = given[i] ? given[i]->val : eval(e, p->value, s);
        LocId at = given[i] ? given[i]->loc : p->loc;
        v = type_accept(e, p->type, v, s, DIAG_E0337,
                        arena_printf(e->a, "`%s` of `%s`", p->name.text, callee_name(f)), at);
        ok &= v.kind != VAL_ERROR;
        scope_bind(e, s, p->name.text, v, p->loc);
    }
    return ok;
}

static bool check_wheres(Elab *e, const AstSig *sig, Scope *s)
{
    for (uint32_t i = 0; i < sig->n_wheres; i++) {
        Val v = eval(e, sig->wheres[i], s);
        if (v.kind == VAL_ERROR)
            return false;
        if (v.kind != VAL_BOOL) {
            report_kind(e, sig->wheres[i]->loc, "a condition known at compile time", v);
            return false;
        }
        if (!v.b) {
            diag_report(e->cx, DIAG_E0339, loc_here(e, sig->wheres[i]->loc),
                        "this condition does not hold");
            return false;
        }
    }
    return true;
}

static Val check_results(Elab *e, Fn *f, Val v, Scope *s)
{
    const AstSig *sig = &f->ast->sig;
    LocId body = f->ast->body->n_stmts ? f->ast->body->stmts[f->ast->body->n_stmts - 1]->loc
                                       : f->ast->body->loc;
    if (v.kind == VAL_ERROR || !sig->n_results)
        return v;
    if (v.kind == VAL_NONE) {
        diag_report(e->cx, DIAG_E0409, loc_here(e, body),
                    "`%s` has no value: its last statement is not an expression", callee_name(f));
        return val_error();
    }
    if (sig->n_results == 1)
        return type_accept(e, sig->results[0].type, v, s, DIAG_E0340,
                           arena_printf(e->a, "the result of `%s`", callee_name(f)), body);
    if (v.kind != VAL_TUPLE || v.list.n != sig->n_results) {
        diag_report(e->cx, DIAG_E0340, loc_here(e, body), "`%s` has %u results, this is %s",
                    callee_name(f), sig->n_results, val_text(e, v));
        return val_error();
    }
    Val *out = arena_new_array(e->a, Val, v.list.n);
    for (uint32_t i = 0; i < v.list.n; i++)
        out[i] = type_accept(e, sig->results[i].type, v.list.at[i], s, DIAG_E0340,
                             arena_printf(e->a, "result %u of `%s`", i + 1, callee_name(f)), body);
    return val_tuple(e, out, v.list.n);
}

/* A layer none of whose parameters are trained is in eval mode. */
static bool is_left_out(Elab *e, const Instance *i)
{
    bool any = false;
    for (uint32_t k = 0; i && e->params && k < i->scope->names.n; k++) {
        Val v = i->scope->names.at[k].val;
        if (v.kind != VAL_STORED || e->u->tensors.at[v.i].kind != TENSOR_PARAM)
            continue;
        any = true;
        if (glob_match(e->params, e->u->tensors.at[v.i].name))
            return false;
    }
    return any;
}

static Val call_user(Elab *e, Fn *f, const Args *args, const Shape *ellipsis, LocId loc)
{
    if (!f->ast->body)
        return unsupported(e, loc, "`extern fn`");
    if (e->calls >= ELAB_MAX_CALLS) {
        diag_report(e->cx, DIAG_E0408, loc_here(e, loc),
                    "`%s` calls itself without end, or calls nest more than %d deep",
                    callee_name(f), ELAB_MAX_CALLS);
        return val_error();
    }
    Scope *s = scope_new(e, f->scope);
    s->boundary = true;
    if (ellipsis)
        s->has_ellipsis = true, s->ellipsis = *ellipsis;
    Instance *owner = e->owner;
    LocId call = e->call;
    bool training = e->training, frozen = e->frozen;
    uint64_t site = e->site;
    const char *loops = e->loops;
    void *yields = e->yields;
    const Loc *l = loc_get(e->cx, loc);
    LocId here = loc_here(e, loc);
    e->calls++;
    e->yields = NULL;
    e->site = mix(mix(site, site_file(e, l->file)), l->begin);
    bool ok = bind_params(e, f, args, s,
                          loc); /* blamed on the caller's arguments, seen from the caller */
    e->owner = f->owner;
    e->call = here;
    if (f->owner != owner)
        e->loops = "";
    e->frozen |= f->frozen;
    Val v = val_error();
    if (ok && (!f->owner || instance_build(e, f->owner))) {
        e->training = training && !e->frozen && !is_left_out(e, f->owner);
        if (check_wheres(e, &f->ast->sig, s))
            v = check_results(e, f, eval_block(e, f->ast->body, s), s);
    }
    e->owner = owner, e->call = call, e->training = training, e->frozen = frozen, e->site = site,
    e->loops = loops, e->yields = yields;
    e->calls--;
    return v;
}

/* A function whose result has `...` that no parameter binds makes initial values: normal(0.02). */
static bool makes_values(const Fn *f)
{
    bool result = false;
    for (uint32_t i = 0; i < f->ast->sig.n_results; i++)
        result |= type_has_ellipsis(f->ast->sig.results[i].type);
    for (uint32_t i = 0; i < f->ast->sig.n_params; i++)
        result &= !type_has_ellipsis(f->ast->sig.params[i].type);
    return result;
}

/* ---- derivatives ---- */

static int64_t grad_position(Elab *e, const Fn *f, const Args *args, LocId loc)
{
    const AstSig *sig = &f->inner->ast->sig;
    uint32_t position = 0;
    while (position < sig->n_params && sig->params[position].name.text != f->wrt)
        position++;
    if (position == sig->n_params)
        return -1; /* reported when the function was made */
    for (uint32_t i = 0; i < args->n; i++)
        if (args->at[i].name ? args->at[i].name == f->wrt : i == position)
            return i;
    diag_report(e->cx, DIAG_E0404, loc_here(e, loc), "`%s` lacks its argument `%s`",
                callee_name(f->inner), f->wrt);
    return -1;
}

static NodeId emit_grad(Elab *e, NodeId y, NodeId x)
{
    NodeId in[] = { y, x };
    return graph_emit(e->g, OP_grad, in, 2, NULL, 0);
}

/* Row i is the gradient of element i of the gradient. */
static Val hessian(Elab *e, NodeId y, NodeId x, LocId loc)
{
    NodeId g = emit_grad(e, y, x), rows[256];
    if (g == NODE_NONE)
        return val_error();
    Shape shape = *graph_shape(e->g, x), flat = { .rank = 1 }, row = { .rank = 2 };
    int64_t n;
    if (!shape_elements(&shape, &n) || n > 256 || n < 1 || shape.rank > MAX_RANK / 2) {
        diag_report(e->cx, DIAG_E0504, loc_here(e, loc),
                    "a Hessian by %s is too large: at most 256 elements", shape_text(e->a, &shape));
        return val_error();
    }
    flat.dim[0] = dim_of(n);
    row.dim[0] = dim_of(1), row.dim[1] = dim_of(n);
    NodeId all = b_reshape(e->g, g, &flat);
    for (int64_t i = 0; i < n; i++) {
        NodeId gi = b_squeeze(e->g, b_slice_axis(e->g, all, 0, i, i + 1), 0);
        rows[i] = b_reshape(e->g, emit_grad(e, gi, x), &row);
    }
    Shape both = { .rank = 2 * shape.rank };
    for (uint32_t i = 0; i < both.rank; i++)
        both.dim[i] = shape.dim[i % shape.rank];
    return val_node(
        b_reshape(e->g, n == 1 ? rows[0] : b_concat(e->g, rows, (uint32_t)n, 0), &both));
}

static NodeId sum_of_products(Elab *e, NodeId x, NodeId y)
{
    int64_t axes[MAX_RANK];
    uint32_t rank = graph_shape(e->g, x)->rank;
    for (uint32_t i = 0; i < rank; i++)
        axes[i] = i;
    NodeId product = b_mul(e->g, x, y);
    return rank ? b_reduce(e->g, OP_reduce_sum, product, axes, rank, false) : product;
}

/* The derivative of y along `direction` of x. The gradient of sum(y*u) by x is u times the
 * Jacobian, so it is linear in u, and the gradient of its product with the direction by u is the
 * Jacobian times the direction: two reverse passes, and no rule of an operation for forward mode.
 * What u is does not matter; it is a variable of its own. */
static Val derivative_along(Elab *e, NodeId y, NodeId x, const Arg *direction, LocId loc)
{
    Dtype t = graph_dtype(e->g, y);
    Shape shape = *graph_shape(e->g, x), joined;
    if (!dtype_is_float(t)) {
        report_kind(e, loc, "a function with a result of floats", val_node(y));
        return val_error();
    }
    NodeId v = val_to_node(e, val_deref(e, direction->val), graph_dtype(e->g, x), direction->loc);
    if (v == NODE_NONE)
        return val_error();
    if (!shape_join(graph_shape(e->g, v), &shape, &joined) || !shape_equal(&joined, &shape)) {
        diag_report(e->cx, DIAG_E0312, loc_here(e, direction->loc),
                    "the direction of a derivative by %s is %s", shape_text(e->a, &shape),
                    shape_text(e->a, graph_shape(e->g, v)));
        return val_error();
    }
    v = node_broadcast(e, v, &shape);
    NodeId u = b_like(e->g, y, 0);
    AttrValue site = attr_i(e->var_sites++);
    u = graph_emit(e->g, OP_var, &u, 1, &site, 1);
    NodeId back = u == NODE_NONE ? u : emit_grad(e, sum_of_products(e, y, u), x);
    return back == NODE_NONE ? val_error() : val_node(emit_grad(e, sum_of_products(e, back, v), u));
}

static Val call_grad(Elab *e, Fn *f, const Args *args, LocId loc)
{
    Args own = { arena_new_array(e->a, Arg, args->n + 1), args->n };
    NodeId x = NODE_NONE;
    for (uint32_t i = 0; i < args->n; i++)
        own.at[i] = args->at[i];
    const Arg *direction = f->mode == GRAD_ALONG && args->n ? &args->at[args->n - 1] : NULL;
    if (f->mode == GRAD_ALONG && (!direction || direction->name)) {
        diag_report(e->cx, DIAG_E0404, loc_here(e, loc),
                    "a derivative by `jvp` takes its direction as the last argument");
        return val_error();
    }
    own.n -= direction != NULL;
    if (f->wrt) {
        int64_t at = grad_position(e, f, &own, loc);
        if (at < 0)
            return val_error();
        set_loc(e, own.at[at].loc);
        x = val_to_tensor(e, own.at[at].val, e->options->f64 ? DT_F64 : DT_F32, own.at[at].loc);
        AttrValue site = attr_i(e->var_sites++);
        x = graph_emit(e->g, OP_var, &x, 1, &site, 1);
        if (x == NODE_NONE)
            return val_error();
        own.at[at].val = val_node(x);
    } else {
        x = tensor_read(e, f->wrt_tensor);
    }
    Val v = val_deref(e, call_fn(e, f->inner, &own, NULL, loc));
    if (v.kind == VAL_ERROR)
        return v;
    if (v.kind == VAL_TUPLE || !val_is_runtime(v)) {
        report_kind(e, loc, "a function with one scalar result", v);
        return val_error();
    }
    set_loc(e, loc);
    Dtype t = graph_dtype(e->g, x);
    NodeId y = val_to_tensor(e, v, t, loc);
    if (y == NODE_NONE)
        return val_error();
    if (f->mode == GRAD_HESSIAN)
        return hessian(e, y, x, loc);
    if (f->mode == GRAD_ALONG)
        return derivative_along(e, y, x, direction, loc);
    Val g = val_node(emit_grad(e, y, x));
    return f->mode == GRAD_VALUE ? val_tuple(e, (Val[]){ val_node(y), g }, 2) : g;
}

/* ---- all kinds ---- */

Val call_fn(Elab *e, Fn *f, const Args *args, const Shape *ellipsis, LocId loc)
{
    switch (f->kind) {
    case FN_USER:
        if (!ellipsis && makes_values(f)) {
            Fn *p = arena_make(e->a, Fn);
            *p = (Fn){
                .kind = FN_PARTIAL, .name = f->name, .inner = f, .args = *args, .wrt_tensor = -1
            };
            return (Val){ .kind = VAL_FN, .fn = p };
        }
        return call_user(e, f, args, ellipsis, loc);
    case FN_BUILTIN: return builtin_call(e, f->builtin, args, loc);
    case FN_OP: return op_call(e, f->op, args, loc);
    case FN_GRAD: return call_grad(e, f, args, loc);
    case FN_PARTIAL: { /* normal(0.02)(B, H): values of these dims */
        Shape dims;
        if (ellipsis)
            return call_fn(e, f->inner, &f->args, ellipsis, loc);
        if (!vals_to_shape(e, args->at, args->n, loc, &dims))
            return val_error();
        return call_fn(e, f->inner, &f->args, &dims, loc);
    }
    }
    return val_error();
}

static bool has_tensor(const Args *args)
{
    for (uint32_t i = 0; i < args->n; i++)
        if (args->at[i].val.kind == VAL_TENSOR || args->at[i].val.kind == VAL_TUPLE)
            return true;
    return false;
}

static bool lacks_argument(const LayerVal *l)
{
    uint32_t required = 0;
    for (uint32_t i = 0; i < l->ast->n_params; i++)
        required += !l->ast->params[i].value;
    return l->args.n < required;
}

Val apply(Elab *e, Val f, const Args *args, const AstExpr *site, LocId loc)
{
    switch (f.kind) {
    case VAL_FN: return call_fn(e, f.fn, args, NULL, loc);
    case VAL_INSTANCE: return instance_call(e, f, args, loc);
    case VAL_DTYPE:
        if (args->n == 1)
            return tensor_cast(e, args->at[0].val, f.dtype, loc);
        diag_report(e->cx, DIAG_E0404, loc_here(e, loc), "a cast takes one argument");
        return val_error();
    case VAL_LAYER: {
        if (f.layer->ast->kind == AST_OPTIMIZER)
            return layer_configure(e, f.layer, args, loc);
        if (!has_tensor(args) &&
            !(f.layer->args.n && !lacks_argument(f.layer) && site->kind == AST_EXPR_CALL &&
              site->call.callee->kind == AST_EXPR_CALL))
            return layer_configure(e, f.layer, args, loc);
        Instance *i = instance_inline(e, f.layer, site, loc);
        return i ? instance_call(e, (Val){ .kind = VAL_INSTANCE, .instance = i }, args, loc)
                 : val_error();
    }
    case VAL_MODULE:
        if (f.module->onnx)
            return module_model(e, f.module, args, loc);
        break;
    case VAL_ERROR: return f;
    case VAL_NONE:
    case VAL_INT:
    case VAL_RATIO:
    case VAL_FLOAT:
    case VAL_BOOL:
    case VAL_STRING:
    case VAL_DIM:
    case VAL_LIST:
    case VAL_TUPLE:
    case VAL_RANGE:
    case VAL_TENSOR:
    case VAL_STORED:
    case VAL_DATA: break;
    }
    report_kind(e, loc, "a function or layer", f);
    return val_error();
}

static Val eval_callee(Elab *e, const AstExpr *x, Scope *s)
{
    if (x->kind != AST_EXPR_NAME || !x->name.text)
        return eval(e, x, s);
    Val v = scope_lookup_quiet(e, s, x->name.text);
    if (val_is_number(v) || v.kind == VAL_BOOL || v.kind == VAL_STORED || v.kind == VAL_TENSOR) {
        Val global = global_lookup(e, x->name.text); /* an argument `pad` does not hide pad(..) */
        if (global.kind == VAL_FN)
            return global;
    }
    if (v.kind != VAL_NONE)
        return v;
    report_unknown(e, s, "function", &x->name);
    return val_error();
}

Val eval_call(Elab *e, const AstExpr *x, Scope *s)
{
    Args args;
    Val f = eval_callee(e, x->call.callee, s);
    if (f.kind == VAL_ERROR || !eval_args(e, x->call.args, x->call.n_args, s, &args))
        return val_error();
    return apply(e, f, &args, x, x->loc);
}

static Args with_first(Elab *e, const Args *args, Val first, LocId loc)
{
    Args all = { arena_new_array(e->a, Arg, args->n + 1), args->n + 1 };
    all.at[0] = (Arg){ NULL, first, loc };
    for (uint32_t i = 0; i < args->n; i++)
        all.at[i + 1] = args->at[i];
    return all;
}

/* x |> f(a) is f(x, a); x |> L(a) with a layer L is L(a)(x). */
Val eval_pipe(Elab *e, const AstExpr *x, Scope *s)
{
    const AstExpr *right = x->pipe.right;
    bool is_call = right->kind == AST_EXPR_CALL;
    Val left = val_deref(e, eval(e, x->pipe.left, s));
    Val f = eval_callee(e, is_call ? right->call.callee : right, s);
    Args args = { 0 };
    if (is_call && f.kind != VAL_ERROR &&
        !eval_args(e, right->call.args, right->call.n_args, s, &args))
        return val_error();
    if (left.kind == VAL_NONE) {
        diag_report(e->cx, DIAG_E0409, loc_here(e, x->pipe.left->loc),
                    "this has no value to pass on");
        return val_error();
    }
    if (left.kind == VAL_ERROR || f.kind == VAL_ERROR)
        return val_error();
    if (f.kind == VAL_LAYER) {
        Val l = is_call ? layer_configure(e, f.layer, &args, right->loc) : f;
        Instance *i = l.kind == VAL_LAYER ? instance_inline(e, l.layer, right, right->loc) : NULL;
        Args one = args_of(e, &left, 1, x->pipe.left->loc);
        return i ? instance_call(e, (Val){ .kind = VAL_INSTANCE, .instance = i }, &one, right->loc)
                 : val_error();
    }
    Args all = with_first(e, &args, left, x->pipe.left->loc);
    return apply(e, f, &all, right, right->loc);
}
