/* format.c: `dlcc fmt`: a tree as text in one layout, comments kept.
 *
 * What the author decides: empty lines (at most one is kept), which short blocks are on one line,
 * what is joined by `;`, where long lines break inside brackets and before `|>`. What is decided
 * here: indents, blanks, alignment, breaks that a width of 100 columns needs, and the column of
 * comments. Names, types and values of consecutive params or states are aligned.
 *
 * The result is parsed again and must give an equal tree; formatted again, it must not change.
 * Alignment and joining can each open a case for the other, so formatting is repeated until
 * nothing changes. */
#include "frontend/format.h"

#include <string.h>

enum { FORMAT_ROUNDS = 8 };

/* ---- Source positions ---- */

uint32_t format_begin(const Format *f, LocId loc)
{
    return loc_get(f->cx, loc)->begin;
}

uint32_t format_end(const Format *f, LocId loc)
{
    return loc_get(f->cx, loc)->end;
}

uint32_t format_newlines(const Format *f, uint32_t begin, uint32_t end)
{
    uint32_t n = 0;
    for (const char *p = f->text + begin;
         begin < end && (p = memchr(p, '\n', (size_t)(f->text + end - p))); p++)
        n++;
    return n;
}

/* ---- Breaks and comments ---- */

static bool comment_waits(const Format *f, uint32_t before)
{
    return f->comment < f->file->n_comments && f->file->comments[f->comment].begin < before;
}

bool format_may_be_flat(const Format *f, uint32_t begin, uint32_t end)
{
    return !comment_waits(f, end) && !format_newlines(f, begin, end);
}

/* Puts out the comments before `next`: the first beside what stands before it if it did so, the
 * others on their own lines. */
static bool put_comments(Format *f, FormatPlace place, uint32_t depth, uint32_t *previous_end,
                         uint32_t next)
{
    bool any = false;
    for (; comment_waits(f, next); f->comment++) {
        const AstComment *c = &f->file->comments[f->comment];
        bool beside = !c->own_line && !any;
        bool first = place == FORMAT_FIRST && !any;
        if (!beside)
            doc_break(f->doc, DOC_BREAK_FORCED, "", depth,
                      !depth && !first && format_newlines(f, *previous_end, c->begin) > 1);
        doc_comment(f->doc, arena_strndup(f->doc->a, f->text + c->begin, c->end - c->begin),
                    !beside);
        *previous_end = c->end;
        any = true;
    }
    return any;
}

void format_break(Format *f, DocBreak mode, const char *flat, uint32_t depth, uint32_t previous_end,
                  uint32_t next)
{
    bool forced = format_newlines(f, previous_end, next) > 0;
    forced |= put_comments(f, FORMAT_BETWEEN, depth, &previous_end, next);
    doc_break(f->doc, forced ? DOC_BREAK_FORCED : mode, flat, depth, false);
}

void format_between(Format *f, FormatPlace place, uint32_t previous_end, uint32_t next)
{
    bool joined = place == FORMAT_BETWEEN && !format_newlines(f, previous_end, next);
    bool any = put_comments(f, place, 0, &previous_end, next);
    bool edge = place == FORMAT_LAST || (place == FORMAT_FIRST && !any);
    doc_break(f->doc,
              any      ? DOC_BREAK_FORCED
              : joined ? DOC_BREAK_JOIN
                       : DOC_BREAK_GROUP,
              place == FORMAT_BETWEEN ? "; " : " ", 0,
              !edge && format_newlines(f, previous_end, next) > 1);
}

/* A block is laid out from the indent of its statement; in brackets, from that of the line it
 * begins on. */
static void open_braces(Format *f)
{
    DocIndent indent = f->depth ? DOC_INDENT_LINE : DOC_INDENT_STATEMENT;
    doc_open_indent(f->doc, indent, 0);
    doc_text(f->doc, "{");
    doc_open_indent(f->doc, indent, 2);
}

