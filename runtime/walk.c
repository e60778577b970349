/* walk.c: runs an entry: its items in order, all of them inside one parallel region.
 *
 * Every thread walks the whole list and runs its share of each item's tiles; a barrier stands
 * where an item may need what other threads wrote. A region per item would cost 1 to 150 µs
 * each, a barrier costs 0.3. Which thread runs which tile is fixed by their numbers, and no
 * result depends on it: tiles are independent.
 *
 * Items too small to share run on thread 0, and no barrier separates two such. Decisions that
 * data make (guards, IF, WHILE, observers) are taken by thread 0 and read by all between two
 * barriers, so that the threads can never disagree about the way.
 *
 * With a team of the caller's, one thread walks and each large item is given to the team: its
 * members may come one after another, so that no barrier among them could work. */
#include "runtime/core.h"
#include "runtime/fpu.h"
#include "runtime/parallel.h"

#include <math.h>

/* Plans cheaper than this stay on the calling thread: waking the others would cost as much. */
enum { CHEAP_PLAN_NS = 20000 };

typedef struct {
    DlrtContext *cx;
    const DlrtEntry *entry;
    int64_t B;
    const void *const *inputs;
    void *const *outputs;
    /* What thread 0 decided. Two in turn: the next decision is written while a slow thread may
     * still read this one, the one after that cannot be. */
    int decision[2];
    DlrtBarrier barrier;
    int result; /* written by thread 0 */
} Walk;

typedef enum { BEHIND_NONE, BEHIND_ONE, BEHIND_ALL } Behind; /* unsynchronised work: of whom */

/* One thread on its way. */
typedef struct {
    Walk *walk;
    int thread, threads;
    int depth;
    unsigned decisions;
    Behind behind;
    bool nowait; /* the last item allows this one to begin without a barrier */
    int64_t trip[DLRT_MAX_DEPTH]; /* innermost first */
    void *bufs[DLRT_MAX_OPERANDS];
} Walker;

static int64_t item_tiles(const DlrtItem *item, int64_t B)
{
    if (!item->batch_scale)
        return item->tiles;
    return item->tiles * ((item->batch_scale * B + item->batch_tile - 1) / item->batch_tile);
}

/* Among how many threads an item is shared. */
static int64_t item_parts(const DlrtItem *item, int64_t tiles, int threads)
{
    int64_t parts = tiles / (item->grain ? item->grain : 1);
    return parts < 1 ? 1 : parts > threads ? threads : parts;
}

static void *operand_address(const Walker *w, const DlrtOperand *o)
{
    const Walk *walk = w->walk;
    char *base = NULL;
    switch ((DlrtBase)o->base) {
    case DLRT_BASE_CONTEXT: base = (char *)walk->cx; break;
    case DLRT_BASE_SHARED: base = (char *)walk->cx->shared; break;
    case DLRT_BASE_INPUT: base = (char *)(uintptr_t)walk->inputs[o->index]; break;
    case DLRT_BASE_OUTPUT: base = walk->outputs[o->index]; break;
    case DLRT_BASE_CONST: base = (char *)(uintptr_t)walk->cx->model->constants; break;
    case DLRT_BASE_TRIP: return (void *)(uintptr_t)&w->trip[o->index];
    }
    int64_t offset = o->offset;
    if (w->depth) {
        int64_t t = w->trip[0];
        if (o->phase != DLRT_PHASE_NONE)
            t = (t + (o->phase == DLRT_PHASE_NEXT)) & 1;
        offset += t * o->stride[0] + w->trip[1] * o->stride[1] + w->trip[2] * o->stride[2];
    }
    return base + offset;
}

static void resolve(Walker *w, const DlrtItem *item)
{
    const DlrtOperand *o = w->walk->entry->operands + item->operand_first;
    for (uint32_t i = 0; i < item->operand_count; i++)
        w->bufs[i] = operand_address(w, &o[i]);
}

static void run_tiles(const DlrtModel *m, const DlrtItem *item, void *const *bufs, int64_t B,
                      int64_t begin, int64_t end)
{
    if (begin >= end)
        return;
    if (item->kind == DLRT_CALL)
        m->calls[item->code](bufs, item->args, B, begin, end);
    else
        m->kernels[item->code](bufs, B, begin, end);
}

/* Part `part` of `parts`; the product cannot overflow, 2^31 parts of 2^32 tiles would. */
static int64_t part_begin(int64_t tiles, int64_t part, int64_t parts)
{
    return tiles / parts * part + tiles % parts * part / parts;
}

/* ---- Synchronisation ---- */

static void sync(Walker *w)
{
    if (w->threads > 1 && w->behind != BEHIND_NONE)
        dlrt_barrier(&w->walk->barrier, w->threads);
    w->behind = BEHIND_NONE;
}

