"""Files made by hand match the program's names, dimensions and types; both compute equal means."""
import json

import handmade
import numpy as np
from conftest import run_program

import eigenscope_analysis as es
from eigenscope_analysis.sweep import Sweep


def test_hand_made_files_are_like_real_ones(small, write):
    with es.open(small / "all.h5") as real, es.open(write(handmade.make())) as made:
        for name in made.variables:
            if name in real.variables:
                assert made[name].dims == real[name].dims, name
                assert (made[name].dtype.kind in "fiu") == (real[name].dtype.kind in "fiu"), name
        assert set(made.variables) <= set(real.variables)


def test_means_are_those_of_the_program(small):
    """`status`, `show` and the table of points agree on the mean saturation of a point."""
    with es.open(small / "all.h5") as merged:
        points = Sweep(merged).points
    shown = json.loads(run_program("show", "all.h5", "--format", "json", cwd=small).stdout)
    rows = shown["points"] if isinstance(shown, dict) else shown
    assert len(rows) == len(points) == 8
    for row, mean, accuracy in zip(rows, points["saturation"], points["accuracy"]):
        assert np.isclose(row["mean_saturation"], mean, rtol=1e-12)
        assert np.isclose(row["accuracy"], accuracy, rtol=1e-12)
