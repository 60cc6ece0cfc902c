"""Shared fixtures: files made by hand, and a small real sweep that the program makes once."""
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
sys.dont_write_bytecode = True

JOB = """\
name: small
output: out
grid: {dataset: shapes, model: tiny, width: [1/2, 1], classes: [2, 3], seed: [0, 1]}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 90, eval: 45}}
train: {epochs: 3, batch: 16, learning_rate: 0.05}
measure: {delta: [0.9, 0.99], eigenspace: true, projection: true, steps: {log: 6}}
probe: {epochs: last}
"""


def run_program(*arguments, cwd, expect=0, **env):
    done = subprocess.run([os.environ["EIGENSCOPE"], *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, **env}, timeout=300)
    assert done.returncode == expect, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The folder of a real sweep: job.yaml, out/points/*.h5 and all.h5. Skipped where EIGENSCOPE names no program."""
    if "EIGENSCOPE" not in os.environ:
        pytest.skip("EIGENSCOPE names no program")
    folder = tmp_path_factory.mktemp("small")
    (folder / "job.yaml").write_text(JOB)
    run_program("run", "job.yaml", "--quiet", cwd=folder)
    run_program("merge", "job.yaml", "--to", "all.h5", cwd=folder)
    return folder


@pytest.fixture
def write(tmp_path):
    """write(dataset) -> path of a file made by hand."""
    import handmade  # needs xarray, which tests of the tracker do not
    return lambda dataset, name="hand.h5": handmade.write(dataset, tmp_path / name)


@pytest.fixture
def undrawn(monkeypatch):
    """Reports whose figures are made, with captions and tables, but not drawn: drawing takes most of the time."""
    from eigenscope_analysis import report  # needs packages that tests of the tracker do not
    monkeypatch.setattr(report, "save", lambda figure, files: [files[kind].touch() for kind in ("svg", "png")])


@pytest.fixture
def without_png(monkeypatch):
    """Reports whose figures are drawn once, as SVG."""
    from eigenscope_analysis import report
    monkeypatch.setattr(report, "save", lambda figure, files: figure.savefig(files["svg"], metadata={"Date": None}))


def pytest_sessionfinish(session, exitstatus):
    """A file whose tests all need a package that is not here is skipped (77), not empty."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = 77
