"""The data of the explorer: the numbers of a sweep in files of JavaScript that the page loads from disk when it needs them, because a
browser reads no other files of a page that was opened without a server.

data/<hash>/index.js describes axes, points and variables. data/<hash>/<stream><n>.js holds the numbers of a few points: records of equal
size, each the variables of one point one after the other in C order, little-endian float64 and then float32, compressed by gzip, in
base64. The stream `s` has the variables that are small, `l` those over components (spectra, angles). A new variable of a result file needs
nothing here: its dimensions, its long name and its units decide how page/explorer.js draws it.
"""
import base64
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil

import numpy as np

from .files import SCHEMA_VERSION
from .sweep import axis_text, spread_evenly, value_text

CALL = {"index": "eigenscopeIndex", "chunk": "eigenscopeChunk"}  # functions of page/explorer.js
CHUNK = 1 << 19  # bytes of a file before compression, unless a single point has more
FILES = 256  # at most, of a stream
RANKS = 48  # of the components of a spectrum: the first ones, then evenly spaced in their logarithm
LONG = 96 << 20  # bytes of all spectra; of longer ones fewer epochs are shown
LARGEST = 4 << 20  # bytes of one variable of one point
NOT_SHOWN = {"eigenvectors": "the page shows no eigenvectors", "solver": ""}
LEAST, MOST = 1e-30, 1e30  # beyond, float32 loses digits


def is_time(dimension):
    """Dimensions that a slider moves along."""
    return dimension in ("epoch", "step") or dimension.endswith(("_epoch", "_step"))


