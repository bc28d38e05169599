#!/usr/bin/env bash
# Installs spark_verl for GPUs, on every node, into an environment of yours (Python 3.10 to 3.12): the packages of
# requirements/gpu.lock, and this checkout. Nothing has to be compiled. What the machine itself needs is looked at first:
# an NVIDIA driver of 580 or later, a C compiler, Python's headers.
#
#   bash run_scripts/setup_gpu.sh
#   bash run_scripts/gpu_check.sh       afterwards: does it work, and how fast is it?
#
#   SPARK_PYTHON=python3    the environment's interpreter
#   NO_GPU=1                install where there is no GPU, for one that has: an image, shared storage
#   FLASH_ATTN=flash-attn==2.8.3    the package flash-attn as well; it is compiled for the GPUs at hand, which takes nvcc of
#                           CUDA 13 and many minutes. Or a wheel of it: a file or a URL
#   MAX_JOBS=4              compilers at a time for flash-attn, 4 GB of memory each
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${SPARK_PYTHON:-python3}
source "$ROOT/run_scripts/gpu_host.sh"

[[ ${NO_GPU:-} == 1 ]] || host_driver
host_compiler
host_python "$PYTHON"
if [[ -n ${FLASH_ATTN:-} && $FLASH_ATTN != *.whl ]]; then
    command -v nvcc >/dev/null || [[ -x ${CUDA_HOME:-/usr/local/cuda}/bin/nvcc ]] ||
        _host_fail "there is no nvcc, with which FLASH_ATTN=$FLASH_ATTN is compiled: install CUDA 13, name a wheel, or leave it out"
    FLASH_ATTN_CUDA_ARCHS=${FLASH_ATTN_CUDA_ARCHS:-$(host_architectures)}
    [[ -n $FLASH_ATTN_CUDA_ARCHS ]] ||
        _host_fail "there is no GPU to compile FLASH_ATTN=$FLASH_ATTN for: set FLASH_ATTN_CUDA_ARCHS (90 for an H100)"
    export FLASH_ATTN_CUDA_ARCHS MAX_JOBS=${MAX_JOBS:-4}
fi

install() {
    UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300} "$PYTHON" -m uv pip install --python "$PYTHON" --no-deps "$@"
}
"$PYTHON" -m pip install --quiet --disable-pip-version-check 'uv>=0.8,<1'
# The lock is complete, so nothing is resolved.
install -r "$ROOT/requirements/gpu.lock"
install --quiet --no-build-isolation -e "$ROOT"
if [[ -n ${FLASH_ATTN:-} ]]; then
    # Its build imports torch, which an isolated one would not find.
    install wheel
    install --no-build-isolation "$FLASH_ATTN"
fi
"$PYTHON" - <<'CHECK'
import torch
import vllm
from transformers.utils import is_flash_attn_2_available

from spark_verl import compat

compat.assert_ready()
print(f"ready: torch {torch.__version__}, vLLM {vllm.__version__},", end=" ")
print("flash-attn," if is_flash_attn_2_available() else "torch's own attention,", end=" ")
print(f"{torch.cuda.device_count()} GPU(s)" if torch.cuda.is_available() else "no GPU here")
CHECK
