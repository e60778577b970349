/* doc.c: lays out a Doc, from left to right, in one pass. At a group or a break it looks ahead for
 * no more than a line's width, so that time is linear in the text. */
#include "frontend/doc.h"

#include <string.h>

enum { ALIGN_MAX = 60 };

/* ---- Building ---- */

static uint32_t columns(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

void doc_text(Doc *doc, const char *text)
{
    vec_push(doc->a, &doc->items,
             (DocItem){ .kind = DOC_TEXT, .text = text, .width = columns(text) });
}

void doc_pad(Doc *doc, uint32_t width)
{
    if (width)
        vec_push(doc->a, &doc->items, (DocItem){ .kind = DOC_PAD, .width = width });
}

void doc_break(Doc *doc, DocBreak mode, const char *flat, uint32_t depth, bool blank)
{
    vec_push(doc->a, &doc->items,
             (DocItem){ .kind = DOC_BREAK,
                        .mode = mode,
                        .text = flat,
                        .width = columns(flat),
                        .depth = depth,
                        .blank = blank });
}

void doc_open_group(Doc *doc, bool may_be_flat, bool sticky)
{
    vec_push(doc->a, &doc->items,
             (DocItem){ .kind = DOC_GROUP, .may_be_flat = may_be_flat, .sticky = sticky });
}

void doc_close_group(Doc *doc)
{
    vec_push(doc->a, &doc->items, (DocItem){ .kind = DOC_GROUP_END });
}

void doc_open_indent(Doc *doc, DocIndent indent, uint32_t width)
{
    vec_push(doc->a, &doc->items,
             (DocItem){ .kind = DOC_INDENT, .indent = indent, .width = width });
}

void doc_close_indent(Doc *doc)
{
    vec_push(doc->a, &doc->items, (DocItem){ .kind = DOC_INDENT_END });
}

void doc_comment(Doc *doc, const char *text, bool own_line)
{
    vec_push(doc->a, &doc->items,
             (DocItem){
                 .kind = DOC_COMMENT, .text = text, .width = columns(text), .own_line = own_line });
}

uint32_t doc_flat_width(const Doc *doc, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        if (doc->items.at[i].kind == DOC_TEXT || doc->items.at[i].kind == DOC_BREAK)
            n += doc->items.at[i].width;
    return n;
}

/* ---- Looking ahead ---- */

/* True if the group at i, with what stands behind it up to the next break, fits into `room`
 * columns. */
static bool group_fits(const Doc *doc, uint32_t i, uint32_t room)
{
    uint32_t open = 0, used = 0;
    for (; i < doc->items.n; i++) {
        const DocItem *it = &doc->items.at[i];
        if (it->kind == DOC_GROUP) {
            if (!it->may_be_flat)
                return open == 0;
            open++;
        } else if (it->kind == DOC_GROUP_END) {
            open -= open > 0;
        } else if (it->kind == DOC_BREAK && (open == 0 || it->mode == DOC_BREAK_FORCED)) {
            return open == 0;
        } else if (it->kind == DOC_TEXT || it->kind == DOC_BREAK) {
            used += it->width;
        }
        if (used > room)
            return false;
    }
    return true;
}

/* A break inside a statement that the source does not force. */
static bool is_soft(const DocItem *it)
{
    return it->mode == DOC_BREAK_FILL || it->mode == DOC_BREAK_OPERATOR;
}

/* True if what follows the break at i, up to the next one of no greater depth, fits into `room`
 * columns. A group that may break flat ends it with its first line. */
static bool chunk_fits(const Doc *doc, uint32_t i, uint32_t room)
{
    uint32_t depth = doc->items.at[i].depth, used = doc->items.at[i].width, flat = 0;
    while (++i < doc->items.n && used <= room) {
        const DocItem *it = &doc->items.at[i];
        if (it->kind == DOC_GROUP)
            flat += flat || (it->may_be_flat && it->sticky);
        else if (it->kind == DOC_GROUP_END)
            flat -= flat > 0;
        else if (it->kind == DOC_BREAK && !flat && (!is_soft(it) || it->depth <= depth))
            return true;
        else if (it->kind == DOC_TEXT || it->kind == DOC_BREAK)
            used += it->width;
    }
    return used <= room;
}

/* ---- Rendering ---- */

typedef struct {
    bool flat;
    uint32_t statement_line, statement_indent; /* of the statement that the group is part of */
} OpenGroup;

typedef struct {
    const Doc *doc;
    VEC(char) out;
    VEC(uint32_t) indents;
    VEC(OpenGroup) groups;
    uint32_t column;      /* where the next text begins */
    uint32_t line_indent; /* where the text of this line begins */
    bool fresh;           /* nothing on this line yet */
    uint32_t line;
    uint32_t statement_line, statement_indent; /* where the statement being written began */
} Render;

static void put(Render *r, const char *text, uint32_t width)
{
    if (!width)
        return;
    for (uint32_t i = 0; r->fresh && i < r->column; i++)
        vec_push(r->doc->a, &r->out, ' ');
    r->fresh = false;
    for (; *text; text++)
        vec_push(r->doc->a, &r->out, *text);
    r->column += width;
}

static void put_blanks(Render *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        put(r, " ", 1);
}

static uint32_t indent_now(const Render *r)
{
    return r->indents.n ? r->indents.at[r->indents.n - 1] : 0;
}

static void newline(Render *r, bool blank)
{
    while (r->out.n && r->out.at[r->out.n - 1] == ' ')
        r->out.n--;
    if (r->out.n) {
        vec_push(r->doc->a, &r->out, '\n');
        if (blank)
            vec_push(r->doc->a, &r->out, '\n');
    }
    r->column = r->line_indent = indent_now(r);
    r->fresh = true;
    r->line++;
}

static bool is_flat(const Render *r)
{
    return r->groups.n && r->groups.at[r->groups.n - 1].flat;
}

static void render_break(Render *r, uint32_t i)
{
    const DocItem *it = &r->doc->items.at[i];
    uint32_t room = r->column < DOC_WIDTH ? DOC_WIDTH - r->column : 0;
    uint32_t indent = indent_now(r),
             fresh = indent < DOC_WIDTH ? DOC_WIDTH - indent + it->width : 0;
    bool breaks = false;
    if (!is_flat(r)) {
        switch (it->mode) {
        case DOC_BREAK_GROUP:
        case DOC_BREAK_FORCED: breaks = true; break;
        case DOC_BREAK_FILL: breaks = !chunk_fits(r->doc, i, room); break;
        case DOC_BREAK_OPERATOR:
            breaks = !chunk_fits(r->doc, i, room) && chunk_fits(r->doc, i, fresh);
            break;
        case DOC_BREAK_JOIN:
            breaks = r->line != r->statement_line || !chunk_fits(r->doc, i, room);
            break;
        }
    }
    if (breaks)
        newline(r, it->blank);
    else
        put(r, it->text, it->width);
    if (breaks && !it->depth) {
        r->statement_line = r->line;
        r->statement_indent = r->line_indent;
    }
}

static void open_indent(Render *r, const DocItem *it)
{
    uint32_t n = r->line_indent + it->width;
    switch (it->indent) {
    case DOC_INDENT_LINE: break;
    case DOC_INDENT_STATEMENT: n = r->statement_indent + it->width; break;
    case DOC_INDENT_ALIGN: n = r->column > ALIGN_MAX ? r->line_indent + 4 : r->column; break;
    case DOC_INDENT_PIPE:
        n = r->line_indent + 2;
        if (r->column >= n + 3 && r->column <= ALIGN_MAX)
            n = r->column - 3;
        break;
    }
    vec_push(r->doc->a, &r->indents, n);
}

static void render_comment(Render *r, const DocItem *it)
{
    if (!it->own_line && !r->fresh)
        put_blanks(r, r->column + 2 <= DOC_COMMENT_COLUMN ? DOC_COMMENT_COLUMN - r->column : 2);
    put(r, it->text, it->width);
}

static void close_group(Render *r)
{
    const OpenGroup *group = &r->groups.at[--r->groups.n];
    r->statement_line = group->statement_line;
    r->statement_indent = group->statement_indent;
}

const char *doc_render(const Doc *doc)
{
    Render r = { .doc = doc, .fresh = true };
    for (uint32_t i = 0; i < doc->items.n; i++) {
        const DocItem *it = &doc->items.at[i];
        uint32_t room = r.column < DOC_WIDTH ? DOC_WIDTH - r.column : 0;
        switch (it->kind) {
        case DOC_TEXT: put(&r, it->text, it->width); break;
        case DOC_PAD: put_blanks(&r, is_flat(&r) ? 0 : it->width); break;
        case DOC_BREAK: render_break(&r, i); break;
        case DOC_GROUP: {
            bool flat = is_flat(&r) || (it->may_be_flat && group_fits(doc, i, room));
            vec_push(doc->a, &r.groups, (OpenGroup){ flat, r.statement_line, r.statement_indent });
            break;
        }
        case DOC_GROUP_END: close_group(&r); break;
        case DOC_INDENT: open_indent(&r, it); break;
        case DOC_INDENT_END: r.indents.n--; break;
        case DOC_COMMENT: render_comment(&r, it); break;
        }
    }
    newline(&r, false);
    vec_push(doc->a, &r.out, '\0');
    return r.out.at;
}
