/* test_import_hostile.c: graphs that are sound as messages and not as models, and models made to
 * take time: each is refused with its message, or translated in time that grows as the model. */
#include "tests/onnx/corpus.h"
#include "tests/onnx/load_help.h"

/* `in` and `out` may be NULL. */
static void add_node(Bytes *to, uint32_t field, const char *op, const char *in, const char *more,
                     const char *out)
{
    Bytes n = { 0 };
    if (in)
        b_text(&n, 1, in);
    if (more)
        b_text(&n, 1, more);
    if (out)
        b_text(&n, 2, out);
    b_text(&n, 4, op);
    if (*op == 'F') /* of the functions below */
        b_text(&n, 7, "f");
    b_message(to, field, &n);
}

static Bytes graph_of(const char *input, const char *output)
{
    Bytes g = { 0 };
    b_value(&g, 11, input, 1, (int64_t[]){ 2 }, 1);
    b_value(&g, 12, output, 1, (int64_t[]){ 2 }, 1);
    return g;
}

static void add_weight(Bytes *graph, const char *name)
{
    Bytes t = { 0 };
    b_int(&t, 1, 2);
    b_int(&t, 2, 1);
    b_text(&t, 8, name);
    b_bytes(&t, 9, (float[]){ 1, 2 }, 8);
    b_message(graph, 5, &t);
}

/* Loads the graph, and wants this exit code, and this in the first message unless it is NULL. */
static void check_model(Bytes *b, int code, const char *message)
{
    Loaded l = load_bytes(b);
    const char *text = l.cx->diags.n ? l.cx->diags.at[0].message : "no error";
    if (l.code != code || (message && !strstr(text, message)))
        fail_msg("exit code %d, %s; expected %d, %s", l.code, text, code, message ? message : "-");
#ifndef __SANITIZE_ADDRESS__
    if (l.seconds > 5)
        fail_msg("%.1f s", l.seconds);
#endif
    compiler_free(l.cx);
}

static void check_graph(Bytes *graph, int code, const char *message)
{
    Bytes b = b_model_of(graph);
    check_model(&b, code, message);
}

/* ---- contradictions ---- */

static void test_order(void **state)
{
    (void)state;
    Bytes g = graph_of("x", "a");
    add_node(&g, 1, "Add", "b", "x", "a");
    add_node(&g, 1, "Neg", "a", NULL, "b");
    check_graph(&g, 3, "no node, input or initializer before it gives `a`"); /* they go in a ring */
    g = graph_of("x", "y");
    add_node(&g, 1, "Neg", "y", NULL, "y");
    check_graph(&g, 3, "no node, input or initializer before it gives `y`");
    g = graph_of("x", "y");
    add_node(&g, 1, "Neg", "missing", NULL, "y");
    check_graph(&g, 3, "no node, input or initializer before it gives `missing`");
    g = graph_of("x", "none");
    add_node(&g, 1, "Neg", "x", NULL, "y");
    check_graph(&g, 3, "nothing gives the output `none`");
}

static void test_twice(void **state)
{
    (void)state;
    Bytes g = graph_of("x", "y");
    add_node(&g, 1, "Neg", "x", NULL, "y");
    add_node(&g, 1, "Abs", "x", NULL, "y");
    check_graph(&g, 3, "the value `y` is given twice");
    g = graph_of("x", "y");
    add_weight(&g, "w");
    add_weight(&g, "w");
    add_node(&g, 1, "Add", "x", "w", "y");
    check_graph(&g, 3, "the initializer `w` is given twice");
    g = graph_of("x", "y");
    b_value(&g, 11, "x", 1, (int64_t[]){ 2 }, 1);
    add_node(&g, 1, "Neg", "x", NULL, "y");
    check_graph(&g, 3, "declared twice");
}

static void test_bare(void **state)
{
    (void)state;
    Bytes g = { 0 };
    check_graph(&g, 3, "the graph has no output");
    g = graph_of("x", "y");
    Bytes node = { 0 };
    b_message(&g, 1, &node); /* no operator, no inputs, no outputs */
    check_graph(&g, 3, NULL);
    g = graph_of("x", "y");
    add_node(&g, 1, "Relu", NULL, NULL, "y");
    check_graph(&g, 3, NULL);
    g = graph_of("x", "y");
    add_node(&g, 1, "NoSuchOperator", "x", NULL, "y");
    check_graph(&g, 4, "1 node of this model cannot be translated");
}

/* ---- functions ---- */

/* Function number k, whose body calls function number `to` twice; to < 0: Neg. */
static void add_function(Bytes *model, int k, int to)
{
    Bytes f = { 0 }, opset = { 0 };
    char name[16], callee[16] = "Neg";
    snprintf(name, sizeof name, "F%d", k);
    if (to >= 0)
        snprintf(callee, sizeof callee, "F%d", to);
    b_text(&f, 1, name);
    b_text(&f, 10, "f");
    b_text(&f, 4, "a");
    b_text(&f, 5, "b");
    add_node(&f, 7, callee, "a", NULL, "c");
    add_node(&f, 7, callee, "c", NULL, "b");
    b_int(&opset, 2, 17);
    b_message(&f, 9, &opset);
    b_message(model, 25, &f);
}

