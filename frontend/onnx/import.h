/* import.h: an ONNX graph as the text of a .dl model.
 *
 *   nodes in order --mapping--> `name = expression`, one line per ONNX value
 *                                  |
 *                                  +--> evaluated at once in a scratch graph: dtype, shape, and the
 *                                       elements where they are known
 *
 * A mapping (ops.def: a template, or a function in map_*.c) reads what is known of its node's
 * inputs, and writes expressions of the language. Nothing of the scratch graph is kept: the lines
 * that the outputs need become a model, which is elaborated like any other.
 *
 *   import.c        the walk over the graph       import_value.c  values and their text
 *   import_node.c   one node: row, attributes     import_known.c  elements known at compile time
 *   import_text.c   templates, and the model      import_sizes.c  and what follows from the batch
 *   import_rows.c   rows in another order         import_reads.c  what a mapping left unread
 *   import_order.c  nodes in another order
 *   ops.def, map_*.c  the operators */
#ifndef DLCC_FRONTEND_ONNX_IMPORT_H
#define DLCC_FRONTEND_ONNX_IMPORT_H
#include "frontend/elab.h"
#include "frontend/onnx/file.h"
#include "ir/value.h"

typedef struct Import Import;
typedef struct OnnxNode OnnxNode;

typedef enum {
    VALUE_MISSING, /* follows from a node that could not be translated */
    VALUE_NODE,    /* a line of the text, or a graph input */
    VALUE_WEIGHT,  /* an initializer; declared when a mapping first uses it as a tensor */
    VALUE_KNOWN,   /* elements known now; written out where it is used */
} ValueKind;

typedef struct {
    const char *name;  /* in the file */
    const char *ident; /* in the text; NULL until declared */
    const char *title; /* WEIGHT, KNOWN: of the declared tensor; no other has it */
    ValueKind kind;
    Val val;                /* in the scratch graph */
    const OnnxTensor *data; /* WEIGHT, KNOWN */
    uint32_t line;          /* NODE: the line that defines it, or LINE_NONE */
    int32_t input;          /* graph input number, or -1 */
    bool is_state;          /* WEIGHT: declared as state */
    const char *count;      /* only the data tell its size: the identifier of the count, or NULL */
    uint32_t axis;          /* the axis of which so many count */
    int64_t turned;         /* its rows are [T*B, ..] in the file and [B*T, ..] here: T, or 0 */
} OnnxValue;

enum { LINE_NONE = UINT32_MAX, ONNX_MAX_INTS = 4096 };

/* Functions are expanded: thirty that call each other twice are a billion nodes. */
enum { ONNX_MAX_NODES = 65536, ONNX_MAX_FUNCTIONS = 4096, ONNX_MAX_REFUSALS = 100 };

/* Integers known at compile time: a shape, axes, a split. */
typedef struct {
    uint32_t n;
    const int64_t *at;
} Ints;

/* Small integers that follow from constants and the batch B: element i is c[i] + k[i]*B. */
typedef struct {
    Value c, k;
} Sized;

/* A mapping that needs more than a template. False: reported, or noted as unsupported. */
typedef bool OnnxMap(OnnxNode *q);

typedef enum {
    ROW_WIDE = 1,  /* f16 and bf16 compute in f32 and round once, to the type of input 0 */
    ROW_MIXED = 2, /* other inputs may be floats of another type: they become that of input 0 */
} RowFlags;

/* How one operator is said, from one opset on. */
typedef struct {
    const char *op;     /* "Conv"; "com.microsoft::BiasGelu" */
    int since;          /* first opset of the domain with this meaning */
    const char *text;   /* a template, or NULL */
    OnnxMap *map;       /* or this */
    unsigned flags;
} OnnxRow;

extern const OnnxRow onnx_rows[];
extern const uint32_t onnx_row_count;

/* ---- What a mapping may ask of its node (import_node.c) ---- */

bool node_has(OnnxNode *q, uint32_t input);   /* given, and not the empty name */
uint32_t node_inputs(OnnxNode *q);            /* trailing absent ones not counted */
uint32_t node_outputs(OnnxNode *q);
bool node_wants(OnnxNode *q, uint32_t output); /* it has a name */
int64_t node_version(const OnnxNode *q);      /* opset of the node's domain */
Dtype node_dtype(OnnxNode *q, uint32_t input);
const Shape *node_shape(OnnxNode *q, uint32_t input);
/* The input as text: an identifier, or a literal in parentheses of its own. NULL: missing, and the
 * mapping should give up silently. */
const char *node_arg(OnnxNode *q, uint32_t input);
/* The same; a weight is declared as state, which is not trained: running statistics. */
const char *node_state(OnnxNode *q, uint32_t input);
/* Elements known at compile time. False: reported, or the import starts anew with the value of a
 * graph input. */
bool node_ints(OnnxNode *q, uint32_t input, Ints *out);
bool node_numbers(OnnxNode *q, uint32_t input, uint32_t *out_n, const double **out_at);
bool node_number(OnnxNode *q, uint32_t input, double *out);
/* The one element of an input as a number of the text, exact for the input's dtype. NULL: as for
 * node_number. */
