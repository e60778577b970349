/* file.c: whole files in and out.
 *
 * Files are read, not mapped: a mapped file that another process shortens ends this one with
 * SIGBUS. gzip is recognised by its first bytes, not by a suffix; members may follow one another.
 */
#include "runtime/host/files.h"
#include "runtime/host/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK = 1 << 16 }; /* of a packed file */

typedef struct {
    char *at;
    size_t used, size; /* one byte more is allocated, for the NUL */
} Buffer;

static bool buffer_grow(Buffer *b, size_t limit, const char *path, HostError *out_error)
{
    if (b->size >= limit)
        return host_fail(out_error, "E0609", "%s: more than %zu bytes", path, limit);
    size_t size = b->size > limit / 2 ? limit : b->size * 2;
    char *at = size < PTRDIFF_MAX ? realloc(b->at, size + 1) : NULL;
    if (!at)
        return host_fail_memory(out_error, path, (int64_t)size);
    b->at = at;
    b->size = size;
    return true;
}

static bool buffer_start(Buffer *b, size_t size, size_t limit, const char *path,
                         HostError *out_error)
{
    b->used = 0;
    b->size = size < 4096 ? 4096 : size;
    if (b->size > limit)
        b->size = limit;
    b->at = host_malloc(b->size + 1);
    return b->at || host_fail_memory(out_error, path, (int64_t)b->size);
}

/* Up to `size` bytes; 0 only at the end. */
static bool read_some(int fd, const char *path, void *to, size_t size, size_t *out_n,
                      HostError *out_error)
{
    ssize_t n;
    do
        n = read(fd, to, size);
    while (n < 0 && errno == EINTR);
    *out_n = n > 0 ? (size_t)n : 0;
    return n >= 0 || host_fail(out_error, "E0602", "%s: %s", path, strerror(errno));
}

static bool read_all(int fd, const char *path, Buffer *b, size_t limit, HostError *out_error)
{
    for (;;) {
        char probe;
        bool full = b->used == b->size;
        size_t n;
        if (!read_some(fd, path, full ? &probe : b->at + b->used, full ? 1 : b->size - b->used, &n,
                       out_error))
            return false;
        if (n == 0)
            return true;
        if (full) {
            if (!buffer_grow(b, limit, path, out_error))
                return false;
            b->at[b->used] = probe;
        }
        b->used += n;
    }
}

