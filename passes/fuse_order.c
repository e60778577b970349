/* fuse_order.c: the order in which the kernels of a plan run.
 *
 * Needs: drafts. Gives: the same, sorted; of those that may run the first comes first. A draft
 * waits for who writes what it reads, and one that writes a tensor for all who read the value that
 * the tensor had. These counts go down as drafts are placed: to look for a draft that waits for
 * nobody would go through all of them for each. */
#include "passes/fuse.h"

#include <string.h>

typedef struct {
    Fuse *f;
    uint8_t *fresh;      /* by plan buffer: some draft writes it. A buffer of a tensor that nobody
                            writes is the value the entry began with */
    BufferList *readers; /* by plan buffer: drafts that read it */
    BufferList *updates; /* by tensor: drafts that write it */
    uint32_t *waits;     /* by draft: for how many */
    uint8_t *done, *ready;
} Order;

static bool is_written(const Draft *d, uint32_t operand)
{
    return d->kernel && d->kernel->buffers.at[operand].written;
}

/* Drafts come in ascending order, each once. */
static void push_once(Arena *a, BufferList *list, uint32_t draft)
{
    if (!list->n || list->at[list->n - 1] != draft)
        vec_push(a, list, draft);
}

/* The tensor whose old value this operand is, or -1. */
static int64_t old_tensor(const Order *o, const Draft *d, uint32_t operand)
{
    const PlanBuffer *b = &o->f->plan->buffers.at[d->buffers.at[operand]];
    return b->kind == BUFFER_TENSOR && !o->fresh[d->buffers.at[operand]] ? (int64_t)b->index : -1;
}

static void list_drafts(Order *o)
{
    const Fuse *f = o->f;
    for (uint32_t i = 0; i < f->drafts.n; i++)
        for (uint32_t b = 0; b < f->drafts.at[i].buffers.n; b++)
            if (is_written(&f->drafts.at[i], b))
                o->fresh[f->drafts.at[i].buffers.at[b]] = 1;
    for (uint32_t i = 0; i < f->drafts.n; i++) {
        const Draft *d = &f->drafts.at[i];
        for (uint32_t b = 0; b < d->buffers.n; b++)
            if (!is_written(d, b) && d->buffers.at[b] != f->status_buffer)
                push_once(f->arena, &o->readers[d->buffers.at[b]], i);
        if (d->writes >= 0)
            push_once(f->arena, &o->updates[d->writes], i);
    }
}

static void change_waits(Order *o, const BufferList *list, uint32_t draft, int by, bool late)
{
    for (uint32_t k = 0; k < list->n; k++) {
        uint32_t i = list->at[k];
        if (i == draft)
            continue;
        o->waits[i] += (uint32_t)by;
        if (!o->waits[i] && !o->done[i] && (late || o->f->drafts.at[i].writes < 0))
            o->ready[i] = 1;
    }
}

/* All that wait for draft i wait for one more, or one less. */
static void change_waiting(Order *o, uint32_t i, int by, bool late)
{
    const Draft *d = &o->f->drafts.at[i];
    for (uint32_t b = 0; b < d->buffers.n; b++) {
        int64_t tensor = old_tensor(o, d, b);
        bool seen_written = false, seen_old = false;
        for (uint32_t c = 0; c < b; c++) {
            seen_written |= d->buffers.at[c] == d->buffers.at[b] && is_written(d, c);
            seen_old |= old_tensor(o, d, c) == tensor;
        }
        if (is_written(d, b) && !seen_written)
            change_waits(o, &o->readers[d->buffers.at[b]], i, by, late);
        if (tensor >= 0 && !seen_old)
            change_waits(o, &o->updates[tensor], i, by, late);
    }
}

/* Appends those that are ready, and get ready by that. */
static uint32_t place(Order *o, Draft *sorted, uint32_t at, bool late)
{
    uint32_t n = o->f->drafts.n;
    for (uint32_t i = 0; i < n; i++)
        o->ready[i] = !o->done[i] && !o->waits[i] && (late || o->f->drafts.at[i].writes < 0);
    for (uint8_t *first; n && (first = memchr(o->ready, 1, n));) {
        uint32_t i = (uint32_t)(first - o->ready);
        sorted[at++] = o->f->drafts.at[i];
        o->ready[i] = 0;
        o->done[i] = 1;
        change_waiting(o, i, -1, late);
    }
    return at;
}

static bool writes_buffer(const Draft *d, uint32_t buffer)
{
    for (uint32_t i = 0; i < d->buffers.n; i++)
        if (d->buffers.at[i] == buffer && is_written(d, i))
            return true;
    return false;
}

/* Gives up the first write of a tensor in a circle. */
static bool break_circle(const Order *o, uint8_t *no_tensor)
{
    const Fuse *f = o->f;
    for (uint32_t i = 0; i < f->drafts.n; i++)
        for (NodeId v = 0; !o->done[i] && v < f->g->nodes.n; v++)
            if (f->drafts.at[i].writes >= 0 && f->root[v] &&
                writes_buffer(&f->drafts.at[i], f->buffer[v])) {
                no_tensor[v] = 1;
                return true;
            }
    return false;
}

uint32_t fuse_order(Fuse *f, uint8_t *no_tensor)
{
    Arena *a = f->arena;
    uint32_t n = f->drafts.n, tensors = f->g->unit->tensors.n;
    Draft *sorted = arena_new_array(a, Draft, n);
    Order o = { .f = f,
                .fresh = arena_alloc(a, f->plan->buffers.n),
                .readers = arena_new_array(a, BufferList, f->plan->buffers.n),
                .updates = arena_new_array(a, BufferList, tensors),
                .waits = arena_new_array(a, uint32_t, n),
                .done = arena_alloc(a, n),
                .ready = arena_alloc(a, n) };
    list_drafts(&o);
    for (uint32_t i = 0; i < n; i++)
        change_waiting(&o, i, 1, false);
    uint32_t before = place(&o, sorted, 0, false), at = place(&o, sorted, before, true);
    if (break_circle(&o, no_tensor))
        return UINT32_MAX;
    assert(at == n);
    if (at)
        memcpy(f->drafts.at, sorted, at * sizeof *sorted);
    return before;
}
