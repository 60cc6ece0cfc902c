"""source: moments. Sums that the Python package took are solved as by numpy, on any number of ranks."""
import glob
import os
import shutil
import signal
import subprocess
import sys
import unittest

import h5py
import numpy as np

import harness

sys.path.insert(0, str(harness.SOURCE / "analysis"))
sys.dont_write_bytecode = True
import eigenscope  # noqa: E402

JOB = "name: moments\nsource: moments\nmoments: {files: run/m.h5%s}\nmeasure: {delta: [0.9, 0.99], eigenspace: true}\n"
LAYERS = {"features.0": 24, "mid": 3, "head": 130}
EPOCHS = [(0, "train"), (0, "eval"), (2, "train"), (2, "eval"), (7, "eval")]


class Moments(harness.Case):
    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(11)
        self.rows = {(*key, name): [generator.normal(size=(60 + 7 * part, width)) * generator.uniform(0.1, 3, width) + 50
                                    for part in range(3)] for key in EPOCHS for name, width in LAYERS.items()}
        self.job = self.write("job.yaml", JOB % "")

    def write_parts(self, parts=3, run="one", epochs=EPOCHS, which=None):
        for part in range(parts) if which is None else which:
            with eigenscope.Tracker(to=self.folder / "run/m.h5", part=part, parts=parts, run=run) as tracker:
                for epoch, split in epochs:
                    with tracker.epoch(epoch, split=split):
                        for name in LAYERS:
                            rows = self.rows[epoch, split, name]
                            tracker.accumulate(name, rows[part] if parts > 1 else np.concatenate(rows))
                    tracker.log(loss=epoch + part, accuracy=None if part else 0.25)

    def result(self, output="results/moments"):
        return h5py.File(glob.glob(f"{self.folder}/{output}/points/*.h5")[0])

    def check_numpy(self, file):
        self.assertEqual(list(file["layer"].asstr()[:]), list(LAYERS))
        epochs = list(file["epoch"][:])
        for (epoch, split, name), parts in self.rows.items():
            at = (int(split == "eval"), epochs.index(epoch), list(LAYERS).index(name))
            x = np.concatenate(parts)
            expected = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
            self.assertLess(np.abs(file["eigenvalues"][at][:len(expected)] - expected).max(), 1e-12 * expected[0])
            self.assertEqual(file["samples"][at], len(x))
            share = np.cumsum(expected) / expected.sum()
            self.assertEqual(list(file["intrinsic_dimension"][at]), [int((share < d).sum()) + 1 for d in (0.9, 0.99)])

    def test_numbers_are_those_of_numpy_and_equal_on_any_number_of_ranks(self):
        self.write_parts()
        self.run_program("run", self.job, "--quiet")
        with self.result() as one:
            self.check_numpy(one)
            self.assertTrue(np.isnan(one["eigenvalues"][0, 2]).all())  # epoch 7 has no train split
            self.assertEqual(list(one["loss"][1]), [1, 3, 8])          # the mean over the parts
            self.assertEqual(list(one["accuracy"][1]), [0.25] * 3)     # of the part that has it
            for ranks in (2, 4):
                self.run_program("run", self.job, "--quiet", "--output", f"r{ranks}", ranks=ranks)
                with self.result(f"r{ranks}") as other:
                    for name in one:
                        if name != "seconds" and one[name].dtype.kind in "iuf":
                            self.assertEqual(one[name][()].tobytes(), other[name][()].tobytes(), name)

    def test_layers_that_all_ranks_solve_are_read_one_by_one(self):
        self.write_parts()
        self.run_program("run", self.job, "--quiet", "--set", "measure.solver=scalapack", ranks=2)
        with self.result() as file:
            self.check_numpy(file)
            self.assertEqual(set(file["solver"][1, 0]), {2})

    def test_one_part_chosen_epochs_and_what_commands_say(self):
        self.write_parts(1)
        said = self.run_program("plan", self.job).stdout
        self.assertRegex(said, r"features\.0 +1 x 1 x 24 +sums +24 +-")
        self.assertIn("3 epochs of at most 201 rows", said)
        chosen = self.write("chosen.yaml", JOB % ", epochs: [2]")
        self.run_program("run", chosen, "--quiet", "--output", "chosen")
        with self.result("chosen") as file:
            self.assertEqual(list(file["epoch"][:]), [2])
            again = self.write("again.yaml", file.attrs["job"])  # the stored job is the same point
        self.run_program("run", again, "--quiet", "--output", "chosen")
        self.assertEqual(len(glob.glob(f"{self.folder}/chosen/points/*.h5")), 1)
        self.run_program("run", self.job, "--quiet")
        self.assertIn("features.0", self.run_program("show", self.result().filename).stdout)
        self.assertIn("1 complete", self.run_program("status", self.job).stdout)
        acts = self.write("acts.yaml", "name: a\nsource: activations\nactivations: {file: run/m.h5}\n")
        for command in (("show", "run/m.h5"), ("data", "info", "run/m.h5"), ("plan", acts)):
            self.assertIn("a job with `source: moments` measures them", self.run_program(*command, expect=1).stderr)
        os.remove(self.folder / "run/m.h5")
        self.assertIn("1 complete", self.run_program("status", self.job).stdout)

    def test_files_that_changed_are_not_taken_for_those_of_the_result(self):
        self.write_parts(1)
        self.run_program("run", self.job, "--quiet")
        self.rows[9, "train", "mid"] = self.rows[0, "train", "mid"]
        with eigenscope.Tracker(to=self.folder / "run/m.h5") as tracker, tracker.epoch(9):
            for name in LAYERS:
                tracker.accumulate(name, np.eye(LAYERS[name]))
        self.assertIn("was measured on other files", self.run_program("run", self.job, "--quiet", expect=1).stderr)

    def test_a_writer_that_was_killed_leaves_its_complete_epochs(self):
        program = f"""
import os, signal, sys
sys.path.insert(0, {str(harness.SOURCE / 'analysis')!r})
import numpy as np, eigenscope
tracker = eigenscope.Tracker(to="run/m.h5")
for epoch in range(3):
    with tracker.epoch(epoch):
        tracker.accumulate("a", np.diag(np.arange(1.0, 9)))
with tracker.epoch(3):
    tracker.accumulate("a", np.eye(8))
    tracker.writer.begin(3, 0)
    tracker.writer.file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-B", "-c", program], cwd=self.folder, timeout=60)
        self.assertEqual(done.returncode, -signal.SIGKILL)
        self.run_program("run", self.job, "--quiet")
        with self.result() as file:
            self.assertEqual(list(file["epoch"][:]), [0, 1, 2])

    def test_probes_are_those_of_the_same_features_in_a_file_of_activations(self):
        random = np.random.default_rng(3)
        labels = {split: random.integers(0, 3, 240) for split in ("train", "eval")}
        centres = random.normal(size=(3, 8))
        images = {split: (random.normal(size=(240, 4, 4, 8)) + centres[y][:, None, None]).astype("f4") for split, y in labels.items()}
        for part in range(2):
            with eigenscope.Tracker(to=self.folder / "run/m.h5", probes=60, part=part, parts=2, run="r") as tracker:
                for split in ("train", "eval"):
                    with tracker.epoch(0, split=split):
                        for at in range(120 * part, 120 * part + 120, 30):
                            tracker.accumulate("conv", images[split][at:at + 30], labels[split][at:at + 30])
                            tracker.accumulate("mean", images[split][at:at + 30].mean((1, 2)), labels[split][at:at + 30])
        for split in ("train", "eval"):
            parts = [h5py.File(self.folder / f"run/m.part{part}-of-2.h5") for part in range(2)]
            with h5py.File(self.folder / f"{split}.h5", "w", track_order=True) as file:
                for i, name in enumerate(("conv", "mean")):
                    file[name] = np.concatenate([part[f"layers/{i:04}/features"][split == "eval"] for part in parts])
                file["labels"] = np.concatenate([part["labels"][split == "eval"] for part in parts])
                self.assertEqual(np.bincount(file["labels"][:]).tolist(), [40, 40, 40])
        acts = self.write("acts.yaml", "name: acts\nsource: activations\nactivations: {file: train.h5, eval: eval.h5}\nprobe: {epochs: all}\n")
        self.run_program("run", acts, "--quiet")
        self.assertNotIn("warning", self.run_program("plan", self.job, "--set", "probe.epochs=all").stdout)
        for ranks in (0, 2):
            self.run_program("run", self.job, "--quiet", "--set", "probe.epochs=all", "--output", f"p{ranks}", ranks=ranks)
            with self.result("results/acts") as one, self.result(f"p{ranks}") as other:
                for name in ("probe_accuracy", "probe_objective", "probe_confusion", "probe_converged"):
                    self.assertEqual(one[name][()].tobytes(), other[name][()].tobytes(), name)
                self.assertGreater(other["probe_accuracy"][1, 0, 0], 0.8)
                self.assertEqual(list(other["samples"][0, 0]), [240 * 16, 240])

    def test_a_layer_with_nan_spares_the_others(self):
        with eigenscope.Tracker(to=self.folder / "run/m.h5") as tracker, tracker.epoch(0):
            tracker.accumulate("bad", np.full((9, 2), np.nan))
            tracker.accumulate("dead", np.ones((9, 2)))
            tracker.accumulate("good", np.vander(np.arange(9.0), 3)[:, :2])
        self.run_program("run", self.job, "--quiet")
        with self.result() as file:
            self.assertEqual([flag & 5 for flag in file["flags"][0, 0]], [4, 1, 0])
            self.assertTrue((file["eigenvalues"][0, 0, 2, :2] > 0).all())

    def test_sums_of_classes_change_nothing_and_are_checked(self):
        random = np.random.default_rng(1)
        rows, labels = random.normal(size=(90, 6)), random.integers(-1, 3, 90)
        for output, classes in (("with", 3), ("without", 0)):
            with eigenscope.Tracker(to=self.folder / "run/m.h5", run="r", classes=classes) as tracker, tracker.epoch(0):
                tracker.accumulate("a", rows, labels)
            self.run_program("run", self.job, "--quiet", "--output", output, ranks=2 if classes else 0)
            if classes:
                os.rename(self.folder / "run/m.h5", self.folder / "run/classes.h5")
        with self.result("with") as one, self.result("without") as other:
            self.assertEqual(one["eigenvalues"][()].tobytes(), other["eigenvalues"][()].tobytes())
        for change, words in ((lambda group: group["class_rows"].write_direct(np.array([[30, 30, 31]])), "the classes must have 0 to 90 rows together"),
                              (lambda group: group["class_rows"].write_direct(np.array([[30, 30, -1]])), "the classes must have 0 to 90 rows together"),
                              (lambda group: group.pop("class_mean"), "class_mean must be a dataset with shape (records, classes, width)"),
                              (lambda group: group.pop("class_moment"), "class_moment must be a dataset")):
            shutil.copy(self.folder / "run/classes.h5", self.folder / "run/m.h5")
            with h5py.File(self.folder / "run/m.h5", "r+") as file:
                change(file["layers/0000"])
            self.fails(words)

    def corrected(self, output="out", ranks=0):
        self.run_program("run", self.job, "--quiet", "--output", output, ranks=ranks)
        with self.result(output) as file:
            return file["participation_ratio_corrected"][0, 0]

    @staticmethod
    def ratio(lanes):
        """Of pairs of lanes: [rows (n, width)], in float64."""
        scatters = np.array([(x - x.mean(0)).T @ (x - x.mean(0)) for x in lanes])
        traces, total = np.trace(scatters, axis1=1, axis2=2), scatters.sum(0)
        return (traces.sum() ** 2 - (traces ** 2).sum()) / ((total ** 2).sum() - (scatters ** 2).sum())

    def test_lanes_correct_the_participation_ratio(self):
        """Lanes of one process, of three processes, and the processes themselves: hostile layers, on any number of ranks."""
        random = np.random.default_rng(4)
        layers = {"far": random.normal(size=(240, 12)) + 1e6, "one": random.normal(size=(240, 12)) * np.array([1e3] + [1] * 11),
                  "wide": random.normal(size=(240, 300)), "dead": np.full((240, 3), 0.5)}
        batches = {name: np.split(rows, 12) for name, rows in layers.items()}
        for parts, lanes in ((1, 0), (1, 4), (3, 0), (3, 2)):
            output = f"of{parts}x{lanes}"
            for part in range(parts):
                with eigenscope.Tracker(to=self.folder / "run/m.h5", part=part, parts=parts, run="r", lanes=lanes) as tracker, tracker.epoch(0):
                    for name, some in batches.items():
                        for batch in some[part::parts]:
                            tracker.accumulate(name, batch)
            found = self.corrected(output)
            np.testing.assert_array_equal(self.corrected(output + "ranks", ranks=2), found)
            for i, (name, some) in enumerate(batches.items()):
                own = [some[part::parts][lane::max(1, lanes)] for part in range(parts) for lane in range(max(1, lanes))]
                if len(own) == 1 or name == "dead":
                    self.assertTrue(np.isnan(found[i]), (output, name))
                else:
                    expected = self.ratio([np.concatenate(batch) for batch in own])
                    np.testing.assert_allclose(found[i], expected, rtol=1e-6 if name == "far" else 1e-9, err_msg=f"{output} {name}")
            shutil.rmtree(self.folder / "run")

    def test_lanes_are_checked_and_kept(self):
        rows = np.random.default_rng(2).normal(size=(4, 30, 5))
        for epoch in range(2):  # the second tracker goes on
            with eigenscope.Tracker(to=self.folder / "run/m.h5", lanes=2) as tracker, tracker.epoch(epoch):
                for batch in rows:
                    tracker.accumulate("a", batch)
        first = self.corrected()
        np.testing.assert_allclose(first[0], self.ratio([rows[0::2].reshape(-1, 5), rows[1::2].reshape(-1, 5)]), rtol=1e-9)
        with h5py.File(self.folder / "run/m.h5", "r+") as file:
            lanes = file["layers/0000/lane_moment"][()]
            del file["layers/0000/lane_moment"]
            file["layers/0000/lane_moment"] = lanes[:, :, :-1]
        self.fails("layers/0000/lane_moment must be a dataset with shape (records, lanes, width (width + 1) / 2)")

    def fails(self, words, *sets):
        done = self.run_program("run", self.job, "--quiet", *(part for one in sets for part in ("--set", one)), expect=1)
        self.assertIn(words, done.stderr)
        self.assertNotIn("abort", done.stderr.lower())

    def test_what_is_wrong_is_said(self):
        self.fails("job.yaml:3: ")
        self.fails("run/m.h5: this file does not exist")
        self.write_parts(which=(0, 2))
        self.fails("m.part1-of-3.h5: does not exist: part 1 of 3 is missing")
        self.write_parts(run="two", which=(1,))
        self.fails("m.part1-of-3.h5: belongs to another run than part 0")
        os.remove(self.folder / "run/m.part1-of-3.h5")
        self.write_parts(which=(1,), epochs=EPOCHS[:1])
        self.fails("no layer matches measure.layers; the first layer is", "measure.layers=[nose]")
        self.fails("has no complete record of epoch 7 (moments.epochs)", "moments.epochs=[7]")
        self.fails("probes need samples, but the files have none", "probe.epochs=last")
        self.fails("measure.projection needs a network, and source: moments has none", "measure.projection=true")
        self.fails("measure.method cannot be used with source: moments", "measure.method=mean")
        self.fails("grid.seed has 2 values, but moments.files has no {seed}", "grid.seed=[0, 1]")
        self.run_program("run", self.job, "--quiet")
        with self.result() as file:
            self.assertEqual(list(file["epoch"][:]), [0])
        self.fails("this is not a file", "moments.files=run")
        for other in ("run/m.part0-of-2.h5", "run/m.h5"):
            shutil.copy(self.folder / "run/m.part0-of-3.h5", self.folder / other)
            self.fails(f"run/m.h5: there are files of a run of {2 if '.part' in other else 1} process")
            os.remove(self.folder / other)

    def test_files_of_other_programs_are_checked(self):
        def attribute(name, value):
            def change(file):
                file.attrs[name] = value
            return change

        def drop(name):
            def change(file):
                del file[name]
            return change
        for change, words in ((attribute("format", "notes"), "is no file of moments"),
                              (attribute("format_version", 2), "use a newer program"),
                              (attribute("parts", 0), "0 <= part < parts"),
                              (attribute("run", "x" * 100), "`run` must be a text of at most 63 bytes"),
                              (drop("layers/0000"), "has no group layers/0000"),
                              (drop("layers/0000/moment"), "layers/0000/moment must be a dataset"),
                              (drop("loss"), "loss must be a dataset"),
                              (drop("complete"), "complete must be a dataset")):
            (self.folder / "run").mkdir(exist_ok=True)
            with h5py.File(self.folder / "run/m.h5", "w") as file:
                self.plain(file)
                change(file)
            self.fails(words)
        with h5py.File(self.folder / "run/m.h5", "w") as file:
            self.plain(file)
        self.run_program("run", self.job, "--quiet")
        with self.result() as file:
            self.assertTrue(np.allclose(file["eigenvalues"][0, 0], [[2, 0.5], [3, 1]]))

    @staticmethod
    def plain(file):
        """A file as a program in another language writes it: fixed sizes, no chunks, text of fixed length."""
        file.attrs["format"], file.attrs["format_version"] = np.bytes_("eigenscope moments"), 1
        file.attrs["part"], file.attrs["parts"], file.attrs["run"] = 0, 1, np.bytes_("r")
        file["epoch"], file["split"], file["complete"] = [4], [0], [1]
        file["loss"], file["accuracy"] = [np.nan], [np.nan]
        for i, diagonal in enumerate(([1.0, 4.0], [6.0, 2.0])):
            group = file.create_group(f"layers/{i:04}")
            group.attrs["name"], group.attrs["width"] = np.bytes_(f"layer{i}"), 2
            group["rows"], group["mean"] = [2], np.zeros((1, 2))
            group["moment"] = [[diagonal[0], 0.0, diagonal[1]]]


GRID = """name: grid
source: moments
moments: {files: "run/{model}-{learning_rate}/{seed:02}.h5"}
grid: {model: [bert, "org/gpt 2"], learning_rate: [1e-3, 0.01], seed: [0, 1], size: small}
"""


class Grid(harness.Case):
    """Networks that trained elsewhere, with axes of the user's own."""

    def setUp(self):
        super().setUp()
        self.job = self.write("job.yaml", GRID)
        for model in ("bert", "org/gpt 2"):
            for rate in ("1e-3", "0.01"):
                for seed in range(2):
                    self.write_run(f"run/{model}-{rate}/{seed:02}.h5", seed)

    def write_run(self, path, seed, parts=2):
        random = np.random.default_rng(seed)
        rows = {name: random.normal(size=(100, width)) for name, width in (("block1", 8 + seed), ("block2", 5))}
        for part in range(parts):
            with eigenscope.Tracker(to=self.folder / path, part=part, parts=parts, run="r") as tracker:
                for epoch in range(2 + seed):
                    with tracker.epoch(epoch):
                        for name in rows:
                            tracker.accumulate(name, rows[name][part::parts] * (1 + epoch))

    def points(self, output):
        files = [h5py.File(name) for name in glob.glob(f"{self.folder}/{output}/points/*.h5")]
        return {(f.attrs["model"], f.attrs["train_learning_rate"], int(f.attrs["seed"])): f for f in files}

    def test_a_grid_is_planned_run_merged_and_listed_like_a_sweep(self):
        said = self.run_program("plan", self.job).stdout
        self.assertIn("grid: size small", said)
        self.assertRegex(said, r"\n +3  [0-9a-f]{16}  bert +0\.01 +1 +2 +9 +3 ")
        self.assertIn("8 points", said)
        self.assertIn('"train.learning_rate": 0.001, "seed": 0, "size": "small"}, "layers": 2, "widest": 8, "epochs": 2',
                      self.run_program("plan", self.job, "--format", "json").stdout)
        self.assertEqual(len(self.run_program("plan", self.job, "--tasks", "2").stdout.strip().splitlines()[-2:]), 2)
        self.run_program("run", self.job, "--quiet", "--output", "one")
        self.run_program("run", self.job, "--quiet", "--output", "three", ranks=3)
        self.run_program("run", self.job, "--quiet", "--output", "four", "--ranks-per-point", "4", ranks=4)
        one = self.points("one")
        self.assertEqual(len(one), 8)
        for output in ("three", "four"):
            for key, other in self.points(output).items():
                self.assertEqual(one[key]["eigenvalues"][()].tobytes(), other["eigenvalues"][()].tobytes(), key)
        random = np.random.default_rng(1)
        expected = np.linalg.eigvalsh(np.cov(random.normal(size=(100, 9)).T, bias=True))[::-1]
        with one["org/gpt 2", 0.01, 1] as file:
            self.assertEqual(list(file["epoch"][:]), [0, 1, 2])
            self.assertLess(np.abs(file["eigenvalues"][0, 2, 0, :9] - 9 * expected).max(), 1e-12 * 9 * expected[0])
            again = self.write("again.yaml", file.attrs["job"])
        self.assertIn(", 1 done", self.run_program("run", again, "--output", "one").stdout)
        self.assertIn("8 complete", self.run_program("status", self.job, "--output", "one").stdout)
        self.run_program("merge", self.job, "--output", "one", "--to", "m.h5")
        with h5py.File(self.folder / "m.h5") as file:
            self.assertEqual(file.attrs["axes"], "model train_learning_rate seed size")
            self.assertEqual(list(file["train_learning_rate"][:]), [0.001, 0.001, 0.01, 0.01] * 2)
            merged = self.write("merged.yaml", file.attrs["job"])
        self.assertIn("8 points, 8 done", self.run_program("run", merged, "--output", "one").stdout)
        resolved = self.run_program("plan", self.job, "--resolved", "here").stdout.split("file: ")[1].splitlines()[0]
        self.assertIn("8 points, 8 done", self.run_program("run", resolved, "--output", "one").stdout)
        for part in range(2):
            os.remove(self.folder / f"run/bert-1e-3/00.part{part}-of-2.h5")
        self.write_run("run/bert-1e-3/00.h5", 1, parts=1)
        self.assertIn("was measured on other files", self.run_program("run", self.job, "--output", "one", expect=1).stderr)

    def test_a_missing_file_is_named_and_the_other_points_run(self):
        os.remove(self.folder / "run/bert-0.01/00.part1-of-2.h5")
        shutil.rmtree(self.folder / "run/org/gpt 2-1e-3")
        for command in ("plan", "run"):
            said = self.run_program(command, self.job, expect=1).stderr
            self.assertRegex(said, r"point 2 \(model bert, train.learning_rate 0.01, seed 0, size small\): .*00.part1-of-2.h5: does not exist")
            self.assertRegex(said, r"point 5 .*1e-3/01.h5: this file does not exist")
            self.assertIn("job.yaml:3: the files of 3 of 8 points cannot be used, as listed above; the others are --points 0-1,3,6-7", said)
        self.run_program("run", self.job, "--points", "0-1,3,6-7", "--quiet", ranks=2)
        self.assertIn("5 complete", self.run_program("status", self.job, expect=3).stdout)
        self.write("zero.yaml", GRID + "probe: {epochs: last}\n")
        self.assertIn("probes need samples", self.run_program("plan", "zero.yaml", "--points", "0", expect=1).stderr)

    def test_axes_are_checked(self):
        for change, words in (
                (("{seed:02}", "{seeds}"), "{seeds} is unknown; only an axis of the grid may be in braces"),
                (("{seed:02}", "{epoch}"), "a file of moments holds all epochs"),
                (("seed: [0, 1]", "seed: [1, 01]"), "grid.seed has \"01\" twice"),
                (("[1e-3, 0.01]", "[1e-3, 0.001]"), "twice"),
                (("size: small", "size: [small, large]"), "grid.size has 2 values, but moments.files has no {size}"),
                (("size: small", "loss: 1"), "grid.loss: results have something else of this name"),
                (("size: small", "merged_host: 1"), "results have something else of this name"),
                (("size: small", "si-ze: 1"), "or a name of your own: at most 63 letters"),
                (("size: small", "measure.method: mean"), "measure.method cannot be used with source: moments"),
                (("size: small", "measure.delta: 1"), "or a name of your own"),
                (("size: small", "size: 'a{b'"), "1 to 63 bytes of text without braces"),
                (("grid:", "grid: {}\nprobe: {}\n#"), "grid is empty")):
            self.write("bad.yaml", GRID.replace(*change))
            self.assertIn(words, self.run_program("plan", "bad.yaml", expect=1).stderr)
        self.write("two.yaml", GRID.replace("size: small", "size: small, measure.convention: [smallest, delve], width: 1/2"))
        self.assertIn("16 points", self.run_program("plan", "two.yaml").stdout)
        blocks = "[{model: [bert], learning_rate: 1e-3, seed: [0, 1]}, {model: [bert], learning_rate: 0.01, seed: 0}]"
        self.write("blocks.yaml", GRID.split("grid:")[0].replace("grid", "g") + f"grid: {blocks}\n")
        self.assertIn("3 points", self.run_program("plan", "blocks.yaml").stdout)
        self.write("blocks.yaml", GRID.split("grid:")[0] + f"grid: {blocks.replace('0.01, seed: 0', '0.01')}\n")
        self.assertIn("{seed} is unknown", self.run_program("plan", "blocks.yaml", expect=1).stderr)


if __name__ == "__main__":
    harness.main()
