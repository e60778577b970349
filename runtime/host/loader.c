/* loader.c: a producer thread and two slots.
 *
 * The caller holds one slot (the batch it computes on) while the thread fills the other. What a
 * batch holds is a function of (seed, epoch, index) alone; the thread decides only when it is
 * ready, so timing cannot show. seek() bumps a generation: a batch that was being filled for
 * another place is thrown away. */
#include "runtime/host/loader.h"

#include "runtime/dlrt.h"
#include "runtime/host/internal.h"
#include "runtime/shuffle.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 2, CHECK_CHUNK = 4096 };

typedef struct {
    const HostField *field;
    DlrtDtype dtype;
    int64_t elements; /* of one item */
} Input;

typedef enum { SLOT_EMPTY, SLOT_READY, SLOT_FAILED } SlotState;
typedef struct {
    SlotState state;
    HostBatch batch;
    int64_t *rows;
    void **inputs;  /* [binding_count] */
    void **outputs; /* [map.output_count] */
    HostError error;
} Slot;

struct HostLoader {
    HostView view;
    Input *inputs;
    int input_count;
    int64_t batch, items; /* items of an epoch that are used */
    bool shuffle;
    uint64_t seed;
    HostMap map;
    size_t *output_bytes;
    Slot slots[SLOTS];

    pthread_t thread;
    bool has_thread, has_sync;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Under the mutex: */
    bool started, failed, stopping;
    uint64_t generation;
    int64_t epoch, index; /* of the next batch to fill */
    int fill;             /* slot to fill next */
    int64_t next_epoch, next_index; /* the caller's place */
    int take;             /* slot to take next */
    bool holding;         /* the caller holds the slot before `take` */
};

/* ---- Checking what is wanted against what is there ---- */

/* Whether a conversion between integer dtypes can fail at all is seen on the data, before
 * anything is trained: the whole view, in chunks. */
static bool check_values(const HostLoader *l, const Input *in, int64_t limit, HostError *out_error)
{
    size_t item = (size_t)in->elements * dlrt_dtype_size((int)in->dtype);
    bool narrows = in->dtype != in->field->dtype && !host_dtype_is_float(in->dtype);
    if (!item || (!narrows && limit <= 0) || host_dtype_is_float(in->field->dtype))
        return true;
    int64_t chunk = CHECK_CHUNK / in->elements + 1, rows[CHECK_CHUNK + 1];
    void *scratch = host_malloc((size_t)chunk * item);
    if (!scratch)
        return host_fail_memory(out_error, l->view.table->origin, chunk * (int64_t)item);
    bool ok = true;
    for (int64_t at = 0; ok && at < l->view.count; at += chunk) {
        int64_t n = l->view.count - at < chunk ? l->view.count - at : chunk;
        for (int64_t i = 0; i < n; i++)
            rows[i] = host_view_row(&l->view, at + i);
        ok = host_convert_rows(l->view.table->origin, in->field, rows, n, in->dtype, limit, scratch,
                               out_error);
    }
    free(scratch);
    return ok;
}

static bool bind_inputs(HostLoader *l, const HostLoaderOptions *o, HostError *out_error)
{
    const HostTable *t = o->view.table;
    l->inputs = calloc((size_t)o->binding_count + 1, sizeof *l->inputs);
    if (!l->inputs)
        return host_fail_memory(out_error, t->origin, o->binding_count);
    for (int i = 0; i < o->binding_count; i++) {
        const HostBinding *b = &o->bindings[i];
        int index = host_bind(t, b, out_error);
        if (index < 0)
            return false;
        const HostField *f = &t->fields[index];
        l->inputs[l->input_count++] = (Input){ f, b->dtype, host_field_elements(f) };
        if (!check_values(l, &l->inputs[i], b->limit, out_error))
            return false;
    }
    return true;
}

/* ---- Slots ---- */

static void *slot_buffer(size_t items, size_t bytes)
{
    void *p = NULL;
    size_t size;
    if (__builtin_mul_overflow(items, bytes, &size) || size > PTRDIFF_MAX - 64)
        return NULL;
    return posix_memalign(&p, 64, size + 64) ? NULL : p;
}

static bool slot_alloc(HostLoader *l, Slot *s)
{
    s->rows = calloc((size_t)l->batch, sizeof *s->rows);
    s->inputs = calloc((size_t)l->input_count + 1, sizeof *s->inputs);
    s->outputs = calloc((size_t)l->map.output_count + 1, sizeof *s->outputs);
    bool ok = s->rows && s->inputs && s->outputs;
    for (int i = 0; ok && i < l->input_count; i++) {
        const Input *in = &l->inputs[i];
        size_t item = (size_t)in->elements * dlrt_dtype_size((int)in->dtype);
        ok = (s->inputs[i] = slot_buffer((size_t)l->batch, item)) != NULL;
    }
    for (int i = 0; ok && i < l->map.output_count; i++)
        ok = (s->outputs[i] = slot_buffer((size_t)l->batch, l->output_bytes[i])) != NULL;
    return ok;
}

