"""plan --interconnect against a simulated network: four hosts in network namespaces, links of several latencies and rates. The
added time of a step, compared with free links, must be plan's prediction for the messages within a factor of two. All hosts
share the cores of this machine, so the time of computing does not scale and is subtracted."""
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import harness  # noqa: E402
import network  # noqa: E402
import results  # noqa: E402

SKIPPED = 77  # ctest's name for it: see SKIP_RETURN_CODE
HOSTS = 4
FACTOR = 2
# One-way latency in seconds, bits per second (0: no limit).
SETTINGS = [(20e-3, 0), (5e-3, 100e6), (1e-3, 40e6)]


class Interconnect(results.Case):
    # A quarter of a million parameters: each step sums a megabyte, and has five sums smaller than a message.
    job = """\
name: wire
output: out
grid: {dataset: shapes, model: dense, seed: 0}
models: {dense: {mlp: [256, 256]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 64, eval: 16}}
train: {epochs: 4, batch: 16}
measure: {every: 4, splits: [eval]}
"""

    def predict(self, latency, rate):
        """Seconds of the messages of a step by number of ranks, and the number of ranks with the fastest step."""
        link = f"{max(latency, 1e-12)}s,{rate / 1e6 if rate else 1e9:.9g}Mbit/s"
        found, = json.loads(self.run_program("plan", "job.yaml", "--interconnect", link, "--format=json").stdout)["classes"]
        return {group["ranks"]: group["step"]["seconds"] for group in found["groups"]}, found["fastest"]

    def measure(self, net, ranks, name):
        """Seconds of a step: the least of the epochs after the first, in which connections start; other work only adds time."""
        command = [harness.PROGRAM, "run", "job.yaml", "--output", name, "--ranks-per-point", ranks, "--verbose"]
        done = net.mpirun(ranks, command, cwd=self.folder, timeout=300) if ranks > 1 else self.run_program(*command[1:])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        epochs = [epoch["train"] for epoch in results.efforts(done.stdout) if "train" in epoch]
        self.assertEqual(len(epochs), 4)
        return min(float(epoch["ms/step"]) / 1e3 for epoch in epochs[1:])

    def test_steps(self):
        with network.Network(HOSTS, self.folder) as net:
            print(f"\nsteps on {HOSTS} hosts, by {'netem' if net.netem else 'a simulated wire, because netem is missing'}, in ms")
            print(f"{'ranks':>5} {'latency':>9} {'Mbit/s':>7} {'step':>8} {'longer by':>10} {'predicted':>10} {'ratio':>6}")
            net.set(0, 0)
            bare = {ranks: self.measure(net, ranks, f"bare{ranks}") for ranks in (1, 2, 4)}
            ratios = []
            for latency, rate in SETTINGS:
                net.set(latency, rate)
                predicted, fastest = self.predict(latency, rate)
                self.assertEqual((predicted[1], fastest), (0, 1))
                for ranks in (2, 4):
                    step = self.measure(net, ranks, f"{latency}-{rate}-{ranks}")
                    longer = step - bare[ranks]
                    ratios.append(longer / predicted[ranks])
                    print(f"{ranks:5} {1e3 * latency:9.3g} {rate / 1e6 or '':>7} {1e3 * step:8.1f} {1e3 * longer:10.1f} "
                          f"{1e3 * predicted[ranks]:10.1f} {ratios[-1]:6.2f}", flush=True)
                    # On such networks more ranks are slower, as plan says.
                    self.assertGreater(step, bare[1])
            print(f"1 rank: {1e3 * bare[1]:.1f}; 2 and 4 without delay: {1e3 * bare[2]:.1f}, {1e3 * bare[4]:.1f}", flush=True)
            for ratio in ratios:
                self.assertTrue(1 / FACTOR < ratio < FACTOR, ratios)
        self.assert_same("bare1", f"{SETTINGS[0][0]}-{SETTINGS[0][1]}-4")

    def test_without_one_sided_communication(self):
        with network.Network(2, self.folder) as net:
            done = net.mpirun(2, [harness.PROGRAM, "run", "job.yaml"], osc="sm", cwd=self.folder, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("eigenscope: MPI has no one-sided communication between these hosts (MPI_Win_allocate: MPI_ERR_WIN",
                      done.stderr)
        self.assertIn("export OMPI_MCA_osc=pt2pt", done.stderr)
        self.assertFalse(list(self.folder.glob("out/points/*.h5")))


if __name__ == "__main__":
    reason = network.missing()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    unittest.main()
