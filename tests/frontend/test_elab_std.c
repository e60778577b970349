/* test_elab_std.c: the library's losses, activations, layers and initial values against their
 * formulas. */
#include "tests/frontend/elab_help.h"

/* x = [-2, -0.5, 0, 1, 3], t = [0, 1, 0.25, 1, 0] for losses of pairs. */
static const double x5[] = { -2, -0.5, 0, 1, 3 }, t5[] = { 0, 1, 0.25, 1, 0 };

static double log_sum_exp(const double *l, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++)
        s += exp(l[i]);
    return log(s);
}

static double f_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double f_leaky(double x)
{
    return x > 0 ? x : 0.01 * x;
}

static double f_elu(double x)
{
    return x > 0 ? x : expm1(x);
}

static double f_silu(double x)
{
    return x * f_sigmoid(x);
}

static double f_gelu(double x)
{
    return x * 0.5 * (1 + erf(x / sqrt(2)));
}

static double f_gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double f_log_sigmoid(double x)
{
    return log(f_sigmoid(x));
}

static double f_relu(double x)
{
    return x > 0 ? x : 0;
}

static double f_softplus(double x)
{
    return log(1 + exp(x));
}

static double f_mish(double x)
{
    return x * tanh(f_softplus(x));
}

static double f_relu6(double x)
{
    return fmin(fmax(x, 0), 6);
}

static const struct {
    const char *name;
    double (*f)(double x);
} activations[] = {
    { "elu", f_elu },
    { "gelu", f_gelu },
    { "gelu_tanh", f_gelu_tanh },
    { "leaky_relu", f_leaky },
    { "log_sigmoid", f_log_sigmoid },
    { "mish", f_mish },
    { "relu", f_relu },
    { "relu6", f_relu6 },
    { "sigmoid", f_sigmoid },
    { "silu", f_silu },
    { "softplus", f_softplus },
    { "tanh", tanh },
};

static void activations_are_their_formulas(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        char text[256];
        double want[5];
        snprintf(text, sizeof text, "model M { export fn f(x: f32[B]) -> f32[B] { %s(x) } }\n",
                 activations[i].name);
        Model m = model_load(text, NULL);
        Value x = model_input(&m, "f", 0, 5, x5);
        for (int k = 0; k < 5; k++)
            want[k] = activations[i].f(x5[k]);
        expect_numbers(model_run(&m, "f", &x, 5, NULL), want, 5, 1e-6);
        model_free(&m);
    }
}

/* x (1 + erf(x / sqrt(2))) / 2 in f32 loses all digits of these: the sum cancels. */
static void gelu_keeps_its_digits_far_below(void **state)
{
    (void)state;
    static const double x[] = { -8, -6.5, -5, -4.2, -3 };
    double want[2][5];
    for (int k = 0; k < 5; k++) {
        double u = 2 * sqrt(2 / M_PI) * (x[k] + 0.044715 * x[k] * x[k] * x[k]);
        want[0][k] = 0.5 * x[k] * erfc(-x[k] / sqrt(2));
        want[1][k] = x[k] * exp(u) / (1 + exp(u));
    }
    for (int i = 0; i < 2; i++) {
        char text[256];
        snprintf(text, sizeof text, "model M { export fn f(x: f32[B]) -> f32[B] { %s(x) } }\n",
                 i ? "gelu_tanh" : "gelu");
        Model m = model_load(text, NULL);
        Value in = model_input(&m, "f", 0, 5, x), *out = model_run(&m, "f", &in, 5, NULL);
        for (int k = 0; k < 5; k++) /* 2^-22: at most 4 units in the last place */
            if (!(fabs(out->f[k] - want[i][k]) <= 0x1p-22 * fabs(want[i][k])))
                fail_msg("%s of %g is %.9g, not %.9g", i ? "gelu_tanh" : "gelu", x[k], out->f[k],
                         want[i][k]);
        model_free(&m);
    }
}

