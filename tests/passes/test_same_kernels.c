/* Models of others, in the steps that their files hold, become as many kernels as the same said by
 * the language's own functions: forward, and with the derivative by the first input. The numbers
 * are the same too, to rounding. */
#include "frontend/frontend.h"
#include "ir/builder.h"
#include "ir/interp.h"
#include "ir/plan.h"
#include "passes/pipeline.h"

#include "tests/onnx/wire_build.h"

#include <math.h>
#include <unistd.h>

/* A file, line by line: `in NAME DIMS`, `label NAME DIMS` (i64), `float NAME VALUE`, `ints NAME
 * VALUES`, and nodes `Op inputs > outputs name=ints`. The last output is the model's. */
typedef struct {
    const char *what;
    const char *file;
    const char *said; /* of the inputs by name */
    uint32_t forward, both; /* kernels at most, alone and with the derivative */
} Form;

#define NORM_INPUTS "in x 6 16 32;in s 32;in b 32;"
#define SQUARED                                                                                    \
    "float eps 1e-5;ReduceMean x > m axes=-1;Sub x m > c;"                                         \
    "Mul c c > q;ReduceMean q > v axes=-1;Add v eps > e;Sqrt e > d;"
#define SDPA "in q 2 4 8 16;in k 2 4 8 16;in v 2 4 8 16;"

static const Form forms[] = {
    { "layer norm", NORM_INPUTS SQUARED "Div c d > n;Mul n s > t;Add t b > y",
      "layer_norm(x, s, b)", 1, 1 },
    { "layer norm by Pow",
      NORM_INPUTS "float eps 1e-5;float two 2;ReduceMean x > m axes=-1;Sub x m > c;Pow c two > q;"
                  "ReduceMean q > v axes=-1;Add v eps > e;Sqrt e > d;Div c d > n;Mul n s > t;"
                  "Add t b > y",
      "layer_norm(x, s, b)", 1, 1 },
    { "RMS norm",
      "in x 6 16 32;in s 32;float eps 1e-5;float two 2;float one 1;Pow x two > q;"
      "ReduceMean q > v axes=-1;Add v eps > e;Sqrt e > d;Div one d > r;Mul x r > n;Mul s n > y",
      "rms_norm(x, s)", 1, 1 },
    { "GELU", "in x 6 256;float c 1.4142135;float one 1;float half 0.5;Div x c > z;Erf z > f;"
              "Add f one > g;Mul x g > h;Mul h half > y",
      "gelu(x)", 1, 1 },
    { "GELU, half of x", "in x 6 256;float c 0.70710677;float one 1;float half 0.5;Mul x c > z;"
                         "Erf z > f;Add one f > g;Mul half x > h;Mul h g > y",
      "gelu(x)", 1, 1 },
    { "GELU by tanh",
      "in x 6 256;float three 3;float c 0.044715;float k 0.7978846;float one 1;float half 0.5;"
      "Pow x three > p;Mul p c > q;Add x q > r;Mul r k > u;Tanh u > t;Add t one > g;Mul x g > h;"
      "Mul h half > y",
      "gelu_tanh(x)", 1, 1 },
    { "GELU after a product",
      "in x 6 64;in w 64 96;in b 96;float c 1.4142135;float one 1;float half 0.5;MatMul x w > m;"
      "Add m b > a;Div a c > z;Erf z > f;Add f one > g;Mul a g > h;Mul h half > y",
      "gelu(x @ w + b)", 1, 3 },
    { "SiLU", "in x 6 256;Sigmoid x > s;Mul x s > y", "silu(x)", 1, 1 },
    { "attention",
      SDPA "float c 4;Transpose k > t perm=0,1,3,2;MatMul q t > s;Div s c > d;"
           "Softmax d > p axis=-1;MatMul p v > y",
      "attention(q, k, v)", 3, 7 },
    { "attention with a mask",
      SDPA "in mask 2 1 8 8;float c 4;Transpose k > t perm=0,1,3,2;MatMul q t > s;Div s c > d;"
           "Add d mask > a;Softmax a > p axis=-1;MatMul p v > y",
      "grouped_attention(q, k, v, bias=mask)[0]", 3, 7 },
    { "rotary embedding by halves",
      "in x 2 4 8 16;in c 8 16;in s 8 16;ints half 8;ints last -1;ints zero 0;ints end 16;"
      "Slice x zero half last > a;Slice x half end last > b;Neg b > n;Concat n a > r axis=-1;"
      "Mul x c > p;Mul r s > q;Add p q > y",
      "x*c + concat(-x[..., 8..], x[..., ..8], axis=-1)*s", 3, 6 },
    { "cross entropy",
      "in x 12 40;label t 12;Softmax x > p axis=-1;Log p > l;"
      "NegativeLogLikelihoodLoss l t > y",
      "cross_entropy(x, t)", 3, 5 },
    { "cross entropy by LogSoftmax",
      "in x 12 40;label t 12;LogSoftmax x > l axis=-1;NegativeLogLikelihoodLoss l t > y",
      "cross_entropy(x, t)", 3, 5 },
    { "convolution and batch norm",
      "in x 2 8 12 12;in w 16 8 3 3;in s 16;in b 16;in m 16;in v 16;"
      "Conv x w > c pads=1,1,1,1;BatchNormalization c s b m v > n;Relu n > y",
      "c = conv(x, w, stride=[1, 1], low=[1, 1], high=[1, 1], dilation=[1, 1], groups=1)\n"
      "relu(batch_norm(c, s, b, m, v))", 3, 5 },
};
enum { FORMS = sizeof forms / sizeof *forms, FLOAT = 1, INT64 = 7, MAX_DIMS = 8 };

