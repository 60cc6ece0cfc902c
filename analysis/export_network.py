#!/usr/bin/env python3
"""Writes a PyTorch network as a description and a file of weights that eigenscope trains, loads and measures.

    python3 analysis/export_network.py mine.py:build --to net.yaml --weights net.safetensors
    python3 analysis/export_network.py torchvision:resnext50_32x4d --to net.yaml --weights net.safetensors --classes 10
    python3 analysis/export_network.py mine.py:build --load run/epoch-005.pt --to net.yaml --weights net.safetensors

    from export_network import export
    export(model, "net.yaml", "net.safetensors", resolution=32)

FUNCTION returns the network, a torch.nn.Module that takes images (N, 3, H, W) and returns logits (N, classes), or a pair that
begins with it. torchvision:NAME is torchvision.models.get_model(NAME). A job then has `models: {mine: {file: net.yaml}}`.

The network runs once on random images (see network_trace.py); each operation is written with the name of its module in
PyTorch, and weights have the names of the state_dict, so the files of weights that your training writes fit the description,
too. What cannot be expressed is named with its module and its line, and then nothing is written. At the end the program
eigenscope computes the logits of random images from both files, and they must agree with PyTorch's. Needs PyTorch 1.13 or
newer, and numpy.
"""
import argparse
import copy
import fnmatch
import inspect
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f"export_network: Python's {error.name} is missing; install it (python3-{error.name} in Debian)")

import convert_checkpoint
from network_trace import Trace
from user_code import DumpError, function_of, named

BATCH = 2  # of the trace
TOLERANCE = 1e-4  # of the largest logit


class ExportError(Exception):
    """A failure, as one sentence or as a list of what cannot be expressed."""


# ---- the network ----

def check_takes_classes(function, place):
    taken = inspect.signature(function).parameters.values()
    if not any(parameter.name == "num_classes" or parameter.kind == parameter.VAR_KEYWORD for parameter in taken):
        raise ExportError(f"{place} takes no num_classes, so --classes cannot set it")


def build(place, classes=None):
    """Returns the network of FILE.py:FUNCTION, PACKAGE:FUNCTION or torchvision:NAME."""
    package, _, name = place.rpartition(":")
    if package in ("torchvision", "torchvision.models"):
        with named("importing torchvision"):
            import torchvision
        if not hasattr(torchvision.models, name):
            raise ExportError(f"torchvision {torchvision.__version__} has no network {name}")
        function = getattr(torchvision.models, name)
    else:
        function = function_of(place)
    if classes is not None:
        check_takes_classes(function, place)
    with named(f"{name}()"):
        made = function() if classes is None else function(num_classes=classes)
    model = made[0] if isinstance(made, (tuple, list)) and made else made
    if not isinstance(model, nn.Module):
        raise ExportError(f"{place} returned {type(made).__name__}; it must return a torch.nn.Module, or a pair that begins with one")
    return model


def load(model, path, key=None):
    """Loads a checkpoint (.pt, .safetensors, ...) into the network."""
    if path.endswith(".safetensors"):
        arrays, _, dtypes = convert_checkpoint.read_safetensors(path)
    else:
        state = convert_checkpoint.choose_state(convert_checkpoint.load(path, False), key)[1]
        tensors = convert_checkpoint.split_state(state)[0]
        arrays, dtypes = convert_checkpoint.to_arrays(convert_checkpoint.select(tensors)[0])
        dtypes = {name: dtypes.get(name, "") for name in arrays}
    state = convert_checkpoint.to_tensors(arrays, dtypes)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        words = " ".join(str(error).split())
        raise ExportError(f"{path} does not fit the network: {words[:500]}") from None


# ---- the description ----

def word(value):
    """A value in YAML's flow style."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(word(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return value if re.fullmatch("[A-Za-z_][A-Za-z0-9_.]*", value) else f'"{value}"'
    return repr(value)


def items_of(layers):
    """[(operation, settings)] of a description: settings with name, from and tensors."""
    items, before = [], "input"
    for layer in layers:
        settings = {"name": layer.name, **layer.settings}
        inputs = [source.name for source in layer.inputs]
        if len(inputs) > 1:
            settings["from"] = inputs
        elif inputs != [before]:
            settings["from"] = inputs[0]
        if layer.tensors:
            settings["tensors"] = layer.tensors
        items.append((layer.op, settings))
        before = layer.name
    return items


def describe(layers, source, resolution):
    """The text of the description."""
    lines = [f"# {source} of PyTorch {torch.__version__}, exported at {resolution[0]} x {resolution[1]}", "layers:"]
    lines += [f"  - {op}: {word(settings)}" for op, settings in items_of(layers)]
    return "\n".join(lines) + "\n"


class Exported:
    """A network as eigenscope's layers: `layers`, `weights` {name: array}, `notes`."""

    def __init__(self, layers, weights, notes):
        self.layers, self.weights, self.notes = layers, weights, notes


