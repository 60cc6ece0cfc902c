"""Similarities as a heat map, beside the variables of a sweep, in the report and in the explorer: of files made by hand, and of one that
the program makes."""
import json

import handmade
import h5py
import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser
from test_explorer import DRAWN, after

import eigenscope_analysis as es
from conftest import run_program
from eigenscope_analysis import figures, report, similarity
from eigenscope_analysis.__main__ import main


def write(path, sets, cka, schema="eigenscope similarity"):
    with h5py.File(path, "w") as file:
        file.attrs.update({"schema": schema, "schema_version": 1})
        file["point_id"] = [point for point, _, _ in sets]
        file["epoch"] = np.array([epoch for _, epoch, _ in sets], np.int32)
        file["layer"] = [layer for _, _, layer in sets]
        file["cka"] = cka
    return path


def test_heatmap(tmp_path):
    sets = [(point, epoch, layer) for point in ("a" * 16, "b" * 16) for epoch in (0, 1 + (point[0] == "b")) for layer in ("conv", "fc")]
    cka = np.linspace(0, 1, 64).reshape(8, 8)
    path = write(tmp_path / "s.h5", sets, cka)
    for options, chosen in (({}, [2, 3, 6, 7]), ({"epoch": 0}, [0, 1, 4, 5]), ({"epoch": None, "points": ["b"]}, [4, 5, 6, 7]),
                            ({"epoch": 1}, [2, 3])):
        figure = es.similarity_heatmap(path, **options)
        image, = figure.axes[0].images
        np.testing.assert_array_equal(image.get_array(), cka[np.ix_(chosen, chosen)])
        figure.savefig(tmp_path / "cka.svg")
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == ["conv", "fc"] and figure.axes[0].get_title() == f"{'a' * 16}, epoch 1"
    with pytest.raises(es.SchemaError, match="s.h5: has no sets of epoch 7"):
        es.similarity_heatmap(path, epoch=7)


def test_refusals(tmp_path):
    path = write(tmp_path / "s.h5", [("a" * 16, 0, "x")] * (similarity.MOST + 1), np.eye(similarity.MOST + 1))
    with pytest.raises(es.SchemaError, match="shows at most 400 sets, but 401 are chosen"):
        es.similarity_heatmap(path)
    with pytest.raises(es.SchemaError, match="is damaged: cka has the shape"):
        es.similarity_heatmap(write(tmp_path / "s.h5", [("a" * 16, 0, "x")], np.eye(2)))
    with pytest.raises(es.SchemaError, match="is no file of similarities"):
        es.similarity_heatmap(write(tmp_path / "s.h5", [], np.eye(2), schema="eigenscope"))
    (tmp_path / "text").write_text("text")
    with pytest.raises(es.SchemaError, match="cannot be read as a file of similarities"):
        es.similarity_heatmap(tmp_path / "text")


# ---- in a report ----

def compared(made, points, epochs, seed=0):
    """(sets, cka) of some points of a sweep, in no order: numbers by chance, symmetric, with a diagonal of 1; and NaN for the second layer
    of the first point (dead)."""
    names, ids = made["layer_name"].values, made["point_id"].values
    sets = [(ids[point], epoch, name) for point in points for epoch in epochs for name in names[point]]
    random = np.random.default_rng(seed)
    sets = [sets[i] for i in random.permutation(len(sets))]
    cka = random.uniform(-0.05, 1, (len(sets), len(sets)))
    cka = np.triu(cka, 1) + np.triu(cka, 1).T + np.eye(len(sets))
    dead = [i for i, (point, _, name) in enumerate(sets) if point == ids[points[0]] and name == names[points[0]][1]]
    cka[dead] = cka[:, dead] = np.nan
    return sets, cka


def sweep_of(**changes):
    return handmade.make(**{"widths": (1 / 16, 1 / 8), "classes": (2,), "seeds": (0, 1), "n_epochs": 2, "n_layers": 5, **changes})


