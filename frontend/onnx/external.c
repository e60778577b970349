/* external.c: tensors in files beside the model.
 *
 * The location is a stranger's text: without care it names any file of the user's. It is walked by
 * descriptors from the model's folder, one component at a time, none of them `..` or a link, so
 * that nothing outside is reached, whatever changes on disk meanwhile. Only a regular file is
 * opened (a pipe would block, a device may act), and it is mapped, never read whole. */
#include "frontend/onnx/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const char *location;
    uint64_t offset, length;
    bool has_length;
} Place;

/* ---- which file, which bytes ---- */

static bool read_decimal(const char *text, uint64_t *out_value)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    *out_value = value;
    return true;
}

static bool read_place(OnnxFile *f, const Onnx__TensorProto *t, const char *what, Place *out_place)
{
    Place p = { 0 };
    bool has_offset = false;
    for (size_t i = 0; i < t->n_external_data; i++) {
        const char *key = t->external_data[i]->key, *value = t->external_data[i]->value;
        bool ok = true;
        if (!key || !value)
            ok = false;
        else if (!strcmp(key, "location") && (ok = !p.location))
            p.location = value;
        else if (!strcmp(key, "offset") && (ok = !has_offset))
            ok = has_offset = read_decimal(value, &p.offset);
        else if (!strcmp(key, "length") && (ok = !p.has_length))
            ok = p.has_length = read_decimal(value, &p.length);
        if (!ok)
            return onnx_fail(f, DIAG_E0705, "%s: wrong value of `%s` for its external data: `%s`",
                             what, onnx_escape(f->cx->arena, key),
                             onnx_escape(f->cx->arena, value));
    }
    if (!p.location || !*p.location)
        return onnx_fail(f, DIAG_E0705, "%s: its external data has no location", what);
    *out_place = p;
    return true;
}

/* ---- opening ---- */

static int open_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, path, n);
    folder[n] = 0;
    return open(n ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* One component: what is there is looked at before it is opened. Why it is refused, or NULL. */
static const char *open_component(int folder, const char *name, bool last, int *out_fd)
{
    struct stat st;
    if (!*name || !strcmp(name, "."))
        return "a component of the path is empty";
    if (!strcmp(name, ".."))
        return "`..` may lead out of the model's folder";
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW))
        return strerror(errno);
    if (S_ISLNK(st.st_mode))
        return "it is a link, which may lead out of the model's folder";
    if (last ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode))
        return last ? "it is not a regular file" : "a component of the path is not a folder";
    int flags = O_CLOEXEC | O_NOFOLLOW | (last ? O_RDONLY | O_NONBLOCK | O_NOCTTY
                                               : O_PATH | O_DIRECTORY);
    *out_fd = openat(folder, name, flags);
    return *out_fd < 0 ? strerror(errno) : NULL;
}

static const char *open_beneath(int folder, const char *location, int *out_fd)
{
    char name[NAME_MAX + 1];
    int at = folder;
    const char *why = NULL;
    *out_fd = -1;
    if (*location == '/')
        return "the path is absolute";
    for (const char *s = location; s && !why;) {
        const char *slash = strchr(s, '/');
        size_t n = slash ? (size_t)(slash - s) : strlen(s);
        int next = -1;
        memcpy(name, s, n <= NAME_MAX ? n : 0);
        name[n <= NAME_MAX ? n : 0] = 0;
        if (!slash || strcmp(name, ".")) { /* "./weights.bin" is as common as "weights.bin" */
            why = n > NAME_MAX ? strerror(ENAMETOOLONG)
                               : open_component(at, name, !slash, &next);
            if (at != folder)
                close(at);
            at = next;
        }
        s = slash ? slash + 1 : NULL;
    }
    *out_fd = at; /* -1 where it was refused */
    return why;
}

static const char *map_beneath(OnnxFile *f, const char *location, OnnxBytes *out_map)
{
    int fd;
    if (!f->mapped)
        return "the model has no folder";
    if (f->folder < 0 && (f->folder = open_folder(f->path)) < 0)
        return strerror(errno);
    const char *why = open_beneath(f->folder, location, &fd);
    if (!why)
        why = onnx_map(fd, out_map);
    /* Bools are copied: the limit follows what is stored, not holes. */
    struct stat st;
    if (!why && !fstat(fd, &st))
        f->pool.limit += (size_t)st.st_blocks * 512;
    if (fd >= 0)
        close(fd);
    return why;
}

bool onnx_external(OnnxFile *f, const Onnx__TensorProto *t, const char *what, size_t size,
                   const uint8_t **out_bytes)
{
    Place p = { 0 };
    OnnxBytes map = { 0 };
    if (!read_place(f, t, what, &p))
        return false;
    const char *shown = onnx_escape(f->cx->arena, p.location);
    for (uint32_t i = 0; i < f->external.n && !map.bytes; i++)
        if (!strcmp(f->external.at[i].location, p.location))
            map = f->external.at[i].map;
    if (!map.bytes) {
        const char *why = map_beneath(f, p.location, &map);
        if (why)
            return onnx_fail(f, DIAG_E0705, "%s: its external data `%s` is refused: %s", what,
                             shown, why);
        vec_push(f->cx->arena, &f->external, (OnnxExternal){ p.location, map });
    }
    if (p.has_length && p.length != size)
        return onnx_fail(f, DIAG_E0704, "%s: %zu bytes by its shape, %" PRIu64
                         " by the length of its external data", what, size, p.length);
    if (p.offset > map.size || size > map.size - p.offset)
        return onnx_fail(f, DIAG_E0704, "%s: %zu bytes by its shape, at %" PRIu64
                         " of its external data `%s`, which has %zu", what, size, p.offset, shown,
                         map.size);
    *out_bytes = map.bytes + p.offset;
    return true;
}
