"""The tracker in PyTorch's loops. Skipped without PyTorch; any version from 2.0 on."""
import copy
import io
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import eigenscope  # noqa: E402


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.embed = nn.Linear(6, 8)
        self.lstm = nn.LSTM(8, 5, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        tokens = self.embed(self.conv(images).relu().flatten(2).transpose(1, 2))
        self.lstm(tokens)
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, values, attention_mask=None):
        return {"last_hidden_state": self.inner(values)}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def outputs_of(model, batches):
    """The rows of each layer by plain hooks, in float64 numpy."""
    kept = {}

    def keep(name):
        def hook(_module, _inputs, output):
            value = output[0] if isinstance(output, tuple) else output
            value = value.permute(0, 2, 3, 1) if value.dim() == 4 else value
            kept.setdefault(name, []).append(value.detach().reshape(-1, value.shape[-1]).double().numpy())
        return hook
    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name]
    for batch in batches:
        model(batch)
    for handle in handles:
        handle.remove()
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def agree(found, want):
    n, mean, covariance = found
    reference = np.atleast_2d(np.cov(want.T, bias=True))
    assert n == len(want)
    assert np.allclose(mean, want.mean(0), atol=1e-6)
    assert np.linalg.norm(covariance - reference, 2) <= 1e-6 * np.linalg.eigvalsh(reference)[-1]


def images(n, batches=3):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 3, 8, 8, generator=generator) for _ in range(batches)]


def test_recurrent_layers_are_among_the_default_layers(net, tmp_path):
    with eigenscope.Tracker(net, to=tmp_path / "m.h5") as tracker, tracker.epoch(0):
        net(torch.randn(2, 3, 8, 8))
    assert "lstm" in eigenscope.read(tmp_path / "m.h5")[0, "train"]


def test_a_forgotten_epoch_is_said(net, tmp_path, recwarn):
    with eigenscope.Tracker(net, to=tmp_path / "m.h5"):
        net(torch.randn(2, 3, 8, 8))
    assert [str(w.message) for w in recwarn] == ["the model ran, but never inside `with tracker.epoch(...)`, so nothing was measured"]
    recwarn.clear()
    with eigenscope.Tracker(net, to=tmp_path / "m.h5") as tracker:
        net(torch.randn(2, 3, 8, 8))  # to warm up
        with tracker.epoch(0):
            net(torch.randn(2, 3, 8, 8))
    assert not [w for w in recwarn if "inside" in str(w.message)]


def test_every_batch_counts(net, tmp_path):
    layers = ["conv", "embed", "lstm", "attention", "head"]
    want = outputs_of(net, images(20))
    with eigenscope.Tracker(net, to=tmp_path / "m.h5", layers=layers) as tracker:
        with tracker.epoch(0):
            for batch in images(20):
                net(batch).sum().backward()
        net(images(1)[0])  # outside of the epoch
    found = eigenscope.read(tmp_path / "m.h5")[0, "train"]
    assert list(found) == layers
    for name in layers:
        agree(found[name], want[name])


def test_outputs_and_gradients_stay(net):
    batch = images(8, 1)[0]
    plain = net(batch)
    plain.sum().backward()
    gradients = [p.grad.clone() if p.grad is not None else None for p in net.parameters()]
    net.zero_grad()
    with eigenscope.Tracker(net) as tracker, tracker.epoch(0):
        tracked = net(batch)
        tracked.sum().backward()
    assert torch.equal(plain, tracked)
    for a, p in zip(gradients, net.parameters()):
        assert a is None or torch.equal(a, p.grad)


