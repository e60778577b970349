/* test_elab.c: models to Units. The programs of tests/frontend/programs elaborate to sound graphs,
 * or say which part is not supported; entries compute what the text says, judged by the reference
 * interpreter on numbers worked out by hand. */
#include "tests/frontend/elab_help.h"

#include <unistd.h>

#define PROGRAMS DLCC_SOURCE_DIR "/tests/frontend/programs"

typedef struct {
    const char *file, *model;
    FrontendSetting define;
    int exit; /* 0, or 4: not supported yet */
    uint32_t entries;
} Program;

static const Program programs[] = {
    { "bert.dl", "Classifier", { "T", "16" }, 0, 3 },
    { "charlm.dl", NULL, { NULL, NULL }, 4, 0 },
    { "dpo.dl", NULL, { NULL, NULL }, 4, 0 },
    { "gan.dl", NULL, { NULL, NULL }, 0, 5 },
    { "gpt2.dl", NULL, { "T", "16" }, 0, 3 },
    { "gru.dl", "Apple", { NULL, NULL }, 4, 0 },
    { "house.dl", NULL, { NULL, NULL }, 0, 5 },
    { "iris.dl", "Logistic", { NULL, NULL }, 0, 4 },
    { "iris.dl", "Softmax", { NULL, NULL }, 0, 5 },
    { "lenet.dl", NULL, { NULL, NULL }, 0, 5 },
    { "linreg.dl", NULL, { NULL, NULL }, 0, 4 },
    { "newton.dl", NULL, { NULL, NULL }, 0, 3 },
    { "quadratic.dl", NULL, { NULL, NULL }, 0, 5 },
    { "resnet.dl", NULL, { NULL, NULL }, 0, 5 },
    { "root.dl", NULL, { NULL, NULL }, 0, 4 },
    { "scaling.dl", NULL, { NULL, NULL }, 0, 6 },
    { "schedules.dl", NULL, { NULL, NULL }, 0, 3 },
    { "vit.dl", NULL, { NULL, NULL }, 0, 3 },
    { "word2vec.dl", NULL, { NULL, NULL }, 4, 0 },
    { "xor.dl", "Perceptron", { NULL, NULL }, 0, 4 },
    { "xor.dl", "Xor", { NULL, NULL }, 0, 4 },
};

static void programs_elaborate(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        const Program *p = &programs[i];
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", PROGRAMS, p->file);
        Compiler *cx = compiler_new();
        FrontendOptions o = { .model = p->model,
                              .defines = &p->define,
                              .n_defines = p->define.name != NULL };
        Unit *u = frontend_load(cx, path, &o);
        if (diag_exit_code(cx) != p->exit || !u != (p->exit != 0)) {
            diag_print_all(cx, stderr, false);
            fail_msg("%s: exit %d, not %d", p->file, diag_exit_code(cx), p->exit);
        }
        const char *wrong = u ? unit_verify(cx->arena, u) : NULL;
        if (wrong)
            fail_msg("%s: %s", p->file, wrong);
        if (u && u->entries.n != p->entries)
            fail_msg("%s: %u entries, not %u", p->file, u->entries.n, p->entries);
        compiler_free(cx);
    }
}

/* One export without inputs: its value. */
static void expect_export(const char *body, const char *type, const double *want, int64_t n)
{
    char text[2048];
    snprintf(text, sizeof text, "model M {\n  export fn f() -> %s {\n%s\n  }\n}\n", type, body);
    Model m = model_load(text, NULL);
    Value *out = model_run(&m, "f", NULL, 1, NULL);
    expect_numbers(out, want, n, 1e-6);
    model_free(&m);
}

#define EXPECT(body, type, ...)                          \
    expect_export(body, type, (double[]){ __VA_ARGS__ }, \
                  sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))

static void numbers_are_exact(void **state)
{
    (void)state;
    EXPECT("1/255*255", "f32", 1);
    EXPECT("zeros((224/16)^2 - 195) + 7//2 + (-7)//2 + 7 % 4", "f32[1]", 2);
    EXPECT("2^-2 + 4^0.5", "f32", 2.25);
    EXPECT("if 1/3 + 1/6 == 1/2 { 1 } else { 0 }", "f32", 1);
    EXPECT("int(ceil(1.25*2*10/4)) + len([1, 2])", "f32", 9);
}

