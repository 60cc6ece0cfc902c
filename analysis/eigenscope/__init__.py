"""Measures the eigenspaces of networks that train elsewhere: sums over activations, taken while the network runs.

    import eigenscope
    tracker = eigenscope.Tracker(model, to="run/moments.h5", layers=["features.*"])
    for epoch in range(epochs):
        with tracker.epoch(epoch, split="train"):
            ...                                    # the loop of the user, unchanged
        print(tracker.saturation())                # {layer: share}

The file holds rows, means and second moments of every layer for every epoch; `source: moments` in a job of eigenscope
measures it. Needs numpy and h5py; PyTorch only for Tracker(model).
"""
__version__ = "0.1.0"
__all__ = ["CheckLayerSat", "MomentsError", "SaturationTracker", "Tracker", "read", "__version__"]


def __getattr__(name):
    """Imports lazily, so that `import eigenscope` needs no package."""
    if name in ("MomentsError", "read"):
        from . import moments
        return getattr(moments, name)
    if name == "Tracker":
        from .tracker import Tracker
        return Tracker
    if name in ("CheckLayerSat", "SaturationTracker"):
        from .delve import CheckLayerSat
        return CheckLayerSat
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
