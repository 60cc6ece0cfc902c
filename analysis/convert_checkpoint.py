#!/usr/bin/env python3
"""Converts PyTorch checkpoints (.pt, .pth, .tar, .ckpt) to safetensors files, which eigenscope reads, and back.

    /usr/bin/python3 analysis/convert_checkpoint.py run/epoch-005.pt --to run/epoch-005.safetensors
    /usr/bin/python3 analysis/convert_checkpoint.py run/*.pt --to "w/{stem}.safetensors"      # many at once
    /usr/bin/python3 analysis/convert_checkpoint.py dino.pth --to t.safetensors --key teacher --only backbone
    /usr/bin/python3 analysis/convert_checkpoint.py swa.pt --to swa.safetensors --drop n_averaged --drop "criterion.*"
    /usr/bin/python3 analysis/convert_checkpoint.py weights.safetensors --to weights.pt        # a plain state_dict

    from convert_checkpoint import read_safetensors, write_safetensors

A checkpoint is a state_dict, or it holds state_dicts in dictionaries and lists, as {"model": ..., "ema": ..., "epoch": 5}
does, or it is a whole module. If it holds several state_dicts, the program lists them and writes nothing: choose one with
--key (--key . for tensors that are not in any dictionary). States of optimizers do not count. Values of a state_dict that
are no weights are left out, and named. --drop and --only choose tensors by name. The program removes the prefixes that
DataParallel, torch.compile, Lightning and averages of weights add ("module.", "_orig_mod.", "model.", "ema_model.", ...), in
any order, if all names have them. Values keep their precision. The program prints which tensors it converted.

No code of a file runs, and PyTorch is not needed: see torch_file.py. --trust reads the file with PyTorch instead, which may
run code from it: use it only for tensors of classes that are not PyTorch's, in files that you trust. Needs python3-numpy;
--trust, and the way back to PyTorch, need python3-torch.
"""
import argparse
import fnmatch
import json
import math
import os
import pathlib
import re
import struct
import sys

try:
    import numpy as np
except ModuleNotFoundError:
    if __name__ != "__main__":
        raise
    sys.exit("convert_checkpoint: Python's numpy is missing; install it (python3-numpy in Debian)")

import torch_file
from torch_file import DTYPES, HEADER_MAX, FileError, Object, Tensor

