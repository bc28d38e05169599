"""The verifier: the only teacher of policy and judge.

``extract.py`` finds the answer, ``equality.py`` (with ``text.py``, ``numeric.py``, ``arithmetic.py``) compares what
needs no algebra, ``pool.py`` runs ``symbolic.py`` (math-verify, sympy) in processes that can be killed, ``verifier.py``
puts these together, ``judgement.py`` reads Yes/No and A/B, ``manager.py`` is verl's reward manager ``spark``.

Importing this package is light: neither verl nor sympy is loaded.
"""

from spark_verl.reward.extract import extract_answer
from spark_verl.reward.judgement import LABEL_FORMS, parse_judgement
from spark_verl.reward.options import RewardOptions
from spark_verl.reward.verifier import Verdict, accepted_answers, averify, verify, verify_answer

__all__ = [
    "LABEL_FORMS",
    "RewardOptions",
    "Verdict",
    "accepted_answers",
    "averify",
    "extract_answer",
    "parse_judgement",
    "verify",
    "verify_answer",
]
