/* Shapes that a file computes from its run-time batch: one model for every batch, which does at
 * each what the file does when the batch is written as that number. What no multiple of the batch
 * can say makes it a number, with a word about it. */
#include "frontend/frontend.h"
#include "ir/interp.h"

#include "tests/onnx/wire_build.h"

#include <math.h>
#include <unistd.h>

/* Nodes `op in in .. > out`, one a line; the input is x, the output y. A word of digits, or such
 * with commas and a last one, is an i64 constant: 0 a scalar, 0, and -1,2, lists. `a=1` is an
 * attribute. */
static const struct {
    const char *name;
    int64_t x[4]; /* dims after the batch */
    uint32_t rank;
    bool pinned;
    const char *nodes;
} cases[] = {
    { "view", { 3, 4 }, 2, false,
      "Shape x > s\nGather s 0 > b\nUnsqueeze b 0, > u\nConcat u -1, axis=0 > t\n"
      "Reshape x t > y\n" },
    { "both multiplied", { 3, 4 }, 2, false,
      "Shape x > s\nSlice s 0, 2, > p\nReduceProd p > q\nConcat q -1, axis=0 > t\n"
      "Reshape x t > y\n" },
    { "product of two", { 3, 4 }, 2, false,
      "Shape x > s\nGather s 0 > b\nGather s 1 > c\nMul b c > m\nUnsqueeze m 0, > u\n"
      "Concat u 4, axis=0 > t\nReshape x t > y\n" },
    { "divided again", { 4, 6 }, 2, false,
      "Shape x > s\nGather s 0 > b\nMul b 4 > m\nDiv m 2 > h\nUnsqueeze h 0, > u\n"
      "Concat u -1, axis=0 > t\nReshape x t > y\n" },
    { "expanded", { 4 }, 1, false,
      "Shape x > s\nGather s 0 > b\nUnsqueeze b 0, > u\nConcat u -1, axis=0 > t\n"
      "Shape t > n\nConstantOfShape n > z\nCast z to=7 > zi\nAdd zi 1 > ones\nMul ones -1 > minus\n"
      "Equal t minus > e\nWhere e ones t > w\nReduceMax x axes=0 > r\nExpand r w > y\n" },
    { "filled", { 4 }, 1, false,
      "Shape x > s\nConstantOfShape s > z\nAdd x z > y\n" },
    { "rows against rows", { 4 }, 1, false, "Transpose x > t\nMatMul x t > y\n" },
    { "ranged", { 4 }, 1, false,
      "Shape x > s\nGather s 0 > b\nRange 0 b 1 > i\nCast i to=1 > f\nUnsqueeze f 1, > u\n"
      "Mul x u > y\n" },
    { "tiled", { 4 }, 1, false,
      "Shape x > s\nGather s 0 > b\nUnsqueeze b 0, > u\nConcat u 2, axis=0 > t\n"
      "ReduceMax x axes=0 > r\nTile r t > y\n" },
    { "tiled rows", { 4 }, 1, false,
      "Shape x > s\nGather s 0 > b\nUnsqueeze b 0, > u\nConcat u 2, axis=0 > t\n"
      "ReduceMax x axes=0 > r\nAdd r r > p\nConcat r p axis=0 > d\nTile d t > y\n" },
    { "rows put between", { 4 }, 1, false,
      "Transpose x > t\nUnsqueeze 1,2, 1, > i\nSlice t 2, 4, > u\nScatterND t i u > w\n"
      "Transpose w > y\n" },
    { "rows put at both ends", { 4 }, 1, false,
      "Transpose x > t\nUnsqueeze -2,-1, 1, > i\nUnsqueeze 0, 1, > k\nSlice t 1, 3, > u\n"
      "Slice t 3, 4, > v\nScatterND t i u > w\nScatterND w k v > z\nTranspose z > y\n" },
    { "cut to its end", { 4 }, 1, false,
      "Shape x > s\nGather s 0 > b\nUnsqueeze b 0, > u\nSlice x 0, u 0, > y\n" },
    { "cut with a step", { 6 }, 1, false, "Slice x 1, 6, 1, 2, > y\n" },
    { "rows in another order", { 3, 4 }, 2, false,
      "Transpose x perm=1,0,2, > t\nReshape t -1,4, > r\nRelu r > q\nAdd q q > d\n"
      "Reshape d 3,-1,4, > u\nTranspose u perm=1,0,2, > y\n" },
    { "rows of heads", { 3, 2, 2 }, 3, false,
      "Transpose x perm=1,0,2,3, > t\nReshape t -1,4, > r\nSoftmax r axis=1 > q\n"
      "Reshape q 3,-1,2,2, > u\nTranspose u perm=1,0,2,3, > y\n" },
    { "rows of heads beside the batch", { 3, 2, 2 }, 3, false,
      "Transpose x perm=1,0,2,3, > t\nReshape t 3,-1,2, > h\nShape h > s\nGather s 1 > m\n"
      "Div m 2 > b\nMul b 3 > n\nUnsqueeze n 0, > u\nConcat u -1, axis=0 > to\n"
      "Reshape h to > r\nRelu r > q\nReshape q 3,-1,4, > y\n" },
    { "rows of two orders", { 3, 4 }, 2, true,
      "Reshape x -1,4, > a\nTranspose x perm=1,0,2, > t\nReshape t -1,4, > r\n"
      "ConstantOfShape 4,4, > z\nEyeLike z > w\nGemm a w r > g\nReshape g 3,-1,4, > y\n" },
    { "rows mixed", { 3, 4 }, 2, true,
      "Transpose x perm=1,0,2, > t\nReshape t -1,4, > r\nCumSum r 0 > q\n"
      "Reshape q 3,-1,4, > y\n" },
    { "rows split otherwise", { 2, 6 }, 2, true,
      "Transpose x perm=1,0,2, > t\nReshape t -1,6, > r\nReshape r -1,2,6, > y\n" },
    { "counted", { 4, 2 }, 2, false,
      "Size x > n\nCast n to=1 > f\nDiv x f > y\n" },
    { "larger of two", { 4 }, 1, false,
      "Shape x > s\nGather s 0 > b\nMax b 1 > m\nUnsqueeze m 0, > u\nConcat u 2, 2, axis=0 > t\n"
      "Reshape x t > y\n" },
    { "smaller of two", { 4 }, 1, true,
      "Shape x > s\nGather s 0 > b\nMin b 64 > m\nUnsqueeze m 0, > u\nConcat u 2, 2, axis=0 > t\n"
      "Reshape x t > y\n" },
    { "equal to some", { 4 }, 1, true,
      "Shape x > s\nGather s 0 > b\nEqual b 5 > e\nCast e to=7 > i\nAdd i 1 > j\n"
      "Unsqueeze j 0, > u\n"
      "Concat u -1, axis=0 > t\nReshape x t > y\n" },
    { "half", { 4 }, 1, true,
      "Shape x > s\nGather s 0 > b\nDiv b 2 > h\nUnsqueeze h 0, > u\nTile x u > z\n"
      "ReduceSum z > y\n" },
    { "merged from within", { 3, 4 }, 2, true,
      "Transpose x perm=1,0,2, > t\nReshape t -1,4, > y\n" },
};
enum { CASES = sizeof cases / sizeof *cases, FLOAT = 1, INT64 = 7, MOST = 5 };

