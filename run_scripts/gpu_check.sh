#!/usr/bin/env bash
# What a GPU's owner runs first: does the installation work, does it compute right, and how fast is a step? One GPU with
# 70 GB, an estimated 12 minutes on an H100, nothing downloaded; a table, and pass or fail with reasons (exit code 0 or 1).
#
#   bash run_scripts/gpu_check.sh                    # SPARK and verl's GRPO, at equal sequences
#   bash run_scripts/gpu_check.sh --only spark ipc   # other arms: small weight buckets, a barrier, questions alone, ...
#   bash run_scripts/gpu_check.sh --quickstart       # and the digits task, before and after
#   bash run_scripts/gpu_check.sh --size tiny        # any GPU: does it work?
#   DRY_RUN=1 bash run_scripts/gpu_check.sh          # without a GPU: composes every arm, prints memory budgets
#   bash run_scripts/gpu_check.sh --help             # all options
#
#   OUTPUT_DIR=outputs/gpu_check    SPARK_PYTHON=python3 (the environment of setup_gpu.sh)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${SPARK_PYTHON:-python3}
export OUTPUT_DIR=${OUTPUT_DIR:-$ROOT/outputs/gpu_check}
source "$ROOT/run_scripts/gpu_host.sh"

"$PYTHON" -c 'import spark_verl' 2>/dev/null || {
    echo "spark_verl is not installed for $PYTHON: bash run_scripts/setup_gpu.sh (or name another SPARK_PYTHON)" >&2
    exit 2
}
[[ ${DRY_RUN:-} == 1 ]] || { host_shared_memory 1; host_bytecode "$PYTHON"; }
export PYTHONPATH="$ROOT/measure${PYTHONPATH:+:$PYTHONPATH}" HF_DATASETS_DISABLE_PROGRESS_BARS=1
exec "$PYTHON" -m gpu_check "$@"
