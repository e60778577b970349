/* diag_print.c: diagnostics as text: message, place, excerpt with carets and labels, notes, helps,
 * the chain of instantiation, and a closing line.
 *
 * An excerpt shows only lines that have a mark. On a line, the last label stands beside its mark
 * and the others below, from right to left, so that no two texts can meet:
 *
 *    9 |   (x |> flatten) @ w
 *      |         ------- ^ - f32[400, 120]
 *      |         f32[B, 256]
 *
 * Widths are those of the terminal: tabs are expanded, wide and combining characters counted as
 * such, and what could steer a terminal is shown as an escape. */
#include "frontend/diag_print.h"

#include <stdlib.h>
#include <string.h>

enum { TAB = 4, LINE_MAX_BYTES = 400, WINDOW_BEFORE = 60, WINDOW_BYTES = 200, CHAIN_MAX = 8 };

typedef enum { STYLE_PLAIN, STYLE_ERROR, STYLE_WARNING, STYLE_GUTTER, STYLE_STRONG } Style;

typedef struct {
    uint32_t begin, end; /* bytes in the source; end is on the line of begin */
    uint32_t line, line_begin;
    bool primary;
    const char *text; /* or NULL */
} Mark;

typedef VEC(Mark) Marks;

typedef struct {
    Compiler *cx;
    FILE *out;
    bool colour;
    Style primary; /* of the diagnostic being printed */
    int gutter;    /* width of line numbers */
} Printer;

/* ---- Text ---- */

static void style(const Printer *pr, Style s)
{
    static const char *const codes[] = { "\033[0m", "\033[1;31m", "\033[1;33m", "\033[1;34m",
                                         "\033[1m" };
    if (pr->colour)
        fputs(codes[s], pr->out);
}

static void styled(const Printer *pr, Style s, const char *text)
{
    style(pr, s);
    fputs(text, pr->out);
    style(pr, STYLE_PLAIN);
}

static bool between(uint32_t c, uint32_t low, uint32_t high)
{
    return c >= low && c <= high;
}

/* Columns a code point takes; -1 for one not printed as it is: controls, direction marks. */
static int width_of(uint32_t c)
{
    if (c < 0x20 || between(c, 0x7F, 0x9F) || between(c, 0x200B, 0x200F) ||
        between(c, 0x2028, 0x202E) || between(c, 0x2060, 0x206F) || c == 0xFEFF ||
        between(c, 0xE0000, 0xE007F))
        return -1;
    if (between(c, 0x300, 0x36F) || between(c, 0x20D0, 0x20FF) || between(c, 0xFE00, 0xFE0F))
        return 0;
    return between(c, 0x1100, 0x115F) || between(c, 0x2E80, 0xA4CF) || between(c, 0xAC00, 0xD7A3) ||
                   between(c, 0xF900, 0xFAFF) || between(c, 0xFE30, 0xFE6F) ||
                   between(c, 0xFF00, 0xFF60) || between(c, 0xFFE0, 0xFFE6) ||
                   between(c, 0x1F300, 0x1FAFF) || between(c, 0x20000, 0x3FFFD)
               ? 2
               : 1;
}

