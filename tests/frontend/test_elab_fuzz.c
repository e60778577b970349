/* test_elab_fuzz.c: programs with a few words changed elaborate to a sound Unit or say why not:
 * never a crash, never silence, never both. Deterministic; the words are those that mean something.
 */
#include "tests/frontend/elab_help.h"
#include "tests/frontend/syntax_help.h"

enum { ROUNDS = 25, MAX_TEXT = 1 << 16 };

static const char *const words[] = {
    "0",
    "1",
    "-1",
    "2",
    "B",
    "T",
    "x",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "..",
    ",",
    "^",
    "@",
    "/",
    "//",
    "*",
    "|>",
    "wrt",
    "grad(",
    "...",
    "1e30",
    "10^18",
    "2^62",
    "-inf",
    "nan",
    "true",
    "f32",
    "i32",
    "u8",
    "bool",
    "zeros",
    "w",
    "sum",
    "mean",
    "argmax",
    "[0, 1]",
    "[]",
    "\"\"",
    "\"*\"",
    "frozen(",
    "repeat i in 3 {",
    "if training {",
    "if x > 0 {",
    "scan v over x along 0 {",
    "yield x",
    "state s: f32 = 0",
    "param p: f32[2] = ones",
    "layer l = Linear(3)",
    "Linear(2)",
    "Conv2d(2, 3)",
    "BatchNorm2d",
    "one_hot(",
    "topk(",
    "split(",
    "concat(",
    "reshape(",
    "rearrange(\"a b -> b a\",",
    "einsum(\"i j, j k -> i k\",",
    "hessian(",
    "while x > 0 limit 5 {",
    "x[0]",
    "x[-1..]",
    "x[1..2]",
    "step",
    "select(",
    "0.5",
    "255",
};

static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

/* One stretch becomes a word, vanishes, or gets a word before it. */
static size_t change(char *text, size_t size, uint64_t *s)
{
    size_t at = next(s) % (size + 1), cut = 0;
    const char *word = words[next(s) % (sizeof words / sizeof *words)];
    while (at < size && at > 0 && is_letter(text[at - 1]))
        at++;
    uint64_t kind = next(s) % 3;
    if (kind)
        for (cut = 1; at + cut < size && is_letter(text[at + cut]);)
            cut++;
    if (at + cut > size)
        cut = size - at;
    size_t n = kind == 2 ? 0 : strlen(word);
    memmove(text + at + n, text + at + cut, size - at - cut);
    memcpy(text + at, word, n);
    return size - cut + n;
}

static void elaborate(const char *name, const char *text, size_t size)
{
    Compiler *cx = compiler_new();
    FrontendSetting t = { "T", "4" };
    FrontendOptions o = { .defines = &t, .n_defines = 1 };
    Unit *u = frontend_load_text(cx, PROGRAMS "/changed.dl", text, size, &o);
    const char *wrong = u ? unit_verify(cx->arena, u) : NULL;
    if (wrong || !u != (cx->errors != 0)) {
        fwrite(text, 1, size, stderr);
        fail_msg("%s, changed: %s", name, wrong ? wrong : "neither a unit nor a message");
    }
    for (uint32_t i = 0; i < cx->diags.n; i++)
        assert_int_not_equal(cx->diags.at[i].code, DIAG_E0001);
    compiler_free(cx);
}

static void changed(const TestFile *file)
{
    uint64_t seed = 88172645463325252u + file->size;
    char *text = malloc(MAX_TEXT);
    for (int round = 0; round < ROUNDS && file->size < MAX_TEXT / 2; round++) {
        size_t size = file->size;
        memcpy(text, file->text, size);
        for (uint64_t n = 1 + next(&seed) % 3; n > 0; n--)
            size = change(text, size, &seed);
        elaborate(file->name, text, size);
    }
    free(text);
}

static void changed_programs(void **state)
{
    (void)state;
    test_each(PROGRAMS, changed);
}

static void changed_mistakes(void **state)
{
    (void)state;
    test_each(DLCC_SOURCE_DIR "/tests/frontend/diag", changed);
}

static void changed_library(void **state)
{
    (void)state;
    test_each(DLCC_SOURCE_DIR "/frontend/std", changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_programs),
        cmocka_unit_test(changed_mistakes),
        cmocka_unit_test(changed_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
