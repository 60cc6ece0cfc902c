"""measure.classes: the numbers equal numpy's in double, for hostile layers of files and for a network; the same bits on any number of
ranks, and for everything else as without the key."""
import sys

import h5py
import numpy as np

import harness
import results

NAMES = {"nc1", "nc2_norms", "nc2_angles", "nc3", "nc4", "class_center_accuracy", "lda_rank"}
FILES = """\
name: f
output: out
source: activations
activations: {file: train.h5, eval: eval.h5}
measure: {classes: true}
"""
RUN = results.JOB + "measure: {classes: true, kinds: [conv, linear, norm]}\n"
MLP = """\
name: m
output: out
source: checkpoint
checkpoints: {files: w.safetensors}
grid: {dataset: images, model: one, resolution: 8, width: 1}
models: {one: {mlp: [11]}}
datasets: {images: {format: hdf5, path: images.h5, normalize: {mean: [0.5], std: [0.25]}}}
measure: {classes: true}
"""


def centred(values):
    return values - values.mean(axis=0)


def collapse(rows, labels):
    """The numbers of rows (samples, positions, width), in double."""
    rows = rows.astype(np.float64)
    samples = rows.mean(axis=1)
    present = np.unique(labels)
    n, count = len(labels), np.array([(labels == k).sum() for k in present])
    means = np.stack([samples[labels == k].mean(axis=0) for k in present])
    out = {}
    # Σ_W from its definition, not as a difference.
    within = sum(((rows[labels == k] - m)[..., None, :] * (rows[labels == k] - m)[..., None]).sum(axis=(0, 1))
                 for k, m in zip(present, means)) / (n * rows.shape[1])
    shares = np.sqrt(count / n)[:, None] * (means - samples.mean(axis=0))
    between = shares.T @ shares
    total = np.cov(rows.reshape(-1, rows.shape[2]), rowvar=False, bias=True)
    scale = np.abs(total).max()
    np.testing.assert_allclose(within + between, total, atol=1e-12 * max(scale, 1e-300) * 10)
    tolerance = max(len(between), labels.max() + 1) * np.finfo(float).eps
    out["lda_rank"] = np.linalg.matrix_rank(between, tol=tolerance * np.linalg.norm(between, 2), hermitian=True)
    out["nc1"] = np.trace(within @ np.linalg.pinv(between, rcond=tolerance, hermitian=True)) / len(present) if out["lda_rank"] else np.nan
    spread = centred(means)
    norms = np.linalg.norm(spread, axis=1)
    with np.errstate(all="ignore"):
        out["nc2_norms"] = norms.std() / norms.mean() if norms.min() > 0 else np.nan
        cosines = (spread @ spread.T) / np.outer(norms, norms)
    pairs = cosines[~np.eye(len(present), dtype=bool)]
    out["nc2_angles"] = np.abs(pairs + 1 / (len(present) - 1)).mean()
    correct = 0
    for sample, label in zip(samples, labels):
        distances = ((sample - means) ** 2).sum(axis=1)
        own = np.searchsorted(present, label)
        rest = samples[labels == label]
        if len(rest) > 1:  # the mean of the others, from its definition
            others = (rest.sum(axis=0) - sample) / (len(rest) - 1)
            distances[own] = ((sample - others) ** 2).sum()
        else:
            distances[own] = np.inf
        correct += present[np.argmin(distances)] == label
    out["class_center_accuracy"] = correct / n
    return out


