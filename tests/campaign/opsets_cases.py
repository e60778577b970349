"""The cases of opsets.py: an operator, the versions from..to of it, inputs, attributes off their
default, and what is expected where old versions mean something of their own (else None: what ONNX
Runtime or the reference evaluator of onnx say)."""
import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

rng = np.random.default_rng(11)
CASES = []
NEW = 99  # to the newest version


class Init:
    """An input that is an initializer."""

    def __init__(self, value):
        self.value = np.asarray(value)


def case(op, first, last, inputs, attrs=None, want=None, outputs=1):
    CASES.append((op, first, last, inputs, attrs or {}, want, outputs))


def f(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def pos(*shape):
    return (rng.random(shape) + 0.25).astype(np.float32)


def unit(*shape):
    return (rng.random(shape) * 1.6 - 0.8).astype(np.float32)


def ints(low, high, *shape, dtype=np.int64):
    return rng.integers(low, high, shape).astype(dtype)


def bools(*shape):
    return rng.random(shape) < 0.5


def i64(*v):
    return Init(np.array(v, np.int64))


def num(v, dtype=np.float32):
    return Init(np.array(v, dtype))


def run_node(op, opset, arrays, attrs, evaluator=None):
    """ONNX Runtime, or the reference evaluator, on one node of this opset."""
    names = [f"x{i}" for i in range(len(arrays))]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attrs)], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
         for n, a in zip(names, arrays)], [helper.make_empty_tensor_value_info("y")])
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if evaluator:
        return evaluator(m).run(None, dict(zip(names, arrays)))
    s = onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
    return s.run(None, dict(zip(names, arrays)))


# ---- Element by element ----

SIMPLE = {
    "Abs": f, "Acos": unit, "Acosh": lambda *s: 1 + pos(*s), "Asin": unit, "Asinh": f, "Atan": f,
    "Atanh": unit, "Ceil": f, "Cos": f, "Cosh": f, "Erf": f, "Exp": f, "Floor": f, "HardSwish": f,
    "Identity": f, "Log": pos, "Mish": f, "Neg": f, "Reciprocal": pos, "Relu": f, "Round": f,
    "Sigmoid": f, "Sign": f, "Sin": f, "Sinh": f, "Softplus": f, "Softsign": f, "Sqrt": pos,
    "Tan": unit, "Tanh": f,
}
INPLACE = ("Abs Ceil Exp Floor Log Neg Reciprocal Relu Sigmoid Sqrt Tanh Elu HardSigmoid LeakyRelu "
           "Selu Clip").split()
for op, draw in SIMPLE.items():
    case(op, 1, NEW, [draw(2, 3, 4)])
for op in INPLACE[:11]:
    x = SIMPLE[op](3, 2)
    case(op, 1, 1, [x], {"consumed_inputs": [0]}, {
        "Abs": np.abs, "Ceil": np.ceil, "Exp": np.exp, "Floor": np.floor, "Log": np.log,
        "Neg": np.negative, "Reciprocal": lambda x: 1 / x, "Relu": lambda x: np.maximum(x, 0),
        "Sigmoid": lambda x: 1 / (1 + np.exp(-x)), "Sqrt": np.sqrt, "Tanh": np.tanh}[op])
for op in ("Abs", "Neg", "Sign"):
    case(op, 6, NEW, [ints(-9, 9, 3, 4, dtype=np.int32)])
    case(op, 6, NEW, [ints(-9, 9, 3, 4, dtype=np.int8)])
case("Relu", 14, NEW, [ints(-9, 9, 3, 4, dtype=np.int32)])
case("Not", 1, NEW, [bools(2, 3)])
case("IsNaN", 9, NEW, [np.array([1, np.nan, np.inf], np.float32)])
edge = np.array([1, np.nan, np.inf, -np.inf], np.float32)
case("IsInf", 10, NEW, [edge])
case("IsInf", 10, NEW, [edge], {"detect_negative": 0})
case("IsInf", 10, NEW, [edge], {"detect_positive": 0})
case("IsInf", 10, NEW, [edge], {"detect_positive": 0, "detect_negative": 0})
x = f(2, 3, 4)
case("Elu", 1, 1, [x], {"alpha": 0.7, "consumed_inputs": [0]},
     lambda x: np.where(x < 0, np.float32(0.7) * np.expm1(x), x))
