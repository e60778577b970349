/* Cases of every op as ONNX files and back: the file is imported, and both graphs give the same
 * values in the reference interpreter. What ONNX cannot say is listed here, so that the list does
 * not grow unseen.
 *
 * With DLCC_CASES=FOLDER all cases are taken, and the files stay there, with inputs and expected
 * values as .npy, for other runtimes (tests/campaign/onnx_export.sh). DLCC_OP=NAME: all of one op.
 */
#include "frontend/frontend.h"
#include "frontend/onnx/export.h"
#include "ir/cases.h"
#include "ir/interp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BATCH_MAX = 6, BATCH = 3 };

/* Cases that ONNX has no form for, by op: all of it, or some of its cases. */
static const struct {
    Op op;
    bool all;
} unsaid[] = {
    { OP_random_bits, true }, { OP_qr_q, true },     { OP_qr_r, true },
    { OP_and, false },        { OP_or, false },      { OP_xor, false },
    { OP_bitcast, false },    { OP_scatter, false }, { OP_suppress, true },
};

typedef struct {
    Compiler *cx;
    Graph *g;
    NodeId result;
    CaseRng rng;
    Op op;
    uint32_t number;
    char path[300];
} Case;

static bool make_case(Case *c, Op op, uint32_t number)
{
    const char *folder = getenv("DLCC_CASES");
    *c = (Case){ .cx = compiler_new(), .op = op, .number = number };
    snprintf(c->path, sizeof c->path, "%s/%s_%u.onnx", folder ? folder : "/tmp", op_defs[op]->name,
             number);
    if (!folder)
        snprintf(c->path, sizeof c->path, "/tmp/dlcc-case-%ld.onnx", (long)getpid());
    Unit *u = unit_new(c->cx, "Case");
    c->g = graph_new(u, "y", BATCH_MAX);
    c->rng = case_rng(c->cx->arena, number);
    c->result = op_defs[op]->cases(c->g, &c->rng, number);
    if (c->result == NODE_NONE)
        return false;
    graph_output(c->g, "y", c->result, -1);
    vec_push(c->cx->arena, &u->entries,
             (Entry){ .kind = ENTRY_EXPORT, .name = "y", .graph = c->g });
    return true;
}

/* The batch is an extent of the inputs, or no one can know it. */
static bool knows_batch(const Graph *g)
{
    bool input = false, any = false;
    const uint8_t *live = graph_live(g->unit->arena, g);
    for (NodeId id = 0; id < g->nodes.n; id++)
        for (uint32_t a = 0; live[id] && a < graph_shape(g, id)->rank; a++) {
            any |= graph_shape(g, id)->dim[a].k != 0;
            input |= graph_node(g, id)->op == OP_input && graph_shape(g, id)->dim[a].k;
        }
    return input || !any;
}

static bool may_be_unsaid(const Case *c)
{
    for (size_t i = 0; i < sizeof unsaid / sizeof *unsaid; i++)
        if (unsaid[i].op == c->op)
            return true;
    return !knows_batch(c->g);
}

/* ---- .npy, for other runtimes ---- */

static void write_npy(const char *path, const Value *v)
{
    static const char *const kinds[DT_COUNT] = { "<f8", "<f4", "<f2", "<u2", "<i8", "<i4", "<i2",
                                                 "|i1", "<u8", "<u4", "<u2", "|u1", "|b1" };
    char header[120] = "", dims[80] = "";
    size_t bytes = (size_t)v->count * dtype_size(v->dtype);
    uint8_t *raw = calloc(bytes + 1, 1), start[10] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118 };
    for (uint32_t i = 0; i < v->rank; i++)
        snprintf(dims + strlen(dims), sizeof dims - strlen(dims), "%lld,", (long long)v->dim[i]);
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%s)}",
             kinds[v->dtype], dims);
    value_to_bytes(v, raw);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(start, 1, sizeof start, f);
    fprintf(f, "%-117s\n", header);
    fwrite(raw, 1, bytes, f);
    assert_int_equal(fclose(f), 0);
    free(raw);
}

static void keep_values(const Case *c, const Value *inputs, const Value *result)
{
    char path[400];
    int stem = (int)strlen(c->path) - 5;
    for (uint32_t i = 0; i < c->g->inputs.n; i++) {
        snprintf(path, sizeof path, "%.*s.%s.npy", stem, c->path, c->g->inputs.at[i].name);
        write_npy(path, &inputs[i]);
    }
    snprintf(path, sizeof path, "%.*s.out.npy", stem, c->path);
    write_npy(path, result);
}

/* ---- Back ---- */

/* An importer may have to take the batch for a number. */
static bool is_pinned(const Graph *g, const Graph *back)
{
    assert_int_equal(g->inputs.n, back->inputs.n);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        for (uint32_t a = 0; a < g->inputs.at[i].shape.rank; a++)
            if (g->inputs.at[i].shape.dim[a].k != back->inputs.at[i].shape.dim[a].k)
                return true;
    return false;
}

static bool has_extent(const Graph *g, int64_t k)
{
    for (uint32_t i = 0; i < g->inputs.n; i++)
        for (uint32_t a = 0; a < g->inputs.at[i].shape.rank; a++)
            if (g->inputs.at[i].shape.dim[a].k == k)
                return true;
    return false;
}

