/* elab_pattern.c: rearrange("b t (h d) -> b h t d", x, h=4) and einsum("b i d, b j d -> b i j", a,
 * b). Patterns are read and checked here, with carets inside the string; what is left is reshape,
 * transpose, reshape, and contractions of two operands at a time.
 *
 * rearrange: (x, sizes) -> split the grouped axes, permute, merge. A name may stand once on each
 * side; 1 is an axis of extent 1.
 * einsum: a name that stands twice in an operand is its diagonal; `...` stands for any axes, which
 * align at the right and repeat where their extent is 1. */
#include "frontend/elab.h"

#include <ctype.h>
#include <string.h>

enum { MAX_NAMES = 24 };

typedef struct {
    uint32_t name;       /* index into names, or ONE */
    uint32_t group;      /* axis of the tensor it belongs to */
    uint32_t begin, end; /* in the pattern */
} Token;
enum { ONE = UINT32_MAX, ELLIPSIS = UINT32_MAX - 1 };

typedef struct {
    Token at[MAX_NAMES];
    uint32_t n, axes;
    bool result;
} Side;

typedef struct {
    BuiltinCall *q;
    const char *text;
    uint32_t pos;
    const char *names[MAX_NAMES];
    uint32_t n_names;
    Dim size[MAX_NAMES]; /* n == 0: not known */
    bool known[MAX_NAMES];
    bool einsum;
    uint32_t lead; /* axes that `...` stands for */
} Pattern;