def write(sweep, points, folder, title):
    """Writes the data of a sweep into `folder`/data; `points` is the table of points. Returns the folder of this generation, relative to
    `folder`: its name is a hash of its contents, so a page never reads the numbers of another one."""
    part = pathlib.Path(folder) / "data" / f".{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        meta = described(sweep, points, title)
        digest = hashlib.sha256()
        streams = {}
        for stream in ("s", "l"):
            chosen = [v for v in meta["variables"] if v["stream"] == stream]
            record, firsts = write_stream(sweep, chosen, stream, part, digest)
            streams[stream] = {"record": record, "firsts": firsts}
        meta["streams"] = streams
        for variable in meta["variables"]:
            del variable["shape"]
        text = json.dumps(meta, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        digest.update(text.encode())
        (part / "index.js").write_text(f"{CALL['index']}({text});\n", encoding="ascii")
        target = part.with_name(digest.hexdigest()[:16])
        if target.is_dir():
            shutil.rmtree(part)
        else:
            part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return f"data/{target.name}"


def generation(page):
    """The folder of the data that a page reads; None of a page without."""
    found = re.search(r'src="data/([0-9a-f]{16})/index\.js"', page.read_text(encoding="utf-8")) if page.is_file() else None
    return found and found[1]


def prune(folder, keep):
    """Removes the generations of earlier pages but those of `keep`."""
    for old in (pathlib.Path(folder) / "data").glob("*"):
        if re.fullmatch(r"[0-9a-f]{16}", old.name) and old.name not in keep:
            shutil.rmtree(old, ignore_errors=True)


# ---- the description ----

def plain(value):
    """A value for JSON: NaN becomes null, infinities texts."""
    if isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    value = float(value)
    return None if np.isnan(value) else str(value) if np.isinf(value) else int(value) if value.is_integer() and abs(value) < 1e15 else value


def described(sweep, points, title):
    data = sweep.data
    dims, variables, left_out = {}, [], []
    for name in data.data_vars:
        variable, reason = describe(sweep, name)
        if variable is None:
            if reason:
                left_out.append(f"{name}: {reason}")
            continue
        variables.append(variable)
        for d in variable["dims"]:
            dims.setdefault(d, dimension(data, d))
    thin(variables, len(points))
    kept = []
    for variable in variables:
        size = int(np.prod([len(variable["at"].get(d, range(n))) for d, n in zip(variable["dims"], variable["shape"])]))
        if size * np.dtype(variable["type"]).itemsize > LARGEST:
            left_out.append(f"{variable['name']}: too large for a page ({size} numbers of one point)")
        else:
            kept.append(variable)
    networks, network = np.unique(["\n".join(map(str, row)) for row in sweep.layer_names], return_inverse=True)
    columns = {c: [plain(v) for v in points[c]] for c in points if points[c].notna().any() and (points[c].astype(str) != "").any()}
    for name in data.data_vars:  # numbers of a whole point
        if data[name].dims == ("point",) and data[name].dtype.kind in "fiu" and name not in columns:
            columns[name] = [plain(v) for v in np.asarray(data[name].values, float)]
    axes = [axis_of(sweep, points, name) for name in sweep.axes if name in columns]
    return {"format": SCHEMA_VERSION, "title": str(title), "delta": sweep.delta, "split": sweep.split, "dims": dims,
            "networks": [n.split("\n") for n in networks], "network": [int(i) for i in network.ravel()], "variables": kept,
            "axes": axes, "columns": columns, "left_out": left_out,
            "labels": [", ".join(value_text(a, row[a]) for a in sweep.varying if a in row and str(row[a]) not in ("", "nan"))
                       for row in points.to_dict("records")],
            "score_split": sweep.score_split, "foreign": bool(sweep.foreign)}


def axis_of(sweep, points, name):
    """An axis of the grid with its values, in their order, and their texts."""
    values = list(dict.fromkeys(plain(v) for v in points[name]))
    if all(not isinstance(v, str) for v in values):
        values.sort(key=lambda v: (v is None, v))
    text = {value: "none" if value is None else value_text(name, value) if isinstance(value, str) or name in ("width", "classes", "resolution")
            else f"{value:g}" for value in values}
    strip = {"width": "width ", "classes": " classes"}.get(name, f"{axis_text(name)} ")
    return {"name": name, "text": axis_text(name), "values": values, "texts": [text[v].replace(strip, "") for v in values]}


def describe(sweep, name):
    """(description of a variable over dimensions of a point, ""); (None, why the page does not show it)."""
    v = sweep.data[name]
    dims = [d for d in v.dims if d != "point"]
    if name in NOT_SHOWN or "feature" in dims:
        return None, NOT_SHOWN.get(name, "the page shows no vectors")
    if not dims or v.dtype.kind not in "fiub" or 0 in v.shape:
        return None, ""
    shape = [v.sizes[d] for d in dims]
    stream = "l" if "component" in dims or np.prod(shape) > 1 << 15 else "s"
    attributes = {key: v.attrs.get(key) for key in ("flag_masks", "flag_values", "flag_meanings")}
    flags = {}
    if attributes["flag_meanings"] is not None:
        kind = "flag_masks" if attributes["flag_masks"] is not None else "flag_values"
        numbers = np.atleast_1d(attributes[kind]) if attributes[kind] is not None else []
        flags = {"masks": kind == "flag_masks", "numbers": [int(n) for n in numbers], "words": str(attributes["flag_meanings"]).split()}
    return {"name": name, "label": str(v.attrs.get("long_name", "")), "units": str(v.attrs.get("units", "")), "dims": dims,
            "shape": shape, "at": {}, "range": [float(x) for x in np.atleast_1d(v.attrs.get("shown_range", []))], "type": "<f8" if out_of_range(sweep, name, stream) else "<f4", "stream": stream, "flags": flags}, ""


def out_of_range(sweep, name, stream):
    """True if float32 would not hold the numbers of a variable: whole numbers exactly, others to their seventh digit."""
    v = sweep.data[name]
    if stream == "l" and "component" in v.dims:  # as large as the variance; not read here
        v = sweep.data["trace"] if "trace" in sweep.data else v.isel(component=0)
    values = np.asarray(v.values, float)
    values = np.abs(values[np.isfinite(values) & (values != 0)])
    if len(values) == 0:
        return False
    return bool(values.max() > MOST or values.min() < LEAST or
                (values > 1 << 24).any() and not np.array_equal(values.astype("f4").astype(float), values))


def dimension(data, name):
    """Values of a dimension, as numbers or texts."""
    n = data.sizes[name]
    values = data[name].values if name in data.coords and data[name].dims == (name,) else np.arange(n)
    attributes = data[name].attrs if name in data.coords else {}
    return {"values": [plain(v) if np.asarray(v).dtype.kind in "fiub" else str(v) for v in values],
            "label": str(attributes.get("long_name", "")), "units": str(attributes.get("units", ""))}


def ranks_of(size):
    """At most RANKS of `size` components: the first ones, then evenly spaced in their logarithm."""
    steps = (np.unique(np.geomspace(1, size, n).round().astype(int)) - 1 for n in range(RANKS, 20 * RANKS))
    return [int(i) for i in max((found for found in steps if len(found) <= RANKS), key=len)]


def thin(variables, n):
    """Chooses components and, where the spectra of all points are too large, epochs."""
    long = [v for v in variables if v["stream"] == "l"]
    for v in long:
        for d, size in zip(v["dims"], v["shape"]):
            if d == "component" and size > RANKS:
                v["at"][d] = ranks_of(size)
    for v in long:
        times = [d for d in v["dims"] if is_time(d)]
        size = np.dtype(v["type"]).itemsize * int(np.prod([len(v["at"].get(d, range(s))) for d, s in zip(v["dims"], v["shape"])]))
        share = min(1.0, LONG / len(long) / (size * n), LARGEST / size)
        if times and share < 1:
            last = max(times, key=lambda d: v["shape"][v["dims"].index(d)])
            length = v["shape"][v["dims"].index(last)]
            v["at"][last] = [int(i) for i in spread_evenly(list(range(length)), max(2, int(length * share)))]


# ---- the numbers ----

def write_stream(sweep, variables, stream, folder, digest):
    """Writes the files of a stream; returns (bytes of a record, first point of each file)."""
    n, offset = len(sweep.points), 0
    variables.sort(key=lambda v: v["type"], reverse=True)  # float64 first, for alignment
    for v in variables:
        v["offset"] = offset
        v["count"] = int(np.prod([len(v["at"].get(d, range(s))) for d, s in zip(v["dims"], v["shape"])]))
        offset += v["count"] * np.dtype(v["type"]).itemsize
    record = -(-offset // 8) * 8
    if not variables:
        return 0, []
    each = max(1, CHUNK // record, -(-n // FILES))
    whole = {v["name"]: numbers(sweep, v, slice(None)) for v in variables} if stream == "s" else {}
    firsts = list(range(0, n, each))
    for i, first in enumerate(firsts):
        rows = slice(first, min(first + each, n))
        block = np.zeros((rows.stop - first, record), np.uint8)
        for v in variables:
            values = whole[v["name"]][rows] if whole else numbers(sweep, v, rows)
            block[:, v["offset"]:v["offset"] + values.shape[1] * values.itemsize] = np.ascontiguousarray(values).view(np.uint8)
        packed = gzip.compress(block.tobytes(), 4, mtime=0)
        digest.update(packed)
        (folder / f"{stream}{i}.js").write_text(f'{CALL["chunk"]}("{stream}{i}","{base64.b64encode(packed).decode()}");\n', encoding="ascii")
    return record, firsts


def numbers(sweep, v, rows):
    """(points, numbers of a point) of a variable; NaN where nothing was measured."""
    data = sweep.data[v["name"]]
    kind = data.dtype.kind
    if "point" not in data.dims:
        data = data.expand_dims(point=len(sweep.points))
    values = data.transpose("point", *v["dims"]).isel(point=rows, **{d: at for d, at in v["at"].items()}).values
    values = np.asarray(values, float)
    if kind in "iu" and not v["flags"]:
        values = np.where(values == (255 if data.dtype == np.uint8 else -1), np.nan, values)
    with np.errstate(over="ignore"):
        return values.reshape(len(values), -1).astype(v["type"])
