"""Results on a file system that refuses locks: every command, and the Python package, read and write them."""
import os
import sys

import harness
import results

NO_LOCKS = os.environ["EIGENSCOPE_NO_LOCKS"]  # tests/no_locks.c
READ = """\
import h5py, subprocess, sys
try:
    h5py.File("all.h5").close()
except OSError:
    print("locks are refused", flush=True)
subprocess.run([sys.executable, "-B", "-c", "import eigenscope_analysis as es; print(len(es.open('all.h5').point))"], check=True)
"""


@harness.not_sanitized("their library must be the first that is preloaded")
class Locks(results.Case):
    def test_locks_refused(self):
        env = {"LD_PRELOAD": NO_LOCKS}
        self.run_job("--quiet", env=env)
        self.run_job("--quiet", env=env)
        self.run_program("status", "job.yaml", "--output", "out", env=env)
        self.run_program("merge", "job.yaml", "--output", "out", "--to", "all.h5", env=env)
        self.run_program("show", "all.h5", env=env)
        self.run_program("show", next(iter(self.points().values())), env=env)
        self.run_program("data", "synth", "--to", "d.h5", "--classes", 2, "--train", 4, "--eval", 2, "--size", 8, env=env)
        self.run_program("data", "info", "d.h5", env=env)
        env["PYTHONPATH"] = str(harness.SOURCE / "analysis")
        done = self.run_command([sys.executable, "-B", "-c", READ], env=env)
        self.assertEqual(done.stdout, "locks are refused\n2\n")


if __name__ == "__main__":
    harness.main()
