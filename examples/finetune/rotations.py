"""Makes rotations.onnx: a small convolutional network that learns, from pictures of clothing without
their labels, by how many quarters each was turned. Needs torch and onnx; takes a few minutes.

    python3 rotations.py /usr/share/datasets/fashion-mnist
"""
import glob
import gzip
import sys

import numpy as np
import torch
from torch import nn


def pictures(folder):
    path = next(p for p in glob.glob(folder + "/*") if "train-images" in p)
    with gzip.open(path) as f:
        raw = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    return torch.tensor(raw.copy()).float().sub(72.9).div(90)


def network():
    def block(i, o):
        return [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]

    return nn.Sequential(*block(1, 16), nn.MaxPool2d(2), *block(16, 32), nn.MaxPool2d(2),
                         *block(32, 32), nn.Flatten(), nn.Linear(32 * 7 * 7, 4))


def main():
    torch.manual_seed(1)
    x, net = pictures(sys.argv[1]), network()
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for batch in torch.randperm(len(x)).split(128):
        turned = torch.randint(0, 4, (len(batch),)).sort().values
        parts = [torch.rot90(x[batch[turned == k]], k, (2, 3)) for k in range(4)]
        loss = nn.functional.cross_entropy(net(torch.cat(parts)), turned)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    torch.onnx.export(net, torch.zeros(1, 1, 28, 28), "rotations.onnx", input_names=["image"],
                      output_names=["rotation"], opset_version=17, dynamo=False,
                      dynamic_axes={"image": {0: "N"}, "rotation": {0: "N"}})


main()
