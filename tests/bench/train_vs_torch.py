#!/usr/bin/env python3
"""eigenscope against a PyTorch training loop with covariance hooks (torch_saturation.py beside this file), side by side.

VGG16, images of 32 x 32, batches of 128, every batch measured. Rounds are interleaved: eigenscope as a sweep of two points on
two ranks, PyTorch as one process with two threads, PyTorch as two processes with one thread each. Medians over the rounds.

Needs Debian's python3-torch, python3-numpy and dataset-fashion-mnist. By hand, from the top of the repository:
  /usr/bin/python3 tests/bench/train_vs_torch.py [--widths 1/16,1/8,1/4,1] [--rounds 3] [--program build/eigenscope]
"""
import argparse
import fractions
import re
import statistics
import subprocess
import sys

from machine import ENVIRONMENT, HERE, describe, ranks, same_kernels


def eigenscope(program, width, samples):
    """Images per second of two ranks: epochs with and without measuring."""
    row = ranks(2, program, "bench", "train", "--widths", width, "--samples", samples, "--pairs", 2).splitlines()[-1].split()
    return float(row[4]), float(row[3])


def torch(width, samples, processes, threads, measured=True):
    """Images per second of the last epoch, summed over simultaneous processes."""
    command = ["/usr/bin/python3", str(HERE / "torch_saturation.py"), "--arch", "vgg16", "--epochs", "2", "--threads",
               str(threads), "--samples", str(samples), "--width", str(float(fractions.Fraction(width)))]
    if not measured:
        command.append("--no-saturation")
    environment = {**ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    total = 0.0
    for process in running:
        text = process.communicate()[0]
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed")
        total += float(re.findall(r"images/s ([0-9.]+)", text)[-1])
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", default="1/16,1/8,1/4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default="build/eigenscope")
    parser.add_argument("--samples", type=int, default=0, help="images per epoch (default: depends on the width)")
    options = parser.parse_args()
    same_kernels(options.program)
    print(f"{describe()}; medians of {options.rounds} interleaved rounds; images/s, measured every batch")
    print("| width | eigenscope, 2 ranks | measuring costs | PyTorch, 1 process, 2 threads | ratio | PyTorch, 2 processes | ratio |")
    print("|---|---|---|---|---|---|---|")
    for width in options.widths.split(","):
        samples = options.samples or {1: 256}.get(int(fractions.Fraction(width)), 5120)
        ours, bare, threads, processes = [], [], [], []
        for _ in range(options.rounds):
            measured, plain = eigenscope(options.program, width, samples)
            ours.append(measured)
            bare.append(plain / measured)
            threads.append(torch(width, samples, 1, 2))
            processes.append(torch(width, samples, 2, 1))
        a, b, c = map(statistics.median, (ours, threads, processes))
        print(f"| {width} | {a:.0f} | {100 * (statistics.median(bare) - 1):.1f} % | {b:.0f} | {a / b:.1f} | {c:.0f} | {a / c:.1f} |",
              flush=True)


if __name__ == "__main__":
    main()