/* ---- Writing ---- */

static size_t words_of(char *line, char **out, size_t max)
{
    size_t n = 0;
    for (char *save, *w = strtok_r(line, " ", &save); w && n < max; w = strtok_r(NULL, " ", &save))
        out[n++] = w;
    return n;
}

static size_t dims_of(char **words, size_t n, int64_t *out)
{
    assert_true(n <= MAX_DIMS);
    for (size_t i = 0; i < n; i++)
        out[i] = atoll(words[i]);
    return n;
}

static void add_initializer(Bytes *graph, char **words, size_t n)
{
    bool number = !strcmp(words[0], "float");
    int64_t values[MAX_DIMS], count = (int64_t)n - 2;
    float v = number ? strtof(words[2], NULL) : 0;
    Bytes t = { 0 };
    if (!number)
        b_int(&t, 1, count);
    b_int(&t, 2, number ? FLOAT : INT64);
    b_text(&t, 8, words[1]);
    if (number)
        b_bytes(&t, 9, &v, sizeof v);
    else
        b_bytes(&t, 9, values, dims_of(words + 2, n - 2, values) * sizeof *values);
    b_message(graph, 5, &t);
}

/* name=1,2: one number is an integer, several are a list; axes are always a list. */
static void add_attribute(Bytes *node, char *word)
{
    Bytes b = { 0 };
    char *value = strchr(word, '=');
    *value++ = 0;
    bool list = strchr(value, ',') || !strcmp(word, "axes");
    b_text(&b, 1, word);
    for (char *save, *v = strtok_r(value, ",", &save); v; v = strtok_r(NULL, ",", &save))
        b_int(&b, list ? 8 : 3, atoll(v));
    b_int(&b, 20, list ? 7 : 2);
    b_message(node, 5, &b);
}

/* The name of its output. */
static const char *add_node(Bytes *graph, char **words, size_t n)
{
    Bytes node = { 0 };
    const char *out = NULL;
    size_t i = 1;
    for (; i < n && strcmp(words[i], ">"); i++)
        b_text(&node, 1, words[i]);
    for (i++; i < n; i++)
        if (strchr(words[i], '='))
            add_attribute(&node, words[i]);
        else
            b_text(&node, 2, out = words[i]);
    b_text(&node, 4, words[0]);
    b_message(graph, 1, &node);
    return out;
}

static void write_file(const Form *f, const char *path)
{
    char text[2000], *words[24];
    const char *out = NULL;
    Bytes graph = { 0 };
    int64_t dims[MAX_DIMS];
    assert_true(strlen(f->file) < sizeof text);
    strcpy(text, f->file);
    b_text(&graph, 2, "g");
    for (char *save, *l = strtok_r(text, ";", &save); l; l = strtok_r(NULL, ";", &save)) {
        size_t n = words_of(l, words, 24);
        if (!strcmp(words[0], "in") || !strcmp(words[0], "label"))
            b_value(&graph, 11, words[1], *words[0] == 'i' ? FLOAT : INT64, dims,
                    dims_of(words + 2, n - 2, dims));
        else if (!strcmp(words[0], "float") || !strcmp(words[0], "ints"))
            add_initializer(&graph, words, n);
        else
            out = add_node(&graph, words, n);
    }
    Bytes type = { 0 }, tensor = { 0 }, value = { 0 }; /* its shape is not told */
    b_int(&tensor, 1, FLOAT);
    b_message(&type, 1, &tensor);
    b_text(&value, 1, out);
    b_message(&value, 2, &type);
    b_message(&graph, 12, &value);
    Bytes model = b_model_of(&graph);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(model.at, 1, model.n, file), model.n);
    assert_int_equal(fclose(file), 0);
    b_free(&model);
}

/* ---- Loading ---- */

static Unit *load_file(Compiler *cx, const Form *f)
{
    char path[100];
    snprintf(path, sizeof path, "/tmp/dlcc-kernels-%ld.onnx", (long)getpid());
    write_file(f, path);
    Unit *u = frontend_load(cx, path, NULL);
    unlink(path);
    return u;
}

