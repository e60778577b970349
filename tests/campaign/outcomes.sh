#!/usr/bin/env bash
# The examples on Fashion-MNIST in full, to the outcome of README's table: minutes.
# usage: tests/campaign/outcomes.sh     (DLRUN: build/dlrun)
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
DLRUN=${DLRUN:-$root/build/dlrun}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
fail=0
reach() { # example, what is required
    "$DLRUN" train "$root/examples/$1.dl" --fresh --require "$2" 2>log ||
        { echo "$1: misses $2"; fail=1; }
    grep -E '^(epoch|step) ' log | tail -1 | sed "s/^/$1: /"
}
reach mlp 'accuracy>=0.88'
reach regularized 'accuracy>=0.88'
reach lenet 'accuracy>=0.88'
reach resnet 'accuracy>=0.91'
# Where the generator follows, the critic's distance shrinks again from its first peak of some tens.
reach gan 'distance<=10'
exit $fail
