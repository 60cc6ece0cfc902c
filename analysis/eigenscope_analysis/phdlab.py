"""Converts a config.json of phd-lab, the authors' scripts, to a job file of equal grid, training and measurement."""
import itertools
import json
import os
import pathlib
import re

from .files import SchemaError

# phd-lab's defaults for missing keys.
DEFAULTS = {"model": ["resnet18"], "epoch": [30], "batch_size": [128], "dataset": ["Cifar10"], "resolution": [32],
            "optimizer": ["adam"], "conv_method": ["channelwise"], "delta": [0.99], "downsampling": [None]}
# Keys for output places and messages, which change no number.
IGNORED = {"metrics", "logs_dir", "device", "data_parallel", "threshold", "seed"}

WIDTHS = {"XXXS": "1/16", "XXS": "1/8", "XS": "1/4", "S": "1/2", "": "1", "L": "2", "XL": "4", "XXL": "8", "XXXL": "16"}
MODEL = re.compile(r"^(vgg(?:11|13|16|19)|resnet(?:18|34|50)|mobilenet_?v2)(?:_?(X{0,3}S|X{0,3}L))?$", re.IGNORECASE)
# phd-lab's networks that differ from the built-in ones: torchvision's 7 x 7 stem with max pooling (MobileNetV2: two more strides),
# and vgg11_S, whose third and fourth convolutions have 126 channels instead of 128.
MODELS = {"resnet18": ("resnet18-7x7", "{resnet: 18, stem: imagenet}"), "resnet34": ("resnet34-7x7", "{resnet: 34, stem: imagenet}"),
          "resnet50": ("resnet50-7x7", "{resnet: 50, stem: imagenet}"),
          "mobilenetv2": ("mobilenet_v2-224", "{mobilenet: v2, stem: imagenet}"),
          "vgg11_S": ("vgg11-126", "{vgg: [64, M, 128, M, 252, 252, M, 512, 512, M, 512, 512, M]}")}
DATASETS = {"mnist": ("mnist", "{format: idx, path: $MNIST, fit: resize, %s}"),
            "fashionmnist": ("fashion-mnist", "{format: idx, path: /usr/share/datasets/fashion-mnist, fit: resize, %s}"),
            "cifar10": ("cifar10", "{format: hdf5, path: $CIFAR10, fit: resize, %s}"),
            "cifar100": ("cifar100", "{format: cifar100, path: $CIFAR100, fit: resize, %s}"),
            "tinyimagenet": ("tiny-imagenet", "{format: hdf5, path: $TINY_IMAGENET, fit: resize, %s}")}
NORMALIZE = "normalize: {mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.2010]}"  # phd-lab's, for every dataset
# Definitions of phd-lab's optimizers.
OPTIMIZERS = {"adam": "optimizer: adam, learning_rate: 0.001, weight_decay: 0",
              "sgd": "optimizer: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 5.0e-4",
              "lrs60": "optimizer: sgd, learning_rate: 0.1, momentum: 0.9, weight_decay: 5.0e-4, schedule: {step: 20, gamma: 0.1}",
              "lrs180": "optimizer: sgd, learning_rate: 0.1, momentum: 0.9, weight_decay: 5.0e-4, schedule: {step: 50, gamma: 0.1}"}
METHODS = {"channelwise", "mean", "max", "median", "flatten"}


def convert(path):
    """Returns the text of the job file. SchemaError with one sentence for settings without an equivalent."""
    config = read(path)
    name = re.sub(r"[^A-Za-z0-9._+-]", "-", pathlib.Path(path).stem)
    datasets = [*dict.fromkeys(of(DATASETS, re.sub(r"[^a-z0-9]", "", str(d).lower()), path, "dataset", d) for d in config["dataset"])]
    optimizer = of(OPTIMIZERS, str(only(config, "optimizer", path)).lower(), path, "optimizer", only(config, "optimizer", path))
    blocks = [{"dataset": [d for d, _ in datasets], "model": models, "width": widths, "classes": ["all"],
               "resolution": config["resolution"], "seed": [0], **more_axes(config)} for models, widths in models_of(config, path)]
    lines = [f"# From {name}.json of phd-lab by `eigenscope_analysis from-phdlab`. Paths of datasets are taken from the",
             "# environment; CIFAR10 and TINY_IMAGENET are files of `eigenscope data pack`.",
             f"name: {name}", "grid:"]
    for block in blocks:
        for i, (axis, values) in enumerate(block.items()):
            lines.append(f"  {'- ' if i == 0 else '  '}{axis}: [{', '.join(map(str, values))}]")
    own = [f"  {name}: {text}" for name, text in MODELS.values() if any(name in block["model"] for block in blocks)]
    lines += (["models:", *own] if own else []) + ["datasets:", *(f"  {d}: {text % NORMALIZE}" for d, text in datasets)]
    # A key with several values becomes an axis of the grid, and appears only there.
    single = "".join(f"{name}: {config[key][0]}, " for key, name in (("epoch", "epochs"), ("batch_size", "batch"))
                     if len(config[key]) == 1)
    lines += [f"train: {{{single}{optimizer}, augment: [crop, flip]}}",
              f"measure: {{every: 1, delta: [{', '.join(f'{d:g}' for d in sorted(set(config['delta'])))}], splits: [train, eval], "
              f"method: {method(config, path)}, convention: delve}}"]
    return "\n".join(lines) + "\n"