static void close_braces(Format *f, LocId block, uint32_t previous_end)
{
    uint32_t end = format_end(f, block) - 1;
    if (comment_waits(f, end))
        put_comments(f, previous_end == format_begin(f, block) + 1 ? FORMAT_FIRST : FORMAT_BETWEEN,
                     0, &previous_end, end);
    doc_close_indent(f->doc);
    doc_break(f->doc, DOC_BREAK_GROUP, " ", 0, false);
    doc_text(f->doc, "}");
    doc_close_indent(f->doc);
}

/* Between the elements of a block, given by their places: call before each. */
static uint32_t next_element(Format *f, LocId block, uint32_t previous_end, LocId element)
{
    bool first = previous_end == format_begin(f, block) + 1;
    format_between(f, first ? FORMAT_FIRST : FORMAT_BETWEEN, previous_end,
                   format_begin(f, element));
    return format_end(f, element);
}

/* ---- Statements ---- */

static void format_group_block(Format *f, const AstBlock *block)
{
    doc_open_group(f->doc,
                   format_may_be_flat(f, format_begin(f, block->loc), format_end(f, block->loc)),
                   f->depth > 0);
    format_block(f, block);
    doc_close_group(f->doc);
}

static void format_assign(Format *f, const AstStmt *s)
{
    for (uint32_t i = 0; i < s->assign.n_targets; i++) {
        const AstTarget *target = &s->assign.targets[i];
        doc_text(f->doc, i ? ", " : "");
        doc_text(f->doc, target->name.text);
        if (target->n_items)
            format_index(f, target->items, target->n_items);
        if (target->type) {
            doc_text(f->doc, ": ");
            format_type(f, target->type);
        }
    }
    doc_text(f->doc, " = ");
    format_exprs(f, s->assign.values, s->assign.n_values);
}

static void format_stmt(Format *f, const AstStmt *s)
{
    doc_open_indent(f->doc, DOC_INDENT_LINE, 4);
    switch (s->kind) {
    case AST_STMT_ASSIGN: format_assign(f, s); break;
    case AST_STMT_FN: format_fn(f, s->fn); break;
    case AST_STMT_YIELD:
        doc_text(f->doc, "yield ");
        format_exprs(f, s->exprs.at, s->exprs.n);
        break;
    case AST_STMT_EXPR: format_exprs(f, s->exprs.at, s->exprs.n); break;
    case AST_STMT_REPEAT:
        doc_text(f->doc, arena_printf(f->doc->a, "repeat %s in ", s->repeat.name.text));
        format_expr(f, s->repeat.in);
        doc_text(f->doc, " ");
        format_group_block(f, s->repeat.body);
        break;
    case AST_STMT_WHILE:
        doc_text(f->doc, "while ");
        format_expr(f, s->loop.cond);
        if (s->loop.limit) {
            doc_text(f->doc, " limit ");
            format_expr(f, s->loop.limit);
        }
        format_inits(f, s->loop.inits, s->loop.n_inits);
        doc_text(f->doc, " ");
        format_group_block(f, s->loop.body);
        break;
    }
    doc_close_indent(f->doc);
}

void format_block(Format *f, const AstBlock *block)
{
    uint32_t depth = f->depth, end = format_begin(f, block->loc) + 1;
    open_braces(f);
    f->depth = 0;
    for (uint32_t i = 0; i < block->n_stmts; i++) {
        end = next_element(f, block->loc, end, block->stmts[i]->loc);
        format_stmt(f, block->stmts[i]);
    }
    close_braces(f, block->loc, end);
    f->depth = depth;
}

/* Results break less gladly than arguments, which come first. */
static void format_results(Format *f, const AstSig *sig)
{
    if (!sig->n_results)
        return;
    bool parens = sig->n_results > 1 || sig->results[0].name.text;
    doc_text(f->doc, " -> ");
    f->depth++;
    if (parens)
        format_open_bracket(f, "(");
    for (uint32_t i = 0; i < sig->n_results; i++) {
        if (i)
            format_comma(f, sig->results[i - 1].loc, sig->results[i].loc);
        if (sig->results[i].name.text) {
            doc_text(f->doc, sig->results[i].name.text);
            format_as(f, &sig->results[i].as);
            doc_text(f->doc, ": ");
        }
        format_type(f, sig->results[i].type);
    }
    if (parens)
        format_close_bracket(f, ")");
    f->depth--;
}

