"""Weight matrices, layer by layer: norms, stable rank, power law and distance from the first weights."""
import numpy as np

from ..files import merged_order
from ..matrices import NUMBERS, Matrices
from ..sweep import spread_evenly
from . import style

MOST = 8


def draw(sweep):
    matrices = Matrices(sweep)
    if not matrices.there:
        raise style.Nothing("no weights were measured (measure.weights: true)")
    if not matrices.networks:
        raise style.Nothing("no complete point has weights")
    shown = spread_evenly(matrices.networks, MOST)
    known = {name for network in shown
             for name, value in zip(network.names(), matrices.of(network, "frobenius_norm")) if np.isfinite(value)}
    names = [name for name in merged_order([network.names() for network in shown]) if name in known]
    figure, axes = style.panels(len(NUMBERS), 2, 3.1, width=1.25 * style.WIDE)
    for axis, (name, words, log) in zip(axes, NUMBERS):
        for i, (network, colour) in enumerate(zip(shown, style.along(len(shown)))):
            values = zip(network.names(), matrices.of(network, name))
            at = [(names.index(layer), value) for layer, value in values if (value > 0 if log else np.isfinite(value))]
            axis.plot(*(zip(*at) if at else ((), ())), color=colour, marker=style.MARKERS[i % len(style.MARKERS)],
                      linestyle=style.LINES[i % len(style.LINES)], label=network.label or "the network")
        axis.set_title(words)
        axis.set_xlim(-0.6, len(names) - 0.4)
        if log and axis.lines and any(len(line.get_xdata()) for line in axis.lines):
            axis.set_yscale("log")
            axis.yaxis.set_minor_locator(style.matplotlib.ticker.LogLocator(subs=(2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("{x:g}")
            axis.tick_params(axis="y", which="minor", labelsize=6.5)
        style.layer_ticks(axis, names)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.0))
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - (0.1 + 0.2 * -(-len(shown) // 4)) / figure.get_figheight()))
    caption = (f"Numbers of the weight matrix of each layer after the last measured epoch, {style.over_seeds(shown)}: the largest singular value, "
               "‖W‖²/σ₁², the exponent of the power law of the eigenvalues of WᵀW (Clauset, Shalizi and Newman; with its Kolmogorov-"
               "Smirnov distance in the table of layers), and ‖W − W₀‖/‖W₀‖, where W₀ are the first measured weights. Layers without a "
               "matrix are left out.")
    return figure, caption + style.shown_of(shown, matrices.networks)


WEIGHTS = style.Plot("weights", "Weights", draw, special=True)