def test_batches_go_to_lanes_in_turn(tmp_path):
    """A call of the model is a batch: both calls of a module in it go to the same lane."""
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x).detach())
    model, seen = Twice(), [[], []]
    with eigenscope.Tracker(model, to=tmp_path / "m.h5", lanes=2) as tracker:
        model(torch.randn(9, 4))  # an epoch does not depend on earlier calls
        with tracker.epoch(0):
            for i in range(6):
                x = torch.randn(9, 4) + 3
                model(x)
                with torch.no_grad():
                    once = model.layer.weight @ x.T + model.layer.bias[:, None]
                    seen[i % 2] += [once.T, (model.layer.weight @ once + model.layer.bias[:, None]).T]
        with tracker.epoch(1):
            for i in range(4):
                model.layer(torch.full((9, 4), float(i % 2)))  # a part alone: each of its calls is a batch
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["layers/0000/rows"][0] == 108
        for lane, rows in enumerate(seen):
            rows = torch.cat(rows).double().numpy()
            found = eigenscope.moments.unpack(file["layers/0000/lane_moment"][0, lane], 4)
            np.testing.assert_allclose(found, len(rows) * np.cov(rows.T, bias=True), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(file["layers/0000/lane_moment"][1], 0, atol=1e-8)  # equal rows in each lane
        assert np.abs(file["layers/0000/moment"][1]).max() > 1e-3


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_counts_once(net, tmp_path, reentrant):
    batch = images(20, 1)[0].requires_grad_()
    with eigenscope.Tracker(net, layers="embed") as tracker:
        with tracker.epoch(0):
            net(batch).sum().backward()
        plain = tracker.sums["embed"].state()[0]
        with tracker.epoch(1):
            checkpoint(net, batch, use_reentrant=reentrant).sum().backward()
        assert tracker.sums["embed"].state()[0] == plain


@pytest.mark.parametrize("when,backend", [("before", "eager"), ("after", "eager"), ("after the first call", "eager"),
                                          ("before", "inductor"), ("after the first call", "inductor")])
def test_compiled_models_see_all_samples(net, when, backend):
    if backend == "inductor" and not shutil.which("g++"):
        pytest.skip("inductor needs a C++ compiler")
    want = outputs_of(net, images(20))
    tracker = eigenscope.Tracker(net, layers=["conv", "head"]) if when == "before" else None
    compiled = torch.compile(net, backend=backend)
    if when == "after the first call":
        compiled(images(20)[0])
    tracker = tracker or eigenscope.Tracker(compiled, layers=["conv", "head"])
    with tracker, tracker.epoch(0):
        for batch in images(20):
            compiled(batch)
    for name in ("conv", "head"):
        n, mean, moment = tracker.sums[name].state()
        agree((n, mean, moment / n), want[name])


def test_autocast_measures_what_runs(net):
    with eigenscope.Tracker(net, layers="embed") as tracker, tracker.epoch(0), torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for batch in images(64):
                net(batch)
    kept = []
    handle = net.embed.register_forward_hook(lambda m, i, o: kept.append(o.double().reshape(-1, 8).numpy()))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for batch in images(64):
            net(batch)
    handle.remove()
    n, mean, moment = tracker.sums["embed"].state()
    agree((n, mean, moment / n), np.concatenate(kept))


@pytest.mark.parametrize("tokens", ["all", "first", "last", "mean"])
@pytest.mark.parametrize("named", [True, False])
def test_masked_tokens_do_not_count(tokens, named):
    model, values = Tokens(), torch.randn(4, 6, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    with eigenscope.Tracker(model, layers="inner", mask="attention_mask", tokens=tokens) as tracker, tracker.epoch(0):
        model(values, attention_mask=mask) if named else model(values, mask)
    output = model(values)["last_hidden_state"].detach().double().numpy()
    rows = [output[i][mask[i].bool().numpy()] for i in range(3)]
    want = {"all": np.concatenate(rows), "first": np.array([r[0] for r in rows]), "last": np.array([r[-1] for r in rows]),
            "mean": np.array([r.mean(0) for r in rows])}[tokens]
    n, mean, moment = tracker.sums["inner"].state()
    agree((n, mean, moment / n), want)


def test_a_call_without_its_mask_is_warned_of():
    model = Tokens()
    with eigenscope.Tracker(model, layers="inner", mask="attention_mask") as tracker, tracker.epoch(0):
        with pytest.warns(UserWarning, match="a call of the model has no attention_mask, so all of its tokens count"):
            model(torch.randn(4, 6, 4))
    assert tracker.sums["inner"].state()[0] == 24


def test_output_objects_have_their_first_tensor():
    class Wrap(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Tokens()

        def forward(self, values):
            return self.block(values)
    model = Wrap()
    with eigenscope.Tracker(model, layers="block") as tracker, tracker.epoch(0):
        model(torch.randn(2, 5, 4))
    assert tracker.sums["block"].state()[0] == 10


def test_the_projection_inside_attention_is_not_missed(net, recwarn):
    with eigenscope.Tracker(net) as tracker, tracker.epoch(0):
        net(images(2, 1)[0])
    assert "attention" in tracker.sums and "attention.out_proj" not in tracker.sums and not recwarn.list
    with pytest.raises(eigenscope.MomentsError, match="never called attention.out_proj"):
        with eigenscope.Tracker(net, layers=["attention.out_proj", "conv"]) as tracker, tracker.epoch(0):
            net(images(2, 1)[0])


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, values):
        dropped = nn.functional.dropout(self.fc(values), 0.5, training=self.training)
        return values + dropped


@pytest.mark.parametrize("training", [True, False])
def test_outputs_of_functions_have_the_names_of_fx(training):
    model, values = Residual().train(training), torch.randn(40, 5)
    torch.manual_seed(7)
    want = model(values)
    with eigenscope.Tracker(model, layers=["fc", "add*"]) as tracker, tracker.epoch(0):
        torch.manual_seed(7)
        assert torch.equal(model(values), want)
    n, mean, moment = tracker.sums["add"].state()
    agree((n, mean, moment / n), want.detach().double().numpy())
    assert list(tracker.sums) == ["fc", "add"] and tracker.kinds["add"] == "function"
    assert "forward" not in vars(model)
    torch.manual_seed(7)
    assert torch.equal(model(values), want)


def test_copies_of_the_model_do_not_count_and_keep_their_weights():
    for layers, name in (("fc", "fc"), ("add*", "add")):
        model, values = Residual().eval(), torch.randn(40, 5)
        with eigenscope.Tracker(model, layers=layers) as tracker, tracker.epoch(0):
            average = torch.optim.swa_utils.AveragedModel(model)
            nn.init.zeros_(average.module.fc.weight), nn.init.zeros_(average.module.fc.bias)
            assert torch.equal(average(values), values) and not torch.equal(model(values), values)
            assert tracker.sums[name].state()[0] == 40


@pytest.mark.parametrize("tokens", ["all", "first", "last", "mean"])
@pytest.mark.parametrize("layer", [nn.LSTM(4, 4), nn.GRU(4, 4), nn.MultiheadAttention(4, 1), nn.TransformerEncoderLayer(4, 1, 8)])
def test_outputs_with_the_batch_second_have_rows_of_the_same_tokens(tokens, layer):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer.eval()

        def forward(self, values, mask):
            return self.layer(*[values] * (3 if isinstance(layer, nn.MultiheadAttention) else 1))
    model, values = Model(), torch.randn(6, 6, 4)
    mask = torch.arange(6)[None] < torch.arange(1, 7)[:, None]  # sample i has i + 1 tokens
    with eigenscope.Tracker(model, layers="layer", mask="mask", tokens=tokens) as tracker, tracker.epoch(0), torch.no_grad():
        output = model(values.transpose(0, 1), mask)
    output = (output[0] if isinstance(output, tuple) else output).transpose(0, 1).double().numpy()
    rows = [output[i, :i + 1] for i in range(6)]
    want = {"all": np.concatenate(rows), "first": np.array([r[0] for r in rows]), "last": np.array([r[-1] for r in rows]),
            "mean": np.array([r.mean(0) for r in rows])}[tokens]
    n, mean, moment = tracker.sums["layer"].state()
    agree((n, mean, moment / n), want)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("mask", ["mask", None])
@pytest.mark.parametrize("tokens", ["all", "first", "last", "mean"])
def test_nested_tensors_have_no_padding(tokens, mask):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2)

        def forward(self, values, mask):
            return self.encoder(values, src_key_padding_mask=~mask)
    model, values = Model().eval(), torch.randn(5, 6, 4)
    mask_of = torch.arange(6)[None] < torch.arange(1, 6)[:, None]  # sample i has i + 1 tokens, and the longest has 5
    nested = []
    model.encoder.layers[1].linear1.register_forward_hook(lambda m, i, o: nested.extend(o.unbind()))
    with eigenscope.Tracker(model, layers="encoder.layers.1.linear1", mask=mask, tokens=tokens, probes=5) as tracker:
        with tracker.epoch(0), torch.no_grad():
            tracker.labels(torch.arange(5))
            model(values, mask_of)
    rows = [part.double().numpy() for part in nested]
    assert [len(r) for r in rows] == [1, 2, 3, 4, 5]
    want = {"all": np.concatenate(rows), "first": np.array([r[0] for r in rows]), "last": np.array([r[-1] for r in rows]),
            "mean": np.array([r.mean(0) for r in rows])}[tokens]
    n, mean, moment = tracker.sums["encoder.layers.1.linear1"].state()
    agree((n, mean, moment / n), want)
    features = tracker.samples["encoder.layers.1.linear1"].features
    assert np.allclose(features, [r.mean(0) for r in rows], atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("tokens", ["all", "last"])
def test_packed_sequences_have_no_padding(tokens, first, tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 3, batch_first=first)

        def forward(self, values, lengths):
            return self.lstm(nn.utils.rnn.pack_padded_sequence(values, lengths, first, enforce_sorted=False))
    model, lengths = Model(), torch.tensor([2, 5, 1, 4])
    values = torch.randn(4, 5, 4) if first else torch.randn(5, 4, 4)
    with eigenscope.Tracker(model, layers="lstm", tokens=tokens) as tracker, tracker.epoch(0):
        output = nn.utils.rnn.pad_packed_sequence(model(values, lengths)[0], batch_first=True)[0].detach().double().numpy()
    rows = [part[:n] for part, n in zip(output, lengths)]
    n, mean, moment = tracker.sums["lstm"].state()
    agree((n, mean, moment / n), np.concatenate(rows) if tokens == "all" else np.array([r[-1] for r in rows]))
    delve = eigenscope.CheckLayerSat(str(tmp_path / "d"), "csv", model)
    model(values, lengths)
    delve.add_saturations()
    delve.close()
    agree(eigenscope.read(tmp_path / "d.h5")[0, "train"]["lstm"], np.array([r[-1] for r in rows]))


def test_a_failed_tracker_leaves_no_hook_and_no_lock(net, tmp_path):
    for _ in range(2):
        with pytest.raises(eigenscope.MomentsError, match="no module of the model is named heed"):
            eigenscope.Tracker(net, to=tmp_path / "m.h5", layers=["head", "heed"], mask="images")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    net.add_module("x" * 64, nn.Linear(2, 2))
    with pytest.raises(eigenscope.MomentsError, match="a name of 64 bytes"):
        eigenscope.Tracker(net, to=tmp_path / "m.h5")
    assert list(tmp_path.iterdir()) == []


def test_labels_and_features_for_probes():
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, 4, 2)
            self.fc = nn.Linear(4, 2)

        def forward(self, values, labels=None):
            return self.fc(self.conv(values).mean(2))
    model, labels = Classifier(), torch.arange(20) % 3
    values = labels[:, None, None] + torch.randn(20, 3, 6)
    with eigenscope.Tracker(model, labels="labels", probes=9) as tracker, tracker.epoch(0):
        model(values[:10], labels=labels[:10])
        tracker.labels_name = None
        tracker.labels(labels[10:])
        model(values[10:])
    for name, outputs in (("conv", model.conv(values).mean(2)), ("fc", model(values))):
        sample = tracker.samples[name]
        assert sample.labels.tolist() == (sample.index % 3).tolist() and len(sample.labels) == 9
        assert np.allclose(sample.features, outputs.detach().numpy()[sample.index], atol=1e-6)


def test_what_is_wrong_is_said(net):
    with pytest.raises(eigenscope.MomentsError, match="no module of the model is named nose.*conv, embed.*functions are relu, flatten"):
        eigenscope.Tracker(net, layers="nose")
    with pytest.raises(eigenscope.MomentsError, match="the model has no argument attention_mask; it has images"):
        eigenscope.Tracker(net, mask="attention_mask")
    for arguments, words in (((Net,), "the model is <class.*it must be a module"), ((net, None, [net.head]), r"layers has Linear\(...\)")):
        with pytest.raises(eigenscope.MomentsError, match=words):
            eigenscope.Tracker(*arguments)
    with pytest.raises(eigenscope.MomentsError, match=r"the classes have shape \(2, 4\)"):
        with eigenscope.Tracker(net, probes=2) as tracker, tracker.epoch(0):
            tracker.labels(torch.zeros(2, 4))
    tracker = eigenscope.Tracker(net)
    with pytest.raises(eigenscope.MomentsError, match="no layer saw a sample"), tracker.epoch(0):
        Net()(images(2, 1)[0])
    tracker.close()
    with pytest.raises(eigenscope.MomentsError, match="never called lstm"):
        with eigenscope.Tracker(net, layers=["lstm", "conv"]) as tracker, tracker.epoch(0):
            net.conv(images(2, 1)[0])


def test_two_processes_write_two_parts(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(f"""
        import torch, torch.utils.checkpoint, eigenscope
        from torch import nn
        torch.distributed.init_process_group("gloo")
        rank = torch.distributed.get_rank()
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
        data = torch.randn(64, 4)
        parallel = nn.parallel.DistributedDataParallel(model)
        with eigenscope.Tracker(parallel, to={str(tmp_path / 'm.h5')!r}) as tracker:
            with tracker.epoch(0):
                parallel(data[rank::2]).sum().backward()
            forward = model.forward
            for epoch, reentrant in ((1, False), (2, True)):
                model.forward = lambda x: torch.utils.checkpoint.checkpoint(forward, x, use_reentrant=reentrant)
                with tracker.epoch(epoch):
                    parallel(data[rank::2].requires_grad_()).sum().backward()
        torch.distributed.destroy_process_group()
    """))
    run_two(script)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    want = outputs_of(model, [torch.randn(64, 4)])
    found = eigenscope.read(tmp_path / "m.h5")
    for epoch in range(3):  # 1 and 2 with gradient checkpointing
        for name in ("0", "2"):
            agree(found[epoch, "train"][name], want[name])

    # A kill between the first records of two parts leaves one part; started again, both are of one run.
    (tmp_path / "m.part0-of-2.h5").unlink()
    run_two(script)
    found = eigenscope.read(tmp_path / "m.h5")[0, "train"]
    for name in ("0", "2"):
        agree(found[name], want[name])


def run_two(script):
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)],
                          capture_output=True, text=True, timeout=200, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr


