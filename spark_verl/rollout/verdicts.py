"""What the model itself says about a group's answers where its reward is to come from (``spark.self_reward``).

    the group's answers ──► classes of equal ones ──► scoring prompts, k samples each ──► ScoredGroup

The samples of scoring prompts are counted and thrown away: they are never stored as rows, hence never trained on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from spark_verl.config import SparkConfig
from spark_verl.judge import JudgeBuilder, JudgePrompt
from spark_verl.reward.judgement import parse_judgement
from spark_verl.reward.same import same_answer
from spark_verl.reward.verifier import averify_answer
from spark_verl.rollout.media import media_objects
from spark_verl.rollout.sharing import SharedSingleTurnLoop, Sharing
from spark_verl.self_reward.answers import ScoredGroup, group_answers
from spark_verl.vocabulary import HIDDEN_TRUTH, Correctness, Objective, RolloutGroup, SelfRewardKind, Supervision

logger = logging.getLogger(__name__)


def limit_length(spark: SparkConfig, objective: Objective, sampling_params: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling parameters with the objective's own length limit, where it has one."""
    limit = spark.objective(objective).max_response_length
    return {**sampling_params} if limit is None else {**sampling_params, "max_tokens": limit}


class AskedGroup(Protocol):
    """What is known of a group before its rollouts (:class:`spark_verl.rollout.worker.OpenGroup`)."""

    prompt: dict[str, Any]
    sampling_params: dict[str, Any]
    supervision: Supervision
    row: int | None


class Verdicts:
    """Asks the model about the answers of a group.

    Args:
        worker: The agent-loop worker: its engine, tokenizer and media cache.
        builder: Makes the prompts.
    """

    def __init__(self, worker: Sharing, builder: JudgeBuilder) -> None:
        self.spark, self.builder, self.worker = worker.spark, builder, worker
        self.options = self.spark.self_reward
        # Whatever agent answers the questions, a verdict takes one turn.
        self._loop = SharedSingleTurnLoop(**worker.loop_arguments(), cache=worker.media)

    async def score(self, group: RolloutGroup, answers: Mapping[int, str | None], asked: AskedGroup) -> ScoredGroup:
        """Put the group's answers into classes and have each judged.

        Args:
            group: The finished group.
            answers: ``{session: parsed answer}``.
            asked: What it was asked for: question, supervision, sampling parameters (verdicts are sampled alike), and
                the row's ``extra_info`` with ``choices``, ``tolerance`` and ``hidden_truth``.
        """
        supervision, extra_info = asked.supervision, asked.prompt.get("extra_info") or {}
        known = {name: extra_info.get(name) for name in ("choices", "tolerance")} | {"options": self.spark.reward}
        hidden = extra_info.get(HIDDEN_TRUTH)
        asks = SelfRewardKind(self.options.reward).needs_verdicts or supervision is Supervision.AUDIT
        scored = await group_answers(
            answers,
            partial(same_answer, **known),
            question=str(asked.row),
            supervision=supervision,
            limit=self.options.max_answers if asks else None,
            right=await self._right(group, answers, supervision, hidden, known),
        )
        if not asks:
            return scored
        texts = [each.answer for each in scored.classes]
        prompts = self.builder.scoring_prompts(group, texts)
        verdicts = await asyncio.gather(*(self._ask(prompt, asked.sampling_params) for prompt in prompts))
        return scored.judged(dict(zip(texts, verdicts, strict=True)))

    async def _right(
        self,
        group: RolloutGroup,
        answers: Mapping[int, str | None],
        supervision: Supervision,
        hidden: Any,
        known: Mapping[str, Any],
    ) -> dict[int, bool] | None:
        """``{session: right}`` as far as it is known."""
        if supervision is Supervision.AUDIT:
            found = dict(zip(answers, group.rollouts, strict=True))
            return {
                session: rollout.correctness is Correctness.RIGHT
                for session, rollout in found.items()
                if rollout.correctness is not Correctness.NOT_VERIFIED
            }
        if hidden is None:
            return None
        texts = {text for text in answers.values() if text}
        right = {text: (await averify_answer(text, hidden, **known)).correct for text in texts}
        return {session: right[text] for session, text in answers.items() if text}

    async def _ask(self, prompt: JudgePrompt | str, sampling_params: Mapping[str, Any]) -> tuple[int, int, int]:
        """Verdicts on one answer: favourable ones, those that could be read, those asked for."""
        count = self.options.verdicts
        if isinstance(prompt, str):  # too long, say: as good as verdicts that nobody can read
            return 0, 0, count
        positive = prompt.label_form.labels[0]
        params = {**limit_length(self.spark, Objective.POINTWISE, sampling_params), "logprobs": False}
        with self.worker.media.holding([*prompt.messages, *media_objects(prompt.messages)]):
            outputs = await asyncio.gather(
                *(self._loop.run(dict(params), raw_prompt=prompt.messages) for _ in range(count)),
                return_exceptions=True,
            )
        labels = []
        for output in outputs:
            if isinstance(output, BaseException):  # counts as one that could not be read
                logger.warning(f"a verdict on an answer of group {prompt.parent_uid} failed: {output!r}")
                continue
            text = self.worker.tokenizer.decode(output.response_ids, skip_special_tokens=True)
            labels.append(parse_judgement(text, prompt.label_form))
        read = [label for label in labels if label is not None]
        return read.count(positive), len(read), count
