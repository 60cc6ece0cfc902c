#!/usr/bin/env python3
"""Draws what a folder of results shows: saturation along the layers, and how its mean moves while the networks train.

Reads the HDF5 files through their schema only. Needs python3-h5py, python3-numpy, python3-matplotlib.
  /usr/bin/python3 analysis/figure.py results/quickstart --to quickstart.svg [--split eval]
"""
import argparse
import fractions
import pathlib
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]  # Okabe and Ito: told apart by everybody
LINES = ["-", "--", ":", "-."]


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


class Point:
    """What the figure needs of one result file."""

    def __init__(self, path, split):
        with h5py.File(path) as f:
            at = [text(s) for s in f["split"][...]].index(split)
            self.outcome = text(f.attrs["outcome"])
            self.network = f"{text(f.attrs['model'])} on {text(f.attrs['dataset'])}"
            self.width, self.classes = float(f.attrs["width"]), int(f.attrs["classes"])
            self.layers = [text(name) for name in f["layer"][...]]
            self.inner = f["layer_output"][...] == 0
            self.epochs = f["epoch"][...]
            self.delta = float(f["delta"][0])
            self.saturation = f["saturation"][at, :, :, 0]  # (epoch, layer)
            self.accuracy = f["accuracy"][1]


def draw(points, split):
    widths = sorted({p.width for p in points})
    classes = sorted({p.classes for p in points})
    figure, (layers, time) = plt.subplots(1, 2, figsize=(11, 5))
    for p in points:
        colour = COLOURS[widths.index(p.width) % len(COLOURS)]
        line = LINES[classes.index(p.classes) % len(LINES)]
        measured = np.flatnonzero(~np.isnan(p.saturation).all(axis=1))
        width = fractions.Fraction(p.width).limit_denominator(64)
        name = f"width {width}, {p.classes} classes (accuracy {p.accuracy[measured[-1]]:.3f})"
        layers.plot(100 * p.saturation[measured[-1]], line, marker="o", markersize=3, color=colour, label=name)
        mean = np.nanmean(p.saturation[:, p.inner][measured], axis=1)
        time.plot(p.epochs[measured], 100 * mean, line, marker="o", markersize=3, color=colour)
    layers.set_xticks(range(len(points[0].layers)), points[0].layers, rotation=60, ha="right", fontsize=8)
    layers.set_ylabel(f"saturation (% of directions for {100 * points[0].delta:g} % of the variance)", fontsize=9)
    layers.set_title(f"{points[0].network}, {split} set, last epoch", fontsize=10)
    time.set_xlabel("epoch (0: as initialised)")
    time.set_ylabel("mean saturation of the layers (%)")
    time.set_title("evolution", fontsize=10)
    for axis in (layers, time):
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    figure.legend(loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.03 + 0.035 * ((len(points) + 2) // 3), 1, 1))
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path, help="folder of a run (holds points/) or a folder of .h5 files")
    parser.add_argument("--to", type=pathlib.Path, required=True, help="picture to write: .svg, .png or .pdf")
    parser.add_argument("--split", default="eval", choices=["train", "eval"])
    options = parser.parse_args()
    folder = options.results / "points" if (options.results / "points").is_dir() else options.results
    paths = sorted(folder.glob("*.h5"))
    if not paths:
        sys.exit(f"{folder}: no result files (*.h5) there; `eigenscope run` writes them")
    points = [p for p in (Point(path, options.split) for path in paths) if p.outcome == "complete"]
    points = [p for p in points if p.network == points[0].network]
    points.sort(key=lambda p: (p.classes, p.width))
    draw(points, options.split).savefig(options.to, metadata={"Date": None} if options.to.suffix == ".svg" else None, dpi=150)


if __name__ == "__main__":
    main()
