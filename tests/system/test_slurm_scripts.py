"""The scripts of slurm/ with stand-ins for SLURM: submitted commands, and when a task requeues itself. tests/slurm/ uses a real
cluster."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import harness

JOB = """\
name: tiny
output: results/a folder
grid: {dataset: shapes, model: tiny, width: [1, 2], seed: [0, 1, 2, 3, 4, 5]}
models: {tiny: {vgg: [8, M, 8, M]}}
datasets: {shapes: {format: synthetic, classes: 2, complexity: 1, size: 16, channels: 1, train: 16, eval: 8}}
train: {epochs: 1, batch: 16}
"""
SCRIPTS = ["submit.sh", "resubmit.sh", "array.sbatch", "merge.sbatch"]


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.tree = self.folder / "source tree"
        shutil.copytree(harness.SOURCE / "slurm", self.tree / "slurm")
        self.work = self.folder / "a sweep"
        self.work.mkdir()
        (self.work / "job.yaml").write_text(JOB)
        (self.folder / "bin").mkdir()
        self.log = self.folder / "log"
        self.log.touch()
        self.env = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "EIGENSCOPE": harness.PROGRAM,
                    "OMPI_MCA_pml": "none-such"}
        self.tool("squeue", 'exit 1', log=False)
        self.tool("scontrol", 'case $1 in show) echo "MaxArraySize            = ${MOST:-1001}" ;; esac')
        self.tool("sbatch", 'n=$(grep -c ^sbatch "$LOG"); echo "$((40 + n));cluster"')

    def tool(self, name, body, log=True):
        path = self.folder / "bin" / name
        record = f'LOG="{self.log}"\nprintf "%s" "{name}" >> "$LOG"; printf "\\t%s" "$@" >> "$LOG"; echo >> "$LOG"\n'
        path.write_text(f"#!/usr/bin/env bash\n{record if log else ''}{body}\n")
        path.chmod(0o755)

    def calls(self, name):
        words = [line.split("\t") for line in self.log.read_text().splitlines()]
        return [line[1:] for line in words if line[0] == name]

    def script(self, name, *arguments, expect=0, **env):
        done = subprocess.run([self.tree / "slurm" / name, *map(str, arguments)], cwd=self.work, capture_output=True,
                              text=True, env={**self.env, **env}, timeout=60)
        self.assertEqual(done.returncode, expect, f"stdout:\n{done.stdout}\nstderr:\n{done.stderr}")
        self.stdout, self.stderr = done.stdout, done.stderr
        return self.calls("sbatch")

    def submitted(self, output="results/a folder"):
        path, = (self.work / output / "slurm").glob("job-*.yaml")
        return str(path)

    def shares(self):
        path, = (self.work / "results").glob("*/slurm/tasks-*")
        return [line for line in path.read_text().splitlines() if not line.startswith("#")]


class Submit(Case):
    def test_array_and_merge(self):
        array, merge = self.script("submit.sh", "job.yaml", "-p", "main", "--account=me", "-n", "2", "--time", "1:00:00")
        # Four points per rank: 12 points in two tasks.
        self.assertEqual(len(self.shares()), 2)
        self.assertIn("--array=0-1", array)
        list_, = (self.work / "results").glob("*/slurm/tasks-*")
        at = array.index(str(self.tree / "slurm/array.sbatch"))
        self.assertEqual(array[at + 1:], [harness.PROGRAM, str(list_), "", self.submitted(), "--"])
        for submitted in (array, merge):
            at = submitted.index("-p")
            self.assertEqual(submitted[at:at + 7], ["-p", "main", "--account=me", "-n", "2", "--time", "1:00:00"])
        # Our options for merge follow the caller's and win: one rank, whatever the array has.
        at = merge.index(str(self.tree / "slurm/merge.sbatch"))
        self.assertEqual(merge[merge.index("1:00:00") + 1:at],
                         ["--nodes=1", "--ntasks=1", "--ntasks-per-node=1", "--dependency=afterany:41"])
        self.assertEqual(merge[at + 1:], [harness.PROGRAM, str(self.work / "results/a folder/tiny.h5"), self.submitted()])
        self.assertIn("array 41: points: 12, tasks: 2", self.stdout)
        self.assertIn("merge 42: writes results/a folder/tiny.h5", self.stdout)

    def test_shares_hold_every_point_once(self):
        self.script("submit.sh", "--tasks=5", "job.yaml")
        points = [i for share in self.shares() for part in share.split(",")
                  for i in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)]
        self.assertEqual(sorted(points), list(range(12)))
        self.assertEqual(len(self.shares()), 5)

    def number_of_tasks(self, *arguments, **env):
        shutil.rmtree(self.work / "results", True)
        array = self.script("submit.sh", *arguments, **env)[-2]
        option, = [word for word in array if word.startswith("--array=")]
        self.assertTrue(option.startswith(f"--array=0-{len(self.shares()) - 1}"), option)
        return len(self.shares())

    def test_number_of_tasks(self):
        self.assertEqual(self.number_of_tasks("job.yaml"), 3)
        self.assertEqual(self.number_of_tasks("job.yaml", "--ntasks=2"), 2)
        self.assertEqual(self.number_of_tasks("job.yaml", "-N2", "--ntasks-per-node", "2"), 1)
        self.assertEqual(self.number_of_tasks("--ranks-per-point", "2", "job.yaml", "-n", "2"), 3)
        self.assertEqual(self.number_of_tasks("--points-per-task", "1", "job.yaml", "-n", "2"), 12)
        self.assertEqual(self.number_of_tasks("--points", "0-3", "--points-per-task", "1", "job.yaml"), 4)
        # Never more tasks than the cluster allows; if it does not say, never more than SLURM's default.
        self.assertEqual(self.number_of_tasks("--points-per-task", "1", "job.yaml", MOST="7"), 7)
        self.assertEqual(self.number_of_tasks("--tasks", "9", "job.yaml", MOST="7"), 7)
        self.tool("scontrol", "exit 1")
        self.assertEqual(self.number_of_tasks("--tasks", "9", "job.yaml"), 9)

    def test_options_reach_whom_they_are_for(self):
        array, merge = self.script(
            "submit.sh", "--set", "train.epochs=2", "--output=else where", "--at-once", "3", "--ranks-per-point", "2",
            "--run", "--retry-failed", "--launcher", "mpirun --bind-to none", "--to", "one file.h5", "job.yaml", "-n", "4")
        at = array.index(str(self.tree / "slurm/array.sbatch"))
        job = self.submitted("else where")
        self.assertEqual(array[at + 3:], ["mpirun --bind-to none", job, "--", "--retry-failed", "--ranks-per-point", "2"])
        text = pathlib.Path(job).read_text()
        self.assertIn("\n# set: train.epochs=2\n", text)
        self.assertIn("\n  epochs: 2\n", text)
        self.assertIn("--array=0-1%3", array)
        at = merge.index(str(self.tree / "slurm/merge.sbatch"))
        self.assertEqual(merge[at + 2:], [str(self.work / "one file.h5"), job])
        self.assertEqual(sorted(path.name[:4] for path in (self.work / "else where/slurm").iterdir()), ["job-", "task"])

    def test_refused(self):
        for arguments, message in ((("--tasks", "2"), "a job file is missing"),
                                   (("--taks", "2", "job.yaml"), "unknown option --taks"),
                                   (("--tasks",), "--tasks needs a value"),
                                   (("--ranks-per-point", "2", "job.yaml"), "a task has only 1 rank; add -n 2"),
                                   (("job.yaml", "--array", "0-3"), "--array cannot be given"),
                                   (("job.yaml", "--array=0-3"), "--array cannot be given"),
                                   (("job.yaml", "--dry-run"), "--dry-run is an option of submit.sh: write it before the job file"),
                                   (("job.yaml", "--set=train.epochs=2"), "--set is an option of submit.sh"),
                                   (("--ranks-per-point", "x", "job.yaml"), "--ranks-per-point x: must be an integer of at least 1"),
                                   (("--tasks", "x", "job.yaml"), "--tasks x: must be an integer of at least 1"),
                                   (("--at-once", "0", "job.yaml"), "--at-once 0: must be an integer of at least 1"),
                                   (("job.yaml", "-n08"), "--ntasks 08: must be an integer of at least 1"),
                                   (("job.yaml", "--nodes=x"), "--nodes x: must be an integer of at least 1"),
                                   (("none.yaml",), "none.yaml"),
                                   (("--points", "99", "job.yaml"), "point 99 does not exist"),
                                   (("--ranks-per-point", "16", "job.yaml", "-n", "16"), "at most 8, the lanes of a point")):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.script("submit.sh", *arguments, expect=1), [])
                self.assertIn(message, self.stderr)
        self.assertEqual(self.script("submit.sh", "job.yaml", expect=1, EIGENSCOPE=str(self.folder / "none")), [])
        self.assertIn("build it first", self.stderr)
        self.assertEqual(self.script("submit.sh", "job.yaml", expect=1, MOST="0"), [])
        self.assertIn("no job arrays", self.stderr)

    def test_program_of_this_tree(self):
        (self.tree / "build").mkdir()
        (self.tree / "build/eigenscope").symlink_to(harness.PROGRAM)
        del self.env["EIGENSCOPE"]
        self.assertEqual(len(self.script("submit.sh", "job.yaml")), 2)

    def test_failed_submission_fails(self):
        self.tool("sbatch", "echo refused >&2; exit 1")
        self.script("submit.sh", "job.yaml", expect=1)
        self.assertEqual(self.stdout, "")
        self.assertEqual(len(self.calls("sbatch")), 1)
        self.assertFalse((self.work / "results").exists())
        # Files of earlier submissions stay.
        self.tool("sbatch", "echo 40")
        self.script("submit.sh", "job.yaml")
        before = sorted((self.work / "results").rglob("*"))
        self.tool("sbatch", "exit 1")
        self.script("submit.sh", "--tasks", "1", "job.yaml", expect=1)
        self.assertEqual(sorted((self.work / "results").rglob("*")), before)

    def test_merge_is_not_submitted(self):
        # The array runs, so its files stay, and the message says what to do instead.
        self.tool("sbatch", '[[ $* == *--array=* ]] && echo 40')
        self.script("submit.sh", "job.yaml", expect=1)
        self.assertIn("array 40: points: 12", self.stdout)
        self.assertIn(f"when the array has ended, run: {harness.PROGRAM} merge {self.submitted()} --to ", self.stderr)

    def test_sites_that_print_more(self):
        for text in ('welcome to 7 nodes\n41', 'Submitted batch job 41', 'x\n41;cluster'):
            self.tool("sbatch", f"printf '%s\\n' '{text}'")
            self.script("submit.sh", "job.yaml")
            self.assertIn("array 41: points: 12", self.stdout)
            self.assertIn("merge 41: writes", self.stdout)
            self.assertIn("--dependency=afterany:41", self.calls("sbatch")[-1])

    def test_dry_run(self):
        self.assertEqual(self.script("submit.sh", "--dry-run", "--points", "2-3", "job.yaml", "-n", "2"), [])
        self.assertIn("\n# points 2\n# tasks 1\n2-3\n", self.stdout)
        self.assertIn("name: \"tiny\"", self.stdout)
        self.assertEqual(sorted(path.name for path in self.work.iterdir()), ["job.yaml"])

    def test_squeue_does_not_answer(self):
        self.script("submit.sh", "job.yaml")
        self.assertIn("squeue does not answer, so it is not known if another array", self.stderr)

    def test_queued_array_of_the_same_folder(self):
        self.tool("squeue", f'echo "40 eigenscope {self.work}/results/a folder of others|"', log=False)
        self.assertEqual(len(self.script("submit.sh", "job.yaml")), 2)
        self.log.write_text("")
        self.tool("squeue", f'echo "40 eigenscope {self.work}/results/other|"; '
                            f'echo "17 eigenscope {self.work}/results/a folder|"', log=False)
        self.assertEqual(self.script("submit.sh", "job.yaml", expect=1), [])
        self.assertIn("array 17 for results/a folder is still in the queue", self.stderr)
        self.assertEqual(len(self.script("submit.sh", "--beside", "job.yaml")), 2)

    def test_help(self):
        for name in ("submit.sh", "resubmit.sh"):
            self.script(name, "--help")
            for option in ("--points-per-task", "--launcher", "--at-once", "JOB.yaml [SBATCH-OPTION...]"):
                self.assertIn(option, self.stdout)
            self.assertNotIn("set -euo", self.stdout)


class Resubmit(Case):
    def test_only_what_is_missing(self):
        subprocess.run([harness.PROGRAM, "run", "job.yaml", "--points", "0,4-6", "--quiet"], cwd=self.work, check=True)
        self.script("resubmit.sh", "--tasks", "1", "job.yaml")
        self.assertEqual(self.shares(), ["1-3,7-11"])

    def test_nothing_missing(self):
        subprocess.run([harness.PROGRAM, "run", "job.yaml", "--quiet"], cwd=self.work, check=True)
        self.assertEqual(self.script("resubmit.sh", "job.yaml"), [])
        self.assertEqual(self.stdout, "nothing is missing\n")

    def test_wrong_job(self):
        self.assertEqual(self.script("resubmit.sh", "none.yaml", expect=1), [])

    def test_the_job_that_was_submitted(self):
        job = self.work / "job.yaml"
        self.script("submit.sh", "job.yaml")
        submitted = self.submitted()
        self.script("resubmit.sh", "job.yaml")
        self.assertNotIn("not as it was", self.stdout)
        job.write_text(JOB.replace("seed: [0, 1, 2, 3, 4, 5]", "seed: [9]"))
        array = self.script("resubmit.sh", "--beside", "job.yaml")[-2]
        self.assertIn("job.yaml is not as it was submitted", self.stdout)
        self.assertIn("array 45: points: 12,", self.stdout)
        self.assertIn(submitted, array)
        # Other options of the command line are another job, and so is the edited file for submit.sh.
        for number, arguments in enumerate((("resubmit.sh", "--set", "train.epochs=2"), ("submit.sh", "--missing"))):
            self.script(*arguments, "job.yaml")
            self.assertIn("points: 2,", self.stdout)
            self.assertEqual(len(list((self.work / "results/a folder/slurm").glob("job-*.yaml"))), 2 + number)
        # Now the edited job is the one that was submitted last. The file of a submission is a job like any other.
        job.write_text(JOB.replace("width: [1, 2]", "width: [1, 2, 3]"))
        self.script("resubmit.sh", "job.yaml")
        self.assertIn("points: 2,", self.stdout)
        self.assertIn(submitted, self.script("resubmit.sh", submitted)[-2])
        self.assertEqual(len(list((self.work / "results/a folder/slurm").glob("job-*.yaml"))), 3)

    def test_more_than_an_argument_holds(self):
        # Every second of 100,000 points is missing: more text than one argument may hold.
        self.tool("eigenscope", 'if [[ $1 == status ]]; then seq -s, 1 2 99999; exit 3; fi\n'
                                'if [[ $* == *--resolved* ]]; then touch "${@: -1}/job-x.yaml"\n'
                                '  printf "file: %s/job-x.yaml\\noutput: %s/o\\n" "${@: -1}" "$PWD"; exit; fi\n'
                                'shift $(($# - 1)); printf "# name x\\n# output o\\n# points 1\\n# tasks 1\\n%s\\n" "$1"')
        self.script("resubmit.sh", "job.yaml", EIGENSCOPE=str(self.folder / "bin/eigenscope"))
        path, = (self.work / "o/slurm").glob("tasks-*")
        points = path.read_text().splitlines()[-1]
        self.assertLess(len(points), 131072)
        self.assertRegex(points, r"^1,3,.*,\d*[13579]$")
        self.assertEqual(points, ",".join(map(str, range(1, 2 * (points.count(",") + 1), 2))))
        self.assertIn("only the first points are submitted now", self.stdout)


class Element(Case):
    """Starts array.sbatch as SLURM would, with the program under a launcher controlled by the test."""

    def setUp(self):
        super().setUp()
        self.write("tasks", "# name tiny\n5-11\n0,3\n")
        self.queue("RUNNING", "10:00")
        self.tool("srun", '[[ $1 != --mpi=list ]] || echo "pmix pmi2" >&2')
        self.env |= {"SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": "1", "OMPI_MCA_pml": "ob1"}

    def queue(self, state, left):
        self.tool("squeue", f'case "$*" in *%T*) echo "{state}" ;; *%L*) echo "{left}" ;; esac')

    def launcher(self, body):
        self.tool("launch", body)

    def start(self, *, launcher="launch", options=(), program=harness.PROGRAM, **env):
        return subprocess.Popen([self.tree / "slurm/array.sbatch", program, self.folder / "tasks", launcher, "job.yaml",
                                 "--output", "out", "--", *options], cwd=self.work, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env={**self.env, **env})

    def element(self, expect, **options):
        return self.end(self.start(**options), expect)

    def end(self, process, expect):
        self.stdout, self.stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, expect, f"stdout:\n{self.stdout}\nstderr:\n{self.stderr}")

    def requeued(self):
        return [call[1] for call in self.calls("scontrol") if call[0] == "requeue"]

    def test_complete(self):
        self.launcher('exec "$@"')
        self.element(0)
        self.assertEqual(self.requeued(), [])
        self.assertIn("2 points: 2 complete", self.stdout)
        # A second start finds no work.
        self.element(0)
        self.assertEqual(len(self.calls("launch")), 1)

    def test_what_is_run(self):
        self.launcher("exit 0")
        self.element(3, options=["--accept-cpu-change", "--allow-emulation"])
        self.assertEqual(self.calls("launch")[0][1:], ["run", "job.yaml", "--output", "out", "--points", "0,3", "--accept-cpu-change",
                                                       "--allow-emulation", "--max-time", "541"])

    def max_time(self, left, **env):
        self.queue("RUNNING", left)
        self.launcher("exit 0")
        self.element(3, **env)
        words = self.calls("launch")[-1]
        return words[words.index("--max-time") + 1] if "--max-time" in words else None

    def test_time_limit(self):
        for left, expected in (("1-02:03:04", 93784 - 119), ("2:00:00", 7200 - 119), ("10:00", 541), ("0:08", 9),
                               ("UNLIMITED", None), ("INVALID", None), ("", None)):
            with self.subTest(left=left):
                self.assertEqual(self.max_time(left), None if expected is None else str(expected))
        self.assertEqual(self.max_time("2:00:00", EIGENSCOPE_MARGIN="600"), str(7200 - 599))

    def test_launcher_is_looked_for(self):
        self.tool("mpirun", "exit 0")
        self.element(3, launcher="")
        self.assertEqual(self.calls("srun")[-1][:4], ["--mpi=pmix", "--kill-on-bad-exit=1", harness.PROGRAM, "run"])
        # MPICH supports PMIx only if built with it: otherwise ranks would not find each other.
        other = self.folder / "bin/other"
        self.tool("other", 'case "$*" in "--version --verbose") echo "  mpi  MPICH Version: 4.0.2" ;; '
                           f'*) exec "{harness.PROGRAM}" "$@" ;; esac', log=False)
        self.element(3, launcher="", program=other)
        self.assertEqual(self.calls("mpirun")[-1][:2], [str(other), "run"])
        self.tool("srun", 'echo "none pmi2" >&2')
        self.element(3, launcher="")
        self.assertEqual(self.calls("mpirun")[-1][:2], [harness.PROGRAM, "run"])

    def test_progress_is_requeued(self):
        # One point of two completes, then the launcher dies, as when a rank is killed.
        self.launcher(f'"{harness.PROGRAM}" run job.yaml --output out --points 0 --quiet; exit 137')
        self.element(3)
        self.assertEqual(self.requeued(), ["41_1"])
        self.assertIn("41_1: unfinished, requeued", self.stdout)

    def test_no_progress_is_not_requeued(self):
        for code in (0, 1, 2, 137):
            self.launcher(f"exit {code}")
            self.element(3)
        self.assertEqual(self.requeued(), [])
        self.assertIn("nothing was saved since the start, so not requeued", self.stderr)
        self.assertIn("slurm/resubmit.sh", self.stderr)

    def test_an_epoch_longer_than_the_limit_is_not_requeued(self):
        # A run stops early if its next step would take longer than the time left.
        for left, requeued in (("0:59", []), ("4:00", []), ("6:00", ["41_1"])):
            self.queue("RUNNING", "10:00")
            self.launcher(f'printf "#!/bin/sh\\ncase \\"\\$*\\" in *%%T*) echo RUNNING ;; *) echo {left} ;; esac" '
                          f'> "{self.folder / "bin/squeue"}"; exit 3')
            self.element(3)
            self.assertEqual(self.requeued(), requeued, left)

    def test_restarts_end(self):
        self.launcher(f'"{harness.PROGRAM}" run job.yaml --output out --points 0 --quiet; exit 3')
        self.element(3, SLURM_RESTART_COUNT="4", EIGENSCOPE_RESTARTS="4")
        self.assertEqual(self.requeued(), [])
        self.assertIn("unfinished after 4 restarts, so not requeued", self.stderr)
        self.launcher("exit 3")
        self.element(3, SLURM_RESTART_COUNT="3", EIGENSCOPE_RESTARTS="4")
        self.assertEqual(self.requeued(), ["41_1"])

    def test_failed_points_are_not_requeued(self):
        # The learning rate makes the loss NaN every time.
        (self.work / "job.yaml").write_text(JOB.replace("epochs: 1", "epochs: 2, learning_rate: 1.0e+30"))
        self.launcher('exec "$@"')
        self.element(2)
        self.assertEqual(self.requeued(), [])
        self.assertIn("2 diverged", self.stdout)

    def test_wrong_job(self):
        self.launcher("exit 0")
        (self.work / "job.yaml").write_text("name: x\n")
        self.element(1)
        self.assertEqual(self.calls("launch") + self.requeued(), [])

    def test_without_scontrol(self):
        self.tool("scontrol", "exit 1")
        self.launcher("exit 3")
        self.element(3)
        self.assertIn("SLURM refused to requeue this task; to continue, run slurm/resubmit.sh", self.stderr)
        self.tool("squeue", "exit 1")
        self.element(3)
        self.assertIn("cancelled or not known to SLURM, so not requeued; to continue, run slurm/resubmit.sh", self.stderr)

    def test_cancelled_is_not_requeued(self):
        self.queue("COMPLETING", "5:00")
        self.launcher("exit 3")
        self.element(3)
        self.assertEqual(self.requeued(), [])

    def told(self, number):
        """The launcher waits for USR1 as mpirun does; the script receives signal `number`."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        self.launcher(f'trap "echo USR1 came; exit 3" USR1; trap "exit 143" TERM; touch "{ready}"; '
                      'for _ in {1..200}; do sleep 0.1 & wait $!; done')
        process = self.start()
        end = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)
        self.end(process, 3)

    def test_signals_are_passed_on_as_usr1(self):
        for number in (signal.SIGUSR1, signal.SIGTERM):
            self.told(number)
            self.assertIn("USR1 came", self.stdout)
            self.assertIn("the launcher ended with code 3", self.stdout)
        # Told to stop before anything was saved: it was stopped from outside, so it may restart.
        self.assertEqual(self.requeued(), ["41_1", "41_1"])

    def test_no_such_task(self):
        self.launcher("exit 0")
        self.element(1, SLURM_ARRAY_TASK_ID="2")
        self.assertIn("has no line for task 2", self.stderr)


    def test_emptied_list(self):
        self.launcher("exit 0")
        for text in ("", "# name tiny\n"):
            self.write("tasks", text)
            self.element(1)
            self.assertIn("has no line for task 1", self.stderr)

    def test_preempted(self):
        # The task is no longer RUNNING when TERM comes. `scontrol requeue` is refused if SLURM requeues the task itself.
        self.queue("COMPLETING", "5:00")
        at = "2026-11-28T10:00:00"
        for time_, answer in (("None", "exit 0"), (at, "exit 0"), (at, "echo '41_1: Job is pending execution'; exit 1"),
                              (at, "echo 'Requested operation is presently disabled'; exit 1")):
            self.tool("scontrol", f'[[ $* == *show* ]] || {{ {answer}; }}; [[ -e "{self.folder}/ready" ]] && now={time_}\n'
                                  'echo "JobState=COMPLETING PreemptTime=${now-None} Partition=main"')
            self.log.write_text("")
            self.told(signal.SIGTERM)
            self.assertEqual(self.requeued(), [] if time_ == "None" else ["41_1"])
            refused = "disabled" in answer
            self.assertEqual("41_1: unfinished, preempted, requeued" in self.stdout, time_ != "None" and not refused)
            self.assertEqual("SLURM refused to requeue this task: Requested operation is presently disabled" in self.stderr, refused)


