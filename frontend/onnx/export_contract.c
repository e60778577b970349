/* export_contract.c: products of matrices, convolutions, linear systems; and random numbers.
 *
 * A dot names its axes by letters. It is a Gemm or a MatMul where its letters fall into batch,
 * rows, columns and one summed axis that these ops know; elsewhere each of these groups is first
 * made one axis. An Einsum would say all of it, but is slow in runtimes, where they have it. */
#include "frontend/onnx/export_node.h"

#include <string.h>

/* ---- Products ---- */

/* The letters of a dot as MatMul sees them: a [batch.., rows.., sum], b [batch.., sum, columns]. */
typedef struct {
    NodeId a, b;
    char in_a[MAX_RANK + 1], in_b[MAX_RANK + 1], out[MAX_RANK + 1];
    char batch[MAX_RANK + 1], rows[MAX_RANK + 1], columns[MAX_RANK + 1], sum[MAX_RANK + 1];
} Product;

static void read_spec(const char *spec, Product *p)
{
    const char *comma = strchr(spec, ','), *arrow = strstr(spec, "->");
    memcpy(p->in_a, spec, (size_t)(comma - spec));
    memcpy(p->in_b, comma + 1, (size_t)(arrow - comma - 1));
    strcpy(p->out, arrow + 2);
}

static void append(char *list, char letter)
{
    size_t n = strlen(list);
    list[n] = letter;
}

/* False: not of that form. */
static bool sort_letters(Product *p)
{
    for (const char *l = p->out; *l; l++) {
        bool a = strchr(p->in_a, *l), b = strchr(p->in_b, *l);
        append(a && b ? p->batch : a ? p->rows : p->columns, *l);
    }
    for (const char *l = p->in_a; *l; l++)
        if (!strchr(p->out, *l)) {
            if (!strchr(p->in_b, *l))
                return false;
            append(p->sum, *l);
        }
    for (const char *l = p->in_b; *l; l++)
        if (!strchr(p->out, *l) && !strchr(p->in_a, *l))
            return false;
    return true;
}

/* MatMul takes the letters as they are: other axes need not be made one. */
static bool is_simple(const Product *p)
{
    size_t rows = strlen(p->rows), columns = strlen(p->columns);
    return strlen(p->sum) == 1 && (*p->batch ? rows == 1 && columns == 1 : columns <= 1);
}

static void turn(Product *p)
{
    Product q = { .a = p->b, .b = p->a };
    strcpy(q.in_a, p->in_b);
    strcpy(q.in_b, p->in_a);
    strcpy(q.out, p->out);
    *p = q;
}

/* The letters of the result in MatMul's order. */
static void natural_order(const Product *p, char *out)
{
    stpcpy(stpcpy(stpcpy(out, p->batch), p->rows), p->columns);
}

/* The letters of an operand in MatMul's order. */
static void operand_order(const Product *p, bool right, char *out)
{
    stpcpy(stpcpy(stpcpy(out, p->batch), right ? p->sum : p->rows), right ? p->columns : p->sum);
}

static uint32_t count_transposes(const Product *p)
{
    char a[2 * MAX_RANK], b[2 * MAX_RANK], out[2 * MAX_RANK];
    operand_order(p, false, a);
    operand_order(p, true, b);
    natural_order(p, out);
    return (strcmp(a, p->in_a) != 0) + (strcmp(b, p->in_b) != 0) + (strcmp(out, p->out) != 0);
}

/* The operand that comes first is the one with which less is to be transposed. */
static bool make_product(const Graph *g, NodeId dot, Product *p)
{
    *p = (Product){ .a = graph_operand(g, dot, 0), .b = graph_operand(g, dot, 1) };
    read_spec(graph_attr(g, dot, "spec")->s, p);
    Product q = *p;
    turn(&q);
    if (!sort_letters(p) || !sort_letters(&q))
        return false;
    bool better =
        is_simple(p) == is_simple(&q) ? count_transposes(&q) < count_transposes(p) : is_simple(&q);
    if (better)
        *p = q;
    return true;
}

/* v with axes `from` as axes `to`. */
static const char *arranged(Export *x, const char *v, const char *from, const char *to)
{
    int64_t perm[MAX_RANK];
    uint32_t n = 0;
    for (; to[n]; n++)
        perm[n] = strchr(from, to[n]) - from;
    return ex_transpose(x, v, perm, n);
}

static bool is_gemm(const Export *x, const Product *p)
{
    return !*p->batch && strlen(p->sum) == 1 && strlen(p->rows) == 1 && strlen(p->columns) == 1 &&
           p->out[0] == p->rows[0] && X_FLOAT >> graph_dtype(x->g, p->a) & 1;
}

