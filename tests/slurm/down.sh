#!/usr/bin/env bash
# Stops the cluster of tests/slurm/up.sh under BASE: its jobs, then its own processes by their recorded ids.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
base=$(readlink -m "${1:?usage: down.sh BASE}")
unset "${!SLURM_@}"
export SLURM_CONF=$base/etc/slurm.conf

alive() { # pid name: true if this program still runs and is no zombie
  [[ $(cat "/proc/$1/comm" 2>/dev/null) == "$2" ]] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

if timeout 5 scontrol ping >/dev/null 2>&1; then
  timeout 10 scancel --quiet --user "$(id -un)" || true
  for _ in {1..150}; do
    [[ -n $(timeout 5 squeue -h 2>/dev/null || true) ]] || break
    sleep 0.1
  done
fi
for name in slurmd slurmctld munged; do
  pid=$(cat "$base/pid/$name.pid" 2>/dev/null || true)
  if [[ -z $pid ]] || ! alive "$pid" "$name"; then continue; fi # the id may belong to another process now
  kill "$pid" 2>/dev/null || true
  for _ in {1..100}; do
    alive "$pid" "$name" || break
    sleep 0.1
  done
  ! alive "$pid" "$name" || kill -KILL "$pid"
done
