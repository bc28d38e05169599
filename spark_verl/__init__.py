"""SPARK on verl: one model learns to answer and to judge from the same rollouts.

Importing this package imports nothing else, neither verl nor torch: verl loads :mod:`spark_verl.plugin` in every
process of a run, so whatever stood here would be paid for by each of them.
"""

__version__ = "0.1.0"
