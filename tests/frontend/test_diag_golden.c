/* test_diag_golden.c: the sources of tests/frontend/diag give exactly the errors that stand in
 * them as comments.
 *
 * Below a line stand what is reported there, marks under the text they are about:
 *
 *     a < b < c
 * #   ----- label: this is a bool #         ^ error E0208: comparisons cannot be chained # help:
 * write `a < b and b < c`
 *
 * A mark at the first column, where the `#` is, is written `#<`. Every error must be listed;
 * labels, notes and helps that are listed must be there. With DLCC_UPDATE=1 in the environment the
 * files are rewritten to what is reported now.
 *
 * Every code of the checked families must be provoked by some file. */
#include "frontend/diag_print.h"
#include "frontend/frontend.h"
#include "frontend/syntax.h"

#include "tests/frontend/syntax_help.h"

#define DIAG_FOLDER DLCC_SOURCE_DIR "/tests/frontend/diag"

/* Families whose every code has a golden source. */
static const char *const families[] = { "E01", "E02", "E03", "E04", "E05", "E06", "E07" };

/* Codes of these families that no .dl text can give. */
static const DiagCode elsewhere[] = {
    DIAG_E0290, /* the reader of IR text: tests/ir */
    /* The builder's own rules, behind checks that speak of the source: tests/ir. */
    DIAG_E0301, DIAG_E0303, DIAG_E0310, DIAG_E0313, DIAG_E0320,
    DIAG_E0422, /* a setting of the command line: test_elab */
    DIAG_E0503, /* the pass that differentiates: tests/passes */
    DIAG_E0506, /* a setting of the command line: tests/onnx */
    /* The readers of data: tests/host. */
    DIAG_E0601, DIAG_E0602, DIAG_E0603, DIAG_E0605, DIAG_E0606, DIAG_E0607, DIAG_E0608, DIAG_E0609,
    DIAG_E0610, DIAG_E0611, DIAG_E0612, DIAG_E0613,
    /* The reader of ONNX files: tests/onnx. */
    DIAG_E0741, /* the writer of ONNX files: tests/onnx */
    DIAG_E0701, DIAG_E0702, DIAG_E0703, DIAG_E0704, DIAG_E0705, DIAG_E0706, DIAG_E0711, DIAG_E0712,
    DIAG_E0720, DIAG_E0721, DIAG_E0722, /* and their translation */
};

static bool provoked[DIAG_COUNT];

static bool check_source(Compiler *cx, uint32_t source)
{
    return frontend_load_source(cx, source, NULL);
}

/* ---- Expectations ---- */

typedef struct {
    uint32_t line, column, length; /* of the mark; column 0: anywhere */
    bool first_column;             /* `#<`: length is not known */
    char kind[8], code[8];
    char text[512];
    bool met;
} Expected;

/* True if the line is an expectation; *out_e is filled except for its line. */
static bool read_expected(const char *line, size_t size, Expected *out_e)
{
    static const char *const kinds[] = { "error", "warning", "label", "note", "help" };
    size_t i = 1, mark;
    memset(out_e, 0, sizeof *out_e);
    if (!size || line[0] != '#')
        return false;
    if (size > 1 && line[1] == '<') {
        out_e->column = 1;
        out_e->first_column = true;
        i = 2;
    }
    while (i < size && line[i] == ' ')
        i++;
    for (mark = i; i < size && (line[i] == '^' || line[i] == '-'); i++)
        continue;
    if (i > mark) {
        out_e->column = (uint32_t)mark + 1;
        out_e->length = (uint32_t)(i - mark);
    }
    while (i < size && line[i] == ' ')
        i++;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t n = strlen(kinds[k]);
        if (size - i <= n || strncmp(line + i, kinds[k], n) ||
            (line[i + n] != ' ' && line[i + n] != ':'))
            continue;
        strcpy(out_e->kind, kinds[k]);
        i += n;
        if (k < 2) {
            if (size - i < 8 || line[i] != ' ' || line[i + 6] != ':')
                return false;
            memcpy(out_e->code, line + i + 1, 5);
            i += 6;
        }
        if (line[i] != ':')
            return false;
        i += i + 1 < size ? 2 : 1;
        assert_true(size - i < sizeof out_e->text);
        memcpy(out_e->text, line + i, size - i);
        return true;
    }
    return false;
}

