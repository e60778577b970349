/* examples.c: inputs from files: .npy, .npz, .png and IDX, or random numbers.
 *
 * Files are read before the shapes they must have are final: a program that needs its batch as a
 * number can then be compiled for what they hold. An array may lack the axis of examples. */
#include "driver/examples.h"

#include "driver/inputs.h"
#include "frontend/onnx/file.h"
#include "passes/index_range.h"
#include "runtime/host/loader.h"

#include <stdlib.h>
#include <string.h>

enum { RANDOM_ITEMS = 1 };

static bool fail(Examples *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(Examples *x, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diag_report(x->e->run->cx, DIAG_E0909, 0, "%s", arena_vprintf(x->e->run->arena, format, args));
    va_end(args);
    return false;
}

static bool fail_host(Examples *x, const HostError *error)
{
    engine_report_host(x->e, 0, error);
    return false;
}

bool value_has_batch(const DlrtValue *v)
{
    return v->rank && v->batch[0] == 1;
}

bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && !strcmp(s + n - m, suffix);
}

/* ---- Files ---- */

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
static bool read_image(Examples *x, const DlrtValue *v, const char *path, HostNpy *out)
{
    int64_t fixed = x->group ? x->group : x->pinned;
    int lead = value_has_batch(v) || (fixed && v->rank > 2 && v->dims[0] == fixed);
    const int64_t *d = v->dims + lead;
    int rank = v->rank - lead;
    bool first = rank == 3 && is_channels(d[0]) && !is_channels(d[2]);
    HostError error;
    if (rank != 2 && !(rank == 3 && (first || is_channels(d[2]))))
        return fail(x, "the input `%s` is %s, and so no image", v->name, value_text(x->e, v));
    int channels = rank == 2 ? 1 : (int)d[first ? 0 : 2];
    if (!host_png_read(path, d[first], d[first + 1], channels, out, &error))
        return fail_host(x, &error);
    if (rank == 3 && out->rank == 2)
        out->rank = 3, out->dims[2] = 1;
    if (first)
        planes_first(out);
    return true;
}

bool read_npz_array(Engine *e, const char *path, const char *name, HostNpy *out)
{
    HostNpy *arrays;
    HostError error;
    Run *r = e->run;
    int n, found = -1;
    if (!host_npz_read(path, &arrays, &n, &error)) {
        engine_report_host(e, 0, &error);
        return false;
    }
    const char **names = arena_new_array(r->arena, const char *, (size_t)n + 1);
    for (int i = 0; i < n; i++) {
        names[i] = arrays[i].name;
        if (!strcmp(arrays[i].name, name))
            found = i;
    }
    const char *near = found < 0 ? diag_nearest(name, names, (size_t)n) : NULL;
    if (found < 0)
        diag_report(r->cx, DIAG_E0909, 0,
                    near ? "%s has no array `%s`; did you mean `%s`?" : "%s has no array `%s`",
                    path, name, near);
    if (found >= 0) {
        *out = arrays[found];
        arrays[found].data = malloc(1); /* the archive keeps an array that it can free */
        arrays[found].name = NULL;
    }
    host_npz_free(arrays, n);
    return found >= 0;
}

/* IDX files go by no suffix of their own, but all by such names: t10k-images-idx3-ubyte.gz */
static bool is_idx(const char *path)
{
    return ends_with(path, "ubyte") || ends_with(path, "ubyte.gz") || ends_with(path, ".idx") ||
           ends_with(path, ".idx.gz");
}

static bool read_idx(Engine *e, const char *path, HostNpy *out)
{
    HostError error;
    HostData data;
    HostIdxOptions o = { 0 };
    if (!host_idx_read(path, &o, &data, &error)) {
        engine_report_host(e, 0, &error);
        return false;
    }
    const HostTable *t = &data.tables[0];
    const HostField *f = &t->fields[0];
    size_t bytes = host_field_item_bytes(f) * (size_t)t->count;
    *out = (HostNpy){ .dtype = f->dtype, .rank = f->rank + 1, .data = malloc(bytes + 1) };
    bool ok = out->data && out->rank <= HOST_MAX_RANK;
    out->dims[0] = t->count;
    for (int d = 0; ok && d < f->rank; d++)
        out->dims[d + 1] = f->dims[d];
    if (ok)
        memcpy(out->data, f->data, bytes);
    else
        diag_report(e->run->cx, DIAG_E0609, 0, "no memory for %s", path);
    host_data_free(&data);
    return ok;
}

