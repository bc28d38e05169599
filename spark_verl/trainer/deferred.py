"""Judge prompts between the step that built them and the one that samples them (``spark.judge_step: next``).

    step t: worker ──► tag of the group ──► held here, and in the checkpoint ──► step t + 1, beside its questions

A request has no images and no question: both are those of a row of the training data, which a resumed run reads again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn

from spark_verl.rollout.media import without_media
from spark_verl.rollout.requests import JudgeRequest
from spark_verl.rollout.tags import Tag, group_of

logger = logging.getLogger(__name__)

_OF_ITS_STEP = ("global_steps", "spark_plan")
"""What the trainer has added to a question."""


class DeferredPrompts:
    """Holds a step's judge prompts until the next step takes them.

    Attributes:
        requests: In the order of the groups in their batch.
        lost: How many of a checkpoint's were given up, since the data have another question in their row; not yet told.
    """

    def __init__(self) -> None:
        self.requests: list[JudgeRequest] = []
        self.lost = 0
        self._questions: dict[int | None, dict[str, Any]] = {}

    @classmethod
    def of(cls, requests: Sequence[JudgeRequest], dataset: Any) -> DeferredPrompts:
        """These requests, about rows of this data set."""
        found = cls()
        found.requests = [*requests]
        found._questions = {request.row: dataset[request.row] for request in requests}
        return found

    def collect(self, prompt_tags: Mapping[str, Tag], asked: Any) -> None:
        """Take what a step's groups have deferred.

        Args:
            prompt_tags: ``{uid: tag}`` of the step's prompts.
            asked: Its questions, as verl's TensorDict.
        """
        for i, uid in enumerate(asked["uid"]):
            record = group_of(prompt_tags.get(uid, {}))
            if record and record.deferred:
                self.requests += record.deferred
                question = asked[i].to_dict()
                self._questions[asked["spark_row"][i]] = {k: v for k, v in question.items() if k not in _OF_ITS_STEP}

    def take(self, step: int) -> tuple[list[JudgeRequest], TensorDict | None]:
        """What is to be sampled in ``step``, as requests and as verl's batch; afterwards there is nothing left."""
        requests, questions = self.requests, self._questions
        self.requests, self._questions = [], {}
        if not requests:
            return [], None
        batch = tu.get_tensordict(collate_fn([each.as_prompt(questions[each.row]) for each in requests]))
        tu.assign_non_tensor_data(batch, "global_steps", step)
        return requests, batch

    def metrics(self, last: bool) -> dict[str, float]:
        """``spark/judge/deferred`` in this step, and ``dropped``: all of them if it is the last; what a resume lost."""
        waiting, lost, self.lost = len(self.requests), self.lost, 0
        return {"spark/judge/deferred": waiting, "spark/judge/dropped": lost + (waiting if last else 0)}

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint; can be written as JSON."""
        return {
            "requests": [request.to_dict() for request in self.requests],
            "questions": {str(row): _fingerprint(question) for row, question in self._questions.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], dataset: Any) -> None:
        """Go on from :meth:`state_dict`.

        Args:
            state: What was saved.
            dataset: The training data, as verl's class reads them.
        """
        for row, fingerprint in state["questions"].items():
            question = dataset[int(row)] if int(row) < len(dataset) else None
            if question is not None and _fingerprint(question) == fingerprint:
                self._questions[int(row)] = question
        saved = [JudgeRequest.from_dict(each) for each in state["requests"]]
        self.requests = [request for request in saved if request.row in self._questions]
        self.lost = len(saved) - len(self.requests)
        if self.lost:
            logger.warning(f"{self.lost} of {len(saved)} judge prompts dropped: the training data have changed")


def _fingerprint(question: Mapping[str, Any]) -> str:
    """Of a question's words, truth and index: many questions about images have the same words."""
    known = [without_media(question["raw_prompt"]), question["reward_model"], question["index"]]
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:16]
