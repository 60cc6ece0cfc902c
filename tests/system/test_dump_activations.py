"""analysis/dump_activations.py: stored values, refused models, and that a kill at any moment loses or doubles no sample."""
import collections
import contextlib
import io
import os
import random
import resource
import signal
import subprocess
import sys
import time
import unittest
import warnings
from unittest import mock

import h5py
import numpy as np

import harness

try:
    import torch
    from torch import nn
except ImportError:
    torch = None

if torch is not None:
    sys.path.insert(0, str(harness.SOURCE / "analysis"))
    import dump_activations
    from dump_activations import DumpError, dump
    torch.set_num_threads(1)  # children are forked

    class Network(nn.Module):
        """Convolutions changed in place by the next module, a module called twice, and one never called."""

        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(5),
                                          nn.Conv2d(5, 4, 3, stride=2), nn.ReLU(inplace=True))
            self.twice = nn.Linear(6, 6)
            self.never = nn.Linear(2, 2)
            self.first = nn.Linear(36, 6)
            self.last = nn.Linear(6, 4)

        def forward(self, x):
            x = self.first(self.features(x).flatten(1))
            return self.last(self.twice(torch.relu(self.twice(x))))

    class Slow(nn.Module):
        """A slow model, so that kills hit it at work."""

        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 5)

        def forward(self, x):
            time.sleep(0.004)
            return self.fc(self.conv(x).flatten(1))

NAMES = ["features.0", "features.3", "first", "twice", "twice:2", "last"]  # in order of calls


def network():
    torch.manual_seed(3)
    return Network()


def data(n, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 8, 8, generator=generator), torch.randint(4, (n,), generator=generator)


def loader(n=50, batch=16, seed=5, **options):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data(n, seed)), batch_size=batch, **options)


def hooked(model, batches, modules):
    """{name: list of arrays}: outputs of modules in inference mode by our own hooks; modules may be called twice."""
    found = {}

    def keep(name):
        return lambda module, inputs, output: found.setdefault(name, []).append(
            (output[0] if isinstance(output, tuple) else output).detach().numpy().copy())
    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name in modules]
    model.eval()
    for x, _ in batches:
        model(x)
    for handle in handles:
        handle.remove()
    return found


def content(path):
    with h5py.File(path) as file:
        arrays = {name: file[name][()] for name in file}
        return arrays, {name: file.attrs[name] for name in file.attrs}


@unittest.skipIf(torch is None, "python3-torch is not installed")
class DumpCase(harness.Case):

    def check_file(self, path, arrays, labels):
        """Checks layers with their order and bits, and labels; shared by all tests, so that a reader of such files can be
        checked here too."""
        found, attributes = content(path)
        self.assertEqual(list(attributes["layers"]), list(arrays))
        self.assertEqual(attributes["complete"], 1)
        self.assertEqual(set(found), set(arrays) | ({"labels"} if labels is not None else set()))
        for name, values in arrays.items():
            self.assertEqual(found[name].dtype, values.dtype, name)
            self.assertEqual(found[name].shape, values.shape, name)
            self.assertEqual(found[name].tobytes(), values.tobytes(), name)
        if labels is not None:
            np.testing.assert_array_equal(found["labels"], labels)
            self.assertEqual(found["labels"].dtype, np.int64)
        self.assertFalse([name for name in os.listdir(self.folder) if ".part" in name])

    def refused(self, words, *arguments, **options):
        with self.assertRaisesRegex(DumpError, words), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dump(*arguments, **options)


