/* infer.c: the verb `infer`: an exported function on arrays and images from files.
 *
 * Any number of examples: they go through in batches, the last one partial. An array may lack the
 * axis of examples. Results go to .npy or .npz, or to people: class names and percent where the
 * result is a classifier's, numbers else. */
#include "driver/infer.h"

#include "driver/checkpoint.h"
#include "driver/inputs.h"
#include "driver/verbs.h"
#include "runtime/host/files.h"
#include "runtime/host/loader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_ITEMS = 1 };

static bool fail(Infer *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(Infer *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diag_report(q->e->run->cx, DIAG_E0909, 0, "%s", arena_vprintf(q->e->run->arena, format, args));
    va_end(args);
    return false;
}

static bool fail_host(Infer *q, const HostError *error)
{
    engine_report_host(q->e, 0, error);
    return false;
}

static bool has_batch(const DlrtValue *v)
{
    return v->rank && v->batch[0] == 1;
}

/* ---- Inputs ---- */

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && !strcmp(s + n - m, suffix);
}

/* [C, H, W] from [H, W, C]. */
static void planes_first(HostNpy *image)
{
    int64_t H = image->dims[0], W = image->dims[1], C = image->dims[2];
    uint8_t *from = image->data, *to = malloc((size_t)(H * W * C) + 1);
    for (int64_t i = 0; to && i < H * W; i++)
        for (int64_t c = 0; c < C; c++)
            to[c * H * W + i] = from[i * C + c];
    if (!to)
        return;
    free(from);
    image->data = to;
    image->dims[0] = C, image->dims[1] = H, image->dims[2] = W;
}

static bool is_channels(int64_t n)
{
    return n == 1 || n == 3 || n == 4;
}

/* An image as the item of an input: [H, W], [H, W, C] or [C, H, W]. */
static bool read_image(Infer *q, const DlrtValue *v, const char *path, HostNpy *out)
{
    int lead = has_batch(v);
    const int64_t *d = v->dims + lead;
    int rank = v->rank - lead;
    bool first = rank == 3 && is_channels(d[0]) && !is_channels(d[2]);
    HostError error;
    if (rank != 2 && !(rank == 3 && (first || is_channels(d[2]))))
        return fail(q, "the input `%s` is %s, and so no image", v->name, value_text(q->e, v));
    int channels = rank == 2 ? 1 : (int)d[first ? 0 : 2];
    if (!host_png_read(path, d[first], d[first + 1], channels, out, &error))
        return fail_host(q, &error);
    if (rank == 3 && out->rank == 2)
        out->rank = 3, out->dims[2] = 1;
    if (first)
        planes_first(out);
    return true;
}

static bool read_npz(Infer *q, const DlrtValue *v, const char *path, HostNpy *out)
{
    HostNpy *arrays;
    HostError error;
    int n, found = -1;
    if (!host_npz_read(path, &arrays, &n, &error))
        return fail_host(q, &error);
    for (int i = 0; i < n; i++)
        if (!strcmp(arrays[i].name, v->name))
            found = i;
    if (found >= 0) {
        *out = arrays[found];
        arrays[found].data = malloc(1); /* the archive keeps an array that it can free */
        arrays[found].name = NULL;
    }
    host_npz_free(arrays, n);
    return found >= 0 || fail(q, "%s has no array `%s`", path, v->name);
}

static bool read_file(Infer *q, const DlrtValue *v, const char *path, HostNpy *out)
{
    HostError error;
    if (ends_with(path, ".png"))
        return read_image(q, v, path, out);
    if (ends_with(path, ".npz"))
        return read_npz(q, v, path, out);
    if (ends_with(path, ".npy"))
        return host_npy_read(path, out, &error) || fail_host(q, &error);
    return fail(q, "what is %s? An input is .npy, .npz or .png", path);
}

