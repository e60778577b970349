#!/usr/bin/env bash
# `dlcc inspect`: the numbers of a model that can be counted by hand, the same as JSON, and files of weights, sound and not.
set -u
[ -x "${DLCC:-}" ] || { echo "no dlcc"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DLCC_CACHE=$work/cache
cd "$work" || exit 1
fail=0
want() { grep -Eq -- "$1" out || { echo "FAIL: no \"$1\""; cat out; fail=1; }; }

# 6*16 + 16 + 16*3 + 3 parameters, two moments of each.
"$DLCC" inspect "$here/net.dl" >out || { echo "FAIL: inspect"; fail=1; }
want '^model +Net$'
want '^parameters +163, of which 163 are trained$'
want 'linear_0.weight +f32\[16, 6\] +96 +trained'
want "the optimizer's state +326"
want 'step +x f32\[B, 6\], y u8\[B\] < 3 -> loss f32'
want 'logits +x f32\[B, 6\] -> logits f32\[B, 3\]'
want 'FLOP.*kernels, arena .*B = 1..16'
# 2*16*16*6 for the product, 16*16 for the bias.
want 'linear_0 +f32\[B, 16\] +112  3.3 kFLOP'
want '^kernels of step'
"$DLCC" -q "$here/net.dl" -o net.so
bytes=$(sed -n 's/^#define NET_SIZE \([0-9]*\).*/\1/p' net.h)
[ "$(sed -n 's/^memory *context \([0-9,]*\) bytes.*/\1/p' out | tr -d ,)" = "$bytes" ] || { echo "FAIL: not the header's size"; fail=1; }

"$DLCC" inspect --json "$here/net.dl" >out || { echo "FAIL: --json"; fail=1; }
want "^\{\"v\":1,\"event\":\"model\",\"name\":\"Net\",\"context_bytes\":$bytes,"
want '"event":"tensor","name":"linear_1.bias","type":"f32\[3\]","count":3,"role":"trained"\}'
want '"event":"kernel","entry":"step",'
want '"event":"layer","name":"linear_0","result":"f32\[B, 16\]","parameters":112,"flops":3328\}'
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert abs(sum(r["share"] for r in rows if r["event"] == "kernel") - 1) < 1e-9' <out || { echo "FAIL: JSON"; fail=1; }
fi

cat >save.c <<'END'
#include "net.h"
int main(void)
{
    net *cx;
    return net_init(NET_ABI, 0, 0, 1, &cx) || net_save(cx, DLCC_WEIGHTS, "net.safetensors");
}
END
cc save.c -I. ./net.so -Wl,-rpath,"$work" -o save && ./save || { echo "FAIL: no weights"; exit 1; }
"$DLCC" inspect net.safetensors >out || { echo "FAIL: inspect weights"; fail=1; }
want '4 tensors, 163 numbers, 652 B, with checksums'
want 'dlcc.model = Net'
want 'linear_1.weight +f32\[3, 16\] +48'
"$DLCC" inspect --json net.safetensors >out
want '"event":"tensor","name":"linear_0.bias","type":"f32\[16\]","count":16,"bytes":64\}'
head -c 100 net.safetensors >short.safetensors
"$DLCC" inspect short.safetensors >out 2>&1
[ $? = 3 ] || { echo "FAIL: a short file is not exit 3"; fail=1; }
"$DLCC" inspect none.safetensors >out 2>&1
[ $? = 3 ] || { echo "FAIL: no file is not exit 3"; fail=1; }

# What could be trained, where nobody says what is, and what is in the way.
cat >blocked.dl <<'END'
model Blocked {
  param w: f32[4, 4] = normal(1)
  param b: f32[4] = zeros
  export fn f(x: f32[4]) -> f32[4] { qr_q(w) @ x + b }
}
END
"$DLCC" inspect blocked.dl >out || { echo "FAIL: inspect"; fail=1; }
want 'trainable +1 of 2 parameters'
want 'in the way: `qr_q`, 1 time, first at blocked.dl:4:38'
exit $fail
