"""The report: every figure is drawn or its absence explained, every table is written, the page is self-contained."""
import re
import subprocess
import sys

import handmade
import numpy as np
import pandas as pd
import pytest
from conftest import run_program

from eigenscope_analysis import SchemaError, figures, open as open_file, report
from eigenscope_analysis.findings import Findings
from eigenscope_analysis.sweep import Sweep

NAMES = ["layers", "evolution-saturation", "evolution-overlap", "width-difficulty", "accuracy-saturation", "stability", "spectra",
         "projection"]
SMALL = {"widths": (1 / 16, 1 / 8), "classes": (2, 4), "seeds": (0, 1), "n_epochs": 3, "n_layers": 6}


@pytest.fixture(autouse=True)
def closed():
    """matplotlib warns above 20 open figures."""
    yield
    figures.style.plt.close("all")


def nothing(page, name):
    """Text that replaces a figure on the page, or None if the figure exists."""
    place = re.search(rf'<figure id="figure-{name}".*?</figure>', page, re.S)[0]
    said = re.search(r'class="nothing">Nothing to show: (.*?)\.</div>', place, re.S)
    assert ("<img" in place) != (said is not None), name
    return said and said[1]


def scripts_of(page):
    """The scripts that a page has."""
    names = ["page/draw.js", "page/choose.js", "page/explorer.js", *re.findall(r'"(data/[0-9a-f]{16}/index\.js)"', page)]
    return [*(f'<script defer src="{name}">' for name in names), '<script defer id="plotly" src="page/plotly.min.js">']


def marks(svg):
    """Number of drawn elements in an SVG."""
    return len(re.findall(r"<(?:path|use|image|polygon|rect)\b", svg))