def test_variables_are_the_numbers_of_the_file(tmp_path):
    """Of a file without the point 2, with a layer that one point lacks, with another point, and with Procrustes distances."""
    made = sweep_of()
    made["layer_name"].values[3, 1] = "other"
    ids, names = made["point_id"].values.tolist(), made["layer_name"].values
    sets, cka = compared(made, [3, 0, 1], [0, 2, 1])
    sets = [("f" * 16 if i < 3 else point, epoch, name) for i, (point, epoch, name) in enumerate(sets)]
    path = write(tmp_path / "s.h5", sets, cka)
    with h5py.File(path, "a") as file:
        ends = [(0, 0, 0), (1, 1, 3)], [(0, 2, 0), (3, 2, 4)]  # (point, epoch, layer): one layer over epochs, and a named pair
        for name, end in zip(("pair_first", "pair_second"), ends):
            file[name] = [sets.index((ids[p], epoch, names[p][layer])) for p, epoch, layer in end]
        file["procrustes"] = [0.5, 1.5]
    found = es.add_similarity(made, path)
    at = {key: i for i, key in enumerate(sets)}

    def between(a, b):
        return cka[at[a], at[b]] if a in at and b in at else np.nan

    assert found["other_point"].values.tolist() == [0, 1, 3] and found.attrs["similarity_points"] == 3
    last = {p: max((e for point, e, _ in sets if point == ids[p]), default=-1) for p in range(4)}
    assert last == {0: 2, 1: 2, 2: -1, 3: 2}
    for p in range(4):
        for i, name in enumerate(names[p]):
            own = (ids[p], last[p], name)
            np.testing.assert_array_equal(found["cka_layers"].values[p, i], [between(own, (ids[p], last[p], other)) for other in names[p]])
            np.testing.assert_array_equal(found["cka_last"].values[p, :, i], [between(own, (ids[p], epoch, name)) for epoch in (0, 1, 2)])
            np.testing.assert_array_equal(found["cka_points"].values[p, i], [np.nan if q == p else between(own, (ids[q], last[q], name)) for q in (0, 1, 3)])
    assert np.isnan(found["cka_layers"].values[2]).all() and np.isnan(found["cka_layers"].values[3, 1]).all()
    assert found["procrustes_last"].values[0, 0, 0] == 0.5 and np.isfinite(found["procrustes_last"].values).sum() == 1
    both = json.loads(found.attrs["similarity_pairs"])
    assert [both[0][key] for key in ("point", "epoch", "other_point", "other_epoch", "procrustes")] == [0, 0, 0, 2, 0.5]
    assert both[1:] == [{"point": 1, "epoch": 1, "layer": names[1][3], "other_point": 3, "other_epoch": 2,
                                                "other_layer": names[3][4], "procrustes": 1.5, "cka": between((ids[1], 1, names[1][3]), (ids[3], 2, names[3][4]))}]
    assert found["saturation"].identical(made["saturation"])
    handmade.write(found, tmp_path / "saved.h5")  # all of it can be saved


def test_pairs_of_the_option_procrustes_are_no_named_pairs(tmp_path):
    """All pairs of a layer between epochs come first; what follows was named, also two epochs of one layer, neither of which is the last."""
    made = sweep_of(widths=(1 / 16,), seeds=(0,))
    ids, names = made["point_id"].values.tolist(), made["layer_name"].values[0].tolist()
    sets = [(ids[0], epoch, name) for epoch in (0, 1, 2) for name in names]
    every = [(a, b) for a in range(15) for b in range(a + 1, 15) if (b - a) % 5 == 0]
    between = (2, 7)  # epochs 0 and 1 of the third layer

    def named(pairs):
        path = write(tmp_path / "s.h5", sets, np.eye(15))
        with h5py.File(path, "a") as file:
            file["pair_first"], file["pair_second"] = ([pair[end] for pair in pairs] for end in (0, 1))
            file["procrustes"] = np.linspace(0, 1, len(pairs))
        listed = json.loads(es.add_similarity(made, path).attrs["similarity_pairs"])
        return [(pair["epoch"], pair["layer"], pair["other_epoch"], pair["other_layer"]) for pair in listed]
    found = (0, names[2], 1, names[2])
    assert named([between]) == [found] and named(every) == [] and named([*every, between]) == [found]
    assert len(named(every[1:])) == 14 and named([*every, between[::-1], (0, 6)]) == [(1, names[2], 0, names[2]), (0, names[0], 1, names[1])]


