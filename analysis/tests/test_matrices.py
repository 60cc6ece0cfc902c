"""Weight matrices in the report: the figure, the table of layers and the sentence have the numbers of the file."""
import handmade
import numpy as np
import pandas as pd
import pytest

from eigenscope_analysis import figures, report
from eigenscope_analysis.sweep import Sweep

NUMBERS = ("frobenius_norm", "spectral_norm", "stable_rank", "alpha", "ks_distance", "x_min", "tail", "distance_first", "distance_previous")


def with_weights(**changes):
    """Layer 1 has no matrix; epoch 1 was not measured; the last epoch of point 0 diverged."""
    made = handmade.make(**{"widths": (1 / 16, 1 / 8), "classes": (2,), "seeds": (0, 1), "n_epochs": 3, "n_layers": 4, **changes})
    random, shape = np.random.default_rng(4), (made.sizes["point"], 4, 4)
    for name in NUMBERS:
        values = random.uniform(0.5, 8, shape)
        values[:, :, 1] = values[:, 1] = values[0, 3] = np.nan
        if name == "distance_first":
            values[:, 0] = np.where(np.isfinite(values[:, 0]), 0, np.nan)
        made[f"weights_{name}"] = (("point", "epoch", "layer"), values)
    return made


def last(made, name):
    """(point, layer)"""
    values = made[f"weights_{name}"].values
    return np.concatenate([values[:1, 2], values[1:, 3]])


def test_report(tmp_path, undrawn):
    made = with_weights()
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report").read_text(encoding="utf-8")
    moved = last(made, "distance_first") / made["weights_frobenius_norm"].values[:, 0]
    drawn = pd.read_csv(tmp_path / "report/figures/weights.csv")
    names = made["layer_name"].values[0]
    assert set(drawn["x"]) == set(names[[0, 2, 3]])
    for panel, values in (("spectral norm", last(made, "spectral_norm")), ("stable rank", last(made, "stable_rank")),
                          ("exponent α of the power law", last(made, "alpha")), ("distance from the first weights, relative to their norm", moved)):
        for network, rows in (("width 1/16", [0, 1]), ("width 1/8", [2, 3])):
            found = drawn[(drawn["panel"] == panel) & (drawn["series"] == network)]
            np.testing.assert_allclose(found["y"], values[rows][:, [0, 2, 3]].mean(axis=0), rtol=1e-5)
    table = pd.read_csv(tmp_path / "report/tables/layers.csv")
    for name in ("frobenius_norm", "spectral_norm", "stable_rank", "alpha", "ks_distance", "distance_first"):
        np.testing.assert_allclose(table[f"weights_{name}"], np.concatenate([last(made, name)[rows].mean(axis=0) for rows in ([0, 1], [2, 3])]), rtol=1e-5)
    means = {name: np.array([values[rows].mean(axis=0) for rows in ([0, 1], [2, 3])]) for name, values in
             (("rank", last(made, "stable_rank")), ("alpha", last(made, "alpha")), ("moved", moved))}
    assert "6 weight matrices of 2 networks after the last measured epoch" in page
    for name, words in (("rank", "Stable rank: "), ("alpha", "power law of the spectrum: "), ("moved", "as a share of their norm: ")):
        known = means[name][np.isfinite(means[name])]
        assert f"{words}{np.median(known):.2f} in the median ({known.min():.2f} to {known.max():.2f})" in page
    most = names[np.unravel_index(np.nanargmax(means["moved"]), means["moved"].shape)[1]]
    assert f"the most in {most} and the least in" in page


def test_without_numbers(tmp_path, undrawn):
    """No key, no complete point, and numbers that are all NaN."""
    made = with_weights()
    plain = handmade.make(widths=(1 / 16,), classes=(2,), seeds=(0,), n_epochs=3, n_layers=4)
    page = report.write(handmade.write(plain, tmp_path / "hand.h5"), tmp_path / "report").read_text(encoding="utf-8")
    assert "figure-weights" not in page and "weight matri" not in page
    for name in NUMBERS:
        made[f"weights_{name}"].values[:] = np.nan
    with pytest.raises(figures.Nothing, match="no complete point has weights"):
        figures.weights.WEIGHTS.draw(Sweep(made))
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report").read_text(encoding="utf-8")
    assert "weight matri" not in page and "figure-weights" not in page
