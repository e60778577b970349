/* access.c: where an access lies and how it is read: one element for all lanes, neighbours, or a
 * gather. */
#include "backend/inst.h"

static int64_t lane_stride(const Affine *f, const AccessPoint *p)
{
    return p->lanes > 1 ? f->coef[p->lane_axis] : 0;
}

LLVMValueRef access_affine(Emit *e, const Affine *f, const AccessPoint *p)
{
    LLVMValueRef v = emit_affine(e, f, p->at);
    int64_t stride = lane_stride(f, p);
    if (!stride)
        return v;
    LLVMValueRef steps = LLVMBuildMul(e->b, emit_iota(e, e->i64, p->lanes),
                                      emit_splat(e, emit_i64(e, stride), p->lanes), "");
    return LLVMBuildAdd(e->b, emit_splat(e, v, p->lanes), steps, "");
}

LLVMValueRef access_guards(Emit *e, const KernelAccess *x, const AccessPoint *p)
{
    LLVMValueRef all = NULL;
    for (uint32_t i = 0; i < x->guards.n; i++) {
        const KernelGuard *g = &x->guards.at[i];
        LLVMValueRef v = access_affine(e, &g->e, p);
        int lanes = emit_lanes(v);
        LLVMValueRef lo = emit_splat(e, emit_i64(e, g->lo), lanes),
                     hi = emit_splat(e, emit_extent(e, g->hi), lanes);
        all = emit_and(e, all, LLVMBuildICmp(e->b, LLVMIntSGE, v, lo, ""));
        all = emit_and(e, all, LLVMBuildICmp(e->b, LLVMIntSLT, v, hi, ""));
    }
    return all;
}

/* i1: 0 <= index < extent */
static LLVMValueRef index_in_range(Emit *e, const KernelAccess *x, LLVMValueRef index)
{
    LLVMValueRef extent = emit_splat(e, emit_i64(e, x->index_extent), emit_lanes(index));
    return LLVMBuildICmp(e->b, LLVMIntULT, index, extent, "");
}

static void set_status(Emit *e, const AccessPoint *p, LLVMValueRef bad)
{
    if (e->kernel->status < 0)
        return;
    bad = emit_and(e, bad, emit_lanes(bad) > 1 ? p->mask : NULL);
    int lanes = emit_lanes(bad);
    if (lanes > 1) {
        LLVMTypeRef bits = LLVMIntTypeInContext(e->cx, (unsigned)lanes);
        bad = LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildBitCast(e->b, bad, bits, ""),
                            LLVMConstNull(bits), "");
    }
    EmitIf f;
    emit_if_begin(e, &f, bad);
    emit_store(e, DT_U32, p->base[e->kernel->status], emit_int(e, DT_U32, 1, 1), NULL);
    emit_if_end(e, &f);
}

/* Offset and mask of an access: the affine part, and index * stride added. An index out of range
 * counts as 0, masked off. */
typedef struct {
    LLVMValueRef offset, mask; /* scalar or vector; mask: of guards and index only, NULL all */
} Place;

static Place find_place(Emit *e, const KernelAccess *x, const AccessPoint *p, LLVMValueRef index,
                        bool load)
{
    Place at = { NULL, access_guards(e, x, p) };
    if (!index) {
        at.offset = emit_affine(e, &x->offset, p->at);
        return at;
    }
    LLVMValueRef ok = index_in_range(e, x, index), guards = at.mask;
    if (load) {
        LLVMValueRef bad = LLVMBuildNot(e->b, ok, "");
        set_status(e, p, guards ? emit_and(e, bad, guards) : bad);
    }
    at.mask = emit_and(e, guards, ok);
    int lanes = emit_lanes(index);
    LLVMValueRef safe = LLVMBuildSelect(e->b, ok, index, LLVMConstNull(LLVMTypeOf(index)), "");
    safe = LLVMBuildMul(e->b, safe, emit_splat(e, emit_i64(e, x->index_stride), lanes), "");
    LLVMValueRef affine =
        lanes > 1 ? access_affine(e, &x->offset, p) : emit_affine(e, &x->offset, p->at);
    if (emit_lanes(affine) != lanes)
        affine = emit_splat(e, affine, lanes);
    at.offset = LLVMBuildAdd(e->b, affine, safe, "");
    return at;
}

/* Offsets of all lanes, for a gather or scatter. */
static LLVMValueRef lane_offsets(Emit *e, const KernelAccess *x, const AccessPoint *p,
                                 LLVMValueRef offset)
{
    if (emit_lanes(offset) > 1)
        return offset;
    LLVMValueRef step = emit_splat(e, emit_i64(e, lane_stride(&x->offset, p)), p->lanes);
    LLVMValueRef steps = LLVMBuildMul(e->b, emit_iota(e, e->i64, p->lanes), step, "");
    return LLVMBuildAdd(e->b, emit_splat(e, offset, p->lanes), steps, "");
}

