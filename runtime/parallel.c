/* parallel.c: parallel regions on OpenMP, and knowing when not to open one.
 *
 * After fork() the child has one thread, but libgomp still believes in the pool of its parent
 * and waits for it for ever. No library call tells; a process id kept in the context does when
 * the context is older than the fork, and for a context made later the kernel's own flag "forked
 * but did not exec" in /proc/self/stat. Such processes run on one thread: the same bits, only
 * slower. */
#include "runtime/parallel.h"

#include <fcntl.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void dlrt_parallel(int threads, void (*body)(void *arg, int thread, int threads), void *arg)
{
    if (threads <= 1) {
        body(arg, 0, 1);
        return;
    }
#pragma omp parallel num_threads(threads)
    body(arg, omp_get_thread_num(), omp_get_num_threads());
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

void dlrt_barrier(DlrtBarrier *b, int threads)
{
    enum { SPINS = 2000 };
    uint32_t round = atomic_load_explicit(&b->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == (uint32_t)threads) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&b->round, round + 1, memory_order_release);
        return;
    }
    for (int i = 0; atomic_load_explicit(&b->round, memory_order_acquire) == round; i++)
        if (i < SPINS)
            relax();
        else
            sched_yield();
}

int dlrt_parallel_limit(void)
{
    return omp_get_max_threads();
}

/* Field 9 of /proc/self/stat, counted after the name in parentheses, which may hold anything. */
static int forked_without_exec(void)
{
    enum { PF_FORKNOEXEC = 0x40 };
    char text[512];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    char *p = strrchr(text, ')');
    for (int field = 2; p && field < 9; field++)
        p = strchr(p + 1, ' ');
    return p && strtoul(p + 1, NULL, 10) & PF_FORKNOEXEC;
}

int64_t dlrt_process_mark(void)
{
    return forked_without_exec() ? 0 : (int64_t)getpid();
}

int dlrt_threads_are_safe(int64_t mark)
{
    return mark && mark == (int64_t)getpid();
}
