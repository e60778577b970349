/* map_signal.c: spectra and windows; random numbers. */
#include "frontend/onnx/map.h"

#include <string.h>

/* The dtype that an attribute names; `otherwise` where it is not there. */
static bool dtype_attribute(OnnxNode *q, const char *name, Dtype otherwise, Dtype *out)
{
    *out = otherwise;
    int64_t code = attribute_int(q, name, 0);
    return !code || (code == (int32_t)code && onnx_dtype((int32_t)code, out)) ||
           node_unsupported(q, "a result of type %lld", (long long)code);
}

static const char *yes(bool b)
{
    return b ? "true" : "false";
}

/* ---- Spectra ---- */

bool map_dft(OnnxNode *q)
{
    Ints length = { 0 }, from = { 0 };
    const char *x = node_arg(q, 0);
    const Shape *s = node_shape(q, 0);
    int64_t axis = attribute_int(q, "axis", node_version(q) < 20 ? 1 : -2);
    if (!x || (node_has(q, 1) && !node_ints(q, 1, &length)) ||
        (node_version(q) >= 20 && node_has(q, 2) && !node_ints(q, 2, &from)))
        return false;
    if (from.n)
        axis = from.at[0];
    if (s->rank < 2 || s->dim[s->rank - 1].n < 1 || s->dim[s->rank - 1].n > 2)
        return node_wrong(q, "real or complex numbers along the last axis are needed");
    return node_axis(q, axis, s->rank, &axis) &&
           node_let(q, 0, "dft(%s, %lld, length=%lld, inverse=%s, onesided=%s)", x, (long long)axis,
                    length.n ? (long long)length.at[0] : 0LL, yes(attribute_int(q, "inverse", 0)),
                    yes(attribute_int(q, "onesided", 0)));
}

bool map_stft(OnnxNode *q)
{
    Ints step, length = { 0 };
    const char *x = node_arg(q, 0);
    if (!x || !node_ints(q, 1, &step) || (node_has(q, 3) && !node_ints(q, 3, &length)))
        return false;
    uint32_t rank = node_shape(q, 0)->rank;
    if (rank == 2) /* exporters leave out the last axis, of extent 1 */
        x = text_printf(q, "unsqueeze(%s, axis=2)", x);
    if (rank < 2 || rank > 3)
        return node_wrong(q, "signals of rank %u", rank);
    if (!node_has(q, 2) && length.n != 1)
        return node_wrong(q, "a window or its length is needed");
    const char *window = node_has(q, 2) ? node_arg(q, 2)
                                        : text_printf(q, "ones(%lld, dtype=%s)",
                                                      (long long)length.at[0],
                                                      q->narrow != DT_COUNT
                                                          ? "f32"
                                                          : dtype_name(node_dtype(q, 0)));
    return window && step.n == 1 &&
           node_let(q, 0, "stft(%s, %lld, %s, onesided=%s)", x, (long long)step.at[0], window,
                    yes(attribute_int(q, "onesided", 1)));
}

static bool window(OnnxNode *q, const char *name)
{
    Ints n;
    Dtype to;
    if (!node_ints(q, 0, &n) || !dtype_attribute(q, "output_datatype", DT_F32, &to))
        return false;
    if (n.n != 1 || n.at[0] < 0)
        return node_wrong(q, "one size is needed");
    return node_let(q, 0, "%s(%s(%lld, periodic=%s))", dtype_name(to), name, (long long)n.at[0],
                    yes(attribute_int(q, "periodic", 1)));
}

bool map_hann_window(OnnxNode *q)
{
    return window(q, "hann_window");
}

bool map_hamming_window(OnnxNode *q)
{
    return window(q, "hamming_window");
}

bool map_blackman_window(OnnxNode *q)
{
    return window(q, "blackman_window");
}

