#!/usr/bin/env python3
"""Writes the outputs of the layers of a PyTorch model into an HDF5 file, which a job with `source: activations` measures.

    from dump_activations import dump
    dump(model, loader, "acts.h5")                                    # convolutions, linear layers, attention
    dump(model, loader, "acts.h5", layers=["features.*", torch.nn.Linear], dtype="float16")

    dump(model, loader, "acts.h5", layers=["encoder.layer.#", "hidden_states.*"], tokens="mean")   # transformers' models

    /usr/bin/python3 analysis/dump_activations.py analysis/examples/transformer.py:build --to acts.h5

A batch is a tensor, a pair (inputs, labels), or a dictionary of the model's arguments, as a tokenizer's BatchEncoding; labels in
a dictionary are taken out of it. `unpack` makes such a pair of any other batch. In names of layers a star stands for any
text, # for a number, and hidden_states.* for the hidden states that models of the package transformers return.

The file has one dataset for each layer, named as in the model, and one named `labels`. The root attribute `layers` lists
the layers in the order in which the model calls them. Rows are samples, in the order of the loader. An output of N samples
is stored in this shape:

    (N, C)          (N, C)
    (N, C, H, W)    (N, H, W, C)
    (N, T, C)       (N, 1, T, C)    each of the T tokens is a position, like a pixel of an image
    (N, C, L)       (N, 1, L, C)    of 1-d convolutions, norms and pools (CHANNELS_FIRST)

A module that the model calls k times for a batch gives k layers: relu, relu:2, relu:3 ...

A dump that was killed continues if the same dump is run again. Its file is named `<path>.part` until it is complete, and
can be opened at any moment; the attribute `progress` holds the number of samples in it. Samples that the file already
has are read from the loader and compared with the file by checksum, but the model does not compute them again. So the
loader must give the same samples in the same order (no shuffling), and the model must have the same weights; both are
checked. Only one dump may write to a path at a time. Needs python3-torch and python3-h5py.
"""
import argparse
import collections.abc
import contextlib
import fnmatch
import hashlib
import inspect
import os
import re
import sys
import time
import warnings
import zlib

try:
    import h5py
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f"dump_activations: Python's {error.name} is missing; install it (python3-{error.name} in Debian)")

from dump_file import check_outputs, check_request, create, finish, open_part, write_rows, writing
from user_code import DumpError, function_of, named

DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
# Dumped unless `layers` is given.
USUAL = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear, nn.MultiheadAttention)
# Modules whose outputs of three axes are (N, C, L), not tokens (N, T, C).
CHANNELS_FIRST = (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.InstanceNorm1d, nn.MaxPool1d, nn.AvgPool1d,
                  nn.AdaptiveMaxPool1d, nn.AdaptiveAvgPool1d)
HALF_MAX = 65504.0
TOKENS = ("all", "mean", "first", "last")
HIDDEN = "hidden_states"
LABELS = ("labels", "label", "label_ids")  # in a dictionary
PROGRESS_SECONDS = 60  # between lines where standard error is no terminal


# ---- the model ----

def matches(name, pattern):
    """True if a glob pattern, in which # stands for a number, matches a name."""
    parts = (fnmatch.translate(part)[len("(?s:"):-len(r")\Z")] for part in pattern.split("#"))
    return re.fullmatch("[0-9]+".join(parts), name, re.S) is not None


def as_list(layers):
    return USUAL if layers is None else [layers] if isinstance(layers, (str, type)) else list(layers)


def hidden_patterns(model, layers):
    """The patterns that mean hidden states, which the model returns if asked to; a module of this name comes first."""
    named = [name for name, _ in model.named_modules()]
    return [layer for layer in as_list(layers) if isinstance(layer, str) and layer.startswith(HIDDEN)
            and not any(matches(name, layer) for name in named)]


