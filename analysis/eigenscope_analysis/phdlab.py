"""Converts configurations (config.json) of phd-lab, the authors' scripts, to job files of equal grid, training and measurement. What the
names in them mean is in phdlab_tables.py."""
import itertools
import json
import math
import os
import pathlib
import re
import tarfile
import textwrap

from . import phdlab_tables as tables
from .errors import SchemaError
from .phdlab_networks import described

# phd-lab's defaults for missing keys.
DEFAULTS = {"model": ["resnet18"], "epoch": [30], "batch_size": [128], "dataset": ["Cifar10"], "resolution": [32],
            "optimizer": ["adam"], "conv_method": ["channelwise"], "delta": [0.99], "downsampling": [None], "metrics": ["Accuracy"]}
# Keys for places, messages and devices, which change no number.
IGNORED = {"logs_dir", "cache_dir", "data_prefix", "device", "data_parallel", "threshold", "seed"}
METHODS = {"channelwise", "mean", "max", "median", "flatten"}
UNKNOWN, ONE = "not known", "a job has one; write a configuration for each"
RANGES = {"resolution": (8, 2048), "epoch": (0, 100000), "batch_size": (1, 65536), "delta": (1e-9, 1)}  # of a job


def convert(path):
    """Returns the text of the job file. SchemaError with one sentence that names all settings without an equivalent."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SchemaError(f"{path}: is no JSON: {error}") from error
    return convert_text(text, str(path), pathlib.Path(path).stem)[0]


def convert_text(text, path, name):
    """Returns the job file, its number of points, and its differences from phd-lab."""
    config, given = read(text, path)
    reasons = {}  # {(setting, why a job has no equivalent): values}
    for key, (low, high) in RANGES.items():
        for value in config[key]:
            if not low <= value <= high:
                against(reasons, key, value, f"a job has {low} to {high}")
    if len(config["epoch"]) > 1 and 0 in config["epoch"]:
        against(reasons, "epoch", 0, "a job has 1 to 100000 if there are several")
    untrained = config["epoch"] == [0]
    if untrained:
        config["epoch"] = [1]
    networks = unique(network(m, reasons) for m in config["model"])
    datasets = unique(dataset(d, reasons) for d in config["dataset"])
    optimizer = tables.OPTIMIZERS["noopt"] if untrained else train_options(config, reasons)
    method = measure_method(config, reasons)
    if reasons:
        sentence = "; ".join(f"{key} {', '.join(values)} ({why})" for (key, why), values in reasons.items())
        raise SchemaError(f"{path}: a job has no equivalent for {sentence}")
    name = re.sub(r"[^A-Za-z0-9._+-]", "-", name)
    augment = [word for word in ("place", "crop", "resized_crop", "flip") if all(word in d.augment for d in datasets)]
    differs = differences(config, networks, datasets, augment)
    if untrained:
        differs.append("phd-lab trains for 0 epochs; the job trains for one with the learning rate 0, which changes nothing but the statistics of "
                       "batch norm; epoch 0 of its results is the network as initialised")
    lines = [f"# From {name}.json of the authors' phd-lab, by `eigenscope_analysis from-phdlab`.", *origins(config, given, networks),
             *sources(config, datasets)]
    if differs:
        lines += ["#", "# Differences from phd-lab:", *wrapped(differs)]
    lines += [f"name: {name}", "grid:"]
    grid = blocks(config, networks, datasets)
    for block in grid:
        starts = ["  - ", *["    "] * len(block)] if len(grid) > 1 else ["  "] * len(block)  # --set can change an axis of a single block
        lines += [f"{start}{axis}: [{', '.join(map(str, values))}]" for start, (axis, values) in zip(starts, block.items())]
    own = {model: spec for _, model, spec, _ in networks if spec}
    lines += (["models:", *(line for model, spec in own.items() for line in model_lines(model, spec))] if own else []) + ["datasets:"]
    for data in datasets:
        lines += [f"  {data.name.format(r=r)}: {{{data.text.format(r=r)}, normalize: {data.normalize}}}"
                  for r in (config["resolution"] if data.each else [0])]
    # A key with several values becomes an axis of the grid, and appears only there.
    single = "".join(f"{key}: {config[theirs][0]}, " for theirs, key in (("epoch", "epochs"), ("batch_size", "batch"))
                     if len(config[theirs]) == 1)
    lines += [f"train: {{{single}{optimizer}, augment: [{', '.join(augment)}]}}",
              f"measure: {{every: 1, delta: [{', '.join(f'{d:g}' for d in sorted(config['delta']))}], splits: [train, eval], "
              f"method: {method}, convention: delve}}"]
    return "\n".join(lines) + "\n", sum(math.prod(map(len, block.values())) for block in grid), differs


def model_lines(model, spec):
    return [f"  {model}:", *described(spec())] if callable(spec) else [f"  {model}: {spec}"]


def unique(values):
    return [*dict.fromkeys(value for value in values if value is not None)]


def wrapped(sentences):
    return [line for sentence in sentences
            for line in textwrap.wrap(sentence, 118, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False)]


# ---- reading a configuration ----

def read(text, path):
    """Returns the settings as lists, with defaults for missing ones, and the names of the given ones."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{path}: is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise SchemaError(f"{path}: must be an object of settings, as {{\"model\": [\"vgg16\"]}}")
    unknown = sorted(set(given) - set(DEFAULTS) - IGNORED)
    if unknown:
        raise SchemaError(f"{path}: unknown setting {', '.join(unknown)}; known are {', '.join([*DEFAULTS, *sorted(IGNORED)])}")
    config = {k: v if isinstance(v, list) else [v] for k, v in {**DEFAULTS, **given}.items() if k in DEFAULTS}
    for key, convert_one in (("epoch", int), ("batch_size", int), ("resolution", int), ("delta", float)):
        try:
            config[key] = [convert_one(v) for v in config[key]]
        except (TypeError, ValueError, OverflowError):
            raise SchemaError(f"{path}: {key} must be numbers, not {config[key]}") from None
    config = {k: [value for i, value in enumerate(values) if value not in values[:i]] for k, values in config.items()}
    empty = [k for k, v in config.items() if not v]
    if empty:
        raise SchemaError(f"{path}: {empty[0]} is an empty list")
    return config, set(given)


def against(reasons, key, value, why):
    reasons.setdefault((key, why), []).append(str(value))


def network(given, reasons):
    """(name in phd-lab, name in the job, its description or "", width); None with a reason."""
    plain = tables.SAME.get(str(given).lower(), str(given).lower())
    match = tables.SIZED.match(str(given))
    sized = tables.PC_SIZED.match(str(given))
    if sized:
        return str(given), f"resnet{sized[1]}_pc_sized", tables.DESCRIBED[f"resnet{sized[1]}_pc_sized"], tables.WIDTHS[sized[2].upper()]
    if match:
        model, size = match[1].lower().replace("_", ""), (match[2] or "").upper()
        return str(given), *tables.SIZED_MODELS.get(f"{model}_{size}", tables.SIZED_MODELS.get(model, (model, ""))), tables.WIDTHS[size]
    for name, spec in tables.MODELS.items():
        if name.lower() == plain:
            return str(given), name, spec, "1"
    if plain in tables.DESCRIBED:
        return str(given), plain, tables.DESCRIBED[plain], "1"
    against(reasons, "model", given, next((text for pattern, text in tables.NO_MODEL if pattern.search(plain)), UNKNOWN))
    return None


def dataset(given, reasons):
    name = re.sub(r"[^a-z0-9]", "", str(given).lower())
    if name not in tables.DATASETS:
        against(reasons, "dataset", given, tables.NO_DATASET.get(name, UNKNOWN))
    return tables.DATASETS.get(name)


def train_options(config, reasons):
    names = [str(name).lower() for name in config["optimizer"]]
    for name in names:
        if len(names) > 1 or name not in tables.OPTIMIZERS:
            against(reasons, "optimizer", name, ONE if len(names) > 1 else UNKNOWN)
    return tables.OPTIMIZERS.get(names[0])


def measure_method(config, reasons):
    for key in ("conv_method", "downsampling"):
        for value in config[key] if len(config[key]) > 1 else ():
            against(reasons, key, value, ONE)
    name, size = str(config["conv_method"][0]), config["downsampling"][0]
    if name not in METHODS:
        against(reasons, "conv_method", name, UNKNOWN)
    if size is not None and (name != "channelwise" or type(size) is not int or not 1 <= size <= 64):
        against(reasons, "downsampling", size, "only channelwise, to 1 to 64 positions")
    return name if size is None else f"{{nearest: {size}}}"


# ---- the job ----

def blocks(config, networks, datasets):
    """Mappings of the grid: models with equal widths share a block, and so do datasets whose files serve all resolutions."""
    widths = {}
    for _, model, _, width in networks:
        widths.setdefault(model, {})[width] = None  # a dictionary, because a grid has each value once
    by_widths = itertools.groupby(sorted(((model, list(own)) for model, own in widths.items()), key=lambda item: item[1]),
                                  key=lambda item: item[1])
    by_widths = [([model for model, _ in group], values) for values, group in by_widths]
    data = [([d.name for d in datasets if not d.each], config["resolution"])]
    data += [([d.name.format(r=r) for d in datasets if d.each], [r]) for r in config["resolution"]]
    more = {axis: config[key] for key, axis in (("epoch", "train.epochs"), ("batch_size", "train.batch")) if len(config[key]) > 1}
    return [{"dataset": names, "model": models, "width": values, "classes": ["all"], "resolution": resolutions, "seed": [0], **more}
            for names, resolutions in data if names for models, values in by_widths]


def origins(config, given, networks):
    """Comments: which setting of the configuration became which key of the job."""
    became = {}
    for theirs, model, _, width in networks:
        became.setdefault(model, []).append(theirs if width == "1" else f"{theirs} (width {width})")
    (method,), (size,), (optimizer,) = config["conv_method"], config["downsampling"], config["optimizer"]
    sentences = [f"model -> grid.model and grid.width: {'; '.join(f'{model} is {listed(theirs)}' for model, theirs in became.items())}",
                 "dataset, resolution -> grid; epoch, batch_size -> train, or grid if there are several",
                 f"optimizer {optimizer} -> train.optimizer, its numbers and train.schedule; augmentation in phd-lab's datasets -> "
                 "train.augment",
                 f"conv_method {method}, downsampling {'none' if size is None else size} -> measure.method; delta -> measure.delta; "
                 "phd-lab counts with delve -> measure.convention"]
    missing = [key for key in DEFAULTS if key not in given and key != "metrics"]
    if missing:
        sentences.append(f"not given, so phd-lab's default: {', '.join(missing)}")
    unused = sorted(given & IGNORED | given & {"metrics"})
    if unused:
        sentences.append(f"not used: {', '.join(unused)}")
    return wrapped(sentences)


def listed(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def sources(config, datasets):
    """Comments: what the variables in the paths of the datasets must name."""
    found = {}
    for data in datasets:
        for r in config["resolution"] if data.each else [0]:
            variable = re.search(r"\$(\w+)", data.text.format(r=r))
            if variable:
                found[variable[1]] = data.source.format(r=r, shorter=int(1.14 * r))
    return wrapped([f"{variable}: {text}" for variable, text in found.items()])


def differences(config, networks, datasets, augment):
    found = [f"dataset {data.name.format(r='N')}: {data.differs}" for data in datasets if data.differs]
    shifted = [data for data in datasets if data.native and data.augment and config["resolution"] != [data.native]]
    if shifted and "crop" in augment:
        sizes = ", ".join(f"{data.name} at {data.native} x {data.native} pixels" for data in shifted)
        found.append(f"phd-lab shifts images before it resizes them ({sizes}), the job afterwards; both shift by up to an eighth"
                     + (" (MNIST in phd-lab: 3 of 28 pixels)" if any(data.native == 28 for data in shifted) else ""))
    without = [data.name.format(r="N") for data in datasets if set(data.augment) - set(augment)]
    if without:
        found.append(f"train.augment lacks what phd-lab does with {listed(without)}, because it is one setting for all datasets of the job")
    for pattern, text in tables.MODEL_NOTES:
        if any(re.search(pattern, model) for _, model, _, _ in networks):
            found.append(text)
    found += [tables.OPTIMIZER_NOTES[o] for o in map(str.lower, config["optimizer"]) if o in tables.OPTIMIZER_NOTES]
    metrics = [m for m in config["metrics"] if str(m).lower() not in tables.MEASURED]
    if metrics:
        found.append(f"results do not hold the metrics {listed(list(map(str, metrics)))}")
    return found


# ---- many configurations ----

def collection(path):
    """[(name, text)] of the .json files in a folder or a tar archive, sorted; None for another file."""
    if os.path.isdir(path):
        root = pathlib.Path(path)
        return [(str(p.relative_to(root)), p.read_text(encoding="utf-8-sig", errors="replace")) for p in sorted(root.rglob("*.json"))]
    try:
        if not tarfile.is_tarfile(path):
            return None
        with tarfile.open(path) as archive:
            members = {m.name: archive.extractfile(m).read() for m in archive if m.isfile() and m.name.endswith(".json")}
    except (OSError, tarfile.TarError, EOFError):
        return None
    common = os.path.commonpath([*members, os.path.dirname(next(iter(members)))]) if members else ""
    return [(os.path.relpath(name, common) if common else name, members[name].decode("utf-8-sig", "replace")) for name in sorted(members)]


def convert_all(path, configs):
    """[(name, text of the job or None, sentence)] of each configuration; the sentence says what became of it."""
    rows = []
    for name, text in configs:
        try:
            job, points, differs = convert_text(text, name, re.sub(r"[/\\]", "-", name.removesuffix(".json")))
            rows.append((name, job, f"{counted(points, 'point')}, {counted(len(differs), 'difference')} from phd-lab"))
        except SchemaError as error:
            rows.append((name, None, str(error).removeprefix(f"{name}: ")))
    if not rows:
        raise SchemaError(f"{path}: holds no .json files")
    return rows


def counted(n, word):
    return f"{n} {word}{'' if n == 1 else 's'}"


def summary(rows):
    width = max(len(name) for name, _, _ in rows)
    done = sum(job is not None for _, job, _ in rows)
    lines = [f"{name:{width}}  {'yes' if job else 'no'}   {sentence}" for name, job, sentence in rows]
    lines += ["", f"{done} of {len(rows)} configurations convert. Each job file names its differences from phd-lab."]
    return "\n".join(lines) + "\n"


def save(path, text):
    """Writes a new file; refuses to replace an existing one."""
    if os.path.exists(path):
        raise SchemaError(f"--to {path}: is there; choose another name or remove it")
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(text, encoding="utf-8")
