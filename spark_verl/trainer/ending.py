"""How a run ends before its last step: because it is asked to, or because it cannot go on.

    SIGTERM or SIGUSR1 ──► driver ──► Ray's head node ──► trainer, between two steps ──► Preempted ──► exit code 75

The trainer is an actor, on any node of a cluster, and signals reach the driver. Imports neither Ray nor verl.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from spark_verl.compat import ray_state
from spark_verl.options import RunEnded

PREEMPTED = 75
"""Exit code of a run that was asked to stop and can go on: the EX_TEMPFAIL of sysexits.h ("try again later")."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""What asks: SLURM sends either (``run_scripts/slurm.sh``)."""

_ASKED, _CAUSE = "asked to stop", "cause of the end"


class Preempted(RunEnded):
    """The run was asked to stop and has written what it goes on from."""

    code = PREEMPTED


class Listener:
    """The driver's ear. While there is nothing to lose yet, a signal ends the run at once; later the first one asks the
    trainer to stop, and the second one ends the run at once."""

    def __init__(self) -> None:
        self._training, self._asked = False, False

    def listen(self, training: bool = False) -> None:
        """Take the signals; once more when Ray runs, which takes SIGTERM for itself when it starts.

        Args:
            training: There is a trainer that can be asked.
        """
        self._training = training
        for number in SIGNALS:
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if not self._training:
            say(f"{name}: stopped before the training began")
            sys.exit(PREEMPTED)
        if self._asked:
            say(f"{name} again: stopped at once; what was done since the last checkpoint is lost")
            # No exception: Ray makes another one of it while the driver waits, and what it cleans up can wait, too.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._asked = True
        ray_state.put(_ASKED, name)
        say(f"{name}: the run stops after this step, with a checkpoint; a second signal stops it at once")


def say(text: str) -> None:
    """Write a line to standard error; also from a signal handler, which may have interrupted a ``print``."""
    os.write(2, f"spark_verl: {text}\n".encode())


def asked() -> str | None:
    """In the trainer: the name of the signal that asked the run to stop."""
    return ray_state.get(_ASKED)


def note(cause: str) -> None:
    """In the trainer: leave the cause of the end, for a driver that its exception does not reach."""
    ray_state.put(_CAUSE, cause)


def cause_of(error: BaseException) -> RunEnded | None:
    """In the driver: why the training ended, where it was one of the ends described here.

    Args:
        error: What Ray raised.
    """
    raised = getattr(error, "cause", None)
    if isinstance(raised, RunEnded):
        return raised
    noted = ray_state.get(_CAUSE) if ray_state.is_there() else None
    return RunEnded(noted) if noted else None
