#!/usr/bin/env bash
# Prints the path of a Python with the newest packages of a list. Installs them on the first call for that list.
#
#   tests/venv.sh [REQUIREMENTS]      default tests/requirements.txt; exit code 77 if it cannot install
#
# The environment stays in ${XDG_CACHE_HOME:-~/.cache}/eigenscope/venv-HASH, HASH is that of the list and of Python's version.
# Remove the environment to get newer versions.
set -euo pipefail
list=${1:-$(dirname "${BASH_SOURCE[0]}")/requirements.txt}
python=/usr/bin/python3
[[ -x $python ]] || python=$(command -v python3)
hash=$({ "$python" --version && cat "$list"; } | sha256sum | cut -c 1-12)
place=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/eigenscope/venv-$hash
mkdir -p "${place%/*}"
exec 9>"$place.lock"
flock 9 # a second simultaneous call waits for the first
if [[ ! -e $place/complete ]]; then
  rm -rf "$place"
  {
    "$python" -m venv "$place" && "$place/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list"
  } >&2 9>&- || { echo "tests/venv.sh: pip could not install what $list names" >&2 && exit 77; }
  touch "$place/complete"
fi
echo "$place/bin/python"
