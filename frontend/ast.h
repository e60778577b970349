/* ast.h: the syntax tree of one .dl file: what the parser gives, the formatter prints and the
 * elaborator walks.
 *
 * Every node lives in the Compiler's arena and is never changed after parsing. Lists are an array
 * and a count, in text order. Every node has the location of the text it stands for.
 *
 * Names are interned per Compiler (frontend/name.h): equal names are equal pointers, in one file
 * or in several.
 *
 * A tree of a file with errors is complete in form: where nothing sensible could be read stands
 * AST_EXPR_ERROR, AST_TYPE_ERROR or an AstName with text NULL, and the error is already reported.
 * Pointers are never NULL unless said ("or NULL"). */
#ifndef DLCC_FRONTEND_AST_H
#define DLCC_FRONTEND_AST_H
#include "ir/compiler.h"

typedef struct AstExpr AstExpr;
typedef struct AstStmt AstStmt;
typedef struct AstType AstType;
typedef struct AstFn AstFn;
typedef struct AstMember AstMember;
typedef struct AstRecipe AstRecipe;

/* A name where it stands. text is interned; NULL where a name is optional and absent, or was
 * missing (an error). */
typedef struct {
    const char *text;
    LocId loc;
} AstName;

/* A literal string, escapes decoded, NUL-terminated, no NUL inside, valid UTF-8. text is NULL
 * where a string is optional and absent. loc includes the quotes; ast_string_loc (syntax.h) maps
 * offsets in `text` back to the source. */
typedef struct {
    const char *text;
    uint32_t size;
    LocId loc;
} AstString;

/* { ... }: the statements of a body. loc is from brace to brace. */
typedef struct {
    AstStmt **stmts;
    uint32_t n_stmts;
    LocId loc;
} AstBlock;

/* ---- Types, kinds and dims ---- */

typedef enum {
    AST_DIM_ELLIPSIS, /* ...  leading dims, bound once per signature */
    AST_DIM_INFER,    /* _    inferred */
    AST_DIM_EXPR,     /* a sum: names, numbers, arithmetic */
} AstDimKind;

typedef struct {
    AstDimKind kind;
    LocId loc;
    AstExpr *expr; /* AST_DIM_EXPR only, else NULL */
} AstDim;

typedef enum {
    AST_TYPE_ERROR,
    AST_TYPE_NAMED, /* f32, int, layer, f32[B, T] */
    AST_TYPE_LIST,  /* [int] */
} AstTypeKind;

struct AstType {
    AstTypeKind kind;
    LocId loc;
    AstName name;     /* NAMED: as written, whatever it is: "f32", "integer", "fn", "layer" */
    AstDim *dims; /* NAMED: n_dims is 0 when no bracket was written (an empty one is an error) */
    uint32_t n_dims;
    AstType *element; /* LIST; else NULL */
};

/* name as "its name elsewhere": type = value */
typedef struct {
    AstName name;
    AstString as; /* what files and generated headers call it; text NULL when not written */
    AstType *type;
    AstExpr *value; /* default, or NULL */
    LocId loc;
} AstParam;

typedef struct {
    AstName name; /* text NULL when not written */
    AstString as; /* likewise */
    AstType *type;
    LocId loc;
} AstResult;

typedef struct {
    AstParam *params;
    uint32_t n_params;
    AstResult *results; /* n_results 0: no `->` was written */
    uint32_t n_results;
    AstExpr **wheres;
    uint32_t n_wheres;
    LocId loc; /* from "(" to the end of the last part */
} AstSig;

/* ---- Expressions ---- */

typedef enum {
    AST_EXPR_ERROR,
    AST_EXPR_NUMBER,
    AST_EXPR_STRING,
    AST_EXPR_NAME, /* also true, false, inf, pi, training, step: no value is reserved */
    AST_EXPR_LIST, /* [a, b]; may be empty */
    AST_EXPR_TUPLE, /* (a, b); at least two: one alone is that expression with `parens` set */
    AST_EXPR_UNARY,
    AST_EXPR_BINARY,
    AST_EXPR_RANGE, /* a..b, a.., ..b */
    AST_EXPR_PIPE,  /* a |> f, a |> f(b), a |> m.f(b) */
    AST_EXPR_CALL,
    AST_EXPR_INDEX,
    AST_EXPR_FIELD, /* a.b */
    AST_EXPR_IF,
    AST_EXPR_SCAN,
} AstExprKind;

