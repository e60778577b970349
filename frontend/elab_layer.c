/* elab_layer.c: layers. A layer value is a declaration with some arguments; an instance has a path
 * and owns tensors. An instance is built when its dims are known: at once when it has none in
 * brackets, else at the first call, whose argument types bind them. So nothing is allocated before
 * its shape is certain, and `BatchNorm2d[C]` needs no argument.
 *
 * An inline layer is one instance for each place in the text, owner and iteration of `repeat`; it
 * is numbered by its place among the mentions of that layer in its owner's text, so that its path
 * depends on nothing else. */
#include "frontend/elab.h"
#include "frontend/onnx/onnx.h"

#include <ctype.h>
#include <string.h>

Val layer_configure(Elab *e, const LayerVal *l, const Args *args, LocId loc)
{
    LayerVal *out = arena_make(e->a, LayerVal);
    *out = *l;
    out->loc = loc;
    out->args = (Args){ arena_new_array(e->a, Arg, l->args.n + args->n), 0 };
    for (uint32_t i = 0; i < l->args.n; i++) {
        bool again = false;
        for (uint32_t k = 0; k < args->n; k++)
            again |= args->at[k].name && args->at[k].name == l->args.at[i].name;
        if (!again)
            out->args.at[out->args.n++] = l->args.at[i];
    }
    for (uint32_t i = 0; i < args->n; i++)
        out->args.at[out->args.n++] = args->at[i];
    return (Val){ .kind = VAL_LAYER, .layer = out };
}

static const char *path_join(Elab *e, const char *path, const char *segment)
{
    if (!*segment)
        return path;
    return *path ? arena_printf(e->a, "%s.%s", path, segment) : segment;
}

static bool has_unbound(const Instance *i)
{
    for (uint32_t k = 0; k < i->ast->n_dims; k++) {
        const Binding *b =
            i->ast->dims[k].text ? scope_find_here(i->scope, i->ast->dims[k].text) : NULL;
        if (b && b->val.kind == VAL_NONE)
            return true;
    }
    return false;
}

/* Arguments and defaults, in order. A default may need dims that are not bound yet: then it waits,
 * and with it those after it. */
static bool bind_config(Elab *e, Instance *i, bool defaults)
{
    const AstLayer *ast = i->ast;
    const Arg **given = arena_new_array(e->a, const Arg *, ast->n_params);
    if (!match_args(e, ast->name.text, ast->params, ast->n_params, &i->config->args, i->config->loc,
                    given))
        return false;
    for (uint32_t k = 0; k < ast->n_params; k++) {
        const AstParam *p = &ast->params[k];
        if (!p->name.text || scope_find_here(i->scope, p->name.text))
            continue;
        bool plain =
            p->value && (p->value->kind == AST_EXPR_NUMBER || p->value->kind == AST_EXPR_STRING);
        if (!given[k] && !defaults && !plain)
            continue;
        Val v = given[k] ? given[k]->val : eval_static(e, p->value, i->scope);
        if (v.kind == VAL_TENSOR && ast->kind != AST_OPTIMIZER) {
            diag_report(e->cx, DIAG_E0332, loc_here(e, given[k]->loc),
                        "`%s` of `%s` must be known at compile time, not %s", p->name.text,
                        ast->name.text, val_text(e, v));
            return false;
        }
        v = type_accept(e, p->type, v, i->scope, DIAG_E0337,
                        arena_printf(e->a, "`%s` of `%s`", p->name.text, ast->name.text),
                        given[k] ? given[k]->loc : p->loc);
        if (v.kind == VAL_ERROR)
            return false;
        scope_bind(e, i->scope, p->name.text, v, p->loc);
    }
    return true;
}

