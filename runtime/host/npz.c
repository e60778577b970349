/* npz.c: reads numpy's archives: a zip of npy files, stored or deflated, zip64 or not.
 *
 * Members are found through the central directory at the end, whose every offset and size is
 * checked against the file. Together the members may not claim more packed bytes than the file
 * has (overlapping members are how zip bombs grow), and none more unpacked bytes than deflate can
 * make. */
#include "runtime/host/files.h"
#include "runtime/host/internal.h"
#include "runtime/host/npy_header.h"
#include "runtime/host/zip.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct {
    const char *origin;
    const uint8_t *bytes;
    uint64_t size;
    uint64_t entries, directory, directory_size;
    HostError *error;
} Zip;

typedef struct {
    const char *name; /* not ended by NUL */
    size_t name_size;
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed, unpacked, offset;
} Member;

static uint32_t get16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static bool bad_zip(const Zip *z, const char *what)
{
    return host_fail(z->error, "E0603", "%s: not a sound npz file: %s", z->origin, what);
}

static bool zip64_end(Zip *z, uint64_t end)
{
    if (end < 20 || get32(z->bytes + end - 20) != ZIP64_LOCATOR)
        return bad_zip(z, "its zip64 directory is missing");
    uint64_t at = get64(z->bytes + end - 20 + 8);
    if (z->size < 56 || at > z->size - 56 || get32(z->bytes + at) != ZIP64_END)
        return bad_zip(z, "its zip64 directory is damaged");
    z->entries = get64(z->bytes + at + 32);
    z->directory_size = get64(z->bytes + at + 40);
    z->directory = get64(z->bytes + at + 48);
    return true;
}

/* The end record is the last thing but a comment of at most 65,535 bytes. */
static bool find_directory(Zip *z)
{
    uint64_t end = z->size;
    bool found = false;
    for (uint64_t back = 22; !found && back <= z->size && back <= 22 + 65535; back++) {
        end = z->size - back;
        found = get32(z->bytes + end) == ZIP_END && get16(z->bytes + end + 20) == back - 22;
    }
    if (!found)
        return bad_zip(z, "it has no directory (truncated?)");
    const uint8_t *p = z->bytes + end;
    if (get16(p + 4) || get16(p + 6))
        if (get16(p + 4) != 0xffff)
            return host_fail(z->error, "E0613", "%s: archives in several parts are not supported",
                             z->origin);
    z->entries = get16(p + 10);
    z->directory_size = get32(p + 12);
    z->directory = get32(p + 16);
    if ((z->entries == 0xffff || z->directory_size == 0xffffffff || z->directory == 0xffffffff)
        && !zip64_end(z, end))
        return false;
    if (z->directory > end || z->directory_size > end - z->directory
        || z->entries > z->directory_size / 46)
        return bad_zip(z, "its directory lies outside the file");
    return true;
}

/* Sizes that did not fit 32 bits stand in extra field 1, those that needed it, in this order. */
static bool zip64_extra(const Zip *z, const uint8_t *p, size_t size, Member *m)
{
    uint64_t *const values[3] = { &m->unpacked, &m->packed, &m->offset };
    while (size >= 4) {
        size_t length = get16(p + 2);
        if (length > size - 4)
            break;
        if (get16(p) == 1) {
            size_t at = 4;
            for (int i = 0; i < 3; i++) {
                if (*values[i] != 0xffffffff)
                    continue;
                if (at + 8 > length + 4)
                    return bad_zip(z, "a zip64 size is missing");
                *values[i] = get64(p + at);
                at += 8;
            }
        }
        p += 4 + length;
        size -= 4 + length;
    }
    return true;
}

/* The directory entry at *at; moves on to the next. */
static bool next_member(const Zip *z, uint64_t *at, Member *m)
{
    uint64_t end = z->directory + z->directory_size;
    if (end - *at < 46 || get32(z->bytes + *at) != ZIP_CENTRAL)
        return bad_zip(z, "its directory is damaged");
    const uint8_t *p = z->bytes + *at;
    size_t name = get16(p + 28), extra = get16(p + 30), comment = get16(p + 32);
    if (name + extra + comment > end - *at - 46)
        return bad_zip(z, "its directory is damaged");
    *m = (Member){ .name = (const char *)p + 46, .name_size = name, .flags = get16(p + 8),
                   .method = get16(p + 10), .crc = get32(p + 16), .packed = get32(p + 20),
                   .unpacked = get32(p + 24), .offset = get32(p + 42) };
    *at += 46 + name + extra + comment;
    return zip64_extra(z, p + 46 + name, extra, m);
}

static bool inflate_member(const Zip *z, const uint8_t *from, const Member *m, uint8_t *to)
{
    z_stream s = { 0 };
    if (inflateInit2(&s, -15) != Z_OK)
        return host_fail_memory(z->error, z->origin, 1 << 16);
    uint64_t in = 0, out = 0;
    int rc = Z_OK;
    while (rc == Z_OK) {
        uint64_t give = m->packed - in < 1 << 30 ? m->packed - in : 1 << 30;
        uint64_t room = m->unpacked - out < 1 << 30 ? m->unpacked - out : 1 << 30;
        s.next_in = (Bytef *)(uintptr_t)from + in;
        s.avail_in = (uInt)give;
        s.next_out = to + out;
        s.avail_out = (uInt)room;
        rc = inflate(&s, Z_NO_FLUSH);
        in += give - s.avail_in;
        out += room - s.avail_out;
    }
    inflateEnd(&s);
    if (rc == Z_MEM_ERROR)
        return host_fail_memory(z->error, z->origin, 1 << 15);
    return (rc == Z_STREAM_END && in == m->packed && out == m->unpacked)
        || bad_zip(z, "a member does not unpack to its size");
}

