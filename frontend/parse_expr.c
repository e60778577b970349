/* parse_expr.c: expressions. One function climbs the levels of binary operators; below it stand
 * unary, postfix and primary.
 *
 *   1 or   2 and   3 not   4 == != < <= > >= (no chains)   5 ..   6 + -   7 * / // % @
 *   then unary -, then ^ (to the right), then calls, indices and fields
 *
 * The pipe `|>` binds loosest and only at the level of a whole expression. Chains lean to the left
 * and are read in a loop; the height of the tree is counted, so that later walks may recurse on
 * it. */
#include "frontend/parse.h"

#include "frontend/name.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_OR = 1, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE, LEVEL_RANGE, LEVEL_SUM, LEVEL_TERM };

static AstExpr *parse_level(Parser *p, int min);
static AstExpr *parse_unary(Parser *p);
static AstExpr *parse_primary(Parser *p);

static AstExpr *new_expr(Parser *p, AstExprKind kind)
{
    AstExpr *e = arena_make(p->a, AstExpr);
    e->kind = kind;
    return e;
}

/* Sets place and height of a finished node whose children are at most `below` high. */
static AstExpr *finish(Parser *p, AstExpr *e, uint32_t begin, uint32_t below)
{
    e->loc = parse_since(p, begin);
    if (below >= SYNTAX_MAX_HEIGHT) {
        uint32_t d =
            parse_fail(p, DIAG_E0206, e->loc,
                       "this expression is too long: more than %d operators on one another",
                       SYNTAX_MAX_HEIGHT);
        parse_help(p, d, "name a part of it: `a = ..`");
        below = SYNTAX_MAX_HEIGHT - 1;
    }
    e->height = (uint16_t)(below + 1);
    if (p->tallest < e->height)
        p->tallest = e->height;
    return e;
}

static AstExpr *error_expr(Parser *p)
{
    AstExpr *e = new_expr(p, AST_EXPR_ERROR);
    e->loc = parse_token_loc(p, peek(p));
    e->height = 1;
    return e;
}

static uint32_t begin_of(const Parser *p, const AstExpr *e)
{
    return loc_get(p->cx, e->loc)->begin;
}

const char *ast_binary_text(AstBinaryOp op)
{
    static const char *const texts[AST_BINARY_COUNT] = {
        [AST_OR] = "or",       [AST_AND] = "and", [AST_EQ] = "==",    [AST_NE] = "!=",
        [AST_LT] = "<",        [AST_LE] = "<=",   [AST_GT] = ">",     [AST_GE] = ">=",
        [AST_ADD] = "+",       [AST_SUB] = "-",   [AST_MUL] = "*",    [AST_DIV] = "/",
        [AST_FLOORDIV] = "//", [AST_MOD] = "%",   [AST_MATMUL] = "@", [AST_POW] = "^",
    };
    return texts[op];
}

/* ---- Binary operators ---- */

/* The level of the binary operator that comes next, or 0. `..` is of its own kind: *out_op is then
 * not set. */
static int next_operator(const Parser *p, AstBinaryOp *out_op)
{
    static const struct {
        TokenKind kind;
        AstBinaryOp op;
        int level;
    } table[] = {
        { TOK_EQ, AST_EQ, LEVEL_COMPARE },          { TOK_NE, AST_NE, LEVEL_COMPARE },
        { TOK_LT, AST_LT, LEVEL_COMPARE },          { TOK_LE, AST_LE, LEVEL_COMPARE },
        { TOK_GT, AST_GT, LEVEL_COMPARE },          { TOK_GE, AST_GE, LEVEL_COMPARE },
        { TOK_PLUS, AST_ADD, LEVEL_SUM },           { TOK_MINUS, AST_SUB, LEVEL_SUM },
        { TOK_STAR, AST_MUL, LEVEL_TERM },          { TOK_SLASH, AST_DIV, LEVEL_TERM },
        { TOK_FLOORDIV, AST_FLOORDIV, LEVEL_TERM }, { TOK_PERCENT, AST_MOD, LEVEL_TERM },
        { TOK_AT, AST_MATMUL, LEVEL_TERM },
    };
    if (at(p, TOK_DOTDOT))
        return LEVEL_RANGE;
    if (at_word(p, KW_or))
        return *out_op = AST_OR, LEVEL_OR;
    if (at_word(p, KW_and))
        return *out_op = AST_AND, LEVEL_AND;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (at(p, table[i].kind))
            return *out_op = table[i].op, table[i].level;
    return 0;
}

