/* test_step.c: training steps from .dl text, differentiated and run by the reference interpreter:
 * the worked examples of gradient descent, every optimizer of the library against its formula,
 * layers with state, derivatives of derivatives. */
#include "passes/pass.h"

#include "tests/frontend/elab_help.h"

static Model train_load(const char *text, const FrontendOptions *options)
{
    Model m = model_load(text, options);
    if (!pass_autodiff(m.u)) {
        diag_print_all(m.cx, stderr, false);
        fail_msg("no gradient");
    }
    const char *wrong = unit_verify(m.cx->arena, m.u);
    if (wrong)
        fail_msg("%s", wrong);
    return m;
}

static double step(Model *m, const Value *inputs, int64_t batch, double number, double steps)
{
    double clock[CLOCK_SEED] = { 0 };
    clock[CLOCK_STEP] = clock[CLOCK_OWN_STEP] = number;
    clock[CLOCK_STEPS] = clock[CLOCK_OWN_STEPS] = steps;
    clock[CLOCK_LR] = NAN;
    clock[CLOCK_LR_SCALE] = 1;
    return model_run(m, unit_entry(m->u, "step") ? "step" : "step_a", inputs, batch, clock)->f[0];
}

static double *tensor(Model *m, const char *name)
{
    int32_t i = unit_tensor(m->u, name);
    if (i < 0)
        fail_msg("no tensor %s", name);
    return m->tensors[i].f;
}

/* L = x^2 + y^2 + 2x - 2y from (2, 2) with 0.1: (1.4, 1.8), L = 4.4; the minimum is -2 at (-1, 1).
 */
static void descent(void **state)
{
    (void)state;
    Model m = train_load("model Quad { param x: f32 = 2; param y: f32 = 2\n"
                         "  fn loss() -> f32 { x^2 + y^2 + 2*x - 2*y } }\n"
                         "train Quad { steps = 100; optimizer = gd(lr=0.1) }\n",
                         NULL);
    model_init(&m);
    assert_true(fabs(step(&m, NULL, 1, 0, 100) - 8) < 1e-6);
    assert_true(fabs(*tensor(&m, "x") - 1.4) < 1e-6 && fabs(*tensor(&m, "y") - 1.8) < 1e-6);
    assert_true(fabs(step(&m, NULL, 1, 1, 100) - 4.4) < 1e-6);
    double loss = 0;
    for (int i = 2; i < 101; i++)
        loss = step(&m, NULL, 1, i, 100);
    assert_true(fabs(loss + 2) < 1e-6 && fabs(*tensor(&m, "x") + 1) < 1e-6);
    model_free(&m);
}

/* ---- optimizers: ten steps on L = w^2 / 2 + w, whose gradient is w + 1, from 3 ---- */

typedef struct {
    double p, m, v;
} Course;

static void ref_gd(Course *r, double g, int t)
{
    (void)t;
    r->p -= 0.1 * g;
}

static void ref_sgd(Course *r, double g, int t)
{
    (void)t;
    g += 0.01 * r->p;
    r->m = 0.9 * r->m + g;
    r->p -= 0.1 * (g + 0.9 * r->m); /* Nesterov */
}

static void ref_heavy_ball(Course *r, double g, int t)
{
    (void)t;
    r->m = 0.9 * r->m + g;
    r->p -= 0.1 * r->m;
}

static void ref_ema_momentum(Course *r, double g, int t)
{
    (void)t;
    r->m = 0.9 * r->m + 0.1 * g;
    r->p -= 0.1 * r->m;
}

static void ref_adagrad(Course *r, double g, int t)
{
    (void)t;
    r->v += g * g;
    r->p -= 0.1 * g / (sqrt(r->v) + 1e-10);
}

static void ref_rmsprop(Course *r, double g, int t)
{
    (void)t;
    r->v = 0.99 * r->v + 0.01 * g * g;
    r->p -= 0.1 * g / (sqrt(r->v) + 1e-8);
}

static void ref_adam(Course *r, double g, int t)
{
    r->m = 0.9 * r->m + 0.1 * g;
    r->v = 0.999 * r->v + 0.001 * g * g;
    r->p -= 0.1 * r->m / (1 - pow(0.9, t)) / (sqrt(r->v / (1 - pow(0.999, t))) + 1e-8);
}