def select(model, layers):
    """{name: module} chosen by `layers` (patterns on names, types of modules, or None for the default)."""
    hidden = hidden_patterns(model, layers)
    layers = [layer for layer in as_list(layers) if layer not in hidden]
    patterns = [layer for layer in layers if isinstance(layer, str)]
    types = tuple(layer for layer in layers if not isinstance(layer, str))
    named = {name: module for name, module in model.named_modules() if name}
    for pattern in patterns:
        if not any(matches(name, pattern) for name in named):
            raise DumpError(f"no module of the model is named {pattern}; its modules are {', '.join(named)}")
    chosen = {name: module for name, module in named.items()
              if isinstance(module, types) or any(matches(name, pattern) for pattern in patterns)}
    if not chosen and not hidden:
        raise DumpError("no module of the model has one of the requested types")
    return chosen


def reduce_tokens(output, how, mask):
    """(N, T, C) to (N, C): the mean of the tokens, or the first or last one; without those that `mask` (N, T) leaves out."""
    n, t = output.shape[:2]
    if mask is None or tuple(mask.shape) != (n, t):
        mask = torch.ones(n, t)
    mask = mask.to(output.device) != 0
    if how == "mean":
        return (output * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    at = torch.arange(t, device=output.device)
    at = torch.where(mask, at, t).amin(1).clamp(max=t - 1) if how == "first" else torch.where(mask, at, -1).amax(1).clamp(min=0)
    return output[torch.arange(n, device=output.device), at]


def to_rows(name, module, output, hooks):
    """Returns an output in stored layout, as a copy, because the model may change outputs in place."""
    if isinstance(output, collections.abc.Mapping):
        output = tuple(output.values())
    if isinstance(output, (tuple, list)) and output:
        output = output[0]  # attention: (output, weights); recurrent: (output, state)
    if not isinstance(output, torch.Tensor) or output.dim() not in (2, 3, 4) or not output.is_floating_point():
        what = f"{output.dtype} of {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise DumpError(f"the output of {name} is {what}; it must be a tensor of floats with shape (N, C), (N, T, C) or "
                        "(N, C, H, W)")
    shape = tuple(output.shape)
    if shape[0] != hooks.n or (len(shape) == 3 and hooks.time_first and shape[1] == hooks.n):
        raise DumpError(f"the output of {name} has shape {shape} for a batch of {hooks.n} samples; the first axis must be the "
                        "samples (set batch_first=True for attention and recurrent layers)")
    output = output.detach()
    if output.dim() == 4:
        output = output.permute(0, 2, 3, 1)
    elif output.dim() == 3 and isinstance(module, CHANNELS_FIRST):
        output = output.transpose(1, 2).unsqueeze(1)
    elif output.dim() == 3 and hooks.tokens != "all":
        output = reduce_tokens(output, hooks.tokens, hooks.mask)
    elif output.dim() == 3:
        output = output.unsqueeze(1)
    if hooks.dtype == torch.float16 and bool((output.abs() > HALF_MAX).logical_and(output.isfinite()).any()):
        warnings.warn(f"{name}: values beyond {HALF_MAX:.0f} become infinite in float16; use float32", stacklevel=2)
    return torch.empty(output.shape, dtype=hooks.dtype).copy_(output).numpy()


