/* progress.c: one line that says how a run goes.
 *
 * A terminal gets a line that is redrawn in place, at most ten times a second; anything else a
 * plain line every ten seconds, so that a log stays readable. Time comes from the caller, which
 * makes it testable. */
#include "runtime/host/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 512, BAR_CELLS = 15, PARTS = 9 };
#define TERMINAL_INTERVAL 0.1 /* seconds */
#define PLAIN_INTERVAL 10.0

double host_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int terminal_columns(FILE *out)
{
    struct winsize size = { 0 };
    return ioctl(fileno(out), TIOCGWINSZ, &size) || !size.ws_col ? 80 : size.ws_col;
}

void host_progress_start(HostProgress *progress, FILE *out, bool quiet, double now)
{
    *progress = (HostProgress){ .out = out, .quiet = quiet, .shown = now };
    progress->terminal = isatty(fileno(out));
    progress->columns = progress->terminal ? terminal_columns(out) : 0;
}

/* ---- The text ---- */

typedef struct {
    char text[80];
    int drop; /* 0: stays; else dropped in the order 1, 2, ... when the line is too long */
} Part;

static double finite_or(double v, double other)
{
    return isfinite(v) ? v : other;
}

/* "[########-------]" and "1461/2811" */
static void place_parts(const HostStatus *s, bool bar, Part *parts, int *n)
{
    double share = s->steps > 0 ? (double)s->step / (double)s->steps : 0;
    int full = (int)(BAR_CELLS * (share < 0 ? 0 : share > 1 ? 1 : share));
    if (s->epoch > 0)
        snprintf(parts[(*n)++].text, 80, "epoch %" PRId64, s->epoch);
    if (bar && s->steps > 0) {
        parts[*n].drop = 4;
        snprintf(parts[(*n)++].text, 80, "[%.*s%.*s]", full, "###############", BAR_CELLS - full,
                 "---------------");
    }
    if (s->steps > 0)
        snprintf(parts[(*n)++].text, 80, "%" PRId64 "/%" PRId64, s->step, s->steps);
    else
        snprintf(parts[(*n)++].text, 80, "step %" PRId64, s->step);
}

static void value_parts(const HostStatus *s, Part *parts, int *n)
{
    char a[HOST_NUMBER_SIZE], b[HOST_NUMBER_SIZE];
    host_format_value(a, s->loss);
    if (isnan(s->loss_average))
        snprintf(parts[(*n)++].text, 80, "loss %s", a);
    else
        snprintf(parts[(*n)++].text, 80, "loss %s (avg %s)", a,
                 host_format_value(b, s->loss_average));
    if (s->metric && s->metric_percent)
        snprintf(parts[*n].text, 80, "%.40s %.1f %%", s->metric, 100 * s->metric_value);
    else if (s->metric)
        snprintf(parts[*n].text, 80, "%.40s %s", s->metric, host_format_value(a, s->metric_value));
    if (s->metric)
        parts[(*n)++].drop = 3;
    if (!isnan(s->lr)) {
        parts[*n].drop = 2;
        snprintf(parts[(*n)++].text, 80, "lr %s", host_format_value(a, s->lr));
    }
}

static void rate_parts(const HostStatus *s, double steps_per_second, Part *parts, int *n)
{
    char a[HOST_NUMBER_SIZE];
    double rate = finite_or(steps_per_second, 0);
    if (rate <= 0)
        return;
    if (s->items_per_step > 0) {
        parts[*n].drop = 5;
        snprintf(parts[(*n)++].text, 80, "%s %.16s/s",
                 host_format_rate(a, rate * s->items_per_step), s->unit ? s->unit : "items");
    }
    if (s->flop_per_step > 0) {
        parts[*n].drop = 1;
        snprintf(parts[(*n)++].text, 80, "%.*f GFLOP/s", rate * s->flop_per_step < 9.95e9 ? 1 : 0,
                 finite_or(fmin(rate * s->flop_per_step, 1e21), 0) / 1e9);
    }
    double left = s->steps_left >= 0 ? (double)s->steps_left
                : s->steps > 0       ? (double)s->steps - (double)s->step
                                     : -1;
    if (left > 0) {
        parts[*n].drop = 6;
        snprintf(parts[(*n)++].text, 80, "ETA %s", host_format_duration(a, left / rate));
    }
}

void host_progress_text(const HostStatus *status, double steps_per_second, bool bar, int columns,
                        char *out, size_t size)
{
    Part parts[PARTS] = { 0 };
    int n = 0;
    place_parts(status, bar, parts, &n);
    value_parts(status, parts, &n);
    rate_parts(status, steps_per_second, parts, &n);
    for (int dropped = 0; dropped <= 6; dropped++) {
        size_t at = 0;
        out[0] = 0;
        for (int i = 0; i < n; i++)
            if (!parts[i].drop || parts[i].drop > dropped)
                at += (size_t)snprintf(out + (at < size ? at : size), at < size ? size - at : 0,
                                       "%s%s",
                                       at ? "  " : "", parts[i].text);
        if (columns <= 0 || at <= (size_t)columns)
            return;
    }
    if ((size_t)columns < size)
        out[columns] = 0;
}

/* ---- Drawing ---- */

bool host_progress_due(HostProgress *progress, double now)
{
    double interval = progress->terminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL;
    progress->calls++;
    return !progress->quiet && now - progress->shown >= interval;
}

void host_progress_update(HostProgress *progress, const HostStatus *status, double now)
{
    HostProgress *p = progress;
    double passed = now - p->shown;
    /* Smoothed over about a second of drawings, so that the ETA does not flicker. */
    double rate = (double)p->calls / passed;
    double keep = p->steps_per_second > 0 ? exp(-passed) : 0;
    p->steps_per_second = keep * p->steps_per_second + (1 - keep) * rate;
    p->calls = 0;
    p->shown = now;
    char text[LINE_MAX_BYTES];
    host_progress_text(status, p->steps_per_second, p->terminal, p->terminal ? p->columns - 1 : 0,
                       text, sizeof text);
    fprintf(p->out, p->terminal ? "\r%s\033[K" : "%s\n", text);
    fflush(p->out);
    p->drawn = p->terminal;
}

void host_progress_clear(HostProgress *progress)
{
    if (!progress->drawn)
        return;
    fputs("\r\033[K", progress->out);
    fflush(progress->out);
    progress->drawn = false;
}

void host_progress_say(HostProgress *progress, const char *format, ...)
{
    if (progress->quiet)
        return;
    host_progress_clear(progress);
    va_list args;
    va_start(args, format);
    vfprintf(progress->out, format, args);
    va_end(args);
    fputc('\n', progress->out);
    fflush(progress->out);
}