def test_figures_are_those_of_the_list():
    assert [plot.name for plot in figures.ALL if not plot.special] == NAMES
    assert [plot.name for plot in figures.ALL if plot.special] == ["transfer", "resolution", "steps", "similarity-layers", "similarity-epochs", "similarity-networks", "weights"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The dataset, and the folder of its report."""
    folder, made = tmp_path_factory.mktemp("whole"), handmade.with_steps(handmade.make(**SMALL))
    report.write(handmade.write(made, folder / "hand.h5"), folder / "report")
    return made, folder / "report"


def test_everything_is_there(whole):
    folder = whole[1]
    page = (folder / "index.html").read_text()
    for name in [*NAMES, "steps"]:
        assert nothing(page, name) is None
        assert marks((folder / "figures" / f"{name}.svg").read_text()) > 20, name
        png = (folder / "figures" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 5000, name
        assert len(pd.read_csv(folder / "figures" / f"{name}.csv")) > 5, name


def test_words_of_a_file_give_no_orders(tmp_path, without_png):
    """Axis values cannot inject HTML, terminal commands, or formulas in figures."""
    made = handmade.make(**SMALL, datasets=("<img src=x onerror=alert(1)>",), models=("vgg16", "\x1b[31m$\\frac{$\u202e"))
    made["layer_name"][:, 0] = "</svg><script>alert(2)</script>"
    made["layer_name"][:, 1] = "$\\undefined{$ \x1b[2J\u009b"
    for name in ("job_name", "job", "version", "missing"):
        made.attrs[name] = "<script>alert(3)</script>\x1b[2J"
    report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report")
    for path in (tmp_path / "report").rglob("*.*"):
        if path.suffix != ".png" and path.is_file() and path.name != "plotly.min.js":
            text = path.read_text()
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text), path
        if path.suffix in (".html", ".svg"):
            assert set(re.findall("<script[^>]*>", text)) <= set(scripts_of(text)), path
            assert all(re.match('<img src="figures/', tag) for tag in re.findall("<img[^>]*>", text)), path
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hand.h5", "report"]


def test_the_page_needs_nothing_else(whole):
    """The page loads only files of the report's folder; links stay in the report's folder; references name ids that exist exactly once."""
    folder = whole[1]
    page = (folder / "index.html").read_text()
    assert not re.findall(r"<(?:iframe|object|embed)\b", page) and scripts_of(page) == re.findall("<script[^>]*>", page)
    for target in re.findall(r'(?:href|src)="([^"#]+)"', page):
        assert (folder / target).is_file(), target
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)
    of_figures = [i for i in ids if re.match("(figure|table)-", i)]
    assert len(of_figures) == len(set(of_figures))


def test_tables_are_the_numbers(whole):
    made, folder = whole
    tables = {path.stem: pd.read_csv(path) for path in (folder / "tables").glob("*.csv")}
    assert set(tables) == {"findings", "recommend", "effects", "steps", "networks", "points", "layers"}
    named = re.findall(r"<small>\(see tables? ([^)]+)\)", (folder / "index.html").read_text())
    assert named and {name for names in named for name in names.split(", ")} <= set(tables)
    assert len(tables["points"]) == 8 and len(tables["networks"]) == 4 and len(tables["layers"]) == 4 * 6
    np.testing.assert_allclose(tables["points"]["accuracy"], made["accuracy"].values[:, 1, -1], rtol=1e-5)
    np.testing.assert_allclose(tables["layers"]["saturation"].to_numpy().reshape(4, 6),
                               made["saturation"].values[:, 1, -1, :, 1].reshape(4, 2, 6).mean(axis=1), rtol=1e-5)


def test_optional_measures_are_columns_of_layers(write, tmp_path, undrawn):
    """Means over seeds of the last epoch that has them; a measure of no split, too."""
    made = handmade.make(**SMALL)
    nc1 = made["effective_rank"].copy() + 5
    nc1[:, :, -1] = np.nan
    made["nc1"], made["gradient_norm"] = nc1, made["effective_rank"][:, 1] * 2
    report.write(write(made), tmp_path / "report")
    table = pd.read_csv(tmp_path / "report/tables/layers.csv")
    of_seeds = lambda values: values.reshape(4, 2, 6).mean(axis=1).ravel()
    np.testing.assert_allclose(table["nc1"], of_seeds(nc1.values[:, 1, -2]), rtol=1e-5)
    np.testing.assert_allclose(table["gradient_norm"], of_seeds(made["gradient_norm"].values[:, -1]), rtol=1e-5)
    assert "nc4" not in table


def test_what_is_not_there_is_said_so(write, tmp_path):
    made = handmade.make(widths=(1 / 8,), classes=(2,), seeds=(0,), n_epochs=1, n_layers=6, probes=False, spaces=False,
                         projection=False, spectra=False)
    made["saturation"].values[:, :, 0] = np.nan  # one epoch
    made["stability_pearson"].values[:] = np.nan
    page = report.write(write(made), tmp_path / "report").read_text()
    said = {name: nothing(page, name) for name in NAMES}
    assert said.pop("layers") is None
    assert said == {"evolution-saturation": "one epoch was measured, so there is no evolution",
                    "evolution-overlap": "eigenspaces were not followed (measure.eigenspace: true)",
                    "width-difficulty": "neither width nor difficulty (dataset, classes) varies",
                    "accuracy-saturation": "fewer than two complete points have both an accuracy and a saturation",
                    "stability": "fewer than two epochs can be compared with the last",
                    "spectra": "the file holds no eigenvalues (merged with --no-spectra)",
                    "projection": "no outputs were projected (measure.projection: true)"}


def test_an_earlier_figure_does_not_stay(write, tmp_path):
    plot = next(plot for plot in figures.ALL if plot.name == "projection")
    for projection in (True, False):
        with open_file(write(handmade.make(**SMALL, projection=projection), f"{projection}.h5")) as r:
            report.draw(plot, Sweep(r), tmp_path)
        assert [(tmp_path / f"projection.{kind}").exists() for kind in ("svg", "png", "csv")] == 3 * [projection]


def test_parts_that_are_missing_diverged_or_padded(write, tmp_path, without_png):
    """One file with everything still gives all figures, and the page names what it omits."""
    made = handmade.make(**{**SMALL, "models": ("vgg16", "tiny")})
    short = np.flatnonzero(made["model"].values == "tiny")
    made["layer_name"].values[short, 0] = ""
    made["layer_width"].values[short, 0] = -1
    for name in ("saturation", "eigenvalues", "probe_accuracy"):
        values = made[name].values
        values[(short, slice(None), slice(None), 0) if values.ndim > 3 else (short, 0)] = np.nan
    made["saturation"].values[2, :, 2:] = np.nan
    made["accuracy"].values[2, :, 2:] = made["loss"].values[2, :, 2:] = np.nan
    made["outcome"].values[2], made["reason"].values[2] = "diverged", "the loss is NaN <here>"
    made["outcome"].values[3] = "stopped"
    made["eigenvalues"].values[0] = np.nan
    made["accuracy"].values[5] = np.nan
    made.attrs["missing"] = "16-19"
    page = report.write(write(made), tmp_path / "report").read_text()
    for name in NAMES:
        assert nothing(page, name) is None, name
    assert re.search(r"<li>point 2, vgg16, width 1/16, 4 classes:\s*1 complete epoch; the loss is NaN &lt;here&gt;</li>", page)
    assert "14 complete, 1 diverged, 1 stopped early; missing: 16-19" in page
    assert ">nan<" not in page


def test_mixed_instruction_sets_are_named(write, tmp_path, undrawn):
    """Where points were computed by other kernels, the page says which; one kind is only named."""
    made = handmade.make(**SMALL)
    made.attrs["onednn"], made.attrs["blas"] = "oneDNN 2.6.3, avx2", "OpenBLAS 0.3.21, Haswell"
    assert Sweep(made).mixed() == ""
    del made.attrs["onednn"]
    words = np.array(["oneDNN 2.6.3, avx2"] * made.sizes["point"], dtype=object)
    words[[1, 2, 4]] = "<b>"
    made = made.assign_coords(onednn=("point", words))
    made.attrs["coordinates"] += " onednn"
    page = report.write(write(made), tmp_path / "report").read_text()
    rest = f"0,3,5-{made.sizes['point'] - 1}"
    assert (f"last bits may differ: points {rest}: oneDNN 2.6.3, avx2 and OpenBLAS 0.3.21, Haswell; "
            "points 1-2,4: &lt;b&gt; and OpenBLAS 0.3.21, Haswell</dd>") in page


def test_everything_diverged_is_a_page_too(write, tmp_path):
    made = handmade.make(**SMALL)
    made["outcome"].values[:] = "diverged"
    page = report.write(write(made), tmp_path / "report").read_text()
    assert {nothing(page, name) for name in NAMES} == {"no point is complete",
                                                       "fewer than two complete points have both an accuracy and a saturation"}


def test_a_real_sweep_through_the_program(small, tmp_path):
    done = run_program("report", "all.h5", "--to", tmp_path / "report", cwd=small, EIGENSCOPE_PYTHON=sys.executable)
    assert done.stdout == f"wrote {tmp_path / 'report/index.html'}\n"
    page = (tmp_path / "report/index.html").read_text()
    assert [name for name in NAMES if nothing(page, name) is None] == NAMES
    assert "8 complete" in page and "δ = 0.99" in page


def test_a_real_point(small, tmp_path, undrawn):
    path = sorted((small / "out/points").glob("*.h5"))[0]
    page = report.write(path, tmp_path / "report").read_text()
    for name in ("layers", "evolution-overlap", "spectra", "projection"):
        assert nothing(page, name) is None
    assert nothing(page, "width-difficulty") is not None


def test_errors_are_one_sentence(small, tmp_path):
    done = run_program("report", "nowhere.h5", "--to", "x", cwd=tmp_path, expect=1, EIGENSCOPE_PYTHON=sys.executable)
    assert done.stderr == "eigenscope_analysis: nowhere.h5: there is no such file; `eigenscope merge` writes one for a whole job\n"
    (tmp_path / "file").write_text("")
    done = run_program("report", small / "all.h5", "--to", "file", cwd=tmp_path, expect=1, EIGENSCOPE_PYTHON=sys.executable)
    assert re.fullmatch(r"eigenscope_analysis: --to file: cannot be created: .*\n", done.stderr)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("mine")
    done = run_program("report", small / "all.h5", "--to", "site", cwd=tmp_path, expect=1, EIGENSCOPE_PYTHON=sys.executable)
    assert done.stderr == "eigenscope_analysis: --to site: its index.html is no report of eigenscope; choose another folder\n"
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["index.html"]
    assert run_program("report", small / "all.h5", cwd=tmp_path, expect=1).stderr == "eigenscope: --to FOLDER is missing\n"
    done = run_program("report", small / "all.h5", "--to", "x", cwd=tmp_path, expect=1, EIGENSCOPE_PYTHON="/no/python")
    assert done.stderr.startswith("eigenscope: /no/python does not run; the report needs Python 3")


def test_modules_that_are_missing_are_named(small, tmp_path):
    """With a Python without packages, the program and the package name the missing ones."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')  # no site-packages, no PYTHONPATH
    python.chmod(0o755)
    done = run_program("report", small / "all.h5", "--to", "x", cwd=tmp_path, expect=1, EIGENSCOPE_PYTHON=str(python))
    assert re.match(r"eigenscope: .*/python lacks the modules h5py h5netcdf jinja2 matplotlib numpy pandas xarray eigenscope_analysis;",
                    done.stderr)
    own = subprocess.run([sys.executable, "-S", "-B", "-m", "eigenscope_analysis", "report", "x.h5", "--to", "y"], cwd=report.__file__[
        :report.__file__.index("eigenscope_analysis/report")], capture_output=True, text=True)
    assert own.returncode == 1
    assert re.fullmatch(r"eigenscope_analysis: Python's \w+ is missing; install it \(python3-\w+ in Debian, \w+ elsewhere\)\n", own.stderr)


def picture(name, dataset):
    """The matplotlib figure and the caption of a plot."""
    return next(plot for plot in figures.ALL if plot.name == name).draw(Sweep(dataset))


def test_points_are_drawn_at_their_true_width():
    made = handmade.make(classes=(2, 4, 8), widths=(1 / 16, 1 / 10, 1 / 4))
    figure, _ = picture("width-difficulty", made)
    curves = [line for axes in figure.axes if axes.get_xscale() == "log" for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(curves) >= 6
    for line in curves:
        np.testing.assert_array_equal(line.get_xdata(), [1 / 16, 1 / 10, 1 / 4])
    assert "1/10" in [label.get_text() for axes in figure.axes for label in axes.get_xticklabels()]


def resolved(**options):
    """A sweep whose points also have resolutions: 32, 64 and 128 pixels in the place of three numbers of classes."""
    made = handmade.make(classes=(2, 4, 8), widths=(1 / 16, 1 / 4), **options)
    made = made.assign_coords(resolution=("point", 16 * made["classes"].values.astype(int)), classes=("point", np.full(made.sizes["point"], 10)))
    made.attrs["axes"] += " resolution"
    made.attrs["coordinates"] += " resolution"
    return made


def test_resolutions_are_an_axis(write, tmp_path, monkeypatch):
    made = resolved()
    figure, caption = picture("resolution", made)
    assert [axes.get_xlabel() for axes in figure.axes] == ["resolution (pixels)"] * 2
    sweep = Sweep(made)
    for axes, column in zip(figure.axes, ("saturation", "accuracy")):
        lines = [line for line in axes.lines if len(line.get_xdata()) == 3 and line.get_linestyle() != "None"]
        assert len(lines) == 2 and axes.get_xscale() == "log"
        for line, width in zip(lines, (1 / 16, 1 / 4)):
            np.testing.assert_array_equal(line.get_xdata(), [32, 64, 128])
            rows = sweep.points[sweep.points["width"] == width]
            np.testing.assert_allclose(np.asarray(line.get_ydata(), float), 100 * rows.groupby("resolution")[column].mean(), rtol=1e-12)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["width 1/16", "width 1/4"]
    assert "95 % confidence intervals" in caption and "mean over seeds" in caption
    monkeypatch.setattr(figures, "ALL", [plot for plot in figures.ALL if plot.name == "resolution"])
    page = report.write(write(made), tmp_path / "report").read_text()
    assert nothing(page, "resolution") is None and (tmp_path / "report/figures/resolution.png").is_file()
    page = report.write(write(handmade.make(**SMALL), "one.h5"), tmp_path / "report").read_text()
    assert "figure-resolution" not in page and not (tmp_path / "report/figures/resolution.png").exists()


def test_one_network_at_two_resolutions_and_one_at_one():
    made = resolved(seeds=(0,)).isel(point=[0, 1, 3])  # width 1/16 at 32 and 64, width 1/4 at 32
    figure, caption = picture("resolution", made)
    assert {len(line.get_xdata()) for line in figure.axes[1].lines} == {2} and "one seed of each network" in caption
    with pytest.raises(figures.Nothing, match="no network is complete at two resolutions"):
        picture("resolution", made.isel(point=[1, 2]))
    with pytest.raises(figures.Nothing, match="the resolution does not vary"):
        picture("resolution", handmade.make(**SMALL))


def test_models_are_told_apart_by_colour_and_marker():
    """Two models on two datasets: four colours and four shapes; widths by size."""
    figure, caption = picture("accuracy-saturation", handmade.make(models=("vgg16", "resnet18"), datasets=("a", "b"), classes=(2,)))
    marks = [marks for marks in figure.axes[0].collections if len(marks.get_offsets())]
    assert len(marks) == 4 and sum(len(m.get_offsets()) for m in marks) == 36
    assert len({tuple(m.get_facecolors()[0]) for m in marks}) == len({m.get_paths()[0].vertices.tobytes() for m in marks}) == 4
    assert all(len(set(m.get_sizes())) == 3 for m in marks)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["a, resnet18", "b, resnet18", "a, vgg16", "b, vgg16", "width 1/16", "width 1/8", "width 1/4"]
    assert "Colour and shape of a mark tell dataset, model." in caption and "n = 36" in caption


def test_probes_of_a_file_without_eval():
    """Activations without an eval split have probes on train; the tail follows from them, and both are said."""
    made = handmade.make(**SMALL)
    for name in ("saturation", "accuracy", "probe_accuracy", "loss", "mcc", "samples"):
        made[name].values[:, 1] = np.nan
    _, caption = picture("layers", made)
    assert "No probes were fitted" not in caption and "(train split, on the samples that it was fitted on)" in caption
    assert "Hatched: the tail" in caption
    _, caption = picture("layers", handmade.make(**SMALL, probes=False))
    assert "No probes were fitted" in caption and "Hatched" not in caption


def test_captions_say_only_what_is_drawn():
    one = handmade.make(**{**SMALL, "seeds": (0,)})
    for plot in (plot for plot in figures.ALL if not plot.special):
        figure, caption = plot.draw(Sweep(one))
        assert not re.search("over seeds|highest seed", caption), plot.name
        assert "Hatched cells" not in caption
    one["layer_border"].values[:] = 0
    for name in ("layers", "evolution-saturation", "evolution-overlap"):
        assert "order layer" not in picture(name, one)[1]
    one["saturation"].values[0, 1, 2, 3] = np.nan
    assert "Hatched cells were not measured." in picture("evolution-saturation", one)[1]


def test_spectra_mark_component_k():
    """The circle is at k of the file, also where a Gram matrix gives fewer eigenvalues than the layer is wide."""
    made = handmade.make(**SMALL)
    made["layer_width"].values[:] = 64
    made["intrinsic_dimension"].values[:] = 5
    figure, _ = picture("spectra", made)
    circles = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "o"]
    assert circles and {float(line.get_xdata()[0]) for line in circles} == {5}


@pytest.mark.parametrize("convention, words", [("smallest", "the smallest number of principal components"),
                                               ("delve", "the number of cumulative shares of the variance that are strictly below δ ("),
                                               ("pca-layer", "strictly below δ, but at least 1, and 1 more if")])
def test_captions_say_how_k_is_counted(convention, words):
    made = handmade.make(**SMALL)
    made.attrs["job"] = f"name: by hand\nmeasure:\n  convention: {convention}\n"
    for caption in (picture(name, made)[1] for name in ("layers", "spectra", "projection")):
        said = re.search(r"where k is .*?\(convention ([\w-]+)\)\.", caption)
        assert words in said[0] and said[1] == convention
        assert ("smallest number" in caption) == (convention == "smallest")


def test_the_page_says_how_k_is_counted(whole):
    """The words on the page are those of the captions."""
    made, folder = whole
    page = (folder / "index.html").read_text()
    assert f"where k is {Sweep(made).k_is}. On this page" in page


def test_conventions_on_an_axis_are_all_said():
    made = handmade.make(**SMALL)
    made = made.assign_coords(measure_convention=("point", np.array(["smallest", "delve"] * 4, dtype=object)))
    caption = picture("spectra", made)[1]
    assert "(convention smallest) or the number" in caption and "(convention delve)" in caption


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_layers_without_a_spectrum_are_named():
    """An unsolved layer, a dead one, one whose eigenvalues are infinite; and one whose sum alone overflows, which is drawn."""
    made = handmade.make(**SMALL)
    made["flags"].values[0, 1, 1:, 0] = 16
    for name in ("saturation", "eigenvalues"):
        made[name].values[0, 1, 1:, 0] = np.nan
    made["eigenvalues"].values[0, 1, 2, 1] = 0
    made["eigenvalues"].values[0, 1, :, 2, 0] = np.inf
    made["eigenvalues"].values[0, 1, :, 3] = np.linspace(1.7e308, 1e308, 16)
    text = next(s["text"] for s in Findings(Sweep(made)).sentences if s["title"] == "Unsolved layers")
    assert text == ("3 measurements (of a layer in one epoch and split of a point) have no numbers, because no eigensolver passed its "
                    "check. Means leave them out. Layers: features.0 (3). Points: 0.")
    lines, caption = curves(made)
    assert "with the number of such spectra: features.7 (4), features.0 (3), features.3 (1)." in caption
    all_lines, caption = curves(handmade.make(**SMALL))
    assert "Not drawn" not in caption
    assert all_lines - lines == 8
    assert not any(s["title"] == "Unsolved layers" for s in Findings(Sweep(handmade.make(**SMALL))).sentences)


def test_layers_whose_tail_is_rounding_are_named():
    made = handmade.make(**SMALL)
    made["flags"].values[2, 1, 1:, 0] = 32
    sweep = Sweep(made)
    text = next(s["text"] for s in Findings(sweep).sentences if s["title"] == "Rounding to bfloat16")
    assert text == ("In 3 measurements (of a layer in one epoch and split of a point) the last direction counted at the largest δ has "
                    "less variance than rounding to bfloat16 adds, so the tail of the spectrum may be rounding errors. Layers: "
                    "features.0 (3). Points: 2.")
    plain = Sweep(handmade.make(**SMALL))
    assert (sweep.counted == plain.counted).all()  # such layers stay in means
    assert not any(s["title"] == "Rounding to bfloat16" for s in Findings(plain).sentences)


def curves(made):
    """(number of curves among the spectra, caption)"""
    figure, caption = picture("spectra", made)
    return sum(line.get_linestyle() == "-" for axes in figure.axes for line in axes.lines), caption


def test_the_tail_is_said_as_it_is_computed(whole):
    """The program counts the output layer as a layer of the tail (mark_tail)."""
    page = (whole[1] / "index.html").read_text()
    assert "the longest series of last layers, the output layer among them, whose probes" in page
    assert "the tail without the output layer" in page


@pytest.mark.parametrize("value, text", [(1e30, "1e+30"), (1e15, "1e+15"), (123456.0, "123456"), (0.1, "0.1"), (-2.5, "−2.5"), (7, "7"),
                                         (1e-30, "1e−30"), (2 ** 60, str(2 ** 60))])
def test_numbers_in_tables_are_short(value, text):
    assert report.cell(value, "train_learning_rate") == text


def test_no_points(write, tmp_path):
    with pytest.raises(SchemaError, match="has no points"):
        report.write(write(handmade.make(**SMALL).isel(point=slice(0, 0))), tmp_path / "report")


def test_activations_without_axes_labels_or_training(write, tmp_path, without_png):
    """One point, one split, no width, no accuracy, as from `source: activations`."""
    made = handmade.make(widths=(1 / 8,), classes=(2,), seeds=(0,), n_epochs=3, n_layers=6, probes=False, projection=False)
    made = made.drop_vars(["dataset", "model", "width", "classes", "seed"]).drop_sel(epoch=0)
    made.attrs["axes"] = ""
    for name in ("accuracy", "loss", "top5_accuracy", "mcc"):
        made[name].values[:] = np.nan
    made["saturation"].values[:, 1] = np.nan  # the train split alone
    page = report.write(write(made), tmp_path / "report").read_text()
    shown = re.findall(r'<figure id="figure-([a-z-]+)"', page)  # no figure says that there is nothing
    assert shown == ["layers", "evolution-saturation", "evolution-overlap", "stability", "spectra"]
    assert "train split" in page and ">nan<" not in page and "accuracy nan" not in page
