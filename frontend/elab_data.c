/* elab_data.c: data declarations as stages of a source: a reader, then split, standardize, map,
 * classes. Only sources that the recipe names are looked at. What each item's fields are is
 * followed as far as it is known without opening anything. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

typedef struct {
    FrontendField at[32];
    int n; /* -1: not all known */
} Fields;

typedef struct {
    Elab *e;
    DataSource *source;
    Module *module;
    Fields fields;
} Pipeline;

static bool fail_stage(Pipeline *p, LocId loc, const char *what)
{
    diag_report(p->e->cx, DIAG_E0622, loc, "%s", what);
    return false;
}

/* The callee's name and arguments of a stage: standardize("x"), or a bare name. */
static const char *stage_name(const AstExpr *x)
{
    const AstExpr *callee = x->kind == AST_EXPR_CALL ? x->call.callee : x;
    return callee->kind == AST_EXPR_NAME ? callee->name.text : NULL;
}

static bool is_call(const AstExpr *x, const char *name)
{
    const char *own = x->kind == AST_EXPR_CALL ? stage_name(x) : NULL;
    return own && !strcmp(own, name);
}

static bool read_path(Pipeline *p, const AstExpr *x, DataStage *st)
{
    if (is_call(x, "find") && x->call.n_args == 1 && x->call.args[0].value) {
        st->find = true;
        x = x->call.args[0].value;
    }
    Val v = eval_static(p->e, x, p->module->scope);
    if (v.kind == VAL_STRING)
        st->path = v.string.text;
    else
        report_kind(p->e, x->loc, "a path, \"file\" or find(\"name\")", v);
    return v.kind == VAL_STRING;
}

static void set_field(Fields *f, const char *name, Dtype t, uint32_t rank, const int64_t *dim)
{
    FrontendField field = { .name = name, .dtype = t, .rank = rank };
    for (uint32_t i = 0; i < rank; i++)
        field.dim[i] = dim[i];
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->at[i].name, name)) {
            f->at[i] = field;
            return;
        }
    if (f->n >= 0 && f->n < 32)
        f->at[f->n++] = field;
}

static Dtype default_float(const Elab *e)
{
    return e->options->f64 ? DT_F64 : DT_F32;
}

/* x=cols(0..13), y=col(4), y=col("price") */
static bool read_columns(Pipeline *p, const AstArg *a, DataStage *st)
{
    Elab *e = p->e;
    const AstExpr *x = a->value;
    DataColumns c = { .field = a->name.text, .first = -1 };
    bool many = x && is_call(x, "cols");
    c.many = many;
    if (!x || (!many && !is_call(x, "col")) || x->call.n_args < 1 || !x->call.args[0].value)
        return fail_stage(p, a->loc,
                          "a field of a table is cols(from..to), col(number) or col(\"name\")");
    for (uint32_t i = 0; i < x->call.n_args; i++) {
        const AstExpr *arg = x->call.args[i].value;
        Val v = arg ? eval_static(e, arg, p->module->scope) : val_error();
        if (v.kind == VAL_ERROR)
            return false;
        if (v.kind == VAL_STRING && x->call.n_args == 1) {
            c.column = v.string.text;
        } else if (v.kind == VAL_RANGE && many && x->call.n_args == 1 && v.range.from &&
                   v.range.to) {
            if (!val_integer(e, *v.range.from, arg->loc, "a column", &c.first) ||
                !val_integer(e, *v.range.to, arg->loc, "a column", &c.last))
                return false;
        } else if (x->call.n_args == 1 && val_integer(e, v, arg->loc, "a column", &c.first)) {
            c.last = c.first + 1;
        } else {
            return fail_stage(p, arg->loc, "a column is a number or a name");
        }
    }
    if (!c.column && (c.first < 0 || c.last <= c.first))
        return fail_stage(p, x->loc, "columns count from 0, and a range has at least one");
    vec_push(e->a, &st->columns, c);
    int64_t n = c.last - c.first;
    set_field(&p->fields, c.field, default_float(e), many, &n);
    return true;
}

