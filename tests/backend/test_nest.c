/* test_nest.c: loop nests against the interpreter of kernels: random kernels, and those whose shape
 * has trapped somebody. For each level of instructions that this machine has; units in one call and
 * in pieces must give the same bits. */
#include "ir/kernel_interp.h"
#include "tests/backend/nest_case.h"

#include "ir/value.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH_MAX = 5, RANDOM_KERNELS = 60, MAX_POINTS = 20000 };

static const char *const marches[] = { "x86-64", "x86-64-v3", "x86-64-v4" };
enum { MARCHES = sizeof marches / sizeof *marches };

typedef struct {
    Arena *arena;
    Kernel *k;
    int64_t elements[64]; /* by operand */
    uint64_t state;
} Gen;

static uint64_t draw(Gen *g)
{
    g->state += 0x9e3779b97f4a7c15;
    uint64_t x = g->state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static int64_t below(Gen *g, int64_t n)
{
    return (int64_t)(draw(g) >> 1) % n;
}

/* ---- Running ---- */

static void fill(Gen *g, Dtype t, void *bytes, int64_t n)
{
    Shape shape = { 1, { dim_of(n) } };
    Value v = value_new(g->arena, t, &shape, 0);
    for (int64_t i = 0; i < n; i++)
        if (dtype_is_float(t))
            v.f[i] = (double)below(g, 4001) / 2000 - 1;
        else
            v.i[i] = t == DT_I64 ? below(g, 23) - 1
                                 : below(g, 200); /* i64: an index, sometimes out of range */
    value_to_bytes(&v, bytes);
}

static void same_values(const Kernel *k, uint32_t operand, const void *got, const void *want,
                        int64_t n, const char *march)
{
    Arena *a = arena_new();
    Shape shape = { 1, { dim_of(n) } };
    Dtype t = k->buffers.at[operand].dtype;
    Value x = value_from_bytes(a, t, &shape, got), y = value_from_bytes(a, t, &shape, want);
    double unit = t == DT_BF16 ? 0x1p-7 : t == DT_F16 ? 0x1p-10 : 1e-5;
    for (int64_t i = 0; i < n; i++) {
        bool ok = dtype_is_float(t)
                      ? x.f[i] == y.f[i] || fabs(x.f[i] - y.f[i]) <= unit * (1 + fabs(y.f[i])) ||
                            (isnan(x.f[i]) && isnan(y.f[i]))
                      : x.i[i] == y.i[i];
        if (ok)
            continue;
        print_error("%s\n", kernel_text(a, k));
        if (dtype_is_float(t))
            fail_msg("%s operand %u[%lld]: %a, want %a", march, operand, (long long)i, x.f[i],
                     y.f[i]);
        fail_msg("%s operand %u[%lld]: %lld, want %lld", march, operand, (long long)i,
                 (long long)x.i[i], (long long)y.i[i]);
    }
    arena_free(a);
}

typedef struct {
    void *bufs[64];
} Memory;

static Memory copy_memory(Gen *g, const Memory *from)
{
    Memory m;
    for (uint32_t i = 0; i < g->k->operands; i++) {
        size_t bytes = (size_t)g->elements[i] * dtype_size(g->k->buffers.at[i].dtype);
        m.bufs[i] = arena_alloc(g->arena, bytes);
        memcpy(m.bufs[i], from->bufs[i], bytes);
    }
    return m;
}

static void run_units(Gen *g, const NestCode *code, const Memory *m, int64_t batch, bool pieces)
{
    int64_t units = nest_units(&code->object.grid, batch), at = units;
    if (!pieces) {
        code->run(m->bufs, batch, 0, units);
        return;
    }
    while (at > 0) { /* from the end, in uneven pieces */
        int64_t n = 1 + below(g, units / 3 + 1);
        n = n < at ? n : at;
        code->run(m->bufs, batch, at - n, at);
        at -= n;
    }
}

static void check(Gen *g, int64_t batch)
{
    Memory first;
    for (uint32_t i = 0; i < g->k->operands; i++) {
        first.bufs[i] = arena_alloc(g->arena, (size_t)(g->elements[i] + 1) * 8);
        fill(g, g->k->buffers.at[i].dtype, first.bufs[i], g->elements[i]);
    }
    if (g->k->status >= 0)
        *(uint32_t *)first.bufs[g->k->status] = 0;
    Memory want = copy_memory(g, &first);
    const char *wrong = kernel_interp(g->k, want.bufs, g->elements, batch, NULL);
    if (wrong)
        fail_msg("%s\n%s", wrong, kernel_text(g->arena, g->k));
    for (int m = 0; m < MARCHES; m++) {
        Target t;
        NestCode code;
        assert_true(target_parse(marches[m], &t));
        if (!target_runs_here(&t))
            continue;
        if (!nest_compile(g->k, &t, &code))
            fail_msg("%s\n%s", code.error, kernel_text(g->arena, g->k));
        Memory got = copy_memory(g, &first), pieces = copy_memory(g, &first);
        run_units(g, &code, &got, batch, false);
        run_units(g, &code, &pieces, batch, true);
        for (uint32_t i = 0; i < g->k->operands; i++) {
            same_values(g->k, i, got.bufs[i], want.bufs[i], g->elements[i], marches[m]);
            if (memcmp(got.bufs[i], pieces.bufs[i],
                       (size_t)g->elements[i] * dtype_size(g->k->buffers.at[i].dtype)))
                fail_msg("%s: units in pieces differ\n%s", marches[m], kernel_text(g->arena, g->k));
        }
        nest_code_free(&code);
    }
}

/* ---- Random kernels ---- */

static Dim axis_dim(const Gen *g, uint32_t axis)
{
    return g->k->axes.at[axis].extent;
}

/* A dense layout over the axes of `set`, in random order. */
static Affine layout(Gen *g, uint32_t set, int64_t *out_elements)
{
    uint32_t order[KERNEL_MAX_AXES], n = 0;
    Affine f = { 0 };
    for (uint32_t a = 0; a < g->k->axes.n; a++)
        if (set >> a & 1)
            order[n++] = a;
    bool natural = below(g, 3);
    int64_t stride = 1;
    for (uint32_t i = n; i-- > 0;) {
        uint32_t j = natural ? i : (uint32_t)below(g, i + 1), a = order[j];
        order[j] = order[i];
        f.coef[a] = stride;
        stride *= axis_dim(g, a).n ? axis_dim(g, a).n : 1;
    }
    *out_elements = stride;
    return f;
}

static uint32_t axes_of(const Gen *g, const KernelStage *s, bool reduced)
{
    uint32_t set = (1u << g->k->grid) - 1;
    for (uint32_t i = 0; i < s->n_free; i++)
        set |= 1u << s->free_axes[i];
    for (uint32_t i = 0; i < s->n_reduced && reduced; i++)
        set |= 1u << s->reduced_axes[i];
    return set;
}

static uint32_t new_operand(Gen *g, Dtype t, int64_t elements, bool written)
{
    uint32_t b = nest_operand(g->arena, g->k, t, written);
    g->elements[b] = elements;
    return b;
}

static InstId to_f32(Gen *g, KernelStage *s, InstId v)
{
    return s->insts.at[v].dtype == DT_F32
               ? v
               : nest_scalar(g->arena, s, SC_CAST, DT_F32, v, INST_NONE, INST_NONE);
}

/* A load of some axes of the stage, sometimes guarded, sometimes through an index. */
static InstId random_load(Gen *g, KernelStage *s, bool reduced, bool plain)
{
    static const Dtype types[] = { DT_F32, DT_F32, DT_F32,  DT_U8, DT_BF16,
                                   DT_F16, DT_I32, DT_BOOL, DT_F64 };
    uint32_t all = axes_of(g, s, reduced), set = below(g, 2) ? all : all & (uint32_t)draw(g);
    int64_t elements;
    Affine f = layout(g, set, &elements);
    Dtype t = plain ? DT_F32 : types[below(g, 9)];
    int64_t rows = 1 + below(g, 21);
    bool indexed = !plain && !below(g, 5), guarded = !plain && set && !below(g, 4);
    InstId index = INST_NONE;
    if (indexed) {
        int64_t n;
        uint32_t which = set & (uint32_t)draw(g);
        Affine at = layout(g, which, &n);
        index = nest_load(g->arena, g->k, s, new_operand(g, DT_I64, n, false), at);
    }
    InstId v = nest_load(g->arena, g->k, s,
                         new_operand(g, t, indexed ? rows * elements : elements, false), f);
    KernelAccess *x = &s->accesses.at[s->accesses.n - 1];
    if (indexed) {
        x->index = index;
        x->index_stride = elements;
        x->index_extent = rows;
    }
    for (uint32_t a = 0; a < g->k->axes.n && guarded; a++)
        if (set >> a & 1 && below(g, 2)) { /* moved along the axis, as in a window */
            int64_t shift = below(g, 5) - 2;
            KernelGuard guard = { affine_axis(a), 0, axis_dim(g, a) };
            guard.e.c = shift;
            x->offset.c += shift * f.coef[a];
            vec_push(g->arena, &x->guards, guard);
        }
    return to_f32(g, s, v);
}

static InstId random_value(Gen *g, KernelStage *s, InstId *pool, int n)
{
    static const ScalarOp ops[] = { SC_ADD,  SC_SUB,     SC_MUL, SC_MAXIMUM, SC_MINIMUM,
                                    SC_TANH, SC_SIGMOID, SC_ERF, SC_SIN,
                                    SC_ERFC, SC_NORMAL_CDF };
    ScalarOp op = ops[below(g, 11)];
    InstId a = pool[below(g, n)], b = pool[below(g, n)];
    if (below(g, 6))
        return nest_scalar(g->arena, s, op, DT_F32, a, scalar_operands(op) > 1 ? b : INST_NONE,
                           INST_NONE);
    uint32_t set = axes_of(g, s, true);
    Affine f = affine_const(3);
    for (uint32_t i = 0; i < g->k->axes.n; i++)
        f.coef[i] = set >> i & 1 && below(g, 2);
    InstId i = nest_index(g->arena, s, f),
           c = nest_inst(g->arena, s, (KernelInst){ .kind = INST_CONST, .dtype = DT_I64, .i = 4 });
    InstId cond = nest_scalar(g->arena, s, SC_LT, DT_BOOL, i, c, INST_NONE);
    return nest_scalar(g->arena, s, SC_SELECT, DT_F32, cond, a, b);
}

static void random_axes(Gen *g, uint32_t *list, uint32_t n, bool *batch)
{
    static const int64_t extents[] = { 1, 2, 3, 4, 5, 7, 10, 16, 17, 20, 33, 64, 65, 130 };
    for (uint32_t i = 0; i < n; i++) {
        Dim d = dim_of(extents[below(g, 14)]);
        int64_t points = 1;
        for (uint32_t j = 0; j < g->k->axes.n; j++)
            points *= g->k->axes.at[j].extent.n;
        if (points * d.n > MAX_POINTS)
            d.n = 1 + below(g, 3);
        if (*batch && !below(g, 3)) {
            d.k = 1 + below(g, 4);
            d.n = d.k * BATCH_MAX;
            *batch = false;
        }
        list[i] = g->k->axes.n;
        vec_push(g->arena, &g->k->axes, (KernelAxis){ d });
    }
}

static void random_stage(Gen *g, KernelStage *s, uint32_t number, bool *batch, int64_t *scalars)
{
    InstId pool[32];
    int n = 0;
    random_axes(g, s->free_axes, s->n_free = (uint32_t)below(g, 3), batch);
    random_axes(g, s->reduced_axes, s->n_reduced = (uint32_t)below(g, 3) * (below(g, 3) > 0),
                batch);
    bool reduces = s->n_reduced;
    for (int64_t i = 1 + below(g, 3); i > 0; i--)
        pool[n++] = random_load(g, s, true, false);
    for (uint32_t i = 0; i < number; i++)
        if (scalars[i] >= 0) {
            Dtype t = g->k->stages.at[i].insts.at[scalars[i]].dtype;
            InstId v = nest_inst(
                g->arena, s,
                (KernelInst){
                    .kind = INST_UNIT_VALUE, .dtype = t, .access = i, .a = (InstId)scalars[i] });
            pool[n++] = to_f32(g, s, v);
        }
    for (int64_t i = below(g, 6); i > 0; i--, n++)
        pool[n] = random_value(g, s, pool, n);
    InstId plain = reduces ? random_load(g, s, true, true) : INST_NONE, index = INST_NONE;
    if (reduces)
        index = nest_index(g->arena, s, affine_axis(s->reduced_axes[s->n_reduced - 1]));
    s->body_insts = s->insts.n;
    if (reduces) {
        Combine c = (Combine)below(g, 6);
        bool arg = c >= COMBINE_ARGMAX;
        InstId v = arg || c == COMBINE_PROD ? plain : pool[n - 1];
        vec_push(g->arena, &s->accums, (KernelAccum){ c, v, arg ? index : INST_NONE, DT_F32 });
        vec_push(g->arena, &s->accums,
                 (KernelAccum){ COMBINE_SUM, pool[0], INST_NONE, below(g, 2) ? DT_F32 : DT_F64 });
        Dtype types[] = { DT_F32, arg ? DT_I64 : s->accums.at[1].dtype, s->accums.at[1].dtype };
        n = 0;
        for (int i = 0; i < (arg ? 3 : 2); i++)
            pool[n++] =
                to_f32(g, s,
                       nest_inst(g->arena, s,
                                 (KernelInst){ .kind = INST_ACC, .dtype = types[i], .i = i }));
        if (below(g, 2))
            pool[n++] = random_load(g, s, false, false);
        pool[n] = nest_scalar(g->arena, s, SC_ADD, DT_F32, pool[0], pool[n - 1], INST_NONE);
        n++;
    }
    int64_t elements;
    Affine f = layout(g, axes_of(g, s, false), &elements);
    Dtype out = below(g, 4) ? DT_F32 : below(g, 2) ? DT_BF16 : DT_F64;
    InstId v = pool[n - 1];
    if (out != DT_F32)
        v = nest_scalar(g->arena, s, SC_CAST, out, v, INST_NONE, INST_NONE);
    nest_store(g->arena, s, new_operand(g, out, elements, true), f, v,
               below(g, 4) ? STORE_SET : STORE_ADD, false);
    scalars[number] = s->n_free ? -1 : (int64_t)pool[n - 1];
}

static void random_kernel(Gen *g)
{
    uint32_t grid = (uint32_t)below(g, 4), list[KERNEL_MAX_AXES];
    int64_t scalars[4];
    bool batch = below(g, 2);
    g->k = nest_kernel(g->arena, NULL, 0, 0, 1, VECTOR_INNER);
    random_axes(g, list, grid, &batch);
    g->k->grid = grid;
    for (uint32_t i = 0; i < g->k->axes.n; i++)
        batch &= !g->k->axes.at[i].extent.k;
    g->k->block = 1 + below(g, 2) * below(g, 150);
    g->k->vector = below(g, 8) == 0      ? VECTOR_NONE
                   : grid && below(g, 2) ? (int32_t)grid - 1
                                         : VECTOR_INNER;
    int64_t stages = 1 + below(g, 3);
    for (uint32_t i = 0; i < stages; i++) {
        KernelStage s = { 0 };
        random_stage(g, &s, i, &batch, scalars);
        vec_push(g->arena, &g->k->stages, s);
    }
    if (below(g, 2)) {
        g->k->status = (int32_t)new_operand(g, DT_U32, 1, true);
    }
}

static void test_random(void **state)
{
    (void)state;
    for (int i = 0; i < RANDOM_KERNELS; i++) {
        Gen g = { .arena = arena_new(), .state = (uint64_t)i * 1000003 };
        random_kernel(&g);
        if (getenv("NEST_SHOW")) print_message("%d %s\n", i, kernel_text(g.arena, g.k));
        check(&g, i % 3 == 0 ? BATCH_MAX : 1 + i % BATCH_MAX);
        arena_free(g.arena);
    }
}

/* ---- Shapes by hand ---- */

static Gen hand_made(const Dim *extents, uint32_t n_axes, uint32_t grid, int64_t block,
                     int32_t vector)
{
    Gen g = { .arena = arena_new(), .state = 99 };
    g.k = nest_kernel(g.arena, extents, n_axes, grid, block, vector);
    return g;
}

static void finish(Gen *g, const KernelStage *stages, int n)
{
    for (int i = 0; i < n; i++)
        vec_push(g->arena, &g->k->stages, stages[i]);
    check(g, BATCH_MAX);
    arena_free(g->arena);
}

/* dx[index[t], c] += dy[t, c]: lanes are columns. */
static void test_indexed_add(void **state)
{
    (void)state;
    const Dim d[] = { dim_of(37), dim_of(50) };
    Gen g = hand_made(d, 2, 1, 20, 0);
    KernelStage s = { .reduced_axes = { 1 }, .n_reduced = 1 };
    Affine from = { .coef = { 1, 37 } };
    InstId index = nest_load(g.arena, g.k, &s, new_operand(&g, DT_I64, 50, false), affine_axis(1));
    InstId v = nest_load(g.arena, g.k, &s, new_operand(&g, DT_F32, 37 * 50, false), from);
    s.body_insts = s.insts.n;
    nest_store(g.arena, &s, new_operand(&g, DT_F32, 37 * 20, true), affine_axis(0), v, STORE_ADD,
               true);
    KernelAccess *x = &s.accesses.at[s.stores.at[0].access];
    x->index = index;
    x->index_stride = 37;
    x->index_extent = 20;
    finish(&g, &s, 1);
}

/* A histogram: all lanes may meet at one element; the counts are exact. */
static void test_histogram(void **state)
{
    (void)state;
    for (int vector = VECTOR_NONE; vector <= VECTOR_INNER; vector++) {
        const Dim d = dim_of(123);
        Gen g = hand_made(&d, 1, 0, 1, vector);
        KernelStage s = { .reduced_axes = { 0 }, .n_reduced = 1 };
        InstId index =
            nest_load(g.arena, g.k, &s, new_operand(&g, DT_I64, 123, false), affine_axis(0));
        InstId one =
            nest_inst(g.arena, &s, (KernelInst){ .kind = INST_CONST, .dtype = DT_I32, .i = 1 });
        s.body_insts = s.insts.n;
        nest_store(g.arena, &s, new_operand(&g, DT_I32, 20, true), affine_const(0), one, STORE_ADD,
                   true);
        KernelAccess *x = &s.accesses.at[s.stores.at[0].access];
        x->index = index;
        x->index_stride = 1;
        x->index_extent = 20;
        finish(&g, &s, 1);
    }
}

/* y = exp(x - max) / sum, by way of what earlier stages left: in scratch, or in the result itself.
 */
static void softmax_stages(int64_t columns, int32_t vector, bool scratch, Dim rows)
{
    const Dim d[] = { rows, dim_of(columns), dim_of(columns), dim_of(columns) };
    Gen g = hand_made(d, 4, 1, 3, vector);
    Arena *a = g.arena;
    KernelStage s[3] = { { .reduced_axes = { 1 }, .n_reduced = 1 },
                         { .reduced_axes = { 2 }, .n_reduced = 1 },
                         { .free_axes = { 3 }, .n_free = 1 } };
    uint32_t x = new_operand(&g, DT_F32, rows.n * columns, false),
             y = new_operand(&g, DT_F32, rows.n * columns, true);
    Affine at[3], tile[3];
    for (uint32_t i = 0; i < 3; i++) {
        at[i] = affine_axis(i + 1);
        at[i].coef[0] = columns;
        tile[i] = scratch ? affine_axis(i + 1) : at[i];
    }
    uint32_t keep = y;
    if (scratch) {
        vec_push(a, &g.k->buffers,
                 (KernelBuffer){ .dtype = DT_F32, .scratch = columns, .written = true });
        keep = g.k->buffers.n - 1;
    }
    InstId v = nest_load(a, g.k, &s[0], x, at[0]);
    s[0].body_insts = s[0].insts.n;
    vec_push(a, &s[0].accums, (KernelAccum){ COMBINE_MAX, v, INST_NONE, DT_F32 });
    InstId max = nest_inst(a, &s[0], (KernelInst){ .kind = INST_ACC, .dtype = DT_F32 });
    InstId m = nest_inst(
        a, &s[1], (KernelInst){ .kind = INST_UNIT_VALUE, .dtype = DT_F32, .access = 0, .a = max });
    v = nest_scalar(a, &s[1], SC_SUB, DT_F32, nest_load(a, g.k, &s[1], x, at[1]), m, INST_NONE);
    v = nest_scalar(a, &s[1], SC_EXP, DT_F32, v, INST_NONE, INST_NONE);
    s[1].body_insts = s[1].insts.n;
    nest_store(a, &s[1], keep, tile[1], v, STORE_SET, true);
    vec_push(a, &s[1].accums, (KernelAccum){ COMBINE_SUM, v, INST_NONE, DT_F32 });
    InstId sum = nest_inst(a, &s[1], (KernelInst){ .kind = INST_ACC, .dtype = DT_F32 });
    InstId total = nest_inst(
        a, &s[2], (KernelInst){ .kind = INST_UNIT_VALUE, .dtype = DT_F32, .access = 1, .a = sum });
    v = nest_scalar(a, &s[2], SC_DIV, DT_F32, nest_load(a, g.k, &s[2], keep, tile[2]), total,
                    INST_NONE);
    s[2].body_insts = s[2].insts.n;
    nest_store(a, &s[2], y, at[2], v, STORE_SET, false);
    finish(&g, s, 3);
}

static void test_softmax(void **state)
{
    (void)state;
    for (int scratch = 0; scratch < 2; scratch++) {
        softmax_stages(10, VECTOR_INNER, scratch, dim_of(7));
        softmax_stages(100, VECTOR_INNER, scratch, (Dim){ 2 * BATCH_MAX, 2 });
        softmax_stages(37, 0, scratch, dim_of(19));
        softmax_stages(3, VECTOR_NONE, scratch, dim_of(4));
    }
}

static void arg_extreme_of(Combine combine, const float *x, int64_t n, int64_t want, int32_t vector)
{
    Arena *a = arena_new();
    Dim d = dim_of(n);
    Kernel *k = nest_kernel(a, &d, 1, 0, 1, vector);
    KernelStage s = { .reduced_axes = { 0 }, .n_reduced = 1 };
    InstId v = nest_load(a, k, &s, nest_operand(a, k, DT_F32, false), affine_axis(0)),
           i = nest_index(a, &s, affine_axis(0));
    s.body_insts = s.insts.n;
    vec_push(a, &s.accums, (KernelAccum){ combine, v, i, DT_F32 });
    InstId at = nest_inst(a, &s, (KernelInst){ .kind = INST_ACC, .dtype = DT_I64, .i = 1 });
    nest_store(a, &s, nest_operand(a, k, DT_I64, true), affine_const(0), at, STORE_SET, false);
    vec_push(a, &k->stages, s);
    for (int m = 0; m < MARCHES; m++) {
        Target t;
        NestCode code;
        int64_t got = -1;
        assert_true(target_parse(marches[m], &t));
        if (!target_runs_here(&t))
            continue;
        assert_true(nest_compile(k, &t, &code));
        void *bufs[] = { (void *)(uintptr_t)x, &got };
        code.run(bufs, 1, 0, 1);
        assert_int_equal(got, want);
        nest_code_free(&code);
    }
    arena_free(a);
}

static void arg_extreme(Combine combine, const float *x, int64_t n, int64_t want)
{
    arg_extreme_of(combine, x, n, want, VECTOR_INNER); /* lanes joined by a tree */
    arg_extreme_of(combine, x, n, want, VECTOR_NONE);  /* in order */
}

/* Ties go to the lowest index, the first NaN wins, and infinities that equal the start are found.
 */
static void test_arg_edges(void **state)
{
    (void)state;
    float x[150];
    for (int i = 0; i < 150; i++)
        x[i] = -INFINITY;
    arg_extreme(COMBINE_ARGMAX, x, 150, 0);
    arg_extreme(COMBINE_ARGMAX, x + 1, 1, 0);
    x[70] = x[7] = x[134] = 5;
    arg_extreme(COMBINE_ARGMAX, x, 150, 7);
    arg_extreme(COMBINE_ARGMIN, x + 7, 1, 0);
    arg_extreme(COMBINE_ARGMIN, x + 7, 130, 1);
    x[99] = x[35] = NAN;
    arg_extreme(COMBINE_ARGMAX, x, 150, 35);
    arg_extreme(COMBINE_ARGMIN, x, 150, 35);
}

/* All four words, for scalars and vectors, exactly as the runtime makes them (the interpreter calls
 * it). */
static void test_random_words(void **state)
{
    (void)state;
    for (int vector = VECTOR_NONE; vector <= 0; vector++) {
        const Dim d = dim_of(101);
        Gen g = hand_made(&d, 1, 1, 50, vector);
        KernelStage s = { 0 };
        Affine element = { .c = 0xfffffff0, .coef = { 3 } };
        InstId i = nest_index(g.arena, &s, element);
        InstId step =
            nest_inst(g.arena, &s,
                      (KernelInst){ .kind = INST_CONST, .dtype = DT_U64, .i = 0x123456789abcdef });
        InstId key =
            nest_load(g.arena, g.k, &s, new_operand(&g, DT_U64, 1, false), affine_const(0));
        for (uint32_t w = 0; w < 4; w++) {
            KernelInst x = { .kind = INST_RANDOM,
                             .dtype = DT_U32,
                             .a = i,
                             .b = step,
                             .c = key,
                             .site = 0xdeadbeef,
                             .access = w };
            nest_store(g.arena, &s, new_operand(&g, DT_U32, 101, true), affine_axis(0),
                       nest_inst(g.arena, &s, x), STORE_SET, false);
        }
        s.body_insts = s.insts.n;
        finish(&g, &s, 1);
    }
}

/* Nothing to do is done: extents of 0 in the grid, among free and among reduced axes. */
static void test_empty(void **state)
{
    (void)state;
    for (int zero = 0; zero < 3; zero++) {
        Dim d[] = { dim_of(4), dim_of(20), dim_of(20) };
        d[zero] = dim_of(0);
        Gen g = hand_made(d, 3, 1, 2, VECTOR_INNER);
        KernelStage s = { .free_axes = { 1 }, .n_free = 1, .reduced_axes = { 2 }, .n_reduced = 1 };
        Affine from = { .coef = { 400, 20, 1 } }, to = { .coef = { 20, 1 } };
        InstId v = nest_load(g.arena, g.k, &s, new_operand(&g, DT_F32, 1600, false), from);
        s.body_insts = s.insts.n;
        vec_push(g.arena, &s.accums, (KernelAccum){ COMBINE_SUM, v, INST_NONE, DT_F32 });
        InstId sum = nest_inst(g.arena, &s, (KernelInst){ .kind = INST_ACC, .dtype = DT_F32 });
        nest_store(g.arena, &s, new_operand(&g, DT_F32, 80, true), to, sum, STORE_SET, false);
        finish(&g, &s, 1);
    }
}

/* An axis that the stage does not have is the kernel's mistake, and is said. */
static void test_malformed(void **state)
{
    (void)state;
    const Dim d[] = { dim_of(4), dim_of(5) };
    Gen g = hand_made(d, 2, 1, 1, VECTOR_INNER);
    KernelStage s = { 0 };
    Target t;
    NestCode code;
    InstId v = nest_load(g.arena, g.k, &s, new_operand(&g, DT_F32, 5, false), affine_axis(1));
    s.body_insts = s.insts.n;
    nest_store(g.arena, &s, new_operand(&g, DT_F32, 4, true), affine_axis(0), v, STORE_SET, false);
    vec_push(g.arena, &g.k->stages, s);
    assert_true(target_parse("x86-64-v3", &t));
    assert_false(nest_compile(g.k, &t, &code));
    assert_non_null(strstr(code.error, "axis"));
    arena_free(g.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),    cmocka_unit_test(test_indexed_add),
        cmocka_unit_test(test_histogram), cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_arg_edges), cmocka_unit_test(test_random_words),
        cmocka_unit_test(test_empty),     cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
