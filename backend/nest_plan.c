/* nest_plan.c: which axis of each stage becomes vectors, and how far out each instruction can go.
 *
 * No optimizer runs over kernels, so what it would find is found here, where more is known: an
 * instruction depends on a set of axes; it is emitted in the innermost loop of that set, as a
 * scalar when the vector axis is not in it. That is loop-invariant code motion and scalarisation in
 * one rule, for loads too: a kernel does not write what it loads elsewhere. */
#include "backend/nest.h"

#include <math.h>

/* ---- Dependences ---- */

static uint32_t affine_depends(const Affine *f)
{
    uint32_t set = 0;
    for (uint32_t a = 0; a < KERNEL_MAX_AXES; a++)
        set |= (uint32_t)(f->coef[a] != 0) << a;
    return set;
}

static uint32_t guards_depend(const KernelAccess *x)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < x->guards.n; i++)
        set |= affine_depends(&x->guards.at[i].e);
    return set;
}

static uint32_t access_depends(const NestStage *s, const KernelAccess *x)
{
    uint32_t set = affine_depends(&x->offset) | guards_depend(x);
    return x->index == INST_NONE ? set : set | s->depends[x->index];
}

static uint32_t operands_depend(const NestStage *s, const KernelInst *x)
{
    uint32_t set = 0;
    const InstId ids[] = { x->a, x->b, x->c };
    int n = x->kind == INST_RANDOM ? 3 : scalar_operands(x->op);
    for (int i = 0; i < n; i++)
        set |= s->depends[ids[i]];
    return set;
}

/* What all accumulators fold, less the reduced axes. */
static uint32_t accs_depend(const NestStage *s)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < s->s->accums.n; i++) {
        const KernelAccum *a = &s->s->accums.at[i];
        set |= s->depends[a->value] | (a->index == INST_NONE ? 0 : s->depends[a->index]);
    }
    for (uint32_t i = 0; i < s->s->n_reduced; i++)
        set &= ~(1u << s->s->reduced_axes[i]);
    return set;
}

static uint32_t inst_depends(const Nest *n, const NestStage *s, const KernelInst *x)
{
    switch (x->kind) {
    case INST_LOAD: {
        const KernelAccess *a = &s->s->accesses.at[x->access];
        bool scratch = a->buffer >= n->k->operands && n->k->grid; /* each point has its own */
        return access_depends(s, a) | (scratch ? 1u << (n->k->grid - 1) : 0);
    }
    case INST_GUARD: return guards_depend(&s->s->accesses.at[x->access]);
    case INST_INDEX: return affine_depends(&x->affine);
    case INST_SCALAR: case INST_RANDOM: return operands_depend(s, x);
    case INST_ACC: return accs_depend(s);
    case INST_UNIT_VALUE: return n->stages[x->access].depends[x->a];
    case INST_CONST: case INST_BATCH: return 0;
    }
    return 0;
}

/* ---- Levels ---- */

static int axis_level(const Nest *n, const NestStage *s, uint32_t axis)
{
    if (axis + 1 < n->k->grid)
        return LEVEL_UNIT;
    if (axis < n->k->grid)
        return LEVEL_POINT;
    for (uint32_t i = 0; i < s->n_loops; i++)
        if (s->loops[i] == axis)
            return LEVEL_LOOP + (int)i;
    return LEVEL_POINT;
}

static int set_level(const Nest *n, const NestStage *s, uint32_t set)
{
    int level = LEVEL_ENTRY;
    for (uint32_t a = 0; a < n->k->axes.n; a++)
        if (set >> a & 1 && axis_level(n, s, a) > level)
            level = axis_level(n, s, a);
    return level;
}

static int deepest_free(const NestStage *s)
{
    return s->n_free ? LEVEL_LOOP + (int)s->n_free - 1 : LEVEL_POINT;
}

/* A load from a buffer that this kernel writes stays behind the earlier stages' stores, and within
 * its own stage's loops up to the depth of the store. */
static int load_level(const Nest *n, const NestStage *s, InstId id)
{
    const KernelStage *stage = s->s;
    uint32_t buffer = stage->accesses.at[stage->insts.at[id].access].buffer;
    int level =
        n->k->buffers.at[buffer].written || buffer >= n->k->operands ? LEVEL_POINT : LEVEL_ENTRY;
    for (uint32_t i = 0; i < stage->stores.n; i++)
        if (stage->accesses.at[stage->stores.at[i].access].buffer == buffer) {
            bool in_loops = stage->stores.at[i].in_body && s->n_loops;
            level = in_loops ? LEVEL_LOOP + (int)s->n_loops - 1 : deepest_free(s);
            if (id >= stage->body_insts && s->reduces)
                return LEVEL_POST;
        }
    return level;
}

