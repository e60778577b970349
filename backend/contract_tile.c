/* contract_tile.c: the micro-kernel: a tile of sums in registers over the current ranges of the
 * reduced axes.
 *
 * Addresses are one pointer an operand and a level of the loops, plus constants: they fold into the
 * instructions. Operands that do not vary along the lanes are loaded once a row and spread; each
 * loaded value is used for all sums that need it. */
#include "backend/contract.h"
#include "backend/inst.h"

#include <string.h>

enum { UNROLLED_SUMS = 32, BUSY_SUMS = 8 };

typedef struct {
    ContractEmit *m;
    int rows, nv;
    LLVMValueRef acc[CONTRACT_MAX_TILE];
    LLVMValueRef cache[2][CONTRACT_MAX_TILE]; /* values loaded in this step, by row * nv + vector of
                                                 the first user */
    LLVMValueRef lane_mask;                   /* dot form: lanes of this step; NULL: all */
} Tile;

int contract_rows(const ContractEmit *m)
{
    int64_t rows = 1;
    for (uint32_t i = 0; i < m->c->n_order; i++)
        if (m->c->dot || m->c->order[i] != m->c->v)
            rows *= m->size[m->c->order[i]];
    return (int)rows;
}

void contract_row(const ContractEmit *m, int r, int64_t out_index[KERNEL_MAX_AXES])
{
    int64_t left = r;
    memset(out_index, 0, KERNEL_MAX_AXES * sizeof *out_index);
    for (uint32_t i = m->c->n_order; i-- > 0;) {
        uint32_t a = m->c->order[i];
        if (!m->c->dot && a == m->c->v)
            continue;
        out_index[a] = left % m->size[a];
        left /= m->size[a];
    }
}

LLVMValueRef contract_widen(ContractEmit *m, Dtype from, LLVMValueRef v)
{
    Emit *e = m->e;
    v = inst_widen(e, from, v);
    return from != DT_F64 && m->c->acc == DT_F64
               ? LLVMBuildFPExt(e->b, v, emit_vector(e->f64, emit_lanes(v)), "")
               : v;
}

/* ---- Loads ---- */

/* Row r seen by operand o: r with the axes that o does not depend on at 0. */
static int operand_row(const ContractEmit *m, int o, int r)
{
    int64_t index[KERNEL_MAX_AXES], row = 0;
    contract_row(m, r, index);
    for (uint32_t i = 0; i < m->c->n_order; i++) {
        uint32_t a = m->c->order[i];
        if (m->c->dot || a != m->c->v)
            row = row * m->size[a] + (contract_depends(m->c->operand[o].x, a) ? index[a] : 0);
    }
    return (int)row;
}

static LLVMValueRef load_guarded(Tile *t, int o, const int64_t *index, int j, int64_t step)
{
    ContractEmit *m = t->m;
    Emit *e = m->e;
    const Contract *c = m->c;
    AccessPoint p = { .lane_axis = (int)c->v, .lanes = c->lanes, .base = e->buffer };
    memcpy(p.at, m->at, sizeof p.at);
    for (uint32_t i = 0; i < c->n_order; i++)
        if (index[c->order[i]])
            p.at[c->order[i]] = LLVMBuildAdd(e->b, p.at[c->order[i]],
                                             emit_i64(e, index[c->order[i]]), "");
    if (j)
        p.at[c->v] = LLVMBuildAdd(e->b, p.at[c->v], emit_i64(e, (int64_t)j * c->lanes), "");
    if (step) {
        uint32_t k = c->reduced[c->n_reduced - 1];
        p.at[k] = LLVMBuildAdd(e->b, p.at[k], emit_i64(e, step), "");
    }
    p.mask = c->dot ? t->lane_mask : j == t->nv - 1 ? m->mask : NULL;
    return access_load(e, c->operand[o].x, &p, NULL);
}

static LLVMValueRef load_direct(Tile *t, int o, LLVMValueRef at, const int64_t *index, int j,
                                int64_t step)
{
    ContractEmit *m = t->m;
    Emit *e = m->e;
    const Contract *c = m->c;
    const ContractOperand *x = &c->operand[o];
    uint32_t k = c->n_reduced ? c->reduced[c->n_reduced - 1] : 0;
    if (c->packed == o) {
        int64_t offset = step * (c->n_reduced ? c->panel_coef[k] : 0) + (int64_t)j * c->lanes;
        return emit_load(e, c->acc, emit_element(e, c->acc, at, emit_i64(e, offset)), c->lanes,
                         NULL);
    }
    int64_t offset = (c->n_reduced ? step * x->x->offset.coef[k] : 0) +
                     (int64_t)j * c->lanes * x->lane;
    for (uint32_t i = 0; i < c->n_order; i++)
        offset += index[c->order[i]] * x->x->offset.coef[c->order[i]];
    at = emit_element(e, x->dtype, at, emit_i64(e, offset));
    LLVMValueRef mask = c->dot ? t->lane_mask : j == t->nv - 1 ? m->mask : NULL;
    if (x->lane == 0)
        return emit_load(e, x->dtype, at, 1, NULL);
    if (x->lane == 1)
        return emit_load(e, x->dtype, at, c->lanes, mask);
    LLVMValueRef lanes = LLVMBuildMul(e->b, emit_iota(e, e->i64, c->lanes),
                                      emit_splat(e, emit_i64(e, x->lane), c->lanes), "");
    return emit_gather(e, x->dtype, at, lanes, mask);
}

