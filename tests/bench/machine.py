"""Describes the machine for benchmarks, and starts programs on it."""
import os
import pathlib
import platform
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1",
               "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_mpi_yield_when_idle": "1"}


def describe():
    cpu = platform.processor()
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            cpu = line.split(":")[1].strip()
    return f"{cpu}, {os.cpu_count()} cores"


def same_kernels(program):
    """Sets OpenBLAS's kernels for the compared programs to those that eigenscope uses. Otherwise an OpenBLAS older than the CPU
    would run PyTorch with its slowest kernels."""
    if "OPENBLAS_CORETYPE" in ENVIRONMENT:
        return
    out = subprocess.run([program, "doctor"], env=ENVIRONMENT, capture_output=True, text=True).stdout
    kernels = re.search(r"OpenBLAS [0-9.]+, (\w+)", out)
    if kernels:
        ENVIRONMENT["OPENBLAS_CORETYPE"] = kernels[1]


def ranks(count, program, *arguments):
    """Standard output of a program on `count` ranks."""
    return subprocess.run(["mpirun", "--oversubscribe", "-n", str(count), program, *map(str, arguments)], env=ENVIRONMENT,
                          capture_output=True, text=True, check=True).stdout
