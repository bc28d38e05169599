#!/usr/bin/env bash
# SPARK on Qwen2.5-7B, text only: one node with 8 GPUs of 80 GB.
# Every value: recipes/spark_7b.yaml; MODEL_PATH, DRY_RUN and other variables: train.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/train.sh" spark_7b "$@"
