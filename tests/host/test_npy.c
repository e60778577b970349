/* npy, npz and PNG: round trips, files as numpy writes them, hostile and damaged ones. */
#include "tests/host/host_test.h"

#include "runtime/dlrt.h"

/* An npy file of version `major` with this header text and `size` bytes of values. */
static size_t make_npy(uint8_t *out, int major, const char *header, const void *values, size_t size)
{
    size_t n = strlen(header), start = major == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)major;
    out[7] = 0;
    memset(out + 8, 0, 4);
    out[8] = (uint8_t)n;
    out[9] = (uint8_t)(n >> 8);
    memcpy(out + start, header, n);
    memcpy(out + start + n, values, size);
    return start + n + size;
}

static const int16_t six[] = { 1, 2, 3, 4, 5, 6 };

static void reads_all_versions(void **state)
{
    (void)state;
    uint8_t file[300];
    HostNpy a;
    HostError e;
    for (int major = 1; major <= 3; major++) {
        size_t n = make_npy(file, major,
                            "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }   \n", six,
                            sizeof six);
        assert_true(host_npy_parse("a.npy", file, n, &a, &e));
        assert_int_equal(a.dtype, DLRT_I16);
        assert_int_equal(a.rank, 2);
        assert_int_equal(a.dims[0], 2);
        assert_int_equal(a.dims[1], 3);
        assert_memory_equal(a.data, six, sizeof six);
        host_npy_free(&a);
    }
    /* Keys in any order, double quotes, Python 2's longs, no blanks */
    size_t n = make_npy(file, 1, "{\"shape\":(3L,2L),\"descr\":\"<i2\",\"fortran_order\":False}",
                        six,
                        sizeof six);
    assert_true(host_npy_parse("a.npy", file, n, &a, &e));
    assert_int_equal(a.dims[0], 3);
    host_npy_free(&a);
    n = make_npy(file, 1, "{'descr': '<i2', 'fortran_order': False, 'shape': ()}", six, 2);
    assert_true(host_npy_parse("a.npy", file, n, &a, &e));
    assert_int_equal(a.rank, 0);
    assert_int_equal(host_npy_elements(&a), 1);
    host_npy_free(&a);
    n = make_npy(file, 1, "{'descr': '<i2', 'fortran_order': False, 'shape': (0, 7)}", six, 0);
    assert_true(host_npy_parse("a.npy", file, n, &a, &e));
    assert_int_equal(host_npy_elements(&a), 0);
    assert_non_null(a.data);
    host_npy_free(&a);
}

static void converts_orders(void **state)
{
    (void)state;
    uint8_t file[300];
    HostNpy a;
    HostError e;
    size_t n = make_npy(file, 1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3)}", six,
                        sizeof six);
    static const int16_t rows[] = { 1, 3, 5, 2, 4, 6 };
    assert_true(host_npy_parse("a.npy", file, n, &a, &e));
    assert_memory_equal(a.data, rows, sizeof rows);
    host_npy_free(&a);
    n = make_npy(file, 1, "{'descr': '>i2', 'fortran_order': True, 'shape': (1, 2, 3)}", six,
                 sizeof six);
    assert_true(host_npy_parse("a.npy", file, n, &a, &e));
    for (int i = 0; i < 6; i++)
        assert_int_equal(((int16_t *)a.data)[i], rows[i] << 8);
    host_npy_free(&a);
    n = make_npy(file, 1, "{'descr': '>f8', 'fortran_order': False, 'shape': (1,)}",
                 "\x3f\xf8\0\0\0\0\0\0", 8);
    assert_true(host_npy_parse("a.npy", file, n, &a, &e));
    assert_true(*(double *)a.data == 1.5);
    host_npy_free(&a);
    n = make_npy(file, 1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", "\0\1\xff", 3);
    assert_true(host_npy_parse("a.npy", file, n, &a, &e));
    assert_memory_equal(a.data, "\0\1\1", 3);
    host_npy_free(&a);
}

