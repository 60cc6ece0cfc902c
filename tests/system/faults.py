"""Shared by tests of faults: a job of milliseconds that uses every feature, and the programs of tests/fault."""
import os
import random
import re
import tempfile

import harness
import results

FAULTS = os.environ["EIGENSCOPE_FAULTS"]  # the program with fault injection (tests/fault/program.c)
WALK = os.environ["EIGENSCOPE_WALK"]      # walks over all faults in one process (tests/fault/walk.c)
SEED = int(os.environ.get("EIGENSCOPE_TEST_SEED", "20220901"))
SAMPLE = int(os.environ.get("EIGENSCOPE_TEST_SAMPLE", "250"))  # most cases of a long walk; 0: all
PER_PROCESS = 6                           # a case that starts processes takes as long as 6 of a walk
if os.access("/dev/shm", os.W_OK):        # on a disk, thousands of fsync would take long
    tempfile.tempdir = "/dev/shm"

JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, resolution: 8, seed: [0, 1]}
models: {tiny: {vgg: [4, M, 6, M]}}
datasets:
  shapes: {format: synthetic, classes: 3, complexity: 1, size: 8, train: 20, eval: 12}
  others: {format: synthetic, classes: 4, complexity: 1, size: 8, train: 12, eval: 6}
train: {epochs: 2, batch: 8, learning_rate: 0.05, lanes: 2, augment: [crop, flip],
        stop_when_stable: {distance: 1.0e-9, patience: 2}}
measure: {delta: [0.9, 0.99], eigenspace: store, projection: true}
probe: {epochs: all, pool: 2, datasets: [others]}
checkpoint: {keep: all}
"""


def sample(cases):
    """Chooses a sample of cases that start processes, by the seed."""
    return random.Random(SEED).sample(cases, SAMPLE // PER_PROCESS) if 0 < SAMPLE // PER_PROCESS < len(cases) else cases


class Path:
    """A call path, from a line of ES_FAULT_NOTES."""

    def __init__(self, rank, line):
        self.kind, self.name, *numbers = line.split()
        self.rank = rank
        self.first, self.last, self.calls = map(int, numbers[:3])
        self.place = numbers[3]


class Case(results.Case):
    job = JOB

    def run_faults(self, *arguments, ranks=2, output="out", fault=None, notes=None, expect=None):
        """`eigenscope run` with fault injection, all ranks on one point; the time limit ends hangs. The program's clock stands
        still: a slow run writes more live files, and the number of a call would then depend on the machine."""
        env = {name: value for name, value in (("ES_FAULT", fault), ("ES_FAULT_NOTES", notes), ("ES_FAULT_CLOCK", "1")) if value}
        command = ([*harness.MPIRUN, "-n", str(ranks)] if ranks else []) + [
            FAULTS, "run", "job.yaml", "--output", output, "--ranks-per-point", str(max(ranks, 1)), *(arguments or ("--quiet",))]
        return self.run_command(command, env=env, expect=expect, timeout=60)

    def paths(self, *arguments, ranks=2):
        """Call paths of a run without faults, of all ranks."""
        notes = self.folder / "notes"
        self.run_faults(*arguments, ranks=ranks, output="noted", notes=str(notes), expect=0)
        return [Path(rank, line) for rank in range(max(ranks, 1))
                for line in notes.with_name(f"notes.{rank}").read_text().splitlines()]

    def walk(self, *arguments, ranks=0, least, options=("--fresh", "out"), manners="one", sample=SAMPLE, timeout=800):
        """Walks a command: at least `least` cases exist, all cases of the sample are good. `manners`: see fault_walk."""
        command = ([*harness.MPIRUN, "-n", str(ranks)] if ranks else []) + [
            WALK, *options, "--manners", manners, "--sample", str(sample), "--seed", str(SEED), "--", *map(str, arguments)]
        done = self.run_command(command, expect=0, timeout=timeout)
        cases, complaints = map(int, re.search(r"^\d+ of (\d+) cases on .* (\d+) complaints$", done.stdout, re.M).groups())
        print(f"{' '.join(map(str, arguments))}: seed {SEED}: {done.stdout.splitlines()[-1]}")
        self.assertGreaterEqual(cases, least)
        self.assertEqual(complaints, 0)

    def check_fault(self, done, kind, what):
        """Checks for one clear sentence, a code of the contract, and no damaged file. MPI's own handler ends the job with its
        own message and code."""
        own = [line for line in done.stderr.splitlines() if line.startswith("eigenscope:")]
        what = f"{what}: {done.returncode}: {done.stderr}"
        self.assertNotRegex(done.stderr, r"Sanitizer|Segmentation|HDF5-DIAG|Assertion", what)
        if kind == "mpi":
            self.assertEqual(done.returncode, 4, what)
            self.assertEqual(len(own), 1, what)
            self.assertRegex(own[0], r"^eigenscope: rank \d+: \S+\.c:\d+: MPI_\w+\(.*\) failed: .", what)
        elif kind == "handler":
            self.assertNotEqual(done.returncode, 0, what)
            self.assertEqual(own, [], what)
            self.assertNotEqual(done.stderr, "", what)  # Open MPI sometimes drops messages, and reports that
        elif done.returncode == 0:
            self.assertFalse([line for line in own if "warning" not in line], what)
        else:
            self.assertIn(done.returncode, (1, 2), what)
            self.assertEqual(len(own), 1, what)
            self.assertGreater(len(own[0]), 30, what)
        for path in self.points().values():
            self.assertEqual(results.attributes(path)["outcome"], "complete", what)
            self.assertEqual(results.different_results(path, self.points("whole")[path.stem]), [], what)

    def check_next(self, what):
        """The next run, without faults, completes with equal bits and leaves no extra files."""
        done = self.run_job("--quiet", expect=None)
        self.assertEqual((done.returncode, done.stderr), (0, ""), what)
        self.assert_same("whole", "out")
        self.assertEqual([name for name in self.files()
                          if not re.match(r"(points/\w+\.h5|checkpoints/\w+-\d+\.safetensors)$", name)], [], what)