static void fail_chain(Parser *p, const AstExpr *left)
{
    uint32_t d =
        parse_fail(p, DIAG_E0208, parse_token_loc(p, peek(p)), "comparisons cannot be chained");
    diag_add(p->cx, d, DIAG_LABEL, left->loc, "this is a bool");
    parse_help(p, d, "write `a < b and b < c`");
}

static AstExpr *parse_range_end(Parser *p, AstExpr *from, uint32_t begin)
{
    AstExpr *e = new_expr(p, AST_EXPR_RANGE);
    e->range.op_loc = parse_token_loc(p, peek(p));
    parse_advance(p);
    e->range.from = from;
    if (!from || parse_starts_expr(p))
        e->range.to = parse_level(p, LEVEL_SUM);
    uint32_t a = from ? from->height : 0, b = e->range.to ? e->range.to->height : 0;
    return finish(p, e, begin, a > b ? a : b);
}

static AstExpr *parse_prefix(Parser *p, int min)
{
    const Token *t = peek(p);
    if (at_word(p, KW_not) && min <= LEVEL_NOT) {
        if (!parse_enter(p))
            return error_expr(p);
        AstExpr *e = new_expr(p, AST_EXPR_UNARY);
        e->unary.op = AST_NOT;
        e->unary.op_loc = parse_token_loc(p, t);
        parse_advance(p);
        e->unary.x = parse_level(p, LEVEL_NOT);
        parse_leave(p);
        return finish(p, e, t->begin, e->unary.x->height);
    }
    if (at(p, TOK_DOTDOT) && min <= LEVEL_RANGE)
        return parse_range_end(p, NULL, t->begin);
    return parse_unary(p);
}

static AstExpr *parse_level(Parser *p, int min)
{
    AstExpr *left = parse_prefix(p, min);
    while (!p->panic) {
        AstBinaryOp op = AST_OR;
        int level = next_operator(p, &op);
        if (!level || level < min)
            break;
        bool unfit = left->kind == AST_EXPR_RANGE && !left->parens && level >= LEVEL_RANGE;
        if (unfit) {
            uint32_t d = parse_fail(p, DIAG_E0212, parse_token_loc(p, peek(p)),
                                    "expected the end of the range, found %s", parse_found(p));
            parse_help(p, d, "a range has two ends, as in `a..b`");
        } else if (level == LEVEL_RANGE) {
            left = parse_range_end(p, left, begin_of(p, left));
        } else {
            AstExpr *e = new_expr(p, AST_EXPR_BINARY);
            e->binary.op = op;
            e->binary.op_loc = parse_token_loc(p, peek(p));
            parse_advance(p);
            e->binary.left = left;
            AstExpr *right = e->binary.right = parse_level(p, level + 1);
            left = finish(p, e, begin_of(p, left),
                          left->height > right->height ? left->height : right->height);
            if (level == LEVEL_COMPARE && !p->panic && next_operator(p, &op) == LEVEL_COMPARE)
                fail_chain(p, left);
        }
    }
    return left;
}

/* ---- Unary and postfix ---- */

static AstExpr *parse_power(Parser *p, AstExpr *base)
{
    if (p->panic || !at(p, TOK_CARET) || !parse_enter(p))
        return base;
    AstExpr *e = new_expr(p, AST_EXPR_BINARY);
    e->binary.op = AST_POW;
    e->binary.op_loc = parse_token_loc(p, peek(p));
    parse_advance(p);
    e->binary.left = base;
    AstExpr *right = e->binary.right = parse_unary(p);
    parse_leave(p);
    return finish(p, e, begin_of(p, base),
                  base->height > right->height ? base->height : right->height);
}

/* `from:to` in an index. */
static void fail_colon_slice(Parser *p)
{
    uint32_t d =
        parse_fail(p, DIAG_E0218, parse_token_loc(p, peek(p)), "a slice is written with `..`");
    parse_help(p, d, "write `x[a..b]`, `x[a..]` or `x[..b]`; `:` alone is the whole axis");
}

