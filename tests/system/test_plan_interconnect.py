"""eigenscope plan --interconnect: predicted messages equal those counted by runs; their cost follows simple formulas."""
import json
import math

import harness
import results

NO_MPI = {"OMPI_MCA_pml": "none-such", "OMPI_MCA_btl": "none-such", "PATH": "/none-such"}
JOB = """\
name: look
grid:
  dataset: shapes
  model: [tiny, mlp]
  width: [1/2, 1, 8]
  train.learning_rate: [0.1, 0.01]
  train.batch: [32, 64]
  seed: [0, 1]
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, size: 32, train: 60, eval: 31}}
"""


class Case(harness.Case):
    job = JOB

    def plan(self, *arguments, expect=0):
        self.write("job.yaml", self.job)
        return self.run_program("plan", "job.yaml", *arguments, expect=expect, env=NO_MPI)

    def predict(self, *arguments):
        return json.loads(self.plan("--format=json", "--interconnect", *arguments).stdout)


def indices(text):
    ranges = [part.split("-") for part in text.split(",")]
    return [i for part in ranges for i in range(int(part[0]), int(part[-1]) + 1)]


def exchanges(numbers, size, ranks):
    """Bytes that rank 0 sends and receives in the successive exchanges of one sum over ranks."""
    levels = int(math.log2(ranks))
    if numbers * size <= 61440:
        return [(numbers * size, numbers * size)] * levels
    found = []
    for _ in range(levels):
        upper = numbers // 2
        numbers -= upper
        found += [(upper * size, numbers * size), (numbers * size, upper * size)]
    return found


