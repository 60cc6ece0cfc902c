"""Scores of classes: the network's confusion, and recall, precision, F1, specificity and balanced accuracy of `show --measure`, against
scikit-learn's numbers (fixtures/scores) and numpy."""
import csv
import io
import json
import os
import pathlib
import shutil

import h5py
import numpy as np

import results

GOLDEN = pathlib.Path(os.environ["EIGENSCOPE_SOURCE"]) / "tests/fixtures/scores/golden.json"
TRAIN, EVAL = 0, 1
SCORES = ("recall", "precision", "f1", "specificity")
JOB = results.JOB + "measure: {delta: [0.9, 0.99]}\nprobe: {epochs: last}\n"


class Scores(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()
        self.path = self.folder / "r.h5"
        shutil.copy(next(iter(self.points("whole").values())), self.path)

    def show(self, *arguments, expect=0):
        done = self.run_program("show", "r.h5", "--measure", *arguments, expect=expect)
        return done.stdout if expect == 0 else done.stderr

    def rows(self, *arguments):
        return list(csv.DictReader(io.StringIO(self.show(*arguments, "--format", "csv"))))

    def test_confusion_is_that_of_the_other_numbers(self):
        for path in self.points("whole").values():
            v = results.variables(path)
            confusion, samples, predictions = v["confusion"], v["class_samples"], v["class_predictions"]
            self.assertEqual(confusion.shape, (4, 3, 3))
            self.assertTrue((confusion.sum((1, 2)) == 20).all())
            np.testing.assert_array_equal(samples[EVAL], confusion.sum(2))
            np.testing.assert_array_equal(predictions[EVAL], confusion.sum(1))
            right = np.diagonal(confusion, axis1=1, axis2=2)
            np.testing.assert_array_equal(v["recall"][EVAL], right / confusion.sum(2))
            np.testing.assert_array_equal(v["accuracy"][EVAL], right.sum(1) / 20)
            self.assertTrue((samples[TRAIN, 0] == -1).all() and (samples[TRAIN, 1:].sum(1) == 67).all())
            self.assertTrue((predictions[TRAIN, 1:].sum(1) == 67).all())
            # Gorodkin's correlation of the stored counts is the stored one.
            for epoch in range(4):
                c, n = confusion[epoch].astype(float), 20
                t, p = c.sum(1), c.sum(0)
                both = np.sqrt((n * n - (p * p).sum()) * (n * n - (t * t).sum()))
                self.assertAlmostEqual(v["mcc"][EVAL, epoch], (c.trace() * n - (t * p).sum()) / both if both else 0, places=12)

    def test_same_bits_on_ranks_and_after_interruption(self):
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=str(ranks), ranks=ranks)
            self.assert_same("whole", str(ranks))
        self.run_job("--quiet", "--max-time", "0.001s", expect=3)  # stops after the first epoch
        self.run_job("--quiet")
        self.assert_same("whole", "out")

    def test_show_is_scikit_learn(self):
        for case in json.loads(GOLDEN.read_text())["cases"]:
            confusion = np.array(case["confusion"])
            classes = len(confusion)
            with self.subTest(case["name"]), h5py.File(self.path, "r+") as file:
                for name in ("class", "predicted_class"):
                    del file[name]
                    file[name] = np.arange(classes, dtype="i4")
                    file[name].make_scale(name)
                wide = {"recall": np.full((2, 4, classes), np.nan), "class_samples": np.full((2, 4, classes), -1, "i4"),
                        "class_predictions": np.full((2, 4, classes), -1, "i4"), "confusion": np.full((4, classes, classes), -1, "i4"),
                        "probe_confusion": np.full((1, len(file["layer"]), classes, classes), -1, "i8"),
                        "probe_recall": np.full((1, len(file["layer"]), classes), np.nan)}
                with np.errstate(invalid="ignore"):
                    wide["recall"][EVAL, 3] = np.diagonal(confusion) / confusion.sum(1)
                wide["class_samples"][EVAL, 3], wide["class_predictions"][EVAL, 3] = confusion.sum(1), confusion.sum(0)
                wide["confusion"][3] = wide["probe_confusion"][0, 1] = confusion
                for name, value in wide.items():
                    del file[name]
                    file[name] = value
            for score in SCORES:
                expected = [float("nan")] * classes
                for k, value in zip(case["known"], case[score]["classes"]):
                    expected[k] = float("nan") if value is None else value
                for where in ((), ("--layer", "features.4")):
                    found = self.rows(score, *where)
                    self.assertEqual({row["epoch"] for row in found}, {"3"})
                    np.testing.assert_allclose([float(row[score] or "nan") for row in found], expected, rtol=1e-15)
                mean = self.show(score).splitlines()[-1].split()[-1]
                if "mean" in case[score]:
                    self.assertAlmostEqual(float(mean), case[score]["mean"], places=4)
            self.assertAlmostEqual(float(self.rows("balanced_accuracy")[0]["balanced_accuracy"]), case["balanced_accuracy"], places=14)
            counts = self.rows("confusion")
            self.assertEqual([int(row["samples"]) for row in counts], confusion.ravel().tolist())
            self.assertEqual([(int(row["class"]), int(row["predicted_class"])) for row in counts], list(np.ndindex(confusion.shape)))

    def test_tables(self):
        table = self.show("confusion").splitlines()
        confusion = results.variables(self.path)["confusion"][-1]
        self.assertEqual(table[0], "confusion of the eval split after epoch 3; rows are labels, columns are predictions")
        self.assertEqual([list(map(int, line.split())) for line in table[1 + 1:]], [[i, *row] for i, row in enumerate(confusion.tolist())])
        shown = self.show("f1")
        self.assertEqual([line for line in shown.splitlines() if "split" in line], ["f1, train split", "f1, eval split"])
        v = results.variables(self.path)
        names = [name for name in h5py.File(self.path)["layer"].asstr()]
        for row in self.rows("saturation", "--layer", "features.*"):
            at = (("train", "eval").index(row["split"]), int(row["epoch"]), names.index(row["layer"]), [0.9, 0.99].index(float(row["delta"])))
            self.assertEqual(float(row["saturation"]), v["saturation"][at])
        for row in self.rows("probe_accuracy"):
            self.assertEqual(row["epoch"], "3")
            self.assertEqual(float(row["probe_accuracy"]),
                             v["probe_accuracy"][("train", "eval").index(row["split"]), 0, names.index(row["layer"])])
        self.assertEqual(self.show("numerical_rank").splitlines()[-1].split()[1:], [f"{n:.0f}" for n in v["numerical_rank"][EVAL, :, -1]])
        found = json.loads(self.run_program("show", "r.h5", "--measure", "effective_rank", "--format", "json").stdout)
        self.assertEqual(len(found), len(names) * 7)  # three epochs of train, four of eval
        self.assertEqual(found[-1]["effective_rank"], v["effective_rank"][EVAL, 3, -1])

    def test_the_most_frequent_confusions(self):
        self.write("many.yaml", JOB.replace("classes: 3", "classes: 14").replace("train: 67", "train: 140").replace("seed: [0, 1]", "seed: 0"))
        self.run_program("run", "many.yaml", "--quiet", "--output", "many", "--set", "probe.epochs=none", "--set", "train.epochs=1")
        shutil.copy(next(iter(self.points("many").values())), self.path)
        confusion = results.variables(self.path)["confusion"][-1]
        lines = [list(map(int, line.split())) for line in self.show("confusion").splitlines()[2:]]
        off = sorted(((-int(confusion[i, j]), i, j) for i, j in np.ndindex(14, 14) if i != j and confusion[i, j] > 0))[:20]
        self.assertEqual(lines, [[i, j, -n] for n, i, j in off])

    def test_refused(self):
        self.assertIn("r.h5: there is no measure bla; measures are loss, ", self.show("bla", expect=1))
        self.assertEqual(self.show("efective_rank", expect=1), "eigenscope: r.h5: there is no measure efective_rank; did you mean effective_rank?\n")
        for name, way in (("class_predictions", "read it with Python, as analysis/README.md says"),
                          ("step_loss", "--steps shows what was measured after training steps"),
                          ("stability_distance", "--format csv and json without --measure have it")):
            self.assertEqual(self.show(name, expect=1), f"eigenscope: r.h5: --measure does not show the variable {name}; {way}\n")
        self.assertEqual(self.show("rankme", "--delta", "0.5", expect=1),
                         "eigenscope: r.h5: delta 0.5 was not measured; it was measured at 0.9 and 0.99\n")
        self.assertEqual(self.show("weights_alpha", expect=1),
                         "eigenscope: r.h5: has no weights_alpha: the variable weights_alpha is missing or has no numbers\n")
        self.assertEqual(self.show("f1", "--layer", "f*", expect=1), "eigenscope: r.h5: --layer f*: must match one layer, whose probe is shown; "
                         "2 layers match, the first is features.0 and the last is features.4\n")
        self.assertIn("r.h5: no layer matches \"conv\"; the first layer is ", self.show("f1", "--layer", "conv", expect=1))
        self.run_program("merge", "job.yaml", "--output", "whole", "--to", "all.h5")
        self.assertEqual(self.run_program("show", "all.h5", "--measure", "f1", expect=1).stderr,
                         "eigenscope: --measure f1: must be used with the file of one point, and all.h5 is merged\n")
        with h5py.File(self.path, "r+") as file:  # as files of before 2026-11-29
            for name in ("class_samples", "class_predictions", "confusion"):
                del file[name]
        self.assertEqual(self.show("f1", expect=1),
                         "eigenscope: r.h5: has no f1: the variable class_predictions is missing or has no numbers\n")
        self.run_program("show", "r.h5")

    def test_merged(self):
        self.run_program("merge", "job.yaml", "--output", "whole", "--to", "all.h5")
        with h5py.File(self.folder / "all.h5") as merged:
            for path in self.points("whole").values():
                row = list(merged["seed"][()]).index(results.attributes(path)["seed"])
                for name in ("confusion", "class_samples", "class_predictions"):
                    self.assertTrue(results.same_bits(merged[name][row], results.variables(path)[name]), name)

    def test_large_confusions_are_left_out(self):
        """(epochs + 1) x classes x classes is at most 2^24; more are left out, and the scores stay."""
        self.write("wide.yaml", JOB.replace("classes: 3", "classes: 1024").replace("train: 67", "train: 1024").replace("eval: 20", "eval: 1024")
                   .replace("seed: [0, 1]", "seed: 0").replace("size: 16", "size: 8").replace("seed: 0}", "resolution: 8, seed: 0}"))
        for epochs, there in ((15, True), (16, False)):
            self.run_program("run", "wide.yaml", "--quiet", "--output", "wide", "--set", "probe.epochs=none", "--set", f"train.epochs={epochs}",
                             "--set", "train.batch=512", "--set", "measure.every=100")
            newest = max(self.points("wide").values(), key=lambda path: path.stat().st_mtime)
            with h5py.File(newest) as file:
                self.assertEqual(("confusion" in file, "class_predictions" in file), (there, True))
                self.assertLess(newest.stat().st_size, 3e6)


if __name__ == "__main__":
    results.harness.main()