def mean(values):
    known = np.asarray(values)[np.isfinite(values)]
    return known.mean() if len(known) else np.nan


def test_report(tmp_path, undrawn):
    """Figures, the table and the sentences have the numbers of the file; two files, each of one dataset; names with markup."""
    made = sweep_of(datasets=("cats", "dogs"))  # points 0 to 3 and 4 to 7
    made["layer_name"].values[:, 0] = "<b>first</b>"
    ids, names = made["point_id"].values.tolist(), made["layer_name"].values[0].tolist()
    files = [(points, *compared(made, points, [0, 1, 2], seed)) for seed, points in enumerate(([0, 1, 2, 3], [5, 6, 7]))]
    paths = [write(tmp_path / f"s{i}.h5", sets, cka) for i, (_, sets, cka) in enumerate(files)]
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report", paths).read_text(encoding="utf-8")
    at = [{(ids.index(point), epoch, names.index(name)): i for i, (point, epoch, name) in enumerate(sets)} for _, sets, _ in files]
    value = [lambda a, b, k=k: files[k][2][at[k][a], at[k][b]] for k in (0, 1)]
    networks = {("cats", 1 / 16): (0, [0, 1]), ("cats", 1 / 8): (0, [2, 3]), ("dogs", 1 / 16): (1, [5]), ("dogs", 1 / 8): (1, [6, 7])}

    table = pd.read_csv(tmp_path / "report/tables/similarity.csv")
    assert len(table) == 4 * 5 and (table["layer"] == names * 4).all()
    for (dataset, width), (k, points) in networks.items():
        rows = table[(table["dataset"] == dataset) & (table["width"] == width)].reset_index()
        others = [q for q in files[k][0] if q not in points]
        for i in range(5):
            curve = [mean([value[k]((p, 2, i), (p, e, i)) for p in points]) for e in (0, 1, 2)]
            expected = [mean([value[k]((p, 2, i), (p, 2, i + 1)) for p in points]) if i < 4 else np.nan,
                        np.nan if np.isnan(curve).all() else next(e for e in (0, 1, 2) if min(curve[e:]) >= 0.9),
                        mean([value[k]((p, 2, i), (q, 2, i)) for p in points for q in points if p != q]),
                        mean([value[k]((p, 2, i), (q, 2, i)) for p in points for q in others])]
            np.testing.assert_allclose(rows.loc[i, ["cka_next_layer", "same_from_epoch", "cka_seeds", "cka_networks"]].astype(float), expected, rtol=1e-5)

    layers, epochs, between = (pd.read_csv(tmp_path / f"report/figures/similarity-{name}.csv") for name in ("layers", "epochs", "networks"))
    cell = layers[(layers["panel"] == "cats, width 1/8 2 seeds") & (layers["y"] == names[2]) & (layers["x"] == names[4])]
    assert cell["value"].item() == pytest.approx(mean([value[0]((p, 2, 2), (p, 2, 4)) for p in (2, 3)]), rel=1e-5)
    cell = epochs[(epochs["panel"] == "dogs, width 1/16 1 of 2 seeds") & (epochs["y"] == names[3]) & (epochs["x"] == 0)]
    assert cell["value"].item() == pytest.approx(value[1]((5, 2, 3), (5, 0, 3)), rel=1e-5)
    matrix = between[between["panel"] == "mean over hidden layers"]
    assert set(zip(matrix["x"], matrix["y"])) == {(a, b) for d in ("cats", "dogs") for a in (f"{d}, width 1/16", f"{d}, width 1/8")
                                                  for b in (f"{d}, width 1/16", f"{d}, width 1/8")} - {("dogs, width 1/16",) * 2}
    cell = matrix[(matrix["x"] == "cats, width 1/8") & (matrix["y"] == "cats, width 1/8")]
    assert cell["value"].item() == pytest.approx(mean([value[0]((2, 2, i), (3, 2, i)) for i in range(4)]), rel=1e-5)  # without the output layer

    assert "s0.h5, s1.h5: 7 of 8 points" in page and "<b>first" not in page and "&lt;b&gt;first&lt;/b&gt;" in page
    neighbours = table["cka_next_layer"].dropna()
    assert f"Neighbouring layers have {neighbours.mean():.2f} on average over 4 networks" in page
    assert f"{(neighbours >= 0.9).sum()} of {len(neighbours)} pairs of neighbours" in page
    assert f"the median is epoch {table['same_from_epoch'].median():g}" in page
    hidden = table[~table["output"]]
    assert f"Seeds of one network have a CKA of {hidden['cka_seeds'].mean():.2f}" in page
    assert f"Different networks have a CKA of {hidden['cka_networks'].mean():.2f}" in page
    for name in ("layers", "epochs", "networks"):
        assert f'src="figures/similarity-{name}.svg"' in page
    assert page.count("Hatched cells") >= 2 and "<dt>CKA</dt>" in page


