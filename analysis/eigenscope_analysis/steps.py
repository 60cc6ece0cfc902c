"""When the final order is there: the order of the layers of a network by saturation, and of networks by mean saturation, after
measured training steps (measure.steps), compared with the order after the last epoch."""
import numpy as np

from .sweep import EXCLUDED

ORDERED = 0.8  # Kendall's tau from which two orders count as the same: without ties, nine of ten pairs are ordered alike


def kendall(a, b):
    """Kendall's τ-b of two lists (Kendall 1945): (concordant − discordant pairs)/√(pairs not tied in a · pairs not tied in b). NaN
    for fewer than three numbers, or if all numbers of a list are equal."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3:
        return np.nan
    i, j = np.triu_indices(int(known.sum()), 1)
    first, second = (np.sign(x[known][i] - x[known][j]) for x in (a, b))
    norm = np.sqrt(float(np.count_nonzero(first)) * np.count_nonzero(second))
    return float((first * second).sum() / norm) if norm else np.nan


def settled(values, threshold=ORDERED):
    """Position from which all known values are at least `threshold`; None if the last known one is below, or if none is known."""
    known = np.flatnonzero(np.isfinite(values))
    low = known[values[known] < threshold]
    after = known[known > low[-1]] if len(low) else known
    return int(after[0]) if len(after) else None


class Steps:
    """The measured steps of a sweep. `tau` (point, step): order of the layers of a point; `networks_tau` (step): order of the
    networks, each point at its latest measured step so far. `there` is False if the file has no steps."""

    def __init__(self, sweep):
        self.sweep = sweep
        self.there = "step_saturation" in sweep.data
        if not self.there:
            return
        self.steps = sweep.data["step"].values
        self.epochs = sweep.values("step_epoch")  # (point, step); NaN where the point has no such step
        saturation = sweep.values("step_saturation", delta=sweep.delta_at)  # (point, step, layer)
        flags = np.nan_to_num(sweep.values("step_flags")).astype(int)
        counted = np.isfinite(saturation) & ((flags & EXCLUDED) == 0) & ~sweep.output[:, None, :]
        self.saturation = np.where(counted, saturation, np.nan)
        number = counted.sum(axis=2)
        total = np.where(counted, saturation, 0).sum(axis=2)
        self.mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)  # (point, step)
        self.final, self.final_mean, self.reference = self._final()
        self.tau = np.array([[kendall(row, final) for row in rows] for rows, final in zip(self.saturation, self.final)])
        self.networks_tau = self._networks()

    def _final(self):
        """Saturations of the counted layers after the last epoch on the eval split; where that is not measured, at the last step."""
        sweep, rows = self.sweep, np.arange(len(self.saturation))
        if sweep.split == "eval":
            counted = sweep.counted[rows, sweep.last_at]
            return np.where(counted, sweep.saturation[rows, sweep.last_at], np.nan), sweep.mean_saturation[rows, sweep.last_at], \
                "after the last epoch"
        last = np.where(np.isfinite(self.mean).any(axis=1), self.mean.shape[1] - 1 - np.isfinite(self.mean)[:, ::-1].argmax(axis=1), -1)
        return self.saturation[rows, last], self.mean[rows, last], "at the last measured step"

    def _networks(self):
        """Kendall's τ (step) of the mean saturations of networks (means over their seeds) with the final ones; NaN where a network
        has none."""
        networks = self.sweep.networks
        if len(networks) < 3:
            return np.full(len(self.steps), np.nan)
        own = np.maximum.accumulate(np.where(np.isfinite(self.epochs), np.arange(len(self.steps)), -1), axis=1)  # its latest step
        mean = np.where(own >= 0, np.take_along_axis(self.mean, np.maximum(own, 0), axis=1), np.nan)
        final = [self.final_mean[n.rows].mean() for n in networks]
        means = np.array([mean[n.rows].mean(axis=0) for n in networks])
        return np.array([kendall(row, final) if np.isfinite(row).all() else np.nan for row in means.T])

    def of_points(self):
        """[(row of the point, position of the step from which its layers keep the final order, or None)] of complete points."""
        rows = np.flatnonzero(self.sweep.points["complete"])
        return [(int(row), settled(self.tau[row])) for row in rows if np.isfinite(self.tau[row]).any()]
