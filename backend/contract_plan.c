/* contract_plan.c: the shape of a contraction: vector axis, register tile, panel, blocks and units.
 *
 * Everything is a small exhaustive search over a cost in cycles per step of the reduction. The obvious way, fixed tiles with
 * a table of exceptions, fails as soon as an axis is shorter than a tile (convolutions of 7x7, heads of 10 classes). The
 * constants are those of any machine with one or two multiply-add pipes and two loads a cycle; only their ratios matter. */
#include "backend/contract.h"

#include <string.h>

#define STORE_CYCLES 1.2      /* one element of a scatter */
#define TRANSPOSE_CYCLES 0.8  /* one element of a panel copied through registers */
#define GATHER_CYCLES 1.5     /* one element gathered */
#define TREE_CYCLES 10.0      /* one sum over the lanes of a register */
#define VARIANT_COST 0.02     /* a further copy of the micro-kernel: time to compile it, room in the cache of instructions */
#define UNIT_FLOPS 5e5        /* the least work worth handing to another thread: some microseconds */
enum { UNITS_WANTED = 64, UNITS_LEAST = 16, PANEL_ROWS = 256, COPY_ROWS = 48, STREAM_ROWS = 8, STREAM_COLUMNS = 512, PREFETCH_TILES = 16, SUMS_ELEMENTS = 32768 };

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

static Dim extent(const Contract *c, uint32_t axis)
{
    return c->kernel.axes.at[axis].extent;
}

