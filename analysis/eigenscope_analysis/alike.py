"""How alike the layers of a sweep are by CKA, which `add_similarity` has put beside its variables: means over seeds for the figures, a
table, and sentences."""
import json

import numpy as np
import pandas as pd

from .findings import mean_known
from .files import merged_order
from .steps import settled
from .words import count, number

SAME = 0.9  # CKA from which two representations count as alike
LISTED = 24  # layers in a sentence; the table has all
PAIRS_LISTED = 8


class Alike:
    """`networks`: the complete networks that were compared. `there` is False if the sweep has no similarities."""

    def __init__(self, sweep):
        self.sweep = sweep
        self.layers = sweep.values("cka_layers")  # (point, layer, other layer)
        self.there = self.layers is not None
        if not self.there:
            return
        self.last = sweep.values("cka_last")  # (point, epoch, layer)
        self.points = sweep.values("cka_points")  # (point, layer, other point)
        known = np.isfinite(self.layers).any(axis=(1, 2))
        self.networks = [network for network in sweep.networks if known[network.rows].any()]
        self.compared = known
        self.other = {int(row): at for at, row in enumerate(sweep.data["other_point"].values)} if self.points is not None else {}

    def of_layers(self, network):
        """(layer, other layer), mean over seeds."""
        return mean_known(self.layers[network.rows][:, network.layers][:, :, network.layers])

    def of_epochs(self, network):
        """(epoch, layer) with the last state of the layer, mean over seeds."""
        return mean_known(self.last[network.rows][:, :, network.layers])

    def title(self, network):
        """That of the network, with how many of its seeds were compared if some are missing."""
        n = int(self.compared[network.rows].sum())
        return network.title if n == len(network) else "\n".join(filter(None, (network.label, f"{n} of {network.seeds}")))

    def epoch_words(self):
        """What the last compared epoch is."""
        rows = np.concatenate([network.rows for network in self.networks])
        rows = rows[self.compared[rows]]
        epochs = self.sweep.values("cka_epoch")[rows]
        if (epochs == self.sweep.epochs[self.sweep.last_at[rows]]).all():
            return "after the last epoch"
        return f"after epoch {epochs.min():.0f}" + (f" to {epochs.max():.0f}" if epochs.min() < epochs.max() else "") + ", the last that was compared"

    # ---- between points, by layers of equal names ----

    def with_points(self, network, others):
        """(layer): mean over the pairs of a point of the network and one of `others`."""
        columns = [self.other[row] for row in others if row in self.other]
        values = self.points[network.rows][:, network.layers][:, :, columns]
        return mean_known(np.moveaxis(values, 1, 2).reshape(-1, len(network.layers)))

    def seeds(self, network):
        """(layer): mean over the pairs of seeds of a network; NaN with one seed, because a point is not compared with itself."""
        return self.with_points(network, network.rows)

    def others(self, network):
        """(layer): mean over the pairs with other networks."""
        return self.with_points(network, [row for other in self.networks if other is not network for row in other.rows])

    def between(self, networks):
        """(network, network): mean over the hidden layers of equal names, and pairs of points; the diagonal: pairs of seeds."""
        hidden = np.where(self.sweep.output[:, :, None], np.nan, self.points)
        mean = mean_known(np.moveaxis(hidden, 1, 0))  # (point, other point)
        found = np.full((len(networks), len(networks)), np.nan)
        columns = [[self.other[row] for row in network.rows if row in self.other] for network in networks]
        for i, network in enumerate(networks):
            for j in range(len(networks)):
                found[i, j] = mean_known(mean[np.ix_(network.rows, columns[j])].ravel())
        return found


def find(findings):
    """Adds the table `similarity` and sentences about it to the findings of a sweep."""
    alike = Alike(findings.sweep)
    if not alike.there:
        return
    findings.tables["similarity_pairs"] = pd.DataFrame(json.loads(findings.sweep.attributes["similarity_pairs"]))
    if not alike.networks:
        return
    findings.tables["similarity"] = table = table_of(alike)
    where = "table similarity"
    findings.say("Similarity of neighbouring layers", neighbours(alike, table), where)
    if np.isfinite(table["same_from_epoch"]).any():
        findings.say("How early layers reach their final representation", settling(alike, table), where)
    if table[["cka_seeds", "cka_networks"]].notna().any(axis=None):
        findings.say("Similarity of seeds and networks", between(alike, table), where)


