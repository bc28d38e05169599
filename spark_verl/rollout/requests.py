"""A judge prompt apart from its question: what travels in tags, and waits in a checkpoint.

JudgePrompt ──► JudgeRequest: words, label, number of the question's row ──► + the question: a prompt of verl's
worker, at the group's end         no images                                 worker (same step), trainer (next one)
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from spark_verl.judge import JudgePrompt
from spark_verl.judge.text import append_text
from spark_verl.vocabulary import RowTag

_INTERNAL = ("__rollout_n__", "__do_sample__")
"""verl's own fields that say how a question is sampled: its judge prompts are not."""


@dataclass(frozen=True)
class JudgeRequest:
    """What is asked about a question's rollouts.

    Attributes:
        uid: Of the judge prompt.
        tag: What its rows are.
        text: What is appended to the question.
        label: The right verdict; None for a reflection, whose truth is the question's.
        n: Number of samples.
        row: Number of the question's row in the training data; None where the question need not be found again.
    """

    uid: str
    tag: RowTag
    text: str
    label: str | None
    n: int
    row: int | None = None

    @classmethod
    def of(cls, judge: JudgePrompt, ordinal: int, n: int, row: int | None) -> JudgeRequest:
        """A judge prompt without its question.

        Args:
            judge: The whole of it.
            ordinal: Its number among those of its group.
            n: ``rollout.n``, for a prompt without a number of its own.
            row: Number of the question's row in the training data.
        """
        return cls(
            # Reproducible, and without "_": verl splits row keys at it.
            uid=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{judge.parent_uid}/{ordinal}")),
            tag=judge.tag,
            text=judge.text,
            label=judge.ground_truth if judge.label_form.labels else None,
            n=n if judge.n is None else judge.n,
            row=row,
        )

    def as_prompt(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The judge prompt as verl's worker takes it.

        Args:
            question: The prompt that it is about, as the data set gave it; its images are the very same objects.
        """
        prompt = {
            **question,
            "uid": self.uid,
            "raw_prompt": append_text(question["raw_prompt"], self.text),
            "data_source": f"spark/{self.tag.objective}",
            # A user's own reward function scores reflections, too, and knows the task by its own data source.
            "extra_info": {
                **(question.get("extra_info") or {}),
                **self.tag.to_dict(),
                "task_data_source": question["data_source"],
            },
            "spark_judge": True,
        }
        if self.label is not None:
            prompt["reward_model"] = {**question["reward_model"], "ground_truth": self.label}
        for internal in _INTERNAL:
            prompt.pop(internal, None)
        return {**prompt, "__rollout_n__": self.n}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they are stored."""
        return {**asdict(self), "tag": self.tag.to_dict()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> JudgeRequest:
        """Read :meth:`to_dict` back."""
        tag = RowTag.from_dict(stored["tag"])
        return cls(stored["uid"], tag, stored["text"], stored["label"], stored["n"], stored["row"])