/* Everywhere outer steps are whole inner rounds: i_outer * n + i_inner is one index. */
static bool can_merge(const Contract *c, const AffineList *all, uint32_t outer, uint32_t inner)
{
    Dim d = extent(c, inner);
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

static void merge_axes(Contract *c, const AffineList *all, uint32_t *list, uint32_t *n, bool neighbours)
{
    for (uint32_t i = 0; i < *n; i++)
        if (extent(c, list[i]).n == 1) /* also when it is 1*B: then B is 1 */
            remove_axis(list, n, i--);
    bool again = true;
    while (again) {
        again = false;
        for (uint32_t i = 0; i < *n && !again; i++)
            for (uint32_t j = 0; j < *n && !again; j++)
                if (i != j && (!neighbours || j == i + 1) && can_merge(c, all, list[i], list[j])) {
                    Dim o = extent(c, list[i]), d = extent(c, list[j]);
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
        return emit_fail(e, "%s: indexed operands of a contraction are not supported yet", c->kernel.name);
    if (!dtype_is_float(out->dtype) || dtype_size(out->dtype) > dtype_size(c->acc))
        return emit_fail(e, "%s: %s operands of a contraction are not supported yet", c->kernel.name, dtype_name(out->dtype));
    return true;
}

bool contract_depends(const KernelAccess *x, uint32_t axis)
{
    bool yes = x->offset.coef[axis] != 0;
    for (uint32_t i = 0; i < x->guards.n; i++)
        yes = yes || x->guards.at[i].e.coef[axis] != 0;
    return yes;
}

static bool guarded_on(const KernelAccess *x, uint32_t axis)
{
    return x->offset.coef[axis] == 0 && contract_depends(x, axis);
}

static double axis_n(const Contract *c, uint32_t axis)
{
    return (double)extent(c, axis).n;
}

static double product(const Contract *c, const uint32_t *list, uint32_t n)
{
    double p = 1;
    for (uint32_t i = 0; i < n; i++)
        p *= axis_n(c, list[i]);
    return p;
}

/* Elements that a step along a reduced axis moves through both operands. */
static int64_t step_of(const Contract *c, uint32_t axis)
{
    int64_t a = c->operand[0].x->offset.coef[axis], b = c->operand[1].x->offset.coef[axis];
    return (a < 0 ? -a : a) + (b < 0 ? -b : b);
}

/* The order of the sum: longest steps first, equal ones as listed, so that the innermost loop runs along memory. */
static void sort_reduced(Contract *c)
{
    for (uint32_t i = 1; i < c->n_reduced; i++)
        for (uint32_t j = i; j > 0 && step_of(c, c->reduced[j]) > step_of(c, c->reduced[j - 1]); j--) {
            uint32_t axis = c->reduced[j];
            c->reduced[j] = c->reduced[j - 1];
            c->reduced[j - 1] = axis;
        }
}

/* ---- Vector axis ---- */

static double vectors_of(double n, int lanes)
{
    return (double)(int64_t)((n + lanes - 1) / lanes);
}

/* Cycles an element to bring operand x, strided along the lanes, into a panel. */
static double panel_cycles(const Contract *c, const KernelAccess *x)
{
    for (uint32_t i = 0; i < c->n_reduced; i++)
        if (x->offset.coef[c->reduced[i]] == 1)
            return TRANSPOSE_CYCLES;
    return GATHER_CYCLES;
}

/* Cycles for loads and stores of the epilogue when lanes run along v; v < 0: one result at a time. */
static double post_cycles(const Contract *c, int v)
{
    const KernelStage *s = &c->stage;
    double results = product(c, c->free, c->n_free), each = 0;
    for (uint32_t i = 0; i < s->stores.n; i++) {
        const KernelAccess *x = &s->accesses.at[s->stores.at[i].access];
        each += v >= 0 && x->offset.coef[v] == 1 ? 1.0 / c->lanes : STORE_CYCLES;
    }
    return results * each;
}

static double vector_cost(const Contract *c, uint32_t v)
{
    double macs = product(c, c->free, c->n_free) * product(c, c->reduced, c->n_reduced);
    double steps = macs / axis_n(c, v) * vectors_of(axis_n(c, v), c->lanes), cost = steps + post_cycles(c, (int)v);
    bool on_a = contract_depends(c->operand[0].x, v), on_b = contract_depends(c->operand[1].x, v);
    double reuse = 1;
    for (uint32_t i = 0; i < c->n_free; i++) {
        uint32_t r = c->free[i];
        if (r != v && !((on_a && contract_depends(c->operand[0].x, r)) && (on_b && contract_depends(c->operand[1].x, r))) &&
            !(on_a != on_b && contract_depends(c->operand[on_a ? 0 : 1].x, r)))
            reuse *= axis_n(c, r);
    }
    if (reuse == 1) /* every product needs a load of its own */
        cost += 0.5 * steps;
    for (int o = 0; o < 2; o++) {
        const KernelAccess *x = c->operand[o].x;
        int64_t stride = x->offset.coef[v];
        if (guarded_on(x, v) || (on_a && on_b && stride != 1 && stride != 0))
            cost += macs * GATHER_CYCLES;
        else if (stride != 0 && stride != 1)
            cost += macs / (reuse < PANEL_ROWS ? reuse : PANEL_ROWS) * panel_cycles(c, x);
    }
    return cost;
}

/* Lanes along the last reduced axis; negative when the operands do not run along it. */
static double dot_cost(const Contract *c)
{
    if (!c->n_reduced)
        return -1;
    uint32_t v = c->reduced[c->n_reduced - 1];
    const KernelAccess *a = c->operand[0].x, *b = c->operand[1].x;
    if (a->offset.coef[v] != 1 || b->offset.coef[v] != 1)
        return -1;
    double results = product(c, c->free, c->n_free), steps = results * product(c, c->reduced, c->n_reduced - 1) *
                                                             vectors_of(axis_n(c, v), c->lanes);
    return 1.3 * steps + results * TREE_CYCLES + post_cycles(c, -1);
}

static void choose_vector_axis(Contract *c)
{
    double best = dot_cost(c);
    c->dot = best >= 0;
    if (c->dot)
        c->v = c->reduced[c->n_reduced - 1];
    for (uint32_t i = c->n_free; i-- > 0;) {
        double cost = vector_cost(c, c->free[i]);
        if (best < 0 || cost < best) {
            best = cost;
            c->v = c->free[i];
            c->dot = false;
        }
    }
}

/* ---- Register tile ---- */

/* Cycles a step of a tile of `rows` x `nv`: multiply-adds (four deep), loads, loop. */
static double tile_cycles(double rows, double nv, double steps)
{
    double sums = rows * nv, busy = sums > 4 ? sums : 4;
    return busy + 0.3 * (rows + nv) + 0.6 + (12 + 2 * sums) / steps;
}

/* Pieces of an axis of extent d under tiles of t: full ones, and a rest. */
typedef struct {
    double full, rest_count, rest;
} Pieces;

static Pieces pieces_of(Dim d, int64_t t)
{
    Pieces p = { (double)(d.n / t), d.n % t ? 1 : 0, (double)(d.n % t) };
    if (d.k && p.rest_count) /* unknown rest: one at a time */
        p = (Pieces){ p.full, p.rest, 1 };
    return p;
}

typedef struct {
    double cost;
    int nv;
    int32_t r0, r1; /* axes, or -1 */
    int64_t t0, t1;
} TileChoice;

static double tile_cost(const Contract *c, const TileChoice *t, double vectors, double steps)
{
    Pieces one = { 1, 0, 0 }, p0 = t->r0 >= 0 ? pieces_of(extent(c, (uint32_t)t->r0), t->t0) : one;
    Pieces p1 = t->r1 >= 0 ? pieces_of(extent(c, (uint32_t)t->r1), t->t1) : one;
    double nv_rest = (double)((int64_t)vectors % t->nv);
    Pieces pv = { (double)((int64_t)vectors / t->nv), nv_rest > 0 ? 1 : 0, nv_rest };
    if (!c->dot && extent(c, c->v).k && nv_rest > 0)
        pv = (Pieces){ pv.full, nv_rest, 1 };
    double cost = 0;
    int variants = 0;
    for (int i = 0; i < 8; i++) {
        double n0 = i & 1 ? p0.rest_count : p0.full, n1 = i & 2 ? p1.rest_count : p1.full;
        double n2 = i & 4 ? pv.rest_count : pv.full, count = n0 * n1 * n2;
        double rows = (i & 1 ? p0.rest : (double)t->t0) * (i & 2 ? p1.rest : (double)t->t1);
        if (count > 0) {
            variants++;
            cost += count * tile_cycles(rows, i & 4 ? pv.rest : t->nv, steps);
        }
    }
    return cost * (1 + VARIANT_COST * variants);
}

/* Whether rows along r reuse a vector operand. */
static bool is_row_axis(const Contract *c, uint32_t r)
{
    if (r == c->v)
        return false;
    bool a = contract_depends(c->operand[0].x, r), b = contract_depends(c->operand[1].x, r);
    bool va = contract_depends(c->operand[0].x, c->v), vb = contract_depends(c->operand[1].x, c->v);
    return (va && !a) || (vb && !b);
}

/* One axis of rows: r1 in tiles of t1; or two: all of r1 (short) times t0 of r0. */
static void try_tiles(const Contract *c, TileChoice t, int registers, double vectors, double steps, TileChoice *best)
{
    Dim d1 = t.r1 >= 0 ? extent(c, (uint32_t)t.r1) : (Dim){ 1, 0 };
    Dim d0 = t.r0 >= 0 ? extent(c, (uint32_t)t.r0) : (Dim){ 1, 0 };
    double outer = product(c, c->free, c->n_free) / ((double)d0.n * (double)d1.n * (c->dot ? 1 : axis_n(c, c->v)));
    for (t.nv = 1; t.nv <= (c->dot ? 1 : 8) && t.nv <= vectors; t.nv++)
        for (t.t1 = t.r0 >= 0 && !c->dot ? d1.n : 1; t.t1 <= d1.n && t.t1 < registers; t.t1++)
            for (t.t0 = t.r0 >= 0 ? 2 : 1; t.t0 <= d0.n && t.t0 < registers; t.t0++) {
                int64_t sums = t.t0 * t.t1 * t.nv, loads = c->dot ? (t.t0 < t.t1 ? t.t0 : t.t1) : t.nv;
                if (sums > CONTRACT_MAX_TILE || sums + loads + 1 > registers)
                    break;
                t.cost = tile_cost(c, &t, vectors, steps) * outer;
                if (best->cost < 0 || t.cost < best->cost * 0.9999)
                    *best = t;
            }
}

/* In the dot form both operands are vectors: a square of results reuses each. */
static bool box_axes(const Contract *c, uint32_t r0, uint32_t r1)
{
    if (!is_row_axis(c, r0) || !is_row_axis(c, r1) || r0 == r1)
        return false;
    bool a0 = contract_depends(c->operand[0].x, r0), a1 = contract_depends(c->operand[0].x, r1);
    return c->dot ? a0 != a1 : extent(c, r1).k == 0 && extent(c, r1).n < CONTRACT_MAX_TILE / 2;
}

static void choose_tile(Contract *c, const Target *t, int attempt)
{
    int registers = t->vector_registers - 3 * attempt;
    double steps = product(c, c->reduced, c->n_reduced), vectors = 1;
    if (c->dot)
        steps = steps / axis_n(c, c->v) * vectors_of(axis_n(c, c->v), c->lanes);
    else
        vectors = vectors_of(axis_n(c, c->v), c->lanes);
    TileChoice best = { .cost = -1 };
    try_tiles(c, (TileChoice){ .r0 = -1, .r1 = -1 }, registers, vectors, steps, &best);
    for (uint32_t i = c->n_free; i-- > 0;) {
        if (is_row_axis(c, c->free[i]))
            try_tiles(c, (TileChoice){ .r0 = -1, .r1 = (int32_t)c->free[i] }, registers, vectors, steps, &best);
        for (uint32_t j = 0; j < c->n_free; j++)
            if (box_axes(c, c->free[j], c->free[i]))
                try_tiles(c, (TileChoice){ .r0 = (int32_t)c->free[j], .r1 = (int32_t)c->free[i] }, registers, vectors, steps,
                          &best);
    }
    for (uint32_t a = 0; a < KERNEL_MAX_AXES; a++)
        c->tile[a] = 1;
    if (best.r0 >= 0)
        c->tile[best.r0] = best.t0;
    if (best.r1 >= 0)
        c->tile[best.r1] = best.t1;
    c->nv = best.nv;
    if (c->dot)
        return;
    int64_t n = extent(c, c->v).n;
    c->tile[c->v] = (int64_t)best.nv * c->lanes;
    c->mask_always = t->masks && extent(c, c->v).k == 0 && n % c->lanes && n > c->tile[c->v] &&
                     (int64_t)vectors % best.nv == 0;
}

/* ---- Order, blocks, units ---- */

/* The operand whose values a panel would hold: the one with lanes. */
static int vector_operand(const Contract *c)
{
    bool a = contract_depends(c->operand[0].x, c->v), b = contract_depends(c->operand[1].x, c->v);
    return a == b ? OPERAND_NONE : a ? OPERAND_A : OPERAND_B;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* Most reduction steps in one block: a panel of a quarter of the second cache. */
static int64_t block_limit(const Contract *c, const Target *t)
{
    return t->l2_bytes / 4 / ((c->dot ? c->lanes : c->tile[c->v]) * (int64_t)dtype_size(c->acc));
}

/* Whether the operand's rows are better copied although their columns are neighbours: so many, so far apart that they meet in few
 * sets of the second cache (of eight ways), or all too much for it to be there at the next tile. */
static bool rows_collide(const Contract *c, const Target *t, const KernelAccess *x, double rows)
{
    double steps = product(c, c->reduced, c->n_reduced), size = (double)dtype_size(c->acc), all = steps * size;
    double panel = all * (double)c->tile[c->v];
    if (!c->n_reduced || x->guards.n || rows < COPY_ROWS || panel <= (double)t->l1_bytes)
        return false;
    int64_t way = t->l2_bytes / 8, stride = x->offset.coef[c->reduced[c->n_reduced - 1]];
    stride = (stride < 0 ? -stride : stride) * (int64_t)size;
    if (stride <= c->tile[c->v] * (int64_t)size)
        return false;
    for (uint32_t i = 0; i < c->n_free; i++)
        all *= contract_depends(x, c->free[i]) ? axis_n(c, c->free[i]) : 1;
    double limit = (double)block_limit(c, t), present = 8.0 * (double)(way / common_divisor(way, stride));
    return (steps < limit ? steps : limit) > present || all > 4.0 * (double)t->l2_bytes;
}

static void choose_panel(Contract *c, const Target *t)
{
    int o = c->dot ? OPERAND_NONE : vector_operand(c);
    c->packed = OPERAND_NONE;
    if (o == OPERAND_NONE || guarded_on(c->operand[o].x, c->v))
        return;
    const KernelAccess *x = c->operand[o].x;
    double rows = 1, panel = product(c, c->reduced, c->n_reduced) * (double)dtype_size(c->acc) * (double)c->tile[c->v];
    for (uint32_t i = 0; i < c->n_free; i++)
        rows *= c->free[i] == c->v || contract_depends(x, c->free[i]) ? 1 : axis_n(c, c->free[i]);
    if (c->operand[o].lane != 1 || rows_collide(c, t, x, rows))
        c->packed = o;
    c->stream = c->packed == OPERAND_NONE && rows == 1 && c->n_reduced && !x->guards.n && panel > (double)t->l1_bytes &&
                axis_n(c, c->v) > (double)c->tile[c->v];
}

/* v first, then what the vector operand depends on, then what reuses it; rows last. */
static void choose_order(Contract *c)
{
    int o = c->dot ? OPERAND_B : vector_operand(c);
    for (int rank = 0; rank < 4; rank++) {
        for (uint32_t i = 0; i < c->n_free; i++) {
            uint32_t a = c->free[i];
            bool dep = o == OPERAND_NONE || contract_depends(c->operand[o].x, a);
            int mine = !c->dot && a == c->v ? (c->stream ? 3 : 0) : dep ? 1 : c->tile[a] == 1 ? 2 : 3;
            if (mine == rank)
                c->order[c->n_order++] = a;
        }
        if (rank == 1)
            c->n_outside = c->n_order;
    }
}

static void choose_reduction_blocks(Contract *c, const Target *t)
{
    double rows = 1;
    for (uint32_t i = c->n_outside; i < c->n_order; i++)
        rows *= axis_n(c, c->order[i]) / (double)c->tile[c->order[i]];
    int64_t limit = block_limit(c, t), inner = 1;
    c->split = 0;
    if (c->stream) {
        c->blocked = true;
        c->split = c->n_reduced - 1;
        c->split_block = STREAM_ROWS;
        return;
    }
    if (c->dot || (rows <= 1 && c->packed == OPERAND_NONE) || product(c, c->reduced, c->n_reduced) <= 1.5 * (double)limit)
        return;
    for (uint32_t i = c->n_reduced; i-- > 0;) {
        int64_t n = extent(c, c->reduced[i]).n;
        if (inner * n > limit) {
            int64_t most = limit / inner > 1 ? limit / inner : 1, blocks = (n + most - 1) / most;
            c->blocked = true;
            c->split = i;
            c->split_block = (n + blocks - 1) / blocks;
            return;
        }
        inner *= n;
    }
}

/* A vector operand too large for the second cache comes from far at every new tile column, in pieces that no prefetcher of the
 * machine sees through: each tile asks for what the next one will read. */
static void choose_prefetch(Contract *c, const Target *t)
{
    int o = c->dot ? OPERAND_NONE : vector_operand(c);
    if (o == OPERAND_NONE || o == c->packed || c->stream || c->operand[o].lane != 1)
        return;
    const KernelAccess *x = c->operand[o].x;
    double bytes = (double)dtype_size(c->operand[o].dtype);
    for (uint32_t i = 0; i < c->n_free; i++)
        bytes *= contract_depends(x, c->free[i]) ? axis_n(c, c->free[i]) : 1;
    for (uint32_t i = 0; i < c->n_reduced; i++)
        bytes *= contract_depends(x, c->reduced[i]) ? axis_n(c, c->reduced[i]) : 1;
    double tiles = 1; /* that read the same values: more of them would only ask again and again */
    for (uint32_t i = c->n_outside; i < c->n_order; i++)
        tiles *= axis_n(c, c->order[i]) / (double)c->tile[c->order[i]];
    if (bytes <= (double)t->l2_bytes || tiles > PREFETCH_TILES)
        return;
    for (uint32_t i = c->n_outside; i-- > 0 && !c->ahead[o];)
        c->ahead[o] = x->offset.coef[c->order[i]] * c->tile[c->order[i]];
}

static void lay_panel(Contract *c)
{
    int64_t step = c->dot ? c->lanes : c->tile[c->v];
    for (uint32_t i = c->n_reduced; i-- > c->split;) {
        c->panel_coef[c->reduced[i]] = step;
        step *= c->blocked && i == c->split ? c->split_block : extent(c, c->reduced[i]).n;
    }
    c->panel_elements = step;
}

static void lay_sums(Contract *c)
{
    int64_t step = c->dot ? 1 : c->stream ? c->block[c->v] : c->tile[c->v];
    for (uint32_t i = c->n_order; i-- > c->n_outside;) {
        if (!c->dot && c->order[i] == c->v)
            continue;
        c->sums_coef[c->order[i]] = step;
        step *= c->block[c->order[i]];
    }
    if (!c->dot)
        c->sums_coef[c->v] = 1;
    c->sums_elements = step;
}

/* The widest block of axis `a` within `most` times the present one, in whole tiles, evenly cut. */
static int64_t widen_block(const Contract *c, uint32_t a, double most)
{
    int64_t n = extent(c, a).n, t = c->tile[a];
    double want = (double)c->block[a] * most;
    int64_t limit = want >= (double)n ? n : want < (double)t ? t : (int64_t)want, count = (n + limit - 1) / limit;
    int64_t even = (n + count - 1) / count;
    return (even + t - 1) / t * t;
}

static void choose_units(Contract *c)
{
    double steps = product(c, c->reduced, c->n_reduced), total = 2 * steps * product(c, c->free, c->n_free);
    double target = total / UNITS_WANTED > UNIT_FLOPS ? total / UNITS_WANTED : UNIT_FLOPS, unit = 2 * steps;
    double sums = c->dot || c->stream ? 1 : (double)c->tile[c->v], rows = 1;
    bool runtime_seen = false;
    for (uint32_t i = 0; i < c->n_order; i++) {
        uint32_t a = c->order[i];
        int64_t n = extent(c, a).n;
        c->block[a] = c->tile[a];
        if (c->stream && a == c->v)
            c->block[a] = (STREAM_COLUMNS + c->tile[a] - 1) / c->tile[a] * c->tile[a];
        if (extent(c, a).k && runtime_seen) /* the grid can count one such axis */
            c->block[a] = (n + c->tile[a] - 1) / c->tile[a] * c->tile[a];
        runtime_seen = runtime_seen || extent(c, a).k;
        unit *= (double)(c->block[a] < n ? c->block[a] : n);
    }
    for (uint32_t i = c->n_order; i-- > 0;) {
        uint32_t a = c->order[i];
        bool inside = i >= c->n_outside;
        double most = target / unit, before = (double)c->block[a];
        double reuse = PANEL_ROWS / rows, few = total / UNITS_LEAST / unit; /* a panel used often, but not by too few units */
        reuse = reuse < few ? reuse : few;
        if (inside && c->packed != OPERAND_NONE && reuse > most)
            most = reuse;
        if (inside && c->blocked && SUMS_ELEMENTS / sums < most * before)
            most = SUMS_ELEMENTS / sums / before;
        if (most > 1)
            c->block[a] = widen_block(c, a, most);
        unit *= (double)c->block[a] / before;
        if (inside) {
            rows *= (double)c->block[a];
            sums *= (double)c->block[a];
        }
    }
    c->grid = (KernelGrid){ .tiles = 1, .grain = 1 };
    for (uint32_t i = 0; i < c->n_order; i++) {
        uint32_t a = c->order[i];
        Dim d = extent(c, a);
        if (d.k && d.n > c->block[a]) {
            c->grid.batch_scale = d.k;
            c->grid.batch_tile = c->block[a];
        } else
            c->grid.tiles *= (d.n + c->block[a] - 1) / c->block[a];
    }
    if (unit < UNIT_FLOPS)
        c->grid.grain = (uint32_t)(UNIT_FLOPS / unit) + 1;
}

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
    if (!find_operand(e, c, c->stage.a, &c->operand[0]) || !find_operand(e, c, c->stage.b, &c->operand[1]))
        return false;
    list_axes(c, k);
    sort_reduced(c);
    merge_axes(c, &all, c->free, &c->n_free, false);
    merge_axes(c, &all, c->reduced, &c->n_reduced, true);
    if (!c->n_free && k->axes.n == KERNEL_MAX_AXES)
        return emit_fail(e, "%s: too many axes", k->name);
    if (!c->n_free) /* one result: a free axis of extent 1 of our own */
        c->free[c->n_free++] = k->axes.n;
    choose_vector_axis(c);
    if (extent(c, c->v).n == 1)
        c->lanes = 1;
    for (int o = 0; o < 2; o++)
        c->operand[o].lane = c->operand[o].x->offset.coef[c->v];
    choose_tile(c, e->target, attempt);
    choose_panel(c, e->target);
    choose_order(c);
    choose_prefetch(c, e->target);
    choose_reduction_blocks(c, e->target);
    choose_units(c);
    lay_panel(c);
    lay_sums(c);
    return true;
}
