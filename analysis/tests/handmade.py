"""Merged files made by hand with the schema's names, dimensions and types (test_schema.py compares them with the program).
Their numbers follow a known law, which findings must find."""
import itertools

import numpy as np
import xarray

NAMES = ["features.0", "features.3", "features.7", "features.10", "features.14", "features.17", "features.20", "features.24",
         "features.27", "features.30", "features.34", "features.37", "features.40", "classifier.2", "classifier.4", "classifier.6"]


def axes_of(widths, classes, seeds, datasets, models):
    names = ("dataset", "model", "width", "classes", "seed")
    grid = list(itertools.product(datasets, models, widths, classes, seeds))
    return {name: np.array([point[i] for point in grid], dtype=object if i < 2 else None) for i, name in enumerate(names)}


def laws(axes, n_layers, epochs, noise):
    """Mean saturation falls by 0.1 with each doubling of the width and rises by 0.05 with each doubling of the classes;
    accuracy does the opposite, by 0.02 and 0.03: these are means over seeds, which differ by `noise` of them. The last layers are a tail; the pattern is stable from epoch 3."""
    generator = np.random.default_rng(3)
    width, classes = np.log2(axes["width"].astype(float)), np.log2(axes["classes"].astype(float))
    jitter = noise * (axes["seed"].astype(float) - axes["seed"].astype(float).mean())
    last = 0.1 - 0.1 * (width + 2) * (1 + jitter) + 0.05 * classes * (1 + jitter) + jitter
    shape = np.linspace(0.12, -0.12, n_layers - 1)  # around the mean
    settled = last[:, None] + shape[None, :]
    progress = np.minimum(np.array(epochs) / 3, 1)
    start = 0.5 + 0.3 * np.cos(np.arange(n_layers - 1))
    saturation = (1 - progress)[None, :, None] * start[None, None, :] + progress[None, :, None] * settled[:, None, :]
    saturation = np.concatenate([saturation, np.full((*saturation.shape[:2], 1), 0.9)], axis=2)  # the output layer
    accuracy = np.clip(0.95 + (0.02 * width - 0.03 * classes) * (1 + jitter) - 2 * jitter, 0, 1)
    return np.clip(saturation, 0.01, 1), accuracy, generator


