#!/usr/bin/env bash
# One residual network, three times: as an ONNX file, as the program that is imported from it, and
# as a program written by hand that reads the same weights by the same names. All give the same bits.
set -u
[ -x "${DLCC:-}" ] && [ -x "${DLRUN:-}" ] || { echo "no tools"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DLCC_CACHE=$work/cache
cd "$work" || exit 1
cc -O1 -std=c11 "$root/tests/onnx/make/model.c" -o model || exit 1
fail=0
wrong() { echo "$1"; fail=1; }
run() { "$@" >out 2>&1 || { cat out; wrong "exit $?: $*"; }; }

# Convolution and batch norm; a bottleneck that adds what came in, or a projection of it.
awk '
    function conv(y, x, name, n, m, size, stride, pad) {
        printf "data %sconv%s.weight %d %d %d %d %d\n", name, y, ++seed, m, n, size, size
        return norm(y, x, name "conv" y ".weight", name "bn" y, m, stride, pad)
    }
    function norm(y, x, weight, bn, m, stride, pad) {
        printf "near %s.weight %d 1 %d\nnear %s.bias %d 0 %d\n", bn, ++seed, m, bn, ++seed, m
        printf "near %s.running_mean %d 0 %d\nnear %s.running_var %d 1 %d\n", bn, ++seed, m, bn, ++seed, m
        printf "node Conv c%d %s %s strides=l:%d,%d pads=l:%d,%d,%d,%d\n", ++t, x, weight, stride, stride, pad, pad, pad, pad
        printf "node BatchNormalization t%d c%d %s.weight %s.bias %s.running_mean %s.running_var\n", t, t, bn, bn, bn, bn
        return "t" t
    }
    function relu(x) { printf "node Relu t%d %s\n", ++t, x; return "t" t }
    function block(x, name, n, width, stride,    y, s) {
        y = relu(conv(1, x, name, n, width, 1, 1, 0))
        y = relu(conv(2, y, name, width, width, 3, stride, 1))
        y = conv(3, y, name, width, 4 * width, 1, 1, 0)
        s = x
        if (stride != 1 || n != 4 * width) {
            printf "data %sdownsample.0.weight %d %d %d 1 1\n", name, ++seed, 4 * width, n
            s = norm("d", x, name "downsample.0.weight", name "downsample.1", 4 * width, stride, 0)
        }
        printf "node Add t%d %s %s\n", ++t, y, s
        return relu("t" t)
    }
    BEGIN {
        print "input x 1 3 32 32"; print "output y"
        x = relu(conv(1, "x", "", 3, 16, 7, 2, 3))
        printf "node MaxPool p %s kernel_shape=l:3,3 strides=l:2,2 pads=l:1,1,1,1\n", x
        x = block("p", "layer1.0.", 16, 8, 1)
        x = block(x, "layer1.1.", 32, 8, 1)
        x = block(x, "layer2.0.", 32, 16, 2)
        x = block(x, "layer2.1.", 64, 16, 1)
        printf "node GlobalAveragePool g %s\nnode Flatten f g\n", x
        print "data fc.weight 1000 10 64"; print "data fc.bias 1001 10"
        print "node Gemm y f fc.weight fc.bias transB=i:1"
    }' | ./model net.onnx || exit 1

cat >hand.dl <<'END'
layer Bottleneck[C](W: int, stride: int = 1) {
  layer conv1 = Conv2d(W, 1, use_bias=false)
  layer bn1 = BatchNorm2d
  layer conv2 = Conv2d(W, 3, stride=stride, pad=1, use_bias=false)
  layer bn2 = BatchNorm2d
  layer conv3 = Conv2d(4*W, 1, use_bias=false)
  layer bn3 = BatchNorm2d
  if stride != 1 or C != 4*W {
    layer down as "downsample.0" = Conv2d(4*W, 1, stride=stride, use_bias=false)
    layer dbn as "downsample.1" = BatchNorm2d
  }
  fn (x: f32[B, C, H, Wd]) -> f32[B, 4*W, _, _] {
    y = x |> conv1 |> bn1 |> relu |> conv2 |> bn2 |> relu |> conv3 |> bn3
    s = if stride != 1 or C != 4*W { x |> down |> dbn } else { x }
    relu(y + s)
  }
}
model Net {
  layer conv1 = Conv2d(16, 7, stride=2, pad=3, use_bias=false)
  layer bn1 = BatchNorm2d
  layers layer1[i in 0..2] = Bottleneck(8, 1)
  layers layer2[i in 0..2] = Bottleneck(16, if i == 0 { 2 } else { 1 })
  layer fc = Linear(10)
  export fn logits(x: f32[1, 3, 32, 32]) -> f32[1, 10] {
    x = x |> conv1 |> bn1 |> relu |> max_pool(3, stride=2, pad=1)
    repeat b in layer1 { x = b(x) }
    repeat b in layer2 { x = b(x) }
    global_avg_pool(x) |> fc
  }
}
END
run "$DLCC" import net.onnx -o imported.dl
for march in x86-64-v3 x86-64; do
    run "$DLRUN" infer net.onnx --random --seed 3 --march $march -o onnx.npy
    run "$DLRUN" infer imported.dl -w imported.safetensors --random --seed 3 --march $march -o imported.npy
    run "$DLRUN" infer hand.dl -w imported.safetensors --random --seed 3 --march $march -o hand.npy
    [ "$(stat -c %s onnx.npy)" = 168 ] || wrong "onnx.npy is not 10 numbers"
    cmp onnx.npy imported.npy || wrong "$march: the imported program gives other bits"
    cmp onnx.npy hand.npy || wrong "$march: the program written by hand gives other bits"
done

# They are numbers of this network: other weights give others.
run "$DLRUN" infer hand.dl --random --seed 3 -o fresh.npy
cmp -s onnx.npy fresh.npy && wrong "the weights do not matter"
exit $fail
