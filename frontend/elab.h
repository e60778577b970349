/* elab.h: the elaborator, from syntax trees to a Unit, as its files see it.
 *
 * Elaboration is an abstract interpreter over the tree. Its values are known now (numbers, lists,
 * functions, layers) or are nodes of the graph being built. Functions are inlined, layers are
 * instantiated once per site and owner, loops over known ranges unroll. All dims are numbers but
 * the batch, which is k*B; where that is not enough (B in a computed dim, a slice of the batch
 * axis) the entry is elaborated again with B pinned to its maximum.
 *
 *   elab_load.c      files, imports, the standard library, which model
 *   elab_scope.c     names
 *   elab_number.c    arithmetic on numbers known now
 *   elab_tensor.c    dtypes and shapes meeting: operators, broadcasting, `@`
 *   elab_type.c      values against declared types, dims bound by unification
 *   elab_expr.c      expressions         elab_stmt.c   statements       elab_index.c  x[..] and
 * x[..] = e elab_call.c      calls, arguments, derivatives                      elab_layer.c
 * instances, parameters elab_builtin.c   functions known here, by table; elab_shape.c,
 * elab_random.c, elab_pattern.c hold them elab_entry.c     entries: init, exports, pinning
 * elab_step.c   training steps, optimizers elab_recipe.c    train blocks        elab_metric.c
 * metrics          elab_data.c   data sources
 *
 * One mistake is one message: VAL_ERROR means "reported already", and whoever receives one passes
 * it on. */
#ifndef DLCC_FRONTEND_ELAB_H
#define DLCC_FRONTEND_ELAB_H
#include "frontend/ast.h"
#include "frontend/frontend.h"
#include "frontend/name.h"
#include "frontend/syntax.h"
#include "ir/builder.h"

typedef struct Elab Elab;
typedef struct Val Val;
typedef struct Scope Scope;
typedef struct Module Module;
typedef struct Instance Instance;
typedef struct Fn Fn;
typedef struct LayerVal LayerVal;

typedef enum {
    VAL_ERROR, /* reported already */
    VAL_NONE,  /* nothing: a statement; a layer's dim that no call has bound */
    VAL_INT,
    VAL_RATIO, /* num / den, den > 1, in lowest terms */
    VAL_FLOAT,
    VAL_BOOL,
    VAL_STRING,
    VAL_DIM, /* k*B, k > 0 */
    VAL_LIST,
    VAL_TUPLE,
    VAL_RANGE,
    VAL_DTYPE,
    VAL_TENSOR,
    VAL_STORED, /* a parameter or state: read where it is used */
    VAL_FN,
    VAL_LAYER, /* a layer, model or optimizer with some of its arguments */
    VAL_INSTANCE,
    VAL_MODULE, /* an import */
    VAL_DATA,   /* a data declaration, and its part */
} ValKind;

struct Val {
    ValKind kind;
    bool untyped; /* TENSOR: f64 in the graph, takes the other operand's dtype */
    bool frozen;  /* INSTANCE: a view in eval mode with constant parameters */
    bool first;   /* TUPLE: stands for its first value where one is wanted */
    union {
        int64_t i; /* INT; DIM: k; STORED: index of the tensor */
        struct {
            int64_t num, den;
        } ratio;
        double f;
        bool b;
        struct {
            const char *text;
            const AstString *ast;
        } string; /* ast: for carets inside, or NULL */
        struct {
            Val *at;
            uint32_t n;
        } list;
        struct {
            const Val *from, *to;
        } range; /* either may be NULL */
        Dtype dtype;
        NodeId node;
        Fn *fn;
        LayerVal *layer;
        Instance *instance;
        Module *module;
        struct {
            const AstItem *item;
            Module *module;
            const char *part;
        } data;
    };
};

typedef struct {
    const char *name; /* NULL: positional */
    Val val;
    LocId loc;
} Arg;
typedef struct {
    Arg *at;
    uint32_t n;
} Args;

/* ---- Names ---- */

typedef struct {
    const char *name;
    Val val;
    LocId loc;
} Binding;

