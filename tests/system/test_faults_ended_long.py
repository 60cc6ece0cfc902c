"""Faults that end the process: failing calls of MPI, and kills at each call that changes the disk."""
import concurrent.futures
import pathlib
import random
import shutil
import tempfile

import faults
import harness
import results


class Ended(faults.Case):
    def setUp(self):
        super().setUp()
        self.use_whole()

    def run_cases(self, cases, check):
        """Runs check(faults.Case in its own folder, case) for a sample of the cases, two at a time."""
        some = faults.sample(cases)

        def alone(case):
            other = type(self)("run_cases")
            other.folder = pathlib.Path(tempfile.mkdtemp(prefix="eigenscope-test-"))
            try:
                other.write("job.yaml", self.job)
                (other.folder / "whole").symlink_to(type(self).undisturbed)
                check(other, case)
            finally:
                shutil.rmtree(other.folder)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for case, future in [(case, pool.submit(alone, case)) for case in some]:
                with self.subTest(case=case):
                    future.result()
        print(f"{self._testMethodName}: seed {faults.SEED}: {len(some)} of {len(cases)} cases")

    def test_mpi(self):
        """One call per call site of MPI, the first or last of a rank, chosen by a seed."""
        generator = random.Random(faults.SEED)
        places = {}
        for path in self.paths("--verbose"):
            if path.kind == "mpi":
                places.setdefault((path.name, path.place), []).extend(f"mpi:{k}@{path.rank}" for k in (path.first, path.last))
        cases = [(name, generator.choice(calls)) for (name, _), calls in places.items()]
        self.assertGreater(len(cases), 100)

        def check(case, call):
            name, fault = call
            done = case.run_faults("--verbose", fault=fault)
            # Before our handler is set, MPI's own handler runs.
            case.check_fault(done, "handler" if name.endswith("_set_errhandler") else "mpi", fault)
            case.check_next(fault)
        self.run_cases(cases, check)

    def test_killed_at_the_disk(self):
        """The process is killed before a call that changes the disk."""
        changing = {"open", "write", "fsync", "ftruncate", "rename", "link", "unlink", "unlinkat", "mkdir", "close"}
        cases = sorted({k for path in self.paths(ranks=0) if path.name in changing for k in (path.first, path.last)})
        self.assertGreater(len(cases), 40)

        def check(case, k):
            self.assertEqual(case.run_faults(ranks=0, fault=f"store:{k}:kill").returncode, -9)
            for path in case.points().values():
                self.assertEqual(results.different_results(path, case.points("whole")[path.stem]), [])
            case.check_next(k)
        self.run_cases(cases, check)


if __name__ == "__main__":
    harness.main()
