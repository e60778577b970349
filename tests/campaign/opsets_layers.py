"""More cases of opsets.py: reductions, windows, normalisations, images, signals, quantized
arithmetic, attention."""
import numpy as np
from onnx.reference import ReferenceEvaluator

from opsets_cases import NEW, Init, bools, case, f, i64, ints, num, pos, run_node

# ---- Reductions ----

for op in ("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
           "ReduceProd ReduceSum ReduceSumSquare").split():
    last = 11 if op == "ReduceSum" else 17
    fresh = last + 1 if op != "ReduceSum" else 13
    x = pos(2, 3, 4)
    case(op, 1, NEW, [x])
    case(op, 1, NEW, [x], {"keepdims": 0})
    case(op, 1, last, [x], {"axes": [0, 2]})
    case(op, 1, last, [x], {"axes": [1], "keepdims": 0})
    case(op, 11, last, [x], {"axes": [-1]})
    case(op, fresh, NEW, [x, i64(-1, 0)], {"keepdims": 0})
    case(op, fresh, NEW, [x, i64(1)])
    case(op, fresh, NEW, [x, i64(1)], {"noop_with_empty_axes": 1})
    noop = {"ReduceL1": np.abs, "ReduceL2": np.abs, "ReduceLogSum": np.log,
            "ReduceSumSquare": np.square}.get(op, lambda v: v)
    case(op, fresh, NEW, [x - 0.3 if op != "ReduceLogSum" else x], {"noop_with_empty_axes": 1},
         noop)
    case(op, fresh, NEW, [x, i64()], {"noop_with_empty_axes": 1}, lambda v, a, n=noop: n(v))
    case(op, fresh, NEW, [x, i64()])
    if op in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceMean", "ReduceL1"):
        case(op, 1, last, [ints(1, 5, 2, 3, dtype=np.int32)], {"axes": [1]})
case("ReduceMax", 20, NEW, [bools(3, 4), i64(1)], {"keepdims": 0})
case("ReduceMin", 20, NEW, [bools(3, 4), i64(1)], {"keepdims": 0})
for op in ("ArgMax", "ArgMin"):
    x = ints(0, 3, 2, 5, 4).astype(np.float32)
    case(op, 1, NEW, [x])
    case(op, 1, NEW, [x], {"axis": 1, "keepdims": 0})
    case(op, 11, NEW, [x], {"axis": -1})
    case(op, 12, NEW, [x], {"axis": 1, "select_last_index": 1})
for op, first in (("CumSum", 11), ("CumProd", 26)):
    for e in (0, 1):
        for r in (0, 1):
            case(op, first, NEW, [f(2, 3, 4), num(-2, np.int32)], {"exclusive": e, "reverse": r})

# ---- Sums of products ----

case("MatMul", 1, NEW, [f(3, 4), f(4, 5)])
case("MatMul", 1, NEW, [f(2, 1, 3, 4), f(3, 4, 5)])
case("MatMul", 1, NEW, [f(4), f(2, 4, 5)])
case("MatMul", 9, NEW, [ints(-5, 5, 2, 3, dtype=np.int32), ints(-5, 5, 3, 2, dtype=np.int32)])
for op_first, op_last, more in ((1, 6, {"broadcast": 1}), (7, NEW, {})):
    def gemm(a, b, c, **k):
        a = a.T if k.get("transA") else a
        b = b.T if k.get("transB") else b
        return (k.get("alpha", 1) * (a @ b) + k.get("beta", 1) * c).astype(np.float32)
    for shapes, k in ((((3, 4), (4, 5), (5,)), {}),
                      (((4, 3), (5, 4), (3, 1)), {"transA": 1, "transB": 1}),
                      (((3, 4), (4, 5), (1, 5)), {"alpha": 0.5, "beta": 2.0}),
                      (((3, 4), (4, 5), (1,)), {"alpha": 0.5, "beta": 0.0})):
        case("Gemm", op_first, op_last, [f(*s) for s in shapes], {**k, **more},
             lambda a, b, c, k=k: gemm(a, b, c, **k))