/* Operand o for row r and vector j, `step` steps into the innermost axis from where `at` stands. */
static LLVMValueRef load_operand(Tile *t, int o, LLVMValueRef at, int r, int j, int64_t step)
{
    const Contract *c = t->m->c;
    const KernelAccess *x = c->operand[o].x;
    int row = operand_row(t->m, o, r), vector = c->dot || !contract_depends(x, c->v) ? 0 : j;
    LLVMValueRef *slot = &t->cache[o][row * t->nv + vector];
    if (!*slot) {
        int64_t index[KERNEL_MAX_AXES];
        contract_row(t->m, row, index);
        bool packed = c->packed == o;
        LLVMValueRef v = x->guards.n && !packed ? load_guarded(t, o, index, vector, step)
                                                : load_direct(t, o, at, index, vector, step);
        v = contract_widen(t->m, packed ? c->acc : c->operand[o].dtype, v);
        *slot = emit_lanes(v) == 1 ? emit_splat(t->m->e, v, c->lanes) : v;
    }
    return *slot;
}

/* What the next tile reads of operand o where this one reads at `at`. */
static void prefetch_next(Tile *t, int o, LLVMValueRef at, int64_t step)
{
    const Contract *c = t->m->c;
    const ContractOperand *x = &c->operand[o];
    if (!c->ahead[o])
        return;
    int64_t offset = c->ahead[o] +
                     (c->n_reduced ? step * x->x->offset.coef[c->reduced[c->n_reduced - 1]] : 0);
    for (int j = 0; j < t->nv; j++)
        emit_prefetch(
            t->m->e,
            emit_element(t->m->e, x->dtype, at, emit_i64(t->m->e, offset + (int64_t)j * c->lanes)),
            3);
}

static void emit_step(Tile *t, const LLVMValueRef at[2], int64_t step)
{
    memset(t->cache, 0, sizeof t->cache);
    prefetch_next(t, OPERAND_A, at[0], step);
    prefetch_next(t, OPERAND_B, at[1], step);
    for (int r = 0; r < t->rows; r++)
        for (int j = 0; j < t->nv; j++) {
            LLVMValueRef a = load_operand(t, OPERAND_A, at[0], r, j, step),
                         b = load_operand(t, OPERAND_B, at[1], r, j, step);
            LLVMValueRef *acc = &t->acc[r * t->nv + j];
            *acc = emit_fma(t->m->e, a, b, *acc);
        }
}

/* ---- Loops over the reduced axes ---- */

/* Operand o's pointer moved by `steps` along a reduced axis: in memory, or in the panel. */
static LLVMValueRef moved(Tile *t, int o, uint32_t axis, LLVMValueRef at, LLVMValueRef steps)
{
    Emit *e = t->m->e;
    const Contract *c = t->m->c;
    bool packed = c->packed == o;
    int64_t coef = packed ? c->panel_coef[axis] : c->operand[o].x->offset.coef[axis];
    return emit_element(e, packed ? c->acc : c->operand[o].dtype, at,
                        LLVMBuildMul(e->b, steps, emit_i64(e, coef), ""));
}

/* A loop over a reduced axis that carries all sums and both pointers: no multiplications inside,
 * and nothing left for a strength reduction to do. */
typedef struct {
    EmitLoop l;
    LLVMValueRef carried[CONTRACT_MAX_TILE + 2];
    int sums;
} SumLoop;

static void sum_loop_begin(Tile *t, SumLoop *s, uint32_t axis, LLVMValueRef from, LLVMValueRef to,
                           int64_t step, const LLVMValueRef at[2])
{
    Emit *e = t->m->e;
    s->sums = t->rows * t->nv;
    memcpy(s->carried, t->acc, (size_t)s->sums * sizeof *t->acc);
    for (int o = 0; o < 2; o++) {
        LLVMValueRef steps = t->m->c->packed == o ? LLVMBuildSub(e->b, from, t->m->lo[axis], "")
                                                  : from;
        s->carried[s->sums + o] = moved(t, o, axis, at[o], steps);
    }
    emit_loop_begin(e, &s->l, from, to, step, s->carried, s->sums + 2);
    memcpy(t->acc, s->carried, (size_t)s->sums * sizeof *t->acc);
    t->m->at[axis] = s->l.i;
}

