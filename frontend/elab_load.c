/* elab_load.c: from a path to a Unit: files and imports, the standard library, which model, which
 * entries. */
#include "frontend/elab.h"
#include "frontend/onnx/onnx.h"
#include "frontend/std_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_file(const char *path, char **out_text, size_t *out_size)
{
    FILE *f = fopen(path, "rb");
    size_t n = 0, cap = 1 << 14, got;
    if (!f)
        return false;
    char *text = malloc(cap + 1);
    while (text && (got = fread(text + n, 1, cap - n, f)) > 0) {
        n += got;
        if (n > SYNTAX_MAX_BYTES) /* the parser says it */
            break;
        if (n == cap) {
            char *wider = realloc(text, cap * 2 + 1);
            if (!wider)
                break;
            text = wider, cap *= 2;
        }
    }
    bool ok = text && !ferror(f);
    fclose(f);
    if (!ok) {
        free(text);
        return false;
    }
    text[n] = 0;
    *out_text = text, *out_size = n;
    return true;
}

static Module *module_of(Elab *e, uint32_t source, const char *path, bool is_std)
{
    AstFile *file;
    if (!syntax_parse(e->cx, source, &file))
        return NULL;
    Module *m = arena_make(e->a, Module);
    *m = (Module){ .path = path, .file = file, .is_std = is_std };
    m->items = arena_new_array(e->a, ModuleItem, file->n_items);
    m->scope = scope_new(e, NULL);
    m->scope->module = m;
    for (uint32_t i = 0; i < file->n_items; i++)
        m->items[i].item = file->items[i];
    for (uint32_t i = 0; i < file->n_items; i++)
        if (module_item_name(file->items[i]))
            name_map_put(e->a, &m->index, module_item_name(file->items[i]), i);
    return m;
}

static bool load_std(Elab *e)
{
    e->std_first = e->cx->sources.n;
    e->std_last = e->std_first + (uint32_t)std_file_count;
    for (size_t i = 0; i < std_file_count; i++) {
        const char *path = arena_printf(e->a, "std/%s", std_files[i].name);
        uint32_t source = compiler_add_source(e->cx, path, std_files[i].text, std_files[i].size);
        Module *m = module_of(e, source, path, true);
        if (!m)
            return false;
        vec_push(e->a, &e->std, m);
    }
    return true;
}

static bool is_onnx(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && !strcmp(dot, ".onnx");
}

/* The model of an ONNX file, or a part of it, as a module of its own; `key` tells parts apart. */
static Module *load_onnx(Elab *e, const char *path, const OnnxPart *part, const char *key)
{
    for (uint32_t i = 0; i < e->modules.n; i++) {
        Module *m = e->modules.at[i];
        if (!strcmp(m->path, path) && m->weights && !strcmp(m->part, key))
            return m;
    }
    OnnxWeights *weights;
    const char *text = onnx_import(e, path, part, &weights);
    if (!text)
        return NULL;
    uint32_t source = compiler_add_source(e->cx, path, text, strlen(text));
    Module *m = module_of(e, source, arena_strndup(e->a, path, strlen(path)), false);
    if (!m)
        return NULL;
    m->weights = weights;
    m->part = key;
    vec_push(e->a, &e->modules, m);
    return m;
}

static bool read_part(Elab *e, const Args *args, OnnxPart *out, const char **out_key)
{
    *out_key = "";
    for (uint32_t i = 0; i < args->n; i++) {
        const Arg *a = &args->at[i];
        bool until = a->name && !strcmp(a->name, "until") && a->val.kind == VAL_STRING;
        if (!until && (!a->name || a->val.kind != VAL_INT || a->val.i < 0)) {
            diag_report(e->cx, DIAG_E0404, loc_here(e, a->loc),
                        "a model from an ONNX file takes until=\"NAME\", and its dims as "
                        "numbers: seq=128");
            return false;
        }
        out->loc = loc_here(e, a->loc);
        const char *value =
            until ? a->val.string.text : arena_printf(e->a, "%lld", (long long)a->val.i);
        if (until)
            out->until = value;
        else
            vec_push(e->a, &out->dims, (FrontendSetting){ a->name, value });
        *out_key = arena_printf(e->a, "%s%s=%s\n", *out_key, a->name, value);
    }
    return true;
}

