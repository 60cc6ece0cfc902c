"""eigenscope plan --resolved: the job that a SLURM array reads is the one that was submitted, wherever it is read."""
import json
import os
import shutil
import subprocess

import h5py
import numpy as np

import harness

GRID = """\
grid: {dataset: pictures, model: tiny, width: [1, 2], train.learning_rate: [0.1, 0.01]}
models: {tiny: {mlp: [8]}}
train: {epochs: 1, batch: 16}
datasets: {pictures: {format: hdf5, path: $PICTURES/a.h5, limit: {train: 16}}, other: {format: idx, path: $NONE}}
"""


class Resolved(harness.Case):
    def setUp(self):
        super().setUp()
        self.env = {"PICTURES": "$ pictures"}  # a path may hold a dollar sign
        self.here = self.folder / "jobs/$ pictures"
        self.here.mkdir(parents=True)
        (self.folder / "far/away").mkdir(parents=True)
        generator = np.random.default_rng(5)
        with h5py.File(self.here / "a.h5", "w") as file:
            for split, n in (("train", 32), ("eval", 8)):
                file[f"{split}/images"] = generator.integers(0, 255, (n, 8, 8, 1), dtype="u1")
                file[f"{split}/labels"] = np.arange(n) % 2
        self.job = self.write("jobs/t.yaml", "name: t\n" + GRID)

    def program(self, *arguments, folder=None, expect=0, env=None):
        env = {**os.environ, **(self.env if env is None else env)}
        done = subprocess.run([harness.PROGRAM, *map(str, arguments)], cwd=folder or self.folder, env=env, timeout=60,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def resolve(self, job, *options):
        lines = self.program("plan", job, *options, "--resolved", "kept").stdout.splitlines()
        self.assertEqual([line.split(": ")[0] for line in lines], ["file", "output"])
        return self.folder / lines[0][6:], lines[1][8:]

    def points(self, *arguments, **where):
        return json.loads(self.program("plan", *arguments, "--format", "json", **where).stdout)

    def same(self, name, *options):
        """The resolved job means the same in another folder, without the job file and its variables."""
        before = self.points(f"jobs/{name}", *options)
        path, output = self.resolve(f"jobs/{name}", *options)
        job = self.folder / "jobs" / name
        job.rename(self.folder / "hidden")
        after = self.points(path, folder=self.folder / "far/away", env={})
        (self.folder / "hidden").rename(job)
        self.assertEqual(after["points"], before["points"])
        self.assertEqual((after["output"], output), 2 * (str(self.folder / before["output"]),))
        # Resolved once more it is the same file, which is not written again.
        stamp = path.stat()
        self.assertEqual(self.resolve(path), (path, output))
        self.assertEqual((path.stat().st_ino, path.stat().st_mtime_ns), (stamp.st_ino, stamp.st_mtime_ns))
        return path

    def test_paths_of_every_source(self):
        path = self.same("t.yaml", "--set", "train.batch=8", "--output", "out put")
        self.assertIn("\n# set: train.batch=8\n", path.read_text())
        self.assertIn("\n  batch: 8\n", path.read_text())
        path = self.same("t.yaml")

        # Results of the resolved job are those of the job, and the merged file describes a job with axes of settings.
        self.program("run", path, "--quiet", folder=self.folder / "far", env={})
        self.program("status", "jobs/t.yaml")
        self.program("merge", "jobs/t.yaml", "--to", "t.h5")
        with h5py.File(self.folder / "t.h5") as file:
            self.write("far/merged.yaml", file.attrs["job"])
        self.assertEqual(self.points("far/merged.yaml", env={})["points"], self.points("jobs/t.yaml")["points"])

        self.write("jobs/from.yaml", "name: f\nsource: checkpoint\ncheckpoints: {from: results/t}\n" + GRID)
        self.same("from.yaml")
        weights = self.points("jobs/t.yaml", "--points", "0,2")["points"]
        for point in weights:
            shutil.copy(self.folder / f"results/t/checkpoints/{point['id']}.safetensors",
                        self.folder / f"jobs/w-{point['axes']['width']}-007.safetensors")
        self.write("jobs/files.yaml", "name: g\nsource: checkpoint\n"
                   "checkpoints: {files: 'w-{width}-{epoch:03}.safetensors', epochs: [7]}\n"
                   + GRID.replace(", train.learning_rate: [0.1, 0.01]", ""))
        self.same("files.yaml")

        for epoch in (1, 2):
            shutil.copy(harness.FIXTURES / "activations/good.h5", self.folder / f"jobs/acts-{epoch}.h5")
        self.write("jobs/a.yaml", "name: a\nsource: activations\n"
                   "activations: {file: 'acts-{epoch}.h5', eval: 'acts-{epoch}.h5', epochs: [1, 2]}\n")
        path, _ = self.resolve("jobs/a.yaml")
        for options in ([], ["--set", "measure.delta=[0.5]"]):
            self.assertEqual(self.program("plan", path, *options, "--output", "/x", folder=self.folder / "far", env={}).stdout,
                             self.program("plan", "jobs/a.yaml", *options, "--output", "/x").stdout)

    def test_messages_name_the_job_file(self):
        path, _ = self.resolve("jobs/t.yaml")
        (self.here / "a.h5").unlink()
        for job, shown in (("jobs/t.yaml", "jobs/t.yaml"), (path, self.job)):
            self.assertIn(f"eigenscope: {shown}:5: dataset pictures: ", self.program("run", job, expect=1).stderr)
        # What is wrong in the resolved job itself is named there.
        text = path.read_text()
        path.write_text(text.replace("  epochs: 1\n", "  epochs: none\n"))
        line = 1 + text.split("\n").index("  epochs: 1")
        self.assertIn(f"eigenscope: {path}:{line}: train.epochs must be an integer", self.program("plan", path, expect=1).stderr)
        # A damaged file is replaced; edited text is another job.
        path.write_text("")
        self.assertEqual(self.resolve("jobs/t.yaml")[0], path)
        self.assertEqual(path.read_text(), text)
        path.write_text(text.replace("  epochs: 1\n", "  epochs: 3\n"))
        self.assertNotEqual(self.resolve(path)[0], path)
        # Comments that are no header are no header.
        for head in ("# job: /x.yaml\n", "# A resolved job, written by eigenscope: \n# job: \n", "# A resolved job, written by "
                     "eigenscope: \n# job: " + 2000 * "x" + "\n", "# A resolved job, written by eigenscope: \n# job: \x7f\n"):
            path.write_bytes(head.encode() + b"name: x\n")
            self.assertIn(str(path), self.program("plan", path, expect=1).stderr)

    def test_what_a_job_file_cannot_hold(self):
        folder = os.fsencode(self.folder) + b"/\xff"
        os.mkdir(folder)
        shutil.copy(self.job, folder + b"/t.yaml")
        for words, where, message in ((["t.yaml"], folder, "which is not UTF-8 text"),
                                      ([self.job, "--output", 950 * "o"], None, "output is longer than"),
                                      ([self.job, "--output", "a\nb"], None, "control character")):
            done = self.program("plan", *words, "--resolved", "kept", folder=where, expect=1)
            self.assertIn("cannot be resolved: ", done.stderr)
            self.assertIn(message, done.stderr)
        self.assertFalse((self.folder / "kept").exists())
        self.write("file", "")
        self.assertIn("file: cannot be created as a folder", self.program("plan", self.job, "--resolved", "file/kept", expect=1).stderr)


if __name__ == "__main__":
    harness.main()
