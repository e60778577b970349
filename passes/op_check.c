/* op_check.c: see op_check.h.
 *
 * Each case is built anew in a compilation of its own, from a seed that its op and number give. Its
 * loss is the sum of the result times random weights, so that an error in any element of a
 * derivative shows; its second derivative is taken of the sum of the first ones times random
 * weights again. */
#include "passes/op_check.h"

#include "ir/cases.h"
#include "ir/interp.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/gradcheck.h"
#include "passes/pass.h"

#include <math.h>
#include <string.h>

enum { CASE_BATCH = 4, SMALL_BATCH = 3, DIRECTIONS = 8, MAX_DRAWS = 4, MAX_CASES = 200 };
#define GRADIENT_TOLERANCE 1e-6
#define EXPAND_TOLERANCE 1e-12

typedef struct {
    Compiler *cx;
    Unit *u;
    Graph *g;
    CaseRng rng;
    NodeId result;
} Case;

static uint64_t case_seed(Op op, uint32_t i)
{
    return (uint64_t)op * 1000003u + i;
}

/* False past the op's last case. */
static bool case_open(Op op, uint32_t i, Case *c)
{
    const OpDef *def = op_defs[op];
    if (!def->cases || i >= MAX_CASES)
        return false;
    c->cx = compiler_new();
    c->u = unit_new(c->cx, "case");
    c->g = graph_new(c->u, "case", CASE_BATCH);
    c->rng = case_rng(c->cx->arena, case_seed(op, i));
    c->result = def->cases(c->g, &c->rng, i);
    if (c->result != NODE_NONE || c->cx->diags.n)
        return true;
    compiler_free(c->cx);
    return false;
}

uint32_t op_case_count(Op op)
{
    Case c;
    uint32_t n = 0;
    for (; case_open(op, n, &c); n++)
        compiler_free(c.cx);
    return n;
}

static void case_enter(Case *c)
{
    vec_push(c->u->arena, &c->u->entries,
             (Entry){ .kind = ENTRY_EXPORT, .name = "case", .graph = c->g });
}

static InterpArgs case_args(Case *c, const Graph *g, int64_t batch, uint64_t seed)
{
    InterpArgs args = { .batch = batch, .seed = seed, .key = 7 };
    CaseRng r = c->rng;
    r.state += seed * 0x632be59bd9b4e019u;
    Value *inputs = arena_new_array(c->u->arena, Value, g->inputs.n);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        inputs[i] = case_value(c->u->arena, &r, g, i, batch);
    args.inputs = inputs;
    for (int f = 0; f < CLOCK_SEED; f++)
        args.clock[f] = 1 + 0.5 * f;
    return args;
}

static const char *first_message(const Case *c)
{
    return c->cx->diags.n ? c->cx->diags.at[0].message : "no message";
}

/* ---- text ---- */

static const char *check_text(Case *c)
{
    Arena *a = c->u->arena;
    const char *bad = unit_verify(a, c->u);
    if (bad)
        return bad;
    const char *text = unit_text(a, c->u, TEXT_EXACT);
    Compiler *other = compiler_new();
    Unit *back = unit_read(other, "case.ir", text, strlen(text));
    if (!back)
        bad = arena_printf(a, "its text does not read: %s\n%s",
                           other->diags.n ? other->diags.at[0].message : "?", text);
    else if (strcmp(text, unit_text(a, back, TEXT_EXACT)))
        bad = arena_printf(a, "its text changes when read:\n%s", text);
    compiler_free(other);
    return bad;
}

/* ---- forward and expand ---- */

static bool near_value(const Value *a, const Value *b, double tolerance)
{
    if (a->dtype != b->dtype || a->count != b->count)
        return false;
    for (int64_t i = 0; i < a->count; i++) {
        if (!dtype_is_float(a->dtype)) {
            if (a->i[i] != b->i[i])
                return false;
            continue;
        }
        double x = a->f[i], y = b->f[i];
        if (!(fabs(x - y) <= tolerance * fmax(1, fabs(x))) && x != y && !(isnan(x) && isnan(y)))
            return false;
    }
    return true;
}

static const char *run_at(Case *c, int64_t batch, Value *out)
{
    InterpArgs args = case_args(c, c->u->entries.at[0].graph, batch, 1);
    return interp_run(c->u->arena, c->u->entries.at[0].graph, &args, out);
}

