"""status and show, before, between and after runs."""
import csv
import io
import json

import harness

JOB = """\
name: tiny
grid: {dataset: shapes, model: tiny, seed: [0, 1, 2]}
models: {tiny: {vgg: [8, M, 8, M]}}
datasets: {shapes: {format: synthetic, classes: 2, complexity: 1, size: 16, channels: 1, train: 48, eval: 16}}
train: {epochs: 2, batch: 16}
measure: {delta: [0.9, 0.99]}
"""
NO_MPI = {"OMPI_MCA_pml": "none-such", "OMPI_MCA_btl": "none-such"}


class StatusAndShow(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("job.yaml", JOB)

    def status(self, *arguments, expect):
        return self.run_program("status", "job.yaml", *arguments, expect=expect, env=NO_MPI)

    def test_life_of_a_job(self):
        self.assertEqual(self.status("--missing", expect=3).stdout, "0-2\n")
        self.run_program("run", "job.yaml", "--points", "0,2", "--quiet")
        self.assertEqual(self.status("--missing", expect=3).stdout, "1\n")
        text = self.status(expect=3).stdout
        self.assertIn("3 points: 2 complete, 0 diverged, 0 damaged, 1 missing in results/tiny/points/", text)
        self.assertEqual([line.split()[2] for line in text.splitlines()[3:6]], ["complete", "missing", "complete"])
        self.run_program("run", "job.yaml", "--quiet")
        self.assertEqual(self.status("--missing", expect=0).stdout, "")
        # Another output folder or other settings have other results.
        self.assertEqual(self.status("--missing", "--output", "elsewhere", expect=3).stdout, "0-2\n")
        self.assertEqual(self.status("--missing", "--set", "train.epochs=3", expect=3).stdout, "0-2\n")

    def test_results_of_other_versions(self):
        """After an edit, status counts the results that the job has no more; a selection of points changes nothing."""
        self.run_program("run", "job.yaml", "--quiet")
        self.assertNotIn("other", self.status(expect=0).stdout)
        self.assertNotIn("other", self.status("--points", "1", expect=0).stdout)
        text = self.status("--set", "train.epochs=3", expect=3).stdout
        self.assertTrue(text.endswith("\n3 other results are there, of other versions of this job or of other jobs\n"), text)
        text = self.status("--set", "grid.seed=[0, 1]", expect=0).stdout
        self.assertTrue(text.endswith("\n1 other result is there, of other versions of this job or of other jobs\n"), text)
        # Large grids lie in subfolders; files with other names are no results.
        points = self.folder / "results/tiny/points"
        first = sorted(points.glob("*.h5"))[0]
        (points / first.name[:2]).mkdir()
        first.rename(points / first.name[:2] / first.name)
        (points / "notes.h5").touch()
        (points / f"{first.stem}.h5.x.part").touch()
        self.assertIn("\n3 other results are there,", self.status("--set", "train.epochs=3", expect=3).stdout)

    def test_json(self):
        self.run_program("run", "job.yaml", "--points", "0,2", "--quiet")
        document = json.loads(self.status("--format", "json", "--set", "grid.width=[1/2, 1]", expect=3).stdout)
        self.assertEqual({name: document[name] for name in ("job", "output", "delta", "counts", "other_results", "missing")},
                         {"job": "tiny", "output": "results/tiny", "delta": 0.99, "other_results": 0, "missing": "0,2-4",
                          "counts": {"missing": 4, "complete": 2, "diverged": 0, "damaged": 0, "unreadable": 0, "unfit": 0, "stopped": 0,
                                     "started": 0, "running": 0, "stale": 0}})
        points = document["points"]
        self.assertEqual([point["outcome"] for point in points], ["missing", "complete"] + ["missing"] * 3 + ["complete"])
        self.assertEqual([(point["epochs_done"], point["epochs"]) for point in points], [(0, 2), (2, 2)] + [(0, 2)] * 3 + [(2, 2)])
        self.assertEqual(points[1]["axes"], {"dataset": "shapes", "model": "tiny", "width": 1, "classes": 2, "resolution": 32,
                                             "seed": 0})
        self.assertEqual((points[0]["axes"]["width"], points[0]["accuracy"]), (0.5, None))
        self.assertTrue(0 <= points[1]["accuracy"] <= 1 and 0 < points[1]["saturation"] <= 1)
        self.assertTrue((self.folder / f"results/tiny/points/{points[1]['id']}.h5").exists())
        done = self.status("--format", "json", "--missing", expect=1)
        self.assertIn("--missing and --format json cannot be used together", done.stderr)
        self.assertIn("--format x: must be table or json", self.status("--format", "x", expect=1).stderr)

    def test_widths_and_all_classes_as_in_the_job(self):
        """1/2 is 1/2 and `all` is `all (2)` in every table; csv and json have numbers."""
        sets = ["--set", "grid.width=[1/2, 1]", "--set", "grid.classes=[2, all]", "--set", "grid.seed=0", "--set",
                "datasets.shapes.classes=3", "--set", "train.epochs=1"]
        heading = r"width +classes .*\n +0 .* 1/2 +2 .*\n +1 .* 1/2 +all \(3\) .*\n +2 .* 1 +2 .*\n +3 .* 1 +all \(3\) "
        self.assertRegex(self.run_program("plan", "job.yaml", *sets).stdout, heading)
        done = self.run_program("run", "job.yaml", *sets).stdout
        self.assertIn("\npoint 1 width=1/2 classes=all (3): complete", done)
        for text in (done, self.status(*sets, expect=0).stdout):
            self.assertRegex(text, heading.replace(" .* 1", " +1"))
        self.run_program("merge", "job.yaml", *sets, "--to", "all.h5")
        self.assertRegex(self.run_program("show", "all.h5").stdout, r"\n +0 +1/2 +2 .*\n +1 +1/2 +3 ")
        self.assertEqual([row["width"] for row in csv.DictReader(
            self.run_program("show", "all.h5", "--format", "csv").stdout.splitlines())], ["0.5", "0.5", "1", "1"])
        ids = [point["id"] for point in json.loads(self.run_program("plan", "job.yaml", *sets, "--format", "json").stdout)["points"]]
        self.assertIn("   width 1/2   ", self.run_program("show", f"results/tiny/points/{ids[0]}.h5").stdout)
        # The heading has it where the axis does not vary, before and after there are results.
        self.assertIn(", classes all (3), ", self.run_program("plan", "job.yaml", *sets, "--set", "grid.classes=all").stdout)
        self.assertIn(", classes all (3), ", self.status(*sets, "--set", "grid.classes=all", expect=0).stdout)
        self.assertIn(", classes all, ", self.status(*sets, "--set", "grid.classes=all", "--output", "none", expect=3).stdout)

    def test_one_file_for_another(self):
        """A job where a result belongs, and the other way round: the message says what the file is and what to do."""
        self.run_program("run", "job.yaml", "--points", "0", "--quiet")
        self.run_program("merge", "job.yaml", "--to", "all.h5", expect=3)
        weights = next((self.folder / "results/tiny/checkpoints").iterdir()).relative_to(self.folder)
        self.write("odd-name", "# a job\ngrid: {dataset: shapes, model: tiny}\nname: x\n")
        for job in ("job.yaml", "odd-name"):
            for command in (("show", job), ("report", job, "--to", "x")):
                done = self.run_program(*command, expect=1)
                self.assertEqual(done.stderr, f"eigenscope: {job}: is a job file, not a file of results; eigenscope status {job} lists its "
                                 f"results, and eigenscope merge {job} --to FILE.h5 writes them into one file for show and report\n")
        for command in (("plan", "all.h5"), ("status", "all.h5"), ("run", "all.h5"), ("merge", "all.h5", "--to", "x.h5")):
            done = self.run_program(*command, expect=1)
            self.assertEqual(done.stderr, "eigenscope: all.h5: is an HDF5 file, not a job file (YAML); eigenscope show all.h5 prints it\n")
        done = self.run_program("plan", weights, expect=1)
        self.assertEqual(done.stderr, f"eigenscope: {weights}: is a safetensors file, not a job file (YAML); eigenscope checkpoint info "
                         f"{weights} prints it\n")

    def test_damaged_file(self):
        self.run_program("run", "job.yaml", "--quiet")
        path = sorted((self.folder / "results/tiny/points").glob("*.h5"))[0]
        sound = path.read_bytes()
        path.write_bytes(sound[:len(sound) // 2])
        done = self.status("--missing", expect=3)
        self.assertRegex(done.stdout, r"^[012]\n$")
        self.assertIn(f"results/tiny/points/{path.name}: is damaged and counts as missing: ", done.stderr)
        self.run_program("run", "job.yaml", "--quiet")
        self.status(expect=0)

    def test_started_point(self):
        self.run_program("run", "job.yaml", "--points", "0,2", "--quiet")
        # If a folder blocks the result, the state of the previous epoch remains.
        ids = [point["id"] for point in json.loads(self.run_program("plan", "job.yaml", "--format", "json").stdout)["points"]]
        blocked = self.folder / f"results/tiny/points/{ids[1]}.h5"
        blocked.mkdir()
        self.run_program("run", "job.yaml", "--quiet", expect=2)
        blocked.rmdir()
        done = self.status(expect=3).stdout
        self.assertEqual(done.splitlines()[4].split()[:4], ["1", "1", "started", "1/2"])
        self.assertIn("3 points: 2 complete, 0 diverged, 0 damaged, 1 missing (1 started) in results/tiny/points/", done)
        # As for run, the state before it counts instead of a damaged one; a state of another point counts as none.
        state = self.folder / f"results/tiny/state/{ids[1]}.safetensors"
        whole = state.read_bytes()
        for content, outcome in ((whole[:40], ["started", "0/2"]), (b"", ["started", "0/2"]),
                                 (whole.replace(f'"point_id":"{ids[1]}'.encode(), f'"point_id":"{ids[0]}'.encode()), ["missing", "-"])):
            state.write_bytes(content)
            self.assertEqual(self.status(expect=3).stdout.splitlines()[4].split()[2:4], outcome)
        state.write_bytes(b"")
        state.with_suffix(".previous.safetensors").unlink()
        done = self.status(expect=3).stdout
        self.assertEqual(done.splitlines()[4].split()[2:4], ["missing", "-"])
        self.assertNotIn("started", done)

    def test_selection(self):
        self.run_program("run", "job.yaml", "--points", "1", "--quiet")
        done = self.status("--points", "1", expect=0).stdout
        self.assertIn("\n1 point: 1 complete,", done)
        self.assertEqual(self.status("--points", "1", "--missing", expect=0).stdout, "")
        self.assertEqual(self.status("--points", "0-1", "--missing", expect=3).stdout, "0\n")
        # Shares as in run: together all points, each exactly once.
        shares = [self.status("--task", f"{i}/2", "--missing", "--output", "none", expect=3).stdout.strip()
                  for i in range(2)]
        self.assertEqual(sorted(",".join(shares).split(",")), ["0", "1", "2"])
        self.assertEqual(self.status("--task", "0/2", "--points", "1-2", "--missing", expect=0).stdout, "")
        self.assertEqual(self.status("--task", "1/2", "--points", "1-2", "--missing", expect=3).stdout, "2\n")
        self.assertEqual(self.status("--task", "2/4", "--points", "1-2", expect=0).stdout.split("\n")[-2],
                         "0 points: 0 complete, 0 diverged, 0 damaged, 0 missing in results/tiny/points/")
        for wrong, message in (("--points=3", "point 3 does not exist; the grid has the points 0-2"), ("--task=2/2", "counted from 0")):
            done = self.status(wrong, expect=1)
            self.assertIn(message, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_status_needs_no_data(self):
        self.write("job.yaml", JOB.replace("{format: synthetic, classes: 2, complexity: 1, size: 16, channels: 1, "
                                           "train: 48, eval: 16}", "{format: idx, path: /no/such/folder}"))
        self.assertEqual(self.status("--missing", expect=3).stdout, "0-2\n")
        self.assertIn("the folder /no/such/folder does not exist", self.status("--task", "0/2", expect=1).stderr)

    def test_show(self):
        self.run_program("run", "job.yaml", "--points", "1", "--quiet")
        path = next((self.folder / "results/tiny/points").glob("*.h5"))
        table = self.run_program("show", path, env=NO_MPI).stdout
        for word in ("seed 1", "features.0", "classifier.6", "complete, 2 epochs"):
            self.assertIn(word, table)
        rows = list(csv.DictReader(io.StringIO(self.run_program("show", path, "--format", "csv", env=NO_MPI).stdout)))
        self.assertTrue(rows)
        document = json.loads(self.run_program("show", path, "--format", "json", env=NO_MPI).stdout)
        self.assertIn(path.stem, json.dumps(document))

    def test_one_word_one_number(self):
        """run, status and show print the saturation at the delta that they name, 0.99 here."""
        printed = self.run_program("run", "job.yaml", "--points", "1").stdout
        path = next((self.folder / "results/tiny/points").glob("*.h5"))
        rows = json.loads(self.run_program("show", path, "--format", "json", env=NO_MPI).stdout)["rows"]
        last = {(row["layer"], row["delta"]): row["saturation"] for row in rows if (row["split"], row["epoch"]) == ("eval", 2)
                and not row["layer_output"] and not row["flags"] & 7}
        means = {delta: sum(values) / len(values) for delta in (0.9, 0.99)
                 if (values := [value for (_, at), value in last.items() if at == delta])}
        self.assertNotAlmostEqual(means[0.9], means[0.99], 3)
        self.assertIn(f" saturation {means[0.99]:.3f} (delta 0.99)", printed)
        self.assertIn("  saturation (delta 0.99)", printed)
        text = self.status(expect=3).stdout
        self.assertIn("  saturation (delta 0.99)", text)
        self.assertEqual(text.splitlines()[4].split()[-1], f"{means[0.99]:.4f}")
        for delta, asked in ((0.99, ()), (0.9, ("--delta", "0.9"))):
            table = self.run_program("show", path, *asked, env=NO_MPI).stdout
            mean = table[table.index(f"saturation, eval split, delta {delta:g}\n"):].split("mean of hidden")[1].split("\n")[0]
            self.assertEqual(mean.split()[-1], f"{means[delta]:.3f}")
        done = self.run_program("show", path, "--delta", "0.5", expect=1, env=NO_MPI)
        self.assertRegex(done.stderr, r"^eigenscope: .*: delta 0.5 was not measured; it was measured at 0.9 and 0.99\n$")
        for wrong in ("0", "1.5", "x", "nan", "-0.9"):
            done = self.run_program("show", path, f"--delta={wrong}", expect=1, env=NO_MPI)
            self.assertEqual(done.stderr, f"eigenscope: --delta {wrong}: must be a number above 0, at most 1\n")

    def test_integers_keep_all_bits(self):
        """Seeds above 2^53, where doubles have gaps, through the job, its plan, files, tables and a merged file."""
        seeds = [2**53 + 1, 2**63 - 1]
        sets = ["--set", f"grid.seed={seeds}", "--set", "datasets.shapes.seed=9007199254740993", "--set", "train.epochs=1"]
        plan = json.loads(self.run_program("plan", "job.yaml", *sets, "--format", "json").stdout)["points"]
        self.assertEqual([point["axes"]["seed"] for point in plan], seeds)
        self.run_program("run", "job.yaml", *sets, "--quiet")
        status = self.run_program("status", "job.yaml", *sets).stdout
        self.run_program("merge", "job.yaml", *sets, "--to", "all.h5")
        merged = json.loads(self.run_program("show", "all.h5", "--format", "json").stdout)["points"]
        self.assertEqual([point["seed"] for point in merged], seeds)
        lines = self.run_program("show", "all.h5", "--format", "csv").stdout.splitlines()
        self.assertEqual([int(row["seed"]) for row in csv.DictReader(lines)], seeds)
        for seed, point in zip(seeds, plan):
            path = self.folder / f"results/tiny/points/{point['id']}.h5"
            facts = json.loads(self.run_program("show", path, "--format", "json").stdout)["attributes"]
            self.assertEqual(facts["seed"], seed)
            self.assertIn(f"  seed: {seed}\n", facts["job"])
            self.assertIn("    seed: 9007199254740993\n", facts["job"])
            self.assertRegex(status, f"  {seed} +complete")
            # The resolved job is the same point.
            self.write("again.yaml", facts["job"])
            again = json.loads(self.run_program("plan", "again.yaml", "--format", "json").stdout)["points"]
            self.assertEqual([(p["id"], p["axes"]["seed"]) for p in again], [(point["id"], seed)])
        done = self.run_program("plan", "job.yaml", "--set", f"grid.seed={2**63}", expect=1)
        self.assertIn(f'grid.seed must be an integer from 0 to {2**63 - 1}, not "{2**63}"', done.stderr)

    def test_show_what_is_no_result(self):
        for name in ("gone.h5", "job.yaml"):
            done = self.run_program("show", name, expect=1, env=NO_MPI)
            self.assertRegex(done.stderr, rf"^eigenscope: {name}: .+\n$")
            self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    harness.main()