static void refuses_hostile_headers(void **state)
{
    (void)state;
    static const struct {
        const char *code, *header;
    } cases[] = {
        { "E0603", "" },
        { "E0603", "{" },
        { "E0603", "{}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3)" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (2 3)}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (-2, -3)}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': 6}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': Maybe, 'shape': (6,)}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False}" },
        { "E0603", "{'descr': '<i2', 'descr': '<i2', 'fortran_order': False, 'shape': (6,)}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (6,), 'x': 1}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (6,)} __import__('os')" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (7,)}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (5,)}" },
        { "E0603", "{'descr': '<i2', 'fortran_order': False, 'shape': (2305843009213693951,)}" },
        { "E0609", "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,)}" },
        { "E0609", "{'descr': '<i2', 'fortran_order': False, 'shape': (99999999999999999999,)}" },
        { "E0609",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}" },
        { "E0613", "{'descr': '<i2', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,6)}" },
        { "E0613", "{'descr': '|O', 'fortran_order': False, 'shape': (6,)}" },
        { "E0613", "{'descr': '<c8', 'fortran_order': False, 'shape': (6,)}" },
        { "E0613", "{'descr': '<U4', 'fortran_order': False, 'shape': (6,)}" },
        { "E0613", "{'descr': [('a', '<i2')], 'fortran_order': False, 'shape': (6,)}" },
        { "E0613", "{'descr': '', 'fortran_order': False, 'shape': (6,)}" },
    };
    uint8_t file[300];
    HostNpy a;
    HostError e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = make_npy(file, 1, cases[i].header, six, sizeof six);
        if (host_npy_parse("a.npy", file, n, &a, &e))
            fail_msg("accepted: %s", cases[i].header);
        expect_error(&e, cases[i].code, "a.npy");
    }
    size_t n = make_npy(file, 4, "{'descr': '<i2', 'fortran_order': False, 'shape': (6,)}", six,
                        12);
    assert_false(host_npy_parse("a.npy", file, n, &a, &e));
    expect_error(&e, "E0613", "version 4");
}

static void refuses_every_prefix(void **state)
{
    (void)state;
    uint8_t file[300], *cut;
    HostNpy a;
    HostError e;
    for (int major = 1; major <= 2; major++) {
        size_t n = make_npy(file, major,
                            "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3)}",
                            six, sizeof six);
        for (size_t k = 0; k < n; k++) {
            cut = malloc(k + 1); /* of the exact size, so that a sanitizer sees reads beyond */
            memcpy(cut, file, k);
            cut = realloc(cut, k ? k : 1);
            assert_false(host_npy_parse("a.npy", cut, k, &a, &e));
            expect_error(&e, "E0603", "");
            free(cut);
        }
        for (size_t k = 0; k < n - sizeof six; k++)
            for (int bit = 0; bit < 8; bit++) {
                file[k] ^= (uint8_t)(1 << bit);
                if (host_npy_parse("a.npy", file, n, &a, &e))
                    host_npy_free(&a);
                file[k] ^= (uint8_t)(1 << bit);
            }
    }
}

static const DlrtDtype all[] = { DLRT_F64, DLRT_F32, DLRT_F16, DLRT_BF16, DLRT_I64, DLRT_I32,
                                 DLRT_I16, DLRT_I8,  DLRT_U64, DLRT_U32,  DLRT_U16, DLRT_U8,
                                 DLRT_BOOL };
enum { ALL = sizeof all / sizeof *all };

/* dtype k with shape [3, k % 4, 2], or a scalar, of counted bytes; bool of 0 and 1 */
static void make_array(int k, HostNpy *a)
{
    *a = (HostNpy){ .dtype = all[k], .rank = k == 5 ? 0 : 3, .dims = { 3, k % 4, 2 } };
    size_t n = (size_t)host_npy_elements(a) * dlrt_dtype_size((int)a->dtype);
    uint8_t *p = a->data = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = a->dtype == DLRT_BOOL ? i & 1 : (uint8_t)(i * 37 + (size_t)k);
    char name[20];
    snprintf(name, sizeof name, "layer/%d.w", k);
    a->name = strdup(name);
}

static void check_array(const HostNpy *a, int k)
{
    HostNpy want;
    make_array(k, &want);
    assert_int_equal(a->dtype, want.dtype);
    assert_int_equal(a->rank, want.rank);
    if (a->rank)
        assert_memory_equal(a->dims, want.dims, sizeof *a->dims * (size_t)a->rank);
    size_t n = (size_t)host_npy_elements(a) * dlrt_dtype_size((int)a->dtype);
    if (n)
        assert_memory_equal(a->data, want.data, n);
    host_npy_free(&want);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    HostNpy a, b;
    HostError e;
    for (int k = 0; k < ALL; k++) {
        make_array(k, &a);
        assert_true(host_npy_write(in_folder("a.npy"), &a, &e));
        assert_true(host_npy_read(in_folder("a.npy"), &b, &e));
        check_array(&b, k);
        host_npy_free(&a);
        host_npy_free(&b);
    }
    make_array(0, &a);
    assert_false(host_npy_write("/nonexistent/a.npy", &a, &e));
    expect_error(&e, "E0902", "/nonexistent/a.npy");
    assert_true(host_npy_write("/dev/null", &a, &e));
    if (!access("/dev/full", W_OK)) {
        assert_false(host_npy_write("/dev/full", &a, &e));
        expect_error(&e, "E0902", "No space left");
    }
    host_npy_free(&a);
}