static const char *check_forward(Case *c)
{
    Value out = { 0 };
    const char *bad = run_at(c, SMALL_BATCH, &out);
    return bad ? bad : run_at(c, CASE_BATCH, &out);
}

/* Breaks the case's graph: it is expanded and simplified afterwards. */
static const char *check_expand(Case *c, bool *out_expanded)
{
    for (int64_t batch = SMALL_BATCH; batch <= CASE_BATCH; batch++) {
        Value by_ref = { 0 }, by_expand = { 0 }, simple = { 0 };
        Graph *before = c->u->entries.at[0].graph;
        const char *bad = run_at(c, batch, &by_ref);
        if (bad || !pass_expand(c->u))
            return bad ? bad : first_message(c);
        *out_expanded |= c->u->entries.at[0].graph != before;
        if ((bad = unit_verify(c->u->arena, c->u)) || (bad = run_at(c, batch, &by_expand)))
            return bad;
        if (!near_value(&by_ref, &by_expand, EXPAND_TOLERANCE))
            return "the expansion differs from the reference";
        if (!pass_simplify(c->u))
            return first_message(c);
        if ((bad = unit_verify(c->u->arena, c->u)) || (bad = run_at(c, batch, &simple)))
            return bad;
        if (!near_value(&by_expand, &simple, 0))
            return "simplify changes the value";
        c->u->entries.at[0].graph = c->g;
    }
    return NULL;
}

/* ---- derivatives ---- */

/* sum(x * weights), the weights being a new input. */
static NodeId weighted_sum(Case *c, NodeId x)
{
    Input in = { .name = "weights", .dtype = graph_dtype(c->g, x), .shape = *graph_shape(c->g, x) };
    return b_sum_all(c->g, b_mul(c->g, x, graph_input(c->g, in)));
}

static NodeId input_node(Graph *g, uint32_t index)
{
    AttrValue v = attr_i(index);
    return graph_emit(g, OP_input, NULL, 0, &v, 1);
}

typedef struct {
    GradPoint *points;
    uint32_t n;
    int64_t elements;
} Points;

/* The float inputs that the case itself declared. */
static Points case_points(Case *c)
{
    Points p = { arena_new_array(c->u->arena, GradPoint, c->g->inputs.n), 0, 0 };
    for (uint32_t i = 0; i < c->g->inputs.n; i++)
        if (dtype_is_float(c->g->inputs.at[i].dtype)) {
            int64_t n = 0;
            shape_elements(&c->g->inputs.at[i].shape, &n);
            p.elements += n;
            p.points[p.n++] = (GradPoint){ false, i };
        }
    return p;
}

static NodeId *emit_grads(Case *c, NodeId y, const Points *p)
{
    NodeId *dx = arena_new_array(c->u->arena, NodeId, p->n);
    for (uint32_t i = 0; i < p->n; i++)
        dx[i] = graph_emit(c->g, OP_grad, (NodeId[]){ y, input_node(c->g, p->points[i].index) }, 2,
                           NULL, 0);
    return dx;
}

/* Outputs: a scalar that depends on every element, and its derivatives. */
static void emit_problem(Case *c, const Points *p, bool second)
{
    Graph *g = c->g;
    NodeId y = c->result;
    if (!dtype_is_float(graph_dtype(g, y)))
        y = b_cast(g, y, DT_F64);
    y = weighted_sum(c, y);
    NodeId *dx = emit_grads(c, y, p);
    if (second) {
        y = NODE_NONE;
        for (uint32_t i = 0; i < p->n; i++) {
            NodeId part = b_cast(g, weighted_sum(c, dx[i]), DT_F64);
            y = y == NODE_NONE ? part : b_add(g, y, part);
        }
        dx = emit_grads(c, y, p);
    }
    graph_output(g, "y", y, -1);
    for (uint32_t i = 0; i < p->n; i++)
        graph_output(g, "dx", dx[i], -1);
}

/* A cast to a narrower float in the value itself is a staircase to a difference quotient; in the
 * derivatives alone it costs a rounding, which the tolerance has room for down to f32; to second
 * derivatives, which are derivatives of derivatives, every cast is one way or the other. Values of
 * 16 bits are coarser than the tolerance: constants are rounded, and distinct ones become equal.
 * Such cases are checked as they are in f64. */