static void shapes_meet(void **state)
{
    (void)state;
    EXPECT("x = f32(iota(3)); rearrange(\"a -> a 1\", x)*10 + x", "f32[3, 3]", 0, 1, 2, 10, 11, 12,
           20, 21, 22);
    EXPECT("x = rearrange(\"(a b) -> a b\", f32(iota(6)), a=2); x @ transpose(x)", "f32[2, 2]", 5,
           14, 14, 50);
    EXPECT("x = f32(iota(3)); x @ x", "f32", 5);
    EXPECT("x = rearrange(\"(a b c) -> a b c\", f32(iota(8)), a=2, b=2); x @ x[0]", "f32[2, 2, 2]",
           2, 3, 6, 11, 10, 19, 14, 27);
    EXPECT(
        "x = rearrange(\"(a b) -> b a\", f32(iota(6)), a=2); einsum(\"i j, k j -> i k\", x, x)[2]",
        "f32[3]", 15, 22, 29);
    EXPECT("einsum(\"i, i, i -> \", f32(iota(4)), f32(iota(4)), f32(iota(4)))", "f32", 36);
    EXPECT("mean(iota(4) == 2)", "f32", 0.25);
    EXPECT("i32(argmax(f32(iota(2))) == 1)", "i32", 1);
}

static void indices(void **state)
{
    (void)state;
    EXPECT("x = f32(iota(5)); concat(x[1..3], x[-1..], x[..1], x[3..4])", "f32[5]", 1, 2, 4, 0, 3);
    EXPECT("x = rearrange(\"(a b) -> a b\", f32(iota(6)), a=2); x[1, ..-1] + x[0, 2]", "f32[2]", 5,
           6);
    EXPECT("x = f32(iota(5)); x[1..3] = zeros(2) - 1; x[4] = 9; x", "f32[5]", 0, -1, -1, 3, 9);
    EXPECT("x = rearrange(\"(a b) -> a b\", f32(iota(6)), a=2); x[:, 1] = zeros(2); x", "f32[2, 3]",
           0, 0, 2, 3, 0, 5);
    EXPECT("a, b = split(f32(iota(4)), 2); a*b", "f32[2]", 0, 3);
    EXPECT("v, i = topk(f32(iota(4)), 2); v + f32(i)", "f32[2]", 6, 4);
    EXPECT("x = f32(iota(4))*2; x[2 - iota(2)]", "f32[2]", 4, 2);
    EXPECT("take_along(f32(iota(3))*2, iota(3)[..1] + 2)", "f32[1]", 4);
}

static void blocks_rebind(void **state)
{
    (void)state;
    EXPECT("x = 1\nrepeat i in 1..5 { x = x*i }\nx", "f32", 24);
    EXPECT("x = 1\nif training { x = 2 } else { x = 3 }\nx", "f32", 3);
    EXPECT("fn g(a: f32) -> f32 { a + b0(a) }\n fn b0(a: f32) -> f32 { a*2 }\n 3 |> g", "f32", 9);
    EXPECT("fn two(a: f32) -> (f32, f32) { a, a + 1 }\n p, q = two(5)\n p*q", "f32", 30);
}

