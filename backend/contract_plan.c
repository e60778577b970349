/* contract_plan.c: a contraction from its kernel: axes merged where they are one in memory,
 * operands, the order of the sum.
 *
 * Axes of extent 1 go, and neighbouring axes that step through everything as one become one: the
 * tile search then sees matrices where the graph had images, heads and batches. */
#include "backend/contract.h"

#include <string.h>

/* ---- Simplification ---- */

typedef struct {
    Affine *at[256];
    uint32_t n;
} AffineList;

static void copy_kernel(Contract *c, Arena *a, const Kernel *k, AffineList *all)
{
    c->kernel = *k;
    KernelAxis *axes = arena_new_array(a, KernelAxis, k->axes.n + 1);
    if (k->axes.n)
        memcpy(axes, k->axes.at, k->axes.n * sizeof *axes);
    axes[k->axes.n].extent = dim_of(1);
    c->kernel.axes.at = axes;
    KernelStage *s = &c->stage;
    *s = k->stages.at[0];
    KernelAccess *accesses = arena_new_array(a, KernelAccess, s->accesses.n);
    KernelInst *insts = arena_new_array(a, KernelInst, s->insts.n);
    for (uint32_t i = 0; i < s->accesses.n; i++) {
        accesses[i] = s->accesses.at[i];
        uint32_t n = accesses[i].guards.n;
        KernelGuard *guards = arena_new_array(a, KernelGuard, n);
        if (n)
            memcpy(guards, accesses[i].guards.at, n * sizeof *guards);
        accesses[i].guards.at = guards;
        if (all->n < 256)
            all->at[all->n++] = &accesses[i].offset;
        for (uint32_t g = 0; g < n && all->n < 256; g++)
            all->at[all->n++] = &guards[g].e;
    }
    for (uint32_t i = 0; i < s->insts.n; i++) {
        insts[i] = s->insts.at[i];
        if (insts[i].kind == INST_INDEX && all->n < 256)
            all->at[all->n++] = &insts[i].affine;
    }
    s->accesses.at = accesses;
    s->insts.at = insts;
}

static void list_axes(Contract *c, const Kernel *k)
{
    const KernelStage *s = &k->stages.at[0];
    bool seen[KERNEL_MAX_AXES] = { false };
    for (uint32_t i = 0; i < s->n_reduced; i++) {
        seen[s->reduced_axes[i]] = true;
        c->reduced[c->n_reduced++] = s->reduced_axes[i];
    }
    for (uint32_t a = 0; a < k->grid; a++)
        if (!seen[a]) {
            seen[a] = true;
            c->free[c->n_free++] = a;
        }
    for (uint32_t i = 0; i < s->n_free; i++)
        if (!seen[s->free_axes[i]]) {
            seen[s->free_axes[i]] = true;
            c->free[c->n_free++] = s->free_axes[i];
        }
}

/* Everywhere outer steps are whole inner rounds: i_outer * n + i_inner is one index. */
static bool can_merge(const Contract *c, const AffineList *all, uint32_t outer, uint32_t inner)
{
    Dim d = contract_extent(c, inner);
    for (uint32_t i = 0; i < all->n; i++)
        if (all->at[i]->coef[outer] != all->at[i]->coef[inner] * d.n)
            return false;
    return d.k == 0;
}

static void remove_axis(uint32_t *list, uint32_t *n, uint32_t i)
{
    memmove(list + i, list + i + 1, (*n - i - 1) * sizeof *list);
    --*n;
}

static void merge_axes(Contract *c, const AffineList *all, uint32_t *list, uint32_t *n,
                       bool neighbours)
{
    for (uint32_t i = 0; i < *n; i++)
        if (contract_extent(c, list[i]).n == 1) /* also when it is 1*B: then B is 1 */
            remove_axis(list, n, i--);
    bool again = true;
    while (again) {
        again = false;
        for (uint32_t i = 0; i < *n && !again; i++)
            for (uint32_t j = 0; j < *n && !again; j++)
                if (i != j && (!neighbours || j == i + 1) && can_merge(c, all, list[i], list[j])) {
                    Dim o = contract_extent(c, list[i]), d = contract_extent(c, list[j]);
                    c->kernel.axes.at[list[j]].extent = (Dim){ o.n * d.n, o.k * d.n };
                    for (uint32_t f = 0; f < all->n; f++)
                        all->at[f]->coef[list[i]] = 0;
                    remove_axis(list, n, i);
                    again = true;
                }
    }
}

/* ---- Operands ---- */