/* Column in bytes and length of a location on its first line; an empty one is as long as one
 * caret. */
static void place_of(Compiler *cx, LocId id, uint32_t *out_line, uint32_t *out_column,
                     uint32_t *out_length)
{
    const Loc *loc = loc_get(cx, id);
    const char *text = cx->sources.at[loc->file].text;
    uint32_t begin = 0, end = loc->begin;
    *out_line = loc->file == 1; /* line 0: in another file, such as the library's */
    for (uint32_t i = 0; loc->file == 1 && i < loc->begin; i++)
        if (text[i] == '\n')
            begin = i + 1, ++*out_line;
    while (end < loc->end && text[end] != '\n')
        end++;
    *out_column = loc->begin - begin + 1;
    *out_length = end > loc->begin ? end - loc->begin : 1;
}

static bool meets(Compiler *cx, const Expected *e, const char *kind, const char *code, LocId loc,
                  const char *text)
{
    if (strcmp(e->kind, kind) || strcmp(e->text, text) || (*e->code && strcmp(e->code, code)))
        return false;
    if (!e->column)
        return true;
    uint32_t line, column, length;
    place_of(cx, loc, &line, &column, &length);
    return line == e->line && column == e->column && (e->first_column || length == e->length);
}

static const char *const part_kinds[] = {
    [DIAG_LABEL] = "label", [DIAG_NOTE] = "note", [DIAG_HELP] = "help"
};

static void meet(Compiler *cx, Expected *expected, int n, const char *kind, const char *code,
                 LocId loc, const char *text, bool *out_found)
{
    *out_found = false;
    for (int i = 0; i < n && !*out_found; i++)
        if (!expected[i].met && meets(cx, &expected[i], kind, code, loc, text))
            *out_found = expected[i].met = true;
}

static void fail_with(Compiler *cx, const char *name, const char *what, const char *text)
{
    diag_print_all(cx, stderr, false);
    fail_msg("%s: %s: %s", name, what, text);
}

static void compare(Compiler *cx, const char *name, Expected *expected, int n)
{
    for (uint32_t i = 0; i < cx->diags.n; i++) {
        const Diag *d = &cx->diags.at[i];
        const DiagRow *row = &diag_rows[d->code];
        bool found;
        provoked[d->code] = true;
        meet(cx, expected, n, row->exit ? "error" : "warning", row->code, d->loc, d->message,
             &found);
        if (!found)
            fail_with(
                cx, name, "not expected",
                arena_printf(cx->arena, "%s %s: %s", loc_text(cx, d->loc), row->code, d->message));
        for (uint32_t k = 0; k < d->parts.n; k++)
            meet(cx, expected, n, part_kinds[d->parts.at[k].kind], "", d->parts.at[k].loc,
                 d->parts.at[k].text, &found);
    }
    for (int i = 0; i < n; i++)
        if (!expected[i].met)
            fail_with(cx, name, "expected but not reported",
                      arena_printf(cx->arena, "line %u column %u %s %s: %s", expected[i].line,
                                   expected[i].column, expected[i].kind, expected[i].code,
                                   expected[i].text));
}

/* ---- Update ---- */

static void write_mark(Compiler *cx, FILE *out, LocId loc, char mark, const char *head,
                       const char *text)
{
    uint32_t line, column, length;
    place_of(cx, loc, &line, &column, &length);
    if (column == 1) {
        fprintf(out, "#< %s: %s\n", head, text);
        return;
    }
    fprintf(out, "#%*s", (int)column - 2, "");
    for (uint32_t i = 0; i < length; i++)
        fputc(mark, out);
    fprintf(out, " %s: %s\n", head, text);
}

