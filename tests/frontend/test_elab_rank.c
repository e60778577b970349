/* test_elab_rank.c: lists of dims, and the library's functions for tensors of any rank, against
 * numbers worked out by hand. */
#include "tests/frontend/said.h"

static void lists_join_and_have_parts(void **state)
{
    (void)state;
    static const Said t[] = {
        { "zeros(shape(x) + [1], dtype=f32)", 3, { 2, 3, 1 }, { 0 } },
        { "full(1, shape(x)[1..])", 1, { 3 }, { 1, 1, 1 } },
        { "full(1, shape(x)[..-1] + [2])", 2, { 2, 2 }, { 1, 1, 1, 1 } },
        { "dtype(i)(x[1])", 1, { 3 }, { 3, 4, 5 } },
        { "ones(2, dtype=dtype(n))", 1, { 2 }, { 1, 1 } },
    };
    EXPECT(t);
}

static void movement_of_any_rank(void **state)
{
    (void)state;
    static const Said t[] = {
        { "tile(x, [2, 1])", 2, { 4, 3 }, { 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5 } },
        { "tile(x[0], [2])", 1, { 6 }, { 0, 1, 2, 0, 1, 2 } },
        { "tile(x, [0, 2])", 2, { 0, 6 }, { 0 } },
        { "move_axis(x, 1, 0)", 2, { 3, 2 }, { 0, 3, 1, 4, 2, 5 } },
        { "part(x, 1, 1, 3)", 2, { 2, 2 }, { 1, 2, 4, 5 } },
        { "pad_with(x, [0, -1], [1, 1], value=7)", 2, { 3, 3 }, { 1, 2, 7, 4, 5, 7, 7, 7, 7 } },
        { "pad_value(x[0], [1], [-1], v)", 1, { 3 }, { 9, 0, 1 } },
        { "pad_edge(x, [0, 1], [1, 2])",
          2,
          { 3, 6 },
          { 0, 0, 1, 2, 2, 2, 3, 3, 4, 5, 5, 5, 3, 3, 4, 5, 5, 5 } },
        { "pad_reflect(x[0], [4], [3])", 1, { 10 }, { 0, 1, 2, 1, 0, 1, 2, 1, 0, 1 } },
        { "pad_reflect(x[:, 0..1], [0, 1], [0, 2])", 2, { 2, 4 }, { 0, 0, 0, 0, 3, 3, 3, 3 } },
        { "pad_wrap(x[0], [2], [4])", 1, { 9 }, { 1, 2, 0, 1, 2, 0, 1, 2, 0 } },
        { "pad_wrap(x[0], [-1], [1])", 1, { 3 }, { 1, 2, 0 } },
        { "triu(x)", 2, { 2, 3 }, { 0, 1, 2, 0, 4, 5 } },
        { "triu(x, k=1)", 2, { 2, 3 }, { 0, 1, 2, 0, 0, 5 } },
        { "tril(x, k=-1)", 2, { 2, 3 }, { 0, 0, 0, 3, 0, 0 } },
        { "triu(x, k=-9223372036854775807)", 2, { 2, 3 }, { 0, 1, 2, 3, 4, 5 } },
        { "tril(x, k=9223372036854775807)", 2, { 2, 3 }, { 0, 1, 2, 3, 4, 5 } },
        { "triu(x, k=3) + tril(x, k=-2)", 2, { 2, 3 }, { 0 } },
        { "f32(eye_matrix(2, 2, k=5000000000))", 2, { 2, 2 }, { 0 } },
        { "tril(x > 0)", 2, { 2, 3 }, { 0, 0, 0, 1, 1, 0 } },
        { "f32(eye_matrix(2, 3, k=1))", 2, { 2, 3 }, { 0, 1, 0, 0, 0, 1 } },
        { "depth_to_space(reshape(f32(iota(8)), 1, 8, 1, 1), 2)[0, :, :, 0]",
          2, { 2, 2 }, { 0, 4, 1, 5 } },
        { "depth_to_space(reshape(f32(iota(8)), 1, 8, 1, 1), 2, mode=\"CRD\")[0, :, :, 0]",
          2, { 2, 2 }, { 0, 2, 4, 6 } },
        { "space_to_depth(reshape(f32(iota(4)), 1, 1, 2, 2), 2)[0, :, 0, 0]",
          1, { 4 }, { 0, 1, 2, 3 } },
    };
    EXPECT(t);
}

