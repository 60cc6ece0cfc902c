"""plan predicts the memory of a point: within 25 % of what run --verbose measures, per rank and per node."""
import json
import re
import subprocess

import harness

JOB = """
name: memory
grid: {{dataset: toy, model: {model}, width: {width}, seed: 0}}
datasets: {{toy: {{format: synthetic, classes: 4, size: 32, channels: 1, train: {train}, eval: 64}}}}
train: {{epochs: 2, batch: 128, optimizer: {optimizer}}}
measure: {{method: {method}, eigenspace: {eigenspace}}}
"""


class Memory(harness.Case):
    def check(self, ranks, **job):
        values = {"model": "vgg11", "width": "1/4", "train": 512, "optimizer": "sgd", "method": "channelwise",
                  "eigenspace": "false", **job}
        path = self.write("job.yaml", JOB.format(**values))
        plan = json.loads(self.run_program("plan", path, "--format", "json", "--ranks-per-point", ranks).stdout)
        point = plan["points"][0]
        done = self.run_program("run", path, "--ranks-per-point", ranks, "--verbose", "--output", "out", ranks=ranks)
        rank, node = map(int, re.search(r"peak (\d+) MiB of a rank, (\d+) MiB of all", done.stdout).groups())
        # A rank that has its node for itself holds the images in its own memory.
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
                                                eigenspace="false"))
        done = subprocess.run(["bash", "-c", f"ulimit -v 6000000; exec {harness.PROGRAM} run {path} --output out"],
                              cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"^eigenscope: .*job.yaml: point 0 would need about [0-9.]+ GiB on this node for 1 rank at 1 a "
                                      r"point; [0-9.]+ GiB are free: spread the ranks over more nodes\n$")
        self.assertEqual(done.stdout, "")
        self.assertFalse((self.folder / "out").exists())

    def test_residual(self):
        self.check(2, model="resnet18", width="1/8")

    def test_depthwise(self):
        self.check(1, model="mobilenet_v2", width="1/8")

    def test_eigenspaces(self):
        self.check(2, width="1/2", eigenspace="store")


if __name__ == "__main__":
    harness.main()
