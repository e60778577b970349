/* types.c: dtypes, dims and shapes, and the scalar operations' names. */
#include "ir/graph.h"
#include "ir/scalar.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[DT_COUNT] = {
    [DT_F64] = { "f64", 8 },   [DT_F32] = { "f32", 4 }, [DT_F16] = { "f16", 2 },
    [DT_BF16] = { "bf16", 2 }, [DT_I64] = { "i64", 8 }, [DT_I32] = { "i32", 4 },
    [DT_I16] = { "i16", 2 },   [DT_I8] = { "i8", 1 },   [DT_U64] = { "u64", 8 },
    [DT_U32] = { "u32", 4 },   [DT_U16] = { "u16", 2 }, [DT_U8] = { "u8", 1 },
    [DT_BOOL] = { "bool", 1 },
};

static const int scalar_operand_counts[SC_COUNT] = {
#define SCALAR(name, operands, function) [SC_##name] = operands,
    SCALAR_TABLE(SCALAR)
#undef SCALAR
};

/* In the order of SCALAR_TABLE; those of functions are what libm calls them. */
static const char *const scalar_names[] = {
    "none",
    "copy", "neg", "abs", "sign", "not", "floor", "ceil", "round", "trunc",
    "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    "sigmoid", "erf", "erfc", "normal_cdf", "normal_cdf_tanh", "is_nan", "is_inf",
    "cast", "add", "sub", "mul", "div",
    "floordiv", "mod", "pow", "atan2", "maximum", "minimum", "and", "or", "xor",
    "shl", "shr", "eq", "ne", "lt", "le", "gt", "ge", "select",
};
static_assert(sizeof scalar_names / sizeof *scalar_names == SC_COUNT,
              "a name for each scalar operation");

int scalar_operands(ScalarOp op)
{
    return scalar_operand_counts[op];
}

const char *scalar_name(ScalarOp op)
{
    return scalar_names[op];
}

const char *dtype_name(Dtype t)
{
    return dtypes[t].name;
}

size_t dtype_size(Dtype t)
{
    return dtypes[t].size;
}

bool dtype_parse(const char *name, Dtype *out_dtype)
{
    for (int t = 0; t < DT_COUNT; t++)
        if (!strcmp(dtypes[t].name, name)) {
            *out_dtype = (Dtype)t;
            return true;
        }
    return false;
}

bool shape_equal(const Shape *a, const Shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (!dim_equal(a->dim[i], b->dim[i]))
            return false;
    return true;
}

bool shape_elements(const Shape *s, int64_t *out_n)
{
    int64_t n = 1;
    bool empty = false;
    for (uint32_t i = 0; i < s->rank; i++) {
        empty |= s->dim[i].n == 0;
        if (s->dim[i].n && __builtin_mul_overflow(n, s->dim[i].n, &n))
            return false;
    }
    *out_n = empty ? 0 : n;
    return true;
}

bool shape_product(const Shape *s, uint32_t first, uint32_t last, Dim *out_dim)
{
    int64_t n = 1, k = 1; /* k: the product with B in place of the batch's maximum */
    uint32_t batched = 0;
    for (uint32_t i = first; i < last; i++) {
        Dim f = s->dim[i];
        batched += f.k != 0;
        if (__builtin_mul_overflow(n, f.n, &n) || __builtin_mul_overflow(k, f.k ? f.k : f.n, &k))
            return false;
    }
    *out_dim = (Dim){ n, batched ? k : 0 };
    return batched <= 1;
}

const char *shape_text(Arena *a, const Shape *s)
{
    const char *text = "";
    for (uint32_t i = 0; i < s->rank; i++) {
        Dim d = s->dim[i];
        const char *comma = i ? ", " : "";
        if (!d.k)
            text = arena_printf(a, "%s%s%lld", text, comma, (long long)d.n);
        else if (d.k == 1)
            text = arena_printf(a, "%s%sB", text, comma);
        else
            text = arena_printf(a, "%s%s%lldB", text, comma, (long long)d.k);
    }
    return s->rank ? arena_printf(a, "[%s]", text) : "";
}
