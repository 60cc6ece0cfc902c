"""A sweep for figures and findings: a table of points, and networks (points that differ only in their seed)."""
import fractions
import math
import re

import numpy as np
import pandas as pd

from .files import as_sweep, axes, conventions
from .kinds import grouped, kinds_of
from .class_scores import scores

UNSOLVED = 16
ROUNDING = 32
EXCLUDED = 1 | 2 | 4 | UNSOLVED  # flags dead, undersampled, nonfinite, unsolved: left out of means over layers
HEADLINE_DELTA = 0.99  # else the largest delta that was measured
MEANS_SHOWN = ("balanced_accuracy", "mean_precision", "mean_f1", "mean_specificity")
LISTED = 20  # names in a sentence; tables have all
STRICTLY_BELOW = "the number of cumulative shares of the variance that are strictly below δ"
K_IS = {"smallest": "the smallest number of principal components that explain the share δ of the variance", "delve": STRICTLY_BELOW,
        "pca-layer": f"{STRICTLY_BELOW}, but at least 1, and 1 more if the last of these shares is more than 0.02 short of δ"}


def width_text(width):
    """A width as the program prints it: 1/8. A number that is no fraction of small numbers stays a decimal."""
    ratio = fractions.Fraction(float(width)).limit_denominator(1000)
    return str(ratio) if math.isclose(ratio, width, rel_tol=1e-9) else f"{width:g}"


def axis_text(axis):
    """The name of an axis as in the job file: train.learning_rate."""
    return re.sub("^(train|measure|probe)_", r"\1.", axis)


def value_text(axis, value):
    """One value of an axis for readers: "width 1/8", "10 classes", "vgg11"."""
    if axis == "width":
        return f"width {width_text(value)}"
    if axis == "classes":
        return f"{int(value)} classes"
    if axis == "resolution":
        return f"{int(value)} px"
    if isinstance(value, str):
        return value if axis in ("dataset", "model") else f"{axis_text(axis)} {value}"
    return f"{axis_text(axis)} {value:g}"


def without_formulas(words):
    """Escapes texts for figures, because matplotlib reads text between two $ as a formula."""
    words = np.asarray(words).astype(str)
    return np.char.replace(words, "$", "?") if words.size else words


