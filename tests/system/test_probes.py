"""Probes: numbers equal a naive Newton method on features computed here; equal bits on any number of ranks and after an
interruption, for every source."""
import glob
import json
import re
import unittest

import h5py
import numpy as np

import harness
import results

JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, resolution: 16, seed: 0}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 20}}
train: {epochs: 3, batch: 16, learning_rate: 0.05}
checkpoint: {keep: all}
probe: {epochs: all, pool: 3}
"""
PROBE = [f"probe_{name}" for name in ("accuracy", "objective", "gradient_norm", "iterations", "converged", "confusion",
                                      "recall")] + ["layer_tail"]


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def fit(x, y, l2, classes):
    """W (classes, d) and b of the optimum, and its objective, by Newton's method with step halving. Two classes use the
    binomial problem: one vector of weights."""
    n, d = x.shape
    rows = np.hstack([x.astype("f8"), np.ones((n, 1))])
    hot = np.eye(classes)[y]
    penalty = np.append(np.full(d, l2), 0.0)
    spread = np.eye(classes) if classes > 2 else np.array([[0.0], [1.0]])  # parameters to logits
    w = np.zeros((spread.shape[1], d + 1))

    def objective(w):
        p = softmax(rows @ w.T @ spread.T)
        return -np.log(np.maximum(p[np.arange(n), y], 1e-300)).sum() + 0.5 * (penalty * w * w).sum(), p

    value, p = objective(w)
    for _ in range(100):
        gradient = spread.T @ ((p - hot).T @ rows) + penalty * w
        k = len(w)
        hessian = np.zeros((k, d + 1, k, d + 1))
        curvature = np.einsum("na,nab,nb->nab", p, np.eye(classes)[None] - p[:, None, :], np.ones_like(p))
        curvature = np.einsum("ai,nab,bj->nij", spread, curvature, spread)
        for i in range(k):
            for j in range(k):
                hessian[i, :, j] = (rows * curvature[:, i, j][:, None]).T @ rows + (i == j) * np.diag(penalty)
        flat = hessian.reshape(k * (d + 1), -1) + 1e-12 * np.eye(k * (d + 1))
        step, t = np.linalg.lstsq(flat, -gradient.ravel(), rcond=None)[0].reshape(w.shape), 1.0
        while objective(w + t * step)[0] > value and t > 1e-9:
            t /= 2
        w = w + t * step
        before, (value, p) = value, objective(w)
        if before - value <= 1e-13 * value:
            break
    return spread @ w, value


def pool(x, k):
    """Adaptive average of (n, h, w, c), flattened."""
    for axis in (1, 2):
        length = x.shape[axis]
        if length > k:
            cells = [np.take(x, range(i * length // k, -(-(i + 1) * length // k)), axis).mean(axis) for i in range(k)]
            x = np.stack(cells, axis)
    return x.reshape(len(x), -1)


def tail(accuracy, least):
    """Tail layers by definition."""
    marks = [i > 0 and max(accuracy[i:]) - max(accuracy[:i]) < least for i in range(len(accuracy))]
    return [all(marks[i:]) for i in range(len(marks))]


class Training(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()

    def probes(self, output):
        path, = self.points(output).values()
        return {name: value for name, value in results.variables(path).items() if name in PROBE + ["probe_epoch"]}

    def images(self):
        """(images as the network sees them, labels) of both splits."""
        self.run_program("data", "synth", "--to", "shapes.h5", "--classes", 3, "--complexity", 1, "--size", 16, "--train", 67,
                         "--eval", 20)
        with h5py.File(self.folder / "shapes.h5") as file, h5py.File(next(iter(self.points("whole").values()))) as result:
            mean, deviation = result.attrs["normalize_mean"], result.attrs["normalize_std"]
            return [((np.broadcast_to(file[f"{split}/images"][()], (n, 16, 16, 3)) / 255 - mean) / deviation,
                     file[f"{split}/labels"][()]) for split, n in (("train", 67), ("eval", 20))]

    def test_numbers_of_the_first_layer(self):
        (train, labels), (eval_images, eval_labels) = self.images()
        for point, path in self.points("whole").items():
            values = results.variables(path)
            for epoch in range(4):
                tensors, _ = results.read_safetensors(self.folder / "whole/checkpoints" / f"{point}-{epoch:03}.safetensors")
                weight, bias = (tensors[f"features.0.{name}"].astype("f8") for name in ("weight", "bias"))

                def features(x):
                    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
                    out = sum(padded[:, i:i + 16, j:j + 16] @ weight[:, :, i, j].T for i in range(3) for j in range(3))
                    return pool(out + bias, 3)

                w, objective = fit(features(train), labels, 1.0, 3)
                self.assertLess(abs(values["probe_objective"][epoch, 0] / objective - 1), 1e-6)
                found = [softmax(np.hstack([features(x), np.ones((len(x), 1))]) @ w.T).argmax(1)
                         for x in (train, eval_images)]
                self.assertLessEqual(abs(values["probe_accuracy"][0, epoch, 0] - (found[0] == labels).mean()), 1.01 / 67)
                confusion = np.zeros((3, 3), int)
                np.add.at(confusion, (eval_labels, found[1]), 1)
                self.assertLessEqual(np.abs(confusion - values["probe_confusion"][epoch, 0]).sum(), 2)

    def test_what_is_stored_fits_together(self):
        for path in self.points("whole").values():
            values = results.variables(path)
            self.assertEqual(list(values["probe_epoch"]), [0, 1, 2, 3])
            self.assertTrue((values["probe_converged"] == 1).all() and (values["probe_gradient_norm"] <= 1e-4).all())
            counts = values["probe_confusion"]
            self.assertTrue((counts.sum((2, 3)) == 20).all())
            diagonal = np.einsum("elcc->elc", counts)
            np.testing.assert_array_equal(values["probe_accuracy"][1], diagonal.sum(2) / 20)
            np.testing.assert_array_equal(values["probe_recall"], diagonal / counts.sum(3))
            self.assertEqual(list(values["layer_tail"]), tail(values["probe_accuracy"][1, -1], 0.01))
            self.assertIn(" probe\n", self.run_program("show", path).stdout)

    def test_same_bits_on_ranks_and_in_little_memory(self):
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=str(ranks), ranks=ranks)
            self.assert_same("whole", str(ranks))
        # Features of more than a MiB: layers one after the other, or all at once.
        wide = ["datasets.shapes.train=150", "probe.pool=16", "probe.epochs=last"]
        for memory in (1, 100):
            self.run_job("--quiet", output=f"memory{memory}", sets=wide + [f"probe.memory={memory}"])
        one, other = (results.variables(*self.points(f"memory{memory}").values()) for memory in (1, 100))
        self.assertEqual(results.different(one, other), [])

    def test_interrupted(self):
        # If a folder blocks the result, the state of the last but one epoch remains.
        for point in self.points("whole"):
            (self.folder / "out/points" / f"{point}.h5").mkdir(parents=True)
        self.run_job("--quiet", expect=2)
        for point in self.points("whole"):
            (self.folder / "out/points" / f"{point}.h5").rmdir()
            tensors, _ = results.read_safetensors(self.folder / "out/state" / f"{point}.safetensors")
            self.assertIn("probe.classifier.2", tensors)
        done = self.run_job("--ranks-per-point", 2, ranks=2)
        self.assertNotIn("epoch 2/3", done.stdout)
        self.assert_same("whole", "out")

    def test_epochs(self):
        whole = self.probes("whole")
        for epochs, axis in (("last", [3]), ("[1, 3]", [1, 3])):
            self.run_job("--quiet", output=epochs, sets=[f"probe.epochs={epochs}"])
            found = self.probes(epochs)
            self.assertEqual(list(found["probe_epoch"]), axis)
            # The start differs, the optimum is the same.
            np.testing.assert_allclose(found["probe_objective"], whole["probe_objective"][axis], rtol=2e-6)
        # The weights that training stored give the same numbers.
        self.write("again.yaml", JOB + "source: checkpoint\ncheckpoints: {from: whole, epochs: [3]}\n")
        self.run_program("run", "again.yaml", "--output", "again", "--quiet")
        for name, value in self.probes("again").items():
            self.assertTrue(results.same_bits(value, self.probes("last")[name]), name)
        self.run_job("--quiet", output="none", sets=["probe.epochs=none"])
        self.assertEqual(self.probes("none"), {})

    def test_samples(self):
        self.run_job("--quiet", sets=["probe.samples=8", "probe.epochs=last"])
        accuracy = self.probes("out")["probe_accuracy"]
        np.testing.assert_array_equal(accuracy[0] * 8, np.round(accuracy[0] * 8))  # of 8 samples
        np.testing.assert_array_equal(accuracy[1] * 20, np.round(accuracy[1] * 20))
        self.run_job("--quiet", "--ranks-per-point", 4, output="four", ranks=4,
                     sets=["probe.samples=8", "probe.epochs=last"])
        self.assert_same("out", "four")

    def test_gap(self):
        values = {}
        self.run_job("--quiet", output="gaps", sets=["grid.probe.gap=[1e-9, 0.5]", "probe.epochs=last"])
        for path in self.points("gaps").values():
            with h5py.File(path) as file:
                gap = float(re.search(r"probe\.gap: (\S+)", file.attrs["job"])[1])
            values[gap] = results.variables(path)
        tight, loose = values[1e-9], values[0.5]
        self.assertTrue((tight["probe_converged"] == 1).all() and (loose["probe_converged"] == 1).all())
        self.assertTrue((loose["probe_gradient_norm"] <= 1e-4).all())
        self.assertGreater(tight["probe_iterations"].sum(), loose["probe_iterations"].sum())
        self.assertTrue((tight["probe_objective"] <= loose["probe_objective"]).all())

    def test_training_that_ends_early(self):
        self.run_job("--quiet", sets=["probe.epochs=last", "train.stop_when_stable={distance: 1, patience: 2}"])
        self.assertEqual(list(self.probes("out")["probe_epoch"]), [2])
        self.assertTrue((self.probes("out")["probe_converged"] == 1).all())

    def test_diverged_and_dry(self):
        sets = ["probe.epochs=last", "train.learning_rate=1e20"]
        self.run_job("--quiet", sets=sets, expect=2)
        values = self.probes("out")
        self.assertTrue(np.isnan(values["probe_accuracy"]).all() and (values["probe_converged"] == 255).all())
        self.run_job("--quiet", "--dry-run", output="dry")
        self.assertEqual(list((self.folder / "dry").rglob("*.h5")), [])

    def test_plan_and_stages(self):
        cost = [json.loads(self.run_program("plan", "job.yaml", "--format", "json", "--set", f"probe.epochs={epochs}").stdout)
                for epochs in ("none", "all")]
        self.assertGreater(cost[1]["total_macs"], cost[0]["total_macs"])
        self.assertGreater(*(c["points"][0]["bytes_per_rank"] for c in reversed(cost)))
        self.assertIn("\n  probe ", self.run_job("--verbose").stdout)
        done = self.run_job(sets=["probe.epochs=[4]"], expect=1)
        self.assertIn("probe.epochs has epoch 4, but training ends after epoch 3", done.stderr)


class Activations(harness.Case):
    JOB = """\
