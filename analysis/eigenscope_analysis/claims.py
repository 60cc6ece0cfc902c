"""Claims about a sweep, each with an effect, a 95 % interval over seeds and a verdict. One seed has no interval, so it decides nothing."""
import numpy as np
import pandas as pd

from . import statistics
from .findings import NAMES, VARIANTS, VERDICTS, WITHIN
from .statistics import ROUNDING
from .words import count, equal, number

HOLDS, OPPOSITE, CONTAINS, ONE_SEED = "holds", "the opposite holds", "open: the interval contains {limit}", "open: one seed"
EQUAL = "open: equal in all seeds, so the interval says nothing"
COLUMNS = ["claim", "effect", "estimate", "low", "high", "unit", "interval", "seeds", "verdict", "numbers", "detail"]
# (response, axis) -> (claim, the sign that a doubling has if the claim holds)
HYPOTHESES = {("saturation", "width"): ("Wider networks are less saturated", -1),
              ("saturation", "classes"): ("Problems of more classes are more saturated", 1),
              ("accuracy", "width"): ("Wider networks are more accurate", 1),
              ("accuracy", "classes"): ("Problems of more classes are less accurate", -1)}
POINTS = "percentage points"
HALF = 50  # % of the training


class Claims:
    """The claims that the tables of Findings decide or leave open."""

    def __init__(self, findings):
        self.findings, self.sweep, self.rows = findings, findings.sweep, []
        self.prose = {s["title"]: s["text"] for s in findings.sentences}
        if not self.sweep.foreign:
            self._effects()
            self._datasets()
            self._widths()
            self._told_apart()
        self._stability()
        self.table = pd.DataFrame(self.rows, columns=COLUMNS)

    def add(self, claim, effect, row, sign, detail, numbers, limit=0.0):
        """One row. `row`: estimate, low and high, unit and seeds; the claim holds if the interval lies on the side `sign` of `limit`."""
        seeds, low, high = int(row["seeds"]), row["low"], row["high"]
        above, below = low > limit + ROUNDING, high < limit - ROUNDING
        if seeds < 2 or not np.isfinite(low):
            verdict = ONE_SEED if seeds < 2 else "open: no interval"
        elif equal(row):
            verdict = EQUAL
        elif above or below:
            verdict = HOLDS if above == (sign > 0) else OPPOSITE
        else:
            verdict = CONTAINS.format(limit=f"{limit:g}")
        interval = f"{number(low, 1)} … {number(high, 1)}" if np.isfinite(low) else "none"
        self.rows.append({"claim": claim, "effect": effect, "estimate": row["estimate"], "low": low, "high": high, "unit": row["unit"],
                          "interval": interval, "seeds": seeds, "verdict": verdict, "numbers": numbers, "detail": detail})

    def _effects(self):
        table = self.findings.tables["effects"]
        for (response, axis), (claim, sign) in HYPOTHESES.items():
            for variant in [name for name, _, _ in VARIANTS] if response == "saturation" else [""]:
                for row in table.to_dict("records"):
                    if (row["response"], row["layers"], row["effect"]) == (response, variant, f"doubling the {NAMES[axis]}"):
                        title = f"Effects on saturation, {variant}" if variant else "Effects on accuracy"
                        self.add(claim + (f", {variant}" if variant else ""),
                                 f"{number(row['estimate'], 1, True)} {POINTS} for each doubling of the {NAMES[axis]}", row, sign,
                                 self.prose.get(title, ""), "effects")

    def _datasets(self):
        table = self.findings.tables.get("datasets", pd.DataFrame())
        names = list(table.get("dataset", ()))
        for a, b, row in zip(names, names[1:], table.to_dict("records")):
            lead = {"estimate": row["lead_estimate"], "low": row["lead_low"], "high": row["lead_high"], "unit": POINTS,
                    "seeds": row["lead_seeds"]}
            self.add(f"{a} is easier than {b}", f"{number(lead['estimate'], 1, True)} {POINTS} of accuracy", lead, 1,
                     self.prose.get("Datasets", ""), "datasets")

    def _widths(self):
        """How many recommended widths are certain. This has no interval of its own: the standard errors are in the table."""
        table = self.findings.tables.get("recommend", pd.DataFrame())
        if len(table) == 0:
            return
        certain, seeds = int(table["certain"].sum()), int(table["seeds"].min())
        verdict = ONE_SEED if seeds < 2 else HOLDS if certain == len(table) else f"open in {len(table) - certain} of {len(table)}"
        self.rows.append({"claim": f"The smallest width within {100 * WITHIN:g} point of the best accuracy is known",
                          "effect": f"certain in {certain} of {count(len(table), 'problem')}", "estimate": certain / len(table),
                          "low": np.nan, "high": np.nan, "unit": "1", "interval": "none", "seeds": seeds, "verdict": verdict,
                          "numbers": "recommend", "detail": self.prose.get("Width to choose", "")})

    def _told_apart(self):
        """Mean saturation of under- minus that of over-parameterised networks of one problem, seed by seed: after the first and the
        last epoch."""
        table, sweep = self.findings.tables.get("told_apart", pd.DataFrame()), self.sweep
        trained = table[table["epoch"] > 0] if len(table) else table
        if len(trained) == 0:
            return
        pairs = [(i, j) for _, group in self.findings._groups("width")
                 for i in group.index[group["verdict"] == VERDICTS[0]] for j in group.index[group["verdict"] == VERDICTS[2]]]
        ends = dict.fromkeys((int(trained["epoch"].iloc[0]), int(trained["epoch"].iloc[-1])))
        for epoch in ends:
            at, found = int(np.flatnonzero(sweep.epochs == epoch)[0]), {}
            for i, j in pairs:
                one, other = (self._by_seed(sweep.networks[n], at) for n in (i, j))
                for seed in one.keys() & other.keys():
                    found.setdefault(seed, []).append(100 * (one[seed] - other[seed]))
            if not found:
                continue
            means = np.array([np.mean(found[seed]) for seed in sorted(found)])
            row = {**statistics.mean_interval(means), "unit": POINTS}
            self.add(f"Under-parameterised networks are more saturated than over-parameterised ones, after epoch {epoch}",
                     f"{number(row['estimate'], 1, True)} {POINTS} of saturation in {count(len(pairs), 'pair')}", row, 1,
                     self.prose.get("Over- and under-parameterised", ""), "told_apart")

    def _by_seed(self, network, at):
        values = self.sweep.mean_saturation[network.rows, at]
        seeds = self.sweep.points.loc[network.rows, "seed"] if "seed" in self.sweep.points else np.zeros(len(values))
        return {seed: value for seed, value in zip(seeds, values) if np.isfinite(value)}

    def _stability(self):
        """Share of the training after which the pattern is stable; a point that never is counts as the whole training."""
        points = self.findings.complete
        stable, epochs = points["stable_epoch"].astype(float), points["epochs"].astype(float)
        if self.sweep.stability is None or not np.isfinite(self.sweep.stability).any() or (epochs < 2).all():
            return
        share = 100 * (stable / epochs).fillna(1.0)[epochs >= 2]
        seeds = points["seed"] if "seed" in points else pd.Series(0, points.index)
        row = {**statistics.mean_interval(share.groupby(seeds).mean().to_numpy(), 0, 100), "unit": "% of the training"}
        self.add("The saturation pattern settles within the first half of the training",
                 f"after {number(row['estimate'], 0)} % of the training on average", row, -1,
                 self.prose.get("Epoch of stability", ""), "points", limit=HALF)