class Formula(Case):
    LATENCY, BANDWIDTH, RATE = 50e-6, 2e9 / 8, 30e9

    def check_class(self, found, points):
        first = points[indices(found["points"])[0]]
        axes = first["axes"]
        batch = min(axes["train.batch"], 60)
        self.assertEqual((found["batch"], found["parameters"]), (batch, first["parameters"]))
        # Batch norms: of both convolutions, and of the head's f and f/2 features; of the three hidden layers.
        f = 12 * axes["width"]
        norms = [8 * axes["width"], f, f, f / 2] if axes["model"] == "tiny" else [512 * axes["width"]] * 3
        self.assertEqual([group["ranks"] for group in found["groups"]], [1, 2, 4, 8])
        for group in found["groups"]:
            ranks = group["ranks"]
            each = exchanges(found["parameters"], 4, ranks) + exchanges(4, 8, ranks)
            for channels in norms:
                each += 2 * exchanges(2 * int(channels), 8, ranks)
            messages = sum(math.ceil(sent / 61440) for sent, _ in each)
            # Up to 32 messages are sent simultaneously.
            seconds = sum(math.ceil(max(pair) / (32 * 61440)) * self.LATENCY + max(pair) / self.BANDWIDTH for pair in each)
            self.assertEqual((group["step"]["messages"], group["step"]["bytes"]), (messages, sum(sent for sent, _ in each)))
            self.assertEqual(group["step"]["sums"], 0 if ranks == 1 else 2 * len(norms) + 2)
            self.assertAlmostEqual(group["step"]["seconds"], seconds, places=8)
            compute = 2 * math.ceil(batch / ranks) * found["macs_per_image"] / self.RATE
            self.assertAlmostEqual(group["step_seconds"] / (compute + 2.3e-9 * found["parameters"] + seconds), 1, places=6)
        steps = [group["step_seconds"] for group in found["groups"]]
        gains = 0
        while gains < 3 and steps[gains] >= 1.5 * steps[gains + 1]:
            gains += 1
        self.assertEqual((found["gains_to"], found["fastest"]), (2 ** gains, 2 ** steps.index(min(steps))))

    def test_by_plain_formulas(self):
        points = {p["index"]: p for p in json.loads(self.plan("--format", "json").stdout)["points"]}
        found = self.predict("50us,2Gbit/s,rate=30")
        self.assertEqual((found["latency"], found["bandwidth"], found["rate"]), (self.LATENCY, self.BANDWIDTH, 30))
        # Seeds and learning rates do not matter; a batch of 64 has 60 images here.
        self.assertEqual(len(found["classes"]), 2 * 3 * 2)
        self.assertEqual(sorted(sum((indices(c["points"]) for c in found["classes"]), [])), sorted(points))
        for one in found["classes"]:
            with self.subTest(points=one["points"]):
                self.assertEqual(len(indices(one["points"])), 4)
                self.check_class(one, points)
        self.assertGreater(len({one["gains_to"] for one in found["classes"]}), 1)

    def test_compute_is_that_of_the_plan(self):
        # One epoch of one batch with minimal evaluation: the cost is that of the step and of 2 evaluations.
        sets = ["--set", "train.epochs=1", "--points", "0", "--set", "datasets.shapes.train=32", "--set", "measure.splits=[train]",
                "--set", "datasets.shapes.eval=3"]
        point, = json.loads(self.plan("--format", "json", *sets).stdout)["points"]
        one, = self.predict("ethernet-1g", *sets)["classes"]
        solve = sum(4 / 3 * width ** 3 for width in (4, 6, 3, 3))
        self.assertAlmostEqual(one["macs_per_image"] * 32 + 2 * 3 * point["macs_per_image"] + solve, point["macs"], delta=2)

    def test_slower_networks_gain_less(self):
        gains = [self.predict(f"{latency},100Gbit/s")["classes"][0]["gains_to"] for latency in ("10ns", "10us", "10ms")]
        self.assertEqual(gains, sorted(gains, reverse=True))
        self.assertEqual((gains[0], gains[-1]), (8, 1))

    def test_as_many_ranks_as_lanes(self):
        groups = self.predict("ethernet-1g", "--set", "train.lanes=2")["classes"][0]["groups"]
        self.assertEqual([group["ranks"] for group in groups], [1, 2])

    def test_units(self):
        for latency, seconds in (("1s", 1), ("1.5 ms", 1.5e-3), ("20us", 20e-6), ("20µs", 20e-6), ("7e2ns", 7e-7)):
            self.assertAlmostEqual(self.predict(f"{latency},1GB/s")["latency"] / seconds, 1)
        for bandwidth, bytes_per_second in (("8kbit/s", 1e3), ("8Mbit/s", 1e6), ("8 Gbit/s", 1e9), ("3kB/s", 3e3), ("3MB/s", 3e6),
                                            ("3GB/s", 3e9)):
            self.assertAlmostEqual(self.predict(f"1us,{bandwidth}")["bandwidth"] / bytes_per_second, 1)

    def test_table(self):
        text = self.plan("--interconnect", "ethernet-10g").stdout
        found = self.predict("ethernet-10g")
        lines = text.splitlines()
        self.assertEqual(lines[0], "look: a step (one batch) on ethernet-10g: 20 us, 9.4 Gbit/s")
        self.assertIn("Hurwitz and Feng", lines[1])
        self.assertRegex(lines[3], r"^from point +points +model +width +train.batch +1 rank +2 ranks +4 ranks +8 ranks +messages +MB +"
                                   r"gains to +fastest$")
        for line, one in zip(lines[4:16], found["classes"]):
            cells = line.replace(" ms", "").split()
            self.assertEqual([cells[0], cells[-2], cells[-1]],
                             [str(indices(one["points"])[0]), str(one["gains_to"]), str(one["fastest"])])
            self.assertEqual(cells[5:9], [f"{1e3 * group['step_seconds']:.4g}" for group in one["groups"]])
            self.assertEqual(cells[9:11], [str(one["groups"][1]["step"]["messages"]),
                                           f"{1e-6 * one['groups'][1]['step']['bytes']:.3f}"])
        # run accepts the advice at the end.
        advice = {int(ranks): indices(points) for ranks, points in
                  (line.split()[1::2] for line in lines if line.startswith("  --ranks-per-point "))}
        for ranks, points in advice.items():
            self.assertEqual(points, sorted(sum((indices(c["points"]) for c in found["classes"] if c["gains_to"] == ranks), [])))
        self.assertEqual(sorted(sum(advice.values(), [])), list(range(48)))

    def test_refused(self):
        for value in ("ethernet", "", "20us", "20us,", "20,10Gbit/s", "20us,10", "-1us,1GB/s", "0us,1GB/s", "1us,0GB/s", "nanus,1GB/s",
                      "1us,1GBit/s", "ethernet-1g,rate=0", "ethernet-1g,rate=x", "ethernet-1g,x=1", "1us,1GB/s,1GB/s", "x" * 300):
            done = self.plan(f"--interconnect={value}", expect=1)
            self.assertRegex(done.stderr, r"^eigenscope: --interconnect .*: must be shared-memory, ethernet-1g, .* as 20us,10Gbit/s")
            self.assertEqual(done.stdout, "")
        for other in (("--cluster", "nodes=1,cores=2"), ("--tasks", "2")):
            self.assertIn("use one at a time", self.plan("--interconnect", "ethernet-1g", *other, expect=1).stderr)


