#!/usr/bin/env bash
# Sets up the environment (see setup_env.sh) and runs the tests.
#
#   bash run_scripts/run_tests.sh                       everything
#   bash run_scripts/run_tests.sh -m "not slow"         without the tests that start Ray, vLLM and FSDP
#   bash run_scripts/run_tests.sh tests/reward -k latex arguments go to pytest
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$SPARK_ROOT"

# The tests use only what is generated here; a look-up on the network would wait for its time-out.
export HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}"

[[ $# -gt 0 ]] || set -- tests
exec "$SPARK_PYTHON" -m pytest --durations=15 "$@"
