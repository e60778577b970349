/* read.c: reads the text of a Unit; see text.h. Recursive descent without recursion: the grammar
 * does not nest. Line ends are spaces. The first error ends the reading; type rules report theirs
 * through the builder, at the node's place in the text. */
#include "ir/text.h"

#include "ir/value.h"
#include "ir/verify.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Compiler *cx;
    Unit *u;
    uint32_t file;
    const char *begin, *at, *end;
    Graph *g;             /* of the entry being read */
    VEC(NodeId) nodes;    /* by number in the text */
} Reader;

typedef struct {
    const char *s;
    size_t n;
} Word;

static LocId place(Reader *r, const char *from, const char *to)
{
    return loc_make(
        r->cx, (Loc){ r->file, (uint32_t)(from - r->begin), (uint32_t)(to - r->begin), 0, NULL });
}

__attribute__((format(printf, 2, 3))) static bool fail(Reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(r->cx->arena, format, args);
    va_end(args);
    diag_report(r->cx, DIAG_E0290, place(r, r->at, r->at + (r->at < r->end)), "%s", message);
    return false;
}

static void skip_space(Reader *r)
{
    while (r->at < r->end && (isspace((unsigned char)*r->at) || *r->at == '#')) {
        if (*r->at == '#')
            while (r->at < r->end && *r->at != '\n')
                r->at++;
        else
            r->at++;
    }
}

static bool accept(Reader *r, char c)
{
    skip_space(r);
    if (r->at < r->end && *r->at == c) {
        r->at++;
        return true;
    }
    return false;
}

static bool expect(Reader *r, char c)
{
    return accept(r, c) || fail(r, "`%c` expected", c);
}

/* Empty when there is none. */
static Word peek_word(Reader *r)
{
    skip_space(r);
    Word w = { r->at, 0 };
    while (w.s + w.n < r->end && (isalnum((unsigned char)w.s[w.n]) || w.s[w.n] == '_') &&
           (w.n || !isdigit((unsigned char)*w.s)))
        w.n++;
    return w;
}

static bool word_is(Word w, const char *s)
{
    return w.n == strlen(s) && !memcmp(w.s, s, w.n);
}

static bool accept_word(Reader *r, const char *s)
{
    Word w = peek_word(r);
    if (!word_is(w, s))
        return false;
    r->at += w.n;
    return true;
}

/* One of n names; its index. */
static bool read_choice(Reader *r, const char *const *names, int n, int *out_index)
{
    Word w = peek_word(r);
    for (*out_index = 0; *out_index < n; ++*out_index)
        if (word_is(w, names[*out_index])) {
            r->at += w.n;
            return true;
        }
    return fail(r, "%s or the like expected", names[0]);
}

/* Digits with an optional sign, into 64 bits; unsigned numbers beyond 2^63 wrap and set *out_big.
 */
static bool read_digits(Reader *r, int64_t *out_v, bool *out_big)
{
    bool negative = accept(r, '-');
    skip_space(r);
    uint64_t v = 0;
    const char *first = r->at;
    for (; r->at < r->end && isdigit((unsigned char)*r->at); r->at++)
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*r->at - '0'), &v))
            return fail(r, "a number beyond 64 bits");
    if (r->at == first)
        return fail(r, "an integer expected");
    if (negative && v > (uint64_t)INT64_MAX + 1)
        return fail(r, "a number beyond 64 bits");
    *out_big = !negative && v > INT64_MAX;
    *out_v = (int64_t)(negative ? 0 - v : v);
    return true;
}

static bool read_int(Reader *r, int64_t lo, int64_t hi, int64_t *out_v)
{
    bool big;
    if (!read_digits(r, out_v, &big))
        return false;
    return (!big && *out_v >= lo && *out_v <= hi) || fail(r, "a number out of range");
}