static bool rounds(const Graph *g, bool second)
{
    Arena *a = arena_new();
    Graph value = *g;
    value.outputs.n = 1;
    const uint8_t *live = graph_live(a, &value);
    bool found = false;
    for (NodeId id = 0; id < g->nodes.n && !found; id++) {
        if (!live[id] || !dtype_is_float(graph_dtype(g, id)))
            continue;
        size_t to = dtype_size(graph_dtype(g, id));
        bool casts = graph_node(g, id)->op == OP_cast;
        found = to < 4 ||
                (casts && (second || to < dtype_size(graph_dtype(g, graph_operand(g, id, 0)))));
    }
    arena_free(a);
    return found;
}

static bool lacks_derivative(const Compiler *cx)
{
    return cx->diags.n && cx->diags.at[0].code == DIAG_E0503;
}

/* Several draws of the inputs, since one may fall on a kink. */
static CheckState compare_draws(Case *c, Graph *g, const Points *p, double *out_error,
                                const char **out_failure)
{
    Arena *a = c->u->arena;
    Gradcheck result = { 0 };
    for (uint64_t draw = 0; draw < MAX_DRAWS; draw++) {
        InterpArgs args = case_args(c, g, draw % 2 ? CASE_BATCH : SMALL_BATCH, draw);
        const char *bad = gradcheck(a, g, &args, p->points, p->n, DIRECTIONS, draw + 1, &result);
        if (bad) {
            *out_failure = bad;
            return CHECK_FAILED;
        }
        if (result.error > GRADIENT_TOLERANCE) {
            *out_error = result.error;
            *out_failure = arena_printf(a, "derivative %.9g, difference quotient %.9g, error %.3g",
                                        result.derivative, result.quotient, result.error);
            return CHECK_FAILED;
        }
        if (result.directions > result.kinks) {
            *out_error = result.error;
            return result.gradient == 0 ? CHECK_ZERO : CHECK_OK;
        }
    }
    if (!dtype_is_float(graph_dtype(c->g, c->result)) && result.gradient == 0)
        return CHECK_ZERO; /* integers are a staircase: a step may be within reach anywhere */
    *out_failure = "no difference quotient converges";
    return CHECK_FAILED;
}

static void use_rule(Grad *q, void *state)
{
    (void)state;
    op_defs[graph_node(q->g, q->node)->op]->grad(q);
}

/* Integers from an operation that says nothing of derivatives: not even that they are constant
 * where they do not jump. */
static bool says_nothing(const Case *c, Op op)
{
    const OpDef *d = op_defs[op];
    return !d->grad && !d->zero_grad && !d->expand && c->result != NODE_NONE &&
           !dtype_is_float(graph_dtype(c->g, c->result));
}

static CheckState check_derivative(Arena *a, Op op, uint32_t i, bool second, GradApply *apply,
                                   void *state, double *out_error, const char **out_failure)
{
    Case c;
    CheckState s = CHECK_NONE;
    const char *failure = NULL;
    if (!case_open(op, i, &c))
        return CHECK_NONE;
    Points p = c.result == NODE_NONE ? (Points){ 0 } : case_points(&c);
    if (p.elements && !says_nothing(&c, op)) {
        emit_problem(&c, &p, second);
        case_enter(&c);
        bool ok = (!rounds(c.g, second) || pass_widen(c.u)) &&
                  autodiff_with(c.u, apply ? apply : use_rule, state);
        Graph *g = c.u->entries.at[0].graph;
        if (!ok && !lacks_derivative(c.cx))
            s = CHECK_FAILED, failure = first_message(&c);
        else if (ok && (failure = unit_verify(a, c.u)))
            s = CHECK_FAILED;
        else if (ok)
            s = compare_draws(&c, g, &p, out_error, &failure);
    }
    if (s == CHECK_FAILED)
        *out_failure = arena_strndup(a, failure, strlen(failure));
    compiler_free(c.cx);
    return s;
}

CheckState op_check_gradient(Arena *a, Op op, uint32_t i, GradApply *apply, void *state,
                             double *out_error, const char **out_failure)
{
    return check_derivative(a, op, i, false, apply, state, out_error, out_failure);
}

