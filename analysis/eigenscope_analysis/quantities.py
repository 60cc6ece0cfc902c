"""Numbers of a spectrum for files that lack them: older results, whose eigenvalues determine them. The formulas are those of the
program (include/eigenscope/saturation.h)."""
import numpy as np
import xarray

FIRST, LAST, FEWEST = 4, 100, 4  # of the power law
LONG_NAMES = {
    "effective_rank": "exponential of the entropy of the shares of the covariance's eigenvalues",
    "participation_ratio": "squared sum of the eigenvalues over the sum of their squares",
    "first_component_share": "share of the variance along the first component",
    "stable_rank": "sum of the eigenvalues over the largest",
    "spectral_entropy": "entropy of the shares of the eigenvalues, in nats",
    "rankme": "RankMe of the centred features: from the shares of the square roots of the eigenvalues",
    "numerical_rank": "eigenvalues above the largest times the width times 2^-23",
    "alpha_req": "exponent of the power law that fits the eigenvalues 4 to alpha_req_last",
    "alpha_req_r2": "coefficient of determination of the power law, of logarithms",
    "alpha_req_last": "last eigenvalue of the fit of the power law, counted from 1",
    # NaN: the eigenvalues do not determine it
    "participation_ratio_corrected": "participation ratio from pairs of lanes of samples, which the number of rows does not bias",
}


def add_quantities(dataset):
    """The dataset with all quantities of the spectrum: those that the file lacks are computed from its eigenvalues, which are read
    now. Without eigenvalues (merge --no-spectra), such a quantity is NaN."""
    lacking = [name for name in LONG_NAMES if name not in dataset]
    if not lacking:
        return dataset
    like = dataset["saturation"].isel(delta=0, drop=True)
    if "eigenvalues" in dataset:
        spectra = dataset["eigenvalues"].transpose(*like.dims, "component")
        rows = np.array(spectra.values, dtype=np.float64).reshape(-1, spectra.sizes["component"])
        found = [quantities(row[~np.isnan(row)]) for row in rows]
    else:
        found = [quantities(np.array([]))] * like.size
    added = {name: xarray.DataArray(np.array([one[name] for one in found]).reshape(like.shape), dims=like.dims,
                                    attrs={"long_name": LONG_NAMES[name], "units": "1"}) for name in lacking}
    result = dataset.assign(added)
    result.set_close(dataset.close)
    return result


def quantities(values):
    """{name: number} of the eigenvalues of one layer, descending, ≥ 0."""
    none = dict.fromkeys(LONG_NAMES, np.nan)
    if len(values) == 0 or not np.isfinite(values).all():
        return none
    if values[0] <= 0:  # a dead layer
        return {**none, "numerical_rank": 0.0}
    shares = values / values.sum()
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    roots = np.sqrt(values / values[0])
    roots = roots / roots.sum() + 1e-7
    rank = int((values / values[0] > len(values) * 2.0 ** -23).sum())
    return {**none, **power_law(values, min(rank, LAST)), "effective_rank": np.exp(entropy), "spectral_entropy": entropy,
            "participation_ratio": 1 / (shares ** 2).sum(), "first_component_share": shares[0], "stable_rank": values.sum() / values[0],
            "rankme": np.exp(-(roots * np.log(roots)).sum()), "numerical_rank": float(rank)}


def power_law(values, last):
    """alpha-ReQ: least squares of log λ on log i with the weights 1/i (Agrawal et al., NeurIPS 2022)."""
    if last < FIRST + FEWEST - 1:
        return {}
    i = np.arange(FIRST, last + 1)
    x, y, weights = np.log(i), np.log(values[i - 1] / values[0]), 1 / i
    dx, dy = x - np.average(x, weights=weights), y - np.average(y, weights=weights)
    slope = (weights * dx * dy).sum() / (weights * dx * dx).sum()
    total = ((y - y.mean()) ** 2).sum()
    r2 = 1 - ((dy - slope * dx) ** 2).sum() / total if total > 0 else np.nan
    return {"alpha_req": -slope, "alpha_req_r2": r2, "alpha_req_last": float(last)}
