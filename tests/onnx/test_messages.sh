#!/usr/bin/env bash
# What a person meets who gives the commands for ONNX files something wrong: one clear line, the
# exit code, and a proposal where a name is near.
. "$(dirname "$(readlink -f "$0")")/../tools/train_lib.sh"
export DLCC_CACHE=$T/cache
# one CODE TEXT COMMAND...: as expect, and the error is a single one.
one() {
    expect "$@"
    [ "$(grep -cE '^(error|dlcc:|dlrun:)' out)" -le 2 ] && [ "$(grep -c '^error\[' out)" -le 1 ] || fail "said more than once: $*"
}
# npy SHAPE COUNT: f32 zeros.
npy() {
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($1), }"
    head -c $((4 * $2)) /dev/zero
}

# hidden [batch, seq, 2] = tokens [batch, seq, 2] * mask [batch, seq, 1], the node called `scaled`.
base64 -d >seq.onnx <<'END'
CAg6mAEKIwoGdG9rZW5zCgRtYXNrEgZoaWRkZW4aBnNjYWxlZCIDTXVsEgFnWiQKBnRva2VucxIaChgIARIUCgcSBWJhdGNoCgUSA3NlcQoCCAJa
IgoEbWFzaxIaChgIARIUCgcSBWJhdGNoCgUSA3NlcQoCCAFiJAoGaGlkZGVuEhoKGAgBEhQKBxIFYmF0Y2gKBRIDc2VxCgIIAkIECgAQEQ==
END
npy '2, 5, 2' 20 >tokens.npy
npy '2, 5, 1' 10 >mask.npy
npy '2, 6, 1' 12 >longer.npy
npy '3, 5, 1' 15 >more.npy
npy '5, 2' 10 >one.npy
npy '10,' 10 >flat.npy
infer() { "$DLRUN" infer seq.onnx "$@"; }

# Inputs and dims. What one array tells goes for all inputs with a dim of that name.
expect 0 '^hidden \[2, 5, 2\]' infer -i tokens=tokens.npy -i mask=mask.npy
expect 0 '^hidden \[1, 5, 2\]' infer -i tokens=one.npy --random
expect 0 '^hidden \[2, 5, 2\]' infer -i mask=mask.npy --random
one 2 'has no input .tokns.; did you mean .tokens.' infer -i tokns=tokens.npy -i mask=mask.npy
one 2 'has no input .colour.; there is .tokens., .mask.' infer -i colour=tokens.npy
one 2 'needs the input .mask.: -i mask=FILE' infer -i tokens=tokens.npy
one 2 '.tokens. is given twice' infer -i tokens=tokens.npy -i tokens=mask.npy
one 3 'E0604.*.seq. is 5 in the array for .tokens., and 6 in the one for .mask.' infer -i tokens=tokens.npy -i mask=longer.npy
one 3 'E0604.*.batch. is 2 in the array for .tokens., and 3 in the one for .mask.' infer -i tokens=tokens.npy -i mask=more.npy
one 3 'E0604.*mask.npy is f32\[2, 5, 1\], but the input .tokens. is f32\[B, 5, 2\]' infer -i tokens=mask.npy -i mask=mask.npy
one 1 'E0722.*.seq. of the input .tokens.' infer -i tokens=flat.npy --random
grep -q 'the input has 3 axes, the array for it 1' out || fail "the axes are not said"
one 1 'E0722.*.seq. of the input .tokens.' infer --random
grep -q -- 'help: .*-D seq=128, or the array: -i tokens=FILE' out || fail "no help"
one 1 'E0722' infer --random -D sec=4
grep -q 'no dim is called .sec.; did you mean -D seq' out || fail "no proposal"
one 2 'E0422.*-D seqq.*did you mean .seq.' infer --random -D seq=4 -D seqq=4
one 2 'E0422.*-D seq is given twice: 4 and 5' infer --random -D seq=4 -D seq=5
one 1 'E0335.*-D seq=-3: a dim is a whole number' infer --random -D seq=-3
one 1 'E0401.*no name .abc.' infer --random -D seq=abc
one 2 'define takes NAME=VALUE, not .seq.' infer --random -D seq
one 3 'E0604.*tokens.npy is f32\[2, 5, 2\], but the input .tokens. is f32\[B, 9, 2\]' infer -D seq=9 -i tokens=tokens.npy -i mask=mask.npy

