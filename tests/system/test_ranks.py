"""The promise: equal bits on any number of ranks, with any algorithm of the MPI library."""
import numpy as np

import harness
import results


class SameBits(results.Case):
    # 75 = 3 * 24 + 3: the last batch leaves five of eight lanes empty.
    job = """\
name: t
grid: {dataset: shapes, model: [small, dense], classes: [3, all], resolution: 12, seed: 1}
models: {small: {vgg: [6, M, 10, 16, A, 20]}, dense: {mlp: [12, 9]}}
datasets: {shapes: {format: synthetic, classes: 4, size: 12, channels: 1, train: 75, eval: 42}}
train: {epochs: 3, batch: 24, learning_rate: 0.05, augment: [crop, flip]}
measure: {delta: [0.9, 0.99]}
"""

    def setUp(self):
        super().setUp()
        self.use_whole()

    def test_groups(self):
        for ranks, group in ((2, 2), (4, 4), (8, 8), (2, 1), (5, 4)):
            with self.subTest(ranks=ranks, group=group):
                output = f"{ranks}-{group}"
                self.run_job("--quiet", "--ranks-per-point", group, output=output, ranks=ranks)
                self.assert_same("whole", output)
        for path in self.points("4-4").values():
            self.assertEqual(results.attributes(path)["ranks_per_point"], "4")

    def test_leftover_rank_is_a_group_of_its_own(self):
        self.run_job("--quiet", "--ranks-per-point", 2, output="3-2", ranks=3)
        self.assert_same("whole", "3-2")
        self.assertEqual({results.attributes(path)["ranks_per_point"] for path in self.points("3-2").values()}, {"1", "2"})

    def test_algorithms_of_allreduce(self):
        for algorithm in range(1, 7):
            with self.subTest(algorithm=algorithm):
                output = f"algorithm{algorithm}"
                self.run_job("--quiet", "--ranks-per-point", 4, output=output, ranks=4,
                             env={"OMPI_MCA_coll_tuned_use_dynamic_rules": "1",
                                  "OMPI_MCA_coll_tuned_allreduce_algorithm": str(algorithm)})
                self.assert_same("whole", output)


class SameBitsBfloat16(SameBits):
    """The same in bfloat16, with residual sums: by the CPU's instructions, or emulated."""
    job = SameBits.job.replace("[small, dense]", "[small, dense, residual]") \
        .replace("models: {", "models: {residual: {resnet: [1, 1]}, ").replace("resolution: 12", "resolution: 12, width: 1/4") \
        .replace("{vgg: [6, M, 10, 16, A, 20]}", "{vgg: [24, M, 40, 64, A, 80]}").replace("{mlp: [12, 9]}", "{mlp: [48, 36]}") \
        .replace("train: {", "train: {precision: bfloat16, ")
    always = ("--allow-emulation",)
    test_algorithms_of_allreduce = None  # covariances are float32, as above


class Lanes(results.Case):
    def test_lanes_are_part_of_the_numbers(self):
        # The comparison itself detects the last bit.
        losses = []
        for lanes in (8, 4):
            self.run_job("--quiet", output=str(lanes), sets=[f"train.lanes={lanes}", "grid.seed=0"])
            path, = self.points(str(lanes)).values()
            losses.append(results.variables(path)["loss"])
        self.assertFalse(set(self.points("8")) & set(self.points("4")))
        self.assertFalse(results.same_bits(*losses))
        self.assertTrue(np.allclose(*losses, rtol=0.05, equal_nan=True))
        with self.assertRaises(AssertionError):
            self.assert_same("8", "4")


class Few(results.Case):
    """More ranks than work."""

    def test_more_ranks_than_points(self):
        self.run_job("--quiet", output="1")
        self.run_job("--quiet", output="5", ranks=5)
        self.assert_same("1", "5")

    def test_more_ranks_than_samples_in_a_batch(self):
        sets = ["grid.seed=0", "train.batch=3", "datasets.shapes.train=10", "datasets.shapes.eval=4"]
        self.run_job("--quiet", output="1", sets=sets)
        self.run_job("--quiet", "--ranks-per-point", 8, output="8", sets=sets, ranks=8)
        self.assert_same("1", "8")
        path, = self.points("8").values()
        loss = results.variables(path)["loss"]
        self.assertTrue(np.isfinite(loss[:, 1:]).all() and np.isnan(loss[0, 0]))

    def test_more_ranks_than_layers(self):
        sets = ["grid.seed=0", "measure.layers=[features.0]"]
        self.run_job("--quiet", output="1", sets=sets)
        self.run_job("--quiet", "--ranks-per-point", 4, output="4", sets=sets, ranks=4)
        self.assert_same("1", "4")


if __name__ == "__main__":
    harness.main()