static bool read_double(Reader *r, double *out_v)
{
    char digits[64];
    size_t n = 0;
    skip_space(r);
    while (r->at + n < r->end && n + 1 < sizeof digits &&
           (isalnum((unsigned char)r->at[n]) || strchr("+-.", r->at[n])) && r->at[n])
        n++;
    memcpy(digits, r->at, n);
    digits[n] = 0;
    char *stop;
    *out_v = strtod(digits, &stop);
    if (!n || stop != digits + n)
        return fail(r, "a number expected");
    r->at += n;
    return true;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool read_hex_byte(Reader *r, unsigned char *out_byte)
{
    int high = r->at < r->end ? hex_digit(r->at[0]) : -1,
        low = r->at + 1 < r->end ? hex_digit(r->at[1]) : -1;
    if (high < 0 || low < 0)
        return fail(r, "two hexadecimal digits expected");
    r->at += 2;
    *out_byte = (unsigned char)(high * 16 + low);
    return true;
}

/* Names are C strings, so a zero byte cannot stand in one. */
static bool read_string(Reader *r, const char **out_s)
{
    VEC(char) s = { 0 };
    if (!expect(r, '"'))
        return false;
    while (r->at < r->end && *r->at != '"') {
        unsigned char c = (unsigned char)*r->at++;
        if (c == '\n' || !c)
            return fail(r, "a string ends in its line and has no zero byte");
        if (c == '\\') {
            if (r->at == r->end)
                break;
            c = (unsigned char)*r->at++;
            if (c == 'x' && !read_hex_byte(r, &c))
                return false;
        }
        vec_push(r->u->arena, &s, (char)c);
    }
    vec_push(r->u->arena, &s, 0);
    *out_s = s.at;
    return strlen(s.at) + 1 == s.n ? expect(r, '"') : fail(r, "a zero byte in a string");
}

static bool read_dtype(Reader *r, Dtype *out_dtype)
{
    char name[8] = { 0 };
    Word w = peek_word(r);
    if (w.n >= sizeof name || !dtype_parse(memcpy(name, w.s, w.n), out_dtype))
        return fail(r, "a dtype expected");
    r->at += w.n;
    return true;
}

static bool read_dim(Reader *r, Dim *out_dim)
{
    int64_t n = 1, batch = r->g ? r->g->batch_max : 0;
    bool b = accept_word(r, "B");
    if (!b && !read_int(r, 0, INT64_MAX, &n))
        return false;
    b = b || accept_word(r, "B");
    *out_dim = dim_of(n);
    if (!b)
        return true;
    if (!batch || !n)
        return fail(r, "B where the batch has no maximum, or none of it");
    out_dim->k = n;
    return !__builtin_mul_overflow(n, batch, &out_dim->n) || fail(r, "an extent beyond 2^63");
}

/* `[B, 3]`; the bytes of any element type must fit 2^63. */
static bool read_shape(Reader *r, Shape *out_shape)
{
    *out_shape = (Shape){ 0 };
    if (!expect(r, '['))
        return false;
    while (!accept(r, ']')) {
        if (out_shape->rank == MAX_RANK)
            return fail(r, "more than %d axes", MAX_RANK);
        if ((out_shape->rank && !expect(r, ',')) || !read_dim(r, &out_shape->dim[out_shape->rank]))
            return false;
        out_shape->rank++;
    }
    int64_t n;
    return (shape_elements(out_shape, &n) && n <= INT64_MAX / 16) ||
           fail(r, "a shape of more than 2^63 bytes");
}

static bool read_type(Reader *r, Dtype *out_dtype, Shape *out_shape)
{
    *out_shape = (Shape){ 0 };
    if (!read_dtype(r, out_dtype))
        return false;
    skip_space(r);
    return r->at == r->end || *r->at != '[' || read_shape(r, out_shape);
}

/* `name=` and an integer, if the name comes next. */
static bool read_option(Reader *r, const char *name, int64_t lo, int64_t hi, int64_t *out_v)
{
    return !accept_word(r, name) || (expect(r, '=') && read_int(r, lo, hi, out_v));
}

static bool read_ints(Reader *r, AttrValue *out_v)
{
    VEC(int64_t) v = { 0 };
    if (!expect(r, '['))
        return false;
    while (!accept(r, ']')) {
        int64_t n;
        if ((v.n && !expect(r, ',')) || !read_int(r, INT64_MIN, INT64_MAX, &n))
            return false;
        vec_push(r->u->arena, &v, n);
    }
    *out_v = attr_ints(v.at, v.n);
    return true;
}

static bool read_attr(Reader *r, AttrKind kind, AttrValue *out_v)
{
    *out_v = (AttrValue){ .kind = kind };
    Dtype dtype;
    const char *s;
    switch (kind) {
    case ATTR_INT: return read_int(r, INT64_MIN, INT64_MAX, &out_v->i);
    case ATTR_FLOAT: return read_double(r, &out_v->f);
    case ATTR_STRING:
        if (!read_string(r, &s))
            return false;
        *out_v = attr_s(s);
        return true;
    case ATTR_INTS: return read_ints(r, out_v);
    case ATTR_DTYPE:
        if (!read_dtype(r, &dtype))
            return false;
        out_v->i = dtype;
        return true;
    case ATTR_SHAPE: {
        Shape *shape = arena_make(r->u->arena, Shape);
        out_v->shape = shape;
        return read_shape(r, shape);
    }
    case ATTR_DATA:
    case ATTR_END: break;
    }
    return fail(r, "an attribute that has no text");
}

/* name=value ..., each into the place its op declares; ATTR_END where none is given. */
static bool read_attrs(Reader *r, const OpDef *def, AttrValue *values)
{
    for (;;) {
        Word w = peek_word(r);
        const char *after = w.s + w.n;
        while (after < r->end && *after == ' ')
            after++;
        if (!w.n || after == r->end || *after != '=')
            return true;
        uint32_t i = 0;
        while (def->attrs && def->attrs[i].name && !word_is(w, def->attrs[i].name))
            i++;
        if (!def->attrs || !def->attrs[i].name)
            return fail(r, "`%s` has no attribute of this name", def->name);
        if (values[i].kind != ATTR_END)
            return fail(r, "`%s` is given twice", def->attrs[i].name);
        r->at += w.n;
        if (!expect(r, '=') || !read_attr(r, def->attrs[i].kind, &values[i]))
            return false;
    }
}

static bool read_hex(Reader *r, AttrValue *out_data)
{
    VEC(unsigned char) bytes = { 0 };
    while (r->at < r->end && hex_digit(*r->at) >= 0) {
        unsigned char c;
        if (!read_hex_byte(r, &c))
            return false;
        vec_push(r->u->arena, &bytes, c);
    }
    *out_data = attr_data(bytes.at, bytes.n);
    return true;
}

static bool read_element(Reader *r, Value *v, int64_t i)
{
    if (dtype_is_float(v->dtype))
        return read_double(r, &v->f[i]);
    bool big;
    if (!read_digits(r, &v->i[i], &big))
        return false;
    bool fits =
        v->dtype == DT_U64 ? big || v->i[i] >= 0 : !big && value_wrap(v->dtype, v->i[i]) == v->i[i];
    return fits || fail(r, "an element beyond its dtype");
}

/* The bytes of a constant's elements stand before its type, so the list is read twice: counted,
 * then converted. */
static bool read_elements(Reader *r, const char *list, Dtype dtype, const Shape *shape,
                          AttrValue *out_data)
{
    const char *after = r->at;
    int64_t n, commas = 0;
    for (const char *c = list; c < after; c++)
        commas += *c == ',';
    if (!shape_elements(shape, &n) || n > commas + 1)
        return fail(r, "fewer elements than the shape says");
    Arena *a = arena_new();
    Value v = value_new(a, dtype, shape, 1);
    r->at = list;
    bool ok = expect(r, '{');
    for (int64_t i = 0; ok && i < n; i++)
        ok = (!i || expect(r, ',')) && read_element(r, &v, i);
    ok = ok && expect(r, '}');
    if (ok) {
        size_t bytes = (size_t)n * dtype_size(dtype);
        void *data = arena_alloc(r->u->arena, bytes);
        value_to_bytes(&v, data);
        *out_data = attr_data(data, (uint32_t)bytes);
        r->at = after;
    }
    arena_free(a);
    return ok;
}

/* `{1, 2} : f32[2]` or `0x... : f32[2]`; emits the constant. */
static bool read_constant(Reader *r, NodeId *out_node)
{
    AttrValue attrs[3];
    Dtype dtype;
    Shape shape;
    skip_space(r);
    const char *list = r->at;
    bool hex = r->end - r->at > 2 && r->at[0] == '0' && r->at[1] == 'x';
    if (hex) {
        r->at += 2;
        if (!read_hex(r, &attrs[0]))
            return false;
    } else {
        if (!expect(r, '{'))
            return false;
        while (r->at < r->end && *r->at != '}')
            r->at++;
        if (!expect(r, '}'))
            return false;
    }
    if (!expect(r, ':') || !read_type(r, &dtype, &shape) ||
        (!hex && !read_elements(r, list, dtype, &shape, &attrs[0])))
        return false;
    attrs[1] = attr_dtype(dtype);
    attrs[2] = attr_shape(&shape);
    *out_node = graph_emit(r->g, OP_constant, NULL, 0, attrs, 3);
    return *out_node != NODE_NONE;
}

static bool read_node_id(Reader *r, NodeId *out_node)
{
    int64_t n;
    if (!expect(r, '%') || !read_int(r, 0, UINT32_MAX, &n))
        return false;
    if (n >= r->nodes.n)
        return fail(r, "%%%lld does not come before its use", (long long)n);
    *out_node = r->nodes.at[n];
    return true;
}

static bool read_op(Reader *r, Op *out_op)
{
    Word w = peek_word(r);
    for (int op = 0; op < OP_COUNT; op++)
        if (word_is(w, op_defs[op]->name)) {
            *out_op = (Op)op;
            r->at += w.n;
            return true;
        }
    return fail(r, "no such op");
}

static bool read_operation(Reader *r, Op op, NodeId *out_node)
{
    enum { MAX_ATTRS = 16 };
    const OpDef *def = op_defs[op];
    VEC(NodeId) in = { 0 };
    AttrValue attrs[MAX_ATTRS] = { { 0 } };
    uint32_t n_attrs = 0;
    Dtype dtype;
    Shape shape;
    skip_space(r);
    while (r->at < r->end && *r->at == '%') {
        NodeId x;
        if (!read_node_id(r, &x))
            return false;
        vec_push(r->u->arena, &in, x);
        if (!accept(r, ','))
            break;
        skip_space(r);
    }
    while (def->attrs && def->attrs[n_attrs].name)
        n_attrs++;
    if (!read_attrs(r, def, attrs) || !expect(r, ':') || !read_type(r, &dtype, &shape))
        return false;
    *out_node = graph_emit(r->g, op, in.at, in.n, attrs, n_attrs);
    if (*out_node == NODE_NONE)
        return false;
    const Shape *s = graph_shape(r->g, *out_node);
    return (graph_dtype(r->g, *out_node) == dtype && shape_equal(s, &shape)) ||
           fail(r, "this `%s` is %s%s", def->name, dtype_name(graph_dtype(r->g, *out_node)),
                shape_text(r->u->arena, s));
}

static bool read_node(Reader *r)
{
    const char *from = r->at;
    int64_t number;
    Op op = OP_COUNT;
    NodeId node = NODE_NONE;
    if (!read_int(r, 0, UINT32_MAX, &number))
        return false;
    if (number != r->nodes.n)
        return fail(r, "the next node is %%%u", r->nodes.n);
    if (!expect(r, '=') || !read_op(r, &op))
        return false;
    r->g->loc = place(r, from - 1, r->at);
    if (op == OP_constant ? !read_constant(r, &node) : !read_operation(r, op, &node))
        return false;
    vec_push(r->u->arena, &r->nodes, node);
    return true;
}

static bool read_input(Reader *r)
{
    int64_t number;
    Input in = { .loc = place(r, r->at, r->at) };
    if (!read_int(r, 0, UINT32_MAX, &number) || !read_string(r, &in.name) || !expect(r, ':') ||
        !read_type(r, &in.dtype, &in.shape) || !read_option(r, "bound", 1, INT64_MAX, &in.bound))
        return false;
    if (number != r->g->inputs.n)
        return fail(r, "the next input is %u", r->g->inputs.n);
    vec_push(r->u->arena, &r->g->inputs, in);
    return true;
}

static bool read_output(Reader *r)
{
    const char *name;
    NodeId node;
    int64_t updates = -1;
    if (!read_string(r, &name) || !read_node_id(r, &node) ||
        !read_option(r, "updates", 0, INT32_MAX, &updates))
        return false;
    graph_output(r->g, name, node, (int32_t)updates);
    return true;
}

static bool read_entry(Reader *r)
{
    const char *from = r->at, *name;
    int kind;
    int64_t batch = 0;
    if (!read_choice(r, entry_kind_names, ENTRY_SCHEDULE + 1, &kind) || !read_string(r, &name) ||
        !read_option(r, "batch", 1, INT64_MAX, &batch))
        return false;
    bool pinned = accept_word(r, "pinned"), ok = expect(r, '{');
    r->g = graph_new(r->u, name, batch);
    r->nodes.n = 0;
    while (ok && !accept(r, '}')) {
        if (accept_word(r, "input"))
            ok = read_input(r);
        else if (accept_word(r, "output"))
            ok = read_output(r);
        else
            ok = expect(r, '%') && read_node(r);
    }
    Entry e = { .kind = (EntryKind)kind,
                .name = name,
                .graph = r->g,
                .pinned = pinned,
                .loc = place(r, from, r->at) };
    r->g->loc = 0;
    r->g = NULL;
    vec_push(r->u->arena, &r->u->entries, e);
    return ok;
}

static bool read_tensor(Reader *r)
{
    int64_t number, owner = -1;
    int kind;
    Tensor t = { .loc = place(r, r->at, r->at) };
    if (!read_int(r, 0, UINT32_MAX, &number) || !read_string(r, &t.name) || !expect(r, ':') ||
        !read_type(r, &t.dtype, &t.shape) ||
        !read_choice(r, tensor_kind_names, TENSOR_STAT + 1, &kind) ||
        !read_option(r, "owner", 0, INT32_MAX, &owner))
        return false;
    if (number != r->u->tensors.n)
        return fail(r, "the next tensor is %u", r->u->tensors.n);
    t.kind = (TensorKind)kind;
    t.owner = (int32_t)owner;
    t.trained = accept_word(r, "trained");
    vec_push(r->u->arena, &r->u->tensors, t);
    return true;
}

static bool read_items(Reader *r)
{
    if (!accept_word(r, "unit"))
        return fail(r, "`unit` expected");
    if (!read_string(r, &r->u->name))
        return false;
    for (;;) {
        skip_space(r);
        if (r->at == r->end)
            return true;
        if (accept_word(r, "tensor")
                ? !read_tensor(r)
                : !(accept_word(r, "entry") || fail(r, "`tensor` or `entry` expected")) ||
                      !read_entry(r))
            return false;
    }
}

Unit *unit_read(Compiler *cx, const char *path, const char *text, size_t size)
{
    Reader r = { .cx = cx };
    if (size > INT32_MAX) {
        diag_report(cx, DIAG_E0290, 0, "%s: an IR text of more than 2 GiB", path);
        return NULL;
    }
    r.file = compiler_add_source(cx, path, text, size);
    r.begin = r.at = text;
    r.end = text + size;
    r.u = unit_new(cx, "");
    if (!read_items(&r))
        return NULL;
    const char *bad = unit_verify(cx->arena, r.u);
    if (bad)
        diag_report(cx, DIAG_E0290, place(&r, r.begin, r.begin), "%s", bad);
    return bad ? NULL : r.u;
}
