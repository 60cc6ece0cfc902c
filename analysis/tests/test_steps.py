"""Measured training steps (measure.steps): the order of layers and networks, the tidy table, and their place in the report."""
import itertools
import math

import handmade
import numpy as np
import pytest

import eigenscope_analysis as es
from eigenscope_analysis import figures
from eigenscope_analysis.findings import Findings
from eigenscope_analysis.steps import Steps, kendall, settled
from eigenscope_analysis.sweep import Sweep

AT = handmade.STEPS


def said(findings):
    return next((s["text"] for s in findings.sentences if s["title"] == "Inside an epoch"), None)


def slow_kendall(a, b):
    """Kendall (1945), pair by pair."""
    both = tied_a = tied_b = pairs = 0
    for (x, y), (u, v) in itertools.combinations(list(zip(a.tolist(), b.tolist())), 2):
        pairs += 1
        tied_a += x == u
        tied_b += y == v
        both += x != u and y != v and (1 if (x > u) == (y > v) else -1)
    norm = math.sqrt((pairs - tied_a) * (pairs - tied_b))
    return both / norm if norm else math.nan


def test_kendall():
    random = np.random.default_rng(1)
    for most in (2, 3, 10, 1000):
        for n in (3, 4, 9, 30):
            a, b = random.integers(0, most, n), random.integers(0, most, n)
            assert kendall(a, b) == pytest.approx(slow_kendall(a, b), abs=1e-14, nan_ok=True)
    assert kendall([1, 2, 3], [10, 20, 30]) == 1 and kendall([1, 2, 3], [3, 2, 1]) == -1
    assert math.isnan(kendall([1, 1, 1], [1, 2, 3])) and math.isnan(kendall([1, 2], [1, 2]))
    assert kendall([1, np.nan, 2, 3], [1, 9, 2, 3]) == 1
    scipy = pytest.importorskip("scipy.stats")
    a, b = random.integers(0, 5, 40), random.normal(size=40)
    assert kendall(a, b) == pytest.approx(scipy.kendalltau(a, b)[0], abs=1e-14)


def test_settled():
    nan = np.nan
    for values, expected in (([0.1, 0.9, 0.9], 1), ([0.9, 0.1, 0.9], 2), ([0.9, 0.9, 0.1], None), ([nan, nan], None),
                             ([nan, 0.8, nan, 1, nan], 1), ([0.1, nan, 0.9, nan], 2), ([1], 0)):
        assert settled(np.array(values)) == expected, values


def test_order_of_layers_and_networks():
    findings = Findings(Sweep(handmade.with_steps(handmade.make(seeds=(0,)))))
    text = said(findings)
    assert "Layers: it is there in 9 of 9 points; in their median from step 4 on, after 1 epochs (earliest step 4, latest 4)." in text
    assert "Networks: the final order of the 9 by mean saturation is there from step 2 on (each at its latest measured step)." in text
    table = findings.tables["steps"]
    assert list(table["step"]) == list(AT) and list(table["tau"])[3:] == [1, 1, 1] and (table["tau"][:3] < 0).all()
    assert (table["networks_tau"][:2] < 0).all() and (table["networks_tau"][2:] == 1).all()


def test_what_cannot_be_decided():
    made = handmade.with_steps(handmade.make(seeds=(0,)), turned=6)
    assert "the final order is not there at the last measured step in any of 9 points" in said(Findings(Sweep(made)))
    few = handmade.with_steps(handmade.make(seeds=(0, 1), widths=(1 / 8, 1 / 4), classes=(2,), n_layers=3, probes=False))
    text = said(Findings(Sweep(few)))
    assert "no complete point has three layers" in text and "fewer than three networks were measured after the same number of steps" in text
    made = handmade.with_steps(handmade.make(seeds=(0,)))
    made["step_flags"].values[:, 4] = 1  # dead at step 8: nothing can be compared there
    made["step_saturation"].values[0, 5] = np.nan  # not reached
    sweep = Sweep(made)
    steps = Steps(sweep)
    assert np.isnan(steps.tau[:, 4]).all() and np.isnan(steps.tau[0, 5]) and steps.tau[1, 5] == 1
    assert np.isnan(steps.networks_tau[[4, 5]]).all() and "from step 2 on" in said(Findings(sweep))
    made = handmade.with_steps(handmade.make(seeds=(0,)), shuffled=3)
    for name in ("step_epoch", "step_saturation"):
        made[name].values[0, [3, 5]] = np.nan  # this point has no such steps: its numbers of the steps before count
    assert list(Steps(Sweep(made)).networks_tau[3:]) != [1, 1, 1] and Steps(Sweep(made)).networks_tau[5] == 1
    assert said(Findings(Sweep(handmade.make()))) is None


