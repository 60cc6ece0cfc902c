"""Stability of the pattern: correlation of the saturation of all layers with the last epoch."""
import numpy as np

from ..findings import count, mean_known
from ..sweep import STABLE, spread_evenly, width_text
from . import style

MOST = 12


def colours_of(sweep, shown):
    """Colours by width if it varies, else by order; line styles for other axes."""
    if sweep.has("width"):
        widths = sorted({float(n.key["width"]) for n in shown})
        ramp = dict(zip(widths, style.along(len(widths))))
        return [ramp[float(n.key["width"])] for n in shown]
    return style.along(len(shown))


def draw(sweep):
    if sweep.stability is None or not sweep.networks:
        raise style.Nothing("no stability was measured" if sweep.networks else "no point is complete")
    rows = np.concatenate([n.rows for n in sweep.networks])
    if np.isfinite(sweep.stability[rows]).sum(axis=1).max() < 2:
        raise style.Nothing("fewer than two epochs can be compared with the last")
    shown = spread_evenly(sweep.networks, MOST)
    columns = 2
    figure = style.plt.figure(figsize=(style.WIDE, 4.4 + 0.17 * -(-len(shown) // columns)), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2], height_ratios=[4.4, 0.17 * -(-len(shown) // columns)])
    axis, beside, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, :])
    others = {}
    for network, colour in zip(shown, colours_of(sweep, shown)):
        values = sweep.stability[network.rows]
        known = np.isfinite(values).any(axis=0)
        kind = sweep.label(network.key, ("width",))
        i = others.setdefault(kind, len(others))
        seeds = f" ({network.seeds})" if network.seeds else ""
        axis.plot(sweep.epochs[known], mean_known(values)[known], color=colour, marker=style.MARKERS[i % len(style.MARKERS)],
                  linestyle=style.LINES[i % len(style.LINES)], label=(network.label or "the network") + seeds)
    axis.axhline(STABLE, color=style.INK, linewidth=1)
    axis.annotate(f"{STABLE:g}", (1, STABLE), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
                  va="center", fontsize=8)
    axis.set_ylabel("correlation with the last epoch")
    axis.set_ylim(top=1.01)
    style.epoch_axis(axis, sweep)
    below.axis("off")
    below.legend(*axis.get_legend_handles_labels(), loc="center", ncols=columns)
    settled, ends = histogram(sweep, beside)
    beside.set_visible(settled > 0)
    caption = (f"Left: correlation (Pearson) of the saturations of the hidden layers at an epoch with those at the last epoch "
               f"({sweep.split} split, δ = {sweep.delta:g}), {style.over_seeds(shown)}; the last epoch has 1 by definition. Right: "
               f"number of points by the epoch from which this correlation stays at {STABLE:g} or above, the line on the left.")
    if ends:
        caption += (f" {ends} of {count(settled + ends, 'complete point')} are not drawn: they reach it only at the last epoch, or "
                    "their correlation is not defined.")
    return figure, caption + style.shown_of(shown, sweep.networks)


def histogram(sweep, axis):
    """Histogram of points by the epoch from which they are stable, stacked by width; counts those never stable."""
    points = sweep.points[sweep.points["complete"]]
    stable = points["stable_epoch"].to_numpy(float)
    epochs = np.arange(int(sweep.epochs.max()) + 1)
    widths = points["width"].to_numpy(float) if "width" in points else np.zeros(len(points))
    below = np.zeros(len(epochs))
    names = np.unique(widths[np.isfinite(widths)])
    for width, colour, hatch in zip(names, style.along(len(names)), ("", "//", "..", "xx", "\\\\", "++") * len(names)):
        heights = np.array([(stable[widths == width] == e).sum() for e in epochs])
        axis.bar(epochs, heights, 0.8, below, color=colour, edgecolor="white", hatch=hatch, linewidth=0.5,
                 label=f"width {width_text(width)}" if sweep.has("width") else None)
        below += heights
    axis.set_ylabel("points")
    axis.yaxis.get_major_locator().set_params(integer=True)
    style.epoch_axis(axis, sweep)
    axis.set_xlabel("stable from epoch")
    if sweep.has("width"):
        axis.legend()
    return int(np.isfinite(stable).sum()), int((~np.isfinite(stable)).sum())


SETTLING = style.Plot("stability", "How early the pattern settles", draw)
