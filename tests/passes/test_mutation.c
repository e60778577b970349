/* Wrong derivative rules, made from the right ones by small edits, must all be caught by the
 * gradient check.
 *
 * Every op with a rule is tried with every edit. A mutant counts when some case's derivatives
 * differ from the right ones, as values; then the difference quotients must tell on at least one
 * case. */
#include "ir/builder.h"
#include "passes/op_check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct Mutant Mutant;
typedef NodeId Edit(Graph *g, const Grad *q, uint32_t operand, NodeId dx);
struct Mutant {
    Op op;
    Edit *edit;
    bool swap; /* give contributions to the other operand */
};

typedef struct {
    Grad *outer;
    const Mutant *m;
} Wrapped;

static bool same_type(const Graph *g, NodeId a, NodeId b)
{
    return graph_dtype(g, a) == graph_dtype(g, b) &&
           shape_equal(graph_shape(g, a), graph_shape(g, b));
}

static void mutated_add(Grad *q, uint32_t operand, NodeId dx)
{
    Wrapped *w = q->state;
    uint32_t other = operand ? 0 : 1;
    if (dx == NODE_NONE)
        return;
    if (w->m->swap && q->n > 1 && same_type(q->g, q->in[operand], q->in[other]))
        operand = other;
    w->outer->add(w->outer, operand, w->m->edit ? w->m->edit(q->g, q, operand, dx) : dx);
}

static bool outer_needs(const Grad *q, uint32_t operand)
{
    const Wrapped *w = q->state;
    return w->outer->needs(w->outer, operand);
}

static void apply_mutant(Grad *q, void *state)
{
    const Mutant *m = state;
    Wrapped w = { q, m };
    Grad inner = *q;
    Op op = (Op)graph_node(q->g, q->node)->op;
    if (op == m->op) {
        inner.add = mutated_add;
        inner.needs = outer_needs;
        inner.state = &w;
        op_defs[op]->grad(&inner);
    } else {
        op_defs[op]->grad(q);
    }
}

/* ---- edits: each returns dx itself where it cannot apply ---- */

static NodeId edit_negate(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    return b_neg(g, dx);
}

static NodeId edit_double(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    return b_scale(g, dx, 2);
}

static NodeId edit_permille(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    return b_scale(g, dx, 1.001);
}

static NodeId edit_drop(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)g, (void)q, (void)operand, (void)dx;
    return NODE_NONE;
}

static NodeId edit_bare_dy(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)operand;
    return same_type(g, q->dy, dx) ? q->dy : dx;
}

static NodeId edit_dy_twice(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)operand;
    return same_type(g, q->dy, dx) ? b_mul(g, dx, q->dy) : dx;
}

static NodeId edit_times_x(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    return same_type(g, q->in[operand], dx) ? b_mul(g, dx, q->in[operand]) : dx;
}

static NodeId edit_first_factor(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    return graph_node(g, dx)->op == OP_mul ? graph_operand(g, dx, 0) : dx;
}

static NodeId edit_second_factor(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    return graph_node(g, dx)->op == OP_mul ? graph_operand(g, dx, 1) : dx;
}

/* A fixed axis with more than one element, from the last; -1: none. */
static int long_axis(const Shape *s)
{
    for (uint32_t i = s->rank; i-- > 0;)
        if (!s->dim[i].k && s->dim[i].n > 1)
            return (int)i;
    return -1;
}

static NodeId edit_reverse(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    int64_t axis = long_axis(graph_shape(g, dx));
    return axis < 0 ? dx : b_flip(g, dx, &axis, 1);
}

/* Off by one along an axis, around the end. */
static NodeId edit_roll(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    int axis = long_axis(graph_shape(g, dx));
    if (axis < 0)
        return dx;
    int64_t n = graph_shape(g, dx)->dim[axis].n;
    NodeId parts[] = { b_slice_axis(g, dx, (uint32_t)axis, 1, n),
                       b_slice_axis(g, dx, (uint32_t)axis, 0, 1) };
    return b_concat(g, parts, 2, (uint32_t)axis);
}

/* One too few at the end of an axis. */
static NodeId edit_cut(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    int axis = long_axis(graph_shape(g, dx));
    if (axis < 0)
        return dx;
    int64_t zero[MAX_RANK] = { 0 }, high[MAX_RANK] = { 0 };
    high[axis] = 1;
    NodeId rest = b_slice_axis(g, dx, (uint32_t)axis, 0, graph_shape(g, dx)->dim[axis].n - 1);
    return b_pad(g, rest, zero, high, zero, 0);
}