static int operand_level(const NestStage *s, const KernelInst *x)
{
    const InstId ids[] = { x->a, x->b, x->c };
    int level = LEVEL_ENTRY, count = x->kind == INST_RANDOM   ? 3
                                     : x->kind == INST_SCALAR ? scalar_operands(x->op)
                                                              : 0;
    for (int i = 0; i < count; i++)
        if (s->level[ids[i]] > level)
            level = s->level[ids[i]];
    if (x->kind == INST_LOAD) {
        InstId index = s->s->accesses.at[x->access].index;
        if (index != INST_NONE && s->level[index] > level)
            level = s->level[index];
    }
    return level;
}

static void place_instructions(Nest *n, NestStage *s)
{
    for (InstId i = 0; i < s->s->insts.n; i++) {
        const KernelInst *x = &s->s->insts.at[i];
        int level = set_level(n, s, s->depends[i]), least = operand_level(s, x);
        if (x->kind == INST_ACC)
            least = LEVEL_POST;
        else if (x->kind == INST_UNIT_VALUE)
            least = LEVEL_POINT;
        else if (x->kind == INST_LOAD && load_level(n, s, i) > least)
            least = load_level(n, s, i);
        s->level[i] = (uint8_t)(least > level ? least : level);
    }
}

/* ---- Vector axes ---- */

static double inst_weight(const KernelInst *x)
{
    if (x->kind == INST_RANDOM)
        return 40;
    if (x->kind != INST_SCALAR)
        return x->kind == INST_LOAD || x->kind == INST_INDEX ? 1 : 0;
    if (x->op == SC_EXP || x->op == SC_LOG || x->op == SC_TANH ||
        x->op == SC_SIGMOID || x->op == SC_ERF)
        return 16;
    return x->op >= SC_RSQRT && x->op <= SC_NORMAL_CDF_TANH ? 30
           : x->op == SC_POW || x->op == SC_ATAN2           ? 60
                                                            : 1;
}

static int element_bytes(const Nest *n, const KernelStage *s)
{
    bool narrow = false, wide = false;
    for (uint32_t i = 0; i < s->accesses.n; i++) {
        size_t bytes = dtype_size(n->k->buffers.at[s->accesses.at[i].buffer].dtype);
        wide |= bytes == 8;
        narrow |= bytes < 8;
    }
    for (uint32_t i = 0; i < s->accums.n; i++)
        wide |= dtype_size(s->accums.at[i].dtype) == 8;
    return wide && !narrow ? 8 : 4;
}

static bool has_random(const KernelStage *s)
{
    for (InstId i = 0; i < s->insts.n; i++)
        if (s->insts.at[i].kind == INST_RANDOM)
            return true;
    return false;
}

/* Lanes for an axis of at most `extent`: no more than the power of two that holds it. Random words
 * come out of one long chain of multiplications: two registers a vector hide its latency where
 * there are registers for that. */
static int lanes_for(const Nest *n, int bytes, bool random, int64_t extent)
{
    int lanes = target_lanes(n->e->target, (size_t)bytes) *
                (random && n->e->target->vector_registers >= 32 ? 2 : 1);
    while (lanes > 1 && lanes / 2 >= extent)
        lanes /= 2;
    return lanes;
}

static int64_t axis_extent(const Nest *n, uint32_t axis)
{
    return n->k->axes.at[axis].extent.n;
}

static bool is_reduced(const KernelStage *s, uint32_t axis)
{
    for (uint32_t i = 0; i < s->n_reduced; i++)
        if (s->reduced_axes[i] == axis)
            return true;
    return false;
}

/* Machine operations for one point when `axis` is vectorised. */
static double access_cost(const NestStage *s, const KernelAccess *x, uint32_t axis, double lanes,
                          bool add)
{
    int64_t step = x->offset.coef[axis];
    bool apart = x->index != INST_NONE && (s->depends[x->index] >> axis & 1);
    if (!step && !apart)
        return add ? 8 : 0;
    return step == 1 && !apart ? 1 / lanes : 1.5;
}

static double axis_cost(const Nest *n, const NestStage *s, uint32_t axis)
{
    const KernelStage *stage = s->s;
    int64_t extent = axis_extent(n, axis);
    int width = lanes_for(n, element_bytes(n, stage), has_random(stage), extent);
    double lanes = extent < 1 ? 1 : (double)extent / ceil((double)extent / width), sums = 1,
           cost = 0, after = 0;
    bool reduced = is_reduced(stage, axis);
    for (uint32_t i = 0; i < stage->n_reduced; i++)
        sums *= (double)axis_extent(n, stage->reduced_axes[i]);
    for (InstId i = 0; i < stage->insts.n; i++) {
        const KernelInst *x = &stage->insts.at[i];
        bool post = i >= stage->body_insts && stage->n_reduced;
        double c = s->depends[i] >> axis & 1 || post ? inst_weight(x) / lanes : 0;
        if (x->kind == INST_LOAD)
            c = access_cost(s, &stage->accesses.at[x->access], axis, lanes, false);
        *(post ? &after : &cost) += c * (post && reduced ? lanes : 1);
    }
    for (uint32_t i = 0; i < stage->stores.n; i++) {
        const KernelStore *store = &stage->stores.at[i];
        double c = access_cost(s, &stage->accesses.at[store->access], axis, lanes,
                               store->kind == STORE_ADD);
        *(stage->n_reduced && !store->in_body ? &after : &cost) += c;
    }
    if (reduced) /* the tree at the end */
        after += 12 * stage->accums.n;
    return cost + stage->accums.n / lanes + after / (sums < 1 ? 1 : sums);
}

