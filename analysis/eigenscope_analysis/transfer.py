"""Probes on other datasets than that of the point (probe.datasets): how accurate they are, layer by layer."""
import numpy as np
import pandas as pd

from .statistics import half_width
from .sweep import last_finite, mean_known, without_formulas
from .words import count, listing, number

LEAD = 0.01  # in accuracy: a layer before the last hidden one is better if it leads by more


class Transfer:
    """The last probes on other datasets: `names`; `classes` (dataset), NaN if unknown; `accuracy` (point, dataset, layer) on `split`,
    eval or else train; `converged` (point, dataset, probe epoch, layer): 1, 0 or NaN without a fit. `there` is False without any."""

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
        converged = sweep.values("probe_dataset_converged")
        self.converged = None if converged is None else np.where(converged == 255, np.nan, converged)

    def of(self, network, dataset):
        """Accuracies (seeds, layers) of a network on a dataset (index)."""
        return self.accuracy[network.rows, dataset][:, network.layers]

    def title(self, dataset):
        """Name of a dataset, and what chance gives if its classes are equally frequent."""
        classes = self.classes[dataset]
        return f"{self.names[dataset]} ({int(classes)} classes)" if np.isfinite(classes) else self.names[dataset]


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
                                  "layer": network.names(), "output": sweep.output[network.first][network.layers],
                                  "split": transfer.split, "accuracy": mean_known(values),
                                  "half_interval": [half_width(column) for column in values.T]})
            frame["own_accuracy"] = np.nan if own is None else own
            if transfer.converged is not None:
                ended = last_finite(np.moveaxis(transfer.converged[network.rows, at], 1, -1))[:, network.layers]
                frame["not_converged"] = (ended == 0).sum(axis=0)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def best(transfer, dataset):
    """[(network, position of its best hidden layer, how much that leads the last hidden layer)]; means over seeds."""
    found = []
    for network in transfer.sweep.networks:
        mean = mean_known(transfer.of(network, dataset))
        hidden = np.flatnonzero(~transfer.sweep.output[network.first][network.layers] & np.isfinite(mean))
        if len(hidden):
            top = int(hidden[mean[hidden].argmax()])
            found.append((network, top, float(mean[top] - mean[hidden[-1]])))
    return found


def describe(transfer, dataset):
    """What a sentence says of one dataset; "" if no network has a number."""
    found = best(transfer, dataset)
    if not found:
        return ""
    title = transfer.title(dataset)
    if len(found) == 1:
        network, top, lead = found[0]
        accuracy = mean_known(transfer.of(network, dataset))[top]
        more = f", {number(100 * lead, 1)} percentage points above the last hidden layer" if lead > 0 else ", the last hidden layer"
        return f"{title}: most accurate behind {network.names()[top]} ({number(100 * accuracy, 1)} %){more}."
    early = [lead for _, _, lead in found if lead > LEAD]
    text = f"{title}: in {len(early)} of {count(found, 'network')} a layer before the last hidden one is more accurate by over {100 * LEAD:g} point"
    return text + (f", on average by {number(100 * np.mean(early), 1)}." if early else ".")


def add(findings):
    """Adds the table and the sentences about probes on other datasets to the findings."""
    transfer = Transfer(findings.sweep)
    if not transfer.there:
        return
    findings.tables["transfer"] = table(transfer)
    words = [text for text in (describe(transfer, at) for at in range(len(transfer.names))) if text]
    if words:
        findings.say("Probes on other datasets", " ".join(words), "table transfer")
    if transfer.converged is None:
        return
    failed, fitted = transfer.converged == 0, np.isfinite(transfer.converged)
    text = f"All {count(fitted.sum(), 'probe')} on other datasets converged."
    if failed.any():
        text = (f"{int(failed.sum())} of {count(fitted.sum(), 'probe')} on other datasets did not converge, so their accuracies are not certain. "
                f"Datasets: {listing(np.array(transfer.names)[failed.any(axis=(0, 2, 3))])}. Layers: {findings.sweep.named(failed)}. "
                f"Points: {listing(findings.sweep.points['point'][failed.any(axis=(1, 2, 3))])}.")
    findings.say("Convergence of the probes on other datasets", text, "table transfer")
