/* Tables in memory, finding data sets, split, statistics, selection, concatenation. */
#include "tests/host/host_test.h"

#include "runtime/host/loader.h"

#include <math.h>
#include <sys/stat.h>

static void make_table(int64_t n, HostData *d)
{
    HostError e;
    double *x = calloc((size_t)n * 3, sizeof *x), *y = calloc((size_t)n, sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        x[3 * i] = (double)i;
        x[3 * i + 1] = 5.25;
        x[3 * i + 2] = 1e6 + (double)(i % 2);
        y[i] = (double)(i % 4);
    }
    HostArray arrays[] = { { "x", 2, { n, 3 }, x, NULL }, { "y", 1, { n }, y, NULL } };
    if (!host_table_from_arrays(arrays, 2, d, &e))
        fail_msg("%s", e.text);
    free(x);
    free(y);
}

static void tables_in_memory(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    make_table(4, &d);
    assert_int_equal(d.tables[0].fields[0].dtype, DLRT_F64);
    assert_int_equal(d.tables[0].fields[1].dtype, DLRT_I64);
    assert_int_equal(((int64_t *)d.tables[0].fields[1].data)[3], 3);
    host_data_free(&d);
    const double v[] = { 1, NAN, 0x1p60 };
    HostArray bad[] = { { "x", 1, { 2 }, v, NULL }, { "y", 1, { 1 }, v, NULL } };
    assert_false(host_table_from_arrays(bad, 1, &d, &e));
    expect_error(&e, "E0606", "`x` holds nan");
    bad[0].dims[0] = 1;
    bad[1].dims[0] = 0;
    assert_false(host_table_from_arrays(bad, 2, &d, &e));
    expect_error(&e, "E0612", "`y` has 0 rows");
    bad[0].dims[0] = 0;
    assert_false(host_table_from_arrays(bad, 1, &d, &e));
    expect_error(&e, "E0608", "no rows");
    assert_false(host_table_from_arrays(bad, 0, &d, &e));
    HostArray huge = { "x", 3, { 1, INT64_MAX / 2, 3 }, v, NULL };
    assert_false(host_table_from_arrays(&huge, 1, &d, &e));
    expect_error(&e, "E0609", "too large");
    /* beyond 2^53 no integer is sure to be meant */
    HostArray large = { "x", 1, { 1 }, v + 2, NULL };
    assert_true(host_table_from_arrays(&large, 1, &d, &e));
    assert_int_equal(d.tables[0].fields[0].dtype, DLRT_F64);
    host_data_free(&d);
}

static void rows_only(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    assert_true(host_rows(5, &d, &e));
    assert_string_equal(d.tables[0].fields[0].name, "i");
    assert_int_equal(((int64_t *)d.tables[0].fields[0].data)[4], 4);
    host_data_free(&d);
    assert_false(host_rows(0, &d, &e));
    expect_error(&e, "E0608", "rows(0)");
    assert_false(host_rows(INT64_MAX, &d, &e));
    expect_error(&e, "E0609", "too large");
    assert_false(host_rows(INT64_MAX / 64, &d, &e));
    expect_error(&e, "E0609", "no memory");
}

static void splits(void **state)
{
    (void)state;
    static const struct {
        int count;
        double f[3];
        int64_t sizes[3];
    } cases[] = {
        { 1, { 0.8 }, { 80, 20, 0 } },
        { 2, { 0.8, 0.2 }, { 80, 20, 0 } },
        { 2, { 0.6, 0.2 }, { 60, 20, 20 } },
        { 3, { 0.6, 0.2, 0.2 }, { 60, 20, 20 } },
        { 3, { 1. / 3, 1. / 3, 1. / 3 }, { 33, 34, 33 } },
        { 3, { 0.5, 0.1, 0.1 }, { 50, 10, 10 } },
    };
    static const char *const two[] = { "train", "test" };
    static const char *const three[] = { "train", "val", "test" };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int seeded = 0; seeded < 2; seeded++) {
            HostData d;
            HostError e;
            make_table(100, &d);
            HostSplit s = { .count = cases[i].count, .seeded = seeded, .seed = 11 };
            memcpy(s.fractions, cases[i].f, sizeof s.fractions);
            assert_true(host_split(&d, &s, &e));
            int parts = cases[i].sizes[2] ? 3 : 2, seen[100] = { 0 }, moved = 0;
            int64_t at = 0;
            assert_int_equal(d.part_count, parts);
            assert_null(host_data_part(&d, "all"));
            for (int p = 0; p < parts; p++) {
                const HostView *v = host_data_part(&d, parts == 3 ? three[p] : two[p]);
                assert_int_equal(v->count, cases[i].sizes[p]);
                for (int64_t k = 0; k < v->count; k++, at++) {
                    moved += host_view_row(v, k) != at;
                    assert_int_equal(seen[host_view_row(v, k)]++, 0);
                }
            }
            assert_true(seeded ? moved > 50 : moved == 0);
            host_data_free(&d);
        }
}

