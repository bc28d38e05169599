#!/usr/bin/env bash
# Installs spark_verl for GPUs, on every node, into an environment of yours (Python 3.10 to 3.12).
#
#   bash run_scripts/setup_gpu.sh
#
#   SPARK_PYTHON=python3    the environment's interpreter
#   FLASH_ATTN=flash-attn==2.8.3    or a wheel of it: a file or a URL
#   MAX_JOBS=4              compilers at a time for flash-attn, 4 GB of memory each
#
# torch 2.11 and vLLM 0.24 of PyPI are built for CUDA 13: the driver must be new enough for it. flash-attn has no wheel
# on PyPI and is compiled against the torch that is installed, which takes nvcc of CUDA 13 and half an hour or more;
# verl's own wheelhouse (see verl's installation guide) has a wheel for this torch, for Python 3.12 on x86_64.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${SPARK_PYTHON:-python3}
FLASH_ATTN=${FLASH_ATTN:-flash-attn==2.8.3}

"$PYTHON" -m pip install -e "$ROOT[gpu]"
# Its build imports torch, which pip's isolated build would not find.
"$PYTHON" -m pip install ninja packaging psutil setuptools wheel
MAX_JOBS=${MAX_JOBS:-4} "$PYTHON" -m pip install --no-build-isolation "$FLASH_ATTN"
"$PYTHON" - <<'CHECK'
import flash_attn
import torch
import vllm

from spark_verl import compat

compat.assert_ready()
print(f"ready: torch {torch.__version__}, vLLM {vllm.__version__}, flash-attn {flash_attn.__version__},", end=" ")
print(f"{torch.cuda.device_count()} GPU(s)" if torch.cuda.is_available() else "but torch finds no GPU: is the driver new enough?")
CHECK
