#!/usr/bin/env bash
# kill -9 at fifty random moments of a run that saves all the time: what is there always loads, and
# in the end the bits are those of a run that was left in peace.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"

net_model 'epochs = 250; checkpoint = every(steps=20)'
mkdir straight
cp net.dl d.csv straight
(cd straight && "$DLRUN" train net.dl -q --set 'checkpoint=every(epochs=250)') || fail "straight"
seed=1
for i in $(seq 50); do
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    "$DLRUN" train net.dl --resume >out 2>&1 &
    pid=$!
    sleep "0.$(printf %03d $((seed / 65536 % 80)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    grep -q 'error' out && fail "after kill $i"
done
expect 0 '' "$DLRUN" train net.dl --resume
for f in net.safetensors straight/net.safetensors; do
    [ -s $f ] || fail "$f is missing"
done
# The recipes differ in `checkpoint` alone, which leaves no trace in the state.
cmp net.safetensors straight/net.safetensors || fail "other bits after fifty kills"
echo ok
