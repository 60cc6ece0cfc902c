"""slurm/submit.sh, array.sbatch and resubmit.sh on a real SLURM cluster, started on this machine by the test: an array whose
tasks are told to stop, requeued, killed and resubmitted gives the same merged file as one plain mpirun."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import harness  # noqa: E402
import results  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77  # ctest's name for it: see SKIP_RETURN_CODE
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "mpirun")
# The grid of the quickstart on synthetic images, with enough epochs for a signal to arrive between two of them.
SETS = ["--set", "grid.dataset=shapes", "--set",
        "datasets.shapes={format: synthetic, size: 16, channels: 1, train: 192, eval: 64}",
        "--set", "train.epochs=80", "--set", "train.batch=64"]


class Array(results.Case):
    def setUp(self):
        super().setUp()
        # Only the path of the cluster must not contain blanks.
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="eigenscope-slurm-", dir="/tmp"))
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        self.env |= {"PATH": PATH, "SLURM_TEST_CPUS": "4", "EIGENSCOPE": harness.PROGRAM,
                     "SLURM_CONF": str(self.base / "cluster/etc/slurm.conf")}
        self.work = self.folder / "a sweep"
        shutil.copytree(harness.SOURCE / "slurm", self.folder / "a tree/slurm")
        shutil.copytree(harness.SOURCE / "jobs", self.work / "jobs")
        self.guard()
        subprocess.run([HERE / "up.sh", self.base / "cluster"], env=self.env, check=True, timeout=60)

    def guard(self):
        """Starts a guard that stops the cluster when this process ends in any way: its pipe is closed then."""
        script = 'exec 3<&0; (cat <&3; "$0" "$1/cluster"; rm -rf "$1") > /dev/null 2>&1 &'
        process = subprocess.Popen(["sh", "-c", script, HERE / "down.sh", self.base], env=self.env, stdin=subprocess.PIPE,
                                   start_new_session=True)
        self.addCleanup(self.stop, process)

    def stop(self, process):
        process.stdin.close()
        process.wait()
        end = time.monotonic() + 60
        while self.base.exists() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertFalse(self.base.exists(), "the cluster was not stopped")

    # ---- SLURM ----

    def call(self, *command, expect=0):
        done = subprocess.run([str(word) for word in command], cwd=self.work, env=self.env, capture_output=True, text=True,
                              timeout=300)
        if expect is not None:
            self.assertEqual(done.returncode, expect, f"{command}\n{done.stdout}\n{done.stderr}\n{self.logs()}")
        return done

    def submit(self, script, *options):
        """Returns the job numbers (array, merge)."""
        done = self.call(self.folder / "a tree/slurm" / script, *SETS, "--run", "--quiet", *options,
                         "jobs/quickstart.yaml", "-n", "2", "--time=10", "--mem-per-cpu=100")
        return re.match(r"array (\d+): .*\nmerge (\d+): ", done.stdout).groups()

    def status(self, *options, expect=3):
        return self.call(harness.PROGRAM, "status", "jobs/quickstart.yaml", *SETS, *options, expect=expect).stdout

    def facts(self, job):
        done = self.call("scontrol", "-o", "show", "job", job)
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in done.stdout.splitlines()]

    def logs(self):
        return "".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.work.glob("results/*/slurm/*.log")))

    def log(self, name):
        return (self.work / "results/quickstart/slurm" / name).read_text()

    def until(self, condition, seconds=150):
        """Waits for the first true value of condition()."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                self.fail(f"nothing after {seconds} s of waiting\n{self.call('scontrol', 'show', 'job').stdout}\n{self.logs()}")
            time.sleep(0.2)
        return value

    def ended(self, job):
        """Facts of a job without array, after it has ended."""
        facts = self.facts(job)[0]
        return facts if facts["JobState"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL") else None

    def shares(self):
        """The points of each task of the newest array."""
        newest = max((self.work / "results/quickstart/slurm").glob("tasks-*"), key=lambda path: path.stat().st_mtime_ns)
        return [line for line in newest.read_text().splitlines() if not line.startswith("#")]

    def started(self, points):
        """Points with a saved state that is far from the last epoch."""
        rows = [line.split() for line in self.status("--saved", "--points", points, expect=None).splitlines()]
        return [row[0] for row in rows if "started" in row and 1 <= int(row[row.index("started") + 1].split("/")[0]) <= 30]

    def kill(self, task):
        """Kills the script of an array task and all its processes by SIGKILL, like the loss of a node."""
        marks = [f"SLURM_CONF={self.env['SLURM_CONF']}".encode(), f"SLURM_ARRAY_TASK_ID={task}".encode()]
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                variables = (path / "environ").read_bytes().split(b"\0")
                script = b"slurm_script" in (path / "cmdline").read_bytes()
            except OSError:
                continue
            if all(mark in variables for mark in marks):
                found.append((not script, int(path.name)))  # the script first, or it would notice
        self.assertIn(False, [other for other, _ in found], "the script does not run")
        for _, pid in sorted(found):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    # ---- the story ----

    def test_story(self):
        array, merge = self.submit("submit.sh", "--tasks", "3")
        shares = self.shares()
        self.assertEqual(len(shares), 3)

        # One task is told to stop, saves its state, and requeues itself; another is killed with its processes.
        self.until(lambda: self.started(shares[0]))
        self.call("scancel", "--batch", "--signal=USR1", f"{array}_0")
        self.until(lambda: self.started(shares[1]))
        self.kill("1")
        self.until(lambda: self.ended(merge))
        tasks = {task["ArrayTaskId"]: task for task in self.facts(array)}
        self.assertEqual([tasks[i]["JobState"] for i in "012"], ["COMPLETED", "FAILED", "COMPLETED"], self.logs())
        self.assertEqual([tasks[i]["Restarts"] for i in "012"], ["1", "0", "0"])
        self.assertIn("srun --mpi=pmix", self.log(f"{array}_0.log"))
        self.assertIn(f"{array}_0: unfinished, requeued\n", self.log(f"{array}_0.log"))
        missing = self.status("--missing").strip()
        self.assertTrue(missing)
        self.assertEqual(self.status("--missing", "--points", shares[1]).strip(), missing)
        self.assert_merged(merge, missing)

        # A queued array for the same folder blocks another one; a cancelled one does not return.
        self.call("scontrol", "update", "partitionname=main", "state=down")
        array, merge = self.submit("resubmit.sh", "--launcher", "mpirun --oversubscribe")
        self.assertEqual(",".join(self.shares()), missing)
        done = self.call(self.folder / "a tree/slurm/resubmit.sh", *SETS, "jobs/quickstart.yaml", expect=1)
        self.assertRegex(done.stderr, f"array {array} for results/quickstart is still in the queue: wait for this array")
        self.call("scontrol", "update", "partitionname=main", "state=up")

        # Again with mpirun, which receives TERM: the next start resumes from the states of the killed ranks.
        before = self.saved(missing)
        self.assertTrue(any(epoch > 0 for epoch in before.values()), before)
        self.until(lambda: [row for row, epoch in self.saved(missing).items() if epoch > before[row]])
        self.call("scancel", "--batch", "--signal=TERM", f"{array}_0")
        self.until(lambda: self.ended(merge))
        log = self.log(f"{array}_0.log")
        self.assertIn(": mpirun --oversubscribe ", log)
        task = self.facts(array)[0]
        self.assertEqual((task["JobState"], task["Restarts"]), ("COMPLETED", "1"), self.logs())
        self.assertEqual(self.status("--missing", expect=0), "")
        self.assertEqual(self.call(self.folder / "a tree/slurm/resubmit.sh", *SETS, "jobs/quickstart.yaml").stdout,
                         "nothing is missing\n")
        self.assert_merged(merge, "")
        self.assert_as_one_mpirun()

    def test_cancelled_task_stays_cancelled(self):
        array, merge = self.submit("submit.sh", "--points", "5")
        self.until(lambda: self.started("5"))
        self.call("scancel", array)
        self.until(lambda: self.ended(merge))
        task = self.facts(array)[0]
        self.assertEqual((task["JobState"], task["Restarts"]), ("CANCELLED", "0"), self.logs())
        self.assertEqual(self.status("--missing"), "0-5\n")

    # ---- what was submitted is what runs, from wherever it was submitted ----

    def script(self, name, *words, expect=0, **env):
        done = subprocess.run([self.folder / "a tree/slurm" / name, *words], cwd=self.work, env=self.env | env,
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, expect, f"{done.stdout}\n{done.stderr}")
        return done

    def ids(self, *options):
        done = self.call(harness.PROGRAM, "plan", "jobs/quickstart.yaml", *SETS, *options, "--format", "json")
        return {point["id"] for point in json.loads(done.stdout)["points"]}

    def results_of(self, folder):
        return {path.stem for path in (self.work / folder / "points").rglob("*.h5")}

    def test_edited_while_it_waits(self):
        job = self.work / "jobs/quickstart.yaml"
        self.call("scontrol", "update", "partitionname=main", "state=down")
        array, merge = self.submit("submit.sh", "--points", "1,3", "--set", "train.epochs=1")
        submitted = self.ids("--set", "train.epochs=1", "--points", "1,3")
        text = job.read_text()
        job.write_text(re.sub("(?m)^  seed: .*", "  seed: [7, 8]", text))
        self.assertFalse(submitted & self.ids("--set", "train.epochs=1"))
        edited = job.read_text()
        job.unlink()
        self.call("scontrol", "update", "partitionname=main", "state=up")
        self.until(lambda: self.ended(merge))
        self.assertEqual(self.results_of("results/quickstart"), submitted, self.logs())

        # Resubmitted, the job is still the submitted one, whose file is used again.
        job.write_text(edited)
        folder = self.work / "results/quickstart/slurm"
        jobs = sorted(folder.glob("job-*.yaml"))
        self.assertEqual(len(jobs), 1)
        done = self.script("resubmit.sh", *SETS, "--set", "train.epochs=1", "--points", "0-5", "jobs/quickstart.yaml",
                           "-n", "2", "--time=10", "--mem-per-cpu=100")
        self.assertIn("jobs/quickstart.yaml is not as it was submitted: this completes the submitted job", done.stdout)
        merge = re.search(r"^merge (\d+): ", done.stdout, re.M).group(1)
        self.until(lambda: self.ended(merge))
        job.write_text(text)
        self.assertEqual(self.results_of("results/quickstart"), self.ids("--set", "train.epochs=1"), self.logs())
        self.assertEqual(sorted(folder.glob("job-*.yaml")), jobs)
        self.assertEqual(self.status("--missing", "--set", "train.epochs=1", expect=0), "")
        self.assert_merged(merge, "")

    def test_from_within_a_job_into_a_strange_folder(self):
        # The memory of the job that submits, the working directory and the name of the folder must not matter.
        for output, words in (("a \\ %j 'q\"$HOME", []), ("50% 'done' \"x\";#", ["--chdir", "/"])):
            inner = self.write("inner.sh", '#!/usr/bin/env bash\nexec "$@"\n')
            command = [self.folder / "a tree/slurm/submit.sh", *SETS, "--set", "train.epochs=1", "--points", "0", "--output",
                       output, "jobs/quickstart.yaml", "-n", "2", "--mem-per-cpu=150", *words]
            env = {"PMIX_RANK": "1", "SQUEUE_STATES": "SUSPENDED", "SBATCH_ARRAY_INX": "0-2", "SBATCH_WAIT": "1"}
            self.env |= env
            job = self.call("sbatch", "--parsable", "--array=0-0", "-n", "1", "--mem=200",
                            f"--output={self.folder}/log", inner, *command).stdout.strip()
            for name in env:
                del self.env[name]
            self.until(lambda: self.ended(job))
            log = (self.folder / "log").read_text()
            (self.folder / "log").unlink()
            found = re.search(r"array (\d+): .*\nmerge (\d+): ", log)
            self.assertTrue(found, log)
            array, merge = found.groups()
            self.until(lambda: self.ended(merge))
            logs = self.work / output / "slurm"
            self.assertEqual(len(self.results_of(output)), 1, "".join(path.read_text() for path in logs.glob("*.log")))
            self.assertIn("launcher ended with code 0", (logs / f"{array}_0.log").read_text())
            self.assertIn("merged 1 of 6 points", (logs / f"{merge}_merge.log").read_text())
            self.assertTrue((self.work / output / "quickstart.h5").exists())

    def test_submissions_that_submit_nothing(self):
        job = ["jobs/quickstart.yaml", "-n", "2"]
        for words in (["--partition=none"], ["--mem=900T"], ["--wrap", "true"], ["--usage"]):
            self.assertIn("sbatch has submitted nothing", self.script("submit.sh", *SETS, *job, *words, expect=1).stderr)
        done = self.script("submit.sh", *SETS, *job, "--test-only")
        self.assertEqual((done.stdout, done.stderr.count(" to start at ")), ("", 2))
        done = self.script("submit.sh", *SETS, "--dry-run", "--at-once", "1", *job)
        self.assertIn("--array=0-0%1", done.stdout)
        self.assertIn(" --dependency=afterany:ARRAY ", done.stdout)
        for script in ("array.sbatch", "merge.sbatch"):
            self.assertIn((harness.SOURCE / "slurm" / script).read_text(), done.stdout)
        self.assertEqual(self.call("squeue", "-h").stdout, "")
        self.assertFalse((self.work / "results").exists())
        # An array in the queue blocks a second one, whatever its comment and the caller's settings of squeue are.
        done = self.script("submit.sh", *SETS, *job, "--comment=mine", "--hold")
        array = re.match(r"array (\d+)", done.stdout).group(1)
        for words in ([], ["--comment", "other"]):
            done = self.script("submit.sh", *SETS, *job, *words, expect=1, SQUEUE_PARTITION="urgent")
            self.assertIn(f"array {array} for results/quickstart is still in the queue", done.stderr)
        self.assertIn("mine", self.call("squeue", "-h", "-o", "%k").stdout)
        self.assertEqual(len(list((self.work / "results/quickstart/slurm").iterdir())), 2)

    def test_preempted_task_returns(self):
        array, merge = self.submit("submit.sh", "--points", "3")
        self.until(lambda: self.started("3"))
        other = self.call("sbatch", "--parsable", "-p", "urgent", "-n", "4", "--output=/dev/null", "--wrap", "sleep 1").stdout
        self.until(lambda: self.ended(merge))
        task = self.facts(array)[0]
        self.assertEqual((task["JobState"], task["Restarts"]), ("COMPLETED", "1"), self.logs())
        self.assertEqual(self.ended(other.strip())["JobState"], "COMPLETED")
        self.assertIn(f"{array}_0: unfinished, preempted, requeued", self.log(f"{array}_0.log"))
        self.assertEqual(self.status("--points", "3", "--missing", expect=0), "")

    def saved(self, points):
        """Last saved epoch of incomplete points: 0 if nothing is saved, 80 when complete."""
        rows = [line.split() for line in self.status("--saved", "--points", points, expect=None).splitlines()]
        rows = {row[0]: row for row in rows if row and row[0].isdigit() and len(row) > 5}
        return {point: 80 if "complete" in row else int(row[row.index("started") + 1].split("/")[0]) if "started" in row else 0
                for point, row in rows.items()}

    def assert_merged(self, merge, missing):
        log, facts = self.log(f"{merge}_merge.log"), self.ended(merge)
        self.assertEqual(facts["ExitCode"], "3:0" if missing else "0:0", log)
        self.assertTrue((self.work / "results/quickstart/quickstart.h5").exists(), log)
        self.assertEqual(f"missing: {missing}\n" in log, bool(missing), log)

    def assert_as_one_mpirun(self):
        """The whole grid by one mpirun without SLURM gives equal bits, in files of points and in the merged file."""
        self.call("mpirun", "--oversubscribe", "-n", "2", harness.PROGRAM, "run", "jobs/quickstart.yaml", *SETS, "--quiet",
                  "--output", "whole")
        (self.folder / "whole").symlink_to(self.work / "whole")
        (self.folder / "array").symlink_to(self.work / "results/quickstart")
        self.assert_same("whole", "array")
        self.call(harness.PROGRAM, "merge", "jobs/quickstart.yaml", *SETS, "--output", "whole", "--to", "whole.h5")
        merged = self.work / "results/quickstart/quickstart.h5"
        self.assertEqual(self.different_merged(merged, self.work / "whole.h5"), [])

    def different_merged(self, a, b):
        """Differences of two merged files, except for place and time of their making."""
        of_the_run = {"ranks_per_point", "elapsed_seconds", "started", "host"}
        one, other = ({name: value for name, value in results.variables(path).items() if name not in of_the_run}
                      for path in (a, b))
        self.assertIn("saturation", one)
        names = results.different(one, other)
        one, other = ({name: value for name, value in results.attributes(path).items()
                       if name not in of_the_run and not name.startswith("merged_")} for path in (a, b))
        return names + [f"attribute {name}" for name in sorted(set(one) | set(other))
                        if not np.array_equal(one.get(name), other.get(name))]


if __name__ == "__main__":
    missing = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (Debian: slurmctld slurmd)")
        sys.exit(SKIPPED)
    unittest.main()
