"""Searches: answers and decisions on any number of ranks, after kills, in shares, and in a folder with other results."""
import json
import os
import re
import signal
import subprocess

import h5py
import numpy as np

import harness

SMALLEST = """\
name: s
output: out
grid: {dataset: shapes, model: small, width: [1/8, 1/4, 1/2, 1, 2], classes: [3, 6], seed: [0, 1]}
models: {small: {mlp: [16]}}
datasets: {shapes: {format: synthetic, classes: 6, complexity: 4, size: 8, channels: 1, train: 300, eval: 200}}
train: {epochs: 6, batch: 32, learning_rate: 0.05}
search: {axis: width, accuracy: 0.05}
"""
HALVING = """\
name: h
output: out
grid: {dataset: shapes, model: small, width: [1/8, 1/4, 1/2, 1], train.learning_rate: [0.01, 0.1], classes: [3, 6], seed: [0, 1]}
models: {small: {mlp: [16]}}
datasets: {shapes: {format: synthetic, classes: 6, complexity: 4, size: 8, channels: 1, train: 300, eval: 200}}
train: {epochs: 6, batch: 32}
search: {halving: {rungs: [1, 3], keep: 1/3}}
"""


class Case(harness.Case):
    def results(self, folder="out"):
        """Outcome, and accuracy and eigenvalues of the finished epochs, of each result."""
        found = {}
        for path in (self.folder / folder / "points").glob("*.h5"):
            with h5py.File(path) as file:
                done = ~np.isnan(file["seconds"][()])
                found[path.stem] = (file.attrs["outcome"], file["accuracy"][1][done].tobytes(), file["eigenvalues"][:, done].tobytes())
        return found

    def decisions(self, *arguments, expect=0):
        return json.loads(self.run_program("search", "job.yaml", "--format", "json", *arguments, expect=expect).stdout)

    def run_on(self, ranks):
        """Results and decisions of a run in a folder of its own."""
        folder = f"r{ranks}"
        self.run_program("run", "job.yaml", "--quiet", "--output", folder, ranks=ranks)
        written = json.loads((self.folder / folder / "search.json").read_text())
        self.assertEqual(written, self.decisions("--output", folder))
        return self.results(folder), written