static Graph *imported(Case *c, Compiler *cx)
{
    FrontendSetting defines[8];
    FrontendOptions options = { .defines = defines };
    for (int64_t k = 1; k < 8; k++)
        if (has_extent(c->g, k))
            defines[options.n_defines++] =
                (FrontendSetting){ k == 1 ? "B" : arena_printf(cx->arena, "%lldB", (long long)k),
                                   arena_printf(cx->arena, "%lld", (long long)(k * BATCH_MAX)) };
    Unit *u = frontend_load(cx, c->path, &options);
    for (uint32_t i = 0; u && i < u->entries.n; i++)
        if (u->entries.at[i].kind == ENTRY_EXPORT)
            return u->entries.at[i].graph;
    if (op_defs[c->op]->random && diag_exit_code(cx) == 4)
        return NULL; /* drawn anew in each run: the reader need not take them */
    fail_msg("%s case %u is not read back: %s", op_defs[c->op]->name, c->number,
             cx->diags.n ? cx->diags.at[0].message : "no export");
    return NULL;
}

static double error_of(const Value *a, const Value *b, int64_t i)
{
    if (!dtype_is_float(a->dtype))
        return a->i[i] == b->i[i] ? 0 : INFINITY;
    double x = a->f[i], y = b->f[i];
    if (x == y || (isnan(x) && isnan(y)))
        return 0;
    return isnan(x) || isnan(y) ? INFINITY : fabs(x - y) / (fabs(y) + 1e-3);
}

static void compare(const Case *c, const Value *got, const Value *want)
{
    bool narrow = got->dtype == DT_F16 || got->dtype == DT_BF16, same = got->rank == want->rank;
    assert_int_equal(got->dtype, want->dtype);
    for (uint32_t i = 0; same && i < got->rank; i++)
        same = got->dim[i] == want->dim[i];
    if (!same)
        fail_msg("%s case %u: another shape", op_defs[c->op]->name, c->number);
    for (int64_t i = 0; i < got->count; i++)
        if (error_of(got, want, i) > (narrow ? 2e-2 : 1e-5))
            fail_msg("%s case %u: element %lld is %g, not %g", op_defs[c->op]->name, c->number,
                     (long long)i, dtype_is_float(got->dtype) ? got->f[i] : (double)got->i[i],
                     dtype_is_float(want->dtype) ? want->f[i] : (double)want->i[i]);
}

/* Large constants of a file are tensors, which come with their elements. */
static const Value *tensor_values(Arena *a, const Unit *u)
{
    Value *v = arena_new_array(a, Value, u->tensors.n + 1);
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        const Tensor *t = &u->tensors.at[i];
        assert_int_equal(t->dtype, t->data_dtype);
        v[i] = value_from_bytes(a, t->dtype, &t->shape, t->data);
    }
    return v;
}

static void check_values(Case *c)
{
    Compiler *cx = compiler_new();
    Graph *back = imported(c, cx);
    int64_t batch = back && is_pinned(c->g, back) ? BATCH_MAX : BATCH;
    Arena *a = c->cx->arena;
    Value *inputs = arena_new_array(a, Value, c->g->inputs.n + 1), want, got;
    for (uint32_t i = 0; i < c->g->inputs.n; i++)
        inputs[i] = case_value(a, &c->rng, c->g, i, batch);
    InterpArgs args = { .batch = batch, .inputs = inputs };
    const char *bad = interp_run(a, c->g, &args, &want);
    args.tensors = back ? tensor_values(a, back->unit) : NULL;
    if (!bad && back)
        bad = interp_run(a, back, &args, &got);
    if (bad)
        fail_msg("%s case %u: %s", op_defs[c->op]->name, c->number, bad);
    if (back && !op_defs[c->op]->random)
        compare(c, &got, &want);
    if (getenv("DLCC_CASES"))
        keep_values(c, inputs, &want);
    compiler_free(cx);
}

/* False: past the last case. */
static bool run_case(Op op, uint32_t number, uint32_t *said)
{
    Case c;
    bool more = make_case(&c, op, number);
    OnnxExport o = { .entry = "y", .path = c.path };
    if (more && onnx_export(c.g->unit, &o)) {
        ++*said;
        check_values(&c);
    } else if (more && (diag_exit_code(c.cx) != 4 || !may_be_unsaid(&c))) {
        fail_msg("%s case %u: %s", op_defs[op]->name, number, c.cx->diags.at[0].message);
    }
    if (!getenv("DLCC_CASES"))
        unlink(c.path);
    compiler_free(c.cx);
    return more;
}

static void test_there_and_back(void **state)
{
    (void)state;
    const char *only = getenv("DLCC_OP");
    bool all = only || getenv("DLCC_CASES");
    for (int op = 0; op < OP_COUNT; op++) {
        uint32_t said = 0, n = 0;
        if (!op_defs[op]->cases || (only && strcmp(only, op_defs[op]->name)))
            continue;
        while (run_case((Op)op, n, &said))
            n += all || n < 6 ? 1 : 3;
        bool none = false;
        for (size_t i = 0; i < sizeof unsaid / sizeof *unsaid; i++)
            none |= (int)unsaid[i].op == op && unsaid[i].all;
        if (none ? said : all && !said)
            fail_msg("%s: %u of %u cases can be said", op_defs[op]->name, said, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_there_and_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
