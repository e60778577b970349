/* lex.c: text to tokens, with comments kept aside.
 *
 * Newlines: the lexer keeps a stack of open brackets, so that a newline ends a statement only
 * where it should; the parser then never looks at layout. An unclosed ( or [ would swallow all
 * newlines after it, hence two ways out: `}` closes everything up to its `{`, and a line that
 * begins like a declaration ("fn f", "model M") closes all open ( and [. Two names side by side
 * occur in no expression, so no valid program is read otherwise.
 *
 * Habits from other languages (`&&`, `'text'`, a comment between slash and star) are reported and
 * read as what was meant, so that they bring no further errors. */
#include "frontend/lex.h"

#include "frontend/name.h"

#include <string.h>

enum { LEX_MAX_ERRORS = 100, LEX_MAX_NAME = 128 };

typedef struct {
    Compiler *cx;
    const char *text;
    uint32_t size, pos, source;
    VEC(Token) tokens;
    VEC(AstComment) comments;
    VEC(char) brackets; /* the open ones: ( [ { */
    uint32_t joined;    /* newlines before this byte were found to end nothing */
    uint32_t errors;
} Lexer;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_char(char c)
{
    return is_name_start(c) || is_digit(c);
}

static LocId span(Lexer *lx, uint32_t begin, uint32_t end)
{
    return loc_make(lx->cx, (Loc){ .file = lx->source, .begin = begin, .end = end });
}

/* Reports an error and gives its index for a help, or UINT32_MAX beyond the limit. */
#define lex_error(lx, code, begin, end, ...)                                                       \
    ((lx)->errors++ < LEX_MAX_ERRORS                                                               \
         ? diag_report((lx)->cx, code, span(lx, begin, end), __VA_ARGS__)                          \
         : UINT32_MAX)

static void lex_help(Lexer *lx, uint32_t diag, const char *text)
{
    diag_add(lx->cx, diag, DIAG_HELP, 0, "%s", text);
}

static void push(Lexer *lx, TokenKind kind, uint32_t begin, const char *name)
{
    vec_push(lx->cx->arena, &lx->tokens, (Token){ kind, begin, lx->pos, name });
}

