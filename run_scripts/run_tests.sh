#!/usr/bin/env bash
# Sets up the environment (see setup_env.sh), checks style and types, and runs the tests.
#
#   bash run_scripts/run_tests.sh                       everything
#   bash run_scripts/run_tests.sh -m "not slow"         without the tests that start Ray, vLLM and FSDP
#   bash run_scripts/run_tests.sh tests/reward -k latex arguments go to pytest
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$SPARK_ROOT"

# The tests use only what is generated here; a look-up on the network would wait for its time-out.
export HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}"

if [[ $# -gt 0 ]]; then
    exec "$SPARK_PYTHON" -m pytest --durations=15 "$@"
fi

# What takes seconds comes first. Nothing stops at a failure, so that one look shows everything; the last lines name
# what failed, which may have printed its reasons long before.
FAILED=()
step() {
    local name="$1"
    shift
    "$SPARK_PYTHON" -m "$@" || FAILED+=("$name (exit code $?)")
}

step "ruff check" ruff check .
step "ruff format" ruff format --check .
step "ty" ty check --python "$SPARK_PYTHON" spark_verl

# Both halves use one small model, built once.
SPARK_TEST_FOLDER=$(mktemp -d)
export SPARK_TEST_FOLDER
trap 'rm -rf "$SPARK_TEST_FOLDER"' EXIT

# Two test processes. Of those tests that start Ray two run at a time, too: most of a run is imports, one process after
# the other. Which belong together: tests/conftest.py.
step "tests without Ray" pytest --durations=15 -m "not slow" -n 2 --dist loadscope tests
step "tests that start Ray" pytest --durations=15 -m slow -n 2 --dist loadscope tests

if [[ ${#FAILED[@]} -gt 0 ]]; then
    printf 'Failed: %s\n' "${FAILED[@]}" >&2
    exit 1
fi
