"""What a user meets: failures of one point, wrong data and options, full disks, progress."""
import gzip
import os
import re
import struct
import subprocess

import harness
import results

JOB = """
name: run
grid: {dataset: toy, model: small, resolution: 16, seed: 0, train.learning_rate: [0.05, 1.0e+20, 0.1]}
models: {small: {vgg: [8, M, 12]}}
datasets: {toy: {format: synthetic, classes: 4, size: 16, channels: 1, train: 200, eval: 40}}
train: {epochs: 2, batch: 32}
"""


def idx(dims, data):
    return struct.pack(">I", 0x0800 | len(dims)) + b"".join(struct.pack(">I", d) for d in dims) + data


class Run(harness.Case):
    def setUp(self):
        super().setUp()
        self.job = self.write("job.yaml", JOB)

    def one_line(self, done, *parts):
        lines = [line for line in done.stderr.splitlines() if line.startswith("eigenscope: ")]
        self.assertEqual(len(lines), 1, done.stderr)
        for part in parts:
            self.assertIn(part, lines[0])

    def test_divergence_stays_with_its_point(self):
        done = self.run_program("run", self.job, "--output", "out", ranks=2, expect=2)
        files = sorted((self.folder / "out/points").glob("*.h5"))
        self.assertEqual(len(files), 3)
        bad, = [f for f in files if results.attribute(f, "outcome") == "diverged"]
        reason = results.attribute(bad, "reason")
        self.assertRegex(reason, r"epoch 1, batch \d+; the first output that is not is that of (features|classifier)\.\d")
        self.assertIn(reason, done.stderr)
        before = bad.stat().st_mtime_ns
        again = self.run_program("run", self.job, "--output", "out", expect=2)
        self.assertEqual(bad.stat().st_mtime_ns, before)
        self.assertIn("3 of 3 points were done before", again.stdout)
        self.assertIn("diverged", self.run_program("status", self.job, "--output", "out", expect=2).stdout)
        self.run_program("run", self.job, "--output", "out", "--retry-failed", expect=2)
        self.assertNotEqual(bad.stat().st_mtime_ns, before)

    def test_points_quiet_and_dry_run(self):
        done = self.run_program("run", self.job, "--output", "out", "--dry-run", "--points", "0,2", ranks=2)
        self.assertFalse((self.folder / "out").exists())
        self.assertIn("nothing was written", done.stdout)
        done = self.run_program("run", self.job, "--output", "out", "--points", "2", "--quiet")
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        self.assertEqual(self.run_program("status", self.job, "--output", "out", "--missing", expect=3).stdout.strip(), "0-1")

    def test_progress(self):
        done = self.run_program("run", self.job, "--output", "out", "--points", "0,2", "--verbose", ranks=2)
        lines = [line for line in done.stdout.splitlines() if ": epoch " in line]
        self.assertEqual(len(lines), 6)
        for line in lines:
            self.assertRegex(line, r"^point \d train\.learning_rate=\S+: epoch \d/2 (loss \S+ )?accuracy \S+ saturation \S+"
                                   r"( \d+ images/s)?$")
        for stage in ("train", "capture", "spectrum", "store", "wait"):
            self.assertRegex(done.stdout, rf"(?m)^  {stage} +\d+\.\d+ +\d+\.\d+ +\d+\.\d+")
        live = self.run_program("run", self.job, "--output", "live", "--points", "0", "--progress", "live")
        self.assertRegex(live.stderr, r"[\r\n]\x1b\[K\d/1 points, .* left \| point 0")
        self.assertTrue(live.stderr.endswith("\n"))

    def test_full_disk(self):
        # The limit binds the rank alone: mpirun writes files too. A rank by itself needs no shared memory (btl self).
        command = f"ulimit -f 8; exec '{harness.PROGRAM}' run job.yaml --output out --points 0"
        done = subprocess.run(["mpirun", "--oversubscribe", "-n", "1", "bash", "-c", command], cwd=self.folder,
                              capture_output=True, text=True, env={**os.environ, "OMPI_MCA_btl": "self"})
        self.assertEqual(done.returncode, 2, done.stderr)
        self.one_line(done, "out/", "File too large")
        self.assertEqual([p for p in (self.folder / "out").rglob("*") if p.is_file()], [])
        self.run_program("run", self.job, "--output", "out", "--points", "0")

    def test_output_that_cannot_be_written(self):
        self.write("file", "")
        self.one_line(self.run_program("run", self.job, "--output", "file/out", expect=1, ranks=2), "file")

    def test_wrong_options(self):
        for arguments, part in ((["--ranks-per-point", "3"], "power of two"), (["--ranks-per-point", "4"], "only 2 ranks"),
                                (["--points", "9"], "9"), (["--task", "3/2"], "3/2"), (["--max-time", "abc"], "abc"),
                                (["--progress", "foo"], "lines or live"), (["--frob"], "--frob"),
                                (["--set", "train.epochs=x"], "--set train.epochs=x")):
            with self.subTest(arguments=arguments):
                self.one_line(self.run_program("run", self.job, "--output", "out", *arguments, ranks=2, expect=1), part)
                self.assertFalse((self.folder / "out").exists())
        self.one_line(self.run_program("run", self.job, "--set", "train.lanes=2", "--ranks-per-point", 4, ranks=4, expect=1),
                      "2 lanes")
        self.one_line(self.run_program("run", "gone.yaml", ranks=2, expect=1), "gone.yaml")
        self.one_line(self.run_program("run", self.folder, expect=1))

    def test_layer_without_channels(self):
        self.one_line(self.run_program("run", self.job, "--set", "grid.width=1/16", expect=1), "job.yaml:",
                      "features.0 would have no channels")

    def dataset(self, images, labels, folder="data"):
        path = self.folder / folder
        path.mkdir(exist_ok=True)
        for split in ("train", "t10k"):
            (path / f"{split}-images-idx3-ubyte").write_bytes(images)
            (path / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
        text = JOB.replace("datasets: {toy: {format: synthetic, classes: 4, size: 16, channels: 1, train: 200, eval: 40}}",
                           f"datasets: {{toy: {{format: idx, path: {folder}}}}}").replace("[0.05, 1.0e+20, 0.1]", "0.05")
        return self.write("idx.yaml", text)

    def test_wrong_data(self):
        n = 40
        pixels, labels = bytes(range(256)) * 40, bytes(i % 4 for i in range(n))
        images = idx((n, 16, 16), pixels)
        good = self.dataset(images, idx((n,), labels))
        self.run_program("run", good, "--output", "good")
        cases = {
            "truncated images": (images[:-1], idx((n,), labels), "train-images-idx3-ubyte"),
            "wrong magic": (b"\0\0\x0d\x03" + images[4:], idx((n,), labels), "train-images-idx3-ubyte"),
            "other count": (images, idx((n - 1,), labels[:-1]), "train-labels-idx1-ubyte"),
            "class without samples": (images, idx((n,), labels.replace(b"\2", b"\1")), "class 2"),
            "truncated labels": (images, idx((n,), labels)[:-1], "train-labels-idx1-ubyte"),
        }
        for name, (image_file, label_file, part) in cases.items():
            with self.subTest(name):
                job = self.dataset(image_file, label_file)
                self.one_line(self.run_program("run", job, "--output", "out", ranks=2, expect=1), part)
                self.assertEqual(list(self.folder.glob("out/points/*")), [])
        job = self.dataset(images, idx((n,), labels))
        (self.folder / "data/t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx((n,), labels[:-1] + b"\x09")))
        self.one_line(self.run_program("run", job, "--output", "out", expect=1), "t10k-labels-idx1-ubyte", "9")
        self.one_line(self.run_program("run", job, "--set", "datasets.toy.path=gone", expect=1), "gone", "idx.yaml:")

    def test_changed_data_are_noticed(self):
        labels = idx((40,), bytes(i % 4 for i in range(40)))
        job = self.dataset(idx((40, 16, 16), bytes(range(256)) * 40), labels)
        self.run_program("run", job, "--output", "out")
        job = self.dataset(idx((40, 16, 16), bytes(reversed(range(256))) * 40), labels)
        self.one_line(self.run_program("run", job, "--output", "out", "--set", "grid.seed=[0, 1]", expect=1), "other data")

    def test_variety(self):
        """Options that change the flow, one run each: finite where measured, epoch 0 evaluated only."""
        for number, sets in enumerate((["train.optimizer=adam", "train.learning_rate=0.01"], ["train.schedule=cosine"],
                                       ["train.schedule={step: 1, gamma: 0.5}"], ["train.batch=1", "datasets.toy.train=9"],
                                       ["train.batch=199"], ["measure.splits=[train]"], ["grid.model=mlp", "grid.width=1/16"],
                                       ["models.small.head=torchvision"], ["datasets.toy.fit=pad", "grid.resolution=20"],
                                       ["measure.every=2", "train.epochs=3"], ["grid.classes=2"])):
            with self.subTest(sets):
                output = f"v{number}"
                words = [word for key in sets for word in ("--set", key)]
                if not any("learning_rate" in key for key in sets):
                    words += ["--set", "grid={dataset: toy, model: small, resolution: 16, seed: 0}"]
                else:
                    words += ["--set", "grid={dataset: toy, model: small, resolution: 16, seed: 0}"]
                words = words[-2:] + words[:-2]  # the grid first, then what changes it
                self.run_program("run", self.job, "--output", output, "--ranks-per-point", 2, *words, ranks=2)
                path, = (self.folder / output / "points").glob("*.h5")
                loss, saturation = results.read(path, "loss"), results.read(path, "saturation")
                self.assertTrue((loss[0, 1:] > 0).all() and (loss[1] > 0).all())
                self.assertTrue((loss[0, 0] != loss[0, 0]) and (saturation[0, 0] != saturation[0, 0]).all())
                self.assertTrue((saturation[0, -1] >= 0).all())
                self.assertEqual(re.findall(r"\.part$", str(path)), [])


if __name__ == "__main__":
    harness.main()
