/* nest.c: kernels without a contraction: grid, stages, loops, reductions, stores.
 *
 *   for unit in [begin, end):                  decoded row-major; the last grid axis in blocks
 *     for point in the block:                  vectors of points when the last grid axis is the
 * vector axis for each stage: for free axes: { for reduced axes: body }, post
 *
 * The vector loop of a stage stands where its axis stands: a main loop over whole steps, then the
 * rest as a masked copy of the same code, so that an element's bits do not depend on where the
 * vector ends. Inside it, `active` copies of each varying value are kept. Everything that can leave
 * a loop has left it (nest_plan.c). */
#include "backend/nest.h"

#include <string.h>

static void emit_loops(Nest *n, NestStage *s, uint32_t pos);

/* ---- One point ---- */

static InstEnv environment(Nest *n, const NestStage *s, int copy)
{
    InstEnv env = {
        .stage = s->s,
        .values = s->values[copy],
        .stage_values = (LLVMValueRef *const *)n->stage_values[copy],
        .accs = n->total[copy],
        .random = &n->random[copy],
    };
    memcpy(env.point.at, n->at, sizeof n->at);
    env.point.lanes = n->width;
    env.point.base = n->base[n->grid_lanes ? copy : 0];
    if (n->width > 1) {
        env.point.lane_axis = n->lane_axis;
        env.point.at[n->lane_axis] = n->lane_at[copy];
        env.point.mask = n->mask[copy];
    }
    return env;
}

/* ---- Equal instructions of several stages ---- */

static bool same_access(const NestMemo *m, const NestStage *s, const KernelAccess *x, int copy)
{
    const KernelAccess *y = &m->stage->s->accesses.at[m->stage->s->insts.at[m->inst].access];
    bool index = x->index == INST_NONE
                     ? y->index == INST_NONE
                     : y->index != INST_NONE &&
                           s->values[copy][x->index] == m->stage->values[copy][y->index];
    return index && x->buffer == y->buffer && x->index_stride == y->index_stride &&
           x->index_extent == y->index_extent &&
           !memcmp(&x->offset, &y->offset, sizeof x->offset) && x->guards.n == y->guards.n &&
           (!x->guards.n ||
            !memcmp(x->guards.at, y->guards.at, x->guards.n * sizeof *x->guards.at));
}

static bool same_operands(const NestMemo *m, const NestStage *s, const KernelInst *x, int copy)
{
    const KernelInst *y = &m->stage->s->insts.at[m->inst];
    const InstId a[] = { x->a, x->b, x->c }, b[] = { y->a, y->b, y->c };
    int count = x->kind == INST_RANDOM ? 3 : scalar_operands(x->op);
    for (int i = 0; i < count; i++)
        if (s->values[copy][a[i]] != m->stage->values[copy][b[i]])
            return false;
    return s->s->insts.at[x->a].dtype == m->stage->s->insts.at[y->a].dtype;
}

/* What an earlier stage computed at this point, or NULL: a value that several stages use is written
 * out in each. LLVM would find only some of it: not behind a store, a loop or a call. */
static LLVMValueRef find_equal(const Nest *n, const NestStage *s, InstId id, int copy)
{
    const KernelInst *x = &s->s->insts.at[id];
    for (uint32_t i = 0; i < n->memos.n; i++) {
        const NestMemo *m = &n->memos.at[i];
        const KernelInst *y = &m->stage->s->insts.at[m->inst];
        if (m->copy != copy || y->kind != x->kind || y->op != x->op || y->dtype != x->dtype)
            continue;
        bool same =
            x->kind == INST_LOAD    ? same_access(m, s, &s->s->accesses.at[x->access], copy)
            : x->kind == INST_INDEX ? !memcmp(&x->affine, &y->affine, sizeof x->affine)
            : x->kind == INST_RANDOM
                ? x->site == y->site && x->access == y->access && same_operands(m, s, x, copy)
                : x->kind == INST_SCALAR && same_operands(m, s, x, copy);
        if (same)
            return m->stage->values[copy][m->inst];
    }
    return NULL;
}

