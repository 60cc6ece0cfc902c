"""Shared by system tests: runs the program as a user would, in a separate folder."""
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["EIGENSCOPE"]
SOURCE = pathlib.Path(os.environ["EIGENSCOPE_SOURCE"])
MPIRUN = os.environ.get("EIGENSCOPE_MPIRUN", "mpirun --oversubscribe").split()
LEAKS = pathlib.Path(__file__).resolve().parents[1] / "leaks.supp"
SANITIZED = "ASAN_OPTIONS" in os.environ  # the program is built with sanitizers, which make it slower
FIXTURES = SOURCE / "tests" / "fixtures"


def not_sanitized(why):
    """Skips a test if sanitizers are built in."""
    return unittest.skipIf(SANITIZED, f"with sanitizers: {why}")


class Case(unittest.TestCase):
    """A test in an empty working folder, removed afterwards."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="eigenscope-test-"))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run_program(self, *arguments, ranks=0, expect=0, timeout=300, env=None):
        """Runs `eigenscope ARGUMENTS`, under mpirun when ranks > 0; checks the exit code; returns the finished process."""
        command = [PROGRAM, *map(str, arguments)]
        if ranks:
            command = [*MPIRUN, "-n", str(ranks), *command]
        return self.run_command(command, expect, timeout, env)

    def run_command(self, command, expect=0, timeout=300, env=None):
        """Runs any command in the folder of the test; checks the exit code."""
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=4 * timeout if SANITIZED else timeout,
                              env={**os.environ, **(env or {})})
        done.stderr = done.stderr.replace("\0", "")  # Open MPI 5 ends its note of an MPI_Abort with a NUL
        if expect is not None:
            self.assertEqual(done.returncode, expect,
                             f"{' '.join(command)}\nstdout:\n{done.stdout}\nstderr:\n{done.stderr}")
        return done

    def run_limited(self, size, *arguments, **env):
        """Runs `eigenscope ARGUMENTS` with a limit on the size of files. The counters that a program built with ES_COVERAGE
        writes at its end would be cut too, so they go nowhere, and messages about that are removed."""
        done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, timeout=60,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
                              env={**os.environ, "GCOV_PREFIX": "/dev/null", "GCOV_ERROR_FILE": "/dev/null", **env})
        done.stderr = "".join(line for line in done.stderr.splitlines(True) if not line.startswith("profiling:"))
        return done


main = unittest.main
