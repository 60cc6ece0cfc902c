"""Claims: an interval over seeds decides, and one seed decides nothing."""
import handmade
import numpy as np
import pytest

from eigenscope_analysis.claims import CONTAINS, EQUAL, HOLDS, ONE_SEED, OPPOSITE, Claims
from eigenscope_analysis.findings import Findings
from eigenscope_analysis.sweep import Sweep


def claims(made):
    return Claims(Findings(Sweep(made))).table.set_index("claim")


def test_the_law_holds():
    """By the law of handmade: −10 points of saturation and +2 of accuracy for each doubling of the width."""
    table = claims(handmade.make())
    for layers in ("all layers", "without tail layers", "before the border layer"):
        row = table.loc[f"Wider networks are less saturated, {layers}"]
        assert row.verdict == HOLDS and row.seeds == 3 and row.estimate == pytest.approx(-10) and row.numbers == "effects"
        assert row.effect == "−10.0 percentage points for each doubling of the width" and row.interval == "−10.2 … −9.8"
        assert "Wider networks are less saturated: doubling" in row.detail
    assert table.loc["Wider networks are more accurate"].verdict == HOLDS
    assert table.loc["Problems of more classes are less accurate"].verdict == HOLDS
    assert table.loc["The saturation pattern settles within the first half of the training"].verdict == EQUAL  # epoch 3 of 5


def test_effects_that_turn_round_or_vanish():
    made = handmade.make()
    made["saturation"] = 1 - made["saturation"]
    table = claims(made)
    assert table.loc["Wider networks are less saturated, all layers"].verdict == OPPOSITE
    made = handmade.make(noise=0)
    law = np.log2(made["width"].values.astype(float))
    made["accuracy"] = 0.8 + made["accuracy"] * 0 + (0.02 * law * np.array([-1, 2, 3])[made["seed"].values])[:, None, None]
    row = claims(made).loc["Wider networks are more accurate"]
    assert row.verdict == CONTAINS.format(limit="0") and row.low < 0 < row.high


def test_equal_seeds_claim_nothing():
    """Seeds without spread, as with accuracies of few samples: the interval has no width, so no direction is claimed. Numbers below
    rounding are 0, and an interval of a share ends at 0 and 100 %."""
    made = handmade.make(noise=0, seeds=(0, 1))
    findings = Findings(Sweep(made))
    table = Claims(findings).table.set_index("claim")
    assert set(table["verdict"]) - {"open in 3 of 3"} == {EQUAL}
    row = table.loc["Wider networks are more accurate"]
    assert row.low == pytest.approx(row.high) and row.low > 1
    text = next(s["text"] for s in findings.sentences if s["title"] == "Effects on accuracy")
    assert "No effect of the width can be claimed: " in text and ", and because the seeds are equal, the interval says nothing (equal in all 2 seeds)" in text
    effects = findings.tables["effects"]
    products = effects[effects["effect"].str.startswith("interaction") & (effects["response"] == "saturation")]
    assert len(products) and (products[["estimate", "low", "high"]] == 0).all(axis=None)
    stable = made["stability_pearson"].values
    stable[made["seed"].values == 0, :, :, :5] = 0.5
    row = claims(made).loc["The saturation pattern settles within the first half of the training"]
    assert (row.low, row.high) == (0, 100) and row.verdict == CONTAINS.format(limit="50")


def test_one_seed_claims_nothing():
    """No claim of a sweep with one seed holds, and none has an interval."""
    made = handmade.make(seeds=(0,), widths=(1 / 16, 1 / 8, 1 / 4, 1 / 2), datasets=("a", "b"))
    made["accuracy"].values[made["width"].values >= 1 / 8] = 0.9
    findings = Findings(Sweep(made))
    table = Claims(findings).table
    assert len(table) >= 10 and set(table["verdict"]) == {ONE_SEED} and set(table["interval"]) == {"none"}
    assert table["claim"].str.contains("Under-parameterised").any() and table["claim"].str.contains("is easier than").any()
    assert not findings.tables["recommend"]["certain"].any()


def test_under_and_over_parameterised_networks_seed_by_seed():
    """The difference of the two, by the law: two doublings of the width, so 20 points, after the last epoch."""
    made = handmade.make(widths=(1 / 16, 1 / 8, 1 / 4), classes=(2,))
    made["accuracy"].values[made["width"].values >= 1 / 8] = 0.9
    made["accuracy"].values[made["width"].values < 1 / 8] = 0.7
    rows = claims(made)
    rows = rows[rows.index.str.startswith("Under-parameterised")]
    assert [name[-7:] for name in rows.index] == ["epoch 1", "epoch 5"]
    assert rows["estimate"].iloc[-1] == pytest.approx(20) and rows["estimate"].iloc[0] == pytest.approx(20 / 3)
    assert set(rows["verdict"]) == {HOLDS} and set(rows["seeds"]) == {3}


def test_networks_of_other_programs_have_no_claims_about_widths():
    made = handmade.make(widths=(1 / 8,), classes=(2,), seeds=(0,)).drop_vars(["dataset", "model", "width", "classes", "seed"])
    made.attrs["axes"] = ""
    assert list(Claims(Findings(Sweep(made))).table["verdict"]) in ([], [ONE_SEED])
