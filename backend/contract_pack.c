/* contract_pack.c: copies the vector operand's values for one tile's columns side by side:
 * panel[k][column].
 *
 * Needed where neighbouring columns are not neighbours in memory, or where rows collide in the
 * caches. Columns that are neighbours are copied by vectors. Where a reduced axis is contiguous,
 * strips of 16 bytes along it are loaded from each column into one register a column modulo 4 (or
 * 2), and transposed inside its 16-byte parts: few shuffles, all cheap. (Squares of whole vectors
 * take 64 shuffles, most of them across parts, and cost more compile time than the micro-kernel.)
 * Else each vector is gathered. Columns beyond the edge repeat the last one: they are computed and
 * not stored. */
#include "backend/contract.h"

#include <string.h>

enum { STRIP_BYTES = 16 };

typedef struct {
    ContractEmit *m;
    const ContractOperand *x;
    int along; /* position in `reduced` of the axis that neighbours run along, or -1 */
} Pack;

/* Address in memory, and in the panel, of the current reduced indexes at column 0. */
static LLVMValueRef source_at(Pack *p)
{
    Emit *e = p->m->e;
    return emit_element(e, p->x->dtype, e->buffer[p->x->x->buffer],
                        emit_affine(e, &p->x->x->offset, p->m->at));
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
        offset = LLVMBuildAdd(e->b, offset,
                              LLVMBuildMul(e->b, steps, emit_i64(e, c->panel_coef[a]), ""), "");
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
        if (p->x->x->guards.n || p->x->lane == 1)
            v = access_load(e, p->x->x, &at, NULL);
        else {
            LLVMValueRef base = emit_element(e, p->x->dtype, from,
                                             emit_i64(e, (int64_t)j * c->lanes * p->x->lane));
            LLVMValueRef step = emit_splat(e, emit_i64(e, p->x->lane), c->lanes);
            v = emit_gather(e, p->x->dtype, base,
                            LLVMBuildMul(e->b, emit_iota(e, e->i64, c->lanes), step, ""), at.mask);
        }
        v = contract_widen(m, p->x->dtype, v);
        v = emit_lanes(v) == 1 ? emit_splat(e, v, c->lanes) : v;
        emit_store(e, c->acc, emit_element(e, c->acc, to, emit_i64(e, (int64_t)j * c->lanes)), v,
                   NULL);
    }
}

/* Concatenation of n (a power of two) vectors of equal width. */
static LLVMValueRef join(Emit *e, LLVMValueRef *parts, int n)
{
    for (; n > 1; n /= 2)
        for (int i = 0; i < n / 2; i++) {
            LLVMValueRef order[64];
            int lanes = 2 * emit_lanes(parts[2 * i]);
            for (int j = 0; j < lanes; j++)
                order[j] = LLVMConstInt(e->i32, (unsigned)j, 0);
            parts[i] = LLVMBuildShuffleVector(e->b, parts[2 * i], parts[2 * i + 1],
                                              LLVMConstVector(order, (unsigned)lanes), "");
        }
    return parts[0];
}

/* Inside each part of `strip` elements, groups of `width` elements of a's half and b's half,
 * alternating: unpack low or high. */
static LLVMValueRef interleave(Emit *e, LLVMValueRef a, LLVMValueRef b, int strip, int width,
                               bool high)
{
    LLVMValueRef order[64];
    int lanes = emit_lanes(a);
    for (int i = 0; i < lanes; i++) {
        int part = i / strip * strip, group = i % strip / width, in_group = i % width;
        int from = part + (high ? strip / 2 : 0) + group / 2 * width + in_group;
        order[i] = LLVMConstInt(e->i32, (unsigned)(group & 1 ? lanes + from : from), 0);
    }
    return LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(order, (unsigned)lanes), "");
}

/* Column first + c; at an edge at most the last that exists. */
static LLVMValueRef column_offset(Pack *p, LLVMValueRef first, int c, bool edge)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    LLVMValueRef column = LLVMBuildAdd(e->b, first, emit_i64(e, c), "");
    if (edge) {
        LLVMValueRef last = LLVMBuildSub(
            e->b, LLVMBuildSub(e->b, m->hi[m->c->v], m->at[m->c->v], ""), emit_i64(e, 1), "");
        column = emit_min(e, column, last);
    }
    return LLVMBuildMul(e->b, column, emit_i64(e, p->x->lane), "");
}

