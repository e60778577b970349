#!/usr/bin/env bash
# Every case of every op as an ONNX file, in ONNX Runtime against our reference: for each op, how
# many agree, how many that runtime has no kernel for, how many differ. Needs Python with onnx and
# onnxruntime (ONNX_PYTHON, or python3 on PATH), and a build (BUILD, or build/).
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${ONNX_PYTHON:-python3} build=${BUILD:-build}
"$python" -c 'import onnx, onnxruntime' 2>/dev/null || { echo "no onnx, onnxruntime in $python: skipped"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
DLCC_CASES=$folder "$build/test_export_ops" >/dev/null || { echo "test_export_ops fails"; exit 1; }
"$python" tests/onnx/compare_cases.py "$folder"
