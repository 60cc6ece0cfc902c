"""Accuracy of probes on other datasets, layer by layer, beside that on the dataset of the network."""
import numpy as np

from ..sweep import spread_evenly
from ..transfer import Transfer
from . import style

MOST = 12


def draw(sweep):
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    transfer = Transfer(sweep)
    if not transfer.there:
        raise style.Nothing("no probes were fitted to other datasets (probe.datasets)")
    shown = spread_evenly(sweep.networks, MOST)
    columns = 2 if len(shown) in (2, 4) else 3
    figure, axes = style.panels(len(shown), columns, 2.7, sharey=True)
    for axis, network in zip(axes, shown):
        places = np.arange(len(network.layers))
        if sweep.probes is not None:
            mean = style.interval_bounds(100 * sweep.probes[network.rows][:, network.layers])[0]
            axis.plot(places, mean, "--", color=style.INK, label="the dataset of the network")
        for at, colour in enumerate(style.along(len(transfer.names))):
            mean, low, high = style.interval_bounds(100 * transfer.of(network, at))
            axis.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
            axis.plot(places, mean, color=colour, marker=style.MARKERS[at % len(style.MARKERS)], label=transfer.title(at))
        style.layer_ticks(axis, network.names())
        axis.set_title(network.title, fontsize=8.5)
        axis.set_ylim(0, 102)
    for axis in axes[::columns]:
        axis.set_ylabel("accuracy of the probe (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.0))
    rows = -(-len(labels) // 4)
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - (0.1 + 0.2 * rows) / figure.get_figheight()))
    caption = (f"Accuracy of logistic regressions on the outputs of the layers, fitted to and tested on other datasets than the network was trained on "
               f"(their {transfer.split} splits), after the last probe epoch; {style.over_seeds(shown)}. Dashed: on the dataset of the network.")
    if any(len(n) > 1 for n in shown):
        caption += " Bands reach from the lowest seed to the highest."
    return figure, caption + style.shown_of(shown, sweep.networks)


ACCURACY = style.Plot("transfer", "Probes on other datasets", draw, special=True)
