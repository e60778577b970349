/* elab_type.c: values against declared types. A dim name that is new in a signature is bound by the
 * value it meets; one that is known must be equal to it. Dims that are more than a name (2*H) are
 * compared last, when the names they use are bound. */
#include "frontend/elab.h"

#include <string.h>

Dtype dtype_of_name(Elab *e, const char *name)
{
    Dtype t;
    if (!dtype_parse(name, &t))
        return DT_COUNT;
    return t == DT_F32 && e->options->f64 ? DT_F64 : t;
}

static bool is_dtype_variable(const char *name)
{
    return !strcmp(name, "float") || !strcmp(name, "integer") || !strcmp(name, "any");
}

bool type_is_tensor(Elab *e, const AstType *t)
{
    return t->kind == AST_TYPE_NAMED && t->name.text &&
           (dtype_of_name(e, t->name.text) != DT_COUNT || is_dtype_variable(t->name.text));
}

bool type_has_ellipsis(const AstType *t)
{
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (t->dims[i].kind == AST_DIM_ELLIPSIS)
            return true;
    return false;
}

Val eval_dim(Elab *e, const AstExpr *x, Scope *s)
{
    Val v = val_deref(e, eval(e, x, s));
    int64_t n;
    if (v.kind == VAL_DIM || v.kind == VAL_ERROR)
        return v;
    if (!val_integer(e, v, x->loc, "a dim", &n))
        return val_error();
    if (n < 0) {
        diag_report(e->cx, DIAG_E0335, loc_here(e, x->loc), "a dim cannot be %lld", (long long)n);
        return val_error();
    }
    return val_int(n);
}

const char *type_text(Elab *e, const AstType *t)
{
    const Loc *l = loc_get(e->cx, t->loc);
    const char *text = e->cx->sources.at[l->file].text;
    return text ? arena_printf(e->a, "%.*s", (int)(l->end - l->begin), text + l->begin) : "";
}

typedef struct {
    Elab *e;
    const AstType *type;
    Scope *scope;
    DiagCode code;
    const char *what;
    LocId loc;
    Val val;
} Accept;

static Val refuse(Accept *q)
{
    if (q->val.kind == VAL_ERROR)
        return val_error();
    uint32_t d = diag_report(q->e->cx, q->code, loc_here(q->e, q->loc), "%s must be %s, not %s",
                             q->what, type_text(q->e, q->type), val_text(q->e, q->val));
    diag_add(q->e->cx, d, DIAG_LABEL, q->type->loc, "declared here");
    for (uint32_t i = 0; i < q->type->n_dims; i++) { /* what the names stand for by now */
        const AstExpr *x = q->type->dims[i].expr;
        if (!x || x->kind != AST_EXPR_NAME || !x->name.text)
            continue;
        Val v = scope_lookup_quiet(q->e, q->scope, x->name.text);
        if (v.kind == VAL_INT)
            diag_add(q->e->cx, d, DIAG_NOTE, 0, "here `%s` is %lld", x->name.text, (long long)v.i);
    }
    return val_error();
}

static bool is_kind(const AstType *t, const char *name)
{
    return t->kind == AST_TYPE_NAMED && !t->n_dims && t->name.text && !strcmp(t->name.text, name);
}

/* The dim as a value if all its names are known: VAL_NONE if not. A new plain name is given back
 * for binding. */
static Val known_dim(Accept *q, const AstDim *d, const char **out_new)
{
    *out_new = NULL;
    if (d->expr->kind == AST_EXPR_NAME && d->expr->name.text) {
        Val v = scope_lookup_quiet(q->e, q->scope, d->expr->name.text);
        if (v.kind == VAL_INT || v.kind == VAL_DIM)
            return v;
        if (v.kind == VAL_FLOAT || v.kind == VAL_ERROR)
            return eval_dim(q->e, d->expr, q->scope);
        *out_new = d->expr->name.text;
        return val_none();
    }
    return eval_dim(q->e, d->expr, q->scope);
}

/* An unbound dim of the layer is bound in the layer, any other name in the call. */
static void bind_dim(Accept *q, const char *name, Val v, LocId loc)
{
    for (Scope *s = q->scope; s; s = s->parent) {
        Binding *b = scope_find_here(s, name);
        if (b && b->val.kind == VAL_NONE && s != q->scope) {
            if (v.kind == VAL_DIM)
                q->e->wants_pin = true; /* what a layer owns has constant dims */
            b->val = v, b->loc = loc;
            return;
        }
    }
    scope_bind(q->e, q->scope, name, v, loc);
}

static bool same_dim(Val a, Val b)
{
    return a.kind == b.kind && a.i == b.i;
}

