#!/usr/bin/env bash
# SPARK on Qwen2.5-VL-32B-Instruct: two nodes with 8 GPUs of 80 GB each; start Ray on both first (start_ray.sh).
# Every value: recipes/spark_vl_32b.yaml; MODEL_PATH, DRY_RUN and other variables: train.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/train.sh" spark_vl_32b "$@"
