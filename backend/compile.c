/* compile.c: all kernels of a Program to objects, on two threads that take the next kernel each,
 * the longest first, so that both end together.
 *
 * A kernel's symbol is a hash of its text and of the target: it names the code itself, so that
 * equal kernels are one object wherever they come from. */
#include "backend/cache.h"
#include "backend/compile.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

typedef struct {
    const Program *p;
    const Target *t;
    Compiled *c;
    Cache *cache;
    bool *ok;              /* of each kernel */
    const uint32_t *order; /* kernels, the longest to compile first */
    atomic_uint next, cached;
} Work;

/* *machine is made when first needed: a cached model needs none. */
static bool compile_one(Work *w, uint32_t i, ObjectMachine **machine)
{
    const char *text = w->p->texts.at[i], *symbol = w->c->symbols[i];
    KernelObject *object = &w->c->objects[i];
    if (cache_get(w->cache, text, w->t, symbol, object)) {
        atomic_fetch_add(&w->cached, 1);
        return true;
    }
    if (!*machine)
        *machine = object_machine_new(w->t);
    if (!*machine || !kernel_emit_on(*machine, w->p->kernels.at[i], w->t, symbol, object))
        return false;
    cache_put(w->cache, text, w->t, symbol, object);
    return true;
}

static void *work(void *arg)
{
    Work *w = arg;
    ObjectMachine *machine = NULL;
    for (unsigned i; (i = atomic_fetch_add(&w->next, 1)) < w->c->n;) {
        uint32_t k = w->order[i];
        w->ok[k] = compile_one(w, k, &machine);
    }
    object_machine_free(machine);
    return NULL;
}

typedef struct {
    uint64_t cost;
    uint32_t kernel;
} Turn;

static int dearest_first(const void *a, const void *b)
{
    const Turn *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost > y->cost ? -1 : 1;
    return x->kernel < y->kernel ? -1 : x->kernel > y->kernel;
}

/* Roughly as long as the text; a contraction is written out tile by tile. */
static uint32_t *order_kernels(const Program *p, Arena *a)
{
    enum { TILES = 4 };
    Turn *turns = arena_new_array(a, Turn, p->kernels.n);
    uint32_t *order = arena_new_array(a, uint32_t, p->kernels.n);
    for (uint32_t i = 0; i < p->kernels.n; i++) {
        bool contract = p->kernels.at[i]->stages.at[0].kind == STAGE_CONTRACT;
        turns[i] = (Turn){ strlen(p->texts.at[i]) * (contract ? TILES : 1), i };
    }
    if (p->kernels.n)
        qsort(turns, p->kernels.n, sizeof *turns, dearest_first);
    for (uint32_t i = 0; i < p->kernels.n; i++)
        order[i] = turns[i].kernel;
    return order;
}

static const char *kernel_symbol(Arena *a, const char *text, const Target *t)
{
    XXH3_state_t *state = XXH3_createState();
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, text, strlen(text));
    XXH3_128bits_update(state, t->text, strlen(t->text));
    XXH128_hash_t h = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return arena_printf(a, "dlk_%016llx%08llx", (unsigned long long)h.high64,
                        (unsigned long long)(h.low64 >> 32));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool program_compile(Program *p, const Target *t, Compiled *out_compiled)
{
    Arena *a = p->unit->arena;
    const char **symbols = arena_new_array(a, const char *, p->kernels.n);
    *out_compiled = (Compiled){ .n = p->kernels.n, .symbols = symbols };
    out_compiled->objects = arena_new_array(a, KernelObject, p->kernels.n);
    for (uint32_t i = 0; i < p->kernels.n; i++)
        symbols[i] = kernel_symbol(a, p->texts.at[i], t);
    double start = now();
    Work w = { .p = p,
               .t = t,
               .c = out_compiled,
               .cache = cache_open(),
               .ok = arena_new_array(a, bool, p->kernels.n),
               .order = order_kernels(p, a) };
    pthread_t other;
    bool helped = p->kernels.n > 1 && !pthread_create(&other, NULL, work, &w);
    work(&w);
    if (helped)
        pthread_join(other, NULL);
    out_compiled->seconds = now() - start;
    out_compiled->cached = atomic_load(&w.cached);
    cache_close(w.cache);
    for (uint32_t i = 0; i < p->kernels.n; i++)
        if (!w.ok[i]) {
            diag_report(p->unit->cx, DIAG_E0802, p->kernels.at[i]->loc,
                        "no code for this part of the model: %s", out_compiled->objects[i].error);
            compiled_free(out_compiled);
            return false;
        }
    return true;
}

void compiled_free(Compiled *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        kernel_object_free(&c->objects[i]);
    c->n = 0;
}
