/* step.c: times the training call of a built library, or one of its exports, as a C program would
 * use it.
 * usage: step LIB.so PREFIX BATCH THREADS ROUNDS SECONDS x=f32:13 y=f32:1@0 ...
 * (field=dtype:elements of one example[@bound]) Prints one JSON line: median and least seconds of a
 * step over rounds, and the loss at the end. The data are random numbers (labels below the bound),
 * never zeros; one batch, used again and again. With a field NAME=out:ELEMENTS behind them it is
 * the export NAME that is called, whose arguments have no B, and "loss" is its first result. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_FIELDS = 4, MAX_ROUNDS = 64 };

typedef int Train(void *cx, size_t n, const void *a, const void *b, size_t steps, float *out_loss);
typedef int Export(void *cx, const void *x, void *out);
typedef int Init(uint64_t abi, void *mem, size_t size, uint64_t seed, void **out_cx);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint32_t state = 12345;
static uint32_t next(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* Sum of four uniforms: near enough to normal for timing. */
static float normal(void)
{
    float s = 0;
    for (int i = 0; i < 4; i++)
        s += (float)next() / (float)(1 << 24);
    return (s - 2) * 1.7f;
}

static void *make_field(const char *spec, size_t batch)
{
    const char *kind = strchr(spec, '=') + 1, *colon = strchr(kind, ':'), *at = strchr(kind, '@');
    size_t n = batch * strtoul(colon + 1, NULL, 10);
    uint32_t bound = at ? (uint32_t)strtoul(at + 1, NULL, 10) : 0;
    void *p = aligned_alloc(64, (n * 8 + 63) / 64 * 64);
    for (size_t i = 0; i < n; i++)
        if (!strncmp(kind, "f32", 3))
            ((float *)p)[i] = bound ? (float)(next() % bound) : normal();
        else if (!strncmp(kind, "i32", 3))
            ((int32_t *)p)[i] = (int32_t)(next() % (bound ? bound : 10));
        else
            ((uint8_t *)p)[i] = (uint8_t)(next() % (bound ? bound : 256));
    return p;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void *symbol(void *lib, const char *prefix, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s_%s", prefix, name);
    void *p = dlsym(lib, full);
    if (!p) {
        fprintf(stderr, "no symbol %s\n", full);
        exit(2);
    }
    return p;
}

/* `steps` training steps, or calls of an export; its results go to the field after its argument. */
static int run(void *call, int is_export, void *cx, size_t batch, void **fields, size_t steps,
               float *out_loss)
{
    if (!is_export)
        return ((Train *)call)(cx, batch, fields[0], fields[1], steps, out_loss);
    int code = 0;
    for (size_t i = 0; i < steps && !code; i++)
        code = ((Export *)call)(cx, fields[0], fields[1]);
    *out_loss = *(float *)fields[1];
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 8)
        return fprintf(stderr,
                       "usage: step LIB.so PREFIX BATCH THREADS ROUNDS SECONDS FIELD [FIELD]\n"),
               2;
    void *lib = dlopen(argv[1], RTLD_NOW), *cx, *fields[MAX_FIELDS] = { 0 };
    if (!lib)
        return fprintf(stderr, "%s\n", dlerror()), 2;
    size_t batch = strtoul(argv[3], NULL, 10);
    int rounds = atoi(argv[5]);
    double seconds = strtod(argv[6], NULL), times[MAX_ROUNDS];
    uint64_t (*abi)(void) = (uint64_t(*)(void))symbol(lib, argv[2], "abi");
    Init *init = (Init *)symbol(lib, argv[2], "init");
    char name[64] = "train", *out = strstr(argv[argc - 1], "=out:");
    if (out)
        snprintf(name, sizeof name, "%.*s", (int)(out - argv[argc - 1]), argv[argc - 1]);
    void *call = symbol(lib, argv[2], name);
    int (*set_threads)(void *, int) = (int (*)(void *, int))symbol(lib, argv[2], "set_threads");
    if (init(abi(), NULL, 0, 1, &cx))
        return fprintf(stderr, "init failed\n"), 2;
    set_threads(cx, atoi(argv[4]));
    for (int i = 7; i < argc && i < 7 + MAX_FIELDS; i++)
        fields[i - 7] = make_field(argv[i], batch);
    float loss = 0;
    size_t steps = 1;
    for (double took = 0; took < seconds / rounds / 4;
         steps *= 2) { /* warm up, and find how many steps make a round */
        double start = now();
        if (run(call, out != NULL, cx, batch, fields, steps, &loss))
            return fprintf(stderr, "%s failed\n", name), 2;
        took = now() - start;
    }
    if (rounds > MAX_ROUNDS)
        rounds = MAX_ROUNDS;
    for (int r = 0; r < rounds; r++) {
        double start = now();
        run(call, out != NULL, cx, batch, fields, steps, &loss);
        times[r] = (now() - start) / (double)steps;
    }
    qsort(times, (size_t)rounds, sizeof *times, by_value);
    printf("{\"median_s\": %.9g, \"min_s\": %.9g, \"loss\": %.6g}\n", times[rounds / 2], times[0],
           loss);
    return 0;
}
