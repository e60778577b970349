/* test_syntax_fuzz.c: no text crashes the parser or the printer of diagnostics, and none hangs it:
 * every prefix of every program, seeded random damage, and texts built to be costly. Whatever
 * parses is formatted, too. */
#include "frontend/diag_print.h"
#include "frontend/syntax.h"

#include "tests/frontend/syntax_help.h"

static FILE *sink;

static void parse_bytes(const char *text, size_t size)
{
    Compiler *cx = compiler_new();
    AstFile *file;
    bool ok = syntax_parse(cx, compiler_add_source(cx, "f.dl", text, size), &file);
    assert_int_equal(ok, cx->errors == 0);
    if (!ok) {
        diag_print_all(cx, sink, false);
        diag_print_json(cx, sink);
    } else {
        assert_non_null(syntax_format(cx, file));
    }
    compiler_free(cx);
}

static void parse_prefixes(const TestFile *file)
{
    for (size_t n = 0; n <= file->size; n++)
        parse_bytes(file->text, n);
}

static void test_prefixes(void **state)
{
    (void)state;
    test_each(PROGRAMS, parse_prefixes);
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* Overwrites, removes, doubles or swaps stretches, or puts in something that means much. */
static void damage(const TestFile *file)
{
    static const char *const pieces[] = {
        "(",    ")",      "[",         "]",    "{",
        "}",    "\"",     "\n",        ";",    "=",
        "|>",   "..",     "...",       "if ",  "scan a over b along c ",
        "fn ",  "layer ", "model M {", "->",   "\\",
        "\xFF", "else ",  "^",         "not ", ",",
        ":",    "#",      "/*",        "1e",   "-"
    };
    char *text = malloc(file->size + 64);
    uint64_t seed = 88172645463325252u + file->size;
    for (int round = 0; round < 300; round++) {
        size_t size = file->size;
        memcpy(text, file->text, size);
        for (uint64_t k = next_random(&seed) % 4 + 1; k && size > 40; k--) {
            size_t at = next_random(&seed) % size, n = next_random(&seed) % 20;
            n = at + n > size ? size - at : n;
            const char *piece = pieces[next_random(&seed) % (sizeof pieces / sizeof *pieces)];
            switch (next_random(&seed) % 4) {
            case 0: text[at] = (char)next_random(&seed); break;
            case 1: memmove(text + at, text + at + n, size - at - n), size -= n; break;
            case 2: memcpy(text + at, piece, strlen(piece) < size - at ? strlen(piece) : 0); break;
            case 3: memmove(text + at, text + next_random(&seed) % (size - n), n); break;
            }
        }
        parse_bytes(text, size);
    }
    free(text);
}

static void test_damage(void **state)
{
    (void)state;
    test_each(PROGRAMS, damage);
}

/* One piece, many times: deep, long, or with an error at each. Half the size limit: time must stay
 * linear. */
static void test_costly(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "(",
        "[",
        "{",
        "fn f() {",
        "if a {",
        "-",
        "not ",
        "a+",
        "a^",
        "a|>",
        "x(",
        "x[",
        "a.",
        "\n",
        "#\n",
        " ",
        ";",
        "a ",
        "a=",
        "else ",
        "else if a {} ",
        "}",
        ")",
        "fn f(a: [",
        "model M {\n",
        "x = (\n",
        "\"",
        "\\",
        "&",
        "\xC2\xAC",
        "1 ",
        "/*",
        "return ",
        "if a {}\n",
        "layer a {}",
        "update a {",
        "a,",
        "f(a\n",
        "=",
        "scan a over ",
        "fn (",
        "const a = (1\n",
        "param a: b\n",
        "train a {",
        "{}",
        "{}\n",
        "  }\n",
        "a(b)",
        "a\n#\n\n",
    };
    static const char *const before[] = { "", "fn f() {\n", "const a = ", "model M { fn f() { x\n",
                                          "train M { " };
    size_t size = SYNTAX_MAX_BYTES / 64;
    char *text = malloc(size);
    for (size_t b = 0; b < sizeof before / sizeof *before; b++)
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            size_t n = strlen(before[b]), piece = strlen(pieces[i]);
            memcpy(text, before[b], n);
            for (; n + piece <= size; n += piece)
                memcpy(text + n, pieces[i], piece);
            parse_bytes(text, n);
        }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_costly),
    };
    sink = fopen("/dev/null", "w");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fclose(sink);
    return failed;
}