Instance *instance_new(Elab *e, const LayerVal *config, const char *path, LocId loc,
                       Instance *owner)
{
    Instance *i = arena_make(e->a, Instance);
    Instance *before = e->owner;
    LocId call = e->call;
    uint32_t calls = e->calls;
    *i = (Instance){ .path = path,
                     .ast = config->ast,
                     .module = config->module,
                     .config = config,
                     .moments = owner && owner->moments,
                     .moment_of = owner ? owner->moment_of : -1,
                     .loc = loc };
    i->scope = scope_new(e, config->module->scope);
    i->scope->boundary = true;
    for (uint32_t k = 0; k < config->ast->n_dims; k++)
        if (config->ast->dims[k].text)
            scope_bind(e, i->scope, config->ast->dims[k].text,
                       config->dims ? config->dims[k] : val_none(), config->ast->dims[k].loc);
    if (!spend(e, loc, 16))
        return NULL;
    if (e->calls >= ELAB_MAX_CALLS) {
        diag_report(e->cx, DIAG_E0408, loc_here(e, loc),
                    "the layer `%s` contains itself, or layers nest more than %d deep",
                    config->ast->name.text, ELAB_MAX_CALLS);
        return NULL;
    }
    bool unbound = has_unbound(i);
    bool ok = bind_config(e, i, !unbound);
    e->calls++;
    e->call = *path ? loc_here(e, loc) : 0;
    e->owner = owner;
    if (ok && !unbound && config->ast->kind != AST_OPTIMIZER)
        ok = instance_build(e, i);
    e->owner = before, e->call = call, e->calls = calls;
    return ok ? i : NULL;
}

/* ---- members ---- */

int32_t tensor_declare(Elab *e, const char *name, TensorKind kind, Dtype dtype, const Shape *shape,
                       Val init, int32_t owner, LocId loc)
{
    Tensor t = {
        .name = name, .kind = kind, .dtype = dtype, .shape = *shape, .owner = owner, .loc = loc
    };
    vec_push(e->a, &e->u->tensors, t);
    vec_push(e->a, &e->inits, (TensorInit){ init, loc });
    return (int32_t)e->u->tensors.n - 1;
}

static bool add_segment(Elab *e, Instance *i, const char *segment, LocId loc)
{
    segment = name_of(e->cx, segment);
    if (*segment && name_map_get(&i->segments, segment) >= 0) {
        diag_report(e->cx, DIAG_E0406, loc_here(e, loc), "`%s` has two parts called `%s`",
                    i->ast->name.text, segment);
        return false;
    }
    name_map_put(e->a, &i->segments, segment, 0);
    return true;
}

static bool bind_member(Elab *e, Instance *i, const AstName *name, Val v)
{
    const Binding *b = name->text ? scope_find_here(i->scope, name->text) : NULL;
    if (!name->text || v.kind == VAL_ERROR)
        return false;
    if (b) {
        uint32_t d = diag_report(e->cx, DIAG_E0406, loc_here(e, name->loc),
                                 "`%s` is declared twice", name->text);
        diag_add(e->cx, d, DIAG_LABEL, b->loc, "first here");
        return false;
    }
    scope_bind(e, i->scope, name->text, v, name->loc);
    return true;
}

