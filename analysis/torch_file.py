"""Reads the tensors of PyTorch checkpoints with numpy alone, and runs no code from a file.

    from torch_file import FileError, Object, Tensor, read
    checkpoint = read("epoch-005.pt")       # dictionaries, lists, numbers, texts; Tensor for arrays; Object for other classes

Reads what torch.save writes, as a zip (since PyTorch 1.6) or in the older format, and plain pickles of tensors or numpy arrays.
PyTorch's own weights_only refuses files with the settings of Lightning or timm, and PyTorch 1.13 even files with an optimizer.
Here every class that is not known becomes an inert `Object`, which holds the values of the instance; nothing is imported.
For other files, FileError says what the first bytes show. Needs python3-numpy.
"""
import bz2
import gzip
import io
import lzma
import os
import pickle
import re
import struct
import zipfile
import zlib

import numpy as np

# Names of dtypes in safetensors files and in numpy. bfloat16 has no numpy type: its 16 bits are stored as uint16.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
          "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}
TORCH = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
         "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL"}
STORAGES = {"Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64", "Int": "I32", "Short": "I16",
            "Char": "I8", "Byte": "U8", "Bool": "BOOL", "Untyped": "U8", "ComplexFloat": "complex64",
            "ComplexDouble": "complex128"}
MAGIC = 0x1950a86a20f9469cfc6c  # begins the older format
HEADER_MAX = 100_000_000
READ_ERRORS = (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, KeyError,
               IndexError, TypeError, AttributeError, RuntimeError, NotImplementedError, MemoryError, OverflowError,
               RecursionError)


class FileError(Exception):
    """A file that cannot be read, as one sentence without the name of the file."""


# ---- what a file is ----

def text_of(head):
    """The first line of a text, or None for other bytes."""
    try:
        words = head.decode("utf-8-sig", "ignore").strip()
    except ValueError:
        return None
    line = words.partition("\n")[0].strip()
    return line[:80] if line and head.isascii() and all(c.isprintable() or c.isspace() for c in words) else None


def packed(path, head):
    """Describes a compressed file."""
    for magic, name, opener, tool, letter in ((b"\x1f\x8b", "gzip", gzip.open, "gunzip", "z"),
                                              (b"BZh", "bzip2", bz2.open, "bunzip2", "j"),
                                              (b"\xfd7zXZ", "xz", lzma.open, "unxz", "J")):
        if head.startswith(magic):
            try:
                with opener(path) as file:
                    inside = file.read(512)
            except (OSError, EOFError, zlib.error, lzma.LZMAError):
                return f"is compressed by {name}, and damaged or cut off; copy or download it again"
            if inside[257:262] == b"ustar":
                return f"is an archive (tar, {name}); unpack it with tar -x{letter}f, and convert the checkpoint in it"
            return f"is compressed by {name}; unpack it with {tool}, and convert the result"
    for magic, name in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"7z\xbc\xaf", "7-Zip"), (b"Rar!", "RAR")):
        if head.startswith(magic):
            return f"is compressed by {name}; unpack it, and convert the result"
    return None


def is_safetensors(head, size):
    return len(head) > 9 and head[8:9] == b"{" and 2 <= struct.unpack_from("<Q", head)[0] <= min(size - 8, HEADER_MAX)


def describe_text(head, size):
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"version https://git-lfs"):
        length = re.search(rb"size (\d+)", head)
        return (f"is a pointer of Git LFS, not the file itself{f' of {int(length[1])} bytes' if length else ''}; fetch the file "
                "with git lfs pull")
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "is a web page (HTML), not a checkpoint: the address was that of a page, or needs a login; download it again"
    if start.startswith(b"<"):
        return "is XML text, not a checkpoint, perhaps the answer of a server to a failed download"
    if b'"weight_map"' in head:
        return "is an index that names the parts of a checkpoint; convert each of these parts"
    if start.startswith((b'{"', b"{\n", b"{\r", b"{ ", b"[")):
        return "is JSON text, not a checkpoint"
    line = text_of(head)
    return f"is text, not a checkpoint; it begins: {line}" if line else None


