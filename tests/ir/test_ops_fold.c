/* Rewrites of the builder: those that apply, those that must not because they would change bits,
 * and what the functions of builder.h make. */
#include "ops_help.h"

static NodeId unary(Bench *b, Op op, NodeId x)
{
    return b_unary(b->g, op, x);
}

static void test_element_wise(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId x = INPUT(g, DT_F32, 3), i = INPUT(g, DT_I32, 3), t = INPUT(g, DT_BOOL, 3);
    assert_int_equal(unary(b, OP_neg, unary(b, OP_neg, x)), x);
    assert_int_equal(unary(b, OP_not, unary(b, OP_not, t)), t);
    assert_int_equal(unary(b, OP_floor, unary(b, OP_floor, x)), unary(b, OP_floor, x));
    assert_int_equal(b_mul(g, x, b_like(g, x, 1)), x);
    assert_int_equal(b_mul(g, b_like(g, x, 1), x), x);
    assert_int_equal(b_div(g, x, b_like(g, x, 1)), x);
    assert_int_equal(b_sub(g, x, b_like(g, x, 0)), x);
    assert_int_equal(b_add(g, i, b_like(g, i, 0)), i);
    assert_int_equal(b_binary(g, OP_maximum, x, x), x);
    assert_int_equal(b_binary(g, OP_pow, x, b_like(g, x, 2)), b_mul(g, x, x));
    assert_int_equal(b_div(g, x, b_like(g, x, 4)), b_scale(g, x, 0.25));
    assert_int_equal(b_select(g, t, x, x), x);
    assert_int_equal(b_select(g, b_like(g, t, 1), x, b_neg(g, x)), x);
    assert_int_equal(b_select(g, b_like(g, t, 0), x, b_neg(g, x)), b_neg(g, x));
    assert_int_equal(b_unary(g, OP_relu, b_unary(g, OP_relu, x)), b_unary(g, OP_relu, x));
}

/* Each of these would give other bits for some value: -0, infinity, NaN, or a rounded quotient. */
static void test_what_is_not_exact(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId x = INPUT(g, DT_F32, 3), zero = b_like(g, x, 0);
    assert_int_equal(graph_node(g, b_add(g, x, zero))->op, OP_add);
    assert_int_equal(graph_node(g, b_add(g, zero, x))->op, OP_add);
    assert_int_equal(graph_node(g, b_sub(g, x, b_like(g, x, -0.0)))->op, OP_sub);
    assert_int_equal(graph_node(g, b_mul(g, x, zero))->op, OP_mul);
    assert_int_equal(graph_node(g, b_sub(g, x, x))->op, OP_sub);
    assert_int_equal(graph_node(g, b_div(g, x, x))->op, OP_div);
    assert_int_equal(graph_node(g, b_div(g, x, b_like(g, x, 3)))->op, OP_div);
    assert_int_equal(graph_node(g, b_binary(g, OP_pow, x, b_like(g, x, 3)))->op, OP_pow);
}

static void test_casts(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId h = INPUT(g, DT_F16, 3), f = INPUT(g, DT_F32, 3), i = INPUT(g, DT_I32, 3),
           u = INPUT(g, DT_U8, 3);
    assert_int_equal(b_cast(g, f, DT_F32), f);
    assert_int_equal(b_cast(g, b_cast(g, h, DT_F32), DT_F16), h);
    assert_int_equal(b_cast(g, b_cast(g, u, DT_I32), DT_F32), b_cast(g, u, DT_F32));
    assert_int_not_equal(b_cast(g, b_cast(g, f, DT_F16), DT_F32), f); /* rounds */
    assert_int_not_equal(b_cast(g, b_cast(g, i, DT_F64), DT_U8),
                         b_cast(g, i, DT_U8));                        /* saturates, not wraps */
    assert_int_not_equal(b_cast(g, b_cast(g, i, DT_F32), DT_I32), i); /* 2^24 + 1 */
    assert_int_not_equal(b_cast(g, b_cast(g, i, DT_U8), DT_I32), i);
}