bool read_array_file(Engine *e, const char *path, HostNpy *out)
{
    HostError error;
    if (ends_with(path, ".pb"))
        return read_tensor_file(e, path, out);
    if (is_idx(path))
        return read_idx(e, path, out);
    if (host_npy_read(path, out, &error))
        return true;
    engine_report_host(e, 0, &error);
    return false;
}

static bool read_file(Examples *x, const DlrtValue *v, const char *path, HostNpy *out)
{
    if (ends_with(path, ".png"))
        return read_image(x, v, path, out);
    if (ends_with(path, ".npz"))
        return read_npz_array(x->e, path, v->name, out);
    if (ends_with(path, ".npy") || ends_with(path, ".pb") || is_idx(path))
        return read_array_file(x->e, path, out);
    return fail(x, "what is %s? An input is .npy, .npz, .pb, .png, or IDX (..-ubyte.gz)", path);
}

const char *given_file(const Run *r, const char *name, uint32_t n)
{
    const Options *o = &r->options;
    const char *found = NULL;
    for (uint32_t k = 0; k < o->given[OPT_INPUT].n; k++) {
        const OptionValue *g = &o->given[OPT_INPUT].at[k];
        if (g->name && !strcmp(g->name, name))
            return g->value;
        if (!g->name && !found && (n == 1 || ends_with(g->text, ".npz")))
            found = g->text;
    }
    return found;
}

static bool given_twice(const Options *o, uint32_t k)
{
    const char *name = o->given[OPT_INPUT].at[k].name;
    for (uint32_t i = 0; name && i < k; i++) {
        const char *other = o->given[OPT_INPUT].at[i].name;
        if (other && !strcmp(name, other))
            return true;
    }
    return false;
}

bool given_names(Run *r, const char *who, const char *const *names, uint32_t n)
{
    const Options *o = &r->options;
    for (uint32_t k = 0; k < o->given[OPT_INPUT].n; k++) {
        const char *name = o->given[OPT_INPUT].at[k].name, *list = "";
        bool known = !name;
        for (uint32_t i = 0; !known && i < n; i++)
            known = !strcmp(names[i], name);
        if (given_twice(o, k)) {
            diag_report(r->cx, DIAG_E0909, 0, "-i: the input `%s` is given twice", name);
            return false;
        }
        if (known)
            continue;
        const char *near = diag_nearest(name, names, n);
        for (uint32_t i = 0; i < n && i < 8 && !near; i++)
            list = arena_printf(r->arena, "%s%s`%s`", list, i ? ", " : "", names[i]);
        if (near)
            diag_report(r->cx, DIAG_E0909, 0, "`%s` has no input `%s`; did you mean `%s`?", who,
                        name, near);
        else
            diag_report(r->cx, DIAG_E0909, 0,
                        *list ? "`%s` has no input `%s`; there is %s%s" : "`%s` has no input `%s`",
                        who, name, list, n > 8 ? ", .." : "");
        return false;
    }
    return true;
}

static bool check_names(Examples *x)
{
    const Unit *u = x->e->unit;
    uint32_t by_value = u ? u->by_value.n : 0;
    const char **names = arena_new_array(x->e->run->arena, const char *, x->n + by_value + 1);
    for (uint32_t i = 0; i < x->n; i++)
        names[i] = x->values[i]->name;
    for (uint32_t i = 0; i < by_value; i++)
        names[x->n + i] = u->by_value.at[i];
    return given_names(x->e->run, x->who, names, x->n + by_value);
}