static bool read_csv(Pipeline *p, const AstExpr *x, DataStage *st, char separator)
{
    st->kind = DATA_CSV;
    st->separator = separator;
    p->fields.n = 0;
    if (!x->call.n_args || !x->call.args[0].value || x->call.args[0].name.text ||
        !read_path(p, x->call.args[0].value, st))
        return fail_stage(p, x->loc, "the first argument is the file");
    bool ok = true;
    for (uint32_t i = 1; i < x->call.n_args; i++)
        ok &= x->call.args[i].name.text
                  ? read_columns(p, &x->call.args[i], st)
                  : fail_stage(p, x->call.args[i].loc, "fields are named: x=cols(0..13)");
    return ok;
}

/* ---- table(..) ---- */

static bool literal_form(Val v, DataLiteral *l)
{
    for (l->rank = 0; v.kind == VAL_LIST; v = v.list.at[0]) {
        if (l->rank == MAX_RANK || !v.list.n)
            return false;
        l->dims[l->rank++] = v.list.n;
    }
    return l->rank > 0;
}

static bool literal_fill(Val v, const DataLiteral *l, uint32_t axis, double *numbers,
                         const char **strings, int64_t *at)
{
    if (axis < l->rank) {
        if (v.kind != VAL_LIST || v.list.n != l->dims[axis])
            return false;
        for (uint32_t i = 0; i < v.list.n; i++)
            if (!literal_fill(v.list.at[i], l, axis + 1, numbers, strings, at))
                return false;
        return true;
    }
    if (strings ? v.kind != VAL_STRING : !val_is_number(v) && v.kind != VAL_BOOL)
        return false;
    if (strings)
        strings[(*at)++] = v.string.text;
    else
        numbers[(*at)++] = v.kind == VAL_BOOL ? v.b : val_double(v);
    return true;
}

static bool read_literal(Pipeline *p, const AstArg *a, DataStage *st)
{
    Elab *e = p->e;
    DataLiteral l = { .field = a->name.text };
    if (!a->name.text || !a->value)
        return fail_stage(p, a->loc, "fields are named: table(x=[..], y=[..])");
    Val v = eval_static(e, a->value, p->module->scope), leaf = v;
    int64_t n = 1, at = 0;
    if (v.kind == VAL_ERROR || !literal_form(v, &l))
        return v.kind != VAL_ERROR &&
               fail_stage(p, a->loc, "a field of `table` is a list with at least one element");
    for (uint32_t i = 0; i < l.rank; i++) {
        n *= l.dims[i]; /* bounded by the size of the source */
        leaf = leaf.list.at[0];
        if (n > 1 << 26)
            return fail_stage(p, a->loc, "this list is too long");
    }
    const char **strings =
        leaf.kind == VAL_STRING ? arena_new_array(e->a, const char *, (size_t)n) : NULL;
    double *numbers = strings ? NULL : arena_new_array(e->a, double, (size_t)n);
    if (!literal_fill(v, &l, 0, numbers, strings, &at))
        return fail_stage(p, a->loc, "this list is not rectangular, or mixes numbers and text");
    if (st->literals.n && st->literals.at[0].dims[0] != l.dims[0])
        return fail_stage(p, a->loc,
                          arena_printf(e->a, "`%s` has %lld rows, `%s` %lld", l.field,
                                       (long long)l.dims[0], st->literals.at[0].field,
                                       (long long)st->literals.at[0].dims[0]));
    l.values = numbers, l.strings = strings;
    vec_push(e->a, &st->literals, l);
    set_field(&p->fields, l.field, default_float(e), l.rank - 1, l.dims + 1);
    return true;
}

