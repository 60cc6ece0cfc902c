"""Packs a job as an RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), and checks one. Needs h5py only."""
import datetime
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

import h5py

from .errors import SchemaError

METADATA, CHECKSUMS, MERGED, SEARCH = "ro-crate-metadata.json", "checksums.sha256", "results.h5", "search.json"
PROFILE = "https://w3id.org/ro/crate/1.1"
HDF5 = "application/x-hdf5"
VERSIONS = ("compiler", "mpi", "hdf5", "blas", "onednn", "scalapack")  # root attributes of a result
NO_LICENSE = "#no-license"


# ---- writing ----

class Crate:
    """A crate under construction in a folder."""

    def __init__(self, folder):
        self.folder, self.files, self.entities = folder, [], []

    def add(self, source, name, text, kind, **more):
        """Copies a file into the crate and describes it."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source != target:
            shutil.copyfile(source, target)
        self.files.append({"@id": name, "@type": "File", "name": pathlib.PurePosixPath(name).name, "description": text,
                           "encodingFormat": kind, "contentSize": str(target.stat().st_size), "sha256": digest(target.open("rb")), **more})

    def write(self, root):
        lines = "".join(f"{file['sha256']}  {file['@id']}\n" for file in self.files)
        (self.folder / CHECKSUMS).write_text(lines)
        self.add(self.folder / CHECKSUMS, CHECKSUMS, "SHA-256 of every file, for sha256sum -c", "text/plain")
        descriptor = {"@id": METADATA, "@type": "CreativeWork", "conformsTo": {"@id": PROFILE}, "about": {"@id": "./"}}
        root["hasPart"] = [{"@id": file["@id"]} for file in self.files]
        entities = [descriptor, root, *self.files, *self.entities]
        # The context of version 1.1 has no sha256.
        graph = {"@context": [f"{PROFILE}/context", {"sha256": "https://schema.org/sha256"}],
                 "@graph": [{name: compact(value) for name, value in entity.items()} for entity in entities]}
        (self.folder / METADATA).write_text(json.dumps(graph, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def compact(value):
    """A list of one as its element, as RO-Crate recommends."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def digest(file):
    """SHA-256 of an open file, which is closed."""
    with file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
        return found.hexdigest()


def call(program, command, job, arguments, *options, codes=(0, 2, 3)):
    done = subprocess.run([program, command, job, *arguments, *options], capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        lines = done.stderr.strip().splitlines()
        raise SchemaError(lines[-1].removeprefix("eigenscope: ") if lines else f"eigenscope {command} ended with code {done.returncode}")
    return done


def attributes(path):
    """Root attributes of a result that are texts."""
    try:
        with h5py.File(path) as file:
            return {name: value for name, value in file.attrs.items() if isinstance(value, str)}
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error}") from error


def find_results(output, points):
    """[(point, path)] of the points that have a result."""
    found = []
    for point in points:
        if point["outcome"] in ("complete", "diverged", "stopped"):
            below = pathlib.Path(output) / "points"
            path = below / f"{point['id']}.h5"
            found.append((point, path if path.is_file() else below / point["id"][:2] / path.name))
    return found


def add_software(crate, results):
    """Describes the program and its libraries, by the attributes of the results; returns the id of the run."""
    versions, begun = {}, []
    for _, path in results:
        facts = attributes(path)
        begun.append(facts.get("started", ""))
        key = (facts.get("version", ""), facts.get("revision", facts.get("git_revision", "")))
        versions.setdefault(key, set()).update(f"{name} {facts[name]}" for name in VERSIONS if facts.get(name))
    programs = []
    for i, ((version, revision), libraries) in enumerate(sorted(versions.items())):
        name = f"#eigenscope-{i}"
        needs = []
        for library in sorted(libraries):
            part = f"#library-{len([e for e in crate.entities if e['@id'].startswith('#library-')])}"
            crate.entities.append({"@id": part, "@type": "SoftwareApplication", "name": library})
            needs.append({"@id": part})
        entity = {"@id": name, "@type": "SoftwareApplication", "name": "eigenscope", "softwareVersion": f"{version} ({revision})"}
        crate.entities.append({**entity, "softwareRequirements": needs} if needs else entity)
        programs.append({"@id": name})
    run = {"@id": "#run", "@type": "CreateAction", "name": "eigenscope run", "instrument": programs, "object": [{"@id": "job.yaml"}],
           "result": [{"@id": file["@id"]} for file in crate.files if file["encodingFormat"] == HDF5]}
    if any(begun):
        run["startTime"] = min(time for time in begun if time)
    crate.entities.append(run)
    return run["@id"]