/* An array as an input: with or without the axis of examples, its numbers converted and checked. */
static bool take_array(Infer *q, uint32_t i, const HostNpy *x, const char *path)
{
    const DlrtValue *v = &q->entry->inputs[i];
    int lead = has_batch(v), item = v->rank - lead, own = x->rank == v->rank ? lead : 0;
    bool fits = x->rank == v->rank || (lead && x->rank == item);
    int64_t count = own ? x->dims[0] : 1, elements, bytes;
    HostError error;
    for (int d = 0; fits && d < item; d++)
        fits = x->dims[own + d] == v->dims[lead + d];
    if (!fits || count < 1) {
        DlrtValue have = { .dtype = (uint8_t)x->dtype, .rank = (uint8_t)x->rank };
        memcpy(have.dims, x->dims, sizeof have.dims);
        diag_report(q->e->run->cx, DIAG_E0604, 0, "%s is %s, but the input `%s` is %s", path,
                    value_text(q->e, &have), v->name, value_text(q->e, v));
        return false;
    }
    if (lead && q->count >= 0 && q->count != count)
        return fail(q, "`%s` has %lld examples, another input %lld", v->name, (long long)count,
                    (long long)q->count);
    if (lead)
        q->count = count;
    if (!value_bytes(v, count, &elements, &bytes) ||
        posix_memalign(&q->in[i], 64, (size_t)bytes + 64))
        return fail(q, "no memory for %lld examples", (long long)count);
    return host_convert(v->name, x->dtype, x->data, (DlrtDtype)v->dtype, q->in[i], elements,
                        v->bound > 0 ? v->bound : 0, &error) ||
           fail_host(q, &error);
}

/* The file given for input i: by name, or without one where that is clear. */
static const char *file_of(Infer *q, uint32_t i)
{
    const Options *o = &q->e->run->options;
    const char *name = q->entry->inputs[i].name;
    for (uint32_t k = 0; k < o->given[OPT_INPUT].n; k++) {
        const OptionValue *g = &o->given[OPT_INPUT].at[k];
        if (g->name && !strcmp(g->name, name))
            return g->value;
        if (!g->name && (q->entry->input_count == 1 || ends_with(g->text, ".npz")))
            return g->text;
    }
    return NULL;
}

static bool make_random(Infer *q, uint32_t i)
{
    const DlrtValue *v = &q->entry->inputs[i];
    int64_t count = has_batch(v) && q->count > 0 ? q->count : RANDOM_ITEMS, elements, bytes;
    if (q->entry->flags & DLRT_ENTRY_PINNED)
        count = q->entry->max_batch;
    if (!value_bytes(v, count, &elements, &bytes) ||
        posix_memalign(&q->in[i], 64, (size_t)bytes + 64))
        return fail(q, "no memory for %lld examples", (long long)count);
    value_random(v, elements, q->e->cx->clock.seed * UINT64_C(1000003) + i, q->in[i]);
    if (has_batch(v))
        q->count = count;
    return true;
}

static bool open_inputs(Infer *q)
{
    const Options *o = &q->e->run->options;
    for (uint32_t k = 0; k < o->given[OPT_INPUT].n; k++) {
        const char *name = o->given[OPT_INPUT].at[k].name;
        bool known = !name;
        for (uint32_t i = 0; !known && i < q->entry->input_count; i++)
            known = !strcmp(q->entry->inputs[i].name, name);
        if (!known)
            return fail(q, "`%s` has no input `%s`", q->entry->name, name);
    }
    for (uint32_t i = 0; i < q->entry->input_count; i++) {
        const DlrtValue *v = &q->entry->inputs[i];
        const char *path = file_of(q, i);
        HostNpy x = { 0 };
        if (!path && option_given(o, OPT_RANDOM)) {
            if (!make_random(q, i))
                return false;
            continue;
        }
        if (!path)
            return fail(q, "`%s` needs the input `%s`: -i %s%sFILE, or --random", q->entry->name,
                        v->name, q->entry->input_count > 1 ? v->name : "",
                        q->entry->input_count > 1 ? "=" : "");
        bool ok = read_file(q, v, path, &x) && take_array(q, i, &x, path);
        host_npy_free(&x);
        if (!ok)
            return false;
    }
    if (q->count < 0)
        q->count = 1;
    return true;
}

