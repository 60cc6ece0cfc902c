"""Networks that a job describes, from the description to results: equal bits on any number of ranks and after an
interruption, parameters as axes, the resolved job that a result stores, weights in files, messages, and `model show`."""
import json
import re

import h5py
import numpy as np

import harness
import results

NET = """\
parameters: {depth: 1, wide: 8}
layers:
  - conv: {name: stem, channels: wide, kernel: 3, padding: 1, bias: false}
  - batch_norm: {name: norm}
  - relu
  - repeat:
      times: depth
      layers:
        - scope:
            name: "blocks.{i}"
            layers:
              - residual:
                  layers:
                    - conv: {name: conv1, channels: wide, kernel: 3, padding: same, groups: channels}
                    - hard_swish
                    - conv: {name: conv2, channels: wide, kernel: 1}
  - parallel: {join: concat, branches: [[max_pool: {kernel: 2}], [avg_pool: {kernel: 2}]]}
  - adaptive_avg_pool: {size: 2}
  - dropout: {rate: 0.1}
  - linear: {name: head, features: classes}
"""


class Described(results.Case):
    job = """\
name: t
grid: {dataset: shapes, model: [net, tokens], width: [1/2, 1], resolution: 16}
models:
  net: {file: net.yaml}
  tokens:
    layers:
      - conv: {name: patch, channels: 8, kernel: 4, stride: 4}
      - tokens
      - class_token: {name: cls}
      - position: {name: place}
      - residual: {layers: [layer_norm: {name: ln}, self_attention: {name: heads, heads: 2}]}
      - pick
      - linear: {name: head, features: classes}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 80, eval: 20}}
train: {epochs: 2, batch: 24, learning_rate: 0.02}
"""

    def setUp(self):
        super().setUp()
        self.write("net.yaml", NET)

    def test_run(self):
        self.use_whole()
        layers = {}
        for path in self.points("whole").values():
            with h5py.File(path) as file:
                names = [str(name) for name in file["layer"].asstr()]
                layers[file.attrs["model"]] = names
                self.assertTrue(np.isfinite(file["loss"][:, 1:]).all())
                self.write(f"resolved-{file.attrs['model']}.yaml", file.attrs["job"])
        self.assertEqual(layers["net"], ["stem", "blocks.0.conv1", "blocks.0.conv2", "head"])
        self.assertEqual(layers["tokens"], ["patch", "heads.in_proj", "heads.out_proj", "head"])
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=str(ranks), ranks=ranks)
            self.assert_same("whole", str(ranks))
        # A result needs no other file: its own job describes the network.
        (self.folder / "net.yaml").unlink()
        for model in layers:
            self.run_program("status", f"resolved-{model}.yaml", "--output", "whole")
        self.run_program("show", next(iter(self.points("whole").values())))

    def test_stops_and_goes_on(self):
        self.use_whole()
        done = self.run_job("--quiet", "--max-time", "1", output="stopped", expect=None)
        self.assertIn(done.returncode, (0, 3), done.stderr)
        self.run_job("--quiet", output="stopped")
        self.assert_same("whole", "stopped")

    def test_parameters(self):
        sets = ("grid.model=net", "grid.width=1", "grid.model.depth=[1, 2, 3]", "train.epochs=1")
        self.run_job("--quiet", sets=sets)
        found = {}
        for path in self.points().values():
            with h5py.File(path) as file:
                found[int(file.attrs["model_depth"])] = len(file["layer"])
                self.assertIn("model_depth", file.attrs["axes"].split())
        self.assertEqual(found, {1: 4, 2: 6, 3: 8})
        # The default is one of the values: a job without the axis has this point.
        fewer = [word for value in (*sets[:2], sets[3]) for word in ("--set", value)]
        self.assertIn("1 complete", self.run_program("status", "job.yaml", "--output", "out", *fewer).stdout)
        words = [word for value in sets for word in ("--set", value)]
        self.run_program("merge", "job.yaml", "--output", "out", *words, "--to", "all.h5")
        self.assertEqual(list(results.variables(self.folder / "all.h5")["model_depth"]), [1, 2, 3])

    def test_one_id_for_one_graph(self):
        """Written out, in the job, under another name: one id. Another kernel: another id."""
        def ids(text):
            self.write("other.yaml", text)
            plan = json.loads(self.run_program("plan", "other.yaml", "--format", "json").stdout)
            return [point["id"] for point in plan["points"]]
        head = ("name: t\ngrid: {dataset: shapes, model: NAME}\n"
                "datasets: {shapes: {format: synthetic, classes: 3, size: 16, train: 80, eval: 20}}\nmodels: {NAME: ")
        conv = "conv: {name: a.IT, channels: 8, kernel: 3, padding: 1}"
        tail = ", linear: {features: classes}]}}\n"
        repeated = ids(head.replace("NAME", "a") + "{layers: [repeat: {times: 2, layers: [" + conv.replace("a.IT", '"a.{i}"') + "]}" + tail)
        written = ids(head.replace("NAME", "b") + "{layers: [" + conv.replace("IT", "0") + ", " + conv.replace("IT", "1") + tail)
        self.write("n.yaml", "layers: [" + conv.replace("IT", "0") + ", " + conv.replace("IT", "1") + ", linear: {features: classes}]\n")
        self.assertEqual(repeated, written)
        self.assertEqual(ids(head.replace("NAME", "c") + "{file: n.yaml}}\n"), written)
        other = ids(head.replace("NAME", "b") + "{layers: [" + conv.replace("IT", "0") + ", "
                    + conv.replace("IT", "1").replace("kernel: 3, padding: 1", "kernel: 1") + tail)
        self.assertNotEqual(other, written)

    def test_weights(self):
        """Weights of described networks in files: width and classes from their shapes; one sentence if they do not fit."""
        self.use_whole()
        weights = {}
        for path in self.points("whole").values():
            with h5py.File(path) as file:
                weights[file.attrs["model"], float(file.attrs["width"])] = self.folder / "whole/checkpoints" / f"{path.stem}.safetensors"
        self.write("w.yaml", "name: w\nsource: checkpoint\ncheckpoints: {files: " + str(weights["net", 0.5]) + "}\n"
                   "grid: {dataset: shapes, model: net, resolution: 16}\nmodels: {net: {file: net.yaml}}\n"
                   "datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 80, eval: 20}}\n")
        done = self.run_program("run", "w.yaml", "--output", "w")
        self.assertIn("width 1/2 (from the files), classes 3 (from the files)", done.stdout)
        self.write("net.yaml", NET.replace("depth: 1", "depth: 2"))
        done = self.run_program("run", "w.yaml", "--output", "w2", expect=1)
        self.assertEqual(done.stderr.splitlines()[0],
                         f"{weights['net', 0.5]} does not fit model net at width 1/2 with 3 classes: it lacks 4 tensors (the first is "
                         f"blocks.1.conv1.weight); eigenscope checkpoint import {weights['net', 0.5]} w.yaml lists them")
        self.assertFalse(list((self.folder / "w2").rglob("*.h5")))
        self.write("net.yaml", NET.replace("bias: false", "bias: true").replace("name: norm", "name: other").replace("[max_pool", "[relu, max_pool"))
        done = self.run_program("plan", "w.yaml", expect=1)
        self.assertIn("it lacks 5 tensors (the first is stem.bias), has 4 that the network lacks (the first is norm.weight); ", done.stderr)
        done = self.run_program("checkpoint", "import", weights["net", 1.0], "w.yaml", expect=1)
        self.assertIn("norm.weight: 8, but the network has no tensor with this name", done.stdout + done.stderr)
        done = self.run_program("checkpoint", "import", weights["tokens", 1.0], "w.yaml", expect=1)
        self.assertIn("the file has no weights of the layers of model net", done.stdout + done.stderr)

    def test_messages(self):
        """All faults at once, each with its file and line."""
        self.write("net.yaml", NET.replace("relu", "rellu").replace("kernel: 1}", "kernal: 1}"))
        done = self.run_program("plan", "job.yaml", expect=1)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 2, done.stderr)
        self.assertRegex(lines[0], r'^eigenscope: \S+/net\.yaml:5: unknown operation "rellu"; did you mean "relu"\?$')
        self.assertRegex(lines[1], r'^eigenscope: \S+/net\.yaml:16: conv has no setting "kernal"; did you mean "kernel"\?$')
        self.write("net.yaml", NET.replace("kernel: 3, padding: same", "kernel: 3, stride: 2, padding: same"))
        done = self.run_program("plan", "job.yaml", expect=1)
        self.assertRegex(done.stderr, r"^eigenscope: \S+/net\.yaml:12: layer blocks\.0\.add joins outputs of 16 x 16 x 4 and 8 x 8 x 4 "
                                      r"\(height, width, channels\), which do not meet \(model net, width 1/2, resolution 16\)\n")
        # If only the width of the job is wrong, the message begins with the line of the width.
        self.write("net.yaml", NET)
        done = self.run_program("plan", "job.yaml", "--set", "grid.width=1/64", expect=1)
        self.assertRegex(done.stderr, r"job\.yaml:2: \S+/net\.yaml:3: layer stem would have no channels \(8 at width 1\); use a larger width")
        # In a description of eigenscope's own, the parameters of the job are at fault: their line comes first.
        self.write("based.yaml", "name: t\ngrid: {dataset: shapes, model: mine, resolution: 16}\nmodels:\n  mine:\n    base: resnet_basic\n"
                   "    parameters: {blocks4: -1}\ndatasets: {shapes: {format: synthetic, classes: 3, size: 16, train: 80, eval: 20}}\n")
        done = self.run_program("plan", "based.yaml", expect=1)
        self.assertRegex(done.stderr, r"^eigenscope: based\.yaml:6: models/resnet_basic\.yaml:\d+: repeat\.times must be a whole number from 0 to 4096, "
                                      r"not -1 \(model mine, width 1, resolution 16\)\n")
        done = self.run_program("run", "job.yaml", "--set", "models.net.file=absent.yaml", ranks=2, expect=1)
        self.assertIn("models.net.file: ", done.stderr)
        self.assertIn("absent.yaml: cannot be read: No such file or directory", done.stderr)

    def test_show(self):
        table = self.run_program("model", "show", "job.yaml", "net", "--width", "1").stdout
        self.assertIn("net: width 1, 3 classes, images of 16 x 16\n", table)
        self.assertRegex(table, r"\nblocks\.0\.conv1 +conv 3 x 3, 8 groups +16 x 16 x 8 +80 +18432 +5\n")
        self.assertRegex(table, r"\nparameters +579 ")
        self.assertIn("net: width 1/4, 10 classes, images of 32 x 32\n", self.run_program("model", "show", "net.yaml", "--width", "1/4").stdout)
        shown = json.loads(self.run_program("model", "show", "net.yaml", "--classes", 3, "--resolution", 16, "--format", "json").stdout)
        self.assertEqual(sum(layer["parameters"] for layer in shown["layers"]), shown["parameters"])
        self.assertEqual(sum(layer["multiply_adds"] for layer in shown["layers"]), shown["multiply_adds"])
        self.assertIsNone(shown["border_layer"])
        self.assertIn("13 operations, 4 convolutions and linear layers\n", table)
        self.assertEqual([layer["name"] for layer in shown["layers"]][:4], ["input", "stem", "norm", "0"])
        self.assertEqual(shown["layers"][2]["tensors"][3], {"name": "norm.running_var", "shape": [8]})
        with h5py.File(self.example()) as file:
            self.assertEqual(shown["parameters"] - 8, sum(file["layer_parameters"][()]) + 8)  # those of the batch norm
        dot = self.run_program("model", "show", "resnet18", "--format", "dot").stdout
        edges = re.findall(r"^  n(\d+) -> n(\d+);$", dot, re.MULTILINE)
        resnet = json.loads(self.run_program("model", "show", "resnet18", "--format", "json").stdout)
        layers = resnet["layers"]
        self.assertEqual(layers[resnet["border_layer"]]["name"], "fc")
        self.assertEqual(sorted(edges), sorted((str(i), str(k)) for k, layer in enumerate(layers) for i in layer["inputs"]))
        for arguments, message in ((("job.yaml",), "the job has several models; name one of net, tokens"),
                                   (("job.yaml", "other"), "no point has the model other; the models are net, tokens"),
                                   (("net.yaml", "--format", "csv"), "--format csv: must be table, json or dot"),
                                   (("net.yaml", "--width", "0"), "--width 0: must be a ratio from 1/64 to 16, as in 1/16, 0.125 or 2"),
                                   (("absent.yaml",), "absent.yaml: cannot be read: No such file or directory")):
            self.assertIn(message, self.run_program("model", "show", *arguments, expect=1).stderr)

    def example(self):
        self.use_whole()
        for path in self.points("whole").values():
            with h5py.File(path) as file:
                if file.attrs["model"] == "net" and file.attrs["width"] == 1:
                    return path
        return None


if __name__ == "__main__":
    harness.main()
