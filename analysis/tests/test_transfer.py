"""Probes on other datasets (probe.datasets): the table, the sentences, the figure, and a real file."""
import os

import handmade
import numpy as np
import pytest
from conftest import run_program

import eigenscope_analysis as es
from eigenscope_analysis import figures, report
from eigenscope_analysis.findings import Findings
from eigenscope_analysis.sweep import Sweep
from eigenscope_analysis.transfer import Transfer

TITLE, CONVERGENCE = "Probes on other datasets", "Convergence of the probes on other datasets"
JOB = """\
name: transfer
output: out
grid: {dataset: shapes, model: tiny, seed: [0, 1]}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets:
  shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 90, eval: 45}
  more: {format: synthetic, classes: 5, complexity: 1, size: 16, train: 60, eval: 30, seed: 3}
train: {epochs: 2, batch: 16, learning_rate: 0.05}
probe: {epochs: [1, 2], datasets: [more]}
"""


def said(findings, title=TITLE):
    return next((s["text"] for s in findings.sentences if s["title"] == title), None)


def test_table_and_sentences():
    made = handmade.with_transfer(handmade.make())
    findings = Findings(Sweep(made))
    table = findings.tables["transfer"]
    assert len(table) == 9 * 2 * 8 and set(table["split"]) == {"eval"}
    rows = table[(table["probe_dataset"] == "svhn") & (table["width"] == 1 / 8) & (table["classes"] == 4)]
    own = made["probe_accuracy"].values[(made["width"].values == 1 / 8) & (made["classes"].values == 4), 1, 0]
    np.testing.assert_allclose(rows["own_accuracy"], own.mean(axis=0))
    np.testing.assert_allclose(rows["accuracy"], own.mean(axis=0) - 0.1)
    assert set(rows["classes_of_it"]) == {5} and (rows["not_converged"] == 0).all()
    assert (rows["low"] < rows["accuracy"]).all() and (rows["high"] > rows["accuracy"]).all()
    assert set(table["relation"]) == {"other"}
    assert said(findings) == (
        "cifar10 (10 classes): in 9 of 9 networks a layer before the last hidden one is more accurate by over 1 point, on average by 10.0. "
        "svhn (5 classes): in 0 of 9 networks a layer before the last hidden one is more accurate by over 1 point.")
    assert said(findings, CONVERGENCE) == "All 432 probes on other datasets converged."
    made["probe_dataset_converged"].values[4, 0, 0, 2] = 0
    made["probe_dataset_converged"].values[5, 1, 0, 3] = 255
    findings = Findings(Sweep(made))
    assert said(findings, CONVERGENCE) == (
        "1 of 431 probes on other datasets did not converge, so their accuracies are not certain. Datasets: cifar10. "
        f"Layers: {handmade.NAMES[2]} (1). Points: 4.")
    assert findings.tables["transfer"]["not_converged"].sum() == 1


def test_one_network():
    one = handmade.with_transfer(handmade.make(widths=(1 / 8,), classes=(4,), seeds=(0,)))
    text = said(Findings(Sweep(one)))
    assert f"cifar10 (10 classes): most accurate behind {handmade.NAMES[4]} (60.0 %), 10.0 percentage points above the last hidden layer." in text
    one["probe_dataset_accuracy"].values[:, :, 1] = np.nan  # only the train split
    assert Transfer(Sweep(one)).split == "train"
    one["probe_dataset_accuracy"].values[:] = np.nan
    findings = Findings(Sweep(one))
    assert said(findings) is None and said(findings, CONVERGENCE) is None and "transfer" not in findings.tables


def test_a_tie_is_no_lead():
    """The first layer is as accurate as the last hidden one; with another seed in another order, where a mean of equal numbers rounds."""
    one = handmade.with_transfer(handmade.make(widths=(1 / 8,), classes=(4,), seeds=(0, 1, 2)))
    accuracy = one["probe_dataset_accuracy"].values
    accuracy[:] = 0.5
    accuracy[:, 0, :, :, 0], accuracy[:, 0, :, :, -2] = np.array([0.1, 0.7, 0.9]).reshape(-1, 1, 1), np.array([0.9, 0.1, 0.7]).reshape(-1, 1, 1)
    accuracy[:, 1, :, :, 2] = 0.5002
    assert said(Findings(Sweep(one))) == (
        f"cifar10 (10 classes): no hidden layer is more accurate than the last one, {handmade.NAMES[6]} (56.7 %). "
        f"svhn (5 classes): most accurate behind {handmade.NAMES[2]} (50.0 %), 0.020 percentage points above the last hidden layer.")


def test_intervals_end_at_0_and_1():
    one = handmade.with_transfer(handmade.make(widths=(1 / 8,), classes=(4,), seeds=(0, 1)))
    one["probe_dataset_accuracy"].values[:, 0, 1, 0, 0] = 0.7, 0.9  # 0.8 ± 1.27
    one["probe_dataset_accuracy"].values[0, 0, 1, 0, 1] = np.nan
    rows = Findings(Sweep(one)).tables["transfer"].iloc[:2]
    np.testing.assert_allclose(rows["accuracy"], [0.8, one["probe_dataset_accuracy"].values[1, 0, 1, 0, 1]])
    np.testing.assert_array_equal(rows[["low", "high"]], [[0, 1], [np.nan, np.nan]])


