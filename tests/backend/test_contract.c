/* Contractions against plain loops: every result must be the one chain of multiply-adds over the
 * reduced axes, the longest steps through both operands outermost, bit for bit, whatever the tile,
 * block and unit; where lanes may run along the reduction (both operands contiguous there), it must
 * be within the rounding error of K additions. Every kernel also runs one unit at a time,
 * backwards. */
#include "tests/backend/contract_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

typedef struct {
    uint64_t state;
} Random;

static uint32_t draw(Random *r, uint32_t n)
{
    r->state = r->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(r->state >> 33) % n;
}

static double draw_value(Random *r)
{
    return ((double)draw(r, 2001) - 1000) / 1000;
}

typedef struct {
    void *data;
    Dtype dtype;
    int64_t n;
} Array;

static void put(Array *x, int64_t i, double v)
{
    if (x->dtype == DT_F64)
        ((double *)x->data)[i] = v;
    else if (x->dtype == DT_F32)
        ((float *)x->data)[i] = (float)v;
    else { /* bf16, cut off */
        float f = (float)v;
        uint32_t bits;
        memcpy(&bits, &f, 4);
        ((uint16_t *)x->data)[i] = (uint16_t)(bits >> 16);
    }
}

static double get(const Array *x, int64_t i)
{
    if (x->dtype == DT_F64)
        return ((const double *)x->data)[i];
    if (x->dtype == DT_F32)
        return (double)((const float *)x->data)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)x->data)[i] << 16;
    float f;
    memcpy(&f, &bits, 4);
    return (double)f;
}

/* Ends where a page that may not be touched begins. */
static Array new_array(Random *r, Dtype t, int64_t n)
{
    size_t bytes = (size_t)n * dtype_size(t), page = 4096, whole = (bytes + page - 1) / page * page;
    uint8_t *map = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mprotect(map + whole, page, PROT_NONE), 0);
    Array x = { map + whole - bytes, t, n };
    for (int64_t i = 0; i < n; i++)
        put(&x, i, draw_value(r));
    return x;
}

static void free_array(Array *x)
{
    size_t bytes = (size_t)x->n * dtype_size(x->dtype), page = 4096,
           whole = (bytes + page - 1) / page * page;
    munmap((uint8_t *)x->data + bytes - whole, whole + page);
}

/* The largest offset an operand reaches, plus one. */
static int64_t reach(const ContractCase *t, int which)
{
    int64_t n = 1 + (which == 0 ? t->a_offset : 0);
    for (uint32_t i = 0; i < t->n_axes; i++) {
        const CaseAxis *x = &t->axes[i];
        n += (x->extent.n - 1) * (which == 0 ? x->a : which == 1 ? x->b : x->c);
    }
    return n;
}

typedef struct {
    const ContractCase *t;
    Array in[4], expect, bound; /* bound: sum of |a * b| */
    int64_t batch;
    bool fma;
} Run;

static double step(const Run *run, double a, double b, double sum)
{
    if (run->t->c == DT_F64)
        return run->fma ? fma(a, b, sum) : a * b + sum;
    float x = (float)a, y = (float)b, s = (float)sum;
    return (double)(run->fma ? fmaf(x, y, s) : x * y + s);
}

static double after(const Run *run, double sum, int64_t at, int64_t last)
{
    const ContractCase *t = run->t;
    bool wide = t->c == DT_F64;
    double x = t->post == POST_NONE ? 0 : get(&run->in[3], t->post == POST_RESIDUAL ? at : last);
#define ROUND(v) (wide ? (v) : (double)(float)(v))
    if (t->post != POST_NONE)
        sum = ROUND(sum + x);
    for (int i = 0; t->post == POST_LONG && i < 60; i++)
        sum = ROUND(i % 2 ? sum - x : sum + x);
    if (t->post == POST_BIAS_RELU || t->post == POST_LONG)
        sum = sum >= 0 ? sum : 0;
    return sum;
#undef ROUND
}

