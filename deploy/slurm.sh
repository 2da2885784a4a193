#!/usr/bin/env bash
# Extracts a data set as an array of Slurm jobs, a shard each, and merges the shards:
#
#   facefold models fetch                        # once: jobs use no network
#   job=$(sbatch --parsable --array=1-64 deploy/slurm.sh 64 stores/faces manifest data/faces.csv --taps)
#   sbatch --dependency="afterok:$job" deploy/slurm.sh 64 stores/faces merge
#
# The first argument is the number of shards, which an array of fewer jobs cannot say; then the store, and
# what `facefold extract` takes. A job that was preempted, killed or out of time goes on when it is run
# again: sbatch --array=17,40 deploy/slurm.sh 64 … with the other arguments as they were, and then the merge,
# which waits for the first array alone. --threads and --offline are given here.
#
#SBATCH --job-name=facefold
#SBATCH --cpus-per-task=8
#SBATCH --mem=6G
#SBATCH --time=12:00:00
#SBATCH --requeue
set -euo pipefail

if [ $# -lt 3 ]; then
  echo "usage: sbatch --array=1-N $0 N STORE KIND ROOT [OPTION...], then sbatch $0 N STORE merge" >&2
  exit 2
fi
shards=$1 store=$2 what=$3
shift 3
if ! [[ $shards =~ ^[1-9][0-9]*$ ]]; then
  echo "$0: expected the number of shards, found $shards" >&2
  exit 2
fi
if [ "$what" = merge ]; then
  parts=()
  for ((shard = 1; shard <= shards; shard++)); do parts+=("$store.shards/$shard"); done
  exec facefold store merge "${parts[@]}" --out "$store"
fi
shard=${SLURM_ARRAY_TASK_ID:?submit it with --array=1-$shards}
exec facefold extract "$what" "$@" --store "$store.shards/$shard" --shard "$shard/$shards" \
  --threads "${SLURM_CPUS_PER_TASK:-0}" --offline