def hostile(samples, seed):
    """Layers by name: (samples, positions, channels); classes of different size, one without samples, one with one sample."""
    random = np.random.default_rng(seed)
    labels = random.choice([0, 1, 2, 4, 5], size=samples, p=[0.4, 0.3, 0.2, 0.05, 0.05]).astype(np.int64)
    labels[:6] = [0, 1, 2, 4, 5, 0]
    labels[6] = 6
    centres = random.normal(size=(7, 8))
    plain = centres[labels][:, None] + random.normal(size=(samples, 1, 8))
    maps = 0.3 * centres[labels][:, None] + random.normal(size=(samples, 12, 8))
    dominated = plain * np.array([1e4, 1, 1, 1, 1, 1, 1, 1])
    lifted = np.repeat(np.eye(7, 90)[labels][:, None] * 2, 1, axis=1) + random.normal(size=(samples, 1, 90))
    return labels, {"plain": plain.astype(np.float32), "maps": maps.astype(np.float32),
                    "dead": np.full((samples, 3, 4), 2.5, np.float32), "wide": lifted.astype(np.float32),
                    "wide64": np.repeat(lifted, 2, axis=1)[:, :, ::-1] + random.normal(size=(samples, 2, 90)) * 0.1,
                    "dominated": dominated.astype(np.float32), "far": plain + 1e7, "far32": (plain + 1e3).astype(np.float32),
                    "tiny64": plain * 1e-120, "odd": np.where(np.arange(8) == 3, np.nan, plain).astype(np.float32)}


def write(path, labels, layers):
    with h5py.File(path, "w") as file:
        file["labels"] = labels
        for name, rows in layers.items():
            h = {1: 1, 2: 1, 3: 1, 12: 3}[rows.shape[1]]
            shape = (len(rows), h, rows.shape[1] // h, rows.shape[2])
            file[name] = rows[:, 0] if rows.shape[1] == 1 else rows.reshape(shape)


class Files(results.Case):
    job = FILES

    def setUp(self):
        super().setUp()
        self.data = {"train": hostile(83, 1), "eval": hostile(57, 2)}
        for split, (labels, layers) in self.data.items():
            write(self.folder / f"{split}.h5", labels, layers)

    def test_equals_numpy(self):
        self.run_job("--quiet")
        path, = self.points().values()
        with h5py.File(path) as file:
            names = list(file["layer"].asstr())
            found = {name: file[name][:, 0] for name in NAMES}
        self.assertEqual(set(names), set(self.data["train"][1]))
        for split, (labels, layers) in enumerate(self.data.values()):
            for i, layer in enumerate(names):
                got = {name: found[name][split, i] for name in NAMES}
                if layer == "odd":
                    self.assertTrue(all(np.isnan(value) for value in got.values()), got)
                    continue
                truth = collapse(layers[layer] * (1e120 if layer == "tiny64" else 1), labels)
                double = layers[layer].dtype == np.float64
                tolerance = {"far": 1e-6, "far32": 1e-3, "dominated": 1e-3}.get(layer, 1e-9 if double else 2e-5)
                for name, value in truth.items():
                    np.testing.assert_allclose(got[name], value, rtol=tolerance, atol=1e-12, err_msg=f"{split} {layer} {name}")
                self.assertTrue(np.isnan(got["nc3"]) and np.isnan(got["nc4"]))

    def test_ranks(self):
        self.run_job("--quiet", output="one")
        for ranks in (2, 3):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=f"of{ranks}", ranks=ranks)
            for id, path in self.points("one").items():
                self.assertEqual(results.different_results(path, self.points(f"of{ranks}")[id]), [])

    def test_methods(self):
        """A method changes the rows, and so the class means."""
        labels, layers = self.data["train"]
        for method, rows in (("mean", layers["maps"].mean(axis=1, keepdims=True)), ("flatten", None)):
            self.run_job("--quiet", output=method, sets=[f"measure.method={method}", "measure.layers=[maps]"])
            path, = self.points(method).values()
            flat = layers["maps"].reshape(len(labels), 1, -1)
            truth = collapse(flat if rows is None else rows, labels)
            with h5py.File(path) as file:
                for name, value in truth.items():
                    np.testing.assert_allclose(file[name][0, 0, 0], value, rtol=1e-4, err_msg=f"{method} {name}")

    def test_simplex(self):
        """A simplex has no NC2; without scatter within classes, no NC1."""
        labels = np.arange(60) % 5
        with h5py.File(self.folder / "train.h5", "w") as file:
            file["labels"], file["h"] = labels, np.eye(5, 9)[labels] * 3 + 7
        self.run_job("--quiet", sets=["activations={file: train.h5}"])
        path, = self.points().values()
        with h5py.File(path) as file:
            for name, value in (("nc1", 0), ("nc2_norms", 0), ("nc2_angles", 0), ("lda_rank", 4), ("class_center_accuracy", 1)):
                self.assertAlmostEqual(file[name][0, 0, 0], value, places=12, msg=name)

    def test_needs_labels(self):
        with h5py.File(self.folder / "train.h5", "a") as file:
            del file["labels"]
        done = self.run_program("run", "job.yaml", "--quiet", expect=1)
        self.assertIn("measure.classes needs labels, but not every file has an array \"labels\"", done.stderr)


