/* kernel_interp.c: see kernel_interp.h. Slow on purpose: no level, no lane, no hoisting, nothing
 * shared with the code generator but the scalar semantics of ir/value.h. It judges generated
 * kernels, and looks into one that made a NaN. */
#include "ir/kernel_interp.h"

#include "ir/value.h"

#include <math.h>
#include <string.h>

typedef union {
    double f;
    int64_t i;
} Cell;

typedef struct {
    const Kernel *k;
    const int64_t *elements;
    Cell **cells;    /* by buffer: all elements */
    Cell **values;   /* by stage: its instructions' values */
    Cell *accs;
    double *worst; /* by accumulator: what was folded into it, NaN before infinities before 0 */
    int64_t at[KERNEL_MAX_AXES], batch;
    Arena *arena;
    KernelWatch *watch; /* or NULL */
    bool stopped;       /* by it */
    const char *error;
} Interp;

static int64_t extent_of(const Interp *p, Dim d)
{
    return d.k ? d.k * p->batch : d.n;
}

static int64_t affine_at(const Interp *p, const Affine *f)
{
    int64_t v = f->c;
    for (int a = 0; a < KERNEL_MAX_AXES; a++)
        v += f->coef[a] * p->at[a];
    return v;
}

static bool guards_hold(const Interp *p, const KernelAccess *x)
{
    for (uint32_t i = 0; i < x->guards.n; i++) {
        int64_t v = affine_at(p, &x->guards.at[i].e);
        if (v < x->guards.at[i].lo || v >= extent_of(p, x->guards.at[i].hi))
            return false;
    }
    return true;
}

/* The element of an access, or -1 when nothing is to be touched. */
static int64_t place_of(Interp *p, const KernelAccess *x, const Cell *values, bool load)
{
    if (!guards_hold(p, x))
        return -1;
    int64_t at = affine_at(p, &x->offset);
    if (x->index != INST_NONE) {
        int64_t index = values[x->index].i;
        if (index < 0 || index >= x->index_extent) {
            if (load && p->k->status >= 0)
                p->cells[p->k->status][0].i = 1;
            return -1;
        }
        at += index * x->index_stride;
    }
    const KernelBuffer *b = &p->k->buffers.at[x->buffer];
    if (at < 0 || at >= (b->scratch ? b->scratch : p->elements[x->buffer]))
        p->error = "an access is outside of its buffer";
    return p->error ? -1 : at;
}

static Cell read_cell(Interp *p, uint32_t buffer, int64_t at)
{
    return p->cells[buffer][at];
}

static void write_cell(Interp *p, uint32_t buffer, int64_t at, Cell c)
{
    Dtype t = p->k->buffers.at[buffer].dtype;
    p->cells[buffer][at] =
        dtype_is_float(t) ? (Cell){ .f = value_round(t, c.f) } : (Cell){ .i = value_wrap(t, c.i) };
}

static Cell apply(ScalarOp op, Dtype from, Dtype to, const Cell *in)
{
    Cell r = { .i = 0 };
    if (op == SC_CAST) {
        Cell x = in[0];
        Value a = { .dtype = from, .count = 1, .i = &x.i },
              b = { .dtype = to, .count = 1, .i = &r.i };
        value_cast(&a, 0, &b);
    } else if (dtype_is_float(from)) {
        double x[3] = { op == SC_SELECT ? (double)in[0].i : in[0].f, in[1].f, in[2].f },
               y = scalar_float(op, x);
        if (dtype_is_float(to))
            r.f = value_round(to, y);
        else
            r.i = y != 0;
    } else {
        int64_t x[3] = { in[0].i, in[1].i, in[2].i };
        r.i = scalar_int(op, from, x);
    }
    return r;
}

static Cell random_word(const KernelInst *x, const Cell *v)
{
    /* A loop's trip stands in the element's upper bits, where the kernel's builder has put it. */
    uint64_t seed = (uint64_t)v[x->c].i, key = (uint64_t)v[x->b].i, element = (uint64_t)v[x->a].i;
    return (Cell){ .i = value_random_word(seed, key, (uint32_t)x->site, element, x->access & 3) };
}

