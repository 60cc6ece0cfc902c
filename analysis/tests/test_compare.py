"""compare: finds and locates differences beyond a tolerance, and ignores what differs in all runs."""
import handmade
import numpy as np
import pandas as pd
import pytest

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
    assert "convention: delve" in out and "0 of 36 numbers in 2 variables" in out
    assert main(["compare", path, same, "--point", "1"]) == 2
    assert main(["compare", path, delve_csv(made, tmp_path / "other.csv", 0, 1e-3), "--point", "0"]) == 2
    assert main(["compare", path, same]) == 1
    assert "say with --point which of the 4 points" in capsys.readouterr().err
    (tmp_path / "none.csv").write_text("a;b\n1;2\n")
    with pytest.raises(SchemaError, match="no columns as train-saturation_features-0"):
        compare.read_delve(tmp_path / "none.csv")
