/* Batches: their order, conversion, resumption, and what is refused. */
#include "tests/host/host_test.h"

#include "runtime/host/loader.h"

#include <math.h>

/* x: f64[2] = (i, -i), y: i64 = i % 3, for n rows */
static void make_data(int64_t n, HostData *d)
{
    HostError e;
    double *x = calloc((size_t)n * 2, sizeof *x), *y = calloc((size_t)n, sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        x[2 * i] = (double)i + 0.5;
        x[2 * i + 1] = -(double)i;
        y[i] = (double)(i % 3);
    }
    HostArray arrays[] = { { "x", 2, { n, 2 }, x, NULL }, { "y", 1, { n }, y, NULL } };
    assert_true(host_table_from_arrays(arrays, 2, d, &e));
    free(x);
    free(y);
}

static const HostBinding bindings[] = {
    { .field = "x", .dtype = DLRT_F32, .rank = 1, .dims = { 2 } },
    { .field = "y", .dtype = DLRT_U8, .limit = 3 },
};

static HostLoader *open_loader(const HostView *v, int64_t batch, bool shuffle, bool drop_last)
{
    HostLoader *l;
    HostError e = { 0 };
    HostLoaderOptions o = { .view = *v, .bindings = bindings, .binding_count = 2, .batch = batch,
                            .shuffle = shuffle, .seed = 7, .drop_last = drop_last };
    if (!host_loader_new(&o, &l, &e))
        fail_msg("%s", e.text);
    return l;
}

static void check_batch(const HostBatch *b)
{
    for (int64_t i = 0; i < b->count; i++) {
        const float *x = b->inputs[0];
        assert_true(x[2 * i] == (float)b->rows[i] + 0.5f);
        assert_true(x[2 * i + 1] == -(float)b->rows[i]);
        assert_int_equal(((uint8_t *)b->inputs[1])[i], b->rows[i] % 3);
    }
}

static void keeps_order_and_rest(void **state)
{
    (void)state;
    HostData d;
    HostBatch b;
    HostError e;
    make_data(10, &d);
    HostLoader *l = open_loader(host_data_part(&d, "all"), 4, false, false);
    assert_int_equal(host_loader_batches(l), 3);
    for (int epoch = 0; epoch < 2; epoch++) {
        static const int64_t counts[] = { 4, 4, 2 };
        for (int k = 0; k < 3; k++) {
            assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_BATCH);
            assert_int_equal(b.epoch, epoch);
            assert_int_equal(b.index, 4 * k);
            assert_int_equal(b.count, counts[k]);
            assert_int_equal(b.rows[0], 4 * k);
            assert_int_equal((uintptr_t)b.inputs[0] % 64, 0);
            check_batch(&b);
        }
        assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_END);
    }
    host_loader_free(l);
    host_data_free(&d);
}

static void drops_rest(void **state)
{
    (void)state;
    HostData d;
    HostBatch b;
    HostError e;
    make_data(10, &d);
    HostLoader *l = open_loader(host_data_part(&d, "all"), 4, true, true);
    assert_int_equal(host_loader_batches(l), 2);
    assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_BATCH);
    assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_BATCH);
    assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_END);
    host_loader_free(l);
    /* Fewer rows than a batch are one batch. */
    l = open_loader(host_data_part(&d, "all"), 64, true, true);
    assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_BATCH);
    assert_int_equal(b.count, 10);
    assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_END);
    host_loader_free(l);
    host_data_free(&d);
}

/* Each epoch visits each row once, in an order of its own; a second loader, read at another pace
 * and over another batch size, sees the same. */
