"""measure.eigenspace: leading eigenvectors over the epochs, with overlaps and angles compared with numpy, on any number of
ranks and after interruptions."""
import h5py
import numpy as np

import results

# Measured at epochs 0, 2, 4 and 5, so the previous measured epoch is not simply the previous epoch.
JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, seed: [0, 1]}
models: {tiny: {vgg: [8, M, 12, M, 16]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 20}}
train: {epochs: 5, batch: 16, learning_rate: 0.05}
measure: {every: 2, delta: [0.9, 0.99], eigenspace: store}
"""
EPOCHS = {0: [2, 4, 5], 1: [0, 2, 4, 5]}  # by split


def subspace(values, split, epoch, layer, k):
    """Orthonormal columns that span the k leading eigenvectors, in double."""
    width = values["layer_width"][layer]
    return np.linalg.qr(values["eigenvectors"][split, epoch, layer, :k, :width].T.astype("f8"))[0]


def angles_between(a, b):
    """Principal angles, ascending: from cosines, or from sines where those are more precise."""
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    cosine = np.linalg.svd(a.T @ b, compute_uv=False)
    sine = np.linalg.svd(b - a @ (a.T @ b), compute_uv=False)[::-1]
    return np.where(cosine > 0.7, np.arcsin(np.minimum(sine, 1)), np.arccos(np.minimum(cosine, 1)))


class Numbers(results.Case):
    """Checks for both kinds of sources."""

    def check_vectors(self, values, epochs):
        """As many vectors as the largest delta needs, orthonormal; the rest is NaN."""
        for split, measured in epochs.items():
            for epoch in range(values["eigenvectors"].shape[1]):
                for layer, width in enumerate(values["layer_width"]):
                    vectors = values["eigenvectors"][split, epoch, layer]
                    k = max(values["intrinsic_dimension"][split, epoch, layer]) if epoch in measured else 0
                    self.assertTrue(np.isnan(vectors[max(k, 0):]).all() and np.isnan(vectors[:, width:]).all())
                    rows = vectors[:max(k, 0), :width].astype("f8")
                    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=2e-6)

    def check_comparisons(self, values, epochs):
        n_layers, n_deltas = values["intrinsic_dimension"].shape[2:]
        overlap = np.full_like(values["eigenspace_overlap"], np.nan)
        angles = np.full_like(values["principal_angles"], np.nan)
        for split, measured in epochs.items():
            for reference, others in enumerate(([None, *measured[:-1]], [measured[-1]] * len(measured))):
                for epoch, other in zip(measured, others):
                    for layer in range(n_layers if other is not None else 0):
                        for delta in range(n_deltas):
                            k = [values["intrinsic_dimension"][split, e, layer, delta] for e in (epoch, other)]
                            if min(k) < 1:
                                continue
                            a, b = (subspace(values, split, e, layer, n) for e, n in zip((epoch, other), k))
                            overlap[reference, split, epoch, layer, delta] = ((a.T @ b) ** 2).sum() / min(k)
                            if delta == 0:
                                angles[reference, split, epoch, layer, :min(k)] = angles_between(a, b)
        np.testing.assert_allclose(values["eigenspace_overlap"], overlap, rtol=1e-9)
        np.testing.assert_allclose(values["principal_angles"], angles, atol=1e-7)
        return overlap, angles


class Training(Numbers):
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()

    def test_numbers(self):
        for path in self.points("whole").values():
            values = results.variables(path)
            self.assertEqual({split: [e for e in range(6) if values["samples"][split, e, 0] >= 0] for split in (0, 1)}, EPOCHS)
            self.check_vectors(values, EPOCHS)
            overlap, angles = self.check_comparisons(values, EPOCHS)
            self.assertTrue((values["eigenspace_overlap"][1, :, 5] > 1 - 1e-12).all())
            self.assertTrue(np.nanmin(overlap) < 0.99 and np.nanmax(angles) > 0.1)  # something changed
            shown = self.run_program("show", path).stdout
            means = np.nanmean(overlap[0, 1, 2:, values["layer_output"] == 0, 1], axis=0)  # at delta 0.99
            self.assertRegex(shown, r"mean overlap +-" + "".join(f" +{m:.3f}" for m in means[[0, 2, 3]]))

    def test_what_is_kept(self):
        self.run_job("--quiet", output="true", sets=["measure.eigenspace=true"])
        self.run_job("--quiet", output="false", sets=["measure.eigenspace=false"])
        for other in ("true", "false"):
            self.assertFalse(set(self.points("whole")) & set(self.points(other)))
        files = [{results.attributes(path)["seed"]: results.variables(path) for path in self.points(output).values()}
                 for output in ("whole", "true", "false")]
        for seed in (0, 1):
            stored, followed, plain = (file[seed] for file in files)
            self.assertEqual(results.different(stored, followed), ["eigenvectors", "feature"])
            self.assertEqual(set(followed) - set(plain), {"eigenspace_overlap", "principal_angles"})
            for name in ("loss", "accuracy", "trace", "samples", "intrinsic_dimension"):
                self.assertTrue(results.same_bits(plain[name], followed[name]), name)
            np.testing.assert_allclose(followed["eigenvalues"], plain["eigenvalues"], rtol=1e-9, atol=1e-12)

    def test_same_bits_on_ranks(self):
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=str(ranks), ranks=ranks)
            self.assert_same("whole", str(ranks))

    def test_same_bits_after_interruption(self):
        # If a folder blocks the result, the state of the last but one epoch remains.
        for point in self.points("whole"):
            (self.folder / "out/points" / f"{point}.h5").mkdir(parents=True)
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2, expect=2)
        for point in self.points("whole"):
            (self.folder / "out/points" / f"{point}.h5").rmdir()
            tensors, metadata = results.read_state(self.folder / "out/state" / f"{point}.safetensors")
            self.assertEqual(metadata["epoch"], "4")
            self.assertEqual(sorted(name for name in tensors if name.startswith("eigenspace.")),
                             ["eigenspace.eval.0", "eigenspace.eval.2", "eigenspace.eval.4", "eigenspace.k",
                              "eigenspace.train.2", "eigenspace.train.4"])
            self.assertNotIn("result.eigenvectors", tensors)
        done = self.run_job("--ranks-per-point", 4, ranks=4)
        self.assertNotIn("epoch 4/5", done.stdout)
        self.assert_same("whole", "out")

    def test_merged(self):
        self.run_program("merge", "job.yaml", "--output", "whole", "--to", "all.h5")
        with h5py.File(self.folder / "all.h5") as merged:
            for path in self.points("whole").values():
                row = list(merged["seed"][()]).index(results.attributes(path)["seed"])
                for name in ("eigenspace_overlap", "principal_angles", "eigenvectors", "stability_distance"):
                    self.assertTrue(results.same_bits(merged[name][row], results.variables(path)[name]), name)
        self.run_program("merge", "job.yaml", "--output", "whole", "--to", "less.h5", "--no-spectra")
        with h5py.File(self.folder / "less.h5") as merged:
            self.assertTrue("eigenspace_overlap" in merged and "eigenvectors" not in merged)


class Activations(Numbers):
    """Three epochs of layers measured by covariance, by the Gram matrix of few rows, dead, and not finite."""
    job = """\
