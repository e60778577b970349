#!/usr/bin/env bash
# Numbers that a mapping writes into the text are exact for their dtype: a double keeps its digits,
# an integer beyond 2^24 its last one.
set -u
[ -x "${DLCC:-}" ] || { echo "no dlcc: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
cat >numbers.dl <<'END'
model Numbers {
  export fn power(x: f64[2]) -> f64[2] { x^0.1234567890123456 }
  export fn padded(x: i64[2]) -> i64[4] { pad_with(x, [1], [1], value=16777217) }
}
END
fail=0
there_and_back() { # export, what the text must have
    "$DLCC" numbers.dl --entries "$1" -o "$1.onnx" >log 2>&1 && "$DLCC" import "$1.onnx" >"$1.txt" 2>log ||
        { cat log; fail=1; return; }
    grep -qF -- "$2" "$1.txt" || { echo "$1: $2 is not in the text"; cat "$1.txt"; fail=1; }
}
there_and_back power '0.1234567890123456'
there_and_back padded '16777217'
exit $fail
