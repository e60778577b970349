/* IDX files, plain and gzipped, whole and damaged; the data set of the Debian package when it is
 * there. */
#include "tests/host/host_test.h"

/* u8[2, 2, 3]: 12 values after 16 bytes */
static const uint8_t images[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3,
                                  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255 };
static const uint8_t labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 7, 3 };

static void reads_two_files(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    char x[600];
    strcpy(x, write_file("x", images, sizeof images));
    HostIdxOptions o = { .labels = write_gzip("y.gz", labels, sizeof labels) };
    assert_true(host_idx_read(x, &o, &d, &e));
    const HostView *v = host_data_part(&d, "all");
    assert_non_null(v);
    assert_int_equal(v->count, 2);
    const HostField *f = v->table->fields;
    assert_string_equal(f[0].name, "x");
    assert_int_equal(f[0].dtype, DLRT_U8);
    assert_int_equal(f[0].rank, 2);
    assert_int_equal(f[0].dims[0], 2);
    assert_int_equal(f[0].dims[1], 3);
    assert_memory_equal(f[0].data, images + 16, 12);
    assert_string_equal(f[1].name, "y");
    assert_int_equal(f[1].rank, 0);
    assert_memory_equal(f[1].data, labels + 8, 2);
    assert_null(host_data_part(&d, "train"));
    host_data_free(&d);
}

/* Every byte cut off is noticed, whatever the cut hits. */
static void refuses_every_prefix(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    for (size_t n = 0; n < sizeof images; n++) {
        assert_false(host_idx_read(write_file("cut", images, n), NULL, &d, &e));
        expect_error(&e, "E0603", "");
    }
    uint8_t longer[sizeof images + 1] = { 0 };
    memcpy(longer, images, sizeof images);
    assert_false(host_idx_read(write_file("long", longer, sizeof longer), NULL, &d, &e));
    expect_error(&e, "E0603", "too long");
}

static void refuses_damaged_gzip(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    FILE *f = fopen(write_gzip("whole.gz", images, sizeof images), "rb");
    uint8_t packed[200];
    size_t n = fread(packed, 1, sizeof packed, f);
    fclose(f);
    assert_true(host_idx_read(in_folder("whole.gz"), NULL, &d, &e));
    host_data_free(&d);
    for (size_t cut = 2; cut < n; cut++) {
        assert_false(host_idx_read(write_file("cut.gz", packed, cut), NULL, &d, &e));
        expect_error(&e, "E0603", "");
    }
    /* Behind the ten bytes of the gzip header every bit is covered by the checksum or the format.
     */
    for (size_t at = 10; at < n; at++) {
        packed[at] ^= 0x10;
        assert_false(host_idx_read(write_file("bad.gz", packed, n), NULL, &d, &e));
        expect_error(&e, "E0603", "");
        packed[at] ^= 0x10;
    }
    packed[n] = 'x';
    assert_false(host_idx_read(write_file("tail.gz", packed, n + 1), NULL, &d, &e));
    expect_error(&e, "E0603", "");
}

static void refuses_hostile_headers(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        uint8_t bytes[20];
    } cases[] = {
        { "E0603", { 0, 1, 8, 1, 0, 0, 0, 1, 5 } },          /* magic */
        { "E0603", { 0, 0, 7, 1, 0, 0, 0, 1, 5 } },          /* no such dtype */
        { "E0603", { 0, 0, 8, 0, 5 } },                      /* no dimensions */
        { "E0603", { 0, 0, 8, 255, 5 } },                    /* 255 dimensions */
        { "E0603", { 0, 0, 8, 1, 255, 255, 255, 255, 5 } },  /* 4 GiB in one byte */
        { "E0609", { 0, 0, 14, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                     255, 255, 255, 255 } },                 /* 2^131 bytes */
        { "E0609", { 0, 0, 8, 4, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                     255 } },                                /* 0 rows of 2^96 bytes */
        { "E0608", { 0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 3 } }, /* no rows; the rest is cut below */
    };
    HostData d;
    HostError e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = !strcmp(cases[i].code, "E0608") ? 12 : sizeof cases[i].bytes;
        assert_false(host_idx_read(write_file("bad", cases[i].bytes, n), NULL, &d, &e));
        expect_error(&e, cases[i].code, "");
    }
}

