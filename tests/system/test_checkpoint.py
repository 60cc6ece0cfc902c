"""source: checkpoint. Weights of a job are measured again; foreign weights are fitted by their shapes; all errors in files are
reported at once, before anything runs."""
import signal

import h5py
import numpy as np

import harness
import results

GRID = """\
name: t
grid: {dataset: shapes, model: [plain, residual], width: [1/8, 1/4]}
models:
  plain: {vgg: [32, M, 64], head: torchvision}
  residual: {resnet: [1, 1]}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 20}}
"""
TRAIN = GRID + "train: {epochs: 3, batch: 16, learning_rate: 0.02}\ncheckpoint: {keep: all}\n"
AGAIN = TRAIN + "source: checkpoint\ncheckpoints: {from: trained%s}\n"


class FromResults(results.Case):
    job = TRAIN

    def setUp(self):
        super().setUp()
        self.use_whole()
        (self.folder / "trained").symlink_to(self.folder / "whole")

    def by_axes(self, output):
        files = [h5py.File(path) for path in self.points(output).values()]
        return {(file.attrs["model"], file.attrs["width"]): file for file in files}

    def test_the_same_numbers_as_in_training(self):
        self.write("again.yaml", AGAIN % ", epochs: [0, 1, 3]" + "measure: {delta: [0.5, 0.99]}\n")
        plan = self.run_program("plan", "again.yaml").stdout
        self.assertIn("4 points", plan)
        self.run_program("run", "again.yaml", "--output", "again", "--quiet")
        self.run_program("run", "again.yaml", "--output", "shared", "--quiet", "--ranks-per-point", 2, ranks=2)
        for path, other in zip(sorted(self.points("again").values()), sorted(self.points("shared").values())):
            self.assertEqual(results.different_results(path, other), [])
        before, now = self.by_axes("whole"), self.by_axes("again")
        self.assertEqual(sorted(before), sorted(now))
        for key, file in now.items():
            old = before[key]
            self.assertEqual(list(file["epoch"]), [0, 1, 3])
            for name in ("eigenvalues", "loss", "accuracy", "mcc", "recall", "trace"):
                np.testing.assert_array_equal(file[name][1], old[name][1, [0, 1, 3]], f"{name} of {key}")
            # The train split is measured too, in inference mode, unlike during training.
            self.assertTrue((file["samples"][()] > 0).all())
            self.assertFalse(np.array_equal(file["loss"][0, 1:], old["loss"][0, [1, 3]]))
            np.testing.assert_array_equal(file["saturation"][1, :, :, 1], old["saturation"][1, [0, 1, 3], :, 0])
            self.assertEqual(file.attrs["train_mode"], "inference")
            self.assertTrue(np.isnan(file["learning_rate"][()]).all())
            weights = file.attrs["checkpoint_files"].split("\n")
            hashes = [results.read_safetensors(path)[1]["xxh3"] for path in weights]
            self.assertEqual(file.attrs["checkpoint_hashes"].split(" "), hashes)
            self.write("resolved.yaml", file.attrs["job"])
            done = self.run_program("run", "resolved.yaml", "--output", "again").stdout
            self.assertIn("1 point, 1 done; results are in ", done)
        merged = self.run_program("merge", "again.yaml", "--output", "again", "--to", "all.h5").stdout
        self.assertIn("merged 4 of 4", merged)

    def test_the_last_epoch_unless_others_are_asked_for(self):
        """The job file of the sweep works with other settings on the command line."""
        self.run_job("--quiet", output="again", sets=["source=checkpoint", "checkpoints.from=trained", "measure.splits=[eval]",
                                                      "measure.method=mean"])
        for key, file in self.by_axes("again").items():
            self.assertEqual(list(file["epoch"]), [3])
            self.assertEqual(file["accuracy"][1, 0], self.by_axes("whole")[key]["accuracy"][1, 3])
            self.assertTrue(np.isnan(file["loss"][0]).all())

    def test_the_last_epoch_by_its_number(self):
        """Works for a sweep that stored only the last weights."""
        self.run_program("run", "job.yaml", "--output", "last", "--quiet", "--points", "0", "--set", "checkpoint.keep=last")
        self.run_job("--quiet", "--points", "0", output="again", sets=["source=checkpoint", "checkpoints={from: last, epochs: [3]}"])
        done = self.run_job("--points", "0", output="no", expect=1,
                            sets=["source=checkpoint", "checkpoints={from: last, epochs: [2, 3]}"])
        self.assertEqual(done.stderr.count("does not exist"), 2)

    def test_dry_run_writes_nothing(self):
        self.write("again.yaml", AGAIN % "")
        done = self.run_program("run", "again.yaml", "--output", "again", "--dry-run")
        self.assertIn("4 points, one batch each; nothing was written", done.stdout)
        self.assertFalse((self.folder / "again").exists())

    def test_trained_otherwise(self):
        self.write("again.yaml", AGAIN.replace("0.02", "0.03") % "")
        done = self.run_program("run", "again.yaml", "--output", "again", expect=1)
        self.assertEqual(done.stderr.count("no weights in"), 4)
        self.assertRegex(done.stderr, r"again.yaml:10: .*/trained has no weights for 4 of the points \(it has weights of 16")
        self.assertFalse((self.folder / "again").exists())
        # A new axis value without weights: only selected points are checked.
        self.write("again.yaml", (AGAIN % "").replace("[1/8, 1/4]", "[1/8, 1/4, 1/2]"))
        self.run_program("run", "again.yaml", "--output", "again", "--quiet", "--points", "0-1")
        done = self.run_program("run", "again.yaml", "--output", "again", expect=1)
        self.assertRegex(done.stderr, "point 2 .*width 1/2.*\npoint 5 .*width 1/2.*\n.*2 of the points")

    def test_no_such_folder(self):
        self.write("again.yaml", (AGAIN % "").replace("trained", "nowhere"))
        done = self.run_program("plan", "again.yaml", expect=1)
        self.assertRegex(done.stderr, r"again.yaml:10: the folder .*/nowhere/checkpoints does not exist; give the output of a job")