/* Lanes `stride` elements apart: constant displacements, no vector of addresses. */
static LLVMValueRef load_strided(Emit *e, Dtype t, LLVMValueRef first, int64_t stride, int lanes)
{
    LLVMValueRef v = LLVMGetPoison(emit_type(e, t, lanes));
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef x =
            emit_load(e, t, emit_element(e, t, first, emit_i64(e, i * stride)), 1, NULL);
        v = LLVMBuildInsertElement(e->b, v, x, emit_int(e, DT_I32, i, 1), "");
    }
    return v;
}

static void store_strided(Emit *e, Dtype t, LLVMValueRef first, int64_t stride, LLVMValueRef v)
{
    for (int i = 0; i < emit_lanes(v); i++)
        emit_store(e, t, emit_element(e, t, first, emit_i64(e, i * stride)),
                   LLVMBuildExtractElement(e->b, v, emit_int(e, DT_I32, i, 1), ""), NULL);
}

LLVMValueRef access_load(Emit *e, const KernelAccess *x, const AccessPoint *p, LLVMValueRef index)
{
    Dtype t = e->kernel->buffers.at[x->buffer].dtype;
    LLVMValueRef base = p->base[x->buffer];
    Place at = find_place(e, x, p, index, true);
    int64_t stride = lane_stride(&x->offset, p);
    bool vector_mask = at.mask && emit_lanes(at.mask) > 1,
         vector_offset = emit_lanes(at.offset) > 1;
    if (!vector_offset && !vector_mask && !stride)
        return emit_load(e, t, emit_element(e, t, base, at.offset), 1, at.mask);
    if (!vector_offset && !vector_mask &&
        !p->mask) { /* a condition that all lanes share chooses the address */
        LLVMValueRef first = emit_element(e, t, base, at.offset);
        bool fits = p->lanes * (int64_t)dtype_size(t) <= 64;
        if (at.mask && stride == 1 && fits)
            first = LLVMBuildSelect(e->b, at.mask, first, emit_zero(e), "");
        if (stride == 1 && (fits || !at.mask))
            return emit_load(e, t, first, p->lanes, NULL);
        if (!at.mask)
            return load_strided(e, t, first, stride, p->lanes);
    }
    LLVMValueRef mask = emit_and(e, at.mask, p->mask);
    if (mask && emit_lanes(mask) == 1)
        mask = emit_splat(e, mask, p->lanes);
    if (!vector_offset && stride == 1)
        return emit_load(e, t, emit_element(e, t, base, at.offset), p->lanes, mask);
    return emit_gather(e, t, base, lane_offsets(e, x, p, at.offset), mask);
}

static LLVMValueRef add_values(Emit *e, Dtype t, LLVMValueRef a, LLVMValueRef b)
{
    return inst_scalar(e, SC_ADD, t, t, (LLVMValueRef[]){ a, b });
}

void access_store(Emit *e, const KernelAccess *x, const AccessPoint *p, LLVMValueRef index,
                  LLVMValueRef v, StoreKind kind)
{
    Dtype t = e->kernel->buffers.at[x->buffer].dtype;
    LLVMValueRef base = p->base[x->buffer];
    Place at = find_place(e, x, p, index, false);
    int64_t stride = lane_stride(&x->offset, p);
    if (p->lanes == 1 || (!stride && emit_lanes(at.offset) == 1)) {
        LLVMValueRef to = emit_element(e, t, base, at.offset);
        if (kind == STORE_ADD)
            v = add_values(e, t, emit_load(e, t, to, 1, at.mask), v);
        emit_store(e, t, to, v, at.mask);
        return;
    }
    LLVMValueRef mask = emit_and(e, at.mask, p->mask);
    if (mask && emit_lanes(mask) == 1)
        mask = emit_splat(e, mask, p->lanes);
    if (emit_lanes(v) == 1)
        v = emit_splat(e, v, p->lanes);
    if (emit_lanes(at.offset) == 1 && stride == 1) {
        LLVMValueRef to = emit_element(e, t, base, at.offset);
        if (kind == STORE_ADD)
            v = add_values(e, t, emit_load(e, t, to, p->lanes, mask), v);
        emit_store(e, t, to, v, mask);
        return;
    }
    if (emit_lanes(at.offset) == 1 && !mask) {
        LLVMValueRef to = emit_element(e, t, base, at.offset);
        if (kind == STORE_ADD)
            v = add_values(e, t, load_strided(e, t, to, stride, p->lanes), v);
        store_strided(e, t, to, stride, v);
        return;
    }
    LLVMValueRef offsets = lane_offsets(e, x, p, at.offset);
    if (kind == STORE_ADD)
        v = add_values(e, t, emit_gather(e, t, base, offsets, mask), v);
    emit_scatter(e, t, base, offsets, v, mask);
}
