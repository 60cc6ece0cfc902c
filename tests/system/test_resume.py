"""Interruptions: a run that was killed or stopped goes on and ends with the bits of one that never was."""
import os
import pathlib
import signal
import subprocess
import time

import harness
import results

JOB = """
name: resume
grid: {dataset: toy, model: small, resolution: 16, seed: [0, 1]}
models: {small: {vgg: [16, M, 32, 32]}}
datasets: {toy: {format: synthetic, classes: 4, size: 16, channels: 1, train: 3000, eval: 100}}
train: {epochs: 6, batch: 30, learning_rate: 0.05, augment: [crop]}
"""


class Resume(harness.Case):
    def setUp(self):
        super().setUp()
        self.job = self.write("job.yaml", JOB)
        self.run_program("run", self.job, "--output", "whole", "--ranks-per-point", 2, ranks=2)

    def interrupt(self, number, launcher=("mpirun", "--oversubscribe", "-n", "2"), arguments=()):
        """Starts a run, waits for its first state, sends the signal to the process started, returns its exit code."""
        process = subprocess.Popen([*launcher, harness.PROGRAM, "run", self.job, "--output", "cut", *arguments],
                                   cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        end = time.monotonic() + 120
        while not list(self.folder.glob("cut/state/*.safetensors")):
            self.assertIsNone(process.poll(), "the run ended before it saved a state")
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)  # mpirun and its ranks share the session that was started here
            for child in self.ranks_of_this_run():
                os.kill(child, number)
        else:
            process.send_signal(number)
        return process.wait(timeout=120)

    def ranks_of_this_run(self):
        """Processes of the program that work in this test's folder."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "cwd") == str(self.folder) and \
                        os.readlink(entry / "exe") == os.path.realpath(harness.PROGRAM):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def check_whole(self, ranks, per_point):
        self.run_program("run", self.job, "--output", "cut", "--ranks-per-point", per_point, ranks=ranks)
        results.assert_same(self, self.folder / "whole", self.folder / "cut")
        self.assertEqual([p.name for p in (self.folder / "cut").rglob("*") if p.suffix == ".part"], [])
        self.assertEqual(list((self.folder / "cut/state").iterdir()), [])

    def test_sigkill(self):
        self.interrupt(signal.SIGKILL)
        for path in self.folder.glob("cut/points/*.h5"):
            self.assertEqual(results.attribute(path, "outcome"), "complete")
        self.run_program("status", self.job, "--output", "cut", expect=3)
        self.check_whole(ranks=2, per_point=2)

    def test_sigkill_then_other_ranks(self):
        self.interrupt(signal.SIGKILL, arguments=("--ranks-per-point", "2"))
        self.check_whole(ranks=1, per_point=1)

    def test_usr1_through_mpirun(self):
        self.interrupt(signal.SIGUSR1)
        self.run_program("status", self.job, "--output", "cut", expect=3)
        self.check_whole(ranks=4, per_point=4)

    def test_term_without_mpirun(self):
        self.assertEqual(self.interrupt(signal.SIGTERM, launcher=()), 3)
        self.check_whole(ranks=2, per_point=1)

    def test_max_time(self):
        self.run_program("run", self.job, "--output", "cut", "--max-time", "0.3s", expect=3)
        self.check_whole(ranks=2, per_point=1)

    def test_damaged_state(self):
        self.interrupt(signal.SIGUSR1, launcher=())
        state, = self.folder.glob("cut/state/*.safetensors")
        data = state.read_bytes()
        state.write_bytes(data[:-100])
        done = self.run_program("run", self.job, "--output", "cut", expect=2)
        self.assertIn(state.name, done.stderr)
        self.assertEqual(len(list(self.folder.glob("cut/points/*.h5"))), 1, "the neighbour is unharmed")
        state.write_bytes(data)
        self.check_whole(ranks=1, per_point=1)

    def test_state_of_another_cpu(self):
        self.interrupt(signal.SIGUSR1, launcher=())
        state, = self.folder.glob("cut/state/*.safetensors")
        done = self.run_program("run", self.job, "--output", "cut", expect=2, env={"DNNL_MAX_CPU_ISA": "SSE41"})
        self.assertIn("--accept-cpu-change", done.stderr)
        self.assertTrue(state.exists())
        self.run_program("run", self.job, "--output", "cut", "--accept-cpu-change", env={"DNNL_MAX_CPU_ISA": "SSE41"})


if __name__ == "__main__":
    harness.main()