def test_report_of_few(tmp_path, undrawn):
    """One point and one epoch; a point that diverged; a report without the option says nothing of similarity."""
    made = sweep_of(widths=(1 / 16,), seeds=(0,))
    path = write(tmp_path / "s.h5", *compared(made, [0], [1]))
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report", [path]).read_text(encoding="utf-8")
    assert "after epoch 1, the last that was compared" in page and "similarity-layers.svg" in page
    assert "similarity-epochs" not in page and "similarity-networks" not in page and "Final representation" not in page
    assert "0.9 or more" in page and "Seeds of one network" not in page
    made["outcome"] = ("point", np.array(["diverged"], object))
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report", [path]).read_text(encoding="utf-8")
    assert "similarity-layers" not in page and not (tmp_path / "report/figures/similarity-layers.svg").exists()
    page = report.write(handmade.write(sweep_of(), tmp_path / "hand.h5"), tmp_path / "report").read_text(encoding="utf-8")
    assert "CKA" not in page and "imilarity" not in page


def test_one_network_has_no_figure_of_networks(tmp_path, undrawn):
    made = sweep_of(widths=(1 / 16,))
    path = write(tmp_path / "s.h5", *compared(made, [0, 1], [1, 2]))
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report", [path]).read_text(encoding="utf-8")
    assert "similarity-networks" not in page and "similarity-layers.svg" in page and "Seeds of one network have a CKA of" in page
    assert pd.read_csv(tmp_path / "report/tables/similarity.csv")["cka_seeds"].notna().any()


def test_many_points_have_no_matrix_of_points(tmp_path, monkeypatch):
    monkeypatch.setattr(similarity, "LARGEST", 4 * 4 * 5 - 1)
    made = sweep_of()
    found = es.add_similarity(made, write(tmp_path / "s.h5", *compared(made, range(4), [2])))
    assert "cka_points" not in found and np.isfinite(found["cka_layers"].values[3]).all()


