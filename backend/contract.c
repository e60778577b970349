/* contract.c: CONTRACT stages, C[m.., n..] = sum over k of A * B: units, the loops inside one, and
 * blocks of the reduction.
 *
 *   for units: for outside axes: for blocks of k: { pack the panel; for inside axes: tile }
 *
 * Where the reduction is cut into blocks, sums wait on the stack between two of them (a tile begins
 * from what it left, so that each sum stays one chain), and the epilogue runs once at the end.
 * Batch-reduce matrix products and convolutions differ only in the strides of their accesses. */
#include "backend/contract.h"

static void emit_level(ContractEmit *m, uint32_t level);

/* A loop over [from, to) of an axis in steps of a tile size, and what stands inside. */
static void emit_range(ContractEmit *m, uint32_t level, LLVMValueRef from, LLVMValueRef to,
                       int64_t size)
{
    uint32_t axis = m->c->order[level];
    EmitLoop l;
    emit_loop_begin(m->e, &l, from, to, size, NULL, 0);
    m->at[axis] = l.i;
    m->size[axis] = size;
    emit_level(m, level + 1);
    emit_loop_end(m->e, &l);
}

/* from + (to - from) rounded down to whole tiles */
static LLVMValueRef whole_tiles(Emit *e, LLVMValueRef from, LLVMValueRef to, int64_t size)
{
    LLVMValueRef n = LLVMBuildSub(e->b, to, from, "");
    n = LLVMBuildMul(e->b, LLVMBuildUDiv(e->b, n, emit_i64(e, size), ""), emit_i64(e, size), "");
    return LLVMBuildAdd(e->b, from, n, "");
}

static bool always_equal(LLVMValueRef a, LLVMValueRef b)
{
    return a == b || (LLVMIsAConstantInt(a) && LLVMIsAConstantInt(b) &&
                      LLVMConstIntGetSExtValue(a) == LLVMConstIntGetSExtValue(b));
}

static void emit_rows_level(ContractEmit *m, uint32_t level)
{
    Emit *e = m->e;
    uint32_t axis = m->c->order[level];
    int64_t tile = m->c->tile[axis];
    Dim d = m->c->kernel.axes.at[axis].extent;
    LLVMValueRef lo = m->lo[axis], hi = m->hi[axis];
    if (tile == 1 || (!d.k && d.n % tile == 0)) {
        emit_range(m, level, lo, hi, tile);
        return;
    }
    LLVMValueRef whole = whole_tiles(e, lo, hi, tile);
    if (!always_equal(lo, whole))
        emit_range(m, level, lo, whole, tile);
    if (always_equal(whole, hi))
        return;
    if (d.k) {
        emit_range(m, level, whole, hi, 1);
        return;
    }
    EmitIf f;
    bool certain = LLVMIsAConstantInt(whole) && LLVMIsAConstantInt(hi);
    if (!certain)
        emit_if_begin(e, &f, LLVMBuildICmp(e->b, LLVMIntSLT, whole, hi, ""));
    m->at[axis] = whole;
    m->size[axis] = d.n % tile;
    emit_level(m, level + 1);
    if (!certain)
        emit_if_end(e, &f);
}

/* Vectors from `from` on, `nv` at a time; the last has `mask`. */
static void emit_vectors(ContractEmit *m, uint32_t level, LLVMValueRef from, int nv,
                         LLVMValueRef mask)
{
    m->at[m->c->v] = from;
    m->nv = nv;
    m->mask = mask;
    emit_level(m, level + 1);
    m->mask = NULL;
}

static void emit_vector_level(ContractEmit *m, uint32_t level)
{
    Emit *e = m->e;
    const Contract *c = m->c;
    int64_t tile = c->tile[c->v], lanes = c->lanes;
    Dim d = c->kernel.axes.at[c->v].extent;
    LLVMValueRef lo = m->lo[c->v], hi = m->hi[c->v], whole = whole_tiles(e, lo, hi, tile);
    EmitLoop l;
    if (c->mask_always) { /* one copy of the code for all tiles */
        emit_loop_begin(e, &l, lo, hi, tile, NULL, 0);
        LLVMValueRef left = LLVMBuildSub(e->b, hi, l.i, "");
        left = LLVMBuildSub(e->b, left, emit_i64(e, tile - lanes), "");
        emit_vectors(m, level, l.i, c->nv, emit_tail_mask(e, left, (int)lanes));
        emit_loop_end(e, &l);
        return;
    }
    if (!always_equal(lo, whole)) {
        emit_loop_begin(e, &l, lo, whole, tile, NULL, 0);
        emit_vectors(m, level, l.i, c->nv, NULL);
        emit_loop_end(e, &l);
    }
    if (always_equal(whole, hi) || (!d.k && d.n % tile == 0))
        return;
    if (d.k) { /* a rest of unknown length: one masked vector at a time */
        emit_loop_begin(e, &l, whole, hi, lanes, NULL, 0);
        emit_vectors(m, level, l.i, 1,
                     emit_tail_mask(e, LLVMBuildSub(e->b, hi, l.i, ""), (int)lanes));
        emit_loop_end(e, &l);
        return;
    }
    int64_t rest = d.n % tile;
    EmitIf f;
    bool certain = LLVMIsAConstantInt(whole) && LLVMIsAConstantInt(hi);
    if (!certain)
        emit_if_begin(e, &f, LLVMBuildICmp(e->b, LLVMIntSLT, whole, hi, ""));
    LLVMValueRef mask = rest % lanes ? emit_tail_mask(e, emit_i64(e, rest % lanes), (int)lanes)
                                     : NULL;
    emit_vectors(m, level, whole, (int)((rest + lanes - 1) / lanes), mask);
    if (!certain)
        emit_if_end(e, &f);
}