class EverythingElse(results.Case):
    """Probes, eigenspaces and projections of weights equal those of training if that measured the same."""
    job = (TRAIN + "probe: {epochs: last}\nmeasure: {splits: [eval], eigenspace: true, projection: true, delta: [0.5, 0.99]}\n") \
        .replace("[1/8, 1/4]", "1/8")

    def test_as_in_training(self):
        self.run_job("--quiet", output="trained")
        self.write("again.yaml", self.job + "source: checkpoint\ncheckpoints: {from: trained, epochs: [0, 1, 2, 3]}\n")
        self.run_program("run", "again.yaml", "--output", "again", "--quiet", "--ranks-per-point", 2, ranks=2)
        both = [{(file.attrs["model"]): file for file in map(h5py.File, self.points(output).values())}
                for output in ("trained", "again")]
        self.assertEqual(sorted(both[0]), sorted(both[1]))
        for model, old in both[0].items():
            new = both[1][model]
            for name in ("eigenspace_overlap", "principal_angles", "projected_accuracy", "probe_accuracy", "probe_objective",
                         "probe_confusion", "layer_tail", "stability_distance"):
                self.assertTrue(results.same_bits(old[name][()], new[name][()]), f"{name} of {model}")
            for name in ("eigenspace_overlap", "projected_accuracy", "probe_accuracy"):
                self.assertTrue(np.isfinite(old[name][()]).any(), name)


class Interrupted(results.Case):
    images = 600 if harness.SANITIZED else 3000  # long enough to be killed during the run
    job = AGAIN.replace("train: 67", f"train: {images}").replace("[1/8, 1/4]", "1/4").replace("[plain, residual]", "residual") \
        % ", epochs: [0, 1, 2, 3]"

    def test_goes_on_with_the_same_bits(self):
        self.write("train.yaml", self.job.replace("source: checkpoint\n", "").partition("checkpoints:")[0])
        self.run_program("run", "train.yaml", "--output", "trained", "--quiet")
        self.run_job("--quiet", output="whole")
        process = self.start_job()
        self.wait_for(lambda: any((self.folder / "out" / "state").glob("*.safetensors")), process)
        self.kill(process.pid, signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 3)
        self.assertRegex(self.run_program("status", "job.yaml", "--output", "out", expect=3).stdout, r"started +[1-3]/4")
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        for point, path in self.points("whole").items():
            self.assertEqual(results.different_results(path, self.points()[point]), [])
        self.assertFalse(any((self.folder / "out" / "state").iterdir()))


