#!/usr/bin/env bash
# The examples whose outcome is known by heart, trained in full: seconds for all.
set -u
. tests/tools/examples.sh

train "one step from (2, 2)" quadratic --set steps=1 \
    --require 'x>=1.39999' --require 'x<=1.40001' --require 'y>=1.79999' --require 'y<=1.80001' \
    --require 'l>=4.39999' --require 'l<=4.40001'
train "the minimum (-1, 1)" quadratic \
    --require 'x>=-1.00001' --require 'x<=-0.99999' --require 'y>=0.99999' --require 'y<=1.00001' \
    --require 'l>=-2.00001' --require 'l<=-1.99999'
train "f' = 0" root \
    --require 'x>=0.203187' --require 'x<=0.203189' --require 'curvature<=-2.9' \
    --require 'determinant>=-4.0001' --require 'determinant<=-3.9999'
# An error of 1e-4 is a hundredth for each of 880, 825, 1095, 680.
train "four houses" house --require 'mse<=1e-4' --require 'apart<=0.01'
train "the perceptron" perceptron --require 'accuracy>=1'
train "xor" xor --require 'accuracy>=1'
train "irises, three kinds" iris --model Softmax --require 'accuracy>=0.9'
train "irises, one kind" iris --model Logistic --require 'accuracy>=0.9'
train "counts/N" categorical \
    --require 'p0>=0.4999' --require 'p0<=0.5001' --require 'p1>=0.2499' --require 'p1<=0.2501' \
    --require 'p2>=0.1874' --require 'p2<=0.1876' --require 'p3>=0.0624' --require 'p3<=0.0626'
train "the scaling law" scaling --require 'alpha>=0.07524' --require 'alpha<=0.07676'
# The noise has variance 100: with 101 test rows, three deviations above that is 142.
train "506 houses" linreg --require 'mse<=142'

# A requirement that does not hold is exit 6.
"$DLRUN" train "$root/examples/quadratic.dl" --fresh -q --require 'x>=0' >/dev/null 2>&1
[ $? = 6 ] || { echo "a broken requirement must exit 6"; fail=1; }

# houses.csv is what houses.py writes.
if command -v python3 >/dev/null; then
    python3 "$root/examples/houses.py" | cmp - "$root/examples/houses.csv" || fail=1
fi
exit $fail
