"""Findings: a known law is found; missing, NaN, diverged and padded values are handled."""
import re

import handmade
import numpy as np
import pytest

from eigenscope_analysis import statistics
from eigenscope_analysis.findings import AT_CHANCE, NOT_COMPARED, Findings, direction
from eigenscope_analysis.sweep import Sweep, width_text


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
    assert "Wider networks are less saturated: doubling the width changes it by −10.0 percentage points (95 % over 3 seeds: −10.2 … " \
        "−9.8)" in said(findings, "Effects on saturation, all layers")
    assert "Problems of more classes are less accurate" in said(findings, "Effects on accuracy")


def test_an_effect_that_turns_round_is_said_to_do_so(find):
    made = handmade.make()
    made["saturation"] = 1 - made["saturation"]
    text = said(find(made), "Effects on saturation, all layers")
    assert "Wider networks are more saturated" in text and "of more classes are less saturated" in text


def test_an_effect_of_the_tail_alone_vanishes_without_it(find):
    """Width affects the tail layers only: the effect exists over all layers and vanishes without them."""
    made = handmade.make()
    values = made["saturation"].values
    tail = made["layer_tail"].values[0] == 1
    values[..., ~tail, :] = values[:1][..., ~tail, :]
    assert re.search(r"\+0\.0 percentage points without tail layers \(equal in all 3 seeds\): not compared, because seeds that are equal have "
                     "no interval", said(find(made), "Do the effects hold"))
    slopes = 0.001 * (made["seed"].values - 1) * np.log2(made["width"].values.astype(float))
    values[..., ~tail, :] += slopes[:, None, None, None, None]
    findings = find(made)
    assert effect(findings, "saturation", "doubling the width", "all layers").estimate < -2
    assert effect(findings, "saturation", "doubling the width", "without tail layers").estimate == pytest.approx(0, abs=1e-9)
    assert re.search(r"0\.0 percentage points without tail layers \([^)]*\): the interval contains 0",
                     said(findings, "Do the effects hold"))
    assert "No effect of the width can be claimed" in said(findings, "Effects on saturation, without tail layers")
    held = said(find(handmade.make()), "Do the effects hold")
    assert re.search(r"^Doubling the width changes mean saturation by −10.0 percentage points over all layers \([^)]*\); "
                     r"−10.0 percentage points without tail layers \([^)]*\): the same direction", held)


def test_intervals_hold_the_spread_of_seeds(find):
    """The effect of width differs by seed: Student's interval over seeds; one seed has no interval and claims no direction."""
    made = handmade.make(noise=0)
    steps = np.log2(made["width"].values.astype(float)) * (made["seed"].values - 1) * 0.02
    made["saturation"] = made["saturation"] + steps[:, None, None, None, None]
    row = effect(find(made), "saturation", "doubling the width", "all layers")
    assert row.estimate == pytest.approx(-10)
    half = 4.303 * 2 / np.sqrt(3)  # slopes −12, −10 and −8
    assert row.low == pytest.approx(-10 - half) and row.high == pytest.approx(-10 + half)
    one = find(handmade.make(seeds=(0,)))
    assert np.isnan(effect(one, "saturation", "doubling the width", "all layers").low)
    for title in ("Effects on accuracy", "Effects on saturation, all layers", "Effects on saturation, without tail layers"):
        assert "No direction is claimed, because one seed has no interval over seeds. In this seed doubling" in said(one, title)
        assert not re.search("(less|more) (accurate|saturated)", said(one, title))
    assert said(one, "Do the effects hold").startswith("Not decidable, because one seed has no interval over seeds.")


def test_seeds_that_disagree_claim_no_direction(find):
    """The effect of width has another sign in one of three seeds, so its interval contains 0 though the mean does not."""
    made = handmade.make(noise=0)
    law = np.log2(made["width"].values.astype(float))
    made["accuracy"] = 0.8 + made["accuracy"] * 0 + (0.02 * law * np.array([-1, 2, 3])[made["seed"].values])[:, None, None]
    findings = find(made)
    assert abs(effect(findings, "accuracy", "rank correlation with width").estimate) > 0.3  # the rule before: 0.1
    assert effect(findings, "accuracy", "doubling the width").estimate > 2
    assert "No effect of the width can be claimed: doubling the width changes accuracy by +2.7" in said(findings, "Effects on accuracy")


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_noise_alone_seldom_has_a_direction(n_seeds):
    """Without any effect, the 95 % interval excludes 0 in 5 % of sweeps (4 standard deviations of 2,000 trials: 2 %)."""
    generator = np.random.default_rng(n_seeds)
    widths, seeds = np.tile(np.arange(4.0), n_seeds), np.repeat(np.arange(n_seeds), 4)
    claimed = 0
    for _ in range(2000):
        fits = statistics.fits_by_seed(widths[:, None], np.ones((len(widths), 1)), generator.normal(size=len(widths)), seeds)[:, 0]
        half = statistics.half_width(fits)
        claimed += direction({"low": fits.mean() - half, "high": fits.mean() + half}) != 0
    assert 0.03 < claimed / 2000 < 0.07