def test_models_with_hooks_are_saved_and_copied_without_them(net):
    batch = images(20, 1)[0]
    plain = net(batch)
    with eigenscope.Tracker(net, layers=["conv", "head"], mask="images") as tracker, tracker.epoch(0):
        copies = [copy.deepcopy(net)]
        file = io.BytesIO()
        torch.save(net, file)
        file.seek(0)
        copies.append(torch.load(file, weights_only=False))
        copies.append(pickle.loads(pickle.dumps(net)))
        for one in copies:
            assert torch.equal(one(batch), plain) and not tracker.sums
        net(batch)
        assert tracker.sums["conv"].state()[0] == 20 * 36
        assert b"eigenscope" not in file.getvalue()  # whoever loads the model needs no eigenscope
    functions, values = Residual().eval(), torch.randn(4, 5)
    plain = functions(values)
    with eigenscope.Tracker(functions, layers="add*") as tracker, tracker.epoch(0):
        for one in (copy.deepcopy(functions), pickle.loads(pickle.dumps(functions))):
            assert torch.equal(one(values), plain) and not tracker.sums
            nn.init.zeros_(one.fc.weight), nn.init.zeros_(one.fc.bias)
            assert torch.equal(one(values), values)
        assert torch.equal(functions(values), plain) and tracker.sums["add"].state()[0] == 4