def table_of(alike):
    """A row for each layer of each network: means over seeds."""
    sweep, frames = alike.sweep, []
    for network in alike.networks:
        layers, epochs, names = alike.of_layers(network), alike.of_epochs(network), network.names()
        after = [settled(column, SAME) for column in epochs.T] if np.isfinite(epochs).any(axis=1).sum() > 1 else [None] * len(names)
        frame = pd.DataFrame({"layer": names, "output": sweep.output[network.first][network.layers], "next_layer": [*names[1:], ""],
                              "cka_next_layer": [*np.diag(layers, 1), np.nan],
                              "same_from_epoch": [np.nan if at is None else float(sweep.epochs[at]) for at in after],
                              "cka_seeds": np.nan, "cka_networks": np.nan})
        if alike.points is not None:
            frame["cka_seeds"], frame["cka_networks"] = alike.seeds(network), alike.others(network)
        for name in reversed(sweep.keys):
            frame.insert(0, name, network.key[name])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def neighbours(alike, table):
    known = table[np.isfinite(table["cka_next_layer"])]
    samples = alike.sweep.attributes.get("similarity_samples", "")
    text = f"Debiased linear CKA of the features of {samples} samples, {alike.epoch_words()}, means over seeds. "
    if not len(known):
        return text + "No two neighbouring layers were compared."
    high = known[known["cka_next_layer"] >= SAME]
    best, least = known.loc[known["cka_next_layer"].idxmax()], known.loc[known["cka_next_layer"].idxmin()]
    text += (f"Neighbouring layers have {number(known['cka_next_layer'].mean(), 2)} on average over {count(alike.networks, 'network')}. "
             f"{len(high)} of {count(known, 'pair')} of neighbours {'is' if len(high) == 1 else 'are'} alike ({SAME:g} or more)")
    if len(high):
        text += f": {times(high['layer'] + ' and ' + high['next_layer'], len(alike.networks))}"
    if len(known) > 1:
        text += (f". Most alike are {best['layer']} and {best['next_layer']} ({number(best['cka_next_layer'], 2)}), least alike "
                 f"{least['layer']} and {least['next_layer']} ({number(least['cka_next_layer'], 2)})")
    return text + "."


def times(words, networks):
    """The values of a list; of several networks with how often each is there, the most frequent first."""
    counts = words.value_counts(sort=networks > 1)
    listed = [word + (f" ({n})" if networks > 1 else "") for word, n in counts.items()]
    return ", ".join(listed[:PAIRS_LISTED]) + (f" and {len(listed) - PAIRS_LISTED} more" if len(listed) > PAIRS_LISTED else "")


def settling(alike, table):
    known = table[np.isfinite(table["same_from_epoch"])]
    medians = known.groupby("layer", sort=False)["same_from_epoch"].median()
    order = [name for name in merged_order([n.names() for n in alike.networks]) if name in medians]
    listed = [f"{name} {medians[name]:g}" for name in order]
    several = len(alike.networks) > 1
    earliest = known["same_from_epoch"].min()
    return (f"The epoch from which the CKA of a layer with its own state {alike.epoch_words()} stays at {SAME:g} or above"
            f"{', in the median over networks' if several else ''}: {', '.join(listed[:LISTED])}"
            f"{f' and {len(listed) - LISTED} more layers' if len(listed) > LISTED else ''}. Over all layers"
            f"{' and networks' if several else ''} the median is epoch {known['same_from_epoch'].median():g}, the earliest {earliest:g}, the "
            f"latest {known['same_from_epoch'].max():g}.")


def between(alike, table):
    """Seeds of a network against other networks, hidden layers of equal names."""
    parts, hidden = [], table[~table["output"]]
    for column, words in (("cka_seeds", "Seeds of one network"), ("cka_networks", "Different networks")):
        known = hidden[np.isfinite(hidden[column])]
        if not len(known):
            continue
        means = known.groupby("layer", sort=False)[column].mean()
        text = f"{words} have a CKA of {number(known[column].mean(), 2)}"
        if len(means) > 1:
            text += (f", the most in {means.idxmax()} ({number(means.max(), 2)}) and the least in {means.idxmin()} ({number(means.min(), 2)})")
        parts.append(text + ".")
    return f"Layers are matched by their names; means over pairs of points and hidden layers, {alike.epoch_words()}. {' '.join(parts)}"