/* The member's bytes: in the file itself, or in *out_owned. */
static bool open_member(const Zip *z, const Member *m, const uint8_t **out_bytes,
                        uint8_t **out_owned)
{
    *out_owned = NULL;
    if (m->flags & 1)
        return host_fail(z->error, "E0613", "%s: encrypted members are not supported", z->origin);
    if (m->method != ZIP_STORED && m->method != ZIP_DEFLATED)
        return host_fail(z->error, "E0613", "%s: compression method %u is not supported", z->origin,
                         m->method);
    if (m->offset > z->directory || z->directory - m->offset < 30
        || get32(z->bytes + m->offset) != ZIP_LOCAL)
        return bad_zip(z, "a member lies outside the file");
    const uint8_t *local = z->bytes + m->offset;
    uint64_t start = m->offset + 30 + get16(local + 26) + get16(local + 28);
    if (start > z->directory || m->packed > z->directory - start)
        return bad_zip(z, "a member lies outside the file");
    if (m->method == ZIP_STORED && m->packed != m->unpacked)
        return bad_zip(z, "a stored member has two sizes");
    *out_bytes = z->bytes + start;
    if (m->method == ZIP_DEFLATED) {
        if (!host_plausible_deflate(m->packed, m->unpacked) || m->unpacked > host_memory_size())
            return bad_zip(z, "a member claims an impossible size");
        *out_owned = host_malloc(m->unpacked);
        if (!*out_owned)
            return host_fail_memory(z->error, z->origin, (int64_t)m->unpacked);
        if (!inflate_member(z, *out_bytes, m, *out_owned))
            return false;
        *out_bytes = *out_owned;
    }
    uint32_t crc = (uint32_t)crc32_z(0, *out_bytes, m->unpacked);
    return crc == m->crc || bad_zip(z, "a checksum is wrong");
}

static bool read_member(const Zip *z, const Member *m, HostNpy *out)
{
    const uint8_t *bytes = NULL;
    uint8_t *owned = NULL;
    char label[200];
    size_t n = m->name_size - 4;
    snprintf(label, sizeof label, "%.100s: %.*s", z->origin, (int)(n < 60 ? n : 60), m->name);
    bool ok = open_member(z, m, &bytes, &owned)
           && host_npy_parse(label, bytes, m->unpacked, out, z->error);
    free(owned);
    if (ok && !(out->name = strndup(m->name, n)))
        ok = host_fail_memory(z->error, z->origin, (int64_t)n);
    return ok;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted first: a hostile archive has members by the million. */
static bool names_differ(const Zip *z, const HostNpy *arrays, int count)
{
    char **names = calloc((size_t)count + 1, sizeof *names);
    if (!names)
        return host_fail_memory(z->error, z->origin, count);
    for (int i = 0; i < count; i++)
        names[i] = arrays[i].name;
    qsort(names, (size_t)count, sizeof *names, compare_names);
    bool differ = true;
    for (int i = 1; i < count; i++)
        differ &= strcmp(names[i - 1], names[i]) != 0;
    free(names);
    return differ || bad_zip(z, "two members have one name");
}

static bool read_members(Zip *z, HostNpy **out_arrays, int *out_count)
{
    uint64_t at = z->directory, packed = 0;
    for (uint64_t i = 0; i < z->entries; i++) {
        Member m;
        if (!next_member(z, &at, &m))
            return false;
        if (__builtin_add_overflow(packed, m.packed, &packed) || packed > z->size)
            return bad_zip(z, "its members overlap");
        if (m.name_size < 5 || memcmp(m.name + m.name_size - 4, ".npy", 4))
            continue;
        if (memchr(m.name, 0, m.name_size))
            return bad_zip(z, "a name holds NUL");
        if (!(*out_count & (*out_count - 1))) { /* full at powers of two */
            size_t capacity = *out_count ? 2 * (size_t)*out_count : 1;
            HostNpy *wider = realloc(*out_arrays, capacity * sizeof *wider);
            if (!wider)
                return host_fail_memory(z->error, z->origin, (int64_t)(capacity * sizeof *wider));
            *out_arrays = wider;
        }
        HostNpy *a = &(*out_arrays)[(*out_count)++];
        *a = (HostNpy){ 0 };
        if (!read_member(z, &m, a))
            return false;
    }
    return names_differ(z, *out_arrays, *out_count);
}

bool host_npz_read(const char *path, HostNpy **out_arrays, int *out_count, HostError *out_error)
{
    char *bytes;
    size_t size;
    *out_arrays = NULL;
    *out_count = 0;
    if (!host_file_read(path, 0, &bytes, &size, out_error))
        return false;
    Zip z = { .origin = path, .bytes = (const uint8_t *)bytes, .size = size, .error = out_error };
    bool ok = find_directory(&z) && read_members(&z, out_arrays, out_count);
    free(bytes);
    if (!ok) {
        host_npz_free(*out_arrays, *out_count);
        *out_arrays = NULL;
        *out_count = 0;
    }
    return ok;
}

void host_npz_free(HostNpy *arrays, int count)
{
    for (int i = 0; i < count; i++)
        host_npy_free(&arrays[i]);
    free(arrays);
}
