"""compare: finds and locates differences beyond a tolerance, and ignores what differs in all runs."""
import os

import h5py
import handmade
import numpy as np
import pandas as pd
import pytest
from conftest import JOB, run_program

from eigenscope_analysis import SchemaError, compare
from eigenscope_analysis.__main__ import main

SMALL = {"widths": (1 / 8,), "classes": (2, 4), "seeds": (0, 1), "n_epochs": 3, "n_layers": 6}


def test_the_same_is_the_same(write, capsys):
    made = handmade.make(**SMALL)
    a = write(made, "a.h5")
    made["seconds"] = made["seconds"] + 1
    made["host"].values[:] = "there"
    assert main(["compare", str(a), str(write(made, "b.h5"))]) == 0
    assert capsys.readouterr().out.startswith("0 of ")


def test_a_difference_is_found_and_placed(write, tmp_path, capsys):
    made = handmade.make(**SMALL)
    a = write(made, "a.h5")
    made["saturation"].values[2, 1, 3, 4, 1] += 1e-3
    made["accuracy"].values[1, 1, 2] = np.nan
    b = write(made, "b.h5")
    assert main(["compare", str(a), str(b), "--to", str(tmp_path / "table.csv")]) == 2
    table = pd.read_csv(tmp_path / "table.csv").set_index("variable")
    row = table.loc["saturation"]
    assert row.beyond == 1 and row.largest == pytest.approx(1e-3)
    assert row.largest_at == "point 0000000000000002, split eval, epoch 3, layer 4, delta 0.99"
    assert table.loc["accuracy"].one_unknown == 1 and table.loc["accuracy"].beyond == 0
    assert table.drop(["saturation", "accuracy"])[["beyond", "one_unknown"]].to_numpy().sum() == 0
    assert "saturation" in capsys.readouterr().out
    assert main(["compare", str(a), str(b), "--to", str(tmp_path / "none/table.csv")]) == 1
    assert capsys.readouterr().err.startswith("eigenscope_analysis: Cannot save file into a non-existent directory")
    assert main(["compare", str(a), str(b), "--atol", "0.01"]) == 2  # values known on one side only still count
    made["accuracy"].values[1, 1, 2] = 0.5
    both = made.copy(deep=True)
    both["accuracy"].values[1, 1, 2] += 1e-4
    assert main(["compare", str(write(made, "c.h5")), str(write(both, "d.h5")), "--atol", "0.01"]) == 0
    assert main(["compare", str(tmp_path / "c.h5"), str(tmp_path / "d.h5")]) == 2


def test_points_meet_by_their_id(write, capsys):
    made = handmade.make(**SMALL)
    a = write(made, "a.h5")
    assert main(["compare", str(a), str(write(made.isel(point=[3, 1]), "b.h5"))]) == 0
    assert "points only in A: 0000000000000000, 0000000000000002" in capsys.readouterr().out


def wider(made, factor=2):
    """The same sweep at other widths and with other ids, and saturation 0.125 lower in the layer features.7."""
    other = made.copy(deep=True)
    other["width"].values[:] *= factor
    other["point_id"].values[:] = [f"{k:016x}" for k in range(100, 100 + made.sizes["point"])]
    layer = list(made["layer_name"].values[0]).index("features.7")
    other["saturation"].values[:, :, :, layer] -= 0.125
    return other


