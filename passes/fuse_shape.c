/* fuse_shape.c: from a list of axes to a grid, a block and a vector axis.
 *
 * First neighbouring axes become one wherever every access of the kernel walks them as one: most
 * element-wise kernels end with a single long axis. Then the grid is chosen from shapes alone,
 * never from the number of threads: units of some hundreds to thousands of elements. */
#include "passes/fuse.h"

#include <string.h>

enum {
    UNIT_ELEMENTS = 512, /* a unit should have at least about so many */
    LONG_AXIS = 2048,    /* from here on an axis is cut into blocks */
    BLOCK = 1024,
    ROW_MAX = 8192,      /* rows up to this length stay whole in a unit */
    COLUMN = 64,         /* places of a column form side by side */
    LANES = 8            /* an axis shorter than this is a poor vector axis */
};

typedef void AffineVisit(Affine *e, void *arg);

/* Every affine expression of a stage. */
static void visit_stage(KernelStage *s, AffineVisit *visit, void *arg)
{
    for (uint32_t i = 0; i < s->accesses.n; i++) {
        visit(&s->accesses.at[i].offset, arg);
        for (uint32_t j = 0; j < s->accesses.at[i].guards.n; j++)
            visit(&s->accesses.at[i].guards.at[j].e, arg);
    }
    for (uint32_t i = 0; i < s->insts.n; i++)
        if (s->insts.at[i].kind == INST_INDEX)
            visit(&s->insts.at[i].affine, arg);
}

static void visit_kernel(Kernel *k, AffineVisit *visit, void *arg)
{
    for (uint32_t i = 0; i < k->stages.n; i++)
        visit_stage(&k->stages.at[i], visit, arg);
}

typedef struct {
    uint32_t outer, inner;
    int64_t extent;
    bool fits;
} Pair;

static void check_pair(Affine *e, void *arg)
{
    Pair *p = arg;
    int64_t want;
    p->fits &=
        !__builtin_mul_overflow(e->coef[p->inner], p->extent, &want) && e->coef[p->outer] == want;
}

static void drop_axis(Affine *e, void *arg)
{
    e->coef[*(uint32_t *)arg] = 0;
}

static void remove_at(uint32_t *list, uint32_t *n, uint32_t i)
{
    memmove(list + i, list + i + 1, (*n - i - 1) * sizeof *list);
    --*n;
}

static void collapse(Kernel *k, uint32_t *list, uint32_t *n)
{
    for (uint32_t i = 0; i < *n;) /* an axis of extent 1 is no axis */
        if (k->axes.at[list[i]].extent.n == 1 && !k->axes.at[list[i]].extent.k) {
            visit_kernel(k, drop_axis, &list[i]);
            remove_at(list, n, i);
        } else {
            i++;
        }
    for (uint32_t i = *n; i-- > 1;) {
        Dim o = k->axes.at[list[i - 1]].extent, *d = &k->axes.at[list[i]].extent;
        Pair p = { list[i - 1], list[i], d->n, !d->k };
        visit_kernel(k, check_pair, &p);
        if (!p.fits)
            continue;
        *d = (Dim){ o.n * d->n, o.k * d->n };
        visit_kernel(k, drop_axis, &list[i - 1]);
        remove_at(list, n, i - 1);
    }
}

typedef struct {
    uint32_t to[KERNEL_MAX_AXES];
} Renumbering;

static void renumber(Affine *e, void *arg)
{
    const Renumbering *r = arg;
    Affine old = *e;
    memset(e->coef, 0, sizeof e->coef);
    for (uint32_t i = 0; i < KERNEL_MAX_AXES; i++)
        if (old.coef[i])
            e->coef[r->to[i]] = old.coef[i];
}

static void place(Kernel *k, const KernelAxis *old, Renumbering *r, uint32_t *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        r->to[list[i]] = k->axes.n;
        k->axes.at[k->axes.n] = old[list[i]];
        list[i] = k->axes.n++;
    }
}

/* Axes in their final order: the grid, then each stage's own. */
static void number_axes(Build *b, uint32_t *grid, uint32_t n_grid)
{
    Kernel *k = b->k;
    KernelAxis old[KERNEL_MAX_AXES];
    Renumbering r = { { 0 } };
    if (k->axes.n)
        memcpy(old, k->axes.at, k->axes.n * sizeof *old);
    k->axes.at = arena_new_array(b->f->arena, KernelAxis, KERNEL_MAX_AXES + 1);
    k->axes.n = 0;
    k->axes.cap = KERNEL_MAX_AXES;
    place(k, old, &r, grid, n_grid);
    if (!n_grid)
        k->axes.at[k->axes.n++] = (KernelAxis){ dim_of(1) };
    k->grid = k->axes.n;
    for (uint32_t i = 0; i < k->stages.n; i++) {
        place(k, old, &r, k->stages.at[i].free_axes, k->stages.at[i].n_free);
        place(k, old, &r, k->stages.at[i].reduced_axes, k->stages.at[i].n_reduced);
    }
    visit_kernel(k, renumber, &r);
}

