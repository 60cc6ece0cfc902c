"""Style of figures, readable in print and by colour-blind readers. Ordered values use cividis or viridis, others the palette of
Okabe and Ito; colour is never the only distinction."""
import collections
import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

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
