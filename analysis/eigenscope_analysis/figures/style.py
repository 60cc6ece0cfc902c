"""Style of figures, readable in print and by colour-blind readers. Ordered values use cividis or viridis, others the palette of
Okabe and Ito; colour is never the only distinction."""
import collections
import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
MARKERS = "osD^vP*X<>"
LINES = ("-", "--", "-.", ":")
INK, GREY, PALE = "#222222", "#777777", "#dddddd"
WIDE = 11.0  # inches: the width of every figure

RC = {"font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8,
      "legend.fontsize": 8, "legend.frameon": False, "axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK,
      "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
      "grid.color": PALE, "grid.linewidth": 0.6, "axes.axisbelow": True, "lines.linewidth": 1.6, "lines.markersize": 4,
      "figure.dpi": 100, "savefig.dpi": 150, "svg.fonttype": "path", "axes.unicode_minus": True, "font.family": "DejaVu Sans"}

# A figure of the page: draw(sweep) returns the figure and its caption. Without anything to show, a special one is left out of the page,
# and of others the page says why.
Plot = collections.namedtuple("Plot", "name title draw special", defaults=(False,))


class Nothing(Exception):
    """Raised if there is nothing to show; the message gives the reason."""


def along(n, name="viridis"):
    """n colours of a colour map, without its light end, which is invisible on paper."""
    return [plt.get_cmap(name)(x) for x in (np.linspace(0, 0.85, n) if n > 1 else [0.35])]


def panels(n, columns, height, width=WIDE, **options):
    """A figure of n panels, at most `columns` per row: (figure, list of axes)."""
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * min(1, (columns + 0.4) / 3), height * rows), squeeze=False,
                                layout="constrained", **options)
    flat = list(axes.flat)
    for unused in flat[n:]:
        unused.set_visible(False)
    return figure, flat[:n]


def layer_ticks(axis, names, most=20, along_y=False):
    """Labels an axis with names of layers; skips some if there are many."""
    step = max(1, math.ceil(len(names) / most))
    at = range(0, len(names), step)
    name_positions(axis.yaxis if along_y else axis.xaxis, names)
    if along_y:
        axis.set_yticks(at, [names[i] for i in at], fontsize=6.5)
    else:
        axis.set_xticks(at, [names[i] for i in at], rotation=60, ha="right", rotation_mode="anchor", fontsize=6.5)


def count_axis(axis, n):
    """Labels a logarithmic axis of the counts 1 to n with plain numbers."""
    steps = [m * 10 ** e for e in range(7) for m in (1, 2, 5) if m * 10 ** e <= n]
    steps = steps if len(steps) <= 6 else steps[::3]
    axis.set_xticks(steps, [str(step) for step in steps])


def epoch_label(sweep):
    return "epoch (0: as initialised)" if len(sweep.epochs) and min(sweep.epochs) == 0 and not sweep.recorded else "epoch"


def epoch_axis(axis, sweep):
    axis.set_xlabel(epoch_label(sweep))
    axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=8))


def interval_bounds(values):
    """For (seeds, …): mean, lowest and highest seed; NaN if no seed has a number."""
    known = np.isfinite(values).any(axis=0)
    bounds = np.full((3, *values.shape[1:]), np.nan)
    chosen = values[:, known]
    if chosen.size:
        bounds[:, known] = np.nanmean(chosen, axis=0), np.nanmin(chosen, axis=0), np.nanmax(chosen, axis=0)
    return bounds


def over_seeds(networks):
    """Says in a caption what a line or a cell stands for."""
    return "mean over seeds" if any(len(n) > 1 for n in networks) else "one seed of each network"


def shown_of(shown, networks, what="networks"):
    """Sentence for a caption if not all networks are drawn."""
    return "" if len(shown) == len(networks) else f" {len(shown)} of {len(networks)} {what} are drawn, evenly spaced in their order."


def drawn(figure):
    """The numbers of a figure: a row for each mark, bar and cell that has a number. Columns: panel, series, the names of x and y, x, y,
    and the value of a cell."""
    rows = []
    for axes in figure.axes:
        if not axes.get_visible() or not axes.axison or axes.get_label() == "<colorbar>":
            continue
        panel = " ".join(axes.get_title().split())
        head = (panel, " ".join(axes.get_xlabel().split()), " ".join(axes.get_ylabel().split()))
        names = [getattr(axis, "names_of_positions", {}) for axis in (axes.xaxis, axes.yaxis)]
        for label, x, y, value in [*lines_of(axes), *marks_of(axes), *bars_of(axes), *cells_of(axes)]:
            x, y = (own.get(number, number) for own, number in zip(names, (x, y)))
            rows.append((head[0], label, head[1], head[2], x, y, value))
    return pd.DataFrame(rows, columns=["panel", "series", "x_is", "y_is", "x", "y", "value"])


def name_positions(axis, names, first=0.0):
    """Says what the positions first, first + 1, … of an axis stand for, as layers, in the CSV of the figure."""
    axis.names_of_positions = {first + i: " ".join(str(name).split()) for i, name in enumerate(names)}


def series_of(artist):
    label = str(artist.get_label())
    return "" if label.startswith("_") else " ".join(label.split())


def finite(label, x, y, values=None):
    for i, (a, b) in enumerate(zip(np.ravel(x), np.ravel(y))):
        if np.isfinite(float(a)) and np.isfinite(float(b)):
            yield label, float(a), float(b), "" if values is None else values[i]


def lines_of(axes):
    for line in axes.lines:
        if line.get_transform() == axes.transData:  # no guides across the axes
            yield from finite(series_of(line), line.get_xdata(), line.get_ydata())


def marks_of(axes):
    for marks in axes.collections:
        if isinstance(marks, matplotlib.collections.PathCollection):
            at = np.ma.filled(np.ma.asarray(marks.get_offsets(), float), np.nan).reshape(-1, 2)
            yield from finite(series_of(marks), at[:, 0], at[:, 1])


def bars_of(axes):
    for group in axes.containers:
        for bar in group if isinstance(group, matplotlib.container.BarContainer) else ():
            yield from finite(series_of(group), [bar.get_x() + bar.get_width() / 2], [bar.get_height()])


def cells_of(axes):
    """Images and meshes: a row for each cell that has a value."""
    for image in axes.images:
        values = np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan)
        if values.ndim == 2:
            yield from ((series_of(image), float(j), float(i), float(values[i, j])) for i, j in np.argwhere(np.isfinite(values)))
    for mesh in axes.collections:
        if isinstance(mesh, matplotlib.collections.QuadMesh):
            corners = np.asarray(mesh.get_coordinates())
            rows, columns = corners.shape[0] - 1, corners.shape[1] - 1
            values = np.ma.filled(np.ma.asarray(mesh.get_array(), float), np.nan).reshape(rows, columns)
            middle = (corners[:-1, :-1] + corners[1:, 1:]) / 2
            yield from ((series_of(mesh), *map(float, middle[i, j]), float(values[i, j])) for i, j in np.argwhere(np.isfinite(values)))
