"""The job files of jobs/: plan accepts each, and their costs are as stated. The authors' grids need datasets that are missing
here: they are refused without them, and stand-ins of equal shapes and counts show that the files are complete."""
import gzip
import json
import os
import pathlib
import re
import struct
import unittest
import unittest.mock
import zlib

import h5py
import numpy as np

import harness

FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
JOBS = harness.SOURCE / "jobs"
SMALL = ["width-vs-difficulty", "evolution", "stability"]
FOUR = ["MNIST", "CIFAR10", "CIFAR100", "TINY_IMAGENET"]
PAPER = {"width": ["CIFAR10"], "difficulty": FOUR, "width-vgg": FOUR, "width-resnet": FOUR, "border": ["CIFAR10"], "evolution": ["CIFAR10"],
         "stability-sgd": ["CIFAR10"], "stability-adam": ["CIFAR10"]}
# A small job takes at most 45 minutes on two cores, with reserve for costs that plan ignores: by tests/bench/README.md they do
# 80 GMAC/s at width 1/8.
MOST_TMAC = 45 * 60 * 0.08


def write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header + array.tobytes())


def write_mnist(folder):
    folder.mkdir()
    for name, n in (("train", 60000), ("t10k", 10000)):
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", np.zeros((n, 28, 28), np.uint8))
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", np.arange(n).astype(np.uint8) % 10)


def write_cifar100(folder):
    folder.mkdir()
    for name, n in (("train", 50000), ("test", 10000)):
        records = np.zeros((n, 2 + 3072), np.uint8)
        records[:, 1] = np.arange(n) % 100
        with gzip.open(folder / f"{name}.bin.gz", "wb", compresslevel=1) as file:
            file.write(records.tobytes())


def write_hdf5(path, counts, size, classes):
    """Images that need little space: all zero, compressed once."""
    shape = (100, size, size, 3)
    chunk = zlib.compress(bytes(np.prod(shape)))
    with h5py.File(path, "w") as file:
        for split, n in zip(("train", "eval"), counts):
            images = file.create_dataset(f"{split}/images", (n, *shape[1:]), np.uint8, chunks=shape, compression="gzip")
            for first in range(0, n, shape[0]):
                images.id.write_direct_chunk((first, 0, 0, 0), chunk)
            file[f"{split}/labels"] = (np.arange(n) % classes).astype(np.int32)


class Jobs(harness.Case):
    def stated(self, path):
        """TMAC according to the comment of a job."""
        return float(re.search(r"([0-9,.]+) TMAC", path.read_text()).group(1).replace(",", ""))

    def plan(self, path, **env):
        return json.loads(self.run_program("plan", path, "--format", "json", env=env).stdout)

    def test_every_job_is_tested(self):
        names = {str(path.relative_to(JOBS)) for path in JOBS.rglob("*.yaml")}
        self.assertEqual(names, {f"{name}.yaml" for name in SMALL} | {f"paper/{name}.yaml" for name in PAPER}
                         | {"quickstart.yaml", "reference.yaml"})

    def assert_states_its_cost(self, path, plan):
        cost, stated = plan["total_macs"] * 1e-12, self.stated(path)
        self.assertAlmostEqual(cost, stated, delta=max(0.5, stated / 1000), msg=path)

    @unittest.skipUnless(FASHION_MNIST.is_dir(), "Fashion-MNIST is not here")
    def test_small_jobs_cost_what_they_say(self):
        for name in SMALL:
            path = JOBS / f"{name}.yaml"
            plan = self.plan(path)
            self.assert_states_its_cost(path, plan)
            self.assertLess(plan["total_macs"] * 1e-12, MOST_TMAC)
            self.assertEqual({point["axes"]["seed"] for point in plan["points"]}, {0, 1, 2})

    def test_small_jobs_take_other_datasets(self):
        write_mnist(self.folder / "mnist")
        write_hdf5(self.folder / "cifar10.h5", (50000, 10000), 32, 10)
        env = {"MNIST": str(self.folder / "mnist"), "CIFAR10": str(self.folder / "cifar10.h5")}
        for name in SMALL:
            self.run_program("plan", JOBS / f"{name}.yaml", "--set", "grid.dataset=[mnist, cifar10]", env=env)

    def test_paper_jobs_without_their_data_are_refused(self):
        for name, variables in PAPER.items():
            with unittest.mock.patch.dict(os.environ):
                for variable in variables:
                    os.environ.pop(variable, None)
                done = self.run_program("plan", JOBS / "paper" / f"{name}.yaml", expect=1)
            lines = done.stderr.splitlines()  # one for each, with what to do
            self.assertEqual({re.search(r"variable (\w+) is not set", line)[1] for line in lines}, set(variables))
            for line in lines:
                self.assertRegex(line, rf"^eigenscope: .*paper/{name}\.yaml:[0-9]+: datasets\.([\w-]+)\.path: the environment variable \w+ "
                                 r"is not set; it must lead to the \w.*: export the variable, or use --set datasets\.\1\.path=PATH$")
            self.assertEqual(done.stdout, "")

    def test_paper_jobs_at_full_size(self):
        write_mnist(self.folder / "mnist")
        write_cifar100(self.folder / "cifar100")
        write_hdf5(self.folder / "cifar10.h5", (50000, 10000), 32, 10)
        write_hdf5(self.folder / "tiny.h5", (100000, 10000), 64, 200)
        env = {"MNIST": str(self.folder / "mnist"), "CIFAR100": str(self.folder / "cifar100"),
               "CIFAR10": str(self.folder / "cifar10.h5"), "TINY_IMAGENET": str(self.folder / "tiny.h5")}
        points = {"width": 4 * 5, "difficulty": 4 * 6, "width-vgg": 80, "width-resnet": 80, "border": 8, "evolution": 12, "stability-sgd": 2,
                  "stability-adam": 2}
        table = (JOBS / "paper/README.md").read_text()
        for name in PAPER:
            path = JOBS / "paper" / f"{name}.yaml"
            plan = self.plan(path, **env)
            self.assertEqual(len(plan["points"]), points[name])
            self.assert_states_its_cost(path, plan)
            row = next(line for line in table.splitlines() if line.startswith(f"| [`{name}.yaml`]"))
            total = int(row.split("|")[4].replace(",", ""))
            self.assertAlmostEqual(plan["total_macs"] * 1e-12, total, delta=max(0.5, total / 1000), msg=row)
            memory = int(row.split("|")[6].replace(",", ""))
            self.assertIn(f" {memory:,} MiB a rank.", path.read_text())
            most = max(point["bytes_per_rank"] for point in plan["points"]) / 2**20  # depends on the CPU
            self.assertTrue(0.7 * memory < most < 1.25 * memory, f"{most} MiB: {row}")


if __name__ == "__main__":
    harness.main()
