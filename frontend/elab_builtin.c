/* elab_builtin.c: calls of what is known to the compiler: functions of the tables in elab_shape.c,
 * elab_reduce.c, elab_random.c and elab_pattern.c, and every op by its name, with its attributes as
 * named arguments. */
#include "frontend/elab.h"
#include "ir/value.h"

#include <ctype.h>
#include <string.h>

static const Builtin *const tables[] = { shape_builtins, reduce_builtins, random_builtins,
                                         pattern_builtins, mark_builtins };

const Builtin *builtin_find(const char *name)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const Builtin *b = tables[t]; b->name; b++)
            if (!strcmp(b->name, name))
                return b;
    return NULL;
}

uint32_t builtin_names(const char **out, uint32_t max)
{
    uint32_t n = 0;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const Builtin *b = tables[t]; b->name && n < max; b++)
            out[n++] = b->name;
    return n;
}

typedef struct {
    char name[24];
    char mark; /* 0 required, '?' optional, '=' optional and only by name, '*' the rest, '&' any
                  other names */
} Param;

static uint32_t read_params(const char *text, Param *out)
{
    uint32_t n = 0;
    while (*text) {
        Param *p = &out[n++];
        uint32_t k = 0;
        while (isalnum((unsigned char)*text) || *text == '_')
            p->name[k++] = *text++;
        p->name[k] = 0;
        p->mark = 0;
        while (*text == ',' || *text == ' ' || *text == '?' || *text == '=' || *text == '*' ||
               *text == '&') {
            if (*text != ',' && *text != ' ')
                p->mark = *text;
            text++;
        }
    }
    return n;
}

static bool fail_args(Elab *e, const Builtin *b, LocId loc, const char *what)
{
    uint32_t d = diag_report(e->cx, DIAG_E0404, loc_here(e, loc), "`%s` %s", b->name, what);
    diag_add(e->cx, d, DIAG_NOTE, 0,
             "its form is %s(%s), where `?` and `=` may be left out and `=` is named", b->name,
             b->params);
    return false;
}

static bool place_args(BuiltinCall *q, const Param *params, uint32_t n, const Args *args)
{
    Elab *e = q->e;
    uint32_t next = 0;
    q->rest.at = arena_new_array(e->a, Arg, args->n);
    for (uint32_t i = 0; i < args->n; i++) {
        const Arg *a = &args->at[i];
        uint32_t k = next;
        if (a->name) {
            for (k = 0; k < n && strcmp(params[k].name, a->name); k++)
                ;
            if (n && (k == n || params[k].mark == '&') && params[n - 1].mark == '&') {
                q->rest.at[q->rest.n++] = *a;
                continue;
            }
            if (k == n || params[k].mark == '*')
                return fail_args(e, q->def, a->loc,
                                 arena_printf(e->a, "has no argument `%s`", a->name));
        } else {
            while (k < n && (params[k].mark == '=' || params[k].mark == '&'))
                k++;
            if (k == n)
                return fail_args(e, q->def, a->loc, "has too many arguments");
            if (params[k].mark == '*') {
                q->rest.at[q->rest.n++] = *a;
                continue;
            }
            next = k + 1;
        }
        if (arg_given(q, k))
            return fail_args(e, q->def, a->loc,
                             arena_printf(e->a, "has its argument `%s` twice", params[k].name));
        q->at[k] = *a;
    }
    for (uint32_t k = 0; k < n; k++)
        if (!params[k].mark && !arg_given(q, k))
            return fail_args(e, q->def, q->loc,
                             arena_printf(e->a, "lacks its argument `%s`", params[k].name));
    return true;
}

Val builtin_call(Elab *e, const Builtin *b, const Args *args, LocId loc)
{
    Param params[16];
    BuiltinCall q = { .e = e, .def = b, .loc = loc };
    uint32_t n = read_params(b->params, params);
    for (uint32_t i = 0; i < 16; i++)
        q.at[i].val = val_none();
    if (!place_args(&q, params, n, args) || !spend(e, loc, 4))
        return val_error();
    set_loc(e, loc);
    return b->call(&q);
}

/* ---- arguments ---- */

