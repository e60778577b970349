/* parse.c: the parser's ground: tokens, errors, recovery, and syntax_parse itself. The grammar is
 * in parse_expr.c, parse_stmt.c, parse_type.c and parse_item.c, one function per rule, in the
 * order of the language page.
 *
 * Recovery aims at one error per mistake: after the first, the rest of the statement is skipped,
 * with brackets counted. A missing brace is found by what cannot stand inside one (a `model` in a
 * function), and indentation is asked only then, to say which brace it probably is. */
#include "frontend/parse.h"

#include "frontend/name.h"

#include <stdlib.h>
#include <string.h>

/* ---- Tokens ---- */

void parse_advance(Parser *p)
{
    if (at(p, TOK_EOF))
        return;
    p->prev_end = peek(p)->end;
    p->at++;
}

bool parse_accept(Parser *p, TokenKind kind)
{
    if (p->panic || !at(p, kind))
        return false;
    parse_advance(p);
    return true;
}

bool parse_accept_word(Parser *p, Keyword word)
{
    if (p->panic || !at_word(p, word))
        return false;
    parse_advance(p);
    return true;
}

bool parse_expect(Parser *p, TokenKind kind, const char *what)
{
    if (parse_accept(p, kind))
        return true;
    parse_expected(p, what);
    return false;
}

bool parse_expect_word(Parser *p, Keyword word)
{
    if (parse_accept_word(p, word))
        return true;
    parse_expected(p, arena_printf(p->a, "`%s`", p->words[word]));
    return false;
}

AstName parse_name(Parser *p, const char *what)
{
    const Token *t = peek(p);
    if (!parse_expect(p, TOK_ID, what))
        return (AstName){ NULL, parse_token_loc(p, t) };
    return (AstName){ t->name, parse_token_loc(p, t) };
}

bool parse_close(Parser *p, TokenKind kind, LocId open, const char *what)
{
    static const char *const names[] = {
#define X(name, text) text,
        TOKENS(X)
#undef X
    };
    if (parse_accept(p, kind))
        return true;
    if (p->panic)
        return false;
    const Loc *o = loc_get(p->cx, open);
    LocId bracket = parse_span(p, o->begin, o->begin + 1);
    uint32_t d;
    p->skip_line = at(p, TOK_END);
    if (at(p, TOK_END) || at(p, TOK_EOF) || at(p, TOK_RBRACE) || at(p, TOK_RPAREN) ||
        at(p, TOK_RBRACKET)) {
        LocId here = parse_token_loc(p, peek(p));
        d = parse_fail(p, DIAG_E0202, bracket, "this `%c` is not closed", p->text[o->begin]);
        diag_add(p->cx, d, DIAG_LABEL, here, "%s expected here", names[kind]);
    } else {
        d = parse_expected(p,
                           what ? arena_printf(p->a, "%s or %s", what, names[kind]) : names[kind]);
        diag_add(p->cx, d, DIAG_LABEL, bracket, "opened here");
        if (at(p, TOK_ASSIGN))
            parse_help(p, d, "`==` compares");
        parse_help_behind(p, d);
    }
    return false;
}

/* ---- Locations and errors ---- */

LocId parse_span(Parser *p, uint32_t begin, uint32_t end)
{
    return loc_make(p->cx, (Loc){ .file = p->source, .begin = begin, .end = end });
}

LocId parse_since(Parser *p, uint32_t begin)
{
    return parse_span(p, begin, p->prev_end > begin ? p->prev_end : begin);
}

/* A newline or the end of the file is shown just after the last word, not after the comment that
 * may follow it. */
LocId parse_token_loc(Parser *p, const Token *t)
{
    bool layout = t->kind == TOK_EOF || (t->kind == TOK_END && p->text[t->begin] != ';');
    if (layout && t == peek(p))
        return parse_span(p, p->prev_end, p->prev_end);
    return parse_span(p, t->begin, t->end);
}