def test_other_files_are_refused(tmp_path, capsys):
    made = sweep_of()
    sets, cka = compared(made, [0, 1], [2])
    other = write(tmp_path / "other.h5", [("abcd" * 4, e, n) for _, e, n in sets], cka)
    path = handmade.write(made, tmp_path / "hand.h5")
    assert main(["report", str(path), "--to", str(tmp_path / "report"), "--similarity", str(other)]) == 1
    said = capsys.readouterr().err
    assert said == (f"eigenscope_analysis: {other}: compares other points (abcdabcdabcdabcd), none of those of the sweep; eigenscope similarity "
                    f"SWEEP.h5 --to NEW.h5 compares those of the sweep\n")
    assert not (tmp_path / "report").exists()
    twice = write(tmp_path / "twice.h5", sets, cka)
    with pytest.raises(es.SchemaError, match=r"b.h5: compares point 0000000000000000, as .*/twice.h5 does; each point may be in one file only"):
        es.add_similarity(made, twice, write(tmp_path / "b.h5", sets, cka))
    with pytest.raises(es.SchemaError, match="hand.h5: is no file of similarities; eigenscope similarity FILE.h5 --to NEW.h5 writes one"):
        es.add_similarity(made, path)
    with pytest.raises(es.SchemaError, match="none.h5: cannot be read as a file of similarities"):
        es.add_similarity(made, tmp_path / "none.h5")
    (tmp_path / "link.h5").unlink(missing_ok=True)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file.attrs.update({"schema": "eigenscope similarity", "schema_version": 1})
        file["cka"] = h5py.ExternalLink("twice.h5", "cka")
    with pytest.raises(es.SchemaError, match="link.h5: its variable cka is a link"):
        es.add_similarity(made, tmp_path / "link.h5")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_in_the_explorer(tmp_path, monkeypatch):
    """Colours from 0 to 1, the numbers of the file, names of layers and points as labels; light, dark and narrow."""
    monkeypatch.setattr(figures, "ALL", ())
    made = sweep_of()
    made["layer_name"].values[:, 0] = "<b>first</b>"
    path = write(tmp_path / "s.h5", *compared(made, [0, 1, 3], [0, 1, 2]))
    page = report.write(handmade.write(made, tmp_path / "hand.h5"), tmp_path / "report", [path])
    found = es.add_similarity(made, path)
    with Browser(tmp_path) as browser:
        browser.open(page, DRAWN)
        after(browser, lambda: browser.choose("#a-seed", 1))  # point 1
        plot = "document.getElementById('chart-map')"
        for name, expected in (("cka_layers", found["cka_layers"].values[1]), ("cka_last", found["cka_last"].values[1].T),
                               ("cka_points", found["cka_points"].values[1])):
            after(browser, lambda: browser.choose("#measure", name))
            np.testing.assert_allclose(np.array(browser.run(f"{plot}.data[0].z"), float), expected, rtol=6e-8)
            assert browser.run(f"[{plot}._fullLayout.coloraxis.cmin, {plot}._fullLayout.coloraxis.cmax]") == [0, 1]
            assert browser.run(f"{plot}._fullLayout.yaxis.ticktext[0]") == "&lt;b&gt;first&lt;/b&gt;"
        labels = browser.run(f"{plot}._fullLayout.xaxis.ticktext")
        assert labels == ["width 1/16, seed 0", "width 1/16, seed 1", "width 1/8, seed 1"]
        after(browser, lambda: browser.click_on("#compare"))
        wide = browser.run(f"{plot}._fullLayout.xaxis.domain")
        browser.look(380, 800, dark=True)
        browser.wait(f"{plot}._fullLayout.paper_bgcolor === '#161b21' && {plot}._fullLayout.xaxis.domain[1] === 1")
        browser.wait("document.documentElement.scrollWidth <= 380")
        browser.look(1280, 900)
        browser.wait(f"{plot}._fullLayout.paper_bgcolor === '#ffffff' && {plot}._fullLayout.xaxis.domain[1] === {wide[1]}")
        browser.wait(f"{plot}._fullLayout.width > 1000 && {plot}._fullLayout._size.w > 600")  # the margins of the narrow page are gone
        assert browser.errors == []


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_points_of_two_datasets_in_the_explorer(tmp_path, monkeypatch):
    """Labels that differ only in their first word keep it, others of over 30 characters are cut. Points of
    another file have no empty columns, but the point itself stays."""
    monkeypatch.setattr(figures, "ALL", ())
    made = handmade.with_transfer(sweep_of(datasets=("cats", "dogs"), classes=(2, 4)))
    path = handmade.write(made, tmp_path / "hand.h5")
    labels = [f"{name}, width 1/{width}, {classes} classes, seed {seed}" for name in ("cats", "dogs") for width in (16, 8) for classes in (2, 4)
              for seed in (0, 1)]
    plot = "document.getElementById('chart-map')"
    with Browser(tmp_path) as browser:
        for files, shown in (([range(16)], range(16)), ([range(8), range(8, 16)], range(8))):
            paths = [write(tmp_path / f"s{i}.h5", *compared(made, list(points), [2], i)) for i, points in enumerate(files)]
            browser.open(report.write(path, tmp_path / f"report{len(files)}", paths), DRAWN)
            after(browser, lambda: browser.choose("#a-seed", 0))  # point 0
            after(browser, lambda: browser.choose("#measure", "cka_points"))
            assert browser.run(f"{plot}._fullLayout.xaxis.ticktext") == [labels[i] if len(files) == 1 else "…" + labels[i][-29:] for i in shown]
            assert browser.run(f"{plot}._fullLayout.xaxis.title.text") == "compared with"
            expected = es.add_similarity(made, *paths)["cka_points"].values[0][:, shown]
            np.testing.assert_allclose(np.array(browser.run(f"{plot}.data[0].z"), float), expected, rtol=6e-8)
        after(browser, lambda: browser.choose("#measure", "probe_dataset_accuracy"))
        assert "probes on cifar10" in browser.run("document.getElementById('chart-map-title').textContent")
        assert browser.errors == []


