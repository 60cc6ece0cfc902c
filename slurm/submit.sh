#!/usr/bin/env bash
# Submits a job as a SLURM array, and a task behind it that merges the results into one file.
#
#   slurm/submit.sh [OPTION...] JOB.yaml [SBATCH-OPTION...]
#
# What stands after the job file goes to sbatch as it is: partition, account, time, nodes, ranks (-n, or -N with
# --ntasks-per-node), memory. Nothing is built and no MPI is started here. Paths are relative to the working directory.
#
#   --output DIR, --set KEY=VALUE   as for `eigenscope run`
#   --points LIST                   only these points, as 0-3,7
#   --missing                       only points without a sound result (what slurm/resubmit.sh does)
#   --ranks-per-point G             ranks that work on one point together (`eigenscope plan JOB --cluster` helps to choose)
#   --tasks N                       elements of the array; else so many that each has --points-per-task
#   --points-per-task K             default: 4 for each group of ranks, so that groups seldom wait for each other
#   --at-once N                     no more elements at the same time
#   --run OPTION                    one more word for `eigenscope run`, as --run --accept-cpu-change
#   --launcher WORDS                what starts the ranks, as 'mpirun --bind-to core'; default: srun --mpi=pmix for Open MPI where
#                                   SLURM has it, else mpirun (EIGENSCOPE_LAUNCHER sets it too)
#   --to FILE.h5                    the merged file; default <output>/<name>.h5
#   --beside                        although another array for the same folder is queued (for other points)
#
# Points are shared out by estimated cost, once, and written to <output>/slurm/tasks-*; logs go to the same folder.
# EIGENSCOPE names the program, if it is neither build/eigenscope of this source tree nor the one that these scripts were
# installed with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$here/../build/eigenscope
[[ -x $program ]] || ! bin=$(cd "$here/../../../bin" 2>/dev/null && pwd) || [[ ! -x $bin/eigenscope ]] || program=$bin/eigenscope
program=${EIGENSCOPE:-$program}

die() {
  echo "slurm/submit.sh: $*" >&2
  exit 1
}

job=() run=() points='' missing=no group=1 tasks='' per_task='' at_once='' launcher=${EIGENSCOPE_LAUNCHER:-} to='' beside=no
while (($#)); do
  [[ $1 != --*=* ]] || set -- "${1%%=*}" "${1#*=}" "${@:2}"
  case $1 in
    --missing | --beside) ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    -*) (($# > 1)) || die "$1 needs a value, or is no option of submit.sh (--help lists them; those of sbatch follow JOB)" ;;
    *) break ;;
  esac
  case $1 in
    --output | --set) job+=("$1" "$2") ;;
    --points) points=$2 ;;
    --ranks-per-point) group=$2 ;;
    --tasks) tasks=$2 ;;
    --points-per-task) per_task=$2 ;;
    --at-once) at_once=%$2 ;;
    --run) run+=("$2") ;;
    --launcher) launcher=$2 ;;
    --to) to=$2 ;;
    --missing) missing=yes && shift && continue ;;
    --beside) beside=yes && shift && continue ;;
    *) die "unknown option $1 (--help lists them; those of sbatch follow JOB)" ;;
  esac
  shift 2
done
(($#)) || die 'a job file is missing: slurm/submit.sh [OPTION...] JOB.yaml [SBATCH-OPTION...]'
job=("$1" "${job[@]}")
shift
[[ -x $program ]] || die "$program is not there: build it first, or name it in EIGENSCOPE"

given() { # long short default args... : the last value of this option for sbatch
  local long=$1 short=$2 value=$3
  shift 3
  while (($#)); do
    case $1 in
      --"$long" | -"$short") value=${2-} ;;
      --"$long"=*) value=${1#*=} ;;
      -"$short"[0-9]*) value=${1#-?} ;;
    esac
    shift
  done
  echo "$value"
}
[[ -z $(given array a '' "$@") ]] || die '--array is made here; --tasks and --at-once set it'
nodes=$(given nodes N 1 "$@")
ranks=$(given ntasks n "$((${nodes%%-*} * $(given ntasks-per-node '' 1 "$@")))" "$@")
((group <= ranks)) || die "--ranks-per-point $group: a task has only $ranks ranks; add -n $group or more behind JOB"

code=0
if [[ $missing == yes ]]; then
  points=$("$program" status "${job[@]}" ${points:+--points "$points"} --missing) || code=$?
  ((code == 0 || code == 2 || code == 3)) || exit "$code"
  if [[ -z $points ]]; then
    echo 'nothing is missing'
    exit "$code"
  fi
  if ((${#points} > 100000)); then # limit of one argument
    points=${points:0:100000}
    points=${points%,*}
    echo 'too many for one submission: the first of the missing points now, the others by the next resubmit.sh'
  fi
fi

most=$(scontrol show config 2>/dev/null | sed -n 's/^MaxArraySize *= *//p') || true
((${most:=1001} > 0)) || die 'this cluster has no job arrays (MaxArraySize is 0)'
[[ -n $per_task || -n $tasks ]] || per_task=$((4 * (ranks / group)))
[[ -n $tasks ]] && ((tasks <= most)) || tasks=$most
plan=$("$program" plan "${job[@]}" --ranks-per-point "$group" --tasks "$tasks" ${per_task:+--points-per-task "$per_task"} \
  ${points:+--points "$points"})
say() { sed -n "s/^# $1 //p" <<<"$plan"; }
name=$(say name) output=$(say output) count=$(say tasks)

mkdir -p "$output/slurm"
mark="eigenscope $(cd "$output" && pwd -P)"
if [[ $beside == no ]] && other=$(squeue --me -h -o '%F %k|' 2>/dev/null | grep -F -m 1 -- " $mark|"); then
  die "array ${other%% *} for $output is still in the queue: wait for it, or scancel it (--beside: for other points)"
fi
list=$output/slurm/tasks-$(date +%Y%m%d-%H%M%S)-$$
echo "$plan" >"$list"
((group == 1)) || run+=(--ranks-per-point "$group")
logs=${output//%/%%}/slurm

array=$(sbatch --parsable --job-name="$name" --output="$logs/%A_%a.log" --comment="$mark" "$@" \
  --array="0-$((count - 1))$at_once" "$here/array.sbatch" "$program" "$list" "$launcher" "${job[@]}" -- "${run[@]}")
array=${array%%;*}
echo "array $array: $(say points) points in $count tasks, by $list; logs: $output/slurm/${array}_*.log"
merge=$(sbatch --parsable --job-name="$name-merge" --output="$logs/%j_merge.log" "$@" --nodes=1 --ntasks=1 \
  --ntasks-per-node=1 --dependency="afterany:$array" "$here/merge.sbatch" "$program" "${to:-$output/$name.h5}" "${job[@]}")
echo "merge ${merge%%;*}: into ${to:-$output/$name.h5} when the array has ended"
