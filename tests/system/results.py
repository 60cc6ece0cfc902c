"""Comparing result files: every variable, bit for bit, but for where and when a file was made."""
import pathlib

import h5py
import numpy as np

TIMES = {"seconds"}  # variables that differ from run to run


def variables(path):
    """All variables of a file by name, as arrays."""
    with h5py.File(path) as f:
        return {name: f[name][...] for name in f if name not in TIMES}


def differences(a, b):
    """Names of variables whose bits differ between two files."""
    left, right = variables(a), variables(b)
    names = sorted(set(left) | set(right))
    return [n for n in names if n not in left or n not in right or left[n].shape != right[n].shape
            or (left[n].tobytes() != right[n].tobytes() if left[n].dtype.kind != "O" else (left[n] != right[n]).any())]


def weights(path):
    """The tensors of a safetensors file, without its header."""
    data = pathlib.Path(path).read_bytes()
    return data[8 + int.from_bytes(data[:8], "little"):]


def assert_same(case, a, b):
    """Two output folders hold the same points with the same bits, weights included."""
    left, right = (sorted(p.name for p in (pathlib.Path(f) / "points").glob("*.h5")) for f in (a, b))
    case.assertTrue(left)
    case.assertEqual(left, right)
    for name in left:
        case.assertEqual(differences(pathlib.Path(a) / "points" / name, pathlib.Path(b) / "points" / name), [], name)
    for path in (pathlib.Path(a) / "checkpoints").glob("*.safetensors"):
        case.assertEqual(weights(path), weights(pathlib.Path(b) / "checkpoints" / path.name), path.name)


def attribute(path, name):
    with h5py.File(path) as f:
        value = f.attrs[name]
    return value.decode() if isinstance(value, bytes) else value


def read(path, name):
    with h5py.File(path) as f:
        return np.array(f[name][...])