def test_of_the_program(small):
    sets = ["--output", "kept", "--set", "measure.similarity=true", "--set", "grid.classes=2"]
    run_program("run", "job.yaml", "--quiet", *sets, cwd=small)
    run_program("merge", "job.yaml", *sets, "--to", "kept.h5", cwd=small)
    with es.open(small / "kept.h5") as data:
        one, other = (f"{data['point_id'].values[row]}/last/{data['layer_name'].values[row][row]}" for row in (0, 1))
    run_program("similarity", "kept.h5", "--output", "kept", "--procrustes", "--pair", f"{one}={other}", "--to", "similarity.h5", cwd=small)
    figure = es.similarity_heatmap(small / "similarity.h5")
    values = np.asarray(figure.axes[0].images[0].get_array())
    assert values.shape == (16, 16) and (np.diag(values) == 1).all()
    run_program("report", "kept.h5", "--to", "report of similarity", "--similarity", "similarity.h5", cwd=small)
    page = (small / "report of similarity/index.html").read_text(encoding="utf-8")
    assert "similarity.h5: 4 of 4 points, 30 samples" in page and "How early layers reach their final representation" in page
    pairs = pd.read_csv(small / "report of similarity/tables/similarity_pairs.csv")
    assert pairs[["point", "epoch", "other_point", "other_epoch"]].values.tolist() == [[0, 3, 1, 3]] and 0 < pairs["procrustes"][0] < 2
    with es.open(small / "kept.h5") as data:
        found = es.add_similarity(data, small / "similarity.h5")
        np.testing.assert_array_equal(found["cka_last"].values[:, -1], np.ones((4, 4)))
        assert np.isfinite(found["procrustes_last"].values[:, :-1]).all() and np.isfinite(found["cka_points"].values).sum() == 4 * 4 * 3
    done = run_program("report", "all.h5", "--to", "x", "--similarity", "none.h5", cwd=small, expect=1)
    assert "none.h5: cannot be read as a file of similarities" in done.stderr