const char *parse_found(Parser *p)
{
    const Token *t = peek(p);
    if (t->kind == TOK_EOF)
        return "the end of the file";
    if (t->kind == TOK_END)
        return p->text[t->begin] == ';' ? "`;`" : "the end of the line";
    if (t->kind == TOK_STR)
        return "a string";
    uint32_t n = t->end - t->begin;
    return arena_printf(p->a, n > 40 ? "`%.*s..`" : "`%.*s`", n > 40 ? 40 : (int)n,
                        p->text + t->begin);
}

static uint32_t report(Parser *p, DiagCode code, LocId loc, const char *format, va_list args)
{
    if (p->panic || ++p->errors > PARSE_MAX_ERRORS)
        return UINT32_MAX;
    return diag_report(p->cx, code, loc, "%s", arena_vprintf(p->a, format, args));
}

uint32_t parse_fail(Parser *p, DiagCode code, LocId loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    uint32_t d = report(p, code, loc, format, args);
    va_end(args);
    p->panic = true;
    if (p->errors > PARSE_MAX_ERRORS)
        p->at = p->n - 1;
    return d;
}

uint32_t parse_complain(Parser *p, DiagCode code, LocId loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    uint32_t d = report(p, code, loc, format, args);
    va_end(args);
    return d;
}

uint32_t parse_expected(Parser *p, const char *what)
{
    p->panic |= parse_at_bad(p);
    return parse_fail(p, DIAG_E0201, parse_token_loc(p, peek(p)), "expected %s, found %s", what,
                      parse_found(p));
}

void parse_help(Parser *p, uint32_t diag, const char *text)
{
    diag_add(p->cx, diag, DIAG_HELP, 0, "%s", text);
}

bool parse_enter(Parser *p)
{
    if (p->depth < SYNTAX_MAX_DEPTH) {
        p->depth++;
        return true;
    }
    parse_fail(p, DIAG_E0206, parse_token_loc(p, peek(p)), "nested too deeply: more than %d levels",
               SYNTAX_MAX_DEPTH);
    return false;
}

void parse_leave(Parser *p)
{
    p->depth--;
}

/* ---- Strings ---- */

AstString parse_string(Parser *p, const char *what)
{
    const Token *t = peek(p);
    AstString s = { .loc = parse_token_loc(p, t) };
    if (!parse_expect(p, TOK_STR, what))
        return s;
    char *out = arena_alloc(p->a, t->end - t->begin + 1);
    bool closed = t->end - t->begin > 1 && p->text[t->end - 1] == p->text[t->begin];
    for (uint32_t i = t->begin + 1; i < t->end - closed;) {
        char bytes[4];
        uint32_t size, n = p->text[i] == '\\' ? lex_escape(p->text + i, bytes, &size) : 0;
        if (n)
            memcpy(out + s.size, bytes, size);
        else
            n = size = 1, out[s.size] = p->text[i];
        s.size += size;
        i += n;
    }
    s.text = out;
    return s;
}

LocId ast_string_loc(Compiler *cx, const AstString *s, uint32_t begin, uint32_t end)
{
    const Loc loc = *loc_get(cx, s->loc);
    const char *text = cx->sources.at[loc.file].text;
    uint32_t from = loc.end - 1, to = loc.end, decoded = 0;
    for (uint32_t i = loc.begin + 1; i + 1 < loc.end;) {
        char bytes[4];
        uint32_t size, n = text[i] == '\\' ? lex_escape(text + i, bytes, &size) : 0;
        if (!n)
            n = size = 1;
        if (begin >= decoded && begin < decoded + size)
            from = i;
        if (end > decoded && end <= decoded + size)
            to = i + n;
        decoded += size;
        i += n;
    }
    Loc part = loc;
    part.begin = from;
    part.end = to > from ? to : from + 1;
    return loc_make(cx, part);
}

/* ---- Recovery ---- */

static void find_lines(Parser *p, size_t size)
{
    vec_push(p->a, &p->lines, 0);
    for (uint32_t i = 0; i < size; i++)
        if (p->text[i] == '\n')
            vec_push(p->a, &p->lines, i + 1);
}