def describe_zip(path, size):
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return f"is cut off or damaged: it begins as a zip file, but its list of contents is missing after {size} bytes; " \
               "copy or download it again"
    if any(re.fullmatch("[^/]+/(code/.*|constants.pkl)", name) for name in names):
        return ("is a TorchScript program (torch.jit.save); save its weights with "
                "torch.save(torch.jit.load(FILE).state_dict(), \"weights.pt\")")
    if any(re.fullmatch("([^/]+/)?data.pkl", name) for name in names):
        return None
    if "config.json" in names and any(name.endswith(".weights.h5") for name in names):
        return "is a Keras model (.keras), not a PyTorch checkpoint"
    if names and all(name.endswith(".npy") for name in names):
        return "is a NumPy archive (.npz), not a PyTorch checkpoint"
    return f"is a zip archive of other files ({', '.join(names[:3]) or 'none'}); unpack it, and convert the checkpoint in it"


def describe(path):
    """Says what a file is if it is no PyTorch checkpoint; None if its first bytes may be those of one."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(4096)
    if size == 0:
        return "is empty (0 bytes); copy or download it again"
    if head.startswith(b"PK\x03\x04"):
        return describe_zip(path, size)
    if re.match(rb"\x80[\x02-\x05]", head):
        return None
    if is_safetensors(head, size):
        return "is a safetensors file, which eigenscope reads as it is; let its name end in .safetensors"
    if len(head) > 9 and head[8:10] in (b'{"', b"{}"):
        return "is a safetensors file that is cut off; copy or download it again"
    if not head.strip(b"\0"):
        return f"begins with {len(head)} bytes of zeros: it was not copied or downloaded to its end"
    for magic, words in ((b"\x89HDF\r\n\x1a\n", "an HDF5 file, perhaps weights of Keras"), (b"\x93NUMPY", "a NumPy array (.npy)"),
                         (b"GGUF", "a GGUF file of llama.cpp"), (b"%PDF", "a PDF document"), (b"\x89PNG", "a picture (PNG)")):
        if head.startswith(magic):
            return f"is {words}, not a PyTorch checkpoint"
    if re.match(rb"\x08[\x01-\x1f](\x12.|[\x1a\x22\x32\x3a\x42])", head, re.S):
        return "is an ONNX model, not a PyTorch checkpoint; export the weights from PyTorch with torch.save"
    if head[257:262] == b"ustar":
        return "is an archive (tar); unpack it with tar -xf, and convert the checkpoint in it"
    return packed(path, head) or describe_text(head, size) or (
        f"is no PyTorch checkpoint; its first bytes are {head[:8].hex(' ')}")


# ---- values in a file ----

class Kind(str):
    """A dtype: a name of DTYPES, or PyTorch's name of another one."""


class Storage:
    """The bytes of one or several tensors; `read` gets them when they are used."""

    def __init__(self, kind, read):
        self.kind, self.read = kind, read


class Tensor:
    """A tensor in a file. `dtype` is a name of DTYPES, or PyTorch's name of a dtype that array() refuses."""

    def __init__(self, dtype="none", shape=(), storage=None, offset=0, strides=None, why=None):
        self.dtype, self.shape, self.storage, self.offset, self.strides, self.why = dtype, tuple(shape), storage, offset, strides, why

    def __setstate__(self, state):
        """The state of a numpy array: (version, shape, dtype, order is Fortran's, bytes). That of a parameter has no values."""
        if isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], Dtype):
            _, shape, dtype, fortran, data = state
            self.__dict__.update(from_numpy(data, dtype, shape, "F" if fortran else "C").__dict__)

    def array(self):
        """The values as a numpy array; bfloat16 as uint16. FileError for values that no array holds."""
        if self.why is None and self.dtype not in DTYPES:
            self.why = f"has the type {self.dtype}, which eigenscope does not read; save it as float32 or bfloat16"
        if self.why is not None:
            raise FileError(self.why)
        kind = np.dtype(DTYPES[self.dtype])
        numbers = (*self.shape, *self.strides, self.offset)
        if len(self.shape) != len(self.strides) or not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers):
            raise FileError("is damaged: its shape or strides are wrong")
        if 0 in self.shape:
            return np.zeros(self.shape, kind)
        data = self.storage.read()
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides))
        if (last + 1) * kind.itemsize > len(data):
            raise FileError(f"is damaged: it needs {(last + 1) * kind.itemsize} bytes of a storage of {len(data)}")
        flat = np.frombuffer(data, np.uint8)[self.offset * kind.itemsize:(last + 1) * kind.itemsize].view(kind)
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, self.shape, [n * kind.itemsize for n in self.strides])
                                    ).reshape(self.shape)