struct Scope {
    Scope *parent;
    VEC(Binding) names; /* grows by scope_bind alone */
    NameMap index;      /* of many names: their numbers; empty while they are few */
    bool boundary;  /* of a function: assignments do not reach beyond it */
    Module *module; /* the outermost scope of a file: its items */
    bool has_ellipsis;
    Shape ellipsis; /* what `...` stands for */
    Val (*lazy)(
        Elab *e, void *user,
        const char *name); /* asked for names not bound here, or NULL; VAL_NONE: not known */
    void *lazy_user;
};

typedef struct {
    const AstItem *item;
    Val val;
    uint8_t state; /* 0 not looked at, 1 being evaluated, 2 done */
} ModuleItem;

struct Module {
    const char *path;
    const AstFile *file;
    ModuleItem *items;
    NameMap index; /* of items, by name */
    Scope *scope;
    bool is_std;
    bool loading;
    struct OnnxWeights *weights; /* of an ONNX file: the elements of its tensors; else NULL */
    bool onnx;                   /* is imported from an ONNX file, which is read when it is used */
    const char *part;            /* of an ONNX file: what of it, as text */
};

/* ---- Functions and layers ---- */

typedef struct Builtin Builtin;
typedef enum { GRAD_ONLY, GRAD_VALUE, GRAD_HESSIAN, GRAD_ALONG } GradMode;
typedef enum { FN_USER, FN_BUILTIN, FN_OP, FN_GRAD, FN_PARTIAL } FnKind;
struct Fn {
    FnKind kind;
    const char *name;
    const AstFn *ast; /* USER */
    Scope *scope;     /* USER: where it is defined */
    Instance *owner;  /* USER: the instance it is a member of, or NULL */
    bool frozen;
    const Builtin *builtin;
    Op op;
    Fn *inner;          /* GRAD, PARTIAL */
    const char *wrt;    /* GRAD: a parameter of inner, or NULL */
    int32_t wrt_tensor; /* GRAD: a tensor, or -1 */
    GradMode mode;
    Args args; /* PARTIAL */
};

struct LayerVal {
    const AstLayer *ast;
    Module *module;
    const Val *dims; /* in [], as many as ast->n_dims, or NULL */
    Args args;
    LocId loc;
};

typedef struct {
    uint32_t at, n; /* of a name in a text, up to byte `at` */
} Mentions;

struct Instance {
    const char *path; /* "" for the model itself */
    const AstLayer *ast;
    Module *module;
    const LayerVal *config;
    Scope *scope; /* dims, arguments and members */
    bool built, failed;
    bool moments; /* its states belong to the run, not to the model: optimizers, schedules */
    VEC(Instance *) inlines; /* layers called where they are written */
    NameMap inline_index;    /* of inlines, by site and turns of loops */
    VEC(Mentions) mentions;  /* in its text, as far as it was looked through */
    NameMap mention_index;   /* of mentions, by name */
    NameMap segments;        /* names of its parts, to keep them apart */
    int32_t moment_of;       /* optimizers: the parameter; else -1 */
    LocId loc;
};

/* The start value of a tensor. */
typedef struct {
    Val val;
    LocId loc;
} TensorInit;

typedef struct {
    const AstExpr *expr;
    Val val;
} Override;

