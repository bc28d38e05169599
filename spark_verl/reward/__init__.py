"""The verifier: the only teacher of policy and judge.

    response ──► extract ──► text ──► choices ──► values ──► rules ──► equality ──► algebra
                 the box     one      letters     what kind  which     text, then   math-verify in
                             spelling and         it is      kinds can options,     processes (pool,
                                      options       │        be equal  then rules   processes)
                                                    │           └─ single: one value, several: more than one
                                                    └─ numbers (units, words), times, names, expression ► evaluation
                                                       ► points ► intervals ► relations

Each module uses those to its left, and a reader those before it; ``certainty`` says what several comparisons mean
together. Everything up to ``equality`` takes microseconds and is certain when it says something; ``algebra`` takes
milliseconds, in processes that are killed at the time limit. ``verifier`` climbs this ladder and gives a verdict,
``same`` puts equal answers together, ``judgement`` reads Yes/No and A/B, ``manager`` is verl's reward manager
``spark``.

Importing this package is light: neither verl nor sympy is loaded.
"""

from spark_verl.reward.extract import extract_answer
from spark_verl.reward.judgement import label_form_of, parse_judgement
from spark_verl.reward.options import RewardOptions
from spark_verl.reward.verifier import Verdict, accepted_answers, averify, verify, verify_answer

__all__ = [
    "RewardOptions",
    "Verdict",
    "accepted_answers",
    "averify",
    "extract_answer",
    "label_form_of",
    "parse_judgement",
    "verify",
    "verify_answer",
]
