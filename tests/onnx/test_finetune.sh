#!/usr/bin/env bash
# An imported network, cut and with a new head, learns; what it has learnt goes into a library and
# into an ONNX file, and all three say the same.
set -u
[ -x "${DLRUN:-}" ] || { echo "no dlrun: skipped"; exit 77; }
[ -d /usr/share/datasets/fashion-mnist ] || { echo "no dataset-fashion-mnist: skipped"; exit 77; }
example=$PWD/examples/finetune/clothes.dl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
fail=0
wrong() { echo "$1"; fail=1; }
run() { "$@" >out 2>&1 || { cat out; wrong "exit $?: $*"; }; }

# Untrained features reach 0.6 or so in these steps: the imported weights are there.
run "$DLRUN" train "$example" --fresh -q --set steps=150 --require 'accuracy>=0.78'
run "$DLCC" "$example" -w clothes.safetensors -o clothes.so --entries=logits
run "$DLCC" "$example" -w clothes.safetensors -o clothes.onnx
pictures=(/usr/share/datasets/fashion-mnist/t10k-images*)
run "$DLRUN" infer "$example" -w clothes.safetensors -i "${pictures[0]}" -o dl.npy --march x86-64-v3
run "$DLRUN" infer clothes.so -i "${pictures[0]}" -o so.npy
cmp dl.npy so.npy || wrong "the library says something else than the program"
"$DLRUN" infer clothes.so -i "${pictures[0]}" >so.txt || wrong "infer of the library"
"$DLRUN" infer clothes.onnx -i "${pictures[0]}" >onnx.txt || wrong "infer of the ONNX file"
# Names and percents of ten thousand pictures; a last digit may round the other way.
[ "$(wc -l <onnx.txt)" = 10000 ] && [ "$(diff so.txt onnx.txt | grep -c '^>')" -le 20 ] ||
    wrong "the ONNX file says something else"

# Until a node by its name, until a value by its name: the same; until nothing there is: said.
cp "$(dirname "$example")/rotations.onnx" .
sed 's|/11/Flatten"|/11/Flatten_output_0"|' "$example" >byvalue.dl
run "$DLCC" check byvalue.dl
sed 's|/11/Flatten"|/11/Nothing"|' "$example" >nowhere.dl
"$DLCC" check nowhere.dl >out 2>&1
[ $? = 1 ] && grep -q 'E0401.*no value or node `/11/Nothing`' out || { cat out; wrong "until nowhere"; }

# An imported model is differentiated like any other.
run "$DLRUN" gradcheck rotations.onnx
run "$DLRUN" infer rotations.onnx --random --entries vjp:rotation:12.weight
run "$DLCC" rotations.onnx -o rotations.so --entries=forward,vjp:rotation:image
grep -q 'rotations_vjp_rotation_image' rotations.h || wrong "no function for the derivative"
"$DLCC" rotations.onnx -o r.so --entries=vjp:rotation:nothing >out 2>&1
[ $? = 1 ] && grep -q E0506 out || { cat out; wrong "a derivative by nothing"; }
exit $fail