uint32_t lex_utf8_size(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;
    uint32_t need = u[0] < 0x80 ? 1 : u[0] >= 0xC2 && u[0] < 0xE0 ? 2 : (u[0] & 0xF0) == 0xE0 ? 3
                  : u[0] >= 0xF0 && u[0] < 0xF5 ? 4 : 0;
    if (!need || need > n)
        return 0;
    for (uint32_t i = 1; i < need; i++)
        if ((u[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xF0 && u[1] < 0x90);
    bool surrogate = u[0] == 0xED && u[1] >= 0xA0, beyond = u[0] == 0xF4 && u[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : need;
}

/* ---- Text that is not ours ---- */

static bool check_text(Lexer *lx, size_t size)
{
    if (size > SYNTAX_MAX_BYTES) {
        lex_error(lx, DIAG_E0109, 0, 0, "the file has %zu bytes; the limit is %d", size,
                  SYNTAX_MAX_BYTES);
        return false;
    }
    for (uint32_t i = 0, n; i < size; i += n) {
        n = lex_utf8_size(lx->text + i, size - i);
        if (!n || !lx->text[i]) {
            uint32_t d =
                lex_error(lx, DIAG_E0108, i, i + 1, "this is not text: byte 0x%02x at offset %u",
                          (unsigned char)lx->text[i], i);
            lex_help(lx, d, "a .dl file is UTF-8 text");
            return false;
        }
    }
    return true;
}

static const struct {
    const char *bytes, *help;
} lookalikes[] = {
    { "\xC2\xA0", "this is a no-break space: write a plain one" },
    { "\xE2\x80\x9C", "this is a typographic quote: write `\"`" },
    { "\xE2\x80\x9D", "this is a typographic quote: write `\"`" },
    { "\xE2\x80\x93", "this is a dash: write `-`" },
    { "\xE2\x88\x92", "this is a typographic minus: write `-`" },
    { "\xE2\x80\xA6", "this is one character: write three dots, `...`" },
    { "\xC3\x97", "write `*` for a product, `@` for a matrix product" },
    { "\xC2\xB7", "write `*` for a product, `@` for a matrix product" },
    { "\xE2\x89\xA4", "write `<=`" },
    { "\xE2\x89\xA5", "write `>=`" },
    { "\xE2\x89\xA0", "write `!=`" },
    { "\xE2\x86\x92", "write `->`" },
    { "\xC2\xB2", "write `^2`" },
    { "\xCF\x80", "write `pi`" },
    { "\xE2\x88\x9E", "write `inf`" },
    { "\\", "a line goes on by itself inside ( and [, after an operator and before `|>`" },
    { "&", "write `and`" },
    { "|", "write `or`; a pipe is `|>`" },
    { "~", "write `not`" },
    { "?", "write `if c { a } else { b }`, or `select(c, a, b)` per element" },
    { "$", "names are letters, digits and `_`" },
};

static void lex_bad_character(Lexer *lx)
{
    uint32_t begin = lx->pos, n = lex_utf8_size(lx->text + begin, lx->size - begin);
    lx->pos += n;
    unsigned char c = (unsigned char)lx->text[begin];
    const char *what =
        c < 0x20 || c == 0x7F
            ? arena_printf(lx->cx->arena, "control character 0x%02x", c)
            : arena_printf(lx->cx->arena, "character `%.*s`", (int)n, lx->text + begin);
    uint32_t d = lex_error(lx, DIAG_E0101, begin, lx->pos, "%s has no meaning here", what);
    for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++)
        if (strlen(lookalikes[i].bytes) == n && !memcmp(lookalikes[i].bytes, lx->text + begin, n))
            lex_help(lx, d, lookalikes[i].help);
    bool blank = n == 2 && !memcmp(lx->text + begin, "\xC2\xA0", 2);
    if (c == '\\')
        while (lx->pos < lx->size && strchr(" \t\r\n", lx->text[lx->pos]))
            lx->pos++;
    else if (!blank)
        push(lx, TOK_BAD, begin, NULL);
}

/* ---- Names, numbers, strings ---- */

static void lex_name(Lexer *lx)
{
    uint32_t begin = lx->pos;
    while (is_name_char(lx->text[lx->pos]))
        lx->pos++;
    if (lx->pos - begin > LEX_MAX_NAME)
        lex_error(lx, DIAG_E0110, begin, begin + LEX_MAX_NAME,
                  "a name of %u letters; the limit is %d", lx->pos - begin, LEX_MAX_NAME);
    push(lx, TOK_ID, begin, name_intern(lx->cx, lx->text + begin, lx->pos - begin));
}

static void skip_digits(Lexer *lx)
{
    while (is_digit(lx->text[lx->pos]))
        lx->pos++;
}

/* digits [. digits] [e [+-] digits]; also reads ".5", "1.", "1e" and "3x", to report them as one
 * thing. */
static void lex_number(Lexer *lx)
{
    uint32_t begin = lx->pos;
    const char *wrong = NULL;
    if (lx->text[begin] == '.')
        wrong = "write a digit before the point, as in `0.5`";
    skip_digits(lx);
    if (lx->text[lx->pos] == '.' && is_digit(lx->text[lx->pos + 1])) {
        lx->pos++;
        skip_digits(lx);
    } else if (lx->text[lx->pos] == '.' && lx->text[lx->pos + 1] != '.') {
        lx->pos++;
        wrong = "write a digit after the point, as in `1.0`";
    }
    if (lx->text[lx->pos] == 'e' || lx->text[lx->pos] == 'E') {
        lx->pos++;
        if (lx->text[lx->pos] == '+' || lx->text[lx->pos] == '-')
            lx->pos++;
        if (!is_digit(lx->text[lx->pos]))
            wrong = "an exponent needs digits, as in `1e-3`";
        skip_digits(lx);
    }
    if (is_name_char(lx->text[lx->pos])) {
        char c = lx->text[lx->pos];
        bool based = lx->text[begin] == '0' && lx->pos == begin + 1 &&
                     (c == 'x' || c == 'X' || c == 'b' || c == 'o');
        wrong = based ? "numbers are decimal"
              : c == '_' ? "digits are written without `_`"
                         : "a name cannot begin with a digit; a product needs `*`, as in `2*x`";
        while (is_name_char(lx->text[lx->pos]))
            lx->pos++;
    }
    if (wrong) {
        uint32_t d =
            lex_error(lx, DIAG_E0104, begin, lx->pos, "`%.*s` is not a number",
                      lx->pos - begin > 40 ? 40 : (int)(lx->pos - begin), lx->text + begin);
        lex_help(lx, d, wrong);
    }
    push(lx, TOK_NUM, begin, wrong ? name_of(lx->cx, "0") : NULL);
}

static int hex_digit(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static uint32_t utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80)
        return out[0] = (char)c, 1;
    if (c < 0x800)
        return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)),
               out[2] = (char)(0x80 | (c & 63)), 3;
    return out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63)),
           out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63)), 4;
}

