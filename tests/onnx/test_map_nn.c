/* Operators that the standard's own tests lack, imported from a file of one node: the same numbers
 * as from the language. */
#include "frontend/frontend.h"
#include "ir/interp.h"

#include "tests/onnx/wire_build.h"

#include <math.h>
#include <unistd.h>

typedef struct {
    const char *name;
    bool whole; /* an integer */
    double v;
} Attribute;

static const struct {
    const char *op, *domain;
    uint32_t n;
    int64_t in[8][5]; /* rank and dims; rank -1: absent */
    Attribute attrs[3];
    const char *said; /* of x0, x1, .. */
} cases[] = {
    { "FastGelu", "com.microsoft", 2, { { 2, 3, 4 }, { 1, 4 } }, { { 0 } }, "gelu_tanh(x0 + x1)" },
    { "FastGelu", "com.microsoft", 1, { { 2, 3, 4 } }, { { 0 } }, "gelu_tanh(x0)" },
    { "BiasGelu", "com.microsoft", 2, { { 2, 3, 4 }, { 1, 4 } }, { { 0 } },
      "0.5*(x0 + x1)*(1 + erf((x0 + x1)/2^0.5))" },
    { "QuickGelu", "com.microsoft", 1, { { 2, 3, 4 } }, { { "alpha", false, 2 } },
      "x0*sigmoid(2*x0)" },
    { "SimplifiedLayerNormalization", "", 2, { { 2, 3, 4 }, { 1, 4 } },
      { { "epsilon", false, 0.25 }, { "axis", true, -1 } },
      "x0/sqrt(sum(x0^2, axis=1, keep=true)/4 + 0.25)*x1" },
    { "SkipLayerNormalization", "com.microsoft", 5,
      { { 2, 3, 4 }, { 2, 3, 4 }, { 1, 4 }, { 1, 4 }, { 1, 4 } },
      { { "epsilon", false, 0.25 } },
      "z = x0 + x1 + x4; c = z - mean(z, axis=1, keep=true); "
      "c/sqrt(mean(c^2, axis=1, keep=true) + 0.25)*x2 + x3" },
    { "SkipSimplifiedLayerNormalization", "com.microsoft", 3,
      { { 2, 3, 4 }, { 2, 3, 4 }, { 1, 4 } },
      { { "epsilon", false, 0.25 } },
      "z = x0 + x1; z/sqrt(mean(z^2, axis=1, keep=true) + 0.25)*x2" },
    { "MultiHeadAttention", "com.microsoft", 6,
      { { 3, 2, 3, 4 }, { 3, 2, 5, 4 }, { 3, 2, 5, 6 }, { 1, 14 }, { -1 }, { 4, 1, 2, 3, 5 } },
      { { "num_heads", true, 2 } },
      "q = rearrange(\"b t (h d) -> b h t d\", x0 + x3[..4], h=2)\n"
      "k = rearrange(\"b t (h d) -> b h t d\", x1 + x3[4..8], h=2)\n"
      "v = rearrange(\"b t (h d) -> b h t d\", x2 + x3[8..], h=2)\n"
      "p = softmax(einsum(\"b h i d, b h j d -> b h i j\", q, k)/2^0.5 + x5)\n"
      "rearrange(\"b h t d -> b t (h d)\", einsum(\"b h i j, b h j d -> b h i d\", p, v))" },
    { "GlobalLpPool", "", 1, { { 4, 2, 2, 2, 3 } }, { { "p", true, 3 } },
      "sum(sum(abs(x0)^3, axis=-1, keep=true), axis=-2, keep=true)^(1/3)" },
};
enum { CASES = sizeof cases / sizeof *cases, FLOAT = 1 };

static Bytes attribute(const Attribute *a)
{
    Bytes b = { 0 };
    float f = (float)a->v;
    b_text(&b, 1, a->name);
    if (a->whole) {
        b_int(&b, 3, (int64_t)a->v);
    } else {
        b_tag(&b, 2, 5);
        b_raw(&b, &f, sizeof f);
    }
    b_int(&b, 20, a->whole ? 2 : 1);
    return b;
}

