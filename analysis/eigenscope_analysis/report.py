"""The report of a sweep: one page that opens from disk without a network, figures as SVG and PNG, tables as CSV."""
import datetime
import importlib.resources
import io
import logging
import pathlib
import re

import jinja2
import numpy as np
import pandas as pd

from . import __version__, figures
from .figures.style import RC, plt
from .files import SchemaError, open as open_file
from .findings import Findings, RULE
from .sweep import Sweep, width_text

ROWS = 40  # on the page; the CSV has all rows
TABLES = (("recommend", "Width to choose", "The smallest width whose accuracy is within 1 percentage point of the best."),
          ("effects", "Effects of width and difficulty", "Rank correlations among points that differ in one axis alone, and least "
           "squares on log2 width × log2 classes with interaction, with 95 % intervals by drawing seeds."),
          ("datasets", "Datasets", "Over the networks that all datasets share."),
          ("told_apart", "How soon they are told apart", "Share of pairs of an under- and an over-parameterised network of one problem "
           "in which the former is the more saturated."),
          ("networks", "Networks", "Means over seeds; half_interval is half of the 95 % confidence interval (Student's t)."),
          ("points", "Points", "Every point of the file, after its last measured epoch. " + RULE),
          ("layers", "Layers", "Means over seeds after the last epoch."))


def write(source, folder):
    """Writes the report of `source` into `folder` (created if needed); returns the path of the page."""
    folder = pathlib.Path(folder)
    with open_file(source) as dataset:
        sweep = Sweep(dataset)
        if len(sweep.points) == 0:
            raise SchemaError(f"{source}: holds no points")
        try:
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            (folder / "tables").mkdir(exist_ok=True)
        except OSError as error:
            raise SchemaError(f"--to {folder}: cannot be made: {error.strerror}") from error
        findings = Findings(sweep)
        shown = [draw(plot, sweep, folder / "figures") for plot in figures.ALL]
        tables = [write_table(findings.tables[name], name, title, text, folder / "tables")
                  for name, title, text in TABLES if len(findings.tables.get(name, ())) > 0]
        page = render(source, sweep, findings, shown, tables)
    target = folder / "index.html"
    target.write_text(page, encoding="utf-8")
    return target


# ---- figures ----

def draw(plot, sweep, folder):
    """Writes a figure as SVG and PNG and returns its HTML; or the reason why it is missing."""
    try:
        with plt.rc_context({**RC, "svg.hashsalt": plot.name}):
            figure, caption = plot.draw(sweep)
            svg = io.StringIO()
            figure.savefig(svg, format="svg", metadata={"Date": None})
            figure.savefig(folder / f"{plot.name}.png", metadata={"Software": f"eigenscope_analysis {__version__}"})
            plt.close(figure)
    except figures.Nothing as reason:
        for old in (folder / f"{plot.name}.svg", folder / f"{plot.name}.png"):
            old.unlink(missing_ok=True)  # of an earlier report
        return {"name": plot.name, "title": plot.title, "nothing": str(reason)}
    (folder / f"{plot.name}.svg").write_text(svg.getvalue(), encoding="utf-8")
    return {"name": plot.name, "title": plot.title, "caption": caption, "svg": inline(svg.getvalue(), plot.name)}


def inline(svg, name):
    """Embeds an SVG in a page: removes the XML prologue, fits its width, and makes its ids unique."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r'<svg \1', svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r'<svg \1role="img" ', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'((?:xlink:)?href="#)', rf"\1{name}-", svg)
    return re.sub(r"url\(#", f"url(#{name}-", svg)


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
    return str(int(value)) if float(value).is_integer() and abs(value) > 1 or isinstance(value, (int, np.integer)) else \
        f"{value:.4g}".replace("-", "−")


# ---- the page ----

def render(source, sweep, findings, shown, tables):
    points, attributes = sweep.points, sweep.attributes
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        importlib.resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    missing = str(attributes.get("missing", ""))
    facts = [("points", f"{int(points['complete'].sum())} complete"
              + (f", {n} diverged" if (n := int((points["outcome"] == "diverged").sum())) else "")
              + (f"; missing: {missing}" if missing else "")),
             ("in common", sweep.common()),
             ("varied", ", ".join(f"{a} ({points[a].nunique()})" for a in sweep.varying)),
             ("measured", f"{sweep.split} split, δ = {sweep.delta:g}, epochs {sweep.epochs.min()} to {sweep.epochs.max()}"),
             ("train means", {"training": "activations of training itself", "inference": "inference on the train set"}.get(
                 str(attributes.get("train_mode", "")), "")),
             ("made by", ", ".join(str(attributes[a]) for a in ("version", "revision", "compiler", "mpi", "blas", "onednn")
                                   if attributes.get(a)))]
    return template.render(title=attributes.get("job_name", pathlib.Path(source).stem), facts=[f for f in facts if f[1]],
                           source=pathlib.Path(source).name, findings=findings.sentences, figures=shown, tables=tables,
                           diverged=points[points["outcome"] == "diverged"][["point", "reason"]].to_dict("records"),
                           job=str(attributes.get("job", "")), version=__version__,
                           date=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"))


logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # missing fonts have substitutes
