"""The heat map of similarities: of a file made by hand, and of one that the program makes."""
import h5py
import numpy as np
import pytest

import eigenscope_analysis as es
from conftest import run_program
from eigenscope_analysis import similarity


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


def test_of_the_program(small):
    run_program("run", "job.yaml", "--quiet", "--output", "kept", "--set", "measure.similarity=true", "--set", "grid.seed=0", cwd=small)
    files = sorted((small / "kept/points").glob("*.features.h5"))
    groups = {}
    for path in files:
        with h5py.File(path) as file:
            groups.setdefault(file.attrs["sample_hash"], []).append(path)
    assert sorted(map(len, groups.values())) == [2, 2]  # two widths for each number of classes
    run_program("similarity", *next(iter(groups.values())), "--to", "similarity.h5", cwd=small)
    figure = es.similarity_heatmap(small / "similarity.h5")
    values = np.asarray(figure.axes[0].images[0].get_array())
    assert values.shape == (8, 8) and (np.diag(values) == 1).all()