static int64_t extent_now(const Run *run, uint32_t axis)
{
    Dim d = run->t->axes[axis].extent;
    return d.k ? d.k * run->batch : d.n;
}

/* Axes by decreasing step through A and B, equal ones as they come: the last runs fastest. */
static void sort_axes(const ContractCase *t, uint32_t *order)
{
    for (uint32_t i = 0; i < t->n_axes; i++) {
        uint32_t j = i;
        for (; j > 0 &&
               t->axes[i].a + t->axes[i].b > t->axes[order[j - 1]].a + t->axes[order[j - 1]].b;
             j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
}

/* Next index of the axes that are reduced (or not); false after the last. */
static bool advance(const Run *run, int64_t *index, bool reduced)
{
    uint32_t order[KERNEL_MAX_AXES];
    sort_axes(run->t, order);
    for (uint32_t o = run->t->n_axes; o-- > 0;) {
        uint32_t i = order[o];
        if (run->t->axes[i].reduced != reduced)
            continue;
        if (++index[i] < extent_now(run, i))
            return true;
        index[i] = 0;
    }
    return false;
}

static void expected(Run *run)
{
    const ContractCase *t = run->t;
    int64_t index[KERNEL_MAX_AXES] = { 0 };
    do {
        double sum = 0, bound = 0;
        int64_t c = 0, last = 0;
        do {
            int64_t a = t->a_offset, b = 0;
            for (uint32_t i = 0; i < t->n_axes; i++) {
                a += index[i] * t->axes[i].a;
                b += index[i] * t->axes[i].b;
            }
            int64_t g = t->guarded ? index[t->guard_axes[0]] + index[t->guard_axes[1]] : 0;
            bool out = t->guarded && (g < t->guard_lo || g >= t->guard_hi);
            double x = out ? 0 : get(&run->in[0], a), y = get(&run->in[1], b);
            sum = step(run, x, y, sum);
            bound += fabs(x * y);
        } while (advance(run, index, true));
        for (uint32_t i = 0; i < t->n_axes; i++) {
            c += index[i] * t->axes[i].c;
            if (t->axes[i].c == 1 && !t->axes[i].reduced)
                last = index[i];
        }
        put(&run->expect, c, after(run, sum, c, last));
        put(&run->bound, c, bound);
    } while (advance(run, index, false));
}

static bool may_be_dot(const ContractCase *t)
{
    for (uint32_t i = 0; i < t->n_axes; i++)
        if (t->axes[i].reduced && t->axes[i].a == 1 && t->axes[i].b == 1)
            return true;
    return false;
}

static void compare(const Run *run, const Array *got, const char *what)
{
    double k = 1;
    for (uint32_t i = 0; i < run->t->n_axes; i++)
        k *= run->t->axes[i].reduced ? (double)run->t->axes[i].extent.n : 1;
    bool exact = !may_be_dot(run->t);
    double eps = run->t->c == DT_F64 ? 0x1p-52 : 0x1p-23;
    for (int64_t i = 0; i < got->n; i++) {
        double x = get(got, i), y = get(&run->expect, i),
               allowed = exact ? 0 : 2 * k * eps * (get(&run->bound, i) + fabs(y) + 1);
        if (!(fabs(x - y) <= allowed)) {
            for (uint32_t a = 0; a < run->t->n_axes; a++)
                print_message(
                    "axis %u: %lld k %lld%s a %lld b %lld c %lld\n", a,
                    (long long)run->t->axes[a].extent.n, (long long)run->t->axes[a].extent.k,
                    run->t->axes[a].reduced ? " reduced" : "", (long long)run->t->axes[a].a,
                    (long long)run->t->axes[a].b, (long long)run->t->axes[a].c);
            fail_msg("%s: element %lld is %.9g, expected %.9g (post %d, batch %lld)", what,
                     (long long)i, x, y, run->t->post, (long long)run->batch);
        }
    }
}

static void fill_c(Array *c)
{
    for (int64_t i = 0; i < c->n; i++)
        put(c, i, -77);
}

static void check_case(const ContractCase *t, const char *level, int64_t batch, Random *r)
{
    Target target;
    assert_true(target_parse(level, &target));
    if (!target_runs_here(&target))
        return;
    Arena *arena = arena_new();
    KernelObject object;
    if (!kernel_emit(case_kernel(arena, t), &target, "k", &object))
        fail_msg("%s", object.error);
    JitObject linked = { object.bytes, object.size };
    const char *symbol = "k";
    void *address;
    char error[200];
    Jit *jit = jit_link(&linked, 1, &symbol, 1, &address, error);
    if (!jit)
        fail_msg("%s", error);
    CaseFn *fn;
    memcpy(&fn, &address, sizeof fn);

    Run run = { .t = t, .batch = batch, .fma = target.fma };
    int64_t n = reach(t, 2);
    run.in[0] = new_array(r, t->a, reach(t, 0));
    run.in[1] = new_array(r, t->b, reach(t, 1));
    run.in[2] = new_array(r, t->c, n);
    run.in[3] = new_array(r, t->c, n);
    run.expect = new_array(r, t->c, n);
    run.bound = new_array(r, t->c, n);
    fill_c(&run.in[2]);
    fill_c(&run.expect);
    expected(&run);
    void *bufs[] = { run.in[0].data, run.in[1].data, run.in[2].data, run.in[3].data };
    int64_t units = case_units(&object.grid, batch);
    fn(bufs, batch, 0, units);
    compare(&run, &run.in[2], level);
    memcpy(run.bound.data, run.in[2].data, (size_t)n * dtype_size(t->c));
    fill_c(&run.in[2]);
    for (int64_t u = units; u-- > 0;)
        fn(bufs, batch, u, u + 1);
    assert_memory_equal(run.bound.data, run.in[2].data, (size_t)n * dtype_size(t->c));
    for (int i = 0; i < 4; i++)
        free_array(&run.in[i]);
    free_array(&run.expect);
    free_array(&run.bound);
    jit_free(jit);
    kernel_object_free(&object);
    arena_free(arena);
}

static const char *const levels[] = { "native", "x86-64-v4", "x86-64-v3", "x86-64" };

/* C[m, n] = A[m, k] B[k, n] with the strides of any transposition. */
static ContractCase product(Dim m, Dim n, Dim k, bool ta, bool tb, bool tc)
{
    ContractCase t = { .a = DT_F32, .b = DT_F32, .c = DT_F32 };
    case_axis(&t, m, false, ta ? 1 : k.n, 0, tc ? 1 : n.n);
    case_axis(&t, n, false, 0, tb ? k.n : 1, tc ? m.n : 1);
    case_axis(&t, k, true, ta ? m.n : 1, tb ? 1 : n.n, 0);
    return t;
}

static void test_products(void **state)
{
    (void)state;
    Random r = { 1 };
    static const int sizes[][3] = {
        { 1, 1, 1 },   { 7, 10, 3 },   { 64, 10, 84 },  { 1, 70, 33 },
        { 50, 1, 40 }, { 13, 33, 17 }, { 61, 130, 40 }, { 6, 64, 1500 }
    };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int form = 0; form < 8; form++) {
            ContractCase t = product(dim_of(sizes[s][0]), dim_of(sizes[s][1]), dim_of(sizes[s][2]),
                                     form & 1, form & 2, form & 4);
            t.post = (CasePost)draw(&r, POST_COUNT);
            check_case(&t, levels[form % 4], 1, &r);
        }
}

/* A matrix too large for the first cache times a vector: sums stay in memory while rows stream by.
 * Rows that meet in few sets of a cache: a panel of columns that are neighbours already. */
static void test_streams_and_copies(void **state)
{
    (void)state;
    Random r = { 9 };
    for (int level = 0; level < 4; level++) {
        ContractCase v = product(dim_of(1), dim_of(603), dim_of(301), false, false, false);
        ContractCase c = product(dim_of(50), dim_of(1024), dim_of(300), false, false, false);
        v.post = level ? POST_BIAS_RELU : POST_LONG;
        c.post = level ? POST_NONE : POST_RESIDUAL;
        check_case(&v, levels[level], 1, &r);
        check_case(&c, levels[level], 1, &r);
    }
}

/* A long reduction under many rows: blocks of it, and panels. */
static void test_blocks(void **state)
{
    (void)state;
    Random r = { 2 };
    for (int form = 0; form < 8; form++) {
        ContractCase t = product(dim_of(90), dim_of(70), dim_of(2500), form & 1, form & 2,
                                 form & 4);
        t.post = form & 1 ? POST_RESIDUAL : POST_LONG;
        check_case(&t, levels[form % 3], 1, &r);
    }
}

static void test_batch(void **state)
{
    (void)state;
    Random r = { 3 };
    Dim b = { 40, 1 }, b3 = { 120, 3 };
    for (int batch = 1; batch <= 40; batch += 13)
        for (int form = 0; form < 8; form++) {
            ContractCase m = product(b, dim_of(20), dim_of(9), form & 1, form & 2, form & 4);
            ContractCase n = product(dim_of(20), b3, dim_of(9), form & 1, form & 2, form & 4);
            ContractCase k = product(dim_of(20), dim_of(30), b3, form & 1, form & 2, form & 4);
            ContractCase both = product(b, b, dim_of(9), form & 1, form & 2, form & 4);
            ContractCase few = product(b, dim_of(70), dim_of(50), form & 1, form & 2, form & 4);
            few.few = n.few = true;
            m.post = (CasePost)draw(&r, POST_COUNT);
            n.post = (CasePost)draw(&r, POST_COUNT);
            check_case(&m, levels[form % 4], batch, &r);
            check_case(&n, levels[(form + 1) % 4], batch, &r);
            check_case(&k, levels[(form + 2) % 4], batch, &r);
            check_case(&both, levels[form % 3], batch, &r);
            check_case(&few, levels[form % 4], batch, &r);
        }
}

/* y[b, oh, ow, oc] = sum x[b, oh*s + kh, ow*s + kw, ic] w[kh, kw, ic, oc], x with its border. */
static ContractCase convolution(Dim b, int64_t size, int64_t ic, int64_t oc, int64_t kernel,
                                int64_t s)
{
    int64_t out = (size - kernel) / s + 1;
    ContractCase t = { .a = DT_F32, .b = DT_F32, .c = DT_F32 };
    case_axis(&t, b, false, size * size * ic, 0, out * out * oc);
    case_axis(&t, dim_of(out), false, s * size * ic, 0, out * oc);
    case_axis(&t, dim_of(out), false, s * ic, 0, oc);
    case_axis(&t, dim_of(oc), false, 0, 1, 1);
    case_axis(&t, dim_of(kernel), true, size * ic, kernel * ic * oc, 0);
    case_axis(&t, dim_of(kernel), true, ic, ic * oc, 0);
    case_axis(&t, dim_of(ic), true, 1, oc, 0);
    return t;
}

/* The same with the batch innermost everywhere: y[oc, oh, ow, b], w[oc, ic, kh, kw]. */
static ContractCase convolution_inner(Dim b, int64_t size, int64_t ic, int64_t oc, int64_t kernel)
{
    int64_t out = size - kernel + 1;
    ContractCase t = { .a = DT_F32, .b = DT_F32, .c = DT_F32 };
    case_axis(&t, dim_of(oc), false, ic * kernel * kernel, 0, out * out * b.n);
    case_axis(&t, dim_of(out), false, 0, size * b.n, out * b.n);
    case_axis(&t, dim_of(out), false, 0, b.n, b.n);
    case_axis(&t, b, false, 0, 1, 1);
    case_axis(&t, dim_of(ic), true, kernel * kernel, size * size * b.n, 0);
    case_axis(&t, dim_of(kernel), true, kernel, size * b.n, 0);
    case_axis(&t, dim_of(kernel), true, 1, b.n, 0);
    return t;
}

/* dw[oc, ic, kh, kw] = sum over oh, ow, b of dy[oc, oh, ow, b] x[ic, oh + kh, ow + kw, b] */
static ContractCase weight_gradient(Dim b, int64_t size, int64_t ic, int64_t oc, int64_t kernel)
{
    int64_t out = size - kernel + 1;
    ContractCase t = { .a = DT_F32, .b = DT_F32, .c = DT_F32 };
    case_axis(&t, dim_of(oc), false, out * out * b.n, 0, ic * kernel * kernel);
    case_axis(&t, dim_of(ic), false, 0, size * size * b.n, kernel * kernel);
    case_axis(&t, dim_of(kernel), false, 0, size * b.n, kernel);
    case_axis(&t, dim_of(kernel), false, 0, b.n, 1);
    case_axis(&t, dim_of(out), true, out * b.n, size * b.n, 0);
    case_axis(&t, dim_of(out), true, b.n, b.n, 0);
    case_axis(&t, b, true, 1, 1, 0);
    return t;
}

static void test_convolutions(void **state)
{
    (void)state;
    Random r = { 4 };
    for (int i = 0; i < 3; i++) {
        ContractCase small = convolution((Dim){ 5, 1 }, 12, 1, 6, 5, 1),
                     wide = convolution(dim_of(2), 9, 8, 40, 3, 2);
        ContractCase inner = convolution_inner((Dim){ 37, 1 }, 8, 3, 7, 3),
                     dw = weight_gradient((Dim){ 37, 1 }, 8, 3, 7, 3);
        ContractCase point = convolution(dim_of(3), 7, 20, 33, 1, 1);
        small.post = wide.post = inner.post = point.post = (CasePost)i;
        check_case(&small, levels[i], 4, &r);
        check_case(&wide, levels[i], 1, &r);
        check_case(&inner, levels[i], 20 + 17 * (i & 1), &r);
        check_case(&dw, levels[i], 20 + 17 * (i & 1), &r);
        check_case(&point, levels[i], 1, &r);
    }
    ContractCase large = convolution_inner((Dim){ 64, 1 }, 20, 12, 3,
                                           2); /* beyond the second cache */
    check_case(&large, "native", 64, &r);
}

/* The border as a guard instead: x[oh + kh - 1] is outside for the first and the last. */
static void test_guards(void **state)
{
    (void)state;
    Random r = { 5 };
    for (int swap = 0; swap < 2; swap++)
        for (int i = 0; i < 4; i++) {
            ContractCase t = { .a = DT_F32,
                               .b = DT_F32,
                               .c = DT_F32,
                               .guarded = true,
                               .guard_lo = 1,
                               .guard_hi = 20 };
            case_axis(&t, dim_of(19), false, swap ? 1 : 5, 0, swap ? 1 : 24);
            case_axis(&t, dim_of(24), false, 0, swap ? 15 : 1, swap ? 19 : 1);
            case_axis(&t, dim_of(3), true, swap ? 1 : 5, swap ? 5 : 120, 0);
            case_axis(&t, dim_of(5), true, swap ? 30 : 1, swap ? 1 : 24, 0);
            t.guard_axes[0] = 0;
            t.guard_axes[1] = 2;
            check_case(&t, levels[i], 1, &r);
        }
}

/* Depthwise: the channel is in all three. Batched products: a further axis in all three. */
static void test_shared_axes(void **state)
{
    (void)state;
    Random r = { 6 };
    for (int i = 0; i < 4; i++) {
        ContractCase depth = { .a = DT_F32, .b = DT_F32, .c = DT_F32, .post = (CasePost)i };
        case_axis(&depth, dim_of(6), false, 8 * 21, 0, 6 * 21);
        case_axis(&depth, dim_of(6), false, 21, 0, 21);
        case_axis(&depth, dim_of(21), false, 1, 1, 1);
        case_axis(&depth, dim_of(3), true, 8 * 21, 63, 0);
        case_axis(&depth, dim_of(3), true, 21, 21, 0);
        check_case(&depth, levels[i], 1, &r);
        ContractCase batched = { .a = DT_F32, .b = DT_F32, .c = DT_F32 };
        case_axis(&batched, dim_of(5), false, 11 * 7, 7 * 18, 11 * 18);
        case_axis(&batched, dim_of(11), false, 7, 0, 18);
        case_axis(&batched, dim_of(18), false, 0, 1, 1);
        case_axis(&batched, dim_of(7), true, 1, 18, 0);
        check_case(&batched, levels[i], 1, &r);
    }
}

static void test_dtypes(void **state)
{
    (void)state;
    Random r = { 7 };
    for (int form = 0; form < 8; form++) {
        ContractCase t = product(dim_of(23), dim_of(37), dim_of(19), form & 1, form & 2, form & 4);
        t.a = t.b = t.c = DT_F64;
        t.post = POST_BIAS_RELU;
        check_case(&t, levels[form % 4], 1, &r);
        t = product(dim_of(23), dim_of(37), dim_of(19), form & 1, form & 2, form & 4);
        t.a = t.b = DT_BF16;
        check_case(&t, levels[form % 4], 1, &r);
        t.a = DT_F32;
        check_case(&t, levels[(form + 1) % 4], 1, &r);
    }
}

/* Random numbers of axes, orders of storage and overlaps. */
static ContractCase random_case(Random *r)
{
    ContractCase t = {
        .a = DT_F32, .b = DT_F32, .c = DT_F32, .post = (CasePost)draw(r, POST_COUNT)
    };
    int64_t elements = 1;
    t.n_axes = 2 + draw(r, 5);
    for (uint32_t i = 0; i < t.n_axes; i++) {
        int64_t n = 1 + draw(r, draw(r, 3) ? 9 : 40);
        if (elements * n > 60000)
            n = 1;
        elements *= n;
        t.axes[i].extent = dim_of(n);
        t.axes[i].reduced = draw(r, 5) < 2;
    }
    t.axes[0].reduced = false;
    for (int o = 0; o < 3; o++) { /* dense storage in a random order of the axes it has */
        uint32_t order[KERNEL_MAX_AXES], n = 0;
        for (uint32_t i = 0; i < t.n_axes; i++)
            if (o == 2 ? !t.axes[i].reduced
                       : t.axes[i].reduced || draw(r, 10) < (o == 0  ? i % 2 ? 9 : 1
                                                             : i % 2 ? 1
                                                                     : 9))
                order[n++] = i;
        int64_t stride = 1;
        for (uint32_t i = n; i > 0; i--) {
            uint32_t j = draw(r, i), axis = order[j];
            order[j] = order[i - 1];
            *(o == 0 ? &t.axes[axis].a : o == 1 ? &t.axes[axis].b : &t.axes[axis].c) = stride;
            if (o == 2 || draw(r, 6)) /* else the next axis overlaps this one, as a window does */
                stride *= t.axes[axis].extent.n;
        }
    }
    return t;
}

static void test_random(void **state)
{
    (void)state;
    Random r = { 8 };
    for (int i = 0; i < 120; i++) {
        ContractCase t = random_case(&r);
        check_case(&t, levels[i % 4], 1, &r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),     cmocka_unit_test(test_streams_and_copies),
        cmocka_unit_test(test_blocks),       cmocka_unit_test(test_batch),
        cmocka_unit_test(test_convolutions), cmocka_unit_test(test_guards),
        cmocka_unit_test(test_shared_axes),  cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
