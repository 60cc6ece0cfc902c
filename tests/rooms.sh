#!/usr/bin/env bash
# Checks dependencies between the folders of src/ that the linker does not enforce.
#
#   tests/rooms.sh PROGRAM FOLDER      tests/links.c linked to es_grid alone; the folder of libes_*.a
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
code=0
# none PATTERN WHY FILE...: fails if a line of these files matches.
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
  echo 'tests/rooms.sh: modules for jobs, grids and networks must not be linked to numerical libraries' >&2
  code=1
fi
# No two files may need each other. Each symbol is followed from the objects that use it to the object that defines it.
symbols=$(cd "$2" && nm -A libes_*.a)
if ! awk '
  NF < 3 { next }
  { object = $1; sub(/:[0-9a-f]*$/, "", object) }
  $(NF - 1) ~ /^[A-TV-Zi]$/ { home[$NF] = object }
  $(NF - 1) == "U" { user[++n] = object; needed[n] = $NF }
  END { for (i = 1; i <= n; i++) if (needed[i] in home && home[needed[i]] != user[i]) print user[i], home[needed[i]] }
' <<<"$symbols" | sort -u | tsort >/dev/null; then
  echo 'tests/rooms.sh: these pairs of files use each other; move the shared code into another file' >&2
  code=1
fi
exit $code
