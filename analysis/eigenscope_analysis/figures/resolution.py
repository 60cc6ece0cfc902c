"""Mean saturation and accuracy over the resolution of the images, a line for each network."""
import numpy as np

from ..statistics import half_width
from ..sweep import spread_evenly
from . import style

MOST = 10  # lines
COLUMNS = (("saturation", "mean saturation at δ = {:g} (%)"), ("accuracy", "accuracy (%)"))


def lines_of(sweep):
    """Networks that are equal except for the resolution, at two resolutions or more: [(label, {resolution: network})]."""
    lines = {}
    for network in sweep.networks:
        lines.setdefault(sweep.label(network.key, ("resolution",)), {})[int(network.key["resolution"])] = network
    return [(label, dict(sorted(line.items()))) for label, line in lines.items() if len(line) > 1]


def curve(axis, line, column, sweep, look):
    values = {r: 100 * sweep.points.loc[network.rows, column].to_numpy(float) for r, network in line.items()}
    values = {r: v for r, v in values.items() if np.isfinite(v).any()}
    half = np.array([half_width(v) for v in values.values()])  # NaN for one seed; matplotlib 3.6 refuses NaN alone
    if values:
        axis.errorbar(list(values), [np.nanmean(v) for v in values.values()], yerr=half if np.isfinite(half).any() else None,
                      capsize=3, elinewidth=1, alpha=0.85, **look)


def draw(sweep):
    if "resolution" not in sweep.keys or not sweep.has("resolution"):
        raise style.Nothing("the resolution does not vary")
    lines = lines_of(sweep)
    if not lines:
        raise style.Nothing("no network is complete at two resolutions")
    shown = spread_evenly(lines, MOST)
    resolutions = sorted({r for _, line in lines for r in line})
    figure, axes = style.plt.subplots(1, 2, figsize=(style.WIDE, 4.4), layout="constrained")
    for axis, (column, text) in zip(axes, COLUMNS):
        for i, (label, line) in enumerate(shown):
            curve(axis, line, column, sweep, {"color": style.PALETTE[i % len(style.PALETTE)], "marker": style.MARKERS[i % len(style.MARKERS)],
                                              "linestyle": style.LINES[i % len(style.LINES)], "label": label or "network"})
        axis.set_xscale("log", base=2)
        axis.set_xticks(spread_evenly(resolutions, 12), [str(r) for r in spread_evenly(resolutions, 12)])
        axis.minorticks_off()
        axis.set_xlabel("resolution (pixels)")
        axis.set_ylabel(text.format(sweep.delta))
    if len(shown) > 1:
        axes[0].legend(loc="best")
    drawn = [n for _, line in shown for n in line.values()]
    caption = (f"Left: mean saturation of the layers ({sweep.split} split, δ = {sweep.delta:g}, without the output layer). Right: accuracy "
               f"({sweep.score_split} split). Both after the last epoch, over the resolution (logarithmic), {style.over_seeds(drawn)}.")
    if any(len(n) > 1 for n in drawn):
        caption += " Bars are 95 % confidence intervals of the mean over seeds (Student's t); one seed has none."
    return figure, caption + style.shown_of(shown, lines)


RESOLUTION = style.Plot("resolution", "Resolution", draw, special=True)
