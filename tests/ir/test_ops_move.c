/* Movement ops as kernels read through them: a chain of `move`s from each result index down to the
 * input, with axes split as the ops ask for, against the reference; at the largest batch and at a
 * smaller one. */
#include "ops_help.h"

#include "ir/cases.h"
#include "ir/kernel.h"

enum { MAX_CHAIN = 16 };

/* A reading of `root`: the index into the node at the end of the chain, and the fills of the pads
 * on the way, outermost first. */
typedef struct {
    KernelAxis axes[KERNEL_MAX_AXES];
    uint32_t n_axes;
    Affine root_at[MAX_RANK];
    IndexMap map;
    NodeId base;
    double fill[MAX_CHAIN];
    uint32_t guards[MAX_CHAIN], n_fills;
} Reading;

static bool is_move(const Graph *g, NodeId id)
{
    return op_defs[graph_node(g, id)->op]->lower == LOWER_MOVE;
}

static bool walk_down(const Graph *g, NodeId root, Reading *r)
{
    r->map = (IndexMap){ .arena = g->unit->arena,
                         .rank = graph_shape(g, root)->rank,
                         .axes = r->axes,
                         .n_axes = r->n_axes };
    memcpy(r->map.at, r->root_at, sizeof r->root_at);
    r->n_fills = 0;
    for (r->base = root; is_move(g, r->base); r->base = graph_operand(g, r->base, 0)) {
        uint32_t before = r->map.guards.n;
        r->map.split_axis = -1;
        if (!op_defs[graph_node(g, r->base)->op]->move(g, r->base, &r->map))
            return false;
        assert_int_equal(r->map.rank, graph_shape(g, graph_operand(g, r->base, 0))->rank);
        if (r->map.guards.n > before) {
            r->fill[r->n_fills] = r->map.fill;
            r->guards[r->n_fills++] = r->map.guards.n;
        }
    }
    return true;
}

static void split(Reading *r, uint32_t axis, int64_t inner)
{
    assert_true(inner > 1 && r->n_axes < KERNEL_MAX_AXES);
    Dim *d = &r->axes[axis].extent;
    assert_true((d->k ? d->k : d->n) % inner == 0);
    *d = (Dim){ d->n / inner, d->k / inner };
    r->axes[r->n_axes].extent = dim_of(inner);
    for (uint32_t i = 0; i < MAX_RANK; i++) {
        r->root_at[i].coef[r->n_axes] = r->root_at[i].coef[axis];
        r->root_at[i].coef[axis] *= inner;
    }
    r->n_axes++;
}

/* False where the chain cannot be read without storing something. */
static bool read_through(const Graph *g, NodeId root, Reading *r)
{
    memset(r, 0, sizeof *r);
    const Shape *s = graph_shape(g, root);
    r->n_axes = s->rank;
    for (uint32_t i = 0; i < s->rank; i++) {
        r->axes[i].extent = s->dim[i];
        r->root_at[i] = affine_axis(i);
    }
    while (!walk_down(g, root, r)) {
        if (r->map.split_axis < 0)
            return false;
        split(r, (uint32_t)r->map.split_axis, r->map.split_inner);
    }
    return true;
}

static int64_t affine_at(const Affine *e, const int64_t *index)
{
    int64_t v = e->c;
    for (uint32_t a = 0; a < KERNEL_MAX_AXES; a++)
        v += e->coef[a] * index[a];
    return v;
}

static int64_t extent_at(Dim d, int64_t batch)
{
    return d.k ? d.k * batch : d.n;
}

static double element(const Value *v, int64_t i)
{
    return dtype_is_float(v->dtype) ? v->f[i] : (double)v->i[i];
}

static double read_element(const Reading *r, const Value *x, const int64_t *index, int64_t batch)
{
    uint32_t guard = 0;
    for (uint32_t p = 0; p < r->n_fills; p++)
        for (; guard < r->guards[p]; guard++) {
            const KernelGuard *k = &r->map.guards.at[guard];
            int64_t e = affine_at(&k->e, index);
            if (e < k->lo || e >= extent_at(k->hi, batch))
                return r->fill[p];
        }
    int64_t o = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t at = affine_at(&r->map.at[i], index);
        assert_in_range(at, 0, x->dim[i] - 1);
        o = o * x->dim[i] + at;
    }
    return element(x, o);
}

/* Reads every element of y and compares. */
static void compare(const char *what, const Reading *r, const Value *x, const Value *y,
                    int64_t batch)
{
    int64_t index[KERNEL_MAX_AXES] = { 0 };
    for (bool more = y->count > 0; more;) {
        int64_t o = 0;
        for (uint32_t i = 0; i < y->rank; i++)
            o = o * y->dim[i] + affine_at(&r->root_at[i], index);
        double expected = element(y, o), got = read_element(r, x, index, batch);
        if (got != expected)
            fail_msg("%s at B = %d: element %d is %g, read as %g", what, (int)batch, (int)o,
                     expected, got);
        more = false;
        for (uint32_t a = r->n_axes; a-- > 0 && !more; index[a] = more ? index[a] : 0)
            more = ++index[a] < extent_at(r->axes[a].extent, batch);
    }
}