case("Gemm", 1, 6, [f(3, 4), f(4, 5), f(3, 5)], {}, lambda a, b, c: a @ b + c)
case("Gemm", 11, NEW, [f(3, 4), f(4, 5)])
case("Einsum", 12, NEW, [f(2, 3, 4), f(2, 4, 5)], {"equation": "bij,bjk->bik"})
case("Einsum", 12, NEW, [f(3, 3)], {"equation": "ii"})
case("Det", 11, NEW, [f(2, 3, 3)])
conv = [f(2, 4, 7, 6), f(6, 2, 3, 2), f(6)]
for more in ({}, {"kernel_shape": [3, 2]}, {"strides": [2, 1]}, {"pads": [1, 0, 2, 1]},
             {"dilations": [2, 3]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
             {"auto_pad": "SAME_LOWER", "strides": [3, 2]}, {"auto_pad": "VALID"}):
    case("Conv", 1, NEW, conv, {"group": 2, **more})
case("Conv", 1, NEW, [f(2, 3, 8), f(5, 3, 3)], {"pads": [1, 1]})
case("Conv", 1, NEW, [f(1, 2, 4, 5, 6), f(3, 2, 2, 3, 2)], {"strides": [1, 2, 1]})
trans = [f(2, 4, 4, 3), f(4, 3, 3, 2), f(6)]
for more in ({}, {"kernel_shape": [3, 2]}, {"strides": [2, 3]}, {"pads": [1, 0, 2, 1]},
             {"dilations": [2, 3]}, {"strides": [2, 3], "output_padding": [1, 2]},
             {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
             {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, {"auto_pad": "VALID"},
             {"output_shape": [8, 7], "strides": [2, 2]},
             {"output_shape": [8, 7], "strides": [2, 3], "output_padding": [1, 2]},
             {"output_shape": [8, 7], "strides": [2, 2], "auto_pad": "SAME_UPPER"}):
    case("ConvTranspose", 1, NEW, trans, {"group": 2, **more})

# ---- Windows ----

x = f(2, 3, 7, 6)
POOLS = [{}, {"strides": [2, 1]}, {"pads": [1, 0, 2, 1]}, {"auto_pad": "SAME_UPPER",
         "strides": [2, 2]}, {"auto_pad": "SAME_LOWER", "strides": [2, 1]}, {"auto_pad": "VALID"}]
for more in POOLS:
    k = {"kernel_shape": [3, 2], **more}
    case("MaxPool", 1, NEW, [x], k)
    case("AveragePool", 1, 1, [x], k, lambda v, k=k: run_node("AveragePool", 7, [v], k))
    case("AveragePool", 7, NEW, [x], k)
    case("AveragePool", 7, NEW, [x], {**k, "count_include_pad": 1})

    def lp(v, p, k=k):  # the sum of |v|^p is six times an average
        feeds = [np.abs(v.astype(np.float64)).astype(np.float32) ** np.float32(p)]
        y = run_node("AveragePool", 11, feeds, {**k, "count_include_pad": 1})[0]
        return ((6 * y) ** (1 / p)).astype(np.float32)
    case("LpPool", 1, 1, [x], k, lambda v, lp=lp: lp(v, 2))
    case("LpPool", 1, 1, [x], {**k, "p": 3.0}, lambda v, lp=lp: lp(v, 3))
    case("LpPool", 1, 1, [x], {**k, "p": 1.5}, lambda v, lp=lp: lp(v, 1.5))
    case("LpPool", 2, NEW, [x], k, lambda v, lp=lp: lp(v, 2))
    case("LpPool", 2, NEW, [x], {**k, "p": 3}, lambda v, lp=lp: lp(v, 3))
case("LpPool", 18, NEW, [x], {"kernel_shape": [2, 2], "dilations": [2, 2], "p": 1})
case("LpPool", 18, NEW, [x], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1, "p": 1})
case("MaxPool", 8, NEW, [x], {"kernel_shape": [3, 2], "strides": [2, 2]}, None, 2)
case("MaxPool", 8, NEW, [x], {"kernel_shape": [3, 2], "storage_order": 1}, None, 2)
case("MaxPool", 8, NEW, [x], {"kernel_shape": [3, 2], "storage_order": 1, "pads": [1, 1, 0, 0]},
     None, 2)
for op in ("MaxPool", "AveragePool"):
    for more in ({}, {"pads": [1, 1, 1, 1]}, {"pads": [0, 1, 1, 0]}):
        case(op, 10, NEW, [x], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, **more})
case("AveragePool", 10, NEW, [x], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1,
                                   "pads": [1, 1, 1, 1], "count_include_pad": 1})
case("MaxPool", 10, NEW, [x], {"kernel_shape": [3, 2], "dilations": [2, 3], "strides": [1, 2]})
case("MaxPool", 10, NEW, [x], {"kernel_shape": [3, 2], "dilations": [2, 1], "pads": [1, 0, 1, 1],
                               "storage_order": 0}, None, 2)
case("AveragePool", 19, NEW, [x], {"kernel_shape": [3, 2], "dilations": [2, 3]})
case("AveragePool", 19, NEW, [x], {"kernel_shape": [3, 2], "dilations": [2, 1],
                                   "pads": [1, 0, 1, 1], "count_include_pad": 1}, "reference")
case("MaxPool", 12, NEW, [ints(0, 255, 1, 2, 5, 5, dtype=np.uint8)], {"kernel_shape": [2, 2]})
case("MaxPool", 1, NEW, [f(2, 3, 9)], {"kernel_shape": [3], "strides": [2]})
case("MaxPool", 1, NEW, [f(1, 2, 4, 5, 6)], {"kernel_shape": [2, 2, 3]})
for op in ("GlobalAveragePool", "GlobalMaxPool"):
    case(op, 1, NEW, [x])
    case(op, 1, NEW, [f(2, 3, 5)])