/* bias: "" when dry, NULL for none */
static const char *gemm(Export *x, const Product *p, const char *bias)
{
    const char *in[] = { ex_full(x, p->a), ex_full(x, p->b), bias };
    const char *v = ex_node(x, "Gemm", in, bias ? 3 : 2);
    if (p->in_a[0] == p->sum[0])
        ex_int(x, "transA", 1);
    if (p->in_b[1] == p->sum[0])
        ex_int(x, "transB", 1);
    return v;
}

static const char *matmul(Export *x, const Product *p, const char *a, const char *b)
{
    char want_a[2 * MAX_RANK], want_b[2 * MAX_RANK], order[2 * MAX_RANK];
    operand_order(p, false, want_a);
    operand_order(p, true, want_b);
    natural_order(p, order);
    a = arranged(x, a, p->in_a, want_a);
    b = arranged(x, b, p->in_b, want_b);
    return arranged(x, EX(x, "MatMul", a, b), order, p->out);
}

/* The extents of letters. */
static Shape letters_shape(const Graph *g, const Product *p, const char *letters)
{
    Shape s = { 0 };
    for (; *letters; letters++) {
        const char *in_a = strchr(p->in_a, *letters), *in_b = strchr(p->in_b, *letters);
        s.dim[s.rank++] = in_a ? graph_shape(g, p->a)->dim[in_a - p->in_a]
                               : graph_shape(g, p->b)->dim[in_b - p->in_b];
    }
    return s;
}

/* Axes `batch`, then one axis for each of two groups. False: B stands twice in a group. */
static bool merged_shape(const Graph *g, const Product *p, const char *first, const char *second,
                         Shape *out)
{
    Shape one = letters_shape(g, p, first), two = letters_shape(g, p, second);
    *out = letters_shape(g, p, p->batch);
    out->rank += 2;
    return out->rank <= MAX_RANK && shape_product(&one, 0, one.rank, &out->dim[out->rank - 2]) &&
           shape_product(&two, 0, two.rank, &out->dim[out->rank - 1]);
}

/* NULL: not to be said so. */
static const char *merged_matmul(Export *x, const Product *p, const char *a, const char *b)
{
    char order_a[2 * MAX_RANK], order_b[2 * MAX_RANK], order[2 * MAX_RANK];
    Shape left, right, result;
    operand_order(p, false, order_a);
    operand_order(p, true, order_b);
    natural_order(p, order);
    Shape from_a = letters_shape(x->g, p, order_a), from_b = letters_shape(x->g, p, order_b),
          to = letters_shape(x->g, p, order);
    if (!merged_shape(x->g, p, p->rows, p->sum, &left) ||
        !merged_shape(x->g, p, p->sum, p->columns, &right) ||
        !merged_shape(x->g, p, p->rows, p->columns, &result))
        return NULL;
    a = ex_reshape(x, arranged(x, a, p->in_a, order_a), &from_a, &left);
    b = ex_reshape(x, arranged(x, b, p->in_b, order_b), &from_b, &right);
    return arranged(x, ex_reshape(x, EX(x, "MatMul", a, b), &result, &to), order, p->out);
}

void say_dot(Export *x, NodeId id)
{
    Product p;
    NodeId a = ex_operand(x, id, 0), b = ex_operand(x, id, 1);
    Dtype t = graph_dtype(x->g, id), as = ex_compute(x, id, export_rows[OP_dot].types, t);
    bool fits = make_product(x->g, id, &p); /* with its operands in order */
    if (fits && is_gemm(x, &p) && (p.in_a[0] == p.sum[0] || p.in_b[1] == p.sum[0])) {
        ex_result(x, id, gemm(x, &p, NULL));
        return;
    }
    const char *v = NULL, *left = ex_cast(x, ex_full(x, fits ? p.a : a), t, as);
    const char *right = ex_cast(x, ex_full(x, fits ? p.b : b), t, as);
    if (fits)
        v = is_simple(&p) ? matmul(x, &p, left, right) : merged_matmul(x, &p, left, right);
    if (!v) {
        bool turned = fits && p.a != a;
        v = EX(x, "Einsum", turned ? right : left, turned ? left : right);
        ex_text(x, "equation", graph_attr(x->g, id, "spec")->s);
    }
    ex_result(x, id, ex_cast(x, v, as, t));
}

/* ---- Convolution ---- */