/* The code point at s, of n > 0 bytes; its size, or 0 if it is malformed. */
static uint32_t decode(const char *s, size_t n, uint32_t *out_c)
{
    unsigned char u = (unsigned char)*s;
    uint32_t size = u < 0x80             ? 1
                    : (u & 0xE0) == 0xC0 ? 2
                    : (u & 0xF0) == 0xE0 ? 3
                    : (u & 0xF8) == 0xF0 ? 4
                                         : 0;
    if (!size || size > n)
        return 0;
    uint32_t c = size == 1 ? u : u & (0x7Fu >> size);
    for (uint32_t i = 1; i < size; i++) {
        if (((unsigned char)s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | ((unsigned char)s[i] & 0x3F);
    }
    *out_c = c;
    return size;
}

/* Prints n bytes so that they do no harm, from `column` on; gives the column after. out NULL: only
 * measures. */
static int print_safe(FILE *out, const char *s, size_t n, int column)
{
    for (uint32_t size; n; s += size, n -= size) {
        uint32_t c = 0;
        char text[16];
        size = decode(s, n, &c);
        int width = size ? width_of(c) : -1;
        if (c == '\t' && size) {
            width = TAB - column % TAB;
            snprintf(text, sizeof text, "%*s", width, "");
        } else if (width < 0) {
            width = !size ? snprintf(text, sizeof text, "\\x%02x", (unsigned char)*s)
                  : c < 0x80 ? snprintf(text, sizeof text, "\\x%02x", c)
                             : snprintf(text, sizeof text, "\\u{%X}", c);
            size = size ? size : 1;
        } else {
            snprintf(text, sizeof text, "%.*s", (int)size, s);
        }
        if (out)
            fputs(text, out);
        column += width;
    }
    return column;
}

/* A message; lines after the first are indented by `indent`. */
static void print_message(const Printer *pr, const char *text, int indent)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        print_safe(pr->out, text, (size_t)(end - text), 0);
        fprintf(pr->out, "\n%*s", indent, "");
    }
    print_safe(pr->out, text, strlen(text), 0);
}

/* ---- Excerpts ---- */

static Mark mark_at(const Printer *pr, LocId loc, const char *text, bool primary)
{
    const Loc *l = loc_get(pr->cx, loc);
    const Source *s = &pr->cx->sources.at[l->file];
    Mark m = { .begin = l->begin <= s->size ? l->begin : (uint32_t)s->size,
               .line = 1,
               .primary = primary,
               .text = text };
    for (uint32_t i = 0; i < m.begin; i++)
        if (s->text[i] == '\n')
            m.line++, m.line_begin = i + 1;
    m.end = m.begin;
    while (m.end < l->end && m.end < s->size && s->text[m.end] != '\n')
        m.end++;
    return m;
}

static int compare_marks(const void *a, const void *b)
{
    const Mark *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end != y->end ? (x->end < y->end ? -1 : 1) : (int)y->primary - (int)x->primary;
}

/* The part of a line that is shown: all of it, or a window around its first mark. */
typedef struct {
    uint32_t begin, end;
    bool cut_before, cut_after;
} Window;

static Window window_of(const Source *s, const Mark *first)
{
    Window w = { .begin = first->line_begin, .end = first->line_begin };
    while (w.end < s->size && s->text[w.end] != '\n')
        w.end++;
    if (w.end > w.begin && s->text[w.end - 1] == '\r')
        w.end--;
    if (w.end - w.begin <= LINE_MAX_BYTES)
        return w;
    uint32_t end = w.end;
    if (first->begin - w.begin > WINDOW_BEFORE) {
        w.begin = first->begin - WINDOW_BEFORE;
        w.cut_before = true;
    }
    if (end - w.begin > WINDOW_BYTES) {
        w.end = w.begin + WINDOW_BYTES;
        w.cut_after = true;
    }
    while (w.begin < first->begin && ((unsigned char)s->text[w.begin] & 0xC0) == 0x80)
        w.begin++;
    while (w.end > w.begin && w.cut_after && ((unsigned char)s->text[w.end] & 0xC0) == 0x80)
        w.end--;
    return w;
}

static void print_bar(const Printer *pr)
{
    fprintf(pr->out, "%*s", pr->gutter + 2, "");
    styled(pr, STYLE_GUTTER, "|");
}

/* Columns of a mark on its shown line. */
typedef struct {
    int from, to;
} Span;

static Span span_of(const Source *s, Window w, const Mark *m)
{
    uint32_t begin = m->begin < w.begin ? w.begin : m->begin > w.end ? w.end : m->begin;
    uint32_t end = m->end < begin ? begin : m->end > w.end ? w.end : m->end;
    int start = w.cut_before ? 2 : 0;
    Span span = { print_safe(NULL, s->text + w.begin, begin - w.begin, start), 0 };
    span.to = print_safe(NULL, s->text + begin, end - begin, span.from);
    if (span.to == span.from)
        span.to++;
    return span;
}