static bool is_remembered(const Nest *n, const NestStage *s, InstId id)
{
    const KernelInst *x = &s->s->insts.at[id];
    if (s->level[id] > LEVEL_POINT || n->k->stages.n == 1)
        return false;
    if (x->kind == INST_LOAD) {
        uint32_t buffer = s->s->accesses.at[x->access].buffer;
        return buffer < n->k->operands && !n->k->buffers.at[buffer].written;
    }
    return x->kind == INST_INDEX || x->kind == INST_SCALAR || x->kind == INST_RANDOM;
}

/* ---- Instructions and stores ---- */

/* The instructions of `level`, for one copy; what does not vary is emitted with copy 0 for all. */
static void emit_instructions(Nest *n, NestStage *s, int level, int copy)
{
    InstEnv env = environment(n, s, copy);
    for (InstId i = 0; i < s->s->insts.n; i++) {
        if (s->level[i] != level || (copy && !nest_varies(s, i)))
            continue;
        bool remembered = is_remembered(n, s, i);
        LLVMValueRef v = remembered ? find_equal(n, s, i, copy) : NULL;
        if (!v)
            v = inst_emit(n->e, &env, i);
        if (remembered && n->memos.n < NEST_MAX_MEMOS)
            vec_push(n->arena, &n->memos, (NestMemo){ s, i, copy });
        if (nest_varies(s, i) && n->width > 1)
            s->values[copy][i] = v;
        else
            for (int c = 0; c < s->copies; c++)
                s->values[c][i] = v;
    }
}

static void emit_stores(Nest *n, NestStage *s, int copy, bool in_body)
{
    InstEnv env = environment(n, s, copy);
    for (uint32_t i = 0; i < s->s->stores.n; i++)
        if (!s->reduces || s->s->stores.at[i].in_body == in_body)
            inst_store(n->e, &env, &s->s->stores.at[i]);
}

/* The innermost code: copy by copy, so that few values live at a time. */
static void emit_innermost(Nest *n, NestStage *s, int level)
{
    bool masked = n->reducing && s->vector >= (int)s->n_free;
    for (int c = 0; c < n->active; c++) {
        if (level >= 0)
            emit_instructions(n, s, level, c);
        emit_stores(n, s, c, true);
        if (n->reducing)
            nest_reduce_fold(n, s, c, masked ? n->mask[c] : NULL);
    }
}

/* What stands at `level`, and the loops from `next` on. */
static void emit_inside(Nest *n, NestStage *s, int level, uint32_t next)
{
    if (next == s->n_loops && (n->reducing || !s->reduces)) {
        emit_innermost(n, s, level);
        return;
    }
    for (int c = 0; c < n->active; c++)
        emit_instructions(n, s, level, c);
    emit_loops(n, s, next);
}

/* ---- The vector loop ---- */

static void open_lanes(Nest *n, int axis, int width, int copies)
{
    n->lane_axis = axis;
    n->width = width;
    n->active = copies;
    memset(n->mask, 0, sizeof n->mask);
}

static void close_lanes(Nest *n)
{
    n->width = n->active = 1;
    memset(n->mask, 0, sizeof n->mask);
}

/* Copies stand at `first` + copy * width; with `left`, the number of elements from `first` on,
 * lanes beyond are off. */
static void set_lanes(Nest *n, LLVMValueRef first, LLVMValueRef left)
{
    Emit *e = n->e;
    bool constant = left && LLVMIsAConstantInt(left);
    for (int c = 0; c < n->active; c++) {
        LLVMValueRef before = emit_i64(e, (int64_t)c * n->width);
        n->lane_at[c] = c ? LLVMBuildAdd(e->b, first, before, "") : first;
        bool whole =
            !left || (constant && LLVMConstIntGetSExtValue(left) >= (int64_t)(c + 1) * n->width);
        n->mask[c] =
            whole ? NULL : emit_tail_mask(e, LLVMBuildSub(e->b, left, before, ""), n->width);
    }
}

