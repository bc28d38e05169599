#!/usr/bin/env bash
# SPARK on Qwen2.5-VL-7B-Instruct: one node with 8 GPUs of 80 GB.
# Every value: recipes/spark_vl_7b.yaml; MODEL_PATH, DRY_RUN and other variables: train.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/train.sh" spark_vl_7b "$@"
