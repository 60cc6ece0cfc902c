#!/usr/bin/env bash
# Runs a test whose programs are built with sanitizers (ES_SANITIZE). Any report is shown and fails the test, whatever the test
# itself concludes. A refused allocation is not a report.
#
#   tests/sanitized.sh COMMAND...
set -uo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
# Without detect_stack_use_after_return, because GCC 12 then misaligns vectors of 64 bytes (GCC bug 110027).
export ASAN_OPTIONS="log_path=$reports/address:allocator_may_return_null=1"
export LSAN_OPTIONS="suppressions=$here/leaks.supp:print_suppressions=0"
export UBSAN_OPTIONS="log_path=$reports/undefined:print_stacktrace=1"
"$@"
code=$?
for report in "$reports"/*; do
  [[ -e $report ]] || continue
  grep -qv '^==[0-9]*==WARNING: AddressSanitizer failed to allocate ' "$report" || continue
  echo "tests/sanitized.sh: ${report##*/} reports" >&2
  cat "$report" >&2
  code=1
done
exit "$code"
