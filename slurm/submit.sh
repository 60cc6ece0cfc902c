#!/usr/bin/env bash
# Submits a job as a SLURM array, and a second SLURM job that merges the results into one file when the array has ended.
#
#   slurm/submit.sh [OPTION...] JOB.yaml [SBATCH-OPTION...]
#
# Options after the job file are passed to sbatch: partition, account, time, nodes, ranks (-n, or -N with
# --ntasks-per-node), memory. The script builds nothing and starts no MPI. Paths are relative to the working directory.
#
# Later changes of JOB do not change what runs: the job, with all settings and absolute paths, is written to
# <output>/slurm/job-<hash>.yaml, and the tasks read only that file. To change a job that waits, cancel its array and submit again.
#
#   --output DIR, --set KEY=VALUE   as for `eigenscope run`
#   --points LIST                   only these points, as 0-3,7
#   --missing                       only points without a valid result
#   --as-submitted                  the job as this file was last submitted, if it was edited since; with --missing this is
#                                   what slurm/resubmit.sh does
#   --ranks-per-point G             ranks that work on one point together (`eigenscope plan JOB --cluster` helps to choose)
#   --tasks N                       number of tasks of the array; default: as many as --points-per-task gives
#   --points-per-task K             points of each task; default: 4 for each group of ranks, so that groups seldom wait
#   --at-once N                     at most N tasks run at the same time
#   --run OPTION                    one more argument for `eigenscope run`, as --run --accept-cpu-change
#   --launcher WORDS                command that starts the ranks, as 'mpirun --bind-to core'; default: srun --mpi=pmix for
#                                   Open MPI if SLURM supports it, otherwise mpirun (EIGENSCOPE_LAUNCHER also sets it)
#   --to FILE.h5                    merged file to write; default <output>/<name>.h5
#   --dry-run                       print the commands of sbatch, the points of each task and the scripts; submit and write
#                                   nothing (sbatch's own --test-only, after JOB, asks SLURM when the tasks would start)
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
[[ $program == /* ]] || program=$PWD/$program

die() {
  echo "slurm/submit.sh: $*" >&2
  exit 1
}

job=() run=() points='' missing=no same=no group=1 tasks='' per_task='' at_once='' launcher=${EIGENSCOPE_LAUNCHER:-} to='' beside=no dry=no
while (($#)); do
  [[ $1 != --*=* ]] || set -- "${1%%=*}" "${1#*=}" "${@:2}"
  case $1 in
    --missing | --as-submitted | --beside | --dry-run) ;;
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
    --as-submitted) same=yes && shift && continue ;;
    --beside) beside=yes && shift && continue ;;
    --dry-run) dry=yes && shift && continue ;;
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
for option in "$@"; do
  own='^--(set|points|missing|as-submitted|ranks-per-point|tasks|points-per-task|at-once|run|launcher|to|dry-run|beside)$'
  [[ ! ${option%%=*} =~ $own ]] || die "${option%%=*} is an option of submit.sh: write it before the job file"
done
whole() { [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || die "$1 $2: must be an integer of at least 1"; }
whole --ranks-per-point "$group"
[[ -z $tasks ]] || whole --tasks "$tasks"
[[ -z $at_once ]] || whole --at-once "${at_once#%}"
[[ -z $(given array a '' "$@") ]] || die '--array cannot be given, because submit.sh sets it; use --tasks and --at-once'
nodes=$(given nodes N 1 "$@")
whole --nodes "${nodes%%[-,:]*}"
whole --ntasks-per-node "$(given ntasks-per-node '' 1 "$@")"
ranks=$(given ntasks n "$((${nodes%%[-,:]*} * $(given ntasks-per-node '' 1 "$@")))" "$@")
whole --ntasks "$ranks"
((group <= ranks)) || die "--ranks-per-point $group: a task has only $ranks rank$( ((ranks == 1)) || echo s); add -n $group or more after JOB"

# Within a SLURM job, variables of that job would enter the new one: srun refuses SLURM_MEM_PER_NODE beside
# SLURM_MEM_PER_CPU, and mpirun would take itself for a rank. Only settings of the user stay.
if [[ -n ${SLURM_JOB_ID-} ]]; then
  for variable in "${!SLURM_@}" "${!SBATCH_CPU_BIND@}" "${!SBATCH_MEM_BIND@}" "${!PMI_@}" "${!PMIX_@}" "${!OMPI_COMM_WORLD_@}"; do
    [[ $variable =~ ^(SLURM_CONF|SLURM_CLUSTERS|PMIX_MCA_.*)$ ]] || unset "$variable"
  done
fi
# These would make an array of the merge job, wait for the array, or hide arrays from the guard below.
unset SBATCH_ARRAY_INX SBATCH_WAIT "${!SQUEUE_@}"

scratch=$(mktemp -d) made=() folders=()
cleanup() { # removes what a failed submission has written
  rm -rf "$scratch"
  ((${#made[@]} == 0)) || rm -f -- "${made[@]}"
  ((${#folders[@]} == 0)) || rmdir -- "${folders[@]}" 2>/dev/null || true
}
trap cleanup EXIT

said=$("$program" plan "${job[@]}" --resolved "$scratch")
resolved=$(sed -n 's/^file: //p' <<<"$said") output=$(sed -n 's/^output: //p' <<<"$said")
shown=${output#"$(pwd -P)/"}
origin() { grep -E '^# (job|set): ' -- "$1"; }
submitted=$output/slurm/${resolved##*/}
if [[ $same == yes && ! -e $submitted ]]; then
  last=''
  for file in "${submitted%/*}"/job-*.yaml; do
    [[ -e $file && $(origin "$file") == "$(origin "$resolved")" && ! $last -nt $file ]] && last=$file
  done
  if [[ -n $last ]]; then
    resolved=$("$program" plan "$last" --output "$output" --resolved "$scratch" | sed -n 's/^file: //p')
    submitted=$output/slurm/${resolved##*/}
    echo "${job[0]} is not as it was submitted: this completes the submitted job, $shown/slurm/${last##*/}; for the job as it is now, run slurm/submit.sh --missing"
  fi
fi

code=0
if [[ $missing == yes ]]; then
  points=$("$program" status "$resolved" ${points:+--points "$points"} --missing) || code=$?
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
plan=$("$program" plan "$resolved" --ranks-per-point "$group" --tasks "$tasks" ${per_task:+--points-per-task "$per_task"} \
  ${points:+--points "$points"})
say() { sed -n "s/^# $1 //p" <<<"$plan"; }
name=$(say name) count=$(say tasks)

mark="eigenscope $(readlink -m -- "$output")"
if [[ $beside == no ]]; then
  queue=$(squeue --me -h -o '%F %k|' 2>/dev/null) || echo 'slurm/submit.sh: warning: squeue does not answer, so it is not known if another array for this folder is in the queue' >&2
  if other=$(grep -F -m 1 -- " $mark|" <<<"$queue"); then
    die "array ${other%% *} for $shown is still in the queue: wait for this array, or cancel it with scancel (or submit other points with --beside)"
  fi
fi
list=$output/slurm/tasks-$(date +%Y%m%d-%H%M%S)-$$
((group == 1)) || run+=(--ranks-per-point "$group")
logs=${output//%/%%}/slurm
array_log=$logs/%A_%a.log merge_log=$logs/%j_merge.log
if [[ $output == *\\* ]]; then # SLURM replaces no % beside a backslash, so the scripts write the logs of tasks themselves
  array_log=${list//\\/\\\\}.log merge_log=${list//\\/\\\\}.log
fi
target=${to:-$output/$name.h5}
[[ $target == /* ]] || target=$PWD/$target
comment=$(given comment '' '' "$@")

# Our options that follow the caller's win; the comment is the mark that the guard above looks for.
array_command=(sbatch --parsable --job-name="$name" --output="$array_log" "$@" --comment="${comment:+$comment }$mark"
  --array="0-$((count - 1))$at_once" "$here/array.sbatch" "$program" "$list" "$launcher" "$submitted" -- "${run[@]}")
merge_command=(sbatch --parsable --job-name="$name-merge" --output="$merge_log" "$@" --nodes=1 --ntasks=1 --ntasks-per-node=1)
merge_words=("$here/merge.sbatch" "$program" "$target" "$submitted")
if [[ $dry == yes ]]; then
  echo 'dry run: nothing is submitted or written'
  printf '%q ' "${array_command[@]}" && echo
  printf '%q ' "${merge_command[@]}" --dependency=afterany:ARRAY "${merge_words[@]}" && echo
  printf '\n%s:\n%s\n\n' "$list" "$plan"
  echo "$submitted:" && cat -- "$resolved"
  for file in "$here/array.sbatch" "$here/merge.sbatch"; do printf '\n%s:\n' "$file" && cat -- "$file"; done
  exit
fi
if [[ " $* " == *' --test-only '* ]]; then # SLURM says when the jobs would start, and submits nothing
  "${array_command[@]}"
  "${merge_command[@]}" "${merge_words[@]}"
  exit
fi

parent=$output/slurm
while [[ ! -d $parent && -n $parent ]]; do
  folders+=("$parent")
  parent=${parent%/*}
done
mkdir -p "$output/slurm"
[[ -e $submitted ]] || made+=("$submitted")
"$program" plan "$resolved" --resolved "$output/slurm" >/dev/null
made+=("$list")
echo "$plan" >"$list"

# Sites may print more lines before the number. With --wait, the exit code is that of the tasks.
number='(^|'$'\n'')(Submitted batch job )?([0-9]+)(;[^;]*)?$'
array=$("${array_command[@]}") || true
[[ $array =~ $number ]] || die "sbatch has submitted nothing${array:+: $array}"
array=${BASH_REMATCH[3]}
made=() folders=()
# A submission of the same job that failed meanwhile may have removed the file. The time marks the last submission.
[[ -e $submitted ]] || "$program" plan "$resolved" --resolved "$output/slurm" >/dev/null
touch -- "$submitted"
echo "array $array: points: $(say points), tasks: $count, listed in ${list/#"$output"/"$shown"}; logs: $shown/slurm/${array}_*.log"
merge=$("${merge_command[@]}" --dependency="afterany:$array" "${merge_words[@]}") || true
[[ $merge =~ $number ]] || die "array $array is submitted, but the job that merges its results is not${merge:+: $merge}; when the array has ended, run: $program merge $submitted --to $target"
echo "merge ${BASH_REMATCH[3]}: writes ${to:-$shown/$name.h5} when the array has ended"
