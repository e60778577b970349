/* Bodies of functions and of branches: names of their own, tensors that bear the same name, and
 * which branch is taken. */
#include "tests/onnx/load_help.h"

#include "ir/interp.h"

#include <math.h>

enum { FLOAT = 1, BOOL = 9, LONG = 100 }; /* LONG: too many elements to be written out */

static void strings(Bytes *b, uint32_t field, const char *spaced)
{
    char name[40];
    for (int n; sscanf(spaced, " %39s%n", name, &n) == 1; spaced += n)
        b_text(b, field, name);
}

static Bytes node_of(const char *domain, const char *op, const char *in, const char *out)
{
    Bytes n = { 0 };
    strings(&n, 1, in);
    strings(&n, 2, out);
    b_text(&n, 4, op);
    b_text(&n, 7, domain);
    return n;
}

static void node(Bytes *graph, uint32_t field, const char *op, const char *in, const char *out)
{
    Bytes n = node_of("", op, in, out);
    b_message(graph, field, &n);
}

/* n floats v, v, .. named `name`. */
static Bytes floats(const char *name, int64_t n, float v)
{
    Bytes t = { 0 }, data = { 0 };
    b_int(&t, 1, n);
    b_int(&t, 2, FLOAT);
    b_text(&t, 8, name);
    for (int64_t i = 0; i < n; i++)
        b_raw(&data, &v, sizeof v);
    b_message(&t, 9, &data);
    return t;
}

/* Adds `attribute name: message`, of the type and the field that hold such. */
static void attribute(Bytes *node, const char *name, int type, uint32_t field, Bytes *message)
{
    Bytes a = { 0 };
    b_text(&a, 1, name);
    b_message(&a, field, message);
    b_int(&a, 20, type);
    b_message(node, 5, &a);
}

/* x: f32[dims] in, y out, both declared. */
static void ends(Bytes *graph, const int64_t *dims, size_t rank)
{
    b_text(graph, 2, "g");
    b_value(graph, 11, "x", FLOAT, dims, rank);
    b_value(graph, 12, "y", FLOAT, dims, 0);
}

/* The one result, on x full of ones. */
static Value run(Loaded l)
{
    if (!l.unit)
        fail_msg("%s", l.cx->diags.at[0].message);
    const Entry *e = NULL;
    Arena *a = l.cx->arena;
    for (uint32_t i = 0; i < l.unit->entries.n && !e; i++)
        e = l.unit->entries.at[i].kind == ENTRY_EXPORT ? &l.unit->entries.at[i] : NULL;
    assert_non_null(e);
    Value in = value_new(a, DT_F32, &e->graph->inputs.at[0].shape, 1), out;
    for (int64_t j = 0; j < in.count; j++)
        in.f[j] = 1;
    Value *tensors = arena_new_array(a, Value, l.unit->tensors.n + 1);
    for (uint32_t i = 0; i < l.unit->tensors.n; i++) {
        const Tensor *t = &l.unit->tensors.at[i];
        assert_non_null(t->data);
        tensors[i] = value_from_bytes(a, t->data_dtype, &t->shape, t->data);
    }
    InterpArgs args = { .batch = 1, .inputs = &in };
    const char *wrong = interp_entry(a, e->graph, &args, tensors, &out);
    if (wrong)
        fail_msg("%s", wrong);
    return out;
}

static void expect_all(Loaded l, int64_t count, double v)
{
    Value y = run(l);
    assert_int_equal(y.count, count);
    for (int64_t i = 0; i < count; i++)
        if (fabs(y.f[i] - v) > 1e-6)
            fail_msg("element %d is %.9g, not %.9g", (int)i, y.f[i], v);
    compiler_free(l.cx);
}

/* ---- Tensors that bear the same name ---- */

/* x -> x + w, where w is a constant of the body. */
static void add_function(Bytes *model, const char *name, float w)
{
    Bytes f = { 0 }, opset = { 0 }, constant = node_of("", "Constant", "", "w");
    Bytes data = floats("value", LONG, w);
    b_text(&f, 1, name);
    b_text(&f, 4, "x");
    b_text(&f, 5, "y");
    attribute(&constant, "value", 4, 5, &data);
    b_message(&f, 7, &constant);
    node(&f, 7, "Add", "x w", "y");
    b_int(&opset, 2, 17);
    b_message(&f, 9, &opset);
    b_text(&f, 10, "local");
    b_message(model, 25, &f);
}

