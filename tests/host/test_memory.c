/* Failing allocations: each reader and stage is run with its 1st, 2nd, 3rd, ... allocation
 * failing, until it needs no more. It must say so, and give back all it took. */
#include "tests/host/host_test.h"

#include "runtime/host/loader.h"
#include "runtime/host/progress.h"
#include "runtime/host/text.h"

#include <errno.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define COUNTED 1
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

/* Only the thread that armed it is counted, so that the loader's own thread does not blur which
 * is k-th. */
static _Thread_local bool armed;
static _Thread_local int until_failure, live;

static bool fails(void)
{
    return armed && --until_failure == 0;
}

static void *taken(void *p)
{
    live += armed && p;
    return p;
}

void *malloc(size_t size)
{
    return fails() ? (errno = ENOMEM, NULL) : taken(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return fails() ? (errno = ENOMEM, NULL) : taken(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
    if (fails())
        return errno = ENOMEM, NULL;
    void *wider = __libc_realloc(p, size);
    return p ? wider : taken(wider);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *p = fails() ? NULL : taken(__libc_memalign(alignment, size));
    *out = p ? p : *out;
    return p ? 0 : ENOMEM;
}

void free(void *p)
{
    live -= armed && p;
    __libc_free(p);
}
#else
static bool armed;
static int until_failure, live;
#endif

typedef bool Work(HostError *e);

static void exhaust(Work *work)
{
#ifndef COUNTED
    (void)work, (void)armed, (void)until_failure, (void)live;
    skip();
#else
    HostError e = { 0 };
    assert_true(work(&e)); /* once for what the C library allocates for good */
    for (int k = 1; k < 2000; k++) {
        until_failure = k;
        live = 0;
        armed = true;
        bool ok = work(&e);
        armed = false;
        if (live)
            fail_msg("%d allocations are lost when number %d fails", live, k);
        if (until_failure > 0) {
            assert_true(ok && k > 1);
            return;
        }
        /* A reader may do without what it could not get, but not fail for another reason. */
        if (!ok && strcmp(e.code, "E0609"))
            fail_msg("allocation %d failed: %s: %s", k, e.code, e.text);
    }
    fail_msg("no end of allocations");
#endif
}

static char path[5][600];

static bool csv(HostError *e)
{
    static const char text[] = "a,b,k\n1,\"2\",\"x\"\"\"\n3,4,y\n5,6,z\n";
    HostData d;
    bool ok = host_csv_parse("t", text, strlen(text), NULL, &d, e);
    host_data_free(&d);
    return ok;
}

static bool idx(HostError *e)
{
    HostIdxOptions o = { .labels = path[1] };
    HostData d;
    bool ok = host_idx_read(path[0], &o, &d, e);
    host_data_free(&d);
    return ok;
}

static bool npz(HostError *e)
{
    HostNpy *arrays;
    int count;
    if (!host_npz_read(path[2], &arrays, &count, e))
        return false;
    host_npz_free(arrays, count);
    HostData d;
    bool ok = host_arrays_read(path[2], &d, e);
    host_data_free(&d);
    return ok;
}

static bool stages(HostError *e)
{
    static const double values[] = { 1, 2, 3, 4.5, 5, 6, 7, 8 };
    static const char *const names[] = { "p", "q", "p", "r" };
    HostArray arrays[] = { { "x", 2, { 4, 2 }, values, NULL }, { "y", 1, { 4 }, NULL, names } };
    HostSplit split = { .count = 1, .fractions = { 0.5 }, .seeded = true };
    HostData d;
    HostTable t = { 0 };
    HostStats s = { 0 };
    bool ok = host_table_from_arrays(arrays, 2, &d, e) && host_split(&d, &split, e)
           && host_stats_fit(&d.parts[0].view, "x", &s, e)
           && host_view_copy(&d.parts[1].view, NULL, 0, &t, e);
    host_stats_free(&s);
    host_table_free(&t);
    host_data_free(&d);
    return ok;
}

static bool words(HostError *e)
{
    HostData d;
    HostVocabulary v = { 0 };
    bool ok = host_text_string("a b c a b a d e f", &d, e)
           && host_tokenize(&d, HOST_WORDS, true, e)
           && host_vocabulary_fit(&d, HOST_WORDS, true, 4, &v, e) && host_windows(&d, 3, 1, e);
    host_vocabulary_free(&v);
    host_data_free(&d);
    return ok;
}

static bool batches(HostError *e)
{
    static const HostBinding binding = { .field = "i", .dtype = DLRT_U8 };
    HostData d;
    HostLoader *l = NULL;
    if (!host_rows(10, &d, e))
        return false;
    HostLoaderOptions o = { .view = d.parts[0].view, .bindings = &binding, .binding_count = 1,
                            .batch = 4 };
    bool ok = host_loader_new(&o, &l, e);
    host_loader_free(l);
    host_data_free(&d);
    return ok;
}

static bool locked(HostError *e)
{
    HostLock lock;
    bool ok = host_lock_take(folder, &lock, e);
    host_lock_release(&lock);
    return ok;
}

static void survives(void **state)
{
    (void)state;
    static const uint8_t x[] = { 0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4 };
    static const uint8_t y[] = { 0, 0, 8, 1, 0, 0, 0, 2, 1, 0 };
    HostNpy a = { .name = "x", .dtype = DLRT_U8, .rank = 1, .dims = { 4 }, .data = path };
    HostError e;
    strcpy(path[0], write_file("x", x, sizeof x));
    strcpy(path[1], write_gzip("y", y, sizeof y));
    strcpy(path[2], in_folder("a.npz"));
    assert_true(host_npz_write(path[2], &a, 1, true, &e));
    exhaust(csv);
    exhaust(idx);
    exhaust(npz);
    exhaust(stages);
    exhaust(words);
    exhaust(batches);
    exhaust(locked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(survives, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
