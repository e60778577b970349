#!/usr/bin/env bash
# dlrun gradcheck: right derivatives pass, a wrong one is named with its line; dlrun bench runs.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"

net_model 'epochs = 1'
expect 0 'linear_0.weight .*direction.*net.dl:4' "$DLRUN" gradcheck net.dl
[ "$(grep -c 'direction' out)" = 4 ] || fail "not four parameters"

# A derivative that is wrong on purpose: stop_gradient hides half of it.
cat >wrong.dl <<'END'
model Wrong {
  param good: f32[3] = ones
  param bad: f32[2] = ones
  fn loss() -> f32 { sum(good^2) + sum(stop_gradient(bad) * bad) }
}
train Wrong { steps = 3; optimizer = gd(lr=0.1) }
END
expect 6 'E0910.*.bad.' "$DLRUN" gradcheck wrong.dl
grep -q 'wrong.dl:3' out || fail "the line is not named"
grep 'E0910' out | grep -q 'good' && fail "the right one is blamed"
# The same in a step that a call could not return all derivatives of.
{
    echo 'model Deep { fn loss(x: f32[B]) -> f32 {'
    echo '  mean((rearrange("b -> b 1", x) |> Linear(3)'
    for _ in $(seq 39); do echo '    |> Linear(3) |> tanh'; done
    echo '  )^2) } }'
    echo 'data d = rows(9) |> map(x=rand())'
    echo 'train Deep on d.all { steps = 3; batch = 8; optimizer = gd(lr=0.1) }'
} >deep.dl
expect 0 'linear_39.bias .*directions' "$DLRUN" gradcheck deep.dl --threads 2
[ "$(grep -c 'direction' out)" = 80 ] || fail "not eighty parameters"

# A loss that is a number, by a way that is none: so are its derivatives, in the reference, too.
cat >masked.dl <<'END'
model Masked {
  param w: f32[4] = ones
  fn loss() -> f32 { p = softmax(w + f32(-inf), axis=0); sum(w^2) + sum(select(is_nan(p), 0, p)) }
}
train Masked { steps = 3; optimizer = gd(lr=0.1) }
END
expect 6 'E0910.*.w. is not a number' "$DLRUN" gradcheck masked.dl

# A logarithm has no value at inputs of either sign; a rounding on the way no quotient.
cat >log.dl <<'END'
data d = rows(8) |> map(n=1 + rand())
model Log {
  param w: f32[4] = ones
  fn loss(n: f32[B]) -> f32 { mean((log(n) - sum(f32(bf16(w)) * w))^2) }
}
train Log on d.all { steps = 3; batch = 8; optimizer = gd(lr=0.1) }
END
expect 0 '^w .*12 directions' "$DLRUN" gradcheck log.dl
cat >nowhere.dl <<'END'
model Nowhere {
  param w: f32 = ones
  fn loss() -> f32 { log(w - 10) }
}
train Nowhere { steps = 3; optimizer = gd(lr=0.1) }
END
expect 6 'E0910.*nothing to compare' "$DLRUN" gradcheck nowhere.dl
# A staircase has the derivative 0 by definition, and no quotient: not what passes for a check.
sed 's/log(w - 10)/sum(floor(1e9 * w)) \/ 1e9/; s/f32 = ones/f32[16] = ones/' nowhere.dl >stairs.dl
expect 6 'E0910.*cannot be compared' "$DLRUN" gradcheck stairs.dl
expect 1 'E0419' "$DLRUN" gradcheck <(sed '/^train/d' wrong.dl)

"$DLCC" log.dl -o log.so >out 2>&1 || fail "not built"
expect 2 'E0909.*of the .dl file' "$DLRUN" gradcheck log.so

line_model
expect 0 '^step .*items/s' "$DLRUN" bench line.dl
grep -q '^at ' out || fail "the export is not timed"
expect 0 '"event":"bench","entry":"at"' "$DLRUN" bench line.dl --json --entries at
[ "$(wc -l <out)" = 1 ] || fail "--entries times others"
# Indices are drawn within the axis that they reach, whatever stands in between: from the end, by
# columns, as one number of several.
cat >index.dl <<'END'
model Index {
  param one: f32[1, 4] = normal
  param table: f32[5, 4] = normal
  export fn rows(i: i64[B, 3]) -> f32[B, 3, 4] { gather(one, wrap(i, 1), axis=0) }
  export fn places(i: i32[3, 2]) -> f32[3] { gather_nd(one, i) }
  export fn flat(i: i32[6]) -> f32[6] { gather(reshape(table, [20]), i*4 + 3, axis=0) }
  export fn shifted(i: i32[6]) -> f32[6, 4] { gather(table, i + 4, axis=0) }
  export fn added(i: i64[2]) -> f32[1, 4] { scatter_nd(one, unsqueeze(i), ones(2, 4), mode="add") }
  export fn boxes(x: f32[1, 2, 5, 5], r: f32[3, 4], image: i64[3]) -> f32[3, 2, 2, 2] {
    roi_align(x, r, image, 2, 2, 2)
  }
}
END
expect 0 'table .*direction' "$DLRUN" gradcheck index.dl
for entry in rows places flat shifted added boxes; do
    expect 0 "^$entry" "$DLRUN" infer index.dl --entries $entry --random --seed 5
done
# One that is out of range all the same is said to be.
cat >outside.dl <<'END'
model Outside {
  param w: f32[3] = normal
  export fn f(i: i32[9]) -> f32[9] { gather(w, i*i + 3, axis=0) }
}
END
expect 3 'E0908.*at random inputs.*out of range' "$DLRUN" gradcheck outside.dl
grep -q 'bounded' out || fail "no help"
echo 'model Nothing { export fn f(x: f32[B]) -> f32[B] { 2*x } }' >nothing.dl
# What -i gives is taken instead: two rows are two, the third of nine is the third.
npy() { printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '|i1', 'fortran_order': False, 'shape': ($1), }"; }
{ npy '9,'; printf '\xff\xfe\xfd\xff\xfe\xfd\xff\xfe\xfd'; } >nine.npy
sed -i 's/i\*i + 3/-i - 1/' outside.dl
expect 3 'E0908' "$DLRUN" gradcheck outside.dl
expect 0 'w .*direction' "$DLRUN" gradcheck outside.dl -i i=nine.npy
expect 0 'w .*direction' "$DLRUN" gradcheck outside.dl -i nine.npy
expect 2 'no input .j.; did you mean .i.' "$DLRUN" gradcheck outside.dl -i j=nine.npy
sed -i 's/i32\[9\]/i32[B]/; s/f32\[9\]/f32[B]/' outside.dl
expect 0 'w .*direction' "$DLRUN" gradcheck outside.dl -i i=nine.npy
{ npy '2,'; printf '\xff\xfe'; } >two.npy
expect 0 'w .*direction' "$DLRUN" gradcheck outside.dl -i i=two.npy
{ npy '2, 1'; printf '\xff\xfe'; } >column.npy
expect 3 'E0604.*.i. does not have its shape' "$DLRUN" gradcheck outside.dl -i i=column.npy
expect 1 'E0419.*nothing to differentiate by' "$DLRUN" gradcheck nothing.dl
echo ok
