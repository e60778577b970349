/* Files that are too large for the format keep their tensors beside them; what cannot be written
 * leaves nothing behind. */
#include "frontend/frontend.h"
#include "frontend/onnx/export.h"
#include "ir/builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 3, COLUMNS = 700 };

/* y = x w + v, w large, v small */
static Unit *make_unit(Compiler *cx)
{
    Unit *u = unit_new(cx, "Wide");
    Graph *g = graph_new(u, "y", 0);
    Shape w = { 2, { dim_of(ROWS), dim_of(COLUMNS) } }, v = { 1, { dim_of(COLUMNS) } };
    Shape x = { 2, { dim_of(2), dim_of(ROWS) } }, row = { 2, { dim_of(1), dim_of(COLUMNS) } };
    vec_push(cx->arena, &u->tensors, (Tensor){ .name = "w", .dtype = DT_F32, .shape = w });
    vec_push(cx->arena, &u->tensors, (Tensor){ .name = "half", .dtype = DT_F16, .shape = v });
    NodeId in = graph_input(g, (Input){ .name = "x", .dtype = DT_F32, .shape = x });
    AttrValue first = attr_i(0), second = attr_i(1);
    NodeId wn = graph_emit(g, OP_tensor, NULL, 0, &first, 1);
    NodeId vn = b_cast(g, graph_emit(g, OP_tensor, NULL, 0, &second, 1), DT_F32);
    NodeId y = b_dot(g, in, wn, "ik,kj->ij");
    Shape wide = *graph_shape(g, y);
    y = b_add(g, y, b_broadcast(g, b_reshape(g, vn, &row), &wide));
    graph_output(g, "y", y, -1);
    vec_push(cx->arena, &u->entries, (Entry){ .kind = ENTRY_EXPORT, .name = "y", .graph = g });
    assert_int_equal(cx->diags.n, 0);
    return u;
}

static const void **make_elements(Arena *a)
{
    float *w = arena_new_array(a, float, (size_t)ROWS *COLUMNS);
    uint16_t *v = arena_new_array(a, uint16_t, COLUMNS);
    const void **all = arena_new_array(a, const void *, 2);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        w[i] = (float)i / 8;
    for (int i = 0; i < COLUMNS; i++)
        v[i] = (uint16_t)(0x3c00 + i);
    all[0] = w;
    all[1] = v;
    return all;
}

static int64_t size_of(const char *path)
{
    struct stat s;
    return stat(path, &s) ? -1 : (int64_t)s.st_size;
}

static int folder_setup(void **state)
{
    char *folder = strdup("/tmp/dlcc-write-XXXXXX");
    *state = mkdtemp(folder);
    return *state ? 0 : -1;
}

static int folder_teardown(void **state)
{
    char path[200];
    static const char *const names[] = { "wide.onnx", "wide.onnx.data" };
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
        unlink(path);
    }
    int left = rmdir(*state); /* not empty: something else was left */
    free(*state);
    return left;
}

/* Reads the file back: its tensors have the elements that were written. */
static void check_back(const char *path, const void *const *elements)
{
    Compiler *cx = compiler_new();
    FrontendOptions none = { 0 };
    Unit *u = frontend_load(cx, path, &none);
    if (!u)
        fail_msg("%s", cx->diags.at[0].message);
    int32_t w = unit_tensor(u, "w"), v = unit_tensor(u, "half");
    assert_true(w >= 0 && v >= 0);
    assert_memory_equal(u->tensors.at[w].data, elements[0], ROWS * COLUMNS * sizeof(float));
    assert_memory_equal(u->tensors.at[v].data, elements[1], COLUMNS * sizeof(uint16_t));
    compiler_free(cx);
}

static void test_inside(void **state)
{
    Compiler *cx = compiler_new();
    char path[200], data[220];
    snprintf(path, sizeof path, "%s/wide.onnx", (char *)*state);
    snprintf(data, sizeof data, "%s.data", path);
    const void **elements = make_elements(cx->arena);
    OnnxExport o = { .entry = "y", .elements = elements, .path = path };
    assert_true(onnx_export(make_unit(cx), &o));
    assert_int_equal(size_of(data), -1);
    check_back(path, elements);
    compiler_free(cx);
}

static void test_outside(void **state)
{
    Compiler *cx = compiler_new();
    char path[200], data[220];
    snprintf(path, sizeof path, "%s/wide.onnx", (char *)*state);
    snprintf(data, sizeof data, "%s.data", path);
    const void **elements = make_elements(cx->arena);
    OnnxExport o = { .entry = "y", .elements = elements, .path = path, .max_bytes = 2000 };
    assert_true(onnx_export(make_unit(cx), &o));
    assert_true(size_of(path) > 0 && size_of(path) < 2000);
    /* 8400 bytes, and 1400 more from the next page on */
    assert_int_equal(size_of(data), 3 * 4096 + COLUMNS * 2);
    check_back(path, elements);
    compiler_free(cx);
}

static void test_nowhere(void **state)
{
    Compiler *cx = compiler_new();
    char path[200];
    snprintf(path, sizeof path, "%s/no/wide.onnx", (char *)*state);
    for (uint64_t limit = 0; limit < 2000; limit += 1500) {
        OnnxExport o = {
            .entry = "y", .elements = make_elements(cx->arena), .path = path, .max_bytes = limit
        };
        cx->diags.n = cx->errors = 0;
        assert_false(onnx_export(make_unit(cx), &o));
        assert_int_equal(cx->diags.at[0].code, DIAG_E0811);
    }
    compiler_free(cx);
}

/* y = x backwards, piece by piece. */
static void test_many_operands(void **state)
{
    enum { PIECES = 600 };
    Compiler *cx = compiler_new();
    char path[200];
    snprintf(path, sizeof path, "%s/wide.onnx", (char *)*state);
    Unit *u = unit_new(cx, "Many");
    Graph *g = graph_new(u, "y", 0);
    Shape x = { 1, { dim_of(PIECES) } };
    NodeId in = graph_input(g, (Input){ .name = "x", .dtype = DT_F32, .shape = x }), part[PIECES];
    for (int i = 0; i < PIECES; i++)
        part[i] = b_slice_axis(g, in, 0, PIECES - 1 - i, PIECES - i);
    graph_output(g, "y", b_concat(g, part, PIECES, 0), -1);
    vec_push(cx->arena, &u->entries, (Entry){ .kind = ENTRY_EXPORT, .name = "y", .graph = g });
    OnnxExport o = { .entry = "y", .path = path };
    assert_true(onnx_export(u, &o));
    FrontendOptions none = { 0 };
    Compiler *back = compiler_new();
    assert_non_null(frontend_load(back, path, &none));
    compiler_free(back);
    compiler_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_nowhere),
        cmocka_unit_test(test_many_operands),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
