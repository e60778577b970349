/* parallel.h: threads. The one file behind it, parallel.c, is the only one that knows OpenMP. */
#ifndef DLCC_RUNTIME_PARALLEL_H
#define DLCC_RUNTIME_PARALLEL_H
#include <stdint.h>

/* Runs body(arg, thread, threads) on each of at most `threads` threads, 1 <= threads, and returns
 * when all have ended. Fewer may come than were asked for; each is told how many there are. */
void dlrt_parallel(int threads, void (*body)(void *arg, int thread, int threads), void *arg);

/* Waits until all `threads` threads of the region have called it. Begins as zeros; may be used
 * again at once. Spins for some microseconds, then gives the core away: on a machine that is also
 * busy with other work, pure spinning keeps the very thread from running that is waited for. */
typedef struct {
    _Atomic uint32_t arrived, round;
} DlrtBarrier;
void dlrt_barrier(DlrtBarrier *b, int threads);

/* The threads OpenMP would start here (OMP_NUM_THREADS, nesting). */
int dlrt_parallel_limit(void);

/* An identity of this process for dlrt_threads_are_safe: 0 if threads can never be started in it
 * (it was forked without exec from one that may have had some). */
int64_t dlrt_process_mark(void);

/* Whether regions with several threads are safe here, given the mark taken when the context was
 * made. In a forked child they are not: OpenMP would wait for workers that only the parent has. */
int dlrt_threads_are_safe(int64_t mark);

#endif
