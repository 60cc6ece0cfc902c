"""The weight matrices of a sweep (measure.weights) after the last measured epoch: numbers for a figure, and a sentence."""
import numpy as np

from .findings import mean_known
from .sweep import last_finite
from .words import count, number

# Number, its words, and whether it is drawn on a logarithmic axis. `moved` follows from distance and norm.
NUMBERS = (("spectral_norm", "spectral norm", False), ("stable_rank", "stable rank", True), ("alpha", "exponent α of the power law", True),
           ("moved", "distance from the first weights, relative to their norm", True))


class Matrices:
    """`numbers`: {name: (point, layer)} after the last measured epoch of each point. `there` is False without measure.weights."""

    def __init__(self, sweep):
        self.sweep, self.numbers = sweep, {}
        self.there = "weights_frobenius_norm" in sweep.data
        if not self.there:
            return
        for name in ("frobenius_norm", "spectral_norm", "stable_rank", "alpha", "ks_distance", "distance_first"):
            self.numbers[name] = self.over_epochs(name, last_finite)
        first = self.over_epochs("frobenius_norm", lambda values: last_finite(values[..., ::-1]))
        with np.errstate(all="ignore"):
            self.numbers["moved"] = np.where(first > 0, self.numbers["distance_first"] / first, np.nan)
        self.networks = [n for n in sweep.networks if np.isfinite(self.numbers["frobenius_norm"][n.rows]).any()]

    def over_epochs(self, name, choose):
        return choose(np.moveaxis(self.sweep.values(f"weights_{name}"), 1, -1))

    def of(self, network, name):
        """(layer), mean over seeds; NaN for layers without a matrix."""
        return mean_known(self.numbers[name][network.rows][:, network.layers])


def find(findings):
    """Adds a sentence to the findings of a sweep."""
    matrices = Matrices(findings.sweep)
    if not matrices.there or not matrices.networks:
        return
    values = {name: np.concatenate([matrices.of(network, name) for network in matrices.networks]) for name in matrices.numbers}
    names = np.concatenate([network.names() for network in matrices.networks])
    n = int(np.isfinite(values["frobenius_norm"]).sum())
    text = (f"{n} weight matri{'x' if n == 1 else 'ces'} of {count(matrices.networks, 'network')} after the last measured epoch, "
            f"means over seeds. Stable rank: {spread(values['stable_rank'])}. Exponent of the power law of the spectrum: {spread(values['alpha'])}, "
            f"with a Kolmogorov-Smirnov distance of {spread(values['ks_distance'])}; any spectrum has a fit, so a large distance or exponent says "
            "that there is no power law.")
    moved = values["moved"]
    if np.isfinite(moved).any() and np.nanmax(moved) > 0:
        text += (f" Distance from the first weights, as a share of their norm: {spread(moved)}, the most in {names[np.nanargmax(moved)]} and the least "
                 f"in {names[np.nanargmin(moved)]}.")
    findings.say("Weights", text, "table layers")


def spread(values):
    known = values[np.isfinite(values)]
    if not len(known):
        return "not known"
    return f"{number(np.median(known), 2)} in the median ({number(known.min(), 2)} to {number(known.max(), 2)})"
