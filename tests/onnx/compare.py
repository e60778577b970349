"""Exported ONNX files against dlrun. `compare.py draw NAME..` checks each NAME.onnx with the ONNX
checker and draws its inputs as NAME.in/INPUT.npy; `compare.py run NAME..` runs it on them in ONNX
Runtime and compares with what dlrun made of them, NAME.npz: |a - b| <= 1e-5 + 1e-4 |b|, same dtype
and shape."""
import os
import sys

import numpy as np
import onnx
import onnxruntime

BATCH = 4


def draw(name):
    m = onnx.load(name + ".onnx")
    onnx.checker.check_model(m, full_check=True)
    rng = np.random.default_rng(7)
    os.makedirs(name + ".in")
    for value in m.graph.input:
        t = value.type.tensor_type
        dims = [BATCH if d.dim_param else d.dim_value for d in t.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(t.elem_type)
        if np.issubdtype(dtype, np.floating):
            x = (50 * rng.standard_normal(dims)).astype(dtype)
        else:
            x = rng.integers(0, 256 if dtype == np.uint8 else 2, dims).astype(dtype)
        np.save(os.path.join(name + ".in", value.name + ".npy"), x)


def run(name):
    session = onnxruntime.InferenceSession(name + ".onnx", providers=["CPUExecutionProvider"])
    inputs = {i.name: np.load(f"{name}.in/{i.name}.npy") for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs)))
    expected = np.load(name + ".npz")
    if sorted(outputs) != sorted(expected.files):
        raise ValueError(f"outputs {sorted(outputs)}, dlrun gives {sorted(expected.files)}")
    for output, b in expected.items():
        a = outputs[output]
        if a.dtype != b.dtype or a.shape != b.shape:
            raise ValueError(f"{output} is {a.dtype}{a.shape}, dlrun gives {b.dtype}{b.shape}")
        if not np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True):
            raise ValueError(f"{output} differs by up to {np.max(np.abs(a - b))}")


wrong = 0
for model in sys.argv[2:]:
    try:
        {"draw": draw, "run": run}[sys.argv[1]](model)
    except Exception as e:
        wrong += 1
        print(f"{model}: {e}")
sys.exit(wrong > 0)
