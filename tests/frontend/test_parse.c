/* test_parse.c: the programs of the corpus parse, and trees have the shape that the grammar says:
 * precedence, association, statement ends, contextual keywords, numbers and strings. */
#include "frontend/syntax.h"

#include "frontend/name.h"
#include "tests/frontend/syntax_help.h"

static void parse_program(const TestFile *file)
{
    Compiler *cx = compiler_new();
    AstFile *ast;
    bool ok = syntax_parse(cx, compiler_add_source(cx, file->name, file->text, file->size), &ast);
    if (!ok)
        fail_msg("%s: %s", loc_text(cx, cx->diags.at[0].loc), cx->diags.at[0].message);
    assert_true(ast->n_items > 0);
    compiler_free(cx);
}

static void test_programs(void **state)
{
    (void)state;
    assert_true(test_each(PROGRAMS, parse_program) >= 30);
}

/* The tree with all its parentheses, as in "(a + (b * c))". */
static void spell(Compiler *cx, char *out, const AstExpr *e)
{
    out += strlen(out);
    switch (e->kind) {
    case AST_EXPR_NUMBER: strcat(out, e->number.spelling); break;
    case AST_EXPR_NAME: strcat(out, e->name.text); break;
    case AST_EXPR_UNARY:
        strcat(out, e->unary.op == AST_NEG ? "(-" : "(not ");
        spell(cx, out, e->unary.x);
        strcat(out, ")");
        break;
    case AST_EXPR_BINARY:
        strcat(out, "(");
        spell(cx, out, e->binary.left);
        sprintf(out + strlen(out), " %s ", ast_binary_text(e->binary.op));
        spell(cx, out, e->binary.right);
        strcat(out, ")");
        break;
    case AST_EXPR_PIPE:
        strcat(out, "(");
        spell(cx, out, e->pipe.left);
        strcat(out, " |> ");
        spell(cx, out, e->pipe.right);
        strcat(out, ")");
        break;
    case AST_EXPR_RANGE:
        strcat(out, "(");
        if (e->range.from)
            spell(cx, out, e->range.from);
        strcat(out, "..");
        if (e->range.to)
            spell(cx, out, e->range.to);
        strcat(out, ")");
        break;
    case AST_EXPR_FIELD:
        spell(cx, out, e->field.base);
        sprintf(out + strlen(out), ".%s", e->field.name.text);
        break;
    case AST_EXPR_CALL:
        spell(cx, out, e->call.callee);
        strcat(out, "(");
        for (uint32_t i = 0; i < e->call.n_args; i++) {
            if (e->call.args[i].name.text)
                sprintf(out + strlen(out), "%s=", e->call.args[i].name.text);
            if (e->call.args[i].value)
                spell(cx, out, e->call.args[i].value);
            else
                strcat(out, "...");
            strcat(out, i + 1 < e->call.n_args ? ", " : "");
        }
        strcat(out, ")");
        break;
    case AST_EXPR_INDEX:
        spell(cx, out, e->index.base);
        strcat(out, "[");
        for (uint32_t i = 0; i < e->index.n_items; i++) {
            const AstIndex *item = &e->index.items[i];
            if (item->kind == AST_INDEX_EXPR)
                spell(cx, out, item->expr);
            else
                strcat(out, item->kind == AST_INDEX_ALL ? ":" : "...");
            strcat(out, i + 1 < e->index.n_items ? ", " : "");
        }
        strcat(out, "]");
        break;
    case AST_EXPR_LIST:
    case AST_EXPR_TUPLE:
        strcat(out, e->kind == AST_EXPR_LIST ? "[" : "<");
        for (uint32_t i = 0; i < e->list.n; i++) {
            spell(cx, out, e->list.at[i]);
            strcat(out, i + 1 < e->list.n ? ", " : "");
        }
        strcat(out, e->kind == AST_EXPR_LIST ? "]" : ">");
        break;
    case AST_EXPR_STRING: sprintf(out, "'%s'", e->string.text); break;
    case AST_EXPR_IF: strcat(out, "IF"); break;
    case AST_EXPR_SCAN: strcat(out, "SCAN"); break;
    case AST_EXPR_ERROR: strcat(out, "ERROR"); break;
    }
}

static AstFile *parse_text(Compiler *cx, const char *text)
{
    AstFile *ast;
    bool ok = syntax_parse(cx, compiler_add_source(cx, "t.dl", text, strlen(text)), &ast);
    if (!ok)
        fail_msg("%s\n%s: %s", text, loc_text(cx, cx->diags.at[0].loc), cx->diags.at[0].message);
    return ast;
}

static void check_expr(const char *text, const char *expected)
{
    Compiler *cx = compiler_new();
    char source[512], out[1024] = "";
    snprintf(source, sizeof source, "const x = %s\n", text);
    AstFile *ast = parse_text(cx, source);
    spell(cx, out, ast->items[0]->constant.value);
    assert_string_equal(out, expected);
    compiler_free(cx);
}

