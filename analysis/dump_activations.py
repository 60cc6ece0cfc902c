#!/usr/bin/env python3
"""Writes the outputs of the layers of a PyTorch model into an HDF5 file, which a job with `source: activations` measures.

    from dump_activations import dump
    dump(model, loader, "acts.h5")                                    # convolutions, linear layers, attention
    dump(model, loader, "acts.h5", layers=["features.*", torch.nn.Linear], dtype="float16")

    /usr/bin/python3 analysis/dump_activations.py analysis/examples/transformer.py:build --to acts.h5

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
import contextlib
import ctypes
import errno
import fnmatch
import hashlib
import importlib
import importlib.util
import json
import os
import sys
import warnings
import zlib

import h5py
import numpy as np
import torch
from torch import nn

DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
# Dumped unless `layers` is given.
USUAL = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear, nn.MultiheadAttention)
# Modules whose outputs of three axes are (N, C, L), not tokens (N, T, C).
CHANNELS_FIRST = (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.InstanceNorm1d, nn.MaxPool1d, nn.AvgPool1d,
                  nn.AdaptiveMaxPool1d, nn.AdaptiveAvgPool1d)
HALF_MAX = 65504.0
OVERHEAD = 1 << 16  # bytes of a file besides values, roughly


class DumpError(Exception):
    """A failure of a dump, as one sentence."""


# ---- the model ----

def select(model, layers):
    """{name: module} chosen by `layers` (glob patterns on names, types of modules, or None for the default)."""
    layers = USUAL if layers is None else [layers] if isinstance(layers, (str, type)) else list(layers)
    patterns = [layer for layer in layers if isinstance(layer, str)]
    types = tuple(layer for layer in layers if not isinstance(layer, str))
    named = {name: module for name, module in model.named_modules() if name}
    for pattern in patterns:
        if not fnmatch.filter(named, pattern):
            raise DumpError(f"no module of the model is named {pattern}; its modules are {', '.join(named)}")
    chosen = {name: module for name, module in named.items()
              if isinstance(module, types) or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}
    if not chosen:
        raise DumpError("no module of the model has one of the requested types")
    return chosen


def to_rows(name, module, output, n, dtype, time_first):
    """Returns an output in stored layout, as a copy, because the model may change outputs in place."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]  # attention: (output, weights); recurrent: (output, state)
    if not isinstance(output, torch.Tensor) or output.dim() not in (2, 3, 4) or not output.is_floating_point():
        what = f"{output.dtype} of {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise DumpError(f"the output of {name} is {what}; it must be a tensor of floats with shape (N, C), (N, T, C) or "
                        "(N, C, H, W)")
    shape = tuple(output.shape)
    if shape[0] != n or (len(shape) == 3 and time_first and shape[1] == n):
        raise DumpError(f"the output of {name} has shape {shape} for a batch of {n} samples; the first axis must be the "
                        "samples (set batch_first=True for attention and recurrent layers)")
    output = output.detach()
    if output.dim() == 4:
        output = output.permute(0, 2, 3, 1)
    elif output.dim() == 3:
        output = (output.transpose(1, 2) if isinstance(module, CHANNELS_FIRST) else output).unsqueeze(1)
    if dtype == torch.float16 and bool((output.abs() > HALF_MAX).logical_and(output.isfinite()).any()):
        warnings.warn(f"{name}: values beyond {HALF_MAX:.0f} become infinite in float16; use float32", stacklevel=2)
    return torch.empty(output.shape, dtype=dtype).copy_(output).numpy()


class Hooks:
    """Collects the outputs of modules in order of calls, while the model runs on one batch."""

    def __init__(self, model, chosen, dtype):
        self.dtype, self.n, self.outputs, self.kinds, self.calls = dtype, 0, {}, {}, {}
        self.time_first = any(getattr(module, "batch_first", True) is False for module in model.modules())
        self.handles = [module.register_forward_hook(self.hook(name)) for name, module in chosen.items()]

    def hook(self, name):
        def keep(module, _, output):
            self.calls[name] = self.calls.get(name, 0) + 1
            call = name.replace("/", ".") + (f":{self.calls[name]}" if self.calls[name] > 1 else "")
            self.outputs[call] = to_rows(call, module, output, self.n, self.dtype, self.time_first)
            self.kinds[call] = type(module).__name__
        return keep

    def run(self, model, inputs, n):
        self.n, self.outputs, self.calls = n, {}, {}
        if isinstance(inputs, dict):
            model(**inputs)
        elif isinstance(inputs, (tuple, list)):
            model(*inputs)
        else:
            model(inputs)
        return self.outputs

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

