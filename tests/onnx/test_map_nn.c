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
    const char *text; /* a string, when it is not NULL */
} Attribute;

#define MS "com.microsoft"

static const struct {
    const char *op, *domain;
    uint32_t n;
    int64_t in[18][6]; /* rank and dims; rank -1: absent */
    Attribute attrs[5];
    const char *said; /* of x0, x1, .. */
    const char *types; /* of each input: u8, i8, i32 (w; m: 0 or 1; n: below 3), a scale (s) */
} cases[] = {
    { "FastGelu", MS, 2, { { 2, 3, 4 }, { 1, 4 } }, { { 0 } }, "gelu_tanh(x0 + x1)", NULL },
    { "FastGelu", MS, 1, { { 2, 3, 4 } }, { { 0 } }, "gelu_tanh(x0)", NULL },
    { "BiasGelu",
      MS,
      2,
      { { 2, 3, 4 }, { 1, 4 } },
      { { 0 } },
      "0.5*(x0 + x1)*(1 + erf((x0 + x1)/2^0.5))",
      NULL },
    { "QuickGelu",
      MS,
      1,
      { { 2, 3, 4 } },
      { { "alpha", false, 2, NULL } },
      "x0*sigmoid(2*x0)",
      NULL },
    { "SimplifiedLayerNormalization",
      "",
      2,
      { { 2, 3, 4 }, { 1, 4 } },
      { { "epsilon", false, 0.25, NULL }, { "axis", true, -1, NULL } },
      "x0/sqrt(sum(x0^2, axis=1, keep=true)/4 + 0.25)*x1",
      NULL },
    { "SkipLayerNormalization",
      MS,
      5,
      { { 2, 3, 4 }, { 2, 3, 4 }, { 1, 4 }, { 1, 4 }, { 1, 4 } },
      { { "epsilon", false, 0.25, NULL } },
      "z = x0 + x1 + x4; c = z - mean(z, axis=1, keep=true); "
      "c/sqrt(mean(c^2, axis=1, keep=true) + 0.25)*x2 + x3",
      NULL },
    { "SkipSimplifiedLayerNormalization",
      MS,
      3,
      { { 2, 3, 4 }, { 2, 3, 4 }, { 1, 4 } },
      { { "epsilon", false, 0.25, NULL } },
      "z = x0 + x1; z/sqrt(mean(z^2, axis=1, keep=true) + 0.25)*x2",
      NULL },
    { "MultiHeadAttention",
      MS,
      6,
      { { 3, 2, 3, 4 }, { 3, 2, 5, 4 }, { 3, 2, 5, 6 }, { 1, 14 }, { -1 }, { 4, 1, 2, 3, 5 } },
      { { "num_heads", true, 2, NULL } },
      "q = rearrange(\"b t (h d) -> b h t d\", x0 + x3[..4], h=2)\n"
      "k = rearrange(\"b t (h d) -> b h t d\", x1 + x3[4..8], h=2)\n"
      "v = rearrange(\"b t (h d) -> b h t d\", x2 + x3[8..], h=2)\n"
      "p = softmax(einsum(\"b h i d, b h j d -> b h i j\", q, k)/2^0.5 + x5)\n"
      "rearrange(\"b h t d -> b t (h d)\", einsum(\"b h i j, b h j d -> b h i d\", p, v))",
      NULL },
    { "GlobalLpPool",
      "",
      1,
      { { 4, 2, 2, 2, 3 } },
      { { "p", true, 3, NULL } },
      "sum(sum(abs(x0)^3, axis=-1, keep=true), axis=-2, keep=true)^(1/3)",
      NULL },
    { "Gelu", MS, 1, { { 2, 3, 4 } }, { { 0 } }, "0.5*x0*(1 + erf(x0/2^0.5))", NULL },
    { "LayerNormalization",
      "",
      3,
      { { 2, 3, 4 }, { 1, 4 }, { 1, 4 } },
      { { "epsilon", false, 0.25, NULL } },
      "c = x0 - mean(x0, axis=1, keep=true); c/sqrt(mean(c^2, axis=1, keep=true) + 0.25)*x1 + x2",
      NULL },
    { "FusedMatMul",
      MS,
      2,
      { { 3, 2, 3, 4 }, { 3, 2, 5, 3 } },
      { { "alpha", false, 0.5, NULL }, { "transA", true, 1, NULL }, { "transB", true, 1, NULL } },
      "0.5*einsum(\"b k m, b n k -> b m n\", x0, x1)",
      NULL },
    { "FusedMatMul",
      MS,
      2,
      { { 3, 3, 2, 4 }, { 3, 3, 2, 5 } },
      { { "transBatchA", true, 1, NULL },
        { "transBatchB", true, 1, NULL },
        { "transA", true, 1, NULL } },
      "einsum(\"k b m, k b n -> b m n\", x0, x1)",
      NULL },
    { "FusedGemm",
      MS,
      3,
      { { 2, 4, 3 }, { 2, 5, 4 }, { 1, 5 } },
      { { "activation", false, 0, "LeakyRelu" },
        { "activation_alpha", false, 0.25, NULL },
        { "transA", true, 1, NULL },
        { "transB", true, 1, NULL } },
      "z = einsum(\"k m, n k -> m n\", x0, x1) + x2; select(z < 0, 0.25*z, z)",
      NULL },
    { "FusedGemm",
      MS,
      2,
      { { 2, 3, 4 }, { 2, 4, 5 } },
      { { "activation", false, 0, "HardSigmoid" } },
      "maximum(0, minimum(1, 0.2*(x0 @ x1) + 0.5))",
      NULL },
    { "FusedConv",
      MS,
      4,
      { { 4, 1, 1, 3, 3 }, { 4, 2, 1, 1, 1 }, { 1, 2 }, { 4, 1, 2, 3, 3 } },
      { { "activation", false, 0, "Relu" } },
      "maximum(0, x0*reshape(x1, [2, 1, 1]) + reshape(x2, [2, 1, 1]) + x3)",
      NULL },
    { "QLinearSigmoid",
      MS,
      5,
      { { 2, 3, 4 }, { 0 }, { 0 }, { 0 }, { 0 } },
      { { 0 } },
      "quantize_linear(sigmoid((f32(x0) - f32(x2))*x1), x3, x4)",
      "ususu" },
    { "QLinearLeakyRelu",
      MS,
      5,
      { { 2, 3, 4 }, { 0 }, { 0 }, { 0 }, { 0 } },
      { { "alpha", false, 0.25, NULL } },
      "r = (f32(x0) - f32(x2))*x1; quantize_linear(select(r < 0, 0.25*r, r), x3, x4)",
      "isisi" },
    { "QLinearSoftmax",
      MS,
      5,
      { { 2, 3, 4 }, { 0 }, { 0 }, { 0 }, { 0 } },
      { { "axis", true, 0, NULL }, { "opset", true, 13, NULL } },
      "e = exp((f32(x0) - f32(x2))*x1); quantize_linear(e/sum(e, axis=0, keep=true), x3, x4)",
      "ususu" },
    { "QLinearConcat",
      MS,
      8,
      { { 0 }, { 0 }, { 2, 3, 4 }, { 0 }, { 0 }, { 2, 3, 2 }, { 0 }, { 0 } },
      { { "axis", true, 1, NULL } },
      "a = (f32(x2) - f32(x4))*x3; b = (f32(x5) - f32(x7))*x6; quantize_linear(concat(a, b, "
      "axis=1), x0, x1)",
      "suusuusu" },
    { "QLinearGlobalAveragePool",
      MS,
      5,
      { { 4, 1, 2, 3, 3 }, { 0 }, { 0 }, { 0 }, { 0 } },
      { { 0 } },
      "quantize_linear((sum(f32(x0), axis=2.., keep=true)/9 - f32(x2))*x1, x3, x4)",
      "ususu" },
    { "QLinearAveragePool",
      MS,
      5,
      { { 3, 1, 2, 6 }, { 0 }, { 0 }, { 0 }, { 0 } },
      { { "kernel_shape", true, 1, NULL } }, /* each element its own window */
      "quantize_linear((f32(x0) - f32(x2))*x1, x3, x4)",
      "ususu" },
    { "QGemm",
      MS,
      9,
      { { 2, 3, 4 }, { 0 }, { 0 }, { 2, 5, 4 }, { 1, 5 }, { 1, 5 }, { 1, 5 }, { 0 }, { 0 } },
      { { "transB", true, 1, NULL }, { "alpha", false, 0.5, NULL } },
      "z = (f32(x0) - f32(x2)) @ transpose(f32(x3) - reshape(f32(x5), [5, 1])) + f32(x6)\n"
      "quantize_linear(0.5*x1*x4*z, x7, x8)",
      "usuisiwsu" },
    { "QGemm",
      MS,
      6,
      { { 2, 3, 4 }, { 0 }, { 0 }, { 2, 4, 5 }, { 0 }, { 0 } },
      { { 0 } },
      "x1*x4*((f32(x0) - f32(x2)) @ (f32(x3) - f32(x5)))",
      "usuisi" },
    { "MatMulIntegerToFloat",
      MS,
      7,
      { { 2, 3, 4 }, { 2, 4, 5 }, { 0 }, { 1, 5 }, { 0 }, { 1, 5 }, { 1, 5 } },
      { { 0 } },
      "x2*x3*((f32(x0) - f32(x4)) @ (f32(x1) - f32(x5))) + x6",
      "uissuif" },
    { "DynamicQuantizeMatMul",
      MS,
      5,
      { { 2, 3, 4 }, { 2, 4, 5 }, { 0 }, { 0 }, { 1, 5 } },
      { { 0 } },
      "s = (max(x0) - min(x0))/255; z = round(-min(x0)/s)\n"
      "a = minimum(255, maximum(0, round(x0/s) + z))\n"
      "s*x2*((a - z) @ (f32(x1) - f32(x3))) + x4",
      "fisif" },
};
enum { CASES = sizeof cases / sizeof *cases };

