/* elab_entry.c: entries of the Unit: their inputs and batch, exports, initial values, and pinning.
 *
 * B is the leading dim name of an entry's inputs. It stays a run-time extent as long as every dim
 * is k*B; where the program needs more (E0310 from an op, or B in a value known now) the attempt is
 * thrown away, with its messages, and made again with B as its maximum. */
#include "frontend/elab.h"

#include <string.h>

enum { DEFAULT_BATCH = 64 };

const FrontendSetting *find_define(Elab *e, const char *name)
{
    bool known = !e->options->n_defines || e->asked.n == 64;
    for (uint32_t i = 0; i < e->asked.n && !known; i++)
        known = !strcmp(e->asked.at[i], name);
    if (!known)
        vec_push(e->a, &e->asked, name);
    for (uint32_t i = e->options->n_defines; i-- > 0;)
        if (!strcmp(e->options->defines[i].name, name)) {
            if (i < 64)
                e->defines_used |= UINT64_C(1) << i;
            return &e->options->defines[i];
        }
    return NULL;
}

Val define_value(Elab *e, const FrontendSetting *d)
{
    AstExpr *x = parse_value(e, arena_printf(e->a, "-D %s", d->name), d->value);
    return x ? eval_static(e, x, e->root ? e->root->module->scope : scope_new(e, NULL))
             : val_error();
}

static void start_entry(Elab *e, const char *name)
{
    e->g = graph_new(e->u, name, 0);
    e->current.n = e->written.n = 0;
    e->batch_max = 0;
    e->wants_pin = false;
    e->training = e->frozen = e->own_clock = e->in_step = false;
    e->overrides.n = 0;
    e->owner = NULL;
    e->call = 0;
    e->site = 0;
    e->loops = "";
    e->var_sites = 0;
}

static void output_updates(Elab *e)
{
    for (uint32_t i = 0; i < e->written.n; i++)
        if (e->written.at[i])
            graph_output(e->g, e->u->tensors.at[i].name, e->current.at[i], (int32_t)i);
}

/* Only the need of a number for B went wrong. */
static bool failed_for_batch(const Elab *e, uint32_t from)
{
    if (e->wants_pin)
        return true;
    for (uint32_t i = from; i < e->cx->diags.n; i++)
        if (e->cx->diags.at[i].code == DIAG_E0310)
            return true;
    return false;
}

bool entry_build(Elab *e, EntryKind kind, const char *name, LocId loc,
                 bool (*body)(Elab *e, void *user), void *user)
{
    Compiler *cx = e->cx;
    uint32_t diags = cx->diags.n, errors = cx->errors, warnings = cx->warnings;
    if (unit_entry(e->u, name)) {
        diag_report(cx, DIAG_E0406, loc, "there are two entries called `%s`", name);
        return false;
    }
    for (e->pinned = false;; e->pinned = true) {
        start_entry(e, name);
        bool ok = body(e, user) && cx->errors == errors && !e->wants_pin;
        if (ok) {
            output_updates(e);
            Entry entry = { kind, name, e->g, e->pinned && e->batch_max, loc };
            if (e->pinned)
                e->g->batch_max = 0;
            vec_push(e->a, &e->u->entries, entry);
        }
        if (!ok && !e->pinned && failed_for_batch(e, diags)) {
            cx->diags.n = diags, cx->errors = errors, cx->warnings = warnings;
            continue;
        }
        e->g = e->scratch;
        e->pinned = false;
        return ok;
    }
}

/* ---- batch and inputs ---- */

/* The first dim of the first parameter with dims, when it is a name of its own. */
static const char *batch_name(Elab *e, const AstFn *fn, Scope *s)
{
    for (uint32_t i = 0; i < fn->sig.n_params; i++) {
        const AstType *t = fn->sig.params[i].type;
        if (!type_is_tensor(e, t) || !t->n_dims)
            continue;
        const AstDim *d = &t->dims[0];
        if (d->kind != AST_DIM_EXPR || d->expr->kind != AST_EXPR_NAME || !d->expr->name.text)
            return NULL;
        Val known = scope_lookup_quiet(e, s, d->expr->name.text);
        return known.kind == VAL_INT ? NULL : d->expr->name.text;
    }
    return NULL;
}