def usual_unpack(batch):
    if isinstance(batch, torch.Tensor):
        return batch, None
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    raise DumpError("a batch is neither a tensor nor a pair (inputs, labels); give `unpack`, a function that makes such a "
                    "pair of it")


def count_samples(loader):
    """Number of samples in the loader."""
    if isinstance(loader, torch.utils.data.DataLoader) and loader.batch_size is not None:
        with contextlib.suppress(TypeError):  # a stream has no length
            n = len(loader.sampler)
            return n - n % loader.batch_size if loader.drop_last else n
    if isinstance(loader, (list, tuple)):
        return sum(len(batch if isinstance(batch, torch.Tensor) else batch[0]) for batch in loader)
    raise DumpError("the loader does not say how many samples it has; give their number as `samples`")


class Batch:
    """Inputs and labels of a batch."""

    def __init__(self, inputs, labels):
        self.inputs = inputs
        values = inputs.values() if isinstance(inputs, dict) else inputs
        values = [values] if isinstance(values, torch.Tensor) else values
        self.tensors = [value for value in values if isinstance(value, torch.Tensor) and value.dim() > 0]
        if not self.tensors:
            raise DumpError("the inputs of a batch contain no tensor")
        self.n = len(self.tensors[0])
        self.labels = None if labels is None else torch.as_tensor(labels)
        if self.labels is not None:
            kind, shape = self.labels.dtype, tuple(self.labels.shape)
            if kind.is_floating_point or kind.is_complex or kind == torch.bool or shape != (self.n,):
                raise DumpError(f"labels have type {kind} and shape {shape}; they must be integers of shape ({self.n},), one "
                                "for each sample")
            self.tensors.append(self.labels)

    def checksums(self, before, first, end):
        """Continues the checksums of earlier samples with first ... end-1 of this batch; one checksum per tensor."""
        before = before or [0] * len(self.tensors)
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


# ---- the file ----

@contextlib.contextmanager
def writing(path):
    """Reports a full disk in one sentence; the file stays valid, so the dump can be resumed."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # HDF5 raises either, with long messages
        words = str(error)
        reason = words.partition("error message = '")[2].partition("'")[0]
        reason = reason or getattr(error, "strerror", None) or words.partition("\n")[0]
        raise DumpError(f"{path} cannot be written: {reason}; run the same dump again when it can, and it continues") from None


def reserve(path, size):
    """Reserves disk space for the whole file if the file system supports it. A full disk must show now, because HDF5 may not
    survive it later (posix_fallocate would write zeros without support)."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if fallocate is not None and fallocate(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size)) != 0:
            reason = ctypes.get_errno()
            if reason not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise OSError(reason, os.strerror(reason))
    except OSError:
        os.remove(path)
        raise
    finally:
        os.close(descriptor)


