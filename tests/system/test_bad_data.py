"""Errors that `run` finds before anything runs: exit 1, one sentence that names the file or the option, no files left; alone
and under mpirun. test_bad_job.py tests the full messages about job files and datasets."""
import gzip
import os
import pathlib
import struct
import subprocess

import harness
import results

JOB = """\
name: t
output: out
grid: {dataset: files, model: tiny, resolution: 16, seed: [0, 1, 2, 3, 4, 5]}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {files: {format: idx, path: data}}
train: {epochs: 1, batch: 16}
"""
IMAGES, LABELS = 0x803, 0x801
# A program started alone needs no MPI daemon, which takes half of the time of these runs.
ALONE = {"OMPI_MCA_ess_singleton_isolated": "1"}


def images(count=40, magic=IMAGES):
    return struct.pack(">IIII", magic, count, 16, 16) + bytes(i * i // 91 % 256 for i in range(count * 256))


def labels(values, magic=LABELS):
    return struct.pack(">II", magic, len(values)) + bytes(values)


SOUND = {"train-images-idx3-ubyte": images(), "train-labels-idx1-ubyte": labels([i % 4 for i in range(40)]),
         "t10k-images-idx3-ubyte": images(), "t10k-labels-idx1-ubyte": labels([i % 4 for i in range(40)])}


class Refused(results.Case):
    job = JOB

    def setUp(self):
        super().setUp()
        (self.folder / "data").mkdir()
        self.write_data()

    def write_data(self, **files):
        for path in (self.folder / "data").iterdir():
            path.unlink()
        for name, content in {**SOUND, **{name.replace("_", "-"): data for name, data in files.items()}}.items():
            if content is not None:
                (self.folder / "data" / name).write_bytes(content)

    def refuse(self, *parts, arguments=(), job="job.yaml", ranks=0):
        before = sorted(self.folder.rglob("*"))
        done = self.run_program("run", job, *arguments, ranks=ranks, expect=1, env=ALONE)
        lines = done.stderr.splitlines()
        if ranks:  # the launcher adds messages about exit codes above 0
            lines = [line for line in lines if "eigenscope" in line]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("eigenscope: "), done.stderr)
        for part in parts:
            self.assertIn(part, lines[0])
        self.assertEqual(done.stdout, "")
        self.assertEqual(sorted(self.folder.rglob("*")), before)


