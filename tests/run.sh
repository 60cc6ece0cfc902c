#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#
#   tests/run.sh [--full] [ctest arguments]
#
# --full adds the tests labelled "long", the unit tests under valgrind, and all tests once more with programs that watch their
# memory (AddressSanitizer and UndefinedBehaviorSanitizer) and count the lines that they execute, and those of several ranks
# under MPICH. What is cheap comes first; what fails does not keep the rest from running, and the last lines say what did.
# With TESTS_MINUTES no step begins later than that; the last lines say which were left out.
#
# Tests that could go on for hours (calls that fail, kills) try a sample. EIGENSCOPE_TEST_SEED=NUMBER chooses another one
# (default 1, so that the outcome depends on the sources alone), EIGENSCOPE_TEST_SAMPLE=0 tries everything there is.
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

at_once=-j$(($(nproc) + 1)) # much of what a test takes is waiting for processes that start

if [[ $full == no ]]; then
  ctest --output-on-failure --no-tests=error "$at_once" --test-dir build -LE long "$@"
  exit
fi

export EIGENSCOPE_TEST_SEED=${EIGENSCOPE_TEST_SEED:-1}
! command -v ccache >/dev/null || export CMAKE_C_COMPILER_LAUNCHER=ccache # for the builds to come

set +e
code=0
summary=("EIGENSCOPE_TEST_SEED=$EIGENSCOPE_TEST_SEED")
step() { # heading, command...: its heading before it, its outcome at the end of everything
  local heading=$1 start=$SECONDS result outcome=passed
  if [[ -n ${TESTS_MINUTES:-} ]] && ((start > 60 * TESTS_MINUTES)); then
    summary+=("not run: too late for '$heading' after $TESTS_MINUTES minutes")
    return 1
  fi
  printf '\n==== %s\n' "$heading"
  "${@:2}"
  result=$?
  ((result == 0)) || code=$result outcome=FAILED
  summary+=("$(printf '%s  %5d s  %s' $outcome $((SECONDS - start)) "$heading")")
  return $result
}
tests=(ctest --output-on-failure "$at_once" "$@" --test-dir)

step 'form of the sources' "${tests[@]}" build -L style
step 'tests of parts, and of the program in short' "${tests[@]}" build -LE 'style|long'
step 'unit tests under valgrind' "${tests[@]}" build -L valgrind
(($#)) || step 'tests of several ranks under MPICH' tests/mpich.sh
step 'long tests' "${tests[@]}" build -L long -LE valgrind
if step 'building with sanitizers' \
  jobs/setup.sh test build-sanitize -DES_SANITIZE=ON -DES_COVERAGE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo; then
  tests/coverage.py build-sanitize --reset
  step 'all tests with sanitizers' "${tests[@]}" build-sanitize --no-tests=error -LE 'style|lint'
  (($#)) || step 'lines of src/ that the tests with sanitizers executed' tests/coverage.py build-sanitize --least 90
fi

printf '\n==== tests/run.sh --full\n'
printf '%s\n' "${summary[@]}"
exit "$code"
