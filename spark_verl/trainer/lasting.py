"""LastingTrainer: verl's synchronous trainer where machines are taken away, disks run full and processes die.

::

    step ──► validation, metrics, dump ──► checkpoint, if it is due or the run is asked to stop ──► next step ...
      └─────────────── watched: what dies or stalls ends the run ────────────────┘    └──► Preempted

verl writes a checkpoint in the middle of a step. One that is written here, between two steps, holds all of the step: a
run that goes on from it has no hole in its metrics, and remembers what the last validation said.
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

from spark_verl.rollout.sampler import TaggedReplayBuffer
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

    replay_buffer: TaggedReplayBuffer

    def __init__(self, config: DictConfig, stall_timeout_s: float) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._saved_step = 0
        self._due = self._early = False
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
        with Watchdog(self._stall_timeout_s, self._progress, self._awaited, self._servers):
            self._stop_if_asked(self.global_steps)
            super().fit(agent_loop_manager)
            # verl has counted on.
            self._write_if(self._due, self.global_steps - 1)

    def on_step_begin(self) -> None:
        """Between two steps: write the checkpoint that is due, or stop if asked to."""
        done = self.global_steps - 1
        self._stop_if_asked(done)
        if self._due:
            with marked_timer("save_checkpoint", self.timing_raw, color="green"):
                if self._write_if(True, done):
                    self._resume_engines(done)
        super().on_step_begin()

    def on_step_end(self) -> None:
        """A run that was asked to stop writes its checkpoint before a validation, which may take longer than it has."""
        if ending.asked():
            self._write_checkpoint(self.global_steps)
            self._early = True
        super().on_step_end()

    def _stop_if_asked(self, done: int) -> None:
        """End the run if a signal asked for it, with a checkpoint of the last whole step."""
        if (name := ending.asked()) is None:
            return
        if not self._write_if(True, done) and self._early:
            self._renew_state(done)
        self._shutdown_dump_executor()
        kept = f"trainer.resume_mode=auto goes on from global_step_{done}" if done else "there was nothing to keep yet"
        raise ending.Preempted(f"stopped by {name} after step {done}: {kept}")

    # ------------------------------------------------------------------ checkpoints and dumps

    def _save_checkpoint(self) -> None:
        """verl calls this in the middle of a step: the checkpoint waits for its end."""
        self._due = True

    def _write_if(self, wanted: bool, step: int) -> bool:
        """Write a step's checkpoint if it is wanted and not there yet; whether it was. The engines sleep afterwards."""
        self._due = False
        if not wanted or step <= self._saved_step:
            return False
        # As verl does in mid-step: shards may need the engines' memory.
        self._pause_engines()
        self._write_checkpoint(step)
        return True

    def _pause_engines(self) -> None:
        self.checkpoint_manager.sleep_replicas()

    def _resume_engines(self, step: int) -> None:
        """Give them the weights of ``step``, and have them go on."""
        self.checkpoint_manager.update_weights(step)

    def _write_checkpoint(self, step: int) -> None:
        """verl's checkpoint with what :meth:`_state` gives, sealed.

        Raises:
            RunEnded: It could not be written.
        """
        counted, self.global_steps = self.global_steps, step
        with checkpoint.writing(self._folder(step)):
            checkpoint.write_state(self._folder(step), self._state())
            super()._save_checkpoint()
        self.global_steps, self._saved_step = counted, step

    def _renew_state(self, step: int) -> None:
        """What was remembered before the step's end gives way to what is now."""
        try:
            checkpoint.write_state(self._folder(step), self._state())
        except OSError as error:
            logger.warning(f"{self._folder(step)} keeps what was known before the validation: {error}")

    def _folder(self, step: int) -> Path:
        return Path(self.config.trainer.default_local_dir, f"global_step_{step}")

    def _load_checkpoint(self) -> None:
        """Also what :meth:`_state` gave; a checkpoint of plain GRPO has none."""
        super()._load_checkpoint()
        self._saved_step = self.global_steps
        if self.global_steps == 0:
            return
        trainer = self.config.trainer
        folder = (
            Path(trainer.resume_from_path) if trainer.resume_mode == "resume_path" else self._folder(self.global_steps)
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

    def _servers(self) -> list[str]:
        """Addresses of the engines' servers, where they tell whether their engine lives."""
        return self.llm_server_manager.get_addresses() if self.config.actor_rollout_ref.rollout.name == "vllm" else []

    def _awaited(self) -> str:
        worker_of = getattr(self.agent_loop_manager, "worker_of", {})
        return awaited(threading.main_thread().ident or 0, self.replay_buffer.seen, worker_of)
