"""Version 2 of states: results so far lie in a journal that each save appends to."""
import gzip
import os
import re
import shutil
import subprocess
import time

import harness
import results

FIXTURES = harness.FIXTURES / "state"
COUNTED = """\
name: t
output: out
grid: {dataset: shapes, model: dense}
models: {dense: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 8, train: 32, eval: 16}}
train: {epochs: 300, batch: 16, learning_rate: 0.05, lanes: 1}
"""


class Written(results.Case):
    """Bytes that a run passes to the kernel."""
    job = COUNTED

    def count(self, epochs):
        """Runs the job; returns (bytes written, bytes of the result, bytes of a state)."""
        sizes = set()
        output = self.folder / str(epochs)
        process = subprocess.Popen([harness.PROGRAM, "run", "job.yaml", "--quiet", "--output", output, "--set",
                                    f"train.epochs={epochs}"], cwd=self.folder)
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            try:
                sizes |= {path.stat().st_size for path in (output / "state").glob("*.safetensors")}
            except FileNotFoundError:
                pass
            time.sleep(0.001)
        with open(f"/proc/{process.pid}/io", encoding="ascii") as file:  # of the ended process, before wait() forgets it
            counts = dict(line.split(": ") for line in file)
        self.assertEqual(process.wait(), 0)
        result, = (output / "points").glob("*.h5")
        self.assertEqual(list((output / "state").iterdir()), [])
        return int(counts["wchar"]), result.stat().st_size, max(sizes)

    @harness.not_sanitized("their program also writes counters of executed lines")
    def test_bytes_grow_with_the_epochs(self):
        """At most weights × saves + 2 × result; before, 600 epochs wrote 437 MB."""
        for epochs in (300, 600):
            written, result, state = self.count(epochs)
            self.assertLessEqual(written, state * epochs + 2 * result)
            self.assertLess(state, 20000)


