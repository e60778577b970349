#!/usr/bin/env bash
# A function of a hundred inputs and as many results, as decoders with a cache for each layer have:
# run, and built as a library, and each result is its own.
set -u
[ -x "${DLCC:-}" ] && [ -x "${DLRUN:-}" ] || { echo "no dlcc or dlrun: skipped"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export DLCC_CACHE=$work/cache
cd "$work" || exit 1
n=100
list() { # the text for each number in the place of @, joined by commas
    local i comma=""
    for ((i = 0; i < n; i++)); do
        printf '%s%s' "$comma" "${1//@/$i}"
        comma=", "
    done
}
{
    echo "model Many {"
    echo "  export fn f($(list 'x@: f32[2]')) -> ($(list 'y@: f32[2]')) {"
    echo "    $(list 'x@ + @')"
    echo "  }"
    echo "}"
} >many.dl
fail=0
"$DLRUN" infer many.dl --random --seed 3 -o all.npz >log 2>&1 || { cat log; fail=1; }
"$DLCC" many.dl -o many.so >log 2>&1 || { cat log; fail=1; }
"$DLRUN" infer many.so --random --seed 3 -o so.npz >log 2>&1 || { cat log; fail=1; }
cmp all.npz so.npz || fail=1
exit $fail