/* The node alone, its first output for the model's; the model needs no batch. */
static void write_model(size_t i, const char *path)
{
    Bytes node = { 0 }, graph = { 0 }, opset = { 0 };
    char name[8];
    for (uint32_t k = 0; k < cases[i].n; k++) {
        snprintf(name, sizeof name, "x%u", k);
        b_text(&node, 1, cases[i].in[k][0] < 0 ? "" : name);
    }
    b_text(&node, 2, "y");
    b_text(&node, 4, cases[i].op);
    for (const Attribute *a = cases[i].attrs; a->name; a++) {
        Bytes b = attribute(a);
        b_message(&node, 5, &b);
    }
    b_text(&node, 7, cases[i].domain);
    b_message(&graph, 1, &node);
    b_text(&graph, 2, "g");
    for (uint32_t k = 0; k < cases[i].n; k++) {
        snprintf(name, sizeof name, "x%u", k);
        if (cases[i].in[k][0] >= 0)
            b_value(&graph, 11, name, FLOAT, cases[i].in[k] + 1, (size_t)cases[i].in[k][0]);
    }
    b_value(&graph, 12, "y", FLOAT, cases[i].in[0] + 1, (size_t)cases[i].in[0][0]);
    Bytes model = b_model_of(&graph);
    b_text(&opset, 1, "com.microsoft");
    b_int(&opset, 2, 1);
    b_message(&model, 8, &opset);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(model.at, 1, model.n, f), model.n);
    assert_int_equal(fclose(f), 0);
    b_free(&model);
}

static Unit *load_text(Compiler *cx, size_t i)
{
    const char *text = "model M { export fn f(", *comma = "";
    for (uint32_t k = 0; k < cases[i].n; k++) {
        Shape s = { .rank = cases[i].in[k][0] < 0 ? 0 : (uint32_t)cases[i].in[k][0] };
        for (uint32_t a = 0; a < s.rank; a++)
            s.dim[a] = dim_of(cases[i].in[k][1 + a]);
        if (cases[i].in[k][0] < 0)
            continue;
        text = arena_printf(cx->arena, "%s%sx%u: f32%s", text, comma, k, shape_text(cx->arena, &s));
        comma = ", ";
    }
    text = arena_printf(cx->arena, "%s) { %s } }\n", text, cases[i].said);
    return frontend_load_text(cx, "said.dl", text, strlen(text), NULL);
}

/* The first result of the one exported function, on x[k] = sin(0.7 (k + its input's number)). */
static Value run(Compiler *cx, Unit *u)
{
    if (!u)
        fail_msg("%s", cx->diags.at[0].message);
    const Entry *e = NULL;
    for (uint32_t i = 0; i < u->entries.n && !e; i++)
        e = u->entries.at[i].kind == ENTRY_EXPORT ? &u->entries.at[i] : NULL;
    assert_non_null(e);
    Value *in = arena_new_array(cx->arena, Value, e->graph->inputs.n);
    for (uint32_t k = 0; k < e->graph->inputs.n; k++) {
        in[k] = value_new(cx->arena, DT_F32, &e->graph->inputs.at[k].shape, 1);
        for (int64_t j = 0; j < in[k].count; j++)
            in[k].f[j] = value_round(DT_F32, sin(0.7 * (double)(j + k)));
    }
    InterpArgs args = { .batch = 1, .inputs = in };
    Value *out = arena_new_array(cx->arena, Value, e->graph->outputs.n);
    const char *wrong = interp_entry(cx->arena, e->graph, &args, NULL, out);
    if (wrong)
        fail_msg("%s", wrong);
    return out[0];
}

static void nodes_are_what_is_said(void **state)
{
    (void)state;
    char path[100];
    snprintf(path, sizeof path, "/tmp/dlcc-map-%ld.onnx", (long)getpid());
    for (size_t i = 0; i < CASES; i++) {
        Compiler *a = compiler_new(), *b = compiler_new();
        write_model(i, path);
        Value file = run(a, frontend_load(a, path, NULL)), said = run(b, load_text(b, i));
        unlink(path);
        assert_int_equal(file.rank, said.rank);
        assert_int_equal(file.count, said.count);
        for (int64_t k = 0; k < said.count; k++)
            if (!(fabs(file.f[k] - said.f[k]) <= 1e-6 * fmax(1, fabs(said.f[k]))))
                fail_msg("%s: element %d is %.9g, not %.9g", cases[i].op, (int)k, file.f[k],
                         said.f[k]);
        compiler_free(a);
        compiler_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nodes_are_what_is_said) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
