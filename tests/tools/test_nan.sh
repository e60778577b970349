#!/usr/bin/env bash
# A loss that is not finite: the line of the very operation is named, however much of the model one
# kernel computes, and so is what it was given.
. "$(dirname "$(readlink -f "$0")")/train_lib.sh"

# model FILE LINES...: a model of the lines, whose last is the loss.
model() {
    {
        echo 'data d = rows(64) |> map(x=1 + rand())'
        echo 'model Net {'
        echo '  param w: f32 = ones'
        echo '  param v: f32[64, 64] = zeros'
        echo '  fn loss(x: f32[B]) -> f32 {'
        printf '    %s\n' "${@:2}"
        echo '  }'
        echo '}'
        echo "train Net on d.all { epochs = 1; batch = ${batch:-16}; optimizer = gd(lr=0.1) }"
    } >"$1.dl"
}

# names FILE LINE NOTE: training stops, naming that line, with that note.
names() {
    expect 5 'E0907.*step 1, first here' "$DLRUN" train "$1.dl" --fresh
    grep -qe "--> $1.dl:$2:" out || fail "$1.dl: line $2 is not named"
    grep -Eq -- "$3" out || fail "$1.dl: no \"$3\""
}

model log 'a = x*w - 2' 'b = a + 0.1' 'c = log(b)' 'mean(c*c + 1)'
names log 8 '`log` of -0\.[0-9]+ is nan in f32'
# exp overflows; that inf / inf is no number comes of it.
model exp 'a = x*w - 2' 'b = exp(100*a + 300)' 'c = b + 1' 'mean(b / c)'
names exp 7 '`exp` of [0-9.]+ is inf in f32'
grep -q 'then `div` of inf and inf is nan in f32 (exp.dl:9:' out || fail "what came of it is not told"
# What a sum, and a product of matrices, overflows in.
model sum 'a = x*w * 1e38' 'b = sum(a)' 'b / 64'
names sum 7 'add up or multiply to is inf'
model dot 'm = v + 1e25' 'p = m @ m' 'q = p + sum(x*w)' 'mean(q)'
names dot 7 'add up or multiply to is inf'
# Masks are made of -inf; it is the row without any other number that has no softmax.
model mask 'a = select(x < 3, -inf, x*w)' 'b = softmax(a, axis=0)' 'sum(b)'
names mask 7 '`sub` of -inf and -inf is nan'
model fine 'a = select(x < 1.5, -inf, x*w)' 'b = softmax(a, axis=0)' 'c = w - 2' 'sum(b) + sqrt(c)'
names fine 9 '`sqrt` of -1 is nan'
# A last batch that is not full: what stands behind it in memory is no culprit.
batch=48 model partial 'a = select(x < 0, x*w, -x)' 'b = w - 2' 'c = sqrt(b)' 'mean(a) + c'
names partial 8 '`sqrt` of -1 is nan'
echo ok
