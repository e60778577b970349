#!/usr/bin/env bash
# Every example's derivatives by every parameter, in eight directions each.
set -u
. tests/tools/examples.sh

check() { # arguments of dlrun gradcheck
    if ! "$DLRUN" gradcheck "$@" >out 2>&1 || grep -Eq ' [0-7] directions?' out ||
        ! grep -q ' directions' out; then
        echo "gradcheck $*: not as promised"
        sed 's/^/    /' out
        fail=1
    fi
}

checked=0
for f in "$root"/examples/*.dl; do
    case ${f##*/} in
    iris.dl)
        check "$f" --model Softmax
        check "$f" --model Logistic ;;
    resnet.dl) check "$f" -D width=4 ;;
    *) check "$f" ;;
    esac
    checked=$((checked + 1))
done
[ "$checked" -ge 14 ] || { echo "only $checked examples"; fail=1; }
exit $fail