static AstIndex parse_index_item(Parser *p)
{
    const Token *t = peek(p);
    AstIndex item = { .kind = AST_INDEX_EXPR };
    if (parse_accept(p, TOK_COLON)) {
        item.kind = AST_INDEX_ALL;
        if (parse_starts_expr(p) && !p->panic)
            fail_colon_slice(p);
    } else if (parse_accept(p, TOK_ELLIPSIS)) {
        item.kind = AST_INDEX_ELLIPSIS;
    } else {
        item.expr = parse_expr(p);
        if (at(p, TOK_COLON) && !p->panic)
            fail_colon_slice(p);
    }
    item.loc = parse_since(p, t->begin);
    return item;
}

static void parse_index(Parser *p, AstExpr *e)
{
    VEC(AstIndex) items = { 0 };
    const Token *open = peek(p), *ellipsis = NULL;
    LocId open_loc = parse_token_loc(p, open);
    parse_advance(p);
    if (at(p, TOK_RBRACKET))
        parse_expected(p, "an index");
    do {
        const Token *t = peek(p);
        vec_push(p->a, &items, parse_index_item(p));
        if (items.at[items.n - 1].kind == AST_INDEX_ELLIPSIS) {
            if (ellipsis)
                parse_complain(p, DIAG_E0214, parse_token_loc(p, t),
                               "more than one `...` in an index");
            ellipsis = t;
        }
    } while (parse_accept(p, TOK_COMMA));
    parse_close(p, TOK_RBRACKET, open_loc, "`,`");
    e->index.items = items.at;
    e->index.n_items = items.n;
    e->index.items_loc = parse_since(p, open->begin);
}

static AstArg parse_arg(Parser *p, bool *named)
{
    const Token *t = peek(p);
    AstArg arg = { 0 };
    if (parse_accept(p, TOK_ELLIPSIS)) {
        arg.loc = parse_since(p, t->begin);
        return arg;
    }
    if (at(p, TOK_ID) && peek_second(p)->kind == TOK_ASSIGN) {
        arg.name = parse_name(p, "a name");
        parse_advance(p);
    }
    arg.value = parse_expr(p);
    arg.loc = parse_since(p, t->begin);
    if (!arg.name.text && *named) {
        uint32_t d = parse_complain(p, DIAG_E0213, arg.loc,
                                    "an argument without a name after one with a name");
        parse_help(p, d, "first those by position, then those by name");
    }
    *named |= arg.name.text != NULL;
    return arg;
}

void parse_args(Parser *p, AstArg **out_args, uint32_t *out_n)
{
    VEC(AstArg) args = { 0 };
    LocId open = parse_token_loc(p, peek(p));
    bool named = false;
    parse_advance(p);
    if (!at(p, TOK_RPAREN)) {
        do
            vec_push(p->a, &args, parse_arg(p, &named));
        while (parse_accept(p, TOK_COMMA));
    }
    parse_close(p, TOK_RPAREN, open, "`,`");
    *out_args = args.at;
    *out_n = args.n;
}

static AstExpr *parse_postfix(Parser *p)
{
    AstExpr *left = parse_primary(p);
    while (!p->panic && (at(p, TOK_LPAREN) || at(p, TOK_LBRACKET) || at(p, TOK_DOT))) {
        uint32_t begin = peek(p)->begin, before = p->tallest;
        p->tallest = left->height;
        AstExpr *e;
        if (at(p, TOK_LPAREN)) {
            e = new_expr(p, AST_EXPR_CALL);
            e->call.callee = left;
            parse_args(p, &e->call.args, &e->call.n_args);
            e->call.args_loc = parse_since(p, begin);
        } else if (at(p, TOK_LBRACKET)) {
            e = new_expr(p, AST_EXPR_INDEX);
            e->index.base = left;
            parse_index(p, e);
        } else {
            e = new_expr(p, AST_EXPR_FIELD);
            e->field.base = left;
            parse_advance(p);
            e->field.name = parse_name(p, "a name after `.`");
        }
        finish(p, e, begin_of(p, left), p->tallest);
        if (p->tallest < before)
            p->tallest = before;
        left = e;
    }
    return left;
}