static void check_node(const char *what, Bench *b, NodeId root, CaseRng *rng)
{
    Reading r;
    Graph *g = b->g;
    if (!read_through(g, root, &r))
        fail_msg("%s cannot be read", what);
    assert_int_equal(graph_node(g, r.base)->op, OP_input);
    g->outputs.n = 0;
    graph_output(g, "y", root, -1);
    for (int64_t batch = 1; batch <= g->batch_max; batch += 5) {
        Value *inputs = arena_new_array(b->cx->arena, Value, g->inputs.n), y;
        for (uint32_t i = 0; i < g->inputs.n; i++)
            inputs[i] = case_value(b->cx->arena, rng, g, i, batch);
        InterpArgs args = { .batch = batch, .inputs = inputs };
        assert_null(interp_run(b->cx->arena, g, &args, &y));
        compare(what, &r, &inputs[graph_attr(g, r.base, "index")->i], &y, batch);
    }
}

/* Only a reshape may ask for something stored: where it splits an axis, unevenly. */
static bool check_case(Op op, uint32_t number)
{
    void *own;
    bench_setup(&own);
    Bench *b = own;
    CaseRng rng = case_rng(b->cx->arena, number);
    NodeId root = op_defs[op]->cases(b->g, &rng, number);
    Reading r;
    if (root != NODE_NONE && read_through(b->g, root, &r))
        check_node(arena_printf(b->cx->arena, "%s case %u", op_defs[op]->name, number), b, root,
                   &rng);
    else if (root != NODE_NONE)
        assert_int_equal(graph_node(b->g, r.base)->op, OP_reshape);
    bench_teardown(&own);
    return root != NODE_NONE;
}

static void test_every_case(void **state)
{
    (void)state;
    for (int op = 0; op < OP_COUNT; op++)
        for (uint32_t i = 0; op_defs[op]->lower == LOWER_MOVE && check_case((Op)op, i);)
            i++;
}

static NodeId window(Graph *g, NodeId x, int64_t axis, int64_t size, int64_t stride)
{
    return graph_emit(g, OP_windows, &x, 1,
                      (AttrValue[]){ attr_i(axis), attr_i(size), attr_i(stride) }, 3);
}

/* The windows of a padded image, as the rows and columns of a matrix product. */
static void test_chain_of_convolution(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    CaseRng rng = case_rng(b->cx->arena, 1);
    int64_t none[4] = { 0 }, pad[] = { 0, 0, 1, 2 };
    NodeId x = b_pad(g, INPUT(g, DT_F64, -1, 2, 5, 4), pad, pad, none, 0);
    x = window(g, window(g, x, 2, 3, 2), 4, 3, 1);
    check_node("windows of windows", b, x, &rng);
    x = b_transpose(g, x, (int64_t[]){ 0, 2, 4, 1, 3, 5 });
    Shape rows = SHAPE(g, -(3 * 6), 2 * 3 * 3);
    check_node("rows of windows", b, b_reshape(g, x, &rows), &rng);
}

static void test_splits(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    CaseRng rng = case_rng(b->cx->arena, 2);
    Shape three = SHAPE(g, 3, 4), flat = SHAPE(g, 12), batch = SHAPE(g, -2, 3),
          merged = SHAPE(g, -6), again = SHAPE(g, -3, 2);
    NodeId x = b_transpose(g, b_reshape(g, INPUT(g, DT_F64, 12), &three), (int64_t[]){ 1, 0 });
    check_node("transpose under a flat index", b, b_reshape(g, x, &flat), &rng);
    x = b_flip(g, b_reshape(g, x, &flat), (int64_t[]){ 0 }, 1);
    check_node("backwards", b, x, &rng);
    NodeId y = b_reshape(g, INPUT(g, DT_F64, -6), &batch);
    y = b_reshape(g, b_flip(g, y, (int64_t[]){ 1 }, 1), &merged);
    check_node("within an axis of the batch", b, y, &rng);
    check_node("other parts of it", b, b_reshape(g, INPUT(g, DT_F64, -6), &again), &rng);
}

static void test_pads(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    CaseRng rng = case_rng(b->cx->arena, 3);
    int64_t none[2] = { 0 }, one[] = { 1, 1 }, gap[] = { 2, 1 };
    NodeId x = INPUT(g, DT_F64, 3, 4);
    check_node("pads of two values", b,
               b_pad(g, b_pad(g, x, one, none, none, 7), none, one, none, 5), &rng);
    /* between the elements, where the extent is a multiple of the distance: reads by splitting */
    Shape spread = SHAPE(g, 9);
    NodeId y =
        b_reshape(g,
                  b_pad(g, b_reshape(g, INPUT(g, DT_F64, 3), &(Shape){ 2, { { 3, 0 }, { 1, 0 } } }),
                        none, (int64_t[]){ 0, 2 }, none, 0),
                  &spread);
    check_node("spread", b, y, &rng);
    /* and else as the reference says, over something stored */
    Value v = value_of(
        b, b_pad(g, numbers(g, SHAPE(g, 2, 2), (double[]){ 1, 2, 3, 4 }), one, none, gap, 9));
    static const double expected[] = { 9, 9, 9, 9, 9, 1, 9, 2, 9, 9, 9, 9, 9, 9, 9, 9, 9, 3, 9, 4 };
    assert_int_equal(v.count, 20);
    for (int i = 0; i < 20; i++)
        assert_true(v.f[i] == expected[i]);
}

/* Rows of 4 read as rows of 3: no split of an axis helps, the operand has to be stored. */
static void test_what_cannot_be_read(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    Reading r;
    Shape y = SHAPE(g, 8, 3);
    assert_false(read_through(g, b_reshape(g, INPUT(g, DT_F32, 6, 4), &y), &r));
    assert_int_equal(r.map.split_axis, -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_case),
        TEST(test_chain_of_convolution),
        TEST(test_splits),
        TEST(test_pads),
        TEST(test_what_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