typedef enum { AST_NEG, AST_NOT } AstUnaryOp;
typedef enum {
    AST_OR, AST_AND,
    AST_EQ, AST_NE, AST_LT, AST_LE, AST_GT, AST_GE,
    AST_ADD, AST_SUB,
    AST_MUL, AST_DIV, AST_FLOORDIV, AST_MOD, AST_MATMUL,
    AST_POW,
    AST_BINARY_COUNT
} AstBinaryOp;

/* An argument of a call: a value, `name=value`, or `...` (the leading dims bound by the
 * signature). */
typedef struct {
    AstName name;   /* text NULL when positional */
    AstExpr *value; /* NULL for `...` */
    LocId loc;
} AstArg;

typedef enum { AST_INDEX_ALL /* : */, AST_INDEX_ELLIPSIS /* ... */, AST_INDEX_EXPR } AstIndexKind;
typedef struct {
    AstIndexKind kind;
    AstExpr *expr; /* INDEX_EXPR: an integer, a tensor, or an AST_EXPR_RANGE; else NULL */
    LocId loc;
} AstIndex;

/* `name = value` after `along ..,` or `limit ..,`: the start value of a carried name. */
typedef struct {
    AstName name;
    AstExpr *value;
    LocId loc;
} AstInit;

struct AstExpr {
    AstExprKind kind;
    bool parens;     /* written in parentheses of its own; loc then includes them */
    uint16_t height; /* of the tree below: at most SYNTAX_MAX_HEIGHT, so that walks may recurse */
    LocId loc;
    union {
        struct {
            double value;
            int64_t integer;      /* when is_integer */
            bool is_integer;      /* written without `.` and exponent: 1e3 is not */
            const char *spelling;
        } number;
        AstString string;
        AstName name;
        struct { AstExpr **at; uint32_t n; } list; /* LIST and TUPLE */
        struct { AstUnaryOp op; AstExpr *x; LocId op_loc; } unary;
        struct { AstBinaryOp op; AstExpr *left, *right; LocId op_loc; } binary;
        struct { AstExpr *from, *to; LocId op_loc; } range; /* either may be NULL, not both */
        struct { AstExpr *left, *right; LocId op_loc; } pipe; /* right: NAME, FIELD, INDEX, CALL */
        struct {
            AstExpr *callee;
            AstArg *args;
            uint32_t n_args;
            LocId args_loc; /* with parentheses */
        } call;
        struct {
            AstExpr *base;
            AstIndex *items;
            uint32_t n_items;
            LocId items_loc; /* with brackets */
        } index;
        struct { AstExpr *base; AstName name; } field;
        struct {
            AstExpr *cond;
            AstBlock *then;
            AstBlock *otherwise;     /* `else { }`, or NULL */
            AstExpr *otherwise_expr; /* `else if ..`, `else 0`: a primary, or NULL; never both */
        } branch;
        struct {
            AstName *names;    /* scan NAMES over EXPRS along AXIS, INITS BODY */
            uint32_t n_names;
            AstExpr **over;    /* as many as names, unless that was reported */
            uint32_t n_over;
            AstExpr *along;    /* a dim name or an axis number */
            AstInit *inits;
            uint32_t n_inits;
            AstBlock *body;
        } scan;
    };
};

/* ---- Statements ---- */

typedef enum {
    AST_STMT_ASSIGN, /* a, b[i], c: T = e1, e2 */
    AST_STMT_FN,     /* a local function */
    AST_STMT_YIELD,
    AST_STMT_EXPR, /* e1, e2: the block's value if it is the last; also an `if` for its effects */
    AST_STMT_REPEAT,
    AST_STMT_WHILE,
} AstStmtKind;

typedef struct {
    AstName name;    /* `_` is a name like others here: "_" */
    AstIndex *items; /* name[items] = ..., n_items 0 when no bracket was written */
    uint32_t n_items;
    AstType *type;   /* name: type = ..., or NULL */
    LocId loc;
} AstTarget;

struct AstStmt {
    AstStmtKind kind;
    LocId loc;
    union {
        struct {
            AstTarget *targets;
            uint32_t n_targets;
            AstExpr **values;
            uint32_t n_values;
        } assign;
        AstFn *fn;
        struct { AstExpr **at; uint32_t n; } exprs; /* YIELD and EXPR */
        struct { AstName name; AstExpr *in; AstBlock *body; } repeat;
        struct {
            AstExpr *cond;
            AstExpr *limit; /* or NULL */
            AstInit *inits;
            uint32_t n_inits;
            AstBlock *body;
        } loop; /* WHILE */
    };
};

