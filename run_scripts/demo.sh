#!/usr/bin/env bash
# A page on this machine where one puts an image and a question and watches the model answer, judge its answer, reflect.
#
#   bash run_scripts/demo.sh MODEL [options of python -m spark_verl.demo]
#   bash run_scripts/demo.sh --base-url http://127.0.0.1:8000/v1 [options]      any OpenAI-compatible server
#
#   PORT=7860   DEVICE=cpu for small models without a GPU   GPUS=1 (tensor parallelism)
#
#   DEVICE=cpu bash run_scripts/demo.sh outputs/quickstart/trained_model \
#       --templates pkg://spark_verl.digits/templates --benchmark outputs/quickstart/data/test.parquet
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ ${DEVICE:-gpu} == cpu ]]; then
    source "$SCRIPTS/setup_env.sh"
fi
exec "${SPARK_PYTHON:-python3}" -m spark_verl.demo --device "${DEVICE:-gpu}" --gpus "${GPUS:-1}" \
    --port "${PORT:-7860}" "$@"
