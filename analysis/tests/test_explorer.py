"""The explorer: its data are those of the file, its library is the one that is named, and in headless Chromium a reader clicks, chooses
and hovers."""
import base64
import csv
import gzip
import hashlib
import json
import pathlib
import re
import shutil

import handmade
import numpy as np
import pytest
from browser import CHROMIUM, Browser

from eigenscope_analysis import explorer, figures, open as open_file, report
from eigenscope_analysis.findings import Findings
from eigenscope_analysis.sweep import Sweep

SMALL = {"widths": (1 / 16, 1 / 8), "classes": (2, 4), "seeds": (0, 1), "n_epochs": 3, "n_layers": 6}
PACKAGE = pathlib.Path(explorer.__file__).parent
DRAWN = "document.querySelector('#explorer-root')?.dataset.drawn"
ASKED = DRAWN.replace("drawn", "asked")


def extended():
    """A file with variables that no version of the package names: classes, another axis of layers, words for numbers."""
    made = handmade.make(**SMALL)
    n, random = made.sizes["point"], np.random.default_rng(0)
    made["recall"] = (("point", "split", "epoch", "class"), random.uniform(size=(n, 2, 4, 4)), {"long_name": "share of a class"})
    made["confusion"] = (("point", "split", "epoch", "class", "predicted_class"), random.integers(0, 50, (n, 2, 4, 4, 4)).astype(float))
    made["nc1"] = (("point", "split", "epoch", "layer"), random.uniform(size=(n, 2, 4, 6)), {"long_name": "a new measure", "units": "1"})
    made["likeness"] = (("point", "split", "epoch", "layer", "other_layer"), random.uniform(size=(n, 2, 4, 6, 6)))
    made["flags"] = (made["flags"].dims, np.full(made["flags"].shape, 3, np.uint8) * (np.arange(6, dtype=np.uint8) == 2),
                     {"flag_masks": np.array([1, 2], np.uint8), "flag_meanings": "dead undersampled"})
    made["trace"] = made["trace"] * 1e40
    made["eigenvectors"] = (("point", "layer", "component", "feature"), np.zeros((n, 6, 16, 3)))
    return made


def read_back(folder):
    """(description, {variable: numbers (point, …)}) of the data of a page, as a browser decodes them."""
    meta = json.loads((folder / "index.js").read_text()[len("eigenscopeIndex("):-len(");\n")])
    found = {}
    for stream, about in meta["streams"].items():
        raw = b"".join(gzip.decompress(base64.b64decode((folder / f"{stream}{i}.js").read_text().split('"')[3])) for i in range(len(about["firsts"])))
        for v in meta["variables"]:
            if v["stream"] == stream:
                size = v["count"] * np.dtype(v["type"]).itemsize
                rows = [np.frombuffer(raw, v["type"], v["count"], at + v["offset"]) for at in range(0, len(raw), about["record"])]
                assert v["offset"] + size <= about["record"]
                found[v["name"]] = np.array(rows)
    return meta, found


def write_data(made, folder):
    sweep = Sweep(made)
    return folder / explorer.write(sweep, Findings(sweep).tables["points"], folder, "x")


def test_the_data_are_those_of_the_file(tmp_path):
    made = extended()
    meta, found = read_back(write_data(made, tmp_path))
    assert {"saturation", "nc1", "recall", "confusion", "likeness", "eigenvalues", "eigenspace_overlap"} <= set(found)
    assert "solver" not in found and meta["left_out"] == ["eigenvectors: the page shows no eigenvectors"]
    for v in meta["variables"]:
        expected = made[v["name"]].transpose("point", *v["dims"]).isel({d: at for d, at in v["at"].items()}).values.astype(float)
        np.testing.assert_allclose(found[v["name"]], expected.reshape(len(expected), -1), rtol=6e-8)
    assert next(v for v in meta["variables"] if v["name"] == "trace")["type"] == "<f8"
    assert next(v for v in meta["variables"] if v["name"] == "nc1")["label"] == "a new measure"
    assert meta["columns"]["width"] == made["width"].values.tolist()
    assert [axis["texts"] for axis in meta["axes"] if axis["name"] == "width"] == [["1/16", "1/8"]]
    assert write_data(made, tmp_path).name == next((tmp_path / "data").iterdir()).name  # the same numbers have the same name