static void test_movement(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId x = INPUT(g, DT_F32, 4, 6), row = INPUT(g, DT_F32, 1, 6),
           batch = INPUT(g, DT_F32, -1, 6);
    Shape flat = SHAPE(g, 24), three = SHAPE(g, 2, 3, 4), wide = SHAPE(g, 5, 6),
          other = SHAPE(g, 4, 6);
    assert_int_equal(b_reshape(g, x, &other), x);
    assert_int_equal(b_reshape(g, b_reshape(g, x, &flat), &other), x);
    assert_int_equal(b_reshape(g, b_reshape(g, x, &flat), &three), b_reshape(g, x, &three));
    int64_t swap[] = { 1, 0 }, same[] = { 0, 1 }, zero[3] = { 0 };
    assert_int_equal(b_transpose(g, x, same), x);
    assert_int_equal(b_transpose(g, b_transpose(g, x, swap), swap), x);
    assert_int_equal(graph_node(g, b_transpose(g, row, swap))->op, OP_reshape);
    assert_int_equal(b_broadcast(g, row, graph_shape(g, row)), row);
    assert_int_equal(graph_node(g, b_broadcast(g, row, &wide))->op, OP_broadcast);
    assert_int_equal(b_slice_axis(g, x, 1, 0, 6), x);
    assert_int_equal(b_slice_axis(g, batch, 1, 0, 6), batch);
    assert_int_equal(b_slice_axis(g, b_slice_axis(g, x, 1, 1, 6), 1, 2, 4),
                     b_slice_axis(g, x, 1, 3, 5));
    assert_int_equal(b_pad(g, x, zero, zero, zero, 0), x);
    assert_int_equal(b_flip(g, b_flip(g, x, swap, 1), swap, 1), x);
    assert_int_equal(b_flip(g, row, zero, 1), row);
    NodeId windows =
        graph_emit(g, OP_windows, &x, 1, (AttrValue[]){ attr_i(1), attr_i(3), attr_i(3) }, 3);
    assert_int_equal(graph_node(g, windows)->op, OP_reshape);
    NodeId back = graph_emit(g, OP_overlap_add, &windows, 1,
                             (AttrValue[]){ attr_i(1), attr_i(6), attr_i(3) }, 3);
    assert_int_equal(back, x);
    assert_int_equal(b_concat(g, &x, 1, 0), x);
    NodeId parts[] = { INPUT(g, DT_F32, 0, 6), x };
    assert_int_equal(b_concat(g, parts, 2, 0), x);
}

static void test_reductions_and_products(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId x = INPUT(g, DT_F32, 4, 1), y = INPUT(g, DT_F32, 3), z = INPUT(g, DT_F32, 4, 2);
    assert_int_equal(b_reduce(g, OP_reduce_sum, x, (int64_t[]){ 1 }, 1, true), x);
    assert_int_equal(graph_node(g, b_reduce(g, OP_reduce_max, x, (int64_t[]){ 1 }, 1, false))->op,
                     OP_reshape);
    assert_int_equal(b_reduce(g, OP_reduce_sum, x, NULL, 0, false), x);
    assert_int_equal(graph_node(g, b_dot(g, y, x, "i,jk->ijk"))->op, OP_mul);
    NodeId dot = b_dot(g, z, z, "ij,ik->i");
    assert_int_equal(graph_node(g, dot)->op,
                     OP_mul); /* sums of each side, and nothing left to sum over both */
    assert_int_equal(graph_node(g, graph_operand(g, dot, 0))->op, OP_reduce_sum);
}

static void test_constants(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    Shape s = SHAPE(g, 2, 2);
    NodeId m = numbers(g, s, (double[]){ 1, 2, 3, 4 }), dot = b_dot(g, m, m, "ik,kj->ij");
    assert_int_equal(graph_node(g, dot)->op, OP_constant);
    Value v = value_of(b, dot);
    assert_true(v.f[0] == 7 && v.f[1] == 10 && v.f[2] == 15 && v.f[3] == 22);
    /* folding rounds to the type: 1/3 in f32 is not 1/3 in double */
    NodeId third = b_div(g, b_const(g, DT_F32, 1), b_const(g, DT_F32, 3));
    assert_true(number_of(b, third) == (double)(1.0f / 3.0f));
    assert_true(number_of(b, b_cast(g, b_const(g, DT_F64, 300), DT_U8)) == 255);
    assert_true(number_of(b, b_cast(g, b_const(g, DT_I32, 300), DT_U8)) == 44);
    assert_true(number_of(b, b_const(g, DT_I8, 1e300)) == 127);
    assert_true(number_of(b, b_const(g, DT_I32, NAN)) == 0);
    assert_true(number_of(b, b_const(g, DT_BOOL, 0.5)) == 1);
    double known;
    assert_true(b_is_splat(g, b_like(g, INPUT(g, DT_F32, 3), 2.5), &known) && known == 2.5);
    assert_false(b_is_splat(g, m, &known));
    assert_false(b_is_splat(g, INPUT(g, DT_F32, 3), &known));
    NodeId top = b_data(g, DT_U64, &(Shape){ 0 }, &(uint64_t){ UINT64_MAX });
    assert_false(b_is_splat(g, top, &known)); /* no double holds it */
    /* keyed numbers stay apart from constants even when the keys are known */
    uint64_t word = 7;
    NodeId key = b_data(g, DT_U64, &(Shape){ 0 }, &word);
    NodeId bits = graph_emit(g, OP_random_bits, (NodeId[]){ key, key }, 2,
                             (AttrValue[]){ attr_shape(&s), attr_i(1) }, 2);
    assert_int_equal(graph_node(g, bits)->op, OP_random_bits);
}