static void converts_byte_order(void **state)
{
    (void)state;
    static const uint8_t i16[] = { 0, 0, 0x0b, 1, 0, 0, 0, 2, 1, 2, 0xff, 0xfe };
    static const uint8_t f64[] = { 0, 0, 0x0e, 2, 0, 0, 0, 1, 0, 0, 0, 1,
                                   0xc0, 0x04, 0, 0, 0, 0, 0, 0 };
    HostData d;
    HostError e;
    assert_true(host_idx_read(write_file("i16", i16, sizeof i16), NULL, &d, &e));
    assert_int_equal(((int16_t *)d.tables[0].fields[0].data)[0], 258);
    assert_int_equal(((int16_t *)d.tables[0].fields[0].data)[1], -2);
    host_data_free(&d);
    assert_true(host_idx_read(write_file("f64", f64, sizeof f64), NULL, &d, &e));
    assert_true(*(double *)d.tables[0].fields[0].data == -2.5);
    host_data_free(&d);
}

static void checks_labels(void **state)
{
    (void)state;
    static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    static const uint8_t three[] = { 0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3 };
    HostData d;
    HostError e;
    char x[600];
    strcpy(x, write_file("x", images, sizeof images));
    HostIdxOptions o = { .labels = write_file("y", labels, sizeof labels), .classes = names,
                         .class_count = 8 };
    assert_true(host_idx_read(x, &o, &d, &e));
    assert_int_equal(d.tables[0].fields[1].class_count, 8);
    assert_string_equal(d.tables[0].fields[1].class_names[7], "h");
    host_data_free(&d);
    o.class_count = 7;
    assert_false(host_idx_read(x, &o, &d, &e));
    expect_error(&e, "E0610", "label 7");
    o.labels = write_file("y3", three, sizeof three);
    assert_false(host_idx_read(x, &o, &d, &e));
    expect_error(&e, "E0603", "3 items");
}

static void reads_a_folder(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    write_file("train-images-idx3-ubyte", images, sizeof images);
    write_gzip("train-labels-idx1-ubyte.gz", labels, sizeof labels);
    write_file("t10k-images.idx3-ubyte", images, sizeof images);
    assert_false(host_idx_read(folder, NULL, &d, &e));
    expect_error(&e, "E0601", "t10k-labels");
    write_file("t10k-labels-idx1-ubyte", labels, sizeof labels);
    assert_true(host_idx_read(folder, NULL, &d, &e));
    assert_int_equal(d.part_count, 2);
    assert_int_equal(host_data_part(&d, "train")->count, 2);
    assert_int_equal(host_data_part(&d, "test")->count, 2);
    HostSplit s = { .count = 1, .fractions = { 0.5 } };
    assert_false(host_split(&d, &s, &e));
    expect_error(&e, "E0611", "already");
    host_data_free(&d);
    write_file("test-labels-idx1-ubyte", labels, sizeof labels);
    assert_false(host_idx_read(folder, NULL, &d, &e));
    expect_error(&e, "E0603", "both");
    unlink(in_folder("test-labels-idx1-ubyte"));
    uint8_t other[sizeof images];
    memcpy(other, images, sizeof other);
    other[11] = 3;
    other[15] = 2;
    write_file("t10k-images.idx3-ubyte", other, sizeof other);
    assert_false(host_idx_read(folder, NULL, &d, &e));
    expect_error(&e, "E0603", "u8[N, 3, 2]");
    assert_false(host_idx_read("/nonexistent/x", NULL, &d, &e));
    expect_error(&e, "E0601", "/nonexistent/x");
    assert_false(host_idx_read("/dev/zero", NULL, &d, &e));
    expect_error(&e, "E0602", "device");
}