class Moments(results.Case):
    """Sums of classes in files of moments: the numbers of numpy, as of the rows themselves."""
    job = "name: m\noutput: out\nsource: moments\nmoments: {files: m.h5}\nmeasure: {classes: true}\n"

    def track(self, layers, labels, parts=1, classes=8):
        sys.path.insert(0, str(harness.SOURCE / "analysis"))
        sys.dont_write_bytecode = True
        import eigenscope
        for part in range(parts):
            with eigenscope.Tracker(to=self.folder / "m.h5", part=part, parts=parts, run="r", classes=classes) as tracker, tracker.epoch(0):
                for name, rows in layers.items():
                    for at in np.array_split(np.arange(len(labels))[part::parts], 3):
                        tracker.accumulate(name, rows[at], labels[at])

    def test_equals_numpy(self):
        labels, layers = hostile(83, 1)
        # float32 layers are rounded once more on the way to the file; the far and the tiny ones are doubles
        layers = {name: rows for name, rows in layers.items() if name not in ("odd", "tiny64")}
        for parts in (1, 3):
            self.track(layers, labels, parts)
            outputs = []
            for ranks in (1, 2):
                outputs.append(f"of{parts}on{ranks}")
                self.run_job("--quiet", "--ranks-per-point", ranks, output=outputs[-1], ranks=ranks)
            path, other = (path for output in outputs for path in self.points(output).values())
            self.assertEqual(results.different_results(path, other), [])
            found = results.variables(path)
            for i, (name, rows) in enumerate(layers.items()):
                truth = collapse(rows, labels)
                tolerance = {"far": 1e-6, "far32": 1e-3, "dominated": 1e-3}.get(name, 1e-9 if rows.dtype == np.float64 else 2e-5)
                for measure in ("nc1", "nc2_norms", "nc2_angles", "lda_rank"):
                    np.testing.assert_allclose(found[measure][0, 0, i], truth[measure], rtol=tolerance, atol=1e-12, err_msg=f"{name} {measure}")
                for measure in ("nc3", "nc4", "class_center_accuracy"):  # these need the samples
                    self.assertTrue(np.isnan(found[measure]).all())
            for path in self.folder.glob("m*.h5"):
                path.unlink()

    def test_rows_without_a_class(self):
        """The covariance of all rows is then not that of the classes."""
        labels, layers = hostile(40, 3)
        self.track({"plain": layers["plain"]}, np.where(labels == 0, -1, labels))
        self.run_job("--quiet")
        path, = self.points().values()
        found = results.variables(path)
        self.assertTrue(np.isnan(found["nc1"]).all() and np.isfinite(found["saturation"][0, 0, 0]).all())

    def test_needs_sums_of_classes(self):
        labels, layers = hostile(40, 3)
        self.track({"plain": layers["plain"]}, labels, classes=0)
        for command in ("plan", "run"):
            done = self.run_program(command, "job.yaml", expect=1)
            self.assertIn("job.yaml:4: measure.classes needs sums of each class", done.stderr)


