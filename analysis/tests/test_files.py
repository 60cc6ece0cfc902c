"""open() and to_frame(): content, lazy reading, and refused files."""
import os
import re
import subprocess
import sys

import h5py
import handmade
import numpy as np
import pytest
from conftest import HERE

import eigenscope_analysis as es
from eigenscope_analysis.files import merged_order
from eigenscope_analysis.sweep import Sweep


def test_numbers_come_through(write):
    made = handmade.make()
    with es.open(write(made)) as r:
        assert r.sizes["point"] == 27
        np.testing.assert_array_equal(r["saturation"].values, made["saturation"].values)
        assert list(r["width"].values[:3]) == [1 / 16] * 3
        assert r.attrs["job_name"] == "by hand"


def test_open_reads_no_spectra(write):
    """Data variables are not read before they are used."""
    with es.open(write(handmade.make())) as r:
        for name in ("eigenvalues", "saturation"):
            assert not r[name].variable._in_memory, name
        one = r["eigenvalues"].isel(point=3, split=1)
        assert not one.variable._in_memory
        assert one.values.shape == (6, 8, 16)


def test_not_measured_is_nan(write):
    made = handmade.make(n_epochs=2)
    made["samples"][0, 1, 2, 3] = np.nan
    with es.open(write(made)) as r:
        assert np.isnan(r["samples"].values[0, 1, 2, 3])
        assert r["samples"].values[0, 1, 2, 4] == 1000


def test_frame_is_tidy(write):
    made = handmade.make(n_epochs=2)
    frame = es.to_frame(write(made))
    # Epoch 0 is measured on one split alone: (2 epochs x 2 splits + 1) x 8 layers x 2 deltas
    assert len(frame) == 27 * 5 * 8 * 2
    assert not {"eigenvalues", "probe_accuracy"} & set(frame)
    row = frame[(frame.point == 5) & (frame.split == "eval") & (frame.epoch == 2) & (frame.layer == 3) & (frame.delta == 0.99)]
    assert len(row) == 1
    assert row.saturation.item() == made["saturation"].values[5, 1, 2, 3, 1]
    assert row.accuracy.item() == made["accuracy"].values[5, 1, 2]
    assert row.layer_name.item() == "features.10" and row.width.item() == 1 / 16 and row.seed.item() == 2


def test_frame_of_chosen_variables(write):
    path = write(handmade.make(n_epochs=2))
    frame = es.to_frame(path, ["accuracy"])
    assert len(frame) == 27 * 5
    with pytest.raises(es.SchemaError, match="eigenvalues: the file has no such variable over point, split, epoch, layer, delta"):
        es.to_frame(path, ["eigenvalues"])


def test_a_layer_is_chosen_by_name(write, small):
    """In merged files as in files of points, although the name is at other places in other networks, or in some only."""
    made = handmade.make(widths=(1 / 8, 1 / 4), classes=(2,), seeds=(0,), n_epochs=2, n_layers=6)
    names = made["layer_name"].values
    names[1] = [names[1][1], names[1][0], "own", *names[1][3:]]
    with es.open(write(made)) as r:
        for name, places in ((str(names[0][0]), (0, 1)), (str(names[0][3]), (3, 3))):
            one = es.at_layer(r, name)
            assert "layer" not in one.saturation.dims and one.layer == name
            for point, place in enumerate(places):
                np.testing.assert_array_equal(one.saturation.isel(point=point), made["saturation"].values[point, :, :, place])
                np.testing.assert_array_equal(es.at_layer(r.isel(point=point), name).saturation, one.saturation.isel(point=point))
            np.testing.assert_array_equal(one.accuracy, made["accuracy"])
        own = es.at_layer(r, "own")
        assert np.isnan(own.saturation.isel(point=0)).all() and np.isnan(own.layer_width[0]) and own.layer_width[1] == 16
        np.testing.assert_array_equal(own.saturation.isel(point=1), made["saturation"].values[1, :, :, 2])
        np.testing.assert_array_equal(own.accuracy, made["accuracy"])
        with pytest.raises(es.SchemaError, match="there is no layer conv3; layers are features.0, features.3"):
            es.at_layer(r, "conv3")
    path = sorted((small / "out/points").glob("*.h5"))[0]
    with es.open(path) as point, es.open(small / "all.h5") as merged:
        row = list(merged.point_id.values).index(path.stem)
        for name in point.layer.values:
            np.testing.assert_array_equal(es.at_layer(point, name).saturation, point.saturation.sel(layer=name))
            np.testing.assert_array_equal(es.at_layer(merged, name).saturation.isel(point=row), point.saturation.sel(layer=name))


def test_layers_keep_the_order_of_the_network(write):
    """In the README's pivot, by any version of pandas; also where networks have different layers."""
    made = handmade.make(n_epochs=2, n_layers=12, datasets=("svhn", "cifar"))
    names = [str(name) for name in made["layer_name"].values[0]]
    assert names != sorted(names)
    frame = es.to_frame(write(made))
    pivot = frame[frame.split == "eval"].pivot_table("saturation", "layer_name", ["dataset", "width"], observed=True)
    assert list(pivot.index) == names and list(dict.fromkeys(pivot.columns.get_level_values(0))) == ["svhn", "cifar"]
    assert merged_order([["a", "b10", "c", ""], ["a", "b9", "b10", "c"], ["a", "b9", "d", "c"]]) == ["a", "b9", "d", "b10", "c"]
    for row in (["a", "b9", "b10", "c"], ["a", "b9", "d", "c"]):
        assert [name for name in merged_order([row, ["a", "c"]]) if name in row] == row


