/* fuse.c: a Unit's graphs to plans of kernels.
 *
 * Needs: primitive, simple graphs. Gives: unit->program, with plans in order of execution.
 * A plan has three parts: what computes, the guard, what writes tensors. A result that updates a
 * tensor is stored right into it when everything else that needs it comes after the guard too; else
 * it is kept in the arena and copied behind the guard. Readers of a tensor's old value run before
 * its writer; where that has no order (a swap), a copy breaks the circle. */
#include "passes/fuse.h"

#include "passes/pass.h"
#include "passes/plan.h"

#include <string.h>

static uint32_t add_buffer(Fuse *f, BufferKind kind, uint32_t index, Dtype dtype, const Shape *s,
                           LocId loc)
{
    int64_t n = 0;
    shape_elements(s, &n);
    PlanBuffer b = { .kind = kind,
                     .index = index,
                     .dtype = dtype,
                     .bytes = n * (int64_t)dtype_size(dtype),
                     .loc = loc };
    vec_push(f->arena, &f->plan->buffers, b);
    return f->plan->buffers.n - 1;
}

uint32_t fuse_scratch(Fuse *f, Dtype dtype, int64_t elements, LocId loc)
{
    Shape s = { .rank = 1, .dim = { dim_of(elements) } };
    return add_buffer(f, BUFFER_ARENA, 0, dtype, &s, loc);
}

static void leaf_buffer(Fuse *f, NodeId n)
{
    const Graph *g = f->g;
    const Node *node = graph_node(g, n);
    const Shape *s = graph_shape(g, n);
    Dtype t = graph_dtype(g, n);
    uint32_t b = BUFFER_NONE;
    switch (node->op) {
    case OP_input:
        b = add_buffer(f, BUFFER_INPUT, (uint32_t)graph_attr(g, n, "index")->i, t, s, node->loc);
        break;
    case OP_tensor:
        b = add_buffer(f, BUFFER_TENSOR, (uint32_t)graph_attr(g, n, "index")->i, t, s, node->loc);
        break;
    case OP_clock:
        b = add_buffer(f, BUFFER_CLOCK, (uint32_t)clock_field(graph_attr(g, n, "field")->s), t, s,
                       node->loc);
        break;
    case OP_constant:
        b = add_buffer(f, BUFFER_CONST, 0, t, s, node->loc);
        f->plan->buffers.at[b].data = graph_attr(g, n, "data")->data;
        break;
    default: break;
    }
    f->buffer[n] = b;
    layout_row_major(s, &f->strides[n]);
}

/* late[n]: only writes of tensors need n. */
static uint8_t *find_late(Fuse *f)
{
    const Graph *g = f->g;
    uint8_t *late = arena_alloc(f->arena, g->nodes.n), *early = arena_alloc(f->arena, g->nodes.n);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (g->outputs.at[i].updates < 0)
            early[g->outputs.at[i].node] = 1;
    /* What feeds an update without being one itself is needed before the guard: its kernel writes
     * no tensor. */
    uint8_t *update = arena_alloc(f->arena, g->nodes.n);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (g->outputs.at[i].updates >= 0)
            update[g->outputs.at[i].node]++;
    for (NodeId n = g->nodes.n; n-- > 0;) {
        if (!f->live[n])
            continue;
        bool inlined_early = early[n];
        for (uint32_t i = 0;
             i < g->nodes.at[n].count && (inlined_early || (f->root[n] && !update[n])); i++)
            early[graph_operand(g, n, i)] = 1;
        late[n] = update[n] == 1 && !early[n] && op_defs[g->nodes.at[n].op]->lower != LOWER_NONE;
    }
    return late;
}

static uint32_t result_buffer(Fuse *f, uint32_t output)
{
    uint32_t index = 0;
    for (uint32_t i = 0; i < output; i++)
        index += f->g->outputs.at[i].updates < 0;
    const Output *o = &f->g->outputs.at[output];
    return add_buffer(f, BUFFER_OUTPUT, index, graph_dtype(f->g, o->node),
                      graph_shape(f->g, o->node), 0);
}

