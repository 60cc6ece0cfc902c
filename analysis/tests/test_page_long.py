"""The page in headless Chromium, without a network: every figure for print is seen and not empty; a large sweep opens quickly."""
import csv
import re

import handmade
import numpy as np
import pytest
from browser import CHROMIUM, Browser
from test_explorer import DRAWN, after
from test_report import NAMES

from eigenscope_analysis import figures, open as open_file, report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

# Lists for each figure of the page its size on the screen, whether its picture was read, and its caption.
LOOK = """[...document.querySelectorAll("figure")].map(figure => {
  const image = figure.querySelector("img"), place = (image || figure).getBoundingClientRect();
  return {id: figure.id, width: place.width, height: place.height, read: Boolean(image && image.naturalWidth),
          caption: (figure.querySelector("figcaption, .nothing") || {}).innerText || ""};
})"""
# Counts the shapes that cover any part of a picture, and the squares of 20 pixels in which the shapes begin.
SHAPES = """(() => { const place = document.documentElement.getBoundingClientRect();
  const seen = [...document.querySelectorAll("path, use, image, rect, polygon")].filter(s => !s.closest("defs, clipPath"))
    .map(s => s.getBoundingClientRect()).filter(r => r.width + r.height > 0 && r.right > place.left && r.left < place.right
                                                && r.bottom > place.top && r.top < place.bottom);
  return [seen.length, new Set(seen.map(r => Math.round(r.left / 20) + " " + Math.round(r.top / 20))).size]; })()"""


@pytest.mark.parametrize("projection", [True, False])
def test_every_figure_is_seen(tmp_path, projection):
    made = handmade.make(widths=(1 / 16, 1 / 8), classes=(2, 4), seeds=(0, 1), n_epochs=3, n_layers=6, projection=projection)
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report")
    with Browser(tmp_path, 1200, 900) as browser:
        browser.open(page, DRAWN)
        browser.run("document.querySelectorAll('img').forEach(image => { image.loading = 'eager'; })")
        browser.wait("[...document.images].every(image => image.complete)")
        answer = browser.run(LOOK)
        assert [figure["id"] for figure in answer] == [f"figure-{name}" for name in NAMES]
        assert browser.run("document.documentElement.scrollWidth") <= 1200  # nothing exceeds the window
        shot = browser.picture(tmp_path / "page.png", whole=True)
        assert shot.stat().st_size > 20000
        for figure, name in zip(answer, NAMES):
            if name == "projection" and not projection:
                assert not figure["read"] and figure["caption"].startswith("Nothing to show:")
                continue
            assert figure["read"] and figure["width"] > 600 and figure["height"] > 200, figure
            assert len(figure["caption"]) > 50, figure
            browser.open(page.parent / f"figures/{name}.svg")
            shapes, covered = browser.run(SHAPES)
            assert shapes > 40 and covered > 20, (name, shapes, covered)


def test_a_large_sweep_opens_quickly(tmp_path, monkeypatch):
    """1,000 points, 20 epochs, 16 layers: the first chart is there within 2 s of the processor's time, and reads few files."""
    made = handmade.make(widths=2.0 ** np.arange(-4, 1), classes=(2, 4, 6, 8, 10), seeds=range(10), datasets=("a", "b"),
                         models=("vgg16", "vgg19"), n_epochs=20, n_layers=16, components=64)
    assert made.sizes["point"] == 1000
    monkeypatch.setattr(figures, "ALL", ())
    page = report.write(handmade.write(made, tmp_path / "large.h5"), tmp_path / "report")
    size = sum(path.stat().st_size for path in (page.parent / "data").rglob("*.js"))
    with Browser(tmp_path) as browser:
        browser.open(page, DRAWN)  # once, so that the code of the page is in the caches of the machine
        first = int(browser.run("document.querySelector('#explorer-root').dataset.opened"))
        browser.send("Performance.enable", timeDomain="threadTicks")
        browser.open(page, DRAWN, "?again")
        opened = int(browser.run("document.querySelector('#explorer-root').dataset.opened"))
        busy = {m["name"]: m["value"] for m in browser.send("Performance.getMetrics")["metrics"]}["TaskDuration"]
        read = [url for url in browser.asked if re.search(r"/data/\w+/[sl]\d+\.js", url)]
    print(f"\n1,000 points: {size / 2 ** 20:.0f} MiB of data; opened in {first} ms, and again in {opened} ms, of which the page "
          f"computed {1000 * busy:.0f} ms")
    assert len(set(read)) <= 3 and size < 400 * 2 ** 20
    assert busy < 2  # wall time includes other processes


