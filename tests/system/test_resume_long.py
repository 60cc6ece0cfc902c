"""Repeated kills at any moment on changing numbers of ranks: never a damaged file, and finally equal bits."""
import os
import random
import shutil
import signal
import subprocess
import time

import harness
import results

SEED = int(os.environ.get("EIGENSCOPE_TEST_SEED", "20220901"))
KILLS = 6 if os.environ.get("EIGENSCOPE_TEST_SAMPLE") == "0" else 3  # of each of the five kinds


class KilledAgainAndAgain(results.Case):
    job = """\
name: t
output: out
grid: {dataset: shapes, model: [tiny, dense], seed: [0, 1, 2]}
models: {tiny: {vgg: [8, M, 12, M]}, dense: {mlp: [40, 20]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 1027, eval: 100}}
train: {epochs: 12, batch: 16, learning_rate: 0.05, schedule: cosine, augment: [crop, flip]}
measure: {every: 2}
checkpoint: {keep: all}
"""

    def check_files(self):
        for path in (self.folder / "out").rglob("*.safetensors"):
            results.read_safetensors(path)
        for path in self.points().values():
            self.assertEqual(results.attributes(path)["outcome"], "complete")
            results.variables(path)

    def interrupt(self, process, ranks, kind, generator):
        """Waits until all processes of the run are gone."""
        everything = results.session_of(process.pid)
        if kind == "node":
            for pid in generator.sample(everything, len(everything)):
                self.kill(pid)
        elif kind == "rank":
            self.kill(generator.choice(results.ranks_of(process.pid) or everything))
        else:
            self.kill(process.pid, {"launcher": signal.SIGKILL, "term": signal.SIGTERM, "usr1": signal.SIGUSR1}[kind])
        # Ranks notice the loss of their launcher, except while MPI starts; then the launcher does not miss ranks either.
        end = time.monotonic() + 10
        while results.session_of(process.pid) and time.monotonic() < end:
            process.poll()
            time.sleep(0.02)
        for pid in results.session_of(process.pid):
            self.kill(pid)
        out, err = process.communicate(timeout=60)
        if not ranks and kind in ("term", "usr1"):  # it may have been ending, or not yet listening
            self.assertIn(process.returncode, (0, 3, -signal.SIGTERM, -signal.SIGUSR1), out + err)

    def until_complete(self, generator, kinds):
        """Starts the job repeatedly on changing numbers of ranks; each start but the last is ended by the next of `kinds`.
        Returns the unused kinds."""
        while True:
            ranks = generator.choice((0, 1, 2, 3, 4))
            group = generator.choice([g for g in (1, 2, 4) if g <= max(ranks, 1)])
            process = self.start_job("--quiet", "--ranks-per-point", group, ranks=ranks)
            if kinds:
                try:
                    process.wait(generator.uniform(0.2, 1.6))
                except subprocess.TimeoutExpired:
                    self.interrupt(process, ranks, kinds[0], generator)
                    kinds = kinds[1:]
                    self.check_files()
                    continue
            out, err = process.communicate(timeout=200)
            self.assertEqual(process.returncode, 0, out + err)
            return kinds

    def test_many_kills(self):
        self.use_whole()
        print(f"seed {SEED}")
        generator = random.Random(SEED)
        kinds = KILLS * ["rank", "launcher", "node", "term", "usr1"]
        generator.shuffle(kinds)
        while kinds:  # a fast machine completes the job before all kinds are used
            shutil.rmtree(self.folder / "out", True)
            kinds = self.until_complete(generator, kinds)
            self.check_files()
            self.assert_same("whole", "out")
            self.assertEqual([name for name in self.files() if name.startswith("state/") or name.endswith(".part")], [])


if __name__ == "__main__":
    harness.main()
