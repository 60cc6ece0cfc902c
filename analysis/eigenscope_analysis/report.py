"""The report of a sweep: one page that opens from disk without a network, with an explorer; figures as SVG, PNG and CSV, tables as CSV."""
import datetime
import importlib.resources
import logging
import os
import pathlib

import jinja2
import numpy as np
import pandas as pd

from . import __version__, alike, explorer, figures, matrices
from .claims import HOLDS, Claims
from .figures.style import RC, plt
from .files import SchemaError, open as open_file
from .findings import Findings, RULE
from .similarity import add_similarity
from .sweep import Sweep, axis_text, width_text

ROWS = 40  # on the page; the CSV has all rows
NOTES = ("Convergence of the probes", "Convergence of the probes on other datasets", "Unsolved layers", "Rounding to bfloat16")  # sentences about the data, not about networks
ASSETS = (("page/explorer.js", "explorer.js"), ("page/choose.js", "choose.js"), ("page/draw.js", "draw.js"), ("page/page.css", "page.css"),
          ("vendor/plotly.min.js", "plotly.min.js"), ("vendor/LICENSE.plotly.txt", "LICENSE.plotly.txt"))  # in FOLDER/page
TABLES = (("findings", "Findings", "The table at the top of the page."),
          ("recommend", "Width to choose", "For each problem (a setting of all axes but width and seed), the smallest width whose accuracy "
           "is within 1 percentage point of the best. Standard errors are over seeds, or over the eval samples if there is one seed. "
           "The choice is certain if no network that it rests on lies within two standard errors of the limit, or has one seed."),
          ("effects", "Effects of width and difficulty", "Effects of doublings by least squares on log2 width, log2 classes and their "
           "product, seed by seed: the mean over seeds, and low and high, its 95 % interval (Student's t). Rank correlations are "
           "means over sets of points that differ in one axis alone."),
          ("datasets", "Datasets", "Means over the networks that were trained on all datasets and predict better than chance on each. "
           "The lead is the accuracy minus that on the next dataset, in percentage points: the mean over seeds, and low and high, its "
           "95 % interval (Student's t)."),
          ("told_apart", "Saturation of under- and over-parameterised networks", "Share of pairs (an under- and an "
           "over-parameterised network of one problem) in which the under-parameterised one has the higher mean saturation."),
          ("steps", "Order after training steps", "Kendall's τ-b of the saturations of the hidden layers after a training step with the "
           "final ones: the mean over the complete points, and the lowest. networks_tau is that of the mean saturations of the networks, "
           "each at its latest measured step."),
          ("similarity", "Similarity", "Debiased linear CKA after the last compared epoch, means over seeds. same_from_epoch: the epoch from which "
           "the CKA of the layer with its own last state stays at 0.9 or above. cka_seeds and cka_networks: with the layer of the same name in other "
           "seeds of the network, and in other networks."),
          ("similarity_pairs", "Named pairs", "Orthogonal Procrustes distance (0 to 2) and CKA of the pairs of layers that `eigenscope similarity "
           "--pair` named."),
          ("transfer", "Probes on other datasets", "Accuracy of the last probes that were fitted to the datasets of probe.datasets, by layer: the mean "
           "over seeds, and low and high, its 95 % interval (Student's t), cut to 0 … 1. relation: other, own (the dataset of the network), or all "
           "classes (that dataset with classes that the network was not trained on). own_accuracy is that of the probe on the dataset of the network."),
          ("kinds", "Kinds of layers", "Means over the layers of a kind and over seeds, after the last epoch. The kind is that of the name."),
          ("networks", "Networks", "Means over seeds; half_interval is half of the 95 % confidence interval (Student's t)."),
          ("points", "Points", "Every point of the file after its last epoch. Epochs are those that it completed. " + RULE),
          ("layers", "Layers", "Means over seeds after the last epoch that has the number, of the split of the saturation; "
           "probes_not_converged is a number of seeds, probe_l2 the strengths that their probes chose. Further columns are measures that the "
           "file has: analysis/README.md defines them."))