static void expect_loss(const char *call, double want)
{
    char text[256];
    snprintf(text, sizeof text, "model M { export fn f(y: f32[B], t: f32[B]) -> f32 { %s } }\n",
             call);
    Model m = model_load(text, NULL);
    Value in[] = { model_input(&m, "f", 0, 5, x5), model_input(&m, "f", 1, 5, t5) };
    expect_numbers(model_run(&m, "f", in, 5, NULL), &want, 1, 1e-6);
    model_free(&m);
}

static void losses_of_pairs(void **state)
{
    (void)state;
    double mse = 0, mae = 0, huber = 0, smooth = 0, bce = 0, hinge = 0;
    for (int i = 0; i < 5; i++) {
        double d = x5[i] - t5[i], a = fabs(d), p = f_sigmoid(x5[i]), sign = 2 * t5[i] - 1;
        mse += d * d / 5;
        mae += a / 5;
        huber += (a < 1.5 ? 0.5 * d * d : 1.5 * (a - 0.75)) / 5;
        smooth += (a < 0.5 ? 0.5 * d * d / 0.5 : a - 0.25) / 5;
        bce -= (t5[i] * log(p) + (1 - t5[i]) * log(1 - p)) / 5;
        hinge += fmax(0, 1 - sign * x5[i]) / 5;
    }
    expect_loss("mse(y, t)", mse);
    expect_loss("mae(y, t)", mae);
    expect_loss("huber(y, t, delta=1.5)", huber);
    expect_loss("smooth_l1(y, t, beta=0.5)", smooth);
    expect_loss("bce_with_logits(y, t)", bce);
    expect_loss("bce(sigmoid(y), t)", bce);
    expect_loss("hinge(y, 2*t - 1)", hinge);
}

static const double logits[] = { 1, 2, 0.5, -1, 0, 3, 0.1, 0.2, 0.3 };
static const double labels[] = { 0, 2, 1 };

static void expect_classes(const char *call, double want)
{
    char text[256];
    snprintf(text, sizeof text, "model M { export fn f(l: f32[B, 3], y: u8[B]) -> f32 { %s } }\n",
             call);
    Model m = model_load(text, NULL);
    Value in[] = { model_input(&m, "f", 0, 3, logits), model_input(&m, "f", 1, 3, labels) };
    expect_numbers(model_run(&m, "f", in, 3, NULL), &want, 1, 1e-6);
    model_free(&m);
}

static void losses_of_classes(void **state)
{
    (void)state;
    double ce = 0, smooth = 0, ignore = 0, kl = 0;
    for (int i = 0; i < 3; i++) {
        const double *l = logits + 3 * i;
        double lse = log_sum_exp(l, 3), hit = lse - l[(int)labels[i]];
        double mean = lse - (l[0] + l[1] + l[2]) / 3;
        ce += hit / 3;
        smooth += (0.9 * hit + 0.1 * mean) / 3;
        ignore += labels[i] == 2 ? 0 : hit / 2;
        for (int k = 0; k < 3; k++) {
            double q = exp(l[k] - lse), p = k == 0 ? 0.5 : k == 1 ? 0.5 : 0;
            if (p > 0)
                kl += p * (log(p) - log(q)) / 3;
        }
    }
    expect_classes("cross_entropy(l, y)", ce);
    expect_classes("cross_entropy(l, y, smooth=0.1)", smooth);
    expect_classes("cross_entropy(l, y, ignore=2)", ignore);
    expect_classes("mean(cross_entropy(l, y, reduce=false))", ce);
    expect_classes("cross_entropy(rearrange(\"b v -> b 1 v\", l), rearrange(\"b -> b 1\", y))", ce);
    expect_classes(
        "kl(concat(zeros(B, 2) + 0.5, zeros(B, 1), axis=1), log_softmax(l)) + 0*mean(y == 1)", kl);
}

/* ---- layers ---- */

