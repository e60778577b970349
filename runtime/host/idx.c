/* idx.c: the IDX files of the MNIST family.
 *
 *     0 0 dtype rank | rank big-endian 32-bit dimensions | values, big-endian, row-major
 *
 * The dimensions are believed only when the rest of the file is exactly as long as they say. */
#include "runtime/dlrt.h"
#include "runtime/host/files.h"
#include "runtime/host/internal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    DlrtDtype dtype;
    int rank; /* with the leading one */
    int64_t dims[HOST_MAX_RANK + 1];
    char *bytes; /* the file, from malloc */
    char *data;  /* in it, host byte order */
} Idx;

static bool idx_dtype(uint8_t code, DlrtDtype *out_dtype)
{
    switch (code) {
    case 0x08: return *out_dtype = DLRT_U8, true;
    case 0x09: return *out_dtype = DLRT_I8, true;
    case 0x0b: return *out_dtype = DLRT_I16, true;
    case 0x0c: return *out_dtype = DLRT_I32, true;
    case 0x0d: return *out_dtype = DLRT_F32, true;
    case 0x0e: return *out_dtype = DLRT_F64, true;
    }
    return false;
}

static void swap_bytes(char *data, size_t bytes, size_t size)
{
    for (size_t at = 0; size > 1 && at < bytes; at += size)
        for (size_t i = 0; i < size / 2; i++) {
            char c = data[at + i];
            data[at + i] = data[at + size - 1 - i];
            data[at + size - 1 - i] = c;
        }
}

enum { HEADER_MAX = 4 + 4 * (HOST_MAX_RANK + 1) };

/* What the first bytes of a file say: `size` of them, the whole file if it is shorter than
 * HEADER_MAX. Gives the bytes that the values need. */
static bool idx_header(const char *path, const char *bytes, size_t size, Idx *out,
                       int64_t *out_need, HostError *out_error)
{
    const uint8_t *p = (const uint8_t *)bytes;
    if (size < 4)
        return host_fail(out_error, "E0603", "%s: truncated: %zu bytes are no IDX file", path,
                         size);
    if (p[0] || p[1] || !idx_dtype(p[2], &out->dtype) || p[3] < 1 || p[3] > HOST_MAX_RANK + 1)
        return host_fail(out_error, "E0603",
                         "%s is no IDX file: it begins with %02x %02x %02x %02x",
                         path, p[0], p[1], p[2], p[3]);
    out->rank = p[3];
    if (size < 4 + 4 * (size_t)out->rank)
        return host_fail(out_error, "E0603", "%s: truncated within the dimensions", path);
    for (int i = 0; i < out->rank; i++) {
        const uint8_t *d = p + 4 + 4 * i;
        out->dims[i] = (int64_t)((uint32_t)d[0] << 24 | d[1] << 16 | d[2] << 8 | d[3]);
    }
    return host_bytes_of(out->rank, out->dims, dlrt_dtype_size((int)out->dtype), out_need) ||
           host_fail(out_error, "E0609", "%s: the dimensions overflow", path);
}

static bool idx_parse(const char *path, char *bytes, size_t size, Idx *out, HostError *out_error)
{
    int64_t need;
    if (!idx_header(path, bytes, size, out, &need, out_error))
        return false;
    size_t header = 4 + 4 * (size_t)out->rank;
    if ((uint64_t)need != size - header)
        return host_fail(out_error, "E0603",
                         "%s: %s: the dimensions say %" PRId64 " bytes, the file has %zu", path,
                         size - header < (uint64_t)need ? "truncated" : "too long", need,
                         size - header);
    out->bytes = bytes;
    out->data = bytes + header;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    swap_bytes(out->data, (size_t)need, dlrt_dtype_size((int)out->dtype));
#endif
    /* Values begin at 4 * (rank + 1): f64 wants 8. */
    if ((uintptr_t)out->data % 8 && dlrt_dtype_size((int)out->dtype) == 8)
        out->data = memmove(bytes + header / 8 * 8, out->data, (size_t)need);
    return true;
}