uint32_t lex_escape(const char *s, char out_bytes[4], uint32_t *out_size)
{
    static const char plain[] = "n\nt\tr\r\\\\\"\"";
    for (const char *p = plain; *p; p += 2)
        if (s[1] == *p)
            return out_bytes[0] = p[1], *out_size = 1, 2;
    if (s[1] != 'u' || s[2] != '{')
        return 0;
    uint32_t c = 0, i = 3;
    for (; i < 9 && hex_digit(s[i]) >= 0; i++)
        c = c * 16 + (uint32_t)hex_digit(s[i]);
    if (s[i] != '}' || i == 3 || !c || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0;
    *out_size = utf8_encode(c, out_bytes);
    return i + 1;
}

static void lex_string(Lexer *lx, char quote)
{
    uint32_t begin = lx->pos++;
    while (lx->text[lx->pos] != quote && lx->text[lx->pos] != '\n' && lx->pos < lx->size) {
        unsigned char c = (unsigned char)lx->text[lx->pos];
        if (c == '\\') {
            char bytes[4];
            uint32_t size, n = lex_escape(lx->text + lx->pos, bytes, &size);
            if (!n) {
                n = lx->text[lx->pos + 1] && lx->text[lx->pos + 1] != '\n'
                  ? 1 + lex_utf8_size(lx->text + lx->pos + 1, lx->size - lx->pos - 1) : 1;
                if (quote == '"')
                    lex_help(lx,
                             lex_error(lx, DIAG_E0103, lx->pos, lx->pos + n,
                                       "unknown escape in a string"),
                             "the escapes are \\n \\t \\r \\\\ \\\" and \\u{20AC}");
            }
            lx->pos += n;
        } else {
            if (c < 0x20 && c != '\t' && c != '\r')
                lex_error(lx, DIAG_E0101, lx->pos, lx->pos + 1,
                          "control character 0x%02x in a string", c);
            lx->pos++;
        }
    }
    bool closed = lx->text[lx->pos] == quote && lx->pos < lx->size;
    lx->pos += closed;
    if (!closed) {
        while (lx->pos > begin + 1 && strchr("\r \t", lx->text[lx->pos - 1]))
            lx->pos--;
        lex_help(lx, lex_error(lx, DIAG_E0102, begin, lx->pos, "this string is not closed"),
                 "a string ends on its line; a newline inside is `\\n`");
    } else if (quote == '\'') {
        lex_help(lx, lex_error(lx, DIAG_E0106, begin, lx->pos, "strings stand in double quotes"),
                 "write \"text\"");
    }
    push(lx, TOK_STR, begin, closed ? NULL : name_of(lx->cx, "0"));
}

/* ---- Comments, newlines, operators ---- */

static bool begins_line(const Lexer *lx, uint32_t pos)
{
    while (pos > 0 && strchr(" \t\r", lx->text[pos - 1]))
        pos--;
    return pos == 0 || lx->text[pos - 1] == '\n';
}

static void lex_comment(Lexer *lx)
{
    uint32_t begin = lx->pos;
    while (lx->pos < lx->size && lx->text[lx->pos] != '\n')
        lx->pos++;
    uint32_t end = lx->pos;
    while (end > begin && strchr(" \t\r", lx->text[end - 1]))
        end--;
    vec_push(lx->cx->arena, &lx->comments, (AstComment){ begin, end, begins_line(lx, begin) });
}

static void lex_foreign_comment(Lexer *lx)
{
    uint32_t begin = lx->pos;
    const char *end = strstr(lx->text + begin + 2, "*/");
    lx->pos = end ? (uint32_t)(end + 2 - lx->text) : lx->size;
    lex_help(lx, lex_error(lx, DIAG_E0107, begin, begin + 2, "comments are not written so"),
             "a comment begins with `#` and ends with its line");
}

static bool is_word(const Lexer *lx, uint32_t pos, const char *word)
{
    size_t n = strlen(word);
    return lx->size - pos >= n && !memcmp(lx->text + pos, word, n) &&
           !is_name_char(lx->text[pos + n]);
}

/* True if what follows, past blanks, comments and empty lines, continues the statement: `|>` or
 * `else`. The answer holds for all newlines on the way, and is kept, since asking at each would
 * take quadratic time. */
static bool continues(Lexer *lx)
{
    if (lx->pos < lx->joined)
        return true;
    uint32_t pos = lx->pos;
    for (;;) {
        while (pos < lx->size && strchr(" \t\r\n", lx->text[pos]))
            pos++;
        if (lx->text[pos] != '#')
            break;
        while (pos < lx->size && lx->text[pos] != '\n')
            pos++;
    }
    bool yes = (lx->text[pos] == '|' && lx->text[pos + 1] == '>') || is_word(lx, pos, "else");
    if (yes)
        lx->joined = pos;
    return yes;
}

static bool is_operator_word(const char *name)
{
    return !strcmp(name, "and") || !strcmp(name, "or") || !strcmp(name, "not");
}

static void lex_newline(Lexer *lx)
{
    uint32_t begin = lx->pos++;
    char open = lx->brackets.n ? lx->brackets.at[lx->brackets.n - 1] : 0;
    if (open == '(' || open == '[' || !lx->tokens.n)
        return;
    const Token *last = &lx->tokens.at[lx->tokens.n - 1];
    bool goes_on = last->kind == TOK_END || last->kind == TOK_LBRACE ||
                   (last->kind >= TOK_COMMA && last->kind <= TOK_ARROW) ||
                   (last->kind == TOK_ID && is_operator_word(last->name));
    if (goes_on || continues(lx))
        return;
    vec_push(lx->cx->arena, &lx->tokens, (Token){ TOK_END, begin, begin + 1, NULL });
}

/* A line inside ( or [ that begins like a declaration: the bracket was forgotten. */
static void close_brackets_before_declaration(Lexer *lx)
{
    static const char *const heads[] = { "fn",     "layer",  "layers", "model", "optimizer",
                                         "data",   "train",  "const",  "param", "state",
                                         "export", "extern", "import" };
    static const char *const infix[] = { "and",   "or",   "not",   "in", "over",
                                         "along", "else", "limit", "if", "on" };
    char open = lx->brackets.n ? lx->brackets.at[lx->brackets.n - 1] : 0;
    if ((open != '(' && open != '[') || !begins_line(lx, lx->pos))
        return;
    bool head = false;
    uint32_t next = lx->pos;
    for (size_t i = 0; i < sizeof heads / sizeof *heads && !head; i++)
        if ((head = is_word(lx, lx->pos, heads[i])))
            next += (uint32_t)strlen(heads[i]);
    while (lx->text[next] == ' ' || lx->text[next] == '\t')
        next++;
    if (!head || !is_name_start(lx->text[next]))
        return;
    for (size_t i = 0; i < sizeof infix / sizeof *infix; i++)
        if (is_word(lx, next, infix[i]))
            return;
    while (lx->brackets.n && lx->brackets.at[lx->brackets.n - 1] != '{')
        lx->brackets.n--;
    push(lx, TOK_END, lx->pos, NULL);
}

static void track_bracket(Lexer *lx, TokenKind kind)
{
    Arena *a = lx->cx->arena;
    char top = lx->brackets.n ? lx->brackets.at[lx->brackets.n - 1] : 0;
    if (kind == TOK_LPAREN || kind == TOK_LBRACKET || kind == TOK_LBRACE) {
        vec_push(a, &lx->brackets, kind == TOK_LPAREN ? '(' : kind == TOK_LBRACKET ? '[' : '{');
    } else if (kind == TOK_RPAREN || kind == TOK_RBRACKET) {
        if (top == '(' || top == '[')
            lx->brackets.n--;
    } else if (kind == TOK_RBRACE) {
        while (lx->brackets.n && lx->brackets.at[--lx->brackets.n] != '{')
            continue;
    }
}

/* Longest first where one begins another. `means`: the name put in place of a foreign operator. */
static const struct {
    const char *text;
    TokenKind kind;
    const char *means, *help;
} operators[] = {
    { "...", TOK_ELLIPSIS, NULL, NULL },
    { "**", TOK_CARET, NULL, "a power is `^`, as in `x^2`" },
    { "&&", TOK_ID, "and", "write `and`" },
    { "||", TOK_ID, "or", "write `or`" },
    { "|>", TOK_PIPE, NULL, NULL },
    { "->", TOK_ARROW, NULL, NULL },
    { "=>", TOK_ARROW, NULL, "the result follows `->`" },
    { ":=", TOK_ASSIGN, NULL, "write `=`" },
    { "+=", TOK_ASSIGN, NULL, "write `x = x + ..`" },
    { "-=", TOK_ASSIGN, NULL, "write `x = x - ..`" },
    { "*=", TOK_ASSIGN, NULL, "write `x = x * ..`" },
    { "/=", TOK_ASSIGN, NULL, "write `x = x / ..`" },
    { "==", TOK_EQ, NULL, NULL },
    { "!=", TOK_NE, NULL, NULL },
    { "<=", TOK_LE, NULL, NULL },
    { ">=", TOK_GE, NULL, NULL },
    { "//", TOK_FLOORDIV, NULL, NULL },
    { "..", TOK_DOTDOT, NULL, NULL },
    { "!", TOK_ID, "not", "write `not`" },
    { "(", TOK_LPAREN, NULL, NULL },
    { ")", TOK_RPAREN, NULL, NULL },
    { "[", TOK_LBRACKET, NULL, NULL },
    { "]", TOK_RBRACKET, NULL, NULL },
    { "{", TOK_LBRACE, NULL, NULL },
    { "}", TOK_RBRACE, NULL, NULL },
    { ",", TOK_COMMA, NULL, NULL },
    { ":", TOK_COLON, NULL, NULL },
    { "=", TOK_ASSIGN, NULL, NULL },
    { ".", TOK_DOT, NULL, NULL },
    { "+", TOK_PLUS, NULL, NULL },
    { "-", TOK_MINUS, NULL, NULL },
    { "*", TOK_STAR, NULL, NULL },
    { "/", TOK_SLASH, NULL, NULL },
    { "%", TOK_PERCENT, NULL, NULL },
    { "@", TOK_AT, NULL, NULL },
    { "^", TOK_CARET, NULL, NULL },
    { "<", TOK_LT, NULL, NULL },
    { ">", TOK_GT, NULL, NULL },
};

static bool lex_operator(Lexer *lx)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t n = strlen(operators[i].text);
        if (strncmp(lx->text + lx->pos, operators[i].text, n))
            continue;
        uint32_t begin = lx->pos;
        lx->pos += (uint32_t)n;
        if (operators[i].help)
            lex_help(lx,
                     lex_error(lx, DIAG_E0106, begin, lx->pos, "there is no operator `%s`",
                               operators[i].text),
                     operators[i].help);
        track_bracket(lx, operators[i].kind);
        push(lx, operators[i].kind, begin,
             operators[i].means ? name_of(lx->cx, operators[i].means) : NULL);
        return true;
    }
    return false;
}