static void ref_adamw(Course *r, double g, int t)
{
    double before = r->p;
    ref_adam(r, g, t);
    r->p -= 0.1 * 0.01 * before;
}

static void ref_lion(Course *r, double g, int t)
{
    (void)t;
    double u = 0.9 * r->m + 0.1 * g;
    r->m = 0.99 * r->m + 0.01 * g;
    r->p -= 0.1 * ((u > 0) - (u < 0));
}

static void ref_own(Course *r, double g, int t)
{
    r->p -= 0.1 / t * g;
}

static const struct {
    const char *optimizer;
    void (*ref)(Course *r, double g, int t);
} optimizers[] = {
    { "gd(lr=0.1)", ref_gd },
    { "sgd(lr=0.1, momentum=0.9, nesterov=true, decay=0.01)", ref_sgd },
    { "sgd(0.1, 0.9)", ref_heavy_ball },
    { "momentum(lr=0.1)", ref_ema_momentum },
    { "adagrad(lr=0.1)", ref_adagrad },
    { "rmsprop(lr=0.1)", ref_rmsprop },
    { "adam(lr=0.1)", ref_adam },
    { "adamw(lr=0.1)", ref_adamw },
    { "lion(lr=0.1)", ref_lion },
    { "own(lr=0.1)", ref_own },
};

static void optimizers_are_their_formulas(void **state)
{
    (void)state;
    FrontendOptions o = { .f64 = true };
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "optimizer own(lr: f32) { fn (p: f32[...], g: f32[...]) -> f32[...] { p - "
                 "lr/(step + 1)*g } }\n"
                 "model M { param w: f32[2] = 3\n  fn loss() -> f32 { sum(w^2/2 + w) } }\n"
                 "train M { steps = 10; optimizer = %s }\n",
                 optimizers[i].optimizer);
        Model m = train_load(text, &o);
        model_init(&m);
        Course r = { .p = 3 };
        for (int t = 1; t <= 10; t++) {
            step(&m, NULL, 1, t - 1, 10);
            optimizers[i].ref(&r, r.p + 1, t);
            if (!(fabs(tensor(&m, "w")[1] - r.p) < 1e-6))
                fail_msg("%s: step %d gives %.9g, not %.9g", optimizers[i].optimizer, t,
                         tensor(&m, "w")[1], r.p);
        }
        model_free(&m);
    }
}

/* ---- schedules at a step ---- */

static void schedules_are_their_formulas(void **state)
{
    (void)state;
    static const struct {
        const char *schedule;
        double at, want;
    } cases[] = {
        { "cosine(2)", 50, 1 },         { "cosine(2, warmup=10)", 4, 1 },
        { "cosine(2, low=1)", 100, 1 }, { "linear(2, warmup=20)", 60, 1 },
        { "warm(4, 8)", 1, 1 },         { "one_cycle(3)", 30, 2.9998 },
        { "one_cycle(3)", 0, 0.12 },
    };
    FrontendOptions o = { .f64 = true };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "model M { param w: f32 = 0\n  fn loss() -> f32 { w } }\n"
                 "train M { steps = 100; optimizer = gd(lr=%s) }\n",
                 cases[i].schedule);
        Model m = train_load(text, &o);
        model_init(&m);
        step(&m, NULL, 1, cases[i].at, 100);
        if (!(fabs(*tensor(&m, "w") + cases[i].want) < 2e-3))
            fail_msg("%s at %g is %g", cases[i].schedule, cases[i].at, -*tensor(&m, "w"));
        model_free(&m);
    }
}

/* The rate set at run time goes before the schedule; the scale multiplies. */
static void rate_at_run_time(void **state)
{
    (void)state;
    Model m = train_load("model M { param w: f32 = 0\n  fn loss() -> f32 { w } }\n"
                         "train M { steps = 2; optimizer = gd(lr=cosine(1)) }\n",
                         NULL);
    double clock[CLOCK_SEED] = { [CLOCK_LR] = 0.25, [CLOCK_LR_SCALE] = 2 };
    model_init(&m);
    model_run(&m, "step", NULL, 1, clock);
    assert_true(fabs(*tensor(&m, "w") + 0.5) < 1e-6);
    model_free(&m);
}

