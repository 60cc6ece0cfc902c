#!/usr/bin/env bash
# Installs missing packages of jobs/packages.txt (Debian, as root or with sudo) and builds. If it may not install, it searches
# for them by other means, names the missing ones, and stops.
#
#   jobs/setup.sh [run|test|full [FOLDER [CMAKE-OPTION...]]]
#   jobs/setup.sh --check [run|test|full]
#
# `jobs/setup.sh --help` describes the arguments.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'END'
usage: jobs/setup.sh [run|test|full [FOLDER [CMAKE-OPTION...]]]
       jobs/setup.sh --check [run|test|full]

Installs missing packages of jobs/packages.txt, as root or with sudo on Debian, and builds.

  run      what the program needs (default)
  test     also what the tests need, and builds the tests
  full     also what only tests/run.sh --full needs
  FOLDER   where to build, default build
  --check  installs and builds nothing: names each missing package and its module, its package in Spack and in conda-forge.
           Needs no root. Packages count wherever they come from: Debian, PATH, pkg-config, CMAKE_PREFIX_PATH, CONDA_PREFIX, and the
           compiler of CC. Exit code: 0 if nothing is missing, 1 if something is.
END
}

check=false
case ${1:-} in
  --help) usage && exit ;;
  --check) check=true && shift ;;
esac
purpose=${1:-run}
folder=${2:-build}
if [[ ! $purpose =~ ^(run|test|full)$ ]] || { $check && (($# > 1)); }; then # nothing is installed or built for a misspelt word
  usage >&2
  exit 1
fi

installed() { # package: true if Debian has installed it
  [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == 'install ok installed' ]]
}

# Debian's own Python, which sees Debian's packages, or else the first one in PATH, as from a module.
python() {
  if /usr/bin/python3 -c 'import h5py' 2>/dev/null; then echo /usr/bin/python3; else command -v python3; fi
}

found() { # kind:name,name,...|kind:name,... : true if one of them exists, from any source
  if [[ $1 == *'|'* ]]; then
    found "${1%%|*}" || found "${1#*|}"
    return
  fi
  local kind=${1%%:*} names name includes libraries
  IFS=, read -ra names <<<"${1#*:}"
  IFS=: read -ra includes <<<"${CMAKE_PREFIX_PATH:-/usr}${CONDA_PREFIX:+:$CONDA_PREFIX}"
  libraries=("${includes[@]/%//lib}" "${includes[@]/%//lib64}")
  includes=("${includes[@]/%//include}")
  for name in "${names[@]}"; do
    case $kind in
      command) command -v "$name" ;;
      package) pkg-config --exists "$name" ;;
      header) "${CC:-gcc}" "${includes[@]/#/-I}" -E -include "$name" -x c /dev/null ;;
      library) "${CC:-gcc}" "${libraries[@]/#/-L}" -x c - "-l$name" -o /dev/null <<<'int main(void) { return 0; }' ;;
      python) "$(python)" -c "import $name" ;;
      debian) ! installed "$name" ;;
      file) [[ -e ${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}/$name ]] ;;
    esac >/dev/null 2>&1 && return
  done
  return 1
}

can_install() {
  command -v apt-get >/dev/null || return 1
  ((EUID == 0)) || sudo -n true 2>/dev/null || { [[ -t 0 && -t 2 ]] && sudo -v; }
}

install_packages() { # package...
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
  ((EUID == 0)) || apt=(sudo "${apt[@]}")
  echo "Installing $*"
  "${apt[@]}" update
  "${apt[@]}" install --no-install-recommends -y "$@" >/dev/null
}

missing=() # names of Debian packages
table=()   # for users who cannot install: name here, as a module, in Spack, in conda-forge
while read -r debian use module spack conda probe; do
  [[ $debian != '#'* && -n $debian ]] || continue
  [[ $use != test || $purpose != run ]] || continue
  [[ $use != full || $purpose == full ]] || continue
  installed "$debian" && continue
  missing+=("$debian")
  [[ $use != report || $purpose != run ]] || continue # installed if possible, never required
  found "$probe" || table+=("$(printf '  %-24s %-20s %-17s %s' "$debian" "$module" "$spack" "$conda")")
done <jobs/packages.txt

print_table() {
  printf '\n  %-24s %-20s %-17s %s\n' 'Debian package' 'environment module' 'Spack' 'conda-forge'
  printf '%s\n' "${table[@]}"
  echo
}

if $check; then
  if ((${#table[@]})); then
    echo "eigenscope needs these packages, which are missing:"
    print_table
    echo 'Load or install these packages, then build (jobs/README.md). The environment variable FASHION_MNIST can name another folder of Fashion-MNIST.'
    exit 1
  fi
  echo 'Nothing is missing.'
  exit
elif ((${#missing[@]})) && can_install; then
  install_packages "${missing[@]}"
  hash -r
elif ((${#table[@]})); then
  {
    echo 'eigenscope needs these packages, which are missing; only root (or sudo) on Debian 12 or 13 can install them:'
    print_table
    echo 'Load or install these packages, then run this script again. The environment variable FASHION_MNIST can name another folder of Fashion-MNIST.'
  } >&2
  exit 1
fi

options=(-DCMAKE_BUILD_TYPE=Release -DES_TESTS=OFF)
[[ $purpose == run ]] || options+=(-DES_TESTS=ON "-DSYSTEM_PYTHON3=$(python)")
[[ -e $folder/CMakeCache.txt ]] || ! command -v ninja >/dev/null || options+=(-G Ninja)
mkdir -p "$folder"
cmake -S . -B "$folder" "${options[@]}" "${@:3}" >"$folder/configure.log"
cmake --build "$folder" --parallel "$(nproc)"
