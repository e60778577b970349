/* test_format.c: the formatter on the whole corpus (meaning kept, stable, not too wide), on cases
 * with the text they must give, and with comments and newlines put wherever the grammar lets them
 * stand. */
#include "frontend/diag_print.h"
#include "frontend/doc.h"
#include "frontend/syntax.h"

#include "tests/frontend/syntax_help.h"

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* The formatted text, or NULL if it does not parse. Checks that the tree and the comments are
 * kept, and that formatting it again changes nothing. */
static const char *format_text(Compiler *cx, const char *text)
{
    AstFile *file, *again;
    if (!syntax_parse(cx, compiler_add_source(cx, "t.dl", text, strlen(text)), &file))
        return NULL;
    const char *once = syntax_format(cx, file);
    if (!once)
        fail_msg("cannot be formatted:\n%s", text);
    assert_true(syntax_parse(cx, compiler_add_source(cx, "t.dl", once, strlen(once)), &again));
    if (!syntax_equal(cx, file, again))
        fail_msg("not equal:\n%s\n---\n%s", text, once);
    const char *twice = syntax_format(cx, again);
    if (!twice || strcmp(once, twice))
        fail_msg("not stable:\n%s\n---\n%s\n---\n%s", text, once, twice ? twice : "");
    return once;
}

/* No line is wider than the limit, but for comments. */
static void check_width(const char *name, const char *text)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        const char *code = memchr(text, '#', (size_t)(end - text));
        if ((code ? code : end) - text > DOC_WIDTH)
            fail_msg("%s: too wide: %.*s", name, (int)(end - text), text);
        assert_true(end == text || end[-1] != ' ');
    }
}

static void format_program(const TestFile *file)
{
    Compiler *cx = compiler_new();
    const char *text = format_text(cx, file->text);
    assert_non_null(text);
    check_width(file->name, text);
    compiler_free(cx);
}

static void test_programs(void **state)
{
    (void)state;
    test_each(PROGRAMS, format_program);
}

/* ---- Comments and newlines anywhere ---- */

static void perturb(const TestFile *file)
{
    static const char *const pieces[] = {
        "\n", " # c1\n", "\n# c2\n", "\n\n\n", "\n  # c3\n\n  # c4\n", ";", "  ", "(", ")"
    };
    uint64_t seed = 0x9E3779B97F4A7C15u + file->size;
    int parsed = 0;
    char *text = malloc(file->size + 200);
    for (int round = 0; round < 150; round++) {
        size_t size = file->size;
        memcpy(text, file->text, size);
        for (uint64_t k = next_random(&seed) % 4 + 1; k; k--) {
            const char *piece = pieces[next_random(&seed) % (sizeof pieces / sizeof *pieces)];
            size_t at = next_random(&seed) % size, n = strlen(piece);
            while (at < size && !strchr(" (,[{", text[at]))
                at++;
            at += at < size;
            memmove(text + at + n, text + at, size - at);
            memcpy(text + at, piece, n);
            size += n;
        }
        text[size] = 0;
        Compiler *cx = compiler_new();
        parsed += format_text(cx, text) != NULL;
        compiler_free(cx);
    }
    assert_true(parsed > 10);
    free(text);
}

static void test_perturbed(void **state)
{
    (void)state;
    test_each(PROGRAMS, perturb);
}

/* Narrow lines must all be broken somewhere, wide ones joined nowhere: names made longer or
 * shorter. */
static void stretch(const TestFile *file)
{
    for (int n = 1; n < 40; n += 6) {
        char *text = malloc(file->size * 8), *out = text;
        for (size_t i = 0; i < file->size && out - text < (long)file->size * 8 - 64; i++) {
            *out++ = file->text[i];
            if (file->text[i] == 'l' &&
                (i + 1 == file->size || strchr(" (,):.", file->text[i + 1])))
                for (int k = 0; k < n; k++)
                    *out++ = 'l';
        }
        *out = 0;
        Compiler *cx = compiler_new();
        format_text(cx, text);
        compiler_free(cx);
        free(text);
    }
}

static void test_stretched(void **state)
{
    (void)state;
    test_each(PROGRAMS, stretch);
}