static void expect_layer(const char *layer, const char *type, const double *in, int64_t batch,
                         const char *result, const double *want, int64_t n)
{
    char text[512];
    snprintf(text, sizeof text, "model M { export fn f(x: %s) -> %s { x |> %s } }\n", type, result,
             layer);
    Model m = model_load(text, NULL);
    model_init(&m);
    Value x = model_input(&m, "f", 0, batch, in);
    expect_numbers(model_run(&m, "f", &x, batch, NULL), want, n, 1e-5);
    model_free(&m);
}

#define LAYER(layer, type, in, batch, result, ...)                                    \
    expect_layer(layer, type, (double[])in, batch, result, (double[]){ __VA_ARGS__ }, \
                 sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))
#define LIST(...) { __VA_ARGS__ }

static void layers_compute(void **state)
{
    (void)state;
    double s = sqrt(8. / 3 + 1e-5), r = sqrt((1 + 9 + 25) / 3. + 1e-6), g = sqrt(4 + 1e-5);
    LAYER("Linear(2, init=constant(1))", "f32[B, 3]", LIST(1, 2, 3, 0, 0, 1), 2, "f32[B, 2]", 6, 6,
          1, 1);
    LAYER("LayerNorm", "f32[B, 3]", LIST(1, 3, 5), 1, "f32[B, 3]", -2 / s, 0, 2 / s);
    LAYER("RMSNorm", "f32[B, 3]", LIST(1, 3, 5), 1, "f32[B, 3]", 1 / r, 3 / r, 5 / r);
    LAYER("GroupNorm(2)", "f32[B, 4, 1, 1]", LIST(1, 5, 10, 6), 1, "f32[B, 4, 1, 1]", -2 / g, 2 / g,
          2 / g, -2 / g);
    LAYER("Conv1d(1, 2, init=constant(1))", "f32[B, 1, 4]", LIST(1, 2, 3, 4), 1, "f32[B, 1, 3]", 3,
          5, 7);
    LAYER("Conv1d(1, 2, stride=2, pad=1, init=constant(1))", "f32[B, 1, 4]", LIST(1, 2, 3, 4), 1,
          "f32[B, 1, 3]", 1, 5, 4);
    LAYER("Conv1d(1, 2, dilation=2, init=constant(1))", "f32[B, 1, 4]", LIST(1, 2, 3, 4), 1,
          "f32[B, 1, 2]", 4, 6);
    LAYER("Conv2d(2, 1, groups=2, init=constant(3))", "f32[B, 2, 1, 1]", LIST(1, 2), 1,
          "f32[B, 2, 1, 1]", 3, 6);
    LAYER("ConvTranspose2d(1, 2, stride=2, init=constant(1))", "f32[B, 1, 1, 2]", LIST(1, 2), 1,
          "f32[B, 1, 2, 4]", 1, 1, 2, 2, 1, 1, 2, 2);
    LAYER("ConvTranspose2d(1, 2, init=constant(1))", "f32[B, 1, 1, 2]", LIST(1, 2), 1,
          "f32[B, 1, 2, 3]", 1, 3, 2, 1, 3, 2);
    LAYER("max_pool(2)", "f32[B, 1, 2, 4]", LIST(1, 5, 3, 2, 4, 0, -1, 7), 1, "f32[B, 1, 1, 2]", 5,
          7);
    LAYER("max_pool(3, stride=1, pad=1)", "f32[B, 1, 1, 3]", LIST(-1, -5, -3), 1, "f32[B, 1, 1, 3]",
          -1, -1, -3);
    LAYER("avg_pool(2)", "f32[B, 1, 2, 2]", LIST(1, 5, 3, 1), 1, "f32[B, 1, 1, 1]", 2.5);
    LAYER("global_avg_pool", "f32[B, 2, 1, 2]", LIST(1, 5, 3, 1), 1, "f32[B, 2]", 3, 2);
    LAYER("global_max_pool", "f32[B, 2, 1, 2]", LIST(1, 5, 3, 1), 1, "f32[B, 2]", 5, 3);
    LAYER("dropout(0.5)", "f32[B, 2]", LIST(1, 5), 1, "f32[B, 2]", 1, 5);
    LAYER("normalize", "f32[B, 2]", LIST(3, 4), 1, "f32[B, 2]", 0.6, 0.8);
    LAYER("Embedding(3, 2, init=constant(4))", "i32[B]", LIST(2), 1, "f32[B, 2]", 4, 4);
    LAYER("BatchNorm2d", "f32[B, 1, 1, 2]", LIST(2, 4), 1, "f32[B, 1, 1, 2]", 2 / sqrt(1 + 1e-5),
          4 / sqrt(1 + 1e-5));
}

