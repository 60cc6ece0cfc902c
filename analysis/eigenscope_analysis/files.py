"""Opens result files for xarray and pandas: a merged sweep, or the file of one point."""
import os
import re

import h5netcdf  # noqa: F401  xarray's engine, which does not name what is missing; newer versions do not bring h5py
import h5py
import numpy as np
import pandas as pd
import xarray

from .errors import SchemaError
from .older import corrected

SCHEMA, SCHEMA_VERSION = "eigenscope", 1
TIDY = ("point", "split", "epoch", "layer", "delta")  # dimensions of a tidy table
TIDY_STEPS = ("point", "step", "layer", "delta")  # of one of training steps


# Control characters, line separators, direction marks and surrogates: replaced by question marks.
NOT_PLAIN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
NOT_PLAIN_LINES = re.compile(NOT_PLAIN.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def open(path):
    """The xarray.Dataset of a merged sweep (leading dimension `point`) or of one point.

    Reads only coordinates at first, other variables when used. Unmeasured values are NaN. Close it, or use it in `with`.
    """
    if not os.path.exists(path):
        raise SchemaError(f"{path}: there is no such file; `eigenscope merge` writes one for a whole job")
    if os.path.isdir(path):
        raise SchemaError(f"{path}: is a folder; merge its results first: eigenscope merge JOB --to all.h5")
    if not os.path.isfile(path):
        raise SchemaError(f"{path}: is a device or a pipe, not a file")
    try:
        check_alone(path)
        dataset = xarray.open_dataset(path, engine="h5netcdf")
    except SchemaError:
        raise
    except Exception as error:  # h5py, h5netcdf and xarray raise different errors for invalid files
        raise SchemaError(f"{path}: cannot be read as a result of eigenscope: {error}") from error
    schema, version = dataset.attrs.get("schema"), dataset.attrs.get("schema_version")
    if schema == SCHEMA and version == SCHEMA_VERSION:
        return corrected(made_plain(dataset))
    dataset.close()
    if schema != SCHEMA:
        raise SchemaError(f"{path}: is an HDF5 file, but no result of eigenscope: the attribute schema is {schema!r}")
    raise SchemaError(f"{path}: has schema version {version}; this program reads version {SCHEMA_VERSION}")


def check_alone(path):
    """Refuses other HDF5 files, and links and values in other files, so that a file cannot make us open others."""
    with h5py.File(path) as file:
        if "schema" not in file.attrs:
            raise SchemaError(f"{path}: is an HDF5 file, but no result of eigenscope: it has no attribute schema")
        for name in file:
            link = file.get(name, getlink=True)
            elsewhere = not isinstance(link, h5py.HardLink)
            if not elsewhere and isinstance(file[name], h5py.Dataset):
                elsewhere = file[name].is_virtual or file[name].external is not None
            if elsewhere:
                raise SchemaError(f"{path}: its variable {name} is a link or is stored in another file; a result of eigenscope has all "
                                  "values in one file")


def made_plain(dataset):
    """Replaces control characters in texts of a file, so that they are safe on a page or a terminal."""
    plain = {}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "OSTU":  # the dtype of text depends on the versions of xarray and NumPy
            words = [NOT_PLAIN.sub("?", str(word)) for word in variable.values.ravel()]
            if words != list(variable.values.ravel()):
                plain[name] = (variable.dims, np.array(words, dtype=object).reshape(variable.shape), variable.attrs)
    shown = dataset.assign({name: value for name, value in plain.items() if name not in dataset.coords}).assign_coords(
        {name: value for name, value in plain.items() if name in dataset.coords}) if plain else dataset
    shown.attrs = {name: NOT_PLAIN_LINES.sub("?", value) if isinstance(value, str) else value for name, value in dataset.attrs.items()}
    if plain:
        shown.set_close(dataset.close)
    return shown


def axes(dataset):
    """Names of the axes of the grid, in job order."""
    return str(dataset.attrs.get("axes", "")).split()


def conventions(dataset):
    """The conventions by which k was counted, as words of `measure.convention`; several if they are an axis of the grid."""
    name = "measure_convention"
    if name in dataset.coords:
        return list(dict.fromkeys(str(word) for word in np.atleast_1d(dataset[name].values)))
    found = re.search(r"(?m)^ +convention: (\S+)$", str(dataset.attrs.get("job", "")))
    return [str(dataset.attrs.get(name) or (found[1] if found else "smallest"))]


def as_sweep(dataset):
    """Returns a dataset with the leading dimension `point`; the file of one point becomes a sweep of one point without
    eigenvectors, so that little is read."""
    if "point" in dataset.dims:
        return dataset
    dataset = dataset.drop_vars("eigenvectors", errors="ignore")
    names = dataset["layer"].values
    one = dataset.assign_coords(layer=range(len(names))).expand_dims("point")
    if "layer_or_all" in dataset.dims:
        one = one.assign_coords(layer_or_all=range(-1, len(names)))
    own = [*axes(dataset), "point_id", "outcome", "reason"]
    words = {name: ("point", [dataset.attrs[name]]) for name in own if name in dataset.attrs}
    return one.assign_coords(point=[0], layer_name=(("point", "layer"), [names]), **words)


def at_layer(dataset, name):
    """The result at one layer, chosen by its name: of a merged file, the layer of that name in each point. Numbers of points
    without such a layer are NaN."""
    names = dataset["layer_name"] if "layer_name" in dataset.coords else dataset["layer"]
    found = xarray.DataArray(np.asarray(names.values == name, bool), dims=names.dims)
    if not found.any():
        known = [str(word) for word in dict.fromkeys(names.values.ravel()) if str(word)]
        raise SchemaError(f"there is no layer {name}; layers are {', '.join(known)}")
    at, has = found.argmax("layer"), found.any("layer")
    chosen = dataset.isel(layer=at).drop_vars(["layer", "layer_name"], errors="ignore").assign_coords(layer=name)
    if has.all():
        return chosen
    return chosen.assign({n: chosen[n].where(has) for n, v in dataset.data_vars.items() if "layer" in v.dims})


def merged_order(rows):
    """All names of several lists; those of each list stay in its order where the lists agree."""
    order = []
    for row in dict.fromkeys(map(tuple, rows)):
        at = 0
        for name in row:
            if name not in order:
                order.insert(at, name)
            at = order.index(name) + 1
    return [name for name in order if name != ""]


def to_frame(dataset, variables=None, steps=False):
    """A tidy table: one row for each point, split, epoch, layer and delta, with the axes of the grid beside the numbers.

    `dataset` is the result of open(), or a path. `variables` chooses columns; the default is all variables that have only
    these dimensions, so spectra, per-class values and probes, also those of other
    datasets (probe_dataset_…), are left out; r.probe_dataset_accuracy.to_dataframe() is a table of one of them. Rows without any number are left out. Columns of text
    are categories: layers in the order of the network, others as they appear. With `steps`, the rows are those of training steps
    (measure.steps): point, step, layer and delta.
    """
    if not isinstance(dataset, xarray.Dataset):
        with open(dataset) as opened:
            return to_frame(opened, variables, steps)
    sweep = as_sweep(dataset)
    if steps and "step" not in sweep.dims:
        raise SchemaError("the file has no measurements after training steps; a job with measure: {steps: ...} makes them")
    tidy = TIDY_STEPS if steps else TIDY
    fitting = [name for name, v in sweep.data_vars.items() if set(v.dims) <= set(tidy) and (not steps or name.startswith("step_"))]
    unknown = sorted(set(variables or []) - set(fitting))
    if unknown:
        raise SchemaError(f"{', '.join(unknown)}: the file has no such variable over {', '.join(tidy)}; it has "
                          f"{', '.join(fitting)}")
    chosen = list(variables) if variables else fitting
    measured = [name for name in chosen if sweep[name].dtype.kind == "f"
                and ({"step"} if steps else {"split", "epoch"}) <= set(sweep[name].dims) and name != "step_epoch"]
    dimensions = {d for name in chosen for d in sweep[name].dims} | {"point"}
    beside = [name for name in (*axes(dataset), "layer_name") if name in sweep.coords and set(sweep[name].dims) <= dimensions]
    table = sweep[chosen].reset_coords()[[*chosen, *beside]]
    order = [dimension for dimension in tidy if dimension in table.dims]
    frame = table.to_dataframe(dim_order=order).reset_index()
    if measured:
        frame = frame.dropna(subset=measured, how="all")
    for name in frame.columns:
        if not (pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name])):  # text, of any dtype
            # astype("category") would sort the names: features.10 before features.3
            words = merged_order(sweep["layer_name"].values.astype(str)) if name == "layer_name" else pd.unique(frame[name].dropna())
            frame[name] = pd.Categorical(frame[name], words)
    return frame[[c for c in (*beside, *order, *chosen) if c in frame]].reset_index(drop=True)
