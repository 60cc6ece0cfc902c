"""Early rules: the threshold against all others, a number that decides, numbers that do not, and what is not decidable."""
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest

from eigenscope_analysis import early

EPOCHS, SEEDS, DATASETS, WIDTHS = 4, 3, ("a", "b", "c"), (0.25, 0.5, 1.0)


def make(datasets=DATASETS, seeds=SEEDS, saturation=None):
    """What early.py reads of a Sweep: accuracies rise by 0.1 at each width for odd cases, and by 0.001 for even ones; seeds differ by
    0.01. `saturation`(helps, epoch, at random) is that of each point."""
    random = np.random.default_rng(1)
    rows, networks, helps = [], [], []
    for d, dataset in enumerate(datasets):
        accuracy = 0.3
        for w, width in enumerate(WIDTHS):
            gains = (d + w) % 2 == 1
            at = range(len(rows), len(rows) + seeds)
            rows += [{"dataset": dataset, "accuracy": accuracy + 0.01 * s / max(1, seeds - 1)} for s in range(seeds)]
            networks.append((dataset, width, np.array(at)))
            helps += [gains] * seeds
            accuracy += 0.1 if gains else 0.001
    points = pd.DataFrame(rows)

    def network(dataset, width, at):
        return types.SimpleNamespace(key={"dataset": dataset, "width": width}, rows=at,
                                     mean=lambda column: float(points.loc[at, column].mean()))
    mean = np.array([[np.nan if saturation is None else saturation(h, epoch, random.uniform()) for epoch in range(EPOCHS)] for h in helps])
    values = {"accuracy": random.uniform(size=(len(rows), EPOCHS)), "loss": random.uniform(size=(len(rows), EPOCHS))}
    return types.SimpleNamespace(
        points=points, networks=[network(*one) for one in networks], epochs=np.arange(EPOCHS), splits=["train", "eval"],
        probe_split=None, mean_over_layers=lambda: mean, values=lambda name, split: values[name]), np.array(helps)


def test_cases():
    sweep, helps = make()
    table = early.cases(sweep)
    assert len(table) == len(DATASETS) * (len(WIDTHS) - 1) * SEEDS
    assert (table["helps"].to_numpy() == helps[table["row"]]).all()
    assert 0 < table["helps"].sum() < len(table)
    assert not len(early.cases(make(seeds=1)[0]))  # one seed has no spread


@pytest.mark.parametrize("seed", range(20))
def test_fit_makes_the_fewest_errors(seed):
    random = np.random.default_rng(seed)
    values, helps = random.integers(0, 6, 9).astype(float), random.uniform(size=9) < 0.5
    threshold, side = early.fit(values, helps)
    errors = np.count_nonzero((side * (values - threshold) > 0) != helps)
    tried = [np.count_nonzero((s * (values - t) > 0) != helps) for s in (1, -1) for t in np.arange(-0.5, 7)]
    assert errors == min(tried)


def test_a_number_that_decides_is_never_wrong():
    sweep, _ = make(saturation=lambda helps, epoch, noise: (0.8 if helps else 0.3) + 0.1 * noise)
    rates = early.error_rates(sweep, early.cases(sweep))
    of = rates.set_index(["number", "epoch"])
    assert list(of.loc["saturation"].index) == [1, 2, 3]
    assert (of.loc["saturation"]["error_rate"] == 0).all()
    assert (of.loc["saturation"]["tested"] == 3 * 2 * (len(WIDTHS) - 1) * SEEDS).all()
    assert of.loc["training accuracy"]["error_rate"].mean() > 0.2  # random numbers


def test_not_decidable():
    for sweep, _ in (make(datasets=("a",)), make(seeds=1)):
        assert not len(early.error_rates(sweep, early.cases(sweep)))
    sweep, _ = make()  # saturations were not measured
    assert "saturation" not in set(early.error_rates(sweep, early.cases(sweep))["number"])


def test_command(small):
    done = subprocess.run([sys.executable, "-B", "-m", "eigenscope_analysis", "early", str(small / "all.h5")], capture_output=True, text=True,
                          cwd=__file__.rsplit("/tests/", 1)[0])
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == "not decidable: this needs networks of several widths and at least two seeds on at least two datasets\n"