static bool fail_at(Pattern *p, uint32_t begin, uint32_t end, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static bool fail_at(Pattern *p, uint32_t begin, uint32_t end, const char *format, ...)
{
    Elab *e = p->q->e;
    const AstString *s = p->q->at[0].val.string.ast;
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(e->a, format, args);
    va_end(args);
    LocId loc = s ? ast_string_loc(e->cx, s, begin, end) : p->q->at[0].loc;
    diag_report(e->cx, DIAG_E0341, loc_here(e, loc), "%s", message);
    return false;
}

static void skip_blanks(Pattern *p)
{
    while (p->text[p->pos] == ' ')
        p->pos++;
}

static uint32_t name_index(Pattern *p, uint32_t begin, uint32_t end, bool add)
{
    for (uint32_t i = 0; i < p->n_names; i++)
        if (strlen(p->names[i]) == end - begin &&
            !strncmp(p->names[i], p->text + begin, end - begin))
            return i;
    if (!add || p->n_names == MAX_NAMES)
        return UINT32_MAX;
    p->names[p->n_names] = arena_strndup(p->q->e->a, p->text + begin, end - begin);
    return p->n_names++;
}

static bool add_token(Pattern *p, Side *s, Token t)
{
    bool may_repeat = p->einsum && t.name != ELLIPSIS && !s->result;
    if (s->n == MAX_NAMES)
        return fail_at(p, t.begin, t.end, "too many names");
    for (uint32_t i = 0; t.name != ONE && !may_repeat && i < s->n; i++)
        if (s->at[i].name == t.name)
            return fail_at(p, t.begin, t.end, "`%.*s` stands twice", (int)(t.end - t.begin),
                           p->text + t.begin);
    s->at[s->n++] = t;
    return true;
}

/* Names, 1 and groups up to a comma, an arrow or the end. `add`: names may be new. */
static bool read_side(Pattern *p, bool add, Side *out)
{
    bool grouped = false;
    *out = (Side){ .result = !add };
    for (;;) {
        skip_blanks(p);
        uint32_t begin = p->pos;
        char c = p->text[begin];
        if (!c || c == ',' || (c == '-' && p->text[begin + 1] == '>'))
            break;
        if (c == '(' || c == ')') {
            if (grouped == (c == '('))
                return fail_at(p, begin, begin + 1,
                               c == '(' ? "groups do not nest" : "`)` without `(`");
            grouped = !grouped;
            out->axes += c == ')';
            p->pos++;
            continue;
        }
        if (p->einsum && !strncmp(p->text + begin, "...", 3)) {
            p->pos += 3;
            if (!add_token(p, out, (Token){ ELLIPSIS, out->axes++, begin, begin + 3 }))
                return false;
            continue;
        }
        while (isalnum((unsigned char)p->text[p->pos]) || p->text[p->pos] == '_')
            p->pos++;
        uint32_t end = p->pos;
        bool one = end == begin + 1 && c == '1';
        if (end == begin)
            return fail_at(p, begin, begin + 1, "a pattern has names, 1, ( ), commas and ->");
        if (isdigit((unsigned char)c) && !one)
            return fail_at(p, begin, end,
                           "only 1 may stand as a number; give other sizes as name=size");
        uint32_t name = one ? ONE : name_index(p, begin, end, add);
        if (!one && name == UINT32_MAX)
            return fail_at(p, begin, end, "`%.*s` is not on the left side", (int)(end - begin),
                           p->text + begin);
        if (!add_token(p, out, (Token){ name, out->axes, begin, end }))
            return false;
        out->axes += !grouped;
    }
    return !grouped || fail_at(p, p->pos, p->pos + 1, "`(` without `)`");
}

static bool read_arrow(Pattern *p)
{
    skip_blanks(p);
    if (p->text[p->pos] != '-' || p->text[p->pos + 1] != '>')
        return fail_at(p, p->pos, p->pos + 1, "`->` is missing");
    p->pos += 2;
    return true;
}

/* ---- rearrange ---- */

/* Sizes of the names in one axis of the operand: all but one must be known. */
static bool size_axis(Pattern *p, const Side *in, uint32_t axis, Dim extent)
{
    int64_t known = 1;
    uint32_t open = UINT32_MAX, begin = UINT32_MAX, end = 0, batched = 0;
    for (uint32_t i = 0; i < in->n; i++) {
        const Token *t = &in->at[i];
        if (t->group != axis)
            continue;
        begin = begin < t->begin ? begin : t->begin, end = t->end;
        if (t->name == ONE)
            continue;
        if (p->known[t->name]) {
            batched |= p->size[t->name].k != 0;
            if (__builtin_mul_overflow(known, p->size[t->name].n, &known))
                return fail_at(p, begin, end, "the sizes overflow");
        } else if (open != UINT32_MAX) {
            return fail_at(p, begin, end,
                           "the sizes of `%s` and `%s` cannot both be inferred; give one as %s=..",
                           p->names[open], p->names[t->name], p->names[t->name]);
        } else {
            open = t->name;
        }
    }
    const char *text = val_text(p->q->e, val_of_dim(extent));
    if (begin == UINT32_MAX) /* an empty group */
        return extent.n == 1 || fail_at(p, 0, 1, "`()` stands for an extent of 1");
    if (open == UINT32_MAX)
        return (known == extent.n && (batched != 0) == (extent.k != 0)) ||
               fail_at(p, begin, end, "this axis has %s elements, its parts have %lld", text,
                       (long long)known);
    if (known <= 0 || extent.n % known || (!batched && extent.k % known))
        return fail_at(p, begin, end, "an axis of %s does not divide into parts of %lld", text,
                       (long long)known);
    p->size[open] = (Dim){ extent.n / known, batched ? 0 : extent.k / known };
    p->known[open] = true;
    return true;
}

static bool read_sizes(Pattern *p, const Args *args)
{
    Elab *e = p->q->e;
    for (uint32_t i = 0; i < args->n; i++) {
        const Arg *a = &args->at[i];
        uint32_t name;
        for (name = 0; name < p->n_names && strcmp(p->names[name], a->name); name++)
            ;
        if (name == p->n_names) {
            diag_report(e->cx, DIAG_E0404, loc_here(e, a->loc),
                        "`%s` does not stand in the pattern", a->name);
            return false;
        }
        Shape one;
        Arg size = *a;
        if (!vals_to_shape(e, &size, 1, a->loc, &one) || one.rank != 1)
            return false;
        p->size[name] = one.dim[0];
        p->known[name] = true;
    }
    return true;
}

static NodeId rearranged(Pattern *p, const Side *in, const Side *out, NodeId x)
{
    Graph *g = p->q->e->g;
    Shape split = { 0 }, merged = { .rank = out->axes };
    int64_t perm[MAX_RANK], place[MAX_NAMES];
    for (uint32_t i = 0; i < in->n; i++)
        if (in->at[i].name != ONE) {
            if (split.rank == MAX_RANK) {
                fail_at(p, in->at[i].begin, in->at[i].end, "more than %d axes", MAX_RANK);
                return NODE_NONE;
            }
            place[in->at[i].name] = split.rank;
            split.dim[split.rank++] = p->size[in->at[i].name];
        }
    uint32_t n = 0;
    for (uint32_t i = 0; i < out->axes; i++)
        merged.dim[i] = dim_of(1);
    for (uint32_t i = 0; i < out->n; i++) {
        const Token *t = &out->at[i];
        if (t->name == ONE)
            continue;
        perm[n++] = place[t->name];
        Dim *d = &merged.dim[t->group], s = p->size[t->name];
        int64_t k = d->k || s.k ? (d->k ? d->k : d->n) * (s.k ? s.k : s.n) : 0;
        if (d->k && s.k) {
            fail_at(p, t->begin, t->end, "two axes of the batch in one group");
            return NODE_NONE;
        }
        *d = (Dim){ d->n * s.n, k };
    }
    x = b_reshape(g, x, &split);
    bool moved = false;
    for (uint32_t i = 0; i < n; i++)
        moved |= perm[i] != i;
    if (moved)
        x = b_transpose(g, x, perm);
    return b_reshape(g, x, &merged);
}

static Val call_rearrange(BuiltinCall *q)
{
    Elab *e = q->e;
    if (q->at[1].val.kind == VAL_STRING) { /* x |> rearrange("..") */
        Arg x = q->at[0];
        q->at[0] = q->at[1], q->at[1] = x;
    }
    if (q->at[0].val.kind != VAL_STRING) {
        report_kind(e, q->at[0].loc, "a pattern", q->at[0].val);
        return val_error();
    }
    Pattern p = { .q = q, .text = q->at[0].val.string.text };
    Side in, out;
    NodeId x = arg_tensor(q, 1);
    if (x == NODE_NONE || !read_side(&p, true, &in) || !read_arrow(&p) ||
        !read_side(&p, false, &out))
        return val_error();
    Shape shape = *graph_shape(e->g, x);
    if (p.text[p.pos] || out.axes > MAX_RANK) {
        fail_at(&p, p.pos, p.pos + 1,
                p.text[p.pos] ? "`rearrange` has one operand" : "too many axes");
        return val_error();
    }
    if (in.axes != shape.rank) {
        fail_at(&p, 0, in.n ? in.at[in.n - 1].end : 1, "the pattern has %u axes, the tensor is %s",
                in.axes, val_text(e, val_node(x)));
        return val_error();
    }
    if (!read_sizes(&p, &q->rest))
        return val_error();
    for (uint32_t axis = 0; axis < in.axes; axis++)
        if (!size_axis(&p, &in, axis, shape.dim[axis]))
            return val_error();
    for (uint32_t i = 0; i < in.n; i++) {
        bool kept = in.at[i].name == ONE;
        for (uint32_t k = 0; k < out.n; k++)
            kept |= out.at[k].name == in.at[i].name;
        if (!kept) {
            fail_at(&p, in.at[i].begin, in.at[i].end,
                    "`%s` is not on the right side; sum or index it away first",
                    p.names[in.at[i].name]);
            return val_error();
        }
    }
    set_loc(e, q->loc);
    Val v = val_node(rearranged(&p, &in, &out, x));
    v.untyped = q->at[1].val.kind == VAL_TENSOR && q->at[1].val.untyped;
    return v;
}

/* ---- einsum ---- */

typedef struct {
    NodeId node;
    char letters[MAX_RANK + 1];
} Operand;

/* The axes that `...` stands for get names that no pattern can hold, counted from the right. */
static bool lead_name(Pattern *p, uint32_t from_right, uint32_t *out)
{
    for (uint32_t i = 0; i < p->n_names; i++)
        if (p->names[i][0] == '.' && strlen(p->names[i]) == from_right + 1) {
            *out = i;
            return true;
        }
    if (p->n_names == MAX_NAMES)
        return false;
    char *name = arena_new_array(p->q->e->a, char, from_right + 2);
    memset(name, '.', from_right + 1);
    *out = p->n_names;
    p->names[p->n_names++] = name;
    return true;
}

/* A letter for each axis; `lead`: how many axes `...` stands for here. */
static bool side_letters(Pattern *p, const Side *s, uint32_t lead, char *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const Token *t = &s->at[i];
        uint32_t many = t->name == ELLIPSIS ? lead : 1, name = t->name;
        if (t->name == ONE || s->axes != s->n)
            return fail_at(p, t->begin, t->end,
                           "`einsum` has names only, without 1 and groups");
        for (uint32_t k = many; k-- > 0;) {
            if (n == MAX_RANK || (t->name == ELLIPSIS && !lead_name(p, k, &name)))
                return fail_at(p, t->begin, t->end, "too many axes");
            out[n++] = (char)('a' + name);
        }
    }
    out[n] = 0;
    return true;
}