class Values(DumpCase):

    def expected(self):
        """Compares with our own hooks, NCHW to NHWC by numpy."""
        found = hooked(network(), loader(), {"features.0", "features.3", "first", "twice", "last"})
        found["twice"], found["twice:2"] = found["twice"][0::2], found["twice"][1::2]
        arrays = {name: np.concatenate(found[name]) for name in NAMES}
        return {name: np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if a.ndim == 4 else a for name, a in arrays.items()}

    def test_equals_hooks(self):
        expected = self.expected()
        path = self.folder / "acts.h5"
        model = network().train()
        model.features[2].eval()
        with self.assertWarnsRegex(UserWarning, "does not call never; the file has no such layers"):
            self.assertEqual(dump(model, loader(), path), str(path))
        self.check_file(path, expected, data(50)[1].numpy())
        self.assertLess(expected["features.0"].min(), 0)  # before the ReLU
        self.assertTrue(model.training and model.features[0].training and not model.features[2].training)
        self.assertFalse(any(module._forward_hooks for module in model.modules()))

    def test_types(self):
        expected = self.expected()
        for dtype in ("float16", "float64"):
            path = self.folder / f"{dtype}.h5"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dump(network(), loader(), path, dtype=dtype)
            self.check_file(path, {name: a.astype(dtype) for name, a in expected.items()}, data(50)[1].numpy())

    def test_layers_by_name_and_type(self):
        expected = self.expected()
        path = self.folder / "acts.h5"
        dump(network(), loader(), path, layers=["features.3", "t*e", nn.BatchNorm2d])
        found, attributes = content(path)
        self.assertEqual(list(attributes["layers"]), ["features.2", "features.3", "twice", "twice:2"])
        self.assertEqual(found["features.3"].tobytes(), expected["features.3"].tobytes())
        with h5py.File(path) as file:
            self.assertEqual(file["features.2"].attrs["kind"], "BatchNorm2d")
            self.assertEqual(file["features.2"].shape, (50, 8, 8, 5))
        self.refused("no module of the model is named feature", network(), loader(), self.folder / "b.h5", layers="feature")
        other = self.folder / "b.h5"
        self.refused("does not call never", network(), loader(), other, layers=["never", "last"])
        self.refused("no module of the model has one of the requested types", network(), loader(), other, layers=[nn.LSTM])

    def test_one_dimension_and_lists(self):
        """Conv1d as (N, 1, L, C); a list of batches without labels; a model with two inputs and no labels."""
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv1d(2, 3, 3)

            def forward(self, a, b):
                return self.conv(a + b)
        torch.manual_seed(1)
        model, batches = Two(), [(torch.randn(n, 2, 7), torch.randn(n, 2, 7)) for n in (4, 4, 1)]
        path = self.folder / "acts.h5"
        dump(model, batches, path, unpack=lambda batch: (batch, None), samples=9)
        with torch.no_grad():
            values = torch.cat([model(a, b) for a, b in batches]).numpy()
        self.check_file(path, {"conv": np.ascontiguousarray(values.transpose(0, 2, 1)[:, None])}, None)
        named = self.folder / "named.h5"
        dump(model, batches, named, unpack=lambda batch: (dict(zip("ab", batch)), None))
        self.check_file(named, content(path)[0], None)

    def test_half_overflow(self):
        model = nn.Sequential(nn.Linear(1, 1))
        nn.init.constant_(model[0].weight, 1e6)
        with self.assertWarnsRegex(UserWarning, "beyond 65504 become infinite"):
            dump(model, [torch.ones(2, 1)], self.folder / "acts.h5", dtype="float16")
        self.assertTrue(np.isinf(content(self.folder / "acts.h5")[0]["0"]).all())


