/* infer_output.c: results to files, and to people. */
#include "driver/infer.h"

#include "driver/checkpoint.h"
#include "driver/counted.h"
#include "driver/inputs.h"
#include "runtime/host/files.h"
#include "runtime/host/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_CLASSES = 3, SHOWN_NUMBERS = 1000 };

/* ---- Files ---- */

static HostNpy array_of(const Infer *q, uint32_t i)
{
    const DlrtValue *v = &q->entry->outputs[i];
    HostNpy a = { .name = (char *)(uintptr_t)v->name,
                  .dtype = (DlrtDtype)v->dtype,
                  .rank = v->rank,
                  .data = q->out[i] };
    for (int d = 0; d < v->rank; d++)
        a.dims[d] = q->out_dims[i][d];
    return a;
}

/* The extents of all results, those cut whose size only the data told. */
static void set_dims(Infer *q)
{
    for (uint32_t i = 0; i < q->entry->output_count; i++) {
        const DlrtValue *v = &q->entry->outputs[i];
        for (int d = 0; d < v->rank; d++)
            q->out_dims[i][d] = v->batch[d] > 0 ? v->batch[d] * q->count : v->dims[d];
        counted_cut(q->entry, i, q->out, q->out_dims[i]);
    }
}

static bool write_files(Infer *q, const char *path)
{
    HostNpy arrays[DLRT_MAX_VALUES];
    HostError error;
    uint32_t n = 0;
    size_t length = strlen(path);
    for (uint32_t i = 0; i < q->entry->output_count; i++)
        if (!counted_is_count(q->entry, i))
            arrays[n++] = array_of(q, i);
    bool npy = length > 4 && !strcmp(path + length - 4, ".npy");
    bool npz = length > 4 && !strcmp(path + length - 4, ".npz");
    if (!npy && !npz) {
        diag_report(q->e->run->cx, DIAG_E0909, 0, "what is %s to be? .npy or .npz", path);
        return false;
    }
    if (npy && n != 1) {
        diag_report(q->e->run->cx, DIAG_E0909, 0, "`%s` has %u results: write them to an .npz",
                    q->entry->name, n);
        return false;
    }
    bool ok = npy ? host_npy_write(path, &arrays[0], &error)
                  : host_npz_write(path, arrays, (int)n, false, &error);
    if (!ok)
        engine_report_host(q->e, 0, &error);
    return ok;
}

/* ---- Classes ---- */

static double number_at(const DlrtValue *v, const void *data, int64_t i)
{
    double x;
    dlrt_convert(&x, DLRT_F64, (const char *)data + (size_t)i * dlrt_dtype_size(v->dtype), v->dtype,
                 1);
    return x;
}

/* The names, one for each of n classes, or NULL. */
static const char **class_names(Infer *q, int64_t n)
{
    const char *text = checkpoint_classes(q->e, NULL);
    Arena *a = q->e->run->arena;
    const char **names = arena_new_array(a, const char *, (size_t)n + 1);
    int64_t count = 0;
    char *copy = text ? arena_strndup(a, text, strlen(text)) : NULL;
    for (char *p = copy; p && *p; count++) {
        size_t length = strcspn(p, "\n");
        if (count < n)
            names[count] = arena_strndup(a, p, length);
        p += length + (p[length] == '\n');
    }
    return count == n ? names : NULL;
}

/* The row as probabilities: as it is if it is a distribution, else its softmax. */
static void to_probabilities(double *p, int64_t n)
{
    double sum = 0, max = -INFINITY;
    bool negative = false;
    for (int64_t i = 0; i < n; i++) {
        sum += p[i];
        negative |= p[i] < 0;
        max = fmax(max, p[i]);
    }
    if (!negative && fabs(sum - 1) < 1e-3)
        return;
    sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += p[i] = exp(p[i] - max);
    for (int64_t i = 0; i < n; i++)
        p[i] /= sum;
}

static void print_row(Infer *q, int64_t row, const double *p, int64_t n, const char **names)
{
    bool used[4096] = { false };
    if (q->count > 1)
        printf("%lld:", (long long)row);
    for (int shown = 0; shown < SHOWN_CLASSES && shown < n; shown++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (!used[i] && (best < 0 || p[i] > p[best]))
                best = i;
        used[best] = true;
        printf("%s%s %.1f %%", shown || q->count > 1 ? "  " : "", names[best], 100 * p[best]);
    }
    putchar('\n');
}

static bool print_classes(Infer *q)
{
    const DlrtValue *v = &q->entry->outputs[0];
    if (q->entry->output_count != 1 || v->rank != 2 || v->batch[0] != 1 || v->dims[1] < 2 ||
        v->dims[1] > 4096 || !host_dtype_is_float((DlrtDtype)v->dtype))
        return false;
    int64_t n = v->dims[1];
    const char **names = class_names(q, n);
    if (!names)
        return false;
    double *p = arena_new_array(q->e->run->arena, double, (size_t)n);
    for (int64_t row = 0; row < q->count; row++) {
        for (int64_t i = 0; i < n; i++)
            p[i] = number_at(v, q->out[0], row * n + i);
        to_probabilities(p, n);
        print_row(q, row, p, n, names);
    }
    return true;
}

/* ---- Numbers ---- */

static void print_numbers(Infer *q, uint32_t i)
{
    const DlrtValue *v = &q->entry->outputs[i];
    HostNpy a = array_of(q, i);
    int64_t n = 1, row = a.rank > (v->batch[0] > 0) ? a.dims[a.rank - 1] : 1;
    for (int d = 0; d < a.rank; d++)
        n *= a.dims[d];
    printf("%s", v->name);
    for (int d = 0; d < a.rank; d++)
        printf("%s%lld%s", d ? ", " : " [", (long long)a.dims[d], d + 1 == a.rank ? "]" : "");
    for (int64_t k = 0; k < n && k < SHOWN_NUMBERS; k++)
        printf("%s%.9g",
               k % (row > 0 ? row : 1) ? " "
               : a.rank                ? "\n"
                                       : " ",
               number_at(v, a.data, k));
    printf(n > SHOWN_NUMBERS ? "\n... of %lld; all: -o FILE.npy\n" : "\n", (long long)n);
}

static bool print_json(Infer *q)
{
    for (uint32_t i = 0; i < q->entry->output_count; i++) {
        const DlrtValue *v = &q->entry->outputs[i];
        HostNpy a = array_of(q, i);
        int64_t n = !counted_is_count(q->entry, i);
        for (int d = 0; d < a.rank; d++)
            n *= a.dims[d];
        for (int64_t k = 0; k < n; k++) {
            HostEvent event;
            host_event_begin(&event, stdout, "value");
            host_event_string(&event, "name", v->name);
            host_event_int(&event, "index", k);
            host_event_double(&event, "value", number_at(v, a.data, k));
            if (!host_event_end(&event))
                return false;
        }
    }
    return true;
}

bool infer_output(Infer *q)
{
    const char *path = option_value(&q->e->run->options, OPT_OUTPUT, NULL);
    set_dims(q);
    if (path)
        return write_files(q, path);
    if (option_given(&q->e->run->options, OPT_JSON))
        return print_json(q);
    if (!print_classes(q))
        for (uint32_t i = 0; i < q->entry->output_count; i++)
            if (!counted_is_count(q->entry, i))
                print_numbers(q, i);
    return true;
}