void format_fn(Format *f, const AstFn *fn)
{
    doc_text(f->doc, fn->body ? (fn->exported ? "export fn " : "fn ") : "extern fn ");
    if (fn->name.text)
        doc_text(f->doc, fn->name.text);
    format_params(f, fn->sig.params, fn->sig.n_params);
    format_results(f, &fn->sig);
    if (fn->sig.n_wheres) {
        doc_text(f->doc, " where ");
        format_exprs(f, fn->sig.wheres, fn->sig.n_wheres);
    }
    if (fn->body) {
        doc_text(f->doc, " ");
        format_group_block(f, fn->body);
        return;
    }
    doc_text(f->doc, " = ");
    format_string(f, &fn->symbol);
    if (fn->grad.text) {
        doc_text(f->doc, " grad ");
        format_string(f, &fn->grad);
    }
}

/* ---- Members ---- */

static void format_const(Format *f, const AstConst *c)
{
    doc_text(f->doc, arena_printf(f->doc->a, "const %s", c->name.text));
    if (c->kind) {
        doc_text(f->doc, ": ");
        format_type(f, c->kind);
    }
    doc_text(f->doc, " = ");
    format_expr(f, c->value);
}

/* Blanks that align the types and values of consecutive params. */
typedef struct {
    uint32_t name, type;
} Align;

static uint32_t head_width(const AstMember *m)
{
    uint32_t n = 0;
    for (const char *s = m->param.name.text; *s; s++)
        n++;
    return n;
}

static uint32_t type_width(Format *f, const AstType *type)
{
    uint32_t from = f->doc->items.n, comment = f->comment;
    format_type(f, type);
    uint32_t width = doc_flat_width(f->doc, from, f->doc->items.n);
    f->doc->items.n = from;
    f->comment = comment;
    return width;
}

/* True if b stands on the line after a, and both are params, or both states, on one line each. */
static bool aligns(const Format *f, const AstMember *a, const AstMember *b)
{
    bool param = a->kind == AST_MEMBER_PARAM || a->kind == AST_MEMBER_STATE;
    return param && a->kind == b->kind && !a->param.as.text && !b->param.as.text &&
           format_newlines(f, format_begin(f, a->loc), format_begin(f, b->loc)) == 1 &&
           !format_newlines(f, format_begin(f, b->loc), format_end(f, b->loc));
}

/* One on the same line as its neighbour, by `;`, is not aligned. */
static bool stands_alone(const Format *f, const AstMembers *members, uint32_t i)
{
    const AstMember *m = members->at[i];
    bool after = i == 0 || format_newlines(f, format_end(f, members->at[i - 1]->loc),
                                           format_begin(f, m->loc));
    bool before = i + 1 == members->n || format_newlines(f, format_end(f, m->loc),
                                                         format_begin(f, members->at[i + 1]->loc));
    return after && before;
}

/* The run of aligned members that begins at i: its length, and the widths of its widest name and
 * type. */
static uint32_t measure_run(Format *f, const AstMembers *members, uint32_t i, Align *out_widest)
{
    uint32_t n = 0;
    *out_widest = (Align){ 0 };
    while (i + n < members->n && stands_alone(f, members, i + n) &&
           (!n || aligns(f, members->at[i + n - 1], members->at[i + n]))) {
        const AstMember *m = members->at[i + n];
        if (m->kind != AST_MEMBER_PARAM && m->kind != AST_MEMBER_STATE)
            break;
        uint32_t name = head_width(m), type = type_width(f, m->param.type);
        out_widest->name = name > out_widest->name ? name : out_widest->name;
        out_widest->type = type > out_widest->type ? type : out_widest->type;
        n++;
    }
    return n;
}

static void format_param(Format *f, const AstMember *m, Align widest)
{
    doc_text(f->doc, m->kind == AST_MEMBER_PARAM ? "param " : "state ");
    doc_text(f->doc, m->param.name.text);
    format_as(f, &m->param.as);
    doc_text(f->doc, ": ");
    uint32_t name = head_width(m), type = type_width(f, m->param.type);
    doc_pad(f->doc, widest.name > name ? widest.name - name : 0);
    format_type(f, m->param.type);
    doc_pad(f->doc, widest.type > type ? widest.type - type : 0);
    doc_text(f->doc, " = ");
    format_expr(f, m->param.value);
}