static uint32_t update_buffer(Fuse *f, const Output *o)
{
    const Tensor *t = &f->g->unit->tensors.at[o->updates];
    return add_buffer(f, BUFFER_TENSOR, (uint32_t)o->updates, t->dtype, &t->shape, t->loc);
}

/* The order of n's axes is ours to choose: nobody outside the plan's kernels sees it. Calls want
 * rows. */
static bool in_arena(const Fuse *f, NodeId n)
{
    return f->plan->buffers.at[f->buffer[n]].kind == BUFFER_ARENA && !f->called[n];
}

/* Where each root is stored; outputs that need a copy of their own stay unplaced. */
static void place_roots(Fuse *f, const uint8_t *late, bool *placed, const uint8_t *no_tensor)
{
    const Graph *g = f->g;
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        const Output *o = &g->outputs.at[i];
        if (!f->root[o->node] || f->buffer[o->node] != BUFFER_NONE)
            continue;
        if (o->updates < 0)
            f->buffer[o->node] = result_buffer(f, i);
        else if (late[o->node] && !no_tensor[o->node])
            f->buffer[o->node] = update_buffer(f, o);
        else
            continue;
        placed[i] = true;
    }
    Layout layout = layout_choose(f);
    for (NodeId n = 0; n < g->nodes.n; n++)
        if (f->live[n] && f->root[n]) {
            const Shape *s = graph_shape(g, n);
            if (f->buffer[n] == BUFFER_NONE)
                f->buffer[n] =
                    add_buffer(f, BUFFER_ARENA, 0, graph_dtype(g, n), s, graph_node(g, n)->loc);
            layout_stored(f, s, in_arena(f, n) ? layout : LAYOUT_ROW_MAJOR, &f->strides[n]);
        }
}

/* Whether an instruction before the epilogue loads through access `access`: then elements are read
 * that other units write. */
static bool read_in_body(const KernelStage *s, uint32_t access)
{
    for (uint32_t i = 0; i < s->body_insts; i++)
        if (s->insts.at[i].kind == INST_LOAD && s->insts.at[i].access == access)
            return true;
    return false;
}

/* Whether a draft reads the tensor that it writes otherwise than element by element in place. */
static bool disturbs_itself(const Fuse *f, const Draft *d)
{
    if (d->writes < 0)
        return false;
    if (!d->kernel || d->kernel->stages.n > 1)
        return true;
    const KernelStage *s = &d->kernel->stages.at[0];
    const KernelAccess *store = &s->accesses.at[s->stores.at[0].access];
    for (uint32_t j = 0; j < s->accesses.n; j++) {
        const KernelAccess *a = &s->accesses.at[j];
        const PlanBuffer *b = &f->plan->buffers.at[d->buffers.at[a->buffer]];
        if (b->kind != BUFFER_TENSOR || (int32_t)b->index != d->writes || a == store)
            continue;
        if (a->index != INST_NONE || a->guards.n || read_in_body(s, j) ||
            memcmp(&a->offset, &store->offset, sizeof a->offset))
            return true;
    }
    return false;
}

static void begin_entry(Fuse *f, const Graph *g)
{
    uint32_t n = g->nodes.n;
    f->g = g;
    f->live = graph_live(f->arena, g);
    f->users = arena_new_array(f->arena, uint32_t, n);
    f->root = arena_alloc(f->arena, n);
    f->forced = arena_alloc(f->arena, n);
    f->called = arena_alloc(f->arena, n);
    for (NodeId i = 0; i < n; i++)
        if (f->live[i] && op_defs[g->nodes.at[i].op]->lower == LOWER_CALL) {
            f->called[i] = 1;
            for (uint32_t j = 0; j < g->nodes.at[i].count; j++)
                f->called[graph_operand(g, i, j)] = 1;
        }
    f->anchor = arena_new_array(f->arena, NodeId, n);
    f->below = arena_new_array(f->arena, NodeId, n);
    f->buffer = arena_new_array(f->arena, uint32_t, n);
    f->strides = arena_new_array(f->arena, Strides, n);
}