/* x with axes i and j, of one extent, replaced by one at the end along their diagonal. */
static NodeId diagonal(Graph *g, NodeId x, uint32_t i, uint32_t j)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    Shape s = *graph_shape(g, x), flat = { 0 };
    int64_t perm[MAX_RANK], zero[MAX_RANK] = { 0 }, end[MAX_RANK], step[MAX_RANK];
    int64_t extent = s.dim[i].n;
    for (uint32_t k = 0; k < s.rank; k++)
        if (k != i && k != j) {
            perm[flat.rank] = k;
            flat.dim[flat.rank++] = s.dim[k];
        }
    perm[flat.rank] = i, perm[flat.rank + 1] = j;
    flat.dim[flat.rank++] = dim_of(extent * extent);
    for (uint32_t k = 0; k < flat.rank; k++)
        end[k] = flat.dim[k].n, step[k] = 1;
    step[flat.rank - 1] = extent + 1;
    return b_slice(g, b_reshape(g, b_transpose(g, x, perm), &flat), zero, end, step);
}

/* Names that stand twice become one axis. */
static bool take_diagonals(Pattern *p, Operand *o)
{
    Graph *g = p->q->e->g;
    for (uint32_t i = 0; o->letters[i]; i++) {
        const char *twin = strchr(o->letters + i + 1, o->letters[i]);
        if (!twin)
            continue;
        char letter = o->letters[i];
        uint32_t j = (uint32_t)(twin - o->letters), n = 0;
        if (graph_shape(g, o->node)->dim[i].k) {
            p->q->e->wants_pin = true;
            return false;
        }
        o->node = diagonal(g, o->node, i, j);
        for (uint32_t k = 0; o->letters[k]; k++)
            if (k != i && k != j)
                o->letters[n++] = o->letters[k];
        o->letters[n] = letter;
        o->letters[n + 1] = 0;
        if (o->node == NODE_NONE)
            return false;
        i = (uint32_t)-1; /* again from the first */
    }
    return true;
}

