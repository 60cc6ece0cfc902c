"""Probes on other datasets than that of the point (probe.datasets): how accurate they are, layer by layer."""
import numpy as np
import pandas as pd

from .statistics import mean_interval
from .sweep import last_finite, mean_known, without_formulas
from .words import count, listing, number

LEAD = 0.01  # in accuracy: a layer before the last hidden one is better if it leads by more
ROUNDING = 1e-9  # in accuracy: means over seeds that differ by less are equal
OTHER, OWN, WHOLE = "other", "own", "all classes"  # a dataset is not that of the network, is, or is that with classes that the network lacks


class Transfer:
    """The last probes of probe.datasets: `names`; `classes` (dataset), NaN if unknown; `relation` (point, dataset): OTHER, OWN or WHOLE;
    `accuracy` (point, dataset, layer) on `split`, eval or else train; `converged` (point, dataset, probe epoch, layer): 1, 0 or NaN without
    a fit. `there` is False without any."""

    def __init__(self, sweep):
        self.sweep, self.there, self.names, self.split = sweep, False, [], None
        if "probe_dataset_accuracy" not in sweep.data:
            return
        self.names = [str(name) for name in without_formulas(sweep.data["probe_dataset"].values)]
        for split in ("eval", "train"):
            if split in sweep.splits:
                values = sweep.values("probe_dataset_accuracy", split=sweep.splits.index(split))  # (point, dataset, epoch, layer)
                accuracy = last_finite(np.moveaxis(values, 2, -1))
                if np.isfinite(accuracy).any():
                    self.there, self.split, self.accuracy = True, split, accuracy
                    break
        classes = sweep.values("probe_dataset_classes")
        self.classes = np.full(len(self.names), np.nan) if classes is None else mean_known(np.where(classes > 0, classes, np.nan))
        self.relation = np.array([[self._relation(row, at) for at in range(len(self.names))] for row in sweep.points.to_dict("records")])
        converged = sweep.values("probe_dataset_converged")
        self.converged = None if converged is None else np.where(converged == 255, np.nan, converged)

    def _relation(self, point, dataset):
        if "dataset" not in point or str(point["dataset"]) != self.names[dataset]:
            return OTHER
        return WHOLE if point.get("classes", np.nan) < self.classes[dataset] else OWN

    def related(self, network, dataset):
        return self.relation[network.first, dataset]

    def of(self, network, dataset):
        """Accuracies (seeds, layers) of a network on a dataset (index)."""
        return self.accuracy[network.rows, dataset][:, network.layers]

    def title(self, dataset, relation=OTHER):
        """Name of a dataset, and its classes, which say what chance gives if they are equally frequent."""
        classes = self.classes[dataset]
        number_of = f"{'all ' if relation == WHOLE else ''}{int(classes)} classes" if np.isfinite(classes) else ""
        return f"{self.names[dataset]} ({number_of})" if number_of else self.names[dataset]


def table(transfer):
    """A row for each network, dataset and layer."""
    sweep, frames = transfer.sweep, []
    for network in sweep.networks:
        own = None if sweep.probes is None else mean_known(sweep.probes[network.rows][:, network.layers])
        for at, name in enumerate(transfer.names):
            values = transfer.of(network, at)
            if not np.isfinite(values).any():
                continue
            frame = pd.DataFrame({**{key: network.key[key] for key in sweep.keys}, "probe_dataset": name, "classes_of_it": transfer.classes[at],
                                  "relation": transfer.related(network, at), "layer": network.names(),
                                  "output": sweep.output[network.first][network.layers],
                                  "split": transfer.split, "accuracy": mean_known(values), **bounds(values)})
            frame["own_accuracy"] = np.nan if own is None else own
            if transfer.converged is not None:
                ended = last_finite(np.moveaxis(transfer.converged[network.rows, at], 1, -1))[:, network.layers]
                frame["not_converged"] = (ended == 0).sum(axis=0)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def bounds(values):
    """{"low", "high"} (layer) of accuracies (seed, layer): 95 % intervals of their means, cut to 0 … 1."""
    known = [column[np.isfinite(column)] for column in values.T]
    intervals = [mean_interval(column, 0, 1) if len(column) else {"low": np.nan, "high": np.nan} for column in known]
    return {end: [interval[end] for interval in intervals] for end in ("low", "high")}


def best(transfer, dataset, relation):
    """[(network, position of its best hidden layer, how much that leads the last hidden layer)]; means over seeds. The last hidden layer
    leads by 0 if no other is better."""
    found = []
    for network in transfer.sweep.networks:
        if transfer.related(network, dataset) != relation:
            continue
        mean = mean_known(transfer.of(network, dataset))
        hidden = np.flatnonzero(~transfer.sweep.output[network.first][network.layers] & np.isfinite(mean))
        if len(hidden):
            top, last = int(hidden[mean[hidden].argmax()]), int(hidden[-1])
            lead = float(mean[top] - mean[last])
            found.append((network, top, lead) if lead > ROUNDING else (network, last, 0.0))
    return found


def describe(transfer, dataset, relation=OTHER):
    """What a sentence says of one dataset and the networks of one relation to it; "" if none has a number."""
    found = best(transfer, dataset, relation)
    if not found:
        return ""
    title, several = transfer.title(dataset, relation), len(transfer.sweep.networks) > 1
    if len(found) == 1:
        network, top, lead = found[0]
        title += f", network {network.label}" if several and network.label else ""
        accuracy = f"{network.names()[top]} ({number(100 * mean_known(transfer.of(network, dataset))[top], 1)} %)"
        if lead == 0:
            return f"{title}: no hidden layer is more accurate than the last one, {accuracy}."
        lead = number(100 * lead, 1 if lead >= LEAD / 10 else 3)
        return f"{title}: most accurate behind {accuracy}, {lead} percentage points above the last hidden layer."
    early = [lead for _, _, lead in found if lead > LEAD]
    which = " trained on other datasets" if relation == OTHER else " trained on some of these classes"
    which = count(found, "network") + (which if len(found) < len(transfer.sweep.networks) else "")
    text = f"{title}: in {len(early)} of {which} a layer before the last hidden one is more accurate by over {100 * LEAD:g} point"
    return text + (f", on average by {number(100 * np.mean(early), 1)}." if early else ".")


def add(findings):
    """Adds the table and the sentences about probes on other datasets to the findings."""
    transfer = Transfer(findings.sweep)
    if not transfer.there:
        return
    findings.tables["transfer"] = table(transfer)
    words = [text for at in range(len(transfer.names)) for text in (describe(transfer, at, relation) for relation in (OTHER, WHOLE)) if text]
    if words:
        findings.say("Probes on other datasets", " ".join(words), "table transfer")
    if transfer.converged is None:
        return
    converged = np.where((transfer.relation == OWN)[:, :, None, None], np.nan, transfer.converged)  # those are as the own probes
    failed, fitted = converged == 0, np.isfinite(converged)
    if not fitted.any():
        return
    text = f"All {count(fitted.sum(), 'probe')} on other datasets converged."
    if failed.any():
        text = (f"{int(failed.sum())} of {count(fitted.sum(), 'probe')} on other datasets did not converge, so their accuracies are not certain. "
                f"Datasets: {listing(np.array(transfer.names)[failed.any(axis=(0, 2, 3))])}. Layers: {findings.sweep.named(failed)}. "
                f"Points: {listing(findings.sweep.points['point'][failed.any(axis=(1, 2, 3))])}.")
    findings.say("Convergence of the probes on other datasets", text, "table transfer")
