"""Files of `eigenscope similarity --to`: as tables, and as a heat map of CKA."""
import h5py
import numpy as np

from .errors import SchemaError
from .figures.style import INK, RC, layer_ticks, plt
from .files import NOT_PLAIN

SCHEMA, SCHEMA_VERSION = "eigenscope similarity", 1
MOST = 400  # sets that a heat map can show


def read(path):
    """(sets, cka): a list of (point_id, epoch, layer), and the matrix of debiased linear CKA between them."""
    try:
        with h5py.File(path) as file:
            schema, version = file.attrs.get("schema"), file.attrs.get("schema_version")
            if schema != SCHEMA or version != SCHEMA_VERSION:
                raise SchemaError(f"{path}: is no file of similarities; eigenscope similarity FILE.h5 --to {path} writes one")
            points, layers = (file[name].asstr()[()] for name in ("point_id", "layer"))
            sets = list(zip(points, file["epoch"][()].tolist(), (NOT_PLAIN.sub("?", layer) for layer in layers)))
            cka = file["cka"][()]
    except (OSError, KeyError, TypeError) as error:
        raise SchemaError(f"{path}: cannot be read as a file of similarities: {error}") from error
    if cka.shape != (len(sets), len(sets)):
        raise SchemaError(f"{path}: is damaged: cka has the shape {cka.shape}, but there are {len(sets)} sets")
    return sets, cka


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
    sets, cka = read(path)
    chosen = choose(sets, epoch, points)
    if not chosen:
        raise SchemaError(f"{path}: has no sets of epoch {epoch}" + (f" and points {', '.join(points)}" if points else ""))
    if len(chosen) > MOST:
        raise SchemaError(f"{path}: a heat map shows at most {MOST} sets, but {len(chosen)} are chosen; choose some by epoch or points")
    groups = [sets[i][:2] for i in chosen]
    one = len(set(groups)) == 1
    names = [sets[i][2] if one else f"{sets[i][0][:4]}/{sets[i][1]}/{sets[i][2]}" for i in chosen]
    with plt.rc_context({**RC, "axes.grid": False}):
        figure, axis = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
        image = axis.imshow(cka[np.ix_(chosen, chosen)], vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        layer_ticks(axis, names, most=32)
        layer_ticks(axis, names, most=32, along_y=True)
        for at in range(1, len(chosen)):
            if groups[at] != groups[at - 1]:  # another point or epoch begins
                axis.axhline(at - 0.5, color=INK, linewidth=0.6)
                axis.axvline(at - 0.5, color=INK, linewidth=0.6)
        figure.colorbar(image, label="debiased linear CKA (below 0: as 0)", shrink=0.8)
        axis.set_title(f"{groups[0][0]}, epoch {groups[0][1]}" if one else f"{len(set(g[0] for g in groups))} points, epoch {epoch}")
    return figure