def test_final_order_without_the_eval_split():
    made = handmade.with_steps(handmade.make(seeds=(0,)))
    for name in ("saturation", "intrinsic_dimension"):
        made[name].values[:, 1] = np.nan
    findings = Findings(Sweep(made))
    assert "is compared with that at the last measured step" in said(findings)
    assert "in their median from step 4 on" in said(findings)


def test_figure():
    """test_report.py draws it on the page; here is what it says."""
    few = {"seeds": (0,), "classes": (2,), "probes": False, "spaces": False, "projection": False, "components": 4}
    figure, caption = figures.steps.SETTLING.draw(Sweep(handmade.with_steps(handmade.make(**few))))
    left, right = figure.axes
    assert [line.get_label() for line in left.lines[:4]] == ["width 1/16", "width 1/8", "width 1/4", "order of the networks"]
    assert list(left.lines[0].get_xdata()) == [0.5, 1, 2, 4, 8, 16] and list(left.lines[0].get_ydata()) == [-1, -1, -1, 1, 1, 1]
    assert len(right.lines) == 3 and "those after the last epoch" in caption and "the line is 0.8" in caption
    figures.steps.style.plt.close(figure)
    with pytest.raises(figures.Nothing, match="no training steps were measured"):
        figures.steps.SETTLING.draw(Sweep(handmade.make(**few)))


def test_tidy_table(write):
    made = handmade.with_steps(handmade.make())
    made["step_saturation"].values[0, 5], made["step_loss"].values[0, 5], made["step_accuracy"].values[0, 5] = 3 * [np.nan]
    path = write(made)
    table = es.to_frame(path, steps=True)
    assert len(table) == (27 * len(AT) - 1) * 8 * 2
    row = table[(table.point == 3) & (table.step == 4) & (table.layer == 2) & (table.delta == 0.99)].iloc[0]
    assert row.step_saturation == made["step_saturation"].values[3, 3, 2, 1] and row.step_epoch == 1 and row.width == made["width"].values[3]
    assert "step_eigenvalues" not in table and "saturation" not in table
    assert "step" not in es.to_frame(path) and "step_loss" not in es.to_frame(path)
    assert list(es.to_frame(path, ["step_loss"], steps=True).columns)[-3:] == ["point", "step", "step_loss"]
    with pytest.raises(es.SchemaError, match="no measurements after training steps"):
        es.to_frame(write(handmade.make(), "none.h5"), steps=True)
    with pytest.raises(es.SchemaError, match="over point, step, layer, delta"):
        es.to_frame(path, ["saturation"], steps=True)


def test_real_file(small):
    """Names, dimensions and types are those of the program, and its numbers lead to a sentence."""
    with es.open(small / "all.h5") as real:
        made = handmade.with_steps(handmade.make())
        for name in ("step", *(n for n in made.data_vars if n.startswith("step_"))):
            assert real[name].dims == made[name].dims, name
            assert (real[name].dtype.kind in "fiu") == (made[name].dtype.kind in "fiu"), name
        steps = Steps(Sweep(real))
        assert list(steps.steps) == [0, 1, 2, 3, 4, 6, 9, 12, 18]  # of 12 steps for two classes and 18 for three
        ends = [row[np.isfinite(row)][-1] for row in steps.mean]
        np.testing.assert_array_equal(ends, steps.final_mean)  # the last step is the end of the last epoch
        assert "Layers:" in said(Findings(Sweep(real)))
    assert len(es.to_frame(small / "all.h5", steps=True)) > 0