def create_dataset(file, name, shape, dtype):
    """Creates a contiguous dataset with allocated space, so that filling it changes only its values."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), h5py.h5s.create_simple(shape), plist)


def create(path, request, outputs, kinds, batch):
    """Creates the complete layout of <path>.part, or nothing if the process is killed here."""
    new = f"{path}.part.new"
    samples = request["samples"]
    if "labels" in outputs:
        raise DumpError("a module of the model is named labels, the name of the dataset of labels; rename it or leave it out "
                        "with `layers`")
    with writing(new):
        reserve(new, sum(samples * rows[0].nbytes for rows in outputs.values()) + samples * 8 + OVERHEAD)
        lay_out(new, request, outputs, kinds, batch)
        reserve(new, os.path.getsize(new))
        os.replace(new, f"{path}.part")


def lay_out(new, request, outputs, kinds, batch):
    samples = request["samples"]
    with h5py.File(new, "w", locking="best-effort") as file:
        for name, rows in outputs.items():
            create_dataset(file, name, (samples,) + rows.shape[1:], rows.dtype)
            file[name].attrs["kind"] = kinds[name]
        if batch.labels is not None:
            create_dataset(file, "labels", (samples,), np.int64)
        file.attrs["creator"] = "eigenscope dump_activations"
        file.attrs["layers"] = np.array(list(outputs), dtype=h5py.string_dtype())
        file.attrs["request"] = json.dumps(request, sort_keys=True)
        file.attrs["samples"] = np.int64(samples)
        file.attrs["complete"] = np.int64(0)
        file.attrs["progress"] = np.zeros(1 + len(batch.tensors), dtype=np.int64)  # samples, then checksums


def open_part(path):
    try:
        return h5py.File(f"{path}.part", "r+", locking="best-effort")
    except BlockingIOError:
        raise DumpError(f"{path}.part: another dump is writing to it") from None
    except OSError as error:
        raise DumpError(f"{path}.part cannot be opened ({error}); remove it to start again") from None


def check_request(path, file, request):
    """True if the file was made by the same dump request."""
    there = json.loads(file.attrs["request"]) if "request" in file.attrs else {}
    for key, value in request.items():
        if there.get(key) != value:
            raise DumpError(f"{path} exists, from a dump with {key} {there.get(key)}; this dump has {value}; remove the file "
                            "or choose another path")


def check_outputs(file, outputs):
    names = [name for name in file.attrs["layers"]]
    if names != list(outputs):
        raise DumpError(f"the model called {', '.join(outputs)} for a batch, and {', '.join(names)} for the batches before")
    for name, rows in outputs.items():
        if file[name].shape[1:] != rows.shape[1:]:
            raise DumpError(f"the output of {name} has shape {rows.shape[1:]} for a sample, and had {file[name].shape[1:]} before; "
                            "all samples must have the same shape (pad sequences to the same length)")


def write_rows(file, done, skip, batch, outputs, checksums):
    """Writes a batch without its first `skip` samples; counts it after it was written."""
    end = done + batch.n - skip
    for name, rows in outputs.items():
        file[name][done:end] = rows[skip:]
    if ("labels" in file) != (batch.labels is not None):
        raise DumpError("some batches have labels and others have none")
    if batch.labels is not None:
        file["labels"][done:end] = batch.labels.cpu().numpy()[skip:]
    file.flush()
    file.attrs.modify("progress", np.array([end] + checksums, dtype=np.int64))  # in place
    file.flush()
    return end


def finish(path, file):
    """Marks the file complete, syncs it, and then renames it."""
    file.attrs.modify("complete", np.int64(1))
    file.close()
    part = f"{path}.part"
    for name in (part, os.path.dirname(os.path.abspath(path))):
        descriptor = os.open(name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if name == part:
            os.replace(part, path)


# ---- the dump ----

def check_called(model, chosen, hooks, layers):
    """Refuses modules requested by name that the model has but never calls; others give no layer."""
    silent = [name for name in chosen if name not in hooks.calls]
    if not hooks.calls:
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
        self.hooks = Hooks(model, self.chosen, DTYPES[request["dtype"]])
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


def dump(model, loader, path, layers=None, dtype="float32", *, samples=None, unpack=usual_unpack, device=None,
         progress=None):
    """Runs the model on all samples of the loader in inference mode and stores the outputs of its layers in `path`. Continues
    a dump that was killed; does nothing if the file is complete. Returns the path.

    layers    names of modules, as glob patterns (a star also matches dots), and types of modules; default USUAL
    dtype     type of the stored numbers: float16, float32 or float64
    samples   number of samples of the loader, if the loader does not know it
    unpack    function: batch -> (inputs, labels or None); inputs are a tensor, or a list or dictionary of the model's arguments
    device    device of the inputs; default: that of the model's first parameter
    progress  function, called with (samples done, samples) after each batch
    """
    if dtype not in DTYPES:
        raise DumpError(f"dtype is {dtype}; it must be float16, float32 or float64")
    path = os.fspath(path)
    samples = count_samples(loader) if samples is None else samples
    if samples < 1:
        raise DumpError("the loader has no samples")
    asked = USUAL if layers is None else [layers] if isinstance(layers, (str, type)) else layers
    request = {"dtype": dtype, "samples": samples, "weights": weights_of(model),
               "layers": [layer if isinstance(layer, str) else layer.__name__ for layer in asked]}
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
                checksums = work.take(batch, at, checksums, device)
                at += batch.n
                if progress is not None:
                    progress(work.done, samples)
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
    where, _, name = place.rpartition(":")
    if where.endswith(".py"):
        spec = importlib.util.spec_from_file_location(os.path.basename(where)[:-3], where)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        module = importlib.import_module(where)
    return getattr(module, name)()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", metavar="FILE.py:FUNCTION", help="a function without arguments that returns (model, loader); or "
                                                                  "MODULE:FUNCTION")
    parser.add_argument("--to", required=True, metavar="FILE.h5", help="the HDF5 file to write")
    parser.add_argument("--layers", nargs="+",
                        help="names of modules, as glob patterns; default: convolutions, linear layers, attention")
    parser.add_argument("--dtype", default="float32", choices=list(DTYPES),
                        help="type of the stored numbers (default %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    options = parser.parse_args()

    def say(done, samples):
        if not options.quiet:
            print(f"{options.to}: {done} of {samples} samples", file=sys.stderr, flush=True)
    try:
        model, loader = load(options.build)
        dump(model, loader, options.to, options.layers, options.dtype, progress=say)
    except DumpError as error:
        sys.exit(f"dump_activations: {error}")


if __name__ == "__main__":
    main()
