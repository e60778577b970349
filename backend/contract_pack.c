/* contract_pack.c: copies the vector operand's values for one tile's columns side by side: panel[k][column].
 *
 * Needed where neighbouring columns are not neighbours in memory. Where a reduced axis is, squares of lanes x lanes elements
 * are transposed in registers by one shared function (a generic shuffle network costs more to compile than the whole
 * micro-kernel); else each vector is gathered. Columns beyond the edge repeat the last one: they are computed and not stored. */
#include "backend/contract.h"

#include <string.h>

/* One round: rows i and i + width exchange every other group of `width` elements. All widths together transpose. */
static void exchange(Emit *e, LLVMValueRef *rows, int lanes, int width)
{
    LLVMValueRef low[64], high[64];
    for (int i = 0; i < lanes; i++) { /* element i of the two results */
        bool second = i / width & 1;
        int from = i - (second ? width : 0);
        low[i] = LLVMConstInt(e->i32, (unsigned)(second ? lanes + from : from), 0);
        high[i] = LLVMConstInt(e->i32, (unsigned)((second ? lanes + from : from) + width), 0);
    }
    LLVMValueRef take_low = LLVMConstVector(low, (unsigned)lanes), take_high = LLVMConstVector(high, (unsigned)lanes);
    for (int i = 0; i < lanes; i++)
        if (!(i / width & 1)) {
            LLVMValueRef a = rows[i], b = rows[i + width];
            rows[i] = LLVMBuildShuffleVector(e->b, a, b, take_low, "");
            rows[i + width] = LLVMBuildShuffleVector(e->b, a, b, take_high, "");
        }
}

/* (source, bytes between its rows, destination, bytes between its rows): lanes x lanes elements. */
static LLVMValueRef transpose_function(ContractEmit *m)
{
    if (m->transpose)
        return m->transpose;
    Emit *e = m->e;
    Dtype t = m->c->acc;
    int lanes = m->c->lanes;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMTypeRef params[] = { e->ptr, e->i64, e->ptr, e->i64 };
    m->transpose = LLVMAddFunction(e->module, "transpose", LLVMFunctionType(e->none, params, 4, 0));
    LLVMSetLinkage(m->transpose, LLVMInternalLinkage);
    emit_attributes(e, m->transpose);
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(e->cx, m->transpose, ""));
    LLVMValueRef rows[64];
    for (int side = 0; side < 2; side++) {
        LLVMValueRef base = LLVMGetParam(m->transpose, side ? 2 : 0), stride = LLVMGetParam(m->transpose, side ? 3 : 1);
        for (int i = 0; i < lanes; i++) {
            LLVMValueRef offset = LLVMBuildMul(e->b, stride, emit_i64(e, i), "");
            LLVMValueRef at = LLVMBuildGEP2(e->b, e->i8, base, &offset, 1, "");
            if (side == 0)
                rows[i] = emit_load(e, t, at, lanes, NULL);
            else
                emit_store(e, t, at, rows[i], NULL);
        }
        for (int width = lanes / 2; side == 0 && width >= 1; width /= 2)
            exchange(e, rows, lanes, width);
    }
    LLVMBuildRetVoid(e->b);
    LLVMPositionBuilderAtEnd(e->b, here);
    return m->transpose;
}

typedef struct {
    ContractEmit *m;
    const ContractOperand *x;
    int along;            /* position in `reduced` of the axis that neighbours run along, or -1 */
} Pack;

/* Address in memory, and in the panel, of the current reduced indexes at column 0. */
static LLVMValueRef source_at(Pack *p)
{
    Emit *e = p->m->e;
    return emit_element(e, p->x->dtype, e->buffer[p->x->x->buffer], emit_affine(e, &p->x->x->offset, p->m->at));
}

static LLVMValueRef panel_at(Pack *p)
{
    Emit *e = p->m->e;
    const Contract *c = p->m->c;
    LLVMValueRef offset = emit_i64(e, 0);
    for (uint32_t i = 0; i < c->n_reduced; i++) {
        uint32_t a = c->reduced[i];
        if (p->m->fixed[a])
            continue;
        LLVMValueRef steps = LLVMBuildSub(e->b, p->m->at[a], p->m->lo[a], "");
        offset = LLVMBuildAdd(e->b, offset, LLVMBuildMul(e->b, steps, emit_i64(e, c->panel_coef[a]), ""), "");
    }
    return emit_element(e, c->acc, p->m->panel, offset);
}

/* One reduced index, all columns: gathered, under the operand's guards. */
static void pack_one(Pack *p)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    const Contract *c = m->c;
    LLVMValueRef to = panel_at(p), from = source_at(p);
    for (int j = 0; j < m->nv; j++) {
        AccessPoint at = { .lane_axis = (int)c->v, .lanes = c->lanes, .base = e->buffer };
        memcpy(at.at, m->at, sizeof at.at);
        at.at[c->v] = LLVMBuildAdd(e->b, m->at[c->v], emit_i64(e, (int64_t)j * c->lanes), "");
        at.mask = j == m->nv - 1 ? m->mask : NULL;
        LLVMValueRef v;
        if (p->x->x->guards.n)
            v = access_load(e, p->x->x, &at, NULL);
        else {
            LLVMValueRef base = emit_element(e, p->x->dtype, from, emit_i64(e, (int64_t)j * c->lanes * p->x->lane));
            LLVMValueRef step = emit_splat(e, emit_i64(e, p->x->lane), c->lanes);
            v = emit_gather(e, p->x->dtype, base, LLVMBuildMul(e->b, emit_iota(e, e->i64, c->lanes), step, ""), at.mask);
        }
        v = contract_widen(m, p->x->dtype, v);
        v = emit_lanes(v) == 1 ? emit_splat(e, v, c->lanes) : v;
        emit_store(e, c->acc, emit_element(e, c->acc, to, emit_i64(e, (int64_t)j * c->lanes)), v, NULL);
    }
}

