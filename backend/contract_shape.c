/* contract_shape.c: the shape of a contraction: vector axis, register tile, panel, blocks and
 * units.
 *
 * Everything is a small exhaustive search over a cost in cycles per step of the reduction. The
 * obvious way, fixed tiles with a table of exceptions, fails as soon as an axis is shorter than a
 * tile (convolutions of 7x7, heads of 10 classes). The constants are those of any machine with one
 * or two multiply-add pipes and two loads a cycle; only their ratios matter. */
#include "backend/contract.h"



#define STORE_CYCLES 1.2     /* one element of a scatter */
#define TRANSPOSE_CYCLES 0.8 /* one element of a panel copied through registers */
#define GATHER_CYCLES 1.5    /* one element gathered */
#define TREE_CYCLES 10.0     /* one sum over the lanes of a register */
#define VARIANT_COST 0.02    /* a further copy of the micro-kernel: time to compile and fetch it */
#define UNIT_FLOPS 5e5       /* the least work worth another thread: some microseconds */
enum {
    UNITS_WANTED = 64,
    UNITS_LEAST = 16,     /* before panels are used more often */
    PANEL_ROWS = 256,     /* rows that pay for a panel */
    COPY_ROWS = 48,       /* the same where columns are neighbours already */
    LINE = 64,            /* of a cache */
    ROWS_A_SET = 6,       /* of eight ways; the others are for the vector operand */
    NEAR_TILES = 2,       /* rows so near one another are one stream */
    STREAM_ROWS = 8,      /* of the operand, read side by side */
    STREAM_COLUMNS = 512, /* read along in one go */
    PREFETCH_TILES = 16,  /* reading the same: more would only ask again and again */
    SUMS_ELEMENTS = 32768 /* waiting on the stack between blocks */
};

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

/* Cycles for loads and stores of the epilogue when lanes run along v; v < 0: one result at a time.
 */
static double post_cycles(const Contract *c, int v)
{
    const KernelStage *s = &c->stage;
    double results = contract_product(c, c->free, c->n_free), each = 0;
    for (uint32_t i = 0; i < s->stores.n; i++) {
        const KernelAccess *x = &s->accesses.at[s->stores.at[i].access];
        each += v >= 0 && x->offset.coef[v] == 1 ? 1.0 / c->lanes : STORE_CYCLES;
    }
    return results * each;
}

