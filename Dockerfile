# Everything that a run on GPUs needs, from requirements/gpu.lock. It is built without a GPU and run with one; the machine
# has NVIDIA's driver, 580 or later, and its container toolkit.
#
#   docker build -t spark_verl .
#   docker run --rm -it --gpus all --shm-size=16g -v ~/data:/data -v "$PWD/outputs:/spark_verl/outputs" spark_verl
#   bash run_scripts/gpu_check.sh       inside
#
# CUDA's libraries are among the Python packages, and nothing is compiled, so the base is plain Ubuntu. For flash-attn name
# a base with nvcc of CUDA 13 and Python 3.12, and what it is compiled for:
#
#   docker build --build-arg BASE=... --build-arg FLASH_ATTN=flash-attn==2.8.3 --build-arg FLASH_ATTN_CUDA_ARCHS=90 .
ARG BASE=ubuntu:24.04
FROM ${BASE}

# gcc and Python's headers: Triton compiles a launcher for each kernel when it first runs one.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates g++ gcc git python3.12-dev python3.12-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3.12 -m venv /opt/venv && /opt/venv/bin/python -m pip install --no-cache-dir 'uv>=0.8,<1'
ENV PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    SPARK_PYTHON=/opt/venv/bin/python \
    UV_NO_CACHE=1 \
    UV_HTTP_TIMEOUT=300 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /spark_verl
# Before the code, so that a change of it does not download everything again.
COPY requirements/gpu.lock requirements/
RUN uv pip install --no-deps -r requirements/gpu.lock

COPY . .
ARG FLASH_ATTN=
ARG FLASH_ATTN_CUDA_ARCHS=
RUN NO_GPU=1 FLASH_ATTN=${FLASH_ATTN} FLASH_ATTN_CUDA_ARCHS=${FLASH_ATTN_CUDA_ARCHS} bash run_scripts/setup_gpu.sh

CMD ["bash"]
