/* elab_scope.c: what a name means.
 *
 * From the inside out: local names, dims and arguments of the function, members and arguments of
 * the layer, items of the file, the standard library, functions of the compiler, ops, dtypes, and
 * last the words that are not reserved: true, inf, step. A file's items are evaluated when first
 * asked for, so that their order does not matter. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

enum { SCOPE_FEW = 16 }; /* names that are sooner compared than hashed */

Scope *scope_new(Elab *e, Scope *parent)
{
    Scope *s = arena_make(e->a, Scope);
    s->parent = parent;
    return s;
}

Binding *scope_find_here(Scope *s, const char *name)
{
    if (s->index.n) {
        int64_t at = name_map_get(&s->index, name);
        return at < 0 ? NULL : &s->names.at[at];
    }
    for (uint32_t i = s->names.n; i-- > 0;)
        if (s->names.at[i].name == name)
            return &s->names.at[i];
    return NULL;
}

void scope_bind(Elab *e, Scope *s, const char *name, Val v, LocId loc)
{
    Binding *b = scope_find_here(s, name);
    if (b) {
        *b = (Binding){ name, v, loc };
        return;
    }
    vec_push(e->a, &s->names, (Binding){ name, v, loc });
    if (s->names.n >= SCOPE_FEW)
        for (uint32_t i = s->index.n; i < s->names.n; i++)
            name_map_put(e->a, &s->index, s->names.at[i].name, i);
}

Binding *scope_find_local(Scope *s, const char *name)
{
    for (; s; s = s->parent) {
        Binding *b = scope_find_here(s, name);
        if (b || s->boundary)
            return b;
    }
    return NULL;
}

const Shape *scope_ellipsis(const Scope *s)
{
    for (; s; s = s->parent)
        if (s->has_ellipsis)
            return &s->ellipsis;
    return NULL;
}

const char *module_item_name(const AstItem *item)
{
    switch (item->kind) {
    case AST_ITEM_IMPORT: return item->import.as.text;
    case AST_ITEM_CONST: return item->constant.name.text;
    case AST_ITEM_FN: return item->fn->name.text;
    case AST_ITEM_LAYER: return item->layer.name.text;
    case AST_ITEM_DATA: return item->data.name.text;
    case AST_ITEM_TRAIN: return NULL;
    }
    return NULL;
}

static Val layer_value(Elab *e, Module *m, const AstItem *item)
{
    LayerVal *l = arena_make(e->a, LayerVal);
    *l = (LayerVal){ .ast = &item->layer, .module = m, .loc = item->loc };
    return (Val){ .kind = VAL_LAYER, .layer = l };
}

/* A constant does not see the place that asks for it. */
static Val constant_value(Elab *e, Module *m, const AstConst *c)
{
    Instance *owner = e->owner;
    LocId call = e->call;
    const FrontendSetting *d = m == e->main ? find_define(e, c->name.text) : NULL;
    e->owner = NULL;
    e->call = 0;
    Val v = d ? define_value(e, d) : eval_static(e, c->value, m->scope);
    if (c->kind && v.kind != VAL_ERROR)
        v = type_accept(e, c->kind, v, m->scope, DIAG_E0331,
                        arena_printf(e->a, "const `%s`", c->name.text), c->value->loc);
    e->owner = owner;
    e->call = call;
    return v;
}

static Val item_value(Elab *e, Module *m, const AstItem *item)
{
    switch (item->kind) {
    case AST_ITEM_IMPORT: {
        Module *other = module_import(e, m, &item->import.path);
        return other ? (Val){ .kind = VAL_MODULE, .module = other } : val_error();
    }
    case AST_ITEM_CONST: return constant_value(e, m, &item->constant);
    case AST_ITEM_FN: return fn_value(e, item->fn, m->scope, NULL);
    case AST_ITEM_LAYER: return layer_value(e, m, item);
    case AST_ITEM_DATA: return (Val){ .kind = VAL_DATA, .data = { item, m, NULL } };
    case AST_ITEM_TRAIN: break;
    }
    return val_none();
}

Val module_lookup(Elab *e, Module *m, const char *name)
{
    int64_t at = name_map_get(&m->index, name);
    if (at < 0)
        return val_none();
    ModuleItem *item = &m->items[at];
    if (item->state == 1) {
        diag_report(e->cx, DIAG_E0411, item->item->loc, "`%s` is defined by itself", name);
        return val_error();
    }
    if (item->state == 0) {
        item->state = 1;
        item->val = item_value(e, m, item->item);
        item->state = 2;
    }
    return item->val;
}

