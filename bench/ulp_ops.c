/* ulp_ops.c: how exact every element-wise ONNX operator is in f32, through the importer and the
 * whole compiler, against double; and every function of the language that no operator is.
 *
 *   bench_ulp_ops [-m MARCH] [op ...]
 *
 * For each operator a model of one node is written, imported, compiled and run, for each function a
 * model of that call, on two sets of inputs: the finite floats by their bits (every binade as often
 * as another; every 1021st), and numbers even in [-8, 8], where the curved parts of activations
 * are. Errors are in units of the last place of the true value, which is computed in double from
 * formulas without cancellation. Prints a Markdown table; exits 1 when of any operator less than
 * 99 % are within 4. A result that is NaN or infinite where the truth is not, or the other way
 * round, counts as infinitely wrong. */
#include "backend/session.h"
#include "backend/target.h"
#include "frontend/frontend.h"
#include "frontend/onnx/onnx.pb-c.h"
#include "passes/pipeline.h"
#include "runtime/dlrt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, STRIDE = 1021, EVEN = 1 << 22, BINS = 4096, BINS_PER_UNIT = 64 };

typedef struct {
    const char *op;    /* "domain::Op", where it is not the standard's */
    const char *attrs; /* "alpha=1.5;fmod=1": with a point a float, digits an integer; or NULL */
    double (*one)(double);
    double (*two)(double, double);
    bool said;  /* `op` is an expression of a and b in the language */
    bool test;  /* gives bool */
    int opset;  /* 0: the newest */
} Row;

/* ---- The truth ---- */