NodeId arg_tensor(BuiltinCall *q, uint32_t i)
{
    NodeId x =
        val_to_tensor(q->e, q->at[i].val, q->e->options->f64 ? DT_F64 : DT_F32, q->at[i].loc);
    set_loc(q->e, q->loc);
    return x;
}

bool arg_int(BuiltinCall *q, uint32_t i, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    return !arg_given(q, i) || val_integer(q->e, q->at[i].val, q->at[i].loc, "this argument", out);
}

bool arg_bool(BuiltinCall *q, uint32_t i, bool otherwise, bool *out)
{
    *out = otherwise;
    if (!arg_given(q, i))
        return true;
    if (q->at[i].val.kind == VAL_BOOL) {
        *out = q->at[i].val.b;
        return true;
    }
    report_kind(q->e, q->at[i].loc, "true or false", q->at[i].val);
    return false;
}

static bool check_axis(Elab *e, int64_t axis, uint32_t rank, LocId loc, int64_t *out)
{
    *out = axis < 0 ? axis + rank : axis;
    if (*out >= 0 && *out < rank)
        return true;
    diag_report(e->cx, DIAG_E0307, loc_here(e, loc), "axis %lld of a tensor of rank %u",
                (long long)axis, rank);
    return false;
}

bool arg_axis(BuiltinCall *q, uint32_t i, uint32_t rank, int64_t otherwise, int64_t *out)
{
    int64_t axis;
    return arg_int(q, i, otherwise, &axis) &&
           check_axis(q->e, axis, rank, arg_given(q, i) ? q->at[i].loc : q->loc, out);
}

bool arg_ints(BuiltinCall *q, uint32_t i, int64_t *out, uint32_t max, uint32_t *out_n)
{
    Val v = q->at[i].val;
    *out_n = 0;
    if (v.kind != VAL_LIST) {
        *out_n = 1;
        return val_integer(q->e, v, q->at[i].loc, "this argument", out);
    }
    if (v.list.n > max) {
        diag_report(q->e->cx, DIAG_E0338, loc_here(q->e, q->at[i].loc),
                    "a list of at most %u numbers is needed", max);
        return false;
    }
    for (; *out_n < v.list.n; ++*out_n)
        if (!val_integer(q->e, v.list.at[*out_n], q->at[i].loc, "this argument", &out[*out_n]))
            return false;
    return true;
}

/* axis=2..: all from the third on; the ends count from the last when negative, as in slices. */
static bool axis_range(BuiltinCall *q, uint32_t i, uint32_t rank, int64_t *out, uint32_t *out_n)
{
    Val v = q->at[i].val;
    int64_t from = 0, to = rank;
    if ((v.range.from && !val_integer(q->e, *v.range.from, q->at[i].loc, "an axis", &from)) ||
        (v.range.to && !val_integer(q->e, *v.range.to, q->at[i].loc, "an axis", &to)))
        return false;
    from += from < 0 ? rank : 0;
    to += to < 0 ? rank : 0;
    if (from < 0 || from > rank || to < 0 || to > rank) {
        diag_report(q->e->cx, DIAG_E0307, loc_here(q->e, q->at[i].loc),
                    "the axes %lld..%lld of a tensor of rank %u", (long long)from, (long long)to,
                    rank);
        return false;
    }
    for (*out_n = 0; from < to; ++*out_n)
        out[*out_n] = from++;
    return true;
}

bool arg_axes(BuiltinCall *q, uint32_t i, uint32_t rank, int64_t *out, uint32_t *out_n)
{
    if (!arg_given(q, i)) {
        for (*out_n = 0; *out_n < rank; ++*out_n)
            out[*out_n] = *out_n;
        return true;
    }
    if (q->at[i].val.kind == VAL_RANGE ? !axis_range(q, i, rank, out, out_n)
                                       : !arg_ints(q, i, out, MAX_RANK, out_n))
        return false;
    for (uint32_t k = 0; k < *out_n; k++) {
        if (!check_axis(q->e, out[k], rank, q->at[i].loc, &out[k]))
            return false;
        for (uint32_t j = 0; j < k; j++)
            if (out[j] == out[k]) {
                diag_report(q->e->cx, DIAG_E0307, loc_here(q->e, q->at[i].loc),
                            "axis %lld is named twice", (long long)out[k]);
                return false;
            }
    }
    return true;
}