static void shuffles_by_seed_and_epoch(void **state)
{
    (void)state;
    enum { N = 97 };
    HostData d;
    HostBatch b;
    HostError e;
    make_data(N, &d);
    int64_t order[3][N];
    HostLoader *l = open_loader(host_data_part(&d, "all"), 8, true, false);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[N] = { 0 };
        while (host_loader_next(l, &b, &e) == HOST_LOADER_BATCH) {
            check_batch(&b);
            for (int64_t i = 0; i < b.count; i++) {
                order[epoch][b.index + i] = b.rows[i];
                assert_int_equal(seen[b.rows[i]]++, 0);
            }
        }
        for (int i = 0; i < N; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    assert_memory_not_equal(order[1], order[2], sizeof order[0]);
    host_loader_free(l);
    l = open_loader(host_data_part(&d, "all"), 5, true, false);
    for (int epoch = 0; epoch < 3; epoch++)
        for (int k = 0; host_loader_next(l, &b, &e) == HOST_LOADER_BATCH; k++) {
            if (k % 3 == 0)
                usleep(500);
            for (int64_t i = 0; i < b.count; i++)
                assert_int_equal(b.rows[i], order[epoch][b.index + i]);
        }
    host_loader_free(l);
    host_data_free(&d);
}

static void resumes_anywhere(void **state)
{
    (void)state;
    HostData d;
    HostBatch b;
    HostError e;
    make_data(50, &d);
    HostLoader *whole = open_loader(host_data_part(&d, "all"), 8, true, true);
    HostLoader *part = open_loader(host_data_part(&d, "all"), 8, true, true);
    for (int64_t epoch = 0; epoch < 4; epoch++)
        for (int64_t index = 0; index <= 48; index += 8) {
            int64_t rows[8] = { 0 };
            HostLoaderStatus s = host_loader_next(whole, &b, &e);
            assert_int_equal(s, index < 48 ? HOST_LOADER_BATCH : HOST_LOADER_END);
            if (index < 48)
                memcpy(rows, b.rows, sizeof rows);
            assert_true(host_loader_seek(part, epoch, index, &e));
            assert_int_equal(host_loader_next(part, &b, &e), s);
            if (index == 48) { /* at the end of an epoch the next begins */
                assert_int_equal(host_loader_next(part, &b, &e), HOST_LOADER_BATCH);
                assert_int_equal(b.epoch, epoch + 1);
                assert_int_equal(b.index, 0);
                continue;
            }
            assert_int_equal(b.epoch, epoch);
            assert_int_equal(b.index, index);
            assert_memory_equal(b.rows, rows, sizeof rows);
            check_batch(&b);
        }
    assert_false(host_loader_seek(part, 0, 5, &e));
    expect_error(&e, "E0612", "item 5");
    assert_false(host_loader_seek(part, 0, 56, &e));
    assert_false(host_loader_seek(part, -1, 0, &e));
    host_loader_free(whole);
    host_loader_free(part);
    host_data_free(&d);
}

/* Cancelling at every moment: only the last place asked for may show. */
static void survives_hasty_seeks(void **state)
{
    (void)state;
    HostData d;
    HostBatch b;
    HostError e;
    make_data(5000, &d);
    HostLoader *l = open_loader(host_data_part(&d, "all"), 1000, true, true);
    for (int i = 0; i < 300; i++) {
        assert_true(host_loader_seek(l, i, 1000 * (i % 5), &e));
        if (i % 7 == 0)
            usleep(50);
        if (i % 3)
            continue;
        assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_BATCH);
        assert_int_equal(b.epoch, i);
        assert_int_equal(b.index, 1000 * (i % 5));
        check_batch(&b);
    }
    host_loader_free(l);
    host_data_free(&d);
}

static void follows_views(void **state)
{
    (void)state;
    HostData d;
    HostBatch b;
    HostError e;
    make_data(100, &d);
    HostSplit s = { .count = 1, .fractions = { 0.8 }, .seeded = true, .seed = 3 };
    assert_true(host_split(&d, &s, &e));
    int seen[100] = { 0 };
    static const char *const parts[] = { "train", "test" };
    for (int p = 0; p < 2; p++) {
        const HostView *v = host_data_part(&d, parts[p]);
        HostLoader *l = open_loader(v, 16, p == 0, false);
        for (int64_t at = 0; host_loader_next(l, &b, &e) == HOST_LOADER_BATCH; at += b.count) {
            check_batch(&b);
            for (int64_t i = 0; i < b.count; i++) {
                seen[b.rows[i]]++;
                if (p == 1)
                    assert_int_equal(b.rows[i], host_view_row(v, at + i));
            }
        }
        host_loader_free(l);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    host_data_free(&d);
}

static bool add_fields(void *user, int64_t epoch, int64_t count, const int64_t *rows,
                       void *const *inputs, void *const *outputs, HostError *out_error)
{
    const float *x = inputs[0];
    if (*(int *)user && epoch == 1)
        return host_fail(out_error, "E0610", "row %d", (int)rows[0]);
    for (int64_t i = 0; i < count; i++)
        ((double *)outputs[0])[i] = (double)x[2 * i] + 10 * ((uint8_t *)inputs[1])[i];
    return true;
}

static void maps(void **state)
{
    (void)state;
    HostData d;
    HostBatch b;
    HostError e;
    int fails = 1;
    const size_t bytes = sizeof(double);
    make_data(9, &d);
    HostLoaderOptions o = { .view = *host_data_part(&d, "all"), .bindings = bindings,
                            .binding_count = 2, .batch = 9,
                            .map = { add_fields, &fails, 1, &bytes } };
    HostLoader *l;
    assert_true(host_loader_new(&o, &l, &e));
    assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_BATCH);
    for (int i = 0; i < 9; i++)
        assert_true(((double *)b.inputs[0])[i] == i + 0.5 + 10 * (i % 3));
    assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_END);
    for (int i = 0; i < 2; i++) { /* a failure stays until something is done about it */
        assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_FAILED);
        expect_error(&e, "E0610", "row 0");
    }
    assert_true(host_loader_seek(l, 2, 0, &e));
    assert_int_equal(host_loader_next(l, &b, &e), HOST_LOADER_BATCH);
    host_loader_free(l);
    host_data_free(&d);
}

