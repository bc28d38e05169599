"""From a finished group of rollouts to judge prompts: the heart of SPARK's data recycling.

Pure and deterministic: every choice comes from a generator seeded by (seed, step, dataset index), never from arrival
order, a clock or global random state. Each group decides alone, so no group ever waits for another; the budgets are
met in expectation.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from spark_verl.judge import pairwise, pointwise, reflection
from spark_verl.judge.candidates import Draft
from spark_verl.judge.templates import JUDGE_SEPARATOR, TemplateSet
from spark_verl.judge.text import Sanitizer, append_text
from spark_verl.judge.types import Correctness, JudgeBuild, JudgePrompt, RolloutGroup


class JudgeBuilder:
    """Builds the judge prompts of one group after the other.

    Args:
        config: :class:`spark_verl.config.SparkConfig`.
        tokenizer: Hugging Face tokenizer: names the special tokens to defuse and measures lengths.
        max_prompt_length: Token budget of a whole judge prompt, image tokens included (``data.max_prompt_length``);
            None means no limit.

    Raises:
        ValueError: An objective with a positive share has no template.
    """

    def __init__(self, config, *, tokenizer, max_prompt_length: int | None = None):
        self.config = config
        self.templates = TemplateSet.load(config.templates)
        self.sanitize = Sanitizer.for_tokenizer(tokenizer)
        self._tokenizer = tokenizer
        self._max_prompt_length = max_prompt_length
        for objective, label_form in config.used_label_forms():
            self.templates.require(objective, label_form)

    def build(self, group: RolloutGroup) -> JudgeBuild:
        """Build the judge prompts of a finished group.

        A group with one outcome gives pointwise prompts, a mixed one pairwise prompts with probability
        ``pairwise.share_in_mixed`` (the reference: 0.7) and pointwise prompts otherwise; independently of that it may
        give reflection prompts.

        Args:
            group: A group whose rollouts have all ended. Rollouts that were not verified are ignored.

        Returns:
            The prompts and the counts of what could not be built.
        """
        config, rng, result = self.config, group_rng(self.config.seed, group), JudgeBuild()
        mixed = bool(group.of(Correctness.RIGHT)) and bool(group.of(Correctness.WRONG))
        plan: list[Callable[[], Draft | str]] = []
        for _ in range(draw_count(config.judge_prompts_per_group, rng)):
            if mixed and rng.random() < config.pairwise.share_in_mixed:
                plan.append(partial(pairwise.draft, group, config.pairwise, rng))
            elif mixed or rng.random() < config.pointwise.share_in_unanimous:
                plan.append(partial(pointwise.draft, group, config.pointwise, rng))
        for _ in range(draw_count(config.reflection_prompts_per_group, rng)):
            plan.append(partial(reflection.draft, group, config.reflection, rng))
        for make_draft in plan:
            draft = make_draft()
            if isinstance(draft, str):
                result.skip(draft)
                continue
            template_index = rng.randrange(self.templates.count(draft.objective, draft.label_form))
            prompt = self._render(group, draft, template_index)
            if prompt is None:
                result.skip("too_long")
            else:
                result.prompts.append(prompt)
        return result

    def _render(self, group: RolloutGroup, draft: Draft, template_index: int) -> JudgePrompt | None:
        """Turn a draft into a prompt; None when it does not fit the token budget."""
        shown = {name: self.sanitize(text) for name, text in draft.variables.items()}
        text = JUDGE_SEPARATOR + self.templates.render(
            draft.objective, draft.label_form, template_index, source=draft.source, **shown
        )
        if self._max_prompt_length is not None:
            # The question's length is known with its images expanded, so only the appended text is tokenized here.
            # The two parts can merge a token at the seam, never add one worth more than this margin.
            added = len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
            if group.prompt_tokens + added + 2 > self._max_prompt_length:
                return None
        return JudgePrompt(
            messages=append_text(group.messages, text),
            ground_truth=draft.ground_truth,
            objective=draft.objective,
            source=draft.source,
            label_form=draft.label_form,
            parent_uid=group.uid,
            n=draft.n,
            about=draft.about,
        )


def group_rng(seed: int, group: RolloutGroup) -> random.Random:
    """The generator of one group: depends on (seed, step, dataset index) only."""
    return random.Random(f"{seed}/{group.step}/{group.index}")


def draw_count(expected: float, rng: random.Random) -> int:
    """An integer whose expectation is ``expected``: 0.5 is a fair coin between 0 and 1, 1.25 is 1 or 2."""
    whole = int(expected)
    return whole + (rng.random() < expected - whole)


def build_judge_prompts(
    group: RolloutGroup, config, *, tokenizer, processor=None, seed: int | None = None
) -> list[JudgePrompt]:
    """Build the judge prompts of one group: the one-call form of :class:`JudgeBuilder`.

    Args:
        group: A finished group.
        config: :class:`spark_verl.config.SparkConfig`.
        tokenizer: Hugging Face tokenizer.
        processor: Accepted for symmetry with verl's data classes; text alone decides how a judge prompt is built.
        seed: Replaces ``config.seed``.

    Example:
        >>> from spark_verl.config import SparkConfig
        >>> from spark_verl.judge import Correctness, Rollout, RolloutGroup, build_judge_prompts
        >>> rollouts = (Rollout("2 + 2 = 4", "4", Correctness.RIGHT), Rollout("It is 5", "5", Correctness.WRONG))
        >>> group = RolloutGroup("uid", [{"role": "user", "content": "2 + 2?"}], "4", 0, 1, rollouts)
        >>> config = SparkConfig(judge_prompts_per_group=1.0, reflection_prompts_per_group=1.0)
        >>> prompts = build_judge_prompts(group, config, tokenizer=tokenizer)  # doctest: +SKIP
        >>> [p.objective for p in prompts]  # doctest: +SKIP
        ['pairwise', 'reflection']
    """
    del processor
    if seed is not None:
        config = config.replace(seed=seed)
    return JudgeBuilder(config, tokenizer=tokenizer).build(group).prompts