class Transformer(DumpCase):

    def test_example(self):
        path = self.folder / "acts.h5"
        place = harness.SOURCE / "analysis" / "examples" / "transformer.py"
        program = harness.SOURCE / "analysis" / "dump_activations.py"
        done = subprocess.run([sys.executable, "-B", str(program), f"{place}:build", "--to", str(path)],
                              capture_output=True, text=True, check=True)
        self.assertIn("512 of 512 samples", done.stderr)
        self.assertNotIn("Warning", done.stderr)
        model, batches = dump_activations.load(f"{place}:build")
        # Gradients keep PyTorch from its fused path, which bypasses hooks.
        names = [f"encoder.{i}.{part}" for i in range(2) for part in ("self_attn", "linear1", "linear2")] + ["head"]
        found = hooked(model, batches, names)
        arrays = {name: np.concatenate(found[name]) for name in names}
        self.assertEqual(arrays["encoder.1.linear1"].shape, (512, 12, 64))
        tokens = {name: a[:, None] if a.ndim == 3 else a for name, a in arrays.items()}
        found, _ = content(path)
        self.assertEqual(set(found), {*tokens, "labels"})
        for name, values in tokens.items():  # PyTorch 2 computes attention in another way where gradients are wanted
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found["labels"], batches.dataset.tensors[1].numpy())

    def test_samples_are_not_the_first_axis(self):
        """(T, N, C) is refused, even if T = N hides it."""
        class TimeFirst(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.TransformerEncoderLayer(8, 2, 16)

            def forward(self, x):
                return self.layer(x.transpose(0, 1))
        for n in (5, 12):
            batches = [torch.randn(n, 12, 8)]
            self.refused(r"must be the samples .*batch_first=True", TimeFirst(), batches, self.folder / "a.h5")


if torch is not None:
    class Output(collections.OrderedDict):
        """As ModelOutput of the package transformers."""

        def __getattr__(self, name):
            return self[name]

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(4, 4)

        def forward(self, x):
            return (torch.tanh(self.dense(x)),)

    class Encoder(nn.Module):
        """As a model of the package transformers: twelve layers, an output with hidden states if they are asked for."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(4)
            self.embedding = nn.Embedding(9, 4)
            self.encoder = nn.Module()
            self.encoder.layer = nn.ModuleList(Layer() for _ in range(12))
            self.head = nn.Linear(4, 3)

        def forward(self, input_ids, attention_mask=None, labels=None, output_hidden_states=False):
            assert labels is None
            states = [self.embedding(input_ids)]
            for layer in self.encoder.layer:
                states.append(layer(states[-1])[0])
            out = Output(logits=self.head(states[-1][:, 0]))
            if output_hidden_states:
                out["hidden_states"] = tuple(states)
            return out


def sentences(n, length, seed, kind=collections.UserDict, **more):
    """A batch as a tokenizer gives it: the last sentence has two tokens of padding."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(n, length, dtype=torch.int64)
    mask[-1, -2:] = 0
    return kind({"input_ids": torch.randint(9, (n, length), generator=generator), "attention_mask": mask, **more})


class RealNetworks(DumpCase):
    """Batches and outputs of the package transformers, and the command."""

    def dumped(self, batches, **options):
        path = self.folder / "acts.h5"
        path.unlink(missing_ok=True)
        dump(Encoder(), batches, path, **options)
        return content(path)

    def states(self, batch):
        with torch.no_grad():
            return [state.numpy() for state in Encoder()(batch["input_ids"], output_hidden_states=True).hidden_states]

    def test_batches(self):
        """Lists of (dictionary, labels), a BatchEncoding, labels inside, columns that the model does not take."""
        labels, one, two = torch.arange(5) % 3, sentences(3, 6, 1), sentences(2, 6, 2)
        own = np.concatenate([self.states(one)[12][:, 0], self.states(two)[12][:, 0]]) @ Encoder().head.weight.detach().numpy().T
        for batches in ([(dict(one), labels[:3]), (dict(two), labels[3:])], [(one, labels[:3]), (two, labels[3:])],
                        [sentences(3, 6, 1, labels=labels[:3]), sentences(2, 6, 2, labels=labels[3:])],
                        [sentences(3, 6, 1, dict, label=labels[:3], idx=torch.arange(3)),
                         sentences(2, 6, 2, dict, label=labels[3:], idx=torch.arange(2))]):
            found, attributes = self.dumped(batches, layers="head")
            self.assertEqual(attributes["samples"], 5)
            np.testing.assert_allclose(found["head"] - Encoder().head.bias.detach().numpy(), own, atol=1e-5)
            np.testing.assert_array_equal(found["labels"], labels)
        with self.assertWarnsRegex(UserWarning, "labels of a batch are not one integer for each sample"):
            self.assertNotIn("labels", self.dumped([sentences(3, 6, 1, labels=torch.zeros(3, 6))], layers="head")[0])
        self.refused("a batch has 3 tensors, labels included, and those before had 2; all batches must have the same", Encoder(),
                     [sentences(3, 6, 1), sentences(3, 6, 1, idx=torch.arange(3))], self.folder / "no.h5", layers="head")
        self.refused("contain no tensor .a tokenizer gives tensors with return_tensors=", Encoder(),
                     [{"input_ids": [[1, 2]]}], self.folder / "none.h5")

    def test_numbered_layers(self):
        """One pattern chooses twelve layers and nothing inside them, in order; so do hidden states."""
        batch = sentences(3, 6, 1)
        found, attributes = self.dumped([batch], layers="encoder.layer.#")
        self.assertEqual(list(attributes["layers"]), [f"encoder.layer.{i}" for i in range(12)])
        for layers in (["hidden_states.*"], ["hidden_states.#"], "hidden_states"):
            states, attributes = self.dumped([batch], layers=layers)
            self.assertEqual(list(attributes["layers"]), [f"hidden_states.{i}" for i in range(13)])
        for i, state in enumerate(self.states(batch)):
            np.testing.assert_array_equal(states[f"hidden_states.{i}"], state[:, None])
            if i > 0:
                np.testing.assert_array_equal(found[f"encoder.layer.{i - 1}"], state[:, None])
        self.assertEqual(list(self.dumped([batch], layers=["head", "hidden_states.1#"])[1]["layers"]),
                         ["head", "hidden_states.10", "hidden_states.11", "hidden_states.12"])
        self.refused("the model returns no hidden_states.20; it has hidden_states.0 to hidden_states.12", Encoder(), [batch],
                     self.folder / "no.h5", layers="hidden_states.20")
        self.refused("the model returns no hidden_states; name its modules", WithoutStates(), [torch.ones(2, 3)],
                     self.folder / "no.h5", layers="hidden_states.*")
        dump(AlwaysStates(), [torch.ones(2, 3)], self.folder / "always.h5", layers="hidden_states.*")
        self.assertEqual(list(content(self.folder / "always.h5")[1]["layers"]), ["hidden_states.0", "hidden_states.1"])

    def test_dynamic_padding(self):
        batches = [sentences(3, 6, 1), sentences(2, 4, 2)]
        self.refused("has shape .1, 4, 4. for a sample, and had .1, 6, 4. before; .*--tokens mean", Encoder(), batches,
                     self.folder / "no.h5", layers="hidden_states.3")
        for tokens in ("mean", "first", "last"):
            found, _ = self.dumped(batches, layers=["hidden_states.3", "head"], tokens=tokens)
            expected = []
            for batch in batches:
                for state, mask in zip(self.states(batch)[3], batch["attention_mask"].numpy() == 1):
                    expected.append({"mean": state[mask].mean(0), "first": state[mask][0], "last": state[mask][-1]}[tokens])
            np.testing.assert_allclose(found["hidden_states.3"], np.array(expected), atol=1e-6)
            self.assertEqual(found["head"].shape, (5, 3))
        self.refused("from a dump with tokens last; this dump has mean", Encoder(), batches, self.folder / "acts.h5",
                     layers=["hidden_states.3", "head"], tokens="mean")

    def test_limit(self):
        """The first samples, also of a loader without an end; a batch is cut."""
        whole, _ = self.dumped([sentences(3, 6, 1), sentences(3, 6, 2)], layers="head")
        for batches in ([sentences(3, 6, 1), sentences(3, 6, 2)], iter([sentences(3, 6, i) for i in (1, 2, 3)])):
            found, attributes = self.dumped(batches, layers="head", limit=4)
            self.assertEqual(attributes["samples"], 4)
            np.testing.assert_allclose(found["head"], whole["head"][:4], atol=1e-6)
        self.assertEqual(self.dumped([sentences(3, 6, 1)], layers="head", limit=100)[1]["samples"], 3)

    def command(self, *arguments):
        """What the command says; within this process, because importing PyTorch takes seconds."""
        said = io.StringIO()
        with mock.patch.object(sys, "argv", ["dump_activations.py", *map(str, arguments)]), contextlib.redirect_stderr(said), \
                contextlib.chdir(self.folder), warnings.catch_warnings():
            try:
                dump_activations.main()
            except SystemExit as end:
                said.write(str(end))
        return said.getvalue()

    def test_command(self):
        self.write("net.py", NET)
        self.command("net.py:stream", "--to", "a.h5", "--samples", 40, "--device", "cpu", "--unpack", "pair")
        self.command("net.py:stream", "--to", "b.h5", "--limit", 10, "--unpack", "net.py:pair")
        with h5py.File(self.folder / "a.h5") as a, h5py.File(self.folder / "b.h5") as b:
            np.testing.assert_allclose(a["0"][:10], b["0"][:], atol=1e-6)
            self.assertEqual((a["0"].shape, list(b["labels"])), ((40, 2), [0, 1, 2, 3] * 2 + [0, 1]))
        self.assertEqual(self.command("net.py:build", "--to", "c.h5"), "c.h5: 200 of 200 samples\n")  # not a line for each batch
        self.assertEqual(self.command("net.py:build", "--to", "d.h5", "--quiet"), "")

    def test_wrong_files_and_functions(self):
        self.write("net.py", NET)
        self.write("wrong.py", "import torch\nthis is no Python\n")
        for place, words in (
                ("gone.py:build", "there is no file gone.py"), ("net.py", "net.py does not name a function; write FILE.py:FUNCTION or "
                                                                         "MODULE:FUNCTION"),
                ("net.py:nope", "net.py has no function nope; it has build, stream, pair, one, raises, fails"),
                ("gone:build", "importing gone failed: ModuleNotFoundError: No module named 'gone'"),
                ("net.py:one", "net.py:one returned Sequential; it must return a pair (model, loader), the model a torch.nn.Module"),
                ("net.py:raises", "raises() failed: FileNotFoundError: [Errno 2] No such file or directory: 'weights.pt' at net.py:21"),
                ("net.py:fails", "the dump failed: ZeroDivisionError: division by zero at net.py:25"),
                ("net.py:stream", "a batch is neither a tensor, nor a pair (inputs, labels), nor a dictionary; give `unpack` (--unpack), "
                                  "a function that makes such a pair of it")):
            self.assertEqual(self.command(place, "--to", "x.h5", "--samples", 4), f"dump_activations: {words}")
        self.assertRegex(self.command("wrong.py:build", "--to", "x.h5"), "^dump_activations: wrong.py failed: SyntaxError: ")
        self.assertIn("--device nope failed: RuntimeError: ", self.command("net.py:build", "--to", "x.h5", "--device", "nope"))


NET = """\
import torch
from torch import nn

def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 2)), [torch.randn(4, 3) for _ in range(50)]

def stream():
    def batches():
        for _ in range(10):
            yield torch.ones(4, 3), torch.arange(4), "name"
    return build()[0], batches()

def pair(batch):
    return batch[0], batch[1]

def one():
    return build()[0]

def raises():
    open("weights.pt")

class Fails(nn.Linear):
    def forward(self, x):
        return 1 / 0

def fails():
    return nn.Sequential(Fails(3, 2)), [torch.ones(4, 3)]
"""

if torch is not None:
    class AlwaysStates(nn.Module):
        def forward(self, x):
            return {"hidden_states": (x, x + 1)}

    class WithoutStates(nn.Module):
        def forward(self, x, output_hidden_states=False):
            return x


class Resumed(DumpCase):

    def slow(self, path, n=203, batch=4, **options):
        torch.manual_seed(2)
        return dump(Slow(), loader(n, batch), path, **options)

    def kill_after(self, seconds, path):
        """Starts a child that dumps, and kills it; true if it had finished."""
        child = os.fork()
        if child == 0:
            try:
                self.slow(path)
            finally:
                os._exit(0)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return path.exists()

    def test_killed_again_and_again(self):
        whole, killed = self.folder / "whole.h5", self.folder / "killed.h5"
        self.slow(whole)
        chance = random.Random(11)
        kills, stages = 0, set()
        while not self.kill_after(chance.uniform(0.005, 0.06) * (1 + kills / 10), killed):  # longer if it is slow
            kills += 1
            self.assertLess(kills, 200)
            if (self.folder / "killed.h5.part").exists():
                with h5py.File(self.folder / "killed.h5.part", locking=False) as part:
                    stages.add(int(part.attrs["progress"][0]))
                    if part.attrs["complete"]:  # but not renamed yet
                        self.assertEqual(part.attrs["progress"][0], 203)
        self.assertGreater(kills, 3)
        self.assertGreater(len(stages), 3)
        self.assertEqual(whole.read_bytes(), killed.read_bytes())
        arrays, _ = content(whole)
        labels = arrays.pop("labels")
        np.testing.assert_array_equal(labels, data(203)[1].numpy())
        self.check_file(killed, {name: arrays[name] for name in ("conv", "fc")}, labels)

    def stopped(self, path, after=40):
        """A dump that stopped after some samples."""
        def stop(done, samples):
            if done >= after:
                raise KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            self.slow(path, progress=stop)
        return path

    def test_what_is_there_is_not_computed_again(self):
        path, calls = self.stopped(self.folder / "acts.h5", 120), []
        self.slow(path, progress=lambda done, samples: calls.append(done))
        self.assertEqual(sum(done == 120 for done in calls), 30)  # only read from the loader
        self.assertEqual(calls[-1], 203)
        before = path.stat()
        self.assertEqual(self.slow(path, progress=self.fail), str(path))  # complete: nothing is done
        self.assertEqual(path.stat().st_mtime_ns, before.st_mtime_ns)

    def test_other_batches(self):
        """With other batch boundaries, no sample is lost or doubled."""
        whole, path = self.folder / "whole.h5", self.stopped(self.folder / "acts.h5", 40)
        self.slow(whole)
        self.slow(path, batch=7)
        one, other = content(whole)[0], content(path)[0]
        np.testing.assert_array_equal(one["labels"], other["labels"])
        for name in ("conv", "fc"):
            np.testing.assert_allclose(other[name], one[name], rtol=1e-4, atol=1e-5)

    def test_other_requests(self):
        path = self.stopped(self.folder / "acts.h5")
        torch.manual_seed(2)
        model = Slow()
        self.refused("other samples than those already in .*shuffling", model, loader(203, 4, seed=6), path)
        self.refused("from a dump with dtype float32; this dump has float64", model, loader(203, 4), path, dtype="float64")
        self.refused("with layers .*; this dump has", model, loader(203, 4), path, layers=["fc"])
        self.refused("samples 203; this dump has 204", model, loader(204, 4), path)
        with torch.no_grad():
            model.fc.bias[0] += 1
        self.refused("weights .*; this dump has", model, loader(203, 4), path)
        self.slow(path)
        self.refused("acts.h5 exists, from a dump with weights", model, loader(203, 4), path)

    def test_other_lengths(self):
        path = self.folder / "acts.h5"
        self.refused("the loader ended after 203 of 204 samples", Slow(), loader(203, 50), path, samples=204)
        os.remove(f"{path}.part")
        self.refused("more samples than `samples`, 202", Slow(), loader(203, 50), path, samples=202)
        os.remove(f"{path}.part")
        self.refused("does not say how many", Slow(), iter(loader()), path)
        batches = [torch.ones(2, 3, s, 4) for s in (4, 5)]
        self.refused("must have the same shape", nn.Sequential(nn.Conv2d(3, 2, 1)), batches, path)
        with open(f"{path}.part", "wb") as part:
            part.write(b"no HDF5")
        self.refused("cannot be opened .*remove it to start again", Slow(), loader(), path)

    def test_no_room(self):
        """One sentence; with free space the same dump works."""
        path = self.folder / "acts.h5"
        child = os.fork()
        if child == 0:
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
                self.slow(path, n=20)
            except DumpError as error:
                (self.folder / "said").write_text(str(error))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        said = (self.folder / "said").read_text()
        self.assertRegex(said, "acts.h5.part.new cannot be written: File too large; run the same dump again when it can")
        (self.folder / "said").unlink()
        self.slow(path, n=20)
        self.assertEqual(os.listdir(self.folder), ["acts.h5"])

    def test_dropped_last_batch(self):
        self.slow(self.folder / "a.h5", n=8)
        dump(Slow(), loader(11, 4, drop_last=True), self.folder / "b.h5")
        self.assertEqual(len(content(self.folder / "b.h5")[0]["labels"]), 8)

    def test_labels(self):
        x, path = torch.ones(3, 3, 8, 8), self.folder / "acts.h5"
        for labels in (torch.ones(3), torch.ones(3, 1, dtype=torch.int64), torch.ones(2, dtype=torch.int64)):
            self.refused("they must be integers of shape .3,., one for each sample", Slow(), [(x, labels)], path)
        dump(Slow(), [(x, [0, 2, 1])], path)
        np.testing.assert_array_equal(content(path)[0]["labels"], [0, 2, 1])


if __name__ == "__main__":
    harness.main()
