"""watch: the page while a job runs, by a program in place of eigenscope that says what it is told."""
import json
import pathlib
import re
import sys

import handmade
import pytest

from eigenscope_analysis import SchemaError, watch
from eigenscope_analysis.__main__ import main

LIVE = {"state": "running", "epoch": 2, "step": 30, "steps": 90, "images_per_s": 812.4, "loss": 1.25, "accuracy": None, "saturation": 0.25,
        "point_left_s": 3700.0, "run_left_s": None, "age_s": 2.0, "ranks": 4, "host": "node<1>"}
PROGRAM = """\
#!{python}
import json, pathlib, shutil, sys
folder = pathlib.Path(__file__).parent
with open(folder / "calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "merge":
    shutil.copy(folder / "hand.h5", sys.argv[sys.argv.index("--to") + 1])
    sys.exit(3)
answers = sorted(folder.glob("status-*"))
status = json.loads(answers[0].read_text())
if len(answers) > 1:
    answers[0].unlink()
if "error" in status:
    print(status["error"], file=sys.stderr)
    sys.exit(1)
print(json.dumps(status))
sys.exit(status["code"])
"""


def status(*outcomes, code=3):
    """The answer of `status --format json`."""
    words = ("missing", "complete", "diverged", "damaged", "unreadable", "unfit", "started", "running", "stale")
    counts = {word: outcomes.count(word) for word in words}
    points = [{"index": i, "id": f"id{i}", "axes": {"width": 0.5, "seed": i}, "outcome": outcome, "epochs_done": 1, "epochs": 20}
              | ({"live": {**LIVE, "state": outcome}} if outcome in ("running", "stale") else {}) for i, outcome in enumerate(outcomes)]
    return {"job": "a <job>", "points": points, "counts": counts, "code": code}


@pytest.fixture
def folder(tmp_path):
    handmade.write(handmade.make(widths=(1 / 16,), classes=(2,), seeds=(0,), n_epochs=2, n_layers=6), tmp_path / "hand.h5")
    program = tmp_path / "eigenscope"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """Reports without figures."""
    def write(_, folder):
        page = folder / "index.html"
        page.write_text("<title>x: eigenscope</title><h1>x</h1><svg>")
        return page
    monkeypatch.setattr(watch.report, "write", write)


def tell(folder, *answers):
    for i, answer in enumerate(answers):
        (folder / f"status-{i}").write_text(json.dumps(answer))


def run(folder, *options):
    return main(["watch", "--program", str(folder / "eigenscope"), "--to", str(folder / "page"), "--every", "0.01", "--", "job.yaml", *options])


def test_from_the_first_point_to_the_last(folder, monkeypatch, capsys, undrawn):
    pages = []
    monkeypatch.setattr(watch.time, "sleep", lambda _: pages.append((folder / "page" / "index.html").read_text()))
    monkeypatch.setattr(watch, "SHARE", 1e9)
    tell(folder, status("running", "missing"), status("complete", "stale"), status("complete", "complete", code=0))
    assert run(folder, "--set", "train.epochs=20") == 0
    empty, half, whole = *pages, (folder / "page" / "index.html").read_text()
    assert "<h1>a &lt;job&gt;</h1>" in empty and "0 of 2 points are complete, 1 running, 1 waiting, 0 failed, 0 stale." in empty
    assert "<td>width 0.5, seed 0</td><td>running</td><td>2/20</td><td>30/90</td><td>812</td><td>1.25</td><td>–</td><td>0.25</td>" in empty
    assert "<td>1:01:38</td><td>4</td><td>node&lt;1&gt;</td><td>2 s ago</td>" in empty
    assert "1 of 2 points are complete, 0 running, 0 waiting, 0 failed, 1 stale." in half and "<td>stale</td>" in half
    assert half.index("</h1>") < half.index('id="present"') < half.index('src="figures/')
    assert 'id="present"' not in whole and 'src="figures/' in whole
    for page in (half, whole):  # the numbers of a page that is still open stay until the page after the next
        assert (folder / "page" / re.search('src="(data/.*?/index.js)"', page)[1]).is_file()
    calls = (folder / "calls").read_text().splitlines()
    assert calls[0] == "status job.yaml --set train.epochs=20 --format json"
    assert calls.count(f"merge job.yaml --set train.epochs=20 --to {folder / 'page' / 'results.h5'}") == 2
    assert capsys.readouterr().out.endswith("page/index.html\n")
    assert not list(pathlib.Path(folder).rglob("*.part"))


def test_reports_take_a_share_of_the_time(folder, quick):
    """Within ten times the seconds of the last report there is no other, but the last one comes."""
    tell(folder, status("complete", "running", "running"), status("complete", "complete", "running"), status("complete", "complete", "diverged", code=2))
    it = watch.Watch(str(folder / "eigenscope"), "job.yaml", folder / "page")
    merges = []
    for _ in range(3):
        it.look()
        it.seconds = 60.0
        merges.append((folder / "calls").read_text().count("merge"))
    assert merges == [1, 1, 2]


def test_wrong(folder, capsys):
    tell(folder, {"error": "eigenscope: job.yaml:3: no such key"})
    assert run(folder) == 1
    assert capsys.readouterr().err == "eigenscope_analysis: job.yaml:3: no such key\n"
    (folder / "page").mkdir(exist_ok=True)
    (folder / "page" / "index.html").write_text("mine")
    assert run(folder) == 1
    assert "is no report of eigenscope" in capsys.readouterr().err
    assert (folder / "page" / "index.html").read_text() == "mine"


def test_interrupted(folder, quick, monkeypatch):
    """Ctrl-C writes the page once more."""
    def interrupt(_):
        raise KeyboardInterrupt
    monkeypatch.setattr(watch.time, "sleep", interrupt)
    tell(folder, status("running"), status("complete", "missing"))
    assert run(folder) == 3
    assert "<svg" in (folder / "page" / "index.html").read_text()


def test_durations():
    assert [watch.duration(s) for s in (None, -1, 59.4, 60, 3661)] == ["–", "0 s", "59 s", "0:01:00", "1:01:01"]
    assert issubclass(SchemaError, ValueError)
