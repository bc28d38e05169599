"""Before any training: what a model is worth as a judge of its own answers; ``python -m spark_verl.audit``.

==============  ========================================================================================
``asking.py``   the questions, and one question: its answers, the classes of equal ones, the verdicts
``figures.py``  from the records of an audit to figures with intervals; ``resampling.py``: the intervals
``advice.py``   from figures to advice, a table of thresholds
``show.py``     figures as a table of text and as a picture
``__main__.py`` the command
==============  ========================================================================================

Everything between the command and a question (server, client, retries, results that are resumed) is that of
:mod:`spark_verl.evaluation`; classes, posterior and gate are those of training (:mod:`spark_verl.self_reward`).
"""