/* The line of marks, with the label of the last one. Primary marks are drawn over others. */
static void print_mark_line(const Printer *pr, const Mark *marks, const Span *spans, uint32_t n)
{
    int width = 0;
    for (uint32_t i = 0; i < n; i++)
        if (spans[i].to > width)
            width = spans[i].to;
    char *cells = malloc((size_t)width);
    if (!cells)
        return;
    memset(cells, ' ', (size_t)width);
    for (int primary = 0; primary < 2; primary++)
        for (uint32_t i = 0; i < n; i++)
            if (marks[i].primary == primary)
                memset(cells + spans[i].from, primary ? '^' : '-',
                       (size_t)(spans[i].to - spans[i].from));
    print_bar(pr);
    fputc(' ', pr->out);
    for (int i = 0; i < width; i++) {
        if (i == 0 || cells[i] != cells[i - 1])
            style(pr, cells[i] == '^' ? pr->primary : cells[i] == '-' ? STYLE_GUTTER : STYLE_PLAIN);
        fputc(cells[i], pr->out);
    }
    style(pr, STYLE_PLAIN);
    if (marks[n - 1].text) {
        fputc(' ', pr->out);
        print_message(pr, marks[n - 1].text, 0);
    }
    fputc('\n', pr->out);
    free(cells);
}

/* The labels but the last, each below its mark, with a bar below the marks whose labels are still
 * to come. */
static void print_lower_labels(const Printer *pr, const Mark *marks, const Span *spans, uint32_t n)
{
    for (uint32_t i = n - 1; i-- > 0;) {
        if (!marks[i].text)
            continue;
        print_bar(pr);
        int column = -1;
        for (uint32_t k = 0; k < i; k++)
            if (marks[k].text && spans[k].from > column && spans[k].from < spans[i].from) {
                fprintf(pr->out, "%*s|", spans[k].from - column, "");
                column = spans[k].from + 1;
            }
        fprintf(pr->out, "%*s", spans[i].from - column, "");
        print_message(pr, marks[i].text, 0);
        fputc('\n', pr->out);
    }
}

static void print_line(const Printer *pr, const Source *s, const Mark *marks, uint32_t n)
{
    Window w = window_of(s, &marks[0]);
    style(pr, STYLE_GUTTER);
    fprintf(pr->out, " %*u |", pr->gutter, marks[0].line);
    style(pr, STYLE_PLAIN);
    if (w.end > w.begin) {
        fputs(w.cut_before ? " .." : " ", pr->out);
        print_safe(pr->out, s->text + w.begin, w.end - w.begin, w.cut_before ? 2 : 0);
        fputs(w.cut_after ? ".." : "", pr->out);
    }
    fputc('\n', pr->out);
    Span *spans = arena_new_array(pr->cx->arena, Span, n);
    for (uint32_t i = 0; i < n; i++)
        spans[i] = span_of(s, w, &marks[i]);
    print_mark_line(pr, marks, spans, n);
    print_lower_labels(pr, marks, spans, n);
}

static void print_excerpt(const Printer *pr, uint32_t file, Marks *marks)
{
    const Source *s = &pr->cx->sources.at[file];
    qsort(marks->at, marks->n, sizeof *marks->at, compare_marks);
    print_bar(pr);
    fputc('\n', pr->out);
    for (uint32_t i = 0, n; i < marks->n; i += n) {
        for (n = 1; i + n < marks->n && marks->at[i + n].line == marks->at[i].line; n++)
            continue;
        print_line(pr, s, &marks->at[i], n);
    }
}

/* ---- One diagnostic ---- */

static void add_mark(const Printer *pr, Marks *marks, Mark m)
{
    for (uint32_t i = 0; i < marks->n; i++) {
        Mark *o = &marks->at[i];
        if (o->begin == m.begin && o->end == m.end && (!o->text || !m.text)) {
            o->text = o->text ? o->text : m.text;
            return;
        }
    }
    vec_push(pr->cx->arena, marks, m);
}