def test_width_and_classes_that_vary_apart(find):
    """The interaction is not determined where width varies for one number of classes alone; the doublings are."""
    made = handmade.make()
    apart = (made["width"].values == 1 / 16) | (made["classes"].values == 2)
    findings = find(made.isel(point=np.flatnonzero(apart)))
    assert effect(findings, "saturation", "doubling the width", "all layers").estimate == pytest.approx(-10)
    assert effect(findings, "saturation", "doubling the number", "all layers").estimate == pytest.approx(5)
    assert not findings.tables["effects"].effect.str.startswith("interaction").any()


def test_datasets_of_other_class_counts(find):
    """Where each dataset has its own number of classes, width has an effect, and the number of classes has none that can be told."""
    made = handmade.make(datasets=("a", "b"), classes=(3, 4))
    findings = find(made.isel(point=np.flatnonzero((made["dataset"].values == "a") == (made["classes"].values == 3))))
    row = effect(findings, "saturation", "doubling the width", "all layers")
    assert row.estimate == pytest.approx(-10) and row.seeds == 3 and row.points == 18
    for title, word in (("Effects on saturation, all layers", "less saturated"), ("Effects on accuracy", "more accurate")):
        text = said(findings, title)
        assert f"Wider networks are {word}" in text
        assert "The effect of the number of classes is not decidable: it does not vary alone." in text
    assert not findings.tables["effects"].effect.str.contains("number of classes").any()


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


def test_verdicts_state_their_standard_error(find):
    made = handmade.make(classes=(2,))
    made["accuracy"].values[:, 1, -1] = [0.60, 0.62, 0.64, 0.80, 0.80, 0.83, 0.82, 0.82, 0.82]  # three widths, three seeds each
    findings = find(made)
    table = findings.tables["networks"]
    assert table["standard_error"].tolist() == pytest.approx([0.02 / np.sqrt(3), 0.01, np.sqrt(0.82 * 0.18 / 1000)])
    assert table["standard_error_over"].tolist() == ["seeds", "seeds", "eval samples"]  # equal seeds have no error over seeds
    row = findings.tables["recommend"].iloc[0]
    assert row.width == "1/8" and row.best_width == "1/4" and row.standard_error == pytest.approx(0.01)
    assert not row.certain  # 0.81 is at the limit itself
    assert "in 1 the choice is not certain" in said(findings, "Width to choose")
    assert "the standard error of an accuracy over seeds is 1.08 percentage points in the median network and 1.15 at most" in \
        said(findings, "Over- and under").replace("The standard", "the standard")
    made["accuracy"].values[:, 1, -1] = [0.60, 0.62, 0.64, 0.82, 0.82, 0.82, 0.82, 0.82, 0.82]
    assert find(made).tables["recommend"].iloc[0].certain
    one = find(handmade.make(seeds=(0,)))
    errors = one.tables["networks"]
    assert set(errors["standard_error_over"]) == {"eval samples"}  # 1,000 samples
    np.testing.assert_allclose(errors["standard_error"], np.sqrt(errors["accuracy"] * (1 - errors["accuracy"]) / 1000))
    assert "of one seed, or of equal seeds, from the number of eval samples" in said(one, "Over- and under")


def test_chance_gets_no_recommendation(find):
    """Guesses and constant predictions get neither a verdict nor a recommendation, however frequent the class is."""
    made = handmade.make(classes=(2, 4))
    guess = made["classes"].values == 4
    made["mcc"].values[guess] = 0.03  # 2/√(1000 · 3) = 0.037
    made["accuracy"].values[guess] = 0.9  # nine of ten samples are of one class
    findings = find(made)
    assert set(findings.tables["recommend"]["classes"]) == {2}
    verdicts = findings.tables["networks"].groupby("classes")["verdict"].unique()
    assert list(verdicts[4]) == [AT_CHANCE] and list(verdicts[2]) == ["under-parameterised", "balanced"]
    assert "In 1 problem no network predicts better than chance, so no width is recommended" in said(findings, "Width to choose")
    assert "3 without a verdict (no better than chance)" in said(findings, "Over- and under")
    widest = made["width"].values == 1 / 4
    made["mcc"].values[widest] = 0
    findings = find(made)
    assert set(findings.tables["recommend"]["width"]) == {"1/8"}  # among those that learned
    made["mcc"].values[:] = 0
    assert said(find(made), "Width to choose").startswith("Not decidable. In 2 problems no network predicts better than chance")