Val module_model(Elab *e, Module *m, const Args *args, LocId loc)
{
    OnnxPart part = { .loc = loc_here(e, loc) };
    const char *key;
    Module *found = read_part(e, args, &part, &key) ? load_onnx(e, m->path, &part, key) : NULL;
    return found ? module_lookup(e, found, found->file->items[0]->layer.name.text) : val_error();
}

static Module *load_path(Elab *e, const char *path, LocId loc)
{
    char *text;
    size_t size;
    for (uint32_t i = 0; i < e->modules.n; i++)
        if (!strcmp(e->modules.at[i]->path, path)) {
            if (!e->modules.at[i]->loading)
                return e->modules.at[i];
            diag_report(e->cx, DIAG_E0411, loc, "`%s` imports itself", path);
            return NULL;
        }
    errno = 0;
    if (!read_file(path, &text, &size)) {
        diag_report(e->cx, DIAG_E0420, loc, "cannot read `%s`: %s", path,
                    errno ? strerror(errno) : "not enough memory");
        return NULL;
    }
    uint32_t source = compiler_add_source(e->cx, path, text, size);
    free(text);
    Module *m = module_of(e, source, arena_strndup(e->a, path, strlen(path)), false);
    if (m)
        vec_push(e->a, &e->modules, m);
    return m;
}

Module *module_import(Elab *e, Module *from, const AstString *path)
{
    if (!path->text)
        return NULL;
    const char *slash = strrchr(from->path, '/');
    const char *full =
        *path->text == '/' || !slash
            ? path->text
            : arena_printf(e->a, "%.*s/%s", (int)(slash - from->path), from->path, path->text);
    if (!is_onnx(full))
        return load_path(e, full, path->loc);
    Module *m = arena_make(e->a, Module);
    *m = (Module){ .path = full, .onnx = true };
    return m;
}

AstExpr *parse_value(Elab *e, const char *origin, const char *text)
{
    const char *whole = arena_printf(e->a, "const value = %s\n", text);
    AstFile *file;
    uint32_t source = compiler_add_source(e->cx, origin, whole, strlen(whole));
    if (!syntax_parse(e->cx, source, &file))
        return NULL;
    if (file->n_items == 1 && file->items[0]->kind == AST_ITEM_CONST)
        return file->items[0]->constant.value;
    diag_report(e->cx, DIAG_E0417, 0, "%s=%s: one value is needed", origin, text);
    return NULL;
}

/* ---- which model ---- */

static const char *list_models(Elab *e, const Module *m)
{
    const char *text = "";
    for (uint32_t i = 0; i < m->file->n_items; i++) {
        const AstItem *item = m->file->items[i];
        const char *name =
            item->kind == AST_ITEM_TRAIN ? (item->train.as.text ? item->train.as.text : NULL)
            : item->kind == AST_ITEM_LAYER && item->layer.kind == AST_MODEL ? item->layer.name.text
                                                                            : NULL;
        if (name)
            text = arena_printf(e->a, "%s%s%s", text, *text ? ", " : "", name);
    }
    return text;
}

static const AstItem *find_model(const Module *m, const char *name, uint32_t *out_n)
{
    const AstItem *found = NULL;
    *out_n = 0;
    for (uint32_t i = 0; i < m->file->n_items; i++) {
        const AstItem *item = m->file->items[i];
        if (item->kind != AST_ITEM_LAYER || item->layer.kind != AST_MODEL ||
            !item->layer.name.text || (name && strcmp(item->layer.name.text, name)))
            continue;
        ++*out_n;
        found = item;
    }
    return found;
}

