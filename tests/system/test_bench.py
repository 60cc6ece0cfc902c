"""The benchmarks print the tables that they promise; the test checks no times."""
import os
import pathlib
import subprocess
import sys
import unittest

import h5py
import numpy as np

import harness

BENCH = pathlib.Path(os.environ["EIGENSCOPE_SOURCE"]) / "tests/bench"


class Bench(harness.Case):
    def rows(self, text, first):
        """Splits the lines of numbers below the heading that begins with `first`."""
        lines = [line.split() for line in text.splitlines()]
        start = next(i for i, line in enumerate(lines) if line and line[0] == first)
        return lines[start + 1:]

    def test_spectrum(self):
        done = self.run_program("bench", "spectrum", "--orders", "8,40", "--repeats", 1, "--vectors", ranks=2)
        rows = self.rows(done.stdout, "order")
        self.assertEqual({(row[0], row[1], row[2], row[4]) for row in rows if row[1] != "elpa"},
                         {(order, *who, what) for order in ("8", "40") for what in ("values", "vectors")
                          for who in (("dsyevd", "alone"), ("lapack", "alone"), ("lapack", "each"), ("scalapack", "together"))})
        for row in rows:
            self.assertAlmostEqual(float(row[6]), 4e-9 / 3 * int(row[0]) ** 3 / float(row[5]), delta=0.01)
        some = self.run_program("bench", "spectrum", "--orders", "8", "--repeats", 1, "--who", "together", ranks=2)
        self.assertEqual({row[2] for row in self.rows(some.stdout, "order")}, {"together"})

    def test_covariance(self):
        for ranks, columns in ((0, 9), (2, 12)):
            done = self.run_program("bench", "covariance", "--widths", "16,24", "--rows", 1024, "--repeats", 1, ranks=ranks)
            rows = self.rows(done.stdout, "width")
            self.assertEqual([row[0] for row in rows], ["16", "24"])
            self.assertEqual({len(row) for row in rows}, {columns})

    def test_train(self):
        done = self.run_program("bench", "train", "--model", "vgg11", "--widths", "1/16,1/8", "--samples", 64, "--pairs", 1,
                                "--batch", 32)
        self.assertEqual([row[0] for row in self.rows(done.stdout, "width")], ["1/16", "1/8"])
        self.assertIn(", batch 32, float32; oneDNN ", done.stdout)
        done = self.run_program("bench", "train", "--model", "vgg11", "--widths", "1/64", "--samples", 32, "--pairs", 1,
                                "--batch", 32, "--precision", "bfloat16", env={"DNNL_MAX_CPU_ISA": "AVX2"})
        self.assertIn(", batch 32, bfloat16 (emulated); oneDNN ", done.stdout)

    def test_profile(self):
        done = self.run_program("bench", "train", "--model", "resnet18", "--widths", "1/16", "--samples", 64, "--pairs", 1,
                                "--batch", 32, "--profile")
        row, = self.rows(done.stdout, "width")
        layers, covariances, between, data, update, _, _, _, everything, share = map(float, row[1:11])
        self.assertTrue(all(part > 0 for part in (layers, covariances, between, data, update)), row)
        self.assertAlmostEqual(share, 100 * (layers + covariances) / everything, delta=0.5)
        self.assertAlmostEqual(float(row[13]) / float(row[12]), 100 / share, delta=0.1)

    def test_probe(self):
        done = self.run_program("bench", "probe", "--samples", "200,300", "--features", 12, "--classes", "2,3", "--steps", "1,500",
                                "--repeats", 1, ranks=2)
        rows = self.rows(done.stdout, "samples")
        self.assertEqual([tuple(row[i] for i in (0, 1, 2, 8)) for row in rows],
                         [(n, "12", k, c) for n in ("200", "300") for k in ("2", "3") for c in ("no", "yes")])
        with h5py.File(self.folder / "acts.h5", "w") as file:
            file["x"] = np.random.default_rng(1).normal(size=(90, 6)).astype("f4")
            file["labels"] = np.arange(90) % 4
        row, = self.rows(self.run_program("bench", "probe", "--file", "acts.h5", "--samples", 80).stdout, "samples")
        self.assertEqual((row[:3], row[8]), (["80", "6", "4"], "yes"))

    def test_what_is_wrong(self):
        for arguments, message in ((["spectrum", "--who", "all"], "--who all: must be a list of alone, each and together"),
                                   (["spectrum", "--who", "each"], "--who: must include alone when there is only one rank"),
                                   (["spectrum", "--orders", "12;"], "--orders 12;: must be at most 16 numbers from 1 to"),
                                   (["covariance", "--widths", "0"], "--widths 0: must be at most 16 numbers from 1 to"),
                                   (["train", "--model", "vgg12"], "--model vgg12: there is no built-in network and no file with this name"),
                                   (["train", "--widths", "x"], "x"),
                                   (["train", "--precision", "half"], "--precision half: must be float32 or bfloat16"),
                                   (["probe", "--steps", "0"], "--steps 0: must be at most 16 numbers from 1 to"),
                                   (["probe", "--file", "x.h5", "--classes", "3"], "--classes and --features cannot be used with --file"),
                                   (["colour"], "bench needs one of train, covariance, spectrum and probe")):
            with self.subTest(arguments):
                self.assertIn(message, self.run_program("bench", *arguments, expect=1).stderr)

    def script(self, name, *arguments):
        done = subprocess.run([sys.executable, "-B", BENCH / name, "--program", harness.PROGRAM, "--rounds", "1", *arguments],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line.startswith("|")]

    def test_train_vs_torch_profiles(self):
        rows = self.script("train_vs_torch.py", "--only", "profiles", "--rows", "vgg16:1/16,resnet18:1/16", "--samples", "32",
                           "--precisions", "float32")
        self.assertEqual([row[:2] for row in rows[2:]], [["vgg16, 1/16", "float32"], ["resnet18, 1/16", "float32"]])
        for row in rows[2:]:
            self.assertEqual(len(row), len(rows[0]))
            self.assertAlmostEqual(float(row[-3][:-2]), 100 * (float(row[2]) + float(row[3])) / float(row[9]), delta=0.5)

    def test_train_vs_torch_rates(self):
        try:
            import torch  # noqa: F401
        except ImportError:
            self.skipTest("python3-torch is not installed")
        heading, _, row = self.script("train_vs_torch.py", "--only", "rates", "--rows", "resnet18:1/16", "--samples", "32",
                                      "--precisions", "float32", "--python", sys.executable)
        self.assertEqual(len(row), len(heading))
        self.assertAlmostEqual(float(row[1]) / float(row[2]), float(row[3]), delta=0.01 * float(row[3]) + 0.01)

    def test_spectrum_table(self):
        heading, _, *rows = self.script("spectrum.py", "--orders", "16,32", "--ranks", "1,2")
        self.assertEqual(heading[:5], ["order", "dsyevd, 1 rank", "two-stage LAPACK, 1 rank", "two-stage LAPACK, each of 2 ranks",
                                       "ScaLAPACK, 2 ranks"])
        self.assertEqual([row[0] for row in rows], ["16", "32"])
        for row in rows:  # seconds, GFLOP/s, speed-up relative to the best on one rank
            self.assertEqual(max(cell.split(", ")[2] for cell in row[1:3]), "1.00")

    def test_probe_vs_sklearn_table(self):
        try:
            import sklearn  # noqa: F401
        except ImportError:
            self.skipTest("python3-sklearn is not installed")
        heading, _, row = self.script("probe_vs_sklearn.py", "--samples", "300", "--cases", "pixels", "--rivals", "newton-cg")
        self.assertEqual(len(row), len(heading))
        self.assertIn("pixels: 300 × 784 × 10", row[0])

    def test_spectrum_vs_torch_table(self):
        try:
            import torch  # noqa: F401
        except ImportError:
            self.skipTest("python3-torch is not installed")
        heading, _, row = self.script("spectrum_vs_torch.py", "--orders", "64")
        self.assertEqual(len(row), len(heading))
        self.assertTrue(all(float(cell) > 0 for cell in row))


if __name__ == "__main__":
    unittest.main()