/* h = x + h/2 over 1, 2, 4: 1, 2.5, 5.25. */
static void loops_are_unrolled(void **state)
{
    (void)state;
    static const char text[] =
        "layer Cell[E, H] { param wx: f32[E, H] = 1; param wh: f32[H, H] = 0.5\n"
        "  fn (x: f32[B, E], h: f32[B, H]) -> f32[B, H] { x @ wx + h @ wh } }\n"
        "model M { layer cell = Cell[1, 1]\n"
        "  export fn run(x: f32[B, T, 1]) -> (f32[B, T, 1], f32[B, 1]) {\n"
        "    hs = scan e over x along T, h = zeros(B, 1) { h = cell(e, h); yield h }\n"
        "    hs, h }\n"
        "  export fn root(x0: f32) -> f32 {\n"
        "    x = x0\n"
        "    while abs(x^2 - 2) > 1e-6 limit 20 { x = x - (x^2 - 2)/(2*x) }\n"
        "    x }\n"
        "  export fn turns(x: f32) -> i32 {\n"
        "    n = 0\n"
        "    while x > 1 limit 9 { x = x/2; n = n + 1 }\n"
        "    n }\n"
        "  export fn pick(x: f32) -> f32 {\n"
        "    y = 0\n"
        "    if x > 0 { y = x*2 } else { if x < -1 { y = 7 } }\n"
        "    y + (if x > 10 { 100 } else { x }) }\n"
        "  export fn pairs(x: f32[3]) -> (f32[3], i32[3]) {\n"
        "    s = 0\n"
        "    scan v, i over x, iota(3) along 0 { s = s + v; yield s, i*i } } }\n";
    FrontendSetting t = { "T", "3" };
    FrontendOptions o = { .defines = &t, .n_defines = 1 };
    Model m = model_load(text, &o);
    model_init(&m);
    Value x = model_input(&m, "run", 0, 2, (double[]){ 1, 2, 4, 2, 4, 8 });
    Value *out = model_run(&m, "run", &x, 2, NULL);
    expect_numbers(&out[0], (double[]){ 1, 2.5, 5.25, 2, 5, 10.5 }, 6, 1e-6);
    expect_numbers(&out[1], (double[]){ 5.25, 10.5 }, 2, 1e-6);
    x = model_input(&m, "root", 0, 1, (double[]){ 1 });
    expect_numbers(model_run(&m, "root", &x, 1, NULL), (double[]){ sqrt(2) }, 1, 1e-6);
    x = model_input(&m, "turns", 0, 1, (double[]){ 5 });
    expect_numbers(model_run(&m, "turns", &x, 1, NULL), (double[]){ 3 }, 1, 0);
    static const double picks[][2] = { { 3, 9 }, { 20, 140 }, { -0.5, -0.5 }, { -3, 4 } };
    for (int i = 0; i < 4; i++) {
        x = model_input(&m, "pick", 0, 1, &picks[i][0]);
        expect_numbers(model_run(&m, "pick", &x, 1, NULL), &picks[i][1], 1, 1e-6);
    }
    x = model_input(&m, "pairs", 0, 1, (double[]){ 1, 10, 100 });
    out = model_run(&m, "pairs", &x, 1, NULL);
    expect_numbers(&out[0], (double[]){ 1, 11, 111 }, 3, 1e-6);
    expect_numbers(&out[1], (double[]){ 0, 1, 4 }, 3, 1e-6);
    model_free(&m);
}

/* d/dx of x^3, twice; the Hessian of x^2 y + y^3. */
static const char derivatives[] = "fn f(x: f32) -> f32 { x^3 }\n"
                                  "fn df(x: f32) -> f32 { grad(f, wrt=x)(x) }\n"
                                  "model M { export fn d(x: f32) -> f32 { grad(df, wrt=x)(x) } }\n";

static void nested_gradients_are_nodes(void **state)
{
    (void)state;
    Model m = model_load(derivatives, NULL);
    const Graph *g = unit_entry(m.u, "d")->graph;
    uint32_t grads = 0;
    for (NodeId i = 0; i < g->nodes.n; i++)
        grads += g->nodes.at[i].op == OP_grad;
    assert_int_equal(grads, 2);
    model_free(&m);
}