/* One attempt: roots, buffers, drafts. False: something more must be stored; try again. */
static bool form_kernels(Fuse *f, uint8_t *no_tensor)
{
    const Graph *g = f->g;
    bool *placed = arena_new_array(f->arena, bool, g->outputs.n);
    f->restart = false;
    f->drafts.n = f->plan->buffers.n = 0;
    for (NodeId n = 0; n < g->nodes.n; n++) {
        f->buffer[n] = BUFFER_NONE;
        if (f->live[n] && op_defs[g->nodes.at[n].op]->lower == LOWER_NONE)
            leaf_buffer(f, n);
    }
    Shape scalar = { 0 };
    f->status_buffer = add_buffer(f, BUFFER_STATUS, 0, DT_U32, &scalar, 0);
    fuse_choose_roots(f);
    place_roots(f, find_late(f), placed, no_tensor);
    for (NodeId n = 0; n < g->nodes.n; n++) { /* all of them, even after a failure: the next attempt
                                                 knows all that was asked for */
        if (!f->live[n] || !f->root[n])
            continue;
        if (!fuse_build(f, n, f->buffer[n], &f->strides[n]))
            continue;
        if (f->drafts.n && disturbs_itself(f, &f->drafts.at[f->drafts.n - 1])) {
            no_tensor[n] = 1;
            f->restart = true;
        }
    }
    for (uint32_t i = 0; i < g->outputs.n && !f->restart; i++) {
        const Output *o = &g->outputs.at[i];
        Strides s;
        if (placed[i])
            continue;
        layout_row_major(graph_shape(g, o->node), &s);
        fuse_build_copy(f, o->node, o->updates < 0 ? result_buffer(f, i) : update_buffer(f, o), &s);
    }
    return !f->restart;
}

static uint32_t intern_kernel(Program *p, Kernel *k)
{
    const char *text = kernel_text(p->unit->arena, k);
    for (uint32_t i = 0; i < p->kernels.n; i++)
        if (!strcmp(p->texts.at[i], text))
            return i;
    vec_push(p->unit->arena, &p->kernels, k);
    vec_push(p->unit->arena, &p->texts, text);
    return p->kernels.n - 1;
}

static void push_guard(Fuse *f, bool loss)
{
    PlanItem item = { .kind = PLAN_GUARD };
    for (uint32_t i = 0; loss && i < f->plan->buffers.n; i++)
        if (f->plan->buffers.at[i].kind == BUFFER_OUTPUT && f->plan->buffers.at[i].index == 0) {
            vec_push(f->arena, &item.buffers, i);
            item.loc = f->g->outputs.at[0].node < f->g->nodes.n
                           ? graph_node(f->g, f->g->outputs.at[0].node)->loc
                           : 0;
            break;
        }
    vec_push(f->arena, &f->plan->items, item);
}

/* A product of an export with a run-time batch. */
static bool is_few(const Fuse *f, const Kernel *k)
{
    bool batch = false;
    for (uint32_t i = 0; i < k->axes.n; i++)
        batch |= k->axes.at[i].extent.k != 0;
    return batch && k->stages.at[0].kind == STAGE_CONTRACT &&
           f->plan->entry->kind == ENTRY_EXPORT;
}

static void push_items(Fuse *f, uint32_t before)
{
    bool step = f->plan->entry->kind == ENTRY_STEP, indexed = false;
    for (uint32_t i = 0; i < f->drafts.n; i++) {
        const Draft *d = &f->drafts.at[i];
        if (i == before && (step || indexed))
            push_guard(f, step);
        indexed |= d->kernel && d->kernel->status >= 0;
        PlanItem item = { .kind = d->kernel ? PLAN_KERNEL : PLAN_CALL,
                          .call = d->call,
                          .rows = d->rows,
                          .loc = d->loc };
        if (d->kernel) {
            item.units = fuse_make_flat(f, d);
            d->kernel->few = is_few(f, d->kernel);
            item.flops = d->kernel->flops;
            item.bytes = d->kernel->bytes;
            item.kernel = intern_kernel(f->program, d->kernel);
            item.formed = d->kernel;
        }
        for (uint32_t j = 0; j < d->args.n; j++)
            vec_push(f->arena, &item.args, d->args.at[j]);
        for (uint32_t j = 0; j < d->buffers.n; j++)
            vec_push(f->arena, &item.buffers, d->buffers.at[j]);
        vec_push(f->arena, &f->plan->items, item);
    }
    if (before >= f->drafts.n && (step || indexed))
        push_guard(f, step);
}