bool examples_read(Examples *x)
{
    bool random = option_given(&x->e->run->options, OPT_RANDOM);
    x->count = -1;
    if (!check_names(x))
        return false;
    for (uint32_t i = 0; i < x->n; i++) {
        const DlrtValue *v = x->values[i];
        x->path[i] = given_file(x->e->run, v->name, x->n);
        if (!x->path[i] && !random)
            return fail(x, "`%s` needs the input `%s`: -i %s%sFILE, or --random", x->who, v->name,
                        x->n > 1 ? v->name : "", x->n > 1 ? "=" : "");
        if (x->path[i] && !read_file(x, v, x->path[i], &x->file[i]))
            return false;
    }
    return true;
}

int64_t examples_wanted(const Examples *x)
{
    for (uint32_t i = 0; x->pinned && i < x->n; i++) {
        const DlrtValue *v = x->values[i];
        const HostNpy *f = &x->file[i];
        int own = f->rank == v->rank;
        bool same = x->path[i] && v->rank && v->dims[0] == x->pinned && f->rank >= v->rank - 1;
        for (int d = 1; same && d < v->rank; d++)
            same = f->dims[d - 1 + own] == v->dims[d];
        if (same && (!own || f->dims[0] != x->pinned))
            return own ? f->dims[0] : 1;
    }
    return x->pinned;
}

bool read_tensor_file(Engine *e, const char *path, HostNpy *out)
{
    OnnxTensor t;
    if (!onnx_read_tensor_file(e->run->cx, path, &t))
        return false;
    *out =
        (HostNpy){ .dtype = (DlrtDtype)t.dtype, .rank = (int)t.rank, .data = malloc(t.bytes + 1) };
    if (!out->data)
        return false;
    memcpy(out->dims, t.dim, t.rank * sizeof *t.dim);
    memcpy(out->data, t.data, t.bytes);
    return true;
}

/* ---- Arrays ---- */

/* Which inputs have an item for each example. Where a call takes a fixed number of rows, an array
 * of another number has rows; one of the input's own shape beside it is shared by all. */
static void find_rows(Examples *x)
{
    int64_t rows = x->group;
    for (uint32_t i = 0; i < x->n; i++) {
        const DlrtValue *v = x->values[i];
        const HostNpy *f = &x->file[i];
        x->each[i] = value_has_batch(v);
        if (!x->group || !v->rank || v->dims[0] != x->group)
            continue;
        x->each[i] = !x->path[i] || f->rank == v->rank;
        if (x->path[i] && x->each[i] && rows == x->group)
            rows = f->dims[0];
    }
    for (uint32_t i = 0; x->group && i < x->n; i++)
        x->each[i] &= rows == x->group || !x->path[i] || x->file[i].dims[0] != x->group;
}

/* Elements of one example; of all of it where the examples share it. */
static int64_t item_elements(const Examples *x, uint32_t i)
{
    int64_t elements, bytes;
    value_bytes(x->values[i], x->group ? x->group : 1, &elements, &bytes);
    return x->each[i] && x->group ? elements / x->group : elements;
}

size_t examples_row_bytes(const Examples *x, uint32_t i)
{
    return x->each[i] ? (size_t)item_elements(x, i) * dlrt_dtype_size(x->values[i]->dtype) : 0;
}

/* Room for so many examples, filled up to whole groups. */
static bool make_room(Examples *x, uint32_t i, int64_t count, int64_t *out_elements)
{
    const DlrtValue *v = x->values[i];
    int64_t elements, bytes, group = x->each[i] ? x->group : 0;
    int64_t room = group ? (count + group - 1) / group : count;
    bool fits = value_bytes(v, group ? group : count, &elements, &bytes);
    if (group)
        fits = fits && !__builtin_mul_overflow(bytes, room, &bytes);
    if (!fits || posix_memalign(&x->at[i], 64, (size_t)bytes + 64))
        return fail(x, "no memory for %lld examples", (long long)count);
    *out_elements = group ? item_elements(x, i) * count : elements;
    return true;
}

/* The last example once more, in the places of its group that are left. */
static void fill_group(Examples *x, uint32_t i, int64_t count)
{
    size_t row = examples_row_bytes(x, i);
    for (int64_t k = count; x->each[i] && x->group && k % x->group; k++)
        memcpy((char *)x->at[i] + (size_t)k * row, (char *)x->at[i] + (size_t)(count - 1) * row,
               row);
}

