"""The numbers of a spectrum, through the program: what they are, and how far few samples bias the participation ratio."""
import csv
import glob
import io
import os

import h5py
import numpy as np
import pytest
from conftest import run_program

import eigenscope_analysis as es

SAMPLES = 200
SPECTRA = {"even20": np.ones(20), "even100": np.ones(100), "falling100": np.arange(1, 101) ** -0.5}
DRAWS = 40
JOB = "name: spectra\nsource: activations\nactivations: {file: acts.h5}\nmeasure: {delta: [0.9, 0.99]}\n"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The result of Gaussian layers with known covariances, 40 draws of each."""
    if "EIGENSCOPE" not in os.environ:
        pytest.skip("EIGENSCOPE names no program")
    folder, generator = tmp_path_factory.mktemp("spectra"), np.random.default_rng(5)
    with h5py.File(folder / "acts.h5", "w", track_order=True) as file:
        for name, values in SPECTRA.items():
            for i in range(DRAWS):
                file[f"{name}-{i}"] = generator.normal(size=(SAMPLES, len(values))) * np.sqrt(values)
        for i in range(DRAWS):  # four positions, nearly equal within a sample
            file[f"positions-{i}"] = (generator.normal(size=(SAMPLES, 1, 1, 100))
                                      + 0.3 * generator.normal(size=(SAMPLES, 2, 2, 100))).astype("f4")
    (folder / "job.yaml").write_text(JOB)
    run_program("run", "job.yaml", "--quiet", "--output", "out", cwd=folder)
    with es.open(glob.glob(f"{folder}/out/points/*.h5")[0]) as result:
        yield result.sel(split="train").isel(epoch=0).load()


def ratio(values):
    return values.sum() ** 2 / (values ** 2).sum()


@pytest.mark.parametrize("name, shortfall", [("even20", 0.09), ("even100", 0.33), ("falling100", 0.25)])
def test_few_samples_bias_the_participation_ratio(measured, name, shortfall):
    """1/PR_n = 1/PR + 1/n (Chun et al., arXiv 2509.26560) for n rows."""
    found = measured["participation_ratio"].sel(layer=[f"{name}-{i}" for i in range(DRAWS)]).values
    true = ratio(SPECTRA[name])
    error = found.std() / np.sqrt(DRAWS)
    law = 1 / (1 / true + 1 / SAMPLES)
    assert abs(found.mean() - law) < 0.015 * law + 4 * error
    assert found.mean() / true == pytest.approx(1 - shortfall, abs=0.02)  # low, never high
    assert 1 / np.mean(1 / found - 1 / SAMPLES) == pytest.approx(true, rel=0.03)  # and the way back


@pytest.mark.parametrize("name, true", [*((name, ratio(values)) for name, values in SPECTRA.items()), ("positions", 100)])
def test_pairs_of_lanes_correct_the_participation_ratio(measured, name, true):
    """Also where the rows of a sample depend on each other: there the number of rows, 800, says little about the bias."""
    layers = [f"{name}-{i}" for i in range(DRAWS)]
    found = measured["participation_ratio_corrected"].sel(layer=layers).values
    assert abs(found.mean() - true) < 0.002 * true + 4 * found.std() / np.sqrt(DRAWS)
    assert found.std() < 0.05 * true
    if name == "positions":
        plain = measured["participation_ratio"].sel(layer=layers).values.mean()
        assert plain < 0.71 * true and 1 / (1 / plain - 1 / (4 * SAMPLES)) < 0.77 * true


def test_what_the_quantities_are(measured):
    """effective_rank uses eigenvalues of the covariance, not singular values; intrinsic_dimension counts components."""
    for layer in measured["layer"].values[:len(SPECTRA) * DRAWS:7]:
        one = measured.sel(layer=layer)
        values = one["eigenvalues"].dropna("component").values
        for power, name in ((1, "the eigenvalues"), (0.5, "RankMe")):
            p = values ** power / (values ** power).sum()
            same = np.isclose(one["effective_rank"], np.exp(-(p * np.log(p)).sum()), rtol=1e-9)
            assert same == (power == 1), name
        assert one["participation_ratio"].item() == pytest.approx(ratio(values), rel=1e-9)
        shares = np.cumsum(values) / values.sum()
        for delta in (0.9, 0.99):
            assert one["intrinsic_dimension"].sel(delta=delta) == 1 + np.argmax(shares >= delta)


def test_files_say_what_is_measured(measured):
    for name, words in (("intrinsic_dimension", "linear PCA dimension"), ("effective_rank", "RankMe: of their square roots"),
                        ("participation_ratio", "bias it low")):
        assert words in measured[name].attrs["long_name"], name


def test_files_without_the_quantities_get_them(measured):
    """From the eigenvalues, as the program computes them."""
    names = ["effective_rank", "stable_rank", "spectral_entropy", "rankme", "numerical_rank", "alpha_req", "alpha_req_r2", "alpha_req_last",
             "participation_ratio", "first_component_share"]
    added = es.add_quantities(measured.drop_vars(names))
    for name in names:
        np.testing.assert_allclose(added[name], measured[name], rtol=1e-9, err_msg=name)
        assert added[name].dims == measured[name].dims
    assert es.add_quantities(measured) is measured
    assert np.isnan(es.add_quantities(measured.drop_vars(["rankme", "eigenvalues"]))["rankme"]).all()
    corrected = "participation_ratio_corrected"  # the eigenvalues do not determine it
    assert np.isnan(es.add_quantities(measured.drop_vars(corrected))[corrected]).all()


def test_dead_and_short_layers_have_what_the_program_gives():
    from eigenscope_analysis.quantities import quantities
    assert quantities(np.zeros(3))["numerical_rank"] == 0 and np.isnan(quantities(np.zeros(3))["rankme"])
    assert np.isnan(list(quantities(np.array([])).values())).all()
    assert np.isnan(quantities(np.array([3.0, 2, 1]))["alpha_req"])


def test_older_files(tmp_path):
    """Of the program before these quantities were added: as `show --measure` gives them."""
    import gzip
    import pathlib
    old = pathlib.Path(__file__).parents[2] / "tests" / "fixtures" / "results" / "result.h5.gz"
    (tmp_path / "old.h5").write_bytes(gzip.decompress(old.read_bytes()))
    with es.open(tmp_path / "old.h5") as result:
        assert "rankme" not in result
        added = es.add_quantities(result)
        told = run_program("show", "old.h5", "--format", "csv", cwd=tmp_path)
        rows = list(csv.DictReader(io.StringIO(getattr(told, "stdout", told))))
        checked = 0
        for row in rows:
            one = added.sel(split=row["split"], epoch=int(row["epoch"]), layer=row["layer"])
            for name in ("rankme", "spectral_entropy", "stable_rank", "numerical_rank", "alpha_req", "alpha_req_r2", "alpha_req_last"):
                assert one[name].item() == pytest.approx(float(row[name] or "nan"), rel=1e-9, nan_ok=True), name
                checked += 1
            assert row["participation_ratio_corrected"] == ""
        assert checked > 20
