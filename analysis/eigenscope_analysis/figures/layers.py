"""Saturation layer by layer with the accuracy of probes over it: the signature figure of the paper."""
import numpy as np

from ..findings import last_probes
from ..sweep import spread_evenly
from . import style

MOST = 24


def draw_network(axis, network, probes):
    names = network.names()
    places = np.arange(len(names))
    mean, low, high = style.interval_bounds(100 * network.last_saturation())
    axis.fill_between(places, low, high, color=style.PALETTE[0], alpha=0.25, linewidth=0)
    axis.plot(places, mean, "-o", color=style.PALETTE[0], label="saturation")
    if probes is not None:
        mean, low, high = style.interval_bounds(100 * probes[network.rows][:, network.layers])
        axis.fill_between(places, low, high, color=style.PALETTE[1], alpha=0.25, linewidth=0)
        axis.plot(places, mean, "--s", color=style.PALETTE[1], markersize=3.5, label="probe accuracy")
    border, tail = network.border_at(), network.tail_from()
    if border is not None:
        axis.axvline(border, color=style.INK, linestyle=":", linewidth=1.2, label="border layer")
    if tail is not None:
        last = np.flatnonzero(~network.sweep.output[network.first][network.layers])[-1]
        axis.axvspan(tail - 0.5, last + 0.5, facecolor="none", edgecolor=style.GREY, alpha=0.45, hatch="////", linewidth=0, zorder=0,
                     label="tail layers")
    accuracy = network.mean("accuracy")
    told = f"accuracy {accuracy:.3f}, " if np.isfinite(accuracy) else ""
    axis.set_title(f"{network.label + chr(10) if network.label else ''}{told}{network.seeds}", fontsize=8.5)
    axis.set_ylim(0, 102)
    axis.set_xlim(-0.6, len(names) - 0.4)
    style.layer_ticks(axis, names)


def draw(sweep):
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    probes = last_probes(sweep)
    shown = spread_evenly(sweep.networks, MOST)
    columns = 2 if len(shown) in (2, 4) else 3
    figure, axes = style.panels(len(shown), columns, 2.7, sharey=True)
    for axis, network in zip(axes, shown):
        draw_network(axis, network, probes)
    for axis in axes[::columns]:
        axis.set_ylabel("saturation (%)" if probes is None else "saturation, accuracy (%)")
    entries = {}
    for axis in axes:
        entries.update(zip(*reversed(axis.get_legend_handles_labels())))
    figure.legend(entries.values(), entries.keys(), loc="upper center",
                  ncols=4, bbox_to_anchor=(0.5, 1.0))
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    caption = (f"Saturation of each layer ({sweep.split} split, last epoch, δ = {sweep.delta:g}): the share of its directions that "
               f"carry {100 * sweep.delta:g} % of the variance. Lines are means over seeds, bands reach from the lowest to the "
               "highest seed. Dotted: the border layer, the first whose receptive field exceeds the image.")
    if probes is None:
        caption += " No probes were fitted (probe.epochs), so neither their accuracy nor the tail is known."
    else:
        caption += (" Dashed: accuracy of a logistic regression on the layer's output (eval split). Hatched: the tail, trailing "
                    "layers that add almost no accuracy.")
    return figure, caption + style.shown_of(shown, sweep.networks)


SATURATION = style.Plot("layers", "Saturation and probes, layer by layer", draw)
