#!/usr/bin/env bash
# Submits only points without a valid result (`eigenscope status --missing`); started points resume from their last saved epoch.
# The job is the one that was submitted, also if its file was edited since. Options as for slurm/submit.sh, and those of the
# submission:
#
#   slurm/resubmit.sh [OPTION...] JOB.yaml [SBATCH-OPTION...]
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/submit.sh" --missing --as-submitted "$@"
