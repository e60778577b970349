/* npz_write.c: writes numpy's archives. Members are written one after another, each whole in memory
 * when it is deflated; dates are the earliest zip knows, so that equal arrays give equal bytes. */
#include "runtime/host/files.h"
#include "runtime/host/internal.h"
#include "runtime/host/npy_header.h"
#include "runtime/host/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct {
    uint8_t at[128];
    size_t n;
} Record;

static void put(Record *r, uint64_t value, int bytes)
{
    for (; bytes > 0; bytes--, value >>= 8)
        r->at[r->n++] = (uint8_t)value;
}

static uint64_t low32(uint64_t v)
{
    return v < 0xffffffff ? v : 0xffffffff;
}

/* Deflates header and values into *out (from malloc). */
static bool deflate_member(const char *path, const void *header, size_t header_size,
                           const void *data, uint64_t bytes, uint8_t **out, uint64_t *out_size,
                           HostError *out_error)
{
    z_stream s = { 0 };
    if (deflateInit2(&s, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return host_fail_memory(out_error, path, 1 << 18);
    uint64_t bound = deflateBound(&s, header_size) + bytes + bytes / 1000 + 4096, used = 0;
    *out = host_malloc(bound);
    if (!*out) {
        deflateEnd(&s);
        return host_fail_memory(out_error, path, (int64_t)bound);
    }
    uint64_t at = 0;
    int rc = Z_OK;
    s.next_in = (Bytef *)(uintptr_t)header;
    s.avail_in = (uInt)header_size;
    while (rc == Z_OK) {
        if (!s.avail_in && at < bytes) {
            uint64_t give = bytes - at < 1 << 30 ? bytes - at : 1 << 30;
            s.next_in = (Bytef *)(uintptr_t)data + at;
            s.avail_in = (uInt)give;
            at += give;
        }
        uint64_t room = bound - used < 1 << 30 ? bound - used : 1 << 30;
        s.next_out = *out + used;
        s.avail_out = (uInt)room;
        rc = deflate(&s, at == bytes ? Z_FINISH : Z_NO_FLUSH);
        used += room - s.avail_out;
    }
    deflateEnd(&s);
    *out_size = used;
    return rc == Z_STREAM_END || host_fail(out_error, "E0902", "%s: deflate failed", path);
}

/* The directory's copy of a local record, with the sizes and the place again. */
static Record directory_entry(const Record *local, size_t name, uint64_t unpacked, uint64_t packed,
                              uint64_t offset)
{
    bool big = unpacked >= 0xffffffff || packed >= 0xffffffff;
    bool far = offset >= 0xffffffff;
    Record entry = { .n = 0 }, *e = &entry;
    put(e, ZIP_CENTRAL, 4);
    put(e, big || far ? 45 : 20, 2);
    for (size_t i = 4; i < 18; i++) /* version needed ... crc: as in the local header */
        e->at[e->n++] = local->at[i];
    put(e, big ? 0xffffffff : packed, 4);
    put(e, big ? 0xffffffff : unpacked, 4);
    put(e, name, 2);
    put(e, big || far ? 4 + (big ? 16 : 0) + (far ? 8 : 0) : 0, 2);
    put(e, 0, 2); /* comment */
    put(e, 0, 2); /* disk */
    put(e, 0, 2);
    put(e, 0, 4);
    put(e, low32(offset), 4);
    if (big || far) {
        put(e, 1, 2);
        put(e, (big ? 16 : 0) + (far ? 8 : 0), 2);
        if (big) {
            put(e, unpacked, 8);
            put(e, packed, 8);
        }
        if (far)
            put(e, offset, 8);
    }
    return entry;
}

/* Writes the member at `offset`; appends its directory entry. */
static bool write_member(HostWriter *w, const HostNpy *a, bool compress, uint64_t *offset,
                         Record *out_entry, HostError *out_error)
{
    char header[NPY_HEADER_MAX];
    size_t header_size, name = strlen(a->name) + 4;
    int64_t bytes;
    if (!host_npy_header(w->path, a, header, &header_size, &bytes, out_error))
        return false;
    uint64_t unpacked = header_size + (uint64_t)bytes, packed = unpacked;
    uint32_t crc = (uint32_t)crc32_z(crc32_z(0, (Bytef *)header, header_size), a->data,
                                     (size_t)bytes);
    uint8_t *deflated = NULL;
    if (compress
        && !deflate_member(w->path, header, header_size, a->data, (uint64_t)bytes, &deflated,
                           &packed,
                           out_error)) {
        free(deflated);
        return false;
    }
    bool big = unpacked >= 0xffffffff || packed >= 0xffffffff;
    Record local = { .n = 0 };
    put(&local, ZIP_LOCAL, 4);
    put(&local, big ? 45 : 20, 2);
    put(&local, 0x800, 2); /* names are UTF-8 */
    put(&local, compress ? ZIP_DEFLATED : ZIP_STORED, 2);
    put(&local, 0x00210000, 4); /* 1980-01-01, the earliest */
    put(&local, crc, 4);
    put(&local, big ? 0xffffffff : packed, 4);
    put(&local, big ? 0xffffffff : unpacked, 4);
    put(&local, name, 2);
    put(&local, big ? 20 : 0, 2);
    host_writer_put(w, local.at, local.n);
    host_writer_put(w, a->name, name - 4);
    host_writer_put(w, ".npy", 4);
    Record extra = { .n = 0 };
    put(&extra, 1, 2);
    put(&extra, 16, 2);
    put(&extra, unpacked, 8);
    put(&extra, packed, 8);
    if (big)
        host_writer_put(w, extra.at, extra.n);
    if (deflated) {
        host_writer_put(w, deflated, packed);
    } else {
        host_writer_put(w, header, header_size);
        host_writer_put(w, a->data, (size_t)bytes);
    }
    free(deflated);
    *out_entry = directory_entry(&local, name, unpacked, packed, *offset);
    *offset += local.n + name + (big ? extra.n : 0) + packed;
    return true;
}

static void write_end(HostWriter *w, uint64_t entries, uint64_t directory, uint64_t size)
{
    Record r = { .n = 0 };
    if (entries >= 0xffff || directory >= 0xffffffff || size >= 0xffffffff) {
        put(&r, ZIP64_END, 4);
        put(&r, 44, 8);
        put(&r, 45, 2);
        put(&r, 45, 2);
        put(&r, 0, 8);
        put(&r, entries, 8);
        put(&r, entries, 8);
        put(&r, size, 8);
        put(&r, directory, 8);
        put(&r, ZIP64_LOCATOR, 4);
        put(&r, 0, 4);
        put(&r, directory + size, 8);
        put(&r, 1, 4);
    }
    put(&r, ZIP_END, 4);
    put(&r, 0, 4);
    put(&r, entries < 0xffff ? entries : 0xffff, 2);
    put(&r, entries < 0xffff ? entries : 0xffff, 2);
    put(&r, low32(size), 4);
    put(&r, low32(directory), 4);
    put(&r, 0, 2);
    host_writer_put(w, r.at, r.n);
}

bool host_npz_write(const char *path, const HostNpy *arrays, int count, bool compress,
                    HostError *out_error)
{
    HostWriter w;
    uint64_t offset = 0, size = 0;
    for (int i = 0; i < count; i++)
        if (!arrays[i].name || !*arrays[i].name || strlen(arrays[i].name) > 60000)
            return host_fail(out_error, "E0612", "%s: array %d has no usable name", path, i);
    Record *entries = calloc((size_t)count + 1, sizeof *entries);
    if (!entries)
        return host_fail_memory(out_error, path, count);
    host_writer_open(&w, path);
    bool ok = true;
    for (int i = 0; ok && i < count; i++)
        ok = write_member(&w, &arrays[i], compress, &offset, &entries[i], out_error);
    for (int i = 0; ok && i < count; i++) {
        size_t name = strlen(arrays[i].name);
        host_writer_put(&w, entries[i].at, 46);
        host_writer_put(&w, arrays[i].name, name);
        host_writer_put(&w, ".npy", 4);
        host_writer_put(&w, entries[i].at + 46, entries[i].n - 46);
        size += entries[i].n + name + 4;
    }
    write_end(&w, (uint64_t)count, offset, size);
    free(entries);
    return host_writer_close(&w, ok, out_error);
}