def glp(p):
    return lambda v: ((np.abs(v.astype(np.float64)) ** p).sum((2, 3), keepdims=True) ** (1 / p)
                      ).astype(np.float32)


case("GlobalLpPool", 1, 1, [x], {}, glp(2))
case("GlobalLpPool", 1, 1, [x], {"p": 3.0}, glp(3))
case("GlobalLpPool", 1, 1, [x], {"p": 1.5}, glp(1.5))
case("GlobalLpPool", 2, NEW, [x], {}, glp(2))
case("GlobalLpPool", 2, NEW, [x], {"p": 3}, glp(3))
up = [np.float32([[[[1, 2], [3, 4]]]]), np.array([[[[5, 7], [13, 15]]]])]
case("MaxUnpool", 9, NEW, up, {"kernel_shape": [2, 2], "strides": [2, 2]})
case("MaxUnpool", 9, NEW, [up[0], np.array([[[[1, 5], [11, 15]]]])],
     {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]})
case("MaxUnpool", 9, NEW, up + [i64(1, 1, 5, 5)], {"kernel_shape": [2, 2], "strides": [2, 2]},
     "reference")

# ---- Normalisation ----


def bn(x, s, b, m, v, eps=np.float32(1e-5)):
    s, b, m, v = (a.reshape((1, -1) + (1,) * (x.ndim - 2)) for a in (s, b, m, v))
    return ((x - m) / np.sqrt(v + eps) * s + b).astype(np.float32)


def bn_train(x, s, b, m, v, eps=np.float32(1e-5), k=0.9):
    axes = (0,) + tuple(range(2, x.ndim))
    mean, var = x.mean(axes), x.var(axes)
    return [bn(x, s, b, mean, var, eps), (k * m + (1 - k) * mean).astype(np.float32),
            (k * v + (1 - k) * var).astype(np.float32)]


five = [f(2, 3, 4, 5), f(3), f(3), f(3), pos(3)]
wide = [f(2, 3, 4, 5), f(3, 4, 5), f(3, 4, 5), f(3, 4, 5), pos(3, 4, 5)]
test = {"is_test": 1}
case("BatchNormalization", 1, 1, five, {"consumed_inputs": [0, 0, 0, 1, 1], **test}, bn)
case("BatchNormalization", 1, 1, five, {"consumed_inputs": [0, 0, 0, 1, 1], "epsilon": 0.1, **test},
     lambda *a: bn(*a, eps=0.1))
case("BatchNormalization", 6, 6, five, test, bn)
case("BatchNormalization", 6, 6, five, {"epsilon": 0.1, "momentum": 0.8, **test},
     lambda *a: bn(*a, eps=0.1))


def bn_wide(x, s, b, m, v):
    return ((x - m) / np.sqrt(v + np.float32(1e-5)) * s + b).astype(np.float32)


def bn_wide_train(x, s, b, m, v):
    return bn_wide(x, s, b, x.mean(0), x.var(0))


case("BatchNormalization", 1, 1, wide, {"consumed_inputs": [0] * 5, "spatial": 0, **test}, bn_wide)
case("BatchNormalization", 6, 6, wide, {"spatial": 0, **test}, bn_wide)
case("BatchNormalization", 7, 7, wide, {"spatial": 0}, bn_wide)
case("BatchNormalization", 6, 6, five, {}, bn)  # the number of outputs says: no training
case("BatchNormalization", 6, 6, five, {"is_test": 0, "momentum": 0.7},
     lambda *a: bn_train(*a, k=0.7), 3)
case("BatchNormalization", 7, 9, five, {"momentum": 0.7, "epsilon": 0.1},
     lambda *a: bn_train(*a, k=0.7, eps=0.1), 3)
case("BatchNormalization", 7, NEW, five, {"momentum": 0.7, "epsilon": 0.1},
     lambda *a: bn(*a, eps=0.1))
case("BatchNormalization", 7, NEW, [f(4, 3)] + five[1:])
case("BatchNormalization", 14, NEW, five, {"training_mode": 1, "momentum": 0.7, "epsilon": 0.1},
     lambda *a: bn_train(*a, k=0.7, eps=0.1), 3)
case("InstanceNormalization", 1, 1, five[:3], {"consumed_inputs": [0, 0, 0], "epsilon": 0.1},
     lambda x, s, b: ((x - x.mean((2, 3), keepdims=True)) /
                      np.sqrt(x.var((2, 3), keepdims=True) + 0.1) * s[:, None, None] +
                      b[:, None, None]).astype(np.float32))
case("InstanceNormalization", 6, NEW, five[:3])
case("InstanceNormalization", 6, NEW, five[:3], {"epsilon": 0.1})