typedef void LanesBody(Nest *n, void *arg);

/* `count` elements from `begin` on along the lane axis, in steps of `copies` vectors. `light`: few
 * instructions stand in the loop. Carried values are n->acc, `n_accs` for each copy, when
 * n->reducing. */
typedef struct {
    int axis, width, copies;
    LLVMValueRef begin, count;
    uint32_t n_accs;
    bool light;
    LanesBody *body;
    void *arg;
} Lanes;

static void emit_steps(Nest *n, const Lanes *l, LLVMValueRef from, LLVMValueRef to, int copies,
                       bool masked)
{
    Emit *e = n->e;
    EmitLoop loop;
    open_lanes(n, l->axis, l->width, copies);
    emit_loop_begin(e, &loop, from, to, (int64_t)l->width * copies, n->acc,
                    n->reducing ? (int)l->n_accs * l->copies : 0);
    set_lanes(n, loop.i, masked ? LLVMBuildSub(e->b, to, loop.i, "") : NULL);
    l->body(n, l->arg);
    emit_loop_end(e, &loop);
}

/* A constant count: a loop of whole steps, then straight-line code of as many vectors as the rest
 * needs. */
static void emit_known_lanes(Nest *n, const Lanes *l)
{
    Emit *e = n->e;
    int64_t count = LLVMConstIntGetSExtValue(l->count), step = (int64_t)l->width * l->copies;
    int64_t whole = count > 0 ? count / step * step : 0, rest = count - whole;
    LLVMValueRef middle = LLVMBuildAdd(e->b, l->begin, emit_i64(e, whole), "");
    if (whole)
        emit_steps(n, l, l->begin, middle, l->copies, false);
    if (rest > 0) {
        open_lanes(n, l->axis, l->width, (int)((rest + l->width - 1) / l->width));
        set_lanes(n, middle, emit_i64(e, rest));
        l->body(n, l->arg);
    }
}

/* Otherwise whole steps, then one masked vector a time or, for a reduction, whose lanes must be
 * element mod 64, one masked step. Where masks cost nothing and more than a little stands in the
 * loop, all steps are masked: half the code. */
static void emit_lanes_loop(Nest *n, const Lanes *l)
{
    Emit *e = n->e;
    int64_t step = (int64_t)l->width * l->copies;
    if (LLVMIsAConstantInt(l->count)) {
        emit_known_lanes(n, l);
        close_lanes(n);
        return;
    }
    LLVMValueRef end = LLVMBuildAdd(e->b, l->begin, l->count, ""), middle = l->begin;
    bool all_masked = (n->e->target->masks && (n->reducing || !l->light)) || (step & (step - 1));
    if (!all_masked) {
        middle =
            LLVMBuildAdd(e->b, l->begin, LLVMBuildAnd(e->b, l->count, emit_i64(e, -step), ""), "");
        emit_steps(n, l, l->begin, middle, l->copies, false);
    }
    emit_steps(n, l, middle, end, n->reducing || all_masked ? l->copies : 1, true);
    close_lanes(n);
}

typedef struct {
    NestStage *s;
    uint32_t pos;
} StageLanes;

static void stage_lanes_body(Nest *n, void *arg)
{
    StageLanes *a = arg;
    emit_inside(n, a->s, LEVEL_LOOP + (int)a->pos, a->pos + 1);
}

/* ---- Loops of a stage ---- */

static void emit_reduction(Nest *n, NestStage *s)
{
    bool across = s->vector >= (int)s->n_free; /* the vector axis is one of the reduced */
    int copies = across ? s->copies : n->active, lanes = across ? s->lanes : n->width;
    nest_reduce_init(n, s, copies, lanes);
    n->reducing = true;
    if (s->n_free == s->n_loops)
        emit_innermost(n, s, -1);
    else
        emit_loops(n, s, s->n_free);
    n->reducing = false;
    if (across)
        nest_reduce_lanes(n, s, copies, lanes);
    nest_reduce_finish(n, s, across ? 1 : copies);
    for (int c = 0; c < n->active; c++) {
        emit_instructions(n, s, LEVEL_POST, c);
        emit_stores(n, s, c, false);
    }
}

