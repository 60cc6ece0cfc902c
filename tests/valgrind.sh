#!/usr/bin/env bash
# Runs a test under valgrind's memcheck, which fails it for every error and for memory that nobody can free any more.
#
#   tests/valgrind.sh PROGRAM [ARGUMENTS]
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# valgrind 3.19 knows neither AVX-512 nor all that oneDNN makes of AVX2.
export DNNL_MAX_CPU_ISA=SSE41 OPENBLAS_CORETYPE=Haswell
exec valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
  --suppressions="$here/valgrind.supp" "$@"
