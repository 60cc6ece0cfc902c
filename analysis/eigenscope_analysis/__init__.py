"""Makes figures, tables and findings from results of eigenscope. Reads HDF5 by its schema: needs no MPI and no program.

    import eigenscope_analysis as es
    r = es.open("all.h5")           # xarray.Dataset, read when used
    t = es.to_frame(r)              # pandas: a row for each point, split, epoch, layer and delta
    q = es.add_quantities(r)        # with rankme, alpha_req, ... of an older file, from its eigenvalues
    c = es.add_similarity(r, "similarity.h5")   # with CKA between layers, epochs and points
    s = es.scores(r)                # recall, precision, F1 and specificity of classes, balanced accuracy
    python3 -m eigenscope_analysis report all.h5 --to report/
"""
import os

# Nothing writes these files while they are read, and network file systems may refuse locks. Set before h5py is imported.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

__version__ = "0.1.0"
__all__ = ["SchemaError", "add_quantities", "add_similarity", "at_layer", "open", "scores", "similarity_heatmap", "to_frame", "__version__"]


def __getattr__(name):
    """Imports lazily, so that the command line can name missing packages."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "SchemaError":
        from . import errors as module
    elif name == "similarity_heatmap":
        from . import similarity
        return similarity.heatmap
    elif name == "add_similarity":
        from . import similarity as module
    elif name == "add_quantities":
        from . import quantities as module
    elif name == "scores":
        from . import class_scores as module
    else:
        from . import files as module
    return getattr(module, name)
