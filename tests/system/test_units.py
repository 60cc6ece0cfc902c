"""measure.units and measure.gradients: dead and dormant units equal numpy's; gradients equal the steps of plain SGD. The same bits on any
number of ranks, and everything else as without the keys."""
import h5py
import numpy as np

import harness
import results

UNITS = {"dead_units", "dormant_units"}
GRADIENTS = {"gradient_norm", "gradient_ratio"}
FILES = """\
name: f
output: out
source: activations
activations: {file: train.h5, labels: none}
measure: {units: true, method: mean}
"""
RUN = results.JOB + "measure: {units: true, gradients: true}\n"
# One step an epoch: 24 samples in one batch.
STEPS = """\
name: s
output: out
grid: {dataset: shapes, model: one, resolution: 8}
models: {one: {vgg: [6, M, 8]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 8, train: 24, eval: 8}}
train: {epochs: 3, batch: 24, learning_rate: 0.5, momentum: 0, weight_decay: 0}
measure: {gradients: true, weights: true}
checkpoint: {keep: all}
"""
# Learning rate 0: the weights stay, so that the last ones are those of every step. Inputs are far from zero.
STILL = """\
name: g
output: out
grid: {dataset: images, model: one, resolution: 8, seed: [0, 1, 2, 3, 4, 5]}
models:
  one:
    layers:
      - flatten
      - linear: {name: a, features: 9, fixed: true}
      - relu
      - linear: {name: b, features: 1, fixed: true}
      - relu
      - linear: {name: c, features: classes}
datasets: {images: {format: hdf5, path: images.h5, normalize: {mean: [-20], std: [0.25]}}}
train: {epochs: 1, batch: 8, learning_rate: 0, momentum: 0, weight_decay: 0}
measure: {gradients: true, splits: [eval]}
checkpoint: {keep: last}
"""
MLP = """\
name: m
output: out
source: checkpoint
checkpoints: {files: w.safetensors}
grid: {dataset: images, model: one, resolution: 8, width: 1}
models: {one: {mlp: [11]}}
datasets: {images: {format: hdf5, path: images.h5, normalize: {mean: [0.5], std: [0.25]}}}
measure: {units: true, dormant: 0.3}
"""


def count(h, tau):
    """Of outputs (..., units): shares of dead and of dormant units."""
    h = h.reshape(-1, h.shape[-1]).astype(np.float64)
    score = np.abs(h).mean(axis=0)
    return {"dead_units": (h.max(axis=0) <= 0).mean(), "dormant_units": (score <= tau * score.mean()).mean()}


class Files(results.Case):
    job = FILES

    def setUp(self):
        super().setUp()
        random = np.random.default_rng(3)
        maps = np.maximum(random.normal(size=(53, 3, 4, 7)) + np.array([-1, 0, 1, -9, -9, 5, -2]), 0).astype(np.float32)
        rows = (random.normal(size=(53, 9)) * 10.0 ** -np.arange(9))
        self.layers = {"maps": maps, "rows": rows, "dead": np.zeros((53, 5), np.float32), "negative": -np.abs(rows) - 1e3,
                       "few": rows[:, :4].astype(np.float32) + 1e6}
        with h5py.File(self.folder / "train.h5", "w") as file:
            for name, value in self.layers.items():
                file[name] = value
            file["odd"] = np.where(np.arange(9) == 2, np.inf, rows)

    def test_equals_numpy(self):
        for tau in (0.1, 0.5):
            self.run_job("--quiet", "--ranks-per-point", 3, ranks=3, output=f"of{tau}", sets=[f"measure.dormant={tau}"])
            path, = self.points(f"of{tau}").values()
            with h5py.File(path) as file:
                for i, name in enumerate(file["layer"].asstr()):
                    truth = dict.fromkeys(UNITS, np.nan) if name == "odd" else count(self.layers[name], tau)
                    for key, value in truth.items():
                        np.testing.assert_equal(file[key][0, 0, i], value, f"{name} {key}")
                        self.assertTrue(np.isnan(file[key][1, 0, i]))
        self.run_job("--quiet", output="one")
        self.assertEqual(results.different_results(*self.points("one").values(), *self.points("of0.1").values()), [])

    def test_refusals(self):
        self.write("m.yaml", "name: t\nsource: moments\nmoments: {files: a.h5}\nmeasure: {units: true}\n")
        done = self.run_program("plan", "m.yaml", expect=1)
        self.assertIn("m.yaml:4: measure.units needs the outputs of single samples", done.stderr)
        self.write("g.yaml", FILES.replace("units", "gradients"))
        done = self.run_program("plan", "g.yaml", expect=1)
        self.assertIn("g.yaml:5: measure.gradients needs training, and source: activations does not train", done.stderr)


