/* Derivatives: every op's rule against difference quotients, and the autodiff pass itself. */
#include "ir/builder.h"
#include "ir/interp.h"
#include "ir/verify.h"
#include "passes/op_check.h"
#include "passes/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void every_op_keeps_its_promises(void **state)
{
    (void)state;
    uint32_t failed = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        Arena *a = arena_new();
        OpCheck k = op_check(a, (Op)op);
        if (k.failure) {
            print_message("%s: %s\n", op_defs[op]->name, k.failure);
            failed++;
        }
        arena_free(a);
    }
    assert_int_equal(failed, 0);
}

/* ---- the pass ---- */

typedef struct {
    Compiler *cx;
    Unit *u;
    Graph *g;
} Fixture;

static Fixture fixture(void)
{
    Fixture f = { .cx = compiler_new() };
    f.u = unit_new(f.cx, "test");
    f.g = graph_new(f.u, "f", 0);
    vec_push(f.u->arena, &f.u->entries, (Entry){ .kind = ENTRY_EXPORT, .name = "f", .graph = f.g });
    return f;
}

static NodeId scalar_input(Graph *g)
{
    return graph_input(g, (Input){ .name = "x", .dtype = DT_F64 });
}

static NodeId var(Graph *g, NodeId x, int64_t site)
{
    AttrValue v = attr_i(site);
    return graph_emit(g, OP_var, &x, 1, &v, 1);
}

static NodeId grad(Graph *g, NodeId y, NodeId x)
{
    return graph_emit(g, OP_grad, (NodeId[]){ y, x }, 2, NULL, 0);
}

/* Differentiates and runs f at scalar inputs; output i of the graph. */
static double run(Fixture *f, const double *x, uint32_t output)
{
    assert_true(pass_autodiff(f->u));
    Graph *g = f->u->entries.at[0].graph;
    assert_null(unit_verify(f->u->arena, f->u));
    InterpArgs args = { .batch = 1 };
    Value *in = arena_new_array(f->u->arena, Value, g->inputs.n),
          *out = arena_new_array(f->u->arena, Value, g->outputs.n);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        in[i] = value_new(f->u->arena, DT_F64, &(Shape){ 0 }, 1);
        in[i].f[0] = x[i];
    }
    args.inputs = in;
    const char *bad = interp_run(f->u->arena, g, &args, out);
    if (bad)
        fail_msg("%s", bad);
    return out[output].f[0];
}

static void derivatives_nest(void **state)
{
    (void)state;
    Fixture f = fixture();
    NodeId x = scalar_input(f.g), x2 = b_mul(f.g, x, x), y = b_mul(f.g, x2, x2);
    for (int i = 0; i < 5; i++) {
        graph_output(f.g, "d", y, -1);
        y = grad(f.g, y, x);
    }
    const double at = 1.5, expected[] = { pow(at, 4), 4 * pow(at, 3), 12 * at * at, 24 * at, 24 };
    for (uint32_t i = 0; i < 5; i++)
        assert_float_equal(run(&f, &at, i), expected[i], 1e-12);
    compiler_free(f.cx);
}

/* d/dx (x * d/dv (v * x)) at v = x: the inner derivative is x and not 2x; the whole is x^2, its
 * derivative 2x. */
static void variables_are_told_apart(void **state)
{
    (void)state;
    Fixture f = fixture();
    NodeId x = var(f.g, scalar_input(f.g), 1), v = var(f.g, x, 2);
    NodeId inner = grad(f.g, b_mul(f.g, v, x), v);
    graph_output(f.g, "inner", inner, -1);
    graph_output(f.g, "outer", grad(f.g, b_mul(f.g, x, inner), x), -1);
    const double at = 3;
    assert_float_equal(run(&f, &at, 0), 3, 0);
    assert_float_equal(run(&f, &at, 1), 6, 0);
    compiler_free(f.cx);
}

static void unused_variable_has_zero(void **state)
{
    (void)state;
    Fixture f = fixture();
    NodeId x = scalar_input(f.g), z = scalar_input(f.g);
    graph_output(f.g, "dz", grad(f.g, b_mul(f.g, x, x), z), -1);
    const double at[] = { 3, 4 };
    assert_float_equal(run(&f, at, 0), 0, 0);
    compiler_free(f.cx);
}

static void derivative_of_itself_is_one(void **state)
{
    (void)state;
    Fixture f = fixture();
    NodeId x = scalar_input(f.g);
    graph_output(f.g, "dx", grad(f.g, x, x), -1);
    const double at = 3;
    assert_float_equal(run(&f, &at, 0), 1, 0);
    compiler_free(f.cx);
}

static void stop_gradient_stops(void **state)
{
    (void)state;
    Fixture f = fixture();
    NodeId x = scalar_input(f.g), stopped = graph_emit(f.g, OP_stop_gradient, &x, 1, NULL, 0);
    graph_output(f.g, "dx", grad(f.g, b_mul(f.g, x, stopped), x), -1);
    const double at = 3;
    assert_float_equal(run(&f, &at, 0), 3, 0);
    compiler_free(f.cx);
}

