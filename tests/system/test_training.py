"""Optimizers, schedules, clipping, label smoothing and augmentation together: equal bits on any number of ranks and after a kill."""
import numpy as np

import harness
import results

# Images of 12 x 12 on a canvas of 16 x 16. About two seconds on one core.
JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, resolution: 16, train.optimizer: [radam, adamw, sgd]}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 12, train: 259, eval: 60, fit: place}}
train:
  epochs: 8
  batch: 16
  learning_rate: 0.01
  weight_decay: 0.01
  nesterov: true
  clip_norm: 0.5
  label_smoothing: 0.1
  warmup: 2
  warmup_start: 0.1
  schedule: {plateau: 0, gamma: 0.5, cooldown: 1, threshold: 0.1}
  augment: [place, crop, resized_crop, flip, erase, {cutout: {size: 4}}]
measure: {every: 4}
"""


class Trained(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        self.use_whole()

    def test_ranks(self):
        for ranks in (2, 4):
            self.run_job("--quiet", "--ranks-per-point", ranks, output=f"out{ranks}", ranks=ranks)
            self.assert_same("whole", f"out{ranks}")

    def test_killed_and_resumed(self):
        process = self.start_job()

        def has_saved():
            return bool(list((self.folder / "out" / "state").glob("*.safetensors")))
        self.wait_for(has_saved, process)
        self.kill(process.pid)
        process.wait(timeout=60)
        self.assertNotEqual(self.missing(), "")
        self.run_job("--quiet", "--ranks-per-point", 2, ranks=2)
        self.assert_same("whole", "out")

    def test_plateau_follows_the_loss(self):
        """The stored learning rates are those of ReduceLROnPlateau for the stored losses."""
        reduced = 0
        for path in self.points("whole").values():
            v = results.variables(path)
            rate, best, waited, cooldown, expected = 0.01, np.inf, 0, 0, [np.nan, 0.001, 0.0055]
            for epoch in range(3, 9):
                expected.append(rate)
                loss = v["loss"][1, epoch]
                waited = 0 if loss < best * 0.9 else waited + 1
                best = loss if loss < best * 0.9 else best
                if cooldown > 0:
                    cooldown, waited = cooldown - 1, 0
                if waited > 0:
                    rate, cooldown, waited = rate / 2, 1, 0
                    reduced += 1
            np.testing.assert_allclose(v["learning_rate"], expected, rtol=1e-12)
            self.assertLess(v["loss"][1, 8], v["loss"][1, 0])
        self.assertGreater(reduced, 0)


class Single(results.Case):
    job = results.JOB.replace("[0, 1]", "0")

    def one(self, *sets, output="out"):
        self.run_job("--quiet", output=output, sets=sets)
        path, = self.points(output).values()
        return results.variables(path)

    def weights(self, output):
        path, = (self.folder / output / "checkpoints").glob("*.safetensors")
        return results.read_safetensors(path)[0]

    def test_rate_zero_keeps_the_weights(self):
        """Only batch norm's running statistics change, so the loss of evaluation changes a little and weights do not."""
        sets = ("train.learning_rate=0", "train.weight_decay=0.1")
        v = self.one(*sets, output="one")
        self.one("train.epochs=1", *sets, output="other")
        self.assertTrue((v["learning_rate"][1:] == 0).all())
        one, other = self.weights("one"), self.weights("other")
        for name in one:
            if "running" not in name and "tracked" not in name:
                self.assertTrue((one[name] == other[name]).all(), name)
        self.assertTrue(any((one[name] != other[name]).any() for name in one if "running" in name))

    def test_label_smoothing_concerns_training_only(self):
        """With rate 0 both runs have equal outputs: evaluation has equal bits, the loss of training differs."""
        sets = ("train.learning_rate=0", "train.epochs=1")
        plain = self.one(*sets, output="plain")
        smooth = self.one(*sets, "train.label_smoothing=0.3", output="smooth")
        self.assertTrue((plain["loss"][1] == smooth["loss"][1]).all())
        self.assertTrue((plain["accuracy"][0, 1:] == smooth["accuracy"][0, 1:]).all())
        self.assertGreater(abs(plain["loss"][0, 1] - smooth["loss"][0, 1]), 1e-4)

    def test_milestones(self):
        rates = self.one("train.schedule={milestones: [1, 2], gamma: 0.5}")["learning_rate"]
        np.testing.assert_allclose(rates, [np.nan, 0.05, 0.025, 0.0125], rtol=1e-12)

    def test_large_resolution(self):
        self.one("grid.resolution=1024", "train.epochs=1", "models.tiny={vgg: [2, M, 2, M]}", "train.batch=2",
                 "datasets.shapes.train=3", "datasets.shapes.eval=3", "train.augment=[resized_crop]")


if __name__ == "__main__":
    harness.main()
