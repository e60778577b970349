#!/usr/bin/env python3
"""Whether every tensor of the first .safetensors file is in the second, with the same bits. usage: same_weights.py A B"""
import json
import sys

def tensors(path):
    data = open(path, "rb").read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    return {name: (t["dtype"], t["shape"], data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]])
            for name, t in header.items() if name != "__metadata__"}

a, b = tensors(sys.argv[1]), tensors(sys.argv[2])
different = [name for name in a if a[name] != b.get(name)]
if not a or different:
    sys.exit(f"{len(different)} of {len(a)} tensors differ: {', '.join(different[:5])}")