/* Writes what is reported about line number `line` of the source without expectations. */
static void write_reports(Compiler *cx, FILE *out, uint32_t line)
{
    for (uint32_t i = 0; i < cx->diags.n; i++) {
        const Diag *d = &cx->diags.at[i];
        uint32_t at, column, length;
        for (uint32_t k = 0; k < d->parts.n; k++) {
            const DiagPart *part = &d->parts.at[k];
            if (part->kind != DIAG_LABEL)
                continue;
            place_of(cx, part->loc, &at, &column, &length);
            if (at == line)
                write_mark(cx, out, part->loc, '-', "label", part->text);
        }
        place_of(cx, d->loc, &at, &column, &length);
        if (at != line)
            continue;
        char head[32];
        const DiagRow *row = &diag_rows[d->code];
        snprintf(head, sizeof head, "%s %s", row->exit ? "error" : "warning", row->code);
        write_mark(cx, out, d->loc, '^', head, d->message);
        for (uint32_t k = 0; k < d->parts.n; k++)
            if (d->parts.at[k].kind != DIAG_LABEL)
                fprintf(out, "# %s: %s\n", part_kinds[d->parts.at[k].kind], d->parts.at[k].text);
    }
}

static void update(const TestFile *file, const char *bare, size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", DIAG_FOLDER, file->name);
    Compiler *cx = compiler_new();
    check_source(cx, compiler_add_source(cx, file->name, bare, size));
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    uint32_t line = 1;
    for (size_t i = 0, end; i < size; i = end + 1, line++) {
        for (end = i; end < size && bare[end] != '\n'; end++)
            continue;
        fwrite(bare + i, 1, end - i, out);
        fputc('\n', out);
        write_reports(cx, out, line);
    }
    fclose(out);
    compiler_free(cx);
}

/* ---- The tests ---- */

static void check_file(const TestFile *file)
{
    Expected *expected = calloc(1000, sizeof *expected);
    char *bare = calloc(1, file->size + 2);
    size_t bare_size = 0;
    int n = 0;
    uint32_t line = 0, subject = 0;
    for (size_t i = 0, end; i < file->size; i = end + 1) {
        for (end = i; end < file->size && file->text[end] != '\n'; end++)
            continue;
        line++;
        if (read_expected(file->text + i, end - i, &expected[n])) {
            expected[n++].line = subject;
            assert_true(n < 1000);
            continue;
        }
        subject = line;
        memcpy(bare + bare_size, file->text + i, end - i);
        bare_size += end - i;
        bare[bare_size++] = '\n';
    }
    if (getenv("DLCC_UPDATE")) {
        update(file, bare, bare_size);
    } else {
        Compiler *cx = compiler_new();
        bool ok = check_source(cx, compiler_add_source(cx, file->name, file->text, file->size));
        compare(cx, file->name, expected, n);
        assert_int_equal(ok, cx->errors == 0);
        compiler_free(cx);
    }
    free(expected);
    free(bare);
}

static void test_golden(void **state)
{
    (void)state;
    test_each(DIAG_FOLDER, check_file);
}

/* A file over the size limit is not kept in the tree, but made here. */
static void test_too_large(void **state)
{
    (void)state;
    size_t size = SYNTAX_MAX_BYTES + 1;
    char *text = malloc(size);
    memset(text, '\n', size);
    Compiler *cx = compiler_new();
    AstFile *file;
    assert_false(syntax_parse(cx, compiler_add_source(cx, "big.dl", text, size), &file));
    assert_int_equal(cx->diags.n, 1);
    assert_int_equal(cx->diags.at[0].code, DIAG_E0109);
    provoked[DIAG_E0109] = true;
    compiler_free(cx);
    free(text);
}

static void test_every_code(void **state)
{
    (void)state;
    int missing = 0;
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        provoked[elsewhere[i]] = true;
    for (int i = 0; i < DIAG_COUNT && !getenv("DLCC_UPDATE"); i++)
        for (size_t k = 0; k < sizeof families / sizeof *families; k++)
            if (!strncmp(diag_rows[i].code, families[k], 3) && !provoked[i]) {
                fprintf(stderr, "no source in tests/frontend/diag provokes %s: %s\n",
                        diag_rows[i].code, diag_rows[i].title);
                missing++;
            }
    assert_int_equal(missing, 0);
}

/* The table is sorted, and every row says something. */
static void test_table(void **state)
{
    (void)state;
    for (int i = 0; i < DIAG_COUNT; i++) {
        if (i)
            assert_true(strcmp(diag_rows[i - 1].code, diag_rows[i].code) < 0);
        assert_true(strlen(diag_rows[i].title) > 5 && strlen(diag_rows[i].explain) > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