case("Elu", 6, NEW, [x], {"alpha": 0.7})
case("LeakyRelu", 1, 1, [x], {"alpha": 0.3, "consumed_inputs": [0]},
     lambda x: np.where(x < 0, np.float32(0.3) * x, x))
case("LeakyRelu", 1, NEW, [x], {}, lambda x: np.where(x < 0, np.float32(0.01) * x, x))
case("LeakyRelu", 6, NEW, [x], {"alpha": 0.3})


def selu(a, g):
    return lambda x: (np.float32(g) * np.where(x > 0, x, a * np.expm1(x))).astype(np.float32)


case("Selu", 1, 1, [x - 3], {}, selu(1.6732, 1.0507))
case("Selu", 1, 1, [x], {"alpha": 2.0, "gamma": 0.5, "consumed_inputs": [0]}, selu(2, 0.5))
case("Selu", 6, NEW, [x], {}, selu(1.6732631921768188, 1.0507010221481323))
case("Selu", 6, NEW, [x], {"alpha": 2.0, "gamma": 0.5})
case("HardSigmoid", 1, 1, [x], {"alpha": 0.5, "beta": 0.3, "consumed_inputs": [0]},
     lambda x: np.clip(np.float32(0.5) * x + np.float32(0.3), 0, 1))
case("HardSigmoid", 1, NEW, [3 * x], {}, lambda x: np.clip(np.float32(0.2) * x + 0.5, 0, 1
                                                          ).astype(np.float32))
case("HardSigmoid", 6, NEW, [x], {"alpha": 0.5, "beta": 0.3})
case("Celu", 12, NEW, [x], {"alpha": 0.7})
case("ThresholdedRelu", 10, NEW, [x])
case("ThresholdedRelu", 10, NEW, [x], {"alpha": 0.2})
case("Shrink", 9, NEW, [2 * x])
case("Shrink", 9, NEW, [2 * x], {"lambd": 0.9, "bias": 0.4})
case("Shrink", 9, NEW, [ints(-5, 5, 3, 4, dtype=np.int32)], {"lambd": 1.5, "bias": 1.0})
case("Swish", 24, NEW, [x])
case("Swish", 24, NEW, [x], {"alpha": 0.4})
case("Gelu", 20, NEW, [x])
case("Gelu", 20, NEW, [x], {"approximate": "tanh"})
case("Clip", 1, 1, [x], {"min": -0.2, "max": 0.3, "consumed_inputs": [0]},
     lambda x: np.clip(x, np.float32(-0.2), np.float32(0.3)))
case("Clip", 1, 6, [x], {"min": -0.2, "max": 0.3},
     lambda x: np.clip(x, np.float32(-0.2), np.float32(0.3)))
case("Clip", 1, 6, [x], {"min": 0.1}, lambda x: np.maximum(x, np.float32(0.1)))
case("Clip", 1, 6, [x], {"max": 0.1}, lambda x: np.minimum(x, np.float32(0.1)))
case("Clip", 1, 6, [x], {"min": 1.0, "max": -1.0}, lambda x: np.full_like(x, -1))
case("Clip", 6, 6, [np.array([np.inf, -np.inf, 1], np.float32)], {},
     lambda x: np.clip(x, -np.finfo(np.float32).max, np.finfo(np.float32).max))
case("Clip", 11, NEW, [x, num(-0.2), num(0.3)])
case("Clip", 11, NEW, [x, None, num(0.3)])
case("Clip", 11, NEW, [x, np.array(-0.2, np.float32)])
case("Clip", 11, NEW, [x, num(1.0), num(-1.0)])
case("Clip", 12, NEW, [ints(-9, 9, 3, 4, dtype=np.int32), num(-2, np.int32), num(3, np.int32)])

# Arithmetic before opset 7: no broadcasting unless asked for, from an axis on or at the end.
ARITH = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide,
         "Pow": np.power, "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor,
         "Equal": np.equal, "Greater": np.greater, "Less": np.less}


def old(fn, axis=None):
    def run(a, b):
        if axis is not None and b.ndim:
            k = axis % a.ndim
            b = b.reshape(b.shape + (1,) * (a.ndim - k - b.ndim))
        return fn(a, b)
    return run


