"""eigenscope similarity and measure.similarity: CKA and Procrustes distances, compared with numpy in float64."""
import csv
import io
import re
import shutil
import unittest

import h5py
import numpy as np
import xarray

import harness
import results

HASH = "0123456789abcdef"


# ---- the formulas, as in the papers ----

def hsic(k, l):
    """Song et al. (2012), equation 5, with sums written out."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    return ((k * l.T).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ l).sum()) / (n * (n - 3))


def prepare(x):
    """Centred, and scaled because numbers may be of any size. None: without direction."""
    x = x.astype(np.float64)
    if not np.isfinite(x).all() or (x == x[0]).all():
        return None
    x = x - x.mean(0)
    x = x - x.mean(0)
    return x / np.abs(x).max()


def cka(x, y):
    x, y = prepare(x), prepare(y)
    if x is None or y is None:
        return np.nan
    k, l = x @ x.T, y @ y.T
    if min(hsic(m, m) / (m * m).sum() for m in (k, l)) < 1e-17:
        return np.nan
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def procrustes(x, y):
    x, y = prepare(x), prepare(y)
    if x is None or y is None:
        return np.nan
    return 2 - 2 * np.linalg.svd(x.T @ y / np.linalg.norm(x) / np.linalg.norm(y), compute_uv=False).sum()


# ---- files ----

def write_features(path, layers, id="0" * 16, sample_hash=HASH, epochs=None):
    """Writes {layer: (epochs, samples, features)} as the program does."""
    n = next(iter(layers.values())).shape[1]
    with h5py.File(path, "w") as file:
        file.attrs.update({"schema": "eigenscope features", "schema_version": np.int32(1), "point_id": id, "sample_hash": sample_hash,
                           "n_layers": np.int32(len(layers))})
        file["epoch"] = np.arange(len(next(iter(layers.values()))), dtype=np.int32) if epochs is None else np.int32(epochs)
        file["sample"] = np.arange(n, dtype=np.int32)
        for i, (name, values) in enumerate(layers.items()):
            file[f"features_{i}"] = values
            file[f"features_{i}"].attrs["layer"] = name


def rotation(random, n):
    return np.linalg.qr(random.standard_normal((n, n)))[0]


def hostile(random, n=40):
    """Two epochs of layers that make computations of CKA go wrong."""
    plain = random.standard_normal((2, n, 12))
    wide = random.standard_normal((2, n, 130)) @ np.diag(np.linspace(1, 3, 130))
    direction = random.standard_normal((2, n, 1)) * 1e6 @ random.standard_normal((2, 1, 9)) + random.standard_normal((2, n, 9))
    dead, broken, partly = np.full((2, n, 5), 0.1), plain.copy(), plain.copy()
    dead[1, 0, 0] = 0.7
    broken[1, 3, 4] = np.nan
    partly[:, :, 2:] = [[1e7]]
    return {"plain": plain, "rotated": -3e-5 * plain @ rotation(random, 12), "wide": wide, "direction": direction,
            "far": (plain + 0.3 * random.standard_normal(plain.shape)) + 1e8, "dead": dead, "broken": broken, "partly": partly,
            "huge": plain * 1e200, "small": plain * 1e-200, "float": (plain @ random.standard_normal((12, 3))).astype(np.float32),
            "binary": (plain > 1).astype(np.float32)}


class Similarity(harness.Case):
    """The command."""

    def rows(self, *arguments, **options):
        return list(csv.DictReader(io.StringIO(self.run_program("similarity", *arguments, "--format", "csv", **options).stdout)))

    def test_formulas(self):
        layers = hostile(np.random.default_rng(1))
        write_features(self.folder / "a.features.h5", layers)
        rows = self.rows("a.features.h5", "--procrustes", *(f"--pair=0/plain=last/{name}" for name in layers))
        sets = [(epoch, name) for epoch in range(2) for name in layers]
        found = {measure: {} for measure in ("cka", "procrustes")}
        for row in rows:
            a, b = (int(row["epoch_a"]), row["layer_a"]), (int(row["epoch_b"]), row["layer_b"])
            found[row["measure"]][a, b] = float(row["value"] or "nan")
        self.assertEqual(len(found["cka"]), len(sets) * (len(sets) + 1) // 2)
        self.assertEqual(len(found["procrustes"]), 2 * len(layers) - 1)
        for measure, formula in (("cka", cka), ("procrustes", procrustes)):
            for (a, b), value in found[measure].items():
                x, y = layers[a[1]][a[0]], layers[b[1]][b[0]]
                if a == b:
                    self.assertTrue(np.isnan(value) or value == (1 if measure == "cka" else 0))
                far = 2e-7 if "far" in a + b else 1e-11  # float64 has 8 digits left there
                np.testing.assert_allclose(value, formula(x, y), rtol=0, atol=far, err_msg=f"{measure} {a} {b}")
        # A rotation and a scale change nothing; other numbers do.
        for epoch in range(2):
            for name in ("rotated", "huge", "small"):
                self.assertAlmostEqual(found["cka"][(epoch, "plain"), (epoch, name)], 1, delta=1e-12)
        self.assertLess(abs(found["cka"][(0, "plain"), (0, "wide")]), 0.2)
        self.assertTrue(np.isnan(found["cka"][(0, "dead"), (0, "dead")]))
        self.assertTrue(np.isnan(found["cka"][(1, "plain"), (1, "dead")]))  # flat: one sample differs
        self.assertLess(found["procrustes"][(0, "plain"), (1, "dead")], 2)
        self.assertTrue(np.isnan(found["procrustes"][(0, "broken"), (1, "broken")]))

    def test_table(self):
        layers = hostile(np.random.default_rng(2))
        write_features(self.folder / "a.features.h5", {name: layers[name] for name in ("plain", "rotated", "dead", "broken")})
        told = self.run_program("similarity", "a.features.h5", "--procrustes").stdout
        self.assertIn("debiased linear CKA of 8 sets of features, 1 point, 40 samples\n", told)
        self.assertRegex(told, r"\n +0  0/plain +1\.0000 +1\.0000 +- +1\.0000")
        self.assertRegex(told, r"\n0/rotated  1/rotated +\d\.\d{4}\n")
        self.assertIn("\n0/dead: dead (the features do not vary), so its similarities are NaN\n1/dead: flat (as if only one sample differs), "
                      "so its CKA is NaN\n1/broken: not finite, so its similarities are NaN\n", told)
        write_features(self.folder / "b.features.h5", {name: np.concatenate([layer] * 3) for name, layer in layers.items()}, id="1" * 16)
        told = self.run_program("similarity", "b.features.h5").stdout
        self.assertRegex(told, r"\nlayer +sets +next epoch +first to last +points, last epoch\nplain +6 +-0\.\d+ +-0\.\d+ +-\n")
        self.assertIn("--format csv or --to FILE.h5 gives all pairs\n", told)

    def test_ranks_and_memory(self):
        """Equal bits on any number of ranks, with any memory, of several blocks."""
        random = np.random.default_rng(3)
        common = random.standard_normal((60, 20))
        for point in range(3):
            layers = {f"l{i}": common @ random.standard_normal((5, 20, 4 + 11 * i)) + random.standard_normal((5, 60, 4 + 11 * i))
                      for i in range(10)}
            layers["l3"][2] = 1
            write_features(self.folder / f"{point}.features.h5", layers, id=f"{point:016x}")
        files = [f"{point}.features.h5" for point in range(3)]
        whole = ["similarity", *files, "--procrustes", "--to"]
        self.run_program(*whole, "one.h5")
        expected = results.variables(self.folder / "one.h5")
        self.assertEqual(expected["cka"].shape, (150, 150))
        self.assertEqual(expected["procrustes"].shape, (3 * 10 * 10,))
        np.testing.assert_array_equal(expected["cka"], expected["cka"].T)
        for a, b in ((3, 149), (70, 10)):
            x, y = (results.variables(self.folder / files[i // 50])[f"features_{i % 10}"][i % 50 // 10] for i in (a, b))
            self.assertAlmostEqual(expected["cka"][a, b], cka(x, y), delta=1e-12)
        for ranks, memory in ((0, 1), (2, 1), (3, 2), (4, 100)):
            self.run_program(*whole, "other.h5", "--memory", memory, ranks=ranks)
            self.assertEqual(results.different(expected, results.variables(self.folder / "other.h5")), [], (ranks, memory))
        with xarray.open_dataset(self.folder / "one.h5") as data:
            self.assertEqual(data["cka"].dims, ("set", "other"))
            self.assertEqual(data["procrustes"].dims, ("pair",))
            self.assertEqual(str(data["layer"].values[3]), "l3")
            self.assertEqual(int(data["kind"][23]), 1)
        self.assertEqual(list(self.folder.glob("*.part")), [])
        rows = self.rows(*files, "--layer", "l1", "--epochs", "0,4", "--pair", "0000000000000001/4/l1=0000000000000002/last/l1")
        self.assertEqual(len(rows), 6 * 7 // 2 + 1)
        x, y = (results.variables(self.folder / file)["features_1"][4] for file in files[1:])
        self.assertAlmostEqual(float(rows[-1]["value"]), procrustes(x, y), delta=1e-12)

    def test_refusals(self):
        random = np.random.default_rng(4)
        layers = {"a": random.standard_normal((1, 10, 3)), "b/c": random.standard_normal((1, 10, 3))}
        write_features(self.folder / "a.features.h5", layers, id="a" * 16)
        write_features(self.folder / "b.features.h5", layers, id="b" * 16, sample_hash="f" * 16)
        write_features(self.folder / "c.features.h5", layers, id="a" * 16)
        write_features(self.folder / "d.features.h5", layers, id="d" * 16)
        self.write("job.yaml", results.JOB)
        self.write("text.features.h5", "text")
        with h5py.File(self.folder / "torn.features.h5", "w") as file:
            file.attrs["schema"] = "eigenscope features"
        one, two = "a.features.h5", "b.features.h5"
        for arguments, message in (
                ((one, two), f"b.features.h5: has features of other samples than a.features.h5 \\(sample_hash {'f' * 16} and {HASH}\\); "
                             "compare points of one dataset, with equal classes, limits and measure.similarity_samples"),
                ((one, "c.features.h5"), "c.features.h5: is of the same point as a.features.h5; name each point once"),
                (("none.h5",), "none.features.h5: does not exist; run writes it with measure.similarity: true"),
                (("text.features.h5",), "text.features.h5: cannot be read: .*"),
                (("torn.features.h5",), "torn.features.h5: is damaged, or not a file of features, which run writes with .*"),
                (("job.yaml",), "job.yaml: is a job file, not a file of results.*"),
                ((one, "--layer", "x*"), "no layer and epoch of these files fits --layer and --epochs"),
                ((one, "--pair", "0/a"), "--pair 0/a: must be SET=SET"),
                ((one, "--pair", "0/a=0/z"), "--pair: no set is called 0/z; write ID/EPOCH/LAYER, as in a{16}/0/a"),
                ((one, "d.features.h5", "--pair", "0/a=a/0/b/c"), "--pair: more than one set is called 0/a; .*"),
                ((one, "--format", "json"), "--format json: must be table or csv"),
                ((one, "--memory", "0"), "--memory 0: must be an integer from 1 to 16777216"),
                ((one, "--to", "x.h5", "--format", "csv"), "--format and --to cannot be used together.*"),
                ((one, "--to", "no/x.h5"), "no/x.h5: .*No such file or directory"),
                ((one, "--to", "d.features.h5"), "--to d.features.h5: exists but is not a file of similarities; choose another name or "
                                                 "remove the file"),
                ((one, "--to", "job.yaml"), "--to job.yaml: exists but is not a file of similarities; .*")):
            for ranks in (0, 2) if arguments[-1] in (two, "0/a=0/z", "d.features.h5") else (0,):
                done = self.run_program("similarity", *arguments, ranks=ranks, expect=None)
                self.assertEqual(done.returncode, 1, done)
                self.assertRegex(done.stderr, rf"(?m)^eigenscope: {message}$", arguments)
        self.assertEqual((self.folder / "job.yaml").read_text(), results.JOB)
        for _ in range(2):  # a file of similarities is replaced
            self.run_program("similarity", one, "--to", "s.h5")
        self.assertRegex(self.run_program("similarity", one, "d.features.h5", "--pair", "a/0/b/c=d/last/b/c").stdout, r"\n.*/b/c +0\.0000\n")


JOB = """\
name: t
output: out
grid: {dataset: shapes, model: [tiny, small], resolution: 16, seed: 0}
models: {tiny: {vgg: [8, M, 12, M]}, small: {mlp: [9]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 40}}
train: {epochs: 5, batch: 16, learning_rate: 0.05}
measure: {every: 2, similarity: true}
probe: {epochs: [0, 4], pool: 4}
"""


def features(path):
    """{layer: (epochs, samples, features)}, and all variables and attributes."""
    with h5py.File(path) as file:
        layers = {file[f"features_{i}"].attrs["layer"]: file[f"features_{i}"][()] for i in range(file.attrs["n_layers"])}
        return layers, {name: file[name][()] for name in file}, dict(file.attrs)


class Measured(results.Case):
    """measure.similarity."""
    job = JOB

    def kept(self, output="out"):
        return {path.name[:16]: path for path in (self.folder / output / "points").glob("*.features.h5")}

    def assert_same_features(self, one, other):
        for id, path in self.kept(one).items():
            self.assertEqual(results.different(features(path)[1], features(self.kept(other)[id])[1]), [], id)
            self.assertEqual(features(path)[2]["sample_hash"], features(self.kept(other)[id])[2]["sample_hash"])
        self.assertEqual(set(self.kept(one)), set(self.kept(other)))

    def points(self, output="out"):
        return {id: path for id, path in super().points(output).items() if len(id) == 16}

    def test_features(self):
        """With all samples, features are the outputs of the layers: accuracies and covariances follow from them."""
        self.run_job("--quiet")
        self.assertEqual(len(self.kept()), 2)
        self.assertEqual([path for path in (self.folder / "out/state").iterdir() if path.is_file()], [])
        for id, path in self.kept().items():
            layers, variables, attributes = features(path)
            result = results.variables(self.points()[id])
            names = [name.decode() for name in result["layer"]]
            self.assertEqual(list(layers), names)
            self.assertEqual(list(variables["epoch"]), [0, 2, 4, 5])
            self.assertEqual(list(variables["sample"]), list(range(40)))
            self.assertEqual((attributes["point_id"], attributes["sample_of"]), (id, 40))
            self.assertEqual(attributes["model"], results.attributes(self.points()[id])["model"])
            for i, epoch in enumerate(variables["epoch"]):
                logits = layers[names[-1]][i]
                self.assertEqual((logits.argmax(1) == variables["label"]).mean(), result["accuracy"][1, epoch])
                for layer, name in enumerate(names):
                    rows = layers[name][i].astype(np.float64)
                    if result["layer_kind"][layer] != b"linear":
                        continue
                    width = rows.shape[1]
                    expected = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
                    np.testing.assert_allclose(result["eigenvalues"][1, epoch, layer, :width], expected, rtol=1e-3,
                                               atol=1e-5 * expected[0])
        # Maps: 8 and 12 channels at 16 x 16 and 8 x 8, pooled to 4 x 4 positions.
        tiny = next(layers for layers, _, attributes in map(lambda p: features(p), self.kept().values()) if attributes["model"] == "tiny")
        self.assertEqual([layer.shape[2] for layer in tiny.values()][:2], [128, 192])
        with xarray.open_dataset(path) as data:
            self.assertEqual(data["features_0"].dims, ("epoch", "sample", "feature_0"))
        told = self.run_program("similarity", *sorted(p.relative_to(self.folder) for p in self.points().values())).stdout
        self.assertIn("2 points, 40 samples\n", told)

    def test_sample(self):
        """The sample depends neither on ranks, batches, seeds nor networks; resumed and merged runs find the files."""
        small = ["measure.similarity_samples=16"]
        self.run_job("--quiet", output="one", sets=small)
        self.run_job("--quiet", "--ranks-per-point", 4, output="four", ranks=4, sets=small)
        self.assert_same_features("one", "four")
        self.run_job("--quiet", output="other", sets=[*small, "grid.seed=[1, 2]", "train.batch=11"])
        files = [*self.kept("one").values(), *self.kept("other").values()]
        self.assertEqual(len(files), 6)
        for path in files:
            _, variables, attributes = features(path)
            self.assertEqual(list(variables["sample"]), list(features(files[0])[1]["sample"]))
            self.assertEqual(attributes["sample_hash"], features(files[0])[2]["sample_hash"])
        self.assertEqual(len(set(variables["sample"])), 16)
        self.run_program("merge", "job.yaml", "--output", "other", "--set", "grid.seed=[1, 2]", "--set", "train.batch=11", "--set", *small,
                         "--to", "all.h5")
        told = self.run_program("similarity", "all.h5", "--output", "other", "--epochs", "last").stdout
        self.assertRegex(told, r"CKA of \d+ sets of features, 4 points, 16 samples\n")
        done = self.run_program("similarity", "all.h5", expect=1)
        self.assertIn("all.h5: the results of its points are not in results/t; name their folder by --output", done.stderr)
        # Fewer samples of the same data are another sample.
        self.run_job("--quiet", output="all", sets=["grid.model=small"])
        done = self.run_program("similarity", files[0], *self.kept("all").values(), expect=1)
        self.assertIn("has features of other samples than", done.stderr)

    def test_resume(self):
        """A killed run, finished by two ranks, has equal features; also of epochs before the last state."""
        (self.folder / "job.yaml").write_text(JOB.replace("train: 67", "train: 600") + "checkpoint: {every: 3}\n")
        self.run_job("--quiet", output="whole")
        process = self.start_job("--quiet")
        self.wait_for(lambda: any((self.folder / "out").glob("state/*.safetensors")), process)
        self.kill(process.pid)
        process.communicate()
        self.assertEqual([p for p in (self.folder / "out/points").glob("*") if ".part" not in p.name and p.name[:16] not in self.kept()], [])
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        self.assert_same_features("whole", "out")
        for id, path in self.points("whole").items():
            self.assertEqual(results.different_results(path, self.points()[id]), [])
        self.assertEqual([path.name for path in (self.folder / "out/state").iterdir() if path.is_file()], [])

    def test_missing_part(self):
        """A state whose features are gone is refused, with the remedy."""
        (self.folder / "job.yaml").write_text(JOB.replace("train: 67", "train: 600").replace("[tiny, small]", "tiny"))
        process = self.start_job("--quiet")
        self.wait_for(lambda: any((self.folder / "out").glob("state/*.safetensors")), process)
        self.kill(process.pid)
        process.communicate()
        for path in (self.folder / "out/state").glob("*.0.features"):
            path.write_bytes(path.read_bytes()[:-1])
        done = self.run_job("--quiet", expect=2)
        self.assertRegex(done.stderr, r"out/state/\w+\.0\.features: has no features of epoch 0 of this point \(.*\); "
                                      r"remove out/state/\w+\.safetensors to compute the point again")
        for path in (self.folder / "out/state").glob("*.safetensors"):
            path.unlink()
        self.run_job("--quiet")
        self.assertEqual(len(self.kept()), 1)

    def test_only_if_asked(self):
        self.run_job("--quiet", output="with", sets=["grid.model=tiny"])
        self.run_job("--quiet", output="plain", sets=["grid.model=tiny", "measure.similarity=false"])
        self.assertEqual(self.kept("plain"), {})
        (one,), (other,) = self.points("with").values(), self.points("plain").values()
        self.assertEqual(results.different(results.variables(one), results.variables(other)), [])
        told = self.run_program("plan", "job.yaml").stdout
        # 128 + 192 + 48 + 24 + 3 features of tiny, 9 + 3 of small, 40 samples, 4 epochs.
        size = sum(path.stat().st_size for path in self.kept("with").values())
        found = re.search(r"\nfeatures: ([\d.]+) KiB in 2 files <id>.features.h5 beside the results\n", told)
        self.assertIsNotNone(found, told)
        self.assertLess(float(found[1]) * 1024 - 4 * 4 * 40 * (9 + 3), size)
        self.assertNotIn("features:", self.run_program("plan", "job.yaml", "--set", "measure.similarity=false").stdout)
        self.run_job("--dry-run", "--quiet", output="dry")
        self.assertEqual(self.kept("dry"), {})

    def test_loaded_weights(self):
        """Weights of a training that are loaded give the features of this training."""
        self.run_job("--quiet", sets=["grid.model=tiny", "checkpoint.keep=all"])
        (id, path), = self.kept().items()
        for epoch in (2, 4, 5):
            shutil.copy(self.folder / f"out/checkpoints/{id}-{epoch:03}.safetensors", self.folder / f"w{epoch}.safetensors")
        lines = [line for line in JOB.splitlines() if not line.startswith(("train:", "probe:", "output:"))]
        job = "\n".join(lines).replace("[tiny, small]", "tiny").replace("every: 2, ", "")
        self.write("loaded.yaml", job + '\noutput: loaded\nprobe: {pool: 4}\nsource: checkpoint\ncheckpoints: {files: "w{epoch}.safetensors", '
                                  "epochs: [2, 4, 5]}\n")
        self.run_program("run", "loaded.yaml", "--quiet", ranks=2)
        trained, (_, loaded) = features(path), next(iter(self.kept("loaded").items()))
        loaded = features(loaded)
        self.assertEqual(loaded[1]["epoch"].tolist(), [2, 4, 5])
        self.assertEqual(loaded[2]["sample_hash"], trained[2]["sample_hash"])
        for name, values in loaded[0].items():
            np.testing.assert_array_equal(values, trained[0][name][1:], name)

    def test_activations(self):
        """Features of files of activations, also double and without labels; moments have none."""
        values = np.random.default_rng(5).standard_normal((50, 6)) + 1e9
        with h5py.File(self.folder / "acts.h5", "w") as file:
            file["first"] = values
            file["maps"] = np.random.default_rng(6).standard_normal((50, 8, 8, 3)).astype(np.float32)
        self.write("acts.yaml", "name: t\noutput: acts\nsource: activations\nactivations: {file: acts.h5}\nmeasure: {similarity: true, similarity_samples: 20}\n")
        self.assertIn("features: ", self.run_program("plan", "acts.yaml").stdout)
        self.run_program("run", "acts.yaml", "--quiet", ranks=3)
        path, = self.kept("acts").values()
        layers, variables, _ = features(path)
        np.testing.assert_array_equal(layers["first"][0], values[variables["sample"]])
        self.assertEqual(layers["maps"].shape, (1, 20, 3 * 4 * 4))
        self.assertEqual(set(variables["label"]), {-1})
        self.write("moments.yaml", "name: t\nsource: moments\nmoments: {files: m.h5}\nmeasure: {similarity: true}\n")
        done = self.run_program("plan", "moments.yaml", expect=1)
        self.assertIn("moments.yaml:4: measure.similarity needs the outputs of single samples, and source: moments has only sums; "
                      "leave it out", done.stderr)


if __name__ == "__main__":
    harness.main()
