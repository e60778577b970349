/* Checkpoints: what is saved comes back bit for bit, damage of any byte is found, files by
 * others load or are refused with words. */
#include "runtime/checksum.h"
#include "tests/runtime/checkpoint_case.h"

/* ---- Checksum ---- */

static uint64_t sum_of(const char *s, size_t n, size_t step)
{
    DlrtChecksum c = dlrt_checksum_new();
    for (size_t i = 0; i < n; i += step)
        dlrt_checksum_add(&c, s + i, n - i < step ? n - i : step);
    return dlrt_checksum_end(&c);
}

static void test_checksum(void **state)
{
    (void)state;
    static const char text[] = "Nobody inspects the spammish repetition";
    assert_true(sum_of("", 0, 1) == UINT64_C(0xef46db3751d8e999));
    assert_true(sum_of("a", 1, 1) == UINT64_C(0xd24ec4f1a98c6e5b));
    assert_true(sum_of("abc", 3, 3) == UINT64_C(0x44bc2cf5ad770999));
    for (size_t step = 1; step < 50; step++)
        assert_true(sum_of(text, sizeof text - 1, step) == UINT64_C(0xfbcea83c8a378bf1));
}

/* ---- Round trips ---- */

static void test_resume_is_exact(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3] = { data.x, data.y, data.t };
    toy_data(&data);
    const char *path = in_folder("run.safetensors");
    for (int threads = 1; threads <= 3; threads++) {
        DlrtContext *whole = trained(9, 37), *resumed = toy_new(&toy_model, 1000);
        assert_int_equal(dlrt_set(whole, "lr", 0.03125), DLRT_OK);
        assert_int_equal(dlrt_save(whole, DLRT_FILE_STATE, path), DLRT_OK);
        dlrt_set_threads(resumed, threads, NULL, NULL);
        assert_int_equal(dlrt_load(resumed, DLRT_FILE_STATE, path), DLRT_OK);
        assert_same_state(whole, resumed);
        assert_int_equal(dlrt_train(whole, TOY_N, f, 41, NULL), DLRT_OK);
        assert_int_equal(dlrt_train(resumed, TOY_N, f, 41, NULL), DLRT_OK);
        assert_same_state(whole, resumed);
        assert_memory_equal((char *)whole + AT_CACHE, (char *)resumed + AT_CACHE, 8);
        assert_int_equal(whole->data_epoch, resumed->data_epoch);
        assert_int_equal(whole->data_cursor, resumed->data_cursor);
        dlrt_free(whole);
        dlrt_free(resumed);
    }
}

static void test_weights(void **state)
{
    (void)state;
    const char *path = in_folder("weights.safetensors");
    DlrtContext *a = trained(9, 5), *b = toy_new(&toy_model, 1000);
    DlrtClock clock = b->clock;
    float m[TOY_D], packed_a[15], packed_b[15];
    assert_int_equal(dlrt_save(a, DLRT_FILE_WEIGHTS, path), DLRT_OK);
    assert_int_equal(dlrt_load(b, DLRT_FILE_STATE, path), DLRT_E_FORMAT);
    assert_non_null(strstr(dlrt_message(b), "only weights"));
    assert_int_equal(dlrt_load(b, DLRT_FILE_WEIGHTS, path), DLRT_OK);
    assert_memory_equal((char *)a + AT_W, (char *)b + AT_W, 12);
    assert_memory_equal((char *)a + AT_MEAN, (char *)b + AT_MEAN, 4);
    assert_memory_equal(&clock, &b->clock, sizeof clock);
    assert_int_equal(dlrt_read(b, "w/m", m, TOY_D), DLRT_OK);
    assert_true(m[0] == 0 && m[1] == 0 && m[2] == 0);
    assert_int_equal(dlrt_read(a, toy_tensors[2].name, packed_a, 15), DLRT_OK);
    assert_int_equal(dlrt_read(b, toy_tensors[2].name, packed_b, 15), DLRT_OK);
    assert_memory_equal(packed_a, packed_b, sizeof packed_a);
    /* weights can be taken out of a state too */
    DlrtContext *c = toy_new(&toy_model, 5);
    assert_int_equal(dlrt_save(a, DLRT_FILE_STATE, path), DLRT_OK);
    assert_int_equal(dlrt_load(c, DLRT_FILE_WEIGHTS, path), DLRT_OK);
    assert_memory_equal((char *)a + AT_W, (char *)c + AT_W, 12);
    assert_true(c->clock.step == 0);
    /* a view can save, and cannot load */
    DlrtContext *view;
    assert_int_equal(dlrt_view(a, NULL, 0, &view), DLRT_OK);
    assert_int_equal(dlrt_save(view, DLRT_FILE_WEIGHTS, path), DLRT_OK);
    assert_int_equal(dlrt_load(view, DLRT_FILE_WEIGHTS, path), DLRT_E_ARG);
    assert_int_equal(dlrt_save(a, 7, path), DLRT_E_ARG);
    assert_int_equal(dlrt_save(a, DLRT_FILE_STATE, NULL), DLRT_E_ARG);
    assert_int_equal(dlrt_load(a, DLRT_FILE_STATE, "/nonexistent/x"), DLRT_E_IO);
    assert_non_null(strstr(dlrt_message(a), "no such file"));
    assert_int_equal(dlrt_load(a, DLRT_FILE_STATE, folder), DLRT_E_IO);
    assert_int_equal(dlrt_save(a, DLRT_FILE_STATE, "/nonexistent/x"), DLRT_E_IO);
    dlrt_free(view);
    dlrt_free(a);
    dlrt_free(b);
    dlrt_free(c);
}

