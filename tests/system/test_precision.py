"""train.precision: bfloat16. CPUs without its instructions refuse it or emulate it, and results, states and weights of both
precisions are kept apart."""
import json
import shutil
import sys

import numpy as np

import harness
import results

WITHOUT = {"DNNL_MAX_CPU_ISA": "AVX2"}  # a CPU without bfloat16 instructions
LACKS = (r"train\.precision: bfloat16 needs bfloat16 instructions \(on x86 avx512_core_bf16 or avx512_core_amx\), but oneDNN uses \S+ "
         r"here; set train\.precision: float32, or let `run --allow-emulation` compute the same rounding slowly without them\n")


class Emulation(results.Case):
    job = results.JOB.replace("[0, 1]", "0, train.precision: [float32, bfloat16]")

    def run_emulated(self, *arguments, **options):
        return self.run_job("--quiet", "--allow-emulation", *arguments, env=WITHOUT, **options)

    def by_precision(self, output="out"):
        return {results.attributes(path)["train_precision"]: path for path in self.points(output).values()}

    def test_refused(self):
        for ranks in (0, 2):
            done = self.run_job(ranks=ranks, expect=1, env=WITHOUT)
            self.assertRegex(done.stderr, rf"(?m)^eigenscope: job\.yaml: {LACKS}")
        self.assertFalse((self.folder / "out").exists())
        self.assertRegex(self.run_program("plan", "job.yaml", env=WITHOUT).stderr, rf"^eigenscope: note: job\.yaml: {LACKS}$")
        self.run_job("--quiet", "--points", "0", env=WITHOUT)  # float32
        self.assertEqual(self.run_program("plan", "job.yaml", "--points", "0", env=WITHOUT).stderr, "")
        self.run_emulated()
        self.run_job("--quiet", env=WITHOUT)  # nothing is left to compute
        self.assertNotIn("AMX", self.run_program("--version", "--verbose", env=WITHOUT).stdout)

    def test_emulated(self):
        self.run_emulated()
        found = {precision: results.attributes(path) for precision, path in self.by_precision().items()}
        self.assertRegex(found["float32"]["onednn"], r"^oneDNN \S+, \S+$")
        self.assertEqual(found["bfloat16"]["onednn"], found["float32"]["onednn"] + "; bfloat16 emulated")
        self.assertIn("train.precision: \"bfloat16\"", found["bfloat16"]["job"])
        loss = [results.variables(self.by_precision()[precision])["loss"] for precision in ("float32", "bfloat16")]
        self.assertFalse(results.same_bits(*loss))
        self.assertTrue(np.allclose(*loss, rtol=0.2, equal_nan=True))
        merged = self.run_program("merge", "job.yaml", "--to", "all.h5").stdout
        self.assertIn("merged 2 of 2", merged)
        self.assertEqual([value.decode() for value in results.variables(self.folder / "all.h5")["train_precision"]],
                         ["float32", "bfloat16"])
        self.assertIn("bfloat16", self.run_program("status", "job.yaml").stdout)
        self.assertIn("train_precision bfloat16", self.run_program("show", self.by_precision()["bfloat16"]).stdout)
        script = str(harness.SOURCE / "tests/bench/precision.py")
        done = self.run_command([sys.executable, "-B", script, "all.h5", "--seeds", "1"], expect=1)
        self.assertRegex(done.stdout, r"(?m)^shapes +tiny +1 +\d of  4 +")
        self.assertRegex(done.stdout, r"\d of 4 layers outside, \d\.\d by chance; accuracy of [01] of 1 networks outside\n$")
        rates = json.loads((self.folder / "out/rates.json").read_text())["rates"]
        self.assertEqual(sorted(rate.get("precision", "float32") for rate in rates), ["bfloat16", "float32"])

    def test_float32_does_not_change(self):
        self.run_job("--quiet", "--points", "0", output="before")
        self.run_job("--quiet", "--allow-emulation", output="out")
        before, = self.points("before").values()
        path = self.points("out")[before.stem]
        self.assertEqual([name for name in results.different_results(before, path)], [])

    def test_state(self):
        """A state of one engine is not continued by another."""
        self.run_emulated(output="whole")
        point = self.by_precision("whole")["bfloat16"].stem
        for name in ("points", "state", "checkpoints"):
            (self.folder / "out" / name).mkdir(parents=True)
        (self.folder / "out" / "points" / f"{point}.h5").mkdir()  # blocks the result, so that a state remains
        self.run_emulated("--points", "1", expect=2)
        (self.folder / "out" / "points" / f"{point}.h5").rmdir()
        state = self.folder / "out" / "state" / f"{point}.safetensors"
        engine = results.read_safetensors(state)[1]["engine"]
        self.assertRegex(engine, r"^oneDNN .*; bfloat16 kernels \d+, emulated$")
        shutil.copytree(self.folder / "out", self.folder / "kept")
        native = engine.replace(", emulated", "")
        results.edit_metadata(state, engine=native)  # as on a CPU that has the instructions
        done = self.run_emulated("--points", "1", expect=2)
        self.assertIn(f'engine is "{native}", but this run has "{engine}"; results would differ in the last bits; to continue '
                      "nevertheless, use --accept-cpu-change\n", done.stderr)
        self.run_emulated("--points", "1", "--accept-cpu-change")
        self.run_emulated(output="kept")
        self.assert_same("whole", "kept")


