/* diag_print.h: the diagnostics of a compilation, for people and for programs. */
#ifndef DLCC_FRONTEND_DIAG_PRINT_H
#define DLCC_FRONTEND_DIAG_PRINT_H
#include "ir/compiler.h"

#include <stdio.h>

/* Prints all diagnostics in order of report, with source excerpts, carets and labels, and a closing
 * line that counts them. At most DIAG_MAX_ERRORS errors are shown. Nothing is printed if there are
 * none. `colour`: ANSI sequences. Control characters of the source never reach the terminal. */
void diag_print_all(Compiler *cx, FILE *out, bool colour);

/* The same as JSON, one object a line, each an event like those of a run: v (1), event
 * ("diagnostic"), severity, code, message, file, line, column, end_line,
 * end_column, and parts: each with kind (label, note, help, from: the chain of instantiation), text
 * and, where it has a place, the same position fields. All of them, without a limit. */
void diag_print_json(Compiler *cx, FILE *out);

/* The page of `dlcc explain CODE`: code, title, text filled to 80 columns. */
void diag_explain(const DiagRow *row, FILE *out);

#endif