/* ---- Cases ---- */

static void test_cases(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "", "" },
        { "\n\n# only a comment\n\n\n", "# only a comment\n" },
        { "const  a=1 ;const b : int= 2\n\n\n\nconst c=a*b+a * b^ 2",
          "const a = 1; const b: int = 2\n\nconst c = a*b + a * b^2\n" },
        { "const s = \"a\\u{41}\\t\\\\\\\"\"", "const s = \"aA\\t\\\\\\\"\"\n" },
        { "const r=[[1,2],\n[3,4]]", "const r = [[1, 2],\n           [3, 4]]\n" },
        { "const x=( ( a + b ) )*- c|>f|>g( a , b = 1 )",
          "const x = (a + b)*-c |> f |> g(a, b=1)\n" },
        { "const x=k[ : , a .. a+T , ... ]", "const x = k[:, a..a+T, ...]\n" },
        { "import \"a.dl\"as b # why\nextern fn f(x:f32[N])->f32[N]=\"f\"grad\"g\"",
          "import \"a.dl\" as b                                      # why\nextern fn f(x: f32[N]) "
          "-> f32[N] = \"f\" grad \"g\"\n" },
        { "layer L[ I,J ](O:int,p:float=0.5){param w:f32[O,I]=he\nparam bias:f32[O]=zeros\n\nstate "
          "s:f32=0\n"
          "fn(x:f32[...,I])->f32[...,O]{x@transpose(w)+bias}}",
          "layer L[I, J](O: int, p: float = 0.5) {\n"
          "  param w:    f32[O, I] = he\n"
          "  param bias: f32[O]    = zeros\n\n"
          "  state s: f32 = 0\n"
          "  fn (x: f32[..., I]) -> f32[..., O] { x @ transpose(w) + bias }\n"
          "}\n" },
        { "model M{}", "model M { }\n" },
        { "model M{\n\n# nothing here\n\n}", "model M {\n  # nothing here\n}\n" },
        { "fn f(a:f32,b:f32)->(x:f32,f32)where a<=b,b<3{\n# first\nc=a # beside\n# before "
          "d\n\n\nd=b;e=c\nyield d,e\n\n# last\n}\n# end",
          "fn f(a: f32, b: f32) -> (x: f32, f32) where a <= b, b < 3 {\n"
          "  # first\n"
          "  c = a                                                 # beside\n"
          "  # before d\n\n"
          "  d = b; e = c\n"
          "  yield d, e\n\n"
          "  # last\n"
          "}\n"
          "# end\n" },
        { "fn g(){if a{b}else if c{d}else 0\nif a{\nb}else{c}\nx=if not a and b{c}else{d}}",
          "fn g() {\n"
          "  if a { b } else if c { d } else 0\n"
          "  if a {\n"
          "    b\n"
          "  } else {\n"
          "    c\n"
          "  }\n"
          "  x = if not a and b { c } else { d }\n"
          "}\n" },
        { "fn h(){\ny=scan a,b over x,z along T,h=h0,c=1{h=f(a);yield h}\nrepeat b in s{x=b(x)}\n"
          "while a>b limit 50,c=1{a=1}\nk[:,0],_ , q:f32[B]=a,b,c}",
          "fn h() {\n"
          "  y = scan a, b over x, z along T, h = h0, c = 1 { h = f(a); yield h }\n"
          "  repeat b in s { x = b(x) }\n"
          "  while a > b limit 50, c = 1 { a = 1 }\n"
          "  k[:, 0], _, q: f32[B] = a, b, c\n"
          "}\n" },
        { "layer R{layers h [ depth ]=B(heads)\nlayers s[i in 0 .. 4]as\"stage\"=S(2^i)\nif "
          "a{param b:f32=0}else{state c:f32=1}\n"
          "layer d as \"x.0\"=L(1);layer e=L(2)}",
          "layer R {\n"
          "  layers h[depth] = B(heads)\n"
          "  layers s[i in 0..4] as \"stage\" = S(2^i)\n"
          "  if a { param b: f32 = 0 } else { state c: f32 = 1 }\n"
          "  layer d as \"x.0\" = L(1); layer e = L(2)\n"
          "}\n" },
        { "train M(D=3)as t on d.train{batch=32;optimizer[\"*.b\"]=sgd(decay=0)\nmetric a=loss on "
          "d.test\nupdate g{loss=l;times=5}\n}",
          "train M(D=3) as t on d.train {\n"
          "  batch = 32; optimizer[\"*.b\"] = sgd(decay=0)\n"
          "  metric a = loss on d.test\n"
          "  update g { loss = l; times = 5 }\n"
          "}\n" },
        { "data d=csv(\"x\")\n|>split(0.8) # fit\n|>standardize\nfn "
          "f(x:f32)->f32{\ny=x\n|>g\ny\n|> h}",
          "data d = csv(\"x\")\n"
          "      |> split(0.8)                                     # fit\n"
          "      |> standardize\n"
          "fn f(x: f32) -> f32 {\n"
          "  y = x\n"
          "    |> g\n"
          "  y\n"
          "    |> h\n"
          "}\n" },
        { "const x=f(a, # one\n# two\nb,\n\nc)",
          "const x = f(a,                                          # one\n"
          "            # two\n"
          "            b,\n"
          "            c)\n" },
        { "const x = some_function_name(first_argument_name, second_argument_name + "
          "third_name*fourth_name, "
          "[fifth, sixth], last)",
          "const x = some_function_name(first_argument_name, second_argument_name + "
          "third_name*fourth_name,\n"
          "                             [fifth, sixth], last)\n" },
        { "fn f(x: f32) -> f32 { a_long_name_of_a_layer(x) + another_long_name_of_a_layer(x) + "
          "a_third_one(x, y) }",
          "fn f(x: f32) -> f32 {\n"
          "  a_long_name_of_a_layer(x) + another_long_name_of_a_layer(x) + a_third_one(x, y)\n"
          "}\n" },
        { "const h = first_coefficient + a*(second_coefficient + a*(third_coefficient_long + "
          "a*(fourth_coefficient + a*fifth)))",
          "const h = first_coefficient +\n"
          "    a*(second_coefficient + a*(third_coefficient_long + a*(fourth_coefficient + "
          "a*fifth)))\n" },
        { "const y = g(if the_condition_is_rather_long { the_first_value } else { the_second_value "
          "}, "
          "and_then_one_more_argument)",
          "const y = g(if the_condition_is_rather_long { the_first_value } else { the_second_value "
          "},\n"
          "            and_then_one_more_argument)\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Compiler *cx = compiler_new();
        const char *text = format_text(cx, cases[i][0]);
        if (!text)
            diag_print_all(cx, stderr, false);
        assert_non_null(text);
        assert_string_equal(text, cases[i][1]);
        compiler_free(cx);
    }
}

