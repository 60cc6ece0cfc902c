#!/usr/bin/env python3
"""Eigenvalues of a layer: eigenscope on two ranks against torch.linalg.eigh, which today's tools call, on the same two cores.

Seconds for one matrix. eigenscope solves as `measure: {solver: auto}` does on two ranks: below order 4096 each rank one of its own
(the time of both over two), above it both ranks one. PyTorch: one process with two threads; eigh finds the vectors as well,
eigvalsh does not. Rounds are interleaved; medians. About 4 minutes; needs Debian's python3-torch. By hand:
  /usr/bin/python3 tests/bench/spectrum_vs_torch.py [--orders 256,512,1024,2048,3072,4096] [--rounds 3] [--program build/eigenscope]
"""
import argparse
import re
import statistics
import subprocess
import sys
import time

from machine import ENVIRONMENT, describe, ranks, same_kernels

SCALAPACK_ORDER = 4096  # include/eigenscope/spectrum.h
THREADS = 2


def eigenscope(program, order, repeats):
    solver, who = ("scalapack", "together") if order >= SCALAPACK_ORDER else ("lapack", "each")
    lines = ranks(2, program, "bench", "spectrum", "--orders", order, "--who", who, "--repeats", repeats).splitlines()
    return next(float(row[5]) for row in map(str.split, lines[2:]) if row[1:3] == [solver, who])


def torch_here(order, repeats):
    """Runs in a separate process: medians of both functions, and the BLAS that PyTorch has loaded."""
    import torch
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    matrix = torch.rand(order, order, dtype=torch.float64) - 0.5
    matrix = matrix + matrix.t() + torch.diag(torch.arange(order, dtype=torch.float64) / order)
    for function in (torch.linalg.eigh, torch.linalg.eigvalsh):
        function(matrix[:64, :64])
        taken = []
        for _ in range(repeats):
            start = time.perf_counter()
            function(matrix)
            taken.append(time.perf_counter() - start)
        print(statistics.median(taken))
    loaded = open("/proc/self/maps").read()
    print(", ".join(sorted(set(re.findall(r"/(lib(?:openblas|mkl|blis|blas)[^/\s]*)", loaded)))))


def torch(order, repeats):
    done = subprocess.run([sys.executable, __file__, "--torch", str(order), str(repeats)], capture_output=True, text=True,
                          env={**ENVIRONMENT, "OMP_NUM_THREADS": str(THREADS), "OPENBLAS_NUM_THREADS": str(THREADS)}, check=True)
    eigh, values, library = done.stdout.splitlines()
    return float(eigh), float(values), library


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", default="256,512,1024,2048,3072,4096")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default="build/eigenscope")
    parser.add_argument("--torch", nargs=2, type=int, metavar=("ORDER", "REPEATS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.torch:
        torch_here(*options.torch)
        return
    same_kernels(options.program)
    first = True
    for order in map(int, options.orders.split(",")):
        repeats = 5 if order <= 1024 else 1
        ours, vectors, values = [], [], []
        for _ in range(options.rounds):
            ours.append(eigenscope(options.program, order, repeats))
            eigh, eigvalsh, library = torch(order, repeats)
            vectors.append(eigh)
            values.append(eigvalsh)
        if first:
            print(f"{describe()}; PyTorch with {library}; medians of {options.rounds} interleaved rounds; seconds for one matrix")
            print("| order | eigenscope, 2 ranks | torch.linalg.eigh, 2 threads | ratio | torch.linalg.eigvalsh, 2 threads | ratio |")
            print("|---|---|---|---|---|---|")
            first = False
        a, b, c = map(statistics.median, (ours, vectors, values))
        print(f"| {order} | {a:.3g} | {b:.3g} | {b / a:.1f} | {c:.3g} | {c / a:.1f} |", flush=True)


if __name__ == "__main__":
    main()