static const struct {
    char letter;
    int code; /* of the format */
    Dtype dtype;
} types[] = { { 'f', 1, DT_F32 }, { 's', 1, DT_F32 }, { 'u', 2, DT_U8 }, { 'i', 3, DT_I8 },
              { 'w', 6, DT_I32 }, { 'm', 6, DT_I32 }, { 'n', 6, DT_I32 } };

/* Row of `types` for input k of a case. */
static size_t type_of(size_t i, uint32_t k)
{
    size_t t = 0;
    while (cases[i].types && types[t].letter != cases[i].types[k])
        t++;
    return t;
}

static Bytes attribute(const Attribute *a)
{
    Bytes b = { 0 };
    float f = (float)a->v;
    b_text(&b, 1, a->name);
    bool list = a->whole && strstr(a->name, "kernel");
    if (a->text) {
        b_text(&b, 4, a->text);
    } else if (a->whole) {
        b_int(&b, list ? 8 : 3, (int64_t)a->v);
    } else {
        b_tag(&b, 2, 5);
        b_raw(&b, &f, sizeof f);
    }
    b_int(&b, 20, a->text ? 3 : list ? 7 : a->whole ? 2 : 1);
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
            b_value(&graph, 11, name, types[type_of(i, k)].code, cases[i].in[k] + 1,
                    (size_t)cases[i].in[k][0]);
    }
    b_value(&graph, 12, "y", types[type_of(i, 0)].code, cases[i].in[0] + 1,
            (size_t)cases[i].in[0][0]);
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
        text = arena_printf(cx->arena, "%s%sx%u: %s%s", text, comma, k,
                            dtype_name(types[type_of(i, k)].dtype),
                            s.rank ? shape_text(cx->arena, &s) : "");
        comma = ", ";
    }
    text = arena_printf(cx->arena, "%s) { %s } }\n", text, cases[i].said);
    return frontend_load_text(cx, "said.dl", text, strlen(text), NULL);
}