INSIDE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")  # added at any place of a name
ADDED = (*INSIDE, "module", "_forward_module")  # no network has names of its own that begin so
WRAPPERS = (*ADDED, "model", "net", "network", "ema", "ema_model", "model_ema", "online_model")
DEPTH_MOST = 100  # of dictionaries in each other


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
        words = torch_file.describe(path)
        raise ConvertError(f"{path} {words or 'is cut off, or a PyTorch file; let the name of a PyTorch file end in .pt'}")
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
    """True if the value is an object of this class of PyTorch, which --trust imports before there are any."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module if name == "Module" else torch.Tensor)


def is_tensor(value):
    return isinstance(value, (Tensor, np.ndarray)) or torch_type(value, "Tensor")


def is_real(tensor):
    return re.match("b?float|B?F[0-9]", str(tensor.dtype).removeprefix("torch.")) is not None


def split_state(state):
    """Returns ({name: tensor}, [names of other values]). _extra_state holds settings of a layer, also if it is a tensor."""
    tensors = {name: value for name, value in state.items()
               if isinstance(name, str) and is_tensor(value) and name.rpartition(".")[2] != "_extra_state"}
    return tensors, [str(name) for name in state if name not in tensors]


def is_state(value):
    """True for a dictionary with a named array of real numbers. It may hold other values, such as _extra_state: None."""
    return isinstance(value, dict) and any(
        is_real(tensor) and len(tensor.shape) > 0 for tensor in split_state(value)[0].values())


def module_state(module, prefix="", depth=0):
    """The state_dict of a module that was saved as a whole; its class is not needed."""
    if depth > DEPTH_MOST:
        raise ConvertError("the modules of the file contain themselves")
    state, hidden = {}, module.attribute("_non_persistent_buffers_set") or ()
    for own in ("_parameters", "_buffers"):
        state |= {prefix + str(name): value for name, value in (module.attribute(own) or {}).items()
                  if value is not None and name not in hidden}
    for name, child in (module.attribute("_modules") or {}).items():
        if isinstance(child, Object):
            state |= module_state(child, f"{prefix}{name}.", depth + 1)
    return state


def find_states(value, path="", depth=0):
    """Returns [(dotted path, state_dict)] of all state_dicts in a checkpoint, in its order, without optimizers. A state_dict
    may hold others; the path of the checkpoint itself is ""."""
    if torch_type(value, "Module"):
        value = value.state_dict()
    elif isinstance(value, Object) and value.attribute("_parameters") is not None:
        value = module_state(value)
    if isinstance(value, (list, tuple)):
        items = list(enumerate(value))
    elif isinstance(value, dict) and "param_groups" not in value:
        # A dictionary with numbers as keys belongs to an optimizer.
        items = [(key, item) for key, item in value.items() if isinstance(key, str)]
    else:
        return []
    own = [(path, value)] if is_state(value) else []
    return own + [found for key, item in items if depth < DEPTH_MOST
                  for found in find_states(item, f"{path}.{key}" if path else str(key), depth + 1)]


def size_of(tensors):
    """Returns the numbers of tensors and of parameters (real numbers) as text."""
    parameters = sum(math.prod(tensor.shape) for tensor in tensors.values() if is_real(tensor))
    return f"{len(tensors)} tensor{'s' if len(tensors) != 1 else ''}, {parameters} parameter{'s' if parameters != 1 else ''}"


def shorten(names):
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def say_others(others):
    return f"; left out, because no weights: {shorten(others)}" if others else ""


def list_states(found):
    parts = [(path or ".", *split_state(state)) for path, state in found]
    width = max(len(path) for path, _, _ in parts)
    return "".join(f"\n  {path:{width}}  {size_of(tensors)}{say_others(others)}" for path, tensors, others in parts)


def contents(checkpoint):
    """Lists what a checkpoint without a state_dict holds."""
    if isinstance(checkpoint, Object):
        return f"an object of {checkpoint.origin}"
    if not isinstance(checkpoint, dict):
        return f"a {type(checkpoint).__name__}"
    return ", ".join(f"{key} (an object of {value.origin})" if isinstance(value, Object) else str(key)
                     for key, value in checkpoint.items()) or "nothing"


def choose_state(checkpoint, key=None):
    """Returns (path, state_dict) of the only state_dict in a checkpoint, or of the one at `key`, or of the only one below
    `key`. The state_dict may hold values that are no tensors (split_state)."""
    found = find_states(checkpoint)
    if not found:
        held = contents(checkpoint)
        trust = "; --trust reads such objects with PyTorch, but may run code from the file" if "an object of" in held else ""
        raise ConvertError(f"the file holds no state_dict; it holds: {held}{trust}")
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
    """Removes prefixes that a program added from one name."""
    while name.startswith(tuple(f"{part}." for part in ADDED)):
        name = name.partition(".")[2]
    return name


def plain_names(state):
    """Removes wrappers: those that all names share, and INSIDE anywhere."""
    plain = {re.sub(rf"(^|\.)(({'|'.join(INSIDE)})\.)+", r"\1", name): tensor for name, tensor in state.items()}
    if len(plain) < len(state):
        return state
    while plain and any(all(name.startswith(f"{part}.") for name in plain) for part in WRAPPERS):
        plain = {name.partition(".")[2]: tensor for name, tensor in plain.items()}
    return plain


def networks(state):
    """{first part of names: names below it} for the wrappers of a state with other first parts beside them."""
    parts = {}
    for name in state:
        part, dot, rest = name.partition(".")
        parts.setdefault(part, []).append(rest if dot else "")
    return {part: sorted(plain_names(dict.fromkeys(names))) for part, names in parts.items()
            if part in WRAPPERS and len(parts) > 1}


def check_one_network(state):
    """Refuses a state_dict with a network and its average in one dictionary."""
    parts = networks(state)
    same = [part for part, names in parts.items() if list(parts.values()).count(names) > 1]
    if same:
        raise ConvertError(f"the state_dict holds {len(same)} networks with equal names; choose one with --only: {', '.join(same)}")


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
        name, short = next((name, short) for name, short in zip(state, plain) if name != short)
        prefix = name.removesuffix(short)
        said += f"; removed the prefix {prefix}" if prefix != name else f"; renamed {name} to {short}, and others so"
    check_one_network(plain)
    for part in list(networks(plain))[:1]:
        said += f"; names begin with {first_parts(plain)}: --only {part} keeps one part, without this prefix"
    return plain, said


# ---- PyTorch ----

def load(path, trust):
    """Returns the content of a checkpoint."""
    if not trust:
        return torch_file.read(path)
    words = torch_file.describe(path)
    if words is not None:
        raise FileError(words)
    torch = need_torch("--trust")
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # objects in the file may raise anything
        raise ConvertError(f"PyTorch cannot read the file: {type(error).__name__}: {str(error).partition(chr(10))[0]}") from None


def need_torch(what):
    try:
        import torch
    except ImportError:
        raise ConvertError(f"{what} needs PyTorch (python3-torch in Debian), which is not installed") from None
    return torch


def to_array(tensor):
    """Returns (array, its dtype in the file, or None for that of the array)."""
    if isinstance(tensor, np.ndarray):
        return tensor, None
    if isinstance(tensor, Tensor):
        return tensor.array(), tensor.dtype
    import torch
    if tensor.is_meta:
        raise FileError(torch_file.NO_VALUES)
    tensor = tensor.detach().cpu()
    if tensor.is_sparse or tensor.is_quantized:
        raise FileError("is sparse or quantized, which safetensors cannot hold")
    if tensor.dtype == torch.bfloat16:
        return np.ascontiguousarray(tensor.contiguous().view(torch.int16).numpy()).reshape(tuple(tensor.shape)).view(np.uint16), "BF16"
    return np.ascontiguousarray(tensor.numpy()).reshape(tuple(tensor.shape)), None


def to_arrays(state):
    """Returns ({name: array}, {name: dtype in the file})."""
    arrays, dtypes = {}, {}
    for name, tensor in state.items():
        try:
            arrays[name], kind = to_array(tensor)
        except FileError as error:
            raise ConvertError(f"{name} {error}") from None
        except torch_file.READ_ERRORS as error:
            raise ConvertError(f"{name} cannot be read: {str(error).partition(chr(10))[0]}") from None
        if kind is not None:
            dtypes[name] = kind
    return arrays, dtypes


def to_tensors(arrays, dtypes):
    torch = need_torch("a file for PyTorch")
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
        if key is not None or only is not None or drop:
            raise ConvertError("--key, --only and --drop are for PyTorch files")
        arrays, _, dtypes = read_safetensors(source)
        tensors = to_tensors(arrays, dtypes)
        try:
            need_torch("a file for PyTorch").save(tensors, target)
        except (OSError, RuntimeError) as error:
            raise ConvertError(f"{target} cannot be written: {str(error).partition(chr(10))[0]}") from None
        return size_of(tensors)
    checkpoint = load(source, trust)
    path, state = choose_state(checkpoint, key)
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
    parser.add_argument("--trust", action="store_true", help="read with PyTorch, which may run code from the file; only for tensors of classes that are not PyTorch's")
    options = parser.parse_args()
    targets = [options.to.replace("{stem}", pathlib.Path(name).stem) for name in options.files]
    if len(set(targets)) < len(targets):
        sys.exit(f"convert_checkpoint: several files would be written to {options.to}; put {{stem}} into the name")
    for source, target in zip(options.files, targets):
        try:
            if source.endswith(".safetensors") == target.endswith(".safetensors"):
                raise ConvertError(f"the output is {target}; one of the two must end in .safetensors")
            if not os.path.isfile(source):
                raise ConvertError("is a folder; name the checkpoint in it" if os.path.isdir(source) else "there is no such file")
            if not os.path.isdir(os.path.dirname(target) or "."):
                raise ConvertError(f"there is no folder {os.path.dirname(target)} for {target}; make it with mkdir -p")
            print(f"{target}: {convert(source, target, options.key, options.trust, options.only, options.drop)}")
        except (ConvertError, FileError) as error:
            sys.exit(f"convert_checkpoint: {source}: {error}")


if __name__ == "__main__":
    main()
