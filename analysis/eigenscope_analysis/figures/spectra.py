"""Eigenvalue spectra, layer by layer, over the epochs."""
import numpy as np

from ..kinds import kind_of
from ..sweep import spread_evenly
from . import style

MOST_NETWORKS, MOST_LAYERS, MOST_KINDS, MOST_EPOCHS = 3, 6, 7, 6
FLOOR = 1e-8


def spectrum(sweep, point):
    """(epoch, layer, component) of one point, as shares of the layer's variance; NaN where eigenvalues are unknown, all 0 or infinite. No
    other spectra are read."""
    values = np.asarray(sweep.data["eigenvalues"].isel(point=point, split=sweep.split_at).values, float)
    for scale in (np.max, np.sum):  # a sum of shares of the largest one stays finite
        total = scale(values, axis=-1, keepdims=True, where=~np.isnan(values), initial=0)
        values = np.divide(values, total, out=np.full_like(values, np.nan), where=(total > 0) & np.isfinite(total))
    return values


def draw_layer(axis, sweep, shares, point, layer, epochs, colours):
    for epoch, colour in zip(epochs, colours):
        values = shares[epoch, layer]
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        ranks = np.arange(1, len(values) + 1)
        axis.plot(ranks, np.where(values > FLOOR, values, np.nan), color=colour, linewidth=1.3)
        k = sweep.dimension[point, epoch, layer]
        if 0 < k <= len(values):
            axis.plot(k, values[int(k) - 1], "o", color=colour, markeredgecolor="white", markersize=5.5)
    axis.set_yscale("log")
    axis.set_xscale("log")
    axis.minorticks_off()
    style.count_axis(axis, np.isfinite(shares[:, layer]).sum(axis=-1).max())


def title_of(network, name):
    """The name of a layer; of a transformer its kind too."""
    half = name.rfind(".", 0, max(len(name) // 2, 1) + 4)
    return f"{kind_of(name)}\n{name[:half + 1]}\n{name[half + 1:]}" if network.kinds() else name


def choose(sweep, network):
    """Layers to draw: evenly spaced ones, or one of each kind of a transformer, from the middle of its blocks."""
    kinds = network.kinds()
    if kinds:
        return [int(network.layers[at[len(at) // 2]]) for _, at in kinds][:MOST_KINDS]
    return spread_evenly(list(network.layers[~sweep.output[network.first][network.layers]]) or list(network.layers), MOST_LAYERS)


def draw(sweep):
    if "eigenvalues" not in sweep.data:
        raise style.Nothing("the file holds no eigenvalues (merged with --no-spectra)")
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    shown = spread_evenly(sweep.networks, MOST_NETWORKS)
    layers = [choose(sweep, n) for n in shown]
    columns = max(map(len, layers))
    figure, axes = style.plt.subplots(len(shown), columns, figsize=(style.WIDE, 2.2 * len(shown) + 0.5), squeeze=False, sharey=True,
                                      layout="constrained")
    drawn, absent = False, np.zeros(sweep.saturation.shape, bool)  # (point, epoch, layer)
    measured = np.flatnonzero(np.isfinite(sweep.saturation[[n.first for n in shown]]).any(axis=(0, 2)))
    chosen = spread_evenly(list(measured), MOST_EPOCHS)
    colours = style.along(len(chosen))
    for row, network, own in zip(axes, shown, layers):
        shares = spectrum(sweep, network.first)
        known = np.isfinite(shares).any(axis=-1)
        drawn = drawn or bool(known.any())
        reached = [e for e in chosen if e <= sweep.last_at[network.first]]
        absent[np.ix_([network.first], reached, own)] = ~known[np.ix_(reached, own)]
        for axis, layer in zip(row, own):
            draw_layer(axis, sweep, shares, network.first, layer, chosen, colours)
            axis.set_title(title_of(network, sweep.layer_names[network.first][layer]), fontsize=8 if not network.kinds() else 6.5)
        for axis in row[len(own):]:
            axis.set_visible(False)
        row[0].set_ylabel((network.label or "the network").replace(", ", "\n") + "\n\nshare of variance", fontsize=7.5)
    if not drawn:
        style.plt.close(figure)
        raise style.Nothing("no eigenvalues were measured, or all are 0 or infinite")
    for axis in axes[-1]:
        axis.set_xlabel("component", fontsize=8)
    handles = [style.plt.Line2D([], [], color=c, label=f"epoch {sweep.epochs[e]}") for e, c in zip(chosen, colours)]
    figure.legend(handles=handles, loc="upper center", ncols=len(handles), bbox_to_anchor=(0.5, 1.0))
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    caption = (f"Eigenvalues of a layer's covariance, largest first, as shares of its variance ({sweep.split} split; the first seed "
               f"of each network; both axes logarithmic; shares below {FLOOR:g} are not drawn). A circle marks component k at "
               f"δ = {sweep.delta:g}, where k is {sweep.k_is}.")
    if absent.any():
        caption += (" Not drawn, because the eigenvalues are unknown, all 0 or infinite, with the number of such spectra: "
                    f"{sweep.named(absent)}.")
    return figure, caption + style.shown_of(shown, sweep.networks)


EIGENVALUES = style.Plot("spectra", "Eigenvalue spectra", draw)
