/* Derivatives where difference quotients cannot look: at ties, kinks and zeros, each written down
 * here. Every function is summed, so that the derivative by x[i] is the slope of element i. */
#include "passes/pass.h"

#include "ir/interp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    Unit *u;
    Graph *g;
    NodeId x, other; /* variables on constants */
} Bench;

static NodeId variable(Graph *g, const Shape *shape, const double *v, int64_t site)
{
    NodeId c = b_data(g, DT_F64, shape, v);
    return graph_emit(g, OP_var, &c, 1, (AttrValue[]){ attr_i(site) }, 1);
}

static Bench bench(uint32_t rank, int64_t rows, int64_t columns, const double *x,
                   const double *other)
{
    Compiler *cx = compiler_new();
    Bench b = { .u = unit_new(cx, "kinks") };
    Shape s = { rank, { dim_of(rows), dim_of(columns) } };
    b.g = graph_new(b.u, "kinks", 0);
    b.x = variable(b.g, &s, x, 0);
    b.other = other ? variable(b.g, &s, other, 1) : NODE_NONE;
    return b;
}

/* d sum(y) / d by, compared; frees the bench. */
static void check(Bench *b, NodeId y, NodeId by, const double *expected)
{
    Graph *g = b->g;
    int64_t axes[] = { 0, 1, 2, 3 };
    NodeId sum = b_reduce(g, OP_reduce_sum, y, axes, graph_shape(g, y)->rank, false);
    graph_output(g, "dx", b_binary(g, OP_grad, sum, by), -1);
    vec_push(b->u->arena, &b->u->entries,
             (Entry){ .kind = ENTRY_EXPORT, .name = "kinks", .graph = g });
    assert_true(pass_autodiff(b->u));
    Value dx;
    assert_null(
        interp_run(b->u->arena, b->u->entries.at[0].graph, &(InterpArgs){ .batch = 1 }, &dx));
    for (int64_t i = 0; i < dx.count; i++)
        if (dx.f[i] != expected[i])
            fail_msg("slope %d is %g, not %g", (int)i, dx.f[i], expected[i]);
    compiler_free(b->u->cx);
}

#define D(...) ((const double[]){ __VA_ARGS__ })

static void test_kinks_of_one_operand(void **state)
{
    (void)state;
    static const struct {
        Op op;
        double slope[4]; /* at -2, -0, 0, 2 */
    } t[] = {
        { OP_abs, { -1, 0, 0, 1 } },  { OP_relu, { 0, 0, 0, 1 } },  { OP_sign, { 0, 0, 0, 0 } },
        { OP_floor, { 0, 0, 0, 0 } }, { OP_round, { 0, 0, 0, 0 } }, { OP_trunc, { 0, 0, 0, 0 } },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        Bench b = bench(1, 4, 0, D(-2, -0.0, 0, 2), NULL);
        check(&b, b_unary(b.g, t[i].op, b.x), b.x, t[i].slope);
    }
}

/* The first operand of equal ones takes all. */
static void test_ties_of_two_operands(void **state)
{
    (void)state;
    for (int second = 0; second < 2; second++) {
        Bench b = bench(1, 3, 0, D(1, 2, 3), D(2, 2, 2));
        NodeId by = second ? b.other : b.x;
        check(&b, b_binary(b.g, OP_maximum, b.x, b.other), by, second ? D(1, 0, 0) : D(0, 1, 1));
        b = bench(1, 3, 0, D(1, 2, 3), D(2, 2, 2));
        by = second ? b.other : b.x;
        check(&b, b_binary(b.g, OP_minimum, b.x, b.other), by, second ? D(0, 0, 1) : D(1, 1, 0));
    }
}

