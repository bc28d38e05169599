"""The verifier: the only teacher of policy and judge.

    response ──► extract ──► text ──► choices ──► numbers ──► expression ──► values ──► equality ──► algebra
                 the box     one      letters     plain       exact, or     what kind   rules for    math-verify in
                             spelling and         numbers     at points     it is       two kinds    processes (pool,
                                      options                                                        processes)

Each module uses those to its left. Everything up to ``equality`` takes microseconds and is certain when it says
something; ``algebra`` takes milliseconds, in processes that are killed at the time limit. ``verifier`` climbs this
ladder and gives a verdict, ``judgement`` reads Yes/No and A/B, ``manager`` is verl's reward manager ``spark``.

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