/* Element j of an input: sin(0.7 (j + k)), where k is its number among those that are given; an
 * integer of both signs where it may have one; of a scale something above 0. */
static void fill(Value *v, char letter, uint32_t k)
{
    for (int64_t j = 0; j < v->count; j++) {
        double x = sin(0.7 * (double)(j + k));
        if (letter == 's')
            v->f[j] = value_round(DT_F32, 0.02 * (k + 1) + 0.01 * (double)j);
        else if (letter == 'm' || letter == 'n')
            v->i[j] = letter == 'm' ? (j + k) % 3 > 0 : (j + k) % 3;
        else if (letter == 'f')
            v->f[j] = value_round(DT_F32, x);
        else
            v->i[j] = (int64_t)(letter == 'u' ? 120 + 100 * x : 90 * x);
    }
}

/* The first result of the one exported function. */
static Value run(Compiler *cx, Unit *u, size_t which)
{
    if (!u)
        fail_msg("%s", cx->diags.at[0].message);
    const Entry *e = NULL;
    for (uint32_t i = 0; i < u->entries.n && !e; i++)
        e = u->entries.at[i].kind == ENTRY_EXPORT ? &u->entries.at[i] : NULL;
    assert_non_null(e);
    Value *in = arena_new_array(cx->arena, Value, e->graph->inputs.n);
    for (uint32_t k = 0; k < e->graph->inputs.n; k++) {
        const Input *input = &e->graph->inputs.at[k];
        in[k] = value_new(cx->arena, input->dtype, &input->shape, 1);
        fill(&in[k], cases[which].types ? cases[which].types[k] : 'f', k);
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
        Value file = run(a, frontend_load(a, path, NULL), i), said = run(b, load_text(b, i), i);
        unlink(path);
        assert_int_equal(file.rank, said.rank);
        assert_int_equal(file.count, said.count);
        assert_int_equal(file.dtype, said.dtype);
        for (int64_t k = 0; k < said.count; k++) {
            bool whole = !dtype_is_float(said.dtype);
            double got = whole ? (double)file.i[k] : file.f[k],
                   want = whole ? (double)said.i[k] : said.f[k];
            if (!(fabs(got - want) <= 1e-6 * fmax(1, fabs(want))))
                fail_msg("%s: element %d is %.9g, not %.9g", cases[i].op, (int)k, got, want);
        }
        compiler_free(a);
        compiler_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nodes_are_what_is_said) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
