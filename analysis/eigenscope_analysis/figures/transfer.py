"""Accuracy of probes on other datasets, layer by layer, beside that on the dataset of the network."""
import numpy as np

from ..sweep import spread_evenly
from ..transfer import OTHER, OWN, Transfer
from . import style

MOST = 12


def drawn(transfer, network, dataset):
    return transfer.related(network, dataset) != OWN and np.isfinite(transfer.of(network, dataset)).any()


def draw(sweep):
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    transfer = Transfer(sweep)
    if not transfer.there:
        raise style.Nothing("no probes were fitted to other datasets (probe.datasets)")
    compared = [n for n in sweep.networks if any(drawn(transfer, n, at) for at in range(len(transfer.names)))]
    if not compared:
        raise style.Nothing("probe.datasets has only the dataset of the network")
    shown = spread_evenly(compared, MOST)
    columns = 2 if len(shown) in (2, 4) else 3
    figure, axes = style.panels(len(shown), columns, 2.7, sharey=True)
    for axis, network in zip(axes, shown):
        places = np.arange(len(network.layers))
        if sweep.probes is not None:
            mean = style.interval_bounds(100 * sweep.probes[network.rows][:, network.layers])[0]
            axis.plot(places, mean, "--", color=style.INK, label="the dataset of the network")
        for at, colour in enumerate(style.along(len(transfer.names))):
            if not drawn(transfer, network, at):
                continue
            mean, low, high = style.interval_bounds(100 * transfer.of(network, at))
            axis.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
            axis.plot(places, mean, color=colour, marker=style.MARKERS[at % len(style.MARKERS)],
                      label=transfer.title(at, transfer.related(network, at)))
        style.layer_ticks(axis, network.names())
        axis.set_title(network.title, fontsize=8.5)
        axis.set_ylim(0, 102)
    for axis in axes[::columns]:
        axis.set_ylabel("accuracy of the probe (%)")
    by_label = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels())}
    labels = list(by_label)
    figure.legend(list(by_label.values()), labels, loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.0))
    rows = -(-len(labels) // 4)
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - (0.1 + 0.2 * rows) / figure.get_figheight()))
    whole = any(transfer.related(n, at) not in (OTHER, OWN) for n in shown for at in range(len(transfer.names)))
    caption = ("Accuracy of logistic regressions on the outputs of the layers, fitted to and tested on other datasets than the network was trained "
               f"on{', or on all classes of its dataset, of which it knows some' if whole else ''} "
               f"(their {transfer.split} splits), after the last probe epoch; {style.over_seeds(shown)}. Dashed: on the dataset of the network.")
    if any(len(n) > 1 for n in shown):
        caption += " Bands reach from the lowest seed to the highest."
    return figure, caption + style.shown_of(shown, compared)


ACCURACY = style.Plot("transfer", "Probes on other datasets", draw, special=True)
