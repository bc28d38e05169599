#!/usr/bin/env bash
# Asks a served model one question and shows answer, judgement and reflection while they are written.
#
#   bash run_scripts/serve.sh MODEL &
#   bash run_scripts/ask.sh --image FILE "question" [options of python -m spark_verl.evaluation.ask]
#
#   BASE_URL=http://127.0.0.1:8000/v1
#   MODEL=folder   serve this model for the one question instead; DEVICE=cpu for small models without a GPU
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ ${DEVICE:-gpu} == cpu ]]; then
    source "$SCRIPTS/setup_env.sh"
fi
if [[ -n ${MODEL:-} ]]; then
    WHERE=(--model "$MODEL" --device "${DEVICE:-gpu}")
else
    WHERE=(--base-url "${BASE_URL:-http://127.0.0.1:8000/v1}")
fi
exec "${SPARK_PYTHON:-python3}" -m spark_verl.evaluation.ask "${WHERE[@]}" "$@"