static bool batch_extent(Elab *e, const char *name, int64_t *out)
{
    const FrontendSetting *d = find_define(e, name);
    *out = e->u->recipe.batch > 0 ? e->u->recipe.batch : DEFAULT_BATCH;
    if (!d && strcmp(name, "B"))
        d = find_define(e, "B");
    if (!d)
        return true;
    Val v = define_value(e, d);
    if (v.kind == VAL_INT && v.i > 0 && v.i <= INT32_MAX) {
        *out = v.i;
        return true;
    }
    if (v.kind != VAL_ERROR)
        diag_report(e->cx, DIAG_E0335, 0, "-D %s=%s: the batch must be a whole number above 0",
                    d->name, d->value);
    return false;
}

bool entry_batch(Elab *e, const AstFn *fn, Instance *owner, Scope *s)
{
    (void)owner;
    const char *name = batch_name(e, fn, s);
    if (!name)
        return true;
    if (!batch_extent(e, name, &e->batch_max))
        return false;
    e->g->batch_max = e->batch_max;
    scope_bind(e, s, name, e->pinned ? val_int(e->batch_max) : (Val){ .kind = VAL_DIM, .i = 1 },
               fn->loc);
    return true;
}

/* A dim name that is neither known nor the batch: from -D, or from what the data gives. */
static Val free_dim(Elab *e, const AstParam *p, uint32_t axis, const char *name, Scope *s)
{
    FrontendField fields[32];
    const FrontendSetting *d = find_define(e, name);
    Val v = val_none();
    int n = e->u->recipe.on.source ? data_fields(e, e->u->recipe.on.source, fields, 32) : -1;
    if (d)
        v = define_value(e, d);
    for (int i = 0; !d && i < n; i++)
        if (!strcmp(fields[i].name, p->name.text) && axis > 0 && fields[i].rank >= axis)
            v = val_int(fields[i].dim[axis - 1]);
    if (v.kind == VAL_INT && v.i >= 0) {
        scope_bind(e, s, name, v, p->loc);
        return v;
    }
    if (v.kind != VAL_ERROR && !e->data_failed) {
        uint32_t r = diag_report(e->cx, DIAG_E0342, loc_here(e, p->type->dims[axis].loc),
                                 "the extent of `%s` is not known", name);
        diag_add(e->cx, r, DIAG_HELP, 0, "give it on the command line: -D %s=128", name);
    }
    return val_error();
}

static bool input_shape(Elab *e, const AstParam *p, Scope *s, Shape *out)
{
    const AstType *t = p->type;
    *out = (Shape){ 0 };
    for (uint32_t i = 0; i < t->n_dims; i++) {
        const AstDim *d = &t->dims[i];
        if (d->kind != AST_DIM_EXPR || out->rank == MAX_RANK) {
            diag_report(e->cx, DIAG_E0342, loc_here(e, d->loc),
                        "an input of the model needs every dim");
            return false;
        }
        Val v = val_none();
        if (d->expr->kind == AST_EXPR_NAME && d->expr->name.text) {
            v = scope_lookup_quiet(e, s, d->expr->name.text);
            if (v.kind != VAL_INT && v.kind != VAL_DIM)
                v = free_dim(e, p, i, d->expr->name.text, s);
        } else {
            v = eval_dim(e, d->expr, s);
        }
        Arg one = { NULL, v, d->loc };
        Shape dim;
        if (v.kind == VAL_ERROR || !vals_to_shape(e, &one, 1, d->loc, &dim))
            return false;
        out->dim[out->rank++] = dim.dim[0];
    }
    int64_t n;
    if (shape_elements(out, &n) && n <= INT64_MAX / 16)
        return true;
    diag_report(e->cx, DIAG_E0335, loc_here(e, t->loc), "an input of %s has too many elements",
                shape_text(e->a, out));
    return false;
}

/* (x - mean) * scale with the statistics of the training data, where the recipe standardises this
 * field. */
static NodeId standardized(Elab *e, const char *name, NodeId x)
{
    for (uint32_t i = 0; i < e->stats.n; i++) {
        if (!glob_match(e->stats.at[i], name) || x == NODE_NONE)
            continue;
        int32_t mean = unit_tensor(e->u, arena_printf(e->a, "data.%s.mean", name));
        int32_t scale = unit_tensor(e->u, arena_printf(e->a, "data.%s.scale", name));
        Shape s = *graph_shape(e->g, x);
        NodeId centred = b_sub(e->g, x, node_broadcast(e, tensor_read(e, mean), &s));
        return b_mul(e->g, centred, node_broadcast(e, tensor_read(e, scale), &s));
    }
    return x;
}