static void sum_loop_end(Tile *t, SumLoop *s, uint32_t axis)
{
    Emit *e = t->m->e;
    memcpy(s->carried, t->acc, (size_t)s->sums * sizeof *t->acc);
    for (int o = 0; o < 2; o++)
        s->carried[s->sums + o] = moved(t, o, axis, s->carried[s->sums + o],
                                        emit_i64(e, s->l.step));
    emit_loop_end(e, &s->l);
    memcpy(t->acc, s->carried, (size_t)s->sums * sizeof *t->acc);
}

/* for (i = from; i < to; i += unroll) with `unroll` steps in the body */
static void emit_steps(Tile *t, uint32_t axis, LLVMValueRef from, LLVMValueRef to, int unroll,
                       const LLVMValueRef at[2])
{
    SumLoop s;
    sum_loop_begin(t, &s, axis, from, to, unroll, at);
    for (int i = 0; i < unroll; i++)
        emit_step(t, s.carried + s.sums, i);
    sum_loop_end(t, &s, axis);
}

static LLVMValueRef whole_steps(Emit *e, LLVMValueRef from, LLVMValueRef to, int64_t step)
{
    LLVMValueRef n = LLVMBuildSub(e->b, to, from, "");
    n = LLVMBuildMul(e->b, LLVMBuildUDiv(e->b, n, emit_i64(e, step), ""), emit_i64(e, step), "");
    return LLVMBuildAdd(e->b, from, n, "");
}

static bool is_constant(LLVMValueRef v)
{
    return LLVMIsAConstantInt(v) != NULL;
}

static void emit_innermost(Tile *t, uint32_t axis, const LLVMValueRef at[2])
{
    Emit *e = t->m->e;
    LLVMValueRef lo = t->m->lo[axis], hi = t->m->hi[axis];
    int sums = t->rows * t->nv, unroll = sums < BUSY_SUMS ? BUSY_SUMS / sums : 1;
    if (is_constant(lo) && is_constant(hi)) {
        int64_t n = LLVMConstIntGetSExtValue(hi) - LLVMConstIntGetSExtValue(lo);
        if (n * sums <= UNROLLED_SUMS)
            unroll = (int)n;
    }
    if (unroll <= 1) {
        emit_steps(t, axis, lo, hi, 1, at);
        return;
    }
    LLVMValueRef whole = whole_steps(e, lo, hi, unroll);
    bool some = !is_constant(lo) || !is_constant(whole) ||
                LLVMConstIntGetSExtValue(lo) < LLVMConstIntGetSExtValue(whole);
    if (some)
        emit_steps(t, axis, lo, whole, unroll, at);
    if (!is_constant(whole) || !is_constant(hi) ||
        LLVMConstIntGetSExtValue(whole) < LLVMConstIntGetSExtValue(hi))
        emit_steps(t, axis, whole, hi, 1, at);
}

static void emit_vector_steps(Tile *t, uint32_t axis, LLVMValueRef from, LLVMValueRef to,
                              LLVMValueRef mask, const LLVMValueRef at[2])
{
    SumLoop s;
    sum_loop_begin(t, &s, axis, from, to, t->m->c->lanes, at);
    t->lane_mask = mask;
    emit_step(t, s.carried + s.sums, 0);
    t->lane_mask = NULL;
    sum_loop_end(t, &s, axis);
}

/* Whole vectors along the reduced axis, then the rest under a mask: lanes off add 0 * 0. */
static void emit_dot(Tile *t, uint32_t axis, const LLVMValueRef at[2])
{
    Emit *e = t->m->e;
    int lanes = t->m->c->lanes;
    LLVMValueRef lo = t->m->lo[axis], hi = t->m->hi[axis], whole = whole_steps(e, lo, hi, lanes);
    bool constant = is_constant(whole) && is_constant(hi);
    if (!is_constant(whole) || LLVMConstIntGetSExtValue(whole) > 0)
        emit_vector_steps(t, axis, lo, whole, NULL, at);
    if (constant && LLVMConstIntGetSExtValue(whole) == LLVMConstIntGetSExtValue(hi))
        return;
    /* at most one trip; a loop, so that a run-time length may have none */
    emit_vector_steps(t, axis, whole, hi,
                      emit_tail_mask(e, LLVMBuildSub(e->b, hi, whole, ""), lanes), at);
}