static bool add_dim(Elab *e, Val v, LocId loc, Shape *out)
{
    int64_t n;
    Dim d;
    if (v.kind == VAL_DIM) {
        d = (Dim){ 0, v.i };
        if (__builtin_mul_overflow(v.i, e->batch_max, &d.n))
            return false;
    } else {
        if (!val_integer(e, v, loc, "a dim", &n))
            return false;
        d = dim_of(n);
    }
    if (d.n < 0) {
        diag_report(e->cx, DIAG_E0335, loc_here(e, loc), "a dim cannot be %lld", (long long)d.n);
        return false;
    }
    if (out->rank == MAX_RANK) {
        diag_report(e->cx, DIAG_E0308, loc_here(e, loc), "a tensor has at most %d axes", MAX_RANK);
        return false;
    }
    out->dim[out->rank++] = d;
    return true;
}

bool vals_to_shape(Elab *e, const Arg *at, uint32_t n, LocId loc, Shape *out)
{
    *out = (Shape){ 0 };
    for (uint32_t i = 0; i < n; i++) {
        Val v = at[i].val;
        bool list = v.kind == VAL_LIST || (v.kind == VAL_TUPLE && !v.first);
        for (uint32_t k = 0; list && k < v.list.n; k++)
            if (!add_dim(e, v.list.at[k], at[i].loc, out))
                return false;
        if (!list && !add_dim(e, v, at[i].loc, out))
            return false;
    }
    int64_t elements;
    if (shape_elements(out, &elements) && elements <= INT64_MAX / 16)
        return true;
    diag_report(e->cx, DIAG_E0335, loc_here(e, loc), "a tensor of %s has too many elements",
                shape_text(e->a, out));
    return false;
}

/* ---- ops by name ---- */

/* One number of a list. The end of a slice may be that of the batch: whole, the op takes it. */
static bool attr_int(Elab *e, const AttrDecl *d, Val v, LocId loc, int64_t *out)
{
    if (v.kind == VAL_DIM && !strcmp(d->name, "end"))
        return !__builtin_mul_overflow(v.i, e->batch_max, out);
    return val_integer(e, v, loc, d->name, out);
}

static bool attr_from_val(Elab *e, const AttrDecl *d, Val v, LocId loc, uint32_t rank,
                          AttrValue *out)
{
    *out = (AttrValue){ .kind = d->kind };
    switch (d->kind) {
    case ATTR_INT:
        if (v.kind == VAL_BOOL) {
            out->i = v.b;
            return true;
        }
        if (!val_integer(e, v, loc, d->name, &out->i))
            return false;
        return strcmp(d->name, "axis") || check_axis(e, out->i, rank, loc, &out->i);
    case ATTR_FLOAT:
        if (!val_is_number(v)) {
            report_kind(e, loc, "a number", v);
            return false;
        }
        out->f = val_double(v);
        return true;
    case ATTR_STRING:
        if (v.kind != VAL_STRING) {
            report_kind(e, loc, "a string", v);
            return false;
        }
        *out = attr_s(v.string.text);
        return true;
    case ATTR_DTYPE:
        if (v.kind != VAL_DTYPE) {
            report_kind(e, loc, "a dtype", v);
            return false;
        }
        out->i = v.dtype;
        return true;
    case ATTR_INTS: {
        uint32_t n = v.kind == VAL_LIST ? v.list.n : 1;
        int64_t *ints = arena_new_array(e->a, int64_t, n);
        for (uint32_t i = 0; i < n; i++)
            if (!attr_int(e, d, v.kind == VAL_LIST ? v.list.at[i] : v, loc, &ints[i]) ||
                (!strcmp(d->name, "axes") && !check_axis(e, ints[i], rank, loc, &ints[i])))
                return false;
        *out = attr_ints(ints, n);
        return true;
    }
    case ATTR_SHAPE: {
        Shape *s = arena_make(e->a, Shape);
        Arg one = { NULL, v, loc };
        *out = attr_shape(s);
        return vals_to_shape(e, &one, 1, loc, s);
    }
    case ATTR_DATA:
    case ATTR_END: break;
    }
    return false;
}

static bool is_elementwise(Op op)
{
    return op_defs[op]->lower == LOWER_ELEMENTWISE && !op_defs[op]->attrs;
}

