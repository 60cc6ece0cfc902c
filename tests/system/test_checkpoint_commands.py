"""eigenscope checkpoint info|export|import, and analysis/convert_checkpoint.py: weights to PyTorch and back, bit for bit."""
import json
import pathlib
import subprocess
import sys
import unittest
from unittest import mock

import numpy as np

import harness
import results

sys.path.insert(0, str(harness.SOURCE / "analysis"))
import convert_checkpoint
from convert_checkpoint import ConvertError, read_safetensors, write_safetensors

try:
    import torch
except ImportError:
    torch = None

JOB = """\
name: t
grid: {dataset: shapes, model: [mobile, vgg11], width: 1/16, seed: [0, 1]}
models: {mobile: {mobilenet: v2}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 20, eval: 8}}
train: {epochs: 2, batch: 8}
checkpoint: {keep: all}
"""
NO_MPI = {"PATH": "/usr/bin:/bin"}


class Commands(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()

    def checkpoint(self, *arguments, expect=0):
        return self.run_program("checkpoint", *arguments, expect=expect)

    def weights(self, epoch=2):
        return sorted((self.folder / "whole/checkpoints").glob(f"*-{epoch:03}.safetensors"))

    def assert_same_tensors(self, a, b):
        one, other = results.read_safetensors(a)[0], results.read_safetensors(b)[0]
        self.assertEqual(results.different(one, other), [])

    def test_info(self):
        path, *_ = self.weights()
        tensors, metadata = results.read_safetensors(path)
        shown = self.checkpoint("info", path).stdout
        for name, value in tensors.items():
            shape = " x ".join(map(str, value.shape))
            self.assertRegex(shown, rf"(?m)^{name} +{'I64' if value.dtype == np.int64 else 'F32'} +{shape} +{value.nbytes}$")
        for key, value in metadata.items():
            self.assertIn(f"\n{key}: {value}\n", shown)
        self.assertRegex(shown, r"\nnetwork: model (mobilenet_v2|vgg11), width 1/16, 3 classes\n")
        told = json.loads(self.checkpoint("info", path, "--format", "json").stdout)
        self.assertEqual(told["metadata"], metadata)
        self.assertEqual({t["name"]: t["shape"] for t in told["tensors"]}, {k: list(v.shape) for k, v in tensors.items()})
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        self.folder.joinpath("flipped").write_bytes(data)
        self.assertIn("the file is damaged", self.checkpoint("info", "flipped", expect=1).stderr)
        self.folder.joinpath("cut").write_bytes(data[:-1])
        self.assertIn("cut: the file is cut off", self.checkpoint("info", "cut", expect=1).stderr)
        self.folder.joinpath("none").touch()
        self.assertIn("it has 0 bytes, but a safetensors file has at least 8", self.checkpoint("info", "none", expect=1).stderr)

    def test_export(self):
        self.checkpoint("export", "job.yaml", "--output", "whole", "--to", "w/{model}-{width}-{seed}-{epoch:02}.safetensors",
                        "--epochs", "all")
        found = sorted(path.name for path in (self.folder / "w").iterdir())
        self.assertEqual(found, [f"{model}-0.0625-{seed}-{epoch:02}.safetensors" for model in ("mobile", "vgg11")
                                 for seed in (0, 1) for epoch in (0, 1, 2)])
        id_of = {path.stem: path for path in self.points("whole").values()}
        for point in id_of:
            self.checkpoint("export", point, "--output", "whole", "--to", "{id}.safetensors")
            self.assert_same_tensors(self.folder / f"{point}.safetensors", self.folder / f"whole/checkpoints/{point}-002.safetensors")
            self.assertEqual(results.read_safetensors(self.folder / f"{point}.safetensors")[1]["epoch"], "2")
        # Batch norm counts three batches per epoch.
        tensors, _ = results.read_safetensors(self.folder / "w/vgg11-0.0625-0-02.safetensors")
        self.assertEqual(tensors["features.1.num_batches_tracked"], 6)

    def test_export_refuses(self):
        for arguments, words in (
                (("job.yaml", "--output", "whole"), "--to FILE.safetensors is missing"),
                (("job.yaml", "--output", "whole", "--to", "w-{seed}"), "several files would have this name; add {id}"),
                (("job.yaml", "--output", "whole", "--to", "{id}", "--epochs", "1,x"), "--epochs 1,x: must be all, or a list of at most"),
                (("job.yaml", "--output", "whole", "--to", "{id}", "--epochs", "1,5"), "some weights do not exist"),
                (("job.yaml", "--output", "nowhere", "--to", "{id}"), "the folder nowhere/checkpoints does not exist"),
                (("0123456789abcdef", "--to", "a"), "is the id of a result; --output must name the folder of this result"),
                (("0123456789abcdef", "--output", "whole", "--to", "a"), "0123456789abcdef: no weights in whole/checkpoints"),
                (("job.yaml", "--points", "0", "--output", "whole", "--to", "job.yaml"), "exists but is not a safetensors file")):
            self.assertIn(words, self.checkpoint("export", *arguments, expect=1).stderr)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["job.yaml", "whole"])
        self.assertEqual((self.folder / "job.yaml").read_text(), JOB)

    def test_import(self):
        path, *_ = self.weights()
        tensors, _ = results.read_safetensors(path)
        foreign = {f"module.net.{name}": value.astype("f8") if value.ndim else value for name, value in tensors.items()}
        results.write_safetensors(self.folder / "foreign.safetensors", foreign, {"note": "\N{GREEK SMALL LETTER MU}"})
        done = self.checkpoint("import", "foreign.safetensors", "job.yaml", "--strip", "module.net.", "--to", "plain.safetensors")
        self.assertEqual(len(done.stdout.splitlines()), 2)  # both seeds
        self.assertRegex(done.stdout, r"fits point \d: model (mobile|vgg11), width 1/16, 3 classes\n")
        plain, metadata = results.read_safetensors(self.folder / "plain.safetensors")
        self.assertEqual(metadata["imported_from"], "foreign.safetensors")
        self.assertEqual(results.different(plain, {k: v for k, v in tensors.items() if v.ndim}), [])
        self.assertRegex(self.checkpoint("import", "plain.safetensors").stdout, "fits model (mobilenet_v2|vgg11), width 1/16")
        for override, words in (("grid.width=1/8", r"the job says (model: \w+, )?width: 1/8; use (model: \w+, )?width: 1/16\n"),
                                ("grid.model=resnet18", r"the job says model: resnet18; use model: (vgg11|mobilenet_v2)\n")):
            done = self.checkpoint("import", "plain.safetensors", "job.yaml", "--set", override, "--to", "no", expect=1)
            self.assertIn("fits no point of job.yaml; the nearest is point", done.stderr)
            self.assertRegex(done.stderr, words)
        self.assertFalse((self.folder / "no").exists())
        done = self.checkpoint("import", "foreign.safetensors", expect=1)
        self.assertIn("fits no built-in network", done.stderr)

    def convert(self, *arguments, expect=0):
        done = subprocess.run([sys.executable, harness.SOURCE / "analysis/convert_checkpoint.py", *map(str, arguments)],
                              cwd=self.folder, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    @unittest.skipIf(torch is None, "python3-torch is not installed")
    def test_through_pytorch_and_back(self):
        self.checkpoint("export", "job.yaml", "--output", "whole", "--to", "w/{model}-{seed}.safetensors")
        for path in (self.folder / "w").iterdir():
            self.convert(path, "--to", path.with_suffix(".pt"))
            state = torch.load(path.with_suffix(".pt"))
            parameter = torch.nn.Parameter(torch.zeros(3))
            optimizer = torch.optim.SGD([parameter], 0.1, momentum=0.9)
            parameter.sum().backward()
            optimizer.step()
            torch.save({"epoch": 2, "model_state_dict": {f"module.{k}": v for k, v in state.items()},
                        "optimizer_state_dict": optimizer.state_dict()}, self.folder / "run.pt")
            done = self.convert("run.pt", "--to", "again.safetensors")
            self.assertRegex(done.stdout, r"^again.safetensors: \d+ tensors, \d+ parameters from model_state_dict; "
                                          r"removed the prefix module.\n$")
            self.assert_same_tensors(path, self.folder / "again.safetensors")
            self.checkpoint("import", "again.safetensors", "job.yaml", "--to", "own.safetensors")
            own, _ = results.read_safetensors(self.folder / "own.safetensors")
            self.assertEqual(results.different(own, {k: v for k, v in results.read_safetensors(path)[0].items() if v.ndim}), [])

    @unittest.skipIf(torch is None, "python3-torch is not installed")
    def test_one_network_of_several(self):
        """A student, and an averaged teacher with a loss beside the network."""
        path, *_ = self.weights()
        tensors, _ = results.read_safetensors(path)
        state = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
        averaged = {"n_averaged": torch.tensor(2), "module.criterion.weight": torch.zeros(3),
                    **{f"module.net.{k}": v for k, v in state.items()}}
        torch.save({"student": {k: v * 2 for k, v in state.items()}, "teacher": averaged}, self.folder / "run.pt")
        self.assertRegex(self.convert("run.pt", "--to", "no.safetensors", expect=1).stderr,
                         r"^convert_checkpoint: run.pt: the file holds 2 state_dicts; choose one with --key:\n"
                         r"  student  \d+ tensors, .*\n  teacher  ")
        self.assertFalse((self.folder / "no.safetensors").exists())
        self.convert("run.pt", "--to", "taught.safetensors", "--key", "teacher", "--only", "net")
        self.assert_same_tensors(path, self.folder / "taught.safetensors")
        self.convert("run.pt", "--to", "dropped.safetensors", "--key", "teacher", "--drop", "n_averaged", "--drop", "criterion.*")
        self.checkpoint("import", "dropped.safetensors", "job.yaml", "--strip", "net.")

    @unittest.skipIf(torch is None, "python3-torch is not installed")
    def test_strict_load(self):
        """torchvision's own class loads the state_dict of an export."""
        try:
            import torchvision
        except ImportError:
            self.skipTest("python3-torchvision is not installed")
        self.write("job.yaml", JOB.replace("[mobile, vgg11], width: 1/16", "resnet18, width: 1").replace("[0, 1]", "0")
                   .replace("mobile: {mobilenet: v2}", "own: {resnet: 18, stem: imagenet}").replace("resnet18,", "own,")
                   .replace("epochs: 2", "epochs: 1"))
        self.run_program("run", "job.yaml", "--quiet")
        self.checkpoint("export", "job.yaml", "--to", "w.safetensors")
        self.convert("w.safetensors", "--to", "w.pt")
        network = torchvision.models.resnet18(num_classes=3)
        network.load_state_dict(torch.load(self.folder / "w.pt"), strict=True)
        self.assertIn("resnet18, width 1, 3 classes (stem: imagenet)", self.checkpoint("info", "w.safetensors").stdout)


class Converter(harness.Case):
    def test_the_format(self):
        generator = np.random.default_rng(1)
        tensors = {"b": generator.normal(size=(3, 2)), "a": generator.normal(size=5).astype("f4"), "half": np.zeros(3, "f2"),
                   "n": np.array(7), "none": np.zeros((0, 4), "f4"), "flag": np.array([True, False]), "brain": np.array([16256], "u2")}
        write_safetensors(self.folder / "t.safetensors", tensors, {"note": "\N{GREEK SMALL LETTER MU}"}, {"brain": "BF16"})
        again, metadata, dtypes = read_safetensors(self.folder / "t.safetensors")
        self.assertEqual(results.different(tensors, again), [])
        self.assertEqual((metadata, dtypes["brain"], dtypes["n"]), ({"note": "\N{GREEK SMALL LETTER MU}"}, "BF16", "I64"))
        # The program reads it too.
        shown = self.run_program("checkpoint", "info", "t.safetensors").stdout
        for line in (r"b +F64 +3 x 2 +48", r"brain +BF16 +1 +2", r"flag +BOOL +2 +2", r"none +F32 +0 x 4 +0", r"half +F16 +3 +6"):
            self.assertRegex(shown, f"(?m)^{line}$")
        self.assertEqual(list(self.folder.glob("*.part")), [])
        with self.assertRaisesRegex(ConvertError, "complex"):
            write_safetensors(self.folder / "no", {"a": np.zeros(2, "c8")})
        with self.assertRaisesRegex(ConvertError, "cannot be written: No such file"):
            write_safetensors(self.folder / "no/such", tensors)

    def test_files_that_are_none(self):
        for data, words in ((b"", "is empty"), (b"\xff" * 8 + b"{}", "cut off"), (b"\x02" + b"\0" * 7 + b"{x", "not a valid"),
                            (b"\x0f" + b"\0" * 7 + b'{"a":{"b":"c"}}', "not a valid")):
            (self.folder / "bad").write_bytes(data)
            with self.assertRaisesRegex(ConvertError, words):
                read_safetensors(self.folder / "bad")

    def test_one_state_dict(self):
        """Found anywhere; states of optimizers, counters and generators do not count."""
        state = {"fc.weight": np.zeros((2, 3), "f4"), "bn.num_batches_tracked": np.array(3)}
        rest = {"epoch": 3, "best": {"accuracy": np.array(0.5, "f4")}, "rng": {"cpu": np.zeros(5, "u1")}, "empty": {},
                "optimizer": {"state": {0: {"momentum": np.zeros(3, "f4")}}, "param_groups": [{"lr": 0.1}]},
                "optimizer_states": [{"state": {"fc.weight": {"exp_avg": np.zeros(3, "f4")}}, "param_groups": []}]}
        for checkpoint, path in ((state, ""), ({**rest, "net": state}, "net"), ({"a": {"b": state}, **rest}, "a.b"),
                                 ({"models": [state]}, "models.0")):
            self.assertEqual(convert_checkpoint.choose_state(checkpoint), (path, state))
        self.assertEqual(convert_checkpoint.size_of(state), "2 tensors, 6 parameters")
        with self.assertRaisesRegex(ConvertError, "holds no state_dict; it holds: epoch, best, rng, empty, optimizer"):
            convert_checkpoint.choose_state(rest)

    def test_several_state_dicts(self):
        """The converter lists them, and takes none without being told."""
        one, two = {"x": np.zeros(2, "f4")}, {"x": np.ones(3, "f4"), "y": np.ones(1, "f4")}
        for checkpoint, listed in (
                ({"teacher": {"state_dict": two}, "student": {"state_dict": one}},
                 "\n  teacher.state_dict  2 tensors, 4 parameters\n  student.state_dict  1 tensor, 2 parameters"),
                ({"net": one, "ema": {"model": two}}, "\n  net        1 tensor, 2 parameters\n  ema.model  2 tensors, 4 parameters"),
                ({"state_dict": one, "state_dict_ema": two}, "\n  state_dict  "), ({"models": [one, two]}, "\n  models.1  ")):
            with self.assertRaises(ConvertError) as caught:
                convert_checkpoint.choose_state(checkpoint)
            self.assertTrue(str(caught.exception).startswith("the file holds 2 state_dicts; choose one with --key:\n"))
            self.assertIn(listed, str(caught.exception))
        both = {"net": one, "ema": {"model": two, "old": one}}
        self.assertEqual(convert_checkpoint.choose_state(both, "net"), ("net", one))
        self.assertEqual(convert_checkpoint.choose_state(both, "ema.model"), ("ema.model", two))
        self.assertEqual(convert_checkpoint.choose_state({"net": one, "ema": {"model": two}}, "ema"), ("ema.model", two))
        for key, words in (("ema", "there are 2 state_dicts at --key ema; name one of them:\n  ema.model"),
                           ("em", "there is no state_dict at --key em; the file holds:\n  net ")):
            with self.assertRaisesRegex(ConvertError, words):
                convert_checkpoint.choose_state(both, key)
        with self.assertRaisesRegex(ConvertError, "there is no net; the file itself is a state_dict: leave --key out"):
            convert_checkpoint.choose_state(one, "net")

    def test_values_that_are_no_tensors(self):
        """They do not hide a state_dict; they are left out, and named."""
        one, two = {"x": np.zeros(2, "f4")}, {"x": np.ones(3, "f4"), "y": np.ones(1, "f4")}
        for checkpoint, listed in (
                ({"net": {**one, "_extra_state": None}, "ema": two},
                 "\n  net  1 tensor, 2 parameters; left out, because no weights: _extra_state\n  ema  2 tensors, 4 parameters"),
                ({"net": {**one, "version": 3}, "ema": {"model": two}},
                 "\n  net        1 tensor, 2 parameters; left out, because no weights: version\n  ema.model  2 tensors, 4 parameters"),
                ({"net": {**one, "_extra_state": {"scale": np.ones(1, "f4")}}}, "\n  net._extra_state  1 tensor, 1 parameter"),
                ({**one, "epoch": 3, "ema": two},
                 "\n  .    1 tensor, 2 parameters; left out, because no weights: epoch, ema\n  ema  2 tensors, 4 parameters")):
            with self.assertRaises(ConvertError) as caught:
                convert_checkpoint.choose_state(checkpoint)
            self.assertTrue(str(caught.exception).startswith("the file holds 2 state_dicts; choose one with --key:\n"))
            self.assertIn(listed, str(caught.exception))
        self.assertEqual(convert_checkpoint.choose_state(checkpoint, "."), ("", checkpoint))
        self.assertEqual(convert_checkpoint.choose_state(checkpoint, "ema"), ("ema", two))
        nested = {"net": {**one, "ema": two}, "epoch": 3}
        self.assertEqual(convert_checkpoint.choose_state(nested, "net"), ("net", nested["net"]))
        with self.assertRaisesRegex(ConvertError, "there is no state_dict at --key .; the file holds:\n  net "):
            convert_checkpoint.choose_state(nested, ".")
        # The program asks for --key, and writes nothing.
        (self.folder / "t.pt").touch()
        target = self.folder / "t.safetensors"
        with mock.patch.object(convert_checkpoint, "load", return_value=nested), \
                mock.patch.object(sys, "argv", ["convert_checkpoint.py", str(self.folder / "t.pt"), "--to", str(target)]), \
                self.assertRaisesRegex(SystemExit, "choose one with --key:\n  net      1 tensor, .*: ema\n  net.ema  2 tensors"):
            convert_checkpoint.main()
        self.assertFalse(target.exists())
        for alone, path in (({"net": {**one, "_extra_state": None}}, "net"), ({**one, 0: "x", "epoch": 3}, "")):
            self.assertEqual(convert_checkpoint.choose_state(alone)[0], path)
        self.assertEqual(convert_checkpoint.split_state({**one, 0: np.zeros(2), "epoch": 3}), (one, ["0", "epoch"]))

    @unittest.skipIf(torch is None, "python3-torch is not installed")
    def test_values_that_are_no_tensors_in_a_file(self):
        torch.save({"net": {"x": torch.ones(2), "_extra_state": None}, "ema": {"x": torch.zeros(2)}}, self.folder / "t.pt")
        with self.assertRaisesRegex(ConvertError, "choose one with --key"):
            convert_checkpoint.convert(self.folder / "t.pt", self.folder / "t.safetensors")
        self.assertFalse((self.folder / "t.safetensors").exists())
        told = convert_checkpoint.convert(self.folder / "t.pt", self.folder / "t.safetensors", "net")
        self.assertEqual(told, "1 tensor, 2 parameters from net; left out, because no weights: _extra_state")
        np.testing.assert_array_equal(read_safetensors(self.folder / "t.safetensors")[0]["x"], np.ones(2, "f4"))

    def test_only_and_drop(self):
        state = dict.fromkeys(("n_averaged", "module.model.fc.weight", "module.model.fc.bias", "module.ema_model.fc.weight",
                               "module.criterion.weight"), np.zeros(2, "f4"))
        for only, drop, names, said in (
                ("model", (), {"fc.weight", "fc.bias"}, "; left out by --only: 3"),
                ("module.model.", (), {"fc.weight", "fc.bias"}, "; left out by --only: 3"),
                ("module", ("criterion.*", "ema_*"), {"fc.weight", "fc.bias"},
                 "; left out by --drop: 2; left out by --only: 1; removed the prefix model."),
                (None, ("n_averaged", "module.ema_model.*", "crit*"), {"fc.weight", "fc.bias"},
                 "; left out by --drop: 3; removed the prefix module.model."),
                (None, (), set(state), "; names begin with n_averaged, module: --only module keeps one part, without this prefix")):
            selected, text = convert_checkpoint.select(state, only, drop)
            self.assertEqual((set(selected), text), (names, said))
        for only, drop, words in ((None, ("criterion",), "--drop criterion matches no tensor; names begin with: n_averaged, module$"),
                                  ("mod", (), "no tensor is under --only mod; "), (None, ("*",), "--drop leaves out every tensor")):
            with self.assertRaisesRegex(ConvertError, words):
                convert_checkpoint.select(state, only, drop)
        with self.assertRaisesRegex(ConvertError, "two tensors under --only a would have one name"):
            convert_checkpoint.select({"module.a.x": 1, "_orig_mod.a.x": 2}, "a")

    @unittest.skipIf(torch is None, "python3-torch is not installed")
    def test_nested(self):
        state = {"module.fc.weight": torch.arange(6.0).reshape(2, 3), "module.n": torch.tensor(3, dtype=torch.int64),
                 "module.fc.bias": torch.tensor([1.0, -2.5]).to(torch.bfloat16)}
        other = {"x": torch.zeros(2)}
        for number, (checkpoint, key, names, said) in enumerate((
                (state, None, ["fc.bias", "fc.weight", "n"], "3 tensors, 8 parameters from the state_dict; removed the prefix module."),
                ({"a": {"b": state}, "epoch": 3}, None, ["fc.bias", "fc.weight", "n"],
                 "3 tensors, 8 parameters from a.b; removed the prefix module."),
                ({"state_dict": state, "ema": other}, "ema", ["x"], "1 tensor, 2 parameters from ema"))):
            torch.save(checkpoint, self.folder / f"{number}.pt")
            told = convert_checkpoint.convert(self.folder / f"{number}.pt", self.folder / f"{number}.safetensors", key)
            self.assertEqual(told, said)
            arrays, _, dtypes = read_safetensors(self.folder / f"{number}.safetensors")
            self.assertEqual(sorted(arrays), names)
            if "n" in names:
                self.assertEqual((arrays["n"].shape, int(arrays["n"]), dtypes["fc.bias"]), ((), 3, "BF16"))
                np.testing.assert_array_equal(arrays["fc.bias"], np.array([0x3f80, 0xc020], "u2"))
        torch.save({"one": torch.nn.Linear(2, 1), "two": torch.nn.Linear(3, 1)}, self.folder / "modules.pt")
        with self.assertRaisesRegex(ConvertError, "choose one with --key:\n  one  2 tensors, 3 parameters\n  two  2 tensors, 4"):
            convert_checkpoint.convert(self.folder / "modules.pt", self.folder / "no.safetensors", trust=True)
        self.assertFalse((self.folder / "no.safetensors").exists())


if __name__ == "__main__":
    harness.main()