static int64_t extent(const Build *b, uint32_t axis)
{
    return b->k->axes.at[axis].extent.n;
}

static int64_t product(const Build *b, const uint32_t *list, uint32_t n)
{
    int64_t p = 1;
    for (uint32_t i = 0; i < n; i++)
        p *= extent(b, list[i]);
    return p;
}

static void keep_free(KernelStage *s, const uint32_t *list, uint32_t n)
{
    memcpy(s->free_axes, list, n * sizeof *list);
    s->n_free = n;
}

typedef struct {
    uint32_t last;
    bool row; /* a value that does not change along the last axis but along others: computed once a
                 row */
    bool column; /* a value that changes along the last axis alone: computed once for each of its
                    places */
} Reuse;

static void find_reuse(Affine *e, void *arg)
{
    Reuse *r = arg;
    bool others = false;
    for (uint32_t i = 0; i < KERNEL_MAX_AXES; i++)
        others |= i != r->last && e->coef[i] != 0;
    r->row |= !e->coef[r->last] && others;
    r->column |= e->coef[r->last] && !others;
}

typedef struct {
    uint32_t axis, added;
    int64_t inner;
} Cut;

static void cut_affine(Affine *e, void *arg)
{
    const Cut *c = arg;
    e->coef[c->added] = e->coef[c->axis];
    e->coef[c->axis] *= c->inner;
}

/* Cuts list[i] in two so that its inner part is at most `want` long: the largest divisor. */
static void cut_axis(Build *b, uint32_t *list, uint32_t *n, uint32_t i, int64_t want)
{
    Kernel *k = b->k;
    Dim d = k->axes.at[list[i]].extent;
    int64_t inner = want;
    while (inner > 1 && (d.n % inner || d.k % inner))
        inner--;
    if (inner <= 1 || inner == d.n || k->axes.n >= KERNEL_MAX_AXES)
        return;
    Cut c = { list[i], k->axes.n, inner };
    vec_push(b->f->arena, &k->axes, (KernelAxis){ dim_of(inner) });
    k->axes.at[list[i]].extent = (Dim){ d.n / inner, d.k / inner };
    visit_kernel(k, cut_affine, &c);
    memmove(list + i + 2, list + i + 1, (*n - i - 1) * sizeof *list);
    list[i + 1] = c.added;
    ++*n;
}

static void shape_flat(Build *b, uint32_t *list, uint32_t n)
{
    int64_t last = n ? extent(b, list[n - 1]) : 0;
    b->k->block = last > LONG_AXIS ? BLOCK : last > 0 ? last : 1;
    b->k->vector = n ? (int32_t)n - 1 : VECTOR_NONE;
    keep_free(b->s, list, 0);
    number_axes(b, list, n);
}

static int64_t column_block(const Build *b, uint32_t axis)
{
    int64_t n = extent(b, axis);
    return n > COLUMN ? COLUMN : n > 0 ? n : 1;
}

/* The last axis is the grid, the others run within a unit: values along the last axis are computed
 * once. */
static void shape_column(Build *b, uint32_t *list, uint32_t n)
{
    b->k->block = column_block(b, list[n - 1]);
    b->k->vector = 0;
    keep_free(b->s, list, n - 1);
    uint32_t grid[1] = { list[n - 1] };
    number_axes(b, grid, 1);
}

/* Without a reduction. */
static void shape_elementwise(Build *b, uint32_t *list, uint32_t n)
{
    Reuse reuse = { n ? list[n - 1] : 0, false, false };
    visit_stage(b->s, find_reuse, &reuse);
    if (n <= 1) {
        shape_flat(b, list, n);
        return;
    }
    int64_t last = extent(b, list[n - 1]);
    bool rows = reuse.row && last <= ROW_MAX;
    if (!rows && reuse.column && product(b, list, n - 1) <= ROW_MAX / COLUMN && n - 1 <= 4) {
        shape_column(b, list, n);
        return;
    }
    if (!rows && last >= UNIT_ELEMENTS) {
        shape_flat(b, list, n);
        return;
    }
    uint32_t inner = 1; /* axes that stay within a unit */
    for (int64_t elements = last; !rows && inner < n && elements < UNIT_ELEMENTS; inner++) {
        uint32_t i = n - inner - 1;
        if (elements > 0 && extent(b, list[i]) > UNIT_ELEMENTS / elements) {
            uint32_t before = n;
            cut_axis(b, list, &n, i, UNIT_ELEMENTS / elements);
            inner += n > before;
            break;
        }
        elements *= extent(b, list[i]);
    }
    b->k->block = 1;
    b->k->vector = VECTOR_INNER;
    keep_free(b->s, list + n - inner, inner);
    number_axes(b, list, n - inner);
}