def arguments_of(model):
    """Names of the arguments that a model takes; None if it takes any."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return None
    any_name = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)
    return None if any_name else {parameter.name for parameter in parameters}


class Hooks:
    """Collects the outputs of modules in order of calls, while the model runs on one batch; then its hidden states."""

    def __init__(self, model, chosen, dtype, tokens="all", hidden=()):
        self.dtype, self.tokens, self.hidden = dtype, tokens, hidden
        self.n, self.mask, self.outputs, self.kinds, self.calls = 0, None, {}, {}, {}
        self.time_first = any(getattr(module, "batch_first", True) is False for module in model.modules())
        self.handles = [module.register_forward_hook(self.hook(name)) for name, module in chosen.items()]
        self.taken = arguments_of(model)

    def hook(self, name):
        def keep(module, _, output):
            self.calls[name] = self.calls.get(name, 0) + 1
            call = name.replace("/", ".") + (f":{self.calls[name]}" if self.calls[name] > 1 else "")
            self.add(call, module, output)
        return keep

    def add(self, name, module, output):
        self.outputs[name] = to_rows(name, module, output, self)
        self.kinds[name] = type(module).__name__

    def run(self, model, inputs, n):
        self.n, self.outputs, self.calls, self.mask = n, {}, {}, None
        more = {f"output_{HIDDEN}": True} if self.hidden and (self.taken is None or f"output_{HIDDEN}" in self.taken) else {}
        if isinstance(inputs, dict):
            self.mask = inputs.get("attention_mask")
            inputs = {name: value for name, value in inputs.items() if self.taken is None or name in self.taken}
            result = model(**inputs, **more)
        elif isinstance(inputs, (tuple, list)):
            result = model(*inputs, **more)
        else:
            result = model(inputs, **more)
        if self.hidden:
            self.add_hidden(model, result)
        return self.outputs

    def add_hidden(self, model, result):
        states = result.get(HIDDEN) if isinstance(result, collections.abc.Mapping) else getattr(result, HIDDEN, None)
        if not isinstance(states, (tuple, list)):
            raise DumpError(f"the model returns no {HIDDEN}; name its modules with `layers`")
        found = [(f"{HIDDEN}.{i}", state) for i, state in enumerate(states)]
        for pattern in self.hidden:
            if pattern != HIDDEN and not any(matches(name, pattern) for name, _ in found):
                raise DumpError(f"the model returns no {pattern}; it has {HIDDEN}.0 to {HIDDEN}.{len(states) - 1}")
        for name, state in found:
            if any(pattern == HIDDEN or matches(name, pattern) for pattern in self.hidden):
                self.add(name, model, state)

    def remove(self):
        for handle in self.handles:
            handle.remove()


@contextlib.contextmanager
def inference(model):
    """Inference mode with hooks working. PyTorch's transformer layers have a fused inference path that calls no submodules, so
    hooks would not run; setting activation_relu_or_gelu to 0 disables this path."""
    training = {module: module.training for module in model.modules()}
    fused = {module: module.activation_relu_or_gelu for module in model.modules()
             if isinstance(module, nn.TransformerEncoderLayer)}
    model.eval()
    for module in fused:
        module.activation_relu_or_gelu = 0
    try:
        with torch.no_grad():
            yield
    finally:
        for module, value in fused.items():
            module.activation_relu_or_gelu = value
        for module, value in training.items():
            module.training = value


def as_bytes(tensor):
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def weights_of(model):
    """Fingerprint of all parameters and buffers."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(as_bytes(value) if value.numel() else b"")
    return digest.hexdigest()


# ---- the data ----

def is_labels(values, n):
    """True for one integer for each sample."""
    return (isinstance(values, torch.Tensor) and tuple(values.shape) == (n,)
            and not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool))


def unpack_dictionary(batch):
    """Takes the labels out of a dictionary. Those that are not one integer for each sample are left out."""
    inputs = dict(batch)
    found = [inputs.pop(name) for name in LABELS if name in inputs]
    n = len(next((value for value in inputs.values() if isinstance(value, torch.Tensor) and value.dim() > 0), ()))
    labels = [values for values in found if is_labels(values, n)]
    if found and not labels:
        warnings.warn("the labels of a batch are not one integer for each sample; they are left out", stacklevel=2)
    return inputs, labels[0] if labels else None


def usual_unpack(batch):
    if isinstance(batch, torch.Tensor):
        return batch, None
    if isinstance(batch, collections.abc.Mapping):
        return unpack_dictionary(batch)
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, (tuple, list)) and len(batch) == 1:
        return batch[0], None
    raise DumpError("a batch is neither a tensor, nor a pair (inputs, labels), nor a dictionary; give `unpack` (--unpack), a "
                    "function that makes such a pair of it")


def count_samples(loader, unpack):
    """Number of samples in the loader."""
    if isinstance(loader, torch.utils.data.DataLoader) and loader.batch_size is not None:
        with contextlib.suppress(TypeError):  # a stream has no length
            n = len(loader.sampler)
            return n - n % loader.batch_size if loader.drop_last else n
    if isinstance(loader, (list, tuple)):
        return sum(Batch(*unpack(batch)).n for batch in loader)
    raise DumpError("the loader does not say how many samples it has; give their number as `samples` (--samples), or how many "
                    "to use as `limit` (--limit)")


