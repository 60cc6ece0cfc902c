"""Saturation layer by layer with the accuracy of probes over it: the signature figure of the paper."""
import numpy as np

from ..kinds import OTHER, blocks_of
from ..sweep import spread_evenly
from . import style

MOST = 24


def draw_kinds(axis, network, probes, kinds):
    """A transformer: a line for each kind of layer, over the blocks. Layers outside of blocks are marks beside them."""
    names, blocks = network.names(), blocks_of(network.names())
    mean = style.interval_bounds(100 * network.last_saturation())[0]
    accuracy = None if probes is None else style.interval_bounds(100 * probes[network.rows][:, network.layers])[0]
    n, outside = blocks.max() + 1, []
    for i, (kind, at) in enumerate(kinds):
        look = {"color": style.PALETTE[i % len(style.PALETTE)], "marker": style.MARKERS[i % len(style.MARKERS)]}
        inside = at[blocks[at] >= 0]
        if kind == OTHER or len(inside) == 0:
            outside += list(at)
            continue
        axis.plot(blocks[inside], mean[inside], label=kind, **look)
        if accuracy is not None:
            axis.plot(blocks[inside], accuracy[inside], linestyle="--", linewidth=1, alpha=0.6, color=look["color"])
    places = n + np.arange(len(outside))
    if outside:
        axis.plot(places, mean[outside], "x", color=style.INK)
    if accuracy is not None:
        axis.plot(places, accuracy[outside], "_", color=style.GREY)
        axis.plot([], [], "--", color=style.GREY, linewidth=1, label="probe accuracy")
    style.name_positions(axis.xaxis, [*range(n), *names[outside]])
    step = max(1, n // 12)
    axis.set_xticks([*range(0, n, step), *places], [*map(str, range(0, n, step)), *names[outside]])
    for label in axis.get_xticklabels()[len(range(0, n, step)):]:
        label.set(rotation=60, ha="right", rotation_mode="anchor", fontsize=6.5)
    axis.set_xlim(-0.6, n + len(outside) - 0.4)
    axis.set_xlabel("block")


def draw_network(axis, network, probes):
    kinds = network.kinds()
    if kinds:
        draw_kinds(axis, network, probes, kinds)
    else:
        draw_layers(axis, network, probes)
    accuracy = network.mean("accuracy")
    split = "" if network.sweep.score_split == "eval" else f" ({network.sweep.score_split} split)"
    told = ", ".join(filter(None, (f"accuracy {accuracy:.3f}{split}" if np.isfinite(accuracy) else "", network.seeds)))
    axis.set_title(f"{network.label}\n{told}".strip(), fontsize=8.5)
    axis.set_ylim(0, 102)


def draw_layers(axis, network, probes):
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
    rows = -(-len(entries) // 4)
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - (0.1 + 0.2 * rows) / figure.get_figheight()))
    return figure, caption_of(sweep, shown, entries) + style.shown_of(shown, sweep.networks)


def caption_of(sweep, shown, drawn):
    """Explains what is drawn, and why the probes are missing if they are. `drawn`: labels of the legend."""
    seeds, kinds = any(len(n) > 1 for n in shown), any(n.kinds() for n in shown)
    caption = (f"Saturation of each layer at the last measured epoch ({sweep.split} split): k/width at "
               f"δ = {sweep.delta:g}, where k is {sweep.k_is}.")
    if kinds:
        caption += (" Layers of transformers are grouped by kind, as their names say: a line for each kind, over the blocks; crosses are "
                    "layers of no kind or outside of blocks.")
    if seeds:
        caption += " Lines are means over seeds; bands reach from the lowest seed to the highest."
    if "probe accuracy" in drawn:
        on = "eval split" if sweep.probe_split == "eval" else "train split, on the samples that it was fitted on"
        caption += f" Dashed: accuracy of a probe, a logistic regression on the output of the layer ({on})."
    else:
        caption += (" No probes were fitted (probe.epochs)." if sweep.foreign else
                    " No probes were fitted (probe.epochs), so neither their accuracies nor the tail are known.")
    if "border layer" in drawn:
        caption += " Dotted: the border layer, the first whose input already sees the whole image."
    if "tail" in drawn:
        caption += (" Hatched: the tail without the output layer. The tail is the longest series of last layers whose probes are more "
                    "accurate than the best one before the series by less than probe.tail, 0.01 by default"
                    f"{'; median over seeds' if seeds else ''}.")
    return caption


SATURATION = style.Plot("layers", "Saturation and probes, layer by layer", draw)
