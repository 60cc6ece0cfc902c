"""Findings: a known law is found; missing, NaN, diverged and padded values are handled."""
import handmade
import numpy as np
import pytest

from eigenscope_analysis import statistics
from eigenscope_analysis.findings import NOT_COMPARED, Findings
from eigenscope_analysis.sweep import Sweep


@pytest.fixture
def find():
    """Findings of a dataset made by hand, without a file (test_report.py uses files)."""
    return lambda dataset: Findings(Sweep(dataset))


def effect(findings, response, name, layers=None):
    table = findings.tables["effects"]
    rows = table[(table.response == response) & table.effect.str.startswith(name)]
    if layers is not None:
        rows = rows[rows.layers == layers]
    return rows.iloc[0]


def said(findings, title):
    return next(s["text"] for s in findings.sentences if s["title"].startswith(title))


def test_the_law_is_found_again(find):
    findings = find(handmade.make())
    for layers in ("all layers", "without tail layers", "before the border layer"):
        assert effect(findings, "saturation", "rank correlation with width", layers).estimate == -1
        assert effect(findings, "saturation", "rank correlation with classes", layers).estimate == 1
        assert effect(findings, "saturation", "doubling the width", layers).estimate == pytest.approx(-10)
        assert effect(findings, "saturation", "doubling the number", layers).estimate == pytest.approx(5)
        assert effect(findings, "saturation", "interaction", layers).estimate == pytest.approx(0, abs=1e-9)
    late = 1 - 0.5 * np.exp(-5)  # share of its final accuracy that a network reaches at the last epoch
    assert effect(findings, "accuracy", "doubling the width").estimate == pytest.approx(2 * late)
    assert effect(findings, "accuracy", "doubling the number").estimate == pytest.approx(-3 * late)
    assert "wider networks are less saturated" in said(findings, "Effects on saturation, all layers")
    assert "problems of more classes are less accurate" in said(findings, "Effects on accuracy").lower()


def test_an_effect_that_turns_round_is_said_to_do_so(find):
    made = handmade.make()
    made["saturation"] = 1 - made["saturation"]
    text = said(find(made), "Effects on saturation, all layers")
    assert "wider networks are more saturated" in text and "of more classes are less saturated" in text


def test_an_effect_of_the_tail_alone_vanishes_without_it(find):
    """Width affects the tail layers only: the effect exists over all layers and vanishes without them."""
    made = handmade.make()
    values = made["saturation"].values
    tail = made["layer_tail"].values[0] == 1
    values[..., ~tail, :] = values[:1][..., ~tail, :]
    findings = find(made)
    assert effect(findings, "saturation", "doubling the width", "all layers").estimate < -2
    assert effect(findings, "saturation", "doubling the width", "without tail layers").estimate == pytest.approx(0, abs=1e-9)
    assert "doubling the width cannot be told from 0 without tail layers" in said(findings, "Do the effects hold")
    held = said(find(handmade.make()), "Do the effects hold")
    assert "doubling the width holds without tail layers (−10.0 against −10.0 percentage points)" in held


def test_intervals_hold_the_spread_of_seeds(find):
    """The effect of width differs by seed: the interval includes it; one seed has no interval."""
    made = handmade.make(noise=0)
    steps = np.log2(made["width"].values.astype(float)) * (made["seed"].values - 1) * 0.02
    made["saturation"] = made["saturation"] + steps[:, None, None, None, None]
    row = effect(find(made), "saturation", "doubling the width", "all layers")
    assert row.estimate == pytest.approx(-10)
    assert row.low == pytest.approx(-12, abs=0.1) and row.high == pytest.approx(-8, abs=0.1)
    one = find(handmade.make(seeds=(0,)))
    assert np.isnan(effect(one, "saturation", "doubling the width", "all layers").low)
    assert "one seed: no interval" in said(one, "Effects on accuracy")
    assert "has the same sign (one seed: no interval) without tail layers" in said(one, "Do the effects hold")


def test_verdict_and_recommendation(find):
    """By the law, a doubling gains 2 points of accuracy, so only the widest network is within one point of the best."""
    findings = find(handmade.make())
    assert set(findings.tables["recommend"]["width"]) == {"1/4"}
    verdicts = findings.tables["points"].groupby("width")["verdict"].unique()
    assert [list(v) for v in verdicts] == [["under-parameterised"], ["under-parameterised"], ["balanced"]]
    made = handmade.make()
    made["accuracy"].values[made["width"].values >= 1 / 8] = 0.9  # no gain beyond 1/8
    findings = find(made)
    assert set(findings.tables["recommend"]["width"]) == {"1/8"}
    assert [list(v) for v in findings.tables["points"].groupby("width")["verdict"].unique()] == \
        [["under-parameterised"], ["balanced"], ["over-parameterised"]]
    apart = findings.tables["told_apart"].set_index("epoch")["under_more_saturated"]
    assert apart[5] == 1 and apart[0] == 0  # at initialisation all are alike


def test_one_width_is_not_compared(find):
    findings = find(handmade.make(widths=(1 / 8,)))
    assert set(findings.tables["points"]["verdict"]) == {NOT_COMPARED}
    assert said(findings, "Width to choose").startswith("Not decidable")


