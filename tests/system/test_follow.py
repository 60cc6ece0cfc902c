"""Signs of life: status of a running job, status --follow, kill -9, a full disk."""
import json
import os
import pty
import signal
import subprocess
import time

import harness

# Two points of about half a minute each, which no test waits for.
LONG = """\
name: long
output: out
grid: {dataset: shapes, model: tiny, seed: [0, 1]}
models: {tiny: {vgg: [16, M, 16, M]}}
datasets: {shapes: {format: synthetic, classes: 2, complexity: 1, size: 16, channels: 1, train: 64, eval: 16}}
train: {epochs: 100000, batch: 16, lanes: 2}
checkpoint: {every: 100}
"""
KEYS = {"live", "point_id", "job", "point", "epoch", "epochs", "step", "steps", "images_per_s", "loss", "accuracy", "saturation",
        "delta", "point_left_s", "run_left_s", "host", "ranks", "machine", "pid", "started_ticks", "written", "within_s"}


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("job.yaml", LONG)

    def start(self, *command):
        process = subprocess.Popen([*map(str, command)], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def signs(self):
        return sorted((self.folder / "out/state").glob("*.live.json"))

    def wait_for(self, what, condition, seconds=60):
        end = time.monotonic() + seconds * (4 if harness.SANITIZED else 1)
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.05)

    def read(self):
        """The sign of the only running point; the file is replaced as a whole, so it is never empty."""
        return json.loads(self.signs()[0].read_text())

    def status(self, *arguments):
        return self.run_program("status", "job.yaml", *arguments, expect=3).stdout