def test_inference_mode_and_training_in_one_epoch(net):
    with eigenscope.Tracker(net, layers="embed") as tracker, tracker.epoch(0):
        with torch.inference_mode():
            net(images(20, 1)[0])
        net(images(20, 1)[0]).sum().backward()
        with torch.inference_mode():
            net(images(20, 1)[0])
    assert tracker.sums["embed"].state()[0] == 3 * 20 * 36


def test_copies_in_threads_are_refused():
    model, values = nn.Sequential(nn.ReLU()), torch.randn(2, 8)
    with eigenscope.Tracker(model, layers="0") as tracker, tracker.epoch(0):
        with pytest.raises(eigenscope.MomentsError, match="DataParallel runs copies"):
            model[0]._replicate_for_data_parallel()(values)
        model(values)


def test_parts_that_are_compiled_have_their_own_names():
    model, values = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Linear(3, 2))), torch.randn(8, 4)
    model[1] = torch.compile(model[1], backend="eager")
    with eigenscope.Tracker(model, layers=["0", "1.0"]) as tracker, tracker.epoch(0):
        model(values)
    assert list(tracker.sums) == ["0", "1.0"] and tracker.sums["1.0"].state()[0] == 8


def test_masks_are_found_beside_functions():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, values, mask):
            return torch.relu(self.fc(values))
    model, mask = Masked(), torch.tensor([[1, 1, 0], [1, 0, 0]])
    with eigenscope.Tracker(model, layers=["fc", "relu"], mask="mask") as tracker, tracker.epoch(0):
        model(torch.randn(2, 3, 4), mask)
    assert {name: sums.state()[0] for name, sums in tracker.sums.items()} == {"fc": 3, "relu": 3}