class Data(Refused):
    def test_sound(self):
        self.run_program("run", "job.yaml", "--quiet", "--points", "0")
        self.assertEqual(len(self.points()), 1)

    def test_missing(self):
        self.refuse("job.yaml:5: dataset files: the folder ", "/gone does not exist", arguments=["--set", "datasets.files.path=gone"])
        for name in SOUND:
            with self.subTest(name=name):
                self.write_data(**{name: None})
                self.refuse("job.yaml:5: dataset files: ", name, "this file does not exist")

    def test_truncated(self):
        for name, content in SOUND.items():
            self.write_data(**{name: content[:-1]})
            self.refuse("job.yaml:5: dataset files: ", name, "truncated: ")
            self.write_data(**{name: content[:7]})
            self.refuse("job.yaml:5: dataset files: ", name, "has 7 bytes, but an IDX header alone has ")

    def test_truncated_and_damaged_gzip(self):
        for name, content in SOUND.items():
            packed = gzip.compress(content)
            flipped = bytearray(packed)
            flipped[len(packed) // 2] ^= 0xff
            for data in (packed[:len(packed) // 2], bytes(flipped)):
                with self.subTest(name=name, bytes=len(data)):
                    self.write_data(**{name: None, name + ".gz": data})
                    self.refuse("job.yaml:5: dataset files: ", name + ".gz")

    def test_truncated_on_two_ranks(self):
        packed = gzip.compress(SOUND["t10k-images-idx3-ubyte"])
        self.write_data(t10k_images_idx3_ubyte=None, **{"t10k-images-idx3-ubyte.gz": packed[:-30]})
        self.refuse("job.yaml:5: dataset files: ", "t10k-images-idx3-ubyte.gz", ranks=2)

    def test_magic(self):
        self.write_data(train_images_idx3_ubyte=images(magic=LABELS))
        self.refuse("train-images-idx3-ubyte", "0x00000801", "0x00000803")
        self.write_data(t10k_labels_idx1_ubyte=labels([0, 1, 2, 3] * 10, magic=0x1234))
        self.refuse("t10k-labels-idx1-ubyte", "0x00001234", "0x00000801")

    def test_counts_that_differ(self):
        self.write_data(train_labels_idx1_ubyte=labels([0, 1, 2, 3] * 9))
        self.refuse("train-", "36", "40")

    def test_labels(self):
        self.write_data(t10k_labels_idx1_ubyte=labels([0, 1, 2, 9] * 10))
        self.refuse("t10k-labels-idx1-ubyte: label 9 of sample 3 is out of range", "from 0 to 3")
        self.write_data(train_labels_idx1_ubyte=labels([0, 1, 3, 3] * 10))
        self.refuse("train-labels-idx1-ubyte: class 2 has no sample")
        self.write_data(t10k_labels_idx1_ubyte=labels([0, 1, 2, 2] * 10))
        self.refuse("files", "class 3")

    def test_more_than_fits_into_memory(self):
        self.refuse("would need about", "TiB on this node", arguments=["--set", "datasets={files: {format: synthetic, train: 10000000, eval: 45}}",
                                              "--set", "grid.resolution=512"])


class Options(Refused):
    def test_options(self):
        for parts, arguments in ((["--points 9: point 9 does not exist; the grid has the points 0-5"], ["--points", "9"]),
                                 (["--points 3-1: the range 3-1 ends before it begins"], ["--points", "3-1"]),
                                 (["--points is empty"], ["--points="]),
                                 (["--task 3/2: ", "I must be below N"], ["--task", "3/2"]),
                                 (["--task 0/0: "], ["--task", "0/0"]),
                                 (["--progress foo: must be lines or live"], ["--progress", "foo"]),
                                 (["--ranks-per-point 3: there is only 1 rank; use mpirun -n 3 or more"], ["--ranks-per-point", "3"]),
                                 (["--ranks-per-point 16: there is only 1 rank; use mpirun -n 16 or more"],
                                  ["--ranks-per-point", "16"]),
                                 (["unknown option --frobnicate; usage: eigenscope run JOB"], ["--frobnicate"]),
                                 (["unknown option --quit; did you mean --quiet?"], ["--quit"]),
                                 (["--max-time needs a value"], ["--max-time"]),
                                 (["--output is empty"], ["--output="]),
                                 (["--output is longer than"], ["--output", "x" * 1000]),
                                 (["the argument other.yaml"], ["other.yaml"]),
                                 (["--set train.epochs=x: train.epochs must be an integer"], ["--set", "train.epochs=x"]),
                                 (["features.0 would have no channels"], ["--set", "grid.width=1/16"])):
            with self.subTest(arguments=arguments):
                self.refuse(*parts, arguments=arguments)

    def test_times(self):
        for text in ("abc", "0", "-5", "nan", "0x10", "5ss", "1:2:", "1:60", "1:2:3:4", "1-2:3", "1-24:00:00", "1:-1",
                     "99999999999:00"):
            with self.subTest(text=text):
                self.refuse(f"--max-time {text}: must be a time above zero, written as 90, 90s, 30m, 12h, MM:SS or [D-]HH:MM:SS",
                            arguments=[f"--max-time={text}"])

    def test_on_two_ranks(self):
        for parts, arguments in ((["--points 9: point 9 does not exist; the grid has the points 0-5"], ["--points", "9"]),
                                 (["--ranks-per-point 4: there are only 2 ranks; use mpirun -n 4 or more"],
                                  ["--ranks-per-point", "4"]),
                                 (["point 0 has only 1 lane", "(set train.lanes: 2)"],
                                  ["--ranks-per-point", "2", "--set", "train.lanes=1"]),
                                 (["features.0 would have no channels"], ["--set", "grid.width=1/16"])):
            with self.subTest(arguments=arguments):
                self.refuse(*parts, arguments=arguments, ranks=2)


class JobFile(Refused):
    def test_files_that_are_no_job(self):
        self.refuse("gone.yaml: cannot be read: No such file or directory", job="gone.yaml")
        self.refuse("data: cannot be read: Is a directory", job="data")
        (self.folder / "program").write_bytes(pathlib.Path(harness.PROGRAM).read_bytes()[:2**20])
        self.refuse(":1: ", "a job file is UTF-8 text", job="program")
        self.refuse("train-images-idx3-ubyte:1: ", job="data/train-images-idx3-ubyte")
        self.refuse("/dev/null:1: the job file is empty", job="/dev/null")

    def test_no_job(self):
        done = subprocess.run([harness.PROGRAM, "run"], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "eigenscope: an argument is missing; usage: eigenscope run JOB [options]\n")

    def test_variable_in_the_output_that_is_not_set(self):
        self.assertNotIn("NO_SUCH_VARIABLE", os.environ)
        self.refuse("NO_SUCH_VARIABLE", arguments=["--set", "output=$NO_SUCH_VARIABLE/x"])

    def test_that_a_refusal_would_be_noticed(self):
        pathlib.Path(self.folder, "out").mkdir()
        with self.assertRaises(AssertionError):
            self.refuse(arguments=["--points", "0"])


if __name__ == "__main__":
    harness.main()