def make(widths=(1 / 16, 1 / 8, 1 / 4), classes=(2, 4, 8), seeds=(0, 1, 2), datasets=("fashion-mnist",), models=("vgg16",),
         n_epochs=5, n_layers=8, components=16, noise=0.01, probes=True, spaces=True, projection=True, spectra=True, deltas=(0.9, 0.99)):
    """The xarray.Dataset of such a sweep; tests change or remove values before write()."""
    axes = axes_of(widths, classes, seeds, datasets, models)
    n, epochs = len(axes["seed"]), np.arange(n_epochs + 1, dtype=np.int32)
    saturation, accuracy, generator = laws(axes, n_layers, epochs, noise)
    split, layer = ["train", "eval"], np.arange(n_layers, dtype=np.int32)
    of_point, of_layer = ("point",), ("point", "layer")
    of_epoch, measured = ("point", "split", "epoch"), ("point", "split", "epoch", "layer")
    both = np.repeat(saturation[:, None], 2, axis=1)
    both[:, 0, 0] = np.nan  # epoch 0 is measured on the eval split only
    curve = accuracy[:, None, None] * (1 - 0.5 * np.exp(-epochs))[None, None, :] * np.ones((1, 2, 1))
    curve[:, 0, 0] = np.nan
    widths_of = np.full((n, n_layers), components, np.int32)
    names = np.array([NAMES[i % len(NAMES)] for i in range(n_layers - 1)] + ["classifier.6"], dtype=object)
    data = {
        "layer_kind": (of_layer, np.full((n, n_layers), "conv", dtype=object)),
        "layer_width": (of_layer, widths_of),
        "layer_parameters": (of_layer, np.full((n, n_layers), 1000, np.int64)),
        "layer_macs": (of_layer, np.full((n, n_layers), 10000, np.int64)),
        "layer_receptive_field": (of_layer, np.tile(3 + 6 * layer, (n, 1)).astype(np.int32)),
        "layer_border": (of_layer, np.tile(layer == n_layers // 2, (n, 1)).astype(np.uint8)),
        "layer_output": (of_layer, np.tile(layer == n_layers - 1, (n, 1)).astype(np.uint8)),
        "loss": (of_epoch, 1 - curve), "accuracy": (of_epoch, curve), "top5_accuracy": (of_epoch, np.minimum(1, curve + 0.05)),
        "mcc": (of_epoch, curve.copy()), "learning_rate": (("point", "epoch"), np.full((n, len(epochs)), 0.1)),
        "seconds": (("point", "epoch"), np.ones((n, len(epochs)))),
        "samples": (measured, np.where(np.isfinite(both), 1000.0, np.nan)), "trace": (measured, both * 3),
        "effective_rank": (measured, both * components), "participation_ratio": (measured, both * components / 2),
        "first_component_share": (measured, 1 - both / 2), "solver": (measured, np.isfinite(both).astype(np.uint8)),
        "flags": (measured, np.zeros(both.shape, np.uint8)),
        "intrinsic_dimension": ((*measured, "delta"), np.round(np.stack([both * 0.7, both], -1) * components)[..., -len(deltas):]),
        "saturation": ((*measured, "delta"), np.stack([both * 0.7, both], -1)[..., -len(deltas):]),
    }
    if spectra:
        decay = np.exp(-np.arange(components) / (0.05 + both[..., None] * 4))
        data["eigenvalues"] = ((*measured, "component"), decay)
    last = saturation[:, -1:, :-1]
    stable = np.array([[np.corrcoef(saturation[p, e, :-1], last[p, 0])[0, 1] for e in range(len(epochs))] for p in range(n)])
    for name, values in (("distance", np.abs(1 - stable)), ("pearson", stable), ("spearman", stable)):
        data[f"stability_{name}"] = (("point", "reference", "split", "epoch", "delta"),
                                     np.broadcast_to(values[:, None, None, :, None], (n, 2, 2, len(epochs), len(deltas))).copy())
    if probes:
        tail = np.tile((layer >= n_layers - 3) & (layer < n_layers - 1), (n, 1)).astype(np.uint8)
        growth = accuracy[:, None] * np.minimum(1, 0.5 + (layer + 1) / (n_layers - 3) / 2)[None, :]
        data["layer_tail"] = (of_layer, tail)
        data["probe_accuracy"] = (("point", "split", "probe_epoch", "layer"), np.repeat(growth[:, None, None, :], 2, axis=1))
        for name, value in (("objective", 1.0), ("gradient_norm", 1e-4)):
            data[f"probe_{name}"] = (("point", "probe_epoch", "layer"), np.full((n, 1, n_layers), value))
        data["probe_converged"] = (("point", "probe_epoch", "layer"), np.ones((n, 1, n_layers), np.uint8))
    if spaces:
        overlap = 1 - 0.8 * np.exp(-epochs.astype(float))[None, None, None, :, None, None] * np.ones((n, 2, 2, 1, n_layers, len(deltas)))
        overlap[:, :, :, -1] = 1
        data["eigenspace_overlap"] = (("point", "reference", *measured[1:], "delta"), overlap)
    if projection:
        kept = np.array([0.6, 0.98])[-len(deltas):]
        projected = accuracy[:, None, None, None] * np.ones((1, 2, n_layers + 1, 1)) * kept
        projected[:, 1] *= 0.4
        data["projected_accuracy"] = (("point", "projection", "layer_or_all", "delta"), projected)
    coordinates = {"point": np.arange(n, dtype=np.int64), "split": np.array(split, dtype=object), "epoch": epochs, "layer": layer,
                   "delta": list(deltas), "component": np.arange(components, dtype=np.int32),
                   "reference": np.array(["previous", "last"], dtype=object),
                   "layer_name": (of_layer, np.tile(names, (n, 1)))}
    if projection:
        coordinates["projection"] = np.array(["eigenspace", "random"], dtype=object)
        coordinates["layer_or_all"] = np.arange(-1, n_layers, dtype=np.int32)
    if probes:
        coordinates["probe_epoch"] = np.array([n_epochs], dtype=np.int32)
    coordinates |= {name: (of_point, values) for name, values in axes.items()}
    words = {"point_id": [f"{i:016x}" for i in range(n)], "outcome": ["complete"] * n, "reason": [""] * n, "host": ["here"] * n}
    coordinates |= {name: (of_point, np.array(values, dtype=object)) for name, values in words.items()}
    attributes = {"schema": "eigenscope", "schema_version": 1, "job_name": "by hand", "job": "name: by hand\n", "missing": "",
                  "n_points": n, "n_grid": n, "axes": " ".join(axes), "train_mode": "training", "version": "0.1.0",
                  "coordinates": " ".join(["layer_name", *words, *axes])}
    return xarray.Dataset(data, coordinates, attributes)


def write(dataset, path):
    """Writes it as `merge` does: -1 for unmeasured integers, chunks of one point, deflated."""
    whole = {name: {"dtype": "int64", "_FillValue": -1} for name in ("samples", "intrinsic_dimension") if name in dataset}
    spectra = {"eigenvalues": {"zlib": True, "complevel": 1, "chunksizes": (1, *dataset["eigenvalues"].shape[1:])}} \
        if "eigenvalues" in dataset else {}
    # The list of coordinates is an attribute of the file; xarray refuses to write it twice.
    attributes = {k: v for k, v in dataset.attrs.items() if k != "coordinates"}
    copy = dataset.copy()
    copy.attrs = attributes
    copy.to_netcdf(path, engine="h5netcdf", encoding={**whole, **spectra})
    return path


STEPS = np.array([0, 1, 2, 4, 8, 16], np.int32)


def with_steps(made, turned=3, shuffled=2):
    """Adds steps to a sweep: before position `turned` the order of the layers is reversed, before `shuffled` that of the points."""
    n, n_layers = made.sizes["point"], made.sizes["layer"]
    final = made["saturation"].values[:, 1, -1]  # (point, layer, delta)
    saturation = np.repeat(final[:, None], len(STEPS), axis=1)
    saturation[:, :turned, :-1] = saturation[:, :turned, :-1][:, :, ::-1]  # hidden layers
    saturation[:, :shuffled] = saturation[::-1, :shuffled]
    components = made.sizes["component"]
    made = made.assign_coords(step=STEPS)
    epochs = np.tile(STEPS / 4, (n, 1))
    return made.assign(
        step_epoch=(("point", "step"), epochs), step_loss=(("point", "step"), 1 / (1 + epochs)),
        step_accuracy=(("point", "step"), epochs / 4), step_flags=(("point", "step", "layer"), np.zeros((n, len(STEPS), n_layers), np.uint8)),
        step_saturation=(("point", "step", "layer", "delta"), saturation),
        step_eigenvalues=(("point", "step", "layer", "component"), np.ones((n, len(STEPS), n_layers, components))))


def with_transfer(made, names=("cifar10", "svhn"), classes=(10, 5)):
    """Adds probes on other datasets to a sweep: on the first the accuracy grows up to the middle layer and falls by 0.05 per layer behind it, on
    the second it is 0.1 below that of the own probes."""
    n, n_layers = made.sizes["point"], made.sizes["layer"]
    own = made["probe_accuracy"].values  # (point, split, probe_epoch, layer)
    layer = np.arange(n_layers)
    peak = 0.6 - 0.05 * np.abs(layer - n_layers // 2)
    accuracy = np.stack([np.broadcast_to(peak, own.shape), np.maximum(own - 0.1, 0)], axis=1)
    cells = ("point", "probe_dataset", "probe_epoch", "layer")
    shape = (n, len(names), own.shape[2], n_layers)
    made = made.assign_coords(probe_dataset=np.array(names, dtype=object))
    return made.assign(
        probe_dataset_classes=(("point", "probe_dataset"), np.tile(np.array(classes, np.int32), (n, 1))),
        probe_dataset_accuracy=(("point", "probe_dataset", "split", "probe_epoch", "layer"), accuracy),
        probe_dataset_objective=(cells, np.ones(shape)), probe_dataset_gradient_norm=(cells, np.full(shape, 1e-5)),
        probe_dataset_iterations=(cells, np.full(shape, 9, np.int32)), probe_dataset_converged=(cells, np.ones(shape, np.uint8)))
