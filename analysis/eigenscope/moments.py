"""The file of moments: one part for each process, records appended at the end of each epoch (analysis/README.md)."""
import contextlib
import errno
import fcntl
import os
import re
import uuid
import warnings
import weakref

import h5py
import numpy as np

from .sums import chan

FORMAT, VERSION = "eigenscope moments", 1
SPLITS = ("train", "eval")
CHUNK = 1 << 24  # most numbers in a chunk
OF_CLASSES = ("class_rows", "class_mean", "class_moment")


class MomentsError(Exception):
    """What is wrong with moments, as one sentence."""


def part_path(path, part, parts):
    """The file of a part: PATH itself for one part, else PATH with .part<i>-of-<n> before its ending."""
    stem, ending = os.path.splitext(os.fspath(path))
    return os.fspath(path) if parts == 1 else f"{stem}.part{part}-of-{parts}{ending}"


def parts_there(path):
    """{number of parts: the first file of them} of the files at or beside PATH."""
    stem, ending = os.path.splitext(os.path.basename(os.fspath(path)))
    folder = os.path.dirname(os.fspath(path))
    pattern = re.compile(re.escape(stem) + r"\.part\d+-of-(\d+)" + re.escape(ending))
    found = {1: os.fspath(path)} if os.path.exists(path) else {}
    for name in sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else ():
        if match := pattern.fullmatch(name):
            found.setdefault(int(match[1]), os.path.join(folder, name))
    return found


def pack(matrix):
    """Lower triangle by rows: element (i, j ≤ i) at i(i+1)/2 + j."""
    return matrix[np.tril_indices(len(matrix))]


def unpack(triangle, width):
    matrix = np.zeros((width, width))
    matrix[np.tril_indices(width)] = triangle
    return matrix + np.tril(matrix, -1).T


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def grow(group, name, shape, dtype, fill=None):
    """A dataset of records, none yet."""
    size = max(1, int(np.prod(shape)))
    chunk = (1,) + shape if size <= CHUNK else (1,) + (1,) * len(shape[:-1]) + (min(shape[-1], CHUNK),)
    if not shape:
        chunk = (64,)
    group.create_dataset(name, (0,) + shape, dtype, maxshape=(None,) + shape, chunks=chunk, fillvalue=fill)


