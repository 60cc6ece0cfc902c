"""scores(): scikit-learn's numbers (tests/fixtures/scores), of points, merged files and probes."""
import json

import handmade
import numpy as np
import pandas as pd
import pytest
import xarray
from conftest import HERE

import eigenscope_analysis as es
from eigenscope_analysis import report
from eigenscope_analysis.sweep import Sweep

CASES = json.loads((HERE.parents[1] / "tests/fixtures/scores/golden.json").read_text())["cases"]


def counted(confusion):
    """The variables of a point with this confusion after its second epoch."""
    confusion = np.array(confusion, float)
    blank = np.full((2, 2, len(confusion)), np.nan)
    data = {name: blank.copy() for name in ("recall", "class_samples", "class_predictions")}
    with np.errstate(invalid="ignore"):
        data["recall"][1, 1] = np.diagonal(confusion) / confusion.sum(1)
    data["class_samples"][1, 1], data["class_predictions"][1, 1] = confusion.sum(1), confusion.sum(0)
    variables = {name: (("split", "epoch", "class"), value) for name, value in data.items()}
    probes = np.stack([np.full(confusion.shape, np.nan), confusion])[None]
    variables["probe_confusion"] = (("probe_epoch", "layer", "class", "predicted_class"), probes)
    return xarray.Dataset(variables, {"split": ["train", "eval"], "epoch": [0, 1], "class": np.arange(len(confusion)),
                                      "predicted_class": np.arange(len(confusion))})


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@pytest.mark.parametrize("probes", [False, True])
def test_scores_are_scikit_learns(case, probes):
    found = es.scores(counted(case["confusion"]), probes=probes)
    unknown, known = ({"probe_epoch": 0, "layer": 0}, {"probe_epoch": 0, "layer": 1}) if probes else ({"split": 0, "epoch": 1},
                                                                                                   {"split": 1, "epoch": 1})
    assert all(np.isnan(v.isel(unknown).values).all() for v in found.data_vars.values())
    found = found.isel(known)
    for name in ("recall", "precision", "f1", "specificity"):
        expected = np.full(len(case["confusion"]), np.nan)
        expected[case["known"]] = np.array(case[name]["classes"], float)
        np.testing.assert_allclose(found[name].values, expected, rtol=1e-14)
    for name, mean in (("precision", "mean_precision"), ("f1", "mean_f1")):
        np.testing.assert_allclose(float(found[mean]), case[name]["mean"], rtol=1e-14)
    for name in ("balanced_accuracy", "adjusted_balanced_accuracy"):
        np.testing.assert_allclose(float(found[name]), case[name], rtol=1e-12, atol=1e-15)


def test_a_real_sweep(small, tmp_path, undrawn):
    """Merged points of two and three classes: each point has the numbers of its own file, and the table of points has them."""
    with es.open(small / "all.h5") as merged:
        found, table = es.scores(merged), Sweep(merged).points
        confusion = merged["confusion"].values
        probes = es.scores(merged, probes=True)
    for at, classes in enumerate(table["classes"]):
        counts = confusion[at, -1, :classes, :classes]
        known = counts.sum(1) > 0
        recall = np.diagonal(counts)[known] / counts.sum(1)[known]
        np.testing.assert_allclose(table["balanced_accuracy"][at], recall.mean(), rtol=1e-12)
        np.testing.assert_allclose(found["f1"].values[at, 1, -1, :classes][known],
                                   2 * np.diagonal(counts)[known] / (counts.sum(0) + counts.sum(1))[known], rtol=1e-12)
        assert np.isnan(found["f1"].values[at, 1, -1, classes:]).all()
    assert probes["balanced_accuracy"].dims == ("point", "probe_epoch", "layer")
    report.write(small / "all.h5", tmp_path / "report")
    written = pd.read_csv(tmp_path / "report/tables/points.csv")
    np.testing.assert_allclose(written["mean_f1"], table["mean_f1"], rtol=1e-5)


def test_older_files_have_none(write):
    with es.open(write(handmade.make())) as dataset:
        with pytest.raises(es.SchemaError, match="the file has no class_predictions"):
            es.scores(dataset)
        assert "mean_f1" not in Sweep(dataset).points
