"""eigenscope weights: norms, power laws and distances of files of weights, compared with numpy in float64."""
import csv
import gzip
import importlib.util
import io
import json
import math
import shutil
import struct
import unittest

import h5py
import numpy as np

import harness
import results

NUMBERS = ("frobenius_norm", "spectral_norm", "stable_rank", "alpha", "ks_distance", "x_min", "tail", "distance_first",
           "distance_previous")


def fit_power_law(values):
    """Clauset, Shalizi and Newman (2009), candidate by candidate. Returns alpha, D, x_min and the length of the tail."""
    x = np.sort(values)
    best = (math.nan, math.inf, math.nan, math.nan)
    for x_min in np.unique(x)[:-1]:
        tail = x[x >= x_min]
        alpha = 1 + len(tail) / np.log(tail / x_min).sum()
        less = np.searchsorted(tail, tail, side="left") / len(tail)
        distance = np.abs(less - (1 - (tail / x_min) ** (1 - alpha))).max()
        if distance < best[1]:
            best = (alpha, distance, x_min, len(tail))
    return best if math.isfinite(best[1]) else (math.nan,) * 4


def expected(w, first=None, previous=None):
    """The numbers of a matrix, by a singular value decomposition."""
    w = w.astype(np.float64)
    if not np.isfinite(w).all():
        return dict.fromkeys(NUMBERS, math.nan)
    distance = [math.nan if o is None else np.linalg.norm(w - o.astype(np.float64)) for o in (first, previous)]
    if not w.any():
        return dict(zip(NUMBERS, [0, 0, *[math.nan] * 5, *distance]))
    scale = np.abs(w).max()
    s = np.linalg.svd(w / scale, compute_uv=False)
    law = fit_power_law(s[s**2 > len(s) * np.finfo(float).eps * s[0] ** 2] ** 2)
    return dict(zip(NUMBERS, [np.linalg.norm(w / scale) * scale, s[0] * scale, (s**2).sum() / s[0] ** 2, *law[:2],
                              law[2] * scale * scale, law[3], *distance]))


