#!/usr/bin/env bash
# Twenty steps on one thread and on three leave the same bits; so does a second run. All examples
# and more steps: tests/campaign/determinism.sh.
set -u
. tests/tools/examples.sh

bits() { # label, file, arguments
    local label=$1
    shift
    rm -f ./*.safetensors
    train "$label, one thread" "$@" --set steps=20 --threads 1
    cp ./*.safetensors one
    train "$label, three threads" "$@" --set steps=20 --threads 3
    cmp one ./*.safetensors || { echo "$label: threads change the result"; fail=1; }
    rm -f ./*.prev
}
# A checkpoint says that it holds bits: another seed leaves others.
bits quadratic quadratic
bits house house
bits xor xor
bits softmax iris --model Softmax
bits linreg linreg
train "linreg, seed 2" linreg --set steps=20 --seed 2
cmp -s one linreg.safetensors && { echo "another seed left the same bits"; fail=1; }
if has_fashion; then
    bits mlp mlp
    bits lenet lenet
fi
exit $fail
