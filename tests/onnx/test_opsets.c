/* What one operator means in one opset: a file of one node, and the same said in the language; and
 * nodes that are refused, because something of them would be ignored. */
#include "tests/onnx/load_help.h"

#include "ir/interp.h"

#include <math.h>

/* Inputs: "f32 -1 3 4; i64 = 1 -1; ;" is a tensor of these dims, a known vector, none; a dim of -1
 * has a name, and 2 is given for it. Attributes:
 * "axis=1 p:1.5 to'FLOAT axes=1,2" are an int, a float, a string, ints (two or more, or a comma at
 * the end). */
typedef struct {
    const char *op;
    int64_t opset;
    const char *inputs, *attributes;
    uint32_t output;  /* which one is compared */
    const char *said; /* of x0, x1, .. */
} Case;

static const Case cases[] = {
    { "Add", 6, "f32 2 3 3; f32 3", "broadcast=1 axis=1", 0, "x0 + reshape(x1, [3, 1])" },
    { "Sub", 1, "f32 2 3 3; f32 2 3", "broadcast=1 axis=0", 0, "x0 - reshape(x1, [2, 3, 1])" },
    { "Mul", 6, "f32 2 3 3; f32 3", "broadcast=1 axis=-2", 0, "x0*reshape(x1, [3, 1])" },
    { "Div", 6, "f32 2 3 3; f32 3", "broadcast=1 axis=1", 0, "x0/reshape(x1, [3, 1])" },
    { "Pow", 1, "f32 2 3 3; f32 3", "broadcast=1 axis=1", 0, "abs(x0)^reshape(x1, [3, 1])" },
    { "Add", 6, "f32 2 3 3; f32 3", "broadcast=1", 0, "x0 + x1" },
    { "And", 6, "bool 2 3 3; bool 3", "broadcast=1 axis=1", 0, "x0 and reshape(x1, [3, 1])" },
    { "Or", 1, "bool 2 3 3; bool 3", "broadcast=1 axis=1", 0, "x0 or reshape(x1, [3, 1])" },
    { "Xor", 1, "bool 2 3 3; bool 3", "broadcast=1 axis=1", 0, "xor(x0, reshape(x1, [3, 1]))" },
    { "Equal", 1, "i32 2 3 3; i32 3", "broadcast=1 axis=1", 0, "x0 == reshape(x1, [3, 1])" },
    { "Less", 1, "f32 2 3 3; f32 3", "broadcast=1 axis=1", 0, "x0 < reshape(x1, [3, 1])" },
    { "Greater", 6, "f32 2 3 3; f32 3", "broadcast=1 axis=1", 0, "x0 > reshape(x1, [3, 1])" },
    { "Cast", 1, "f32 2 3", "to'DOUBLE", 0, "f64(x0)" },
    { "Selu", 1, "f32 5", "", 0, "1.0507*elu(x0, a=1.6732)" },
    { "Clip", 6, "f32 5", "max:0.5", 0, "minimum(x0, 0.5)" },
    { "Shrink", 9, "i32 3 4", "lambd:1.5 bias:1", 0,
      "select(x0 < -1, x0 + 1, select(x0 > 1, x0 - 1, 0))" },
    { "Tile", 1, "f32 2 3; i64 = 2; i64 = 1", "", 0, "tile(x0, [1, 2])" },
    { "Upsample", 1, "f32 1 2 2 3", "height_scale:2 width_scale:1", 0,
      "gather(x0, i64([0, 0, 1, 1]), axis=2)" },
    { "Resize", 10, "f32 1 1 4 5; f32 = 1 1 1 0.6", "mode'nearest", 0,
      "gather(x0, i64([0, 2, 4]), axis=3)" },
    { "OneHot", 9, "i32 = -1 1 9; i64 = 3; f32 2", "", 0,
      "select(stack([iota(3) == -1, iota(3) == 1, iota(3) == 9], axis=0) and "
      "stack([iota(3) < 0, iota(3) == 1, iota(3) < 0], axis=0), x2[1], x2[0])" },
    { "LpPool", 1, "f32 1 1 4 4", "kernel_shape=2,2 p:1.5", 0,
      "sum(windows(windows(abs(x0)^1.5, axis=2, size=2), axis=4, size=2), axis=[3, 5])^(1/1.5)" },
    { "GlobalLpPool", 1, "f32 1 2 4 4", "p:1.5", 0,
      "sum(abs(x0)^1.5, axis=[2, 3], keep=true)^(1/1.5)" },
    { "BatchNormalization", 7, "f32 2 3 4; f32 3 4; f32 3 4; f32 3 4; f32 3 4",
      "spatial=0 epsilon:2", 0, "(x0 - x3)/sqrt(x4 + 2)*x1 + x2" },
    { "BatchNormalization", 9, "f32 2 3 4; f32 3; f32 3; f32 3; f32 3", "momentum:0.75 epsilon:2",
      0, "batch_norm(x0, x1, x2, mean(x0, axis=[0, 2]), mean((x0 - mean(x0, axis=[0, 2], "
         "keep=true))^2, axis=[0, 2]), eps=2)" },
    { "BatchNormalization", 9, "f32 2 3 4; f32 3; f32 3; f32 3; f32 3", "momentum:0.75", 1,
      "0.75*x3 + 0.25*mean(x0, axis=[0, 2])" },
    { "BatchNormalization", 6, "f32 2 3 4; f32 3; f32 3; f32 3; f32 3", "momentum:0.75 is_test=1",
      0, "batch_norm(x0, x1, x2, x3, x4)" },
    { "Dropout", 7, "f32 2 3", "ratio:0.5", 1, "ones(2, 3)" },
    { "Dropout", 10, "f32 2 3", "ratio:0.5", 1, "x0 == x0" },
    { "DequantizeLinear", 23, "i32 3 4; f16", "output_dtype=1", 0, "f32(x0)*f32(x1)" },
    { "DequantizeLinear", 23, "i32 3 4; f32", "output_dtype=10", 0, "f16(f32(x0)*x1)" },
    { "LinearAttention", 27, "f32 1 2 2; f32 1 2 2; f32 1 2 2; ; ; f32 1 2 1",
      "q_num_heads=1 kv_num_heads=1 update_rule'linear scale:1", 0,
      "s0 = transpose(x1[:, ..1]) @ x2[:, ..1]; s1 = s0 + transpose(x1[:, 1..]) @ x2[:, 1..]\n"
      "concat(x0[:, ..1] @ s0, x0[:, 1..] @ s1, axis=1)" },
    { "NonMaxSuppression", 11, "f32 1 4 4; f32 1 1 4", "", 0, "zeros([0, 3], dtype=i64)" },
    { "Relu", 1, "f32 3", "consumed_inputs=0,", 0, "relu(x0)" },
    { "BatchNormalization", 15, "f16 2 3 4; f32 3; f32 3; f32 3; f32 3", "", 0,
      "f16(batch_norm(f32(x0), x1, x2, x3, x4))" },
    { "BatchNormalization", 15, "f64 2 3 4; f32 3; f32 3; f16 3; f16 3", "", 0,
      "batch_norm(x0, f64(x1), f64(x2), f64(f32(x3)), f64(f32(x4)))" },
    { "BatchNormalization", 15, "f16 2 3 4; f32 3; f32 3; f32 3; f32 3",
      "training_mode=1 momentum:0.5", 1, "0.5*x3 + 0.5*mean(f32(x0), axis=[0, 2])" },
    { "Pow", 15, "f32 2 3; f16 3", "", 0, "x0^f32(x1)" },
    { "LayerNormalization", 17, "f64 2 3; f64 3", "", 1, "f32(mean(x0, axis=1, keep=true))" },
    { "RMSNormalization", 23, "f16 2 3; f32 3", "", 0, "rms_norm(f32(x0), x1)" },
    { "MatMul", 13, "u32 2 3; u32 3 2", "", 0, "u32(i64(x0) @ i64(x1))" },
    { "Einsum", 12, "u8 2 3; u8 3 2", "equation'ij,jk", 0, "u8(i64(x0) @ i64(x1))" },
    { "QuantizeLinear", 23, "i32 3 4; f32", "", 0, "u8(clamp(round(f32(x0)/x1), 0, 255))" },
    { "QuantizeLinear", 23, "f16 3 4; f32", "precision=11", 0,
      "u8(clamp(round(f64(x0)/f64(x1)), 0, 255))" },
    { "Col2Im", 18, "i32 1 4 4; i64 = 3 3; i64 = 2 2", "", 0,
      "i32(col2im(f64(x0), [3, 3], [2, 2], [1, 1], [0, 0], [0, 0], [1, 1]))" },
    { "Einsum", 12, "f32 -1 2", "equation'ii", 0, "x0[0, 0] + x0[1, 1]" },
    { "com.microsoft::RotaryEmbedding", 1, "f32 1 2 4; i64 = 1; f32 5 1; f32 5 1", "", 0,
      "z = reshape(x0, [1, 2, 2, 2]); c = reshape(x2[1..3], [1, 2, 1])\n"
      "s = reshape(x3[1..3], [1, 2, 1])\n"
      "reshape(stack([c*z[..., 0] - s*z[..., 1], s*z[..., 0] + c*z[..., 1]], axis=3), [1, 2, 4])" },
    { "com.microsoft::GroupQueryAttention", 1, /* a key more than the cache has, of two groups */
      "f32 1 1 8; f32 1 1 4; f32 1 1 4; f32 1 2 4 2; f32 1 2 4 2; i32 = 2; i32 = 3",
      "num_heads=4 kv_num_heads=2", 0,
      "k = concat(x3[:, :, ..2], reshape(x1, [1, 2, 1, 2]), axis=2)\n"
      "v = concat(x4[:, :, ..2], reshape(x2, [1, 2, 1, 2]), axis=2)\n"
      "q = reshape(x0, [1, 2, 2, 2])\n"
      "p = softmax(einsum(\"b g r d, b g s d -> b g r s\", q, k)/sqrt(2))\n"
      "reshape(einsum(\"b g r s, b g s d -> b g r d\", p, v), [1, 1, 8])" },
    { "com.microsoft::MatMulNBits", 1, "f32 2 20; u8 3 2 8; f32 6", "N=3 K=20 block_size=16", 0,
      "q = reshape(stack([mod(x1, u8(16)), div(x1, u8(16))], axis=3), [3, 2, 16])\n"
      "w = reshape((f32(q) - 8)*reshape(x2, [3, 2, 1]), [3, 32])[:, ..20]\n"
      "x0 @ transpose(w)" },
    { "Elu", 6, "f32 3", "alpha=2", 0, "elu(x0, a=2)" },
};
enum { CASES = sizeof cases / sizeof *cases };