static void parameters_are_named_by_path(void **state)
{
    (void)state;
    static const char text[] =
        "layer Two[I](O: int) { layer a = Linear(O); layer b as \"second\" = Linear(O)\n"
        "  fn (x: f32[B, I]) -> f32[B, O] { x |> a |> b } }\n"
        "layer Inner[I] { layer lin as \"\" = Linear(I, use_bias=false)\n  fn (x: f32[B, I]) -> "
        "f32[B, I] { lin(x) } }\n"
        "model M { layers block[2] = Two(3); layer in = Inner\n"
        "  export fn f(x: f32[B, 4]) -> f32[B, 2] {\n"
        "    repeat b in block { x = b(x) }\n"
        "    x |> in |> Linear(5) |> relu |> Linear(2, transposed=true) } }\n";
    static const char *const names[] = {
        "block.0.a.weight", "block.0.a.bias",  "block.0.second.weight", "block.0.second.bias",
        "block.1.a.weight", "block.1.a.bias",  "block.1.second.weight", "block.1.second.bias",
        "in.weight",        "linear_0.weight", "linear_0.bias",         "linear_1.weight",
        "linear_1.bias",
    };
    Model m = model_load(text, NULL);
    assert_int_equal(m.u->tensors.n, sizeof names / sizeof *names);
    for (uint32_t i = 0; i < m.u->tensors.n; i++)
        assert_string_equal(m.u->tensors.at[i].name, names[i]);
    const Shape *w = &m.u->tensors.at[unit_tensor(m.u, "linear_1.weight")].shape;
    assert_true(w->dim[0].n == 5 && w->dim[1].n == 2);
    assert_int_equal(unit_entry(m.u, "f")->graph->batch_max, 64);
    model_free(&m);
}

/* (x - mean)/deviation, and the values before: running = 0.9 running + 0.1 batch. */
static void state_is_written_in_training(void **state)
{
    (void)state;
    static const char text[] = "model M { state s: f32[2] = [1, 2]; param w: f32 = 3\n"
                               "  fn loss(x: f32[B, 2]) -> f32 {\n"
                               "    if training { s = 0.5*s + mean(x, axis=0) }\n"
                               "    w*sum(s) } }\n"
                               "train M { batch = 2; steps = 1; optimizer = gd(lr=0.1) }\n";
    Model m = model_load(text, NULL);
    model_init(&m);
    Value x = model_input(&m, "eval", 0, 2, (double[]){ 1, 2, 3, 4 });
    expect_numbers(model_run(&m, "eval", &x, 2, NULL), (double[]){ 18 }, 1,
                   1e-6); /* 2 items of w*(1 + 2) */
    const Graph *g = unit_entry(m.u, "step")->graph;
    uint32_t updates = 0;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        updates += g->outputs.at[i].updates >= 0;
    assert_int_equal(updates, 2);
    assert_int_equal(unit_entry(m.u, "eval")->graph->outputs.n, 1);
    model_free(&m);
}

static void batch_in_a_computed_dim_pins_it(void **state)
{
    (void)state;
    Model m = model_load("model M {\n  export fn f(x: f32[B, 2]) -> f32[1, 2] { x[B - 1..] }\n"
                         "  export fn g(x: f32[B, 2]) -> f32[B, 2] { x*2 } }\n",
                         NULL);
    assert_true(unit_entry(m.u, "f")->pinned);
    assert_false(unit_entry(m.u, "g")->pinned);
    assert_int_equal(m.cx->diags.n, 0);
    model_free(&m);
}

static void command_line_overrides(void **state)
{
    (void)state;
    static const char text[] =
        "const N = 3\n"
        "model M(k: int = 2) { param w: f32[N, k] = ones\n  fn loss() -> f32 { sum(w) } }\n"
        "train M { steps = 5; optimizer = sgd(lr=0.1) }\n";
    FrontendSetting defines[] = { { "k", "4" }, { "N", "5" } };
    FrontendSetting sets[] = { { "steps", "9" }, { "optimizer.momentum", "0.5" }, { "lr", "0.2" } };
    FrontendOptions o = { .defines = defines, .n_defines = 2, .sets = sets, .n_sets = 3 };
    Model m = model_load(text, &o);
    assert_true(m.u->tensors.at[0].shape.dim[1].n == 4 && m.u->tensors.at[0].shape.dim[0].n == 5);
    assert_int_equal(m.u->recipe.steps, 9);
    assert_true(unit_tensor(m.u, "w/m") >= 0); /* momentum costs a state */
    model_free(&m);
}

