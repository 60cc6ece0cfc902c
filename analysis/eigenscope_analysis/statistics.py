"""Statistics for findings."""
import numpy as np
import pandas as pd

# Two-sided 95 % quantiles of Student's t by degrees of freedom, 1 to 30.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
       2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)
RESAMPLES = 2000


def half_width(values):
    """Half of the 95 % confidence interval of a mean (Student's t); NaN for fewer than two values."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    n = len(values)
    if n < 2:
        return np.nan
    quantile = T95[n - 2] if n - 2 < len(T95) else 1.96
    return quantile * values.std(ddof=1) / np.sqrt(n)


def spearman(x, y):
    """Rank correlation; ties share their mean rank. NaN if one side is constant or fewer than two pairs are known."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 2:
        return np.nan
    a, b = (pd.Series(v[both]).rank().to_numpy() for v in (x, y))
    if (a == a[0]).all() or (b == b[0]).all():
        return np.nan
    return float(np.corrcoef(a, b)[0, 1])


def draws(n, generator):
    """Number of draws of each of n seeds in each resample: (RESAMPLES, n) integers."""
    return generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)


def interval(samples):
    """95 % percentile interval; NaN without samples."""
    samples = np.asarray(samples, float)
    samples = samples[np.isfinite(samples)]
    return tuple(np.percentile(samples, [2.5, 97.5])) if len(samples) else (np.nan, np.nan)


def bootstrap_mean(by_seed, generator):
    """Interval of the mean of `by_seed` (one number per seed) by resampling seeds; NaN for one seed."""
    values = np.asarray(by_seed, float)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return np.nan, np.nan
    return interval(draws(len(values), generator) @ values / len(values))


def least_squares(design, response):
    """(coefficients, R²) of an ordinary least-squares fit."""
    coefficients = np.linalg.lstsq(design, response, rcond=None)[0]
    residual = response - design @ coefficients
    spread = ((response - response.mean()) ** 2).sum()
    return coefficients, (1 - (residual ** 2).sum() / spread if spread > 0 else np.nan)


def bootstrap_least_squares(design, response, seeds, generator):
    """Intervals of all coefficients by drawing seeds with all of their rows: (coefficients, 2), NaN for one seed.

    A draw weighs the normal equations of each seed by how often it was drawn, which is the fit on the repeated rows.
    """
    names = pd.unique(seeds)
    if len(names) < 2:
        return np.full((design.shape[1], 2), np.nan)
    left = np.stack([design[seeds == s].T @ design[seeds == s] for s in names])
    right = np.stack([design[seeds == s].T @ response[seeds == s] for s in names])
    weights = draws(len(names), generator)
    lefts, rights = np.tensordot(weights, left, 1), np.tensordot(weights, right, 1)
    regular = np.linalg.cond(lefts) < 1e12
    fits = np.linalg.solve(lefts[regular], rights[regular][..., None])[..., 0]
    return np.stack([interval(fits[:, i]) for i in range(design.shape[1])])
