/* The cache of objects: what was put comes back whole; damage of any byte, other keys and other
 * people's files do not; the bound holds. */
#include "backend/cache.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct {
    char dir[64];
    Target target;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/dlcc-cache-XXXXXX");
    if (!mkdtemp(f->dir) || !target_parse("x86-64-v3", &f->target))
        return -1;
    setenv("DLCC_CACHE", f->dir, 1);
    unsetenv("DLCC_CACHE_BYTES");
    *state = f;
    return 0;
}

/* Names in the directory; each is given to `use` when not NULL. */
static int each_file(const Fixture *f, void (*use)(const char *path))
{
    DIR *d = opendir(f->dir);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", f->dir, e->d_name);
        if (*e->d_name != '.') {
            n++;
            if (use)
                use(path);
        }
    }
    if (d)
        closedir(d);
    return n;
}

static void remove_file(const char *path)
{
    unlink(path);
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    each_file(f, remove_file);
    rmdir(f->dir);
    free(f);
    return 0;
}

static KernelObject sample(void)
{
    static uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    return (KernelObject){
        .bytes = bytes, .size = sizeof bytes, .grid = { 3, 2, 16, 5 }, .spilled = true
    };
}

static bool get(const Fixture *f, const char *text, const char *symbol, KernelObject *out)
{
    Cache *c = cache_open();
    assert_non_null(c);
    bool ok = cache_get(c, text, &f->target, symbol, out);
    cache_close(c);
    return ok;
}

static void put(const Fixture *f, const char *text, const char *symbol)
{
    Cache *c = cache_open();
    KernelObject o = sample();
    assert_non_null(c);
    cache_put(c, text, &f->target, symbol, &o);
    cache_close(c);
}

static void test_round_trip(void **state)
{
    const Fixture *f = *state;
    KernelObject o, s = sample();
    assert_false(get(f, "kernel", "k1", &o));
    put(f, "kernel", "k1");
    assert_true(get(f, "kernel", "k1", &o));
    assert_int_equal(o.size, s.size);
    assert_memory_equal(o.bytes, s.bytes, s.size);
    assert_int_equal(o.grid.tiles, 3);
    assert_int_equal(o.grid.batch_scale, 2);
    assert_int_equal(o.grid.batch_tile, 16);
    assert_int_equal(o.grid.grain, 5);
    assert_true(o.spilled);
    kernel_object_free(&o);
    assert_false(get(f, "kernel ", "k1", &o));
    assert_false(get(f, "kernel", "k2", &o));
    Fixture other = *f;
    assert_true(target_parse("x86-64", &other.target));
    assert_false(get(&other, "kernel", "k1", &o));
}

static char the_path[400];

static void keep_path(const char *path)
{
    snprintf(the_path, sizeof the_path, "%s", path);
}

/* Every byte matters; a damaged file is replaced by the next put. */
static void test_damage(void **state)
{
    const Fixture *f = *state;
    KernelObject o;
    put(f, "kernel", "k");
    assert_int_equal(each_file(f, keep_path), 1);
    struct stat s;
    assert_int_equal(stat(the_path, &s), 0);
    for (long at = 0; at < s.st_size; at += at < 100 ? 1 : 37) {
        FILE *file = fopen(the_path, "r+b");
        fseek(file, at, SEEK_SET);
        int was = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(was ^ 16, file);
        fclose(file);
        if (get(f, "kernel", "k", &o))
            fail_msg("a change of byte %ld was not seen", at);
        put(f, "kernel", "k");
        assert_true(get(f, "kernel", "k", &o));
        kernel_object_free(&o);
    }
    assert_int_equal(truncate(the_path, s.st_size - 1), 0);
    assert_false(get(f, "kernel", "k", &o));
    assert_int_equal(truncate(the_path, 0), 0);
    assert_false(get(f, "kernel", "k", &o));
    assert_int_equal(each_file(f, NULL), 1);
}

static void test_trust(void **state)
{
    const Fixture *f = *state;
    KernelObject o;
    put(f, "kernel", "k");
    assert_int_equal(each_file(f, keep_path), 1);
    assert_int_equal(chmod(the_path, 0622), 0);
    assert_false(get(f, "kernel", "k", &o));
}

static void test_eviction(void **state)
{
    const Fixture *f = *state;
    setenv("DLCC_CACHE_BYTES", "40000", 1);
    Cache *c = cache_open();
    KernelObject o = sample();
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof text, "kernel %d", i);
        if (i == 1 || i == 99) /* times of files are only as fine as the kernel's tick */
            usleep(50000);
        cache_put(c, text, &f->target, "k", &o);
    }
    cache_close(c);
    int n = each_file(f, NULL);
    assert_in_range(n, 10, 40);
    assert_true(get(f, "kernel 99", "k", &o));
    kernel_object_free(&o);
    assert_false(get(f, "kernel 0", "k", &o));
}

static void test_off(void **state)
{
    (void)state;
    KernelObject o = sample();
    Target t;
    assert_true(target_parse("x86-64", &t));
    setenv("DLCC_CACHE", "off", 1);
    assert_null(cache_open());
    cache_put(NULL, "kernel", &t, "k", &o);
    assert_false(cache_get(NULL, "kernel", &t, "k", &o));
    cache_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = { TEST(test_round_trip), TEST(test_damage), TEST(test_trust),
                                        TEST(test_eviction), TEST(test_off) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