static bool build_tensor(Elab *e, Instance *i, const AstMember *m)
{
    Dtype dtype;
    Shape shape;
    const char *segment = m->param.as.text ? m->param.as.text : m->param.name.text;
    if (!segment || !type_resolve(e, m->param.type, i->scope, &dtype, &shape) ||
        !add_segment(e, i, segment, m->loc))
        return false;
    Val init = eval_static(e, m->param.value, i->scope);
    if (init.kind == VAL_ERROR)
        return false;
    if (!val_is_number(init) && init.kind != VAL_LIST && init.kind != VAL_FN &&
        init.kind != VAL_BOOL) {
        report_kind(e, m->param.value->loc,
                    "an initial value (a number, a list, or a function such as normal(0.02))",
                    init);
        return false;
    }
    bool is_param = m->kind == AST_MEMBER_PARAM;
    if (is_param && !dtype_is_float(dtype)) {
        diag_report(e->cx, DIAG_E0331, loc_here(e, m->param.type->loc),
                    "a parameter must be a float, not %s", dtype_name(dtype));
        return false;
    }
    bool moment = i->moments;
    const char *name =
        moment ? arena_printf(e->a, "%s/%s", i->path, segment) : path_join(e, i->path, segment);
    int32_t known = unit_tensor(e->u, name);
    if (known >= 0 && !moment) {
        diag_report(e->cx, DIAG_E0406, loc_here(e, m->loc), "there are two tensors called `%s`",
                    name);
        return false;
    }
    if (known < 0)
        known = tensor_declare(e, name,
                               moment     ? TENSOR_MOMENT
                               : is_param ? TENSOR_PARAM
                                          : TENSOR_STATE,
                               dtype, &shape, init, i->moment_of, loc_here(e, m->param.name.loc));
    if (i->module->weights)
        e->u->tensors.at[known].data =
            onnx_weight(i->module->weights, segment, &e->u->tensors.at[known].data_dtype);
    return bind_member(e, i, &m->param.name, (Val){ .kind = VAL_STORED, .i = known });
}

static Val part_instance(Elab *e, Instance *i, Val config, const char *segment, LocId loc)
{
    if (config.kind == VAL_INSTANCE) /* another name for it: shared */
        return config;
    if (config.kind == VAL_MODULE && config.module->onnx)
        config = module_model(e, config.module, &(Args){ 0 }, loc);
    if (config.kind == VAL_ERROR)
        return config;
    if (config.kind != VAL_LAYER) {
        report_kind(e, loc, "a layer", config);
        return val_error();
    }
    Instance *part = instance_new(e, config.layer, path_join(e, i->path, segment), loc, i);
    return part ? (Val){ .kind = VAL_INSTANCE, .instance = part } : val_error();
}

static bool build_layer(Elab *e, Instance *i, const AstMember *m)
{
    const char *segment = m->layer.as.text ? m->layer.as.text : m->layer.name.text;
    Val config = eval_static(e, m->layer.value, i->scope);
    if (!segment || config.kind == VAL_ERROR || !add_segment(e, i, segment, m->loc))
        return false;
    return bind_member(e, i, &m->layer.name,
                       part_instance(e, i, config, segment, m->layer.value->loc));
}

static bool build_layers(Elab *e, Instance *i, const AstMember *m)
{
    const char *segment = m->layers.as.text ? m->layers.as.text : m->layers.name.text;
    Val count = eval_static(e, m->layers.count, i->scope), list = { .kind = VAL_LIST };
    int64_t from = 0, to;
    if (count.kind == VAL_ERROR || !segment || !add_segment(e, i, segment, m->loc))
        return false;
    if (count.kind == VAL_RANGE && count.range.to) {
        if ((count.range.from &&
             !val_integer(e, *count.range.from, m->layers.count->loc, "a count", &from)) ||
            !val_integer(e, *count.range.to, m->layers.count->loc, "a count", &to))
            return false;
    } else if (!val_integer(e, count, m->layers.count->loc, "a count", &to)) {
        return false;
    }
    VEC(Val) all = { 0 };
    for (int64_t k = from; k < to; k++) {
        if (!spend(e, m->loc, 16))
            return false;
        Scope *s = scope_new(e, i->scope);
        if (m->layers.index.text)
            scope_bind(e, s, m->layers.index.text, val_int(k), m->layers.index.loc);
        Val config = eval_static(e, m->layers.value, s);
        Val part =
            config.kind == VAL_ERROR
                ? config
                : part_instance(e, i, config, arena_printf(e->a, "%s.%lld", segment, (long long)k),
                                m->layers.value->loc);
        if (part.kind == VAL_ERROR)
            return false;
        vec_push(e->a, &all, part);
    }
    list.list.at = all.at, list.list.n = all.n;
    return bind_member(e, i, &m->layers.name, list);
}

