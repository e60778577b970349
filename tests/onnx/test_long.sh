#!/usr/bin/env bash
# Models of tens of thousands of nodes, parameters and layers are checked, and of thousands of kernels
# planned, in time as they are long: each takes about a second of the processor and gets six; by the
# square of its length it would take ten or more.
set -u
[ -x "${DLCC:-}" ] || { echo "no tools"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
if nm "$DLCC" 2>/dev/null | grep -q __asan_init; then
    echo "built with sanitizers, which take their time: skipped"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
cc -O1 -std=c11 "$root/tests/onnx/make/model.c" -o model || exit 1
fail=0

# check FILE COUNT: it has so many parameters, and the processor is asked for six seconds at most.
check() {
    local out code
    out=$(ulimit -t 6; exec "$DLCC" check "$1" 2>&1)
    code=$?
    [ $code = 0 ] && grep -q " $2 parameters" <<<"$out" || { echo "$1: exit $code: $out"; fail=1; }
}

awk 'BEGIN { print "input x 1 8"; print "output y"
    for (i = 0; i < 30000; i++) {
        printf "data w%d %d 8\n", i, i
        printf "node Add %s %s w%d\n", i == 29999 ? "y" : "t" i, i ? "t" (i - 1) : "x", i
    } }' | ./model nodes.onnx || exit 1
check nodes.onnx 240000

# Layers called where they are written, and in a loop.
awk 'BEGIN { print "model M {\n  export fn f(x: f32[B, 8]) -> f32[B, 8] {"
    for (i = 0; i < 20000; i++) print "    x = x |> Linear(8) |> relu"
    print "    x\n  }\n}" }' >sites.dl
check sites.dl 1440000
cat >turns.dl <<'END'
model M {
  export fn f(x: f32[B, 8]) -> f32[B, 8] {
    repeat i in 0..20000 { x = x |> Linear(8) |> relu }
    x
  }
}
END
check turns.dl 1440000

# A layer that is made many times.
cat >layers.dl <<'END'
layer Scale[C](k: float) {
  param w: f32[C] = ones
  fn (x: f32[B, C]) -> f32[B, C] { x*w + k }
}
model M {
  layers parts[i in 0..20000] = Scale(2)
  export fn f(x: f32[B, 8]) -> f32[B, 8] {
    repeat part in parts { x = part(x) }
    x
  }
}
END
check layers.dl 160000

# Thousands of kernels: products one after another, and convolutions with what stands between them.
awk 'BEGIN { print "input x 1 8"; print "output y"
    for (i = 0; i < 5000; i++) {
        printf "data w%d %d 8 8\n", i, i
        printf "node MatMul %s %s w%d\n", i == 4999 ? "y" : "t" i, i ? "t" (i - 1) : "x", i
    } }' | ./model products.onnx || exit 1
awk 'BEGIN { print "input x 1 4 8 8"; print "output y"
    for (i = 0; i < 1500; i++) {
        from = i ? "t" (i - 1) : "x"
        printf "data w%d %d 4 4 3 3\nnode Conv c%d %s w%d pads=l:1,1,1,1\n", i, i, i, from, i
        printf "node Softmax r%d c%d\nnode Add %s r%d %s\n", i, i, i == 1499 ? "y" : "t" i, i, from
    } }' | ./model convolutions.onnx || exit 1
for file in products convolutions; do
    out=$(ulimit -t 6; exec "$DLCC" inspect $file.onnx 2>&1) && grep -q '^kernels of forward' <<<"$out" ||
        { echo "inspect $file.onnx:"; tail -3 <<<"$out"; fail=1; }
done
exit $fail
