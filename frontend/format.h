/* format.h: what the two files of the formatter share. Private to frontend/format*.c. */
#ifndef DLCC_FRONTEND_FORMAT_H
#define DLCC_FRONTEND_FORMAT_H
#include "frontend/doc.h"
#include "frontend/syntax.h"

/* Comments are put out in order, each at the first place from its own on where a line may end. */
typedef struct {
    Compiler *cx;
    Doc *doc;
    const AstFile *file;
    const char *text;  /* of the source */
    uint32_t comment;  /* the next one */
    uint32_t depth;    /* of brackets, for the preference among breaks */
    bool in_range;     /* between the ends of `..`, where sums are written without blanks */
} Format;

uint32_t format_begin(const Format *f, LocId loc);
uint32_t format_end(const Format *f, LocId loc);
/* Newlines in the source between two bytes. */
uint32_t format_newlines(const Format *f, uint32_t begin, uint32_t end);

/* A place inside a statement where a line may end, FILL or OPERATOR. It does if it did in the
 * source, or if comments stand before `next`. */
void format_break(Format *f, DocBreak mode, const char *flat, uint32_t depth, uint32_t previous_end,
                  uint32_t next);
/* What stands between two statements or the like, with the comments between. `joined`: by `;` on
 * one line. */
typedef enum { FORMAT_FIRST, FORMAT_BETWEEN, FORMAT_LAST } FormatPlace;
void format_between(Format *f, FormatPlace place, uint32_t previous_end, uint32_t next);
/* True if begin..end is on one line and no comment waits: a block there may stay on one line. */
bool format_may_be_flat(const Format *f, uint32_t begin, uint32_t end);

/* What is between stands aligned behind the bracket when it breaks. */
void format_open_bracket(Format *f, const char *text);
void format_close_bracket(Format *f, const char *text);
/* ", " and a place to break between two elements. */
void format_comma(Format *f, LocId previous, LocId next);

void format_expr(Format *f, const AstExpr *e);
void format_exprs(Format *f, AstExpr *const *at, uint32_t n);
void format_args(Format *f, const AstArg *args, uint32_t n);
void format_index(Format *f, const AstIndex *items, uint32_t n);
void format_inits(Format *f, const AstInit *inits, uint32_t n);
void format_string(Format *f, const AstString *s);
void format_type(Format *f, const AstType *type);
void format_as(Format *f, const AstString *as); /* ` as "name"`, when written */
void format_params(Format *f, const AstParam *params, uint32_t n);
/* { .. }, not a group of its own. */
void format_block(Format *f, const AstBlock *block);
void format_fn(Format *f, const AstFn *fn);

#endif
