/* cgroup.c: the CPU quota of a container. A process limited to 2 processors' worth of time on a
 * machine of 64 that starts 64 threads is stopped for most of each period, in the middle of a
 * barrier.
 *
 * /proc/self/cgroup has lines "id:controllers:/path". Version 2 (no controllers) has cpu.max,
 * "QUOTA PERIOD" or "max PERIOD", in each folder from the group up to the root; version 1 has
 * cpu.cfs_quota_us and cpu.cfs_period_us in those of its cpu controller. Inside a container the
 * path may be that of the outside: what is not there is passed over. */
#include "runtime/core.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4608 };

static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    if (n <= 0)
        return false;
    out[n] = 0;
    return true;
}

/* Microseconds in a file of one folder, from its first word; -1: not there, or no number. */
static long long read_number(const char *folder, const char *file, char **out_rest, char *text,
                             size_t size)
{
    char path[PATH_SIZE + 32], *end;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (!read_text(path, text, size))
        return -1;
    long long v = strtoll(text, &end, 10);
    if (out_rest)
        *out_rest = end;
    return end == text ? -1 : v;
}

/* The quota of one folder in processors, rounded up; 0: none. */
static int folder_quota(const char *folder, bool v2)
{
    char text[64], more[64], *rest = NULL;
    long long quota = read_number(folder, v2 ? "cpu.max" : "cpu.cfs_quota_us", &rest, text,
                                  sizeof text);
    if (quota <= 0)
        return 0;
    long long period = v2 ? strtoll(rest, NULL, 10)
                          : read_number(folder, "cpu.cfs_period_us", NULL, more, sizeof more);
    if (period <= 0)
        period = 100000;
    long long n = quota / period + (quota % period != 0);
    return n > 1 << 20 ? 0 : (int)n;
}

/* The least from `mount` + `group` up to `mount`; `group` is cut off piece by piece. */
static int least_quota(const char *root, const char *mount, char *group, bool v2)
{
    char folder[PATH_SIZE];
    int least = 0;
    for (;;) {
        snprintf(folder, sizeof folder, "%s%s%s", root, mount, group);
        int n = folder_quota(folder, v2);
        if (n && (!least || n < least))
            least = n;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* Whether a comma-separated list has `cpu` in it. */
static bool has_cpu(const char *list)
{
    while (list) {
        if (strncmp(list, "cpu", 3) == 0 && (list[3] == ',' || list[3] == 0))
            return true;
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    return false;
}

int dlrt_quota_threads(const char *root)
{
    char groups[4096], path[PATH_SIZE];
    int least = 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!read_text(path, groups, sizeof groups))
        return 0;
    char *next = groups;
    while (next) {
        char *line = next;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        controllers++;
        *group++ = 0;
        bool v2 = !*controllers;
        if (!v2 && !has_cpu(controllers))
            continue;
        int n = least_quota(root, v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", group, v2);
        if (n && (!least || n < least))
            least = n;
    }
    return least;
}
