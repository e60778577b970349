#!/usr/bin/env bash
# An ONNX file of someone, all the way: looked at, imported, trained further by data of one's own,
# measured, written again; and by a model that has the file as a layer.
. "$(dirname "$(readlink -f "$0")")/../tools/train_lib.sh"
export DLCC_CACHE=$T/cache

# Theirs: a network that was trained a little.
data='data points = table(x=[[0, 0], [0, 9], [9, 0], [9, 9], [2, 3], [8, 7]], y=[0, 0, 0, 1, 0, 1])'
cat >theirs.dl <<END
$data
model Theirs {
  export fn score(x: f32[B, 2]) -> f32[B] { x/9 |> Linear(8) |> relu |> Linear(1) |> squeeze(axis=1) }
  fn loss(x: f32[B, 2], y: f32[B]) -> f32 { bce_with_logits(score(x), y) }
}
train Theirs on points.all { batch = 6; steps = 3; optimizer = adam(lr=0.05) }
END
expect 0 '' "$DLRUN" train theirs.dl -q
expect 0 '' "$DLCC" theirs.dl -q -w theirs.safetensors -o net.onnx
rm theirs.safetensors
expect 0 'is right' "$DLCC" check net.onnx
expect 0 'parameters' "$DLCC" inspect net.onnx
# x.npy: u8[6, 2]; y.npy: u8[6].
npy() { printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($1), }"; }
{ npy '6, 2'; printf '\0\0\0\11\11\0\11\11\2\3\10\7'; } >x.npy
{ npy '6,'; printf '\0\0\0\1\0\1'; } >y.npy
loss() { awk '$1 == "bce_with_logits" { print $2 }' out; }
measure() { expect 0 '^bce_with_logits' "$DLRUN" eval "$@" -i x.npy -t y.npy --metric bce_with_logits; }
measure net.onnx
before=$(loss)

# Ours: its program, with data and a recipe. Its weights are where the run will save: they are
# begun with when that is said, and not written over unasked.
expect 0 'net.dl and net.safetensors' "$DLCC" import net.onnx -o net.dl
cp net.safetensors imported.safetensors
sed -i 's/^model Net {/&\n  fn loss(x: f32[B, 2], y: f32[B]) -> f32 { bce_with_logits(forward(x), y) }/; s/export fn score/export fn forward/; s/forward(x), y/ENTRY(x), y/' net.dl
entry=$(sed -nE 's/.*export fn ([a-z]+).*/\1/p' net.dl)
sed -i "s/ENTRY/$entry/" net.dl
printf '%s\ntrain Net on points.all { batch = 6; steps = 60; optimizer = adam(lr=0.05) }\n' "$data" >>net.dl
measure net.dl
[ "$(loss)" = "$before" ] || fail "the program has another loss: $(loss), not $before"
expect 2 'E0903.*net.safetensors is there already' "$DLRUN" train net.dl
grep -q 'help: begin with its weights: dlrun train net.dl -w' out || fail "no proposal"
cmp net.safetensors imported.safetensors || fail "written over unasked"
expect 0 'saved' "$DLRUN" train net.dl -w net.safetensors
cmp -s net.safetensors imported.safetensors && fail "not saved"
measure net.dl
after=$(loss)
awk -v a="$after" -v b="$before" 'BEGIN { exit !(a < b/2) }' || fail "not better: $before, then $after"
cp net.dl kept.dl
expect 2 'net.safetensors is the checkpoint of a run' "$DLCC" import net.onnx -o net.dl
cmp -s net.dl kept.dl || fail "a program was written over that was trained"
expect 0 '' "$DLCC" net.dl -q -w net.safetensors -o better.onnx
measure better.onnx
awk -v a="$after" -v b="$(loss)" 'BEGIN { d = a - b; exit !(d < 1e-6 && d > -1e-6) }' || fail "the file has another loss"
expect 0 '' "$DLCC" better.onnx -q -o better.so
measure better.so

# The file as a layer of a model of our own.
cat >ours.dl <<END
import "net.onnx" as Net
$data
model Ours {
  layer net = Net
  export fn score(x: f32[B, 2]) -> f32[B] { net(x) }
  fn loss(x: f32[B, 2], y: f32[B]) -> f32 { bce_with_logits(score(x), y) }
}
train Ours on points.all { batch = 6; steps = 60; optimizer = adam(lr=0.05) }
END
expect 0 '' "$DLRUN" train ours.dl -q
measure ours.dl
awk -v a="$(loss)" -v b="$before" 'BEGIN { exit !(a < b/2) }' || fail "as a layer it is not better: $before, then $(loss)"

# An array of another shape, of as many elements.
{ npy '6, 1, 2'; printf '\0\0\0\11\11\0\11\11\2\3\10\7'; } >wide.npy
expect 3 'E0604.*wide.npy is u8\[6, 1, 2\], but the input .x. is f32\[B, 2\]' "$DLRUN" infer net.onnx -i wide.npy
grep -q 'help: it has as many elements' out || fail "no help"
echo ok