def test_what_the_page_says_is_what_the_table_has(tmp_path, monkeypatch):
    """The headline's delta, and the claims of the table of findings."""
    monkeypatch.setattr(figures, "ALL", ())
    page = report.write(handmade.write(handmade.make(widths=(1 / 16, 1 / 8), classes=(2, 4), seeds=(0, 1), n_epochs=3, n_layers=6),
                                       tmp_path / "hand.h5"), tmp_path / "report")
    with Browser(tmp_path) as browser:
        browser.open(page, DRAWN)
        assert "δ = 0.99" in browser.run("document.querySelector('.facts').textContent")
        rows = browser.run("[...document.querySelectorAll('table.claims tbody tr')].map(row => [...row.cells].map(cell => "
                           "(cell.querySelector('summary') || cell).textContent))")
    with (page.parent / "tables/findings.csv").open() as file:
        assert rows == [[row[name] for name in ("claim", "effect", "interval", "seeds", "verdict")] for row in csv.DictReader(file)]
    assert len(rows) >= 8


# All numbers of a variable at the first point, in C order; null where there is none.
NUMBERS = """(async () => {{ const variable = Data.meta().variables.find(v => v.name === "{name}"), read = await Data.read(variable, [0]), found = [];
  const go = (i, at) => {{ if (i === variable.dims.length) {{ const x = read.get(at); found.push(Number.isFinite(x) ? x : null); return; }}
    for (const place of read.along[variable.dims[i]]) go(i + 1, {{...at, [variable.dims[i]]: place}}); }};
  go(0, {{}});
  return found; }})()"""


def test_every_variable_of_a_real_sweep(small, tmp_path, monkeypatch):
    """Each variable that the program writes has a chart, and the page has the numbers of the file."""
    monkeypatch.setattr(figures, "ALL", ())
    page = report.write(small / "all.h5", tmp_path / "report")
    with Browser(tmp_path) as browser, open_file(small / "all.h5") as data:
        browser.open(page, DRAWN)
        variables = browser.run("Data.meta().variables.map(v => [v.name, v.dims, v.at])")
        shown = {name for name, *_ in variables}
        numeric = {name for name, v in data.data_vars.items() if v.dtype.kind in "fiu" and len(v.dims) > 1 and "feature" not in v.dims}
        assert numeric - shown <= {"solver"}, numeric - shown
        for name, dims, at in variables:
            expected = np.asarray(data[name].isel(point=0).transpose(*dims).isel(at).values, float).ravel()
            found = np.array(browser.run(NUMBERS.format(name=name)), float)
            known = np.isfinite(found)
            np.testing.assert_allclose(found[known], expected[known], rtol=6e-8, err_msg=name)
            assert np.all(~np.isfinite(expected[~known]) | np.isin(expected[~known], (-1, 255))), name
        drawn = set()
        for tab in browser.run("[...document.querySelectorAll('[role=tab]')].map(tab => tab.id)"):
            after(browser, lambda: browser.click_on(f"#{tab}"))
            for name in browser.run("[...document.querySelectorAll('#measure option')].map(option => option.value)"):
                after(browser, lambda: browser.choose("#measure", name))
                assert browser.run("document.getElementById('chart-map').data.length") or browser.run("document.querySelector('.said').textContent"), name
                drawn.add(name)
        assert drawn == shown and browser.errors == []