/* Statistics are declared when the first entry with the field shows its shape. */
static bool declare_stats(Elab *e, const char *name, Dtype dtype, const Shape *shape, LocId loc)
{
    for (uint32_t i = 0; i < e->stats.n; i++) {
        if (!glob_match(e->stats.at[i], name))
            continue;
        const char *mean = arena_printf(e->a, "data.%s.mean", name);
        Shape item = { .rank = shape->rank ? shape->rank - 1 : 0 };
        for (uint32_t k = 0; k < item.rank; k++)
            item.dim[k] = shape->dim[k + 1];
        if (!dtype_is_float(dtype)) {
            diag_report(e->cx, DIAG_E0604, loc,
                        "`%s` is standardised, so it must be a float and not %s", name,
                        dtype_name(dtype));
            return false;
        }
        int32_t known = unit_tensor(e->u, mean);
        if (known >= 0) {
            if (shape_equal(&e->u->tensors.at[known].shape, &item))
                return true;
            diag_report(e->cx, DIAG_E0604, loc,
                        "`%s` is standardised and has another shape here than elsewhere", name);
            return false;
        }
        tensor_declare(e, mean, TENSOR_STAT, dtype, &item, val_int(0), -1, loc);
        tensor_declare(e, arena_printf(e->a, "data.%s.scale", name), TENSOR_STAT, dtype, &item,
                       val_int(1), -1, loc);
    }
    return true;
}

Val entry_input(Elab *e, const AstParam *p, const AstFn *fn, Scope *s)
{
    Shape shape;
    (void)fn;
    Dtype t = dtype_of_name(e, p->type->name.text);
    if (t == DT_COUNT) {
        diag_report(e->cx, DIAG_E0342, loc_here(e, p->type->loc),
                    "an input of the model needs one dtype, as f32");
        return val_error();
    }
    if (!input_shape(e, p, s, &shape) || !declare_stats(e, p->name.text, t, &shape, p->loc))
        return val_error();
    set_loc(e, p->loc);
    const char *name = p->as.text ? p->as.text : p->name.text;
    NodeId x =
        graph_input(e->g, (Input){ .name = name, .dtype = t, .shape = shape, .loc = p->loc });
    return val_node(standardized(e, p->name.text, x));
}

bool entry_inputs(Elab *e, const AstFn *fn, Instance *owner, Scope *s, Args *out)
{
    if (!entry_batch(e, fn, owner, s))
        return false;
    out->at = arena_new_array(e->a, Arg, fn->sig.n_params);
    out->n = 0;
    for (uint32_t i = 0; i < fn->sig.n_params; i++) {
        const AstParam *p = &fn->sig.params[i];
        if (!p->name.text)
            return false;
        const FrontendSetting *d = find_define(e, p->name.text);
        Arg a = { p->name.text, val_none(), p->loc };
        if (type_is_tensor(e, p->type) && !(d && !p->type->n_dims))
            a.val = entry_input(e, p, fn, s);
        else if (d)
            a.val = define_value(e, d);
        else if (p->value)
            continue;
        else
            diag_report(e->cx, DIAG_E0342, p->loc,
                        "`%s` must be known to build this: give it with -D %s=..", p->name.text,
                        p->name.text);
        if (a.val.kind == VAL_ERROR || a.val.kind == VAL_NONE)
            return false;
        out->at[out->n++] = a;
    }
    return true;
}

/* ---- exports ---- */

NodeId entry_result(Elab *e, Val v, const AstType *t, LocId loc)
{
    Dtype want = t && type_is_tensor(e, t) ? dtype_of_name(e, t->name.text) : DT_COUNT;
    if (want == DT_COUNT)
        want = e->options->f64 ? DT_F64 : DT_F32;
    if (v.kind == VAL_STORED || val_is_runtime(v))
        return val_to_tensor(e, v, want, loc);
    report_kind(e, loc, "a tensor as the result of an entry", v);
    return NODE_NONE;
}

typedef struct {
    const AstFn *fn;
} Export;

static bool export_body(Elab *e, void *user)
{
    const AstFn *fn = ((Export *)user)->fn;
    const AstSig *sig = &fn->sig;
    Scope *s = scope_new(e, e->root->scope);
    Args args;
    if (!entry_inputs(e, fn, e->root, s, &args))
        return false;
    Val v = call_fn(e, fn_value(e, fn, e->root->scope, e->root).fn, &args, NULL, 0);
    if (v.kind == VAL_ERROR)
        return false;
    uint32_t n = v.kind == VAL_TUPLE && !v.first ? v.list.n : 1;
    for (uint32_t i = 0; i < n; i++) {
        Val part = v.kind == VAL_TUPLE ? v.list.at[i] : v;
        const AstResult *r = i < sig->n_results ? &sig->results[i] : NULL;
        NodeId x = entry_result(e, part, r ? r->type : NULL, fn->loc);
        if (x == NODE_NONE)
            return false;
        const char *name = r && r->as.text     ? r->as.text
                           : r && r->name.text ? r->name.text
                           : n == 1          ? fn->name.text
                                             : arena_printf(e->a, "%s_%u", fn->name.text, i);
        graph_output(e->g, name, x, -1);
    }
    return true;
}