/* A wanted x below another wanted x that has no derivative of its own. */
static void rounding_passes_no_derivative(void **state)
{
    (void)state;
    Fixture f = fixture();
    NodeId x = scalar_input(f.g), z = b_unary(f.g, OP_floor, x), y = b_mul(f.g, z, z);
    graph_output(f.g, "dx", grad(f.g, y, x), -1);
    graph_output(f.g, "dz", grad(f.g, y, z), -1);
    const double at = 3.25;
    assert_float_equal(run(&f, &at, 0), 0, 0);
    assert_float_equal(run(&f, &at, 1), 6, 0);
    compiler_free(f.cx);
}

static void nodes_inherit_places(void **state)
{
    (void)state;
    Fixture f = fixture();
    uint32_t file = compiler_add_source(f.cx, "f.dl", "tanh(x)", 7);
    NodeId x = scalar_input(f.g);
    f.g->loc = loc_make(f.cx, (Loc){ file, 0, 4, 0, NULL });
    NodeId y = b_unary(f.g, OP_tanh, x);
    LocId loc = f.g->loc;
    f.g->loc = 0;
    graph_output(f.g, "dx", grad(f.g, y, x), -1);
    assert_true(pass_autodiff(f.u));
    const Graph *g = f.u->entries.at[0].graph;
    assert_int_equal(graph_node(g, g->outputs.at[0].node)->loc, loc);
    compiler_free(f.cx);
}

static void op_without_derivative_is_named(void **state)
{
    (void)state;
    Fixture f = fixture();
    Shape s = { .rank = 2, .dim = { dim_of(3), dim_of(3) } };
    NodeId x = graph_input(f.g, (Input){ .name = "x", .dtype = DT_F64, .shape = s });
    NodeId q = graph_emit(f.g, OP_qr_q, &x, 1, NULL, 0);
    NodeId y = b_reduce(f.g, OP_reduce_sum, b_unary(f.g, OP_exp, q), (int64_t[]){ 0, 1 }, 2, false);
    graph_output(f.g, "dx", grad(f.g, y, x), -1);
    assert_false(pass_autodiff(f.u));
    assert_int_equal(f.cx->diags.n, 1);
    assert_int_equal(f.cx->diags.at[0].code, DIAG_E0503);
    assert_string_equal(f.cx->diags.at[0].message, "`qr_q` has no derivative");
    assert_non_null(strstr(f.cx->diags.at[0].parts.at[0].text, "qr_q, exp, reduce_sum"));
    compiler_free(f.cx);
}

static void halves_are_summed_wide(void **state)
{
    (void)state;
    Fixture f = fixture();
    NodeId x = graph_input(f.g, (Input){ .name = "x", .dtype = DT_BF16 });
    NodeId y = b_add(f.g, b_unary(f.g, OP_exp, x),
                     b_add(f.g, b_unary(f.g, OP_sin, x), b_unary(f.g, OP_tanh, x)));
    graph_output(f.g, "dx", grad(f.g, y, x), -1);
    assert_true(pass_autodiff(f.u));
    const Graph *g = f.u->entries.at[0].graph;
    NodeId dx = g->outputs.at[0].node;
    assert_int_equal(graph_dtype(g, dx), DT_BF16);
    assert_int_equal(graph_node(g, dx)->op, OP_cast);
    assert_int_equal(graph_dtype(g, graph_operand(g, dx, 0)), DT_F32);
    compiler_free(f.cx);
}

/* x split in three, as gates are: the derivative is three parts side by side, not three sums. */
static void slices_that_tile_become_one_concat(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        Fixture f = fixture();
        Shape s = { .rank = 2, .dim = { dim_of(2), dim_of(6) } };
        NodeId x = graph_input(f.g, (Input){ .name = "x", .dtype = DT_F64, .shape = s }),
               y = NODE_NONE;
        for (int64_t i = 0; i < 2 + whole; i++) {
            NodeId part =
                b_unary(f.g, i ? OP_tanh : OP_exp, b_slice_axis(f.g, x, 1, 2 * i, 2 * i + 2));
            NodeId sum = b_reduce(f.g, OP_reduce_sum, part, (int64_t[]){ 0, 1 }, 2, false);
            y = i ? b_add(f.g, y, sum) : sum;
        }
        graph_output(f.g, "dx", grad(f.g, y, x), -1);
        assert_true(pass_autodiff(f.u));
        const Graph *g = f.u->entries.at[0].graph;
        NodeId dx = g->outputs.at[0].node;
        assert_int_equal(graph_node(g, dx)->op, whole ? OP_concat : OP_add);
        assert_int_equal(graph_node(g, dx)->count, whole ? 3 : 2);
        for (uint32_t i = 0; whole && i < 3; i++) /* the exp of part 0 is its own derivative */
            assert_int_equal(graph_node(g, graph_operand(g, dx, i))->op == OP_exp, i == 0);
        compiler_free(f.cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_keeps_its_promises),
        cmocka_unit_test(derivatives_nest),
        cmocka_unit_test(variables_are_told_apart),
        cmocka_unit_test(unused_variable_has_zero),
        cmocka_unit_test(derivative_of_itself_is_one),
        cmocka_unit_test(stop_gradient_stops),
        cmocka_unit_test(rounding_passes_no_derivative),
        cmocka_unit_test(nodes_inherit_places),
        cmocka_unit_test(op_without_derivative_is_named),
        cmocka_unit_test(halves_are_summed_wide),
        cmocka_unit_test(slices_that_tile_become_one_concat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
