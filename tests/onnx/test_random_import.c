/* test_random_import.c: models of random nodes, with every operator that is translated, of values
 * of every kind and attributes at their extremes: translated or refused with an error; never a
 * crash, an error of the compiler's own, or more than a moment.
 *
 * The nodes are sound as messages, so that they get past the scan to where meaning is decided. With
 * DLCC_TRIES=100000 in the environment that many are tried, from DLCC_SEED on; the seed alone tries
 * one, and prints what is reported of it. */
#include "tests/onnx/load_help.h"

#include "frontend/diag_print.h"
#include "frontend/onnx/import.h"

static uint64_t next_random(uint64_t *seed)
{
    uint64_t x = *seed += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static uint32_t below(uint64_t *seed, uint32_t n)
{
    return (uint32_t)(next_random(seed) % n);
}

/* ---- numbers ---- */

/* Mostly small, now and then an extreme. */
static int64_t random_int(uint64_t *seed)
{
    static const int64_t extreme[] = {
        INT64_MAX, INT64_MIN, INT32_MAX, INT32_MIN, (int64_t)1 << 32, (int64_t)1 << 40,
        (int64_t)1 << 62, -((int64_t)1 << 40), 1000, 65536, 255, -1000,
    };
    if (!below(seed, 6))
        return extreme[below(seed, sizeof extreme / sizeof *extreme)];
    return (int64_t)below(seed, 8) - 2;
}

static float random_float(uint64_t *seed)
{
    static const float extreme[] = { 0, -0.0f, 1e38f, -1e38f, 1e-45f, 1.0f / 0.0f, 0.0f / 0.0f };
    if (!below(seed, 4))
        return extreme[below(seed, sizeof extreme / sizeof *extreme)];
    return (float)below(seed, 9) / 2 - 2;
}

/* ---- values ---- */

static uint32_t random_rank(uint64_t *seed, int64_t dims[4])
{
    uint32_t rank = below(seed, 5);
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = below(seed, 12) ? 1 + below(seed, 4) : 0;
    return rank;
}

static const int32_t types[] = { 1, 1, 1, 1, 7, 7, 6, 9, 10, 11, 2, 3, 16, 12 };
enum { TYPES = sizeof types / sizeof *types };

/* Initializer number k: floats, or integers of which many are shapes and axes. */
static void add_initializer(Bytes *graph, uint64_t *seed, uint32_t k)
{
    int64_t dims[4] = { 0 };
    uint32_t rank = random_rank(seed, dims);
    bool floats = below(seed, 2);
    if (!floats) {
        rank = below(seed, 4) != 0;
        dims[0] = below(seed, 5);
    }
    int64_t count = 1;
    for (uint32_t i = 0; i < rank; i++)
        count *= dims[i];
    Bytes t = { 0 }, data = { 0 };
    char name[8];
    snprintf(name, sizeof name, "w%u", k);
    for (uint32_t i = 0; i < rank; i++)
        b_int(&t, 1, dims[i]);
    b_int(&t, 2, floats ? 1 : 7);
    b_text(&t, 8, name);
    for (int64_t i = 0; i < count; i++) {
        float f = random_float(seed);
        int64_t n = random_int(seed);
        b_raw(&data, floats ? (void *)&f : (void *)&n, floats ? 4 : 8);
    }
    b_message(&t, 9, &data);
    b_message(graph, 5, &t);
}

static void random_name(uint64_t *seed, uint32_t nodes, char name[8])
{
    uint32_t kind = below(seed, 16);
    if (kind < 5)
        snprintf(name, 8, "x%u", below(seed, 3));
    else if (kind < 9)
        snprintf(name, 8, "w%u", below(seed, 5));
    else if (kind < 14 && nodes)
        snprintf(name, 8, "y%u", below(seed, nodes));
    else
        snprintf(name, 8, "%s", kind == 14 ? "" : "x0");
}

/* ---- nodes ---- */

static const char *const attributes[] = {
    "alpha", "axes", "axis", "batch_dims", "beta", "bias", "blocksize", "block_size", "ceil_mode",
    "center_point_box", "coordinate_transformation_mode", "count_include_pad", "depth", "detect",
    "dilations", "direction", "dtype", "end", "ends", "epsilon", "equation", "exclusive",
    "exponent", "fmod", "gamma", "group", "keepdims", "kernel_shape", "kv_num_heads", "largest",
    "max", "min",
    "mode", "nearest_mode", "noop_with_empty_axes", "num_groups", "num_heads", "num_outputs",
    "output_height", "output_padding", "output_shape", "p", "pads", "perm", "pooled_shape",
    "q_num_heads", "ratio", "reduction", "repeats", "reverse", "saturate", "scale", "scales",
    "select_last_index", "seed", "shape", "size", "sorted", "split", "start", "starts", "steps",
    "stride", "strides", "storage_order", "time_axis", "to", "to_int", "transA", "transB", "upper",
    "value", "value_float", "value_int", "value_ints", "value_floats", "value_string", "window",
};
enum { ATTRIBUTES = sizeof attributes / sizeof *attributes };
static const char *const words[] = {
    "mean", "sum", "none", "add", "mul", "constant", "reflect", "edge", "wrap", "linear", "nearest",
    "cubic", "SAME_UPPER", "VALID", "ij,jk->ik", "ii->", "...i->i", "a\nb", "", "tanh", "LEFT",
    "half_pixel", "align_corners", "DCR", "CRD",
};

static void add_attribute(Bytes *node, uint64_t *seed)
{
    Bytes a = { 0 }, list = { 0 };
    b_text(&a, 1, attributes[below(seed, ATTRIBUTES)]);
    uint32_t n = below(seed, 6);
    float f = random_float(seed);
    switch (below(seed, 7)) {
    case 0:
        b_tag(&a, 2, 5);
        b_raw(&a, &f, 4);
        b_int(&a, 20, 1);
        break;
    case 1: case 2:
        b_int(&a, 3, random_int(seed));
        b_int(&a, 20, 2);
        break;
    case 3:
        b_text(&a, 4, words[below(seed, sizeof words / sizeof *words)]);
        b_int(&a, 20, 3);
        break;
    case 4: case 5:
        for (uint32_t i = 0; i < n; i++)
            b_int(&a, 8, random_int(seed));
        b_int(&a, 20, 7);
        break;
    default: {
        Bytes t = b_tensor(7, (int64_t[]){ n }, 1);
        for (uint32_t i = 0; i < n; i++)
            b_varint(&list, (uint64_t)random_int(seed));
        b_message(&t, 7, &list);
        b_message(&a, 5, &t);
        b_int(&a, 20, 4);
    }
    }
    b_message(node, 5, &a);
}

/* Node number k, of any operator that there is a row for. One that is plain has few inputs and no
 * attributes: of the others most are refused, for what they have too much. */
static void add_node(Bytes *graph, uint64_t *seed, uint32_t k, bool plain)
{
    Bytes node = { 0 };
    char name[8];
    const char *op = onnx_rows[below(seed, onnx_row_count)].op, *colons = strstr(op, "::");
    uint32_t inputs = below(seed, 4) + (below(seed, 6) != 0), outputs = 1 + !below(seed, 6);
    inputs = plain ? 1 + !below(seed, 3) : inputs;
    for (uint32_t i = 0; i < inputs; i++) {
        random_name(seed, k, name);
        b_text(&node, 1, name);
    }
    for (uint32_t i = 0; i < outputs; i++) {
        snprintf(name, sizeof name, i ? "z%u" : "y%u", k);
        b_text(&node, 2, name);
    }
    b_text(&node, 4, colons ? colons + 2 : op);
    if (colons)
        b_bytes(&node, 7, op, (size_t)(colons - op));
    for (uint32_t i = plain ? 0 : below(seed, 4); i--;)
        add_attribute(&node, seed);
    b_message(graph, 1, &node);
}

static Bytes random_model(uint64_t seed)
{
    Bytes graph = { 0 }, b = { 0 };
    uint32_t nodes = 1 + below(&seed, 4);
    bool plain = below(&seed, 2);
    char name[8];
    for (uint32_t i = 0; i < nodes; i++)
        add_node(&graph, &seed, i, plain);
    for (uint32_t i = 0; i < 5; i++)
        add_initializer(&graph, &seed, i);
    for (uint32_t i = 0; i < 3; i++) {
        int64_t dims[4];
        uint32_t rank = random_rank(&seed, dims);
        if (rank && !below(&seed, 3))
            dims[0] = -1;
        snprintf(name, sizeof name, "x%u", i);
        b_value(&graph, 11, name, types[below(&seed, TYPES)], dims, rank);
    }
    snprintf(name, sizeof name, "y%u", nodes - 1);
    b_value(&graph, 12, name, 1, NULL, 0);
    b_int(&b, 1, 8);
    static const char *const domains[] = { "", "com.microsoft", "ai.onnx.preview.training" };
    for (int i = 0; i < 3; i++) {
        Bytes opset = { 0 };
        b_text(&opset, 1, domains[i]);
        b_int(&opset, 2, i ? 1 : 1 + (int64_t)below(&seed, 27));
        b_message(&b, 8, &opset);
    }
    b_message(&b, 7, &graph);
    return b;
}

/* ---- trying ---- */

static int try_seed(uint64_t seed, bool print)
{
    Bytes b = random_model(seed);
    Loaded l = load_bytes(&b);
    if (print)
        diag_print_all(l.cx, stderr, false);
    if (!l.unit != (l.code != 0) || l.code == 70 || l.seconds > 5)
        fail_msg("DLCC_SEED=%llu: exit code %d, %s, %.2f s", (unsigned long long)seed, l.code,
                 l.cx->diags.n ? l.cx->diags.at[0].message : "no error", l.seconds);
    compiler_free(l.cx);
    return l.code;
}

static void test_random(void **state)
{
    (void)state;
    const char *tries = getenv("DLCC_TRIES"), *one = getenv("DLCC_SEED");
    uint64_t first = one ? strtoull(one, NULL, 10) : 0, done = 0;
    uint64_t n = tries ? strtoull(tries, NULL, 10) : one ? 1 : 400;
    for (uint64_t i = 0; i < n; i++)
        done += try_seed(first + i, one && n == 1) == 0;
    print_message("%llu of %llu were translated\n", (unsigned long long)done,
                  (unsigned long long)n);
    assert_true(one || done > n / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
