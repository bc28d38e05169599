"""verl's reward manager ``spark``: policy rows and judge rows, one verdict each, the same keys for all.

Use it by its import path::

    reward.reward_manager.source=importlib
    reward.reward_manager.name=SparkRewardManager
    reward.reward_manager.module.path=pkg://spark_verl.reward.manager

or, where this module has been imported, by its registered name ``spark``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.utils.reward_score import default_compute_score

from spark_verl.reward.extract import extract_answer
from spark_verl.reward.judgement import label_form_of, parse_judgement
from spark_verl.reward.options import RewardOptions
from spark_verl.reward.pool import get_pool
from spark_verl.reward.verifier import averify
from spark_verl.vocabulary import JUDGE_OBJECTIVES, Objective, Status

logger = logging.getLogger(__name__)

JUDGE_PREFIX = "spark/"
"""Of the data_source of judge rows: spark/pointwise, spark/pairwise, spark/reflection, spark/reflection_keep."""


@dataclass(frozen=True)
class _Finding:
    """What was found out about a response; the names are those of ``reward_extra_info``."""

    acc: float
    format: float
    status: Status
    answer: str | None
    symbolic: bool = False
    reward: float | None = None
    """Of the user's function, where it is not the accuracy."""


@register("spark")
class SparkRewardManager(RewardManagerBase):
    """Scores a row by its ``data_source``.

    - ``spark/pointwise``, ``spark/pairwise``: the judge's verdict against the label in the ground truth;
    - ``spark/reflection``, ``spark/reflection_keep`` and every other source: the final answer against the task's ground
      truth, or the user's own ``reward.custom_reward_function`` (verl's signature, sync or async).

    ``reward_extra_info`` has the same keys for every row, because verl turns them into columns:

    ==============  ====================================================================================
    ``acc``         1.0 or 0.0; what validation reports as ``val-core/<data_source>/acc/mean@n``
    ``format``      1.0 when the final answer (for a judge: the verdict) stands in a balanced box
    ``status``      ``ok``, ``unparsable`` (a wrong answer), ``timeout``, ``error`` (both must teach nothing), or
                    ``unlabelled`` (no ground truth, see ``spark.self_reward``)
    ``role``        ``policy`` or ``judge``
    ``objective``   ``policy``, ``pointwise``, ``pairwise`` or ``reflection``
    ``answer``      the parsed answer or verdict; "" when there is none
    ``symbolic``    1.0 when it took algebra to compare
    ``verify_s``    seconds from the request to the verdict, waiting included
    ``index``       ``extra_info.index`` of the row as text, which tells in a dump which data row it was (a judge
                    row has its parent's); "" when there is none
    ``data_source`` of the row
    ==============  ====================================================================================

    No row makes it raise: verl would drop the sample's whole group.

    Args:
        config: The whole config; ``config.spark.reward`` holds :class:`RewardOptions`, defaults where it is absent.
        tokenizer: The policy's tokenizer.
        compute_score: The user's function, or verl's default one, which is not used.
        reward_router_address: Passed on to the user's function, as verl's own managers do.
        reward_model_tokenizer: Passed on with it.
    """

    tokenizer: Any

    def __init__(
        self,
        config: DictConfig,
        tokenizer: Any,
        compute_score: Callable[..., Any] | None = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        self.options = reward_options(config)
        self._user_function = None if _is_stock(compute_score) else compute_score
        self._router = (
            {}
            if reward_router_address is None
            else {"reward_router_address": reward_router_address, "reward_model_tokenizer": reward_model_tokenizer}
        )
        self._self_rewarded = bool(_block(config, "self_reward").get("enable"))  # rows without ground truth are legal
        self._logged: set[str] = set()
        self._length_limits = _length_limits(config)
        if self.options.warm_up and self._user_function is None:
            get_pool(self.options).start()

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score the last sequence of a sample.

        Args:
            data: Rows of one sample as verl hands them over: tensors ``responses`` (rows, response length) and
                ``attention_mask`` (rows, prompt + response length); ``data_source``, ``reward_model``, ``extra_info``.

        Returns:
            ``{"reward_score": float, "reward_extra_info": dict}``.
        """
        item = data[-1]
        responses = item.batch["responses"]
        length = int(item.batch["attention_mask"][-responses.shape[-1] :].sum())
        # Special tokens are dropped as in verl's own managers. Judge prompts are made from this same text.
        text = self.tokenizer.decode(responses[:length], skip_special_tokens=True)
        row = item.non_tensor_batch
        extra_info = row.get("extra_info")
        extra_info = dict(extra_info) if isinstance(extra_info, Mapping) else {}
        if self._user_function is not None:
            extra_info.update(row.get("tool_extra_fields") or {})
            extra_info["num_turns"] = row.get("__num_turns__")
            extra_info["rollout_reward_scores"] = row.get("reward_scores", {})
        reward_model = row.get("reward_model")
        ground_truth = reward_model.get("ground_truth") if isinstance(reward_model, Mapping) else None
        return await self.score(text, str(row.get("data_source") or ""), ground_truth, extra_info, length)

    async def score(
        self,
        text: str,
        data_source: str,
        ground_truth: Any,
        extra_info: Mapping[str, Any] | None = None,
        length: int = 0,
    ) -> dict[str, Any]:
        """Score a response that is already decoded and has ``length`` tokens; see :meth:`run_single`."""
        started = time.perf_counter()
        extra_info = dict(extra_info or {})
        objective = objective_of(data_source)
        try:
            if ground_truth is None and self._self_rewarded:
                answer = extract_answer(text, self.options.fallbacks)
                found = _Finding(0.0, answer is not None, Status.UNLABELLED, answer)
            elif objective in (Objective.POINTWISE, Objective.PAIRWISE):
                found = self._judge(text, ground_truth, extra_info)
            elif self._user_function is not None:
                found = await self._custom(self._user_function, text, data_source, ground_truth, extra_info)
            else:
                found = await self._verify(text, ground_truth, extra_info)
        except Exception as error:  # rows and users' functions can fail in any way, and none may stop the run
            kind = f"a row of {data_source} was not scored and is counted as status=error ({type(error).__name__})"
            self._log_once(kind, error)
            found = _Finding(0.0, False, Status.ERROR, extract_answer(text))
        reward = 0.0
        if found.status.decided:
            reward = found.acc if found.reward is None else found.reward
            reward += self.options.format_bonus * found.format - self._overlong(objective, length)
        info = {
            "acc": found.acc,
            "format": float(found.format),
            "status": found.status.value,
            "answer": found.answer or "",
            "symbolic": float(found.symbolic),
            "role": objective.role,
            "objective": objective.value,
            "verify_s": time.perf_counter() - started,
            # As text: verl averages every column of numbers in validation.
            "index": str(extra_info.get("index", "")),
            "data_source": data_source,
        }
        return {"reward_score": float(reward), "reward_extra_info": info}

    def _overlong(self, objective: Objective, length: int) -> float:
        """The penalty of a response of ``length`` tokens: grows from 0 to all of it over the buffer."""
        limit, buffer = self._length_limits.get(objective), self.options.overlong_buffer
        if not buffer or not limit:
            return 0.0
        return self.options.overlong_penalty * min(1.0, max(0.0, (length - limit + buffer) / buffer))

    def _judge(self, text: str, ground_truth: Any, extra_info: Mapping[str, Any]) -> _Finding:
        label = str(ground_truth)
        verdict = parse_judgement(text, label_form_of(label, extra_info.get("label_form")))
        if verdict is None:
            return _Finding(0.0, False, Status.UNPARSABLE, None)
        return _Finding(float(verdict == label), extract_answer(text) is not None, Status.OK, verdict)

    async def _verify(self, text: str, ground_truth: Any, extra_info: Mapping[str, Any]) -> _Finding:
        verdict = await averify(
            text,
            ground_truth,
            choices=extra_info.get("choices"),
            tolerance=extra_info.get("tolerance"),
            fallbacks=self.options.fallbacks,
            options=self.options,
        )
        if verdict.status is Status.ERROR and ground_truth is None:
            kind = "a row was not scored and is counted as status=error (no ground truth)"
            self._log_once(kind, ValueError("reward_model.ground_truth is missing or empty"))
        boxed = verdict.answer is not None
        return _Finding(float(verdict.correct), boxed, verdict.status, verdict.answer, verdict.symbolic)

    async def _custom(
        self,
        function: Callable[..., Any],
        text: str,
        data_source: str,
        ground_truth: Any,
        extra_info: dict[str, Any],
    ) -> _Finding:
        # A reflection row carries its task's ground truth; the user's function knows the task by its own data_source.
        task = extra_info.get("task_data_source") or data_source
        arguments = {"data_source": task, "solution_str": text, "ground_truth": ground_truth, "extra_info": extra_info}
        call = functools.partial(function, **arguments, **self._router)
        if inspect.iscoroutinefunction(function):
            result = await call()
        else:
            result = await asyncio.to_thread(call)
            if inspect.isawaitable(result):
                result = await result
        details = result if isinstance(result, Mapping) else {"score": result}
        reward = float(details["score"])
        acc = float(details.get("acc", reward))
        if not (math.isfinite(reward) and math.isfinite(acc)):
            raise ValueError(f"the reward function returned score={reward}, acc={acc}")
        status = details.get("status", Status.OK)
        if status not in tuple(Status):
            # The function's own word for something: its reward counts.
            self._log_once(f"status={status!r}", ValueError("not ok, unparsable, timeout or error: taken as ok"))
            status = Status.OK
        answer = details.get("answer", details.get("pred"))
        answer = extract_answer(text, self.options.fallbacks) if answer is None else str(answer)
        boxed = details.get("format", answer is not None)
        return _Finding(acc, boxed, Status(status), answer, reward=reward)

    def _log_once(self, kind: str, error: Exception) -> None:
        if kind not in self._logged and len(self._logged) < 100:
            self._logged.add(kind)
            logger.warning(f"reward: {kind}: {error}")


def objective_of(data_source: str) -> Objective:
    """What a row of this data source is trained for.

    >>> objective_of("spark/reflection_keep").value
    'reflection'
    """
    rest = data_source.removeprefix(JUDGE_PREFIX)
    judged = rest != data_source
    return next((o for o in JUDGE_OBJECTIVES if judged and rest.startswith(o)), Objective.POLICY)


def reward_options(config: DictConfig | None) -> RewardOptions:
    """Read ``config.spark.reward``; defaults for what is absent.

    Raises:
        ValueError: An unknown key, or a value out of range.
    """
    block = _block(config, "reward")
    known = [field.name for field in fields(RewardOptions)]
    unknown = sorted(set(block) - set(known))
    if unknown:
        raise ValueError(f"spark.reward has unknown key {unknown[0]!r}: choose from {known}")
    values = {name: block[name] for name in known if name in block}
    if "fallbacks" in values:
        values["fallbacks"] = list(values["fallbacks"])
    return RewardOptions(**values).validate()


def _block(config: DictConfig | None, name: str) -> Mapping[str, Any]:
    """A part of ``config.spark``; empty where it is absent."""
    spark = config.get("spark") if config is not None else None
    return (spark or {}).get(name) or {}


def _length_limits(config: DictConfig | None) -> dict[Objective, int | None]:
    """Token limit of a response by objective."""
    if config is None or config.get("data") is None:
        return {}
    general = config.data.get("max_response_length")
    limits = {name: _block(config, name).get("max_response_length") for name in JUDGE_OBJECTIVES}
    return {Objective.POLICY: general} | {name: limit or general for name, limit in limits.items()}


def _is_stock(compute_score: Any) -> bool:
    while isinstance(compute_score, functools.partial):
        compute_score = compute_score.func
    return compute_score is None or compute_score is default_compute_score