def random_images(n, resolution, seed):
    return torch.randn(n, 3, *resolution, generator=torch.Generator().manual_seed(seed))


def trace(model, resolution=32, fixed=()):
    """Translates a network. ExportError lists what cannot be expressed."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    first = next(model.parameters(), torch.zeros(()))
    images = random_images(BATCH, pair_of(resolution), 0).to(first.device, first.dtype)
    follow = Trace(model, lambda name: any(fnmatch.fnmatchcase(name, pattern) for pattern in fixed))
    try:
        with named(f"the network on {BATCH} images of 3 x {images.shape[2]} x {images.shape[3]}"):
            layers = follow.run(images)
    except DumpError as error:
        if not follow.errors:  # else the network failed because of them
            grey = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
            raise ExportError(f"{error}{hint(grey)}") from error
    finally:
        for module, mode in training.items():
            module.training = mode
    if follow.errors:
        errors = list(dict.fromkeys(follow.errors))
        raise ExportError(f"the network has {len(errors)} operation{'s' if len(errors) > 1 else ''} that eigenscope cannot express:"
                          + "".join(f"\n  {line}" for line in errors))
    used = {name for layer in layers for name in names_of(layer)}
    return Exported(layers, {name: tensor.numpy() for name, tensor in follow.weights.items() if name in used},
                    list(dict.fromkeys(follow.notes)))


def hint(first):
    """Why a network may have failed: its first convolution takes grey images."""
    if first is None or first.in_channels != 1:
        return "; is --resolution the size of its images?"
    return "; its first convolution takes 1 channel, but eigenscope's images have 3, equal ones for grey images"


SLOTS = {"conv": ("weight", "bias"), "linear": ("weight", "bias"), "layer_norm": ("weight", "bias"), "group_norm": ("weight", "bias"),
         "batch_norm": ("weight", "bias", "running_mean", "running_var"), "class_token": ("weight",), "position": ("weight",),
         "layer_scale": ("weight",), "self_attention": ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")}


def names_of(layer):
    """Names of the tensors of a layer."""
    return [layer.tensors.get(slot, f"{layer.name}.{slot}") for slot in SLOTS.get(layer.op, ())
            if layer.settings.get("bias", True) or "bias" not in slot]


def pair_of(resolution):
    return tuple(resolution) if isinstance(resolution, (tuple, list)) else (resolution, resolution)


# ---- the check ----

def find_program(path=None):
    """The program eigenscope: --program, EIGENSCOPE, build/ beside this folder, or PATH."""
    beside = pathlib.Path(__file__).resolve().parent.parent / "build" / "eigenscope"
    for candidate in (path, os.environ.get("EIGENSCOPE"), str(beside) if beside.exists() else None, shutil.which("eigenscope")):
        if candidate:
            return candidate
    raise ExportError("there is no program eigenscope to check the files with; build it (build/eigenscope), name it with --program, "
                      "or leave the check out with --no-check")


def run_program(program, description, weights, images):
    """Logits (N, classes) by eigenscope of images (N, 3, H, W)."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = os.path.join(folder, "images.safetensors"), os.path.join(folder, "logits.safetensors")
        convert_checkpoint.write_safetensors(given, {"images": np.ascontiguousarray(images.numpy().astype("float32"))})
        try:
            done = subprocess.run([program, "model", "run", description, weights, given, "--to", made], capture_output=True, text=True,
                                  check=False)
        except OSError as error:
            raise ExportError(f"{program} does not start: {error.strerror}") from None
        if done.returncode != 0:
            raise ExportError(f"{program} cannot run the description: {done.stderr.strip() or f'exit code {done.returncode}'}")
        return convert_checkpoint.read_safetensors(made)[0]["logits"]


def logits_of(model, images, double=True):
    """Logits by PyTorch, in float64 unless the network does not allow that."""
    model = copy.deepcopy(model).cpu().eval()
    with torch.no_grad():
        try:
            output = (model.double()(images.double()) if double else model.float()(images.float()))
        except RuntimeError:
            if not double:
                raise
            return logits_of(model, images, False)
    if hasattr(output, "logits"):
        output = output.logits
    if isinstance(output, dict):
        output = output.get("logits", next(iter(output.values())))
    return (output[0] if isinstance(output, (tuple, list)) else output).double().numpy()