/* ---- Running ---- */

static bool open_outputs(Infer *q)
{
    for (uint32_t i = 0; i < q->entry->output_count; i++) {
        const DlrtValue *v = &q->entry->outputs[i];
        int64_t elements, bytes;
        if (!value_bytes(v, q->count, &elements, &bytes) ||
            posix_memalign(&q->out[i], 64, (size_t)bytes + 64))
            return fail(q, "no memory for the results of %lld examples", (long long)q->count);
        memset(q->out[i], 0, (size_t)bytes);
        if (!has_batch(v) && q->count > q->entry->max_batch)
            return fail(q, "`%s` is not a result per example: at most %lld at a time (-D B=%lld)",
                        v->name, (long long)q->entry->max_batch, (long long)q->count);
    }
    if (q->entry->flags & DLRT_ENTRY_PINNED && q->count % q->entry->max_batch)
        return fail(q, "`%s` takes exactly %lld examples: -D B=%lld", q->entry->name,
                    (long long)q->entry->max_batch, (long long)q->count);
    return true;
}

static void *part(const DlrtValue *v, void *base, int64_t at)
{
    int64_t elements, bytes;
    value_bytes(v, 1, &elements, &bytes);
    return has_batch(v) ? (char *)base + at * bytes : base;
}

static bool run_batches(Infer *q)
{
    for (int64_t at = 0; at < q->count; at += q->entry->max_batch) {
        int64_t left = q->count - at, B = left < q->entry->max_batch ? left : q->entry->max_batch;
        const void *in[DLRT_MAX_VALUES];
        void *out[DLRT_MAX_VALUES];
        for (uint32_t i = 0; i < q->entry->input_count; i++)
            in[i] = part(&q->entry->inputs[i], q->in[i], at);
        for (uint32_t i = 0; i < q->entry->output_count; i++)
            out[i] = part(&q->entry->outputs[i], q->out[i], at);
        int rc = dlrt_call_entry(q->e->cx, q->number, B, in, out);
        if (rc) {
            engine_report_runtime(q->e, rc == DLRT_E_LABEL ? DIAG_E0908 : DIAG_E0604, rc);
            return false;
        }
    }
    return true;
}

static bool run(Infer *q)
{
    bool weights = option_given(&q->e->run->options, OPT_WEIGHTS);
    bool random = option_given(&q->e->run->options, OPT_RANDOM);
    q->number = export_chosen(q->e);
    if (q->number == DLRT_NONE)
        return false;
    q->entry = &q->e->model->entries[q->number];
    bool trained = checkpoint_look(q->e, engine_checkpoint_path(q->e)) != CHECKPOINT_NONE;
    if (random && !weights && !trained) {
        if (!option_given(&q->e->run->options, OPT_QUIET))
            fprintf(stderr, "note: no trained weights here; these are the initial ones\n");
    } else if (!checkpoint_load_weights(q->e, NULL)) {
        return false;
    }
    return open_inputs(q) && open_outputs(q) && run_batches(q) && infer_output(q);
}

int verb_infer(Run *r)
{
    const char *path = run_file(r, 1);
    if (!path)
        return EXIT_USAGE;
    FrontendOptions fo = run_frontend_options(r);
    Engine e;
    Infer q = { .e = &e, .count = -1 };
    int code = engine_open(r, path, &fo, &e);
    if (!code) {
        run(&q);
        code = run_finish(r);
    }
    for (int i = 0; i < DLRT_MAX_VALUES; i++) {
        free(q.in[i]);
        free(q.out[i]);
    }
    engine_close(&e);
    return code;
}
