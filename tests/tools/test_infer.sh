#!/usr/bin/env bash
# dlrun infer: arrays, images, names of classes, files of results, and what is refused.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"
PNG=iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAAAAACMmsGiAAAAEElEQVR42mP4/5+BgQGVAABXvAf51Y/4dgAAAABJRU5ErkJggg==

# npy DTYPE SHAPE BYTES: an array file, its values as a printf format.
npy() {
    local header="{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$header"
    printf "$3"
}

line_model
npy '<i4' '3,' '\x0a\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff' >x.npy
expect 3 'E0905.*no weights|no weights' "$DLRUN" infer line.dl -i x.npy
expect 0 '' "$DLRUN" train line.dl -q
# 3 x - 2 at 10, 0, -1.
expect 0 '^at \[3\]' "$DLRUN" infer line.dl -i x.npy
tail -n 3 out | awk '{ d = $1 - (NR == 1 ? 28 : NR == 2 ? -2 : -5); if (d > 1e-4 || d < -1e-4) exit 1 }' ||
    fail "wrong numbers"
expect 0 '' "$DLRUN" infer line.dl -i x=x.npy -o y.npy
[ "$(stat -c %s y.npy)" = 140 ] || fail "y.npy is not 128 + 12 bytes"
expect 0 '' "$DLRUN" infer line.dl -i x=x.npy -o y.npz
[ -s y.npz ] || fail "no y.npz"
# More examples than the recipe's batch of 4.
npy '<i4' '9,' "$(printf '\\x01\\x00\\x00\\x00%.0s' 1 2 3 4 5 6 7 8 9)" >nine.npy
expect 0 '^at \[9\]' "$DLRUN" infer line.dl -i nine.npy
[ "$(tail -n 9 out | sort -u | wc -l)" = 1 ] || fail "equal inputs, different results"
expect 0 '^at' "$DLRUN" infer line.dl --random

expect 2 'no input .z' "$DLRUN" infer line.dl -i z=x.npy
expect 2 'needs the input' "$DLRUN" infer line.dl
expect 2 'no export' "$DLRUN" infer line.dl --entries atx -i x.npy
npy '<i4' '3, 1' '\x0a\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff' >wide.npy
expect 3 'E0604.*wide.npy' "$DLRUN" infer line.dl -i wide.npy
head -c 100 x.npy >short.npy
expect 3 'E0603' "$DLRUN" infer line.dl -i short.npy
expect 3 'E060' "$DLRUN" infer line.dl -i nosuch.npy
expect 2 'npy' "$DLRUN" infer line.dl -i x.npy -o y.txt

# An image of a bright left half, learnt from a table.
cat >side.dl <<'END'
data d = table(x=[[[9,9,0,0],[9,9,0,0],[9,9,0,0],[9,9,0,0]], [[0,0,9,9],[0,0,9,9],[0,0,9,9],[0,0,9,9]]],
               y=[0, 1]) |> classes(["left", "right"])
model Side {
  export fn logits(x: u8[B, 4, 4]) -> f32[B, 2] { f32(x) / 9 |> flatten |> Linear(2) }
  fn loss(x: u8[B, 4, 4], y: u8[B]) -> f32 { cross_entropy(logits(x), y) }
}
train Side on d.all { batch = 2; epochs = 200; optimizer = adam(lr=0.05) }
END
base64 -d <<<"$PNG" >half.png
expect 0 '' "$DLRUN" train side.dl -q
expect 0 '^left [0-9.]* %' "$DLRUN" infer side.dl -i half.png
# The names are in the weights, and with them in a library.
"$DLCC" side.dl -q -o side.so -w side.safetensors && mv side.safetensors away || fail "no side.so"
expect 0 '^left [0-9.]* %' "$DLRUN" infer side.so -i half.png
mv away side.safetensors

