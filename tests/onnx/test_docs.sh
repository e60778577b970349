#!/usr/bin/env bash
# What docs/onnx.md shows: its files are written and its commands run in order.
set -u
[ -x "${DLCC:-}" ] || { echo "no dlcc"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export DLCC_CACHE=$work/cache
PATH=$(dirname "$DLCC"):$PATH

# A block of code begins with its file's name in a comment; blocks of sh follow one another.
awk '
    /^```/ && !inside { inside = 1; file = substr($0, 4) == "sh" ? "commands.sh" : ""; next }
    /^```/ { inside = 0; next }
    inside && file == "" { match($0, /[a-z0-9_]+\.[a-z]+/); file = substr($0, RSTART, RLENGTH) }
    inside { print >> file }
' "$root/docs/onnx.md"
[ -s commands.sh ] && [ -s side.dl ] || { echo "the page has no commands, or no side.dl"; exit 1; }
# points.npy: f32[2, 2], (0, 1) and (2, 3); its header is padded to 128 bytes.
header="{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"
printf '\x93NUMPY\x01\x00\x76\x00%-117s\n\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40' \
    "$header" >points.npy
# labels.npy: u8[2], 0 and 1.
header="{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"
printf '\x93NUMPY\x01\x00\x76\x00%-117s\n\0\1' "$header" >labels.npy
bash -eu commands.sh >log 2>&1 || { echo "a command of the page failed:"; cat log; exit 1; }
for f in side.onnx again.dl again.safetensors above.npy all.npz side_again.so side_again.h slope.h slope.onnx; do
    [ -s $f ] || { echo "no $f was written"; cat log; exit 1; }
done
grep -q 'linear_0_Gemm' again.dl || { echo "nodes are not named after their layers"; cat again.dl; exit 1; }
grep -qE '^accuracy (0|0.5|1)$' log && grep -q '^bce ' log || { echo "no metrics"; cat log; exit 1; }
echo ok
