"""Trainer side: SparkTrainer, role-aware metrics and dumps.

Import the modules directly: they pull in verl's trainer, which takes seconds.
"""
