#!/usr/bin/env bash
# Trains with a recipe. The scripts named after a recipe call this one; so may you:
#
#   bash run_scripts/train.sh RECIPE [Hydra overrides]      RECIPE: a name in recipes/, or a path to a YAML file
#   bash run_scripts/train.sh spark_vl_7b actor_rollout_ref.rollout.n=16
#   bash run_scripts/train.sh spark_vl_7b +preset=paper     the settings of the paper's own code (docs/method.md)
#
#   DRY_RUN=1    check everything, print the resolved config and the memory and token budget; no Ray, no GPU
#   GPU_MEMORY_GB=80    for the budget
#   DEVICE=cpu   the same recipe without a GPU (small models only); sets up .venv from requirements/cpu.lock
#   SPARK_PYTHON=python3   the interpreter for which setup_gpu.sh installed spark_verl
#
#   MODEL_PATH, TRAIN_FILES, VAL_FILES, NNODES, N_GPUS_PER_NODE, EXPERIMENT   in place of what the recipe says
#   OUTPUT_DIR   where the run is kept; for a recipe of recipes/: outputs/EXPERIMENT in this repository
#
# A Ray cluster that is running here (start_ray.sh), or that RAY_ADDRESS names, is joined; otherwise one is started. With
# DEVICE=cpu only one that RAY_ADDRESS names is joined.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RECIPE=${1:?usage: train.sh RECIPE [Hydra overrides]}
shift

DEVICE=${DEVICE:-gpu}
case "$DEVICE" in
    gpu) SPARK_PYTHON=${SPARK_PYTHON:-python3} ;;
    cpu) source "$ROOT/run_scripts/setup_env.sh" ;;
    *) echo "DEVICE must be gpu or cpu, got $DEVICE" >&2; exit 2 ;;
esac

if [[ -f $RECIPE ]]; then
    FOLDER=$(cd "$(dirname "$RECIPE")" && pwd)
    NAME=$(basename "$RECIPE" .yaml)
else
    FOLDER=$ROOT/recipes
    NAME=$RECIPE
    [[ -f $FOLDER/$NAME.yaml ]] || {
        echo "no recipe $NAME: choose from $(cd "$FOLDER" && ls -- *.yaml | sed 's/\.yaml$//' | tr '\n' ' ')" >&2
        exit 2
    }
    # Wherever the command is given.
    OUTPUT_DIR=${OUTPUT_DIR:-$ROOT/outputs/${EXPERIMENT:-$NAME}}
fi

ARGUMENTS=(--config-path "$FOLDER" --config-name "$NAME")
[[ $DEVICE == gpu ]] || ARGUMENTS+=(platform=cpu)
override() { [[ -z ${!2:-} ]] || ARGUMENTS+=("$1=${!2}"); }
override actor_rollout_ref.model.path MODEL_PATH
override data.train_files TRAIN_FILES
override data.val_files VAL_FILES
override trainer.nnodes NNODES
override trainer.n_gpus_per_node N_GPUS_PER_NODE
override trainer.experiment_name EXPERIMENT
override trainer.default_local_dir OUTPUT_DIR

if [[ $DEVICE == gpu && ${DRY_RUN:-} != 1 ]]; then
    source "$ROOT/run_scripts/gpu_host.sh"
    host_shared_memory "${N_GPUS_PER_NODE:-}"
    host_bytecode "$SPARK_PYTHON"
fi

set -x
exec "$SPARK_PYTHON" -m spark_verl.main "${ARGUMENTS[@]}" "$@"