@pytest.mark.parametrize("classes, samples", [(2, 200), (10, 1000)])
def test_guesses_are_at_chance(classes, samples):
    """Matthews correlation of guesses has the standard deviation 1/√(n(C − 1)) (Sweep.points, chance_mcc)."""
    generator, found = np.random.default_rng(classes), []
    label = np.arange(samples) % classes
    for _ in range(2000):
        table = np.zeros((classes, classes))
        np.add.at(table, (label, generator.integers(classes, size=samples)), 1)
        t, p = table.sum(axis=1), table.sum(axis=0)
        found.append((np.trace(table) * samples - t @ p) / np.sqrt((samples ** 2 - p @ p) * (samples ** 2 - t @ t)))
    assert np.std(found) == pytest.approx(1 / np.sqrt(samples * (classes - 1)), rel=0.06)


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
    for name in ("saturation", "accuracy", "loss"):
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
    made["accuracy"].values[short, :, 4:] = made["loss"].values[short, :, 4:] = np.nan
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
    assert said(findings, "Epoch of stability").endswith(" Stable before the last epoch: 0 of 27 points.")


def test_datasets_are_ordered_by_accuracy(find):
    made = handmade.make(datasets=("hard", "easy"))
    hard = made["dataset"].values == "hard"
    made["accuracy"].values[hard] -= 0.2 + 0.001 * (made["seed"].values[hard] - 1)[:, None, None]
    made["saturation"].values[hard] += 0.05
    findings = find(made)
    table = findings.tables["datasets"]
    assert list(table["dataset"]) == ["easy", "hard"]
    half = 4.303 * 0.1 / np.sqrt(3)
    assert table["lead_low"][0] == pytest.approx(20 - half) and table["lead_high"][0] == pytest.approx(20 + half)
    text = said(findings, "Datasets")
    assert text.startswith("Datasets from easy to hard by mean accuracy over the 9 networks")
    assert "easy is easier than hard: their accuracies differ by +20.0 percentage points (95 % over 3 seeds: 19.8 … 20.2)." in text
    assert "Of 9 pairs of one network on two datasets, the less accurate one is the more saturated in 9." in text


def test_datasets_that_seeds_do_not_order(find):
    """An order of datasets needs an interval over seeds without 0; one seed has none."""
    made = handmade.make(datasets=("s", "t"), noise=0)
    s = made["dataset"].values == "s"
    made["accuracy"].values[s] -= np.array([0.03, -0.02, 0.01])[made["seed"].values[s]][:, None, None]
    findings = find(made)
    text, row = said(findings, "Datasets"), findings.tables["datasets"].iloc[0]
    assert row.dataset == "t" and row.lead_estimate == pytest.approx(2 / 3)
    assert row.lead_high - row.lead_estimate == pytest.approx(4.303 * np.std([3, -2, 1], ddof=1) / np.sqrt(3))
    assert "easy to hard" not in text
    assert "It is not decided whether t is easier than s: their accuracies differ by +0.7 percentage points (95 % over 3 seeds: " in text
    text = said(find(made.isel(point=np.flatnonzero(made["seed"].values == 0))), "Datasets")
    assert "easy to hard" not in text and "+3.0 percentage points, and one seed has no interval over seeds." in text