name: acts
source: activations
activations: {file: "train-{epoch}.h5", eval: "eval-{epoch}.h5", epochs: [0, 5]}
probe: {epochs: %s, pool: 2, l2: 0.5}
"""

    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(5)
        centres = generator.normal(size=(3, 10))
        self.data = {}
        for epoch in (0, 5):
            for split, n in (("train", 150), ("eval", 40)):
                labels = generator.integers(0, 3, n)
                fc = (1 + epoch) * centres[labels] + generator.normal(size=(n, 10))
                conv = generator.normal(size=(n, 5, 4, 3)).astype("f4") + labels[:, None, None, None]
                half = np.full((n, 2), np.inf if (split, epoch) == ("eval", 5) else 1.0, "f4")  # only eval is not finite
                bad = np.where(np.arange(n * 4).reshape(n, 4) == 9, np.nan, 1.0).astype("f4")
                layers = self.data[split, epoch] = {"conv": conv, "fc": fc, "half": half, "bad": bad, "labels": labels}
                with h5py.File(self.folder / f"{split}-{epoch}.h5", "w", track_order=True) as file:
                    for name, values in layers.items():
                        file[name] = values

    def result(self, output):
        return results.variables(glob.glob(f"{self.folder}/{output}/points/*.h5")[0])

    def test_numbers_and_ranks(self):
        self.write("job.yaml", self.JOB % "all")
        for ranks in (1, 3, 11):
            self.run_program("run", "job.yaml", "--quiet", "--output", f"out{ranks}", ranks=ranks)
            self.assertEqual(results.different(self.result("out1"), self.result(f"out{ranks}")), [])
        values = self.result("out1")
        for at, epoch in enumerate((0, 5)):
            for layer, name in enumerate(("conv", "fc")):
                train, test = self.data["train", epoch], self.data["eval", epoch]
                x, y = (pool(d[name].astype("f4"), 2) if name == "conv" else d[name].astype("f4") for d in (train, test))
                w, objective = fit(x, train["labels"], 0.5, 3)
                self.assertLess(abs(values["probe_objective"][at, layer] / objective - 1), 1e-6)
                right = [(np.hstack([f, np.ones((len(f), 1))]) @ w.T).argmax(1) == d["labels"]
                         for f, d in ((x, train), (y, test))]
                for split in range(2):
                    self.assertAlmostEqual(values["probe_accuracy"][split, at, layer], right[split].mean(), delta=0.026)
            self.assertTrue(np.isnan(values["probe_accuracy"][:, at, 3]).all())
        self.assertFalse(np.isnan(values["probe_accuracy"][:, 0, 2]).any())
        self.assertEqual(list(np.isnan(values["probe_accuracy"][:, 1, 2])), [False, True])
        self.assertTrue((values["probe_confusion"][1, 2] == -1).all())
        self.assertEqual(list(values["probe_converged"][0]), [1, 1, 1, 255])
        self.assertEqual(list(values["layer_tail"][2:]), [255, 255])
        self.assertNotIn("recall", values)  # the network that made them is unknown

    def test_bad_input(self):
        self.write("job.yaml", self.JOB % "[4]")
        done = self.run_program("run", "job.yaml", expect=1)
        self.assertIn("job.yaml:4: probe.epochs has epoch 4, but there are no files of this epoch", done.stderr)
        self.write("job.yaml", self.JOB % "last")
        for command in ("plan", "run"):
            done = self.run_program(command, "job.yaml", "--set", "measure.layers=[none, fc?]", expect=1)
            self.assertIn("job.yaml:3: no layer matches measure.layers; the first layer is \"", done.stderr)
        with h5py.File(self.folder / "eval-5.h5", "a") as file:
            del file["labels"]
        for command in ("plan", "run"):
            done = self.run_program(command, "job.yaml", expect=1)
            self.assertIn('job.yaml:3: probes need labels, but not every file has an array "labels"', done.stderr)
        self.assertFalse((self.folder / "results").exists())


class FarFromZero(harness.Case):
    """Features with a large mean or of a large scale, which rounding to float32 or float32 products spoil."""
    JOB = """\
