"""The figures of a report, in order. Each is a Plot: a name, a title, and draw(sweep), which returns the figure and its
caption, or raises Nothing with the reason why there is nothing to show."""
from . import difficulty, evolution, layers, projection, resolution, scatter, similarity, spectra, stability, steps, transfer, weights
from .style import Nothing, drawn

ALL = (layers.SATURATION, transfer.ACCURACY, evolution.SATURATION, evolution.OVERLAP, difficulty.DIFFICULTY, resolution.RESOLUTION, scatter.ACCURACY,
       stability.SETTLING, steps.SETTLING, similarity.LAYERS, similarity.EPOCHS, similarity.NETWORKS, weights.WEIGHTS, spectra.EIGENVALUES, projection.PROJECTED)

__all__ = ["ALL", "Nothing", "drawn"]
