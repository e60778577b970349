#!/usr/bin/env bash
# dlrun train: to the closed form, what it says, early stopping, --require, and equal bits at any
# number of threads.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"

# The line has an exact solution.
line_model
expect 0 'epoch|step' "$DLRUN" train line.dl --require 'mse<1e-9' --require 'slope>2.9999' \
    --require 'slope<3.0001' --require 'offset<-1.9999'
grep -q '^saved' out || fail "no word about the checkpoint"
expect 0 '^mse ' "$DLRUN" eval line.dl
expect 6 'E0906' "$DLRUN" eval line.dl --require 'slope>3.5'
expect 2 'did you mean .slope' "$DLRUN" eval line.dl --require 'slop>3'
expect 2 'no condition' "$DLRUN" eval line.dl --require 'slope=>3'

# x^2 + y^2 + 2x - 2y has its minimum at (-1, 1): no data at all.
cat >quad.dl <<'END'
model Quad {
  param x: f32 = 2
  param y: f32 = 2
  fn loss() -> f32 { x^2 + y^2 + 2*x - 2*y }
}
train Quad { steps = 100; optimizer = gd(lr=0.1); metric x = x; metric y = y }
END
expect 0 '' "$DLRUN" train quad.dl -q --require 'x<=-0.99999' --require 'y>=0.99999'
[ -s out ] && fail "-q talks"
# Steps of 0.1 from (2, 2): (1.4, 1.8) after one.
expect 0 '' "$DLRUN" train quad.dl -q --set steps=1 --require 'x<1.40001' --require 'x>1.39999' \
    --require 'y>1.79999' --require 'y<1.80001'

# --json: one object a line, a start, the end.
expect 0 '' "$DLRUN" train line.dl --json -q
grep -q '^{"v":1,"event":"start"' out || fail "no start event"
tail -n 1 out | grep -q '"event":"end".*"exit":0' || fail "no end event"
grep -v '^{"v":1,"event":"[a-z]*".*}$' out && fail "a line that is no event"

expect 6 '"event":"diagnostic".*"E0906"' "$DLRUN" train line.dl --json -q --require 'mse<0'
tail -n 1 out | grep -q '"event":"end".*"exit":6' || fail "the end is not the last event"
grep -v '^{"v":1,"event":"[a-z]*".*}$' out && fail "a line that is no event"

# The learning rate of each step: warmed up over two, then half a cosine down; null where an
# optimizer has none.
sed 's/sgd(lr=0.1, momentum=0.5)/adam(lr=cosine(0.1, warmup=2))/; s/steps = 600/steps = 8/' \
    line.dl >rate.dl
expect 0 '^epoch 8 .*  lr 6\.7e-3$' "$DLRUN" train rate.dl --fresh
expect 0 '' "$DLRUN" train rate.dl --fresh --json -q
[ "$(grep -o '"lr":[^,]*' out | head -n 3 | tr '\n' ' ')" = '"lr":0.0500000007 "lr":0.100000001 "lr":0.100000001 ' ] ||
    fail "other rates"
{
    echo 'optimizer fixed(speed: f32) { fn (p: f32[...], g: f32[...]) -> f32[...] { p - speed*g } }'
    sed 's/sgd(lr=0.1, momentum=0.5)/fixed(0.1)/; s/steps = 600/steps = 8/' line.dl
} >fixed.dl
expect 0 '"lr":null' "$DLRUN" train fixed.dl --fresh --json -q

# The same bits at any number of threads, and from run to run.
net_model 'epochs = 30'
for threads in 1 3; do
    expect 0 '' "$DLRUN" train net.dl -q --threads $threads --fresh
    mv net.safetensors net.$threads
done
cmp net.1 net.3 || fail "1 and 3 threads give different bits"

# Patience: what does not improve any more ends the run before its time.
cat >still.dl <<'END'
data d = table(x=[1, 2, 3, 4])
model Still { param w: f32 = 1; fn loss(x: f32[B]) -> f32 { mean(x)*0 + w*0 + 1 } }
train Still on d.all {
  batch = 2; epochs = 500; optimizer = gd(lr=0.1); early_stop = patience(3, m); metric m = loss on d.all
}
END
expect 0 'not improved for 3' "$DLRUN" train still.dl

