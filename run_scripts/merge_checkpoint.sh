#!/usr/bin/env bash
# Turns a checkpoint into a Hugging Face folder that transformers and vLLM load, in bf16.
#
#   bash run_scripts/merge_checkpoint.sh outputs/spark_vl_7b                [TARGET]      a run: its latest checkpoint
#   bash run_scripts/merge_checkpoint.sh outputs/spark_vl_7b/global_step_50 [TARGET]
#
# A run may keep its checkpoints in RUN/checkpoints. TARGET defaults to <checkpoint>/merged. For a LoRA run TARGET is the trained model as well (the adapter is added to the
# weights, rounded to bf16), and the adapter alone, for use with the base model, is in TARGET/lora_adapter. DEVICE=cpu uses
# the environment of requirements/cpu.lock (see train.sh).
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
GIVEN=${1:?usage: merge_checkpoint.sh RUN|CHECKPOINT [TARGET]}
GIVEN=${GIVEN%/}
[[ -d $GIVEN ]] || { echo "$GIVEN does not exist: give the folder of a run or of a checkpoint" >&2; exit 2; }
CHECKPOINT=$GIVEN
for RUN in "$GIVEN" "$GIVEN/checkpoints"; do
    if [[ -f $RUN/latest_checkpointed_iteration.txt ]]; then
        CHECKPOINT=$RUN/global_step_$(cat "$RUN/latest_checkpointed_iteration.txt")
        break
    fi
done
[[ $(basename "$CHECKPOINT") == actor ]] && CHECKPOINT=$(dirname "$CHECKPOINT")
TARGET=${2:-$CHECKPOINT/merged}
ACTOR=$CHECKPOINT/actor
[[ -d $ACTOR ]] || {
    echo "$CHECKPOINT is no checkpoint: it has no folder actor (give a run, or its global_step_N)" >&2
    exit 2
}
compgen -G "$ACTOR/model_world_size_*_rank_0.pt" >/dev/null || {
    echo "$ACTOR has no model shards (model_world_size_*_rank_*.pt): was 'model' in actor.checkpoint.save_contents?" >&2
    exit 2
}

if [[ ${DEVICE:-gpu} == cpu ]]; then
    source "$SCRIPTS/setup_env.sh"
    export VERL_PLATFORM=cpu
fi
# The merger writes the base model's weights again
rm -f "$TARGET/lora_adapter/added"
"${SPARK_PYTHON:-python3}" -m verl.model_merger merge --backend fsdp --local_dir "$ACTOR" --target_dir "$TARGET"
if [[ -d $TARGET/lora_adapter ]]; then
    "${SPARK_PYTHON:-python3}" -m spark_verl.runs.adapter "$TARGET"
fi
echo "merged model: $TARGET"
