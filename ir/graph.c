/* graph.c: units, graphs, and the one function through which every node is made.
 *
 * graph_emit infers, folds and interns. Folding happens here and not in a pass so that no stage can
 * produce a graph with the work left undone, and so that autodiff may emit naively. */
#include "ir/graph.h"

#include "ir/op.h"
#include "ir/value.h"

#include <string.h>

const OpDef *const op_defs[OP_COUNT] = {
#define OP(name) [OP_##name] = &op_##name,
#include "ir/ops.def"
#undef OP
};

enum { INTERN_BUCKETS = 256, FOLD_LIMIT = 4096 };

typedef struct InternEntry InternEntry;
struct InternEntry {
    uint64_t hash;
    uint32_t id;
    InternEntry *next;
};

/* Doubled when it has an entry a bucket. */
typedef struct {
    InternEntry **buckets;
    uint32_t count, n; /* count: a power of two */
} InternTable;

/* An open hash of the first `n` tensors, brought up to date when it is asked: whoever declares one
 * only pushes it. Tensors that were removed since are noticed by the last name. */
typedef struct {
    uint32_t *slots, cap, n; /* slots: number + 1, or 0; cap: a power of two */
    const char *last;
} TensorIndex;

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n)
{
    const unsigned char *s = p;
    uint64_t word;
    for (; n >= sizeof word; n -= sizeof word, s += sizeof word) {
        memcpy(&word, s, sizeof word);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static InternTable *intern_new(Arena *a)
{
    InternTable *t = arena_make(a, InternTable);
    t->count = INTERN_BUCKETS;
    t->buckets = arena_new_array(a, InternEntry *, t->count);
    return t;
}

/* The entries that may be the one with this hash. */
static InternEntry *intern_first(const InternTable *t, uint64_t hash)
{
    return t->buckets[hash & (t->count - 1)];
}

static void intern_add(Arena *a, InternTable *t, uint64_t hash, uint32_t id)
{
    if (t->n++ == t->count) {
        InternTable wider = { NULL, t->count * 2, t->n };
        wider.buckets = arena_new_array(a, InternEntry *, wider.count);
        for (uint32_t i = 0; i < t->count; i++)
            for (InternEntry *e = t->buckets[i], *next; e; e = next) {
                InternEntry **bucket = &wider.buckets[e->hash & (wider.count - 1)];
                next = e->next;
                e->next = *bucket;
                *bucket = e;
            }
        *t = wider;
    }
    InternEntry *e = arena_make(a, InternEntry), **bucket = &t->buckets[hash & (t->count - 1)];
    *e = (InternEntry){ hash, id, *bucket };
    *bucket = e;
}

Unit *unit_new(Compiler *cx, const char *name)
{
    Unit *u = arena_make(cx->arena, Unit);
    u->cx = cx;
    u->arena = cx->arena;
    u->name = name;
    u->shape_index = intern_new(u->arena);
    u->attr_index = intern_new(u->arena);
    u->tensor_index = arena_make(u->arena, TensorIndex);
    vec_push(u->arena, &u->attrs, (AttrList){ 0 });
    return u;
}

Entry *unit_entry(Unit *u, const char *name)
{
    for (uint32_t i = 0; i < u->entries.n; i++)
        if (!strcmp(u->entries.at[i].name, name))
            return &u->entries.at[i];
    return NULL;
}

/* ---- Tensors by name ---- */

static uint32_t *tensor_slot(const Unit *u, const TensorIndex *x, const char *name)
{
    uint64_t h = hash_bytes(14695981039346656037u, name, strlen(name));
    uint32_t i = (uint32_t)(h ^ h >> 32) & (x->cap - 1);
    while (x->slots[i] && strcmp(u->tensors.at[x->slots[i] - 1].name, name))
        i = (i + 1) & (x->cap - 1);
    return &x->slots[i];
}

static void index_tensors(const Unit *u, TensorIndex *x)
{
    uint32_t n = u->tensors.n;
    bool same = x->n <= n && (!x->n || u->tensors.at[x->n - 1].name == x->last);
    if (!same || 2 * n > x->cap) {
        x->n = 0;
        x->cap = x->cap ? x->cap : 64;
        while (x->cap < 2 * n)
            x->cap *= 2;
        x->slots = arena_new_array(u->arena, uint32_t, x->cap);
    }
    for (; x->n < n; x->n++) {
        uint32_t *slot = tensor_slot(u, x, u->tensors.at[x->n].name);
        if (!*slot) /* of equal names the first counts */
            *slot = x->n + 1;
    }
    x->last = n ? u->tensors.at[n - 1].name : NULL;
}

int32_t unit_tensor(const Unit *u, const char *name)
{
    TensorIndex *x = u->tensor_index;
    index_tensors(u, x);
    return x->cap ? (int32_t)*tensor_slot(u, x, name) - 1 : -1;
}

uint32_t unit_intern_shape(Unit *u, const Shape *s)
{
    Shape clean = { .rank = s->rank };
    memcpy(clean.dim, s->dim, s->rank * sizeof(Dim));
    uint64_t h = hash_bytes(s->rank, clean.dim, s->rank * sizeof(Dim));
    for (InternEntry *e = intern_first(u->shape_index, h); e; e = e->next)
        if (e->hash == h && shape_equal(&u->shapes.at[e->id], &clean))
            return e->id;
    intern_add(u->arena, u->shape_index, h, u->shapes.n);
    vec_push(u->arena, &u->shapes, clean);
    return u->shapes.n - 1;
}

static size_t attr_bytes(const AttrValue *v, const void **out_p)
{
    switch (v->kind) {
    case ATTR_STRING: *out_p = v->s; return v->count;
    case ATTR_INTS: *out_p = v->ints; return v->count * sizeof(int64_t);
    case ATTR_SHAPE: *out_p = v->shape; return sizeof(Shape);
    case ATTR_DATA: *out_p = v->data; return v->count;
    case ATTR_END:
    case ATTR_INT:
    case ATTR_FLOAT:
    case ATTR_DTYPE: *out_p = &v->i; return sizeof v->i;
    }
    *out_p = NULL;
    return 0;
}

static bool attrs_equal(const AttrList *l, const AttrValue *v, uint32_t n)
{
    if (l->n != n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const void *p, *q;
        size_t a = attr_bytes(&l->at[i], &p), b = attr_bytes(&v[i], &q);
        if (l->at[i].kind != v[i].kind || a != b || (a && memcmp(p, q, a)))
            return false;
    }
    return true;
}

static Shape *clean_shape(Arena *a, const Shape *s)
{
    Shape *copy = arena_make(a, Shape);
    copy->rank = s->rank;
    memcpy(copy->dim, s->dim, s->rank * sizeof(Dim));
    return copy;
}

static AttrValue attr_copy(Arena *a, const AttrValue *v)
{
    AttrValue c = *v;
    if (v->kind == ATTR_STRING || v->kind == ATTR_DATA) {
        c.s = arena_strndup(a, v->s, v->count);
    } else if (v->kind == ATTR_INTS) {
        int64_t *ints = arena_new_array(a, int64_t, v->count);
        if (v->count)
            memcpy(ints, v->ints, v->count * sizeof *ints);
        c.ints = ints;
    }
    return c;
}

static uint32_t intern_attrs(Unit *u, AttrValue *v, uint32_t n)
{
    if (!n)
        return 0;
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) {
        const void *p;
        if (v[i].kind == ATTR_SHAPE)
            v[i].shape = clean_shape(u->arena, v[i].shape);
        size_t bytes = attr_bytes(&v[i], &p);
        h = hash_bytes(h * 31 + v[i].kind, p, bytes);
    }
    for (InternEntry *e = intern_first(u->attr_index, h); e; e = e->next)
        if (e->hash == h && attrs_equal(&u->attrs.at[e->id], v, n))
            return e->id;
    AttrList list = { n, arena_new_array(u->arena, AttrValue, n) };
    for (uint32_t i = 0; i < n; i++)
        list.at[i] = attr_copy(u->arena, &v[i]);
    intern_add(u->arena, u->attr_index, h, u->attrs.n);
    vec_push(u->arena, &u->attrs, list);
    return u->attrs.n - 1;
}

AttrValue attr_s(const char *s)
{
    return (AttrValue){ .kind = ATTR_STRING, .count = (uint32_t)strlen(s), .s = s };
}

Graph *graph_new(Unit *u, const char *name, int64_t batch_max)
{
    Graph *g = arena_make(u->arena, Graph);
    g->unit = u;
    g->name = name;
    g->batch_max = batch_max;
    g->bucket_count = 1024;
    g->buckets = arena_new_array(u->arena, uint32_t, g->bucket_count);
    return g;
}

const Shape *graph_shape(const Graph *g, NodeId id)
{
    return &g->unit->shapes.at[g->nodes.at[id].shape];
}

const AttrValue *graph_attr(const Graph *g, NodeId id, const char *name)
{
    const Node *n = &g->nodes.at[id];
    const AttrDecl *d = op_defs[n->op]->attrs;
    for (uint32_t i = 0; d && d[i].name; i++)
        if (!strcmp(d[i].name, name))
            return &g->unit->attrs.at[n->attrs].at[i];
    assert(!"attribute not declared");
    return NULL;
}

/* Given attributes followed by the declared defaults. False when a required one is missing or a
 * kind differs. */
static bool complete_attrs(const OpDef *def, const AttrValue *given, uint32_t n, AttrValue *out,
                           uint32_t *out_n)
{
    uint32_t i = 0;
    for (const AttrDecl *d = def->attrs; d && d->name; d++, i++) {
        if (i < n && given[i].kind != ATTR_END) {
            if (given[i].kind != d->kind)
                return false;
            out[i] = given[i];
            continue;
        }
        if (d->required)
            return false;
        out[i] = (AttrValue){ .kind = d->kind };
        switch (d->kind) {
        case ATTR_INT:
        case ATTR_DTYPE: out[i].i = d->i; break;
        case ATTR_FLOAT: out[i].f = d->f; break;
        case ATTR_STRING: out[i] = attr_s(d->s ? d->s : ""); break;
        case ATTR_INTS:
        case ATTR_SHAPE:
        case ATTR_DATA:
        case ATTR_END: break; /* an empty list */
        }
    }
    *out_n = i;
    return n <= i;
}

static uint64_t node_hash(Op op, const NodeId *in, uint32_t n, uint32_t attrs, uint32_t shape,
                          Dtype dtype)
{
    uint64_t h = hash_bytes(op * 31u + dtype, in, n * sizeof *in);
    h = hash_bytes(h, &attrs, sizeof attrs);
    return hash_bytes(h, &shape, sizeof shape);
}

static void rehash(Graph *g)
{
    Arena *a = g->unit->arena;
    g->bucket_count *= 4;
    g->buckets = arena_new_array(a, uint32_t, g->bucket_count);
    for (NodeId id = 0; id < g->nodes.n; id++) {
        const Node *n = &g->nodes.at[id];
        uint64_t h = node_hash((Op)n->op, n->count ? g->operands.at + n->first : NULL, n->count,
                               n->attrs, n->shape, (Dtype)n->dtype);
        uint32_t *bucket = &g->buckets[h % g->bucket_count];
        g->chain[id] = *bucket;
        *bucket = id + 1;
    }
}

static NodeId append_node(Graph *g, Node node, const NodeId *in)
{
    Arena *a = g->unit->arena;
    uint64_t h = node_hash((Op)node.op, in, node.count, node.attrs, node.shape, (Dtype)node.dtype);
    for (uint32_t e = g->buckets[h % g->bucket_count]; e; e = g->chain[e - 1]) {
        const Node *o = &g->nodes.at[e - 1];
        if (o->op == node.op && o->dtype == node.dtype && o->shape == node.shape &&
            o->attrs == node.attrs && o->count == node.count &&
            (!node.count || !memcmp(g->operands.at + o->first, in, node.count * sizeof *in)))
            return e - 1;
    }
    node.first = g->operands.n;
    for (uint32_t i = 0; i < node.count; i++)
        vec_push(a, &g->operands, in[i]);
    vec_push(a, &g->nodes, node);
    NodeId id = g->nodes.n - 1;
    g->chain = vec_grow(a, g->chain, id, &g->chain_cap, sizeof *g->chain);
    uint32_t *bucket = &g->buckets[h % g->bucket_count];
    g->chain[id] = *bucket;
    *bucket = id + 1;
    if (g->nodes.n > g->bucket_count)
        rehash(g);
    return id;
}

/* All operands constant and the result small: the reference computes it, rounded once to the
 * result's type. */
static NodeId fold_constant(Graph *g, Op op, const NodeId *in, uint32_t n, NodeId unfolded,
                            const Shape *shape, Dtype dtype)
{
    const OpDef *def = op_defs[op];
    int64_t count;
    if (!n || !def->ref || def->random || def->lower == LOWER_NONE || op == OP_broadcast ||
        !shape_elements(shape, &count) || count > FOLD_LIMIT)
        return NODE_NONE;
    for (uint32_t i = 0; i < shape->rank; i++)
        if (shape->dim[i].k)
            return NODE_NONE;
    for (uint32_t i = 0; i < n; i++)
        if (graph_node(g, in[i])->op != OP_constant)
            return NODE_NONE;
    Arena *a = arena_new();
    Value *values = arena_new_array(a, Value, n), out = value_new(a, dtype, shape, 1);
    for (uint32_t i = 0; i < n; i++)
        values[i] = value_from_bytes(a, graph_dtype(g, in[i]), graph_shape(g, in[i]),
                                     graph_attr(g, in[i], "data")->data);
    Ref q = { .g = g, .node = unfolded, .arena = a, .in = values, .n = n, .batch = 1, .out = &out };
    def->ref(&q);
    size_t bytes = (size_t)count * dtype_size(dtype);
    void *data = arena_alloc(a, bytes);
    value_to_bytes(&out, data);
    AttrValue attrs[] = { attr_data(data, (uint32_t)bytes), attr_dtype(dtype), attr_shape(shape) };
    NodeId folded = graph_emit(g, OP_constant, NULL, 0, attrs, 3);
    arena_free(a);
    return folded;
}

NodeId graph_emit(Graph *g, Op op, const NodeId *in, uint32_t n, const AttrValue *attrs,
                  uint32_t n_attrs)
{
    const OpDef *def = op_defs[op];
    AttrValue full[16];
    uint32_t n_full;
    for (uint32_t i = 0; i < n; i++)
        if (in[i] == NODE_NONE) {
            g->failed = true;
            return NODE_NONE;
        }
    if (n < def->min_in || (def->max_in != 255 && n > def->max_in)) {
        diag_report(g->unit->cx, DIAG_E0301, g->loc, "`%s` takes %u operand%s, not %u", def->name,
                    def->min_in, def->min_in == 1 ? "" : "s", n);
        g->failed = true;
        return NODE_NONE;
    }
    if (!complete_attrs(def, attrs, n_attrs, full, &n_full)) {
        diag_report(g->unit->cx, DIAG_E0302, g->loc,
                    "`%s` lacks an argument or has one of another kind", def->name);
        g->failed = true;
        return NODE_NONE;
    }
    Infer q = { .g = g, .op = op, .in = in, .n = n, .attrs = full };
    if (!def->infer(&q)) {
        g->failed = true;
        return NODE_NONE;
    }
    if (def->fold) {
        NodeId folded = def->fold(g, op, in, n, full, &q.shape, q.dtype);
        if (folded != NODE_NONE)
            return folded;
    }
    Node node = { .op = (uint16_t)op, .dtype = (uint8_t)q.dtype, .count = n, .loc = g->loc };
    node.shape = unit_intern_shape(g->unit, &q.shape);
    node.attrs = intern_attrs(g->unit, full, n_full);
    Shape shape = q.shape; /* the interned table may move */
    NodeId id = append_node(g, node, in);
    NodeId folded = fold_constant(g, op, in, n, id, &shape, q.dtype);
    return folded == NODE_NONE ? id : folded;
}

NodeId graph_copy_node(Graph *g, const Graph *from, NodeId id, const NodeId *in)
{
    const Node *n = graph_node(from, id);
    LocId before = g->loc;
    g->loc = n->loc;
    const AttrList *l = &from->unit->attrs.at[n->attrs];
    NodeId copy = graph_emit(g, (Op)n->op, in, n->count, l->at, l->n);
    g->loc = before;
    return copy;
}

NodeId graph_input(Graph *g, Input input)
{
    AttrValue v = attr_i(g->inputs.n);
    vec_push(g->unit->arena, &g->inputs, input);
    return graph_emit(g, OP_input, NULL, 0, &v, 1);
}

void graph_output(Graph *g, const char *name, NodeId node, int32_t updates)
{
    vec_push(g->unit->arena, &g->outputs, (Output){ name, node, updates });
}

uint8_t *graph_live(Arena *a, const Graph *g)
{
    uint8_t *live = arena_alloc(a, g->nodes.n);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        live[g->outputs.at[i].node] = 1;
    for (NodeId id = g->nodes.n; id-- > 0;)
        for (uint32_t i = 0; live[id] && i < g->nodes.at[id].count; i++)
            live[graph_operand(g, id, i)] = 1;
    return live;
}

Op op_find(const char *name)
{
    for (int op = 0; op < OP_COUNT; op++)
        if (!op_defs[op]->internal && !strcmp(op_defs[op]->name, name))
            return (Op)op;
    return OP_COUNT;
}
