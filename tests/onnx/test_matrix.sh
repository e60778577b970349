#!/usr/bin/env bash
# The table of ops in docs/onnx-operators.md is the one that the lists of results give. With
# UPDATE=1 it is written anew.
set -u
conform=${BUILD:-build}/onnx_conform
[ -x "$conform" ] || { echo "no onnx_conform: skipped"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
"$conform" --matrix "Debian=tests/onnx/debian.txt" "onnx 1.22.0=tests/onnx/onnx-1.22.txt" >"$work/table" || exit 1
grep -q '^| Abs |' "$work/table" || { echo "no row of Abs in the matrix"; exit 1; }
awk -v table="$work/table" '
    /^<!-- matrix -->$/ { print; while ((getline line < table) > 0) print line; skip = 1; found++ }
    /^<!-- end of matrix -->$/ { skip = 0 }
    !skip { print }
    END { exit found != 1 }' docs/onnx-operators.md >"$work/page" || { echo "docs/onnx-operators.md has no place for the matrix"; exit 1; }
[ "${UPDATE:-}" != 1 ] || cp "$work/page" docs/onnx-operators.md
diff docs/onnx-operators.md "$work/page" || { echo "docs/onnx-operators.md is not up to date: UPDATE=1 $0"; exit 1; }