# Files of inputs.
mkdir folder folder.npy folder.onnx
echo text >text.pb
: >empty.pb
echo text >text.npy
"$DLCC" seq.onnx -D seq=5 -q -o seq.so || fail "no seq.so"
one 3 'E0601.*nosuch.npy' infer -i tokens=nosuch.npy -i mask=mask.npy
one 3 'folder.npy' infer -i tokens=folder.npy -i mask=mask.npy
one 2 'what is folder\?' infer -i tokens=folder -D seq=5 -i mask=mask.npy
one 3 'text.pb|it is text' infer -i tokens=text.pb -i mask=mask.npy
one 3 'the file is empty' infer -i tokens=empty.pb -i mask=mask.npy
one 3 'E0603.*text.npy' infer -i tokens=text.npy -i mask=mask.npy
infer -i tokens=tokens.npy -i mask=mask.npy -o got.npz || fail "no got.npz"
one 2 'got.npz has no array .tokens.' infer -i got.npz
# An array that has a name is taken before an archive.
one 2 'got.npz has no array .mask.' infer -i got.npz -i tokens=tokens.npy

# Where to.
one 2 'what is y.txt to be' infer -i tokens=tokens.npy -i mask=mask.npy -o y.txt
one 3 'cannot write|No such file' infer -i tokens=tokens.npy -i mask=mask.npy -o nowhere/y.npy
one 3 'cannot write nowhere/seq.so: No such' "$DLCC" seq.onnx -D seq=5 -o nowhere/seq.so
one 3 'cannot write nowhere/seq.dl: No such' "$DLCC" import seq.onnx -D seq=5 -o nowhere/seq.dl
one 2 'import writes a .dl' "$DLCC" import seq.onnx -o folder
if [ -w /dev/full ]; then
    "$DLRUN" infer seq.onnx -i tokens=tokens.npy -i mask=mask.npy >/dev/full 2>out
    [ $? = 3 ] && grep -q 'cannot write the output' out || fail "a full disk"
fi
# A file that cannot grow: nothing is left of it, in words.
full() { # TEXT COMMAND...
    bash -c 'ulimit -f 0; exec "$@"' full "${@:2}" 2>&1 | cat >told
    [ "${PIPESTATUS[0]}" = 3 ] && grep -q "$1" told || { cat told; fail "not refused: $*"; }
}
full 'y.npy: File too large' "$DLRUN" infer seq.onnx -i tokens=tokens.npy -i mask=mask.npy -o y.npy
full 'cannot write imported.dl: File too large' "$DLCC" import seq.onnx -D seq=5 -o imported.dl
full 'E0811.*File too large' "$DLCC" seq.onnx -D seq=5 -o large.so
full 'E0811.*File too large' "$DLCC" seq.onnx -D seq=5 -o large.onnx
[ -z "$(ls | grep -E 'y.npy|imported|large')" ] || fail "something is left: $(ls)"

# What is no model.
: >empty.onnx
echo 'version https://git-lfs.github.com/spec/v1' >pointer.onnx
cp seq.so elf.onnx
cp got.npz zip.onnx
cp tokens.npy array.onnx
head -c 60 seq.onnx >short.onnx
cp seq.onnx model.so
one 3 'the file is empty' "$DLCC" check empty.onnx
one 3 'no ONNX file: it is a Git LFS pointer' "$DLCC" check pointer.onnx
one 3 'no ONNX file: it is a program or a library' "$DLRUN" infer elf.onnx --random
one 3 'no ONNX file: it is a zip archive' "$DLRUN" bench zip.onnx
one 3 'no ONNX file: it is an array' "$DLCC" array.onnx -o a.so
one 3 'E0702.*goes past the end' "$DLCC" inspect short.onnx
one 3 'it is a folder' "$DLCC" check folder.onnx
one 3 'E0701.*nosuch.onnx' "$DLRUN" gradcheck nosuch.onnx
one 3 'E0603.*no library of a model' "$DLRUN" infer model.so --random

# Training needs to be told how.
one 1 'E0419.*no .train. block' "$DLRUN" train seq.onnx -D seq=5
grep -q 'help: .*import "seq.onnx" as Net' out || fail "no way to train is told"