/* The LOAD behind stage->a or ->b, through a cast. */
static bool find_operand(Emit *e, Contract *c, InstId id, ContractOperand *out)
{
    const KernelStage *s = &c->stage;
    if (id >= s->insts.n)
        return emit_fail(e, "%s: no such operand", c->kernel.name);
    const KernelInst *i = &s->insts.at[id];
    if (i->kind == INST_SCALAR && (i->op == SC_CAST || i->op == SC_COPY))
        i = &s->insts.at[i->a];
    if (i->kind != INST_LOAD)
        return emit_fail(e, "%s: an operand of the contraction is not a load", c->kernel.name);
    out->x = &s->accesses.at[i->access];
    out->dtype = c->kernel.buffers.at[out->x->buffer].dtype;
    if (out->x->index != INST_NONE)
        return emit_fail(e, "%s: indexed operands of a contraction are not supported yet",
                         c->kernel.name);
    if (!dtype_is_float(out->dtype) || dtype_size(out->dtype) > dtype_size(c->acc))
        return emit_fail(e, "%s: %s operands of a contraction are not supported yet",
                         c->kernel.name, dtype_name(out->dtype));
    return true;
}

bool contract_depends(const KernelAccess *x, uint32_t axis)
{
    bool yes = x->offset.coef[axis] != 0;
    for (uint32_t i = 0; i < x->guards.n; i++)
        yes = yes || x->guards.at[i].e.coef[axis] != 0;
    return yes;
}

bool contract_guarded(const KernelAccess *x, uint32_t axis)
{
    return x->offset.coef[axis] == 0 && contract_depends(x, axis);
}

double contract_product(const Contract *c, const uint32_t *list, uint32_t n)
{
    double p = 1;
    for (uint32_t i = 0; i < n; i++)
        p *= contract_n(c, list[i]);
    return p;
}

/* Elements that a step along a reduced axis moves through both operands. */
static int64_t step_of(const Contract *c, uint32_t axis)
{
    int64_t a = c->operand[0].x->offset.coef[axis], b = c->operand[1].x->offset.coef[axis];
    return (a < 0 ? -a : a) + (b < 0 ? -b : b);
}

/* The order of the sum: longest steps first, equal ones as listed, so that the innermost loop runs
 * along memory. */
static void sort_reduced(Contract *c)
{
    for (uint32_t i = 1; i < c->n_reduced; i++)
        for (uint32_t j = i; j > 0 && step_of(c, c->reduced[j]) > step_of(c, c->reduced[j - 1]);
             j--) {
            uint32_t axis = c->reduced[j];
            c->reduced[j] = c->reduced[j - 1];
            c->reduced[j - 1] = axis;
        }
}

/* ---- The whole ---- */

static bool check_stage(Emit *e, const Kernel *k)
{
    if (k->stages.n != 1 || k->stages.at[0].kind != STAGE_CONTRACT)
        return emit_fail(e, "%s: a contraction beside other stages is not supported yet", k->name);
    const KernelStage *s = &k->stages.at[0];
    if (s->accums.n != 1 || (s->accums.at[0].dtype != DT_F32 && s->accums.at[0].dtype != DT_F64))
        return emit_fail(e, "%s: a contraction has one f32 or f64 sum", k->name);
    for (uint32_t i = s->body_insts; i < s->insts.n; i++)
        if (s->insts.at[i].kind == INST_UNIT_VALUE)
            return emit_fail(e, "%s: a contraction reads another stage", k->name);
    for (uint32_t i = 0; i < s->stores.n; i++)
        if (s->stores.at[i].in_body)
            return emit_fail(e, "%s: a contraction stores in its body", k->name);
    return true;
}

bool contract_plan(Emit *e, Arena *a, const Kernel *k, int attempt, Contract *c)
{
    *c = (Contract){ .packed = OPERAND_NONE };
    if (!check_stage(e, k))
        return false;
    AffineList all = { .n = 0 };
    copy_kernel(c, a, k, &all);
    if (all.n == 256)
        return emit_fail(e, "%s: too many accesses", k->name);
    c->acc = c->stage.accums.at[0].dtype;
    c->lanes = target_lanes(e->target, dtype_size(c->acc));
    if (!find_operand(e, c, c->stage.a, &c->operand[0]) ||
        !find_operand(e, c, c->stage.b, &c->operand[1]))
        return false;
    list_axes(c, k);
    sort_reduced(c);
    merge_axes(c, &all, c->free, &c->n_free, false);
    merge_axes(c, &all, c->reduced, &c->n_reduced, true);
    if (!c->n_free && k->axes.n == KERNEL_MAX_AXES)
        return emit_fail(e, "%s: too many axes", k->name);
    if (!c->n_free) /* one result: a free axis of extent 1 of our own */
        c->free[c->n_free++] = k->axes.n;
    contract_shape(c, e->target, attempt);
    return true;
}
