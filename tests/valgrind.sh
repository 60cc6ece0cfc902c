#!/usr/bin/env bash
# Runs a test under valgrind's memcheck; every error and every lost block of memory fails it.
#
#   tests/valgrind.sh PROGRAM [ARGUMENTS]
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# valgrind 3.19 lacks AVX-512 and some of oneDNN's AVX2 instructions.
export DNNL_MAX_CPU_ISA=SSE41 OPENBLAS_CORETYPE=Haswell
exec valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
  --suppressions="$here/valgrind.supp" "$@"