static void slot_free(const HostLoader *l, Slot *s)
{
    for (int i = 0; s->inputs && i < l->input_count; i++)
        free(s->inputs[i]);
    for (int i = 0; s->outputs && i < l->map.output_count; i++)
        free(s->outputs[i]);
    free(s->inputs);
    free(s->outputs);
    free(s->rows);
}

/* One input of a batch: at once where the rows are neighbours, else row by row. */
static bool fill_input(const HostLoader *l, const Input *in, const int64_t *rows, int64_t count,
                       bool neighbours, void *target, HostError *out_error)
{
    const HostField *f = in->field;
    size_t item = host_field_item_bytes(f);
    HostError ignored;
    if (!item)
        return true;
    if (neighbours
        && host_convert(f->name, f->dtype, (const char *)f->data + (size_t)rows[0] * item,
                        in->dtype,
                        target, count * in->elements, 0, &ignored))
        return true;
    if (f->dtype != in->dtype)
        return host_convert_rows(l->view.table->origin, f, rows, count, in->dtype, 0, target,
                                 out_error);
    for (int64_t i = 0; i < count; i++)
        memcpy((char *)target + (size_t)i * item, (const char *)f->data + (size_t)rows[i] * item,
               item);
    return true;
}

static bool fill_slot(const HostLoader *l, Slot *s, int64_t epoch, int64_t index)
{
    int64_t count = l->items - index < l->batch ? l->items - index : l->batch;
    s->batch = (HostBatch){ .epoch = epoch, .index = index, .count = count, .rows = s->rows,
                            .inputs = l->map.fn ? s->outputs : s->inputs };
    DlrtShuffle shuffle = { 0 };
    if (l->shuffle)
        shuffle = dlrt_shuffle_new((uint64_t)l->view.count, l->seed, (uint64_t)epoch);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = index + i;
        if (l->shuffle)
            at = (int64_t)dlrt_shuffle_at(&shuffle, (uint64_t)at);
        s->rows[i] = host_view_row(&l->view, at);
    }
    bool neighbours = !l->shuffle && !l->view.rows;
    for (int i = 0; i < l->input_count; i++)
        if (!fill_input(l, &l->inputs[i], s->rows, count, neighbours, s->inputs[i], &s->error))
            return false;
    return !l->map.fn
        || l->map.fn(l->map.user, epoch, count, s->rows, s->inputs, s->outputs, &s->error);
}

/* ---- The thread ---- */

static void advance(const HostLoader *l, int64_t *epoch, int64_t *index)
{
    *index += l->batch;
    if (*index >= l->items) {
        *index = 0;
        ++*epoch;
    }
}