/* A square: lanes columns, lanes reduced indexes. The columns' rows begin `lane` elements apart. */
static void pack_square(Pack *p, LLVMValueRef j)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    const Contract *c = m->c;
    int64_t size = (int64_t)dtype_size(c->acc);
    LLVMValueRef from = source_at(p), column = LLVMBuildMul(e->b, j, emit_i64(e, c->lanes), "");
    from = emit_element(e, c->acc, from, LLVMBuildMul(e->b, column, emit_i64(e, p->x->lane), ""));
    uint32_t along = c->reduced[p->along];
    LLVMValueRef args[] = { from, emit_i64(e, p->x->lane * size), emit_element(e, c->acc, panel_at(p), column),
                            emit_i64(e, c->panel_coef[along] * size) };
    LLVMValueRef fn = transpose_function(m);
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(fn), fn, args, 4, "");
}

/* The rest of the columns at one square's reduced indexes, gathered one index at a time. */
static void pack_edge(Pack *p, LLVMValueRef first)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    uint32_t along = m->c->reduced[p->along];
    EmitLoop l;
    emit_loop_begin(e, &l, first, LLVMBuildAdd(e->b, first, emit_i64(e, m->c->lanes), ""), 1, NULL, 0);
    m->at[along] = l.i;
    LLVMValueRef to = panel_at(p), from = source_at(p);
    int64_t column = (int64_t)(m->nv - 1) * m->c->lanes;
    LLVMValueRef step = emit_splat(e, emit_i64(e, p->x->lane), m->c->lanes);
    from = emit_element(e, p->x->dtype, from, emit_i64(e, column * p->x->lane));
    LLVMValueRef v = emit_gather(e, p->x->dtype, from, LLVMBuildMul(e->b, emit_iota(e, e->i64, m->c->lanes), step, ""), m->mask);
    emit_store(e, m->c->acc, emit_element(e, m->c->acc, to, emit_i64(e, column)), v, NULL);
    emit_loop_end(e, &l);
}

/* Squares while whole ones fit, then single indexes. */
static void pack_along(Pack *p)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    const Contract *c = m->c;
    uint32_t axis = c->reduced[p->along];
    LLVMValueRef lo = m->lo[axis], hi = m->hi[axis], n = LLVMBuildSub(e->b, hi, lo, "");
    n = LLVMBuildMul(e->b, LLVMBuildUDiv(e->b, n, emit_i64(e, c->lanes), ""), emit_i64(e, c->lanes), "");
    LLVMValueRef whole = LLVMBuildAdd(e->b, lo, n, "");
    EmitLoop l, columns;
    emit_loop_begin(e, &l, lo, whole, c->lanes, NULL, 0);
    m->at[axis] = l.i;
    int full = m->mask ? m->nv - 1 : m->nv;
    if (full) {
        emit_loop_begin(e, &columns, emit_i64(e, 0), emit_i64(e, full), 1, NULL, 0);
        pack_square(p, columns.i);
        emit_loop_end(e, &columns);
    }
    if (m->mask)
        pack_edge(p, l.i);
    emit_loop_end(e, &l);
    emit_loop_begin(e, &l, whole, hi, 1, NULL, 0);
    m->at[axis] = l.i;
    pack_one(p);
    emit_loop_end(e, &l);
}

static void pack_level(Pack *p, uint32_t level)
{
    ContractEmit *m = p->m;
    const Contract *c = m->c;
    while (level < c->n_reduced && (m->fixed[c->reduced[level]] || (int)level == p->along))
        level++;
    if (level == c->n_reduced) {
        if (p->along >= 0)
            pack_along(p);
        else
            pack_one(p);
        return;
    }
    uint32_t axis = c->reduced[level];
    EmitLoop l;
    emit_loop_begin(m->e, &l, m->lo[axis], m->hi[axis], 1, NULL, 0);
    m->at[axis] = l.i;
    pack_level(p, level + 1);
    emit_loop_end(m->e, &l);
}

void contract_pack(ContractEmit *m)
{
    const Contract *c = m->c;
    Pack p = { .m = m, .x = &c->operand[c->packed], .along = -1 };
    bool squares = p.x->dtype == c->acc && !p.x->x->guards.n;
    for (uint32_t i = 0; squares && i < c->n_reduced; i++)
        if (!m->fixed[c->reduced[i]] && p.x->x->offset.coef[c->reduced[i]] == 1)
            p.along = (int)i;
    pack_level(&p, 0);
}