class Network(results.Case):
    job = RUN

    def test_ranks_and_others(self):
        for values, new in self.run_with_and_without("measure.units", "measure.gradients"):
            self.assertEqual(new, UNITS | GRADIENTS)
            hidden = values["layer_output"] == 0
            for name in UNITS:
                self.assertTrue(np.isfinite(values[name][1][:, hidden]).all())
                self.assertTrue(np.isnan(values[name][1][:, ~hidden]).all())  # no activation
            for name in GRADIENTS:
                self.assertTrue((values[name][1:] > 0).all())
                self.assertTrue(np.isnan(values[name][0]).all())


class Steps(results.Case):
    job = STEPS

    def test_equals_steps(self):
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        path, = self.points().values()
        values = results.variables(path)
        norm = values["weights_distance_previous"][1:] / 0.5
        np.testing.assert_allclose(values["gradient_norm"][1:], norm, rtol=1e-3)
        np.testing.assert_allclose(values["gradient_ratio"][1:], norm / values["weights_frobenius_norm"][:-1], rtol=1e-3)


def gradients(x, labels, w):
    """{layer: gradient of the mean loss with respect to its weights}, in double."""
    inputs, outputs, value = {}, {}, x
    for name in "abc":
        inputs[name] = value
        outputs[name] = value @ w[f"{name}.weight"].T + w[f"{name}.bias"]
        value = np.maximum(outputs[name], 0)
    p = np.exp(outputs["c"] - outputs["c"].max(axis=1, keepdims=True))
    delta = (p / p.sum(axis=1, keepdims=True) - np.eye(p.shape[1])[labels]) / len(x)
    found = {}
    for name in "cba":
        found[name] = delta.T @ inputs[name]
        delta = (delta @ w[f"{name}.weight"]) * (inputs[name] > 0)
    return found


class Backward(results.Case):
    """Batches of fewer samples than inputs, inputs of one dominating direction (their mean), and dead layers, against numpy."""
    job = STILL

    def test_equals_numpy(self):
        random = np.random.default_rng(8)
        labels = np.arange(8, dtype=np.int64) % 3
        images = random.integers(0, 256, size=(8, 8, 8, 3), dtype=np.uint8)
        with h5py.File(self.folder / "images.h5", "w") as file:
            for split in ("train", "eval"):
                file[f"{split}/images"], file[f"{split}/labels"] = images, labels
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        x = ((images / 255 + 20) / 0.25).transpose(0, 3, 1, 2).reshape(8, -1)
        dead = 0
        for id, path in self.points().items():
            tensors, _ = results.read_safetensors(self.folder / f"out/checkpoints/{id}.safetensors")
            truth = gradients(x, labels, {name: value.astype(float) for name, value in tensors.items()})
            with h5py.File(path) as file:
                self.assertEqual(list(file["layer"].asstr()), list("abc"))
                for i, name in enumerate("abc"):
                    norm = np.linalg.norm(truth[name])
                    np.testing.assert_allclose(file["gradient_norm"][1, i], norm, rtol=1e-3, atol=0, err_msg=f"{id} {name}")
                    ratio = norm / np.linalg.norm(tensors[f"{name}.weight"].astype(float))
                    np.testing.assert_allclose(file["gradient_ratio"][1, i], ratio, rtol=1e-3, atol=0, err_msg=f"{id} {name}")
            dead += all(not truth[name].any() for name in "abc")
        self.assertIn(dead, range(1, 6))


class Checkpoint(results.Case):
    job = MLP

    def test_equals_numpy(self):
        random = np.random.default_rng(5)
        images = random.integers(0, 256, size=(40, 8, 8, 3), dtype=np.uint8)
        with h5py.File(self.folder / "images.h5", "w") as file:
            for split in ("train", "eval"):
                file[f"{split}/images"], file[f"{split}/labels"] = images, np.arange(40, dtype=np.int64) % 4
        shapes = {"classifier.0.weight": (11, 192), "classifier.0.bias": 11, "classifier.1.weight": 11, "classifier.1.bias": 11,
                  "classifier.1.running_mean": 11, "classifier.1.running_var": 11, "classifier.3.weight": (4, 11), "classifier.3.bias": 4}
        w = {name: random.uniform(0.1, 1, size=shape).astype(np.float32) for name, shape in shapes.items()}
        w["classifier.1.bias"][:7] = [-1e4, -30, -20, -10, -5, 0, 20]
        results.write_safetensors(self.folder / "w.safetensors", w, {})
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        path, = self.points().values()
        flat = ((images / 255 - 0.5) / 0.25).transpose(0, 3, 1, 2).reshape(40, -1)
        hidden = flat @ w["classifier.0.weight"].T + w["classifier.0.bias"]
        scaled = (hidden - w["classifier.1.running_mean"]) / np.sqrt(w["classifier.1.running_var"] + 1e-5)
        truth = count(np.maximum(scaled * w["classifier.1.weight"] + w["classifier.1.bias"], 0), 0.3)
        with h5py.File(path) as file:
            for name, value in truth.items():
                self.assertEqual(file[name][1, 0, 0], value)
                self.assertGreater(value, 0)
                self.assertTrue(np.isnan(file[name][1, 0, 1]))


if __name__ == "__main__":
    harness.main()
