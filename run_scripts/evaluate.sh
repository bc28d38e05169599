#!/usr/bin/env bash
# Evaluates a model folder: starts vLLM, asks, judges, writes tables; repeat the command to continue.
#
#   bash run_scripts/evaluate.sh MODEL --benchmark NAME [NAME=PATH ..] [options of python -m spark_verl.evaluation]
#
#   DEVICE=cpu for small models without a GPU   GPUS=1 (tensor parallelism)   OUTPUT_DIR=outputs/evaluation
#
#   DEVICE=cpu bash run_scripts/evaluate.sh outputs/quickstart/trained_model \
#       --benchmark outputs/quickstart/data/test.parquet --templates pkg://spark_verl.digits/templates \
#       --strategy single reflect majority best_of_n weighted_vote
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
MODEL=${1:?usage: evaluate.sh MODEL --benchmark NAME [options]}
shift

if [[ ${DEVICE:-gpu} == cpu ]]; then
    source "$SCRIPTS/setup_env.sh"
fi
exec "${SPARK_PYTHON:-python3}" -m spark_verl.evaluation "$MODEL" --device "${DEVICE:-gpu}" --gpus "${GPUS:-1}" \
    --output "${OUTPUT_DIR:-outputs/evaluation}" "$@"