/* bias: NULL for none */
static void convolution(Export *x, NodeId id, NodeId conv, const char *bias)
{
    const Graph *g = x->g;
    const Shape *w = graph_shape(g, ex_operand(x, conv, 1));
    uint32_t n = w->rank - 2;
    int64_t window[MAX_RANK], pads[2 * MAX_RANK];
    Dtype t = graph_dtype(g, id), as = ex_compute(x, id, export_rows[OP_conv].types, t);
    for (uint32_t i = 0; i < n; i++) {
        window[i] = w->dim[2 + i].n;
        pads[i] = graph_attr(g, conv, "low")->ints[i];
        pads[n + i] = graph_attr(g, conv, "high")->ints[i];
    }
    const char *in[3] = { ex_cast(x, ex_full(x, ex_operand(x, conv, 0)), t, as) };
    in[1] = ex_cast(x, ex_full(x, ex_operand(x, conv, 1)), t, as);
    in[2] = bias;
    const char *v = ex_node(x, "Conv", in, bias ? 3 : 2);
    ex_list(x, "kernel_shape", window, n);
    ex_list(x, "strides", graph_attr(g, conv, "stride")->ints, n);
    ex_list(x, "pads", pads, 2 * n);
    ex_list(x, "dilations", graph_attr(g, conv, "dilation")->ints, n);
    ex_int(x, "group", ex_attr(x, conv, "groups"));
    ex_result(x, id, ex_cast(x, v, as, t));
}

void say_conv(Export *x, NodeId id)
{
    convolution(x, id, id, NULL);
}

/* What the stride leaves open at the end of the result is cut less, and where that is not enough,
 * padded with zeros: no element of x reaches it. */
void say_conv_transpose(Export *x, NodeId id)
{
    const Graph *g = x->g;
    NodeId from = ex_operand(x, id, 0), by = ex_operand(x, id, 1);
    const Shape *w = graph_shape(g, by), *in = graph_shape(g, from), *out = graph_shape(g, id);
    const int64_t *stride = graph_attr(g, id, "stride")->ints;
    const int64_t *dilation = graph_attr(g, id, "dilation")->ints;
    uint32_t n = w->rank - 2;
    int64_t window[MAX_RANK], pads[2 * MAX_RANK], more[2 * MAX_RANK] = { 0 }, sum = 0;
    Dtype t = graph_dtype(g, id), as = ex_compute(x, id, export_rows[OP_conv_transpose].types, t);
    for (uint32_t i = 0; i < n; i++) {
        window[i] = w->dim[2 + i].n;
        pads[i] = graph_attr(g, id, "low")->ints[i];
        int64_t span = (in->dim[2 + i].n - 1) * stride[i] + (window[i] - 1) * dilation[i] + 1;
        int64_t cut = span - pads[i] - out->dim[2 + i].n;
        pads[n + i] = cut > 0 ? cut : 0;
        more[out->rank + 2 + i] = cut < 0 ? -cut : 0;
        sum += more[out->rank + 2 + i];
    }
    const char *data = ex_cast(x, ex_full(x, from), t, as);
    const char *v = EX(x, "ConvTranspose", data, ex_cast(x, ex_full(x, by), t, as));
    ex_list(x, "kernel_shape", window, n);
    ex_list(x, "strides", stride, n);
    ex_list(x, "pads", pads, 2 * n);
    ex_list(x, "dilations", dilation, n);
    ex_int(x, "group", ex_attr(x, id, "groups"));
    if (sum)
        v = EX(x, "Pad", v, ex_ints(x, more, 2 * out->rank));
    ex_result(x, id, ex_cast(x, v, as, t));
}

/* The [O] behind a broadcast of [1, O, 1..] over channels, or NODE_NONE. */
static NodeId channel_bias(const Graph *g, NodeId id)
{
    if (graph_node(g, id)->op != OP_broadcast)
        return NODE_NONE;
    NodeId column = graph_operand(g, id, 0);
    if (graph_node(g, column)->op != OP_reshape)
        return NODE_NONE;
    NodeId line = graph_operand(g, column, 0);
    const Shape *s = graph_shape(g, line), *c = graph_shape(g, column);
    return s->rank == 1 && dim_equal(s->dim[0], c->dim[1]) &&
                   dim_equal(s->dim[0], graph_shape(g, id)->dim[1])
               ? line
               : NODE_NONE;
}

