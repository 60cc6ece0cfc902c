"""Points that diverge, disks that are full or missing, data that changed: a clear message, and other points unharmed."""
import gzip
import shutil
import struct
import subprocess

import numpy as np

import harness
import results

REASON = (r"the (training|evaluation) loss is not finite in epoch 1, batch \d; the first output that is not finite is that of "
          r"(features|classifier)\.\d+ \(learning rate 1e\+06; try a smaller one\)")


class Diverged(results.Case):
    job = results.JOB.replace("seed: [0, 1]", "train.learning_rate: [0.05, 1.0e+6, 0.01]").replace(
        "learning_rate: 0.05, ", "")

    def setUp(self):
        super().setUp()
        done = self.run_job("--quiet", expect=2)
        self.files_by_rate = {results.attributes(path)["train_learning_rate"]: path for path in self.points().values()}
        self.message = done.stderr
        self.bad = self.files_by_rate[1e6]

    def test_file_and_neighbours(self):
        self.assertEqual(len(self.files_by_rate), 3)
        self.assertEqual([results.attributes(self.files_by_rate[rate])["outcome"] for rate in (0.05, 1e6, 0.01)],
                         ["complete", "diverged", "complete"])
        facts = results.attributes(self.bad)
        self.assertRegex(facts["reason"], f"^{REASON}$")
        self.assertEqual(self.message, f"eigenscope: point 1 ({self.bad.stem}): {facts['reason']}\n")
        variables = results.variables(self.bad)
        self.assertTrue(np.isfinite(variables["loss"][1, 0]) and np.isnan(variables["loss"][:, 2:]).all())
        self.assertTrue(np.isfinite(variables["saturation"][1, 0]).all())
        self.assertTrue((variables["intrinsic_dimension"][:, 2:] == -1).all())
        self.assertFalse(f"checkpoints/{self.bad.stem}.safetensors" in self.files())
        self.assertEqual([name for name in self.files() if name.startswith("state/")], [])

    def test_on_two_ranks(self):
        done = self.run_job("--quiet", "--ranks-per-point", 2, output="two", ranks=2, expect=2)
        self.assertEqual([line for line in done.stderr.splitlines(True) if line.startswith("eigenscope:")], [self.message])
        self.assert_same("out", "two")

    def test_beside_others_on_three_ranks(self):
        self.run_job("--quiet", output="three", ranks=3, expect=2)
        self.assert_same("out", "three")

    def test_not_repeated_unless_asked_for(self):
        before = self.bad.stat().st_mtime_ns
        done = self.run_job(expect=2)
        self.assertIn("3 points, 2 done, 1 diverged (--retry-failed runs such points again); results are in ", done.stdout)
        self.assertEqual(done.stderr, "")
        self.assertEqual(self.bad.stat().st_mtime_ns, before)
        self.run_job("--quiet", "--points", "0,2", "--retry-failed")
        self.assertEqual(self.bad.stat().st_mtime_ns, before)
        self.run_job("--quiet", "--retry-failed", expect=2)
        self.assertNotEqual(self.bad.stat().st_mtime_ns, before)
        self.assertEqual(len(self.points()), 3)

    def test_status(self):
        done = self.run_program("status", "job.yaml", "--output", "out", expect=2)
        # The point has the epochs that it finished, not the planned ones.
        self.assertRegex(done.stdout, r"(?m)^ +1 .* diverged +0 of \d+ .*" + REASON + "$")
        self.assertRegex(self.run_program("show", self.bad).stdout, rf"\ndiverged: {REASON}\n0 of \d+ epochs, accuracy ")
        self.assertIn("3 points: 2 complete, 1 diverged, 0 damaged, 0 missing", done.stdout)
        self.assertEqual(self.missing(expect=2), "")

    def test_dry_run_of_what_diverges_at_once(self):
        done = self.run_job("--dry-run", "--set", "grid.train.learning_rate=[1.0e+38, 0.1]", output="dry", expect=2)
        self.assertIn("2 points, one batch each; 1 failed; nothing was written\n", done.stdout)
        self.assertFalse((self.folder / "dry").exists())


