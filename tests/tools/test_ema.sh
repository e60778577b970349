#!/usr/bin/env bash
# ema: what is saved, evaluated and built in is the average; what training moves goes on under it.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"
march=x86-64-v3

# The gradient is 1, the rate 0.1: after t steps the raw parameter is 1 - t/10.
cat >e.dl <<'END'
data d = table(x=[1, 2, 3, 4])
model E {
  param w: f32 = 1
  param still: f32 = 7
  export fn get(x: f32[B]) -> f32[B] { 0*x + w }
  fn loss(x: f32[B]) -> f32 { mean(w + 0*x) + 0*still }
}
train E on d.all {
  batch = 4; epochs = 30; optimizer = gd(lr=0.1); ema = 0.6; params = "w"
  metric w = w
  metric still = still
}
END
want=$(awk 'BEGIN { w = 1; for (t = 0; t < 30; t++) { k = (1 + t) / (10 + t); if (k > 0.6) k = 0.6
    w = k*w + (1 - k)*(1 - (t + 1)/10) } printf "%.9g", w }')
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit d > 1e-5 || d < -1e-5 }'; }

expect 0 '' "$DLRUN" train e.dl -q --march $march --require 'still==7'
cp e.safetensors whole
"$DLRUN" eval e.dl >out || fail eval
near "$want" "$(sed -n 's/^w //p' out)" || fail "the average is not $want"
expect 0 "w/raw" "$DLCC" e.dl --emit=ir
grep -q 'still/raw' out && fail "what is not trained is averaged"

# Stopped and resumed: the same bits.
expect 0 '' "$DLRUN" train e.dl -q --march $march --set epochs=11
expect 0 '' "$DLRUN" train e.dl -q --march $march --resume
cmp whole e.safetensors || fail "resumed: other bits"

# A library averages too, and what is built without a step needs no raw parameters.
printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }" >x.npy
head -c 16 /dev/zero >>x.npy
"$DLRUN" infer e.dl -i x.npy --march $march >want
"$DLCC" e.dl -q -o e.so --march $march && rm e.safetensors* || fail "no e.so"
expect 0 '' "$DLRUN" train e.so -i x.npy -q
"$DLRUN" infer e.so -i x.npy >got
cmp want got || fail "trained by the library: other bits"
"$DLCC" e.dl -q -o small.so --entries=get -w e.safetensors || fail "no small.so"
"$DLRUN" infer small.so -i x.npy >got
cmp want got || fail "the weights in a library: other bits"

# Weights that are loaded are where average and raw parameter begin.
sed 's/epochs = 30/epochs = 1/; s/train E/train E as Again/' e.dl >again.dl
expect 0 '' "$DLRUN" train again.dl -q -w e.safetensors
"$DLRUN" eval again.dl >out
near "$(awk -v w="$want" 'BEGIN { printf "%.9g", 0.1*w + 0.9*(w - 0.1) }')" "$(sed -n 's/^w //p' out)" ||
    fail "an average that begins elsewhere than at the weights loaded"

# With accumulation an update is several steps: two of them, of which each averages once.
expect 0 '' "$DLRUN" train e.dl -q --fresh --set accumulate=2 --set epochs=4
"$DLRUN" eval e.dl >out
near "$(awk 'BEGIN { w = 0.1*1 + 0.9*0.9; k = 2/11; printf "%.9g", k*w + (1 - k)*0.8 }')" "$(sed -n 's/^w //p' out)" ||
    fail "ema with accumulate"

# Two updates that train a part each: what waits for its turn is not lost.
cat >two.dl <<'END'
model Two {
  param a: f32 = 1
  param b: f32 = 1
  fn up() -> f32 { a + 0*b }
  fn down() -> f32 { b + 0*a }
}
train Two {
  steps = 3; ema = 0.05
  update one { loss = up; params = "a"; optimizer = gd(lr=0.1) }
  update two { loss = down; params = "b"; optimizer = gd(lr=0.2) }
  metric a = a
  metric b = b
}
END
expect 0 '' "$DLRUN" train two.dl -q
"$DLRUN" eval two.dl >out
near "$(awk 'BEGIN { w = 0.05*1 + 0.95*0.9; printf "%.9g", 0.05*w + 0.95*0.8 }')" "$(sed -n 's/^a //p' out)" || fail "a"
near "$(awk 'BEGIN { printf "%.9g", 0.05*1 + 0.95*0.8 }')" "$(sed -n 's/^b //p' out)" || fail "b"
expect 1 'E0417.*between 0 and 1' "$DLCC" check e.dl --set ema=1.5
echo ok