const char *node_number_text(OnnxNode *q, uint32_t input);
bool node_is_known(OnnxNode *q, uint32_t input);
/* The same for a shape, whose dims may be multiples of the batch; plain ones may be negative. */
bool node_dims(OnnxNode *q, uint32_t input, Shape *out);
/* The batch must be a number: the import starts anew with its largest value; false. */
bool node_pins_batch(OnnxNode *q);

bool attribute_has(const OnnxNode *q, const char *name);
int64_t attribute_int(const OnnxNode *q, const char *name, int64_t otherwise);
double attribute_float(const OnnxNode *q, const char *name, double otherwise);
const char *attribute_string(OnnxNode *q, const char *name, const char *otherwise);
bool attribute_ints(OnnxNode *q, const char *name, Ints *out); /* false: not there; out is empty */
bool attribute_floats(OnnxNode *q, const char *name, uint32_t *out_n, const double **out_at);
bool attribute_strings(OnnxNode *q, const char *name, uint32_t *out_n, const char *const **out_at);
const Onnx__TensorProto *attribute_tensor(const OnnxNode *q, const char *name);

/* Axes may be negative, and an attribute (before `since`) or an input. The result is within
 * 0 .. rank-1, sorted as given. absent: *out_n is 0. */
bool node_axes(OnnxNode *q, const char *attr, uint32_t input, uint32_t rank, Ints *out);
bool node_axis(OnnxNode *q, int64_t axis, uint32_t rank, int64_t *out);

/* ---- What it writes (import_text.c) ---- */