class Batch:
    """Inputs and labels of a batch."""

    def __init__(self, inputs, labels):
        inputs = dict(inputs) if isinstance(inputs, collections.abc.Mapping) else inputs
        self.inputs = inputs
        values = inputs.values() if isinstance(inputs, dict) else inputs
        values = [values] if isinstance(values, torch.Tensor) else values
        if not isinstance(values, collections.abc.Iterable) or isinstance(values, str):
            raise DumpError(f"the inputs of a batch are {type(inputs).__name__}; they must be a tensor, or a list or dictionary of "
                            "tensors")
        self.tensors = [value for value in values if isinstance(value, torch.Tensor) and value.dim() > 0]
        if not self.tensors:
            raise DumpError("the inputs of a batch contain no tensor (a tokenizer gives tensors with return_tensors=\"pt\")")
        self.n = len(self.tensors[0])
        self.labels = None if labels is None else torch.as_tensor(labels)
        if self.labels is not None:
            kind, shape = self.labels.dtype, tuple(self.labels.shape)
            if not is_labels(self.labels, self.n):
                raise DumpError(f"labels have type {kind} and shape {shape}; they must be integers of shape ({self.n},), one "
                                "for each sample")
            self.tensors.append(self.labels)

    def head(self, n):
        """The first n samples."""
        def cut(value):
            return value[:n] if isinstance(value, torch.Tensor) and value.dim() > 0 and len(value) == self.n else value
        inputs = self.inputs
        if isinstance(inputs, dict):
            inputs = {key: cut(value) for key, value in inputs.items()}
        else:
            inputs = [cut(value) for value in inputs] if isinstance(inputs, (tuple, list)) else cut(inputs)
        return Batch(inputs, None if self.labels is None else self.labels[:n])

    def checksums(self, before, first, end):
        """Continues the checksums of earlier samples with first ... end-1 of this batch; one checksum per tensor."""
        before = before or [0] * len(self.tensors)
        if len(before) != len(self.tensors):
            raise DumpError(f"a batch has {len(self.tensors)} tensors, labels included, and those before had {len(before)}; all "
                            "batches must have the same")
        return [zlib.crc32(as_bytes(tensor[first:end]), crc) if end > first else crc
                for tensor, crc in zip(self.tensors, before)]

    def to(self, device):
        def move(value):
            return value.to(device) if isinstance(value, torch.Tensor) else value
        if isinstance(self.inputs, dict):
            return {key: move(value) for key, value in self.inputs.items()}
        if isinstance(self.inputs, (tuple, list)):
            return [move(value) for value in self.inputs]
        return move(self.inputs)


# ---- the dump ----

def check_called(model, chosen, hooks, layers):
    """Refuses modules requested by name that the model has but never calls; others give no layer."""
    silent = [name for name in chosen if name not in hooks.calls]
    if not hooks.calls and chosen:
        raise DumpError(f"the model called none of its modules {', '.join(chosen)}")
    asked = {layers} if isinstance(layers, str) else {layer for layer in layers or [] if isinstance(layer, str)}
    for name in silent:
        if name in asked:
            raise DumpError(f"the model does not call {name}")
    modules = dict(model.named_modules())
    silent = [name for name in silent if not isinstance(modules[name.rpartition(".")[0]], nn.MultiheadAttention)]
    if silent:  # attention uses the weights of out_proj directly, and has the same output
        warnings.warn(f"the model does not call {', '.join(silent)}; the file has no such layers", stacklevel=3)


