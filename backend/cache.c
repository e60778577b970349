/* cache.c: one file an object, named by a hash of everything the object depends on: kernel text,
 * target, symbol, and the sources of the code generator (a time stamp or version number would let a
 * changed emitter meet its old output).
 *
 * A file is a header with a checksum, then the object. Files appear by rename and are believed only
 * if they are ours, whole and unchanged; anything else is compiled again and written over. */
#include "backend/cache.h"
#include "backend_id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define CACHE_BYTES (INT64_C(256) << 20) /* bound of all files together */
enum { SCAN_EVERY = 32, OBJECT_BYTES = 64 << 20, DAY_SECONDS = 86400 };

struct Cache {
    int dir;
    atomic_int puts;
};

typedef struct {
    char magic[8];
    uint64_t key[2];
    uint64_t size, checksum;
    KernelGrid grid;
    uint32_t spilled, reserved;
} CacheHeader;

static const char cache_magic[8] = "DLOBJ01";

/* ---- Opening ---- */

static int open_directory(const char *path)
{
    if (mkdir(path, 0700) && errno != EEXIST)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int find_directory(void)
{
    const char *own = getenv("DLCC_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char path[PATH_MAX];
    if (own && *own)
        return strcmp(own, "off") ? open_directory(own) : -1;
    bool given = xdg && *xdg == '/';
    if (!given && (!home || *home != '/'))
        return -1;
    int n = snprintf(path, sizeof path, "%s%s", given ? xdg : home, given ? "" : "/.cache");
    if (n < 0 || (size_t)n + sizeof "/dlcc" > sizeof path)
        return -1;
    if (mkdir(path, 0700) && errno != EEXIST)
        return -1;
    memcpy(path + n, "/dlcc", sizeof "/dlcc");
    return open_directory(path);
}

Cache *cache_open(void)
{
    int dir = find_directory();
    Cache *c = dir < 0 ? NULL : calloc(1, sizeof *c);
    if (c)
        c->dir = dir;
    else if (dir >= 0)
        close(dir);
    return c;
}

/* ---- Names and checks ---- */

static void add_text(XXH3_state_t *state, const char *text)
{
    XXH3_128bits_update(state, text, strlen(text) + 1);
}

static bool find_key(const char *text, const Target *t, const char *symbol, uint64_t out_key[2])
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return false;
    XXH3_128bits_reset(state);
    add_text(state, BACKEND_ID);
    add_text(state, t->text);
    add_text(state, symbol);
    add_text(state, text);
    XXH128_hash_t h = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    out_key[0] = h.high64;
    out_key[1] = h.low64;
    return true;
}

static void file_name(const uint64_t key[2], char out_name[40])
{
    snprintf(out_name, 40, "%016llx%016llx.o", (unsigned long long)key[0],
             (unsigned long long)key[1]);
}

/* Of the header, padding included, and the object. */
static uint64_t checksum(const CacheHeader *h, const uint8_t *bytes)
{
    CacheHeader copy;
    memcpy(&copy, h, sizeof copy);
    copy.checksum = 0;
    return XXH3_64bits_withSeed(bytes, h->size, XXH3_64bits(&copy, sizeof copy));
}

static bool read_all(int fd, void *to, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = read(fd, (char *)to + got, n - got);
        if (r <= 0 && !(r < 0 && errno == EINTR))
            return false;
        got += r > 0 ? (size_t)r : 0;
    }
    return true;
}

static bool write_all(int fd, const void *from, size_t n)
{
    for (size_t put = 0; put < n;) {
        ssize_t w = write(fd, (const char *)from + put, n - put);
        if (w < 0 && errno != EINTR)
            return false;
        put += w > 0 ? (size_t)w : 0;
    }
    return true;
}

/* ---- Get and put ---- */

/* Only files that nobody else can write are code to be run. The time of the last use orders
 * evictions; a day is exact enough. */
static bool is_trusted(int fd, struct stat *out_stat)
{
    return !fstat(fd, out_stat) && S_ISREG(out_stat->st_mode) && out_stat->st_uid == geteuid() &&
           !(out_stat->st_mode & (S_IWGRP | S_IWOTH));
}

static bool read_object(int fd, const uint64_t key[2], KernelObject *out_object)
{
    CacheHeader h;
    struct stat s;
    if (!is_trusted(fd, &s) || !read_all(fd, &h, sizeof h) ||
        memcmp(h.magic, cache_magic, sizeof h.magic) || h.key[0] != key[0] || h.key[1] != key[1] ||
        h.size == 0 || h.size > OBJECT_BYTES || (uint64_t)s.st_size != sizeof h + h.size)
        return false;
    uint8_t *bytes = malloc(h.size);
    if (!bytes || !read_all(fd, bytes, h.size) || checksum(&h, bytes) != h.checksum) {
        free(bytes);
        return false;
    }
    struct timespec now;
    if (!clock_gettime(CLOCK_REALTIME, &now) && now.tv_sec - s.st_mtim.tv_sec > DAY_SECONDS)
        (void)futimens(fd, NULL);
    *out_object =
        (KernelObject){ .bytes = bytes, .size = h.size, .grid = h.grid, .spilled = h.spilled != 0 };
    return true;
}