static void *produce(void *argument)
{
    HostLoader *l = argument;
    pthread_mutex_lock(&l->mutex);
    for (;;) {
        while (!l->stopping
               && (!l->started || l->failed || l->slots[l->fill].state != SLOT_EMPTY))
            pthread_cond_wait(&l->changed, &l->mutex);
        if (l->stopping)
            break;
        Slot *s = &l->slots[l->fill];
        uint64_t generation = l->generation;
        int64_t epoch = l->epoch, index = l->index;
        pthread_mutex_unlock(&l->mutex);
        bool ok = fill_slot(l, s, epoch, index);
        pthread_mutex_lock(&l->mutex);
        if (generation != l->generation)
            continue;
        s->state = ok ? SLOT_READY : SLOT_FAILED;
        l->failed = !ok;
        l->fill = (l->fill + 1) % SLOTS;
        advance(l, &l->epoch, &l->index);
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* Signals are the main thread's: a handler here would run beside it. */
static bool start_thread(HostLoader *l, HostError *out_error)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&l->thread, NULL, produce, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    l->has_thread = rc == 0;
    return l->has_thread
        || host_fail(out_error, "E0609", "cannot start a thread for loading: %s", strerror(rc));
}

/* ---- The interface ---- */

static bool loader_setup(HostLoader *l, const HostLoaderOptions *o, HostError *out_error)
{
    const char *origin = o->view.table->origin;
    if (o->batch < 1)
        return host_fail(out_error, "E0612", "a batch of %" PRId64 " examples", o->batch);
    if (o->view.count < 1)
        return host_fail(out_error, "E0608", "%s has no rows", origin);
    l->view = o->view;
    l->batch = o->batch < o->view.count ? o->batch : o->view.count;
    l->items = o->drop_last ? o->view.count / l->batch * l->batch : o->view.count;
    l->shuffle = o->shuffle;
    l->seed = o->seed;
    l->map = o->map;
    if (!o->map.fn)
        l->map.output_count = 0;
    size_t bytes = ((size_t)l->map.output_count + 1) * sizeof *l->output_bytes;
    l->output_bytes = calloc(1, bytes);
    if (!l->output_bytes)
        return host_fail_memory(out_error, origin, (int64_t)bytes);
    if (l->map.output_count)
        memcpy(l->output_bytes, o->map.output_bytes, bytes - sizeof *l->output_bytes);
    if (!bind_inputs(l, o, out_error))
        return false;
    for (int i = 0; i < SLOTS; i++)
        if (!slot_alloc(l, &l->slots[i]))
            return host_fail_memory(out_error, origin, l->batch);
    l->has_sync = !pthread_mutex_init(&l->mutex, NULL) && !pthread_cond_init(&l->changed, NULL);
    if (!l->has_sync)
        return host_fail_memory(out_error, origin, 0);
    return start_thread(l, out_error);
}

bool host_loader_new(const HostLoaderOptions *options, HostLoader **out_loader,
                     HostError *out_error)
{
    HostLoader *l = calloc(1, sizeof *l);
    *out_loader = l;
    if (!l)
        return host_fail_memory(out_error, options->view.table->origin, (int64_t)sizeof *l);
    if (loader_setup(l, options, out_error))
        return true;
    host_loader_free(l);
    *out_loader = NULL;
    return false;
}

void host_loader_free(HostLoader *loader)
{
    HostLoader *l = loader;
    if (!l)
        return;
    if (l->has_thread) {
        pthread_mutex_lock(&l->mutex);
        l->stopping = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->mutex);
        pthread_join(l->thread, NULL);
    }
    if (l->has_sync) {
        pthread_mutex_destroy(&l->mutex);
        pthread_cond_destroy(&l->changed);
    }
    for (int i = 0; i < SLOTS; i++)
        slot_free(l, &l->slots[i]);
    free(l->inputs);
    free(l->output_bytes);
    free(l);
}

bool host_loader_seek(HostLoader *loader, int64_t epoch, int64_t index, HostError *out_error)
{
    HostLoader *l = loader;
    if (epoch < 0 || index < 0 || index > l->items
        || (index % l->batch && index != l->items))
        return host_fail(out_error, "E0612",
                         "%s: cannot continue at item %" PRId64 " of epoch %" PRId64
                         ": %" PRId64 " items in batches of %" PRId64,
                         l->view.table->origin, index, epoch, l->items, l->batch);
    pthread_mutex_lock(&l->mutex);
    l->generation++;
    l->next_epoch = l->epoch = epoch;
    l->next_index = l->index = index;
    if (index == l->items) {
        l->epoch++;
        l->index = 0;
    }
    for (int i = 0; i < SLOTS; i++)
        l->slots[i].state = SLOT_EMPTY;
    /* The thread may still be writing into l->fill: it goes on there, with the new place. */
    l->take = l->fill;
    l->holding = false;
    l->started = true;
    l->failed = false;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mutex);
    return true;
}

static HostLoaderStatus take_batch(HostLoader *l, HostBatch *out_batch, HostError *out_error)
{
    Slot *s = &l->slots[l->take];
    while (s->state == SLOT_EMPTY)
        pthread_cond_wait(&l->changed, &l->mutex);
    if (s->state == SLOT_FAILED) {
        *out_error = s->error;
        return HOST_LOADER_FAILED;
    }
    *out_batch = s->batch;
    l->take = (l->take + 1) % SLOTS;
    l->holding = true;
    l->next_index += l->batch;
    if (l->next_index > l->items)
        l->next_index = l->items;
    return HOST_LOADER_BATCH;
}

HostLoaderStatus host_loader_next(HostLoader *loader, HostBatch *out_batch, HostError *out_error)
{
    HostLoader *l = loader;
    HostLoaderStatus status = HOST_LOADER_END;
    pthread_mutex_lock(&l->mutex);
    l->started = true;
    if (l->holding) {
        l->slots[(l->take + SLOTS - 1) % SLOTS].state = SLOT_EMPTY;
        l->holding = false;
    }
    pthread_cond_broadcast(&l->changed);
    if (l->next_index >= l->items) {
        l->next_epoch++;
        l->next_index = 0;
    } else {
        status = take_batch(l, out_batch, out_error);
    }
    pthread_mutex_unlock(&l->mutex);
    return status;
}

int64_t host_loader_batches(const HostLoader *loader)
{
    return (loader->items + loader->batch - 1) / loader->batch;
}
