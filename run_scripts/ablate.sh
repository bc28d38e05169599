#!/usr/bin/env bash
# The ablation on the digits task: every part of SPARK switched off once, at equal numbers of sequences, and GRPO at as
# many tokens; several seeds.
#
#   bash run_scripts/ablate.sh                          # eleven arms, seeds 1 to 3: 3.5 hours on 2 cores
#   bash run_scripts/ablate.sh --variant mixed --arms spark grpo --seeds 1
#
# One run at a time; what is finished is not run again. After every run the tables of all finished ones are in
# OUTPUT_DIR/results, or in RESULTS_DIR (see measure/ablation/collect.py).
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
OUTPUT_DIR=$(realpath -m "${OUTPUT_DIR:-$SPARK_ROOT/outputs/ablation}")
RESULTS_DIR=$(realpath -m "${RESULTS_DIR:-$OUTPUT_DIR/results}")
cd "$SPARK_ROOT"

"$SPARK_PYTHON" measure/ablation/run.py --output "$OUTPUT_DIR" --results "$RESULTS_DIR" "$@"