class Smallest(Case):
    def setUp(self):
        super().setUp()
        self.write("job.yaml", SMALLEST)

    def full_grid(self, folder):
        """Computes all points into a folder; returns the accuracies (classes, width, seed)."""
        self.write("full.yaml", "".join(line for line in SMALLEST.splitlines(True) if not line.startswith("search")))
        self.run_program("run", "full.yaml", "--quiet", "--output", folder, ranks=2)
        self.run_program("merge", "full.yaml", "--output", folder, "--to", "full.h5")
        with h5py.File(self.folder / "full.h5") as file:
            return file["accuracy"][:, 1, -1].reshape(5, 2, 2).transpose(1, 0, 2)

    def test_equals_the_rule_on_any_ranks_and_beside_other_results(self):
        one = self.run_on(1)
        self.assertEqual(one, self.run_on(2))
        self.assertEqual(one, self.run_on(4))
        accuracy = self.full_grid("r1").mean(-1)  # adds the points that the search has left out
        names = ["1/8", "1/4", "1/2", "1", "2"]
        decided = self.decisions("--output", "r1")
        self.assertEqual(decided, one[1])
        for problem, values in zip(decided["problems"], accuracy):
            asked = next((i + 1 for i in range(1, 5) if values[i] <= values[i - 1] + 0.05), 5)
            answer = next(i for i in range(asked) if values[i] >= max(values[:asked]) - 0.05)
            self.assertEqual([d["value"] for d in problem["decisions"]], names[:asked])
            self.assertEqual(problem["answer"], names[answer])
            np.testing.assert_allclose([d["accuracy"] for d in problem["decisions"]], values[:asked], rtol=1e-12)
        full = self.results("r1")
        self.assertEqual(len(full), 20)
        for id, result in one[0].items():
            self.assertEqual(result, full[id])
        table = self.run_program("search", "job.yaml", "--output", "r1", "--explain").stdout
        self.assertIn("2 of 2 problems answered; asked for ", table)
        same = sum(p["answer"] == names[next(i for i in range(5) if v[i] >= v.max() - 0.05)] for p, v in zip(decided["problems"], accuracy))
        self.assertIn(f"the full grid gives the same answer to {same} of 2 problems with results of all points\n", table)
        self.assertIn("classes=3:\n  width 1/8: accuracy ", table)
        single = self.run_program("search", "job.yaml", "--output", "r1", "--explain", "--set", "grid.classes=3").stdout
        self.assertIn("\n\nall points:\n  width 1/8: accuracy ", single)

    def test_takes_as_many_seeds_as_needed(self):
        accuracy = self.full_grid("r1")  # (classes, width, seed)
        needed = ("--set", "search.seeds=needed")
        self.run_program("run", "job.yaml", "--quiet", *needed, ranks=2)
        decided = self.decisions(*needed)
        self.assertEqual(json.loads((self.folder / "out/search.json").read_text()), decided)
        self.assertEqual(decided, self.decisions(*needed, "--output", "r1"))
        points, compared = 0, []
        for problem, values in zip(decided["problems"], accuracy):
            asked, last, first = [1] + 4 * [0], 0, []
            for last in range(1, 5):
                for k in (1, 2):
                    asked[last - 1:last + 1] = [max(n, k) for n in asked[last - 1:last + 1]]
                    gain = values[last][:k].mean() - values[last - 1][:k].mean()
                    if k == 2 or gain > 0.1 or gain < 0:
                        break
                first += [last] if k == 1 else []
                if gain <= 0.05:
                    break
            compared += [f"; compared by the first point: {values[i][0]:.4f} after {values[i - 1][0]:.4f}" for i in first if 2 in asked[i - 1:i + 1]]
            means = [values[i][:asked[i]].mean() for i in range(last + 1)]
            self.assertEqual([d["points"] for d in problem["decisions"]], asked[:last + 1])
            np.testing.assert_allclose([d["accuracy"] for d in problem["decisions"]], means, rtol=1e-12)
            self.assertEqual(problem["answer"], ["1/8", "1/4", "1/2", "1", "2"][next(i for i, m in enumerate(means) if m >= max(means) - 0.05)])
            points += sum(asked)
        self.assertEqual(len(self.results()), points)
        self.run_program("plan", "job.yaml", "--resolved", "resolved", *needed)
        resolved = next((self.folder / "resolved").rglob("*.yaml"))
        self.assertEqual(json.loads(self.run_program("search", resolved, "--format", "json").stdout), decided)
        explained = self.run_program("search", "job.yaml", "--explain", *needed).stdout
        self.assertIn(" (1 of 2 points)", explained)
        self.assertEqual(re.findall("; compared by .* after [0-9.]+", explained), compared)

    def test_commands_know_what_is_left_out(self):
        before = self.run_program("search", "job.yaml", expect=3)
        self.assertIn("0 of 2 problems answered", before.stdout)
        self.assertEqual(before.stderr, "eigenscope: note: the folder out does not exist, so there are no results yet\n")
        self.run_program("search", "job.yaml", "--set", "search=", expect=1)
        run = self.run_program("run", "job.yaml")
        self.assertRegex(run.stdout, r"20 points, 0 done, at most 20 to run on 1 rank")
        self.assertIn("search: 2 of 2 problems answered\nnext: ", run.stdout)
        n = len(self.results())
        self.assertLess(n, 20)
        status = self.run_program("status", "job.yaml").stdout
        self.assertIn("0 missing", status)
        self.assertIn(f"search: 2 of 2 problems answered, {20 - n} points left out", status)
        self.assertEqual(self.run_program("status", "job.yaml", "--missing").stdout, "")
        self.assertRegex(self.run_program("status", "job.yaml", "--follow").stdout, "0 waiting, 0 failed, 0 stale; 2 of 2 problems answered")
        merged = self.run_program("merge", "job.yaml", "--to", "all.h5").stdout
        self.assertIn(f"left out by the search: {20 - n} points", merged)
        again = self.run_program("run", "job.yaml").stdout
        self.assertIn(f"20 points, {n} done, none to run, because the search needs no more of them; results are in out/points/\n", again)
        self.assertIn("search: 2 of 2 problems answered", again)
        self.assertEqual(len(self.results()), n)

    def test_shares_hold_whole_problems(self):
        whole = self.run_on(2)
        for task in ("0/2", "1/2"):
            self.run_program("run", "job.yaml", "--quiet", "--task", task)
        self.assertEqual((self.results(), self.decisions()), whole)
        self.run_program("plan", "job.yaml", "--resolved", "resolved")
        resolved = next((self.folder / "resolved").rglob("*.yaml"))
        self.assertIn("2 of 2 problems answered", self.run_program("search", resolved).stdout)


