"""The figures of a report, in its order. draw raises Nothing with the
reason where there is nothing to show. What a module draws is a Plot: name, title and draw(sweep) -> (Figure, caption)."""
from . import difficulty, evolution, layers, projection, scatter, spectra, stability
from .style import Nothing

ALL = (layers.SATURATION, evolution.SATURATION, evolution.OVERLAP, difficulty.DIFFICULTY, scatter.ACCURACY, stability.SETTLING,
       spectra.EIGENVALUES, projection.PROJECTED)

__all__ = ["ALL", "Nothing"]