static void test_builder(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId x = INPUT(g, DT_F32, -2, 3, 5);
    const Shape *s = graph_shape(g, b_unsqueeze(g, x, 1));
    assert_int_equal(s->rank, 4);
    assert_true(s->dim[0].k == 2 && s->dim[1].n == 1 && s->dim[2].n == 3);
    assert_int_equal(b_squeeze(g, b_unsqueeze(g, x, 3), 3), x);
    assert_int_equal(graph_shape(g, b_sum_axis(g, x, 1))->dim[1].n, 1);
    /* the divisor of a mean over the batch is read at run time, that over other axes is a number */
    NodeId n = b_extent(g, x, (int64_t[]){ 0, 1 }, 2, DT_F32);
    assert_int_equal(graph_node(g, n)->op, OP_mul);
    assert_true(number_of(b, n) == 2 * 6 * 3);
    assert_int_equal(graph_node(g, b_extent(g, x, (int64_t[]){ 1, 2 }, 2, DT_F32))->op,
                     OP_constant);
    assert_true(number_of(b, b_extent(g, x, (int64_t[]){ 1, 2 }, 2, DT_F32)) == 15);
    assert_int_equal(b_iota(g, s, 0, DT_I32), b_iota(g, s, 0, DT_I32));
}

/* The known answers of Philox4x32-10 for zeros: what everyone who implements it gets. */
static void test_philox(void **state)
{
    static const uint32_t zeros[] = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 };
    Bench *b = *state;
    Graph *g = b->g;
    uint64_t none = 0;
    NodeId key = b_data(g, DT_U64, &(Shape){ 0 }, &none);
    Shape scalar = { 0 };
    for (int word = 0; word < 4; word++) {
        AttrValue attrs[] = { attr_shape(&scalar), attr_i(0), attr_i(word) };
        assert_true(number_of(b, graph_emit(g, OP_random_bits, (NodeId[]){ key, key }, 2, attrs,
                                            3)) == zeros[word]);
    }
}

/* Integers at the edges, as scalar.h defines them. */
static void test_integer_edges(void **state)
{
    (void)state;
    int64_t least = INT32_MIN;
#define INT(op, t, a, b) scalar_int(op, t, (int64_t[]){ a, b })
    assert_int_equal(INT(SC_DIV, DT_I32, 7, 0), 0);
    assert_int_equal(INT(SC_MOD, DT_I32, 7, 0), 0);
    assert_int_equal(INT(SC_DIV, DT_I32, least, -1), least);
    assert_int_equal(INT(SC_DIV, DT_I64, INT64_MIN, -1), INT64_MIN);
    assert_int_equal(INT(SC_MOD, DT_I64, INT64_MIN, -1), 0);
    assert_int_equal(INT(SC_DIV, DT_I32, -7, 2), -3);
    assert_int_equal(INT(SC_FLOORDIV, DT_I32, -7, 2), -4);
    assert_int_equal(INT(SC_MOD, DT_I32, -7, 2), 1);
    assert_int_equal(INT(SC_MOD, DT_I32, 7, -2), -1);
    assert_int_equal(INT(SC_ABS, DT_I32, least, 0), least);
    assert_int_equal(INT(SC_ADD, DT_U8, 250, 10), 4);
    assert_int_equal(INT(SC_SHL, DT_I32, 1, 32), 0);
    assert_int_equal(INT(SC_SHR, DT_I32, -8, 99), -1);
    assert_int_equal(INT(SC_SHR, DT_I32, -8, 1), -4);
    assert_int_equal(INT(SC_SHR, DT_U64, -1, 63), 1);
    assert_int_equal(INT(SC_LT, DT_U64, -1, 1), 0);
    assert_int_equal(INT(SC_DIV, DT_U64, -1, 2), INT64_MAX);
    assert_int_equal(INT(SC_POW, DT_I32, 3, 4), 81);
    assert_int_equal(INT(SC_POW, DT_I32, 2, -1), 0);
    assert_int_equal(INT(SC_NOT, DT_U8, 5, 0), 250);
#undef INT
}

/* Rounding to the narrow types, and their bits there and back. */
static void test_narrow_floats(void **state)
{
    Bench *b = *state;
    assert_true(value_round(DT_F16, 65519) == 65504);
    assert_true(isinf(value_round(DT_F16, 65520)));
    assert_true(value_round(DT_F16, 2049) == 2048 &&
                value_round(DT_F16, 2051) == 2052); /* ties to even */
    assert_true(value_round(DT_F16, 0x1p-25) == 0 && value_round(DT_F16, 0x1.8p-24) == 0x1p-23);
    assert_true(value_round(DT_BF16, 257) == 256 && value_round(DT_BF16, 259) == 260);
    assert_true(isnan(value_round(DT_BF16, NAN)));
    for (int t = 0; t < 2; t++)
        for (uint32_t bits = 0; bits < 0x10000; bits++) {
            uint16_t word = (uint16_t)bits, again;
            Value v = value_from_bytes(b->cx->arena, t ? DT_BF16 : DT_F16, &(Shape){ 0 }, &word);
            value_to_bytes(&v, &again);
            if (isnan(v.f[0]) ? (again & 0x7fff) != (t ? 0x7fc0 : 0x7e00) : again != word)
                fail_msg("%s %04x came back as %04x", t ? "bf16" : "f16", bits, again);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_element_wise),
        TEST(test_what_is_not_exact),
        TEST(test_casts),
        TEST(test_movement),
        TEST(test_reductions_and_products),
        TEST(test_constants),
        TEST(test_builder),
        TEST(test_philox),
        TEST(test_integer_edges),
        TEST(test_narrow_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