static const struct {
    Case node;
    const char *why;
} refused[] = {
    { { "Add", 7, "f32 2 3 3; f32 3", "broadcast=1 axis=1", 0, NULL }, "attribute" },
    { { "Add", 6, "f32 2 3 3; f32 3", "", 0, NULL }, "without broadcast" },
    { { "Add", 6, "f32 2 3 4; f32 3 4", "broadcast=1 axis=2", 0, NULL }, "does not fit" },
    { { "Relu", 6, "f32 3", "slope:0.5", 0, NULL }, "the attribute `slope`" },
    { { "Relu", 6, "f32 3; f32 3", "", 0, NULL }, "its input 1" },
    { { "Squeeze", 11, "f32 -1 3", "axes=0,", 0, NULL }, "extent 2 and not 1" },
    { { "Softmax", 13, "f32 3 4", "axis:1", 0, NULL }, "`axis` is of another type" },
    { { "BatchNormalization", 7, "f32 2 3 4; f32 3 4; f32 3 4; f32 3 4; f32 3 4", "spatial=0", 1,
        NULL }, "spatial=0" },
    { { "Cast", 1, "f32 3", "to'STRING", 0, NULL }, "a cast to `STRING`" },
    { { "LinearAttention", 27, "f32 1 2 2; f32 1 2 2; f32 1 2 2",
        "q_num_heads=1 kv_num_heads=1", 0, NULL }, "decay or beta is missing" },
    { { "com.microsoft::GroupQueryAttention", 1, "f32 1 1 8; f32 1 1 4; f32 1 1 4",
        "num_heads=4 kv_num_heads=2 k_quant_type'PER_TENSOR", 0, NULL }, "a cache of integers" },
    { { "RotaryEmbedding", 23, "f32 1 2 3 8; f32 1 3 4; f32 1 3 4", "rotary_embedding_dim=4", 0,
        NULL }, "rotary_embedding_dim is 4" },
};

