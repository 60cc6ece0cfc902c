"""Statistics for findings."""
import numpy as np
import pandas as pd

ROUNDING = 1e-6  # percentage points: a smaller number is 0

# Two-sided 95 % quantiles of Student's t by degrees of freedom, 1 to 30.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
       2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)


def standard_error(values):
    """Standard error of a mean; NaN for fewer than two values."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan


def half_width(values):
    """Half of the 95 % confidence interval of a mean (Student's t); NaN for fewer than two values."""
    degrees = np.isfinite(np.asarray(values, float)).sum() - 1
    return (T95[degrees - 1] if degrees <= len(T95) else 1.96) * standard_error(values) if degrees > 0 else np.nan


def mean_interval(by_seed, least=-100, most=100):
    """{estimate, low, high, seeds}: mean over seeds and its 95 % interval, cut at `least` and `most`, by default what a difference of two
    shares can be. `low` and `high` are NaN for one seed. Numbers are percentage points; those below ROUNDING are 0."""
    mean, half = float(np.mean(by_seed)), half_width(by_seed)
    numbers = {"estimate": mean, "low": np.maximum(mean - half, least), "high": np.minimum(mean + half, most)}
    return {**{name: 0.0 if abs(value) < ROUNDING else float(value) for name, value in numbers.items()}, "seeds": len(by_seed)}


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


def least_squares(design, response):
    """(coefficients, R²) of an ordinary least-squares fit."""
    coefficients = np.linalg.lstsq(design, response, rcond=None)[0]
    residual = response - design @ coefficients
    spread = ((response - response.mean()) ** 2).sum()
    return coefficients, (1 - (residual ** 2).sum() / spread if spread > 0 else np.nan)


def fits_by_seed(factors, constants, response, seeds):
    """Least-squares coefficients of `factors` (rows, k) for each seed alone: (seeds, k).

    `constants` (rows, groups) has one indicator for each group. A seed whose rows do not determine the coefficients is left out.
    """
    found = []
    for seed in pd.unique(seeds):
        rows = seeds == seed
        design = np.column_stack([factors[rows], constants[rows][:, constants[rows].any(axis=0)]])
        if np.linalg.matrix_rank(design) == design.shape[1]:
            found.append(least_squares(design, response[rows])[0][:factors.shape[1]])
    return np.array(found).reshape(-1, factors.shape[1])
