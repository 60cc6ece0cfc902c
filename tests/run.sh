#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#
#   tests/run.sh [--full] [ctest arguments]
#
# --full adds the tests labelled "long", the unit tests once more under the address and undefined-behaviour sanitizers, and
# the tests of several ranks once more under MPICH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
full=no
if [[ ${1:-} == --full ]]; then
  full=yes
  shift
fi
purpose='test'
[[ $full == no ]] || purpose='full'
jobs/setup.sh "$purpose"

run_ctest() { ctest --output-on-failure --no-tests=error -j2 "$@"; }

if [[ $full == no ]]; then
  run_ctest --test-dir build -LE long "$@"
  exit
fi

jobs/setup.sh test build-sanitize -DES_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
code=0
run_ctest --test-dir build-sanitize -L unit "$@" || code=$?
(($#)) || tests/mpich.sh || code=$?
run_ctest --test-dir build "$@" || exit
((code == 0)) || echo 'tests/run.sh: tests failed under the sanitizers or under MPICH, see above' >&2
exit "$code"
