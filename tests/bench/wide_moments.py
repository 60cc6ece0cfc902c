#!/usr/bin/env python3
"""Writes the file of moments of a transformer that does not exist: LAYERS blocks, each with two outputs of WIDTH channels
(attention, feed-forward) and two of WIDTH/4 (keys and values of grouped queries).

    tests/bench/wide_moments.py wide.h5 --layers 32 --width 4096        # 4.6 GB in half a minute
    time mpirun -n 2 build/eigenscope run wide.yaml

Also writes the job. The spectra fall like 1/rank, in random directions, so k is large, as in real transformers.
"""
import argparse
import pathlib

import h5py
import numpy as np

ROWS = 1 << 20


def triangle(width, random):
    """Packed covariance of random directions with shares 1/rank over noise."""
    n = width // 4
    directions = random.standard_normal((width, n), dtype="f4") / np.sqrt(np.arange(1, n + 1, dtype="f4") * width)
    matrix = directions @ directions.T + 1e-4 * np.eye(width, dtype="f4")
    return matrix[np.tril_indices(width)].astype("f8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--width", type=int, default=4096)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    widths = {"self_attn.k_proj": options.width // 4, "self_attn.v_proj": options.width // 4, "self_attn.o_proj": options.width,
              "mlp.down_proj": options.width}
    ready = {width: triangle(width, random) for width in set(widths.values())}
    with h5py.File(options.file, "w") as file:
        file.attrs.update({"format": "eigenscope moments", "format_version": 1, "part": 0, "parts": 1, "run": "wide"})
        for name, value in (("epoch", 0), ("split", 1), ("complete", 1), ("loss", np.nan), ("accuracy", np.nan)):
            file[name] = [value]
        for i, (layer, (name, width)) in enumerate((layer, item) for layer in range(options.layers) for item in widths.items()):
            group = file.create_group(f"layers/{i:04}")
            group.attrs.update({"name": f"model.layers.{layer}.{name}", "kind": "Linear", "width": width})
            group["rows"], group["mean"] = [ROWS], np.zeros((1, width))
            group["moment"] = (ready[width] * (ROWS * (1 + i)))[None]
    options.file.with_suffix(".yaml").write_text(f"name: {options.file.stem}\nsource: moments\nmoments: {{files: {options.file.name}}}\n")
    print(f"{options.file}: {options.file.stat().st_size / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