/* A short scalar loop with constant trips around little code is straight-line code. */
static bool is_unrolled(const Nest *n, const NestStage *s, uint32_t pos)
{
    int64_t trips = 1;
    for (uint32_t i = pos; i < s->n_loops; i++) {
        Dim d = n->k->axes.at[s->loops[i]].extent;
        if (d.k || d.n > 4 || (int)i == s->vector)
            return false;
        trips *= d.n;
    }
    return trips * s->s->insts.n * (uint32_t)n->active <= 48;
}

static void emit_loops(Nest *n, NestStage *s, uint32_t pos)
{
    Emit *e = n->e;
    if (pos == s->n_free && s->reduces && !n->reducing) {
        emit_reduction(n, s);
        return;
    }
    uint32_t axis = s->loops[pos];
    LLVMValueRef zero = emit_i64(e, 0), extent = emit_extent(e, n->k->axes.at[axis].extent);
    if ((int)pos == s->vector) {
        StageLanes arg = { s, pos };
        Lanes l = { (int)axis, s->lanes, s->copies,        zero, extent,
                    s->n_accs, s->light, stage_lanes_body, &arg };
        emit_lanes_loop(n, &l);
        return;
    }
    if (is_unrolled(n, s, pos)) {
        for (int64_t i = 0; i < n->k->axes.at[axis].extent.n; i++) {
            n->at[axis] = emit_i64(e, i);
            emit_inside(n, s, LEVEL_LOOP + (int)pos, pos + 1);
        }
    } else {
        EmitLoop l;
        int copies = s->vector >= (int)s->n_free ? s->copies : n->active;
        emit_loop_begin(e, &l, zero, extent, 1, n->acc, n->reducing ? (int)s->n_accs * copies : 0);
        n->at[axis] = l.i;
        emit_inside(n, s, LEVEL_LOOP + (int)pos, pos + 1);
        emit_loop_end(e, &l);
    }
    n->at[axis] = NULL;
}

/* ---- The grid ---- */

/* Scratch of a grid vector lies lane by lane; its address takes the lane axis with stride 1, so the
 * base is moved back by where the vector stands. */
static void place_scratch(Nest *n)
{
    for (int c = 0; c < n->active && n->grid_lanes; c++)
        for (uint32_t i = n->k->operands; i < n->k->buffers.n; i++) {
            const KernelBuffer *b = &n->k->buffers.at[i];
            LLVMValueRef to = emit_i64(n->e, (int64_t)c * b->scratch * n->grid_width);
            n->base[c][i] = emit_element(n->e, b->dtype, n->scratch[i],
                                         LLVMBuildSub(n->e->b, to, n->lane_at[c], ""));
        }
}

static void emit_stages(Nest *n, void *arg)
{
    (void)arg;
    uint32_t outside = n->memos.n;
    place_scratch(n);
    for (uint32_t i = 0; i < n->k->stages.n; i++)
        emit_inside(n, &n->stages[i], LEVEL_POINT, 0);
    n->memos.n = outside; /* what was computed for this point */
}

/* ceil(extent of the last grid axis / block) */
static LLVMValueRef block_count(Nest *n)
{
    Emit *e = n->e;
    Dim d = n->k->axes.at[n->k->grid - 1].extent;
    if (!d.k)
        return emit_i64(e, (d.n + n->k->block - 1) / n->k->block);
    LLVMValueRef up = LLVMBuildAdd(e->b, emit_extent(e, d), emit_i64(e, n->k->block - 1), "");
    return LLVMBuildUDiv(e->b, up, emit_i64(e, n->k->block), "");
}