static Bytes ints_attribute(char *text)
{
    Bytes b = { 0 };
    char *at = strchr(text, '=');
    bool list = strchr(at, ',') || !strncmp(text, "axes", 4);
    *at++ = 0;
    b_text(&b, 1, text);
    for (char *end; *at && *at != ' '; at = *end == ',' ? end + 1 : end)
        b_int(&b, list ? 8 : 3, strtoll(at, &end, 10));
    b_int(&b, 20, list ? 7 : 2);
    return b;
}

/* A constant under its own text as a name, once. */
static void add_constant(Bytes *graph, const char *text, char names[64][32], uint32_t *n)
{
    int64_t at[8], rank = strchr(text, ',') != NULL, count = 0;
    for (uint32_t i = 0; i < *n; i++)
        if (!strcmp(names[i], text))
            return;
    snprintf(names[(*n)++], 32, "%s", text);
    for (char *p = (char *)text, *end; *p; p = *end == ',' ? end + 1 : end)
        at[count++] = strtoll(p, &end, 10);
    Bytes b = { 0 };
    if (rank)
        b_int(&b, 1, count);
    b_int(&b, 2, INT64);
    b_text(&b, 8, text);
    b_bytes(&b, 9, at, (size_t)count * sizeof *at);
    b_message(graph, 5, &b);
}