/* `output = expression`. False: the expression was refused, which is reported. */
bool node_let(OnnxNode *q, uint32_t output, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, as a type that is not that of input 0. */
bool node_let_as(OnnxNode *q, uint32_t output, Dtype t, const char *text);
/* The output is an intermediate value of which `count` (another) elements of an axis count. Only a
 * result of the model may be such a buffer. */
bool node_let_counted(OnnxNode *q, uint32_t output, const char *ident, uint32_t axis,
                      const char *count);
/* An intermediate value; its identifier, or NULL. */
const char *node_tmp(OnnxNode *q, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for an expression with several results. */
bool node_tmps(OnnxNode *q, uint32_t n, const char *const *hints, const char **out_idents,
               const char *format, ...) __attribute__((format(printf, 5, 6)));
/* What is known of an intermediate value. */
const Shape *tmp_shape(OnnxNode *q, const char *ident);
Dtype tmp_dtype(OnnxNode *q, const char *ident);
/* Output is the same value as an input. */
bool node_alias(OnnxNode *q, uint32_t output, uint32_t input);
/* Output is a constant. Elements are copied. */
bool node_known(OnnxNode *q, uint32_t output, Dtype dtype, const Shape *shape,
                const void *elements);
bool node_known_ints(OnnxNode *q, uint32_t output, const int64_t *at, uint32_t n);

/* Notes that this node cannot be translated, and why; false. */
bool node_unsupported(OnnxNode *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The file contradicts the standard at this node: E0721; false. */
bool node_wrong(OnnxNode *q, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *text_printf(OnnxNode *q, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A text that grows in place: appending n pieces one to another would copy n^2. */
typedef struct {
    char *at; /* NULL: nothing yet */
    size_t n, cap;
} Text;
void text_add(Arena *a, Text *t, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *text_ints(OnnxNode *q, const int64_t *at, uint32_t n); /* "[1, -1]" */
const char *text_dims(OnnxNode *q, const Shape *s);                /* "[B, 3, 2*B]" */
const char *text_float(OnnxNode *q, double v); /* shortest that reads back as the same f32 or f64 */

/* ---- The whole ---- */

typedef enum { LINE_LET, LINE_PARAM, LINE_STATE, LINE_FN } LineKind;

/* A line of the model to be written. */
typedef struct {
    LineKind kind;
    const char *text;
    const uint32_t *needs; /* lines this one reads */
    uint32_t n_needs;
    OnnxValue *weight;     /* PARAM, STATE */
    bool live;
} Line;

/* Names of one body, a function's or a branch's; values of the model itself stand in the
 * outermost. */
typedef struct Names Names;
struct Names {
    uint32_t *buckets, n_buckets; /* of value number + 1; by interned name */
    VEC(OnnxValue *) values;
    const Onnx__FunctionProto *function; /* whose body this is, or NULL */
    OnnxNode *caller;                    /* the node that stands for it */
    Names *around;                       /* of a branch: what it may read, too */
    uint32_t depth;
};

typedef struct {
    const char *op, *why, *first; /* first: the node's name */
    uint32_t count;
} Refusal;

/* A dim that the file names, as an array has it that is given for an input. */
typedef struct {
    const char *name, *input;
    int64_t n;
} NamedDim;

struct Import {
    Elab *e;
    Arena *a;
    OnnxFile *file;
    const Onnx__ModelProto *model;
    const char *path, *until;
    const struct OnnxPart *part; /* NULL: the whole */
    const char *model_name;    /* an identifier */
    Graph *g;          /* scratch */
    Scope *scope;      /* identifiers of the text, with their values in g */
    Names *names;
    VEC(Line) lines;
    VEC(Refusal) refusals;
    Names *top;                /* of the model itself */
    Names *taken;              /* identifiers */
    Names *titles;             /* of tensors: bodies may each have a `w` */
    uint32_t n_nodes;          /* translated so far */
    VEC(OnnxValue *) inputs, outputs;
    VEC(NamedDim) dims;        /* that arrays at hand tell */
    uint8_t *fixed;            /* graph inputs taken by their values */
    VEC(uint8_t) constant;     /* by node of g: follows from constants; import_known.c */
    VEC(const Sized *) sized;  /* by node of g, NULL: not known; import_sizes.c */
    const char *batch;         /* the name of the batch dim, or NULL */
    const char *batch_ident;   /* and in the text */
    int64_t batch_max;
    bool static_batch;         /* the batch is a number: something needed it */
    const char *pinned_by, *pinned_why; /* the node that did, in words; more of it, or NULL */
    bool batch_given;          /* by -D, or by the arrays at hand */
    bool again;                /* start anew: `fixed` or `static_batch` has changed */
    bool stopped;              /* the value or node `until` is reached */
};

/* What a mapping has looked at. What is given and not looked at would be ignored. */
typedef struct {
    uint64_t attributes, inputs; /* one bit each; what lies beyond counts as seen */
    const char *mistyped;        /* an attribute that was read as what it is not, or NULL */
} NodeReads;

struct OnnxNode {
    Import *im;
    const Onnx__NodeProto *proto;
    const OnnxRow *row;
    NodeReads *reads;
    Names *scope;         /* of the body it stands in */
    Dtype narrow;         /* the 16-bit float its inputs had, when the row is wide; else DT_COUNT */
    VEC(uint32_t) needs;  /* lines its expressions may read */
    int64_t turn;         /* its outputs are turned so: OnnxValue.turned */
    bool failed;
};

OnnxValue *names_find(Import *im, Names *n, const char *name); /* here or around; NULL: none */
OnnxValue *names_add(Import *im, Names *n, const char *name);
OnnxValue *node_value(OnnxNode *q, uint32_t input);            /* reports a name nobody gives */
const char *import_ident(Import *im, const char *name);        /* new, valid, meant for `name` */
uint32_t import_line(Import *im, LineKind kind, OnnxNode *q, const char *text);
const char *import_string(Arena *a, const char *s); /* s as it stands in a string literal */
/* Evaluates an expression of the text in the scratch graph, to n tensors. False: it is refused,
 * which is reported of the node. */
bool import_eval(Import *im, OnnxNode *q, const char *text, Val *out_parts, uint32_t n);
/* The value as text, declared when need be. */
const char *value_expression(OnnxNode *q, OnnxValue *v, bool as_state);
/* The elements of a small tensor of the scratch graph that depends on nothing from outside; NULL:
 * they are not known. */
const void *import_evaluate(Import *im, NodeId id);
const Sized *import_sized(Import *im, NodeId id); /* NULL: not known so */
bool value_elements(Import *im, const OnnxValue *v, OnnxTensor *out);
const char *value_literal(Import *im, const OnnxTensor *t, uint32_t max); /* NULL: longer */
/* Gives a weight or known value its node: folded, or standing as an input does. */
void import_constant(Import *im, OnnxValue *v);
/* What the text's `f32` stands for: f64 where the whole is asked for in f64. */
Dtype import_dtype(const Import *im, Dtype t);
NodeId import_data(Import *im, Dtype t, const Shape *s, const void *elements); /* a constant */
bool import_template(OnnxNode *q, const char *text);
/* Refuses a node of which something was given that its mapping did not look at, unless it is known
 * to have no effect; or an attribute of the wrong type. */
bool import_check_reads(OnnxNode *q);
bool import_nodes(Import *im, Names *names, Onnx__NodeProto *const *nodes, size_t n);
/* The nodes so that each comes after those it reads from. */
Onnx__NodeProto *const *import_order(Import *im, Onnx__NodeProto *const *nodes, size_t n);
const Onnx__AttributeProto *node_attr(const OnnxNode *q, const char *name);
const char *node_title(OnnxNode *q); /* "node `conv1` (Conv)" */
/* The text of the model, when all nodes are done. */
const char *import_model_text(Import *im);
/* Why `until` was not reached: true if it is there, and one of the refusals is why; else false, and
 * reported. */
bool import_nowhere(Import *im);
/* Whether arrays may be given for the inputs: they are those of the program, not of a layer in it.
 * And the array of one of them. */
bool import_is_given(const Import *im);
bool import_given(const Import *im, const char *input, FrontendValue *out_value);
/* Declares the graph's inputs: their dims, and which is the batch. */
bool import_inputs(Import *im);
bool import_initializers(Import *im, Names *names, const Onnx__GraphProto *g);
/* Sets turn from the inputs. False: these rows must be in the order of the file. */
bool import_turned(OnnxNode *q);
/* The body of a function in place of its node. */
bool import_call(OnnxNode *q, const Onnx__FunctionProto *f);

#endif