def test_sweeps_that_differ_in_an_axis(write, tmp_path, capsys):
    made = handmade.make(**SMALL)
    other = wider(made).isel(point=[3, 0, 2])  # another order, and no partner for point 1
    other["layer_name"].values[:, 1] = "features.4"  # features.3 has no partner
    a, b = str(write(made, "a.h5")), str(write(other, "b.h5"))
    assert main(["compare", a, b, "--to", str(tmp_path / "all.csv")]) == 2
    out = capsys.readouterr().out
    assert "width: 1/8 | 1/4\n3 of 4 points of A have a partner among 3 of B, equal in dataset, model, classes, seed\n" in out
    assert "layers only in A: features.3\nlayers only in B: features.4\n" in out
    assert "saturation of B minus that of A, eval split, delta 0.99, mean of 3 pairs\n" in out
    shown = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith(("features.", "classifier."))}
    assert shown == {"features.0": ["+0.000"] * 4, "features.7": ["-0.125"] * 4, "features.10": ["+0.000"] * 4,
                     "features.14": ["+0.000"] * 4, "classifier.6": ["+0.000"] * 4}
    assert "mean of hidden -0.031 -0.031 -0.031 -0.031" in out  # of four layers; the output layer is left out
    assert "  classes 4, seed 1: -0.031; -0.125 at layer features.7, epoch 0\n" in out and "classes 2, seed 1" not in out
    table = pd.read_csv(tmp_path / "all.csv")
    assert len(table) == 3 * (3 + 4) * 5 * 2 and not (set(table["layer"]) & {"features.3", "features.4"})
    assert np.allclose(table["difference"], np.where(table["layer"] == "features.7", -0.125, 0))
    assert np.allclose(table["b"] - table["a"], table["difference"]) and set(table["split"]) == {"train", "eval"}
    assert main(["compare", a, b, "--format", "csv", "--delta", "0.9"]) == 2
    assert capsys.readouterr().out == (tmp_path / "all.csv").read_text()
    assert main(["compare", a, b, "--delta", "0.9"]) == 2
    assert "eval split, delta 0.9, mean of 3 pairs" in capsys.readouterr().out
    assert main(["compare", a, b, "--delta", "0.5"]) == 1
    assert "was not measured at delta 0.5; it has 0.9, 0.99" in capsys.readouterr().err
    before = (tmp_path / "a.h5").read_bytes()
    assert main(["compare", a, b, "--to", a]) == 1
    assert capsys.readouterr().err == f"eigenscope_analysis: --to {a}: the name must end in .csv\n"
    assert (tmp_path / "a.h5").read_bytes() == before
    assert main(["compare", a, str(tmp_path / "all.csv"), "--to", str(tmp_path / "all.csv")]) == 1
    assert "is one of the files to compare" in capsys.readouterr().err


def test_each_model_has_a_table(write, capsys):
    made = handmade.make(**SMALL, models=("vgg11", "vgg16"))
    assert main(["compare", str(write(made, "a.h5")), str(write(wider(made), "b.h5"))]) == 2
    out = capsys.readouterr().out
    assert "delta 0.99, model vgg11, mean of 4 pairs" in out and "delta 0.99, model vgg16, mean of 4 pairs" in out


def test_points_without_partners(write, capsys):
    """Widths 1/8 and 1/4 against 1/2 and 1: nothing says which belongs to which."""
    made = handmade.make(**{**SMALL, "widths": (1 / 8, 1 / 4)})
    assert main(["compare", str(write(made, "a.h5")), str(write(wider(made, 4), "b.h5"))]) == 1
    error = capsys.readouterr().err
    assert "no point of A has a partner in B" in error and "width is 1/4, 1/8 in A and 1, 1/2 in B" in error


def test_points_of_a_sweep_are_chosen(write, capsys):
    made = handmade.make(**{**SMALL, "widths": (1 / 8, 1 / 4)})
    path = str(write(made, "a.h5"))
    assert main(["compare", path, path, "--a", "width=1/8", "--b", "width=0.25", "--b", "classes=4", "--a", "seed=1"]) == 2
    out = capsys.readouterr().out
    assert out.startswith("width: 1/8 | 1/4\n1 of 2 points of A have a partner among 2 of B")
    for condition, sentence in (("width=1/3", "no point has this value; there is 1/8, 1/4"), ("colour=red", "must be AXIS=VALUE; its "
                                "axes are dataset, model, width"), ("width=a/0", "no point has this value")):
        assert main(["compare", path, path, "--a", condition]) == 1
        assert sentence in capsys.readouterr().err