/* ---- A file of the case ---- */

static int32_t type_code(const char *name)
{
    static const struct {
        const char *name;
        int32_t code;
    } types[] = { { "f32", 1 }, { "f16", 10 }, { "i32", 6 }, { "i64", 7 }, { "bool", 9 },
                  { "u8", 2 },  { "u32", 12 }, { "f64", 11 } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name))
            return types[i].code;
    fail_msg("no type %s", name);
    return 0;
}

/* A known vector; of one element, a vector too. */
static void put_known(Bytes *graph, const char *name, int32_t type, const double *at, int64_t n)
{
    Bytes t = b_tensor(type, &n, 1), data = { 0 };
    for (int64_t i = 0; i < n; i++) {
        float f = (float)at[i];
        int64_t whole = (int64_t)at[i];
        int32_t small = (int32_t)at[i];
        b_raw(&data, type == 1 ? (void *)&f : type == 6 ? (void *)&small : (void *)&whole,
              type == 7 ? 8 : 4);
    }
    b_bytes(&t, 9, data.at, data.n);
    b_text(&t, 8, name);
    b_free(&data);
    b_message(graph, 5, &t);
}

/* Adds the inputs to the node and the graph; writes the arguments of the function that says the
 * same, "x0: f32[2, 3], ..". */
