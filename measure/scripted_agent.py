"""An agent loop whose responses follow from the prompt and the sample's number alone: steps can be trained again."""

from __future__ import annotations

import random

from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

SAYING = ("The digits are {0} and {1}.", "My guess is {0}.", "{0} + {1}.", "")


class ScriptedAgentLoop(SingleTurnAgentLoop):
    """Right answers, wrong ones, verdicts, and none, in words of different length."""

    async def run(self, sampling_params, **kwargs):
        output = await super().run(sampling_params, **kwargs)
        # Questions about different images have the same text.
        prompt = f"{kwargs['index']}/{self.tokenizer.decode(output.prompt_ids)}"
        rng = random.Random(f"{prompt}/{kwargs['session_id']}")
        digits = [rng.randrange(10), rng.randrange(10)]
        truth = kwargs["reward_model"]["ground_truth"]
        answer = rng.choice([truth, truth, str(sum(digits)), "Yes", "No", "A", "B"])
        words = f"{rng.choice(SAYING).format(*digits)} \\boxed{{{answer}}}<|im_end|>"
        ids = self.tokenizer(words, add_special_tokens=False)["input_ids"][: self.response_length]
        output.response_ids = ids
        output.response_mask = [1] * len(ids)
        if output.response_logprobs is not None:
            output.response_logprobs = [0.0] * len(ids)
        return output
