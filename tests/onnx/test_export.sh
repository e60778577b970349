#!/usr/bin/env bash
# Every example as an ONNX file: written whole or not at all, with the same numbers when the file is
# imported again; right by the ONNX checker, and with those numbers in ONNX Runtime. The last two
# need Python with onnx and onnxruntime (ONNX_PYTHON, or python3 on PATH) and are skipped by name
# without.
. "$(dirname "$(readlink -f "$0")")/../tools/examples.sh"
PYTHON=${ONNX_PYTHON:-python3}
here=$root/tests/onnx
have_python() { "$PYTHON" -c 'import onnx, onnxruntime' >/dev/null 2>&1; }
have_python || echo "skipped by name: checker and ONNX Runtime (no onnx, onnxruntime in $PYTHON)"

wrong() { echo "$1"; [ -s out ] && sed 's/^/    /' out; fail=1; }

# expect CODE REGEX command...: its exit code, and what it says.
expect() {
    local code=$1 regex=$2 got=0
    shift 2
    "$@" >out 2>&1 || got=$?
    [ "$got" = "$code" ] || wrong "exit $got instead of $code: ${*##*/}"
    grep -Eq -- "$regex" out || wrong "no $regex from ${*##*/}"
}

# exported FILE.dl ENTRY [arguments]: written; what dlrun needs to give the same is noted.
models=()
exported() {
    local file=$1 entry=$2 name
    shift 2
    name=$(basename "$file" .dl)-$entry
    name=${name//:/_}
    expect 0 "$name.onnx .*: ${entry//:/_} of" "$DLCC" "$file" --entries "$entry" "$@" -o "$name.onnx"
    [ -s "$name.onnx" ] || { wrong "no $name.onnx"; return; }
    models+=("$name")
    printf '%s\n' "$file" --entries "$entry" "$@" >"$name.words"
}

# floats FILE.npy: its elements, of 4 bytes behind a header of 128.
floats() { od -A n -v -w4 -t f4 -j 128 "$1"; }

# same A.npy B.npy: one header, and elements with |a - b| <= 1e-5 + 1e-4 |b|.
same() {
    [ -s "$1" ] && [ -s "$2" ] && cmp -s -n 128 "$1" "$2" &&
        paste <(floats "$1") <(floats "$2") | awk '
            { d = $1 - $2; b = $2 < 0 ? -$2 : $2; if (d < 0) d = -d; n++ }
            !(d <= 1e-5 + 1e-4 * b) { bad++ }
            END { exit !n || bad }'
}

# All models noted: the file again, by dlrun, on the inputs that the model has with --random, or
# those in NAME.given.
there_and_back() {
    local name words inputs x
    for name in "${models[@]}"; do
        mapfile -t words <"$name.words"
        inputs=(--random --seed 5)
        for x in "$name.given"/*.npy; do
            [ -e "$x" ] || continue
            [ "${inputs[0]}" = --random ] && inputs=()
            inputs+=(-i "$(basename "$x" .npy)=$x")
        done
        "$DLRUN" infer "${words[@]}" "${inputs[@]}" -o there.npy >out 2>&1 || wrong "$name: dlrun"
        "$DLRUN" infer "$name.onnx" "${inputs[@]}" -o back.npy >out 2>&1 || wrong "$name: back"
        same back.npy there.npy || wrong "$name: other numbers when it is imported"
    done
}

# All models noted: through the checker, inputs drawn, run by dlrun and by ONNX Runtime.
compare_all() {
    local name x words inputs
    "$PYTHON" "$here/compare.py" draw "${models[@]}" >out 2>&1 || wrong "checker"
    for name in "${models[@]}"; do
        mapfile -t words <"$name.words"
        inputs=()
        for x in "$name".in/*.npy; do
            [ -e "$x" ] && inputs+=(-i "$(basename "$x" .npy)=$x")
        done
        "$DLRUN" infer "${words[@]}" "${inputs[@]}" -o "$name.npz" >out 2>&1 || wrong "$name: dlrun"
    done
    "$PYTHON" "$here/compare.py" run "${models[@]}" >out 2>&1 || wrong "ONNX Runtime"
}

# example NAME ENTRY...: a short training, then each export.
example() {
    local file=$root/examples/$1.dl name=${1##*/} entry
    shift
    "$DLRUN" train "$file" --fresh -q --set steps=3 >out 2>&1 || wrong "$name: training"
    for entry; do
        exported "$file" "$entry" -w "$name.safetensors"
    done
}