static void put_inputs(const Case *c, Bytes *node, Bytes *graph, char *args)
{
    char all[200], *save;
    const char *comma = "";
    *args = 0;
    snprintf(all, sizeof all, "%s", c->inputs);
    char *one = strtok_r(all, ";", &save);
    for (int k = 0; one; one = strtok_r(NULL, ";", &save), k++) {
        char name[16], type[8] = "";
        int at = 0, n = 0, step;
        double v[16];
        int64_t dims[16];
        snprintf(name, sizeof name, "x%d", k);
        sscanf(one, " %7s%n", type, &at);
        b_text(node, 1, *type ? name : "");
        if (!*type)
            continue;
        bool known = strchr(one, '=') != NULL;
        at = known ? (int)(strchr(one, '=') - one) + 1 : at;
        for (; sscanf(one + at, " %lf%n", &v[n], &step) == 1; n++, at += step)
            dims[n] = (int64_t)v[n];
        if (known) {
            put_known(graph, name, type_code(type), v, n);
            continue;
        }
        b_value(graph, 11, name, type_code(type), dims, (size_t)n);
        args += sprintf(args, "%s%s: %s", comma, name, type);
        comma = ", ";
        for (int i = 0; i < n; i++)
            args += sprintf(args, "%s%ld%s", i ? ", " : "[", dims[i] < 0 ? 2 : (long)dims[i],
                            i + 1 < n ? "" : "]");
    }
}