static bool idx_load(const char *path, Idx *out, HostError *out_error)
{
    char *bytes;
    size_t size;
    if (!host_file_read(path, 0, &bytes, &size, out_error))
        return false;
    if (idx_parse(path, bytes, size, out, out_error))
        return true;
    free(bytes);
    return false;
}

/* One file as a field of a table that has its number of rows already. */
static bool idx_add(HostTable *table, const char *field, const char *path, Idx *idx,
                    HostError *out_error)
{
    if (!host_table_adopt(table, idx->bytes, out_error))
        return false;
    if (idx->dims[0] != table->count)
        return host_fail(out_error, "E0603", "%s has %" PRId64 " items, but %s has %" PRId64, path,
                         idx->dims[0], table->origin, table->count);
    return host_table_add_field(table, field, idx->dtype, idx->rank - 1, idx->dims + 1, idx->data,
                                out_error);
}

static bool idx_table(const char *images, const char *labels, const HostIdxOptions *options,
                      HostTable *out_table, HostError *out_error)
{
    Idx x, y;
    if (!idx_load(images, &x, out_error))
        return false;
    if (!host_table_new(images, x.dims[0], out_table, out_error)) {
        free(x.bytes);
        return false;
    }
    if (!idx_add(out_table, "x", images, &x, out_error))
        return false;
    if (!out_table->count)
        return host_fail(out_error, "E0608", "%s has no examples", images);
    if (!labels)
        return true;
    if (!idx_load(labels, &y, out_error) || !idx_add(out_table, "y", labels, &y, out_error))
        return false;
    return !options->class_count
        || host_table_set_classes(out_table, 1, options->classes, options->class_count, out_error);
}

/* ---- A folder ---- */

enum { IMAGES, LABELS };
typedef struct {
    char *files[2][2]; /* [train, test][images, labels] */
} Folder;

/* [MNIST's own "t10k" and others' "test"]-images[-.]idx3-ubyte[.gz], after any prefix. */
static bool file_kind(const char *name, int *out_part, int *out_kind)
{
    size_t n = strlen(name);
    if (n > 3 && !strcmp(name + n - 3, ".gz"))
        n -= 3;
    if (n < 11 || strncmp(name + n - 6, "-ubyte", 6) || strncmp(name + n - 10, "idx", 3))
        return false;
    const char *images = strstr(name, "images"), *labels = strstr(name, "labels");
    bool train = strstr(name, "train"), test = strstr(name, "t10k") || strstr(name, "test");
    if (!images == !labels || train == test)
        return false;
    *out_kind = labels ? LABELS : IMAGES;
    *out_part = test;
    return true;
}

static bool folder_take(const char *path, const char *name, Folder *f, HostError *out_error)
{
    int part, kind;
    if (!file_kind(name, &part, &kind))
        return true;
    char **slot = &f->files[part][kind];
    if (*slot) {
        /* The same file plain and packed is one file: the plain one wins. */
        const char *old = host_base_name(*slot);
        size_t a = strlen(old), b = strlen(name);
        bool packed = b == a + 3 && !strncmp(old, name, a);
        bool plain = a == b + 3 && !strncmp(old, name, b);
        if (packed)
            return true;
        if (!plain)
            return host_fail(out_error, "E0603", "%s: both %s and %s could be the %s of %s", path,
                             old,
                             name, kind == LABELS ? "labels" : "images", part ? "test" : "train");
        free(*slot);
    }
    if (asprintf(slot, "%s/%s", path, name) < 0) {
        *slot = NULL;
        return host_fail_memory(out_error, path, 4096);
    }
    return true;
}

static bool folder_scan(const char *path, Folder *f, HostError *out_error)
{
    DIR *d = opendir(path);
    if (!d)
        return host_fail(out_error, errno == ENOENT ? "E0601" : "E0602", "%s: %s", path,
                         strerror(errno));
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d));)
        ok = folder_take(path, e->d_name, f, out_error);
    closedir(d);
    for (int part = 0; ok && part < 2; part++)
        for (int kind = 0; ok && kind < 2; kind++)
            if (!f->files[part][kind])
                ok = host_fail(out_error, "E0601", "%s has no %s-%s-idx%d-ubyte[.gz]", path,
                               part ? "t10k" : "train", kind == LABELS ? "labels" : "images",
                               kind == LABELS ? 1 : 3);
    return ok;
}

