#!/usr/bin/env bash
# GRPO on Qwen2.5-VL-7B-Instruct, the baseline with as many sequences per step as spark_vl_7b: 8 GPUs of 80 GB.
# Every value: recipes/grpo_vl_7b.yaml; MODEL_PATH, DRY_RUN and other variables: train.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/train.sh" grpo_vl_7b "$@"