example linreg predict
exported "$root/examples/linreg.dl" vjp:predict:x -w linreg.safetensors
example house predict closed
example categorical p
example perceptron side
example xor logit
example root determinant
"$DLRUN" train "$root/examples/iris.dl" --model Logistic --fresh -q --set steps=3 >out 2>&1 || wrong iris
exported "$root/examples/iris.dl" logit --model Logistic -w logistic.safetensors
"$DLRUN" train "$root/examples/iris.dl" --model Softmax --fresh -q --set steps=3 >out 2>&1 || wrong iris
exported "$root/examples/iris.dl" logits --model Softmax -w softmax.safetensors
if has_fashion; then
    for name in mlp lenet regularized resnet finetune/clothes; do
        example "$name" logits
    done
    example gan make
else
    echo "skipped by name: mlp lenet regularized resnet clothes gan (no dataset-fashion-mnist)"
fi

# Quantized: one scale, and one for each channel.
cat >quant.dl <<'END'
model Quant {
  export fn whole(x: f32[B, 3, 4]) -> f32[B, 3, 4] { f32(quantize_linear(x, f32(0.01), u8(99))) }
  export fn rows(x: f32[B, 3, 4]) -> f32[B, 3, 4] {
    f32(quantize_linear(x, f32([0.01, 0.02, 0.03]), i8([5, 6, 7]), axis=1))
  }
  export fn back(x: u8[B, 3]) -> f32[B, 3] { dequantize_linear(x, f32([0.5, 2, 8]), u8([1, 2, 3]), axis=1) }
}
END
for name in whole rows back; do
    exported quant.dl $name
    grep -aq 'quantizeLinear\|QuantizeLinear' quant-$name.onnx || wrong "quant-$name: no QuantizeLinear"
done

# The inputs of `closed`: one example alone has no solution.
cat >given.dl <<'END'
model Given {
  export fn x() -> f32[4, 2] { f32([[60, 2], [75, 9], [210, 25], [80, 19]]) }
  export fn y() -> f32[4] { f32([880, 820, 1090, 690]) }
}
END
mkdir house-closed.given
for name in x y; do
    "$DLRUN" infer given.dl --entries $name -o house-closed.given/$name.npy >out 2>&1 || wrong given
done
there_and_back
have_python && compare_all

# A model without a function to export; several; none of that name; no weights; other weights.
expect 2 'exports no function' "$DLCC" "$root/examples/quadratic.dl" -o quadratic.onnx
expect 2 'several functions.*closed' "$DLCC" "$root/examples/house.dl" -w house.safetensors -o x.onnx
expect 2 'no export .clossed.*closed' "$DLCC" "$root/examples/house.dl" --entries clossed -o x.onnx
expect 3 'E0905.*weights' "$DLCC" "$root/examples/xor.dl" -o x.onnx
expect 3 'E0905.*linear_0' "$DLCC" "$root/examples/xor.dl" -w house.safetensors -o x.onnx
expect 3 'E0811|E0905' "$DLCC" "$root/examples/xor.dl" -w xor.safetensors -o nowhere/x.onnx
"$DLCC" export "$root/examples/xor.dl" -w xor.safetensors -o verb.onnx -q || wrong "dlcc export"
cmp verb.onnx xor-logit.onnx || wrong "the verb and the suffix differ"
expect 2 'where to' "$DLCC" export "$root/examples/xor.dl" -o verb.so

# A file that cannot be finished is not begun: at most one KiB may be written.
"$DLCC" "$root/examples/house.dl" -w house.safetensors --entries closed -q -o old.onnx
cp old.onnx kept.onnx
expect 3 'E0811' bash -c "ulimit -f 1; exec '$DLCC' '$root/examples/house.dl' -w house.safetensors \
    --entries closed -o old.onnx"
cmp -s old.onnx kept.onnx || wrong "a failed export changed the old file"

# What ONNX cannot say is listed, all of it, and nothing is written.
cat >unsaid.dl <<'END'
model Unsaid {
  export fn f(x: f32[3, 3], i: i32[3]) -> f32[3, 3] { qr_q(x) + qr_r(x) + f32(unsqueeze(i and 5, axis=0)) }
}
END
expect 4 'E0741.*qr_q' "$DLCC" unsaid.dl -o x.onnx
grep -q 'qr_r' out && grep -q '`and`' out || wrong "not all at once"
[ -e x.onnx ] && wrong "x.onnx was left"
ls ./*.tmp* >/dev/null 2>&1 && wrong "temporary files were left"
[ "$fail" = 0 ] && echo ok
exit "$fail"
