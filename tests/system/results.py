"""Shared by tests of `run`: jobs of a second, and results compared variable by variable, bit by bit."""
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import h5py
import numpy as np

import harness

# Three epochs of two small networks. The last batch has 3 samples, so 5 of 8 lanes are empty; the last of eval has 4.
JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, seed: [0, 1]}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 20}}
train: {epochs: 3, batch: 16, learning_rate: 0.05, augment: [crop, flip]}
"""
# Attributes for place, time and manner of a run; all other attributes are results.
OF_THE_RUN = {"started", "elapsed_seconds", "ranks_per_point"}
DTYPES = {"F32": np.float32, "F64": np.float64, "F16": np.float16, "I32": np.int32, "I64": np.int64, "U8": np.uint8}


# ---- results ----

def variables(path):
    """{name: variable} of a result or merged file, without variables that differ in all runs."""
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file if name not in {"seconds", *OF_THE_RUN}}


def attributes(path):
    with h5py.File(path) as file:
        return {name: value for name, value in file.attrs.items() if not name.startswith("_")}


def same_bits(a, b):
    """True for equal type, shape and bits; any NaN equals any NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool(np.all(a == b))
    return bool(np.array_equal(np.isnan(a), np.isnan(b))) and np.nan_to_num(a).tobytes() == np.nan_to_num(b).tobytes()


def different(a, b):
    """Names of variables that differ between two dictionaries of arrays."""
    return sorted(set(a) ^ set(b)) + [name for name in a if name in b and not same_bits(a[name], b[name])]


def different_results(a, b):
    names = different(variables(a), variables(b))
    one, other = attributes(a), attributes(b)
    return names + [f"attribute {name}" for name in sorted(set(one) | set(other))
                    if name not in OF_THE_RUN and not np.array_equal(one.get(name), other.get(name))]


def power_law(values, last):
    """alpha-ReQ, as its authors' code: weighted normal equations over the values 4 to `last`."""
    if last < 7:
        return dict.fromkeys(("alpha_req", "alpha_req_r2", "alpha_req_last"), np.nan)
    i = np.arange(4, last + 1)
    x, y = np.stack([-np.log(i), np.ones(len(i))], axis=1), np.log(values[i - 1])
    fit = np.linalg.solve(x.T @ (x / i[:, None]), x.T @ (y / i))
    return {"alpha_req": fit[0], "alpha_req_r2": 1 - ((y - x @ fit) ** 2).sum() / ((y - y.mean()) ** 2).sum(), "alpha_req_last": last}


def quantities(values):
    """The quantities of results, computed from the eigenvalues of one layer."""
    shares = values[values > 0] / values.sum()
    roots = np.sqrt(values) / np.sqrt(values).sum() + 1e-7
    rank = int((values > values[0] * len(values) * np.finfo(np.float32).eps).sum())
    return {**power_law(values, min(rank, 100)), "numerical_rank": rank, "spectral_entropy": -(shares * np.log(shares)).sum(),
            "rankme": np.exp(-(roots * np.log(roots)).sum()),
            "trace": values.sum(), "effective_rank": np.exp(-(shares * np.log(shares)).sum()),
            "participation_ratio": 1 / (shares ** 2).sum(), "first_component_share": shares[0],
            "stable_rank": values.sum() / values.max()}


# ---- safetensors ----

def read_safetensors(path):
    """Reads (tensors by name, metadata)."""
    data = pathlib.Path(path).read_bytes()
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def write_safetensors(path, tensors, metadata):
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    header, offset = {"__metadata__": metadata}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": names[value.dtype], "shape": list(value.shape),
                        "data_offsets": [offset, offset + value.nbytes]}
        offset += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in tensors.values()))


def edit_metadata(path, **changes):
    """Changes a state as a foreign program would: without our hash."""
    tensors, metadata = read_safetensors(path)
    for own in ("writer", "xxh3"):
        del metadata[own]
    write_safetensors(path, tensors, {**metadata, **changes})


