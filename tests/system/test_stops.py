"""A run that must stop does so at once wherever it is, all its ranks agree, and the next run ends with equal bits. A run with a
time limit starts only what fits into the time that is left."""
import random
import re
import shutil
import signal
import time

import h5py
import numpy as np

import faults
import harness
import results

STATIONS = 4  # questions of a run at which a test stops it, evenly spaced, and as many by the seed


class Anywhere(faults.Case):
    """Stops at questions of one rank, without waiting for them (tests/fault/fault.h)."""
    part = 1 / 3  # of the questions of a whole run, in each of many runs

    def stop_at_some(self, ranks):
        self.use_whole()
        questions = max(path.last for path in self.paths(ranks=ranks) if path.kind == "stop" and path.rank == max(ranks - 1, 0))
        generator = random.Random(faults.SEED)
        chosen = {1 + i * (questions - 1) // (STATIONS - 1) for i in range(STATIONS)}
        chosen |= {generator.randint(1, questions) for _ in range(STATIONS)}
        for k in sorted(chosen):
            with self.subTest(question=k, of=questions, ranks=ranks):
                shutil.rmtree(self.folder / "out", True)
                done = self.run_faults(ranks=ranks, fault=f"stop:{k}:on@{max(ranks - 1, 0)}", expect=None)
                self.assertIn(done.returncode, (0, 3) if k == questions else (3,), done.stderr)
                self.assertEqual([line for line in done.stderr.splitlines() if line.startswith("eigenscope:")], [])
                self.check_next(f"question {k}")
        return questions

    def test_one_rank(self):
        self.assertGreater(self.stop_at_some(ranks=0), 200)

    def test_the_last_of_two_ranks(self):
        self.stop_at_some(ranks=2)

    def test_again_and_again(self):
        """Each run stops after some more questions, until nothing is left."""
        self.use_whole()
        questions = max(path.last for path in self.paths(ranks=0) if path.kind == "stop")
        for run in range(20):
            done = self.run_faults(ranks=0, fault=f"stop:{int(self.part * questions)}:on", expect=None)
            if done.returncode == 0:
                break
            self.assertEqual((done.returncode, done.stderr), (3, ""))
        self.assertTrue(0 < run < 19, run)
        self.check_next("many stops")


class WithoutProjection(Anywhere):
    """The last epoch is saved too, if the run stops behind it. Weights are saved only where they are due."""
    job = faults.JOB.replace(", projection: true", "").replace("epochs: 2,", "epochs: 3,").replace(
        "{keep: all}", "{keep: all, every: 2}").replace("probe: {epochs: all", "probe: {epochs: [1, 3], memory: 1")

    def test_the_last_epoch_is_kept(self):
        """Comparisons with the last epoch and its probes go on where they were."""
        self.use_whole()
        last = max(path.last for path in self.paths(ranks=0) if path.kind == "stop")
        for k in range(last - 2, last - 40, -6):
            shutil.rmtree(self.folder / "out", True)
            self.run_faults(ranks=0, fault=f"stop:{k}:on", expect=3)
            state = max((self.folder / "out" / "state").glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
            if results.read_safetensors(state)[1]["epoch"] == "3":
                break
        else:
            self.fail("no stop kept the last epoch")
        done = self.run_job()
        self.assertNotIn(": epoch 3/3", "".join(line for line in done.stdout.splitlines(True) if "seed=1" in line))
        self.assert_same("whole", "out")


class Files(Anywhere):
    """source: activations, with a wide layer of few rows, a layer in double, probes and eigenspaces."""
    part = 2 / 3  # the rows of an epoch are measured without a break
    job = """\
name: t
output: out
source: activations
activations: {file: "acts-{epoch}.h5", epochs: [1, 4], labels: labels}
measure: {delta: [0.9, 0.99], eigenspace: true}
probe: {epochs: all}
"""

    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(4)
        for epoch in (1, 4):
            with h5py.File(self.folder / f"acts-{epoch}.h5", "w", track_order=True) as file:
                for name, shape, kind in (("conv", (60, 3, 3, 5), "f4"), ("wide", (60, 900), "f4"), ("real", (60, 12), "f8")):
                    file[name] = generator.standard_normal(shape).astype(kind)
                file["labels"] = np.arange(60) % 3

    def run_faults(self, *arguments, ranks=2, **options):
        return super().run_faults(*arguments, ranks=ranks, **options)

    def use_whole(self):
        """In the folder of the test, because results name the files."""
        self.run_job("--quiet", output="whole")

    def assert_same_weights(self, a, b):
        """Nothing is trained."""

    def test_one_rank(self):
        self.assertGreater(self.stop_at_some(ranks=0), 60)

    def test_the_last_of_two_ranks(self):
        self.stop_at_some(ranks=3)


@harness.not_sanitized("solves take minutes")
class Wide(results.Case):
    """Wide layers, whose solves take most of the run."""
    job = """\
name: t
output: out
source: activations
activations: {file: acts.h5}
measure: {eigenspace: true}
"""

    def test_a_signal_ends_solves(self):
        generator = np.random.default_rng(4)
        with h5py.File(self.folder / "acts.h5", "w") as file:
            for layer in range(3):
                file[f"layer{layer}"] = generator.standard_normal((1300, 1200)).astype("f4")
        start = time.monotonic()
        self.run_job("--quiet", output="whole")
        whole = time.monotonic() - start
        latest = []
        for share in (0.3, 0.5, 0.7):
            process = self.start_job("--quiet")
            time.sleep(share * whole)
            told = time.monotonic()
            process.send_signal(signal.SIGUSR1)
            process.communicate(timeout=60)
            latest.append(time.monotonic() - told)
            if process.returncode == 0:  # faster than the first run
                shutil.rmtree(self.folder / "out")
                continue
            self.assertEqual(process.returncode, 3)
        self.assertLess(min(latest), whole / 8 + 0.3, f"of {whole} s")
        self.assertLess(max(latest), whole / 4 + 1.0, f"of {whole} s")
        self.run_job("--quiet")
        self.assertEqual([results.different_results(a, b) for a, b in
                          zip(self.points("whole").values(), self.points().values())], [[]])


class TimeLimit(faults.Case):
    """Time passes with the looks at the clock, so each run ends at the same place."""
    job = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, resolution: 8, seed: [0, 1, 2, 3]}
models: {tiny: {vgg: [4, M, 6, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 8, train: 40, eval: 12}}
train: {epochs: 8, batch: 8, learning_rate: 0.05, lanes: 2}
checkpoint: {every: 8, keep: all}
"""

    def limited(self, seconds, *sets, expect=3):
        command = [faults.FAULTS, "run", "job.yaml", "--output", "out", "--max-time", f"{seconds:.3f}s",
                   *(word for value in sets for word in ("--set", value))]
        return self.run_command(command, env={"ES_FAULT_TICK": "0.01"}, expect=expect)

    def seconds(self, *sets):
        """Time of each point."""
        self.limited(10000, *sets, expect=0)
        found = [float(results.attributes(path)["elapsed_seconds"]) for path in self.points().values()]
        shutil.rmtree(self.folder / "out")
        return min(found), max(found)

    def test_points_that_do_not_fit_are_not_started(self):
        self.use_whole()
        least, most = self.seconds()
        self.assertLess(most, 1.1 * least)  # else time does not pass as this test expects
        done = self.limited(2.6 * most)
        self.assertIn("\nnot started: 2 points (2-3), because they need more time than was left\n"
                      "unfinished: to continue, run the same command again\n", done.stdout)
        self.assertNotIn("stopped", done.stdout)
        self.assertNotIn("point 2", done.stdout)
        self.assertEqual(len(self.points()), 2)
        self.check_next("a time limit")

    def test_nothing_is_known_at_first(self):
        """A run that has measured nothing starts a point even if the time is short."""
        _, most = self.seconds()
        done = self.limited(0.6 * most)
        self.assertRegex(done.stdout, r"\nstopped: 1 point \(0\)\nnot started: 3 points \(1-3\), because ")

    def test_epochs_that_do_not_fit_are_not_started(self):
        """The epochs so far are saved, though the job saves only every 8."""
        self.use_whole()
        sets = ("grid.seed=[0]",)
        _, most = self.seconds(*sets)
        done = self.limited(0.6 * most, *sets)
        found = re.search(r"^point 0: stopped \(0/1 point, .* left\): epoch (\d) is saved; the next one needs "
                          r"about \d+ s, but only \d+ s are left$", done.stdout, re.M)
        self.assertTrue(found, done.stdout)
        state, = (path for path in (self.folder / "out" / "state").glob("*.safetensors") if "previous" not in path.name)
        self.assertEqual(results.read_safetensors(state)[1]["epoch"], found[1])
        self.assertIn(int(found[1]), range(2, 7))
        self.check_next("a time limit")


if __name__ == "__main__":
    harness.main()