class Halving(Case):
    def setUp(self):
        super().setUp()
        self.write("job.yaml", HALVING)

    def test_on_any_ranks_and_after_kills(self):
        one = self.run_on(1)
        self.assertEqual(one, self.run_on(2))
        outcomes = [outcome for outcome, *_ in one[0].values()]
        self.assertEqual((outcomes.count("complete"), outcomes.count("stopped"), len(outcomes)), (4, 28, 32))
        for tenths in range(3, 9):  # killed at several times, then finished
            run = subprocess.Popen([harness.PROGRAM, "run", "job.yaml", "--quiet"], cwd=self.folder)
            try:
                run.wait(0.1 * tenths * (4 if harness.SANITIZED else 1))
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.wait()
        part = self.folder / "out/search.json.1.part"  # as a run leaves it that is killed while it writes
        part.touch()
        os.utime(part, (0, 0))
        self.run_program("run", "job.yaml", "--quiet")
        self.assertEqual((self.results(), self.decisions()), one)
        self.assertEqual(list(self.folder.rglob("*.part")), [])
        with_state = {path.name.split(".")[0] for path in (self.folder / "out/state").iterdir()}
        self.assertEqual(with_state, {id for id, (outcome, *_) in one[0].items() if outcome == "stopped"})

    def test_stopped_points_go_on(self):
        self.run_program("run", "job.yaml", "--quiet")
        stopped = self.results()
        problems = self.decisions()["problems"]
        ties = sum(not d["goes_on"] and any(e["goes_on"] and (e["epoch"], e["score"]) == (d["epoch"], d["score"]) for e in problem["decisions"])
                   for problem in problems for d in problem["decisions"])
        explained = self.run_program("search", "job.yaml", "--explain").stdout
        self.assertEqual(explained.count("stopped; of equal ones the first in the grid goes on\n"), ties)
        status = self.run_program("status", "job.yaml").stdout
        self.assertIn("4 complete, 0 diverged, 0 damaged, 0 missing, 28 stopped early", status)
        self.assertRegex(self.run_program("merge", "job.yaml", "--to", "all.h5").stdout, "32 of 32 points .4 complete, 0 diverged, 28 stopped early")
        self.assertRegex(self.run_program("show", "all.h5").stdout, r" stopped .* stopped by the search after epoch [13]")
        self.write("full.yaml", "".join(line for line in HALVING.splitlines(True) if not line.startswith("search")))
        self.assertIn("28 stopped early", self.run_program("status", "full.yaml", expect=3).stdout)
        self.run_program("run", "full.yaml", "--quiet")
        went_on = self.results()
        self.assertEqual({outcome for outcome, *_ in went_on.values()}, {"complete"})
        self.run_program("run", "full.yaml", "--quiet", "--output", "again")
        self.assertEqual(went_on, self.results("again"))
        self.assertRegex(self.run_program("search", "job.yaml").stdout, "2 of 2 problems answered.*\nthe full grid gives the same answer to [012] of 2")
        for id, (outcome, accuracy, _) in stopped.items():
            self.assertTrue(went_on[id][1].startswith(accuracy))


