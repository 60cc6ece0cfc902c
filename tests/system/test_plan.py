"""eigenscope plan, --help and --version: output before anything runs, on a login node without MPI."""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import unittest

import harness

JOB = """\
name: look
grid:
  dataset: shapes
  model: [vgg11, late]
  width: [1/16, 1/8]
  seed: [0, 1]
models: {late: {vgg: [64, M, 128, M]}}
datasets: {shapes: {format: synthetic, classes: 3, train: 90, eval: 30}}
train: {epochs: 2}
"""
# Makes MPI_Init fail, to detect commands that call it.
NO_MPI = {"OMPI_MCA_pml": "none-such", "OMPI_MCA_btl": "none-such"}

# Settings that go just beyond what there is, with their notes; AS_FAR are the largest that have none.
NOTES = [
    (["datasets.shapes.limit.train=100000"],
     "job.yaml:8: limit.train is 100000, but dataset \"shapes\" gives 90 train samples of 3 classes: all of them are used"),
    (["datasets.shapes.limit.eval=31"],
     "job.yaml:8: limit.eval is 31, but dataset \"shapes\" gives 30 eval samples of 3 classes: all of them are used"),
    (["train.batch=60", "grid.classes=2", "datasets.shapes.limit.train=61"],
     "job.yaml:8: limit.train is 61, but dataset \"shapes\" gives 60 train samples of 2 classes: all of them are used"),
    (["train.batch=91"], "job.yaml: train.batch is 91, but dataset \"shapes\" gives 90 train samples: every step has 90"),
    (["datasets.shapes.limit.train=60", "train.batch=61"],
     "job.yaml: train.batch is 61, but dataset \"shapes\" gives 60 train samples: every step has 60"),
    (["measure.every=3"], "job.yaml: measure.every is 3, but training ends after epoch 2: no epoch between 0 and 2 is measured"),
    (["checkpoint.every=3"],
     "job.yaml: checkpoint.every is 3, but training ends after epoch 2: no state is saved before the end"),
    (["train.schedule={step: 2}"],
     "job.yaml: train.schedule.step is 2, but training ends after epoch 2: the learning rate never changes"),
    (["train.schedule={milestones: [2, 5]}"],
     "job.yaml: train.schedule.milestones is 2, but training ends after epoch 2: the learning rate never changes"),
    (["train.schedule={plateau: 1}"],
     "job.yaml: train.schedule.plateau is 1, but training ends after epoch 2: the learning rate never changes"),
    (["train.warmup=1", "train.schedule={step: 1}"],
     "job.yaml: train.schedule.step is 1 after a warmup of 1, but training ends after epoch 2: the learning rate never changes"),
    (["train.warmup=2"], "job.yaml: train.warmup is 2, but training ends after epoch 2: the schedule never begins"),
    (["train.nesterov=true", "train.momentum=0"],
     "job.yaml: train.nesterov is true, but train.momentum is 0: sgd has no momentum"),
    (["train.augment=[place]"],
     "job.yaml:8: train.augment has place, but dataset \"shapes\" has fit: resize: its images fill the canvas; use pad"),
    (["train.stop_when_stable={distance: 0.1, patience: 3}"],
     "job.yaml: train.stop_when_stable.patience is 3, but 2 measured epochs can be compared: training never ends early"),
    (["probe={epochs: last, samples: 91}"],
     "job.yaml: probe.samples is 91, but dataset \"shapes\" gives 90 train samples of 3 classes: all of them are used"),
    (["train={batch: 90}", "grid.train.epochs=[2, 3]", "probe.epochs=[1, 3]"],
     "job.yaml: probe.epochs has 3, but training ends after epoch 2: no probes are fitted then"),
    (["measure.steps={log: 5}", "measure.step_samples=31"],
     "job.yaml: measure.step_samples is 31, but dataset \"shapes\" gives 30 eval samples of 3 classes: all of them are used"),
    (["measure={similarity: true, similarity_samples: 31}"],
     "job.yaml: measure.similarity_samples is 31, but dataset \"shapes\" gives 30 eval samples: all of them are used"),
    (["train.augment=[{cutout: {size: 32}}]"], "job.yaml: train.augment has cutout with size 32, but the resolution is 32: "
     "the square is as large as an image, or larger"),
    (["grid.model=vgg_11", "grid.model.groups=[2, 16]", "grid.width=1/8"], "job.yaml: model.groups is 2, but model vgg_11 has 1 at "
     "width 1/8: the width multiplies groups and heads, and they divide the channels"),
    (["probe.l2=1"], "job.yaml: probe.l2 has no effect: probe.epochs is none"),
    (["train.optimizer=adam", "train.momentum=0.5"], "job.yaml: train.momentum has no effect: train.optimizer is adam"),
    (["train.optimizer=adam", "train.momentum=0.9"], "job.yaml: train.momentum has no effect: train.optimizer is adam"),  # a default
    (["train.beta1=0.9"], "job.yaml: train.beta1 has no effect: train.optimizer is sgd"),
    (["train.beta2=0.99"], "job.yaml: train.beta2 has no effect: train.optimizer is sgd"),
    (["train.warmup_start=0.5"], "job.yaml: train.warmup_start has no effect: train.warmup is 0"),
    (["measure.dormant=0.2"], "job.yaml: measure.dormant has no effect: measure.units is false"),
    (["measure.similarity_samples=9"], "job.yaml: measure.similarity_samples has no effect: measure.similarity is false"),
]
AS_FAR = ["datasets.shapes.limit={train: 90, eval: 30}", "train.batch=90", "measure.every=2", "checkpoint.every=2",
          "train.schedule={step: 1}", "train.stop_when_stable={distance: 0.1, patience: 1}",
          "probe={epochs: [2], samples: 90}", "train.augment=[place, {cutout: {size: 31}}]",
          "datasets.shapes.fit=pad", "datasets.shapes.size=31", "train.beta1=0.5", "grid.train.optimizer=[sgd, adam]",
          "measure.units=false", "measure.dormant=0.2", "measure.similarity=true", "measure.steps={log: 3}", "measure.step_samples=30"]