for op, fn in ARITH.items():
    logic, equal = op in ("And", "Or", "Xor"), op == "Equal"

    def two(a, b):
        if logic:
            return [bools(*a), bools(*b)]
        if equal:
            return [ints(0, 3, *a, dtype=np.int32), ints(0, 3, *b, dtype=np.int32)]
        return [pos(*a), pos(*b)]
    case(op, 1, 6, two((2, 3, 4), (2, 3, 4)), {}, fn)
    if op in ("Add", "Sub", "Mul", "Div"):
        case(op, 1, 1, two((2, 3), (2, 3)), {"consumed_inputs": [0, 0]}, fn)
    case(op, 1, 6, two((2, 3, 4), (3, 4)), {"broadcast": 1}, fn)
    case(op, 1, 6, two((2, 3, 4), (1,)), {"broadcast": 1}, fn)
    case(op, 1, 6, two((2, 3, 4), ()), {"broadcast": 1}, fn)
    case(op, 1, 6, two((2, 3, 4), (3,)), {"broadcast": 1, "axis": 1}, old(fn, 1))
    case(op, 1, 6, two((2, 3, 4), (2,)), {"broadcast": 1, "axis": 0}, old(fn, 0))
    case(op, 1, 6, two((2, 3, 4, 5), (3, 4)), {"broadcast": 1, "axis": 1}, old(fn, 1))
    case(op, 1, 6, two((2, 3, 4), (4,)), {"broadcast": 1, "axis": -1}, old(fn, 2))
    case(op, 1, 6, two((2, 3, 4), (3, 1)), {"broadcast": 1}, fn)
    case(op, 7, NEW, two((2, 3, 4), (3, 1)))
    case(op, 7, NEW, two((2, 1), (3, 1, 4)))
for op in ("Add", "Sub", "Mul", "Div"):
    case(op, 7, NEW, [ints(-50, 50, 3, 4, dtype=np.int32), ints(1, 7, 4, dtype=np.int32)])
    case(op, 14, NEW, [ints(-50, 50, 3, 4, dtype=np.int8), ints(1, 7, 4, dtype=np.int8)])
case("Equal", 11, NEW, [ints(0, 2, 3, 4).astype(np.float32), ints(0, 2, 4).astype(np.float32)])
case("Pow", 12, NEW, [pos(2, 3), ints(-2, 3, 3, dtype=np.int32)])
case("Pow", 12, NEW, [ints(-4, 4, 2, 3, dtype=np.int32), num(3, np.int32)])
case("Pow", 12, NEW, [ints(1, 4, 2, 3, dtype=np.int32), num(0.5)], {},
     lambda a, b: np.trunc(a ** 0.5).astype(np.int32))
for op in ("GreaterOrEqual", "LessOrEqual"):
    case(op, 12, NEW, [ints(0, 3, 3, 4).astype(np.float32), ints(0, 3, 4).astype(np.float32)])
case("Mod", 10, NEW, [ints(-9, 9, 3, 4, dtype=np.int32), np.array([-4, -3, 3, 4], np.int32)])
case("Mod", 10, NEW, [ints(-9, 9, 3, 4, dtype=np.int32), np.array([-4, -3, 3, 4], np.int32)],
     {"fmod": 1})
case("Mod", 10, NEW, [3 * f(3, 4), np.array([-1.5, 0.7, 2, 1], np.float32)], {"fmod": 1})
for direction in ("LEFT", "RIGHT"):
    case("BitShift", 11, NEW, [ints(0, 200, 3, 4, dtype=np.uint8), ints(0, 7, 4, dtype=np.uint8)],
         {"direction": direction})
for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    case(op, 18, NEW, [ints(0, 99, 3, 4, dtype=np.int32), ints(0, 99, 4, dtype=np.int32)])
case("BitwiseNot", 18, NEW, [ints(0, 99, 3, 4, dtype=np.uint8)])
for op, fn in (("Max", np.maximum), ("Min", np.minimum), ("Sum", np.add), ("Mean", np.add)):
    xs = [f(2, 3), f(2, 3), f(2, 3)]
    case(op, 1, 1, xs, {"consumed_inputs": [0, 0, 0]},
         lambda *v, fn=fn, op=op: fn(fn(v[0], v[1]), v[2]) / np.float32(3 if op == "Mean" else 1))
    case(op, 6, NEW, xs)
    case(op, 6, NEW, xs[:1])
    case(op, 8, NEW, [f(2, 3), f(3), f(1, 1)])
