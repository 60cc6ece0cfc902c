"""eigenscope export: an RO-Crate with checksums, made from a real sweep; changes that --check must name."""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from conftest import run_program
from eigenscope_analysis import SchemaError, crate

LICENSE = "https://creativecommons.org/licenses/by/4.0/"


def entities(folder):
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())
    return {entity["@id"]: entity for entity in graph["@graph"]}


@pytest.fixture(scope="module")
def packed(small):
    run_program("export", "job.yaml", "--ro-crate", "crate", "--license", LICENSE, "--author", "Ada", "--author", "Bob", cwd=small,
                EIGENSCOPE_PYTHON=sys.executable)
    return small / "crate"


def test_content(small, packed):
    found = entities(packed)
    root = found["./"]
    files = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()} - {"ro-crate-metadata.json"}
    assert {part["@id"] for part in root["hasPart"]} == files
    assert {name for name in files if name.startswith("points/")} == {f"points/{path.name}" for path in (small / "out/points").glob("*.h5")}
    for name in files:
        data = (packed / name).read_bytes()
        assert found[name]["sha256"] == hashlib.sha256(data).hexdigest() and found[name]["contentSize"] == str(len(data))
    assert (packed / "job.yaml").read_bytes() == (small / "job.yaml").read_bytes()
    assert root["license"] == {"@id": LICENSE} and [found[author["@id"]]["name"] for author in root["author"]] == ["Ada", "Bob"]
    assert found["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    program = found[found["#run"]["instrument"]["@id"]]
    version = run_program("--version", cwd=small).stdout
    assert program["softwareVersion"].split(" ")[0] in version
    assert any(found[part["@id"]]["name"].startswith("hdf5 ") for part in program["softwareRequirements"])
    assert subprocess.run(["sha256sum", "--quiet", "-c", "checksums.sha256"], cwd=packed, check=False).returncode == 0
    # The resolved job defines the same points.
    points = json.loads(run_program("plan", packed / "job-resolved.yaml", "--format", "json", cwd=small).stdout)["points"]
    assert {f"points/{point['id']}.h5" for point in points} <= files


def test_check(packed, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(packed, folder)
    assert run_program("export", "--check", folder, cwd=tmp_path, EIGENSCOPE_PYTHON=sys.executable).stderr == ""
    result = sorted((folder / "points").iterdir())[0]
    data = bytearray(result.read_bytes())
    data[100] ^= 1
    result.write_bytes(data)
    (folder / "results.h5").unlink()
    (folder / "points/more.h5").write_text("more")
    done = run_program("export", "--check", folder, cwd=tmp_path, expect=2, EIGENSCOPE_PYTHON=sys.executable)
    prefix = f"eigenscope_analysis: {folder}: "
    assert done.stderr.splitlines() == [
        f"{prefix}results.h5: is missing", f"{prefix}points/{result.name}: has changed: its SHA-256 is not the one in ro-crate-metadata.json",
        f"{prefix}points/more.h5: is not listed in ro-crate-metadata.json"]
    assert done.stdout == f"{folder}: {len(entities(folder)['./']['hasPart'])} files are listed, 3 problems\n"
    (folder / "ro-crate-metadata.json").write_text("{")
    assert "is no crate of eigenscope export" in run_program("export", "--check", folder, cwd=tmp_path, expect=1,
                                                              EIGENSCOPE_PYTHON=sys.executable).stderr


def test_archive(small, packed, tmp_path):
    archives = [tmp_path / f"{name}.zip" for name in "ab"]
    for archive in archives:
        crate.write(run_path(), str(small / "job.yaml"), archive, ["--output", str(small / "out")])
        assert crate.check(archive) == 0
    with zipfile.ZipFile(archives[0]) as one, zipfile.ZipFile(archives[1]) as other:
        assert one.namelist() == other.namelist() and "results.h5" in one.namelist()
        assert b'"@id": "#no-license"' in one.read("ro-crate-metadata.json")
    with zipfile.ZipFile(archives[0]) as whole, zipfile.ZipFile(tmp_path / "less.zip", "w") as less:
        for name in whole.namelist():
            if name != "job.yaml":
                less.writestr(name, whole.read(name))
    assert crate.check(tmp_path / "less.zip") == 2
    assert list(tmp_path.glob("*.part")) == []


def run_path():
    import os
    return os.environ["EIGENSCOPE"]


def test_refusals(small, packed, tmp_path):
    with pytest.raises(SchemaError, match="exists; choose another name, or remove it"):
        crate.write(run_path(), str(small / "job.yaml"), packed)
    with pytest.raises(SchemaError, match="no point has a result in .*; run it first"):
        crate.write(run_path(), str(small / "job.yaml"), tmp_path / "c", ["--output", str(tmp_path)])
    with pytest.raises(SchemaError, match="none.yaml"):
        crate.write(run_path(), str(tmp_path / "none.yaml"), tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
    for arguments, message in ((("job.yaml",), "--ro-crate FOLDER|FILE.zip is missing"), ((), "a job is missing"),
                               (("job.yaml", "--check", "x"), "--check needs neither a job nor --ro-crate"),
                               (("--check", "x"), "x: does not exist; --check needs the folder or the .zip file of a crate\n"),
                               (("--check", "out"), "out: is no crate of eigenscope export: it has no ro-crate-metadata.json\n"),
                               (("job.yaml", "--ro-crate", "y", "--author", ""), "--author: the name is empty"),
                               (("job.yaml", "--ro-crate", "y", "--license", "my own"), "--license 'my own': is neither a URL nor an SPDX id")):
        assert message in run_program("export", *arguments, cwd=small, expect=1, EIGENSCOPE_PYTHON=sys.executable).stderr


def test_missing_points(small, tmp_path):
    """Points without a result are left out; the exit code is that of status. What a search decided is in the crate; an SPDX id is a licence."""
    shutil.copytree(small / "out", tmp_path / "out")
    sorted((tmp_path / "out/points").iterdir())[0].unlink()
    (tmp_path / "out/search.json").write_text("{}")
    assert crate.write(run_path(), str(small / "job.yaml"), tmp_path / "c", ["--output", str(tmp_path / "out")], "MIT") == 3
    root = entities(tmp_path / "c")["./"]
    assert "7 of 8 points" in root["description"] and root["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    assert (tmp_path / "c/search.json").read_text() == "{}" and {"@id": "search.json"} in root["hasPart"]


def test_validators(packed):
    """PyPI's roc-validator 0.13 needs the context of RO-Crate from the network; rocrate has it."""
    rocrate = pytest.importorskip("rocrate")
    module = pytest.importorskip("rocrate.rocrate")
    assert len(module.ROCrate(packed).data_entities) == len(entities(packed)["./"]["hasPart"])
    services = pytest.importorskip("rocrate_validator.services")
    from rocrate_validator import models
    from rocrate_validator.utils import http
    text = (pathlib.Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text()

    class Reply:
        status_code, content, ok, headers, url = 200, text.encode(), True, {"Content-Type": "application/ld+json"}, ""

        def json(self):
            return json.loads(text)

        def raise_for_status(self):
            pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http.HttpRequester, "get", lambda *_, **__: Reply(), raising=False)
        patch.setattr(http.HttpRequester, "head", lambda *_, **__: Reply(), raising=False)
        result = services.validate(services.ValidationSettings(rocrate_uri=str(packed), profile_identifier="ro-crate-1.1",
                                                               requirement_severity=models.Severity.REQUIRED))
    assert result.passed(), [issue.message for issue in result.get_issues()]
