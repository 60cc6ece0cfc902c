"""Killed again and again at any moment, on changing numbers of ranks: never a damaged file, and in the end the same bits."""
import os
import random
import time

import harness
import results

SEED = int(os.environ.get("EIGENSCOPE_TEST_SEED", "20220901"))


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

    def victims(self, process, generator, ranks):
        """One rank, the launcher, or everything; what is left after it is killed too, as a node that fails would do it."""
        everything = [process.pid, *results.children(process.pid)]
        chosen = [generator.choice(everything)] if ranks and generator.random() < 0.5 else []
        return chosen, everything

    def check_files(self):
        for path in (self.folder / "out").rglob("*.safetensors"):
            results.read_safetensors(path)
        for path in self.points().values():
            self.assertEqual(results.attributes(path)["outcome"], "complete")
            results.variables(path)

    def test_many_kills(self):
        self.use_whole()
        generator = random.Random(SEED)
        kills, end = 0, time.monotonic() + 400
        while True:
            self.assertLess(time.monotonic(), end, "the run does not get on")
            ranks = generator.choice((0, 1, 2, 3, 4))
            group = generator.choice([g for g in (1, 2, 4) if g <= max(ranks, 1)])
            process = self.start_job("--quiet", "--ranks-per-point", group, ranks=ranks)
            time.sleep(generator.uniform(0.3, 1.5))
            ended = process.poll()
            chosen, everything = self.victims(process, generator, ranks)
            for pid in chosen:
                self.kill(pid)
            if chosen:
                time.sleep(generator.uniform(0, 0.05))
            for pid in everything:
                self.kill(pid)
            process.communicate(timeout=60)
            kills += ended is None
            self.check_files()
            if ended is not None:
                self.assertEqual(ended, 0)
                break
        self.assertGreaterEqual(kills, 5, "too few interruptions to mean anything")
        self.run_job("--quiet")
        self.assert_same("whole", "out")
        self.assertEqual([name for name in self.files() if name.startswith("state/") or name.endswith(".part")], [])


if __name__ == "__main__":
    harness.main()
