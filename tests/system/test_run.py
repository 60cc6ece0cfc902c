"""run: the work it does, the lines it prints, the files it stores."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import h5py

import harness
import results

EPOCH = (r"point \d seed=\d: epoch (0/3|\d/3 loss \d+\.\d{4}) accuracy [01]\.\d{4}( saturation [01]\.\d{3} \(delta 0\.99\))?"
         r"( \d+ images/s)?(, (\d+ s|[\d:]+) left)?")
END = r"point \d seed=\d: complete \(\d/\d points?, (\d+ s|[\d:]+|\?) left\)"
BATCHES = r"point \d seed=\d: epoch \d/3( \d+%)?( .*)?"


class Work(results.Case):
    """Six points: selection of points, and locations of output."""
    job = results.JOB.replace("[0, 1]", "[0, 1, 2, 3, 4, 5]").replace("epochs: 3", "epochs: 1")

    def ids(self, *numbers):
        lines = self.run_program("plan", "job.yaml").stdout.splitlines()
        ids = [line.split()[1] for line in lines if re.match(r" +\d+  ", line)]
        return {ids[number] for number in numbers}

    def test_points(self):
        self.run_job("--quiet", "--points", "1-2,5")
        self.assertEqual(set(self.points()), self.ids(1, 2, 5))
        self.assertEqual(self.missing(), "0,3-4")
        before = {path: path.stat().st_mtime_ns for path in self.points().values()}
        done = self.run_job("--points", self.missing())
        self.assertNotIn("point 1", done.stdout)
        self.assertEqual(self.missing(expect=0), "")
        self.assertEqual({path: path.stat().st_mtime_ns for path in before}, before)

    def test_a_run_without_work_opens_each_result_once(self):
        self.run_job("--quiet")
        notes = self.folder / "notes"
        # The heading of status says how many classes "all" is, from one result.
        for command, most in ((("run", "--quiet"), 6), (("status",), 7)):
            self.run_command([os.environ["EIGENSCOPE_FAULTS"], command[0], "job.yaml", "--output", "out", *command[1:]],
                             env={"ES_FAULT_NOTES": str(notes)})
            lines = [line.split() for path in self.folder.glob("notes*") for line in path.read_text().splitlines()]
            self.assertEqual(sum(int(line[4]) for line in lines if line[1] == "H5Fopen"), most, command)

    def test_tasks_are_all_points_once(self):
        seen = set()
        for task in range(4):
            self.run_job("--quiet", "--task", f"{task}/4", output=f"task{task}")
            found = set(self.points(f"task{task}"))
            self.assertIn(len(found), (1, 2))
            self.assertFalse(found & seen)
            seen |= found
        self.assertEqual(seen, self.ids(*range(6)))

    def test_tasks_of_a_selection(self):
        for task in range(2):
            self.run_job("--quiet", "--points", "0-2", "--task", f"{task}/2")
        self.assertEqual(self.missing(), "3-5")
        self.assertEqual(self.run_job("--quiet", "--points", "0", "--task", "1/2", output="none").stdout, "")
        self.assertFalse((self.folder / "none").exists())

    def test_tasks_at_the_same_time(self):
        runs = [self.start_job("--quiet", "--task", f"{task}/2") for task in range(2)]
        outputs = [run.communicate(timeout=120) for run in runs]
        self.assertEqual([run.returncode for run in runs], [0, 0], outputs)
        self.run_job("--quiet", output="whole")
        self.assert_same("whole", "out")

    def test_two_runs_of_the_same_points_at_the_same_time(self):
        runs = [self.start_job() for _ in range(2)]
        for run in runs:
            run.communicate(timeout=120)
        self.run_job("--quiet", output="whole")
        self.run_job("--quiet")
        self.assert_same("whole", "out")

    def test_dry_run(self):
        for arguments, ranks in (((), 0), (("--ranks-per-point", 2), 2)):
            done = self.run_job("--dry-run", *arguments, ranks=ranks)
            self.assertRegex(done.stdout, r"(?m)^dry run: 6 points, one batch each; nothing was written$")
            self.assertEqual(os.listdir(self.folder), ["job.yaml"])
            self.assertEqual(len(re.findall(r"(?m)^point \d seed=\d: its first batch runs ", done.stdout)), 6)
            self.assertNotIn("complete", done.stdout)
            self.assertTrue(done.stdout.startswith(f"t: 6 points, 6 to try on {max(ranks, 1)} rank"), done.stdout)

    def test_dry_run_beside_results(self):
        self.run_job("--quiet", "--points", "0")
        before = {path: (self.folder / "out" / path).stat().st_mtime_ns for path in self.files()}
        self.run_job("--quiet", "--dry-run")
        self.assertEqual({path: (self.folder / "out" / path).stat().st_mtime_ns for path in self.files()}, before)

    def test_default_output_and_variables_in_it(self):
        self.run_program("run", "job.yaml", "--quiet", "--set", "output=$PLACE/${PLACE}x", "--points", "0",
                         env={"PLACE": "here"})
        self.assertEqual(len(self.points("here/herex")), 1)

    def test_limits_of_time_that_are_far(self):
        for limit in ("1.5m", "0:30", "48:00:00", "1-23:59:59"):
            self.run_job("--quiet", "--dry-run", "--points", "0", "--max-time", limit)


class Files(results.Case):
    """checkpoint: {keep, every}: the stored weights and their names, and no other files."""

    def check(self, keep, every, names):
        sets = [f"checkpoint={{keep: {keep}, every: {every}}}", "grid.seed=0"]
        output = f"{keep}{every}"
        self.run_job("--quiet", output=output, sets=sets)
        point, = self.points(output)
        self.assertEqual(self.files(output), sorted([f"points/{point}.h5"] + [f"checkpoints/{point}{name}.safetensors"
                                                                                for name in names]))
        return {name: results.read_safetensors(self.folder / output / "checkpoints" / f"{point}{name}.safetensors")[0]
                for name in names}

    def test_keep(self):
        last = self.check("last", 1, [""])[""]
        self.check("none", 1, [])
        every = self.check("all", 1, ["-000", "-001", "-002", "-003"])
        some = self.check("all", 2, ["-000", "-002", "-003"])
        self.assertEqual(results.different(last, every["-003"]), [])
        for name, weights in some.items():
            self.assertEqual(results.different(weights, every[name]), [])
        for a, b in (("-000", "-001"), ("-001", "-002"), ("-002", "-003")):
            names = results.different(every[a], every[b])
            self.assertIn("features.0.weight", names)
            self.assertIn("features.1.running_mean", names)
        self.assertIn("classifier.6.bias", last)


class Words(results.Case):
    """Output on stdout and stderr."""

    def test_quiet(self):
        for ranks in (0, 2):
            done = self.run_job("--quiet", "--verbose", ranks=ranks, output=f"q{ranks}")
            self.assertEqual((done.stdout, done.stderr), ("", ""))

    def test_lines_of_groups_are_whole(self):
        seeds = list(range(8))
        done = self.run_job(ranks=4, sets=[f"grid.seed={seeds}"])
        self.assertEqual(done.stderr, "")
        # mpirun forwards lines of different ranks in its own order.
        self.assertIn("t: 8 points, 0 done, 8 to run on 4 ranks; results go to out/points/", done.stdout.splitlines())
        lines = [line for line in done.stdout.splitlines() if line.startswith("point ") and not line.startswith("point  ")]
        table = done.stdout.split("t: dataset shapes", 1)[1]
        for line in lines:
            self.assertRegex(line, f"^({EPOCH}|{END})$")
        self.assertEqual(len(lines), 8 * 5)
        for seed in seeds:
            mine = [line for line in lines if line.startswith(f"point {seed} seed={seed}: ")]
            self.assertEqual([re.search(r": (epoch \d|complete)", line)[1] for line in mine],
                             ["epoch 0", "epoch 1", "epoch 2", "epoch 3", "complete"])
        self.assertEqual(sorted(re.findall(r"complete \((\d)/8 points", done.stdout)), list("12345678"))
        self.assertEqual(len(re.findall(r"(?m)^ +\d +\d +complete +3 +", table)), 8)
        self.assertTrue(table.endswith("results: out/points/\n"
                                       f"next: {harness.PROGRAM} merge job.yaml --output out --set 'grid.seed={seeds}' --to t.h5\n"
                                       f"      {harness.PROGRAM} report t.h5 --to t\n"), table)

    def test_done_before(self):
        self.run_job("--quiet", "--points", "0")
        done = self.run_job("--points", "0").stdout
        self.assertTrue(done.startswith("t: 1 of 2 points, 1 done; results are in out/points/\n"), done)
        self.assertTrue(done.endswith("next: " + harness.PROGRAM + " status job.yaml --output out    # shows the other points\n"), done)
        self.assertTrue(self.run_job().stdout.startswith("t: 2 points, 1 done, 1 to run on 1 rank; results go to out/points/\n"))
        done = self.run_job(ranks=2)
        self.assertTrue(done.stdout.startswith("t: 2 points, 2 done; results are in out/points/\n"), done.stdout)
        self.assertEqual(done.stderr, "")

    def test_next_commands_run(self):
        """The commands that a run ends with are quoted for the shell, and work."""
        sets = ["grid.seed=[0]", "name=it's a name", "measure.delta=[0.5, 0.9]"]
        done = self.run_job("--set", "train.epochs=1", output="a b", sets=sets).stdout
        merge, report = [line[6:] for line in done.splitlines()[-2:]]
        self.run_command(["bash", "-c", merge])
        self.assertTrue((self.folder / "it's a name.h5").exists())
        self.assertEqual(report, f"{harness.PROGRAM} report 'it'\\''s a name.h5' --to 'it'\\''s a name'")

    def test_diverged_points_are_named(self):
        sets = ["grid.train.learning_rate=[0.01, 1.0e+6]", "grid.seed=0", "train={epochs: 1, batch: 16}"]
        done = self.run_job(sets=sets, expect=2)
        self.assertRegex(done.stdout, r"\nnext: \S+ status job.yaml .*    # shows what failed\n$")
        done = self.run_job(sets=sets, expect=2)
        self.assertTrue(done.stdout.startswith("t: 2 points, 1 done, 1 diverged (--retry-failed runs such points again); results are in "))

    def test_groups_are_named(self):
        done = self.run_job("--ranks-per-point", 2, ranks=2)
        self.assertTrue(done.stdout.startswith("t: 2 points, 0 done, 2 to run on 2 ranks, 2 for each point; results go to "))

    def test_goes_on(self):
        """A point that goes on says after which epoch, and does not count what an earlier run did as its own speed."""
        self.write("job.yaml", self.job.replace("train: 67", "train: 20000").replace("epochs: 3", "epochs: 40"))
        process = self.start_job("--points", "0")
        self.wait_for(lambda: any((self.folder / "out" / "state").glob("*.safetensors")), process)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, 3)
        self.assertTrue(output.endswith("unfinished: to continue, run the same command again\n"))
        state, = (self.folder / "out" / "state").glob("*[0-9a-f].safetensors")
        before = state.stat().st_mtime_ns
        process = self.start_job("--points", "0")
        self.wait_for(lambda: state.stat().st_mtime_ns != before, process)
        process.send_signal(signal.SIGINT)
        done = process.communicate(timeout=60)[0]
        self.assertRegex(done, r"(?m)^point 0 seed=0: goes on after epoch \d+ of 40$")
        self.assertIn("1 of 2 points, 0 done, 1 to run", done)
        plan = self.run_program("plan", "job.yaml", "--output", "out").stdout
        self.assertRegex(plan, r"(?m) \d+/40$")
        self.assertRegex(plan, r"(?m)^done: 0 of 2 points complete; (<?\d+\.\d+|\d+) hours remain$")

    def test_verbose(self):
        done = self.run_job("--verbose", "--ranks-per-point", 2, ranks=2)
        tables = re.findall(r"(?m)^  stage +min +mean +max   seconds over 2 ranks\n((?:  .*\n)+)", done.stdout)
        self.assertEqual(len(tables), 2)
        for table in tables:
            rows = [line.split() for line in table.splitlines()]
            stages = {row[0]: list(map(float, row[1:4])) for row in rows if len(row) == 4}
            self.assertEqual(list(stages), ["prepare", "train", "evaluate", "capture", "wait", "reduce", "spectrum", "probe",
                                            "store"])
            for least, mean, most in stages.values():
                self.assertTrue(0 <= least <= mean <= most < 60)
            self.assertGreater(stages["train"][0], 0)

    def test_verbose_efforts(self):
        for ranks in (1, 2):
            found = results.efforts(self.run_job("--verbose", "--ranks-per-point", ranks, ranks=ranks, output=f"e{ranks}",
                                                 sets=["grid.seed=0"]).stdout)
            self.assertEqual([list(epoch) for epoch in found], [["evaluate", "measure"]] + 3 * [["train", "evaluate", "measure"]])
            for epoch in found[1:]:
                self.assertEqual([int(epoch[work]["steps"]) for work in epoch], [5, 2, 2])
                self.assertAlmostEqual(float(epoch["train"]["images/s"]) * float(epoch["train"]["ms/step"]) * 5 / 67, 1000,
                                       delta=50)
                if ranks == 1:
                    self.assertEqual(list(epoch["train"]), ["steps", "images/s", "ms/step"])
                    continue
                # Two batch norms of convolutions (8 and 12 channels) and two of the head (12 and 6), forward and backward; the
                # loss; all gradients.
                with h5py.File(next(iter(self.points("e2").values()))) as file:
                    parameters = int(file["layer_parameters"][()].sum()) + 2 * (8 + 12 + 12 + 6)
                self.assertEqual([epoch["train"][name] for name in ("sums/step", "messages/step", "bytes/step")],
                                 ["10", "10", str(4 * 8 * (8 + 12 + 12 + 6) + 32 + 4 * parameters)])
                self.assertEqual([epoch["evaluate"][name] for name in ("sums/step", "messages/step", "bytes/step")],
                                 ["1", "1", "32"])
                for work in epoch.values():
                    least, most = (float(share) for share in work["in sums"].rstrip("%").split("-"))
                    self.assertTrue(0 <= least <= most <= 100, work)
                self.assertGreater(float(epoch["train"]["in sums"].rstrip("%").split("-")[1]), 0)

    def check_live(self, text):
        self.assertTrue(text.endswith("\n"))
        for line in re.split(r"[\r\n]+\x1b\[K", text.rstrip("\r\n"))[1:]:
            self.assertRegex(line, f"^(\\d/2 points, (\\d+ s|\\?) left \\| ({EPOCH}|{BATCHES})|{END})$")
        self.assertIn("0/2 points, ", text)
        self.assertIn("complete (2/2 points, 0 s left)", text)

    def test_live(self):
        done = subprocess.run([harness.PROGRAM, "run", "job.yaml", "--progress", "live"], cwd=self.folder,
                              env={**os.environ, "COLUMNS": "200"}, capture_output=True)  # bytes: text would turn \r into \n
        self.assertEqual(done.returncode, 0)
        self.check_live(done.stderr.decode())
        self.assertEqual(done.stderr.count(b"\n"), 1)
        self.assertTrue(done.stdout.startswith(b"t: 2 points, 0 done, "))

    def test_an_error_in_the_middle_of_a_live_line(self):
        done = subprocess.run([harness.PROGRAM, "run", "job.yaml", "--progress", "live", "--set",
                               "grid.train.momentum=[0, 0.9]", "--set", "train={epochs: 2, batch: 16, learning_rate: 1.0e+6}"],
                              cwd=self.folder, capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertTrue(re.search(rb"(^|\r\x1b\[K)eigenscope: point \d \(\w{16}\): the training loss is not finite[^\r\n]+\n",
                                  done.stderr), done.stderr)
        self.assertFalse(re.search(rb"[^K\n]eigenscope: ", done.stderr), done.stderr)

    def on_terminal(self, *command, columns=200, code=0, signals=(), env=None):
        """Runs a command whose standard error is a terminal; returns what it writes there."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        before = termios.tcgetattr(follower)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        process = subprocess.Popen(command, cwd=self.folder, stderr=follower, stdout=subprocess.DEVNULL,
                                   env={**environment, "TERM": "xterm", **(env or {})})
        text = b""
        while process.poll() is None or select.select([leader], [], [], 0)[0]:
            if select.select([leader], [], [], 0.1)[0]:
                text += os.read(leader, 4096)
            if signals and signals[0].encode() in text:
                process.send_signal(signals[1])
                signals = ()
        self.assertEqual(process.returncode, code, text)
        self.assertEqual(termios.tcgetattr(follower), before)
        os.close(follower)
        os.close(leader)
        return text.decode()

    def test_live_is_the_default_on_a_terminal(self):
        self.check_live(self.on_terminal(harness.PROGRAM, "run", "job.yaml"))

    def test_live_is_no_default_under_a_launcher(self):
        """isatty is true under mpirun even into a file, so variables of launchers and more than one rank mean lines."""
        for variable in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"):
            text = self.on_terminal(harness.PROGRAM, "run", "job.yaml", "--dry-run", env={variable: "0"})
            self.assertNotIn("\x1b", text)
        for arguments in (("--progress", "lines"), ("--verbose",), ("--quiet",)):
            self.assertEqual(self.on_terminal(harness.PROGRAM, "run", "job.yaml", "--dry-run", *arguments), "")
        self.assertEqual(self.on_terminal(harness.PROGRAM, "run", "job.yaml", "--dry-run", env={"TERM": "dumb"}), "")
        self.assertNotIn("\x1b", self.on_terminal(*harness.MPIRUN, "-n", "2", harness.PROGRAM, "run", "job.yaml"))

    def test_live_fits_the_window(self):
        for columns, env in ((40, {}), (61, {}), (200, {"COLUMNS": "33"})):
            text = self.on_terminal(harness.PROGRAM, "run", "job.yaml", "--output", f"o{columns}", columns=columns, env=env)
            lines = [line for line in re.split(r"[\r\n]+(?:\x1b\[K)?", text) if line]
            self.assertGreater(len(lines), 8)
            most = int(env.get("COLUMNS", columns))
            self.assertLess(max(map(len, lines)), most)
            self.assertTrue(any(line.endswith("...") for line in lines))

    def test_live_ends_after_a_signal(self):
        self.write("job.yaml", self.job.replace("train: 67", "train: 20000").replace("epochs: 3", "epochs: 40"))
        text = self.on_terminal(harness.PROGRAM, "run", "job.yaml", code=3, signals=("%", signal.SIGINT))
        self.assertRegex(text, r"\r\x1b\[Kpoint \d seed=\d: stopped \(0/2 points, [\d:]+( s)? left\)\r?\n$")

    def test_live_of_several_groups_has_a_line_for_each(self):
        """Rank 0 makes room, and each group moves up to its own line; a message is inserted above them."""
        done = subprocess.run([*harness.MPIRUN, "-n", "3", harness.PROGRAM, "run", "job.yaml", "--progress", "live", "--set",
                               "grid.seed=[0, 1, 2, 3, 4, 5]", "--set", "train={epochs: 2, batch: 16, learning_rate: 1.0e+6}"],
                              cwd=self.folder, capture_output=True, env={**os.environ, "COLUMNS": "80"})
        text = done.stderr.decode()
        for up in (1, 2):
            self.assertRegex(text, rf"\r\x1b\[{up}A\r\x1b\[K[^\r\n\x1b]*point \d seed=\d: ")
        messages = re.findall(r"\n\n\n\x1b\[5A\r\x1b\[3Leigenscope: point \d[^\r\n\x1b]*\x1b\[3B\r", text)
        self.assertEqual(len(messages), 6, text)

    def test_output_that_cannot_be_written_to(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([harness.PROGRAM, "run", "job.yaml"], cwd=self.folder, stdout=full, text=True,
                                  stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "eigenscope: standard output cannot be written: earlier lines were lost\n")
        self.assertEqual(self.missing(expect=0), "")

    def test_help_writes_nothing(self):
        done = self.run_program("run", "--help", ranks=2)
        self.assertEqual(done.stderr, "")
        self.assertEqual(len(re.findall(r"(?m)^  --ranks-per-point ", done.stdout)), 1)


if __name__ == "__main__":
    harness.main()