def test_networks_at_chance_order_no_datasets(find):
    made = handmade.make(datasets=("s", "t"))
    s, guess = made["dataset"].values == "s", made["classes"].values == 8
    made["accuracy"].values[s] -= 0.01
    made["mcc"].values[guess & s] = 0
    made["accuracy"].values[guess & s] = 0.99
    findings = find(made)
    assert set(findings.tables["datasets"]["networks"]) == {6} and list(findings.tables["datasets"]["dataset"]) == ["t", "s"]
    made["mcc"].values[s] = 0
    assert said(find(made), "Datasets") == "Not decidable: no network was trained on all datasets and predicts better than chance on each."


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
    wide = statistics.mean_interval([-3, 40])
    assert (wide["estimate"], wide["low"], wide["high"]) == (18.5, -100, 100)  # two seeds that differ: ±273 by the formula
    assert np.isnan(statistics.half_width([1])) and np.isnan(statistics.half_width([]))
    assert statistics.spearman([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(0.8)
    assert statistics.spearman([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert np.isnan(statistics.spearman([1, 1, 1], [1, 2, 3])) and np.isnan(statistics.spearman([1], [1]))
    x = np.column_stack([np.arange(6.0), np.ones(6)])
    fit, r_squared = statistics.least_squares(x, 3 * np.arange(6) + 1.0)
    np.testing.assert_allclose(fit, [3, 1])
    assert r_squared == pytest.approx(1)
    # Seeds of slope 1 and 3; the third has one row, which determines no slope.
    factor = np.append(np.tile(np.arange(3.0), 2), 1)
    response = np.concatenate([np.arange(3.0), 3 * np.arange(3.0), [7]])
    fits = statistics.fits_by_seed(factor[:, None], np.ones((7, 1)), response, np.array([0, 0, 0, 1, 1, 1, 2]))
    np.testing.assert_allclose(fits, [[1], [3]])
    assert statistics.standard_error([1, 2, 3]) == pytest.approx(1 / np.sqrt(3)) and np.isnan(statistics.standard_error([1]))


def test_probes_that_did_not_converge_are_named(find):
    made = handmade.make()
    assert said(find(made), "Convergence of the probes") == "All 216 probes converged."
    made["probe_converged"].values[3, 0, [0, 2]] = 0
    made["probe_converged"].values[7, 0, 0] = 0
    made["probe_converged"].values[8, 0, 4] = 255  # features were not finite
    findings = find(made)
    text = said(findings, "Convergence of the probes")
    assert text.startswith("3 of 215 probes did not converge")
    assert "Layers: features.0 (2), features.7 (1). Points: 3, 7. 1 layer output had no probe" in text
    assert findings.tables["layers"]["probes_not_converged"].sum() == 3
    old = made.drop_vars("probe_converged")
    assert not any(s["title"] == "Convergence of the probes" for s in find(old).sentences)


def test_the_strengths_of_probes_that_were_chosen(find):
    made = handmade.make()
    assert "probe_l2" not in find(made).tables["layers"]
    cells = ("point", "probe_epoch", "layer")
    chosen = np.full(made["probe_objective"].shape, 1.0)
    chosen[:, :, 0], chosen[0, 0, 1], chosen[0, 0, 2] = 0.1, 10, np.nan
    fits = np.ones((made.sizes["point"], 3, *chosen.shape[1:]), np.uint8)
    fits[3, 0, 0, [0, 2]], fits[0, :, 0, 2] = 0, 255
    made = made.assign({"probe_l2": (cells, chosen), "probe_path_converged": (("point", "l2", *cells[1:]), fits)})
    findings = find(made.assign_coords(l2=[0.1, 1, 10]))
    assert said(findings, "Strength of the probes") == (
        "Chosen on held-out samples from l2 = 0.1, 1, 10, with the number of probes: 0.1 (27), 1 (187), 10 (1). "
        "28 choices at an end of the list: a longer list may have a better strength. 2 of 645 fits along the path did not converge, so the "
        "choice is less certain: l2 = 0.1 (2). Layers: features.0 (1), features.7 (1).")
    assert findings.tables["layers"]["probe_l2"].tolist()[:3] == ["0.1", "1, 10", "1"]
    assert "did not converge" not in said(find(made.assign_coords(l2=[0.1, 1, 10]).drop_vars("probe_path_converged")), "Strength of the probes")


@pytest.mark.parametrize("deltas, headline", [((0.9, 0.99), 0.99), ((0.9, 0.95), 0.95), ((0.999, 0.9), 0.999), ((0.99, 0.999), 0.99)])
def test_the_headline_delta(find, deltas, headline):
    made = handmade.make(deltas=(0.9, 0.99)).assign_coords(delta=list(deltas))
    findings = find(made)
    at = deltas.index(headline)
    expected = made["saturation"].values[:, 1, -1, :7, at].mean(axis=1)
    np.testing.assert_allclose(findings.tables["points"]["saturation"], expected)
    for name in ("points", "networks", "layers", "recommend"):
        assert set(findings.tables[name]["delta"]) == {headline}
    for title in ("Effects on saturation, all layers", "Epoch of stability", "Over- and under"):
        assert f"δ = {headline:g}" in said(findings, title)


def test_widths_are_printed_as_they_are():
    assert [width_text(w) for w in (1 / 16, 0.75, 1, 8, 1 / 3, 0.01, 0.007)] == ["1/16", "3/4", "1", "8", "1/3", "1/100", "7/1000"]
    assert width_text(0.123456) == "0.123456"