static Bytes function_model(int first)
{
    Bytes b = b_model(), opset = { 0 }, g = graph_of("x", "y");
    char name[16];
    snprintf(name, sizeof name, "F%d", first);
    add_node(&g, 1, name, "x", NULL, "y");
    b_message(&b, 7, &g);
    b_text(&opset, 1, "f");
    b_int(&opset, 2, 1);
    b_message(&b, 8, &opset);
    return b;
}

static void test_functions(void **state)
{
    (void)state;
    Bytes b = function_model(3);
    for (int i = 0; i <= 3; i++)
        add_function(&b, i, i - 1);
    check_model(&b, 0, NULL);
    b = function_model(0);
    add_function(&b, 0, 0);
    check_model(&b, 3, "bodies lie more than 32 deep");
    b = function_model(1);
    add_function(&b, 0, 1);
    add_function(&b, 1, 0);
    check_model(&b, 3, "bodies lie more than 32 deep");
    b = function_model(30); /* two to the thirtieth nodes */
    for (int i = 0; i <= 30; i++)
        add_function(&b, i, i - 1);
    check_model(&b, 4, "more than 65536 nodes");
    b = function_model(0);
    for (int i = 0; i <= 5000; i++)
        add_function(&b, i, -1);
    check_model(&b, 4, "more than 4096 functions");
}

/* ---- time ---- */

enum { MANY = 30000 };

static void test_many_inputs(void **state)
{
    (void)state;
    Bytes g = graph_of("x", "y");
    char name[32];
    add_node(&g, 1, "Relu", "x", NULL, "y");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "w%d", i);
        b_value(&g, 11, name, 1, (int64_t[]){ 2 }, 1);
        snprintf(name, sizeof name, "w%d", MANY - 1 - i);
        add_weight(&g, name);
    }
    check_graph(&g, 0, NULL);
}

/* Names that differ in signs only, all of which become the same identifier. */
static void test_names_alike(void **state)
{
    (void)state;
    char name[64], last[64] = "x";
    Bytes g = { 0 };
    for (int i = 1; i <= MANY / 3; i++) {
        char *to = stpcpy(name, "a");
        for (int k = i; k; k /= 2)
            to = stpcpy(to, k % 2 ? "/+" : "/-");
        add_node(&g, 1, "Neg", last, NULL, name);
        strcpy(last, name);
    }
    b_value(&g, 11, "x", 1, (int64_t[]){ 2 }, 1);
    b_value(&g, 12, last, 1, (int64_t[]){ 2 }, 1);
    check_graph(&g, 0, NULL);
}

static void test_many_operators(void **state)
{
    (void)state;
    Bytes g = graph_of("x", "y0");
    char op[32], out[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(op, sizeof op, "Operator%d", i);
        snprintf(out, sizeof out, "y%d", i);
        add_node(&g, 1, op, "x", NULL, out);
    }
    Bytes b = b_model_of(&g);
    Loaded l = load_bytes(&b);
    assert_int_equal(l.code, 4);
    assert_int_equal(l.cx->diags.n, 1);
    assert_string_equal(l.cx->diags.at[0].message,
                        "30000 nodes of this model cannot be translated");
    assert_int_equal(l.cx->diags.at[0].parts.n, 101); /* the last one is all others */
    compiler_free(l.cx);
}

/* The text of a sum grew by copying itself, and took a gigabyte. */
static void test_long_sum(void **state)
{
    (void)state;
    Bytes g = graph_of("x", "y"), node = { 0 };
    for (int i = 0; i < MANY; i++)
        b_text(&node, 1, "x");
    b_text(&node, 2, "y");
    b_text(&node, 4, "Sum");
    b_message(&g, 1, &node);
    check_graph(&g, 3, "too long");
}

static void test_long_list(void **state)
{
    (void)state;
    enum { N = 4096 };
    Bytes g = { 0 }, t = { 0 }, list = { 0 };
    for (int i = 0; i < N; i++)
        b_varint(&list, INT64_MAX - i);
    b_int(&t, 1, N);
    b_int(&t, 2, 7);
    b_text(&t, 8, "w");
    b_message(&t, 7, &list);
    b_message(&g, 5, &t);
    add_node(&g, 1, "Add", "w", "x", "y");
    b_value(&g, 11, "x", 7, (int64_t[]){ N }, 1);
    b_value(&g, 12, "y", 7, (int64_t[]){ N }, 1);
    check_graph(&g, 0, NULL);
}

/* `import_*` are sound and reach each operator. */
static void load_file(const char *name, const Bytes *b)
{
    Bytes own = { 0 };
    b_raw(&own, b->at, b->n);
    Loaded l = load_bytes(&own);
    if (l.code != 0 && l.code != 1 && l.code != 3 && l.code != 4)
        fail_msg("%s: exit code %d", name, l.code);
    assert_int_equal(l.unit == NULL, l.cx->errors > 0);
    if (!strncmp(name, "import_", 7) && !l.unit)
        fail_msg("%s: %s", name, l.cx->diags.at[0].message);
    compiler_free(l.cx);
}

static void test_corpus(void **state)
{
    (void)state;
    corpus_each(load_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_many_inputs),
        cmocka_unit_test(test_names_alike),
        cmocka_unit_test(test_many_operators),
        cmocka_unit_test(test_long_sum),
        cmocka_unit_test(test_long_list),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