static double vector_cost(const Contract *c, uint32_t v)
{
    double macs = contract_product(c, c->free, c->n_free) *
                  contract_product(c, c->reduced, c->n_reduced);
    double steps = macs / contract_n(c, v) * vectors_of(contract_n(c, v), c->lanes),
           cost = steps + post_cycles(c, (int)v);
    bool on_a = contract_depends(c->operand[0].x, v), on_b = contract_depends(c->operand[1].x, v);
    double reuse = 1;
    for (uint32_t i = 0; i < c->n_free; i++) {
        uint32_t r = c->free[i];
        if (r != v &&
            !((on_a && contract_depends(c->operand[0].x, r)) &&
              (on_b && contract_depends(c->operand[1].x, r))) &&
            !(on_a != on_b && contract_depends(c->operand[on_a ? 0 : 1].x, r)))
            reuse *= contract_n(c, r);
    }
    if (reuse == 1) /* every product needs a load of its own */
        cost += 0.5 * steps;
    for (int o = 0; o < 2; o++) {
        const KernelAccess *x = c->operand[o].x;
        int64_t stride = x->offset.coef[v];
        if (contract_guarded(x, v) || (on_a && on_b && stride != 1 && stride != 0))
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
    double results = contract_product(c, c->free, c->n_free),
           steps = results * contract_product(c, c->reduced, c->n_reduced - 1) *
                   vectors_of(contract_n(c, v), c->lanes);
    return 1.3 * steps + results * TREE_CYCLES + post_cycles(c, -1);
}

/* The cost with lanes along v, or of the dot form. Where the batch is mostly small: that times the
 * cost for one example, so that neither is worse by much. */
static double form_cost(Contract *c, bool dot, uint32_t v)
{
    double cost = dot ? dot_cost(c) : vector_cost(c, v);
    if (!c->kernel.few || cost < 0)
        return cost;
    Dim all[KERNEL_MAX_AXES + 1];
    for (uint32_t i = 0; i < c->n_free; i++) {
        Dim *d = &c->kernel.axes.at[c->free[i]].extent;
        all[i] = *d;
        d->n = d->k ? d->k : d->n;
    }
    cost *= dot ? dot_cost(c) : vector_cost(c, v);
    for (uint32_t i = 0; i < c->n_free; i++)
        c->kernel.axes.at[c->free[i]].extent = all[i];
    return cost;
}

static void choose_vector_axis(Contract *c)
{
    double best = form_cost(c, true, 0);
    c->dot = best >= 0;
    if (c->dot)
        c->v = c->reduced[c->n_reduced - 1];
    for (uint32_t i = c->n_free; i-- > 0;) {
        double cost = form_cost(c, false, c->free[i]);
        if (best < 0 || cost < best) {
            best = cost;
            c->v = c->free[i];
            c->dot = false;
        }
    }
}

/* ---- Register tile ---- */

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
    Pieces one = { 1, 0, 0 },
           p0 = t->r0 >= 0 ? pieces_of(contract_extent(c, (uint32_t)t->r0), t->t0) : one;
    Pieces p1 = t->r1 >= 0 ? pieces_of(contract_extent(c, (uint32_t)t->r1), t->t1) : one;
    double nv_rest = (double)((int64_t)vectors % t->nv);
    Pieces pv = { (double)((int64_t)vectors / t->nv), nv_rest > 0 ? 1 : 0, nv_rest };
    if (!c->dot && contract_extent(c, c->v).k && nv_rest > 0)
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

typedef struct {
    int registers;
    double vectors, steps;
    int64_t way; /* bytes of one way of the first cache: addresses so far apart share a set */
} TileSearch;

/* Rows along r that the first cache can hold side by side: each is read on along the reduction, a
 * line at a time. */
static int64_t rows_at_once(const Contract *c, const TileSearch *s, int32_t r)
{
    int o = vector_operand(c);
    if (r < 0 || c->dot || o == OPERAND_NONE)
        return CONTRACT_MAX_TILE;
    int64_t stride = c->operand[1 - o].x->offset.coef[r] * (int64_t)dtype_size(c->acc);
    stride = stride < 0 ? -stride : stride;
    return stride < LINE ? CONTRACT_MAX_TILE
                         : ROWS_A_SET * (s->way / common_divisor(s->way, stride));
}

/* One axis of rows: r1 in tiles of t1; or two: all of r1 (short) times t0 of r0. */
static void try_tiles(const Contract *c, TileChoice t, const TileSearch *s, TileChoice *best)
{
    int registers = s->registers;
    double vectors = s->vectors;
    int64_t most0 = rows_at_once(c, s, t.r0), most1 = rows_at_once(c, s, t.r1);
    most0 = most0 < registers ? most0 : registers - 1;
    most1 = most1 < registers ? most1 : registers - 1;
    Dim d1 = t.r1 >= 0 ? contract_extent(c, (uint32_t)t.r1) : (Dim){ 1, 0 };
    Dim d0 = t.r0 >= 0 ? contract_extent(c, (uint32_t)t.r0) : (Dim){ 1, 0 };
    double outer = contract_product(c, c->free, c->n_free) /
                   ((double)d0.n * (double)d1.n * (c->dot ? 1 : contract_n(c, c->v)));
    for (t.nv = 1; t.nv <= (c->dot ? 1 : 8) && t.nv <= vectors; t.nv++)
        for (t.t1 = t.r0 >= 0 && !c->dot ? d1.n : 1; t.t1 <= d1.n && t.t1 <= most1; t.t1++)
            for (t.t0 = t.r0 >= 0 ? 2 : 1; t.t0 <= d0.n && t.t0 <= most0; t.t0++) {
                int64_t sums = t.t0 * t.t1 * t.nv,
                        loads = c->dot ? (t.t0 < t.t1 ? t.t0 : t.t1) : t.nv;
                if (sums > CONTRACT_MAX_TILE || sums + loads + 1 > registers)
                    break;
                t.cost = tile_cost(c, &t, vectors, s->steps) * outer;
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
    return c->dot
               ? a0 != a1
               : contract_extent(c, r1).k == 0 && contract_extent(c, r1).n < CONTRACT_MAX_TILE / 2;
}

static void choose_tile(Contract *c, const Target *t, int attempt)
{
    double steps = contract_product(c, c->reduced, c->n_reduced), vectors = 1;
    if (c->dot)
        steps = steps / contract_n(c, c->v) * vectors_of(contract_n(c, c->v), c->lanes);
    else
        vectors = vectors_of(contract_n(c, c->v), c->lanes);
    TileSearch s = { t->vector_registers - 3 * attempt, vectors, steps, t->l1_bytes / 8 };
    TileChoice best = { .cost = -1 };
    try_tiles(c, (TileChoice){ .r0 = -1, .r1 = -1 }, &s, &best);
    for (uint32_t i = c->n_free; i-- > 0;) {
        if (is_row_axis(c, c->free[i]))
            try_tiles(c, (TileChoice){ .r0 = -1, .r1 = (int32_t)c->free[i] }, &s, &best);
        for (uint32_t j = 0; j < c->n_free; j++)
            if (box_axes(c, c->free[j], c->free[i]))
                try_tiles(c, (TileChoice){ .r0 = (int32_t)c->free[j], .r1 = (int32_t)c->free[i] },
                          &s, &best);
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
    int64_t n = contract_extent(c, c->v).n;
    c->tile[c->v] = (int64_t)best.nv * c->lanes;
    c->mask_always = t->masks && contract_extent(c, c->v).k == 0 && n % c->lanes &&
                     n > c->tile[c->v] && (int64_t)vectors % best.nv == 0;
}

/* ---- Order, blocks, units ---- */

/* Most reduction steps in one block: a panel of a quarter of the second cache. */
static int64_t block_limit(const Contract *c, const Target *t)
{
    return t->l2_bytes / 4 / ((c->dot ? c->lanes : c->tile[c->v]) * (int64_t)dtype_size(c->acc));
}

/* Whether the operand's rows are better copied although their columns are neighbours: so many, so
 * far apart that they meet in few sets of the second cache (of eight ways), or all too much for it
 * to be there at the next tile. */
static bool rows_collide(const Contract *c, const Target *t, const KernelAccess *x, double rows)
{
    double steps = contract_product(c, c->reduced, c->n_reduced), size = (double)dtype_size(c->acc),
           all = steps * size;
    double panel = all * (double)c->tile[c->v];
    if (!c->n_reduced || x->guards.n || rows < COPY_ROWS || panel <= (double)t->l1_bytes)
        return false;
    int64_t way = t->l2_bytes / 8, stride = x->offset.coef[c->reduced[c->n_reduced - 1]];
    stride = (stride < 0 ? -stride : stride) * (int64_t)size;
    if (stride <= NEAR_TILES * c->tile[c->v] * (int64_t)size)
        return false;
    for (uint32_t i = 0; i < c->n_free; i++)
        all *= contract_depends(x, c->free[i]) ? contract_n(c, c->free[i]) : 1;
    double limit = (double)block_limit(c, t),
           present = 8.0 * (double)(way / common_divisor(way, stride));
    return (steps < limit ? steps : limit) > present || all > 4.0 * (double)t->l2_bytes;
}

static void choose_panel(Contract *c, const Target *t)
{
    int o = c->dot ? OPERAND_NONE : vector_operand(c);
    c->packed = OPERAND_NONE;
    if (o == OPERAND_NONE || contract_guarded(c->operand[o].x, c->v))
        return;
    const KernelAccess *x = c->operand[o].x;
    double rows = 1, panel = contract_product(c, c->reduced, c->n_reduced) *
                             (double)dtype_size(c->acc) * (double)c->tile[c->v];
    for (uint32_t i = 0; i < c->n_free; i++)
        rows *= c->free[i] == c->v || contract_depends(x, c->free[i]) ? 1
                                                                      : contract_n(c, c->free[i]);
    if (c->operand[o].lane != 1 || rows_collide(c, t, x, rows))
        c->packed = o;
    c->stream = c->packed == OPERAND_NONE && rows == 1 && c->n_reduced && !x->guards.n &&
                panel > (double)t->l1_bytes && contract_n(c, c->v) > (double)c->tile[c->v];
}

/* v first, then what the vector operand depends on, then what reuses it; rows last. */
static void choose_order(Contract *c)
{
    int o = c->dot ? OPERAND_B : vector_operand(c);
    for (int rank = 0; rank < 4; rank++) {
        for (uint32_t i = 0; i < c->n_free; i++) {
            uint32_t a = c->free[i];
            bool dep = o == OPERAND_NONE || contract_depends(c->operand[o].x, a);
            int mine = !c->dot && a == c->v ? (c->stream ? 3 : 0)
                       : dep                ? 1
                       : c->tile[a] == 1    ? 2
                                            : 3;
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
        rows *= contract_n(c, c->order[i]) / (double)c->tile[c->order[i]];
    int64_t limit = block_limit(c, t), inner = 1;
    c->split = 0;
    if (c->stream) {
        c->blocked = true;
        c->split = c->n_reduced - 1;
        c->split_block = STREAM_ROWS;
        return;
    }
    if (c->dot || (rows <= 1 && c->packed == OPERAND_NONE) ||
        contract_product(c, c->reduced, c->n_reduced) <= 1.5 * (double)limit)
        return;
    for (uint32_t i = c->n_reduced; i-- > 0;) {
        int64_t n = contract_extent(c, c->reduced[i]).n;
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

static double operand_bytes(const Contract *c, int o)
{
    const KernelAccess *x = c->operand[o].x;
    double bytes = (double)dtype_size(c->operand[o].dtype);
    for (uint32_t i = 0; i < c->n_free; i++)
        bytes *= contract_depends(x, c->free[i]) ? contract_n(c, c->free[i]) : 1;
    for (uint32_t i = 0; i < c->n_reduced; i++)
        bytes *= contract_depends(x, c->reduced[i]) ? contract_n(c, c->reduced[i]) : 1;
    return bytes;
}

/* A vector operand too large for the second cache comes from far at every new tile column, in
 * pieces that no prefetcher of the machine sees through: each tile asks for what the next one will
 * read. */
static void choose_prefetch(Contract *c, const Target *t)
{
    int o = c->dot ? OPERAND_NONE : vector_operand(c);
    if (o == OPERAND_NONE || o == c->packed || c->stream || c->operand[o].lane != 1)
        return;
    const KernelAccess *x = c->operand[o].x;
    c->far = operand_bytes(c, o) > (double)t->l2_bytes;
    double tiles = 1; /* that read the same values: more of them would only ask again and again */
    for (uint32_t i = c->n_outside; i < c->n_order; i++)
        tiles *= contract_n(c, c->order[i]) / (double)c->tile[c->order[i]];
    if (!c->far || tiles > PREFETCH_TILES)
        return;
    for (uint32_t i = c->n_outside; i-- > 0 && !c->ahead[o];)
        c->ahead[o] = x->offset.coef[c->order[i]] * c->tile[c->order[i]];
}

static void lay_panel(Contract *c)
{
    int64_t step = c->dot ? c->lanes : c->tile[c->v];
    for (uint32_t i = c->n_reduced; i-- > c->split;) {
        c->panel_coef[c->reduced[i]] = step;
        step *= c->blocked && i == c->split ? c->split_block : contract_extent(c, c->reduced[i]).n;
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
    int64_t n = contract_extent(c, a).n, t = c->tile[a];
    double want = (double)c->block[a] * most;
    int64_t limit = want >= (double)n  ? n
                    : want < (double)t ? t
                                       : (int64_t)want,
            count = (n + limit - 1) / limit;
    int64_t even = (n + count - 1) / count;
    return (even + t - 1) / t * t;
}

static void choose_units(Contract *c)
{
    double steps = contract_product(c, c->reduced, c->n_reduced),
           total = 2 * steps * contract_product(c, c->free, c->n_free);
    double target = total / UNITS_WANTED > UNIT_FLOPS ? total / UNITS_WANTED : UNIT_FLOPS,
           unit = 2 * steps;
    double sums = c->dot || c->stream ? 1 : (double)c->tile[c->v], rows = 1;
    bool runtime_seen = false;
    for (uint32_t i = 0; i < c->n_order; i++) {
        uint32_t a = c->order[i];
        int64_t n = contract_extent(c, a).n;
        c->block[a] = c->tile[a];
        if (c->stream && a == c->v)
            c->block[a] = (STREAM_COLUMNS + c->tile[a] - 1) / c->tile[a] * c->tile[a];
        if (contract_extent(c, a).k && runtime_seen) /* the grid can count one such axis */
            c->block[a] = (n + c->tile[a] - 1) / c->tile[a] * c->tile[a];
        runtime_seen = runtime_seen || contract_extent(c, a).k;
        unit *= (double)(c->block[a] < n ? c->block[a] : n);
    }
    for (uint32_t i = c->n_order; i-- > 0;) {
        uint32_t a = c->order[i];
        bool inside = i >= c->n_outside;
        double most = target / unit, before = (double)c->block[a];
        double reuse = PANEL_ROWS / rows,
               few = total / UNITS_LEAST / unit; /* what is far is used often, but not by too few */
        reuse = reuse < few ? reuse : few;
        if (inside && (c->packed != OPERAND_NONE || c->far) && reuse > most)
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
        Dim d = contract_extent(c, a);
        if (d.k && d.n > c->block[a]) {
            c->grid.batch_scale = d.k;
            c->grid.batch_tile = c->block[a];
        } else
            c->grid.tiles *= (d.n + c->block[a] - 1) / c->block[a];
    }
    if (unit < UNIT_FLOPS)
        c->grid.grain = (uint32_t)(UNIT_FLOPS / unit) + 1;
}

void contract_shape(Contract *c, const Target *t, int attempt)
{
    choose_vector_axis(c);
    if (contract_extent(c, c->v).n == 1)
        c->lanes = 1;
    for (int o = 0; o < 2; o++)
        c->operand[o].lane = c->operand[o].x->offset.coef[c->v];
    choose_tile(c, t, attempt);
    choose_panel(c, t);
    choose_order(c);
    choose_prefetch(c, t);
    choose_reduction_blocks(c, t);
    choose_units(c);
    lay_panel(c);
    lay_sums(c);
}