static void test_metadata_and_previous(void **state)
{
    (void)state;
    const char *path = in_folder("meta.safetensors");
    char why[200], prev[140];
    DlrtSafeFile *file;
    const DlrtPair pairs[] = { { "best", "0.25 \"quoted\"\n" }, { "rows", "12" } };
    const DlrtPair reserved = { "dlcc.step", "1" };
    DlrtContext *cx = trained(4, 3);
    assert_int_equal(dlrt_save_with(cx, DLRT_FILE_STATE, path, pairs, 2), DLRT_OK);
    assert_int_equal(dlrt_save_with(cx, DLRT_FILE_STATE, path, &reserved, 1), DLRT_E_ARG);
    assert_int_equal(dlrt_safe_open_path(path, why, sizeof why, &file), DLRT_OK);
    assert_string_equal(dlrt_safe_meta(file, "best"), pairs[0].value);
    assert_string_equal(dlrt_safe_meta(file, "dlcc.step"), "3");
    assert_string_equal(dlrt_safe_meta(file, "dlcc.seed"), "4");
    assert_string_equal(dlrt_safe_meta(file, "dlcc.kind"), "state");
    assert_string_equal(dlrt_safe_meta(file, "dlcc.march"), "x86-64");
    assert_null(dlrt_safe_meta(file, "nothing"));
    assert_true(dlrt_safe_has_sums(file));
    for (int i = 0; i < TOY_TENSORS; i++)
        assert_non_null(dlrt_safe_find(file, toy_tensors[i].name));
    assert_null(dlrt_safe_tensor(file, TOY_TENSORS));
    for (int i = 0; i < TOY_TENSORS; i++) {
        const DlrtSafeTensor *t = dlrt_safe_tensor(file, (size_t)i);
        assert_int_equal(t->begin % dlrt_dtype_size(t->dtype), 0);
    }
    dlrt_safe_close(file);
    DlrtClock first = cx->clock;
    ToyData data;
    const void *f[3] = { data.x, data.y, data.t };
    toy_data(&data);
    assert_int_equal(dlrt_train(cx, TOY_N, f, 2, NULL), DLRT_OK);
    assert_int_equal(dlrt_save(cx, DLRT_FILE_STATE, path), DLRT_OK);
    snprintf(prev, sizeof prev, "%s.prev", path);
    assert_int_equal(dlrt_load(cx, DLRT_FILE_STATE, prev), DLRT_OK);
    assert_true(cx->clock.step == first.step);
    dlrt_free(cx);
}

/* ---- Damage ---- */

