/* test_diag_print.c: how diagnostics look: labels on one and several lines, other files, notes,
 * the chain of instantiation, widths, escapes, long lines, the limit, colour, JSON. */
#include "frontend/diag_print.h"
#include "frontend/syntax.h"

#include "tests/frontend/syntax_help.h"

typedef void (*PrintFn)(Compiler *cx, FILE *out);

static void plain(Compiler *cx, FILE *out)
{
    diag_print_all(cx, out, false);
}

static void coloured(Compiler *cx, FILE *out)
{
    diag_print_all(cx, out, true);
}

static void check_print(Compiler *cx, PrintFn print, const char *expected)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    print(cx, out);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    compiler_free(cx);
}

/* The place of `what` in source 1, the n-th time from 0. */
static LocId find(Compiler *cx, uint32_t file, const char *what, int n)
{
    const char *text = cx->sources.at[file].text, *at = text;
    for (at = strstr(text, what); n--;)
        at = strstr(at + 1, what);
    uint32_t begin = (uint32_t)(at - text);
    return loc_make(cx,
                    (Loc){ .file = file, .begin = begin, .end = begin + (uint32_t)strlen(what) });
}

static uint32_t add_source(Compiler *cx, const char *path, const char *text)
{
    return compiler_add_source(cx, path, text, strlen(text));
}

static void test_labels(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    uint32_t f = add_source(cx, "lenet.dl",
                            "model M {\n\n\n  param w: f32[400, 120] = xavier\n\n\n\n\n"
                            "  (x |> conv1 |> conv2 |> flatten) @ w\n}\n");
    uint32_t d = diag_report(cx, DIAG_E0201, find(cx, f, "@", 0),
                             "`@` needs equal inner dimensions: %d and %d", 256, 400);
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "f32[400, 120]", 0), "`w` is f32[400, 120]");
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "flatten", 0), "f32[B, 256]");
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "w", 1), "f32[400, 120]");
    diag_add(cx, d, DIAG_NOTE, 0, "256 = 16*4*4");
    diag_add(cx, d, DIAG_HELP, find(cx, f, "conv1", 0), "with pad=2 it would be\n16*5*5 = 400");
    check_print(cx, plain,
                "error[E0201]: `@` needs equal inner dimensions: 256 and 400\n"
                "  --> lenet.dl:9:36\n"
                "   |\n"
                " 4 |   param w: f32[400, 120] = xavier\n"
                "   |            ------------- `w` is f32[400, 120]\n"
                " 9 |   (x |> conv1 |> conv2 |> flatten) @ w\n"
                "   |                           -------  ^ - f32[400, 120]\n"
                "   |                           f32[B, 256]\n"
                "   = note: 256 = 16*4*4\n"
                "   = help: with pad=2 it would be\n"
                "           16*5*5 = 400 (lenet.dl:9:9)\n"
                "error: 1 error. `dlcc explain E0201` tells more.\n");
}

static void test_many_labels(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    uint32_t f = add_source(cx, "a.dl", "aa bb cc dd\n"), g = add_source(cx, "b.dl", "one\ntwo\n");
    uint32_t d = diag_report(cx, DIAG_E0201, find(cx, f, "cc", 0), "m");
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "bb cc", 0), "second");
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "aa", 0), "first");
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "cc", 0), "third");
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "dd", 0), "fourth");
    diag_add(cx, d, DIAG_LABEL, find(cx, g, "two", 0), "elsewhere");
    check_print(cx, plain,
                "error[E0201]: m\n"
                "  --> a.dl:1:7\n"
                "   |\n"
                " 1 | aa bb cc dd\n"
                "   | -- ---^^ -- fourth\n"
                "   | |  |  third\n"
                "   | |  second\n"
                "   | first\n"
                "  ::: b.dl:2:1\n"
                "   |\n"
                " 2 | two\n"
                "   | --- elsewhere\n"
                "error: 1 error. `dlcc explain E0201` tells more.\n");
}

static void test_widths(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    uint32_t f = add_source(
        cx, "w.dl", "\ta \xE6\x97\xA5\xE6\x9C\xAC e\xCC\x81 \x1b[31m \xE2\x80\xAE \xFF x y\r\n");
    uint32_t d = diag_report(cx, DIAG_E0101, find(cx, f, "x", 0), "bad \x1b[0m");
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "\xE6\x97\xA5\xE6\x9C\xAC", 0), "wide");
    /* a label over several lines ends with its first */
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "y\r\n", 0), "to the end");
    check_print(cx, plain,
                "error[E0101]: bad \\x1b[0m\n"
                "  --> w.dl:1:20\n"
                "   |\n"
                " 1 |     a \xE6\x97\xA5\xE6\x9C\xAC e\xCC\x81 \\x1b[31m \\u{202E} \\xff x y\n"
                "   |       ----                          ^ - to the end\n"
                "   |       wide\n"
                "error: 1 error. `dlcc explain E0101` tells more.\n");
}