class Dump:
    """One dump in progress."""

    def __init__(self, model, path, layers, request):
        self.model, self.path, self.layers, self.request = model, path, layers, request
        self.chosen = select(model, layers)
        self.hooks = Hooks(model, self.chosen, DTYPES[request["dtype"]], request.get("tokens", "all"),
                           hidden_patterns(model, layers))
        self.file, self.done, self.checksums, self.checked = None, 0, [], True

    def resume(self):
        if os.path.exists(f"{self.path}.part"):
            self.file = open_part(self.path)
            check_request(f"{self.path}.part", self.file, self.request)
            progress = [int(value) for value in self.file.attrs["progress"]]
            self.done, self.checksums, self.checked = progress[0], progress[1:], progress[0] == 0

    def start(self, outputs, batch):
        check_called(self.model, self.chosen, self.hooks, self.layers)
        create(self.path, self.request, outputs, self.hooks.kinds, batch)
        self.file = open_part(self.path)

    def take(self, batch, at, checksums, device):
        """Processes a batch that starts at sample `at`, given the earlier checksums; returns the new ones."""
        skip = min(max(self.done - at, 0), batch.n)
        checksums = batch.checksums(checksums, 0, skip)
        if not self.checked and at + skip == self.done:
            if checksums != self.checksums:
                raise DumpError(f"the loader gives other samples than those already in {self.path}.part; it must give the "
                                "same samples in the same order (no shuffling)")
            self.checked = True
        if skip == batch.n:
            return checksums
        if at + batch.n > self.request["samples"]:
            raise DumpError(f"the loader gives more samples than `samples`, {self.request['samples']}")
        outputs = self.hooks.run(self.model, batch.to(device), batch.n)
        if self.file is None:
            self.start(outputs, batch)
        check_outputs(self.file, outputs)
        checksums = batch.checksums(checksums, skip, batch.n)
        with writing(f"{self.path}.part"):
            self.done = write_rows(self.file, self.done, skip, batch, outputs, checksums)
        return checksums

    def close(self):
        self.hooks.remove()
        if self.file is not None:
            with contextlib.suppress(OSError, RuntimeError):  # an earlier write may have failed
                self.file.close()


def dump(model, loader, path, layers=None, dtype="float32", *, samples=None, limit=None, unpack=usual_unpack, tokens="all",
         device=None, progress=None):
    """Runs the model on all samples of the loader in inference mode and stores the outputs of its layers in `path`. Continues
    a dump that was killed; does nothing if the file is complete. Returns the path.

    layers    names of modules, as glob patterns (a star also matches dots, # a number), and types of modules; default USUAL
    dtype     type of the stored numbers: float16, float32 or float64
    samples   number of samples of the loader, if the loader does not know it
    limit     number of samples to use at most, the first ones
    tokens    of outputs (N, T, C): all, or one vector for each sample: the mean over its tokens, the first or the last; with an
              attention_mask among the inputs, without padding. Then sequences may have any length
    unpack    function: batch -> (inputs, labels or None); inputs are a tensor, or a list or dictionary of the model's arguments
    device    device of the inputs; default: that of the model's first parameter
    progress  function, called with (samples done, samples) after each batch
    """
    if dtype not in DTYPES:
        raise DumpError(f"dtype is {dtype}; it must be float16, float32 or float64")
    if tokens not in TOKENS:
        raise DumpError(f"tokens is {tokens}; it must be one of {', '.join(TOKENS)}")
    path = os.fspath(path)
    try:
        samples = count_samples(loader, unpack) if samples is None else samples
    except DumpError:
        if limit is None:
            raise
        samples = limit
    samples = samples if limit is None else min(samples, limit)
    if samples < 1:
        raise DumpError("the loader has no samples")
    request = {"dtype": dtype, "samples": samples, "weights": weights_of(model),
               "layers": [layer if isinstance(layer, str) else layer.__name__ for layer in as_list(layers)],
               **({"tokens": tokens} if tokens != "all" else {})}
    if os.path.exists(path):
        with h5py.File(path, "r", locking=False) as file:
            check_request(path, file, request)
        return path
    if device is None:
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    work = Dump(model, path, layers, request)
    try:
        work.resume()
        at, checksums = 0, []
        with inference(model):
            for item in loader if work.done < samples else ():
                batch = Batch(*unpack(item))
                if limit is not None and at + batch.n > samples:
                    batch = batch.head(samples - at)
                checksums = work.take(batch, at, checksums, device)
                at += batch.n
                if progress is not None:
                    progress(work.done, samples)
                if limit is not None and at >= samples:
                    break
        if work.done < samples:
            raise DumpError(f"the loader ended after {at} of {samples} samples")
        with writing(f"{path}.part"):
            finish(path, work.file)
    finally:
        work.close()
    return path