/* Parts of the model with an optimizer of their own take what it leaves out from the plain one. */
static void optimizers_by_glob(void **state)
{
    (void)state;
    Model m =
        train_load("model M { param a: f32 = 1; param b: f32 = 1; param c: f32 = 1\n"
                   "  fn loss() -> f32 { a + b + c } }\n"
                   "train M { steps = 2; optimizer = sgd(lr=0.5, decay=1); params = \"*|!c\"\n"
                   "  optimizer[\"b\"] = sgd(decay=0) }\n",
                   NULL);
    model_init(&m);
    step(&m, NULL, 1, 0, 2);
    assert_true(fabs(*tensor(&m, "a") - 0) < 1e-6);   /* 1 - 0.5 (1 + 1) */
    assert_true(fabs(*tensor(&m, "b") - 0.5) < 1e-6); /* without decay */
    assert_true(fabs(*tensor(&m, "c") - 1) < 1e-6);   /* not trained */
    model_free(&m);
}

static void clipping(void **state)
{
    (void)state;
    Model m = train_load(
        "model M { param a: f32 = 0; param b: f32 = 0\n  fn loss() -> f32 { 3*a + 4*b } }\n"
        "train M { steps = 2; optimizer = gd(lr=1); clip_norm = 1 }\n",
        NULL);
    model_init(&m);
    step(&m, NULL, 1, 0, 2);
    assert_true(fabs(*tensor(&m, "a") + 0.6) < 1e-5 && fabs(*tensor(&m, "b") + 0.8) < 1e-5);
    model_free(&m);
    m = train_load(
        "model M { param a: f32 = 0; param b: f32 = 0\n  fn loss() -> f32 { 3*a - 0.5*b } }\n"
        "train M { steps = 2; optimizer = gd(lr=1); clip_value = 2 }\n",
        NULL);
    model_init(&m);
    step(&m, NULL, 1, 0, 2);
    assert_true(fabs(*tensor(&m, "a") + 2) < 1e-6 && fabs(*tensor(&m, "b") - 0.5) < 1e-6);
    model_free(&m);
}

/* Two executions with mean gradient 3 are one step of Adam; moments and clock move with the update.
 */
static void accumulation(void **state)
{
    (void)state;
    FrontendOptions o = { .f64 = true };
    Model m =
        train_load("model M { param w: f32 = 0\n  fn loss(x: f32[B]) -> f32 { w*mean(x) } }\n"
                   "train M { batch = 1; steps = 8; accumulate = 2; optimizer = adam(lr=0.1) }\n",
                   &o);
    Course r = { 0 };
    model_init(&m);
    for (int t = 0; t < 4; t++) {
        for (int half = 0; half < 2; half++) {
            Value x = model_input(&m, "step", 0, 1, (double[]){ half ? 4 + t : 2 });
            double before = *tensor(&m, "w");
            step(&m, &x, 1, 2 * t + half, 8);
            if (!half)
                assert_true(*tensor(&m, "w") == before);
        }
        ref_adam(&r, 3 + t / 2.0, t + 1);
        assert_true(fabs(*tensor(&m, "w") - r.p) < 1e-9);
        assert_true(*tensor(&m, "w/sum") == 0);
    }
    model_free(&m);
}

/* A gradient by a parameter of the model, named by its path. */
static void gradient_by_path(void **state)
{
    (void)state;
    Model m = train_load("layer L { param k: f32 = 3\n  fn (x: f32) -> f32 { x*k^2 } }\n"
                         "model M { layer a = L\n  fn f(x: f32) -> f32 { a(x) }\n"
                         "  export fn d(x: f32) -> f32 { grad(f, wrt=\"a.k\")(x) } }\n",
                         NULL);
    model_init(&m);
    Value x = model_input(&m, "d", 0, 1, (double[]){ 5 });
    expect_numbers(model_run(&m, "d", &x, 1, NULL), (double[]){ 30 }, 1, 1e-6);
    model_free(&m);
}