static bool read_table(Pipeline *p, const AstExpr *x, DataStage *st)
{
    bool ok = x->call.n_args || fail_stage(p, x->loc, "a table needs at least one field");
    st->kind = DATA_TABLE;
    p->fields.n = 0;
    for (uint32_t i = 0; i < x->call.n_args; i++)
        ok &= read_literal(p, &x->call.args[i], st);
    return ok;
}

/* ---- readers ---- */

static bool read_reader(Pipeline *p, const AstExpr *x, DataStage *st)
{
    const char *name = x->kind == AST_EXPR_CALL ? stage_name(x) : NULL;
    if (name && !strcmp(name, "csv"))
        return read_csv(p, x, st, ',');
    if (name && !strcmp(name, "tsv"))
        return read_csv(p, x, st, '\t');
    if (name && !strcmp(name, "table"))
        return read_table(p, x, st);
    if (name && !strcmp(name, "idx")) {
        st->kind = DATA_IDX;
        p->fields.n = -1;
        if (x->call.n_args != 1 || !x->call.args[0].value ||
            !read_path(p, x->call.args[0].value, st))
            return fail_stage(p, x->loc, "idx takes the path of a folder or file");
        DataSource so_far = *p->source;
        vec_push(p->e->a, &so_far.stages, *st);
        if (p->e->options->probe)
            p->fields.n = p->e->options->probe(p->e->options->user, &so_far, p->fields.at, 32);
        return true;
    }
    if (name && !strcmp(name, "rows")) {
        st->kind = DATA_ROWS;
        p->fields.n = 0;
        set_field(&p->fields, "i", DT_I64, 0, NULL);
        Val v = x->call.n_args == 1 && x->call.args[0].value
                    ? eval_static(p->e, x->call.args[0].value, p->module->scope)
                    : val_none();
        if (v.kind == VAL_INT && v.i > 0) {
            st->count = v.i;
            return true;
        }
        return v.kind != VAL_ERROR && fail_stage(p, x->loc, "rows takes a number above 0");
    }
    static const char *const later[] = { "text", "string", "images", "npy", "npz", "cifar" };
    for (size_t i = 0; name && i < sizeof later / sizeof *later; i++)
        if (!strcmp(name, later[i])) {
            unsupported(p->e, x->loc, arena_printf(p->e->a, "data from `%s`", name));
            return false;
        }
    return fail_stage(p, x->loc, "data begins with a reader: csv, tsv, idx, table, rows");
}

/* ---- stages ---- */

static bool read_split(Pipeline *p, const AstExpr *x, DataStage *st)
{
    double sum = 0;
    st->kind = DATA_SPLIT;
    for (uint32_t i = 0; i < x->call.n_args; i++) {
        const AstArg *a = &x->call.args[i];
        Val v = a->value ? eval_static(p->e, a->value, p->module->scope) : val_none();
        if (v.kind == VAL_ERROR)
            return false;
        if (a->name.text && !strcmp(a->name.text, "seed") && v.kind == VAL_INT) {
            st->has_seed = true;
            st->seed = (uint64_t)v.i;
        } else if (!a->name.text && val_is_number(v) && val_double(v) > 0 && val_double(v) <= 1) {
            vec_push(p->e->a, &st->fractions, val_double(v));
            sum += val_double(v);
        } else {
            return fail_stage(p, a->loc, "split takes fractions between 0 and 1, and seed=");
        }
    }
    if (st->fractions.n < 1 || st->fractions.n > 3 || sum > 1 + 1e-9)
        return fail_stage(p, x->loc, "split takes one to three fractions that sum to at most 1");
    return true;
}

static bool one_string(Pipeline *p, const AstExpr *x, const char **out)
{
    Val v = x->kind == AST_EXPR_CALL && x->call.n_args == 1 && x->call.args[0].value
                ? eval_static(p->e, x->call.args[0].value, p->module->scope)
                : val_none();
    *out = v.kind == VAL_STRING ? v.string.text : NULL;
    return *out ||
           (v.kind != VAL_ERROR &&
            fail_stage(p, x->loc, "one string is needed here: the names of fields, as in \"x|z\""));
}