class FromFiles(results.Case):
    """Files with foreign names and precisions."""
    job = TRAIN

    def setUp(self):
        super().setUp()
        self.use_whole()
        (self.folder / "trained").symlink_to(self.folder / "whole")
        self.weights = {}
        for path in self.points("trained").values():
            with h5py.File(path) as file:
                key = (str(file.attrs["model"]), float(file.attrs["width"]))
            tensors, _ = results.read_safetensors(self.folder / "trained/checkpoints" / f"{path.stem}-003.safetensors")
            self.weights[key] = tensors

    def put(self, name, tensors, prefix="", dtype=None):
        (self.folder / name).parent.mkdir(exist_ok=True)
        results.write_safetensors(self.folder / name, {prefix + key: value.astype(dtype) if dtype and value.ndim else value
                                                       for key, value in tensors.items()}, {})

    def measure(self, checkpoints, sets=(), expect=0, output="out"):
        self.write("job.yaml", GRID + f"source: checkpoint\ncheckpoints: {checkpoints}\n")
        return self.run_job("--quiet", sets=sets, expect=expect, output=output)

    def accuracies(self, output):
        found = {}
        for path in self.points(output).values():
            with h5py.File(path) as file:
                found[file.attrs["model"], file.attrs["width"]] = (file["loss"][1, -1], file["saturation"][1, -1, 0, 0])
        return found

    def test_names_and_precisions(self):
        expected = self.accuracies("trained")
        for output, prefix, dtype, allowed in (("a", "module.", None, 1e-12), ("b", "_orig_mod.", "f8", 1e-12), ("c", "", "f2", 1e-2)):
            for (model, width), tensors in self.weights.items():
                self.put(f"w/{model}-{width:g}-{output}.safetensors", tensors, prefix, dtype)
            self.measure(f"{{files: 'w/{{model}}-{{width}}-{output}.safetensors'}}", output=output)
            found = self.accuracies(output)
            self.assertEqual(sorted(found), sorted(expected))
            for key in expected:
                self.assertLessEqual(abs(found[key][0] - expected[key][0]), allowed, f"{output} {key}")

    def test_without_counts_of_batches(self):
        tensors = {name: value for name, value in self.weights["residual", 0.125].items() if "num_batches" not in name}
        self.put("w.safetensors", tensors)
        self.measure("{files: w.safetensors}", ["grid.model=residual", "grid.width=1/8"])

    def test_width_and_classes_from_the_shapes(self):
        for model in ("plain", "residual"):
            self.put(f"{model}-005.safetensors", self.weights[model, 0.25])
        self.write("job.yaml", GRID.replace(", width: [1/8, 1/4]", "").replace("classes: 3", "classes: 5")
                   + "source: checkpoint\ncheckpoints: {files: '{model}-{epoch:03}.safetensors', epochs: [5]}\n")
        self.assertIn("width 1/4 (from the files), classes 3 (from the files)", self.run_program("plan", "job.yaml").stdout)
        self.run_job("--quiet", "--ranks-per-point", 1, ranks=2)
        for path in self.points().values():
            with h5py.File(path) as file:
                self.assertEqual((file.attrs["width"], file.attrs["classes"]), (0.25, 3))
                self.assertEqual(list(file["epoch"]), [5])
                self.write("resolved.yaml", file.attrs["job"])
            self.assertIn("1 point, 1 done; results are in ", self.run_program("run", "resolved.yaml", "--output", "out").stdout)
        self.put("other.safetensors", self.weights["residual", 0.25])
        done = self.run_job(sets=["grid.model=plain", "checkpoints={files: other.safetensors}"], expect=1)
        self.assertIn("other.safetensors: holds another network than model plain: it has the tensors ", done.stderr)

    def test_all_that_are_missing(self):
        self.put("w-0.25-001.safetensors", self.weights["residual", 0.25])
        done = self.measure("{files: 'w-{width}-{epoch:03}.safetensors', epochs: [1, 2]}", ["grid.model=residual"], expect=1)
        for name in ("w-0.125-001", "w-0.125-002", "w-0.25-002"):
            self.assertRegex(done.stderr, f"(?m)^/.*/{name}.safetensors does not exist$")
        self.assertRegex(done.stderr, r"job.yaml:8: files of weights, as listed above: 3 missing, 0 that cannot be used\n$")
        self.assertFalse((self.folder / "out").exists())

    def test_every_mismatch(self):
        tensors = dict(self.weights["residual", 0.125])
        tensors["extra"] = np.zeros((2, 3), "f4")
        tensors["fc.weight"] = tensors["fc.weight"][:, 1:]
        tensors["bn1.bias"] = tensors["bn1.bias"].astype("i8")
        del tensors["layer1.0.bn2.running_var"]
        self.put("w.safetensors", tensors)
        done = self.measure("{files: w.safetensors}", ["grid.model=residual", "grid.width=1/8"], expect=1)
        self.assertEqual(done.stderr, f"""\
{self.folder}/w.safetensors does not fit model residual at width 1/8 with 3 classes:
  bn1.bias: is I64; F64, F32, F16 or BF16 can be read
  fc.weight: 3 x 15, but in the network it is 3 x 16
  layer1.0.bn2.running_var: is missing; in the network it is 8
  extra: 2 x 3, but the network has no tensor with this name
eigenscope: job.yaml:8: files of weights, as listed above: 0 missing, 1 that cannot be used
""")

    def test_files_that_are_none(self):
        (self.folder / "empty").touch()
        (self.folder / "huge").touch()
        with open(self.folder / "huge", "r+b") as file:
            file.truncate(100 * 10**9)
        for name, words in (("empty", "it has 0 bytes, but a safetensors file has at least 8"), ("huge", "the header is wrong "
            "at byte 8")):
            done = self.measure(f"{{files: {name}}}", ["grid.model=residual", "grid.width=1/8"], expect=1)
            self.assertIn(words, done.stderr)
            self.assertIn("0 missing, 1 that cannot be used", done.stderr)

    def test_other_weights_than_before(self):
        tensors = dict(self.weights["residual", 0.125])
        self.put("w.safetensors", tensors)
        sets = ["grid.model=residual", "grid.width=1/8"]
        self.measure("{files: w.safetensors}", sets)
        self.put("w.safetensors", {**tensors, "fc.bias": tensors["fc.bias"] + 1})
        done = self.measure("{files: w.safetensors}", sets, expect=1)
        self.assertIn("was measured on other data", done.stderr)
        self.assertIn("the dataset \"shapes\" with these weights now has", done.stderr)

    def test_weights_that_are_not_finite(self):
        tensors = dict(self.weights["residual", 0.125])
        self.put("w-1.safetensors", tensors)
        self.put("w-2.safetensors", {**tensors, "conv1.weight": np.full_like(tensors["conv1.weight"], np.nan)})
        done = self.measure("{files: 'w-{epoch}.safetensors', epochs: [1, 2]}", ["grid.model=residual", "grid.width=1/8"], expect=2)
        self.assertRegex(done.stderr, "the evaluation loss is not finite in epoch 2, batch 1; .* is that of conv1\n")
        path, = self.points().values()
        with h5py.File(path) as file:
            self.assertEqual(file.attrs["outcome"], "diverged")
            self.assertTrue(np.isfinite(file["loss"][1, 0]) and np.isnan(file["loss"][1, 1]))


