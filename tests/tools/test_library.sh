#!/usr/bin/env bash
# dlrun on a built library: the numbers of the file it was built from, and what is refused.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"
march=x86-64-v3 # bits are promised for equal targets

# npy FILE DTYPE SHAPE BYTES
npy() {
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': ($3), }" >"$1"
    printf "$4" >>"$1"
}
same() { cmp "$1" "$2" || fail "$3"; }

# The table of line.dl as arrays.
line_model
sed -i 's/^  metric slope/  metric high = max(y)\n  metric low = min(y)\n  metric span = max(y) - min(y)\n&/' line.dl
npy x.npy '<i4' '4,' '\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0'
npy y.npy '<i4' '4,' '\xfe\xff\xff\xff\1\0\0\0\4\0\0\0\7\0\0\0'
expect 0 '' "$DLRUN" train line.dl -q --march $march
"$DLCC" line.dl -q -o bare.so --march $march && "$DLCC" line.dl -q -o line.so --march $march -w line.safetensors ||
    fail "no libraries"

"$DLRUN" infer line.dl -i x.npy --march $march >want && "$DLRUN" infer line.so -i x.npy >got || fail "infer"
same want got "infer: other numbers"
"$DLRUN" infer bare.so -i x.npy >got || fail "infer with the weights beside it"
same want got "infer with the weights beside it: other numbers"
"$DLRUN" eval line.dl --march $march | grep -v '^loss' >want
"$DLRUN" eval line.so -i x=x.npy -i y=y.npy | grep -v '^loss' >got || fail "eval"
same want got "eval: other numbers"
grep -qx 'high 7' got && grep -qx 'low -2' got && grep -qx 'span 9' got || fail "max and min"
"$DLCC" line.dl -q -o small.so -D B=3 --march $march -w line.safetensors && "$DLRUN" eval small.so -i x=x.npy -i y=y.npy |
    grep -E '^(high|low|span)' >got
grep -E '^(high|low|span)' want | cmp - got || fail "max and min over several batches"
expect 0 '^slope' "$DLRUN" eval line.so -i x=x.npy -i y=y.npy --require 'mse<=1e-6'
expect 6 'E0906' "$DLRUN" eval line.so -i x=x.npy -i y=y.npy --require 'mse>1'
expect 0 '^at .*items/s' "$DLRUN" bench line.so

# Training by the library has the bits of training by the file.
mv line.safetensors want.safetensors
expect 0 'saved' "$DLRUN" train bare.so -i x=x.npy -i y=y.npy
"$DLRUN" infer bare.so -w want.safetensors -i x.npy >want && "$DLRUN" infer bare.so -i x.npy >got || fail "infer after train"
same want got "train: other bits"
rm line.safetensors
expect 0 '' "$DLRUN" train bare.so -i x=x.npy -i y=y.npy --set steps=100 -q
expect 0 '' "$DLRUN" train bare.so -i x=x.npy -i y=y.npy --resume -q --set steps=600
"$DLRUN" infer bare.so -i x.npy >got
same want got "train, resumed: other bits"

# What is not there is said.
expect 2 'needs the input .y' "$DLRUN" eval line.so -i x=x.npy
expect 2 'for compiling' "$DLRUN" infer line.so -i x.npy -D B=2
expect 2 'can be set' "$DLRUN" train line.so -i x=x.npy -i y=y.npy --set batch=2 --fresh
"$DLCC" line.dl -q -o small.so --entries=at || fail "no small.so"
expect 4 'E0490.*without eval' "$DLRUN" eval small.so -i x=x.npy
expect 4 'E0490.*without step' "$DLRUN" train small.so -i x=x.npy
expect 3 'E060' "$DLRUN" infer nosuch.so -i x.npy
echo 'not a library' >text.so
expect 3 'E0603.*no library' "$DLRUN" infer text.so -i x.npy
head -c 3000 line.so >short.so
expect 3 'E0603.*no library' "$DLRUN" infer short.so -i x.npy
echo 'int lenet_library[10];' >other.c && cc -shared -fPIC other.c -o other.so || fail "cc"
expect 4 'E0490.*another version' "$DLRUN" infer other.so -i x.npy

# A program that needs its batch as a number runs on as many examples as there are.
cat >half.dl <<'END'
model Half {
  export fn swap(x: f32[B, 2]) -> f32[B, 2] { concat(x[B//2..], x[0..B//2], axis=0) }
}
END
npy three.npy '<f4' '3, 2' '\0\0\200\77\0\0\200\77\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
expect 0 'swap \[3, 2\]' "$DLRUN" infer half.dl -i three.npy -D B=2 --random
[ "$(sed -n '/^swap/,$p' out | tr '\n' ' ')" = "swap [3, 2] 0 0 0 0 1 1 " ] || fail "a batch of another size"
"$DLCC" half.dl -q -o half.so -D B=2 || fail "no half.so"
expect 4 'E0490.*-D B=3' "$DLRUN" infer half.so -i three.npy --random
echo ok
