#!/usr/bin/env bash
# Installs missing packages, builds, and runs the tests.
#
#   tests/run.sh [--full] [ctest arguments]
#
# --full adds tests labelled "long", unit tests under valgrind, all tests again with sanitizers (AddressSanitizer and
# UndefinedBehaviorSanitizer) and coverage, and tests with several ranks under MPICH. Cheap steps come first; a failure does not
# stop later steps, and the last lines list all failures. With TESTS_MINUTES no step begins after that time; the last lines list
# skipped steps.
#
# Tests that could take hours (faults, kills) run a sample. EIGENSCOPE_TEST_SEED=NUMBER chooses another sample (default 1, so
# that the outcome depends on the sources alone); EIGENSCOPE_TEST_SAMPLE=0 runs all cases.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ${1:-} == --help ]]; then
  echo 'usage: tests/run.sh [--full] [ctest arguments]'
  exit
fi
full=no
if [[ ${1:-} == --full ]]; then
  full=yes
  shift
fi
purpose='test'
[[ $full == no ]] || purpose='full'
jobs/setup.sh "$purpose" build -DES_WERROR=ON

at_once=-j$((2 * $(nproc) + 2)) # tests mostly wait for processes to start

if [[ $full == no ]]; then
  ctest --output-on-failure --no-tests=error "$at_once" --test-dir build -LE long "$@"
  exit
fi

export EIGENSCOPE_TEST_SEED=${EIGENSCOPE_TEST_SEED:-1}
! command -v ccache >/dev/null || export CMAKE_C_COMPILER_LAUNCHER=ccache # for the builds below

set +e
code=0
summary=("EIGENSCOPE_TEST_SEED=$EIGENSCOPE_TEST_SEED")
step() { # heading, command...: prints the heading now, and the outcome at the end
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
  jobs/setup.sh test build-sanitize -DES_WERROR=ON -DES_SANITIZE=ON -DES_COVERAGE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo; then
  tests/coverage.py build-sanitize --reset
  step 'all tests with sanitizers' "${tests[@]}" build-sanitize --no-tests=error -LE 'style|lint'
  (($#)) || step 'lines of src/ that the tests with sanitizers executed' tests/coverage.py build-sanitize --least 90
fi

printf '\n==== tests/run.sh --full\n'
printf '%s\n' "${summary[@]}"
exit "$code"
