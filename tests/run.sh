#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#
#   tests/run.sh [--full] [ctest arguments]
#
# --full adds the tests labelled "long", and the unit tests once more under the address and undefined-behaviour sanitizers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
full=no
if [[ ${1:-} == --full ]]; then
  full=yes
  shift
fi
jobs/setup.sh test

run_ctest() { ctest --output-on-failure --no-tests=error -j2 "$@"; }

if [[ $full == no ]]; then
  run_ctest --test-dir build -LE long "$@"
  exit
fi

jobs/setup.sh test build-sanitize -DES_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
code=0
run_ctest --test-dir build-sanitize -L unit "$@" || code=$?
run_ctest --test-dir build "$@" || exit
((code == 0)) || echo 'tests/run.sh: unit tests failed under the sanitizers, see above' >&2
exit "$code"