static int64_t elements_of(const HostNpy *f)
{
    int64_t n = 1;
    for (int d = 0; d < f->rank; d++)
        n *= f->dims[d];
    return n;
}

/* An array as an input: with or without the axis of examples, its numbers converted and checked. */
static bool take_array(Examples *x, uint32_t i)
{
    const DlrtValue *v = x->values[i];
    const HostNpy *f = &x->file[i];
    int lead = x->each[i], item = v->rank - lead, own = f->rank == v->rank ? lead : 0;
    bool alone = (x->pinned == 1 || x->group == 1) && v->rank && v->dims[0] == 1 &&
                 f->rank == v->rank - 1 && !lead;
    bool fits = f->rank == v->rank || (lead && f->rank == item) || alone;
    int64_t count = own ? f->dims[0] : 1, elements;
    HostError error;
    for (int d = 0; fits && d < f->rank - own; d++)
        fits = f->dims[own + d] == v->dims[lead + alone + d];
    if (!fits || count < 1) {
        DlrtValue have = { .dtype = (uint8_t)f->dtype, .rank = (uint8_t)f->rank };
        memcpy(have.dims, f->dims, sizeof have.dims);
        uint32_t d = diag_report(x->e->run->cx, DIAG_E0604, 0,
                                 "%s is %s, but the input `%s` is %s", x->path[i],
                                 value_text(x->e, &have), v->name, value_text(x->e, v));
        if (f->rank && item_elements(x, i) * (lead ? f->dims[0] : 1) == elements_of(f))
            diag_add(x->e->run->cx, d, DIAG_HELP, 0,
                     "it has as many elements: give it the shape of the input");
        return false;
    }
    if (lead && x->count >= 0 && x->count != count)
        return fail(x, "`%s` has %lld examples, another input %lld", v->name, (long long)count,
                    (long long)x->count);
    if (lead)
        x->count = count;
    if (!make_room(x, i, count, &elements))
        return false;
    if (!host_convert(v->name, f->dtype, f->data, (DlrtDtype)v->dtype, x->at[i], elements,
                      v->bound > 0 ? v->bound : 0, &error))
        return fail_host(x, &error);
    fill_group(x, i, count);
    return true;
}

/* An input without a bound that names places of an axis: random ones are within it. */
static int64_t random_bound(const Examples *x, const DlrtValue *v, int64_t count)
{
    const Entry *entry = x->e->unit ? unit_entry(x->e->unit, x->who) : NULL;
    if (v->bound > 0 || !entry || host_dtype_is_float((DlrtDtype)v->dtype))
        return v->bound;
    for (uint32_t k = 0; k < entry->graph->inputs.n; k++)
        if (!strcmp(entry->graph->inputs.at[k].name, v->name))
            return index_range(x->e->run->arena, entry->graph, k, count);
    return 0;
}

static bool make_random(Examples *x, uint32_t i)
{
    const DlrtValue *v = x->values[i];
    int64_t count = x->each[i] && x->count > 0 ? x->count : RANDOM_ITEMS, elements;
    if (x->pinned || x->group)
        count = x->pinned ? x->pinned : x->group;
    if (!make_room(x, i, count, &elements))
        return false;
    DlrtValue drawn = *v;
    drawn.bound = random_bound(x, v, count);
    value_random(&drawn, elements, x->e->cx->clock.seed * UINT64_C(1000003) + i, x->at[i]);
    if (x->each[i])
        x->count = count;
    return true;
}

bool examples_take(Examples *x)
{
    find_rows(x);
    for (uint32_t i = 0; i < x->n; i++) {
        bool ok = !x->path[i] || take_array(x, i);
        host_npy_free(&x->file[i]);
        if (!ok)
            return false;
    }
    for (uint32_t i = 0; i < x->n; i++) /* as many as the arrays have */
        if (!x->path[i] && !make_random(x, i))
            return false;
    if (x->pinned)
        x->count = x->pinned;
    else if (x->count < 0) /* no input has rows: one call */
        x->count = x->group ? x->group : 1;
    return true;
}

void examples_close(Examples *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        host_npy_free(&x->file[i]);
        free(x->at[i]);
    }
}
