# Sourced by the scripts next to it: what a run on GPUs needs of the machine itself. What is missing ends the script in one
# line that says what to change, before anything is installed or started.
#
#   source "$(dirname "${BASH_SOURCE[0]}")/gpu_host.sh"
#
# CUDA's libraries come with the Python packages; only the driver is the machine's own.

_host_note() { printf '[host] %s\n' "$*" >&2; }
_host_fail() { _host_note "error: $*"; exit 1; }

# torch 2.11 and vLLM 0.24 of PyPI are built for CUDA 13, which needs a driver of 580 or later.
host_driver() {
    local found
    command -v nvidia-smi >/dev/null ||
        _host_fail "there is no nvidia-smi: install NVIDIA's driver, 580 or later (NO_GPU=1 installs without a GPU)"
    found=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1) || found="nothing usable: $found"
    found=${found%%$'\n'*}
    [[ $found =~ ^([0-9]+)(\.|$) ]] || _host_fail "nvidia-smi finds no driver, but ${found:0:60}: is a GPU visible here?"
    ((BASH_REMATCH[1] >= 580)) ||
        _host_fail "driver $found is too old for CUDA 13, for which torch 2.11 and vLLM 0.24 are built: install 580 or later"
}

# Triton compiles a launcher in C for each of its kernels, against Python's headers, when it first runs one.
host_compiler() {
    command -v "${CC:-gcc}" >/dev/null || { [[ -z ${CC:-} ]] && command -v clang >/dev/null; } ||
        _host_fail "there is no C compiler (${CC:-gcc or clang}), which Triton needs: install gcc, or name one in CC"
}

# host_python INTERPRETER
host_python() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null ||
        _host_fail "$1 is no Python 3.10, 3.11 or 3.12: name another one in SPARK_PYTHON"
    "$1" -c 'import os, sys, sysconfig as s; sys.exit(not os.path.isfile(os.path.join(s.get_path("include"), "Python.h")))' ||
        _host_fail "$1 has no headers (Python.h), which Triton needs: install its -dev package (python3-dev, python3.12-dev)"
}

# host_shared_memory [GPUS]: how many are used of this node; all of them where nothing is said
#
# GPUs of a node exchange through /dev/shm what does not go from one to the other directly (NCCL, the workers of one vLLM
# engine); containers have 64 MB of it where nothing else was asked for. With less than 10 GiB Ray keeps objects on disk.
host_shared_memory() {
    local mib gpus=${1:-}
    { read -r _ && read -r _ _ _ mib _; } < <(df -Pm /dev/shm 2>/dev/null) || mib=0
    [[ -n $gpus ]] || gpus=$(nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU') || true
    if ((mib < 1024 && gpus > 1)); then
        _host_fail "/dev/shm has $mib MiB left, with which $gpus GPUs cannot work together: clear it, or start the container" \
            "with --shm-size=16g (Kubernetes: an emptyDir with medium Memory at /dev/shm)"
    elif ((mib < 10240)); then
        _host_note "note: /dev/shm has $mib MiB left; with less than 10,240 Ray is slow (containers: --shm-size=16g)"
    fi
}

# host_bytecode INTERPRETER
#
# Images for containers often set PYTHONDONTWRITEBYTECODE, and what uv installs has no bytecode: then each of a run's ten
# processes compiles the same ten thousand modules, on every run, which took an H100's host two minutes of five. Here
# they are compiled once, into a folder of the user's; packages that have bytecode are left as they are.
host_bytecode() {
    local cache=${SPARK_CACHE-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/spark_verl}
    [[ -n ${PYTHONDONTWRITEBYTECODE:-} && -n $cache ]] || return 0
    "$1" -c 'import os, sys, importlib.util as u; s = u.find_spec("torch"); sys.exit(not (s and os.path.isfile(s.cached)))' &>/dev/null &&
        return 0
    unset PYTHONDONTWRITEBYTECODE
    export PYTHONPYCACHEPREFIX=${PYTHONPYCACHEPREFIX:-$cache/bytecode}
}

# Prints what flash-attn is compiled for: the families of the GPUs at hand, such as "80;90".
host_architectures() {
    local capability found=""
    while read -r capability; do
        # A family's code runs on all of its members: 8.6 and 8.9 are 8.0.
        [[ $capability =~ ^([0-9]+)\.[0-9]+$ && ";$found" != *";${BASH_REMATCH[1]}0;"* ]] && found+="${BASH_REMATCH[1]}0;"
    done < <(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null)
    printf '%s' "${found%;}"
}
