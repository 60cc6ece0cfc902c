"""The promise: the same bits on any number of ranks per point and under any algorithm of MPI_Allreduce."""
import harness
import results

JOB = """
name: ranks
grid: {dataset: toy, model: [small, dense], width: 1, classes: [3, all], seed: 1}
models:
  small: {vgg: [6, M, 10, 16, A, 20]}
  dense: {mlp: [12, 9]}
datasets: {toy: {format: synthetic, classes: 4, size: 12, channels: 1, train: 75, eval: 42}}
train: {epochs: 3, batch: 24, learning_rate: 0.05, augment: [crop, flip]}
measure: {delta: [0.9, 0.99]}
"""  # 75 = 3 * 24 + 3: the last batch leaves five of eight lanes empty


class Ranks(harness.Case):
    def setUp(self):
        super().setUp()
        self.job = self.write("job.yaml", JOB.replace("seed: 1", "seed: 1, resolution: 12"))
        self.run_program("run", self.job, "--output", "one", ranks=1)

    def check(self, name, ranks, per_point, env=None):
        self.run_program("run", self.job, "--output", name, "--ranks-per-point", per_point, ranks=ranks, env=env)
        results.assert_same(self, self.folder / "one", self.folder / name)

    def test_group_sizes(self):
        for ranks, per_point in ((2, 2), (4, 4), (8, 8), (2, 1), (3, 2), (5, 4)):
            with self.subTest(ranks=ranks, per_point=per_point):
                self.check(f"r{ranks}-{per_point}", ranks, per_point)

    def test_allreduce_algorithms(self):
        for algorithm in range(1, 7):
            with self.subTest(algorithm=algorithm):
                self.check(f"a{algorithm}", 4, 4, {"OMPI_MCA_coll_tuned_use_dynamic_rules": "1",
                                                   "OMPI_MCA_coll_tuned_allreduce_algorithm": str(algorithm)})

    def test_tasks_share_the_points(self):
        for task in range(3):
            self.run_program("run", self.job, "--output", "tasks", "--task", f"{task}/3")
        results.assert_same(self, self.folder / "one", self.folder / "tasks")

    def test_measuring_and_saving_change_nothing(self):
        weights = {p.name: results.weights(p) for p in (self.folder / "one/checkpoints").iterdir()}
        for number, change in enumerate((["measure.every=3"], ["measure.delta=[0.5]", "measure.splits=[eval]"],
                                         ["checkpoint.every=3"], ["measure.layers=[\"classifier.*\"]"])):
            output = f"m{number}"
            sets = [word for key in change for word in ("--set", key)]
            self.run_program("run", self.job, "--output", output, *sets)
            found = sorted(results.weights(p) for p in (self.folder / output / "checkpoints").iterdir())
            self.assertEqual(found, sorted(weights.values()), change)


if __name__ == "__main__":
    harness.main()
