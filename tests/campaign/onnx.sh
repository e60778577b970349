#!/usr/bin/env bash
# The standard ONNX tests inside the Python package onnx 1.22.0, against tests/onnx/onnx-1.22.txt.
#
#   tests/campaign/onnx.sh FOLDER [options of onnx_conform: --update, --only GLOB, -v]
#
# FOLDER is the package's onnx/backend/test/data. Nothing is downloaded here, and Python is not
# run: the package is an archive that only needs to be unpacked.
#
#   pip download onnx==1.22.0 --no-deps
#   unzip -q onnx-1.22.0-*.whl 'onnx/backend/test/data/*'
#   tests/campaign/onnx.sh onnx/backend/test/data
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
cd - >/dev/null || exit 2
conform=${BUILD:-$root/build}/onnx_conform
[ -x "$conform" ] || { echo "build onnx_conform first, or say where: BUILD=.."; exit 2; }
[ $# -ge 1 ] && [ -d "$1/node" ] || { sed -n '2,/^set/{/^set/!p}' "$0" | sed 's/^# \?//'; exit 2; }
exec "$conform" "$@" --list "$root/tests/onnx/onnx-1.22.txt"