# ---- the command ----

def load(place):
    """Returns model and loader of "file.py:function" or "package.module:function"."""
    function = function_of(place)
    with named(f"{place.rpartition(':')[2]}()"):
        made = function()
    if not isinstance(made, (tuple, list)) or len(made) != 2 or not isinstance(made[0], nn.Module):
        what = f"{len(made)} values" if isinstance(made, (tuple, list)) and len(made) != 2 else type(made).__name__
        raise DumpError(f"{place} returned {what}; it must return a pair (model, loader), the model a torch.nn.Module")
    return made


class Progress:
    """One line on a terminal, and a line a minute elsewhere."""

    def __init__(self, path, quiet):
        self.path, self.quiet, self.said, self.live = path, quiet, time.monotonic(), sys.stderr.isatty()
        self.first = None  # (time, samples) of the first call

    def __call__(self, done, samples):
        now = time.monotonic()
        self.first = self.first or (now, done)
        if self.quiet or not (self.live or done == samples or now - self.said >= PROGRESS_SECONDS):
            return
        self.said = now
        rate = (done - self.first[1]) / max(now - self.first[0], 1e-9)
        left = f", about {(samples - done) / rate:.0f} s left" if 0 < done < samples and rate > 0 else ""
        line = f"{self.path}: {done} of {samples} samples{left}"
        if self.live:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            print(f"\r{line[:width - 1]}\x1b[K", end="\n" if done == samples else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def positive(word):
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} must be a whole number of at least 1")
    return int(word)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", metavar="FILE.py:FUNCTION", help="a function without arguments that returns (model, loader); or "
                                                                  "MODULE:FUNCTION")
    parser.add_argument("--to", required=True, metavar="FILE.h5", help="the HDF5 file to write")
    parser.add_argument("--layers", nargs="+",
                        help="names of modules, as glob patterns in which # is a number (\"encoder.layer.#\"), or "
                             "\"hidden_states.*\"; default: convolutions, linear layers, attention")
    parser.add_argument("--dtype", default="float32", choices=list(DTYPES),
                        help="type of the stored numbers (default %(default)s)")
    parser.add_argument("--samples", type=positive, metavar="N", help="number of samples of a loader that does not know it")
    parser.add_argument("--limit", type=positive, metavar="N", help="use only the first N samples")
    parser.add_argument("--unpack", metavar="[FILE.py:]FUNCTION",
                        help="a function that makes a pair (inputs, labels or None) of a batch; without FILE.py: of the same file")
    parser.add_argument("--tokens", default="all", choices=TOKENS,
                        help="of outputs of sequences store all tokens, or one vector for each sequence, without padding; then "
                             "sequences may have any length (default %(default)s)")
    parser.add_argument("--device", help="device that the model runs on, as cuda or cpu; default: where the model is")
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    options = parser.parse_args()
    warnings.showwarning = lambda message, *_: print(f"dump_activations: warning: {message}", file=sys.stderr, flush=True)
    try:
        model, loader = load(options.build)
        unpack = usual_unpack
        if options.unpack is not None:
            same = "" if ":" in options.unpack else options.build.rpartition(":")[0] + ":"
            unpack = function_of(same + options.unpack)
        if options.device is not None:
            with named(f"--device {options.device}"):
                model.to(options.device)
        with named("the dump"):
            dump(model, loader, options.to, options.layers, options.dtype, samples=options.samples, limit=options.limit,
                 unpack=unpack, tokens=options.tokens, device=options.device, progress=Progress(options.to, options.quiet))
    except DumpError as error:
        sys.exit(f"dump_activations: {error}")
    except KeyboardInterrupt:
        sys.exit("\ndump_activations: stopped; run the same dump again, and it continues")


if __name__ == "__main__":
    main()
