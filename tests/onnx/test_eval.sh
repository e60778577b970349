#!/usr/bin/env bash
# dlrun eval with -i and -t: metrics of an ONNX model, a .dl model and a library on given arrays,
# against the same numbers by awk; batches with a rest; what is refused, and how.
. "$(dirname "$(readlink -f "$0")")/../tools/train_lib.sh"

# npy DTYPE SHAPE: an array of the bytes that standard input lists as numbers.
npy() {
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
    printf "$(awk '{ for (i = 1; i <= NF; i++) printf "\\x%02x", $i }')"
}
# near NAME VALUE: the metric in `out` is VALUE, to 1e-6 of it.
near() {
    awk -v name="$1" -v want="$2" '
        $1 == name { found = 1; d = $2 - want; m = want < 0 ? -want : want; bad = d > 1e-6*m || d < -1e-6*m || $2 != $2 + 0 }
        END { exit !found || bad }' out || fail "$1 is not $2"
}

# 103 rows of three bytes, a class and a number each; batches of 64 and 4 leave a rest.
awk 'BEGIN { s = 7; for (i = 0; i < 103; i++) { for (k = 0; k < 5; k++) { s = (s*16807) % 2147483647; printf "%d ", k < 3 ? s % 97 : k == 3 ? s % 3 : s % 50 } print "" } }' >rows
awk '{ print $1, $2, $3 }' rows | npy '|u1' '103, 3' >x.npy
awk '{ print $4 }' rows | npy '|u1' '103,' >label.npy
awk '{ print $5 }' rows | npy '|u1' '103, 1' >number.npy
awk '{ print $5 % 2 }' rows | npy '|u1' '103,' >yes.npy
awk '{ print $4 }' rows | head -n 100 | npy '|u1' '100,' >few.npy
awk '{ print $4 + 1 }' rows | npy '|u1' '103,' >high.npy

cat >scores.dl <<'END'
model Scores {
  export fn scores(x: f32[B, 3]) -> f32[B, 3] { x/32 - (x/64)^2 }
}
END
sed 's/B, 3/4, 3/g' scores.dl >four.dl
cat >both.dl <<'END'
model Both {
  export fn both(x: f32[B, 3]) -> (chance: f32[B, 3], size: f32[B], whole: f32) {
    (softmax(x/32 - (x/64)^2), sum(x, axis=-1)/3, sum(x))
  }
}
END
for m in scores four both; do "$DLCC" $m.dl -q -o $m.onnx || fail "no $m.onnx"; done

# The same numbers in awk.
awk '{ for (i = 1; i <= 3; i++) y[i] = $i/32 - ($i/64)^2
       best = 1; for (i = 2; i <= 3; i++) if (y[i] > y[best]) best = i
       own = y[$4 + 1]; above = sum = 0
       for (i = 1; i <= 3; i++) { sum += exp(y[i]); if (y[i] > own || (y[i] == own && i < $4 + 1)) above++ }
       right += best == $4 + 1; two += above < 2; loss += log(sum) - own
       d = ($1 + $2 + $3)/3 - $5; e2 += d*d; e1 += d < 0 ? -d : d; t += $5; t2 += $5*$5; yes += ($1 + $2 + $3 > 0) == $5 % 2
       m = ($1 + $2 + $3)/3; bce += m - m*($5 % 2) + log(1 + exp(-m)); n++ }
     END { printf "%.12g %.12g %.12g %.12g %.12g %.12g %.12g %.12g\n", right/n, two/n, loss/n, e2/n, e1/n, 1 - e2/(t2 - t*t/n), yes/n, bce/n }' rows >numbers
read -r right two loss mse mae r2 yes bce <numbers
[ "$(awk -v a="$right" -v b="$two" 'BEGIN { print (a > 0.1 && a < 0.9 && b > a) }')" = 1 ] || fail "the rows tell nothing: $(cat numbers)"

"$DLCC" scores.dl -q -o scores.so || fail "no scores.so"
for model in scores.onnx four.onnx scores.dl scores.so; do
    expect 0 '103 rows' "$DLRUN" eval $model -i x.npy -t label.npy
    near accuracy "$right"
    near cross_entropy "$loss"
done
expect 0 '' "$DLRUN" eval scores.onnx -q -i x=x.npy -t scores=label.npy --metric 'top_k(output, target, k=2)' --metric nll_loss \
    --metric 'second=top_k(output, target, k=2)' --metric 'same = accuracy(output, target)'
near second "$two"
near same "$right"
grep -q '^top_k(output, target, k=2) ' out || fail "an expression is its own name"
# Probabilities are taken for such: the loss is that of the scores they come from.
expect 0 '' "$DLRUN" eval both.onnx -i x.npy -t chance=label.npy -t size=number.npy
near chance.accuracy "$right"
near chance.cross_entropy "$loss"
near size.mse "$mse"
near size.mae "$mae"
expect 0 '' "$DLRUN" eval both.onnx -i x.npy -t size=number.npy --metric r2 --metric rmse --metric 'wide=mean(f64(abs(output - target) > 10))'
near r2 "$r2"
near rmse "$(awk -v m="$mse" 'BEGIN { printf "%.12g", sqrt(m) }')"
near wide "$(awk '{ d = ($1 + $2 + $3)/3 - $5; n += d > 10 || d < -10 } END { printf "%.12g", n/NR }' rows)"
expect 0 '' "$DLRUN" eval both.onnx -i x.npy -t size=yes.npy
near accuracy "$yes"
near bce_with_logits "$bce"
# Every name of the table is known to the language.
for m in accuracy bce_with_logits mse mae rmse r2 huber smooth_l1 hinge kl; do
    expect 0 "^$m " "$DLRUN" eval both.onnx -i x.npy -t size=yes.npy --metric $m