/* Makes what thread 0 decided known to all. */
static int agree(Walker *w, int decision)
{
    int *slot = &w->walk->decision[w->decisions++ & 1];
    if (w->thread == 0)
        *slot = decision;
    if (w->threads > 1)
        dlrt_barrier(&w->walk->barrier, w->threads);
    w->behind = BEHIND_NONE;
    return *slot;
}

/* ---- Items ---- */

typedef struct {
    const DlrtModel *model;
    const DlrtItem *item;
    void *const *bufs;
    int64_t B, tiles, parts;
} TeamWork;

static void team_work(void *arg, int i)
{
    TeamWork *t = arg;
    uint64_t fpu = fpu_enter();
    run_tiles(t->model, t->item, t->bufs, t->B, part_begin(t->tiles, i, t->parts),
              part_begin(t->tiles, i + 1, t->parts));
    fpu_leave(fpu);
}

static void run_item(Walker *w, const DlrtItem *item)
{
    Walk *walk = w->walk;
    DlrtContext *cx = walk->cx;
    int64_t tiles = item_tiles(item, walk->B);
    int64_t parts = item_parts(item, tiles, w->threads);
    bool alone = parts == 1;
    if (!w->nowait && !(alone && w->behind == BEHIND_ONE))
        sync(w);
    if (w->thread < parts) {
        resolve(w, item);
        int64_t team_parts = cx->team ? item_parts(item, tiles, cx->threads) : 1;
        if (team_parts > 1) {
            TeamWork t = { cx->model, item, w->bufs, walk->B, tiles, team_parts };
            cx->team(cx->team_user, (int)team_parts, team_work, &t);
        } else {
            run_tiles(cx->model, item, w->bufs, walk->B, part_begin(tiles, w->thread, parts),
                      part_begin(tiles, w->thread + 1, parts));
        }
    }
    Behind left = alone ? BEHIND_ONE : BEHIND_ALL;
    w->behind = left > w->behind ? left : w->behind;
    w->nowait = item->flags & DLRT_ITEM_NOWAIT;
}

/* Not 0: the run ends with it. */
static int observe(Walker *w, uint32_t at)
{
    Walk *walk = w->walk;
    DlrtContext *cx = walk->cx;
    int stop = 0;
    sync(w);
    if (w->thread == 0)
        stop = cx->observer(cx->observer_user, cx, walk->entry, at, walk->B, w->bufs);
    return agree(w, stop);
}

static const char *source_note(const Walk *walk, const DlrtItem *item)
{
    return item->note < walk->cx->model->note_count ? walk->cx->model->notes[item->note] : "";
}

static int guard_decide(Walker *w, const DlrtItem *item)
{
    const Walk *walk = w->walk;
    const DlrtOperand *o = walk->entry->operands + item->operand_first;
    const char *note = source_note(walk, item);
    if (walk->cx->status)
        return DLRT_E_LABEL;
    for (uint32_t i = 0; i < item->operand_count; i++) {
        void *p = operand_address(w, &o[i]);
        double v = o[i].dtype == DLRT_F64 ? *(double *)p : (double)*(float *)p;
        if (!isfinite(v))
            return dlrt_fail(walk->cx, DLRT_E_NAN, "%s%sthe loss is %s", note, *note ? ": " : "",
                             isnan(v) ? "NaN" : v > 0 ? "infinite" : "minus infinity");
    }
    return DLRT_OK;
}

static bool condition(Walker *w, const DlrtItem *item)
{
    const DlrtOperand *o = w->walk->entry->operands + item->operand_first;
    bool v = *(const uint8_t *)operand_address(w, o) != 0;
    return item->flags & DLRT_ITEM_INVERT ? !v : v;
}

/* IF and WHILE: read by thread 0, after all before it is there. */
static bool decide(Walker *w, const DlrtItem *item)
{
    sync(w);
    return agree(w, w->thread == 0 ? condition(w, item) : 0);
}

static void loop_enter(Walker *w)
{
    for (int d = DLRT_MAX_DEPTH - 1; d > 0; d--)
        w->trip[d] = w->trip[d - 1];
    w->trip[0] = 0;
    w->depth++;
}

static void loop_leave(Walker *w)
{
    for (int d = 0; d + 1 < DLRT_MAX_DEPTH; d++)
        w->trip[d] = w->trip[d + 1];
    w->trip[DLRT_MAX_DEPTH - 1] = 0;
    w->depth--;
}

/* Whether a loop whose trip[0] trips are done goes on. */
static bool loop_again(Walker *w, const DlrtItem *loop)
{
    if (w->trip[0] >= item_tiles(loop, w->walk->B))
        return false;
    return loop->kind == DLRT_LOOP || decide(w, loop);
}

/* The item to go to from END number `at`. */
static uint32_t end_next(Walker *w, uint32_t at)
{
    const DlrtItem *items = w->walk->entry->items;
    const DlrtItem *opened = &items[items[at].match];
    if (opened->kind == DLRT_IF)
        return at + 1;
    w->trip[0]++;
    if (loop_again(w, opened))
        return items[at].match + 1;
    loop_leave(w);
    return at + 1;
}

