/* lock.c: one trainer in a folder.
 *
 * The lock is the kernel's, on an open file: it ends with its process however that ends, so
 * nothing can be stale. The file is removed on release; so one who got the lock must look whether
 * the name still means the file it holds, or two could hold locks on two files of the same name. */
#include "runtime/host/internal.h"
#include "runtime/host/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail_busy(int fd, const char *folder, HostError *out_error)
{
    char holder[32] = "";
    ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
    holder[n > 0 ? strspn(holder, "0123456789") : 0] = 0;
    return host_fail(out_error, "E0901",
                     "another dlrun is training in this folder (%s)%s%s; wait for it, or use "
                     "another folder",
                     folder, *holder ? ": process " : "", holder);
}

static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool host_lock_take(const char *folder, HostLock *out_lock, HostError *out_error)
{
    *out_lock = (HostLock){ .fd = -1 };
    if (asprintf(&out_lock->path, "%s/.dlrun.lock", folder) < 0) {
        out_lock->path = NULL;
        return host_fail_memory(out_error, folder, 4096);
    }
    for (;;) {
        int fd = open(out_lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        bool locked = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB);
        if (locked && same_file(fd, out_lock->path)) {
            out_lock->fd = fd;
            break;
        }
        if (!locked) {
            int error = errno;
            bool ok = fd >= 0 && error == EWOULDBLOCK
                        ? fail_busy(fd, folder, out_error)
                        : host_fail(out_error, "E0902", "%s: %s", out_lock->path, strerror(error));
            if (fd >= 0)
                close(fd);
            free(out_lock->path);
            out_lock->path = NULL;
            return ok;
        }
        close(fd);
    }
    /* For the message of whoever comes second; the lock holds without it. */
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    bool noted = !ftruncate(out_lock->fd, 0) && pwrite(out_lock->fd, pid, (size_t)n, 0) == n;
    (void)noted;
    return true;
}

void host_lock_release(HostLock *lock)
{
    if (lock->fd >= 0) {
        unlink(lock->path);
        close(lock->fd);
    }
    free(lock->path);
    *lock = (HostLock){ .fd = -1 };
}
