#!/usr/bin/env bash
# Starts Ray on one node of several. Run it on every node, then train from the head node as usual.
#
#   node 0:        bash run_scripts/start_ray.sh head
#   other nodes:   bash run_scripts/start_ray.sh worker HEAD_ADDRESS
#   node 0:        bash run_scripts/spark_vl_32b.sh
#   afterwards:    bash run_scripts/start_ray.sh stop          on every node
#
# Or submit the run from anywhere that reaches the head node, whose Ray was started with
# RAY_OPTIONS="--dashboard-host 0.0.0.0" (anyone who reaches port 8265 can then run commands there):
#
#   ray job submit --address http://HEAD_ADDRESS:8265 -- bash CHECKOUT/run_scripts/spark_vl_32b.sh
#
#   PORT=6379  GPUS=8 (found by Ray where unset)  RAY_OPTIONS="..." (more options of ray start)
#
# Every node needs the environment with spark-verl (setup_gpu.sh), active, as the plugin is loaded in every process, and
# the same paths to checkout, data, model and output folder on shared storage: any node may run the trainer, and each rank
# writes its shard of a checkpoint.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/gpu_host.sh"

PORT=${PORT:-6379}
RAY=("${SPARK_PYTHON:-python3}" -m ray.scripts.scripts)
OPTIONS=(${GPUS:+--num-gpus "$GPUS"} ${RAY_OPTIONS:-} --disable-usage-stats)

"${SPARK_PYTHON:-python3}" -c 'import spark_verl' 2>/dev/null || {
    echo "spark_verl is not installed for ${SPARK_PYTHON:-python3} on this node: bash run_scripts/setup_gpu.sh" >&2
    exit 2
}
[[ ${1:-} == stop ]] || { host_shared_memory "${GPUS:-}"; host_bytecode "${SPARK_PYTHON:-python3}"; }
case "${1:-}" in
    head) "${RAY[@]}" start --head --port "$PORT" "${OPTIONS[@]}" ;;
    worker) "${RAY[@]}" start --address "${2:?usage: start_ray.sh worker HEAD_ADDRESS}:$PORT" "${OPTIONS[@]}" ;;
    stop) "${RAY[@]}" stop ;;
    *) echo "usage: start_ray.sh head | worker HEAD_ADDRESS | stop" >&2; exit 2 ;;
esac