/* All marks of the diagnostic in one file, the primary one first. */
static Marks marks_in(const Printer *pr, const Diag *d, uint32_t file)
{
    Marks marks = { 0 };
    if (!pr->cx->sources.at[file].text)
        return marks;
    if (d->loc && loc_get(pr->cx, d->loc)->file == file)
        add_mark(pr, &marks, mark_at(pr, d->loc, NULL, true));
    for (uint32_t i = 0; i < d->parts.n; i++) {
        const DiagPart *part = &d->parts.at[i];
        if (part->kind == DIAG_LABEL && part->loc && loc_get(pr->cx, part->loc)->file == file)
            add_mark(pr, &marks, mark_at(pr, part->loc, part->text, false));
    }
    return marks;
}

static void print_file(Printer *pr, const Diag *d, uint32_t file, LocId loc, bool first)
{
    const Source *s = &pr->cx->sources.at[file];
    const Loc *l = loc_get(pr->cx, loc);
    fprintf(pr->out, "%*s", pr->gutter + 1, "");
    styled(pr, STYLE_GUTTER, first ? "--> " : "::: ");
    const char *place = s->text || !l->owner ? loc_text(pr->cx, loc)
                      : arena_printf(pr->cx->arena, "%s, node %s", s->path, l->owner);
    print_safe(pr->out, place, strlen(place), 0);
    fputc('\n', pr->out);
    Marks marks = marks_in(pr, d, file);
    if (marks.n)
        print_excerpt(pr, file, &marks);
}

static int digits_of(uint32_t n)
{
    int digits = 1;
    while (n /= 10)
        digits++;
    return digits;
}

static int gutter_of(const Printer *pr, const Diag *d)
{
    uint32_t line, column, last = 1;
    for (uint32_t i = 0; i <= d->parts.n; i++) {
        LocId loc = i == d->parts.n                     ? d->loc
                    : d->parts.at[i].kind == DIAG_LABEL ? d->parts.at[i].loc
                                                        : 0;
        if (!loc || !pr->cx->sources.at[loc_get(pr->cx, loc)->file].text)
            continue;
        loc_line_column(pr->cx, loc, &line, &column);
        last = line > last ? line : last;
    }
    return digits_of(last);
}

static void print_part(const Printer *pr, const char *kind, const char *text, LocId loc)
{
    fprintf(pr->out, "%*s", pr->gutter + 2, "");
    styled(pr, STYLE_GUTTER, "= ");
    styled(pr, STYLE_STRONG, kind);
    fputs(": ", pr->out);
    print_message(pr, text, pr->gutter + 6 + (int)strlen(kind));
    if (loc)
        fprintf(pr->out, " (%s)", loc_text(pr->cx, loc));
    fputc('\n', pr->out);
}

static void print_chain(const Printer *pr, LocId loc)
{
    int n = 0;
    for (const Loc *l = loc_get(pr->cx, loc); l->parent; l = loc_get(pr->cx, l->parent), n++) {
        const Loc *parent = loc_get(pr->cx, l->parent);
        bool layer = l->owner && (!parent->owner || strcmp(l->owner, parent->owner));
        const char *where = loc_text(pr->cx, l->parent);
        if (n < CHAIN_MAX)
            print_part(pr, "note",
                       layer ? arena_printf(pr->cx->arena, "in layer `%s`, instantiated at %s",
                                            l->owner, where)
                             : arena_printf(pr->cx->arena, "called at %s", where),
                       0);
    }
    if (n > CHAIN_MAX)
        print_part(pr, "note", arena_printf(pr->cx->arena, "and through %d more", n - CHAIN_MAX),
                   0);
}

