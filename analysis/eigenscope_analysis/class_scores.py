"""Scores of classes: recall, precision, F1, specificity, balanced accuracy, of the network or of probes."""
import numpy as np
import xarray

from .errors import SchemaError

MEANS = {"recall": "balanced_accuracy", "precision": "mean_precision", "f1": "mean_f1", "specificity": "mean_specificity"}


def counts(dataset, probes):
    """(hits, samples, predictions) of each class, NaN where unknown."""
    name = "probe_confusion" if probes else "class_predictions"
    if name not in dataset:
        raise SchemaError(f"the file has no {name}" + (" (probe.epochs)" if probes else "; programs before 2026-11-29 did not write it"))
    if not probes:
        samples, predictions = (dataset[v].astype(float) for v in ("class_samples", "class_predictions"))
        hits = (dataset["recall"] * samples).round()
        return hits.where(samples != 0, 0 * samples), samples, predictions
    table = dataset["probe_confusion"].astype(float)
    same = xarray.DataArray(np.eye(table.sizes["class"]), dims=("class", "predicted_class"))
    same = same.assign_coords({d: table[d] for d in same.dims if d in table.coords})
    predictions = table.sum("class", min_count=1).rename(predicted_class="class")
    return (table * same).sum("predicted_class", min_count=1), table.sum("predicted_class", min_count=1), predictions


def scores(dataset, probes=False):
    """An xarray.Dataset of recall, precision, f1 and specificity for each class, and of their means over the classes that have samples:
    balanced_accuracy (the mean recall), adjusted_balanced_accuracy (0 for chance, 1 at best), mean_precision, mean_f1, mean_specificity.

    `dataset` is the result of open(), of one point or merged. The numbers are scikit-learn's for the labels that have samples, with its
    defaults: the precision of a class that is never predicted is 0. With `probes`, of each layer's probe instead of the network.
    """
    hits, samples, predictions = counts(dataset, probes)
    known = samples > 0
    everything = samples.sum("class", min_count=1)
    others, wrong = everything - samples, predictions - hits

    def share(part, whole, otherwise):
        return (part / whole.where(whole > 0)).fillna(otherwise).where(known)
    found = xarray.Dataset({"recall": share(hits, samples, np.nan), "precision": share(hits, predictions, 0.0),
                            "f1": share(2 * hits, samples + predictions, 0.0), "specificity": share(others - wrong, others, np.nan)})
    for name, mean in MEANS.items():
        found[mean] = found[name].mean("class")
    chance = 1 / known.sum("class")
    found["adjusted_balanced_accuracy"] = (found["balanced_accuracy"] - chance) / (1 - chance).where(chance < 1)
    return found
