/* test_hostile.c: damaged and hostile ONNX files: refused with an error of exit code 3 or 4, or
 * read; within bounds of time and memory in either case. Files are made here; tests/onnx/corpus
 * holds what the fuzzer found worth keeping. */
#include "tests/onnx/corpus.h"

#include "frontend/onnx/wire.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- three small models ---- */

static Bytes node_of(const char *op, const char *in, const char *out)
{
    Bytes n = { 0 };
    b_text(&n, 1, in);
    b_text(&n, 2, out);
    b_text(&n, 3, "a name");
    b_text(&n, 4, op);
    return n;
}

static Bytes named(Bytes t, const char *name)
{
    b_text(&t, 8, name);
    return t;
}

/* A layer: weights as raw data and as a list of floats. */
static Bytes model_linear(void)
{
    Bytes graph = { 0 }, node = node_of("Gemm", "x", "y"), attr = { 0 };
    float values[] = { 1, 2, 3, 4, 5, 6 };
    Bytes w = named(b_tensor(1, (int64_t[]){ 3, 2 }, 2), "w");
    b_bytes(&w, 9, values, sizeof values);
    Bytes bias = named(b_tensor(1, (int64_t[]){ 2 }, 1), "b");
    b_bytes(&bias, 4, values, 8);
    b_text(&attr, 1, "alpha");
    b_tag(&attr, 2, 5);
    b_raw(&attr, values, 4);
    b_int(&attr, 20, 1);
    b_text(&node, 1, "w");
    b_text(&node, 1, "b");
    b_message(&node, 5, &attr);
    b_message(&graph, 1, &node);
    b_message(&graph, 5, &w);
    b_message(&graph, 5, &bias);
    b_value(&graph, 11, "x", 1, (int64_t[]){ -1, 3 }, 2);
    b_value(&graph, 12, "y", 1, (int64_t[]){ -1, 2 }, 2);
    return b_model_of(&graph);
}

/* Constants in each list of a tensor, strings, external data. */
static Bytes model_constants(void)
{
    Bytes graph = { 0 };
    static const struct {
        int32_t type;
        uint32_t field;
    } all[] = { { 2, 5 }, { 7, 7 }, { 9, 5 }, { 10, 5 }, { 12, 11 }, { 13, 11 } };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        Bytes t = b_tensor(all[i].type, (int64_t[]){ 2 }, 1), packed = { 0 };
        b_varint(&packed, 1);
        b_bytes(&t, all[i].field, packed.at, packed.n);
        b_int(&t, all[i].field, 0);
        b_free(&packed);
        b_message(&graph, 5, &t);
    }
    Bytes text = b_tensor(8, (int64_t[]){ 2 }, 1), far = b_tensor(1, (int64_t[]){ 4 }, 1);
    b_text(&text, 6, "one");
    b_text(&text, 6, "two");
    b_message(&graph, 5, &text);
    b_int(&far, 14, 1);
    b_external(&far, "location", "w.bin");
    b_external(&far, "length", "16");
    b_message(&graph, 5, &far);
    return b_model_of(&graph);
}

/* A branch with graphs inside, a function, a sparse tensor, types of all kinds. */
static Bytes model_nested(void)
{
    Bytes inner = { 0 }, attr = { 0 }, graph = { 0 }, function = { 0 }, sparse = { 0 };
    Bytes leaf = node_of("Relu", "x", "z"), branch = node_of("If", "c", "y");
    Bytes call = node_of("f", "x", "z"), indices = b_tensor(7, (int64_t[]){ 1 }, 1);
    Bytes value = b_tensor(1, (int64_t[]){ 1 }, 1);
    Bytes element = { 0 }, tensor = { 0 }, sequence = { 0 }, any = { 0 }, input = { 0 };
    b_message(&inner, 1, &leaf);
    b_text(&attr, 1, "then_branch");
    b_message(&attr, 6, &inner);
    b_int(&attr, 20, 5);
    b_message(&branch, 5, &attr);
    b_message(&graph, 1, &branch);
    b_int(&indices, 7, 3);
    b_bytes(&value, 9, &(float){ 2 }, 4);
    b_message(&sparse, 1, &value);
    b_message(&sparse, 2, &indices);
    b_int(&sparse, 3, 5);
    b_message(&graph, 15, &sparse);
    b_int(&tensor, 1, 1);
    b_message(&element, 1, &tensor);
    b_message(&sequence, 1, &element);
    b_message(&any, 4, &sequence);
    b_text(&input, 1, "s");
    b_message(&input, 2, &any);
    b_message(&graph, 11, &input);
    Bytes b = b_model();
    b_text(&function, 1, "f");
    b_text(&function, 4, "x");
    b_message(&function, 7, &call);
    b_message(&b, 25, &function);
    b_message(&b, 7, &graph);
    return b;
}

