/* fuse_merge.c: kernels over the same units become one kernel of several stages.
 *
 * Needs: drafts in an order in which they may run. Gives: fewer drafts, in such an order.
 * Softmax is born as three kernels (maximum, sum, scale) with one unit a row; an optimizer's
 * moments and parameters as kernels with equal blocks. Run as one, a unit finds in the nearest
 * cache what its earlier stage left there, and the plan has one item instead of three. A later
 * kernel may join an earlier one if everything it needs was ready by then, and if what it reads of
 * that one's results is its own unit's part: checked on the accesses, not guessed from where the
 * kernels came from. */
#include "passes/fuse.h"

#include <string.h>

enum { MAX_STAGES = 8 };

static bool same_units(const Kernel *a, const Kernel *b)
{
    if (a->grid != b->grid || a->block != b->block || (a->vector < 0) != (b->vector < 0) ||
        (a->vector >= 0 && a->vector != b->vector) || a->vector == VECTOR_NONE ||
        b->vector == VECTOR_NONE)
        return false;
    for (uint32_t i = 0; i < a->grid; i++)
        if (!dim_equal(a->axes.at[i].extent, b->axes.at[i].extent))
            return false;
    return true;
}

/* The memory behind a plan buffer: old and new value of a tensor are the same. */
static bool same_memory(const Plan *p, uint32_t a, uint32_t b)
{
    const PlanBuffer *x = &p->buffers.at[a], *y = &p->buffers.at[b];
    return a == b || (x->kind == BUFFER_TENSOR && y->kind == BUFFER_TENSOR && x->index == y->index);
}

typedef struct {
    int64_t coef, extent;
} Step;

/* The steps of an access within a unit, largest first. False when there are too many to compare. */
static int unit_steps(const Kernel *k, const KernelStage *s, const Affine *e, Step *out)
{
    int n = 0;
    for (uint32_t l = 0; l < 2; l++) {
        const uint32_t *axes = l ? s->reduced_axes : s->free_axes;
        for (uint32_t i = 0; i < (l ? s->n_reduced : s->n_free); i++)
            if (e->coef[axes[i]])
                out[n++] = (Step){ e->coef[axes[i]], k->axes.at[axes[i]].extent.n };
    }
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && out[j].coef > out[j - 1].coef; j--) {
            Step t = out[j];
            out[j] = out[j - 1];
            out[j - 1] = t;
        }
    return n;
}

/* Whether y touches in each unit just what x touches in it. */
static bool same_part(const Kernel *kx, const KernelStage *sx, const KernelAccess *x,
                      const Kernel *ky, const KernelStage *sy, const KernelAccess *y)
{
    Step mine[KERNEL_MAX_AXES], theirs[KERNEL_MAX_AXES];
    if (x->index != INST_NONE || y->index != INST_NONE || x->offset.c != y->offset.c ||
        x->guards.n || y->guards.n ||
        memcmp(x->offset.coef, y->offset.coef, kx->grid * sizeof *x->offset.coef))
        return false;
    int n = unit_steps(kx, sx, &x->offset, mine), m = unit_steps(ky, sy, &y->offset, theirs);
    return n == m && !memcmp(mine, theirs, (size_t)n * sizeof *mine);
}

static bool access_is_written(const KernelStage *s, uint32_t access)
{
    for (uint32_t i = 0; i < s->stores.n; i++)
        if (s->stores.at[i].access == access)
            return true;
    return false;
}

static bool access_is_used(const KernelStage *s, uint32_t access)
{
    if (access_is_written(s, access))
        return true;
    for (uint32_t i = 0; i < s->insts.n; i++)
        if (s->insts.at[i].kind == INST_LOAD && s->insts.at[i].access == access)
            return true;
    return false;
}

/* Every access of b to memory that a writes (or the other way round) stays within the unit's own
 * part. */
static bool unit_local(const Fuse *f, const Draft *a, const Draft *b)
{
    for (uint32_t si = 0; si < a->kernel->stages.n; si++)
        for (uint32_t sj = 0; sj < b->kernel->stages.n; sj++) {
            const KernelStage *s = &a->kernel->stages.at[si], *t = &b->kernel->stages.at[sj];
            for (uint32_t i = 0; i < s->accesses.n; i++)
                for (uint32_t j = 0; j < t->accesses.n; j++) {
                    const KernelAccess *x = &s->accesses.at[i], *y = &t->accesses.at[j];
                    if (!access_is_used(s, i) || !access_is_used(t, j) ||
                        !same_memory(f->plan, a->buffers.at[x->buffer], b->buffers.at[y->buffer]) ||
                        (!access_is_written(s, i) && !access_is_written(t, j)))
                        continue;
                    if (!same_part(a->kernel, s, x, b->kernel, t, y))
                        return false;
                }
        }
    return true;
}

