"""merge of 10,000 points: in bounded memory, in acceptable time, into a file that is fast to read."""
import json
import os
import shutil
import time
import unittest

import h5py
import numpy as np
import xarray

import harness

POINTS = 10000
JOB = """\
name: many
output: out
grid: {dataset: shapes, model: tiny, seed: %s}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 48, eval: 16}}
train: {epochs: 3, batch: 16}
"""


class MergeMany(harness.Case):
    def make_points(self, count):
        """One real result, and copies with other id, seed and accuracy."""
        self.write("one.yaml", JOB % "[0]")
        self.run_program("run", "one.yaml", "--quiet")
        original = next((self.folder / "out/points").glob("*.h5"))
        self.write("many.yaml", JOB % f"[{', '.join(map(str, range(count)))}]")
        plan = json.loads(self.run_program("plan", "many.yaml", "--format", "json").stdout)
        ids = [point["id"] for point in plan["points"]]
        self.assertEqual(ids[0], original.stem)
        for seed, name in list(enumerate(ids))[1:]:
            path = self.folder / "out/points" / name[:2] / f"{name}.h5"
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(original, path)
            with h5py.File(path, "r+") as file:
                file.attrs["point_id"] = name
                file.attrs["seed"] = np.int64(seed)
                file["accuracy"][1, 3] = seed / POINTS
        return ids

    def peak_of_merge(self, job, to, **options):
        """Peak memory of the merging process in MiB, and seconds."""
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:  # a separate child, to measure its usage alone
            os.chdir(self.folder)
            os.execv(harness.PROGRAM, [harness.PROGRAM, "merge", job, "--to", to])
        _, status, usage = os.wait4(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        return usage.ru_maxrss / 1024, time.monotonic() - start

    def test_ten_thousand_points(self):
        ids = self.make_points(POINTS)
        self.write("few.yaml", JOB % f"[{', '.join(map(str, range(100)))}]")
        few, _ = self.peak_of_merge("few.yaml", "few.h5")
        peak, seconds = self.peak_of_merge("many.yaml", "all.h5")
        size = (self.folder / "all.h5").stat().st_size
        print(f"100 points: {few:.0f} MiB; {POINTS} points: {peak:.0f} MiB, {seconds:.0f} s, file {size / 1e6:.0f} MB")
        self.assertLess(peak, few + 64)
        self.assertLess(peak, 200)
        self.assertLess(size, sum(path.stat().st_size for path in (self.folder / "out/points").rglob("*.h5")) / 4)
        with h5py.File(self.folder / "all.h5", "r") as merged:
            self.assertEqual(merged.attrs["n_points"], POINTS)
            self.assertEqual([name.decode() for name in merged["point_id"]], ids)
            np.testing.assert_array_equal(merged["seed"], np.arange(POINTS))
            np.testing.assert_array_equal(merged["accuracy"][1:, 1, 3], np.arange(1, POINTS) / POINTS)
            np.testing.assert_array_equal(merged["eigenvalues"][POINTS - 1], merged["eigenvalues"][0])
        start = time.monotonic()
        with xarray.open_dataset(self.folder / "all.h5", engine="h5netcdf") as dataset:
            opened = time.monotonic() - start
            mean = dataset.saturation.sel(split="eval", epoch=3).mean("point").load()
            read = time.monotonic() - start
            dataset.eigenvalues.sel(point=4321).load()
            print(f"opened in {opened:.2f} s, one variable over all points {read - opened:.2f} s, one point "
                  f"{time.monotonic() - start - read:.2f} s")
            self.assertEqual(mean.shape, (4, 1))
        self.assertLess(time.monotonic() - start, 10)


if __name__ == "__main__":
    unittest.main()
