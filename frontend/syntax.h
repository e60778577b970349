/* syntax.h: from the text of a .dl file to its tree and back. */
#ifndef DLCC_FRONTEND_SYNTAX_H
#define DLCC_FRONTEND_SYNTAX_H
#include "frontend/ast.h"

/* Bounds on input, so that no text can exhaust the stack or wrap a 32-bit count: bytes of a file;
 * brackets, blocks and prefix operators inside one another; height of an expression's tree (a
 * chain of n operators has height n). */
enum { SYNTAX_MAX_BYTES = 4 << 20, SYNTAX_MAX_DEPTH = 200, SYNTAX_MAX_HEIGHT = 1000 };

/* Parses source number `source` of cx. Always gives a tree with what could be read; false if
 * errors were reported. */
bool syntax_parse(Compiler *cx, uint32_t source, AstFile **out_file);

/* The file in the one layout of `dlcc fmt`, comments kept. The file must have parsed without
 * errors. The text parses to an equal tree (that is checked; if not, or if it is too large, NULL),
 * and formatting it again changes nothing. It is in the arena of cx; sources are added to cx. */
const char *syntax_format(Compiler *cx, const AstFile *file);

/* The tree as text, one node a line, without locations, then the comments. */
const char *syntax_dump(Compiler *cx, const AstFile *file);

/* True if both trees say the same: kinds, names, numbers as written, strings as decoded, comments;
 * not locations, nor parentheses around what is one unit anyway. */
bool syntax_equal(Compiler *cx, const AstFile *a, const AstFile *b);

/* The source range of bytes begin..end (excluded) of the decoded string s: for carets inside a
 * pattern. An escape counts as a whole. Offsets at or beyond the end give the closing quote. */
LocId ast_string_loc(Compiler *cx, const AstString *s, uint32_t begin, uint32_t end);

/* As written: "+", "//", "and". */
const char *ast_binary_text(AstBinaryOp op);

#endif