/* A sum over a repeated axis left out: its first element stands for all. */
static NodeId edit_unsummed(Graph *g, const Grad *q, uint32_t operand, NodeId dx)
{
    (void)q, (void)operand;
    if (graph_node(g, dx)->op != OP_reduce_sum)
        return dx;
    Shape s = *graph_shape(g, dx);
    NodeId x = graph_operand(g, dx, 0);
    const AttrValue *axes = graph_attr(g, dx, "axes");
    for (uint32_t i = 0; i < axes->count; i++) {
        Dim d = graph_shape(g, x)->dim[axes->ints[i]];
        if (d.k || d.n < 1)
            return dx;
        x = b_slice_axis(g, x, (uint32_t)axes->ints[i], 0, 1);
    }
    return b_reshape(g, x, &s);
}

static const struct {
    const char *name;
    Edit *edit;
    bool swap;
} edits[] = {
    { "sign flipped", edit_negate, false },      { "factor 2 too many", edit_double, false },
    { "off by 0.1 %", edit_permille, false },    { "contribution dropped", edit_drop, false },
    { "dy alone", edit_bare_dy, false },         { "dy twice", edit_dy_twice, false },
    { "factor x too many", edit_times_x, false },
    { "second factor dropped", edit_first_factor, false },
    { "first factor dropped", edit_second_factor, false },
    { "axis reversed", edit_reverse, false },    { "off by one along an axis", edit_roll, false },
    { "last element of an axis dropped", edit_cut, false },
    { "sum over a repeated axis dropped", edit_unsummed, false },
    { "operands swapped", NULL, true },
};
enum { EDITS = sizeof edits / sizeof *edits };

static double distance(const Value *a, const Value *b, uint32_t n)
{
    double d = 0, size = 0;
    for (uint32_t p = 0; p < n; p++)
        for (int64_t i = 0; i < a[p].count; i++) {
            d += (a[p].f[i] - b[p].f[i]) * (a[p].f[i] - b[p].f[i]);
            size += a[p].f[i] * a[p].f[i];
        }
    return sqrt(d) / (sqrt(size) + 1e-3);
}

typedef enum { MUTANT_EQUAL, MUTANT_CAUGHT, MUTANT_MISSED } Verdict;

/* Does the mutant compute other derivatives on case i, and is it caught there? */
static Verdict try_case(Mutant *m, uint32_t i)
{
    Arena *a = arena_new();
    uint32_t n = 0;
    double error = 0;
    const char *failure = NULL;
    const Value *right = op_case_derivatives(a, m->op, i, NULL, NULL, &n);
    const Value *wrong = op_case_derivatives(a, m->op, i, apply_mutant, m, &n);
    Verdict v = MUTANT_EQUAL;
    if (right && (!wrong || !(distance(right, wrong, n) < 1e-5)) &&
        op_check_gradient(a, m->op, i, NULL, NULL, &error, &failure) != CHECK_NONE) {
        CheckState s = op_check_gradient(a, m->op, i, apply_mutant, m, &error, &failure);
        v = s == CHECK_FAILED ? MUTANT_CAUGHT : MUTANT_MISSED;
    }
    arena_free(a);
    return v;
}

static Verdict try_mutant(Mutant *m)
{
    Verdict verdict = MUTANT_EQUAL;
    uint32_t cases = op_case_count(m->op);
    for (uint32_t i = 0; i < cases && verdict != MUTANT_CAUGHT; i++) {
        Verdict v = try_case(m, i);
        verdict = v > verdict || v == MUTANT_CAUGHT ? v : verdict;
    }
    return verdict;
}

static void wrong_rules_are_caught(void **state)
{
    (void)state;
    uint32_t caught = 0, missed = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        for (int e = 0; op_defs[op]->grad && e < EDITS; e++) {
            Mutant m = { (Op)op, edits[e].edit, edits[e].swap };
            Verdict v = try_mutant(&m);
            caught += v == MUTANT_CAUGHT;
            missed += v == MUTANT_MISSED;
            if (v == MUTANT_MISSED)
                print_message("missed: %s, %s\n", op_defs[op]->name, edits[e].name);
        }
    }
    print_message("%u wrong rules, %u caught\n", caught + missed, caught);
    assert_int_equal(missed, 0);
    assert_true(caught >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(wrong_rules_are_caught) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
