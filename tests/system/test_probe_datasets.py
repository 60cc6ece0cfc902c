"""probe.datasets: probes fitted to other data than the network trains on, compared with probes of the dataset of the point,
with a job of checkpoints, and with a naive Newton method."""
import json
import shutil

import h5py
import numpy as np

import faults
import harness
import results
from test_probes import fit, pool, softmax

DATASETS = {  # `twin` has the images of `shapes`
    "shapes": "{format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 20}",
    "twin": "{format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 20}",
    "many": "{format: synthetic, classes: 7, complexity: 1, size: 12, channels: 1, train: 90, eval: 33, seed: 4}",
    "three": "{format: synthetic, classes: 3, complexity: 2, size: 20, channels: 3, train: 41, eval: 50, seed: 5}"}
JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, resolution: 16}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets:
""" + "".join(f"  {name}: {text}\n" for name, text in DATASETS.items()) + """\
train: {epochs: 2, batch: 16, learning_rate: 0.05}
checkpoint: {keep: all}
probe: {epochs: all, pool: 3, datasets: [twin, many, three]}
"""
NUMBERS = ("accuracy", "objective", "gradient_norm", "iterations", "converged")


class Training(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()

    def variables(self, output):
        path, = self.points(output).values()
        return results.variables(path)

    def test_a_twin_has_the_bits_of_the_own_dataset(self):
        values = self.variables("whole")
        self.assertEqual([name.decode() for name in values["probe_dataset"]], ["twin", "many", "three"])
        self.assertEqual(list(values["probe_dataset_classes"]), [3, 7, 3])
        for name in NUMBERS:
            own, others = values[f"probe_{name}"], values[f"probe_dataset_{name}"]
            self.assertEqual(others.shape, (3, *own.shape))
            self.assertTrue(results.same_bits(others[0], own), name)
            for other in others[1:]:
                self.assertFalse(np.array_equal(other, own) and name != "converged", name)
        self.assertTrue((values["probe_dataset_converged"] == 1).all())
        self.assertNotIn("probe_dataset_l2", values)

    def test_the_own_probes_and_weights_do_not_change(self):
        self.run_job("--quiet", output="alone", sets=["probe.datasets=[]"])
        alone, whole = self.variables("alone"), self.variables("whole")
        self.assertEqual(sorted(set(whole) - set(alone)),
                         sorted(["probe_dataset", "probe_dataset_classes", *(f"probe_dataset_{name}" for name in NUMBERS)]))
        self.assertEqual(results.different(alone, {name: whole[name] for name in alone}), [])
        one, other = (json.loads(self.run_program("plan", "job.yaml", "--format", "json", "--set", f"probe.datasets={names}").stdout)
                      for names in ("[]", "[many]"))
        self.assertNotEqual(one["points"][0]["id"], other["points"][0]["id"])
        self.assertGreater(other["total_macs"], one["total_macs"])
        self.assertGreater(*(plan["points"][0]["bytes_shared_per_node"] for plan in (other, one)))

    def test_same_bits_on_ranks_and_in_little_memory(self):
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=str(ranks), ranks=ranks)
            self.assert_same("whole", str(ranks))
        self.run_job("--quiet", output="large", sets=["probe.pool=16", "probe.epochs=last"])
        self.run_job("--quiet", "--ranks-per-point", 2, output="small", ranks=2,
                     sets=["probe.pool=16", "probe.epochs=last", "probe.memory=1"])
        self.assertEqual(results.different(self.variables("large"), self.variables("small")), [])

    def test_interrupted(self):
        for point in self.points("whole"):
            (self.folder / "out/points" / f"{point}.h5").mkdir(parents=True)  # blocks the result
        self.run_job("--quiet", expect=2)
        for point in self.points("whole"):
            (self.folder / "out/points" / f"{point}.h5").rmdir()
            tensors, _ = results.read_safetensors(self.folder / "out/state" / f"{point}.safetensors")
            self.assertEqual(tensors["probe.classifier.2"].shape, tensors["probe_dataset.0.classifier.2"].shape)
            self.assertEqual(len(tensors["probe_dataset.1.classifier.2"]), 7)
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        self.assert_same("whole", "out")

    def again(self, output, dataset, datasets):
        """Measures the weights of the run again."""
        self.run_program("checkpoint", "export", "job.yaml", "--output", "whole", "--epochs", "all", "--to", "w/{epoch}.safetensors")
        lines = JOB.replace("dataset: shapes", f"dataset: {dataset}").replace("[twin, many, three]", datasets)
        self.write(f"{output}.yaml", lines + 'source: checkpoint\ncheckpoints: {files: "w/{epoch}.safetensors", epochs: [0, 1, 2]}\n')
        self.run_program("run", f"{output}.yaml", "--output", output, "--quiet")
        return self.variables(output)

    def test_checkpoints(self):
        whole = self.variables("whole")
        again = self.again("again", "shapes", "[three, many]")
        for name in NUMBERS:
            self.assertTrue(results.same_bits(again[f"probe_dataset_{name}"], whole[f"probe_dataset_{name}"][[2, 1]]), name)
        # As many classes as the network has outputs: the dataset may be that of a point, whose probes are the reference.
        three = self.again("three", "three", "[shapes]")
        for name in NUMBERS:
            self.assertTrue(results.same_bits(three[f"probe_{name}"], whole[f"probe_dataset_{name}"][2]), name)
            self.assertTrue(results.same_bits(three[f"probe_dataset_{name}"][0], whole[f"probe_{name}"]), name)

    def test_more_classes_than_outputs(self):
        """The first layer, with numpy: a convolution of normalised and resized images, pooled."""
        self.run_job("--quiet", output="flat", sets=["datasets.many.size=16", "probe.datasets=[many]", "probe.epochs=[2]"])
        values = self.variables("flat")
        self.run_program("data", "synth", "--to", "many.h5", "--classes", 7, "--complexity", 1, "--size", 16, "--channels", 1,
                         "--train", 90, "--eval", 33, "--seed", 4)
        tensors, _ = results.read_safetensors(next((self.folder / "flat/checkpoints").glob("*-002.safetensors")))
        weight, bias = (tensors[f"features.0.{name}"].astype("f8") for name in ("weight", "bias"))
        images, labels = {}, {}
        with h5py.File(self.folder / "many.h5") as file:
            for split in ("train", "eval"):
                images[split], labels[split] = file[f"{split}/images"][()].reshape(-1, 16, 16, 1) / 255, file[f"{split}/labels"][()]
        mean, deviation = images["train"].mean(), images["train"].std()

        def features(split):
            x = np.broadcast_to((images[split] - mean) / deviation, (len(images[split]), 16, 16, 3))
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            return pool(sum(padded[:, i:i + 16, j:j + 16] @ weight[:, :, i, j].T for i in range(3) for j in range(3)) + bias, 3)

        w, objective = fit(features("train"), labels["train"], 1.0, 7)
        self.assertLess(abs(values["probe_dataset_objective"][0, 0, 0] / objective - 1), 1e-5)
        for i, split in enumerate(("train", "eval")):
            x = features(split)
            found = (softmax(np.hstack([x, np.ones((len(x), 1))]) @ w.T).argmax(1) == labels[split]).mean()
            self.assertLessEqual(abs(values["probe_dataset_accuracy"][0, i, 0, 0] - found), 1.01 / len(x))

    def test_a_path_of_strengths(self):
        sets = ["probe.l2=[0.1, 10]", "probe.epochs=last"]
        self.run_job("--quiet", output="path", sets=sets)
        values = self.variables("path")
        self.assertTrue(results.same_bits(values["probe_dataset_l2"][0], values["probe_l2"]))
        self.assertTrue(np.isin(values["probe_dataset_l2"], [0.1, 10]).all())
        self.run_job("--quiet", "--ranks-per-point", 4, output="path4", ranks=4, sets=sets)
        self.assert_same("path", "path4")

    def test_files_of_results(self):
        path, = self.points("whole").values()
        self.write("resolved.yaml", results.attributes(path)["job"])
        planned = json.loads(self.run_program("plan", "resolved.yaml", "--format", "json").stdout)
        self.assertEqual([point["id"] for point in planned["points"]], [path.stem])
        head, *rows = self.run_program("show", path, "--format", "csv").stdout.splitlines()
        row = dict(zip(head.split(","), rows[-1].split(",")))
        last = self.variables("whole")["probe_dataset_accuracy"][1, 1, -1, -1]
        self.assertEqual((row["split"], row["epoch"], float(row["probe_dataset_accuracy_many"])), ("eval", "2", last))
        shown = self.run_program("show", path, "--measure", "probe_dataset_accuracy:many", "--format", "json").stdout
        row = json.loads(shown)[-1]
        self.assertEqual((row["split"], row["epoch"], row["probe_dataset_accuracy"]), ("eval", 2, last))
        self.assertIn("probe_dataset_accuracy, dataset many, eval split", self.run_program(
            "show", path, "--measure", "probe_dataset_accuracy:many").stdout)
        for measure in ("probe_dataset_accuracy", "probe_dataset_accuracy:none"):
            done = self.run_program("show", path, "--measure", measure, expect=1)
            self.assertIn("name one of the datasets twin, many, three, as in --measure probe_dataset_accuracy:twin", done.stderr)
        for measure, message in (("probe_accuracy:many", "did you mean probe_dataset_accuracy:many?"),
                                 ("probe_dataset_acuracy:many", "did you mean probe_dataset_accuracy:many?"),
                                 ("accuracy:many", "did you mean accuracy?"),
                                 ("none", ", probe_dataset_{accuracy, objective, gradient_norm, iterations}, recall, ")):
            self.assertIn(message, self.run_program("show", path, "--measure", measure, expect=1).stderr)
        self.run_program("merge", "job.yaml", "--output", "whole", "--to", "all.h5")
        merged, whole = results.variables(self.folder / "all.h5"), self.variables("whole")
        self.assertEqual(list(merged["probe_dataset"]), list(whole["probe_dataset"]))
        for name in NUMBERS:
            self.assertTrue(results.same_bits(merged[f"probe_dataset_{name}"][0], whole[f"probe_dataset_{name}"]), name)

    def test_other_data(self):
        """A result and a state of other images of the same name are refused."""
        for seed in (4, 9):
            self.run_program("data", "synth", "--to", f"{seed}.h5", "--classes", 7, "--size", 12, "--train", 90, "--eval", 33, "--seed", seed)
        sets = ["datasets.many={format: hdf5, path: now.h5}", "probe.epochs=last"]
        (self.folder / "now.h5").symlink_to("4.h5")
        self.run_job("--quiet", sets=sets)
        (self.folder / "now.h5").unlink()
        (self.folder / "now.h5").symlink_to("9.h5")
        done = self.run_job("--quiet", sets=sets, expect=1)
        self.assertIn("was measured on other data", done.stderr)
        self.assertIn("the datasets \"shapes\", \"twin\", \"many\" and \"three\" now have", done.stderr)
        (self.folder / "now.h5").unlink()
        done = self.run_job("--quiet", sets=sets, output="none", expect=1)
        self.assertRegex(done.stderr, r"job\.yaml:\d+: dataset many: .*now\.h5")


class Stops(faults.Case):
    """Stops at a question of a run (tests/fault/fault.h); its clock stands still, so the questions are always the same."""
    # The first layer fills a round of 1 MiB, the three others are the second round.
    job = JOB.replace("train: 67", "train: 150").replace("train: 90", "train: 150").replace(
        "{epochs: all, pool: 3, datasets: [twin, many, three]}", "{epochs: last, pool: 16, memory: 1, datasets: [many]}")

    def questions(self, output):
        """How often a run asks whether it must stop."""
        self.run_faults("--quiet", ranks=0, output=output, notes=str(self.folder / "notes"), expect=0)
        paths = [faults.Path(0, line) for line in (self.folder / "notes.0").read_text().splitlines()]
        return sum(path.calls for path in paths if path.kind == "stop")

    def test_rounds_that_are_complete_are_not_fitted_again(self):
        of_whole = self.questions("whole")
        path, = self.points("whole").values()
        values = results.variables(path)
        own, many = values["probe_iterations"][0], values["probe_dataset_iterations"][0, 0]
        least = [many[1:], many[:1], own[1:], own[:1]]  # the rounds, from the last to the first: iterations, which all ask
        before = 0
        for i, iterations in enumerate(least):
            with self.subTest(round=i):
                shutil.rmtree(self.folder / "out", True)
                # The run before asked `before` times for the rounds behind this one, and when it started.
                self.run_faults("--quiet", ranks=0, fault=f"stop:{of_whole - max(before, 1)}:on", expect=3)
                asked = self.questions("out")
                self.assert_same("whole", "out")
                self.assertGreaterEqual(asked - before, iterations.sum())
                before = asked
        self.assertLess(before, of_whole)


class Messages(results.Case):
    job = JOB

    def test_refused(self):
        source = "source: activations\nactivations: {file: a.h5}\n"
        for given, message in (("[many, nothing]", r"unknown dataset \"?nothing\"?; known datasets are"),
                               ("[many, shape]", r"unknown dataset \"?shape\"?; did you mean \"shapes\"\?"),
                               ("[many, many]", "probe.datasets has \"many\" twice"), ("{many: 1}", "must be a list of names of datasets"),
                               ('[""]', "unknown dataset \"\"; known datasets are"), ('["nothing"]', "unknown dataset \"nothing\"; known"),
                               ("[[many]]", "must be a list of names of datasets"),
                               (str(["many"] * 17), "17 entries, but must have at most 16")):
            done = self.run_program("plan", "job.yaml", "--set", f"probe.datasets={given}", expect=1)
            self.assertRegex(done.stderr, message)
        self.write("bad.yaml", JOB.replace("[twin, many, three]", "[many,\n nothing]"))
        self.assertIn("bad.yaml:13: unknown dataset", self.run_program("plan", "bad.yaml", expect=1).stderr)
        done = self.run_program("plan", "job.yaml", "--set", "datasets.many.limit={train: 5}", expect=1)
        self.assertIn("limit.train: 5, but each of the 7 classes of dataset \"many\" needs a sample; use at least 7", done.stderr)
        with h5py.File(self.folder / "mono.h5", "w") as file:
            for split in ("train", "eval"):
                file[f"{split}/images"], file[f"{split}/labels"] = np.zeros((9, 12, 12), "u1"), np.zeros(9, "u1")
        mono = ("--set", "datasets.mono={format: hdf5, path: mono.h5}")
        for key in ("grid.dataset=mono", "probe.datasets=[many, mono]"):
            done = self.run_program("plan", "job.yaml", *mono, "--set", key, expect=1)
            self.assertIn("a problem needs at least 2 classes; dataset \"mono\" has 1", done.stderr)
        self.assertRegex(done.stderr, r"job\.yaml:\d+: probe\.datasets: a problem")
        done = self.run_program("plan", "job.yaml", "--set", "grid.probe.datasets=[many]", expect=1)
        self.assertIn("probe.datasets cannot be an axis", done.stderr)
        self.write("files.yaml", "name: t\n" + source + "probe: {epochs: last, datasets: [fashion-mnist]}\n")
        self.assertIn("files.yaml:4: probe.datasets needs a network", self.run_program("plan", "files.yaml", expect=1).stderr)
        moments = source.replace("activations", "moments").replace("file:", "files:")
        self.write("files.yaml", "name: t\n" + moments + "probe: {epochs: last, datasets: [fashion-mnist]}\n")
        self.assertIn("source: moments has only files", self.run_program("plan", "files.yaml", expect=1).stderr)

    def test_long_names(self):
        """show cuts the beginning of a name, as of layers, and marks the cut."""
        names = "a-name-of-16-cha", "the-name-of-17-ch", "f1"
        self.run_job("--quiet", sets=[*(f"datasets.{name}={DATASETS['three']}" for name in names), "train.epochs=1",
                                      f"probe.datasets=[{', '.join(names)}]"])
        path, = self.points().values()
        table = self.run_program("show", path).stdout.split("accuracy of probes on other datasets, ")[1].splitlines()
        self.assertEqual(table[1].split(), ["layer", "a-name-of-16-cha", "~e-name-of-17-ch", "f1"])
        self.assertEqual(len({len(line) for line in table[2:6]}), 1)

    def test_a_class_without_eval_samples(self):
        """It is a class of the probe, and has no part in the accuracy, which is a share of all eval samples."""
        random = np.random.default_rng(3)
        with h5py.File(self.folder / "gap.h5", "w") as file:
            for split, labels in (("train", [0, 1, 2] * 10), ("eval", [0, 1] * 4)):
                file[f"{split}/images"] = random.integers(0, 99, (len(labels), 8, 8), "u1") + np.array(labels, "u1")[:, None, None] * 70
                file[f"{split}/labels"] = np.array(labels, "u1")
        sets = ["datasets.gap={format: hdf5, path: gap.h5}", "probe.datasets=[gap]", "probe.epochs=last"]
        self.run_job("--quiet", sets=sets)
        path, = self.points().values()
        values = results.variables(path)
        hits = values["probe_dataset_accuracy"][0, 1, 0] * 8
        self.assertEqual(list(values["probe_dataset_classes"]), [3])
        self.assertTrue((hits == hits.round()).all() and hits[0] > 4, hits)
        self.assertIn("class 2 of dataset \"gap\" has no eval sample",
                      self.run_job("--dry-run", sets=[*sets, "grid.dataset=gap"], expect=1).stderr)

    def test_notes(self):
        done = self.run_job("--dry-run", sets=["probe.samples=5", "probe.datasets=[many]"])
        self.assertIn("probe.samples is 5, but dataset \"many\" has 7 classes: probes know only the first 5 of them", done.stderr)
        self.write("idle.yaml", JOB.replace("epochs: all, pool: 3, ", "").replace("seed: 5}", "seed: 5, limit: {train: 1}}"))
        done = self.run_program("run", "idle.yaml", "--dry-run")
        self.assertIn("probe.datasets has no effect: probe.epochs is none", done.stderr)
        self.run_job("--dry-run", sets=["probe.epochs=none", "datasets.none={format: hdf5, path: none.h5}", "probe.datasets=[none]"])

    def test_a_fit_that_did_not_converge(self):
        """No fit reaches a gap below the rounding of its objective."""
        sets = ["probe.gap=1e-300", "probe.datasets=[many]", "probe.epochs=last"]
        done = self.run_job("--quiet", sets=sets)
        path, = self.points().values()
        converged = results.variables(path)["probe_dataset_converged"]
        self.assertEqual("on dataset \"many\", " in done.stderr, bool((converged == 0).any()), done.stderr)
        self.assertTrue((converged == 0).any())
        shown = self.run_program("show", path).stdout
        table = shown.split("accuracy of probes on other datasets, eval split, after epoch 2\n")[1].splitlines()
        self.assertEqual(table[0].split(), ["layer", "many"])
        self.assertEqual([line.endswith("x") for line in table[1:5]], list(converged[0, -1] == 0))
        self.assertIn("  x  the probe did not converge", shown)
        self.run_program("merge", "job.yaml", "--to", "all.h5", *(word for value in sets for word in ("--set", value)))
        head, row, *_ = (line for line in self.run_program("show", "all.h5").stdout.splitlines() if line.startswith(("point", "    0")))
        own = results.variables(path)["probe_converged"]
        self.assertIn("unconverged probes", head)
        self.assertEqual(int(row.split()[-1]), (converged == 0).sum() + (own == 0).sum())


if __name__ == "__main__":
    harness.main()
