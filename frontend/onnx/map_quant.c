/* map_quant.c: quantized arithmetic, said by the functions of std/quant.dl. */
#include "frontend/onnx/map_window.h"

/* An input as a float of type t. */
static const char *as_float(OnnxNode *q, uint32_t input, Dtype t)
{
    const char *x = node_arg(q, input);
    return !x || node_dtype(q, input) == t ? x : text_printf(q, "%s(%s)", dtype_name(t), x);
}

/* name(x, scale, zero, axis, block); NULL: reported. */
static const char *linear(OnnxNode *q, const char *name, const char *x, const char *scale,
                          Dtype zero_type)
{
    uint32_t rank = node_shape(q, 0)->rank;
    int64_t axis = attribute_int(q, "axis", 1);
    const char *zero = node_has(q, 2) ? node_arg(q, 2)
                                      : text_printf(q, "%s(0)", dtype_name(zero_type));
    if (!x || !scale || !zero)
        return NULL;
    if (rank < 2) /* one number, or a vector along the only axis */
        axis = 0;
    else if (!node_axis(q, axis, rank, &axis))
        return NULL;
    return text_printf(q, "%s(%s, %s, %s, axis=%lld, block=%lld)", name, x, scale, zero,
                       (long long)axis, (long long)attribute_int(q, "block_size", 0));
}

/* The dtype that an attribute names, if it is there. */
static bool type_attribute(OnnxNode *q, const char *name, Dtype *t)
{
    int64_t type = attribute_int(q, name, 0);
    return !type || onnx_dtype((int32_t)type, t) ||
           node_unsupported(q, "numbers of type %s", onnx_type_name(q->im->a, (int32_t)type));
}

/* The quotient is of the wider type of x and the scale, or as `precision` says. */
bool map_quantize(OnnxNode *q)
{
    Dtype t = DT_U8, x = node_dtype(q, 0), own = node_dtype(q, 1);
    if (dtype_is_float(x) && dtype_size(x) > dtype_size(own))
        own = x;
    else if (dtype_is_float(x) && x != own && dtype_size(x) == dtype_size(own))
        own = DT_F32; /* both have 16 bits */
    if (q->failed || !type_attribute(q, "output_dtype", &t) ||
        !type_attribute(q, "precision", &own))
        return false;
    const char *text = linear(q, "quantize_linear", as_float(q, 0, own), as_float(q, 1, own), t);
    return text && node_let(q, 0, "%s", text);
}

/* With another type of result than that of the scale the wider one is computed in. */
bool map_dequantize(OnnxNode *q)
{
    Dtype t = node_dtype(q, 0), own = node_dtype(q, 1), to = own;
    if (q->failed || !type_attribute(q, "output_dtype", &to))
        return false;
    bool other = to != own && dtype_is_float(to);
    if (other && dtype_size(to) > dtype_size(own))
        own = to;
    const char *text = linear(q, "dequantize_linear", node_arg(q, 0), as_float(q, 1, own), t);
    return text && (other ? node_let(q, 0, "%s(%s)", dtype_name(to), text)
                          : node_let(q, 0, "%s", text));
}

bool map_quantize_dynamic(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *parts[3];
    return x &&
           node_tmps(q, 3, (const char *const[]){ "q", "scale", "zero" }, parts,
                     "quantize_dynamic(%s)", x) &&
           node_let(q, 0, "%s", parts[0]) && node_let(q, 1, "%s", parts[1]) &&
           node_let(q, 2, "%s", parts[2]);
}

/* Operands joined by commas; those that are left out are 0. */
static const char *with_zeros(OnnxNode *q, uint32_t first, uint32_t n)
{
    const char *text = "";
    for (uint32_t i = first; i < first + n; i++) {
        const char *x = node_has(q, i) ? node_arg(q, i) : "0";
        if (!x)
            return NULL;
        text = text_printf(q, "%s, %s", text, x);
    }
    return text;
}

bool map_matmul_integer(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *rest = with_zeros(q, 1, 3);
    return a && rest && node_let(q, 0, "matmul_integer(%s%s)", a, rest);
}

static bool window_text(OnnxNode *q, uint32_t weights, const char **out, uint32_t *out_n)
{
    const Shape *f = node_shape(q, weights), *x = node_shape(q, 0);
    int64_t window[MAX_RANK] = { 0 };
    Window w;
    if (q->failed)
        return false;
    if (f->rank != x->rank)
        return node_wrong(q, "weights of rank %u for an input of rank %u", f->rank, x->rank);
    for (uint32_t i = 2; i < f->rank; i++)
        window[i - 2] = f->dim[i].n;
    if (!window_read(q, x, window, &w))
        return false;
    *out_n = w.n;
    *out = text_printf(q, "stride=%s, low=%s, high=%s, dilation=%s, groups=%lld",
                       text_ints(q, w.stride, w.n), text_ints(q, w.low, w.n),
                       text_ints(q, w.high, w.n), text_ints(q, w.dilation, w.n),
                       (long long)attribute_int(q, "group", 1));
    return true;
}

bool map_conv_integer(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *rest = with_zeros(q, 1, 3), *numbers;
    uint32_t n;
    return x && rest && window_text(q, 1, &numbers, &n) &&
           node_let(q, 0, "conv_integer(%s%s, %s)", x, rest, numbers);
}

/* ---- Integers in, integers out: a, its scale and zero; b, its own; those of the result ---- */

static bool read_args(OnnxNode *q, uint32_t n, const char **out)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(out[i] = node_arg(q, i)))
            return false;
    return true;
}

bool map_qlinear_matmul(OnnxNode *q)
{
    const char *a[8];
    return read_args(q, 8, a) &&
           node_let(q, 0,
                    "requantize(matmul_integer(%s, %s, %s, %s), "
                    "f32(of_rows(%s))*f32(of_columns(%s))/f32(of_rows(%s)), of_rows(%s))",
                    a[0], a[3], a[2], a[5], a[1], a[4], a[6], a[7]);
}

bool map_qlinear_conv(OnnxNode *q)
{
    const char *a[8], *numbers;
    uint32_t n;
    if (!read_args(q, 8, a) || !window_text(q, 3, &numbers, &n))
        return false;
    const char *sum = text_printf(q, "conv_integer(%s, %s, %s, %s, %s)", a[0], a[3], a[2], a[5],
                                  numbers);
    if (node_has(q, 8)) {
        const char *bias = node_arg(q, 8);
        if (!bias)
            return false;
        sum = text_printf(q, "%s + of_outputs(%s, %u)", sum, bias, n);
    }
    return node_let(q, 0,
                    "requantize(%s, of_outputs(%s, %u)*reshape(%s, [])/reshape(%s, []), "
                    "reshape(%s, []))",
                    sum, a[4], n, a[1], a[6], a[7]);
}