/* The cheapest of the stage's axes; of equal ones the last. -1 when there is none worth it. */
static int choose_axis(const Nest *n, const NestStage *s)
{
    int best = -1;
    double least = INFINITY;
    for (uint32_t i = s->n_loops; i-- > 0;) {
        uint32_t axis = s->loops[i];
        if (axis_extent(n, axis) < 2)
            continue;
        double cost = axis_cost(n, s, axis);
        if (cost < least * 0.95) {
            best = (int)axis;
            least = cost;
        }
    }
    return best;
}

/* The vector axis last among the reduced ones, so that its lanes live in the innermost loop. */
static void order_loops(NestStage *s, int axis)
{
    s->vector = -1;
    for (uint32_t i = 0; i < s->n_loops; i++)
        if ((int)s->loops[i] == axis)
            s->vector = (int)i;
    if (s->vector < (int)s->n_free)
        return;
    for (uint32_t i = (uint32_t)s->vector; i + 1 < s->n_loops; i++)
        s->loops[i] = s->loops[i + 1];
    s->vector = (int)s->n_loops - 1;
    s->loops[s->vector] = (uint32_t)axis;
}

static double stage_weight(const NestStage *s)
{
    double w = 0;
    for (InstId i = 0; i < s->s->insts.n; i++)
        w += inst_weight(&s->s->insts.at[i]);
    return w;
}

/* Vectors side by side: to hide the latency of a running sum, or the loop around a cheap body. */
static int copies_for(double weight, bool sums, int64_t extent, int lanes)
{
    int copies = sums && weight <= 12 ? 4 : weight <= 6 ? 2 : 1;
    while (copies > 1 && (int64_t)copies * lanes > extent)
        copies /= 2;
    return copies;
}

static void choose_stage_vector(Nest *n, NestStage *s)
{
    int axis = n->k->vector == VECTOR_INNER ? choose_axis(n, s) : -1;
    s->vector = s->lane_axis = -1;
    s->lanes = s->copies = 1;
    if (axis < 0)
        return;
    order_loops(s, axis);
    int64_t extent = axis_extent(n, (uint32_t)axis);
    s->lane_axis = axis;
    s->lanes = lanes_for(n, element_bytes(n, s->s), has_random(s->s), extent);
    s->copies = copies_for(stage_weight(s), s->n_loops > s->n_free, extent, s->lanes);
    if (s->vector >= (int)s->n_free) {
        s->copies = NEST_REDUCE_LANES / s->lanes;
        while (s->copies > 1 && (int64_t)(s->copies - 1) * s->lanes >= extent)
            s->copies--;
    }
    if (s->copies > NEST_MAX_COPIES)
        s->copies = NEST_MAX_COPIES;
}

/* A stage's points for one point of the grid. */
static double stage_points(const Nest *n, const NestStage *s)
{
    double points = 1;
    for (uint32_t i = 0; i < s->n_loops; i++)
        points *= (double)axis_extent(n, s->loops[i]);
    return points;
}

/* Whether neighbouring points of the grid are the better lanes where each stage was to choose an
 * axis of its own: columns that are summed over rows a stride apart. */
static bool grid_is_better(const Nest *n)
{
    double inner = 0, outer = 0;
    uint32_t last = n->k->grid - 1;
    if (!n->k->grid || axis_extent(n, last) < 4 || n->k->buffers.n > n->k->operands)
        return false;
    for (uint32_t i = 0; i < n->k->stages.n; i++) {
        const NestStage *s = &n->stages[i];
        int axis = choose_axis(n, s);
        double points = stage_points(n, s), cost = axis_cost(n, s, last);
        outer += points * cost;
        inner += points * (axis < 0 ? cost * target_lanes(n->e->target, 4)
                                    : axis_cost(n, s, (uint32_t)axis));
    }
    return outer < 0.6 * inner;
}

/* As VECTOR_INNER's kernel, but with vectors of grid points, and enough of them in a unit to fill
 * some. */
