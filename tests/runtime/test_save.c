/* Saving when things go wrong: a save that fails, or is killed, at any system call leaves a whole
 * file. */
#include "tests/runtime/checkpoint_case.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- System calls that fail, or kill, when told so. They stand before libc's. ---- */

static struct {
    int at;      /* number of the call that fails; 0: none */
    int count;
    bool kill;   /* it ends the process instead */
    int error;
} trap;

static bool trapped(void)
{
    if (!trap.at || ++trap.count != trap.at)
        return false;
    if (trap.kill)
        _exit(77);
    errno = trap.error;
    return true;
}

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n)
{
    if (trapped()) {
        if (n > 8 && trap.error == ENOSPC && REAL(write)(fd, data, n / 2) < 0) /* half fits */
            return -1;
        errno = trap.error;
        return -1;
    }
    return REAL(write)(fd, data, n);
}

int fsync(int fd)
{
    return trapped() ? -1 : REAL(fsync)(fd);
}

int ftruncate(int fd, off_t n)
{
    return trapped() ? -1 : REAL(ftruncate)(fd, n);
}

int rename(const char *from, const char *to)
{
    return trapped() ? -1 : REAL(rename)(from, to);
}

int link(const char *from, const char *to)
{
    return trapped() ? -1 : REAL(link)(from, to);
}

int unlink(const char *path)
{
    return trapped() ? -1 : REAL(unlink)(path);
}