static void refuse(const HostView *v, HostBinding b, const char *code, const char *part)
{
    HostLoader *l;
    HostError e;
    HostLoaderOptions o = { .view = *v, .bindings = &b, .binding_count = 1, .batch = 2 };
    assert_false(host_loader_new(&o, &l, &e));
    expect_error(&e, code, part);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    HostData d;
    make_data(9, &d);
    const HostView *v = host_data_part(&d, "all");
    refuse(v, (HostBinding){ .field = "z", .dtype = DLRT_F32 }, "E0612", "`z`");
    refuse(v, (HostBinding){ .field = "x", .dtype = DLRT_F32, .rank = 1, .dims = { 3 } }, "E0604",
           "f64[N, 2], but the model wants f32[B, 3]");
    refuse(v, (HostBinding){ .field = "x", .dtype = DLRT_I32, .rank = 1, .dims = { 2 } }, "E0604",
           "i32[B, 2]");
    refuse(v, (HostBinding){ .field = "y", .dtype = DLRT_I32, .limit = 2 }, "E0610", "row 2");
    refuse(v, (HostBinding){ .field = "y", .dtype = DLRT_BOOL }, "E0610", "row 2");
    HostView none = *v;
    none.count = 0;
    refuse(&none, bindings[1], "E0608", "no rows");
    host_data_free(&d);
}

static void converts_checked(void **state)
{
    (void)state;
    HostError e;
    static const int64_t wide[] = { 0, 1, -1, 127, 128, 255, 256, 1 << 30, INT64_MAX };
    int8_t i8[9];
    uint8_t u8[9];
    float f32[9];
    uint16_t f16[9];
    assert_true(host_convert("a", DLRT_I64, wide, DLRT_I8, i8, 4, 0, &e));
    assert_int_equal(i8[2], -1);
    assert_false(host_convert("a", DLRT_I64, wide, DLRT_I8, i8, 5, 0, &e));
    expect_error(&e, "E0610", "128");
    assert_false(host_convert("a", DLRT_I64, wide, DLRT_U8, u8, 3, 0, &e));
    expect_error(&e, "E0610", "-1");
    assert_true(host_convert("a", DLRT_I64, wide + 3, DLRT_U8, u8, 3, 0, &e));
    assert_int_equal(u8[2], 255);
    assert_true(host_convert("a", DLRT_I64, wide, DLRT_F32, f32, 9, 0, &e));
    assert_true(f32[8] == 0x1p63f);
    assert_false(host_convert("a", DLRT_I64, wide, DLRT_F16, f16, 8, 0, &e));
    expect_error(&e, "E0610", "f16");
    static const double reals[] = { 1.5, INFINITY, NAN, 1e300 };
    assert_true(host_convert("a", DLRT_F64, reals, DLRT_F32, f32, 3, 0, &e));
    assert_true(f32[0] == 1.5f && isinf(f32[1]) && isnan(f32[2]));
    assert_false(host_convert("a", DLRT_F64, reals, DLRT_F32, f32, 4, 0, &e));
    expect_error(&e, "E0610", "1e+300");
    assert_false(host_convert("a", DLRT_F64, reals, DLRT_I64, f32, 1, 0, &e));
    expect_error(&e, "E0604", "i64");
    static const uint64_t large = UINT64_MAX;
    int64_t back;
    assert_false(host_convert("a", DLRT_U64, &large, DLRT_I64, &back, 1, 0, &e));
    assert_false(host_convert("a", DLRT_U64, &large, DLRT_U64, &back, 1, 10, &e));
    expect_error(&e, "E0610", "0..10");
}

/* Every one of the 2^16 halves comes back; between neighbours the even one wins at the middle. */
static void rounds_halves(void **state)
{
    (void)state;
    HostError e;
    for (int kind = 0; kind < 2; kind++) {
        DlrtDtype t = kind ? DLRT_BF16 : DLRT_F16;
        for (uint32_t bits = 0; bits < 65536; bits++) {
            uint16_t h = (uint16_t)bits, back;
            double v;
            assert_true(host_convert("a", t, &h, DLRT_F64, &v, 1, 0, &e));
            assert_true(host_convert("a", DLRT_F64, &v, t, &back, 1, 0, &e));
            if (isnan(v)) {
                assert_int_equal(back & 0x7fff, kind ? 0x7fc0 : 0x7e00);
                continue;
            }
            assert_int_equal(back, h);
            uint16_t next = (uint16_t)(h + 1);
            double w;
            host_convert("a", t, &next, DLRT_F64, &w, 1, 0, &e);
            if (!isfinite(v) || !isfinite(w) || (h & 0x7fff) == 0x7fff)
                continue;
            double middle = v / 2 + w / 2;
            host_convert("a", DLRT_F64, &middle, t, &back, 1, 0, &e);
            assert_int_equal(back, h & 1 ? next : h);
            double above = nextafter(middle, w), below = nextafter(middle, v);
            host_convert("a", DLRT_F64, &above, t, &back, 1, 0, &e);
            assert_int_equal(back, next);
            host_convert("a", DLRT_F64, &below, t, &back, 1, 0, &e);
            assert_int_equal(back, h);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_rest),
        cmocka_unit_test(drops_rest),
        cmocka_unit_test(shuffles_by_seed_and_epoch),
        cmocka_unit_test(resumes_anywhere),
        cmocka_unit_test(survives_hasty_seeks),
        cmocka_unit_test(follows_views),
        cmocka_unit_test(maps),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(converts_checked),
        cmocka_unit_test(rounds_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