def test_the_program_on_the_package_s_page_runs(tmp_path, monkeypatch, capsys):
    page = (pathlib.Path(__file__).parent.parent / "PACKAGE.md").read_text()
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("0 {'0': ") and printed[-1] == "2 train 4 2000 (3, 3)"


def test_sums_of_classes_take_the_way_of_the_rows(net, tmp_path):
    labels = torch.randint(-1, 3, (40,))
    images = torch.randn(40, 3, 6, 6)
    mask = torch.arange(5)[None] < torch.randint(1, 6, (40, 1))
    tokens, model = torch.randn(40, 5, 4), Tokens()
    want = outputs_of(net, [images])
    for name, tracked, call, rows_of in (
            ("conv", net, lambda at: net(images[at]), lambda at: want["conv"].reshape(40, -1, 6)[at].reshape(-1, 6)),
            ("inner", model, lambda at: model(tokens[at], attention_mask=mask[at]),
             lambda at: model.inner(tokens[at])[mask[at]].detach().double().numpy())):
        with eigenscope.Tracker(tracked, to=tmp_path / f"{name}.h5", layers=[name], classes=3,
                                mask=None if name == "conv" else "attention_mask") as tracker, tracker.epoch(0):
            for at in (slice(0, 25), slice(25, 40)):
                tracker.labels(labels[at])
                call(at)
        for label, found in enumerate(eigenscope.read(tmp_path / f"{name}.h5", classes=True)[0, "train"][name]):
            agree(found, rows_of(labels == label))