def test_a_setting_that_is_no_axis(small, tmp_path, capsys):
    """A job with another learning rate and batch: the notes name both settings, and layers of real points meet by name."""
    (tmp_path / "job.yaml").write_text(JOB.replace("0.05", "0.1").replace("batch: 16", "batch: 32").replace("train: 90", "train: 80"))
    run_program("run", "job.yaml", "--quiet", "--points", "0", cwd=tmp_path)
    path, = (tmp_path / "out/points").glob("*.h5")
    assert main(["compare", str(small / "all.h5"), str(path)]) == 2
    out = capsys.readouterr().out
    assert "train.learning_rate: 0.05 | 0.1" in out and "train.batch: 16 | 32" in out and "datasets.shapes.train: 90 | 80" in out
    assert "1 of 8 points of A have a partner among 1 of B" in out and "\nmean of hidden " in out
    # As an axis of A and a setting of B, and as another text of the same number.
    (tmp_path / "job.yaml").write_text(JOB.replace("output: out", "output: axis").replace(", learning_rate: 0.05", "").replace(
        "seed: [0, 1]", "seed: [0, 1], train.learning_rate: [5.0e-2, 0.1]").replace("batch: 16", "batch: 32"))
    run_program("run", "job.yaml", "--quiet", "--points", "0-1", cwd=tmp_path)
    run_program("merge", "job.yaml", "--to", "axis.h5", cwd=tmp_path, expect=3)
    assert main(["compare", str(tmp_path / "axis.h5"), str(small / "all.h5")]) == 2
    out = capsys.readouterr().out
    assert "1 of 2 points of A have a partner among 8 of B" in out and "train.batch: 32 | 16" in out
    deep = JOB.replace("model: tiny", "model: deep").replace("12, M]", "12, M, 12]}, deep: {vgg: [8, M, 12, M, 12]")
    (tmp_path / "job.yaml").write_text(deep.replace("output: out", "output: deep"))
    run_program("run", "job.yaml", "--quiet", "--points", "0", cwd=tmp_path)
    path, = (tmp_path / "deep/points").glob("*.h5")
    assert main(["compare", str(small / "all.h5"), str(path)]) == 2
    out = capsys.readouterr().out
    assert "model: tiny | deep\n" in out and "layers only in B: features.8\n" in out


def test_what_wrote_them_is_said(write, capsys):
    made = handmade.make(**SMALL)
    a = write(made, "a.h5")
    made.attrs["version"] = "0.2.0"
    assert main(["compare", str(a), str(write(made, "b.h5"))]) == 0
    assert "version: 0.1.0 | 0.2.0" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\n\n", b"x", b"\x00\x01\xff"])
