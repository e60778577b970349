#!/usr/bin/env bash
# The standard ONNX tests of Debian's libonnx-testdata, as published: what tests/onnx/debian.txt
# lists as passing passes. From cold: the cache of objects is a new folder.
set -u
conform=${BUILD:-build}/onnx_conform
data=/usr/share/libonnx-testdata/data
[ -x "$conform" ] || { echo "no onnx_conform: skipped"; exit 77; }
[ -d $data ] || { echo "libonnx-testdata is not installed: skipped"; exit 77; }
DLCC_CACHE=$(mktemp -d) || exit 1
export DLCC_CACHE
trap 'rm -rf "$DLCC_CACHE"' EXIT
"$conform" $data --list tests/onnx/debian.txt --jobs 2 -v | grep -v '^unsupported '
exit "${PIPESTATUS[0]}"
