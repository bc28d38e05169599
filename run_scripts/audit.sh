#!/usr/bin/env bash
# Before any training: what a model is worth as a judge of its own answers on this data (docs/self_reward.md).
# Starts vLLM, asks, judges, writes audit.json and audit.png; repeat the command to continue.
#
#   bash run_scripts/audit.sh MODEL DATA.parquet [options of python -m spark_verl.audit]
#
#   DEVICE=cpu for small models without a GPU   GPUS=1 (tensor parallelism)   OUTPUT_DIR=outputs/audit
#
#   DEVICE=cpu bash run_scripts/audit.sh outputs/quickstart/model outputs/quickstart/data/train.parquet \
#       --templates pkg://spark_verl.digits/templates --max_tokens 64
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
MODEL=${1:?usage: audit.sh MODEL DATA.parquet [options]}
DATA=${2:?usage: audit.sh MODEL DATA.parquet [options]}
shift 2

if [[ ${DEVICE:-gpu} == cpu ]]; then
    source "$SCRIPTS/setup_env.sh"
fi
exec "${SPARK_PYTHON:-python3}" -m spark_verl.audit "$MODEL" "$DATA" --device "${DEVICE:-gpu}" --gpus "${GPUS:-1}" \
    --output "${OUTPUT_DIR:-outputs/audit}" "$@"
