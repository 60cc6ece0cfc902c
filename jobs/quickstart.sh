#!/usr/bin/env bash
# Installs missing packages, builds, and trains VGG11 on Fashion-MNIST at three widths and two class counts, measured every
# epoch (jobs/quickstart.yaml). Ends with accuracy and mean saturation of each network, and a page of figures and findings
# (report/index.html in the folder of results). A second start resumes. Arguments go to `eigenscope run`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ${1:-} == --help ]]; then
  echo 'usage: jobs/quickstart.sh [arguments of eigenscope run, as --output DIR or --set KEY=VALUE]'
  exit
fi
jobs/setup.sh

job=(jobs/quickstart.yaml) # and those arguments that choose the results
[[ -z ${FASHION_MNIST:-} ]] || job+=(--set "datasets.fashion-mnist.path=$FASHION_MNIST")
others=()
output=results/quickstart
while (($#)); do
  case $1 in
    --output) output=${2-} ;;
    --output=*) output=${1#*=} ;;
  esac
  case $1 in
    --set | --output) job+=("$1" "${2-}") && shift ;;
    --set=* | --output=*) job+=("$1") ;;
    *) others+=("$1") ;;
  esac
  (($#)) && shift
done

if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
# Open MPI (4 and 5 with different names) counts cores, so it may see one slot for two hardware threads.
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
launcher=0
before_next() { # prints its input up to the advice what to do next, which is done below
  local line advice=
  while IFS= read -r line; do
    [[ $line != 'next: '* ]] || advice=yes
    [[ $advice ]] || printf '%s\n' "$line"
  done
}
mpirun -n 2 build/eigenscope run "${job[@]}" "${others[@]}" | before_next || launcher=$?

[[ " ${others[*]-} " != *' --dry-run '* ]] || exit "$launcher"

# The launcher's exit code says little (1 if killed or out of slots), so decide by the files on disk.
code=0
report=$(build/eigenscope status "${job[@]}") || code=$?
if ((code)); then
  echo "$report"
  echo "jobs/quickstart.sh: the job is not complete (mpirun ended with code $launcher); to continue, run jobs/quickstart.sh again" >&2
  exit "$code"
fi
build/eigenscope merge "${job[@]}" --to "$output/all.h5"
build/eigenscope report "$output/all.h5" --to "$output/report" ||
  echo "jobs/quickstart.sh: all results were written, but the report was not" >&2
