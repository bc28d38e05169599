#!/usr/bin/env bash
# The ablation on the embedded task: every part of SPARK switched off once, at equal numbers of sequences, several seeds.
#
#   bash run_scripts/ablate.sh                          # ten arms, seeds 1 to 3: about four hours on 2 cores
#   bash run_scripts/ablate.sh --variant mixed --arms spark grpo --seeds 1
#
# One run at a time; what is finished is not run again. Tables go to OUTPUT_DIR/results as they come (see
# benchmarks/ablation/collect.py), for docs/results with RESULTS_DIR=docs/results.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
source run_scripts/setup_env.sh
OUTPUT_DIR=${OUTPUT_DIR:-$ROOT/outputs/ablation}

"$SPARK_PYTHON" benchmarks/ablation/run.py --output "$OUTPUT_DIR" "$@"
"$SPARK_PYTHON" benchmarks/ablation/collect.py "$OUTPUT_DIR" --output "${RESULTS_DIR:-$OUTPUT_DIR/results}"