def group(per_channel):
    def run(x, s, b, g=2, eps=0.1):
        y = x.reshape(x.shape[0], g, -1)
        y = (y - y.mean(2, keepdims=True)) / np.sqrt(y.var(2, keepdims=True) + eps)
        y = y.reshape(x.shape)
        if not per_channel:
            s, b = np.repeat(s, x.shape[1] // g), np.repeat(b, x.shape[1] // g)
        return (y * s[:, None, None] + b[:, None, None]).astype(np.float32)
    return run


case("GroupNormalization", 18, 20, [f(2, 4, 3, 2), f(2), f(2)], {"num_groups": 2, "epsilon": 0.1},
     group(False))
case("GroupNormalization", 21, NEW, [f(2, 4, 3, 2), f(4), f(4)],
     {"num_groups": 2, "epsilon": 0.1, "stash_type": 1}, group(True))
case("LayerNormalization", 17, NEW, [f(2, 3, 4), f(4), f(4)])
case("LayerNormalization", 17, NEW, [f(2, 3, 4), f(3, 4)],
     {"axis": 1, "epsilon": 0.1, "stash_type": 1}, None, 3)
case("RMSNormalization", 23, NEW, [f(2, 3, 4), f(3, 4)], {"axis": 1, "epsilon": 0.1,
                                                         "stash_type": 1})
case("RMSNormalization", 23, NEW, [f(2, 3, 4), f(4)])
case("LRN", 1, NEW, [f(2, 7, 3, 2)], {"size": 3})
case("LRN", 1, NEW, [f(2, 7, 3, 2)], {"size": 5, "alpha": 0.3, "beta": 0.5, "bias": 2.0})


def lrn(x, size=4):  # an even size: one neighbour more after than before
    c = x.shape[1]
    total = np.stack([np.square(x[:, max(0, i - (size - 1) // 2):min(c, i + size // 2 + 1)]).sum(1)
                      for i in range(c)], 1)
    return (x / np.sqrt(2 + 0.3 / size * total)).astype(np.float32)


case("LRN", 1, NEW, [f(2, 7, 3, 2)], {"size": 4, "alpha": 0.3, "beta": 0.5, "bias": 2.0}, lrn)
case("MeanVarianceNormalization", 9, NEW, [f(2, 3, 4, 5)])
case("MeanVarianceNormalization", 9, NEW, [f(2, 3, 4)], {"axes": [0, -1]})
case("LpNormalization", 1, NEW, [f(2, 3, 4)])
case("LpNormalization", 1, NEW, [f(2, 3, 4)], {"axis": 1, "p": 1})
case("LpNormalization", 22, NEW, [np.zeros((2, 3), np.float32)], {"p": 1},
     lambda v: v)
case("LpNormalization", 22, NEW, [np.zeros((2, 3), np.float32)], {}, lambda v: v)
for op in ("Softmax", "LogSoftmax", "Hardmax"):
    for axis in (0, 1, 2):
        case(op, 1, NEW, [f(2, 3, 4)], {"axis": axis})
    case(op, 1, NEW, [f(2, 3, 4)])
    case(op, 11, NEW, [f(2, 3, 4)], {"axis": -2})
for v, mask in ((1, np.float32), (6, np.float32), (7, np.float32), (10, bool)):
    k = {1: {"is_test": 1, "consumed_inputs": [0]}, 6: {"is_test": 1}}.get(v, {})
    case("Dropout", v, v, [f(2, 3)], {"ratio": 0.3, **k}, lambda x: x)
    case("Dropout", v, v, [f(2, 3)], {"ratio": 0.3, **k},
         lambda x, m=mask: [x, np.ones_like(x, m)], 2)
case("Dropout", 12, NEW, [f(2, 3)], {"seed": 3}, lambda x: [x, np.ones(x.shape, bool)], 2)
case("Dropout", 12, NEW, [f(2, 3), num(0.3)], {}, lambda x, r: x)
case("Dropout", 12, NEW, [f(2, 3), num(0.3), num(False, bool)], {}, lambda x, r, t: x)
case("Dropout", 12, NEW, [f(2, 3), num(0.0), num(True, bool)], {},
     lambda x, r, t: [x, np.ones(x.shape, bool)], 2)
for v in (1, 6):
    k = {"consumed_inputs": [0]} if v == 1 else {}
    case("Dropout", v, v, [f(2, 3)], {"ratio": 0.3, **k}, lambda x: [x, x], 2)
    case("Dropout", v, v, [f(2, 3)], {"ratio": 0.0, **k}, lambda x: [x, np.ones_like(x)], 2)
case("Dropout", 12, NEW, [f(2, 3), num(0.3), num(True, bool)], {"seed": 3},
     lambda x, r, t: [x, np.ones(x.shape, bool)], 2)
case("Dropout", 12, NEW, [f(2, 3), np.array(0.3, np.float32), num(True, bool)], {},
     lambda x, r, t: [x, np.ones(x.shape, bool)], 2)
logits, labels = f(3, 5, 2), ints(0, 5, 3, 2)
for reduction in ("none", "mean", "sum"):
    for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
        case(op, 12, NEW, [logits, labels], {"reduction": reduction})
        case(op, 12, NEW, [logits, labels, pos(5)], {"reduction": reduction, "ignore_index": 2})
case("SoftmaxCrossEntropyLoss", 12, NEW, [logits, labels], {}, None, 2)

# ---- Images ----

img = f(1, 2, 4, 5)
case("Upsample", 1, 1, [img], {"height_scale": 2.0, "width_scale": 1.6},
     lambda v: v[:, :, [0, 0, 1, 1, 2, 2, 3, 3]][:, :, :, [0, 0, 1, 1, 2, 3, 3, 4]])
case("Upsample", 1, 1, [img], {"height_scale": 1.0, "width_scale": 2.0, "mode": "bilinear"},
     lambda v: np.stack([v[..., j // 2] if j % 2 == 0 else
                         (v[..., j // 2] + v[..., min(j // 2 + 1, 4)]) / 2 for j in range(10)], -1))
for mode in ("nearest", "linear"):
    s4 = [1.0, 1.0, 2.0, 1.6]
    case("Upsample", 7, 7, [img], {"scales": s4, "mode": mode})
    case("Upsample", 9, 9, [img, Init(np.float32(s4))], {"mode": mode})
    case("Resize", 10, 10, [img, Init(np.float32(s4))], {"mode": mode})
    case("Resize", 10, 10, [img, Init(np.float32([1, 1, 0.6, 0.5]))], {"mode": mode})
for mode in ("nearest", "linear", "cubic"):
    for way in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
        # of scales that give no whole size, align_corners counts the fraction, as the standard's
        # own tests do and ONNX Runtime does not
        case("Resize", 11, NEW, [img, None, Init(np.float32([1, 1, 0.6, 1.7]))],
             {"mode": mode, "coordinate_transformation_mode": way},
             "reference" if way == "align_corners" else None)
        case("Resize", 13, NEW, [img, None, None, i64(1, 2, 3, 8)],
             {"mode": mode, "coordinate_transformation_mode": way})
case("Resize", 11, 11, [img, Init(np.zeros(0, np.float32)), Init(np.float32([1, 1, 0.6, 1.7]))],
     {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn"}, "onnxruntime")
for rule in ("round_prefer_ceil", "floor", "ceil"):
    case("Resize", 11, NEW, [img, None, Init(np.float32([1, 1, 0.6, 1.7]))],
         {"nearest_mode": rule, "coordinate_transformation_mode": "asymmetric"})
case("Resize", 11, NEW, [img, None, Init(np.float32([1, 1, 0.6, 1.7]))],
     {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1})
case("Resize", 11, NEW, [img, Init(np.float32([0, 0, 0.2, -0.1, 1, 1, 0.9, 1.2])),
                         Init(np.float32([1, 1, 0.5, 1.2]))],
     {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize",
      "extrapolation_value": 5.0})
case("Resize", 18, NEW, [img, None, Init(np.float32([0.6, 0.5]))],
     {"mode": "linear", "antialias": 1, "axes": [2, 3]})
case("Resize", 18, NEW, [img, None, None, i64(3, 7)],
     {"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger", "mode": "linear"})
case("Resize", 18, NEW, [img, None, None, i64(3, 7)],
     {"axes": [2, 3], "keep_aspect_ratio_policy": "not_smaller", "mode": "nearest"})
case("Resize", 18, NEW, [img, None, Init(np.float32([2, 3]))], {"axes": [-2, -1]},
     lambda v, r, s: v.repeat(2, 2).repeat(3, 3))
case("Resize", 19, NEW, [img, None, Init(np.float32([1, 1, 0.6, 1.7]))],
     {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"})
grid = (f(1, 3, 4, 2) * 0.7).astype(np.float32)


def cubic_border(align):
    return lambda v, g: run_node("GridSample", 20, [v, g], {
        "mode": "cubic", "padding_mode": "border", "align_corners": align}, ReferenceEvaluator)


for first, last, modes in ((16, 19, ("bilinear", "nearest", "bicubic")),
                           (20, NEW, ("linear", "nearest", "cubic"))):
    for mode in modes:
        for padding in ("zeros", "border", "reflection"):
            for align in (0, 1):
                # cubic of the border: ONNX Runtime clamps each element, the reference the place
                case("GridSample", first, last, [img, grid],
                     {"mode": mode, "padding_mode": padding, "align_corners": align},
                     cubic_border(align) if mode in ("bicubic", "cubic") and padding == "border"
                     else None)
for align in (0, 1):
    case("AffineGrid", 20, NEW, [f(2, 2, 3), i64(2, 3, 4, 5)], {"align_corners": align})
case("CenterCropPad", 18, NEW, [f(5, 4, 3), i64(3, 6)], {"axes": [0, -1]})
case("CenterCropPad", 18, NEW, [f(5, 4), i64(2, 7)])
case("Col2Im", 18, NEW, [f(1, 5, 5), i64(5, 5), i64(1, 5)])
case("Col2Im", 18, NEW, [f(1, 4, 12), i64(5, 5), i64(2, 2)],
     {"pads": [0, 1, 0, 1], "dilations": [2, 3]})
case("Col2Im", 18, NEW, [f(1, 9, 4), i64(5, 5), i64(3, 3)], {"strides": [2, 2]})
rois = np.float32([[0.5, 0.2, 3.4, 3.1], [1, 1, 2.5, 3.5]])
for first, last, more in ((10, 10, {}), (16, NEW, {}),
                          (16, NEW, {"coordinate_transformation_mode": "output_half_pixel"})):
    case("RoiAlign", first, last, [img, rois, np.array([0, 0])],
         {"output_height": 3, "output_width": 2, "sampling_ratio": 2, "spatial_scale": 0.8, **more})
    k = {"output_height": 3, "output_width": 2, "sampling_ratio": 2, "mode": "max", **more}
    case("RoiAlign", first, last, [img, rois, np.array([0, 0])], k,
         lambda *v, k=k, at=min(first, 16): run_node("RoiAlign", at, v, k))
    case("RoiAlign", first, last, [img, Init(rois), np.array([0, 0])],
         {"output_height": 2, "output_width": 2, **more})
for scale, places in ((1.0, [[0, 0, 0, 7, 5], [1, 2, 1, 6, 6]]),
                      (0.5, [[0, 0, 0, 14, 10], [1, 4, 2, 12, 12]])):
    k = {"pooled_shape": [2, 3], "spatial_scale": scale}
    case("MaxRoiPool", 1, NEW, [f(2, 3, 8, 9), Init(np.float32(places))], k,
         lambda x, r, k=k: run_node("MaxRoiPool", 7, [x, r], k))
deform = [f(1, 4, 5, 6), f(6, 2, 3, 2), f(1, 24, 3, 5), f(6), pos(1, 12, 3, 5)]
case("DeformConv", 19, NEW, deform, {"group": 2, "offset_group": 2, "kernel_shape": [3, 2]})
case("DeformConv", 19, NEW, deform[:2] + [f(1, 12, 3, 7)],
     {"group": 2, "strides": [2, 1], "pads": [1, 0, 1, 2], "dilations": [1, 1]})
case("DeformConv", 19, NEW, deform[:2] + [f(1, 12, 1, 4)],
     {"group": 2, "dilations": [2, 2]})
for mode, axis in (("linear", -2), ("circular", 2), ("linear", 1)):
    case("TensorScatter", 24, NEW, [f(2, 4, 4, 3), f(*{1: (2, 2, 4, 3)}.get(axis, (2, 4, 2, 3))),
                                    np.array([1, 2 if mode == "linear" else 3])],
         {"mode": mode, "axis": axis})
case("TensorScatter", 24, NEW, [f(2, 4, 3), f(2, 2, 3)])

# ---- Signals ----

for op in ("BlackmanWindow", "HammingWindow", "HannWindow"):
    case(op, 17, NEW, [num(9, np.int64)])
    case(op, 17, NEW, [num(9, np.int32)], {"periodic": 0, "output_datatype": 11})
case("MelWeightMatrix", 17, NEW, [num(v, t) for v, t in (
    (8, np.int64), (16, np.int64), (8192, np.int64), (0, np.float32), (4096, np.float32))])
case("MelWeightMatrix", 17, NEW, [num(v, t) for v, t in (
    (8, np.int64), (16, np.int64), (8192, np.int64), (0, np.float32), (4096, np.float32))],
     {"output_datatype": 11})
sig = f(2, 10, 3, 1)
case("DFT", 17, 19, [sig], {}, "reference")
case("DFT", 17, 19, [sig], {"axis": 2, "onesided": 1}, "reference")
case("DFT", 17, 19, [f(2, 10, 2), num(7, np.int64)], {"inverse": 1}, "reference")
case("DFT", 20, NEW, [sig], {}, "reference")
case("DFT", 20, NEW, [sig, num(6, np.int64), num(1, np.int64)], {"onesided": 1}, "reference")
case("DFT", 20, NEW, [f(2, 10, 2)], {"inverse": 1}, "reference")
case("STFT", 17, NEW, [f(2, 32, 1), num(8, np.int64), np.hanning(16).astype(np.float32)],
     {}, "reference")
case("STFT", 17, NEW, [f(2, 32, 1), num(8, np.int64), None, num(16, np.int64)],
     {"onesided": 0}, "reference")
case("BitCast", 26, NEW, [f(2, 3)], {"to": 6}, lambda v: v.view(np.int32))

# ---- Random numbers: dtype and shape count ----

case("Bernoulli", 15, NEW, [pos(2, 3)], {"dtype": 6, "seed": 1.0},
     lambda v: np.zeros(v.shape, np.int32))
case("Bernoulli", 15, NEW, [pos(2, 3)], {}, lambda v: np.zeros(v.shape, np.float32))
case("Multinomial", 7, NEW, [f(2, 3)], {"dtype": 7, "sample_size": 4, "seed": 1.0},
     lambda v: np.zeros((2, 4), np.int64))
case("Multinomial", 7, NEW, [f(2, 3)], {}, lambda v: np.zeros((2, 1), np.int32))
for op, more in (("RandomNormal", {"mean": 2.0, "scale": 3.0}), ("RandomUniform", {
        "low": -1.0, "high": 4.0})):
    case(op, 1, NEW, [], {"shape": [2, 3], "dtype": 11, "seed": 1.0, **more},
         lambda: np.zeros((2, 3)))
    case(op, 1, NEW, [], {"shape": [2, 3]}, lambda: np.zeros((2, 3), np.float32))
    case(op + "Like", 1, NEW, [f(2, 3)], {"dtype": 11, "seed": 1.0, **more},
         lambda v: np.zeros((2, 3)))
    case(op + "Like", 1, NEW, [f(2, 3)], {}, lambda v: np.zeros((2, 3), np.float32))

# ---- Quantized ----


def q(*shape, t=np.uint8):
    return ints(np.iinfo(t).min, np.iinfo(t).max + 1, *shape, dtype=t)


case("QuantizeLinear", 10, NEW, [10 * f(3, 4), num(0.13), num(7, np.uint8)])
case("QuantizeLinear", 10, NEW, [10 * f(3, 4), num(0.13)])
case("QuantizeLinear", 10, NEW, [10 * f(3, 4), num(0.13), num(-7, np.int8)])
case("QuantizeLinear", 10, NEW, [np.float32(3.3), num(0.13), num(7, np.uint8)])
case("QuantizeLinear", 13, NEW, [10 * f(3, 4), Init(pos(4)), Init(q(4))])
case("QuantizeLinear", 13, NEW, [10 * f(3, 4), Init(pos(3)), Init(q(3))], {"axis": 0})
case("QuantizeLinear", 13, NEW, [10 * f(2, 3, 4), Init(pos(4)), Init(q(4))], {"axis": -1})
case("QuantizeLinear", 19, NEW, [10 * f(3, 4), num(0.13), num(7, np.uint8)], {"saturate": 0})
case("QuantizeLinear", 21, NEW, [10 * f(3, 4), Init(pos(3, 2)), Init(q(3, 2))],
     {"axis": 1, "block_size": 2})
case("QuantizeLinear", 21, NEW, [10 * f(3, 4), num(0.13)], {"output_dtype": 3})
case("QuantizeLinear", 21, NEW, [10 * f(3, 4), num(0.01)], {"output_dtype": 4})
case("QuantizeLinear", 23, NEW, [10 * f(3, 4), num(0.13)], {"precision": 1},
     lambda x, s: np.clip(np.rint(x / s), 0, 255).astype(np.uint8))
for t in (np.uint8, np.int8, np.int32):
    zero = num(0 if t == np.int32 else 7, t)
    x = q(3, 4, t=t) if t != np.int32 else ints(-999, 999, 3, 4, dtype=t)
    case("DequantizeLinear", 10, NEW, [x, num(0.13), zero])
    case("DequantizeLinear", 10, NEW, [x, num(0.13)])
case("DequantizeLinear", 13, NEW, [q(3, 4), Init(pos(4)), Init(q(4))])
case("DequantizeLinear", 13, NEW, [q(3, 4), Init(pos(3)), Init(q(3))], {"axis": -2})
case("DequantizeLinear", 19, NEW, [q(3, 4), num(0.13, np.float16), num(7, np.uint8)])
case("DequantizeLinear", 21, NEW, [q(3, 4), Init(pos(2, 4)), Init(q(2, 4))],
     {"axis": 0, "block_size": 2})
case("DequantizeLinear", 23, NEW, [q(3, 4), num(0.13), num(7, np.uint8)], {"output_dtype": 10},
     lambda x, s, z: ((x.astype(np.float32) - 7) * s).astype(np.float16))
case("DequantizeLinear", 23, NEW, [q(3, 4), num(0.13, np.float16)], {"output_dtype": 1},
     lambda x, s: x.astype(np.float32) * np.float32(s))
case("DynamicQuantizeLinear", 11, NEW, [f(3, 4)], {}, None, 3)
case("MatMulInteger", 10, NEW, [q(3, 4), q(4, 5)])
case("MatMulInteger", 10, NEW, [q(3, 4), q(4, 5, t=np.int8), num(7, np.uint8), num(-3, np.int8)])
case("MatMulInteger", 10, NEW, [q(3, 4), q(4, 5), num(7, np.uint8), Init(q(5))])
xi, wi = q(1, 4, 5, 6), q(6, 2, 3, 2)
for more in ({}, {"kernel_shape": [3, 2], "strides": [2, 1]}, {"pads": [1, 0, 2, 1]},
             {"dilations": [2, 3]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}):
    case("ConvInteger", 10, NEW, [xi, wi, num(7, np.uint8), num(9, np.uint8)],
         {"group": 2, **more})
    case("QLinearConv", 10, NEW, [xi, num(0.1), num(7, np.uint8), Init(wi), num(0.05),
                                  num(9, np.uint8), num(1.5), num(100, np.uint8),
                                  Init(ints(-500, 500, 6, dtype=np.int32))],
         {"group": 2, **more})
case("QLinearMatMul", 10, NEW, [q(3, 4), num(0.1), num(7, np.uint8), q(4, 5), num(0.05),
                                num(9, np.uint8), num(0.9), num(100, np.uint8)])
case("QLinearMatMul", 10, NEW, [q(3, 4), num(0.1), num(7, np.uint8), Init(q(4, 5)), Init(pos(5)),
                                Init(q(5)), num(3.0), num(100, np.uint8)])

# ---- Attention, sequences ----

qkv = [f(2, 4, 3, 6), f(2, 2, 5, 6), f(2, 2, 5, 6)]
case("Attention", 23, NEW, qkv)
case("Attention", 23, NEW, qkv, {"is_causal": 1, "scale": 0.3, "softcap": 2.0,
                                 "softmax_precision": 1})
case("Attention", 23, NEW, [f(2, 3, 24), f(2, 5, 12), f(2, 5, 12),
                            bools(3, 5) | np.eye(3, 5, dtype=bool)],
     {"q_num_heads": 4, "kv_num_heads": 2})
for mode in range(4):
    case("Attention", 23, NEW, qkv + [f(3, 7), f(2, 2, 2, 6), f(2, 2, 2, 6)],
         {"qk_matmul_output_mode": mode, "softcap": 1.5}, None, 4)
case("Attention", 24, NEW, qkv + [None, None, None, np.array([3, 5])])
rot = [f(2, 3, 5, 8), f(9, 4), f(9, 4), ints(0, 9, 2, 5)]
case("RotaryEmbedding", 23, NEW, rot)
case("RotaryEmbedding", 23, NEW, rot, {"interleaved": 1})
case("RotaryEmbedding", 23, NEW, [f(2, 5, 24)] + rot[1:], {"num_heads": 3})
case("RotaryEmbedding", 23, NEW, [f(2, 3, 5, 8), f(9, 2), f(9, 2), rot[3]],
     {"rotary_embedding_dim": 4})
case("RotaryEmbedding", 23, NEW, [f(2, 3, 5, 8), f(2, 5, 4), f(2, 5, 4)])
for act in ("none", "silu"):
    case("CausalConvWithState", 27, NEW, [f(2, 3, 6), f(3, 1, 4), f(3), f(2, 3, 3)],
         {"activation": act}, None, 2)


def linear_attention(rule, scale=0.0):
    def run(q, k, v, s, g=None, b=None):
        h, B, T = 2, q.shape[0], q.shape[1]
        q, k, v = (a.reshape(B, T, h, -1).transpose(0, 2, 1, 3) for a in (q, k, v))
        g = None if g is None else g.reshape(B, T, h, -1).transpose(0, 2, 1, 3)
        b = None if b is None else b.reshape(B, T, h, 1).transpose(0, 2, 1, 3)
        s, out = s.astype(np.float64), []
        for t in range(T):
            if rule in ("gated", "gated_delta"):
                s = np.exp(g[:, :, t])[..., None] * s
            kt, vt = k[:, :, t], v[:, :, t]
            if rule in ("delta", "gated_delta"):
                vt = b[:, :, t] * (vt - np.einsum("bhkv,bhk->bhv", s, kt))
            s = s + kt[..., None] * vt[..., None, :]
            c = scale or q.shape[-1] ** -0.5
            out.append(c * np.einsum("bhkv,bhk->bhv", s, q[:, :, t]))
        y = np.stack(out, 2).transpose(0, 2, 1, 3).reshape(B, T, -1)
        return [y.astype(np.float32), s.astype(np.float32)]
    return run


seq = [f(2, 5, 8), f(2, 5, 8), f(2, 5, 6), f(2, 2, 4, 3)]
heads = {"q_num_heads": 2, "kv_num_heads": 2}
decay, beta = -pos(2, 5, 8), pos(2, 5, 2)
for rule, more in (("linear", []), ("gated", [decay]), ("delta", [None, beta]),
                   ("gated_delta", [decay, beta])):
    case("LinearAttention", 27, NEW, seq + more, {**heads, "update_rule": rule},
         linear_attention(rule), 2)
# inputs that the rule does not have
case("LinearAttention", 27, NEW, seq + [decay, beta], {**heads, "update_rule": "linear",
                                                       "scale": 0.7, "chunk_size": 16},
     linear_attention("linear", 0.7), 2)
case("LinearAttention", 27, NEW, seq + [decay, beta], {**heads, "update_rule": "gated"},
     linear_attention("gated"), 2)
case("LinearAttention", 27, NEW, seq + [decay, beta], {**heads, "update_rule": "delta"},
     linear_attention("delta"), 2)