struct Elab {
    Compiler *cx;
    Arena *a;
    Unit *u;
    const FrontendOptions *options;
    VEC(Module *) modules;
    VEC(Module *) std;
    VEC(TensorInit) inits; /* by tensor */
    Instance *root;
    /* the entry being built */
    Graph *g;
    VEC(NodeId) current;  /* by tensor: its value now, or NODE_NONE when not yet read */
    VEC(uint8_t) written; /* by tensor */
    int64_t batch_max;
    bool pinned, wants_pin;
    Graph *scratch;          /* takes what constants and declarations emit; nothing in it is used */
    VEC(Override) overrides; /* expressions with a value from elsewhere */
    int64_t accumulate;      /* executions of a step for one update */
    double ema;              /* of the recipe; 0: none */
    VEC(const char *) ema_params; /* globs of what is averaged; NULL: all */
    bool in_step;                 /* a training step is being built */
    const char *params;           /* glob of the trained set while a step is built, or NULL */
    Instance *schedules;     /* owns layers that stand in a recipe, or NULL before there is one */
    bool own_clock;          /* `step` counts the executions of this update: in optimizers and their
                                schedules */
    VEC(const char *) stats; /* standardised fields, as globs */
    VEC(void *) fields;      /* of sources, private to elab_data.c */
    VEC(const AstFn *) losses; /* of the recipe: their parameters are the fields of the data */
    Module *main;
    uint32_t std_first, std_last; /* sources of the library, the last excluded */
    uint64_t defines_used;        /* bit i: -D number i meant something */
    VEC(const char *) asked;      /* names that a -D could have had, the first 64 */
    bool data_failed;             /* its message says why dims are missing */
    /* where in the program we are */
    Instance *owner;
    LocId call; /* called from */
    bool training, frozen;
    uint32_t depth, calls;
    uint64_t site;     /* hash of the call path: keys randomness */
    const char *loops; /* ".2.0": iterations of repeat around us */
    uint64_t fuel;
    uint32_t var_sites;
    void *yields; /* of the scan around us, private to elab_loop.c */
};

enum { ELAB_MAX_DEPTH = 1200, ELAB_MAX_CALLS = 100, ELAB_FUEL = 5000000, ELAB_MAX_NODES = 4000000 };

/* ---- elab_scope.c ---- */

Scope *scope_new(Elab *e, Scope *parent);
Binding *scope_find_here(Scope *s, const char *name);
/* Binds in s, replacing what was there. */
void scope_bind(Elab *e, Scope *s, const char *name, Val v, LocId loc);
/* The binding an assignment in s changes: the nearest up to the function's own scope, or NULL. */
Binding *scope_find_local(Scope *s, const char *name);
/* Any name, by the rules of the language. Reports E0401 when there is none. */
Val scope_lookup(Elab *e, Scope *s, const AstName *name);
/* The same, silent: VAL_NONE when there is none. */
Val scope_lookup_quiet(Elab *e, Scope *s, const char *name);
/* What the library and the compiler call so: VAL_NONE when nothing. */
Val global_lookup(Elab *e, const char *name);
Val module_lookup(Elab *e, Module *m, const char *name);
const char *module_item_name(const AstItem *item); /* or NULL */
void report_unknown(Elab *e, Scope *s, const char *what, const AstName *name);
/* The dims `...` stands for here, or NULL. */
const Shape *scope_ellipsis(const Scope *s);

/* ---- elab_number.c ---- */

static inline Val val_error(void)
{
    return (Val){ .kind = VAL_ERROR };
}
static inline Val val_none(void)
{
    return (Val){ .kind = VAL_NONE };
}
static inline Val val_int(int64_t i)
{
    return (Val){ .kind = VAL_INT, .i = i };
}
static inline Val val_float(double f)
{
    return (Val){ .kind = VAL_FLOAT, .f = f };
}
static inline Val val_bool(bool b)
{
    return (Val){ .kind = VAL_BOOL, .b = b };
}
static inline Val val_dtype(Dtype t)
{
    return (Val){ .kind = VAL_DTYPE, .dtype = t };
}
Val val_string(const char *text);
Val val_node(NodeId node); /* VAL_ERROR for NODE_NONE */
Val val_untyped(NodeId node);
Val val_tuple(Elab *e, const Val *at, uint32_t n);
Val val_of_dim(Dim d);
static inline bool val_is_number(Val v)
{
    return v.kind == VAL_INT || v.kind == VAL_RATIO || v.kind == VAL_FLOAT;
}
double val_double(Val number);
/* An integer known now: a VAL_INT, or a whole VAL_FLOAT. A dim that depends on B asks for pinning.
 */