def test_a_csv_that_cannot_be_read_is_one_sentence(write, tmp_path, capsys, content):
    (tmp_path / "delve.csv").write_bytes(content)
    assert main(["compare", str(write(handmade.make(**SMALL))), str(tmp_path / "delve.csv")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"eigenscope_analysis: {tmp_path / 'delve.csv'}: ") and error.count("\n") == 1


def test_real_files(small):
    assert main(["compare", str(small / "all.h5"), str(small / "all.h5")]) == 0
    one = sorted((small / "out/points").glob("*.h5"))[0]
    assert main(["compare", str(one), str(small / "all.h5")]) == 0


def delve_csv(made, path, point=0, change=0.0):
    """A file as by delve's CSVWriter: semicolons, one row per epoch, dashes in names of modules."""
    names = made["layer_name"].values[point]
    columns = {f"{split}-saturation_{name.replace('.', '-')}": made["saturation"].values[point, i, 1:, layer, 1] + change
               for i, split in enumerate(("train", "eval")) for layer, name in enumerate(names)}
    columns["train-accuracy"] = [0.5] * 3
    pd.DataFrame(columns).to_csv(path, sep=";")
    return str(path)


def test_delve(write, tmp_path, capsys):
    made = handmade.make(**SMALL)
    path = str(write(made))
    same = delve_csv(made, tmp_path / "delve.csv", point=2)
    assert main(["compare", same, path, "--point", "2"]) == 0
    out = capsys.readouterr().out
    assert "by the convention smallest; measure.convention: delve" in out and "0 of 36 numbers in 2 variables" in out
    assert "at delta 0.99 of the result" in out
    assert main(["compare", path, same, "--point", "1"]) == 2
    assert main(["compare", path, delve_csv(made, tmp_path / "other.csv", 0, 1e-3), "--point", "0"]) == 2
    assert main(["compare", path, same]) == 1
    assert "say with --point which of the 4 points" in capsys.readouterr().err
    (tmp_path / "none.csv").write_text("a;b\n1;2\n")
    with pytest.raises(SchemaError, match="no columns as train-saturation_features-0"):
        compare.read_delve(tmp_path / "none.csv")


def delve_counts(eigenvalues, delta):
    """Returns the result of delve 0.1.50's compute_intrinsic_dimensionality: its eigenvectors are those whose cumulative share is below
    delta, and neither of its two corrections can add one. It was compared with delve itself by hand."""
    values = np.clip(np.sort(np.asarray(eigenvalues, float)[np.isfinite(eigenvalues)])[::-1], 0, None)
    return int((values.cumsum() / values.sum() < delta).sum())


def write_delve(path, counts, widths):
    """A CSV of {(split, layer): [count of each epoch]}."""
    columns = {}
    for (split, layer), values in counts.items():
        columns[f"{split}-saturation_{layer.replace('.', '-')}"] = np.array(values) / widths[layer]
        columns[f"{split}-intrinsic-dimensionality_{layer.replace('.', '-')}"] = values
    pd.DataFrame(columns).to_csv(path, sep=";")
    return str(path)


def test_delve_of_activations(tmp_path, capsys):
    """Layers with dashes of their own, several epochs, every delta: delve's numbers computed from the activations themselves."""
    if "EIGENSCOPE" not in os.environ:
        pytest.skip("EIGENSCOPE names no program")
    generator, widths, deltas = np.random.default_rng(5), {"block-1.fc": 12, "head": 5}, (0.5, 0.9, 0.99, 0.999)
    counts = {delta: {("train", layer): [] for layer in widths} for delta in deltas}
    for epoch in (1, 5):
        with h5py.File(tmp_path / f"acts-{epoch}.h5", "w") as file:
            for layer, width in widths.items():
                rows = (generator.normal(size=(400, width)) * 0.6 ** np.arange(width)).astype(np.float32)
                file[layer] = rows
                for delta in deltas:
                    values = np.linalg.eigvalsh(np.cov(rows.astype(float).T, bias=True))
                    counts[delta]["train", layer].append(delve_counts(values, delta))
    job = "name: acts\nsource: activations\noutput: out\nactivations: {file: 'acts-{epoch}.h5', epochs: [1, 5]}\n" \
          "measure: {delta: [0.5, 0.9, 0.99, 0.999], convention: %s}\n"
    for convention, code in (("delve", 0), ("smallest", 2)):
        (tmp_path / "job.yaml").write_text(job % convention)
        run_program("run", "job.yaml", "--quiet", cwd=tmp_path)
        run_program("merge", "job.yaml", "--to", f"{convention}.h5", cwd=tmp_path)
        for delta in deltas:
            path = write_delve(tmp_path / "delve.csv", counts[delta], widths)
            assert main(["compare", str(tmp_path / f"{convention}.h5"), path, "--delta", str(delta)]) == code, delta
            assert "8 numbers in 2 variables" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "delve.h5"), path, "--delta", "0.7"]) == 1
    assert "was not measured at delta 0.7; it has 0.5, 0.9, 0.99, 0.999" in capsys.readouterr().err
    three = write_delve(tmp_path / "three.csv", {key: [1, 2, 3] for key in counts[0.9]}, widths)
    assert main(["compare", str(tmp_path / "delve.h5"), three]) == 1
    assert "has 3 rows, and the result has the epochs 1, 5" in capsys.readouterr().err


def test_delve_of_a_checkpoint(small, tmp_path, capsys):
    (tmp_path / "job.yaml").write_text(f"name: again\nsource: checkpoint\noutput: out\ncheckpoints: {{from: {small / 'out'}}}\n"
                                       "grid: {dataset: shapes, model: tiny, width: 1/2, classes: 3}\n"
                                       + "".join(line + "\n" for line in JOB.splitlines() if line.startswith(("models", "datasets", "train")))
                                       + "measure: {delta: [0.3, 0.9], convention: delve}\n")
    run_program("run", "job.yaml", "--quiet", cwd=tmp_path)
    path, = (tmp_path / "out/points").glob("*.h5")
    with h5py.File(path) as file:
        layers, widths = list(file["layer"].asstr()), dict(zip(file["layer"].asstr(), file["layer_width"][()]))
        spectra = file["eigenvalues"][:, 0]
    for delta in (0.3, 0.9):
        counts = {(split, layer): [delve_counts(spectra[i, k], delta)] for i, split in enumerate(("train", "eval"))
                  for k, layer in enumerate(layers)}
        found = main(["compare", str(path), write_delve(tmp_path / "delve.csv", counts, widths), "--delta", str(delta)])
        assert found == 0, capsys.readouterr().out
        assert f"{4 * len(layers)} numbers in 4 variables" in capsys.readouterr().out
    assert main(["compare", str(path), str(tmp_path / "delve.csv")]) == 0  # the largest, as 0.99 was not measured
    assert "at delta 0.9 of the result" in capsys.readouterr().out
