"""verl's own training command, whose processes on a CPU are forked from one that has imported, as this project's are.

    python measure/verl_alone.py OVERRIDE ...      # in place of python -m verl.trainer.main_ppo

Nothing else is changed: trainer, sampler, workers and rows are verl's. Each of its processes would import for itself,
which is most of the time until the first step on a few cores, and nothing that a comparison of steps looks at.
"""

from __future__ import annotations

import os
import sys

from spark_verl.compat import bootstrap, fork_server, forking


def main() -> None:
    """Run verl's command with the arguments of this one."""
    # Where the config is only to be printed, no process follows.
    forks = bootstrap.is_active() and "--cfg" not in sys.argv
    if forks:
        variables = forking.start()
        os.environ.update(variables)
        sys.argv.append(f"++ray_kwargs.ray_init.runtime_env.py_executable={variables[fork_server.LAUNCHER]}")

    from verl.trainer import main_ppo  # while the server imports

    if forks:
        forking.wait(os.environ[fork_server.ADDRESS])
    main_ppo.main()


if __name__ == "__main__":
    main()
