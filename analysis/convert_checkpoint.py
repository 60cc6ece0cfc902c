#!/usr/bin/env python3
"""Makes a safetensors file, which eigenscope reads, of a PyTorch checkpoint (.pt, .pth, .tar, .ckpt), or the other way.

    /usr/bin/python3 analysis/convert_checkpoint.py run/epoch-005.pt --to run/epoch-005.safetensors
    /usr/bin/python3 analysis/convert_checkpoint.py run/*.pt --to "w/{stem}.safetensors"      # many at once
    /usr/bin/python3 analysis/convert_checkpoint.py weights.safetensors --to weights.pt        # a plain state_dict

    from convert_checkpoint import read_safetensors, write_safetensors

A checkpoint is a state_dict, or a dictionary (of dictionaries) in which one is, as {"model_state_dict": ..., "epoch": 5}:
under one of NESTED, else the only one there; --key says which where there are more. "module." and "_orig_mod." in front of
all names, which DataParallel and torch.compile put there, are left out. Values keep their precision. Files are read with
PyTorch's weights_only, which runs nothing that a file brings along; --trust lifts that for checkpoints that hold other
Python objects, from whom you trust. Needs python3-torch, python3-numpy.
"""
import argparse
import json
import os
import pathlib
import struct
import sys

import numpy as np

NESTED = ("model_state_dict", "state_dict", "model_state", "model", "net", "network", "module", "weights")
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
        raise ConvertError(f"{path} is cut off or no safetensors file")
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
        raise ConvertError(f"{path} is no sound safetensors file: {error}") from None
    return tensors, metadata, dtypes


# ---- PyTorch ----

def is_state(value):
    """True for a dictionary that maps names to tensors only."""
    import torch
    return isinstance(value, dict) and bool(value) and all(
        isinstance(key, str) and isinstance(tensor, torch.Tensor) for key, tensor in value.items())


def find_states(checkpoint, path=""):
    """{dotted path: state_dict} of all state_dicts in a checkpoint, outermost first."""
    if is_state(checkpoint):
        return {path: checkpoint}
    found = {}
    if isinstance(checkpoint, dict):
        for key, value in checkpoint.items():
            found.update(find_states(value, f"{path}.{key}" if path else str(key)))
    return found


def choose_state(checkpoint, key):
    """Selects the state_dict to convert."""
    import torch
    if isinstance(checkpoint, torch.nn.Module):
        checkpoint = checkpoint.state_dict()
    found = find_states(checkpoint)
    if key is not None:
        if key not in found:
            raise ConvertError(f"there is no state_dict under {key}; there are {', '.join(filter(None, found)) or 'none'}")
        return found[key]
    usual = [path for name in NESTED for path in found if path.rpartition(".")[2] == name]
    if "" in found or usual:
        return found["" if "" in found else usual[0]]
    if len(found) != 1:
        raise ConvertError("no state_dict is in it" if not found else
                           f"several state_dicts are in it; --key must say which: {', '.join(found)}")
    return next(iter(found.values()))


def plain_names(state):
    """Removes prefixes that all names share."""
    while any(all(name.startswith(prefix) for name in state) for prefix in PREFIXES):
        state = {name.partition(".")[2]: tensor for name, tensor in state.items()}
    return state


def load_torch(path, trust):
    import pickle

    import torch
    try:
        return torch.load(path, map_location="cpu", **({} if trust else {"weights_only": True}))
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0]
        raise ConvertError(f"{path} holds more than weights ({reason}); --trust reads it all the same, which runs what is "
                           "in it") from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise ConvertError(f"{path} is no sound PyTorch file: {str(error).partition(chr(10))[0]}") from None


def to_arrays(state):
    """Returns ({name: array}, {name: "BF16"} of the bfloat16 tensors)."""
    import torch
    arrays, dtypes = {}, {}
    for name, tensor in state.items():
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


def convert(source, target, key=None, trust=False):
    """Converts one file; the direction follows from which of the two is a .safetensors file."""
    if str(source).endswith(".safetensors"):
        import torch
        arrays, _, dtypes = read_safetensors(source)
        torch.save(to_tensors(arrays, dtypes), target)
        return len(arrays)
    state = plain_names(choose_state(load_torch(source, trust), key))
    arrays, dtypes = to_arrays(state)
    write_safetensors(target, arrays, {"format": "pt", "converted_from": os.path.basename(source)}, dtypes)
    return len(arrays)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="checkpoints of PyTorch, or .safetensors")
    parser.add_argument("--to", required=True, metavar="FILE", help="where to; {stem} stands for the name without its ending")
    parser.add_argument("--key", help="where in the checkpoint the state_dict is, as ema.state_dict")
    parser.add_argument("--trust", action="store_true", help="read Python objects too, which runs code in the file")
    options = parser.parse_args()
    targets = [options.to.replace("{stem}", pathlib.Path(name).stem) for name in options.files]
    if len(set(targets)) < len(targets):
        sys.exit(f"convert_checkpoint: {len(targets)} files go to {options.to}; put {{stem}} into it")
    try:
        for source, target in zip(options.files, targets):
            if source.endswith(".safetensors") == target.endswith(".safetensors"):
                raise ConvertError(f"{source} to {target}: one of both must be a .safetensors, and not the other")
            if not os.path.isfile(source):
                raise ConvertError(f"there is no file {source}")
            print(f"{target}: {convert(source, target, options.key, options.trust)} tensors")
    except ConvertError as error:
        sys.exit(f"convert_checkpoint: {error}")


if __name__ == "__main__":
    main()
