/* parse_stmt.c: blocks and statements. An assignment is read as a list of expressions first; what
 * stands before `=` is then checked to be assignable, so that no look-ahead over brackets is
 * needed. */
#include "frontend/parse.h"

#include <string.h>

static AstStmt *new_stmt(Parser *p, AstStmtKind kind)
{
    AstStmt *s = arena_make(p->a, AstStmt);
    s->kind = kind;
    return s;
}

/* ---- Assignments and expressions ---- */

/* name, name[..] or name: type; anything else is an error. */
static AstTarget target_of(Parser *p, const AstExpr *e, AstType *type)
{
    AstTarget target = { .type = type, .loc = e->loc };
    if (e->kind == AST_EXPR_NAME && !e->parens) {
        target.name = e->name;
        return target;
    }
    if (e->kind == AST_EXPR_INDEX && !e->parens && e->index.base->kind == AST_EXPR_NAME) {
        target.name = e->index.base->name;
        target.items = e->index.items;
        target.n_items = e->index.n_items;
        return target;
    }
    uint32_t d = parse_complain(p, DIAG_E0210, e->loc, "this cannot be assigned to");
    if (e->kind == AST_EXPR_FIELD)
        parse_help(p, d, "a layer's state is written only in its own functions");
    else if (e->kind == AST_EXPR_INDEX && e->index.base->kind == AST_EXPR_INDEX)
        parse_help(p, d, "write all indices in one bracket: `x[i, j] = ..`");
    else if (e->kind == AST_EXPR_TUPLE)
        parse_help(p, d, "several names stand without parentheses: `a, b = ..`");
    else
        parse_help(p, d,
                   "the left side is a name, `x[..]` of a state or local, or several with commas; "
                   "`==` compares");
    return target;
}

static AstStmt *parse_assign_or_exprs(Parser *p)
{
    VEC(AstExpr *) exprs = { 0 };
    VEC(AstType *) types = { 0 };
    bool typed = false;
    do {
        AstType *type = NULL;
        vec_push(p->a, &exprs, parse_expr(p));
        if (exprs.at[exprs.n - 1]->kind == AST_EXPR_NAME && parse_accept(p, TOK_COLON)) {
            type = parse_type(p);
            typed = true;
        }
        vec_push(p->a, &types, type);
    } while (parse_accept(p, TOK_COMMA));
    if (!p->panic && typed && !at(p, TOK_ASSIGN))
        parse_expected(p, "`=` and a value");
    if (p->panic || !at(p, TOK_ASSIGN)) {
        AstStmt *s = new_stmt(p, AST_STMT_EXPR);
        s->exprs.at = exprs.at;
        s->exprs.n = exprs.n;
        return s;
    }
    AstStmt *s = new_stmt(p, AST_STMT_ASSIGN);
    s->assign.targets = arena_new_array(p->a, AstTarget, exprs.n);
    s->assign.n_targets = exprs.n;
    for (uint32_t i = 0; i < exprs.n; i++) {
        AstTarget *target = &s->assign.targets[i];
        *target = target_of(p, exprs.at[i], types.at[i]);
        if (target->type)
            target->loc = parse_span(p, loc_get(p->cx, exprs.at[i]->loc)->begin,
                                     loc_get(p->cx, target->type->loc)->end);
    }
    parse_advance(p);
    parse_exprs(p, &s->assign.values, &s->assign.n_values);
    return s;
}

/* ---- Loops ---- */

static AstStmt *parse_repeat(Parser *p)
{
    AstStmt *s = new_stmt(p, AST_STMT_REPEAT);
    parse_advance(p);
    s->repeat.name = parse_name(p, "the name of an element");
    parse_expect_word(p, KW_in);
    s->repeat.in = parse_expr(p);
    s->repeat.body = parse_block(p, "the `repeat`");
    return s;
}

static AstStmt *parse_while(Parser *p)
{
    AstStmt *s = new_stmt(p, AST_STMT_WHILE);
    parse_advance(p);
    s->loop.cond = parse_expr(p);
    if (!p->panic && at(p, TOK_ASSIGN)) {
        parse_help(p,
                   parse_complain(p, DIAG_E0209, parse_token_loc(p, peek(p)), "`=` in a condition"),
                   "`==` compares");
        parse_advance(p);
        parse_expr(p);
    }
    if (parse_accept_word(p, KW_limit))
        s->loop.limit = parse_expr(p);
    parse_inits(p, &s->loop.inits, &s->loop.n_inits);
    s->loop.body = parse_block(p, "the `while`");
    return s;
}

/* ---- Habits from other languages ---- */

typedef enum {
    HABIT_SKIP_WORD, /* the rest is a statement of ours */
    HABIT_FN,        /* read as `fn` */
    HABIT_LOOP,      /* `for`: read as `repeat` */
    HABIT_IF,        /* read as `if` */
    HABIT_ALONE,     /* stands alone */
} HabitKind;

static const struct {
    const char *word;
    HabitKind kind;
    const char *help;
} habits[] = {
    { "return", HABIT_SKIP_WORD,
      "the value of a block is its last expression: leave out `return`" },
    { "let", HABIT_SKIP_WORD, "a name is made by assigning to it: `x = ..`" },
    { "var", HABIT_SKIP_WORD, "a name is made by assigning to it: `x = ..`" },
    { "val", HABIT_SKIP_WORD, "a name is made by assigning to it: `x = ..`" },
    { "auto", HABIT_SKIP_WORD, "a name is made by assigning to it: `x = ..`" },
    { "const", HABIT_SKIP_WORD,
      "`const` stands at the top level or in a layer; here write `x = ..`" },
    { "def", HABIT_FN, "a function is `fn f(x: f32[B]) -> f32[B] { .. }`" },
    { "func", HABIT_FN, "a function is `fn f(x: f32[B]) -> f32[B] { .. }`" },
    { "function", HABIT_FN, "a function is `fn f(x: f32[B]) -> f32[B] { .. }`" },
    { "for", HABIT_LOOP,
      "`repeat b in blocks { .. }` unrolls, `scan v over x along T { .. }` and `while c { .. }` "
      "are loops" },
    { "elif", HABIT_IF, "write `} else if c {`" },
    { "break", HABIT_ALONE, "a loop ends by the condition of its `while`" },
    { "continue", HABIT_ALONE, "use `if` around the rest of the body" },
    { "pass", HABIT_ALONE, "an empty block is `{ }`" },
};