class Weights(results.Case):
    """Weights of either precision are measured in either."""
    job = results.JOB.replace("[0, 1]", "0, train.precision: [float32, bfloat16]")
    always = ("--allow-emulation",)

    def setUp(self):
        super().setUp()
        self.use_whole()

    def measure(self, output, *sets, expect=0):
        return self.run_job("--quiet", output=output, sets=["source=checkpoint", "checkpoints.from=whole", *sets], expect=expect)

    def accuracies(self, output):
        return {results.attributes(path)["train_precision"]: results.variables(path)["loss"][1, -1]
                for path in self.points(output).values()}

    def test_in_the_precision_of_training(self):
        self.measure("again")
        self.assertEqual(self.accuracies("again"), self.accuracies("whole"))

    def test_in_another_precision(self):
        trained = self.accuracies("whole")
        for precision, other in (("float32", "bfloat16"), ("bfloat16", "float32")):
            output = f"from-{precision}"
            self.measure(output, f"checkpoints.precision={precision}")
            found = self.accuracies(output)
            self.assertEqual(found[precision], trained[precision])
            self.assertNotEqual(found[other], found[precision])
            np.testing.assert_allclose(found[other], found[precision], rtol=0.02)
            files, = {results.attributes(path)["checkpoint_files"] for path in self.points(output).values()}
            self.assertIn({results.attributes(path)["train_precision"]: point for point, path in self.points("whole").items()}[precision],
                          files)
        # Equal settings have equal ids, whichever way they are written.
        self.measure("again")
        self.assertEqual(len(set(self.points("again")) | set(self.points("from-float32")) | set(self.points("from-bfloat16"))), 4)

    def test_weights_of_the_other_precision_are_named(self):
        (self.folder / "one").mkdir()
        self.run_job("--quiet", "--points", "0", output="one")
        done = self.run_job("--quiet", output="no", sets=["source=checkpoint", "checkpoints.from=one"], expect=1)
        self.assertIn("no weights in ", done.stderr)
        self.assertIn("were trained with these settings, but in float32: checkpoints.precision: float32 measures them\n", done.stderr)


class Rounding(results.Case):
    """The outputs of a first convolution on grey images have rank 9, so in bfloat16 the other directions are rounding errors."""
    job = results.JOB.replace("[0, 1]", "0, train.precision: [float32, bfloat16]").replace("[8, M, 12, M]", "[32, M]") \
        .replace("size: 16", "size: 16, channels: 1") + "measure: {delta: [0.99, 1]}\n"
    always = ("--allow-emulation",)

    def test_tail(self):
        self.run_job("--quiet")
        for path in self.points().values():
            found, precision = results.variables(path), results.attributes(path)["train_precision"]
            values = found["eigenvalues"][1, :, 0, :32]
            noise = 0.18 / 65536 * values.sum(axis=1) / 32
            for epoch, (tail, expected) in enumerate(zip(values[:, 9:].mean(axis=1), noise)):
                with self.subTest(precision=precision, epoch=epoch):
                    self.assertEqual(bool(found["flags"][1, epoch, 0] & 32), precision == "bfloat16")
                    if precision == "bfloat16":
                        self.assertTrue(0.5 < tail / expected < 2, tail / expected)
                    else:
                        self.assertLess(tail, 0.05 * expected)
            shown = self.run_program("show", path, "--delta", "1").stdout
            self.assertEqual("  r  rounding: the last directions at the largest delta" in shown, precision == "bfloat16")
        # The flag looks at the largest delta alone.
        self.run_job("--quiet", output="headline", sets=["measure.delta=0.99"])
        for path in self.points("headline").values():
            self.assertFalse((results.variables(path)["flags"][1, :, 0] & 32).any())


if __name__ == "__main__":
    harness.main()
