/* format_expr.c: expressions, types and arguments as a Doc. Blanks follow the operator: none
 * around `^` and `..`, one on each side of the others; around * / // and % the author's choice is
 * kept, since it groups: a*b + c*d. */
#include "frontend/format.h"

#include <string.h>

/* Depth of a break: brackets first, then how tightly the operator binds. */
enum { DEPTH_BRACKET = 16, DEPTH_LIST = 1, DEPTH_PIPE = 2, DEPTH_OPERATOR = 3 };

static uint32_t depth_of(const Format *f, uint32_t level)
{
    return f->depth * DEPTH_BRACKET + level;
}

void format_open_bracket(Format *f, const char *text)
{
    doc_text(f->doc, text);
    doc_open_indent(f->doc, DOC_INDENT_ALIGN, 0);
    f->depth++;
}

void format_close_bracket(Format *f, const char *text)
{
    f->depth--;
    doc_close_indent(f->doc);
    doc_text(f->doc, text);
}

void format_comma(Format *f, LocId previous, LocId next)
{
    doc_text(f->doc, ",");
    format_break(f, DOC_BREAK_FILL, " ", depth_of(f, DEPTH_LIST), format_end(f, previous),
                 format_begin(f, next));
}

void format_string(Format *f, const AstString *s)
{
    VEC(char) out = { 0 };
    Arena *a = f->doc->a;
    vec_push(a, &out, '"');
    for (uint32_t i = 0; i < s->size; i++) {
        unsigned char c = (unsigned char)s->text[i];
        const char *escaped = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r"
                            : c == '\\' ? "\\\\" : c == '"' ? "\\\"" : NULL;
        if (!escaped && (c < 0x20 || c == 0x7F))
            escaped = arena_printf(a, "\\u{%X}", c);
        if (!escaped)
            vec_push(a, &out, (char)c);
        for (; escaped && *escaped; escaped++)
            vec_push(a, &out, *escaped);
    }
    vec_push(a, &out, '"');
    vec_push(a, &out, '\0');
    doc_text(f->doc, out.at);
}

void format_exprs(Format *f, AstExpr *const *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            format_comma(f, at[i - 1]->loc, at[i]->loc);
        format_expr(f, at[i]);
    }
}

void format_args(Format *f, const AstArg *args, uint32_t n)
{
    format_open_bracket(f, "(");
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            format_comma(f, args[i - 1].loc, args[i].loc);
        if (args[i].name.text) {
            doc_text(f->doc, args[i].name.text);
            doc_text(f->doc, "=");
        }
        if (args[i].value)
            format_expr(f, args[i].value);
        else
            doc_text(f->doc, "...");
    }
    format_close_bracket(f, ")");
}

void format_index(Format *f, const AstIndex *items, uint32_t n)
{
    format_open_bracket(f, "[");
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            format_comma(f, items[i - 1].loc, items[i].loc);
        if (items[i].kind == AST_INDEX_EXPR)
            format_expr(f, items[i].expr);
        else
            doc_text(f->doc, items[i].kind == AST_INDEX_ALL ? ":" : "...");
    }
    format_close_bracket(f, "]");
}

void format_inits(Format *f, const AstInit *inits, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        doc_text(f->doc, ",");
        format_break(f, DOC_BREAK_FILL, " ", depth_of(f, DEPTH_LIST), format_begin(f, inits[i].loc),
                    format_begin(f, inits[i].loc));
        doc_text(f->doc, inits[i].name.text);
        doc_text(f->doc, " = ");
        format_expr(f, inits[i].value);
    }
}

static bool is_tight(const Format *f, const AstExpr *e)
{
    AstBinaryOp op = e->binary.op;
    if (op == AST_POW || (f->in_range && (op == AST_ADD || op == AST_SUB)))
        return true;
    if (op != AST_MUL && op != AST_DIV && op != AST_FLOORDIV && op != AST_MOD)
        return false;
    char before = f->text[format_begin(f, e->binary.op_loc) - 1],
         after = f->text[format_end(f, e->binary.op_loc)];
    return !strchr(" \t\r\n", before) && !strchr(" \t\r\n", after);
}

