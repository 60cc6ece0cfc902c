"""measure.projection: accuracy with outputs projected onto leading eigenspaces, compared with the same network in numpy, and
properties of projections in any network."""
import glob
import json

import h5py
import numpy as np

import results

JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, resolution: 16, seed: [0, 1]}
models: {tiny: {vgg: [8, M, 12, M, 16]}, dense: {mlp: [24, 16]}}
datasets: {shapes: {format: synthetic, classes: 4, complexity: 2, size: 16, train: 203, eval: 60}}
train: {epochs: 4, batch: 32, learning_rate: 0.05}
measure: {every: 3, delta: [0.5, 0.9, 1.0], projection: true}
"""
EIGENSPACE, RANDOM, EVAL, ALL = 0, 1, 1, 0


class Projection(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()

    def test_properties(self):
        spread = []
        for path in self.points("whole").values():
            values = results.variables(path)
            projected, plain = values["projected_accuracy"], values["accuracy"][EVAL, -1]
            with h5py.File(path) as file:
                self.assertEqual(list(file["projection"].asstr()), ["eigenspace", "random"])
                self.assertEqual(list(file["layer_or_all"].asstr()), ["all", *file["layer"].asstr()])
            self.assertEqual(projected.shape, (2, 6, 3))
            self.assertFalse(np.isnan(projected).any())
            # At delta 1 nothing that varied in training is lost: the accuracy is unchanged.
            self.assertTrue((projected[EIGENSPACE, :, 2] == plain).all(), (projected, plain))
            # All directions span the whole space, whichever they are.
            full = values["intrinsic_dimension"][0, -1, :, 2] == values["layer_width"]
            self.assertTrue((projected[RANDOM, 1:, 2][full] == plain).all())
            spread.append(projected[EIGENSPACE] - projected[RANDOM])
        # A trained network needs its own directions; as many random ones are worse.
        spread = np.array(spread)
        self.assertGreater(spread[:, ALL, 1].mean(), 0.2)
        self.assertGreater(spread[:, 1:, :2].mean(), 0.05)

    def test_nothing_else_changes(self):
        self.run_job("--quiet", output="plain", sets=["measure.projection=false"])
        plain = {results.attributes(path)["seed"]: results.variables(path) for path in self.points("plain").values()}
        for path in self.points("whole").values():
            values, other = results.variables(path), plain[results.attributes(path)["seed"]]
            self.assertEqual(set(values) - set(other), {"projected_accuracy", "projection", "layer_or_all"})
            for name in ("loss", "accuracy", "recall", "trace", "samples", "intrinsic_dimension", "saturation"):
                self.assertTrue(results.same_bits(values[name], other[name]), name)
        self.assert_same_values("whole", "plain")

    def assert_same_values(self, one, other):
        """Weights of both folders, by seed."""
        tensors = []
        for output in (one, other):
            seeds = {path.stem: results.attributes(path)["seed"] for path in self.points(output).values()}
            tensors.append({seeds[path.stem]: results.read_safetensors(path)[0]
                            for path in (self.folder / output / "checkpoints").iterdir()})
        for seed in (0, 1):
            self.assertEqual(results.different(tensors[0][seed], tensors[1][seed]), [])

    def test_same_bits_on_ranks_and_after_interruption(self):
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=str(ranks), ranks=ranks)
            self.assert_same("whole", str(ranks))
        # If a folder blocks the result, the state of the last but one epoch remains.
        for point in self.points("whole"):
            (self.folder / "out/points" / f"{point}.h5").mkdir(parents=True)
        self.run_job("--quiet", expect=2)
        for point in self.points("whole"):
            (self.folder / "out/points" / f"{point}.h5").rmdir()
        done = self.run_job("--ranks-per-point", 2, ranks=2)
        self.assertNotIn("epoch 3/4", done.stdout)
        self.assert_same("whole", "out")

    def test_followed_spaces_and_early_end(self):
        # Measured at 0, 3 and 4; every distance is small enough, so with patience 1 epoch 3 is the last.
        sets = ["measure.eigenspace=true", "train.stop_when_stable={distance: 10, patience: 1}", "grid.seed=0"]
        self.run_job("--quiet", output="early", sets=sets)
        self.run_job("--quiet", output="short", sets=["train.epochs=3", "grid.seed=0"])
        early, short = (next(iter(self.points(output).values())) for output in ("early", "short"))
        self.assertEqual(results.attributes(early)["stopped_at_epoch"], 3)
        self.assertTrue(results.same_bits(*(results.variables(path)["projected_accuracy"] for path in (early, short))))

    def test_merged(self):
        self.run_program("merge", "job.yaml", "--output", "whole", "--to", "all.h5")
        with h5py.File(self.folder / "all.h5") as merged:
            self.assertEqual(list(merged["layer_or_all"][()]), [-1, 0, 1, 2, 3, 4])
            for path in self.points("whole").values():
                row = list(merged["seed"][()]).index(results.attributes(path)["seed"])
                self.assertTrue(results.same_bits(merged["projected_accuracy"][row], results.variables(path)["projected_accuracy"]))

    def test_many_deltas(self):
        """26 deltas, as the authors project: plan prices them, and numbers at common deltas are those of a job with three."""
        deltas = [round(0.5 + 0.02 * i, 2) for i in range(26)]
        many = f"measure.delta=[{', '.join(map(str, deltas))}]"
        cost = {}
        for name, sets in (("none", ["measure.projection=false"]), ("three", []), ("many", [many])):
            words = [word for value in sets for word in ("--set", value)]
            plan = json.loads(self.run_program("plan", "job.yaml", "--format", "json", *words).stdout)
            cost[name] = sum(point["macs"] for point in plan["points"])
        self.assertAlmostEqual((cost["many"] - cost["none"]) / (cost["three"] - cost["none"]), 26 / 3, places=1)
        self.run_job("--quiet", output="many", sets=[many])
        whole = {results.attributes(path)["seed"]: results.variables(path) for path in self.points("whole").values()}
        for path in self.points("many").values():
            values, few = results.variables(path), whole[results.attributes(path)["seed"]]
            self.assertEqual(values["projected_accuracy"].shape, (2, 6, 26))
            self.assertFalse(np.isnan(values["projected_accuracy"]).any())
            at = [deltas.index(d) for d in (0.5, 0.9, 1.0)]
            self.assertTrue(results.same_bits(values["projected_accuracy"][..., at], few["projected_accuracy"]))
            self.assertTrue(results.same_bits(values["intrinsic_dimension"][..., at], few["intrinsic_dimension"]))

    def test_refused(self):
        acts = "name: a\nsource: activations\nactivations: {file: a.h5}\nmeasure: {projection: true}\n"
        self.write("acts.yaml", acts)
        for job, sets, message in (
                ("acts.yaml", (), "acts.yaml:4: measure.projection needs a network, and source: activations has none; leave it out"),
                ("job.yaml", ("measure.method=flatten",),
                 "job.yaml:7: measure.projection projects each position separately, so it needs measure.method channelwise or "
                 "{nearest: K}"),
                ("job.yaml", ("grid.measure.method=[channelwise, mean]",),
                 "job.yaml: measure.projection projects each position separately, so it needs measure.method channelwise or "
                 "{nearest: K}, not mean")):
            options = [word for value in sets for word in ("--set", value)]
            done = self.run_program("plan", job, *options, expect=1)
            self.assertEqual(done.stderr, f"eigenscope: {message}\n")
        self.run_program("plan", "job.yaml", "--set", "measure.method={nearest: 2}")


def forward(x, tensors, project=None):
    """Outputs of the linear layers of network `dense` in inference mode; project(layer, output) changes them."""
    outputs = []
    for place, name in enumerate(("classifier.0", "classifier.3", "classifier.6")):
        x = x @ tensors[f"{name}.weight"].T.astype("f8") + tensors[f"{name}.bias"]
        if project is not None:
            x = project(place, x)
        outputs.append(x)
        norm = f"classifier.{3 * place + 1}"
        if place < 2:
            x = (x - tensors[f"{norm}.running_mean"]) / np.sqrt(tensors[f"{norm}.running_var"] + 1e-5)
            x = np.maximum(x * tensors[f"{norm}.weight"] + tensors[f"{norm}.bias"], 0)
    return outputs


class Numpy(results.Case):
    job = JOB.replace("model: tiny", "model: dense").replace("seed: [0, 1]", "seed: 3")
    sets = ["measure.splits=[eval]", "measure.eigenspace=store", "train.epochs=2"]

    def setUp(self):
        super().setUp()
        self.run_job("--quiet", sets=self.sets)
        self.path, = self.points().values()

    def test_against_numpy(self):
        self.run_program("data", "synth", "--to", "shapes.h5", "--classes", 4, "--complexity", 2, "--size", 16, "--train", 203,
                         "--eval", 60)
        values, facts = results.variables(self.path), results.attributes(self.path)
        with h5py.File(self.folder / "shapes.h5") as file:
            images, labels = file["eval/images"][()], file["eval/labels"][()]
        x = (images / 255.0 - facts["normalize_mean"]) / facts["normalize_std"]
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        tensors, _ = results.read_safetensors(glob.glob(f"{self.folder}/out/checkpoints/*")[0])
        plain = forward(x, tensors)
        self.assertAlmostEqual((plain[-1].argmax(1) == labels).mean(), values["accuracy"][EVAL, -1], delta=1.5 / len(x))
        found = []
        for which in range(4):
            for delta in range(3):
                def project(layer, y):
                    if which not in (ALL, layer + 1):
                        return y
                    k, width = values["intrinsic_dimension"][EVAL, -1, layer, delta], values["layer_width"][layer]
                    u = values["eigenvectors"][EVAL, -1, layer, :k, :width].astype("f8")
                    mean = plain[layer].mean(0)
                    return mean + (y - mean) @ u.T @ u
                expected = (forward(x, tensors, project)[-1].argmax(1) == labels).mean()
                found.append(values["projected_accuracy"][EIGENSPACE, which, delta])
                self.assertAlmostEqual(found[-1], expected, delta=1.5 / len(x), msg=(which, delta))
        self.assertGreater(max(found) - min(found), 0.2)  # projections matter

    def test_weights_from_files(self):
        """source: checkpoint gives the same numbers from the weights that training stored."""
        weights, = (self.folder / "out/checkpoints").iterdir()
        text = (self.job.replace("output: out\n", "output: other\nsource: checkpoint\n"
                                                  f"checkpoints: {{files: {weights}}}\n")
                .replace("train: {epochs: 4, batch: 32, learning_rate: 0.05}\n", "train: {batch: 32}\n"))
        self.write("other.yaml", text)
        self.run_program("run", "other.yaml", "--quiet", "--set", "measure.splits=[eval]")
        other, = self.points("other").values()
        self.assertTrue(results.same_bits(results.variables(other)["projected_accuracy"],
                                          results.variables(self.path)["projected_accuracy"]))


if __name__ == "__main__":
    results.harness.main()