static bool accept_dims(Accept *q, const Shape *shape)
{
    const AstType *t = q->type;
    uint32_t ellipsis = t->n_dims;
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (t->dims[i].kind == AST_DIM_ELLIPSIS)
            ellipsis = i;
    bool open = ellipsis < t->n_dims;
    uint32_t fixed = t->n_dims - open;
    if (shape->rank < fixed || (!open && shape->rank != fixed))
        return false;
    uint32_t taken = shape->rank - fixed;
    if (open) {
        Shape lead = { .rank = taken };
        memcpy(lead.dim, shape->dim + ellipsis, taken * sizeof(Dim));
        if (q->scope->has_ellipsis && !shape_equal(&q->scope->ellipsis, &lead)) {
            Shape both; /* a second `...` may be narrower: it broadcasts */
            if (!shape_join(&q->scope->ellipsis, &lead, &both))
                return false;
            lead = both;
        }
        q->scope->has_ellipsis = true;
        q->scope->ellipsis = lead;
    }
    for (int pass = 0; pass < 2; pass++) /* names first */
        for (uint32_t i = 0; i < t->n_dims; i++) {
            const AstDim *d = &t->dims[i];
            if (d->kind != AST_DIM_EXPR || (d->expr->kind == AST_EXPR_NAME) == (pass == 1))
                continue;
            Val actual = val_of_dim(shape->dim[i > ellipsis ? i - 1 + taken : i]);
            const char *fresh;
            Val declared = known_dim(q, d, &fresh);
            if (fresh)
                bind_dim(q, fresh, actual, d->loc);
            else if (declared.kind == VAL_ERROR)
                q->val = val_error();
            else if (!same_dim(declared, actual))
                return false;
        }
    return q->val.kind != VAL_ERROR;
}

static bool dtype_suits(const char *variable, Dtype t)
{
    return !strcmp(variable, "any") ||
           (!strcmp(variable, "float") ? dtype_is_float(t) : dtype_is_integer(t));
}

/* The declared dtype; a variable takes the value's and keeps it within one signature. DT_COUNT: the
 * value does not suit. */
static Dtype accept_dtype(Accept *q, Dtype own)
{
    Elab *e = q->e;
    const char *name = q->type->name.text;
    Dtype t = dtype_of_name(e, name);
    if (t != DT_COUNT)
        return own == DT_COUNT || own == t ? t : DT_COUNT;
    Binding *b = scope_find_here(q->scope, name);
    if (b && b->val.kind == VAL_DTYPE && strcmp(name, "any"))
        return own == DT_COUNT || own == b->val.dtype ? b->val.dtype : DT_COUNT;
    if (own == DT_COUNT)
        return !strcmp(name, "integer") ? DT_I32 : e->options->f64 ? DT_F64 : DT_F32;
    if (!dtype_suits(name, own))
        return DT_COUNT;
    scope_bind(e, q->scope, name, val_dtype(own), q->type->loc);
    return own;
}

static Val accept_tensor(Accept *q)
{
    Elab *e = q->e;
    Val v = q->val = val_deref(e, q->val);
    if (!val_is_runtime(v))
        return refuse(q);
    bool scalar_type = !q->type->n_dims;
    if ((val_is_number(v) || v.kind == VAL_DIM) &&
        (scalar_type || (q->type->n_dims == 1 && type_has_ellipsis(q->type)))) {
        Dtype t = dtype_of_name(e, q->type->name.text);
        bool fits = t == DT_COUNT ? strcmp(q->type->name.text, "integer") || number_fits(v, DT_I64)
                                  : v.kind == VAL_DIM || number_fits(v, t);
        if (!fits)
            return refuse(q);
        if (!scalar_type && !q->scope->has_ellipsis)
            q->scope->has_ellipsis = true, q->scope->ellipsis = (Shape){ 0 };
        return v; /* stays a number, with the dtype of what it meets */
    }
    if (v.kind == VAL_BOOL && scalar_type && !strcmp(q->type->name.text, "bool"))
        return v;
    Dtype t = accept_dtype(q, val_dtype_of(e, v));
    if (t == DT_COUNT || !accept_dims(q, val_shape(e, v)))
        return refuse(q);
    if (v.kind == VAL_TENSOR && (!v.untyped || is_dtype_variable(q->type->name.text)))
        return v;
    set_loc(e, q->loc);
    return val_node(val_to_node(e, v, t, q->loc));
}

static Val accept_list(Accept *q)
{
    Elab *e = q->e;
    if (q->val.kind == VAL_INT || q->val.kind == VAL_FLOAT || q->val.kind == VAL_RATIO) {
        Val *one = arena_make(e->a, Val); /* a number is a list of one */
        *one = q->val;
        q->val = (Val){ .kind = VAL_LIST, .list = { one, 1 } };
    }
    if (q->val.kind != VAL_LIST)
        return refuse(q);
    Val out = { .kind = VAL_LIST,
                .list = { arena_new_array(e->a, Val, q->val.list.n), q->val.list.n } };
    for (uint32_t i = 0; i < out.list.n; i++) {
        out.list.at[i] =
            type_accept(e, q->type->element, q->val.list.at[i], q->scope, q->code, q->what, q->loc);
        if (out.list.at[i].kind == VAL_ERROR)
            return val_error();
    }
    return out;
}

