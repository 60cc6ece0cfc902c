"""Residual networks in whole runs: layers, learning, equal bits on any number of ranks, after an interruption, and from the
resolved job that a result stores."""
import h5py
import numpy as np

import harness
import results


class Networks(results.Case):
    job = """\
name: t
grid: {dataset: shapes, model: [few, chain, deep, mobile, bare], width: 1/8, resolution: 16}
models:
  few: {resnet: [1, 1], stem: imagenet}
  chain: {resnet: [1, 1], skip: false}
  deep: {resnet: 50}
  mobile: {mobilenet: v2}
  bare: {vgg: [32, M, 64], batch_norm: false}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 80, eval: 20}}
train: {epochs: 2, batch: 24, learning_rate: 0.02}
"""

    def test_run(self):
        self.use_whole()
        layers = {}
        for path in self.points("whole").values():
            with h5py.File(path) as file:
                names = [str(name) for name in file["layer"].asstr()]
                layers[file.attrs["model"]] = names
                self.assertTrue(np.isfinite(file["loss"][:, 1:]).all())
                self.assertTrue((file["layer_parameters"][()] > 0).all())
                kinds = dict(zip(names, file["layer_kind"].asstr()))
                self.assertEqual(kinds[names[0]], "conv")
                self.assertEqual(kinds[names[-1]], "linear")
                self.write(f"resolved-{file.attrs['model']}.yaml", file.attrs["job"])
        chain = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2"]
        self.assertEqual(layers["few"], [*chain, "layer2.0.downsample.0", "fc"])
        self.assertEqual(layers["chain"], [*chain, "fc"])
        self.assertEqual(len(layers["deep"]), 54)
        self.assertEqual(len(layers["mobile"]), 53)
        self.assertEqual(layers["bare"], ["features.0", "features.3", "classifier.2", "classifier.6"])
        self.run_job("--quiet", "--ranks-per-point", 4, output="4", ranks=4)
        self.assert_same("whole", "4")
        for model in layers:
            self.run_program("status", f"resolved-{model}.yaml", "--output", "whole")

    def test_stops_and_goes_on(self):
        self.use_whole()
        # On a fast machine everything is done before the time limit; the next run works either way.
        done = self.run_job("--quiet", "--max-time", "1", output="stopped", expect=None)
        self.assertIn(done.returncode, (0, 3), done.stderr)
        self.run_job("--quiet", output="stopped")
        self.assert_same("whole", "stopped")

    def test_any_number_of_layers(self):
        self.write("deep.yaml", "name: deep\ngrid: {dataset: shapes, model: deep, width: 1/64}\n"
                                "models: {deep: {resnet: [64, 64, 64, 64, 64]}}\n"
                                "datasets: {shapes: {format: synthetic, classes: 3, size: 16, train: 16, eval: 8}}\n"
                                "train: {epochs: 2, batch: 8, lanes: 2, learning_rate: 1.0e-6}\n")
        self.run_program("plan", "deep.yaml")
        self.run_program("run", "deep.yaml", "--quiet", "--output", "deep")
        self.run_program("run", "deep.yaml", "--quiet", "--output", "two", "--ranks-per-point", 2, ranks=2)
        self.assert_same("deep", "two")
        path, = self.points("deep").values()
        values = results.variables(path)
        self.assertEqual(len(values["layer"]), 646)
        self.assertTrue((values["samples"][1, 2] > 0).all())
        self.assertIn("layer5.63.conv2 ", self.run_program("show", path).stdout)
        self.run_program("merge", "deep.yaml", "--output", "deep", "--to", "deep.h5")
        self.assertEqual(results.variables(self.folder / "deep.h5")["layer_name"][0, 645], b"fc")


if __name__ == "__main__":
    harness.main()