case("Max", 12, NEW, [ints(0, 9, 3, dtype=np.uint8), ints(0, 9, 3, dtype=np.uint8)])
slope = pos(3)
case("PRelu", 1, 1, [f(2, 3, 4), slope], {"consumed_inputs": [0, 0]},
     lambda x, s: np.where(x < 0, x * s[:, None], x))
case("PRelu", 1, 6, [f(2, 3, 4, 5), slope], {}, lambda x, s: np.where(x < 0, x * s[:, None, None],
                                                                     x))
case("PRelu", 1, 6, [f(2, 3), slope], {}, lambda x, s: np.where(x < 0, x * s, x))
case("PRelu", 1, 6, [f(2, 3, 4), pos(1)], {}, lambda x, s: np.where(x < 0, x * s, x))
case("PRelu", 7, NEW, [f(2, 3, 4), pos(3, 1)])
case("PRelu", 9, NEW, [ints(-9, 9, 3, 4, dtype=np.int32), ints(1, 4, 4, dtype=np.int32)])
case("Where", 9, NEW, [bools(2, 3, 1), f(3, 4), f(1)])

# ---- Types, constants, shapes ----

for name, code in (("FLOAT", np.float32), ("INT32", np.int32), ("UINT8", np.uint8),
                   ("BOOL", np.bool_), ("DOUBLE", np.float64)):
    case("Cast", 1, 1, [10 * pos(2, 3)], {"to": name}, lambda x, t=code: x.astype(t))
for code, t in ((1, np.float32), (6, np.int32), (7, np.int64), (9, np.bool_), (10, np.float16)):
    case("Cast", 6, NEW, [10 * f(2, 3)], {"to": code}, lambda x, t=t: x.astype(t))
case("Cast", 19, NEW, [10 * f(2, 3)], {"to": 6, "saturate": 0}, lambda x: x.astype(np.int32))
case("Cast", 24, NEW, [10 * f(2, 3)], {"to": 6, "round_mode": "down"},
     lambda x: x.astype(np.int32))
case("CastLike", 15, NEW, [10 * f(2, 3), np.zeros(1, np.int32)], {},
     lambda x, y: x.astype(np.int32))
case("CastLike", 19, NEW, [10 * f(2, 3), np.zeros(1, np.int32)], {"saturate": 0},
     lambda x, y: x.astype(np.int32))
case("CastLike", 24, NEW, [10 * f(2, 3), np.zeros(1, np.int32)], {"round_mode": "down"},
     lambda x, y: x.astype(np.int32))
value = f(2, 3)
case("Constant", 1, NEW, [], {"value": numpy_helper.from_array(value)}, lambda: value)
case("Constant", 12, NEW, [], {"value_float": 0.5}, lambda: np.float32(0.5))
case("Constant", 12, NEW, [], {"value_floats": [0.5, 2.0]}, lambda: np.float32([0.5, 2]))
case("Constant", 12, NEW, [], {"value_int": 5}, lambda: np.int64(5))
case("Constant", 12, NEW, [], {"value_ints": [5, 7]}, lambda: np.int64([5, 7]))
case("ConstantOfShape", 9, NEW, [i64(2, 3)])
case("ConstantOfShape", 9, NEW, [i64(2, 3)],
     {"value": numpy_helper.from_array(np.array([7], np.int32))})
case("EyeLike", 9, NEW, [ints(0, 9, 3, 4, dtype=np.int32)], {"k": 1})
case("EyeLike", 9, NEW, [f(3, 4)], {"k": -1, "dtype": 11})
case("Range", 11, NEW, [num(1.0), num(4.0), num(0.7)])
case("Range", 11, NEW, [num(9, np.int64), num(-4, np.int64), num(-3, np.int64)])
case("Range", 27, NEW, [num(0, np.float16), num(20, np.float16), num(0.1, np.float16)], {},
     lambda a, b, d: (np.float32(a) + np.arange(np.ceil((np.float32(b) - np.float32(a)) /
                                                        np.float32(d)), dtype=np.float32) *
                      np.float32(d)).astype(np.float16))
case("Range", 27, NEW, [num(0), num(2), num(0.5)], {"stash_type": 11},
     lambda a, b, d: np.arange(0, 2, 0.5, np.float32))
