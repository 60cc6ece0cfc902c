"""measure.steps: the eval split measured after training steps, within epochs, while training keeps its bits."""
import csv
import io
import json
import math
import re

import h5py
import numpy as np

import harness
import results

# Two epochs of 5 steps; the last batch has 3 samples. Dropout and augmentation need the step, batch norm has statistics.
JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 8, train: 67, eval: 20}}
train: {epochs: 2, batch: 16, learning_rate: 0.05, augment: [crop, flip]}
measure: {delta: [0.9, 0.99], steps: [0, 1, 2, 5, 8, 10]}
"""
STEPS = [0, 1, 2, 5, 8, 10]
NAMES = ("step_epoch", "step_loss", "step_accuracy", "step_flags", "step_saturation", "step_eigenvalues")


class Steps(results.Case):
    job = JOB

    def result(self, output="out"):
        path, = self.points(output).values()
        return path

    def read(self, output="out"):
        return results.variables(self.result(output))

    def test_training_keeps_its_bits_and_epochs_are_the_same_numbers(self):
        self.run_job("--quiet")
        self.run_job("--quiet", output="none", sets=["measure.steps=none"])
        with_steps, without = self.read(), self.read("none")
        self.assertEqual(set(with_steps) - set(without), {*NAMES, "step"})
        self.assertEqual(results.different({n: v for n, v in with_steps.items() if n in without}, without), [])
        a, b = (next((self.folder / output / "checkpoints").iterdir()) for output in ("out", "none"))
        self.assertEqual(results.different(results.read_safetensors(a)[0], results.read_safetensors(b)[0]), [])
        self.assertEqual(list(with_steps["step"]), STEPS)
        np.testing.assert_array_equal(with_steps["step_epoch"], np.array(STEPS) / 5)
        # The steps 0, 5 and 10 are the epochs 0, 1 and 2.
        at, eval_ = [0, 3, 5], 1
        for step, epoch in (("step_loss", "loss"), ("step_accuracy", "accuracy"), ("step_flags", "flags"),
                            ("step_saturation", "saturation"), ("step_eigenvalues", "eigenvalues")):
            self.assertTrue(results.same_bits(with_steps[step][at], with_steps[epoch][eval_]), step)
        for name in NAMES:
            self.assertFalse(np.isnan(with_steps[name].ravel()[0]), name)
        self.assertFalse(results.same_bits(with_steps["step_eigenvalues"][1], with_steps["step_eigenvalues"][2]))

    def test_bits_on_any_number_of_ranks(self):
        self.run_job("--quiet")
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=str(ranks), ranks=ranks)
            self.assert_same("out", str(ranks))

    def test_samples_are_those_of_a_limit(self):
        """The first samples of each class: a dataset with this limit has the same numbers after its epochs."""
        self.run_job("--quiet", sets=["measure.step_samples=10"])
        limit = "datasets.shapes.limit={eval: 10}"
        self.run_job("--quiet", output="limited", sets=[limit, "measure.steps=none"])
        steps, limited = self.read(), self.read("limited")
        for step, epoch in (("step_loss", "loss"), ("step_accuracy", "accuracy"), ("step_eigenvalues", "eigenvalues")):
            self.assertTrue(results.same_bits(steps[step][[0, 3, 5]], limited[epoch][1]), step)

    def test_a_step_within_an_epoch_is_the_end_of_a_shorter_epoch(self):
        """A dataset of the first three batches, in the order of the seed, gives after its epoch what step 3 gives."""
        random = np.random.default_rng(0)
        images, labels = random.integers(0, 256, (67, 8, 8, 3), np.uint8), random.integers(0, 3, 67)
        evals = random.integers(0, 256, (20, 8, 8, 3), np.uint8), random.integers(0, 3, 20)
        order = permutation(seed=0, epoch=1, n=67)
        first = order[:48]
        self.assertEqual(set(labels[first]), {0, 1, 2})
        short = np.empty_like(first)
        short[permutation(seed=0, epoch=1, n=48)] = first
        for name, chosen in (("long", np.arange(67)), ("short", short)):
            with h5py.File(self.folder / f"{name}.h5", "w") as file:
                file["train/images"], file["train/labels"] = images[chosen], labels[chosen]
                file["eval/images"], file["eval/labels"] = evals
            self.write(f"{name}.yaml", re.sub("datasets: .*", "datasets: {shapes: {format: hdf5, path: %s.h5, normalize: {mean: 0.5, "
                                              "std: 0.25}}}" % name, JOB)
                       .replace("epochs: 2", "epochs: 1").replace(", augment: [crop, flip]", "")
                       .replace("model: tiny", "model: tiny, resolution: 8").replace("[0, 1, 2, 5, 8, 10]", "[3]"))
            self.run_program("run", f"{name}.yaml", "--output", name, "--quiet")
        long, short = self.read("long"), self.read("short")
        for step, epoch in (("step_loss", "loss"), ("step_accuracy", "accuracy"), ("step_saturation", "saturation"),
                            ("step_eigenvalues", "eigenvalues")):
            self.assertTrue(results.same_bits(long[step][0], short[epoch][1, 1]), step)
        self.assertFalse(results.same_bits(long["eigenvalues"][1, 1], short["eigenvalues"][1, 1]))

    def test_lists_of_steps(self):
        last = 10
        spread = [0]
        for i in range(6):
            spread.append(max(round(last ** (i / 5)), spread[-1] + 1))
        for given, expected in (("{log: 7}", spread), ("{log: 50}", range(11)), ("{every: 4}", [0, 4, 8]), ("{every: 100}", [0]),
                                ("7", [7]), ("[0, 3, 10, 11, 500]", [0, 3, 10])):
            done = self.run_job(output=given, sets=[f"measure.steps={given}"])
            self.assertEqual(list(self.read(given)["step"]), list(expected), given)
            self.assertEqual("measure.steps has 500, but training ends after step 10" in done.stderr, "500" in given, done.stderr)

    def test_diverged(self):
        """Steps before the end stay; the evaluation after the step that breaks the network has no loss."""
        self.run_job("--quiet", sets=["train.learning_rate=1e30", "measure.steps={every: 1}"], expect=2)
        found = self.read()
        self.assertEqual(results.attributes(self.result())["outcome"], "diverged")
        loss, flags = found["step_loss"], found["step_flags"]
        reached = np.isfinite(loss).sum()
        self.assertGreaterEqual(reached, 1)
        self.assertLess(reached, 11)
        self.assertTrue(np.isfinite(found["step_saturation"][:reached, :, :]).any(axis=(1, 2)).all())
        self.assertTrue(np.isnan(found["step_saturation"][reached:]).all())
        self.assertTrue((flags[reached] & 4).all(), flags)  # nonfinite
        shown = self.run_program("show", self.result(), "--steps").stdout
        self.assertIn("n  not finite", shown)

    def test_training_that_ends_early(self):
        self.run_job("--quiet", sets=["train.epochs=6", "train.stop_when_stable={distance: 1, patience: 2}", "measure.steps={every: 4}"])
        found = self.read()
        stopped = int(results.attributes(self.result())["stopped_at_epoch"])
        self.assertLess(stopped, 6)
        np.testing.assert_array_equal(np.isfinite(found["step_loss"]), found["step"] <= 5 * stopped)

    def test_dry_run_and_plan(self):
        self.run_job("--dry-run", "--quiet")
        plans = [json.loads(self.run_program("plan", "job.yaml", "--format", "json", "--set", f"measure.steps={steps}").stdout)
                 for steps in ("none", "{every: 1}")]
        none, every = (plan["points"][0] for plan in plans)
        self.assertGreater(every["macs"] if "macs" in every else every["cost"], none["macs"] if "macs" in none else none["cost"])
        self.assertGreater(every["bytes_per_rank"], none["bytes_per_rank"])

    def test_show(self):
        self.run_job("--quiet")
        found, path = self.read(), self.result()
        rows = list(csv.DictReader(io.StringIO(self.run_program("show", path, "--steps", "--format", "csv").stdout)))
        layers = [name.decode() for name in found["layer"]]
        self.assertEqual(len(rows), len(STEPS) * len(layers) * 2)
        for row in rows:
            at = STEPS.index(int(row["step"])), layers.index(row["layer"])
            delta = list(found["delta"]).index(float(row["delta"]))
            self.assertEqual(float(row["step_saturation"]), found["step_saturation"][(*at, delta)])
            self.assertEqual(float(row["step_loss"]), found["step_loss"][at[0]])
            self.assertEqual(int(row["step_flags"]), found["step_flags"][at])
            self.assertEqual(float(row["step_epoch"]), found["step_epoch"][at[0]])
        shown = json.loads(self.run_program("show", path, "--steps", "--format", "json").stdout)
        self.assertEqual([(row["step"], row["layer"], row["step_saturation"]) for row in shown["rows"]],
                         [(int(row["step"]), row["layer"], float(row["step_saturation"])) for row in rows])
        table = self.run_program("show", path, "--steps", "--layer", "features.0").stdout
        self.assertRegex(table, r"layer +width +0 +1 +2 +5 +8 +10\n")
        self.assertRegex(table, rf"\naccuracy {{6,}}.*{found['step_accuracy'][-1]:.4f}")
        self.assertNotIn("features.4", table)
        ordinary = self.run_program("show", path, "--format", "csv").stdout
        self.assertNotIn("step", ordinary)

    def test_refused(self):
        for given, message in (("[2, 1]", "ascending"), ("{log: 2}", "from 3 to 1000"), ("{fast: 3}", "unknown key \"fast\""),
                               ("{log: 3, every: 2}", "none, an ascending list of steps, {log: N} or {every: N}"),
                               ("[-1]", "measure.steps must be"), ("soon", "measure.steps must be"),
                               ("[11, 20]", "begins with step 11, but training ends after step 10")):
            done = self.run_job(sets=[f"measure.steps={given}"], expect=1)
            self.assertIn(message, done.stderr, given)
        done = self.run_job(sets=["measure.steps=none", "measure.step_samples=5"], expect=1)
        self.assertIn("measure.step_samples can only be used with measure.steps", done.stderr)
        self.write("weights.yaml", JOB.replace("grid:", "source: checkpoint\ncheckpoints: {files: none.safetensors}\ngrid:"))
        done = self.run_program("run", "weights.yaml", expect=1)
        self.assertIn("measure.steps measures within the epochs of training, and source: checkpoint does not train", done.stderr)
        self.assertRegex(done.stderr, r"weights.yaml:\d+: ")
        self.run_job("--quiet", sets=["measure.steps=none", "train.epochs=1"])
        done = self.run_program("show", self.result(), "--steps", expect=1)
        self.assertIn("has no measurements after training steps", done.stderr)

    def test_merged(self):
        """Points with other steps in one file."""
        self.write("job.yaml", JOB.replace("batch: 16, ", "").replace("model: tiny}", "model: tiny, train.batch: [16, 40]}")
                   .replace("[0, 1, 2, 5, 8, 10]", "{log: 4}"))
        self.run_job("--quiet")
        self.run_program("merge", "job.yaml", "--to", "all.h5")
        merged = results.variables(self.folder / "all.h5")
        by_batch = {int(results.attributes(path)["train_batch"]): results.variables(path) for path in self.points().values()}
        steps = sorted(set(by_batch[16]["step"]) | set(by_batch[40]["step"]))
        self.assertEqual(list(merged["step"]), steps)
        for row, batch in enumerate((16, 40)):
            own = by_batch[batch]
            at = [steps.index(step) for step in own["step"]]
            rest = [i for i in range(len(steps)) if i not in at]
            for name in NAMES:
                self.assertTrue(results.same_bits(merged[name][row][at], own[name]), name)
                if merged[name].dtype.kind == "f":
                    self.assertTrue(np.isnan(merged[name][row][rest]).all(), name)
        done = self.run_program("show", "all.h5", "--steps", expect=1)
        self.assertIn("is a merged file, but --steps shows the result of one point", done.stderr)
        self.run_program("merge", "job.yaml", "--to", "small.h5", "--no-spectra")
        self.assertEqual({"step_eigenvalues", "eigenvalues", "component"}, set(merged) - set(results.variables(self.folder / "small.h5")))

    def test_other_readers(self):
        self.run_job("--quiet")
        try:
            import xarray
        except ImportError:
            self.skipTest("needs python3-xarray")
        found = self.read()
        for engine in ("h5netcdf", "netcdf4"):
            try:
                opened = xarray.open_dataset(self.result(), engine=engine)
            except (ImportError, ValueError) as error:
                if "netcdf4" not in str(error).lower() and "engine" not in str(error):
                    raise
                continue
            with opened:
                self.assertEqual(opened.step_saturation.dims, ("step", "layer", "delta"))
                np.testing.assert_array_equal(opened.step_saturation.sel(step=8, delta=0.99).values, found["step_saturation"][4, :, 1])


class Interrupted(results.Case):
    """Killed within an epoch, a run goes on with equal bits."""
    job = JOB.replace("train: 67, eval: 20", "train: 1027, eval: 40").replace("epochs: 2", "epochs: 4") \
        .replace("[0, 1, 2, 5, 8, 10]", "{every: 3}").replace("delta: [0.9, 0.99]", "step_samples: 20")

    def test_killed(self):
        self.use_whole()
        for ranks in (0, 2):
            process = self.start_job(*(("--ranks-per-point", ranks) if ranks else ()), ranks=ranks)

            def has_saved():
                return any((self.folder / "out" / "state").glob("*.safetensors"))
            self.wait_for(has_saved, process)
            for pid in (process.pid, *results.children(process.pid)):
                self.kill(pid)
            process.wait(timeout=60)
            if ranks == 0:
                state, = (self.folder / "out" / "state").glob("*.safetensors")
                tensors = results.read_state(state)[0]
                self.assertIn("result.step_eigenvalues", tensors)
        self.run_job("--quiet", "--ranks-per-point", 4, ranks=4)
        self.assert_same("whole", "out")


def philox(c, k):
    """The four words of Philox4x32-10 for a counter of four words and a key of two (include/eigenscope/random.h)."""
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xffffffff, (a >> 32) ^ c[3] ^ k[1], a & 0xffffffff]
        k = [(k[0] + 0x9E3779B9) & 0xffffffff, (k[1] + 0xBB67AE85) & 0xffffffff]
    return c


def permutation(seed, epoch, n):
    """The order of an epoch: Fisher-Yates."""
    order = np.arange(n)
    for i in range(n - 1, 0, -1):
        j = philox([i, 0, epoch, 2 << 24], [seed, 0])[0] * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


if __name__ == "__main__":
    harness.main()