/* Two functions, one of them called twice, and the model, each with a `w`. */
static void functions_have_their_own_tensors(void **state)
{
    (void)state;
    static const int64_t dims[] = { LONG };
    Bytes graph = { 0 }, w = floats("w", LONG, 4);
    Bytes a = node_of("local", "A", "x", "p"), b = node_of("local", "B", "p", "q"),
          c = node_of("local", "A", "q", "r");
    ends(&graph, dims, 1);
    b_message(&graph, 1, &a);
    b_message(&graph, 1, &b);
    b_message(&graph, 1, &c);
    node(&graph, 1, "Mul", "r w", "y");
    b_message(&graph, 5, &w);
    Bytes model = b_model_of(&graph);
    add_function(&model, "A", 10);
    add_function(&model, "B", 100);
    expect_all(load_bytes(&model), LONG, (1 + 10 + 100 + 10) * 4);
}

/* ---- Branches ---- */

/* x -> x + w, with an initializer w. */
static Bytes branch(const char *result, float w)
{
    Bytes g = { 0 }, data = floats("w", LONG, w);
    node(&g, 1, "Add", "x w", result);
    b_text(&g, 2, "branch");
    b_message(&g, 5, &data);
    b_value(&g, 12, result, FLOAT, NULL, 0);
    return g;
}

static void add_if(Bytes *graph, const char *condition, const char *out, float yes, float no)
{
    char name[2][20];
    snprintf(name[0], sizeof *name, "%s_yes", out);
    snprintf(name[1], sizeof *name, "%s_no", out);
    Bytes n = node_of("", "If", condition, out), then = branch(name[0], yes),
          other = branch(name[1], no);
    attribute(&n, "then_branch", 5, 6, &then);
    attribute(&n, "else_branch", 5, 6, &other);
    b_message(graph, 1, &n);
}

/* Whether the last dim is LONG, as exporters ask it, decides; both have a tensor `w`. */
static void the_branch_follows_from_shapes(void **state)
{
    (void)state;
    static const int64_t dims[] = { LONG };
    Bytes graph = { 0 };
    ends(&graph, dims, 1);
    node(&graph, 1, "Shape", "x", "s");
    node(&graph, 1, "Equal", "s s", "same");
    node(&graph, 1, "Squeeze", "same", "c");
    node(&graph, 1, "Not", "c", "d");
    add_if(&graph, "c", "p", 10, 20);
    add_if(&graph, "d", "q", 1000, 2000);
    node(&graph, 1, "Sub", "q p", "y");
    Bytes model = b_model_of(&graph);
    expect_all(load_bytes(&model), LONG, 2001 - 11);
}

static void a_condition_of_data_is_refused(void **state)
{
    (void)state;
    static const int64_t dims[] = { LONG };
    Bytes graph = { 0 };
    ends(&graph, dims, 1);
    node(&graph, 1, "ReduceMax", "x", "m");
    node(&graph, 1, "IsNaN", "m", "c");
    add_if(&graph, "c", "y", 10, 20);
    Bytes model = b_model_of(&graph);
    Loaded l = load_bytes(&model);
    assert_int_equal(l.code, 4);
    compiler_free(l.cx);
}

/* Branches in branches, deeper than any file has need of: refused, and never a crash. */
static void depth_is_bounded(void **state)
{
    (void)state;
    static const int64_t dims[] = { LONG };
    int deepest = 0;
    for (int depth = 1; depth < 60; depth++) {
        Bytes inner = branch("r0", 1);
        for (int i = 1; i < depth; i++) {
            Bytes outer = { 0 };
            char out[12];
            snprintf(out, sizeof out, "r%d", i);
            Bytes n = node_of("", "If", "c", out);
            attribute(&n, "then_branch", 5, 6, &inner);
            b_message(&outer, 1, &n);
            b_text(&outer, 2, "branch");
            b_value(&outer, 12, out, FLOAT, NULL, 0);
            inner = outer;
        }
        Bytes graph = { 0 }, n = node_of("", "If", "c", "y"), c = { 0 };
        ends(&graph, dims, 1);
        b_int(&c, 2, BOOL);
        b_text(&c, 8, "c");
        b_bytes(&c, 9, "\1", 1);
        b_message(&graph, 5, &c);
        attribute(&n, "then_branch", 5, 6, &inner);
        b_message(&graph, 1, &n);
        Bytes model = b_model_of(&graph);
        Loaded l = load_bytes(&model);
        assert_true(l.code == 0 || (depth >= 10 && l.code == 3));
        deepest += l.code == 0;
        compiler_free(l.cx);
    }
    assert_in_range(deepest, 10, 58);
}