static void emit_reduced(Tile *t, uint32_t level, const LLVMValueRef at[2])
{
    const Contract *c = t->m->c;
    if (level == c->n_reduced) {
        emit_step(t, at, 0);
        return;
    }
    uint32_t axis = c->reduced[level];
    if (t->m->fixed[axis]) { /* a panel begins at the fixed index */
        LLVMValueRef here[2];
        for (int o = 0; o < 2; o++)
            here[o] = c->packed == o ? at[o] : moved(t, o, axis, at[o], t->m->at[axis]);
        emit_reduced(t, level + 1, here);
    } else if (level + 1 == c->n_reduced && c->dot)
        emit_dot(t, axis, at);
    else if (level + 1 == c->n_reduced)
        emit_innermost(t, axis, at);
    else {
        SumLoop s;
        sum_loop_begin(t, &s, axis, t->m->lo[axis], t->m->hi[axis], 1, at);
        emit_reduced(t, level + 1, s.carried + s.sums);
        sum_loop_end(t, &s, axis);
    }
}

/* ---- Before and after ---- */

LLVMValueRef contract_sums_at(ContractEmit *m)
{
    Emit *e = m->e;
    LLVMValueRef offset = emit_i64(e, 0);
    for (uint32_t i = m->c->n_outside; i < m->c->n_order; i++) {
        uint32_t a = m->c->order[i];
        LLVMValueRef steps = LLVMBuildSub(e->b, m->at[a], m->lo[a], "");
        offset = LLVMBuildAdd(e->b, offset,
                              LLVMBuildMul(e->b, steps, emit_i64(e, m->c->sums_coef[a]), ""), "");
    }
    return emit_element(e, m->c->acc, m->sums, offset);
}

static LLVMValueRef sum_address(Tile *t, LLVMValueRef from, int r, int j)
{
    const Contract *c = t->m->c;
    int64_t index[KERNEL_MAX_AXES], offset = (int64_t)j * c->lanes;
    contract_row(t->m, r, index);
    for (uint32_t i = 0; i < c->n_order; i++)
        offset += index[c->order[i]] * c->sums_coef[c->order[i]];
    return emit_element(t->m->e, c->acc, from, emit_i64(t->m->e, offset));
}

/* Sum of the lanes: halves added to halves, always in this order. */
static LLVMValueRef fold_lanes(Emit *e, LLVMValueRef v)
{
    for (int width = emit_lanes(v) / 2; width >= 1; width /= 2) {
        LLVMValueRef low[64], high[64];
        for (int i = 0; i < width; i++) {
            low[i] = LLVMConstInt(e->i32, (unsigned)i, 0);
            high[i] = LLVMConstInt(e->i32, (unsigned)(i + width), 0);
        }
        LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(v));
        LLVMValueRef a = LLVMBuildShuffleVector(e->b, v, none,
                                                LLVMConstVector(low, (unsigned)width), "");
        LLVMValueRef b = LLVMBuildShuffleVector(e->b, v, none,
                                                LLVMConstVector(high, (unsigned)width), "");
        v = LLVMBuildFAdd(e->b, a, b, "");
    }
    return LLVMBuildExtractElement(e->b, v, LLVMConstNull(e->i32), "");
}

void contract_tile(ContractEmit *m)
{
    Emit *e = m->e;
    const Contract *c = m->c;
    Tile t = { .m = m, .rows = contract_rows(m), .nv = m->nv };
    LLVMValueRef sums = m->partial ? contract_sums_at(m) : NULL, at[2];
    for (int i = 0; i < t.rows * t.nv; i++)
        t.acc[i] = m->partial ? emit_load(e, c->acc, sum_address(&t, sums, i / t.nv, i % t.nv),
                                          c->lanes, NULL)
                              : emit_null(e, c->acc, c->lanes);
    for (int o = 0; o < 2; o++) {
        Affine origin = c->operand[o].x->offset;
        for (uint32_t i = 0; i < c->n_reduced; i++)
            origin.coef[c->reduced[i]] = 0;
        at[o] = c->packed == o
                    ? m->panel
                    : emit_element(e, c->operand[o].dtype, e->buffer[c->operand[o].x->buffer],
                                   emit_affine(e, &origin, m->at));
    }
    emit_reduced(&t, 0, at);
    if (m->partial) {
        for (int i = 0; i < t.rows * t.nv; i++)
            emit_store(e, c->acc, sum_address(&t, sums, i / t.nv, i % t.nv), t.acc[i], NULL);
        return;
    }
    for (int i = 0; c->dot && i < t.rows; i++)
        t.acc[i] = fold_lanes(e, t.acc[i]);
    contract_post(m, t.acc);
}