/* The grid axes of unit `u`; returns the number of its block. */
static LLVMValueRef decode_unit(Nest *n, LLVMValueRef u)
{
    Emit *e = n->e;
    if (n->k->grid == 1)
        return u;
    LLVMValueRef blocks = block_count(n), block = LLVMBuildURem(e->b, u, blocks, "");
    u = LLVMBuildUDiv(e->b, u, blocks, "");
    for (uint32_t a = n->k->grid - 1; a-- > 0;) {
        LLVMValueRef extent = emit_extent(e, n->k->axes.at[a].extent);
        n->at[a] = a ? LLVMBuildURem(e->b, u, extent, "") : u;
        u = a ? LLVMBuildUDiv(e->b, u, extent, "") : u;
    }
    return block;
}

static void emit_level(Nest *n, int level)
{
    for (uint32_t i = 0; i < n->k->stages.n; i++)
        emit_instructions(n, &n->stages[i], level, 0);
}

static void emit_unit(Nest *n, LLVMValueRef u)
{
    Emit *e = n->e;
    if (!n->k->grid) {
        emit_stages(n, NULL);
        return;
    }
    uint32_t last = n->k->grid - 1;
    Dim d = n->k->axes.at[last].extent;
    LLVMValueRef block = decode_unit(n, u);
    emit_level(n, LEVEL_UNIT);
    if (n->k->block == 1 && !n->grid_lanes) {
        n->at[last] = block;
        emit_stages(n, NULL);
        return;
    }
    LLVMValueRef from = emit_i64(e, 0), count = emit_extent(e, d);
    if (d.k || d.n > n->k->block) {
        from = LLVMBuildMul(e->b, block, emit_i64(e, n->k->block), "");
        LLVMValueRef left = LLVMBuildSub(e->b, count, from, ""), whole = emit_i64(e, n->k->block);
        count = !d.k && d.n % n->k->block == 0 ? whole : emit_min(e, whole, left);
    }
    if (n->grid_lanes) {
        bool light = n->k->stages.n == 1 && n->stages[0].light;
        Lanes l = { (int)last, n->grid_width, n->grid_copies, from, count,
                    0,         light,         emit_stages,    NULL };
        emit_lanes_loop(n, &l);
        return;
    }
    EmitLoop l;
    emit_loop_begin(e, &l, from, LLVMBuildAdd(e->b, from, count, ""), 1, NULL, 0);
    n->at[last] = l.i;
    emit_stages(n, NULL);
    emit_loop_end(e, &l);
}

/* ---- Preparation ---- */

static bool prepare_scratch(Nest *n)
{
    int64_t total = 0, points = n->grid_lanes ? (int64_t)n->grid_width * n->grid_copies : 1;
    for (uint32_t i = n->k->operands; i < n->k->buffers.n; i++) {
        const KernelBuffer *b = &n->k->buffers.at[i];
        int64_t bytes;
        if (__builtin_mul_overflow(b->scratch, points * (int64_t)dtype_size(b->dtype), &bytes) ||
            bytes > NEST_SCRATCH_BYTES || (total += bytes) > NEST_SCRATCH_BYTES)
            return emit_fail(n->e, "scratch of a kernel exceeds %d bytes", NEST_SCRATCH_BYTES);
        n->scratch[i] = n->base[0][i] = emit_alloca(n->e, bytes);
    }
    return true;
}

/* With a grid vector, element o of a scratch buffer stands at o * lanes + lane. Works on a copy of
 * the stages. */
static const Kernel *widen_scratch(Arena *a, const Kernel *k, int lanes)
{
    Kernel *copy = arena_make(a, Kernel);
    *copy = *k;
    copy->stages.at = arena_new_array(a, KernelStage, k->stages.n + 1);
    for (uint32_t i = 0; i < k->stages.n; i++) {
        KernelStage *s = &copy->stages.at[i];
        *s = k->stages.at[i];
        KernelAccess *x = arena_new_array(a, KernelAccess, s->accesses.n + 1);
        for (uint32_t j = 0; j < s->accesses.n; j++) {
            x[j] = s->accesses.at[j];
            if (x[j].buffer < k->operands)
                continue;
            for (uint32_t c = 0; c < KERNEL_MAX_AXES; c++)
                x[j].offset.coef[c] *= lanes;
            x[j].offset.c *= lanes;
            x[j].index_stride *= lanes;
            x[j].offset.coef[k->grid - 1] = 1;
        }
        s->accesses.at = x;
    }
    return copy;
}

