#!/usr/bin/env python3
"""Converts PyTorch checkpoints (.pt, .pth, .tar, .ckpt) to safetensors files, which eigenscope reads, and back.

    /usr/bin/python3 analysis/convert_checkpoint.py run/epoch-005.pt --to run/epoch-005.safetensors
    /usr/bin/python3 analysis/convert_checkpoint.py run/*.pt --to "w/{stem}.safetensors"      # many at once
    /usr/bin/python3 analysis/convert_checkpoint.py dino.pth --to t.safetensors --key teacher --only backbone
    /usr/bin/python3 analysis/convert_checkpoint.py swa.pt --to swa.safetensors --drop n_averaged --drop "criterion.*"
    /usr/bin/python3 analysis/convert_checkpoint.py weights.safetensors --to weights.pt        # a plain state_dict

    from convert_checkpoint import read_safetensors, write_safetensors

A checkpoint is a state_dict, or it holds state_dicts in dictionaries and lists, as {"model": ..., "ema": ..., "epoch": 5}
does. If it holds several, the program lists them and writes nothing: choose one with --key (--key . for tensors that are
not in any dictionary). States of optimizers do not count. Values of a state_dict that are no tensors are left out, and
named. --drop and --only choose tensors by name. If all names begin with "module." or "_orig_mod.", which DataParallel
and torch.compile add, the program removes that prefix. Values keep their precision. The program prints which
tensors it converted.

Files are read with PyTorch's weights_only, which runs no code from a file. --trust reads files with other Python objects
too, and may run code from them: use it only for files that you trust. PyTorch 1.13 of Debian 12 needs --trust for files
with single numbers such as a learning rate. Needs python3-torch and python3-numpy.
"""
import argparse
import fnmatch
import json
import math
import os
import pathlib
import struct
import sys

import numpy as np

PREFIXES = ("module.", "_orig_mod.")
# bfloat16 has no numpy type: its 16 bits are stored as uint16.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
          "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}
HEADER_MAX = 100_000_000


class ConvertError(Exception):
    """A failure of a conversion, as one sentence."""


# ---- the format: 8 bytes of header length, a JSON header, the data ----

def write_safetensors(path, tensors, metadata=None, dtypes=None):
    """Writes {name: array} atomically; `dtypes` gives dtypes that numpy lacks (BF16)."""
    names = {np.dtype(kind): name for name, kind in DTYPES.items() if name != "BF16"}
    header, blocks, offset = {}, [], 0
    if metadata:
        header["__metadata__"] = {str(key): str(value) for key, value in metadata.items()}
    for name, value in sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        value = np.asarray(value)
        kind = (dtypes or {}).get(name) or names.get(value.dtype.newbyteorder("<"))
        if kind is None:
            raise ConvertError(f"{name} is {value.dtype}, which safetensors cannot hold")
        block = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [offset, offset + len(block)]}
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % 64)
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.writelines(blocks)
        os.replace(part, path)
    except OSError as error:
        pathlib.Path(part).unlink(missing_ok=True)
        raise ConvertError(f"{path} cannot be written: {error.strerror}") from None