def test_the_dataset_of_the_network_is_no_other_dataset():
    """A sweep of two datasets that probes both (cifar10: 10 classes, svhn: 5): pairs of equal names are left out of sentences and figure,
    or are the problem of all classes."""
    made = handmade.with_transfer(handmade.make(datasets=("cifar10", "svhn"), classes=(5, 10), widths=(1 / 8,)))
    findings = Findings(Sweep(made))
    relation = findings.tables["transfer"].groupby(["dataset", "classes", "probe_dataset"])["relation"].unique().map(list).to_dict()
    assert relation == {("cifar10", 5, "cifar10"): ["all classes"], ("cifar10", 5, "svhn"): ["other"], ("cifar10", 10, "cifar10"): ["own"],
                        ("cifar10", 10, "svhn"): ["other"], ("svhn", 5, "cifar10"): ["other"], ("svhn", 5, "svhn"): ["own"],
                        ("svhn", 10, "cifar10"): ["other"], ("svhn", 10, "svhn"): ["own"]}
    assert said(findings) == (
        "cifar10 (10 classes): in 2 of 2 networks trained on other datasets a layer before the last hidden one is more accurate by over 1 point, on "
        "average by 10.0. cifar10 (all 10 classes), network cifar10, 5 classes: most accurate behind features.14 (60.0 %), 10.0 percentage points above "
        "the last hidden layer. svhn (5 classes): in 0 of 2 networks trained on other datasets a layer before the last hidden one is more accurate by "
        "over 1 point.")
    assert said(findings, CONVERGENCE) == f"All {(12 * 2 - 9) * 8} probes on other datasets converged."
    figure, caption = figures.transfer.ACCURACY.draw(Sweep(made))
    lines = [[line.get_label() for line in axis.lines][1:] for axis in figure.axes]
    assert lines == [["cifar10 (all 10 classes)", "svhn (5 classes)"], ["svhn (5 classes)"], ["cifar10 (10 classes)"], ["cifar10 (10 classes)"]]
    assert "or on all classes of its dataset" in caption
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"the dataset of the network", *sum(lines, [])}
    figures.transfer.style.plt.close(figure)
    own = handmade.with_transfer(handmade.make(datasets=("cifar10",), classes=(10,))).isel(probe_dataset=[0])
    findings = Findings(Sweep(own))
    assert said(findings) is None and said(findings, CONVERGENCE) is None and set(findings.tables["transfer"]["relation"]) == {"own"}
    with pytest.raises(figures.Nothing, match="only the dataset of the network"):
        figures.transfer.ACCURACY.draw(Sweep(own))


def test_without():
    findings = Findings(Sweep(handmade.make()))
    assert said(findings) is None and "transfer" not in findings.tables
    with pytest.raises(figures.Nothing, match="probe.datasets"):
        figures.transfer.ACCURACY.draw(Sweep(handmade.make()))


def test_figure():
    made = handmade.with_transfer(handmade.make(widths=(1 / 8, 1 / 4), classes=(2,)))
    figure, caption = figures.transfer.ACCURACY.draw(Sweep(made))
    first = figure.axes[0]
    assert [line.get_label() for line in first.lines] == ["the dataset of the network", "cifar10 (10 classes)", "svhn (5 classes)"]
    np.testing.assert_allclose(first.lines[1].get_ydata(), 100 * made["probe_dataset_accuracy"].values[0, 0, 1, 0])
    assert "their eval splits" in caption and "mean over seeds" in caption
    figures.transfer.style.plt.close(figure)


def test_real_file(tmp_path, without_png):
    """Names, dimensions and types are those of the program, and the report has the figure, the table and the sentence."""
    if "EIGENSCOPE" not in os.environ:
        pytest.skip("EIGENSCOPE names no program")
    (tmp_path / "job.yaml").write_text(JOB)
    run_program("run", "job.yaml", "--quiet", cwd=tmp_path)
    run_program("merge", "job.yaml", "--to", "all.h5", cwd=tmp_path)
    with es.open(tmp_path / "all.h5") as real:
        made = handmade.with_transfer(handmade.make())
        names = [n for n in made.variables if n.startswith("probe_dataset")]
        assert sorted(names) == sorted(n for n in real.variables if n.startswith("probe_dataset"))
        for name in names:
            assert real[name].dims == made[name].dims, name
            assert (real[name].dtype.kind in "fiu") == (made[name].dtype.kind in "fiu"), name
        transfer = Transfer(Sweep(real))
        assert transfer.names == ["more"] and transfer.title(0) == "more (5 classes)"
        np.testing.assert_array_equal(transfer.accuracy[:, 0], real["probe_dataset_accuracy"].values[:, 0, 1, -1])
    page = report.write(tmp_path / "all.h5", tmp_path / "report").read_text()
    assert "figures/transfer.svg" in page and (tmp_path / "report" / "tables" / "transfer.csv").is_file() and "more (5 classes)" in page
    with es.open(next((tmp_path / "out" / "points").glob("*.h5"))) as point:  # not merged: its dataset_classes have no point
        one = Transfer(Sweep(point))
        assert one.names == ["more"] and one.classes.tolist() == [5] and one.converged.shape == (1, 1, 2, 4)
