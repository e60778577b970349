"""More cases of opsets.py: operators of com.microsoft, as ONNX Runtime computes them."""
import numpy as np

from opsets_cases import Init, case, f, ints, num, pos

D = "com.microsoft::"


def tables(n, k):
    a = np.arange(n)[:, None] * (10.0 ** (-np.arange(k) / k))
    return [np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)]


for interleaved in (0, 1):
    case(D + "RotaryEmbedding", 1, 1, [f(2, 3, 24), ints(0, 9, 2, 3)] + tables(9, 4),
         {"interleaved": interleaved}, "onnxruntime")
    case(D + "RotaryEmbedding", 1, 1, [f(2, 3, 24), np.array([2])] + tables(9, 2),
         {"num_heads": 3, "rotary_embedding_dim": 4, "interleaved": interleaved}, "onnxruntime")
case(D + "RotaryEmbedding", 1, 1, [f(2, 3, 4, 8), np.array([1])] + tables(9, 4), {}, "onnxruntime")

heads = {"num_heads": 4, "kv_num_heads": 2}
new = [f(2, 3, 64), f(2, 3, 32), f(2, 3, 32), None, None, np.array([2, 2], np.int32),
       num(3, np.int32)]
one = [f(2, 1, 64), f(2, 1, 32), f(2, 1, 32), f(2, 2, 5, 16), f(2, 2, 5, 16),
       np.array([5, 5], np.int32), num(6, np.int32)]
ragged = one[:5] + [np.array([3, 5], np.int32), num(6, np.int32)]
more = [f(1, 3, 64), f(1, 3, 32), f(1, 3, 32), f(1, 2, 4, 16), f(1, 2, 4, 16),
        np.array([6], np.int32), num(7, np.int32)]
roomy = [f(1, 3, 64), f(1, 3, 32), f(1, 3, 32), f(1, 2, 9, 16), f(1, 2, 9, 16),
         np.array([6], np.int32), num(7, np.int32)]
rotary = {"do_rotary": 1}
for inputs in (new, one, ragged, more, roomy):
    # rows of the cache behind the last key are not specified
    n = (3, 1) if inputs is ragged or inputs is roomy else 3
    op = D + "GroupQueryAttention"
    case(op, 1, 1, inputs, heads, "onnxruntime", n)
    case(op, 1, 1, inputs + tables(16, 8), {**heads, **rotary}, "onnxruntime", n)
    case(op, 1, 1, inputs + tables(16, 8), {**heads, **rotary, "rotary_interleaved": 1,
                                            "scale": 0.3}, "onnxruntime", n)
    case(op, 1, 1, inputs, {**heads, "local_window_size": 2}, "onnxruntime", n)
    case(op, 1, 1, inputs, {**heads, "softcap": 1.5}, "onnxruntime", n)
packed = [f(2, 3, 128), None, None] + new[3:]
case(op, 1, 1, packed + tables(16, 8), {**heads, **rotary}, "onnxruntime", 3)

for bits in (4, 8):
    for zeros in (None, "packed", "float"):
        n, k, block = 5, 40, 16
        blocks = (k + block - 1) // block
        b = ints(0, 256, n, blocks, block * bits // 8, dtype=np.uint8)
        z = {None: None, "packed": Init(ints(0, 256, n * ((blocks * bits + 7) // 8),
                                             dtype=np.uint8)),
             "float": Init(10 * pos(n * blocks))}[zeros]
        if bits == 8 and zeros == "float":
            continue
        fed = [f(2, 3, k), Init(b), Init(pos(n * blocks)), z]
        case(D + "MatMulNBits", 1, 1, fed, {"N": n, "K": k, "bits": bits, "block_size": block},
             "onnxruntime")
case(D + "MatMulNBits", 1, 1, [f(3, 32), Init(ints(0, 256, 4, 1, 16, dtype=np.uint8)),
                               Init(pos(4)), None, None, Init(f(4))],
     {"N": 4, "K": 32, "block_size": 32, "accuracy_level": 1}, "onnxruntime")