static Cell scalar_of(Interp *p, const KernelStage *s, const KernelInst *x, const Cell *v)
{
    const InstId ids[3] = { x->a, x->b, x->c };
    Cell in[3] = { { .i = 0 }, { .i = 0 }, { .i = 0 } };
    int n = scalar_operands(x->op);
    for (int i = 0; i < n; i++)
        in[i] = v[ids[i]];
    Cell out = apply(x->op, s->insts.at[x->op == SC_SELECT ? x->b : x->a].dtype, x->dtype, in);
    if (p->watch && dtype_is_float(x->dtype)) {
        double numbers[3];
        for (int i = 0; i < n; i++)
            numbers[i] = dtype_is_float(s->insts.at[ids[i]].dtype) ? in[i].f : (double)in[i].i;
        p->stopped |= p->watch->seen(p->watch->user, x, numbers, n, out.f);
    }
    return out;
}

static Cell acc_of(Interp *p, const KernelInst *x)
{
    Cell out = p->accs[x->i];
    if (p->watch && dtype_is_float(x->dtype))
        p->stopped |= p->watch->seen(p->watch->user, x, &p->worst[x->i], 1,
                                     value_round(x->dtype, out.f));
    return out;
}

static Cell run_inst(Interp *p, const KernelStage *s, const KernelInst *x, const Cell *v)
{
    Cell r = { .i = 0 };
    switch (x->kind) {
    case INST_LOAD: {
        int64_t at = place_of(p, &s->accesses.at[x->access], v, true);
        return at < 0 ? r : read_cell(p, s->accesses.at[x->access].buffer, at);
    }
    case INST_CONST:
        if (dtype_is_float(x->dtype))
            r.f = value_round(x->dtype, x->f);
        else
            r.i = value_wrap(x->dtype, x->i);
        return r;
    case INST_INDEX: return (Cell){ .i = affine_at(p, &x->affine) };
    case INST_GUARD: return (Cell){ .i = guards_hold(p, &s->accesses.at[x->access]) };
    case INST_BATCH: return (Cell){ .i = x->affine.c * p->batch };
    case INST_SCALAR: return scalar_of(p, s, x, v);
    case INST_ACC: return acc_of(p, x);
    case INST_UNIT_VALUE: return p->values[x->access][x->a];
    case INST_RANDOM: return random_word(x, v);
    }
    p->error = "an instruction is not known";
    return r;
}

static void run_stores(Interp *p, const KernelStage *s, const Cell *v, bool in_body)
{
    for (uint32_t i = 0; i < s->stores.n; i++) {
        const KernelStore *t = &s->stores.at[i];
        const KernelAccess *x = &s->accesses.at[t->access];
        if (t->in_body != in_body)
            continue;
        int64_t at = place_of(p, x, v, false);
        if (at < 0)
            continue;
        Dtype dtype = p->k->buffers.at[x->buffer].dtype;
        Cell in[3] = { { .i = 0 }, v[t->value], { .i = 0 } };
        if (t->kind == STORE_ADD)
            in[0] = read_cell(p, x->buffer, at);
        write_cell(p, x->buffer, at,
                   t->kind == STORE_ADD ? apply(SC_ADD, dtype, dtype, in) : in[1]);
    }
}

/* ---- Accumulators ---- */

static bool is_arg(const KernelAccum *a)
{
    return a->combine == COMBINE_ARGMAX || a->combine == COMBINE_ARGMIN;
}

static void note_folded(Interp *p, size_t acc, Dtype t, Cell v)
{
    if (dtype_is_float(t) && !isfinite(v.f) && !isnan(p->worst[acc]))
        p->worst[acc] = v.f;
}