static uint32_t line_start(const Parser *p, uint32_t pos)
{
    uint32_t low = 0, high = p->lines.n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (p->lines.at[middle] <= pos)
            low = middle;
        else
            high = middle;
    }
    return p->lines.at[low];
}

static uint32_t indent_of(const Parser *p, uint32_t pos)
{
    uint32_t begin = line_start(p, pos), n = 0;
    while (n < 1000 && (p->text[begin + n] == ' ' || p->text[begin + n] == '\t'))
        n++;
    return n;
}

static bool begins_line(const Parser *p, uint32_t pos)
{
    return line_start(p, pos) + indent_of(p, pos) == pos;
}

static bool follows_end(const Parser *p)
{
    return p->at == 0 || (p->lost && begins_line(p, peek(p)->begin)) ||
           p->tokens[p->at - 1].kind == TOK_END ||
           p->tokens[p->at - 1].kind == TOK_RBRACE || p->tokens[p->at - 1].kind == TOK_LBRACE;
}

bool parse_at_item(const Parser *p)
{
    const Token *t = peek(p), *second = peek_second(p);
    if (t->kind != TOK_ID || !follows_end(p))
        return false;
    bool named = token_is(p, t, KW_model) || token_is(p, t, KW_optimizer) ||
                 token_is(p, t, KW_data) || token_is(p, t, KW_train) || token_is(p, t, KW_layer);
    if (named && second->kind == TOK_ID && p->at + 2 < p->n) {
        TokenKind third = p->tokens[p->at + 2].kind;
        return !token_is(p, t, KW_layer) || third == TOK_LBRACE || third == TOK_LPAREN ||
               third == TOK_LBRACKET;
    }
    return (token_is(p, t, KW_extern) && token_is(p, second, KW_fn)) ||
           (token_is(p, t, KW_import) && second->kind == TOK_STR);
}

bool parse_at_member(const Parser *p)
{
    const Token *t = peek(p), *second = peek_second(p);
    if (t->kind != TOK_ID || second->kind != TOK_ID || !follows_end(p))
        return false;
    return token_is(p, t, KW_param) || token_is(p, t, KW_state) || token_is(p, t, KW_layer) ||
           token_is(p, t, KW_layers) || (token_is(p, t, KW_export) && token_is(p, second, KW_fn));
}

/* In a bracket that was never closed newlines are no tokens. A line that begins with a name no
 * further to the right than the broken statement is then taken for the next statement. */
static bool at_lost_line(const Parser *p, uint32_t begin)
{
    const Token *t = peek(p);
    return p->at > begin && t->kind == TOK_ID && !at_word(p, KW_else) && begins_line(p, t->begin) &&
           indent_of(p, t->begin) <= indent_of(p, p->tokens[begin].begin);
}

/* To the end of the statement: past its TOK_END, or before the `}` of what it stands in. */
static void skip_statement(Parser *p, uint32_t begin)
{
    if (p->unclosed == p->at + 1)
        return;
    for (uint32_t depth = 0; !at(p, TOK_EOF); parse_advance(p)) {
        bool semicolon = at(p, TOK_END) && p->text[peek(p)->begin] == ';';
        if (at(p, TOK_LBRACE)) {
            depth++;
        } else if (at(p, TOK_RBRACE)) {
            if (!depth)
                return;
            depth--;
        } else if (at(p, TOK_END) && !depth && !(semicolon && p->skip_line)) {
            parse_advance(p);
            return;
        } else if (depth && parse_at_item(p)) {
            return;
        } else if (!depth && at_lost_line(p, begin)) {
            p->lost = true;
            return;
        }
    }
}

bool parse_help_behind(Parser *p, uint32_t d)
{
    const Token *t = peek(p);
    if (at_word(p, KW_if))
        parse_help(p, d,
                   "a choice is written `if c { a } else { b }`; per element, `select(c, a, b)`");
    else if (t->kind == TOK_ID && !strcmp(t->name, "for"))
        parse_help(
            p, d,
            "there are no comprehensions: `scan`, or an operation on whole tensors, does this");
    else
        return false;
    return true;
}

