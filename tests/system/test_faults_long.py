"""Every call that can fail does, one after the other: of the allocator and of the disk by fault_walk (tests/fault/walk.c says
what is asked of each case), of MPI and kills in a process of its own."""
import concurrent.futures
import pathlib
import random
import re
import shutil
import tempfile

import h5py
import numpy as np

import faults
import harness
import results


class Walks(faults.Case):
    def walk(self, *arguments, ranks=0, least, options=("--fresh", "out"), timeout=800):
        """Of one command; at least so many cases, all of them good."""
        command = ([*harness.MPIRUN, "-n", str(ranks)] if ranks else []) + [
            faults.WALK, *options, "--seed", str(faults.SEED), "--", *map(str, arguments)]
        done = self.run_command(command, expect=0, timeout=timeout)
        cases, complaints = map(int, re.search(r"^(\d+) cases on .* (\d+) complaints$", done.stdout, re.M).groups())
        print(f"{' '.join(map(str, arguments))}: {done.stdout.splitlines()[-1]}")
        self.assertGreaterEqual(cases, least)
        self.assertEqual(complaints, 0)

    def test_training(self):
        self.walk("run", "job.yaml", least=2000)

    def test_training_on_two_ranks(self):
        self.walk("run", "job.yaml", "--ranks-per-point", 2, ranks=2, least=2500)

    def test_going_on(self):
        """From where the second point was killed, which is after its last state."""
        self.run_faults(ranks=0, still=True, output="noted", notes="notes")
        lines = [faults.Path(0, line) for line in (self.folder / "notes.0").read_text().splitlines()]
        last = max(path.last for path in lines if path.name == "H5Fget_file_image")
        self.assertEqual(self.run_faults(ranks=0, still=True, fault=f"store:{last}:kill").returncode, -9)
        self.assertTrue(list((self.folder / "out" / "state").iterdir()))
        (self.folder / "out").rename(self.folder / "killed")
        self.walk("run", "job.yaml", options=("--fresh", "out", "--from", "killed"), least=2000)

    def test_weights_of_a_sweep(self):
        self.run_job("--quiet")
        (self.folder / "out").rename(self.folder / "trained")
        self.walk("run", "job.yaml", "--ranks-per-point", 2, "--set", "source=checkpoint", "--set", "checkpoints.from=trained",
                  "--set", "probe.epochs=last", ranks=2, least=2000)

    def write_activations(self):
        generator = np.random.default_rng(faults.SEED)
        (self.folder / "arrays").mkdir()
        with h5py.File(self.folder / "acts.h5", "w") as file:
            for name, shape in (("a", (40, 5)), ("b", (40, 2, 3, 4)), ("wide", (40, 60))):
                values = generator.normal(size=shape).astype(np.float32)
                file[name] = values
                np.save(self.folder / "arrays" / f"{name}.npy", values)
            file["labels"] = np.arange(40, dtype=np.int64) % 3
            np.save(self.folder / "arrays" / "labels.npy", file["labels"][()])

    def test_activations(self):
        self.write_activations()
        for name in ("acts.h5", "arrays"):
            self.write("job.yaml", f"name: t\noutput: out\nsource: activations\nactivations: {{file: {name}, labels: labels}}\n"
                                   "measure: {eigenspace: true}\nprobe: {epochs: last}\n")
            self.walk("run", "job.yaml", ranks=2, least=400)


class Processes(faults.Case):
    """What ends the process."""

    def setUp(self):
        super().setUp()
        self.use_whole()

    def run_cases(self, cases, check):
        """check(faults.Case in a folder of its own, case), two at a time."""
        def alone(case):
            other = type(self)("run_cases")
            other.folder = pathlib.Path(tempfile.mkdtemp(prefix="eigenscope-test-"))
            try:
                other.write("job.yaml", self.job)
                (other.folder / "whole").symlink_to(type(self).undisturbed)
                check(other, case)
            finally:
                shutil.rmtree(other.folder)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for case, future in [(case, pool.submit(alone, case)) for case in cases]:
                with self.subTest(case=case):
                    future.result()
        print(f"{self._testMethodName}: {len(cases)} cases")

    def test_mpi(self):
        """Of every place that calls MPI, on each rank, the first call, the last, or one that a seed chooses."""
        generator = random.Random(faults.SEED)
        places = {}
        for path in self.paths("--verbose"):
            if path.kind == "mpi":
                places.setdefault((path.rank, path.name, path.place), []).extend((path.first, path.last))
        cases = [f"mpi:{generator.choice(numbers)}@{rank}" for (rank, _, _), numbers in places.items()]
        self.assertGreater(len(cases), 150)

        def check(case, fault):
            case.check_fault(case.run_faults("--verbose", fault=fault), "mpi", fault)
            case.check_next(fault)
        self.run_cases(cases, check)

    def test_killed_at_the_disk(self):
        """Killed before a call changes anything on disk."""
        changing = {"open", "write", "fsync", "ftruncate", "rename", "link", "unlink", "unlinkat", "mkdir", "close"}
        cases = sorted({k for path in self.paths(ranks=0) if path.name in changing for k in (path.first, path.last)})
        self.assertGreater(len(cases), 40)

        def check(case, k):
            self.assertEqual(case.run_faults(ranks=0, fault=f"store:{k}:kill").returncode, -9)
            for path in case.points().values():
                self.assertEqual(results.different_results(path, case.points("whole")[path.stem]), [])
            case.check_next(k)
        self.run_cases(cases, check)


if __name__ == "__main__":
    harness.main()