done
for m in accuracy top_k cross_entropy nll_loss; do
    expect 0 "^$m " "$DLRUN" eval scores.onnx -i x.npy -t label.npy --metric $m
done
# Both arrays in one archive: the target is the one that is no input.
expect 0 '' "$DLRUN" infer scores.onnx -i x.npy -o scores.npz
expect 0 '^mse 0$' "$DLRUN" eval scores.onnx -i x.npy -t scores.npz
# A class number for each place, classes on the second axis.
cat >places.dl <<'END'
model Places { export fn y(x: f32[B, 3]) -> f32[B, 3, 2] { stack(x/32 - (x/64)^2, x/32 - (x/64)^2, axis=2) } }
END
awk '{ print $4, $4 }' rows | npy '|u1' '103, 2' >places.npy
"$DLCC" places.dl -q -o places.onnx
expect 0 '' "$DLRUN" eval places.onnx -i x.npy -t places.npy
near accuracy "$right"
near cross_entropy "$loss"

# A program that needs its batch as a number takes that many rows at a time, the rest filled up.
cat >halves.dl <<'END'
model Halves {
  export fn scores(x: f32[B, 3]) -> f32[B, 3] {
    y = concat(x[0..B//2], x[B//2..B], axis=0)
    y/32 - (y/64)^2
  }
}
END
"$DLCC" halves.dl -q -D B=7 -o halves.so || fail "no halves.so"
for model in halves.dl 'halves.dl -D B=10' halves.so; do
    expect 0 '103 rows' "$DLRUN" eval $model -i x.npy -t label.npy
    near accuracy "$right"
    near cross_entropy "$loss"
done

# Where no input has rows, what comes out is compared as a whole.
cat >part.dl <<'END'
model Part { export fn y(x: f32[5, 3]) -> f32[2, 3] { x[1..3] } }
END
awk 'NR <= 5 { print $1, $2, $3 }' rows | npy '|u1' '5, 3' >five.npy
awk 'NR == 2 || NR == 3 { print $1 + 2, $2 + 2, $3 + 2 }' rows | npy '|u1' '2, 3' >two.npy
expect 0 '^mae 2$' "$DLRUN" eval part.dl -i five.npy -t two.npy

# Conditions, and numbers for programs.
expect 0 '' "$DLRUN" eval scores.onnx -i x.npy -t label.npy --require 'accuracy>0.05'
expect 6 'E0906' "$DLRUN" eval four.onnx -i x.npy -t label.npy --require 'accuracy>0.999'
expect 2 'no metric .loss' "$DLRUN" eval scores.onnx -i x.npy -t label.npy --require 'loss<9'
expect 0 '"event":"metric".*"name":"accuracy","value":0\.' "$DLRUN" eval scores.onnx -i x.npy -t label.npy --json

# What is refused: one line, and the exit code.
expect 3 'few.npy is u8\[100\], but there are 103 rows' "$DLRUN" eval scores.onnx -i x.npy -t few.npy
expect 3 'high.npy: .*below 3' "$DLRUN" eval scores.onnx -i x.npy -t high.npy
expect 3 'x.npy is u8\[103, 3\], but the result .size. is f32\[103\]' "$DLRUN" eval both.onnx -i x.npy -t size=x.npy
expect 0 '' "$DLRUN" infer both.onnx --random -o both.npz
expect 2 'both.npz has no array .scores' "$DLRUN" eval scores.onnx -i x.npy -t both.npz
npy '<f4' '103,' </dev/null >float.npy
head -c 412 /dev/zero >>float.npy
expect 3 'float.npy is f32\[103\]: numbers of classes must be integers' "$DLRUN" eval scores.onnx -i x.npy -t float.npy
expect 2 'not a result for each row' "$DLRUN" eval both.onnx -i x.npy -t whole=label.npy
expect 2 'several results: .chance., .size., .whole.; say -t chance=' "$DLRUN" eval both.onnx -i x.npy -t label.npy
expect 2 'no result .sise.; did you mean .size.' "$DLRUN" eval both.onnx -i x.npy -t sise=label.npy
expect 2 'no result .labels.; there is .scores.' "$DLRUN" eval scores.onnx -i x.npy -t labels=label.npy
expect 2 'two targets' "$DLRUN" eval scores.onnx -i x.npy -t label.npy -t scores=label.npy
expect 2 'did you mean .accuracy' "$DLRUN" eval scores.onnx -i x.npy -t label.npy --metric acuracy
grep -q 'help: for scores .*: accuracy, top_k, cross_entropy, nll_loss; or an expression' out || fail "no list of metrics"
expect 2 '.mse. is not for the result .scores.' "$DLRUN" eval scores.onnx -i x.npy -t label.npy --metric mse
expect 1 'E0401.*no name .label.' "$DLRUN" eval scores.onnx -i x.npy -t label.npy --metric 'mean(f64(argmax(output) == label))'
[ "$(grep -c '^error\[' out)" = 1 ] || fail "said more than once"
expect 2 'needs the input .x' "$DLRUN" eval scores.onnx -t label.npy
expect 2 'no targets' "$DLRUN" eval scores.onnx --random -t label.npy
expect 2 'what should .forward. have given\? -t FILE' "$DLRUN" eval scores.onnx -i x.npy --metric accuracy
expect 1 'help: .*-i FILE -t FILE' "$DLRUN" eval scores.onnx -i x.npy
expect 3 'E0601.*nosuch' "$DLRUN" eval scores.onnx -i x.npy -t nosuch.npy
expect 2 'A target is .npy' "$DLRUN" eval scores.onnx -i x.npy -t label.txt
echo ok