static bool build_members(Elab *e, Instance *i, const AstMembers *members)
{
    bool ok = true;
    for (uint32_t k = 0; k < members->n; k++) {
        const AstMember *m = members->at[k];
        switch (m->kind) {
        case AST_MEMBER_PARAM:
        case AST_MEMBER_STATE: ok &= build_tensor(e, i, m); break;
        case AST_MEMBER_LAYER: ok &= build_layer(e, i, m); break;
        case AST_MEMBER_LAYERS: ok &= build_layers(e, i, m); break;
        case AST_MEMBER_CONST:
            ok &= bind_member(e, i, &m->constant.name, eval_static(e, m->constant.value, i->scope));
            break;
        case AST_MEMBER_FN:
            if (m->fn->name.text)
                ok &= bind_member(e, i, &m->fn->name, fn_value(e, m->fn, i->scope, i));
            break;
        case AST_MEMBER_IF: {
            Val c = eval_static(e, m->branch.cond, i->scope);
            if (c.kind != VAL_BOOL) {
                report_kind(e, m->branch.cond->loc, "a bool known at compile time", c);
                return false;
            }
            if (c.b || m->branch.otherwise)
                ok &= build_members(e, i, c.b ? &m->branch.then : m->branch.otherwise);
            break;
        }
        }
    }
    return ok;
}

bool instance_build(Elab *e, Instance *i)
{
    if (i->built || i->failed)
        return i->built;
    if (has_unbound(i)) {
        diag_report(e->cx, DIAG_E0410, loc_here(e, i->loc),
                    "the dims of this `%s` are not known yet: no call has bound them",
                    i->ast->name.text);
        return false;
    }
    i->built = true; /* members may refer to each other */
    Instance *owner = e->owner;
    const char *loops = e->loops;
    e->owner = i;
    e->loops = "";
    bool ok = !e->wants_pin && bind_config(e, i, true) && build_members(e, i, &i->ast->members);
    e->owner = owner;
    e->loops = loops;
    i->built = ok;
    i->failed = !ok;
    return ok;
}

/* ---- inline layers ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Where the count of a name in the owner's text was last. */
static Mentions *find_mentions(Elab *e, Instance *owner, const char *name)
{
    int64_t at = name_map_get(&owner->mention_index, name);
    if (at >= 0)
        return &owner->mentions.at[at];
    name_map_put(e->a, &owner->mention_index, name, owner->mentions.n);
    vec_push(e->a, &owner->mentions, (Mentions){ 0 });
    return &owner->mentions.at[owner->mentions.n - 1];
}

/* How often `name` stands in the owner's text before the site. Sites mostly come in the order of
 * the text: each goes on where the one before ended. */
static uint32_t mentions_before(Elab *e, Instance *owner, const AstExpr *site, const char *name)
{
    const Loc *from = loc_get(e->cx, owner->ast->members.loc), *to = loc_get(e->cx, site->loc);
    const char *text = e->cx->sources.at[to->file].text;
    size_t size = strlen(name);
    if (!text || from->file != to->file || to->begin < from->begin)
        return 0;
    Mentions *known = find_mentions(e, owner, name);
    bool goes_on = known->at > from->begin && known->at <= to->begin;
    uint32_t n = goes_on ? known->n : 0, i = goes_on ? known->at : from->begin;
    for (; i + size <= to->begin; i++) {
        if (text[i] == '#') {
            while (i < to->begin && text[i] != '\n')
                i++;
        } else if (!strncmp(text + i, name, size) && !is_word(text[i + size]) &&
                   !is_word(text[i - 1])) {
            const char *before = text + i; /* `layer conv = Conv2d(..)` has a name of its own */
            while (before > text && (before[-1] == ' ' || before[-1] == '\t'))
                before--;
            n += before == text || before[-1] != '=';
        }
    }
    *known = (Mentions){ i, n };
    return n;
}

