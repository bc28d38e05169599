"""Evaluation: benchmarks, test-time scaling and measures of the judge; ``python -m spark_verl.evaluation``.

A question goes through these modules in this order; none imports one that stands below it:

====================  ================================================================================================
``question.py``       what is asked, and how it is put to a server; ``benchmarks/``: how each is read and scored
``vllm_serve.py``     vLLM's command as it is needed here; ``server.py``: runs it as long as one needs it
``client.py``         requests, retries, tokens, seconds
``judging.py``        judge and reflection prompts in the words of training, P(Yes) from log-probabilities
``session.py``        one question under one strategy: samples, judgements, cost
``strategies.py``     single, reflect, majority, best_of_n, weighted_vote
``connection.py``     the options, checks, server and client that both commands share
``results.py``        one line for each question and strategy, resumed after a kill
``runner.py``         what is left to ask; many questions at a time
``figures.py``        accuracies, costs, equal tokens; figures as text
``judge_quality.py``  verdicts, position bias, calibration, own answers, with pictures
``__main__.py``       the command
``walk.py``           one question from answer to reflection; ``ask.py``: shown in the terminal while it is answered
====================  ================================================================================================
"""