static bool read_classes(Pipeline *p, const AstExpr *x, DataStage *st)
{
    st->kind = DATA_CLASSES;
    Val v = x->kind == AST_EXPR_CALL && x->call.n_args == 1 && x->call.args[0].value
                ? eval_static(p->e, x->call.args[0].value, p->module->scope)
                : val_none();
    if (v.kind != VAL_LIST)
        return v.kind != VAL_ERROR && fail_stage(p, x->loc, "classes takes a list of names");
    for (uint32_t i = 0; i < v.list.n; i++) {
        if (v.list.at[i].kind != VAL_STRING)
            return fail_stage(p, x->loc, "classes takes a list of names");
        vec_push(p->e->a, &st->names, v.list.at[i].string.text);
    }
    return true;
}

typedef struct {
    Pipeline *p;
    const AstExpr *x;
    Scope *scope;
} MapPlan;

static Val map_field(Elab *e, void *user, const char *name)
{
    MapPlan *m = user;
    const Fields *f = &m->p->fields;
    for (int i = 0; i < f->n; i++) {
        if (strcmp(f->at[i].name, name))
            continue;
        Shape s = { .rank = f->at[i].rank };
        for (uint32_t k = 0; k < s.rank; k++)
            s.dim[k] = dim_of(f->at[i].dim[k]);
        Val v = val_node(graph_input(
            e->g, (Input){ .name = name, .dtype = f->at[i].dtype, .shape = s, .loc = m->x->loc }));
        scope_bind(e, m->scope, name, v, m->x->loc);
        return v;
    }
    return val_none();
}

static bool map_body(Elab *e, void *user)
{
    MapPlan *m = user;
    m->scope = scope_new(e, m->p->module->scope);
    m->scope->lazy = map_field;
    m->scope->lazy_user = m;
    e->training = true;
    for (uint32_t i = 0; i < m->x->call.n_args; i++) {
        const AstArg *a = &m->x->call.args[i];
        if (!a->name.text || !a->value)
            return fail_stage(m->p, a->loc, "map takes fields by name: map(x = f32(x) / 255)");
        Val v = val_deref(e, eval(e, a->value, m->scope));
        NodeId x = v.kind == VAL_ERROR ? NODE_NONE : entry_result(e, v, NULL, a->value->loc);
        if (x == NODE_NONE)
            return false;
        graph_output(e->g, a->name.text, x, -1);
    }
    return true;
}

/* A graph for each item; without the fields' types (a file nobody has looked into) there is no such
 * entry yet. */
static bool read_map(Pipeline *p, const AstExpr *x, DataStage *st)
{
    MapPlan m = { p, x, NULL };
    st->kind = DATA_MAP;
    if (x->kind != AST_EXPR_CALL || !x->call.n_args)
        return fail_stage(p, x->loc, "map takes fields by name: map(x = f32(x) / 255)");
    st->entry = arena_printf(p->e->a, "map_%s_%u", p->source->name, p->source->stages.n);
    if (p->fields.n < 0)
        return true;
    if (!entry_build(p->e, ENTRY_MAP, st->entry, x->loc, map_body, &m))
        return false;
    const Graph *g = unit_entry(p->e->u, st->entry)->graph;
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        const Shape *s = graph_shape(g, g->outputs.at[i].node);
        int64_t dim[MAX_RANK];
        for (uint32_t k = 0; k < s->rank; k++)
            dim[k] = s->dim[k].n;
        set_field(&p->fields, g->outputs.at[i].name, graph_dtype(g, g->outputs.at[i].node), s->rank,
                  dim);
    }
    return true;
}

