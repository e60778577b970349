"""Every version of every operator of ONNX that dlcc translates, as tests for onnx_conform.

    opsets.py FOLDER [GLOB]          writes them, and says what is not covered
    opsets.py FOLDER [GLOB] --batch  the same with a first axis of any size
    opsets.py FOLDER [GLOB] --types  the newest version with each type that it takes
    build/onnx_conform FOLDER -v     runs them

Python with onnx, numpy and onnxruntime is needed. Each test is a model of one node at exactly the
opset that introduced that version; attributes are off their default somewhere. What is expected
comes from a formula beside the case where old versions mean something else, else from ONNX Runtime,
else from the reference evaluator of onnx; where the last two disagree it is said. FOLDER is then as
the standard's own tests are: model.onnx, test_data_set_0/input_0.pb, output_0.pb."""
import fnmatch
import os
import re
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import defs, helper, numpy_helper, reference

import opsets_layers  # noqa: F401
import opsets_microsoft  # noqa: F401
from opsets_cases import CASES, Init

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SCHEMAS = defs.get_all_schemas_with_history()
SKIP = range(2, 6)  # opsets that nobody wrote: what they bring is tested at opset 6


def versions(op):
    if "::" in op:
        return [1]
    return sorted({s.since_version for s in SCHEMAS if s.name == op and s.domain == ""})


# ---- Writing ----


def dims(array, size):
    """The shape; with a batch, its first axis by a name."""
    return ["N", *array.shape[1:]] if size and array.shape[:1] == (size,) else array.shape