static Bytes (*const models[])(void) = { model_linear, model_constants, model_nested };
enum { MODELS = sizeof models / sizeof *models };

/* ---- trying ---- */

/* Reads what a model of these bytes holds; they are copied to where nothing lies behind them. The
 * exit code. */
static int try_bytes(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n + !n);
    memcpy(exact, bytes, n);
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open_memory(cx, "m.onnx", exact, n);
    if (f)
        walk_model(f, cx->arena);
    else
        assert_int_equal(cx->diags.n, 1);
    int code = diag_exit_code(cx);
    for (uint32_t i = 0; i < cx->diags.n; i++)
        for (const char *c = cx->diags.at[i].message; *c; c++)
            assert_true((unsigned char)*c >= 0x20);
    compiler_free(cx);
    free(exact);
    assert_true(code == 0 || code == 3 || code == 4);
    return code;
}

/* No prefix of a model whose graph comes last is a model. */
static void test_truncation(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        Bytes b = models[m]();
        for (size_t n = 0; n < b.n; n++)
            assert_int_equal(try_bytes(b.at, n), 3);
        if (models[m] == model_linear)
            assert_int_equal(try_bytes(b.at, b.n), 0);
        b_free(&b);
    }
}

static uint64_t next_random(uint64_t *seed)
{
    uint64_t x = *seed += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* One byte changed, one bit changed, a piece removed, a piece repeated. */
static void damage(Bytes *b, uint64_t *seed)
{
    size_t at = next_random(seed) % b->n, n = next_random(seed) % 8;
    n = n < b->n - at ? n : b->n - at;
    switch (next_random(seed) % 4) {
    case 0: b->at[at] = (uint8_t)next_random(seed); break;
    case 1: b->at[at] ^= (uint8_t)(1u << next_random(seed) % 8); break;
    case 2:
        memmove(b->at + at, b->at + at + n, b->n - at - n);
        b->n -= n;
        break;
    default: {
        uint8_t piece[8];
        memcpy(piece, b->at + at, n);
        b_raw(b, piece, n);
        memmove(b->at + at + n, b->at + at, b->n - at - n);
        memcpy(b->at + at, piece, n);
    }
    }
}

static void test_corruption(void **state)
{
    (void)state;
    enum { TRIES = 1500 };
    uint64_t seed = 1;
    int codes[5] = { 0 };
    for (int i = 0; i < TRIES; i++) {
        Bytes b = models[i % MODELS]();
        for (uint64_t k = next_random(&seed) % 4; b.n && k < 4; k++)
            damage(&b, &seed);
        codes[try_bytes(b.at, b.n)]++;
        b_free(&b);
    }
    assert_true(codes[3] > TRIES / 3 && codes[4] > 0 && codes[0] > 0);
}

/* ---- nesting ---- */

/* `depth` messages inside one another, by the fields in turn, written from the inside. */
static Bytes nested(size_t depth, const uint32_t *fields, size_t n)
{
    Bytes back = { 0 }; /* reversed */
    for (size_t i = depth, size = 0; i--;) {
        Bytes head = { 0 };
        b_tag(&head, fields[i % n], 2);
        b_varint(&head, size);
        size += head.n;
        for (size_t k = head.n; k--;)
            b_raw(&back, &head.at[k], 1);
        b_free(&head);
    }
    for (size_t i = 0; i < back.n / 2; i++) {
        uint8_t t = back.at[i];
        back.at[i] = back.at[back.n - 1 - i];
        back.at[back.n - 1 - i] = t;
    }
    return back;
}

static void test_nesting(void **state)
{
    (void)state;
    static const uint32_t graphs[] = { 1, 5, 6 };           /* node, attribute, g */
    static const uint32_t types[] = { 4, 1 };                /* sequence_type, elem_type */
    static const size_t depths[] = { 3, 61, 62, 63, 64, 100, 1000, 1000000 };
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        int want = depths[i] <= 62 ? 0 : 3; /* inside of the model and its graph */
        Bytes g = nested(depths[i], graphs, 3), b = b_model_of(&g);
        assert_int_equal(try_bytes(b.at, b.n), want);
        b_free(&b);
        Bytes value = { 0 }, graph = { 0 }, t = nested(depths[i], types, 2);
        b_message(&value, 2, &t);
        b_message(&graph, 11, &value);
        b = b_model_of(&graph);
        assert_int_equal(try_bytes(b.at, b.n), depths[i] <= 60 ? 0 : 3);
        b_free(&b);
    }
}

