/* ulp_ops.c: how exact every element-wise ONNX operator is in f32, through the importer and the
 * whole compiler, against double.
 *
 *   bench_ulp_ops [-m MARCH] [op ...]
 *
 * For each operator a model of one node is written, imported, compiled and run on two sets of
 * inputs: the finite floats by their bits (every binade as often as another; every 1021st), and
 * numbers even in [-8, 8], where the curved parts of activations are. Errors are in units of the
 * last place of the true value, which is computed in double from formulas without cancellation.
 * Prints a Markdown table; exits 1 when of any operator less than 99 % are within 4. A result that
 * is NaN or infinite where the truth is not, or the other way round, counts as infinitely wrong. */
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
    const char *op, *attrs; /* "alpha=1.5;fmod=1": with a point a float, digits an integer */
    double (*one)(double);
    double (*two)(double, double);
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

static const Row rows[] = {
    { "Abs", "", fabs, 0 },
    { "Acos", "", acos, 0 },
    { "Acosh", "", acosh, 0 },
    { "Add", "", 0, t_add },
    { "Asin", "", asin, 0 },
    { "Asinh", "", asinh, 0 },
    { "Atan", "", atan, 0 },
    { "Atanh", "", atanh, 0 },
    { "Ceil", "", ceil, 0 },
    { "Celu", "alpha=2.0", t_celu, 0 },
    { "Cos", "", cos, 0 },
    { "Cosh", "", cosh, 0 },
    { "Div", "", 0, t_div },
    { "Elu", "", t_elu, 0 },
    { "Erf", "", erf, 0 },
    { "Exp", "", exp, 0 },
    { "Floor", "", floor, 0 },
    { "Gelu", "", t_gelu, 0 },
    { "Gelu", "approximate=tanh", t_gelu_tanh, 0 },
    { "HardSigmoid", "", t_hard_sigmoid, 0 },
    { "HardSwish", "", t_hard_swish, 0 },
    { "Identity", "", t_identity, 0 },
    { "LeakyRelu", "", t_leaky, 0 },
    { "Log", "", log, 0 },
    { "Max", "", 0, fmax },
    { "Mean", "", 0, t_mean },
    { "Min", "", 0, fmin },
    { "Mish", "", t_mish, 0 },
    { "Mod", "fmod=1", 0, fmod },
    { "Mul", "", 0, t_mul },
    { "Neg", "", t_neg, 0 },
    { "PRelu", "", 0, t_prelu },
    { "Pow", "", 0, pow },
    { "Reciprocal", "", t_reciprocal, 0 },
    { "Relu", "", t_relu, 0 },
    { "Round", "", rint, 0 },
    { "Selu", "", t_selu, 0 },
    { "Shrink", "", t_shrink, 0 },
    { "Sigmoid", "", t_sigmoid, 0 },
    { "Sign", "", t_sign, 0 },
    { "Sin", "", sin, 0 },
    { "Sinh", "", sinh, 0 },
    { "Softplus", "", t_softplus, 0 },
    { "Softsign", "", t_softsign, 0 },
    { "Sqrt", "", sqrt, 0 },
    { "Sub", "", 0, t_sub },
    { "Sum", "", 0, t_add },
    { "Swish", "", t_swish, 0 },
    { "Tan", "", tan, 0 },
    { "Tanh", "", tanh, 0 },
    { "ThresholdedRelu", "", t_thresholded, 0 },
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

static bool write_model(const Row *r, const char *path)
{
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__NodeProto node = ONNX__NODE_PROTO__INIT, *nodes[] = { &node };
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[] = { &opset };
    Onnx__TensorShapeProto__Dimension dim = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT,
                                      *dims[] = { &dim };
    Onnx__TensorShapeProto shape = ONNX__TENSOR_SHAPE_PROTO__INIT;
    Onnx__TypeProto__Tensor tensor = ONNX__TYPE_PROTO__TENSOR__INIT;
    Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT;
    Onnx__ValueInfoProto a, b, y, *inputs[] = { &a, &b }, *outputs[] = { &y };
    Onnx__AttributeProto attrs[4], *attr_list[4] = { &attrs[0], &attrs[1], &attrs[2], &attrs[3] };
    char *in_names[] = { "a", "b" }, *out_names[] = { "y" }, text[64];
    snprintf(text, sizeof text, "%s", r->attrs);
    dim.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    dim.dim_value = CHUNK;
    shape.n_dim = 1, shape.dim = dims;
    tensor.has_elem_type = 1, tensor.elem_type = 1, tensor.shape = &shape;
    type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE, type.tensor_type = &tensor;
    set_value(&a, "a", &type), set_value(&b, "b", &type), set_value(&y, "y", &type);
    node.op_type = (char *)(uintptr_t)r->op;
    node.n_input = r->two ? 2 : 1, node.input = in_names;
    node.n_output = 1, node.output = out_names;
    node.n_attribute = parse_attributes(text, attrs), node.attribute = attr_list;
    graph.name = "one", graph.n_node = 1, graph.node = nodes;
    graph.n_input = node.n_input, graph.input = inputs, graph.n_output = 1, graph.output = outputs;
    opset.domain = "", opset.has_version = 1, opset.version = 24;
    model.has_ir_version = 1, model.ir_version = 10, model.graph = &graph;
    model.n_opset_import = 1, model.opset_import = opsets;
    uint8_t bytes[1024];
    size_t size = onnx__model_proto__get_packed_size(&model);
    FILE *f = size <= sizeof bytes ? fopen(path, "wb") : NULL;
    bool ok = f && fwrite(bytes, 1, onnx__model_proto__pack(&model, bytes), f) == size;
    return f && !fclose(f) && ok;
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
} Job;

static bool run(Job *j, bool bits, Tally *out)
{
    uint64_t all = bits ? (UINT64_C(1) << 32) / STRIDE : EVEN;
    for (uint64_t at = 0; at < all; at += CHUNK) {
        for (uint64_t i = 0; i < CHUNK; i++) {
            uint64_t k = at + i, r = mix(k), s = mix(~k);
            j->a[i] = !bits ? even(r) : by_bits((uint32_t)(j->row->two ? r : k * STRIDE));
            j->b[i] = !bits ? even(s) : by_bits((uint32_t)s);
        }
        const void *in[] = { j->a, j->b };
        void *y[] = { j->y };
        if (dlrt_call_entry(j->cx, j->entry, 1, in, y))
            return false;
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
    FrontendOptions fo = { 0 };
    PipelineOptions po = { 0 };
    Unit *u = j && write_model(r, path) ? frontend_load(cx, path, &fo) : NULL;
    Session *s = u && pipeline_run(u, &po, NULL) ? session_new(u, t, no_calls) : NULL;
    const DlrtModel *m = s ? session_model(s) : NULL;
    bool ok = m && !dlrt_init(m, m->abi, NULL, 0, 0, &j->cx);
    for (j->entry = 0; ok && strcmp(m->entries[j->entry].name, "forward");)
        ok = ++j->entry < m->entry_count;
    j->row = r;
    ok = ok && run(j, true, &bits) && run(j, false, &near);
    printf("| %s%s%s |", r->op, *r->attrs ? " " : "", r->attrs);
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