/* ---- Blocks of the reduction ---- */

static void clear_sums(ContractEmit *m)
{
    Emit *e = m->e;
    EmitLoop l;
    emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, m->c->sums_elements), m->c->lanes, NULL, 0);
    emit_store(e, m->c->acc, emit_element(e, m->c->acc, m->sums, l.i),
               emit_null(e, m->c->acc, m->c->lanes), NULL);
    emit_loop_end(e, &l);
}

static void emit_inside(ContractEmit *m)
{
    if (m->c->packed != OPERAND_NONE)
        contract_pack(m);
    emit_level(m, m->c->n_outside);
}

static void emit_block(ContractEmit *m, uint32_t level)
{
    Emit *e = m->e;
    const Contract *c = m->c;
    uint32_t axis = c->reduced[level];
    LLVMValueRef n = emit_extent(e, c->kernel.axes.at[axis].extent);
    EmitLoop l;
    if (level < c->split) {
        emit_loop_begin(e, &l, emit_i64(e, 0), n, 1, NULL, 0);
        m->at[axis] = l.i;
        emit_block(m, level + 1);
    } else {
        emit_loop_begin(e, &l, emit_i64(e, 0), n, c->split_block, NULL, 0);
        m->lo[axis] = l.i;
        m->hi[axis] = emit_min(e, LLVMBuildAdd(e->b, l.i, emit_i64(e, c->split_block), ""), n);
        emit_inside(m);
    }
    emit_loop_end(e, &l);
}

static void emit_reduction(ContractEmit *m)
{
    const Contract *c = m->c;
    for (uint32_t i = 0; i < c->n_reduced; i++) {
        m->lo[c->reduced[i]] = emit_i64(m->e, 0);
        m->hi[c->reduced[i]] = emit_extent(m->e, c->kernel.axes.at[c->reduced[i]].extent);
        m->fixed[c->reduced[i]] = c->blocked && i < c->split;
    }
    if (!c->blocked) {
        emit_inside(m);
        return;
    }
    clear_sums(m);
    m->partial = true;
    emit_block(m, 0);
    m->partial = false;
    emit_level(m, c->n_outside);
}

static void emit_level(ContractEmit *m, uint32_t level)
{
    const Contract *c = m->c;
    /* Passed once on the way in; emit_inside goes on from here with the panel ready. */
    if (level == c->n_outside && !m->entered) {
        m->entered = true;
        emit_reduction(m);
        m->entered = false;
        return;
    }
    if (level == c->n_order) {
        if (c->blocked && !m->partial)
            contract_post_memory(m, contract_sums_at(m), c->sums_coef);
        else
            contract_tile(m);
        return;
    }
    if (!c->dot && c->order[level] == c->v)
        emit_vector_level(m, level);
    else
        emit_rows_level(m, level);
}

/* ---- Units ---- */

/* Sets lo and hi of all free axes for unit number u; the last axis in the order runs fastest. */
static void decode_unit(ContractEmit *m, LLVMValueRef u)
{
    Emit *e = m->e;
    const Contract *c = m->c;
    uint32_t left = 0;
    for (uint32_t i = 0; i < c->n_order; i++) {
        Dim d = c->kernel.axes.at[c->order[i]].extent;
        left += d.n > c->block[c->order[i]];
    }
    for (uint32_t i = c->n_order; i-- > 0;) {
        uint32_t axis = c->order[i];
        Dim d = c->kernel.axes.at[axis].extent;
        int64_t block = c->block[axis];
        LLVMValueRef n = emit_extent(e, d);
        if (d.n <= block) {
            m->lo[axis] = emit_i64(e, 0);
            m->hi[axis] = n;
            continue;
        }
        LLVMValueRef count = LLVMBuildAdd(e->b, n, emit_i64(e, block - 1), ""), index = u;
        count = LLVMBuildUDiv(e->b, count, emit_i64(e, block), "");
        if (--left) {
            index = LLVMBuildURem(e->b, u, count, "");
            u = LLVMBuildUDiv(e->b, u, count, "");
        }
        m->lo[axis] = LLVMBuildMul(e->b, index, emit_i64(e, block), "");
        m->hi[axis] = LLVMBuildAdd(e->b, m->lo[axis], emit_i64(e, block), "");
        if (d.k || d.n % block)
            m->hi[axis] = emit_min(e, m->hi[axis], n);
    }
}

bool contract_emit(Emit *e, const Kernel *k, int attempt, KernelGrid *out_grid)
{
    Arena *a = arena_new();
    Contract c;
    bool ok = contract_plan(e, a, k, attempt, &c);
    if (ok) {
        ContractEmit m = { .e = e, .c = &c, .nv = c.nv };
        int64_t size = (int64_t)dtype_size(c.acc);
        for (int i = 0; i < KERNEL_MAX_AXES; i++) {
            m.size[i] = 1;
            m.at[i] = emit_i64(e, 0);
        }
        if (c.packed != OPERAND_NONE)
            m.panel = emit_alloca(e, c.panel_elements * size);
        if (c.blocked)
            m.sums = emit_alloca(e, (c.sums_elements + c.lanes) * size);
        EmitLoop units;
        emit_loop_begin(e, &units, e->begin, e->end, 1, NULL, 0);
        decode_unit(&m, units.i);
        emit_level(&m, 0);
        emit_loop_end(e, &units);
        LLVMBuildRetVoid(e->b);
        *out_grid = c.grid;
    }
    arena_free(a);
    return ok && !*e->error;
}