/* ---- What exporters write a little differently ---- */

/* An input that calls the batch by another name; and one whose dim stands elsewhere, too. */
static void batch_of_two_names(void **state)
{
    (void)state;
    static const int64_t dims[3][2] = { { -1, 3 }, { -2, 3 }, { 3, -2 } };
    for (int other = 0; other < 2; other++) {
        Bytes graph = { 0 };
        ends(&graph, dims[0], 2);
        b_value(&graph, 11, "z", FLOAT, dims[1], 2);
        node(&graph, 1, "Add", "x z", "y");
        if (other)
            b_value(&graph, 11, "w", FLOAT, dims[2], 2);
        Bytes model = b_model_of(&graph);
        Loaded l = load_bytes(&model);
        if (l.code != (other ? 1 : 0))
            fail_msg("%d: %s", l.code, l.cx->diags.n ? l.cx->diags.at[0].message : "");
        compiler_free(l.cx);
    }
}

/* Nodes last first, one of them read by a branch alone. */
static void nodes_in_another_order(void **state)
{
    (void)state;
    static const int64_t dims[] = { LONG };
    Bytes graph = { 0 }, inner = { 0 }, n = node_of("", "If", "c", "p");
    ends(&graph, dims, 1);
    node(&graph, 1, "Add", "p q", "y");
    node(&inner, 1, "Add", "x q", "r");
    b_text(&inner, 2, "branch");
    b_value(&inner, 12, "r", FLOAT, NULL, 0);
    attribute(&n, "then_branch", 5, 6, &inner);
    b_message(&graph, 1, &n);
    node(&graph, 1, "Add", "x x", "q");
    node(&graph, 1, "Squeeze", "same", "c");
    node(&graph, 1, "Equal", "s s", "same");
    node(&graph, 1, "Shape", "x", "s");
    Bytes model = b_model_of(&graph);
    expect_all(load_bytes(&model), LONG, (1 + 2) + 2);
}

/* As many nodes as a file may have, each before the one it reads. */
static void a_long_chain_backward(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1 };
    enum { CHAIN = 20000 };
    Bytes graph = { 0 };
    ends(&graph, dims, 1);
    for (int i = CHAIN; i > 0; i--) {
        char in[12], out[12];
        snprintf(in, sizeof in, i == 1 ? "x" : "v%d", i - 1);
        snprintf(out, sizeof out, i == CHAIN ? "y" : "v%d", i);
        node(&graph, 1, "Neg", in, out);
    }
    Bytes model = b_model_of(&graph);
    Loaded l = load_bytes(&model);
    assert_int_equal(l.code, 0);
#ifndef __SANITIZE_ADDRESS__
    if (l.seconds > 5)
        fail_msg("%.1f s", l.seconds);
#endif
    compiler_free(l.cx);
}

/* Signals without the last axis of extent 1. */
static void spectra_of_plain_signals(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 8 };
    Bytes graph = { 0 }, model, w = floats("w", 8, 1), n;
    int64_t step = 8;
    ends(&graph, dims, 2);
    Bytes t = { 0 };
    b_int(&t, 2, 7);
    b_text(&t, 8, "step");
    b_bytes(&t, 9, &step, 8);
    b_message(&graph, 5, &t);
    b_message(&graph, 5, &w);
    n = node_of("", "STFT", "x step w", "z");
    b_message(&graph, 1, &n);
    node(&graph, 1, "ReduceSum", "z", "y");
    model = b_model_of(&graph);
    expect_all(load_bytes(&model), 1, 8); /* of ones there is the lowest frequency only */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_have_their_own_tensors),
        cmocka_unit_test(the_branch_follows_from_shapes),
        cmocka_unit_test(a_condition_of_data_is_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(batch_of_two_names),
        cmocka_unit_test(nodes_in_another_order),
        cmocka_unit_test(a_long_chain_backward),
        cmocka_unit_test(spectra_of_plain_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
