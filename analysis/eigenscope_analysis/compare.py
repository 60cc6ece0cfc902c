"""Compares two results: of two machines, two rank counts or two versions; or of delve and eigenscope."""
import contextlib
import pathlib
import re
from csv import Error as CsvError

import numpy as np
import pandas as pd
import xarray

from . import contrast
from .files import SchemaError, as_sweep, axes, conventions, open as open_file

OF_THE_RUN = {"seconds", "elapsed_seconds", "ranks_per_point", "started", "host"}  # differ between any two runs
PROVENANCE = ("version", "revision", "compiler", "build", "mpi", "hdf5", "blas", "onednn", "train_mode")
BLOCK = 32  # points read at once
SAME, DIFFERENT = 0, 2


def run(a, b, rtol=1e-6, atol=1e-9, point=None, delta=None, to=None, choose=((), ()), csv=False):
    """Prints the differences. Returns 0 if none exceeds the tolerance, else 2. `choose`: ["AXIS=VALUE"] that points of A and B must have."""
    with contextlib.ExitStack() as stack:
        if to is not None and not is_csv(to):
            raise SchemaError(f"--to {to}: the name must end in .csv")
        if to is not None and any(pathlib.Path(to).exists() and pathlib.Path(path).exists() and pathlib.Path(to).samefile(path) for path in (a, b)):
            raise SchemaError(f"--to {to}: is one of the files to compare; choose another name")
        if is_csv(a) and is_csv(b):
            raise SchemaError(f"{a}, {b}: one of the two must be a result of eigenscope")
        sweeps = [None if is_csv(path) else chosen(as_sweep(stack.enter_context(open_file(path))), path, conditions)
                  for path, conditions in ((a, choose[0]), (b, choose[1]))]
        shown, written = "", None
        if any(s is None for s in sweeps):
            table, notes = compare_delve(next(s for s in sweeps if s is not None), a if is_csv(a) else b, rtol, atol, point, delta)
        elif set(ids(sweeps[0])) & set(ids(sweeps[1])):
            table, notes = compare_results(*sweeps, rtol, atol)
        else:
            table, notes, shown, written = compare_pairs(*sweeps, rtol, atol, delta)
        written = table if written is None else written
    if csv:
        print(written.to_csv(index=False), end="")
    differing = table[(table["beyond"] > 0) | (table["one_unknown"] > 0)]
    compared = int(table["compared"].sum())
    if not csv:
        for text in (*notes, *([f"\n{shown}"] if shown else [])):
            print(text)
        if len(differing):
            print(differing.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
        print(f"{int(differing['beyond'].sum())} of {compared} numbers in {len(table)} variables differ by more than {rtol:g} "
              f"relative or {atol:g} absolute; {int(differing['one_unknown'].sum())} are known in one file only")
    if to is not None:
        written.to_csv(to, index=False)
    return DIFFERENT if len(differing) or compared == 0 else SAME


def ids(sweep):
    return [str(i) for i in sweep["point_id"].values]


def chosen(sweep, path, conditions):
    """The points that meet all conditions, each as width=0.5."""
    for condition in conditions:
        name, _, value = condition.partition("=")
        name = name.replace(".", "_")
        if name not in axes(sweep):
            raise SchemaError(f"{path}: {condition}: must be AXIS=VALUE; its axes are {', '.join(axes(sweep))}")
        own = np.broadcast_to(sweep[name].values if name in sweep.coords else sweep.attrs[name], sweep.sizes["point"])
        fits = [k for k, v in enumerate(own) if same_value(v, value)]
        if not fits:
            raise SchemaError(f"{path}: {condition}: no point has this value; there is {', '.join(contrast.plain(name, v) for v in dict.fromkeys(own))}")
        sweep = sweep.isel(point=fits)
    return sweep


def same_value(own, text):
    try:
        numerator, _, denominator = text.partition("/")
        return bool(np.isclose(float(own), float(numerator) / float(denominator or 1), rtol=1e-9))
    except (ValueError, ZeroDivisionError):
        return str(own) == text


def is_csv(path):
    return pathlib.Path(path).suffix.lower() == ".csv"


class Tally:
    """Differences of one variable, block by block."""

    def __init__(self, name, rtol, atol):
        self.name, self.rtol, self.atol = name, rtol, atol
        self.compared = self.beyond = self.one_unknown = 0
        self.largest, self.relative, self.where = 0.0, 0.0, ""

    def add(self, a, b, place):
        """Compares arrays a, b of equal shape; place(index) names an element."""
        known = np.isfinite(a) & np.isfinite(b)
        same = (a == b) | (np.isnan(a) & np.isnan(b))  # true for infinities too
        with np.errstate(invalid="ignore"):
            distance = np.where(known, np.abs(a - b), 0)
            scale = np.where(known, np.maximum(np.abs(a), np.abs(b)), 0)
        beyond = known & (distance > self.atol + self.rtol * scale)
        self.compared += int(known.sum())
        self.one_unknown += int((~known & ~same).sum())
        self.beyond += int(beyond.sum())
        ratio = np.divide(distance, scale, out=np.zeros_like(distance), where=scale > 0)
        self.relative = max(self.relative, float(ratio.max(initial=0)))
        if distance.size and distance.max() > self.largest:
            at = np.unravel_index(distance.argmax(), distance.shape)
            self.largest, self.where = float(distance[at]), place(at)

    def row(self):
        return {"variable": self.name, "compared": self.compared, "beyond": self.beyond, "one_unknown": self.one_unknown,
                "largest": self.largest, "largest_relative": self.relative, "largest_at": self.where}


def provenance(a, b):
    return [f"{name}: {a.attrs[name]} | {b.attrs[name]}" for name in PROVENANCE
            if name in a.attrs and name in b.attrs and str(a.attrs[name]) != str(b.attrs[name])]


# ---- two results ----

def compare_results(a, b, rtol, atol):
    ids_a, ids_b = ids(a), ids(b)
    common = [i for i in ids_a if i in set(ids_b)]
    notes = [f"points only in {'A' if side is a else 'B'}: {', '.join(only[:8])}{' …' if len(only) > 8 else ''}"
             for side, only in ((a, [i for i in ids_a if i not in set(ids_b)]), (b, [i for i in ids_b if i not in set(ids_a)])) if only]
    notes += provenance(a, b)
    rows_a, rows_b = ([ids.index(i) for i in common] for ids in (ids_a, ids_b))
    a, b = a.isel(point=rows_a), b.isel(point=rows_b)
    own, other = np.asarray(a["layer_name"].values), np.asarray(b["layer_name"].values)
    if own.shape != other.shape or (own != other).any():
        raise SchemaError("the two files have different layers: layer_name differs")
    names = [n for n in a.data_vars if n in b.data_vars and n not in OF_THE_RUN and a[n].dtype.kind in "fiu"]
    only = sorted((set(a.data_vars) ^ set(b.data_vars)) - OF_THE_RUN)
    if only:
        notes.append(f"variables in one file only: {', '.join(only)}")
    rows = [tally(name, a[name], b[name], common, rtol, atol).row() for name in names]
    return pd.DataFrame(rows), notes


def compare_pairs(a, b, rtol, atol, delta):
    """Points of different settings: each with the one that is equal in all other axes."""
    pairs = contrast.Pairs(a, b)
    tallies, written, notes = contrast.compare(a, b, pairs, lambda name: Tally(name, rtol, atol))
    common = [d for d in np.atleast_1d(a["delta"].values) if np.isclose(np.atleast_1d(b["delta"].values), d).any()]
    if not common or len(written) == 0:
        raise SchemaError("the two files share no layer, or no delta, at which saturation could be compared")
    at = common[delta_of({"delta": xarray.DataArray(common)}, delta)]
    table = pd.DataFrame([t.row() for t in tallies if t.name not in OF_THE_RUN])
    return table, [*pairs.notes(a, b), *provenance(a, b), *notes], contrast.show(written, pairs, at), written.drop(columns="output")


def tally(name, a, b, ids, rtol, atol):
    """One variable over the coordinates that both have, a block of points at a time."""
    counted = Tally(name, rtol, atol)
    a, b = xarray.align(a.reset_coords(drop=True), b.reset_coords(drop=True), join="inner", exclude=["point"])
    if "point" not in a.dims:
        counted.add(np.asarray(a.values, float), np.asarray(b.values, float), str)
        return counted
    a, b = a.transpose("point", ...), b.transpose("point", ...)
    for start in range(0, len(ids), BLOCK):
        block = slice(start, start + BLOCK)

        def place(at, start=start):
            rest = ", ".join(f"{d} {a[d].values[i] if d in a.coords else i}" for d, i in zip(a.dims[1:], at[1:]))
            return f"point {ids[start + at[0]]}" + (f", {rest}" if rest else "")
        counted.add(np.asarray(a[block].values, float), np.asarray(b[block].values, float), place)
    return counted


# ---- delve ----

COLUMN = re.compile(r"^(train|eval)-(saturation|intrinsic-dimensionality)_(.+)$")
VARIABLES = {"saturation": "saturation", "intrinsic-dimensionality": "intrinsic_dimension"}


def read_delve(path):
    """{(split, variable, layer): values by row} of the CSV that delve's CSVWriter leaves: one row an epoch, columns as
    train-saturation_features-0. Layers are as there: delve writes dashes for the dots in names of modules."""
    try:
        table = pd.read_csv(path, sep=None, engine="python")
    except (OSError, ValueError, CsvError) as error:
        raise SchemaError(f"{path}: cannot be read as delve's CSV: {error}") from error
    found = {}
    for column in table.columns:
        match = COLUMN.match(str(column))
        if match:
            split, variable, layer = match.groups()
            found[split, VARIABLES[variable], layer] = pd.to_numeric(table[column], errors="coerce").to_numpy()
    if not found:
        raise SchemaError(f"{path}: has no columns as train-saturation_features-0, which delve writes")
    return found


def rows_of(one, n_rows, csv):
    """{epoch: row of the CSV}. delve writes a row after each epoch of a training, the first after epoch 1. Of weights or activations
    from files it has a row for each of them, or they are epochs of such a training."""
    epochs = [int(e) for e in np.atleast_1d(one["epoch"].values)]
    trained = of_point(one, "train_mode") == "training"
    if not trained and len(epochs) == n_rows:
        return {epoch: row for row, epoch in enumerate(epochs)}
    if not trained and not 1 <= min(epochs) <= max(epochs) <= n_rows:
        raise SchemaError(f"{csv}: has {n_rows} rows, and the result has the epochs {', '.join(map(str, epochs))}; one of delve's rows "
                          f"is needed for each")
    found = {epoch: epoch - 1 for epoch in epochs if 1 <= epoch <= n_rows}
    if not found:
        raise SchemaError("the result holds no epochs of training")
    return found


def of_point(one, name):
    """An attribute of a point; merged files have it as a coordinate if it differs between points."""
    return str(one[name].values if name in one.coords else one.attrs.get(name, ""))


def delta_of(one, wanted):
    """Index of a delta on the axis; by default that of 0.99, else of the largest."""
    deltas = np.atleast_1d(one["delta"].values)
    at = np.flatnonzero(np.isclose(deltas, 0.99 if wanted is None else wanted))
    if len(at) == 0 and wanted is not None:
        raise SchemaError(f"the result was not measured at delta {wanted:g}; it has {', '.join(f'{d:g}' for d in deltas)}")
    return int(at[0]) if len(at) else int(deltas.argmax())


def compare_delve(sweep, csv, rtol, atol, point, delta):
    columns = read_delve(csv)
    points = [int(p) for p in sweep["point"].values]
    if point is None and len(points) > 1:
        raise SchemaError(f"{csv}: is one network; say with --point which of the {len(points)} points to compare it with")
    if point is not None and point not in points:
        raise SchemaError(f"there is no point {point}; points are {points[0]} to {points[-1]}")
    one = sweep.isel(point=points.index(point) if point is not None else 0)
    layers = {str(name).replace(".", "-"): i for i, name in enumerate(np.atleast_1d(one["layer_name"].values))}
    places = rows_of(one, max(map(len, columns.values())), csv)
    at_delta = delta_of(one, delta)
    notes, rows = [f"at delta {np.atleast_1d(one['delta'].values)[at_delta]:g} of the result; delve's CSV does not say its own. delve 0.1.50 "
                    "keeps only the last batch of an epoch"], {}
    absent = sorted({layer for _, _, layer in columns if layer not in layers})
    if absent:
        notes.append(f"layers only in delve's CSV: {', '.join(absent)}")
    convention, = conventions(one)
    if convention != "delve":
        notes.append(f"the result counts by the convention {convention}; measure.convention: delve counts as delve does")
    for (split, variable, layer), values in columns.items():
        if layer not in layers or split not in one["split"].values:
            continue
        mine = one[variable].sel(split=split).isel(layer=layers[layer], delta=at_delta)
        mine = {int(e): float(v) for e, v in zip(np.atleast_1d(one["epoch"].values), np.atleast_1d(mine.values).astype(float))}
        epochs = [e for e in places if np.isfinite(mine[e]) and mine[e] >= 0]  # those that were measured
        counted = rows.setdefault((split, variable), Tally(f"{split} {variable}", rtol, atol))
        counted.add(np.array([mine[e] for e in epochs]), values[[places[e] for e in epochs]].astype(float),
                    lambda at: f"layer {layer}, epoch {epochs[at[0]]}")
    if not rows:
        raise SchemaError(f"{csv}: shares no layer and split with the result; its layers are {', '.join(layers)}")
    return pd.DataFrame([r.row() for r in rows.values()]), notes
