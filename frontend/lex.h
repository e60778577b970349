/* lex.h: the tokens of a .dl file. Private to the parser. */
#ifndef DLCC_FRONTEND_LEX_H
#define DLCC_FRONTEND_LEX_H
#include "frontend/syntax.h"

/* kind, text in messages. Operators after which a line goes on stand between TOK_COMMA and
 * TOK_ARROW. */
#define TOKENS(X) \
    X(EOF, "the end of the file") X(END, "the end of the line") X(ID, "a name") X(NUM, "a number") \
    X(STR, "a string") X(BAD, "an unreadable character") \
    X(LPAREN, "`(`") X(RPAREN, "`)`") X(LBRACKET, "`[`") X(RBRACKET, "`]`") X(LBRACE, "`{`") \
    X(RBRACE, "`}`") X(ELLIPSIS, "`...`") \
    X(COMMA, "`,`") X(COLON, "`:`") X(ASSIGN, "`=`") X(DOT, "`.`") X(DOTDOT, "`..`") \
    X(PLUS, "`+`") X(MINUS, "`-`") X(STAR, "`*`") X(SLASH, "`/`") X(FLOORDIV, "`//`") \
    X(PERCENT, "`%`") X(AT, "`@`") X(CARET, "`^`") X(EQ, "`==`") X(NE, "`!=`") X(LT, "`<`") \
    X(LE, "`<=`") X(GT, "`>`") X(GE, "`>=`") X(PIPE, "`|>`") X(ARROW, "`->`")

typedef enum {
#define X(name, text) TOK_##name,
    TOKENS(X)
#undef X
    TOK_COUNT
} TokenKind;

typedef struct {
    TokenKind kind;
    uint32_t begin, end; /* bytes in the source */
    const char *name;    /* ID: interned, keywords too. NUM, STR: NULL, or "0" if malformed */
} Token;

typedef struct {
    Token *at; /* the last one is TOK_EOF */
    uint32_t n;
    AstComment *comments;
    uint32_t n_comments;
    bool errors;
} Tokens;

/* Cuts a source into tokens. TOK_END stands only where a statement ends: at `;`, and at a newline
 * that is not inside ( or [, not after an operator and not before `|>` or `else`. Lexical errors
 * are reported here; what was meant is put in place of a foreign operator (`&&` gives `and`). A
 * source that is not text, or too big, gives only TOK_EOF. */
void lex_source(Compiler *cx, uint32_t source, Tokens *out_tokens);

/* Length of the escape at s, which begins with a backslash, and what it stands for (up to 4 bytes
 * of UTF-8, count in *out_size). 0 if it is not one. s is NUL-terminated. */
uint32_t lex_escape(const char *s, char out_bytes[4], uint32_t *out_size);

/* Length of the well-formed UTF-8 character at s, of at most n > 0 bytes; 0 if it is malformed. */
uint32_t lex_utf8_size(const char *s, size_t n);

#endif