/* The load changes from one term of the sum to the next. */
static bool varies_in_sum(const KernelStage *s, const KernelAccess *x)
{
    for (uint32_t i = 0; i < s->n_reduced; i++)
        if (x->offset.coef[s->reduced_axes[i]])
            return true;
    return false;
}

/* How many loads of the body walk `axis` with stride 1; `each`: of those that every term needs. */
static uint32_t contiguous_loads(const KernelStage *s, uint32_t axis, bool each)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->body_insts; i++) {
        const KernelInst *x = &s->insts.at[i];
        if (x->kind != INST_LOAD)
            continue;
        const KernelAccess *load = &s->accesses.at[x->access];
        n += load->offset.coef[axis] == 1 && (!each || varies_in_sum(s, load));
    }
    return n;
}

static void shape_reduction(Build *b, uint32_t *list, uint32_t n)
{
    Kernel *k = b->k;
    KernelStage *s = b->s;
    k->block = 1;
    k->vector = VECTOR_INNER;
    uint32_t inner = UINT32_MAX, inner_loads = 0;
    for (uint32_t i = 0; i < s->n_reduced; i++) {
        uint32_t loads = contiguous_loads(s, s->reduced_axes[i], true);
        if (loads > inner_loads && extent(b, s->reduced_axes[i]) >= LANES) {
            inner = i;
            inner_loads = loads;
        }
    }
    if (n && extent(b, list[n - 1]) >= LANES &&
        contiguous_loads(s, list[n - 1], true) >= inner_loads &&
        (inner_loads || contiguous_loads(s, list[n - 1], false) || !s->n_reduced ||
         extent(b, s->reduced_axes[s->n_reduced - 1]) < LANES)) {
        k->vector = (int32_t)n - 1; /* neighbouring results side by side in the lanes */
        k->block = column_block(b, list[n - 1]);
    } else if (inner != UINT32_MAX) { /* lanes along the contiguous axis, which must be the last */
        uint32_t axis = s->reduced_axes[inner];
        remove_at(s->reduced_axes, &s->n_reduced, inner);
        s->reduced_axes[s->n_reduced++] = axis;
    }
    keep_free(s, list, 0);
    number_axes(b, list, n);
}

void fuse_shape_nest(Build *b)
{
    uint32_t list[KERNEL_MAX_AXES], n = b->s->n_free;
    memcpy(list, b->s->free_axes, n * sizeof *list);
    collapse(b->k, list, &n);
    collapse(b->k, b->s->reduced_axes, &b->s->n_reduced);
    if (b->s->accums.n)
        shape_reduction(b, list, n);
    else
        shape_elementwise(b, list, n);
}

/* The load behind an operand of a contraction. */
static const KernelAccess *operand_access(const KernelStage *s, InstId i)
{
    while (s->insts.at[i].kind != INST_LOAD)
        i = s->insts.at[i].a;
    return &s->accesses.at[s->insts.at[i].access];
}

void fuse_shape_contract(Build *b)
{
    KernelStage *s = b->s;
    uint32_t grid[KERNEL_MAX_AXES], n_grid = 0;
    const KernelAccess *x = operand_access(s, s->a), *y = operand_access(s, s->b);
    for (uint32_t i = 0; i < s->n_free;) /* in both operands and the result: one product for each */
        if (x->offset.coef[s->free_axes[i]] && y->offset.coef[s->free_axes[i]]) {
            grid[n_grid++] = s->free_axes[i];
            remove_at(s->free_axes, &s->n_free, i);
        } else {
            i++;
        }
    collapse(b->k, grid, &n_grid);
    collapse(b->k, s->free_axes, &s->n_free);
    collapse(b->k, s->reduced_axes, &s->n_reduced);
    b->k->block = 1;
    b->k->vector = VECTOR_INNER;
    number_axes(b, grid, n_grid);
}

void fuse_shape_scatter(Build *b, const uint32_t *grid, uint32_t n_grid)
{
    Kernel *k = b->k;
    uint32_t list[KERNEL_MAX_AXES];
    memcpy(list, grid, n_grid * sizeof *list);
    k->vector = n_grid ? (int32_t)n_grid - 1 : VECTOR_NONE;
    k->block = n_grid ? extent(b, list[n_grid - 1]) : 1;
    if (k->block > BLOCK / 16)
        k->block = BLOCK / 16;
    if (k->block < 1)
        k->block = 1;
    number_axes(b, list, n_grid);
}
