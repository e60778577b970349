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
expect 1 'E0419' "$DLRUN" gradcheck <(sed '/^train/d' wrong.dl)

line_model
expect 0 '^step .*items/s' "$DLRUN" bench line.dl
grep -q '^at ' out || fail "the export is not timed"
expect 0 '"event":"bench","entry":"at"' "$DLRUN" bench line.dl --json --entries at
[ "$(wc -l <out)" = 1 ] || fail "--entries times others"
echo ok