def model_of(op, opset, inputs, attrs, n_out, types, size=None):
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    n_out, shown = n_out if isinstance(n_out, tuple) else (n_out, n_out)  # of the node, the model
    outs = [f"y{i}" for i in range(n_out)]
    domain, op = op.split("::") if "::" in op else ("", op)
    node = helper.make_node(op, names, outs, name="n", domain=domain, **attrs)
    arrays = [x.value if isinstance(x, Init) else x for x in inputs]
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), dims(a, size))
         for n, a, x in zip(names, arrays, inputs) if n and not isinstance(x, Init)],
        [helper.make_tensor_value_info(n, t, None if size else s)
         for n, (t, s) in list(zip(outs, types))[:shown]],
        [numpy_helper.from_array(a, n) for n, a, x in zip(names, arrays, inputs)
         if isinstance(x, Init)])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(domain, opset)] if domain else [
        helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def untyped(op, opset, inputs, attrs, n_out):
    m = model_of(op, opset, inputs, attrs, n_out, [(1, None)] * 9)
    for o in m.graph.output:
        o.ClearField("type")
    return m


def ort(m, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    s = onnxruntime.InferenceSession(m.SerializeToString(), options,
                                     providers=["CPUExecutionProvider"])
    return s.run(None, feeds)


def ref(m, feeds):
    return reference.ReferenceEvaluator(m).run(None, feeds)


def expected(op, opset, inputs, attrs, want, n_out):
    arrays = [x.value if isinstance(x, Init) else x for x in inputs]
    if callable(want):
        y = want(*[a for a in arrays])
        return list(y) if isinstance(y, (list, tuple)) else [y]
    m = untyped(op, opset, inputs, attrs, n_out)
    feeds = {f"x{i}": x for i, x in enumerate(inputs)
             if x is not None and not isinstance(x, Init)}
    got, why = {}, {}
    for name, run in (("onnxruntime", ort), ("reference", ref)):
        if want not in (None, name):
            continue
        try:
            got[name] = [np.asarray(y) for y in run(m, feeds)]
        except Exception as e:
            why[name] = str(e).split("\n")[0][:100]
    if len(got) == 2:
        for a, b in zip(got["onnxruntime"], got["reference"]):
            same = a.dtype == b.dtype and a.shape == b.shape and np.allclose(
                a.astype(np.float64), b.astype(np.float64), 1e-3, 1e-6, equal_nan=True)
            if not same:
                print(f"{op} {opset} {attrs}: onnxruntime and the reference differ: "
                      f"{a.dtype}{a.shape} {a.ravel()[:4]}, {b.dtype}{b.shape} {b.ravel()[:4]}")
                break
    if not got:
        raise ValueError(f"no reference: {why}")
    return next(iter(got.values()))


def save(folder, m, inputs, outputs):
    data = os.path.join(folder, "test_data_set_0")
    os.makedirs(data)
    onnx.save(m, os.path.join(folder, "model.onnx"))
    fed = [x for x in inputs if x is not None and not isinstance(x, Init)]
    for kind, arrays in (("input", fed), ("output", outputs)):
        for i, a in enumerate(arrays):
            with open(os.path.join(data, f"{kind}_{i}.pb"), "wb") as out:
                out.write(numpy_helper.from_array(np.ascontiguousarray(a).reshape(a.shape),
                                                  f"{kind[0]}{i}").SerializeToString())


# ---- Types ----

TYPES = {f"tensor({n})": t for n, t in (
    ("float", np.float32), ("float16", np.float16), ("double", np.float64), ("int8", np.int8),
    ("int16", np.int16), ("int32", np.int32), ("int64", np.int64), ("uint8", np.uint8),
    ("uint16", np.uint16), ("uint32", np.uint32), ("uint64", np.uint64), ("bool", np.bool_))}


def retyped(op, opset, inputs):
    """The inputs once more for each other type that the operator takes: those of one letter of the
    schema together."""
    schema = defs.get_schema(op, opset, "")
    letters = {t.type_param_str: t.allowed_type_strs for t in schema.type_constraints}
    for letter, allowed in letters.items():
        which = [i for i, x in enumerate(inputs) if x is not None and letter == schema.inputs[
            min(i, len(schema.inputs) - 1)].type_str]
        arrays = [inputs[i].value if isinstance(inputs[i], Init) else inputs[i] for i in which]
        for name in allowed:
            t = TYPES.get(name)
            if not which or t is None or t == arrays[0].dtype:
                continue
            other = list(inputs)
            for i, a in zip(which, arrays):
                whole = np.issubdtype(t, np.integer)
                b = np.abs(3 * a) if whole and np.issubdtype(a.dtype, np.floating) else a
                b = (a > 0 if t == np.bool_ else b).astype(t)
                other[i] = Init(b) if isinstance(inputs[i], Init) else b
            yield name[7:-1], other


def write_types(root, glob):
    """The newest version of each operator with each type."""
    count, seen = 0, {}
    for op, _, until, inputs, attrs, _, n_out in CASES:
        v = versions(op)[-1]
        if "::" in op or until < v or seen.get(op, 0) >= 2 or not fnmatch.fnmatch(op, glob):
            continue
        if callable(inputs):
            continue
        seen[op] = seen.get(op, 0) + 1
        for name, other in retyped(op, v, inputs):
            try:
                y = [np.asarray(a) for a in expected(op, v, other, attrs, None, n_out)]
            except Exception:
                continue  # neither has it
            shown = [(helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for a in y]
            folder = os.path.join(root, f"{op}_{v}_{name}_{count}")
            save(folder, model_of(op, v, other, attrs, n_out, shown), other, y)
            count += 1
    print(f"{count} tests")


def main():
    if "--types" in sys.argv:
        sys.argv.remove("--types")
        write_types(*(sys.argv[1:] + ["*"])[:2])
        return
    batch = "--batch" in sys.argv
    root, glob = ([a for a in sys.argv[1:] if a != "--batch"] + ["*"])[:2]
    covered, moved, count, bad = set(), set(), 0, 0
    for number, (op, since, until, inputs, attrs, want, n_out) in enumerate(CASES):
        for v in versions(op):
            opset = 6 if v in SKIP else v
            if v in SKIP and any(v < w <= 6 for w in versions(op)):
                covered.add((op, v))  # no opset that is written has it
                continue
            if not since <= v <= until:
                continue
            covered.add((op, v))
            moved.update((op, v, a) for a in attrs)
            if not fnmatch.fnmatch(op, glob):
                continue
            fed = inputs(opset) if callable(inputs) else inputs
            try:
                y = [np.asarray(a) for a in expected(op, opset, fed, attrs, want, n_out)]
                types = [(helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for a in y]
                size = next((x.shape[0] for x in fed if isinstance(x, np.ndarray) and x.ndim), None)
                m = model_of(op, opset, fed, attrs, n_out, types, size if batch else None)
                folder = os.path.join(root, f"{op.split('::')[-1]}_{opset}_{number}")
                shutil.rmtree(folder, ignore_errors=True)
                save(folder, m, fed, y)
                count += 1
            except Exception as e:
                bad += 1
                print(f"{op} {opset} {attrs}: {e}")
    table = open(os.path.join(ROOT, "frontend", "onnx", "ops.def")).read()
    ops = sorted(set(re.findall(r'^(?:TEXT|MOVE|MAP|FORM)\("([A-Za-z0-9]+)"', table, re.M)))
    for op in ops:
        for s in sorted((s for s in SCHEMAS if s.name == op and s.domain == ""),
                        key=lambda s: s.since_version):
            v = s.since_version
            if (op, v) not in covered:
                print(f"not covered: {op} {v}")
            elif v not in SKIP:
                left = [a for a in s.attributes if (op, v, a) not in moved]
                if left:
                    print(f"not moved: {op} {v} {' '.join(left)}")
    print(f"{count} tests, {bad} cases without")


main()
