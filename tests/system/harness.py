"""What the system tests share: running the program as a user would, in a folder of its own."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["EIGENSCOPE"]
SOURCE = pathlib.Path(os.environ["EIGENSCOPE_SOURCE"])
MPIRUN = os.environ.get("EIGENSCOPE_MPIRUN", "mpirun --oversubscribe").split()
FIXTURES = SOURCE / "tests" / "fixtures"


def not_sanitized(why):
    """Leaves a test out where the program is built with sanitizers (tests/sanitized.sh)."""
    return unittest.skipIf("ASAN_OPTIONS" in os.environ, f"with sanitizers: {why}")


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
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, **(env or {})})
        if expect is not None:
            self.assertEqual(done.returncode, expect,
                             f"{' '.join(command)}\nstdout:\n{done.stdout}\nstderr:\n{done.stderr}")
        return done


main = unittest.main