/* The course's house prices: w and c of the closed form are (3.5, -15), 700. */
static void house_prices(void **state)
{
    (void)state;
    static const double x[] = { 60, 2, 70, 8, 220, 25, 80, 20 }, y[] = { 880, 825, 1095, 680 };
    Model m = train_load(
        "data house = table(x=[[60, 2], [70, 8], [220, 25], [80, 20]], y=[880, 825, 1095, 680])\n"
        "model House { param w: f32[2] = zeros; param c: f32 = zeros\n"
        "  export fn predict(x: f32[B, 2]) -> f32[B] { x @ w + c }\n"
        "  fn loss(x: f32[B, 2], y: f32[B]) -> f32 { mean((predict(x) - y)^2) }\n"
        "  export fn closed(x: f32[N, 2], y: f32[N]) -> f32[N] {\n"
        "    a = concat(x, ones(N, 1), axis=1)\n"
        "    a @ solve(transpose(a) @ a, transpose(a) @ y) } }\n"
        "train House on house.all { batch = 4; steps = 10; optimizer = gd(lr=1e-5) }\n",
        NULL);
    model_init(&m);
    Value in[] = { model_input(&m, "closed", 0, 4, x), model_input(&m, "closed", 1, 4, y) };
    expect_numbers(model_run(&m, "closed", in, 4, NULL), y, 4, 1e-5);
    double loss = step(&m, in, 4, 0, 10);
    assert_true(fabs(loss - (880. * 880 + 825. * 825 + 1095. * 1095 + 680. * 680) / 4) < 1);
    /* dL/dw = -2/4 sum y x at w = 0 */
    double g0 = -0.5 * (880. * 60 + 825. * 70 + 1095. * 220 + 680. * 80);
    assert_true(fabs(tensor(&m, "w")[0] + 1e-5 * g0) < 1e-3);
    model_free(&m);
}

/* x^2 - x - x ln x: its derivative is 2x - 2 - ln x, and the loss (df)^2 has a slope through that.
 */
static void derivative_of_a_derivative(void **state)
{
    (void)state;
    Model m = train_load("fn f(x: f32) -> f32 { x^2 - x - x*log(x) }\n"
                         "fn df(x: f32) -> f32 { grad(f, wrt=x)(x) }\n"
                         "model Root { param x: f32 = 0.5\n  fn loss() -> f32 { df(x)^2 }\n"
                         "  export fn curvature() -> f32 { grad(df, wrt=x)(x) } }\n"
                         "train Root { steps = 1; optimizer = gd(lr=0.1) }\n",
                         NULL);
    model_init(&m);
    expect_numbers(model_run(&m, "curvature", NULL, 1, NULL), (double[]){ 2 - 1 / 0.5 }, 1, 1e-6);
    double slope = 2 * 0.5 - 2 - log(0.5);
    assert_true(fabs(step(&m, NULL, 1, 0, 1) - slope * slope) < 1e-6);
    assert_true(fabs(*tensor(&m, "x") - 0.5) < 1e-6); /* the curvature at 0.5 is 0: no slope */
    model_free(&m);
}

static void hessian_of_a_saddle(void **state)
{
    (void)state;
    Model m =
        train_load("fn saddle(v: f32[2]) -> f32 { v[0]^2 - v[1]^2 + 3*v[0]*v[1] }\n"
                   "model M { export fn h() -> f32[2, 2] { hessian(saddle, wrt=v)(zeros(2)) }\n"
                   "  export fn vg(x: f32) -> (f32, f32) {\n"
                   "    fn f(x: f32) -> f32 { x^3 }\n    value_and_grad(f, wrt=x)(x) } }\n",
                   NULL);
    expect_numbers(model_run(&m, "h", NULL, 1, NULL), (double[]){ 2, 3, 3, -2 }, 4, 1e-6);
    Value x = model_input(&m, "vg", 0, 1, (double[]){ 2 });
    Value *both = model_run(&m, "vg", &x, 1, NULL);
    expect_numbers(&both[0], (double[]){ 8 }, 1, 1e-6);
    expect_numbers(&both[1], (double[]){ 12 }, 1, 1e-6);
    model_free(&m);
}