bool entry_export(Elab *e, const AstFn *fn)
{
    Export x = { fn };
    return fn->name.text && entry_build(e, ENTRY_EXPORT, fn->name.text, fn->loc, export_body, &x);
}

/* ---- initial values ---- */

static bool fill_list(Elab *e, Val v, const Shape *s, uint32_t axis, double *out, int64_t *at,
                      LocId loc)
{
    if (axis == s->rank && val_is_number(v)) {
        out[(*at)++] = val_double(v);
        return true;
    }
    if (axis < s->rank && v.kind == VAL_LIST && v.list.n == s->dim[axis].n) {
        for (uint32_t i = 0; i < v.list.n; i++)
            if (!fill_list(e, v.list.at[i], s, axis + 1, out, at, loc))
                return false;
        return true;
    }
    diag_report(e->cx, DIAG_E0343, loc, "this list does not have the form %s", shape_text(e->a, s));
    return false;
}

static NodeId list_node(Elab *e, Val v, const Tensor *t, LocId loc)
{
    int64_t n, at = 0;
    if (!shape_elements(&t->shape, &n) || n > 1 << 24)
        return NODE_NONE;
    double *numbers = arena_new_array(e->a, double, (size_t)n);
    if (!fill_list(e, v, &t->shape, 0, numbers, &at, loc))
        return NODE_NONE;
    NodeId x = b_data(e->g, DT_F64, &t->shape, numbers);
    return t->dtype == DT_F64 ? x : b_cast(e->g, x, t->dtype);
}

static NodeId init_node(Elab *e, uint32_t i)
{
    Tensor t = e->u->tensors.at[i];
    TensorInit init = e->inits.at[i];
    e->site = mix_text(0, t.name);
    e->call = 0;
    set_loc(e, init.loc);
    if (init.val.kind == VAL_LIST)
        return list_node(e, init.val, &t, init.loc);
    if (init.val.kind == VAL_BOOL || val_is_number(init.val)) {
        NodeId x = init.val.kind == VAL_BOOL ? b_const(e->g, t.dtype, init.val.b)
                                             : val_to_node(e, init.val, t.dtype, init.loc);
        return node_broadcast(e, x, &t.shape);
    }
    Val v;
    if (init.val.fn->kind == FN_BUILTIN) {
        Val dims[MAX_RANK];
        for (uint32_t k = 0; k < t.shape.rank; k++)
            dims[k] = val_of_dim(t.shape.dim[k]);
        Args args = args_of(e, dims, t.shape.rank, init.loc);
        v = call_fn(e, init.val.fn, &args, NULL, init.loc);
    } else {
        Args none = { 0 };
        v = call_fn(e, init.val.fn, &none, &t.shape, init.loc);
    }
    v = val_deref(e, v);
    if (v.kind == VAL_TENSOR && !v.untyped && graph_dtype(e->g, v.node) != t.dtype)
        v = tensor_cast(e, v, t.dtype, init.loc);
    NodeId x = v.kind == VAL_ERROR ? NODE_NONE : val_to_node(e, v, t.dtype, init.loc);
    if (x == NODE_NONE)
        return x;
    Shape joined;
    if (!shape_join(graph_shape(e->g, x), &t.shape, &joined) || !shape_equal(&joined, &t.shape)) {
        diag_report(e->cx, DIAG_E0343, init.loc, "the initial value is %s, the tensor %s",
                    val_text(e, val_node(x)), shape_text(e->a, &t.shape));
        return NODE_NONE;
    }
    return node_broadcast(e, x, &t.shape);
}

static bool init_body(Elab *e, void *user)
{
    (void)user;
    e->training = true;
    for (uint32_t i = 0; i < e->u->tensors.n; i++) {
        if (e->u->tensors.at[i].data) /* it begins with what its file has */
            continue;
        NodeId x = init_node(e, i);
        if (x == NODE_NONE)
            return false;
        tensor_read(e, (int32_t)i);
        e->current.at[i] = x;
        e->written.at[i] = 1;
    }
    return true;
}

bool entry_init(Elab *e)
{
    return entry_build(e, ENTRY_INIT, "init", e->root->loc, init_body, NULL);
}