/* ---- amplification ---- */

static void repeat(Bytes *b, const char *piece, size_t n, size_t total)
{
    while (b->n < total)
        b_raw(b, piece, n);
}

static Bytes in_node(Bytes *node)
{
    Bytes graph = { 0 };
    b_message(&graph, 1, node);
    return b_model_of(&graph);
}

static Bytes in_attribute(Bytes *attr)
{
    Bytes node = { 0 };
    b_message(&node, 5, attr);
    return in_node(&node);
}

enum { LARGE = 4 << 20 };

static Bytes many_nodes(void)
{
    Bytes graph = { 0 };
    repeat(&graph, "\x0a\0", 2, LARGE);
    return b_model_of(&graph);
}

static Bytes many_tensors(void)
{
    Bytes graph = { 0 };
    repeat(&graph, "\x2a\0", 2, LARGE);
    return b_model_of(&graph);
}

static Bytes many_bad_tensors(void)
{
    Bytes graph = { 0 };
    repeat(&graph, "\x2a\x04\x10\x01\x08\x05", 6, LARGE);
    return b_model_of(&graph);
}

static Bytes many_inputs(void)
{
    Bytes node = { 0 };
    repeat(&node, "\x0a\0", 2, LARGE);
    return in_node(&node);
}

static Bytes many_names(void)
{
    Bytes node = { 0 };
    repeat(&node, "\x1a\x03" "abc", 5, LARGE);
    return in_node(&node);
}

static Bytes many_ints(void)
{
    Bytes attr = { 0 };
    repeat(&attr, "\x40\0", 2, LARGE);
    return in_attribute(&attr);
}

static Bytes packed_ints(void)
{
    Bytes attr = { 0 }, ints = { 0 };
    repeat(&ints, "\0\0\0\0", 4, LARGE);
    b_message(&attr, 8, &ints);
    return in_attribute(&attr);
}

static Bytes many_strings(void)
{
    Bytes t = b_tensor(8, (int64_t[]){ LARGE / 2 }, 1);
    repeat(&t, "\x32\0", 2, t.n + LARGE);
    return b_model_with(&t);
}

static Bytes many_dims(void)
{
    Bytes t = { 0 };
    repeat(&t, "\x08\x01", 2, LARGE);
    return b_model_with(&t);
}

static Bytes many_keys(void)
{
    Bytes t = b_tensor(1, NULL, 0);
    b_int(&t, 14, 1);
    repeat(&t, "\x6a\0", 2, LARGE);
    return b_model_with(&t);
}

static Bytes single_floats(void)
{
    Bytes t = b_tensor(1, (int64_t[]){ LARGE / 5 + 1 }, 1);
    size_t head = t.n;
    repeat(&t, "\x25\0\0\0\0", 5, head + LARGE);
    return b_model_with(&t);
}

static Bytes packed_longs(void)
{
    Bytes t = b_tensor(7, (int64_t[]){ LARGE }, 1), list = { 0 };
    repeat(&list, "\1", 1, LARGE);
    b_message(&t, 7, &list);
    return b_model_with(&t);
}

static Bytes unknown_fields(void)
{
    Bytes graph = { 0 };
    repeat(&graph, "\xf8\x3e\1", 3, LARGE);
    return b_model_of(&graph);
}

static Bytes odd_weights(void)
{
    Bytes t = b_tensor(1, (int64_t[]){ LARGE / 4 }, 1), raw = { 0 };
    repeat(&raw, "\1\2\3\4", 4, LARGE);
    b_message(&t, 9, &raw);
    return b_model_with(&t);
}

static Bytes deep_types(void)
{
    static const uint32_t fields[] = { 4, 1 };
    Bytes graph = { 0 }, value = { 0 }, type = nested(56, fields, 2);
    b_message(&value, 2, &type);
    Bytes one = { 0 };
    b_message(&one, 11, &value);
    repeat(&graph, (const char *)one.at, one.n, LARGE);
    b_free(&one);
    return b_model_of(&graph);
}

static const struct {
    const char *name;
    Bytes (*make)(void);
} large[] = {
    { "many nodes", many_nodes }, { "many tensors", many_tensors },
    { "many bad tensors", many_bad_tensors }, { "many inputs", many_inputs },
    { "many names", many_names }, { "many ints", many_ints }, { "packed ints", packed_ints },
    { "many strings", many_strings }, { "many dims", many_dims }, { "many keys", many_keys },
    { "single floats", single_floats }, { "packed longs", packed_longs },
    { "unknown fields", unknown_fields }, { "odd weights", odd_weights },
    { "deep types", deep_types },
};