class Disk(results.Case):
    def limited(self, size, *arguments):
        """A run whose files are limited in size; MPI keeps its own data out of files."""
        return self.run_limited(size, "run", "job.yaml", "--output", "out", "--quiet", *arguments, PMIX_MCA_gds="hash")

    def check_full(self, size, kind, *arguments):
        self.use_whole()
        done = self.limited(size, *arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("eigenscope:")]
        self.assertEqual(len(lines), 2, done.stderr)
        for line in lines:
            self.assertRegex(line, rf"^eigenscope: point [01] \(\w+\): out/{kind}/\S+: cannot be written \(\d+ bytes\): "
                                   "File too large$")
        self.assertEqual(self.points(), {})
        self.assertEqual([name for name in self.files() if name.endswith(".part")], [])
        self.run_job("--quiet")
        self.assert_same("whole", "out")

    def test_no_room_for_results(self):
        self.check_full(30000, "points")

    def test_no_room_for_states(self):
        self.check_full(5000, "state")

    def test_no_room_for_weights(self):
        self.check_full(5000, "checkpoints", "--set", "checkpoint={every: 100, keep: all}")

    def refuse_output(self, output, message, code=1):
        for ranks in (0, 2):
            done = self.run_job(output=output, ranks=ranks, expect=code)
            self.assertEqual([line for line in done.stderr.splitlines() if line.startswith("eigenscope:")],
                             [f"eigenscope: {message}"])
            self.assertEqual(done.stdout, "")

    def test_output_below_a_file(self):
        self.refuse_output("job.yaml/x", "job.yaml: cannot be created as a folder: Not a directory")

    def test_output_that_nobody_can_write(self):
        self.refuse_output("/proc/x", "/proc/x: cannot be created as a folder: No such file or directory")

    def test_output_on_a_read_only_disk(self):
        place = self.folder / "place"
        place.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", place], capture_output=True).returncode:
            self.skipTest("mounting a disk is not allowed here")
        self.addCleanup(subprocess.run, ["umount", place])
        self.refuse_output("place/out", "place/out: cannot be created as a folder: Read-only file system", code=2)
        self.assertEqual(list(place.iterdir()), [])
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        self.run_job("--quiet", output="place/out")
        self.use_whole()
        self.assert_same("whole", "place/out")

    def test_output_removed_meanwhile(self):
        process = self.start_job("--set", "datasets.shapes.train=2000", "--set", "train.epochs=100")

        def has_saved():
            return any((self.folder / "out" / "state").glob("*.safetensors"))
        self.wait_for(has_saved, process)
        shutil.rmtree(self.folder / "out")
        out, err = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 2, err)
        for line in err.splitlines():
            self.assertRegex(line, r"^eigenscope: point [01] \(\w+\): out/\w+/\S+: cannot be written( \(\d+ bytes\))?: No such "
                                   "file or directory$")
        self.assertEqual(len(err.splitlines()), 2)
        self.assertIn(": failed (", out)

    def test_result_that_is_damaged_is_made_again(self):
        self.use_whole()
        self.run_job("--quiet")
        path = sorted(self.points().values())[0]
        for damage in (b"", path.read_bytes()[:-1000], b"not HDF5" * 100):
            path.write_bytes(damage)
            self.run_job("--quiet")
            self.assert_same("whole", "out")

    def test_result_that_cannot_be_read_stays(self):
        """An error of the machine is no damage: another machine, or the same one later, may read the file."""
        self.use_whole()
        self.run_job("--quiet")
        path = sorted(self.points().values())[0]
        held = path.read_bytes()
        path.unlink()
        path.symlink_to(path.name)  # each call for the file now fails: too many levels of symbolic links
        done = self.run_job("--quiet", expect=2)
        self.assertRegex(done.stderr, f"^eigenscope: out/points/{path.name}: Too many levels of symbolic links; "
                                      "the file is kept, because it may be valid\n$")
        self.assertTrue(path.is_symlink())
        done = self.run_program("status", "job.yaml", expect=3)
        self.assertRegex(done.stdout, r"unreadable +- +- +- +Too many levels of symbolic links\n")
        self.assertIn("2 points: 1 complete, 0 diverged, 0 damaged, 0 missing, 1 unreadable in out/points/", done.stdout)
        done = self.run_program("merge", "job.yaml", "--to", "all.h5", expect=3)
        self.assertIn("Too many levels of symbolic links", done.stderr)
        path.unlink()
        path.write_bytes(held)
        self.run_job("--quiet")
        self.assert_same("whole", "out")


def idx(dims, data):
    return struct.pack(">I", 0x0800 | len(dims)) + b"".join(struct.pack(">I", d) for d in dims) + data


class ChangedData(results.Case):
    job = """\
name: t
grid: {dataset: files, model: tiny, resolution: [16, 20]}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {files: {format: idx, path: data}}
train: {epochs: 1, batch: 16}
"""

    def write_data(self, first=0, pack=False):
        (self.folder / "data").mkdir(exist_ok=True)
        pixels = bytes((first + i // 7) % 256 if i == 0 else i * i // 91 % 256 for i in range(40 * 256))
        for split in ("train", "t10k"):
            for name, content in (("images-idx3", idx((40, 16, 16), pixels)),
                                  ("labels-idx1", idx((40,), bytes(i % 4 for i in range(40))))):
                path = self.folder / "data" / f"{split}-{name}-ubyte"
                if pack:
                    path.unlink()
                    path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
                else:
                    path.write_bytes(content)

    def refused(self, *arguments, ranks=0):
        before = {name: (self.folder / "out" / name).stat().st_mtime_ns for name in self.files()}
        done = self.run_job(*arguments, ranks=ranks, expect=1)
        line, = [line for line in done.stderr.splitlines() if line.startswith("eigenscope:")]
        self.assertRegex(line, r"^eigenscope: out/points/\w{16}\.h5: was measured on other data \(fingerprint \w{16}, but the "
                               r"dataset \"files\" now has \w{16}\); use another --output, or remove this result$")
        self.assertEqual(done.stdout, "")
        self.assertEqual({name: (self.folder / "out" / name).stat().st_mtime_ns for name in self.files()}, before)

    def test_one_pixel(self):
        self.write_data()
        self.run_job("--quiet", "--points", "0")
        self.write_data(first=1)
        self.refused()  # results are missing, at another resolution
        self.refused(ranks=2)
        self.refused("--points", "0")  # no result is missing
        self.run_job("--quiet", output="other")
        self.write_data()
        self.run_job("--quiet")
        self.assertEqual(len(self.points()), 2)

    def test_packing_is_no_change(self):
        self.write_data()
        self.run_job("--quiet")
        self.write_data(pack=True)
        self.assertIn("2 points, 2 done; results are in ", self.run_job().stdout)


if __name__ == "__main__":
    harness.main()