# Results whose size the data tell are cut to it; their counts are not shown.
cat >some.dl <<'END'
model Some {
  export fn f(x: i32[2, 3]) -> (y: i32[2, 3], places: i64[2, 6], c as "y.count.1": i64,
                                n as "places.count.1": i64) {
    y, c = compress(x, x[1] > 3, 1)
    places, n = nonzero(x)
    (y, places, c, n)
  }
}
END
npy '<i4' '2, 3' '\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05\x00\x00\x00' >six.npy
expect 0 '^y \[2, 2\]' "$DLRUN" infer some.dl -i six.npy
printf '%s\n' 'y [2, 2]' '1 2' '4 5' 'places [2, 5]' '0 0 1 1 1' '1 2 0 1 2' | cmp - out ||
    fail "wrong results of a size that the data tell"
expect 0 '' "$DLRUN" infer some.dl -i six.npy --json
[ "$(grep -c '"value"' out)" = 14 ] || fail "counts are values too: $(cat out)"

# Derivatives along a direction, against what they are by hand.
cat >jvp.dl <<'END'
fn f(x: f32[3]) -> f32[2] { stack(x[0]*x[1] + sin(x[2]), x[0]^2*x[2], axis=0) }
fn g(x: f32) -> f32 { exp(2*x) }
fn slope(x: f32) -> f32 { jvp(g, wrt=x)(x, 1) }
model Along {
  param w: f32[3, 4] = normal
  fn run(x: f32[B, 3]) -> f32[B, 4] { tanh(x @ w) }
  export fn vector(x: f32[3], d: f32[3]) -> f32[2] {
    jvp(f, wrt=x)(x, d) - stack(d[0]*x[1] + x[0]*d[1] + cos(x[2])*d[2], 2*x[0]*d[0]*x[2] + x[0]^2*d[2], axis=0)
  }
  export fn twice(x: f32) -> f32[3] {
    stack(slope(x)/g(x) - 2, jvp(slope, wrt=x)(x, 1)/g(x) - 4, grad(slope, wrt=x)(x)/g(x) - 4, axis=0)
  }
  export fn batch(x: f32[B, 3], d: f32[B, 3]) -> f32[B, 4] { jvp(run, wrt=x)(x, d) - (1 - run(x)^2)*(d @ w) }
  export fn weights(x: f32[B, 3]) -> f32[B, 4] { jvp(run, wrt="w")(x, 1) - (1 - run(x)^2)*sum(x, axis=-1, keep=true) }
}
END
for entry in vector twice batch weights; do
    expect 0 "^$entry" "$DLRUN" infer jvp.dl --entries $entry --random --seed 3
    sed '1,/^'$entry'/d' out | tr ' ' '\n' | awk '$1 > 1e-5 || $1 < -1e-5 || $1 != $1 + 0 { exit 1 }' ||
        fail "jvp: $entry"
done
sed -i 's/jvp(run, wrt=x)(x, d)/jvp(run, wrt=x)(x, ones(2))/' jvp.dl
expect 1 'E0312.*the direction' "$DLCC" check jvp.dl
sed -i 's/jvp(run, wrt=x)(x, ones(2))/jvp(run, wrt=x)(x=x)/' jvp.dl
expect 1 'E0404.*direction' "$DLCC" check jvp.dl

# A result whose batch is in two axes: the whole of it, for the one batch it was built for.
cat >pairs.dl <<'END'
model Pairs {
  param one: f32 = 1
  export fn pairs(x: f32[B, 4], y: f32[B, 4]) -> (f32[B, B], f32[B, B]) { a = (x @ transpose(y))*one; a, transpose(a) }
  export fn best(x: f32[B, 4], y: f32[B, 4]) -> f32[B] {
    e = exp(x @ transpose(y))
    p = e/sum(e, axis=1, keep=true)
    sum(p, axis=1) + one*0 + (max(e, axis=0) - max(transpose(e), axis=1))
  }
}
END
expect 0 '' "$DLRUN" infer pairs.dl --entries pairs --random -o pairs.npz
[ "$(stat -c %s pairs.npz)" -gt $((2*64*64*4)) ] || fail "pairs are not 64 x 64"
expect 0 '^best' "$DLRUN" infer pairs.dl --entries best --random
sed '1,/^best/d' out | tr ' ' '\n' | awk '$1 < 1 - 1e-5 || $1 > 1 + 1e-5 { exit 1 }' || fail "shares do not add up to 1"
echo ok
