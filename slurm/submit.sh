#!/usr/bin/env bash
# Submits a job as a SLURM array, and a second SLURM job that merges the results into one file when the array has ended.
#
#   slurm/submit.sh [OPTION...] JOB.yaml [SBATCH-OPTION...]
#
# Options after the job file are passed to sbatch: partition, account, time, nodes, ranks (-n, or -N with
# --ntasks-per-node), memory. The script builds nothing and starts no MPI. Paths are relative to the working directory.
#
#   --output DIR, --set KEY=VALUE   as for `eigenscope run`
#   --points LIST                   only these points, as 0-3,7
#   --missing                       only points without a valid result (slurm/resubmit.sh uses this option)
#   --ranks-per-point G             ranks that work on one point together (`eigenscope plan JOB --cluster` helps to choose)
#   --tasks N                       number of tasks of the array; default: as many as --points-per-task gives
#   --points-per-task K             points of each task; default: 4 for each group of ranks, so that groups seldom wait
#   --at-once N                     at most N tasks run at the same time
#   --run OPTION                    one more argument for `eigenscope run`, as --run --accept-cpu-change
#   --launcher WORDS                command that starts the ranks, as 'mpirun --bind-to core'; default: srun --mpi=pmix for
#                                   Open MPI if SLURM supports it, otherwise mpirun (EIGENSCOPE_LAUNCHER also sets it)
#   --to FILE.h5                    merged file to write; default <output>/<name>.h5
#   --beside                        submit even if another array for the same folder is in the queue (with other points)
#
# The points are divided among the tasks by estimated cost; <output>/slurm/tasks-* lists the points of each task. Logs go to
# the same folder. The environment variable EIGENSCOPE names the program; the default is build/eigenscope of this source tree,
# or the program that was installed with these scripts.
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
    -*) (($# > 1)) || die "$1 needs a value, or is not an option of submit.sh (--help lists the options; options of sbatch come after JOB)" ;;
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
    *) die "unknown option $1 (--help lists the options; options of sbatch come after JOB)" ;;
  esac
  shift 2
done
(($#)) || die 'a job file is missing: slurm/submit.sh [OPTION...] JOB.yaml [SBATCH-OPTION...]'
job=("$1" "${job[@]}")
shift
[[ -x $program ]] || die "the program $program does not exist: build it first, or set EIGENSCOPE to another program"

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
[[ -z $(given array a '' "$@") ]] || die '--array cannot be given, because submit.sh sets it; use --tasks and --at-once'
nodes=$(given nodes N 1 "$@")
ranks=$(given ntasks n "$((${nodes%%-*} * $(given ntasks-per-node '' 1 "$@")))" "$@")
((group <= ranks)) || die "--ranks-per-point $group: a task has only $ranks rank$( ((ranks == 1)) || echo s); add -n $group or more after JOB"

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
    echo 'too many missing points for one submission: only the first points are submitted now; run slurm/resubmit.sh again for the others'
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
  die "array ${other%% *} for $output is still in the queue: wait for this array, or cancel it with scancel (or submit other points with --beside)"
fi
list=$output/slurm/tasks-$(date +%Y%m%d-%H%M%S)-$$
echo "$plan" >"$list"
((group == 1)) || run+=(--ranks-per-point "$group")
logs=${output//%/%%}/slurm

array=$(sbatch --parsable --job-name="$name" --output="$logs/%A_%a.log" --comment="$mark" "$@" \
  --array="0-$((count - 1))$at_once" "$here/array.sbatch" "$program" "$list" "$launcher" "${job[@]}" -- "${run[@]}")
array=${array%%;*}
echo "array $array: points: $(say points), tasks: $count, listed in $list; logs: $output/slurm/${array}_*.log"
merge=$(sbatch --parsable --job-name="$name-merge" --output="$logs/%j_merge.log" "$@" --nodes=1 --ntasks=1 \
  --ntasks-per-node=1 --dependency="afterany:$array" "$here/merge.sbatch" "$program" "${to:-$output/$name.h5}" "${job[@]}")
echo "merge ${merge%%;*}: writes ${to:-$output/$name.h5} when the array has ended"
