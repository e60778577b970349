#!/usr/bin/env bash
# A file that another process makes shorter while it is read: one line and exit 3, not a signal.
set -u
[ -x "${DLCC:-}" ] && [ -x "${DLRUN:-}" ] || { echo "no tools"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
if nm "$DLCC" 2>/dev/null | grep -q __asan_init; then
    echo "built with sanitizers, which come before any other library: skipped"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DLCC_CACHE=$work/cache
cd "$work" || exit 1

# The other process: files *.bin lose all but their first page as soon as they are mapped.
cat >cut.c <<'END'
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *map = (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = fd < 0 ? -1 : readlink(link, path, sizeof path - 1);
    if (n > 4 && !memcmp(path + n - 4, ".bin", 4)) {
        path[n] = 0;
        if (truncate(path, 4096))
            _exit(99);
    }
    return map;
}
END
cc -O1 -D_GNU_SOURCE -shared -fPIC cut.c -o cut.so &&
    cc -O1 -std=c11 "$root/tests/onnx/make/model.c" -o model || exit 1
printf '%s\n' 'input x 1 100' 'output y' 'away w w.bin 0 100 100' 'node MatMul y x w' | ./model net.onnx || exit 1
fail=0
for verb in "$DLRUN infer net.onnx --random -o y.npy" "$DLCC import net.onnx -o net.dl"; do
    head -c 40000 /dev/zero >w.bin
    env LD_PRELOAD="$work/cut.so" $verb >out 2>&1
    code=$?
    [ $code = 3 ] && [ "$(cat out)" = "error: a file was made shorter while it was read" ] ||
        { echo "exit $code: ${verb##*/}"; cat out; fail=1; }
    head -c 40000 /dev/zero >w.bin
    $verb >out 2>&1 || { echo "uncut: ${verb##*/}"; cat out; fail=1; }
done
exit $fail