static const char *inline_segment(Elab *e, Instance *owner, const LayerVal *config,
                                  const AstExpr *site)
{
    const char *type = config->ast->name.text;
    const AstExpr *callee = site->kind == AST_EXPR_CALL ? site->call.callee : site;
    while (callee->kind == AST_EXPR_CALL)
        callee = callee->call.callee;
    const char *written =
        callee->kind == AST_EXPR_NAME && callee->name.text ? callee->name.text : type;
    uint32_t number = mentions_before(e, owner, site, written);
    char *lower = arena_strndup(e->a, type, strlen(type));
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    for (;; number++) {
        const char *segment =
            name_of(e->cx, arena_printf(e->a, "%s_%u%s", lower, number, e->loops));
        if (name_map_get(&owner->segments, segment) < 0)
            return segment;
    }
}

Instance *instance_inline(Elab *e, const LayerVal *config, const AstExpr *site, LocId loc)
{
    Instance *owner = e->owner;
    if (!owner) {
        uint32_t d =
            diag_report(e->cx, DIAG_E0413, loc_here(e, loc),
                        "`%s` has parameters, and nobody here to own them", config->ast->name.text);
        diag_add(e->cx, d, DIAG_HELP, 0,
                 "make the function a layer, or pass the layer in as an argument");
        return NULL;
    }
    const char *place = name_of(e->cx, arena_printf(e->a, "%p%s", (const void *)site, e->loops));
    int64_t known = name_map_get(&owner->inline_index, place);
    if (known >= 0)
        return owner->inlines.at[known];
    const char *segment = inline_segment(e, owner, config, site);
    name_map_put(e->a, &owner->segments, segment, 0);
    Instance *i = instance_new(e, config, path_join(e, owner->path, segment), loc, owner);
    name_map_put(e->a, &owner->inline_index, place, owner->inlines.n);
    vec_push(e->a, &owner->inlines, i);
    return i;
}

/* ---- calls and fields ---- */

static const AstFn *find_in(const AstMembers *members, const char *name)
{
    for (uint32_t i = 0; i < members->n; i++)
        if (members->at[i]->kind == AST_MEMBER_FN && members->at[i]->fn->name.text == name)
            return members->at[i]->fn;
    return NULL;
}

const AstFn *instance_find_fn(Elab *e, Instance *i, const char *name)
{
    const AstFn *f = find_in(&i->ast->members, name);
    if (f || !instance_build(e, i))
        return f;
    for (uint32_t k = 0; k < i->ast->members.n && !f; k++) {
        const AstMember *m = i->ast->members.at[k];
        if (m->kind != AST_MEMBER_IF)
            continue;
        Val c = eval_static(e, m->branch.cond, i->scope);
        if (c.kind == VAL_BOOL && (c.b || m->branch.otherwise))
            f = find_in(c.b ? &m->branch.then : m->branch.otherwise, name);
    }
    return f;
}

static Val member_fn(Elab *e, Val instance, const AstFn *ast)
{
    Val f = fn_value(e, ast, instance.instance->scope, instance.instance);
    f.fn->frozen = instance.frozen;
    return f;
}

Val instance_call(Elab *e, Val instance, const Args *args, LocId loc)
{
    Instance *i = instance.instance;
    const AstFn *ast = i->failed ? NULL : instance_find_fn(e, i, NULL);
    if (i->failed)
        return val_error();
    if (!ast)
        ast = instance_find_fn(e, i, name_of(e->cx, "forward"));
    if (!ast) /* a model with one export is called by it */
        for (uint32_t k = 0, n = 0; k < i->ast->members.n; k++)
            if (i->ast->members.at[k]->kind == AST_MEMBER_FN && i->ast->members.at[k]->fn->exported)
                ast = n++ ? NULL : i->ast->members.at[k]->fn;
    if (!ast) {
        diag_report(e->cx, DIAG_E0414, loc_here(e, loc),
                    "`%s` cannot be called: none of its functions is without a name",
                    i->ast->name.text);
        return val_error();
    }
    return call_fn(e, member_fn(e, instance, ast).fn, args, NULL, loc);
}

