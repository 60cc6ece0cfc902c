#!/usr/bin/env bash
# Builds with oneDNN 3 (PyPI's 2023.2 is 3.2), where the system has version 2, and runs the tests of networks on it. Run by
# tests/run.sh --full, or by hand. Exit code 77 if it cannot be installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$(tests/venv.sh tests/onednn3.txt)
generator=()
[[ -e build-onednn3/CMakeCache.txt ]] || ! command -v ninja >/dev/null || generator=(-G Ninja)
cmake -S . -B build-onednn3 "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DES_TESTS=ON -DES_WERROR=ON \
  "-Ddnnl_DIR=${python%/bin/python}/lib/cmake/dnnl" >/dev/null
cmake --build build-onednn3 --parallel "$(nproc)" --target eigenscope unit_conv unit_model unit_networks unit_operations \
  mpi_test_golden mpi_test_operations
build-onednn3/eigenscope --version --verbose | grep 'oneDNN 3\.'
ctest --test-dir build-onednn3 --output-on-failure --no-tests=error \
  -R '^unit\.(conv|model|networks|operations)|^mpi\.test_(golden|operations)|^system\.test_networks_golden$' "$@"
