/* list.c: reading and writing lists of results, and the matrix of ops. */
#include "tests/onnx/conform/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_names[CASE_STATUS_COUNT] = { "pass", "fail", "unsupported", "crash",
                                                             "slow" };

const char *case_status_name(CaseStatus s)
{
    return status_names[s];
}

bool case_status_parse(const char *name, CaseStatus *out)
{
    for (int s = 0; s < CASE_STATUS_COUNT; s++)
        if (!strcmp(name, status_names[s])) {
            *out = (CaseStatus)s;
            return true;
        }
    return false;
}

bool list_read(Arena *a, const char *path, List *out)
{
    FILE *f = fopen(path, "r");
    char line[512], name[200], op[100], status[40], reason[100];
    bool ok = f != NULL;
    *out = (List){ 0 };
    if (!f)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    for (int number = 1; ok && fgets(line, sizeof line, f); number++) {
        ListRow row;
        if (*line == '#' || *line == '\n')
            continue;
        *reason = 0;
        ok = sscanf(line, "%199s %99s %39s %99s", name, op, status, reason) >= 3 &&
             case_status_parse(status, &row.status);
        if (!ok) {
            fprintf(stderr, "%s:%d: not `NAME OP STATUS [REASON]`\n", path, number);
            break;
        }
        row.name = arena_strndup(a, name, strlen(name));
        row.op = arena_strndup(a, op, strlen(op));
        row.reason = arena_strndup(a, reason, strlen(reason));
        vec_push(a, &out->rows, row);
    }
    if (f)
        fclose(f);
    return ok;
}

bool list_write(const List *list, const char *path, const char *title)
{
    uint32_t counts[CASE_STATUS_COUNT] = { 0 };
    FILE *f = fopen(path, "w");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    for (uint32_t i = 0; i < list->rows.n; i++)
        counts[list->rows.at[i].status]++;
    fprintf(f, "# %s, written by onnx_conform --update. NAME OP STATUS [REASON]\n#", title);
    for (int s = 0; s < CASE_STATUS_COUNT; s++)
        fprintf(f, " %u %s,", counts[s], status_names[s]);
    fprintf(f, " of %u\n", list->rows.n);
    for (uint32_t i = 0; i < list->rows.n; i++) {
        const ListRow *r = &list->rows.at[i];
        fprintf(f, "%s %s %s%s%s\n", r->name, r->op, status_names[r->status], *r->reason ? " " : "",
                r->reason);
    }
    bool ok = !ferror(f);
    return !fclose(f) && ok;
}

const ListRow *list_find(const List *list, const char *name)
{
    for (uint32_t i = 0; i < list->rows.n; i++)
        if (!strcmp(list->rows.at[i].name, name))
            return &list->rows.at[i];
    return NULL;
}

/* ---- The matrix ---- */

enum { MATRIX_LISTS = 4 };

typedef struct {
    const char *op;
    uint32_t passed[MATRIX_LISTS], all[MATRIX_LISTS];
    bool wrong; /* some test fails, crashes or is slow */
} MatrixRow;

/* The op a test is about. The body of an op as others spell it out, `test_gelu_default_1_expanded`,
 * is a test of that op, not of those it is made of. "-": of several. */
static const char *op_of(Arena *a, const List *list, const ListRow *r)
{
    const char *expanded = strstr(r->name, "_expanded");
    const ListRow *base =
        expanded ? list_find(list, arena_strndup(a, r->name, (size_t)(expanded - r->name))) : NULL;
    return base ? base->op : r->op;
}

static int by_op(const void *a, const void *b)
{
    return strcmp(((const MatrixRow *)a)->op, ((const MatrixRow *)b)->op);
}

void list_matrix(Arena *a, const List *lists, const char *const *titles, int n)
{
    VEC(MatrixRow) rows = { 0 };
    uint32_t supported = 0;
    for (int l = 0; l < n && l < MATRIX_LISTS; l++) {
        for (uint32_t i = 0; i < lists[l].rows.n; i++) {
            const ListRow *r = &lists[l].rows.at[i];
            const char *op = op_of(a, &lists[l], r);
            uint32_t k = 0;
            if (!strcmp(op, "-"))
                continue;
            while (k < rows.n && strcmp(rows.at[k].op, op))
                k++;
            if (k == rows.n)
                vec_push(a, &rows, (MatrixRow){ .op = op });
            rows.at[k].all[l]++;
            rows.at[k].passed[l] += r->status == CASE_PASS;
            rows.at[k].wrong |= r->status != CASE_PASS && r->status != CASE_UNSUPPORTED;
        }
    }
    if (rows.n)
        qsort(rows.at, rows.n, sizeof *rows.at, by_op);
    printf("| op |");
    for (int l = 0; l < n; l++)
        printf(" %s |", titles[l]);
    printf(" supported |\n|---|");
    for (int l = 0; l < n; l++)
        printf("---|");
    printf("---|\n");
    for (uint32_t k = 0; k < rows.n; k++) {
        const MatrixRow *m = &rows.at[k];
        uint32_t passed = 0, all = 0;
        printf("| %s |", m->op);
        for (int l = 0; l < n; l++) {
            passed += m->passed[l], all += m->all[l];
            if (m->all[l])
                printf(" %u of %u |", m->passed[l], m->all[l]);
            else
                printf(" |");
        }
        supported += passed == all;
        printf(" %s |\n", passed == all ? "yes" : m->wrong ? "wrong" : passed ? "in part" : "no");
    }
    printf("\n%u of %u ops are supported: all their tests pass.\n", supported, rows.n);
}