class Running(Case):
    def test_running_then_killed_then_removed(self):
        run = self.start(harness.PROGRAM, "run", "job.yaml", "--quiet")
        self.wait_for("a sign of life", self.signs)
        self.wait_for("an epoch", lambda: self.read()["epoch"] > 1)
        sign = self.read()
        self.assertEqual(set(sign), KEYS)
        self.assertEqual((sign["point_id"] + ".live.json", sign["pid"], sign["ranks"], sign["epochs"], sign["steps"], sign["point"]),
                         (self.signs()[0].name, run.pid, 1, 100000, 5, 0))
        self.assertTrue(sign["images_per_s"] > 0 and sign["loss"] > 0 and 0 < sign["saturation"] <= 1 and sign["point_left_s"] > 0)
        self.assertEqual(sign["host"], os.uname().nodename)
        text = self.status()
        self.assertRegex(text, r"\n +0 +0 +running .* epoch \d+ on \S+, 1 rank, \d+ images/s, [\d: s]+ left\n +1 +1 +missing ")
        self.assertRegex(text, r"0 damaged, 2 missing \((1 started, )?1 running\) in ")
        document = json.loads(self.status("--format", "json"))
        self.assertEqual((document["counts"]["running"], document["counts"]["stale"], document["points"][0]["live"]["state"]),
                         (1, 0, "running"))
        self.assertNotIn("live", document["points"][1])
        self.assertNotIn("running", self.status("--saved"))
        # A second run, which looks at the points, keeps the file of the first.
        self.run_program("run", "job.yaml", "--max-time", "1s", "--points", "1", "--quiet", expect=3)
        self.assertEqual(len(self.signs()), 1)
        os.kill(run.pid, signal.SIGKILL)  # run is not waited for: a zombie
        self.wait_for("stale", lambda: "stale" in self.status(), 5)
        self.assertRegex(self.status(), r"\n +0 +0 +stale .* its process on \S+ has ended, last seen \d+ s ago\n")
        self.assertRegex(self.status(), r"2 missing \(([12] started, )?1 stale\) in ")
        # On another machine the age counts, which the promise of the file limits.
        self.signs()[0].write_text(json.dumps({**sign, "machine": "0123456789abcdef"}))
        self.assertIn(" running ", self.status())
        past = time.time() - 150
        os.utime(self.signs()[0], (past, past))
        self.assertRegex(self.status(), r"\n +0 +0 +stale .* no sign of \S+ for 2:3\d\n")
        # The next run removes it, whichever points it has.
        self.run_program("run", "job.yaml", "--max-time", "1s", "--quiet", expect=3)
        self.assertEqual(self.signs(), [])
        self.assertEqual(list(self.folder.rglob("*.part")), [])

    def test_follow_until_complete(self):
        sets = ("--set", "train.epochs=200")
        follow = self.start(harness.PROGRAM, "status", "job.yaml", *sets, "--follow", "--every", "1")
        first = follow.stdout.readline()
        self.assertRegex(first, r"^\d{4}-\S+Z 0 done, 0 running, 2 waiting, 0 failed, 0 stale\n$")
        self.run_program("run", "job.yaml", "--quiet", *sets, ranks=2)
        lines, notes = follow.communicate(timeout=60)
        self.assertEqual(notes, "eigenscope: note: no point runs now; --follow waits until `eigenscope run` computes the points that are missing\n")
        self.assertRegex(lines.splitlines()[-1], r"Z 2 done, 0 running, 0 waiting, 0 failed, 0 stale$")
        self.assertEqual(follow.returncode, 0)
        # A diverged point ends it, too.
        sets = ("--set", "train.epochs=2", "--set", "train.learning_rate=1e30", "--set", "grid.seed=0")
        self.run_program("run", "job.yaml", "--quiet", *sets, expect=2)
        done = self.run_program("status", "job.yaml", *sets, "--follow", expect=2)
        self.assertRegex(done.stdout, r"Z 0 done, 0 running, 0 waiting, 1 failed, 0 stale\n$")

    def test_follow_names_the_slowest_rank(self):
        run = self.start(*harness.MPIRUN, "-n", 2, harness.PROGRAM, "run", "job.yaml", "--ranks-per-point", 2, "--quiet")
        self.wait_for("a sign of life", self.signs)
        self.wait_for("an epoch", lambda: self.read()["epoch"] > 1)
        follow = self.start(harness.PROGRAM, "status", "job.yaml", "--follow")
        self.assertRegex(follow.stdout.readline(), r"Z 0 done, 1 running, 1 waiting, 0 failed, 0 stale;? ?.*slowest point: 0 on \S+, .* left; "
                         r"its slowest rank: [01] of 2 on \S+, busy for \d+% of the last epoch\n$")
        run.send_signal(signal.SIGUSR1)
        run.wait(60)
        self.assertEqual(self.signs(), [])

    def test_terminal(self):
        """On a terminal the lines are drawn again in place, and are no wider than the window."""
        run = self.start(harness.PROGRAM, "run", "job.yaml", "--quiet")
        self.wait_for("a sign of life", self.signs)
        ours, theirs = pty.openpty()
        env = {**{name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMI", "SLURM_"))},
               "TERM": "xterm", "COLUMNS": "50", "LINES": "20"}
        follow = subprocess.Popen([harness.PROGRAM, "status", "job.yaml", "--follow", "--every", "1"], cwd=self.folder, stdout=theirs,
                                  env=env)
        self.addCleanup(follow.wait)
        self.addCleanup(follow.kill)
        os.close(theirs)
        text = b""
        while text.count(b"long: 0 done, 1 running, 1 waiting") < 2:
            text += os.read(ours, 4096)
        self.assertRegex(text.decode(), r"\x1b\[[34]A\r\x1b\[Jlong: ")
        for line in text.decode().replace("\x1b[J", "\r\n").replace("\r", "").split("\n"):
            self.assertLess(len(line), 50, line)
        run.kill()

    def test_wrong_combinations(self):
        for options in (("--missing",), ("--format", "json"), ("--saved",)):
            done = self.run_program("status", "job.yaml", "--follow", *options, expect=1)
            self.assertIn("--follow cannot be used together with ", done.stderr)
        self.assertIn("--every 0: must be an integer from 1 to 86400",
                      self.run_program("status", "job.yaml", "--follow", "--every", "0", expect=1).stderr)


class Disk(Case):
    def test_a_run_does_not_need_the_file(self):
        """If the file cannot be written, the run does not mind, and says nothing. A folder in its place refuses the rename.
        The walks of test_faults*.py make each of its calls fail."""
        sets = ("--set", "train.epochs=3", "--set", "grid.seed=0")
        points = json.loads(self.run_program("plan", "job.yaml", *sets, "--format", "json").stdout)["points"]
        blocked = self.folder / f"out/state/{points[0]['id']}.live.json"
        blocked.mkdir(parents=True)
        done = self.run_program("run", "job.yaml", "--quiet", *sets)
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        self.run_program("status", "job.yaml", *sets, expect=0)
        self.assertEqual(list(self.folder.rglob("*.part")), [])


if __name__ == "__main__":
    harness.main()
