"""plan predicts the memory of a point: within 25 % of what run --verbose measures, per rank and per node."""
import json
import re
import subprocess

import h5py
import numpy as np

import harness

JOB = """
name: memory
grid: {{dataset: toy, model: {model}, width: {width}, seed: 0}}
datasets: {{toy: {{format: synthetic, classes: 4, size: 32, channels: 1, train: {train}, eval: 64}}}}
train: {{epochs: 2, batch: 128, optimizer: {optimizer}, precision: {precision}}}
measure: {{method: {method}, eigenspace: {eigenspace}}}
"""


@harness.not_sanitized("they take memory of their own, and more address space than is allowed here")
class Memory(harness.Case):
    def check(self, ranks, **job):
        values = {"model": "vgg11", "width": "1/4", "train": 512, "optimizer": "sgd", "method": "channelwise",
                  "eigenspace": "false", "precision": "float32", **job}
        path = self.write("job.yaml", JOB.format(**values))
        plan = json.loads(self.run_program("plan", path, "--format", "json", "--ranks-per-point", ranks).stdout)
        point = plan["points"][0]
        done = self.run_program("run", path, "--ranks-per-point", ranks, "--verbose", "--output", "out", "--allow-emulation",
                                ranks=ranks)
        rank, node = map(int, re.search(r"at most (\d+) MiB in one rank and (\d+) MiB in all", done.stdout).groups())
        # A rank alone on its node holds the images in its own memory.
        expected_rank = point["bytes_per_rank"] + (point["bytes_shared_per_node"] if ranks == 1 else 0)
        expected_node = ranks * point["bytes_per_rank"] + (point["bytes_shared_per_node"] if ranks == 1 else 0)
        for name, found, expected in (("rank", rank, expected_rank), ("node", node, expected_node)):
            with self.subTest(ranks=ranks, what=name, **job):
                self.assertLess(abs(expected / 2**20 / found - 1), 0.25,
                                f"{name}: predicted {expected / 2**20:.0f} MiB, measured {found} MiB")

    def test_one_rank(self):
        self.check(1)

    def test_narrow_with_many_images(self):
        self.check(1, width="1/16", train=40000)

    def test_wide_on_two_ranks(self):
        self.check(2, width="1")

    def test_adam(self):
        self.check(1, width="1/2", optimizer="adam")

    def test_four_ranks(self):
        self.check(4, model="vgg16")

    def test_what_does_not_fit_is_refused_before_it_starts(self):
        path = self.write("job.yaml", JOB.format(model="vgg11", width=8, train=512, optimizer="adam", method="channelwise",
                                                eigenspace="false", precision="float32"))
        done = subprocess.run(["bash", "-c", f"ulimit -v 6000000; exec {harness.PROGRAM} run {path} --output out"],
                              cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"^eigenscope: .*job.yaml: point 0 would need about [0-9.]+ [KMG]iB on this node \(1 rank, "
                                      r"1 per point\), "
                                      r"but [0-9.]+ [KMG]iB are free; distribute the ranks over more nodes\n$")
        self.assertEqual(done.stdout, "")
        self.assertFalse((self.folder / "out").exists())

    def test_activations(self):
        """A layer distributed over all ranks, and one that LAPACK solves on one rank."""
        width, rows = 4100, 4200
        with h5py.File(self.folder / "acts.h5", "w") as file:
            file["x"] = np.random.default_rng(0).standard_normal((rows, width), np.float32)
        path = self.write("job.yaml", "name: memory\nsource: activations\nactivations: {file: acts.h5}\n")
        for ranks in (1, 2):
            plan = self.run_program("plan", path, "--ranks-per-point", ranks).stdout
            expected = int(re.search(r"(?m)^memory: up to (\d+) MiB for each rank$", plan)[1])
            done = self.run_program("run", path, "--verbose", "--output", f"out{ranks}", ranks=ranks)
            found = int(re.search(r"at most (\d+) MiB in one rank and", done.stdout)[1])
            with self.subTest(ranks=ranks):
                self.assertLess(abs(expected / found - 1), 0.25, f"predicted {expected} MiB, measured {found} MiB")

    def limited(self, *arguments):
        return subprocess.run(["bash", "-c", 'ulimit -v 3000000; exec "$@"', "bash", harness.PROGRAM, *map(str, arguments)],
                              cwd=self.folder, capture_output=True, text=True, timeout=60)

    def test_plan_says_what_would_do(self):
        path = self.write("job.yaml", JOB.format(model="vgg11", width=4, train=512, optimizer="adam", method="channelwise",
                                                eigenspace="false", precision="float32"))
        note = r"(?m)^this is more than the [0-9.]+ [KMG]iB that are free on this machine"
        self.assertRegex(self.limited("plan", path).stdout, note)
        self.assertNotRegex(self.run_program("plan", path, "--set", "grid.width=1/4").stdout, note)
        # 14 GB of zeros in a sparse file.
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        with h5py.File(self.folder / "acts.h5", "w") as file:
            h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((120000, 30000)), create)
        path = self.write("acts.yaml", "name: memory\nsource: activations\nactivations: {file: acts.h5}\n")
        ranks = int(re.search(note + r"; use (\d+) ranks, with one rank on each node$", self.limited("plan", path).stdout)[1])
        self.assertNotRegex(self.limited("plan", path, "--ranks-per-point", ranks).stdout, note)
        self.assertRegex(self.limited("plan", path, "--ranks-per-point", ranks // 2).stdout, note)
        done = self.limited("run", path, "--output", "out")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, rf"^eigenscope: .*acts.yaml: would need about [0-9.]+ [KMG]iB on this node \(1 of 1 rank\), "
                                      rf"but [0-9.]+ [KMG]iB are free; use {ranks} ranks in all, 1 on each node\n$")

    def test_residual(self):
        self.check(2, model="resnet18", width="1/8")

    def test_bfloat16(self):
        self.check(1, precision="bfloat16")
        self.check(2, model="resnet18", width="1/4", precision="bfloat16")

    def test_depthwise(self):
        self.check(1, model="mobilenet_v2", width="1/8")

    def test_eigenspaces(self):
        self.check(2, width="1/2", eigenspace="store")


if __name__ == "__main__":
    harness.main()