static void shift_axes(Affine *e, uint32_t grid, uint32_t by)
{
    Affine old = *e;
    memset(e->coef + grid, 0, (KERNEL_MAX_AXES - grid) * sizeof *e->coef);
    for (uint32_t i = grid; i + by < KERNEL_MAX_AXES; i++)
        e->coef[i + by] = old.coef[i];
}

static uint32_t joined_operand(Fuse *f, Draft *into, const Draft *from, uint32_t operand)
{
    uint32_t buffer = from->buffers.at[operand];
    const KernelBuffer *b = &from->kernel->buffers.at[operand];
    for (uint32_t i = 0; i < into->buffers.n; i++)
        if (into->buffers.at[i] == buffer) {
            into->kernel->buffers.at[i].written |= b->written;
            return i;
        }
    vec_push(f->arena, &into->buffers, buffer);
    vec_push(f->arena, &into->kernel->buffers, *b);
    into->kernel->operands = into->kernel->buffers.n;
    return into->buffers.n - 1;
}

/* Appends the stages of `from` to `into`: axes beyond the grid and operands get new numbers. */
static void join(Fuse *f, Draft *into, const Draft *from)
{
    Kernel *k = into->kernel;
    const Kernel *o = from->kernel;
    uint32_t by = k->axes.n - k->grid;
    for (uint32_t i = o->grid; i < o->axes.n; i++)
        vec_push(f->arena, &k->axes, o->axes.at[i]);
    for (uint32_t n = 0; n < o->stages.n; n++) {
        KernelStage s = o->stages.at[n];
        for (uint32_t i = 0; i < s.n_free; i++)
            s.free_axes[i] += by;
        for (uint32_t i = 0; i < s.n_reduced; i++)
            s.reduced_axes[i] += by;
        for (uint32_t i = 0; i < s.accesses.n; i++) {
            shift_axes(&s.accesses.at[i].offset, k->grid, by);
            if (access_is_used(&s, i))
                s.accesses.at[i].buffer = joined_operand(f, into, from, s.accesses.at[i].buffer);
            for (uint32_t j = 0; j < s.accesses.at[i].guards.n; j++)
                shift_axes(&s.accesses.at[i].guards.at[j].e, k->grid, by);
        }
        for (uint32_t i = 0; i < s.insts.n; i++) {
            if (s.insts.at[i].kind == INST_INDEX)
                shift_axes(&s.insts.at[i].affine, k->grid, by);
            if (s.insts.at[i].kind == INST_UNIT_VALUE)
                s.insts.at[i].access += k->stages.n - n;
        }
        vec_push(f->arena, &k->stages, s);
    }
    k->flops += o->flops;
    k->bytes += o->bytes;
    if (o->status >= 0)
        k->status = (int32_t)joined_operand(f, into, from, (uint32_t)o->status);
}

/* ---- Which may join which ---- */

/* Draft j may join draft i < j when nothing between them makes what j reads, or touches what j
 * writes: when the last such draft before j, which `opens` it, is i or earlier. Drafts join from
 * the first on; who has joined is at i, and opens nothing any more. */
typedef struct {
    Fuse *f;
    uint32_t *memory;     /* by plan buffer: one buffer for all of the same memory */
    BufferList *touchers; /* by memory: drafts, ascending */
    BufferList *writers;
    BufferList *opens; /* by draft: whom it opens */
    uint8_t *open;     /* by draft: it may join the one that is looked at */
    uint8_t *gone;     /* by draft: it has joined another */
} Merge;

static bool may_merge(const Draft *d)
{
    return d->kernel && d->kernel->vector != VECTOR_NONE &&
           d->kernel->stages.at[0].kind != STAGE_CONTRACT;
}

static void list_drafts(Merge *m)
{
    const Fuse *f = m->f;
    const Plan *p = f->plan;
    uint32_t *first = arena_new_array(f->arena, uint32_t, f->g->unit->tensors.n); /* + 1 */
    for (uint32_t i = 0; i < p->buffers.n; i++) {
        const PlanBuffer *b = &p->buffers.at[i];
        m->memory[i] = i;
        if (b->kind != BUFFER_TENSOR)
            continue;
        if (!first[b->index])
            first[b->index] = i + 1;
        m->memory[i] = first[b->index] - 1;
    }
    for (uint32_t i = 0; i < f->drafts.n; i++) {
        const Draft *d = &f->drafts.at[i];
        for (uint32_t b = 0; b < d->buffers.n; b++) {
            uint32_t at = m->memory[d->buffers.at[b]];
            vec_push(f->arena, &m->touchers[at], i);
            if (!d->kernel || d->kernel->buffers.at[b].written)
                vec_push(f->arena, &m->writers[at], i);
        }
    }
}

