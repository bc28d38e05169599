"""Build of the ``spark-verl`` distribution; everything it says stands in pyproject.toml."""

from setuptools import setup

setup()
