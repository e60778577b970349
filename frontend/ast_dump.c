/* ast_dump.c: a tree as text, one node a line, without locations: for comparing trees and for
 * looking at them. Strings are printed with their size, so that no two trees have one dump. */
#include "frontend/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    FILE *out;
    int depth;
} Dump;

static void dump_expr(Dump *d, const AstExpr *e);
static void dump_block(Dump *d, const AstBlock *block);
static void dump_members(Dump *d, const AstMembers *members);
static void dump_recipe(Dump *d, const AstRecipe *recipe);

/* One node: kind, name, and how many children follow, one deeper. */
static void node(Dump *d, const char *kind, const char *name)
{
    fprintf(d->out, "%*s%s %s\n", d->depth, "", kind, name ? name : "-");
}

static void string(Dump *d, const char *kind, const AstString *s)
{
    if (s->text)
        fprintf(d->out, "%*s%s %u:%s\n", d->depth, "", kind, s->size, s->text);
}

static void dump_exprs(Dump *d, const char *kind, AstExpr *const *at, uint32_t n)
{
    node(d, kind, NULL);
    d->depth++;
    for (uint32_t i = 0; i < n; i++)
        dump_expr(d, at[i]);
    d->depth--;
}

static void dump_type(Dump *d, const AstType *type)
{
    node(d, type->kind == AST_TYPE_LIST ? "list-type" : "type", type->name.text);
    d->depth++;
    for (uint32_t i = 0; i < type->n_dims; i++) {
        if (type->dims[i].kind == AST_DIM_EXPR)
            dump_expr(d, type->dims[i].expr);
        else
            node(d, "dim", type->dims[i].kind == AST_DIM_ELLIPSIS ? "..." : "_");
    }
    if (type->element)
        dump_type(d, type->element);
    d->depth--;
}

static void dump_args(Dump *d, const AstArg *args, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        node(d, args[i].value ? "arg" : "arg ...", args[i].name.text);
        d->depth++;
        if (args[i].value)
            dump_expr(d, args[i].value);
        d->depth--;
    }
}

static void dump_index(Dump *d, const AstIndex *items, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (items[i].kind == AST_INDEX_EXPR)
            dump_expr(d, items[i].expr);
        else
            node(d, "index", items[i].kind == AST_INDEX_ALL ? ":" : "...");
    }
}

static void dump_inits(Dump *d, const AstInit *inits, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        node(d, "init", inits[i].name.text);
        d->depth++;
        dump_expr(d, inits[i].value);
        d->depth--;
    }
}

static void dump_scan(Dump *d, const AstExpr *e)
{
    for (uint32_t i = 0; i < e->scan.n_names; i++)
        node(d, "element", e->scan.names[i].text);
    dump_exprs(d, "over", e->scan.over, e->scan.n_over);
    dump_expr(d, e->scan.along);
    dump_inits(d, e->scan.inits, e->scan.n_inits);
    dump_block(d, e->scan.body);
}

static void dump_children(Dump *d, const AstExpr *e)
{
    switch (e->kind) {
    case AST_EXPR_ERROR: break;
    case AST_EXPR_NUMBER: node(d, "spelling", e->number.spelling); break;
    case AST_EXPR_STRING: string(d, "text", &e->string); break;
    case AST_EXPR_NAME: node(d, "name", e->name.text); break;
    case AST_EXPR_LIST:
    case AST_EXPR_TUPLE: dump_exprs(d, "elements", e->list.at, e->list.n); break;
    case AST_EXPR_UNARY:
        node(d, "op", e->unary.op == AST_NEG ? "-" : "not");
        dump_expr(d, e->unary.x);
        break;
    case AST_EXPR_BINARY:
        node(d, "op", ast_binary_text(e->binary.op));
        dump_expr(d, e->binary.left);
        dump_expr(d, e->binary.right);
        break;
    case AST_EXPR_RANGE:
        dump_exprs(d, "from", &e->range.from, e->range.from != NULL);
        dump_exprs(d, "to", &e->range.to, e->range.to != NULL);
        break;
    case AST_EXPR_PIPE:
        dump_expr(d, e->pipe.left);
        dump_expr(d, e->pipe.right);
        break;
    case AST_EXPR_CALL:
        dump_expr(d, e->call.callee);
        dump_args(d, e->call.args, e->call.n_args);
        break;
    case AST_EXPR_INDEX:
        dump_expr(d, e->index.base);
        dump_index(d, e->index.items, e->index.n_items);
        break;
    case AST_EXPR_FIELD:
        dump_expr(d, e->field.base);
        node(d, "field", e->field.name.text);
        break;
    case AST_EXPR_IF:
        dump_expr(d, e->branch.cond);
        dump_block(d, e->branch.then);
        if (e->branch.otherwise)
            dump_block(d, e->branch.otherwise);
        if (e->branch.otherwise_expr)
            dump_expr(d, e->branch.otherwise_expr);
        break;
    case AST_EXPR_SCAN: dump_scan(d, e); break;
    }
}

