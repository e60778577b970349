#!/usr/bin/env bash
# Every kind of bad input ends with its own exit code and a word about it, and changes no file.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"

net_model 'epochs = 2'

# Data.
mv d.csv kept
expect 3 'E0601|E0602' "$DLRUN" train net.dl
cut -d, -f1-3 kept >d.csv
expect 3 'E0607' "$DLRUN" train net.dl
sed '5s/[^,]*$/NaN/' kept >d.csv
expect 3 'E0606.*|missing' "$DLRUN" train net.dl
sed '5s/^[^,]*/tall/' kept >d.csv
expect 3 'E0605' "$DLRUN" train net.dl
head -n 1 kept >d.csv
expect 3 'E060[58]' "$DLRUN" train net.dl
: >d.csv
expect 3 'E0608' "$DLRUN" train net.dl
mv kept d.csv
[ -e net.safetensors ] && fail "a run that did not begin left a checkpoint"

# Images whose headers are whole and whose values are not: found when they are loaded.
cat >picture.dl <<'END'
data d = idx("p")
model Picture {
  fn loss(x: u8[B, 2, 3], y: u8[B]) -> f32 {
    cross_entropy(f32(x) |> flatten |> Linear(3), y)
  }
}
train Picture on d.train { batch = 2; epochs = 1; optimizer = gd(lr=0.1) }
END
mkdir p
for part in train t10k; do
    printf '\0\0\10\3\0\0\0\2\0\0\0\2\0\0\0\3abcdefghijkl' | gzip -n >p/$part-images-idx3-ubyte.gz
    printf '\0\0\10\1\0\0\0\2\1\2' >p/$part-labels-idx1-ubyte
done
expect 0 '' "$DLRUN" train picture.dl -q
rm picture.safetensors
cp p/train-images-idx3-ubyte.gz kept
gzip -dc kept | head -c 27 | gzip -n >p/train-images-idx3-ubyte.gz
expect 3 'E0603.*truncated' "$DLRUN" train picture.dl
head -c $(($(stat -c %s kept) - 6)) kept >p/train-images-idx3-ubyte.gz
expect 3 'E0603.*truncated' "$DLRUN" train picture.dl
gzip -dc kept | head -c 15 | gzip -n >p/train-images-idx3-ubyte.gz
expect 3 'E0603.*truncated' "$DLRUN" train picture.dl
cp kept p/train-images-idx3-ubyte.gz
head -c 9 p/t10k-labels-idx1-ubyte >kept
mv kept p/t10k-labels-idx1-ubyte
expect 3 'E0603.*truncated' "$DLRUN" train picture.dl
[ -e picture.safetensors ] && fail "a run that did not begin left a checkpoint"

# Labels.
cat >label.dl <<'END'
data d = table(x=[[1, 2], [3, 4], [5, 6]], y=[0, 1, 3])
model Label {
  export fn logits(x: f32[B, 2]) -> f32[B, 3] { x |> Linear(3) }
  fn loss(x: f32[B, 2], y: i32[B]) -> f32 { cross_entropy(logits(x), y) }
}
train Label on d.all { batch = 3; epochs = 2; optimizer = gd(lr=0.1) }
END
expect 3 'E0610' "$DLRUN" train label.dl

# The command line.
expect 2 'no option' "$DLRUN" train net.dl --fresch
expect 2 '' "$DLRUN" train
expect 2 '' "$DLRUN" train net.dl other.dl
expect 2 'did you mean' "$DLRUN" trian net.dl
expect 3 '' "$DLRUN" train nosuch.dl
expect 1 'E0416.*batch' "$DLRUN" train net.dl --set batsch=3
expect 1 'E0417' "$DLRUN" train net.dl --set batch=0
expect 2 '' "$DLRUN" train net.dl --threads none
expect 2 'march|target' "$DLRUN" train net.dl --march z80
expect 2 '' "$DLRUN" train net.dl --model Nobody

# Checkpoints: none, whole, cut short, one byte changed, foreign, of another model.
expect 3 'E0905.*net.safetensors' "$DLRUN" eval net.dl
expect 0 '' "$DLRUN" train net.dl -q
expect 0 '^mse ' "$DLRUN" eval net.dl
cp net.safetensors whole
for cut in 0 7 100 700 $(($(stat -c %s whole) - 1)); do
    head -c $cut whole >net.safetensors
    expect 3 'E0905' "$DLRUN" eval net.dl
done
for at in 3 40 $(($(stat -c %s whole) / 2)) $(($(stat -c %s whole) - 3)); do
    cp whole net.safetensors
    byte=$(od -An -tu1 -j $at -N 1 net.safetensors)
    printf "\\$(printf %o $(((byte + 1) % 256)))" |
        dd of=net.safetensors bs=1 seek=$at conv=notrunc status=none
    expect 3 'E0905' "$DLRUN" eval net.dl
done
cp /bin/sh net.safetensors
expect 3 'E0905' "$DLRUN" eval net.dl
line_model
expect 0 '' "$DLRUN" train line.dl -q
expect 3 'E0905.*' "$DLRUN" eval net.dl -w line.safetensors
cp whole net.safetensors
expect 3 'is not in the file' "$DLRUN" eval net.dl -w line.safetensors

# What is no checkpoint is not written over unasked.
head -c 900 whole >net.safetensors
expect 2 'E0903.*no whole checkpoint' "$DLRUN" train net.dl
expect 3 'E0905' "$DLRUN" train net.dl --resume
cp /bin/sh net.safetensors
expect 2 'E0903' "$DLRUN" train net.dl
expect 0 '' "$DLRUN" train net.dl -q --fresh
# A damaged checkpoint with a whole predecessor goes on from that.
sed 's/epochs = 2/epochs = 100000; checkpoint = every(steps=5)/' net.dl >long.dl
rm -f net.safetensors.prev # one of the damaged ones above
"$DLRUN" train long.dl --fresh >out 2>&1 &
pid=$!
for _ in $(seq 300); do [ -e net.safetensors.prev ] && grep -q '^epoch' out && break; sleep 0.01; done
kill -9 $pid
wait $pid 2>/dev/null
head -c 900 net.safetensors >cut && mv cut net.safetensors
expect 0 'going on from the previous checkpoint' "$DLRUN" train long.dl --resume --set epochs=1

# A loss that is not finite: nothing is kept of it, and the place is named.
sed 's/lr=0.1/lr=1e30/' line.dl >nan.dl
rm -f line.safetensors*
expect 5 'E0907.*step' "$DLRUN" train nan.dl
grep -q 'nan.dl:' out || fail "no place"
[ -e line.safetensors ] && fail "a failed run overwrote the checkpoint"

# A full disk, here a limit on the size of files: a clear word, and the old checkpoint stays.
cp whole net.safetensors
(ulimit -f 1; "$DLRUN" train net.dl --set seed=9 >/dev/null 2>"$T/full"); code=$?
[ $code = 3 ] || fail "exit $code on a full disk"
grep -q 'E0902' full || fail "no E0902 on a full disk"
cmp net.safetensors whole || fail "a failed save changed the checkpoint"
echo ok