static const AstItem *find_train(const Module *m, const char *name, uint32_t *out_n)
{
    const AstItem *found = NULL;
    *out_n = 0;
    for (uint32_t i = 0; i < m->file->n_items; i++) {
        const AstItem *item = m->file->items[i];
        if (item->kind != AST_ITEM_TRAIN || !item->train.model.text)
            continue;
        const AstTrain *t = &item->train;
        if (name && strcmp(t->model.text, name) && !(t->as.text && !strcmp(t->as.text, name)))
            continue;
        ++*out_n;
        found = item;
    }
    return found;
}

/* The model and, where there is one, its train block. */
static const AstItem *choose(Elab *e, const Module *m, const AstItem **out_train)
{
    uint32_t trains, models;
    const char *name = e->options->model;
    const AstItem *train = find_train(m, name, &trains);
    const AstItem *model = find_model(m, trains == 1 ? train->train.model.text : name, &models);
    *out_train = trains == 1 ? train : NULL;
    if (models == 1 && trains <= 1)
        return model;
    LocId file = loc_make(e->cx, (Loc){ .file = m->file->source });
    if (name && !models && !trains)
        diag_report(e->cx, DIAG_E0421, file, "no model `%s` here; there is %s", name,
                    list_models(e, m));
    else if (trains == 1 && !models)
        diag_report(e->cx, DIAG_E0421, train->train.model.loc, "no model `%s`",
                    train->train.model.text);
    else if (!models && !trains)
        diag_report(e->cx, DIAG_E0421, file, "the file has no model");
    else
        diag_report(e->cx, DIAG_E0421, model ? model->layer.name.loc : train->train.model.loc,
                    "several models; choose one with --model: %s", list_models(e, m));
    return NULL;
}

/* ---- elaboration ---- */

static bool root_args(Elab *e, const AstLayer *model, const AstTrain *train, Args *out)
{
    Args given = { 0 };
    if (train && !eval_args(e, train->args, train->n_args, e->main->scope, &given))
        return false;
    *out = (Args){ arena_new_array(e->a, Arg, given.n + model->n_params), 0 };
    for (uint32_t i = 0; i < given.n; i++) {
        Arg a = given.at[i];
        if (!a.name && i < model->n_params)
            a.name = model->params[i].name.text;
        if (!a.name || !find_define(e, a.name))
            out->at[out->n++] = a;
    }
    for (uint32_t i = 0; i < model->n_params; i++) {
        const FrontendSetting *d =
            model->params[i].name.text ? find_define(e, model->params[i].name.text) : NULL;
        if (!d)
            continue;
        Val v = define_value(e, d);
        if (v.kind == VAL_ERROR)
            return false;
        out->at[out->n++] = (Arg){ model->params[i].name.text, v, model->params[i].loc };
    }
    return true;
}

static bool is_wanted(const Elab *e, const char *name)
{
    for (uint32_t i = 0; i < e->options->n_entries; i++)
        if (!strcmp(e->options->entries[i], name))
            return true;
    return !e->options->n_entries;
}

static bool build_exports(Elab *e, const AstMembers *members)
{
    bool ok = true;
    for (uint32_t i = 0; i < members->n; i++) {
        const AstMember *m = members->at[i];
        if (m->kind == AST_MEMBER_FN && m->fn->exported && m->fn->name.text &&
            is_wanted(e, m->fn->name.text))
            ok &= entry_export(e, m->fn);
        if (m->kind != AST_MEMBER_IF)
            continue;
        Val c = eval_static(e, m->branch.cond, e->root->scope);
        if (c.kind == VAL_BOOL && (c.b || m->branch.otherwise))
            ok &= build_exports(e, c.b ? &m->branch.then : m->branch.otherwise);
    }
    return ok;
}

static bool elaborate(Elab *e, const AstItem *model, const AstItem *train)
{
    LayerVal *config = arena_make(e->a, LayerVal);
    *config = (LayerVal){ .ast = &model->layer, .module = e->main, .loc = model->layer.name.loc };
    if (!root_args(e, &model->layer, train ? &train->train : NULL, &config->args))
        return false;
    e->root = instance_new(e, config, "", model->layer.name.loc, NULL);
    if (!e->root || !instance_build(e, e->root))
        return false;
    bool ok = true;
    const AstFn *loss = instance_find_fn(e, e->root, name_of(e->cx, "loss"));
    if (train && !e->options->no_training)
        ok = recipe_elaborate(e, &train->train, train->loc);
    else if (train)
        ok = recipe_statistics(e, &train->train);
    else if (loss && !e->options->no_training && is_wanted(e, "loss"))
        ok = eval_elaborate(e, loss);
    ok &= build_exports(e, &model->layer.members);
    return ok && entry_init(e);
}