/* The extent of a name; where `...` stands for it, 1 may meet another. */
static bool meet_size(Pattern *p, uint32_t name, Dim d, const Token *t)
{
    bool lead = p->names[name][0] == '.';
    if (p->known[name] && lead && dim_equal(d, dim_of(1)))
        return true;
    if (p->known[name] && !(lead && dim_equal(p->size[name], dim_of(1))) &&
        !dim_equal(p->size[name], d))
        return fail_at(p, t->begin, t->end, "`%s` is %s here and %s before",
                       lead ? "..." : p->names[name], val_text(p->q->e, val_of_dim(d)),
                       val_text(p->q->e, val_of_dim(p->size[name])));
    p->known[name] = true;
    p->size[name] = d;
    return true;
}

static bool read_operand(Pattern *p, uint32_t number, Val v, Dtype t, LocId loc, Operand *out)
{
    Elab *e = p->q->e;
    Side side;
    if (!read_side(p, true, &side))
        return false;
    out->node = val_to_node(e, v, t, loc);
    if (out->node == NODE_NONE)
        return false;
    Shape s = *graph_shape(e->g, out->node);
    uint32_t dots = 0;
    for (uint32_t i = 0; i < side.n; i++)
        dots += side.at[i].name == ELLIPSIS;
    if (dots ? s.rank + 1 < side.n : s.rank != side.n)
        return fail_at(p, side.n ? side.at[0].begin : 0, side.n ? side.at[side.n - 1].end : 1,
                       "operand %u has %u axes in the pattern and is %s", number + 1,
                       side.n - dots, val_text(e, val_node(out->node)));
    uint32_t lead = dots ? s.rank + 1 - side.n : 0, axis = 0;
    if (!side_letters(p, &side, lead, out->letters))
        return false;
    p->lead = lead > p->lead ? lead : p->lead;
    for (uint32_t i = 0; i < side.n; i++)
        for (uint32_t k = side.at[i].name == ELLIPSIS ? lead : 1; k > 0; k--, axis++)
            if (!meet_size(p, (uint32_t)(out->letters[axis] - 'a'), s.dim[axis], &side.at[i]))
                return false;
    return take_diagonals(p, out);
}

/* Axes of extent 1 that another operand repeats are dropped. */
static void drop_repeated(Pattern *p, Operand *o)
{
    Graph *g = p->q->e->g;
    Shape s = *graph_shape(g, o->node), kept = { 0 };
    uint32_t n = 0;
    for (uint32_t i = 0; i < s.rank; i++) {
        Dim whole = p->size[o->letters[i] - 'a'];
        if (dim_equal(s.dim[i], whole)) {
            o->letters[n++] = o->letters[i];
            kept.dim[kept.rank++] = s.dim[i];
        }
    }
    o->letters[n] = 0;
    if (kept.rank != s.rank)
        o->node = b_reshape(g, o->node, &kept);
}

