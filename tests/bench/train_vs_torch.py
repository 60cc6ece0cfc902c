#!/usr/bin/env python3
"""eigenscope against the fastest PyTorch training loop for the same work (torch_train.py beside this file), side by side.

Images of 32 x 32, batches of 128, every batch measured, one network on each of two cores. Rounds are interleaved: eigenscope on two
ranks, then two processes of PyTorch with one thread each, in every mode. Medians over the rounds. float32 is compared with PyTorch's
fastest float32 mode, bfloat16 with PyTorch's fastest mode. torch.compile is tried where it gains (--compile). Then says how much of
eigenscope's time kernels take (convolutions, linear layers and covariances), and what kernels alone would allow.

Needs dataset-fashion-mnist and an environment with PyTorch (--python; default: tests/venv.sh makes one from torch.txt). By hand:
  tests/bench/train_vs_torch.py --all                                # the tables of README.md, less than ten minutes
  tests/bench/train_vs_torch.py --others --only rates --precisions float32
  tests/bench/train_vs_torch.py --rows vgg16:1/16,resnet18:1/4 [--rounds 5] [--precisions float32] [--program build/eigenscope]
"""
import argparse
import fractions
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from machine import ENVIRONMENT, HERE, describe, ranks

# Networks of networks.py, which are exported; their width is in the network.
EXPORTED = ("mobilenet_v2", "efficientnet_b0", "densenet121", "vit_tiny", "convnext_tiny")
OTHERS = ",".join(f"{name}:1" for name in EXPORTED)
ALL = "vgg16:1/16,vgg16:1/8,vgg16:1/4,vgg16:1,resnet18:1/4,resnet18:1"


def images(model, width):
    """Images of an epoch: at least a second of work, fewer for wider networks."""
    width = fractions.Fraction(width)
    if model in EXPORTED:
        return 1024
    narrow = 5120 if width <= fractions.Fraction(1, 8) else 2560 if width <= fractions.Fraction(1, 4) else 384
    return narrow if model == "vgg16" else max(narrow // 2, 256)


def exported(options, model):
    """The model of `bench train`: a built-in network, or the file of an exported one."""
    if model not in EXPORTED:
        return model
    path = pathlib.Path(options.folder) / f"{model}.yaml"
    if not path.exists():
        subprocess.run([options.python, "-B", HERE.parents[1] / "analysis/export_network.py", HERE / f"networks.py:{model}", "--to", path,
                        "--weights", path.with_suffix(".safetensors"), "--resolution", "32", "--no-check"], check=True,
                       stdout=subprocess.DEVNULL)
    return path


def eigenscope(options, model, width, precision, samples, *more, count=2):
    """The numbers of the last line of `bench train`."""
    model = exported(options, model)
    extra = [] if precision == "float32" else ["--precision", precision]
    return ranks(count, options.program, "bench", "train", "--model", model, "--widths", width, "--samples", samples,
                 "--pairs", options.pairs, *extra, *more).splitlines()[-1].split()


class Torch:
    """Two processes of torch_train.py, which wait between epochs."""
    def __init__(self, python, model, width, samples, modes):
        # Variables that choose kernels of Debian's OpenBLAS slow down a current numpy.
        environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("OPENBLAS_")}
        command = [python, "-B", HERE / "torch_train.py", "--model", model, "--width", width, "--samples", str(samples),
                   "--modes", ",".join(modes)]
        self.processes = [subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                          for _ in range(2)]
        self.version = [self.answer(process) for process in self.processes][0].split()[1]

    def answer(self, process):
        line = process.stdout.readline()
        return line or sys.exit("torch_train.py failed")

    def rate(self, mode):
        """Images per second of one epoch, summed over both processes."""
        for process in self.processes:
            print(mode, file=process.stdin, flush=True)
        return sum(float(self.answer(process)) for process in self.processes)

    def close(self):
        for process in self.processes:
            process.communicate()


