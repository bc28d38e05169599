"""LastingTrainer: verl's synchronous trainer where machines are taken away, disks run full and processes die.

::

    asked to stop? ──► step ──► checkpoint, if it is due or asked for ──► validation, metrics ──► asked to stop? ──► ...
          │             └──────────────── watched: what dies or stalls ends the run ────────────────┘     │
          └──► RunEnded                                                                                   └──► Preempted
"""

from __future__ import annotations

import json
import logging
import threading
from abc import abstractmethod
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils.debug import marked_timer

from spark_verl.rollout.sampler import SparkReplayBuffer
from spark_verl.trainer import checkpoint, ending
from spark_verl.trainer.dump import write_if_possible
from spark_verl.trainer.watchdog import Watchdog, awaited

logger = logging.getLogger(__name__)


class LastingTrainer(PPOTrainerSync):
    """verl's synchronous trainer that loses at most the work since its last checkpoint, and never hangs.

    Args:
        config: The whole config.
        stall_timeout_s: See :class:`~spark_verl.trainer.watchdog.Watchdog`.
    """

    replay_buffer: SparkReplayBuffer

    def __init__(self, config: DictConfig, stall_timeout_s: float) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._saved_step = 0
        self._unfinished: Path | None = None
        super().__init__(config)

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """What has to be remembered beside weights and data: plain values, for the checkpoint's ``spark.json``."""

    @abstractmethod
    def _restore(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`_state` gave."""

    def fit(self, agent_loop_manager: Any) -> None:
        """verl's training loop, watched.

        Raises:
            RunEnded: The run was asked to stop, or cannot go on.
        """
        with Watchdog(self._stall_timeout_s, self._progress, self._awaited):
            self._stop_if_asked(self.global_steps)
            super().fit(agent_loop_manager)
        self._renew_state()

    def on_step_begin(self) -> None:
        """Between two steps: stop if asked to."""
        self._renew_state()
        self._stop_if_asked(self.global_steps - 1)
        super().on_step_begin()

    def on_step_end(self) -> None:
        """A run that was asked to stop writes its checkpoint before a validation, which may take longer than it has."""
        if self._saved_step < self.global_steps and ending.asked():
            with marked_timer("save_checkpoint", self.timing_raw, color="green"):
                self._save_checkpoint()
        super().on_step_end()

    def _stop_if_asked(self, done: int) -> None:
        """End the run if a signal asked for it, with a checkpoint of the last whole step."""
        if (name := ending.asked()) is None:
            return
        self.global_steps = done
        if done > self._saved_step:
            # verl writes checkpoints while the rollout engines sleep: shards may need their memory.
            self.checkpoint_manager.sleep_replicas()
            self._save_checkpoint()
        self._shutdown_dump_executor()
        kept = f"trainer.resume_mode=auto goes on from global_step_{done}" if done else "there was nothing to keep yet"
        raise ending.Preempted(f"stopped by {name} after step {done}: {kept}")

    # ------------------------------------------------------------------ checkpoints and dumps

    def _save_checkpoint(self) -> None:
        """verl's checkpoint with what :meth:`_state` gives, sealed.

        Raises:
            RunEnded: It could not be written.
        """
        folder = Path(self.config.trainer.default_local_dir, f"global_step_{self.global_steps}")
        with checkpoint.writing(folder):
            checkpoint.write_state(folder, self._state())
            super()._save_checkpoint()
        self._saved_step, self._unfinished = self.global_steps, folder

    def _renew_state(self) -> None:
        """A checkpoint is written before its step has ended: validation and metrics follow, which the alarm hears."""
        if self._unfinished is None:
            return
        try:
            checkpoint.write_state(self._unfinished, self._state())
        except OSError as error:
            logger.warning(f"{self._unfinished} keeps what was known before the validation: {error}")
        self._unfinished = None

    def _load_checkpoint(self) -> None:
        """Also what :meth:`_state` gave; a checkpoint of plain GRPO has none."""
        super()._load_checkpoint()
        self._saved_step = self.global_steps
        if self.global_steps == 0:
            return
        trainer = self.config.trainer
        folder = (
            Path(trainer.resume_from_path)
            if trainer.resume_mode == "resume_path"
            else Path(trainer.default_local_dir, f"global_step_{self.global_steps}")
        )
        if (folder / checkpoint.STATE_FILE).is_file():
            self._restore(json.loads((folder / checkpoint.STATE_FILE).read_text(encoding="utf-8")))
        else:
            logger.warning(f"{folder / checkpoint.STATE_FILE} not found: label balance starts afresh")

    @staticmethod
    def _write_generations(*columns: Any) -> None:  # ty: ignore[incompatible-method-override]  handed on as they come
        """verl's, in its background thread; a dump that cannot be written does not end the run."""
        write_if_possible(PPOTrainerSync._write_generations, *columns)

    # ------------------------------------------------------------------ what the watchdog sees

    def _progress(self) -> tuple[Any, ...]:
        return self.global_steps, len(getattr(self, "timing_raw", ())), self.replay_buffer.seen

    def _awaited(self) -> str:
        worker_of = getattr(self.agent_loop_manager, "worker_of", {})
        return awaited(threading.main_thread().ident or 0, self.replay_buffer.seen, worker_of)