static void put_attributes(const Case *c, Bytes *node)
{
    char all[200], *save, *one;
    snprintf(all, sizeof all, "%s", c->attributes);
    for (one = strtok_r(all, " ", &save); one; one = strtok_r(NULL, " ", &save)) {
        Bytes b = { 0 };
        char *value = strpbrk(one, "=:'"), kind = *value;
        bool list = kind == '=' && strchr(value, ',');
        *value++ = 0;
        b_text(&b, 1, one);
        if (kind == '\'') {
            b_text(&b, 4, value);
        } else if (kind == ':') {
            float f = strtof(value, NULL);
            b_tag(&b, 2, 5);
            b_raw(&b, &f, sizeof f);
        }
        for (char *end = value; kind == '=' && *value; value = *end ? end + 1 : end)
            b_int(&b, list ? 8 : 3, strtol(value, &end, 10));
        b_int(&b, 20, list ? 7 : kind == '=' ? 2 : kind == ':' ? 1 : 3);
        b_message(node, 5, &b);
    }
}

/* The model, whose result is one output of the node; the others before it are named, too. */
static Bytes model_of(const Case *c, char *args)
{
    Bytes node = { 0 }, graph = { 0 }, opset = { 0 }, model = { 0 };
    put_inputs(c, &node, &graph, args);
    for (uint32_t i = 0; i <= c->output; i++)
        b_text(&node, 2, i < c->output ? "other" : "y");
    /* outputs that only training has */
    bool trained = !strcmp(c->op, "BatchNormalization") && !c->output &&
                   strstr(c->attributes, "momentum");
    if (trained)
        b_text(&node, 2, "mean");
    const char *colons = strstr(c->op, "::");
    b_text(&node, 4, colons ? colons + 2 : c->op);
    if (colons)
        b_bytes(&node, 7, c->op, (size_t)(colons - c->op));
    put_attributes(c, &node);
    b_message(&graph, 1, &node);
    b_text(&graph, 2, "g");
    b_value(&graph, 12, "y", 1, NULL, 0);
    if (!strcmp(c->op, "Dropout") && !c->said)
        b_value(&graph, 12, "other", 1, NULL, 0);
    b_int(&model, 1, 8);
    if (colons) {
        Bytes usual = { 0 };
        b_int(&usual, 2, 17);
        b_message(&model, 8, &usual);
        b_bytes(&opset, 1, c->op, (size_t)(colons - c->op));
    }
    b_int(&opset, 2, c->opset);
    b_message(&model, 8, &opset);
    b_message(&model, 7, &graph);
    return model;
}

/* ---- Running ---- */

/* Inputs are sin(0.7 (k + the input's number)), whole numbers from -4 to 4 of it. */
static void run(Compiler *cx, Unit *u, const char *op, Value *out)
{
    if (!u)
        fail_msg("%s: %s; %s", op, cx->diags.at[0].message,
                 cx->diags.at[0].parts.n ? cx->diags.at[0].parts.at[0].text : "");
    const Entry *e = NULL;
    for (uint32_t i = 0; i < u->entries.n && !e; i++)
        e = u->entries.at[i].kind == ENTRY_EXPORT ? &u->entries.at[i] : NULL;
    assert_non_null(e);
    Value *in = arena_new_array(cx->arena, Value, e->graph->inputs.n + 1);
    for (uint32_t k = 0; k < e->graph->inputs.n; k++) {
        Dtype t = e->graph->inputs.at[k].dtype;
        in[k] = value_new(cx->arena, t, &e->graph->inputs.at[k].shape, 1);
        for (int64_t j = 0; j < in[k].count; j++) {
            double v = sin(0.7 * (double)(j + k));
            if ((!strcmp(op, "Pow") && !k) || (k == 4 && !strcmp(op, "BatchNormalization")))
                v = fabs(v);
            if (dtype_is_float(t))
                in[k].f[j] = value_round(t, v);
            else
                in[k].i[j] = t == DT_BOOL         ? v > 0
                             : dtype_is_signed(t) ? (int64_t)(4 * v)
                                                  : (int64_t)fabs(99 * v);
        }
    }
    InterpArgs args = { .batch = 1, .inputs = in, .seed = 7 };
    const char *wrong = interp_entry(cx->arena, e->graph, &args, NULL, out);
    if (wrong)
        fail_msg("%s: %s", op, wrong);
}