/* Contracts a and b, keeping what the result or a later operand names. */
static bool contract(Elab *e, Operand *a, const Operand *b, const char *needed)
{
    char kept[2 * MAX_RANK + 1];
    uint32_t n = 0;
    for (int side = 0; side < 2; side++)
        for (const char *l = side ? b->letters : a->letters; *l; l++)
            if (strchr(needed, *l) && !memchr(kept, *l, n))
                kept[n++] = *l;
    kept[n] = 0;
    if (n > MAX_RANK)
        return false;
    a->node = b_dot(e->g, a->node, b->node,
                    arena_printf(e->a, "%s,%s->%s", a->letters, b->letters, kept));
    memcpy(a->letters, kept, n + 1);
    return a->node != NODE_NONE;
}

/* One operand: sums over what the result lacks, then its order. */
static NodeId finish(Elab *e, Operand *a, const char *out)
{
    int64_t axes[MAX_RANK], perm[MAX_RANK];
    uint32_t n = 0, kept = 0;
    for (uint32_t i = 0; a->letters[i]; i++) {
        if (!strchr(out, a->letters[i]))
            axes[n++] = i;
        else
            a->letters[kept++] = a->letters[i];
    }
    a->letters[kept] = 0;
    NodeId x = n ? b_reduce(e->g, OP_reduce_sum, a->node, axes, n, false) : a->node;
    if (!strcmp(a->letters, out))
        return x;
    for (uint32_t i = 0; out[i]; i++)
        perm[i] = strchr(a->letters, out[i]) - a->letters;
    return b_transpose(e->g, x, perm);
}

static Val call_einsum(BuiltinCall *q)
{
    Elab *e = q->e;
    Operand ops[8];
    Side right;
    char out[MAX_RANK + 1], needed[MAX_RANK * 8 + 1];
    if (q->at[0].val.kind != VAL_STRING) {
        report_kind(e, q->at[0].loc, "a pattern", q->at[0].val);
        return val_error();
    }
    Pattern p = { .q = q, .text = q->at[0].val.string.text, .einsum = true };
    Dtype t = DT_COUNT;
    for (uint32_t i = 0; i < q->rest.n && t == DT_COUNT; i++)
        t = val_dtype_of(e, q->rest.at[i].val);
    uint32_t read = 0;
    while (read < q->rest.n && read < 8) {
        const Arg *a = &q->rest.at[read];
        if (!read_operand(&p, read, a->val, t == DT_COUNT ? DT_F32 : t, a->loc, &ops[read]))
            return val_error();
        read++;
        if (read < q->rest.n && p.text[p.pos] == ',')
            p.pos++;
        else
            break;
    }
    skip_blanks(&p);
    if (!read || read != q->rest.n || p.text[p.pos] != '-') {
        fail_at(&p, p.pos, p.pos + 1,
                "the pattern has another number of operands than the call, which has %u",
                q->rest.n);
        return val_error();
    }
    if (!read_arrow(&p) || !read_side(&p, false, &right) || !side_letters(&p, &right, p.lead, out))
        return val_error();
    if (p.text[p.pos]) {
        fail_at(&p, p.pos, p.pos + 1, "the pattern goes on after its result");
        return val_error();
    }
    set_loc(e, q->loc);
    for (uint32_t i = 0; i < q->rest.n; i++)
        drop_repeated(&p, &ops[i]);
    for (uint32_t i = 1; i < q->rest.n; i++) {
        strcpy(needed, out);
        for (uint32_t k = i + 1; k < q->rest.n; k++)
            strcat(needed, ops[k].letters);
        if (i + 1 == q->rest.n) { /* the last one gives the order asked for */
            ops[0].node =
                b_dot(e->g, ops[0].node, ops[i].node,
                      arena_printf(e->a, "%s,%s->%s", ops[0].letters, ops[i].letters, out));
            return val_node(ops[0].node);
        }
        if (!contract(e, &ops[0], &ops[i], needed)) {
            fail_at(&p, 0, 1, "a product on the way has more than %d axes", MAX_RANK);
            return val_error();
        }
    }
    return val_node(finish(e, &ops[0], out));
}

const Builtin pattern_builtins[] = {
    { "einsum", "pattern, tensors*", call_einsum },
    { "rearrange", "pattern, x, sizes&", call_rearrange },
    { NULL, NULL, NULL },
};