/* A cache of the last keys: x[p..p+n] = e with p known at run time, read back in a later call. */
static void windows_at_run_time(void **state)
{
    (void)state;
    Model m =
        model_load("model M { state k: f32[5, 2] = zeros\n"
                   "  export fn put(x: f32[2, 2], pos: i32) -> f32[5, 2] { k[pos..pos+2] = x; k }\n"
                   "  export fn get(pos: i32) -> f32[3, 2] { k[pos..pos+3] }\n"
                   "  export fn one(pos: i32) -> f32[5, 2] { a = k; a[pos, 1] = 9; a } }\n",
                   NULL);
    model_init(&m);
    Value in[] = { model_input(&m, "put", 0, 1, (double[]){ 1, 2, 3, 4 }),
                   model_input(&m, "put", 1, 1, (double[]){ 3 }) };
    static const double after[] = { 0, 0, 0, 0, 0, 0, 1, 2, 3, 4 };
    expect_numbers(model_run(&m, "put", in, 1, NULL), after, 10, 0);
    Value pos = model_input(&m, "get", 0, 1, (double[]){ 2 });
    expect_numbers(model_run(&m, "get", &pos, 1, NULL), after + 4, 6, 0);
    expect_numbers(model_run(&m, "one", &pos, 1, NULL), (double[]){ 0, 0, 0, 0, 0, 9, 1, 2, 3, 4 },
                   10, 0);
    model_free(&m);
}

static void settings_without_effect(void **state)
{
    (void)state;
    static const char text[] =
        "model M(width: int = 2) { export fn f(x: f32[B, width]) -> f32[B, width] { x } }\n";
    FrontendSetting d = { "widht", "3" };
    FrontendOptions o = { .defines = &d, .n_defines = 1 };
    Compiler *cx = compiler_new();
    assert_null(frontend_load_text(cx, "test.dl", text, sizeof text - 1, &o));
    assert_int_equal(cx->diags.n, 1);
    assert_int_equal(cx->diags.at[0].code, DIAG_E0422);
    assert_non_null(strstr(cx->diags.at[0].message, "`width`"));
    compiler_free(cx);
}

/* What combines over batches is summed; what stands around it is a graph of its own. */
static void metrics_are_split(void **state)
{
    (void)state;
    Model m = model_load("data d = table(x=[[1, 2], [3, 4]], y=[0, 1])\n"
                         "model M { param w: f32[2] = 1\n"
                         "  fn loss(x: f32[B, 2], y: f32[B]) -> f32 { mean(x @ w - y) } }\n"
                         "train M on d.all { batch = 2; steps = 1; optimizer = gd(lr=0)\n"
                         "  metric plain = loss on d.all\n"
                         "  metric power = 2^loss on d.all\n"
                         "  metric r2 = 1 - sum((x @ w - y)^2)/sum(y^2) on d.all\n"
                         "  metric norm = sum(w^2) }\n",
                         NULL);
    const Metric *all = m.u->recipe.metrics.at;
    assert_int_equal(m.u->recipe.metrics.n, 4);
    assert_string_equal(all[0].entry, "eval");
    assert_null(all[0].finish);
    assert_string_equal(all[1].entry, "eval"); /* the same sum */
    assert_null(all[3].on.source);             /* needs no data */
    model_init(&m);
    Value in[] = { model_input(&m, "eval", 0, 2, (double[]){ 1, 2, 3, 4 }),
                   model_input(&m, "eval", 1, 2, (double[]){ 0, 1 }) };
    double sum = model_run(&m, "eval", in, 2, NULL)->f[0];
    assert_true(fabs(sum - 9) < 1e-6); /* (3 + 6)/2, times two items */
    Value mean = model_input(&m, all[1].finish, 0, 1, (double[]){ sum / 2 });
    expect_numbers(model_run(&m, all[1].finish, &mean, 1, NULL), (double[]){ pow(2, 4.5) }, 1,
                   1e-6);
    Value *sums = model_run(&m, all[2].entry, in, 2, NULL);
    assert_true(fabs(sums[0].f[0] - 45) < 1e-4 && fabs(sums[1].f[0] - 1) < 1e-6);
    Value parts[] = { model_input(&m, all[2].finish, 0, 1, (double[]){ 22.5 }),
                      model_input(&m, all[2].finish, 1, 1, (double[]){ 2 }),
                      model_input(&m, all[2].finish, 2, 1, (double[]){ 0.5 }) };
    const Graph *finish = unit_entry(m.u, all[2].finish)->graph;
    for (int i = 0; i < 3; i++) { /* by name: m0, m1, weight */
        const char *name = finish->inputs.at[i].name;
        parts[i].f[0] = !strcmp(name, "m0") ? 22.5 : !strcmp(name, "m1") ? 0.5 : 2;
    }
    expect_numbers(model_run(&m, all[2].finish, parts, 1, NULL), (double[]){ -44 }, 1, 1e-6);
    model_free(&m);
}

