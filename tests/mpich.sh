#!/usr/bin/env bash
# Builds against MPICH, which may be installed beside another default MPI, and runs the tests with several ranks and the system
# tests that depend most on ranks. Run by tests/run.sh --full, or by hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! compiler=$(command -v mpicc.mpich) || ! launcher=$(command -v mpirun.mpich); then
  echo 'tests/mpich.sh: MPICH is missing (mpicc.mpich and mpirun.mpich, as Debian names them), so nothing is tested'
  exit
fi
generator=()
[[ -e build-mpich/CMakeCache.txt ]] || ! command -v ninja >/dev/null || generator=(-G Ninja)
cmake -S . -B build-mpich "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DES_TESTS=ON -DES_WERROR=ON -DES_ELPA=OFF "-DMPI_C_COMPILER=$compiler" \
  "-DMPIEXEC_EXECUTABLE=$launcher" >/dev/null
cmake --build build-mpich --parallel "$(nproc)" --target eigenscope eigenscope_faults mpi_tests
ctest --test-dir build-mpich --output-on-failure --no-tests=error "-j$(($(nproc) + 1))" -R '^mpi\.|^system\.test_(ranks|run|pack)$' "$@"