def fill(crate, program, job, arguments, status, license_url, authors):
    results = find_results(status["output"], status["points"])
    if not results:
        raise SchemaError(f"{job}: no point has a result in {status['output']}/points; run it first")
    crate.add(pathlib.Path(job), "job.yaml", "the job file as it was written", "application/yaml")
    with tempfile.TemporaryDirectory() as folder:
        call(program, "plan", job, arguments, "--resolved", folder, codes=(0,))
        resolved, = pathlib.Path(folder).glob("job-*.yaml")
        crate.add(resolved, "job-resolved.yaml", "the job with all settings, as it was run", "application/yaml")
    for point, path in results:
        axes = ", ".join(f"{name} {value}" for name, value in point["axes"].items())
        crate.add(path, f"points/{path.name}", f"results of point {point['index']} ({axes}), {point['outcome']}", HDF5)
        features = path.with_name(f"{path.stem}.features.h5")
        if features.is_file():
            crate.add(features, f"points/{features.name}", f"features of point {point['index']}, for eigenscope similarity", HDF5)
    call(program, "merge", job, arguments, "--to", str(crate.folder / MERGED))
    crate.add(crate.folder / MERGED, MERGED, "all results in one file", HDF5)
    search = pathlib.Path(status["output"]) / SEARCH
    if search.is_file():
        crate.add(search, SEARCH, "what the search decided", "application/json")
    run = add_software(crate, results)
    root = {"@id": "./", "@type": "Dataset", "name": status["job"], "datePublished": datetime.date.today().isoformat(),
            "description": f"Results of the eigenscope job {status['job']}: {len(results)} of {len(status['points'])} points. Eigenspaces "
                           "and saturation of the layers of neural networks.",
            "license": {"@id": license_url or NO_LICENSE}, "mentions": [{"@id": run}]}
    if authors:
        root["author"] = [{"@id": f"#author-{i}"} for i in range(len(authors))]
        crate.entities += [{"@id": f"#author-{i}", "@type": "Person", "name": name} for i, name in enumerate(authors)]
    crate.entities.append({"@id": license_url or NO_LICENSE, "@type": "CreativeWork", "name": license_url or "no licence is stated",
                           "description": "the licence of the data" if license_url else "The authors have not chosen a licence: ask them "
                           "before you use the data."})
    crate.write(root)
    return len(results)


def pack(folder, target):
    """Writes the files of a folder into an archive, in order of their names and with equal times, so that equal files give equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as out:
                shutil.copyfileobj(source, out, 1 << 20)


def url_of(licence):
    """The URL of a licence: itself, or that of an SPDX id; None for None."""
    if licence is None or re.fullmatch(r"https?://\S+", licence):
        return licence
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", licence):
        return f"https://spdx.org/licenses/{licence}"
    raise SchemaError(f"--license {licence!r}: is neither a URL nor an SPDX id, as https://creativecommons.org/licenses/by/4.0/ or CC-BY-4.0")


def write(program, job, to, arguments=(), licence=None, authors=()):
    """Writes a crate into the folder or .zip file `to`, which appears whole or not at all. Returns the exit code of `status`."""
    to, license_url = pathlib.Path(to), url_of(licence)
    if not all(name.strip() for name in authors):
        raise SchemaError("--author: the name is empty; give a name, as \"Ada Lovelace\", or leave the option out")
    if to.exists():
        raise SchemaError(f"--ro-crate {to}: exists; choose another name, or remove it")
    done = call(program, "status", job, arguments, "--saved", "--format", "json")
    status = json.loads(done.stdout)
    to.parent.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(prefix=f"{to.name}.", suffix=".part", dir=to.parent))
    try:
        crate = Crate(part / "crate")
        crate.folder.mkdir()
        n = fill(crate, program, job, list(arguments), status, license_url, authors)
        if to.suffix == ".zip":
            pack(crate.folder, part / "crate.zip")
            os.replace(part / "crate.zip", to)
        else:
            os.replace(crate.folder, to)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"wrote {to}: {n} of {len(status['points'])} points, {len(crate.files)} files with SHA-256")
    return done.returncode


# ---- checking ----

class Files:
    """The files of a crate: of a folder, or of a .zip file."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.archive = zipfile.ZipFile(path) if self.path.is_file() else None

    def names(self):
        if self.archive is not None:
            return {name for name in self.archive.namelist() if not name.endswith("/")}
        return {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()}

    def open(self, name):
        return self.archive.open(name) if self.archive is not None else (self.path / name).open("rb")


def check(path):
    """Compares the files of a crate with its checksums; prints what differs. Returns 0, or 2 if something differs."""
    if not pathlib.Path(path).exists():
        raise SchemaError(f"{path}: does not exist; --check needs the folder or the .zip file of a crate")
    try:
        files = Files(path)
        names = files.names()
        if METADATA not in names:
            raise SchemaError(f"{path}: is no crate of eigenscope export: it has no {METADATA}")
        with files.open(METADATA) as file:
            graph = json.load(file)["@graph"]
        listed = {entity["@id"]: entity["sha256"] for entity in graph if entity.get("@type") == "File" and "sha256" in entity}
    except SchemaError:
        raise
    except zipfile.BadZipFile as error:
        raise SchemaError(f"{path}: is no crate of eigenscope export: neither a folder nor a whole .zip file") from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(f"{path}: is no crate of eigenscope export: {METADATA} is damaged or cannot be read") from error
    problems = [f"{name}: is missing" for name in listed if name not in names]
    for name in sorted(names & set(listed)):
        try:
            if digest(files.open(name)) != listed[name]:
                problems.append(f"{name}: has changed: its SHA-256 is not the one in {METADATA}")
        except (OSError, zipfile.BadZipFile) as error:
            problems.append(f"{name}: cannot be read: {error}")
    problems += [f"{name}: is not listed in {METADATA}" for name in sorted(names - set(listed) - {METADATA})]
    for problem in problems:
        print(f"eigenscope_analysis: {path}: {problem}", file=sys.stderr)
    print(f"{path}: {len(listed)} files are listed, {len(problems)} problem{'' if len(problems) == 1 else 's'}")
    return 2 if problems else 0
