"""Faults (memory, disk, MPI): a dozen cases chosen by a seed. test_faults_long.py tests all of them."""
import random
import re
import shutil
import subprocess

import faults
import harness

# Functions that cannot fail, or whose failure cannot be handled.
NEVER = {"MPI_Abort", "MPI_Comm_c2f", "MPI_Error_class", "MPI_Error_string", "MPI_Get_library_version", "MPI_Initialized",
         "MPI_Finalized", "H5open", "H5check_version", "H5get_libversion", "H5dont_atexit", "H5Eget_auto2", "H5Eset_auto2",
         "H5Ewalk2", "H5Eclear2"}


class Layer(harness.Case):
    def test_no_call_passes_by(self):
        """Every function of HDF5 and MPI that the program calls has a wrapper."""
        def symbols(program):
            return subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
        called = set(re.findall(r" U (MPI_[A-Z]\w+|H5[A-Z]*[a-z]\w+)(?:@\S+)?$", symbols(harness.PROGRAM), re.M))
        called = {name for name in called if not re.search("_g$|_ID$", name)}
        wrapped = set(re.findall(r" T __wrap_(\w+)$", symbols(faults.FAULTS), re.M))
        self.assertGreater(len(called), 80)
        self.assertEqual(called - wrapped - NEVER, set())


@harness.not_sanitized("what libraries keep after failures is no leak of ours, and those are counted without sanitizers")
class Seeded(faults.Case):
    def test_a_dozen(self):
        self.use_whole()
        paths = self.paths()
        generator = random.Random(faults.SEED)
        for kind in 4 * ["allocator", "store", "mpi"]:
            path = generator.choice([path for path in paths if path.kind == kind])
            fault = f"{kind}:{generator.choice((path.first, path.last))}@{path.rank}"
            with self.subTest(fault=fault, call=path.name):
                shutil.rmtree(self.folder / "out", True)
                # MPI's own handler ends the job while ours is being set.
                ends = "handler" if path.name.endswith("_set_errhandler") else kind
                self.check_fault(self.run_faults(fault=fault), ends, fault)
                self.check_next(fault)

    def test_some_of_the_walk(self):
        """Faults of memory and disk, with all checks of fault_walk."""
        for ranks in (0, 2):
            self.walk("run", "job.yaml", "--ranks-per-point", max(ranks, 1), ranks=ranks, least=600, sample=20)

    def test_without_mpirun(self):
        self.use_whole()
        self.check_fault(self.run_faults(ranks=0, fault="mpi:1"), "mpi", "MPI_Init")
        self.check_fault(self.run_faults(ranks=0, fault="allocator:1"), "allocator", "the first allocation")
        self.check_next("the first calls")


if __name__ == "__main__":
    harness.main()