/* The gates of the course: with weights of zero and a bias, z*h + (1 - z)*n. */
static void recurrent_cells(void **state)
{
    (void)state;
    Model m = model_load(
        "model M { layer g = GRUCell[1, 1]; layer l = LSTMCell[1, 1]; layer r = RNNCell[1, 1]\n"
        "  export fn f(x: f32[B, 1], h: f32[B, 1]) -> (f32[B, 1], f32[B, 1], f32[B, 1]) {\n"
        "    a, c = l(x, h, 2*h); g(x, h), a, r(x, h) } }\n",
        NULL);
    model_init(&m);
    for (uint32_t i = 0; i < m.u->tensors.n; i++)
        for (int64_t k = 0; k < m.tensors[i].count; k++)
            m.tensors[i].f[k] = 0.1 * (double)(k + 1);
    Value in[] = { model_input(&m, "f", 0, 1, (double[]){ 2 }),
                   model_input(&m, "f", 1, 1, (double[]){ 3 }) };
    Value *out = model_run(&m, "f", in, 1, NULL);
    double r = f_sigmoid(0.2 + 0.3 + 0.1), z = f_sigmoid(0.4 + 0.6 + 0.2);
    double n = tanh(0.6 + r * 3 * 0.3 + 0.3);
    expect_numbers(&out[0], (double[]){ z * 3 + (1 - z) * n }, 1, 1e-6);
    double c = f_sigmoid(1.2) * 6 + f_sigmoid(0.6) * tanh(1.8); /* i, f, g, o: 0.6, 1.2, 1.8, 2.4 */
    expect_numbers(&out[1], (double[]){ f_sigmoid(2.4) * tanh(c) }, 1, 1e-6);
    expect_numbers(&out[2], (double[]){ tanh(0.2 + 0.3 + 0.1) }, 1, 1e-6);
    model_free(&m);
}

/* softmax(q k / sqrt d) v with and without a mask; one head, groups of one. */
static void attention_is_scaled(void **state)
{
    (void)state;
    Model m = model_load("model M {\n"
                         "  export fn f(q: f32[B, 1, 2, 2], k: f32[B, 1, 2, 2], v: f32[B, 1, 2, "
                         "1]) -> f32[B, 1, 2, 1] {\n"
                         "    attention(q, k, v) }\n"
                         "  export fn g(q: f32[B, 1, 2, 2], k: f32[B, 1, 2, 2], v: f32[B, 1, 2, "
                         "1]) -> f32[B, 1, 2, 1] {\n"
                         "    attention(q, k, v, causal(2)) } }\n",
                         NULL);
    Value in[] = { model_input(&m, "f", 0, 1, (double[]){ 1, 0, 0, 2 }),
                   model_input(&m, "f", 1, 1, (double[]){ 1, 1, 0, 3 }),
                   model_input(&m, "f", 2, 1, (double[]){ 10, 20 }) };
    double a = exp(1 / sqrt(2)), b = 1, c = exp(2 / sqrt(2)), d = exp(6 / sqrt(2));
    double second = (10 * c + 20 * d) / (c + d);
    expect_numbers(model_run(&m, "f", in, 1, NULL),
                   (double[]){ (10 * a + 20 * b) / (a + b), second }, 2, 1e-6);
    expect_numbers(model_run(&m, "g", in, 1, NULL), (double[]){ 10, second }, 2, 1e-6);
    model_free(&m);
}

