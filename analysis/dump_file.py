"""The HDF5 file of dump_activations.py: it is laid out at once, filled batch by batch, and renamed when it is complete."""
import contextlib
import ctypes
import errno
import json
import os

import h5py
import numpy as np

from user_code import DumpError

OVERHEAD = 1 << 16  # bytes of a file besides values, roughly


@contextlib.contextmanager
def writing(path):
    """Reports a full disk in one sentence; the file stays valid, so the dump can be resumed."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # HDF5 raises either, with long messages
        words = str(error)
        reason = words.partition("error message = '")[2].partition("'")[0]
        reason = reason or getattr(error, "strerror", None) or words.partition("\n")[0]
        raise DumpError(f"{path} cannot be written: {reason}; run the same dump again when it can, and it continues") from None


def reserve(path, size):
    """Reserves disk space for the whole file if the file system supports it. A full disk must show now, because HDF5 may not
    survive it later (posix_fallocate would write zeros without support)."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if fallocate is not None and fallocate(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size)) != 0:
            reason = ctypes.get_errno()
            if reason not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise OSError(reason, os.strerror(reason))
    except OSError:
        os.remove(path)
        raise
    finally:
        os.close(descriptor)


def create_dataset(file, name, shape, dtype):
    """Creates a contiguous dataset with allocated space, so that filling it changes only its values."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), h5py.h5s.create_simple(shape), plist)


def create(path, request, outputs, kinds, batch):
    """Creates the complete layout of <path>.part, or nothing if the process is killed here."""
    new = f"{path}.part.new"
    samples = request["samples"]
    if "labels" in outputs:
        raise DumpError("a module of the model is named labels, the name of the dataset of labels; rename it or leave it out "
                        "with `layers`")
    with writing(new):
        reserve(new, sum(samples * rows[0].nbytes for rows in outputs.values()) + samples * 8 + OVERHEAD)
        lay_out(new, request, outputs, kinds, batch)
        reserve(new, os.path.getsize(new))
        os.replace(new, f"{path}.part")


def lay_out(new, request, outputs, kinds, batch):
    samples = request["samples"]
    with h5py.File(new, "w", locking="best-effort") as file:
        for name, rows in outputs.items():
            create_dataset(file, name, (samples,) + rows.shape[1:], rows.dtype)
            file[name].attrs["kind"] = kinds[name]
        if batch.labels is not None:
            create_dataset(file, "labels", (samples,), np.int64)
        file.attrs["creator"] = "eigenscope dump_activations"
        file.attrs["layers"] = np.array(list(outputs), dtype=h5py.string_dtype())
        file.attrs["request"] = json.dumps(request, sort_keys=True)
        file.attrs["samples"] = np.int64(samples)
        file.attrs["complete"] = np.int64(0)
        file.attrs["progress"] = np.zeros(1 + len(batch.tensors), dtype=np.int64)  # samples, then checksums


def open_part(path):
    try:
        return h5py.File(f"{path}.part", "r+", locking="best-effort")
    except BlockingIOError:
        raise DumpError(f"{path}.part: another dump is writing to it") from None
    except OSError as error:
        raise DumpError(f"{path}.part cannot be opened ({error}); remove it to start again") from None


def check_request(path, file, request):
    """True if the file was made by the same dump request."""
    there = json.loads(file.attrs["request"]) if "request" in file.attrs else {}
    for key in {**there, **request}:
        if there.get(key, "all") != request.get(key, "all"):  # files of older versions have all tokens
            raise DumpError(f"{path} exists, from a dump with {key} {there.get(key, 'all')}; this dump has {request.get(key, 'all')}; "
                            "remove the file "
                            "or choose another path")


def check_outputs(file, outputs):
    names = [name for name in file.attrs["layers"]]
    if names != list(outputs):
        raise DumpError(f"the model called {', '.join(outputs)} for a batch, and {', '.join(names)} for the batches before")
    for name, rows in outputs.items():
        if file[name].shape[1:] != rows.shape[1:]:
            raise DumpError(f"the output of {name} has shape {rows.shape[1:]} for a sample, and had {file[name].shape[1:]} before; "
                            "all samples must have the same shape (pad all sequences to one length, or store one vector for each "
                            "with `tokens`, as --tokens mean)")


def write_rows(file, done, skip, batch, outputs, checksums):
    """Writes a batch without its first `skip` samples; counts it after it was written."""
    end = done + batch.n - skip
    for name, rows in outputs.items():
        file[name][done:end] = rows[skip:]
    if batch.labels is not None:
        file["labels"][done:end] = batch.labels.cpu().numpy()[skip:]
    file.flush()
    file.attrs.modify("progress", np.array([end] + checksums, dtype=np.int64))  # in place
    file.flush()
    return end


def finish(path, file):
    """Marks the file complete, syncs it, and then renames it."""
    file.attrs.modify("complete", np.int64(1))
    file.close()
    part = f"{path}.part"
    for name in (part, os.path.dirname(os.path.abspath(path))):
        descriptor = os.open(name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if name == part:
            os.replace(part, path)
