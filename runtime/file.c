/* file.c: replacing a file so that at any moment, also after a crash, `path` is whole: the old
 * one or the new one.
 *
 * Written to path.tmp in the same folder (rename does not cross file systems), synced, the old
 * file linked as path.prev, renamed, and the folder synced: rename alone may reach the disk
 * before the data does. A failed fsync means the kernel may have dropped the pages: it counts as
 * a failed write, and writing again to the same file would prove nothing.
 *
 * A stale path.tmp of a killed process is simply overwritten. Two processes writing at once are
 * told apart by a lock on it; the inode is compared after locking, since the other one may have
 * renamed the file that was just opened. */
#include "runtime/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int io_fail(char *message, size_t size, const char *what, const char *path, int error)
{
    char words[128];
    /* strerror_r has two signatures; strerror is not safe among threads. */
    snprintf(words, sizeof words, "error %d", error);
    const char *text = error == ENOSPC ? "no space left"
                     : error == EDQUOT ? "quota exceeded"
                     : error == EFBIG  ? "file too large"
                     : error == ENOENT ? "no such file or folder"
                     : error == EACCES ? "permission denied"
                     : error == EROFS  ? "read-only file system"
                     : error == EISDIR ? "is a folder"
                     : error == EIO    ? "input/output error"
                     : error == EAGAIN ? "another process is writing it"
                                       : words;
    snprintf(message, size, "cannot %s %s: %s", what, path, text);
    return error == ENOMEM ? DLRT_E_NOMEM : DLRT_E_IO;
}

/* ---- Reading ---- */

static int read_at(void *user, uint64_t offset, void *data, size_t size)
{
    int fd = (int)(intptr_t)user;
    char *p = data;
    while (size) {
        ssize_t n = pread(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 1;
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int dlrt_open_read(const char *path, DlrtIo *out_io, char *message, size_t size)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return io_fail(message, size, "read", path, errno);
    if (fstat(fd, &info) || !S_ISREG(info.st_mode)) {
        int error = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
        close(fd);
        return io_fail(message, size, "read", path, error);
    }
    *out_io = (DlrtIo){ .user = (void *)(intptr_t)fd, .read = read_at,
                        .size = (uint64_t)info.st_size };
    return DLRT_OK;
}

void dlrt_close_read(DlrtIo *io)
{
    close((int)(intptr_t)io->user);
}

/* ---- Replacing ---- */

typedef struct {
    int fd, error;
} Out;

static int write_all(void *user, const void *data, size_t size)
{
    Out *out = user;
    const char *p = data;
    while (size) {
        ssize_t n = write(out->fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            out->error = n < 0 ? errno : EIO;
            return 1;
        }
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* path.tmp, ours alone and empty; -1 and errno. */
static int open_temporary(const char *tmp)
{
    for (int tries = 0; tries < 100; tries++) {
        struct stat opened, named;
        int fd = open(tmp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0)
            return -1;
        /* File systems without locks: go on, there is then one writer at a time or nothing to
         * do. */
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
        bool same = fstat(fd, &opened) == 0 && stat(tmp, &named) == 0 &&
                    opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
        if (locked && same && ftruncate(fd, 0) == 0)
            return fd;
        int error = locked && same ? errno : EAGAIN;
        close(fd);
        errno = error;
        if (!locked || error != EAGAIN)
            return -1;
    }
    errno = EAGAIN;
    return -1;
}

static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    /* EINVAL: this file system does not sync folders, and needs none. */
    int error = fsync(fd) && errno != EINVAL ? errno : 0;
    close(fd);
    return error;
}

typedef struct {
    const char *path, *tmp, *prev, *folder;
} Names;

/* Puts the synced temporary file in place. Where links are not possible, the old file moves away
 * first: for a moment only path.prev is there. */
static int put_in_place(const Names *n)
{
    bool had = access(n->path, F_OK) == 0;
    if (had) {
        if (unlink(n->prev) && errno != ENOENT)
            return errno;
        if (link(n->path, n->prev) && rename(n->path, n->prev))
            return errno;
    }
    int error = rename(n->tmp, n->path) ? errno : sync_folder(n->folder);
    if (error) { /* back to what was, as far as the disk still allows */
        if (had)
            rename(n->prev, n->path);
        else
            unlink(n->path);
    }
    return error;
}

static int replace(const Names *n, int (*write_file)(void *arg, const DlrtIo *io), void *arg,
                   char *message, size_t size)
{
    Out out = { .fd = open_temporary(n->tmp) };
    if (out.fd < 0)
        return io_fail(message, size, "write", n->tmp, errno);
    DlrtIo io = { .user = &out, .write = write_all };
    int rc = write_file(arg, &io);
    if (!rc && fsync(out.fd)) {
        out.error = errno;
        rc = DLRT_E_IO;
    }
    if (!rc && (out.error = put_in_place(n)))
        rc = DLRT_E_IO;
    if (rc)
        unlink(n->tmp);
    /* Closed last: the lock is held until the name is gone. */
    if (close(out.fd) && !rc) {
        out.error = errno;
        rc = DLRT_E_IO;
    }
    return rc && out.error ? io_fail(message, size, "write", n->path, out.error) : rc;
}

int dlrt_replace_file(const char *path, int (*write_file)(void *arg, const DlrtIo *io), void *arg,
                      char *message, size_t size)
{
    size_t n = strlen(path);
    char *names = malloc(3 * (n + 8));
    if (!names)
        return io_fail(message, size, "write", path, ENOMEM);
    char *tmp = names, *prev = tmp + n + 8, *folder = prev + n + 8;
    snprintf(tmp, n + 8, "%s.tmp", path);
    snprintf(prev, n + 8, "%s.prev", path);
    const char *slash = strrchr(path, '/');
    if (!slash)
        strcpy(folder, ".");
    else
        snprintf(folder, (size_t)(slash - path) + 2, "%s", path);
    Names all = { path, tmp, prev, folder };
    int rc = replace(&all, write_file, arg, message, size);
    free(names);
    return rc;
}