/* ---- Declarations ---- */

/* fn, export fn, extern fn. A member or local function may lack a name. */
struct AstFn {
    bool exported;
    AstName name;
    AstSig sig;
    AstBlock *body;   /* NULL exactly for extern */
    AstString symbol; /* extern only */
    AstString grad;   /* extern only; text NULL when not written */
    LocId loc;
};

typedef struct {
    AstName name;
    AstType *kind; /* or NULL */
    AstExpr *value;
    LocId loc;
} AstConst;

typedef enum {
    AST_MEMBER_PARAM,
    AST_MEMBER_STATE,
    AST_MEMBER_LAYER,
    AST_MEMBER_LAYERS,
    AST_MEMBER_CONST,
    AST_MEMBER_FN,
    AST_MEMBER_IF, /* static: around declarations */
} AstMemberKind;

typedef struct {
    AstMember **at;
    uint32_t n;
    LocId loc; /* from brace to brace */
} AstMembers;

struct AstMember {
    AstMemberKind kind;
    LocId loc;
    union {
        struct {
            AstName name;
            AstString as;
            AstType *type;
            AstExpr *value;
        } param; /* PARAM and STATE */
        struct { AstName name; AstString as; AstExpr *value; } layer;
        struct {
            AstName name;
            AstName index;  /* layers h[i in 0..n]; text NULL when not written */
            AstExpr *count; /* the expression in the brackets: a number or a range */
            AstString as;
            AstExpr *value;
        } layers;
        AstConst constant;
        AstFn *fn;
        struct { AstExpr *cond; AstMembers then; AstMembers *otherwise; /* or NULL */ } branch;
    };
};

typedef enum { AST_LAYER, AST_MODEL, AST_OPTIMIZER } AstLayerKind;
typedef struct {
    AstLayerKind kind;
    AstName name;
    AstName *dims; /* layer Linear[I]: bound where it is used */
    uint32_t n_dims;
    AstParam *params;
    uint32_t n_params;
    AstMembers members;
} AstLayer;

/* ---- Recipes ---- */

typedef enum {
    AST_ENTRY_SET,    /* key = value, key["glob"] = value */
    AST_ENTRY_METRIC, /* metric name = value on data */
    AST_ENTRY_UPDATE, /* update name { ... } */
} AstEntryKind;

typedef struct {
    AstEntryKind kind;
    AstName name;      /* the key, or the name of the metric or update */
    AstString glob;    /* SET: text NULL when no bracket was written */
    AstExpr *value;    /* SET and METRIC; else NULL */
    AstExpr *on;       /* METRIC: or NULL */
    AstRecipe *recipe; /* UPDATE; else NULL */
    LocId loc;
} AstEntry;

struct AstRecipe {
    AstEntry *entries;
    uint32_t n_entries;
    LocId loc; /* from brace to brace */
};

/* train MODEL(ARGS) as NAME on DATA RECIPE */
typedef struct {
    AstName model;
    AstArg *args; /* n_args 0 both without parentheses and with empty ones */
    uint32_t n_args;
    AstName as;   /* text NULL when not written */
    AstExpr *on;  /* or NULL */
    AstRecipe recipe;
} AstTrain;

/* ---- The file ---- */

typedef enum {
    AST_ITEM_IMPORT,
    AST_ITEM_CONST,
    AST_ITEM_FN,    /* also extern: body is NULL */
    AST_ITEM_LAYER, /* layer, model, optimizer */
    AST_ITEM_DATA,
    AST_ITEM_TRAIN,
} AstItemKind;

typedef struct {
    AstItemKind kind;
    LocId loc;
    union {
        struct { AstString path; AstName as; /* text NULL when not written */ } import;
        AstConst constant;
        AstFn *fn;
        AstLayer layer;
        struct { AstName name; AstExpr *value; } data;
        AstTrain train;
    };
} AstItem;

/* A comment, from `#` to the end of its line (excluded). Comments are not in the tree; the
 * formatter places them by position. */
typedef struct {
    uint32_t begin, end; /* bytes in the source */
    bool own_line;       /* nothing but blanks before it on its line */
} AstComment;

typedef struct {
    uint32_t source; /* index into Compiler.sources */
    AstItem **items;
    uint32_t n_items;
    AstComment *comments;
    uint32_t n_comments;
    bool errors; /* some were reported while parsing */
} AstFile;

#endif
