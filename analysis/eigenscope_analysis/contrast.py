"""Compares points that differ in an axis of the grid, or in another setting: each with its partner, which is equal in all other axes."""
import re

import numpy as np
import pandas as pd
import xarray

from .errors import SchemaError
from .files import axes
from .sweep import width_text

PAIRS_SHOWN, EPOCHS_SHOWN = 20, 10
AT_ONCE = 1 << 26  # bytes of a variable; a larger one is read point by point
NOT_MATCHED = {"eigenvectors", "projected_accuracy"}  # of bases and layers of their own


def settings(sweep):
    """{"train.epochs": "20", ...} from the job that a result holds, without its name, output and grid."""
    found, path = {}, []
    for line in str(sweep.attrs.get("job", "")).splitlines():
        match = re.match(r"( *)\"?([^:\"]+)\"?: ?(.*)$", line)
        if match:
            path[len(match[1]) // 2:] = [match[2]]
            if match[3] and path[0] not in ("name", "output", "grid"):
                found[".".join(path)] = match[3]
    return found


def plain(name, value):
    """A value of an axis as text; equal numbers have equal texts (1.0e-08 of a job, 1e-08 of an axis)."""
    try:
        number = float(value)
    except ValueError:
        return str(value)
    if name == "width":
        return width_text(number)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def values(sweep, name, jobs):
    """The value of an axis at each point, as text; of a file where it is no axis: the setting of its job."""
    own = sweep[name].values if name in sweep.coords else sweep.attrs.get(
        name, next((v for k, v in jobs.items() if k.replace(".", "_") == name), "?"))
    return [plain(name, v) for v in np.broadcast_to(own, sweep.sizes["point"])]


class Pairs:
    """Points of A and their partners in B: `index` is [(point in A, point in B)], `matched` the axes in which they are equal."""

    def __init__(self, a, b):
        self.jobs = settings(a), settings(b)
        names = [*axes(a), *(name for name in axes(b) if name not in axes(a))]
        own, other = ({name: values(side, name, jobs) for name in names} for side, jobs in zip((a, b), self.jobs))
        sets = {name: (set(own[name]), set(other[name])) for name in names}
        self.differing = [name for name in names if sets[name][0] != sets[name][1] and all(len(s) == 1 for s in sets[name])]
        self.matched = [name for name in names if name not in self.differing]
        places = {key: j for j, key in enumerate(zip(*(other[name] for name in self.matched)))} if self.matched else {(): 0}
        keys = list(zip(*(own[name] for name in self.matched))) if self.matched else [()]
        self.index = [(i, places[key]) for i, key in enumerate(keys) if key in places]
        self.axes, self.sets = own, sets
        if not self.index:
            raise SchemaError("the two files have no point in common, and no point of A has a partner in B. Partners are equal in all axes "
                              "but those with one value in each file: " + "; ".join(
                                  f"{name} is {', '.join(sorted(x)[:6])} in A and {', '.join(sorted(y)[:6])} in B"
                                  for name, (x, y) in sets.items() if x != y))

    def place(self, i):
        """Names a pair by the axes that vary between pairs."""
        return ", ".join(f"{name} {self.axes[name][i]}" for name in self.matched if len(set(self.axes[name])) > 1)

    def notes(self, a, b):
        found = [f"{name}: {self.axes[name][0]} | {next(iter(self.sets[name][1]))}" for name in self.differing]
        known = {name.replace("_", ".", 1) for name in self.axes} | set(self.axes)
        found += [f"{key}: {value} | {self.jobs[1][key]}" for key, value in self.jobs[0].items()
                  if self.jobs[1].get(key, value) != value and key not in known]
        found.append(f"{len(self.index)} of {a.sizes['point']} points of A have a partner among {b.sizes['point']} of B"
                     + (f", equal in {', '.join(self.matched)}" if self.matched else ""))
        return found


def layers_of(a, b, pairs):
    """[(common names, their indices in A, in B)] of each pair, and the names that only A or only B has, over all pairs."""
    found, only = [], ({}, {})
    for i, j in pairs.index:
        own, other = ({str(name): k for k, name in enumerate(side["layer_name"].values[at]) if str(name)} for side, at in ((a, i), (b, j)))
        common = [name for name in own if name in other]
        only[0].update(dict.fromkeys(name for name in own if name not in other))
        only[1].update(dict.fromkeys(name for name in other if name not in own))
        found.append((common, [own[name] for name in common], [other[name] for name in common]))
    return found, only


def compare(a, b, pairs, tally):
    """(tallies of all variables, differences of saturation as a table, notes). `tally(name)` makes a tally."""
    layers, only = layers_of(a, b, pairs)
    tallies, rows = [], []
    output = a["layer_output"].values == 1
    for name in a.data_vars:
        if name not in b.data_vars or name in NOT_MATCHED or a[name].dtype.kind not in "fiu":
            continue
        counted = tally(name)
        x, y = xarray.align(a[name].reset_coords(drop=True), b[name].reset_coords(drop=True), join="inner", exclude=["point", "layer"])
        x, y = (side.load() if side.nbytes <= AT_ONCE else side for side in (x, y.transpose(*x.dims)))
        for (i, j), (common, own, other) in zip(pairs.index, layers):
            one, two = (np.asarray(side.isel(point=at).values if "point" in side.dims else side.values, float)
                        for side, at in ((x, i), (y, j)))
            dims = [d for d in x.dims if d != "point"]
            if "layer" in dims:
                one, two = one.take(own, dims.index("layer")), two.take(other, dims.index("layer"))
            along = [common if d == "layer" else x[d].values if d in x.coords else range(n) for d, n in zip(dims, one.shape)]

            def place(at, where=pairs.place(i), dims=dims, along=along):
                return ", ".join([*([where] if where else []), *(f"{d} {values[k]}" for d, values, k in zip(dims, along, at))])
            counted.add(one, two, place)
            if name == "saturation":
                rows.append(long(one, two, dims, along, pairs, i).assign(output=lambda t: t["layer"].isin(
                    [n for n, k in zip(common, own) if output[i, k]])))
        tallies.append(counted)
    notes = [f"layers only in {side}: {', '.join(names)}" for side, names in zip("AB", only) if names]
    unlike = sorted(set(a.data_vars) ^ set(b.data_vars))
    notes += [f"variables in one file only: {', '.join(unlike)}"] if unlike else []
    return tallies, pd.concat(rows, ignore_index=True), notes


def long(one, two, dims, along, pairs, i):
    """A row for each split, epoch, layer and delta of a pair where both are known."""
    index = pd.MultiIndex.from_product(along, names=dims)
    table = pd.DataFrame({"a": one.ravel(), "b": two.ravel()}, index=index).reset_index().dropna(subset=["a", "b"])
    table["difference"] = table["b"] - table["a"]
    for name in reversed(pairs.matched):
        table.insert(0, name, pairs.axes[name][i])
    table.insert(0, "pair", i)
    return table


def show(table, pairs, delta):
    """Text: mean differences of saturation by layer and epoch, one table for each model, then the pairs."""
    split = "eval" if (table["split"] == "eval").any() else "train"
    at = table[(table["split"] == split) & (table["delta"] == delta)]
    lines = []
    groups = at.groupby("model", sort=False) if "model" in pairs.matched and at["model"].nunique() > 1 else [("", at)]
    for model, group in groups:
        n = group["pair"].nunique()
        epochs = sorted(group["epoch"].unique())
        if len(epochs) > EPOCHS_SHOWN:
            epochs = [epochs[k] for k in np.linspace(0, len(epochs) - 1, EPOCHS_SHOWN).round().astype(int)]
        lines.append(f"saturation of B minus that of A, {split} split, delta {delta:g}" + (f", model {model}" if model else "")
                     + (f", mean of {n} pairs" if n > 1 else ""))
        grid = group.pivot_table("difference", "layer", "epoch", sort=False).reindex(index=list(dict.fromkeys(group["layer"])), columns=epochs)
        grid.loc["mean of hidden"] = group[~group["output"].astype(bool)].groupby("epoch")["difference"].mean().reindex(epochs)
        lines += [grid.rename_axis(index=None, columns="layer").to_string(float_format=lambda v: f"{v:+.3f}", na_rep="-"), ""]
    if len(pairs.index) > 1:
        lines.append("pairs, with the mean over hidden layers and epochs, and the largest difference")
        for i, group in list(at.groupby("pair"))[:PAIRS_SHOWN]:
            top = group.loc[group["difference"].abs().idxmax()]
            mean = group.loc[~group["output"].astype(bool), "difference"].mean()
            lines.append(f"  {pairs.place(i)}: {mean:+.3f}; {top['difference']:+.3f} at layer {top['layer']}, epoch {top['epoch']}")
        if len(pairs.index) > PAIRS_SHOWN:
            lines.append(f"  ... {len(pairs.index) - PAIRS_SHOWN} more; --to FILE.csv writes all")
        lines.append("")
    return "\n".join(lines)
