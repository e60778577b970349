#!/usr/bin/env bash
# How much memory a training program takes: the C example beyond its own arrays, and `dlrun train` of LeNet with its images.
set -u
[ -x "${DLCC:-}" ] && [ -x "${DLRUN:-}" ] || { echo "no tools"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DLCC_CACHE=$work/cache
cd "$work" || exit 1

cc -O1 -D_GNU_SOURCE "$root/tests/tools/peak.c" -o peak || exit 1
at_most() { # KiB allowed, command...
    local allowed=$1 got
    shift
    got=$(./peak "$@") || { echo "failed: $*"; cat out; exit 1; }
    echo "$got KiB: $*"
    [ "$got" -gt 500 ] && [ "$got" -le "$allowed" ] || { echo "more than $allowed KiB"; exit 1; }
}

# 900 points of two floats and a byte are all that the program has itself.
cp "$root"/examples/c/train.c "$root"/examples/c/spirals.dl .
"$DLCC" -q spirals.dl -o spirals.so && cc -O1 train.c -I. ./spirals.so -Wl,-rpath,"$work" -lm -o train || exit 1
at_most $((12 * 1024 + 8)) ./train

ls /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte* >/dev/null 2>&1 || { echo "no Fashion-MNIST here"; exit 0; }
cp "$root"/examples/lenet.dl .
at_most $((100 * 1024)) "$DLRUN" train lenet.dl --set epochs=1 --set steps=50
at_most $((100 * 1024)) "$DLRUN" train lenet.dl --fresh --set epochs=1 --set steps=50