static void refuses_bad_splits(void **state)
{
    (void)state;
    static const struct {
        HostSplit s;
        const char *part;
    } cases[] = {
        { { .count = 0 }, "one to three" },
        { { .count = 4 }, "one to three" },
        { { .count = 1, .fractions = { 1 } }, "nothing to test on" },
        { { .count = 1, .fractions = { 0 } }, "number 1 is 0" },
        { { .count = 2, .fractions = { 0.5, -0.5 } }, "number 2 is -0.5" },
        { { .count = 2, .fractions = { 0.9, 0.2 } }, "number 2 is 0.2" },
        { { .count = 1, .fractions = { NAN } }, "number 1" },
        { { .count = 1, .fractions = { 0.99 } }, "none for test" },
        { { .count = 3, .fractions = { 0.9, 0.01, 0.09 } }, "none for val" },
    };
    HostData d;
    HostError e;
    make_table(10, &d);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(host_split(&d, &cases[i].s, &e));
        expect_error(&e, "E0611", cases[i].part);
        assert_int_equal(d.part_count, 1);
    }
    host_data_free(&d);
}

static void fits_statistics(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    HostStats s;
    make_table(10, &d);
    HostSplit split = { .count = 1, .fractions = { 0.8 } };
    assert_true(host_split(&d, &split, &e));
    assert_true(host_stats_fit(host_data_part(&d, "train"), "x", &s, &e));
    assert_int_equal(s.elements, 3);
    assert_true(s.mean[0] == 3.5); /* of 0..7, not of all ten */
    assert_true(fabs(s.scale[0] - 1 / sqrt(5.25)) < 1e-15);
    assert_true(s.mean[1] == 5.25 && s.scale[1] == 1);
    assert_true(s.mean[2] == 1e6 + 0.5 && s.scale[2] == 2);
    host_stats_free(&s);
    /* 0.1 ten times has a mean that is not 0.1 to the last bit, and still no spread. */
    double tenth[10];
    for (int i = 0; i < 10; i++)
        tenth[i] = 0.1;
    HostArray a = { "x", 1, { 10 }, tenth, NULL };
    host_data_free(&d);
    assert_true(host_table_from_arrays(&a, 1, &d, &e));
    assert_true(host_stats_fit(host_data_part(&d, "all"), "x", &s, &e));
    assert_true(s.scale[0] == 1);
    host_stats_free(&s);
    assert_false(host_stats_fit(host_data_part(&d, "all"), "z", &s, &e));
    expect_error(&e, "E0612", "`z`");
    ((double *)d.tables[0].fields[0].data)[4] = NAN;
    assert_false(host_stats_fit(host_data_part(&d, "all"), "x", &s, &e));
    expect_error(&e, "E0606", "element 0 of `x`");
    host_data_free(&d);
    assert_true(host_csv_parse("t", "1,a\n2,b\n", 8, NULL, &d, &e));
    assert_false(host_stats_fit(host_data_part(&d, "all"), "c1", &s, &e));
    expect_error(&e, "E0612", "a class");
    host_data_free(&d);
}

