#!/usr/bin/env python3
"""eigenscope's probes against scikit-learn's LogisticRegression (saga and lbfgs at their defaults, which end before they have
converged; and lbfgs until it has), on the pixels of Fashion-MNIST / 255, 10,000 x 784, C = 1. Rounds are interleaved; wall time
on the same two cores, medians. "at the same objective": the fewest of eigenscope's steps that get at least as low.

Needs Debian's python3-sklearn, python3-h5py and dataset-fashion-mnist. By hand, from the top of the repository:
  /usr/bin/python3 tests/bench/probe_vs_sklearn.py [--rounds 3] [--samples 10000] [--solvers saga,lbfgs,converged]
"""
import argparse
import gzip
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile

from machine import ENVIRONMENT, HERE, describe, ranks, same_kernels

# Name, solver, max_iter, tol.
SOLVERS = {"saga": ("saga", 100, 1e-4), "lbfgs": ("lbfgs", 100, 1e-4), "converged": ("lbfgs", 100000, 1e-6)}
STEPS = "5,7,10,14,20,28,40,56,80,113,160,1000"


def idx(name, folder):
    raw = gzip.open(pathlib.Path(folder) / name, "rb").read()
    size = struct.unpack(">" + "I" * raw[3], raw[4:4 + 4 * raw[3]])
    import numpy as np
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(size)


def scikit(file, solver):
    """Runs in a separate process: prints seconds and the objective."""
    import time
    import warnings

    import h5py
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    warnings.simplefilter("ignore")
    with h5py.File(file) as f:
        x, y = f["x"][()], f["labels"][()]
    name, most, tolerance = SOLVERS[solver]
    start = time.perf_counter()
    m = LogisticRegression(multi_class="multinomial", solver=name, max_iter=most, tol=tolerance).fit(x, y)
    seconds = time.perf_counter() - start
    p = np.maximum(m.predict_proba(x.astype("f8"))[np.arange(len(y)), y], 1e-300)
    print(seconds, -np.log(p).sum() + 0.5 * (m.coef_.astype("f8") ** 2).sum(), m.n_iter_[0])


def run_scikit(file, solver):
    command = [sys.executable, str(HERE / "probe_vs_sklearn.py"), "--child", solver, str(file)]
    out = subprocess.run(command, env={**ENVIRONMENT, "OMP_NUM_THREADS": "2"}, capture_output=True, text=True, check=True).stdout
    return tuple(map(float, out.split()))


def run_eigenscope(program, file, samples):
    """(seconds, objective, steps) by the number of steps allowed."""
    out = ranks(2, program, "bench", "probe", "--file", file, "--samples", samples, "--steps", STEPS, "--repeats", 1)
    rows = [line.split() for line in out.splitlines()[2:]]
    return [(float(row[4]), float(row[6]), int(row[3])) for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=10000)
    parser.add_argument("--solvers", default="saga,lbfgs,converged")
    parser.add_argument("--program", default="build/eigenscope")
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return scikit(options.child[1], options.child[0])
    import h5py
    same_kernels(options.program)
    solvers = options.solvers.split(",")
    theirs, ours = {solver: [] for solver in solvers}, []
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "pixels.h5"
        with h5py.File(file, "w") as f:
            f["x"] = idx("train-images-idx3-ubyte.gz", options.data).reshape(60000, -1)[:options.samples].astype("f4") / 255
            f["labels"] = idx("train-labels-idx1-ubyte.gz", options.data)[:options.samples]
        for _ in range(options.rounds):
            ours.append(run_eigenscope(options.program, file, options.samples))
            for solver in solvers:
                theirs[solver].append(run_scikit(file, solver))
    ways = [tuple(statistics.median(column) for column in zip(*rounds)) for rounds in zip(*ours)]
    converged = ways[-1]
    print(f"{describe()}; medians of {options.rounds} interleaved rounds; eigenscope on 2 ranks, converged: {converged[0]:.2f} s, "
          f"{converged[2]:.0f} steps, objective {converged[1]:.4f}")
    print("| scikit-learn | iterations | objective | s | eigenscope at the same objective, s | ratio | eigenscope converged, ratio |")
    print("|---|---|---|---|---|---|---|")
    for solver in solvers:
        seconds, objective, iterations = (statistics.median(column) for column in zip(*theirs[solver]))
        same = min(way[0] for way in ways if way[1] <= objective * (1 + 1e-9))
        name, most, tolerance = SOLVERS[solver]
        print(f"| {name}, max_iter {most}, tol {tolerance:g} | {iterations:.0f} | {objective:.3f} | {seconds:.2f} | {same:.3f} | "
              f"{seconds / same:.0f} | {seconds / converged[0]:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