# Names of entries, derivatives and places.
one 2 'no export .forwards.; did you mean .forward.' infer -D seq=5 --random --entries forwards
one 2 'no export .logits.; there is .forward.' infer -D seq=5 --random --entries logits
one 2 'no entry .logits. to build; there are: forward' "$DLCC" seq.onnx -D seq=5 --entries logits -o a.so
one 2 'a derivative is vjp:RESULT:INPUT' "$DLCC" seq.onnx -D seq=5 --entries vjp:hidden -o a.so
one 1 'E0506.*output .hiden.; did you mean .hidden.' "$DLCC" seq.onnx -D seq=5 --entries vjp:hiden:mask -o a.so
one 1 'E0506.*parameter .task.*did you mean .mask.' "$DLCC" seq.onnx -D seq=5 --entries vjp:hidden:task -o a.so
expect 0 '^d_mask' infer --entries vjp:hidden:mask -i tokens=tokens.npy -i mask=mask.npy -i d_hidden=tokens.npy
cat >cut.dl <<'END'
import "seq.onnx" as Seq
model Cut {
  layer body = Seq(until="scald")
  export fn f(x: f32[B, 5, 2], m: f32[B, 5, 1]) -> f32[B, 5, 2] { body(x, m) }
}
END
one 1 'E0401.*no value or node .scald. in seq.onnx' "$DLCC" check cut.dl -D seq=5
grep -q 'cut.dl:3:26' out && grep -q 'did you mean .scaled.' out || fail "no place, or no proposal"
# Dims of the file are given in place.
sed -i 's/until="scald"/until="scaled", seq=5/' cut.dl
expect 0 'is right' "$DLCC" check cut.dl
sed 's/seq=5/sec=5/' cut.dl >dim.dl
one 1 'E0404.*no input of seq.onnx has a dim .sec.' "$DLCC" check dim.dl
grep -q 'did you mean .seq.' out || fail "no proposal of a dim"
sed 's/seq=5/seq="5"/' cut.dl >dim.dl
one 1 'E0404.*takes until="NAME", and its dims' "$DLCC" check dim.dl
sed 's/ = Seq(.*/ = Seq.scaled/' cut.dl >dim.dl
one 1 'E0415' "$DLCC" check dim.dl
sed -i 's/until="scaled", seq=5/until="scald"/' cut.dl
# What follows a cut may be unknown here: feat = x W, then strings and TfIdfVectorizer.
base64 -d >unknown.onnx <<'END'
CAg6+QIKGAoBeAoBVxIEZmVhdBoCbW0iBk1hdE11bAoYCgFzEgF0IhBTdHJpbmdOb3JtYWxpemVyChIKBGZlYXQSAXkaAXIiBFJlbHUKsAEKAXkSAXoaAnRm
Ig9UZklkZlZlY3Rvcml6ZXIqFgoPbWF4X2dyYW1fbGVuZ3RoGAGgAQIqFQoObWF4X3NraXBfY291bnQYAKABAioWCg9taW5fZ3JhbV9sZW5ndGgYAaABAioN
CgRtb2RlIgJURqABAyoTCgxuZ3JhbV9jb3VudHNAAKABByoUCg1uZ3JhbV9pbmRleGVzQACgAQcqEgoLcG9vbF9pbnQ2NHNAAaABBxIBZyo7CAQIAxABQgFX
SjB4zOE/aOHMPpOOej/Lag9AJAzvP+Iuer//OHM/Yv0avmhk0734OdI+KIATPqIluj9aFAoBeBIPCg0IARIJCgMSAU4KAggEWhAKAXMSCwoJCAgSBQoDEgFO
YhQKAXoSDwoNCAESCQoDEgFOCgIIA0IECgAQEQ==
END
cat >known.dl <<'END'
import "unknown.onnx" as Net
model Known {
  layer body = Net(until="y")
  export fn f(x: f32[B, 4]) -> f32[B, 3] { body(x) }
}
END
one 4 'E0720' "$DLCC" check unknown.onnx
expect 0 'is right' "$DLCC" check known.dl
sed 's/until="y"/until="z"/' known.dl >late.dl
one 4 'E0720' "$DLCC" check late.dl
sed 's/until="y"/until="fea"/' known.dl >late.dl
one 1 'E0401.*no value or node .fea.' "$DLCC" check late.dl
# A layer of the file without a cut needs no parentheses; the arrays are the program's, not its.
sed -i 's/(until="scald")//' cut.dl
expect 0 '^f \[2, 5, 2\]' "$DLRUN" infer cut.dl -D seq=5 -i x=tokens.npy -i m=mask.npy
expect 0 '^hidden' "$DLRUN" infer seq.so --random
echo ok