class Dtype:
    """A dtype of numpy, of numbers in either byte order."""

    def __init__(self, code, *_):
        self.code, self.order = str(code), "<"

    def __setstate__(self, state):
        self.order = state[1] if state[1] in "<>" else "<"

    def numpy(self):
        if not re.fullmatch("[<>|=]?[fiub][1248]?", self.code):
            raise FileError(f"is a numpy array of {self.code}, not of numbers")
        return np.dtype(self.code).newbyteorder(self.order)


class Object(dict):
    """An instance of a class that is not known, or its constructor: dictionary items, and `state`. Does nothing."""
    origin = "?"
    state = None

    def __new__(cls, *_, **__):
        return dict.__new__(cls)

    def __init__(self, *_, **__):
        dict.__init__(self)

    def __setstate__(self, state):
        self.state = state

    def append(self, value):
        pass

    def extend(self, values):
        pass

    add = append
    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def attribute(self, name):
        """An attribute of the instance, or None."""
        states = self.state if isinstance(self.state, tuple) else (self.state,)
        return next((state[name] for state in states if isinstance(state, dict) and name in state), None)


class Plain(dict):
    """An OrderedDict or defaultdict; attributes such as _metadata are left out."""

    def __setstate__(self, state):
        pass


def from_numpy(data, dtype, shape, order="C"):
    kinds = {np.dtype(name): kind for kind, name in DTYPES.items() if kind != "BF16"}
    if isinstance(data, str):  # pickles of Python 2
        data = data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        return Tensor(why="is a numpy array of objects, not of numbers")
    try:
        values = np.frombuffer(data, dtype.numpy()).reshape(shape, order=order)
    except FileError as error:
        return Tensor(why=str(error))
    values = np.array(values, values.dtype.newbyteorder("<"), order="C")
    strides = [n // values.itemsize for n in values.strides]
    data = values.tobytes()
    return Tensor(kinds[values.dtype], values.shape, Storage(None, lambda: data), 0, strides)


def rebuild(storage, offset, shape, strides, *rest):
    kind = next((value for value in rest if isinstance(value, Kind)), storage.kind)  # of _rebuild_tensor_v3
    return Tensor(kind, shape, storage, offset, strides)


NO_VALUES = "has no values (device `meta`, or a lazy module); save the network after its weights are loaded"


def without_values(dtype, shape, *_):
    return Tensor(dtype, shape, why=NO_VALUES)


def refused(words):
    return lambda *_: Tensor("F32", (0,), why=f"is {words}, which safetensors cannot hold; save it as a dense tensor")


def scalar(dtype, data=b""):
    """A single number of numpy."""
    return from_numpy(data, dtype, ()) if isinstance(dtype, Dtype) else None


def first(value, *_):
    return value


# Functions and classes that a file may name. Each other name becomes a class of Object, whose code never runs.
KNOWN = {
    "collections": {"OrderedDict": Plain, "defaultdict": lambda *_: Plain()},
    "builtins": {"set": set, "frozenset": frozenset, "list": list, "dict": Plain, "tuple": tuple, "complex": complex},
    "copyreg": {"_reconstructor": lambda cls, *_: cls()},
    "_codecs": {"encode": lambda text, *_: text.encode("latin1")},
    "torch": {"Size": tuple},
    "torch._utils": {
        "_rebuild_tensor": rebuild, "_rebuild_tensor_v2": rebuild, "_rebuild_tensor_v3": rebuild, "_rebuild_parameter": first,
        "_rebuild_parameter_with_state": first, "_rebuild_meta_tensor_no_storage": without_values,
        "_rebuild_sparse_tensor": refused("sparse"), "_rebuild_sparse_csr_tensor": refused("sparse"),
        "_rebuild_qtensor": refused("quantized"), "_rebuild_nested_tensor": refused("nested"),
        "_rebuild_device_tensor_from_numpy": first, "_rebuild_device_tensor_from_cpu_tensor": first},
    "torch._tensor": {"_rebuild_from_type_v2": lambda function, _, arguments, *__: function(*arguments)},
    "torch.nn.parameter": {"UninitializedParameter": lambda *_: without_values("F32", (0,)), "Parameter": first},
    "torch.storage": {"_load_from_bytes": lambda data: read_older(io.BytesIO(data))},
    "numpy": {"dtype": Dtype, "ndarray": Object},
    "numpy.core.multiarray": {"_reconstruct": lambda *_: Tensor(why="is an array without values"), "scalar": scalar},
    "numpy.core.numeric": {"_frombuffer": from_numpy},
}


class Unpickler(pickle.Unpickler):
    def __init__(self, file, storage_of):
        super().__init__(file, encoding="latin1")
        self.storage_of, self.classes = storage_of, {}

    def find_class(self, module, name):
        place = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")  # numpy 2, Python 2
        if name in KNOWN.get(place, ()):
            return KNOWN[place][name]
        if module.partition(".")[0] == "torch" and name.endswith("Storage"):
            return Kind(STORAGES.get(name.removesuffix("Storage"), name))
        if module == "torch" and re.match("(b?float|complex|q?u?int|bits)[0-9]|bool$", name):
            return Kind(TORCH.get(name, name))
        origin = f"{module}.{name}"
        return self.classes.setdefault(origin, type(name, (Object,), {"origin": origin}))

    def persistent_load(self, place):
        if isinstance(place, tuple) and len(place) > 1 and place[0] == "module":
            return place[1]  # a class in the older format: ("module", class, source file, source)
        if not isinstance(place, tuple) or len(place) < 5 or place[0] != "storage":
            raise FileError(f"refers to {type(place).__name__} values outside of the file, which is no format of PyTorch")
        return self.storage_of(*place[1:])


# ---- the two formats ----

def read_zip(path):
    archive = zipfile.ZipFile(path)
    pickled = next(name for name in archive.namelist() if re.fullmatch("([^/]+/)?data.pkl", name))
    folder, members = pickled.removesuffix("data.pkl"), {info.filename: info for info in archive.infolist()}

    def content(name):
        if name not in members:
            raise FileError(f"is damaged: {name} is missing in it")
        info = members[name]
        if getattr(info, "CRC", 1) == 0:
            del info.CRC  # torch.serialization.set_crc32_options(False) writes 0: zipfile must not check it
        return archive.read(info)

    def storage_of(kind, key, *_):
        return Storage(kind, lambda: content(f"{folder}data/{key}"))
    if f"{folder}byteorder" in members and content(f"{folder}byteorder") != b"little":
        raise FileError("has values in big-endian byte order; save it again on another machine")
    return Unpickler(io.BytesIO(content(pickled)), storage_of).load()


def read_older(file):
    """Reads the format before PyTorch 1.6: pickles, then the storages one after the other; or one plain pickle."""
    storages, sizes = {}, {}

    def storage_of(kind, key, _, n, view=None, *__):
        sizes[key] = np.dtype(DTYPES.get(kind, "<c16" if kind == "complex128" else "<c8" if kind == "complex64" else "u1")).itemsize
        if view is None:
            return Storage(kind, lambda: storages[key])
        start, end = view[1] * sizes[key], (view[1] + view[2]) * sizes[key]
        return Storage(kind, lambda: storages[key][start:end])

    def load():
        return Unpickler(file, storage_of).load()
    value = load()
    if not isinstance(value, int) or value != MAGIC:
        return value
    load()  # version of the format
    if load().get("little_endian") is False:
        raise FileError("has values in big-endian byte order; save it again on another machine")
    value = load()
    for key in load():
        length, = struct.unpack("<q", file.read(8))
        storages[key] = file.read(length * sizes[key])
        if length < 0 or len(storages[key]) < length * sizes[key]:
            raise FileError("is cut off; copy or download it again")
    return value


def read(path):
    """Returns the content of a checkpoint. FileError says what other files are, and what is wrong."""
    words = describe(path)
    if words is not None:
        raise FileError(words)
    try:
        with open(path, "rb") as file:
            return read_zip(path) if file.peek(2)[:2] == b"PK" else read_older(file)
    except READ_ERRORS as error:
        raise FileError(f"is damaged or cut off: {str(error).partition(chr(10))[0] or type(error).__name__}") from None