/* Which of the two saved runs a file holds; fails if none, or if it is damaged. */
static int steps_in(const char *path)
{
    DlrtContext *cx = toy_new(&toy_model, 1);
    int rc = dlrt_load(cx, DLRT_FILE_STATE, path);
    if (rc)
        fail_msg("%s", dlrt_message(cx));
    int steps = (int)cx->clock.step;
    dlrt_free(cx);
    return steps;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void test_failing_calls(void **state)
{
    (void)state;
    static const int errors[] = { ENOSPC, EIO };
    DlrtContext *old = trained(9, 5), *next = trained(9, 8);
    for (size_t e = 0; e < 2; e++) {
        for (int had = 0; had < 3; had++) { /* no file; a file; a file and a previous one */
            int at = 0, rc;
            do {
                const char *path = in_folder("fail"), *tmp = in_folder("fail.tmp");
                const char *prev = in_folder("fail.prev");
                trap.at = 0;
                unlink(path), unlink(prev), unlink(tmp);
                for (int i = 0; i < had; i++)
                    assert_int_equal(dlrt_save(old, DLRT_FILE_STATE, path), DLRT_OK);
                trap.error = errors[e];
                trap.count = 0;
                trap.at = ++at;
                rc = dlrt_save(next, DLRT_FILE_STATE, path);
                bool happened = trap.count >= at;
                trap.at = 0;
                if (!happened)
                    break;
                if (rc == DLRT_OK) { /* a link that fails has another way, a lost lock too */
                    assert_int_equal(steps_in(path), 8);
                } else {
                    assert_int_equal(rc, DLRT_E_IO);
                    assert_true(strlen(dlrt_message(next)) > 10);
                    if (had)
                        assert_int_equal(steps_in(path), 5);
                    else
                        assert_false(exists(path));
                }
            } while (at < 100);
            assert_true(at > 4 && at < 100);
            assert_int_equal(rc, DLRT_OK);
            assert_int_equal(steps_in(in_folder("fail")), 8);
        }
    }
    dlrt_free(old);
    dlrt_free(next);
}

/* Killed at each system call: path or path.prev is whole, and the next save works. */
static void test_killed_at_each_call(void **state)
{
    (void)state;
    DlrtContext *old = trained(9, 5), *next = trained(9, 8);
    const char *path = in_folder("kill"), *prev = in_folder("kill.prev");
    int at = 0, status;
    do {
        trap.at = 0;
        unlink(path), unlink(prev);
        assert_int_equal(dlrt_save(old, DLRT_FILE_STATE, path), DLRT_OK);
        assert_int_equal(dlrt_save(old, DLRT_FILE_STATE, path), DLRT_OK);
        at++;
        pid_t child = fork();
        if (child == 0) {
            trap.kill = true;
            trap.count = 0;
            trap.at = at;
            _exit(dlrt_save(next, DLRT_FILE_STATE, path));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        int steps = steps_in(path);
        assert_true(steps == 5 || steps == 8);
        assert_int_equal(dlrt_save(next, DLRT_FILE_STATE, path), DLRT_OK);
        assert_int_equal(steps_in(path), 8);
        steps_in(prev);
    } while (WEXITSTATUS(status) == 77 && at < 100);
    assert_int_equal(status, 0);
    assert_true(at > 6);
    dlrt_free(old);
    dlrt_free(next);
}

/* kill -9 at random moments while a child saves as fast as it can. */
static void test_killed_at_random(void **state)
{
    (void)state;
    DlrtContext *cx = trained(9, 5);
    const char *path = in_folder("random");
    assert_int_equal(dlrt_save(cx, DLRT_FILE_STATE, path), DLRT_OK);
    for (uint64_t i = 0; i < 25; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (;;) {
                cx->clock.step += 1;
                dlrt_save(cx, DLRT_FILE_STATE, path);
            }
        }
        usleep(1000 + dlrt_random(3, 0, 0, 0, i).word[0] % 8000);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_true(steps_in(path) >= 5);
    }
    dlrt_free(cx);
}

/* A file-size limit is a full disk that any user can make. */
static void test_full_disk(void **state)
{
    (void)state;
    DlrtContext *old = trained(9, 5), *next = trained(9, 8);
    const char *path = in_folder("full"), *tmp = in_folder("full.tmp");
    int status;
    assert_int_equal(dlrt_save(old, DLRT_FILE_STATE, path), DLRT_OK);
    for (rlim_t limit = 0; limit < 4096; limit += 512) {
        pid_t child = fork();
        if (child == 0) {
            struct rlimit r = { limit, limit };
            signal(SIGXFSZ, SIG_IGN);
            if (setrlimit(RLIMIT_FSIZE, &r))
                _exit(100);
            int rc = dlrt_save(next, DLRT_FILE_STATE, path);
            _exit(rc == DLRT_E_IO && !strstr(dlrt_message(next), "too large") ? 99 : rc);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(status, limit >= (rlim_t)info.st_size ? 0 : DLRT_E_IO << 8);
        assert_int_equal(steps_in(path), limit >= (rlim_t)info.st_size ? 8 : 5);
        assert_false(exists(tmp));
    }
    dlrt_free(old);
    dlrt_free(next);
}

static void test_two_writers(void **state)
{
    (void)state;
    DlrtContext *cx = trained(9, 5);
    const char *path = in_folder("two");
    assert_int_equal(dlrt_save(cx, DLRT_FILE_STATE, path), DLRT_OK);
    int fd = open(in_folder("two.tmp"), O_WRONLY | O_CREAT, 0666);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(dlrt_save(cx, DLRT_FILE_STATE, path), DLRT_E_IO);
    assert_non_null(strstr(dlrt_message(cx), "another process"));
    close(fd);
    assert_int_equal(dlrt_save(cx, DLRT_FILE_STATE, path), DLRT_OK);
    dlrt_free(cx);
}

/* ---- Memory that runs out. Sanitizers have allocators of their own. ---- */

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define ALLOCATIONS_FAIL 1
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
static int allocations_left = -1; /* not negative: so many succeed, then one fails */

static bool out_of_memory(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *malloc(size_t size)
{
    return out_of_memory() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return out_of_memory() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return out_of_memory() ? NULL : __libc_realloc(p, size);
}
#endif

static void test_no_memory(void **state)
{
    (void)state;
#ifdef ALLOCATIONS_FAIL
    static char before[CONTEXT_BYTES];
    DlrtContext *old = trained(9, 5), *next = trained(9, 8);
    const char *path = in_folder("memory");
    int rc, at = 0;
    do { /* saving */
        assert_int_equal(dlrt_save(old, DLRT_FILE_STATE, path), DLRT_OK);
        allocations_left = at;
        rc = dlrt_save(next, DLRT_FILE_STATE, path);
        allocations_left = -1;
        assert_true(rc == DLRT_OK || rc == DLRT_E_NOMEM);
        assert_int_equal(steps_in(path), rc ? 5 : 8);
    } while (rc && ++at < 100);
    assert_true(at > 3 && at < 100);
    memcpy(before, old, CONTEXT_BYTES);
    for (at = 0, rc = 1; at < 100 && rc; at++) { /* loading */
        allocations_left = at;
        rc = dlrt_load(old, DLRT_FILE_STATE, path);
        allocations_left = -1;
        assert_true(rc == DLRT_OK || rc == DLRT_E_NOMEM);
        if (rc)
            assert_same_bytes(old, before);
        else
            assert_true(old->clock.step == 8);
    }
    assert_true(at > 3);
    allocations_left = 0;
    DlrtContext *cx;
    rc = dlrt_init(&toy_model, TOY_ABI, NULL, 0, 1, &cx);
    allocations_left = -1;
    assert_int_equal(rc, DLRT_E_NOMEM);
    assert_null(cx);
    dlrt_free(old);
    dlrt_free(next);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_calls),   cmocka_unit_test(test_killed_at_each_call),
        cmocka_unit_test(test_killed_at_random), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_two_writers),     cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
