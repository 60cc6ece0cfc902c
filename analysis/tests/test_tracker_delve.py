"""CheckLayerSat against delve's columns and against numpy over all batches. Skipped without PyTorch."""
import csv
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import eigenscope  # noqa: E402
from eigenscope import CheckLayerSat, moments  # noqa: E402


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)))


def batches(n=3):
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(100, 3, 6, 6, generator=generator) for _ in range(n)]


def run(tracker, model, epochs=2):
    for _ in range(epochs):
        model.train()
        for batch in batches():
            model(batch)
        model.eval()
        with torch.no_grad():
            model(batches(1)[0])
        tracker.add_scalar("training_loss", 0.5)
        tracker.add_saturations()
    tracker.close()


def table(path):
    with open(path, newline="") as file:
        return {row[0]: row[1:] for row in zip(*csv.reader(file, delimiter=";"))}


def test_all_batches_count(tmp_path):
    model = network()
    run(CheckLayerSat(str(tmp_path / "run"), "csv", model, stats=["lsat", "idim", "trc"], device="cpu"), model)
    found = table(tmp_path / "run.csv")
    with torch.no_grad():
        rows = {"0": [model[0](batch).permute(0, 2, 3, 1).reshape(-1, 6) for batch in batches()],
                "2-2": [model(batch) for batch in batches()]}
    for label, parts in rows.items():
        covariance = np.cov(torch.cat(parts).double().numpy().T, bias=True)
        k = moments.count(np.linalg.eigvalsh(covariance)[::-1], 0.99)
        assert [float(v) for v in found[f"train-saturation_{label}"]] == [k / len(covariance)] * 2
        assert [float(v) for v in found[f"train-intrinsic-dimensionality_{label}"]] == [k] * 2
        assert np.allclose([float(v) for v in found[f"train-covariance-trace_{label}"]], np.trace(covariance), rtol=1e-6)
    assert found["training_loss"] == ("0.5", "0.5") and "eval-saturation_2-2" in found
    layers = eigenscope.read(tmp_path / "run.h5")[0, "train"]
    assert layers["2.2"][0] == 300  # delve has 100, the last batch


def test_the_columns_are_those_of_delve(tmp_path):
    delve = pytest.importorskip("delve")
    tables = []
    for kind, name in ((delve.SaturationTracker, "theirs"), (CheckLayerSat, "ours")):
        model = network()
        run(kind(str(tmp_path / name), "csv", model, stats=["lsat", "idim"], device="cpu"), model)
        tables.append(table(tmp_path / f"{name}.csv"))
    assert sorted(tables[0]) == sorted(tables[1])
    assert [len(values) for values in tables[0].values()] == [len(values) for values in tables[1].values()]


def test_layers_of_a_list_have_the_columns_of_delve(tmp_path):
    delve = pytest.importorskip("delve")
    tables = []
    for kind, name in ((delve.SaturationTracker, "theirs"), (CheckLayerSat, "ours")):
        model = network()
        run(kind(str(tmp_path / name), "csv", [model[0], model[2]], device="cpu"), model)
        tables.append(table(tmp_path / f"{name}.csv"))
    assert sorted(tables[0]) == sorted(tables[1]) and "train-saturation_Module-0-Conv2d" in tables[1]


class PhdLab:
    """Uses its tracker as phd-lab's Trainer does: with the same writer, arguments and calls (MLRichter/phd-lab,
    phd_lab/experiments/trainer.py), for an epoch less of everything else."""

    def __init__(self, kind, path, model, initial_epoch=0, downsampling=None):
        from delve.writers import CSVandPlottingWriter
        self.model = model
        self.tracker = kind(
            path, [CSVandPlottingWriter(path, primary_metric="test_accuracy")], model, ignore_layer_names="convolution",
            stats=["lsat", "idim"], sat_threshold=0.99, verbose=False, conv_method="channelwise", log_interval=1, device="cpu",
            reset_covariance=True, max_samples=None, initial_epoch=initial_epoch,
            interpolation_strategy="nearest" if downsampling is not None else None, interpolation_downsampling=downsampling)

    def train(self, epochs):
        optimizer = torch.optim.SGD(self.model.parameters(), 0.01)
        for _ in range(epochs):
            self.model.train()
            for inputs in batches():
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = nn.functional.cross_entropy(self.model(inputs), torch.zeros(len(inputs), dtype=torch.int64))
                loss.backward()
                optimizer.step()
            self.tracker.add_scalar("training_accuracy", 0.4)
            self.tracker.add_scalar("training_loss", loss.item())
            self.model.eval()
            with torch.no_grad():
                self.model(batches(1)[0])
            self.tracker.add_scalar("test_accuracy", 0.5)
            self.tracker.add_saturations()
            torch.save({"model_state_dict": self.model.state_dict(), "optimizer": optimizer.state_dict()}, os.devnull)
        self.tracker.close()


