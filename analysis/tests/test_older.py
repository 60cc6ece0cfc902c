"""Files written before 2026-11-28 agree with new ones: the border layer of every kind of network, and words with another meaning."""
import csv
import io

import h5py
import numpy as np
import pytest
from conftest import run_program

import eigenscope_analysis as es
from eigenscope_analysis import compare, older

MODELS = ("vgg11", "mlp", "resnet18", "mobilenet_v2", "own", "plain", "late", "stem", "deep", "straight", "few", "mobile")
JOB = """\
name: nets
output: out
grid: {dataset: shapes, model: [%s], width: 1/8, measure.convention: pca-layer}
models:
  own: {vgg: [16, M, 32, A, 32, M, 64]}
  plain: {vgg: vgg13, batch_norm: false, head: torchvision}
  late: {vgg: [16]}
  stem: {resnet: 18, stem: imagenet}
  deep: {resnet: 50}
  straight: {resnet: 18, skip: false}
  few: {resnet: [1, 2, 1], stem: imagenet, skip: false}
  mobile: {mobilenet: v2, stem: imagenet, skip: false}
datasets: {shapes: {format: synthetic, classes: 2, complexity: 1, size: 32, train: 8, eval: 8}}
train: {epochs: 1, batch: 8}
measure: {method: mean, splits: [eval]}
checkpoint: {keep: none}
""" % ", ".join(f"'{m}'" for m in MODELS)


def make_old(path, damage=lambda job: job):
    """Changes a file to what the program wrote before."""
    with h5py.File(path, "r+") as file:
        file["layer_border"].attrs["long_name"] = older.LONG_NAME
        file["layer_border"][...] = 0
        job = file.attrs["job"].replace("method: mean", "method: median")
        file.attrs["job"] = damage(job.replace("pca-layer", "delve"))
        if "measure_convention" in file.attrs:
            file.attrs["measure_convention"] = "delve"
        else:
            file["measure_convention"][...] = ["delve"] * len(MODELS)


def borders(merged):
    """The border layer of each model."""
    return {model: "".join(names[border == 1]) for model, names, border in
            zip(merged["model"].values, merged["layer_name"].values, merged["layer_border"].values)}


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """The folder of the job, and the border layers of new files by model."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "job.yaml").write_text(JOB)
    run_program("run", "job.yaml", "--quiet", cwd=folder)
    run_program("merge", "job.yaml", "--to", "new.h5", "--no-spectra", cwd=folder)
    with es.open(folder / "new.h5") as new:
        expected = borders(new)
    assert expected["vgg11"] == "features.18" and expected["resnet18"] == "fc" and expected["late"] == "classifier.2"
    assert expected["stem"] == "layer3.1.conv2" and expected["straight"] == "layer3.1.conv1" and expected["mlp"] == "classifier.3"
    return folder, expected


def test_old_files_are_read_as_new_ones(nets):
    folder, expected = nets
    for path in (folder / "out/points").glob("*.h5"):
        make_old(path)
        with es.open(path) as old:
            model = old.attrs["model"]
            assert list(old["layer"].values[old["layer_border"].values == 1]) == [expected[model]], model
            assert old.attrs["measure_convention"] == "pca-layer" and '.convention: "pca-layer"' in old.attrs["job"]
            assert "  method: numpy-median\n" in old.attrs["job"]
        rows = csv.DictReader(io.StringIO(run_program("show", path, "--format", "csv", cwd=folder).stdout))
        assert {r["layer"] for r in rows if r["layer_border"] == "1"} == {expected[model]}
        shown = run_program("show", path, "--format", "json", cwd=folder).stdout
        assert '"measure_convention": "pca-layer"' in shown and "method: numpy-median" in shown
    run_program("merge", "job.yaml", "--to", "all.h5", "--no-spectra", cwd=folder)  # pca-layer has the ids that delve had
    assert compare.run(str(folder / "new.h5"), str(folder / "all.h5")) == 0
    with h5py.File(folder / "all.h5") as merged, h5py.File(folder / "new.h5") as new:
        np.testing.assert_array_equal(merged["layer_border"], new["layer_border"])
        assert set(merged["measure_convention"].asstr()) == {"pca-layer"}


def test_old_merged_files_are_read_as_new_ones(nets):
    folder, expected = nets
    run_program("merge", "job.yaml", "--to", "old.h5", "--no-spectra", cwd=folder)
    make_old(folder / "old.h5")
    with es.open(folder / "old.h5") as old:
        assert borders(old) == expected
        assert set(old["measure_convention"].values) == {"pca-layer"}
        assert 'measure.convention: ["pca-layer"]' in old.attrs["job"] and "method: numpy-median" in old.attrs["job"]
    assert compare.run(str(folder / "new.h5"), str(folder / "old.h5")) == 0
    assert "pca-layer" in run_program("show", "old.h5", cwd=folder).stdout


def test_an_unknown_network_keeps_its_marks(nets):
    folder, _ = nets
    run_program("merge", "job.yaml", "--to", "other.h5", "--no-spectra", cwd=folder)
    make_old(folder / "other.h5", lambda job: job.replace("resnet: [1, 2, 1]", "resnet: [one]").replace("mobilenet:", "swin:"))
    with h5py.File(folder / "other.h5", "r+") as file:
        file["layer_border"][:, 3] = 1
    with es.open(folder / "other.h5") as old:
        for model, row in zip(old["model"].values, old["layer_border"].values):
            assert (row[3] == 1 and row.sum() == 1) == (model in ("few", "mobile")), model
