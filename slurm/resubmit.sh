#!/usr/bin/env bash
# Submits only the points that have no sound result yet (`eigenscope status --missing`); what was started goes on from its
# last saved epoch. Options as for slurm/submit.sh:
#
#   slurm/resubmit.sh [OPTION...] JOB.yaml [SBATCH-OPTION...]
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/submit.sh" --missing "$@"
