#!/usr/bin/env bash
# Submits only points without a valid result (`eigenscope status --missing`); started points resume from their last saved epoch.
# Options as for slurm/submit.sh:
#
#   slurm/resubmit.sh [OPTION...] JOB.yaml [SBATCH-OPTION...]
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/submit.sh" --missing "$@"
