"""Evaluation: benchmarks, test-time scaling and measures of the judge; ``python -m spark_verl.evaluation``.

==========================  ==================================================================================
``benchmarks/``             how each benchmark is read, asked, scored and summed up
``server.py``               a vLLM server for a model folder; ``vllm_serve.py``: its command
``client.py``               requests, retries, tokens, seconds; ``messages.py``: chat messages and images
``prompts.py``              judge and reflection prompts in the words of training
``session.py``              one question under one strategy: samples, judgements, cost
``strategies/``             single, reflect, majority, best_of_n, weighted_vote
``equality.py``             equal answers; ``verdict_probability.py``: P(Yes) from log-probabilities
``runner.py``               many questions at a time; ``results.py``: one line for each, resumed after a kill
``report.py``               accuracies, costs, equal tokens, tables; ``intervals.py``: bootstrap
``judge_quality.py``        verdicts, position bias, calibration, own answers; ``judge_plots.py``: pictures
==========================  ==================================================================================
"""