static bool prepare(Nest *n)
{
    uint32_t most = 1;
    if (!nest_plan(n))
        return false;
    if (n->grid_lanes && n->k->buffers.n > n->k->operands) {
        n->k = n->e->kernel = widen_scratch(n->arena, n->k, n->grid_width);
        for (uint32_t i = 0; i < n->k->stages.n; i++)
            n->stages[i].s = &n->k->stages.at[i];
    }
    for (uint32_t i = 0; i < n->k->stages.n; i++)
        most = n->stages[i].n_accs > most ? n->stages[i].n_accs : most;
    n->scratch = arena_new_array(n->arena, LLVMValueRef, n->k->buffers.n + 1);
    n->acc = arena_new_array(n->arena, LLVMValueRef, most * NEST_MAX_COPIES);
    for (int c = 0; c < NEST_MAX_COPIES; c++) {
        n->total[c] = arena_new_array(n->arena, LLVMValueRef, most);
        n->base[c] = arena_new_array(n->arena, LLVMValueRef, n->k->buffers.n + 1);
        n->stage_values[c] = arena_new_array(n->arena, LLVMValueRef *, n->k->stages.n + 1);
        for (uint32_t i = 0; i < n->k->operands; i++)
            n->base[c][i] = n->e->buffer[i];
        for (uint32_t i = 0; i < n->k->stages.n;
             i++) /* a scalar of the unit is where its stage closed its lanes */
            n->stage_values[c][i] =
                n->stages[i].values[n->grid_lanes && c < n->stages[i].copies ? c : 0];
    }
    return prepare_scratch(n);
}

/* Units as dlrt counts them, and how many are worth a thread: about 10 microseconds. */
static bool count_units(Nest *n, KernelGrid *out_grid)
{
    const Kernel *k = n->k;
    KernelGrid g = { .tiles = 1, .batch_tile = 1 };
    double cost = 1;
    for (uint32_t a = 0; a < k->grid; a++) {
        Dim d = k->axes.at[a].extent;
        int64_t block = a + 1 == k->grid ? k->block : 1;
        if (d.k && g.batch_scale)
            return emit_fail(n->e, "two axes of the grid depend on the batch");
        if (d.k) {
            g.batch_scale = d.k;
            g.batch_tile = block;
        } else if (__builtin_mul_overflow(g.tiles, (d.n + block - 1) / block, &g.tiles)) {
            return emit_fail(n->e, "the grid is too large");
        }
        if (a + 1 == k->grid)
            cost = (double)(block < d.n ? block : d.n);
    }
    double unit = 0;
    for (uint32_t i = 0; i < k->stages.n; i++)
        unit += n->stages[i].cost * cost;
    g.grain = unit > 10000 ? 1 : unit < 0.01 ? 1000000 : (uint32_t)(10000 / unit);
    *out_grid = g;
    return true;
}

bool nest_emit(Emit *e, const Kernel *k, KernelGrid *out_grid)
{
    Nest n = { .e = e, .k = k, .arena = arena_new(), .active = 1, .width = 1 };
    bool ok = prepare(&n) && count_units(&n, out_grid);
    if (ok) {
        EmitLoop l;
        emit_level(&n, LEVEL_ENTRY);
        emit_loop_begin(e, &l, e->begin, e->end, 1, NULL, 0);
        emit_unit(&n, l.i);
        emit_loop_end(e, &l);
        LLVMBuildRetVoid(e->b);
    }
    arena_free(n.arena);
    e->kernel = k;
    return ok && !*e->error;
}
