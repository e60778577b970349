#!/usr/bin/env bash
# Numbers that a mapping writes into the text are exact for their dtype: a double keeps its digits,
# an integer beyond 2^24 its last one.
set -u
[ -x "${DLCC:-}" ] && [ -x "${DLRUN:-}" ] || { echo "no dlcc or dlrun: skipped"; exit 77; }
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

# A mask too long to be written out: the program that is written is one.
cat >mask.dl <<'END'
data rows9 = rows(9) |> map(x=ones([10, 10]))
model Mask {
  state m: bool[10, 10] = false
  param w: f32 = ones
  export fn masked(x: f32[B, 10, 10]) -> f32[B, 10, 10] { select(m, 0, x)*w }
  fn loss(x: f32[B, 10, 10]) -> f32 { mean(masked(x)^2) }
}
train Mask on rows9.all { steps = 1; batch = 3; optimizer = gd(lr=0.1) }
END
"$DLRUN" train mask.dl -q >log 2>&1 && "$DLCC" mask.dl -w mask.safetensors -o mask.onnx >log 2>&1 &&
    "$DLCC" import mask.onnx -o again.dl >log 2>&1 && "$DLCC" check again.dl >log 2>&1 ||
    { echo "mask:"; cat log; fail=1; }
exit $fail
