/* list.h: the list of results that is kept in the repository, and the matrix of ops made of such
 * lists. A line is `NAME OP STATUS [REASON]`; lines with # are remarks. */
#ifndef DLCC_TESTS_ONNX_LIST_H
#define DLCC_TESTS_ONNX_LIST_H
#include "ir/arena.h"
#include "tests/onnx/conform/case.h"

typedef struct {
    const char *name, *op, *reason; /* reason "" when there is none */
    CaseStatus status;
} ListRow;

typedef struct {
    VEC(ListRow) rows; /* in the order of the file, which is sorted by name */
} List;

/* False with a message on stderr: not readable, or a malformed line. */
bool list_read(Arena *a, const char *path, List *out_list);
/* Writes the file anew, with `title` and the counts as remarks. */
bool list_write(const List *list, const char *path, const char *title);
const ListRow *list_find(const List *list, const char *name);

/* The table of ops in Markdown: for each op its tests passed and in all, in each list. */
void list_matrix(Arena *a, const List *lists, const char *const *titles, int n);

#endif
