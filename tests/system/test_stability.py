"""Stability of the pattern of saturation, and training that stops when it is stable."""
import json

import h5py
import numpy as np

import results

# Measured at epochs 0, 2, 4, ..., 10 and 11, so the previous measured epoch is not simply the previous epoch.
JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, seed: [0, 1]}
models: {tiny: {vgg: [8, 12, M, 12, 16, M, 24]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 40}}
train: {epochs: 11, batch: 16, learning_rate: 0.02}
measure: {every: 2, delta: [0.9, 0.99]}
"""
FIELDS = ("stability_distance", "stability_pearson", "stability_spearman")
EVAL = 1


def ranks(values):
    """Ranks from 1; equal values share their mean rank."""
    return (values[:, None] > values).sum(1) + ((values[:, None] == values).sum(1) + 1) / 2


def measured(values):
    """Indices of the measured epochs of one split."""
    return [epoch for epoch in range(values["samples"].shape[1]) if values["samples"][EVAL, epoch, 0] >= 0]


def stop_at(values, distance, patience):
    """Predicts the last epoch of such a job from the numbers of a full one."""
    row = 0
    for epoch in measured(values):
        row = row + 1 if values["stability_distance"][0, EVAL, epoch, 0] < distance else 0
        if row == patience:
            return epoch
    return None


class Stability(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()

    def values(self, output, seed=0):
        for path in self.points(output).values():
            if results.attributes(path)["seed"] == seed:
                return results.variables(path)
        self.fail(f"no point of seed {seed}")

    def test_numbers(self):
        values = self.values("whole")
        hidden = values["layer_output"] == 0
        expected = {name: np.full((2, 2, 12, 2), np.nan) for name in FIELDS}
        for split in range(2):
            epochs = [e for e in range(12) if values["samples"][split, e, 0] >= 0]
            self.assertEqual(epochs, [2, 4, 6, 8, 10, 11] if split == 0 else [0, 2, 4, 6, 8, 10, 11])
            for reference, others in enumerate(([None, *epochs[:-1]], [epochs[-1]] * len(epochs))):
                for epoch, other in zip(epochs, others):
                    for delta in range(2) if other is not None else ():
                        a, b = (values["saturation"][split, e, :, delta].copy() for e in (epoch, other))
                        for x, e in ((a, epoch), (b, other)):
                            x[values["flags"][split, e] & 7 != 0] = np.nan
                        keep = hidden & ~np.isnan(a) & ~np.isnan(b)
                        a, b = a[keep], b[keep]
                        numbers = [np.sqrt(np.mean((a - b) ** 2)), np.nan, np.nan]
                        if len(a) > 2 and len(set(a)) > 1 and len(set(b)) > 1:
                            numbers[1:] = np.corrcoef(a, b)[0, 1], np.corrcoef(ranks(a), ranks(b))[0, 1]
                        for name, number in zip(FIELDS, numbers):
                            expected[name][reference, split, epoch, delta] = number
        for name in FIELDS:
            np.testing.assert_allclose(values[name], expected[name], rtol=1e-10, atol=1e-12, err_msg=name)
        distance = values["stability_distance"]
        self.assertTrue((distance[1, :, 11] == 0).all() and np.nanmax(distance) > 0.01)

    def choose(self):
        """Chooses a distance at which both points stop early, at least one not at its first chance."""
        points = [self.values("whole", seed) for seed in (0, 1)]
        candidates = sorted({d for p in points for d in p["stability_distance"][0, EVAL, :, 0] if d > 0})
        for distance in candidates:
            stops = [stop_at(p, distance * (1 + 1e-9), 2) for p in points]
            if None not in stops and max(stops) < 11 and max(stops) > 4:
                return distance * (1 + 1e-9), stops
        self.fail(f"no distance among {candidates} ends both points early")

    def stopping(self, distance):
        return [f"train.stop_when_stable={{distance: {distance!r}, patience: 2}}"]

    def test_stops_and_is_complete(self):
        distance, stops = self.choose()
        sets = self.stopping(float(distance))
        done = self.run_job(sets=sets)
        for seed, stop in enumerate(stops):
            whole, values = self.values("whole", seed), self.values("out", seed)
            for name in ("loss", "accuracy", "mcc", "saturation", "eigenvalues", "samples"):
                self.assertTrue(results.same_bits(values[name][:, :stop + 1], whole[name][:, :stop + 1]), name)
                rest = values[name][:, stop + 1:]
                self.assertTrue((np.isnan(rest) if rest.dtype.kind == "f" else rest == -1).all(), name)
            self.assertTrue((values["stability_distance"][1, :, stop] == 0).all())
            self.assertEqual(list(values["epoch"]), list(range(12)))
            self.assertIn(f"epoch {stop}/11", done.stdout)
        for point, path in self.points().items():
            facts = results.attributes(path)
            self.assertEqual((facts["outcome"], facts["reason"]), ("complete", ""))
            self.assertEqual(facts["stopped_at_epoch"], stops[facts["seed"]])
            shown = self.run_program("show", path).stdout
            self.assertIn(f"complete, stable at delta 0.9 and stopped after epoch {stops[facts['seed']]} of 11, accuracy ", shown)
            document = json.loads(self.run_program("show", path, "--format", "json").stdout)
            self.assertEqual({row["epoch"] for row in document["rows"]}, set(range(stops[facts["seed"]] + 1)))
            _, weights = results.read_safetensors(self.folder / "out/checkpoints" / f"{point}.safetensors")
            self.assertEqual(int(weights["epoch"]), stops[facts["seed"]])
        self.assertEqual([name for name in self.files() if name.startswith("state/")], [])
        options = [word for value in sets for word in ("--set", value)]
        status = self.run_program("status", "job.yaml", *options)
        for stop in stops:
            self.assertIn(f"{stop} of 11", status.stdout)
        self.assertEqual(self.run_job("--quiet", sets=sets).stdout, "")  # no work is left
        self.run_program("merge", "job.yaml", *options, "--to", "all.h5")
        with h5py.File(self.folder / "all.h5") as merged:
            # The point that a grid lists first has seed 0.
            self.assertEqual([int(merged["stopped_at_epoch"][row]) if "stopped_at_epoch" in merged else
                              int(merged.attrs["stopped_at_epoch"]) for row in range(2)], stops)

    def test_merged_with_points_that_ran_on(self):
        # With two distances, the second never stops a point.
        distance, stops = self.choose()
        job = JOB.replace("seed: [0, 1]", "seed: 0, train.epochs: [11, 3]")
        self.write("job.yaml", job.replace("epochs: 11, ", f"stop_when_stable: {{distance: {float(distance)!r}, patience: 2}}, "))
        self.run_job("--quiet")
        self.run_program("merge", "job.yaml", "--to", "all.h5")
        with h5py.File(self.folder / "all.h5") as merged:
            self.assertEqual([str(x) for x in merged["stopped_at_epoch"][()]], [f"{stops[0]}.0", "nan"])

    def test_same_bits_on_ranks_and_after_interruption(self):
        distance, _ = self.choose()
        sets = self.stopping(float(distance))
        self.run_job("--quiet", output="one", sets=sets)
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=str(ranks), ranks=ranks, sets=sets)
            self.assert_same("one", str(ranks))
        # If a folder blocks the result, the state of the last but one epoch remains.
        for point in self.points("one"):
            (self.folder / "again/points" / f"{point}.h5").mkdir(parents=True)
        self.run_job("--quiet", output="again", sets=sets, expect=2)
        for point, path in self.points("one").items():
            (self.folder / "again/points" / f"{point}.h5").rmdir()
            _, metadata = results.read_safetensors(self.folder / "again/state" / f"{point}.safetensors")
            self.assertEqual(int(metadata["epoch"]), results.attributes(path)["stopped_at_epoch"] - 1)
        done = self.run_job("--ranks-per-point", 2, output="again", ranks=2, sets=sets)
        self.assertNotIn("epoch 1/11", done.stdout)
        self.assert_same("one", "again")


if __name__ == "__main__":
    results.harness.main()