static void test_precedence(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        { "a + b * c", "(a + (b * c))" },
        { "a - b - c", "((a - b) - c)" },
        { "a / b @ c // d % e", "((((a / b) @ c) // d) % e)" },
        { "-x^2", "(-(x ^ 2))" },
        { "2^-1", "(2 ^ (-1))" },
        { "2^3^4", "(2 ^ (3 ^ 4))" },
        { "-a*b", "((-a) * b)" },
        { "a*-b", "(a * (-b))" },
        { "not a == b and c", "((not (a == b)) and c)" },
        { "a or b and not c or d", "((a or (b and (not c))) or d)" },
        { "not not a", "(not (not a))" },
        { "a + b < c * d", "((a + b) < (c * d))" },
        { "x |> f |> g(a)", "((x |> f) |> g(a))" },
        { "a or b |> f", "((a or b) |> f)" },
        { "x + (y |> m.f)", "(x + (y |> m.f))" },
        { "a..b + 1", "(a..(b + 1))" },
        { "k[:, a.., ..-1, 2*H..3*H, ...]", "k[:, (a..), (..(-1)), ((2 * H)..(3 * H)), ...]" },
        { "0..13", "(0..13)" },
        { "f(x)(y)[0].b", "f(x)(y)[0].b" },
        { "f(a, b=1, c=-x)", "f(a, b=1, c=(-x))" },
        { "rand(...)", "rand(...)" },
        { "(a, b)", "<a, b>" },
        { "((a))", "a" },
        { "[[1, 2], []]", "[[1, 2], []]" },
        { "a\n  |> f\n\n  # between\n  |> g", "((a |> f) |> g)" },
        { "a +\n b", "(a + b)" },
        { "(a\n + b)", "(a + b)" },
        { "a and\n b", "(a and b)" },
        { "scan + yield * if2", "(scan + (yield * if2))" },
        { "scan(over, along)", "scan(over, along)" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        check_expr(table[i][0], table[i][1]);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
        bool is_integer;
        int64_t integer;
    } table[] = {
        { "0", 0, true, 0 },
        { "50257", 50257, true, 50257 },
        { "9223372036854775807", 9223372036854775807.0, true, INT64_MAX },
        { "0.5", 0.5, false, 0 },
        { "8.8e13", 8.8e13, false, 0 },
        { "3e-3", 3e-3, false, 0 },
        { "1E+2", 100, false, 0 },
        { "0.1", 0.1, false, 0 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        Compiler *cx = compiler_new();
        char source[64];
        snprintf(source, sizeof source, "const x = %s", table[i].text);
        const AstExpr *e = parse_text(cx, source)->items[0]->constant.value;
        assert_int_equal(e->kind, AST_EXPR_NUMBER);
        assert_true(e->number.value == table[i].value);
        assert_int_equal(e->number.is_integer, table[i].is_integer);
        if (table[i].is_integer)
            assert_true(e->number.integer == table[i].integer);
        assert_string_equal(e->number.spelling, table[i].text);
        compiler_free(cx);
    }
}

static void test_strings(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    const char *text = "const s = \"a\\tb\\u{20AC}c\\\"\"";
    const AstExpr *e = parse_text(cx, text)->items[0]->constant.value;
    assert_string_equal(e->string.text, "a\tb\xE2\x82\xAC" "c\"");
    assert_int_equal(e->string.size, 8);
    /* byte 1 is the escape \t, bytes 3..6 the euro sign, byte 6 `c`, byte 8 the end */
    static const uint32_t table[][4] = {
        { 0, 1, 11, 12 }, { 1, 2, 12, 14 }, { 3, 6, 15, 23 },
        { 6, 7, 23, 24 }, { 0, 8, 11, 26 }, { 8, 9, 26, 27 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const Loc *loc = loc_get(cx, ast_string_loc(cx, &e->string, table[i][0], table[i][1]));
        assert_int_equal(loc->begin, table[i][2]);
        assert_int_equal(loc->end, table[i][3]);
    }
    compiler_free(cx);
}

/* Keywords are names where the grammar does not ask for them. */
static void test_contextual_keywords(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    AstFile *ast =
        parse_text(cx, "layer metric(on: int, layer: layer, data: int) {\n"
                       "  fn (metric: f32, state: f32, over: f32) -> f32 {\n"
                       "    param = state * over; yield = 3; repeat = 2; model, train = f(param)\n"
                       "    layer |> metric(data)\n"
                       "    while = limit + along; scan = scan\n"
                       "    const + in\n"
                       "  }\n"
                       "}\n"
                       "train metric { metric = 1; update = 2; on = 3 }");
    assert_int_equal(ast->n_items, 2);
    const AstBlock *body = ast->items[0]->layer.members.at[0]->fn->body;
    assert_int_equal(body->n_stmts, 8);
    assert_int_equal(body->stmts[3]->kind, AST_STMT_ASSIGN);
    assert_int_equal(body->stmts[3]->assign.n_targets, 2);
    assert_int_equal(ast->items[1]->train.recipe.n_entries, 3);
    assert_ptr_equal(ast->items[0]->layer.name.text, name_of(cx, "metric"));
    compiler_free(cx);
}

static void test_statement_ends(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    AstFile *ast =
        parse_text(cx, "fn f(a: f32,\n     b: f32) -> (x: f32, f32) where a <= b, b < 3 {\n"
                       "  c = if a { b }   # first\n"
                       "  # between\n"
                       "  else { a }; d: f32[...] = [1,\n 2]\n"
                       "  k[:, 0], _ = c, d\n"
                       "  -c\n"
                       "}");
    const AstFn *fn = ast->items[0]->fn;
    assert_int_equal(fn->sig.n_params, 2);
    assert_int_equal(fn->sig.n_results, 2);
    assert_int_equal(fn->sig.n_wheres, 2);
    assert_int_equal(fn->body->n_stmts, 4);
    assert_non_null(fn->body->stmts[0]->assign.values[0]->branch.otherwise);
    assert_int_equal(fn->body->stmts[1]->assign.targets[0].type->n_dims, 1);
    assert_int_equal(fn->body->stmts[2]->assign.targets[0].n_items, 2);
    assert_int_equal(ast->n_comments, 2);
    assert_false(ast->comments[0].own_line);
    assert_true(ast->comments[1].own_line);
    compiler_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_contextual_keywords),
        cmocka_unit_test(test_statement_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