static void lex_token(Lexer *lx)
{
    const char *s = lx->text + lx->pos;
    if (*s == '\n') {
        lex_newline(lx);
    } else if (*s == ' ' || *s == '\t' || *s == '\r') {
        lx->pos++;
    } else if (*s == '#') {
        lex_comment(lx);
    } else if (*s == ';') {
        uint32_t begin = lx->pos++;
        push(lx, TOK_END, begin, NULL);
    } else if (is_name_start(*s)) {
        close_brackets_before_declaration(lx);
        lex_name(lx);
    } else if (is_digit(*s) || (*s == '.' && is_digit(s[1]))) {
        lex_number(lx);
    } else if (*s == '"' || *s == '\'') {
        lex_string(lx, *s);
    } else if (*s == '/' && s[1] == '*') {
        lex_foreign_comment(lx);
    } else if (!lex_operator(lx)) {
        lex_bad_character(lx);
    }
}

void lex_source(Compiler *cx, uint32_t source, Tokens *out_tokens)
{
    const Source *s = &cx->sources.at[source];
    Lexer lx = { .cx = cx, .text = s->text, .source = source };
    if (check_text(&lx, s->size)) {
        lx.size = (uint32_t)s->size;
        lx.pos = !strncmp(lx.text, "\xEF\xBB\xBF", 3) ? 3 : 0;
        while (lx.pos < lx.size)
            lex_token(&lx);
    }
    push(&lx, TOK_EOF, lx.pos, NULL);
    *out_tokens =
        (Tokens){ lx.tokens.at, lx.tokens.n, lx.comments.at, lx.comments.n, lx.errors > 0 };
}