static void add_node(Bytes *graph, char *line, char names[64][32], uint32_t *n)
{
    Bytes node = { 0 };
    char *save, *word = strtok_r(line, " ", &save);
    const char *op = word;
    bool output = false;
    while ((word = strtok_r(NULL, " ", &save))) {
        if (*word == '>') {
            output = true;
        } else if (strchr(word, '=')) {
            Bytes a = ints_attribute(word);
            b_message(&node, 5, &a);
        } else {
            if (!output && (*word == '-' || (*word >= '0' && *word <= '9')))
                add_constant(graph, word, names, n);
            b_text(&node, output ? 2 : 1, word);
        }
    }
    b_text(&node, 4, op);
    b_message(graph, 1, &node);
}

/* batch < 0: any. */
static void write_model(size_t i, int64_t batch, const char *path)
{
    Bytes graph = { 0 };
    char text[1024], names[64][32], *save;
    uint32_t n = 0;
    int64_t dims[5] = { batch };
    memcpy(dims + 1, cases[i].x, sizeof cases[i].x);
    snprintf(text, sizeof text, "%s", cases[i].nodes);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        add_node(&graph, line, names, &n);
    b_text(&graph, 2, "g");
    b_value(&graph, 11, "x", FLOAT, dims, cases[i].rank + 1);
    b_value(&graph, 12, "y", FLOAT, dims, 0);
    Bytes model = b_model_of(&graph);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(model.at, 1, model.n, f), model.n);
    assert_int_equal(fclose(f), 0);
    b_free(&model);
}

static Value run(Compiler *cx, Unit *u, const char *name, int64_t batch)
{
    if (!u)
        fail_msg("%s: %s", name, cx->diags.at[0].message);
    const Entry *e = NULL;
    for (uint32_t i = 0; i < u->entries.n && !e; i++)
        e = u->entries.at[i].kind == ENTRY_EXPORT ? &u->entries.at[i] : NULL;
    assert_non_null(e);
    assert_int_equal(e->graph->inputs.n, 1);
    Value x = value_new(cx->arena, DT_F32, &e->graph->inputs.at[0].shape, batch), y;
    for (int64_t j = 0; j < x.count; j++)
        x.f[j] = value_round(DT_F32, sin(0.7 * (double)j));
    InterpArgs args = { .batch = batch, .inputs = &x };
    const char *wrong = interp_entry(cx->arena, e->graph, &args, NULL, &y);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
    return y;
}

static void one_model_for_every_batch(void **state)
{
    (void)state;
    char path[100];
    snprintf(path, sizeof path, "/tmp/dlcc-sizes-%ld.onnx", (long)getpid());
    for (size_t k = 0; k < 2 * CASES; k++) {
        size_t i = k / 2;
        FrontendSetting five = { "N", "5" };
        FrontendOptions o = { .defines = &five, .n_defines = 1 };
        Compiler *any = compiler_new();
        write_model(i, -1, path);
        Unit *u = frontend_load(any, path, cases[i].pinned || k % 2 ? NULL : &o);
        if (cases[i].pinned) {
            if (any->diags.n != 1 || any->diags.at[0].code != DIAG_W0721)
                fail_msg("%s: the batch became no number", cases[i].name);
        } else if (any->diags.n) {
            fail_msg("%s: %s", cases[i].name, any->diags.at[0].message);
        }
        for (int64_t batch = 1; batch <= (cases[i].pinned ? 1 : MOST); batch++) {
            Compiler *fixed = compiler_new();
            write_model(i, batch, path);
            Value have = run(any, u, cases[i].name, batch);
            Value want = run(fixed, frontend_load(fixed, path, NULL), cases[i].name, 1);
            assert_int_equal(have.rank, want.rank);
            if (memcmp(have.dim, want.dim, want.rank * sizeof *want.dim))
                fail_msg("%s: %d x .. at a batch of %d", cases[i].name, (int)have.dim[0],
                         (int)batch);
            assert_memory_equal(have.f, want.f, (size_t)want.count * sizeof *want.f);
            compiler_free(fixed);
        }
        compiler_free(any);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_model_for_every_batch) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
