#!/usr/bin/env python3
"""eigenscope's probes against scikit-learn's LogisticRegression (newton-cg, lbfgs and newton-cholesky) and
scikit-learn-intelex's lbfgs, on one thread, C = 1, at their default tolerance with enough iterations. Rounds are interleaved;
medians of CPU seconds, which other work on the machine disturbs less than wall time. "At the rival's objective": the fewest of
eigenscope's steps that get at least as low.

Cases (all from Fashion-MNIST):
  pixels    10,000 x 784 pixels / 255, 10 classes
  wide      10,000 x 2048 random features, max(0, (x - mean)·W + b), 10 classes
  tall      50,000 x 512 random features, 10 classes
  classes   10,000 x 512 random features, 100 classes: each class divided by the nearest of ten of its samples
--file FILE adds the first layer of an activation file with "labels".

Needs Debian's python3-sklearn, python3-h5py and dataset-fashion-mnist; or --python PYTHON with newer versions for the rivals:
  tests/bench/probe_vs_sklearn.py [--rounds 3] [--cases pixels,wide,tall,classes] [--rivals newton-cg,lbfgs,...]
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

CASES = {"pixels": (10000, 784, 0), "wide": (10000, 2048, 1), "tall": (50000, 512, 2), "classes": (10000, 512, 3)}
RIVALS = ("newton-cg", "lbfgs", "newton-cholesky", "intelex")
LARGEST = 8000  # newton-cholesky's matrix has this order squared; larger ones take minutes for each step
STEPS = "5,7,10,14,20,24,28,32,36,40,48,56,80,113,160,1000"  # the program takes at most 16


def idx(name, folder):
    raw = gzip.open(pathlib.Path(folder) / name, "rb").read()
    size = struct.unpack(">" + "I" * raw[3], raw[4:4 + 4 * raw[3]])
    import numpy as np
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(size)


def make(case, samples, file, folder):
    """Writes features x and labels of a case."""
    import h5py
    import numpy as np
    n, d, seed = CASES[case]
    n = min(n, samples or n)
    x = idx("train-images-idx3-ubyte.gz", folder).reshape(60000, -1)[:n].astype("f4") / 255
    y = idx("train-labels-idx1-ubyte.gz", folder)[:n].astype("i4")
    features = x
    if case != "pixels":
        draw = np.random.default_rng(seed)
        w = draw.standard_normal((784, d)).astype("f4") / 14
        features = np.maximum((x - x.mean(0)) @ w + draw.standard_normal(d).astype("f4") * 0.3, 0)
    if case == "classes":
        draw, parts = np.random.default_rng(4), y.copy()
        for c in range(10):
            of = x[y == c]
            centres = of[draw.choice(len(of), 10, replace=False)]
            parts[y == c] = 10 * c + ((centres ** 2).sum(1) - 2 * of @ centres.T).argmin(1)
        y = parts
    with h5py.File(file, "w") as f:
        f["x"], f["labels"] = features, y


def rival(name, file):
    """Runs in a separate process: prints CPU seconds, objective, iterations and version."""
    import time
    import warnings

    import h5py
    import numpy as np
    warnings.simplefilter("ignore")
    if name == "intelex":
        import sklearnex
        sklearnex.patch_sklearn(verbose=False)
    import sklearn
    from sklearn.linear_model import LogisticRegression
    with h5py.File(file) as f:
        x, y = (f[key][()] for key in sorted(f, key=lambda key: key == "labels"))
    x = x.reshape(len(x), -1)
    solver = "lbfgs" if name == "intelex" else name
    start = time.process_time()
    model = LogisticRegression(solver=solver, max_iter=100000).fit(x, y)
    seconds = time.process_time() - start
    z = x.astype("f8") @ model.coef_.T.astype("f8") + model.intercept_
    z -= z.max(1, keepdims=True)
    loss = (np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), np.unique(y, return_inverse=True)[1]]).sum()
    print(seconds, loss + 0.5 * (model.coef_.astype("f8") ** 2).sum(), model.n_iter_[0], sklearn.__version__)


def run_rival(python, name, file):
    plain = {key: value for key, value in ENVIRONMENT.items() if not key.startswith("OPENBLAS_")}
    command = [python, str(HERE / "probe_vs_sklearn.py"), "--child", name, str(file)]
    out = subprocess.run(command, env={**plain, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True,
                         check=True).stdout.split()
    return (*map(float, out[:3]), out[3])


def run_eigenscope(program, file, samples):
    """(CPU seconds, objective, steps, passes) by the number of steps allowed."""
    out = ranks(1, program, "bench", "probe", "--file", file, "--samples", samples, "--steps", STEPS, "--repeats", 1)
    rows = [dict(zip(out.splitlines()[1].split(), line.split())) for line in out.splitlines()[2:]]
    return [tuple(float(row[key]) for key in ("cpu", "objective", "steps", "passes")) for row in rows]


def compare(options, title, file, rivals):
    """Prints the lines of one case."""
    import h5py
    with h5py.File(file) as f:
        key, = (key for key in f if key != "labels")
        samples, width, classes = len(f["labels"]), f[key][:1].size, f["labels"][()].max() + 1
    rivals = [name for name in rivals if name != "newton-cholesky" or width * classes <= LARGEST]
    ours, theirs = [], {name: [] for name in rivals}
    for _ in range(options.rounds):
        ours.append(run_eigenscope(options.program, file, samples))
        for name in rivals:
            theirs[name].append(run_rival(options.python, name, file))
    ways = [tuple(statistics.median(column) for column in zip(*rounds)) for rounds in zip(*ours)]
    seconds, objective, steps, passes = ways[-1]
    for name in rivals:
        *numbers, versions = zip(*theirs[name])
        their_seconds, their_objective, iterations = map(statistics.median, numbers)
        same = min(way[0] for way in ways if way[1] <= their_objective * (1 + 1e-9) or way is ways[-1])
        print(f"| {title}: {samples} × {width} × {classes} | {seconds:.2f}, {steps:.0f} steps, {passes:.0f} passes, {objective:.3f} | "
              f"{name} {versions[0]} | {their_seconds:.2f}, {iterations:.0f} iterations, {their_objective:.3f} | "
              f"{their_seconds / seconds:.1f} | {same:.2f}, {their_seconds / same:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="fewer samples than a case has")
    parser.add_argument("--cases", default=",".join(CASES), help="or an empty text")
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--rivals", default=",".join(RIVALS))
    parser.add_argument("--program", default="build/eigenscope")
    parser.add_argument("--python", default=sys.executable, help="for the rivals")
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return rival(*options.child)
    same_kernels(options.program)
    rivals = options.rivals.split(",")
    print(f"{describe()}; one thread; medians of {options.rounds} interleaved rounds; CPU seconds")
    print("| case | eigenscope converged: s, objective | rival | s, objective | ratio | eigenscope at the rival's objective: s, ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for case in filter(None, options.cases.split(",")):
            file = pathlib.Path(folder) / f"{case}.h5"
            make(case, options.samples, file, options.data)
            compare(options, case, file, rivals)
            file.unlink()
    for file in options.file:
        compare(options, pathlib.Path(file).stem, file, rivals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
