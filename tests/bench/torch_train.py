#!/usr/bin/env python3
"""A PyTorch training loop that measures every batch, as fast as PyTorch does it on a CPU: channels-last memory, one thread, float32
moments of the outputs of all layers, optionally bfloat16 (autocast) and torch.compile. train_vs_torch.py starts one process per core.

Prints "ready" and PyTorch's version after one epoch in every mode. Then runs an epoch for each line of standard input, which is the
name of a mode, and prints images/s with everything included (eigenvalues, too). The networks are those of eigenscope.

  torch_train.py --model vgg16|resnet18|NAME of networks.py --width 1/8 --samples 5120 --modes float32,bfloat16,float32+compile,bfloat16+compile
"""
import argparse
import fractions
import gzip
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn

import networks

VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]


class VGG(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        layers, channels = [], 3
        for item in VGG16:
            if item == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                out = int(item * width)
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(True)]
                channels = out
        self.net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(channels), nn.Dropout(0.25),
                                 nn.Linear(channels, channels // 2), nn.ReLU(True), nn.BatchNorm1d(channels // 2), nn.Dropout(0.25),
                                 nn.Linear(channels // 2, classes))

    def forward(self, x):
        outputs = []
        for module in self.net:
            x = module(x)
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                outputs.append((x, isinstance(module, nn.Conv2d)))
        return x, outputs


class Block(nn.Module):
    def __init__(self, channels, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False), nn.BatchNorm2d(planes)
        self.shortcut, self.norm = None, None
        if stride != 1 or channels != planes:
            self.shortcut, self.norm = nn.Conv2d(channels, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)

    def forward(self, x, outputs):
        a = self.conv1(x)
        b = self.conv2(torch.relu_(self.bn1(a)))
        outputs += [(a, True), (b, True)]
        if self.shortcut is not None:
            x = self.shortcut(x)
            outputs.append((x, True))
            x = self.norm(x)
        return torch.relu_(self.bn2(b) + x)


class ResNet18(nn.Module):
    """With the first convolution for small images: 3 x 3, stride 1, no pooling."""
    def __init__(self, width, classes):
        super().__init__()
        channels = int(64 * width)
        self.conv1, self.bn1 = nn.Conv2d(3, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        blocks = []
        for stage in range(4):
            for i in range(2):
                planes = int((64 << stage) * width)
                blocks.append(Block(channels, planes, 2 if stage and not i else 1))
                channels = planes
        self.blocks = nn.ModuleList(blocks)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.conv1(x)
        outputs = [(x, True)]
        x = torch.relu_(self.bn1(x))
        for block in self.blocks:
            x = block(x, outputs)
        logits = self.fc(x.mean((2, 3)))
        return logits, [*outputs, (logits, False)]


NETWORKS = {"vgg16": lambda width: VGG(width, 10), "resnet18": lambda width: ResNet18(width, 10)}
# Those of torchvision have one width each.
NETWORKS.update({name: lambda width, make=make: networks.Measured(make()) for name, make in networks.NAMES.items()})


def moments(outputs):
    """Second and first moments of each layer; positions are rows."""
    sums = []
    for output, conv in outputs:
        rows = output.detach()
        if conv:
            rows = rows.permute(0, 2, 3, 1)
        rows = rows.reshape(-1, rows.shape[-1]).float()
        sums.append((rows.t() @ rows, rows.sum(0)))
    return sums


class Mode:
    """A network that trains in one mode, such as "bfloat16+compile"."""
    def __init__(self, name, options, images, labels):
        self.images, self.labels, self.batch = images, labels, options.batch
        width = fractions.Fraction(options.width)
        network = NETWORKS[options.model](width).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, foreach=True)

        def step(x, y):
            with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in name):
                logits, outputs = network(x)
                loss = nn.functional.cross_entropy(logits.float(), y)
            sums = moments(outputs)
            loss.backward()
            return loss.detach(), sums
        self.step = torch.compile(step) if name.endswith("+compile") else step

    def epoch(self):
        """Images per second of one epoch, with the eigenvalues at its end. Saturation itself takes no time."""
        start, n = time.perf_counter(), len(self.labels)
        order, total, sums = torch.randperm(n), 0.0, None
        for first in range(0, n, self.batch):
            chosen = order[first:first + self.batch]
            self.optimizer.zero_grad()
            loss, new = self.step(self.images[chosen], self.labels[chosen])
            self.optimizer.step()
            total += loss.item()
            if sums is None:
                sums = [[second.double(), mean.double()] for second, mean in new]
            else:
                for kept, (second, mean) in zip(sums, new):
                    kept[0] += second
                    kept[1] += mean
        for second, mean in sums:
            torch.linalg.eigvalsh(second / n - torch.outer(mean / n, mean / n))
        return n / (time.perf_counter() - start)


def idx(path):
    raw = gzip.open(path, "rb").read()
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(np.frombuffer(raw, ">u4", raw[3], 4))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vgg16", choices=tuple(NETWORKS))
    parser.add_argument("--width", default="1/8")
    parser.add_argument("--samples", type=int, default=5120)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--modes", default="float32,bfloat16")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.tensor(idx(options.data / "train-images-idx3-ubyte.gz")[:options.samples].astype(np.float32))[:, None] / 255
    images = nn.functional.pad((images - 0.2860) / 0.3530, (2, 2, 2, 2)).repeat(1, 3, 1, 1)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.tensor(idx(options.data / "train-labels-idx1-ubyte.gz")[:options.samples].astype(np.int64))
    modes = {name: Mode(name, options, images, labels) for name in options.modes.split(",")}
    for mode in modes.values():
        mode.epoch()
    print("ready", torch.__version__, flush=True)
    for line in sys.stdin:
        print(modes[line.strip()].epoch(), flush=True)


if __name__ == "__main__":
    main()