static void folder_free(Folder *f)
{
    for (int i = 0; i < 4; i++)
        free(f->files[i / 2][i % 2]);
}

static bool same_items(const HostTable *a, const HostTable *b, HostError *out_error)
{
    const HostField *x = a->fields, *y = b->fields;
    bool same = x->dtype == y->dtype && x->rank == y->rank;
    for (int i = 0; same && i < x->rank; i++)
        same = x->dims[i] == y->dims[i];
    char s[160], t[160];
    return same || host_fail(out_error, "E0603", "%s holds %s, but %s holds %s", a->origin,
                             host_type_text(s, x->dtype, "N", x->rank, x->dims), b->origin,
                             host_type_text(t, y->dtype, "N", y->rank, y->dims));
}

static bool folder_read(const char *path, const HostIdxOptions *options, HostData *out_data,
                        HostError *out_error)
{
    static const char *const names[2] = { "train", "test" };
    Folder f = { 0 };
    bool ok = folder_scan(path, &f, out_error);
    *out_data = (HostData){ .tables = ok ? calloc(2, sizeof(HostTable)) : NULL };
    if (ok && !out_data->tables)
        ok = host_fail_memory(out_error, path, 2 * (int64_t)sizeof(HostTable));
    for (int i = 0; ok && i < 2; i++) {
        out_data->table_count = i + 1;
        ok = idx_table(f.files[i][IMAGES], f.files[i][LABELS], options, &out_data->tables[i],
                       out_error);
        out_data->parts[i] = (HostPart){ names[i], host_view_all(&out_data->tables[i]) };
    }
    ok = ok && same_items(&out_data->tables[0], &out_data->tables[1], out_error);
    out_data->part_count = 2;
    folder_free(&f);
    if (!ok)
        host_data_free(out_data);
    return ok;
}

/* ---- Fields only ---- */

static bool idx_field(const char *path, const char *name, HostField *out, HostError *out_error)
{
    char head[HEADER_MAX];
    size_t size;
    int64_t need;
    Idx idx;
    if (!host_file_head(path, head, sizeof head, &size, out_error) ||
        !idx_header(path, head, size, &idx, &need, out_error))
        return false;
    *out = (HostField){ .name = name, .dtype = idx.dtype, .rank = idx.rank - 1 };
    memcpy(out->dims, idx.dims + 1, (size_t)out->rank * sizeof *out->dims);
    return true;
}

bool host_idx_fields(const char *path, HostField out_fields[2], int *out_count,
                     HostError *out_error)
{
    struct stat st;
    Folder f = { 0 };
    *out_count = 1;
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return idx_field(path, "x", out_fields, out_error);
    *out_count = 2;
    bool ok = folder_scan(path, &f, out_error) &&
              idx_field(f.files[0][IMAGES], "x", &out_fields[0], out_error) &&
              idx_field(f.files[0][LABELS], "y", &out_fields[1], out_error);
    folder_free(&f);
    return ok;
}

/* ---- All of it ---- */

bool host_idx_read(const char *path, const HostIdxOptions *options, HostData *out_data,
                   HostError *out_error)
{
    HostIdxOptions own = options ? *options : (HostIdxOptions){ 0 };
    struct stat st;
    *out_data = (HostData){ 0 };
    if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
        char *name = strdup(path);
        if (!name)
            return host_fail_memory(out_error, path, (int64_t)strlen(path));
        for (size_t n = strlen(name); n > 1 && name[n - 1] == '/';)
            name[--n] = 0;
        if (!own.class_count)
            own.classes = host_known_classes(host_base_name(name), &own.class_count);
        free(name);
        return folder_read(path, &own, out_data, out_error);
    }
    HostTable table = { 0 };
    if (!idx_table(path, own.labels, &own, &table, out_error)) {
        host_table_free(&table);
        return false;
    }
    return host_data_from_table(&table, out_data, out_error);
}
