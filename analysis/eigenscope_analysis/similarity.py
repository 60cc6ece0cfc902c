"""Files of `eigenscope similarity --to`: as tables, as variables beside those of a sweep, and as a heat map of CKA."""
import collections
import json
import os

import h5py
import numpy as np

from .errors import SchemaError
from .figures.style import INK, RC, layer_ticks, plt
from .files import NOT_PLAIN, as_sweep, check_alone

SCHEMA, SCHEMA_VERSION = "eigenscope similarity", 1
MOST = 400  # sets that a heat map can show
LARGEST = 1 << 26  # numbers of cka_points
RANGE = {"units": "1", "shown_range": [0.0, 1.0]}  # of the colours


class Similarities:
    """An open file of similarities. `sets`: list of (point_id, epoch, layer). Use it in `with`."""

    def __init__(self, path):
        self.path, self.file = path, None
        try:
            check_alone(path)
            self.file = h5py.File(path)
            schema, version = self.file.attrs.get("schema"), self.file.attrs.get("schema_version")
            if schema != SCHEMA or version != SCHEMA_VERSION:
                raise SchemaError(f"{path}: is no file of similarities; eigenscope similarity FILE.h5 --to NEW.h5 writes one")
            points, layers = (self.file[name].asstr()[()] for name in ("point_id", "layer"))
            self.sets = list(zip(points, self.file["epoch"][()].tolist(), (NOT_PLAIN.sub("?", layer) for layer in layers)))
            self.samples = int(self.file.attrs.get("samples", 0))
            shape = self.file["cka"].shape
        except (OSError, KeyError, TypeError, AttributeError, SchemaError) as error:
            self.__exit__()
            raise error if isinstance(error, SchemaError) else self.unreadable(error) from error
        if shape != (len(self.sets), len(self.sets)):
            self.__exit__()
            raise SchemaError(f"{path}: is damaged: cka has the shape {shape}, but there are {len(self.sets)} sets")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.file is not None:
            self.file.close()

    def unreadable(self, error):
        return SchemaError(f"{self.path}: cannot be read as a file of similarities: {error}")

    def rows(self, indices):
        """CKA of some sets, which lie close together, with all sets."""
        first = min(indices)
        try:
            return self.file["cka"][first:max(indices) + 1][np.asarray(indices) - first]
        except OSError as error:
            raise self.unreadable(error) from error

    def procrustes(self):
        """[(first set, second set, distance)]"""
        try:
            if "procrustes" not in self.file:
                return []
            return list(zip(*(self.file[name][()].tolist() for name in ("pair_first", "pair_second", "procrustes"))))
        except (OSError, KeyError) as error:
            raise self.unreadable(error) from error

    def named_from(self, pairs):
        """Position in procrustes() of the first pair that --pair named. Those of --procrustes, which are all pairs of a layer of a point,
        come before, in ascending order."""
        of_layers = [(point, layer) for point, _, layer in self.sets]
        every = sum(n * (n - 1) // 2 for n in collections.Counter(of_layers).values())
        ends = [(a, b) for a, b, _ in pairs[:every]]
        whole = (len(ends) == every and all(a < b and of_layers[a] == of_layers[b] for a, b in ends)
                 and all(one < next_ for one, next_ in zip(ends, ends[1:])))
        return every if whole else 0

    def of_points(self, ids):
        """{row: {epoch: {layer: index of the set}}} of the points in `ids`, by their position there."""
        rows, found = {word: row for row, word in enumerate(ids)}, {}
        for i, (point, epoch, layer) in enumerate(self.sets):
            if point in rows:
                found.setdefault(rows[point], {}).setdefault(epoch, {}).setdefault(layer, i)
        return found


# ---- beside the variables of a sweep ----

def add_similarity(dataset, *paths):
    """The dataset of open() with the numbers of files of similarities, over point (of a point that no file has: NaN):

    cka_layers (layer, other_layer)  CKA between the layers, after the last epoch of the point in the file (cka_epoch)
    cka_last (epoch, layer)          CKA of a layer with itself after that epoch
    procrustes_last (epoch, layer)   Procrustes distance of the same, if a file has it (--procrustes)
    cka_points (layer, other_point)  CKA with the layer of the same name in another point of the same file, each after its last epoch; NaN
                                     with itself. Left out if it had more than 2**26 numbers

    Its attribute similarity_pairs lists the pairs that --pair named, as JSON.
    """
    made = as_sweep(dataset)
    added = Added(made)
    for path in paths:
        with Similarities(path) as file:
            added.read(file)
    return added.result()


class Added:
    """The numbers of files of similarities in the order of a sweep."""

    def __init__(self, made):
        self.made = made
        self.ids = [str(word) for word in np.atleast_1d(made["point_id"].values)]
        self.names = made["layer_name"].values.astype(str)  # (point, layer)
        self.epochs = {int(epoch): at for at, epoch in enumerate(made["epoch"].values)}
        n, layers = self.names.shape
        self.layers = np.full((n, layers, layers), np.nan)
        self.last, self.procrustes = (np.full((n, len(self.epochs), layers), np.nan) for _ in range(2))
        self.epoch, self.blocks, self.of, self.samples = np.full(n, np.nan), [], {}, set()  # of: row -> file
        self.named = []

    def read(self, file):
        found = file.of_points(self.ids)
        if not found:
            named = list(dict.fromkeys(point for point, _, _ in file.sets))
            raise SchemaError(f"{file.path}: compares other points ({', '.join(named[:3])}{', …' if len(named) > 3 else ''}), none of those of "
                              f"the sweep; eigenscope similarity SWEEP.h5 --to NEW.h5 compares those of the sweep")
        twice = next((row for row in found if row in self.of), None)
        if twice is not None:
            raise SchemaError(f"{file.path}: compares point {self.ids[twice]}, as {self.of[twice]} does; each point may be in one file only")
        self.samples.add(file.samples)
        distances = self._pairs(file)
        rows = sorted(found)
        lasts = [found[row][max(found[row])] for row in rows]
        places = {name: at for at, name in enumerate(dict.fromkeys(name for own in lasts for name in own))}
        sets = np.full((len(rows), len(places)), -1)  # the set of each layer, by its name, after the last epoch
        for at, own in enumerate(lasts):
            sets[at, [places[name] for name in own]] = list(own.values())
        small = len(rows) ** 2 * self.names.shape[1] <= LARGEST
        between = np.full((len(rows), self.names.shape[1], len(rows)) if small else 0, np.nan)
        for at, row in enumerate(rows):
            self.of[row], self.epoch[row] = file.path, max(found[row])
            layers = [layer for layer, name in enumerate(self.names[row]) if name in lasts[at]]
            if not layers:
                continue
            columns = [places[name] for name in self.names[row][layers]]
            values = file.rows(sets[at, columns])
            self.layers[row][np.ix_(layers, layers)] = values[:, sets[at, columns]]
            self._over_epochs(row, found[row], layers, sets[at, columns], values, distances)
            other = sets[:, columns].T  # (layer, point)
            if small:
                between[at][layers] = np.where(other >= 0, np.take_along_axis(values, np.maximum(other, 0), axis=1), np.nan)
                between[at, :, at] = np.nan
        self.blocks.append((rows, between))

    def _pairs(self, file):
        """{(set, other set): Procrustes distance} of pairs of one layer of a point, both ways round; keeps the named pairs of the sweep."""
        found, pairs = {}, file.procrustes()
        named_from = file.named_from(pairs)
        for at, (a, b, distance) in enumerate(pairs):
            one, other = file.sets[a], file.sets[b]
            if (one[0], one[2]) == (other[0], other[2]):
                found[a, b] = found[b, a] = distance
            if at >= named_from and one[0] in self.ids and other[0] in self.ids:
                point, other_point = (int(self.made["point"].values[self.ids.index(end[0])]) for end in (one, other))
                self.named.append({"point": point, "epoch": one[1], "layer": one[2], "other_point": other_point, "other_epoch": other[1],
                                   "other_layer": other[2], "procrustes": distance, "cka": float(file.rows([a])[0][b])})
        return found

    def _over_epochs(self, row, of_epochs, layers, references, values, distances):
        """Each layer after each epoch, compared with the same layer after the last one (`references`; `values`: their CKA with all sets)."""
        for epoch, own in of_epochs.items():
            for layer, reference, compared in zip(layers, references, values):
                index = own.get(self.names[row][layer])
                if epoch in self.epochs and index is not None:
                    self.last[row, self.epochs[epoch], layer] = compared[index]
                    self.procrustes[row, self.epochs[epoch], layer] = distances.get((index, reference), np.nan)

    def result(self):
        n, layers = self.names.shape
        rows = sorted(self.of)
        variables = {"cka_layers": (("point", "layer", "other_layer"), self.layers,
                                    {"long_name": "debiased linear CKA between the layers, after the last compared epoch", **RANGE}),
                     "cka_last": (("point", "epoch", "layer"), self.last,
                                  {"long_name": "debiased linear CKA of the layer with itself after the last compared epoch", **RANGE}),
                     "cka_epoch": (("point",), self.epoch, {"long_name": "the last compared epoch", "units": "1"})}
        if np.isfinite(self.procrustes).any():
            variables["procrustes_last"] = (("point", "epoch", "layer"), self.procrustes, {
                "long_name": "orthogonal Procrustes distance (0 to 2) of the layer from itself after the last compared epoch", "units": "1"})
        if len(rows) > 1 and n * len(rows) * layers <= LARGEST:  # so all blocks were small
            between = np.full((n, layers, len(rows)), np.nan)
            for own, block in self.blocks:
                between[np.ix_(own, range(layers), np.searchsorted(rows, own))] = block
            variables["cka_points"] = (("point", "layer", "other_point"), between, {
                "long_name": "debiased linear CKA with the layer of the same name in another point, each after its last compared epoch", **RANGE})
        made = self.made.assign(variables)
        if "cka_points" in variables:
            made = made.assign_coords(other_point=rows)
        files = sorted({os.path.basename(path) for path in map(str, self.of.values())})
        made.attrs = {**self.made.attrs, "similarity_files": ", ".join(files), "similarity_points": len(rows), "similarity_pairs": json.dumps(self.named),
                      "similarity_samples": ", ".join(map(str, sorted(self.samples)))}
        made.set_close(self.made.close)
        return made


# ---- alone ----

def choose(sets, epoch, points):
    """Indices of the sets of some points after one epoch; "last": the last of each point; None: all epochs."""
    last = {}
    for point, number, _ in sets:
        last[point] = max(number, last.get(point, number))
    return [i for i, (point, number, _) in enumerate(sets) if (points is None or any(point.startswith(start) for start in points))
            and (epoch is None or number == (last[point] if epoch == "last" else epoch))]


def heatmap(path, epoch="last", points=None):
    """A figure of CKA between the layers of some points (their ids, which may be cut; default: all) after one epoch ("last": of
    each point; None: all epochs). Sets without CKA are left white."""
    with Similarities(path) as file:
        sets, chosen = file.sets, choose(file.sets, epoch, points)
        if not chosen:
            raise SchemaError(f"{path}: has no sets of epoch {epoch}" + (f" and points {', '.join(points)}" if points else ""))
        if len(chosen) > MOST:
            raise SchemaError(f"{path}: a heat map shows at most {MOST} sets, but {len(chosen)} are chosen; choose some by epoch or points")
        cka = np.array([file.rows([i])[0][chosen] for i in chosen])
    groups = [sets[i][:2] for i in chosen]
    one = len(set(groups)) == 1
    names = [sets[i][2] if one else f"{sets[i][0][:4]}/{sets[i][1]}/{sets[i][2]}" for i in chosen]
    with plt.rc_context({**RC, "axes.grid": False}):
        figure, axis = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
        image = axis.imshow(cka, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        layer_ticks(axis, names, most=32)
        layer_ticks(axis, names, most=32, along_y=True)
        for at in range(1, len(chosen)):
            if groups[at] != groups[at - 1]:  # another point or epoch begins
                axis.axhline(at - 0.5, color=INK, linewidth=0.6)
                axis.axvline(at - 0.5, color=INK, linewidth=0.6)
        figure.colorbar(image, label="debiased linear CKA (below 0: as 0)", shrink=0.8)
        axis.set_title(f"{groups[0][0]}, epoch {groups[0][1]}" if one else f"{len(set(g[0] for g in groups))} points, epoch {epoch}")
    return figure