const Value *op_case_derivatives(Arena *a, Op op, uint32_t i, GradApply *apply, void *state,
                                 uint32_t *out_n)
{
    Case c;
    Value *out = NULL;
    if (!case_open(op, i, &c))
        return NULL;
    Points p = c.result == NODE_NONE ? (Points){ 0 } : case_points(&c);
    if (p.elements) {
        emit_problem(&c, &p, false);
        case_enter(&c);
        if (autodiff_with(c.u, apply ? apply : use_rule, state)) {
            Graph *g = c.u->entries.at[0].graph;
            InterpArgs args = case_args(&c, g, SMALL_BATCH, 1);
            out = arena_new_array(a, Value, g->outputs.n);
            out = interp_run(a, g, &args, out) ? NULL : out + 1;
            *out_n = p.n;
        }
    }
    compiler_free(c.cx);
    return out;
}

/* ---- one op, all ops ---- */

static void worst(CheckState *state, CheckState s)
{
    *state = s > *state ? s : *state;
}

static void note_failure(Arena *a, OpCheck *k, uint32_t i, const char *what, const char *bad)
{
    if (!k->failure)
        k->failure = arena_printf(a, "case %u, %s: %s", i, what, bad);
}

static void check_values(Arena *a, Op op, uint32_t i, OpCheck *k)
{
    Case c;
    bool expanded = false;
    if (!case_open(op, i, &c))
        return;
    if (c.result == NODE_NONE) {
        worst(&k->text, CHECK_FAILED);
        note_failure(a, k, i, "types", first_message(&c));
        compiler_free(c.cx);
        return;
    }
    graph_output(c.g, "y", c.result, -1);
    case_enter(&c);
    const char *text = check_text(&c), *forward = check_forward(&c),
               *expand = forward ? NULL : check_expand(&c, &expanded);
    worst(&k->text, text ? CHECK_FAILED : CHECK_OK);
    worst(&k->forward, forward ? CHECK_FAILED : CHECK_OK);
    worst(&k->expand, expand ? CHECK_FAILED : expanded ? CHECK_OK : CHECK_NONE);
    if (text)
        note_failure(a, k, i, "text", text);
    if (forward)
        note_failure(a, k, i, "reference", forward);
    if (expand)
        note_failure(a, k, i, "expand", expand);
    compiler_free(c.cx);
}

static void check_case(Arena *a, Op op, uint32_t i, OpCheck *k)
{
    check_values(a, op, i, k);
    for (int second = 0; second < 2; second++) {
        const char *failure = NULL;
        double error = 0;
        CheckState s = check_derivative(a, op, i, second, NULL, NULL, &error, &failure);
        worst(second ? &k->second : &k->gradient, s);
        double *max = second ? &k->second_error : &k->gradient_error;
        *max = fmax(*max, error);
        if (s == CHECK_FAILED)
            note_failure(a, k, i, second ? "second derivative" : "derivative", failure);
    }
}

OpCheck op_check(Arena *a, Op op)
{
    OpCheck k = { .cases = op_case_count(op) };
    for (uint32_t i = 0; i < k.cases; i++)
        check_case(a, op, i, &k);
    if (op_defs[op]->grad && k.cases && k.gradient < CHECK_OK) {
        k.gradient = CHECK_FAILED;
        note_failure(a, &k, 0, "derivative", "no case tries the rule");
    }
    return k;
}

static const char *state_text(CheckState s)
{
    switch (s) {
    case CHECK_NONE: return "-";
    case CHECK_ZERO: return "zero";
    case CHECK_OK: return "ok";
    case CHECK_FAILED: return "FAILED";
    }
    return "?";
}

uint32_t ops_matrix(FILE *f)
{
    uint32_t failed = 0;
    fprintf(f, "%-18s %5s  %-7s %-7s %-7s %-8s %-8s %10s %10s\n", "op", "cases", "text", "forward",
            "expand", "gradient", "second", "error", "error 2");
    for (int op = 0; op < OP_COUNT; op++) {
        Arena *a = arena_new();
        OpCheck k = op_check(a, (Op)op);
        fprintf(f, "%-18s %5u  %-7s %-7s %-7s %-8s %-8s %10.1e %10.1e\n", op_defs[op]->name,
                k.cases, state_text(k.text), state_text(k.forward), state_text(k.expand),
                state_text(k.gradient), state_text(k.second), k.gradient_error, k.second_error);
        if (k.failure) {
            fprintf(f, "    %s\n", k.failure);
            failed++;
        }
        arena_free(a);
    }
    return failed;
}
