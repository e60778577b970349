/* elab_random.c: random tensors, and marks: frozen, grad, bounded. A random op is keyed by the
 * seed, the step, and its site: the hash of the call path, so that a function drawn from twice
 * gives different numbers, and the same ones on any machine. */
#include "frontend/elab.h"

#include <string.h>

NodeId clock_node(Elab *e, const char *field)
{
    AttrValue f = attr_s(field);
    return graph_emit(e->g, OP_clock, NULL, 0, &f, 1);
}

static AttrValue random_site(const BuiltinCall *q)
{
    const Loc *l = loc_get(q->e->cx, q->loc);
    uint64_t h = mix(q->e->site, site_file(q->e, l->file));
    h = mix(h, ((uint64_t)l->begin << 32) | l->end);
    if (q->e->owner)
        h = mix_text(h, q->e->owner->path);
    return attr_i((int64_t)(h & 0x7fffffff));
}

static Val draw(BuiltinCall *q, Op op)
{
    Shape s;
    if (!vals_to_shape(q->e, q->rest.at, q->rest.n, q->loc, &s))
        return val_error();
    NodeId keys[] = { clock_node(q->e, "seed"), clock_node(q->e, "key") };
    AttrValue attrs[] = { attr_shape(&s), random_site(q),
                          attr_dtype(q->e->options->f64 ? DT_F64 : DT_F32) };
    return val_node(graph_emit(q->e->g, op, keys, 2, attrs, 3));
}

static Val call_rand(BuiltinCall *q)
{
    return draw(q, OP_random_uniform);
}

static Val call_randn(BuiltinCall *q)
{
    return draw(q, OP_random_normal);
}

static Val call_randint(BuiltinCall *q)
{
    Shape s;
    int64_t low, high;
    if (!arg_int(q, 0, 0, &low) || !arg_int(q, 1, 0, &high) ||
        !vals_to_shape(q->e, q->rest.at, q->rest.n, q->loc, &s))
        return val_error();
    if (low >= high || low < INT32_MIN || high > INT32_MAX) {
        diag_report(q->e->cx, DIAG_E0338, loc_here(q->e, q->loc),
                    "`randint` draws from low <= v < high; %lld and %lld leave nothing",
                    (long long)low, (long long)high);
        return val_error();
    }
    NodeId keys[] = { clock_node(q->e, "seed"), clock_node(q->e, "key") };
    AttrValue attrs[] = { attr_shape(&s), random_site(q), attr_i(low), attr_i(high) };
    return val_node(graph_emit(q->e->g, OP_random_integer, keys, 2, attrs, 4));
}

const Builtin random_builtins[] = {
    { "rand", "dims*", call_rand },
    { "randint", "low, high, dims*", call_randint },
    { "randn", "dims*", call_randn },
    { NULL, NULL, NULL },
};

static Val call_frozen(BuiltinCall *q)
{
    Val v = q->at[0].val;
    if (v.kind != VAL_INSTANCE) {
        report_kind(q->e, q->at[0].loc, "a layer or model", v);
        return val_error();
    }
    v.frozen = true;
    return v;
}