class Style(harness.Case):
    def test_scripts_are_sound(self):
        if shutil.which("shellcheck") is None:
            self.skipTest("shellcheck is not installed")
        scripts = [*(f"slurm/{name}" for name in SCRIPTS), "tests/slurm/up.sh", "tests/slurm/down.sh"]
        subprocess.run(["shellcheck", *scripts], cwd=harness.SOURCE, check=True)

    def test_no_absolute_paths(self):
        for name in SCRIPTS:
            for line in (harness.SOURCE / "slurm" / name).read_text().splitlines()[1:]:
                self.assertNotRegex(line.replace("/dev/null", ""), r"(^|[\s=\"'])/\w+/", name)


class Merge(Case):
    def merge(self, expect):
        done = subprocess.run([self.tree / "slurm/merge.sbatch", harness.PROGRAM, "one file.h5", "job.yaml", "--output", "a b"],
                              cwd=self.work, env=self.env, capture_output=True, text=True)
        self.assertEqual(done.returncode, expect, done.stderr)
        self.assertTrue((self.work / "one file.h5").exists())
        return done.stdout

    def test_says_what_is_missing(self):
        for points, missing in (("0-2,6-11", "3-5"), ("3-5", "")):
            subprocess.run([harness.PROGRAM, "run", "job.yaml", "--output", "a b", "--points", points, "--quiet"],
                           cwd=self.work, check=True)
            said = self.merge(expect=3 if missing else 0)
            self.assertEqual(f"missing: {missing}\n" in said, bool(missing))
            self.assertEqual("slurm/resubmit.sh" in said, bool(missing))


if __name__ == "__main__":
    harness.main()
