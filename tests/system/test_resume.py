"""After a kill, a stop, or a damaged state, a resumed run ends with equal bits, or reports why it cannot."""
import os
import re
import shutil
import signal
import subprocess
import time

import harness
import results

# About three seconds on one core: long enough to be killed at work.
LONG = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, seed: [0, 1]}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 1027, eval: 100}}
train: {epochs: 12, batch: 16, learning_rate: 0.05, momentum: 0.9, schedule: {step: 4, gamma: 0.5}, augment: [crop, flip]}
measure: {every: 2}
"""


class Interrupted(results.Case):
    job = LONG

    def setUp(self):
        super().setUp()
        self.use_whole()

    def states(self):
        return sorted((self.folder / "out" / "state").glob("*.safetensors"))

    def start_and_wait(self, *arguments, ranks=0):
        """A run in the background that has saved a state."""
        folder = self.folder / "out" / "state"
        before = folder.stat().st_mtime_ns if folder.exists() else 0

        def has_saved():
            return bool(self.states()) and folder.stat().st_mtime_ns != before
        process = self.start_job(*arguments, ranks=ranks)
        self.wait_for(has_saved, process)
        return process

    def finish(self, *arguments, ranks=0):
        self.run_job("--quiet", *arguments, ranks=ranks)
        self.assert_same("whole", "out")
        self.assertEqual([name for name in self.files() if not re.match(r"(points/\w+\.h5|checkpoints/\w+\.safetensors)$", name)],
                         [])
        self.assertEqual(self.missing(expect=0), "")

    def assert_unfinished(self):
        """Nothing is damaged, and some points are left."""
        self.assertNotEqual(self.missing(), "")
        for path in self.points().values():
            results.variables(path)
        for path in self.states():
            results.read_safetensors(path)

    def test_one_rank_killed(self):
        process = self.start_and_wait("--ranks-per-point", 2, ranks=2)
        self.kill(results.ranks_of(process.pid)[1])
        self.assertNotEqual(process.wait(timeout=60), 0)
        self.assert_unfinished()
        self.finish()

    def test_everything_killed_and_resumed_on_more_ranks(self):
        process = self.start_and_wait()
        self.kill(process.pid)
        process.wait(timeout=60)
        self.assert_unfinished()
        self.finish("--ranks-per-point", 4, ranks=4)

    def test_launcher_and_ranks_killed(self):
        process = self.start_and_wait(ranks=2)
        for pid in (process.pid, *results.children(process.pid)):
            self.kill(pid)
        process.wait(timeout=60)
        self.assert_unfinished()
        self.finish("--ranks-per-point", 2, ranks=2)

    def test_max_time(self):
        seconds = sum(float(results.attributes(path)["elapsed_seconds"]) for path in self.points("whole").values())
        # A machine that is busier or less busy than before needs another limit.
        limit = seconds / 4
        for _ in range(12):
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            done = self.run_job("--max-time", f"{limit:.3f}s", "--ranks-per-point", 2, ranks=2, expect=None)
            if "give it more time" in done.stdout:
                limit *= 1.5
            elif ": stopped (" not in done.stdout:  # the limit came after a point, not within one
                limit /= 2
            else:
                break
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertIn("unfinished: to continue, run the same command again\n", done.stdout)
        self.assertIn(": stopped (", done.stdout)
        self.assert_unfinished()
        self.finish("--max-time", "1:00:00")

    def test_time_limit_before_the_first_batch(self):
        self.run_job("--max-time", "0.000001", "--quiet", expect=3)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.missing(), "0-1")

    def signal_run(self, number, ranks, expect):
        process = self.start_and_wait(ranks=ranks)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, expect, out + err)
        self.assertEqual([line for line in err.splitlines() if line.startswith("eigenscope:")], [])
        self.assert_unfinished()

    def test_signal_through_the_launcher(self):
        self.signal_run(signal.SIGUSR1, ranks=2, expect=3)
        self.finish()

    def test_signals_to_the_program_itself(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            self.signal_run(number, ranks=0, expect=3)
        self.finish()

    def test_parts_of_killed_writers_are_removed(self):
        process = self.start_and_wait()
        self.kill(process.pid)
        process.wait(timeout=60)
        state, = self.states()
        old = [self.folder / "out" / name for name in (f"points/{state.stem}.h5.4711.part", f"state/{state.name}.4712.part",
                                                       f"checkpoints/{state.name}.{16 * 'a'}.4713.{16 * 'b'}.part")]
        others = [self.folder / "out" / name for name in ("points/0123456789abcdef.h5.4714.part",
                                                          f"points/{state.stem}.h5.{16 * 'a'}.4715.{16 * 'b'}.part")]
        for path in [*old, *others]:
            path.write_bytes(b"half")
        for path in [*old, others[0]]:
            os.utime(path, (time.time() - 8 * 24 * 3600,) * 2)
        self.run_job("--quiet")
        self.assertEqual([name for name in self.files() if name.endswith(".part")],
                         sorted(str(path.relative_to(self.folder / "out")) for path in others))


class InterruptedBfloat16(Interrupted):
    """The same in bfloat16: by the CPU's instructions, or emulated."""
    job = LONG.replace("train: {", "train: {precision: bfloat16, ")
    always = ("--allow-emulation",)
    # These have nothing to do with precision.
    test_parts_of_killed_writers_are_removed = test_time_limit_before_the_first_batch = test_signals_to_the_program_itself = None