/* Index of the habit at the next token, or -1. A word that is used as a name (`return = 3`,
 * `let.x`) is one. */
static int find_habit(const Parser *p)
{
    const Token *t = peek(p), *second = peek_second(p);
    bool word_follows =
        second->kind == TOK_ID && strcmp(second->name, "and") && strcmp(second->name, "or");
    bool value_follows = word_follows || second->kind == TOK_NUM || second->kind == TOK_LPAREN ||
                         second->kind == TOK_MINUS;
    bool ends = second->kind == TOK_END || second->kind == TOK_RBRACE;
    if (t->kind != TOK_ID)
        return -1;
    for (size_t i = 0; i < sizeof habits / sizeof *habits; i++) {
        if (strcmp(t->name, habits[i].word))
            continue;
        bool is = habits[i].kind == HABIT_ALONE                              ? ends
                  : !strcmp(t->name, "return") || habits[i].kind == HABIT_IF ? value_follows
                  : habits[i].kind == HABIT_LOOP ? word_follows || second->kind == TOK_LPAREN
                                                 : word_follows;
        return is ? (int)i : -1;
    }
    return -1;
}

static AstStmt *parse_stmt(Parser *p);

static AstStmt *parse_habit(Parser *p, int habit)
{
    const Token *t = peek(p);
    parse_help(p, parse_complain(p, DIAG_E0207, parse_token_loc(p, t), "there is no `%s`", t->name),
               habits[habit].help);
    AstStmt *empty = new_stmt(p, AST_STMT_EXPR);
    switch (habits[habit].kind) {
    case HABIT_SKIP_WORD:
        parse_advance(p);
        if (!parse_enter(p))
            return empty;
        empty = parse_stmt(p);
        parse_leave(p);
        return empty;
    case HABIT_FN: {
        p->tokens[p->at].name = p->words[KW_fn];
        AstStmt *s = new_stmt(p, AST_STMT_FN);
        s->fn = parse_fn(p);
        return s;
    }
    case HABIT_LOOP:
        if (peek_second(p)->kind == TOK_ID)
            return parse_repeat(p);
        while (!at(p, TOK_LBRACE) && !at(p, TOK_RBRACE) && !at(p, TOK_EOF) &&
               p->text[peek(p)->begin] != '\n')
            parse_advance(p);
        parse_block(p, "the loop");
        return empty;
    case HABIT_IF:
        return parse_assign_or_exprs(p);
    case HABIT_ALONE:
        parse_advance(p);
        return empty;
    }
    return empty;
}

/* ---- Blocks ---- */

static bool names_itself(const Parser *p)
{
    TokenKind second = peek_second(p)->kind;
    return second == TOK_ASSIGN || second == TOK_COLON || second == TOK_COMMA || second == TOK_DOT;
}

static AstStmt *parse_stmt_inside(Parser *p)
{
    int habit = find_habit(p);
    if (habit >= 0)
        return parse_habit(p, habit);
    const Token *second = peek_second(p);
    if (at_word(p, KW_fn) && (second->kind == TOK_ID || second->kind == TOK_LPAREN)) {
        AstStmt *s = new_stmt(p, AST_STMT_FN);
        s->fn = parse_fn(p);
        return s;
    }
    if (at_word(p, KW_yield) && !names_itself(p)) {
        AstStmt *s = new_stmt(p, AST_STMT_YIELD);
        parse_advance(p);
        parse_exprs(p, &s->exprs.at, &s->exprs.n);
        return s;
    }
    if (at_word(p, KW_repeat) && second->kind == TOK_ID)
        return parse_repeat(p);
    if (at_word(p, KW_while) && !names_itself(p))
        return parse_while(p);
    if (parse_at_member(p)) {
        uint32_t d = parse_complain(p, DIAG_E0219, parse_token_loc(p, peek(p)),
                                    "`%s` in the body of a function", peek(p)->name);
        parse_help(p, d,
                   "parameters, states and layers are declared in the layer or model, beside its "
                   "functions");
        parse_member(p);
        return new_stmt(p, AST_STMT_EXPR);
    }
    return parse_assign_or_exprs(p);
}

static AstStmt *parse_stmt(Parser *p)
{
    const Token *t = peek(p);
    AstStmt *s = parse_stmt_inside(p);
    s->loc = parse_since(p, t->begin);
    return s;
}

AstBlock *parse_block(Parser *p, const char *what)
{
    AstBlock *block = arena_make(p->a, AstBlock);
    VEC(AstStmt *) stmts = { 0 };
    LocId open;
    if (!parse_open_block(p, what, &open) || !parse_enter(p)) {
        block->loc = parse_token_loc(p, peek(p));
        return block;
    }
    while (!parse_block_ends(p, open, false)) {
        uint32_t begin = p->at;
        vec_push(p->a, &stmts, parse_stmt(p));
        parse_end(p, begin, "statement");
    }
    parse_leave(p);
    block->stmts = stmts.at;
    block->n_stmts = stmts.n;
    block->loc = parse_since(p, loc_get(p->cx, open)->begin);
    return block;
}