static double element(const Value *v, int64_t i)
{
    return dtype_is_float(v->dtype) ? v->f[i] : (double)v->i[i];
}

static void nodes_mean_what_their_opset_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        char args[400], text[1200];
        Value a[4], b[4];
        Bytes model = model_of(&cases[i], args);
        Loaded file = load_bytes(&model);
        snprintf(text, sizeof text, "model M { export fn f(%s) { %s } }\n", args, cases[i].said);
        Compiler *cx = compiler_new();
        run(file.cx, file.unit, cases[i].op, a);
        run(cx, frontend_load_text(cx, "said.dl", text, strlen(text), NULL), cases[i].op, b);
        if (a->dtype != b->dtype || a->rank != b->rank || a->count != b->count)
            fail_msg("case %zu, %s: another type or shape", i, cases[i].op);
        for (int64_t k = 0; k < b->count; k++)
            if (!(fabs(element(a, k) - element(b, k)) <= 1e-6 * fmax(1, fabs(element(b, k)))))
                fail_msg("case %zu, %s of opset %d: element %d is %.9g, not %.9g", i, cases[i].op,
                         (int)cases[i].opset, (int)k, element(a, k), element(b, k));
        compiler_free(file.cx);
        compiler_free(cx);
    }
}

static void what_would_be_ignored_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char args[400];
        Bytes model = model_of(&refused[i].node, args);
        Loaded file = load_bytes(&model);
        const Diag *d = file.unit ? NULL : &file.cx->diags.at[0];
        bool said = d && strstr(d->message, refused[i].why);
        for (uint32_t k = 0; d && k < d->parts.n; k++)
            said |= strstr(d->parts.at[k].text, refused[i].why) != NULL;
        if (!said)
            fail_msg("case %zu: %s", i, d ? d->message : "not refused");
        assert_true(file.code == 3 || file.code == 4);
        compiler_free(file.cx);
    }
}

/* How many keys there are is less than how many there are in all: random ones are drawn so. */
static void lengths_are_bounded(void **state)
{
    static const Case c = { "com.microsoft::GroupQueryAttention", 1,
                            "f32 1 1 8; f32 1 1 4; f32 1 1 4; f32 1 2 4 2; f32 1 2 4 2; i32 1; "
                            "i32 = 3", "num_heads=4 kv_num_heads=2", 0, NULL };
    (void)state;
    char args[400];
    Bytes model = model_of(&c, args);
    Loaded file = load_bytes(&model);
    assert_non_null(file.unit);
    const Graph *g = file.unit->entries.at[0].graph;
    assert_int_equal(g->inputs.n, 6);
    assert_int_equal(g->inputs.at[5].bound, 3);
    compiler_free(file.cx);
}

/* In training a part of the elements is dropped, and the mask says which. */
static void dropout_drops_what_its_mask_says(void **state)
{
    static const Case drops[] = {
        { "Dropout", 12, "f32 400; f32 = 0.25; i64 = 1", "seed=3", 1, NULL },
        { "Dropout", 6, "f32 400", "ratio:0.25", 1, NULL },
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char args[400];
        Value out[4];
        Bytes model = model_of(&drops[i], args);
        Loaded file = load_bytes(&model);
        run(file.cx, file.unit, "Dropout", out);
        int kept = 0;
        assert_int_equal(out[0].dtype, i ? DT_F32 : DT_BOOL);
        for (int64_t k = 0; k < 400; k++) {
            bool keep = element(&out[0], k) != 0;
            double x = value_round(DT_F32, sin(0.7 * (double)k));
            assert_true(fabs(out[1].f[k] - (keep ? x / 0.75 : 0)) <= 1e-6);
            kept += keep;
        }
        assert_in_range(kept, 260, 340);
        compiler_free(file.cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_mean_what_their_opset_says),
        cmocka_unit_test(what_would_be_ignored_is_refused),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(dropout_drops_what_its_mask_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