name: far
source: activations
activations: {file: "train-{epoch}.h5", eval: "eval-{epoch}.h5", epochs: [0, 5]}
probe: {epochs: all, pool: 2, l2: %s}
"""

    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(8)
        centres = generator.normal(size=(3, 2, 2, 3))
        time = generator.uniform(size=(240, 1))
        for epoch in (0, 5):
            for split, n in (("train", 240), ("eval", 90)):
                labels = generator.integers(0, 3, n)
                plain = np.round((0.4 * centres[labels] + generator.normal(size=(n, 2, 2, 3))) * 1024) / 1024  # few digits
                with h5py.File(self.folder / f"{split}-{epoch}.h5", "w", track_order=True) as file:
                    file["plain"] = plain
                    file["shifted"] = plain + 1e8
                    file["pooled"] = plain.repeat(3, 1).repeat(2, 2) + 1e8  # averaged back
                    file["large"] = (plain * 2.0 ** 24).astype("f4")
                    file["larger"] = (plain * 2.0 ** 110).astype("f4")
                    file["powers"] = 1e3 * time[:n] ** np.arange(1, 41)
                    file["labels"] = labels

    def result(self, output):
        return results.variables(glob.glob(f"{self.folder}/{output}/points/*.h5")[0])

    def test_numbers_and_ranks(self):
        self.write("job.yaml", self.JOB % 1)
        for ranks in (1, 3):
            done = self.run_program("run", "job.yaml", "--output", f"out{ranks}", ranks=ranks)
            self.assertNotIn("did not converge", done.stdout + done.stderr)
        values = self.result("out1")
        self.assertEqual(results.different(values, self.result("out3")), [])
        self.assertTrue((values["probe_converged"] == 1).all())
        for epoch in range(2):
            objective, accuracy = values["probe_objective"][epoch], values["probe_accuracy"][:, epoch]
            np.testing.assert_allclose(objective[1:3], objective[0], rtol=1e-6)
            self.assertLessEqual(np.abs(accuracy[:, 1:3] - accuracy[:, :1]).max(), 1.01 / 90)
            # Without a penalty to speak of, the scale does not matter: the optimum by Newton's method.
            with h5py.File(self.folder / f"train-{5 * epoch}.h5") as file:
                w, expected = fit(file["plain"][()].reshape(240, -1), file["labels"][()], 2.0 ** -48, 3)
            np.testing.assert_allclose(objective[3:5], expected, rtol=2e-6)

    def test_says_what_did_not_converge(self):
        self.write("job.yaml", self.JOB % 1e-20)
        for options in ([], ["--quiet"]):
            done = self.run_program("run", "job.yaml", "--output", f"out{len(options)}", *options)
            warnings = [line for line in done.stderr.splitlines() if "converge" in line]
            self.assertEqual(warnings, [f"eigenscope: point 0: warning: epoch {epoch}: 1 of 6 probes did not converge: powers"
                                        for epoch in (0, 5)])
        path, = glob.glob(f"{self.folder}/out0/points/*.h5")
        table = self.run_program("show", path).stdout
        self.assertRegex(table, r"\npowers +40 .*x\n")
        self.assertNotRegex(table, r"\nplain .*x\n")
        self.assertIn("  x  the probe did not converge: its accuracy is not that of the optimum\n", table)
        rows = json.loads(self.run_program("show", path, "--format", "json").stdout)["rows"]
        self.assertEqual({(row["layer"], row["probe_converged"]) for row in rows},
                         {(layer, int(layer != "powers")) for layer in ("plain", "shifted", "pooled", "large", "larger", "powers")})
        self.run_program("merge", "job.yaml", "--output", "out0", "--to", "all.h5")
        lines = self.run_program("show", "all.h5").stdout.splitlines()
        heading, = (i for i, line in enumerate(lines) if line.startswith("point"))
        self.assertIn("unconverged probes", lines[heading])
        self.assertEqual(lines[heading + 1].split()[-1], "2")

    def test_says_which_layers_have_no_probe(self):
        """Features that are finite, but too large, set no flag. Layers without a probe do not count as probes."""
        self.write("job.yaml", self.JOB % 1e-20)
        generator = np.random.default_rng(2)
        for epoch in (0, 5):
            for split in ("train", "eval"):
                with h5py.File(self.folder / f"{split}-{epoch}.h5", "a") as file:
                    for name in ("shifted", "pooled", "large", "larger"):
                        del file[name]
                    plain, bad = file["plain"][()], epoch == 0
                    file["huge"] = plain * (1e200 if bad else 1)
                    file["nan"] = plain * (np.nan if bad else 1)
                    file["sums"] = (generator.uniform(2, 3, (len(plain), 6, 4, 2)) * (1e38 if bad else 1)).astype("f4")  # overflow
        done = self.run_program("run", "job.yaml", "--quiet", "--output", "out", ranks=2)
        warnings = [line.partition("warning: ")[2] for line in done.stderr.splitlines() if "probe" in line]
        self.assertEqual(warnings, ["epoch 0: 3 of 5 layers have no probe, because features are NaN, infinite or above 1e150: "
                                    "huge, nan, sums", "epoch 0: 1 of 2 probes did not converge: powers",
                                    "epoch 5: 1 of 5 probes did not converge: powers"])
        values = self.result("out")
        self.assertEqual(sorted(values["probe_converged"][0]), [0, 1, 255, 255, 255])
        self.assertEqual(np.count_nonzero(values["flags"][:, 0] & 4), 2)  # nan, in both splits

    def test_states_of_older_programs_are_refused(self):
        # They rounded float64 layers before probes centred them, and before methods converted them. States name the
        # kernels, so those of other layers stay.
        self.write("job.yaml", self.JOB % 1)
        for name, sets in (("wide", []), ("narrow", ["measure.layers=[large, larger]"]), ("none", ["probe.epochs=none"]),
                           ("method", ["measure.method=mean", "probe.epochs=none"]), ("both", ["measure.method=mean"])):
            arguments = ["job.yaml", "--output", name, *(word for value in sets for word in ("--set", value))]
            point = re.search(r"points/(\w+)\.h5", self.run_program("plan", *arguments).stdout)[1]
            blocked = self.folder / name / "points" / f"{point}.h5"
            blocked.mkdir(parents=True)
            self.run_program("run", *arguments, expect=2)
            blocked.rmdir()
            engine = results.read_safetensors(self.folder / name / "state" / f"{point}.safetensors")[1]["engine"]
            self.assertEqual("; float64 probes" in engine, name in ("wide", "both"), engine)
            self.assertEqual("; float64 methods" in engine, name in ("method", "both"), engine)
            self.assertNotIn("epoch 0/", self.run_program("run", *arguments).stdout)


if __name__ == "__main__":
    unittest.main()