static void format_members(Format *f, const AstMembers *members);

static void format_if_member(Format *f, const AstMember *m)
{
    doc_text(f->doc, "if ");
    format_expr(f, m->branch.cond);
    doc_text(f->doc, " ");
    doc_open_group(
        f->doc, format_may_be_flat(f, format_begin(f, m->branch.then.loc), format_end(f, m->loc)),
        f->depth > 0);
    format_members(f, &m->branch.then);
    if (m->branch.otherwise) {
        uint32_t end = format_end(f, m->branch.then.loc),
                 begin = format_begin(f, m->branch.otherwise->loc);
        if (comment_waits(f, begin))
            format_break(f, DOC_BREAK_FILL, " ", 1, end, begin);
        else
            doc_text(f->doc, " ");
        doc_text(f->doc, "else ");
        format_members(f, m->branch.otherwise);
    }
    doc_close_group(f->doc);
}

static void format_member(Format *f, const AstMember *m, Align widest)
{
    doc_open_indent(f->doc, DOC_INDENT_LINE, 4);
    switch (m->kind) {
    case AST_MEMBER_PARAM:
    case AST_MEMBER_STATE: format_param(f, m, widest); break;
    case AST_MEMBER_LAYER:
        doc_text(f->doc, arena_printf(f->doc->a, "layer %s", m->layer.name.text));
        format_as(f, &m->layer.as);
        doc_text(f->doc, " = ");
        format_expr(f, m->layer.value);
        break;
    case AST_MEMBER_LAYERS:
        doc_text(f->doc, arena_printf(f->doc->a, "layers %s[", m->layers.name.text));
        if (m->layers.index.text)
            doc_text(f->doc, arena_printf(f->doc->a, "%s in ", m->layers.index.text));
        f->depth++;
        format_expr(f, m->layers.count);
        f->depth--;
        doc_text(f->doc, "]");
        format_as(f, &m->layers.as);
        doc_text(f->doc, " = ");
        format_expr(f, m->layers.value);
        break;
    case AST_MEMBER_CONST: format_const(f, &m->constant); break;
    case AST_MEMBER_FN: format_fn(f, m->fn); break;
    case AST_MEMBER_IF: format_if_member(f, m); break;
    }
    doc_close_indent(f->doc);
}

static void format_members(Format *f, const AstMembers *members)
{
    uint32_t end = format_begin(f, members->loc) + 1, run = 0;
    Align widest = { 0 };
    open_braces(f);
    for (uint32_t i = 0; i < members->n; i++) {
        if (run)
            run--;
        if (!run)
            run = measure_run(f, members, i, &widest);
        end = next_element(f, members->loc, end, members->at[i]->loc);
        format_member(f, members->at[i], widest);
    }
    close_braces(f, members->loc, end);
}

/* ---- Items ---- */

static void format_recipe(Format *f, const AstRecipe *recipe)
{
    uint32_t end = format_begin(f, recipe->loc) + 1;
    doc_open_group(f->doc, format_may_be_flat(f, end, format_end(f, recipe->loc)), f->depth > 0);
    open_braces(f);
    for (uint32_t i = 0; i < recipe->n_entries; i++) {
        const AstEntry *e = &recipe->entries[i];
        end = next_element(f, recipe->loc, end, e->loc);
        doc_open_indent(f->doc, DOC_INDENT_LINE, 4);
        if (e->kind != AST_ENTRY_SET)
            doc_text(f->doc, e->kind == AST_ENTRY_METRIC ? "metric " : "update ");
        doc_text(f->doc, e->name.text);
        if (e->glob.text) {
            doc_text(f->doc, "[");
            format_string(f, &e->glob);
            doc_text(f->doc, "]");
        }
        doc_text(f->doc, e->value ? " = " : " ");
        if (e->value)
            format_expr(f, e->value);
        if (e->on) {
            doc_text(f->doc, " on ");
            format_expr(f, e->on);
        }
        if (e->recipe)
            format_recipe(f, e->recipe);
        doc_close_indent(f->doc);
    }
    close_braces(f, recipe->loc, end);
    doc_close_group(f->doc);
}

