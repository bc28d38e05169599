"""The digits task: handwritten-digit questions, and a small Qwen2.5-VL that can start to answer and judge them.

Reading order: ``questions``, ``attempts`` (right and plausibly wrong answers to them), ``demonstrations`` (the two
habits the model is taught), ``dataset`` (the parquet files); ``tokenizer`` and ``architecture`` (what is built),
``batches``, ``muon`` and ``warm_start`` (how it is taught), ``build_model`` (the command) and ``cache``.
"""