def read_safetensors(path):
    """Reads ({name: array}, metadata, {name: dtype in the file}); BF16 as uint16."""
    data = pathlib.Path(path).read_bytes()
    if len(data) < 8 or struct.unpack_from("<Q", data)[0] > min(len(data) - 8, HEADER_MAX):
        raise ConvertError(f"{path} is cut off or not a safetensors file")
    length, = struct.unpack_from("<Q", data)
    try:
        header = json.loads(data[8:8 + length])
        metadata = header.pop("__metadata__", {})
        tensors, dtypes = {}, {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            block = data[8 + length + begin:8 + length + end]
            tensors[name] = np.frombuffer(block, DTYPES[entry["dtype"]]).reshape(entry["shape"])
            dtypes[name] = entry["dtype"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConvertError(f"{path} is not a valid safetensors file: {error}") from None
    return tensors, metadata, dtypes


# ---- the choice of tensors ----

def torch_type(value, name):
    """True if the value is an object of this class of PyTorch, which load_torch imports before there are any."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module if name == "Module" else torch.Tensor)


def is_tensor(value):
    return torch_type(value, "Tensor") or isinstance(value, np.ndarray)


def is_real(tensor):
    return "float" in str(tensor.dtype)


def split_state(state):
    """Returns ({name: tensor}, [names of other values])."""
    tensors = {name: value for name, value in state.items() if isinstance(name, str) and is_tensor(value)}
    return tensors, [str(name) for name in state if name not in tensors]


def is_state(value):
    """True for a dictionary with a named array of real numbers. It may hold other values, such as _extra_state: None."""
    return isinstance(value, dict) and any(
        is_real(tensor) and len(tensor.shape) > 0 for tensor in split_state(value)[0].values())


def find_states(value, path=""):
    """Returns [(dotted path, state_dict)] of all state_dicts in a checkpoint, in its order, without optimizers. A state_dict
    may hold others; the path of the checkpoint itself is ""."""
    if torch_type(value, "Module"):
        value = value.state_dict()
    if isinstance(value, (list, tuple)):
        items = list(enumerate(value))
    elif isinstance(value, dict) and "param_groups" not in value:
        # A dictionary with numbers as keys belongs to an optimizer.
        items = [(key, item) for key, item in value.items() if isinstance(key, str)]
    else:
        return []
    own = [(path, value)] if is_state(value) else []
    return own + [found for key, item in items for found in find_states(item, f"{path}.{key}" if path else str(key))]


def size_of(tensors):
    """Returns the numbers of tensors and of parameters (real numbers) as text."""
    parameters = sum(math.prod(tensor.shape) for tensor in tensors.values() if is_real(tensor))
    return f"{len(tensors)} tensor{'s' if len(tensors) != 1 else ''}, {parameters} parameters"


def shorten(names):
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def say_others(others):
    return f"; left out, because no tensors: {shorten(others)}" if others else ""


def list_states(found):
    parts = [(path or ".", *split_state(state)) for path, state in found]
    width = max(len(path) for path, _, _ in parts)
    return "".join(f"\n  {path:{width}}  {size_of(tensors)}{say_others(others)}" for path, tensors, others in parts)


def choose_state(checkpoint, key=None):
    """Returns (path, state_dict) of the only state_dict in a checkpoint, or of the one at `key`, or of the only one below
    `key`. The state_dict may hold values that are no tensors (split_state)."""
    found = find_states(checkpoint)
    if not found:
        keys = ", ".join(map(str, checkpoint)) if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise ConvertError(f"the file holds no state_dict; it holds: {keys or 'nothing'}")
    if key is None and len(found) > 1:
        raise ConvertError(f"the file holds {len(found)} state_dicts; choose one with --key:{list_states(found)}")
    if key is None:
        return found[0]
    below = [(path, state) for path, state in found if (path or ".") == key] or [
        (path, state) for path, state in found if path.startswith(key + ".")]
    if not below and len(found) == 1 and found[0][0] == "":
        raise ConvertError(f"there is no {key}; the file itself is a state_dict: leave --key out")
    if not below:
        raise ConvertError(f"there is no state_dict at --key {key}; the file holds:{list_states(found)}")
    if len(below) > 1:
        raise ConvertError(f"there are {len(below)} state_dicts at --key {key}; name one of them:{list_states(below)}")
    return below[0]


def bare(name):
    """Removes prefixes from one name."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def plain_names(state):
    """Removes prefixes that all names share."""
    while state and any(all(name.startswith(prefix) for name in state) for prefix in PREFIXES):
        state = {name.partition(".")[2]: tensor for name, tensor in state.items()}
    return state


def first_parts(state):
    """Lists the first parts of the names, for messages."""
    return shorten(list(dict.fromkeys(name.partition(".")[0] for name in plain_names(state))))


def drop_names(state, patterns):
    """Leaves out the tensors whose names match, with or without prefixes such as "module."."""
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(spelled, pattern) for name in state for spelled in (name, bare(name))):
            raise ConvertError(f"--drop {pattern} matches no tensor; names begin with: {first_parts(state)}")
    kept = {name: tensor for name, tensor in state.items()
            if not any(fnmatch.fnmatchcase(spelled, pattern) for pattern in patterns for spelled in (name, bare(name)))}
    if not kept:
        raise ConvertError("--drop leaves out every tensor")
    return kept


def keep_under(state, only):
    """Keeps the tensors under a prefix, without it. Other prefixes such as "module." may stand before it."""
    prefix = only.rstrip(".") + "."
    for spell in (str, bare):
        found = [(spell(name)[len(prefix):], tensor) for name, tensor in state.items() if spell(name).startswith(prefix)]
        if found:
            break
    else:
        raise ConvertError(f"no tensor is under --only {only}; names begin with: {first_parts(state)}")
    if len(dict(found)) < len(found):
        raise ConvertError(f"two tensors under --only {only} would have one name")
    return dict(found)


def select(state, only=None, drop=()):
    """Returns the chosen tensors, and as text what was left out or renamed."""
    said, before = "", len(state)
    if drop:
        state = drop_names(state, drop)
        said += f"; left out by --drop: {before - len(state)}"
    if only is not None:
        before, state = len(state), keep_under(state, only)
        said += f"; left out by --only: {before - len(state)}"
    plain = plain_names(state)
    if plain.keys() != state.keys():
        said += f"; removed the prefix {next(iter(state)).removesuffix(next(iter(plain)))}"
    return plain, said


# ---- PyTorch ----

def load_torch(path, trust):
    import pickle

    import torch
    try:
        return torch.load(path, map_location="cpu", **({} if trust else {"weights_only": True}))
    except pickle.UnpicklingError as error:
        reason = str(error).rpartition("WeightsUnpickler error: ")[2].partition("\n")[0]
        raise ConvertError(f"the file holds more than weights ({reason}); --trust reads it, but may run code from it") from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise ConvertError(f"the file is damaged or not a PyTorch file: {str(error).partition(chr(10))[0]}") from None


def to_arrays(state):
    """Returns ({name: array}, {name: "BF16"} of the bfloat16 tensors)."""
    import torch
    arrays, dtypes = {}, {}
    for name, tensor in state.items():
        if isinstance(tensor, np.ndarray):
            arrays[name] = tensor
            continue
        tensor = tensor.detach().cpu()
        if tensor.is_sparse or tensor.is_quantized:
            raise ConvertError(f"{name} is sparse or quantized, which safetensors cannot hold")
        if tensor.dtype == torch.bfloat16:
            dtypes[name] = "BF16"
            tensor = tensor.contiguous().view(torch.int16)
        arrays[name] = np.ascontiguousarray(tensor.numpy()).reshape(tuple(tensor.shape))
        if name in dtypes:
            arrays[name] = arrays[name].view(np.uint16)
    return arrays, dtypes


def to_tensors(arrays, dtypes):
    import torch
    tensors = {}
    for name, value in arrays.items():
        if dtypes[name] == "BF16":
            tensors[name] = torch.from_numpy(value.view(np.int16).copy()).view(torch.bfloat16)
        elif dtypes[name] in ("U16", "U32", "U64"):
            raise ConvertError(f"{name} is {dtypes[name]}, which PyTorch cannot hold")
        else:
            tensors[name] = torch.from_numpy(value.copy())
    return tensors


def convert(source, target, key=None, trust=False, only=None, drop=()):
    """Converts one file, and returns a text about the tensors. The file that ends in .safetensors decides the direction."""
    if str(source).endswith(".safetensors"):
        import torch
        if key is not None or only is not None or drop:
            raise ConvertError("--key, --only and --drop are for PyTorch files")
        arrays, _, dtypes = read_safetensors(source)
        tensors = to_tensors(arrays, dtypes)
        try:
            torch.save(tensors, target)
        except (OSError, RuntimeError) as error:
            raise ConvertError(f"{target} cannot be written: {str(error).partition(chr(10))[0]}") from None
        return size_of(tensors)
    path, state = choose_state(load_torch(source, trust), key)
    tensors, others = split_state(state)
    state, said = select(tensors, only, drop)
    arrays, dtypes = to_arrays(state)
    write_safetensors(target, arrays, {"format": "pt", "converted_from": os.path.basename(source)}, dtypes)
    return f"{size_of(state)} from {path or 'the state_dict'}{said}{say_others(others)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a PyTorch checkpoint, or a .safetensors file")
    parser.add_argument("--to", required=True, metavar="FILE",
                        help="the file to write; {stem} stands for the name of the input without folder and ending")
    parser.add_argument("--key", metavar="PATH",
                        help="the place of the state_dict in the checkpoint, as in ema.model, or . for tensors at its top")
    parser.add_argument("--only", metavar="PREFIX", help="keep only tensors whose names begin with PREFIX and a dot, and remove both")
    parser.add_argument("--drop", metavar="PATTERN", action="append", default=[],
                        help="leave out tensors whose names match, as in \"criterion.*\"; may be given several times")
    parser.add_argument("--trust", action="store_true", help="also read Python objects, which may run code from the file")
    options = parser.parse_args()
    targets = [options.to.replace("{stem}", pathlib.Path(name).stem) for name in options.files]
    if len(set(targets)) < len(targets):
        sys.exit(f"convert_checkpoint: several files would be written to {options.to}; put {{stem}} into the name")
    for source, target in zip(options.files, targets):
        try:
            if source.endswith(".safetensors") == target.endswith(".safetensors"):
                raise ConvertError(f"the output is {target}; one of the two must end in .safetensors")
            if not os.path.isfile(source):
                raise ConvertError("there is no such file")
            print(f"{target}: {convert(source, target, options.key, options.trust, options.only, options.drop)}")
        except ConvertError as error:
            sys.exit(f"convert_checkpoint: {source}: {error}")


if __name__ == "__main__":
    main()