def hiding(model):
    """Names of the weights that are all near zero, as at the end of a residual branch before training: they hide whatever is
    computed before them."""
    return [name for name, tensor in model.named_parameters()
            if not name.endswith("bias") and tensor.numel() > 0 and float(tensor.detach().abs().max()) < 1e-3]


def revealed(model):
    """A copy of the network with random numbers in the weights that hide others."""
    names, made = hiding(model), copy.deepcopy(model).cpu()
    generator = torch.Generator().manual_seed(2)
    for name, tensor in made.named_parameters():
        if name in names:
            fan = math.prod(tensor.shape[1:]) if tensor.dim() > 1 else 16
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator) / fan**0.5)
    return made


def check(model, description, weights, resolution, program=None, images=4):
    """Compares logits of random images. Returns (largest difference, largest logit)."""
    as_given = compare(model, description, weights, resolution, program, images)
    if not hiding(model):
        return as_given
    model = revealed(model)
    with tempfile.TemporaryDirectory() as folder:
        random = os.path.join(folder, "random.safetensors")
        convert_checkpoint.write_safetensors(random, trace(model, resolution).weights)
        return compare(model, description, random, resolution, program, images)


def compare(model, description, weights, resolution, program, images):
    given = random_images(images, pair_of(resolution), 1)
    found, expected = run_program(find_program(program), description, weights, given), logits_of(model, given)
    if found.shape != expected.shape:
        raise ExportError(f"eigenscope's logits have shape {list(found.shape)}, and PyTorch's {list(expected.shape)}")
    difference, largest = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    if not difference <= TOLERANCE * largest:
        raise ExportError(f"eigenscope's logits of random images differ from PyTorch's by {difference:.3g}, and the largest is "
                          f"{largest:.3g}; please report this network: the files are {description} and {weights}")
    return difference, largest


def export(model, to, weights, resolution=32, fixed=(), source=None):
    """Writes the description `to` and the file `weights`. Returns the Exported network."""
    made = trace(model, resolution, fixed)
    text = describe(made.layers, source or type(model).__name__, pair_of(resolution))
    convert_checkpoint.write_safetensors(weights, made.weights, {"source": source or type(model).__name__})
    part = f"{to}.{os.getpid()}.part"
    try:
        pathlib.Path(part).write_text(text, encoding="utf-8")
        os.replace(part, to)
    except OSError as error:
        raise ExportError(f"{to} cannot be written: {error.strerror}") from None
    return made


# ---- the command ----

def whole_number(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number of at least 1")
    return int(text)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", metavar="FILE.py:FUNCTION", help="a function that returns the network; or PACKAGE:FUNCTION, or "
                                                                    "torchvision:NAME")
    parser.add_argument("--to", required=True, metavar="NET.yaml", help="the description to write")
    parser.add_argument("--weights", required=True, metavar="NET.safetensors", help="the file of weights to write")
    parser.add_argument("--classes", type=whole_number, metavar="N", help="call the function with num_classes=N")
    parser.add_argument("--resolution", type=whole_number, default=32, metavar="N",
                        help="size of the images, N x N (default %(default)s)")
    parser.add_argument("--load", metavar="FILE", help="load this checkpoint into the network first (.pt, .safetensors, ...)")
    parser.add_argument("--key", help="the state_dict in the checkpoint, as of convert_checkpoint.py")
    parser.add_argument("--fixed", action="append", default=[], metavar="PATTERN",
                        help="layers whose channels `width` does not multiply, as \"features.0*\"; may be repeated")
    parser.add_argument("--program", metavar="PATH", help="the program eigenscope that checks the files")
    parser.add_argument("--no-check", action="store_true", help="do not compare logits by eigenscope with PyTorch's")
    return parser.parse_args()


def main():
    options = parse()
    try:
        model = build(options.network, options.classes)
        if options.load:
            load(model, options.load, options.key)
        if not options.no_check:
            program = find_program(options.program)
        made = export(model, options.to, options.weights, options.resolution, options.fixed, options.network)
        for note in made.notes:
            print(f"export_network: note: {note}", file=sys.stderr)
        parameters = sum(value.size for value in made.weights.values())
        print(f"{options.to}: {len(made.layers)} operations\n{options.weights}: {len(made.weights)} tensors, {parameters} numbers")
        if options.no_check:
            print("not checked")
            return
        difference, largest = check(model, options.to, options.weights, options.resolution, program)
        with_random = " (with random numbers in the weights that are near zero)" if hiding(model) else ""
        print(f"checked: logits of 4 random images differ from PyTorch's by {difference:.2g}, the largest is {largest:.3g}{with_random}")
    except (ExportError, DumpError, convert_checkpoint.ConvertError, convert_checkpoint.FileError) as error:
        sys.exit(f"export_network: {error}")


if __name__ == "__main__":
    main()
