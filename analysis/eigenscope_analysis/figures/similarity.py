"""Similarity by linear CKA: between the layers of a network, of each layer with its last state, and between seeds and networks."""
import numpy as np

from ..alike import SAME, Alike
from ..files import merged_order
from ..sweep import spread_evenly
from . import style
from .evolution import heat_maps, notes

MOST = 12
MOST_NETWORKS = 40
COLOURS = "viridis"
LABEL = "debiased linear CKA (below 0: as 0)"


def compared(sweep):
    alike = Alike(sweep)
    if not alike.there:
        raise style.Nothing("no file of similarities was given (--similarity)")
    if not alike.networks:
        raise style.Nothing("no compared point is complete")
    return alike


def cells(axis, values, down, across, most=22):
    """A heat map of values (down, across) from 0 to 1; hatched where there is none."""
    axis.grid(False)
    mesh = axis.pcolormesh(np.arange(len(across) + 1) - 0.5, np.arange(len(down) + 1) - 0.5, np.ma.masked_invalid(values), cmap=COLOURS,
                           vmin=0, vmax=1)
    axis.patch.set(hatch="xxxx", edgecolor=style.PALE)
    axis.invert_yaxis()
    style.layer_ticks(axis, down, most, along_y=True)
    style.layer_ticks(axis, across, most)
    return mesh


def hatched(*grids):
    return " Hatched cells have no number." if any(np.isnan(grid).any() for grid in grids) else ""


def draw_layers(sweep):
    alike = compared(sweep)
    shown = spread_evenly(alike.networks, MOST)
    grids = [alike.of_layers(network) for network in shown]
    figure, axes = style.panels(len(shown), 2 if len(shown) in (2, 4) else 3, 3.9)
    for axis, network, grid in zip(axes, shown, grids):
        mesh = cells(axis, grid, network.names(), network.names())
        axis.set_aspect("equal")
        axis.set_title(alike.title(network), fontsize=8.5)
    figure.colorbar(mesh, ax=axes, label=LABEL, location="bottom", shrink=0.5, aspect=40)
    caption = (f"Debiased linear CKA between the layers of a network, {alike.epoch_words()}, {style.over_seeds(shown)}: 1 if the features of two "
               f"layers are equal up to rotation and scale, about 0 if they are unrelated.{hatched(*grids)}")
    return figure, caption + style.shown_of(shown, alike.networks)


def draw_epochs(sweep):
    alike = compared(sweep)
    if max(np.isfinite(alike.of_epochs(network)).any(axis=1).sum() for network in alike.networks) < 2:
        raise style.Nothing("the features of one epoch were compared, so there is no evolution")
    shown = spread_evenly(alike.networks, MOST)
    figure = heat_maps(sweep, shown, alike.of_epochs, LABEL, COLOURS, top=1, title=alike.title)
    caption = (f"Debiased linear CKA of each layer with its own state {alike.epoch_words()}, {style.over_seeds(shown)}; that epoch has 1 by "
               f"definition. Where it stays at {SAME:g} or above the layer has its final representation up to rotation and scale.")
    return figure, caption + notes(sweep, shown, alike.last, alike.networks)


def draw_networks(sweep):
    alike = compared(sweep)
    if len(alike.networks) == 1:
        raise style.Nothing("one network was compared; the table of similarities has how alike its seeds are")
    if alike.points is None or not np.isfinite(alike.points).any():
        raise style.Nothing("no two points with layers of equal names were compared")
    shown = spread_evenly(alike.networks, MOST_NETWORKS)
    names = merged_order([network.names() for network in shown])
    labels = [network.label for network in shown]
    panels = []
    for words, values in (("between seeds of the network", alike.seeds), ("with other networks", alike.others)):
        grid = np.full((len(names), len(shown)), np.nan)
        for column, network in enumerate(shown):
            grid[[names.index(name) for name in network.names()], column] = values(network)
        if np.isfinite(grid).any():
            panels.append((words, grid, names))
    panels.append(("mean over hidden layers", alike.between(shown), labels))
    figure, axes = style.panels(len(panels), 3, 2.2 + 0.17 * max(min(len(names), 22), min(len(shown), 22)) + 0.8)
    for axis, (words, grid, down) in zip(axes, panels):
        mesh = cells(axis, grid, down, labels)
        axis.set_title(words)
    figure.colorbar(mesh, ax=axes, label=LABEL, location="bottom", shrink=0.5, aspect=40)
    caption = (f"Debiased linear CKA between points, {alike.epoch_words()}: layers of equal names are compared. Columns are networks. Panels by "
               "layer: means over the pairs of seeds of a network, and over the pairs with all other networks. Networks against networks: the mean "
               f"over hidden layers and pairs of points, on the diagonal over pairs of seeds.{hatched(*(grid for _, grid, _ in panels))}")
    return figure, caption + style.shown_of(shown, alike.networks)


LAYERS = style.Plot("similarity-layers", "Similarity of layers", draw_layers, special=True)
EPOCHS = style.Plot("similarity-epochs", "How early layers reach their final representation", draw_epochs, special=True)
NETWORKS = style.Plot("similarity-networks", "Similarity of seeds and networks", draw_networks, special=True)
