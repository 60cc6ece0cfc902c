"""Mean saturation and accuracy over width and difficulty: heat maps side by side, and curves with confidence intervals."""
import numpy as np

from ..statistics import half_width
from ..sweep import spread_evenly, value_text, width_text
from . import style

MOST_GROUPS, MOST_CURVES = 4, 8
COLUMNS = (("saturation", "mean saturation at δ = {:g} (%)", "viridis"), ("accuracy", "accuracy (%)", "cividis"))


def problem_of(key, sweep):
    """The problem of a network: (dataset, classes), only those that vary, or both if neither varies."""
    return tuple(key[a] for a in problem_axes(sweep))


def problem_axes(sweep):
    known = [a for a in ("dataset", "classes") if a in sweep.keys]
    return [a for a in known if sweep.has(a)] or known


def problem_text(problem, sweep):
    return ", ".join(value_text(a, v) for a, v in zip(problem_axes(sweep), problem)) or "all"


def groups_of(sweep):
    """Networks that are equal except for width, dataset and classes: [(label, {(problem, width): network})]."""
    groups = {}
    for network in sweep.networks:
        label = sweep.label(network.key, ("width", "dataset", "classes"))
        groups.setdefault(label, {})[problem_of(network.key, sweep), float(network.key["width"])] = network
    return list(groups.items())


def percent(network, column):
    return 100 * network.sweep.points.loc[network.rows, column].to_numpy(float)


def heat_map(figure, axis, cells, problems, widths, sweep, column, label, cmap):
    grid = np.full((len(problems), len(widths)), np.nan)
    for (problem, width), network in cells.items():
        values = percent(network, column)
        if np.isfinite(values).any():
            grid[problems.index(problem), widths.index(width)] = np.nanmean(values)
    image = axis.pcolormesh(np.ma.masked_invalid(grid), cmap=cmap, edgecolors="white", linewidth=1.5)
    axis.grid(False)
    low, high = np.nanmin(grid), np.nanmax(grid)
    for row, column_at in zip(*np.nonzero(np.isfinite(grid))):
        network = cells[problems[row], widths[column_at]]
        dark = (grid[row, column_at] - low) < 0.55 * (high - low) if high > low else True
        axis.text(column_at + 0.5, row + 0.5, f"{grid[row, column_at]:.1f}\nn = {len(network)}", ha="center", va="center",
                  fontsize=7.5, color="white" if dark else "black")
    axis.set_xticks(np.arange(len(widths)) + 0.5, [width_text(w) for w in widths])
    axis.set_yticks(np.arange(len(problems)) + 0.5, [problem_text(p, sweep).replace(", ", "\n") for p in problems])
    style.name_positions(axis.xaxis, map(width_text, widths), 0.5)
    style.name_positions(axis.yaxis, [problem_text(p, sweep) for p in problems], 0.5)
    axis.set_xlabel("width")
    axis.set_facecolor("#eeeeee")
    axis.set_title(label)
    figure.colorbar(image, ax=axis, aspect=25)


def curves(axis, cells, problems, widths, sweep, column, label):
    """Draws means and intervals at the true widths; wider caps tell bars apart that lie on each other. True if a bar is cut off."""
    shown = spread_evenly(problems, MOST_CURVES)
    for i, problem in enumerate(shown):
        networks = [(w, cells[problem, w]) for w in widths if (problem, w) in cells]
        values = [percent(network, column) for _, network in networks]
        known = [(w, v) for (w, _), v in zip(networks, values) if np.isfinite(v).any()]
        half = np.array([half_width(v) for _, v in known])  # NaN for one seed; matplotlib 3.6 refuses NaN alone
        axis.errorbar([w for w, _ in known], [np.nanmean(v) for _, v in known], yerr=half if np.isfinite(half).any() else None,
                      color=style.PALETTE[i % len(style.PALETTE)], marker=style.MARKERS[i],
                      linestyle=style.LINES[i % len(style.LINES)], capsize=2 + 1.5 * i, elinewidth=1, alpha=0.85,
                      label=problem_text(problem, sweep))
    axis.set_xscale("log", base=2)
    axis.set_xticks(widths, [width_text(w) for w in widths])
    axis.minorticks_off()
    axis.set_xlabel("width")
    axis.set_ylabel(label)
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, 0), min(high, 102))
    return low < -6 or high > 106


def draw(sweep):
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    if "width" not in sweep.keys or not (sweep.has("width") or sweep.has("dataset") or sweep.has("classes")):
        raise style.Nothing("neither width nor difficulty (dataset, classes) varies")
    groups = groups_of(sweep)
    shown, cut = spread_evenly(groups, MOST_GROUPS), False
    rows = max(len({p for p, _ in cells}) for _, cells in shown)
    figure = style.plt.figure(figsize=(style.WIDE, len(shown) * (2.1 + 0.5 * rows + 3.2)), layout="constrained")
    for sub, (label, cells) in zip(np.atleast_1d(figure.subfigures(len(shown), 1)), shown):
        problems, widths = sorted({p for p, _ in cells}, reverse=True), sorted({w for _, w in cells})
        if label:
            sub.suptitle(label, fontsize=10)
        axes = sub.subplots(2, 2, gridspec_kw={"height_ratios": [1.1 + 0.5 * len(problems), 3.2]})
        for i, (column, text, cmap) in enumerate(COLUMNS):
            if not any(np.isfinite(percent(n, column)).any() for n in cells.values()):
                axes[0, i].text(0.5, 0.5, f"no {column} was measured", ha="center", transform=axes[0, i].transAxes)
                continue
            text = text.format(sweep.delta)
            heat_map(sub, axes[0, i], cells, problems, widths, sweep, column, text, cmap)
            cut = curves(axes[1, i], cells, problems[::-1], widths, sweep, column, text) or cut
        axes[1, 0].legend(loc="best")
    drawn = [n for _, cells in shown for n in cells.values()]
    caption = (f"Left: mean saturation of the layers ({sweep.split} split, δ = {sweep.delta:g}, without the output layer). Right: "
               f"accuracy (eval split). Both after the last epoch, {style.over_seeds(drawn)}: as maps, where n is the number of "
               "seeds, and as curves over the width (logarithmic).")
    if any(len(n) > 1 for n in drawn):
        caption += " Bars are 95 % confidence intervals of the mean over seeds (Student's t); one seed has none."
    if cut:
        caption += " Bars that reach beyond 0 or 100 % are cut off there."
    if rows > MOST_CURVES:
        caption += f" Curves are drawn for {MOST_CURVES} of {rows} problems, evenly chosen."
    return figure, caption + style.shown_of(shown, groups, "settings of the other axes")


DIFFICULTY = style.Plot("width-difficulty", "Width and difficulty", draw)