static void test_chain(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    uint32_t f = add_source(cx, "c.dl", "fn body\nlayer block\nmodel gpt\n");
    LocId model = loc_through(cx, find(cx, f, "gpt", 0), 0, "");
    LocId block = loc_through(cx, find(cx, f, "block", 0), model, "h.0");
    LocId call = loc_through(cx, find(cx, f, "fn", 0), block, "h.0.mlp");
    LocId body = loc_through(cx, find(cx, f, "body", 0), call, "h.0.mlp");
    diag_report(cx, DIAG_E0201, body, "m");
    check_print(cx, plain,
                "error[E0201]: m\n"
                "  --> c.dl:1:4\n"
                "   |\n"
                " 1 | fn body\n"
                "   |    ^^^^\n"
                "   = note: called at c.dl:1:1\n"
                "   = note: in layer `h.0.mlp`, instantiated at c.dl:2:7\n"
                "   = note: in layer `h.0`, instantiated at c.dl:3:7\n"
                "error: 1 error. `dlcc explain E0201` tells more.\n");
}

static void test_no_text(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    uint32_t f = compiler_add_source(cx, "m.onnx", NULL, 0);
    diag_report(cx, DIAG_E0201, loc_make(cx, (Loc){ .file = f, .owner = "/conv1/Conv" }), "m");
    diag_report(cx, DIAG_E0202, 0, "nowhere");
    check_print(cx, plain,
                "error[E0201]: m\n"
                "  --> m.onnx, node /conv1/Conv\n"
                "error[E0202]: nowhere\n"
                "error: 2 errors. `dlcc explain E0201` tells more.\n");
}

static void test_long_line(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    char *text = calloc(1, 3002);
    memset(text, 'a', 3000);
    memcpy(text + 1000, "here", 4);
    uint32_t f = add_source(cx, "l.dl", text);
    uint32_t d = diag_report(cx, DIAG_E0201, find(cx, f, "here", 0), "m");
    diag_add(cx, d, DIAG_LABEL, loc_make(cx, (Loc){ .file = f, .begin = 2000, .end = 2005 }),
             "far");
    char expected[2048], run[201];
    memset(run, 'a', 200);
    run[200] = 0;
    snprintf(expected, sizeof expected,
             "error[E0201]: m\n"
             "  --> l.dl:1:1001\n"
             "   |\n"
             " 1 | ..%.60shere%.136s..\n"
             "   | %62s^^^^%136s- far\n"
             "error: 1 error. `dlcc explain E0201` tells more.\n",
             run, run, "", "");
    check_print(cx, plain, expected);
    free(text);
}

static void test_limit_and_warning(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    for (int i = 0; i < DIAG_MAX_ERRORS + 5; i++)
        diag_report(cx, DIAG_E0201, 0, "error %d", i);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    diag_print_all(cx, out, false);
    fclose(out);
    assert_non_null(strstr(text, "error 19\n"));
    assert_null(strstr(text, "error 20\n"));
    assert_non_null(strstr(text, "error: 25 errors, the first 20 shown."));
    free(text);
    compiler_free(cx);
    check_print(compiler_new(), plain, "");
}

static void test_colour(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    uint32_t f = add_source(cx, "a.dl", "x\n");
    diag_report(cx, DIAG_E0201, find(cx, f, "x", 0), "m");
    check_print(cx, coloured,
                "\033[1;31merror[E0201]\033[1m: m\033[0m\n"
                "  \033[1;34m--> \033[0ma.dl:1:1\n"
                "   \033[1;34m|\033[0m\n"
                "\033[1;34m 1 |\033[0m x\n"
                "   \033[1;34m|\033[0m \033[1;31m^\033[0m\n"
                "\033[1;31merror\033[0m: 1 error. `dlcc explain E0201` tells more.\n");
}

static void test_json(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    uint32_t f = add_source(cx, "a.dl", "\xC3\xA9 \"x\"\ny\n");
    uint32_t d = diag_report(cx, DIAG_E0201, find(cx, f, "\"x\"\ny", 0), "tab\t quote \" bad \xFF");
    diag_add(cx, d, DIAG_HELP, 0, "h");
    diag_add(cx, d, DIAG_LABEL, find(cx, f, "y", 0), "l");
    check_print(
        cx, diag_print_json,
        "{\"v\":1,\"event\":\"diagnostic\","
        "\"severity\":\"error\",\"code\":\"E0201\",\"message\":\"tab\\u0009 quote \\\" bad "
        "\\ufffd\","
        "\"file\":\"a.dl\",\"line\":1,\"column\":3,\"end_line\":2,\"end_column\":2,\"parts\":["
        "{\"kind\":\"help\",\"text\":\"h\"},"
        "{\"kind\":\"label\",\"text\":\"l\",\"file\":\"a.dl\",\"line\":2,\"column\":1,\"end_line\":"
        "2,\"end_column\":2}"
        "]}\n");
}

static void test_explain(void **state)
{
    (void)state;
    DiagRow row = { "E9999", 1, "a title", "one two\nthree\n\n    kept  as it is\nlast" };
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    diag_explain(&row, out);
    fclose(out);
    assert_string_equal(text, "E9999: a title\n\none two\nthree\n\n    kept  as it is\nlast\n");
    free(text);
    for (int i = 0; i < DIAG_COUNT; i++) {
        out = open_memstream(&text, &size);
        diag_explain(&diag_rows[i], out);
        fclose(out);
        for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
            assert_true(end - line <= 100);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),    cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_widths),    cmocka_unit_test(test_chain),
        cmocka_unit_test(test_no_text),   cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_limit_and_warning), cmocka_unit_test(test_colour),
        cmocka_unit_test(test_json),      cmocka_unit_test(test_explain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