# The parameters of every optimizer, as --resolved writes them.
ALL_OPTIMIZERS = ["train.batch=90", "train.optimizer=adam", "train.momentum=0.9", "train.nesterov=false", "train.beta1=0.9", "train.beta2=0.999",
                  "train.epsilon=1.0e-8"]


class Plan(harness.Case):
    def plan(self, *arguments):
        self.write("job.yaml", JOB)
        return self.run_program("plan", "job.yaml", *arguments, env=NO_MPI)

    def test_table(self):
        lines = self.plan().stdout.splitlines()
        self.assertEqual(lines[0], "look: dataset shapes, classes all (3), resolution 32")
        self.assertEqual(lines[2].split(),
                         ["point", "id", "model", "width", "seed", "parameters", "GMAC/image", "TMAC", "share",
                          "MiB/rank"])
        rows = [line.split() for line in lines[3:11]]
        self.assertEqual([row[0] for row in rows], [str(i) for i in range(8)])
        self.assertEqual([row[2:5] for row in rows[:3]],
                         [["vgg11", "1/16", "0"], ["vgg11", "1/16", "1"], ["vgg11", "1/8", "0"]])
        self.assertEqual(len({row[1] for row in rows}), 8)
        for row in rows:
            self.assertRegex(row[1], "^[0-9a-f]{16}$")
        self.assertAlmostEqual(sum(float(row[8].rstrip("%")) for row in rows), 100, delta=0.5)
        self.assertRegex(lines[-2], r"^8 points, [0-9.]+ TMAC, hours unknown; results go to results/look/points/<id>.h5$")
        self.assertRegex(lines[-1], r"^memory: up to [0-9]+ MiB for each rank, and [0-9]+ MiB for images on each node$")

    def test_many_points_lie_in_folders(self):
        lines = self.plan("--set", f"grid.seed={list(range(251))}").stdout.splitlines()
        self.assertRegex(lines[-2], "^1004 points, .* results/look/points/<first two digits of id>/<id>.h5$")

    def test_json_agrees_with_the_table(self):
        rows = [line.split() for line in self.plan().stdout.splitlines()[3:11]]
        plan = json.loads(self.plan("--format", "json").stdout)
        self.assertEqual(plan["job"], "look")
        self.assertEqual(plan["output"], "results/look")
        self.assertEqual([str(p["parameters"]) for p in plan["points"]], [row[5] for row in rows])
        self.assertEqual([p["id"] for p in plan["points"]], [row[1] for row in rows])
        self.assertEqual(plan["points"][3]["axes"], {"dataset": "shapes", "model": "vgg11", "width": 0.125, "classes": 3,
                                                     "resolution": 32, "seed": 1})
        self.assertAlmostEqual(sum(p["macs"] for p in plan["points"]), plan["total_macs"], delta=10)
        self.assertAlmostEqual(sum(p["share"] for p in plan["points"]), 1, places=4)

    def test_notes(self):
        """A number beyond what there is, is a note that has both numbers, on stderr; the job is run all the same."""
        for sets in (AS_FAR, ALL_OPTIMIZERS):
            self.assertEqual(self.plan(*(word for value in sets for word in ("--set", value))).stderr, "")
        for sets, note in NOTES:
            sets = ["train.batch=90", *sets]
            done = self.plan(*(word for value in sets for word in ("--set", value)), "--format", "json")
            self.assertEqual(done.stderr, f"eigenscope: note: {note}\n")
            json.loads(done.stdout)
        sets = ("--set", "train.batch=90", "--set", NOTES[0][0][0], "--points", "0")
        done = self.run_program("run", "job.yaml", "--dry-run", *sets)
        self.assertEqual(done.stderr, f"eigenscope: note: {NOTES[0][1]}\n")
        self.assertEqual(self.run_program("run", "job.yaml", "--dry-run", "--quiet", *sets).stderr, "")

    def test_set_and_output_change_the_plan(self):
        plain = json.loads(self.plan("--format=json").stdout)
        more = json.loads(self.plan("--format=json", "--set", "train.epochs=4", "--set", "grid.seed=[1, 7]",
                                    "--output", "elsewhere").stdout)
        self.assertEqual(more["output"], "elsewhere")
        self.assertEqual([p["axes"]["seed"] for p in more["points"]], [1, 7] * 4)
        self.assertFalse({p["id"] for p in plain["points"]} & {p["id"] for p in more["points"]})
        again = json.loads(self.plan("--format=json", "--set", "train.epochs=2", "--set", "name=other").stdout)
        self.assertEqual([p["id"] for p in again["points"]], [p["id"] for p in plain["points"]])

    def test_that_mpi_would_be_noticed(self):
        self.assertNotEqual(self.run_program("doctor", env=NO_MPI, expect=None).returncode, 0)

    def test_nothing_is_written(self):
        self.plan()
        self.assertEqual([p.name for p in self.folder.iterdir()], ["job.yaml"])

    def test_paths_start_at_the_job_file(self):
        self.write("jobs/job.yaml", JOB.replace("shapes: {format: synthetic, classes: 3, train: 90, eval: 30}",
                                                "shapes: {format: idx, path: images}"))
        done = self.run_program("plan", "jobs/job.yaml", expect=1)
        self.assertIn(f"the folder {self.folder}/jobs/images does not exist;", done.stderr)

    def test_reference_job(self):
        # Its dataset is the built-in one, which may not be installed here.
        self.write("job.yaml", (harness.SOURCE / "jobs" / "reference.yaml").read_text())
        done = self.run_program("plan", "job.yaml", "--set", "grid.dataset=shapes", env=NO_MPI)
        self.assertIn("1 point,", done.stdout)


