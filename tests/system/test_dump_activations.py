"""analysis/dump_activations.py: stored values, refused models, and that a kill at any moment loses or doubles no sample."""
import os
import random
import resource
import signal
import subprocess
import sys
import time
import unittest
import warnings

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
        self.check_file(path, tokens, batches.dataset.tensors[1].numpy())

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
