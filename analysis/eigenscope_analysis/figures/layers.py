"""Saturation layer by layer with the accuracy of probes over it: the signature figure of the paper."""
import numpy as np

from ..sweep import spread_evenly
from . import style

MOST = 24


def draw_network(axis, network, probes):
    names = network.names()
    places = np.arange(len(names))
    mean, low, high = style.interval_bounds(100 * network.last_saturation())
    axis.fill_between(places, low, high, color=style.PALETTE[0], alpha=0.25, linewidth=0)
    axis.plot(places, mean, "-o", color=style.PALETTE[0], label=f"saturation at δ = {network.sweep.delta:g}")
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
                     label="tail")
    accuracy = network.mean("accuracy")
    told = ", ".join(filter(None, (f"accuracy {accuracy:.3f}" if np.isfinite(accuracy) else "", network.seeds)))
    axis.set_title(f"{network.label}\n{told}".strip(), fontsize=8.5)
    axis.set_ylim(0, 102)
    axis.set_xlim(-0.6, len(names) - 0.4)
    style.layer_ticks(axis, names)


def draw(sweep):
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    probes = sweep.probes
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
    return figure, caption_of(sweep, shown, entries) + style.shown_of(shown, sweep.networks)


def caption_of(sweep, shown, drawn):
    """Explains what is drawn, and why the probes are missing if they are. `drawn`: labels of the legend."""
    seeds = any(len(n) > 1 for n in shown)
    caption = (f"Saturation of each layer at the last measured epoch ({sweep.split} split): k/width at "
               f"δ = {sweep.delta:g}, where k is {sweep.k_is}.")
    if seeds:
        caption += " Lines are means over seeds; bands reach from the lowest seed to the highest."
    if "probe accuracy" in drawn:
        on = "eval split" if sweep.probe_split == "eval" else "train split, on the samples that it was fitted on"
        caption += f" Dashed: accuracy of a probe, a logistic regression on the output of the layer ({on})."
    else:
        caption += " No probes were fitted (probe.epochs), so neither their accuracies nor the tail are known."
    if "border layer" in drawn:
        caption += " Dotted: the border layer, the first whose input already sees the whole image."
    if "tail" in drawn:
        caption += (" Hatched: the tail without the output layer. The tail is the longest series of last layers whose probes are more "
                    "accurate than the best one before the series by less than probe.tail, 0.01 by default"
                    f"{'; median over seeds' if seeds else ''}.")
    return caption


SATURATION = style.Plot("layers", "Saturation and probes, layer by layer", draw)
