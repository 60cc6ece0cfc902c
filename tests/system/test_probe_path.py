"""probe.l2 with several strengths: the path, the choice and the held-out samples, compared with a naive Newton method."""
import glob

import h5py
import numpy as np

import harness
import results
from test_probes import fit
from test_steps import philox

JOB = """\
name: acts
source: activations
activations: {file: train.h5, eval: eval.h5}
probe: {epochs: last, pool: 2, l2: [0.01, 1, 100, 10000]}
"""
PATH = [0.01, 1, 100, 10000]
NETWORK = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, resolution: 16}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 67, eval: 20}}
train: {epochs: 2, batch: 16, learning_rate: 0.05}
probe: {epochs: all, pool: 2, l2: [0.1, 10]}
"""


def held_out(n):
    """The samples that are held out, by position (src/pipeline/probe_path.h)."""
    return np.array([philox([i, 0, 0, 13 << 24], [0, 0])[0] < 0xffffffff // 10 for i in range(n)])


class Path(harness.Case):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(7)
        centres = random.normal(size=(3, 10))
        self.data = {}
        for split, n in (("train", 260), ("eval", 60)):
            labels = random.integers(0, 3, n)
            labels[:3] = 0, 1, 2  # probe.samples=3 takes these
            near = 0.7 * centres[labels] + random.normal(size=(n, 10))  # weak signal: strength matters
            many = np.concatenate([centres[labels], random.normal(size=(n, 60))], 1) + random.normal(size=(n, 70))
            bad = np.where(np.arange(n * 2).reshape(n, 2) == 9, np.nan, 1.0)
            self.data[split] = {"near": near.astype("f4"), "many": many, "bad": bad.astype("f4"), "labels": labels}
            with h5py.File(self.folder / f"{split}.h5", "w", track_order=True) as file:
                for name, values in self.data[split].items():
                    file[name] = values
        self.write("job.yaml", JOB)

    def result(self, output):
        return results.variables(glob.glob(f"{self.folder}/{output}/points/*.h5")[0])

    def run_path(self, output, *arguments, ranks=1, expect=0):
        return self.run_program("run", "job.yaml", "--quiet", "--output", output, *arguments, ranks=ranks, expect=expect)

    def test_numbers_and_ranks(self):
        for ranks in (1, 2, 5):
            self.run_path(f"out{ranks}", ranks=ranks)
            self.assertEqual(results.different(self.result("out1"), self.result(f"out{ranks}")), [])
        self.run_path("together", "--set", "probe.memory=1", ranks=2)
        self.assertEqual(results.different(self.result("out1"), self.result("together")), [])
        values = self.result("out1")
        self.assertEqual(list(values["l2"]), PATH)
        train, held = self.data["train"], held_out(260)
        self.assertTrue(10 < held.sum() < 50)
        for layer, name in enumerate(("near", "many")):
            x, y = train[name], train["labels"]
            found = []
            for l2 in PATH:
                w, _ = fit(x[~held], y[~held], l2, 3)
                found.append(((np.hstack([x[held], np.ones((held.sum(), 1))]) @ w.T).argmax(1) == y[held]).mean())
            np.testing.assert_allclose(values["probe_path_accuracy"][:, 0, layer], found, atol=1.01 / held.sum())
            own = values["probe_path_accuracy"][:, 0, layer]
            chosen = max(l2 for l2, accuracy in zip(PATH, own) if accuracy == own.max())  # of equal ones the strongest
            self.assertEqual(values["probe_l2"][0, layer], chosen)
            _, objective = fit(x, y, chosen, 3)
            self.assertLess(abs(values["probe_objective"][0, layer] / objective - 1), 1e-6)
        self.assertGreater(len(set(values["probe_path_accuracy"][:, 0, 1])), 1)  # the strength matters
        self.assertTrue(np.isnan(values["probe_l2"][0, 2]) and np.isnan(values["probe_path_accuracy"][:, 0, 2]).all())
        self.assertEqual(list(values["probe_converged"][0]), [1, 1, 255])
        self.assertEqual(values["probe_path_converged"][:, 0].tolist(), [[1, 1, 255]] * len(PATH))
        shown = self.run_program("show", glob.glob(f"{self.folder}/out1/points/*.h5")[0], "--format", "csv").stdout
        self.assertIn(",probe_l2,probe_path_accuracy_0.01,probe_path_accuracy_1,probe_path_accuracy_100,", shown.splitlines()[0])

    def test_one_strength_is_no_path(self):
        self.run_path("one", "--set", "probe.l2=[100]")
        self.run_path("scalar", "--set", "probe.l2=100")
        one, scalar = self.result("one"), self.result("scalar")
        self.assertEqual(results.different(one, scalar), [])
        self.assertNotIn("probe_l2", one)

    def test_too_few_samples(self):
        """Nothing is held out of so few samples: the strongest is taken."""
        self.assertFalse(held_out(3).any())
        self.run_path("few", "--set", "probe.samples=3")
        values = self.result("few")
        self.assertEqual(list(values["probe_l2"][0, :2]), [10000, 10000])
        self.assertTrue(np.isnan(values["probe_path_accuracy"]).all() and (values["probe_path_converged"] == 255).all())
        self.assertEqual(list(values["probe_converged"][0, :2]), [1, 1])

    def test_refused(self):
        for given, message in (("[1, 0.1]", "ascending order"), ("[0, 1]", "a number above 0, or an ascending list of them"),
                               ("[]", "probe.l2 must be"), ("{a: 1}", "probe.l2 must be"), (str([*range(1, 18)]), "at most 16")):
            done = self.run_path("bad", "--set", f"probe.l2={given}", expect=1)
            self.assertIn(message, done.stderr, given)


class Training(results.Case):
    job = NETWORK

    def test_epochs_ranks_and_a_later_run(self):
        """Bits on two ranks, after a stop, and in a merged file beside points of other paths."""
        self.run_job("--quiet")
        path, = self.points().values()
        (self.folder / "again" / "points" / path.name).mkdir(parents=True)  # blocks the result
        self.run_job("--quiet", output="again", expect=2)
        (self.folder / "again" / "points" / path.name).rmdir()
        self.run_job("--quiet", "--ranks-per-point", 2, output="again", ranks=2)
        self.assert_same("out", "again")
        values = results.variables(path)
        self.assertEqual(values["probe_l2"].shape, values["probe_objective"].shape)
        self.assertTrue(np.isin(values["probe_l2"], [0.1, 10]).all())
        self.run_program("merge", "job.yaml", "--to", "all.h5")
        merged = results.variables(self.folder / "all.h5")
        for name in ("probe_l2", "probe_path_accuracy", "probe_path_converged"):
            self.assertTrue(results.same_bits(merged[name][0], values[name]), name)


if __name__ == "__main__":
    harness.main()
