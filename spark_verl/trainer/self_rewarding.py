"""Unlabelled rows in a step: which are trained on, their advantages, what is stored of them.

sampled rows ──► [judge measured, groups rewarded] ──► rows that teach ──► … ──► [their advantages] ──► update
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta

from spark_verl.config import SparkConfig
from spark_verl.rollout.tags import Tag, group_of, is_padding, row_of
from spark_verl.self_reward import DUMP_FOLDER, ScoredGroup, SelfReward
from spark_verl.self_reward.controller import StepReward
from spark_verl.trainer.batch import fetch, subset
from spark_verl.vocabulary import Supervision


class SelfRewarding:
    """What :class:`~spark_verl.trainer.trainer.SparkTrainer` does about rows without ground truth.

    Args:
        config: The ``spark:`` block.
    """

    def __init__(self, config: SparkConfig) -> None:
        self.controller = SelfReward(config.self_reward, config.seed)
        self.config = config
        self._groups: dict[str, ScoredGroup] = {}
        self._found = StepReward(0.0, None)
        self._dilution = 1.0

    def select(
        self, rows: KVBatchMeta, prompt_tags: Mapping[str, Tag], step: int
    ) -> tuple[KVBatchMeta, dict[str, float]]:
        """Measure the judge, reward the step's groups, and leave out the rows that teach nothing.

        Left out are rows of audit groups, and those of unlabelled groups without advantages: in the batch they would
        dilute what the verifier's teach (the loss is a mean over tokens), and cost as much as others. What the other
        unlabelled groups teach is diluted as if they were there, unless ``dilute`` says otherwise: the more groups
        agree, the fewer are left, and these are more and more those in which the judge errs.

        Args:
            rows: All rows of the step.
            prompt_tags: ``{uid: tag}`` of its prompts.
            step: Number of the step.

        Returns:
            The rows that are trained on, and ``spark/self_reward/*``.
        """
        records = {uid: group_of(tag) for uid, tag in prompt_tags.items()}
        scored = {uid: record.scored for uid, record in records.items() if record and record.scored}
        # Neither arrival nor uids, which are random, may decide anything: questions do.
        self._groups = dict(sorted(scored.items(), key=lambda item: (item[1].question, item[0])))
        self._found = found = self.controller.step(self._groups, step)
        supervision = [row_of(tag).supervision for tag in rows.tags]
        kept = [
            kind is Supervision.LABELLED or (kind is Supervision.UNLABELLED and _uid(key) in found.advantages)
            for key, kind in zip(rows.keys, supervision, strict=True)
        ]
        diluted = self.config.self_reward.dilute and any(kept)
        self._dilution = sum(kept) / (len(kept) - supervision.count(Supervision.AUDIT)) if diluted else 1.0
        metrics = {**found.metrics, "spark/self_reward/dilution": self._dilution}
        if not any(kept):
            # Nothing teaches anything, and verl knows no empty step: rows without advantages stand for it.
            kept = [kind is not Supervision.AUDIT for kind in supervision]
            kept = kept if any(kept) else [True] * len(kept)
        if dropped := [key for key, keep in zip(rows.keys, kept, strict=True) if not keep]:
            tq.kv_clear(keys=dropped, partition_id=str(rows.partition_id))
        return subset(rows, kept), metrics

    def reward(self, batch: KVBatchMeta) -> dict[str, float]:
        """Write the advantages of unlabelled rows, together at most ``mass_limit`` for each of the verifier's tokens.

        A group's advantages have deviation 1, so that is about what the verifier's rows would have if all of their
        groups had both outcomes. What they do have is no measure: it goes to nothing as the labels are used up, which
        says nothing against the judge.

        Args:
            batch: All rows of the update, with verl's advantages.

        Returns:
            ``spark/self_reward/mass_ratio`` (before the limit) and ``mass_factor``.
        """
        given: dict[int, float] = {}
        scale = self.config.policy_weight * self._dilution
        for i, (key, tag) in enumerate(zip(batch.keys, batch.tags, strict=True)):
            # Audit rows are there where there are no others, and have none.
            if row_of(tag).supervision is not Supervision.LABELLED and not is_padding(tag):
                of_group = self._found.advantages.get(_uid(key), {})
                given[i] = scale * of_group.get(int(key.split("_")[1]), 0.0)
        data = fetch(batch, "advantages", "response_mask")
        rows, masks = data["advantages"].unbind(), data["response_mask"].unbind()
        by_verifier = sum(
            mask.sum().item()
            for i, (mask, tag) in enumerate(zip(masks, batch.tags, strict=True))
            if i not in given and not is_padding(tag)
        )
        by_judge = sum(abs(value) * masks[i].sum().item() for i, value in given.items())
        limit = self.config.self_reward.mass_limit * by_verifier
        # Without rows of the verifier's there is nothing to be measured against (gate off, at the user's own risk).
        factor = min(1.0, limit / by_judge) if by_judge and by_verifier else 1.0
        if given:
            values = [masks[i].to(rows[i].dtype) * (factor * value) for i, value in given.items()]
            nested = torch.nested.as_nested_tensor(values, layout=torch.jagged)
            keys = [batch.keys[i] for i in given]
            fields = TensorDict({"advantages": nested}, batch_size=len(keys))
            tq.kv_batch_put(keys=keys, partition_id=str(batch.partition_id), fields=fields)
        ratio = by_judge / by_verifier if by_verifier else float(by_judge > 0)
        return {"spark/self_reward/mass_ratio": ratio, "spark/self_reward/mass_factor": factor}

    def dump(self, folder: str, step: int) -> None:
        """Write the step's judged groups to ``<folder>/self_reward/<step>.jsonl``, by question, with their rewards."""
        target = Path(folder).expanduser() / DUMP_FOLDER
        target.mkdir(parents=True, exist_ok=True)
        lines = []
        for uid, group in self._groups.items():
            advantages = self._found.advantages.get(uid, {})
            row = {"step": step, "uid": uid, "weight": self._found.weight, **group.to_dict()}
            lines.append(json.dumps({**row, "rewards": self._found.rewards[uid], "advantages": advantages}))
        (target / f"{step}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _uid(key: str) -> str:
    return key.split("_")[0]