static void copies_and_joins(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    HostTable t;
    make_table(10, &d);
    HostSplit s = { .count = 1, .fractions = { 0.5 }, .seeded = true, .seed = 5 };
    static const char *const names[] = { "y", "x" }, *const wrong[] = { "w" };
    assert_true(host_split(&d, &s, &e));
    const HostView *v = host_data_part(&d, "test");
    assert_true(host_view_copy(v, names, 2, &t, &e));
    assert_int_equal(t.count, 5);
    assert_string_equal(t.fields[0].name, "y");
    for (int64_t i = 0; i < 5; i++) {
        assert_int_equal(((int64_t *)t.fields[0].data)[i], host_view_row(v, i) % 4);
        assert_true(((double *)t.fields[1].data)[3 * i] == (double)host_view_row(v, i));
    }
    host_table_free(&t);
    assert_false(host_view_copy(v, wrong, 1, &t, &e));
    expect_error(&e, "E0612", "`w`");

    int64_t dim = 2;
    assert_true(host_table_add_field(&d.tables[0], "u", DLRT_F64, 1, &dim, NULL, &e));
    ((double *)d.tables[0].fields[2].data)[2 * 9 + 1] = 77;
    static const char *const parts[] = { "u", "x" }, *const mixed[] = { "x", "y" };
    assert_true(host_data_concat(&d, "ux", parts, 2, &e));
    const HostField *ux = &d.tables[0].fields[3];
    assert_int_equal(ux->dims[0], 5);
    assert_true(((double *)ux->data)[5 * 9 + 1] == 77 && ((double *)ux->data)[5 * 9 + 2] == 9);
    assert_false(host_data_concat(&d, "xy", mixed, 2, &e));
    expect_error(&e, "E0612", "i64[N, 1] and cannot stand beside f64[N, 3]");
    assert_false(host_data_concat(&d, "x", parts, 2, &e));
    expect_error(&e, "E0612", "two definitions");
    host_data_free(&d);
}

static bool twice_and_row(void *user, int64_t count, const int64_t *rows, void *const *inputs,
                          void *const *outputs, HostError *out_error)
{
    const float *x = inputs[0];
    assert_true(count <= 4);
    for (int64_t i = 0; i < count; i++) {
        for (int k = 0; k < 3; k++)
            ((float *)outputs[0])[3 * i + k] = 2 * x[3 * i + k];
        ((int32_t *)outputs[1])[i] = (int32_t)rows[i] + ((int32_t *)inputs[1])[i];
    }
    return !*(bool *)user || host_fail(out_error, "E0610", "as asked");
}

static void maps(void **state)
{
    (void)state;
    static const HostBinding in[] = { { .field = "x", .dtype = DLRT_F32, .rank = 1, .dims = { 3 } },
                                      { .field = "y", .dtype = DLRT_I32 } };
    HostField out[] = { { .name = "x", .dtype = DLRT_F32, .rank = 1, .dims = { 3 } },
                        { .name = "n", .dtype = DLRT_I32 } };
    HostData d;
    HostError e;
    bool fails = false;
    make_table(10, &d);
    HostSplit s = { .count = 1, .fractions = { 0.5 } };
    assert_true(host_split(&d, &s, &e));
    assert_true(host_data_map(&d, in, 2, out, 2, 4, twice_and_row, &fails, &e));
    const HostTable *t = host_data_part(&d, "test")->table;
    assert_int_equal(t->field_count, 3);
    assert_string_equal(t->fields[0].name, "x");
    assert_string_equal(t->fields[1].name, "y");
    assert_string_equal(t->fields[2].name, "n");
    for (int i = 0; i < 10; i++) {
        assert_true(((float *)t->fields[0].data)[3 * i] == 2.0f * (float)i);
        assert_true(((float *)t->fields[0].data)[3 * i + 1] == 10.5f);
        assert_int_equal(((int32_t *)t->fields[2].data)[i], i + i % 4);
    }
    fails = true;
    assert_false(host_data_map(&d, in, 2, out, 2, 4, twice_and_row, &fails, &e));
    expect_error(&e, "E0610", "as asked");
    host_data_free(&d);
    make_table(10, &d);
    fails = false;
    out[1].name = "x";
    assert_false(host_data_map(&d, in, 2, out, 2, 4, twice_and_row, &fails, &e));
    expect_error(&e, "E0612", "two definitions of field `x`");
    host_data_free(&d);
    make_table(10, &d);
    HostBinding wrong = { .field = "x", .dtype = DLRT_I32, .rank = 1, .dims = { 3 } };
    assert_false(host_data_map(&d, &wrong, 1, out, 1, 4, twice_and_row, &fails, &e));
    expect_error(&e, "E0604", "i32[B, 3]");
    host_data_free(&d);
}

