"""``python -m spark_verl.evaluation.vllm_serve``: vLLM's server as evaluation needs it, also with vLLM's CPU build.

    python -m spark_verl.evaluation.vllm_serve --device cpu MODEL --port 8000 [any option of vllm serve]

vLLM's command asks for the version of the distribution ``vllm``, which its CPU build does not have under that name. On
a CPU the engine is forked from a process that imports what it needs while this one does, instead of after it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys

from pydantic import ValidationError

from spark_verl.checks.model import check_model
from spark_verl.compat import fork_server, forking
from spark_verl.compat.vllm_cpu import alias_vllm_distribution

# At import, not in main: vLLM's engine is a spawned process, which imports this module again.
alias_vllm_distribution()

CPU_ENVIRONMENT = {
    # Of the whole machine vLLM would take a share as cache.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Only then the worker is inside the engine's process, as the option below asks.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # vLLM compiles a few helpers even with --enforce-eager.
    "TORCHDYNAMO_DISABLE": "1",
}
# vLLM 0.24 takes back the random number of a request whose prompt is not read as a whole, which a generator on the CPU
# cannot do ("CPU Generator does not use offset"), and the engine dies: hence no chunked prefill. The worker is inside
# the engine's process: two would poll each other on the cores that compute.
_CPU = "--enforce-eager --dtype float32 --no-enable-chunked-prefill --distributed-executor-backend uni".split()
ENGINE = (
    "spark_verl.evaluation.vllm_serve",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "vllm.v1.worker.cpu_worker",
    "vllm.v1.engine.core",
)
"""What takes the engine's process long to import."""
# Without the last two the model folder's generation_config.json would change what is sampled (top_k, penalties), which
# the rollouts in training do not do.
_ALWAYS = "--enable-prefix-caching --generation-config vllm".split()


def main() -> int:
    """Check the model, then be vLLM's command; exit code 2 with one line for a model that cannot be served."""
    parser = argparse.ArgumentParser(prog="python -m spark_verl.evaluation.vllm_serve", description=__doc__)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--gpus", default="1", help="tensor parallelism")
    parser.add_argument("model", help="model folder or hub id")
    parser.add_argument("more", nargs=argparse.REMAINDER, help="options of vllm serve")
    options = parser.parse_args()
    try:
        model = check_model(options.model)
    except ValueError as error:
        return _refuse(error)
    on_gpu = ["--tensor-parallel-size", options.gpus, "--dtype", "bfloat16"]
    if options.device == "cpu":
        os.environ.update(CPU_ENVIRONMENT | os.environ)
        os.environ.update(forking.start(ENGINE))
        multiprocessing.set_executable(os.environ[fork_server.LAUNCHER])
    sys.argv = ["vllm", "serve", model, *_ALWAYS, *(_CPU if options.device == "cpu" else on_gpu), *options.more]
    from vllm.entrypoints.cli.main import main as serve  # takes half a minute

    try:
        serve()
    except ValidationError as error:  # a combination of options that vLLM refuses, such as too long a context
        return _refuse(f"{model}: {error.errors()[0]['msg'].partition('. ')[0]}")
    return 0


def _refuse(reason: object) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
