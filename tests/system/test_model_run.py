"""eigenscope model run: logits of a described network, compared with numpy, and what it refuses."""
import sys

import numpy as np

import harness

sys.path.insert(0, str(harness.SOURCE / "analysis"))
from convert_checkpoint import read_safetensors, write_safetensors

NET = """\
layers:
  - conv: {name: stem, channels: 4, kernel: 1}
  - batch_norm: {name: bn, epsilon: 0.5}
  - layer_scale: {name: scale, tensors: {weight: gamma}}
  - conv: {name: head, channels: classes, kernel: 1, from: scale}
  - relu
  - adaptive_avg_pool
"""
FILES = ["net.yaml", "w.safetensors", "x.safetensors"]

class Run(harness.Case):
    def setUp(self):
        super().setUp()
        random = np.random.RandomState(1)
        self.tensors = {"stem.weight": random.normal(size=(4, 3, 1, 1)), "stem.bias": random.normal(size=4),
                        "bn.weight": random.normal(size=4), "bn.bias": random.normal(size=4),
                        "bn.running_mean": random.normal(size=4), "bn.running_var": random.uniform(0.1, 2, 4),
                        "gamma": random.normal(size=(4, 1, 1)),
                        "head.weight": random.normal(size=(3, 4, 1, 1)), "head.bias": random.normal(size=3)}
        self.tensors = {name: value.astype("f4") for name, value in self.tensors.items()}
        self.images = random.normal(size=(150, 3, 6, 6)).astype("f4")
        self.write("net.yaml", NET)
        write_safetensors(self.folder / "w.safetensors", self.tensors)
        write_safetensors(self.folder / "x.safetensors", {"images": self.images})

    def expected(self):
        t = {name: value.astype("f8") for name, value in self.tensors.items()}
        x = self.images.transpose(0, 2, 3, 1).astype("f8") @ t["stem.weight"][:, :, 0, 0].T + t["stem.bias"]
        x = (x - t["bn.running_mean"]) / np.sqrt(t["bn.running_var"] + 0.5) * t["bn.weight"] + t["bn.bias"]
        x = x * t["gamma"].ravel() @ t["head.weight"][:, :, 0, 0].T + t["head.bias"]
        return np.maximum(x, 0).mean((1, 2))

    def refuse(self, message, *arguments):
        done = self.run_program("model", "run", *(arguments or [*FILES, "--to", "y.safetensors"]), expect=1)
        self.assertEqual(done.stdout, "")
        self.assertIn(message, done.stderr)
        self.assertFalse((self.folder / "y.safetensors").exists())

    def test_logits(self):
        self.run_program("model", "run", *FILES, "--to", "y.safetensors")
        found = read_safetensors(self.folder / "y.safetensors")[0]
        self.assertEqual(list(found), ["logits"])
        np.testing.assert_allclose(found["logits"], self.expected(), rtol=0, atol=1e-5)

    def test_refusals(self):
        self.refuse("--to is missing", *FILES)
        for images in (self.images[:, :2], self.images[:, :, :4], self.images.astype("f8"), self.images[0]):
            write_safetensors(self.folder / "x.safetensors", {"images": np.ascontiguousarray(images)})
            self.refuse("x.safetensors: needs a tensor images of dtype F32 with the shape N x 3 x H x H")
        write_safetensors(self.folder / "x.safetensors", {"images": self.images})
        (self.folder / "w.safetensors").unlink()
        self.refuse("w.safetensors")
        self.write("net.yaml", NET.replace("  - relu\n", "  - rely\n"))
        self.refuse("net.yaml:6: ")
        self.write("net.yaml", NET.replace("kernel: 1, from: scale", "kernel: 7, from: scale"))
        write_safetensors(self.folder / "w.safetensors", self.tensors)
        self.refuse("would reduce an image of 6 x 6 to nothing")
        self.write("y.safetensors.txt", "mine")
        self.run_program("model", "run", *FILES, "--to", "y.safetensors.txt", expect=1)

    def test_weights_of_another_network(self):
        for change in ({"extra": np.zeros(3, "f4")}, {"stem.bias": None}, {"bn.weight": np.zeros(5, "f4")},
                       {"head.weight": np.zeros((3, 4, 3, 3), "f4")}):
            tensors = {name: value for name, value in {**self.tensors, **change}.items() if value is not None}
            write_safetensors(self.folder / "w.safetensors", tensors)
            self.refuse(f"w.safetensors: does not fit the network; tensors that do not fit: 1:  {next(iter(change))}: ")

class Command(harness.Case):
    def test_words(self):
        self.assertIn("needs", self.run_program("model", "walk", expect=1).stderr)
        self.assertIn("eigenscope model run DESCRIPTION.yaml", self.run_program("model", "--help").stdout)

if __name__ == "__main__":
    harness.main()