def bfloat16(array):
    """Cuts float32 to its upper half: the bits, and the values as float32."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16
    return bits.astype(np.uint16), (bits << 16).astype(np.uint32).view(np.float32)


def write_safetensors(path, tensors, dtypes=None):
    """Writes arrays; `dtypes` names dtypes that numpy lacks."""
    names = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<i8": "I64"}
    header, at = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": (dtypes or {}).get(name) or names[array.dtype.str], "shape": list(array.shape),
                        "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in tensors.values()))
    return path


class Weights(harness.Case):
    def weights(self, *arguments, **options):
        return self.run_program("weights", *arguments, **options)

    def rows(self, *arguments, **options):
        return list(csv.DictReader(io.StringIO(self.weights(*arguments, "--format", "csv", **options).stdout)))

    def compare(self, row, wanted, alpha=1e-9):
        for name in NUMBERS:
            got, value = float(row[name] or "nan"), wanted[name]
            tolerance = alpha if name in ("alpha", "ks_distance", "x_min") else 1e-10
            self.assertTrue(got == value or math.isnan(got) and math.isnan(value) or abs(got - value) <= tolerance * abs(value),
                            f"{row['matrix']}: {name} is {got}, numpy gives {value}")

    def heavy(self, random, rows, columns, exponent):
        """A matrix whose singular values decay as a power law."""
        n = min(rows, columns)
        left, right = (np.linalg.qr(random.standard_normal((k, n)))[0] for k in (rows, columns))
        return left * np.arange(1, n + 1.0) ** -exponent @ right.T

    def example(self, random):
        return {
            "bias": random.standard_normal(7),
            "scalar": np.array(2.0),
            "steps": np.arange(4).reshape(2, 2),
            "wide": random.standard_normal((30, 300)).astype(np.float32),
            "tall": self.heavy(random, 400, 60, 0.7).astype(np.float32),
            "conv": random.standard_normal((24, 5, 3, 3)).astype(np.float16),
            "conv1d": random.standard_normal((40, 8, 3)),
            "square": self.heavy(random, 80, 80, 1.5),
            "deficient": random.standard_normal((50, 7)) @ random.standard_normal((7, 90)),
            "one direction": np.outer(random.standard_normal(20), random.standard_normal(30)) + 1e-4 * random.standard_normal((20, 30)),
            "large mean": random.standard_normal((40, 50)) + 1000,
            "large": 1e180 * random.standard_normal((9, 11)),
            "small": 1e-180 * random.standard_normal((11, 9)),
            "zero": np.zeros((5, 6)),
            "dead rows": np.vstack([random.standard_normal((6, 20)), np.zeros((30, 20))]),
            "one": np.array([[-3.0]]),
            "row": random.standard_normal((1, 40)),
            "two": np.diag([2.0, 1.0]),
            "equal": np.eye(6),
            "empty": np.zeros((0, 5)),
        }

    def test_numbers(self):
        random = np.random.default_rng(5)
        tensors = self.example(random)
        write_safetensors(self.folder / "a.safetensors", tensors)
        rows = self.rows("a.safetensors")
        self.assertEqual([row["matrix"] for row in rows], [name for name in tensors if name not in ("bias", "scalar", "steps")])
        for row in rows:
            w = tensors[row["matrix"]]
            matrix = w.reshape(w.shape[0], -1) if w.size else np.zeros((1, 1))
            # The smallest eigenvalues of WᵀW have rounding errors as large as those of the largest eigenvalue.
            self.compare(row, expected(matrix, matrix), 1e-5 if row["matrix"] == "one direction" else 1e-9)
            self.assertEqual((row["file"], int(row["rows"]), int(row["columns"])),
                             ("a.safetensors", w.shape[0], w[:1].size if w.size else 0))
        by_name = {row["matrix"]: row for row in rows}
        self.assertEqual(by_name["equal"]["alpha"], "")
        self.assertEqual(by_name["two"]["tail"], "2")
        self.assertEqual(by_name["conv"]["dtype"], "F16")

    def test_dtypes(self):
        w = np.random.default_rng(6).standard_normal((33, 44)).astype(np.float32)
        bits, rounded = bfloat16(w)
        write_safetensors(self.folder / "w", {"b": bits}, {"b": "BF16"})
        row, = self.rows("w")
        self.compare(row, expected(rounded, rounded))
        self.assertEqual(row["dtype"], "BF16")

    def test_distances(self):
        """A matrix is compared with the tensor of its name and shape in the first file and in the file before."""
        random = np.random.default_rng(7)
        epochs = [{"a": random.standard_normal((20, 40)), "b": random.standard_normal((6, 3, 2, 2))} for _ in range(5)]
        epochs[2]["a"] = epochs[2]["a"].astype(np.float32)
        epochs[3]["b"] = random.standard_normal((6, 2, 3, 2))  # of another shape
        for i, tensors in enumerate(epochs):
            write_safetensors(self.folder / f"e{i}", tensors)
        rows = self.rows(*(f"e{i}" for i in range(5)))
        self.assertEqual([(row["file"], row["matrix"]) for row in rows], [(f"e{i}", name) for i in range(5) for name in "ab"])
        for row in rows:
            i, name = int(row["file"][1]), row["matrix"]
            w, others = epochs[i][name], [epochs[0][name], epochs[i - 1][name] if i > 0 else None]
            others = [None if o is None or o.shape != w.shape else o.reshape(w.shape[0], -1) for o in others]
            self.compare(row, expected(w.reshape(w.shape[0], -1), *others))
        self.assertEqual([row["distance_first"] for row in rows[:2]], ["0", "0"])
        shown = self.weights("e0", "e1").stdout
        self.assertRegex(shown, r"^e0: 2 matrices, 0\.00 million weights\nmatrix +rows .* tail\na +20 +40 ")
        self.assertRegex(shown, r"\n\ne1: 2 matrices, .*\nmatrix .* from first +from previous\na +20 +40 ")

    def test_not_finite(self):
        w = np.ones((4, 5), np.float32)
        broken = {"nan": w.copy(), "infinite": w.copy(), "whole": np.random.default_rng(1).standard_normal((4, 5))}
        broken["nan"][3, 4] = np.nan
        broken["infinite"][0, 0] = -np.inf
        write_safetensors(self.folder / "w", broken)
        for row in self.rows("w"):
            self.compare(row, expected(broken[row["matrix"]], broken[row["matrix"]]))
        self.assertIn("\n2 matrices have numbers that are NaN or infinite\n", self.weights("w").stdout)
        told = json.loads(self.weights("w", "--format", "json").stdout)
        self.assertEqual([entry["matrix"] for entry in told], list(broken))
        self.assertEqual({told[0][name] for name in NUMBERS}, {None})
        self.assertEqual(told[2]["rows"], 4)
        # A difference from what is not finite is none.
        write_safetensors(self.folder / "v", {"nan": w})
        row = self.rows("w", "v", "--matrix", "nan")[1]
        self.assertEqual((float(row["frobenius_norm"]), row["distance_first"]), (np.sqrt(20), ""))

    def test_ranks(self):
        random = np.random.default_rng(8)
        write_safetensors(self.folder / "a", self.example(random))
        write_safetensors(self.folder / "b", self.example(random))
        alone = self.weights("a", "b", "--format", "csv").stdout
        for ranks in (1, 2, 3, 5):
            self.assertEqual(self.weights("a", "b", "--format", "csv", ranks=ranks).stdout, alone)
        self.assertEqual(self.weights("a", "b", "b", "missing", ranks=3, expect=1).stderr.count("missing: cannot be read"), 1)

    def test_choice(self):
        w = np.ones((3, 2))
        write_safetensors(self.folder / "w", {"a.weight": w, "b.weight": w, "b.other": w})
        self.assertEqual([row["matrix"] for row in self.rows("w", "--matrix", "b.*")], ["b.weight", "b.other"])
        self.assertIn("--matrix c*: no matrix of these files has this name", self.weights("w", "--matrix", "c*", expect=1).stderr)
        write_safetensors(self.folder / "v", {"bias": np.ones(3)})
        self.assertEqual(self.weights("v").stdout, "v: 0 matrices, 0.00 million weights\n")
        self.assertEqual(json.loads(self.weights("v", "--format", "json").stdout), [])

    def test_errors(self):
        w = write_safetensors(self.folder / "w", {"w": np.ones((3, 2))})
        (self.folder / "cut").write_bytes(w.read_bytes()[:-1])
        (self.folder / "text").write_text("name: t\n")
        for arguments, message in (
            ((), "an argument is missing; usage: "),
            (("w", "--format", "xml"), "--format xml: must be table, csv or json"),
            (("w", "cut"), "cut: the file is cut off"),
            (("text",), "text: is cut off or not a safetensors file"),
            ((".",), ".: is a folder, but must be a safetensors file"),
        ):
            self.assertIn(message, self.weights(*arguments, expect=1).stderr)

    def test_damage(self):
        """The hash of files that eigenscope wrote is checked."""
        data = bytearray(gzip.decompress((harness.FIXTURES / "results/state.safetensors.gz").read_bytes()))
        (self.folder / "state").write_bytes(data)
        self.assertGreater(len(self.rows("state")), 0)
        data[-1] ^= 1
        (self.folder / "flipped").write_bytes(data)
        self.assertIn("flipped: the file is damaged", self.weights("flipped", expect=1).stderr)

    @harness.not_sanitized("the limit leaves no room for its shadow memory")
    def test_memory(self):
        """A matrix whose spectrum needs more memory than there is is refused; its file is sparse."""
        n = 50000
        header = json.dumps({"w": {"dtype": "F32", "shape": [n, n], "data_offsets": [0, 4 * n * n]}}).encode()
        with open(self.folder / "w", "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            file.truncate(8 + len(header) + 4 * n * n)
        done = self.run_command(["bash", "-c", f"ulimit -v 8000000; exec {harness.PROGRAM} weights w"], expect=1)
        self.assertRegex(done.stderr, r'w: the spectrum of "w" \(50000 x 50000\) needs [\d.]+ GiB, .* are free; choose smaller '
                                      r"matrices by --matrix\n")

    @unittest.skipUnless(importlib.util.find_spec("powerlaw"), "needs PyPI's powerlaw")
    def test_powerlaw(self):
        """Exponents of PyPI's powerlaw, which WeightWatcher uses."""
        import powerlaw
        # Version 2 would take no exponent above 3.
        bound = {"parameter_ranges": {"alpha": [1, 1e6]}} if getattr(powerlaw, "__version__", "1").startswith("2") else {}
        random = np.random.default_rng(9)
        tensors = {f"{kind}{i}": w for i in range(4) for kind, w in (
            ("gauss", random.standard_normal((60 + 20 * i, 200))), ("heavy", self.heavy(random, 100, 80 + 30 * i, 0.4 + 0.3 * i)),
            ("cauchy", random.standard_cauchy((90, 100))))}
        write_safetensors(self.folder / "w", tensors)
        for row in self.rows("w"):
            fit = powerlaw.Fit(np.linalg.svd(tensors[row["matrix"]], compute_uv=False) ** 2, verbose=False, **bound)
            for name, value in (("alpha", fit.alpha), ("ks_distance", fit.D), ("x_min", fit.xmin)):
                self.assertLess(abs(float(row[name]) - value), 1e-3 * abs(value), (row["matrix"], name))