static Unit *load_said(Compiler *cx, const Form *f)
{
    char text[2000], *words[24];
    const char *params = "";
    strcpy(text, f->file);
    for (char *save, *l = strtok_r(text, ";", &save); l; l = strtok_r(NULL, ";", &save)) {
        size_t n = words_of(l, words, 24);
        if (strcmp(words[0], "in") && strcmp(words[0], "label"))
            continue;
        params = arena_printf(cx->arena, "%s%s%s: %s[", params, *params ? ", " : "", words[1],
                              *words[0] == 'i' ? "f32" : "i64");
        for (size_t i = 2; i < n; i++)
            params = arena_printf(cx->arena, "%s%s%s", params, i > 2 ? ", " : "", words[i]);
        params = arena_printf(cx->arena, "%s]", params);
    }
    const char *all = arena_printf(cx->arena, "model M { export fn f(%s) { %s } }\n", params,
                                   f->said);
    return frontend_load_text(cx, "said.dl", all, strlen(all), NULL);
}

static Graph *exported(Unit *u)
{
    for (uint32_t i = 0; i < u->entries.n; i++)
        if (u->entries.at[i].kind == ENTRY_EXPORT)
            return u->entries.at[i].graph;
    fail_msg("no exported function");
    return NULL;
}

/* The derivative of the sum of squares of the result by the first input, as a second result. */
static void add_derivative(Graph *g)
{
    NodeId y = g->outputs.at[0].node, x = NODE_NONE;
    for (NodeId id = 0; id < g->nodes.n && x == NODE_NONE; id++)
        if (graph_node(g, id)->op == OP_input && graph_attr(g, id, "index")->i == 0)
            x = id;
    NodeId in[] = { b_sum_all(g, b_mul(g, y, y)), x };
    NodeId dx = graph_emit(g, OP_grad, in, 2, NULL, 0);
    assert_int_not_equal(dx, NODE_NONE);
    graph_output(g, "dx", dx, -1);
}

/* ---- Comparing ---- */

static Value result_of(Compiler *cx, Graph *g)
{
    Value *in = arena_new_array(cx->arena, Value, g->inputs.n);
    for (uint32_t k = 0; k < g->inputs.n; k++) {
        in[k] = value_new(cx->arena, g->inputs.at[k].dtype, &g->inputs.at[k].shape, 1);
        for (int64_t j = 0; j < in[k].count; j++)
            if (in[k].dtype == DT_F32)
                in[k].f[j] = value_round(DT_F32, 1.1 + sin(0.7 * (double)(j + k)));
            else
                in[k].i[j] = j * 7 % 40;
    }
    InterpArgs args = { .batch = 1, .inputs = in };
    Value *out = arena_new_array(cx->arena, Value, g->outputs.n);
    const char *wrong = interp_entry(cx->arena, g, &args, NULL, out);
    if (wrong)
        fail_msg("%s", wrong);
    return out[0];
}

static uint32_t kernels_of(Unit *u, const char *what)
{
    if (!pipeline_run(u, NULL, NULL))
        fail_msg("%s: %s", what, u->cx->diags.at[0].message);
    uint32_t n = 0;
    for (uint32_t p = 0; p < u->program->plans.n; p++)
        if (u->program->plans.at[p].entry->kind == ENTRY_EXPORT)
            for (uint32_t i = 0; i < u->program->plans.at[p].items.n; i++)
                n += u->program->plans.at[p].items.at[i].kind != PLAN_GUARD;
    return n;
}

static void compare(const Form *f, bool derivative)
{
    Compiler *a = compiler_new(), *b = compiler_new();
    Unit *file = load_file(a, f), *said = load_said(b, f);
    if (!file || !said)
        fail_msg("%s: %s", f->what, (file ? b : a)->diags.at[0].message);
    if (derivative) {
        add_derivative(exported(file));
        add_derivative(exported(said));
    } else {
        Value got = result_of(a, exported(file)), want = result_of(b, exported(said));
        assert_int_equal(got.count, want.count);
        for (int64_t i = 0; i < want.count; i++)
            if (!(fabs(got.f[i] - want.f[i]) <= 1e-5 * fmax(1, fabs(want.f[i]))))
                fail_msg("%s: element %d is %.9g, not %.9g", f->what, (int)i, got.f[i], want.f[i]);
    }
    uint32_t n = kernels_of(file, f->what), m = kernels_of(said, f->what);
    uint32_t most = derivative ? f->both : f->forward;
    if (n != m || n > most)
        fail_msg("%s%s: %u kernels, %u from the language, at most %u", f->what,
                 derivative ? " with its derivative" : "", n, m, most);
    compiler_free(a);
    compiler_free(b);
}

static void as_many_kernels(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++)
        compare(&forms[i], false);
}

static void as_many_with_the_derivative(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++)
        compare(&forms[i], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_many_kernels),
                                        cmocka_unit_test(as_many_with_the_derivative) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
