"""Accuracy against mean saturation, a mark for each point."""
import numpy as np

from ..sweep import value_text, width_text
from . import style


def draw(sweep):
    points = sweep.points[sweep.points["complete"]].copy()
    points = points[np.isfinite(points["accuracy"].astype(float)) & np.isfinite(points["saturation"].astype(float))]
    if len(points) < 2:
        raise style.Nothing("fewer than two complete points have both an accuracy and a saturation")
    shape = next((a for a in ("dataset", "classes", "model") if sweep.has(a)), None)
    kinds = list(dict.fromkeys(points.sort_values(shape)[shape])) if shape else [None]
    widths = sorted(points["width"].unique()) if "width" in points else [np.nan]
    colours = dict(zip(widths, style.along(len(widths))))
    figure, axis = style.plt.subplots(figsize=(7.6, 4.8), layout="constrained")
    for i, kind in enumerate(kinds):
        rows = points if shape is None else points[points[shape] == kind]
        axis.scatter(100 * rows["saturation"], 100 * rows["accuracy"], marker=style.MARKERS[i % len(style.MARKERS)], s=42,
                     c=[colours[w] for w in rows["width"]] if "width" in rows else None, edgecolors="white", linewidths=0.7)
    handles = [axis.plot([], [], "s", color=colours[w], label=f"width {width_text(w)}", markersize=7)[0] for w in widths
               if np.isfinite(w)]
    handles += [axis.plot([], [], style.MARKERS[i % len(style.MARKERS)], color=style.GREY, label=value_text(shape, kind),
                          markersize=7)[0] for i, kind in enumerate(kinds) if shape]
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
    axis.set_xlabel("mean saturation of the layers (%)")
    axis.set_ylabel("accuracy (%)")
    caption = (f"Each mark is one point of the grid (n = {len(points)}): accuracy (eval split) against mean saturation "
               f"({sweep.split} split, δ = {sweep.delta:g}), both after the last epoch. Colour: width"
               + (f"; shape: {shape}." if shape else "."))
    return figure, caption


ACCURACY = style.Plot("accuracy-saturation", "Accuracy against saturation", draw)