def test_long_spectra_are_thinned(tmp_path, monkeypatch):
    """Components are chosen evenly in their logarithm; epochs only where all spectra together are too large."""
    made = handmade.make(**SMALL, components=300)
    meta, found = read_back(write_data(made, tmp_path / "a"))
    spectrum = next(v for v in meta["variables"] if v["name"] == "eigenvalues")
    ranks = spectrum["at"]["component"]
    assert explorer.RANKS - 2 <= len(ranks) <= explorer.RANKS and ranks[:3] == [0, 1, 2] and ranks[-1] == 299 and "epoch" not in spectrum["at"]
    monkeypatch.setattr(explorer, "LONG", found["eigenvalues"].nbytes // 2)
    meta, found = read_back(write_data(made, tmp_path / "b"))
    at = next(v for v in meta["variables"] if v["name"] == "eigenvalues")["at"]
    assert at["epoch"] == [0, 3]
    np.testing.assert_allclose(found["eigenvalues"], made["eigenvalues"].values[:, :, [0, 3]][..., ranks].reshape(8, -1), rtol=6e-8, atol=1e-37)


def test_the_library_is_the_one_that_is_named():
    """vendor/ has Plotly as PyPI has it, with its licence."""
    names = {}
    for line in (PACKAGE / "vendor/checksums.txt").read_text().splitlines():
        digest, name = line.split()
        names[name] = hashlib.sha256((PACKAGE / "vendor" / name).read_bytes()).hexdigest() == digest
    assert names == {"plotly.min.js": True, "LICENSE.plotly.txt": True}
    version = re.search(r"plotly\.js v([\d.]+)", (PACKAGE / "vendor/plotly.min.js").read_text(encoding="utf-8")[:300])[1]
    assert f"plotly.js {version}" in (PACKAGE / "vendor/README.md").read_text()
    assert "MIT License" in (PACKAGE / "vendor/LICENSE.plotly.txt").read_text()


def test_everything_is_installed():
    """What a page copies is in the list of the package's files."""
    setup = (PACKAGE.parent / "pyproject.toml").read_text()
    for source, _ in report.ASSETS:
        assert (PACKAGE / source).is_file() and f'"{source.partition("/")[0]}/*"' in setup


# ---- in a browser ----

@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """(file, page): without the figures for print, which take most of the time. The page is a copy in another folder."""
    folder = tmp_path_factory.mktemp("page")
    path, patch = handmade.write(extended(), folder / "hand.h5"), pytest.MonkeyPatch()
    patch.setattr(figures, "ALL", ())
    found = report.write(path, folder / "report")
    patch.undo()
    shutil.move(found.parent, folder / "a copy, ä")
    return path, folder / "a copy, ä/index.html"


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        found.open(page[1], DRAWN)
        yield found
        assert found.errors == []
        assert [url for url in found.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def after(browser, act):
    """Does something and waits until the page has drawn again, and has nothing more to draw."""
    browser.wait(f"{DRAWN} === {ASKED}")
    before = int(browser.run(ASKED))
    act()
    browser.wait(f"Number({DRAWN}) > {before} && {DRAWN} === {ASKED}")


# The position on the screen of the middle of a cell or a mark.
PLACE = """(() => {{ const plot = document.getElementById("{id}"), trace = plot.data[{curve}], r = plot.getBoundingClientRect();
  const layout = plot._fullLayout, x = layout["xaxis" + (trace.xaxis || "x").slice(1)], y = layout["yaxis" + (trace.yaxis || "y").slice(1)];
  const at = plot.data[{curve}].z ? [{column}, {row}] : [trace.x[{column}], trace.y[{column}]];
  return [r.left + x._offset + x.d2p(at[0]), r.top + y._offset + y.d2p(at[1])]; }})()"""
HOVERED = "[...document.querySelectorAll('#{id} .hoverlayer .hovertext text')].map(e => [...e.querySelectorAll('tspan')].map(t => t.textContent).join('|') || e.textContent)"


def hover(browser, chart, curve, row, column):
    """The text that the mouse makes appear."""
    browser.run(f"document.getElementById('{chart}').scrollIntoView({{block: 'center', behavior: 'instant'}})")
    browser.move(5, 5)
    browser.wait(f"!({HOVERED.format(id=chart)}).length")
    browser.move(*browser.run(PLACE.format(id=chart, curve=curve, row=row, column=column)))
    return browser.wait(f"({HOVERED.format(id=chart)}).join(' ')")


def saved(browser, chart, kind):
    for old in browser.saved.glob("*"):
        old.unlink()
    browser.click_on(f"section:has(> #{chart}) [data-save={kind}]")
    return browser.saved_file(f".{kind}")


def test_a_reader_chooses_compares_and_hovers(browser, page):
    """Every value that the mouse shows is that of the CSV, and that of the file."""
    path, _ = page
    assert "δ = 0.99" in browser.run("document.querySelector('.scores').textContent") + browser.run("document.querySelector('dl.facts').textContent")
    browser.run("document.getElementById('explorer').scrollIntoView({behavior: 'instant'})")
    after(browser, lambda: browser.click_on("#compare"))
    after(browser, lambda: browser.choose("#a-seed", 1))
    after(browser, lambda: browser.choose("#b-seed", 1))
    assert "eigenvectors" in browser.run("document.querySelector('#left-out').textContent")
    legends = browser.run("[...document.querySelectorAll('.side legend')].map(e => e.textContent)")
    assert legends == ["A width 1/16, 2 classes, seed 1", "B width 1/8, 2 classes, seed 1"]
    rows = list(csv.DictReader(saved(browser, "chart-map", "csv").open()))
    assert len(rows) == 3 * 6 * 4 and list(rows[0]) == ["side", "split", "delta", "layer", "epoch", "saturation"]
    with open_file(path) as data:
        values = data["saturation"].sel(split="eval", delta=0.99).values  # (point, epoch, layer)
        names = data["layer_name"].values[0].tolist()
    points = {"A": 1, "B": 5}
    for row in rows:
        at = (int(row["epoch"]), names.index(row["layer"]))
        expected = values[5][at] - values[1][at] if row["side"] == "B − A" else values[points[row["side"]]][at]
        assert float(row["saturation"]) == pytest.approx(expected, abs=2e-7)
    by_place = {(row["side"], row["layer"], row["epoch"]): row["saturation"] for row in rows}
    for curve, side in enumerate(("A", "B", "B − A")):
        for layer, epoch in ((0, 0), (2, 3), (5, 1)):
            text = hover(browser, "chart-map", curve, layer, epoch)
            value = by_place[side, names[layer], str(epoch)]
            assert re.search(rf"(^|\D){re.escape(value)}(\D|$)", text) and names[layer] in text and text.startswith(side), (text, value)
            assert ("dead, undersampled" in text) == (layer == 2 and curve < 2) and ("output layer" in text) == (layer == 5 and curve < 2)


def test_other_measures_and_views(browser):
    """New variables are there by themselves; each tab draws; the slider and the arrow keys reach values."""
    assert "nc1" in browser.run("[...document.querySelectorAll('#measure option')].map(e => e.value)")
    after(browser, lambda: browser.choose("#measure", "nc1"))
    assert "a new measure" in browser.run("document.querySelector('.controls p').textContent")
    after(browser, lambda: browser.choose("#measure", "flags"))
    assert "3 (dead, undersampled)" in hover(browser, "chart-map", 0, 2, 1)
    for tab, rest in (("curves", "accuracy"), ("spectra", "eigenvalues"), ("classes", "recall")):
        after(browser, lambda: browser.click_on(f"#tab-{tab}"))
        assert browser.run("document.querySelector('#measure').value") == rest
        assert browser.run("document.getElementById('chart-map').data.length") >= 2
    after(browser, lambda: browser.choose("#measure", "confusion"))
    assert browser.run("document.getElementById('chart-map').data[0].z.map(row => row.length)") == [4, 4, 4, 4]
    after(browser, lambda: browser.click_on("#tab-spectra"))
    first = browser.run("document.getElementById('chart-map').data[0].y[3]")
    after(browser, lambda: browser.choose("#of-epoch", 0))
    assert browser.run("document.getElementById('chart-map').data[0].y[3]") != first
    browser.run("document.getElementById('chart-map').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
        browser.press(key)
    said = browser.wait("document.querySelector('.said').textContent")
    rows = list(csv.DictReader(saved(browser, "chart-map", "csv").open()))
    assert re.search(r"eigenvalues (\S+), component 3$", said)[1] == rows[2]["eigenvalues_share"]


def test_points_are_chosen_among_all(browser, page):
    """A mark is a point of tables/points.csv; a click on it, and a button of the table, choose it; axes choose what is shown."""
    after(browser, lambda: browser.click_on("#tab-points"))
    count = "document.getElementById('chart-points').data.reduce((n, trace) => n + trace.x.length, 0)"
    assert browser.run(count) == 8
    after(browser, lambda: browser.click_on(".filter input"))  # width 1/16
    assert browser.run(count) == 4 == browser.run("document.querySelectorAll('#points-table tbody tr').length")
    with (page[1].parent / "tables/points.csv").open() as file:
        row = list(csv.DictReader(file))[6]
    names = browser.run("document.getElementById('chart-points').data.map(trace => trace.name)")
    text = hover(browser, "chart-points", names.index("1/8"), 0, 2)
    assert "width 1/8, 4 classes, seed 0" in text
    for name in ("saturation", "accuracy"):
        assert float(re.search(rf"{name} ([\d.]+)", text)[1]) == pytest.approx(float(row[name]), rel=1e-5)
    after(browser, lambda: browser.click(*browser.run(PLACE.format(id="chart-points", curve=names.index("1/8"), row=0, column=2))))
    assert browser.run("document.querySelector('.side.a legend').textContent") == "A width 1/8, 4 classes, seed 0"
    after(browser, lambda: browser.click_on("#points-table tbody tr:last-child td:last-child button:last-child"))
    assert browser.run("document.querySelector('.side.b legend').textContent") == "B width 1/8, 4 classes, seed 1"


def test_pictures_and_tables(browser):
    after(browser, lambda: browser.click_on("#tab-curves"))
    svg = saved(browser, "chart-map", "svg").read_text(encoding="utf-8")
    assert svg.startswith("<svg") and "accuracy" in svg
    assert saved(browser, "chart-map", "png").read_bytes().startswith(b"\x89PNG")
    browser.click_on(".chart summary")
    assert browser.wait("document.querySelectorAll('.chart table tbody tr').length") == browser.run("document.getElementById('chart-map').data.flatMap(t => t.y).length")


def test_names_labels_and_focus(browser):
    """Each control has a name, each id exists once, tabs are a list of tabs, and the address shows the same again."""
    unnamed = browser.run("""[...document.querySelectorAll("button, select, input, [tabindex='0']")].filter(e => !(e.labels && e.labels.length
        || e.textContent.trim() || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby"))).map(e => e.outerHTML.slice(0, 80))""")
    assert unnamed == []
    ids = browser.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    browser.run("document.querySelector('[role=tab][aria-selected=true]').focus()")
    after(browser, lambda: browser.press("ArrowRight"))
    assert browser.run("document.activeElement.id") == browser.run("document.querySelector('[role=tab][aria-selected=true]').id") == "tab-spectra"
    address, title = browser.run("location.hash"), browser.run("document.querySelector('#chart-map-title').textContent")
    browser.reload(f"document.readyState === 'complete' && {DRAWN}")
    assert (browser.run("location.hash"), browser.run("document.querySelector('#chart-map-title').textContent")) == (address, title)


def test_light_dark_and_narrow(browser):
    """The page follows the system's colours and the window, soon after they change."""
    paper = "getComputedStyle(document.querySelector('.chart')).backgroundColor"
    light = browser.run(paper)
    browser.look(380, 800, dark=True)
    browser.wait(f"{paper} !== '{light}'")
    browser.wait("document.getElementById('chart-map')._fullLayout.paper_bgcolor === '#161b21'")
    browser.wait("document.documentElement.scrollWidth <= 380")
