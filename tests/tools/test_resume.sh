#!/usr/bin/env bash
# An interrupted run goes on with the bits of one that was not: after Ctrl-C, with other threads,
# after kill -9 at any moment.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"

net_model 'epochs = 1500'
expect 0 '' "$DLRUN" train net.dl -q
mv net.safetensors straight
# Interrupted where it happens to be, twice, and resumed with another number of threads.
interrupted=0
for try in 1 2 3; do
    flags=--resume
    [ $try = 1 ] && flags=--fresh
    "$DLRUN" train net.dl $flags --threads $try >out 2>&1 &
    pid=$!
    for _ in $(seq 200); do grep -q '^epoch' out && break; sleep 0.01; done
    kill -INT $pid
    wait $pid
    code=$?
    if [ $code = 130 ]; then
        interrupted=1
        grep -q 'Continue: dlrun train net.dl --resume' out || fail "no word how to go on"
        expect 2 'resume.*' "$DLRUN" train net.dl
        grep -q -- '--fresh' out || fail "--fresh is not named"
    elif [ $code != 0 ]; then
        fail "exit $code after SIGINT"
    fi
    [ $code = 0 ] && break
done
[ $interrupted = 1 ] || fail "never interrupted"
expect 0 '' "$DLRUN" train net.dl -q --resume
cmp net.safetensors straight || fail "a resumed run has other bits"

# SIGTERM likewise, with its own code.
"$DLRUN" train net.dl --fresh --set epochs=100000 >out 2>&1 &
pid=$!
for _ in $(seq 300); do grep -q '^epoch' out && break; sleep 0.01; done
# A second trainer in this folder refuses meanwhile.
"$DLRUN" train net.dl --fresh >second 2>&1
[ $? = 3 ] && grep -q E0901 second || fail "two trainers in one folder"
kill -TERM $pid
wait $pid
[ $? = 143 ] || fail "SIGTERM is not 143"
[ -e .dlrun.lock ] && fail "the lock stays behind"

# A changed recipe resumes and says so; a changed model does not.
expect 0 'epochs 100000 -> 1' "$DLRUN" train net.dl --resume --set epochs=1
sed 's/tanh/relu/' net.dl >other && mv other net.dl
"$DLRUN" train net.dl -q --fresh --set epochs=100000 >out 2>&1 &
pid=$!
sleep 0.4
kill -INT $pid
wait $pid
[ $? = 130 ] || fail "SIGINT is not 130"
sed 's/relu/tanh/' net.dl >other && mv other net.dl
expect 3 'computes something else' "$DLRUN" train net.dl --resume
sed 's/Linear(16)/Linear(17)/' net.dl >other && mv other net.dl
expect 3 'is .*16.* in the file, .*17.* in the model' "$DLRUN" train net.dl --resume
echo ok
