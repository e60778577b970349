#!/usr/bin/env bash
# What imported models cost in memory: looking at one does not read its weights; running one takes
# what `dlcc inspect` says and the file, so that weights are held once; LeNet from C takes little.
set -u
[ -x "${DLCC:-}" ] && [ -x "${DLRUN:-}" ] || { echo "no tools"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
if nm "$DLCC" 2>/dev/null | grep -q __asan_init; then
    echo "built with sanitizers, which have memory of their own: skipped"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DLCC_CACHE=$work/cache
cd "$work" || exit 1
cc -O1 -D_GNU_SOURCE "$root/tests/tools/peak.c" -o peak && cc -O1 -std=c11 "$root/tests/onnx/make/model.c" -o model ||
    exit 1
fail=0

# peak COMMAND..: in KiB, into `got`.
peak() { got=$(./peak "$@") || { echo "failed: $*"; cat out; exit 1; }; }
at_most() { # what, KiB, allowed
    echo "$1: $2 KiB of $3"
    [ "$2" -gt 500 ] && [ "$2" -le "$3" ] || { echo "more than $3 KiB"; fail=1; }
}

# chain N WIDTH STEP: N products, their matrices WIDTH x WIDTH; in another file where STEP is given.
chain() {
    awk -v n="$1" -v w="$2" -v step="${3:-0}" 'BEGIN {
        print "input x 1", w; print "output y"
        for (i = 0; i < n; i++) {
            if (step) printf "away w%d weights.bin %d %d %d\n", i, i * step, w, w
            else printf "data w%d %d %d %d\n", i, i, w, w
            printf "node MatMul %s %s w%d\n", i == n - 1 ? "y" : "t" i, i ? "t" (i - 1) : "x", i
        } }'
}

# 2 GiB of weights that nobody may read: 64 MiB and four times the file of the graph is what the
# reader of the format allows itself, 32 MiB the program with its code generator.
truncate -s 2G weights.bin
chain 32 4096 $((4096 * 4096 * 4)) | ./model large.onnx || exit 1
allowed=$((64 * 1024 + 4 * $(stat -c %s large.onnx) / 1024 + 32 * 1024))
peak "$DLCC" check large.onnx
at_most "check of 2 GiB" "$got" $allowed
peak "$DLCC" inspect large.onnx
at_most "inspect of 2 GiB" "$got" $allowed
grep -q 'tensors 2.0 GiB' out || { echo "inspect:"; cat out; fail=1; }
[ "$(du -k weights.bin | cut -f1)" -lt 1024 ] || { echo "weights.bin was filled"; fail=1; }

# planned FILE: the context and the constants, in KiB.
planned() {
    "$DLCC" inspect --json --march x86-64-v3 "$1" >json || exit 1
    sed -n 's/.*"context_bytes":\([0-9]*\).*"constant_bytes":\([0-9]*\).*/\1 \2/p' json |
        awk '{ print int(($1 + $2) / 1024) }'
}

# build FILE: its library, and a program that calls it once.
build() {
    "$DLCC" -q "$1.onnx" -o "$1.so" || exit 1
    sed "s/MODEL/$1/g" >"$1.c" <<'END'
#include "MODEL.h"
#include <stdio.h>

static float x[4096], y[4096];

int main(int argc, char **argv)
{
    MODEL *cx;
    int code = argc > 1 || MODEL_init(MODEL_abi(), NULL, 0, 1, &cx);
    for (int i = 0; i < 4096; i++)
        x[i] = 1;
    if (code || MODEL_forward(cx, x, y) || y[0] != y[0])
        return 1;
    printf("%s %g\n", argv[0], y[0]);
    MODEL_free(cx);
    return 0;
}
END
    cc -O1 "$1.c" "./$1.so" -Wl,-rpath,"$work" -lm -o "$1" || exit 1
}

# The same network with 95 MiB of weights, and with 25 KiB: the difference is what weights cost. Most
# of them lie at odd addresses, as they do in files.
chain 100 500 | ./model wide.onnx && chain 100 8 | ./model small.onnx || exit 1
allowed=$(($(planned wide.onnx) + $(stat -c %s wide.onnx) / 1024 + 8 * 1024))
for file in small wide; do
    build $file
    "$DLCC" -q import $file.onnx -o $file.dl || exit 1
done
for run in "$DLRUN infer FILE.onnx --random --march x86-64-v3" ./FILE \
    "$DLRUN infer FILE.dl -w FILE.safetensors --random --march x86-64-v3"; do
    for file in small wide; do
        peak ${run//FILE/$file}
        peak ${run//FILE/$file} # the first one may have compiled
        [ $file = wide ] || base=$got
    done
    run=${run//FILE/wide}
    at_most "${run##*/} beyond small" $((got - base)) $allowed
done

# A program with LeNet in it: its arrays are 32 KiB.
./model lenet.onnx <<'END' || exit 1
input x 1 1 28 28
output y
data c1 1 6 1 5 5
data c2 2 16 6 5 5
data f1 3 120 400
data f2 4 84 120
data f3 5 10 84
node Conv a x c1 pads=l:2,2,2,2
node Relu b a
node MaxPool c b kernel_shape=l:2,2 strides=l:2,2
node Conv d c c2
node Relu e d
node MaxPool f e kernel_shape=l:2,2 strides=l:2,2
node Flatten g f
node Gemm h g f1 transB=i:1
node Relu i h
node Gemm j i f2 transB=i:1
node Relu k j
node Gemm y k f3 transB=i:1
END
build lenet
peak ./lenet
at_most "LeNet from C" "$got" $((12 * 1024 + 32))
exit $fail