class Network(results.Case):
    """Trained networks: equal bits on 1, 2 and 4 ranks and after a stop; other variables are as without the key."""
    job = RUN

    def test_ranks_and_others(self):
        for values, new in self.run_with_and_without("measure.classes"):
            self.assertEqual(new, NAMES)
            hidden = np.flatnonzero(values["layer_output"] == 0)
            measured = {"nc1", "class_center_accuracy", "lda_rank"}
            for name in measured:
                self.assertTrue(np.isfinite(values[name][:, 1:][:, :, hidden]).all(), name)
            self.assertTrue(np.isnan(values["nc1"][0, 0]).all())  # the train split before training
            for name in ("nc3", "nc4"):
                self.assertTrue(np.isfinite(values[name][1, :, hidden[-1]]).all())
                self.assertTrue(np.isnan(np.delete(values[name], hidden[-1], axis=2)).all())

    def test_methods(self):
        """The mean of the rows of a sample is the row of `mean`, and its columns are those of {pool: 1}."""
        found = []
        for method in ("channelwise", "mean", "{pool: 1}"):
            self.run_job("--quiet", output=method[:5], sets=[f"measure.method={method}", "grid.seed=0"])
            path, = self.points(method[:5]).values()
            found.append(results.variables(path))
        for other in found[1:]:
            for name in ("nc2_norms", "nc2_angles"):
                np.testing.assert_allclose(other[name], found[0][name], rtol=1e-4, err_msg=name)
            np.testing.assert_allclose(other["class_center_accuracy"], found[0]["class_center_accuracy"], atol=0.03)
        self.assertEqual(results.different({name: found[1][name] for name in NAMES}, {name: found[2][name] for name in NAMES}), [])


class Classifier(results.Case):
    """NC1 … NC4 of the hidden layer of an MLP, whose outputs numpy computes from its weights."""
    job = MLP

    def test_equals_numpy(self):
        random = np.random.default_rng(5)
        labels = np.arange(90, dtype=np.int64) % 4
        images = random.integers(0, 256, size=(90, 8, 8, 3), dtype=np.uint8)
        with h5py.File(self.folder / "images.h5", "w") as file:
            for split in ("train", "eval"):
                file[f"{split}/images"], file[f"{split}/labels"] = images, labels
        weights = {"classifier.0.weight": random.normal(size=(11, 192)) * 0.1, "classifier.0.bias": random.normal(size=11),
                   "classifier.3.weight": random.normal(size=(4, 11)), "classifier.3.bias": random.normal(size=4)}
        norm = dict(zip(("weight", "bias", "running_mean", "running_var"), random.uniform(0.5, 1.5, size=(4, 11)).astype(np.float32)))
        weights.update({f"classifier.1.{name}": value for name, value in norm.items()})
        results.write_safetensors(self.folder / "w.safetensors", {k: v.astype(np.float32) for k, v in weights.items()}, {})
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        path, = self.points().values()
        flat = ((images / 255 - 0.5) / 0.25).transpose(0, 3, 1, 2).reshape(90, -1)
        w = [weights[f"classifier.{i}.{kind}"].astype(np.float32).astype(float) for i in (0, 3) for kind in ("weight", "bias")]
        hidden = flat @ w[0].T + w[1]
        scaled = (hidden - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
        read = np.maximum(scaled * norm["weight"] + norm["bias"], 0)
        logits = read @ w[2].T + w[3]
        with h5py.File(path) as file:
            for i, rows in enumerate((hidden, logits)):
                for name, value in collapse(rows[:, None], labels).items():
                    np.testing.assert_allclose(file[name][1, 0, i], value, rtol=1e-4, err_msg=f"{i} {name}")
            means = np.stack([read[labels == k].mean(axis=0) for k in range(4)])
            spread = centred(means)
            nc3 = ((w[2] / np.linalg.norm(w[2]) - spread / np.linalg.norm(spread)) ** 2).sum()
            nearest = ((read[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
            np.testing.assert_allclose(file["nc3"][1, 0, 0], nc3, rtol=1e-5)
            np.testing.assert_allclose(file["nc4"][1, 0, 0], (nearest != logits.argmax(axis=1)).mean(), atol=1e-12)
            self.assertTrue(np.isnan(file["nc3"][1, 0, 1]))


if __name__ == "__main__":
    harness.main()