class Journal:
    """Reads the tensors of a journal; src/checkpoint/journal.c describes the format. Hashes are not checked."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self):
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def bytes(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def declare(self):
        name, dtype = (self.bytes(self.number()).decode() for _ in range(2))
        shape = [self.number() for _ in range(self.number())]
        row = self.number()
        tensor = np.empty(shape, DTYPES[dtype])
        tensor[...] = np.frombuffer(self.bytes(tensor.itemsize), tensor.dtype)[0]
        return name, tensor, tensor.reshape(-1, row)

    def read(self, tensors):
        number, runs = -1, []
        while self.at < len(self.data):
            step, kind = divmod(self.number(), 4)
            number += -(step // 2) if step % 2 else step // 2
            if kind == 0:
                tensors.append(self.declare())
            elif kind == 3:
                tensors[number] = (None, None, None)
            else:
                rows = tensors[number][2]
                if kind == 1:
                    runs, end = [], 0
                    for _ in range(self.number()):
                        first = end + self.number()
                        end = first + self.number()
                        runs.append((first, end))
                for first, end in runs:
                    size = rows[first:end].nbytes
                    rows[first:end] = np.frombuffer(self.bytes(size), rows.dtype).reshape(end - first, -1)


def read_state(path):
    """As read_safetensors, with the tensors of the journal."""
    tensors, metadata = read_safetensors(path)
    found = []
    for segment in metadata["journal"].split():
        name, length, _ = segment.split(":")
        data, at = (path.parent / name).read_bytes()[:int(length)], len("eigenscope journal 1\n")
        while at < len(data):
            size, = struct.unpack_from("<Q", data, at)
            Journal(data[at + 8:at + 8 + size]).read(found)
            at += size + 16
    return {**tensors, **{name: tensor for name, tensor, _ in found if name}}, metadata


# ---- what --verbose says ----

def efforts(text):
    """Columns by name, by kind of work, for each epoch in the order of lines."""
    found = []
    heading = None
    for line in text.splitlines():
        cells = re.split(r" {2,}", line.strip())
        if re.fullmatch(r"on \d+ ranks?", cells[0]):
            heading = cells[1:]
            found.append({})
        elif heading and line.startswith("  ") and cells[0] in ("train", "evaluate", "measure"):
            # Work without images has no images/s.
            missing = len(heading) - len(cells) + 1
            names = heading[:1] + heading[1 + missing:]
            found[-1][cells[0]] = dict(zip(names, cells[1:]))
        else:
            heading = None
    return found


# ---- processes ----

def children(pid):
    """All descendants of `pid`."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def session_of(pid):
    """All processes of a process with its own session, also orphans."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(") ")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


def ranks_of(pid):
    """Processes of the program below a launcher."""
    return [child for child in children(pid) if os.path.realpath(f"/proc/{child}/exe") == os.path.realpath(harness.PROGRAM)]


class Case(harness.Case):
    """A test that runs jobs and checks their results."""
    job = JOB
    always = ()  # options of every run
    undisturbed = None  # see use_whole; removed with the class

    def setUp(self):
        super().setUp()
        self.write("job.yaml", self.job)

    @classmethod
    def tearDownClass(cls):
        if cls.undisturbed is not None:
            shutil.rmtree(cls.undisturbed)
            cls.undisturbed = None

    def use_whole(self):
        """Puts the results of an uninterrupted run by one rank into "whole": once for all tests of a class."""
        cls = type(self)
        if cls.undisturbed is None:
            self.run_job("--quiet", output="whole")
            cls.undisturbed = tempfile.mkdtemp(prefix="eigenscope-whole-")
            shutil.copytree(self.folder / "whole", cls.undisturbed, dirs_exist_ok=True)
        else:
            (self.folder / "whole").symlink_to(cls.undisturbed)

    def run_job(self, *arguments, output="out", sets=(), **options):
        """Runs `eigenscope run job.yaml --output OUTPUT --set SET...`."""
        options_of_sets = [word for value in sets for word in ("--set", value)]
        return self.run_program("run", "job.yaml", "--output", output, *options_of_sets, *self.always, *arguments, **options)

    def start_job(self, *arguments, output="out", ranks=0):
        """Starts a run in the background in its own session; the end of the test kills all its processes."""
        command = [harness.PROGRAM, "run", "job.yaml", "--output", output, *self.always, *map(str, arguments)]
        if ranks:
            command = [*harness.MPIRUN, "-n", str(ranks), *command]
        # Files that a killed MPI leaves are removed with the folder of the test. Each run has its own place: one run could
        # remove a shared place under another.
        place = tempfile.mkdtemp(prefix="mpi-", dir=self.folder)
        environment = {f"OMPI_MCA_{name}": place for name in ("orte_tmpdir_base", "btl_vader_backing_directory",
                                                                     "osc_sm_backing_directory")}
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, **environment}, start_new_session=True)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.poll()
        for pid in session_of(process.pid):
            self.kill(pid)
        process.communicate()

    def kill(self, pid, number=signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def points(self, output="out"):
        """Result files by id."""
        return {path.stem: path for path in (self.folder / output / "points").glob("*.h5")}

    def files(self, output="out"):
        """Everything below the output folder, except rates.json, which every run writes."""
        return sorted(str(path.relative_to(self.folder / output)) for path in (self.folder / output).rglob("*")
                      if not path.is_dir() and path.name != "rates.json")

    def missing(self, output="out", expect=3):
        """Output of `status --missing`."""
        return self.run_program("status", "job.yaml", "--output", output, "--missing", expect=expect).stdout.strip()

    def wait_for(self, condition, process, seconds=60):
        """Waits until the condition holds, while the process runs."""
        end = time.monotonic() + seconds * (4 if harness.SANITIZED else 1)
        while not condition():
            if process.poll() is not None or time.monotonic() > end:
                self.fail(f"{'the run ended' if process.poll() is not None else 'nothing happened'} before "
                          f"{condition.__name__}: {process.communicate() if process.poll() is not None else ''}")
            time.sleep(0.002)

    def assert_same(self, a, b):
        """Checks that both folders hold the same points with equal bits, and the same weights."""
        one, other = self.points(a), self.points(b)
        self.assertTrue(one)
        self.assertEqual(sorted(one), sorted(other))
        for point, path in one.items():
            self.assertEqual(different_results(path, other[point]), [], f"point {point}: {a}, {b}")
        self.assert_same_weights(a, b)

    def assert_same_weights(self, a, b):
        one, other = ({path.name: path for path in (self.folder / output / "checkpoints").iterdir()} for output in (a, b))
        self.assertTrue(one)
        self.assertEqual(sorted(one), sorted(other))
        for name, path in one.items():
            mine, yours = read_safetensors(path), read_safetensors(other[name])
            self.assertEqual(different(mine[0], yours[0]), [], f"{name}: {a}, {b}")
            del mine[1]["xxh3"], yours[1]["xxh3"]
            self.assertEqual(mine[1], yours[1])

    def run_with_and_without(self, *keys):
        """Runs the job, on 1 and on 4 ranks with equal bits, and without keys whose value is true. Yields for each point its
        variables, and the names of those that only the keys bring; all others must keep their bits."""
        self.run_job("--quiet", output="one")
        self.run_job("--quiet", "--ranks-per-point", 4, output="four", ranks=4)
        self.assert_same("one", "four")
        self.run_job("--quiet", output="plain", sets=[f"{key}=false" for key in keys])
        plain = {attributes(path)["seed"]: variables(path) for path in self.points("plain").values()}
        for path in self.points("one").values():
            values, other = variables(path), plain[attributes(path)["seed"]]
            self.assertEqual(different({name: values[name] for name in other}, other), [])
            yield values, set(values) - set(other)