/* What a person may have meant who wrote more on the line than belongs there. */
static void help_end(Parser *p, uint32_t d)
{
    const Token *t = peek(p);
    for (uint32_t i = p->at; i-- > 0 && p->tokens[i].kind != TOK_END;) {
        if (p->tokens[i].kind == TOK_FLOORDIV &&
            !memchr(p->text + p->tokens[i].end, '\n', t->begin - p->tokens[i].end)) {
            parse_help(p, d, "a comment begins with `#`; `//` is division rounded down");
            return;
        }
    }
    if (parse_help_behind(p, d))
        return;
    if (t->kind == TOK_ASSIGN)
        parse_help(p, d, "`=` stands once in a statement; `==` compares");
    else if (t->kind == TOK_COLON)
        parse_help(p, d, "blocks stand in { }, without `:`");
    else if (t->kind == TOK_LBRACE && begins_line(p, t->begin))
        parse_help(p, d, "a `{` stands on the line of what it belongs to");
    else if (t->kind == TOK_ID && p->at && p->tokens[p->at - 1].kind == TOK_ID &&
             peek_second(p)->kind == TOK_ASSIGN)
        parse_help(p, d,
                   arena_printf(p->a, "a type follows its name: `%s: %s = ..`", t->name,
                                p->tokens[p->at - 1].name));
    else if (parse_starts_expr(p))
        parse_help(p, d, "statements are parted by a new line or `;`, arguments stand in ( )");
}

void parse_end(Parser *p, uint32_t begin, const char *what)
{
    p->lost &= p->text[peek(p)->begin] != '\n';
    bool ended = at(p, TOK_END) || at(p, TOK_RBRACE) || at(p, TOK_EOF) ||
                 (p->lost && begins_line(p, peek(p)->begin));
    if (!p->panic && !ended) {
        uint32_t d;
        if (at(p, TOK_RPAREN) || at(p, TOK_RBRACKET))
            d = parse_fail(p, DIAG_E0202, parse_token_loc(p, peek(p)), "this %s closes nothing",
                           parse_found(p));
        else if (parse_at_bad(p))
            p->panic = true, d = UINT32_MAX;
        else
            d = parse_fail(p, DIAG_E0212, parse_token_loc(p, peek(p)),
                           "expected the end of the %s, found %s", what, parse_found(p));
        if (d != UINT32_MAX)
            help_end(p, d);
    }
    if (p->panic)
        skip_statement(p, begin);
    else
        parse_accept(p, TOK_END);
    p->panic = p->skip_line = false;
    if (p->at == begin && !at(p, TOK_RBRACE))
        parse_advance(p);
}

void parse_resume_at_block(Parser *p)
{
    if (!p->panic)
        return;
    uint32_t i = p->at;
    while (p->tokens[i].kind != TOK_LBRACE && p->tokens[i].kind != TOK_RBRACE &&
           p->tokens[i].kind != TOK_END && p->tokens[i].kind != TOK_EOF)
        i++;
    if (p->tokens[i].kind == TOK_LBRACE) {
        while (p->at < i)
            parse_advance(p);
        p->panic = false;
    }
}

bool parse_open_block(Parser *p, const char *what, LocId *out_open)
{
    parse_resume_at_block(p);
    const Token *t = peek(p);
    if (!p->panic && t->kind == TOK_END && peek_second(p)->kind == TOK_LBRACE &&
        p->text[t->begin] != ';') {
        const Token *brace = peek_second(p);
        uint32_t d = parse_complain(p, DIAG_E0217, parse_token_loc(p, brace),
                                    "the `{` of %s stands on the next line", what);
        parse_help(p, d, "a newline ends the statement: put the `{` at the end of the line before");
        parse_advance(p);
        t = brace;
    }
    *out_open = parse_token_loc(p, t);
    if (parse_accept(p, TOK_LBRACE))
        return true;
    uint32_t d = parse_expected(p, arena_printf(p->a, "the `{` of %s", what));
    if (at(p, TOK_COLON))
        parse_help(p, d, "blocks stand in { }, without `:`");
    else if (at(p, TOK_ASSIGN))
        parse_help(p, d, "`=` gives a value; `==` compares");
    else if (at(p, TOK_END) && token_is(p, peek_second(p), KW_where))
        parse_help(p, d, "`where` stands on the line of the result");
    else if (at_word(p, KW_if))
        parse_help(p, d, "around declarations write `else { if .. { } }`");
    return false;
}