bool map_mel_weights(OnnxNode *q)
{
    Ints bins, length;
    double rate, low, high;
    Dtype to;
    if (!node_ints(q, 0, &bins) || !node_ints(q, 1, &length) || !node_number(q, 2, &rate) ||
        !node_number(q, 3, &low) || !node_number(q, 4, &high) ||
        !dtype_attribute(q, "output_datatype", DT_F32, &to))
        return false;
    if (bins.n != 1 || length.n != 1 || bins.at[0] < 0 || length.at[0] < 1)
        return node_wrong(q, "one number of bins, and one length, are needed");
    return node_let(q, 0, "%s(mel_weights(%lld, %lld, %.17g, %.17g, %.17g))", dtype_name(to),
                    (long long)bins.at[0], (long long)length.at[0], rate, low, high);
}

bool map_cumprod(OnnxNode *q)
{
    Ints from;
    int64_t axis;
    const char *x = node_arg(q, 0);
    if (!x || !node_ints(q, 1, &from) || from.n != 1 ||
        !node_axis(q, from.at[0], node_shape(q, 0)->rank, &axis))
        return false;
    return node_let(q, 0, "cumprod(%s, %lld, exclusive=%s, reverse=%s)", x, (long long)axis,
                    yes(attribute_int(q, "exclusive", 0)), yes(attribute_int(q, "reverse", 0)));
}

bool map_bitcast(OnnxNode *q)
{
    Dtype to;
    const char *x = node_arg(q, 0);
    return x && dtype_attribute(q, "to", DT_F32, &to) &&
           node_let(q, 0, "bitcast(%s, dtype=%s)", x, dtype_name(to));
}

/* ---- Random numbers: keyed by the seed of the run, not by that of the file ---- */

/* The dims and the dtype: of attributes, or of an input that gives what is left out. */
static bool random_type(OnnxNode *q, bool like, const char **out_dims, Dtype *out_dtype)
{
    Ints shape;
    if (!dtype_attribute(q, "dtype", like ? node_dtype(q, 0) : DT_F32, out_dtype))
        return false;
    if (like) {
        *out_dims = text_dims(q, node_shape(q, 0));
        return !q->failed;
    }
    if (!attribute_ints(q, "shape", &shape))
        return node_wrong(q, "the attribute `shape` is missing");
    *out_dims = text_ints(q, shape.at, shape.n);
    return true;
}

static bool uniform(OnnxNode *q, bool like)
{
    Dtype t;
    const char *dims;
    double low = attribute_float(q, "low", 0), high = attribute_float(q, "high", 1);
    return random_type(q, like, &dims, &t) &&
           node_let(q, 0, "%s(%s + %s*rand(%s))", dtype_name(t), text_float(q, low),
                    text_float(q, high - low), dims);
}

static bool normal(OnnxNode *q, bool like)
{
    Dtype t;
    const char *dims;
    return random_type(q, like, &dims, &t) &&
           node_let(q, 0, "%s(%s + %s*randn(%s))", dtype_name(t),
                    text_float(q, attribute_float(q, "mean", 0)),
                    text_float(q, attribute_float(q, "scale", 1)), dims);
}

bool map_random_uniform(OnnxNode *q)
{
    return uniform(q, false);
}

bool map_random_uniform_like(OnnxNode *q)
{
    return uniform(q, true);
}

bool map_random_normal(OnnxNode *q)
{
    return normal(q, false);
}

bool map_random_normal_like(OnnxNode *q)
{
    return normal(q, true);
}

bool map_bernoulli(OnnxNode *q)
{
    Dtype t;
    const char *dims, *p = node_arg(q, 0);
    return p && random_type(q, true, &dims, &t) &&
           node_let(q, 0, "%s(rand(%s) < f32(%s))", dtype_name(t), dims, p);
}

/* The largest of the logarithms with noise of Gumbel's distribution falls as they say. */
bool map_multinomial(OnnxNode *q)
{
    Dtype t;
    const char *x = node_arg(q, 0);
    const Shape s = *node_shape(q, 0);
    if (!x || !dtype_attribute(q, "dtype", DT_I32, &t))
        return false;
    if (s.rank != 2)
        return node_wrong(q, "rows of logarithms are needed");
    Shape all = { 3, { s.dim[0], dim_of(attribute_int(q, "sample_size", 1)), s.dim[1] } };
    return node_let(q, 0, "%s(argmax(unsqueeze(f32(%s), axis=1) - log(-log(rand(%s))), axis=-1))",
                    dtype_name(t), x, text_dims(q, &all));
}