static void start_accs(Interp *p, const KernelStage *s)
{
    Cell *acc = p->accs;
    memset(p->worst, 0, 2 * s->accums.n * sizeof *p->worst);
    for (uint32_t i = 0; i < s->accums.n; i++) {
        const KernelAccum *a = &s->accums.at[i];
        bool max = a->combine == COMBINE_MAX || a->combine == COMBINE_ARGMAX,
             f = dtype_is_float(a->dtype);
        int bits = (int)dtype_size(a->dtype) * 8;
        int64_t low = dtype_is_signed(a->dtype) ? INT64_MIN >> (64 - bits) : 0;
        int64_t high = dtype_is_signed(a->dtype) ? ~low : value_wrap(a->dtype, -1);
        *acc = (Cell){ .i = 0 };
        if (a->combine == COMBINE_PROD)
            *acc = f ? (Cell){ .f = 1 } : (Cell){ .i = 1 };
        else if (a->combine != COMBINE_SUM)
            *acc = f ? (Cell){ .f = max ? -INFINITY : INFINITY } : (Cell){ .i = max ? low : high };
        acc++;
        if (is_arg(a))
            *acc++ = (Cell){ .i = INT64_MAX };
    }
}

static bool arg_better(const KernelAccum *a, Cell v, Cell old)
{
    ScalarOp op = a->combine == COMBINE_ARGMAX ? SC_GT : SC_LT;
    if (!dtype_is_float(a->dtype))
        return scalar_int(op, a->dtype, (int64_t[]){ v.i, old.i });
    return isnan(v.f) ? !isnan(old.f) : scalar_compare_float(op, v.f, old.f);
}

static void fold_accs(Interp *p, const KernelStage *s, const Cell *v)
{
    static const ScalarOp ops[] = { [COMBINE_SUM] = SC_ADD,
                                    [COMBINE_PROD] = SC_MUL,
                                    [COMBINE_MAX] = SC_MAXIMUM,
                                    [COMBINE_MIN] = SC_MINIMUM };
    Cell *acc = p->accs;
    for (uint32_t i = 0; i < s->accums.n; i++) {
        const KernelAccum *a = &s->accums.at[i];
        Cell in[3] = { acc[0],
                       apply(SC_CAST, s->insts.at[a->value].dtype, a->dtype, &v[a->value]),
                       { .i = 0 } };
        note_folded(p, (size_t)(acc - p->accs), a->dtype, in[1]);
        if (is_arg(a)) {
            if (acc[1].i == INT64_MAX || arg_better(a, in[1], acc[0])) {
                acc[0] = in[1];
                acc[1] = v[a->index];
            }
            acc += 2;
        } else {
            Dtype t = dtype_is_float(a->dtype) ? DT_F64 : a->dtype;
            *acc = apply(ops[a->combine], t, t, in);
            acc++;
        }
    }
}

/* ---- Loops ---- */

typedef void Point(Interp *p, uint32_t stage);

static void walk(Interp *p, const uint32_t *axes, uint32_t n, Point *point, uint32_t stage)
{
    if (!n) {
        if (!p->error && !p->stopped)
            point(p, stage);
        return;
    }
    for (p->at[*axes] = 0; p->at[*axes] < extent_of(p, p->k->axes.at[*axes].extent) && !p->error &&
                           !p->stopped;
         p->at[*axes]++)
        walk(p, axes + 1, n - 1, point, stage);
    p->at[*axes] = 0;
}

static void body_point(Interp *p, uint32_t stage)
{
    const KernelStage *s = &p->k->stages.at[stage];
    Cell *v = p->values[stage];
    for (InstId i = 0; i < s->body_insts && !p->stopped; i++)
        v[i] = run_inst(p, s, &s->insts.at[i], v);
    run_stores(p, s, v, true);
    if (s->kind == STAGE_CONTRACT) {
        p->accs[0].f += v[s->a].f * v[s->b].f;
        note_folded(p, 0, DT_F64, v[s->a]);
        note_folded(p, 0, DT_F64, v[s->b]);
    } else {
        fold_accs(p, s, v);
    }
}

static void free_point(Interp *p, uint32_t stage)
{
    const KernelStage *s = &p->k->stages.at[stage];
    Cell *v = p->values[stage];
    if (s->kind == STAGE_CONTRACT)
        p->accs[0].f = p->worst[0] = 0;
    else
        start_accs(p, s);
    walk(p, s->reduced_axes, s->n_reduced, body_point, stage);
    for (InstId i = s->body_insts; i < s->insts.n && !p->stopped; i++)
        v[i] = run_inst(p, s, &s->insts.at[i], v);
    run_stores(p, s, v, false);
}