/* Batch statistics while training, running ones after: (1 - a) old + a batch, the variance
 * unbiased. */
static void batch_norm(void **state)
{
    (void)state;
    Model m = train_load("model M { layer bn = BatchNorm1d; param s: f32 = 1\n"
                         "  export fn f(x: f32[B, 1]) -> f32[B, 1] { bn(x) }\n"
                         "  fn loss(x: f32[B, 1]) -> f32 { s*sum(bn(x)^2) } }\n"
                         "train M { batch = 4; steps = 1; optimizer = gd(lr=0); }\n",
                         NULL);
    model_init(&m);
    Value x = model_input(&m, "step", 0, 4, (double[]){ 1, 2, 3, 6 });
    assert_true(fabs(step(&m, &x, 4, 0, 1) - 4) < 1e-4);
    assert_true(fabs(*tensor(&m, "bn.running_mean") - 0.3) < 1e-6);
    assert_true(fabs(*tensor(&m, "bn.running_var") - (0.9 + 0.1 * 14. / 3)) < 1e-5);
    Value *y = model_run(&m, "f", &x, 4, NULL);
    double s = 1 / sqrt(0.9 + 0.1 * 14. / 3 + 1e-5);
    expect_numbers(y, (double[]){ 0.7 * s, 1.7 * s, 2.7 * s, 5.7 * s }, 4, 1e-5);
    model_free(&m);
}

static void frozen_parts_do_not_train(void **state)
{
    (void)state;
    Model m = train_load("layer Scale { param k: f32 = 2\n  fn (x: f32) -> f32 { x*k } }\n"
                         "model M { layer a = Scale; layer b = Scale\n"
                         "  fn loss() -> f32 { frozen(a)(1) + b(1) + stop_gradient(b.k) } }\n"
                         "train M { steps = 1; optimizer = gd(lr=1) }\n",
                         NULL);
    model_init(&m);
    assert_true(fabs(step(&m, NULL, 1, 0, 1) - 6) < 1e-6);
    assert_true(fabs(*tensor(&m, "a.k") - 2) < 1e-6 && fabs(*tensor(&m, "b.k") - 1) < 1e-6);
    model_free(&m);
}

static void several_updates(void **state)
{
    (void)state;
    Model m = train_load(
        "model M { param a: f32 = 1; param b: f32 = 1\n"
        "  fn one() -> f32 { a*b }\n  fn two() -> f32 { a + b } }\n"
        "train M { steps = 2; optimizer = gd(lr=0.5)\n"
        "  update a { loss = one; params = \"a\"; times = 3 }\n"
        "  update b { loss = two; params = \"b\"; optimizer = sgd(lr=1, momentum=0.5) } }\n",
        NULL);
    model_init(&m);
    assert_int_equal(m.u->recipe.updates.n, 2);
    assert_int_equal(m.u->recipe.updates.at[0].times, 3);
    step(&m, NULL, 1, 0, 2);
    assert_true(fabs(*tensor(&m, "a") - 0.5) < 1e-6 && fabs(*tensor(&m, "b") - 1) < 1e-6);
    double clock[CLOCK_SEED] = { [CLOCK_LR] = NAN, [CLOCK_LR_SCALE] = 1 };
    model_run(&m, "step_b", NULL, 1, clock);
    assert_true(fabs(*tensor(&m, "a") - 0.5) < 1e-6 && fabs(*tensor(&m, "b") - 0) < 1e-6);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descent),
        cmocka_unit_test(optimizers_are_their_formulas),
        cmocka_unit_test(schedules_are_their_formulas),
        cmocka_unit_test(rate_at_run_time),
        cmocka_unit_test(optimizers_by_glob),
        cmocka_unit_test(clipping),
        cmocka_unit_test(accumulation),
        cmocka_unit_test(gradient_by_path),
        cmocka_unit_test(house_prices),
        cmocka_unit_test(derivative_of_a_derivative),
        cmocka_unit_test(hessian_of_a_saddle),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(frozen_parts_do_not_train),
        cmocka_unit_test(several_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