/* Trees that differ must not compare equal. */
static void test_unequal(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "const a = 1", "const a = 1.0" },
        { "const a = b + c", "const a = b - c" },
        { "const a = (b + c)*d", "const a = b + c*d" },
        { "const a = \"x\"", "const a = \"y\"" },
        { "const a = f(x)", "const a = f(x=x)" },
        { "const a = x[:]", "const a = x[...]" },
        { "const a = x |> f", "const a = f(x)" },
        { "const a = 1 # c", "const a = 1 # d" },
        { "fn f() { a; b }", "fn f() { a, b }" },
        { "const a = (b, c)", "const a = [b, c]" },
        { "train M { a = b }", "train M { a = c }" },
        { "const a = b..", "const a = ..b" },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        Compiler *cx = compiler_new();
        AstFile *a, *b;
        assert_true(
            syntax_parse(cx, compiler_add_source(cx, "a", pairs[i][0], strlen(pairs[i][0])), &a));
        assert_true(
            syntax_parse(cx, compiler_add_source(cx, "b", pairs[i][1], strlen(pairs[i][1])), &b));
        assert_true(syntax_equal(cx, a, a));
        assert_false(syntax_equal(cx, a, b));
        compiler_free(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs),  cmocka_unit_test(test_cases),
        cmocka_unit_test(test_perturbed), cmocka_unit_test(test_stretched),
        cmocka_unit_test(test_unequal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
