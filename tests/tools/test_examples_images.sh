#!/usr/bin/env bash
# The examples on Fashion-MNIST, in short: a few hundred steps, and a bar that guessing (0.1) is far
# below. Their full outcome is measured by tests/campaign/outcomes.sh.
set -u
. tests/tools/examples.sh
has_fashion || { echo "no dataset-fashion-mnist: skipped"; exit 77; }

train "mlp" mlp --set steps=300 --require 'accuracy>=0.80'
train "lenet" lenet --set steps=150 --require 'accuracy>=0.75'
train "regularized" regularized --set steps=300 --require 'accuracy>=0.80'
train "resnet" resnet -D width=4 --set batch=32 --set steps=100 --require 'accuracy>=0.40'
# The critic has learnt to tell pictures from what it is shown: the distance begins at about 0.
train "gan" gan --set steps=60 --require 'distance>=5'
exit $fail
