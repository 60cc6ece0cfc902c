#!/usr/bin/env bash
# What each room of src/ may know of the others, where the linker does not say so.
#
#   tests/rooms.sh PROGRAM      tests/links.c, linked to es_grid alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
code=0
# none PATTERN WHY FILE...: no line of these files matches.
none() {
  if grep -nE "$1" "${@:3}"; then
    echo "tests/rooms.sh: $2" >&2
    code=1
  fi
}
shopt -s globstar
others=()
for file in src/**/*.[ch] include/**/*.h; do
  [[ $file == src/model/onednn/* ]] || others+=("$file")
done
none '#include.*dnnl' 'only src/model/onednn/ includes oneDNN' "${others[@]}"
none '#include.*(mpi|omp|comm|model|unit|layout|traffic)\.h' 'networks are described without what runs them' \
  src/network/*.[ch] include/eigenscope/{graph,point}.h
"$1" >/dev/null
if readelf -d "$1" | grep -E 'NEEDED.*(dnnl|blas|lapack)'; then
  echo 'tests/rooms.sh: jobs, grids and networks are linked to libraries that compute' >&2
  code=1
fi
exit $code
