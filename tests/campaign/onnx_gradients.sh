#!/usr/bin/env bash
# The derivative of every standard ONNX test model against differences, in f64: by each float input
# and parameter. Half an hour on two cores; `dlrun gradcheck` on one model shows its details.
# usage: tests/campaign/onnx_gradients.sh [FOLDER]      default: Debian's libonnx-testdata
set -u
folder=${1:-/usr/share/libonnx-testdata/data/node}
DLRUN=${DLRUN:-build/dlrun}
[ -x "$DLRUN" ] && [ -d "$folder" ] || { echo "needs $DLRUN and $folder"; exit 77; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
right=0 none=0 refused=0 domain=0 wrong=0
for model in "$folder"/*/model.onnx; do
    timeout 120 "$DLRUN" gradcheck -q "$model" >"$log" 2>&1
    case $? in
    0) right=$((right + 1)) ;;
    4) refused=$((refused + 1)) ;; # not translated, or a shape that an input decides
    *)
        if grep -q E0419 "$log"; then # integers and truth values alone
            none=$((none + 1))
        elif grep -q 'there is nothing to compare' "$log"; then # no finite value there: acosh
            domain=$((domain + 1))
        else
            wrong=$((wrong + 1))
            echo "$(basename "$(dirname "$model")"): $(grep -m1 error "$log")"
        fi ;;
    esac
done
echo "$right right, $wrong wrong; nothing to differentiate $none, outside of the domain $domain, refused $refused"
exit $((wrong > 0))
