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
"$DLRUN" train net.dl --fresh --set epochs=100000 >out 2>&1 &
pid=$!
for _ in $(seq 300); do grep -q '^epoch' out && break; sleep 0.01; done
kill -INT $pid
wait $pid
[ $? = 130 ] || fail "SIGINT is not 130"
sed 's/relu/tanh/' net.dl >other && mv other net.dl
expect 3 'computes something else' "$DLRUN" train net.dl --resume
sed 's/Linear(16)/Linear(17)/' net.dl >other && mv other net.dl
expect 3 'is .*16.* in the file, .*17.* in the model' "$DLRUN" train net.dl --resume

# A finished checkpoint outlives the first saves of a run that began anew by mistake, ...
cat >long.dl <<'END'
model Long {
  param x: f32 = 1
  fn loss() -> f32 { x^2 }
}
train Long { steps = 10; optimizer = gd(lr=1e-3); checkpoint = every(steps=2000) }
END
expect 0 '' "$DLRUN" train long.dl -q
cp long.safetensors finished
"$DLRUN" train long.dl -q --set steps=100000000 &
pid=$!
for _ in $(seq 500); do
    [ "$(stat -c %i long.safetensors)" != "$(stat -c %i finished)" ] && cmp -s long.safetensors.prev finished && break
    sleep 0.01
done
sleep 0.3
kill -TERM $pid
wait $pid
cmp long.safetensors.prev finished || fail "the finished checkpoint is gone after a few saves of the next run"
[ -e long.safetensors.held ] && fail "a file .held stays behind"
# ... and gives way to the new run's own when that has finished.
expect 0 '' "$DLRUN" train long.dl -q --resume --set steps=1
expect 0 '' "$DLRUN" train long.dl -q --fresh --set steps=4001
cmp -s long.safetensors.prev finished && fail "the finished checkpoint stays for ever"

# Checkpoints name the code that they were made with, and a change of it is said.
expect 0 '' "$DLRUN" train long.dl -q --fresh --march x86-64-v2
grep -aq 'x86-64-v2' long.safetensors || fail "no march in the checkpoint"
expect 0 'compiled for x86-64, not x86-64-v2' "$DLRUN" train long.dl --resume --march x86-64 --set steps=20
expect 0 '' "$DLRUN" train long.dl -q --fresh
grep -aq '"dlcc.march":"x86-64' long.safetensors || fail "native is no word for what the code was made for"
echo ok
