"""Files of revision 214bdda (tests/fixtures/results, made by make.sh there), and files without a variable that a newer version
added: they are shown, count as complete and are merged with new ones; the state is resumed."""
import csv
import gzip
import io
import json
import shutil

import h5py
import numpy as np

import harness
import results

FIXTURES = harness.FIXTURES / "results"
ANOTHER_CPU = "results would differ in the last bits; to continue nevertheless, use --accept-cpu-change"


class OlderFiles(harness.Case):
    """Of the job's three points, the first has a result, the second a state, the third nothing."""

    def setUp(self):
        super().setUp()
        shutil.copy(FIXTURES / "job.yaml", self.folder)
        plan = json.loads(self.run_program("plan", "job.yaml", "--format", "json").stdout)
        self.ids = [point["id"] for point in plan["points"]]
        self.points = [self.folder / "results" / "points" / f"{name}.h5" for name in self.ids]
        self.state = self.folder / "results" / "state" / f"{self.ids[1]}.safetensors"
        self.merged = self.folder / "merged.h5"
        for name, path in (("result.h5", self.points[0]), ("state.safetensors", self.state), ("merged.h5", self.merged)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.decompress((FIXTURES / f"{name}.gz").read_bytes()))

    def remove_quantities(self):
        """Removes variables, as from a version that did not know them."""
        tensors, metadata = results.read_safetensors(self.state)
        for own in ("writer", "xxh3"):
            del metadata[own]
        with h5py.File(self.points[0], "r+") as file:
            for name in results.quantities(np.ones(2)):
                file.pop(name, None)
                tensors.pop(f"result.{name}", None)
        results.write_safetensors(self.state, tensors, metadata)

    def assert_quantities(self, found):
        """Measured layers have the quantities of their eigenvalues, all others none."""
        eigenvalues = found["eigenvalues"]
        measured = np.isfinite(eigenvalues[..., 0])
        self.assertTrue(measured.any())
        for name in results.quantities(np.ones(2)):
            self.assertFalse(np.isfinite(found[name][~measured]).any(), name)
        for at in map(tuple, np.argwhere(measured)):
            for name, expected in results.quantities(eigenvalues[at][np.isfinite(eigenvalues[at])]).items():
                np.testing.assert_allclose(found[name][at], expected, rtol=1e-9, err_msg=f"{name} {at}")

    def check_show(self):
        self.assertIn("saturation, eval split, delta 0.99", self.run_program("show", self.points[0]).stdout)
        rows = list(csv.DictReader(io.StringIO(self.run_program("show", self.points[0], "--format", "csv").stdout)))
        told = json.loads(self.run_program("show", self.points[0], "--format", "json").stdout)["rows"]
        self.assertEqual(len(rows), len(told))
        with h5py.File(self.points[0]) as file:
            layers, deltas = list(file["layer"].asstr()), len(file["delta"])
            eigenvalues = file["eigenvalues"][()]
        for row, same in zip(rows, told):
            values = eigenvalues[int(row["split"] == "eval"), int(row["epoch"]), layers.index(row["layer"])]
            for name, expected in results.quantities(values[np.isfinite(values)]).items():
                found = float(row[name] or np.nan)
                np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=name)
                np.testing.assert_equal(found, np.nan if same[name] is None else same[name])
        self.assertGreater(len(rows), deltas * len(layers))
        self.assertEqual({row["layer"] for row in rows if row["layer_border"] == "1"}, {"classifier.3"})

    def check_run(self):
        """The result is not computed again, the state is resumed, and all points are merged."""
        self.assertEqual(self.run_program("status", "job.yaml", "--missing", expect=3).stdout, "1-2\n")
        result = self.points[0].read_bytes()
        saved = results.read_safetensors(self.state)[0]["result.eigenvalues"]
        done = self.run_program("run", "job.yaml", "--accept-cpu-change")
        self.assertEqual(self.points[0].read_bytes(), result)
        self.assertFalse(self.state.exists())
        self.assertNotIn("point 1 seed=1: epoch 1/3", done.stdout + done.stderr)
        self.assertIn("point 1 seed=1: epoch 2/3", done.stdout + done.stderr)
        self.assertEqual(self.run_program("status", "job.yaml", "--missing").stdout, "")
        ended = results.variables(self.points[1])
        self.assert_quantities(ended)
        # Earlier measurements are unchanged, bit by bit: padded in the file, without padding in the state.
        known = saved.reshape(2, 4, -1)
        for split, epoch in ((0, 1), (1, 0), (1, 1)):
            values = ended["eigenvalues"][split, epoch]
            np.testing.assert_array_equal(values[np.isfinite(values)], known[split, epoch])
        self.run_program("merge", "job.yaml", "--to", "all.h5")
        merged = results.variables(self.folder / "all.h5")
        self.assertEqual(list(merged["point"]), [0, 1, 2])
        self.assert_quantities(merged)
        # An MLP: the input of the second layer sees the whole image. The result and the state of 214bdda mark none.
        self.assertEqual(merged["layer_border"].tolist(), [[0, 1, 0, 0]] * 3)

    def test_result(self):
        self.check_show()
        with h5py.File(self.points[0]) as old:
            for name in results.quantities(np.ones(2)):
                if name in old:
                    self.assertEqual(old[name].shape, (2, 4, 4))

    def test_merged_file(self):
        text = self.run_program("show", self.merged).stdout
        self.assertIn("1 of 3", text)

    def test_run(self):
        self.check_run()

    def test_state_on_this_cpu(self):
        done = self.run_program("run", "job.yaml", "--points", "1", expect=None)
        if done.returncode != 0:
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(ANOTHER_CPU, done.stderr)

    def test_lacking_quantities(self):
        self.remove_quantities()
        self.check_show()
        self.check_run()


if __name__ == "__main__":
    harness.main()