/* The function being differentiated: one with a body, so that `wrt` can name a parameter of it. */
static Val derive(BuiltinCall *q, GradMode mode)
{
    Elab *e = q->e;
    Val f = q->at[0].val, wrt = q->at[1].val;
    if (f.kind == VAL_INSTANCE) {
        const AstFn *ast = instance_find_fn(e, f.instance, NULL);
        if (ast)
            f = fn_value(e, ast, f.instance->scope, f.instance);
    }
    Fn *inner = f.kind == VAL_FN ? f.fn : NULL;
    while (inner && inner->kind == FN_GRAD)
        inner = inner->inner;
    if (!inner || inner->kind != FN_USER || wrt.kind != VAL_STRING) {
        report_kind(e, q->at[inner && inner->kind == FN_USER].loc,
                    inner && inner->kind == FN_USER ? "a parameter's name or \"path\""
                                                    : "a function written in .dl",
                    f);
        return val_error();
    }
    Fn *g = arena_make(e->a, Fn);
    *g = (Fn){ .kind = FN_GRAD,
               .name = inner->name,
               .ast = inner->ast,
               .inner = f.fn,
               .mode = mode,
               .wrt_tensor = -1 };
    const char *name = name_of(e->cx, wrt.string.text), *names[64];
    uint32_t n = 0;
    for (uint32_t i = 0; i < inner->ast->sig.n_params; i++) {
        if (inner->ast->sig.params[i].name.text == name)
            g->wrt = name;
        if (n < 64 && inner->ast->sig.params[i].name.text)
            names[n++] = inner->ast->sig.params[i].name.text;
    }
    if (!g->wrt)
        g->wrt_tensor = unit_tensor(e->u, wrt.string.text);
    if (g->wrt || g->wrt_tensor >= 0)
        return (Val){ .kind = VAL_FN, .fn = g };
    const char *near = diag_nearest(name, names, n);
    diag_report(e->cx, DIAG_E0505, loc_here(e, q->at[1].loc),
                near ? "`%s` has no parameter `%s`; did you mean `%s`?"
                     : "`%s` has no parameter `%s`, and no tensor is called so",
                inner->name ? inner->name : "the function", name, near);
    return val_error();
}

static Val call_grad(BuiltinCall *q)
{
    return derive(q, GRAD_ONLY);
}

static Val call_value_and_grad(BuiltinCall *q)
{
    return derive(q, GRAD_VALUE);
}

static Val call_hessian(BuiltinCall *q)
{
    return derive(q, GRAD_HESSIAN);
}

/* Tells the entry that the input behind x holds values below `n`: labels and token ids are then
 * checked before anything runs. */
static Val call_bounded(BuiltinCall *q)
{
    Elab *e = q->e;
    NodeId x = val_to_tensor(e, q->at[0].val, DT_I32, q->at[0].loc), at = x;
    int64_t n;
    if (x == NODE_NONE || !arg_int(q, 1, 0, &n))
        return val_error();
    while (graph_node(e->g, at)->op == OP_cast || graph_node(e->g, at)->op == OP_reshape ||
           graph_node(e->g, at)->op == OP_slice)
        at = graph_operand(e->g, at, 0);
    if (graph_node(e->g, at)->op == OP_input && dtype_is_integer(graph_dtype(e->g, at)) && n > 0) {
        Input *in = &e->g->inputs.at[graph_attr(e->g, at, "index")->i];
        if (!in->bound || in->bound > n)
            in->bound = n;
    }
    return val_node(x);
}

/* Its operand; warns when that went through softmax or sigmoid already. */
static Val call_as_logits(BuiltinCall *q)
{
    Elab *e = q->e;
    NodeId x = arg_tensor(q, 0);
    Op op = x == NODE_NONE ? OP_input : (Op)graph_node(e->g, x)->op;
    if (op == OP_softmax || op == OP_sigmoid) {
        uint32_t d = diag_report(e->cx, DIAG_W0301, loc_here(e, q->loc),
                                 "this loss applies %s itself", op_defs[op]->name);
        diag_add(e->cx, d, DIAG_LABEL, graph_node(e->g, x)->loc, "and so does this");
    }
    return q->at[0].val;
}

static Val call_jvp(BuiltinCall *q)
{
    return derive(q, GRAD_ALONG);
}

const Builtin mark_builtins[] = {
    { "as_logits", "x", call_as_logits },
    { "bounded", "x, n", call_bounded },
    { "frozen", "model", call_frozen },
    { "grad", "f, wrt", call_grad },
    { "hessian", "f, wrt", call_hessian },
    { "jvp", "f, wrt", call_jvp },
    { "value_and_grad", "f, wrt", call_value_and_grad },
    { NULL, NULL, NULL },
};