def test_control_characters_of_names(write):
    """They reach neither coordinates, nor variables, nor a table."""
    made = handmade.make(n_epochs=1)
    for name in ("layer_name", "layer_kind"):
        made[name][:, 1] = "x\x1b[31m\nx\u202e"
    path = write(made)
    with es.open(path) as r:
        for name in ("layer_name", "layer_kind"):
            assert set(r[name].values[:, 1].astype(str)) == {"x?[31m?x?"}, name
    frame = es.to_frame(path)
    for name in ("layer_name", "layer_kind"):
        assert "x?[31m?x?" in set(frame[name]) and not any(ord(c) < 32 for word in frame[name].astype(str) for c in word)


@pytest.mark.parametrize("package", ["h5py", "h5netcdf"])
def test_missing_package_is_named(package, write):
    """xarray alone would say: unrecognized engine h5netcdf. h5netcdf 1.8 does not bring h5py."""
    path = write(handmade.make(n_epochs=1))
    code = (f"import sys; sys.path[:] = {sys.path!r}; sys.modules[{package!r}] = None; from eigenscope_analysis.__main__ import main; "
            f"sys.exit(main(['report', {str(path)!r}, '--to', {str(path.parent / 'report')!r}]))")
    done = subprocess.run([sys.executable, "-B", "-c", code], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == (f"eigenscope_analysis: Python's {package} is missing; install it (python3-{package} in Debian, "
                           f"{package} elsewhere)\n")


def test_what_is_no_result_is_refused(tmp_path, write):
    with pytest.raises(es.SchemaError, match="no such file"):
        es.open(tmp_path / "nowhere.h5")
    with pytest.raises(es.SchemaError, match="is a folder; merge its results first"):
        es.open(tmp_path)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(es.SchemaError, match="text.h5: cannot be read as a result"):
        es.open(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]  # no dimension scale: xarray refuses it in words of its own
    with pytest.raises(es.SchemaError, match="no result of eigenscope: it has no attribute schema"):
        es.open(tmp_path / "other.h5")
    made = handmade.make(n_epochs=1)
    made.attrs["schema_version"] = 2
    with pytest.raises(es.SchemaError, match="schema version 2; this program reads version 1"):
        es.open(write(made, "later.h5"))


def test_a_file_is_read_alone(tmp_path, write):
    def elsewhere(change):
        path = write(handmade.make(n_epochs=1), "links.h5")
        with h5py.File(path, "r+") as file:
            shape = file["loss"].shape
            del file["loss"]
            change(file, shape)
        with pytest.raises(es.SchemaError, match="links.h5: its variable loss is a link or is stored in another file"):
            es.open(path)

    write(handmade.make(n_epochs=1), "other.h5")
    elsewhere(lambda file, shape: file.__setitem__("loss", h5py.ExternalLink("other.h5", "/loss")))
    elsewhere(lambda file, shape: file.__setitem__("loss", h5py.SoftLink("/accuracy")))
    elsewhere(lambda file, shape: file.create_dataset("loss", shape, "f8", external=[("other.h5", 0, h5py.h5f.UNLIMITED)]))

    def virtual(file, shape):
        layout = h5py.VirtualLayout(shape, "f8")
        layout[...] = h5py.VirtualSource("other.h5", "loss", shape)
        file.create_virtual_dataset("loss", layout)

    elsewhere(virtual)
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(es.SchemaError, match="is a device or a pipe, not a file"):
        es.open(tmp_path / "pipe.h5")


def test_a_point_is_a_sweep_of_one(small):
    """The file of a point equals its row in the merged file."""
    with es.open(small / "all.h5") as merged:
        whole = Sweep(merged).points.set_index("point_id")
        for path in sorted((small / "out/points").glob("*.h5"))[:3]:
            with es.open(path) as r:
                assert "point" not in r.dims
                points = Sweep(r).points
            assert len(points) == 1
            own, row = points.iloc[0], whole.loc[path.stem]
            for name in ("dataset", "model", "width", "classes", "seed", "outcome", "accuracy", "saturation", "epochs"):
                assert own[name] == row[name], name
            assert len(es.to_frame(path)) == len(es.to_frame(small / "all.h5", ).query("point == @row.point"))


def test_the_example_of_the_readme(small, monkeypatch):
    """The Python of the README runs unchanged on a merged file of another job."""
    text = (HERE.parent / "README.md").read_text()
    example, = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "es.to_frame" in block)
    monkeypatch.chdir(small)
    names = {}
    exec(example, names)
    assert names["r"].sizes["point"] == 8
    assert set(names["late"].epoch) == {3} and len(names["late"]) == 8 * names["r"].sizes["layer"]
