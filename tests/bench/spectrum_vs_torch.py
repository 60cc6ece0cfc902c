#!/usr/bin/env python3
"""Eigenvalues of a layer: eigenscope against torch.linalg.eigvalsh and eigh, one matrix per process and one thread each.

As many processes as --processes run at once, as ranks do in a sweep; seconds are those of one matrix in one process. eigenscope solves as
`measure: {solver: lapack}` does on one rank. eigh also finds the vectors. Rounds are interleaved; medians. Run it with the Python whose
PyTorch is to be compared; it needs no other package. About 3 minutes on two quiet cores; by hand:
  python tests/bench/spectrum_vs_torch.py [--orders 64,128,256,512,1024,2048,4096] [--processes 2] [--rounds 3] [--program build/eigenscope]
      [--before PROGRAM]   # also an older build, for its ratio
"""
import argparse
import re
import statistics
import subprocess
import sys
import time

from machine import ENVIRONMENT, describe, same_kernels


def eigenscope(program, order, repeats, count):
    """Seconds of one matrix, mean over processes that run at once."""
    command = [program, "bench", "spectrum", "--orders", str(order), "--who", "alone", "--repeats", str(repeats)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) for _ in range(count)]
    tables = [process.communicate()[0].splitlines()[2:] for process in running]
    return statistics.mean(float(row[5]) for table in tables for row in map(str.split, table) if row[1:3] == ["lapack", "alone"])


def torch_here(order, repeats):
    """Runs in a process of its own: waits for the others, then prints medians of both functions and the library that PyTorch uses."""
    import torch
    torch.set_num_threads(1)
    torch.manual_seed(0)
    matrix = (torch.rand(order, order, dtype=torch.float64) - 0.5).tril()
    matrix = matrix + matrix.tril(-1).t() + torch.diag(torch.arange(order, dtype=torch.float64) / order)
    functions = torch.linalg.eigvalsh, torch.linalg.eigh
    for function in functions:
        function(matrix if order <= 1024 else matrix[:64, :64])
    print("ready", flush=True)
    sys.stdin.readline()
    for function in functions:
        taken = []
        for _ in range(repeats):
            start = time.perf_counter()
            function(matrix)
            taken.append(time.perf_counter() - start)
        print(statistics.median(taken), flush=True)
    library = re.search(r"(?:oneAPI )?Math Kernel Library Version (\S+)", torch.__config__.show())
    loaded = re.findall(r"/lib((?:openblas|mkl|blis|blas)[^/\s]*?)\.so", open("/proc/self/maps").read())
    print(f"PyTorch {torch.__version__} with {'MKL ' + library[1] if library else ', '.join(sorted(set(loaded)))}")


def torch(order, repeats, count):
    """Seconds of eigvalsh and eigh, means over processes that run at once; and the library."""
    environment = {**ENVIRONMENT, **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}}
    running = [subprocess.Popen([sys.executable, __file__, "--torch", str(order), str(repeats)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True, env=environment) for _ in range(count)]
    for process in running:
        process.stdout.readline()
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    found = [process.communicate()[0].splitlines() for process in running]
    return *(statistics.mean(float(lines[i]) for lines in found) for i in range(2)), found[0][2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", default="64,128,256,512,1024,2048,4096")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default="build/eigenscope")
    parser.add_argument("--before", metavar="PROGRAM")
    parser.add_argument("--torch", nargs=2, type=int, metavar=("ORDER", "REPEATS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.torch:
        torch_here(*options.torch)
        return
    same_kernels(options.program)
    programs = [options.program] + [options.before] * bool(options.before)
    first = True
    for order in map(int, options.orders.split(",")):
        repeats = min(64, max(1, 4096 // order))
        ours, theirs = [[] for _ in programs], [[], []]
        for _ in range(options.rounds):
            for seconds, program in zip(ours, programs):
                seconds.append(eigenscope(program, order, repeats, options.processes))
            *times, library = torch(order, repeats, options.processes)
            for seconds, value in zip(theirs, times):
                seconds.append(value)
        if first:
            print(f"{describe()}; {library}; {options.processes} processes at once, one thread each; medians of {options.rounds} interleaved "
                  "rounds; seconds for one matrix; ratios: how many times as fast eigenscope is")
            print("| order | eigenscope | eigvalsh | ratio | eigh | ratio |" + " before | ratio |" * bool(options.before))
            print("|---" * (6 + 2 * bool(options.before)) + "|")
            first = False
        own, *others = map(statistics.median, (ours[0], *theirs, *ours[1:]))
        print(f"| {order} | {own:.3g} |" + "".join(f" {other:.3g} | {other / own:.2f} |" for other in others), flush=True)


if __name__ == "__main__":
    main()