class Overview(harness.Case):
    COMMANDS = ("plan", "run", "status", "show", "doctor", "bench")

    def test_help(self):
        text = self.run_program("--help", env=NO_MPI).stdout
        for command in self.COMMANDS:
            self.assertRegex(text, rf"(?m)^  {command} ")
        self.assertIn("exit codes:", text)
        for words in (["help"], ["help", "help"], ["help", "--help"]):
            self.assertEqual(self.run_program(*words, env=NO_MPI).stdout, text)

    def test_help_of_each_command_needs_no_mpi(self):
        for command in ("plan", "run", "status", "show", "doctor"):
            done = self.run_program(command, "--help", env=NO_MPI)
            self.assertTrue(done.stdout.startswith(f"eigenscope {command} "), done.stdout)
            self.assertIn("--", done.stdout.split("options:")[1])
            self.assertEqual(done.stderr, "")
            self.assertEqual(self.run_program("help", command).stdout, done.stdout)
        self.assertEqual(self.run_program("help", "data", "pack").stdout, self.run_program("data", "pack", "--help").stdout)
        self.assertIn('did you mean "plan"?', self.run_program("help", "plann", expect=1).stderr)

    def test_version(self):
        line = self.run_program("--version", env=NO_MPI).stdout
        self.assertRegex(line, r"^eigenscope \d+\.\d+\.\d+ \(\S+\)\n$")
        text = self.run_program("--version", "--verbose", env=NO_MPI).stdout
        for name in ("compiler", "build", "mpi", "hdf5", "blas", "onednn", "host"):
            self.assertRegex(text, rf"(?m)^  {name} +\S")
        self.assertTrue(re.search(r"oneDNN \d+\.\d+\.\d+, \w+", text))

    @unittest.skipUnless(platform.machine() == "x86_64", "names kernels for x86")
    def test_kernels_of_an_openblas_older_than_the_cpu(self):
        free = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
        core = lambda env: re.search(r"OpenBLAS \S+, (\w+)", subprocess.run(
            [harness.PROGRAM, "--version", "--verbose"], env=env, capture_output=True, text=True, check=True).stdout)[1]
        flags = pathlib.Path("/proc/cpuinfo").read_text().split() if os.path.exists("/proc/cpuinfo") else []
        if "avx2" in flags and "fma" in flags:
            self.assertNotEqual(core(free), "Prescott")
        self.assertEqual(core({**free, "OPENBLAS_CORETYPE": "Prescott"}).lower(), "prescott")   # the user's choice wins

    def test_what_is_no_command(self):
        for arguments, sentence in (((), "a command is missing; eigenscope --help lists the commands"),
                                    (("plann",), 'unknown command "plann"; did you mean "plan"?'),
                                    (("frobnicate",), 'unknown command "frobnicate"; eigenscope --help lists the commands'),
                                    (("merge", "x"), "--to FILE.h5 is missing"),
                                    (("checkpoint", "info", "x"), "x: cannot be read: No such file or directory"),
                                    (("--version", "x"), "the argument x is one too many; usage: eigenscope --version [--verbose]"),
                                    (("plan", "a", "--format", "xml"), "--format xml: must be table or json"),
                                    (("show", "a", "--format", "xml"), "--format xml: must be table, csv or json")):
            done = self.run_program(*arguments, expect=1, env=NO_MPI)
            self.assertEqual(done.stderr, f"eigenscope: {sentence}\n")
            self.assertEqual(done.stdout, "")

    def test_full_disk_behind_stdout(self):
        self.write("job.yaml", JOB)
        with open("/dev/full", "w") as full:
            done = subprocess.run([harness.PROGRAM, "plan", "job.yaml"], cwd=self.folder, text=True, stdout=full,
                                  stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output cannot be written: No space left on device", done.stderr)


class Hours(harness.Case):
    """plan gives hours by what run has measured, and never measures itself."""

    def setUp(self):
        super().setUp()
        self.write("job.yaml", JOB.replace("vgg11, late", "late").replace("epochs: 2", "epochs: 2, batch: 30"))

    def plan(self, *arguments):
        return self.run_program("plan", "job.yaml", *arguments, env=NO_MPI)

    def rates(self):
        return json.loads((self.folder / "results/look/rates.json").read_text())["rates"]

    def test_measured_by_run_only(self):
        self.assertRegex(self.plan().stdout, r"\n4 points, [\d.]+ TMAC, hours unknown; results go to ")
        for name in ("hours", "hours_left", "cpu"):
            self.assertIsNone(json.loads(self.plan("--format", "json").stdout)[name])
        self.assertEqual([path.name for path in self.folder.iterdir()], ["job.yaml"])
        self.run_program("run", "job.yaml", "--dry-run", "--quiet")
        self.assertFalse((self.folder / "results").exists())
        self.run_program("run", "job.yaml", "--points", "0,2", "--quiet")
        rates = self.rates()
        self.assertEqual(len(rates), 2)  # one for each size of network
        plan = json.loads(self.plan("--format", "json").stdout)
        points = plan["points"]
        # All but the probes' and eigenvalues' rounding of parts: the file has the work of both points.
        self.assertAlmostEqual(sum(rate["macs"] for rate in rates) / (points[0]["macs"] + points[2]["macs"]), 1, places=3)
        self.assertEqual(plan["cpu"], rates[0]["cpu"])
        by_size = {rate["macs_per_image"]: 1000 * rate["macs"] / rate["rank_milliseconds"] for rate in rates}
        for point in points:
            size = 1 << (point["macs_per_image"].bit_length() - 1)
            self.assertAlmostEqual(point["hours"] * 3600 * by_size[size] / point["macs"], 1, places=6)
        self.assertEqual([point["outcome"] for point in points], ["complete", "missing"] * 2)
        self.assertEqual([point["hours_left"] == 0 for point in points], [True, False] * 2)
        self.assertAlmostEqual(plan["hours_left"], points[1]["hours"] + points[3]["hours"])
        text = self.plan().stdout
        self.assertRegex(text, r"\npoint .* hours  MiB/rank  done\n +0 .* complete\n +1 .*\d\n +2 .* complete\n")
        self.assertRegex(text, r"\ndone: 2 of 4 points complete; (<?[\d.]+) hours remain\nhours: of one rank on .*, by earlier runs\n")

    def test_other_machines(self):
        """The hours of this kind of CPU if it is known, else of the one that worked longest; all kinds are listed."""
        self.run_program("run", "job.yaml", "--points", "0", "--quiet")
        own = self.rates()[0]
        other = {**own, "cpu": "Another CPU, avx2", "rank_milliseconds": 1000 * own["rank_milliseconds"]}
        path = self.folder / "results/look/rates.json"
        path.write_text(json.dumps({"rates": [other, own]}))
        text = self.plan().stdout
        self.assertIn(f"\nhours: of one rank on {own['cpu']}, by earlier runs\n       ", text)
        self.assertRegex(text, r"\n +[\d.]+ on Another CPU, avx2\n")
        path.write_text(json.dumps({"rates": [other]}))
        self.assertIn("\nhours: of one rank on Another CPU, avx2, by earlier runs\n", self.plan().stdout)
        # The next run adds its own.
        self.run_program("run", "job.yaml", "--points", "1", "--quiet")
        self.assertEqual({rate["cpu"] for rate in self.rates()}, {own["cpu"], "Another CPU, avx2"})

    def test_a_file_that_is_damaged_or_cannot_be_written(self):
        self.run_program("run", "job.yaml", "--points", "0", "--quiet")
        path = self.folder / "results/look/rates.json"
        path.write_text("{")
        done = self.plan()
        self.assertEqual(done.stderr, "eigenscope: warning: results/look/rates.json: is damaged; the next run replaces the file\n")
        self.assertIn(", hours unknown; ", done.stdout)
        self.run_program("run", "job.yaml", "--points", "1", "--quiet")
        self.assertEqual(len(self.rates()), 1)
        path.unlink()
        path.mkdir()
        done = self.run_program("run", "job.yaml", "--points", "2")
        self.assertRegex(done.stderr, r"^eigenscope: warning: plan will not know the hours of this run: \S+/rates.json: .*\n$")
        self.assertIn("point 2 ", done.stdout)

    def test_ranks_count_their_own_time(self):
        """Two ranks on one point, and two groups: seconds of all ranks, in one row for each size."""
        for i, arguments in enumerate(((), ("--ranks-per-point", 2))):
            self.run_program("run", "job.yaml", "--quiet", "--output", f"r{i}", *arguments, ranks=2)
            rates = json.loads((self.folder / f"r{i}/rates.json").read_text())["rates"]
            macs = json.loads(self.plan("--format", "json").stdout)["total_macs"]
            self.assertAlmostEqual(sum(rate["macs"] for rate in rates) / macs, 1, places=3)
            self.assertEqual(len(rates), 2)


class Doctor(harness.Case):
    LINE = r"^(ok|warn|fail) +(program|MPI|HDF5|binding|cores|kernels|slots|Python|output|locking|space) +\S"

    def check(self, done):
        lines = done.stdout.splitlines()
        for line in lines:
            self.assertRegex(line, self.LINE)
        return {line.split()[1] for line in lines}

    def test_alone(self):
        done = self.run_program("doctor")
        self.assertEqual(self.check(done), {"program", "MPI", "HDF5", "binding", "cores", "kernels", "Python", "output",
                                            "locking", "space"} | ({"slots"} if "Open MPI" in done.stdout else set()))
        self.assertNotRegex(done.stdout, "; kernels \\d")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_ranks(self):
        done = self.run_program("doctor", "--output", "not/yet/there", ranks=3)
        self.check(done)
        self.assertEqual(len([line for line in done.stdout.splitlines() if " binding   rank " in line]), 3)
        self.assertIn("the run creates the rest of the path", done.stdout)

    def test_python(self):
        """The Python of `report`, with versions, or what it lacks."""
        done = self.run_program("doctor", env={"EIGENSCOPE_PYTHON": sys.executable}).stdout
        self.assertRegex(done, rf"(?m)^ok    Python    {re.escape(sys.executable)} 3[\d.]+: h5py \d\S+, .* matplotlib \d")
        bare = self.write("bare", f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
        bare.chmod(0o755)
        done = self.run_program("doctor", env={"EIGENSCOPE_PYTHON": str(bare), "PYTHONPATH": ""}).stdout
        self.assertRegex(done, r"(?m)^warn  Python    \S+ 3[\d.]+: lacks h5py, .*so eigenscope report does not run; Debian has ")
        done = self.run_program("doctor", env={"EIGENSCOPE_PYTHON": "/none-such"}).stdout
        self.assertRegex(done, r"(?m)^warn  Python    /none-such does not run; ")

    def test_folder_that_cannot_be_written(self):
        self.write("file", "")
        done = self.run_program("doctor", "--output", "/proc/x", expect=1)
        self.assertRegex(done.stdout, r"(?m)^fail  output    /proc/\.eigenscope.*give another folder with --output")


if __name__ == "__main__":
    harness.main()