class Version(results.Case):
    """A job of one point, stopped before its result; tests then change its state or journal."""
    job = (FIXTURES / "job.yaml").read_text()

    def setUp(self):
        super().setUp()
        self.use_whole()
        (self.folder / "out" / "checkpoints").mkdir(parents=True)
        (self.folder / "out" / "state").mkdir()
        self.point, = self.points("whole")
        self.state = self.folder / "out" / "state" / f"{self.point}.safetensors"
        self.stop()

    def stop(self):
        """Runs until a folder blocks the result: the state of the last but one epoch remains."""
        blocked = self.folder / "out" / "points" / f"{self.point}.h5"
        blocked.mkdir(parents=True)
        self.run_job("--quiet", expect=2)
        blocked.rmdir()

    def journals(self):
        return sorted(self.state.parent.glob("*.journal"))

    def finish(self, first=4, warning=""):
        """The run continues with epoch `first`, warns, and ends with equal bits."""
        done = self.run_job()
        self.assertRegex(done.stderr, warning or "^$")
        self.assertIn(f"epoch {first}/4", done.stdout)
        self.assertNotIn(f"epoch {first - 1}/4", done.stdout)
        self.assert_same("whole", "out")
        self.assertEqual(list(self.state.parent.iterdir()), [])

    def finish_anew(self):
        self.run_job("--quiet")
        self.assert_same("whole", "out")
        self.assertEqual(list(self.state.parent.iterdir()), [])

    def test_sound(self):
        tensors, metadata = results.read_state(self.state)
        self.assertEqual((metadata["epoch"], metadata["state_version"], len(self.journals())), ("3", "2", 1))
        self.assertIn("result.eigenvalues", tensors)
        self.assertFalse([name for name in results.read_safetensors(self.state)[0] if name.startswith(("result.", "eigenspace."))])
        self.finish()

    def test_torn_save(self):
        """Bytes after those that the state names belong to a save that was not finished."""
        with self.journals()[0].open("ab") as file:
            file.write(b"\x10\0\0\0\0\0\0\0half")
        self.finish()

    def test_each_run_has_a_journal_of_its_own(self):
        state, previous = self.state, self.state.with_suffix(".previous.safetensors")
        state.write_bytes(previous.read_bytes())
        self.stop()
        self.assertEqual(len(self.journals()), 2)
        self.assertEqual(len(results.read_safetensors(state)[1]["journal"].split()), 2)
        self.finish()

    def test_end_of_the_journal_damaged(self):
        """The previous state needs only the beginning of the journal."""
        journal, = self.journals()
        whole = journal.read_bytes()
        flipped = bytearray(whole)
        flipped[-20] ^= 1
        for content, message in ((whole[:-1], "is cut off"), (bytes(flipped), "a record has another xxh3")):
            shutil.copytree(self.state.parent, self.folder / "kept")
            journal.write_bytes(content)
            self.finish(first=3, warning=f"^eigenscope: point 0: warning: out/state/{journal.name}: the journal of the state .*"
                                         f"{message}; the run continues from the previous state\n$")
            shutil.rmtree(self.folder / "out" / "points")
            shutil.rmtree(self.state.parent)
            (self.folder / "kept").rename(self.state.parent)

    def test_status_follows_the_journal(self):
        journal, = self.journals()
        whole = journal.read_bytes()
        self.assertIn("3/4", self.run_program("status", "job.yaml", expect=3).stdout)
        journal.write_bytes(whole[:-1])
        self.assertIn("2/4", self.run_program("status", "job.yaml", expect=3).stdout)
        journal.unlink()
        self.assertIn("missing", self.run_program("status", "job.yaml", expect=3).stdout)

    def test_no_journal(self):
        self.journals()[0].unlink()
        done = self.run_job("--quiet", expect=2)
        self.assertRegex(done.stderr, r"^eigenscope: point 0 .*\.journal: the journal of the state is missing; the previous state "
                         fr"cannot be used either; remove {re.escape(str(self.state.relative_to(self.folder)))} to start this point again\n$")
        self.state.unlink()
        self.finish_anew()

    def test_newer_version(self):
        self.state.with_suffix(".previous.safetensors").unlink()
        results.edit_metadata(self.state, state_version="3")
        done = self.run_job("--quiet", expect=2)
        self.assertIn("is a state of version 3, but this program reads version 2", done.stderr)

    def as_version_1(self):
        tensors, metadata = results.read_state(self.state)
        for own in ("writer", "xxh3", "state_version", "journal"):
            del metadata[own]
        shutil.rmtree(self.state.parent)
        self.state.parent.mkdir()
        results.write_safetensors(self.state, tensors, metadata)

    def test_version_1(self):
        self.as_version_1()
        self.finish()

    def test_version_1_of_an_older_program(self):
        """On the CPU that wrote it, GCC's bits are those of a run without interruption; on others, it is resumed."""
        shutil.rmtree(self.state.parent)
        self.state.parent.mkdir()
        self.state.write_bytes(gzip.decompress((FIXTURES / "state.safetensors.gz").read_bytes()))
        old, metadata = results.read_safetensors(self.state)
        own = self.run_job("--quiet", expect=None)
        compiler = results.attributes(self.points("whole")[self.point])["compiler"]
        if own.returncode == 0 and compiler.startswith("GNU 12") and not harness.SANITIZED:
            self.assert_same("whole", "out")
        elif own.returncode != 0:
            self.assertIn("--accept-cpu-change", own.stderr)
            self.run_job("--quiet", "--accept-cpu-change")
        new = results.variables(self.points()[self.point])
        self.assertEqual(new["loss"][:, :4].tobytes(), old["result.loss"].reshape(2, 5)[:, :4].tobytes(), metadata["engine"])


class Sharing(results.Case):
    """Another run of the same point ends first and removes the journal of this one."""
    job = COUNTED.replace("epochs: 300", "epochs: 2000")

    def test_journal_removed(self):
        folder = self.folder / "out" / "state"
        process = self.start_job("--quiet")

        def has_saved_twice():
            return any(folder.glob("*.previous.safetensors"))
        self.wait_for(has_saved_twice, process)
        old, = folder.glob("*.journal")
        old.unlink()

        def names_another():
            return old.name not in results.read_safetensors(next(folder.glob("????????????????.safetensors")))[1]["journal"]
        self.wait_for(names_another, process)
        self.kill(process.pid)
        process.wait(timeout=60)
        done = self.run_job("--max-time", "1s", expect=None)
        self.assertEqual(done.stderr, "")
        self.assertNotIn(" epoch 1/", done.stdout)


if __name__ == "__main__":
    harness.main()