Val type_accept(Elab *e, const AstType *t, Val v, Scope *s, DiagCode code, const char *what,
                LocId loc)
{
    Accept q = { e, t, s, code, what, loc, v };
    if (v.kind == VAL_ERROR || t->kind == AST_TYPE_ERROR)
        return val_error();
    if (v.kind == VAL_TUPLE && v.first)
        q.val = v = v.list.at[0];
    if (t->kind == AST_TYPE_LIST)
        return accept_list(&q);
    if (!t->name.text)
        return val_error();
    if (is_kind(t, "int")) {
        if (v.kind == VAL_FLOAT && v.f == (double)(int64_t)v.f)
            return val_int((int64_t)v.f);
        return v.kind == VAL_INT || v.kind == VAL_DIM ? v : refuse(&q);
    }
    if (is_kind(t, "str"))
        return v.kind == VAL_STRING ? v : refuse(&q);
    if (is_kind(t, "dtype"))
        return v.kind == VAL_DTYPE ? v : refuse(&q);
    if (is_kind(t, "tensor")) { /* of any type and shape, and binds no name */
        q.val = v = val_deref(e, v);
        return val_is_runtime(v) ? v : refuse(&q);
    }
    if (is_kind(t, "fn"))
        return v.kind == VAL_FN || v.kind == VAL_INSTANCE ? v : refuse(&q);
    if (is_kind(t, "layer"))
        return v.kind == VAL_LAYER || v.kind == VAL_INSTANCE ? v : refuse(&q);
    if (is_kind(t, "init"))
        return v.kind == VAL_FN || val_is_number(v) || v.kind == VAL_LIST ? v : refuse(&q);
    if (type_is_tensor(e, t))
        return accept_tensor(&q);
    static const char *const kinds[] = { "int",     "float", "bool", "str", "fn",  "layer", "init",
                                         "integer", "any",   "f64",  "f32", "f16", "bf16",  "i64",
                                         "i32",     "i16",   "i8",   "u64", "u32", "u16",   "u8",
                                         "tensor",  "dtype" };
    const char *near = diag_nearest(t->name.text, kinds, sizeof kinds / sizeof *kinds);
    diag_report(e->cx, DIAG_E0401, loc_here(e, t->name.loc),
                near ? "no type `%s`; did you mean `%s`?" : "no type `%s`", t->name.text, near);
    return val_error();
}

bool type_resolve(Elab *e, const AstType *t, Scope *s, Dtype *out_dtype, Shape *out_shape)
{
    if (t->kind == AST_TYPE_ERROR || (t->kind == AST_TYPE_NAMED && !t->name.text))
        return false;
    *out_dtype = t->kind == AST_TYPE_NAMED ? dtype_of_name(e, t->name.text) : DT_COUNT;
    if (*out_dtype == DT_COUNT) {
        diag_report(e->cx, DIAG_E0331, loc_here(e, t->loc),
                    "a tensor type is needed here, as in f32[3]");
        return false;
    }
    *out_shape = (Shape){ 0 };
    for (uint32_t i = 0; i < t->n_dims; i++) {
        const AstDim *d = &t->dims[i];
        if (d->kind == AST_DIM_ELLIPSIS && scope_ellipsis(s)) {
            const Shape *lead = scope_ellipsis(s);
            for (uint32_t k = 0; k < lead->rank && out_shape->rank < MAX_RANK; k++)
                out_shape->dim[out_shape->rank++] = lead->dim[k];
            continue;
        }
        if (d->kind != AST_DIM_EXPR) {
            diag_report(e->cx, DIAG_E0335, loc_here(e, d->loc), "this dim must be known here");
            return false;
        }
        Val v = eval_dim(e, d->expr, s);
        if (v.kind == VAL_DIM)
            e->wants_pin = true;
        if (v.kind != VAL_INT)
            return false;
        if (out_shape->rank == MAX_RANK) {
            diag_report(e->cx, DIAG_E0308, loc_here(e, t->loc), "a tensor has at most %d axes",
                        MAX_RANK);
            return false;
        }
        out_shape->dim[out_shape->rank++] = dim_of(v.i);
    }
    int64_t n;
    if (!shape_elements(out_shape, &n) || n > INT64_MAX / 16) {
        diag_report(e->cx, DIAG_E0335, loc_here(e, t->loc), "a tensor of %s has too many elements",
                    shape_text(e->a, out_shape));
        return false;
    }
    return true;
}