/* The first extreme of a row, in row-major order where several axes are reduced. */
static void test_ties_of_reductions(void **state)
{
    (void)state;
    Bench b = bench(2, 2, 3, D(1, 3, 3, 5, 5, 5), NULL);
    check(&b, b_reduce(b.g, OP_reduce_max, b.x, (int64_t[]){ 1 }, 1, false), b.x,
          D(0, 1, 0, 1, 0, 0));
    b = bench(2, 2, 3, D(1, 3, 3, 1, 5, 3), NULL);
    check(&b, b_reduce(b.g, OP_reduce_min, b.x, (int64_t[]){ 0 }, 1, true), b.x,
          D(1, 1, 1, 0, 0, 0));
    b = bench(2, 2, 3, D(1, 4, 3, 4, 2, 4), NULL);
    check(&b, b_reduce(b.g, OP_reduce_max, b.x, (int64_t[]){ 1, 0 }, 2, false), b.x,
          D(0, 1, 0, 0, 0, 0));
}

/* Without zeros the product over x; one zero takes the product of the others; two make all zero. */
static void test_product_with_zeros(void **state)
{
    (void)state;
    Bench b = bench(2, 3, 3, D(2, 3, 4, 2, 0, 4, 0, 3, 0), NULL);
    check(&b, b_reduce(b.g, OP_reduce_prod, b.x, (int64_t[]){ 1 }, 1, false), b.x,
          D(12, 8, 6, 0, 8, 0, 0, 0, 0));
}

/* x^0 is flat also at 0; x^1 has slope 1 there; 0^b does not move with b. */
static void test_powers_at_zero(void **state)
{
    (void)state;
    Bench b = bench(1, 4, 0, D(0, 0, 0, 2), D(0, 1, 2, 3));
    check(&b, b_binary(b.g, OP_pow, b.x, b.other), b.x, D(0, 1, 0, 12));
    b = bench(1, 4, 0, D(0, 0, 0, 1), D(0, 1, 2, 3));
    check(&b, b_binary(b.g, OP_pow, b.x, b.other), b.other, D(0, 0, 0, 0));
}

/* Elements that two windows share get both slopes; those that no window reaches get none. */
static void test_shared_elements(void **state)
{
    (void)state;
    Bench b = bench(1, 6, 0, D(1, 2, 3, 4, 5, 6), NULL);
    AttrValue attrs[] = { attr_i(0), attr_i(3), attr_i(2) };
    check(&b, graph_emit(b.g, OP_windows, &b.x, 1, attrs, 3), b.x, D(1, 1, 2, 1, 1, 0));
    b = bench(1, 3, 0, D(1, 2, 3), NULL);
    NodeId index = b_data(b.g, DT_I64, &(Shape){ 1, { { 4, 0 } } }, (int64_t[]){ 2, 0, 2, 2 });
    check(&b,
          graph_emit(b.g, OP_gather, (NodeId[]){ b.x, index }, 2, (AttrValue[]){ attr_i(0) }, 1),
          b.x, D(1, 0, 3));
}

/* Rounding to integers and back: the slope by x is 1 within the range; by the scale it is what
 * rounding lost, or the limit that cut. */
static void test_quantized(void **state)
{
    (void)state;
    for (int by_scale = 0; by_scale < 2; by_scale++) {
        Bench b = bench(1, 4, 0, D(1.125, -0.5, 100, -100), D(0.5, 0.5, 0.5, 0.5));
        Shape s = *graph_shape(b.g, b.x);
        NodeId in[] = { b.x, b.other, b_splat(b.g, DT_I8, &s, 3) };
        in[0] = graph_emit(b.g, OP_quantize, in, 3, NULL, 0);
        assert_int_equal(graph_dtype(b.g, in[0]), DT_I8);
        NodeId y = graph_emit(b.g, OP_dequantize, in, 3, NULL, 0);
        check(&b, y, by_scale ? b.other : b.x,
              by_scale ? D(2 - 2.25, 0, 127 - 3, -128 - 3) : D(1, 1, 0, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinks_of_one_operand), cmocka_unit_test(test_ties_of_two_operands),
        cmocka_unit_test(test_ties_of_reductions),   cmocka_unit_test(test_product_with_zeros),
        cmocka_unit_test(test_powers_at_zero),       cmocka_unit_test(test_shared_elements),
        cmocka_unit_test(test_quantized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