class Refused(Case):
    def test_messages(self):
        plain = "".join(line for line in SMALLEST.splitlines(True) if not line.startswith("search"))
        for section, message in (
                ("{axis: wdth}", "job.yaml:7: search.axis: the grid has no axis wdth; did you mean width?"),
                ("{axis: model}", "job.yaml:7: search.axis: the values of model are not all numbers, so none is the smallest"),
                ("{axis: seed}", "job.yaml:7: search.axis: seed cannot be searched, because accuracies are means over seeds"),
                ("{axis: width, over: [width]}", "job.yaml:7: search.over has width, which is the searched axis; leave it out"),
                ("{axis: width, over: [class]}", "job.yaml:7: search.over: the grid has no axis class; did you mean classes?"),
                ("{axis: width, over: [classes, classes]}", "job.yaml:7: search.over has classes twice"),
                ("{axis: width, halving: {rungs: [1]}}", "job.yaml:7: search.axis cannot be used together with search.halving"),
                ("{halving: {rungs: [1, 6]}}", "job.yaml:7: search.halving.rungs has epoch 6, but training ends after epoch 6; "
                                               "each rung must be before the end"),
                ("{halving: {rungs: [1], keep: 1}}", "job.yaml:7: search.halving.keep must be below 1, because points must be stopped"),
                ("{halving: {rungs: [2, 3], by: saturation}}\nmeasure: {every: 2}",
                 "job.yaml:7: search.halving.rungs has epoch 3, which is not measured, because measure.every is 2; with by: saturation "
                 "use multiples of 2, or measure.every: 1"),
                ("{halving: {rungs: [2], by: saturation}}\nmeasure: {splits: [train]}",
                 "job.yaml:7: search.halving.by: saturation compares the eval split, but measure.splits does not have eval; add it, or "
                 "use by: accuracy"),
                ("{axis: resolution}", "job.yaml:7: search.axis: resolution is not written in the grid, so all points have one value of it; "
                                       "write it in the grid, with at least two values"),
                ("{axis: width, over: [resolution]}", "job.yaml:7: search.over: resolution is not written in the grid, so all points have "
                                                      "one value of it; write it in the grid, or leave it out"),
                ("{halving: {}}", "job.yaml:7: search.halving has no rungs; it needs one, as in rungs: [1, 3, 9]"),
                ("{axis: width, accuracy: 2}", "job.yaml:7: search.accuracy must be a number from 0 to below 1, not \"2\""),
                ("{acuracy: 0.1}", "job.yaml:7: unknown key \"acuracy\" in search; did you mean \"accuracy\"?")):
            with self.subTest(section):
                self.write("job.yaml", plain + f"search: {section}\n")
                self.assertEqual(self.run_program("plan", "job.yaml", expect=1).stderr, f"eigenscope: {message}\n")
        self.write("job.yaml", plain + "search: {halving: {rungs: [2, 4], by: saturation}}\nmeasure: {every: 2}\n")
        self.assertIn("\nsearch: a run computes at most these points", self.run_program("plan", "job.yaml").stdout)
        for section, expected in (("", None), ("search: {axis: width}\n", {"kind": "smallest", "axis": "width"}),
                                  ("search: {halving: {rungs: [2]}}\n", {"kind": "halving"})):
            self.write("job.yaml", plain + section)
            self.assertEqual(json.loads(self.run_program("plan", "job.yaml", "--format", "json").stdout)["search"], expected)
        self.write("job.yaml", plain + "search: {halving: {rungs: [2, 4], by: saturation}}\nmeasure: {every: 2}\n")
        every = ("--set", "grid.measure.every=[1, 2, 4]", "--set", "measure=")
        self.assertIn("epoch 2, which is not measured, because measure.every is 4", self.run_program("plan", "job.yaml", *every, expect=1).stderr)
        self.write("job.yaml", plain)
        self.assertEqual(self.run_program("search", "job.yaml", expect=1).stderr,
                         "eigenscope: job.yaml: has no section search, so all points are run; a search is written as in search: {axis: width}\n")


if __name__ == "__main__":
    harness.unittest.main()
