#!/usr/bin/env bash
# Gradient, by a weight and by an intermediate value: y = x*W, z = y + y; dW = dz/dW, dy = dz/dy.
# Run as it is and as the program that `dlcc import` writes.
set -u
[ -x "${DLRUN:-}" ] || { echo "no dlrun: skipped"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
base64 -d >w.onnx <<'MODEL' # W = [3, 4]
CAg6ggIKDgoBeAoBVxIBeSIDTXVsCg4KAXkKAXkSAXoiA0FkZApRCgFXCgF4EgJkVyIIR3JhZGllbnQ6GGFpLm9ubn
gucHJldmlldy50cmFpbmluZyoKCgJ4c0oBV6ABCCoKCgJ6c0oBeKABCCoJCgF5IgF6oAEDCkIKAXkSAmR5IghHcmFk
aWVudDoYYWkub25ueC5wcmV2aWV3LnRyYWluaW5nKgoKAnhzSgF5oAEIKgkKAXkiAXqgAQMSAWcqEQgCEAFCAVdKCA
AAQEAAAIBAWg8KAXgSCgoICAESBAoCCAJiEAoCZFcSCgoICAESBAoCCAJiEAoCZHkSCgoICAESBAoCCAJCBAoAEA1C
HAoYYWkub25ueC5wcmV2aWV3LnRyYWluaW5nEAE=
MODEL
base64 -d >x.pb <<<'CAIQAUIBeEoIAACgQAAA4EA=' # [5, 7]
fail=0
expect() { # what, command
    local what=$1 out
    shift
    out=$("$@" 2>&1) && [ "$(tr '\n' ' ' <<<"$out")" = "dW [2] 10 14 dy [2] 2 2 " ] && return
    printf '%s:\n%s\n' "$what" "$out"
    fail=1
}
expect "the model" "$DLRUN" infer w.onnx -i x=x.pb
"$DLCC" import w.onnx -o w.dl >/dev/null || fail=1
expect "its program" "$DLRUN" infer w.dl -w w.safetensors -i x=x.pb
exit $fail