class Classes(results.Case):
    """A network of two classes, and a dataset of three."""
    job = TRAIN.replace("model: [plain, residual], width: [1/8, 1/4]", "model: residual, width: 1/8, classes: 2")
    again = (GRID.replace("[plain, residual]", "residual").replace("[1/8, 1/4]", "1/8")
             + "source: checkpoint\ncheckpoints: {files: w.safetensors}\n")

    def setUp(self):
        super().setUp()
        self.use_whole()
        self.run_program("checkpoint", "export", "job.yaml", "--output", "whole", "--to", "w.safetensors")
        self.write("again.yaml", self.again)

    def test_written_classes_are_those_of_the_dataset(self):
        line = "w.safetensors: fc.weight: 2 x 16, but in the network it is 3 x 16; the job says classes: all, which are 3 in dataset shapes; " \
               "use classes: 2 (or leave classes out)\n"
        for command in (("plan",), ("run", "--output", "out"), ("checkpoint", "import", "w.safetensors")):
            done = self.run_program(*command, "again.yaml", "--set", "grid.classes=all", expect=1)
            self.assertTrue(done.stderr.removeprefix(f"{self.folder}/").startswith(line), done.stderr)
            self.assertEqual(done.stderr.count("\n"), 2)
        self.assertFalse((self.folder / "out").exists())
        # A job that trains has `all` by default.
        self.assertIn("classes: all", self.run_program("checkpoint", "import", "w.safetensors", "job.yaml", "--set", "grid.classes=all",
                                                       expect=1).stderr)
        self.assertIn("fits point 0", self.run_program("checkpoint", "import", "w.safetensors", "job.yaml").stdout)

    def test_left_out_classes_are_those_of_the_file(self):
        plan = self.run_program("plan", "again.yaml").stdout
        self.assertIn("classes 2 (from the files)", plan)
        self.assertIn("classes auto", self.run_program("status", "again.yaml", "--output", "out", expect=3).stdout)
        self.assertIn("2 classes", self.run_program("checkpoint", "import", "w.safetensors", "again.yaml").stdout)
        self.assertIn("classes 2 (from the files)", self.run_program("run", "again.yaml", "--output", "out").stdout)
        path, = self.points().values()
        with h5py.File(path) as file, h5py.File(next(iter(self.points("whole").values()))) as trained:
            self.assertEqual(file.attrs["classes"], 2)
            self.assertNotIn("classes: [", file.attrs["job"])
            self.assertNotIn("\n  classes:", file.attrs["job"].split("\nmodels:")[0])
            self.assertEqual(file["accuracy"][1, 0], trained["accuracy"][1, -1])
        self.assertRegex(self.run_program("show", path).stdout, r"classes +2")

    def test_a_result_of_other_classes_than_all(self):
        """A job that says `all` finds the result of one that leaves classes out, because both have one id."""
        self.run_program("run", "again.yaml", "--output", "out", "--quiet")
        path, = self.points().values()
        before = path.read_bytes()
        self.write("all.yaml", self.again.replace("width: 1/8", "width: 1/8, classes: all"))
        said = f"{path.relative_to(self.folder)}: %shas 2 classes, but the job says classes: all, which are 3 in dataset shapes; " \
               "leave classes out of the job, or use another --output\n"
        done = self.run_program("status", "all.yaml", "--output", "out", expect=3)
        self.assertEqual(done.stderr, "eigenscope: " + said % "")
        self.assertRegex(done.stdout, r"\n +0  unfit +- +- +- +has 2 classes, .* dataset shapes\n")
        self.assertIn("1 point: 0 complete, 0 diverged, 0 damaged, 0 missing, 1 unfit in out/points/", done.stdout)
        self.assertEqual(self.run_program("status", "all.yaml", "--output", "out", "--missing", expect=3).stdout, "0\n")
        done = self.run_program("merge", "all.yaml", "--output", "out", "--to", "all.h5", expect=3)
        self.assertEqual(done.stderr, "eigenscope: " + said % "is not merged and counts as missing: ")
        self.assertFalse((self.folder / "all.h5").exists())
        # A file of three classes in the place of the old one: the job is right, the result is the old one.
        tensors, _ = results.read_safetensors(self.folder / "w.safetensors")
        results.write_safetensors(self.folder / "w.safetensors", {**tensors, "fc.weight": np.zeros((3, 16), "f4"),
                                                                  "fc.bias": np.zeros(3, "f4")}, {})
        self.assertIn(said % "", self.run_program("run", "all.yaml", "--output", "out", expect=1).stderr)
        self.assertEqual(path.read_bytes(), before)
        # The job that made it keeps it; a result of three classes is one of `all`.
        self.run_program("merge", "again.yaml", "--output", "out", "--to", "again.h5")
        self.run_program("run", "all.yaml", "--output", "other", "--quiet")
        self.assertIn("classes all", self.run_program("status", "all.yaml", "--output", "other").stdout)
        self.run_program("merge", "all.yaml", "--output", "other", "--to", "all.h5")

    def test_all_without_the_dataset(self):
        """`status` and `merge` need no dataset; `status` shows the number of the result instead of the word."""
        with h5py.File(self.folder / "images.h5", "w") as file:
            for split in ("train", "eval"):
                file[f"{split}/images"] = np.zeros((12, 16, 16), "u1")
                file[f"{split}/labels"] = np.arange(12) % 3
        grid = "name: t\ngrid: {dataset: [images, shapes], model: residual, width: 1/8%s}\nmodels: {residual: {resnet: [1, 1]}}\n"
        rest = TRAIN[TRAIN.index("datasets:"):].partition("\n")[0].replace("{", "{images: {format: hdf5, path: images.h5}, ", 1)
        rest += "\nsource: checkpoint\ncheckpoints: {files: w.safetensors}\n"
        self.write("again.yaml", grid % "" + rest)
        self.write("all.yaml", grid % ", classes: all" + rest)
        self.run_program("run", "again.yaml", "--output", "out", "--quiet")
        shown = self.run_program("status", "all.yaml", "--output", "out", expect=3).stdout
        self.assertIn("2 points: 0 complete, 0 diverged, 0 damaged, 0 missing, 2 unfit", shown)
        (self.folder / "images.h5").unlink()
        shown = self.run_program("status", "all.yaml", "--output", "out", expect=3).stdout
        self.assertRegex(shown, r"\npoint +dataset +classes +outcome .*\n +0 +images +2 +complete .*\n +1 +shapes +all \(3\) +unfit ")
        self.run_program("merge", "all.yaml", "--output", "out", "--to", "all.h5", expect=3)
        with h5py.File(self.folder / "all.h5") as file:
            self.assertEqual((list(file["point"]), list(file["classes"]) if "classes" in file else [file.attrs["classes"]]), ([0], [2]))

    def test_networks_of_several_numbers_of_classes(self):
        """The plan shows the number of each point."""
        tensors, _ = results.read_safetensors(self.folder / "w.safetensors")
        three = {**tensors, "fc.weight": np.zeros((3, 16), "f4"), "fc.bias": np.zeros(3, "f4")}
        results.write_safetensors(self.folder / "w-0.safetensors", tensors, {})
        results.write_safetensors(self.folder / "w-1.safetensors", three, {})
        self.write("again.yaml", self.again.replace("w.safetensors", "'w-{seed}.safetensors'").replace("1/8", "1/8, seed: [0, 1]"))
        for command in ("plan", "run"):
            self.assertRegex(self.run_program(command, "again.yaml").stdout, r"(?s)point .*classes .*\n +0 .*\b2\b.*\n +1 .*\b3\b")
        self.write("again.yaml", self.again.replace("w.safetensors}", "'w-{epoch}.safetensors', epochs: [0, 1]}"))
        self.assertIn("the first file of the point has classes: 2; use files of one network",
                      self.run_program("plan", "again.yaml", expect=1).stderr)

    def test_more_outputs_than_the_dataset_has_classes(self):
        tensors, _ = results.read_safetensors(self.folder / "w.safetensors")
        five = {**tensors, "fc.weight": np.zeros((5, 16), "f4"), "fc.bias": np.zeros(5, "f4")}
        results.write_safetensors(self.folder / "w.safetensors", five, {})
        for command in (("plan",), ("checkpoint", "import", "w.safetensors")):
            self.assertIn("the network has 5 outputs, one for each class, but dataset shapes has 3 classes",
                          self.run_program(*command, "again.yaml", expect=1).stderr)
            self.assertIn("use a dataset of 5 classes (shapes has 3)",
                          self.run_program(*command, "again.yaml", "--set", "grid.classes=all", expect=1).stderr)

    def test_another_dataset_than_in_training(self):
        """`from` finds weights by the settings of training, which do not have the dataset's count."""
        data = "datasets: {images: {format: hdf5, path: images.h5}}\n"
        job = "name: t\ngrid: {dataset: images, model: residual, width: 1/8}\nmodels: {residual: {resnet: [1, 1]}}\n" + data
        for classes in (2, 3):
            with h5py.File(self.folder / "images.h5", "w") as file:
                for split in ("train", "eval"):
                    file[f"{split}/images"] = np.zeros((12, 16, 16), "u1")
                    file[f"{split}/labels"] = np.arange(12) % classes
            self.write("job.yaml", job + "train: {epochs: 1, batch: 8}\n")
            if classes == 2:
                self.run_job("--quiet", output="trained")
        done = self.run_job(output="no", sets=["source=checkpoint", "checkpoints.from=trained"], expect=1)
        self.assertIn("the job says classes: all, which are 3 in dataset images; use a dataset of 2 classes, as in training",
                      done.stderr)


if __name__ == "__main__":
    harness.main()
