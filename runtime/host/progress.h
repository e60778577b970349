/* progress.h: what a run says while it goes on: the progress line, NDJSON events, numbers for
 * people; and the lock that keeps two trainers out of one folder. */
#ifndef DLCC_RUNTIME_HOST_PROGRESS_H
#define DLCC_RUNTIME_HOST_PROGRESS_H
#include "runtime/host/host.h"

#include <stdio.h>

/* ---- Numbers for people; each returns `out` ---- */
enum { HOST_NUMBER_SIZE = 32 };
char *host_format_count(char out[HOST_NUMBER_SIZE], int64_t n); /* 61,706 */
char *host_format_rate(char out[HOST_NUMBER_SIZE], double per_second); /* 812  61k  1.4M */
char *host_format_bytes(char out[HOST_NUMBER_SIZE], int64_t bytes); /* 512 B  2.7 MiB */
char *host_format_duration(char out[HOST_NUMBER_SIZE],
                           double seconds); /* 84 ms  1.4 s  2:05  3:10:00 */
char *host_format_value(char out[HOST_NUMBER_SIZE], double value); /* 0.341  1.4e-3  2.36e4  nan */

/* ---- The progress line ---- */
typedef struct {
    int64_t epoch;             /* from 1; 0: runs are counted in steps only */
    int64_t step, steps;       /* in this epoch (or run); steps 0: unknown */
    int64_t steps_left;        /* of the whole run, for the ETA; < 0: steps - step */
    double loss, loss_average; /* NaN average: not shown */
    const char *metric;        /* NULL: none */
    double metric_value;
    bool metric_percent;       /* show the value times 100, as "86.9 %" */
    double lr;                 /* NaN: not shown */
    double items_per_step, flop_per_step; /* 0: not shown */
    const char *unit;          /* "img", "tok"; NULL: "items" */
} HostStatus;
typedef struct {
    FILE *out;
    bool terminal; /* redraws one line, at most 10 times a second; else a line every 10 s */
    bool quiet;
    int columns;
    double shown;         /* seconds on the caller's clock: the last drawing, or the start */
    double steps_per_second; /* smoothed; 0: not known yet */
    int64_t calls;        /* steps since `shown` */
    bool drawn;           /* the line stands on the terminal */
} HostProgress;
/* `out` is asked whether it is a terminal and how wide. */
void host_progress_start(HostProgress *progress, FILE *out, bool quiet, double now);
/* Call after every step: whether it is time to draw, so that what is drawn need not be computed for
 * every step. `now` in seconds on any monotonic clock. */
bool host_progress_due(HostProgress *progress, double now);
/* Draws; call when it is due. */
void host_progress_update(HostProgress *progress, const HostStatus *status, double now);
/* Erases the redrawn line, so that something else can be printed; the next update draws it again.
 */
void host_progress_clear(HostProgress *progress);
/* Clears, and prints a full line ("epoch 1  loss 0.546  accuracy 86.9 %"): unless quiet. */
void host_progress_say(HostProgress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The line as text, at most `columns` wide when columns > 0: what update draws. */
void host_progress_text(const HostStatus *status, double steps_per_second, bool bar, int columns,
                        char *out, size_t size);
/* Seconds on the monotonic clock. */
double host_clock(void);

/* ---- NDJSON events: {"v":1,"event":"step",...}, keys in the order of the calls ---- */
typedef struct {
    FILE *out;
    char *text;
    size_t size, capacity;
    bool failed; /* out of memory or a failed write; end reports it */
} HostEvent;
void host_event_begin(HostEvent *event, FILE *out, const char *kind);
void host_event_int(HostEvent *event, const char *key, int64_t value);
/* float: %.9g, double: %.17g, so that both read back as they were; NaN and infinities as "nan"
 * "inf" "-inf". */
void host_event_float(HostEvent *event, const char *key, float value);
void host_event_double(HostEvent *event, const char *key, double value);
void host_event_bool(HostEvent *event, const char *key, bool value);
/* Escaped; bytes that are not UTF-8 become U+FFFD. NULL is null. */
void host_event_string(HostEvent *event, const char *key, const char *value);
/* Writes the line and flushes. False when it could not be written (a closed pipe, a full disk). */
bool host_event_end(HostEvent *event);

/* The events of a training run, so that their keys stand in one place. A learning rate of NaN is
 * not known: null. */
bool host_event_step(FILE *out, int64_t step, int64_t epoch, float loss, float lr, double seconds);
bool host_event_metric(FILE *out, int64_t step, int64_t epoch, const char *name, double value);
bool host_event_save(FILE *out, int64_t step, int64_t epoch, const char *path);
bool host_event_diagnostic(FILE *out, const char *code, const char *severity, const char *message);
bool host_event_stop(FILE *out, int64_t step, int64_t epoch, const char *reason, int exit_code);

/* ---- The lock ---- */
typedef struct {
    int fd; /* -1: not held */
    char *path;
} HostLock;
/* Locks `folder` by flock on its file `.dlrun.lock`. E0901 names the holder. A lock of a process
 * that died is none. On a file system without flock it is E0902. */
bool host_lock_take(const char *folder, HostLock *out_lock, HostError *out_error);
void host_lock_release(HostLock *lock);

#endif
