"""Accuracy with the outputs of layers projected onto their leading eigenspaces, over δ, and onto random directions."""
import numpy as np

from ..findings import mean_known
from ..sweep import spread_evenly
from . import style

MOST = 12


def draw_network(axis, sweep, network, projected):
    """projected: (seeds, projection, layer or all, delta) in percent."""
    ticks = np.arange(len(sweep.deltas))
    mean = mean_known(projected)
    kinds = [str(k) for k in sweep.data["projection"].values]
    for kind, name, colour, line, marker in (("eigenspace", "eigenspace", style.PALETTE[0], "-", "o"),
                                             ("random", "random directions", style.PALETTE[5], "--", "s")):
        if kind not in kinds:
            continue
        at = kinds.index(kind)
        for layer in mean[at, 1:]:
            axis.plot(ticks, layer, line, color=colour, alpha=0.3, linewidth=0.8)
        axis.plot(ticks, mean[at, 0], line, marker=marker, color=colour, linewidth=2.2, label=f"all layers, {name}")
        axis.plot([], [], line, color=colour, alpha=0.4, linewidth=0.8, label=f"one layer, {name}")
    accuracy = 100 * network.mean("accuracy")
    if np.isfinite(accuracy):
        axis.axhline(accuracy, color=style.INK, linestyle=":", linewidth=1.2, label="not projected")
    axis.set_xticks(ticks, [f"{d:g}" for d in sweep.deltas])
    axis.set_ylim(0, 102)
    axis.set_title(network.title, fontsize=8.5)


def draw(sweep):
    projected = sweep.values("projected_accuracy")  # (point, projection, layer or all, delta)
    if projected is None or not np.isfinite(projected).any():
        raise style.Nothing("no outputs were projected (measure.projection: true)")
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    networks = [n for n in sweep.networks if np.isfinite(projected[n.rows]).any()]
    if not networks:
        raise style.Nothing("no complete point has projected accuracies")
    shown = spread_evenly(networks, MOST)
    figure, axes = style.panels(len(shown), 3, 2.7, sharey=True)
    for axis, network in zip(axes, shown):
        draw_network(axis, sweep, network, 100 * projected[network.rows])
    for axis in axes[::3]:
        axis.set_ylabel("accuracy (%)")
    for axis in axes[-3:]:
        axis.set_xlabel("δ, the share of the variance that is kept")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=5, bbox_to_anchor=(0.5, 1.0))
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    caption = ("Accuracy (eval split, after the last epoch) of the networks with projected outputs, "
               f"{style.over_seeds(shown)}. Solid: onto the k leading eigenvectors of a layer, where k is "
               f"{sweep.k_is}. Dashed: onto as many random directions. Thick lines project all layers at once, each thin line one layer. "
               "Dotted: the networks without projection.")
    return figure, caption + style.shown_of(shown, networks)


PROJECTED = style.Plot("projection", "Projected accuracy", draw)