static Val clock_value(Elab *e, const char *name)
{
    static const char *const fields[] = { "step", "steps", "epoch", "epochs", "evals" };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!strcmp(name, fields[i])) {
            const char *field = e->own_clock && i < 2 ? (i ? "own_steps" : "own_step") : name;
            Val v = val_untyped(clock_node(e, field));
            if (e->own_clock && i < 2 && e->accumulate > 1) /* an update is that many executions */
                return tensor_binary(e, AST_FLOORDIV, v, val_int(e->accumulate), 0, 0, 0);
            return v;
        }
    return val_none();
}

static Val word_value(Elab *e, const char *name)
{
    if (!strcmp(name, "true") || !strcmp(name, "false"))
        return val_bool(name[0] == 't');
    if (!strcmp(name, "training"))
        return val_bool(e->training);
    if (!strcmp(name, "inf"))
        return val_float(INFINITY);
    if (!strcmp(name, "nan"))
        return val_float(NAN);
    if (!strcmp(name, "pi"))
        return val_float(3.14159265358979323846);
    Dtype t = dtype_of_name(e, name);
    if (t != DT_COUNT)
        return val_dtype(t);
    return clock_value(e, name);
}

Val global_lookup(Elab *e, const char *name)
{
    for (uint32_t i = 0; i < e->std.n; i++) {
        Val v = module_lookup(e, e->std.at[i], name);
        if (v.kind != VAL_NONE)
            return v;
    }
    const Builtin *b = builtin_find(name);
    Op op = b ? OP_COUNT : op_find(name);
    if (b || op != OP_COUNT) {
        Fn *f = arena_make(e->a, Fn);
        *f = (Fn){
            .kind = b ? FN_BUILTIN : FN_OP, .name = name, .builtin = b, .op = op, .wrt_tensor = -1
        };
        return (Val){ .kind = VAL_FN, .fn = f };
    }
    return word_value(e, name);
}

Val scope_lookup_quiet(Elab *e, Scope *s, const char *name)
{
    for (; s; s = s->parent) {
        Binding *b = scope_find_here(s, name);
        if (b)
            return b->val;
        Val v = s->lazy ? s->lazy(e, s->lazy_user, name) : val_none();
        if (v.kind == VAL_NONE && s->module)
            v = module_lookup(e, s->module, name);
        if (v.kind != VAL_NONE)
            return v;
    }
    return global_lookup(e, name);
}

/* Every name that could have been meant. */
void report_unknown(Elab *e, Scope *s, const char *what, const AstName *name)
{
    VEC(const char *) all = { 0 };
    for (; s; s = s->parent) {
        for (uint32_t i = 0; i < s->names.n; i++)
            vec_push(e->a, &all, s->names.at[i].name);
        for (uint32_t i = 0; s->module && i < s->module->file->n_items; i++)
            if (module_item_name(s->module->file->items[i]))
                vec_push(e->a, &all, module_item_name(s->module->file->items[i]));
    }
    for (uint32_t m = 0; m < e->std.n; m++)
        for (uint32_t i = 0; i < e->std.at[m]->file->n_items; i++)
            if (module_item_name(e->std.at[m]->file->items[i]))
                vec_push(e->a, &all, module_item_name(e->std.at[m]->file->items[i]));
    const char *builtins[256];
    uint32_t n = builtin_names(builtins, 256);
    for (uint32_t i = 0; i < n; i++)
        vec_push(e->a, &all, builtins[i]);
    for (int op = 0; op < OP_COUNT; op++)
        if (!op_defs[op]->internal)
            vec_push(e->a, &all, op_defs[op]->name);
    const char *near = diag_nearest(name->text, all.at, all.n);
    LocId loc = loc_here(e, name->loc);
    if (near)
        diag_report(e->cx, DIAG_E0401, loc, "no %s `%s`; did you mean `%s`?", what, name->text,
                    near);
    else
        diag_report(e->cx, DIAG_E0401, loc, "no %s `%s`", what, name->text);
}

Val scope_lookup(Elab *e, Scope *s, const AstName *name)
{
    if (!name->text)
        return val_error();
    Val v = scope_lookup_quiet(e, s, name->text);
    if (v.kind != VAL_NONE)
        return v;
    for (Scope *at = s; at; at = at->parent)
        if (scope_find_here(at, name->text)) {
            diag_report(e->cx, DIAG_E0402, loc_here(e, name->loc), "`%s` has no value yet",
                        name->text);
            return val_error();
        }
    report_unknown(e, s, "name", name);
    return val_error();
}