static void labels_are_bounded(void **state)
{
    (void)state;
    Model m = model_load(
        "model M { fn loss(x: f32[B, 4], y: u8[B]) -> f32 { cross_entropy(x |> Linear(7), y) } }\n",
        NULL);
    const Graph *g = unit_entry(m.u, "eval")->graph;
    assert_int_equal(g->inputs.at[1].bound, 7);
    assert_int_equal(g->inputs.at[0].bound, 0);
    model_free(&m);
}

static void f64_replaces_f32(void **state)
{
    (void)state;
    FrontendOptions o = { .f64 = true };
    Model m = model_load(
        "model M { export fn f(x: f32[B, 4]) -> f32[B, 3] { x |> Linear(3) |> dropout(0.1) } }\n",
        &o);
    const Graph *g = unit_entry(m.u, "f")->graph;
    for (NodeId i = 0; i < g->nodes.n; i++)
        assert_int_not_equal(g->nodes.at[i].dtype, DT_F32);
    assert_int_equal(m.u->tensors.at[0].dtype, DT_F64);
    model_free(&m);
}

/* Hostile programs end soon, with one message. */
static void no_program_hangs(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "model M { export fn f() -> f32 { x = 0\n repeat i in 1000000000 { x = x + 1 }\n x } }\n",
        "fn f(x: f32) -> f32 { f(x) }\nmodel M { export fn g(x: f32) -> f32 { f(x) } }\n",
        "layer A { layer a = A() }\nmodel M { layer a = A() }\n",
        "fn f(x: f32) -> f32 { y = x\n repeat i in 1000 { y = y + 1 }\n y }\n"
        "fn g(x: f32) -> f32 { y = x\n repeat i in 1000 { y = f(y) }\n y }\n"
        "model M { export fn h(x: f32) -> f32 { y = x\n repeat i in 1000 { y = g(y) }\n y } }\n",
        "model M { layers a[1000000000] = Linear(3) }\n",
        "const A = B\nconst B = A\nmodel M { export fn f() -> f32 { A } }\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Compiler *cx = compiler_new();
        assert_null(frontend_load_text(cx, "hostile.dl", texts[i], strlen(texts[i]), NULL));
        if (cx->errors != 1)
            diag_print_all(cx, stderr, false);
        assert_int_equal(cx->errors, 1);
        compiler_free(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_elaborate),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(shapes_meet),
        cmocka_unit_test(indices),
        cmocka_unit_test(blocks_rebind),
        cmocka_unit_test(loops_are_unrolled),
        cmocka_unit_test(nested_gradients_are_nodes),
        cmocka_unit_test(parameters_are_named_by_path),
        cmocka_unit_test(state_is_written_in_training),
        cmocka_unit_test(batch_in_a_computed_dim_pins_it),
        cmocka_unit_test(command_line_overrides),
        cmocka_unit_test(windows_at_run_time),
        cmocka_unit_test(settings_without_effect),
        cmocka_unit_test(metrics_are_split),
        cmocka_unit_test(labels_are_bounded),
        cmocka_unit_test(f64_replaces_f32),
        cmocka_unit_test(no_program_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