def measure(options, model, width):
    """Rates of both programs, {name of the mode: median}, and PyTorch's version."""
    samples = options.samples or images(model, width)
    modes = ["float32", "bfloat16"]
    if f"{model}:{width}" in options.compile.split(","):
        modes += [f"{mode}+compile" for mode in modes]
    torch = Torch(options.python, model, width, samples, modes)
    ours, theirs = {mode: [] for mode in options.precisions}, {mode: [] for mode in modes}
    for _ in range(options.rounds):
        for i in range(max(len(ours), len(theirs))):
            for precision in options.precisions[i:i + 1]:
                ours[precision].append(float(eigenscope(options, model, width, precision, samples)[4]))
            for mode in modes[i:i + 1]:
                theirs[mode].append(torch.rate(mode))
    torch.close()
    ours, theirs = ({mode: statistics.median(rates) for mode, rates in side.items()} for side in (ours, theirs))
    return ours, theirs, torch.version


def rates(options):
    print("| network, width | eigenscope float32 | PyTorch float32 | ratio | eigenscope bfloat16 | PyTorch's fastest mode | ratio |")
    print("|---|---|---|---|---|---|---|")
    for row in options.rows.split(","):
        model, width = row.split(":")
        ours, theirs, version = measure(options, model, width)
        float32 = max((mode for mode in theirs if mode.startswith("float32")), key=theirs.get)
        fastest = max(theirs, key=theirs.get)
        cells = [f"{model}, {width}"]
        for precision, peer in (("float32", float32), ("bfloat16", fastest)):
            rate = ours.get(precision)
            cells += ([f"{rate:.0f}"] if rate else [""]) + [f"{theirs[peer]:.0f} ({peer})" if peer != "float32" else f"{theirs[peer]:.0f}"]
            cells += [f"{rate / theirs[peer]:.2f}"] if rate else [""]
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\nPyTorch {version}, channels-last, float32 moments, foreach SGD, two processes with one thread each; bfloat16 by autocast; "
          f"torch.compile tried for {options.compile or 'nothing'}")


def profiles(options):
    """Microseconds per image on one of two ranks."""
    print("| network, width | precision | layers | covariances | between | data | update | eigenvalues | store | all | in kernels | images/s "
          "| if only kernels took time |")
    print("|" + "---|" * 13)
    for row in options.rows.split(","):
        model, width = row.split(":")
        for precision in options.precisions:
            cells = eigenscope(options, model, width, precision, options.samples or images(model, width), "--profile")
            del cells[7]  # the time in which a rank waits for others
            print("| " + " | ".join([f"{model}, {width}", precision, *cells[1:9], f"{cells[9]} %", *cells[11:]]) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="all rows of README.md")
    parser.add_argument("--others", action="store_true", help="the networks of networks.py")
    parser.add_argument("--rows", default="vgg16:1/16,vgg16:1/8,vgg16:1/4", help="list of model:width")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=1, help="epochs of eigenscope that are timed in each round")
    parser.add_argument("--precisions", default="float32,bfloat16", type=lambda text: text.split(","))
    parser.add_argument("--compile", default="vgg16:1/16", help="rows for which torch.compile is tried, too")
    parser.add_argument("--samples", type=int, default=0, help="images per epoch (default: depends on the row)")
    parser.add_argument("--program", default="build/eigenscope")
    parser.add_argument("--python", default="", help="Python with PyTorch")
    parser.add_argument("--only", choices=("rates", "profiles"), default="", help="print only one of the tables")
    options = parser.parse_args()
    if options.all or options.others:
        options.rows = ALL if options.all else OTHERS
    if not options.python and options.only != "profiles":
        made = subprocess.run([HERE.parent / "venv.sh", HERE / "torch.txt"], stdout=subprocess.PIPE, text=True)
        options.python = made.stdout.strip() or sys.exit(made.returncode)
    print(f"{describe()}; medians of {options.rounds} interleaved rounds; images/s on {os.cpu_count()} cores, every batch measured\n")
    with tempfile.TemporaryDirectory() as options.folder:
        if options.only != "profiles":
            rates(options)
            print()
        if options.only != "rates":
            print("Microseconds per image in a measured epoch on one of two ranks:\n")
            profiles(options)


if __name__ == "__main__":
    main()