/* Whether a store of the stage, at some point of `axes` and the grid's, hits a wanted element. One
 * whose place is computed may. */
static bool stage_hits(Interp *p, const KernelStage *s, const uint32_t *axes, uint32_t n,
                       bool in_body)
{
    bool hits = false;
    if (n) {
        int64_t extent = extent_of(p, p->k->axes.at[*axes].extent);
        for (p->at[*axes] = 0; p->at[*axes] < extent && !hits; p->at[*axes]++)
            hits = stage_hits(p, s, axes + 1, n - 1, in_body);
        p->at[*axes] = 0;
        return hits;
    }
    for (uint32_t i = 0; i < s->stores.n && !hits; i++) {
        const KernelAccess *x = &s->accesses.at[s->stores.at[i].access];
        if (s->stores.at[i].in_body != in_body || p->k->buffers.at[x->buffer].scratch)
            continue;
        hits = x->index != INST_NONE ||
               (guards_hold(p, x) &&
                p->watch->wants(p->watch->user, x->buffer, affine_at(p, &x->offset)));
    }
    return hits;
}

static bool is_wanted(Interp *p)
{
    if (!p->watch || !p->watch->wants)
        return true;
    for (uint32_t i = 0; i < p->k->stages.n; i++) {
        const KernelStage *s = &p->k->stages.at[i];
        uint32_t axes[2 * KERNEL_MAX_AXES];
        memcpy(axes, s->free_axes, s->n_free * sizeof *axes);
        memcpy(axes + s->n_free, s->reduced_axes, s->n_reduced * sizeof *axes);
        if (stage_hits(p, s, axes, s->n_free, false) ||
            stage_hits(p, s, axes, s->n_free + s->n_reduced, true))
            return true;
    }
    return false;
}

static void grid_point(Interp *p, uint32_t stage)
{
    (void)stage;
    if (!is_wanted(p))
        return;
    if (p->watch)
        p->watch->ran = true;
    for (uint32_t i = 0; i < p->k->stages.n; i++)
        walk(p, p->k->stages.at[i].free_axes, p->k->stages.at[i].n_free, free_point, i);
}

const char *kernel_interp(const Kernel *k, void *const *bufs, const int64_t *elements,
                          int64_t batch, KernelWatch *watch)
{
    Interp p = {
        .k = k, .elements = elements, .batch = batch, .arena = arena_new(), .watch = watch
    };
    uint32_t grid[KERNEL_MAX_AXES], accs = 2;
    p.cells = arena_new_array(p.arena, Cell *, k->buffers.n + 1);
    for (uint32_t i = 0; i < k->buffers.n; i++) {
        const KernelBuffer *b = &k->buffers.at[i];
        Shape shape = { 1, { dim_of(b->scratch ? b->scratch : elements[i]) } };
        Value v = b->scratch ? value_new(p.arena, b->dtype, &shape, 0)
                             : value_from_bytes(p.arena, b->dtype, &shape, bufs[i]);
        p.cells[i] = (Cell *)v.i;
    }
    p.values = arena_new_array(p.arena, Cell *, k->stages.n + 1);
    for (uint32_t i = 0; i < k->stages.n; i++) {
        p.values[i] = arena_new_array(p.arena, Cell, k->stages.at[i].insts.n + 1);
        accs = k->stages.at[i].accums.n > accs ? k->stages.at[i].accums.n : accs;
    }
    p.accs = arena_new_array(p.arena, Cell, 2 * accs);
    p.worst = arena_new_array(p.arena, double, 2 * accs);
    for (uint32_t i = 0; i < k->grid; i++)
        grid[i] = i;
    walk(&p, grid, k->grid, grid_point, 0);
    for (uint32_t i = 0; i < k->operands; i++) {
        Value v = { .dtype = k->buffers.at[i].dtype,
                    .count = elements[i],
                    .i = (int64_t *)p.cells[i] };
        if (k->buffers.at[i].written)
            value_to_bytes(&v, bufs[i]);
    }
    arena_free(p.arena);
    return p.error;
}
