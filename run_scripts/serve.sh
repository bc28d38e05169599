#!/usr/bin/env bash
# Serves a model with an OpenAI-compatible API, for evaluation and for trying it.
#
#   bash run_scripts/serve.sh MODEL [vllm serve options]
#
#   PORT=8000  HOST=127.0.0.1  NAME=spark (the name clients ask for)  GPUS=1 (tensor parallelism)
#   DEVICE=cpu for small models without a GPU
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
MODEL=${1:?usage: serve.sh MODEL [vllm serve options]}
shift

if [[ ${DEVICE:-gpu} == cpu ]]; then
    source "$SCRIPTS/setup_env.sh"
fi
exec "${SPARK_PYTHON:-python3}" -m spark_verl.evaluation.vllm_serve --device "${DEVICE:-gpu}" --gpus "${GPUS:-1}" \
    "$MODEL" --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}" --served-model-name "${NAME:-spark}" "$@"