def lock(path):
    """Locks a file and returns it open, None if somebody else holds the lock. The lock ends when the file is closed."""
    while True:
        file = open(path, "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # a file system without locks
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # its owner removed it meanwhile


class Writer:
    """Appends records to one part. Killed at any moment, the file holds the records that were complete: it is written in
    HDF5's mode for one writer and many readers (SWMR), which keeps the order of writes."""
    here = weakref.WeakSet()  # writers of this process

    def __init__(self, path, part=0, parts=1, run=None, anew=False):
        if parts is None or not 0 <= part < parts or (parts > 1 and not run):
            raise MomentsError(f"part is {part}, parts {parts} and run {run!r}; part must be from 0 to parts - 1, and run a text that "
                               "all parts share")
        self.path, self.part, self.parts, self.run = part_path(path, part, parts), part, parts, run or uuid.uuid4().hex
        self.file, self.layers, self.place = None, None, os.path.abspath(self.path)
        self.earlier = 0  # records of earlier writers
        try:
            os.makedirs(os.path.dirname(self.place), exist_ok=True)
            self.lock = lock(f"{self.path}.lock")
        except OSError as error:
            raise MomentsError(f"{self.path} cannot be written: {error}") from None
        if self.lock is None:
            if any(writer.place == self.place and writer.lock is not None for writer in self.here):
                raise MomentsError(f"{self.path}: another tracker of this process is writing this part; call its close() first")
            raise MomentsError(f"{self.path}: another process is writing this part; processes of one run need "
                               "torch.distributed before Tracker(...), or part, parts and run")
        self.here.add(self)
        try:
            for other, file in parts_there(path).items():
                if other != parts:
                    raise MomentsError(f"{file} is of a run of {other} process{'es' if other > 1 else ''}, and this run has {parts}; choose "
                                       "another file, or move the old ones away")
            if os.path.exists(self.path):
                os.remove(self.path) if anew else self.resume()
        except (OSError, RuntimeError) as error:
            self.close()
            raise MomentsError(f"{self.path} cannot be written: {reason(error)}") from None
        except BaseException:
            self.close()
            raise

    def resume(self):
        """Continues a file; a copy takes the complete records, because a killed writer leaves marks."""
        new = f"{self.path}.new"
        with opened(self.path) as old:
            check(self.path, old)
            if (int(old.attrs["part"]), int(old.attrs["parts"])) != (self.part, self.parts):
                raise MomentsError(f"{self.path} is part {int(old.attrs['part'])} of {int(old.attrs['parts'])}, not "
                                   f"{self.part} of {self.parts}; choose another file")
            self.run = text(old.attrs["run"])
            layers = [(text(old[f"layers/{i:04}"].attrs["name"]), text(old[f"layers/{i:04}"].attrs["kind"]),
                       int(old[f"layers/{i:04}"].attrs["width"])) for i in range(len(old["layers"]))]
            records = [i for i, done in enumerate(old["complete"]) if done]
            self.create(new, layers, old["labels"].shape[1] if "labels" in old else 0,
                        old["layers/0000/class_rows"].shape[1] if "class_rows" in old["layers/0000"] else 0,
                        old["layers/0000/lane_moment"].shape[1] if "lane_moment" in old["layers/0000"] else 0)
            for record in records:
                self.begin(int(old["epoch"][record]), int(old["split"][record]))
                names = (("rows", "mean", "moment") + (("features",) if self.probes else ()) + (OF_CLASSES if self.classes else ())
                         + (("lane_moment",) if self.lanes else ()))
                for i in range(len(layers)):
                    for name in names:
                        self.put(f"layers/{i:04}/{name}", old[f"layers/{i:04}/{name}"][record])
                if self.probes:
                    self.put("labels", old["labels"][record])
                self.end(float(old["loss"][record]), float(old["accuracy"][record]))
        os.replace(new, self.path)
        self.earlier = len(records)

    def forget_later(self, epoch, split):
        """Removes later epochs that an earlier run has measured in this split: this run trains from here on again."""
        epochs, splits, complete = (self.file[name] for name in ("epoch", "split", "complete"))
        later = [i for i in range(self.earlier) if complete[i] and splits[i] == split and epochs[i] > epoch]
        for i in later:
            complete[i] = 0
        if later:
            complete.flush()
            numbers = sorted({int(epochs[i]) for i in later})
            warnings.warn(f"{self.path}: epoch {epoch} of {SPLITS[split]} is measured again, so epoch{'s' if len(numbers) > 1 else ''} "
                          f"{', '.join(map(str, numbers))} of an earlier run {'are' if len(numbers) > 1 else 'is'} removed", stacklevel=5)

    def create(self, path, layers, probes=0, classes=0, lanes=0):
        self.file = h5py.File(path, "w", libver=("v110", "v110"), locking=False)
        f, self.layers = self.file, list(layers)
        f.attrs["format"], f.attrs["format_version"] = FORMAT, np.int32(VERSION)
        f.attrs["part"], f.attrs["parts"], f.attrs["run"] = np.int32(self.part), np.int32(self.parts), self.run
        f.attrs["creator"] = "eigenscope.Tracker 0.1.0"
        for name, dtype, fill in (("epoch", "i4", -1), ("split", "u1", 0), ("complete", "u1", 0), ("loss", "f8", np.nan),
                                  ("accuracy", "f8", np.nan)):
            grow(f, name, (), dtype, fill)
        self.probes, self.classes, self.lanes = probes, classes, lanes
        if probes:
            grow(f, "labels", (probes,), "i4", -1)
        f.create_group("layers")
        for i, (name, kind, width) in enumerate(self.layers):
            group = f.create_group(f"layers/{i:04}")
            group.attrs["name"], group.attrs["kind"], group.attrs["width"] = name, kind, np.int32(width)
            grow(group, "rows", (), "i8")
            grow(group, "mean", (width,), "f8")
            grow(group, "moment", (width * (width + 1) // 2,), "f8")
            if probes:
                grow(group, "features", (probes, width), "f4", np.nan)
            if classes:
                grow(group, "class_rows", (classes,), "i8")
                grow(group, "class_mean", (classes, width), "f8")
                grow(group, "class_moment", (classes, width * (width + 1) // 2), "f8")
            if lanes:
                grow(group, "lane_moment", (lanes, width * (width + 1) // 2), "f8")
        f.flush()
        f.swmr_mode = True
        self.record = -1

    def put(self, name, value, *index):
        dataset = self.file[name]
        if len(dataset) <= self.record:
            dataset.resize(self.record + 1, axis=0)
        dataset[(self.record, *index)] = value
        dataset.flush()  # fails where the disk is full; HDF5 loses what it cannot write when the dataset is closed

    def reserve(self):
        """Reserves the disk's place for a record, or fails: HDF5 may crash when it closes a file that it could not write."""
        groups = self.file, *self.file["layers"].values()
        sets = [item for group in groups for item in group.values() if isinstance(item, h5py.Dataset)]
        need = sum(int(np.prod(one.chunks if one.ndim == 1 else one.shape[1:])) * one.dtype.itemsize + 4096 for one in sets)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.file.id.get_vfd_handle(), self.file.id.get_filesize(), need)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                self.cut()
                raise

    def cut(self):
        """Cuts off what reserve() took and HDF5 does not use."""
        os.ftruncate(self.file.id.get_vfd_handle(), self.file.id.get_filesize())

    def begin(self, epoch, split):
        self.reserve()
        self.record += 1
        self.put("complete", 0)
        self.put("epoch", epoch)
        self.put("split", split)

    def end(self, loss=np.nan, accuracy=np.nan):
        self.put("loss", loss)
        self.put("accuracy", accuracy)
        self.sync()
        self.put("complete", 1)
        self.cut()
        self.sync()

    def sync(self):
        self.file.flush()
        os.fsync(self.file.id.get_vfd_handle())

    def append(self, epoch, split, layers, sums, probes=0, samples=(), classes=0, by_class=(), lanes=0, by_lane=()):
        """Appends a record. layers: [(name, kind, width)], sums: [(rows, mean, moment)]; names and widths never change.
        samples: [Sample or None] of at most `probes` samples. by_class: [ClassSums or None] of `classes` classes. by_lane: for each
        layer the sums of `lanes` lanes."""
        try:
            if self.file is None:
                self.create(f"{self.path}.new", layers, probes, classes, lanes)
                os.replace(f"{self.path}.new", self.path)
            if [(name, width) for name, _, width in layers] != [(name, width) for name, _, width in self.layers]:
                raise MomentsError(f"{self.path} has the layers {names(self.layers)}; this epoch has {names(layers)}")
            if probes != self.probes:
                raise MomentsError(f"{self.path} keeps {self.probes} samples for probes, not {probes}; choose another file")
            if classes != self.classes:
                raise MomentsError(f"{self.path} keeps sums of {self.classes} classes, not {classes}; choose another file")
            if lanes != self.lanes:
                raise MomentsError(f"{self.path} keeps {self.lanes} lanes, not {lanes}; choose another file")
            self.forget_later(epoch, SPLITS.index(split))
            self.begin(epoch, SPLITS.index(split))
            if probes:
                self.put_samples(samples)
            for i, (rows, mean, moment) in enumerate(sums):
                self.put(f"layers/{i:04}/rows", rows)
                self.put(f"layers/{i:04}/mean", mean)
                self.put(f"layers/{i:04}/moment", pack(moment))
            for i, layer in enumerate(by_lane if lanes else ()):
                for lane, (_, _, moment) in enumerate(layer):
                    self.put(f"layers/{i:04}/lane_moment", pack(moment), lane)
            for i, layer in enumerate(by_class if classes else ()):
                self.put_classes(f"layers/{i:04}", layer, self.layers[i][2])
            self.end()
        except (OSError, RuntimeError) as error:
            raise MomentsError(f"{self.path} cannot be written: {reason(error)}") from None

    def put_classes(self, group, layer, width):
        """Sums of each class; zeros for a layer that has none. One class at a time, because a class is as large as all rows."""
        empty = 0, np.zeros(width), np.zeros((width, width))
        for label in range(self.classes):
            for name, value in zip(OF_CLASSES, layer.sums[label].state() if layer is not None else empty):
                self.put(f"{group}/{name}", pack(value) if name == "class_moment" else value, label)

    def put_samples(self, samples):
        """Labels of all layers, and each layer's features; a layer without features of these samples has NaN."""
        known = next((sample for sample in samples if sample is not None and len(sample.labels)), None)
        labels = np.full(self.probes, -1, np.int32)
        if known is not None:
            labels[:len(known.labels)] = known.labels
        self.put("labels", labels)
        for i, sample in enumerate(samples):
            features = np.full((self.probes, self.layers[i][2]), np.nan, np.float32)
            if known is not None and sample is not None and np.array_equal(sample.index, known.index):
                features[:len(sample.labels)] = sample.features
            self.put(f"layers/{i:04}/features", features)

    def log(self, values):
        """Adds values of loss and accuracy to the last record."""
        if self.file is None or self.record < 0:
            raise MomentsError("log() comes after the epoch that it belongs to")
        for name, value in values.items():
            self.put(name, value)
        self.sync()

    def close(self):
        if self.file is not None:
            self.file.close()
            self.file = None
        if self.lock is not None:
            with contextlib.suppress(OSError):
                os.remove(f"{self.path}.lock")
            self.lock.close()
            self.lock = None


def names(layers):
    return ", ".join(f"{name} ({width})" for name, _, width in layers)


def reason(error):
    words = str(error)
    return re.sub(r".*error message = '([^']*)'.*", r"\1", words, flags=re.S) if "error message" in words else words


def opened(path):
    """A file of moments, also of a writer that was killed or still writes."""
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as first:
        with contextlib.suppress(OSError):
            return h5py.File(path, "r", swmr=True, locking=False)
        raise MomentsError(f"{path} cannot be opened: {reason(first)}") from None


def check(path, file):
    if text(file.attrs.get("format", "")) != FORMAT:
        raise MomentsError(f"{path} is no file of moments: its root attribute format is not \"{FORMAT}\"")
    if int(file.attrs["format_version"]) > VERSION:
        raise MomentsError(f"{path} has version {int(file.attrs['format_version'])} of the format, newer than {VERSION}")


def run_of(path):
    """The run that a part belongs to; None without such a file."""
    with contextlib.suppress(MomentsError, KeyError):
        if os.path.exists(path):
            with opened(path) as file:
                return text(file.attrs["run"])
    return None


def read(path, classes=False):
    """{(epoch, split): {layer: (rows, mean, covariance)}} of all parts of a file. A missing part is named. With `classes`, a layer is
    a list of such triples, one for each class."""
    there = list(parts_there(path).values())
    if not there:
        raise MomentsError(f"{path} does not exist")
    if len(there) > 1:
        raise MomentsError(f"{there[0]} and {there[1]} are of runs with other numbers of processes; move one of them away")
    first = there[0]
    with opened(first) as file:
        check(first, file)
        parts, run = int(file.attrs["parts"]), text(file.attrs["run"])
    merged = {}
    for part in range(parts):
        place = part_path(path, part, parts)
        if not os.path.exists(place):
            raise MomentsError(f"{place} does not exist: part {part} of {parts} is missing")
        with opened(place) as file:
            check(place, file)
            if text(file.attrs["run"]) != run:
                raise MomentsError(f"{place} belongs to another run than {first}")
            if classes and "class_rows" not in file["layers/0000"]:
                raise MomentsError(f"{place} has no sums of classes; write them with Tracker(classes=...)")
            add_part(merged, file, OF_CLASSES if classes else ("rows", "mean", "moment"))
    complete = {key: layers for key, (layers, found) in merged.items() if len(found) == parts}
    ready = {key: {name: [(n, mean, moment / n if n else moment) for n, mean, moment in sums] for name, sums in layers.items()}
             for key, layers in complete.items()}
    return ready if classes else {key: {name: sums[0] for name, sums in layers.items()} for key, layers in ready.items()}


def add_part(merged, file, names):
    part = int(file.attrs["part"])
    last = {}
    for record, done in enumerate(file["complete"][:]):
        if done:  # the last record of an epoch counts: it was measured again after a restart
            last[int(file["epoch"][record]), SPLITS[int(file["split"][record])]] = record
    for key, record in last.items():
        layers, found = merged.setdefault(key, ({}, set()))
        found.add(part)
        for i in range(len(file["layers"])):
            group = file[f"layers/{i:04}"]
            width, name = int(group.attrs["width"]), text(group.attrs["name"])
            rows, means, triangles = (np.atleast_1d(group[one][record]) for one in names)
            new = [(int(n), mean, unpack(triangle, width)) for n, mean, triangle in zip(rows, np.atleast_2d(means), np.atleast_2d(triangles))]
            layers[name] = new if name not in layers else [chan(*pair) for pair in zip(layers[name], new)]


def count(values, delta):
    """The smallest k whose eigenvalues (descending) sum to the share delta, as in DESIGN.md."""
    values = np.maximum(values, 0.0)
    total = values.sum()
    return int(np.searchsorted(np.cumsum(values), delta * total) + 1) if total > 0 else 0


def saturation(rows, moment, delta):
    """k/width of a second moment; NaN without rows or with NaN."""
    if rows == 0 or not np.isfinite(moment).all():
        return float("nan")
    return min(count(np.linalg.eigvalsh(moment)[::-1], delta), len(moment)) / len(moment)
