/* bench.c: the verb `bench`: how long a step and each export take.
 *
 * Random inputs at the largest batch; the learning rate is 0, so that parameters stay what they
 * are. A round is as many calls as take some 50 ms; the median of seven rounds is told, since the
 * minimum flatters and the mean has the machine's hiccups in it. */
#include "driver/inputs.h"
#include "driver/verbs.h"
#include "runtime/host/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 7 };
#define ROUND_SECONDS 0.05

typedef struct {
    Engine *e;
    const DlrtEntry *entry;
    uint32_t number;
    void *in[DLRT_MAX_VALUES], *out[DLRT_MAX_VALUES];
} Bench;

static void *make(const DlrtValue *v, int64_t B, uint64_t seed)
{
    int64_t elements, bytes;
    void *p = NULL;
    if (!value_bytes(v, B, &elements, &bytes) || posix_memalign(&p, 64, (size_t)bytes + 64))
        return NULL;
    memset(p, 0, (size_t)bytes);
    value_random(v, elements, seed, p);
    return p;
}

static bool call(Bench *b)
{
    DlrtContext *cx = b->e->cx;
    int rc = dlrt_run(cx, b->entry, b->entry->max_batch, (const void *const *)b->in, b->out);
    if (rc)
        diag_report(b->e->run->cx, rc == DLRT_E_NAN ? DIAG_E0907 : DIAG_E0908, 0, "%s: %s",
                    b->entry->name, *dlrt_message(cx) ? dlrt_message(cx) : dlrt_error(rc));
    return !rc;
}

static bool time_calls(Bench *b, int64_t calls, double *out_seconds)
{
    double start = host_clock();
    for (int64_t i = 0; i < calls; i++)
        if (!call(b))
            return false;
    *out_seconds = host_clock() - start;
    return true;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of a call. */
static bool measure(Bench *b, double *out_seconds)
{
    double rounds[ROUNDS], once;
    int64_t calls = 1;
    if (!call(b)) /* pages and caches */
        return false;
    for (; time_calls(b, calls, &once) && once < ROUND_SECONDS / 2 && calls < INT64_C(1) << 40;)
        calls = once > 1e-6 ? (int64_t)((double)calls * fmin(ROUND_SECONDS / once, 10)) + 1
                            : calls * 10;
    if (b->e->run->cx->errors)
        return false;
    for (int i = 0; i < ROUNDS; i++) {
        if (!time_calls(b, calls, &rounds[i]))
            return false;
        rounds[i] /= (double)calls;
    }
    qsort(rounds, ROUNDS, sizeof *rounds, compare);
    *out_seconds = rounds[ROUNDS / 2];
    return true;
}

static bool print_result(const Bench *b, double seconds)
{
    const Run *r = b->e->run;
    double flops = engine_flops(b->e, b->number), B = (double)b->entry->max_batch;
    char time[HOST_NUMBER_SIZE], rate[HOST_NUMBER_SIZE];
    if (option_given(&r->options, OPT_JSON)) {
        HostEvent event;
        host_event_begin(&event, stdout, "bench");
        host_event_string(&event, "entry", b->entry->name);
        host_event_int(&event, "batch", b->entry->max_batch);
        host_event_double(&event, "seconds", seconds);
        host_event_double(&event, "flop", flops);
        return host_event_end(&event);
    }
    if (seconds < 1e-3)
        snprintf(time, sizeof time, "%.3g us", seconds * 1e6);
    else
        snprintf(time, sizeof time, "%.3g ms", seconds * 1e3);
    printf("%-16s B %-6lld %10s %9s items/s", b->entry->name, (long long)b->entry->max_batch, time,
           host_format_rate(rate, B / seconds));
    if (flops > 0) /* a library does not say */
        printf(" %8.2f GFLOP/s", flops / seconds / 1e9);
    putchar('\n');
    fflush(stdout);
    return true;
}

static bool bench_entry(Engine *e, uint32_t number)
{
    Bench b = { .e = e, .entry = &e->model->entries[number], .number = number };
    bool ok = true;
    double seconds;
    for (uint32_t i = 0; i < b.entry->input_count; i++)
        ok &= (b.in[i] = make(&b.entry->inputs[i], b.entry->max_batch, i * UINT64_C(77777777))) !=
              NULL;
    for (uint32_t i = 0; i < b.entry->output_count; i++)
        ok &= (b.out[i] = make(&b.entry->outputs[i], b.entry->max_batch, 0)) != NULL;
    if (!ok)
        diag_report(e->run->cx, DIAG_E0609, 0, "no memory for the arrays of `%s`", b.entry->name);
    ok = ok && measure(&b, &seconds) && print_result(&b, seconds);
    for (uint32_t i = 0; i < DLRT_MAX_VALUES; i++) {
        free(b.in[i]);
        free(b.out[i]);
    }
    return ok;
}

static bool is_wanted(Engine *e, uint32_t number)
{
    const char *wanted = e->entries;
    const char *name = e->model->entries[number].name;
    bool step = false;
    for (uint32_t i = 0; i < e->model->update_count; i++)
        step |= e->model->updates[i].entry == number;
    if (wanted)
        return !strcmp(wanted, name);
    return step || engine_is_export(e, number);
}

int verb_bench(Run *r)
{
    Engine e;
    int code = engine_open_named(r, &e);
    if (!code) {
        bool ok = !dlrt_set(e.cx, "lr", 0), any = false;
        for (uint32_t i = 0; ok && i < e.model->entry_count; i++)
            if (is_wanted(&e, i)) {
                any = true;
                ok = bench_entry(&e, i);
            }
        if (ok && !any)
            diag_report(r->cx, DIAG_E0909, 0, "%s has no such entry", e.model->name);
        code = run_finish(r);
    }
    engine_close(&e);
    return code;
}