/* Leaves panic mode on: everything up to the enclosing statement only follows from this. */
static void report_unclosed(Parser *p, LocId open)
{
    bool again = p->unclosed == p->at + 1;
    p->panic = again;
    p->unclosed = p->at + 1;
    LocId here = parse_token_loc(p, peek(p));
    uint32_t d = parse_complain(p, DIAG_E0202, open, "this `{` is not closed");
    if (at(p, TOK_EOF))
        diag_add(p->cx, d, DIAG_LABEL, here, "the file ends here");
    else
        diag_add(p->cx, d, DIAG_LABEL, here, "this cannot stand inside it");
    if (p->odd_open) {
        diag_add(p->cx, d, DIAG_LABEL, p->odd_open, "perhaps it is this one: it is closed ..");
        diag_add(p->cx, d, DIAG_LABEL, p->odd_close, ".. by this, at another indent");
    }
    p->panic = true;
}

bool parse_block_ends(Parser *p, LocId open, bool inside_layer)
{
    while (parse_accept(p, TOK_END))
        continue;
    uint32_t open_indent = indent_of(p, loc_get(p->cx, open)->begin), here = peek(p)->begin;
    if (at(p, TOK_RBRACE)) {
        if (!p->odd_open && begins_line(p, here) && indent_of(p, here) != open_indent) {
            p->odd_open = open;
            p->odd_close = parse_token_loc(p, peek(p));
        }
        parse_advance(p);
        return true;
    }
    bool outer = parse_at_item(p) ||
                 (!inside_layer && parse_at_member(p) && indent_of(p, here) <= open_indent);
    if (!at(p, TOK_EOF) && !outer)
        return false;
    report_unclosed(p, open);
    return true;
}

/* ---- The whole ---- */

static int compare_diags(const Compiler *cx, const Diag *a, const Diag *b)
{
    uint32_t x = loc_get(cx, a->loc)->begin, y = loc_get(cx, b->loc)->begin;
    return (x > y) - (x < y);
}

/* Lexical and syntactic errors in the order of the text; insertion, since both runs are sorted and
 * short. */
static void sort_diags(Compiler *cx, uint32_t first)
{
    for (uint32_t i = first + 1; i < cx->diags.n; i++) {
        Diag d = cx->diags.at[i];
        uint32_t k = i;
        for (; k > first && compare_diags(cx, &cx->diags.at[k - 1], &d) > 0; k--)
            cx->diags.at[k] = cx->diags.at[k - 1];
        cx->diags.at[k] = d;
    }
}

bool syntax_parse(Compiler *cx, uint32_t source, AstFile **out_file)
{
    static const char *const words[] = {
#define X(word) #word,
        KEYWORDS(X)
#undef X
    };
    uint32_t first = cx->diags.n;
    Tokens tokens;
    lex_source(cx, source, &tokens);
    Parser p = { .cx = cx,
                 .a = cx->arena,
                 .text = cx->sources.at[source].text,
                 .source = source,
                 .tokens = tokens.at,
                 .n = tokens.n,
                 .c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0) };
    for (int i = 0; i < KW_COUNT; i++)
        p.words[i] = name_of(cx, words[i]);
    find_lines(&p, p.n > 1 ? cx->sources.at[source].size : 0);
    AstFile *file = *out_file = arena_make(cx->arena, AstFile);
    file->source = source;
    file->comments = tokens.comments;
    file->n_comments = tokens.n_comments;
    parse_items(&p, file);
    if (p.c_locale)
        freelocale(p.c_locale);
    sort_diags(cx, first);
    file->errors = tokens.errors || p.errors;
    return !file->errors;
}
