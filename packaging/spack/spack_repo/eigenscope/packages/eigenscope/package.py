# Never carried out: Spack cannot be had where eigenscope is tested. tests/system/test_packaging.py runs this recipe with stand-ins for Spack.
"""Spack recipe (1.0 or newer, and 0.23) for the source tree that contains it: `spack repo add packaging/spack/spack_repo/eigenscope`
(0.23: `spack repo add packaging/spack`), then `spack install eigenscope`. jobs/packages.txt has the same dependencies by Debian's
names."""
import pathlib

try:
    from spack_repo.builtin.build_systems.cmake import CMakePackage, generator
except ImportError:  # Spack 0.23, where spack.package has both
    pass

from spack.package import *


class Eigenscope(CMakePackage):
    """Measures how the eigenspaces of neural network layers evolve during training: MPI ranks train grids of networks, measure
    them after every epoch, and write one netCDF-4/HDF5 file for each network."""

    homepage = "https://arxiv.org/abs/2106.09526"
    git = pathlib.Path(__file__).resolve().parents[6].as_uri()

    license("BSD-3-Clause")

    version("main", branch="main")

    variant("report", default=True, description="what `eigenscope report` needs: figures, tables and findings as one page")
    variant("elpa", default=False, description="eigenvalues by ELPA, too (`measure: {solver: elpa}`)")

    depends_on("c", type="build")
    depends_on("cmake@3.20:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")

    depends_on("mpi@3:")
    depends_on("scalapack")
    depends_on("openblas")
    depends_on("hdf5@1.10:+hl")
    depends_on("onednn@2.6:3 cpu_runtime=omp")
    depends_on("libyaml")
    depends_on("zlib-api")
    depends_on("libjpeg-turbo")
    depends_on("libpng")
    depends_on("xxhash")
    depends_on("elpa~openmp", when="+elpa")
    depends_on("cmocka", type="test")

    with when("+report"):
        for module in ("h5netcdf", "h5py", "jinja2", "matplotlib", "numpy", "pandas", "xarray"):
            depends_on("py-" + module, type="run")
        depends_on("python@3.9:", type="run")

    generator("ninja")

    sanity_check_is_file = ["bin/eigenscope", "share/man/man1/eigenscope.1"]

    def cmake_args(self):
        return [self.define("ES_TESTS", self.run_tests), self.define_from_variant("ES_ELPA", "elpa")]

    def test_doctor(self):
        """the installed program runs, with the libraries that it was built with"""
        doctor = which(self.prefix.bin.eigenscope)
        check_outputs(["ok    program", "ok    MPI", "ok    kernels"], doctor("doctor", output=str.split, error=str.split))
