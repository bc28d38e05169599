#!/usr/bin/env bash
# SPARK on Qwen2.5-VL-3B-Instruct with a LoRA adapter: 2 GPUs of 24 GB.
# Every value: recipes/spark_vl_3b_lora.yaml; MODEL_PATH, DRY_RUN and other variables: train.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/train.sh" spark_vl_3b_lora "$@"
