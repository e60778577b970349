/* Every op on arguments drawn without mercy: wrong types, empty and enormous shapes, numbers at the
 * ends of their range. Emitting gives a sound node or one diagnostic; it never crashes, hangs, or
 * asks for memory in proportion to a size it was told. */
#include "ops_help.h"

#include "ir/cases.h"

enum { ROUNDS = 60000, GRAPHS = 60 };

static int64_t odd_number(CaseRng *r)
{
    static const int64_t odd[] = { 0,
                                   1,
                                   1,
                                   2,
                                   2,
                                   3,
                                   3,
                                   4,
                                   5,
                                   7,
                                   8,
                                   9,
                                   -1,
                                   -2,
                                   64,
                                   1000,
                                   INT32_MAX,
                                   INT64_C(1) << 32,
                                   INT64_C(1) << 40,
                                   INT64_C(1) << 62,
                                   INT64_MAX,
                                   INT64_MIN };
    return odd[case_random(r) % (case_random(r) % 4 ? 10 : sizeof odd / sizeof *odd)];
}

static Shape odd_shape(Graph *g, CaseRng *r)
{
    Shape s = { .rank = case_random(r) % 5 ? (uint32_t)(case_random(r) % 4)
                                           : (uint32_t)(case_random(r) % 9) };
    for (uint32_t i = 0; i < s.rank; i++) {
        int64_t n = odd_number(r);
        s.dim[i] =
            case_random(r) % 8 ? dim_of(n < 0 ? 2 : n) : (Dim){ (1 + i) * g->batch_max, 1 + i };
    }
    return s;
}

/* A shape that a tensor may have: also a part of it can be counted. */
static Shape sound_shape(Graph *g, CaseRng *r)
{
    Shape s, filled;
    int64_t n;
    do {
        s = filled = odd_shape(g, r);
        for (uint32_t i = 0; i < s.rank; i++)
            filled.dim[i].n += !s.dim[i].n;
    } while (!shape_elements(&filled, &n) || n > INT64_MAX / 16);
    return s;
}

static AttrValue odd_attr(Graph *g, CaseRng *r, AttrKind kind)
{
    static const char *const words[] = {
        "",      "ik,kj->ij",      "i,i->",      "ij,ij->i", "a,b->ab",      "ii,i->i",  ",->",
        "ij->j", "abcdefghi,a->a", "ik,kj->ijz", "->",       "bik,bkj->bij", "\xff,\n->"
    };
    static const double floats[] = { 0, -0.0, 1, 0.5, -1, 1e300, NAN, INFINITY, -INFINITY };
    Arena *a = g->unit->arena;
    if (kind == ATTR_STRING)
        return attr_s(words[case_random(r) % (sizeof words / sizeof *words)]);
    if (kind == ATTR_FLOAT)
        return attr_f(floats[case_random(r) % (sizeof floats / sizeof *floats)]);
    if (kind == ATTR_DTYPE)
        return attr_dtype((Dtype)(case_random(r) % DT_COUNT));
    if (kind == ATTR_SHAPE) {
        Shape *s = arena_make(a, Shape);
        *s = odd_shape(g, r);
        return attr_shape(s);
    }
    if (kind == ATTR_INT)
        return attr_i(odd_number(r));
    uint32_t n = (uint32_t)(case_random(r) % 5);
    int64_t *v = arena_new_array(a, int64_t, n);
    for (uint32_t i = 0; i < n; i++)
        v[i] = case_random(r) % 2 ? (int64_t)i : odd_number(r);
    return attr_ints(v, n);
}

/* An operand: an earlier node, a new input, or a small constant. */
static NodeId odd_operand(Graph *g, CaseRng *r)
{
    if (g->nodes.n && case_random(r) % 3)
        return (NodeId)(case_random(r) % g->nodes.n);
    Dtype t = case_random(r) % 2 ? DT_F32 : (Dtype)(case_random(r) % DT_COUNT);
    if (case_random(r) % 4)
        return input_of(g, t, sound_shape(g, r));
    int64_t words[12];
    for (int i = 0; i < 12; i++)
        words[i] = odd_number(r);
    if (t == DT_BOOL)
        memset(words, 1, sizeof words);
    Shape s = SHAPE(g, 3, 4);
    s.rank = (uint32_t)(case_random(r) % 3);
    return b_data(g, t, &s, words);
}

static void emit_something(Bench *b, CaseRng *r)
{
    Graph *g = b->g;
    Op op;
    do
        op = (Op)(case_random(r) % OP_COUNT);
    while (op_defs[op]->lower == LOWER_NONE);
    const OpDef *def = op_defs[op];
    NodeId in[4];
    uint32_t n = def->max_in == 255 ? 1 + (uint32_t)(case_random(r) % 3) : def->max_in, n_attrs = 0;
    for (uint32_t i = 0; i < n; i++)
        in[i] = i && case_random(r) % 2 ? in[0] : odd_operand(g, r);
    AttrValue attrs[8];
    for (const AttrDecl *d = def->attrs; d && d->name; d++)
        attrs[n_attrs++] = odd_attr(g, r, d->kind);
    uint32_t before = b->cx->errors;
    g->loc = loc_make(b->cx, (Loc){ .begin = g->nodes.n + 1, .end = before + g->nodes.n + 2 });
    NodeId node = graph_emit(g, op, in, n, attrs, n_attrs);
    if ((node == NODE_NONE) != (b->cx->errors > before))
        fail_msg("`%s`: %s", def->name,
                 node == NODE_NONE ? "failed without a word" : "a node and an error");
    int64_t elements;
    if (node != NODE_NONE)
        assert_true(shape_elements(graph_shape(g, node), &elements) && elements >= 0);
}

static void test_hostile_arguments(void **state)
{
    (void)state;
    for (int graph = 0; graph < GRAPHS; graph++) {
        void *own;
        bench_setup(&own);
        Bench *b = own;
        CaseRng r = case_rng(b->cx->arena, (uint64_t)graph);
        for (int i = 0; i < ROUNDS / GRAPHS; i++)
            emit_something(b, &r);
        bench_teardown(&own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_hostile_arguments) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