class Sweep:
    """The data of a file, read once; spectra stay on disk until a figure needs a point."""

    def __init__(self, dataset):
        self.data = as_sweep(dataset)
        self.attributes = dict(dataset.attrs)
        self.axes = [a for a in axes(dataset) if a in self.data.coords]
        self.deltas = np.atleast_1d(self.data["delta"].values)
        at = np.flatnonzero(np.isclose(self.deltas, HEADLINE_DELTA))
        self.delta_at = int(at[0] if len(at) else self.deltas.argmax())
        self.delta = float(self.deltas[self.delta_at])
        self.epochs = self.data["epoch"].values
        self.recorded = str(self.attributes.get("train_mode", "")) == "recorded"
        # Networks of other programs: questions of sweeps (width, difficulty, projection) do not arise unless their axes are there.
        self.foreign = self.recorded or not self.axes
        self.splits = [str(s) for s in self.data["split"].values]
        self.split = self._measured_split()
        self.split_at = self.splits.index(self.split)
        self.k_is = " or ".join(f"{K_IS.get(word, 'a count')} (convention {word})" for word in conventions(self.data))
        self._read_layers()
        self._read_points()

    # ---- reading ----

    def _measured_split(self):
        saturation = self.data["saturation"].isel(delta=self.delta_at)
        for split in ("eval", "train"):
            if split in self.splits and bool(saturation.sel(split=split).notnull().any()):
                return split
        return self.splits[0]

    def values(self, name, **at):
        """Returns a variable as float64, or None if the file lacks it."""
        if name not in self.data:
            return None
        return np.asarray(self.data[name].isel(**at).values, float)

    def _read_layers(self):
        self.layer_names = without_formulas(self.data["layer_name"].values)
        self.layer_width = self.values("layer_width")
        self.output = self.values("layer_output") == 1
        self.border = self.values("layer_border") == 1
        tail = self.values("layer_tail")
        self.tail = np.full(self.output.shape, np.nan) if tail is None else np.where(tail == 255, np.nan, tail)
        for at in self._without_order():
            self.border[at], self.tail[at] = False, np.nan
        self.saturation = self.values("saturation", split=self.split_at, delta=self.delta_at)  # (point, epoch, layer)
        self.dimension = self.values("intrinsic_dimension", split=self.split_at, delta=self.delta_at)  # k: (point, epoch, layer)
        flags = np.nan_to_num(self.values("flags")).astype(int)
        self.unsolved = (flags & UNSOLVED) != 0  # (point, split, epoch, layer)
        self.rounding = (flags & ROUNDING) != 0  # (point, split, epoch, layer)
        self.counted = np.isfinite(self.saturation) & ((flags[:, self.split_at] & EXCLUDED) == 0) & ~self.output[:, None, :]
        self.probe_split, self.probes = self._last_probes()

    def _without_order(self):
        """Points whose layers are no sequence from input to output: transformers, and arrays in the order in which they were given."""
        words = self.data["layer_kind"].values if "layer_kind" in self.data else np.zeros(self.layer_names.shape, str)
        words = np.broadcast_to(words, self.layer_names.shape).astype(str)
        for at, names in enumerate(self.layer_names):
            if kinds_of(names[names != ""]) is not None or np.isin(words[at][names != ""], ("array", "b'array'")).all():
                yield at

    def _last_probes(self):
        """(split, accuracy (point, layer)) of the last probes, on the split that decides the tail: eval, else train. (None, None)
        without probes."""
        for split in ("eval", "train") if "probe_accuracy" in self.data else ():
            if split in self.splits:
                accuracy = last_finite(np.moveaxis(self.values("probe_accuracy", split=self.splits.index(split)), 1, -1))
                if np.isfinite(accuracy).any():
                    return split, accuracy
        return None, None

    def probes_converged(self):
        """(point, probe epoch, layer): 1 if the fit met its tolerance, 0 if not, NaN without a fit; None if the file does not say."""
        converged = self.values("probe_converged")
        return None if converged is None else np.where(converged == 255, np.nan, converged)

    def _read_points(self):
        n = self.saturation.shape[0]
        table = pd.DataFrame({"point": self.data["point"].values})
        for name in ("point_id", *self.axes, "outcome", "reason"):
            table[name] = self.data[name].values if name in self.data.coords else self.attributes.get(name, "")
            if name in self.axes and table[name].dtype.kind == "O":
                table[name] = without_formulas(table[name].values).astype(object)
        measured = np.isfinite(self.saturation).any(axis=2)
        self.last_at = np.where(measured.any(axis=1), measured.shape[1] - 1 - measured[:, ::-1].argmax(axis=1), -1)
        table["epochs"] = self._epochs_reached(measured)
        self.mean_saturation = self.mean_over_layers()  # (point, epoch)
        rows = np.arange(n)
        accuracy = self.values("accuracy")
        of_eval = not self.recorded or "eval" in self.splits and np.isfinite(accuracy[:, self.splits.index("eval")]).any()
        self.score_split = "eval" if of_eval else "train"
        table["accuracy"] = self._of_scores("accuracy")
        table["loss"] = self._of_scores("loss")
        table["mcc"] = self._of_scores("mcc")
        for name, values in self._class_scores().items():
            table[name] = values
        table["eval_samples"] = self._eval_samples(n)
        classes = table["classes"] if "classes" in table else pd.Series(self.data.sizes.get("class", np.nan), table.index)
        table["chance_mcc"] = 2 / np.sqrt(table["eval_samples"] * np.maximum(classes.astype(float) - 1, 1))
        table["delta"] = self.delta
        table["saturation"] = self.mean_saturation[rows, self.last_at]
        table["saturation_without_tail"] = self._without(self.tail == 1, np.isfinite(self.tail).any(axis=1))
        behind = np.cumsum(self.border, axis=1) > 0
        table["saturation_before_border"] = self._without(behind, self.border.any(axis=1))
        inner = (self.layer_names != "") & ~self.output
        known = np.isfinite(self.tail) & inner
        share = np.where(known.any(axis=1), ((self.tail == 1) & known).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)
        table["tail_share"] = share
        table["stable_epoch"] = self._stable_epochs()
        table["complete"] = (table["outcome"] == "complete") & (self.last_at >= 0)
        self.points = table
        self.varying = [a for a in self.axes if table[a].astype(str).nunique() > 1]
        self.keys = [a for a in self.axes if a != "seed"]  # axes that define a network
        self._find_networks()

    def _epochs_reached(self, measured):
        """The last epoch that has a loss, an accuracy or a saturation; −1 without any. A diverged point has fewer than planned."""
        for name in ("loss", "accuracy"):
            measured = measured | np.isfinite(self.values(name)).any(axis=1)
        last = measured.shape[1] - 1 - measured[:, ::-1].argmax(axis=1)
        return np.where(measured.any(axis=1), self.epochs[last], -1)

    def _eval_samples(self, n):
        """Number of samples of the eval split, by point: the fewest rows of a layer. NaN if the split was not measured."""
        if "samples" not in self.data or "eval" not in self.splits:
            return np.full(n, np.nan)
        rows = self.values("samples", split=self.splits.index("eval"))
        fewest = np.where(rows > 0, rows, np.inf).min(axis=(1, 2))
        return np.where(np.isfinite(fewest), fewest, np.nan)

    def _of_scores(self, name):
        """Value of the eval split (of moments without: of the train split) at the last epoch that has one, else NaN."""
        values = self.values(name)
        if values is None or self.score_split not in self.splits:
            return np.full(self.data.sizes["point"], np.nan)
        return last_finite(values[:, self.splits.index(self.score_split)])

    def _class_scores(self):
        """{name: (point)} of the scores that are means over classes, of the same split and epoch as the accuracy; {} if the file has none."""
        if "class_predictions" not in self.data or self.score_split not in self.splits:
            return {}
        one = scores(self.data[["class_samples", "class_predictions", "recall"]].isel(split=self.splits.index(self.score_split)).load())
        return {name: last_finite(one[name].transpose("point", "epoch").values) for name in MEANS_SHOWN}

    def mean_over_layers(self, left_out=None):
        """Mean saturation (point, epoch) over the counted layers, except those of a mask (point, layer)."""
        counted = self.counted if left_out is None else self.counted & ~left_out[:, None, :]
        number = counted.sum(axis=2)
        total = np.where(counted, self.saturation, 0).sum(axis=2)
        return np.where(number > 0, total / np.maximum(number, 1), np.nan)

    def _without(self, left_out, known):
        mean = self.mean_over_layers(left_out)[np.arange(len(known)), self.last_at]
        return np.where(known, mean, np.nan)

    def _stable_epochs(self):
        """The first measured epoch from which the correlation with the last stays at 0.95 or above; NaN if only the last epoch
        itself does, or if it is unknown."""
        self.stability = None
        if "stability_pearson" not in self.data:
            return np.nan
        reference = [str(r) for r in self.data["reference"].values].index("last")
        self.stability = self.values("stability_pearson", reference=reference, split=self.split_at, delta=self.delta_at)
        found = np.full(len(self.stability), np.nan)
        for i, row in enumerate(self.stability):
            known = np.flatnonzero(np.isfinite(row))
            known = known[known != self.last_at[i]]
            low = known[row[known] < STABLE]
            after = known[known > low[-1]] if len(low) else known
            if len(after):
                found[i] = self.epochs[after[0]]
        return found

    # ---- networks ----

    def _find_networks(self):
        table = self.points[self.points["complete"]]
        self.networks = []
        if not self.keys and "seed" in self.axes and len(table):  # one network
            self.networks = [Network(self, {}, table.index.to_numpy())]
            return
        keys = self.keys or ["point"]
        for key, rows in table.groupby(keys if len(keys) > 1 else keys[0], sort=False, dropna=False):
            key = key if isinstance(key, tuple) else (key,)
            self.networks.append(Network(self, dict(zip(keys, key)), rows.index.to_numpy()))
        self.networks.sort(key=lambda network: network.order)

    def label(self, key, leave_out=()):
        """Describes a network by its axes that vary in the sweep."""
        names = [a for a in self.varying if a != "seed" and a not in leave_out]
        return ", ".join(value_text(a, key[a]) for a in names if a in key)

    def common(self):
        """Describes the values that all points share."""
        first = self.points.iloc[0]
        return ", ".join(value_text(a, first[a]) for a in self.axes if a not in self.varying and a != "seed"
                         and str(first[a]) not in ("", "nan"))

    def mixed(self):
        """Says which points each instruction set or library computed; "" if it was the same for all."""
        words = [np.broadcast_to(self.data[name].values if name in self.data.coords else self.attributes.get(name, ""), len(self.points))
                 for name in ("onednn", "blas")]
        points = {}
        for point, *kind in zip(self.points["point"], *words):
            points.setdefault(" and ".join(str(word) or "an unknown library" for word in kind), []).append(int(point))
        return "; ".join(f"points {ranges(list_)}: {kind}" for kind, list_ in points.items()) if len(points) > 1 else ""

    def named(self, mask):
        """Names the layers of a mask (point, …, layer), the most frequent first: "features.0 (2), features.3 (1)"."""
        at = np.nonzero(mask)
        layers, times = np.unique(self.layer_names[at[0], at[-1]], return_counts=True)
        order = np.argsort(-times, kind="stable")
        more = [f"{len(order) - LISTED} more layers"] if len(order) > LISTED else []
        return ", ".join([f"{layers[i]} ({times[i]})" for i in order[:LISTED]] + more)

    def has(self, axis):
        return axis in self.varying


