"""measure.kinds: norms, activations and blocks are layers. Their eigenvalues equal PyTorch's, other layers keep their bits, and
probes, projections and eigenspaces treat all layers alike."""
import json
import math

import h5py
import numpy as np

import harness
import results

NETWORKS = harness.FIXTURES / "torch" / "networks"
GOLDEN = f"""\
name: golden
source: checkpoint
checkpoints: {{files: "{NETWORKS}/{{model}}-{{width}}.safetensors"}}
grid:
  - {{dataset: images, model: [basic, bottleneck, vgg], width: 1/32}}
  - {{dataset: images, model: mobile, width: 1/16}}
models: {{basic: {{resnet: 18}}, bottleneck: {{resnet: 50}}, mobile: {{mobilenet: v2}}, vgg: {{vgg: vgg11}}}}
datasets: {{images: {{format: hdf5, path: images.h5, normalize: {{mean: [0.5], std: [0.25]}}}}}}
measure: {{splits: eval, kinds: [norm, activation, block]}}
"""
# One batch is shorter than the others; block 2 has a downsampling branch.
RUN = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, width: 1/8}
models: {tiny: {resnet: [1, 1]}, plain: {vgg: [32, M, 48, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 20}}
train: {epochs: 3, batch: 32, learning_rate: 0.05}
measure: {delta: [0.9, 1.0], kinds: [conv, linear, block, activation, norm], projection: true, eigenspace: true}
probe: {epochs: last, samples: 40}
"""
DEFAULT = ["measure.kinds=[conv, linear]"]
KINDS = {"conv1": "conv", "bn1": "norm", "relu": "activation", "layer1.0.conv1": "conv", "layer1.0.bn1": "norm",
         "layer1.0.relu": "activation", "layer1.0.conv2": "conv", "layer1.0.bn2": "norm", "layer1.0": "block",
         "layer2.0.conv1": "conv", "layer2.0.bn1": "norm", "layer2.0.relu": "activation", "layer2.0.conv2": "conv",
         "layer2.0.bn2": "norm", "layer2.0.downsample.0": "conv", "layer2.0.downsample.1": "norm", "layer2.0": "block",
         "fc": "linear"}
TOKENS = """\
name: v
output: out
grid: {dataset: images, model: vit, resolution: 16}
models:
  vit:
    layers:
      - conv: {name: conv_proj, channels: 12, kernel: 4, stride: 4}
      - tokens
      - class_token: {name: class}
      - position: {name: pos}
      - scope:
          name: encoder.layers.0
          layers:
            - residual: {layers: [{layer_norm: {name: ln_1}}, {self_attention: {name: self_attention, heads: 3}}]}
            - residual: {name: add_1, layers: [{layer_norm: {name: ln_2}}, {linear: {name: mlp.0, features: 20}}, {gelu: {name: mlp.1}},
                                               {linear: {name: mlp.3, features: 12}}]}
      - parallel: {name: cat, join: concat, branches: [[{pick: {token: 0}}], [{pick: {token: 1}}], [{pick: {token: 16}}]]}
      - linear: {name: head, features: classes}
datasets: {images: {format: hdf5, path: images.h5, normalize: {mean: [0.5], std: [0.25]}}}
train: {epochs: 1, batch: 32, optimizer: adam, learning_rate: 0.003}
measure: {kinds: [conv, linear, block, attention, activation, norm], delta: [0.9, 1.0]}
"""
EVAL = 1


class Golden(results.Case):
    job = GOLDEN

    def setUp(self):
        super().setUp()
        images, _ = results.read_safetensors(NETWORKS / "images.safetensors")
        with h5py.File(self.folder / "images.h5", "w") as file:
            for split in ("train", "eval"):
                file[f"{split}/images"], file[f"{split}/labels"] = images["images"], images["labels"]

    def compare(self, method, **options):
        """Returns the names {case/name} that equal PyTorch."""
        golden, _ = results.read_safetensors(NETWORKS / "kinds.safetensors")
        checked = set()
        self.run_job("--quiet", **options)
        for path in self.points(options.get("output", "out")).values():
            with h5py.File(path) as file:
                case = f"{file.attrs['model']}-{file.attrs['width']:g}"
                for i, (name, width) in enumerate(zip(file["layer"].asstr(), file["layer_width"])):
                    truth = golden.get(f"{case}/{method}/{name}")
                    if truth is None and method != "channelwise":
                        continue  # of the head, which has one position
                    self.assertEqual(len(truth), width, f"{case} {name}")
                    error = np.abs(file["eigenvalues"][EVAL, 0, i, :width] - truth).max()
                    self.assertLessEqual(error, 1e-5 * truth[0], f"{case} {name}")
                    checked.add(f"{case}/{method}/{name}")
        return checked, set(golden)

    def test_every_output(self):
        found, all_of_torch = self.compare("channelwise", ranks=2)
        missing = {name for name in all_of_torch if "/channelwise/" in name} - found
        # The last ReLU of a block is the block.
        self.assertEqual({name.rsplit(".", 1)[1] for name in missing}, {"relu_1", "relu_2"})
        # Without blocks, it is an activation.
        activations, _ = self.compare("channelwise", output="activations", sets=["measure.kinds=activation"])
        self.assertLessEqual(missing, activations)
        self.assertFalse(any("bn" in name for name in activations))

    def test_positions(self):
        for method in ("first", "last"):
            found, _ = self.compare(method, output=method, sets=[f"measure.method={method}", "grid=[{dataset: images, model: basic, "
                                                                 "width: 1/32}]"])
            self.assertGreater(len(found), 30)


class Runs(results.Case):
    job = RUN

    def setUp(self):
        super().setUp()
        self.use_whole()

    def test_layers(self):
        path, = self.points("whole").values()
        values = results.variables(path)
        with h5py.File(path) as file:
            self.assertEqual(dict(zip(file["layer"].asstr(), file["layer_kind"].asstr())), KINDS)
        names = list(KINDS)
        block = names.index("layer2.0")
        self.assertEqual([values[f"layer_{name}"][block] for name in ("width", "parameters", "macs", "receptive_field", "stride")],
                         [16, 0, 0, 13, 2])
        self.assertEqual(values["layer_parameters"][names.index("bn1")], 16)
        self.assertEqual(values["layer_output"].tolist(), [name == "fc" for name in names])
        self.assertEqual(values["layer_border"].tolist(), [name == "fc" for name in names])
        self.assertFalse(np.isnan(values["probe_accuracy"]).any())
        self.assertFalse(np.isnan(values["eigenspace_overlap"][0, EVAL, 1:]).any())
        # A projection onto all directions changes nothing.
        projected = values["projected_accuracy"]
        self.assertFalse(np.isnan(projected).any())
        self.assertTrue((projected[0, :, 1] == values["accuracy"][EVAL, -1]).all())
        # A ReLU after a norm has other directions than the norm; rows of both are the same positions.
        relu, norm = (values["eigenvalues"][EVAL, -1, names.index(name)] for name in ("relu", "bn1"))
        self.assertGreater(np.nansum(norm), np.nansum(relu))

    def test_other_layers_keep_their_bits(self):
        for model in ("tiny", "plain"):
            for precision in ("float32", "bfloat16"):
                sets = [f"grid.model={model}", f"train.precision={precision}", "measure.projection=false", "probe.epochs=none"]
                outputs = [f"{model}-{precision}", f"{model}-{precision}-default"]
                for output, more in zip(outputs, ([], DEFAULT)):
                    self.run_job("--quiet", output=output, sets=sets + more)
                kinds, default = (next(iter(self.points(output).values())) for output in outputs)
                self.compare(kinds, default)
                tensors = [results.read_safetensors(next((self.folder / output / "checkpoints").iterdir()))[0] for output in outputs]
                self.assertEqual(results.different(*tensors), [])

    def compare(self, kinds, default):
        """Checks that variables of the layers of `default` have equal bits in `kinds`."""
        with h5py.File(kinds) as one, h5py.File(default) as other:
            names = list(one["layer"].asstr())
            at = [names.index(name) for name in other["layer"].asstr()]
            for name, variable in other.items():
                if name in ("layer", "seconds", "layer_tail") or name.startswith("stability"):
                    continue  # the tail and stability are of all layers
                values = one[name][()]
                for axis, dimension in enumerate(variable.dims):
                    if len(dimension) and dimension[0].name == "/layer":
                        values = values.take(at, axis)
                self.assertTrue(results.same_bits(values, variable[()]), name)

    def test_same_bits_on_ranks_and_after_a_kill(self):
        self.run_job("--quiet", "--ranks-per-point", 2, output="two", ranks=2)
        self.assert_same("whole", "two")
        process = self.start_job()

        def has_state():
            return any((self.folder / "out" / "state").glob("*.safetensors"))
        self.wait_for(has_state, process)
        for pid in results.session_of(process.pid):
            self.kill(pid)
        process.communicate()
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        self.assert_same("whole", "out")

    def test_chosen_by_name(self):
        self.run_job("--quiet", output="blocks", sets=["measure.kinds=[block, norm]", "measure.layers=[layer*.0, layer2.*]",
                                                      "measure.projection=false"])
        path, = self.points("blocks").values()
        with h5py.File(path) as file:
            self.assertEqual(list(file["layer"].asstr()), ["layer1.0", "layer2.0.bn1", "layer2.0.bn2", "layer2.0.downsample.1", "layer2.0"])
            self.assertFalse(file["layer_output"][()].any())
        self.assertIn("mean of hidden", self.run_program("show", path).stdout)

    def test_refused(self):
        for sets, message in (
                (["measure.kinds=attention"], "the network has no output of the kinds in measure.kinds; it has conv, linear, block, "
                                              "activation, norm"),
                (["measure.kinds=block", "measure.layers=[conv*]"], "no output of the kinds in measure.kinds matches measure.layers")):
            options = [word for value in sets for word in ("--set", value)]
            done = self.run_program("plan", "job.yaml", *options, expect=1)
            self.assertIn(f"job.yaml:3: {message} (model tiny, width 1/8, resolution 32)", done.stderr)

    def test_names_of_joins(self):
        """A join has the name of its module only if nothing in the module comes later; parts of a join are no blocks."""
        self.write("own.yaml", RUN.replace("tiny: {resnet: [1, 1]}", """tiny: {layers: [
            {conv: {name: stem, channels: 8, kernel: 3, padding: 1}},
            {scope: {name: dense, layers: [
              {parallel: {join: concat, branches: [[relu], [tanh], [{conv: {channels: 8, kernel: 1}}]]}},
              {conv: {name: last, channels: 8, kernel: 1}},
              {residual: {name: named, layers: [silu]}}]}},
            {scope: {name: gate, layers: [{parallel: {join: product, branches: [[], [adaptive_avg_pool, sigmoid]]}}, relu]}},
            {sum: {from: [gate, dense.named]}},
            adaptive_avg_pool, {linear: {name: fc, features: classes}}]}"""))
        self.run_program("run", "own.yaml", "--quiet", "--output", "own", "--set", "measure.kinds=block", "--set", "train.epochs=1")
        path, = self.points("own").values()
        with h5py.File(path) as file:
            self.assertEqual(list(file["layer"].asstr()), ["dense.cat", "dense.named", "gate", "0"])

    def test_forecast(self):
        def plan(*sets):
            options = [word for value in sets for word in ("--set", value)]
            return self.run_program("plan", "job.yaml", "--format", "json", *options).stdout
        kinds, default = (json.loads(plan(*sets))["points"][0] for sets in ([], DEFAULT))
        self.assertGreater(kinds["macs"], default["macs"])
        self.assertGreater(kinds["bytes_per_rank"], default["bytes_per_rank"])


def layer_norm(x, weights, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def forward(images, weights):
    """{layer: output (sample, token, feature)} of the network in TOKENS, in float64."""
    error_function = np.vectorize(math.erf)
    patches = ((images / 255 - 0.5) / 0.25).reshape(-1, 4, 4, 4, 4, 3).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 16, 48)
    out = {"conv_proj": patches @ weights["conv_proj.weight"].reshape(12, 48).T + weights["conv_proj.bias"]}
    first = np.broadcast_to(weights["class.class_token"], (len(images), 1, 12))
    x = np.concatenate([first, out["conv_proj"]], 1) + weights["pos.pos_embedding"]
    scope = "encoder.layers.0."

    def add(name, value):
        out[scope + name] = value
        return value

    qkv = add("self_attention.in_proj", add("ln_1", layer_norm(x, weights, scope + "ln_1"))
              @ weights[scope + "self_attention.in_proj_weight"].T + weights[scope + "self_attention.in_proj_bias"])
    q, k, v = (qkv[..., 12 * i:12 * i + 12].reshape(-1, 17, 3, 4).transpose(0, 2, 1, 3) for i in range(3))
    scores = np.exp(q @ k.transpose(0, 1, 3, 2) / 2)
    attention = add("self_attention.attention", (scores / scores.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(-1, 17, 12))
    projected = add("self_attention.out_proj", attention @ weights[scope + "self_attention.out_proj.weight"].T
                    + weights[scope + "self_attention.out_proj.bias"])
    x = add("add", x + projected)
    y = add("ln_2", layer_norm(x, weights, scope + "ln_2"))
    y = add("mlp.0", y @ weights[scope + "mlp.0.weight"].T + weights[scope + "mlp.0.bias"])
    y = add("mlp.1", y * (1 + error_function(y / np.sqrt(2))) / 2)
    out["encoder.layers.0"] = x + add("mlp.3", y @ weights[scope + "mlp.3.weight"].T + weights[scope + "mlp.3.bias"])
    out["cat"] = out["encoder.layers.0"][:, [0, 1, 16]].reshape(-1, 1, 36)
    out["head"] = out["cat"] @ weights["head.weight"].T + weights["head.bias"]
    return out


METHODS = {"channelwise": lambda x: x.reshape(-1, x.shape[2]),
           "first": lambda x: x[:, 0],
           "last": lambda x: x[:, -1],
           "mean": lambda x: x.mean(1),
           "max": lambda x: x.max(1),
           "median": lambda x: np.sort(x, 1)[:, (x.shape[1] - 1) // 2]}


class Tokens(results.Case):
    job = TOKENS

    def setUp(self):
        super().setUp()
        images, _ = results.read_safetensors(NETWORKS / "images.safetensors")
        self.images = images["small"]
        with h5py.File(self.folder / "images.h5", "w") as file:
            for split in ("train", "eval"):
                file[f"{split}/images"], file[f"{split}/labels"] = self.images, images["labels"]

    def test_every_method(self):
        trained = set()
        for method, rows in METHODS.items():
            self.run_job("--quiet", output=method, sets=[f"measure.method={method}"], ranks=2 if method == "first" else 0)
            weights, _ = results.read_safetensors(next((self.folder / method / "checkpoints").iterdir()))
            trained.add(b"".join(weights[name].tobytes() for name in sorted(weights)))
            truth = forward(self.images, {name: value.astype(float) for name, value in weights.items()})
            path, = self.points(method).values()
            with h5py.File(path) as file:
                self.assertEqual(list(file["layer"].asstr()), list(truth))
                for i, (name, output) in enumerate(truth.items()):
                    matrix = rows(output)
                    self.assertEqual(file["samples"][EVAL, 1, i], len(matrix))
                    values = np.linalg.eigvalsh(np.cov(matrix.T, bias=True))[::-1]
                    found = file["eigenvalues"][EVAL, 1, i, :matrix.shape[1]]
                    allowed = 1e-5 * values[0] + 1e-12  # the class token is constant before attention
                    self.assertLessEqual(np.abs(found - values).max(), allowed, f"{method} {name}")
        self.assertEqual(len(trained), 1)

    def test_weights_do_not_depend_on_what_is_measured(self):
        """A point of another job finds the weights, whose kinds are others."""
        self.run_job("--quiet")
        self.write("again.yaml", TOKENS.replace("name: v", "name: again\nsource: checkpoint\ncheckpoints: {from: out}")
                   .replace("kinds: [conv, linear, block, attention, activation, norm]", "kinds: block"))
        self.run_program("run", "again.yaml", "--output", "again", "--quiet")
        (one,), (other,) = self.points().values(), self.points("again").values()
        with h5py.File(one) as trained, h5py.File(other) as again:
            names = list(again["layer"].asstr())
            self.assertEqual(names, ["encoder.layers.0.add", "encoder.layers.0", "cat"])
            at = [list(trained["layer"].asstr()).index(name) for name in names]
            width = again["eigenvalues"].shape[3]
            self.assertTrue(results.same_bits(again["eigenvalues"][EVAL, 0], trained["eigenvalues"][EVAL, 1][at][:, :width]))


if __name__ == "__main__":
    harness.main()