/* relu and the like: one operand, its shape, no attributes. */
static bool is_scalar_like(Op op)
{
    return is_elementwise(op) || (!op_defs[op]->attrs && op_defs[op]->max_in == 1);
}

static Val op_on_numbers(Elab *e, Op op, const Args *args, LocId loc)
{
    static const struct {
        Op op;
        AstBinaryOp ast;
    } same[] = {
        { OP_add, AST_ADD }, { OP_sub, AST_SUB },           { OP_mul, AST_MUL },
        { OP_div, AST_DIV }, { OP_floordiv, AST_FLOORDIV }, { OP_mod, AST_MOD },
        { OP_pow, AST_POW },
    };
    for (uint32_t i = 0; i < args->n; i++)
        if (!val_is_number(args->at[i].val))
            return val_none();
    if (args->n == 1 && op_defs[op]->scalar != SC_NONE)
        return number_unary(e, op, args->at[0].val, loc);
    if (args->n != 2)
        return val_none();
    Val a = args->at[0].val, b = args->at[1].val;
    if (op == OP_maximum || op == OP_minimum)
        return (val_double(a) > val_double(b)) == (op == OP_maximum) ? a : b;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (same[i].op == op)
            return number_binary(e, same[i].ast, a, b, loc);
    return val_none();
}

static Val fail_op(Elab *e, Op op, LocId loc, const char *what)
{
    diag_report(e->cx, DIAG_E0404, loc_here(e, loc), "`%s` %s", op_defs[op]->name, what);
    return val_error();
}

Val op_call(Elab *e, Op op, const Args *args, LocId loc)
{
    const OpDef *def = op_defs[op];
    Val in[16];
    uint32_t n = 0, n_attrs = 0;
    for (uint32_t i = 0; i < args->n; i++) {
        if (args->at[i].val.kind == VAL_ERROR)
            return val_error();
        if (!args->at[i].name && n == 16)
            return fail_op(e, op, args->at[i].loc, "has too many operands");
        if (!args->at[i].name)
            in[n++] = args->at[i].val;
    }
    if (n < def->min_in || (def->max_in != 255 && n > def->max_in))
        return fail_op(e, op, loc,
                       arena_printf(e->a, "takes %u operand%s, not %u; attributes are named",
                                    def->min_in, def->min_in == 1 ? "" : "s", n));
    if (is_scalar_like(op) && n == args->n) {
        Val known = op_on_numbers(e, op, args, loc);
        if (known.kind != VAL_NONE)
            return known;
        return tensor_elementwise(e, op, in, n, loc);
    }
    NodeId nodes[16];
    Dtype t = DT_COUNT;
    for (uint32_t i = 0; i < n && t == DT_COUNT; i++)
        t = val_dtype_of(e, val_deref(e, in[i]));
    if (t == DT_COUNT)
        t = e->options->f64 ? DT_F64 : DT_F32;
    for (uint32_t i = 0; i < n; i++) {
        nodes[i] = val_to_tensor(e, in[i], t, loc);
        if (nodes[i] == NODE_NONE)
            return val_error();
    }
    uint32_t rank = n ? graph_shape(e->g, nodes[0])->rank : MAX_RANK;
    AttrValue attrs[16] = { 0 };
    for (const AttrDecl *d = def->attrs; d && d->name; d++, n_attrs++) {
        attrs[n_attrs] = (AttrValue){ .kind = ATTR_END };
        if (!strcmp(d->name, "axis") && rank)
            attrs[n_attrs] = attr_i(rank - 1); /* softmax and the like: the last */
    }
    for (uint32_t i = 0; i < args->n; i++) {
        const AttrDecl *d = def->attrs;
        if (!args->at[i].name)
            continue;
        while (d && d->name && strcmp(d->name, args->at[i].name))
            d++;
        if (!d || !d->name)
            return fail_op(e, op, args->at[i].loc,
                           arena_printf(e->a, "has no attribute `%s`", args->at[i].name));
        if (!attr_from_val(e, d, args->at[i].val, args->at[i].loc, rank, &attrs[d - def->attrs]))
            return val_error();
    }
    set_loc(e, loc);
    return val_node(graph_emit(e->g, op, nodes, n, attrs, n_attrs));
}
