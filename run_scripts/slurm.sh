#!/usr/bin/env bash
# Trains under SLURM, on one node or several, and goes on by itself when the job is preempted or its time is over.
#
#   sbatch run_scripts/slurm.sh RECIPE [Hydra overrides]                     from the checkout
#   sbatch --nodes 4 --time 24:00:00 run_scripts/slurm.sh spark_vl_32b
#   DRY_RUN=1 NODES=4 bash run_scripts/slurm.sh spark_vl_32b                 no SLURM: says what it would do, checks the run
#
# Options of sbatch on the command line win over those below. Variables of train.sh go through; the environment with
# spark_verl (SPARK_PYTHON, or active when sbatch is called) and the checkout must be on storage that all nodes share.
#
# SLURM sends USR1 to this script alone, so long before the job's end as --signal says: it must be longer than a training
# step and a checkpoint take together (timing_s/step, timing_s/save_checkpoint). The run then ends its step, writes a
# checkpoint and exits with code 75, on which the job is put back into the queue; it goes on from there when it starts
# again. Any other code ends the job. A cluster that preempts jobs has to be told to send this signal then, too
# (PreemptParameters=send_user_signal, and a GraceTime), or the run only goes on from its last regular checkpoint.
#
#SBATCH --job-name=spark
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --signal=B:USR1@900
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
set -euo pipefail

RECIPE=${1:?usage: sbatch slurm.sh RECIPE [Hydra overrides]}
shift
# SLURM runs a copy of this script.
ROOT=${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
[[ -f $ROOT/run_scripts/train.sh ]] || { echo "call sbatch in the checkout: $ROOT has no run_scripts/train.sh" >&2; exit 2; }
PORT=${PORT:-6379}
PREEMPTED=75
export PORT NNODES=${SLURM_JOB_NUM_NODES:-${NODES:-1}}

if [[ ${DRY_RUN:-} == 1 ]]; then
    RUN=echo
    HEAD=HEAD_NODE
else
    RUN=
    : "${SLURM_JOB_NODELIST:?slurm.sh is for sbatch; elsewhere: train.sh, or DRY_RUN=1}"
    read -r HEAD < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
fi

# verl does not wait for nodes that are still on their way.
WAIT="
import sys, time, ray
ray.init(address=sys.argv[1], log_to_driver=False)
end = time.time() + 600
while (there := sum(node['Alive'] for node in ray.nodes())) < int(sys.argv[2]):
    if time.time() > end:
        sys.exit(f'slurm.sh: only {there} of {sys.argv[2]} nodes have joined Ray within 10 minutes')
    time.sleep(2)
"
if ((NNODES > 1)); then
    OTHERS=$((NNODES - 1))
    # This script runs on the first node. srun keeps the others' Ray for as long as the job lasts.
    $RUN bash "$ROOT/run_scripts/start_ray.sh" head
    $RUN env RAY_OPTIONS="${RAY_OPTIONS:-} --block" srun --nodes "$OTHERS" --ntasks "$OTHERS" --relative 1 \
        bash "$ROOT/run_scripts/start_ray.sh" worker "$HEAD" &
    [[ -z $RUN ]] || wait
    $RUN "${SPARK_PYTHON:-python3}" -c "$WAIT" "$HEAD:$PORT" "$NNODES"
    [[ -n $RUN ]] || export RAY_ADDRESS=$HEAD:$PORT
fi

# In the background, or bash would hear of a signal only when the training has ended.
bash "$ROOT/run_scripts/train.sh" "$RECIPE" "$@" &
TRAINING=$!
ask() {
    HEARD=1
    # Once: SLURM sends TERM when the time is over, and a checkpoint that is nearly written still has a few seconds then.
    [[ -n ${ASKED:-} ]] || kill -USR1 $TRAINING || true
    ASKED=1
}
trap ask USR1 TERM
# 127, "no such child", is what "wait" says of one that it has told of before: it must not hide that one's code.
CODE=127
while :; do
    HEARD=
    wait $TRAINING && CODE=0 || { ENDED=$?; ((ENDED == 127)) || CODE=$ENDED; }
    # A signal ends "wait", not what is waited for.
    [[ -n $HEARD ]] || break
done

if ((CODE == PREEMPTED)); then
    echo "slurm.sh: preempted: back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $CODE
