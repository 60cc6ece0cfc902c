#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets, a few kB. Run by hand with /usr/bin/python3 (python3-h5py, python3-pil) in this
folder, with EIGENSCOPE naming the program. What fuzzing found is beside them, as found_*."""
import gzip
import io
import json
import os
import pathlib
import struct
import subprocess
import tempfile

import h5py
import numpy
from PIL import Image

SEEDS = pathlib.Path("seeds")


def put(target, name, data):
    path = SEEDS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def safetensors():
    header = {"a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
              "b": {"dtype": "F16", "shape": [], "data_offsets": [24, 26]},
              "c": {"dtype": "U8", "shape": [0, 4], "data_offsets": [26, 26]}, "__metadata__": {"format": "pt", "\u00e9": "\n"}}
    text = json.dumps(header).encode()
    put("safetensors", "small", struct.pack("<Q", len(text)) + text + bytes(range(26)))
    put("safetensors", "empty", struct.pack("<Q", 2) + b"{}")
    put("safetensors", "huge", struct.pack("<Q", 100 << 30) + b"{}")


def idx():
    images = struct.pack(">IIII", 0x803, 6, 3, 2) + bytes(range(36))
    labels = struct.pack(">II", 0x801, 6) + bytes([0, 1, 2, 0, 1, 2])
    put("idx", "images", b"\0" + images)
    put("idx", "labels", b"\1" + labels)
    put("idx", "eval_images", b"\2" + struct.pack(">IIII", 0x803, 4, 3, 2) + bytes(24))
    put("idx", "images_packed", b"\4" + gzip.compress(images, mtime=0))
    put("idx", "labels_packed", b"\5" + gzip.compress(labels, mtime=0))
    put("idx", "huge", b"\0" + struct.pack(">IIII", 0x803, 2**31 - 1, 8000, 8000) + bytes(36))


def cifar():
    def record(*labels):
        return bytes(labels) + b"\x07" * 3072

    put("cifar", "batch", b"\4" + gzip.compress(record(1), mtime=0))
    put("cifar", "eval", b"\5" + gzip.compress(record(0) + record(2), mtime=0))
    put("cifar", "fine", b"\6" + gzip.compress(b"".join(record(0, i % 3) for i in range(4)), mtime=0))
    put("cifar", "fine_eval", b"\7" + gzip.compress(record(0, 1), mtime=0))
    put("cifar", "plain", b"\0" + record(1)[:100])


def npy():
    for name, array in (("floats", numpy.arange(6, dtype="<f4").reshape(3, 2)),
                        ("doubles", numpy.arange(24, dtype=">f8").reshape(3, 2, 2, 2)),
                        ("halves", numpy.arange(6, dtype="<f2").reshape(3, 2)), ("labels", numpy.arange(3, dtype="<u2"))):
        out = io.BytesIO()
        numpy.save(out, array)
        put("npy", name, (b"\1" if name == "labels" else b"\0") + out.getvalue())


def hdf5():
    for name, options in (("plain", {}), ("chunked", {"chunks": (2, 3, 2, 1), "compression": 1, "shuffle": True})):
        out = io.BytesIO()
        with h5py.File(out, "w", libver="latest" if name == "chunked" else "earliest") as file:
            for split, n in (("train", 4), ("eval", 2)):
                file.create_dataset(f"{split}/images", data=numpy.arange(n * 6, dtype=numpy.uint8).reshape(n, 3, 2, 1), **options)
                file[f"{split}/labels"] = numpy.arange(n) % 2
        put("hdf5", name, out.getvalue())


def activations():
    out = io.BytesIO()
    with h5py.File(out, "w", libver="latest", track_order=True) as file:
        file["fc"] = numpy.arange(6, dtype=numpy.float32).reshape(3, 2)
        file.create_dataset("block/conv", data=numpy.ones((3, 2, 2, 1), numpy.float16), chunks=(1, 2, 2, 1), compression=1)
        file["labels"] = numpy.arange(3)
        file.attrs["layers"] = ["block.conv", "fc"]
    put("activations", "small", out.getvalue())


def image():
    y, x = numpy.mgrid[0:9, 0:11]
    grey = Image.fromarray((20 * x + 3 * y).astype(numpy.uint8))
    colour = Image.merge("RGB", (grey, grey.rotate(180), grey))
    for name, picture, options in (
            ("grey.jpg", grey, {}), ("colour.jpg", colour, {"quality": 50}), ("cmyk.jpg", colour.convert("CMYK"), {"quality": 30}),
            ("progressive.jpg", colour, {"progressive": True}), ("grey.png", grey, {}), ("alpha.png", colour.convert("RGBA"), {}),
            ("palette.png", colour.quantize(5), {"transparency": 1}), ("bits.png", grey.convert("1"), {})):
        out = io.BytesIO()
        picture.save(out, "JPEG" if name.endswith("jpg") else "PNG", **options)
        put("image", name, out.getvalue())


def job():
    put("job", "train", b"name: x\noutput: $HOME/y\ngrid:\n  dataset: [shapes]\n  model: [vgg11, late]\n  width: [1/16, 0.5]\n"
        b"  train.learning_rate: [0.1, 1.0e-2]\nmodels:\n  late: {vgg: [64, M, 128, A]}\ndatasets:\n"
        b"  shapes: {format: synthetic, classes: 3, limit: {train: 5, eval: all}}\n"
        b"train: {epochs: 3, schedule: {step: 7, gamma: 0.1}, augment: [crop, flip]}\nmeasure: {delta: [0.9], method: {pool: 2}}\n")
    put("job", "checkpoint", b"name: z\nsource: checkpoint\ngrid: {dataset: fashion-mnist, model: vgg11}\n"
        b"checkpoints: {files: \"{model}-{width}-{epoch:03}.safetensors\", epochs: [1, 5]}\n")
    put("job", "activations", b"name: a\nsource: activations\nactivations: {file: \"acts-{epoch}.h5\", epochs: [0, 1]}\n")
    put("job", "list", b"{name: y, grid: [{dataset: a, model: mlp}, {dataset: a, model: vgg13, seed: [1, 2]}],\n"
        b" datasets: {a: {format: idx, path: ${PATH}/$$x, fit: pad, normalize: {mean: [0.1], std: [1, 2, 3]}}}}\n")


    put("job", "resolved", b"# A resolved job, written by eigenscope: all settings.\n# job: /x/y.yaml\n# set: train.epochs=3\n"
        b"output: \"/x/z\"\nname: \"x\"\ngrid:\n  - dataset: [\"a\",  # line 3\n      \"b\"]  # line 4\n    model: [\"mlp\"]  # line 12345678\n"
        b"datasets:\n  \"a\":  # line 7\n    format: synthetic\n  \"b\":  # line x9\n    format: synthetic\n")
    put("job", "sets", b"name: x\ngrid: {dataset: a, model: mlp}\ndatasets: {a: {format: synthetic}}\n\0grid.seed=[1, 2]\0train.epochs=3\0"
        b"datasets.a.classes=4")
    put("job", "described", b"name: u\ngrid: {dataset: fashion-mnist, model: m, model.d: [1, 2], classes: 10}\nmodels:\n m:\n"
        b"  parameters: {d: 2, e: 0.5}\n  layers:\n  - conv: {name: a, channels: 8 * d, kernel: [3, 1], stride: 2, padding: same}\n"
        b"  - repeat: {times: d, layers: [scope: {name: \"b{i+1}\", layers: [residual: {layers: [batch_norm, dropout: {rate: e}],\n"
        b"    shortcut: [tanh]}]}]}\n  - parallel: {join: concat, branches: [[], [slice: {channels: 4, first: 1}], [relu: {from: a}]]}\n"
        b"  - tokens\n  - class_token: {tensors: {weight: c}}\n  - self_attention: {heads: 1}\n  - pick\n  - linear: {features: classes}\n")


def weights():
    def header(*tensors, metadata=None):
        at, out = 0, {}
        for name, *shape in tensors:
            size = 4 * int(numpy.prod(shape))
            out[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
            at += size
        return struct.pack("<H", at) + json.dumps({**({"__metadata__": metadata} if metadata else {}), **out}).encode()

    put("weights", "output", header(("fc.weight", 3, 32), ("fc.bias", 3), ("conv1.weight", 4, 3, 3, 3), metadata={"format": "pt"}))
    put("weights", "prefixed", header(("module.classifier.9.weight", 2, 5), ("module.classifier.9.bias", 2)))
    put("weights", "none", header(("x", 0, 1 << 40)))


def state():
    def file(metadata, **tensors):
        at, header, data = 0, {"__metadata__": metadata}, b""
        for name, values in tensors.items():
            kind = {"i": "I32", "f": "F32"}[values.dtype.kind]
            header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
            at, data = at + values.nbytes, data + values.tobytes()
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    key = {"point_id": "0123456789abcdef", "dataset_fingerprint": "fedc", "engine": "e", "epoch": "1"}
    table = numpy.full((2, 3, 2, 1), -1, numpy.int32)
    table[1, :2] = 1
    names = {"eigenspace.k": table.ravel(), "eigenspace.eval.0": numpy.ones(4, numpy.float32),
             "eigenspace.eval.1": numpy.ones(4, numpy.float32)}
    put("state", "spaces", file(key, **names))
    put("state", "key", file(key))


def pictures():
    put("pictures", "sound", b"0.png\ta\t0\t0\t9\t9\n1.png\tb\r\n")
    put("pictures", "outside", b"../../x.png\ta\n/etc/passwd\tb\n")
    put("pictures", "dots", b"..\ta\n")


def result():
    """The smallest file that the program makes."""
    job = b"""name: t
output: out
grid: {dataset: s, model: a}
models: {a: {mlp: [3]}}
datasets: {s: {format: synthetic, classes: 2, complexity: 1, size: 8, channels: 1, train: 16, eval: 8}}
train: {epochs: 1, batch: 8}
"""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "job.yaml").write_bytes(job)
        subprocess.run([os.environ["EIGENSCOPE"], "run", "job.yaml", "--quiet"], cwd=folder, check=True)
        path, = (pathlib.Path(folder) / "out/points").glob("*.h5")
        with h5py.File(path, "r+") as file:
            file.attrs.modify("point_id", "0123456789abcdef")
        put("result", "small", path.read_bytes())


for make in (safetensors, idx, cifar, npy, hdf5, activations, image, job, weights, state, pictures, result):
    make()
