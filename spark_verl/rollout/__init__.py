"""Rollout side: the agent-loop worker that builds judge prompts, its manager, and the sampler.

Import the modules directly: each of them pulls in verl's trainer, which takes seconds.
"""