bool val_integer(Elab *e, Val v, LocId loc, const char *what, int64_t *out_i);
Val number_binary(Elab *e, AstBinaryOp op, Val a, Val b, LocId loc);
Val number_unary(Elab *e, Op op, Val x, LocId loc);
/* Arithmetic of dims; VAL_NONE when the result is not a dim. */
Val dim_binary(AstBinaryOp op, Val a, Val b);
/* "f32[B, 13]", "3", "[1, 2]", "a function": for messages. */
const char *val_text(Elab *e, Val v);
bool glob_match(const char *globs, const char *path); /* "a.*|!*.bias" */

/* ---- elab_tensor.c ---- */

/* The current location: expressions set it before they emit. */
LocId loc_here(Elab *e, LocId loc);
void set_loc(Elab *e, LocId loc);
bool val_is_runtime(Val v); /* TENSOR, DIM, number or bool: has a node */
Dtype val_dtype_of(Elab *e, Val v);
const Shape *val_shape(Elab *e, Val tensor);
/* The value as a node of this dtype: numbers become constants, untyped values are cast; a typed one
 * must have it already. */
NodeId val_to_node(Elab *e, Val v, Dtype dtype, LocId loc);
/* The value as a tensor node with its own dtype; numbers without one get `otherwise`. */
NodeId val_to_tensor(Elab *e, Val v, Dtype otherwise, LocId loc);
Val tensor_binary(Elab *e, AstBinaryOp op, Val a, Val b, LocId loc, LocId a_loc, LocId b_loc);
/* An element-wise op on any values, broadcast together. */
Val tensor_elementwise(Elab *e, Op op, const Val *in, uint32_t n, LocId loc);
NodeId node_broadcast(Elab *e, NodeId x, const Shape *shape); /* rank aligned at the right */
bool shape_join(const Shape *a, const Shape *b, Shape *out);
Val tensor_matmul(Elab *e, Val a, Val b, LocId loc, LocId a_loc, LocId b_loc);
Val tensor_cast(Elab *e, Val x, Dtype dtype, LocId loc);
bool number_fits(Val v, Dtype dtype);

/* ---- elab_literal.c ---- */

/* A constant tensor from a list of numbers or of equal lists. Lists that do not fit are reported.
 */
Val list_tensor(Elab *e, Val list, Dtype t, LocId loc);

/* ---- elab_type.c ---- */

Dtype dtype_of_name(Elab *e, const char *name); /* DT_COUNT: none. Minds the f64 switch */
/* Checks v against the declared type and binds dim names that are new, in s. `what` begins the
 * message: "argument `x` of `f`". Returns the value as it is to be used (cast, if it was untyped).
 * `decl`: where the type stands. */
Val type_accept(Elab *e, const AstType *t, Val v, Scope *s, DiagCode code, const char *what,
                LocId loc);
/* The type with all its dims known; reports what is not. */
bool type_resolve(Elab *e, const AstType *t, Scope *s, Dtype *out_dtype, Shape *out_shape);
bool type_is_tensor(Elab *e, const AstType *t); /* has a dtype, be it a variable */
bool type_has_ellipsis(const AstType *t);
const char *type_text(Elab *e, const AstType *t);  /* as written, for messages */
Val eval_dim(Elab *e, const AstExpr *x, Scope *s); /* INT or DIM */

/* ---- elab_expr.c, elab_stmt.c, elab_index.c ---- */

Val eval(Elab *e, const AstExpr *x, Scope *s);
/* The same with a TUPLE that may stand for its first value left whole. */
Val eval_multi(Elab *e, const AstExpr *x, Scope *s);
/* A value that must be known now: a constant, an argument of a layer. */
Val eval_static(Elab *e, const AstExpr *x, Scope *s);
Val eval_exprs(Elab *e, AstExpr **at, uint32_t n, Scope *s);
Val eval_block(Elab *e, const AstBlock *b, Scope *s);
Val eval_if(Elab *e, const AstExpr *x, Scope *s);
/* elab_loop.c */
Val eval_dynamic_if(Elab *e, const AstExpr *x, Val cond, Scope *s);
Val eval_scan(Elab *e, const AstExpr *x, Scope *s);
bool eval_repeat(Elab *e, const AstStmt *st, Scope *s);
bool eval_while(Elab *e, const AstStmt *st, Scope *s);
bool eval_yield(Elab *e, const AstStmt *st, Scope *s);
Val eval_index(Elab *e, const AstExpr *x, Scope *s);
Val assign_index(Elab *e, Val old, const AstIndex *items, uint32_t n, Val value, Scope *s,
                 LocId loc);
