"""Every measuring method in a whole run: shapes of the data matrices, and numbers that methods share."""
import h5py
import numpy as np

import results

# Outputs: first convolution 16 x 16 x 4, second 8 x 8 x 6; linear layers have 3 (half of 6) and 2.
JOB = """\
name: methods
output: out
grid: {dataset: shapes, model: tiny, resolution: 16}
models: {tiny: {vgg: [4, M, 6, A]}}
datasets: {shapes: {format: synthetic, classes: 2, complexity: 1, size: 16, channels: 1, train: 67, eval: 20}}
train: {epochs: 1, batch: 16, lanes: 2}
"""
SHAPES = {"features.0": (16, 16, 4), "features.4": (8, 8, 6)}
LAYERS = ["features.0", "features.4", "classifier.2", "classifier.6"]
N = {"train": 67, "eval": 20}


class Methods(results.Case):
    job = JOB

    def measure(self, method, **options):
        """Runs with a method; returns the variables of the result."""
        output = "out-" + "".join(c for c in method if c.isalnum())
        self.run_job("--quiet", output=output, sets=[f"measure.method={method}"], **options)
        path, = self.points(output).values()
        with h5py.File(path) as file:
            self.assertEqual(file["layer"][:].astype(str).tolist(), LAYERS)
            self.assertIn(f"method: {method}\n", file.attrs["job"])
        return results.variables(path)

    def check(self, method, width, rows, **options):
        """Checks widths and rows per sample by layer; eigenvalues: one per column, descending, their sum is the trace."""
        values = self.measure(method, **options)
        self.assertEqual(values["layer_width"].tolist(), width, method)
        self.assertEqual(values["eigenvalues"].shape, (2, 2, 4, max(width)))
        for split, name in enumerate(("train", "eval")):
            for epoch in range(2):
                for layer in range(4):
                    spectrum = values["eigenvalues"][split, epoch, layer]
                    if (name, epoch) == ("train", 0):  # before training
                        self.assertTrue(np.isnan(spectrum).all())
                        continue
                    self.assertEqual(values["samples"][split, epoch, layer], N[name] * rows[layer], method)
                    self.assertEqual(np.isnan(spectrum).tolist(), [i >= width[layer] for i in range(max(width))], method)
                    spectrum = spectrum[:width[layer]]
                    self.assertTrue((np.diff(spectrum) <= 0).all() and (spectrum >= 0).all(), method)
                    self.assertAlmostEqual(spectrum.sum() / values["trace"][split, epoch, layer], 1, places=6)
                    undersampled = bool(values["flags"][split, epoch, layer] & 2)
                    self.assertEqual(undersampled, N[name] * rows[layer] < width[layer] + 1, method)
        return values

    def test_channelwise(self):
        self.check("channelwise", [4, 6, 3, 2], [256, 64, 1, 1])

    def test_over_positions(self):
        for method in ("mean", "max", "median"):
            self.check(method, [4, 6, 3, 2], [1, 1, 1, 1])

    def test_flatten(self):
        flat = self.check("flatten", [1024, 384, 3, 2], [1, 1, 1, 1])
        # The variance of all values about the mean of their own position: channelwise without the differences between
        # positions, so at most as much per channel.
        wise = self.measure("channelwise")
        for layer, (height, width, _) in enumerate(SHAPES.values()):
            self.assertLess(flat["trace"][1, 1, layer] / (height * width), wise["trace"][1, 1, layer] * (1 + 1e-6))

    def test_pool(self):
        self.check("{pool: 2}", [16, 24, 3, 2], [1, 1, 1, 1])
        pooled, mean = self.check("{pool: 1}", [4, 6, 3, 2], [1, 1, 1, 1]), self.measure("mean")
        np.testing.assert_allclose(pooled["eigenvalues"], mean["eigenvalues"], rtol=1e-4, atol=1e-9)

    def test_nearest(self):
        self.check("{nearest: 3}", [4, 6, 3, 2], [9, 9, 1, 1])
        # It never enlarges: 16 positions per side leave both layers unchanged.
        same, wise = self.check("{nearest: 16}", [4, 6, 3, 2], [256, 64, 1, 1]), self.measure("channelwise")
        self.assertEqual(results.different(same, wise), [])

    def test_ranks(self):
        """Methods that gather rows give equal bits on two ranks."""
        for method in ("median", "{pool: 2}"):
            one = self.measure(method)
            self.run_job("--quiet", "--ranks-per-point", 2, output="two", sets=[f"measure.method={method}"], ranks=2)
            path, = self.points("two").values()
            self.assertEqual(results.different(one, results.variables(path)), [])
            path.unlink()

    def test_axis(self):
        """As an axis of the grid: one point each, distinguished in the tables."""
        self.run_job("--quiet", sets=["grid.measure.method=[channelwise, mean, flatten]"])
        widths = {}
        for path in self.points().values():
            widths[results.attributes(path)["measure_method"]] = results.variables(path)["layer_width"].tolist()
        self.assertEqual(widths, {"channelwise": [4, 6, 3, 2], "mean": [4, 6, 3, 2], "flatten": [1024, 384, 3, 2]})
        lines = self.run_program("status", "job.yaml", "--set",
                                 "grid.measure.method=[channelwise, mean, flatten]").stdout.splitlines()
        self.assertIn("measure.method", lines[2])


if __name__ == "__main__":
    results.harness.main()