class Together(results.Case):
    """A node is lost, its task starts again, and the first one still runs: both use the same folder."""
    job = LONG.replace("train: 1027", "train: 259")

    def setUp(self):
        super().setUp()
        self.use_whole()

    def test_runs_of_the_same_points(self):
        processes = [self.start_job() for _ in range(3)]
        said = [process.communicate(timeout=120) for process in processes]
        self.assertEqual([process.returncode for process in processes], [0, 0, 0], said)
        self.assert_same("whole", "out")
        self.assertEqual([name for name in self.files() if not re.match(r"(points/\w+\.h5|checkpoints/\w+\.safetensors)$", name)],
                         [])
        sharing = "another run computes this point at the same time; both continue, and their results are equal"
        self.assertIn(sharing, "".join(err for _, err in said))
        for _, err in said:  # once for each point, and nothing else
            self.assertLessEqual(len(err.splitlines()), 2)
            for line in err.splitlines():
                self.assertRegex(line, f"^eigenscope: point [01]: warning: {sharing}$")

    def test_merges_into_the_same_file(self):
        command = [harness.PROGRAM, "merge", "job.yaml", "--output", "whole", "--to", "all.h5"]
        self.run_program(*command[1:])
        content = (self.folder / "all.h5").read_bytes()
        processes = [subprocess.Popen(command, cwd=self.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
                     for _ in range(8)]
        said = [process.communicate(timeout=120)[1] for process in processes]
        self.assertEqual([process.returncode for process in processes], [0] * 8, said)
        self.assertEqual((self.folder / "all.h5").read_bytes(), content)
        self.assertEqual(list(self.folder.glob("*.part")), [])


class State(results.Case):
    """A job of three points, stopped in the first one; tests then change its state."""
    job = results.JOB.replace("[0, 1]", "[0, 1, 2]")

    def setUp(self):
        super().setUp()
        self.use_whole()
        # If a folder blocks the result, the state of the last but one epoch remains.
        for name in ("points", "state", "checkpoints"):
            (self.folder / "out" / name).mkdir(parents=True)
        for point in self.points("whole"):
            (self.folder / "out" / "points" / f"{point}.h5").mkdir()
        self.run_job("--quiet", "--points", "0", expect=2)
        for path in (self.folder / "out" / "points").iterdir():
            path.rmdir()
        self.state, self.previous = sorted((self.folder / "out" / "state").glob("*.safetensors"), key=lambda p: len(p.name))

    def use_previous(self, message):
        """The run warns, resumes from the earlier state, and ends with equal bits."""
        done = self.run_job("--points", "0")
        self.assertRegex(done.stderr, rf"^eigenscope: point 0: warning: out/state/{self.state.name}: {message}; the run continues "
                                      "from the previous state\n$")
        self.assertIn("epoch 2/3", done.stdout)
        self.assertNotIn("epoch 1/3", done.stdout)
        self.run_job("--quiet")
        self.assert_same("whole", "out")
        self.assertEqual(self.states(), [])

    def states(self):
        return list((self.folder / "out" / "state").iterdir())

    def refuse(self, message):
        """The point fails with the message, the others complete; without the state it completes too."""
        kept = self.state.read_bytes()
        done = self.run_job("--quiet", expect=2)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, rf"^eigenscope: point 0 \({self.state.stem}\): out/state/{self.state.name}: {message}\n$")
        self.assertEqual(self.missing(), "0")
        self.assertEqual(self.state.read_bytes(), kept)
        self.state.unlink()
        self.run_job("--quiet")
        self.assert_same("whole", "out")

    def test_previous(self):
        self.assertEqual(self.previous.name, f"{self.state.stem}.previous.safetensors")
        self.assertEqual(results.read_safetensors(self.previous)[1]["epoch"], "1")
        self.assertRegex(self.run_program("status", "job.yaml", expect=3).stdout, r"\n +0 +0 +started +2/3 ")
        whole = self.state.read_bytes()
        for damaged in (b"", whole[:-100]):  # status and run follow one rule
            self.state.write_bytes(damaged)
            self.assertRegex(self.run_program("status", "job.yaml", expect=3).stdout, r"\n +0 +0 +started +1/3 ")
        self.use_previous(".+")

    def test_previous_instead_of_flipped_bit(self):
        data = bytearray(self.state.read_bytes())
        data[len(data) // 2] ^= 1
        self.state.write_bytes(data)
        self.use_previous(".*xxh3.*")

    def test_both_damaged(self):
        self.state.write_bytes(b"")
        self.previous.write_bytes(self.previous.read_bytes()[:-1])
        self.refuse(".+")

    def test_sound(self):
        self.assertEqual(results.read_safetensors(self.state)[1]["epoch"], "2")
        done = self.run_job("--points", "0")
        self.assertIn("epoch 3/3", done.stdout)
        self.assertNotIn("epoch 2/3", done.stdout)
        self.run_job("--quiet")
        self.assert_same("whole", "out")

    def test_truncated(self):
        self.previous.unlink()
        self.state.write_bytes(self.state.read_bytes()[:-100])
        self.refuse(".+")

    def test_empty(self):
        self.previous.unlink()
        self.state.write_bytes(b"")
        self.refuse(".+")

    def test_one_bit(self):
        self.previous.unlink()
        data = bytearray(self.state.read_bytes())
        data[len(data) // 2] ^= 1
        self.state.write_bytes(data)
        self.refuse(".*xxh3.*")

    def test_of_another_point(self):
        results.edit_metadata(self.state, point_id="0123456789abcdef")
        self.refuse('point_id is "0123456789abcdef", but this run has "' + self.state.stem +
                    '"; remove the file to start this point again')

    def test_of_other_data(self):
        results.edit_metadata(self.state, dataset_fingerprint="0123456789abcdef")
        self.refuse('dataset_fingerprint is "0123456789abcdef", but this run has "[0-9a-f]{16}"; the dataset has changed: remove '
                    'the file to start this point again')

    def test_of_an_epoch_that_cannot_be(self):
        for epoch in ("3", "4", "-1", "soon"):
            with self.subTest(epoch=epoch):
                sound = self.state.read_bytes()
                results.edit_metadata(self.state, epoch=epoch)
                done = self.run_job("--quiet", "--points", "0", expect=2)
                self.assertIn(f'out/state/{self.state.name}: epoch is "{epoch}", but must be a measured epoch up to 3, '
                              "the last; remove the file to start this point again\n", done.stderr)
                self.assertEqual(self.points(), {})
                self.state.write_bytes(sound)

    def test_of_another_cpu(self):
        results.edit_metadata(self.state, engine="oneDNN 2.6.3, sse41; OpenBLAS 0.3.21, Nehalem")
        shutil.copytree(self.state.parent, self.folder / "kept")
        self.refuse('engine is "oneDNN 2.6.3, sse41; OpenBLAS 0.3.21, Nehalem", but this run has ".+"; results would '
                    "differ in the last bits; to continue nevertheless, use --accept-cpu-change")
        shutil.rmtree(self.folder / "out" / "points")
        shutil.copytree(self.folder / "kept", self.state.parent, dirs_exist_ok=True)
        done = self.run_job("--points", "0", "--accept-cpu-change")
        self.assertNotIn("epoch 2/3", done.stdout)
        self.assertFalse(self.state.exists())

    def test_of_other_instructions_of_this_cpu(self):
        done = self.run_job("--quiet", "--points", "0", expect=2, env={"DNNL_MAX_CPU_ISA": "SSE41"})
        self.assertIn("--accept-cpu-change", done.stderr)
        self.run_job("--quiet", "--points", "0", "--accept-cpu-change", env={"DNNL_MAX_CPU_ISA": "SSE41"})
        self.assertIn("sse41", results.attributes(self.points()[self.state.stem])["onednn"])

    def test_without_a_tensor(self):
        tensors, metadata = results.read_safetensors(self.state)
        for own in ("writer", "xxh3"):
            del metadata[own]
        del tensors["optimizer.first"]
        results.write_safetensors(self.state, tensors, metadata)
        self.refuse("tensor optimizer.first .*; remove the file to start this point again")


if __name__ == "__main__":
    harness.main()