static void dump_expr(Dump *d, const AstExpr *e)
{
    static const char *const kinds[] = {
        [AST_EXPR_ERROR] = "error", [AST_EXPR_NUMBER] = "number", [AST_EXPR_STRING] = "string",
        [AST_EXPR_NAME] = "name",   [AST_EXPR_LIST] = "list",     [AST_EXPR_TUPLE] = "tuple",
        [AST_EXPR_UNARY] = "unary", [AST_EXPR_BINARY] = "binary", [AST_EXPR_RANGE] = "range",
        [AST_EXPR_PIPE] = "pipe",   [AST_EXPR_CALL] = "call",     [AST_EXPR_INDEX] = "index",
        [AST_EXPR_FIELD] = "field", [AST_EXPR_IF] = "if",         [AST_EXPR_SCAN] = "scan",
    };
    node(d, kinds[e->kind], NULL);
    d->depth++;
    dump_children(d, e);
    d->depth--;
}

/* ---- Statements and declarations ---- */

static void dump_params(Dump *d, const AstParam *params, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        node(d, params[i].value ? "param =" : "param", params[i].name.text);
        d->depth++;
        string(d, "as", &params[i].as);
        dump_type(d, params[i].type);
        if (params[i].value)
            dump_expr(d, params[i].value);
        d->depth--;
    }
}

static void dump_fn(Dump *d, const AstFn *fn)
{
    node(d, fn->exported ? "export fn" : fn->body ? "fn" : "extern fn", fn->name.text);
    d->depth++;
    dump_params(d, fn->sig.params, fn->sig.n_params);
    for (uint32_t i = 0; i < fn->sig.n_results; i++) {
        node(d, "result", fn->sig.results[i].name.text);
        string(d, "as", &fn->sig.results[i].as);
        dump_type(d, fn->sig.results[i].type);
    }
    dump_exprs(d, "where", fn->sig.wheres, fn->sig.n_wheres);
    if (fn->body)
        dump_block(d, fn->body);
    string(d, "symbol", &fn->symbol);
    string(d, "grad", &fn->grad);
    d->depth--;
}

static void dump_target(Dump *d, const AstTarget *target)
{
    node(d, "target", target->name.text);
    d->depth++;
    dump_index(d, target->items, target->n_items);
    if (target->type)
        dump_type(d, target->type);
    d->depth--;
}

static void dump_stmt(Dump *d, const AstStmt *s)
{
    switch (s->kind) {
    case AST_STMT_ASSIGN:
        for (uint32_t i = 0; i < s->assign.n_targets; i++)
            dump_target(d, &s->assign.targets[i]);
        dump_exprs(d, "assign", s->assign.values, s->assign.n_values);
        break;
    case AST_STMT_FN: dump_fn(d, s->fn); break;
    case AST_STMT_YIELD: dump_exprs(d, "yield", s->exprs.at, s->exprs.n); break;
    case AST_STMT_EXPR: dump_exprs(d, "value", s->exprs.at, s->exprs.n); break;
    case AST_STMT_REPEAT:
        node(d, "repeat", s->repeat.name.text);
        dump_expr(d, s->repeat.in);
        dump_block(d, s->repeat.body);
        break;
    case AST_STMT_WHILE:
        node(d, s->loop.limit ? "while limit" : "while", NULL);
        dump_expr(d, s->loop.cond);
        if (s->loop.limit)
            dump_expr(d, s->loop.limit);
        dump_inits(d, s->loop.inits, s->loop.n_inits);
        dump_block(d, s->loop.body);
        break;
    }
}

static void dump_block(Dump *d, const AstBlock *block)
{
    node(d, "block", NULL);
    d->depth++;
    for (uint32_t i = 0; i < block->n_stmts; i++)
        dump_stmt(d, block->stmts[i]);
    d->depth--;
}

static void dump_const(Dump *d, const AstConst *c)
{
    node(d, "const", c->name.text);
    d->depth++;
    if (c->kind)
        dump_type(d, c->kind);
    dump_expr(d, c->value);
    d->depth--;
}

