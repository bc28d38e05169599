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

ARGUMENTS=(
    --host "${HOST:-127.0.0.1}"
    --port "${PORT:-8000}"
    --served-model-name "${NAME:-spark}"
    --enable-prefix-caching
    # Sampling as the client asks for it; a model folder's generation_config.json would add top_k and penalties
    --generation-config vllm
)
if [[ ${DEVICE:-gpu} == cpu ]]; then
    source "$SCRIPTS/setup_env.sh"
    export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1}
    export VLLM_CPU_OMP_THREADS_BIND=${VLLM_CPU_OMP_THREADS_BIND:-nobind}
    export TORCHDYNAMO_DISABLE=${TORCHDYNAMO_DISABLE:-1}
    # Seeded requests and chunked prefill do not go together on CPUs (spark_verl/evaluation/server.py)
    ARGUMENTS+=(--enforce-eager --dtype float32 --no-enable-chunked-prefill --distributed-executor-backend uni)
else
    ARGUMENTS+=(--tensor-parallel-size "${GPUS:-1}" --dtype bfloat16)
fi
exec "${SPARK_PYTHON:-python3}" -m spark_verl.evaluation.vllm_serve serve "$MODEL" "${ARGUMENTS[@]}" "$@"