static double t_neg(double x) { return -x; }
static double t_reciprocal(double x) { return 1 / x; }
static double t_sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double t_softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double t_softsign(double x) { return x / (1 + fabs(x)); }
static double t_relu(double x) { return x > 0 ? x : 0; }
static double t_leaky(double x) { return x < 0 ? (double)0.01f * x : x; }
static double t_elu(double x) { return x < 0 ? expm1(x) : x; }
static double t_selu(double x)
{
    return (double)1.05070102214813232421875f *
           (x > 0 ? x : (double)1.67326319217681884765625f * expm1(x));
}
static double t_celu(double x) { return x > 0 ? x : 2 * expm1(x / 2); }
static double t_gelu(double x) { return 0.5 * x * erfc(-x * M_SQRT1_2); }
static double t_gelu_tanh(double x) /* 0.5 x (1 + tanh z) = x sigmoid(2z) */
{
    return x * t_sigmoid(2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
}
static double t_hard_sigmoid(double x) { return fmax(0, fmin(1, (double)0.2f * x + 0.5)); }
static double t_hard_swish(double x) { return x * fmax(0, fmin(1, x / 6 + 0.5)); }
static double t_mish(double x)
{
    if (x > 30)
        return x;
    double e = exp(x), p = e * (e + 2); /* tanh(log(1 + e)) = p / (p + 2) */
    return x * (p / (p + 2));
}
static double t_swish(double x) { return x * t_sigmoid(x); }
static double t_clip(double x) { return fmin(fmax(x, -1), 2); }
static double t_relu6(double x) { return fmin(fmax(x, 0), 6); }
static double t_hardtanh(double x) { return fmin(fmax(x, -1), 1); }
static double t_log_sigmoid(double x) { return -t_softplus(-x); }
static double t_rsqrt(double x) { return 1 / sqrt(x); }
static double t_square(double x) { return x * x; }
static double t_cube(double x) { return x * x * x; }
static double t_normal_cdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
static double t_normal_cdf_tanh(double x)
{
    return t_sigmoid(2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
}
static double t_is_nan(double x) { return isnan(x); }
static double t_is_inf(double x) { return isinf(x) != 0; }
static double t_thresholded(double x) { return x > 1 ? x : 0; }
static double t_sign(double x) { return (x > 0) - (x < 0); }
static double t_shrink(double x) { return x < -0.5 ? x : x > 0.5 ? x : 0; }
static double t_identity(double x) { return x; }
static double t_add(double a, double b) { return a + b; }
static double t_sub(double a, double b) { return a - b; }
static double t_mul(double a, double b) { return a * b; }
static double t_div(double a, double b) { return a / b; }
static double t_prelu(double a, double b) { return a < 0 ? a * b : a; }
static double t_mean(double a, double b) { return (a + b) / 2; }
static double t_mod(double a, double b)
{
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
static double t_floordiv(double a, double b) { return floor(a / b); }
static double t_equal(double a, double b) { return a == b; }
static double t_greater(double a, double b) { return a > b; }
static double t_greater_equal(double a, double b) { return a >= b; }
static double t_less(double a, double b) { return a < b; }
static double t_less_equal(double a, double b) { return a <= b; }
static double t_select(double a, double b) { return a < b ? a : b; }

static const Row rows[] = {
    { .op = "Abs", .one = fabs },
    { .op = "Acos", .one = acos },
    { .op = "Acosh", .one = acosh },
    { .op = "Add", .two = t_add },
    { .op = "Asin", .one = asin },
    { .op = "Asinh", .one = asinh },
    { .op = "Atan", .one = atan },
    { .op = "Atanh", .one = atanh },
    { .op = "Ceil", .one = ceil },
    { .op = "Celu", .attrs = "alpha=2.0", .one = t_celu },
    { .op = "Clip", .attrs = "min=-1.0;max=2.0", .one = t_clip, .opset = 6 },
    { .op = "Cos", .one = cos },
    { .op = "Cosh", .one = cosh },
    { .op = "Div", .two = t_div },
    { .op = "Elu", .one = t_elu },
    { .op = "Equal", .two = t_equal, .test = true },
    { .op = "Erf", .one = erf },
    { .op = "Exp", .one = exp },
    { .op = "Floor", .one = floor },
    { .op = "Gelu", .one = t_gelu },
    { .op = "Gelu", .attrs = "approximate=tanh", .one = t_gelu_tanh },
    { .op = "Greater", .two = t_greater, .test = true },
    { .op = "GreaterOrEqual", .two = t_greater_equal, .test = true },
    { .op = "HardSigmoid", .one = t_hard_sigmoid },
    { .op = "HardSwish", .one = t_hard_swish },
    { .op = "Identity", .one = t_identity },
    { .op = "IsInf", .one = t_is_inf, .test = true },
    { .op = "IsNaN", .one = t_is_nan, .test = true },
    { .op = "LeakyRelu", .one = t_leaky },
    { .op = "Less", .two = t_less, .test = true },
    { .op = "LessOrEqual", .two = t_less_equal, .test = true },
    { .op = "Log", .one = log },
    { .op = "Max", .two = fmax },
    { .op = "Mean", .two = t_mean },
    { .op = "Min", .two = fmin },
    { .op = "Mish", .one = t_mish },
    { .op = "Mod", .attrs = "fmod=1", .two = fmod },
    { .op = "Mul", .two = t_mul },
    { .op = "Neg", .one = t_neg },
    { .op = "PRelu", .two = t_prelu },
    { .op = "Pow", .two = pow },
    { .op = "Reciprocal", .one = t_reciprocal },
    { .op = "Relu", .one = t_relu },
    { .op = "Round", .one = rint },
    { .op = "Selu", .one = t_selu },
    { .op = "Shrink", .one = t_shrink },
    { .op = "Sigmoid", .one = t_sigmoid },
    { .op = "Sign", .one = t_sign },
    { .op = "Sin", .one = sin },
    { .op = "Sinh", .one = sinh },
    { .op = "Softplus", .one = t_softplus },
    { .op = "Softsign", .one = t_softsign },
    { .op = "Sqrt", .one = sqrt },
    { .op = "Sub", .two = t_sub },
    { .op = "Sum", .two = t_add },
    { .op = "Swish", .one = t_swish },
    { .op = "Tan", .one = tan },
    { .op = "Tanh", .one = tanh },
    { .op = "ThresholdedRelu", .one = t_thresholded },
    { .op = "com.microsoft::FastGelu", .one = t_gelu_tanh },
    { .op = "a // b", .two = t_floordiv, .said = true },
    { .op = "a % b", .two = t_mod, .said = true },
    { .op = "a^2", .one = t_square, .said = true },
    { .op = "a^3", .one = t_cube, .said = true },
    { .op = "atan2(a, b)", .two = atan2, .said = true },
    { .op = "clamp(a, -1, 2)", .one = t_clip, .said = true },
    { .op = "erfc(a)", .one = erfc, .said = true },
    { .op = "expm1(a)", .one = expm1, .said = true },
    { .op = "gelu(a)", .one = t_gelu, .said = true },
    { .op = "gelu_tanh(a)", .one = t_gelu_tanh, .said = true },
    { .op = "hardtanh(a)", .one = t_hardtanh, .said = true },
    { .op = "log1p(a)", .one = log1p, .said = true },
    { .op = "log_sigmoid(a)", .one = t_log_sigmoid, .said = true },
    { .op = "normal_cdf(a)", .one = t_normal_cdf, .said = true },
    { .op = "normal_cdf_tanh(a)", .one = t_normal_cdf_tanh, .said = true },
    { .op = "relu6(a)", .one = t_relu6, .said = true },
    { .op = "rsqrt(a)", .one = t_rsqrt, .said = true },
    { .op = "select(a < b, a, b)", .two = t_select, .said = true },
    { .op = "silu(a)", .one = t_swish, .said = true },
    { .op = "trunc(a)", .one = trunc, .said = true },
};

/* ---- A model of one node ---- */

static void set_value(Onnx__ValueInfoProto *v, char *name, Onnx__TypeProto *type)
{
    onnx__value_info_proto__init(v);
    v->name = name;
    v->type = type;
}

static size_t parse_attributes(char *text, Onnx__AttributeProto *attrs)
{
    size_t n = 0;
    for (char *word = strtok(text, ";"); word; word = strtok(NULL, ";"), n++) {
        char *value = strchr(word, '=');
        Onnx__AttributeProto *a = &attrs[n];
        onnx__attribute_proto__init(a);
        *value++ = 0;
        a->name = word;
        a->has_type = 1;
        if (strchr(value, '.')) {
            a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
            a->has_f = 1;
            a->f = strtof(value, NULL);
        } else if (strspn(value, "0123456789") == strlen(value)) {
            a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
            a->has_i = 1;
            a->i = atoll(value);
        } else {
            a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
            a->has_s = 1;
            a->s = (ProtobufCBinaryData){ strlen(value), (uint8_t *)value };
        }
    }
    return n;
}

/* The node's op and domain, in `text`. */
static void set_op(Onnx__NodeProto *node, const char *op, char *text, size_t size)
{
    snprintf(text, size, "%s", op);
    char *colons = strstr(text, "::");
    node->op_type = colons ? colons + 2 : text;
    node->domain = colons ? text : NULL;
    if (colons)
        *colons = 0;
}

static bool write_model(const Row *r, const char *path)
{
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__NodeProto node = ONNX__NODE_PROTO__INIT, *nodes[] = { &node };
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, own = opset,
                             *opsets[] = { &opset, &own };
    Onnx__TensorShapeProto__Dimension dim = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT,
                                      *dims[] = { &dim };
    Onnx__TensorShapeProto shape = ONNX__TENSOR_SHAPE_PROTO__INIT;
    Onnx__TypeProto__Tensor tensor = ONNX__TYPE_PROTO__TENSOR__INIT;
    Onnx__TypeProto__Tensor result = tensor;
    Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT, result_type = type;
    Onnx__ValueInfoProto a, b, y, *inputs[] = { &a, &b }, *outputs[] = { &y };
    Onnx__AttributeProto attrs[4], *attr_list[4] = { &attrs[0], &attrs[1], &attrs[2], &attrs[3] };
    char *in_names[] = { "a", "b" }, *out_names[] = { "y" }, text[64], op[64];
    snprintf(text, sizeof text, "%s", r->attrs ? r->attrs : "");
    dim.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    dim.dim_value = CHUNK;
    shape.n_dim = 1, shape.dim = dims;
    tensor.has_elem_type = 1, tensor.elem_type = 1, tensor.shape = &shape;
    type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE, type.tensor_type = &tensor;
    result.has_elem_type = 1, result.elem_type = r->test ? 9 : 1, result.shape = &shape;
    result_type.value_case = type.value_case, result_type.tensor_type = &result;
    set_value(&a, "a", &type), set_value(&b, "b", &type), set_value(&y, "y", &result_type);
    set_op(&node, r->op, op, sizeof op);
    node.n_input = r->two ? 2 : 1, node.input = in_names;
    node.n_output = 1, node.output = out_names;
    node.n_attribute = parse_attributes(text, attrs), node.attribute = attr_list;
    graph.name = "one", graph.n_node = 1, graph.node = nodes;
    graph.n_input = node.n_input, graph.input = inputs, graph.n_output = 1, graph.output = outputs;
    opset.domain = "", opset.has_version = 1, opset.version = r->opset ? r->opset : 24;
    own.domain = node.domain, own.has_version = 1, own.version = 1;
    model.has_ir_version = 1, model.ir_version = 10, model.graph = &graph;
    model.n_opset_import = node.domain ? 2 : 1, model.opset_import = opsets;
    uint8_t bytes[1024];
    size_t size = onnx__model_proto__get_packed_size(&model);
    FILE *f = size <= sizeof bytes ? fopen(path, "wb") : NULL;
    bool ok = f && fwrite(bytes, 1, onnx__model_proto__pack(&model, bytes), f) == size;
    return f && !fclose(f) && ok;
}

static Unit *load(Compiler *cx, const Row *r, const char *path)
{
    if (!r->said) {
        FrontendOptions none = { 0 };
        return write_model(r, path) ? frontend_load(cx, path, &none) : NULL;
    }
    char text[200];
    int n = snprintf(text, sizeof text,
                     "model M { export fn forward(a: f32[%d]%s) -> %s[%d] { %s } }\n", CHUNK,
                     r->two ? ", b: f32[65536]" : "", r->test ? "bool" : "f32", CHUNK, r->op);
    return frontend_load_text(cx, "said.dl", text, (size_t)n, NULL);
}

/* ---- Errors ---- */

typedef struct {
    uint64_t bins[BINS + 1], n, within;
    double worst;
} Tally;

/* In units of the last place of t; infinity when they differ in kind. Beyond the largest float an
 * infinity is right, and so is the largest float just there. */
static double error_of(float y, double t)
{
    if (isnan(t) || isnan(y))
        return isnan(t) && isnan(y) ? 0 : INFINITY;
    if (fabs(t) >= 0x1.ffffffp127)
        return isinf(y) && (y > 0) == (t > 0) ? 0 : fabsf(y) == 0x1.fffffep127f ? 1 : INFINITY;
    if (isinf(y))
        return fabs(t) > 0x1.fffffdp127 ? 1 : INFINITY;
    int e;
    frexp(t, &e);
    return fabs(y - t) / ldexp(1, (e < -125 ? -125 : e) - 24);
}

static void tally(Tally *s, double error)
{
    double bin = error * BINS_PER_UNIT;
    s->bins[bin < BINS ? (int)bin : BINS]++;
    s->n++;
    s->within += error <= 4;
    s->worst = fmax(s->worst, error);
}

static double percentile_99(const Tally *s)
{
    uint64_t below = 0;
    for (int i = 0; i <= BINS; i++)
        if ((double)(below += s->bins[i]) >= 0.99 * (double)s->n)
            return i == BINS ? INFINITY : (double)(i + 1) / BINS_PER_UNIT;
    return INFINITY;
}

/* ---- Running ---- */

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static float by_bits(uint32_t bits)
{
    float f;
    if ((bits >> 23 & 255) == 255)
        bits &= ~(UINT32_C(1) << 23); /* a finite one in its place */
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float even(uint64_t random)
{
    return (float)(ldexp((double)(random >> 11), -49) - 8);
}

typedef struct {
    const Row *row;
    DlrtContext *cx;
    uint32_t entry;
    float a[CHUNK], b[CHUNK], y[CHUNK];
    bool test[CHUNK];
} Job;

static void prepare_test(float *a, float *b, uint64_t k)
{
    static const float special[] = { INFINITY, -INFINITY, NAN, 0, -0.0f };
    if (k % 7 == 0)
        *a = special[k / 7 % 5];
    if (k % 4 == 0)
        *b = *a;
}

static bool run(Job *j, bool bits, Tally *out)
{
    uint64_t all = bits ? (UINT64_C(1) << 32) / STRIDE : EVEN;
    for (uint64_t at = 0; at < all; at += CHUNK) {
        for (uint64_t i = 0; i < CHUNK; i++) {
            uint64_t k = at + i, r = mix(k), s = mix(~k);
            j->a[i] = !bits ? even(r) : by_bits((uint32_t)(j->row->two ? r : k * STRIDE));
            j->b[i] = !bits ? even(s) : by_bits((uint32_t)s);
            if (j->row->test) /* also what is not finite, and equal pairs */
                prepare_test(&j->a[i], &j->b[i], k);
        }
        const void *in[] = { j->a, j->b };
        void *y[] = { j->row->test ? (void *)j->test : j->y };
        if (dlrt_call_entry(j->cx, j->entry, 1, in, y))
            return false;
        for (int i = 0; i < CHUNK && j->row->test; i++)
            j->y[i] = j->test[i];
        for (int i = 0; i < CHUNK; i++)
            tally(out, error_of(j->y[i], j->row->one ? j->row->one(j->a[i])
                                                     : j->row->two(j->a[i], j->b[i])));
    }
    return true;
}

static DlrtCall *no_calls(const char *symbol)
{
    (void)symbol;
    return NULL;
}

static const char *first_message(const Compiler *cx)
{
    return cx->diags.n ? cx->diags.at[0].message : "does not run";
}

static bool campaign(const Row *r, const Target *t, const char *path)
{
    Compiler *cx = compiler_new();
    Job *j = calloc(1, sizeof *j);
    Tally bits = { 0 }, near = { 0 };
    PipelineOptions po = { 0 };
    Unit *u = j ? load(cx, r, path) : NULL;
    Session *s = u && pipeline_run(u, &po, NULL) ? session_new(u, t, no_calls) : NULL;
    const DlrtModel *m = s ? session_model(s) : NULL;
    bool ok = m && !dlrt_init(m, m->abi, NULL, 0, 0, &j->cx);
    for (j->entry = 0; ok && strcmp(m->entries[j->entry].name, "forward");)
        ok = ++j->entry < m->entry_count;
    j->row = r;
    ok = ok && run(j, true, &bits) && run(j, false, &near);
    printf("| %s%s%s |", r->op, r->attrs ? " " : "", r->attrs ? r->attrs : "");
    if (ok)
        printf(" %.2f | %.2f | %.3f %% | %.2f | %.2f | %.3f %% |\n", bits.worst,
               percentile_99(&bits), 100 * (double)bits.within / (double)bits.n, near.worst,
               percentile_99(&near), 100 * (double)near.within / (double)near.n);
    else
        printf(" %s |\n", first_message(cx));
    fflush(stdout);
    dlrt_free(j ? j->cx : NULL);
    session_free(s);
    compiler_free(cx);
    free(j);
    return ok && (double)bits.within >= 0.99 * (double)bits.n &&
           (double)near.within >= 0.99 * (double)near.n;
}

int main(int argc, char **argv)
{
    Target t;
    const char *march = "native";
    char path[] = "/tmp/ulp_ops_XXXXXX.onnx";
    int first = argc > 2 && !strcmp(argv[1], "-m") ? 3 : 1, fd = mkstemps(path, 5);
    bool ok = true;
    if (first == 3)
        march = argv[2];
    if (fd < 0 || !target_parse(march, &t) || !target_runs_here(&t)) {
        fprintf(stderr, "usage: bench_ulp_ops [-m MARCH] [op ...]\n");
        return 2;
    }
    printf("| op | all: worst | 99 %% | within 4 | [-8, 8]: worst | 99 %% | within 4 |\n"
           "|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool wanted = first >= argc;
        for (int k = first; k < argc; k++)
            wanted |= !strcmp(argv[k], rows[i].op);
        if (wanted)
            ok &= campaign(&rows[i], &t, path);
    }
    close(fd);
    unlink(path);
    return ok ? 0 : 1;
}