static void archives(void **state)
{
    (void)state;
    HostNpy in[ALL], *out;
    HostError e;
    int count;
    for (int k = 0; k < ALL; k++)
        make_array(k, &in[k]);
    for (int compress = 0; compress < 2; compress++) {
        assert_true(host_npz_write(in_folder("a.npz"), in, ALL, compress, &e));
        char *first, *second;
        size_t n, m;
        assert_true(host_file_read(in_folder("a.npz"), 0, &first, &n, &e));
        assert_true(host_npz_write(in_folder("a.npz"), in, ALL, compress, &e));
        assert_true(host_file_read(in_folder("a.npz"), 0, &second, &m, &e));
        assert_int_equal(n, m);
        assert_memory_equal(first, second, n);
        free(first);
        free(second);
        assert_true(host_npz_read(in_folder("a.npz"), &out, &count, &e));
        assert_int_equal(count, ALL);
        for (int k = 0; k < ALL; k++) {
            assert_string_equal(out[k].name, in[k].name);
            check_array(&out[k], k);
        }
        host_npz_free(out, count);
    }
    assert_true(host_npz_write(in_folder("none.npz"), NULL, 0, false, &e));
    assert_true(host_npz_read(in_folder("none.npz"), &out, &count, &e));
    assert_int_equal(count, 0);
    host_npz_free(out, count);
    free(in[1].name);
    in[1].name = strdup(in[0].name);
    assert_true(host_npz_write(in_folder("two.npz"), in, 2, false, &e));
    assert_false(host_npz_read(in_folder("two.npz"), &out, &count, &e));
    expect_error(&e, "E0603", "one name");
    for (int k = 0; k < ALL; k++)
        host_npy_free(&in[k]);
}

/* All prefixes fail; a flipped bit fails or yields arrays, and never more than an answer. The
 * values are under a checksum: flips there must fail. */
static void refuses_damaged_archives(void **state)
{
    (void)state;
    HostNpy in[2], *out;
    HostError e;
    int count;
    char *bytes;
    size_t n;
    for (int k = 0; k < 2; k++)
        make_array(k + 1, &in[k]);
    for (int compress = 0; compress < 2; compress++) {
        assert_true(host_npz_write(in_folder("a.npz"), in, 2, compress, &e));
        assert_true(host_file_read(in_folder("a.npz"), 0, &bytes, &n, &e));
        for (size_t k = 0; k < n; k++) {
            assert_false(host_npz_read(write_file("cut.npz", bytes, k), &out, &count, &e));
            expect_error(&e, "E0603", "");
        }
        for (size_t k = 0; k < n; k++) {
            bytes[k] ^= 0x21;
            if (host_npz_read(write_file("bad.npz", bytes, n), &out, &count, &e))
                host_npz_free(out, count);
            bytes[k] ^= 0x21;
        }
        size_t values = 30 + strlen(in[0].name) + 4 + (compress ? 20 : 128);
        bytes[values] ^= 1;
        assert_false(host_npz_read(write_file("bad.npz", bytes, n), &out, &count, &e));
        expect_error(&e, "E0603", "");
        free(bytes);
    }
    for (int k = 0; k < 2; k++)
        host_npy_free(&in[k]);
}