/* One strip along the reduced axis, one vector of columns from `first` on: `strip` vectors of the
 * panel. */
static void pack_strip(Pack *p, LLVMValueRef first, int strip, bool edge)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    const Contract *c = m->c;
    int parts = c->lanes / strip;
    LLVMValueRef from = source_at(p), rows[4], out[4], chunks[64] = { NULL };
    for (int i = 0; i < strip; i++) {
        for (int g = 0; g < parts; g++)
            chunks[g] = emit_load(
                e, c->acc,
                emit_element(e, c->acc, from, column_offset(p, first, g * strip + i, edge)), strip,
                NULL);
        rows[i] = join(e, chunks, parts);
    }
    if (strip == 2)
        for (int i = 0; i < 2; i++)
            out[i] = interleave(e, rows[0], rows[1], 2, 1, i);
    else
        for (int i = 0; i < 4; i++) {
            LLVMValueRef a = interleave(e, rows[0], rows[1], 4, 1, i / 2),
                         b = interleave(e, rows[2], rows[3], 4, 1, i / 2);
            out[i] = interleave(e, a, b, 4, 2, i & 1);
        }
    LLVMValueRef to = emit_element(e, c->acc, panel_at(p), first);
    int64_t step = c->panel_coef[c->reduced[p->along]];
    for (int i = 0; i < strip; i++)
        emit_store(e, c->acc, emit_element(e, c->acc, to, emit_i64(e, i * step)), out[i], NULL);
}

/* Vectors of columns [first, end) over all strips of [lo, whole): `lanes` streams are few enough
 * for a machine to follow. */
static void pack_columns(Pack *p, int64_t first, int64_t end, LLVMValueRef whole, int strip,
                         bool edge)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    uint32_t axis = m->c->reduced[p->along];
    EmitLoop l, columns;
    if (first == end)
        return;
    emit_loop_begin(e, &columns, emit_i64(e, first), emit_i64(e, end), m->c->lanes, NULL, 0);
    emit_loop_begin(e, &l, m->lo[axis], whole, strip, NULL, 0);
    m->at[axis] = l.i;
    pack_strip(p, columns.i, strip, edge);
    emit_loop_end(e, &l);
    emit_loop_end(e, &columns);
}

/* Strips while whole ones fit, then single indexes. */
static void pack_along(Pack *p)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    const Contract *c = m->c;
    uint32_t axis = c->reduced[p->along];
    int strip = STRIP_BYTES / (int)dtype_size(c->acc);
    LLVMValueRef lo = m->lo[axis], hi = m->hi[axis], n = LLVMBuildSub(e->b, hi, lo, "");
    n = LLVMBuildMul(e->b, LLVMBuildUDiv(e->b, n, emit_i64(e, strip), ""), emit_i64(e, strip), "");
    LLVMValueRef whole = LLVMBuildAdd(e->b, lo, n, "");
    int64_t end = (int64_t)m->nv * c->lanes, full = m->mask ? end - c->lanes : end;
    pack_columns(p, 0, full, whole, strip, false);
    pack_columns(p, full, end, whole, strip, true);
    if (LLVMIsAConstantInt(whole) && LLVMIsAConstantInt(hi) &&
        LLVMConstIntGetSExtValue(whole) == LLVMConstIntGetSExtValue(hi))
        return;
    EmitLoop l;
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
    bool strips = p.x->dtype == c->acc && !p.x->x->guards.n &&
                  c->lanes * (int)dtype_size(c->acc) >= STRIP_BYTES;
    for (uint32_t i = 0; strips && p.x->lane != 1 && i < c->n_reduced; i++)
        if (!m->fixed[c->reduced[i]] && p.x->x->offset.coef[c->reduced[i]] == 1)
            p.along = (int)i;
    pack_level(&p, 0);
}