static AstExpr *parse_unary(Parser *p)
{
    const Token *t = peek(p);
    if (p->panic || !at(p, TOK_MINUS))
        return parse_power(p, parse_postfix(p));
    if (!parse_enter(p))
        return error_expr(p);
    AstExpr *e = new_expr(p, AST_EXPR_UNARY);
    e->unary.op = AST_NEG;
    e->unary.op_loc = parse_token_loc(p, t);
    parse_advance(p);
    e->unary.x = parse_unary(p);
    parse_leave(p);
    return finish(p, e, t->begin, e->unary.x->height);
}

/* ---- Primary ---- */

/* Decimal only; the value is that of strtod in the C locale, correctly rounded. */
static AstExpr *parse_number(Parser *p)
{
    const Token *t = peek(p);
    AstExpr *e = new_expr(p, AST_EXPR_NUMBER);
    uint32_t size = t->end - t->begin;
    const char *s = e->number.spelling =
        t->name ? t->name : name_intern(p->cx, p->text + t->begin, size);
    errno = 0;
    double value = e->number.value = p->c_locale ? strtod_l(s, NULL, p->c_locale) : strtod(s, NULL);
    bool out_of_range = errno == ERANGE && (isinf(value) || value == 0);
    e->number.is_integer = !strpbrk(s, ".eE");
    for (const char *c = s; e->number.is_integer && *c; c++)
        if (__builtin_mul_overflow(e->number.integer, 10, &e->number.integer) ||
            __builtin_add_overflow(e->number.integer, *c - '0', &e->number.integer))
            out_of_range = true, e->number.is_integer = false;
    if (out_of_range) {
        uint32_t d = parse_complain(p, DIAG_E0105, parse_token_loc(p, t), "this number is too %s",
                                    value == 0 ? "small" : "large");
        parse_help(p, d,
                   "integers go to 9223372036854775807, others from 5e-324 to 1.79e308; infinity "
                   "is `inf`");
    }
    parse_advance(p);
    return finish(p, e, t->begin, 0);
}

/* Where an expression should begin and something else stands. */
static AstExpr *fail_primary(Parser *p)
{
    AstExpr *e = error_expr(p);
    AstBinaryOp op;
    bool first = p->at == 0 || p->tokens[p->at - 1].kind == TOK_END ||
                 p->tokens[p->at - 1].kind == TOK_LBRACE;
    if (!p->panic && first && (at(p, TOK_CARET) || at(p, TOK_DOT) || next_operator(p, &op))) {
        uint32_t d =
            parse_fail(p, DIAG_E0216, e->loc, "a statement cannot begin with %s", parse_found(p));
        parse_help(p, d,
                   at(p, TOK_FLOORDIV)
                       ? "a comment begins with `#`"
                       : "an expression goes on when its line ends with the operator");
        return e;
    }
    const Token *before = p->at ? &p->tokens[p->at - 1] : NULL;
    uint32_t d = parse_expected(p, "an expression");
    if (at(p, TOK_PLUS))
        parse_help(p, d, "there is no unary `+`");
    else if (before && before->kind == TOK_COMMA && (at(p, TOK_RPAREN) || at(p, TOK_RBRACKET)))
        parse_help(p, d, "no comma after the last one");
    else if (at_word(p, KW_not))
        parse_help(p, d, "put parentheses around `not ..`");
    else if (at(p, TOK_LBRACE))
        parse_help(p, d, "lists stand in [ ]; { } are blocks");
    return e;
}

static AstExpr *parse_list(Parser *p, TokenKind close)
{
    const Token *open = peek(p);
    LocId open_loc = parse_token_loc(p, open);
    uint32_t before = p->tallest;
    p->tallest = 0;
    AstExpr *e = new_expr(p, close == TOK_RPAREN ? AST_EXPR_TUPLE : AST_EXPR_LIST);
    parse_advance(p);
    if (close == TOK_RPAREN || !at(p, close))
        parse_exprs(p, &e->list.at, &e->list.n);
    parse_close(p, close, open_loc, "`,`");
    if (close == TOK_RPAREN && e->list.n == 1) {
        uint32_t inner = p->tallest;
        e = e->list.at[0];
        e->parens = e->kind != AST_EXPR_TUPLE;
        e->loc = parse_since(p, open->begin);
        p->tallest = inner > before ? inner : before;
        return e;
    }
    finish(p, e, open->begin, p->tallest);
    if (p->tallest < before)
        p->tallest = before;
    return e;
}