static uint32_t operator_level(AstBinaryOp op)
{
    switch (op) {
    case AST_OR: return 0;
    case AST_AND: return 1;
    case AST_EQ: case AST_NE: case AST_LT: case AST_LE: case AST_GT: case AST_GE: return 2;
    case AST_ADD: case AST_SUB: return 3;
    case AST_MUL: case AST_DIV: case AST_FLOORDIV: case AST_MOD: case AST_MATMUL: return 4;
    case AST_POW: return 5;
    case AST_BINARY_COUNT: break;
    }
    return 0;
}

/* Operands written tight stay on one line: the author groups them. */
static void format_binary(Format *f, const AstExpr *e)
{
    const char *op = ast_binary_text(e->binary.op);
    uint32_t left_end = format_end(f, e->binary.left->loc),
             right = format_begin(f, e->binary.right->loc);
    format_expr(f, e->binary.left);
    bool tight = is_tight(f, e);
    doc_text(f->doc, tight ? op : arena_printf(f->doc->a, " %s", op));
    if (!tight || format_newlines(f, left_end, right))
        format_break(f, DOC_BREAK_OPERATOR, tight ? "" : " ",
                     depth_of(f, DEPTH_OPERATOR + operator_level(e->binary.op)), left_end, right);
    format_expr(f, e->binary.right);
}

/* a |> f |> g, with a place to break before each `|>`. */
static void format_pipe(Format *f, const AstExpr *e)
{
    VEC(const AstExpr *) chain = { 0 };
    for (; e->kind == AST_EXPR_PIPE && (!chain.n || !e->parens); e = e->pipe.left)
        vec_push(f->doc->a, &chain, e);
    doc_open_indent(f->doc, f->depth ? DOC_INDENT_ALIGN : DOC_INDENT_PIPE, 0);
    format_expr(f, e);
    for (uint32_t i = chain.n; i-- > 0;) {
        format_break(f, DOC_BREAK_FILL, " ", depth_of(f, DEPTH_PIPE),
                     format_end(f, chain.at[i]->pipe.left->loc),
                     format_begin(f, chain.at[i]->pipe.right->loc));
        doc_text(f->doc, "|> ");
        format_expr(f, chain.at[i]->pipe.right);
    }
    doc_close_indent(f->doc);
}

static uint32_t end_of_if(const Format *f, const AstExpr *e)
{
    return format_end(f, e->loc) - e->parens;
}

/* One group, so that all branches are on one line or none. */
static void format_if(Format *f, const AstExpr *e)
{
    doc_text(f->doc, "if ");
    format_expr(f, e->branch.cond);
    doc_text(f->doc, " ");
    doc_open_group(f->doc,
                   format_may_be_flat(f, format_begin(f, e->branch.then->loc), end_of_if(f, e)),
                   f->depth > 0);
    for (;;) {
        format_block(f, e->branch.then);
        const AstExpr *next = e->branch.otherwise_expr;
        if (!next && !e->branch.otherwise)
            break;
        uint32_t begin = e->branch.otherwise ? format_begin(f, e->branch.otherwise->loc)
                                             : format_begin(f, next->loc);
        uint32_t end = format_end(f, e->branch.then->loc);
        bool waits =
            f->comment < f->file->n_comments && f->file->comments[f->comment].begin < begin;
        if (waits)
            format_break(f, DOC_BREAK_FILL, " ", depth_of(f, DEPTH_LIST), end, begin);
        else
            doc_text(f->doc, " ");
        doc_text(f->doc, "else ");
        if (e->branch.otherwise) {
            format_block(f, e->branch.otherwise);
            break;
        }
        if (next->kind != AST_EXPR_IF || next->parens) {
            format_expr(f, next);
            break;
        }
        doc_text(f->doc, "if ");
        format_expr(f, next->branch.cond);
        doc_text(f->doc, " ");
        e = next;
    }
    doc_close_group(f->doc);
}

static void format_scan(Format *f, const AstExpr *e)
{
    doc_text(f->doc, "scan ");
    for (uint32_t i = 0; i < e->scan.n_names; i++) {
        doc_text(f->doc, i ? ", " : "");
        doc_text(f->doc, e->scan.names[i].text);
    }
    doc_text(f->doc, " over ");
    format_exprs(f, e->scan.over, e->scan.n_over);
    doc_text(f->doc, " along ");
    format_expr(f, e->scan.along);
    format_inits(f, e->scan.inits, e->scan.n_inits);
    doc_text(f->doc, " ");
    const AstBlock *body = e->scan.body;
    doc_open_group(f->doc,
                   format_may_be_flat(f, format_begin(f, body->loc), format_end(f, body->loc)),
                   f->depth > 0);
    format_block(f, body);
    doc_close_group(f->doc);
}