static void test_damage_of_any_byte(void **state)
{
    (void)state;
    static char before[CONTEXT_BYTES];
    DlrtContext *from = trained(9, 5), *cx = trained(10, 2);
    memcpy(before, cx, CONTEXT_BYTES);
    for (int what = DLRT_FILE_WEIGHTS; what <= DLRT_FILE_STATE; what++) {
        Bytes b = { 0 };
        DlrtIo io = bytes_io(&b);
        assert_int_equal(dlrt_save_to(from, what, &io), DLRT_OK);
        io.size = b.size;
        for (size_t i = 0; i < b.size; i++) {
            static const char flips[] = { 1, 0x20, (char)0x80, (char)0xff };
            for (size_t k = 0; k < sizeof flips; k++) {
                b.data[i] ^= flips[k];
                int rc = dlrt_load_from(cx, what, &io);
                if (rc != DLRT_E_FORMAT)
                    fail_msg("byte %zu of %zu: %d", i, b.size, rc);
                b.data[i] ^= flips[k];
            }
            io.size = i; /* truncated */
            assert_int_equal(dlrt_load_from(cx, what, &io), DLRT_E_FORMAT);
            io.size = b.size;
        }
        assert_same_bytes(cx, before);
        bytes_write(&b, "x", 1); /* one byte too many */
        io.size = b.size;
        assert_int_equal(dlrt_load_from(cx, what, &io), DLRT_E_FORMAT);
        io.size = --b.size;
        assert_same_bytes(cx, before);
        assert_int_equal(dlrt_load_from(cx, what, &io), DLRT_OK);
        free(b.data);
        memcpy(cx, before, CONTEXT_BYTES);
    }
    dlrt_free(from);
    dlrt_free(cx);
}

/* Random changes of several bytes, and random pieces moved: never a crash, never a success. */
static void test_random_damage(void **state)
{
    (void)state;
    static char before[CONTEXT_BYTES];
    DlrtContext *from = trained(9, 5), *cx = trained(10, 2);
    Bytes b = { 0 };
    DlrtIo io = bytes_io(&b);
    assert_int_equal(dlrt_save_to(from, DLRT_FILE_STATE, &io), DLRT_OK);
    io.size = b.size;
    char *good = malloc(b.size);
    memcpy(good, b.data, b.size);
    memcpy(before, cx, CONTEXT_BYTES);
    for (uint64_t i = 0; i < 20000; i++) {
        DlrtWords w = dlrt_random(1, 1, 1, 0, i);
        for (uint32_t k = 0; k <= w.word[0] % 5; k++) {
            DlrtWords v = dlrt_random(1, 2, k, 0, i);
            size_t from_at = v.word[0] % b.size, to = v.word[1] % b.size, n = v.word[2] % 40;
            if (w.word[1] & 1 && from_at + n <= b.size && to + n <= b.size)
                memmove(b.data + to, b.data + from_at, n);
            else
                b.data[to] = (char)v.word[3];
        }
        int rc = dlrt_load_from(cx, DLRT_FILE_STATE, &io);
        if (memcmp(b.data, good, b.size) != 0)
            assert_int_equal(rc, DLRT_E_FORMAT);
        else
            memcpy(cx, before, CONTEXT_BYTES);
        memcpy(b.data, good, b.size);
    }
    assert_same_bytes(cx, before);
    free(good);
    free(b.data);
    dlrt_free(from);
    dlrt_free(cx);
}

/* ---- Files by others ---- */

static int open_text(const char *header, size_t data, char *why, size_t size, DlrtSafeFile **file)
{
    static Bytes b;
    uint64_t n = strlen(header);
    b.data = realloc(b.data, 8 + n + data);
    b.size = 8 + n + data;
    memset(b.data, 0, b.size);
    memcpy(b.data, &n, 8);
    memcpy(b.data + 8, header, n);
    DlrtIo io = bytes_io(&b);
    return dlrt_safe_open(&io, why, size, file);
}

#define T(name, dtype, shape, from, to) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "]," \
    "\"data_offsets\":[" from "," to "]}"

