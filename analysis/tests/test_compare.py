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
    made["point_id"].values[:] = ["x", "y", "z", "u"]
    assert main(["compare", str(a), str(write(made, "c.h5"))]) == 1
    assert "have no point in common" in capsys.readouterr().err


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