static void format_layer(Format *f, const AstLayer *layer)
{
    static const char *const heads[] = {
        [AST_LAYER] = "layer", [AST_MODEL] = "model", [AST_OPTIMIZER] = "optimizer"
    };
    doc_text(f->doc, arena_printf(f->doc->a, "%s %s", heads[layer->kind], layer->name.text));
    for (uint32_t i = 0; i < layer->n_dims; i++)
        doc_text(f->doc, arena_printf(f->doc->a, "%s%s%s", i ? ", " : "[", layer->dims[i].text,
                                      i + 1 == layer->n_dims ? "]" : ""));
    if (layer->n_params)
        format_params(f, layer->params, layer->n_params);
    doc_text(f->doc, " ");
    doc_open_group(f->doc, format_may_be_flat(f, format_begin(f, layer->members.loc),
                                              format_end(f, layer->members.loc)), f->depth > 0);
    format_members(f, &layer->members);
    doc_close_group(f->doc);
}

static void format_train(Format *f, const AstTrain *train)
{
    doc_text(f->doc, arena_printf(f->doc->a, "train %s", train->model.text));
    if (train->n_args)
        format_args(f, train->args, train->n_args);
    if (train->as.text)
        doc_text(f->doc, arena_printf(f->doc->a, " as %s", train->as.text));
    if (train->on) {
        doc_text(f->doc, " on ");
        format_expr(f, train->on);
    }
    doc_text(f->doc, " ");
    format_recipe(f, &train->recipe);
}

static void format_item(Format *f, const AstItem *item)
{
    doc_open_indent(f->doc, DOC_INDENT_LINE, 4);
    switch (item->kind) {
    case AST_ITEM_IMPORT:
        doc_text(f->doc, "import ");
        format_string(f, &item->import.path);
        if (item->import.as.text)
            doc_text(f->doc, arena_printf(f->doc->a, " as %s", item->import.as.text));
        break;
    case AST_ITEM_CONST: format_const(f, &item->constant); break;
    case AST_ITEM_FN: format_fn(f, item->fn); break;
    case AST_ITEM_LAYER: format_layer(f, &item->layer); break;
    case AST_ITEM_DATA:
        doc_text(f->doc, arena_printf(f->doc->a, "data %s = ", item->data.name.text));
        format_expr(f, item->data.value);
        break;
    case AST_ITEM_TRAIN: format_train(f, &item->train); break;
    }
    doc_close_indent(f->doc);
}

static const char *format_once(Compiler *cx, const AstFile *file)
{
    Doc doc = { .a = cx->arena };
    const Source *source = &cx->sources.at[file->source];
    Format f = { .cx = cx, .doc = &doc, .file = file, .text = source->text };
    uint32_t end = 0;
    for (uint32_t i = 0; i < file->n_items; i++) {
        format_between(&f, i ? FORMAT_BETWEEN : FORMAT_FIRST, end,
                       format_begin(&f, file->items[i]->loc));
        format_item(&f, file->items[i]);
        end = format_end(&f, file->items[i]->loc);
    }
    put_comments(&f, file->n_items ? FORMAT_BETWEEN : FORMAT_FIRST, 0, &end,
                 (uint32_t)source->size);
    return doc_render(&doc);
}

const char *syntax_format(Compiler *cx, const AstFile *file)
{
    const char *path = cx->sources.at[file->source].path,
               *before = cx->sources.at[file->source].text;
    for (int round = 0; round < FORMAT_ROUNDS; round++) {
        const char *text = format_once(cx, file);
        if (!strcmp(text, before))
            return text;
        AstFile *again;
        if (!syntax_parse(cx, compiler_add_source(cx, path, text, strlen(text)), &again) ||
            !syntax_equal(cx, file, again))
            return NULL;
        before = text;
        file = again;
    }
    return before;
}