static void dump_member(Dump *d, const AstMember *m)
{
    switch (m->kind) {
    case AST_MEMBER_PARAM:
    case AST_MEMBER_STATE:
        node(d, m->kind == AST_MEMBER_PARAM ? "param" : "state", m->param.name.text);
        string(d, "as", &m->param.as);
        dump_type(d, m->param.type);
        dump_expr(d, m->param.value);
        break;
    case AST_MEMBER_LAYER:
        node(d, "layer", m->layer.name.text);
        string(d, "as", &m->layer.as);
        dump_expr(d, m->layer.value);
        break;
    case AST_MEMBER_LAYERS:
        node(d, "layers", m->layers.name.text);
        node(d, "index", m->layers.index.text);
        dump_expr(d, m->layers.count);
        string(d, "as", &m->layers.as);
        dump_expr(d, m->layers.value);
        break;
    case AST_MEMBER_CONST: dump_const(d, &m->constant); break;
    case AST_MEMBER_FN: dump_fn(d, m->fn); break;
    case AST_MEMBER_IF:
        node(d, "if", NULL);
        dump_expr(d, m->branch.cond);
        dump_members(d, &m->branch.then);
        if (m->branch.otherwise)
            dump_members(d, m->branch.otherwise);
        break;
    }
}

static void dump_members(Dump *d, const AstMembers *members)
{
    node(d, "members", NULL);
    d->depth++;
    for (uint32_t i = 0; i < members->n; i++)
        dump_member(d, members->at[i]);
    d->depth--;
}

static void dump_recipe(Dump *d, const AstRecipe *recipe)
{
    static const char *const kinds[] = {
        [AST_ENTRY_SET] = "set", [AST_ENTRY_METRIC] = "metric", [AST_ENTRY_UPDATE] = "update"
    };
    node(d, "recipe", NULL);
    d->depth++;
    for (uint32_t i = 0; i < recipe->n_entries; i++) {
        const AstEntry *e = &recipe->entries[i];
        node(d, kinds[e->kind], e->name.text);
        string(d, "glob", &e->glob);
        dump_exprs(d, "value", &e->value, e->value != NULL);
        dump_exprs(d, "on", &e->on, e->on != NULL);
        if (e->recipe)
            dump_recipe(d, e->recipe);
    }
    d->depth--;
}

static void dump_layer(Dump *d, const AstLayer *layer)
{
    static const char *const kinds[] = {
        [AST_LAYER] = "layer", [AST_MODEL] = "model", [AST_OPTIMIZER] = "optimizer"
    };
    node(d, kinds[layer->kind], layer->name.text);
    for (uint32_t i = 0; i < layer->n_dims; i++)
        node(d, "bound dim", layer->dims[i].text);
    dump_params(d, layer->params, layer->n_params);
    dump_members(d, &layer->members);
}

static void dump_item(Dump *d, const AstItem *item)
{
    switch (item->kind) {
    case AST_ITEM_IMPORT:
        node(d, "import", item->import.as.text);
        string(d, "path", &item->import.path);
        break;
    case AST_ITEM_CONST: dump_const(d, &item->constant); break;
    case AST_ITEM_FN: dump_fn(d, item->fn); break;
    case AST_ITEM_LAYER: dump_layer(d, &item->layer); break;
    case AST_ITEM_DATA:
        node(d, "data", item->data.name.text);
        dump_expr(d, item->data.value);
        break;
    case AST_ITEM_TRAIN:
        node(d, "train", item->train.model.text);
        dump_args(d, item->train.args, item->train.n_args);
        node(d, "as", item->train.as.text);
        dump_exprs(d, "on", &item->train.on, item->train.on != NULL);
        dump_recipe(d, &item->train.recipe);
        break;
    }
}

const char *syntax_dump(Compiler *cx, const AstFile *file)
{
    char *text = NULL;
    size_t size = 0;
    Dump d = { .out = open_memstream(&text, &size) };
    if (!d.out)
        return "";
    for (uint32_t i = 0; i < file->n_items; i++)
        dump_item(&d, file->items[i]);
    const char *source = cx->sources.at[file->source].text;
    for (uint32_t i = 0; i < file->n_comments; i++) {
        const AstComment *c = &file->comments[i];
        fprintf(d.out, "comment %.*s\n", (int)(c->end - c->begin), source + c->begin);
    }
    fclose(d.out);
    const char *copy = arena_strndup(cx->arena, text, size);
    free(text);
    return copy;
}

bool syntax_equal(Compiler *cx, const AstFile *a, const AstFile *b)
{
    return !strcmp(syntax_dump(cx, a), syntax_dump(cx, b));
}