#ifdef __SANITIZE_ADDRESS__
enum { BOUNDED = 0 }; /* the sanitizer takes memory and time of its own */
#else
enum { BOUNDED = 1 };
#endif

/* In a process of its own, whose peak is then known: its exit code. */
static int try_file(const char *path)
{
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open(cx, path);
    if (f)
        walk_model(f, cx->arena);
    int code = diag_exit_code(cx);
    compiler_free(cx);
    return code;
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

/* Time is that of the processor: nothing here waits. */
static void check_large(const char *name, const char *path, size_t size)
{
    struct rusage use;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
        _exit(try_file(path));
    assert_int_equal(wait4(child, &status, 0, &use), child);
    assert_true(WIFEXITED(status));
    int code = WEXITSTATUS(status);
    double seconds = seconds_of(use.ru_utime) + seconds_of(use.ru_stime);
    double mib = (double)size / (1 << 20), peak = (double)use.ru_maxrss / 1024;
    print_message("%-18s exit %d, %5.1f MiB, %.3f s\n", name, code, peak, seconds);
    assert_true(code == 0 || code == 3 || code == 4);
    if (BOUNDED) {
        assert_true(peak <= 64 + 4 * mib);
        assert_true(seconds <= 1 + 0.1 * mib);
    }
}

static void test_amplification(void **state)
{
    (void)state;
    char folder[] = "/tmp/dlcc-onnx-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/m.onnx", folder);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        Bytes b = large[i].make();
        size_t size = b.n;
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(b.at, 1, b.n, f), b.n);
        fclose(f);
        b_free(&b);
        check_large(large[i].name, path, size);
    }
    unlink(path);
    rmdir(folder);
}

/* ---- no memory ---- */

/* An allocator that fails from its k-th call on. */
typedef struct {
    size_t calls, fail_at;
} Failing;

static void *failing_alloc(void *user, size_t size)
{
    Failing *f = user;
    return f->calls++ >= f->fail_at ? NULL : malloc(size);
}

static void failing_free(void *user, void *piece)
{
    (void)user;
    free(piece);
}

/* That protobuf-c gives up in order, whichever allocation fails, is what the pool relies on. */
static void test_failed_allocation(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        Bytes b = models[m](), copy = { 0 };
        WireFault fault;
        assert_true(wire_scan(&onnx__model_proto__descriptor, b.at, b.n, NULL, &copy.n, &fault));
        copy.at = malloc(copy.n);
        wire_scan(&onnx__model_proto__descriptor, b.at, b.n, copy.at, &copy.n, &fault);
        Onnx__ModelProto *read = NULL;
        for (size_t k = 0; !read && k < 10000; k++) {
            Failing failing = { .fail_at = k };
            ProtobufCAllocator allocator = { failing_alloc, failing_free, &failing };
            read = onnx__model_proto__unpack(&allocator, copy.n, copy.at);
            if (read)
                onnx__model_proto__free_unpacked(read, &allocator);
        }
        assert_non_null(read);
        b_free(&copy);
        b_free(&b);
    }
}

/* ---- names ---- */

static void test_odd_names(void **state)
{
    (void)state;
    static const char *const odd[] = { "malloc", "%n%s%n", "a\nb", "", "\x1b[2J", "../x", "\"", "`",
                                       "\xe2\x80\xae", "if", "__attribute__", "\\" };
    Bytes graph = { 0 };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        Bytes n = node_of(odd[i], odd[i], odd[i]), t = named(b_tensor(99, NULL, 0), odd[i]);
        b_message(&graph, 1, &n);
        b_message(&graph, 5, &t);
    }
    Bytes b = b_model_of(&graph);
    assert_int_equal(try_bytes(b.at, b.n), 4);
    Compiler *cx = compiler_new();
    const Onnx__ModelProto *m = onnx_model(onnx_open_memory(cx, "m.onnx", b.at, b.n));
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_string_equal(m->graph->node[i]->op_type, odd[i]);
    compiler_free(cx);
    b_free(&b);
}

/* ---- what was found ---- */

static void try_found(const char *name, const Bytes *b)
{
    (void)name;
    try_bytes(b->at, b->n);
}

static void test_corpus(void **state)
{
    (void)state;
    corpus_each(try_found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_corruption),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_amplification),
        cmocka_unit_test(test_failed_allocation),
        cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