static void makes_tables(void **state)
{
    (void)state;
    HostNpy a[2];
    HostError e;
    HostData d;
    make_array(1, &a[0]);
    make_array(3, &a[1]);
    assert_true(host_npz_write(in_folder("t.npz"), a, 2, true, &e));
    assert_true(host_arrays_read(in_folder("t.npz"), &d, &e));
    assert_int_equal(d.tables[0].count, 3);
    assert_int_equal(d.tables[0].fields[1].rank, 2);
    assert_int_equal(d.tables[0].fields[1].dims[0], 3);
    host_data_free(&d);
    assert_true(host_npy_write(in_folder("t.npy"), &a[0], &e));
    assert_true(host_arrays_read(in_folder("t.npy"), &d, &e));
    assert_string_equal(d.tables[0].fields[0].name, "x");
    host_data_free(&d);
    a[1].dims[0] = 2;
    assert_true(host_npz_write(in_folder("t.npz"), a, 2, true, &e));
    assert_false(host_arrays_read(in_folder("t.npz"), &d, &e));
    expect_error(&e, "E0603", "2 rows, the first array has 3");
    a[0].rank = 0;
    assert_true(host_npy_write(in_folder("t.npy"), &a[0], &e));
    assert_false(host_arrays_read(in_folder("t.npy"), &d, &e));
    expect_error(&e, "E0608", "no rows");
    host_npy_free(&a[0]);
    host_npy_free(&a[1]);
}

static void images(void **state)
{
    (void)state;
    HostNpy im = { .dtype = DLRT_U8, .rank = 2, .dims = { 3, 5 } }, out;
    HostError e;
    uint8_t pixels[60];
    for (int i = 0; i < 60; i++)
        pixels[i] = (uint8_t)(i * 4);
    im.data = pixels;
    if (!host_png_write(in_folder("g.png"), &im, &e)) {
        expect_error(&e, "E0613", "libpng");
        skip();
    }
    assert_true(host_png_read(in_folder("g.png"), 3, 5, 1, &out, &e));
    assert_int_equal(out.rank, 2);
    assert_memory_equal(out.data, pixels, 15);
    host_npy_free(&out);
    assert_true(host_png_read(in_folder("g.png"), 0, 0, 3, &out, &e));
    assert_int_equal(out.dims[2], 3);
    for (int i = 0; i < 45; i++)
        assert_int_equal(((uint8_t *)out.data)[i], pixels[i / 3]);
    host_npy_free(&out);
    assert_false(host_png_read(in_folder("g.png"), 28, 28, 1, &out, &e));
    expect_error(&e, "E0604", "3 x 5 pixels (height x width), but 28 x 28");
    for (int channels = 3; channels <= 4; channels++) {
        im.rank = 3;
        im.dims[2] = channels;
        assert_true(host_png_write(in_folder("c.png"), &im, &e));
        assert_true(host_png_read(in_folder("c.png"), 0, 0, 0, &out, &e));
        assert_int_equal(out.dims[2], channels);
        assert_memory_equal(out.data, pixels, 15 * (size_t)channels);
        host_npy_free(&out);
        assert_false(host_png_read(in_folder("c.png"), 0, 0, 1, &out, &e));
        expect_error(&e, "E0604", "colour");
    }
    im.dims[2] = 2;
    assert_false(host_png_write(in_folder("c.png"), &im, &e));
    expect_error(&e, "E0604", "u8[3, 5, 2]");
    char *bytes;
    size_t n;
    assert_true(host_file_read(in_folder("g.png"), 0, &bytes, &n, &e));
    for (size_t k = 0; k < n; k++) {
        assert_false(host_png_read(write_file("cut.png", bytes, k), 0, 0, 0, &out, &e));
        expect_error(&e, "E0603", "");
    }
    for (size_t k = 0; k < n; k++) {
        bytes[k] ^= 0x11;
        if (host_png_read(write_file("bad.png", bytes, n), 0, 0, 0, &out, &e))
            host_npy_free(&out);
        bytes[k] ^= 0x11;
    }
    free(bytes);
    /* 65,535 x 65,535 pixels in 57 bytes: refused before memory is asked for (checksum of IHDR
     * included) */
    static const uint8_t bomb[] = { 0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D',
                                    'R', 0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff, 8, 0, 0, 0, 0 };
    uint8_t file[64];
    memcpy(file, bomb, sizeof bomb);
    uint32_t crc = (uint32_t)crc32(0, bomb + 12, 17);
    for (int i = 0; i < 4; i++)
        file[sizeof bomb + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    memcpy(file + sizeof bomb + 4, "\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82", 24);
    assert_false(host_png_read(write_file("b.png", file, sizeof bomb + 28), 0, 0, 0, &out, &e));
    expect_error(&e, "E0603", "truncated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_versions),
        cmocka_unit_test(converts_orders),
        cmocka_unit_test(refuses_hostile_headers),
        cmocka_unit_test(refuses_every_prefix),
        cmocka_unit_test_setup_teardown(writes_what_it_reads, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(archives, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(refuses_damaged_archives, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(makes_tables, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(images, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
