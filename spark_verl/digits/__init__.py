"""The digits task: handwritten-digit questions, and a small Qwen2.5-VL that can start to answer and judge them.

Reading order: ``digits`` (the questions), ``attempts`` (right and plausibly wrong answers to them), ``demonstrations``
(the two habits the model is taught), ``tokenizer`` and ``model`` (what is built), ``warm_start`` (how it is taught),
``build_model`` (the command), ``rows`` (the parquet files).
"""
