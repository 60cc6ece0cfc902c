"""Networks by name: what PyTorch says of them (tests/fixtures/torch/families.json, made by make_families.py), their numbers as axes, and
their place in jobs."""
import hashlib
import json
import os
import unittest

import h5py
import numpy as np

import harness
import results

FIXTURE = os.path.join(harness.SOURCE, "tests/fixtures/torch/families.json")
GRID = "name: families\ngrid: {{dataset: shapes, model: {models}, width: {width}{axes}}}\n{more}" \
       "datasets: {{shapes: {{format: synthetic, classes: 3, size: {size}, train: 12, eval: 6}}}}\ntrain: {{epochs: 1, batch: 6}}\n"


def squeezed(shape):
    return "x".join(str(n) for n in shape if n != 1) or "1"


def digest(lines):
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


class Families(results.Case):
    job = ""

    def make(self, models, width="1", axes="", more="", size=32):
        return self.write("job.yaml", GRID.format(models=models, width=width, axes=axes, more=more, size=size))

    def show(self, *arguments):
        return json.loads(self.run_program("model", "show", *arguments, "--format", "json").stdout)

    def test_networks_are_those_of_pytorch(self):
        """Parameters, names and shapes of tensors, and shapes of outputs of each named network at width 1."""
        with open(FIXTURE, encoding="utf-8") as file:
            golden = json.load(file)
        options = ["--classes", str(golden["classes"]), "--resolution", str(golden["resolution"])]
        for name, row in golden["networks"].items():
            network = name
            if "model" in row:
                network = self.make("net", more=f"models: {{net: {row['model']}}}\n")
            with self.subTest(network=name):
                found = self.show(network, *options)
                self.assertEqual(found["parameters"], row["parameters"])
                layers = found["layers"]
                tensors = [f"{t['name']} {squeezed(t['shape'])}" for layer in layers for t in layer["tensors"]
                           if not t["name"].endswith(("running_mean", "running_var"))]
                self.assertEqual(digest(tensors), row["tensors"])
                outputs = [f"{layer['name']} {squeezed(layer['output'])}" for layer in layers
                           if layer["operation"].split()[0] in ("conv", "linear") and not layer["name"].endswith(("in_proj", "out_proj"))]
                self.assertEqual(digest(outputs), row["outputs"])

    def test_every_name_is_listed_and_compared(self):
        listed = [row["name"] for row in json.loads(self.run_program("model", "list", "--format", "json").stdout)]
        self.assertEqual(len(listed), len(set(listed)))
        with open(FIXTURE, encoding="utf-8") as file:
            golden = json.load(file)["networks"]
        built_in = {"vgg11", "vgg13", "vgg16", "vgg19", "mlp", "resnet18", "resnet34", "resnet50", "mobilenet_v2"}  # test_networks.py
        self.assertEqual(set(listed) - built_in, set(golden))
        table = self.run_program("model", "list", "densenet").stdout
        self.assertEqual([line.split()[0] for line in table.splitlines()[1:]], ["densenet121", "densenet161", "densenet169", "densenet201"])

    def test_named_networks_run(self):
        """Networks by name, changed ones and numbers as axes train; their results have equal bits on one and two ranks, and are known
        again by the job that each result contains."""
        self.make("[mobilenet_v3_small, small]", "1/8", size=16,
                 more="models: {small: {base: resnet_basic, parameters: {blocks3: 0, blocks4: 0, plain2: 1, stem_kernel: 3, stem_stride: 1}}}\n")
        self.use_whole()
        found = {}
        for path in self.points("whole").values():
            with h5py.File(path) as file:
                found[file.attrs["model"]] = len(file["layer"])
                self.assertTrue(np.isfinite(file["loss"][:, 1:]).all())
                self.write("again.yaml", file.attrs["job"])
            self.assertIn("1 complete", self.run_program("status", "again.yaml", "--output", "whole").stdout)
        self.assertEqual(found, {"mobilenet_v3_small": 54, "small": 10})
        self.run_job("--quiet", "--ranks-per-point", 2, output="two", ranks=2)
        self.assert_same("whole", "two")

    def test_numbers_are_axes(self):
        self.make("vgg_11", "1/16", ", model.kernel: [3, 5], model.blocks5: [0, 2]")
        plan = json.loads(self.run_program("plan", "job.yaml", "--format", "json").stdout)
        self.assertEqual(len({point["id"] for point in plan["points"]}), 4)

    def test_near_names(self):
        for word, end in (("densnet121", "is no file and no model; did you mean densenet121?"), ("efficientnet", "did you mean efficientnet_b0?"),
                          ("convolutional", "is no file and no model; eigenscope model list names the models")):
            self.assertIn(f"eigenscope: {word}: ", done := self.run_program("model", "show", word, expect=1).stderr)
            self.assertIn(end, done)
        self.assertIn("no model has xyz in its name", self.run_program("model", "list", "xyz", expect=1).stderr)
        self.assertIn("name or description; did you mean densenet?\n", self.run_program("model", "list", "densnet", expect=1).stderr)


if __name__ == "__main__":
    unittest.main()
