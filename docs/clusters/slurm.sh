#!/bin/bash
#SBATCH --job-name=convnext
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
# sbatch slurm.sh --recipe=v1_tiny_in1k --data=... --workdir=/shared/run
# One process a node, which uses all of its GPUs.
set -u

workers=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:12345\"/" | paste -sd,)
export workers
# Every process ends by itself, after the same step: srun is not to hurry any.
srun --kill-on-bad-exit=0 --wait=0 bash -c '
    task="{\"type\": \"worker\", \"index\": $SLURM_PROCID}"
    export TF_CONFIG="{\"cluster\": {\"worker\": [$workers]}, \"task\": $task}"
    exec python -m training.main "$@"' train "$@"
status=$?

# 143: stopped by SIGTERM, before the time limit or for another job; 75: a node was lost.
# Both have left a checkpoint, from which the same job goes on.
case $status in 143 | 75) scontrol requeue "$SLURM_JOB_ID" ;; esac
exit "$status"