static void format_range(Format *f, const AstExpr *e)
{
    bool before = f->in_range;
    f->in_range = true;
    if (e->range.from)
        format_expr(f, e->range.from);
    doc_text(f->doc, "..");
    if (e->range.to)
        format_expr(f, e->range.to);
    f->in_range = before;
}

static void format_inside(Format *f, const AstExpr *e)
{
    switch (e->kind) {
    case AST_EXPR_ERROR: break;
    case AST_EXPR_NUMBER: doc_text(f->doc, e->number.spelling); break;
    case AST_EXPR_STRING: format_string(f, &e->string); break;
    case AST_EXPR_NAME: doc_text(f->doc, e->name.text); break;
    case AST_EXPR_LIST:
    case AST_EXPR_TUPLE:
        format_open_bracket(f, e->kind == AST_EXPR_LIST ? "[" : "(");
        format_exprs(f, e->list.at, e->list.n);
        format_close_bracket(f, e->kind == AST_EXPR_LIST ? "]" : ")");
        break;
    case AST_EXPR_UNARY:
        doc_text(f->doc, e->unary.op == AST_NEG ? "-" : "not ");
        format_expr(f, e->unary.x);
        break;
    case AST_EXPR_BINARY: format_binary(f, e); break;
    case AST_EXPR_RANGE: format_range(f, e); break;
    case AST_EXPR_PIPE: format_pipe(f, e); break;
    case AST_EXPR_CALL:
        format_expr(f, e->call.callee);
        format_args(f, e->call.args, e->call.n_args);
        break;
    case AST_EXPR_INDEX:
        format_expr(f, e->index.base);
        format_index(f, e->index.items, e->index.n_items);
        break;
    case AST_EXPR_FIELD:
        format_expr(f, e->field.base);
        doc_text(f->doc, arena_printf(f->doc->a, ".%s", e->field.name.text));
        break;
    case AST_EXPR_IF: format_if(f, e); break;
    case AST_EXPR_SCAN: format_scan(f, e); break;
    }
}

void format_expr(Format *f, const AstExpr *e)
{
    bool before = f->in_range;
    if (e->parens)
        format_open_bracket(f, "(");
    f->in_range &= e->kind == AST_EXPR_BINARY || e->kind == AST_EXPR_UNARY;
    format_inside(f, e);
    f->in_range = before;
    if (e->parens)
        format_close_bracket(f, ")");
}

/* ---- Types and arguments ---- */

void format_type(Format *f, const AstType *type)
{
    switch (type->kind) {
    case AST_TYPE_ERROR: break;
    case AST_TYPE_LIST:
        doc_text(f->doc, "[");
        format_type(f, type->element);
        doc_text(f->doc, "]");
        break;
    case AST_TYPE_NAMED:
        doc_text(f->doc, type->name.text);
        if (!type->n_dims)
            break;
        format_open_bracket(f, "[");
        for (uint32_t i = 0; i < type->n_dims; i++) {
            const AstDim *dim = &type->dims[i];
            if (i)
                format_comma(f, type->dims[i - 1].loc, dim->loc);
            if (dim->kind == AST_DIM_EXPR)
                format_expr(f, dim->expr);
            else
                doc_text(f->doc, dim->kind == AST_DIM_ELLIPSIS ? "..." : "_");
        }
        format_close_bracket(f, "]");
        break;
    }
}

void format_as(Format *f, const AstString *as)
{
    if (!as->text)
        return;
    doc_text(f->doc, " as ");
    format_string(f, as);
}

void format_params(Format *f, const AstParam *params, uint32_t n)
{
    format_open_bracket(f, "(");
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            format_comma(f, params[i - 1].loc, params[i].loc);
        doc_text(f->doc, params[i].name.text);
        format_as(f, &params[i].as);
        doc_text(f->doc, ": ");
        format_type(f, params[i].type);
        if (params[i].value) {
            doc_text(f->doc, " = ");
            format_expr(f, params[i].value);
        }
    }
    format_close_bracket(f, ")");
}
