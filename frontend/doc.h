/* doc.h: layout of text that may be broken into lines: the engine of `dlcc fmt`.
 *
 * A Doc is a list of pieces of text and of places where a line may end. A group that fits on its
 * line is flat: none of its places breaks. In the spirit of Oppen's and Wadler's pretty printers,
 * but greedy and in one pass. */
#ifndef DLCC_FRONTEND_DOC_H
#define DLCC_FRONTEND_DOC_H
#include "ir/arena.h"

#include <stdbool.h>

enum { DOC_WIDTH = 100, DOC_COMMENT_COLUMN = 56 };

typedef enum {
    DOC_TEXT,
    DOC_PAD,        /* `width` blanks, unless in a flat group */
    DOC_BREAK,
    DOC_GROUP,      /* to its DOC_GROUP_END */
    DOC_GROUP_END,
    DOC_INDENT,     /* to its DOC_INDENT_END */
    DOC_INDENT_END,
    DOC_COMMENT,    /* to the end of a line; a DOC_BREAK_FORCED follows */
} DocKind;

typedef enum {
    DOC_BREAK_GROUP, /* breaks if the group is not flat */
    DOC_BREAK_FILL,  /* breaks if what follows, up to a break of no greater depth, does not fit */
    DOC_BREAK_OPERATOR, /* FILL, but not if what follows is too wide for a line of its own */
    DOC_BREAK_JOIN,     /* the same between statements, and after one that took several lines */
    DOC_BREAK_FORCED,   /* always breaks */
} DocBreak;

typedef enum {
    DOC_INDENT_STATEMENT, /* `width` more than the line on which the statement began */
    DOC_INDENT_LINE,      /* `width` more than the line on which it begins */
    DOC_INDENT_ALIGN,     /* the current column; 4 more than the line if that is far to the right */
    DOC_INDENT_PIPE,      /* 3 less than the current column, so that what follows `|> ` stands below
                             what comes before it; at least 2 more than the line */
} DocIndent;

typedef struct {
    DocKind kind;
    DocBreak mode;    /* BREAK */
    DocIndent indent; /* INDENT */
    const char *text; /* TEXT, COMMENT; BREAK: what stands there unless it breaks */
    uint32_t width;   /* columns of text; PAD and INDENT: of blanks */
    uint32_t depth;   /* BREAK: 0 between statements, more inside them */
    bool blank;       /* BREAK: an empty line before the next */
    bool may_be_flat; /* GROUP */
    bool sticky;      /* GROUP: kept flat by breaking elsewhere, if that helps */
    bool own_line;    /* COMMENT */
} DocItem;

typedef struct {
    Arena *a;
    VEC(DocItem) items;
} Doc;

void doc_text(Doc *doc, const char *text);
void doc_pad(Doc *doc, uint32_t width);
/* `flat`: what stands there unless it breaks. depth: 0 between statements; inside them, more the
 * less a break is wanted. */
void doc_break(Doc *doc, DocBreak mode, const char *flat, uint32_t depth, bool blank);
void doc_open_group(Doc *doc, bool may_be_flat, bool sticky);
void doc_close_group(Doc *doc);
void doc_open_indent(Doc *doc, DocIndent indent, uint32_t width);
void doc_close_indent(Doc *doc);
void doc_comment(Doc *doc, const char *text, bool own_line);

/* The columns of all text of items from..to, as if flat. */
uint32_t doc_flat_width(const Doc *doc, uint32_t from, uint32_t to);

/* The laid-out text, in the Doc's arena, with a newline at its end unless it is empty. */
const char *doc_render(const Doc *doc);

#endif