/* The grid of a kernel can count one axis whose extent it learns when it is called. */
static bool has_two_batches(const Fuse *f)
{
    for (uint32_t i = 0; i < f->drafts.n; i++) {
        const Kernel *k = f->drafts.at[i].kernel;
        uint32_t n = 0;
        for (uint32_t a = 0; k && a < k->grid; a++)
            n += k->axes.at[a].extent.k != 0;
        if (n > 1)
            return true;
    }
    return false;
}

/* A pinned entry is called with its one batch only: its extents are numbers, also where two of a
 * kernel's axes are the batch. */
static void pin_extents(Fuse *f)
{
    for (uint32_t i = 0; i < f->drafts.n; i++) {
        Kernel *k = f->drafts.at[i].kernel;
        for (uint32_t a = 0; k && a < k->axes.n; a++)
            k->axes.at[a].extent.k = 0;
        f->drafts.at[i].rows.k = 0;
    }
}

bool plan_entry(Program *program, Plan *plan)
{
    Fuse f = { .program = program, .plan = plan, .arena = program->unit->arena };
    begin_entry(&f, plan->entry->graph);
    uint8_t *no_tensor = arena_alloc(f.arena, f.g->nodes.n);
    uint32_t before = UINT32_MAX;
    /* Each attempt stores one more value than the one before, or updates one tensor less in place.
     */
    for (uint32_t attempt = 0; attempt <= 2 * f.g->nodes.n && before == UINT32_MAX; attempt++)
        if (form_kernels(&f, no_tensor))
            before = fuse_order(&f, no_tensor);
    if (before == UINT32_MAX)
        return pass_internal(program->unit, plan->entry->loc, "no kernels for `%s`",
                             plan->entry->name);
    plan->entry->pinned |= has_two_batches(&f);
    if (plan->entry->pinned)
        pin_extents(&f);
    fuse_merge(&f);
    before = 0;
    while (before < f.drafts.n && f.drafts.at[before].writes < 0)
        before++;
    for (uint32_t i = 0; i < f.drafts.n; i++) {
        const char *bad =
            f.drafts.at[i].kernel ? kernel_verify(f.arena, f.drafts.at[i].kernel) : NULL;
        if (bad)
            return pass_internal(program->unit, f.drafts.at[i].loc, "a kernel of `%s`: %s",
                                 plan->entry->name, bad);
    }
    push_items(&f, before);
    return true;
}

static bool inner_batch(const Shape *s)
{
    for (uint32_t i = 1; i < s->rank; i++)
        if (s->dim[i].k)
            return true;
    return false;
}

/* The caller's arrays are dense: with the batch not outermost, their strides would change with B.
 */
static bool must_pin(const Graph *g)
{
    for (uint32_t i = 0; i < g->inputs.n; i++)
        if (inner_batch(&g->inputs.at[i].shape))
            return true;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (g->outputs.at[i].updates < 0 && inner_batch(graph_shape(g, g->outputs.at[i].node)))
            return true;
    return false;
}

bool pass_fuse(Unit *u)
{
    Program *p = arena_make(u->arena, Program);
    p->unit = u;
    for (uint32_t i = 0; i < u->entries.n; i++) {
        u->entries.at[i].pinned |= must_pin(u->entries.at[i].graph);
        vec_push(u->arena, &p->plans, (Plan){ .entry = &u->entries.at[i] });
        if (!plan_entry(p, &p->plans.at[i]))
            return false;
    }
    u->program = p;
    return true;
}

bool pass_memplan(Unit *u)
{
    Program *p = u->program;
    for (uint32_t i = 0; i < p->plans.n; i++) {
        if (!plan_memory(u, &p->plans.at[i]))
            return false;
        const char *bad = plan_check(u->arena, &p->plans.at[i]);
        if (bad)
            return pass_internal(u, p->plans.at[i].entry->loc, "memory plan: %s", bad);
        if (p->plans.at[i].arena_bytes > p->arena_bytes)
            p->arena_bytes = p->plans.at[i].arena_bytes;
    }
    return plan_tensors(u, p);
}