static void heads_and_blocks(void **state)
{
    (void)state;
    Model m = model_load("model M { layer a = MultiHead(4, kv_heads=2); layer d = DecoderBlock(2); "
                         "layer e = EncoderBlock(2)\n"
                         "  export fn f(x: f32[B, 3, 8], c: f32[B, 5, 6]) -> f32[B, 3, 8] {\n"
                         "    e(d(a(x, c), c), true) + sinusoidal(3, 8) + rotary(x) } }\n",
                         NULL);
    const Shape *k = &m.u->tensors.at[unit_tensor(m.u, "a.k.weight")].shape;
    assert_true(k->dim[0].n == 4 && k->dim[1].n == 6); /* two heads of 2, from 6 */
    model_init(&m);
    double zero[48] = { 0 };
    Value in[] = { model_input(&m, "f", 0, 1, zero), model_input(&m, "f", 1, 1, zero) };
    Value *y = model_run(&m, "f", in, 1, NULL);
    for (int64_t i = 0; i < y->count; i++)
        assert_true(isfinite(y->f[i]));
    model_free(&m);
}

/* Row t: sin t, cos t, sin(t/100), cos(t/100); a turn by t for the halves. */
static void positions(void **state)
{
    (void)state;
    Model m = model_load("model M { export fn f() -> f32[2, 4] { sinusoidal(2, 4) }\n"
                         "  export fn g(x: f32[2, 4]) -> f32[2, 4] { rotary(x) } }\n",
                         NULL);
    expect_numbers(model_run(&m, "f", NULL, 1, NULL),
                   (double[]){ 0, 1, 0, 1, sin(1), cos(1), sin(0.01), cos(0.01) }, 8, 1e-6);
    Value x = model_input(&m, "g", 0, 1, (double[]){ 1, 2, 3, 4, 1, 2, 3, 4 });
    double c = cos(1), s = sin(1), c2 = cos(0.01), s2 = sin(0.01);
    expect_numbers(model_run(&m, "g", &x, 1, NULL),
                   (double[]){ 1, 2, 3, 4, c - 3 * s, 2 * c2 - 4 * s2, s + 3 * c, 2 * s2 + 4 * c2 },
                   8, 1e-6);
    model_free(&m);
}

/* Eigenvalues of [[2, 1, 0], [1, 2, 1], [0, 1, 2]] are 2 - sqrt 2, 2, 2 + sqrt 2. */
static void eigenvalues(void **state)
{
    (void)state;
    Model m = model_load("model M { export fn f(a: f32[3, 3]) -> f32[3] { eigvals(a) }\n"
                         "  export fn g(a: f32[2, 2]) -> f32[2] { eigvals(a) }\n"
                         "  export fn h() -> f32[2, 2] { eye(2) } }\n",
                         NULL);
    Value a = model_input(&m, "f", 0, 1, (double[]){ 2, 1, 0, 1, 2, 1, 0, 1, 2 });
    expect_numbers(model_run(&m, "f", &a, 1, NULL), (double[]){ 2 - sqrt(2), 2, 2 + sqrt(2) }, 3,
                   1e-6);
    a = model_input(&m, "g", 0, 1, (double[]){ 0, 3, 3, 0 });
    expect_numbers(model_run(&m, "g", &a, 1, NULL), (double[]){ -3, 3 }, 2, 1e-6);
    expect_numbers(model_run(&m, "h", NULL, 1, NULL), (double[]){ 1, 0, 0, 1 }, 4, 0);
    model_free(&m);
}

/* ---- initial values ---- */

