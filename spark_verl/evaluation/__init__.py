"""Evaluation: benchmarks, test-time scaling and measures of the judge; ``python -m spark_verl.evaluation``.

A question goes through these modules in this order; none imports one that stands below it:

==========================  ==================================================================================
``question.py``             what is asked; ``benchmarks/``: how each benchmark is read, asked, scored, summed up
``server.py``               a vLLM server for a model folder; ``vllm_serve.py``: its command
``messages.py``             chat messages and images as servers want them
``client.py``               requests, retries, tokens, seconds
``judge_prompts.py``        judge and reflection prompts in the words of training
``verdict_probability.py``  P(Yes) from log-probabilities
``session.py``              one question under one strategy: samples, judgements, cost
``connection.py``           the options, server and client that both commands share
``pooling.py``              equal answers vote together
``strategies.py``           single, reflect, majority, best_of_n, weighted_vote
``results.py``              one line for each question and strategy, resumed after a kill
``runner.py``               many questions at a time
``markdown.py``             numbers and tables as text
``figures.py``              accuracies, costs, equal tokens
``judge_quality.py``        verdicts, position bias, calibration, own answers; ``judge_plots.py``: pictures
``__main__.py``             the command; ``ask.py``: one question, shown while it is answered
==========================  ==================================================================================
"""