/* A file or a pipe, nothing else. */
static bool open_plain(const char *path, int *out_fd, struct stat *out_stat, HostError *out_error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return host_fail(out_error, errno == ENOENT || errno == ENOTDIR ? "E0601" : "E0602",
                         "%s: %s",
                         path, strerror(errno));
    bool ok = true;
    if (fstat(fd, out_stat)) {
        ok = host_fail(out_error, "E0602", "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(out_stat->st_mode) && !S_ISFIFO(out_stat->st_mode)) {
        ok = host_fail(out_error, "E0602", "%s is %s, not a file", path,
                       S_ISDIR(out_stat->st_mode) ? "a folder" : "a device");
    }
    if (!ok)
        close(fd);
    *out_fd = fd;
    return ok;
}

/* `first` bytes stand in `chunk` already. The packed file is never whole in memory. */
static bool inflate_all(int fd, const char *path, unsigned char chunk[CHUNK], size_t first,
                        Buffer *out, size_t limit, HostError *out_error)
{
    z_stream z = { .next_in = chunk, .avail_in = (uInt)first };
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return host_fail_memory(out_error, path, 1 << 16);
    bool ok = true, ended = false;
    while (ok) {
        size_t n = z.avail_in;
        if (!n && (ok = read_some(fd, path, chunk, CHUNK, &n, out_error)) && !n) {
            ok = ended || host_fail(out_error, "E0603", "%s: gzip: the file is truncated", path);
            break;
        }
        if (!ok || (out->used == out->size && !(ok = buffer_grow(out, limit, path, out_error))))
            break;
        if (!z.avail_in)
            z.next_in = chunk;
        if (ended)
            inflateReset(&z);
        size_t room = out->size - out->used < 1 << 30 ? out->size - out->used : 1 << 30;
        z.avail_in = (uInt)n;
        z.next_out = (Bytef *)out->at + out->used;
        z.avail_out = (uInt)room;
        int rc = inflate(&z, Z_NO_FLUSH);
        out->used += room - z.avail_out;
        ended = rc == Z_STREAM_END;
        if (rc == Z_MEM_ERROR)
            ok = host_fail_memory(out_error, path, 1 << 15);
        else if (rc != Z_OK && rc != Z_BUF_ERROR && !ended)
            ok = host_fail(out_error, "E0603", "%s: gzip: %s", path, z.msg ? z.msg : "damaged");
    }
    inflateEnd(&z);
    return ok;
}

static bool read_open(int fd, const char *path, const struct stat *st, Buffer *b, size_t limit,
                      HostError *out_error)
{
    unsigned char chunk[CHUNK];
    size_t first = 0, n = 1, size = S_ISREG(st->st_mode) ? (size_t)st->st_size : 0;
    if (size > limit)
        return host_fail(out_error, "E0609", "%s: more than %zu bytes", path, limit);
    while (first < 2 && n) {
        if (!read_some(fd, path, chunk + first, CHUNK - first, &n, out_error))
            return false;
        first += n;
    }
    if (first >= 2 && chunk[0] == 0x1f && chunk[1] == 0x8b)
        return buffer_start(b, size > limit / 4 ? limit : size * 4, limit, path, out_error) &&
               inflate_all(fd, path, chunk, first, b, limit, out_error);
    if (!buffer_start(b, size > first ? size : first, limit, path, out_error))
        return false;
    if (first > b->size)
        return host_fail(out_error, "E0609", "%s: more than %zu bytes", path, limit);
    memcpy(b->at, chunk, first);
    b->used = first;
    return read_all(fd, path, b, limit, out_error);
}

size_t host_memory_size(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page : (size_t)1 << 36;
}

bool host_file_read(const char *path, size_t limit, char **out_bytes, size_t *out_size,
                    HostError *out_error)
{
    *out_bytes = NULL;
    if (!limit)
        limit = host_memory_size();
    Buffer b = { 0 };
    struct stat st;
    int fd;
    if (!open_plain(path, &fd, &st, out_error))
        return false;
    bool ok = read_open(fd, path, &st, &b, limit, out_error);
    close(fd);
    if (!ok) {
        free(b.at);
        return false;
    }
    b.at[b.used] = 0;
    *out_bytes = b.at;
    *out_size = b.used;
    return true;
}

bool host_file_head(const char *path, void *out_bytes, size_t size, size_t *out_size,
                    HostError *out_error)
{
    struct stat st;
    int fd, rc = Z_OK;
    if (!open_plain(path, &fd, &st, out_error))
        return false;
    gzFile f = gzdopen(fd, "rb");
    if (!f) {
        close(fd);
        return host_fail_memory(out_error, path, 1 << 16);
    }
    gzbuffer(f, 4096);
    int n = gzread(f, out_bytes, (unsigned)size);
    const char *text = gzerror(f, &rc);
    bool ok = n >= 0 && (rc == Z_OK || rc == Z_STREAM_END);
    if (!ok && rc == Z_ERRNO)
        host_fail(out_error, "E0602", "%s: %s", path, strerror(errno));
    else if (!ok)
        host_fail(out_error, "E0603", "%s: gzip: %s", path,
                  rc == Z_BUF_ERROR ? "the file is truncated" : text);
    gzclose(f);
    *out_size = n > 0 ? (size_t)n : 0;
    return ok;
}

void host_writer_open(HostWriter *w, const char *path)
{
    struct stat st;
    *w = (HostWriter){ .path = path, .fd = -1 };
    /* Renaming over /dev/stdout would replace it. */
    bool in_place = !stat(path, &st) && !S_ISREG(st.st_mode);
    if (!in_place && asprintf(&w->temporary, "%s.tmp-%ld", path, (long)getpid()) < 0) {
        w->temporary = NULL;
        w->error = ENOMEM;
        return;
    }
    w->fd = open(in_place ? path : w->temporary,
                 O_WRONLY | O_CLOEXEC | (in_place ? 0 : O_CREAT | O_TRUNC), 0666);
    if (w->fd < 0)
        w->error = errno;
}

void host_writer_put(HostWriter *w, const void *bytes, size_t size)
{
    for (const char *p = bytes; size && !w->error;) {
        ssize_t n = write(w->fd, p, size);
        if (n < 0 && errno != EINTR)
            w->error = errno;
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        }
    }
}

bool host_writer_close(HostWriter *w, bool keep, HostError *out_error)
{
    bool made = w->fd >= 0 && w->temporary;
    if (keep && !w->error && w->temporary && fsync(w->fd))
        w->error = errno;
    if (w->fd >= 0 && close(w->fd) && !w->error)
        w->error = errno;
    if (keep && !w->error && w->temporary && rename(w->temporary, w->path))
        w->error = errno;
    if (made && (w->error || !keep))
        unlink(w->temporary);
    free(w->temporary);
    if (keep && w->error)
        return host_fail(out_error, "E0902", "%s: %s", w->path, strerror(w->error));
    return keep;
}

bool host_file_write(const char *path, const void *bytes, size_t size, HostError *out_error)
{
    HostWriter w;
    host_writer_open(&w, path);
    host_writer_put(&w, bytes, size);
    return host_writer_close(&w, true, out_error);
}