static bool is_const(const Module *m, const char *name)
{
    for (uint32_t i = 0; i < m->file->n_items; i++) {
        const AstItem *item = m->file->items[i];
        if (item->kind == AST_ITEM_CONST && item->constant.name.text &&
            !strcmp(item->constant.name.text, name))
            return true;
    }
    return false;
}

/* -D of one name twice: neither is meant. */
static bool check_twice(Elab *e)
{
    const FrontendSetting *d = e->options->defines;
    for (uint32_t i = 0; i < e->options->n_defines; i++)
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(d[i].name, d[k].name)) {
                diag_report(e->cx, DIAG_E0422, 0, "-D %s is given twice: %s and %s", d[i].name,
                            d[k].value, d[i].value);
                return false;
            }
    return true;
}

/* One message for each -D that meant nothing. A part of the entries may leave dims out. */
static bool check_defines(Elab *e, const AstLayer *model)
{
    const char *names[64];
    uint32_t n = 0;
    bool ok = true;
    for (uint32_t i = 0; i < model->n_params && n < 64; i++)
        if (model->params[i].name.text)
            names[n++] = model->params[i].name.text;
    for (uint32_t i = 0; i < e->asked.n && n < 64; i++)
        names[n++] = e->asked.at[i];
    for (uint32_t i = 0; i < e->options->n_defines && i < 64; i++) {
        const char *name = e->options->defines[i].name;
        if (e->defines_used >> i & 1 || !strcmp(name, "B") || is_const(e->main, name) ||
            e->options->n_entries || e->options->no_training)
            continue;
        const char *near = diag_nearest(name, names, n);
        diag_report(e->cx, DIAG_E0422, 0,
                    near ? "-D %s: no dim, argument or constant is called so; did you mean `%s`?"
                         : "-D %s: no dim, argument or constant is called so",
                    name, near);
        ok = false;
    }
    return ok;
}

/* What stands before any module is read: an ONNX file is translated by the elaborator itself. */
static bool prepare(Elab *e, Compiler *cx, const FrontendOptions *options)
{
    static const FrontendOptions none;
    *e = (Elab){ .cx = cx, .a = cx->arena, .options = options ? options : &none, .loops = "" };
    e->u = unit_new(cx, "");
    e->g = e->scratch = graph_new(e->u, "scratch", 0);
    return check_twice(e) && load_std(e);
}

static Unit *load(Elab *e, Module *m)
{
    const AstItem *train, *model;
    if (!m)
        return NULL;
    e->main = m;
    if (!(model = choose(e, m, &train)))
        return NULL;
    e->u->name = model->layer.name.text;
    bool ok = elaborate(e, model, train) && check_defines(e, &model->layer);
    return ok && !e->cx->errors ? e->u : NULL;
}

Unit *frontend_load(Compiler *cx, const char *path, const FrontendOptions *options)
{
    Elab e;
    if (!prepare(&e, cx, options))
        return NULL;
    return load(&e, is_onnx(path) ? load_onnx(&e, path, NULL, "") : load_path(&e, path, 0));
}

Unit *frontend_load_source(Compiler *cx, uint32_t source, const FrontendOptions *options)
{
    Elab e;
    if (!prepare(&e, cx, options))
        return NULL;
    Module *m = module_of(&e, source, cx->sources.at[source].path, false);
    if (m)
        vec_push(cx->arena, &e.modules, m);
    return load(&e, m);
}

Unit *frontend_load_text(Compiler *cx, const char *path, const char *text, size_t size,
                         const FrontendOptions *options)
{
    return frontend_load_source(cx, compiler_add_source(cx, path, text, size), options);
}