static void indices_of_any_rank(void **state)
{
    (void)state;
    static const Said t[] = {
        { "gather_elements(x, i, axis=1)", 2, { 2, 2 }, { 2, 0, 5, 4 } },
        { "gather_elements(x, i[..., 1..] - 1, axis=-1)", 2, { 2, 1 }, { 2, 3 } },
        { "gather_elements(x, i - 1, axis=0)", 2, { 2, 2 }, { 3, 4, 0, 1 } },
        { "gather_nd(x, i[1..])", 1, { 1 }, { 4 } },
        { "gather_nd(x, i[1..][:, 0..1])", 2, { 1, 3 }, { 3, 4, 5 } },
        { "gather_nd(x, i[:, 1..], batch=1)", 1, { 2 }, { 0, 4 } },
        { "gather_nd(x, unsqueeze(i), batch=1)", 2, { 2, 2 }, { 2, 0, 5, 4 } },
        { "scatter_elements(x, i, x[:, 1..]*10, axis=1)", 2, { 2, 3 }, { 20, 1, 10, 3, 50, 40 } },
        { "scatter_elements(x, i - 1, x[:, 1..]*10, axis=0)",
          2, { 2, 3 }, { 40, 50, 2, 10, 20, 5 } },
        { "scatter_elements(x, i*0 - 1, x[:, 1..], axis=1, mode=\"mul\")",
          2, { 2, 3 }, { 0, 1, 4, 3, 4, 100 } },
        { "scatter_elements(x, i*0, x[:, 1..], axis=1)", 2, { 2, 3 }, { 2, 1, 2, 5, 4, 5 } },
        { "scatter_nd(x, i[:, 1..] - 1, -x, mode=\"max\")", 2, { 2, 3 }, { 0, 1, 2, 3, 4, 5 } },
        { "scatter_nd(x, i[:, 1..] - 1, -x, mode=\"min\")",
          2, { 2, 3 }, { -3, -4, -5, 0, -1, -2 } },
        { "scatter_nd(x, i[1..], full(v, 1), mode=\"add\")", 2, { 2, 3 }, { 0, 1, 2, 3, 13, 5 } },
        { "scatter_nd(x, i[1..], full(v, 1))", 2, { 2, 3 }, { 0, 1, 2, 3, 9, 5 } },
        { "tensor_scatter(reshape(x, 1, 3, 2), 10*x[..1, ..2] |> unsqueeze(axis=1), i[0, ..1])",
          3, { 1, 3, 2 }, { 0, 1, 2, 3, 0, 10 } },
        { "tensor_scatter(x, -x[:, 1..], i[0] + 2, axis=1, circular=true)",
          2, { 2, 3 }, { 0, -1, -2, -5, 4, -4 } },
        { "bitcast(v, dtype=i32)", 0, { 0 }, { 0x41100000 } },
        { "onehot_values(i[1], 3, v, f32(1))", 2, { 2, 3 }, { 9, 9, 1, 9, 1, 9 } },
        { "onehot_values(i[0], 3, i64(0), i64(5), axis=0)", 2, { 3, 2 }, { 0, 5, 0, 0, 5, 0 } },
        { "onehot_values(i[0] - 3, 3, i64(0), i64(5), axis=0)", 2, { 3, 2 }, { 0, 5, 0, 0, 5, 0 } },
        { "reverse_sequence(x, 2 + i[1]*0, batch_axis=0, time_axis=1)",
          2, { 2, 3 }, { 1, 0, 2, 4, 3, 5 } },
        { "reverse_sequence(x, i32(1 + i[:, 0]*0), batch_axis=0, time_axis=1)",
          2, { 2, 3 }, { 0, 1, 2, 3, 4, 5 } },
        { "range(v, 3, f32(-2))", 1, { 3 }, { 9, 7, 5 } },
        { "fmod(n, n*0 + 4)", 1, { 8 }, { -3, -1, -3, -1, 1, 3, 1, 3 } },
        { "fmod(f32(n), 2.5)", 1, { 8 }, { -2, 0, -0.5, -1, 1, 0.5, 0, 2 } },
    };
    EXPECT(t);
}

static void extremes_from_either_end(void **state)
{
    (void)state;
    static const Said t[] = {
        { "argmax(n*n)", 0, { 0 }, { 0 } },
        { "argmax(n*n, last=true)", 0, { 0 }, { 7 } },
        { "argmin(n*n, last=true, keep=true)", 1, { 1 }, { 4 } },
        { "topk(x, 2, axis=0, largest=false)", 2, { 2, 3 }, { 0, 1, 2, 3, 4, 5 } },
        { "topk(x, 2)", 2, { 2, 2 }, { 2, 1, 5, 4 } },
        { "topk(n*n, 3, largest=false)[1]", 0, { 0 }, { 1 } },
    };
    EXPECT(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_join_and_have_parts),
        cmocka_unit_test(movement_of_any_rank),
        cmocka_unit_test(indices_of_any_rank),
        cmocka_unit_test(extremes_from_either_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