static void text_in_memory(void **state)
{
    (void)state;
    static const char *const words[] = { "no", "yes", "maybe", "yes" };
    HostArray a = { .name = "y", .rank = 1, .dims = { 4 }, .strings = words };
    HostData d;
    HostError e;
    assert_true(host_table_from_arrays(&a, 1, &d, &e));
    const HostField *y = &d.tables[0].fields[0];
    static const int32_t want[] = { 1, 2, 0, 2 };
    assert_int_equal(y->class_count, 3);
    assert_string_equal(y->class_names[0], "maybe");
    assert_memory_equal(y->data, want, sizeof want);
    assert_true(host_data_set_classes(&d, "y", words, 3, &e));
    assert_string_equal(y->class_names[2], "maybe");
    assert_false(host_data_set_classes(&d, "y", words, 2, &e));
    expect_error(&e, "E0610", "label 2 of row 1 in `y`, but there are 2 classes");
    assert_false(host_data_set_classes(&d, "z", words, 2, &e));
    expect_error(&e, "E0612", "no field `z`");
    host_data_free(&d);
    a.rank = 2;
    a.dims[0] = a.dims[1] = 2;
    assert_false(host_table_from_arrays(&a, 1, &d, &e));
    expect_error(&e, "E0612", "text in `y`");
}

static void grows_no_table_too_far(void **state)
{
    (void)state;
    HostTable t;
    HostError e;
    assert_true(host_table_new("t", 1000, &t, &e));
    int64_t dims[9] = { INT64_MAX / 8, 1, 1, 1, 1, 1, 1, 1, 1 };
    assert_false(host_table_add_field(&t, "x", DLRT_F32, 1, dims, NULL, &e));
    expect_error(&e, "E0609", "too large");
    assert_false(host_table_add_field(&t, "x", DLRT_F32, 9, dims, NULL, &e));
    expect_error(&e, "E0612", "9 axes");
    dims[0] = -1;
    assert_false(host_table_add_field(&t, "x", DLRT_F32, 1, dims, NULL, &e));
    dims[0] = 0;
    assert_true(host_table_add_field(&t, "x", DLRT_F32, 1, dims, NULL, &e));
    assert_int_equal(host_field_item_bytes(&t.fields[0]), 0);
    host_table_free(&t);
    assert_false(host_table_new("t", -1, &t, &e));
}

static void finds(void **state)
{
    (void)state;
    char path[600], sub[600];
    HostError e;
    unsetenv("DLCC_DATA");
    write_file("near.csv", "1\n", 2);
    assert_true(host_find("near", folder, path, sizeof path, &e));
    assert_string_equal(path, in_folder("near.csv"));
    assert_true(host_find("near.csv", folder, path, sizeof path, &e));
    assert_false(host_find("near", "/nonexistent", path, sizeof path, &e));
    expect_error(&e, "E0601", "/nonexistent");
    snprintf(sub, sizeof sub, "/nonexistent::%s", folder);
    setenv("DLCC_DATA", sub, 1);
    assert_true(host_find("near", "/nonexistent", path, sizeof path, &e));
    assert_string_equal(path, in_folder("near.csv"));
    unsetenv("DLCC_DATA");
    assert_true(host_find(in_folder("near"), NULL, path, sizeof path, &e));
    assert_false(host_find("/nonexistent/a", NULL, path, sizeof path, &e));
    expect_error(&e, "E0601", "/nonexistent/a");
    assert_false(host_find("", NULL, path, sizeof path, &e));
    expect_error(&e, "E0601", "empty");
    assert_false(host_find("near", folder, path, 4, &e)); /* a path that does not fit is not cut */
    if (!host_find("fashion-mnist", folder, path, sizeof path, &e))
        expect_error(&e, "E0601", "Debian package dataset-fashion-mnist");
}

static void says_which_package(void **state)
{
    (void)state;
    char path[600];
    HostError e;
    HostError last = { 0 };
    static const char *const names[] = { "iris", "wine", "digits", "fashion-mnist", "words",
                                         "kjv", "gpl-3" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct stat st;
        if (host_find(names[i], NULL, path, sizeof path, &e))
            assert_int_equal(stat(path, &st), 0);
        else
            expect_error(&e, "E0601", "apt install");
    }
    assert_false(host_find("no such thing", NULL, path, sizeof path, &last));
    assert_null(strstr(last.text, "apt install"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_in_memory),
        cmocka_unit_test(rows_only),
        cmocka_unit_test(splits),
        cmocka_unit_test(refuses_bad_splits),
        cmocka_unit_test(fits_statistics),
        cmocka_unit_test(copies_and_joins),
        cmocka_unit_test(maps),
        cmocka_unit_test(text_in_memory),
        cmocka_unit_test(grows_no_table_too_far),
        cmocka_unit_test_setup_teardown(finds, make_folder, drop_folder),
        cmocka_unit_test(says_which_package),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