Val val_deref(Elab *e, Val v); /* STORED to TENSOR */
bool spend(Elab *e, LocId loc, uint64_t fuel);
void report_kind(Elab *e, LocId loc, const char *wanted, Val got);
Val unsupported(Elab *e, LocId loc, const char *what);

/* ---- elab_call.c ---- */

Val eval_call(Elab *e, const AstExpr *x, Scope *s);
Val eval_pipe(Elab *e, const AstExpr *x, Scope *s);
bool eval_args(Elab *e, const AstArg *args, uint32_t n, Scope *s, Args *out);
Val apply(Elab *e, Val f, const Args *args, const AstExpr *site, LocId loc);
/* ellipsis: what `...` of the result stands for, for initial values; else NULL. */
Val call_fn(Elab *e, Fn *f, const Args *args, const Shape *ellipsis, LocId loc);
Val fn_value(Elab *e, const AstFn *ast, Scope *scope, Instance *owner);
/* Puts args in the order of params: out[i] is the argument for param i, or NULL. Reports what does
 * not fit. */
bool match_args(Elab *e, const char *callee, const AstParam *params, uint32_t n, const Args *args,
                LocId loc, const Arg **out);
Args args_of(Elab *e, const Val *vals, uint32_t n, LocId loc);
uint64_t mix(uint64_t h, uint64_t v);
uint64_t mix_text(uint64_t h, const char *s);
/* A file as part of a random site: by its name, so that neither the folder it is named from nor
 * other files change what is drawn. */
uint64_t site_file(const Elab *e, uint32_t file);

/* ---- elab_layer.c ---- */

Val layer_configure(Elab *e, const LayerVal *l, const Args *args, LocId loc);
Instance *instance_new(Elab *e, const LayerVal *config, const char *path, LocId loc,
                       Instance *owner);
bool instance_build(Elab *e, Instance *i);
Instance *instance_inline(Elab *e, const LayerVal *config, const AstExpr *site, LocId loc);
const AstFn *instance_find_fn(Elab *e, Instance *i,
                              const char *name); /* NULL name: the one without a name */
Val instance_call(Elab *e, Val instance, const Args *args, LocId loc);
Val eval_field(Elab *e, const AstExpr *x, Scope *s);
NodeId tensor_read(Elab *e, int32_t tensor);
void tensor_write(Elab *e, int32_t tensor, NodeId value);
int32_t tensor_declare(Elab *e, const char *name, TensorKind kind, Dtype dtype, const Shape *shape,
                       Val init, int32_t owner, LocId loc);

/* ---- elab_ema.c ---- */

/* What a step reads for a parameter that is averaged; NODE_NONE: it is not. */
NodeId ema_read(Elab *e, int32_t tensor);
/* At the end of a step: what the optimizers wrote becomes the raw parameters, their averages the
 * parameters. `due`: whether this execution updates at all, VAL_NONE: it does. */
bool ema_finish(Elab *e, Val due, LocId loc);

/* ---- elab_builtin.c ---- */

typedef struct {
    Elab *e;
    const Builtin *def;
    Arg at[16]; /* positional, then named, in the order of the definition; kind VAL_NONE: not given
                 */
    Args rest;  /* positional ones beyond those */
    LocId loc;
} BuiltinCall;

