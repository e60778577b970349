#!/usr/bin/env bash
# The runner of the standard tests can fail: a copy of a test that passes is damaged in every way
# that matters, and what it says then is compared.
set -u
conform=$(realpath "${BUILD:-build}")/onnx_conform
data=/usr/share/libonnx-testdata/data/node
[ -x "$conform" ] || { echo "no onnx_conform: skipped"; exit 77; }
[ -d $data ] || { echo "libonnx-testdata is not installed: skipped"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export DLCC_CACHE=$work/cache
cd "$work" || exit 1
fail=0
fresh() { rm -rf t && mkdir t && cp -r $data/test_abs t/ && chmod -R u+w t; }
expect() { # what, exit code, text, arguments of the runner
    local what=$1 code=$2 text=$3 out got
    shift 3
    out=$("$conform" t -v "$@" 2>&1)
    got=$?
    [ $got = "$code" ] && grep -qF -- "$text" <<<"$out" && return
    printf '%s: exit %s, not %s with "%s":\n%s\n' "$what" $got "$code" "$text" "$out"
    fail=1
}
fresh
expect "as published" 0 "passed 1 failed 0 unsupported 0 crashed 0 slow 0 of 1"
out=t/test_abs/test_data_set_0/output_0.pb
printf '\x40' | dd of=$out bs=1 seek=$(($(stat -c %s $out) - 1)) conv=notrunc status=none
expect "another number" 1 "1 of 60 differ, first at 59"
printf '\x7f\xff\xff\xff' | dd of=$out bs=1 seek=$(($(stat -c %s $out) - 4)) conv=notrunc status=none
expect "a NaN" 1 "instead of -nan"
cp $data/test_acos_example/test_data_set_0/output_0.pb $out
expect "another shape" 1 "is f32[3, 4, 5] instead of f32[3]"
cp $data/test_and2d/test_data_set_0/output_0.pb $out
expect "another dtype" 1 "instead of bool[3, 4]"
rm $out
expect "an output less" 1 "the data have 1 inputs and 0 outputs, the model 1 and 1"
fresh
cp t/test_abs/test_data_set_0/output_0.pb t/test_abs/test_data_set_0/output_1.pb
expect "an output more" 1 "the data have 1 inputs and 2 outputs"
fresh
rm -r t/test_abs/test_data_set_0
expect "no data" 1 "no data sets"
fresh
truncate -s -9 t/test_abs/model.onnx
expect "a damaged model" 1 "fail"
fresh
cp -r $data/test_sequence_insert_at_back t/
expect "refused" 0 "passed 1 failed 0 unsupported 1 crashed 0 slow 0 of 2"

# Lists: written, held, never made smaller.
fresh
expect "a list" 0 "passed 1" --list list --update
grep -qx 'test_abs Abs pass' list || { echo "the list is:"; cat list; fail=1; }
expect "held" 0 "passed 1" --list list
printf '\x40' | dd of=$out bs=1 seek=$(($(stat -c %s $out) - 1)) conv=notrunc status=none
expect "lost" 1 "lost: test_abs is fail" --list list
expect "lost, and not written" 1 "lost: test_abs is fail" --list list --update
grep -qx 'test_abs Abs pass' list || { echo "a pass was dropped from the list"; fail=1; }
rm -r t/test_abs
expect "not there" 1 "lost: test_abs is not there" --list list
exit $fail