static AstExpr *parse_name_expr(Parser *p)
{
    static const char *const foreign[][2] = {
        { "True", "write `true`" },
        { "False", "write `false`" },
        { "None", "there is no empty value: leave the argument out" },
        { "lambda",
          "a function is a statement, `fn f(x: f32) -> f32 { .. }`, and is then passed by name" },
    };
    const Token *t = peek(p);
    AstExpr *e = new_expr(p, AST_EXPR_NAME);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (!strcmp(t->name, foreign[i][0])) {
            uint32_t d = i == 3 ? parse_fail(p, DIAG_E0207, parse_token_loc(p, t),
                                             "there is no `%s`", t->name)
                                : parse_complain(p, DIAG_E0207, parse_token_loc(p, t),
                                                 "there is no `%s`", t->name);
            parse_help(p, d, foreign[i][1]);
        }
    }
    e->name = parse_name(p, "a name");
    return finish(p, e, t->begin, 0);
}

/* if cond { a } else { b }; `elif` is read as `else if`. */
static AstExpr *parse_if(Parser *p)
{
    const Token *t = peek(p);
    uint32_t before = p->tallest;
    p->tallest = 0;
    AstExpr *e = new_expr(p, AST_EXPR_IF);
    parse_advance(p);
    e->branch.cond = parse_expr(p);
    if (!p->panic && at(p, TOK_ASSIGN)) {
        uint32_t d =
            parse_complain(p, DIAG_E0209, parse_token_loc(p, peek(p)), "`=` in a condition");
        parse_help(p, d, "`==` compares");
        parse_advance(p);
        parse_expr(p);
    }
    e->branch.then = parse_block(p, "the `if`");
    bool elif = at(p, TOK_ID) && !p->panic &&
                (!strcmp(peek(p)->name, "elif") || !strcmp(peek(p)->name, "elsif"));
    if (elif)
        parse_help(p,
                   parse_complain(p, DIAG_E0207, parse_token_loc(p, peek(p)), "there is no `%s`",
                                  peek(p)->name),
                   "write `else if`");
    if (elif || parse_accept_word(p, KW_else)) {
        if (at(p, TOK_LBRACE)) {
            e->branch.otherwise = parse_block(p, "the `else`");
        } else if (parse_enter(p)) {
            e->branch.otherwise_expr = elif ? parse_if(p) : parse_primary(p);
            parse_leave(p);
        }
    }
    finish(p, e, t->begin, p->tallest);
    if (p->tallest < before)
        p->tallest = before;
    return e;
}

void parse_inits(Parser *p, AstInit **out_inits, uint32_t *out_n)
{
    VEC(AstInit) inits = { 0 };
    while (parse_accept(p, TOK_COMMA)) {
        const Token *t = peek(p);
        AstInit init = { .name = parse_name(p, "the name of a carried value") };
        parse_expect(p, TOK_ASSIGN, "`=` and the first value");
        init.value = parse_expr(p);
        init.loc = parse_since(p, t->begin);
        vec_push(p->a, &inits, init);
    }
    *out_inits = inits.at;
    *out_n = inits.n;
}

/* scan v, w over x, y along T, h = h0 { ... } */
static AstExpr *parse_scan(Parser *p)
{
    const Token *t = peek(p);
    uint32_t before = p->tallest;
    p->tallest = 0;
    AstExpr *e = new_expr(p, AST_EXPR_SCAN);
    VEC(AstName) names = { 0 };
    parse_advance(p);
    do
        vec_push(p->a, &names, parse_name(p, "the name of an element"));
    while (parse_accept(p, TOK_COMMA));
    parse_expect_word(p, KW_over);
    e->scan.names = names.at;
    e->scan.n_names = names.n;
    parse_exprs(p, &e->scan.over, &e->scan.n_over);
    LocId head = parse_since(p, t->begin);
    parse_expect_word(p, KW_along);
    e->scan.along = parse_sum(p);
    parse_inits(p, &e->scan.inits, &e->scan.n_inits);
    if (e->scan.n_names != e->scan.n_over)
        parse_complain(p, DIAG_E0215, head, "`scan` has %u name%s over %u value%s", e->scan.n_names,
                       e->scan.n_names == 1 ? "" : "s", e->scan.n_over,
                       e->scan.n_over == 1 ? "" : "s");
    e->scan.body = parse_block(p, "the `scan`");
    finish(p, e, t->begin, p->tallest);
    if (p->tallest < before)
        p->tallest = before;
    return e;
}

