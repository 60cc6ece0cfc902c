"""Accuracy against mean saturation, a mark for each point."""
import math

import numpy as np

from ..sweep import axis_text, spread_evenly, width_text
from . import style

MOST = 40  # kinds of networks


def draw(sweep):
    points = sweep.points[sweep.points["complete"]].copy()
    points = points[np.isfinite(points["accuracy"].astype(float)) & np.isfinite(points["saturation"].astype(float))]
    if len(points) < 2:
        raise style.Nothing("fewer than two complete points have both an accuracy and a saturation")
    kinds = {}  # networks that are equal in all but width and seed, in the order of the page: label -> rows
    for network in sweep.networks:
        rows = [row for row in network.rows if row in points.index]
        if rows:
            kinds.setdefault(sweep.label(network.key, ("width",)), []).extend(rows)
    shown = spread_evenly(list(kinds.items()), MOST)
    widths = sorted(points["width"].unique()) if sweep.has("width") else []
    sizes = dict(zip(widths, np.linspace(18, 120, len(widths))))
    figure, axis = style.plt.subplots(figsize=(8.6, max(4.8, 0.19 * (len(shown) + len(widths)))), layout="constrained")
    handles = []
    for i, (label, rows) in enumerate(shown):
        look = {"marker": style.MARKERS[i % len(style.MARKERS)], "color": style.PALETTE[i % len(style.PALETTE)]}
        some = points.loc[rows]
        axis.scatter(100 * some["saturation"], 100 * some["accuracy"], s=some["width"].map(sizes) if sizes else 42, alpha=0.8,
                      edgecolors="white", linewidths=0.7, **look)
        if label:
            handles.append(axis.plot([], [], linestyle="", label=label, markersize=7, **look)[0])
    handles += [axis.plot([], [], "o", color=style.GREY, label=f"width {width_text(w)}", markersize=math.sqrt(sizes[w]))[0]
                for w in widths]
    if handles:
        axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
    axis.set_xlabel(f"mean saturation of the layers at δ = {sweep.delta:g} (%)")
    axis.set_ylabel("accuracy (%)")
    caption = (f"Each mark is one point of the grid (n = {sum(len(rows) for _, rows in shown)}): accuracy ({sweep.score_split} split) against mean "
               f"saturation ({sweep.split} split, δ = {sweep.delta:g}, without the output layer), both after the last epoch.")
    others = [axis_text(a) for a in sweep.varying if a not in ("width", "seed")]
    if others:
        caption += f" Colour and shape of a mark tell {', '.join(others)}."
    if widths:
        caption += " The larger the mark, the wider the network."
    return figure, caption + style.shown_of(shown, kinds, "kinds of networks")


ACCURACY = style.Plot("accuracy-saturation", "Accuracy against saturation", draw)
