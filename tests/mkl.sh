#!/usr/bin/env bash
# Builds with MKL (PyPI's mkl-devel) instead of OpenBLAS, and runs the tests of linear algebra on it. Run by
# tests/run.sh --full, or by hand. Exit code 77 if it cannot be installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$(tests/venv.sh tests/mkl.txt)
generator=()
[[ -e build-mkl/CMakeCache.txt ]] || ! command -v ninja >/dev/null || generator=(-G Ninja)
MKLROOT=${python%/bin/python} cmake -S . -B build-mkl "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DES_TESTS=ON -DES_WERROR=ON \
  -DES_ELPA=OFF -DBLA_VENDOR=Intel10_64lp_seq >/dev/null
cmake --build build-mkl --parallel "$(nproc)" --target eigenscope unit_covariance unit_spectrum mpi_test_golden mpi_test_spectrum
known=$(build-mkl/eigenscope --version --verbose)
grep 'blas  .* MKL [0-9]*\.' <<<"$known"
grep 'ScaLAPACK of MKL' <<<"$known"
ctest --test-dir build-mkl --output-on-failure --no-tests=error \
  -R '^unit\.(covariance|spectrum)$|^mpi\.test_golden\.(1|2)$|^mpi\.test_spectrum\.(1|2|3)$' "$@"