static bool read_stage(Pipeline *p, const AstExpr *x, DataStage *st)
{
    static const char *const all[] = { "split", "standardize", "map", "classes" };
    const char *name = stage_name(x);
    if (name && !strcmp(name, "split") && x->kind == AST_EXPR_CALL)
        return read_split(p, x, st);
    if (name && !strcmp(name, "standardize")) {
        st->kind = DATA_STANDARDIZE;
        return one_string(p, x, &st->fields);
    }
    if (name && !strcmp(name, "map"))
        return read_map(p, x, st);
    if (name && !strcmp(name, "classes"))
        return read_classes(p, x, st);
    static const char *const later[] = { "chars",          "words", "bpe",         "wordpiece",
                                         "windows",        "join",  "pad",         "skipgrams",
                                         "sentence_pairs", "fill",  "drop_missing" };
    for (size_t i = 0; name && i < sizeof later / sizeof *later; i++)
        if (!strcmp(name, later[i])) {
            unsupported(p->e, x->loc, arena_printf(p->e->a, "the data stage `%s`", name));
            return false;
        }
    const char *near = name ? diag_nearest(name, all, 4) : NULL;
    if (near)
        diag_report(p->e->cx, DIAG_E0622, x->loc, "no data stage `%s`; did you mean `%s`?", name,
                    near);
    else
        diag_report(p->e->cx, DIAG_E0622, x->loc,
                    "the stages of data are split, standardize, map and classes");
    return false;
}

static bool read_pipeline(Pipeline *p, const AstExpr *x)
{
    DataStage st = { .loc = x->loc };
    bool ok;
    if (x->kind == AST_EXPR_PIPE) {
        if (!read_pipeline(p, x->pipe.left))
            return false;
        st.loc = x->pipe.right->loc;
        ok = read_stage(p, x->pipe.right, &st);
    } else {
        ok = read_reader(p, x, &st);
    }
    if (ok)
        vec_push(p->e->a, &p->source->stages, st);
    return ok;
}

static DataSource *find_source(Elab *e, const char *name)
{
    for (uint32_t i = 0; i < e->u->recipe.sources.n; i++)
        if (!strcmp(e->u->recipe.sources.at[i].name, name))
            return &e->u->recipe.sources.at[i];
    return NULL;
}

typedef struct {
    const char *source;
    Fields fields;
} KnownFields;

int data_fields(Elab *e, const char *source, FrontendField *out, int max)
{
    for (uint32_t i = 0; i < e->fields.n; i++) {
        const KnownFields *k = e->fields.at[i];
        if (strcmp(k->source, source))
            continue;
        for (int f = 0; f < k->fields.n && f < max; f++)
            out[f] = k->fields.at[f];
        return k->fields.n < max ? k->fields.n : max;
    }
    return -1;
}

static bool elaborate_source(Elab *e, Val data)
{
    const AstItem *item = data.data.item;
    DataSource source = { .name = item->data.name.text, .loc = item->loc };
    Pipeline p = { .e = e, .source = &source, .module = data.data.module };
    bool ok = read_pipeline(&p, item->data.value);
    KnownFields *k = arena_make(e->a, KnownFields);
    *k = (KnownFields){ source.name, p.fields };
    if (!ok)
        k->fields.n = -1;
    vec_push(e->a, &e->fields, k);
    vec_push(e->a, &e->u->recipe.sources, source);
    return ok;
}

/* The parts a source has: by its split, or those its files come in. */
static bool has_part(const DataSource *s, const char *part)
{
    const DataStage *split = NULL;
    for (uint32_t i = 0; i < s->stages.n; i++)
        if (s->stages.at[i].kind == DATA_SPLIT)
            split = &s->stages.at[i];
    bool files = s->stages.n && s->stages.at[0].kind == DATA_IDX;
    if (!strcmp(part, "train") || !strcmp(part, "test"))
        return split || files;
    if (!strcmp(part, "val"))
        return split && split->fractions.n >= 3 - (split->fractions.n == 2);
    return !strcmp(part, "all") && !split;
}

