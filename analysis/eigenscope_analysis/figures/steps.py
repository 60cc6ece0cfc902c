"""Inside an epoch: how soon the final order of layers and networks is there, and the loss on the same steps."""
import numpy as np

from ..findings import mean_known
from ..steps import ORDERED, Steps
from ..sweep import spread_evenly
from . import style

MOST = 12


def draw(sweep):
    if not sweep.networks:
        raise style.Nothing("no point is complete")
    steps = Steps(sweep)
    if not steps.there:
        raise style.Nothing("no training steps were measured (measure.steps)")
    shown = spread_evenly(sweep.networks, MOST)
    figure, (left, right) = style.plt.subplots(1, 2, figsize=(style.WIDE, 4.2), layout="constrained")
    x = np.where(steps.steps > 0, steps.steps, 0.5)  # step 0 has no place on a logarithmic axis
    for i, (network, colour) in enumerate(zip(shown, style.along(len(shown)))):
        how = {"color": colour, "marker": style.MARKERS[i % len(style.MARKERS)], "linestyle": style.LINES[i % len(style.LINES)]}
        for axis, values in ((left, mean_known(steps.tau[network.rows])), (right, mean_known(steps.mean[network.rows]))):
            known = np.isfinite(values)
            axis.plot(x[known], values[known], label=network.label or "the network", **how)
    known = np.isfinite(steps.networks_tau)
    if known.any():
        left.plot(x[known], steps.networks_tau[known], color=style.INK, linewidth=2.4, label="order of the networks")
    left.axhline(ORDERED, color=style.INK, linewidth=1)
    left.set_ylabel(f"Kendall's τ with the order {steps.reference}")
    right.set_ylabel("mean saturation of the hidden layers")
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel("training step (leftmost: as initialised)")
    left.legend(fontsize=7)
    caption = (f"After training steps, eval split, δ = {sweep.delta:g}, {style.over_seeds(shown)}. Left: rank correlation (Kendall's τ-b) "
               f"of the saturations of the hidden layers with those {steps.reference}, and, thick, of the mean saturations of the "
               f"networks; the line is {ORDERED:g}. Right: mean saturation of the hidden layers.")
    return figure, caption + style.shown_of(shown, sweep.networks)


SETTLING = style.Plot("steps", "Inside an epoch", draw, special=True)