static void turn_to_grid(Nest *n)
{
    enum { ENOUGH = 64 };
    Kernel *k = arena_make(n->arena, Kernel);
    int64_t extent = axis_extent(n, n->k->grid - 1);
    *k = *n->k;
    k->vector = (int32_t)k->grid - 1;
    if (k->block < ENOUGH)
        k->block = extent < ENOUGH ? extent : ENOUGH;
    n->k = n->e->kernel = k;
}

static void choose_grid_vector(Nest *n)
{
    int64_t extent = axis_extent(n, n->k->grid - 1);
    double weight = 0;
    int bytes = 8;
    bool sums = false, random = false;
    for (uint32_t i = 0; i < n->k->stages.n; i++) {
        random |= has_random(&n->k->stages.at[i]);
        int b = element_bytes(n, &n->k->stages.at[i]);
        bytes = b < bytes ? b : bytes;
        weight += stage_weight(&n->stages[i]);
        sums |= n->stages[i].n_loops > n->stages[i].n_free;
    }
    if (extent > n->k->block)
        extent = n->k->block;
    n->grid_width = lanes_for(n, bytes, random, extent);
    n->grid_copies = copies_for(weight, sums, extent, n->grid_width);
    n->grid_lanes = n->grid_width > 1;
    for (uint32_t i = 0; i < n->k->stages.n; i++) {
        NestStage *s = &n->stages[i];
        s->vector = -1;
        s->lane_axis = n->grid_lanes ? (int)n->k->grid - 1 : -1;
        s->lanes = n->grid_width;
        s->copies = n->grid_lanes ? n->grid_copies : 1;
    }
}

/* ---- All ---- */

static void list_loops(NestStage *s)
{
    s->n_free = s->s->n_free;
    for (uint32_t i = 0; i < s->s->n_free; i++)
        s->loops[s->n_loops++] = s->s->free_axes[i];
    for (uint32_t i = 0; i < s->s->n_reduced; i++)
        s->loops[s->n_loops++] = s->s->reduced_axes[i];
    s->reduces = s->s->n_reduced || s->s->accums.n;
    for (uint32_t i = 0; i < s->s->accums.n; i++)
        s->n_accs += s->s->accums.at[i].combine >= COMBINE_ARGMAX ? 2 : 1;
}

/* The axes that exist in the stage: those of the grid and its own. */
static uint32_t stage_axes(const Nest *n, const NestStage *s)
{
    uint32_t set = (1u << n->k->grid) - 1;
    for (uint32_t i = 0; i < s->n_loops; i++)
        set |= 1u << s->loops[i];
    return set;
}

static bool find_dependences(Nest *n, NestStage *s)
{
    s->depends = arena_new_array(n->arena, uint32_t, s->s->insts.n + 1);
    s->level = arena_new_array(n->arena, uint8_t, s->s->insts.n + 1);
    for (InstId i = 0; i < s->s->insts.n; i++) {
        s->depends[i] = inst_depends(n, s, &s->s->insts.at[i]);
        if (s->depends[i] & ~stage_axes(n, s))
            return emit_fail(n->e, "instruction %u depends on an axis that its stage does not have",
                             i);
    }
    return true;
}

static double stage_cost(const Nest *n, const NestStage *s)
{
    return stage_points(n, s) * (1 + stage_weight(s) + s->s->stores.n) / s->lanes * 0.35;
}

bool nest_plan(Nest *n)
{
    bool any_loops = false;
    n->stages = arena_new_array(n->arena, NestStage, n->k->stages.n + 1);
    for (uint32_t i = 0; i < n->k->stages.n; i++) {
        NestStage *s = &n->stages[i];
        s->s = &n->k->stages.at[i];
        if (s->s->n_free + s->s->n_reduced + n->k->grid > KERNEL_MAX_AXES)
            return emit_fail(n->e, "too many axes");
        list_loops(s);
        any_loops |= s->n_loops > 0;
        if (!find_dependences(n, s))
            return false;
    }
    if (n->k->vector == VECTOR_INNER && any_loops && grid_is_better(n))
        turn_to_grid(n);
    bool last = n->k->grid && (n->k->vector == (int32_t)n->k->grid - 1 ||
                               (n->k->vector == VECTOR_INNER && !any_loops));
    if (last)
        choose_grid_vector(n);
    for (uint32_t i = 0; i < n->k->stages.n; i++) {
        NestStage *s = &n->stages[i];
        if (!last)
            choose_stage_vector(n, s);
        place_instructions(n, s);
        s->cost = stage_cost(n, s);
        s->light = stage_weight(s) <= 24 && s->vector + 1 == (int)s->n_loops;
        for (int c = 0; c < s->copies; c++)
            s->values[c] = arena_new_array(n->arena, LLVMValueRef, s->s->insts.n + 1);
    }
    return true;
}
