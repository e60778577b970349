/* memplan.c: byte offsets for all buffers of the plans in one arena, and the exact peak.
 *
 * Needs: plans in order. Gives: offsets. A buffer lives from the item that first touches it to the
 * last. Best fit, largest first: a plan is known whole, so that an offline packing beats any
 * allocator that sees one request at a time. */
#include "passes/pass.h"
#include "passes/plan.h"

#include <stdlib.h>
#include <string.h>

/* Of every buffer and tensor; their sizes are rounded up to it: see fuse_flat.c. */
enum { ALIGNMENT = 256 };

typedef struct {
    PlanBuffer *buffer;
    int64_t bytes; /* rounded up */
    uint32_t number;
} Slot;

static int by_size(const void *a, const void *b)
{
    const Slot *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

static int by_offset(const void *a, const void *b)
{
    const Slot *x = *(Slot *const *)a, *y = *(Slot *const *)b;
    if (x->buffer->offset != y->buffer->offset)
        return x->buffer->offset < y->buffer->offset ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static void find_lifetimes(Plan *p)
{
    for (uint32_t i = 0; i < p->buffers.n; i++)
        p->buffers.at[i].first_use = UINT32_MAX, p->buffers.at[i].last_use = 0;
    for (uint32_t i = 0; i < p->items.n; i++)
        for (uint32_t j = 0; j < p->items.at[i].buffers.n; j++) {
            PlanBuffer *b = &p->buffers.at[p->items.at[i].buffers.at[j]];
            if (b->first_use == UINT32_MAX)
                b->first_use = i;
            b->last_use = i;
        }
}

static bool overlap_in_time(const PlanBuffer *a, const PlanBuffer *b)
{
    return a->first_use <= b->last_use && b->first_use <= a->last_use;
}

/* The smallest gap that is large enough among the slots alive at the same time, or the end of them.
 */
static int64_t best_gap(const Slot *slots, uint32_t placed, const Slot *s, Slot const **rivals)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < placed; i++)
        if (overlap_in_time(slots[i].buffer, s->buffer))
            rivals[n++] = &slots[i];
    qsort(rivals, n, sizeof *rivals, by_offset);
    int64_t end = 0, best = -1, best_size = INT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        int64_t gap = rivals[i]->buffer->offset - end;
        if (gap >= s->bytes && gap < best_size) {
            best = end;
            best_size = gap;
        }
        int64_t after = rivals[i]->buffer->offset + rivals[i]->bytes;
        if (after > end)
            end = after;
    }
    return best >= 0 ? best : end;
}

bool plan_memory(Unit *u, Plan *p)
{
    Arena *a = arena_new();
    Slot *slots = arena_new_array(a, Slot, p->buffers.n);
    Slot const **rivals = arena_new_array(a, Slot const *, p->buffers.n);
    uint32_t n = 0;
    bool ok = true;
    find_lifetimes(p);
    for (uint32_t i = 0; i < p->buffers.n; i++) {
        PlanBuffer *b = &p->buffers.at[i];
        if (b->kind == BUFFER_ARENA && b->first_use != UINT32_MAX)
            slots[n++] = (Slot){ b, (b->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, i };
    }
    qsort(slots, n, sizeof *slots, by_size);
    p->arena_bytes = 0;
    for (uint32_t i = 0; i < n && ok; i++) {
        int64_t end;
        slots[i].buffer->offset = best_gap(slots, i, &slots[i], rivals);
        ok = !__builtin_add_overflow(slots[i].buffer->offset, slots[i].bytes, &end);
        if (ok && end > p->arena_bytes)
            p->arena_bytes = end;
    }
    arena_free(a);
    if (!ok)
        diag_report(u->cx, DIAG_E0801, p->entry->loc,
                    "`%s` needs more memory than can be addressed", p->entry->name);
    return ok;
}

const char *plan_check(Arena *a, const Plan *p)
{
    for (uint32_t i = 0; i < p->buffers.n; i++) {
        const PlanBuffer *x = &p->buffers.at[i];
        if (x->kind != BUFFER_ARENA || x->first_use == UINT32_MAX)
            continue;
        if (x->offset < 0 || x->offset % ALIGNMENT || x->offset + x->bytes > p->arena_bytes)
            return arena_printf(a, "buffer %u lies outside the arena", i);
        for (uint32_t j = 0; j < i; j++) {
            const PlanBuffer *y = &p->buffers.at[j];
            if (y->kind == BUFFER_ARENA && y->first_use != UINT32_MAX && overlap_in_time(x, y) &&
                x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes)
                return arena_printf(a, "buffers %u and %u are alive together and overlap", j, i);
        }
    }
    return NULL;
}

static bool place(int64_t *total, int64_t bytes, int64_t *out_offset)
{
    *out_offset = *total;
    return !__builtin_add_overflow(*total, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, total);
}

/* Constants of all plans side by side; equal data once. */
static bool plan_constants(Program *p)
{
    Arena *a = p->unit->arena;
    VEC(const PlanBuffer *) placed = { 0 };
    for (uint32_t i = 0; i < p->plans.n; i++)
        for (uint32_t j = 0; j < p->plans.at[i].buffers.n; j++) {
            PlanBuffer *b = &p->plans.at[i].buffers.at[j];
            bool found = false;
            if (b->kind != BUFFER_CONST || b->first_use == UINT32_MAX)
                continue;
            for (uint32_t k = 0; k < placed.n && !found; k++) {
                found = placed.at[k]->bytes == b->bytes &&
                        !memcmp(placed.at[k]->data, b->data, (size_t)b->bytes);
                if (found)
                    b->offset = placed.at[k]->offset;
            }
            if (found)
                continue;
            if (!place(&p->const_bytes, b->bytes, &b->offset))
                return false;
            vec_push(a, &placed, b);
        }
    uint8_t *bytes = arena_alloc(a, (size_t)p->const_bytes);
    for (uint32_t k = 0; k < placed.n; k++)
        memcpy(bytes + placed.at[k]->offset, placed.at[k]->data, (size_t)placed.at[k]->bytes);
    p->consts = bytes;
    return true;
}

bool plan_tensors(Unit *u, Program *p)
{
    bool ok = plan_constants(p);
    for (uint32_t i = 0; i < u->tensors.n && ok; i++) {
        int64_t n = 0, offset = 0;
        ok = shape_elements(&u->tensors.at[i].shape, &n) &&
             !__builtin_mul_overflow(n, (int64_t)dtype_size(u->tensors.at[i].dtype), &n) &&
             place(&p->tensor_bytes, n, &offset);
        vec_push(u->arena, &p->tensor_offsets, offset);
    }
    if (!ok)
        diag_report(u->cx, DIAG_E0801, 0, "the model needs more memory than can be addressed");
    return ok;
}