@pytest.mark.parametrize("downsampling", [None, 2])
def test_scripts_of_phdlab_run_with_another_import(tmp_path, downsampling):
    delve = pytest.importorskip("delve")
    tables = []
    for kind, name in ((delve.SaturationTracker, "theirs"), (CheckLayerSat, "ours")):
        model, path = network(), str(tmp_path / name)
        PhdLab(kind, path, model, downsampling=downsampling).train(2)
        PhdLab(kind, path, model, initial_epoch=2, downsampling=downsampling).train(1)
        with open(f"{path}.csv", newline="") as file:
            tables.append({row[0]: row[1:] for row in zip(*csv.reader(file, delimiter=";"))})
    assert sorted(tables[0]) == sorted(tables[1])
    assert all(len(values) == 3 for one in tables for values in one.values())
    rows = eigenscope.read(tmp_path / "ours.h5")
    assert sorted(rows) == [(epoch, split) for epoch in range(3) for split in ("eval", "train")]
    assert rows[2, "train"]["2.2"][0] == 300


def test_autocast_does_not_reach_the_products(tmp_path):
    model, kept = network(), []
    model[0].register_forward_hook(lambda _module, _inputs, output: kept.append(output.detach()))
    tracker = CheckLayerSat(str(tmp_path / "run"), "csv", model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for batch in batches():
            model(batch)
    n, _, moment = tracker.totals["train"]["0"].state()
    reference = np.cov(torch.cat(kept).movedim(1, -1).reshape(-1, 6).double().numpy().T, bias=True)
    assert np.linalg.norm(moment / n - reference, 2) <= 1e-6 * np.linalg.eigvalsh(reference)[-1]
    tracker.close()


@pytest.mark.parametrize("method", ["channelwise", "mean", "max", "median", "flatten"])
def test_methods_are_those_of_delve_for_one_batch(tmp_path, method):
    model, batch = network(), batches(1)[0]
    tracker = CheckLayerSat(str(tmp_path / "run"), "csv", model, conv_method=method, stats=["lsat"])
    model(batch)
    n, _, moment = tracker.totals["train"]["0"].state()
    value = model[0](batch).detach().double()
    flat = value.flatten(2)
    rows = {"channelwise": flat.transpose(1, 2).reshape(-1, 6), "mean": flat.mean(2), "max": flat.amax(2),
            "median": flat.median(2).values, "flatten": value.flatten(1)}[method].numpy()
    reference = np.cov(rows.T, bias=True)
    assert n == len(rows)
    assert np.linalg.norm(moment / n - reference, 2) <= 1e-6 * np.linalg.eigvalsh(reference)[-1]
    tracker.close()


def test_stop_resume_and_samples(tmp_path):
    model = network()
    tracker = CheckLayerSat(str(tmp_path / "run"), "csv", model, max_samples=150)
    tracker.stop()
    model(batches(1)[0])
    assert not tracker.is_recording() and not tracker.totals["train"]
    tracker.resume()
    for batch in batches():
        model(batch)
    assert tracker.totals["train"]["2.2"].state()[0] == 150
    tracker.close()


def test_a_refused_tracker_takes_no_file_and_no_lock(tmp_path):
    path, batch = tmp_path / "run", torch.randn(50, 4)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    with pytest.raises(ZeroDivisionError):
        CheckLayerSat(path, "csv", model, layer_filter=lambda layers: 1 / 0)
    first = CheckLayerSat(path, "csv", model)
    model(batch)
    first.add_saturations()
    with pytest.raises(eigenscope.MomentsError, match="another tracker of this process"):
        CheckLayerSat(path, "csv", model)
    model(batch)
    first.add_saturations()
    first.close()
    assert [n for layers in eigenscope.read(f"{path}.h5").values() for n, _, _ in layers.values()] == [50, 50]


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(eigenscope.MomentsError, match="stats has 'embed'"):
        CheckLayerSat(str(tmp_path / "run"), "csv", network(), stats=["embed"])
    with pytest.raises(eigenscope.MomentsError, match="conv_method is 'mode'"):
        CheckLayerSat(str(tmp_path / "run"), "csv", network(), conv_method="mode")