bool cache_get(Cache *c, const char *text, const Target *t, const char *symbol,
               KernelObject *out_object)
{
    uint64_t key[2];
    char name[40];
    if (!c || !find_key(text, t, symbol, key))
        return false;
    file_name(key, name);
    int fd = openat(c->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool ok = read_object(fd, key, out_object);
    close(fd);
    return ok;
}

void cache_put(Cache *c, const char *text, const Target *t, const char *symbol,
               const KernelObject *object)
{
    CacheHeader h;
    char name[40], temporary[64];
    memset(&h, 0, sizeof h); /* padding is written, too */
    if (!c || !find_key(text, t, symbol, h.key))
        return;
    memcpy(h.magic, cache_magic, sizeof h.magic);
    h.size = object->size;
    h.grid.tiles = object->grid.tiles;
    h.grid.batch_scale = object->grid.batch_scale;
    h.grid.batch_tile = object->grid.batch_tile;
    h.grid.grain = object->grid.grain;
    h.spilled = object->spilled;
    h.checksum = checksum(&h, object->bytes);
    file_name(h.key, name);
    int n = atomic_fetch_add(&c->puts, 1);
    snprintf(temporary, sizeof temporary, "tmp-%ld-%d", (long)getpid(), n);
    int fd = openat(c->dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    bool ok = write_all(fd, &h, sizeof h) && write_all(fd, object->bytes, object->size);
    ok = !close(fd) && ok;
    if (!ok || renameat(c->dir, temporary, c->dir, name))
        unlinkat(c->dir, temporary, 0);
}

/* ---- Eviction ---- */

typedef struct {
    char name[64];
    int64_t used, bytes; /* used: nanoseconds */
} CacheFile;

static int by_use(const void *a, const void *b)
{
    const CacheFile *x = a, *y = b;
    return x->used != y->used ? (x->used < y->used ? -1 : 1) : strcmp(x->name, y->name);
}

static CacheFile *list_files(DIR *dir, size_t *out_n, int64_t *out_bytes)
{
    CacheFile *files = NULL;
    size_t n = 0, cap = 0;
    for (struct dirent *d; (d = readdir(dir));) {
        struct stat s;
        if (strlen(d->d_name) >= sizeof files->name ||
            fstatat(dirfd(dir), d->d_name, &s, AT_SYMLINK_NOFOLLOW) || !S_ISREG(s.st_mode))
            continue;
        if (n == cap) {
            CacheFile *more = realloc(files, (cap = 2 * cap + 256) * sizeof *files);
            if (!more)
                break;
            files = more;
        }
        CacheFile *f = &files[n++];
        strcpy(f->name, d->d_name);
        f->used = (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
        f->bytes = s.st_size;
        *out_bytes += s.st_size;
    }
    *out_n = n;
    return files;
}

static int64_t size_bound(void)
{
    const char *text = getenv("DLCC_CACHE_BYTES");
    long long n = text ? strtoll(text, NULL, 10) : 0;
    return n > 0 ? n : CACHE_BYTES;
}

/* Down to three quarters, so that the next scans find nothing to do. Only names that this file
 * makes are removed. */
static void evict(const Cache *c)
{
    int fd = dup(c->dir);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    rewinddir(dir);
    size_t n = 0;
    int64_t bytes = 0, bound = size_bound();
    CacheFile *files = list_files(dir, &n, &bytes);
    if (bytes > bound) {
        qsort(files, n, sizeof *files, by_use);
        for (size_t i = 0; i < n && bytes > bound / 4 * 3; i++) {
            size_t length = strlen(files[i].name);
            if ((length != 34 || strcmp(files[i].name + 32, ".o")) &&
                strncmp(files[i].name, "tmp-", 4))
                continue;
            if (!unlinkat(c->dir, files[i].name, 0))
                bytes -= files[i].bytes;
        }
    }
    free(files);
    closedir(dir);
}

void cache_close(Cache *c)
{
    if (!c)
        return;
    /* A scan reads the whole directory: now and then is enough, and always after a large batch. */
    int puts = atomic_load(&c->puts);
    if (puts >= SCAN_EVERY || (puts > 0 && getpid() % SCAN_EVERY < puts))
        evict(c);
    close(c->dir);
    free(c);
}
