"""From a finished group of rollouts to judge prompts: the heart of SPARK's data recycling.

Pure and deterministic: every choice comes from the group's plan and from a generator seeded by (seed, step, data set
index, slot in the batch), never from arrival order, a clock or global random state. Each group decides alone, so no
group ever waits for another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spark_verl.config import SparkConfig
from spark_verl.judge import pairwise, pointwise, reflection
from spark_verl.judge.candidates import Draft, pools, shown_text
from spark_verl.judge.length import TokenBudget, question_tokens
from spark_verl.judge.plan import JudgeAsk, Plan, draw_plan
from spark_verl.judge.templates import JUDGE_SEPARATOR, VARIABLES, TemplateSet
from spark_verl.judge.text import Sanitizer, append_text, special_strings
from spark_verl.judge.types import JudgeBuild, JudgePrompt
from spark_verl.vocabulary import Correctness, LabelForm, Objective, Outcome, Rollout, RolloutGroup, Source

if TYPE_CHECKING:  # a second to import, for names alone
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

_DRAWS = 3
"""How often another choice is tried before a prompt is given up as a repetition of one that the group already has."""


class JudgeBuilder:
    """Builds the judge prompts of one group after the other.

    Args:
        config: Its options.
        tokenizer: Names the special tokens to defuse and measures lengths.
        max_prompt_length: Token budget of a whole judge prompt, image tokens included (``data.max_prompt_length``);
            None means no limit.

    Raises:
        ValueError: An objective with a positive share has no template, or a template contains a special token.
    """

    def __init__(
        self, config: SparkConfig, *, tokenizer: PreTrainedTokenizerBase, max_prompt_length: int | None = None
    ) -> None:
        self.config = config
        self.templates = TemplateSet.load(config.templates)
        self.sanitize = Sanitizer.for_tokenizer(tokenizer, self.templates.fences)
        self._budget = TokenBudget(tokenizer, max_prompt_length)
        self._special_ids = frozenset(special_strings(tokenizer))
        for objective, label_form in config.used_label_forms():
            self.templates.require(objective, label_form)
            self._check_templates(objective, label_form)

    def _check_templates(self, objective: Objective, label_form: LabelForm) -> None:
        for index in range(self.templates.count(objective, label_form)):
            for source in Source:
                shown = dict.fromkeys(VARIABLES[objective, label_form], "x") | {"source": source}
                if not self._is_plain(self.templates.render(objective, label_form, index, **shown)):
                    raise ValueError(
                        f"judge template {index + 1} of {self.templates.folder / objective / label_form} contains a"
                        " special token of the model's tokenizer"
                    )

    def _is_plain(self, text: str) -> bool:
        return self._special_ids.isdisjoint(self._budget.ids(text))

    def build(self, group: RolloutGroup, plan: Plan | None = None) -> JudgeBuild:
        """Build the judge prompts of a finished group.

        A group with one outcome gives pointwise prompts, a mixed one pairwise prompts with probability
        ``pairwise.share_in_mixed`` (the reference: 0.7) and pointwise prompts otherwise; independently of that it may
        give reflection prompts.

        Args:
            group: A group whose rollouts have all ended. Rollouts that were not verified are ignored.
            plan: What the group is asked for; None draws a plan at the configured shares.

        Returns:
            The prompts, and counts of what could not be built or not as it was asked for.
        """
        rng, result = group_rng(self.config.seed, group, 0 if plan is None else plan.slot), JudgeBuild()
        if plan is None:
            plan = draw_plan(self.config, rng)
        drafts: list[Callable[[], Draft | str]] = [partial(self._draft_judge, group, ask, rng) for ask in plan.judge]
        drafts += [partial(reflection.draft, group, ask, self.config.reflection, rng) for ask in plan.reflection]
        built: list[tuple] = []
        for make_draft in drafts:
            draft = _new_draft(make_draft, built)
            prompt = draft if isinstance(draft, str) else self._render(group, draft, rng, result)
            if isinstance(draft, str) or isinstance(prompt, str):
                result.skipped[str(prompt)] += 1
                continue
            built.append(_identity(draft))
            result.adapted.update(draft.adapted)
            result.prompts.append(prompt)
        return result

    def scoring_prompts(self, group: RolloutGroup, answers: Sequence[str]) -> list[JudgePrompt | str]:
        """Pointwise prompts about bare answers whose truth is not known, for a reward and never for training.

        Always the answer alone: a response that argues for itself must not be heard (its own author would be the
        judge's prompt writer). All answers of a group are shown in the same words.

        Args:
            group: The group that gave them.
            answers: What is shown, one prompt each.

        Returns:
            For each answer its prompt, without ground truth, or the reason why there is none.
        """
        form = group_rng(self.config.seed, group, "scoring").choice(list(self.config.pointwise.label_forms))
        return [
            self._render(
                group,
                Draft(
                    objective=Objective.POINTWISE,
                    label_form=LabelForm(form),
                    source=Source.ANSWER,
                    candidates={"candidate": Rollout(answer, answer, Correctness.NOT_VERIFIED)},
                    ground_truth=None,
                    about="",
                    n=None,
                ),
                group_rng(self.config.seed, group, "scoring/words"),
                JudgeBuild(),
            )
            for answer in answers
        ]

    def _draft_judge(self, group: RolloutGroup, ask: JudgeAsk, rng: random.Random) -> Draft | str:
        """The group's outcome decides which part of the ask applies."""
        if group.outcome is Outcome.MIXED and ask.pairwise:
            return pairwise.draft(group, ask, self.config.pairwise, rng)
        kept = {Outcome.RIGHT: ask.keep_if_all_right, Outcome.WRONG: ask.keep_if_all_wrong}.get(group.outcome, True)
        if not kept:
            return f"all_{group.outcome}"
        return pointwise.draft(group, ask, self.config.pointwise, rng)

    def _render(self, group: RolloutGroup, draft: Draft, rng: random.Random, result: JudgeBuild) -> JudgePrompt | str:
        """Turn a draft into a prompt, or give the reason why there is none."""
        index = rng.randrange(self.templates.count(draft.objective, draft.label_form))
        fitted = self._fit(group, draft, index)
        if fitted is None:
            return "too_long"
        text, source, how = fitted
        if not self._is_plain(text):
            # The sanitizer leaves none; this is the proof, for tokenizers that nobody has thought of.
            return "special_token"
        result.adapted.update(how)
        return JudgePrompt(
            messages=append_text(group.messages, text),
            text=text,
            ground_truth=draft.ground_truth,
            objective=draft.objective,
            source=source,
            label_form=draft.label_form,
            parent_uid=group.uid,
            n=draft.n,
            about=draft.about,
            step=group.step,
        )

    def _fit(self, group: RolloutGroup, draft: Draft, index: int) -> tuple[str, Source, list[str]] | None:
        """The judge text within the token budget, its source, and how it was made to fit.

        A chain of thought that is too long is shown without its middle, then as its answer only; None when not even
        that fits.
        """

        def render(shown: dict[str, str], source: Source) -> str:
            return JUDGE_SEPARATOR + self.templates.render(
                draft.objective, draft.label_form, index, source=source, **shown
            )

        room = self._budget.room(group.prompt_tokens)
        shown = {name: self.sanitize(text) for name, text in draft.variables.items()}
        text = render(shown, draft.source)
        if room is None or self._budget.fits(text, room):
            return text, draft.source, []
        if draft.source is Source.ANSWER:
            return None
        # What stands around the candidates stays; a few tokens are left for the seams between them.
        around = len(self._budget.ids(render(dict.fromkeys(shown, ""), draft.source))) + 2 * len(shown)
        shortened = self._budget.shorten_all(shown, room - around)
        if shortened is not None and self._budget.fits(text := render(shortened, draft.source), room):
            return text, draft.source, ["shortened"]
        # An answer may stand for its chain of thought only if, alone, it still has the same label.
        labelled = pools(group, Source.ANSWER)
        answers = {name: shown_text(rollout, Source.ANSWER) for name, rollout in draft.candidates.items()}
        for name, rollout in draft.candidates.items():
            if answers[name] not in (shown_text(other, Source.ANSWER) for other in labelled[rollout.correctness]):
                return None
        text = render({name: self.sanitize(answer) for name, answer in answers.items()}, Source.ANSWER)
        return (text, Source.ANSWER, ["answer_only"]) if self._budget.fits(text, room) else None


def _identity(draft: Draft) -> tuple:
    """Two drafts with the same identity ask the same thing."""
    return draft.objective, draft.label_form, draft.source, tuple(draft.variables.items())


def _new_draft(make_draft: Callable[[], Draft | str], built: list[tuple]) -> Draft | str:
    """A draft that differs from the group's other prompts, "repeated" when none was found, or why there is none."""
    for _ in range(_DRAWS):
        draft = make_draft()
        if isinstance(draft, str) or _identity(draft) not in built:
            return draft
    return "repeated"


def group_rng(seed: int, group: RolloutGroup, slot: int | str = 0) -> random.Random:
    """The generator of one group: depends on (seed, step, data set index, slot in the batch or purpose) only."""
    return random.Random(f"{seed}/{group.step}/{group.index}/{slot}")


def build_judge_prompts(
    group: RolloutGroup,
    config: SparkConfig,
    *,
    tokenizer: PreTrainedTokenizerBase,
    processor: ProcessorMixin | None = None,
    seed: int | None = None,
    max_prompt_length: int | None = None,
) -> list[JudgePrompt]:
    """Build the judge prompts of one group: the one-call form of :class:`JudgeBuilder`.

    Args:
        group: A finished group.
        config: Its options.
        tokenizer: The model's.
        processor: Measures a question with images where ``group.prompt_tokens`` is unknown.
        seed: Replaces ``config.seed``.
        max_prompt_length: Token limit of a whole prompt, image tokens included; None means no limit.

    Example:
        >>> from spark_verl.config import SparkConfig
        >>> from spark_verl.judge import Correctness, Rollout, RolloutGroup, build_judge_prompts
        >>> rollouts = (Rollout("2 + 2 = 4", "4", Correctness.RIGHT), Rollout("It is 5", "5", Correctness.WRONG))
        >>> group = RolloutGroup("uid", [{"role": "user", "content": "2 + 2?"}], "4", 0, 1, rollouts)
        >>> config = SparkConfig(judge_prompts_per_group=1.0, reflection_prompts_per_group=1.0)
        >>> prompts = build_judge_prompts(group, config, tokenizer=tokenizer)
        >>> prompts[-1].objective.value
        'reflection'
        >>> prompts[-1].ground_truth
        '4'
    """
    if seed is not None:
        config = config.replace(seed=seed)
    if max_prompt_length is not None and not group.prompt_tokens:
        tokens = question_tokens(group.messages, tokenizer, processor)
        group = replace(group, prompt_tokens=tokens)
    builder = JudgeBuilder(config, tokenizer=tokenizer, max_prompt_length=max_prompt_length)
    return builder.build(group).prompts