STABLE = 0.95


def ranges(numbers):
    """Ascending numbers as `--points` takes them: "0-3,7"."""
    at = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in at)


def last_finite(values):
    """Last finite number of each row (…, epoch)."""
    found = np.isfinite(values)
    at = values.shape[-1] - 1 - found[..., ::-1].argmax(axis=-1)
    return np.where(found.any(axis=-1), np.take_along_axis(values, at[..., None], -1)[..., 0], np.nan)


def mean_known(values):
    """Mean of known values over the first axis; NaN without a warning if none is known."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


class Network:
    """A network: complete points that differ only in their seed."""

    def __init__(self, sweep, key, rows):
        self.sweep, self.key, self.rows = sweep, key, rows
        self.first = int(rows[0])
        self.label = sweep.label(key)
        self.order = tuple((0, v, "") if not isinstance(v, str) else (1, 0, v)
                           for v in (key.get(a, 0) for a in ("model", "dataset", *sweep.keys)))

    def __len__(self):
        return len(self.rows)

    @property
    def seeds(self):
        """Number of seeds; empty in a grid without seeds, as of activations."""
        return f"{len(self)} seed{'s' if len(self) != 1 else ''}" if "seed" in self.sweep.axes else ""

    @property
    def title(self):
        """Label and number of seeds, for a panel."""
        return "\n".join(filter(None, (self.label, self.seeds)))

    @property
    def layers(self):
        """Indices of the layers of the network."""
        return np.flatnonzero(self.sweep.layer_names[self.first] != "")

    def names(self):
        return self.sweep.layer_names[self.first][self.layers]

    def kinds(self):
        """[(kind, positions of its layers)] of a transformer; None for other networks."""
        names = self.names()
        return grouped(names) if kinds_of(names) is not None else None

    def mean(self, column):
        return float(self.sweep.points.loc[self.rows, column].mean())

    def last_saturation(self):
        """(seeds, layers) at the last epoch."""
        return self.sweep.saturation[self.rows, self.sweep.last_at[self.rows]][:, self.layers]

    def border_at(self):
        """Position of the border layer among the layers, or None."""
        at = np.flatnonzero(self.sweep.border[self.first][self.layers])
        return int(at[0]) if len(at) else None

    def tail_from(self):
        """Position of the first tail layer (median over seeds), or None."""
        tails = self.sweep.tail[self.rows][:, self.layers]
        if not np.isfinite(tails).any():
            return None
        counts = np.nansum((tails == 1) & ~self.sweep.output[self.rows][:, self.layers], axis=1)
        count = int(np.median(counts))
        inner = np.flatnonzero(~self.sweep.output[self.first][self.layers])
        return int(inner[-count]) if count else None


def spread_evenly(items, most):
    """At most `most` items of a list, including first and last."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))]