/* Fields come from the first bytes: a file cut behind its header has them and cannot be read; one
 * cut within it has none. */
static void knows_fields_by_header(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    HostField f[2];
    int n;
    write_gzip("train-images-idx3-ubyte.gz", images, 16);
    write_file("train-labels-idx1-ubyte", labels, 8);
    write_file("t10k-images-idx3-ubyte", images, sizeof images);
    write_file("t10k-labels-idx1-ubyte", labels, sizeof labels);
    assert_true(host_idx_fields(folder, f, &n, &e));
    assert_int_equal(n, 2);
    assert_string_equal(f[0].name, "x");
    assert_int_equal(f[0].dtype, DLRT_U8);
    assert_int_equal(f[0].rank, 2);
    assert_int_equal(f[0].dims[0], 2);
    assert_int_equal(f[0].dims[1], 3);
    assert_string_equal(f[1].name, "y");
    assert_int_equal(f[1].rank, 0);
    assert_false(host_idx_read(folder, NULL, &d, &e));
    expect_error(&e, "E0603", "truncated");
    for (size_t cut = 0; cut < 16; cut++) {
        assert_false(host_idx_fields(write_gzip("cut.gz", images, cut), f, &n, &e));
        expect_error(&e, "E0603", "");
        assert_false(host_idx_fields(write_file("cut", images, cut), f, &n, &e));
        expect_error(&e, "E0603", "");
    }
    assert_true(host_idx_fields(write_file("one", images, 16), f, &n, &e));
    assert_int_equal(n, 1);
    unlink(in_folder("t10k-labels-idx1-ubyte"));
    assert_false(host_idx_fields(folder, f, &n, &e));
    expect_error(&e, "E0601", "t10k-labels");
}

/* A gzip file cut anywhere before its header is unpacked is a truncated file. */
static void knows_no_fields_of_cut_gzip(void **state)
{
    (void)state;
    HostError e;
    HostField f[2];
    int n;
    FILE *file = fopen(write_gzip("whole.gz", images, 16), "rb");
    uint8_t packed[200];
    size_t size = fread(packed, 1, sizeof packed, file);
    fclose(file);
    for (size_t cut = 2; cut < 20; cut++) {
        assert_false(host_idx_fields(write_file("cut.gz", packed, cut), f, &n, &e));
        expect_error(&e, "E0603", "");
    }
    assert_true(size > 20);
    packed[10] |= 6; /* no such block type */
    assert_false(host_idx_fields(write_file("bad.gz", packed, size), f, &n, &e));
    expect_error(&e, "E0603", "gzip");
}

static void reads_fashion_mnist(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    char path[256];
    if (!host_find("fashion-mnist", NULL, path, sizeof path, &e))
        skip();
    assert_true(host_idx_read(path, NULL, &d, &e));
    const HostView *train = host_data_part(&d, "train"), *test = host_data_part(&d, "test");
    assert_int_equal(train->count, 60000);
    assert_int_equal(test->count, 10000);
    int per_class[10] = { 0 };
    const HostField *y = &test->table->fields[1];
    for (int64_t i = 0; i < 10000; i++)
        per_class[((uint8_t *)y->data)[i]]++;
    for (int k = 0; k < 10; k++)
        assert_int_equal(per_class[k], 1000);
    assert_int_equal(y->class_count, 10);
    assert_string_equal(y->class_names[((uint8_t *)y->data)[0]], "Ankle boot");
    host_data_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_two_files, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(refuses_every_prefix, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(refuses_damaged_gzip, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(refuses_hostile_headers, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(converts_byte_order, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(checks_labels, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(reads_a_folder, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(knows_fields_by_header, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(knows_no_fields_of_cut_gzip, make_folder, drop_folder),
        cmocka_unit_test(reads_fashion_mnist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