struct Builtin {
    const char *name;
    const char *params; /* "x, axis=?, keep=?": `name` required, `name=` only by name, `?` optional,
                           `*` the rest, `&` any other names */
    Val (*call)(BuiltinCall *q);
};
const Builtin *builtin_find(const char *name);
Val builtin_call(Elab *e, const Builtin *b, const Args *args, LocId loc);
Val op_call(Elab *e, Op op, const Args *args, LocId loc);
uint32_t builtin_names(const char **out, uint32_t max);
/* Arguments of a builtin as what they must be; they report and give false or NODE_NONE. */
NodeId arg_tensor(BuiltinCall *q, uint32_t i);
bool arg_int(BuiltinCall *q, uint32_t i, int64_t otherwise, int64_t *out);
bool arg_bool(BuiltinCall *q, uint32_t i, bool otherwise, bool *out);
bool arg_axis(BuiltinCall *q, uint32_t i, uint32_t rank, int64_t otherwise, int64_t *out);
bool arg_axes(BuiltinCall *q, uint32_t i, uint32_t rank, int64_t *out,
              uint32_t *out_n); /* not given: all */
bool arg_ints(BuiltinCall *q, uint32_t i, int64_t *out, uint32_t max, uint32_t *out_n);
static inline bool arg_given(const BuiltinCall *q, uint32_t i)
{
    return q->at[i].val.kind != VAL_NONE;
}
/* Values as extents: zeros(B, H) or zeros([2, 3]). */
bool vals_to_shape(Elab *e, const Arg *at, uint32_t n, LocId loc, Shape *out);
extern const Builtin shape_builtins[], random_builtins[], reduce_builtins[], pattern_builtins[],
    mark_builtins[];

/* ---- entries ---- */

/* Builds one entry: body makes inputs and outputs in e->g. Elaborates again with B pinned where
 * that is needed. */
bool entry_build(Elab *e, EntryKind kind, const char *name, LocId loc,
                 bool (*body)(Elab *e, void *user), void *user);
/* Declares inputs for the tensor parameters of fn and gives its arguments. B is the leading dim of
 * the first that has one. */
bool entry_inputs(Elab *e, const AstFn *fn, Instance *owner, Scope *s, Args *out);
Val entry_input(Elab *e, const AstParam *p, const AstFn *fn, Scope *s);
/* Finds what B is for fn, binds it in s, and sets the graph's batch. */
bool entry_batch(Elab *e, const AstFn *fn, Instance *owner, Scope *s);
NodeId entry_result(Elab *e, Val v, const AstType *t, LocId loc);
bool entry_export(Elab *e, const AstFn *fn);
bool entry_init(Elab *e);
const FrontendSetting *find_define(Elab *e, const char *name);
Val define_value(Elab *e, const FrontendSetting *d);
NodeId clock_node(Elab *e, const char *field);

/* ---- recipe ---- */

/* One update: a loss, the parameters it trains, and how. */
typedef struct {
    const char *name; /* NULL: the only one */
    const AstFn *loss;
    const char *params;                     /* glob, or NULL: all */
    Scope *scope;                           /* in which recipe values are evaluated */
    VEC(const AstEntry *) optimizers;       /* the plain one, then those for globs, in order */
    const AstEntry *clip_norm, *clip_value; /* or NULL */
    LocId loc;
} StepPlan;
bool step_elaborate(Elab *e, StepPlan *p, const char *entry);

bool recipe_elaborate(Elab *e, const AstTrain *train, LocId loc);
/* For entries without training: only what the recipe's data does to the inputs of all entries. */
bool recipe_statistics(Elab *e, const AstTrain *train);
bool eval_elaborate(Elab *e, const AstFn *loss);
bool metric_elaborate(Elab *e, const AstEntry *entry);
/* A view of data; elaborates the source when it is first named. */
bool data_view(Elab *e, const AstExpr *x, Scope *s, DataView *out);
/* What the fields of a source are after all its stages; -1 when not all are known. */
int data_fields(Elab *e, const char *source, FrontendField *out, int max);
/* Fields against the parameters of a loss. */
bool data_check(Elab *e, const DataView *view, const AstFn *loss, LocId loc);

/* ---- elab_load.c ---- */

Module *module_import(Elab *e, Module *from, const AstString *path);
/* The model of an ONNX module: Net(until="/name", seq=7) takes a part of it, or fixes its dims. */
Val module_model(Elab *e, Module *m, const Args *args, LocId loc);
AstExpr *parse_value(Elab *e, const char *origin, const char *text);

#endif
