"""A byte-level BPE tokenizer, a Qwen2.5-VL processor and a chat template, built from the task's own text.

The tokenizer has Qwen's pre-tokenisation (each numeral is a token of its own) and Qwen's special tokens, but only a few
hundred merges: every word of the task is one token, everything else falls back to bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import Qwen2_5_VLProcessor, Qwen2Tokenizer, Qwen2VLImageProcessor, Qwen2VLVideoProcessor
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from spark_verl.digits.demonstrations import draw_demonstration
from spark_verl.judge.templates import TemplateSet

# They get the first ids here.
from spark_verl.qwen import SPECIAL_TOKENS
from spark_verl.vocabulary import Objective

# Unlike Qwen's own template this one adds no default system message: 11 tokens saved in each short prompt.
CHAT_TEMPLATE = """\
{%- for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}
{%- for part in message['content'] %}
{%- if part['type'] == 'image' or 'image' in part or 'image_url' in part %}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part['type'] == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>
{%- elif 'text' in part %}{{ part['text'] }}{% endif %}
{%- endfor %}
{%- endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

VOCABULARY = 640
"""Upper bound on the size of the vocabulary; the task's text runs out of merges before that."""

MIN_PIXELS = 28 * 28
MAX_PIXELS = 28 * 28 * 64


def build_processor(templates: TemplateSet) -> Qwen2_5_VLProcessor:
    """Train the tokenizer on the task's text and put a Qwen2.5-VL processor around it.

    The result depends on the task and the templates only, not on a seed, so that every digits model shares it.
    """
    backend = Tokenizer(BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=8,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_corpus(templates), trainer)
    tokenizer = Qwen2Tokenizer(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        model_max_length=2048,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    pixels = {"min_pixels": MIN_PIXELS, "max_pixels": MAX_PIXELS}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**pixels),
        chat_template=CHAT_TEMPLATE,
    )


def _corpus(templates: TemplateSet) -> Iterable[str]:
    rng = Random(0)
    half = dict.fromkeys(Objective, 0.5)
    for _ in range(2000):
        demonstration = draw_demonstration(rng, templates, half)
        yield "system\nuser\n" + demonstration.prompt.replace("<image>", "")
        yield "assistant\n" + demonstration.response