def test_no_probes_no_tail(find):
    findings = find(handmade.make(probes=False))
    assert said(findings, "Effects on saturation, without tail layers").startswith("Not decidable: no probes were fitted")
    assert np.isnan(findings.tables["points"]["tail_share"]).all()


def test_flagged_layers_are_left_out_of_means(find):
    made = handmade.make(seeds=(0,))
    made["flags"].values[0, :, :, 0] = 2  # undersampled
    made["saturation"].values[0, :, :, 0] = 1
    clean = find(handmade.make(seeds=(0,))).tables["points"]["saturation"]
    flagged = find(made).tables["points"]["saturation"]
    values = made["saturation"].values[0, 1, -1, 1:7, 1]
    assert flagged[0] == pytest.approx(values.mean())
    np.testing.assert_array_equal(flagged[1:], clean[1:])


def test_diverged_points_are_listed_and_left_out(find):
    made = handmade.make()
    made["outcome"].values[0] = "diverged"
    made["reason"].values[0] = "loss is NaN in epoch 2"
    for name in ("saturation", "accuracy"):
        made[name].values[0, :, 2:] = np.nan
    findings = find(made)
    row = findings.tables["points"].iloc[0]
    assert row.verdict == "none: diverged" and row.epochs == 1
    assert findings.tables["networks"]["seeds"].tolist() == [2] + [3] * 8
    assert effect(findings, "accuracy", "doubling the width").points == 26


def test_padded_points_keep_to_their_own_layers_and_epochs(find):
    """A network with fewer layers and a training with fewer epochs, merged with longer ones."""
    made = handmade.make(models=("vgg16", "tiny"))
    short = np.flatnonzero(made["model"].values == "tiny")
    alone = find(made.isel(point=short)).tables["points"]
    made["layer_name"].values[np.ix_(short, [0])] = ""
    made["layer_width"].values[np.ix_(short, [0])] = -1
    made["saturation"].values[short, :, :, 0] = np.nan
    made["saturation"].values[short, :, 4:] = np.nan
    made["accuracy"].values[short, :, 4:] = np.nan
    findings = find(made)
    points = findings.tables["points"].iloc[short]
    assert set(points["epochs"]) == {3}
    expected = made["saturation"].values[short, 1, 3, 1:7, 1].mean(axis=1)
    np.testing.assert_allclose(points["saturation"], expected)
    assert (points["saturation"].to_numpy() != alone["saturation"].to_numpy()).all()
    layers = findings.tables["layers"]
    assert (layers[layers.model == "tiny"].groupby(["width", "classes"]).size() == 7).all()
    assert (layers[layers.model == "vgg16"].groupby(["width", "classes"]).size() == 8).all()


def test_stability_is_from_where_it_stays(find):
    made = handmade.make(n_epochs=5)
    made["stability_pearson"].values[:] = np.array([0.2, 0.99, 0.90, 0.96, 0.99, 1.0])[None, None, None, :, None]
    assert set(find(made).tables["points"]["stable_epoch"]) == {3}
    made["stability_pearson"].values[:] = np.array([0.2, 0.99, 0.99, 0.99, 0.90, 1.0])[None, None, None, :, None]
    findings = find(made)
    assert np.isnan(findings.tables["points"]["stable_epoch"]).all()  # the last epoch itself is no evidence
    assert said(findings, "Epoch of stability").startswith("In 0 of 27 points")


def test_datasets_are_ordered_by_accuracy(find):
    made = handmade.make(datasets=("hard", "easy"))
    hard = made["dataset"].values == "hard"
    made["accuracy"].values[hard] -= 0.2
    made["saturation"].values[hard] += 0.05
    findings = find(made)
    assert list(findings.tables["datasets"]["dataset"]) == ["easy", "hard"]
    assert "In 9 of 9 pairs the one with less accuracy is more saturated" in said(findings, "Datasets")


def test_everything_diverged(find):
    made = handmade.make(seeds=(0,))
    made["outcome"].values[:] = "diverged"
    findings = find(made)
    assert (findings.tables["points"]["verdict"] == "none: diverged").all()
    assert len(findings.tables["networks"]) == 0


def test_the_same_file_says_the_same(find):
    one, other = find(handmade.make()), find(handmade.make())
    assert one.sentences == other.sentences


def test_statistics():
    assert statistics.half_width([1, 2, 3]) == pytest.approx(4.303 / np.sqrt(3))
    assert np.isnan(statistics.half_width([1])) and np.isnan(statistics.half_width([]))
    assert statistics.spearman([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(0.8)
    assert statistics.spearman([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert np.isnan(statistics.spearman([1, 1, 1], [1, 2, 3])) and np.isnan(statistics.spearman([1], [1]))
    x = np.column_stack([np.arange(6.0), np.ones(6)])
    fit, r_squared = statistics.least_squares(x, 3 * np.arange(6) + 1.0)
    np.testing.assert_allclose(fit, [3, 1])
    assert r_squared == pytest.approx(1)
    # A draw of seeds is a fit on repeated rows: two seeds of slope 1 and 3 give 1, 2 or 3.
    design = np.column_stack([np.tile(np.arange(3.0), 2), np.ones(6)])
    response = np.concatenate([np.arange(3.0), 3 * np.arange(3.0)])
    bounds = statistics.bootstrap_least_squares(design, response, np.repeat([0, 1], 3), np.random.default_rng(0))
    np.testing.assert_allclose(bounds[0], [1, 3])
