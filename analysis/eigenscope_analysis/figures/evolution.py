"""The evolution: layers and epochs as a heat map, of saturation and of the overlap with the last eigenspace."""
import numpy as np

from ..findings import mean_known
from ..sweep import spread_evenly
from . import style

MOST = 12


def heat_maps(sweep, shown, values, label, cmap, bottom=0, top=100, title=lambda network: network.title):
    """Draws one panel per network of values(network) -> (epoch, layer), in percent unless `top` is 1, coloured from `bottom` to `top`."""
    columns = 2 if len(shown) in (2, 4) else 3
    figure, axes = style.panels(len(shown), columns, 2.9)
    image = None
    for axis, network in zip(axes, shown):
        grid = values(network)
        measured = np.flatnonzero(np.isfinite(grid).any(axis=1))
        names = network.names()
        kinds = network.kinds()
        order = np.concatenate([at for _, at in kinds]) if kinds else np.arange(len(names))
        axis.grid(False)
        if len(measured):
            image = axis.pcolormesh(np.arange(len(measured) + 1) - 0.5, np.arange(len(names) + 1) - 0.5,
                                    np.ma.masked_invalid(grid[measured][:, order].T), cmap=cmap, vmin=bottom, vmax=top)
        axis.patch.set(hatch="xxxx", edgecolor=style.PALE)
        axis.invert_yaxis()
        if kinds:
            label_kinds(axis, kinds)
        else:
            style.layer_ticks(axis, names, 22, along_y=True)
        step = max(1, -(-len(measured) // 10))
        axis.set_xticks(range(0, len(measured), step), [str(sweep.epochs[i]) for i in measured[::step]])
        style.name_positions(axis.xaxis, sweep.epochs[measured])
        style.name_positions(axis.yaxis, names[order])
        axis.set_title(title(network), fontsize=8.5)
        border = network.border_at()
        if border is not None:
            axis.axhline(border - 0.5, color="white", linewidth=2)
            axis.axhline(border - 0.5, color=style.INK, linestyle=":", linewidth=1.4)
    for axis in axes[-columns:]:
        axis.set_xlabel(style.epoch_label(sweep))
    figure.colorbar(image, ax=axes, label=label, location="bottom", shrink=0.5, aspect=40)
    return figure


def label_kinds(axis, kinds):
    """Names the groups of layers of a transformer, and draws lines between them."""
    ends = np.cumsum([len(at) for _, at in kinds])
    axis.set_yticks([end - (len(at) + 1) / 2 for end, (_, at) in zip(ends, kinds)], [kind for kind, _ in kinds], fontsize=7)
    for end in ends[:-1]:
        axis.axhline(end - 0.5, color="white", linewidth=2)


def notes(sweep, shown, values, networks=None):
    """Explains in a caption what else the heat maps show; `networks`: those that may be shown (default: all)."""
    text = (" Layers are grouped by kind; within a kind they run from the first block (top) to the last."
            if any(n.kinds() for n in shown) else " Layers are in the order of the file." if sweep.foreign else
            " Layers run from the image (top) to the output (bottom).")
    if any(n.border_at() is not None for n in shown):
        text += " The dotted line lies above the border layer, the first whose input already sees the whole image."
    grids = [over_seeds(n, values) for n in shown]
    if any(np.isnan(grid[np.isfinite(grid).any(axis=1)]).any() for grid in grids):
        text += " Hatched cells were not measured."
    return text + style.shown_of(shown, networks or sweep.networks)


def over_seeds(network, values):
    """(point, epoch, layer) -> mean over the seeds of a network, for its layers, in percent."""
    return 100 * mean_known(values[network.rows][:, :, network.layers])


def need_epochs(sweep, values):
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    if np.isfinite(values).any(axis=2).sum(axis=1).max() < 2:
        raise style.Nothing("one epoch was measured, so there is no evolution")


def draw_saturation(sweep):
    need_epochs(sweep, sweep.saturation)
    shown = spread_evenly(sweep.networks, MOST)
    figure = heat_maps(sweep, shown, lambda network: over_seeds(network, sweep.saturation), f"saturation at δ = {sweep.delta:g} (%)",
                       "viridis")
    caption = f"Saturation of each layer at the measured epochs ({sweep.split} split, δ = {sweep.delta:g}), {style.over_seeds(shown)}."
    return figure, caption + notes(sweep, shown, sweep.saturation)


def draw_overlap(sweep):
    if "eigenspace_overlap" not in sweep.data:
        raise style.Nothing("eigenspaces were not followed (measure.eigenspace: true)")
    reference = [str(r) for r in sweep.data["reference"].values].index("last")
    overlap = sweep.values("eigenspace_overlap", reference=reference, split=sweep.split_at, delta=sweep.delta_at)
    if not np.isfinite(overlap).any():
        raise style.Nothing("no overlap of eigenspaces was measured")
    need_epochs(sweep, overlap)
    shown = spread_evenly(sweep.networks, MOST)
    least = min(np.nanmin(over_seeds(network, overlap), initial=100) for network in shown)
    figure = heat_maps(sweep, shown, lambda network: over_seeds(network, overlap), "overlap with the last epoch (%)", "cividis",
                       min(90, 10 * np.floor(least / 10)))
    caption = (f"Overlap of the leading eigenspace of each layer (δ = {sweep.delta:g}, {sweep.split} split) with that at the last "
               f"measured epoch, {style.over_seeds(shown)}: 100 % if one contains the other, 0 % if they are orthogonal. The last "
               "epoch has 100 % by definition.")
    return figure, caption + notes(sweep, shown, overlap)


SATURATION = style.Plot("evolution-saturation", "Evolution of saturation", draw_saturation)
OVERLAP = style.Plot("evolution-overlap", "Evolution of eigenspaces", draw_overlap)