static void moments(const char *init, double *mean, double *deviation, double *largest)
{
    char text[256];
    snprintf(text, sizeof text,
             "model M { param w: f32[40, 50] = %s; export fn f() -> f32 { sum(w) } }\n", init);
    Model m = model_load(text, NULL);
    model_init(&m);
    const Value *w = &m.tensors[0];
    double s = 0, q = 0, top = 0;
    for (int64_t i = 0; i < w->count; i++) {
        s += w->f[i];
        q += w->f[i] * w->f[i];
        top = fmax(top, fabs(w->f[i]));
    }
    *mean = s / 2000;
    *deviation = sqrt(q / 2000);
    *largest = top;
    model_free(&m);
}

/* 2,000 draws: the mean within 4 deviations / sqrt(2000), the deviation within 8 %. */
static void initial_values_have_their_spread(void **state)
{
    (void)state;
    static const struct {
        const char *init;
        double deviation, largest;
    } cases[] = {
        { "normal(0.5)", 0.5, 3 },
        { "uniform(0.3)", 0.3 / 1.7320508, 0.3 },
        { "xavier", 0.14907119849998598, 0.2581988897471611 }, /* sqrt(2/90), sqrt(6/90) */
        { "xavier_normal", 0.14907119849998598, 1 },
        { "he", 0.2, 1.2 },                                       /* sqrt(2/50) */
        { "he_uniform", 0.0816496580927726, 0.1414213562373095 }, /* 1/sqrt(150), 1/sqrt(50) */
        { "trunc_normal(0.5)", 0.5 * 0.8796, 1.0001 },
        { "constant(2)", 2, 2 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double mean, deviation, largest;
        moments(cases[i].init, &mean, &deviation, &largest);
        bool constant = i == sizeof cases / sizeof *cases - 1;
        if ((!constant && fabs(mean) > 4 * cases[i].deviation / sqrt(2000)) ||
            fabs(deviation / cases[i].deviation - 1) > 0.08 || largest > cases[i].largest * 1.0001)
            fail_msg("%s: mean %g, deviation %g, largest %g", cases[i].init, mean, deviation,
                     largest);
    }
}

static void orthogonal_rows(void **state)
{
    (void)state;
    Model m = model_load(
        "model M { param w: f32[3, 5] = orthogonal; param v: f32[5, 3] = orthogonal(2)\n"
        "  export fn f() -> (f32[3, 3], f32[3, 3]) { w @ transpose(w), transpose(v) @ v } }\n",
        NULL);
    model_init(&m);
    Value *out = model_run(&m, "f", NULL, 1, NULL);
    expect_numbers(&out[0], (double[]){ 1, 0, 0, 0, 1, 0, 0, 0, 1 }, 9, 1e-5);
    expect_numbers(&out[1], (double[]){ 4, 0, 0, 0, 4, 0, 0, 0, 4 }, 9, 1e-5);
    model_free(&m);
}

static void parameters_start_differently(void **state)
{
    (void)state;
    Model m = model_load("model M { param a: f32[4] = normal; param b: f32[4] = normal\n"
                         "  export fn f() -> f32 { sum(a*b) } }\n",
                         NULL);
    model_init(&m);
    for (int i = 0; i < 4; i++)
        assert_true(m.tensors[0].f[i] != m.tensors[1].f[i]);
    model_free(&m);
}

/* ---- randomness and augmentation in a step ---- */

/* The loss of one step in training, its updates left out: their derivatives are not resolved here.
 */
static double training_value(const char *loss, const double *x, int64_t n)
{
    char text[512];
    snprintf(text, sizeof text,
             "model M { param w: f32 = 1\n  fn loss(x: f32[B, %d]) -> f32 { %s + 0*w } }\n"
             "train M { batch = 2; steps = 1; optimizer = gd(lr=0) }\n",
             (int)n, loss);
    Model m = model_load(text, NULL);
    unit_entry(m.u, "step")->graph->outputs.n = 1;
    model_init(&m);
    Value in = model_input(&m, "step", 0, 2, x);
    double v = model_run(&m, "step", &in, 2, NULL)->f[0];
    model_free(&m);
    return v;
}

static void dropout_drops(void **state)
{
    (void)state;
    double ones[2000];
    for (int i = 0; i < 2000; i++)
        ones[i] = 1;
    assert_true(fabs(training_value("mean(dropout(x, 0.25) == 0)", ones, 1000) - 0.25) < 0.04);
    assert_true(fabs(training_value("mean(dropout(x, 0.25))", ones, 1000) - 1) < 0.06);
    /* two calls draw apart: equal with probability 0.75^2 + 0.25^2 */
    assert_true(fabs(training_value("mean(dropout(x, 0.25) == dropout(x, 0.25))", ones, 1000) -
                     0.625) < 0.05);
    /* so do the turns of a loop */
    assert_true(training_value("a = x\n repeat i in 8 { a = dropout(a, 0.25) }\n mean(a == 0)",
                               ones, 1000) > 0.8);
}

/* Nothing turned is the image itself; half a pixel is the mean of two. */
static void images_are_sampled(void **state)
{
    (void)state;
    double x[18];
    for (int i = 0; i < 18; i++)
        x[i] = i * i;
    assert_true(training_value("i = rearrange(\"b (h w) -> b 1 h w\", x, h=3)\n"
                               " max(abs(random_affine(i, rotate=0, scale=0) - i))",
                               x, 9) < 1e-3);
    Model m = model_load(
        "model M { export fn f(x: f32[1, 1, 2, 2]) -> f32[1, 1, 1, 3] {\n"
        "  sample(x, full(0.5, 1, 1, 3), rearrange(\"q -> 1 1 q\", f32(iota(3))/2 + 0.5)) } }\n",
        NULL);
    Value in = model_input(&m, "f", 0, 1, (double[]){ 1, 2, 3, 8 });
    expect_numbers(model_run(&m, "f", &in, 1, NULL), (double[]){ 3.5, 5, 2.5 }, 3, 1e-6);
    model_free(&m);
}

static void augmentation_elaborates(void **state)
{
    (void)state;
    Model m = model_load(
        "model M { param w: f32 = 1\n"
        "  fn loss(x: f32[B, 3, 8, 8]) -> f32 {\n"
        "    if training { x = x |> random_crop(pad=2) |> random_flip |> random_light |> noise\n"
        "      x = random_affine(x, shift=1) }\n"
        "    w*mean(x) } }\n"
        "train M { batch = 2; steps = 1; optimizer = gd(lr=0) }\n",
        NULL);
    double zero[2 * 3 * 64] = { 0 };
    Graph *g = unit_entry(m.u, "step")->graph;
    g->outputs.n = 1;
    assert_false(unit_entry(m.u, "step")->pinned);
    model_init(&m);
    Value x = model_input(&m, "step", 0, 2, zero);
    assert_true(fabs(model_run(&m, "step", &x, 2, NULL)->f[0]) < 0.25);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_are_their_formulas),
        cmocka_unit_test(gelu_keeps_its_digits_far_below),
        cmocka_unit_test(losses_of_pairs),
        cmocka_unit_test(losses_of_classes),
        cmocka_unit_test(layers_compute),
        cmocka_unit_test(recurrent_cells),
        cmocka_unit_test(attention_is_scaled),
        cmocka_unit_test(heads_and_blocks),
        cmocka_unit_test(positions),
        cmocka_unit_test(eigenvalues),
        cmocka_unit_test(initial_values_have_their_spread),
        cmocka_unit_test(orthogonal_rows),
        cmocka_unit_test(parameters_start_differently),
        cmocka_unit_test(dropout_drops),
        cmocka_unit_test(images_are_sampled),
        cmocka_unit_test(augmentation_elaborates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