name: acts
output: out
source: activations
activations: {file: "acts-{epoch}.h5", epochs: [1, 3, 7]}
measure: {delta: [0.8, 0.95, 1.0], eigenspace: store}
"""

    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(7)
        n, mixing = 60, generator.normal(size=(24, 24))
        self.layers = []
        for epoch in (1, 3, 7):
            layers = {"conv": (generator.normal(size=(n, 3, 3, 24)) @ (mixing + 0.2 * epoch * np.eye(24)) + 5).astype("f4"),
                      "few": (generator.normal(size=(n, 6)) @ generator.normal(size=(6, 150)) + 3),
                      "noise": generator.normal(size=(n, 200)).astype("f4") * 3 - 1e3,
                      "dead": np.ones((n, 5), "f4"),
                      "bad": np.where(np.arange(n * 12).reshape(n, 12) == 99, np.nan, 1.0).astype("f4")}
            self.layers.append(layers)
            with h5py.File(self.folder / f"acts-{epoch}.h5", "w", track_order=True) as file:
                for name, values in layers.items():
                    file[name] = values
        self.run_job("--quiet")

    def test_numbers(self):
        path, = self.points().values()
        values = results.variables(path)
        epochs = {0: [0, 1, 2]}
        self.check_vectors(values, epochs)
        self.check_comparisons(values, epochs)
        for epoch, layers in enumerate(self.layers):
            for layer, (name, rows) in enumerate(layers.items()):
                x = rows.astype("f8").reshape(-1, rows.shape[-1])
                k = values["intrinsic_dimension"][0, epoch, layer]
                if name in ("dead", "bad"):
                    self.assertTrue((k == (0 if name == "dead" else -1)).all())
                    self.assertTrue(np.isnan(values["eigenspace_overlap"][:, 0, epoch, layer]).all())
                    continue
                # Vectors of eigenvalues above rounding are eigenvectors of the covariance.
                q = np.cov(x.T, bias=True)
                eigenvalues = values["eigenvalues"][0, epoch, layer, :x.shape[1]]
                sound = min(k[2], int((eigenvalues > 1e-5 * eigenvalues[0]).sum()))
                self.assertGreaterEqual(sound, k[1])
                for v, value in zip(values["eigenvectors"][0, epoch, layer, :sound, :x.shape[1]].astype("f8"), eigenvalues):
                    self.assertLess(np.abs(q @ v - value * v).max(), 2e-6 * eigenvalues[0], (name, epoch))

    def test_too_many_columns_for_eigenvectors(self):
        (self.folder / "wide").mkdir()
        np.lib.format.open_memmap(self.folder / "wide/wide.npy", "w+", "f2", (33000, 33000))  # a sparse file
        self.write("wide.yaml", self.job.replace('"acts-{epoch}.h5", epochs: [1, 3, 7]', "wide"))
        for command in ("plan", "run"):
            done = self.run_program(command, "wide.yaml", expect=1)
            self.assertEqual(done.stderr, "eigenscope: wide.yaml:4: layer wide has 33000 columns and 33000 rows, but eigenvectors "
                             "(measure.eigenspace) can be computed only if one of the two is at most 32766; leave this layer "
                             "out of measure.layers\n")
        self.run_program("plan", "wide.yaml", "--set", "measure.eigenspace=false")

    def test_same_bits_on_any_number_of_ranks(self):
        for ranks in (2, 3, 5):
            self.run_job("--quiet", output=str(ranks), ranks=ranks)
            path, = self.points().values()
            other, = self.points(str(ranks)).values()
            self.assertEqual(results.different_results(path, other), [])

    def test_same_bits_after_interruption(self):
        point, = self.points()
        (self.folder / f"again/points/{point}.h5").mkdir(parents=True)
        self.run_job("--quiet", output="again", expect=2)
        (self.folder / f"again/points/{point}.h5").rmdir()
        done = self.run_job(output="again", ranks=3)
        self.assertNotIn("epoch 3/7", done.stdout)
        self.assertEqual(results.different_results(self.points()[point], self.points("again")[point]), [])


if __name__ == "__main__":
    results.harness.main()