JOB = """\
name: t
output: out
grid: {dataset: shapes, model: [tiny, mlp], width: 1/16, resolution: 16}
models: {tiny: {resnet: 18}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 80, eval: 20}}
train: {epochs: 7, batch: 8, learning_rate: 0.05}
measure: {every: 2, weights: true}
checkpoint: {keep: all}
"""


class Measured(results.Case):
    """measure.weights: the numbers of the command, for each layer and each measured epoch."""
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()

    def numbers(self, path):
        return {name[len("weights_"):]: value for name, value in results.variables(path).items() if name.startswith("weights_")}

    def test_equals_the_command(self):
        for id, path in self.points("whole").items():
            files = [self.folder / f"whole/checkpoints/{id}-{epoch:03}.safetensors" for epoch in range(8)]
            found = self.numbers(path)
            self.assertEqual(set(found), set(NUMBERS))
            with h5py.File(path) as file:
                layers = list(file["layer"].asstr())
                self.assertEqual(file["weights_alpha"].dims[1][0].name, "/layer")
            self.assertEqual(found["alpha"].shape, (8, len(layers)))
            measured = [0, 2, 4, 6, 7]
            told = self.run_program("weights", *(files[epoch] for epoch in measured), "--format", "csv").stdout
            for row in csv.DictReader(io.StringIO(told)):
                layer, epoch = row["matrix"].removesuffix(".weight"), int(row["file"][-len("000.safetensors"):][:3])
                for name in NUMBERS:
                    np.testing.assert_equal(found[name][epoch, layers.index(layer)], float(row[name] or "nan"), f"{layer} {name}")
            for name in NUMBERS:
                self.assertTrue(np.isnan(found[name][1::2][:3]).all())

    def test_ranks(self):
        self.run_job("--quiet", "--ranks-per-point", 2, output="two", ranks=2)
        self.assert_same("whole", "two")

    def kill_and_finish(self, job, whole):
        """A run that is killed after its first state, and finished by two ranks, has equal bits."""
        (self.folder / "job.yaml").write_text(job)
        self.run_job("--quiet", output=whole)
        process = self.start_job("--quiet")

        def has_saved():
            return any((self.folder / "out").glob("state/*.safetensors"))
        self.wait_for(has_saved, process)
        self.kill(process.pid)
        process.communicate()
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        for id, path in self.points(whole).items():
            self.assertEqual(results.different_results(path, self.points()[id]), [])

    def test_resume(self):
        """Of states that are older than the last measured epoch, too."""
        self.kill_and_finish(JOB.replace("keep: all", "every: 3").replace("train: 80", "train: 400"), "long")

    def test_loaded_weights(self):
        """For loaded weights, the first file counts as the first."""
        id = next(id for id, path in self.points("whole").items() if results.attributes(path)["model"] == "mlp")
        for epoch in range(8):
            shutil.copy(self.folder / f"whole/checkpoints/{id}-{epoch:03}.safetensors", self.folder / f"w{epoch}.safetensors")
        epochs = [1, 2, 4, 7]
        job = JOB.replace("model: [tiny, mlp]", "model: mlp").replace("every: 2, ", "").replace("train: 80", "train: 3000")
        job = "\n".join(line for line in job.splitlines() if not line.startswith(("train:", "checkpoint:")))
        self.kill_and_finish(f'{job}\nsource: checkpoint\ncheckpoints: {{files: "w{{epoch}}.safetensors", epochs: {epochs}}}\n', "loaded")
        path, = self.points("loaded").values()
        found = self.numbers(path)
        told = self.run_program("weights", *(f"w{epoch}.safetensors" for epoch in epochs), "--format", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(told)))
        for name in NUMBERS:
            np.testing.assert_equal(found[name].ravel(), [float(row[name] or "nan") for row in rows], name)

    def test_only_if_asked(self):
        """The variables and the key leave everything else as it is."""
        self.run_job("--quiet", output="plain", sets=["measure.weights=false"])
        plain = {results.attributes(path)["model"]: results.variables(path) for path in self.points("plain").values()}
        for path in self.points("whole").values():
            values, other = results.variables(path), plain[results.attributes(path)["model"]]
            self.assertEqual(set(values) - set(other), {f"weights_{name}" for name in NUMBERS})
            for name in ("loss", "accuracy", "trace", "eigenvalues", "saturation"):
                self.assertTrue(results.same_bits(values[name], other[name]), name)
        self.run_program("merge", "job.yaml", "--output", "whole", "--to", "all.h5")
        with h5py.File(self.folder / "all.h5") as merged:
            self.assertEqual(merged["weights_alpha"].shape[:2], (2, 8))
            for i, id in enumerate(merged["point_id"].asstr()):
                alpha = self.numbers(self.points("whole")[id])["alpha"]
                np.testing.assert_equal(merged["weights_alpha"][i][:, :alpha.shape[1]], alpha)

    def test_needs_a_network(self):
        self.write("acts.yaml", "name: t\nsource: activations\nactivations: {file: a.h5}\nmeasure: {weights: true}\n")
        done = self.run_program("plan", "acts.yaml", expect=1)
        self.assertIn("acts.yaml:4: measure.weights needs a network, and source: activations has none; leave it out", done.stderr)


if __name__ == "__main__":
    harness.main()
