"""ONNX files of op cases (tests/onnx/test_export_ops.c) in ONNX Runtime against the expected values:
same shape and dtype, integers equal, floats |a - b| <= 1e-5 + 1e-4 |b| (f16, bf16: 2e-2), NaN is
NaN. Prints a line for each op; exit 1 if any differs or is refused by the ONNX checker."""
import collections
import glob
import os
import sys

import numpy as np
import onnx
import onnxruntime

# Where ONNX leaves open what ours says: powers of integers that wrap.
OPEN = ("pow_13", "pow_17", "pow_18", "pow_19", "pow_20")
RANDOM = ("random_uniform", "random_normal", "random_integer")


def load(path, elem_type):
    x = np.load(path)
    if elem_type == onnx.TensorProto.BFLOAT16:
        x = x.view(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
    return x


def value(x, elem_type):
    if elem_type == onnx.TensorProto.BFLOAT16:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(x.view(np.uint16), elem_type)
    return onnxruntime.OrtValue.ortvalue_from_numpy(x)


def run(path, options):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    stem = path[: -len(".onnx")]
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    out = model.graph.output[0]
    narrow = out.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16
    if narrow:  # numpy has no such type
        model.graph.node.append(onnx.helper.make_node("Cast", [out.name], ["wide"], to=1))
        model.graph.output.append(onnx.helper.make_tensor_value_info("wide", 1, None))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {n: value(load(f"{stem}.{n}.npy", t), t) for n, t in types.items()}
    b = load(stem + ".out.npy", out.type.tensor_type.elem_type)
    a = session.run_with_ort_values(["wide" if narrow else out.name], feeds)[0].numpy()
    b = b.astype(np.float32) if narrow else b
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype}{a.shape}, not {b.dtype}{b.shape}"
    if os.path.basename(stem).rsplit("_", 1)[0] in RANDOM or not a.size:
        return ""
    if not np.issubdtype(b.dtype, np.floating):
        return "" if np.array_equal(a, b) else f"{a.ravel()[:8]}, not {b.ravel()[:8]}"
    rtol = 2e-2 if narrow or b.dtype == np.float16 else 1e-4
    same = np.allclose(a, b, rtol=rtol, atol=rtol / 10, equal_nan=True)
    return "" if same else f"{a.ravel()[:8]}, not {b.ravel()[:8]}"


rows = collections.defaultdict(collections.Counter)
wrong = []
opts = onnxruntime.SessionOptions()
opts.log_severity_level = 4
opts.intra_op_num_threads = 1
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.onnx"))):
    name = os.path.basename(path)[: -len(".onnx")]
    try:
        result = run(path, opts)
    except Exception as e:
        text = str(e)
        missing = "NOT_IMPLEMENTED" in text or "Could not find an implementation" in text
        result = "no kernel" if missing else text.splitlines()[0]
    kind = "agree" if not result else "no kernel" if result == "no kernel" else "differ"
    kind = "open" if name in OPEN else kind
    rows[name.rsplit("_", 1)[0]][kind] += 1
    if kind == "differ":
        wrong.append(f"{name}: {result}")
for op, row in sorted(rows.items()):
    print(f"{op:20}", "  ".join(f"{n:4} {kind}" for kind, n in sorted(row.items())))
total = sum(rows.values(), collections.Counter())
print(f"{'all':20}", "  ".join(f"{n:4} {kind}" for kind, n in sorted(total.items())))
print("\n".join(wrong))
sys.exit(bool(wrong))