def read(path):
    try:
        given = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{path}: is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise SchemaError(f"{path}: must be an object of settings, as {{\"model\": [\"vgg16\"]}}")
    unknown = sorted(set(given) - set(DEFAULTS) - IGNORED)
    if unknown:
        raise SchemaError(f"{path}: unknown setting {unknown[0]}; known are {', '.join([*DEFAULTS, *sorted(IGNORED)])}")
    config = {k: v if isinstance(v, list) else [v] for k, v in {**DEFAULTS, **given}.items() if k in DEFAULTS}
    for key, convert_one in (("epoch", int), ("batch_size", int), ("resolution", int), ("delta", float)):
        try:
            config[key] = [convert_one(v) for v in config[key]]
        except (TypeError, ValueError, OverflowError):
            raise SchemaError(f"{path}: {key} must be numbers, not {config[key]}") from None
    config = {k: [value for i, value in enumerate(values) if value not in values[:i]] for k, values in config.items()}
    empty = [k for k, v in config.items() if not v]
    if empty:
        raise SchemaError(f"{path}: {empty[0]} is an empty list")
    return config


def of(table, key, path, what, given):
    if key not in table:
        raise SchemaError(f"{path}: {what} {given!r} has no equivalent; there is one for {', '.join(table)}")
    return table[key]


def only(config, key, path):
    if len(config[key]) > 1:
        raise SchemaError(f"{path}: {key} has {len(config[key])} values, and a job has one; write a config for each")
    return config[key][0]


def models_of(config, path):
    """[(models, widths)]: models with equal widths share a block of the grid."""
    widths = {}
    for given in config["model"]:
        match = MODEL.match(str(given))
        if match is None:
            raise SchemaError(f"{path}: model {given!r} has no equivalent; there is one for vgg11, vgg13, vgg16, vgg19, resnet18, "
                              f"resnet34, resnet50 and mobilenetV2, with sizes as in vgg16_XS")
        model, size = match[1].lower().replace("_", ""), (match[2] or "").upper()
        model, _ = MODELS.get(f"{model}_{size}", MODELS.get(model, (model, "")))
        widths.setdefault(model, {})[WIDTHS[size]] = None  # a dictionary, because a grid has each value once
    by_widths = itertools.groupby(sorted(((model, list(own)) for model, own in widths.items()), key=lambda item: item[1]),
                                  key=lambda item: item[1])
    return [([model for model, _ in group], values) for values, group in by_widths]


def more_axes(config):
    return {axis: config[key] for key, axis in (("epoch", "train.epochs"), ("batch_size", "train.batch")) if len(config[key]) > 1}


def method(config, path):
    name, size = str(only(config, "conv_method", path)), only(config, "downsampling", path)
    if name not in METHODS:
        raise SchemaError(f"{path}: conv_method {name!r} has no equivalent; there is one for {', '.join(sorted(METHODS))}")
    if size is None:
        return name
    if name != "channelwise" or not isinstance(size, int):
        raise SchemaError(f"{path}: downsampling {size!r} with conv_method {name!r} has no equivalent; with channelwise and a whole "
                          f"number it is nearest")
    return f"{{nearest: {size}}}"


def save(path, text):
    """Writes a new file; refuses to replace an existing one."""
    if os.path.exists(path):
        raise SchemaError(f"--to {path}: is there; choose another name or remove it")
    pathlib.Path(path).write_text(text, encoding="utf-8")
