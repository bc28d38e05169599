#!/usr/bin/env bash
# The whole loop on a machine without a GPU: a Qwen2.5-VL of about 1 M parameters learns to answer questions about
# handwritten digits and to judge and correct its own answers. Sets up everything it needs.
#
#   bash run_scripts/quickstart.sh                 # six to ten minutes on 2 cores
#   SEED=1 bash run_scripts/quickstart.sh          # another seed
#   STEPS=5 bash run_scripts/quickstart.sh         # a short look
#   bash run_scripts/quickstart.sh spark.enable=false     # any Hydra override: here plain GRPO
#   DEVICE=gpu bash run_scripts/quickstart.sh      # the same on one GPU, in the environment of setup_gpu.sh
#   DRY_RUN=1 DEVICE=gpu bash run_scripts/quickstart.sh   # check config and budget, train nothing
#
#   OUTPUT_DIR=outputs/quickstart     every run starts it anew: name another one to keep the last run's
#   SPARK_PYTHON=python3              use this environment as it is (DEVICE=cpu: default .venv, made when missing)
#   SPARK_CACHE=~/.cache/spark_verl   where warm-started models are kept; empty: nowhere
set -euo pipefail
SECONDS=0

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

SEED=${SEED:-0}
STEPS=${STEPS:-40}
DEVICE=${DEVICE:-cpu}
OUTPUT_DIR=$(realpath -m "${OUTPUT_DIR:-$ROOT/outputs/quickstart}")

if [[ -n $(ls -A "$OUTPUT_DIR" 2>/dev/null) && ! -e $OUTPUT_DIR/data/train.parquet ]]; then
    echo "OUTPUT_DIR=$OUTPUT_DIR holds other things than a quickstart's: it would be emptied, name another folder" >&2
    exit 2
fi

say() { printf '\n\033[1m[%4ds] %s\033[0m\n' "$SECONDS" "$*"; }

say "1/5 environment"
case "$DEVICE" in
    cpu) source run_scripts/setup_env.sh; RECIPE=quickstart ;;
    gpu)
        SPARK_PYTHON=${SPARK_PYTHON:-python3} RECIPE=quickstart_gpu
        source run_scripts/gpu_host.sh
        host_bytecode "$SPARK_PYTHON"
        ;;
    *) echo "DEVICE must be cpu or gpu, got $DEVICE" >&2; exit 2 ;;
esac
"$SPARK_PYTHON" -c 'import spark_verl' 2>/dev/null || {
    echo "spark_verl is not installed for $SPARK_PYTHON: bash run_scripts/setup_gpu.sh (or name another SPARK_PYTHON)" >&2
    exit 2
}

# Results of an earlier run would be mixed with this one's.
rm -rf "$OUTPUT_DIR"
mkdir -p "$OUTPUT_DIR"

say "2/5 data: handwritten digits"
"$SPARK_PYTHON" data_preprocess/handwritten_digits.py --local_save_dir "$OUTPUT_DIR/data" --seed "$SEED"

say "3/5 model: warm start from random weights"
"$SPARK_PYTHON" -m spark_verl.digits.build_model --output_dir "$OUTPUT_DIR/model" --seed "$SEED"

say "4/5 training: evaluate, $STEPS SPARK steps, evaluate (log: $OUTPUT_DIR/train.log)"
DATA=(
    data.train_files="$OUTPUT_DIR/data/train.parquet"
    data.val_files="[$OUTPUT_DIR/data/test.parquet,$OUTPUT_DIR/data/judge_test.parquet]"
)
TRAINER=(
    spark.seed="$SEED"
    trainer.total_training_steps="$STEPS"
    trainer.default_local_dir="$OUTPUT_DIR/checkpoints"
    trainer.rollout_data_dir="$OUTPUT_DIR/rollouts"
    trainer.validation_data_dir="$OUTPUT_DIR/validation"
)
TRAIN=(
    "$SPARK_PYTHON" -m spark_verl.main --config-path "$ROOT/recipes" --config-name "$RECIPE"
    actor_rollout_ref.model.path="$OUTPUT_DIR/model" "${DATA[@]}" "${TRAINER[@]}" "$@"
)
export HF_HUB_OFFLINE=1 VERL_FILE_LOGGER_PATH="$OUTPUT_DIR/metrics.jsonl"
if [[ ${DRY_RUN:-} == 1 ]]; then
    exec "${TRAIN[@]}"
fi
"$SPARK_PYTHON" -m spark_verl.runs.progress --log "$OUTPUT_DIR/train.log" --metrics "$OUTPUT_DIR/metrics.jsonl" \
    --steps "$STEPS" -- "${TRAIN[@]}"

say "5/5 results"
rm -rf "$OUTPUT_DIR/trained_model"
# The last step: an override may have changed their number.
LAST=$(cat "$OUTPUT_DIR/checkpoints/latest_checkpointed_iteration.txt")
cp -r "$OUTPUT_DIR/checkpoints/global_step_$LAST/actor/huggingface" "$OUTPUT_DIR/trained_model"
"$SPARK_PYTHON" -m spark_verl.runs.summary "$OUTPUT_DIR" --seed "$SEED" --wall_s "$SECONDS"
"$SPARK_PYTHON" -m spark_verl.report "$OUTPUT_DIR"
cat <<DONE

trained model   $OUTPUT_DIR/trained_model (transformers and vLLM load it)
report          $OUTPUT_DIR/report.html (open it in a browser)
every step      $OUTPUT_DIR/metrics.jsonl
every rollout   $OUTPUT_DIR/rollouts/<step>.jsonl (policy and judge rows)
summary         $OUTPUT_DIR/summary.json

Watch it answer and judge itself, on a page or here:
DEVICE=$DEVICE bash run_scripts/demo.sh $OUTPUT_DIR/trained_model --templates pkg://spark_verl.digits/templates \\
    --benchmark $OUTPUT_DIR/data/test.parquet
DEVICE=$DEVICE MODEL=$OUTPUT_DIR/trained_model bash run_scripts/ask.sh --templates pkg://spark_verl.digits/templates \\
    --image $OUTPUT_DIR/data/example.png "$(cat "$OUTPUT_DIR/data/example.txt")"
DONE