bool data_view(Elab *e, const AstExpr *x, Scope *s, DataView *out)
{
    Val v = eval_static(e, x, s);
    if (v.kind == VAL_ERROR)
        return false;
    if (v.kind != VAL_DATA) {
        report_kind(e, x->loc, "data, such as house.train", v);
        return false;
    }
    const char *name = v.data.item->data.name.text;
    if (!name || (!find_source(e, name) && !elaborate_source(e, v)))
        return false;
    const DataSource *source = find_source(e, name);
    *out = (DataView){ name, v.data.part ? v.data.part : "all" };
    if (has_part(source, out->part))
        return true;
    uint32_t d = diag_report(e->cx, DIAG_E0621, x->loc, "`%s` has no part `%s`", name, out->part);
    diag_add(e->cx, d, DIAG_HELP, 0,
             "split(0.8) gives .train and .test, split(0.6, 0.2, 0.2) also .val; without split it "
             "is .all");
    return false;
}

/* ---- fields against the loss ---- */

/* The declared dims of one item, as far as they are numbers, against the field's. */
static bool same_form(Elab *e, const AstType *t, const FrontendField *f)
{
    if (t->n_dims != f->rank + 1)
        return false;
    for (uint32_t i = 1; i < t->n_dims; i++) {
        const AstExpr *x = t->dims[i].expr;
        Val v = val_none();
        if (t->dims[i].kind != AST_DIM_EXPR)
            continue;
        if (x->kind == AST_EXPR_NAME && x->name.text)
            v = scope_lookup_quiet(e, e->root->scope, x->name.text);
        else if (x->kind == AST_EXPR_NUMBER && x->number.is_integer)
            v = val_int(x->number.integer);
        if (v.kind == VAL_INT && v.i != f->dim[i - 1])
            return false;
    }
    return true;
}

static const char *field_text(Elab *e, const FrontendField *f)
{
    const char *text = arena_printf(e->a, "%s[N", dtype_name(f->dtype));
    for (uint32_t i = 0; i < f->rank; i++)
        text = arena_printf(e->a, "%s, %lld", text, (long long)f->dim[i]);
    return arena_printf(e->a, "%s]", text);
}

static bool check_field(Elab *e, const DataView *view, const AstParam *p,
                        const FrontendField *fields, int n, LocId loc)
{
    const char *names[32];
    for (int i = 0; i < n; i++) {
        names[i] = fields[i].name;
        if (strcmp(fields[i].name, p->name.text))
            continue;
        if (same_form(e, p->type, &fields[i]))
            return true;
        uint32_t d =
            diag_report(e->cx, DIAG_E0604, loc, "`%s` gives %s %s, the loss wants %s", view->source,
                        p->name.text, field_text(e, &fields[i]), type_text(e, p->type));
        diag_add(e->cx, d, DIAG_LABEL, p->loc, "wanted here");
        return false;
    }
    if (p->value)
        return true;
    const char *near = diag_nearest(p->name.text, names, (size_t)n);
    uint32_t d =
        diag_report(e->cx, DIAG_E0623, loc, "`%s` gives no field `%s`, which the loss wants",
                    view->source, p->name.text);
    diag_add(e->cx, d, DIAG_LABEL, p->loc, "wanted here");
    if (near)
        diag_add(e->cx, d, DIAG_HELP, 0, "it has `%s`", near);
    return false;
}

bool data_check(Elab *e, const DataView *view, const AstFn *loss, LocId loc)
{
    FrontendField fields[32];
    int n = data_fields(e, view->source, fields, 32);
    bool ok = true;
    for (uint32_t k = 0; n >= 0 && k < loss->sig.n_params; k++) {
        const AstParam *p = &loss->sig.params[k];
        if (p->name.text && type_is_tensor(e, p->type) && p->type->n_dims)
            ok &= check_field(e, view, p, fields, n, loc);
    }
    return ok;
}
