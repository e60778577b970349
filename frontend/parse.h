/* parse.h: the parser's state and the parts its files share. Private to frontend/parse*.c.
 *
 * Errors: `fail` reports and sets `panic`; until the next synchronisation point (end of a
 * statement, entry, member or item) further errors are not reported, since they would only follow
 * from the first, and no token is taken. `complain` reports what can be read all the same and goes
 * on. Every loop over statements takes at least one token a turn. */
#ifndef DLCC_FRONTEND_PARSE_H
#define DLCC_FRONTEND_PARSE_H
#include "frontend/lex.h"

#include <locale.h>

#define KEYWORDS(X)                                                                                \
    X(import)                                                                                      \
    X(const) X(fn) X(extern) X(train) X(data) X(layer) X(model) X(optimizer) X(as) X(export)       \
        X(param) X(state) X(layers) X(if) X(else) X(metric) X(update) X(on) X(where) X(yield)      \
            X(repeat) X(in) X(while) X(limit) X(or) X(and) X(not) X(scan) X(over) X(along) X(grad) \
                X(_)

typedef enum {
#define X(word) KW_##word,
    KEYWORDS(X)
#undef X
    KW_COUNT
} Keyword;

enum { PARSE_MAX_ERRORS = 100 };

typedef struct {
    Compiler *cx;
    Arena *a;
    const char *text;
    uint32_t source;
    Token *tokens;
    uint32_t at, n;                   /* tokens.at[at] is the next one; it never passes TOK_EOF */
    uint32_t prev_end;                /* where the last taken token ended */
    const char *words[KW_COUNT];      /* interned */
    bool panic;
    uint32_t errors, depth, tallest;  /* tallest: of the expressions read since it was set to 0 */
    bool lost; /* inside a bracket that was not closed: newlines are not tokens */
    bool skip_line;                   /* skip past `;` as well: it stood in a bracket */
    uint32_t unclosed;                /* token at which an unclosed brace was reported, + 1 */
    LocId odd_open, odd_close; /* the first braces of this item that stand at different indents */
    VEC(uint32_t) lines;              /* where each begins */
    locale_t c_locale;                /* numbers do not depend on the user's locale */
} Parser;

/* ---- Tokens (parse.c) ---- */

static inline const Token *peek(const Parser *p)
{
    return &p->tokens[p->at];
}
/* The token after the next. */
static inline const Token *peek_second(const Parser *p)
{
    return &p->tokens[p->at + 1 < p->n ? p->at + 1 : p->at];
}
static inline bool at(const Parser *p, TokenKind kind)
{
    return peek(p)->kind == kind;
}
static inline bool token_is(const Parser *p, const Token *t, Keyword word)
{
    return t->kind == TOK_ID && t->name == p->words[word];
}
static inline bool at_word(const Parser *p, Keyword word)
{
    return token_is(p, peek(p), word);
}
/* Something the lexer has reported. */
static inline bool parse_at_bad(const Parser *p)
{
    return at(p, TOK_BAD) || ((at(p, TOK_NUM) || at(p, TOK_STR)) && peek(p)->name);
}
void parse_advance(Parser *p);
bool parse_accept(Parser *p, TokenKind kind);
bool parse_accept_word(Parser *p, Keyword word);
/* Takes a token of that kind, or fails: "expected WHAT, found ..". */
bool parse_expect(Parser *p, TokenKind kind, const char *what);
bool parse_expect_word(Parser *p, Keyword word);
AstName parse_name(Parser *p, const char *what);
AstString parse_string(Parser *p, const char *what);
AstString parse_as(Parser *p); /* ["as" STR] */
/* Takes the bracket that closes the one at `open`, or fails and points at it. `what`: what else
 * could stand here, or NULL. */
bool parse_close(Parser *p, TokenKind kind, LocId open, const char *what);

/* ---- Locations and errors (parse.c) ---- */

LocId parse_span(Parser *p, uint32_t begin, uint32_t end);
/* From `begin` to the end of the last taken token. */
LocId parse_since(Parser *p, uint32_t begin);
LocId parse_token_loc(Parser *p, const Token *t);
/* What the next token is, for "found ..". */
const char *parse_found(Parser *p);

/* Both give the diagnostic's index for labels and helps; diag_add ignores what comes after an
 * error kept back. */
uint32_t parse_fail(Parser *p, DiagCode code, LocId loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
uint32_t parse_complain(Parser *p, DiagCode code, LocId loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
uint32_t parse_expected(Parser *p, const char *what);
void parse_help(Parser *p, uint32_t diag, const char *text);
/* Helps with what other languages write behind an expression, if that comes next. */
bool parse_help_behind(Parser *p, uint32_t diag);

/* Ends a statement, entry or member: takes the TOK_END, or stands before `}` or the end of the
 * file; if there is more on the line, fails. Then, after an error, skips to such a place. Always
 * leaves panic mode. `begin`: token where the thing began. */
void parse_end(Parser *p, uint32_t begin, const char *what);
/* After an error in a header: skips to the `{` on the same line, if there is one, and leaves panic
 * mode. */
void parse_resume_at_block(Parser *p);
/* Takes `{`; reports and takes one that stands on the next line. *out_open is its place. */
bool parse_open_block(Parser *p, const char *what, LocId *out_open);
/* True at the end of the block opened at `open`: takes its `}`, or reports that it is not closed.
 * `inside_layer`: declarations of members are at home here. */
bool parse_block_ends(Parser *p, LocId open, bool inside_layer);
/* False, with an error, if nesting is too deep. Each true needs a parse_leave. */
bool parse_enter(Parser *p);
void parse_leave(Parser *p);
/* The next token begins a line and a declaration that can stand only at the top level / only in a
 * layer. */
bool parse_at_item(const Parser *p);
bool parse_at_member(const Parser *p);

/* ---- Grammar ---- */

AstExpr *parse_expr(Parser *p);                                             /* parse_expr.c */
AstExpr *parse_sum(Parser *p);
bool parse_starts_expr(const Parser *p);
void parse_exprs(Parser *p, AstExpr ***out_at, uint32_t *out_n);
void parse_args(Parser *p, AstArg **out_args, uint32_t *out_n);             /* from `(` to `)` */
void parse_inits(Parser *p, AstInit **out_inits, uint32_t *out_n);
AstBlock *parse_block(Parser *p, const char *what);                         /* parse_stmt.c */
AstType *parse_type(Parser *p);                                             /* parse_type.c */
AstParam *parse_params(Parser *p, uint32_t *out_n);                         /* from `(` to `)` */
AstFn *parse_fn(Parser *p);
AstConst parse_const(Parser *p);
AstMember *parse_member(Parser *p); /* parse_item.c; NULL if dropped */
void parse_items(Parser *p, AstFile *file);

#endif