bool parse_starts_expr(const Parser *p)
{
    return at(p, TOK_NUM) || at(p, TOK_STR) || at(p, TOK_LPAREN) || at(p, TOK_LBRACKET) ||
           at(p, TOK_MINUS) ||
           (at(p, TOK_ID) && !at_word(p, KW_and) && !at_word(p, KW_or) && !at_word(p, KW_else) &&
            !at_word(p, KW_limit) && !at_word(p, KW_along) && !at_word(p, KW_on));
}

static bool at_scan(const Parser *p)
{
    const Token *second = peek_second(p);
    return at_word(p, KW_scan) && second->kind == TOK_ID && !token_is(p, second, KW_and) &&
           !token_is(p, second, KW_or) && !token_is(p, second, KW_along) &&
           !token_is(p, second, KW_limit) && !token_is(p, second, KW_on);
}

static AstExpr *parse_primary(Parser *p)
{
    const Token *t = peek(p);
    if (p->panic)
        return error_expr(p);
    if (at(p, TOK_NUM))
        return parse_number(p);
    if (at(p, TOK_STR)) {
        AstExpr *e = new_expr(p, AST_EXPR_STRING);
        e->string = parse_string(p, "a string");
        return finish(p, e, t->begin, 0);
    }
    if (at(p, TOK_LPAREN))
        return parse_list(p, TOK_RPAREN);
    if (at(p, TOK_LBRACKET))
        return parse_list(p, TOK_RBRACKET);
    if (at_word(p, KW_if))
        return parse_if(p);
    if (at_scan(p))
        return parse_scan(p);
    if (at(p, TOK_ID) && !at_word(p, KW_and) && !at_word(p, KW_or) && !at_word(p, KW_not) &&
        !at_word(p, KW_else))
        return parse_name_expr(p);
    return fail_primary(p);
}

/* ---- Whole expressions ---- */

AstExpr *parse_sum(Parser *p)
{
    return parse_level(p, LEVEL_SUM);
}

static void check_pipe(Parser *p, const AstExpr *right, LocId pipe)
{
    bool fits = right->kind == AST_EXPR_NAME || right->kind == AST_EXPR_FIELD ||
                right->kind == AST_EXPR_INDEX || right->kind == AST_EXPR_CALL ||
                right->kind == AST_EXPR_ERROR;
    if (fits)
        return;
    uint32_t d = parse_complain(p, DIAG_E0211, right->loc,
                                "the right side of `|>` must be a function, layer or call");
    diag_add(p->cx, d, DIAG_LABEL, pipe, "gives its left side to what follows");
    parse_help(p, d, "`x |> f(a)` is `f(x, a)`");
}

AstExpr *parse_expr(Parser *p)
{
    if (p->panic || !parse_enter(p))
        return error_expr(p);
    AstExpr *left = parse_level(p, LEVEL_OR);
    while (!p->panic && at(p, TOK_PIPE)) {
        AstExpr *e = new_expr(p, AST_EXPR_PIPE);
        e->pipe.op_loc = parse_token_loc(p, peek(p));
        parse_advance(p);
        e->pipe.left = left;
        AstExpr *right = e->pipe.right = parse_postfix(p);
        check_pipe(p, right, e->pipe.op_loc);
        left = finish(p, e, begin_of(p, left),
                      left->height > right->height ? left->height : right->height);
    }
    parse_leave(p);
    return left;
}

void parse_exprs(Parser *p, AstExpr ***out_at, uint32_t *out_n)
{
    VEC(AstExpr *) exprs = { 0 };
    do
        vec_push(p->a, &exprs, parse_expr(p));
    while (parse_accept(p, TOK_COMMA));
    *out_at = exprs.at;
    *out_n = exprs.n;
}