static void test_foreign_headers(void **state)
{
    (void)state;
    static const struct { const char *header; size_t data; const char *error; } rows[] = {
        { "{" T("a", "F32", "2", "0", "8") "}", 8, NULL },
        { "{" T("a", "F32", "2", "0", "8") "}    ", 8, NULL },
        { "{}", 0, NULL },
        { "{\"__metadata__\":{}}", 0, NULL },
        { "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "U8", "", "0", "1") "}", 1, NULL },
        { "{ \"a\" : { \"shape\" : [ 2 , 0 ] , \"data_offsets\" : [ 0 , 0 ] ,\n"
          " \"dtype\" : \"BF16\" } }", 0, NULL },
        { "{" T("a", "F32", "1", "4", "8") "," T("b", "I32", "1", "0", "4") "}", 8, NULL },
        { "{" T("\\u00e9\\ud83d\\ude00\\n", "F32", "1", "0", "4") "}", 4, NULL },
        { "", 0, "too short" },
        { "[]", 0, "begin with {" },
        { " {}", 0, "begin with {" },
        { "{", 0, "too short" },
        { "{}}", 0, "more after" },
        { "{}x", 0, "more after" },
        { "{" T("a", "F32", "2", "0", "8"), 8, "JSON" },
        { "{" T("a", "F8_E4M3", "8", "0", "8") "}", 8, "unknown dtype" },
        { "{" T("a", "F32", "2", "0", "8") "}", 7, "outside the file" },
        { "{" T("a", "F32", "2", "0", "8") "}", 9, "belong to no tensor" },
        { "{" T("a", "F32", "2", "1", "9") "}", 9, "belong to no tensor" },
        { "{" T("a", "F32", "3", "0", "8") "}", 8, "shape does not fit" },
        { "{" T("a", "F32", "2", "8", "0") "}", 8, "outside the file" },
        { "{" T("a", "F32", "2", "0", "8") "," T("b", "F32", "2", "4", "12") "}", 12, "overlaps" },
        { "{" T("a", "F32", "2", "0", "8") "," T("b", "F32", "2", "0", "8") "}", 8, "overlaps" },
        { "{" T("a", "F32", "2", "0", "8") "," T("a", "F32", "2", "8", "16") "}", 16, "twice" },
        { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice" },
        { "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "twice" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "JSON" },
        { "{\"__metadata__\":{\"dlcc.step\":\"1\"}}", 0, "damaged" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "lacks" },
        { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
          "repeated" },
        { "{\"a\":{\"dtype\":\"F32\",\"size\":3,\"shape\":[],\"data_offsets\":[0,4]}}", 4,
          "unknown field" },
        { "{" T("a", "F32", "-1", "0", "8") "}", 8, "number" },
        { "{" T("a", "F32", "2.0", "0", "8") "}", 8, "whole" },
        { "{" T("a", "F32", "02", "0", "8") "}", 8, "begins with 0" },
        { "{" T("a", "F32", "99999999999999999999", "0", "8") "}", 8, "too large" },
        { "{" T("a", "F32", "4294967296,4294967296,4294967296", "0", "0") "}", 0, "shape" },
        { "{" T("a", "F32", "4611686018427387904,4", "0", "0") "}", 0, "shape" },
        { "{" T("a", "F32", "1,1,1,1,1,1,1,1,1", "0", "4") "}", 4, "dimensions" },
        { "{" T("a", "F32", "2", "0", "18446744073709551615") "}", 8, "too large" },
        { "{" T("a", "F32", "2,", "0", "8") "}", 8, "number" },
        { "{" T("a\\u0000b", "F32", "2", "0", "8") "}", 8, "escape" },
        { "{" T("a\\ud83d", "F32", "2", "0", "8") "}", 8, "escape" },
        { "{" T("a\\q", "F32", "2", "0", "8") "}", 8, "escape" },
        { "{" T("a\xff", "F32", "2", "0", "8") "}", 8, "UTF-8" },
        { "{" T("a\xc0\x80", "F32", "2", "0", "8") "}", 8, "UTF-8" },
        { "{" T("a\n", "F32", "2", "0", "8") "}", 8, "control" },
        { "{\"a", 0, "no end" },
        { "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, "JSON" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char why[200] = "";
        DlrtSafeFile *file = NULL;
        int rc = open_text(rows[i].header, rows[i].data, why, sizeof why, &file);
        if (!rows[i].error && rc)
            fail_msg("row %zu: %s", i, why);
        if (rows[i].error && (rc != DLRT_E_FORMAT || !strstr(why, rows[i].error)))
            fail_msg("row %zu: code %d, \"%s\" lacks \"%s\"", i, rc, why, rows[i].error);
        if (i == 7)
            assert_non_null(dlrt_safe_find(file, "\xc3\xa9\xf0\x9f\x98\x80\n"));
        dlrt_safe_close(file);
    }
    char why[200];
    DlrtSafeFile *file;
    Bytes huge = { .data = (char[]){ -1, -1, -1, -1, -1, -1, -1, -1, '{', '}' }, .size = 10 };
    DlrtIo io = bytes_io(&huge);
    assert_int_equal(dlrt_safe_open(&io, why, sizeof why, &file), DLRT_E_FORMAT);
}

/* The parser behind the checksums: files by others, damaged at random. Whatever comes out, it never
 * reads outside, and what it accepts is consistent. */
static void test_foreign_damage(void **state)
{
    (void)state;
    static const char text[] =
        "{\"__metadata__\":{\"format\":\"p\\u0074\"}," T("a", "F32", "2,1", "0", "8") ","
        T("b\\n", "U8", "3", "8", "11") "," T("c", "F64", "", "11", "19") "}";
    static const char pieces[] = "{}[]\",:\\u0019-e. \xc3";
    char header[sizeof text + 8];
    for (uint64_t i = 0; i < 100000; i++) {
        size_t n = sizeof text - 1;
        memcpy(header, text, sizeof text);
        DlrtWords w = dlrt_random(8, 0, 0, 0, i);
        for (uint32_t k = 0; k <= w.word[0] % 3; k++) {
            DlrtWords v = dlrt_random(8, 1, k, 0, i);
            size_t at = v.word[0] % n;
            char c = pieces[v.word[1] % (sizeof pieces - 1)];
            if (v.word[2] % 3 == 0) { /* insert, delete, replace */
                memmove(header + at + 1, header + at, n - at);
                n++;
            } else if (v.word[2] % 3 == 1 && n > 2) {
                memmove(header + at, header + at + 1, n - at);
                n--;
                continue;
            }
            header[at] = c;
        }
        header[n] = 0;
        char why[200] = "", bytes[8];
        DlrtSafeFile *file;
        if (open_text(header, 19, why, sizeof why, &file)) {
            assert_true(strlen(why) > 0);
            continue;
        }
        const DlrtSafeTensor *t;
        for (size_t k = 0; (t = dlrt_safe_tensor(file, k)); k++) {
            assert_true(t->end - t->begin <= 8);
            assert_int_equal(dlrt_safe_read(file, t, bytes, why, sizeof why), DLRT_OK);
        }
        dlrt_safe_close(file);
    }
}

/* Weights without checksums, in other float types, with tensors that the model has not. */
static void test_foreign_weights(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"}," T("w", "F16", "3", "0", "6") ","
        T("other", "I8", "2", "6", "8") "," T("k.table", "F64", "4", "8", "40") ","
        T("half", "F32", "3", "40", "52") ","
        T("packed \\\"\\\\\\n\\u00e9", "BF16", "3,5", "52", "82") "}";
    struct __attribute__((packed)) {
        uint64_t n;
        char header[sizeof header - 1];
        uint16_t w[3];
        int8_t other[2];
        double table[4];
        float half[3];
        uint16_t packed[15];
    } image = { sizeof header - 1, { 0 }, { 0x3c00, 0xc000, 0x0001 }, { 1, 2 },
                { 0.1, 2, -3, 1e300 }, { 1.5f, -2, 1e-3f }, { 0x3f80, [14] = 0xc000 } };
    memcpy(image.header, header, sizeof image.header);
    Bytes b = { .data = (char *)&image, .size = sizeof image };
    DlrtIo io = bytes_io(&b);
    DlrtContext *cx = trained(3, 1);
    float w[4], packed[15], mean, kept;
    assert_int_equal(dlrt_read(cx, "mean", &kept, 1), DLRT_OK);
    int rc = dlrt_load_from(cx, DLRT_FILE_WEIGHTS, &io);
    if (rc)
        fail_msg("%s", dlrt_message(cx));
    assert_int_equal(dlrt_read(cx, "w", w, 3), DLRT_OK);
    assert_true(w[0] == 1 && w[1] == -2 && w[2] == 0x1p-24f);
    assert_int_equal(dlrt_read(cx, "k.table", w, 4), DLRT_OK);
    assert_true(w[0] == 0.1f && isinf(w[3]));
    assert_int_equal(dlrt_read(cx, toy_tensors[2].name, packed, 15), DLRT_OK);
    assert_true(packed[0] == 1 && packed[1] == 0 && packed[14] == -2);
    assert_int_equal(dlrt_read(cx, "mean", &mean, 1), DLRT_OK);
    assert_true(mean == kept); /* a state that the file lacks stays */

    static char before[CONTEXT_BYTES];
    memcpy(before, cx, CONTEXT_BYTES);
    char *shape = strstr(image.header, "\"shape\":[3]"); /* w becomes [1,3]: a hole in the text */
    memcpy(shape, "\"shape\":[6]", 11);
    assert_int_equal(dlrt_load_from(cx, DLRT_FILE_WEIGHTS, &io), DLRT_E_FORMAT);
    memcpy(shape, "\"shape\":[3]", 11);
    memcpy(strstr(image.header, "F16"), "I16", 3);
    assert_int_equal(dlrt_load_from(cx, DLRT_FILE_WEIGHTS, &io), DLRT_E_FORMAT);
    assert_non_null(strstr(dlrt_message(cx), "i16 in the file and f32 in the model"));
    memcpy(strstr(image.header, "I16"), "F16", 3);
    memcpy(strstr(image.header, "\"w\""), "\"v\"", 3);
    assert_int_equal(dlrt_load_from(cx, DLRT_FILE_WEIGHTS, &io), DLRT_E_FORMAT);
    assert_non_null(strstr(dlrt_message(cx), "no tensor \"w\""));
    assert_same_bytes(cx, before);
    dlrt_free(cx);
}

static void test_other_model(void **state)
{
    (void)state;
    Bytes b = { 0 };
    DlrtIo io = bytes_io(&b);
    DlrtContext *from = trained(9, 5), *cx;
    DlrtModel other = toy_model;
    other.model_hash++;
    assert_int_equal(dlrt_save_to(from, DLRT_FILE_STATE, &io), DLRT_OK);
    io.size = b.size;
    cx = toy_new(&other, 1);
    assert_int_equal(dlrt_load_from(cx, DLRT_FILE_STATE, &io), DLRT_E_FORMAT);
    assert_non_null(strstr(dlrt_message(cx), "another model"));
    assert_int_equal(dlrt_load_from(cx, DLRT_FILE_WEIGHTS, &io), DLRT_OK);
    free(b.data);
    dlrt_free(from);
    dlrt_free(cx);
}

static int refuse(void *user, const void *data, size_t size)
{
    (void)data, (void)size;
    return --*(int *)user < 0;
}

static int refuse_read(void *user, uint64_t offset, void *data, size_t size)
{
    static Bytes *source;
    if (!data) {
        source = user;
        return 0;
    }
    return --*(int *)user < 0 ? 1 : bytes_read(source, offset, data, size);
}

static void test_failing_io(void **state)
{
    (void)state;
    static char before[CONTEXT_BYTES];
    DlrtContext *cx = trained(9, 5), *target = trained(2, 1);
    Bytes b = { 0 };
    DlrtIo io = bytes_io(&b);
    assert_int_equal(dlrt_save_to(cx, DLRT_FILE_STATE, &io), DLRT_OK);
    refuse_read(&b, 0, NULL, 0);
    memcpy(before, target, CONTEXT_BYTES);
    for (int k = 0; k < 11; k++) {
        int left = k;
        DlrtIo bad = { .user = &left, .write = refuse, .read = refuse_read, .size = b.size };
        if (k < 9)
            assert_int_equal(dlrt_save_to(cx, DLRT_FILE_STATE, &bad), DLRT_E_IO);
        left = k;
        assert_int_equal(dlrt_load_from(target, DLRT_FILE_STATE, &bad), DLRT_E_IO);
        assert_same_bytes(target, before);
    }
    assert_int_equal(dlrt_save_to(cx, DLRT_FILE_STATE, &(DlrtIo){ 0 }), DLRT_E_ARG);
    assert_int_equal(dlrt_load_from(cx, DLRT_FILE_STATE, &(DlrtIo){ 0 }), DLRT_E_ARG);
    free(b.data);
    dlrt_free(cx);
    dlrt_free(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum),           cmocka_unit_test(test_resume_is_exact),
        cmocka_unit_test(test_weights),            cmocka_unit_test(test_metadata_and_previous),
        cmocka_unit_test(test_damage_of_any_byte), cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_foreign_headers),    cmocka_unit_test(test_foreign_damage),
        cmocka_unit_test(test_foreign_weights),    cmocka_unit_test(test_other_model),
        cmocka_unit_test(test_failing_io),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
