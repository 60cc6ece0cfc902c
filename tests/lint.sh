#!/usr/bin/env bash
# Runs clang-tidy and cppcheck over src/ and include/; any finding is an error. .clang-tidy and tests/cppcheck.txt list disabled
# checks with reasons; in the code, NOLINT names the check.
#
#   tests/lint.sh [BUILD-FOLDER] [NODES]      default build, 40000; exit code 77 where a tool is missing
#
# NODES bounds what clang's analyzer looks at in each function: 40000 take a third of the time of 225000, its own bound.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build}
nodes=${2:-40000}
for tool in clang-tidy run-clang-tidy cppcheck; do
  command -v "$tool" >/dev/null || { echo "tests/lint.sh: $tool is missing" >&2 && exit 77; }
done

echo 'cppcheck'
cppcheck --enable=warning,performance,portability --inline-suppr --suppressions-list=tests/cppcheck.txt --library=posix \
  --std=c11 --error-exitcode=1 --quiet -j "$(nproc)" -I include src include

echo 'clang-tidy'
tidy=(run-clang-tidy -p "$build" -j "$(nproc)" -quiet)
for word in -Xclang -analyzer-config -Xclang "max-nodes=$nodes"; do
  tidy+=("-extra-arg=$word")
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
"${tidy[@]}" "^$PWD/src/" >"$log" 2>&1 || code=$?
# Keep the findings in our files out of thousands of lines.
sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^/.*: (warning|error): ' | sort -u || true
exit "$code"