static Val instance_field(Elab *e, Val v, const AstExpr *x)
{
    Instance *i = v.instance;
    const char *name = x->field.name.text;
    const AstFn *fn = name ? instance_find_fn(e, i, name) : NULL;
    if (fn)
        return member_fn(e, v, fn);
    if (name && has_unbound(i)) {
        uint32_t d = diag_report(e->cx, DIAG_E0410, loc_here(e, x->loc),
                                 "the dims of this `%s` are not known yet: no call has bound them",
                                 i->ast->name.text);
        diag_add(e->cx, d, DIAG_LABEL, i->loc, "declared here");
        diag_add(e->cx, d, DIAG_HELP, 0, "call it first, or give the dims in brackets");
        return val_error();
    }
    if (!name || !instance_build(e, i))
        return val_error();
    const Binding *b = scope_find_here(i->scope, name);
    if (!b) {
        VEC(const char *) names = { 0 };
        for (uint32_t k = 0; k < i->scope->names.n; k++)
            vec_push(e->a, &names, i->scope->names.at[k].name);
        const char *near = diag_nearest(name, names.at, names.n);
        diag_report(e->cx, DIAG_E0415, loc_here(e, x->field.name.loc),
                    near ? "`%s` has no `%s`; did you mean `%s`?" : "`%s` has no `%s`",
                    i->ast->name.text, name, near);
        return val_error();
    }
    Val field = b->val;
    if (field.kind == VAL_INSTANCE)
        field.frozen |= v.frozen;
    if (field.kind == VAL_STORED && v.frozen) {
        bool frozen = e->frozen;
        e->frozen = true;
        field = val_deref(e, field);
        e->frozen = frozen;
    }
    return field;
}

Val eval_field(Elab *e, const AstExpr *x, Scope *s)
{
    Val v = eval(e, x->field.base, s);
    const AstName *name = &x->field.name;
    if (v.kind == VAL_INSTANCE)
        return instance_field(e, v, x);
    if (v.kind == VAL_MODULE && name->text && !v.module->onnx) {
        Val item = module_lookup(e, v.module, name->text);
        if (item.kind == VAL_NONE) {
            report_unknown(e, v.module->scope, "name", name);
            return val_error();
        }
        return item;
    }
    if (v.kind == VAL_DATA && name->text && !v.data.part) {
        v.data.part = name->text;
        return v;
    }
    if (v.kind != VAL_ERROR)
        diag_report(e->cx, DIAG_E0415, loc_here(e, name->loc), "%s has no fields", val_text(e, v));
    return val_error();
}

/* ---- stored values ---- */

NodeId tensor_read(Elab *e, int32_t tensor)
{
    if (e->g == e->scratch)
        return graph_emit(e->g, OP_tensor, NULL, 0, &(AttrValue){ .kind = ATTR_INT, .i = tensor },
                          1);
    while (e->current.n <= (uint32_t)tensor) {
        vec_push(e->a, &e->current, NODE_NONE);
        vec_push(e->a, &e->written, 0);
    }
    if (e->current.at[tensor] == NODE_NONE) {
        NodeId raw = ema_read(e, tensor); /* which reads other tensors */
        if (raw != NODE_NONE)
            return e->current.at[tensor] = raw;
        AttrValue index = attr_i(tensor);
        e->current.at[tensor] = graph_emit(e->g, OP_tensor, NULL, 0, &index, 1);
    }
    return e->current.at[tensor];
}

void tensor_write(Elab *e, int32_t tensor, NodeId value)
{
    tensor_read(e, tensor);
    if (e->g == e->scratch || value == NODE_NONE)
        return;
    e->current.at[tensor] = value;
    e->written.at[tensor] = 1;
}