/* A sum whose one side is a product that only it reads takes it in as a bias. */
static bool say_biased(Export *x, NodeId id, NodeId product, NodeId other)
{
    Product p;
    if (x->uses[product] != 1 || !(X_FLOAT >> graph_dtype(x->g, id) & 1))
        return false;
    if (ex_op(x, product) == OP_conv) {
        NodeId bias = channel_bias(x->g, other);
        if (bias == NODE_NONE)
            return false;
        x->at = product;
        convolution(x, id, product, ex_full(x, bias));
        return true;
    }
    if (ex_op(x, product) != OP_dot || ex_op(x, other) != OP_broadcast ||
        !make_product(x->g, product, &p) || !is_gemm(x, &p))
        return false;
    x->at = product;
    ex_result(x, id, gemm(x, &p, ex_spread(x, other)));
    return true;
}

void say_add(Export *x, NodeId id)
{
    NodeId a = ex_operand(x, id, 0), b = ex_operand(x, id, 1);
    if (!say_biased(x, id, a, b) && !say_biased(x, id, b, a))
        say_map(x, id);
}

void say_mul(Export *x, NodeId id)
{
    if (!say_mean(x, id, false))
        say_map(x, id);
}

void say_div(Export *x, NodeId id)
{
    if (!say_mean(x, id, true))
        say_division(x, id);
}

/* ---- Linear systems ---- */

enum { MAX_SYSTEM = 32 }; /* equations that are written out, some twelve nodes each */

static const char *part(Export *x, const char *v, int64_t axis, int64_t from, int64_t to)
{
    const char *begin = ex_ints(x, &from, 1), *end = ex_ints(x, &to, 1);
    return EX(x, "Slice", v, begin, end, ex_ints(x, &axis, 1));
}

/* One column k of Gauss-Jordan elimination with the largest pivot, of v [.., n, n + m]. */
static const char *eliminated(Export *x, const char *v, int64_t k, int64_t n, Dtype t)
{
    int64_t *row = arena_new_array(x->arena, int64_t, (size_t)n), shape[] = { n, 1 }, last = -2;
    for (int64_t i = 0; i < n; i++)
        row[i] = i;
    const char *rows = ex_tensor(x, DT_I64, shape, 2, row);
    const char *below = part(x, part(x, v, -2, k, n), -1, k, k + 1);
    const char *place = EX(x, "ArgMax", EX(x, "Abs", below));
    ex_int(x, "axis", -2);
    place = EX(x, "Add", place, ex_scalar(x, DT_I64, (double)k));
    const char *is_pivot = EX(x, "Equal", rows, place);
    const char *pivot =
        EX(x, "ReduceSum", EX(x, "Where", is_pivot, v, ex_scalar(x, t, 0)), ex_ints(x, &last, 1));
    v = EX(x, "Where", is_pivot, part(x, v, -2, k, k + 1), v);
    pivot = EX(x, "Div", pivot, part(x, pivot, -1, k, k + 1));
    const char *less = EX(x, "Mul", part(x, v, -1, k, k + 1), pivot);
    const char *here = EX(x, "Equal", rows, ex_scalar(x, DT_I64, (double)k));
    return EX(x, "Where", here, pivot, EX(x, "Sub", v, less));
}

void say_solve(Export *x, NodeId id)
{
    NodeId a = ex_operand(x, id, 0), b = ex_operand(x, id, 1);
    const Shape *s = graph_shape(x->g, b);
    int64_t n = s->dim[s->rank - 2].n, m = s->dim[s->rank - 1].n;
    Dtype t = graph_dtype(x->g, id);
    const char *v = EX(x, "Concat", ex_full(x, a), ex_full(x, b));
    ex_int(x, "axis", -1);
    if (n > MAX_SYSTEM) {
        ex_unsupported(x, id, "`solve` of more than %d equations", MAX_SYSTEM);
        return;
    }
    for (int64_t k = 0; k < n; k++)
        v = eliminated(x, v, k, n, t);
    ex_result(x, id, part(x, v, -1, n, n + m));
}

/* ---- Random numbers: seed and step have no place in ONNX ---- */

void say_random(Export *x, NodeId id)
{
    Op op = ex_op(x, id);
    Dtype t = graph_dtype(x->g, id), as = t == DT_F64 || op == OP_random_integer ? DT_F64 : DT_F32;
    const char *v = ex_expand(x, ex_scalar(x, as, 0), graph_shape(x->g, id));
    v = EX(x, export_rows[op].onnx, v);
    if (op == OP_random_integer) {
        double low = (double)ex_attr(x, id, "low"), high = (double)ex_attr(x, id, "high");
        v = EX(x, "Mul", v, ex_scalar(x, as, high - low));
        v = EX(x, "Floor", EX(x, "Add", v, ex_scalar(x, as, low)));
    }
    ex_result(x, id, ex_cast(x, v, as, t));
}