case("Shape", 1, NEW, [f(2, 3, 4)])
case("Shape", 15, NEW, [f(2, 3, 4, 5)], {"start": 1, "end": -1})
case("Shape", 15, NEW, [f(2, 3, 4)], {"start": -2})
case("Shape", 15, NEW, [f(2, 3, 4)], {"start": 2, "end": 9})
case("Size", 1, NEW, [f(2, 3, 4)])

# ---- Movement ----

case("Concat", 1, 1, [f(2, 3), f(2, 4)], {}, lambda a, b: np.concatenate([a, b], 1))
case("Concat", 1, NEW, [f(2, 3), f(1, 3)], {"axis": 0})
case("Concat", 11, NEW, [f(2, 3), f(2, 1)], {"axis": -1})
case("DepthToSpace", 1, NEW, [f(2, 8, 2, 3)], {"blocksize": 2})
case("DepthToSpace", 11, NEW, [f(2, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"})
case("SpaceToDepth", 1, NEW, [f(2, 3, 4, 6)], {"blocksize": 2})
case("Expand", 8, NEW, [f(3, 1), i64(2, 1, 4)])
for axis in (0, 2, 3):
    case("Flatten", 1, NEW, [f(2, 3, 4)], {"axis": axis})
case("Flatten", 11, NEW, [f(2, 3, 4)], {"axis": -1})
case("Pad", 1, 1, [f(2, 3)], {"paddings": [0, 1, 2, 0]}, lambda x: np.pad(x, ((0, 2), (1, 0))))
case("Pad", 1, 1, [f(2, 3)], {"paddings": [0, 1, 2, 0], "value": 1.5},
     lambda x: np.pad(x, ((0, 2), (1, 0)), constant_values=1.5))
for mode in ("reflect", "edge"):
    case("Pad", 1, 1, [f(3, 4)], {"paddings": [0, 1, 2, 0], "mode": mode},
         lambda x, m=mode: np.pad(x, ((0, 2), (1, 0)), m))
    case("Pad", 2, 2, [f(3, 4)], {"pads": [0, 1, 2, 0], "mode": mode},
         lambda x, m=mode: np.pad(x, ((0, 2), (1, 0)), m))
    case("Pad", 11, NEW, [f(3, 4), i64(0, 1, 2, 0)], {"mode": mode})
case("Pad", 2, 2, [f(2, 3)], {"pads": [0, 1, 2, -1], "value": 1.5},
     lambda x: np.pad(x[:, :2], ((0, 2), (1, 0)), constant_values=1.5))
case("Pad", 11, NEW, [f(2, 3), i64(0, 1, 2, 0), num(1.5)])
case("Pad", 11, NEW, [f(2, 3), i64(0, 1, 2, 0), np.array(1.5, np.float32)])
case("Pad", 11, NEW, [ints(0, 9, 2, 3), i64(0, 1, 2, -1), num(7, np.int64)])
case("Pad", 18, NEW, [f(2, 3, 4), i64(1, 2), num(1.5), i64(-2)])
case("Pad", 18, NEW, [f(2, 3, 4), i64(1, 0, 2, 0), None, i64(2, 0)])
case("Pad", 19, NEW, [f(3, 4), i64(1, 1, 2, 0)], {"mode": "wrap"})
case("Reshape", 1, 1, [f(2, 3, 4)], {"shape": [0, -1]}, lambda x: x.reshape(2, 12))
case("Reshape", 1, 1, [f(2, 3, 4)], {"shape": [4, 6], "consumed_inputs": [0]},
     lambda x: x.reshape(4, 6))
case("Reshape", 5, NEW, [f(2, 3, 4), i64(0, -1, 2)])
case("Reshape", 14, NEW, [np.zeros((0, 3), np.float32), i64(3, 0)], {"allowzero": 1})
case("ReverseSequence", 10, NEW, [f(4, 3, 2), np.array([1, 4, 2], np.int64)])
case("ReverseSequence", 10, NEW, [f(4, 3, 2), np.array([1, 3, 2, 1], np.int64)],
     {"batch_axis": 0, "time_axis": 1})
case("Slice", 1, 1, [f(4, 5, 6)], {"starts": [1, -3], "ends": [9, -1], "axes": [0, 2]},
     lambda x: x[1:, :, -3:-1])
case("Slice", 1, 1, [f(4, 5, 6)], {"starts": [1, 0], "ends": [3, 2]}, lambda x: x[1:3, :2])
case("Slice", 10, NEW, [f(4, 5, 6), i64(1, -1), i64(9, -9), i64(0, 2), i64(1, -2)])
case("Slice", 10, NEW, [f(4, 5, 6), i64(1, 0), i64(3, 2)])
case("Slice", 11, NEW, [f(4, 5, 6), i64(1), i64(3), i64(-2)])
case("Split", 1, 2, [f(6, 4)], {"split": [1, 3], "axis": 1},
     lambda x: [x[:, :1], x[:, 1:]], 2)
case("Split", 1, 1, [f(6, 4), i64(4, 2)], {}, lambda x, s: [x[:4], x[4:]], 2)
case("Split", 1, 1, [f(6, 4)], {}, lambda x: [x[:3], x[3:]], 2)
case("Split", 2, 2, [f(6, 4)], {}, lambda x: [x[:2], x[2:4], x[4:]], 3)
case("Split", 11, 11, [f(6, 4)], {"axis": -1, "split": [1, 3]}, None, 2)
case("Split", 11, 11, [f(6, 4)], {"axis": -1}, None, 2)
case("Split", 13, NEW, [f(6, 4), i64(1, 3)], {"axis": -1}, None, 2)
case("Split", 13, 13, [f(6, 4)], {"axis": 0}, None, 3)
case("Split", 18, NEW, [f(7, 4)], {"axis": 0, "num_outputs": 3}, None, 3)
case("Squeeze", 1, 11, [f(1, 3, 1, 2)], {"axes": [0, 2]})
case("Squeeze", 11, 11, [f(1, 3, 1, 2)], {"axes": [-2]})
case("Squeeze", 1, NEW, [f(3, 1, 1, 2)], {})
case("Squeeze", 13, NEW, [f(1, 3, 1, 2), i64(-2)])
case("Unsqueeze", 1, 11, [f(3, 2)], {"axes": [0, 2]})
case("Unsqueeze", 11, 11, [f(3, 2)], {"axes": [-1, 0]})
case("Unsqueeze", 13, NEW, [f(3, 2), i64(-1, 1)])
case("Tile", 1, 1, [f(2, 3), num(2, np.int64), num(1, np.int64)], {},
     lambda x, n, a: np.tile(x, (1, 2)))
case("Tile", 1, 1, [f(2, 3), i64(3), i64(0)], {}, lambda x, n, a: np.tile(x, (3, 1)))
case("Tile", 6, NEW, [f(2, 3), i64(2, 3)])
case("Transpose", 1, NEW, [f(2, 3, 4)])
case("Transpose", 1, NEW, [f(2, 3, 4)], {"perm": [1, 2, 0]})
for upper in (0, 1):
    case("Trilu", 14, NEW, [f(2, 4, 5), num(-1, np.int64)], {"upper": upper})
case("Trilu", 14, NEW, [f(4, 5)], {"upper": 0})

# ---- Indices ----

case("Gather", 1, NEW, [f(3, 4, 2), ints(0, 4, 2, 3)], {"axis": 1})
case("Gather", 1, NEW, [f(3, 4), np.array([0, 2], np.int32)])
case("Gather", 11, NEW, [f(3, 4, 2), ints(-2, 2, 2, 3)], {"axis": -1})
case("GatherElements", 11, NEW, [f(3, 4), ints(-4, 4, 3, 2)], {"axis": -1})
case("GatherND", 11, NEW, [f(2, 3, 4), ints(-2, 2, 5, 2)])
case("GatherND", 12, NEW, [f(2, 3, 4), ints(-2, 2, 2, 1)], {"batch_dims": 1})


def scattered(axis):
    def run(x, i, u):
        y = x.copy()
        np.put_along_axis(y, i, u, axis)
        return y
    return run


for op, first in (("Scatter", 9), ("ScatterElements", 11)):
    case(op, first, NEW, [f(4, 3), np.array([[3, 0, 1]]), f(1, 3)], {}, scattered(0))
    case(op, first, NEW, [f(3, 4), np.array([[3, 0], [1, 2], [0, 3]]), f(3, 2)], {"axis": 1},
         scattered(1))
case("ScatterElements", 11, NEW, [f(3, 4), np.array([[-1, 0], [1, -2], [0, 3]]), f(3, 2)],
     {"axis": -1})
for mode in ("add", "mul"):
    case("ScatterElements", 16, NEW, [f(3, 4), np.array([[3, 3], [1, 2], [0, 0]]), f(3, 2)],
         {"axis": 1, "reduction": mode})
    case("ScatterND", 16, NEW, [f(3, 4), np.array([[2], [2], [0]]), f(3, 4)], {"reduction": mode})
for mode in ("max", "min"):
    case("ScatterElements", 18, NEW, [f(3, 4), np.array([[3, 3], [1, 2], [0, 0]]), f(3, 2)],
         {"axis": 1, "reduction": mode})
    case("ScatterND", 18, NEW, [f(3, 4), np.array([[2], [2], [0]]), f(3, 4)], {"reduction": mode})
case("ScatterND", 11, NEW, [f(3, 4), np.array([[2], [0]]), f(2, 4)])
x = f(3, 5)
case("TopK", 1, 1, [x], {"k": 2}, lambda x: [-np.sort(-x, 1)[:, :2], np.argsort(-x, 1)[:, :2]], 2)
case("TopK", 1, 1, [x], {"k": 2, "axis": 0},
     lambda x: [-np.sort(-x, 0)[:2], np.argsort(-x, 0)[:2]], 2)
case("TopK", 10, NEW, [x, i64(2)], {"axis": 0}, None, 2)
case("TopK", 11, NEW, [x, i64(2)], {"axis": -2, "largest": 0, "sorted": 1}, None, 2)
case("TopK", 11, NEW, [x, i64(2)], {"largest": 0},
     lambda x, k: [np.sort(x, 1)[:, :2], np.argsort(x, 1)[:, :2]], 2)
case("OneHot", 9, NEW, [np.array([[0, 2], [1, 3]]), num(4, np.int64), Init(np.float32([1, 5]))])
case("OneHot", 9, NEW, [np.array([[0, 2], [1, 3]]), i64(4), Init(np.float32([1, 5]))],
     {"axis": 1})
case("OneHot", 11, NEW, [np.array([0, -2, 1]), num(4, np.int64), Init(np.float32([1, 5]))],
     {"axis": 0})
hot = np.array([0, -2, 9, 3])
case("OneHot", 9, 9, [hot, num(4, np.int64), Init(np.float32([1, 5]))], {},
     lambda x, d, v: np.where(x[:, None] == np.arange(4), v[1], v[0]))
case("OneHot", 11, NEW, [hot, num(4, np.int64), Init(np.float32([1, 5]))], {},
     lambda x, d, v: np.where((x[:, None] + 4 * (x[:, None] < 0)) == np.arange(4), v[1], v[0]))
case("OneHot", 9, NEW, [np.float32([0, 2]), num(3.0), Init(np.int64([0, 1]))])
case("Compress", 9, NEW, [f(3, 4), Init(np.array([False, True, True]))], {"axis": 0})
case("Compress", 9, NEW, [f(3, 2), Init(np.array([False, True, True, False, True]))])
case("Compress", 11, NEW, [f(3, 2), Init(np.array([False, True]))], {"axis": -1})
case("NonZero", 9, NEW, [np.array([[1, 0, 2], [0, 3, 0]], np.float32)])
u = np.array([[2, 1, 1], [3, 2, 5]], np.float32)
case("Unique", 11, NEW, [u], {}, None, 4)
case("Unique", 11, NEW, [u], {"sorted": 0}, None, 4)
case("Unique", 11, NEW, [np.array([[1, 0], [1, 0], [2, 3]], np.float32)], {"axis": 0}, None, 4)
boxes = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 10, 1, 11], [0, 10.1, 1, 11.1]]], np.float32)
scores = np.array([[[0.9, 0.75, 0.6, 0.95]]], np.float32)
case("NonMaxSuppression", 10, NEW, [boxes, scores, i64(3), Init(np.float32([0.5])),
                                    Init(np.float32([0.0]))])
case("NonMaxSuppression", 10, NEW, [boxes, scores, i64(1), Init(np.float32([0.5]))])
case("NonMaxSuppression", 10, NEW, [boxes, scores], {}, lambda b, s: np.zeros((0, 3), np.int64))
case("NonMaxSuppression", 10, NEW, [boxes, scores, i64(3), Init(np.float32([0.4])),
                                    Init(np.float32([0.7]))], {"center_point_box": 1})