def write(source, folder, similarity=()):
    """Writes the report of `source` into `folder` (created if needed); returns the path of the page. `similarity`: files of
    `eigenscope similarity --to` about its points."""
    folder = pathlib.Path(folder)
    with open_file(source) as dataset:
        sweep = Sweep(add_similarity(dataset, *similarity) if similarity else dataset)
        if len(sweep.points) == 0:
            raise SchemaError(f"{source}: has no points")
        try:
            if not is_free(folder / "index.html"):
                raise SchemaError(f"--to {folder}: its index.html is no report of eigenscope; choose another folder")
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            (folder / "tables").mkdir(exist_ok=True)
        except OSError as error:
            raise SchemaError(f"--to {folder}: cannot be created: {error.strerror}") from error
        findings = Findings(sweep)
        alike.find(findings)
        matrices.find(findings)
        claims = Claims(findings).table
        if len(claims):
            findings.tables["findings"] = claims.drop(columns="detail")
        shown = [draw(plot, sweep, folder / "figures") for plot in figures.ALL]
        shown = [figure for plot, figure in zip(figures.ALL, shown) if "nothing" not in figure or not (sweep.foreign or plot.special)]
        tables = [write_table(findings.tables[name], name, title, text.replace(RULE, "") if sweep.foreign else text, folder / "tables")
                  for name, title, text in TABLES if len(findings.tables.get(name, ())) > 0]
        target = folder / "index.html"
        before = explorer.generation(target)
        copy_assets(folder / "page")
        data = explorer.write(sweep, findings.tables["points"], folder, sweep.attributes.get("job_name", ""))
        page = render(source, sweep, findings, claims, shown, [t for t in tables if t["name"] != "findings"], data)
    replace(target, page)
    explorer.prune(folder, {pathlib.Path(data).name, before})  # the earlier page may still be open
    return target


def copy_assets(folder):
    """Copies what the page loads; a file that is there already and equal stays."""
    folder.mkdir(exist_ok=True)
    for source, name in ASSETS:
        content = importlib.resources.files(__package__).joinpath(source).read_bytes()
        if not (folder / name).is_file() or (folder / name).read_bytes() != content:
            replace(folder / name, content)