static void print_diag(Printer *pr, const Diag *d)
{
    const DiagRow *row = &diag_rows[d->code];
    pr->primary = row->exit ? STYLE_ERROR : STYLE_WARNING;
    pr->gutter = gutter_of(pr, d);
    style(pr, pr->primary);
    fprintf(pr->out, "%s[%s]", row->exit ? "error" : "warning", row->code);
    style(pr, STYLE_STRONG);
    fputs(": ", pr->out);
    print_message(pr, d->message, 4);
    style(pr, STYLE_PLAIN);
    fputc('\n', pr->out);
    VEC(uint32_t) shown = { 0 };
    for (uint32_t i = 0; i <= d->parts.n; i++) {
        LocId loc = i == 0                                  ? d->loc
                    : d->parts.at[i - 1].kind == DIAG_LABEL ? d->parts.at[i - 1].loc
                                                            : 0;
        uint32_t file = loc_get(pr->cx, loc)->file, k = 0;
        while (k < shown.n && shown.at[k] != file)
            k++;
        if (!loc || k < shown.n)
            continue;
        print_file(pr, d, file, loc, shown.n == 0);
        vec_push(pr->cx->arena, &shown, file);
    }
    for (uint32_t i = 0; i < d->parts.n; i++) {
        const DiagPart *part = &d->parts.at[i];
        if (part->kind != DIAG_LABEL)
            print_part(pr, part->kind == DIAG_NOTE ? "note" : "help", part->text, part->loc);
        else if (!part->loc)
            print_part(pr, "note", part->text, 0);
    }
    print_chain(pr, d->loc);
}

/* ---- All of them ---- */

static const char *plural(Compiler *cx, uint32_t n, const char *word)
{
    return arena_printf(cx->arena, "%u %s%s", n, word, n == 1 ? "" : "s");
}

static void print_summary(const Printer *pr, const char *example)
{
    Compiler *cx = pr->cx;
    style(pr, cx->errors ? STYLE_ERROR : STYLE_WARNING);
    fputs(cx->errors ? "error" : "warning", pr->out);
    style(pr, STYLE_PLAIN);
    fprintf(pr->out, ": %s%s%s", cx->errors ? plural(cx, cx->errors, "error") : "",
            cx->errors && cx->warnings ? ", " : "",
            cx->warnings ? plural(cx, cx->warnings, "warning") : "");
    if (cx->errors > DIAG_MAX_ERRORS)
        fprintf(pr->out, ", the first %d shown", DIAG_MAX_ERRORS);
    fprintf(pr->out, ". `dlcc explain %s` tells more.\n", example);
}

void diag_print_all(Compiler *cx, FILE *out, bool colour)
{
    Printer pr = { .cx = cx, .out = out, .colour = colour };
    uint32_t errors = 0;
    const char *example = NULL;
    for (uint32_t i = 0; i < cx->diags.n; i++) {
        const Diag *d = &cx->diags.at[i];
        bool error = diag_rows[d->code].exit != 0;
        if (error && errors++ >= DIAG_MAX_ERRORS)
            continue;
        if (!example || (error && errors == 1))
            example = diag_rows[d->code].code;
        print_diag(&pr, d);
    }
    if (example)
        print_summary(&pr, example);
}

/* ---- dlcc explain ---- */

/* Fills one paragraph to 80 columns. */
static void print_paragraph(const char *text, size_t n, FILE *out)
{
    size_t column = 0;
    for (size_t i = 0, word; i < n; i += word) {
        for (; i < n && text[i] == ' '; i++)
            continue;
        for (word = 0; i + word < n && text[i + word] != ' '; word++)
            continue;
        if (column && column + 1 + word > 80)
            fputc('\n', out), column = 0;
        column += (size_t)fprintf(out, "%s%.*s", column ? " " : "", (int)word, text + i);
    }
    fputc('\n', out);
}

void diag_explain(const DiagRow *row, FILE *out)
{
    fprintf(out, "%s: %s\n\n", row->code, row->title);
    for (const char *line = row->explain, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        if (end == line || *line == ' ')
            fprintf(out, "%.*s\n", (int)(end - line), line);
        else
            print_paragraph(line, (size_t)(end - line), out);
    }
}
