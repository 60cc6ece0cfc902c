"""Files written before 2026-11-28. They mark another border layer (the first whose output sees more than the image), their convention
`delve` is what `pca-layer` is now, and their method `median` takes the mean of two middle values. They are given today's
meanings when they are opened. src/store/older.c does the same for `show` and `merge`."""
import math
import re

import numpy as np

LONG_NAME = "first layer whose receptive field exceeds the input"  # of their layer_border
WORDS = {"convention": ("delve", "pca-layer"), "method": ("median", "numpy-median")}

VGG = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
RESNET = {"18": [2, 2, 2, 2], "34": [3, 4, 6, 3], "50": [3, 4, 6, 3]}
BUILTIN = {**{name: {"vgg": ", ".join(", ".join(["64"] * n + ["M"]) for n in counts)} for name, counts in VGG.items()},
           **{f"resnet{word}": {"resnet": word} for word in RESNET}, "mlp": {"mlp": ""}, "mobilenet_v2": {"mobilenet": "v2"}}
MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def corrected(dataset):
    """The dataset with today's border layers and words; `dataset` itself if it is newer."""
    if "layer_border" not in dataset or dataset["layer_border"].attrs.get("long_name") != LONG_NAME:
        return dataset
    stored, attributes, coordinates = dataset["layer_border"], dict(dataset.attrs), {}
    for key, (old, new) in WORDS.items():
        axis = f"measure_{key}"
        if "job" in attributes:
            attributes["job"] = re.sub(rf"(?m)^((?:.*\.| +){key}: .*?)\b{old}\b", rf"\1{new}", str(attributes["job"]))
        if attributes.get(axis) == old:
            attributes[axis] = new
        if axis in dataset.coords:
            words = np.array([new if word == old else word for word in dataset[axis].values], dtype=object)
            coordinates[axis] = (dataset[axis].dims, words)
    changed = dataset.assign(layer_border=(stored.dims, borders(dataset), stored.attrs)).assign_coords(coordinates)
    changed.attrs = attributes
    changed.set_close(dataset.close)
    return changed


def borders(dataset):
    """layer_border of every point, by its network; as stored where the network is not known."""
    found, known = dataset["layer_border"].values.copy(), {}
    models = models_of(str(dataset.attrs.get("job", "")))
    rows = found if "point" in dataset.dims else found[None]
    every = lambda name: np.broadcast_to(dataset[name].values if name in dataset.coords else dataset.attrs.get(name, ""), len(rows))
    names = np.atleast_2d(dataset["layer_name" if "layer_name" in dataset else "layer"].values)
    for row, own, model, resolution in zip(rows, names, every("model"), every("resolution")):
        if (model, resolution) not in known:
            known[model, resolution] = border(models.get(model, BUILTIN.get(model)), resolution)
        if known[model, resolution] is not None:
            row[:] = own == known[model, resolution]
    return found


def models_of(job):
    """{name: {key: value}} of the section `models` of a job as the program writes it."""
    found, inside, name = {}, False, None
    for line in job.splitlines():
        if not line.startswith(" "):
            inside = line == "models:"
        elif inside and not line.startswith("    "):
            name = line.strip(" \":")
            found[name] = {}
        elif inside and name is not None:
            key, _, value = line.strip().partition(": ")
            found[name][key] = value
    return found


def border(model, resolution):
    """Name of the first layer whose input sees the whole image over every path; None for an unknown network."""
    for family, inputs in (("vgg", vgg), ("mlp", mlp), ("resnet", resnet), ("mobilenet", mobilenet)):
        if model and family in model:
            items = model[family].strip("[]").split(", ")
            try:
                return next(name for name, field in inputs(items, model) if field >= resolution)
            except (TypeError, ValueError):  # a damaged job
                return None
    return None


class Walk:
    """The smallest receptive field over all paths so far, and the distance of neighbouring positions, both in pixels."""

    def __init__(self):
        self.field, self.jump = 1, 1

    def step(self, kernel, stride):
        """Goes through a convolution or a pooling; returns the field before it."""
        before = self.field
        self.field, self.jump = before + (kernel - 1) * self.jump, self.jump * stride
        return before


# Each yields (layer, smallest receptive field of its input), in forward order. Global pooling and linear layers see everything.

def vgg(items, model):
    walk, at = Walk(), 0
    for item in items:
        if item in ("M", "A"):
            walk.step(2, 2)
            at += 1
        else:
            yield f"features.{at}", walk.step(3, 1)
            at += 2 if model.get("batch_norm") == "false" else 3
    yield "classifier.0" if model.get("head") == "torchvision" else "classifier.2", math.inf


def mlp(items, model):
    yield "classifier.0", 1
    yield "classifier.3", math.inf


def resnet(items, model):
    walk, imagenet, bottleneck = Walk(), model.get("stem") == "imagenet", items == ["50"]
    yield "conv1", walk.step(7, 2) if imagenet else walk.step(3, 1)
    if imagenet:
        walk.step(3, 2)
    for stage, blocks in enumerate(RESNET.get(items[0], items) if len(items) == 1 else items, 1):
        for block in range(min(int(blocks), 64)):
            first, stride = walk.field, 2 if stage > 1 and block == 0 else 1
            for i, step in enumerate([(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)], 1):
                yield f"layer{stage}.{block}.conv{i}", walk.step(*step)
            if model.get("skip") != "false":
                walk.field = first  # over the skip connection
    yield "fc", math.inf


def mobilenet(items, model):
    walk, number, channels, small = Walk(), 1, 32, model.get("stem") != "imagenet"
    yield "features.0.0", walk.step(3, 1 if small else 2)
    for expansion, width, blocks, strided in MOBILENET:
        if strided == 2 and small:
            strided, small = 1, False
        for block in range(blocks):
            first, stride, part = walk.field, strided if block == 0 else 1, 0
            if expansion > 1:
                yield f"features.{number}.conv.0.0", walk.step(1, 1)
                part = 1
            yield f"features.{number}.conv.{part}.0", walk.step(3, stride)
            yield f"features.{number}.conv.{part + 1}", walk.step(1, 1)
            if stride == 1 and channels == width and model.get("skip") != "false":
                walk.field = first
            channels, number = width, number + 1
    yield f"features.{number}.0", walk.step(1, 1)
    yield "classifier.1", math.inf