def replace(path, content):
    """Replaces a file as a whole, so that a reader or a copy of the folder never has half of one. `content`: text or bytes."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def is_free(page):
    """Whether a page may be written: there is none, or it is that of an earlier report."""
    return not page.is_file() or b": eigenscope</title>" in page.read_bytes()


# ---- figures ----

def draw(plot, sweep, folder):
    """Writes a figure as SVG, PNG and CSV and returns what the page says of it; or the reason why it is missing."""
    files = {kind: folder / f"{plot.name}.{kind}" for kind in ("svg", "png", "csv")}
    try:
        with plt.rc_context({**RC, "svg.hashsalt": plot.name}):
            figure, caption = plot.draw(sweep)
            save(figure, files)
            figures.drawn(figure).to_csv(files["csv"], index=False, float_format="%.6g")
            width, height = figure.get_size_inches()
            plt.close(figure)
    except figures.Nothing as reason:
        for old in files.values():
            old.unlink(missing_ok=True)  # of an earlier report
        return {"name": plot.name, "title": plot.title, "nothing": str(reason)}
    return {"name": plot.name, "title": plot.title, "caption": caption, "width": round(100 * width), "height": round(100 * height)}


def save(figure, files):
    """Draws a figure as SVG and PNG."""
    figure.savefig(files["svg"], metadata={"Date": None})
    figure.savefig(files["png"], metadata={"Software": f"eigenscope_analysis {__version__}"})


# ---- tables ----

def write_table(table, name, title, text, folder):
    table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    shown = table.head(ROWS)
    empty = [c for c in shown if shown[c].isna().all() or (shown[c].astype(str) == "").all()]
    shown = shown.drop(columns=[*empty, *(["point_id"] if "point_id" in shown else [])])
    return {"name": name, "title": title, "text": text, "columns": [c.replace("_", " ") for c in shown],
            "rows": [[cell(value, column) for column, value in zip(shown.columns, row)] for row in shown.itertuples(index=False)],
            "numeric": [pd.api.types.is_numeric_dtype(shown[c]) for c in shown], "all": len(table)}


def cell(value, column):
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else ""
    if isinstance(value, str):
        return value
    if value is None or not np.isfinite(value):
        return "–" if value is None or np.isnan(value) else str(value)
    if column == "width":
        return width_text(value)
    whole = isinstance(value, (int, np.integer)) or float(value).is_integer() and 1 < abs(value) < 1e15
    return str(int(value)) if whole else f"{value:.4g}".replace("-", "−")


# ---- the page ----

def words_of(sweep):
    """The words that the page explains: of networks of other programs, only those that it uses."""
    used = {"probe": sweep.probes is not None, "tail": np.isfinite(sweep.tail).any(), "border": sweep.border.any(),
            "eigenspace": "eigenspace_overlap" in sweep.data, "cka": "cka_layers" in sweep.data, "effect": False, "error": False, "point": bool(sweep.axes)}
    return [word for word, there in used.items() if there or not sweep.foreign and word != "cka"]


def render(source, sweep, findings, claims, shown, tables, data):
    points, attributes = sweep.points, sweep.attributes
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        importlib.resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    missing = str(attributes.get("missing", ""))
    other = [d for d in sweep.deltas if d != sweep.delta]
    diverged, stopped = points[points["outcome"] == "diverged"], int((points["outcome"] == "stopped").sum())
    facts = [("points", f"{int(points['complete'].sum())} complete"
              + "".join(f", {n} {words}" for n, words in ((len(diverged), "diverged"), (stopped, "stopped early")) if n)
              + (f"; missing: {missing}" if missing else "")),
             ("equal for all", sweep.common()),
             ("varied", ", ".join(f"{axis_text(a)} ({points[a].nunique()} values)" for a in sweep.varying)),
             ("shown", f"{sweep.split} split, δ = {sweep.delta:g}, "
              + ("epoch" if len(sweep.epochs) == 1 else f"epochs {sweep.epochs.min()} to") + f" {sweep.epochs.max()}"
              + (f"; the file also has δ = {', '.join(f'{d:g}' for d in other)}" if len(other) else "")),
             ("similarity", "similarity_files" in attributes and f"{attributes['similarity_files']}: {attributes['similarity_points']} of "
              f"{len(points)} points, {attributes['similarity_samples']} samples"),
             ("train split", {"training": "activations of training itself, while weights change",
                              "inference": "activations in inference mode, of images without augmentation",
                              "recorded": "activations as the program that wrote the sums ran the network"}.get(
                 str(attributes.get("train_mode", "")), "")),
             ("made by", ", ".join(str(attributes[a]) for a in ("version", "revision", "compiler", "mpi", "blas", "onednn")
                                   if attributes.get(a))),
             ("mixed", sweep.mixed() and f"computed with several instruction sets or libraries, so last bits may differ: {sweep.mixed()}")]
    notes = [s for s in findings.sentences if s["title"] in NOTES and not s["text"].startswith("All ")]
    return template.render(claims=claims.to_dict("records"), holds=HOLDS, notes=notes, data=data, title=attributes.get("job_name", pathlib.Path(source).stem), facts=[f for f in facts if f[1]],
                           words=words_of(sweep), source=pathlib.Path(source).name, findings=[s for s in findings.sentences if s not in notes], figures=shown, tables=tables,
                           diverged=[{"point": row["point"], "label": sweep.label(row), "epochs": row["epochs"], "reason": row["reason"]}
                                     for row in diverged.to_dict("records")], delta=sweep.delta, k_is=sweep.k_is,
                           job=str(attributes.get("job", "")), version=__version__,
                           date=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"))


logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # missing fonts have substitutes
