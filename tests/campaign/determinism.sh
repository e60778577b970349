#!/usr/bin/env bash
# The same bits, whatever way they are computed: each example is trained for some hundred steps on 1, 2, 3, 4 and 8
# threads, is stopped by a signal and resumed, and is trained by its library where a few lines of C can
# give that the same data (what needs a split or statistics of its data is left out there).
# Takes some ten minutes. usage: tests/campaign/determinism.sh [EXAMPLE..]     (DLCC, DLRUN: build/dlcc, build/dlrun)
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
DLCC=${DLCC:-$root/build/dlcc}
DLRUN=${DLRUN:-$root/build/dlrun}
march=x86-64-v3 # bits are promised for equal targets
images=/usr/share/datasets/fashion-mnist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
fail=0
wrong() { echo "  $1"; fail=1; }
train() { "$DLRUN" train "$root/examples/$example.dl" -q --march $march --set "steps=$steps" "${more[@]}" "$@"; }

# Stopped by a signal after some time, resumed, stopped again, until it is done.
interrupt() { # seconds
    local delay=$1 code stops=0 how=--fresh pid
    for _ in $(seq 200); do
        [ $how = --resume ] || rm -f ./*.safetensors ./*.prev
        "$DLRUN" train "$root/examples/$example.dl" -q --march $march --set "steps=$steps" "${more[@]}" --threads 2 $how >log 2>&1 &
        pid=$!
        sleep "$delay"
        kill -TERM $pid 2>/dev/null
        wait $pid
        code=$?
        if [ $code = 0 ] && [ $stops -gt 0 ]; then
            return 0
        elif [ $code = 0 ]; then # done before the signal came: again, sooner
            delay=$(awk "BEGIN { print $delay*0.8 }")
        elif [ $code = 143 ] && [ -f "$saved" ]; then
            stops=$((stops + 1))
            how=--resume
        elif [ $code = 143 ]; then # before the first step: again, later
            delay=$(awk "BEGIN { print $delay*1.1 }")
        else
            cat log
            return 1
        fi
    done
    echo "  never stopped inside the run"
    return 1
}
library() { # fields, n, files..
    local fields=$1 n=$2 seed name
    shift 2
    name=$(basename "$saved" .safetensors)
    seed=$(sed -nE 's/.*\bseed = ([0-9]+).*/\1/p' "$root/examples/$example.dl" | head -1)
    "$DLCC" "$root/examples/$example.dl" -q -o "$work/$name.so" --march $march "${more[@]}" || { wrong "no library"; return; }
    cc -O1 -I. -DHEADER="\"$name.h\"" -DNAME="$name" -DFIELDS="$fields" "$root/tests/campaign/train_library.c" \
        "./$name.so" -Wl,-rpath,"$work" -o app || { wrong "app"; return; }
    ./app library.safetensors "${seed:-0}" "$steps" "$n" "$@" || { wrong "the library fails"; return; }
    "$root/tests/campaign/same_weights.py" library.safetensors one || wrong "the library trains to other bits"
}
raw() { # python list of numbers, struct's code: a file of raw numbers
    python3 -c "import struct,sys; v=$1; sys.stdout.buffer.write(struct.pack(f'<{len(v)}$2', *v))"
}
compare() { # example, steps, delay, arguments
    example=$1 steps=$2
    local delay=$3
    shift 3
    more=("$@")
    echo "$example $*"
    rm -f ./*.safetensors ./*.prev
    train --fresh --threads 1 || { wrong "does not train"; return 1; }
    saved=$(echo ./*.safetensors)
    cp "$saved" one
    for threads in 2 3 4 8; do
        train --fresh --threads $threads || wrong "$threads threads: does not train"
        cmp one "$saved" || wrong "$threads threads: other bits"
    done
    interrupt "$delay" && { cmp one "$saved" || wrong "resumed: other bits"; } || wrong "resume"
}
wanted() { [ $# = 1 ] || [[ " ${*:2} " = *" $1 "* ]]; }

if [ -d $images ]; then
    zcat $images/train-images-idx3-ubyte.gz | tail -c +17 >x.u8
    zcat $images/train-labels-idx1-ubyte.gz | tail -c +9 >y.u8
fi
raw '[1,1,1,2,2,1,2,2]' f >and_x; raw '[-1,-1,-1,1]' f >and_y
raw '[0,0,0,1,1,0,1,1]' f >xor_x; raw '[0,1,1,0]' f >xor_y

wanted quadratic "$@" && compare quadratic 1000000 0.2 && library 0 0
wanted root "$@" && compare root 1000000 0.2 && library 0 0
wanted perceptron "$@" && compare perceptron 400000 0.3 && library 2 4 and_x and_y
wanted xor "$@" && compare xor 20000 0.3 && library 2 4 xor_x xor_y
wanted house "$@" && compare house 20000 0.2
wanted categorical "$@" && compare categorical 20000 0.2
wanted scaling "$@" && compare scaling 10000 0.2
wanted linreg "$@" && compare linreg 20000 0.2
wanted iris "$@" && compare iris 6000 0.2 --model Softmax --set 'early_stop=patience(1000000, val)'
wanted iris "$@" && compare iris 6000 0.2 --model Logistic
if [ -d $images ]; then
    for e in mlp regularized lenet; do
        wanted $e "$@" && compare $e 300 1 && library 2 60000 x.u8 y.u8
    done
    wanted resnet "$@" && compare resnet 100 3 --set batch=32 && library 2 60000 x.u8 y.u8
    wanted gan "$@" && compare gan 300 1.5 && library 1 60000 x.u8
else
    echo "no dataset-fashion-mnist: mlp, regularized, lenet, resnet, gan not run"
fi
[ $fail = 0 ] && echo "the same bits throughout"
exit $fail