/* Position of the first draft after j. */
static uint32_t find_after(const BufferList *list, uint32_t j)
{
    uint32_t low = 0, high = list->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (list->at[middle] <= j)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whom an operand of d is in the way of, or who is in its way. */
static const BufferList *others(const Merge *m, const Draft *d, uint32_t operand, bool written)
{
    uint32_t at = m->memory[d->buffers.at[operand]];
    return written ? &m->touchers[at] : &m->writers[at];
}

/* Notes from where on j is open. */
static void find_opener(Merge *m, uint32_t j, uint32_t now)
{
    const Draft *d = &m->f->drafts.at[j];
    uint32_t last = 0;
    for (uint32_t b = 0; b < d->buffers.n; b++) {
        if (d->kernel->status == (int32_t)b)
            continue; /* a sticky flag: order is nothing */
        const BufferList *list = others(m, d, b, d->kernel->buffers.at[b].written);
        for (uint32_t k = find_after(list, j); k-- > 0;)
            if (list->at[k] != j && !m->gone[list->at[k]]) {
                last = list->at[k] > last ? list->at[k] : last;
                break;
            }
    }
    if (last <= now)
        m->open[j] = 1;
    else
        vec_push(m->f->arena, &m->opens[last], j);
}

/* Draft j has joined `now`: who had to wait for it may be open. */
static void free_waiting(Merge *m, uint32_t j, uint32_t now)
{
    const Draft *d = &m->f->drafts.at[j];
    for (uint32_t b = 0; b < d->buffers.n; b++) {
        const BufferList *list = others(m, d, b, d->kernel->buffers.at[b].written);
        for (uint32_t k = find_after(list, j); k < list->n; k++) {
            uint32_t i = list->at[k];
            if (!m->gone[i] && !m->open[i] && may_merge(&m->f->drafts.at[i]))
                find_opener(m, i, now);
        }
    }
}

static bool try_merge(Fuse *f, uint32_t i, uint32_t j)
{
    Draft *a = &f->drafts.at[i], *b = &f->drafts.at[j];
    if (a->kernel->stages.n + b->kernel->stages.n > MAX_STAGES ||
        a->kernel->axes.n + b->kernel->axes.n - b->kernel->grid > KERNEL_MAX_AXES ||
        (a->writes >= 0) != (b->writes >= 0) || !same_units(a->kernel, b->kernel) ||
        !unit_local(f, a, b))
        return false;
    join(f, a, b);
    return true;
}

static void merge_into(Merge *m, uint32_t i)
{
    Fuse *f = m->f;
    uint32_t n = f->drafts.n;
    for (uint32_t j = i; j < n && f->drafts.at[i].kernel->stages.n < MAX_STAGES;) {
        const uint8_t *next = j + 1 < n ? memchr(m->open + j + 1, 1, n - j - 1) : NULL;
        if (!next)
            return;
        j = (uint32_t)(next - m->open);
        if (!try_merge(f, i, j))
            continue;
        m->open[j] = 0;
        m->gone[j] = 1;
        free_waiting(m, j, i);
    }
}

void fuse_merge(Fuse *f)
{
    Arena *a = f->arena;
    uint32_t n = f->drafts.n, buffers = f->plan->buffers.n, kept = 0;
    Merge m = { .f = f,
                .memory = arena_new_array(a, uint32_t, buffers),
                .touchers = arena_new_array(a, BufferList, buffers),
                .writers = arena_new_array(a, BufferList, buffers),
                .opens = arena_new_array(a, BufferList, n),
                .open = arena_alloc(a, n),
                .gone = arena_alloc(a, n) };
    list_drafts(&m);
    for (uint32_t j = 1; j < n; j++)
        if (may_merge(&f->drafts.at[j]))
            find_opener(&m, j, 0);
    for (uint32_t i = 0; i < n; i++) {
        m.open[i] = 0;
        for (uint32_t k = 0; k < m.opens[i].n && !m.gone[i]; k++)
            m.open[m.opens[i].at[k]] = !m.gone[m.opens[i].at[k]];
        if (!m.gone[i] && may_merge(&f->drafts.at[i]))
            merge_into(&m, i);
    }
    for (uint32_t i = 0; i < n; i++)
        if (!m.gone[i])
            f->drafts.at[kept++] = f->drafts.at[i];
    f->drafts.n = kept;
}