static int walk_items(Walker *w)
{
    const Walk *walk = w->walk;
    const DlrtEntry *e = walk->entry;
    uint32_t at = 0;
    while (at < e->item_count) {
        const DlrtItem *item = &e->items[at];
        int stop = 0;
        if (item->kind != DLRT_KERNEL && item->kind != DLRT_CALL)
            w->nowait = false;
        switch ((DlrtItemKind)item->kind) {
        case DLRT_KERNEL:
        case DLRT_CALL:
            run_item(w, item);
            if (walk->cx->observer)
                stop = observe(w, at);
            at++;
            break;
        case DLRT_GUARD:
            sync(w);
            stop = agree(w, w->thread == 0 ? guard_decide(w, item) : 0);
            at++;
            break;
        case DLRT_LOOP:
        case DLRT_WHILE:
            loop_enter(w);
            if (loop_again(w, item)) {
                at++;
            } else {
                loop_leave(w);
                at = item->match + 1;
            }
            break;
        case DLRT_IF:
            at = decide(w, item) ? at + 1 : item->match + 1;
            break;
        case DLRT_END:
            at = end_next(w, at);
            break;
        }
        if (stop)
            return stop;
    }
    return DLRT_OK;
}

static void walk_thread(void *arg, int thread, int threads)
{
    Walk *walk = arg;
    Walker w;
    w.walk = walk;
    w.thread = thread;
    w.threads = threads;
    w.depth = 0;
    w.decisions = 0;
    w.behind = BEHIND_NONE;
    w.nowait = false;
    for (int d = 0; d < DLRT_MAX_DEPTH; d++)
        w.trip[d] = 0;
    uint64_t fpu = fpu_enter();
    int result = walk_items(&w);
    fpu_leave(fpu);
    if (thread == 0)
        walk->result = result;
}

/* One, or all: an OpenMP runtime ends the threads that a smaller region leaves out, and makes them
 * anew for the next, which costs more than their waiting here. */
static int choose_threads(const DlrtContext *cx, const DlrtEntry *e, int64_t B)
{
    if (cx->threads <= 1 || cx->team)
        return 1;
    if (e->cost && (double)e->cost * (double)B < (double)CHEAP_PLAN_NS * (double)e->max_batch)
        return 1;
    for (uint32_t i = 0; i < e->item_count; i++) {
        const DlrtItem *item = &e->items[i];
        if ((item->kind == DLRT_KERNEL || item->kind == DLRT_CALL) &&
            item_parts(item, item_tiles(item, B), cx->threads) > 1)
            return dlrt_threads_are_safe(cx->pid) ? cx->threads : 1;
    }
    return 1;
}

/* Which loss is not finite: the items say what the function found. */
static void explain_nan(Walk *walk)
{
    Walker w = { .walk = walk, .threads = 1 };
    dlrt_fail(walk->cx, DLRT_E_NAN, "the loss is not finite");
    for (uint32_t i = 0; i < walk->entry->item_count; i++)
        if (walk->entry->items[i].kind == DLRT_GUARD && guard_decide(&w, &walk->entry->items[i]))
            return;
}

static int run_tiny(Walk *walk)
{
    uint64_t fpu = fpu_enter();
    int rc = walk->entry->tiny(walk->cx, walk->B, walk->inputs, walk->outputs);
    fpu_leave(fpu);
    if (rc == DLRT_E_NAN)
        explain_nan(walk);
    return rc;
}

int dlrt_walk(DlrtContext *cx, const DlrtEntry *entry, int64_t B, const void *const *inputs,
              void *const *outputs)
{
    Walk walk = { .cx = cx, .entry = entry, .B = B, .inputs = inputs, .outputs = outputs };
    int rc = DLRT_WALK;
    cx->status = 0;
    if (entry->tiny && (!cx->observer || !entry->item_count))
        rc = run_tiny(&walk);
    if (rc == DLRT_WALK) {
        dlrt_parallel(choose_threads(cx, entry, B), walk_thread, &walk);
        rc = walk.result;
    }
    if (cx->status || rc == DLRT_E_LABEL)
        rc = dlrt_fail(cx, DLRT_E_LABEL, "%s: an index computed in the model is out of range",
                       entry->name);
    cx->status = 0;
    return rc;
}

int dlrt_run(DlrtContext *cx, const DlrtEntry *entry, int64_t B, const void *const *inputs,
             void *const *outputs)
{
    if (!dlrt_is_context(cx) || !entry)
        return DLRT_E_ARG;
    int rc = dlrt_check_arguments(cx, entry, B, inputs, outputs);
    return rc ? rc : dlrt_walk(cx, entry, B, inputs, outputs);
}