class Counted(results.Case):
    """Predicted messages equal counted ones, for every group in runs with 1, 2, 3 and 4 ranks."""
    job = """\
name: counted
output: out
grid: {dataset: shapes, model: [vgg16, resnet18], width: 1/16, seed: [0, 1]}
datasets: {shapes: {format: synthetic, classes: 3, size: 32, train: 37, eval: 20}}
train: {epochs: 1, batch: 24}
"""
    COLUMNS = ("sums", "messages", "bytes")

    def check(self, text, found, groups):
        """Compares every epoch in the output with the prediction for its point; `groups`: sizes that must occur."""
        seen = set()
        # A group writes the lines of an epoch with one call.
        for block in text.split("point ")[1:]:
            epochs = results.efforts(block)
            if not epochs or "train" not in epochs[0]:
                continue
            index = int(block.split()[0])
            ranks = int(block.splitlines()[1].split()[1])
            group, = [g for c in found["classes"] if index in indices(c["points"]) for g in c["groups"] if g["ranks"] == ranks]
            seen.add((index, ranks))
            for work in ("train", "measure") if ranks > 1 else ():
                counted = [float(epochs[0][work][f"{name}/step"]) for name in self.COLUMNS]
                name = {"train": "step", "measure": "measure"}[work]
                self.assertEqual(counted, [group[name][column] for column in self.COLUMNS], (index, ranks, work))
                self.assertGreater(counted[2], 0)
        self.assertEqual({ranks for _, ranks in seen}, groups)
        self.assertEqual({index for index, _ in seen}, {0, 1, 2, 3})

    def test_runs(self):
        done = self.run_program("plan", "job.yaml", "--interconnect", "ethernet-1g", "--format=json", env=NO_MPI)
        found = json.loads(done.stdout)
        self.assertEqual([c["points"] for c in found["classes"]], ["0-1", "2-3"])
        for ranks, group, groups in ((1, 1, {1}), (2, 2, {2}), (3, 2, {1, 2}), (4, 4, {4})):
            with self.subTest(ranks=ranks):
                done = self.run_job("--verbose", "--ranks-per-point", group, ranks=ranks, output=f"out{ranks}")
                self.check(done.stdout, found, groups)

    def test_weights_from_files(self):
        # Without training, a batch is predicted as a forward pass.
        sets = ["grid.model=vgg16", "grid.seed=0", "train.batch=8"]
        self.run_job("--quiet", sets=sets)
        sets += ["source=checkpoint", "checkpoints.from=out"]
        done = self.run_program("plan", "job.yaml", "--interconnect", "ethernet-1g", "--format=json",
                                *[word for value in sets for word in ("--set", value)], env=NO_MPI)
        one, = json.loads(done.stdout)["classes"]
        epoch, = results.efforts(self.run_job("--verbose", "--ranks-per-point", 2, ranks=2, output="again", sets=sets).stdout)
        self.assertEqual([float(epoch["evaluate"][f"{name}/step"]) for name in self.COLUMNS],
                         [one["groups"][1]["step"][name] for name in self.COLUMNS])
        self.assertNotIn("train", epoch)


if __name__ == "__main__":
    harness.main()
