"""The page in headless Chromium, without a network: every figure is present and not empty."""
import json
import re
import shutil
import subprocess

import handmade
import pytest
from test_report import NAMES

from eigenscope_analysis import report

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)

# Measures each figure in the browser: its size on the screen, and the shapes that cover any of it.
LOOK = """
<script>
const shape = "path, use, image, rect, polygon";
const figures = [...document.querySelectorAll("figure")].map(figure => {
  const svg = figure.querySelector("svg"), place = (svg || figure).getBoundingClientRect();
  const seen = svg ? [...svg.querySelectorAll(shape)].filter(s => !s.closest("defs, clipPath")).map(s => s.getBoundingClientRect())
    .filter(r => r.width + r.height > 0 && r.right > place.left && r.left < place.right && r.bottom > place.top && r.top < place.bottom)
    : [];
  return {id: figure.id, width: place.width, height: place.height, shapes: seen.length,
          covered: new Set(seen.map(r => Math.round(r.left / 20) + " " + Math.round(r.top / 20))).size,
          caption: (figure.querySelector("figcaption, .nothing") || {}).innerText || ""};
});
document.body.innerHTML = "<pre id=answer>" + JSON.stringify({figures, wide: document.documentElement.scrollWidth}) + "</pre>";
</script>
"""


def browse(folder, page, *options):
    return subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
                           f"--user-data-dir={folder / 'profile'}", "--window-size=1200,900", *options, page.as_uri()],
                          capture_output=True, text=True, timeout=180)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("projection", [True, False])
def test_every_figure_is_seen(tmp_path, projection):
    made = handmade.make(widths=(1 / 16, 1 / 8), classes=(2, 4), seeds=(0, 1), n_epochs=3, n_layers=6, projection=projection)
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report")
    looking = tmp_path / "report/look.html"
    looking.write_text(page.read_text().replace("</body>", LOOK + "</body>"))
    done = browse(tmp_path, looking, "--dump-dom")
    answer = json.loads(re.search(r"<pre id=\"answer\">(.*?)</pre>", done.stdout, re.S)[1].replace("&amp;", "&").replace("&lt;", "<")
                        .replace("&gt;", ">"))
    assert [figure["id"] for figure in answer["figures"]] == [f"figure-{name}" for name in NAMES]
    assert answer["wide"] <= 1200  # nothing exceeds the window
    for figure in answer["figures"]:
        if figure["id"] == "figure-projection" and not projection:
            assert figure["shapes"] == 0 and figure["caption"].startswith("Nothing to show:")
            continue
        assert figure["width"] > 600 and figure["height"] > 200, figure
        assert figure["shapes"] > 40 and figure["covered"] > 20, figure
        assert len(figure["caption"]) > 50, figure
    shot = tmp_path / "page.png"
    browse(tmp_path, page, f"--screenshot={shot}")
    assert shot.stat().st_size > 20000
