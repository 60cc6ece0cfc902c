#!/usr/bin/env python3
"""Compares saturation and accuracy in bfloat16 with float32, network by network, in a merged file of tests/bench/precision.yaml.

A layer is inside if |mean over the seeds in bfloat16 - mean in float32| of its saturation (last epoch, eval split) is at most the
largest difference between two float32 seeds; the accuracy likewise. Three seeds scatter, so that some layers would be outside even
if precision changed nothing: "by chance" is the mean number of layers outside over all ways to divide the runs of both precisions
into two halves, one of them in the role of float32. By hand, with Debian's Python:
  python3 tests/bench/precision.py precision.h5 [--split eval|train] [--layers]

--layers also prints every layer that is outside. Ends with 1 if a layer or an accuracy is outside, or if points are missing.
"""
import argparse
import fractions
import itertools
import sys

import h5py
import numpy as np

BYTES = np.frompyfunc(lambda value: value.decode() if isinstance(value, bytes) else value, 1, 1)


def outside(float32, other):
    """(runs, ...) of both precisions: true where the means differ by more than the float32 runs among themselves."""
    largest = float32.max(axis=0) - float32.min(axis=0)
    return np.abs(other.mean(axis=0) - float32.mean(axis=0)) > largest * (1 + 1e-9)


def by_chance(runs, n):
    """Mean number outside over all choices of n of the runs in the role of float32."""
    found = []
    for chosen in itertools.combinations(range(len(runs)), n):
        rest = [i for i in range(len(runs)) if i not in chosen]
        found.append(int(outside(runs[list(chosen)], runs[rest]).sum()))
    return float(np.mean(found))


class Sweep:
    def __init__(self, path, split):
        with h5py.File(path) as file:
            self.splits = list(BYTES(file["split"][...]))
            at = self.splits.index(split)
            self.epochs = file["epoch"][...]
            self.axes = {name: BYTES(file[name][...]) for name in ("dataset", "model", "width", "seed", "train_precision")}
            # Results of versions without bfloat16 name no precision.
            precision = self.axes["train_precision"]
            self.axes["train_precision"] = np.where(precision == "", "float32", precision)
            self.names = BYTES(file["layer_name"][...])
            deltas = file["delta"][...]
            self.saturation = file["saturation"][:, at, -1, :, int(np.argmin(np.abs(deltas - 0.99)))]
            self.accuracy = file["accuracy"][:, at, -1]
            self.rounding = (file["flags"][:, at, -1, :] & 32) != 0
        self.networks = list(dict.fromkeys(zip(*(self.axes[name] for name in ("dataset", "model", "width")))))

    def runs(self, network, precision):
        same = [self.axes[name] == value for name, value in zip(("dataset", "model", "width"), network)]
        return np.flatnonzero(np.logical_and.reduce([*same, self.axes["train_precision"] == precision]))


def compare(sweep, network, seeds, show_layers):
    """Prints the row of a network. Returns (layers outside, layers, by chance, accuracy outside), or None if runs are missing."""
    dataset, model, width = network
    label = f"{dataset:14}{model:10}{str(fractions.Fraction(width).limit_denominator(64)):6}"
    at = {precision: sweep.runs(network, precision) for precision in ("float32", "bfloat16")}
    if any(len(runs) < seeds for runs in at.values()):
        print(f"{label} has {len(at['float32'])} float32 and {len(at['bfloat16'])} bfloat16 runs of {seeds}")
        return None
    layers = np.flatnonzero(np.isfinite(sweep.saturation[at["float32"][0]]))
    float32, bfloat16 = (sweep.saturation[at[precision]][:, layers] for precision in ("float32", "bfloat16"))
    apart = outside(float32, bfloat16)
    chance = by_chance(np.concatenate([float32, bfloat16]), len(float32))
    accuracy = [sweep.accuracy[at[precision]] for precision in ("float32", "bfloat16")]
    apart_too = bool(outside(*accuracy))
    shift = np.abs(bfloat16.mean(axis=0) - float32.mean(axis=0))
    print(f"{label}{apart.sum():5d} of {len(layers):2d} {chance:10.1f}{shift.max():11.3f}{shift.mean():9.4f}"
          f"{(float32.max(axis=0) - float32.min(axis=0)).mean():10.4f}{100 * accuracy[0].mean():10.2f}{100 * accuracy[1].mean():10.2f}"
          f"{100 * np.ptp(accuracy[0]):10.2f}  {'outside' if apart_too else 'inside':8}"
          f"{int(sweep.rounding[at['bfloat16']].sum()):10d}")
    for i in np.flatnonzero(apart) if show_layers else []:
        print(f"    {sweep.names[at['float32'][0]][layers[i]]:24} float32 {np.array2string(float32[:, i], precision=4)}, bfloat16 "
              f"{np.array2string(bfloat16[:, i], precision=4)}")
    return int(apart.sum()), len(layers), chance, apart_too


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--split", default="eval", choices=["train", "eval"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--layers", action="store_true")
    options = parser.parse_args()
    sweep = Sweep(options.file, options.split)
    print(f"saturation at delta 0.99 and accuracy in %, {options.split} split, epoch {sweep.epochs[-1]}, {options.seeds} seeds\n"
          f"{'':30}{'layers':>12}{'by':>10}{'largest':>11}{'mean':>9}{'float32':>10}{'accuracy':>10}{'':>10}{'float32':>10}\n"
          f"{'dataset':14}{'model':10}{'width':6}{'outside':>12}{'chance':>10}{'shift':>11}{'shift':>9}{'range':>10}{'float32':>10}"
          f"{'bfloat16':>10}{'range':>10}  accuracy{'rounding':>10}")
    rows = [compare(sweep, network, options.seeds, options.layers) for network in sweep.networks]
    done = [row for row in rows if row is not None]
    if done:
        print(f"{sum(row[0] for row in done)} of {sum(row[1] for row in done)} layers outside, {sum(row[2] for row in done):.1f} by "
              f"chance; accuracy of {sum(row[3] for row in done)} of {len(done)} networks outside")
    sys.exit(0 if len(done) == len(rows) and not any(row[0] or row[3] for row in done) else 1)


if __name__ == "__main__":
    main()