# Two updates take turns: 2 + 1.
cat >turns.dl <<'END'
model Turns {
  param a: f32 = 0
  param b: f32 = 0
  fn up() -> f32 { -a + b*0 }
  fn down() -> f32 { b + a*0 }
}
train Turns {
  steps = 30
  update first { loss = up; params = "a"; times = 2; optimizer = gd(lr=1) }
  update second { loss = down; params = "b"; optimizer = gd(lr=1) }
  metric a = a
  metric b = b
}
END
expect 0 '' "$DLRUN" train turns.dl -q --require 'a==20' --require 'b==-10'
# A program that needs its batch as a number: the last batch of 3 is compiled for itself, so that
# the metric is over all seven: (4 * mean(1, 2, 3) + 3 * mean(5, 6)) / 7.
cat >pinned.dl <<'END'
data d = table(x=[1, 2, 3, 4, 5, 6, 7])
model Pinned {
  param w: f32 = 1
  fn loss(x: f32[B]) -> f32 { mean((x[0..B-1] * w - 2)^2) + 0*mean(x) }
}
train Pinned on d.all {
  batch = 4; epochs = 2; optimizer = gd(lr=0.01)
  metric m = mean(x[0..B-1]) on d.all
  metric c = mean(x) on d.all
  metric high = max(x)
  metric low = min(x)
  metric span = max(x) - min(x) + 0*mean(x)
  metric below = max(-x)
}
END
expect 0 '' "$DLRUN" train pinned.dl -q --require 'm>3.49999' --require 'm<3.50001' --require 'c==4' \
    --require 'high==7' --require 'low==1' --require 'span==6' --require 'below==-1'

# Fewer rows than the batch: then they are the batch.
expect 0 '' "$DLRUN" train pinned.dl -q --fresh --set batch=16 --require 'c==4' --require 'm==3.5'
expect 0 '' "$DLRUN" eval pinned.dl --set batch=16 --require 'm==3.5'

# A rate that a metric decides: 3 steps of 0.1, then half of it after each two evaluations without a
# new lowest value. Its memory goes on with the run.
cat >plateau.dl <<'END'
data d = table(x=[1, 2, 3, 4])
model Plateau {
  param w: f32 = 1
  fn loss(x: f32[B]) -> f32 { mean(w + 0*x) }
}
train Plateau on d.all {
  batch = 4; epochs = 20; optimizer = gd(lr=plateau(0.1, patience=1)(val))
  metric val = mean(x)
  metric w = w
}
END
expect 0 '' "$DLRUN" train plateau.dl -q --require 'w>0.500585' --require 'w<0.500587'
cp plateau.safetensors whole
expect 0 '' "$DLRUN" train plateau.dl -q --set epochs=6
expect 0 '' "$DLRUN" train plateau.dl -q --resume --require 'w>0.500585' --require 'w<0.500587'
cmp whole plateau.safetensors || fail "a schedule with memory, resumed: other bits"

# What the data does to the inputs belongs to an export that is built alone, too.
expect 0 'data.x.mean' "$DLCC" net.dl --emit=ir --entries f

# Pretrained: all but `fresh`, by name.
expect 0 '' "$DLRUN" train line.dl -q
sed 's/steps = 600;/steps = 1; load = "line.safetensors"; fresh = "b";/; s/Line/Second/' line.dl >second.dl
sed -i 's/lr=0.1/lr=1e-9/' second.dl
expect 0 '' "$DLRUN" train second.dl -q --require 'slope>2.999' --require 'offset>-0.001'
sed 's/fresh = "b";//' second.dl >third.dl
expect 0 '' "$DLRUN" train third.dl -q --require 'slope>2.999' --require 'offset<-1.999'
expect 3 'E0905' "$DLRUN" train third.dl -q -w net.3
# One part alone, from a file of its own model.
{ sed '/^train/,$d' line.dl; cat <<'END'
model Two {
  layer first = Line
  layer second = Line
  fn loss(x: f32[B], y: f32[B]) -> f32 { mean((second.at(x) - y)^2) + 0*mean(first.at(x)) }
}
train Two on points.all {
  batch = 4; steps = 1; optimizer = gd(lr=1e-9); load["second"] = "line.safetensors"
  metric slope = second.w
  metric other = first.w
}
END
} >two.dl
expect 0 '' "$DLRUN" train two.dl -q --require 'slope>2.999' --require 'other==0'
sed 's/load."second"./load["secnd"]/' two.dl >part.dl
expect 1 'E0418.*secnd' "$DLRUN" train part.dl -q
sed 's/line.safetensors/two.safetensors/' two.dl >part.dl
expect 3 'E0905.*would become|E0905' "$DLRUN" train part.dl -q --fresh
echo ok
